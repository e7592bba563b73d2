/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * texts.h - a set of texts, each with a number, as formats with a table of strings want them.
 *
 * Texts are cleaned when they are added (utf8.h): valid UTF-8 on one line, whatever the binary
 * called its functions.
 */
#ifndef SEEP_EXPORT_TEXTS_H
#define SEEP_EXPORT_TEXTS_H

#include <stddef.h>
#include <sys/types.h>

struct arena;
struct table;

struct texts {
	struct arena *arena;
	struct table *numbers;
	const char **items; /* by number */
	size_t count, capacity;
};

/* Begins with "" as number 0. Returns 0 or -ENOMEM; texts_deinit() in either case. */
int texts_init(struct texts *texts);
void texts_deinit(struct texts *texts);

/* Returns the number of 'text' (NULL: ""), -1 when memory is out. */
ssize_t texts_add(struct texts *texts, const char *text);

#endif
