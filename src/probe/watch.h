/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * watch.h - the processes being watched: from a pid to probes in place and stacks walkable.
 *
 *	watch_add	discover, publish, attach
 *	watch_event	react to exec, exit, fork, dlopen (records of the ring)
 *	watch_refresh	read /proc/PID/maps again and attach to what is new
 */
#ifndef SEEP_PROBE_WATCH_H
#define SEEP_PROBE_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/abi_types.h"
#include "probe/attach.h"
#include "probe/binaries.h"
#include "probe/guardian.h"
#include "probe/interpreter.h"
#include "probe/publish.h"
#include "target/process.h"

struct err;
struct session;

struct id_list {
	uint32_t *items;
	size_t count, capacity;
};

/* One image of one process: exec makes a new one. */
struct watched {
	uint32_t generation;
	struct process_info info;
	bool alive; /* this image still runs */
	bool followed; /* a child of one we were asked to watch */
	const char *end_reason; /* "exited", "exec"; NULL while alive */
	bool has_slice;
	struct slice slice;
	uint64_t maps_hash;
	uint32_t allocator_kinds; /* bit per enum allocator_kind seen */
	struct id_list attached; /* binaries whose plan is attached for this process */
	struct id_list python_attached; /* interpreter_plan_id() */
	struct interpreter interpreter;
	bool shares_memory; /* with its parent, until it runs another program: not to be touched */
	bool python_told;
	uint32_t python_ticks; /* seconds since it was found */
	struct links links;
	char missing[256]; /* why no allocator could be probed, "" if one was */
	bool is_published; /* the kernel's process table knows it */
	bool problem_told;
	struct {
		struct interpreter *items; /* of forked children that are not watched */
		size_t count, capacity;
	} strays; /* their slots are to be restored as well */
};

struct watch_options {
	bool follow_children;
	bool no_redirect; /* never write into a process: inlined Python allocators are not seen */
	enum attach_purpose purpose;
	void (*on_binary)(void *context, const struct binary *binary, pid_t pid);
	/* One line on a process whose data will be incomplete, once per image; may be NULL. */
	void (*on_problem)(void *context, pid_t pid, const char *text);
	/* What was found out about its Python; may be NULL. */
	void (*on_python)(void *context, const struct watched *watched, const char *text);
	void *context;
};

struct watch {
	struct session *session;
	struct binaries *binaries;
	struct watch_options options;
	struct slices slices;
	struct slices retired; /* given back at the next tick: a walker may still read them */
	struct guardian guardian; /* while we stop programs at their start */
	struct links shared_links; /* when children are followed: of all processes */
	struct id_list shared_attached; /* binaries that shared_links are on */
	struct id_list shared_python; /* interpreter_plan_id() */
	struct {
		struct watched **items;
		size_t count, capacity;
	} all; /* in order of appearance; ended ones stay */
};

int watch_init(struct watch *watch, struct session *session, const struct watch_options *options,
	       struct err *err);
void watch_deinit(struct watch *watch);

/*
 * Begin to watch process 'pid'. 'stop_at_start': it is a child of ours that has not exec'd yet; it
 * stops itself (SIGSTOP) at exec and when its libraries are there, until watch_event() has set up
 * its probes and continued it. Returns 0, -ESRCH, -EACCES, -ENOEXEC, ...
 */
int watch_add(struct watch *watch, pid_t pid, bool stop_at_start, struct err *err);

/* Handle a RECORD_PROCESS. Errors about one process among many are logged, not returned. */
void watch_event(struct watch *watch, const struct process_record *record);

/* Read the mappings of a process again. Returns 0 or -errno (-ESRCH: it is gone). */
int watch_refresh(struct watch *watch, struct watched *watched, struct err *err);

/*
 * A frame in code of no known binary (FRAME_RAW), as seen by the walker: look again, its library may
 * have been loaded just then. Returns the frame as FRAME_NATIVE, or as it was.
 */
uint64_t watch_resolve_raw(struct watch *watch, uint32_t generation, uint64_t frame);

/* The image with this generation, or NULL. */
struct watched *watch_find(struct watch *watch, uint32_t generation);

/* Mark a process as gone (pidfd or refresh said so) if its exit was not reported. */
void watch_mark_exited(struct watch *watch, struct watched *watched);

size_t watch_alive_count(const struct watch *watch);
size_t watch_probe_count(const struct watch *watch);

/*
 * To be called about once a second: looks at the mappings of all living processes again and notices
 * those that are gone.
 */
void watch_tick(struct watch *watch);

/* Take every probe away; the counters stay readable. */
void watch_detach(struct watch *watch);

#endif
