/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * window.h - moments of a recording, and what was allocated since one of them and is still alive.
 *
 * Totals alone do not tell it: what was freed since may be older. Birth epochs do, where one begins
 * at the moment: at each mark, and where the recorder began one by itself. Everywhere else there
 * are bounds, site by site:
 *
 *	at least	what epochs that began later hold, and the growth since (frees of older
 *			blocks only make it less)
 *	at most		what is alive of these and of the epoch in which the moment lies, and
 *			what was allocated since
 *
 * Where the two meet, as for a leak of which nothing is freed, they are exact as well; else the
 * profile has the lower one.
 */
#ifndef SEEP_PROFILE_WINDOW_H
#define SEEP_PROFILE_WINDOW_H

#include "profile/profile.h"

struct err;

/*
 * Which snapshot 'text' means: "start", "end", "markN" (N from 1), or a time since the recording
 * began ("30s", "1m30s"), of which the nearest snapshot is taken. Returns 0 or -EINVAL with one line
 * that says what there is instead.
 */
int moment_find(const struct profile *profile, const char *text, uint32_t *snapshot,
		struct err *err);

/*
 * The part of 'whole' since the moment 'text': its snapshots from there on, times counted from
 * there, of each site only what was born since, and no site that allocated nothing since. The
 * totals at the end are as above; those between are exact while no older block is freed, else in
 * proportion. 'since' shares texts and readings with 'whole', which must live longer, and is for
 * profile_deinit(). Returns 0, -EINVAL as moment_find(), or -ENOMEM.
 */
int profile_since(const struct profile *whole, const char *text, struct profile *since,
		  struct err *err);

#endif
