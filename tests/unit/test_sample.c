/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_sample.c - sampling by bytes against the mathematics it stands for.
 *
 * Every seed is fixed: what is a matter of chance was drawn once and stays. Gaps are whole bytes,
 * so they are compared with an exponential variable rounded down.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "probe/sample_tables.h"
#include "unit/random.h"

#include "../../bpf/sample.bpf.h"

#define DRAWS	     300007
#define ROUNDS	     2000
#define ROUND_BLOCKS 3001

static struct sample_tables tables;
static struct prng prng;

static int fill_tables(void **state)
{
	sample_tables_fill(&tables);
	return 0;
}

static uint32_t random_word(void)
{
	return random_bits(&prng) >> 32;
}

/* ---- gaps --------------------------------------------------------------------------------------
 */

static const uint64_t intervals[] = {256,   257,   511,	   1009,    4096,
				     52224, 65536, 524288, 1 << 24, 1 << 27};

static uint64_t *draw_gaps(uint64_t interval)
{
	uint64_t *gaps = malloc(DRAWS * sizeof(*gaps));

	assert_non_null(gaps);
	prng.state = interval + 7919;
	for (size_t i = 0; i < DRAWS; i++)
		gaps[i] = SAMPLE_GAP(&tables, interval, random_word);
	return gaps;
}

static void the_mean_gap_is_the_interval(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(intervals); i++) {
		_cleanup_free_ uint64_t *gaps = draw_gaps(intervals[i]);
		double expected = 1 / expm1(1.0 / intervals[i]), sum = 0;
		double error = intervals[i] / sqrt(DRAWS);

		for (size_t k = 0; k < DRAWS; k++)
			sum += gaps[k];
		if (fabs(sum / DRAWS - expected) > 4 * error)
			fail_msg("interval %llu: mean %f, expected %f +- %f",
				 (unsigned long long)intervals[i], sum / DRAWS, expected, error);
	}
}

static int compare_gaps(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return (a > b) - (a < b);
}

/* The largest distance between the distribution of the gaps and the exponential one. */
static double gap_distance(uint64_t *gaps, double interval)
{
	double most = 0;

	qsort(gaps, DRAWS, sizeof(*gaps), compare_gaps);
	for (size_t i = 0; i < DRAWS; i++) {
		if (!i || gaps[i] != gaps[i - 1]) /* share of gaps below this one */
			most = fmax(most, fabs((double)i / DRAWS + expm1(-(gaps[i] / interval))));
		if (i + 1 == DRAWS || gaps[i] != gaps[i + 1]) /* and of those up to it */
			most = fmax(most,
				    fabs((i + 1.0) / DRAWS + expm1(-((gaps[i] + 1) / interval))));
	}
	return most;
}

/* Kolmogorov-Smirnov: 1.95 / sqrt(n) is passed by 1 in 1000 true samples. */
static void gaps_are_exponential(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(intervals); i++) {
		_cleanup_free_ uint64_t *gaps = draw_gaps(intervals[i]);
		double distance = gap_distance(gaps, intervals[i]);

		if (distance > 1.95 / sqrt(DRAWS))
			fail_msg("interval %llu: distance %f, at most %f",
				 (unsigned long long)intervals[i], distance, 1.95 / sqrt(DRAWS));
	}
}

/* One gap in 22026 is longer than ten intervals. */
static void long_gaps_are_as_rare_as_they_should_be(void **state)
{
	const double draws = 5000011, expected = draws * exp(-10);
	double longer = 0;

	prng.state = 104729;
	for (double i = 0; i < draws; i++)
		longer += SAMPLE_GAP(&tables, 1 << 20, random_word) >= 10 << 20;
	assert_true(fabs(longer - expected) < 4 * sqrt(expected));
}

static uint32_t zero_draws; /* to come before the word below */
static uint32_t last_word;

static uint32_t planned_word(void)
{
	if (!zero_draws)
		return last_word;
	zero_draws--;
	return 0;
}

static double planned_gap(uint32_t zeros, uint32_t word)
{
	zero_draws = zeros;
	last_word = word;
	return SAMPLE_GAP(&tables, 1 << 24, planned_word) / (double)(1 << 24);
}

static void the_first_cell_adds_its_logarithm_and_draws_again(void **state)
{
	for (uint32_t zeros = 0; zeros < 4; zeros++)
		assert_float_equal(planned_gap(zeros, 0x800), (zeros * 12 + 1) * M_LN2, 1e-6);
	assert_float_equal(planned_gap(4, 0x800), 48 * M_LN2, 1e-6);
}

static void the_shortest_gap_is_no_byte(void **state)
{
	assert_float_equal(planned_gap(0, 0xffffffff), 0, 1e-6);
	last_word = 0xffffffff;
	assert_int_equal(SAMPLE_GAP(&tables, 256, planned_word), 0);
}

static void the_tables_fall(void **state)
{
	for (int i = 1; i < EXP_CELLS; i++)
		assert_true(tables.gap[i] > tables.gap[i + 1]);
	assert_int_equal(tables.gap[0], tables.gap[1]);
	assert_int_equal(tables.gap[EXP_CELLS], 0);
	assert_int_equal(tables.exp_fraction[0], UINT32_MAX);
	for (int i = 1; i < FRACTION_CELLS; i++)
		assert_true(tables.exp_fraction[i] < tables.exp_fraction[i - 1]);
	for (int i = 1; i <= 22; i++) /* bigger blocks stand for themselves */
		assert_true(tables.exp_whole[i] < tables.exp_whole[i - 1]);
}

/* ---- weights -----------------------------------------------------------------------------------
 */

static const uint64_t weigh_intervals[] = {256,	  257,	  1009,	  4099,	    16411,
					   65537, 524288, 999983, 16777259, 1 << 27};

struct exact {
	long double bytes, blocks, variance;
};

static struct exact weigh_exactly(uint64_t size, uint64_t interval)
{
	long double p = -expm1l(-(long double)size / interval), bytes = size / p;

	return (struct exact){bytes, 1 / p, bytes * bytes * (1 - p)};
}

/* Bytes are rounded to whole ones, and blocks follow from them. */
#define WEIGHT_ERROR 3e-7L

static void check_weight(uint64_t size, uint64_t interval)
{
	struct sample_weight weight = sample_weigh(&tables, size, interval);
	struct exact exact = weigh_exactly(size, interval);
	long double bytes_error = fabsl(weight.bytes - exact.bytes);
	long double blocks_error = fabsl((long double)weight.blocks / WEIGHT_ONE - exact.blocks);

	if (bytes_error > 0.5L + WEIGHT_ERROR * exact.bytes)
		fail_msg("%zu bytes, interval %zu: %zu bytes, exactly %Lf", size, interval,
			 (size_t)weight.bytes, exact.bytes);
	if (blocks_error > 0.5L / size + 1.0L / WEIGHT_ONE + WEIGHT_ERROR * exact.blocks)
		fail_msg("%zu bytes, interval %zu: %zu / 65536 blocks, exactly %Lf", size, interval,
			 (size_t)weight.blocks, exact.blocks);
}

/* Sizes from 1 to 30 intervals, each about 1 % more than the one before. */
static void for_each_size(uint64_t interval, void (*check)(uint64_t size, uint64_t interval))
{
	for (uint64_t size = 1; size < 30 * interval; size += 1 + size / 101)
		check(size, interval);
}

static void for_each_weight(void (*check)(uint64_t size, uint64_t interval))
{
	for (size_t i = 0; i < ARRAY_LEN(weigh_intervals); i++)
		for_each_size(weigh_intervals[i], check);
}

static void a_sample_weighs_one_over_its_probability(void **state)
{
	for_each_weight(check_weight);
}

/* Below 1/256 of the interval a series is used: 1 - e^-x would have too few digits. */
static void weights_of_small_blocks_have_all_digits(void **state)
{
	const uint64_t interval = 1 << 27;

	for (uint64_t size = 1; size < interval / FRACTION_CELLS; size += 1 + size / 1009) {
		long double exact = weigh_exactly(size, interval).bytes;
		long double bytes = sample_weigh(&tables, size, interval).bytes;

		if (fabsl(bytes - exact) > 0.5L + 1e-9L * exact)
			fail_msg("%zu bytes: %Lf, exactly %Lf", size, bytes, exact);
	}
}

/* Where one formula or cell of a table ends and the next begins. */
static void weights_are_right_at_every_seam(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(weigh_intervals); i++)
		for (uint64_t cell = 1; cell <= 23 * FRACTION_CELLS; cell++) {
			uint64_t seam = weigh_intervals[i] * cell / FRACTION_CELLS;

			for (uint64_t size = seam > 2 ? seam - 2 : 1; size <= seam + 2; size++)
				check_weight(size, weigh_intervals[i]);
		}
}

/* Its unit is 4096 bytes^2, and 1 - p has 20 bits. */
static void check_variance(uint64_t size, uint64_t interval)
{
	struct exact exact = weigh_exactly(size, interval);
	long double variance = sample_weigh(&tables, size, interval).variance;
	long double unit = 1 << VARIANCE_UNIT_SHIFT;
	bool tiny = size > 9 * interval;

	variance *= unit;
	if (fabsl(variance - exact.variance) > 1.5L * unit + 0.01L * exact.variance && !tiny)
		fail_msg("%zu bytes, interval %zu: variance %Lf, exactly %Lf", size, interval,
			 variance, exact.variance);
	if (variance > exact.variance * 1.01L + unit)
		fail_msg("%zu bytes, interval %zu: variance %Lf, at most %Lf", size, interval,
			 variance, exact.variance);
}

static void the_variance_is_that_of_the_weight(void **state)
{
	for_each_weight(check_variance);
}

static void check_plain(uint64_t size, uint64_t interval)
{
	struct sample_weight weight = sample_weigh(&tables, size, interval);

	assert_int_equal(weight.bytes, size);
	assert_int_equal(weight.blocks, WEIGHT_ONE);
	assert_int_equal(weight.variance, 0);
}

static void big_blocks_stand_for_themselves(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(weigh_intervals); i++) {
		check_plain(22 * weigh_intervals[i], weigh_intervals[i]);
		check_plain(22 * weigh_intervals[i] + 1, weigh_intervals[i]);
		check_plain(1ULL << 47, weigh_intervals[i]);
		check_plain(UINT64_MAX, weigh_intervals[i]);
	}
}

static void without_sampling_every_block_stands_for_itself(void **state)
{
	for (uint64_t size = 1; size < 1ULL << 60; size += 1 + size / 7) {
		check_plain(size, 0);
		check_plain(size, 1);
	}
}

static void a_block_of_no_bytes_weighs_one_block(void **state)
{
	check_plain(0, 1);
	check_plain(0, 524288);
}

/* ---- from end to end ---------------------------------------------------------------------------
 */

struct estimate {
	double bytes, blocks, variance;
};

/* As the probe at entry does it: blocks count down to the next byte that is hit. */
static bool block_hit(uint64_t *gap_bytes, uint64_t size, uint64_t interval)
{
	if (!*gap_bytes)
		*gap_bytes = SAMPLE_GAP(&tables, interval, random_word) + 1;
	if (size < *gap_bytes) {
		*gap_bytes -= size;
		return false;
	}
	*gap_bytes = SAMPLE_GAP(&tables, interval, random_word) + 1;
	return true;
}

/* Many small blocks, few big ones. */
static uint64_t size_of_block(size_t index)
{
	static const uint32_t often[] = {31, 61, 127, 251, 509, 1009, 2003, 4099};
	static const uint32_t seldom[] = {16411, 65537, 262147, 1000003};

	if (index % 101 == 0)
		return seldom[index / 101 % ARRAY_LEN(seldom)];
	return often[index % ARRAY_LEN(often)];
}

static struct estimate simulate_round(uint64_t *gap_bytes, uint64_t interval)
{
	struct estimate sum = {0};

	for (size_t i = 0; i < ROUND_BLOCKS; i++) {
		uint64_t size = size_of_block(i);
		struct sample_weight weight;

		if (!block_hit(gap_bytes, size, interval))
			continue;
		weight = sample_weigh(&tables, size, interval);
		sum.bytes += weight.bytes;
		sum.blocks += (double)weight.blocks / WEIGHT_ONE;
		sum.variance += (double)weight.variance * (1 << VARIANCE_UNIT_SHIFT);
	}
	return sum;
}

/* Sums over rounds: of the errors, their squares, and of the variances as reported. */
struct rounds {
	double bytes, bytes_square, blocks, blocks_square, variance;
};

static struct rounds simulate(uint64_t interval)
{
	uint64_t gap_bytes = 0, true_bytes = 0;
	struct rounds rounds = {0};

	prng.state = interval + 15485863;
	for (size_t i = 0; i < ROUND_BLOCKS; i++)
		true_bytes += size_of_block(i);
	for (size_t i = 0; i < ROUNDS; i++) {
		struct estimate estimate = simulate_round(&gap_bytes, interval);
		double bytes = estimate.bytes - true_bytes, blocks = estimate.blocks - ROUND_BLOCKS;

		rounds.bytes += bytes;
		rounds.bytes_square += bytes * bytes;
		rounds.blocks += blocks;
		rounds.blocks_square += blocks * blocks;
		rounds.variance += estimate.variance;
	}
	return rounds;
}

static const uint64_t simulated[] = {257, 1009, 4096, 16384, 65536, 524288};

static void estimates_are_unbiased(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(simulated); i++) {
		struct rounds rounds = simulate(simulated[i]);

		if (fabs(rounds.bytes) > 4 * sqrt(rounds.bytes_square))
			fail_msg("interval %zu: bytes off by %f, standard error %f", simulated[i],
				 rounds.bytes / ROUNDS, sqrt(rounds.bytes_square) / ROUNDS);
		if (fabs(rounds.blocks) > 4 * sqrt(rounds.blocks_square))
			fail_msg("interval %zu: blocks off by %f, standard error %f", simulated[i],
				 rounds.blocks / ROUNDS, sqrt(rounds.blocks_square) / ROUNDS);
	}
}

static void the_reported_variance_is_that_of_the_estimates(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(simulated); i++) {
		struct rounds rounds = simulate(simulated[i]);
		double ratio = rounds.variance / rounds.bytes_square;

		if (fabs(ratio - 1) > 0.1)
			fail_msg("interval %zu: reported variance is %f of the true one",
				 simulated[i], ratio);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_tables_fall),
	    cmocka_unit_test(the_mean_gap_is_the_interval),
	    cmocka_unit_test(gaps_are_exponential),
	    cmocka_unit_test(long_gaps_are_as_rare_as_they_should_be),
	    cmocka_unit_test(the_first_cell_adds_its_logarithm_and_draws_again),
	    cmocka_unit_test(the_shortest_gap_is_no_byte),
	    cmocka_unit_test(a_sample_weighs_one_over_its_probability),
	    cmocka_unit_test(weights_of_small_blocks_have_all_digits),
	    cmocka_unit_test(weights_are_right_at_every_seam),
	    cmocka_unit_test(the_variance_is_that_of_the_weight),
	    cmocka_unit_test(big_blocks_stand_for_themselves),
	    cmocka_unit_test(without_sampling_every_block_stands_for_itself),
	    cmocka_unit_test(a_block_of_no_bytes_weighs_one_block),
	    cmocka_unit_test(estimates_are_unbiased),
	    cmocka_unit_test(the_reported_variance_is_that_of_the_estimates),
	};

	return cmocka_run_group_tests(tests, fill_tables, NULL);
}
