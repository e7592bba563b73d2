/* SPDX-License-Identifier: GPL-2.0-only */
/* table.c - see table.h */
#include "base/table.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct table {
	size_t key_bytes, count, key_capacity;
	unsigned char *keys; /* key of index i at keys + i * key_bytes */
	uint32_t *slots;     /* index + 1; 0 is empty */
	size_t slot_count;   /* power of two */
};

#define FIRST_SLOTS 64

/* FNV-1a, then a finalizer so that the low bits depend on all bytes. */
static uint64_t hash_bytes(const void *key, size_t length)
{
	const unsigned char *bytes = key;
	uint64_t hash = 0xcbf29ce484222325ULL;

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3ULL;
	hash ^= hash >> 32;
	hash *= 0x9E3779B97F4A7C15ULL;
	return hash ^ hash >> 29;
}

struct table *table_new(size_t key_bytes)
{
	struct table *table = calloc(1, sizeof(*table));

	if (!table)
		return NULL;
	table->key_bytes = key_bytes;
	table->slot_count = FIRST_SLOTS;
	table->slots = calloc(FIRST_SLOTS, sizeof(*table->slots));
	if (!table->slots) {
		free(table);
		return NULL;
	}
	return table;
}

void table_free(struct table *table)
{
	if (!table)
		return;
	free(table->keys);
	free(table->slots);
	free(table);
}

size_t table_count(const struct table *table)
{
	return table->count;
}

static size_t slot_of(const struct table *table, const void *key)
{
	size_t mask = table->slot_count - 1;
	size_t slot = hash_bytes(key, table->key_bytes) & mask;

	while (table->slots[slot]) {
		size_t index = table->slots[slot] - 1;

		if (!memcmp(table->keys + index * table->key_bytes, key, table->key_bytes))
			break;
		slot = (slot + 1) & mask;
	}
	return slot;
}

ssize_t table_find(const struct table *table, const void *key)
{
	return (ssize_t)table->slots[slot_of(table, key)] - 1;
}

static int grow_slots(struct table *table)
{
	uint32_t *old = table->slots;
	uint32_t *slots = calloc(table->slot_count * 2, sizeof(*slots));

	if (!slots)
		return -1;
	table->slots = slots;
	table->slot_count *= 2;
	for (size_t i = 0; i < table->count; i++)
		slots[slot_of(table, table->keys + i * table->key_bytes)] = i + 1;
	free(old);
	return 0;
}

static int grow_keys(struct table *table)
{
	size_t capacity = table->key_capacity ? table->key_capacity * 2 : FIRST_SLOTS;
	unsigned char *keys;

	if (capacity > UINT32_MAX - 1)
		return -1;
	keys = reallocarray(table->keys, capacity, table->key_bytes);
	if (!keys)
		return -1;
	table->keys = keys;
	table->key_capacity = capacity;
	return 0;
}

ssize_t table_add(struct table *table, const void *key, bool *added)
{
	size_t slot = slot_of(table, key);

	*added = false;
	if (table->slots[slot])
		return table->slots[slot] - 1;
	if (table->count == table->key_capacity && grow_keys(table))
		return -1;
	if ((table->count + 1) * 4 > table->slot_count * 3) {
		if (grow_slots(table))
			return -1;
		slot = slot_of(table, key);
	}
	memcpy(table->keys + table->count * table->key_bytes, key, table->key_bytes);
	table->slots[slot] = ++table->count;
	*added = true;
	return table->count - 1;
}
