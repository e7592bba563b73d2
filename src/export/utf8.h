/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * utf8.h - names as they come from binaries and files made fit to be shown: valid UTF-8 without
 * characters that steer a terminal.
 */
#ifndef SEEP_EXPORT_UTF8_H
#define SEEP_EXPORT_UTF8_H

#include <stdint.h>
#include <stdio.h>

/*
 * Take one character (RFC 3629: no surrogates, no overlong forms). Returns the bytes it has, at
 * least 1; '*character' is U+FFFD for what is not valid. 'text' must not be at its NUL.
 */
unsigned int utf8_take(const char *text, uint32_t *character);

/*
 * Write 'text' as valid UTF-8. Control characters (C0, DEL, C1) become '?', invalid bytes and the
 * characters that reorder or hide text (bidirectional and zero-width marks) U+FFFD.
 */
void utf8_print(FILE *out, const char *text);

/* As utf8_print(), as a string of JSON with its quotes. */
void utf8_print_json(FILE *out, const char *text);

/* As a string that the caller frees; with 'keep_controls' only invalid bytes are replaced. NULL
 * when memory is out. */
char *utf8_clean(const char *text, int keep_controls);

/* Characters of a text, counted as one column each. */
size_t utf8_columns(const char *text);

#endif
