/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sites.c - two callers of one allocating leaf, blocks above the mmap threshold, a hot pair.
 *
 * build: $CC -o $OUT/sites $SRC
 * build: $CC -s -o $OUT/sites-stripped $SRC
 * build: $CC -static -o $OUT/sites-static $SRC
 * build: $CC -static -s -o $OUT/sites-static-stripped $SRC
 * build: $MUSL -o $OUT/sites-musl $SRC
 * build: $MUSL -static -o $OUT/sites-musl-static $SRC
 *
 * tick	leak_small 5003 x 61, leak_mid 503 x 997, leak_big 11 x 1048583 kept; churn 2003 x 211 freed
 * big	leak_big 13 x 1048583
 */
#include "target.h"

#define TICKS 101

void *leaf_alloc(size_t bytes);
void leak_small(long blocks);
void leak_mid(long blocks);
void leak_big(long blocks);
void churn(long blocks);
void tick(long number);

NOIPA void *leaf_alloc(size_t bytes)
{
	char *block = malloc(bytes);

	HOLD(block);
	if (block && bytes)
		block[0] = 1;
	return block;
}

NOIPA void leak_small(long blocks)
{
	for (; blocks > 0; blocks--)
		leaf_alloc(61);
	NO_TAIL_CALL();
}

NOIPA void leak_mid(long blocks)
{
	for (; blocks > 0; blocks--)
		leaf_alloc(997);
	NO_TAIL_CALL();
}

NOIPA void leak_big(long blocks)
{
	for (; blocks > 0; blocks--)
		leaf_alloc(1048583);
	NO_TAIL_CALL();
}

NOIPA void churn(long blocks)
{
	for (; blocks > 0; blocks--)
		free(leaf_alloc(211));
	NO_TAIL_CALL();
}

NOIPA void tick(long number)
{
	leak_small(target_share(5003, number, TICKS));
	leak_mid(target_share(503, number, TICKS));
	churn(target_share(2003, number, TICKS));
	leak_big(target_share(11, number, TICKS));
	NO_TAIL_CALL();
}

int main(int argc, char **argv)
{
	const char *scenario = argc > 1 ? argv[1] : "";

	target_ready();
	if (!strcmp(scenario, "tick"))
		for (long i = 0; i < TICKS; i++)
			tick(i);
	else if (!strcmp(scenario, "big"))
		leak_big(13);
	else
		target_usage();
	target_done();
	return 0;
}
