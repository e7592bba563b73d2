/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dhat.c - see dhat.h
 *
 * dh_view.js refuses a file in which a list of frames appears twice (buildTree(): "repeated
 * location"), so sites that show the same frames are one program point, whose curve is the sum of
 * theirs.
 */
#include "export/dhat.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/table.h"
#include "base/units.h"
#include "base/vec.h"
#include "export/stacks.h"
#include "export/utf8.h"
#include "profile/profile.h"
#include "profile/rank.h"
#include "profile/verdict.h"

#define NS_PER_US 1000
#define NOWHERE	  UINT32_MAX
#define SHORT_US  500 /* DHAT's own word for short-lived (dh_main.c) */

/* A frame of a stack, found from the leaf: what stands below it and its number. */
struct place {
	uint32_t below; /* NOWHERE at the leaf */
	uint32_t frame;
};

/* A program point. */
struct point {
	const struct ranked_site **sites;
	size_t count, capacity;
};

/* Live bytes and blocks by snapshot. */
struct curve {
	double bytes, blocks;
};

struct dhat {
	const struct export_input *input;
	struct stacks stacks;
	struct table *places; /* struct place */
	struct table *ends;   /* of places where a stack ends; by it a program point */
	struct {
		struct point *items;
		size_t count, capacity;
	} points;
	struct curve *all, *one; /* of everything, and of the point at hand */
	uint32_t peak;		 /* snapshot at which there was most */
};

/* ---- program points ----------------------------------------------------------------------------
 */

/* The place at which the stack that was read ends, -1 when memory is out. */
static ssize_t place_find(struct dhat *dhat, const char *class)
{
	struct place place = {NOWHERE, 0};
	ssize_t found = stacks_name(&dhat->stacks, class);
	bool added;

	for (size_t i = 0; i <= dhat->stacks.stack.count && found >= 0; i++) {
		place.frame = i ? dhat->stacks.stack.items[i - 1] : (uint32_t)found;
		found = table_add(dhat->places, &place, &added);
		place.below = found;
	}
	return found;
}

static int site_add(struct dhat *dhat, const struct ranked_site *ranked)
{
	const struct profile_site *site = ranked->site;
	const struct ranked_site **item;
	ssize_t place, number;
	uint32_t end;
	bool added;

	if (stacks_read(&dhat->stacks, site))
		return -ENOMEM;
	place = place_find(dhat, alloc_class_name(site->alloc_class));
	end = place;
	number = place < 0 ? -1 : table_add(dhat->ends, &end, &added);
	if (number < 0 || (added && !vec_add(&dhat->points)))
		return -ENOMEM;
	item =
	    vec_grow((void **)&dhat->points.items[number].sites, &dhat->points.items[number].count,
		     &dhat->points.items[number].capacity, sizeof(*item));
	if (!item)
		return -ENOMEM;
	*item = ranked;
	return 0;
}

/* ---- curves ------------------------------------------------------------------------------------
 */

/* Add what a site holds from each of its points on as steps; curve_sum() makes levels of them. */
static void curve_add(struct curve *curve, const struct profile_site *site)
{
	struct site_totals before = {0};

	for (uint32_t i = 0; i < site->point_count; i++) {
		const struct site_totals *totals = &site->points[i].totals;
		struct curve *at = &curve[site->points[i].snapshot];

		at->bytes += live_bytes(*totals) - live_bytes(before);
		at->blocks += live_blocks(*totals) - live_blocks(before);
		before = *totals;
	}
}

static void curve_sum(struct curve *curve, uint32_t count)
{
	for (uint32_t i = 1; i < count; i++) {
		curve[i].bytes += curve[i - 1].bytes;
		curve[i].blocks += curve[i - 1].blocks;
	}
}

static uint32_t curve_peak(const struct curve *curve, uint32_t count)
{
	uint32_t peak = 0;

	for (uint32_t i = 1; i < count; i++)
		if (curve[i].bytes > curve[peak].bytes)
			peak = i;
	return peak;
}

static void curve_of_point(struct dhat *dhat, const struct point *point)
{
	uint32_t count = dhat->input->profile->snapshot_count;

	memset(dhat->one, 0, (count + 1UL) * sizeof(*dhat->one));
	for (size_t i = 0; i < point->count; i++)
		curve_add(dhat->one, point->sites[i]->site);
	curve_sum(dhat->one, count);
}

/* The area below the blocks; between two snapshots they go straight. */
static double lifetimes_us(const struct curve *curve, const struct profile *profile)
{
	double sum = 0;

	for (uint32_t i = 1; i < profile->snapshot_count; i++) {
		double ns =
		    (double)profile->snapshots[i].time_ns - profile->snapshots[i - 1].time_ns;

		sum += (curve[i].blocks + curve[i - 1].blocks) / 2 * ns / NS_PER_US;
	}
	return sum > 0 ? sum : 0;
}

/* ---- writing -----------------------------------------------------------------------------------
 */

static struct site_values point_values(const struct point *point)
{
	struct site_values sum = {0};

	for (size_t i = 0; i < point->count; i++)
		site_values_add(&sum, point->sites[i]);
	return sum;
}

static void curve_write(FILE *out, struct dhat *dhat, const struct point *point,
			const struct site_values *values)
{
	const struct profile *profile = dhat->input->profile;
	uint32_t peak;

	curve_of_point(dhat, point);
	peak = curve_peak(dhat->one, profile->snapshot_count);
	fprintf(out, ",\"tl\":%.0f,\"mb\":%.0f,\"mbk\":%.0f,\"gb\":%.0f,\"gbk\":%.0f",
		lifetimes_us(dhat->one, profile), round(dhat->one[peak].bytes),
		round(dhat->one[peak].blocks), round(dhat->one[dhat->peak].bytes),
		round(dhat->one[dhat->peak].blocks));
	fprintf(out, ",\"eb\":%lld,\"ebk\":%lld", values->live_bytes, values->live_blocks);
}

/* Returns 0, or -ENOMEM. */
static int point_write(FILE *out, struct dhat *dhat, const struct point *point)
{
	const struct site_values values = point_values(point);
	const struct ranked_site *first = point->sites[0];
	bool growth = dhat->input->differential;
	ssize_t class = stacks_name(&dhat->stacks, alloc_class_name(first->site->alloc_class));
	long long blocks = growth ? values.growth_blocks : values.alloc_blocks;

	if (class < 0 || stacks_read(&dhat->stacks, first->site))
		return -ENOMEM;
	fprintf(out, "{\"tb\":%lld,\"tbk\":%lld", growth ? values.growth_bytes : values.alloc_bytes,
		blocks > 0 ? blocks : 0);
	if (!growth)
		curve_write(out, dhat, point, &values);
	/* 0 is "[root]", which no stack has */
	fprintf(out, ",\"fs\":[%zd", class + 1);
	for (size_t i = 0; i < dhat->stacks.stack.count; i++)
		fprintf(out, ",%u", dhat->stacks.stack.items[i] + 1);
	fputs("]}", out);
	return 0;
}

static int points_write(FILE *out, struct dhat *dhat)
{
	const char *separator = "\n";

	fputs(",\n\"pps\":[", out);
	for (size_t i = 0; i < dhat->points.count; i++) {
		const struct point *point = &dhat->points.items[i];

		if (dhat->input->differential && point_values(point).growth_bytes <= 0)
			continue;
		fputs(separator, out);
		if (point_write(out, dhat, point))
			return -ENOMEM;
		separator = ",\n";
	}
	fputs("]", out);
	return 0;
}

/*
 * "0xADDRESS: function (file:line)" or "(in BINARY)", as valgrind writes it and the Firefox
 * Profiler takes it apart (import/dhat.ts, which shows other texts as they are). Python has no
 * addresses: each line of it has its number in the table.
 */
static int frame_write(FILE *out, const struct stacks *stacks, size_t number)
{
	const struct stack_frame *frame = &stacks->frames.items[number];
	const char *name = stacks_text(stacks, frame->name);
	const char *file = stacks_text(stacks, frame->file);
	const char *module = stacks_text(stacks, frame->module);
	unsigned long long address = frame->address ? frame->address : number + 1;
	_cleanup_free_ char *text = NULL;
	int length;

	if (!frame->file && !frame->module)
		length = asprintf(&text, "%s", name);
	else if (!frame->file)
		length = asprintf(&text, "0x%llX: %s (in %s)", address, name, module);
	else if (!frame->line)
		length = asprintf(&text, "0x%llX: %s (%s)", address, name, file);
	else
		length = asprintf(&text, "0x%llX: %s (%s:%u)", address, name, file, frame->line);
	if (length < 0)
		return -ENOMEM;
	utf8_print_json(out, text);
	return 0;
}

static int frames_write(FILE *out, const struct stacks *stacks)
{
	fputs(",\n\"ftbl\":[\"[root]\"", out);
	for (size_t i = 0; i < stacks->frames.count; i++) {
		fputs(",\n", out);
		if (frame_write(out, stacks, i))
			return -ENOMEM;
	}
	fputs("]}\n", out);
	return 0;
}

static void head_write(FILE *out, const struct dhat *dhat)
{
	const struct profile *whole = dhat->input->whole;
	const struct profile_process *process = whole->process_count ? whole->processes : NULL;
	const struct profile *profile = dhat->input->profile;
	bool growth = dhat->input->differential;
	uint64_t peak_ns = profile->snapshot_count ? profile->snapshots[dhat->peak].time_ns : 0;

	fprintf(out,
		"{\"dhatFileVersion\":2,\"mode\":\"%s\",\"verb\":\"%s\",\"bklt\":%s,"
		"\"bkacc\":false,\n\"tu\":\"\302\265s\",\"Mtu\":\"s\"",
		growth ? "growth" : "heap", growth ? "Grown" : "Allocated",
		growth ? "false" : "true");
	if (!growth)
		fprintf(out, ",\"tuth\":%d,\"tg\":%llu", SHORT_US,
			(unsigned long long)peak_ns / NS_PER_US);
	fputs(",\n\"cmd\":", out);
	utf8_print_json(out, !process ? "no process" : process->exe ? process->exe : process->comm);
	fprintf(out, ",\"pid\":%d,\"te\":%llu", process ? (int)process->pid : 0,
		(unsigned long long)whole->duration_ns / NS_PER_US);
}

static int dhat_init(struct dhat *dhat, const struct export_input *input)
{
	const struct profile *profile = input->profile;

	*dhat = (struct dhat){
	    .input = input,
	    .places = table_new(sizeof(struct place)),
	    .ends = table_new(sizeof(uint32_t)),
	    .all = calloc(profile->snapshot_count + 1UL, sizeof(struct curve)),
	    .one = calloc(profile->snapshot_count + 1UL, sizeof(struct curve)),
	};
	if (stacks_init(&dhat->stacks, profile, true) || !dhat->places || !dhat->ends ||
	    !dhat->all || !dhat->one)
		return -ENOMEM;
	for (size_t i = 0; i < export_count(input); i++) {
		if (site_add(dhat, &input->ranking->items[i]))
			return -ENOMEM;
		curve_add(dhat->all, input->ranking->items[i].site);
	}
	curve_sum(dhat->all, profile->snapshot_count);
	dhat->peak = curve_peak(dhat->all, profile->snapshot_count);
	return 0;
}

static void dhat_deinit(struct dhat *dhat)
{
	for (size_t i = 0; i < dhat->points.count; i++)
		free(dhat->points.items[i].sites);
	free(dhat->points.items);
	free(dhat->all);
	free(dhat->one);
	table_free(dhat->places);
	table_free(dhat->ends);
	stacks_deinit(&dhat->stacks);
}

int export_dhat(FILE *out, const struct export_input *input)
{
	_cleanup_(dhat_deinit) struct dhat dhat;

	if (dhat_init(&dhat, input))
		return -ENOMEM;
	head_write(out, &dhat);
	if (points_write(out, &dhat) || frames_write(out, &dhat.stacks))
		return -ENOMEM;
	return 0;
}
