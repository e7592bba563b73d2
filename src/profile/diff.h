/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * diff.h - what differs between two moments, of one recording or of two, as a profile.
 *
 * The result has two snapshots, with the totals of A and of B, so that ranking and every exporter
 * work on it: the growth of a site is what B holds more than A, and may be negative; "live",
 * "alloc" and "freed" are those of B. profile.diff says what is compared.
 *
 * Sites are matched by their frames as a person reads them: function, file, line, and whether it is
 * Python; without a line, function and name of the library. Addresses, offsets and folders of
 * libraries do not count, so that a restarted, rebuilt or moved service still matches; nameless code
 * matches where its library is the same to the byte. Code in no file (JIT) has another address in
 * each run: there all of it is one. Classes must agree.
 *
 * Processes are matched when they are the same (pid and start time); else by name (comm and the
 * last part of exe) where each recording has just one left of that name. Where it has more (the
 * workers of a service), they cannot be told apart and all become one, of pid 0; its sites list
 * their pids. Two recordings of one process each are matched whatever the names.
 */
#ifndef SEEP_PROFILE_DIFF_H
#define SEEP_PROFILE_DIFF_H

#include "profile/profile.h"

struct err;
struct ranked_site;

struct diff_side {
	const struct profile *profile;
	uint32_t snapshot;
	const char *path, *name; /* for people, as in struct profile_moment */
};

/*
 * Compare. 'diff' shares texts with both profiles, which must live longer, and is for
 * profile_deinit(). Returns 0 or -ENOMEM.
 */
int profile_diff(const struct diff_side *a, const struct diff_side *b, struct profile *diff,
		 struct err *err);

enum site_change {
	CHANGE_NEW, /* nothing of it was live in A */
	CHANGE_GROWN,
	CHANGE_SAME, /* or within two standard deviations, when sampled */
	CHANGE_SHRUNK,
	CHANGE_GONE, /* nothing of it is live in B */
	CHANGE_COUNT,
};
/* Of a site of a differential profile, or a group of them. */
enum site_change site_change(const struct ranked_site *ranked);
const char *site_change_name(enum site_change change); /* "new", ... */

/* Seconds by which the live bytes of a side are divided to compare recordings of different
 * lengths; 0 where that makes no sense: both moments of one recording, or at its very start. */
double diff_seconds(const struct profile_diff *diff, const struct profile_moment *moment);

/* Are the recordings so different in length that sums alone mislead? By a twentieth or more. */
bool diff_lengths_differ(const struct profile_diff *diff);

/* Growth per second: of one recording over the time between the moments; of two the difference of
 * their rates. */
double diff_rate(const struct profile *profile, double live_a, double live_b);

#endif
