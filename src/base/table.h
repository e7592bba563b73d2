/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * table.h - a hash table from fixed-size keys to indices, for arrays of the caller's.
 *
 * Open addressing, no deletion. The keys' bytes are compared, so padding must be zero. Use:
 *
 *	struct table *by_key = table_new(sizeof(struct site_key));
 *	bool added;
 *	ssize_t index = table_add(by_key, &key, &added);	// index of a new key: table_count - 1
 */
#ifndef SEEP_BASE_TABLE_H
#define SEEP_BASE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct table;

/* Returns an empty table for keys of 'key_bytes' bytes, or NULL when memory is out. */
struct table *table_new(size_t key_bytes);
void table_free(struct table *table); /* NULL allowed */

size_t table_count(const struct table *table);

/* Returns the index of 'key', -1 if it is not there. */
ssize_t table_find(const struct table *table, const void *key);

/* As table_find, but adds a missing key. Returns its index, -1 when memory is out. */
ssize_t table_add(struct table *table, const void *key, bool *added);

#endif
