/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * detect.h - is there a CPython in this process, which one, and where are its thread states?
 *
 * Nothing but the mapped files and the process' memory is looked at; no symbols beyond .dynsym are
 * needed, no code runs in the target. Works for executables, libpython, embedding programs, other mount namespaces
 * (files are opened through /proc/PID/map_files).
 */
#ifndef SEEP_PYTHON_DETECT_H
#define SEEP_PYTHON_DETECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/abi_types.h"

struct elf_file;
struct err;
struct proc_maps;
struct vm_region;

struct python_runtime {
	bool found;	   /* a CPython, known or not; else nothing below is set */
	int minor, patch;  /* 3.N.patch; minor -1: no 3.x; patch -1 where it cannot be told */
	char version[24];  /* "3.11.2", "3.14.0rc2", "3.8"; "" if it cannot be told */
	bool free_threaded;
	bool musl;
	char path[512];	   /* of the file with the interpreter, as the process sees it */
	size_t region;	   /* index in 'maps' of its executable mapping */
	uint64_t bias;	   /* user address - ELF address */
	uint64_t text_start, text_end; /* user addresses of its executable mapping */
	uint64_t runtime;  /* user address of _PyRuntime; 0 in 3.6 */
	bool initialized;  /* its thread-specific key is known; else layout.key_addr is set (for
			    * glibc's keys below 32: detect again once there is one) */
	struct python_layout layout; /* chain PYTHON_NONE: frames cannot be read, see 'reason' */
	char reason[192];  /* one line, "" if frames can be read: "CPython 3.15 is not known to this
			    * version of seep: native stacks only" */
};

/*
 * Look for CPython in process 'pid', whose mappings are 'maps'. 'binary_id' in the eval ranges of
 * the layout is left 0 (python_set_binary()). Returns 0 (found or not), -ESRCH, -EACCES, ...
 */
int python_detect(pid_t pid, const struct proc_maps *maps, struct python_runtime *runtime,
		  struct err *err);

/* The number under which native frames of the interpreter's file are recorded (3.6-3.9 need it). */
void python_set_binary(struct python_runtime *runtime, uint32_t binary_id);

/* The structure offsets of 3.'minor'; NULL for one that is not known. Sources: layouts.c. */
const struct python_layout *python_layout_of(int minor);

/*
 * True if 'runtime', which was not initialized when it was detected and not refused, is by now: to be
 * detected again. Cheap.
 */
bool python_has_started(pid_t pid, const struct python_runtime *runtime);

/*
 * True if the process has more than one interpreter, and 'runtime' was detected when it had one: to
 * be detected again (layout.current_tstate). Cheap.
 */
bool python_gained_interpreter(pid_t pid, const struct python_runtime *runtime);

/* Open the interpreter's file. Returns an fd (the caller's) or -errno. */
int python_open_file(pid_t pid, const struct proc_maps *maps, const struct python_runtime *runtime,
		     struct err *err);

/* Exactly 'bytes' of the process' memory at 'addr'. Returns 0, -ESRCH, -EFAULT, -EACCES. */
int python_read_memory(pid_t pid, uint64_t addr, void *to, size_t bytes);

#endif
