/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * columns.h - aligned columns of text, and texts cut to fit them.
 *
 *	static const struct column heads[] = { { "size", true }, { "name", false } };
 *	struct columns table = { heads, 2 };
 *	columns_add(&table, "12");	// cell by cell, row by row
 *	columns_add(&table, "x");
 *	columns_print(stdout, &table, "  ");
 *	columns_free(&table);
 */
#ifndef SEEP_EXPORT_COLUMNS_H
#define SEEP_EXPORT_COLUMNS_H

#include <stdbool.h>
#include <stdio.h>

struct column {
	const char *title;
	bool right; /* aligned to the right; the last column is never padded */
};

struct columns {
	const struct column *columns;
	size_t column_count;
	char **items; /* cells, row by row */
	size_t count, capacity;
};

/* Copies 'cell' and makes it fit for a terminal (utf8.h). Returns 0 or -ENOMEM. */
int columns_add(struct columns *table, const char *cell);

/* Width of the widest cell or title of a column. */
size_t columns_width(const struct columns *table, size_t column);

/* Titles and rows, each line behind 'indent', two spaces between columns. */
void columns_print(FILE *out, const struct columns *table, const char *indent);
void columns_free(struct columns *table);

/* 'text', made fit for a terminal and cut to 'width' columns: in the middle, or on the left for
 * paths. The caller frees it. NULL when memory is out. */
char *elide_middle(const char *text, size_t width);
char *elide_left(const char *text, size_t width);

/* A path cut on the left where a folder begins, so that what stays is whole: ".../cache/lru.c". As
 * elide_left() where not even the last name fits. */
char *elide_path(const char *path, size_t width);

#endif
