/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * decoys.c - one slow true leak among caches and hot paths that only look worse.
 *
 * build: $CC -o $OUT/decoys $SRC
 *
 * For 30 s, about 100 steps a second:
 *	slow_leak	3 x 1031 bytes a step, for ever (about 300 KB/s, 9 MB in all)
 *	cache_insert	23 x 1009 bytes a step into a cache that is full (10007 entries of
 *			1009 bytes, 10 MB) after some 4 s and evicts from then on
 *	sawtooth_add	29 x 997 bytes a step, all dropped every 211 steps (6 MB at the peak)
 *	hot_path	101 x 4099 bytes a step, freed at once
 */
#include "target.h"

#define STEPS	      2999
#define CACHE_ENTRIES 10007
#define SAW_STEPS     211
#define SAW_BLOCKS    29

void slow_leak(void);
void cache_insert(void);
void sawtooth_add(void);
void hot_path(void);

static char *cache[CACHE_ENTRIES];
static unsigned long cache_next;
static char *saw[SAW_STEPS * SAW_BLOCKS];
static unsigned long saw_count;

NOIPA void slow_leak(void)
{
	for (int i = 0; i < 3; i++) {
		char *block = malloc(1031);

		HOLD(block);
	}
}

NOIPA void cache_insert(void)
{
	for (int i = 0; i < 23; i++) {
		char **entry = &cache[cache_next++ % CACHE_ENTRIES];

		free(*entry);
		*entry = malloc(1009);
	}
	NO_TAIL_CALL();
}

NOIPA void sawtooth_add(void)
{
	if (saw_count == SAW_STEPS * SAW_BLOCKS)
		while (saw_count > 0)
			free(saw[--saw_count]);
	for (int i = 0; i < SAW_BLOCKS; i++)
		saw[saw_count++] = malloc(997);
	NO_TAIL_CALL();
}

NOIPA void hot_path(void)
{
	for (int i = 0; i < 101; i++) {
		char *block = malloc(4099);

		HOLD(block);
		free(block);
		NO_TAIL_CALL();
	}
}

int main(void)
{
	long long start;

	target_ready();
	start = target_now_ns();
	for (int step = 0; step < STEPS; step++) {
		long long ahead_ms = step * 10LL - (target_now_ns() - start) / 1000000;

		slow_leak();
		cache_insert();
		sawtooth_add();
		hot_path();
		if (ahead_ms > 0)
			target_sleep_ms(ahead_ms);
	}
	target_done();
	return 0;
}
