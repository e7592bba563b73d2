/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * live.h - a recording while it is made: what "seep record" and "seep top" have in common.
 *
 *	live_init	nothing is open yet; live_deinit() may follow at any time
 *	live_start	find the targets, attach, create the file
 *	live_run	the loop: the ring, signals, a clock tick, snapshots
 *	live_finish	the last snapshot and the names; closes the file
 *	live_deinit	gives everything back
 *
 * One loop waits for the ring, signals and a clock tick. Stages of a recording: running, settling
 * (nothing new is taken, frees still count), done.
 */
#ifndef SEEP_CLI_LIVE_H
#define SEEP_CLI_LIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/units.h"
#include "cli/command.h"
#include "cli/opt.h"
#include "probe/overhead.h"
#include "probe/session.h"
#include "probe/watch.h"
#include "store/recorder.h"

struct err;
struct live;
struct recording;
struct symbolizer;

#define LIVE_PATH_MAX 4096

struct live_options {
	struct opt_pids pids; /* exactly one of these three */
	const char *command, *comm;
	const char *output; /* NULL: seep.COMM.PID.TIME.seep */
	uint64_t duration_ns, interval_ns, settle_ns; /* 0: no end; interval at least 50 ms */
	uint64_t sample_bytes, max_blocks;
	double max_overhead; /* percent; 0: no limit */
	bool children, no_redirect, force;
	bool own_terminal; /* the terminal is ours: a command gets none of it */
	uint32_t lengthen_count; /* the interval doubles after each so many snapshots; 0: never */
};

/* What the verb does on the way; each may be NULL. */
struct live_hooks {
	void *context;
	int (*tick)(void *context, struct live *live, uint64_t now_ns, struct err *err); /* 100 ms */
	/* Before and after the file is written. When 'writing' returns false, the snapshot waits
	 * for the next tick; with 'last' that is not asked. */
	bool (*writing)(void *context, bool last);
	void (*written)(void *context);
	void (*resized)(void *context); /* SIGWINCH, if there is such a hook */
};

enum live_stage {
	LIVE_RUNNING,
	LIVE_SETTLING,
	LIVE_DONE,
	LIVE_ABANDONED, /* by a second Ctrl-C: no file is left */
};

struct live {
	struct live_options options;
	struct live_hooks hooks;
	char path[LIVE_PATH_MAX];
	struct session session;
	struct watch watch;
	struct overhead overhead;
	struct symbolizer *symbolizer;
	struct recording *recording;
	struct recorder *recorder;
	struct command command; /* -c */
	bool session_is_open, watch_is_open, detached, file_failed, mark_wanted;
	int epoll_fd, timer_fd, signal_fd, wake_fd;
	enum live_stage stage;
	uint64_t next_snapshot_ns, next_refresh_ns, last_overhead_ns, settle_begin_ns;
	uint64_t last_cpu_ns, ticks;
	uint32_t sample_shift, lengthen_at;
	unsigned int interrupts;
};

#define LIVE_FIRST_OUTPUT_NS (3 * NS_PER_S) /* until then snapshots come each second */

/* Returns 0 or -EINVAL with what is wrong on the command line. */
int live_options_check(const struct live_options *options, struct err *err);

void live_init(struct live *live, const struct live_options *options,
	       const struct live_hooks *hooks);
void live_deinit(struct live *live);

/* Call tick also whenever 'fd', which stays the caller's, is readable. Between start and run. */
int live_wake_on(struct live *live, int fd, struct err *err);

/* Each returns an exit status (verb.h). */
int live_start(struct live *live, struct err *err);
int live_run(struct live *live, struct err *err);
int live_finish(struct live *live, struct err *err);

/* Let a command of -c run; once everything is said and shown. */
void live_go(struct live *live);

/* Take a snapshot now, on behalf of the user (SIGUSR1, or a key). Returns 0 or -errno. */
int live_mark(struct live *live, struct err *err);

/* From inside of tick: end as Ctrl-C does. */
void live_stop(struct live *live);

/* When the present stage ends, on the clock of the recording; UINT64_MAX: never by itself. */
uint64_t live_stage_end_ns(const struct live *live);

/* "42 %", or "over 1000 %" where more cannot be told. */
const char *live_slowdown_text(const struct live *live, char text[UNITS_TEXT_MAX]);

/* The first lines of a report of the file, on stdout, and where to look next. */
int live_show_result(const char *path, struct err *err);

#endif
