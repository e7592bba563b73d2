/* SPDX-License-Identifier: GPL-2.0-only */
/* rank.c - see rank.h, where every figure and word is defined. */
#include "profile/rank.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/units.h"
#include "profile/diff.h"

#define FALL_SHARE	  0.4  /* of the peak: a fall that makes a sawtooth */
#define SHRINK_SHARE	  0.1  /* of the peak, over the last third */
#define PLATEAU_RATIO	  0.15 /* late rate / middle rate */
#define PLATEAU_RATIO_FEW 0.1  /* late rate / mean rate, with few snapshots */
#define LEAK_RATIO	  0.5
#define LEAK_RETENTION	  0.5
#define CHURN_RETENTION	  0.1
#define KEPT_BLOCKS	  4   /* of one epoch: chance makes a rate of fewer half wrong */
#define WARM_PART	  0.1 /* of the recording phase: what is full by then was never empty */
#define FULL_SHARE	  0.8
#define TREND_Z		  1.96	/* Mann-Kendall, two-sided 5 % */
#define TREND_Z_CHURN	  3.0	/* for blocks that live shorter than an interval */
#define MONOTONE_RISING	  0.9	/* share of rises above which two ends are enough for a rate */
#define REST_SCORE	  0.001 /* of the growth, for sites that do not grow any more */
#define EARLY_SCORE	  0.01	/* with too few snapshots to say that it goes on */
#define RETENTION_FLOOR	  0.01
#define PAIRS_BUDGET	  15e6 /* of Theil-Sen over all sites: some 0.2 s */
#define SERIES_FEWEST	  30
#define RISES_LEAST	  3    /* separate steps in which a site that keeps growing rose */
#define APART_PART	  0.05 /* of its process's life: what is closer is one step */

/* What is the same for all sites of a profile. */
struct ranker {
	const struct profile *profile;
	uint32_t pick[RANK_SERIES_MAX]; /* snapshots that make the series */
	double time_s[RANK_SERIES_MAX];
	size_t count;
	uint32_t last, settle_begin; /* snapshots; equal without a settle phase */
	double duration_s;	     /* of the recording phase */
	double interval_s;
	bool old[AGE_CLASSES]; /* epochs that ended before the last third */
	double old_end_s;      /* when the last of them ended */
	double *slopes;	       /* room for all pairs */
};

struct series {
	const double *time_s;
	double live[RANK_SERIES_MAX];
	size_t count;
	double peak;
};

/* What the age classes say. */
struct ages {
	double survival, retention;
	double kept_rate; /* bytes/s that the old epochs keep; 0 unless it is constant over them */
};

const char *site_verdict_name(enum site_verdict verdict)
{
	static const char *const names[VERDICT_COUNT] = {
	    [VERDICT_LEAK] = "leak",	   [VERDICT_GROWING] = "growing",
	    [VERDICT_PLATEAU] = "plateau", [VERDICT_SAWTOOTH] = "sawtooth",
	    [VERDICT_STEADY] = "steady",   [VERDICT_SHRINKING] = "shrinking",
	};

	return names[verdict];
}

/* ---- statistics --------------------------------------------------------------------------------
 */

static double share(double part, double whole)
{
	return whole > 0 ? fmin(fmax(part / whole, 0), 1) : 0;
}

static void swap(double *a, double *b)
{
	double kept = *a;

	*a = *b;
	*b = kept;
}

/* The k-th smallest value (Hoare's selection); reorders 'values'. */
static double select_nth(double *values, size_t count, size_t k)
{
	size_t low = 0, high = count - 1;

	while (low < high) {
		double pivot = values[low + (high - low) / 2];
		size_t i = low, j = high;

		for (;; i++, j--) {
			while (values[i] < pivot)
				i++;
			while (values[j] > pivot)
				j--;
			if (i >= j)
				break;
			swap(&values[i], &values[j]);
		}
		if (k <= j)
			high = j;
		else
			low = j + 1;
	}
	return values[k];
}

/* The series from index 'from' to 'to', both included. Returns bytes/s. */
static double theil_sen(const struct series *series, size_t from, size_t to, double *slopes)
{
	size_t count = 0;

	for (size_t i = from; i < to; i++)
		for (size_t j = i + 1; j <= to; j++) {
			double seconds = series->time_s[j] - series->time_s[i];

			if (seconds > 0)
				slopes[count++] = (series->live[j] - series->live[i]) / seconds;
		}
	if (!count)
		return 0;
	if (count % 2)
		return select_nth(slopes, count, count / 2);
	return (select_nth(slopes, count, count / 2 - 1) + select_nth(slopes, count, count / 2)) /
	       2;
}

/* Mann-Kendall's z: how unlikely the order of the values is without a trend. */
static double trend_z(const struct series *series, size_t from, size_t to)
{
	double n = to - from + 1, sum = 0;

	for (size_t i = from; i < to; i++)
		for (size_t j = i + 1; j <= to; j++)
			sum += (series->live[j] > series->live[i]) -
			       (series->live[j] < series->live[i]);
	if (sum == 0)
		return 0;
	return (sum - copysign(1, sum)) / sqrt(n * (n - 1) * (2 * n + 5) / 18);
}

static double rising_share(const struct series *series, size_t from, size_t to)
{
	double rises = 0, falls = 0;

	for (size_t i = from; i < to; i++) {
		double step = series->live[i + 1] - series->live[i];

		*(step > 0 ? &rises : &falls) += fabs(step);
	}
	return share(rises, rises + falls);
}

/* Rate over a window. Between two ends where the series (almost) only rises, because a leak in rare
 * steps has no slope between most pairs; robust where it also falls. */
static double window_rate(const struct series *series, size_t from, size_t to, double *slopes)
{
	double seconds = series->time_s[to] - series->time_s[from];

	if (seconds <= 0)
		return 0;
	if (to - from < 4 || rising_share(series, from, to) >= MONOTONE_RISING)
		return (series->live[to] - series->live[from]) / seconds;
	return theil_sen(series, from, to, slopes);
}

/* First index of the series at or after 'part' of its duration. */
static size_t series_index_at(const struct series *series, double part)
{
	double begin = series->time_s[0], end = series->time_s[series->count - 1];
	size_t index = 0;

	while (index + 1 < series->count && series->time_s[index] < begin + (end - begin) * part)
		index++;
	return index;
}

static double series_value_at(const struct series *series, double time_s)
{
	size_t after = 0;
	double span, part;

	while (after < series->count && series->time_s[after] < time_s)
		after++;
	if (after == 0 || after == series->count)
		return series->live[after ? after - 1 : 0];
	span = series->time_s[after] - series->time_s[after - 1];
	part = (time_s - series->time_s[after - 1]) / span;
	return series->live[after - 1] + part * (series->live[after] - series->live[after - 1]);
}

/* The time in which the process of a site was seen. */
struct life {
	double begin_s, end_s;
};

static struct life site_life(const struct ranker *ranker, const struct profile_site *site)
{
	double last_s = ranker->count ? ranker->time_s[ranker->count - 1] : 0;
	const struct profile_process *process;
	struct life life = {ranker->count ? ranker->time_s[0] : 0, last_s};

	if (site->process >= ranker->profile->process_count)
		return life;
	process = &ranker->profile->processes[site->process];
	life.begin_s = fmax(life.begin_s, process->begin_ns / (double)NS_PER_S);
	if (process->end_ns > process->begin_ns)
		life.end_s = fmin(last_s, process->end_ns / (double)NS_PER_S);
	return life;
}

/* The part of the series that shows a life: from the last snapshot before it to the first after. */
static void series_clip(const struct ranker *ranker, struct life life, size_t *from, size_t *to)
{
	*from = 0;
	*to = ranker->count;
	while (*from + 1 < *to && ranker->time_s[*from + 1] <= life.begin_s)
		++*from;
	while (*to > *from + 1 && ranker->time_s[*to - 2] >= life.end_s)
		--*to;
}

static void series_fill(const struct ranker *ranker, const struct profile_site *site,
			struct series *series)
{
	uint32_t point = 0;
	double live = 0;
	size_t from, to;

	series_clip(ranker, site_life(ranker, site), &from, &to);
	series->time_s = ranker->time_s + from;
	series->count = to - from;
	series->peak = 0;
	for (size_t i = from; i < to; i++) {
		for (; point < site->point_count; point++) {
			if (site->points[point].snapshot > ranker->pick[i])
				break;
			live = live_bytes(site->points[point].totals);
		}
		series->live[i - from] = live;
		series->peak = fmax(series->peak, live);
	}
}

/* ---- age classes --------------------------------------------------------------------------------
 */

/* Seconds that epoch 'age' lasted; 0 when it has not begun or not ended. */
static double epoch_seconds(const struct profile *profile, unsigned int age)
{
	const uint64_t *start = profile->epoch_start_ns;

	if (age + 1 >= AGE_CLASSES || start[age] == UINT64_MAX || start[age + 1] == UINT64_MAX ||
	    start[age + 1] <= start[age])
		return 0;
	return (start[age + 1] - start[age]) / (double)NS_PER_S;
}

/*
 * The rate at which old epochs keep bytes, when it is constant: a leak keeps as much of a minute
 * long ago as of a later one; what is exchanged in time keeps less of the older one; a cache that
 * has filled keeps nothing of the later one.
 */
static double kept_rate(const struct ranker *ranker, const struct profile_site *site)
{
	double newer = 0, older = 0, older_count = 0, blocks = 0;

	for (unsigned int age = 0; age < AGE_CLASSES; age++) {
		double seconds = epoch_seconds(ranker->profile, age);
		double kept = site->age[age].alloc_bytes - site->age[age].free_bytes;

		if (!ranker->old[age] || seconds <= 0 || site->age[age].alloc_bytes <= 0)
			continue;
		if (newer > 0) {
			older += newer;
			older_count += 1;
		}
		newer = fmax(kept, 0) / seconds;
		blocks = site->age[age].alloc_blocks - site->age[age].free_blocks;
	}
	if (older_count <= 0 || newer <= 0 || blocks < KEPT_BLOCKS)
		return 0;
	older /= older_count;
	return newer >= 0.5 * older && newer <= 1.5 * older ? newer : 0;
}

static struct ages ages_read(const struct ranker *ranker, const struct profile_site *site,
			     const struct series *series, struct site_totals end)
{
	double born = 0, kept = 0, all = 0, then, settled;
	struct ages ages = {0};

	for (unsigned int age = 0; age < AGE_CLASSES; age++) {
		all += site->age[age].alloc_bytes;
		if (ranker->old[age]) {
			born += site->age[age].alloc_bytes;
			kept += site->age[age].alloc_bytes - site->age[age].free_bytes;
		}
	}
	ages.survival = born > 0 ? share(kept, born) : share(live_bytes(end), end.alloc_bytes);
	ages.retention = ages.survival;
	then = series_value_at(series, ranker->old_end_s);
	if (born > 0 && then > 0)
		ages.retention = share(kept, then);
	if (all > 0)
		ages.kept_rate = kept_rate(ranker, site);
	settled = live_bytes(profile_site_at(site, ranker->settle_begin));
	if (ranker->settle_begin != ranker->last && settled > 0)
		ages.retention = fmin(ages.retention, share(live_bytes(end), settled));
	return ages;
}

/* ---- verdict ------------------------------------------------------------------------------------
 */

struct legs {
	unsigned int falls, rises_after;
};

/* Count the falls of FALL_SHARE of the peak or more, and the rises as large that follow one. */
static struct legs series_legs(const struct series *series)
{
	double threshold = series->peak * FALL_SHARE, extreme = series->live[0];
	struct legs legs = {0};
	bool up = true;

	for (size_t i = 1; i < series->count; i++) {
		double live = series->live[i];

		if (up ? live > extreme : live < extreme) {
			extreme = live;
		} else if (fabs(live - extreme) >= threshold) {
			*(up ? &legs.falls : &legs.rises_after) += 1;
			up = !up;
			extreme = live;
		}
	}
	return legs;
}

static double series_seconds(const struct series *series)
{
	return series->count ? series->time_s[series->count - 1] - series->time_s[0] : 0;
}

/* Mean time a byte lives, by Little's law: mean level / arrival rate. */
static double mean_lifetime_s(const struct series *series, struct site_totals end)
{
	double sum = 0;

	for (size_t i = 0; i < series->count; i++)
		sum += series->live[i];
	if (end.alloc_bytes <= 0)
		return INFINITY;
	return sum / series->count * series_seconds(series) / end.alloc_bytes;
}

static bool still_rises(const struct series *series, size_t from)
{
	size_t to = series->count - 1;

	if (series->live[to] <= series->live[from])
		return false;
	return rising_share(series, from, to) >= MONOTONE_RISING ||
	       trend_z(series, from, to) > TREND_Z;
}

/* What lives shorter than an interval looks different in each snapshot: only a clear trend counts.
 */
static bool churn_rises(const struct series *series)
{
	return series->count >= RANK_FEW &&
	       trend_z(series, series_index_at(series, 1 / 3.0), series->count - 1) > TREND_Z_CHURN;
}

/* The mean rate over the time to come, when each third of a recording brings 'ratio' times what the
 * third before brought: three thirds of a geometric series. */
static double rate_ahead(double late_rate, double ratio)
{
	ratio = fmin(ratio, 1);
	return late_rate * (ratio + ratio * ratio + ratio * ratio * ratio) / 3;
}

/* Snapshots of a life that are not next to each other, its beginning included: those taken because
 * another process came or went tell nothing new. */
static uint32_t snapshots_apart(const struct ranker *ranker, struct life life)
{
	double apart_s = (life.end_s - life.begin_s) * APART_PART, last_s = life.begin_s;
	uint32_t count = ranker->count > 0;

	for (size_t i = 0; i < ranker->count; i++) {
		double time_s = ranker->time_s[i];

		if (time_s > life.end_s || time_s <= last_s || time_s - last_s < apart_s)
			continue;
		last_s = time_s;
		count++;
	}
	return count;
}

/* Steps in which the site rose, no two of them close together. */
static unsigned int rises_apart(const struct series *series, struct life life)
{
	double apart_s = (life.end_s - life.begin_s) * APART_PART, last_s = -INFINITY;
	unsigned int count = 0;

	for (size_t i = 1; i < series->count; i++) {
		if (series->live[i] <= series->live[i - 1] || series->time_s[i] - last_s < apart_s)
			continue;
		last_s = series->time_s[i];
		count++;
	}
	return count;
}

/* What grew in fewer steps than it takes to see a habit; with few snapshots, in all of one. */
static bool is_one_off(const struct series *series, const struct ranked_site *ranked,
		       struct life life)
{
	unsigned int rises = rises_apart(series, life);

	if (ranked->snapshots >= RANK_FEW)
		return rises < RISES_LEAST;
	return ranked->end.alloc_blocks < RISES_LEAST || (ranked->snapshots > 3 && rises < 2);
}

/* A site that grew and never fell far. Sets the rate at which it goes on. */
static enum site_verdict verdict_of_growth(const struct ranker *ranker, const struct series *series,
					   const struct ages *ages, double *rate)
{
	size_t last = series->count - 1;
	size_t third = series_index_at(series, 1 / 3.0),
	       two_thirds = series_index_at(series, 2 / 3.0);
	bool few = series->count < RANK_FEW;
	bool slow =
	    series->live[series_index_at(series, WARM_PART)] < FULL_SHARE * series->live[last];
	enum site_verdict flat =
	    ages->retention >= LEAK_RETENTION || slow ? VERDICT_PLATEAU : VERDICT_STEADY;
	double late, before;

	if (few)
		two_thirds = third = last > 1 ? last / 2 : 0;
	late = window_rate(series, two_thirds, last, ranker->slopes);
	if (series->live[two_thirds] - series->live[last] >= SHRINK_SHARE * series->peak)
		return VERDICT_SHRINKING;
	if (!still_rises(series, third) || late <= 0)
		return flat;
	before = window_rate(series, few ? 0 : third, few ? last : two_thirds, ranker->slopes);
	if (late < (few ? PLATEAU_RATIO_FEW : PLATEAU_RATIO) * before)
		return flat;
	*rate = rate_ahead(late, before > 0 ? late / before : 1);
	if (ages->retention < LEAK_RETENTION || (!few && late < LEAK_RATIO * before))
		return VERDICT_GROWING;
	return VERDICT_LEAK;
}

/* What the shape says, before it is asked whether there is enough of it. */
static enum site_verdict verdict_of_shape(const struct ranker *ranker, const struct series *series,
					  const struct ages *ages, const struct ranked_site *ranked,
					  double *rate)
{
	struct legs legs = series_legs(series);
	bool grew = ranked->growth_bytes > 2 * ranked->error_bytes;

	*rate = 0;
	if (series->count < 2 || series->peak <= 0)
		return VERDICT_STEADY;
	if (legs.falls && grew && ages->kept_rate > 0 &&
	    ages->kept_rate > 2 * ranked->error_bytes / ranker->duration_s) {
		*rate = ages->kept_rate;
		return VERDICT_LEAK;
	}
	if (mean_lifetime_s(series, ranked->end) < ranker->interval_s &&
	    ages->retention < CHURN_RETENTION && !churn_rises(series))
		return VERDICT_STEADY;
	if (legs.falls)
		return legs.rises_after || legs.falls > 1 ? VERDICT_SAWTOOTH : VERDICT_SHRINKING;
	if (ranked->growth_bytes < -2 * ranked->error_bytes)
		return VERDICT_SHRINKING;
	return grew ? verdict_of_growth(ranker, series, ages, rate) : VERDICT_STEADY;
}

/* What none of a group's sites does, their sum does by chance only. */
static enum site_verdict verdict_bound(enum site_verdict verdict, unsigned int of_sites)
{
	while (of_sites && verdict < VERDICT_PLATEAU && !(of_sites & ((2U << verdict) - 1)))
		verdict++;
	return verdict;
}

static enum site_verdict verdict_choose(const struct ranker *ranker, const struct series *series,
					const struct ages *ages, const struct ranked_site *ranked,
					double *rate)
{
	enum site_verdict verdict = verdict_of_shape(ranker, series, ages, ranked, rate);

	if (verdict != VERDICT_LEAK && verdict != VERDICT_GROWING)
		return verdict;
	if (is_one_off(series, ranked, site_life(ranker, ranked->site)))
		return VERDICT_PLATEAU;
	if (ranked->snapshots < RANK_FEW)
		verdict = VERDICT_GROWING;
	return verdict_bound(verdict, ranked->site->verdicts);
}

static double score_of(const struct ranked_site *ranked, double seconds, double rate)
{
	double added;

	if (seconds < RANK_EARLY_SECONDS && ranked->verdict <= VERDICT_PLATEAU)
		return fmax(ranked->growth_bytes, 0) * EARLY_SCORE *
		       fmax(ranked->retention, RETENTION_FLOOR);
	if (ranked->verdict != VERDICT_LEAK && ranked->verdict != VERDICT_GROWING)
		return ranked->growth_bytes * REST_SCORE;
	added = fmin(rate * seconds, ranked->growth_bytes);
	if (ranked->snapshots < RANK_FEW)
		added *= EARLY_SCORE;
	return fmax(added, 0) * fmax(ranked->retention, RETENTION_FLOOR);
}

/* Two totals have no shape: more or less is all that can be said. */
static void difference_rank(const struct profile *profile, struct ranked_site *ranked)
{
	double now = live_bytes(ranked->end), sure = 2 * ranked->error_bytes;

	ranked->slope = diff_rate(profile, now - ranked->growth_bytes, now);
	ranked->retention = ranked->survival;
	ranked->snapshots = RANK_FEW;
	ranked->score = ranked->growth_bytes;
	ranked->verdict = VERDICT_STEADY;
	if (fabs(ranked->growth_bytes) >= 0.5 && fabs(ranked->growth_bytes) > sure)
		ranked->verdict = ranked->growth_bytes > 0 ? VERDICT_GROWING : VERDICT_SHRINKING;
}

static void site_rank(const struct ranker *ranker, const struct profile_site *site,
		      struct ranked_site *ranked)
{
	struct site_totals first = profile_site_at(site, 0);
	struct series series;
	struct ages ages;
	double rate;

	series_fill(ranker, site, &series);
	ranked->site = site;
	ranked->end = profile_site_at(site, ranker->last);
	ranked->growth_bytes = live_bytes(ranked->end) - live_bytes(first);
	ranked->growth_blocks = live_blocks(ranked->end) - live_blocks(first);
	ranked->error_bytes = sqrt(ranked->end.variance + first.variance);
	ranked->slope = series.count > 1 && series.peak > 0
			    ? theil_sen(&series, 0, series.count - 1, ranker->slopes)
			    : 0;
	ranked->rising = series.count > 1 ? rising_share(&series, 0, series.count - 1) : 0;
	ages = ages_read(ranker, site, &series, ranked->end);
	ranked->survival = ages.survival;
	ranked->retention = ages.retention;
	ranked->snapshots = snapshots_apart(ranker, site_life(ranker, site));
	ranked->verdict = verdict_choose(ranker, &series, &ages, ranked, &rate);
	ranked->score = score_of(ranked, series_seconds(&series), rate);
	if (ranker->profile->diff)
		difference_rank(ranker->profile, ranked);
}

/* ---- all sites
 * ----------------------------------------------------------------------------------- */

/* How long a series may be so that all pairs of all sites stay within the budget. */
static size_t series_limit(uint32_t site_count)
{
	double limit = sqrt(2 * PAIRS_BUDGET / (site_count + 1.0));

	return fmax(SERIES_FEWEST, fmin(limit, RANK_SERIES_MAX));
}

/* Pick the snapshots of the series: first and last of the recording phase, evenly between. */
static void ranker_pick(struct ranker *ranker, uint32_t recorded, size_t limit)
{
	const struct profile_snapshot *snapshots = ranker->profile->snapshots;

	ranker->count = recorded < limit ? recorded : limit;
	for (size_t i = 0; i < ranker->count; i++) {
		uint32_t at =
		    ranker->count > 1 ? i * (uint64_t)(recorded - 1) / (ranker->count - 1) : 0;

		ranker->pick[i] = at;
		ranker->time_s[i] = snapshots[at].time_ns / (double)NS_PER_S;
	}
	if (ranker->count) {
		ranker->duration_s = ranker->time_s[ranker->count - 1] - ranker->time_s[0];
		ranker->settle_begin = recorded - 1;
	}
	if (recorded > 1)
		ranker->interval_s = ranker->duration_s / (recorded - 1);
}

/* Which epochs are old; without one that ended early enough all but the newest, else all. */
static void ranker_mark_old(struct ranker *ranker)
{
	const uint64_t *start = ranker->profile->epoch_start_ns;
	double begin_s = ranker->count ? ranker->time_s[0] : 0;
	double cut_s = begin_s + ranker->duration_s * 2 / 3;
	unsigned int newest = 0, marked = 0;

	for (unsigned int age = 0; age < AGE_CLASSES; age++) {
		double seconds = epoch_seconds(ranker->profile, age);
		double end_s = seconds > 0 ? start[age + 1] / (double)NS_PER_S : 0;

		if (start[age] != UINT64_MAX)
			newest = age;
		ranker->old[age] = seconds > 0 && end_s <= cut_s;
		marked += ranker->old[age];
		if (ranker->old[age])
			ranker->old_end_s = end_s;
	}
	if (marked)
		return;
	for (unsigned int age = 0; age < AGE_CLASSES; age++)
		ranker->old[age] = newest == 0 || age < newest;
	ranker->old_end_s = begin_s + ranker->duration_s;
	if (newest > 0)
		ranker->old_end_s = start[newest] / (double)NS_PER_S;
}

static int ranker_init(struct ranker *ranker, const struct profile *profile)
{
	uint32_t recorded = 0;

	*ranker = (struct ranker){.profile = profile};
	while (recorded < profile->snapshot_count && !profile->snapshots[recorded].settling)
		recorded++;
	ranker_pick(ranker, recorded, series_limit(profile->site_count));
	ranker->last = profile->snapshot_count ? profile->snapshot_count - 1 : 0;
	ranker_mark_old(ranker);
	ranker->slopes = malloc(sizeof(double) * (ranker->count * ranker->count / 2 + 1));
	return ranker->slopes ? 0 : -ENOMEM;
}

static int descending(double a, double b)
{
	return (a < b) - (a > b);
}

/* Ties fall back to the growth, then to the order in the recording. */
static int by_rest(const struct ranked_site *a, const struct ranked_site *b)
{
	int order = descending(a->growth_bytes, b->growth_bytes);

	return order ? order : (a->site > b->site) - (a->site < b->site);
}

bool ranked_site_empty(const struct ranked_site *ranked)
{
	return fabs(ranked->growth_bytes) < 0.5 && fabs(live_bytes(ranked->end)) < 0.5;
}

static int empty_last(const struct ranked_site *a, const struct ranked_site *b)
{
	return ranked_site_empty(a) - ranked_site_empty(b);
}

static int by_score(const void *a, const void *b)
{
	const struct ranked_site *left = a, *right = b;
	int order = empty_last(left, right);

	if (!order)
		order = descending(left->score, right->score);
	return order ? order : by_rest(left, right);
}

static int by_live(const void *a, const void *b)
{
	const struct ranked_site *left = a, *right = b;
	int order = empty_last(left, right);

	if (!order)
		order = descending(live_bytes(left->end), live_bytes(right->end));
	return order ? order : by_rest(left, right);
}

static int by_alloc(const void *a, const void *b)
{
	const struct ranked_site *left = a, *right = b;
	int order = descending(left->end.alloc_bytes, right->end.alloc_bytes);

	return order ? order : by_rest(left, right);
}

int ranking_build(const struct profile *profile, const struct rank_options *options,
		  struct ranking *ranking, struct err *err)
{
	static int (*const orders[])(const void *, const void *) = {
	    [RANK_GROWTH] = by_score,
	    [RANK_LIVE] = by_live,
	    [RANK_ALLOC] = by_alloc,
	};
	struct ranked_site *items = calloc(profile->site_count + 1UL, sizeof(*items));
	struct ranker ranker;
	size_t count = 0;

	if (!items || ranker_init(&ranker, profile)) {
		free(items);
		return err_set(err, ENOMEM, "out of memory");
	}
	for (uint32_t i = 0; i < profile->site_count; i++) {
		site_rank(&ranker, &profile->sites[i], &items[count]);
		if (options->min_growth_bytes <= 0 ||
		    items[count].growth_bytes >= options->min_growth_bytes)
			count++;
	}
	free(ranker.slopes);
	qsort(items, count, sizeof(*items), orders[options->order]);
	*ranking = (struct ranking){items, count, profile->site_count - count};
	return 0;
}

void ranking_free(struct ranking *ranking)
{
	free(ranking->items);
	*ranking = (struct ranking){0};
}
