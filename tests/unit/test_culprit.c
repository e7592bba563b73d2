/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_culprit.c - which frames are named for a leak of many sites, of profiles drawn as trees.
 */
#include "unit/recordings.h"

#include "base/cleanup.h"
#include "profile/culprit.h"
#include "profile/group.h"
#include "profile/rank.h"

#define SNAPSHOTS 31

/* Stacks as "main handle:7 Thread.__init__:880", root first; ":LINE" is optional, '@' stands for
 * Python's threading.py, '%' for a thread.py of the program. Frames of the same word are one. Each
 * site grows by 'blocks' of 'block_bytes' in each snapshot. */
struct drawing {
	struct profile profile;
	struct profile_process processes[2];
	struct profile_snapshot snapshots[SNAPSHOTS];
	struct profile_frame frames[256];
	struct profile_site sites[64];
	struct site_point points[64][SNAPSHOTS];
	uint32_t indices[64][32];
	char texts[256][48];
	struct ranking ranking;
	struct culprits culprits;
};

static struct drawing *drawing_new(void)
{
	struct drawing *drawing = calloc(1, sizeof(*drawing));
	static uint64_t rss[SNAPSHOTS];

	drawing->profile = (struct profile){.processes = drawing->processes,
					    .process_count = 2,
					    .snapshots = drawing->snapshots,
					    .snapshot_count = SNAPSHOTS,
					    .frames = drawing->frames,
					    .sites = drawing->sites,
					    .sample_bytes = 1,
					    .duration_ns = 60 * NS_PER_S,
					    .interval_ns = 2 * NS_PER_S,
					    .complete = true};
	for (uint32_t i = 0; i < SNAPSHOTS; i++)
		drawing->snapshots[i].time_ns = i * 2 * NS_PER_S;
	for (uint32_t i = 0; i < 2; i++)
		drawing->processes[i] = (struct profile_process){
		    .pid = 811 + i, .end_ns = 60 * NS_PER_S, .rss_bytes = rss};
	memset(drawing->profile.epoch_start_ns, 0xff, sizeof(drawing->profile.epoch_start_ns));
	return drawing;
}

static void drawing_free(struct drawing *drawing)
{
	culprits_free(&drawing->culprits);
	ranking_free(&drawing->ranking);
	free(drawing);
}

static uint32_t frame_named(struct drawing *drawing, const char *word)
{
	struct profile *profile = &drawing->profile;
	const char *colon = strchr(word, ':');
	struct profile_frame frame = {.file = "app.py", .python = true};

	frame.function = drawing->texts[profile->frame_count];
	frame.line = colon ? atoi(colon + 1) : 0;
	if (strchr(word, '@'))
		frame.file = "/usr/lib/python3.7/threading.py";
	if (strchr(word, '%'))
		frame.file = "/srv/app/thread.py";
	snprintf(drawing->texts[profile->frame_count], 48, "%.*s", (int)strcspn(word, "@%:"), word);
	for (uint32_t i = 0; i < profile->frame_count; i++)
		if (!strcmp(drawing->frames[i].function, frame.function) &&
		    drawing->frames[i].line == frame.line)
			return i;
	drawing->frames[profile->frame_count] = frame;
	return profile->frame_count++;
}

static struct profile_site *site_draw(struct drawing *drawing, const char *stack, double blocks,
				      double block_bytes)
{
	uint32_t index = drawing->profile.site_count++, depth = 0;
	struct profile_site *site = &drawing->sites[index];
	_cleanup_free_ char *copy = strdup(stack);
	uint32_t root_first[32];

	for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
		root_first[depth++] = frame_named(drawing, word);
	for (uint32_t i = 0; i < depth; i++)
		drawing->indices[index][i] = root_first[depth - 1 - i];
	for (uint32_t i = 0; i < SNAPSHOTS; i++)
		drawing->points[index][i] = (struct site_point){
		    i, {.alloc_bytes = i * blocks * block_bytes, .alloc_blocks = i * blocks}};
	*site = (struct profile_site){.frames = drawing->indices[index],
				      .frame_count = depth,
				      .points = drawing->points[index],
				      .point_count = SNAPSHOTS};
	return site;
}

static void culprits_draw(struct drawing *drawing)
{
	const struct rank_options options = {.order = RANK_GROWTH};

	assert_int_equal(ranking_build(&drawing->profile, &options, &drawing->ranking, NULL), 0);
	assert_int_equal(
	    culprits_find(&drawing->profile, &drawing->ranking, &drawing->culprits, NULL), 0);
}

static void assert_culprit(const struct drawing *drawing, size_t index, const char *word,
			   uint32_t sites, int percent)
{
	const struct culprit *culprit = &drawing->culprits.items[index];
	const struct profile_frame *frame;
	char found[64];

	assert_true(index < drawing->culprits.count);
	frame = &drawing->frames[culprit_frame(culprit)];
	snprintf(found, sizeof(found), frame->line ? "%s:%u" : "%s", frame->function, frame->line);
	assert_string_equal(found, word);
	assert_int_equal(culprit->site_count, sites);
	assert_int_equal((int)(100 * culprit->share + 0.5), percent);
}

/* ---- which frame ------------------------------------------------------------------------------
 */

/* As of story_threads.py: what a Thread is made of, in the constructor and what it calls. */
static void threads_draw(struct drawing *drawing, const char *above, double blocks)
{
	static const struct {
		const char *below;
		double times, block_bytes;
	} parts[] = {
	    {"", 1, 61},
	    {"Thread.__init__:869", 1, 233},
	    {"Thread.__init__:873 _newname:821", 1, 59},
	    {"Thread.__init__:882 Event.__init__:563", 1, 53},
	    {"Thread.__init__:882 Event.__init__:563 Condition.__init__:234", 2, 241},
	    {"Thread.__init__:882 Event.__init__:563 Condition.__init__:241", 1, 47},
	    {"Thread.__init__:882 Event.__init__:563 Condition.__init__:255", 2, 311},
	    {"Thread.__init__:889 WeakSet.add:89", 1, 73},
	    {"Thread.__init__:903 _make_invoke_excepthook:1333", 5, 59},
	    {"Thread.start:957", 3, 41},
	};

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		char stack[256];

		snprintf(stack, sizeof(stack), "%s %s", above, parts[i].below);
		site_draw(drawing, stack, parts[i].times * blocks, parts[i].block_bytes);
	}
}

static void the_line_that_makes_threads_is_named(void **state)
{
	struct drawing *drawing = drawing_new();

	threads_draw(drawing, "<module>:97 serve:31 accept_loop:12 process_request:658", 13);
	site_draw(drawing, "<module>:97 serve:31 log:3", 7, 701);
	culprits_draw(drawing);
	assert_int_equal(drawing->culprits.count, 2);
	/* 13 * (61 + 233 + 59 + 53 + 2 * 241 + 47 + 2 * 311 + 73 + 5 * 59 + 3 * 41) = 26624,
	 * of that and 7 * 701 */
	assert_culprit(drawing, 0, "process_request:658", 10, 84);
	assert_culprit(drawing, 1, "log:3", 1, 16);
	drawing_free(drawing);
}

static void what_is_scattered_has_no_culprit(void **state)
{
	struct drawing *drawing = drawing_new();

	for (int i = 0; i < 17; i++) {
		char stack[64];

		snprintf(stack, sizeof(stack), "main:3 loop%d:5 leak%d:7", i, i);
		site_draw(drawing, stack, 11 + 6 * i, 1009.0 / (11 + 6 * i));
	}
	culprits_draw(drawing);
	assert_int_equal(drawing->culprits.count, 0);
	drawing_free(drawing);
}

/* What is said of the group "[elsewhere]". */
static void assert_elsewhere(const struct drawing *drawing, const char *verdict, double growth_bytes)
{
	const struct group_options by = {.by = GROUP_CULPRIT};
	const struct rank_options order = {.order = RANK_GROWTH};
	struct profile grouped;
	struct ranking ranking;
	int found = 0;

	assert_int_equal(profile_group(&drawing->profile, &by, &grouped, NULL), 0);
	assert_int_equal(ranking_build(&grouped, &order, &ranking, NULL), 0);
	for (size_t i = 0; i < ranking.count; i++) {
		const struct ranked_site *ranked = &ranking.items[i];

		if (strcmp(grouped.frames[ranked->site->frames[0]].function, "[elsewhere]") != 0)
			continue;
		found++;
		assert_string_equal(site_verdict_name(ranked->verdict), verdict);
		assert_true(ranked->growth_bytes == growth_bytes);
	}
	assert_int_equal(found, 1);
	ranking_free(&ranking);
	profile_deinit(&grouped);
}

/* One block of 7919 bytes each, every 2 s another one: none of them leaks. */
static void buffers_draw(struct drawing *drawing, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		char stack[64];

		snprintf(stack, sizeof(stack), "main:3 start%u:5", i);
		site_draw(drawing, stack, 0, 7919);
		for (unsigned int k = i + 1; k < SNAPSHOTS; k++)
			drawing->points[drawing->profile.site_count - 1][k].totals =
			    (struct site_totals){.alloc_bytes = 7919, .alloc_blocks = 1};
	}
}

static void what_is_elsewhere_leaks_only_if_one_of_it_does(void **state)
{
	struct drawing *drawing = drawing_new();

	buffers_draw(drawing, 30);
	site_draw(drawing, "main:3 request:7 session:11", 101, 1031);
	assert_elsewhere(drawing, "plateau", 30 * 7919);
	site_draw(drawing, "main:3 log:13", 1, 127); /* too little for a culprit */
	assert_elsewhere(drawing, "leak", 30 * 7919 + 30 * 127);
	drawing_free(drawing);
}

static void two_leaks_of_one_size_are_two(void **state)
{
	struct drawing *drawing = drawing_new();

	site_draw(drawing, "main:3 dispatch:5 first:7 grow:11", 101, 1031);
	site_draw(drawing, "main:3 dispatch:5 first:7 keep:13", 101, 499);
	site_draw(drawing, "main:3 dispatch:5 second:17 grow:11", 1031, 101);
	site_draw(drawing, "main:3 dispatch:5 second:17 keep:19", 1031, 47);
	culprits_draw(drawing);
	assert_int_equal(drawing->culprits.count, 2);
	assert_culprit(drawing, 0, "first:7", 2, 50);
	assert_culprit(drawing, 1, "second:17", 2, 50);
	drawing_free(drawing);
}

static void one_site_is_named_by_its_line(void **state)
{
	struct drawing *drawing = drawing_new();

	site_draw(drawing, "main:3 loop:5 leak:7", 101, 1031);
	culprits_draw(drawing);
	assert_int_equal(drawing->culprits.count, 1);
	assert_culprit(drawing, 0, "leak:7", 1, 100);
	drawing_free(drawing);
}

static void the_same_stack_of_two_processes_is_one_site(void **state)
{
	struct drawing *drawing = drawing_new();

	site_draw(drawing, "main:3 loop:5 leak:7", 101, 1031);
	site_draw(drawing, "main:3 loop:5 leak:7", 13, 1031)->process = 1;
	culprits_draw(drawing);
	assert_int_equal(drawing->culprits.count, 1);
	assert_culprit(drawing, 0, "leak:7", 1, 100);
	drawing_free(drawing);
}

static void recursion_counts_once(void **state)
{
	struct drawing *drawing = drawing_new();

	for (int depth = 0; depth < 20; depth++) {
		char stack[256] = "main:3 parse:5";

		for (int i = 0; i < depth; i++)
			strcat(stack, i % 2 ? " visit:23" : " walk:29");
		strcat(stack, " walk:29 visit:23 keep:31");
		site_draw(drawing, stack, 7, 1009 + depth);
	}
	site_draw(drawing, "main:3 other:41", 13, 1511);
	culprits_draw(drawing);
	assert_int_equal(drawing->culprits.count, 1);
	assert_int_equal((int)(100 * drawing->culprits.items[0].share + 0.5), 88);
	assert_string_equal(
	    drawing->frames[culprit_frame(&drawing->culprits.items[0])].function, "keep");
	for (uint32_t i = 0; i < 20; i++)
		assert_ptr_equal(culprit_of(&drawing->culprits, &drawing->sites[i]),
				 &drawing->culprits.items[0]);
	assert_null(culprit_of(&drawing->culprits, &drawing->sites[20]));
	drawing_free(drawing);
}

static void what_does_not_go_on_is_not_counted(void **state)
{
	struct drawing *drawing = drawing_new();
	struct profile_site *cache;

	site_draw(drawing, "main:3 loop:5 leak:7", 101, 1031);
	cache = site_draw(drawing, "main:3 cache:11 fill:13", 4001, 1009);
	cache->point_count = 4; /* full after six seconds */
	culprits_draw(drawing);
	assert_int_equal(drawing->culprits.count, 1);
	assert_culprit(drawing, 0, "leak:7", 1, 100);
	drawing_free(drawing);
}

static void a_large_part_of_a_branch_is_followed(void **state)
{
	struct drawing *drawing = drawing_new();

	/* 70 % through work, the rest in small pieces */
	site_draw(drawing, "main:3 dispatch:5 work:7 a:11", 101, 1031);
	site_draw(drawing, "main:3 dispatch:5 work:7 b:13", 1031, 71);
	for (int i = 0; i < 7; i++) {
		char stack[64];

		snprintf(stack, sizeof(stack), "main:3 dispatch:5 small%d:1", i);
		site_draw(drawing, stack, 17 + 12 * i, 10007.0 / (17 + 12 * i));
	}
	culprits_draw(drawing);
	assert_int_equal(drawing->culprits.count, 2);
	assert_culprit(drawing, 0, "a:11", 1, 42);
	assert_culprit(drawing, 1, "b:13", 1, 30);
	drawing_free(drawing);
}

static void what_only_runs_others_is_not_named(void **state)
{
	struct drawing *drawing = drawing_new();

	/* in step, but all that they have in common is the thread */
	site_draw(drawing, "_bootstrap@:890 run@:870 read:7", 101, 1031);
	site_draw(drawing, "_bootstrap@:890 run@:870 write:13", 101, 1009);
	culprits_draw(drawing);
	assert_int_equal(drawing->culprits.count, 2);
	assert_culprit(drawing, 0, "read:7", 1, 51);
	assert_culprit(drawing, 1, "write:13", 1, 49);
	drawing_free(drawing);
}

static void a_function_of_that_name_is_named(void **state)
{
	struct drawing *drawing = drawing_new();

	site_draw(drawing, "_bootstrap@:890 run:870 read:7", 101, 1031);
	site_draw(drawing, "_bootstrap@:890 run:870 write:13", 101, 1009);
	culprits_draw(drawing);
	assert_int_equal(drawing->culprits.count, 1);
	assert_culprit(drawing, 0, "run:870", 2, 100);
	drawing_free(drawing);
}

/* Python's own thread.py is that of concurrent.futures. */
static void a_file_of_that_name_is_the_programs_own(void **state)
{
	struct drawing *drawing = drawing_new();

	site_draw(drawing, "main:3 run%:57 read:7", 101, 1031);
	site_draw(drawing, "main:3 run%:57 write:13", 101, 1009);
	culprits_draw(drawing);
	assert_int_equal(drawing->culprits.count, 1);
	assert_culprit(drawing, 0, "run:57", 2, 100);
	drawing_free(drawing);
}

static void no_sites_no_culprits(void **state)
{
	struct drawing *drawing = drawing_new();

	culprits_draw(drawing);
	assert_int_equal(drawing->culprits.count, 0);
	drawing_free(drawing);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_line_that_makes_threads_is_named),
	    cmocka_unit_test(what_is_scattered_has_no_culprit),
	    cmocka_unit_test(what_is_elsewhere_leaks_only_if_one_of_it_does),
	    cmocka_unit_test(two_leaks_of_one_size_are_two),
	    cmocka_unit_test(one_site_is_named_by_its_line),
	    cmocka_unit_test(the_same_stack_of_two_processes_is_one_site),
	    cmocka_unit_test(recursion_counts_once),
	    cmocka_unit_test(what_does_not_go_on_is_not_counted),
	    cmocka_unit_test(a_large_part_of_a_branch_is_followed),
	    cmocka_unit_test(what_only_runs_others_is_not_named),
	    cmocka_unit_test(a_function_of_that_name_is_named),
	    cmocka_unit_test(a_file_of_that_name_is_the_programs_own),
	    cmocka_unit_test(no_sites_no_culprits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
