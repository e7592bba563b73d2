/* SPDX-License-Identifier: GPL-2.0-only */
/* group.c - see group.h */
#include "profile/group.h"

#include <errno.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "profile/culprit.h"
#include "profile/merge.h"
#include "profile/rank.h"

struct grouping {
	const struct profile *profile;
	const struct group_options *options;
	struct profile *grouped;
	struct merger *merger;
	struct culprits culprits; /* of GROUP_CULPRIT */
	uint8_t *verdicts;	  /* likewise, of each site */
	bool elsewhere;		  /* the site at hand has no culprit */
	uint32_t *frames; /* that name the group of the site at hand, leaf first */
	uint32_t count;
};

/* The parts of the frame that this grouping does not look at are left out. */
static void frame_reduce(struct profile_frame *frame, enum group_by by)
{
	bool lines = by == GROUP_LINE || by == GROUP_TRACEBACK || by == GROUP_CULPRIT;
	bool keep_file = frame->python || by != GROUP_MODULE;

	if (by == GROUP_FILE || by == GROUP_MODULE) {
		const char *name = keep_file && frame->file ? frame->file : frame->module;

		frame->function = name ? name : "[no file]";
	}
	if (!lines) {
		frame->line = 0;
		frame->offset = 0;
	}
	/* without a line, the place inside the function is the offset */
	if (frame->python || (lines && frame->line))
		frame->offset = 0;
	if (!keep_file)
		frame->file = NULL;
	if (by == GROUP_FILE && frame->file)
		frame->module = NULL;
	frame->inlined = false;
}

/* Several functions may have code on one line; it is one place all the same. */
static struct profile_frame frame_key(const struct profile_frame *reduced, enum group_by by)
{
	struct profile_frame key = *reduced;

	key.internal = false;
	if ((by == GROUP_LINE || by == GROUP_TRACEBACK) && key.file && key.line)
		key.function = key.module = NULL;
	return key;
}

/* Take a copy of a frame, reduced. Returns 0 or -ENOMEM. */
static int grouping_take(struct grouping *grouping, struct profile_frame frame)
{
	enum group_by by = grouping->options->by;
	struct profile_frame key;
	int64_t id;

	frame_reduce(&frame, by);
	key = frame_key(&frame, by);
	id = merger_frame(grouping->merger, &key, &frame);
	if (id < 0)
		return -ENOMEM;
	grouping->frames[grouping->count++] = id;
	return 0;
}

static int grouping_take_process(struct grouping *grouping, const struct profile_site *site)
{
	_cleanup_free_ char *name = process_label(&grouping->profile->processes[site->process]);
	struct profile_frame frame = {0};
	int64_t id;

	frame.function = name ? arena_intern(grouping->grouped->arena, name) : NULL;
	if (!frame.function)
		return -ENOMEM;
	id = merger_frame(grouping->merger, &frame, &frame);
	if (id < 0)
		return -ENOMEM;
	grouping->frames[grouping->count++] = id;
	return 0;
}

static int grouping_take_culprit(struct grouping *grouping, const struct profile_site *site)
{
	const struct culprit *culprit = culprit_of(&grouping->culprits, site);

	grouping->elsewhere = !culprit;
	if (!culprit)
		return grouping_take(grouping, (struct profile_frame){.function = "[elsewhere]"});
	return grouping_take(grouping, grouping->profile->frames[culprit_frame(culprit)]);
}

/* Find the culprits that sites are grouped by. Returns 0 or -ENOMEM. */
static int grouping_blame(struct grouping *grouping)
{
	const struct rank_options order = {.order = RANK_GROWTH};
	_cleanup_(ranking_free) struct ranking ranking = {0};

	if (grouping->options->by != GROUP_CULPRIT)
		return 0;
	grouping->verdicts = calloc(grouping->profile->site_count + 1UL, 1);
	if (!grouping->verdicts || ranking_build(grouping->profile, &order, &ranking, NULL))
		return -ENOMEM;
	for (size_t i = 0; i < ranking.count; i++)
		grouping->verdicts[ranking.items[i].site - grouping->profile->sites] =
		    ranking.items[i].verdict;
	return culprits_find(grouping->profile, &ranking, &grouping->culprits, NULL);
}

static int grouping_take_traceback(struct grouping *grouping, const struct profile_site *site,
				   uint32_t naming)
{
	const struct profile_frame *frames = grouping->profile->frames;
	bool python = !grouping->options->native && frames[site->frames[naming]].python;
	uint32_t most = grouping->options->traceback_frames;

	for (uint32_t i = naming; i < site->frame_count; i++) {
		if (python && !frames[site->frames[i]].python)
			continue;
		if (grouping_take(grouping, frames[site->frames[i]]))
			return -ENOMEM;
		if (grouping->count == most)
			break;
	}
	return 0;
}

static uint32_t naming_find(const struct grouping *grouping, const struct profile_site *site)
{
	const struct group_options *options = grouping->options;

	if (options->native)
		return site_leaf_frame(grouping->profile, site, true);
	if (options->by == GROUP_MODULE)
		return site_leaf_frame(grouping->profile, site, false);
	return site_naming_frame(grouping->profile, site);
}

static int grouping_add(struct grouping *grouping, uint32_t index)
{
	const struct profile_site *site = &grouping->profile->sites[index];
	int status;

	grouping->count = 0;
	if (grouping->options->by == GROUP_PROCESS) {
		status = grouping_take_process(grouping, site);
	} else if (grouping->options->by == GROUP_CULPRIT) {
		status = grouping_take_culprit(grouping, site);
	} else if (!site->frame_count) {
		status = grouping_take(grouping, (struct profile_frame){.function = "[no frames]"});
	} else {
		uint32_t naming = naming_find(grouping, site);
		uint32_t frame = site->frames[naming];

		status = grouping->options->by == GROUP_TRACEBACK
			     ? grouping_take_traceback(grouping, site, naming)
			     : grouping_take(grouping, grouping->profile->frames[frame]);
	}
	if (status)
		return status;
	return merger_site(grouping->merger, index, site->process, grouping->frames,
			   grouping->count);
}

int profile_group(const struct profile *profile, const struct group_options *options,
		  struct profile *grouped, struct err *err)
{
	_cleanup_free_ uint32_t *frames = calloc(profile_longest_stack(profile) + 1UL, sizeof(*frames));
	struct merger *merger = merger_new(profile, grouped, MERGE_PLACES);
	struct grouping grouping = {.profile = profile,
				    .options = options,
				    .grouped = grouped,
				    .merger = merger,
				    .frames = frames};
	int status = frames ? 0 : -ENOMEM;
	bool pids = false;

	if (!merger)
		return err_set(err, ENOMEM, "out of memory");
	if (!status)
		status = grouping_blame(&grouping);
	for (uint32_t i = 0; i < profile->site_count && !status; i++) {
		status = grouping_add(&grouping, i);
		if (!status && grouping.elsewhere)
			grouped->sites[merger_groups(merger)[i]].verdicts |=
			    1U << grouping.verdicts[i];
		pids |= profile->sites[i].pids != NULL;
	}
	culprits_free(&grouping.culprits);
	free(grouping.verdicts);
	if (status)
		merger_drop(merger);
	else
		status = merger_finish(merger, pids);
	return status ? err_set(err, ENOMEM, "out of memory") : 0;
}
