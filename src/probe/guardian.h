/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * guardian.h - nobody stays stopped because of us, also if we are killed.
 *
 * Programs that we start (and their children) stop themselves at exec until their probes are in
 * place. A small process of ours waits for our end and then continues all that are still marked.
 */
#ifndef SEEP_PROBE_GUARDIAN_H
#define SEEP_PROBE_GUARDIAN_H

#include <sys/types.h>

struct err;

struct guardian {
	pid_t pid; /* 0: none */
	int alarm_fd; /* its other end is what the guardian waits on */
};

/* Start it; 'procs_fd' is the kernel's process table. Returns 0 or -errno. */
int guardian_start(struct guardian *guardian, int procs_fd, struct err *err);

/* End it; everybody has been released. NULL and a zeroed one are allowed. */
void guardian_stop(struct guardian *guardian);

/* Send SIGCONT to every process marked PROC_STOP_AT_START. */
void guardian_release(int procs_fd);

#endif
