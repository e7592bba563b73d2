/* SPDX-License-Identifier: GPL-2.0-only */
/* merge.c - see merge.h */
#include "profile/merge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/table.h"
#include "base/vec.h"

/* Keys of tables: their bytes are compared, so they have no padding. Texts are interned again, so
 * that equal texts are equal pointers. */
struct frame_key {
	const char *function, *file, *module;
	uint64_t offset;
	uint32_t line, flags;
};

/* Stacks are paths in a tree of frames from the root on: they share most of them, and a node is an
 * exact name of a stack. */
struct node_key {
	uint32_t above, frame; /* above: node + 1; 0: root */
};

struct merged_key {
	uint32_t node, process, alloc_class, end; /* node as 'above' */
	uint32_t alone;				  /* site + 1 when it is not to be merged */
};

#define LEFT_OUT UINT32_MAX

struct merger {
	const struct profile *from;
	struct profile *to;
	enum merge_how how;
	struct table *frame_keys, *nodes, *site_keys;
	struct {
		struct profile_frame *items;
		size_t count, capacity;
	} frames;
	uint32_t *group_of; /* by site of 'from' */
	/* for the group at hand: one row per snapshot, and the pids */
	struct site_totals *change;
	bool *changed;
	struct {
		pid_t *items;
		size_t count, capacity;
	} pids;
};

static void merger_free(struct merger *merger)
{
	table_free(merger->frame_keys);
	table_free(merger->nodes);
	table_free(merger->site_keys);
	free(merger->frames.items);
	free(merger->group_of);
	free(merger->change);
	free(merger->changed);
	free(merger->pids.items);
	free(merger);
}

void merger_drop(struct merger *merger)
{
	profile_deinit(merger->to);
	merger_free(merger);
}

static bool merger_allocate(struct merger *merger)
{
	const struct profile *from = merger->from;
	struct profile *to = merger->to;

	to->arena = arena_new();
	if (to->arena)
		to->sites = arena_array(to->arena, struct profile_site, from->site_count + 1UL);
	merger->frame_keys = table_new(sizeof(struct frame_key));
	merger->nodes = table_new(sizeof(struct node_key));
	merger->site_keys = table_new(sizeof(struct merged_key));
	merger->group_of = calloc(from->site_count + 1UL, sizeof(uint32_t));
	merger->change = calloc(from->snapshot_count + 1UL, sizeof(*merger->change));
	merger->changed = calloc(from->snapshot_count + 1UL, sizeof(bool));
	return to->arena && to->sites && merger->frame_keys && merger->nodes && merger->site_keys &&
	       merger->group_of && merger->change && merger->changed;
}

struct merger *merger_new(const struct profile *from, struct profile *to, enum merge_how how)
{
	struct merger *merger = calloc(1, sizeof(*merger));

	*to = *from;
	to->arena = NULL;
	to->sites = NULL;
	to->frames = NULL;
	to->site_count = to->frame_count = 0;
	if (!merger) {
		memset(to, 0, sizeof(*to));
		return NULL;
	}
	merger->from = from;
	merger->to = to;
	merger->how = how;
	if (!merger_allocate(merger)) {
		merger_drop(merger);
		return NULL;
	}
	for (uint32_t i = 0; i < from->site_count; i++)
		merger->group_of[i] = LEFT_OUT;
	return merger;
}

int64_t merger_frame(struct merger *merger, const struct profile_frame *key,
		     const struct profile_frame *shown)
{
	struct arena *arena = merger->to->arena;
	struct frame_key packed = {
	    .function = arena_intern(arena, key->function),
	    .file = arena_intern(arena, key->file),
	    .module = arena_intern(arena, key->module),
	    .offset = key->offset,
	    .line = key->line,
	    .flags = key->python | key->inlined << 1 | key->internal << 2,
	};
	struct profile_frame *frame;
	bool added;
	ssize_t at;

	if ((key->function && !packed.function) || (key->file && !packed.file) ||
	    (key->module && !packed.module))
		return -ENOMEM;
	at = table_add(merger->frame_keys, &packed, &added);
	if (at < 0)
		return -ENOMEM;
	if (added) {
		frame = vec_add(&merger->frames);
		if (!frame)
			return -ENOMEM;
		*frame = *shown;
	}
	return at;
}

static int stack_find(struct merger *merger, const uint32_t *frames, uint32_t count, uint32_t *node)
{
	*node = 0;
	for (uint32_t i = count; i-- > 0;) {
		const struct node_key key = {*node, frames[i]};
		bool added;
		ssize_t at = table_add(merger->nodes, &key, &added);

		if (at < 0)
			return -ENOMEM;
		*node = at + 1;
	}
	return 0;
}

static int group_fill(struct merger *merger, struct profile_site *group,
		      const struct profile_site *site, uint32_t process, const uint32_t *frames,
		      uint32_t count)
{
	uint32_t *copy = arena_array(merger->to->arena, uint32_t, count + 1UL);

	if (!copy)
		return -ENOMEM;
	if (count)
		memcpy(copy, frames, count * sizeof(*copy));
	*group = *site;
	memset(group->age, 0, sizeof(group->age));
	group->process = process;
	group->frames = copy;
	group->frame_count = count;
	group->points = NULL;
	group->point_count = 0;
	if (merger->how == MERGE_PLACES)
		group->truncated = false;
	return 0;
}

int merger_site(struct merger *merger, uint32_t index, uint32_t process, const uint32_t *frames,
		uint32_t count)
{
	const struct profile_site *site = &merger->from->sites[index];
	struct merged_key key = {.process = process, .alloc_class = site->alloc_class};
	struct profile_site *group;
	bool added;
	ssize_t at;

	key.alone = merger->how == MERGE_NOTHING ? index + 1 : 0;
	if (merger->how != MERGE_PLACES && site->truncated)
		key.end = 1U + site->end_reason;
	if (stack_find(merger, frames, count, &key.node))
		return -ENOMEM;
	at = table_add(merger->site_keys, &key, &added);
	if (at < 0)
		return -ENOMEM;
	group = &merger->to->sites[at];
	if (added && group_fill(merger, group, site, process, frames, count))
		return -ENOMEM;
	merger->group_of[index] = at;
	for (unsigned int age = 0; age < AGE_CLASSES; age++) {
		group->age[age].alloc_bytes += site->age[age].alloc_bytes;
		group->age[age].alloc_blocks += site->age[age].alloc_blocks;
		group->age[age].free_bytes += site->age[age].free_bytes;
		group->age[age].free_blocks += site->age[age].free_blocks;
	}
	return 0;
}

const uint32_t *merger_groups(const struct merger *merger)
{
	return merger->group_of;
}

/* ---- sums -------------------------------------------------------------------------------------
 */

static void totals_add(struct site_totals *to, struct site_totals more, double sign)
{
	to->alloc_bytes += sign * more.alloc_bytes;
	to->alloc_blocks += sign * more.alloc_blocks;
	to->free_bytes += sign * more.free_bytes;
	to->free_blocks += sign * more.free_blocks;
	to->variance += sign * more.variance;
}

static void changes_add(struct merger *merger, const struct profile_site *site)
{
	struct site_totals before = {0};

	for (uint32_t i = 0; i < site->point_count; i++) {
		const struct site_point *point = &site->points[i];

		totals_add(&merger->change[point->snapshot], point->totals, 1);
		totals_add(&merger->change[point->snapshot], before, -1);
		merger->changed[point->snapshot] = true;
		before = point->totals;
	}
}

/* Turn the collected changes into the points of a group. Returns 0 or -ENOMEM. */
static int points_store(struct merger *merger, struct profile_site *group)
{
	uint32_t snapshot_count = merger->from->snapshot_count, count = 0;
	struct site_totals sum = {0};
	struct site_point *points;

	for (uint32_t i = 0; i < snapshot_count; i++)
		count += merger->changed[i];
	points = arena_array(merger->to->arena, struct site_point, count + 1UL);
	if (!points)
		return -ENOMEM;
	group->points = points;
	group->point_count = count;
	for (uint32_t i = 0; i < snapshot_count; i++) {
		if (!merger->changed[i])
			continue;
		totals_add(&sum, merger->change[i], 1);
		*points++ = (struct site_point){.snapshot = i, .totals = sum};
		merger->change[i] = (struct site_totals){0};
		merger->changed[i] = false;
	}
	return 0;
}

static int pid_add(struct merger *merger, pid_t pid)
{
	pid_t *added = vec_add(&merger->pids);

	if (!added)
		return -ENOMEM;
	*added = pid;
	return 0;
}

static int site_pids_add(struct merger *merger, const struct profile_site *site)
{
	if (!site->pids)
		return pid_add(merger, merger->from->processes[site->process].pid);
	for (uint32_t i = 0; i < site->pid_count; i++)
		if (pid_add(merger, site->pids[i]))
			return -ENOMEM;
	return 0;
}

static int by_pid(const void *left, const void *right)
{
	pid_t a = *(const pid_t *)left, b = *(const pid_t *)right;

	return (a > b) - (a < b);
}

/* Each pid once. Returns 0 or -ENOMEM. */
static int pids_store(struct merger *merger, struct profile_site *group)
{
	pid_t *pids = arena_array(merger->to->arena, pid_t, merger->pids.count + 1UL);
	uint32_t count = 0;

	if (!pids)
		return -ENOMEM;
	if (merger->pids.count)
		qsort(merger->pids.items, merger->pids.count, sizeof(pid_t), by_pid);
	for (size_t i = 0; i < merger->pids.count; i++)
		if (!count || pids[count - 1] != merger->pids.items[i])
			pids[count++] = merger->pids.items[i];
	group->pids = pids;
	group->pid_count = count;
	merger->pids.count = 0;
	return 0;
}

/* Sum the sites order[0..count) of 'from' into a group. */
static int group_sum(struct merger *merger, struct profile_site *group, const uint32_t *order,
		     uint32_t count, bool pids)
{
	const struct profile_site *sites = merger->from->sites;

	for (uint32_t i = 0; i < count; i++)
		if (pids && site_pids_add(merger, &sites[order[i]]))
			return -ENOMEM;
	if (pids && pids_store(merger, group))
		return -ENOMEM;
	if (count == 1) {
		group->points = sites[order[0]].points;
		group->point_count = sites[order[0]].point_count;
		return 0;
	}
	for (uint32_t i = 0; i < count; i++)
		changes_add(merger, &sites[order[i]]);
	return points_store(merger, group);
}

/* Sites in the order of their groups, so that one group at a time is summed. */
static int sites_sum(struct merger *merger, bool pids)
{
	uint32_t site_count = merger->from->site_count, group_count = merger->to->site_count;
	_cleanup_free_ uint32_t *begin = calloc(group_count + 2UL, sizeof(*begin));
	_cleanup_free_ uint32_t *order = calloc(site_count + 1UL, sizeof(*order));

	if (!begin || !order)
		return -ENOMEM;
	for (uint32_t i = 0; i < site_count; i++)
		if (merger->group_of[i] != LEFT_OUT)
			begin[merger->group_of[i] + 2]++;
	for (uint32_t group = 2; group <= group_count; group++)
		begin[group] += begin[group - 1];
	for (uint32_t i = 0; i < site_count; i++)
		if (merger->group_of[i] != LEFT_OUT)
			order[begin[merger->group_of[i] + 1]++] = i;
	for (uint32_t group = 0; group < group_count; group++)
		if (group_sum(merger, &merger->to->sites[group], order + begin[group],
			      begin[group + 1] - begin[group], pids))
			return -ENOMEM;
	return 0;
}

int merger_finish(struct merger *merger, bool pids)
{
	struct profile *to = merger->to;

	to->site_count = table_count(merger->site_keys);
	to->frame_count = merger->frames.count;
	to->frames = arena_array(to->arena, struct profile_frame, merger->frames.count + 1UL);
	if (to->frames && merger->frames.count)
		memcpy(to->frames, merger->frames.items,
		       merger->frames.count * sizeof(*to->frames));
	if (!to->frames || sites_sum(merger, pids)) {
		merger_drop(merger);
		return -ENOMEM;
	}
	merger_free(merger);
	return 0;
}
