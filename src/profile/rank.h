/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rank.h - which sites keep memory, in the order in which a person should look at them.
 *
 * Works on the live bytes of each site over the snapshots of the recording phase (those before the
 * settle phase, in the life of its process; at most RANK_SERIES_MAX of them, evenly picked) and on
 * its age classes.
 *
 *   growth	live bytes at the last snapshot of all - at the first. Blocks older than the
 *		recording are not seen, so this is usually all the site holds at the end.
 *   slope	Theil-Sen: the median of the slopes between all pairs of snapshots. Times may be
 *		irregular; up to 29 % of wild values do not move it.
 *   survival	of the bytes born in old epochs (those that ended before the last third of the
 *		recording phase), the share alive at the end. "Of what was allocated in the
 *		first minute, 99 % is still there."
 *   retention	of the bytes *live* when the last old epoch ended, the share alive at the end.
 *		Unlike survival it is not drowned by a site that also allocates for a moment.
 *		With a settle phase it is at most the share of what was live when the settling
 *		began and is alive at its end.
 *   error	one standard deviation of the growth; 0 in exact recordings.
 *   rising	the positive part of all movement: sum of rises / sum of rises and falls; 1 for
 *		a site that never shrank, 0.5 for one that went nowhere.
 *
 * One word per site. The recording phase is cut into thirds; the first is warm-up.
 *
 *   steady	nothing grew beyond two standard deviations; or the live bytes reached 80 % of
 *		their level in the first tenth and are exchanged since; or blocks live shorter
 *		than the time between two snapshots without a clear trend: churn
 *   sawtooth	fell by 40 % of its peak or more, and rose by as much again
 *   shrinking	fell that far and stayed there, or ends the last third 10 % of the peak lower
 *   plateau	grew, but does not any more: no trend in the last two thirds, or the last third
 *		at less than 15 % of the rate of the middle one
 *   leak	still grows in the last third, at half the rate of the middle third at least, and
 *		at least half of what was live then is alive now (retention). Also where churn
 *		hides the trend: the old epochs keep bytes at one constant rate, the last of them
 *		of four blocks at least
 *   growing	grows likewise, but what it holds is exchanged, or the growth slows down
 *
 * A leak and what grows rose in at least three separate steps, at least a twentieth of the life of
 * their process apart. What rose less often (a table at start-up, a buffer for one request) is a
 * plateau.
 *
 * Of a group of sites that have no place in common (profile_site.verdicts) no more is said than of
 * one of them: it is a leak or growing only if one of them is, else a plateau.
 *
 * With fewer than RANK_FEW snapshots in the life of its process, as far apart, a start-up cannot be
 * told from a leak: what would be a leak is called growing, unless it is one or two blocks or rose
 * in one of several steps only.
 *
 * The order 'growth' is not the order of growth_bytes: a cache that has filled must not outrank a
 * leak that will go on. It sorts by 'score', the bytes that would be added if the process ran as
 * long again: for leak and growing the rate of the last third, slowing down further as it did from
 * the middle third, x duration (at most the growth seen) x retention; a thousandth of the growth
 * for the others, and a hundredth of the score where snapshots are too few. In the first
 * RANK_EARLY_SECONDS nobody can tell what goes on: there it is growth x retention for all that
 * grew. Sites without growth and live bytes are last.
 *
 * Of a differential profile (diff.h) there is no more to say than growing, shrinking or steady, by
 * the sign of the growth where it is beyond two standard deviations; the slope is the difference of
 * the rates, the score the growth.
 */
#ifndef SEEP_PROFILE_RANK_H
#define SEEP_PROFILE_RANK_H

#include "profile/profile.h"

struct err;

#define RANK_SERIES_MAX 300
#define RANK_FEW	6
#define RANK_EARLY_SECONDS 10

enum site_verdict {
	VERDICT_LEAK,
	VERDICT_GROWING,
	VERDICT_PLATEAU,
	VERDICT_SAWTOOTH,
	VERDICT_STEADY,
	VERDICT_SHRINKING,
	VERDICT_COUNT,
};
const char *site_verdict_name(enum site_verdict verdict); /* "leak", ... */

enum rank_order {
	RANK_GROWTH, /* by score, see above */
	RANK_LIVE,   /* by live bytes at the end; empty ones last */
	RANK_ALLOC,  /* by bytes allocated in all */
};

struct rank_options {
	enum rank_order order;
	double min_growth_bytes; /* sites that grew less are left out; 0: none are */
};

struct ranked_site {
	const struct profile_site *site;
	struct site_totals end; /* at the last snapshot */
	double growth_bytes, growth_blocks;
	double slope;	    /* bytes/s, of the recording phase */
	double survival;    /* 0..1 */
	double retention;   /* 0..1 */
	double error_bytes; /* one standard deviation of growth_bytes */
	double rising;	    /* 0..1 */
	double score;	    /* bytes */
	uint32_t snapshots; /* in the life of its process; below RANK_FEW it is never a leak */
	enum site_verdict verdict;
};

/* Neither growth nor live bytes: all that was allocated there is freed. */
bool ranked_site_empty(const struct ranked_site *ranked);

struct ranking {
	struct ranked_site *items; /* best first */
	size_t count;
	size_t left_out; /* by min_growth_bytes */
};

/* Rank all sites. The ranking points into 'profile'. Returns 0 or -ENOMEM. */
int ranking_build(const struct profile *profile, const struct rank_options *options,
		  struct ranking *ranking, struct err *err);
void ranking_free(struct ranking *ranking);

#endif
