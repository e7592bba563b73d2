/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * interpreter.h - the CPython of one watched process: found, its frames made readable for the
 * walker, its allocator probed, its slots redirected where the compiler inlined it.
 *
 *	interpreter_find	look for it, and how its calls can be seen
 *	interpreter_attach	probes, then (if need be) the slots
 *	interpreter_is_stale	once a second: it has started by now
 *	interpreter_slots_changed	... its allocator was hooked
 *	interpreter_end		slots as they were
 */
#ifndef SEEP_PROBE_INTERPRETER_H
#define SEEP_PROBE_INTERPRETER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "probe/attach.h"
#include "python/detect.h"
#include "python/redirect.h"
#include "python/tables.h"

struct binary;
struct err;
struct mapping;
struct proc;
struct proc_maps;
struct process_info;
struct session;

struct interpreter {
	bool found;
	uint32_t binary_id; /* of the file it is in */
	struct python_runtime runtime;
	struct python_tables tables; /* way NONE: class python is not recorded */
	uint64_t slots_hash;	     /* what the active slots held when we looked last */
	struct python_redirect *redirect; /* NULL: slots are as they were */
	char refusal[512];		  /* why they could not be redirected, "" */
};

/*
 * Look for CPython in process 'pid'. 'mappings': those of its code, which say in what file it is: a
 * process can map several interpreters. On failure, or when there is none, interpreter->found is
 * false. Returns 0 or -errno (the process is gone).
 */
int interpreter_find(struct interpreter *interpreter, pid_t pid, const struct proc_maps *maps,
		     const struct mapping *mappings, size_t mapping_count, bool may_redirect,
		     struct err *err);

/* What the walker and the probes need to know of it. */
void interpreter_publish(const struct interpreter *interpreter, struct proc *proc);

/* The probes of class python; none if it is not recorded. To be freed with allocator_plan_free().
 * Returns 0 or -errno. */
int interpreter_plan(const struct interpreter *interpreter, const struct binary *binary,
		     struct probe_plan *plan, struct err *err);

/* How its calls will be seen: one number for each plan. Nothing may be attached twice: two probes on
 * one instruction are two events. */
uint32_t interpreter_plan_id(const struct interpreter *interpreter);

/*
 * Attach the probes of class python for process 'pid' (0: all that map the file). Returns 0, also when
 * there is nothing to attach, or -errno.
 */
int interpreter_attach(struct interpreter *interpreter, struct session *session,
		       const struct binary *binary, pid_t pid, enum attach_purpose purpose,
		       struct links *links, struct err *err);

/* Redirect its slots, if that is the way; when the probes are in place. A refusal is noted in the
 * interpreter: class python is then not recorded. */
void interpreter_redirect(struct interpreter *interpreter, const struct process_info *info);

/* A child forked from 'parent' has the same image, and the same slots. 'watched': else all that is
 * wanted is to restore them. */
void interpreter_inherit(struct interpreter *child, const struct interpreter *parent,
			 const struct process_info *info, bool watched);

/* True if its active slots do not hold what they held: a hook came or went. */
bool interpreter_slots_changed(struct interpreter *interpreter, pid_t pid);

/* True if it should be looked for again: it has started by now, or has more interpreters. Cheap. */
bool interpreter_is_stale(const struct interpreter *interpreter, pid_t pid);

/* True if the image whose slots were redirected is gone: there is nothing to restore. */
bool interpreter_is_gone(const struct interpreter *interpreter);

/* Restore the slots; the probes are the caller's. */
void interpreter_end(struct interpreter *interpreter);

/*
 * One line for people: "CPython 3.11.2, pymalloc inlined by the compiler: slots redirected, every
 * block is seen". Returns 'text'.
 */
const char *interpreter_describe(const struct interpreter *interpreter, char *text, size_t size);

#endif
