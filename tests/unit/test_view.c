/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_view.c - what is hidden, merged and filtered of stacks, and that tracemalloc itself, given
 * the same blocks, prints the same lines.
 */
#include <errno.h>
#include <math.h>

#include "unit/recordings.h"

#include "base/cleanup.h"
#include "cli/verb.h"
#include "export/text.h"
#include "export/tracemalloc.h"
#include "export/utf8.h"
#include "profile/filter.h"
#include "profile/group.h"
#include "profile/rank.h"
#include "profile/view.h"

/* ---- stacks, in words -------------------------------------------------------------------------
 */

/*
 * "py:walk int:eval libc.so.6:qsort ext.so:pump": frames, leaf first. py: Python, in file NAME.py,
 * line 7; int: of the interpreter; else of that binary.
 */
struct sketch {
	struct profile profile;
	struct profile_process process;
	struct profile_snapshot snapshots[2];
	struct profile_frame frames[64];
	struct profile_site sites[8];
	struct site_point points[8];
	uint32_t indices[8][16];
	uint64_t rss[2];
	char texts[64][3][64];
};

static uint32_t sketch_frame(struct sketch *sketch, const char *word)
{
	struct profile_frame *frame = &sketch->frames[sketch->profile.frame_count];
	char(*text)[64] = sketch->texts[sketch->profile.frame_count];
	const char *colon = strchr(word, ':');

	snprintf(text[0], 64, "%s", colon + 1);
	*frame = (struct profile_frame){.function = text[0]};
	if (!strncmp(word, "py:", 3)) {
		snprintf(text[1], 64, "/srv/%s.py", text[0]);
		frame->file = text[1];
		frame->line = 7;
		frame->python = true;
	} else {
		snprintf(text[1], 64, "/usr/lib/%.*s", (int)(colon - word), word);
		frame->module = text[1];
		frame->internal = !strncmp(word, "int:", 4);
		frame->offset = 0x1000 + sketch->profile.frame_count;
	}
	return sketch->profile.frame_count++;
}

static void sketch_add(struct sketch *sketch, const char *words)
{
	uint32_t index = sketch->profile.site_count++;
	struct profile_site *site = &sketch->sites[index];
	_cleanup_free_ char *copy = strdup(words);

	sketch->points[index] = (struct site_point){1, {.alloc_bytes = 1009, .alloc_blocks = 1}};
	site->frames = sketch->indices[index];
	site->points = &sketch->points[index];
	site->point_count = 1;
	for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
		sketch->indices[index][site->frame_count++] = sketch_frame(sketch, word);
}

static struct sketch *sketch_new(void)
{
	struct sketch *sketch = calloc(1, sizeof(*sketch));

	sketch->process.pid = 811;
	sketch->process.rss_bytes = sketch->rss;
	sketch->snapshots[1].time_ns = NS_PER_S;
	sketch->profile = (struct profile){
	    .processes = &sketch->process,
	    .process_count = 1,
	    .snapshots = sketch->snapshots,
	    .snapshot_count = 2,
	    .frames = sketch->frames,
	    .sites = sketch->sites,
	};
	return sketch;
}

/* The functions of a stack as a view shows it. */
static void assert_shows(enum view_frames frames, const char *words, const char *shown)
{
	_cleanup_free_ struct sketch *sketch = sketch_new();
	const struct view_options options = {.frames = frames};
	struct view_rest rest;
	struct profile view;
	char line[512] = "";

	sketch_add(sketch, words);
	assert_int_equal(profile_view(&sketch->profile, &options, &view, &rest, NULL), 0);
	assert_int_equal(view.site_count, 1);
	for (uint32_t i = 0; i < view.sites[0].frame_count; i++) {
		const char *name = view.frames[view.sites[0].frames[i]].function;

		snprintf(line + strlen(line), sizeof(line) - strlen(line), "%s%s", i ? " " : "",
			 name);
	}
	assert_string_equal(line, shown);
	profile_deinit(&view);
}

static void the_interpreters_own_frames_are_hidden(void **state)
{
	static const struct {
		const char *stack, *plain, *python;
	} cases[] = {
	    {"int:list_resize int:eval py:append py:handle int:vector int:main "
	     "libc.so.6:start_call "
	     "int:_start",
	     "append handle", "append handle"},
	    /* a thread; of a stripped musl, too */
	    {"int:eval py:run int:thread libc.so.6:start_thread libc.so.6:clone3", "run", "run"},
	    {"int:eval py:run int:thread ld-musl-x86_64.so.1:start ld-musl-x86_64.so.1:clone",
	     "run", "run"},
	    /* C between Python frames, and below them */
	    {"ext.so:pump py:f int:eval libc.so.6:qsort ext.so:sort int:eval py:main int:vector "
	     "libc.so.6:__libc_start_call_main",
	     "pump f qsort sort main", "f main"},
	    /* embedded: the program's own frames stay */
	    {"int:eval py:rule int:eval app:rules_run app:main libc.so.6:__libc_start_main_impl "
	     "app:_start",
	     "rule rules_run main", "rule"},
	    /* without Python: start-up, and a thread of C */
	    {"int:dict_new int:init int:main libc.so.6:__libc_start_call_main int:_start",
	     "dict_new init main __libc_start_call_main _start", "[native] int"},
	    {"libc.so.6:strdup int:init int:main libc.so.6:__libc_start_call_main int:_start",
	     "strdup init main __libc_start_call_main _start", "[native] libc.so.6"},
	    {"ext.so:read ext.so:loop libc.so.6:start_thread libc.so.6:clone3",
	     "read loop start_thread clone3", "[native] ext.so"},
	    {"ext.so:init int:import int:main libc.so.6:__libc_start_call_main",
	     "init __libc_start_call_main", "[native] ext.so"},
	    {"int:eval py:only", "only", "only"},
	    {"py:only", "only", "only"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_shows(VIEW_PLAIN, cases[i].stack, cases[i].plain);
		assert_shows(VIEW_PYTHON, cases[i].stack, cases[i].python);
	}
	assert_shows(VIEW_ALL, "int:eval py:run int:thread libc.so.6:start_thread",
		     "eval run thread start_thread");
}

static void a_call_of_c_is_named_by_what_python_called(void **state)
{
	static const struct {
		const char *stack, *naming, *called;
	} cases[] = {
	    {"libcrypto.so.3:CRYPTO_zalloc libssl.so.3:SSL_new _ssl.so:_ssl.so+0x1f3b int:eval "
	     "py:connect py:main",
	     "connect", "SSL_new"},
	    {"libcrypto.so.3:CRYPTO_zalloc libssl.so.3:SSL_new _ssl.so:wrap_socket int:eval "
	     "py:connect",
	     "connect", "wrap_socket"},
	    {"libssl.so.3:SSL_new libffi.so.8:ffi_call _ctypes.cpython-311.so:call int:eval py:f",
	     "f", "SSL_new"},
	    {"_ctypes.cpython-311.so:alloc int:eval py:f", "f", "alloc"},
	    {"int:list_resize int:eval py:append", "append", "list_resize"},
	    {"py:append", "append", "append"},
	    {"ext.so:read ext.so:loop", "read", NULL},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_free_ struct sketch *sketch = sketch_new();
		const struct profile_site *site = sketch->sites;
		uint32_t called;

		sketch_add(sketch, cases[i].stack);
		called = site_called_frame(&sketch->profile, site);
		assert_string_equal(
		    sketch->frames[site_naming_frame(&sketch->profile, site)].function,
		    cases[i].naming);
		if (cases[i].called)
			assert_string_equal(sketch->frames[called].function, cases[i].called);
		else
			assert_int_equal(called, site->frame_count);
	}
}

static void what_looks_the_same_is_one_site(void **state)
{
	_cleanup_free_ struct sketch *sketch = sketch_new();
	struct view_options options = {.frames = VIEW_PLAIN};
	struct site_totals end;
	struct view_rest rest;
	struct profile view;

	sketch_add(sketch, "int:list_resize int:eval py:append py:main");
	sketch_add(sketch, "int:dict_resize py:append py:main int:vector");
	sketch_add(sketch, "py:append py:other");
	sketch_add(sketch, "py:append py:main"); /* cut */
	sketch_add(sketch, "py:append py:main"); /* of another class */
	sketch->sites[1].age[3].alloc_bytes = 97;
	sketch->sites[3].truncated = true;
	sketch->sites[4].alloc_class = CLASS_MMAP;
	assert_int_equal(profile_view(&sketch->profile, &options, &view, &rest, NULL), 0);
	assert_int_equal(view.site_count, 4);
	end = profile_site_at(&view.sites[0], 1);
	assert_true(end.alloc_bytes == 2018 && end.alloc_blocks == 2);
	assert_true(view.sites[0].age[3].alloc_bytes == 97);
	assert_true(view.sites[2].truncated);
	profile_deinit(&view);
	/* as recorded, nothing is */
	options.frames = VIEW_ALL;
	sketch_add(sketch, "py:append py:main");
	assert_int_equal(profile_view(&sketch->profile, &options, &view, &rest, NULL), 0);
	assert_int_equal(view.site_count, 6);
	profile_deinit(&view);
}

static void workers_are_merged_with_their_pids(void **state)
{
	const struct view_options options = {.merge_processes = true};
	const struct group_options by_file = {.by = GROUP_FILE};
	struct profile profile, view, grouped;
	struct view_rest rest;

	python_write(test_path("workers.seep"));
	test_load(test_path("workers.seep"), &profile);
	assert_int_equal(profile_view(&profile, &options, &view, &rest, NULL), 0);
	assert_int_equal(view.process_count, 1);
	assert_int_equal(view.processes[0].pid, 0);
	assert_string_equal(view.processes[0].comm, "worker");
	assert_true(view.processes[0].rss_bytes[0] == 62 << 20);
	assert_int_equal(view.sites[0].pid_count, 2);
	assert_int_equal(view.sites[0].pids[0], 811);
	assert_int_equal(view.sites[0].pids[1], 821);
	assert_true(profile_site_at(&view.sites[0], 30).alloc_blocks == 30 * (211 + 13 + 101 + 3));
	assert_int_equal(profile_group(&view, &by_file, &grouped, NULL), 0);
	assert_int_equal(grouped.sites[0].pid_count, 2);
	profile_deinit(&grouped);
	profile_deinit(&view);
	profile_deinit(&profile);
}

static void several_functions_on_a_line_are_one_place(void **state)
{
	_cleanup_free_ struct sketch *sketch = sketch_new();
	const struct group_options by_line = {.by = GROUP_LINE},
				   by_function = {.by = GROUP_FUNCTION};
	struct profile grouped;

	sketch_add(sketch, "py:append");
	sketch_add(sketch, "py:append");
	sketch->frames[1].function = "<lambda>";
	assert_int_equal(profile_group(&sketch->profile, &by_line, &grouped, NULL), 0);
	assert_int_equal(grouped.site_count, 1);
	profile_deinit(&grouped);
	assert_int_equal(profile_group(&sketch->profile, &by_function, &grouped, NULL), 0);
	assert_int_equal(grouped.site_count, 2);
	profile_deinit(&grouped);
}

/* ---- the same totals in all views --------------------------------------------------------------
 */

static uint64_t random_next(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return *seed >> 33;
}

/* Stacks of all kinds of frames, some of them nothing but internal, some empty. */
static void mixed_write(const char *path, uint64_t seed)
{
	struct recording *recording = test_create(path, &test_meta);

	put_worker(recording, 0, 811);
	put_worker(recording, 1, 821);
	python_names(recording);
	for (uint32_t i = 0; i < 5; i++) {
		const struct profile_snapshot snapshot = {.time_ns = i * NS_PER_S};

		recording_put_snapshot(recording, i, &snapshot);
	}
	for (uint32_t i = 0; i < 61; i++) {
		uint32_t depth = random_next(&seed) % 6;
		uint64_t frames[6];

		for (uint32_t k = 0; k < depth; k++)
			frames[k] = python_frames[random_next(&seed) % PYTHON_FRAMES].key;
		recording_put_stack(recording, i, frames, depth, i % 11 == 0, WALK_END_DEPTH);
		recording_put_site(recording, i, i % 2, random_next(&seed) % CLASS_COUNT, i);
		for (uint32_t k = random_next(&seed) % 5; k < 5; k++)
			put_point(recording, i, k, (k + 1) * 997 + i, k * (i % 13), 1 + i, 0);
	}
	test_close(recording);
}

struct sums {
	double live, growth, alloc_blocks;
};

static struct sums profile_sums(const struct profile *profile)
{
	struct sums sums = {0};

	for (uint32_t i = 0; i < profile->site_count; i++) {
		const struct profile_site *site = &profile->sites[i];
		struct site_totals end = profile_site_at(site, profile->snapshot_count - 1);

		sums.live += live_bytes(end);
		sums.growth += live_bytes(end) - live_bytes(profile_site_at(site, 0));
		sums.alloc_blocks += end.alloc_blocks;
	}
	return sums;
}

static void assert_sums(struct sums sums, struct sums expected)
{
	assert_true(sums.live == expected.live);
	assert_true(sums.growth == expected.growth);
	assert_true(sums.alloc_blocks == expected.alloc_blocks);
}

static void view_sums_check(const struct profile *profile, const struct view_options *options,
			    struct sums whole)
{
	struct profile view, grouped;
	struct view_rest rest;

	assert_int_equal(profile_view(profile, options, &view, &rest, NULL), 0);
	if (options->filter) {
		struct sums sums = profile_sums(&view);

		assert_true(sums.live + rest.live_bytes == whole.live);
		assert_true(sums.growth + rest.growth_bytes == whole.growth);
		profile_deinit(&view);
		return;
	}
	assert_sums(profile_sums(&view), whole);
	assert_int_equal(rest.sites, 0);
	for (enum group_by by = GROUP_FUNCTION; by < GROUP_COUNT; by++) {
		const struct group_options group = {by, by % 3, by % 2};

		assert_int_equal(profile_group(&view, &group, &grouped, NULL), 0);
		assert_sums(profile_sums(&grouped), whole);
		profile_deinit(&grouped);
	}
	profile_deinit(&view);
}

static void every_view_has_the_same_totals(void **state)
{
	struct file_pattern app = {.text = (char *)"*/app.py"};
	const struct site_filter filter = {.include = {&app, 1, 1}};

	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct profile profile;
		struct sums whole;

		mixed_write(test_path("mixed.seep"), seed);
		test_load(test_path("mixed.seep"), &profile);
		whole = profile_sums(&profile);
		for (int i = 0; i < 12; i++) {
			const struct view_options options = {
			    .frames = i % 3,
			    .merge_processes = i / 3 % 2,
			    .filter = i / 6 ? &filter : NULL,
			};

			view_sums_check(&profile, &options, whole);
		}
		profile_deinit(&profile);
	}
}

/* ---- beside tracemalloc itself -----------------------------------------------------------------
 */

#define LINES_SITES 400

/* Reads "OLD NEW BYTES FILE:LINE ...", most recent frame first, and prints what compare_to says. */
static const char compare_py[] =
    "import sys, tracemalloc as t\n"
    "key, nframe, all_frames, path = sys.argv[1], int(sys.argv[2]), sys.argv[3] == '1', "
    "sys.argv[4]\n"
    "filters = []\n"
    "for word in sys.argv[5:]:\n"
    "    name, colon, line = word[1:].rpartition(':')\n"
    "    name, line = (name, int(line)) if line.isdigit() and name else (word[1:], None)\n"
    "    filters.append(t.Filter(word[0] == '+', name, line, all_frames))\n"
    "old, new = [], []\n"
    "for row in open(path):\n"
    "    a, b, size, *frames = row.split()\n"
    "    frames = tuple((f.rpartition(':')[0], int(f.rpartition(':')[2])) for f in frames)\n"
    "    trace = (0, int(size), frames[:nframe], len(frames))\n"
    "    old += [trace] * int(a)\n"
    "    new += [trace] * int(b)\n"
    "old, new = (t.Snapshot(x, nframe).filter_traces(filters) for x in (old, new))\n"
    "for s in new.compare_to(old, key):\n"
    "    print(s)\n"
    "    if key == 'traceback':\n"
    "        print('\\n'.join(s.traceback.format()))\n";

static const uint64_t borders[] = {
    1,
    97,
    99,
    100,
    101,
    1023,
    1024,
    1031,
    10239,
    10240,
    10241,
    10243,
    102399,
    102400,
    102401,
    102348,
    102349,
    1048576,
    9999991,
    10485759,
    10485760,
    10485761,
    104857599,
    104857600,
    104857601,
    10737418239,
    10737418240,
    10737418241,
    107374182399,
    107374182400,
    10995116277759,
    10995116277760,
    10995116277761,
    109951162777600,
    11258999068426241,
    103079215103,
};

/* One process; live blocks before and after; frames of fake files, some of them compiled. */
static void lines_write(const char *path, const char *rows, uint64_t seed)
{
	struct recording *recording = test_create(path, &test_meta);
	_cleanup_fclose_ FILE *out = fopen(rows, "w");
	static const char *const files[] = {"/srv/app.py", "/srv/lib/pool.py", "/srv/lib/old.pyc",
					    "<string>",	   "/usr/lib/a[1].py", ".conf.py",
					    "/srv/a\\b.py"};

	assert_non_null(out);
	put_worker(recording, 0, 811);
	for (uint32_t i = 0; i < 2; i++) {
		const struct profile_snapshot snapshot = {.time_ns = i * NS_PER_S};

		recording_put_snapshot(recording, i, &snapshot);
	}
	for (uint32_t i = 0; i < LINES_SITES; i++) {
		uint32_t depth = 1 + random_next(&seed) % 5;
		uint32_t old = random_next(&seed) % 4, new = random_next(&seed) % 4;
		uint64_t bytes = i % 2 ? borders[random_next(&seed) % ARRAY_LEN(borders)]
				       : random_next(&seed) % 1000003;
		uint64_t frames[5];

		if (i % 3 == 0) /* as many bytes in fewer blocks */
			bytes = 6000 / (new ? new : 1);

		fprintf(out, "%u %u %llu", old, new, (unsigned long long)bytes);
		for (uint32_t k = 0; k < depth; k++) {
			uint32_t file = random_next(&seed) % ARRAY_LEN(files);
			uint32_t line = 1 + random_next(&seed) % 101;
			const struct profile_frame name = {
			    .function = "f", .file = files[file], .line = line, .python = true};

			frames[k] = PYTHON(1 + file, line);
			recording_put_frame(recording, frames[k], &name, 1);
			fprintf(out, " %s:%u", files[file], line);
		}
		fputc('\n', out);
		recording_put_stack(recording, i, frames, depth, false, 0);
		recording_put_site(recording, i, 0, CLASS_PYTHON, i);
		put_point(recording, i, 0, old, 0, bytes, 0);
		put_point(recording, i, 1, old + new, old, bytes, 0);
	}
	test_close(recording);
}

static char *lines_ours(const char *path, const struct group_options *group,
			const struct site_filter *filter)
{
	const struct view_options options = {.filter = filter};
	const struct rank_options order = {.order = RANK_GROWTH};
	struct profile profile, view, grouped;
	struct ranking ranking;
	struct export_input input = {&grouped, &ranking, SIZE_MAX, &profile, NULL};
	struct view_rest rest;
	size_t length, rows = 0;
	char *bytes = NULL;
	FILE *out = open_memstream(&bytes, &length);

	test_load(path, &profile);
	assert_int_equal(profile_view(&profile, &options, &view, &rest, NULL), 0);
	assert_int_equal(profile_group(&view, group, &grouped, NULL), 0);
	assert_int_equal(ranking_build(&grouped, &order, &ranking, NULL), 0);
	tracemalloc_sort(&grouped, &ranking);
	while (rows < ranking.count && !ranked_site_empty(&ranking.items[rows]))
		rows++;
	tracemalloc_print(out, &input, rows, group->by == GROUP_TRACEBACK);
	fclose(out);
	ranking_free(&ranking);
	profile_deinit(&grouped);
	profile_deinit(&view);
	profile_deinit(&profile);
	return bytes;
}

/* What is ours alone: function names, and the empty line between tracebacks. */
static void lines_strip(char *text)
{
	char *to = text;

	for (char *line = text, *next; *line; line = next) {
		size_t length = strcspn(line, "\n");

		next = line + length + (line[length] == '\n');
		if (!length)
			continue;
		if (length > 6 && !memcmp(line + length - 6, ", in f", 6))
			length -= 6;
		memmove(to, line, length);
		to += length;
		*to++ = '\n';
	}
	*to = '\0';
}

static char *lines_theirs(const char *rows, const char *key, uint32_t nframe, bool all_frames,
			  const char *filters)
{
	_cleanup_free_ char *command = NULL;
	char *text = calloc(1, 1 << 20);
	FILE *script = fopen(test_path("compare.py"), "w"), *pipe;

	assert_non_null(script);
	fputs(compare_py, script);
	fclose(script);
	assert_true(asprintf(&command, "python3 -I '%s' %s %u %d '%s' %s", test_path("compare.py"),
			     key, nframe, all_frames, rows, filters) > 0);
	pipe = popen(command, "r");
	assert_non_null(pipe);
	assert_int_not_equal(fread(text, 1, (1 << 20) - 1, pipe) + 1, 0);
	assert_int_equal(pclose(pipe), 0);
	return text;
}

static void assert_same_lines(const char *ours, const char *theirs)
{
	size_t at = 0;

	while (ours[at] && ours[at] == theirs[at])
		at++;
	if (!ours[at] && !theirs[at])
		return;
	while (at > 0 && ours[at - 1] != '\n')
		at--;
	fail_msg("ours:   %.*s\ntheirs: %.*s", (int)strcspn(ours + at, "\n"), ours + at,
		 (int)strcspn(theirs + at, "\n"), theirs + at);
}

static void lines_are_those_of_tracemalloc(void **state)
{
	static const struct {
		const char *key;
		struct group_options group;
		uint32_t nframe;
	} cases[] = {
	    {"lineno", {.by = GROUP_LINE}, 25},
	    {"filename", {.by = GROUP_FILE}, 1},
	    {"traceback", {.by = GROUP_TRACEBACK}, 25},
	    {"traceback", {.by = GROUP_TRACEBACK, .traceback_frames = 3}, 3},
	    {"traceback", {.by = GROUP_TRACEBACK, .traceback_frames = 1}, 1},
	};

	for (uint64_t seed = 1; seed <= 3; seed++) {
		lines_write(test_path("lines.seep"), test_path("rows"), seed);
		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			_cleanup_free_ char *ours =
			    lines_ours(test_path("lines.seep"), &cases[i].group, NULL);
			_cleanup_free_ char *theirs = lines_theirs(test_path("rows"), cases[i].key,
								   cases[i].nframe, false, "");

			lines_strip(ours);
			assert_true(strlen(theirs) > 300);
			assert_same_lines(ours, theirs);
		}
	}
}

/* "+PATTERN" includes, "-PATTERN" excludes. */
static void filters_are_those_of_tracemalloc(void **state)
{
	static const char *const cases[][4] = {
	    {"+/srv/app.py"},
	    {"-/srv/app.py"},
	    {"+*/lib/*"},
	    {"+*"},
	    {"-*"},
	    {"+nothing"},
	    {"+*.pyc"},
	    {"+*.py", "-*/old.py"},
	    {"+/srv/app.py", "+*old.py"},
	    {"-*/app.py:7", "-*pool*"},
	    {"+*/app.py:3", "+*/app.py:11", "+*", "-*:3"},
	    {"+*:5"},
	    {"+/srv/?pp.py"},
	    {"+/usr/lib/a[[]1].py"},
	    {"-/usr/lib/a[!0-9]1].py"},
	    {"+/srv/*.py:0"},
	    {"+/SRV/app.py"},
	    {"+*conf.py"},
	    {"+*\\b.py"},
	};
	const struct group_options by_line = {.by = GROUP_LINE};

	lines_write(test_path("lines.seep"), test_path("rows"), 7);
	for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
		struct site_filter filter = {.all_frames = i % 2};
		_cleanup_free_ char *ours = NULL, *theirs = NULL;
		char words[256] = "";

		for (size_t k = 0; k < 4 && cases[i / 2][k]; k++) {
			const char *word = cases[i / 2][k];

			assert_int_equal(
			    file_pattern_add(word[0] == '+' ? &filter.include : &filter.exclude,
					     word + 1, NULL),
			    0);
			snprintf(words + strlen(words), sizeof(words) - strlen(words), " '%s'",
				 word);
		}
		ours = lines_ours(test_path("lines.seep"), &by_line, &filter);
		theirs = lines_theirs(test_path("rows"), "lineno", 25, filter.all_frames, words);
		assert_same_lines(ours, theirs);
		site_filter_free(&filter);
	}
}

static void patterns_are_told_from_lines(void **state)
{
	static const struct {
		const char *text, *pattern;
		int64_t line; /* -1: none */
	} cases[] = {
	    {"app.py", "app.py", -1},
	    {"app.py:42", "app.py", 42},
	    {"app.pyc:42", "app.py", 42},
	    {"app.pyc", "app.py", -1},
	    {":42", ":42", -1},
	    {"a:b", "a:b", -1},
	    {"a:4b", "a:4b", -1},
	    {"a:", "a:", -1},
	    {"a:4294967295", "a", 4294967295},
	    {"a:4294967296", "a:4294967296", -1},
	    {"a:1:2", "a:1", 2},
	    {".pyc", ".py", -1},
	};
	struct err err = {0};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct site_filter filter = {0};

		assert_int_equal(file_pattern_add(&filter.include, cases[i].text, NULL), 0);
		assert_string_equal(filter.include.items[0].text, cases[i].pattern);
		assert_int_equal(filter.include.items[0].has_line, cases[i].line >= 0);
		if (cases[i].line >= 0)
			assert_int_equal(filter.include.items[0].line, cases[i].line);
		site_filter_free(&filter);
	}
	assert_int_equal(file_pattern_add(&(struct file_patterns){0}, "", &err), -EINVAL);
	assert_string_equal(err.text, "the pattern is empty; '*' matches every file");
}

/* ---- the command line --------------------------------------------------------------------------
 */

/* seep report WORDS -o FILE python.seep. Returns its exit status; '*text' is what it wrote. */
static int report(const char *words, char **text, struct err *err)
{
	_cleanup_free_ char *copy = strdup(words), *recording = strdup(test_path("cli.seep"));
	_cleanup_free_ char *output = strdup(test_path("cli.out"));
	char *argv[24] = {(char *)"report"};
	_cleanup_fclose_ FILE *file = NULL;
	int argc = 1, status;

	*text = calloc(1, 1 << 18);
	for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
		argv[argc++] = word;
	argv[argc++] = (char *)"-o";
	argv[argc++] = output;
	argv[argc++] = recording;
	*err = (struct err){0};
	unlink(output);
	status = report_verb.run(argc, argv, err);
	file = fopen(output, "r");
	if (file)
		assert_true(fread(*text, 1, (1 << 18) - 1, file) < (1 << 18) - 1);
	return status;
}

static void assert_refused(const char *words, const char *why)
{
	_cleanup_free_ char *text = NULL;
	struct err err;

	assert_int_equal(report(words, &text, &err), EXIT_USAGE);
	assert_string_equal(err.text, why);
	assert_string_equal(text, "");
}

/* With 'absent' NULL nothing must be missing. */
static void assert_reports(const char *words, const char *present, const char *absent)
{
	_cleanup_free_ char *text = NULL;
	struct err err;

	if (report(words, &text, &err) != EXIT_OK)
		fail_msg("%s: %s", words, err.text);
	if (!strstr(text, present))
		fail_msg("%s: no '%s' in\n%s", words, present, text);
	if (absent && strstr(text, absent))
		fail_msg("%s: '%s' in\n%s", words, absent, text);
}

static void options_that_do_not_go_together_are_refused(void **state)
{
	python_write(test_path("cli.seep"));
	assert_refused("--python --native", "--python and --native exclude each other");
	assert_refused("--traceback 3 --by line", "--traceback goes with --by traceback only");
	assert_refused("--traceback many", "--traceback: 'many' is not a N, for example 20");
	assert_refused("--by process --merge-processes",
		       "--merge-processes and --by process exclude each other");
	assert_refused("--all-frames", "--all-frames goes with --include or --exclude");
	assert_refused("--exclude=", "--exclude: the pattern is empty; '*' matches every file");
}

static void the_command_line_chooses_the_view(void **state)
{
	python_write(test_path("cli.seep"));
	/* hidden in text and folded stacks, recorded in JSON */
	assert_reports("", "py  Table.append_row", "_PyEval_EvalFrameDefault");
	assert_reports("--native", "c   _PyEval_EvalFrameDefault", NULL);
	assert_reports("--python", "py  SSLSocket._create", "SSL_new");
	assert_reports("--format folded", ";SSL_new;CRYPTO_zalloc 540630\n", "list_resize");
	assert_reports("--format folded --native", ";list_resize 6526230\n", NULL);
	assert_reports("--format folded --python", "ssl.py:1069) 540630\n", "SSL_new");
	assert_reports("--format json", "\"_PyEval_EvalFrameDefault\"", "\"pids\"");
	assert_reports("--format json --python", "\"[native] libpython3.14.so.1.0\"",
		       "_PyEval_EvalFrameDefault");
	assert_reports("--format json --merge-processes", "\"pid\":null,\"pids\":[811,821]",
		       "\"pids\":[]");
	assert_reports("--merge-processes", ", python, 2 processes\n", ", pid 821\n");
	/* tracemalloc's words, in its order unless another one is asked for */
	assert_reports("--by line",
		       "\n\n/srv/app.py:42: size=6779 KiB (+6779 KiB), count=7080 (+7080), "
		       "average=980 B, pid=811\n",
		       "growth ");
	assert_reports("--by file -n 1", "/srv/app.py:0: size=6807 KiB", "ssl.py");
	assert_reports("--by file -n 1", "\nand 7 more, +4.1 MiB in all (-n shows more)\n", NULL);
	assert_reports("--by line -n 8", "/srv/cache.py:5", "Py_InitializeFromConfig");
	assert_reports("--by line -n 8 --sort live", "Py_InitializeFromConfig", "/srv/cache.py:5");
	assert_reports("--by line --sort growth",
		       "(+0 B), count=19 (+0), average=4099 B, pid=811\n/srv/cache.py:5", NULL);
	assert_reports("--traceback 1 --merge-processes",
		       "\n\n/srv/app.py:42: size=9918 KiB (+9918 KiB), count=10200 (+10200), "
		       "average=996 B, processes=2\n  File \"/srv/app.py\", line 42, in "
		       "Table.append_row\n\n",
		       "runners.py");
	assert_reports("--by line --native",
		       "list_resize (libpython3.14.so.1.0+0x1009): size=", "app.py:42");
	assert_reports("--by line --format json", "\"line\":42", "size=");
}

/* Stacks of two functions of Python and one of C, which they share, with names of all lengths. */
static void names_write(const char *path, uint64_t seed)
{
	struct recording *recording = test_create(path, &test_meta);
	char name[96], file[128];

	put_worker(recording, 0, 811);
	for (uint32_t i = 0; i < 2; i++) {
		const struct profile_snapshot snapshot = {.time_ns = i * NS_PER_S};

		recording_put_snapshot(recording, i, &snapshot);
	}
	for (uint32_t i = 0; i < 12; i++) {
		uint32_t length = 1 + random_next(&seed) % 90, folder = random_next(&seed) % 100;
		struct profile_frame frame = {
		    .function = name, .file = file, .line = 97 + i, .python = true};

		memset(name, 'n', sizeof(name));
		name[length] = '\0';
		name[length / 2] = '.';
		memset(file, 'f', sizeof(file));
		file[folder + 1 + random_next(&seed) % 20] = '\0';
		file[folder] = '/';
		frame.python = i < 8;
		frame.file = i % 5 ? file : NULL;
		recording_put_frame(recording, i < 8 ? PYTHON(i, 1) : NATIVE(1, i), &frame, 1);
	}
	for (uint32_t i = 0; i < 19; i++) {
		const uint64_t frames[] = {NATIVE(1, 8 + random_next(&seed) % 4),
					   PYTHON(random_next(&seed) % 8, 1),
					   PYTHON(random_next(&seed) % 8, 1)};
		uint32_t from = random_next(&seed) % 2;

		recording_put_stack(recording, i, frames + from, 3 - from, false, 0);
		recording_put_site(recording, i, 0, i % CLASS_COUNT, i);
		put_point(recording, i, 1, 1 + i, 0, 1009, 0);
	}
	test_close(recording);
}

static void tables_fit_whatever_the_names_are(void **state)
{
	static const char *const words[] = {"", "--native", "--python", "--by function",
					    "--by module"};

	for (uint64_t seed = 1; seed <= 60; seed++) {
		_cleanup_free_ char *text = NULL;
		struct err err;

		names_write(test_path("cli.seep"), seed);
		assert_int_equal(report(words[seed % ARRAY_LEN(words)], &text, &err), EXIT_OK);
		for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
			if (utf8_columns(line) > TEXT_COLUMNS)
				fail_msg("%s", line);
			assert_true(line[strlen(line) - 1] != ' ');
		}
	}
}

static void the_command_line_filters(void **state)
{
	python_write(test_path("cli.seep"));
	assert_reports("--include */ssl.py",
		       "\nfiltered out: 11 sites of 10.1 MiB live, +9.9 MiB\n", "append_row");
	assert_reports("--exclude */app.py:42 --exclude *.so", "SSLSocket._create",
		       "Table.append_row");
	assert_reports("--include *libssl* --all-frames", "SSL_new", "walk");
	assert_reports("--include nothing", "\nno site passes the filter\n", NULL);
	assert_reports(
	    "--include */tree.py --format json",
	    "\"filtered\":{\"sites\":12,\"live_bytes\":11416814,\"growth_bytes\":", NULL);
	assert_reports("--format json", "\"sites\"", "\"filtered\"");
	/* the first lines are those of the whole */
	assert_reports("--include */tree.py", "worker (pid 821): RSS +12.0 MiB", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_interpreters_own_frames_are_hidden),
	    cmocka_unit_test(a_call_of_c_is_named_by_what_python_called),
	    cmocka_unit_test(what_looks_the_same_is_one_site),
	    cmocka_unit_test(workers_are_merged_with_their_pids),
	    cmocka_unit_test(several_functions_on_a_line_are_one_place),
	    cmocka_unit_test(every_view_has_the_same_totals),
	    cmocka_unit_test(lines_are_those_of_tracemalloc),
	    cmocka_unit_test(filters_are_those_of_tracemalloc),
	    cmocka_unit_test(patterns_are_told_from_lines),
	    cmocka_unit_test(options_that_do_not_go_together_are_refused),
	    cmocka_unit_test(the_command_line_chooses_the_view),
	    cmocka_unit_test(the_command_line_filters),
	    cmocka_unit_test(tables_fit_whatever_the_names_are),
	};

	return cmocka_run_group_tests(tests, NULL, test_folder_remove);
}
