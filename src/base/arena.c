/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * arena.c - see arena.h
 *
 * Chunks in a list, the first one is filled from the front. What would waste much of a chunk gets
 * one of its own behind the first. Interned texts stand in an open-addressed table of pointers.
 */
#include "base/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES (64 * 1024)
#define LARGE_BYTES (CHUNK_BYTES / 4)
#define FIRST_SLOTS 256

struct chunk {
	struct chunk *next;
	size_t used_bytes, room_bytes;
	_Alignas(max_align_t) unsigned char data[];
};

struct arena {
	struct chunk *chunks;
	const char **texts; /* interned; NULL is an empty slot */
	size_t text_slots;  /* power of two, or 0 */
	size_t text_count;
};

struct arena *arena_new(void)
{
	return calloc(1, sizeof(struct arena));
}

void arena_free(struct arena *arena)
{
	if (!arena)
		return;
	while (arena->chunks) {
		struct chunk *next = arena->chunks->next;

		free(arena->chunks);
		arena->chunks = next;
	}
	free(arena->texts);
	free(arena);
}

static struct chunk *chunk_new(size_t room_bytes)
{
	struct chunk *chunk = calloc(1, sizeof(*chunk) + room_bytes);

	if (chunk)
		chunk->room_bytes = room_bytes;
	return chunk;
}

static void *alloc_large(struct arena *arena, size_t bytes)
{
	struct chunk *chunk = chunk_new(bytes);

	if (!chunk)
		return NULL;
	chunk->used_bytes = bytes;
	if (arena->chunks) {
		chunk->next = arena->chunks->next;
		arena->chunks->next = chunk;
	} else {
		arena->chunks = chunk;
	}
	return chunk->data;
}

static void *alloc_small(struct arena *arena, size_t bytes)
{
	struct chunk *chunk = arena->chunks;
	void *block;

	if (!chunk || bytes > chunk->room_bytes - chunk->used_bytes) {
		chunk = chunk_new(CHUNK_BYTES);
		if (!chunk)
			return NULL;
		chunk->next = arena->chunks;
		arena->chunks = chunk;
	}
	block = chunk->data + chunk->used_bytes;
	chunk->used_bytes += bytes;
	return block;
}

void *arena_alloc(struct arena *arena, size_t bytes)
{
	const size_t align = _Alignof(max_align_t);

	if (bytes > SIZE_MAX / 2)
		return NULL;
	bytes = bytes ? (bytes + align - 1) & ~(align - 1) : align;
	return bytes > LARGE_BYTES ? alloc_large(arena, bytes) : alloc_small(arena, bytes);
}

void *arena_alloc_array(struct arena *arena, size_t item_bytes, size_t count)
{
	size_t bytes;

	if (__builtin_mul_overflow(item_bytes, count, &bytes))
		return NULL;
	return arena_alloc(arena, bytes);
}

/* FNV-1a with a finalizer: the low bits depend on every byte. */
static uint64_t hash_text(const char *text)
{
	uint64_t hash = 0xcbf29ce484222325ULL;

	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * 0x100000001b3ULL;
	return (hash ^ hash >> 32) * 0x9E3779B97F4A7C15ULL >> 20;
}

/* The slot that holds 'text', or the empty one where it belongs. */
static const char **slot_of(const char **slots, size_t slot_count, const char *text)
{
	size_t slot = hash_text(text) & (slot_count - 1);

	while (slots[slot] && strcmp(slots[slot], text))
		slot = (slot + 1) & (slot_count - 1);
	return &slots[slot];
}

static int grow_texts(struct arena *arena)
{
	size_t slot_count = arena->text_slots ? arena->text_slots * 2 : FIRST_SLOTS;
	const char **slots = calloc(slot_count, sizeof(*slots));

	if (!slots)
		return -1;
	for (size_t i = 0; i < arena->text_slots; i++) {
		if (arena->texts[i])
			*slot_of(slots, slot_count, arena->texts[i]) = arena->texts[i];
	}
	free(arena->texts);
	arena->texts = slots;
	arena->text_slots = slot_count;
	return 0;
}

const char *arena_intern(struct arena *arena, const char *text)
{
	const char **slot;
	size_t bytes;
	char *copy;

	if (!text)
		return NULL;
	if (arena->text_count * 4 >= arena->text_slots * 3 && grow_texts(arena))
		return NULL;
	slot = slot_of(arena->texts, arena->text_slots, text);
	if (*slot)
		return *slot;
	bytes = strlen(text) + 1;
	copy = arena_alloc(arena, bytes);
	if (!copy)
		return NULL;
	*slot = memcpy(copy, text, bytes);
	arena->text_count++;
	return copy;
}
