/* SPDX-License-Identifier: GPL-2.0-only */
/* test_rank.c - one word per site, and the order that a person should look in. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "profile/group.h"
#include "profile/rank.h"
#include "unit/simulation.h"

#define KIB 1024.0
#define MIB (1024 * KIB)

/* ---- sites ------------------------------------------------------------------------------------
 */

/* 'rate' bytes a second for ever, in blocks of a prime size. */
static void leak_step(struct sim_site *sim, double rate)
{
	double want = rate * sim->time_s;

	while (sim->totals.alloc_bytes + 1031 <= want && !sim->settling)
		sim_alloc(sim, 1031);
}

/* A leak whose rate changes between a half and one and a half from second to second. */
static void noisy_leak_step(struct sim_site *sim, double rate)
{
	double bytes = rate / STEPS_PER_S * (0.5 + sim_random(sim));

	sim_alloc(sim, bytes);
}

/* One block of 'rate' * 7 bytes every 7 seconds. */
static void rare_leak_step(struct sim_site *sim, double rate)
{
	if ((long)(sim->time_s * STEPS_PER_S) % (7 * STEPS_PER_S) == 0)
		sim_alloc(sim, rate * 7);
}

/* Fills to 'bytes' in a third of the time, then stops. */
static void cache_stop_step(struct sim_site *sim, double bytes)
{
	if (sim->time_s < sim->duration_s / 3)
		sim_alloc(sim, bytes / (sim->duration_s / 3 * STEPS_PER_S));
}

/* Fills as fast, then replaces its oldest entry with each new one. */
static void cache_evict_step(struct sim_site *sim, double bytes)
{
	size_t entries = sim->duration_s / 3 * STEPS_PER_S;

	if (sim->count >= entries)
		sim_free_oldest(sim);
	sim_alloc(sim, bytes / entries);
}

/* Random keys: the emptier the faster, 1 - exp(-t / tau). */
static void cache_random_step(struct sim_site *sim, double bytes)
{
	double tau = sim->duration_s / 6;
	double level = bytes * (1 - exp(-sim->time_s / tau));

	if (!sim->settling)
		sim_alloc(sim, level - live_bytes(sim->totals));
}

/* Grows to 'bytes' in a seventh of the time and drops all, again and again. */
static void sawtooth_step(struct sim_site *sim, double bytes)
{
	size_t steps = sim->duration_s / 7 * STEPS_PER_S;

	if (sim->count >= steps)
		while (sim->count)
			sim_free_oldest(sim);
	sim_alloc(sim, bytes / steps);
}

/* 'bytes' a second, freed at once but for a few in flight. */
static void churn_step(struct sim_site *sim, double bytes)
{
	size_t in_flight = sim_random(sim) * 50;

	for (int i = 0; i < 100; i++)
		sim_alloc(sim, bytes / STEPS_PER_S / 100);
	while (sim->count > in_flight)
		sim_free_newest(sim);
}

/* Full from the first second on, entries replaced in turn. */
static void pool_step(struct sim_site *sim, double bytes)
{
	if (sim->count >= STEPS_PER_S)
		sim_free_oldest(sim);
	sim_alloc(sim, bytes / STEPS_PER_S);
}

/* Longer and longer, but every entry passes through. */
static void queue_step(struct sim_site *sim, double rate)
{
	for (int i = 0; i < 20; i++)
		sim_alloc(sim, rate / STEPS_PER_S);
	for (int i = 0; i < 19 && sim->time_s > 0.1; i++)
		sim_free_oldest(sim);
}

/* Builds up for a third, then gives back. */
static void shrink_step(struct sim_site *sim, double bytes)
{
	if (sim->time_s < sim->duration_s / 3)
		sim_alloc(sim, bytes / (sim->duration_s / 3 * STEPS_PER_S));
	else
		sim_free_oldest(sim);
}

/* A hot path that forgets one block in a while: 'rate' bytes/s stay. */
static void churn_leak_step(struct sim_site *sim, double rate)
{
	size_t temporary = 1000 + sim_random(sim) * 3000;

	sim_alloc(sim, rate / STEPS_PER_S);
	sim->totals.alloc_bytes += temporary * 997;
	sim->site->age[sim->age].alloc_bytes += temporary * 997;
	/* the temporaries of this step live until the next: keep them as one block at the end */
	sim->totals.free_bytes += temporary * 997;
	sim->site->age[sim->age].free_bytes += temporary * 997;
}

/* As above, with up to 20 times the leak in flight when a snapshot is taken. */
static void churn_hidden_leak_step(struct sim_site *sim, double rate)
{
	if (sim->count && sim->blocks[(sim->begin + sim->count - 1) % BLOCKS_MAX].bytes != 1031)
		sim_free_newest(sim);
	while (live_bytes(sim->totals) + 1031 <= rate * sim->time_s && !sim->settling)
		sim_alloc(sim, 1031);
	sim_alloc(sim, sim_random(sim) * rate * sim->duration_s * 2);
}

/* Much in flight at each snapshot; every 'seconds' one block stays. */
static void churn_keeping_step(struct sim_site *sim, double seconds)
{
	double before = sim->time_s - 1.0 / STEPS_PER_S;

	if (sim->count && sim->blocks[(sim->begin + sim->count - 1) % BLOCKS_MAX].bytes != 1031)
		sim_free_newest(sim);
	if (floor(sim->time_s / seconds + 1e-6) > floor(before / seconds + 1e-6))
		sim_alloc(sim, 1031);
	sim_alloc(sim, 1 + sim_random(sim) * 80 * KIB);
}

static void quiet_step(struct sim_site *sim, double bytes)
{
}

/* Requests in flight when the recording ends; all are answered while it settles. */
static void in_flight_step(struct sim_site *sim, double rate)
{
	if (sim->settling)
		sim_free_oldest(sim);
	else
		sim_alloc(sim, rate / STEPS_PER_S);
	if (sim->settling)
		for (int i = 0; i < 10; i++)
			sim_free_oldest(sim);
}

/* ---- verdicts ----------------------------------------------------------------------------------
 */

static struct ranked_site rank_one(double duration_s, double interval_s, sim_step *step,
				   double parameter)
{
	const struct rank_options options = {.order = RANK_GROWTH};
	struct simulation *sim = simulation_new(duration_s, interval_s);
	struct ranked_site ranked;
	struct profile profile;
	struct ranking ranking;

	simulation_add(sim, step, parameter);
	simulation_profile(sim, &profile);
	assert_int_equal(ranking_build(&profile, &options, &ranking, NULL), 0);
	assert_int_equal(ranking.count, 1);
	ranked = ranking.items[0];
	ranking_free(&ranking);
	profile_deinit(&profile);
	return ranked;
}

#define assert_verdict(expected, duration_s, interval_s, step, parameter)                          \
	assert_string_equal(                                                                       \
	    site_verdict_name(rank_one(duration_s, interval_s, step, parameter).verdict),          \
	    expected)

static void a_steady_leak_is_a_leak(void **state)
{
	assert_verdict("leak", 60, 2, leak_step, 100 * KIB);
	assert_verdict("leak", 600, 10, leak_step, 5 * KIB);
	assert_verdict("leak", 3600, 10, leak_step, 1 * KIB);
	assert_verdict("leak", 60, 2, noisy_leak_step, 100 * KIB);
	assert_verdict("leak", 120, 2, rare_leak_step, 100 * KIB);
}

static void a_leak_in_a_hot_path_is_a_leak(void **state)
{
	assert_verdict("leak", 60, 2, churn_leak_step, 30 * KIB);
}

static void a_leak_hidden_by_blocks_in_flight_is_a_leak(void **state)
{
	assert_verdict("leak", 120, 2, churn_hidden_leak_step, 30 * KIB);
}

static void a_few_blocks_that_stay_are_no_leak_yet(void **state)
{
	assert_verdict("steady", 120, 2, churn_keeping_step, 16);
	assert_verdict("leak", 120, 2, churn_keeping_step, 4);
}

static void a_filled_cache_is_a_plateau(void **state)
{
	assert_verdict("plateau", 60, 2, cache_stop_step, 50 * MIB);
	assert_verdict("plateau", 60, 2, cache_evict_step, 50 * MIB);
	assert_verdict("plateau", 60, 2, cache_random_step, 50 * MIB);
	assert_verdict("plateau", 600, 10, cache_random_step, 50 * MIB);
}

static void build_and_drop_is_a_sawtooth(void **state)
{
	assert_verdict("sawtooth", 60, 2, sawtooth_step, 100 * MIB);
	assert_verdict("sawtooth", 600, 10, sawtooth_step, 100 * MIB);
}

static void churn_is_steady(void **state)
{
	assert_verdict("steady", 60, 2, churn_step, 1024 * MIB);
	assert_verdict("steady", 60, 2, pool_step, 10 * MIB);
	assert_verdict("steady", 60, 2, quiet_step, 0);
}

static void a_queue_that_gets_longer_is_growing(void **state)
{
	assert_verdict("growing", 60, 2, queue_step, 100 * KIB);
}

static void giving_back_is_shrinking(void **state)
{
	assert_verdict("shrinking", 60, 2, shrink_step, 10 * MIB);
}

static void too_few_snapshots_are_not_enough_for_a_leak(void **state)
{
	assert_verdict("leak", 5, 1, leak_step, 100 * KIB);
	assert_verdict("growing", 4, 1, leak_step, 100 * KIB);
	assert_verdict("growing", 4, 2, leak_step, 100 * KIB);
	assert_verdict("growing", 2, 2, leak_step, 100 * KIB);
	assert_int_equal(rank_one(4, 1, leak_step, 100 * KIB).snapshots, 5);
	assert_verdict("plateau", 10, 2, cache_stop_step, 10 * MIB);
	assert_verdict("steady", 10, 2, churn_step, 1024 * MIB);
}

/* 1009 blocks near the end, in as many steps as 'bursts'. */
static void late_burst_step(struct sim_site *sim, double bursts)
{
	long steps = sim->duration_s * STEPS_PER_S, step = lround(sim->time_s * STEPS_PER_S);

	for (int i = 0; i < bursts; i++)
		if (step == steps * (17 - i) / 18 + 1)
			for (int k = 0; k < 1009; k++)
				sim_alloc(sim, 127);
}

static void what_grew_in_one_or_two_steps_is_a_plateau(void **state)
{
	assert_verdict("plateau", 60, 2, late_burst_step, 1);
	assert_verdict("plateau", 60, 2, late_burst_step, 2);
	assert_verdict("leak", 60, 2, late_burst_step, 5);
	assert_verdict("plateau", 600, 2, late_burst_step, 2);
}

/* Snapshots are also taken when other processes come and go. */
static void a_short_life_among_many_snapshots_is_too_few(void **state)
{
	const struct rank_options options = {.order = RANK_GROWTH};
	struct simulation *sim = simulation_new(60, 2);
	struct profile profile;
	struct ranking ranking;

	simulation_add(sim, leak_step, 100 * KIB);
	simulation_profile(sim, &profile);
	profile.processes[0].begin_ns = 51 * NS_PER_S;
	assert_int_equal(ranking_build(&profile, &options, &ranking, NULL), 0);
	assert_string_equal(site_verdict_name(ranking.items[0].verdict), "leak");
	assert_int_equal(ranking.items[0].snapshots, 6);
	ranking_free(&ranking);
	profile.processes[0].begin_ns = 53 * NS_PER_S;
	assert_int_equal(ranking_build(&profile, &options, &ranking, NULL), 0);
	assert_string_equal(site_verdict_name(ranking.items[0].verdict), "growing");
	assert_int_equal(ranking.items[0].snapshots, 5);
	assert_true(ranking.items[0].score < 0.011 * ranking.items[0].growth_bytes);
	ranking_free(&ranking);
	profile_deinit(&profile);
}

static void sites_that_hold_nothing_are_last(void **state)
{
	static const enum rank_order orders[] = {RANK_GROWTH, RANK_LIVE};
	struct simulation *sim = simulation_new(60, 2);
	struct profile profile;
	struct ranking ranking;

	simulation_add(sim, quiet_step, 0);
	simulation_add(sim, leak_step, 10 * KIB);
	simulation_add(sim, shrink_step, 10 * MIB);
	simulation_profile(sim, &profile);
	/* it held something when the recording began, and less now */
	((struct site_point *)profile.sites[2].points)[0].snapshot = 0;
	for (size_t i = 0; i < 2; i++) {
		const struct rank_options options = {.order = orders[i]};

		assert_int_equal(ranking_build(&profile, &options, &ranking, NULL), 0);
		assert_ptr_equal(ranking.items[2].site, &profile.sites[0]);
		assert_true(ranked_site_empty(&ranking.items[2]));
		assert_false(ranked_site_empty(&ranking.items[1]));
		ranking_free(&ranking);
	}
	profile_deinit(&profile);
}

static void the_slope_of_a_leak_is_its_rate(void **state)
{
	struct ranked_site ranked = rank_one(60, 2, leak_step, 100 * KIB);

	assert_true(fabs(ranked.slope - 100 * KIB) < 0.01 * 100 * KIB);
	assert_true(fabs(ranked.growth_bytes - 60 * 100 * KIB) < 1031);
	assert_true(ranked.survival == 1);
	assert_true(ranked.rising == 1);
}

static void a_few_wild_snapshots_do_not_move_the_slope(void **state)
{
	struct profile_snapshot snapshots[21] = {0};
	struct site_point points[21] = {0};
	struct profile_site site = {.points = points, .point_count = 21};
	struct profile profile = {.snapshots = snapshots, .snapshot_count = 21};
	const struct rank_options options = {.order = RANK_GROWTH};
	struct ranking ranking;

	memset(profile.epoch_start_ns, 0xff, sizeof(profile.epoch_start_ns));
	for (int i = 0; i < 21; i++) {
		/* irregular times: every second interval is three times as long */
		snapshots[i].time_ns = (2 * i - i % 2) * NS_PER_S;
		points[i].snapshot = i;
		points[i].totals.alloc_bytes = 1009.0 * (2 * i - i % 2) + (i % 5 == 3 ? 1e6 : 0);
	}
	profile.sites = &site;
	profile.site_count = 1;
	assert_int_equal(ranking_build(&profile, &options, &ranking, NULL), 0);
	assert_true(fabs(ranking.items[0].slope - 1009) < 1);
	ranking_free(&ranking);
}

static void settling_tells_a_leak_from_work_in_flight(void **state)
{
	const struct rank_options options = {.order = RANK_GROWTH};
	struct simulation *sim = simulation_new(60, 2);
	struct profile profile;
	struct ranking ranking;

	sim->settle_s = 20;
	simulation_add(sim, in_flight_step, 1000 * KIB);
	simulation_add(sim, leak_step, 10 * KIB);
	simulation_profile(sim, &profile);
	assert_int_equal(ranking_build(&profile, &options, &ranking, NULL), 0);
	assert_ptr_equal(ranking.items[0].site, &profile.sites[1]);
	assert_string_equal(site_verdict_name(ranking.items[0].verdict), "leak");
	assert_string_not_equal(site_verdict_name(ranking.items[1].verdict), "leak");
	ranking_free(&ranking);
	profile_deinit(&profile);
}

static void growth_within_the_error_is_no_leak(void **state)
{
	const struct rank_options options = {.order = RANK_GROWTH};

	for (int sure = 0; sure < 2; sure++) {
		struct simulation *sim = simulation_new(60, 2);
		struct profile profile;
		struct ranking ranking;
		struct site_point *points;

		simulation_add(sim, leak_step, 10 * KIB);
		simulation_profile(sim, &profile);
		profile.sample_bytes = 524288;
		points = (struct site_point *)profile.sites[0].points;
		for (uint32_t i = 0; i < profile.sites[0].point_count; i++)
			points[i].totals.variance = sure ? 1e8 : 1e12;
		assert_int_equal(ranking_build(&profile, &options, &ranking, NULL), 0);
		assert_string_equal(site_verdict_name(ranking.items[0].verdict),
				    sure ? "leak" : "steady");
		assert_true(ranking.items[0].error_bytes == (sure ? 1e4 : 1e6));
		ranking_free(&ranking);
		profile_deinit(&profile);
	}
}

/* ---- order -------------------------------------------------------------------------------------
 */

/* 2 MiB leak slowly beside decoys that hold 25 to 50 times as much. */
static void leak_among_decoys(double duration_s, double interval_s, double leaked)
{
	static const struct {
		sim_step *step;
		double parameter;
	} decoys[] = {
	    {cache_stop_step, 50 * MIB},   {cache_evict_step, 50 * MIB},
	    {cache_random_step, 50 * MIB}, {sawtooth_step, 100 * MIB},
	    {churn_step, 4096 * MIB},	   {pool_step, 50 * MIB},
	    {shrink_step, 100 * MIB},
	};
	const struct rank_options options = {.order = RANK_GROWTH};
	struct simulation *sim = simulation_new(duration_s, interval_s);
	struct profile profile;
	struct ranking ranking;
	uint32_t leak;

	for (size_t i = 0; i < sizeof(decoys) / sizeof(decoys[0]); i++)
		simulation_add(sim, decoys[i].step, decoys[i].parameter);
	leak = simulation_add(sim, leak_step, leaked / duration_s);
	simulation_profile(sim, &profile);
	assert_int_equal(ranking_build(&profile, &options, &ranking, NULL), 0);
	for (size_t i = 0; i < ranking.count; i++)
		if (getenv("SHOW"))
			print_message(
			    "%2zu site %td %-9s growth %.0f slope %.0f kept %.2f/%.2f score %.0f\n",
			    i, ranking.items[i].site - profile.sites,
			    site_verdict_name(ranking.items[i].verdict),
			    ranking.items[i].growth_bytes, ranking.items[i].slope,
			    ranking.items[i].survival, ranking.items[i].retention,
			    ranking.items[i].score);
	assert_ptr_equal(ranking.items[0].site, &profile.sites[leak]);
	assert_string_equal(site_verdict_name(ranking.items[0].verdict), "leak");
	for (size_t i = 1; i < ranking.count; i++)
		assert_int_not_equal(ranking.items[i].verdict, VERDICT_LEAK);
	ranking_free(&ranking);
	profile_deinit(&profile);
}

static void decoys_do_not_outrank_a_slow_leak(void **state)
{
	leak_among_decoys(600, 10, 2 * MIB);
	leak_among_decoys(60, 2, 2 * MIB);
	leak_among_decoys(60, 1, 2 * MIB);
	leak_among_decoys(30, 1, 2 * MIB);
	leak_among_decoys(20, 2, 2 * MIB);
}

/* The recording may end at any phase of the decoys. */
static void decoys_do_not_outrank_at_any_length(void **state)
{
	for (double duration_s = 20; duration_s < 75; duration_s += 3.7)
		leak_among_decoys(duration_s, 1, 2 * MIB);
}

static void other_orders_are_plain(void **state)
{
	struct simulation *sim = simulation_new(60, 2);
	struct rank_options options = {.order = RANK_LIVE};
	struct profile profile;
	struct ranking ranking;

	simulation_add(sim, leak_step, 10 * KIB);
	simulation_add(sim, cache_stop_step, 50 * MIB);
	simulation_add(sim, churn_step, 1024 * MIB);
	simulation_profile(sim, &profile);
	assert_int_equal(ranking_build(&profile, &options, &ranking, NULL), 0);
	assert_ptr_equal(ranking.items[0].site, &profile.sites[1]);
	ranking_free(&ranking);
	options.order = RANK_ALLOC;
	assert_int_equal(ranking_build(&profile, &options, &ranking, NULL), 0);
	assert_ptr_equal(ranking.items[0].site, &profile.sites[2]);
	ranking_free(&ranking);
	options = (struct rank_options){RANK_GROWTH, MIB};
	assert_int_equal(ranking_build(&profile, &options, &ranking, NULL), 0);
	assert_int_equal(ranking.left_out, 1);
	profile_deinit(&profile);
	ranking_free(&ranking);
}

static void a_profile_without_anything_ranks(void **state)
{
	const struct rank_options options = {.order = RANK_GROWTH};
	struct profile_site site = {0};
	struct profile profile = {.sites = &site, .site_count = 1};
	struct ranking ranking;

	assert_int_equal(ranking_build(&profile, &options, &ranking, NULL), 0);
	assert_int_equal(ranking.count, 1);
	assert_string_equal(site_verdict_name(ranking.items[0].verdict), "steady");
	ranking_free(&ranking);
}

/* ---- groups ------------------------------------------------------------------------------------
 */

static void groups_sum_points_and_ages(void **state)
{
	static const enum group_by all[] = {GROUP_FUNCTION, GROUP_LINE, GROUP_FILE, GROUP_MODULE};
	struct simulation *sim = simulation_new(60, 2);
	struct profile profile, grouped;
	struct site_totals ends[3];

	for (int i = 0; i < 3; i++)
		simulation_add(sim, i == 1 ? sawtooth_step : leak_step, (i + 1) * 10 * KIB);
	simulation_profile(sim, &profile);
	profile.sites[2].alloc_class = CLASS_MMAP;
	for (int i = 0; i < 3; i++) {
		ends[i] = profile_site_at(&profile.sites[i], profile.snapshot_count - 1);
		profile.frames[i].file = "a.c";
		profile.frames[i].module = "/bin/x";
	}
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct site_totals sum;

		assert_int_equal(
		    profile_group(&profile, &(struct group_options){.by = all[i]}, &grouped, NULL),
		    0);
		assert_int_equal(grouped.site_count, 2); /* classes stay apart */
		sum = profile_site_at(&grouped.sites[0], profile.snapshot_count - 1);
		assert_true(fabs(sum.alloc_bytes - ends[0].alloc_bytes - ends[1].alloc_bytes) < 1);
		assert_true(fabs(sum.free_bytes - ends[0].free_bytes - ends[1].free_bytes) < 1);
		assert_true(fabs(grouped.sites[0].age[3].alloc_bytes -
				 profile.sites[0].age[3].alloc_bytes -
				 profile.sites[1].age[3].alloc_bytes) < 1);
		profile_deinit(&grouped);
	}
	profile_deinit(&profile);
}

static void the_naming_frame_is_not_operator_new(void **state)
{
	struct profile_frame frames[] = {
	    {.function = "operator new(unsigned long)"},
	    {.function = "std::allocator<char>::allocate(unsigned long)", .inlined = true},
	    {.function = "frame_of_the_interpreter", .internal = true},
	    {.function = "Parser::parse()"},
	};
	const uint32_t order[] = {0, 1, 2, 3};
	struct profile_site site = {.frames = order, .frame_count = 4};
	struct profile profile = {.frames = frames, .frame_count = 4};

	assert_int_equal(site_naming_frame(&profile, &site), 3);
	site.frame_count = 3;
	assert_int_equal(site_naming_frame(&profile, &site), 0);
}

static void totals_hold_until_the_next_point(void **state)
{
	struct site_point points[] = {
	    {2, {.alloc_bytes = 11}},
	    {5, {.alloc_bytes = 13}},
	};
	struct profile_site site = {.points = points, .point_count = 2};

	assert_true(profile_site_at(&site, 1).alloc_bytes == 0);
	assert_true(profile_site_at(&site, 2).alloc_bytes == 11);
	assert_true(profile_site_at(&site, 4).alloc_bytes == 11);
	assert_true(profile_site_at(&site, 5).alloc_bytes == 13);
	assert_true(profile_site_at(&site, 99).alloc_bytes == 13);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_steady_leak_is_a_leak),
	    cmocka_unit_test(a_leak_in_a_hot_path_is_a_leak),
	    cmocka_unit_test(a_leak_hidden_by_blocks_in_flight_is_a_leak),
	    cmocka_unit_test(a_few_blocks_that_stay_are_no_leak_yet),
	    cmocka_unit_test(a_filled_cache_is_a_plateau),
	    cmocka_unit_test(build_and_drop_is_a_sawtooth),
	    cmocka_unit_test(churn_is_steady),
	    cmocka_unit_test(a_queue_that_gets_longer_is_growing),
	    cmocka_unit_test(giving_back_is_shrinking),
	    cmocka_unit_test(too_few_snapshots_are_not_enough_for_a_leak),
	    cmocka_unit_test(what_grew_in_one_or_two_steps_is_a_plateau),
	    cmocka_unit_test(a_short_life_among_many_snapshots_is_too_few),
	    cmocka_unit_test(sites_that_hold_nothing_are_last),
	    cmocka_unit_test(the_slope_of_a_leak_is_its_rate),
	    cmocka_unit_test(a_few_wild_snapshots_do_not_move_the_slope),
	    cmocka_unit_test(settling_tells_a_leak_from_work_in_flight),
	    cmocka_unit_test(growth_within_the_error_is_no_leak),
	    cmocka_unit_test(decoys_do_not_outrank_a_slow_leak),
	    cmocka_unit_test(decoys_do_not_outrank_at_any_length),
	    cmocka_unit_test(other_orders_are_plain),
	    cmocka_unit_test(a_profile_without_anything_ranks),
	    cmocka_unit_test(groups_sum_points_and_ages),
	    cmocka_unit_test(the_naming_frame_is_not_operator_new),
	    cmocka_unit_test(totals_hold_until_the_next_point),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
