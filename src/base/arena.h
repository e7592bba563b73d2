/* SPDX-License-Identifier: GPL-2.0-only */
/* arena.h - memory that is given back all at once. */
#ifndef SEEP_BASE_ARENA_H
#define SEEP_BASE_ARENA_H

#include <stddef.h>

struct arena;

struct arena *arena_new(void); /* NULL when memory is out */
void arena_free(struct arena *arena); /* NULL allowed */

/* 'bytes' of zeroed memory, aligned for any type; NULL when memory is out. */
void *arena_alloc(struct arena *arena, size_t bytes);
#define arena_array(arena, type, count) ((type *)arena_alloc_array(arena, sizeof(type), count))
void *arena_alloc_array(struct arena *arena, size_t item_bytes, size_t count);

/* A copy of 'text' (NULL stays NULL). The same text gives the same pointer: compare by ==. */
const char *arena_intern(struct arena *arena, const char *text);

#endif
