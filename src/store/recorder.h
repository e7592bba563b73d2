/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * recorder.h - from a live session to the rows of a recording.
 *
 *	recorder_on_record	one record of the ring: stacks, mmap regions, process events
 *	recorder_snapshot	read the totals, write what changed, commit
 *	recorder_finish		the last snapshot, names of all frames, summary
 *
 * Nothing is written between two snapshots, so the file always ends with a whole one.
 */
#ifndef SEEP_STORE_RECORDER_H
#define SEEP_STORE_RECORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/abi_types.h"
#include "profile/profile.h"

struct binary;
struct err;
struct overhead;
struct recorder;
struct recording;
struct session;
struct symbolizer;
struct watch;

struct recorder_parts { /* all live longer than the recorder */
	struct session *session;
	struct watch *watch;
	struct overhead *overhead;
	struct symbolizer *symbolizer;
	uint64_t interval_ns;
};

/* What the status line shows. */
struct recorder_status {
	double live_bytes, live_blocks; /* as of the last snapshot, all classes but mmap */
	double mmap_bytes;
	uint64_t rss_bytes;
	uint64_t site_count, snapshot_count;
	uint64_t lost;	    /* all losses */
	uint32_t mark_count;
	char top_site[160]; /* "function (file:line) +1.2 MiB", "" while unknown */
};

struct recorder *recorder_new(const struct recorder_parts *parts, struct err *err);
void recorder_free(struct recorder *recorder);

/* Where to write; the recording begins now. Before the first snapshot. */
void recorder_set_recording(struct recorder *recorder, struct recording *recording);

/* For session_poll(); 'context' is the recorder. */
int recorder_on_record(void *context, const struct record_head *record, size_t bytes);

/* For watch_options.on_binary; 'context' is the recorder. */
void recorder_on_binary(void *context, const struct binary *binary, pid_t pid);

/* Read everything now. 'marked': by the user; it is named "mark1", "mark2", ... and begins a birth
 * epoch while there are any left. Returns 0, -ENOSPC, ... (the recording cannot be written). */
int recorder_snapshot(struct recorder *recorder, bool marked, struct err *err);

/* Note what happened, with the current time. 'kind' as in struct profile_event. */
void recorder_event(struct recorder *recorder, const char *kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* From here on no new allocations are taken (settle phase). */
void recorder_settle(struct recorder *recorder);

/* Last snapshot and summary; waits up to some seconds for names. Returns as recorder_snapshot. */
int recorder_finish(struct recorder *recorder, struct err *err);

/* Let finished names in; cheap, to be called often. */
void recorder_collect_names(struct recorder *recorder);

/* Time since the recording began. */
uint64_t recorder_elapsed_ns(const struct recorder *recorder);

/* CPU time that the watched processes used since they joined, those that ended included; never
 * falls. ns. */
uint64_t recorder_cpu_ns(struct recorder *recorder);

const struct recorder_status *recorder_status(const struct recorder *recorder);

#endif
