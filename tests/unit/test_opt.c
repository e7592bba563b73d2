/* SPDX-License-Identifier: GPL-2.0-only */
/* test_opt.c - options as users type them, and what they are told. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/units.h"
#include "cli/opt.h"

struct options {
	bool force, quiet;
	const char *output;
	uint64_t count, bytes, duration_ns;
	double percent;
	struct opt_pids pids;
	struct opt_texts patterns;
	uint32_t format;
};

#define FIELD(member) FILLS(struct options, member)
static const struct opt rows[] = {
    {'f', "force", OPT_FLAG, NULL, NULL, FIELD(force), ""},
    {'q', "quiet", OPT_FLAG, NULL, NULL, FIELD(quiet), ""},
    {'o', "output", OPT_TEXT, "FILE", NULL, FIELD(output), ""},
    {'n', "top", OPT_COUNT, "N", "20", FIELD(count), ""},
    {0, "sample", OPT_BYTES, "SIZE", "512k", FIELD(bytes), ""},
    {'i', "interval", OPT_DURATION, "TIME", "10s", FIELD(duration_ns), ""},
    {0, "max-overhead", OPT_PERCENT, "PCT", "5", FIELD(percent), ""},
    {'p', "pid", OPT_PIDS, "PID", NULL, FIELD(pids), ""},
    {0, "include", OPT_TEXTS, "PATTERN", NULL, FIELD(patterns), ""},
    {0, "format", OPT_CHOICE, "text|json|folded", "text", FIELD(format), ""},
    {0},
};

static struct options options;
static struct err err;
static bool help;
static char *words[16];
static int positional;

/* Parse up to 15 words; the list ends with NULL. */
static int parse(const char *first, ...)
{
	va_list args;
	int count = 1;

	memset(&options, 0, sizeof(options));
	memset(&err, 0, sizeof(err));
	words[0] = (char *)"verb";
	va_start(args, first);
	for (const char *word = first; word; word = va_arg(args, const char *))
		words[count++] = (char *)word;
	va_end(args);
	return opt_parse(rows, count, words, &options, &positional, &help, &err);
}

#define assert_refused(line, ...)                                                                  \
	do {                                                                                       \
		assert_int_equal(parse(__VA_ARGS__, NULL), -EINVAL);                               \
		assert_string_equal(err.text, line);                                               \
	} while (0)

static void defaults_are_read_by_the_same_parser(void **state)
{
	assert_int_equal(parse(NULL), 0);
	assert_int_equal(options.count, 20);
	assert_int_equal(options.bytes, 524288);
	assert_int_equal(options.duration_ns, 10 * NS_PER_S);
	assert_true(options.percent == 5);
	assert_int_equal(options.format, 0);
	assert_int_equal(positional, 0);
}

static void every_spelling_fills_the_same_field(void **state)
{
	assert_int_equal(parse("-n", "7", NULL), 0);
	assert_int_equal(options.count, 7);
	assert_int_equal(parse("-n7", NULL), 0);
	assert_int_equal(options.count, 7);
	assert_int_equal(parse("--top", "7", NULL), 0);
	assert_int_equal(options.count, 7);
	assert_int_equal(parse("--top=7", NULL), 0);
	assert_int_equal(options.count, 7);
	assert_int_equal(parse("-fqn7", NULL), 0);
	assert_int_equal(options.count, 7);
	assert_true(options.force && options.quiet);
	assert_int_equal(parse("--output=", NULL), 0);
	assert_string_equal(options.output, "");
	assert_int_equal(parse("--max-overhead", "2.5%", "--format", "folded", NULL), 0);
	assert_true(options.percent == 2.5);
	assert_int_equal(options.format, 2);
}

static void positional_words_move_to_the_front(void **state)
{
	assert_int_equal(parse("a", "-n", "7", "b", "-", "--", "-n", NULL), 0);
	assert_int_equal(positional, 4);
	assert_string_equal(words[1], "a");
	assert_string_equal(words[2], "b");
	assert_string_equal(words[3], "-");
	assert_string_equal(words[4], "-n");
}

static void several_pids_are_kept_once_each(void **state)
{
	assert_int_equal(parse("-p", "812", "-p811", "--pid=812", NULL), 0);
	assert_int_equal(options.pids.count, 2);
	assert_int_equal(options.pids.items[0], 812);
	assert_int_equal(options.pids.items[1], 811);
}

static void several_texts_are_kept_in_order(void **state)
{
	assert_int_equal(parse("--include", "b", "--include=a", "--include", "b", NULL), 0);
	assert_int_equal(options.patterns.count, 3);
	assert_string_equal(options.patterns.items[0], "b");
	assert_string_equal(options.patterns.items[1], "a");
	assert_string_equal(options.patterns.items[2], "b");
}

static void help_is_found_beside_mistakes(void **state)
{
	assert_int_equal(parse("--nonsense", "--help", NULL), -EINVAL);
	assert_int_equal(parse("--help", "--nonsense", NULL), 0);
	assert_true(help);
	assert_int_equal(parse("-h", NULL), 0);
	assert_true(help);
}

static void mistakes_are_named_with_what_is_wanted(void **state)
{
	assert_refused("--interval: '5x' is not a TIME, for example 10s", "--interval", "5x");
	assert_refused("--top: 'many' is not a N, for example 20", "-nmany");
	assert_refused("--sample: '-1' is not a SIZE, for example 512k", "--sample=-1");
	assert_refused("--max-overhead: '1001' is not a PCT, for example 5", "--max-overhead",
		       "1001");
	assert_refused("--max-overhead: 'nan' is not a PCT, for example 5", "--max-overhead",
		       "nan");
	assert_refused("--pid: '0' is not a PID, for example 812", "-p", "0");
	assert_refused("--pid: '99999999999999999999' is not a PID, for example 812", "-p",
		       "99999999999999999999");
	assert_refused("--format: 'xml' is not text, json or folded", "--format", "xml");
	assert_refused("--format: 'text|json' is not text, json or folded", "--format",
		       "text|json");
	assert_refused("--force takes no value", "--force=yes");
	assert_refused("--top: N is missing", "--top");
	assert_refused("--top: N is missing", "-fn");
	assert_refused("unknown option '--intervall' (is --interval meant?)", "--intervall=5");
	assert_refused("unknown option '--nonsense' (--help lists all)", "--nonsense");
	assert_refused("unknown option '-z' (--help lists all)", "-z");
	assert_refused("unknown option '-?' (--help lists all)", "-\x1b");
}

static void too_many_pids_are_refused(void **state)
{
	char numbers[OPT_PIDS_MAX + 1][8];
	char *argv[2 + OPT_PIDS_MAX] = {(char *)"verb"};

	for (int i = 0; i <= OPT_PIDS_MAX; i++) {
		snprintf(numbers[i], sizeof(numbers[i]), "-p%u", (i + 1u) & 255);
		argv[1 + i] = numbers[i];
	}
	memset(&options, 0, sizeof(options));
	assert_int_equal(
	    opt_parse(rows, 2 + OPT_PIDS_MAX, argv, &options, &positional, &help, &err), -EINVAL);
	assert_string_equal(err.text, "--pid: more than 64 are given");
}

static void too_many_texts_are_refused(void **state)
{
	char *argv[2 + OPT_TEXTS_MAX] = {(char *)"verb"};

	for (int i = 0; i <= OPT_TEXTS_MAX; i++)
		argv[1 + i] = (char *)"--include=x";
	memset(&options, 0, sizeof(options));
	assert_int_equal(
	    opt_parse(rows, 1 + OPT_TEXTS_MAX, argv, &options, &positional, &help, &err), 0);
	memset(&options, 0, sizeof(options));
	assert_int_equal(
	    opt_parse(rows, 2 + OPT_TEXTS_MAX, argv, &options, &positional, &help, &err), -EINVAL);
	assert_string_equal(err.text, "--include: more than 64 are given");
}

static void distance_counts_letters(void **state)
{
	assert_int_equal(word_distance("report", "report"), 0);
	assert_int_equal(word_distance("reprot", "report"), 2);
	assert_int_equal(word_distance("", "abc"), 3);
	assert_int_equal(word_distance("recrd", "record"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(defaults_are_read_by_the_same_parser),
	    cmocka_unit_test(every_spelling_fills_the_same_field),
	    cmocka_unit_test(positional_words_move_to_the_front),
	    cmocka_unit_test(several_pids_are_kept_once_each),
	    cmocka_unit_test(several_texts_are_kept_in_order),
	    cmocka_unit_test(help_is_found_beside_mistakes),
	    cmocka_unit_test(mistakes_are_named_with_what_is_wanted),
	    cmocka_unit_test(too_many_pids_are_refused),
	    cmocka_unit_test(too_many_texts_are_refused),
	    cmocka_unit_test(distance_counts_letters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
