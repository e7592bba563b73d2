/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * marks.c - allocates before and after moments that the test marks.
 *
 * build: $CC -g -o $OUT/marks $SRC
 *
 * Each line on stdin is a phase, each ends with "done". Blocks by phase, "-" freed again:
 *
 *	           size   1      2                      3
 *	old_stock   997   503
 *	old_drop   4099   211    -97                    -53
 *	young_keep 1009          307
 *	young_drop  601          101, -101
 *	mixed        61   1009   -499 of 1, 401, -103   53, -11 of 1, -7 of 2
 *	map_old   13 pages 1     -1
 *	map_young  7 pages       1
 */
#include <sys/mman.h>

#include "target.h"

#define PAGE 4096

void old_stock(void);
void old_drop(void);
void young_keep(void);
void young_drop(void);
void mixed(int count);
void map_old(void);
void map_young(void);

static void *dropped[211], *mixes[1009 + 401 + 53], *mapped;
static int mixed_count;

static inline void leak(int blocks, size_t bytes)
{
	for (; blocks > 0; blocks--) {
		char *block = malloc(bytes);

		HOLD(block);
	}
}

NOIPA void old_stock(void)
{
	leak(503, 997);
}

NOIPA void old_drop(void)
{
	for (int i = 0; i < 211; i++)
		dropped[i] = malloc(4099);
}

NOIPA void young_keep(void)
{
	leak(307, 1009);
}

NOIPA void young_drop(void)
{
	static void *blocks[101];

	for (int i = 0; i < 101; i++)
		blocks[i] = malloc(601);
	for (int i = 0; i < 101; i++)
		free(blocks[i]);
}

NOIPA void mixed(int count)
{
	for (; count > 0; count--)
		mixes[mixed_count++] = malloc(61);
}

static void unmix(int first, int count)
{
	for (int i = first; i < first + count; i++)
		free(mixes[i]);
}

NOIPA void map_old(void)
{
	mapped = mmap(NULL, 13 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	HOLD(mapped);
}

NOIPA void map_young(void)
{
	void *map =
	    mmap(NULL, 7 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	HOLD(map);
}

static void phase_one(void)
{
	old_stock();
	old_drop();
	mixed(1009);
	map_old();
}

static void phase_two(void)
{
	for (int i = 0; i < 97; i++)
		free(dropped[i]);
	young_keep();
	young_drop();
	unmix(0, 499);
	mixed(401);
	unmix(1009, 103);
	munmap(mapped, 13 * PAGE);
	map_young();
}

static void phase_three(void)
{
	for (int i = 97; i < 97 + 53; i++)
		free(dropped[i]);
	mixed(53);
	unmix(499, 11);
	unmix(1009 + 103, 7);
}

int main(void)
{
	target_ready();
	phase_one();
	target_done();
	phase_two();
	target_done();
	phase_three();
	target_done();
	return 0;
}
