/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * output.h - where a report goes, and in which format.
 *
 * A file gets its name when it is complete: nobody ever reads half of it. Standard output ("-") and
 * devices are written at once.
 */
#ifndef SEEP_CLI_OUTPUT_H
#define SEEP_CLI_OUTPUT_H

#include <stdbool.h>
#include <stdio.h>

#include "export/folded.h"

struct err;
struct export_input;

struct output {
	FILE *file;
	char *temporary; /* NULL: not renamed */
	const char *path;
};

/* Returns 0 or -errno. */
int output_open(struct output *output, const char *path, struct err *err);

/*
 * Finish or, with 'failed', drop the output. Returns 0 or -errno; -EPIPE without a text: the reader
 * has seen enough.
 */
int output_close(struct output *output, bool failed, struct err *err);

#define OUTPUT_FORMATS "auto|text|json|folded|pprof|speedscope|dhat|openmetrics|html"
/* In the order of OUTPUT_FORMATS, which is an OPT_CHOICE. */
enum output_format {
	FORMAT_AUTO,
	FORMAT_TEXT,
	FORMAT_JSON,
	FORMAT_FOLDED,
	FORMAT_PPROF,
	FORMAT_SPEEDSCOPE,
	FORMAT_DHAT,
	FORMAT_OPENMETRICS,
	FORMAT_HTML,
};

/* 'given', or for FORMAT_AUTO what the ending of 'path' says (.speedscope.json, .pb.gz, ...), text
 * where it says nothing. */
enum output_format output_format_find(enum output_format given, const char *path);

/* May it be shown on a terminal? */
bool output_format_is_text(enum output_format format);

/* Write in a format other than text; 'value' is what folded stacks count. Returns 0 or -ENOMEM. */
int output_export(FILE *file, const struct export_input *input, enum output_format format,
		  enum folded_value value, struct err *err);

#endif
