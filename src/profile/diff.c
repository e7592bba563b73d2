/* SPDX-License-Identifier: GPL-2.0-only */
/* diff.c - see diff.h */
#include "profile/diff.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/path.h"
#include "base/units.h"
#include "base/vec.h"
#include "profile/merge.h"
#include "profile/rank.h"

enum { SIDE_B, SIDE_A, SIDES }; /* B first: where both have a frame, that of B is shown */

#define NOWHERE UINT32_MAX

struct differ {
	const struct diff_side *sides[SIDES];
	struct profile both; /* sites of B, then those of A, with their totals at the moment */
	struct profile *diff;
	struct merger *merger;
	struct profile_diff *about;
	uint32_t *targets[SIDES]; /* process in 'diff' by process of the side */
	bool *merged;		  /* by process in 'diff': it is several */
	int64_t *frames;	  /* id by frame of the side at hand; -1: not asked for yet */
	uint32_t *stack;
};

/* ---- processes --------------------------------------------------------------------------------
 */

static const char *program_name(const struct profile_process *process)
{
	return process->exe ? path_base(process->exe) : "";
}

static bool same_recording(const struct profile *a, const struct profile *b)
{
	return a->start_unix_ns && a->start_unix_ns == b->start_unix_ns &&
	       !strcmp(a->host, b->host);
}

static bool same_name(const struct profile_process *a, const struct profile_process *b)
{
	return !strncmp(a->comm, b->comm, COMM_MAX) && !strcmp(program_name(a), program_name(b));
}

/* A pid alone is drawn again; an exec keeps both, but the program is another one. */
static bool same_process(const struct profile_process *a, const struct profile_process *b)
{
	return a->pid == b->pid && a->start_time_ns == b->start_time_ns && same_name(a, b);
}

static uint64_t rss_at(const struct diff_side *side, const struct profile_process *process)
{
	return side->profile->snapshot_count ? process->rss_bytes[side->snapshot] : 0;
}

/* A process of the result. Returns its index, or NOWHERE when memory is out. */
static uint32_t target_add(struct differ *differ, const struct profile_process *like)
{
	struct profile *diff = differ->diff;
	struct profile_process *target = &diff->processes[diff->process_count];

	*target = *like;
	target->rss_bytes = arena_array(diff->arena, uint64_t, 2);
	target->start_memory = target->end_memory = (struct memory_breakdown){0};
	target->begin_ns = 0;
	target->end_ns = diff->duration_ns;
	return target->rss_bytes ? diff->process_count++ : NOWHERE;
}

static void target_take(struct differ *differ, int side, uint32_t process, uint32_t target)
{
	const struct profile_process *from = &differ->sides[side]->profile->processes[process];
	struct profile_process *to = &differ->diff->processes[target];

	differ->targets[side][process] = target;
	to->rss_bytes[side == SIDE_B] += rss_at(differ->sides[side], from);
}

static uint32_t count_left(const struct differ *differ, int side,
			   const struct profile_process *like)
{
	const struct profile *profile = differ->sides[side]->profile;
	uint32_t count = 0;

	for (uint32_t i = 0; i < profile->process_count; i++)
		count += differ->targets[side][i] == NOWHERE &&
			 same_name(&profile->processes[i], like);
	return count;
}

/* All that are left of this name, of both sides. */
static void take_left(struct differ *differ, const struct profile_process *like, uint32_t target)
{
	for (int side = 0; side < SIDES; side++) {
		const struct profile *profile = differ->sides[side]->profile;

		for (uint32_t i = 0; i < profile->process_count; i++)
			if (differ->targets[side][i] == NOWHERE &&
			    same_name(&profile->processes[i], like))
				target_take(differ, side, i, target);
	}
}

static int match_same(struct differ *differ)
{
	const struct profile *a = differ->sides[SIDE_A]->profile,
			     *b = differ->sides[SIDE_B]->profile;
	bool alone = a->process_count == 1 && b->process_count == 1;

	if (strcmp(a->host, b->host) && !alone)
		return 0; /* pids of different machines */
	for (uint32_t i = 0; i < b->process_count; i++)
		for (uint32_t k = 0; k < a->process_count; k++) {
			uint32_t target;

			if (differ->targets[SIDE_A][k] != NOWHERE ||
			    (!alone && !same_process(&a->processes[k], &b->processes[i])))
				continue;
			target = target_add(differ, &b->processes[i]);
			if (target == NOWHERE)
				return -ENOMEM;
			target_take(differ, SIDE_B, i, target);
			target_take(differ, SIDE_A, k, target);
			break;
		}
	return 0;
}

/* The rest of B, each with those of A that have its name. */
static int match_names(struct differ *differ)
{
	const struct profile *b = differ->sides[SIDE_B]->profile;

	for (uint32_t i = 0; i < b->process_count; i++) {
		const struct profile_process *process = &b->processes[i];
		uint32_t of_a, of_b, target;

		if (differ->targets[SIDE_B][i] != NOWHERE)
			continue;
		of_a = count_left(differ, SIDE_A, process);
		of_b = count_left(differ, SIDE_B, process);
		target = target_add(differ, process);
		if (target == NOWHERE)
			return -ENOMEM;
		if (!of_a) {
			differ->about->only_b++;
			target_take(differ, SIDE_B, i, target);
			continue;
		}
		if (of_a > 1 || of_b > 1) {
			differ->merged[target] = true;
			differ->diff->processes[target].pid = 0;
			differ->about->merged_a += of_a;
			differ->about->merged_b += of_b;
		}
		take_left(differ, process, target);
	}
	return 0;
}

static int match_rest(struct differ *differ)
{
	const struct profile *a = differ->sides[SIDE_A]->profile;

	for (uint32_t i = 0; i < a->process_count; i++) {
		uint32_t target;

		if (differ->targets[SIDE_A][i] != NOWHERE)
			continue;
		target = target_add(differ, &a->processes[i]);
		if (target == NOWHERE)
			return -ENOMEM;
		differ->about->only_a++;
		target_take(differ, SIDE_A, i, target);
	}
	return 0;
}

static int processes_match(struct differ *differ)
{
	struct profile *diff = differ->diff;
	size_t most = 1;

	for (int side = 0; side < SIDES; side++) {
		uint32_t count = differ->sides[side]->profile->process_count;

		most += count;
		differ->targets[side] = malloc((count + 1UL) * sizeof(uint32_t));
		if (!differ->targets[side])
			return -ENOMEM;
		memset(differ->targets[side], 0xff, (count + 1UL) * sizeof(uint32_t));
	}
	differ->merged = calloc(most, sizeof(bool));
	diff->processes = arena_array(diff->arena, struct profile_process, most);
	diff->process_count = 0;
	if (!differ->merged || !diff->processes || match_same(differ) || match_names(differ) ||
	    match_rest(differ))
		return -ENOMEM;
	for (uint32_t i = 0; i < diff->process_count; i++) {
		differ->about->a.rss_bytes += diff->processes[i].rss_bytes[0];
		differ->about->b.rss_bytes += diff->processes[i].rss_bytes[1];
	}
	return 0;
}

/* ---- sites ------------------------------------------------------------------------------------
 */

/* What makes frames of two recordings the same. */
static struct profile_frame frame_key(const struct profile_frame *frame)
{
	struct profile_frame key = *frame;

	key.offset = 0;
	key.inlined = key.internal = false;
	if (frame->python || (frame->file && frame->line))
		key.module = NULL;
	else if (frame->module)
		key.module = path_base(frame->module);
	return key;
}

/* Returns the id, or -ENOMEM. */
static int64_t frame_take(struct differ *differ, const struct profile_frame *frame)
{
	static const struct profile_frame nowhere = {.function = "[code in no file]"};
	struct profile_frame key;

	/* recording_rows.c names it by its address */
	if (!frame->module && !frame->file && !frame->python &&
	    !strncmp(frame->function, "0x", 2) && !differ->about->one_recording)
		frame = &nowhere;
	key = frame_key(frame);
	return merger_frame(differ->merger, &key, frame);
}

static int site_take(struct differ *differ, int side, const struct profile_site *site,
		     uint32_t index)
{
	const struct profile *profile = differ->sides[side]->profile;

	for (uint32_t i = 0; i < site->frame_count; i++) {
		int64_t *id = &differ->frames[site->frames[i]];

		if (*id < 0)
			*id = frame_take(differ, &profile->frames[site->frames[i]]);
		if (*id < 0)
			return -ENOMEM;
		differ->stack[i] = *id;
	}
	return merger_site(differ->merger, index, differ->targets[side][site->process],
			   differ->stack, site->frame_count);
}

/* The sites of a side are those from 'first' on in 'both'. */
static int side_take(struct differ *differ, int side, uint32_t first)
{
	const struct profile *profile = differ->sides[side]->profile;
	_cleanup_free_ int64_t *frames = malloc((profile->frame_count + 1UL) * sizeof(*frames));
	_cleanup_free_ uint32_t *stack = calloc(profile_longest_stack(profile) + 1UL, sizeof(*stack));

	if (!frames || !stack)
		return -ENOMEM;
	memset(frames, 0xff, (profile->frame_count + 1UL) * sizeof(*frames));
	differ->frames = frames;
	differ->stack = stack;
	for (uint32_t i = 0; i < profile->site_count; i++)
		if (site_take(differ, side, &profile->sites[i], first + i))
			return -ENOMEM;
	return 0;
}

/*
 * A site as it is summed: totals at its own moment, none at the other one. Ages are those of B, in
 * one class, so that survival is that of what B allocated.
 */
static int site_prepare(struct differ *differ, int side, const struct profile_site *from,
			struct profile_site *to)
{
	struct site_totals totals = profile_site_at(from, differ->sides[side]->snapshot);
	struct site_point *points = arena_array(differ->diff->arena, struct site_point, 2);

	if (!points)
		return -ENOMEM;
	points[0] = (struct site_point){.snapshot = 0};
	points[1] = (struct site_point){.snapshot = 1};
	points[side == SIDE_B].totals = totals;
	*to = *from;
	to->process += side == SIDE_B ? 0 : differ->sides[SIDE_B]->profile->process_count;
	to->points = points;
	to->point_count = 2;
	memset(to->age, 0, sizeof(to->age));
	if (side == SIDE_B)
		to->age[0] = (struct site_age){totals.alloc_bytes, totals.alloc_blocks,
					       totals.free_bytes, totals.free_blocks};
	return 0;
}

static void moment_sum(struct profile_moment *moment, const struct profile_site *site,
		       uint32_t snapshot)
{
	struct site_totals totals = profile_site_at(site, snapshot);

	moment->live_bytes += live_bytes(totals);
	moment->live_blocks += live_blocks(totals);
}

static int sites_prepare(struct differ *differ)
{
	struct profile_site *to = differ->both.sites;

	for (int side = 0; side < SIDES; side++) {
		const struct profile *profile = differ->sides[side]->profile;

		for (uint32_t i = 0; i < profile->site_count; i++) {
			moment_sum(side == SIDE_B ? &differ->about->b : &differ->about->a,
				   &profile->sites[i], differ->sides[side]->snapshot);
			if (site_prepare(differ, side, &profile->sites[i], to++))
				return -ENOMEM;
		}
	}
	return 0;
}

/* ---- everything else --------------------------------------------------------------------------
 */

/* Of both recordings, those of one kind summed. */
static int losses_fill(struct differ *differ)
{
	const struct profile *a = differ->sides[SIDE_A]->profile,
			     *b = differ->sides[SIDE_B]->profile;
	struct profile *diff = differ->diff;
	uint32_t count = b->loss_count;

	if (differ->about->one_recording)
		return 0;
	diff->losses =
	    arena_array(diff->arena, struct profile_loss, a->loss_count + b->loss_count + 1UL);
	if (!diff->losses)
		return -ENOMEM;
	if (count)
		memcpy(diff->losses, b->losses, count * sizeof(*diff->losses));
	for (uint32_t i = 0; i < a->loss_count; i++) {
		uint32_t k = 0;

		while (k < b->loss_count && strcmp(diff->losses[k].key, a->losses[i].key))
			k++;
		if (k < b->loss_count)
			diff->losses[k].count += a->losses[i].count;
		else
			diff->losses[count++] = a->losses[i];
	}
	diff->loss_count = count;
	return 0;
}

static uint64_t moment_time(const struct diff_side *side)
{
	const struct profile *profile = side->profile;

	return profile->snapshot_count ? profile->snapshots[side->snapshot].time_ns : 0;
}

static int head_fill(struct differ *differ)
{
	const struct profile *a = differ->sides[SIDE_A]->profile,
			     *b = differ->sides[SIDE_B]->profile;
	uint64_t a_ns = moment_time(differ->sides[SIDE_A]);
	uint64_t b_ns = moment_time(differ->sides[SIDE_B]);
	struct profile *diff = differ->diff;

	differ->about = arena_array(diff->arena, struct profile_diff, 1);
	diff->snapshots = arena_array(diff->arena, struct profile_snapshot, 2);
	if (!differ->about || !diff->snapshots)
		return -ENOMEM;
	differ->about->one_recording = same_recording(a, b);
	diff->duration_ns = differ->about->one_recording ? b_ns > a_ns ? b_ns - a_ns : a_ns - b_ns
							 : b_ns;
	diff->snapshot_count = 2;
	diff->snapshots[1].time_ns = diff->duration_ns;
	diff->events = NULL;
	diff->event_count = 0;
	diff->unmatched_frees = 0;
	diff->settle_ns = 0;
	diff->complete = a->complete && b->complete;
	if (a->sample_bytes > diff->sample_bytes)
		diff->sample_bytes = a->sample_bytes;
	memset(diff->epoch_start_ns, 0xff, sizeof(diff->epoch_start_ns));
	diff->epoch_start_ns[0] = 0;
	diff->since = NULL;
	diff->diff = differ->about;
	return 0;
}

static void moment_fill(struct profile_moment *moment, const struct diff_side *side)
{
	moment->path = side->path;
	moment->name = side->name;
	moment->time_ns = moment_time(side);
	moment->sample_bytes = side->profile->sample_bytes;
}

/* What merger_new() looks at. The merger works on a profile of two snapshots already. */
static int both_prepare(struct differ *differ)
{
	const struct profile *a = differ->sides[SIDE_A]->profile,
			     *b = differ->sides[SIDE_B]->profile;
	struct profile *both = &differ->both;
	size_t processes = (size_t)a->process_count + b->process_count;

	*both = *b;
	both->snapshot_count = 2;
	both->site_count = a->site_count + b->site_count;
	both->process_count = processes;
	both->sites = calloc(both->site_count + 1UL, sizeof(*both->sites));
	both->processes = calloc(processes + 1, sizeof(*both->processes));
	if (!both->sites || !both->processes)
		return -ENOMEM;
	if (b->process_count)
		memcpy(both->processes, b->processes, b->process_count * sizeof(*b->processes));
	if (a->process_count)
		memcpy(both->processes + b->process_count, a->processes,
		       a->process_count * sizeof(*a->processes));
	differ->merger = merger_new(both, differ->diff, MERGE_STACKS);
	return differ->merger ? 0 : -ENOMEM;
}

static bool any_merged(const struct differ *differ)
{
	for (uint32_t i = 0; i < differ->diff->process_count; i++)
		if (differ->merged[i])
			return true;
	return false;
}

/* Only of processes that are several the pids are worth a list. */
static void pids_drop(struct differ *differ)
{
	for (uint32_t i = 0; i < differ->diff->site_count; i++) {
		struct profile_site *site = &differ->diff->sites[i];

		if (differ->merged[site->process])
			continue;
		site->pids = NULL;
		site->pid_count = 0;
	}
}

static int differ_fill(struct differ *differ)
{
	if (head_fill(differ) || processes_match(differ) || sites_prepare(differ) ||
	    losses_fill(differ) || side_take(differ, SIDE_B, 0) ||
	    side_take(differ, SIDE_A, differ->sides[SIDE_B]->profile->site_count))
		return -ENOMEM;
	moment_fill(&differ->about->a, differ->sides[SIDE_A]);
	moment_fill(&differ->about->b, differ->sides[SIDE_B]);
	return 0;
}

int profile_diff(const struct diff_side *a, const struct diff_side *b, struct profile *diff,
		 struct err *err)
{
	struct differ differ = {.sides = {[SIDE_A] = a, [SIDE_B] = b}, .diff = diff};
	int status = both_prepare(&differ);

	if (!status && differ_fill(&differ)) {
		merger_drop(differ.merger);
		status = -ENOMEM;
	} else if (!status) {
		status = merger_finish(differ.merger, any_merged(&differ));
	}
	if (!status)
		pids_drop(&differ);
	free(differ.both.sites);
	free(differ.both.processes);
	free(differ.merged);
	for (int side = 0; side < SIDES; side++)
		free(differ.targets[side]);
	return status ? err_set(err, ENOMEM, "out of memory") : 0;
}

/* ---- what is said of it -----------------------------------------------------------------------
 */

enum site_change site_change(const struct ranked_site *ranked)
{
	double now = live_bytes(ranked->end), then = now - ranked->growth_bytes;

	if (fabs(then) < 0.5 && fabs(now) >= 0.5)
		return CHANGE_NEW;
	if (fabs(now) < 0.5 && fabs(then) >= 0.5)
		return CHANGE_GONE;
	if (fabs(ranked->growth_bytes) < 0.5 ||
	    fabs(ranked->growth_bytes) <= 2 * ranked->error_bytes)
		return CHANGE_SAME;
	return ranked->growth_bytes > 0 ? CHANGE_GROWN : CHANGE_SHRUNK;
}

const char *site_change_name(enum site_change change)
{
	static const char *const names[CHANGE_COUNT] = {
	    [CHANGE_NEW] = "new",	[CHANGE_GROWN] = "grown", [CHANGE_SAME] = "same",
	    [CHANGE_SHRUNK] = "shrunk", [CHANGE_GONE] = "gone",
	};

	return names[change];
}

double diff_seconds(const struct profile_diff *diff, const struct profile_moment *moment)
{
	return diff->one_recording ? 0 : moment->time_ns / (double)NS_PER_S;
}

bool diff_lengths_differ(const struct profile_diff *diff)
{
	double a = diff_seconds(diff, &diff->a), b = diff_seconds(diff, &diff->b);

	return fabs(a - b) > fmax(a, b) / 20;
}

double diff_rate(const struct profile *profile, double live_a, double live_b)
{
	const struct profile_diff *diff = profile->diff;
	double seconds = profile->duration_ns / (double)NS_PER_S;
	double a = diff_seconds(diff, &diff->a), b = diff_seconds(diff, &diff->b);

	if (diff->one_recording)
		return seconds > 0 ? (live_b - live_a) / seconds : 0;
	return (b > 0 ? live_b / b : 0) - (a > 0 ? live_a / a : 0);
}
