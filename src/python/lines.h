/* SPDX-License-Identifier: GPL-2.0-only */
/* lines.h - instruction -> line, from the tables of code objects (Objects/locations.md, lnotab_notes.txt). */
#ifndef SEEP_PYTHON_LINES_H
#define SEEP_PYTHON_LINES_H

#include <stddef.h>
#include <stdint.h>

/*
 * The line of the instruction at byte 'offset' of the code, of a 3.'minor' code object: co_lnotab
 * (3.6-3.9), co_linetable (3.10; 3.11 on). Returns 0 if it has none or the table ends before it
 * (up to 3.9 the last line of a table holds for all that follows). Any bytes are safe.
 */
uint32_t python_line_at(int minor, const uint8_t *table, size_t bytes, int32_t first_line,
			uint32_t offset);

#endif
