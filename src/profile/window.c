/* SPDX-License-Identifier: GPL-2.0-only */
/* window.c - see window.h */
#include "profile/window.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/units.h"

/* ---- moments ----------------------------------------------------------------------------------
 */

static uint32_t marks_count(const struct profile *profile)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < profile->snapshot_count; i++)
		count += profile->snapshots[i].mark != 0;
	return count;
}

/* 'number' is what follows "mark". */
static int mark_find(const struct profile *profile, const char *text, const char *number,
		     uint32_t *snapshot, struct err *err)
{
	uint32_t count = marks_count(profile);
	unsigned long wanted;
	char *end;

	errno = 0;
	wanted = strtoul(number, &end, 10);
	if (errno || *end || number[0] < '0' || number[0] > '9')
		return err_set(err, EINVAL, "'%s' is not a mark, for example mark1", text);
	for (uint32_t i = 0; i < profile->snapshot_count; i++) {
		if (!wanted || profile->snapshots[i].mark != wanted)
			continue;
		*snapshot = i;
		return 0;
	}
	if (!count)
		return err_set(err, EINVAL,
			       "'%s': the recording has no marks (SIGUSR1 to seep record sets one)",
			       text);
	return err_set(err, EINVAL, "'%s': the recording has %u mark%s, from mark1 on", text, count,
		       count == 1 ? "" : "s");
}

static uint64_t distance(uint64_t a, uint64_t b)
{
	return a > b ? a - b : b - a;
}

static int time_find(const struct profile *profile, const char *text, uint32_t *snapshot,
		     struct err *err)
{
	const struct profile_snapshot *snapshots = profile->snapshots;
	char duration[UNITS_TEXT_MAX];
	uint64_t wanted_ns, end_ns = snapshots[profile->snapshot_count - 1].time_ns;

	if (units_parse_duration(text, &wanted_ns))
		return err_set(err, EINVAL,
			       "'%s' is not a moment: a time like 30s, a mark like mark1, start or "
			       "end",
			       text);
	/* a recording of 20s may have its last snapshot a hair before */
	if (wanted_ns > end_ns && wanted_ns - end_ns > end_ns / 20 + NS_PER_S / 10)
		return err_set(err, EINVAL, "'%s' is after the end of the recording (%s)", text,
			       units_format_duration(end_ns / (double)NS_PER_S, duration));
	*snapshot = 0;
	for (uint32_t i = 1; i < profile->snapshot_count; i++)
		if (distance(snapshots[i].time_ns, wanted_ns) <
		    distance(snapshots[*snapshot].time_ns, wanted_ns))
			*snapshot = i;
	return 0;
}

int moment_find(const struct profile *profile, const char *text, uint32_t *snapshot,
		struct err *err)
{
	if (!profile->snapshot_count)
		return err_set(err, EINVAL, "'%s': the recording has no snapshots", text);
	if (!strcmp(text, "start"))
		*snapshot = 0;
	else if (!strcmp(text, "end"))
		*snapshot = profile->snapshot_count - 1;
	else if (!strncmp(text, "mark", 4))
		return mark_find(profile, text, text + 4, snapshot, err);
	else
		return time_find(profile, text, snapshot, err);
	return 0;
}

/* ---- what was born since ----------------------------------------------------------------------
 */

struct window {
	const struct profile *whole;
	struct profile *since;
	struct profile_since *about;
	uint32_t first; /* snapshot */
	uint64_t begin_ns;
	unsigned int epoch;  /* the first that began at or after the moment; AGE_CLASSES: none */
	unsigned int around; /* the one in which the moment lies; AGE_CLASSES: not known */
	uint32_t *processes; /* index in 'since' by index in 'whole'; UINT32_MAX: gone before */
};

/* Bytes or blocks of one site. */
struct born {
	double alloc, live, most;
};

static double sum_ages(const struct window *window, const struct profile_site *site,
		       unsigned int first, double (*value)(const struct site_age *age))
{
	double sum = 0;

	for (unsigned int age = first; age < AGE_CLASSES; age++)
		if (window->whole->epoch_start_ns[age] != UINT64_MAX)
			sum += value(&site->age[age]);
	return sum;
}

static double age_alloc_bytes(const struct site_age *age)
{
	return age->alloc_bytes;
}

static double age_alloc_blocks(const struct site_age *age)
{
	return age->alloc_blocks;
}

static double age_live_bytes(const struct site_age *age)
{
	return fmax(age->alloc_bytes - age->free_bytes, 0);
}

static double age_live_blocks(const struct site_age *age)
{
	return fmax(age->alloc_blocks - age->free_blocks, 0);
}

/* 'allocated' is since the moment, 'then' and 'now' are live at the moment and at the end. */
static struct born born_since(const struct window *window, const struct profile_site *site,
			      double allocated, double then, double now,
			      double (*age_alloc)(const struct site_age *),
			      double (*age_live)(const struct site_age *))
{
	struct born born;

	if (window->about->exact) {
		born.alloc = sum_ages(window, site, window->epoch, age_alloc);
		born.live = born.most = sum_ages(window, site, window->epoch, age_live);
		return born;
	}
	born.alloc = fmax(allocated, 0);
	born.most = fmin(born.alloc, window->around < AGE_CLASSES
					 ? sum_ages(window, site, window->around, age_live)
					 : now);
	born.live = fmax(sum_ages(window, site, window->epoch, age_live), now - then);
	born.live = fmax(fmin(born.live, born.alloc), 0);
	born.most = fmax(born.most, born.live);
	return born;
}

static struct born site_bytes(const struct window *window, const struct profile_site *site,
			      struct site_totals begin, struct site_totals end)
{
	return born_since(window, site, end.alloc_bytes - begin.alloc_bytes,
			  live_bytes(begin), live_bytes(end), age_alloc_bytes, age_live_bytes);
}

static struct born site_blocks(const struct window *window, const struct profile_site *site,
			       struct site_totals begin, struct site_totals end)
{
	return born_since(window, site, end.alloc_blocks - begin.alloc_blocks,
			  live_blocks(begin), live_blocks(end), age_alloc_blocks, age_live_blocks);
}

/* ---- sites ------------------------------------------------------------------------------------
 */

/* How much of 'part' there was at a moment when 'then' of 'all' there was. */
static double in_proportion(double part, double then, double all)
{
	return all > 0 ? part * fmin(fmax(then, 0) / all, 1) : 0;
}

/* The totals at a snapshot between the moment and the end. */
static struct site_totals totals_between(struct site_totals begin, struct site_totals now,
					 struct site_totals end, struct site_totals born)
{
	struct site_totals totals;

	totals.alloc_bytes = fmin(fmax(now.alloc_bytes - begin.alloc_bytes, 0), born.alloc_bytes);
	totals.alloc_blocks =
	    fmin(fmax(now.alloc_blocks - begin.alloc_blocks, 0), born.alloc_blocks);
	totals.free_bytes = in_proportion(born.free_bytes, now.free_bytes - begin.free_bytes,
					  end.free_bytes - begin.free_bytes);
	totals.free_blocks = in_proportion(born.free_blocks, now.free_blocks - begin.free_blocks,
					   end.free_blocks - begin.free_blocks);
	totals.free_bytes = fmin(totals.free_bytes, totals.alloc_bytes);
	totals.free_blocks = fmin(totals.free_blocks, totals.alloc_blocks);
	totals.variance = in_proportion(now.variance, live_bytes(totals), live_bytes(now));
	return totals;
}

/* Points after the moment; the last has the totals of the end. Returns 0 or -ENOMEM. */
static int points_fill(const struct window *window, const struct profile_site *from,
		       struct profile_site *to, struct site_totals born)
{
	struct site_totals begin = profile_site_at(from, window->first);
	uint32_t last = window->whole->snapshot_count - 1;
	struct site_totals end = profile_site_at(from, last);
	struct site_point *points =
	    arena_array(window->since->arena, struct site_point, from->point_count + 1UL);

	if (!points)
		return -ENOMEM;
	to->points = points;
	to->point_count = 0;
	for (uint32_t i = 0; i < from->point_count; i++) {
		const struct site_point *point = &from->points[i];

		if (point->snapshot <= window->first)
			continue;
		points[to->point_count++] = (struct site_point){
		    point->snapshot - window->first,
		    totals_between(begin, point->totals, end, born),
		};
	}
	if (!to->point_count)
		points[to->point_count++].snapshot = last - window->first;
	points[to->point_count - 1].totals = born;
	return 0;
}

/* Epochs that began since, behind one for the rest of that in which the moment lies. */
static void ages_fill(const struct window *window, const struct profile_site *from,
		      struct profile_site *to, struct site_totals born)
{
	unsigned int shift = window->about->exact ? window->epoch : window->epoch - 1;
	struct site_age *rest = &to->age[0];

	memset(to->age, 0, sizeof(to->age));
	for (unsigned int age = window->epoch; age < AGE_CLASSES; age++)
		to->age[age - shift] = from->age[age];
	if (window->about->exact)
		return;
	*rest = (struct site_age){born.alloc_bytes, born.alloc_blocks, born.free_bytes,
				  born.free_blocks};
	for (unsigned int age = window->epoch; age < AGE_CLASSES; age++) {
		rest->alloc_bytes = fmax(rest->alloc_bytes - from->age[age].alloc_bytes, 0);
		rest->alloc_blocks = fmax(rest->alloc_blocks - from->age[age].alloc_blocks, 0);
		rest->free_bytes = fmax(rest->free_bytes - from->age[age].free_bytes, 0);
		rest->free_blocks = fmax(rest->free_blocks - from->age[age].free_blocks, 0);
	}
	rest->free_bytes = fmin(rest->free_bytes, rest->alloc_bytes);
	rest->free_blocks = fmin(rest->free_blocks, rest->alloc_blocks);
}

/* Returns 0 or -ENOMEM. */
static int site_add(struct window *window, const struct profile_site *from)
{
	struct site_totals begin = profile_site_at(from, window->first);
	struct site_totals end = profile_site_at(from, window->whole->snapshot_count - 1);
	struct born bytes = site_bytes(window, from, begin, end);
	struct born blocks = site_blocks(window, from, begin, end);
	struct profile_site *to = &window->since->sites[window->since->site_count];
	struct site_totals born = {
	    .alloc_bytes = bytes.alloc,
	    .alloc_blocks = blocks.alloc,
	    .free_bytes = fmax(bytes.alloc - bytes.live, 0),
	    .free_blocks = fmax(blocks.alloc - blocks.live, 0),
	    .variance = in_proportion(end.variance, bytes.live, live_bytes(end)),
	};

	if (bytes.alloc <= 0 || window->processes[from->process] == UINT32_MAX)
		return 0;
	*to = *from;
	to->process = window->processes[from->process];
	ages_fill(window, from, to, born);
	if (points_fill(window, from, to, born))
		return -ENOMEM;
	window->since->site_count++;
	window->about->alloc_bytes += bytes.alloc;
	window->about->alloc_blocks += blocks.alloc;
	window->about->live_bytes += bytes.live;
	window->about->live_blocks += blocks.live;
	window->about->most_bytes += bytes.most;
	return 0;
}

/* ---- everything else --------------------------------------------------------------------------
 */

static uint64_t after(uint64_t time_ns, uint64_t begin_ns)
{
	return time_ns > begin_ns ? time_ns - begin_ns : 0;
}

/* Which epochs began since. Those of a damaged file may be in any order. */
static void epochs_fill(struct window *window)
{
	const uint64_t *start = window->whole->epoch_start_ns;
	unsigned int epoch = AGE_CLASSES, shift;

	while (epoch > 0 && start[epoch - 1] >= window->begin_ns)
		epoch--;
	window->around = epoch ? epoch - 1 : AGE_CLASSES;
	while (epoch < AGE_CLASSES && start[epoch] == UINT64_MAX)
		epoch++;
	window->about->exact = epoch < AGE_CLASSES && start[epoch] == window->begin_ns;
	if (!window->first && start[0] != UINT64_MAX) { /* nothing is older */
		window->about->exact = true;
		epoch = 0;
	}
	window->epoch = epoch ? epoch : window->about->exact ? 0 : 1;
	shift = window->about->exact ? window->epoch : window->epoch - 1;
	for (unsigned int age = 0; age < AGE_CLASSES; age++)
		window->since->epoch_start_ns[age] =
		    age + shift < AGE_CLASSES && start[age + shift] != UINT64_MAX
			? after(start[age + shift], window->begin_ns)
			: UINT64_MAX;
	window->since->epoch_start_ns[0] = 0;
}

static int snapshots_fill(const struct window *window)
{
	const struct profile_snapshot *from = &window->whole->snapshots[window->first];
	struct profile *since = window->since;

	since->snapshot_count = window->whole->snapshot_count - window->first;
	since->snapshots =
	    arena_array(since->arena, struct profile_snapshot, since->snapshot_count + 1UL);
	if (!since->snapshots)
		return -ENOMEM;
	for (uint32_t i = 0; i < since->snapshot_count; i++) {
		since->snapshots[i] = from[i];
		since->snapshots[i].time_ns -= window->begin_ns;
		since->snapshots[i].events = after(from[i].events, from[0].events);
		since->snapshots[i].bpf_ns = after(from[i].bpf_ns, from[0].bpf_ns);
	}
	return 0;
}

/* Those that were there at the moment or came later. */
static int processes_fill(struct window *window)
{
	const struct profile *whole = window->whole;
	struct profile *since = window->since;

	since->processes =
	    arena_array(since->arena, struct profile_process, whole->process_count + 1UL);
	if (!since->processes)
		return -ENOMEM;
	since->process_count = 0;
	for (uint32_t i = 0; i < whole->process_count; i++) {
		const struct profile_process *from = &whole->processes[i];
		struct profile_process *to = &since->processes[since->process_count];

		window->processes[i] = UINT32_MAX;
		if (from->end_reason && from->end_ns < window->begin_ns)
			continue;
		window->processes[i] = since->process_count++;
		*to = *from;
		to->rss_bytes = from->rss_bytes + window->first;
		if (from->begin_ns < window->begin_ns && window->first)
			to->start_memory =
			    (struct memory_breakdown){.rss_bytes = to->rss_bytes[0]};
		to->begin_ns = after(from->begin_ns, window->begin_ns);
		to->end_ns = after(from->end_ns, window->begin_ns);
	}
	return 0;
}

static int events_fill(const struct window *window)
{
	const struct profile *whole = window->whole;
	struct profile *since = window->since;

	since->events = arena_array(since->arena, struct profile_event, whole->event_count + 1UL);
	if (!since->events)
		return -ENOMEM;
	since->event_count = 0;
	for (uint32_t i = 0; i < whole->event_count; i++) {
		if (whole->events[i].time_ns < window->begin_ns)
			continue;
		since->events[since->event_count] = whole->events[i];
		since->events[since->event_count++].time_ns -= window->begin_ns;
	}
	return 0;
}

/* What was counted over the recording as a whole. */
static void sums_fill(const struct window *window)
{
	const struct profile *whole = window->whole;
	const struct profile_snapshot *last = &whole->snapshots[whole->snapshot_count - 1];
	struct profile *since = window->since;
	uint64_t bpf_ns = after(last->bpf_ns, whole->snapshots[window->first].bpf_ns);

	since->duration_ns = after(whole->duration_ns, window->begin_ns);
	since->start_unix_ns = whole->start_unix_ns + window->begin_ns;
	since->hits = after(whole->hits, whole->snapshots[window->first].events);
	since->unmatched_frees = 0; /* of blocks that are not asked for */
	if (window->first && since->duration_ns)
		since->cpu_percent = 100.0 * bpf_ns / since->duration_ns;
}

static int window_fill(struct window *window)
{
	struct profile *since = window->since;

	since->arena = arena_new();
	if (!since->arena)
		return -ENOMEM;
	window->about = arena_array(since->arena, struct profile_since, 1);
	since->sites = arena_array(since->arena, struct profile_site, since->site_count + 1UL);
	if (!window->about || !since->sites || snapshots_fill(window) || processes_fill(window) ||
	    events_fill(window))
		return -ENOMEM;
	since->since = window->about;
	since->site_count = 0;
	epochs_fill(window);
	sums_fill(window);
	for (uint32_t i = 0; i < window->whole->site_count; i++)
		if (site_add(window, &window->whole->sites[i]))
			return -ENOMEM;
	return 0;
}

int profile_since(const struct profile *whole, const char *text, struct profile *since,
		  struct err *err)
{
	_cleanup_free_ uint32_t *processes = calloc(whole->process_count + 1UL, sizeof(uint32_t));
	struct window window = {.whole = whole, .since = since, .processes = processes};
	int status = moment_find(whole, text, &window.first, err);

	if (status)
		return status;
	window.begin_ns = whole->snapshots[window.first].time_ns;
	*since = *whole;
	since->arena = NULL;
	status = processes ? window_fill(&window) : -ENOMEM;
	if (!status) {
		window.about->time_ns = window.begin_ns;
		window.about->name = arena_intern(since->arena, text);
		status = window.about->name ? 0 : -ENOMEM;
	}
	if (!status)
		return 0;
	arena_free(since->arena);
	memset(since, 0, sizeof(*since));
	return err_set(err, ENOMEM, "out of memory");
}
