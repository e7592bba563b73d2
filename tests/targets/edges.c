/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * edges.c - what programs do seldom: at the edges of sampling, settling, threads and mappings.
 *
 * build: $CC -o $OUT/edges $SRC -lpthread
 *
 * nested	30011 blocks each: realloc_null of 1009 bytes, align_16 of 1008, plain_malloc of 1009
 * odd		503 regions of 4097 bytes, unmapped by the same length: map_each one by one, map_all
 *		when all are there
 * execs FILE	a thread that is not the leader executes FILE as "image", and says "failed" if it
 *		cannot
 * image	says "ready" again as a new image; then new_image 223 x 997
 * leader	the main thread ends, then "left"; at the next line worker_leaks 211 x 1013
 * churn MS [N]	malloc and free of 1024 bytes for so long and at least N times, then "count" and how
 *		often
 * idle		nothing
 * file PATH	grow_file: a mapping of PATH from 4 MiB to 8 MiB; grow_memory: one of nothing from
 *		101 pages to 211
 * settle	"done" behind the early part, at the next line the late one
 *		early: keep_early 211 x 307, take_early 101 x 503, take_gone 37 x 401 by malloc;
 *		map_early 7 regions of 101 pages, map_gone 5 of 103 pages
 *		late: take_early's are resized to 1009, take_gone's as well and then freed, take_late
 *		223 x 997; map_early's move and grow to 211 pages, map_gone's as well and are then
 *		unmapped, map_late 11 of 17 pages
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>

#include "target.h"

#define PAGE	  4096UL
#define LATE_SLOT (256 * PAGE)

void realloc_null(void);
void align_16(void);
void plain_malloc(void);
void map_each(void);
void map_all(void);
void new_image(void);
void worker_leaks(void);
long churn(long long end_ns, long least);
void grow_file(int fd);
void grow_memory(void);
void keep_early(void);
void take_early(void);
void take_gone(void);
void take_late(void);
void resize_late(char **blocks, int count);
void free_late(void);
void map_early(void);
void map_gone(void);
void map_late(void);
void move_late(char **regions, int count, size_t pages, char *to);
void unmap_late(void);

static char *early[101], *gone[37], *early_regions[7], *gone_regions[5];
static pthread_t main_thread;
static char *new_program;

static char *map_bytes(size_t bytes)
{
	char *region =
	    mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (region == MAP_FAILED)
		_exit(3);
	HOLD(region);
	return region;
}

static inline void leak(int blocks, size_t bytes)
{
	for (; blocks > 0; blocks--) {
		char *block = malloc(bytes);

		HOLD(block);
	}
}

/* ---- one allocation function inside another ----------------------------------------------------
 */

NOIPA void realloc_null(void)
{
	char *none = NULL;

	for (int i = 0; i < 30011; i++) {
		char *block;

		HOLD(none); /* else this would become malloc */
		block = realloc(none, 1009);
		HOLD(block);
	}
}

NOIPA void align_16(void)
{
	for (int i = 0; i < 30011; i++) {
		char *block = aligned_alloc(16, 1008);

		HOLD(block);
	}
}

NOIPA void plain_malloc(void)
{
	leak(30011, 1009);
}

/* ---- lengths that are no multiple of a page
 * ------------------------------------------------------ */

NOIPA void map_each(void)
{
	for (int i = 0; i < 503; i++)
		munmap(map_bytes(4097), 4097);
	NO_TAIL_CALL();
}

NOIPA void map_all(void)
{
	static char *regions[503];

	for (int i = 0; i < 503; i++)
		regions[i] = map_bytes(4097);
	for (int i = 0; i < 503; i++)
		munmap(regions[i], 4097);
	NO_TAIL_CALL();
}

/* ---- threads that are not the leader
 * -------------------------------------------------------------- */

NOIPA void new_image(void)
{
	leak(223, 997);
}

NOIPA void worker_leaks(void)
{
	leak(211, 1013);
}

static void *execute(void *unused)
{
	(void)unused;
	execl(new_program, new_program, "image", (char *)NULL);
	target_say("failed\n");
	_exit(3);
}

static void *outlive(void *unused)
{
	(void)unused;
	pthread_join(main_thread, NULL);
	target_say("left\n");
	target_wait();
	worker_leaks();
	target_done();
	_exit(0);
}

static void run_thread(void *(*function)(void *))
{
	pthread_t thread;

	main_thread = pthread_self();
	if (pthread_create(&thread, NULL, function, NULL))
		_exit(3);
	if (function == outlive)
		pthread_exit(NULL);
	pthread_join(thread, NULL);
}

/* ---- load
 * ------------------------------------------------------------------------------------------ */

NOIPA long churn(long long end_ns, long least)
{
	long count = 0;

	while (count < least || target_now_ns() < end_ns) {
		for (int i = 0; i < 100; i++) {
			char *block = malloc(1024);

			HOLD(block);
			free(block);
		}
		count += 100;
	}
	return count;
}

static void run_churn(long ms, long least)
{
	char line[32];

	snprintf(line, sizeof(line), "count %ld\n", churn(target_now_ns() + ms * 1000000LL, least));
	target_say(line);
}

/* ---- growing mappings
 * ------------------------------------------------------------------------------ */

NOIPA void grow_file(int fd)
{
	char *region = mmap(NULL, 4 << 20, PROT_READ, MAP_SHARED, fd, 0);

	if (region == MAP_FAILED || mremap(region, 4 << 20, 8 << 20, MREMAP_MAYMOVE) == MAP_FAILED)
		_exit(3);
}

NOIPA void grow_memory(void)
{
	char *region = map_bytes(101 * PAGE);

	if (mremap(region, 101 * PAGE, 211 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED)
		_exit(3);
}

static void run_file(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0 || ftruncate(fd, 8 << 20))
		_exit(3);
	grow_file(fd);
	grow_memory();
}

/* ---- settling
 * ---------------------------------------------------------------------------------------- */

NOIPA void keep_early(void)
{
	leak(211, 307);
}

NOIPA void take_early(void)
{
	for (int i = 0; i < 101; i++)
		early[i] = malloc(503);
	NO_TAIL_CALL();
}

NOIPA void take_gone(void)
{
	for (int i = 0; i < 37; i++)
		gone[i] = malloc(401);
	NO_TAIL_CALL();
}

NOIPA void take_late(void)
{
	leak(223, 997);
}

NOIPA void resize_late(char **blocks, int count)
{
	for (int i = 0; i < count; i++)
		blocks[i] = realloc(blocks[i], 1009);
	NO_TAIL_CALL();
}

NOIPA void free_late(void)
{
	for (int i = 0; i < 37; i++)
		free(gone[i]);
	NO_TAIL_CALL();
}

NOIPA void map_early(void)
{
	for (int i = 0; i < 7; i++)
		early_regions[i] = map_bytes(101 * PAGE);
	NO_TAIL_CALL();
}

NOIPA void map_gone(void)
{
	for (int i = 0; i < 5; i++)
		gone_regions[i] = map_bytes(103 * PAGE);
	NO_TAIL_CALL();
}

NOIPA void map_late(void)
{
	for (int i = 0; i < 11; i++)
		map_bytes(17 * PAGE);
	NO_TAIL_CALL();
}

/* To another place in any case. */
NOIPA void move_late(char **regions, int count, size_t pages, char *to)
{
	for (int i = 0; i < count; i++) {
		regions[i] = mremap(regions[i], pages * PAGE, 211 * PAGE,
				    MREMAP_MAYMOVE | MREMAP_FIXED, to + i * LATE_SLOT);
		if (regions[i] == MAP_FAILED)
			_exit(3);
	}
}

NOIPA void unmap_late(void)
{
	for (int i = 0; i < 5; i++)
		munmap(gone_regions[i], 211 * PAGE);
	NO_TAIL_CALL();
}

static void run_settle(char *to)
{
	keep_early();
	take_early();
	take_gone();
	map_early();
	map_gone();
	target_done();
	resize_late(early, 101);
	resize_late(gone, 37);
	free_late();
	take_late();
	move_late(early_regions, 7, 101, to);
	move_late(gone_regions, 5, 103, to + 7 * LATE_SLOT);
	unmap_late();
	map_late();
}

int main(int argc, char **argv)
{
	const char *scenario = argc > 1 ? argv[1] : "", *argument = argc > 2 ? argv[2] : "";
	char *room = mmap(NULL, 12 * LATE_SLOT, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (room == MAP_FAILED)
		return 3;
	target_ready();
	if (!strcmp(scenario, "nested")) {
		realloc_null();
		align_16();
		plain_malloc();
	} else if (!strcmp(scenario, "odd")) {
		map_each();
		map_all();
	} else if (!strcmp(scenario, "execs")) {
		new_program = argv[2];
		run_thread(execute);
	} else if (!strcmp(scenario, "image")) {
		new_image();
	} else if (!strcmp(scenario, "leader")) {
		run_thread(outlive);
	} else if (!strcmp(scenario, "churn")) {
		run_churn(atol(argument), argc > 3 ? atol(argv[3]) : 0);
	} else if (!strcmp(scenario, "file")) {
		run_file(argument);
	} else if (!strcmp(scenario, "settle")) {
		run_settle(room);
	} else if (strcmp(scenario, "idle")) {
		target_usage();
	}
	target_done();
	return 0;
}
