/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_diff.c - what differs between two moments: sites matched by what a person reads of them, by
 * processes that are the same, and sums that lose nothing; and how it looks.
 */
#include <math.h>

#include "unit/recordings.h"

#include "base/cleanup.h"
#include "export/folded.h"
#include "export/json.h"
#include "export/text.h"
#include "export/tracemalloc.h"
#include "profile/culprit.h"
#include "profile/diff.h"
#include "profile/group.h"
#include "profile/rank.h"
#include "profile/verdict.h"
#include "profile/view.h"
#include "profile/window.h"
#include "unit/golden.h"
#include "unit/random.h"

/* ---- a service that is restarted ----------------------------------------------------------------
 */

struct service_site {
	const char *function, *file; /* file NULL: named by its library alone */
	uint32_t line;
	uint32_t alloc_class;
	double blocks, freed, bytes;
};

struct service {
	const char *path, *host, *module;
	pid_t pid;
	uint64_t start_unix_ns, start_time_ns, sample_bytes;
	uint32_t binary; /* id and offset of its code: another one after each start */
	uint64_t offset;
	uint32_t seconds; /* snapshots, one a second; sums grow evenly */
	uint64_t rss_step;
	const struct service_site *sites;
	uint32_t site_count;
};

static void service_frames(struct recording *recording, const struct service *service, uint32_t i)
{
	const struct service_site *site = &service->sites[i];
	const uint64_t frames[] = {NATIVE(service->binary, service->offset + 0x1000 + 16 * i),
				   NATIVE(service->binary, service->offset + 0x77)};
	const struct profile_frame leaf = {.function = site->function,
					   .file = site->file,
					   .line = site->line,
					   .module = service->module,
					   .offset = service->offset + 0x1000 + 16 * i};
	const struct profile_frame root = {.function = "main",
					   .file = "src/service.c",
					   .line = 97,
					   .module = service->module,
					   .offset = service->offset + 0x77};

	recording_put_frame(recording, frames[0], &leaf, 1);
	recording_put_frame(recording, frames[1], &root, 1);
	recording_put_stack(recording, i, frames, 2, false, 0);
	recording_put_site(recording, i, 0, site->alloc_class, i);
}

static void service_write(const struct service *service)
{
	struct recording_meta meta = test_meta;
	struct profile_process process = {.pid = service->pid,
					  .start_time_ns = service->start_time_ns,
					  .comm = "service",
					  .exe = "/srv/bin/service"};
	struct recording *recording;
	struct profile summary = {.duration_ns = service->seconds * NS_PER_S};

	meta.host = service->host ? service->host : "alder";
	meta.start_unix_ns = service->start_unix_ns;
	meta.sample_bytes = service->sample_bytes ? service->sample_bytes : 1;
	recording = test_create(service->path, &meta);
	recording_put_process(recording, 0, &process);
	for (uint32_t i = 0; i < service->site_count; i++)
		service_frames(recording, service, i);
	for (uint32_t now = 0; now <= service->seconds; now++) {
		const struct profile_snapshot snapshot = {.time_ns = now * NS_PER_S};

		recording_put_snapshot(recording, now, &snapshot);
		recording_put_rss(recording, now, 0, (11ULL << 20) + now * service->rss_step);
		for (uint32_t i = 0; i < service->site_count && now; i++)
			put_point(recording, i, now,
				  service->sites[i].blocks * now / service->seconds,
				  service->sites[i].freed * now / service->seconds,
				  service->sites[i].bytes,
				  meta.sample_bytes > 1 ? 1e6 * now : 0);
	}
	recording_put_summary(recording, &summary);
	test_close(recording);
}

static const struct service_site sites_before[] = {
    {"session_create", "src/session.c", 41, CLASS_MALLOC, 1009, 0, 211},
    {"page_render", "src/page.c", 17, CLASS_MALLOC, 503, 101, 61},
    {"log_rotate", "src/log.c", 7, CLASS_MALLOC, 31, 0, 127},
    {"zlib_init", NULL, 0, CLASS_MALLOC, 3, 0, 7919},
    {"arena_map", "src/arena.c", 5, CLASS_MMAP, 2, 0, 65537},
};
static const struct service_site sites_after[] = {
    {"cache_fill", "src/cache.c", 61, CLASS_MALLOC, 71, 0, 997},
    {"zlib_init", NULL, 0, CLASS_MALLOC, 3, 0, 7919},
    {"page_render", "src/page.c", 17, CLASS_MALLOC, 499, 401, 61},
    {"session_create", "src/session.c", 41, CLASS_MALLOC, 4001, 0, 211},
    {"arena_map", "src/arena.c", 5, CLASS_MALLOC, 2, 0, 65537}, /* of another class */
};

static struct service service_before(void)
{
	return (struct service){.path = test_path("before.seep"),
				.module = "/usr/lib/libservice.so.1",
				.pid = 811,
				.start_unix_ns = 1700000000000000000ULL,
				.start_time_ns = 7919,
				.binary = 3,
				.offset = 0x40000,
				.seconds = 10,
				.rss_step = 4096,
				.sites = sites_before,
				.site_count = ARRAY_LEN(sites_before)};
}

static struct service service_after(void)
{
	return (struct service){.path = test_path("after.seep"),
				.host = "birch",
				.module = "/opt/service/lib/libservice.so.1",
				.pid = 1031,
				.start_unix_ns = 1700000500000000000ULL,
				.start_time_ns = 104729,
				.binary = 8,
				.offset = 0x7a0000,
				.seconds = 10,
				.rss_step = 77824,
				.sites = sites_after,
				.site_count = ARRAY_LEN(sites_after)};
}

/* Both recordings, the difference and its ranking. */
struct pair {
	struct profile a, b, diff;
	struct ranking ranking;
};

static void pair_diff(struct pair *pair, const char *from, const char *to)
{
	const struct rank_options order = {.order = RANK_GROWTH};
	struct diff_side a = {.profile = &pair->a, .path = "before.seep", .name = from};
	struct diff_side b = {.profile = &pair->b, .path = "after.seep", .name = to};

	assert_int_equal(moment_find(&pair->a, from, &a.snapshot, NULL), 0);
	assert_int_equal(moment_find(&pair->b, to, &b.snapshot, NULL), 0);
	assert_int_equal(profile_diff(&a, &b, &pair->diff, NULL), 0);
	assert_int_equal(ranking_build(&pair->diff, &order, &pair->ranking, NULL), 0);
}

static void pair_load(struct pair *pair, const struct service *before, const struct service *after)
{
	service_write(before);
	service_write(after);
	test_load(before->path, &pair->a);
	test_load(after->path, &pair->b);
	pair_diff(pair, "end", "end");
}

static void pair_free(struct pair *pair)
{
	ranking_free(&pair->ranking);
	profile_deinit(&pair->diff);
	profile_deinit(&pair->b);
	profile_deinit(&pair->a);
}

static const struct ranked_site *find(const struct pair *pair, const char *function,
				      uint32_t alloc_class)
{
	const struct ranked_site *found = NULL;

	for (size_t i = 0; i < pair->ranking.count; i++) {
		const struct ranked_site *ranked = &pair->ranking.items[i];

		if (strcmp(pair->diff.frames[ranked->site->frames[0]].function, function) ||
		    ranked->site->alloc_class != alloc_class)
			continue;
		assert_null(found);
		found = ranked;
	}
	assert_non_null(found);
	return found;
}

static void assert_change(const struct pair *pair, const char *function, uint32_t alloc_class,
			  enum site_change change, double growth_bytes, double live_blocks_now)
{
	const struct ranked_site *ranked = find(pair, function, alloc_class);

	assert_string_equal(site_change_name(site_change(ranked)), site_change_name(change));
	assert_true(ranked->growth_bytes == growth_bytes);
	assert_true(live_blocks(ranked->end) == live_blocks_now);
}

static void a_restarted_service_is_matched_by_its_frames(void **state)
{
	const struct service before = service_before(), after = service_after();
	struct pair pair;

	pair_load(&pair, &before, &after);
	assert_int_equal(pair.diff.process_count, 1);
	assert_int_equal(pair.diff.processes[0].pid, 1031);
	assert_int_equal(pair.diff.site_count, 7);
	assert_change(&pair, "session_create", CLASS_MALLOC, CHANGE_GROWN, (4001 - 1009) * 211.0,
		      4001);
	assert_change(&pair, "page_render", CLASS_MALLOC, CHANGE_SHRUNK, (98 - 402) * 61.0, 98);
	assert_change(&pair, "log_rotate", CLASS_MALLOC, CHANGE_GONE, -31 * 127.0, 0);
	assert_change(&pair, "cache_fill", CLASS_MALLOC, CHANGE_NEW, 71 * 997.0, 71);
	assert_change(&pair, "zlib_init", CLASS_MALLOC, CHANGE_SAME, 0, 3);
	assert_change(&pair, "arena_map", CLASS_MMAP, CHANGE_GONE, -2 * 65537.0, 0);
	assert_change(&pair, "arena_map", CLASS_MALLOC, CHANGE_NEW, 2 * 65537.0, 2);
	assert_false(pair.diff.diff->one_recording);
	assert_int_equal(pair.diff.processes[0].rss_bytes[0], (11 << 20) + 10 * 4096);
	pair_free(&pair);
}

static void a_recording_differs_from_itself_in_nothing(void **state)
{
	const struct service before = service_before();
	struct pair pair;

	service_write(&before);
	test_load(before.path, &pair.a);
	test_load(before.path, &pair.b);
	pair_diff(&pair, "end", "end");
	assert_true(pair.diff.diff->one_recording);
	assert_int_equal(pair.diff.site_count, ARRAY_LEN(sites_before));
	for (size_t i = 0; i < pair.ranking.count; i++) {
		assert_true(pair.ranking.items[i].growth_bytes == 0);
		assert_int_equal(site_change(&pair.ranking.items[i]), CHANGE_SAME);
	}
	pair_free(&pair);
}

static void two_moments_of_one_recording_are_one_timeline(void **state)
{
	const struct service before = service_before();
	const struct ranked_site *ranked;
	struct pair pair;

	service_write(&before);
	test_load(before.path, &pair.a);
	test_load(before.path, &pair.b);
	pair_diff(&pair, "2s", "7s");
	ranked = find(&pair, "log_rotate", CLASS_MALLOC);
	assert_int_equal(pair.diff.duration_ns, 5 * NS_PER_S);
	assert_true(fabs(ranked->growth_bytes - 31 * 127.0 * 5 / 10) < 0.001);
	assert_true(fabs(ranked->slope - 31 * 127.0 / 10) < 0.001);
	assert_int_equal(ranked->verdict, VERDICT_GROWING);
	pair_free(&pair);
}

static bool verdict_says(const struct pair *pair, const char *part)
{
	struct verdict verdict;
	bool says = false;

	assert_int_equal(verdict_build(&pair->diff, &pair->ranking, &verdict, NULL), 0);
	for (size_t i = 0; i < verdict.count; i++)
		says |= strstr(verdict.items[i].text, part) != NULL;
	verdict_free(&verdict);
	return says;
}

static void different_lengths_and_sampling_are_said(void **state)
{
	struct service before = service_before(), after = service_after();
	struct pair pair;

	pair_load(&pair, &before, &after);
	assert_true(verdict_says(&pair, "; 2 stacks new, 1 grown, 1 shrunk, 2 gone"));
	assert_false(verdict_says(&pair, "lengths"));
	assert_false(verdict_says(&pair, "exact"));
	pair_free(&pair);
	after.seconds = 40;
	after.sample_bytes = 4096;
	pair_load(&pair, &before, &after);
	assert_true(verdict_says(&pair, "(10s, "));
	assert_true(verdict_says(&pair, ", exact)"));
	assert_true(verdict_says(&pair, "(40s, "));
	assert_true(verdict_says(&pair, ", sampled)"));
	assert_true(verdict_says(&pair, "compare the rates, not the sums"));
	/* 1009 x 211 in 10s, 4001 x 211 in 40s: more in all, less a second */
	assert_true(fabs(find(&pair, "session_create", CLASS_MALLOC)->slope -
			 (4001 / 40.0 - 1009 / 10.0) * 211) < 0.001);
	pair_free(&pair);
}

/* ---- processes ----------------------------------------------------------------------------------
 */

struct worker {
	pid_t pid;
	uint64_t start_time_ns;
	const char *comm, *exe;
	double blocks; /* of 61 bytes */
};

static void workers_write(const char *path, const char *host, const struct worker *workers,
			  uint32_t count)
{
	struct recording_meta meta = test_meta;
	struct recording *recording;
	const uint64_t frame = NATIVE(1, 0x1000);
	static uint64_t start;

	meta.host = host;
	meta.start_unix_ns += ++start;
	recording = test_create(path, &meta);
	put_name(recording, frame, "remember", "src/leaky.c", 17);
	recording_put_stack(recording, 0, &frame, 1, false, 0);
	for (uint32_t now = 0; now < 2; now++) {
		const struct profile_snapshot snapshot = {.time_ns = now * NS_PER_S};

		recording_put_snapshot(recording, now, &snapshot);
	}
	for (uint32_t i = 0; i < count; i++) {
		struct profile_process process = {.pid = workers[i].pid,
						  .start_time_ns = workers[i].start_time_ns,
						  .exe = workers[i].exe};

		snprintf(process.comm, sizeof(process.comm), "%s", workers[i].comm);
		recording_put_process(recording, i, &process);
		recording_put_site(recording, i, i, CLASS_MALLOC, 0);
		put_point(recording, i, 1, workers[i].blocks, 0, 61, 0);
	}
	test_close(recording);
}

/* "COMM PID: BYTES" of each process, in the order of the result. */
static void assert_processes(const char *host_a, const struct worker *a, uint32_t a_count,
			     const struct worker *b, uint32_t b_count, const char *wanted)
{
	struct pair pair;
	char got[512] = "";

	workers_write(test_path("before.seep"), host_a, a, a_count);
	workers_write(test_path("after.seep"), "alder", b, b_count);
	test_load(test_path("before.seep"), &pair.a);
	test_load(test_path("after.seep"), &pair.b);
	pair_diff(&pair, "end", "end");
	for (uint32_t i = 0; i < pair.diff.process_count; i++) {
		double growth = 0;
		uint32_t pids = 0;

		for (size_t k = 0; k < pair.ranking.count; k++)
			if (pair.ranking.items[k].site->process == i) {
				growth += pair.ranking.items[k].growth_blocks;
				pids = pair.ranking.items[k].site->pid_count;
			}
		snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s %d/%u: %+.0f",
			 i ? ", " : "", pair.diff.processes[i].comm,
			 (int)pair.diff.processes[i].pid, pids, growth);
	}
	assert_string_equal(got, wanted);
	pair_free(&pair);
}

static void processes_are_matched_by_identity_then_by_name(void **state)
{
	const struct worker master = {7, 3, "gunicorn", "/usr/bin/gunicorn", 11};
	const struct worker a1 = {11, 5, "worker", "/usr/bin/python3.11", 101};
	const struct worker a2 = {13, 5, "worker", "/usr/bin/python3.11", 103};
	const struct worker b1 = {17, 9, "worker", "/opt/bin/python3.11", 211};
	const struct worker b2 = {11, 9, "worker", "/opt/bin/python3.11", 223};
	const struct worker b3 = {23, 9, "worker", "/opt/bin/python3.11", 227};
	const struct worker cron = {29, 2, "cron", "/usr/sbin/cron", 5};
	const struct worker a1_later = {11, 5, "worker", "/usr/bin/python3.11", 107};

#define OF(...)                                                                                    \
	(const struct worker[]){__VA_ARGS__},                                                      \
	    sizeof((const struct worker[]){__VA_ARGS__}) / sizeof(struct worker)
	/* one each: whatever the names */
	assert_processes("alder", OF(a1), OF(b1), "worker 17/0: +110");
	assert_processes("alder", OF(a1), OF(cron), "cron 29/0: -96");
	/* the same process on, beside a new one of its name */
	assert_processes("alder", OF(a1, master), OF(a1_later, b1),
			 "worker 11/0: +6, worker 17/0: +211, gunicorn 7/0: -11");
	/* the same pids on another machine say nothing */
	assert_processes("birch", OF(a1, a2), OF(a1_later, cron),
			 "worker 0/2: -97, cron 29/0: +5");
	/* workers that cannot be told apart */
	assert_processes("alder", OF(master, a1, a2), OF(b1, b2, b3, cron),
			 "worker 0/4: +457, cron 29/0: +5, gunicorn 7/0: -11");
	/* two left of one name, none on the other side: each for itself */
	assert_processes("alder", OF(cron), OF(b1, b2),
			 "worker 17/0: +211, worker 11/0: +223, cron 29/0: -5");
#undef OF
}

/* ---- nothing is lost ----------------------------------------------------------------------------
 */

static double live_sum(const struct profile *profile, uint32_t snapshot)
{
	double sum = 0;

	for (uint32_t i = 0; i < profile->site_count; i++)
		sum += live_bytes(profile_site_at(&profile->sites[i], snapshot));
	return sum;
}

static void assert_sums(const struct profile *profile, double a, double b)
{
	assert_true(fabs(live_sum(profile, 0) - a) < 0.01);
	assert_true(fabs(live_sum(profile, 1) - b) < 0.01);
}

/* Two random recordings that share some of their stacks. */
static void random_write(const char *path, struct prng *prng, const char *host)
{
	struct recording_meta meta = test_meta;
	struct recording *recording;

	meta.host = host;
	meta.start_unix_ns += random_bits(prng) >> 8;
	recording = test_create(path, &meta);
	for (uint32_t i = 0; i < 3; i++)
		put_process(recording, i, 100 + random_below(prng, 5), i ? "worker" : "master");
	python_names(recording);
	for (uint32_t now = 0; now < 7; now++) {
		const struct profile_snapshot snapshot = {.time_ns = now * NS_PER_S};

		recording_put_snapshot(recording, now, &snapshot);
	}
	for (uint32_t i = 0; i < 200; i++) {
		uint64_t frames[6];
		uint32_t depth = 1 + random_below(prng, 6);

		for (uint32_t k = 0; k < depth; k++)
			frames[k] = random_below(prng, 9)
					? python_frames[random_below(prng, PYTHON_FRAMES)].key
					: FRAME_RAW << FRAME_TAG_SHIFT | random_below(prng, 997);
		recording_put_stack(recording, i, frames, depth, !random_below(prng, 7),
				    random_below(prng, WALK_END_COUNT));
		recording_put_site(recording, i, random_below(prng, 3),
				   random_below(prng, CLASS_COUNT), i);
		for (uint32_t now = random_below(prng, 7); now < 7; now++)
			put_point(recording, i, now, 1009 + 211 * now, random_below(prng, 1009),
				  1 + random_below(prng, 4099), 0);
	}
	test_close(recording);
}

static void every_view_of_a_difference_has_its_sums(void **state)
{
	struct prng prng = {.state = 20011};

	for (uint32_t round = 0; round < 20; round++) {
		struct pair pair;
		double a, b;

		random_write(test_path("a.seep"), &prng, round % 2 ? "alder" : "birch");
		random_write(test_path("b.seep"), &prng, "alder");
		test_load(test_path("a.seep"), &pair.a);
		test_load(test_path("b.seep"), &pair.b);
		pair_diff(&pair, "5s", "end");
		a = live_sum(&pair.a, 5);
		b = live_sum(&pair.b, 6);
		assert_sums(&pair.diff, a, b);
		assert_true(fabs(pair.diff.diff->a.live_bytes - a) < 0.01);
		assert_true(fabs(pair.diff.diff->b.live_bytes - b) < 0.01);
		for (unsigned int frames = 0; frames <= VIEW_ALL; frames++)
			for (unsigned int by = GROUP_FUNCTION; by < GROUP_COUNT; by++) {
				const struct view_options options = {.frames = frames};
				const struct group_options group = {.by = by};
				struct profile view, grouped;
				struct view_rest rest;

				assert_int_equal(
				    profile_view(&pair.diff, &options, &view, &rest, NULL), 0);
				assert_int_equal(profile_group(&view, &group, &grouped, NULL), 0);
				assert_sums(&view, a, b);
				assert_sums(&grouped, a, b);
				assert_ptr_equal(grouped.diff, pair.diff.diff);
				profile_deinit(&grouped);
				profile_deinit(&view);
			}
		pair_free(&pair);
	}
}

static void code_in_no_file_is_one_across_recordings(void **state)
{
	const uint64_t jit[] = {FRAME_RAW << FRAME_TAG_SHIFT | 0x7f0000001000,
				FRAME_RAW << FRAME_TAG_SHIFT | 0x7e0000002000};
	struct pair pair;

	for (int i = 0; i < 2; i++) {
		struct recording_meta meta = test_meta;
		const struct profile_snapshot snapshot = {.time_ns = 0};
		struct recording *recording;

		meta.start_unix_ns += i;
		recording = test_create(test_path(i ? "b.seep" : "a.seep"), &meta);
		put_process(recording, 0, 811, "jit");
		recording_put_snapshot(recording, 0, &snapshot);
		recording_put_stack(recording, 0, &jit[i], 1, true, WALK_END_BAD_FRAME);
		recording_put_site(recording, 0, 0, CLASS_MALLOC, 0);
		put_point(recording, 0, 0, i ? 7 : 3, 0, 61, 0);
		test_close(recording);
	}
	test_load(test_path("a.seep"), &pair.a);
	test_load(test_path("b.seep"), &pair.b);
	pair_diff(&pair, "end", "end");
	assert_int_equal(pair.diff.site_count, 1);
	assert_string_equal(pair.diff.frames[pair.diff.sites[0].frames[0]].function,
			    "[code in no file]");
	assert_true(pair.ranking.items[0].growth_blocks == 4);
	pair_free(&pair);
}

static void nothing_against_nothing_is_nothing(void **state)
{
	const struct diff_side empty = {.profile = &(struct profile){.host = ""},
					.path = "empty.seep",
					.name = "end"};
	const struct rank_options order = {.order = RANK_GROWTH};
	struct pair pair = {0};

	assert_int_equal(profile_diff(&empty, &empty, &pair.diff, NULL), 0);
	assert_int_equal(pair.diff.site_count, 0);
	assert_int_equal(ranking_build(&pair.diff, &order, &pair.ranking, NULL), 0);
	assert_true(verdict_says(&pair, "no stack holds more or less"));
	pair_free(&pair);
}

/* ---- how it looks -------------------------------------------------------------------------------
 */

struct look {
	bool json, folded, function, line;
};

static char *render(const struct profile *whole, struct look look)
{
	const struct rank_options order = {.order = RANK_GROWTH};
	const struct view_options options = {.frames = VIEW_PLAIN};
	const struct group_options group = {.by = look.line ? GROUP_LINE : GROUP_FUNCTION};
	const struct text_options text = {.lines = look.line ? TEXT_STATISTICS : TEXT_TABLE,
					  .stacks = look.function || look.line ? 0 : 5};
	struct profile view, grouped = {0};
	struct ranking ranking, all;
	struct view_rest rest;
	struct export_input input = {.profile = &view,
				     .ranking = &ranking,
				     .limit = SIZE_MAX,
				     .whole = whole,
				     .differential = whole->diff != NULL};
	struct verdict verdict;
	struct culprits culprits;
	char *bytes = NULL;
	size_t length;
	FILE *out = open_memstream(&bytes, &length);

	assert_int_equal(profile_view(whole, &options, &view, &rest, NULL), 0);
	assert_int_equal(ranking_build(&view, &order, &all, NULL), 0);
	assert_int_equal(verdict_build(&view, &all, &verdict, NULL), 0);
	if (look.function || look.line) {
		assert_int_equal(profile_group(&view, &group, &grouped, NULL), 0);
		input.profile = &grouped;
	}
	assert_int_equal(ranking_build(input.profile, &order, &ranking, NULL), 0);
	if (whole->diff)
		tracemalloc_sort(input.profile, &ranking);
	assert_int_equal(culprits_find(&view, &all, &culprits, NULL), 0);
	if (look.json)
		input.culprits = &culprits;
	if (look.json)
		assert_int_equal(export_json(out, &input), 0);
	else if (look.folded)
		assert_int_equal(export_folded(out, &input, FOLDED_DIFF), 0);
	else
		assert_int_equal(export_text(out, &input, &verdict, &text), 0);
	fclose(out);
	culprits_free(&culprits);
	verdict_free(&verdict);
	ranking_free(&ranking);
	ranking_free(&all);
	profile_deinit(&grouped);
	profile_deinit(&view);
	return bytes;
}

static void assert_looks(const char *name, const struct profile *whole, struct look look)
{
	_cleanup_free_ char *bytes = render(whole, look);

	assert_golden(name, bytes);
}

static void differences_look_as_they_did(void **state)
{
	struct service before = service_before(), after = service_after();
	struct pair pair;

	before.path = test_path("before.seep");
	after.path = test_path("after.seep");
	pair_load(&pair, &before, &after);
	assert_looks("diff.txt", &pair.diff, (struct look){0});
	assert_looks("diff.json", &pair.diff, (struct look){.json = true});
	assert_looks("diff.folded", &pair.diff, (struct look){.folded = true});
	assert_looks("diff-function.txt", &pair.diff, (struct look){.function = true});
	assert_looks("diff-line.txt", &pair.diff, (struct look){.line = true});
	pair_free(&pair);
	after.seconds = 40;
	after.sample_bytes = 4096;
	pair_load(&pair, &before, &after);
	assert_looks("diff-lengths.txt", &pair.diff, (struct look){0});
	pair_free(&pair);
	test_load(before.path, &pair.a);
	assert_int_equal(profile_since(&pair.a, "5s", &pair.b, NULL), 0);
	assert_looks("since.txt", &pair.b, (struct look){0});
	assert_looks("since.json", &pair.b, (struct look){.json = true});
	profile_deinit(&pair.b);
	profile_deinit(&pair.a);
}

static void merged_processes_have_no_pid(void **state)
{
	const struct worker before[] = {{11, 5, "worker", "/usr/bin/python3.11", 101},
					{13, 5, "worker", "/usr/bin/python3.11", 103}};
	const struct worker after[] = {{17, 9, "worker", "/usr/bin/python3.11", 211},
				       {29, 2, "cron", "/usr/sbin/cron", 5}};
	const struct group_options by = {.by = GROUP_PROCESS};
	_cleanup_free_ char *folded = NULL;
	struct profile grouped;
	struct pair pair;

	workers_write(test_path("before.seep"), "alder", before, 2);
	workers_write(test_path("after.seep"), "alder", after, 2);
	test_load(test_path("before.seep"), &pair.a);
	test_load(test_path("after.seep"), &pair.b);
	pair_diff(&pair, "end", "end");
	folded = render(&pair.diff, (struct look){.folded = true});
	assert_non_null(strstr(folded, "worker;remember (src/leaky.c:17) 12444 12871\n"));
	assert_non_null(strstr(folded, "cron (pid 29);remember (src/leaky.c:17) 0 305\n"));
	assert_int_equal(profile_group(&pair.diff, &by, &grouped, NULL), 0);
	assert_int_equal(grouped.frame_count, 2);
	for (uint32_t i = 0; i < 2; i++)
		assert_true(!strcmp(grouped.frames[i].function, "worker") ||
			    !strcmp(grouped.frames[i].function, "cron (pid 29)"));
	profile_deinit(&grouped);
	pair_free(&pair);
}

/* Names of all kinds on both sides, through every format: nothing breaks a line, nothing is lost. */
static void hostile_names_survive(void **state)
{
	static char long_name[65536];
	const struct service_site sites[] = {
	    {"semi;colon", "new\nline.c", 3, CLASS_MALLOC, 7, 0, 11},
	    {"\xff\xfe not UTF-8", "<script>.c", 5, CLASS_MALLOC, 5, 0, 13},
	    {"\033[31mred", NULL, 0, CLASS_MALLOC, 3, 0, 17},
	    {long_name, "\"quoted\".c", 7, CLASS_MALLOC, 2, 0, 19},
	};
	struct service before = service_before(), after = service_after();
	const struct look looks[] = {{0}, {.json = true}, {.folded = true}, {.line = true}};
	struct pair pair;

	memset(long_name, 'x', sizeof(long_name) - 1);
	before.sites = sites;
	before.site_count = 3;
	after.sites = sites + 1;
	after.site_count = 3;
	pair_load(&pair, &before, &after);
	assert_int_equal(pair.diff.site_count, 4);
	for (size_t i = 0; i < ARRAY_LEN(looks); i++) {
		_cleanup_free_ char *bytes = render(&pair.diff, looks[i]);

		assert_null(strchr(bytes, '\033'));
		assert_null(strstr(bytes, "new\nline"));
		assert_null(strchr(bytes, '\xff'));
	}
	pair_free(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_restarted_service_is_matched_by_its_frames),
	    cmocka_unit_test(a_recording_differs_from_itself_in_nothing),
	    cmocka_unit_test(two_moments_of_one_recording_are_one_timeline),
	    cmocka_unit_test(different_lengths_and_sampling_are_said),
	    cmocka_unit_test(processes_are_matched_by_identity_then_by_name),
	    cmocka_unit_test(every_view_of_a_difference_has_its_sums),
	    cmocka_unit_test(code_in_no_file_is_one_across_recordings),
	    cmocka_unit_test(nothing_against_nothing_is_nothing),
	    cmocka_unit_test(differences_look_as_they_did),
	    cmocka_unit_test(merged_processes_have_no_pid),
	    cmocka_unit_test(hostile_names_survive),
	};

	return cmocka_run_group_tests(tests, NULL, test_folder_remove);
}
