/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * stacks.c - 131071 allocations, each from a stack of its own.
 *
 * build: $CC -o $OUT/stacks $SRC
 *
 * The bits of a number choose between turn_left and turn_right on 17 levels; the leaf, arrive,
 * keeps one block of 61 bytes.
 */
#include "target.h"

#define LEVELS 17

void arrive(void);
void turn_left(unsigned int path, int levels);
void turn_right(unsigned int path, int levels);

NOIPA void arrive(void)
{
	char *block = malloc(61);

	HOLD(block);
}

static inline __attribute__((always_inline)) void turn(unsigned int path, int levels)
{
	if (levels == 0)
		arrive();
	else if (path & 1)
		turn_left(path >> 1, levels - 1);
	else
		turn_right(path >> 1, levels - 1);
	NO_TAIL_CALL();
}

NOIPA void turn_left(unsigned int path, int levels)
{
	turn(path, levels);
}

NOIPA void turn_right(unsigned int path, int levels)
{
	turn(path, levels);
}

int main(void)
{
	target_ready();
	for (unsigned int path = 0; path < 131071; path++)
		turn_left(path, LEVELS);
	target_done();
	return 0;
}
