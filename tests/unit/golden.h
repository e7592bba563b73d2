/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * golden.h - what is written against the file of that name in tests/golden.
 *
 * UPDATE_GOLDEN=1 writes them anew; look at the difference before you commit it.
 */
#ifndef SEEP_TESTS_GOLDEN_H
#define SEEP_TESTS_GOLDEN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"

#define GOLDEN_BYTES (1 << 20) /* at most */

static void assert_golden(const char *name, const char *bytes)
{
	_cleanup_free_ char *expected = calloc(1, GOLDEN_BYTES);
	_cleanup_fclose_ FILE *file = NULL;
	char path[512];

	snprintf(path, sizeof(path), "%.*s../golden/%s",
		 (int)(strrchr(__FILE__, '/') + 1 - __FILE__), __FILE__, name);
	file = fopen(path, getenv("UPDATE_GOLDEN") ? "w" : "r");
	if (!file)
		fail_msg("no golden file '%s'", path);
	if (getenv("UPDATE_GOLDEN")) {
		fputs(bytes, file);
		return;
	}
	assert_int_not_equal(fread(expected, 1, GOLDEN_BYTES - 1, file), 0);
	if (strcmp(expected, bytes))
		fail_msg("differs from '%s':\n%s", path, bytes);
}

#endif
