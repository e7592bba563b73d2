/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * text.h - the report for a person: verdict, ranking, the stacks of the first sites.
 *
 * Fits TEXT_COLUMNS columns; names are cut in the middle, paths from the left. Names are made fit
 * for a terminal (utf8.h). Where one function names several rows (xmalloc), each is shown with the
 * caller that tells it from the others: "xmalloc < parse_line". A native call that Python made is
 * shown with the line that made it: "SSL_new < connect  client.py:42".
 *
 * Below the ranking stand the frames through which the growth passes (profile/culprit.h), unless
 * each of them is a row of it.
 *
 * K, M, G in columns are KiB, MiB, GiB: the digits are those of the prose.
 */
#ifndef SEEP_EXPORT_TEXT_H
#define SEEP_EXPORT_TEXT_H

#include <stdbool.h>
#include <stdio.h>

#include "export/export.h"

struct verdict;

#define TEXT_COLUMNS 100

enum text_lines {
	TEXT_TABLE,
	TEXT_STATISTICS, /* tracemalloc's (tracemalloc.h) */
	TEXT_TRACEBACKS, /* likewise, each with its frames */
};

struct text_options {
	enum text_lines lines;
	bool color;
	bool allocated; /* show the bytes allocated, and also sites that hold nothing (any more) */
	bool trends;	/* a curve of the live bytes in the table, where there is room; UTF-8 */
	size_t sources; /* rows whose source lines are shown, where they can be read (source.h) */
	size_t stacks;	/* sites whose stack is shown; 0 for grouped rankings, which have none */
};

/* 'verdict' is of the ungrouped profile, unfiltered. */
int export_text(FILE *out, const struct export_input *input, const struct verdict *verdict,
		const struct text_options *options);

#endif
