/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fuzz_recording.c - the reader of recordings, the ranking and every exporter on arbitrary bytes.
 *
 * The bytes are the file. It includes the reader, so that SQLite can take them from memory; seeds:
 * any .seep file.
 */
#include "../../src/store/recording_read.c"

#include "export/folded.h"
#include "export/json.h"
#include "export/text.h"
#include "profile/group.h"
#include "profile/rank.h"
#include "profile/verdict.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void exports_run(const struct profile *whole, const struct profile *shown)
{
	const struct rank_options options = {.order = RANK_GROWTH};
	const struct text_options text = {.color = true, .stacks = 5};
	struct ranking ranking = {0}, all = {0};
	struct export_input input = {shown, &ranking, SIZE_MAX};
	struct verdict verdict = {0};
	FILE *out = fopen("/dev/null", "w");

	if (!out || ranking_build(whole, &options, &all, NULL) ||
	    ranking_build(shown, &options, &ranking, NULL) ||
	    verdict_build(whole, &all, &verdict, NULL))
		abort();
	if (export_text(out, &input, &verdict, &text) || export_json(out, &input, whole) ||
	    export_folded(out, &input, FOLDED_ALLOC))
		abort();
	fclose(out);
	verdict_free(&verdict);
	ranking_free(&ranking);
	ranking_free(&all);
}

static void profile_use(const struct profile *profile)
{
	struct profile grouped;

	exports_run(profile, profile);
	for (enum group_by by = GROUP_FUNCTION; by <= GROUP_MODULE; by++) {
		if (profile_group(profile, by, &grouped, NULL))
			abort();
		exports_run(profile, &grouped);
		profile_deinit(&grouped);
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
	profile_deinit(&profile);
	return 0;
}
