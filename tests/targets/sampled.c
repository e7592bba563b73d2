/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sampled.c - the same workload 30 times, each time on a stack of its own: 30 independent
 * estimates of one truth from a single recording.
 *
 * build: $CC -o $OUT/sampled $SRC
 *
 * Each round_NN keeps, and frees every other block of:
 *	take_tiny 10007 x 97, take_small 1009 x 1013, take_medium 101 x 10007, take_large 3 x
 *1000003
 */
#include "target.h"

#define MAX_BLOCKS 10007

void take_tiny(void);
void take_small(void);
void take_medium(void);
void take_large(void);

static inline void take(int blocks, size_t bytes)
{
	for (int i = 0; i < blocks; i++) {
		char *block = malloc(bytes);

		HOLD(block);
		if (i % 2)
			free(block);
		NO_TAIL_CALL();
	}
}

NOIPA void take_tiny(void)
{
	take(10007, 97);
}

NOIPA void take_small(void)
{
	take(1009, 1013);
}

NOIPA void take_medium(void)
{
	take(101, 10007);
}

NOIPA void take_large(void)
{
	take(3, 1000003);
}

#define ROUNDS(X)                                                                                  \
	X(00)                                                                                      \
	X(01)                                                                                      \
	X(02) X(03) X(04) X(05) X(06) X(07) X(08) X(09) X(10) X(11) X(12) X(13) X(14) X(15) X(16)  \
	    X(17) X(18) X(19) X(20) X(21) X(22) X(23) X(24) X(25) X(26) X(27) X(28) X(29)

#define DECLARE(number) void round_##number(void);
ROUNDS(DECLARE)

#define DEFINE(number)                                                                             \
	NOIPA void round_##number(void)                                                            \
	{                                                                                          \
		take_tiny();                                                                       \
		take_small();                                                                      \
		take_medium();                                                                     \
		take_large();                                                                      \
		NO_TAIL_CALL();                                                                    \
	}
ROUNDS(DEFINE)

int main(void)
{
	target_ready();
#define CALL(number) round_##number();
	ROUNDS(CALL)
	target_done();
	return 0;
}
