/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * source.h - excerpts of the source files that a report points to, where they can be read.
 *
 * Names of files come from recordings, which anybody may have written: read are only regular files
 * of text, SOURCE_FILE_MAX bytes at most, without waiting for anybody. What cannot be read is left
 * out, silently: most recordings are read elsewhere.
 */
#ifndef SEEP_EXPORT_SOURCE_H
#define SEEP_EXPORT_SOURCE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "export/export.h"

#define SOURCE_FILE_MAX	 (16 << 20)
#define SOURCE_ROWS_MOST 11

/*
 * Write a line of a file with the one before and the one after it:
 *
 *	/srv/app.py:42
 *	   41   for row in rows:
 *	   42 >     table.append(row)
 *	   43   return table
 *
 * 'changed_after' is when the file must have been as it is, in seconds since 1970; of a later one
 * the first line says so. 0: whenever. Returns false, and writes nothing, when it cannot.
 */
bool source_print(FILE *out, const char *path, uint32_t line, int64_t changed_after);

/* Excerpts of the culprits and of the first 'rows' of the ranking, each place once, behind an empty
 * line each. */
void sources_print(FILE *out, const struct export_input *input, size_t rows);

#endif
