/* SPDX-License-Identifier: GPL-2.0-only */
/* test_python_lines.c - line tables of each format made by hand, and any bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "python/lines.h"
#include "unit/random.h"

#define MINOR_FIRST 6
#define MINOR_LAST  14

/* Entries of 3.11 on: a kind and a length in code units. */
#define ENTRY(kind, units) (0x80 | (kind) << 3 | ((units)-1))

/* The table in a block of its own, so that a read behind its end is seen. */
static uint32_t line_at(int minor, const uint8_t *table, size_t bytes, int32_t first_line,
			uint32_t offset)
{
	uint8_t *copy = malloc(bytes + !bytes);
	uint32_t line;

	assert_non_null(copy);
	if (bytes)
		memcpy(copy, table, bytes);
	line = python_line_at(minor, copy, bytes, first_line, offset);
	free(copy);
	return line;
}

struct expectation {
	uint32_t offset, line;
};

static void check(int minor, const uint8_t *table, size_t bytes, int32_t first_line,
		  const struct expectation *wanted, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (line_at(minor, table, bytes, first_line, wanted[i].offset) != wanted[i].line)
			fail_msg("3.%d: offset %u is line %u, wanted %u", minor, wanted[i].offset,
				 line_at(minor, table, bytes, first_line, wanted[i].offset),
				 wanted[i].line);
}
#define CHECK(minor, table, first_line, wanted)                                                    \
	check(minor, table, sizeof(table), first_line, wanted, ARRAY_LEN(wanted))

/* ---- 3.6-3.9 --------------------------------------------------------------------------------- */

static void lnotab_is_the_example_of_its_notes(void **state)
{
	/* code 0 6 50 350 361, lines 1 2 7 207 208, as Objects/lnotab_notes.txt splits them up */
	static const uint8_t table[] = {0, 0,	6,  1,	 44, 5,	 255, 0,
					45, 127, 0, 73, 11, 1};
	static const struct expectation wanted[] = {
	    {0, 1},   {4, 1},	{6, 2},	    {48, 2},	{50, 7},      {304, 7},
	    {306, 7}, {348, 7}, {350, 207}, {360, 207}, {361, 208}, {104729, 208},
	};

	for (int minor = MINOR_FIRST; minor <= 9; minor++)
		CHECK(minor, table, 1, wanted);
}

static void lnotab_goes_back(void **state)
{
	static const uint8_t table[] = {8, 127, 0, 41, 12, (uint8_t)-128, 0, (uint8_t)-13, 2, 5};
	static const struct expectation wanted[] = {{6, 101}, {8, 269}, {18, 269}, {20, 128},
						    {22, 133}};

	CHECK(6, table, 101, wanted);
	CHECK(9, table, 101, wanted);
}

static void lnotab_may_be_empty_or_odd(void **state)
{
	static const uint8_t odd[] = {4, 7, 2};

	assert_int_equal(line_at(8, NULL, 0, 17, 0), 17);
	assert_int_equal(line_at(8, NULL, 0, 17, 998), 17);
	assert_int_equal(line_at(8, odd, sizeof(odd), 17, 4), 24);
	assert_int_equal(line_at(8, odd, sizeof(odd), 17, 6), 24);
}

static void lnotab_lines_below_one_are_none(void **state)
{
	static const uint8_t table[] = {2, (uint8_t)-11, 2, (uint8_t)-1, 2, 19};
	static const struct expectation wanted[] = {{0, 11}, {2, 0}, {4, 0}, {6, 18}};

	CHECK(7, table, 11, wanted);
}

/* ---- 3.10 ------------------------------------------------------------------------------------ */

static void ranges_have_lines_or_none(void **state)
{
	static const uint8_t table[] = {6, 2, 4, (uint8_t)-128, 8, (uint8_t)-31, 0, 127, 0, 101,
					254, 3, 2, 0, 10, (uint8_t)-128};
	static const struct expectation wanted[] = {
	    {0, 43}, {4, 43}, {6, 0}, {8, 0}, {10, 12}, {16, 12},
	    {18, 243}, {270, 243}, {272, 243}, {274, 0}, {282, 0}, {284, 0}, {7919, 0},
	};

	CHECK(10, table, 41, wanted);
}

static void ranges_may_be_missing_or_cut(void **state)
{
	static const uint8_t odd[] = {4, 7, 2};

	assert_int_equal(line_at(10, NULL, 0, 17, 0), 0);
	assert_int_equal(line_at(10, odd, sizeof(odd), 17, 2), 24);
	assert_int_equal(line_at(10, odd, sizeof(odd), 17, 4), 0);
}

/* ---- 3.11 on --------------------------------------------------------------------------------- */

static void locations_of_each_kind(void **state)
{
	static const uint8_t table[] = {
	    ENTRY(0, 1),  0x13,			     /* 0: same line */
	    ENTRY(9, 8),  0x7f,			     /* 2 */
	    ENTRY(10, 2), 3,	5,		     /* 18: +0 */
	    ENTRY(11, 1), 3,	5,		     /* 22: +1 */
	    ENTRY(12, 3), 0,	127,		     /* 24: +2 */
	    ENTRY(15, 5),			     /* 30: none */
	    ENTRY(13, 1), 5 << 1,		     /* 40: +5 */
	    ENTRY(13, 1), 7 << 1 | 1,		     /* 42: -7 */
	    ENTRY(14, 7), 11 << 1, 2, 3, 0x40 | 1, 1, /* 44: +11 */
	    ENTRY(15, 1),			     /* 58: none */
	    ENTRY(1, 1),  0,			     /* 60 */
	};
	static const struct expectation wanted[] = {
	    {0, 101},  {2, 101},  {16, 101}, {18, 101}, {20, 101}, {22, 102}, {24, 104},
	    {28, 104}, {30, 0},	  {38, 0},   {40, 109}, {42, 102}, {44, 113}, {56, 113},
	    {58, 0},   {60, 113}, {62, 0},   {7919, 0},
	};

	for (int minor = 11; minor <= MINOR_LAST; minor++)
		CHECK(minor, table, 101, wanted);
}

static void long_numbers_are_little_endian(void **state)
{
	/* +200 is 400: 0x10, 6; -104729 is 209459: 0x33, 8, 0x33; and both back together */
	static const uint8_t table[] = {
	    ENTRY(13, 1), 0x40 | 0x10, 6, ENTRY(14, 1), 0x40 | 0x33, 0x40 | 8, 0x33,
	    0x40, 0x40,	  0x40,	       1, 0x40 | 63,	0x40 | 63,   63,
	    ENTRY(13, 1), 0x40 | 0x32, 0x40 | 8, 0x40 | 0x33, 0x40, 0x40, 0,
	};
	static const struct expectation wanted[] = {{0, 104930}, {2, 201}, {4, 104930}};

	CHECK(12, table, 104730, wanted);
}

static void numbers_too_long_for_a_line_are_none(void **state)
{
	static const uint8_t seven[] = {ENTRY(13, 1), 0x42, 0x40, 0x40, 0x40, 0x40, 0x40, 0};
	static const uint8_t big[] = {ENTRY(13, 1), 0x7e, 0x7f, 0x7f, 0x7f, 0x7f, 0x3f,
				      ENTRY(0, 1), 0};
	static const uint8_t negative[] = {ENTRY(13, 1), 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x3f};

	assert_int_equal(line_at(11, seven, sizeof(seven), 3, 0), 0);
	assert_int_equal(line_at(11, big, sizeof(big), INT32_MAX, 0), 0);
	assert_int_equal(line_at(11, big, sizeof(big), INT32_MAX, 2), 0);
	assert_int_equal(line_at(11, negative, sizeof(negative), INT32_MIN, 0), 0);
}

static void locations_may_be_cut_anywhere(void **state)
{
	static const uint8_t table[] = {ENTRY(11, 2), 3,	 5,  ENTRY(13, 2), 0x40 | 22,
					1,	      ENTRY(0, 2), 17, ENTRY(14, 2), 6,
					1,	      0,	 0};
	/* lines of the four entries, and how many bytes it takes to know them */
	static const struct {
		uint32_t line;
		size_t bytes;
	} entries[] = {{20, 1}, {63, 6}, {63, 7}, {66, 10}};

	for (size_t bytes = 0; bytes <= sizeof(table); bytes++)
		for (uint32_t i = 0; i < ARRAY_LEN(entries); i++)
			assert_int_equal(line_at(13, table, bytes, 19, i * 4 + 2),
					 bytes >= entries[i].bytes ? entries[i].line : 0);
}

static void entries_without_their_mark_are_none(void **state)
{
	static const uint8_t start[] = {0x13, 0x80, 0};
	static const uint8_t operand[] = {ENTRY(0, 1), 1, ENTRY(13, 1), ENTRY(0, 1), 2};

	assert_int_equal(line_at(11, start, sizeof(start), 5, 0), 0);
	assert_int_equal(line_at(11, operand, sizeof(operand), 5, 0), 5);
	assert_int_equal(line_at(11, operand, sizeof(operand), 5, 2), 0);
	assert_int_equal(line_at(11, operand, sizeof(operand), 5, 4), 0);
}

static void surplus_operands_are_passed_over(void **state)
{
	static const uint8_t table[] = {ENTRY(0, 1), 1, 2, 3, 5, ENTRY(11, 1), 7, 11};

	assert_int_equal(line_at(14, table, sizeof(table), 23, 2), 24);
}

static void unknown_versions_have_no_lines(void **state)
{
	static const uint8_t table[] = {ENTRY(0, 1), 1};

	assert_int_equal(line_at(0, table, sizeof(table), 23, 0), 0);
	assert_int_equal(line_at(5, table, sizeof(table), 23, 0), 0);
	assert_int_equal(line_at(-11, table, sizeof(table), 23, 0), 0);
}

/* ---- properties ------------------------------------------------------------------------------ */

/* Any bytes: nothing outside is read (ASan), no overflow (UBSan), a line fits 31 bits. */
static void any_bytes_are_safe(void **state)
{
	struct prng prng = {7919};
	uint8_t table[61];

	for (int round = 0; round < 30011; round++) {
		size_t bytes = random_below(&prng, sizeof(table) + 1);
		int minor = MINOR_FIRST + (int)random_below(&prng, MINOR_LAST - MINOR_FIRST + 1);
		int32_t first_line = (int32_t)random_bits(&prng);

		for (size_t i = 0; i < bytes; i++)
			table[i] = (uint8_t)random_bits(&prng);
		for (uint32_t offset = 0; offset < 64; offset += 2)
			assert_true(line_at(minor, table, bytes, first_line, offset) <= INT32_MAX);
		assert_true(line_at(minor, table, bytes, first_line, UINT32_MAX) <= INT32_MAX);
	}
}

/* Writes a number as CPython's compiler does, for the test below. */
static size_t put_signed(uint8_t *to, int32_t number)
{
	uint32_t value = number < 0 ? (uint32_t)-number << 1 | 1 : (uint32_t)number << 1;
	size_t bytes = 0;

	for (; value >= 64; value >>= 6)
		to[bytes++] = 0x40 | (value & 63);
	to[bytes++] = (uint8_t)value;
	return bytes;
}

static size_t put_entry(struct prng *prng, uint8_t *to, uint32_t units, int32_t delta, int none)
{
	size_t bytes = 1;

	if (none) {
		to[0] = ENTRY(15, units);
	} else if (!delta && random_below(prng, 2)) {
		to[0] = ENTRY(random_below(prng, 10), units);
		to[bytes++] = (uint8_t)random_below(prng, 128);
	} else if (delta >= 0 && delta <= 2) {
		to[0] = (uint8_t)ENTRY(10 + delta, units);
		to[bytes++] = (uint8_t)random_below(prng, 128);
		to[bytes++] = (uint8_t)random_below(prng, 128);
	} else {
		int is_long = random_below(prng, 2);

		to[0] = ENTRY(is_long ? 14 : 13, units);
		bytes += put_signed(to + bytes, delta);
		for (int i = 0; is_long && i < 3; i++)
			bytes += put_signed(to + bytes, (int32_t)random_below(prng, 5003));
	}
	return bytes;
}

/* What is written comes back: entries of random kinds, lengths and lines. */
static void locations_round_trip(void **state)
{
	struct prng prng = {104729};

	for (int round = 0; round < 307; round++) {
		uint8_t table[101 * 24];
		uint32_t lines[101 * 8], unit_count = 0;
		size_t bytes = 0;
		int32_t line = 50021;

		for (int entry = 0; entry < 101; entry++) {
			uint32_t units = 1 + random_below(&prng, 8);
			int none = !random_below(&prng, 7);
			int32_t delta = none ? 0 : (int32_t)random_below(&prng, 13) - 5;

			if (!none && !random_below(&prng, 11))
				delta = (int32_t)random_below(&prng, 997) - 499;
			line += delta;
			bytes += put_entry(&prng, table + bytes, units, delta, none);
			while (units--)
				lines[unit_count++] = none ? 0 : (uint32_t)line;
		}
		for (uint32_t i = 0; i < unit_count; i++)
			assert_int_equal(line_at(12, table, bytes, 50021, i * 2), lines[i]);
		assert_int_equal(line_at(12, table, bytes, 50021, unit_count * 2), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lnotab_is_the_example_of_its_notes),
	    cmocka_unit_test(lnotab_goes_back),
	    cmocka_unit_test(lnotab_may_be_empty_or_odd),
	    cmocka_unit_test(lnotab_lines_below_one_are_none),
	    cmocka_unit_test(ranges_have_lines_or_none),
	    cmocka_unit_test(ranges_may_be_missing_or_cut),
	    cmocka_unit_test(locations_of_each_kind),
	    cmocka_unit_test(long_numbers_are_little_endian),
	    cmocka_unit_test(numbers_too_long_for_a_line_are_none),
	    cmocka_unit_test(locations_may_be_cut_anywhere),
	    cmocka_unit_test(entries_without_their_mark_are_none),
	    cmocka_unit_test(surplus_operands_are_passed_over),
	    cmocka_unit_test(unknown_versions_have_no_lines),
	    cmocka_unit_test(any_bytes_are_safe),
	    cmocka_unit_test(locations_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
