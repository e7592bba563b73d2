/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * culprit.h - the frames through which the growth passes.
 *
 * One leak is often a dozen sites: a Thread with its Event, Condition, locks and dict. What is to
 * blame is the line that made the Thread, which stands in none of the rows of the ranking.
 *
 * Looked at are the sites that go on growing (verdicts leak and growing), as a tree of their frames
 * from the root on. Of recursion each frame counts once, where it stands first from the root. What
 * passes through a frame is weighed by the sites' scores (rank.h), so that what slows down or is
 * exchanged weighs less. The walk begins above the roots:
 *
 *   1. the walk ends when what is below a frame is one thing: sites of 90 % of its weight grew by
 *	1 to 8 times one number of blocks (within half a percent and a block), as a Thread has one
 *	Event and two locks; that number is the growth of the heaviest site, or a half to a fourth of
 *	it. Where nearly all (85 %) passes through one frame below, what is beside that is asked, if
 *	it is 2 % at least. Not in sampled recordings, and not in frames that only run what they are
 *	given (main, <module>, Thread.run, event loops)
 *   2. a frame below which nearly all passes through one other is left for that one: of main(), the
 *	event loop and the request handler the deepest is named
 *   3. else it goes on into each part that holds 15 % of the weight of all: a frame below, or
 *	the stacks that end here
 *   4. into one alone only if that has 60 % of what this branch began with; below frames that only
 *	run what they are given a branch begins anew
 *   5. where it can go no further, it ends
 *
 * The frame at which a walk ends is a culprit; of a single stack its naming frame (view.h) is.
 * Growth that is scattered above the roots or below a frame that only runs what it is given has no
 * culprit.
 */
#ifndef SEEP_PROFILE_CULPRIT_H
#define SEEP_PROFILE_CULPRIT_H

#include "profile/profile.h"

struct err;
struct ranking;

struct culprit {
	const uint32_t *frames; /* the path, root first, each frame once; owned by culprits.arena */
	uint32_t frame_count;	/* at least 1; the last one is the culprit */
	uint32_t site_count;	/* stacks that go on growing through it, of all processes */
	double growth_bytes;	/* of them */
	double share;		/* of the growth of all stacks that go on growing, 0..1 */
	double score;		/* their sum */
};

struct culprits {
	const struct profile *profile; /* of the frames; must live longer */
	struct culprit *items;	       /* by score, descending */
	size_t count;
	struct arena *arena;
};

/* 'ranking' is of 'profile', a view without what a person does not see. Returns 0 or -ENOMEM. */
int culprits_find(const struct profile *profile, const struct ranking *ranking,
		  struct culprits *culprits, struct err *err);
void culprits_free(struct culprits *culprits);

/* The deepest culprit through which a site of the same profile passes; NULL: none. */
const struct culprit *culprit_of(const struct culprits *culprits, const struct profile_site *site);

static inline uint32_t culprit_frame(const struct culprit *culprit)
{
	return culprit->frames[culprit->frame_count - 1];
}

#endif
