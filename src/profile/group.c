/* SPDX-License-Identifier: GPL-2.0-only */
/* group.c - see group.h */
#include "profile/group.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/table.h"

/* What two sites have in common when they are one group. Texts are interned again, so that equal
 * texts are equal pointers; no padding, the bytes are compared. */
struct group_key {
	const char *function, *file, *module;
	uint64_t line;
	uint32_t process, alloc_class;
};

struct grouping {
	const struct profile *profile;
	struct profile *grouped;
	enum group_by by;
	struct table *keys;
	uint32_t *group_of; /* by site */
	/* one row per snapshot, for the group at hand */
	struct site_totals *change;
	bool *changed;
};

static bool starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool is_wrapper(const struct profile_frame *frame)
{
	static const char *const prefixes[] = {
	    "operator new(",
	    "operator new[](",
	    "std::",
	    "__gnu_cxx::",
	    "alloc::alloc::",
	    "alloc::raw_vec::",
	    "__rust_alloc",
	    "__rdl_alloc",
	    "__rg_alloc",
	};

	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
		if (starts_with(frame->function, prefixes[i]))
			return true;
	/* templates print their return type first: their header tells them */
	return (frame->file && strstr(frame->file, "/include/c++/")) ||
	       (frame->module && strstr(frame->module, "/libstdc++.so."));
}

uint32_t site_naming_frame(const struct profile *profile, const struct profile_site *site)
{
	for (uint32_t i = 0; i < site->frame_count; i++) {
		const struct profile_frame *frame = &profile->frames[site->frames[i]];

		if (!frame->internal && !is_wrapper(frame))
			return i;
	}
	return 0;
}

/* The parts of the frame that this grouping does not look at are left out. */
static void frame_reduce(struct profile_frame *frame, enum group_by by)
{
	bool keep_file = by != GROUP_MODULE && (by != GROUP_FILE || frame->file);

	if (by == GROUP_FILE || by == GROUP_MODULE) {
		const char *name = keep_file ? frame->file : frame->module;

		frame->function = name ? name : "[no file]";
	}
	if (by != GROUP_LINE) {
		frame->line = 0;
		frame->offset = 0;
	}
	/* without a line, the place inside the function is the offset */
	if (by == GROUP_LINE && frame->line)
		frame->offset = 0;
	if (!keep_file)
		frame->file = NULL;
	if (by == GROUP_FILE && frame->file)
		frame->module = NULL;
	frame->inlined = false;
}

static bool group_key_fill(struct grouping *grouping, const struct profile_site *site,
			   const struct profile_frame *frame, struct group_key *key)
{
	struct arena *arena = grouping->grouped->arena;

	memset(key, 0, sizeof(*key));
	key->function = arena_intern(arena, frame->function);
	key->file = arena_intern(arena, frame->file);
	key->module = arena_intern(arena, frame->module);
	key->line = (uint64_t)frame->line << 32 ^ frame->offset;
	key->process = site->process;
	key->alloc_class = site->alloc_class;
	return key->function && (key->file || !frame->file) && (key->module || !frame->module);
}

/* Find or make the group of a site and add its age classes. Returns 0 or -ENOMEM. */
static int group_join(struct grouping *grouping, uint32_t index)
{
	const struct profile_site *site = &grouping->profile->sites[index];
	struct profile *grouped = grouping->grouped;
	struct profile_frame frame = {.function = "[no frames]"};
	struct profile_site *group;
	struct group_key key;
	bool added;
	ssize_t at;

	if (site->frame_count) {
		uint32_t naming = site_naming_frame(grouping->profile, site);

		frame = grouping->profile->frames[site->frames[naming]];
	}
	frame_reduce(&frame, grouping->by);
	if (!group_key_fill(grouping, site, &frame, &key))
		return -ENOMEM;
	at = table_add(grouping->keys, &key, &added);
	if (at < 0)
		return -ENOMEM;
	grouping->group_of[index] = at;
	group = &grouped->sites[at];
	if (added) {
		uint32_t *frame_index = arena_array(grouped->arena, uint32_t, 1);

		if (!frame_index)
			return -ENOMEM;
		*frame_index = at;
		grouped->frames[at] = frame;
		group->process = site->process;
		group->alloc_class = site->alloc_class;
		group->frames = frame_index;
		group->frame_count = 1;
	}
	for (unsigned int age = 0; age < AGE_CLASSES; age++) {
		group->age[age].alloc_bytes += site->age[age].alloc_bytes;
		group->age[age].free_bytes += site->age[age].free_bytes;
	}
	return 0;
}

static void totals_add(struct site_totals *to, struct site_totals more, double sign)
{
	to->alloc_bytes += sign * more.alloc_bytes;
	to->alloc_blocks += sign * more.alloc_blocks;
	to->free_bytes += sign * more.free_bytes;
	to->free_blocks += sign * more.free_blocks;
	to->variance += sign * more.variance;
}

static void changes_add(struct grouping *grouping, const struct profile_site *site)
{
	struct site_totals before = {0};

	for (uint32_t i = 0; i < site->point_count; i++) {
		const struct site_point *point = &site->points[i];

		totals_add(&grouping->change[point->snapshot], point->totals, 1);
		totals_add(&grouping->change[point->snapshot], before, -1);
		grouping->changed[point->snapshot] = true;
		before = point->totals;
	}
}

/* Turn the collected changes into the points of a group. Returns 0 or -ENOMEM. */
static int points_store(struct grouping *grouping, struct profile_site *group)
{
	uint32_t snapshot_count = grouping->profile->snapshot_count, count = 0;
	struct site_totals sum = {0};
	struct site_point *points;

	for (uint32_t i = 0; i < snapshot_count; i++)
		count += grouping->changed[i];
	points = arena_array(grouping->grouped->arena, struct site_point, count);
	if (!points && count)
		return -ENOMEM;
	group->points = points;
	group->point_count = count;
	for (uint32_t i = 0; i < snapshot_count; i++) {
		if (!grouping->changed[i])
			continue;
		totals_add(&sum, grouping->change[i], 1);
		*points++ = (struct site_point){.snapshot = i, .totals = sum};
		grouping->change[i] = (struct site_totals){0};
		grouping->changed[i] = false;
	}
	return 0;
}

/* Sites in the order of their groups, so that one group at a time is summed. */
static int sites_sum(struct grouping *grouping)
{
	uint32_t site_count = grouping->profile->site_count,
		 group_count = table_count(grouping->keys);
	_cleanup_free_ uint32_t *begin = calloc(group_count + 2UL, sizeof(*begin));
	_cleanup_free_ uint32_t *order = calloc(site_count + 1UL, sizeof(*order));

	if (!begin || !order)
		return -ENOMEM;
	for (uint32_t i = 0; i < site_count; i++)
		begin[grouping->group_of[i] + 2]++;
	for (uint32_t group = 2; group <= group_count; group++)
		begin[group] += begin[group - 1];
	for (uint32_t i = 0; i < site_count; i++)
		order[begin[grouping->group_of[i] + 1]++] = i;
	for (uint32_t group = 0; group < group_count; group++) {
		for (uint32_t i = begin[group]; i < begin[group + 1]; i++)
			changes_add(grouping, &grouping->profile->sites[order[i]]);
		if (points_store(grouping, &grouping->grouped->sites[group]))
			return -ENOMEM;
	}
	return 0;
}

static int grouping_run(struct grouping *grouping)
{
	const struct profile *profile = grouping->profile;
	struct profile *grouped = grouping->grouped;

	grouped->sites =
	    arena_array(grouped->arena, struct profile_site, profile->site_count + 1UL);
	grouped->frames =
	    arena_array(grouped->arena, struct profile_frame, profile->site_count + 1UL);
	if (!grouped->sites || !grouped->frames)
		return -ENOMEM;
	for (uint32_t i = 0; i < profile->site_count; i++)
		if (group_join(grouping, i))
			return -ENOMEM;
	grouped->site_count = grouped->frame_count = table_count(grouping->keys);
	return sites_sum(grouping);
}

int profile_group(const struct profile *profile, enum group_by by, struct profile *grouped,
		  struct err *err)
{
	struct grouping grouping = {.profile = profile, .grouped = grouped, .by = by};
	int status = -ENOMEM;

	*grouped = *profile;
	grouped->arena = arena_new();
	grouping.keys = table_new(sizeof(struct group_key));
	grouping.group_of = calloc(profile->site_count + 1UL, sizeof(uint32_t));
	grouping.change = calloc(profile->snapshot_count + 1UL, sizeof(*grouping.change));
	grouping.changed = calloc(profile->snapshot_count + 1UL, sizeof(bool));
	if (grouped->arena && grouping.keys && grouping.group_of && grouping.change &&
	    grouping.changed)
		status = grouping_run(&grouping);
	table_free(grouping.keys);
	free(grouping.group_of);
	free(grouping.change);
	free(grouping.changed);
	if (!status)
		return 0;
	profile_deinit(grouped);
	return err_set(err, ENOMEM, "out of memory");
}
