/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ledger.c - many live blocks, and blocks older than the recording.
 *
 * build: $CC -o $OUT/ledger $SRC
 *
 * million	hold_many 1000003 x 17, then, over twice the time, leak_late 10007 x 9973
 * flood	hold_many 30011 x 17, then after_flood 1009 x 101 freed at once
 * settle	take_early 1009 x 103, "done"; on the next line give_back frees 499 of them and
 *		take_late 211 x 307, "done"
 * held		10007 x 9973 held before ready, freed by drop_old; then leak_new 1009 x 101
 */
#include "target.h"

#define HELD_BLOCKS 10007

void hold_many(long blocks);
void leak_late(long long pause_ns);
void after_flood(void);
void hold_old(void);
void drop_old(void);
void leak_new(void);
void take_early(void);
void give_back(void);
void take_late(void);

static char *held[HELD_BLOCKS];

NOIPA void hold_many(long blocks)
{
	for (; blocks > 0; blocks--) {
		char *block = malloc(17);

		HOLD(block);
	}
}

NOIPA void leak_late(long long pause_ns)
{
	struct timespec pause = {pause_ns / 1000000000, pause_ns % 1000000000};

	for (int i = 0; i < 10007; i++) {
		char *block = malloc(9973);

		HOLD(block);
		nanosleep(&pause, NULL);
	}
}

NOIPA void after_flood(void)
{
	for (int i = 0; i < 1009; i++) {
		char *block = malloc(101);

		HOLD(block);
		free(block);
		NO_TAIL_CALL();
	}
}

NOIPA void hold_old(void)
{
	for (int i = 0; i < HELD_BLOCKS; i++)
		held[i] = malloc(9973);
	NO_TAIL_CALL();
}

NOIPA void drop_old(void)
{
	for (int i = 0; i < HELD_BLOCKS; i++)
		free(held[i]);
	NO_TAIL_CALL();
}

NOIPA void leak_new(void)
{
	for (int i = 0; i < 1009; i++) {
		char *block = malloc(101);

		HOLD(block);
	}
}

NOIPA void take_early(void)
{
	for (int i = 0; i < 1009; i++)
		held[i] = malloc(103);
	NO_TAIL_CALL();
}

NOIPA void give_back(void)
{
	for (int i = 0; i < 499; i++)
		free(held[i]);
	NO_TAIL_CALL();
}

NOIPA void take_late(void)
{
	for (int i = 0; i < 211; i++) {
		char *block = malloc(307);

		HOLD(block);
	}
}

int main(int argc, char **argv)
{
	const char *scenario = argc > 1 ? argv[1] : "";

	if (!strcmp(scenario, "held"))
		hold_old();
	target_ready();
	if (!strcmp(scenario, "million")) {
		long long begin_ns = target_now_ns();

		hold_many(1000003);
		leak_late((target_now_ns() - begin_ns) * 2 / 10007);
	} else if (!strcmp(scenario, "flood")) {
		hold_many(30011);
		after_flood();
	} else if (!strcmp(scenario, "settle")) {
		take_early();
		target_done();
		give_back();
		take_late();
	} else if (!strcmp(scenario, "held")) {
		drop_old();
		leak_new();
	} else {
		target_usage();
	}
	target_done();
	return 0;
}
