/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * allocator.h - which functions of a binary allocate, and where a probe goes on each.
 *
 * Knows glibc, musl, jemalloc, tcmalloc, mimalloc, libstdc++/libc++ and programs that were linked
 * with one of them statically. Finds functions by name in .dynsym and .symtab, merges aliases (one
 * probe per address) and leaves out functions that only hand on to another probed one of the same
 * binary (a jump at the end of straight code; glibc's reallocarray, musl's calloc), because each
 * byte is counted at one layer and a probe that adds nothing costs as much as any. Where functions
 * call one another in some cases only, the BPF side lets the outermost one count.
 *
 * Operators new and delete that end in malloc and free get no probes. mmap and its kin are probed
 * in the C library, and in tcmalloc, whose own definitions take the place of the C library's.
 */
#ifndef SEEP_TARGET_ALLOCATOR_H
#define SEEP_TARGET_ALLOCATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "elf/insn.h"

struct elf_file;
struct symtab;
struct err;

enum allocator_kind {
	ALLOCATOR_NONE,
	ALLOCATOR_GLIBC,
	ALLOCATOR_MUSL,
	ALLOCATOR_JEMALLOC,
	ALLOCATOR_TCMALLOC,
	ALLOCATOR_MIMALLOC,
	ALLOCATOR_CXX,	   /* operator new/delete only, that do not end in malloc */
	ALLOCATOR_UNKNOWN, /* exports malloc and free, but is none of the above */
	ALLOCATOR_KIND_COUNT,
};
const char *allocator_kind_name(enum allocator_kind kind); /* "glibc", ... */

struct probe_point {
	char function[64];    /* as in the symbol table; "malloc" where aliased */
	uint32_t role;	      /* enum probe_role of include/abi.h */
	uint32_t alloc_class; /* enum alloc_class */
	uint64_t vaddr;	      /* of the function */
	uint64_t file_offset; /* of the probed instruction: what uprobe wants */
	struct probe_site
	    site;	   /* 'regs' are those of the role's arguments, as the cookie has them */
	bool may_nest;	     /* it may end in another function that is probed too */
	bool needs_return; /* the role yields an address: a return probe goes with it */
	uint64_t return_file_offset; /* where the return probe goes: same as file_offset, as sites
				      * of such functions keep rsp */
};

struct probe_plan {
	struct probe_point *items;
	size_t count, capacity;
	enum allocator_kind kind; /* what the binary is or contains */
	bool is_library;	  /* a library of its own: mmap called from it is the allocator's */
	char missing[256];	  /* for a statically linked program without a usable allocator
				   * symbol: what was looked for, one line; "" otherwise */
};

/*
 * Plan the probes of one binary. 'path' is for messages and hints (ld-linux*.so is left out but for
 * _dl_debug_state). Returns 0 with count 0 when the binary allocates nothing itself.
 */
int allocator_plan(const struct elf_file *elf, const struct symtab *symbols, const char *path,
		   struct probe_plan *plan, struct err *err);
void allocator_plan_free(struct probe_plan *plan);

/* The cookie of include/abi.h for a point. */
uint64_t allocator_cookie(const struct probe_point *point);

#endif
