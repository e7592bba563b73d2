/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * long.c - what a recording meets that goes on for hours: processes come and go, stacks never end.
 *
 * build: $CC -o $OUT/long $SRC
 *
 * coming	old_stock 401 k x 17; then, until the next line, children one after the other, each:
 *		child_stock 1009 x 31 and exit. "done" after 101 of them
 * stacks	until the next line: new_stack 1 x 103 from a stack never seen before, some 10 k per
 *		second, 30 k at most, for which the kernel's ring has room. "done" after 1009
 * fat		touches 61 MiB, "done"; exits at the next line
 */
#include <stdint.h>
#include <sys/wait.h>

#include "target.h"

#define CHILDREN_DONE 101
#define STACKS_DONE   1009
#define STACKS_MAX    30011
#define FAT_BYTES     (61 << 20)

void old_stock(void);
void child_stock(void);
void new_stack(void);
void turn_left(uint32_t path, int depth);
void turn_right(uint32_t path, int depth);

static inline void leak(int blocks, size_t bytes)
{
	for (; blocks > 0; blocks--) {
		char *block = malloc(bytes);

		HOLD(block);
	}
}

/* ---- processes that come and go -------------------------------------------------------------- */

NOIPA void old_stock(void)
{
	leak(401000, 17);
}

NOIPA void child_stock(void)
{
	leak(1009, 31);
}

static void run_coming(void)
{
	old_stock();
	for (int children = 0; !target_is_told(); children++) {
		pid_t child = fork();

		if (!child) {
			child_stock();
			_exit(0);
		}
		waitpid(child, NULL, 0);
		if (children == CHILDREN_DONE)
			target_say("done\n");
	}
}

/* ---- stacks that never end ------------------------------------------------------------------- */

NOIPA void new_stack(void)
{
	leak(1, 103);
}

static inline void turn(uint32_t path, int depth)
{
	if (!depth)
		new_stack();
	else if (path & 1)
		turn_left(path >> 1, depth - 1);
	else
		turn_right(path >> 1, depth - 1);
	NO_TAIL_CALL();
}

NOIPA void turn_left(uint32_t path, int depth)
{
	turn(path, depth);
}

NOIPA void turn_right(uint32_t path, int depth)
{
	turn(path, depth);
}

static void run_stacks(void)
{
	for (uint32_t path = 0; path < STACKS_MAX && !target_is_told(); path++) {
		turn(path, 17);
		if (path == STACKS_DONE)
			target_say("done\n");
		if (path % 10 == 0)
			target_sleep_ms(1);
	}
}

/* ---- a process that ends large --------------------------------------------------------------- */

static void run_fat(void)
{
	char *fat = malloc(FAT_BYTES);

	if (fat)
		memset(fat, 1, FAT_BYTES);
	HOLD(fat);
	target_done();
}

int main(int argc, char **argv)
{
	const char *scenario = argc == 2 ? argv[1] : "";

	target_ready();
	if (!strcmp(scenario, "coming"))
		run_coming();
	else if (!strcmp(scenario, "stacks"))
		run_stacks();
	else if (!strcmp(scenario, "fat"))
		run_fat();
	else
		target_usage();
	target_say("done\n");
	return 0;
}
