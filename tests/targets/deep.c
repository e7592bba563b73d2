/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * deep.c - long stacks, large frames, realigned stacks.
 *
 * build: $CC -fno-optimize-sibling-calls -o $OUT/deep $SRC
 *
 * descend_40 and descend_700	that many frames below main, 101 x 1009 and 103 x 1013
 * big_frame			a frame of 600 KiB, 107 x 1019
 * aligned_frame		a frame realigned to 64 bytes with a variable part, 109 x 1021
 */
#include "target.h"

void leaf_of_40(void);
void leaf_of_700(void);
void descend_40(int levels);
void descend_700(int levels);
void big_frame(void);
void aligned_frame(int bytes);

NOIPA void leaf_of_40(void)
{
	char *block = malloc(1009);

	HOLD(block);
}

NOIPA void leaf_of_700(void)
{
	char *block = malloc(1013);

	HOLD(block);
}

NOIPA void descend_40(int levels)
{
	if (levels > 1)
		descend_40(levels - 1);
	else
		leaf_of_40();
	NO_TAIL_CALL();
}

NOIPA void descend_700(int levels)
{
	if (levels > 1)
		descend_700(levels - 1);
	else
		leaf_of_700();
	NO_TAIL_CALL();
}

NOIPA void big_frame(void)
{
	char room[600 * 1024], *inside = room, *block;

	HOLD(inside);
	inside[0] = inside[sizeof(room) - 1] = 1;
	block = malloc(1019);
	HOLD(block);
	HOLD(inside);
}

NOIPA void aligned_frame(int bytes)
{
	char aligned[64] __attribute__((aligned(64))), *inside = aligned, *block;
	char variable[bytes], *rest = variable;

	HOLD(inside);
	HOLD(rest);
	block = malloc(1021);
	HOLD(block);
	HOLD(inside);
	HOLD(rest);
}

int main(void)
{
	target_ready();
	for (int i = 0; i < 101; i++)
		descend_40(40);
	for (int i = 0; i < 103; i++)
		descend_700(700);
	for (int i = 0; i < 107; i++)
		big_frame();
	for (int i = 0; i < 109; i++)
		aligned_frame(100 + i);
	target_done();
	return 0;
}
