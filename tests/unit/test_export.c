/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_export.c - what users see: golden files, hostile names, the same totals in every format.
 */
#include <math.h>

#include "unit/recordings.h"

#include <jansson.h>

#include "base/cleanup.h"
#include "export/columns.h"
#include "export/folded.h"
#include "export/json.h"
#include "export/text.h"
#include "export/tracemalloc.h"
#include "export/utf8.h"
#include "profile/culprit.h"
#include "profile/filter.h"
#include "profile/group.h"
#include "profile/rank.h"
#include "profile/verdict.h"
#include "profile/view.h"
#include "unit/golden.h"

enum format { TEXT, JSON, FOLDED };

/* ---- helpers ------------------------------------------------------------------------------------
 */

/* What seep report does with a recording. */
struct render {
	enum format format;
	enum folded_value value;
	enum view_frames frames;
	bool merge_processes;
	const struct site_filter *filter;
	struct group_options group;
	enum text_lines lines;
	const struct view_rest *suppressed;
	bool plain; /* without curves: names have all the room there is */
};

static char *render_as(const struct profile *whole, const struct render *how)
{
	const struct rank_options options = {.order = RANK_GROWTH};
	const struct text_options text = {.lines = how->lines,
					  .trends = !how->plain,
					  .stacks = how->group.by == GROUP_SITE ? 5 : 0};
	const struct view_options view_options = {how->frames, how->merge_processes, how->filter};
	const struct view_options plain = {.frames = how->frames};
	struct profile view, stacks, grouped = {0};
	struct ranking ranking, all;
	struct view_rest rest, none;
	struct export_input input = {&view, &ranking, SIZE_MAX, whole, how->filter ? &rest : NULL};
	struct culprits culprits = {0};
	struct verdict verdict;
	char *bytes = NULL;
	size_t length;
	FILE *out = open_memstream(&bytes, &length);

	assert_int_equal(profile_view(whole, &view_options, &view, &rest, NULL), 0);
	assert_int_equal(profile_view(whole, &plain, &stacks, &none, NULL), 0);
	if (how->group.by != GROUP_SITE) {
		assert_int_equal(profile_group(&view, &how->group, &grouped, NULL), 0);
		input.profile = &grouped;
	}
	assert_int_equal(ranking_build(&stacks, &options, &all, NULL), 0);
	assert_int_equal(ranking_build(input.profile, &options, &ranking, NULL), 0);
	assert_int_equal(verdict_build(&stacks, &all, &verdict, NULL), 0);
	input.suppressed = how->suppressed;
	if (how->group.by == GROUP_SITE || how->format == JSON) {
		assert_int_equal(culprits_find(&stacks, &all, &culprits, NULL), 0);
		input.culprits = &culprits;
	}
	if (how->lines != TEXT_TABLE)
		tracemalloc_sort(input.profile, &ranking);
	switch (how->format) {
	case TEXT:
		assert_int_equal(export_text(out, &input, &verdict, &text), 0);
		break;
	case JSON:
		assert_int_equal(export_json(out, &input), 0);
		break;
	case FOLDED:
		assert_int_equal(export_folded(out, &input, how->value), 0);
		break;
	}
	fclose(out);
	culprits_free(&culprits);
	verdict_free(&verdict);
	ranking_free(&ranking);
	ranking_free(&all);
	profile_deinit(&grouped);
	profile_deinit(&view);
	profile_deinit(&stacks);
	return bytes;
}

static char *render(const struct profile *whole, enum group_by by, enum format format,
		    enum folded_value value)
{
	const struct render how = {
	    .format = format,
	    .value = value,
	    .frames = format == JSON && by == GROUP_SITE ? VIEW_ALL : VIEW_PLAIN,
	    .group = {.by = by},
	};

	return render_as(whole, &how);
}

static void assert_renders(const struct profile *profile, enum group_by by, enum format format,
			   enum folded_value value, const char *golden)
{
	_cleanup_free_ char *bytes = render(profile, by, format, value);

	assert_golden(golden, bytes);
}

static size_t widest_line(const char *text)
{
	size_t widest = 0;

	while (*text) {
		_cleanup_free_ char *line = strndup(text, strcspn(text, "\n"));
		size_t columns = utf8_columns(line);

		widest = columns > widest ? columns : widest;
		text += strlen(line);
		text += *text == '\n';
	}
	return widest;
}

/* ---- golden files -------------------------------------------------------------------------------
 */

static void reports_look_as_they_did(void **state)
{
	struct profile profile;

	demo_write(test_path("demo.seep"), false);
	test_load(test_path("demo.seep"), &profile);
	assert_renders(&profile, GROUP_SITE, TEXT, 0, "demo.txt");
	assert_renders(&profile, GROUP_SITE, JSON, 0, "demo.json");
	assert_renders(&profile, GROUP_SITE, FOLDED, FOLDED_GROWTH, "demo.folded");
	assert_renders(&profile, GROUP_SITE, FOLDED, FOLDED_ALLOC, "demo-alloc.folded");
	assert_renders(&profile, GROUP_SITE, FOLDED, FOLDED_BLOCKS, "demo-blocks.folded");
	assert_renders(&profile, GROUP_FUNCTION, TEXT, 0, "demo-function.txt");
	assert_renders(&profile, GROUP_MODULE, JSON, 0, "demo-module.json");
	profile_deinit(&profile);
}

static void sampled_reports_show_the_error(void **state)
{
	const struct render how = {
	    .format = TEXT, .group = {.by = GROUP_TRACEBACK}, .lines = TEXT_TRACEBACKS};
	_cleanup_free_ char *lines = NULL;
	struct profile profile;

	demo_write(test_path("sampled.seep"), true);
	test_load(test_path("sampled.seep"), &profile);
	assert_renders(&profile, GROUP_SITE, TEXT, 0, "sampled.txt");
	lines = render_as(&profile, &how);
	assert_golden("sampled-traceback.txt", lines);
	profile_deinit(&profile);
}

static void a_recording_without_sites_says_so(void **state)
{
	struct recording *recording = test_create(test_path("empty.seep"), &test_meta);
	struct profile profile;

	put_process(recording, 0, 811, "idle");
	test_close(recording);
	test_load(test_path("empty.seep"), &profile);
	assert_renders(&profile, GROUP_SITE, TEXT, 0, "empty.txt");
	assert_renders(&profile, GROUP_SITE, JSON, 0, "empty.json");
	profile_deinit(&profile);
}

/* ---- culprits ---------------------------------------------------------------------------------
 */

/* A thread that a list keeps, and what it is made of; beside it a small leak. */
static void threads_write(const char *path)
{
	static const struct {
		const char *function;
		uint32_t line;
	} frames[] = {
	    {"process_request", 658}, {"Thread.__init__", 869}, {"Thread.__init__", 882},
	    {"Event.__init__", 563},  {"Condition.__init__", 241}, {"serve_forever", 238},
	    {"<module>", 97},	      {"log", 3},
	};
	static const struct {
		uint32_t depth;
		uint8_t frames[6];
	} stacks[] = {
	    {3, {6, 5, 0}},	     {4, {6, 5, 0, 1}}, {5, {6, 5, 0, 2, 3}},
	    {6, {6, 5, 0, 2, 3, 4}}, {2, {6, 7}},
	};
	static const uint32_t bytes[] = {61, 233, 1013, 619, 607}, blocks[] = {13, 13, 13, 26, 17};
	struct recording *recording = test_create(path, &test_meta);

	put_process(recording, 0, 811, "server");
	for (uint32_t i = 0; i < 8; i++) {
		const struct profile_frame frame = {.function = frames[i].function,
						    .file = i < 6 ? "/usr/lib/threads.py"
								  : "/srv/app.py",
						    .line = frames[i].line,
						    .python = true};

		recording_put_frame(recording, PYTHON(i + 1, 3), &frame, 1);
	}
	for (uint32_t i = 0; i < 5; i++) {
		uint32_t depth = stacks[i].depth;
		uint64_t stack[6];

		for (uint32_t k = 0; k < depth; k++)
			stack[depth - 1 - k] = PYTHON(stacks[i].frames[k] + 1, 3);
		recording_put_stack(recording, i, stack, depth, false, 0);
		recording_put_site(recording, i, 0, CLASS_PYTHON, i);
	}
	for (uint32_t i = 0; i < 31; i++) {
		const struct profile_snapshot snapshot = {.time_ns = 2 * i * NS_PER_S};

		recording_put_snapshot(recording, i, &snapshot);
		for (uint32_t k = 0; k < 5; k++)
			put_point(recording, k, i, i * blocks[k], 0, bytes[k], 0);
	}
	test_close(recording);
}

static void culprits_stand_below_the_ranking(void **state)
{
	struct profile profile;

	threads_write(test_path("threads.seep"));
	test_load(test_path("threads.seep"), &profile);
	assert_renders(&profile, GROUP_SITE, TEXT, 0, "threads.txt");
	assert_renders(&profile, GROUP_SITE, JSON, 0, "threads.json");
	profile_deinit(&profile);
}

static void what_is_suppressed_is_one_line(void **state)
{
	const struct view_rest none = {0}, one = {1, 1031, 1009}, more = {1009, 3 << 20, 1 << 20};
	const struct {
		const struct view_rest *rest;
		const char *line, *json;
	} cases[] = {
	    {&none, NULL, "\"suppressed\":{\"sites\":0,\"live_bytes\":0,\"growth_bytes\":0}"},
	    {&one, "\nsuppressed 1 site, 1.0 KiB (--no-suppressions shows them)\n\n",
	     "\"suppressed\":{\"sites\":1,\"live_bytes\":1031,\"growth_bytes\":1009}"},
	    {&more, "\nsuppressed 1,009 sites, 3.0 MiB (--no-suppressions shows them)\n\n",
	     "\"suppressed\":{\"sites\":1009,"},
	};
	struct profile profile;

	demo_write(test_path("suppressed.seep"), false);
	test_load(test_path("suppressed.seep"), &profile);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct render how = {.format = TEXT, .suppressed = cases[i].rest};
		_cleanup_free_ char *text = render_as(&profile, &how), *json = NULL;

		how.format = JSON;
		json = render_as(&profile, &how);
		if (cases[i].line)
			assert_non_null(strstr(text, cases[i].line));
		else
			assert_null(strstr(text, "suppressed"));
		assert_non_null(strstr(json, cases[i].json));
	}
	profile_deinit(&profile);
}

/* ---- Python -----------------------------------------------------------------------------------
 */

static void python_reports_look_as_they_did(void **state)
{
	static const struct {
		const char *golden;
		struct render how;
	} cases[] = {
	    {"python.txt", {.format = TEXT}},
	    {"python-native.txt", {.format = TEXT, .frames = VIEW_ALL}},
	    {"python-python.txt", {.format = TEXT, .frames = VIEW_PYTHON}},
	    {"python-merged.txt", {.format = TEXT, .merge_processes = true}},
	    {"python-line.txt",
	     {.format = TEXT, .group = {.by = GROUP_LINE}, .lines = TEXT_STATISTICS}},
	    {"python-file.txt",
	     {.format = TEXT, .group = {.by = GROUP_FILE}, .lines = TEXT_STATISTICS}},
	    {"python-traceback.txt",
	     {.format = TEXT,
	      .merge_processes = true,
	      .group = {.by = GROUP_TRACEBACK, .traceback_frames = 3},
	      .lines = TEXT_TRACEBACKS}},
	    {"python-function.txt", {.format = TEXT, .group = {.by = GROUP_FUNCTION}}},
	    {"python-module.txt", {.format = TEXT, .group = {.by = GROUP_MODULE}}},
	    {"python-process.txt", {.format = TEXT, .group = {.by = GROUP_PROCESS}}},
	    {"python.folded", {.format = FOLDED}},
	    {"python-native.folded", {.format = FOLDED, .frames = VIEW_ALL}},
	    {"python-python.folded", {.format = FOLDED, .frames = VIEW_PYTHON}},
	    {"python.json", {.format = JSON, .frames = VIEW_ALL}},
	    {"python-merged.json",
	     {.format = JSON, .frames = VIEW_PYTHON, .merge_processes = true}},
	};
	struct profile profile;

	python_write(test_path("python.seep"));
	test_load(test_path("python.seep"), &profile);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_free_ char *bytes = render_as(&profile, &cases[i].how);

		assert_golden(cases[i].golden, bytes);
		if (cases[i].how.format == TEXT && cases[i].how.lines == TEXT_TABLE)
			assert_true(widest_line(bytes) <= TEXT_COLUMNS);
	}
	profile_deinit(&profile);
}

/* ---- hostile names ------------------------------------------------------------------------------
 */

static void hostile_names_look_as_they_did(void **state)
{
	struct profile profile;
	_cleanup_free_ char *text = NULL;

	hostile_write(test_path("hostile.seep"));
	test_load(test_path("hostile.seep"), &profile);
	text = render(&profile, GROUP_SITE, TEXT, 0);
	assert_golden("hostile.txt", text);
	for (const char *at = text; *at; at++)
		assert_true((unsigned char)*at >= 0x20 || *at == '\n');
	assert_true(widest_line(text) <= TEXT_COLUMNS);
	profile_deinit(&profile);
}

static void hostile_names_stay_one_line_in_folded_stacks(void **state)
{
	struct profile profile;
	_cleanup_free_ char *folded = NULL;
	unsigned int lines = 0;

	hostile_write(test_path("hostile.seep"));
	test_load(test_path("hostile.seep"), &profile);
	folded = render(&profile, GROUP_SITE, FOLDED, FOLDED_GROWTH);
	for (char *line = strtok(folded, "\n"); line; line = strtok(NULL, "\n"), lines++) {
		char *count = strrchr(line, ' ');
		char *leaf;

		assert_non_null(count);
		assert_int_equal(strspn(count + 1, "0123456789"), strlen(count + 1));
		*count = '\0';
		/* process;frame, neither empty */
		leaf = strchr(line, ';');
		assert_non_null(leaf);
		assert_true(leaf > line && leaf[1]);
		assert_null(strchr(leaf + 1, ';'));
		count = strrchr(leaf, ' ');
		assert_true(!count || strspn(count + 1, "0123456789.") != strlen(count + 1));
	}
	assert_int_equal(lines, 12);
	profile_deinit(&profile);
}

static void hostile_names_are_valid_json(void **state)
{
	struct profile profile;
	_cleanup_free_ char *bytes = NULL;
	json_error_t error;
	json_t *root;
	size_t longest = 0, index;
	json_t *site;

	hostile_write(test_path("hostile.seep"));
	test_load(test_path("hostile.seep"), &profile);
	bytes = render(&profile, GROUP_SITE, JSON, 0);
	root = json_loads(bytes, 0, &error);
	if (!root)
		fail_msg("%s at %d", error.text, error.position);
	assert_int_equal(json_array_size(json_object_get(root, "sites")), 12);
	json_array_foreach(json_object_get(root, "sites"), index, site)
	{
		json_t *frame = json_array_get(json_object_get(site, "frames"), 0);
		size_t length = json_string_length(json_object_get(frame, "function"));

		assert_int_not_equal(length, 0);
		longest = length > longest ? length : longest;
	}
	assert_int_equal(longest, LONG_NAME);
	json_decref(root);
	profile_deinit(&profile);
}

/* ---- the same totals everywhere
 * ------------------------------------------------------------------ */

static uint64_t random_next(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return *seed >> 33;
}

static void random_write(const char *path, uint64_t seed)
{
	struct recording *recording = test_create(path, &test_meta);
	uint32_t sites = random_next(&seed) % 60, snapshots = 1 + random_next(&seed) % 20;

	put_process(recording, 5, 811, "x");
	put_process(recording, 9, 821, "y");
	for (uint32_t i = 0; i < snapshots; i++) {
		const struct profile_snapshot snapshot = {.time_ns = i * NS_PER_S};

		recording_put_snapshot(recording, 3 * i, &snapshot);
	}
	for (uint32_t i = 0; i < sites; i++) {
		uint64_t frames[5];
		uint32_t depth = 1 + random_next(&seed) % 5;
		double blocks = 0, freed = 0;

		for (uint32_t k = 0; k < depth; k++) {
			frames[k] = NATIVE(1, random_next(&seed) % 30);
			if (random_next(&seed) % 3)
				put_name(recording, frames[k], "f", "f.c", frames[k] & 31);
		}
		recording_put_stack(recording, 7 * i, frames, depth, i % 7 == 0, WALK_END_DEPTH);
		recording_put_site(recording, 2 * i, i % 2 ? 5 : 9,
				   random_next(&seed) % CLASS_COUNT, 7 * i);
		for (uint32_t k = random_next(&seed) % snapshots; k < snapshots; k += 1 + i % 4) {
			blocks += random_next(&seed) % 1000;
			freed += (blocks - freed) * (random_next(&seed) % 5) / 4;
			freed = floor(freed);
			put_point(recording, 2 * i, 3 * k, blocks, freed, 1 + i, 0);
		}
	}
	test_close(recording);
}

/* Sum of the positive values of a key over all sites. */
static long long json_sum(const char *bytes, const char *key)
{
	json_t *root = json_loads(bytes, 0, NULL), *site;
	long long sum = 0;
	size_t index;

	assert_non_null(root);
	json_array_foreach(json_object_get(root, "sites"), index, site)
	{
		long long value = json_integer_value(json_object_get(site, key));

		sum += value > 0 ? value : 0;
	}
	json_decref(root);
	return sum;
}

/* Sum of a key over all processes and classes. */
static long long json_class_sum(const char *bytes, const char *key)
{
	json_t *root = json_loads(bytes, 0, NULL), *process, *class;
	const char *name;
	long long sum = 0;
	size_t index;

	json_array_foreach(json_object_get(root, "processes"), index, process)
	{
		json_object_foreach(json_object_get(process, "classes"), name, class) sum +=
		    json_integer_value(json_object_get(class, key));
	}
	json_decref(root);
	return sum;
}

static long long folded_sum(const struct profile *profile, enum group_by by,
			    enum folded_value value)
{
	_cleanup_free_ char *bytes = render(profile, by, FOLDED, value);
	long long sum = 0;

	for (char *line = strtok(bytes, "\n"); line; line = strtok(NULL, "\n"))
		sum += atoll(strrchr(line, ' ') + 1);
	return sum;
}

static void every_format_has_the_same_totals(void **state)
{
	for (uint64_t seed = 1; seed <= 40; seed++) {
		_cleanup_free_ char *json = NULL, *grouped = NULL;
		struct profile profile;

		random_write(test_path("random.seep"), seed);
		test_load(test_path("random.seep"), &profile);
		json = render(&profile, GROUP_SITE, JSON, 0);
		assert_int_equal(json_sum(json, "growth_bytes"),
				 folded_sum(&profile, GROUP_SITE, FOLDED_GROWTH));
		assert_int_equal(json_sum(json, "live_bytes"),
				 folded_sum(&profile, GROUP_SITE, FOLDED_LIVE));
		assert_int_equal(json_sum(json, "alloc_bytes"),
				 folded_sum(&profile, GROUP_SITE, FOLDED_ALLOC));
		assert_int_equal(json_sum(json, "growth_blocks"),
				 folded_sum(&profile, GROUP_SITE, FOLDED_BLOCKS));
		assert_int_equal(json_sum(json, "live_bytes"), json_class_sum(json, "live_bytes"));
		for (enum group_by by = GROUP_FUNCTION; by <= GROUP_MODULE; by++) {
			grouped = render(&profile, by, JSON, 0);
			assert_int_equal(json_sum(json, "live_bytes"),
					 json_sum(grouped, "live_bytes"));
			assert_int_equal(json_sum(json, "alloc_blocks"),
					 json_sum(grouped, "alloc_blocks"));
			assert_int_equal(json_sum(json, "live_bytes"),
					 folded_sum(&profile, by, FOLDED_LIVE));
			free(TAKE_PTR(grouped));
		}
		profile_deinit(&profile);
	}
}

static void random_reports_fit_the_terminal(void **state)
{
	for (uint64_t seed = 1; seed <= 20; seed++) {
		_cleanup_free_ char *text = NULL;
		struct profile profile;

		random_write(test_path("random.seep"), seed);
		test_load(test_path("random.seep"), &profile);
		text = render(&profile, GROUP_SITE, TEXT, 0);
		assert_true(widest_line(text) <= TEXT_COLUMNS);
		profile_deinit(&profile);
	}
}

/* ---- small parts
 * --------------------------------------------------------------------------------- */

static void texts_are_cut_where_it_hurts_least(void **state)
{
	static const struct {
		const char *middle, *left, *text;
		size_t width;
	} cases[] = {
	    {"short", "short", "short", 5},
	    {"abc\342\200\246xyz", "\342\200\246uvwxyz", "abcdefuvwxyz", 7},
	    {"\303\244\342\200\246\303\274", "\342\200\246\303\266\303\274",
	     "\303\244\303\266\303\266\303\274", 3},
	    {"\342\200\246", "\342\200\246", "abc", 1},
	    {"\342\200\246", "\342\200\246", "abc", 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_free_ char *middle = elide_middle(cases[i].text, cases[i].width);
		_cleanup_free_ char *left = elide_left(cases[i].text, cases[i].width);

		assert_string_equal(middle, cases[i].middle);
		assert_string_equal(left, cases[i].left);
	}
}

static void only_valid_utf8_passes(void **state)
{
	static const struct {
		const char *dirty, *clean;
	} cases[] = {
	    {"a\303\244", "a\303\244"},
	    {"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"},
	    {"\xff", "\357\277\275"},
	    {"\xc0\x80", "\357\277\275\357\277\275"},		      /* overlong NUL */
	    {"\xe2\x82", "\357\277\275\357\277\275"},		      /* cut short */
	    {"\xed\xa0\x80", "\357\277\275\357\277\275\357\277\275"}, /* surrogate */
	    {"\x1b[0m\t\x7f", "?[0m??"},
	    {"\302\205", "?"}, /* C1 */
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_free_ char *clean = utf8_clean(cases[i].dirty, 0);

		assert_string_equal(clean, cases[i].clean);
	}
}

static bool verdict_has(const struct profile *profile, const char *part)
{
	const struct rank_options options = {.order = RANK_GROWTH};
	struct verdict verdict;
	struct ranking ranking;
	bool found = false;

	assert_int_equal(ranking_build(profile, &options, &ranking, NULL), 0);
	assert_int_equal(verdict_build(profile, &ranking, &verdict, NULL), 0);
	for (size_t i = 0; i < verdict.count; i++)
		found |= strstr(verdict.items[i].text, part) != NULL;
	verdict_free(&verdict);
	ranking_free(&ranking);
	return found;
}

static void the_verdict_is_honest_about_what_it_lacks(void **state)
{
	struct profile profile;

	demo_write(test_path("honest.seep"), false);
	test_load(test_path("honest.seep"), &profile);
	assert_true(verdict_has(&profile, "RSS +62.0 MiB in 1m = live heap +") ||
		    verdict_has(&profile, "RSS +62 MiB in 1m = live heap +"));
	assert_true(verdict_has(&profile, "1 stack grows steadily"));
	assert_false(verdict_has(&profile, "incomplete"));
	profile.complete = false;
	assert_true(verdict_has(&profile, "incomplete"));
	profile.processes[0].end_memory.rss_bytes = 0;
	assert_true(verdict_has(&profile, "what else RSS holds was not read"));
	profile.processes[0].start_memory.rss_bytes = 0;
	memset(profile.processes[0].rss_bytes, 0, profile.snapshot_count * sizeof(uint64_t));
	assert_true(verdict_has(&profile, "resident memory was not read"));
	profile_deinit(&profile);
}

/* Of a target that exited the last resident size is known, and none of its parts. */
static void growth_of_what_ended_is_not_divided(void **state)
{
	struct profile_process *process;
	struct profile profile;

	demo_write(test_path("ended.seep"), false);
	test_load(test_path("ended.seep"), &profile);
	process = &profile.processes[0];
	process->end_reason = "exited";
	process->end_memory = (struct memory_breakdown){.rss_bytes = 163 << 20};
	assert_true(verdict_has(&profile, "RSS +62.0 MiB in 1m; live heap +63.8 MiB"));
	assert_true(verdict_has(&profile, "was not read before it ended"));
	assert_false(verdict_has(&profile, "reused or not touched"));
	assert_false(verdict_has(&profile, "allocator-held"));
	/* read once: 0 is not its growth */
	process->end_memory.rss_bytes = process->start_memory.rss_bytes;
	memset(process->rss_bytes, 0, profile.snapshot_count * sizeof(uint64_t));
	process->rss_bytes[0] = process->start_memory.rss_bytes;
	assert_true(verdict_has(&profile, "resident memory was read only once"));
	assert_false(verdict_has(&profile, "RSS 0 B"));
	profile_deinit(&profile);
}

static void a_full_cache_is_not_called_a_steady_leak(void **state)
{
	static const struct {
		uint64_t freed, end_rss_mib, sample_bytes;
		bool exchange, hint;
	} cases[] = {
	    {6329, 101, 1, true, false},  {6329, 163, 1, false, false},
	    {6329, 102, 1, true, false},  {3001, 101, 1, false, false},
	    {31657, 101, 1, false, true}, {0, 101, 1, false, false},
	    {6329, 0, 1, false, false},	  {6329, 101, 524288, false, false},
	};
	struct profile profile;

	demo_write(test_path("cache.seep"), false);
	test_load(test_path("cache.seep"), &profile);
	memset(profile.processes[0].rss_bytes, 0, profile.snapshot_count * sizeof(uint64_t));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		profile.unmatched_frees = cases[i].freed;
		profile.processes[0].end_memory.rss_bytes = cases[i].end_rss_mib << 20;
		profile.sample_bytes = cases[i].sample_bytes;
		assert_int_equal(verdict_has(&profile, "more likely old blocks are being replaced"),
				 cases[i].exchange);
		assert_int_equal(verdict_has(&profile, "1 stack only seems to grow"),
				 cases[i].exchange);
		assert_int_equal(verdict_has(&profile, "1 stack grows steadily"),
				 !cases[i].exchange);
		assert_int_equal(verdict_has(&profile, "new ones in their place look like growth"),
				 cases[i].hint);
	}
	profile_deinit(&profile);
}

static void few_snapshots_are_no_ground_for_a_leak(void **state)
{
	struct profile profile;

	demo_write(test_path("few.seep"), false);
	test_load(test_path("few.seep"), &profile);
	profile.snapshot_count = 4;
	profile.duration_ns = profile.processes[0].end_ns = 6 * NS_PER_S;
	for (uint32_t i = 0; i < profile.site_count; i++) {
		struct profile_site *site = &profile.sites[i];

		while (site->point_count && site->points[site->point_count - 1].snapshot >= 4)
			site->point_count--;
	}
	assert_true(verdict_has(&profile, "too few snapshots (4) to tell a leak from a start-up"));
	assert_true(verdict_has(&profile, "stacks grew, too early to say how"));
	assert_false(verdict_has(&profile, "steadily"));
	profile_deinit(&profile);
}

static unsigned int verdict_count(const struct profile *profile, const char *part)
{
	const struct rank_options options = {.order = RANK_GROWTH};
	struct verdict verdict;
	struct ranking ranking;
	unsigned int count = 0;

	assert_int_equal(ranking_build(profile, &options, &ranking, NULL), 0);
	assert_int_equal(verdict_build(profile, &ranking, &verdict, NULL), 0);
	for (size_t i = 0; i < verdict.count; i++)
		count += strstr(verdict.items[i].text, part) != NULL;
	verdict_free(&verdict);
	ranking_free(&ranking);
	return count;
}

#define FAMILY 7

/* Seven processes, the last with most growth, and an image that exec replaced. */
static void family_write(const char *path)
{
	struct recording *recording = test_create(path, &test_meta);
	struct profile_process image = {
	    .pid = 797, .comm = "sh", .end_ns = NS_PER_S, .end_reason = "exec"};
	static const char *const kinds[] = {"fork", "exec", "exit"};

	for (uint32_t i = 0; i < FAMILY; i++) {
		const uint64_t frame = NATIVE(1, 0x1000);

		put_process(recording, i, 811 + i, "worker");
		put_name(recording, frame, "work", "src/worker.c", 19);
		recording_put_stack(recording, i, &frame, 1, false, 0);
		recording_put_site(recording, i, i, CLASS_MALLOC, i);
	}
	recording_put_process(recording, FAMILY, &image);
	for (uint32_t i = 0; i < 31; i++) {
		const struct profile_snapshot snapshot = {.time_ns = 2 * i * NS_PER_S};
		const struct profile_event event = {i * NS_PER_S, kinds[i % 3], "someone"};

		recording_put_snapshot(recording, i, &snapshot);
		recording_put_event(recording, &event);
		for (uint32_t k = 0; k < FAMILY && i; k++)
			put_point(recording, k, i, i * (k + 1), 0, 1009, 0);
	}
	for (uint32_t i = 0; i < 6; i++) {
		const struct profile_event event = {i * NS_PER_S, "detach", "snapshot asked for"};

		recording_put_event(recording, &event);
	}
	test_close(recording);
}

static void many_processes_and_events_do_not_bury_the_answer(void **state)
{
	struct profile profile;

	family_write(test_path("family.seep"));
	test_load(test_path("family.seep"), &profile);
	assert_int_equal(verdict_count(&profile, "worker (pid"), 3);
	assert_true(verdict_has(&profile, "worker (pid 817)"));
	assert_false(verdict_has(&profile, "worker (pid 814)"));
	assert_false(verdict_has(&profile, "sh (pid"));
	assert_true(verdict_has(&profile, "and 4 more processes"));
	assert_true(verdict_has(&profile, "11 processes were forked, 10 ran another program, 10 "
					  "exited"));
	assert_false(verdict_has(&profile, "someone"));
	assert_int_equal(verdict_count(&profile, "snapshot asked for"), 3);
	assert_true(verdict_has(&profile, "and 3 more events (--format json has all)"));
	assert_renders(&profile, GROUP_SITE, TEXT, 0, "family.txt");
	/* one of what was counted */
	profile.events[0].kind = "exit";
	profile.event_count = 3;
	assert_true(verdict_has(&profile, "1 process ran another program, 2 exited"));
	profile_deinit(&profile);
}

static void the_slowdown_is_told(void **state)
{
	static const struct {
		double percent;
		const char *text;
	} cases[] = {
	    {0, "% of a core\n"},
	    {6.25, "% of a core, slowed the target by about 6.2 %\n"},
	    {110.4, "% of a core, slowed the target by about 110 %\n"},
	    {1000, "% of a core, slowed the target by over 1000 %\n"},
	};
	struct profile profile;

	demo_write(test_path("slow.seep"), false);
	test_load(test_path("slow.seep"), &profile);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_free_ char *text = NULL;

		profile.hits = 100;
		profile.slowdown_percent = cases[i].percent;
		text = render(&profile, GROUP_SITE, TEXT, 0);
		for (char *at = text; (at = strstr(at, "\n  ")); at += 2) /* as one line */
			memmove(at, at + 2, strlen(at + 2) + 1), *at = ' ';
		if (!strstr(text, cases[i].text))
			fail_msg("%.400s", text);
	}
	profile_deinit(&profile);
}

static void counts_of_one_are_singular(void **state)
{
	struct profile profile;

	demo_write(test_path("one.seep"), false);
	test_load(test_path("one.seep"), &profile);
	profile.unmatched_frees = 1;
	assert_true(verdict_has(&profile, "1 block freed that is older than the recording"));
	profile.sample_bytes = 524288;
	assert_true(verdict_has(&profile, "1 block freed that is older than the recording or was "
					  "not sampled"));
	profile.sites[3].truncated = false;
	profile.sites[4].truncated = true;
	assert_true(verdict_has(&profile, "1 of 5 stacks does not reach its root"));
	profile_deinit(&profile);
}

/* Python 3.14 can list the tasks of another process; a leak under asyncio asks for it. */
static void tasks_are_hinted_at_where_they_can_be_seen(void **state)
{
	static const struct {
		const char *python, *end_reason, *file;
		uint32_t growing; /* snapshots */
		bool hint;
	} cases[] = {
	    {"3.14.0", NULL, "/usr/lib/python3.14/asyncio/runners.py", 31, true},
	    {"3.14.0rc2", NULL, "/usr/lib/python3.14/asyncio/runners.py", 31, true},
	    {"3.13.5", NULL, "/usr/lib/python3.13/asyncio/runners.py", 31, false},
	    {"3.140.0", NULL, "/usr/lib/python3.140/asyncio/runners.py", 31, false},
	    {NULL, NULL, "/usr/lib/python3.14/asyncio/runners.py", 31, false},
	    {"3.14.0", "exited", "/usr/lib/python3.14/asyncio/runners.py", 31, false},
	    {"3.14.0", NULL, "/srv/asyncio.py", 31, false},
	    {"3.14.0", NULL, "/usr/lib/python3.14/asyncio/runners.py", 1, false},
	};

	python_write(test_path("tasks.seep"));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct profile profile;

		test_load(test_path("tasks.seep"), &profile);
		profile.processes[0].python = cases[i].python;
		profile.processes[0].end_reason = cases[i].end_reason;
		for (uint32_t k = 0; k < profile.frame_count; k++)
			if (profile.frames[k].file && strstr(profile.frames[k].file, "asyncio"))
				profile.frames[k].file = cases[i].file;
		for (uint32_t k = 0; k < profile.site_count && cases[i].growing == 1; k++)
			profile.sites[k].point_count = 1;
		assert_int_equal(verdict_has(&profile, "python3.14 -m asyncio pstree 811 shows"),
				 cases[i].hint);
		assert_int_equal(verdict_has(&profile, "pstree"), cases[i].hint);
		profile_deinit(&profile);
	}
}

static void percents_are_plain_numbers(void **state)
{
	static const struct {
		double percent;
		const char *text;
	} cases[] = {{0, "0"},	   {0.004, "under 0.01"}, {0.12, "0.12"}, {4.25, "4.2"},
		     {9.97, "10"}, {56.4, "56"},	  {110.3, "110"}, {12345, "12345"}};
	char buffer[UNITS_TEXT_MAX];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(percent_format(cases[i].percent, buffer), cases[i].text);
}

/* Stacks of 'names', leaf first, one site each; blocks of 1009 bytes, site 0 most. */
static char *stacks_render(const char *names[][5], uint32_t count, uint32_t empty)
{
	const struct render how = {.format = TEXT, .plain = true};
	struct recording *recording = test_create(test_path("stacks.seep"), &test_meta);
	struct profile profile;
	char *text;

	put_process(recording, 0, 811, "x");
	for (uint32_t i = 0; i < count; i++) {
		uint64_t frames[5];
		uint32_t depth = 0;

		for (; depth < 5 && names[i][depth]; depth++) {
			frames[depth] = NATIVE(1, 0x1000 * (i + 1) + depth);
			put_name(recording, frames[depth], names[i][depth], "deep/place.c",
				 depth + 1);
		}
		recording_put_stack(recording, i, frames, depth, false, 0);
		recording_put_site(recording, i, 0, CLASS_MALLOC, i);
	}
	for (uint32_t i = 0; i < 31; i++) {
		const struct profile_snapshot snapshot = {.time_ns = 2 * i * NS_PER_S};

		recording_put_snapshot(recording, i, &snapshot);
		for (uint32_t k = 0; k < count && i; k++)
			put_point(recording, k, i, i * (19 - k), k < empty ? 0 : i * (19 - k), 1009,
				  0);
	}
	test_close(recording);
	test_load(test_path("stacks.seep"), &profile);
	text = render_as(&profile, &how);
	profile_deinit(&profile);
	return text;
}

static void rows_of_one_wrapper_are_told_apart(void **state)
{
	const char *names[][5] = {
	    {"zmalloc", "sdsnewlen", "read_query", "main"},
	    {"zmalloc", "sdsnewlen", "load_file", "main"},
	    {"zmalloc", "create_client(int, char)", "main"},
	    {"alone", "create_client(int, char)", "main"},
	    {"zmalloc", "sdsnewlen"},
	    {"zmalloc", "a_caller_with_a_name_that_is_much_too_long_for_a_column", "main"},
	    {"zmalloc", "zmalloc", "again", "main"},
	};
	_cleanup_free_ char *text = stacks_render(names, 7, 7);

	assert_non_null(strstr(text, "zmalloc < read_query  deep/place.c:3\n"));
	assert_non_null(strstr(text, "zmalloc < load_file  deep/place.c:3\n"));
	assert_non_null(strstr(text, "zmalloc < create_client  deep/place.c:2\n"));
	assert_non_null(strstr(text, "zmalloc < a_caller_"));
	assert_non_null(strstr(text, "zmalloc < again  deep"));
	assert_non_null(strstr(text, "  alone  deep/place.c:1\n"));
	assert_non_null(strstr(text, "zmalloc < sdsnewlen  deep/place.c:2\n"));
	assert_true(widest_line(text) <= TEXT_COLUMNS);
}

/* A stack of two lines of Python, of the same function. */
static void python_pair_put(struct recording *recording, uint32_t site, const char *caller,
			    const char *file, uint32_t line)
{
	const struct profile_frame frames[] = {
	    {.function = "Session.remember", .file = "/srv/app.py", .line = 12, .python = true},
	    {.function = caller, .file = file, .line = line, .python = true},
	};
	const uint64_t stack[] = {PYTHON(7, 12), PYTHON(11 + site, line)};

	recording_put_frame(recording, stack[0], &frames[0], 1);
	recording_put_frame(recording, stack[1], &frames[1], 1);
	recording_put_stack(recording, site, stack, 2, false, 0);
	recording_put_site(recording, site, 0, CLASS_PYTHON, site);
	put_point(recording, site, 1, 19 - site, 0, 1009, 0);
}

static void a_line_of_python_keeps_its_own_place(void **state)
{
	const struct render how = {.format = TEXT, .plain = true};
	struct recording *recording = test_create(test_path("lines.seep"), &test_meta);
	struct profile profile;
	_cleanup_free_ char *text = NULL;

	put_process(recording, 0, 811, "x");
	recording_put_snapshot(recording, 0, &(struct profile_snapshot){0});
	recording_put_snapshot(recording, 1, &(struct profile_snapshot){.time_ns = NS_PER_S});
	python_pair_put(recording, 0, "Thread.run", "/usr/lib/python3.11/threading.py", 975);
	python_pair_put(recording, 1, "handle", "/srv/app.py", 31);
	python_pair_put(recording, 2, "a_caller_of_a_name_that_is_much_too_long_for_it",
			"/srv/pool.py", 37);
	python_pair_put(recording, 3, "a_caller_of_a_name_that_is_much_too_long_for_it",
			"/srv/pool.py", 41);
	test_close(recording);
	test_load(test_path("lines.seep"), &profile);
	text = render_as(&profile, &how);
	assert_non_null(strstr(text, "  remember  /srv/app.py:12 < run:975\n"));
	assert_non_null(strstr(text, "  Session.remember:12 < handle  \342\200\246/app.py:31\n"));
	assert_non_null(strstr(text, "  remember  app.py:12 < a_caller_\342\200\246g_for_it:37\n"));
	assert_non_null(strstr(text, "  remember  app.py:12 < a_caller_\342\200\246g_for_it:41\n"));
	assert_true(widest_line(text) <= TEXT_COLUMNS);
	profile_deinit(&profile);
}

static void sites_that_hold_nothing_are_only_counted(void **state)
{
	const char *names[][5] = {{"keeps", "main"}, {"frees", "main"}, {"frees_too", "main"}};
	_cleanup_free_ char *text = stacks_render(names, 3, 1);

	assert_non_null(strstr(text, "keeps"));
	assert_null(strstr(text, "frees"));
	assert_non_null(strstr(text, "and 2 more that hold nothing\n"));
}

static void paths_are_cut_where_a_folder_begins(void **state)
{
	static const struct {
		const char *path, *cut;
		size_t width;
	} cases[] = {
	    {"/a/demo/sessiond.c:113", "/a/demo/sessiond.c:113", 22},
	    {"/a/demo/sessiond.c:113", "\342\200\246/demo/sessiond.c:113", 21},
	    {"/a/demo/sessiond.c:113", "\342\200\246/sessiond.c:113", 20},
	    {"/a/demo/sessiond.c:113", "\342\200\246d.c:113", 8},
	    {"demo/sessiond.c:113", "\342\200\246/sessiond.c:113", 18},
	    {"sessiond.c", "\342\200\246.c", 3},
	    {"////", "\342\200\246/", 2},
	    {"", "", 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_free_ char *cut = elide_path(cases[i].path, cases[i].width);

		assert_string_equal(cut, cases[i].cut);
	}
}

static void the_parts_of_rss_growth_add_up(void **state)
{
	struct memory_growth *growth;
	struct profile profile;

	demo_write(test_path("parts.seep"), false);
	test_load(test_path("parts.seep"), &profile);
	growth = memory_growth_read(&profile);
	assert_true(growth->divided);
	assert_true(fabs(growth->live_growth + growth->held + growth->other + growth->unexplained -
			 (62 << 20)) < 1e-6);
	assert_true(growth->other == 2 << 20);
	assert_true(growth->unexplained == 0);
	assert_true(growth->growth[CLASS_MMAP] == 8192);
	free(growth);
	profile_deinit(&profile);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(reports_look_as_they_did),
	    cmocka_unit_test(sampled_reports_show_the_error),
	    cmocka_unit_test(a_recording_without_sites_says_so),
	    cmocka_unit_test(culprits_stand_below_the_ranking),
	    cmocka_unit_test(what_is_suppressed_is_one_line),
	    cmocka_unit_test(python_reports_look_as_they_did),
	    cmocka_unit_test(hostile_names_look_as_they_did),
	    cmocka_unit_test(hostile_names_stay_one_line_in_folded_stacks),
	    cmocka_unit_test(hostile_names_are_valid_json),
	    cmocka_unit_test(every_format_has_the_same_totals),
	    cmocka_unit_test(random_reports_fit_the_terminal),
	    cmocka_unit_test(texts_are_cut_where_it_hurts_least),
	    cmocka_unit_test(only_valid_utf8_passes),
	    cmocka_unit_test(the_verdict_is_honest_about_what_it_lacks),
	    cmocka_unit_test(the_parts_of_rss_growth_add_up),
	    cmocka_unit_test(growth_of_what_ended_is_not_divided),
	    cmocka_unit_test(a_full_cache_is_not_called_a_steady_leak),
	    cmocka_unit_test(few_snapshots_are_no_ground_for_a_leak),
	    cmocka_unit_test(many_processes_and_events_do_not_bury_the_answer),
	    cmocka_unit_test(the_slowdown_is_told),
	    cmocka_unit_test(counts_of_one_are_singular),
	    cmocka_unit_test(tasks_are_hinted_at_where_they_can_be_seen),
	    cmocka_unit_test(percents_are_plain_numbers),
	    cmocka_unit_test(rows_of_one_wrapper_are_told_apart),
	    cmocka_unit_test(a_line_of_python_keeps_its_own_place),
	    cmocka_unit_test(sites_that_hold_nothing_are_only_counted),
	    cmocka_unit_test(paths_are_cut_where_a_folder_begins),
	};

	return cmocka_run_group_tests(tests, NULL, test_folder_remove);
}
