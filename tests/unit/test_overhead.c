/* SPDX-License-Identifier: GPL-2.0-only */
/* test_overhead.c - probe hits become time, and time becomes a slowdown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/units.h"
#include "probe/overhead.h"

/* The prices are primes, so that each sum is of one kind only. */
static struct overhead priced(void)
{
	return (struct overhead){
	    .costs = {.entry_ns = 503, .session_ns = 1511, .stepped_ns = 10007},
	    .call_ns = 211,
	    .free_ns = 307,
	    .map_ns = 401,
	};
}

static void a_call_costs_its_traps_and_two_runs(void **state)
{
	const struct counters counters = {.alloc_hits = 1009, .return_hits = 1009};
	struct overhead overhead = priced();

	overhead_update(&overhead, &counters, NS_PER_S, NS_PER_S);
	assert_int_equal(overhead.probe_ns_total, 1009 * (1511 + 2 * 211));
	assert_int_equal(overhead.hits_per_s, 2018);
}

static void a_call_that_is_not_sampled_costs_its_entry(void **state)
{
	const struct counters counters = {.alloc_hits = 1009, .return_hits = 11};
	struct overhead overhead = priced();

	overhead_update(&overhead, &counters, NS_PER_S, NS_PER_S);
	assert_int_equal(overhead.probe_ns_total, 1009 * (503 + 211) + 11 * (1511 - 503 + 211));
}

static void a_stepped_hit_costs_what_stepping_costs(void **state)
{
	const struct counters counters = {.free_hits = 1009, .stepped_hits = 101};
	struct overhead overhead = priced();

	overhead_update(&overhead, &counters, NS_PER_S, NS_PER_S);
	assert_int_equal(overhead.probe_ns_total, 1009 * 307 + 101 * 10007 + 908 * 503);
}

static void a_mapping_costs_its_traps_and_its_program(void **state)
{
	const struct counters counters = {.map_hits = 13};
	struct overhead overhead = priced();

	overhead_update(&overhead, &counters, NS_PER_S, NS_PER_S);
	assert_int_equal(overhead.probe_ns_total, 13 * (1511 + 2 * 401));
}

static void the_slowdown_is_of_the_own_time(void **state)
{
	const struct counters counters = {.free_hits = 1000 * 1000};
	struct overhead overhead = priced();

	overhead_update(&overhead, &counters, 5 * 810 * NS_PER_MS, 7 * NS_PER_S);
	assert_float_equal(overhead.slowdown_percent, 25, 1e-6);
	assert_float_equal(overhead_total_percent(&overhead), 25, 1e-6);
}

static void the_total_is_over_all_intervals(void **state)
{
	struct counters counters = {.free_hits = 1000 * 1000};
	struct overhead overhead = priced();

	overhead_update(&overhead, &counters, 5 * 810 * NS_PER_MS, NS_PER_S);
	overhead_update(&overhead, &counters, 9 * 810 * NS_PER_MS, NS_PER_S);
	assert_float_equal(overhead.slowdown_percent, 0, 1e-6);
	assert_float_equal(overhead_total_percent(&overhead), 12.5, 1e-6);
	counters.free_hits *= 2;
	overhead_update(&overhead, &counters, 10 * 810 * NS_PER_MS, NS_PER_S);
	assert_float_equal(overhead_total_percent(&overhead), 25, 1e-6);
}

/* Nothing is left besides the probes: "over 1000 %", not a number that was made up. */
static void more_than_we_can_tell_is_a_thousand(void **state)
{
	const struct counters counters = {.free_hits = 1000 * 1000};
	struct overhead overhead = priced();

	overhead_update(&overhead, &counters, 811 * NS_PER_MS, NS_PER_S);
	assert_float_equal(overhead.slowdown_percent, OVERHEAD_MOST_PERCENT, 0);
	assert_float_equal(overhead_total_percent(&overhead), OVERHEAD_MOST_PERCENT, 0);
}

/* The clock of a process ticks in hundredths of a second. */
static void a_few_hits_before_the_first_tick_are_little(void **state)
{
	const struct counters counters = {.free_hits = 101};
	struct overhead overhead = priced();

	overhead_update(&overhead, &counters, 0, NS_PER_S);
	assert_true(overhead.slowdown_percent < 1);
	assert_true(overhead.slowdown_percent > 0);
}

static void nothing_measured_is_zero(void **state)
{
	const struct overhead overhead = priced();

	assert_float_equal(overhead_total_percent(&overhead), 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_call_costs_its_traps_and_two_runs),
	    cmocka_unit_test(a_call_that_is_not_sampled_costs_its_entry),
	    cmocka_unit_test(a_stepped_hit_costs_what_stepping_costs),
	    cmocka_unit_test(a_mapping_costs_its_traps_and_its_program),
	    cmocka_unit_test(the_slowdown_is_of_the_own_time),
	    cmocka_unit_test(the_total_is_over_all_intervals),
	    cmocka_unit_test(more_than_we_can_tell_is_a_thousand),
	    cmocka_unit_test(a_few_hits_before_the_first_tick_are_little),
	    cmocka_unit_test(nothing_measured_is_zero),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
