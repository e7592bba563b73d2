/* SPDX-License-Identifier: GPL-2.0-only */
/* units.h - sizes and times as people write and read them. */
#ifndef SEEP_BASE_UNITS_H
#define SEEP_BASE_UNITS_H

#include <stdint.h>

#define NS_PER_S  1000000000ULL
#define NS_PER_MS 1000000ULL

#define UNITS_TEXT_MAX 32

/*
 * "512k", "64 KiB", "1.5M", "2G", "1048576" -> bytes (k, M, G, T are powers of 1024).
 * Returns 0, -EINVAL for anything else, -ERANGE for too much.
 */
int units_parse_bytes(const char *text, uint64_t *bytes);

/* "500ms", "10s", "10m", "2h", "1d", "1m30s"; a bare number means seconds. Returns as above. */
int units_parse_duration(const char *text, uint64_t *ns);

/* "1234", "2M", "64k" -> a count (k, M, G are powers of 1024). Returns as above. */
int units_parse_count(const char *text, uint64_t *count);

/* 1536 -> "1.5 KiB". Returns 'buffer'. */
const char *units_format_bytes(double bytes, char buffer[UNITS_TEXT_MAX]);

/* As units_format_bytes with a sign: "+1.5 KiB", "-12 B", "0 B". */
const char *units_format_growth(double bytes, char buffer[UNITS_TEXT_MAX]);

/* 90 s -> "1m30s". */
const char *units_format_duration(double seconds, char buffer[UNITS_TEXT_MAX]);

/* 12345678 -> "12,345,678". */
const char *units_format_count(uint64_t count, char buffer[UNITS_TEXT_MAX]);

#endif
