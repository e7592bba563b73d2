/* SPDX-License-Identifier: GPL-2.0-only */
/* columns.c - see columns.h */
#include "export/columns.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/vec.h"
#include "export/utf8.h"

#define ELLIPSIS "\342\200\246"

int columns_add(struct columns *table, const char *cell)
{
	char **item = vec_add(table);

	if (!item)
		return -ENOMEM;
	*item = utf8_clean(cell, 0);
	return *item ? 0 : -ENOMEM;
}

size_t columns_width(const struct columns *table, size_t column)
{
	size_t widest = utf8_columns(table->columns[column].title);

	for (size_t i = column; i < table->count; i += table->column_count) {
		size_t width = utf8_columns(table->items[i]);

		if (width > widest)
			widest = width;
	}
	return widest;
}

static void cell_print(FILE *out, const struct columns *table, size_t column, size_t width,
		       const char *text)
{
	int padding = width > utf8_columns(text) ? (int)(width - utf8_columns(text)) : 0;
	bool last = column + 1 == table->column_count;

	if (table->columns[column].right)
		fprintf(out, "%*s%s", padding, "", text);
	else
		fprintf(out, "%s%*s", text, last ? 0 : padding, "");
	fputs(last ? "\n" : "  ", out);
}

void columns_print(FILE *out, const struct columns *table, const char *indent)
{
	_cleanup_free_ size_t *widths = calloc(table->column_count, sizeof(*widths));

	if (!widths)
		return;
	fputs(indent, out);
	for (size_t i = 0; i < table->column_count; i++) {
		widths[i] = columns_width(table, i);
		cell_print(out, table, i, widths[i], table->columns[i].title);
	}
	for (size_t i = 0; i < table->count; i++) {
		size_t column = i % table->column_count;

		if (!column)
			fputs(indent, out);
		cell_print(out, table, column, widths[column], table->items[i]);
	}
}

void columns_free(struct columns *table)
{
	for (size_t i = 0; i < table->count; i++)
		free(table->items[i]);
	free(table->items);
	table->items = NULL;
	table->count = table->capacity = 0;
}

/* Where the character number 'index' begins. */
static const char *character_at(const char *text, size_t index)
{
	for (uint32_t character; *text && index; index--)
		text += utf8_take(text, &character);
	return text;
}

/* Keep 'head' characters from the left and as many from the right as 'width' has room for. */
static char *elide(const char *text, size_t head, size_t width)
{
	char *clean = utf8_clean(text, 0), *shorter = NULL;
	size_t length;

	if (!clean || (length = utf8_columns(clean)) <= width)
		return clean;
	if (asprintf(&shorter, "%.*s" ELLIPSIS "%s", (int)(character_at(clean, head) - clean),
		     clean, character_at(clean, length - (width - head - 1))) < 0)
		shorter = NULL;
	free(clean);
	return shorter;
}

char *elide_middle(const char *text, size_t width)
{
	return elide(text, width / 2, width ? width : 1);
}

char *elide_left(const char *text, size_t width)
{
	return elide(text, 0, width ? width : 1);
}

char *elide_path(const char *path, size_t width)
{
	_cleanup_free_ char *clean = utf8_clean(path, 0);
	char *shorter = NULL;

	if (!clean || utf8_columns(clean) <= width)
		return TAKE_PTR(clean);
	for (const char *at = strchr(clean + 1, '/'); at && at[1]; at = strchr(at + 1, '/')) {
		if (utf8_columns(at) + 1 > width)
			continue;
		return asprintf(&shorter, ELLIPSIS "%s", at) < 0 ? NULL : shorter;
	}
	return elide_left(clean, width);
}
