/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * plugin.c - a library that is loaded after the recording began, and again from another path.
 *
 * build: $CC -fPIC -shared -o $OUT/plugin.so $SRC
 */
#include "target.h"

void *plugin_alloc(size_t bytes);
void plugin_work(void);

NOIPA void *plugin_alloc(size_t bytes)
{
	char *block = malloc(bytes);

	HOLD(block);
	return block;
}

/* 211 blocks of 1009 bytes stay */
NOIPA void plugin_work(void)
{
	for (int i = 0; i < 211; i++)
		plugin_alloc(1009);
	NO_TAIL_CALL();
}
