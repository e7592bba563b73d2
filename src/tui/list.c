/* SPDX-License-Identifier: GPL-2.0-only */
/* list.c - see list.h */
#include "tui/list.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "profile/view.h"
#include "store/recording.h"

const char *list_sort_name(enum list_sort sort)
{
	static const char *const names[] = {"rank", "growth", "rate", "live", "blocks", "kept"};

	return names[sort];
}

const char *list_by_name(enum group_by by)
{
	static const char *const names[GROUP_COUNT] = {
	    [GROUP_SITE] = "site",	 [GROUP_FUNCTION] = "function",
	    [GROUP_LINE] = "line",	 [GROUP_FILE] = "file",
	    [GROUP_MODULE] = "module",	 [GROUP_TRACEBACK] = "traceback",
	    [GROUP_PROCESS] = "process",
	};

	return names[by];
}

/* ---- loading -------------------------------------------------------------------------------- */

static void ranking_drop(struct ranking *ranking)
{
	ranking_free(ranking);
	*ranking = (struct ranking){0};
}

static void profile_drop(struct profile *profile)
{
	profile_deinit(profile);
	*profile = (struct profile){0};
}

static void rows_drop(struct list *list)
{
	free(TAKE_PTR(list->rows));
	list->count = list->total = 0;
	ranking_drop(&list->groups);
	profile_drop(&list->grouped);
	list->by = GROUP_SITE;
	list->shown = &list->view;
}

void list_free(struct list *list)
{
	rows_drop(list);
	ranking_drop(&list->stacks);
	profile_drop(&list->view);
	profile_drop(&list->whole);
	list->loaded = false;
}

static void live_sum(struct list *list)
{
	memset(list->live_bytes, 0, sizeof(list->live_bytes));
	list->several_processes = false;
	for (size_t i = 0; i < list->stacks.count; i++) {
		const struct ranked_site *ranked = &list->stacks.items[i];

		if (ranked->site->alloc_class < CLASS_COUNT)
			list->live_bytes[ranked->site->alloc_class] += live_bytes(ranked->end);
		if (ranked->site->process != list->stacks.items[0].site->process)
			list->several_processes = true;
	}
}

int list_load(struct list *list, const char *path, struct err *err)
{
	const struct view_options view = {.frames = VIEW_PLAIN};
	const struct rank_options order = {.order = RANK_GROWTH};
	struct list next = {0};
	struct view_rest rest;
	int status = recording_load(path, &next.whole, err);

	if (status)
		return status;
	status = profile_view(&next.whole, &view, &next.view, &rest, err);
	if (!status)
		status = ranking_build(&next.view, &order, &next.stacks, err);
	if (status) {
		list_free(&next);
		return status;
	}
	list_free(list);
	*list = next; /* the ranking points to the sites, not to the struct that has them */
	list->shown = &list->view;
	list->loaded = true;
	live_sum(list);
	return 0;
}

/* ---- names ---------------------------------------------------------------------------------- */

char *list_place(const struct profile_frame *frame)
{
	const char *slash = frame->module ? strrchr(frame->module, '/') : NULL;
	const char *module = slash && slash[1] ? slash + 1 : frame->module;
	char *place = NULL;
	int length;

	if (frame->file && frame->line)
		length = asprintf(&place, "%s:%u", frame->file, frame->line);
	else if (frame->file)
		length = asprintf(&place, "%s", frame->file);
	else if (module && frame->offset && !strchr(frame->function, '+'))
		length = asprintf(&place, "%s+0x%llx", module, (unsigned long long)frame->offset);
	else
		length =
		    asprintf(&place, "%s", module && !strchr(frame->function, '+') ? module : "");
	return length < 0 ? NULL : place;
}

int list_name(const struct list *list, size_t row, char **name, char **place)
{
	const struct profile *profile = list->shown;
	const struct profile_site *site = list->rows[row]->site;
	uint32_t naming = site_naming_frame(profile, site);
	uint32_t called = site_called_frame(profile, site);
	const struct profile_frame *frame;
	int length;

	*name = *place = NULL;
	if (!site->frame_count) {
		*name = strdup("[no frames]");
		*place = strdup("");
		return *name && *place ? 0 : -ENOMEM;
	}
	frame = &profile->frames[site->frames[naming]];
	if (called < site->frame_count && called != naming)
		length = asprintf(name, "%s < %s", profile->frames[site->frames[called]].function,
				  frame->function);
	else
		length = asprintf(name, "%s", frame->function);
	if (length < 0)
		*name = NULL;
	*place = list_place(frame);
	if (*place && *name && !strcmp(*place, *name))
		(*place)[0] = '\0';
	return *name && *place ? 0 : -ENOMEM;
}

static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t count)
{
	const unsigned char *at = bytes; /* FNV-1a */

	while (count--)
		hash = (hash ^ *at++) * 1099511628211ULL;
	return hash;
}

static uint64_t hash_text(uint64_t hash, const char *text)
{
	return text ? hash_bytes(hash, text, strlen(text) + 1) : hash_bytes(hash, "", 1);
}

uint64_t list_key(const struct list *list, size_t row)
{
	const struct profile_site *site = list->rows[row]->site;
	uint64_t hash = hash_bytes(14695981039346656037ULL, &site->process, sizeof(site->process));

	hash = hash_bytes(hash, &site->alloc_class, sizeof(site->alloc_class));
	for (uint32_t i = 0; i < site->frame_count; i++) {
		const struct profile_frame *frame = &list->shown->frames[site->frames[i]];

		hash = hash_text(hash, frame->function);
		hash = hash_text(hash, frame->file);
		hash = hash_bytes(hash, &frame->line, sizeof(frame->line));
		hash = hash_bytes(hash, &frame->offset, sizeof(frame->offset));
	}
	return hash;
}

ssize_t list_find(const struct list *list, uint64_t key)
{
	for (size_t i = 0; i < list->count; i++)
		if (list_key(list, i) == key)
			return i;
	return -1;
}

/* ---- rows ----------------------------------------------------------------------------------- */

static double sort_value(const struct ranked_site *ranked, enum list_sort sort)
{
	switch (sort) {
	case LIST_GROWTH:
		return ranked->growth_bytes;
	case LIST_RATE:
		return ranked->slope;
	case LIST_LIVE:
		return live_bytes(ranked->end);
	case LIST_BLOCKS:
		return live_blocks(ranked->end);
	case LIST_KEPT:
		return ranked->survival;
	default:
		return 0;
	}
}

/* What is equal stays in the order of the ranking, in which the items lie in memory. */
static int by_value(const void *left, const void *right, void *sort)
{
	const struct ranked_site *a = *(const struct ranked_site *const *)left;
	const struct ranked_site *b = *(const struct ranked_site *const *)right;
	double x = sort_value(a, *(enum list_sort *)sort),
	       y = sort_value(b, *(enum list_sort *)sort);

	return x != y ? (x < y ? 1 : -1) : (a > b) - (a < b);
}

static int group_rows(struct list *list, enum group_by by, struct err *err)
{
	const struct group_options options = {.by = by};
	const struct rank_options order = {.order = RANK_GROWTH};
	int status = 0;

	if (list->by == by)
		return 0;
	rows_drop(list);
	if (by == GROUP_SITE)
		return 0;
	status = profile_group(&list->view, &options, &list->grouped, err);
	if (!status)
		status = ranking_build(&list->grouped, &order, &list->groups, err);
	if (status) {
		rows_drop(list);
		return status;
	}
	list->by = by;
	list->shown = &list->grouped;
	return 0;
}

static bool text_matches(const struct list *list, size_t row, const char *text)
{
	_cleanup_free_ char *name = NULL, *place = NULL;

	if (!text[0])
		return true;
	if (list_name(list, row, &name, &place))
		return false;
	return strcasestr(name, text) || strcasestr(place, text);
}

int list_arrange(struct list *list, const struct list_options *options, struct err *err)
{
	enum list_sort sort = options->sort;
	int status = group_rows(list, options->by, err);
	const struct ranking *ranking = list->by == GROUP_SITE ? &list->stacks : &list->groups;
	const struct ranked_site **rows;

	if (status)
		return status;
	rows = calloc(ranking->count + 1, sizeof(*rows));
	if (!rows)
		return err_set(err, ENOMEM, "out of memory");
	free(list->rows);
	list->rows = rows;
	list->count = list->total = 0;
	for (size_t i = 0; i < ranking->count; i++) {
		const struct ranked_site *ranked = &ranking->items[i];

		if (ranked_site_empty(ranked))
			continue;
		list->total++;
		if (options->alloc_class != CLASS_COUNT &&
		    ranked->site->alloc_class != options->alloc_class)
			continue;
		rows[list->count] = ranked;
		if (text_matches(list, list->count, options->text))
			list->count++;
	}
	if (sort != LIST_RANK)
		qsort_r(rows, list->count, sizeof(*rows), by_value, &sort);
	return 0;
}

/* ---- what is behind a row ------------------------------------------------------------------- */

/* Texts of a view and of its groups are the same pointers. */
static bool group_has(const struct list *list, const struct profile_site *group,
		      const struct profile_site *site)
{
	const struct profile_frame *key, *frame;

	if (site->process != group->process || site->alloc_class != group->alloc_class ||
	    !site->frame_count || !group->frame_count)
		return false;
	key = &list->grouped.frames[group->frames[0]];
	frame = &list->view.frames[site->frames[site_naming_frame(&list->view, site)]];
	if (list->by == GROUP_FILE)
		return key->file ? key->file == frame->file : key->module == frame->module;
	if (key->file != frame->file)
		return false;
	if (list->by == GROUP_LINE && key->file && key->line)
		return key->line == frame->line;
	return key->function == frame->function && key->module == frame->module;
}

const struct profile_site *list_stack(const struct list *list, size_t row, size_t *stack_count)
{
	const struct profile_site *found = NULL;

	*stack_count = 1;
	if (list->by == GROUP_SITE)
		return list->rows[row]->site;
	*stack_count = 0;
	for (size_t i = 0; i < list->stacks.count; i++) {
		if (!group_has(list, list->rows[row]->site, list->stacks.items[i].site))
			continue;
		if (!found)
			found = list->stacks.items[i].site;
		++*stack_count;
	}
	return found;
}

void list_series(const struct list *list, size_t row, double *values, size_t count)
{
	uint32_t last = list->whole.snapshot_count ? list->whole.snapshot_count - 1 : 0;

	for (size_t i = 0; i < count; i++) {
		uint32_t snapshot = count > 1 ? (uint64_t)last * i / (count - 1) : last;

		values[i] = live_bytes(profile_site_at(list->rows[row]->site, snapshot));
	}
}
