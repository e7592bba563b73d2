/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_source.c - excerpts of source files, and the files that are none.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "unit/recordings.h"

#include "base/cleanup.h"
#include "export/source.h"
#include "export/text.h"
#include "export/utf8.h"
#include "profile/rank.h"

static const char *file_write(const char *name, const char *bytes, size_t length)
{
	const char *path = test_path(name);
	_cleanup_fclose_ FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, length, file), length);
	return path;
}

/* What is written, "" for nothing. */
static char *excerpt(const char *path, uint32_t line, int64_t changed_after)
{
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);
	bool written = source_print(out, path, line, changed_after);

	fclose(out);
	assert_int_equal(written, length != 0);
	return text;
}

static void assert_excerpt(const char *path, uint32_t line, const char *expected)
{
	_cleanup_free_ char *text = excerpt(path, line, 0), *full = NULL;

	assert_true(asprintf(&full, "%s:%u\n%s", path, line, expected) > 0);
	assert_string_equal(text, expected[0] ? full : "");
}

static void lines_stand_between_their_neighbours(void **state)
{
	const char bytes[] = "first\n\tsecond\r\n\nfourth\na\033[31mb\xff\nlast";
	const char *path = file_write("lines.c", bytes, sizeof(bytes) - 1);

	assert_excerpt(path, 1, "     1 > first\n     2           second\n");
	assert_excerpt(path, 2, "     1   first\n     2 >         second\n     3 \n");
	assert_excerpt(path, 5, "     4   fourth\n     5 > a?[31mb\357\277\275\n     6   last\n");
	assert_excerpt(path, 6, "     5   a?[31mb\357\277\275\n     6 > last\n");
	assert_excerpt(path, 7, "");
	assert_excerpt(path, 0, "");
	assert_excerpt(path, UINT32_MAX, "");
}

static void a_later_change_is_told(void **state)
{
	const char *path = file_write("later.c", "only\n", 5);
	_cleanup_free_ char *before = NULL, *after = NULL;
	struct stat info;

	assert_int_equal(stat(path, &info), 0);
	before = excerpt(path, 1, info.st_mtime - 1);
	after = excerpt(path, 1, info.st_mtime);
	assert_non_null(strstr(before, ":1 (changed since the recording)\n"));
	assert_null(strstr(after, "changed"));
}

static void what_is_no_source_is_left_out(void **state)
{
	const char *fifo = test_path("fifo"), *huge = test_path("huge.c"), *secret;
	int fd;

	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_excerpt(fifo, 1, "");
	assert_excerpt(test_folder(), 1, "");
	assert_excerpt("/nonexistent/no.c", 1, "");
	assert_excerpt("/dev/zero", 1, "");
	assert_excerpt("/proc/self/status", 1, "");
	assert_excerpt("<string>", 1, "");
	assert_excerpt("", 1, "");
	assert_excerpt(file_write("binary", "a\0b\nc\n", 6), 1, "");
	assert_excerpt(file_write("empty", "", 0), 1, "");
	fd = open(huge, O_WRONLY | O_CREAT, 0600);
	assert_int_equal(write(fd, "line\n", 5), 5);
	assert_int_equal(ftruncate(fd, SOURCE_FILE_MAX + 1), 0);
	close(fd);
	assert_excerpt(huge, 1, "");
	secret = file_write("secret.c", "line\n", 5);
	assert_int_equal(chmod(secret, 0), 0);
	if (geteuid())
		assert_excerpt(secret, 1, "");
}

static void long_lines_fit(void **state)
{
	_cleanup_free_ char *bytes = malloc(1 << 20), *text = NULL;
	const char *path;

	memset(bytes, 'x', 1 << 20);
	path = file_write("long.c", bytes, 1 << 20);
	text = excerpt(path, 1, 0);
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		assert_true(utf8_columns(line) <= TEXT_COLUMNS);
}

/* Two sites of the demonstration have lines of a file that is there, one those of a file that is not. */
static void each_place_is_shown_once(void **state)
{
	const struct rank_options options = {.order = RANK_GROWTH};
	_cleanup_free_ char *text = NULL;
	const char *path = test_path("demo.seep");
	struct profile profile;
	struct ranking ranking;
	struct export_input input = {
	    .profile = &profile, .ranking = &ranking, .whole = &profile, .limit = SIZE_MAX};
	size_t length;
	FILE *out;

	demo_write(path, false);
	test_load(path, &profile);
	for (uint32_t i = 0; i < profile.frame_count; i++)
		if (profile.frames[i].file && !strcmp(profile.frames[i].file, "src/leaky.c"))
			profile.frames[i].line = 1 + profile.frames[i].line % 2;
	assert_int_equal(chdir(test_folder()), 0);
	assert_int_equal(mkdir("src", 0700), 0);
	out = fopen("src/leaky.c", "w");
	fputs("one\ntwo\nthree\n", out);
	fclose(out);
	assert_int_equal(ranking_build(&profile, &options, &ranking, NULL), 0);
	out = open_memstream(&text, &length);
	sources_print(out, &input, 5);
	fclose(out);
	/* remember() and batch() are on one line now */
	assert_string_equal(text, "\nsrc/leaky.c:2 (changed since the recording)\n"
				  "     1   one\n     2 > two\n     3   three\n");
	assert_int_equal(chdir("/"), 0);
	ranking_free(&ranking);
	profile_deinit(&profile);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lines_stand_between_their_neighbours),
	    cmocka_unit_test(a_later_change_is_told),
	    cmocka_unit_test(what_is_no_source_is_left_out),
	    cmocka_unit_test(long_lines_fit),
	    cmocka_unit_test(each_place_is_shown_once),
	};

	return cmocka_run_group_tests(tests, NULL, test_folder_remove);
}
