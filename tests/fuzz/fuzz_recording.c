/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fuzz_recording.c - the reader of recordings, the ranking and every exporter on arbitrary bytes.
 *
 * The bytes are the file. It includes the reader, so that SQLite can take them from memory; seeds:
 * any .seep file.
 */
#include "../../src/store/recording_read.c"

#include "export/dhat.h"
#include "export/folded.h"
#include "export/json.h"
#include "export/openmetrics.h"
#include "export/pprof.h"
#include "export/speedscope.h"
#include "export/text.h"
#include "export/tracemalloc.h"
#include "profile/diff.h"
#include "profile/filter.h"
#include "profile/group.h"
#include "profile/rank.h"
#include "profile/verdict.h"
#include "profile/view.h"
#include "profile/window.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void exports_run(const struct profile *whole, const struct profile *shown)
{
	const struct rank_options options = {.order = RANK_GROWTH};
	const struct text_options text = {.color = true, .stacks = 5};
	const struct text_options lines = {.lines = TEXT_TRACEBACKS};
	struct ranking ranking = {0}, all = {0};
	struct export_input input = {.profile = shown,
				     .ranking = &ranking,
				     .limit = SIZE_MAX,
				     .whole = whole,
				     .differential = whole->diff != NULL};
	struct verdict verdict = {0};
	FILE *out = fopen("/dev/null", "w");

	if (!out || ranking_build(whole, &options, &all, NULL) ||
	    ranking_build(shown, &options, &ranking, NULL) ||
	    verdict_build(whole, &all, &verdict, NULL))
		abort();
	if (export_text(out, &input, &verdict, &text) || export_json(out, &input) ||
	    export_folded(out, &input, FOLDED_ALLOC))
		abort();
	if (export_pprof(out, &input) || export_speedscope(out, &input) ||
	    export_dhat(out, &input) || export_openmetrics(out, &input) ||
	    export_folded(out, &input, FOLDED_DIFF))
		abort();
	tracemalloc_sort(shown, &ranking);
	if (export_text(out, &input, &verdict, &lines))
		abort();
	fclose(out);
	verdict_free(&verdict);
	ranking_free(&ranking);
	ranking_free(&all);
}

static void groups_run(const struct profile *whole, const struct profile *view, bool native)
{
	struct profile grouped;

	exports_run(whole, view);
	for (enum group_by by = GROUP_FUNCTION; by < GROUP_COUNT; by++) {
		const struct group_options options = {by, 3, native};

		if (profile_group(view, &options, &grouped, NULL))
			abort();
		exports_run(whole, &grouped);
		profile_deinit(&grouped);
	}
}

static void profile_use(const struct profile *profile)
{
	struct file_pattern pattern = {.text = (char *)"*.c"};
	const struct site_filter filter = {.exclude = {&pattern, 1, 1}, .all_frames = true};
	struct view_rest rest;
	struct profile view;

	groups_run(profile, profile, true);
	for (enum view_frames frames = VIEW_PLAIN; frames <= VIEW_ALL; frames++) {
		const struct view_options options = {frames, frames != VIEW_PLAIN,
						     frames == VIEW_PYTHON ? &filter : NULL};

		if (profile_view(profile, &options, &view, &rest, NULL))
			abort();
		groups_run(profile, &view, false);
		profile_deinit(&view);
	}
}

/* As seep diff and report --since do. */
static void moments_use(const struct profile *profile)
{
	const struct diff_side start = {.profile = profile, .path = "a", .name = "start"};
	struct diff_side end = {.profile = profile, .path = "b", .name = "end"};
	static const char *const moments[] = {"start", "mark1", "1s", "end"};
	struct profile made;

	if (profile->snapshot_count)
		end.snapshot = profile->snapshot_count - 1;
	if (profile_diff(&start, &end, &made, NULL))
		abort();
	exports_run(&made, &made);
	profile_deinit(&made);
	for (size_t i = 0; i < ARRAY_LEN(moments); i++) {
		if (profile_since(profile, moments[i], &made, NULL))
			continue;
		exports_run(&made, &made);
		profile_deinit(&made);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(database_close_ptr) sqlite3 *db = NULL;
	unsigned char *copy = NULL;
	struct profile profile;
	struct err err = {0};

	if (size < HEADER_BYTES || header_check(data, "fuzz", &err))
		return 0;
	if (sqlite3_open(":memory:", &db) || !(copy = sqlite3_malloc64(size)))
		return 0;
	memcpy(copy, data, size);
	if (sqlite3_deserialize(db, "main", copy, size, size,
				SQLITE_DESERIALIZE_FREEONCLOSE | SQLITE_DESERIALIZE_READONLY))
		return 0;
	if (database_guard(db) || rows_read(db, size, "fuzz", &profile, &err))
		return 0;
	profile_use(&profile);
	moments_use(&profile);
	profile_deinit(&profile);
	return 0;
}
