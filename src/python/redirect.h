/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * redirect.h - point the allocator slots of a live CPython at the nops before its functions.
 *
 * Only data is written: eight aligned pointers, whose old values are compared first. What they
 * point at does nothing (a nop, then the function as before), so that slots left behind by a killed
 * seep are harmless. Who has redirected a process holds a shared lock on a file in /run/seep, named
 * by pid and start time; who leaves last restores the slots, and every start of seep restores what
 * nobody holds any more.
 */
#ifndef SEEP_PYTHON_REDIRECT_H
#define SEEP_PYTHON_REDIRECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "python/tables.h"

struct err;
struct python_runtime;

struct python_redirect; /* one redirected process */

/*
 * Redirect the mem and obj slots of process 'pid' (started at 'start_time_ns', as in struct
 * process_info). Everything is verified before the first write: the bytes of each nop in the
 * process' text, that each slot holds the function or the nop, that an 8-byte write into a process
 * is seen whole by its threads (tried on ourselves, once). Refuses with a reason: -EPERM, -EINVAL,
 * -ENOTSUP, -ESRCH. Nothing is left half done: a write that fails undoes those before it.
 */
int python_redirect_new(pid_t pid, uint64_t start_time_ns, const struct python_runtime *runtime,
			const struct python_tables *tables, struct python_redirect **redirect,
			struct err *err);

/*
 * A child that was forked from a redirected process: has the same slots, and needs them restored
 * as well. Returns NULL (with one line) if the process is gone or is no such child.
 */
struct python_redirect *python_redirect_child(const struct python_redirect *parent, pid_t pid,
					      uint64_t start_time_ns, struct err *err);

/*
 * Redirect those slots that are not yet: a process may fork while its own are being written, and the
 * child then has some of them. Returns 0 or -errno, with every slot as it was.
 */
int python_redirect_complete(const struct python_redirect *redirect, enum python_mode mode,
			     struct err *err);

/*
 * Restore the slots unless another seep still uses them, also those that hooks installed meanwhile
 * have saved (tables in the interpreter's data that hold our nops); then free 'redirect'. A process
 * that is gone needs nothing. Returns how many slots were restored, or -errno.
 */
int python_redirect_end(struct python_redirect *redirect, struct err *err);

/* True if the image that was redirected is gone: the process has ended or runs another program. */
bool python_redirect_is_gone(const struct python_redirect *redirect);

/* At start: restore what killed seeps have left. Returns the number of processes restored. */
int python_redirect_recover(void);

/* Where the locks are, instead of /run/seep; for tests. The text stays the caller's. */
void python_redirect_set_directory(const char *directory);

#endif
