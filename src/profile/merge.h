/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * merge.h - a profile made of another one, in which sites that look the same are one.
 *
 * Who merges says for each site which frames it shows; sites of the same process and class with the
 * same frames become one, with summed points and ages, so that ranking and every exporter work on
 * the result unchanged. A site that is not added is left out. Use:
 *
 *	struct merger *merger = merger_new(from, to, MERGE_STACKS);
 *	int64_t id = merger_frame(merger, &key, &shown);	// each frame, equal keys are one
 *	merger_site(merger, index, process, ids, count);	// each site
 *	status = merger_finish(merger, pids);			// 'merger' is gone
 */
#ifndef SEEP_PROFILE_MERGE_H
#define SEEP_PROFILE_MERGE_H

#include "profile/profile.h"

struct merger;

enum merge_how {
	MERGE_NOTHING, /* each site stays for itself */
	MERGE_STACKS,  /* stacks that are cut differ from whole ones */
	MERGE_PLACES,  /* frames are names of places: cut or not is all the same */
};

/*
 * 'to' becomes a copy of 'from' without sites and frames. It shares texts, snapshots and processes
 * with 'from', which must live longer. Returns NULL when memory is out; 'to' is empty then.
 */
struct merger *merger_new(const struct profile *from, struct profile *to, enum merge_how how);

/*
 * Index of the frame in to->frames, -ENOMEM when memory is out. Frames are one when all of their
 * keys' members are equal, texts by content; 'shown' of the first of them is what stands there.
 */
int64_t merger_frame(struct merger *merger, const struct profile_frame *key,
		     const struct profile_frame *shown);

/*
 * Add site 'index' of 'from', as of process 'process' of 'to', with 'count' frames of
 * merger_frame(), leaf first. Returns 0 or -ENOMEM.
 */
int merger_site(struct merger *merger, uint32_t index, uint32_t process, const uint32_t *frames,
		uint32_t count);

/* Before merger_finish(): the site of 'to' that each site of 'from' is in; UINT32_MAX: none. */
const uint32_t *merger_groups(const struct merger *merger);

/*
 * Sum. With 'pids' each site of 'to' gets the pids of the processes it is of. Returns 0, or -ENOMEM
 * and 'to' is empty; else it is for profile_deinit().
 */
int merger_finish(struct merger *merger, bool pids);
void merger_drop(struct merger *merger); /* instead of finishing; 'to' is empty */

#endif
