/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_window.c - moments of a recording, and what was allocated since one and is alive: recordings
 * made of simulated blocks, of which the truth is known.
 */
#include <errno.h>
#include <math.h>

#include "unit/recordings.h"

#include "base/cleanup.h"
#include "profile/rank.h"
#include "profile/verdict.h"
#include "profile/window.h"
#include "unit/random.h"

/* ---- recordings with known truth ----------------------------------------------------------------
 */

#define SITES	  5
#define SNAPSHOTS 31
#define PER_STEP  7
#define BLOCKS	  (SNAPSHOTS * PER_STEP * SITES)

struct piece {
	uint32_t site, born, died; /* snapshots: between 'born' - 1 and 'born' */
	uint32_t age;
	double bytes;
};

struct story {
	uint32_t mark;	       /* snapshot */
	bool epoch_at_mark;
	bool nothing_older_dies; /* after the mark */
	struct prng prng;
	struct piece blocks[BLOCKS];
	size_t count;
	uint64_t epoch_start_ns[AGE_CLASSES];
	uint32_t age;
};

static void epoch_begin(struct story *story, uint32_t snapshot)
{
	story->epoch_start_ns[++story->age] = snapshot * NS_PER_S;
}

/* Epochs begin at 1, 2, 4, 8, 16 and, if so, at the mark. */
static void story_invent(struct story *story)
{
	memset(story->epoch_start_ns, 0xff, sizeof(story->epoch_start_ns));
	story->epoch_start_ns[0] = 0;
	for (uint32_t now = 1; now < SNAPSHOTS; now++) {
		for (uint32_t i = 0; i < SITES * PER_STEP; i++) {
			uint32_t life = 1 + random_below(&story->prng, 2 * SNAPSHOTS);
			struct piece block = {i % SITES, now, now + life, story->age,
					      1 + random_below(&story->prng, 4099)};

			if (story->nothing_older_dies && now <= story->mark)
				block.died = SNAPSHOTS;
			story->blocks[story->count++] = block;
		}
		if (!(now & (now - 1)) || (story->epoch_at_mark && now == story->mark))
			epoch_begin(story, now);
	}
}

static struct site_totals story_totals(const struct story *story, uint32_t site, uint32_t snapshot)
{
	struct site_totals totals = {0};

	for (size_t i = 0; i < story->count; i++) {
		const struct piece *block = &story->blocks[i];

		if (block->site != site || block->born > snapshot)
			continue;
		totals.alloc_bytes += block->bytes;
		totals.alloc_blocks += 1;
		totals.free_bytes += block->died <= snapshot ? block->bytes : 0;
		totals.free_blocks += block->died <= snapshot;
	}
	return totals;
}

static struct site_age story_age(const struct story *story, uint32_t site, uint32_t age)
{
	struct site_age sum = {0};

	for (size_t i = 0; i < story->count; i++) {
		const struct piece *block = &story->blocks[i];
		bool dead = block->died <= SNAPSHOTS - 1;

		if (block->site != site || block->age != age)
			continue;
		sum.alloc_bytes += block->bytes;
		sum.alloc_blocks += 1;
		sum.free_bytes += dead ? block->bytes : 0;
		sum.free_blocks += dead;
	}
	return sum;
}

static void story_write(const struct story *story, const char *path)
{
	struct recording *recording = test_create(path, &test_meta);
	const struct profile summary = {.duration_ns = (SNAPSHOTS - 1) * NS_PER_S};

	put_process(recording, 0, 811, "leaky");
	for (uint32_t i = 0; i < SNAPSHOTS; i++) {
		const struct profile_snapshot snapshot = {.time_ns = i * NS_PER_S,
							  .events = i * 1009,
							  .marked = i == story->mark};

		recording_put_snapshot(recording, i, &snapshot);
		recording_put_rss(recording, i, 0, (101ULL << 20) + i * 65537);
		for (uint32_t site = 0; site < SITES && i; site++) {
			struct site_point point = {i, story_totals(story, site, i)};

			recording_put_point(recording, site, &point);
		}
	}
	for (uint32_t site = 0; site < SITES; site++) {
		const uint64_t frame = NATIVE(1, 0x1000 + site);

		put_name(recording, frame, "remember", "src/leaky.c", 17 + site);
		recording_put_stack(recording, site, &frame, 1, false, 0);
		recording_put_site(recording, site, 0, CLASS_MALLOC, site);
		for (uint32_t age = 0; age <= story->age; age++) {
			struct site_age row = story_age(story, site, age);

			recording_put_age(recording, site, age, &row);
		}
	}
	for (uint32_t age = 0; age <= story->age; age++)
		recording_put_epoch(recording, age, story->epoch_start_ns[age]);
	recording_put_summary(recording, &summary);
	test_close(recording);
}

/* What was born after the mark, and what of it lives at a later snapshot. */
static struct site_totals story_since(const struct story *story, uint32_t site, uint32_t snapshot)
{
	struct story later = *story;

	later.count = 0;
	for (size_t i = 0; i < story->count; i++)
		if (story->blocks[i].born > story->mark)
			later.blocks[later.count++] = story->blocks[i];
	return story_totals(&later, site, snapshot);
}

static struct story *story_new(uint64_t seed, uint32_t mark, bool epoch_at_mark,
			       bool nothing_older_dies)
{
	struct story *story = calloc(1, sizeof(*story));

	story->prng.state = seed;
	story->mark = mark;
	story->epoch_at_mark = epoch_at_mark;
	story->nothing_older_dies = nothing_older_dies;
	story_invent(story);
	story_write(story, test_path("story.seep"));
	return story;
}

/* The site of 'profile' that is site 'site' of the story; NULL where it has none. */
static const struct profile_site *site_of(const struct profile *profile, uint32_t site)
{
	for (uint32_t i = 0; i < profile->site_count; i++)
		if (profile->frames[profile->sites[i].frames[0]].line == 17 + site)
			return &profile->sites[i];
	return NULL;
}

static void assert_totals(struct site_totals got, struct site_totals want)
{
	assert_true(got.alloc_bytes == want.alloc_bytes);
	assert_true(got.alloc_blocks == want.alloc_blocks);
	assert_true(got.free_bytes == want.free_bytes);
	assert_true(got.free_blocks == want.free_blocks);
}

/* ---- since --------------------------------------------------------------------------------------
 */

static void since_a_mark_is_exact_to_the_byte(void **state)
{
	for (uint32_t mark = 1; mark < SNAPSHOTS - 1; mark++) {
		_cleanup_free_ struct story *story = story_new(mark, mark, true, false);
		struct profile whole, since;
		double live = 0, blocks = 0;

		test_load(test_path("story.seep"), &whole);
		assert_int_equal(profile_since(&whole, "mark1", &since, NULL), 0);
		assert_true(since.since->exact);
		assert_int_equal(since.since->time_ns, mark * NS_PER_S);
		assert_int_equal(since.snapshot_count, SNAPSHOTS - mark);
		for (uint32_t site = 0; site < SITES; site++) {
			struct site_totals want = story_since(story, site, SNAPSHOTS - 1);
			struct site_totals got = profile_site_at(site_of(&since, site),
								 since.snapshot_count - 1);

			assert_totals(got, want);
			assert_true(live_bytes(profile_site_at(site_of(&since, site), 0)) == 0);
			live += live_bytes(want);
			blocks += live_blocks(want);
		}
		assert_true(since.since->live_bytes == live);
		assert_true(since.since->most_bytes == live);
		assert_true(since.since->live_blocks == blocks);
		profile_deinit(&since);
		profile_deinit(&whole);
	}
}

static void without_an_epoch_the_truth_is_within_the_bounds(void **state)
{
	bool loose = false;

	for (uint32_t mark = 1; mark < SNAPSHOTS - 1; mark++) {
		_cleanup_free_ struct story *story = story_new(mark, mark, false, false);
		struct profile whole, since;
		double truth = 0;

		test_load(test_path("story.seep"), &whole);
		assert_int_equal(profile_since(&whole, "mark1", &since, NULL), 0);
		for (uint32_t site = 0; site < SITES; site++)
			truth += live_bytes(story_since(story, site, SNAPSHOTS - 1));
		assert_true(since.since->live_bytes <= truth);
		assert_true(since.since->most_bytes >= truth);
		if (!(mark & (mark - 1))) /* an epoch began there by itself */
			assert_true(since.since->exact);
		else
			assert_false(since.since->exact);
		loose |= since.since->most_bytes > since.since->live_bytes;
		profile_deinit(&since);
		profile_deinit(&whole);
	}
	assert_true(loose);
}

/* Nothing older is freed: the totals alone tell everything, at every snapshot. */
static void the_curve_between_is_exact_while_nothing_older_is_freed(void **state)
{
	for (int epoch = 0; epoch < 2; epoch++) {
		_cleanup_free_ struct story *story = story_new(71, 11, epoch, true);
		struct profile whole, since;

		test_load(test_path("story.seep"), &whole);
		assert_int_equal(profile_since(&whole, "11s", &since, NULL), 0);
		for (uint32_t site = 0; site < SITES; site++)
			for (uint32_t i = 0; i < since.snapshot_count; i++) {
				struct site_totals want = story_since(story, site, 11 + i);
				struct site_totals got =
				    profile_site_at(site_of(&since, site), i);

				assert_true(fabs(got.alloc_bytes - want.alloc_bytes) < 0.001);
				assert_true(fabs(got.free_bytes - want.free_bytes) < 0.001);
			}
		profile_deinit(&since);
		profile_deinit(&whole);
	}
}

static void ages_and_times_are_counted_from_the_moment(void **state)
{
	_cleanup_free_ struct story *story = story_new(73, 11, true, false);
	struct profile whole, since;

	test_load(test_path("story.seep"), &whole);
	assert_int_equal(profile_since(&whole, "mark1", &since, NULL), 0);
	assert_int_equal(since.duration_ns, (SNAPSHOTS - 1 - 11) * NS_PER_S);
	assert_int_equal(since.epoch_start_ns[0], 0);
	assert_int_equal(since.epoch_start_ns[1], 5 * NS_PER_S); /* 16s */
	assert_int_equal(since.epoch_start_ns[2], UINT64_MAX);
	assert_int_equal(since.snapshots[0].mark, 1);
	assert_int_equal(since.snapshots[1].time_ns, NS_PER_S);
	assert_int_equal(since.snapshots[1].events, 1009);
	assert_int_equal(since.processes[0].rss_bytes[0], (101ULL << 20) + 11 * 65537);
	for (uint32_t site = 0; site < SITES; site++) {
		struct site_age want = story_age(story, site, 6); /* after 0, 1, 2, 4, 8, 11 */
		const struct site_age *got = &site_of(&since, site)->age[1];

		assert_true(got->alloc_bytes == want.alloc_bytes && want.alloc_bytes > 0);
		assert_true(got->free_blocks == want.free_blocks);
	}
	profile_deinit(&since);
	profile_deinit(&whole);
}

static void since_the_start_is_everything(void **state)
{
	_cleanup_free_ struct story *story = story_new(79, 11, true, false);
	struct profile whole, since;

	test_load(test_path("story.seep"), &whole);
	assert_int_equal(profile_since(&whole, "start", &since, NULL), 0);
	assert_true(since.since->exact);
	for (uint32_t site = 0; site < SITES; site++)
		assert_totals(profile_site_at(site_of(&since, site), SNAPSHOTS - 1),
			      story_totals(story, site, SNAPSHOTS - 1));
	profile_deinit(&since);
	assert_int_equal(profile_since(&whole, "end", &since, NULL), 0);
	assert_int_equal(since.site_count, 0);
	assert_int_equal(since.snapshot_count, 1);
	profile_deinit(&since);
	profile_deinit(&whole);
}

/* A recording of the third kind: neither marks nor epochs, points at odd places. */
static void any_recording_has_a_since(void **state)
{
	static const char *const moments[] = {"start", "1s", "29s", "30s", "end"};
	void (*const writers[])(const char *) = {python_write};
	struct profile whole, since;

	for (size_t w = 0; w < ARRAY_LEN(writers); w++)
		for (size_t i = 0; i < ARRAY_LEN(moments); i++) {
			const struct rank_options order = {.order = RANK_GROWTH};
			struct ranking ranking;
			struct verdict verdict;

			writers[w](test_path("any.seep"));
			test_load(test_path("any.seep"), &whole);
			assert_int_equal(profile_since(&whole, moments[i], &since, NULL), 0);
			assert_int_equal(ranking_build(&since, &order, &ranking, NULL), 0);
			assert_int_equal(verdict_build(&since, &ranking, &verdict, NULL), 0);
			for (size_t k = 0; k < ranking.count; k++) {
				assert_true(ranking.items[k].growth_bytes >= 0);
				assert_true(isfinite(ranking.items[k].slope));
			}
			assert_true(since.since->live_bytes <= since.since->alloc_bytes);
			verdict_free(&verdict);
			ranking_free(&ranking);
			profile_deinit(&since);
			profile_deinit(&whole);
		}
}

/* ---- moments ------------------------------------------------------------------------------------
 */

static void assert_moment(const struct profile *profile, const char *text, uint32_t snapshot)
{
	uint32_t found = UINT32_MAX;
	struct err err = {0};

	if (moment_find(profile, text, &found, &err))
		fail_msg("%s", err.text);
	assert_int_equal(found, snapshot);
}

static void assert_no_moment(const struct profile *profile, const char *text, const char *why)
{
	uint32_t found = 7;
	struct err err = {0};

	assert_int_equal(moment_find(profile, text, &found, &err), -EINVAL);
	if (!strstr(err.text, why) || strchr(err.text, '\n'))
		fail_msg("'%s' gives '%s'", text, err.text);
	assert_int_equal(found, 7);
}

static void moments_are_snapshots(void **state)
{
	_cleanup_free_ struct story *story = story_new(83, 11, true, false);
	struct profile profile, empty = {0};

	test_load(test_path("story.seep"), &profile);
	assert_moment(&profile, "start", 0);
	assert_moment(&profile, "end", SNAPSHOTS - 1);
	assert_moment(&profile, "mark1", 11);
	assert_moment(&profile, "mark01", 11);
	assert_moment(&profile, "0s", 0);
	assert_moment(&profile, "7s", 7);
	assert_moment(&profile, "7400ms", 7);
	assert_moment(&profile, "7600ms", 8);
	assert_moment(&profile, "30900ms", SNAPSHOTS - 1); /* of a recording of about 31s */
	assert_no_moment(&profile, "32s", "after the end of the recording (30s)");
	assert_no_moment(&profile, "mark2", "has 1 mark, from mark1 on");
	assert_no_moment(&profile, "mark0", "has 1 mark");
	assert_no_moment(&profile, "mark", "is not a mark");
	assert_no_moment(&profile, "mark-1", "is not a mark");
	assert_no_moment(&profile, "mark1x", "is not a mark");
	assert_no_moment(&profile, "mark99999999999999999999", "is not a mark");
	assert_no_moment(&profile, "", "is not a moment");
	assert_no_moment(&profile, "-5s", "is not a moment");
	assert_no_moment(&profile, "noon", "is not a moment");
	assert_no_moment(&empty, "end", "has no snapshots");
	profile_deinit(&profile);
	python_write(test_path("unmarked.seep"));
	test_load(test_path("unmarked.seep"), &profile);
	assert_no_moment(&profile, "mark1", "has no marks");
	profile_deinit(&profile);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(since_a_mark_is_exact_to_the_byte),
	    cmocka_unit_test(without_an_epoch_the_truth_is_within_the_bounds),
	    cmocka_unit_test(the_curve_between_is_exact_while_nothing_older_is_freed),
	    cmocka_unit_test(ages_and_times_are_counted_from_the_moment),
	    cmocka_unit_test(since_the_start_is_everything),
	    cmocka_unit_test(any_recording_has_a_since),
	    cmocka_unit_test(moments_are_snapshots),
	};

	return cmocka_run_group_tests(tests, NULL, test_folder_remove);
}
