/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_suppress.c - LeakSanitizer's patterns, and that what is built in hides nothing that leaks.
 */
#include <errno.h>

#include "unit/recordings.h"

#include "base/cleanup.h"
#include "profile/suppress.h"

/* ---- patterns ---------------------------------------------------------------------------------
 */

static void patterns_match_as_in_leak_sanitizer(void **state)
{
	static const struct {
		const char *pattern, *text;
		bool matches;
	} cases[] = {
	    {"foo", "foo", true},	     {"foo", "a foobar", true},	   {"foo", "fo", false},
	    {"^foo", "foobar", true},	     {"^foo", "a foo", false},	   {"foo$", "a foo", true},
	    {"foo$", "foofoo", true},	     {"foo$", "foobar", false},	   {"^foo$", "foo", true},
	    {"^foo$", "foofoo", false},	     {"a*c", "xabcx", true},	   {"a*c", "cba", false},
	    {"^a*c$", "abcbc", true},	     {"^a*c$", "abcb", false},	   {"*", "", true},
	    {"a*b*c", "a1b2c", true},	     {"a*b*c", "a1c2b", false},	   {"*foo", "foo", true},
	    {"libx.so*g", "/l/libx.so.1", false}, {"libx.so*", "/l/libx.so.1", true},
	    {"foo", NULL, false},	     {"", "anything", true},	   {"^$", "x", false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (suppression_matches(cases[i].pattern, cases[i].text) != cases[i].matches)
			fail_msg("'%s' and '%s'", cases[i].pattern, cases[i].text);
}

static const char *file_write(const char *bytes)
{
	const char *path = test_path("suppressions");
	_cleanup_fclose_ FILE *file = fopen(path, "w");

	fputs(bytes, file);
	return path;
}

static void files_are_read_line_by_line(void **state)
{
	struct suppressions suppressions = {0};
	struct err err = {0};

	assert_int_equal(suppressions_load(&suppressions,
					   file_write("# known\n\n  leak:first*one \nleak:second"),
					   &err),
			 0);
	assert_int_equal(suppressions.count, 2);
	assert_string_equal(suppressions.items[0], "first*one");
	assert_string_equal(suppressions.items[1], "second");
	suppressions_free(&suppressions);
}

static void wrong_lines_are_named(void **state)
{
	const char *wrong[] = {"leak:\n", "race:foo\n", "foo\n", "leak :foo\n"};
	struct suppressions suppressions = {0};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		_cleanup_free_ char *bytes = NULL;
		struct err err = {0};

		assert_true(asprintf(&bytes, "leak:fine\n%s", wrong[i]) > 0);
		assert_int_equal(suppressions_load(&suppressions, file_write(bytes), &err),
				 -EINVAL);
		assert_non_null(strstr(err.text, "line 2"));
		suppressions_free(&suppressions);
	}
	assert_int_equal(suppressions_load(&suppressions, "/nonexistent/no", &(struct err){0}),
			 -ENOENT);
}

/* ---- sites ------------------------------------------------------------------------------------
 */

#define LIB	"/usr/lib/python3.11/"
#define BOOT	"<frozen importlib._bootstrap>"
#define LIBC_SO "/lib/x86_64-linux-gnu/libc.so.6"

struct place {
	const char *function, *file, *module;
	bool internal;
};

/* Stacks, leaf first; 'grows': in each snapshot, else in the first two only. */
static const struct {
	bool grows;
	uint32_t bytes;
	struct place frames[4];
} stacks[] = {
#define IN_PY(name, path) {.function = name, .file = path}
#define IN_C(name, path, own) {.function = name, .module = path, .internal = own}
    {false, 101, {IN_C("list_resize", "/bin/python3", true), IN_PY("_find_and_load", BOOT)}},
    {false, 103, {IN_PY("compile", LIB "re/_compiler.py"), IN_PY("main", "/srv/app.py")}},
    /* the user's own module, while it is imported */
    {false, 107, {IN_PY("<module>", "/srv/models.py"), IN_PY("_call_with_frames_removed", BOOT)}},
    /* not Python's re */
    {false, 109, {IN_PY("compile", LIB "site-packages/re.py"), IN_PY("main", "/srv/app.py")}},
    {false, 113, {IN_C("libc.so.6+0x77", LIBC_SO, false), IN_C("setlocale", LIBC_SO, false)}},
    /* an initializer of a library that dlopen runs */
    {false, 127, {IN_C("init", "/srv/plugin.so", false), IN_C("dlopen", LIBC_SO, false)}},
    {false, 131, {IN_C("dlopen", "/srv/own.so", false), IN_C("main", "/srv/app", false)}},
    /* what goes on growing is shown, whoever allocates it */
    {true, 137, {IN_PY("updatecache", LIB "linecache.py"), IN_PY("main", "/srv/app.py")}},
};
#undef IN_PY
#undef IN_C
#define STACKS (sizeof(stacks) / sizeof(stacks[0]))

static void stacks_load(struct profile *profile)
{
	struct recording *recording = test_create(test_path("kept.seep"), &test_meta);

	put_process(recording, 0, 811, "server");
	for (uint32_t i = 0; i < STACKS; i++) {
		uint64_t frames[4];
		uint32_t depth = 0;

		for (; depth < 4 && stacks[i].frames[depth].function; depth++) {
			const struct place *place = &stacks[i].frames[depth];
			const struct profile_frame frame = {.function = place->function,
							    .file = place->file,
							    .module = place->module,
							    .line = 7,
							    .python = place->file != NULL,
							    .internal = place->internal};

			frames[depth] = NATIVE(1, 0x100 * i + depth);
			recording_put_frame(recording, frames[depth], &frame, 1);
		}
		recording_put_stack(recording, i, frames, depth, false, 0);
		recording_put_site(recording, i, 0, CLASS_MALLOC, i);
	}
	for (uint32_t k = 0; k < 31; k++) {
		const struct profile_snapshot snapshot = {.time_ns = 2 * k * NS_PER_S};

		recording_put_snapshot(recording, k, &snapshot);
		for (uint32_t i = 0; i < STACKS; i++)
			if (k && (k < 3 || stacks[i].grows))
				put_point(recording, i, k, k, 0, stacks[i].bytes, 0);
	}
	test_close(recording);
	test_load(test_path("kept.seep"), profile);
}

static void what_is_known_to_be_kept_is_left_out(void **state)
{
	const struct suppressions suppressions = {.built_in = true};
	const uint32_t left[] = {107, 109, 127, 131, 137};
	struct profile profile, kept;
	struct view_rest rest;

	stacks_load(&profile);
	assert_int_equal(profile_suppress(&profile, &suppressions, &kept, &rest, NULL), 0);
	assert_int_equal(kept.site_count, 5);
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal((int)kept.sites[i].points[0].totals.alloc_bytes, left[i]);
	assert_int_equal(rest.sites, 3);
	assert_int_equal((int)rest.live_bytes, 2 * (101 + 103 + 113));
	assert_int_equal((int)rest.growth_bytes, 2 * (101 + 103 + 113));
	profile_deinit(&kept);
	profile_deinit(&profile);
}

static void patterns_look_at_every_frame(void **state)
{
	char *patterns[] = {"/srv/models.py$", "^setlocale$", "plugin.so"};
	const struct suppressions suppressions = {patterns, 3, 3, false};
	struct profile profile, kept;
	struct view_rest rest;

	stacks_load(&profile);
	assert_int_equal(profile_suppress(&profile, &suppressions, &kept, &rest, NULL), 0);
	assert_int_equal(kept.site_count, STACKS - 3);
	assert_int_equal((int)rest.live_bytes, 2 * (107 + 113 + 127));
	assert_true(site_suppressed(&suppressions, &profile, &profile.sites[2]));
	assert_false(site_suppressed(&suppressions, &profile, &profile.sites[0]));
	profile_deinit(&kept);
	profile_deinit(&profile);
}

static void nothing_is_left_out_unasked(void **state)
{
	const struct suppressions none = {0};
	struct profile profile, kept;
	struct view_rest rest;

	stacks_load(&profile);
	assert_int_equal(profile_suppress(&profile, &none, &kept, &rest, NULL), 0);
	assert_int_equal(kept.site_count, STACKS);
	assert_int_equal(rest.sites, 0);
	profile_deinit(&kept);
	profile_deinit(&profile);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(patterns_match_as_in_leak_sanitizer),
	    cmocka_unit_test(files_are_read_line_by_line),
	    cmocka_unit_test(wrong_lines_are_named),
	    cmocka_unit_test(what_is_known_to_be_kept_is_left_out),
	    cmocka_unit_test(patterns_look_at_every_frame),
	    cmocka_unit_test(nothing_is_left_out_unasked),
	};

	return cmocka_run_group_tests(tests, NULL, test_folder_remove);
}
