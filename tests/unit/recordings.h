/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * recordings.h - recordings written through the writer's own interface, for tests of what reads
 * them. All numbers are made of primes, so that a right total is not right by luck.
 */
#ifndef SEEP_TESTS_RECORDINGS_H
#define SEEP_TESTS_RECORDINGS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/abi_types.h"
#include "base/err.h"
#include "base/units.h"
#include "store/recording.h"

#define NATIVE(binary, address) ((uint64_t)(binary) << FRAME_PC_BITS | (address))

/* A folder that lasts for one test program. */
static const char *test_folder(void)
{
	static char folder[] = "/tmp/seep-test.XXXXXX";
	static bool made;

	if (!made)
		assert_non_null(mkdtemp(folder));
	made = true;
	return folder;
}

static int test_folder_remove(void **state)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", test_folder());
	return system(command);
}

static const char *test_path(const char *name)
{
	static char paths[8][128];
	static unsigned int next;
	char *path = paths[next++ % 8];

	snprintf(path, sizeof(paths[0]), "%s/%s", test_folder(), name);
	return path;
}

static const struct recording_meta test_meta = {
    .version = "0.1.0",
    .kernel = "6.18.44",
    .host = "alder",
    .start_unix_ns = 1700000000000000000ULL,
    .interval_ns = 2 * NS_PER_S,
    .sample_bytes = 1,
};

static struct recording *test_create(const char *path, const struct recording_meta *meta)
{
	struct recording *recording = NULL;
	struct err err = {0};

	if (recording_create(path, true, meta, &recording, &err))
		fail_msg("%s", err.text);
	return recording;
}

static void test_close(struct recording *recording)
{
	struct err err = {0};

	if (recording_close(recording, &err))
		fail_msg("%s", err.text);
}

static void test_load(const char *path, struct profile *profile)
{
	struct err err = {0};

	if (recording_load(path, profile, &err))
		fail_msg("%s", err.text);
}

static void put_process(struct recording *recording, uint32_t id, pid_t pid, const char *comm)
{
	struct profile_process process = {
	    .pid = pid,
	    .start_time_ns = 7919,
	    .exe = "/usr/bin/leaky",
	    .allocator = "glibc 2.36",
	    .end_ns = 60 * NS_PER_S,
	};

	snprintf(process.comm, sizeof(process.comm), "%s", comm);
	process.start_memory = (struct memory_breakdown){.rss_bytes = 101 << 20,
							 .allocator_bytes = 89 << 20,
							 .file_bytes = 11 << 20,
							 .stack_bytes = 1 << 20};
	process.end_memory = (struct memory_breakdown){.rss_bytes = 163 << 20,
						       .allocator_bytes = 149 << 20,
						       .file_bytes = 13 << 20,
						       .stack_bytes = 1 << 20};
	recording_put_process(recording, id, &process);
}

static void put_name(struct recording *recording, uint64_t frame, const char *function,
		     const char *file, uint32_t line)
{
	const struct profile_frame name = {
	    .function = function,
	    .file = file,
	    .line = line,
	    .module = "/usr/bin/leaky",
	    .offset = frame & ((1ULL << FRAME_PC_BITS) - 1),
	};

	recording_put_frame(recording, frame, &name, 1);
}

static void put_point(struct recording *recording, uint32_t site, uint32_t snapshot, double blocks,
		      double freed, double block_bytes, double variance)
{
	const struct site_point point = {
	    snapshot, {blocks * block_bytes, blocks, freed * block_bytes, freed, variance}};

	recording_put_point(recording, site, &point);
}

/* Epochs of 0, 1, 2, 4, ... s; blocks born evenly over 60 s, 'kept' of them alive. */
static void put_ages(struct recording *recording, uint32_t site, double blocks, double block_bytes,
		     double kept)
{
	for (uint32_t age = 0; age < 7; age++) {
		double begin = age ? 1 << (age - 1) : 0, end = 1 << age;
		double born = blocks * block_bytes * ((end > 60 ? 60 : end) - begin) / 60;

		recording_put_age(recording, site, age, born, born * (1 - kept));
		recording_put_epoch(recording, age, begin * NS_PER_S);
	}
}

static void demo_frames(struct recording *recording)
{
	const struct profile_frame inlined[] = {
	    {.function = "Cache::insert(std::string const&)",
	     .module = "/usr/bin/leaky",
	     .file = "/build/leaky/src/storage/backend/cache/lru_cache.cc",
	     .line = 211,
	     .offset = 0x1200,
	     .inlined = true},
	    {.function = "Server::handle(Request&)",
	     .module = "/usr/bin/leaky",
	     .file = "/build/leaky/src/server.cc",
	     .line = 83,
	     .offset = 0x1200},
	};

	put_name(recording, NATIVE(1, 0x1000), "remember", "src/leaky.c", 17);
	put_name(recording, NATIVE(1, 0x1100), "operator new(unsigned long)", NULL, 0);
	recording_put_frame(recording, NATIVE(1, 0x1200), inlined, 2);
	put_name(recording, NATIVE(1, 0x1300), "main", "src/leaky.c", 41);
	put_name(recording, NATIVE(1, 0x1400), "batch", "src/leaky.c", 29);
}

/* Stacks 0..4: the last one is in no table, the one before it cut and partly unnamed. */
static void demo_stacks(struct recording *recording)
{
	const uint64_t leak[] = {NATIVE(1, 0x1000), NATIVE(1, 0x1300)};
	const uint64_t cache[] = {NATIVE(1, 0x1100), NATIVE(1, 0x1200), NATIVE(1, 0x1300)};
	const uint64_t batch[] = {NATIVE(1, 0x1400), NATIVE(1, 0x1300)};
	const uint64_t cut[] = {NATIVE(1, 0x7777), FRAME_RAW << FRAME_TAG_SHIFT | 0x7f0000001000};

	recording_put_stack(recording, 0, leak, 2, false, 0);
	recording_put_stack(recording, 1, cache, 3, false, 0);
	recording_put_stack(recording, 2, batch, 2, false, 0);
	recording_put_stack(recording, 3, cut, 2, true, WALK_END_NO_MAPPING);
	for (uint32_t site = 0; site < 5; site++)
		recording_put_site(recording, site, 0, site == 4 ? CLASS_MMAP : CLASS_MALLOC, site);
}

static void demo_points(struct recording *recording, uint32_t snapshot, bool sampled)
{
	double cached = snapshot < 12 ? snapshot : 12, variance = sampled ? snapshot * 1e9 : 0;

	if (!snapshot)
		return;
	put_point(recording, 0, snapshot, 211 * snapshot, 0, 1031, variance);
	put_point(recording, 1, snapshot, 4001 * snapshot, 4001 * (snapshot - cached), 1009,
		  variance);
	put_point(recording, 2, snapshot, 997 * snapshot, 997 * (snapshot - snapshot % 8), 1999,
		  variance);
	if (snapshot == 5)
		put_point(recording, 3, snapshot, 3, 0, 127, 0);
	if (snapshot == 7)
		put_point(recording, 4, snapshot, 1, 0, 8192, 0);
}

/* 31 snapshots in 60 s: a leak, a cache that fills, a sawtooth, two small sites. */
static void demo_write(const char *path, bool sampled)
{
	struct recording_meta meta = test_meta;
	struct profile summary = {.duration_ns = 60 * NS_PER_S,
				  .hits = 1000003,
				  .ns_per_hit = 613,
				  .cpu_percent = 1.02,
				  .unmatched_frees = 4099};
	const struct profile_event event = {7 * NS_PER_S, "exec",
					    "leaky began to run /usr/bin/leaky"};
	struct recording *recording;

	if (sampled)
		meta.sample_bytes = 524288;
	recording = test_create(path, &meta);
	for (uint32_t i = 0; i <= 30; i++) {
		const struct profile_snapshot snapshot = {i * 2 * NS_PER_S, i * 33331, i * 20431903,
							  0, 0};

		recording_begin(recording, NULL);
		if (!i) {
			put_process(recording, 0, 811, "leaky");
			demo_frames(recording);
			demo_stacks(recording);
		}
		recording_put_snapshot(recording, i, &snapshot);
		recording_put_rss(recording, i, 0, (101ULL << 20) + i * (2ULL << 20));
		demo_points(recording, i, sampled);
		assert_int_equal(recording_commit(recording, NULL), 0);
	}
	put_ages(recording, 0, 211 * 30, 1031, 1);
	put_ages(recording, 1, 4001 * 30, 1009, 0.2);
	put_ages(recording, 2, 997 * 30, 1999, 0);
	recording_put_event(recording, &event);
	recording_put_loss(recording, "ring_full_stack",
			   "stacks sent late or never: ring buffer full", 3);
	recording_put_loss(recording, "nesting", "never happened", 0);
	recording_put_summary(recording, &summary);
	test_close(recording);
}

#endif
