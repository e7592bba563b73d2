/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * recording.h - a .seep file: one SQLite database, written as the recording goes.
 *
 * Each snapshot is one transaction, so a crash of the writer (or of the machine) leaves a file that
 * is valid up to the last snapshot. Tables: schema.sql. The reader accepts files of other hosts and
 * does not trust them.
 */
#ifndef SEEP_STORE_RECORDING_H
#define SEEP_STORE_RECORDING_H

#include "profile/profile.h"

struct err;
struct recording;

/* ---- writing ----------------------------------------------------------------------------- */

struct recording_meta {
	const char *version, *kernel, *host;
	uint64_t start_unix_ns, interval_ns, settle_ns, sample_bytes;
};

/*
 * Create 'path'. Without 'overwrite' an existing file is -EEXIST. The file appears under its final
 * name at once (it is valid from the start). Returns 0 or -errno with one line.
 */
int recording_create(const char *path, bool overwrite, const struct recording_meta *meta,
		     struct recording **recording, struct err *err);

/*
 * Everything between begin and commit is one snapshot: all of it or none of it is in the file. What
 * is put outside belongs to the next one. A commit that meets a reader of the file for longer than
 * a second is put off to the next. The first failure is final: nothing is written after it, the
 * file keeps its last good snapshot, and every later call returns the same error.
 */
int recording_begin(struct recording *recording, struct err *err);
int recording_commit(struct recording *recording, struct err *err); /* -ENOSPC: disk full */

/* Ids are the caller's. 'put' replaces what was there under the same id. All return 0 or -errno;
 * errors also stick and are reported by the next commit, so that callers may check only that. */
int recording_put_process(struct recording *recording, uint32_t id,
			  const struct profile_process *process);
int recording_put_snapshot(struct recording *recording, uint32_t id,
			   const struct profile_snapshot *snapshot);
int recording_put_rss(struct recording *recording, uint32_t snapshot, uint32_t process,
		      uint64_t rss_bytes);
int recording_put_site(struct recording *recording, uint32_t id, uint32_t process,
		       uint32_t alloc_class, uint32_t stack);
/* Frames as of include/abi.h, leaf first. */
int recording_put_stack(struct recording *recording, uint32_t id, const uint64_t *frames,
			uint32_t frame_count, bool truncated, uint8_t end_reason);
/* The names of one frame: its inline chain, innermost first; 64 at most. Texts are cut at 64 KiB.
 */
int recording_put_frame(struct recording *recording, uint64_t frame,
			const struct profile_frame *lines, uint32_t line_count);
int recording_put_point(struct recording *recording, uint32_t site, const struct site_point *point);
int recording_put_age(struct recording *recording, uint32_t site, uint32_t age,
		      const struct site_age *born);
int recording_put_epoch(struct recording *recording, uint32_t age, uint64_t start_ns);
int recording_put_loss(struct recording *recording, const char *key, const char *text,
		       uint64_t count);
int recording_put_event(struct recording *recording, const struct profile_event *event);
/* Numbers known only at the end, or so far: duration_ns, hits, ns_per_hit, cpu_percent,
 * slowdown_percent, unmatched_frees, and sample_bytes where it is more than at the beginning. */
int recording_put_summary(struct recording *recording, const struct profile *summary);

/* Marks the file complete and closes it. Returns 0 or -errno. 'recording' is gone either way. */
int recording_close(struct recording *recording, struct err *err);

/* ---- reading ------------------------------------------------------------------------------ */

/*
 * Read a file, whoever wrote it. A stack whose frames were never named gets "module+0x..." or
 * "0x..." names; a site without a stack gets the one frame "[stack not received]".
 * Returns 0, -ENOENT, -EINVAL (not a recording, or damaged: the text says which), -EPROTO (written
 * by a newer seep). On failure 'profile' needs no deinit.
 */
int recording_load(const char *path, struct profile *profile, struct err *err);

#endif
