/* SPDX-License-Identifier: GPL-2.0-only */
/* test_base.c - units, arenas, tables, arrays, errors. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/table.h"
#include "base/units.h"
#include "base/vec.h"

struct parse_case {
	const char *text;
	int status;
	uint64_t value;
};

static void check_parser(int (*parse)(const char *, uint64_t *), const struct parse_case *cases,
			 size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t value = 4242;
		int status = parse(cases[i].text, &value);

		if (status != cases[i].status || value != (status ? 4242 : cases[i].value))
			print_error("'%s': %d, %llu\n", cases[i].text, status,
				    (unsigned long long)value);
		assert_int_equal(status, cases[i].status);
		assert_int_equal(value, status ? 4242 : cases[i].value);
	}
}

static void sizes_are_parsed_in_powers_of_1024(void **state)
{
	static const struct parse_case cases[] = {
	    {"0", 0, 0},
	    {"1048576", 0, 1048576},
	    {"512k", 0, 524288},
	    {"512K", 0, 524288},
	    {"64 KiB", 0, 65536},
	    {"64kb", 0, 65536},
	    {"13 B", 0, 13},
	    {"1.5M", 0, 1572864},
	    {".5k", 0, 512},
	    {"2G", 0, 2147483648},
	    {"3TiB", 0, 3298534883328},
	    {"18446744073709551615", 0, UINT64_MAX},
	    {"0.123456789123k", 0, 126},
	    {"18446744073709551616", -ERANGE, 0},
	    {"17179869184G", -ERANGE, 0},
	    {"99999999T", -ERANGE, 0},
	    {"", -EINVAL, 0},
	    {"k", -EINVAL, 0},
	    {".", -EINVAL, 0},
	    {"1.5", -EINVAL, 0},
	    {"-1", -EINVAL, 0},
	    {"+1", -EINVAL, 0},
	    {"5iB", -EINVAL, 0},
	    {"5x", -EINVAL, 0},
	    {"5k5", -EINVAL, 0},
	    {"5kk", -EINVAL, 0},
	    {"1 k ", -EINVAL, 0},
	    {"0x10", -EINVAL, 0},
	};

	check_parser(units_parse_bytes, cases, ARRAY_LEN(cases));
}

static void counts_take_letters_but_no_byte_units(void **state)
{
	static const struct parse_case cases[] = {
	    {"1234", 0, 1234},	{"2M", 0, 2097152},   {"64k", 0, 65536},   {"1G", 0, 1 << 30},
	    {"5B", -EINVAL, 0}, {"5KiB", -EINVAL, 0}, {"ten", -EINVAL, 0},
	};

	check_parser(units_parse_count, cases, ARRAY_LEN(cases));
}

static void durations_are_parsed_from_large_to_small_units(void **state)
{
	static const struct parse_case cases[] = {
	    {"10", 0, 10 * NS_PER_S},
	    {"0", 0, 0},
	    {"500ms", 0, 500 * NS_PER_MS},
	    {"10s", 0, 10 * NS_PER_S},
	    {"1.5s", 0, 1500 * NS_PER_MS},
	    {"10m", 0, 600 * NS_PER_S},
	    {"2h", 0, 7200 * NS_PER_S},
	    {"1d", 0, 86400 * NS_PER_S},
	    {"1m30s", 0, 90 * NS_PER_S},
	    {"1d2h3m4s5ms", 0, 93784 * NS_PER_S + 5 * NS_PER_MS},
	    {"213503d", 0, 18446659200 * NS_PER_S},
	    {"213504d", -ERANGE, 0},
	    {"213503d24h", -ERANGE, 0},
	    {"30s1m", -EINVAL, 0},
	    {"1m1m", -EINVAL, 0},
	    {"1m30", -EINVAL, 0},
	    {"1M", -EINVAL, 0},
	    {"s", -EINVAL, 0},
	    {"", -EINVAL, 0},
	    {"5 s", -EINVAL, 0},
	    {"-5s", -EINVAL, 0},
	    {"5min", -EINVAL, 0},
	};

	check_parser(units_parse_duration, cases, ARRAY_LEN(cases));
}

static void sizes_are_printed_with_the_unit_that_fits(void **state)
{
	static const struct {
		double bytes;
		const char *text, *growth;
	} cases[] = {
	    {0, "0 B", "0 B"},
	    {0.4, "0 B", "0 B"},
	    {-0.4, "0 B", "0 B"},
	    {12, "12 B", "+12 B"},
	    {-12, "-12 B", "-12 B"},
	    {1023, "1023 B", "+1023 B"},
	    {1023.7, "1.0 KiB", "+1.0 KiB"},
	    {1536, "1.5 KiB", "+1.5 KiB"},
	    {65536, "64.0 KiB", "+64.0 KiB"},
	    {102348, "99.9 KiB", "+99.9 KiB"},
	    {102399, "100 KiB", "+100 KiB"},
	    {-524288, "-512 KiB", "-512 KiB"},
	    {1048575, "1.0 MiB", "+1.0 MiB"},
	    {310.0 * 1048576, "310 MiB", "+310 MiB"},
	    {3.25 * 1099511627776.0, "3.2 TiB", "+3.2 TiB"},
	    {1e300, "8.67e+281 EiB", "+8.67e+281 EiB"},
	    {NAN, "0 B", "0 B"},
	};
	char buffer[UNITS_TEXT_MAX];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_string_equal(units_format_bytes(cases[i].bytes, buffer), cases[i].text);
		assert_string_equal(units_format_growth(cases[i].bytes, buffer), cases[i].growth);
	}
}

static void durations_are_printed_with_two_units_at_most(void **state)
{
	static const struct {
		double seconds;
		const char *text;
	} cases[] = {
	    {0, "0s"},	   {-3, "0s"},	    {0.25, "250ms"},	   {0.9999, "1s"},
	    {2.5, "2.5s"}, {9.97, "10s"},   {10, "10s"},	   {59.4, "59s"},
	    {59.7, "1m"},  {90, "1m30s"},   {3599.7, "1h"},	   {5400, "1h30m"},
	    {86399, "1d"}, {90061, "1d1h"}, {1e12, "11574074d2h"}, {1e300, "1.16e+295d"},
	};
	char buffer[UNITS_TEXT_MAX];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_string_equal(units_format_duration(cases[i].seconds, buffer), cases[i].text);
}

static void printed_durations_can_be_parsed(void **state)
{
	char buffer[UNITS_TEXT_MAX];
	uint64_t ns;

	for (uint64_t seconds = 1; seconds < 3600; seconds += 7) {
		units_format_duration(seconds, buffer);
		assert_int_equal(units_parse_duration(buffer, &ns), 0);
		assert_int_equal(ns, seconds * NS_PER_S);
	}
}

static void counts_are_printed_in_groups_of_three(void **state)
{
	char buffer[UNITS_TEXT_MAX];

	assert_string_equal(units_format_count(0, buffer), "0");
	assert_string_equal(units_format_count(997, buffer), "997");
	assert_string_equal(units_format_count(1009, buffer), "1,009");
	assert_string_equal(units_format_count(12345678, buffer), "12,345,678");
	assert_string_equal(units_format_count(UINT64_MAX, buffer), "18,446,744,073,709,551,615");
}

static void arena_memory_is_zero_aligned_and_apart(void **state)
{
	struct arena *arena = arena_new();
	static unsigned char *blocks[3001];
	static size_t sizes[3001];

	for (size_t i = 0; i < ARRAY_LEN(blocks); i++) {
		sizes[i] = i % 97 == 0 ? 20011 : i % 71;
		blocks[i] = arena_alloc(arena, sizes[i]);
		assert_non_null(blocks[i]);
		assert_int_equal((uintptr_t)blocks[i] % _Alignof(max_align_t), 0);
		for (size_t at = 0; at < sizes[i]; at++)
			assert_int_equal(blocks[i][at], 0);
		memset(blocks[i], i % 251 + 1, sizes[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(blocks); i++) {
		for (size_t at = 0; at < sizes[i]; at++)
			assert_int_equal(blocks[i][at], i % 251 + 1);
	}
	arena_free(arena);
}

static void arena_refuses_sizes_that_overflow(void **state)
{
	struct arena *arena = arena_new();

	assert_null(arena_alloc(arena, SIZE_MAX));
	assert_null(arena_alloc(arena, SIZE_MAX - 7));
	assert_null(arena_array(arena, uint64_t, SIZE_MAX / 8 + 2));
	assert_non_null(arena_array(arena, uint64_t, 3));
	arena_free(arena);
	arena_free(NULL);
}

static void equal_texts_are_interned_once(void **state)
{
	struct arena *arena = arena_new();
	static const char *texts[5003];
	char text[32];

	assert_null(arena_intern(arena, NULL));
	for (int i = 0; i < 5003; i++) {
		snprintf(text, sizeof(text), "text %d", i);
		texts[i] = arena_intern(arena, text);
		assert_string_equal(texts[i], text);
	}
	for (int i = 0; i < 5003; i++) {
		snprintf(text, sizeof(text), "text %d", i);
		assert_ptr_equal(arena_intern(arena, text), texts[i]);
	}
	assert_ptr_equal(arena_intern(arena, ""), arena_intern(arena, ""));
	arena_free(arena);
}

static void table_finds_what_was_added_and_nothing_else(void **state)
{
	struct table *table = table_new(sizeof(uint64_t));
	bool added;

	for (uint64_t i = 0; i < 10007; i++) {
		uint64_t key = i * 0x10001;

		assert_int_equal(table_find(table, &key), -1);
		assert_int_equal(table_add(table, &key, &added), i);
		assert_true(added);
	}
	for (uint64_t i = 0; i < 10007; i++) {
		uint64_t key = i * 0x10001, other = key + 1;

		assert_int_equal(table_add(table, &key, &added), i);
		assert_false(added);
		assert_int_equal(table_find(table, &other), -1);
	}
	assert_int_equal(table_count(table), 10007);
	table_free(table);
}

static void vec_items_are_zeroed_and_keep_their_values(void **state)
{
	struct {
		uint32_t *items;
		size_t count, capacity;
	} numbers = {0};
	uint32_t sum = 0;

	for (uint32_t i = 0; i < 1009; i++) {
		uint32_t *number = vec_add(&numbers);

		assert_int_equal(*number, 0);
		*number = i;
	}
	vec_for_each (number, &numbers)
		sum += *number;
	assert_int_equal(sum, 1009 * 1008 / 2);
	free(numbers.items);
}

static void errors_carry_code_subject_and_text(void **state)
{
	struct err err = {0};

	errno = EACCES;
	assert_int_equal(err_set(&err, errno, "cannot open '%s': %m", "x"), -EACCES);
	assert_string_equal(err.text, "cannot open 'x': Permission denied");
	assert_int_equal(err_context(&err, "target %d", 7), -EACCES);
	assert_string_equal(err.text, "target 7: cannot open 'x': Permission denied");
	assert_int_equal(err_set(NULL, ENOENT, "nobody reads this"), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(sizes_are_parsed_in_powers_of_1024),
	    cmocka_unit_test(counts_take_letters_but_no_byte_units),
	    cmocka_unit_test(durations_are_parsed_from_large_to_small_units),
	    cmocka_unit_test(sizes_are_printed_with_the_unit_that_fits),
	    cmocka_unit_test(durations_are_printed_with_two_units_at_most),
	    cmocka_unit_test(printed_durations_can_be_parsed),
	    cmocka_unit_test(counts_are_printed_in_groups_of_three),
	    cmocka_unit_test(arena_memory_is_zero_aligned_and_apart),
	    cmocka_unit_test(arena_refuses_sizes_that_overflow),
	    cmocka_unit_test(equal_texts_are_interned_once),
	    cmocka_unit_test(table_finds_what_was_added_and_nothing_else),
	    cmocka_unit_test(vec_items_are_zeroed_and_keep_their_values),
	    cmocka_unit_test(errors_carry_code_subject_and_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
