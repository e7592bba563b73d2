/* SPDX-License-Identifier: GPL-2.0-only */
/* attach.h - puts the probes of a plan on a file: one link per file and program where possible. */
#ifndef SEEP_PROBE_ATTACH_H
#define SEEP_PROBE_ATTACH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct session;
struct probe_plan;
struct err;

/* Links of one process (or of all). Closing them removes the probes; so does our death. */
struct links {
	int *items; /* link fds: uprobe_multi or perf events */
	size_t count, capacity;
	size_t probe_count;
};

/* What the probes do. */
enum attach_purpose {
	ATTACH_RECORD, /* what the roles say */
	ATTACH_EMPTY,  /* nothing: what the traps themselves cost */
};

/*
 * Attach every point of 'plan' to the file behind 'fd', for process 'pid' or, if 0, for every
 * process that maps the file. All or nothing. Returns 0, -ESRCH if the process is gone, -errno.
 */
int attach_plan(struct session *session, int fd, const char *path, const struct probe_plan *plan,
		pid_t pid, enum attach_purpose purpose, struct links *links, struct err *err);

void links_close(struct links *links);

#endif
