/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_html.c - the data in the HTML report: JSON that cannot end its element, whatever the names;
 * fewer snapshots of what is too large. What the page makes of it: tests/html.
 */
#include <math.h>

#include "unit/recordings.h"

#include <jansson.h>

#include "base/cleanup.h"
#include "export/html.h"
#include "profile/rank.h"
#include "profile/view.h"

#define DATA_BEGIN "<script type=\"application/json\" id=\"data\">\n"
#define DATA_END   "</script>"

/* The file, on the heap. */
static char *page_write(const struct profile *profile)
{
	const struct rank_options order = {.order = RANK_GROWTH};
	struct ranking ranking = {0};
	struct export_input input = {
	    .profile = profile, .ranking = &ranking, .limit = SIZE_MAX, .whole = profile};
	char *bytes = NULL;
	size_t length;
	FILE *out = open_memstream(&bytes, &length);

	assert_int_equal(ranking_build(profile, &order, &ranking, NULL), 0);
	assert_int_equal(export_html(out, &input), 0);
	assert_int_equal(fclose(out), 0);
	ranking_free(&ranking);
	return bytes;
}

/* The data of a file, which is freed. */
static json_t *data_take(char *file)
{
	char *begin = strstr(file, DATA_BEGIN), *end;
	json_error_t error;
	json_t *data;

	assert_non_null(begin);
	begin += strlen(DATA_BEGIN);
	end = strchr(begin, '<'); /* nothing else in it may look like an element */
	assert_non_null(end);
	assert_int_equal(strncmp(end, DATA_END, strlen(DATA_END)), 0);
	data = json_loadb(begin, end - begin, 0, &error);
	if (!data)
		fail_msg("%s", error.text);
	free(file);
	return data;
}

static size_t length_of(const json_t *data, const char *key)
{
	return json_array_size(json_object_get(data, key));
}

static void the_page_holds_sites_rows_and_frames(void **state)
{
	struct profile profile;
	json_t *data;

	demo_write(test_path("page.seep"), false);
	test_load(test_path("page.seep"), &profile);
	data = data_take(page_write(&profile));
	assert_int_equal(length_of(data, "sites"), 5);
	assert_int_equal(length_of(data, "rows"), 5);
	assert_int_equal(length_of(data, "frames") % 6, 0);
	assert_true(length_of(data, "frames") >= 6UL * profile.frame_count);
	assert_int_equal(length_of(data, "losses"), 1);
	assert_true(length_of(data, "verdict") > 0);
	assert_int_equal(json_integer_value(json_object_get(data, "points")), 3 * 30 + 2);
	assert_int_equal(json_integer_value(json_object_get(data, "snapshots_recorded")), 31);
	json_decref(data);
	profile_deinit(&profile);
}

static void nothing_is_left_open_in_the_template(void **state)
{
	struct profile profile;
	char *file;

	demo_write(test_path("template.seep"), false);
	test_load(test_path("template.seep"), &profile);
	file = page_write(&profile);
	assert_int_equal(strncmp(file, "<!DOCTYPE html>", 15), 0);
	assert_null(strstr(file, "{{"));
	assert_null(strstr(file, "http://www.w3.org/1999")); /* and no address but that of SVG */
	assert_non_null(strstr(file, "function pageStart()"));
	assert_non_null(strstr(file, "</html>"));
	free(file);
	profile_deinit(&profile);
}

/* The text is in "texts" as it is, but for what is no UTF-8. */
static bool text_is_there(const json_t *data, const char *text)
{
	const json_t *texts = json_object_get(data, "texts");

	for (size_t i = 0; i < json_array_size(texts); i++)
		if (!strcmp(json_string_value(json_array_get(texts, i)), text))
			return true;
	return false;
}

static void hostile_names_stay_in_their_strings(void **state)
{
	static const char *const names[] = {
	    "</script><script>alert(1)</script>",
	    "<!--<script>",
	    "\"};alert(1);//",
	    "back\\slash\\u003c",
	    "line\342\200\250separator\342\200\251paragraph",
	    "tab\tnewline\ncarriage\r\001\037\177",
	    "{{data}}",
	    "\360\237\222\247",
	};
	struct profile profile;
	json_t *data;
	char *file;

	demo_write(test_path("names.seep"), false);
	test_load(test_path("names.seep"), &profile);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		profile.frames[0].function = names[i];
		profile.frames[0].file = names[i];
		profile.processes[0].exe = names[i];
		snprintf(profile.processes[0].comm, sizeof(profile.processes[0].comm), "%s",
			 names[i]);
		file = page_write(&profile);
		/* line ends of scripts, should somebody paste the data into one */
		assert_null(strstr(file, "\342\200\250"));
		assert_null(strstr(file, "\342\200\251"));
		data = data_take(file);
		assert_true(text_is_there(data, names[i]));
		json_decref(data);
	}
	profile.frames[0].function = "\300\257broken\377";
	data = data_take(page_write(&profile));
	assert_true(text_is_there(data, "\357\277\275\357\277\275broken\357\277\275"));
	json_decref(data);
	profile_deinit(&profile);
}

/* Numbers in a text of digits, as the page counts them: the last digit of each has no sixth bit. */
static size_t numbers_in(const char *digits)
{
	size_t count = 0;

	for (; *digits; digits++)
		count += strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef", *digits) != NULL;
	return count;
}

#define MANY_SNAPSHOTS 1009
#define MANY_SITES     (2 * HTML_POINTS_MAX / MANY_SNAPSHOTS + 1)
#define MARKED	       502

/* More than twice the points that fit: every third snapshot, the marked one and the last. */
static void too_many_points_leave_snapshots_out(void **state)
{
	struct profile_snapshot *snapshots = calloc(MANY_SNAPSHOTS, sizeof(*snapshots));
	struct site_point *points = calloc(MANY_SNAPSHOTS, sizeof(*points));
	struct profile_site *sites = calloc(MANY_SITES, sizeof(*sites));
	uint64_t *rss = calloc(MANY_SNAPSHOTS, sizeof(*rss));
	size_t kept = (MANY_SNAPSHOTS + 2) / 3 + 1;
	struct profile profile, many;
	json_t *data;

	demo_write(test_path("many.seep"), false);
	test_load(test_path("many.seep"), &profile);
	for (uint32_t i = 0; i < MANY_SNAPSHOTS; i++) {
		snapshots[i] = (struct profile_snapshot){
		    .time_ns = i * NS_PER_S, .events = i * 31, .marked = i == MARKED};
		points[i] = (struct site_point){i, {i * 4099., i, 0, 0, 0}};
	}
	for (uint32_t i = 0; i < MANY_SITES; i++) {
		sites[i] = profile.sites[0];
		sites[i].points = points;
		sites[i].point_count = MANY_SNAPSHOTS;
	}
	many = profile;
	many.snapshots = snapshots;
	many.snapshot_count = MANY_SNAPSHOTS;
	many.sites = sites;
	many.site_count = MANY_SITES;
	many.processes[0].rss_bytes = rss;
	data = data_take(page_write(&many));
	if ((MANY_SNAPSHOTS - 1) % 3)
		kept++; /* the last one */
	assert_int_equal(numbers_in(json_string_value(json_object_get(data, "snapshots"))),
			 3 * kept);
	assert_int_equal(length_of(data, "sites"), MANY_SITES);
	assert_int_equal(numbers_in(json_string_value(json_array_get(
			     json_array_get(json_object_get(data, "sites"), 7), 11))),
			 5 * kept);
	json_decref(data);
	profile_deinit(&profile);
	free(snapshots);
	free(points);
	free(sites);
	free(rss);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_page_holds_sites_rows_and_frames),
	    cmocka_unit_test(nothing_is_left_open_in_the_template),
	    cmocka_unit_test(hostile_names_stay_in_their_strings),
	    cmocka_unit_test(too_many_points_leave_snapshots_out),
	};

	return cmocka_run_group_tests(tests, NULL, test_folder_remove);
}
