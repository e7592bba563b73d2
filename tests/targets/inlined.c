/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * inlined.c - functions that exist only in the debug information.
 *
 * build: $CC -g -o $OUT/inlined $SRC
 *
 * inner_alloc, inlined into middle_alloc, inlined into outer_work: 307 x 1013. The tests find the
 * lines by the words LINE_ in the comments.
 */
#include "target.h"

void outer_work(long blocks);

static inline __attribute__((always_inline)) void *inner_alloc(size_t bytes)
{
	void *block = malloc(bytes); /* LINE_inner */

	HOLD(block);
	return block;
}

static inline __attribute__((always_inline)) void *middle_alloc(size_t bytes)
{
	return inner_alloc(bytes); /* LINE_middle */
}

NOIPA void outer_work(long blocks)
{
	for (; blocks > 0; blocks--)
		middle_alloc(1013); /* LINE_outer */
}

int main(void)
{
	target_ready();
	outer_work(307); /* LINE_main */
	target_done();
	return 0;
}
