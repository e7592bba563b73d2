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

		const struct site_age row = {born, born / block_bytes, born * (1 - kept),
					     born * (1 - kept) / block_bytes};

		recording_put_age(recording, site, age, &row);
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
static void __attribute__((unused)) demo_write(const char *path, bool sampled)
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
		const struct profile_snapshot snapshot = {
		    .time_ns = i * 2 * NS_PER_S, .events = i * 33331, .bpf_ns = i * 20431903};

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

/* ---- Python ------------------------------------------------------------------------------------
 */

#define PYTHON(code, instruction)                                                                  \
	(FRAME_PYTHON << FRAME_TAG_SHIFT | (uint64_t)(code) << FRAME_INSTR_BITS | (instruction))

#define LIBPYTHON "/usr/lib/x86_64-linux-gnu/libpython3.14.so.1.0"
#define LIBC	  "/usr/lib/x86_64-linux-gnu/libc.so.6"
#define LIBSSL	  "/usr/lib/x86_64-linux-gnu/libssl.so.3"
#define MODULES	  "/usr/lib/python3.14/lib-dynload/"
#define SSL_SO	  MODULES "_ssl.cpython-314-x86_64-linux-gnu.so"
#define PUMP_SO	  "/srv/_pump.cpython-314-x86_64-linux-gnu.so"

/* Frames of the Python recording. */
enum {
	LIST_RESIZE,
	DICT_RESIZE,
	EVAL,
	EVAL_LATER, /* another instruction of the same function */
	VECTOR,
	INITIALIZE,
	MAIN,
	LIBC_MAIN,
	START,
	LIBC_THREAD, /* stripped of its name */
	CLONE3,
	ZALLOC,
	SSL_NEW,
	SSL_CALL, /* likewise */
	PUMP_READ,
	PUMP_LOOP,
	APPEND_ROW,
	APPEND_ROW_LATER, /* another instruction of the same line */
	APPEND_LAMBDA,	  /* another function on the same line */
	HANDLE,
	HANDLE_LATER, /* another line of the same function */
	MODULE,
	RUN,
	CONNECT,
	WALK,
	CONSUME,
	BOOTSTRAP,
	EVICT,
	PYTHON_FRAMES,
	END = PYTHON_FRAMES, /* of a stack */
};

static const struct {
	struct profile_frame frame;
	uint64_t key;
} python_frames[PYTHON_FRAMES] = {
#define IN_NATIVE(id, binary, at, name, path, own)                                                 \
	[id] = {{.function = name, .module = path, .offset = at, .internal = own},                 \
		NATIVE(binary, at)}
#define IN_PYTHON(id, code, instruction, name, path, number)                                       \
	[id] = {{.function = name, .file = path, .line = number, .python = true},                  \
		PYTHON(code, instruction)}
    IN_NATIVE(LIST_RESIZE, 1, 0x1009, "list_resize", LIBPYTHON, true),
    IN_NATIVE(DICT_RESIZE, 1, 0x2003, "dictresize", LIBPYTHON, true),
    IN_NATIVE(EVAL, 1, 0x3001, "_PyEval_EvalFrameDefault", LIBPYTHON, true),
    IN_NATIVE(EVAL_LATER, 1, 0x3109, "_PyEval_EvalFrameDefault", LIBPYTHON, true),
    IN_NATIVE(VECTOR, 1, 0x4001, "_PyEval_Vector", LIBPYTHON, true),
    IN_NATIVE(INITIALIZE, 1, 0x5003, "Py_InitializeFromConfig", LIBPYTHON, true),
    IN_NATIVE(MAIN, 2, 0x1051, "main", "/usr/bin/python3.14", true),
    IN_NATIVE(LIBC_MAIN, 3, 0x2724a, "__libc_start_call_main", LIBC, false),
    IN_NATIVE(START, 2, 0x1069, "_start", "/usr/bin/python3.14", true),
    IN_NATIVE(LIBC_THREAD, 3, 0x891f4, "libc.so.6+0x891f4", LIBC, false),
    IN_NATIVE(CLONE3, 3, 0x1098d, "clone3", LIBC, false),
    IN_NATIVE(ZALLOC, 4, 0x1613, "CRYPTO_zalloc", "/usr/lib/x86_64-linux-gnu/libcrypto.so.3",
	      false),
    IN_NATIVE(SSL_NEW, 5, 0x3f2b, "SSL_new", LIBSSL, false),
    IN_NATIVE(SSL_CALL, 6, 0x1f3b, "_ssl.cpython-314-x86_64-linux-gnu.so+0x1f3b", SSL_SO, false),
    IN_NATIVE(PUMP_READ, 7, 0x1103, "pump_read", PUMP_SO, false),
    IN_NATIVE(PUMP_LOOP, 7, 0x1201, "pump_loop", PUMP_SO, false),
    IN_PYTHON(APPEND_ROW, 11, 7, "Table.append_row", "/srv/app.py", 42),
    IN_PYTHON(APPEND_ROW_LATER, 11, 13, "Table.append_row", "/srv/app.py", 42),
    IN_PYTHON(APPEND_LAMBDA, 13, 3, "Table.<lambda>", "/srv/app.py", 42),
    IN_PYTHON(HANDLE, 17, 5, "handle", "/srv/app.py", 17),
    IN_PYTHON(HANDLE_LATER, 17, 23, "handle", "/srv/app.py", 19),
    IN_PYTHON(MODULE, 19, 2, "<module>", "/srv/app.py", 97),
    IN_PYTHON(RUN, 23, 31, "Runner.run", "/usr/lib/python3.14/asyncio/runners.py", 127),
    IN_PYTHON(CONNECT, 29, 37, "SSLSocket._create", "/usr/lib/python3.14/ssl.py", 1069),
    IN_PYTHON(WALK, 31, 41, "walk", "/srv/tree.py", 23),
    IN_PYTHON(CONSUME, 37, 43, "consume", "/srv/app.py", 61),
    IN_PYTHON(BOOTSTRAP, 41, 47, "Thread._bootstrap", "/usr/lib/python3.14/threading.py", 1031),
    IN_PYTHON(EVICT, 43, 53, "evict", "/srv/cache.py", 5),
#undef IN_NATIVE
#undef IN_PYTHON
};

#define PYTHON_STACKS	 10
#define PYTHON_SHRINKS	 (PYTHON_STACKS - 1) /* frees 37 blocks in each snapshot */
#define PYTHON_SNAPSHOTS 31
#define PYTHON_ROOT	 VECTOR, RUN, MODULE, EVAL, MAIN, LIBC_MAIN, START

/* Stacks of the Python recording, leaf first; process 0 has all of them, process 1 some. */
static const struct {
	uint8_t alloc_class;
	uint32_t block_bytes;
	uint32_t first, blocks; /* at the first snapshot, and in each */
	uint32_t other_blocks;	/* in each snapshot of process 1; 0: it has no such site */
	uint8_t frames[24];
} python_stacks[PYTHON_STACKS] = {
#define STACK(class, bytes, at_first, each, other, ...)                                            \
	{                                                                                          \
		class, bytes, at_first, each, other,                                               \
		{                                                                                  \
			__VA_ARGS__, END                                                           \
		}                                                                                  \
	}
    STACK(CLASS_PYTHON, 1031, 0, 211, 101, LIST_RESIZE, EVAL, APPEND_ROW, HANDLE, PYTHON_ROOT),
    STACK(CLASS_PYTHON, 1009, 0, 13, 3, DICT_RESIZE, EVAL_LATER, APPEND_ROW_LATER, HANDLE,
	  PYTHON_ROOT),
    STACK(CLASS_PYTHON, 61, 0, 7, 0, LIST_RESIZE, EVAL, APPEND_LAMBDA, HANDLE, PYTHON_ROOT),
    STACK(CLASS_PYTHON, 59, 0, 5, 0, LIST_RESIZE, EVAL, APPEND_ROW, HANDLE_LATER, PYTHON_ROOT),
    STACK(CLASS_MALLOC, 6007, 0, 3, 2, ZALLOC, SSL_NEW, SSL_CALL, EVAL, CONNECT, HANDLE,
	  PYTHON_ROOT),
    STACK(CLASS_PYTHON, 71, 0, 17, 0, LIST_RESIZE, EVAL, WALK, EVAL, WALK, WALK, HANDLE,
	  PYTHON_ROOT),
    STACK(CLASS_PYTHON, 89, 0, 11, 0, LIST_RESIZE, EVAL, CONSUME, BOOTSTRAP, VECTOR, LIBC_THREAD,
	  CLONE3),
    STACK(CLASS_PYTHON, 4099, 19, 0, 0, INITIALIZE, MAIN, LIBC_MAIN, START),
    STACK(CLASS_MALLOC, 8191, 0, 1, 0, PUMP_READ, PUMP_LOOP, LIBC_THREAD, CLONE3),
    STACK(CLASS_PYTHON, 73, 1201, 0, 0, LIST_RESIZE, EVAL, EVICT, HANDLE, PYTHON_ROOT),
#undef STACK
};

static void put_worker(struct recording *recording, uint32_t id, pid_t pid)
{
	const struct profile_process process = {
	    .pid = pid,
	    .start_time_ns = 7919,
	    .comm = "worker",
	    .exe = "/usr/bin/python3.14",
	    .python = "3.14.0",
	    .allocator = "glibc 2.41",
	    .end_ns = 60 * NS_PER_S,
	    .start_memory = {.rss_bytes = 31 << 20,
			     .allocator_bytes = 19 << 20,
			     .file_bytes = 11 << 20,
			     .stack_bytes = 1 << 20},
	    .end_memory = {.rss_bytes = 43 << 20,
			   .allocator_bytes = 29 << 20,
			   .file_bytes = 13 << 20,
			   .stack_bytes = 1 << 20},
	};

	recording_put_process(recording, id, &process);
}

static void python_names(struct recording *recording)
{
	for (uint32_t i = 0; i < PYTHON_FRAMES; i++)
		recording_put_frame(recording, python_frames[i].key, &python_frames[i].frame, 1);
}

static void python_sites(struct recording *recording)
{
	for (uint32_t i = 0; i < PYTHON_STACKS; i++) {
		uint64_t frames[24];
		uint32_t depth = 0;

		for (; python_stacks[i].frames[depth] != END; depth++)
			frames[depth] = python_frames[python_stacks[i].frames[depth]].key;
		recording_put_stack(recording, i, frames, depth, false, 0);
		recording_put_site(recording, i, 0, python_stacks[i].alloc_class, i);
		if (python_stacks[i].other_blocks)
			recording_put_site(recording, 100 + i, 1, python_stacks[i].alloc_class, i);
	}
}

static void python_points(struct recording *recording, uint32_t snapshot)
{
	for (uint32_t i = 0; i < PYTHON_STACKS; i++) {
		uint32_t blocks = python_stacks[i].first + python_stacks[i].blocks * snapshot;
		uint32_t freed = i == PYTHON_SHRINKS ? 37 * snapshot : 0;

		put_point(recording, i, snapshot, blocks, freed, python_stacks[i].block_bytes, 0);
		if (python_stacks[i].other_blocks)
			put_point(recording, 100 + i, snapshot,
				  python_stacks[i].other_blocks * snapshot, 0,
				  python_stacks[i].block_bytes, 0);
	}
}

/* Two workers of a Python service, one of them with all that may stand in a stack. */
static void __attribute__((unused)) python_write(const char *path)
{
	const struct profile summary = {.duration_ns = 60 * NS_PER_S,
					.hits = 100003,
					.ns_per_hit = 613,
					.cpu_percent = 1.02,
					.unmatched_frees = 4099};
	struct recording *recording = test_create(path, &test_meta);

	put_worker(recording, 0, 811);
	put_worker(recording, 1, 821);
	python_names(recording);
	python_sites(recording);
	for (uint32_t i = 0; i < PYTHON_SNAPSHOTS; i++) {
		const struct profile_snapshot snapshot = {.time_ns = i * 2 * NS_PER_S};

		recording_put_snapshot(recording, i, &snapshot);
		recording_put_rss(recording, i, 0, (31ULL << 20) + i * (400ULL << 10));
		recording_put_rss(recording, i, 1, (31ULL << 20) + i * (400ULL << 10));
		python_points(recording, i);
	}
	for (uint32_t i = 0; i < PYTHON_STACKS; i++) {
		uint32_t blocks = python_stacks[i].blocks * (PYTHON_SNAPSHOTS - 1);

		put_ages(recording, i, blocks, python_stacks[i].block_bytes, 1);
		blocks = python_stacks[i].other_blocks * (PYTHON_SNAPSHOTS - 1);
		if (blocks)
			put_ages(recording, 100 + i, blocks, python_stacks[i].block_bytes, 1);
	}
	recording_put_summary(recording, &summary);
	test_close(recording);
}

/* ---- hostile names ------------------------------------------------------------------------------
 */

#define LONG_NAME 65536

/* Names that somebody chose to break a format, each alone in its stack; two processes. */
static void __attribute__((unused)) hostile_write(const char *path)
{
	struct recording *recording = test_create(path, &test_meta);
	char *giant = malloc(LONG_NAME + 1);
	const char *names[] = {
	    "semi;colon",
	    "new\nline\r\n",
	    "invalid \xff\xc0\x80\xed\xa0\x80 utf-8",
	    "\x1b[31mred\x1b[0m",
	    "<script>&\"'\\",
	    "ends in 42",
	    "ends in 42.5",
	    " ",
	    "",
	    "bidi \342\200\256 mark",
	    "\302\233 c1",
	    giant,
	};
	const struct profile_snapshot moments[] = {{0}, {.time_ns = 2 * NS_PER_S}};

	memset(giant, 'g', LONG_NAME);
	giant[LONG_NAME] = '\0';
	put_process(recording, 0, 811, "a;b\n\x1b[1m 7");
	put_process(recording, 1, 821, "");
	recording_put_snapshot(recording, 0, &moments[0]);
	recording_put_snapshot(recording, 1, &moments[1]);
	for (uint32_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const uint64_t frame = NATIVE(1, 0x1000 + i);

		put_name(recording, frame, names[i], i % 2 ? names[i] : NULL, i);
		recording_put_stack(recording, i, &frame, 1, false, 0);
		recording_put_site(recording, i, i % 2, CLASS_MALLOC, i);
		put_point(recording, i, 1, 1 + i, 0, 127, 0);
	}
	recording_put_loss(recording, "a\n\xff", "loss with \x1b[5m and\nline", 3);
	test_close(recording);
	free(giant);
}

#endif
