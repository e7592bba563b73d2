/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * profile.h - everything a recording knows, in memory: processes, snapshots, sites, frames, losses.
 *
 * Built once (by store/recording_rows.c from a file), then only read: rank, verdict, diff and every
 * exporter take a const struct profile. Knows nothing of BPF.
 *
 * Sizes are requested bytes. In sampled recordings bytes and blocks are estimates (already scaled
 * up) and 'variance' says how sure they are; in exact ones it is 0.
 */
#ifndef SEEP_PROFILE_PROFILE_H
#define SEEP_PROFILE_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/abi_types.h"
#include "target/process.h"

/* Totals since the recording began. live = alloc - free. */
struct site_totals {
	double alloc_bytes, alloc_blocks;
	double free_bytes, free_blocks;
	double variance; /* of the live bytes, bytes^2 */
};

/* A moment at which the totals of a site changed. Sites are stored only where they changed. */
struct site_point {
	uint32_t snapshot; /* index into profile.snapshots */
	struct site_totals totals;
};

/* What a site allocated in one birth epoch, and what of that was freed, whenever. */
struct site_age {
	double alloc_bytes, alloc_blocks;
	double free_bytes, free_blocks;
};

/* One function at one place. Inlined functions are frames of their own. */
struct profile_frame {
	const char *function; /* never NULL nor "" */
	const char *file;     /* NULL if unknown */
	const char *module;   /* path of the binary; NULL for code in no file and for Python */
	uint64_t offset;      /* ELF address in the module */
	uint32_t line;	      /* 0 if unknown */
	bool python;
	bool inlined;  /* into the frame after it */
	bool internal; /* of the interpreter's own binary; hidden unless asked for (view.h) */
};

struct profile_site {
	uint32_t process; /* index into profile.processes */
	uint32_t alloc_class; /* enum alloc_class */
	const uint32_t *frames; /* indices into profile.frames, leaf first, inlined ones expanded */
	uint32_t frame_count;
	bool truncated; /* the root is missing */
	uint8_t end_reason; /* enum walk_end, meaningful when truncated */
	const pid_t *pids; /* of a site that is merged across processes, ascending; else NULL */
	uint32_t pid_count;
	const struct site_point *points; /* by snapshot, ascending; the first may be later than 0 */
	uint32_t point_count;
	struct site_age age[AGE_CLASSES]; /* at the end; profile.epoch_start_ns tells when */
	uint8_t verdicts; /* of a group of sites that have no place in common: 1 << enum
			   * site_verdict of each; else 0 */
};

struct profile_snapshot {
	uint64_t time_ns; /* since the recording began */
	uint64_t events;  /* probe hits since the recording began */
	uint64_t bpf_ns;  /* time those hits cost, by the calibrated price of a hit */
	bool marked;	  /* asked for by the user (SIGUSR1) */
	bool settling;	  /* no new allocations were taken from here on */
	uint32_t mark;	  /* its number, from 1 on; 0 where not marked */
};

struct profile_process {
	pid_t pid;
	uint64_t start_time_ns;
	char comm[COMM_MAX];
	const char *exe;
	const char *python;    /* version, or NULL */
	const char *allocator; /* "glibc 2.36", "jemalloc", ... */
	uint64_t begin_ns;     /* when it joined the recording */
	uint64_t end_ns;       /* when it left */
	const char *end_reason; /* "exited", "exec", or NULL: it was there at the end */
	struct memory_breakdown start_memory, end_memory; /* rss_bytes 0: not read */
	uint64_t *rss_bytes;   /* by snapshot; 0 where not read */
};

struct profile_loss {
	const char *key;  /* stable name: "ledger_full" */
	const char *text; /* one line for people */
	uint64_t count;
};

/* What happened on the way: sampling raised, detached, exec, library loaded, ... */
struct profile_event {
	uint64_t time_ns;
	const char *kind; /* "sampling", "detach", "exec", "exit", "fork", "mark", "settle" */
	const char *text; /* one line */
};

/* Where a profile begins that is only the later part of a recording (window.h). */
struct profile_since {
	const char *name; /* as it was asked for: "mark1", "30s" */
	uint64_t time_ns; /* of that snapshot, since the recording began */
	bool exact;	  /* a birth epoch began there: the live figures are exact */
	double alloc_bytes, alloc_blocks; /* since then */
	double live_bytes, live_blocks;	  /* of these alive at the end; at least, when not exact */
	double most_bytes;		  /* the same, at most */
};

/* One side of a differential profile (diff.h). */
struct profile_moment {
	const char *path, *name; /* of the recording, and "30s", "mark1", "end", ... */
	uint64_t time_ns;	 /* of the snapshot, since its recording began */
	uint64_t sample_bytes;	 /* 1: exact */
	double live_bytes, live_blocks;
	uint64_t rss_bytes; /* 0: not read */
};
struct profile_diff {
	struct profile_moment a, b;
	bool one_recording;	     /* both moments are of it: its timeline is one */
	uint32_t merged_a, merged_b; /* processes of one name that became one */
	uint32_t only_a, only_b;     /* processes without a counterpart */
};

struct profile {
	const char *version; /* of the seep that wrote it */
	const char *kernel;
	const char *host;
	uint64_t start_unix_ns;
	uint64_t duration_ns, interval_ns;
	uint64_t settle_ns; /* 0: no settle phase */
	uint64_t sample_bytes; /* 1: exact */
	double ns_per_hit; /* calibrated on that machine */
	uint64_t hits;	   /* probe hits in all */
	double cpu_percent; /* of one core, spent in probes */
	double slowdown_percent; /* of the targets' own CPU time, over the whole recording; 0: not
				  * measured; 1000: that or more (probe/overhead.h) */
	uint64_t unmatched_frees; /* frees of blocks older than the recording */
	bool complete;	   /* false: the writer died before it could close the file */

	struct profile_process *processes;
	struct profile_snapshot *snapshots;
	struct profile_site *sites;
	struct profile_frame *frames;
	struct profile_loss *losses; /* those that are not zero */
	struct profile_event *events;
	uint32_t process_count, snapshot_count, site_count, frame_count, loss_count, event_count;
	uint64_t epoch_start_ns[AGE_CLASSES]; /* birth epochs; UINT64_MAX: not begun */

	const struct profile_since *since; /* NULL: from the beginning */
	const struct profile_diff *diff;   /* NULL: of one recording. Else snapshots[0] has the totals
					    * of one moment, snapshots[1] of the other */

	struct arena *arena; /* owns everything above */
};

void profile_deinit(struct profile *profile);

/* Totals of a site as of a snapshot (zero before its first point). */
struct site_totals profile_site_at(const struct profile_site *site, uint32_t snapshot);

/* "COMM (pid N)"; of merged processes the name alone, "several processes" where they have several.
 * On the heap; NULL when memory is out. */
char *process_label(const struct profile_process *process);

/* Frames of the longest stack. */
uint32_t profile_longest_stack(const struct profile *profile);

/* Is there any Python frame? */
bool profile_has_python(const struct profile *profile);

static inline double live_bytes(struct site_totals totals)
{
	return totals.alloc_bytes - totals.free_bytes;
}

static inline double live_blocks(struct site_totals totals)
{
	return totals.alloc_blocks - totals.free_blocks;
}

#endif
