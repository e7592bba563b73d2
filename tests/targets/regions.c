/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * regions.c - what belongs to the class mmap, and what does not.
 *
 * build: $CC -o $OUT/regions $SRC -lpthread
 *
 * counted, in pages of 4096 bytes:
 *	map_and_keep	23 regions of 101 pages
 *	map_and_drop	29 regions of 103 pages, all unmapped
 *	map_and_cut	1 region of 211 pages, 53 of them unmapped in the middle
 *	map_and_grow	1 region of 107 pages, mremap to 1009
 *	map_and_shrink	1 region of 223 pages, mremap to 17
 *	map_over	1 region of 31 pages, replaced by a MAP_FIXED one of 31 pages
 *	break_up	sbrk by 3 x 37 pages
 * not counted:
 *	reserve		PROT_NONE, 100003 pages
 *	map_stack	MAP_STACK, as a thread library maps stacks, 257 pages
 *	map_file	the program's own file
 *	run_threads	5 threads: their stacks and arenas
 *	malloc_big	7 x 1048583 by malloc, which maps them itself
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>

#include "target.h"

#define PAGE 4096UL

void map_and_keep(void);
void map_and_drop(void);
void map_and_cut(void);
void map_and_grow(void);
void map_and_shrink(void);
void map_over(void);
void break_up(void);
void reserve(void);
void map_stack(void);
void map_file(void);
void run_threads(void);
void malloc_big(void);

static inline char *map_pages(size_t pages, int protection, int flags)
{
	char *region =
	    mmap(NULL, pages * PAGE, protection, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

	if (region == MAP_FAILED)
		_exit(3);
	HOLD(region);
	return region;
}

static inline char *map_memory(size_t pages)
{
	return map_pages(pages, PROT_READ | PROT_WRITE, 0);
}

NOIPA void map_and_keep(void)
{
	for (int i = 0; i < 23; i++)
		map_memory(101);
}

NOIPA void map_and_drop(void)
{
	for (int i = 0; i < 29; i++) {
		munmap(map_memory(103), 103 * PAGE);
		NO_TAIL_CALL();
	}
}

NOIPA void map_and_cut(void)
{
	char *region = map_memory(211);

	munmap(region + 61 * PAGE, 53 * PAGE);
	NO_TAIL_CALL();
}

NOIPA void map_and_grow(void)
{
	char *region = map_memory(107);

	region = mremap(region, 107 * PAGE, 1009 * PAGE, MREMAP_MAYMOVE);
	HOLD(region);
}

NOIPA void map_and_shrink(void)
{
	char *region = map_memory(223);

	region = mremap(region, 223 * PAGE, 17 * PAGE, 0);
	HOLD(region);
}

NOIPA void map_over(void)
{
	char *region = map_memory(31);

	region = mmap(region, 31 * PAGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	HOLD(region);
}

NOIPA void break_up(void)
{
	for (int i = 0; i < 3; i++) {
		char *end = sbrk(37 * PAGE);

		HOLD(end);
	}
}

NOIPA void reserve(void)
{
	map_pages(100003, PROT_NONE, MAP_NORESERVE);
}

NOIPA void map_stack(void)
{
	map_pages(257, PROT_READ | PROT_WRITE, MAP_STACK);
}

NOIPA void map_file(void)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	char *region = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);

	HOLD(region);
	close(fd);
	NO_TAIL_CALL();
}

static NOIPA void *allocate_once(void *arg)
{
	char *block = malloc(1009);

	HOLD(block);
	return arg;
}

NOIPA void run_threads(void)
{
	pthread_t threads[5];

	for (int i = 0; i < 5; i++)
		if (pthread_create(&threads[i], NULL, allocate_once, NULL))
			_exit(3);
	for (int i = 0; i < 5; i++)
		pthread_join(threads[i], NULL);
}

NOIPA void malloc_big(void)
{
	for (int i = 0; i < 7; i++) {
		char *block = malloc(1048583);

		HOLD(block);
	}
}

int main(void)
{
	target_ready();
	map_and_keep();
	map_and_drop();
	map_and_cut();
	map_and_grow();
	map_and_shrink();
	map_over();
	break_up();
	reserve();
	map_stack();
	map_file();
	run_threads();
	malloc_big();
	target_done();
	return 0;
}
