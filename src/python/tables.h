/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tables.h - the allocator tables of a live CPython, and where probes see every call.
 *
 * CPython calls its allocators through three tables of four function pointers (domains raw, mem and
 * obj: PyMemAllocatorEx, Objects/obmalloc.c). _PyMem_Debug (3.6-3.11) or _PyRuntime.allocators.debug
 * (3.12 on) names the default functions whatever hooks are installed.
 *
 * Profile-guided builds compare the pointer and run a copy of pymalloc inline: probes on the
 * functions see next to nothing there. Then the slots of the active tables are pointed at the nop
 * before each function (redirect.h): every comparison fails, every call goes through the pointer.
 */
#ifndef SEEP_PYTHON_TABLES_H
#define SEEP_PYTHON_TABLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "target/allocator.h"

struct err;
struct elf_file;
struct proc_maps;
struct python_runtime;

enum python_domain { PYTHON_RAW, PYTHON_MEM, PYTHON_OBJ, PYTHON_DOMAIN_COUNT };
enum python_call { PYTHON_MALLOC, PYTHON_CALLOC, PYTHON_REALLOC, PYTHON_FREE, PYTHON_CALL_COUNT };

/* What the mem and obj domains end in, in this process. */
enum python_mode {
	PYTHON_MODE_PYMALLOC,
	PYTHON_MODE_MALLOC,   /* PYTHONMALLOC=malloc: all blocks are of class malloc */
	PYTHON_MODE_DEBUG,    /* PYTHONMALLOC=debug, -X dev: pymalloc behind checks */
	PYTHON_MODE_HOOKED,   /* somebody's PyMem_SetAllocator (tracemalloc): pymalloc behind it */
	PYTHON_MODE_MIMALLOC, /* 3.13 on, and free-threaded builds */
	PYTHON_MODE_UNKNOWN,
	PYTHON_MODE_COUNT,
};
const char *python_mode_name(enum python_mode mode); /* "pymalloc", ... for doctor and reports */

/* How its calls are seen. */
enum python_way {
	PYTHON_WAY_ENTRY,    /* probes on the functions: nothing is inlined, or the mode is one in
			      * which all calls go through pointers */
	PYTHON_WAY_REDIRECT, /* probes on the nops before them, slots pointed there */
	PYTHON_WAY_NONE,     /* calls cannot be seen completely, or there is nothing to see:
			      * 'reason' says why; class python is not recorded */
};

struct python_tables {
	uint64_t implementations[PYTHON_DOMAIN_COUNT][PYTHON_CALL_COUNT]; /* user addresses */
	uint64_t active[PYTHON_DOMAIN_COUNT]; /* user address of each PyMemAllocatorEx in use */
	uint64_t debug;			      /* user address of the three debug records */
	uint64_t data_start, data_end;	      /* user addresses: the interpreter's writable data */
	enum python_mode mode;
	char hook[64];	  /* PYTHON_MODE_HOOKED: which module holds the function, "_tracemalloc" */
	bool inlined;	  /* profile-guided build: callers contain copies of pymalloc */
	/*
	 * What the probes of PYTHON_WAY_ENTRY go on, mem and obj: the implementations; mimalloc's
	 * where that is used; the debug hooks where they contain copies of pymalloc themselves (as
	 * Debian's do: profiles were taken with them, too). User addresses.
	 */
	uint64_t functions[PYTHON_DOMAIN_COUNT][PYTHON_CALL_COUNT];
	unsigned int saved_count; /* tables of pymalloc that a hook in the interpreter
				   * (tracemalloc) has put aside; redirected as well */
	bool redirected;  /* slots point at the nops already: another seep, or one that was killed */
	uint64_t pads[PYTHON_CALL_COUNT]; /* user address of the nop before each function of domain
					   * obj; 0: there is none that will do */
	uint16_t debug_extra_bytes; /* what debug hooks add to each request as the probes see it */
	enum python_way way;
	char reason[192]; /* why not, one line; "" */
};

#define PYTHON_TABLE_BYTES 40 /* PyMemAllocatorEx: context and four functions */

/*
 * Find the tables of process 'pid'. 'may_redirect' false (--no-redirect) rules out
 * PYTHON_WAY_REDIRECT. Returns 0 also when way is PYTHON_WAY_NONE; -ESRCH, -EACCES, ...
 */
int python_tables_find(pid_t pid, const struct proc_maps *maps,
		       const struct python_runtime *runtime, bool may_redirect,
		       struct python_tables *tables, struct err *err);

/*
 * The probes for tables->way: malloc, calloc, realloc and free of class python, in the file 'elf'
 * of the interpreter. plan->kind is ALLOCATOR_NONE. The nop or the instruction at each point is
 * checked; never a 5-byte nop. Returns 0 or -errno with one line.
 */
int python_plan(const struct elf_file *elf, const struct python_runtime *runtime,
		const struct python_tables *tables, struct probe_plan *plan, struct err *err);

#endif
