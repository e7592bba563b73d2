/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * lines.c - see lines.h. Three formats, all of them deltas from the first line:
 *
 * 3.6-3.9: pairs of the bytes of code up to the next line and a signed line delta, which applies
 *	behind them (Objects/lnotab_notes.txt; PyCode_Addr2Line, Objects/codeobject.c); the last
 *	line holds for all that follows
 * 3.10: pairs of the bytes of a range and its signed line delta, -128: no line
 * 3.11 on: entries of one byte with bit 7 set and operands without (Objects/locations.md)
 *
 * PyCode_Addr2Line gives -1 where there is no line, and tracemalloc shows line 0 for all that is
 * negative (tracemalloc_get_frame: Modules/_tracemalloc.c, from 3.13 Python/tracemalloc.c).
 */
#include "python/lines.h"

#include <stdbool.h>

#define UNIT_BYTES 2 /* _Py_CODEUNIT */

#define LNOTAB_MINOR_MIN 6 /* before 3.6 deltas had no sign */
#define RANGES_MINOR	 10
#define LOCATIONS_MINOR	 11

#define NO_LINE_DELTA (-128) /* 3.10 */

/* 3.11 on: kinds of entries, enum _PyCodeLocationInfoKind of Include/cpython/code.h */
#define KIND_ONE_LINE_FIRST 10
#define KIND_ONE_LINE_LAST  12
#define KIND_NO_COLUMNS	    13
#define KIND_LONG	    14
#define KIND_NONE	    15

#define VARINT_MORE	 0x40
#define VARINT_BITS	 6
#define VARINT_SHIFT_MAX 30 /* CPython counts in 32 bits */

#define ENTRY_MARK 0x80

/* Sums stay far from overflow: at most 2^36 a byte of table, tables of less than 2^26 bytes. */
#define TABLE_BYTES_MAX (1U << 26)

static uint32_t line_of(int64_t line)
{
	return line > 0 && line <= INT32_MAX ? (uint32_t)line : 0;
}

static uint32_t lnotab_line_at(const uint8_t *table, size_t bytes, int64_t line, uint32_t offset)
{
	uint64_t start = 0;

	for (size_t i = 0; i + 1 < bytes; i += 2) {
		start += table[i];
		if (start > offset)
			break;
		line += (int8_t)table[i + 1];
	}
	return line_of(line);
}

static uint32_t ranges_line_at(const uint8_t *table, size_t bytes, int64_t line, uint32_t offset)
{
	uint64_t end = 0;

	for (size_t i = 0; i + 1 < bytes; i += 2) {
		int8_t delta = (int8_t)table[i + 1];

		end += table[i];
		if (delta != NO_LINE_DELTA)
			line += delta;
		if (end > offset)
			return delta == NO_LINE_DELTA ? 0 : line_of(line);
	}
	return 0;
}

/* The signed number at 'at'. False if it has no end, or more bits than a line can have. */
static bool take_signed(const uint8_t *table, size_t bytes, size_t at, int64_t *number)
{
	uint64_t value = 0;

	for (unsigned int shift = 0; at < bytes && shift <= VARINT_SHIFT_MAX;
	     shift += VARINT_BITS, at++) {
		if (table[at] & ENTRY_MARK)
			return false;
		value |= (uint64_t)(table[at] & (VARINT_MORE - 1)) << shift;
		if (table[at] & VARINT_MORE)
			continue;
		*number = value & 1 ? -(int64_t)(value >> 1) : (int64_t)(value >> 1);
		return true;
	}
	return false;
}

/* By how much the entry at 'at' moves the line. False if that cannot be told. */
static bool entry_delta(const uint8_t *table, size_t bytes, size_t at, int64_t *delta)
{
	unsigned int kind = table[at] >> 3 & 15;

	*delta = 0;
	if (kind >= KIND_ONE_LINE_FIRST && kind <= KIND_ONE_LINE_LAST)
		*delta = kind - KIND_ONE_LINE_FIRST;
	else if (kind == KIND_NO_COLUMNS || kind == KIND_LONG)
		return take_signed(table, bytes, at + 1, delta);
	return true;
}

static uint32_t locations_line_at(const uint8_t *table, size_t bytes, int64_t line, uint32_t offset)
{
	uint64_t end = 0;
	int64_t delta;

	for (size_t at = 0; at < bytes;) {
		bool none = (table[at] >> 3 & 15) == KIND_NONE;

		if (!(table[at] & ENTRY_MARK) || !entry_delta(table, bytes, at, &delta))
			return 0;
		end += ((table[at] & 7) + 1) * UNIT_BYTES;
		line += delta;
		if (end > offset)
			return none ? 0 : line_of(line);
		do
			at++;
		while (at < bytes && !(table[at] & ENTRY_MARK));
	}
	return 0;
}

uint32_t python_line_at(int minor, const uint8_t *table, size_t bytes, int32_t first_line,
			uint32_t offset)
{
	if (minor < LNOTAB_MINOR_MIN || bytes > TABLE_BYTES_MAX)
		return 0;
	if (minor >= LOCATIONS_MINOR)
		return locations_line_at(table, bytes, first_line, offset);
	if (minor == RANGES_MINOR)
		return ranges_line_at(table, bytes, first_line, offset);
	return lnotab_line_at(table, bytes, first_line, offset);
}
