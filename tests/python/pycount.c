/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * pycount.c - counts an interpreter's allocator calls from within: the truth that seep's counts of
 * class python are compared with. Loaded by tests/python/judge.py through ctypes.
 *
 * Hooks the mem and obj domains by PyMem_SetAllocator, as an extension may (PEP 445; the structure
 * and the domains' numbers are the same from 3.5 on). Remembers the blocks born since
 * pycount_begin(), so that frees of older ones are told apart. All calls come with the GIL held.
 *
 * Needs no header of Python and no C library, so that one file serves every interpreter and root.
 */
#include <stddef.h>
#include <stdint.h>

enum { DOMAIN_MEM = 1, DOMAIN_OBJ = 2, DOMAIN_COUNT = 3 };

struct allocator { /* PyMemAllocatorEx */
	void *ctx;
	void *(*malloc)(void *ctx, size_t size);
	void *(*calloc)(void *ctx, size_t count, size_t size);
	void *(*realloc)(void *ctx, void *block, size_t size);
	void (*free)(void *ctx, void *block);
};

struct counts { /* as judge.py's class Counts */
	unsigned long allocated; /* malloc, calloc, and realloc: each makes a block */
	unsigned long freed;	 /* of those, also by realloc */
	unsigned long freed_older;
	unsigned long allocated_bytes;
	unsigned long live, live_bytes;
	unsigned long lost; /* blocks for which the table had no room */
};

#define SLOTS (1UL << 21)

struct slot {
	uintptr_t block;
	size_t bytes;
};

static struct slot slots[SLOTS];
static struct allocator original[DOMAIN_COUNT];
static struct counts counts;
static int counting;

static size_t slot_home(uintptr_t block)
{
	return (block >> 4) * 0x9e3779b97f4a7c15ULL >> (64 - 21);
}

static size_t slot_find(uintptr_t block)
{
	size_t at = slot_home(block);

	while (slots[at].block && slots[at].block != block)
		at = (at + 1) % SLOTS;
	return at;
}

/* Empties a slot; those behind it that were pushed on by it move up. */
static void slot_clear(size_t hole)
{
	for (size_t at = (hole + 1) % SLOTS; slots[at].block; at = (at + 1) % SLOTS) {
		size_t home = slot_home(slots[at].block);

		if ((at - home) % SLOTS >= (at - hole) % SLOTS) {
			slots[hole] = slots[at];
			hole = at;
		}
	}
	slots[hole].block = 0;
}

static void count_block(void *block, size_t bytes)
{
	size_t at;

	if (!counting || !block)
		return;
	counts.allocated++;
	counts.allocated_bytes += bytes;
	if (counts.live >= SLOTS / 2) {
		counts.lost++;
		return;
	}
	at = slot_find((uintptr_t)block);
	slots[at] = (struct slot){(uintptr_t)block, bytes};
	counts.live++;
	counts.live_bytes += bytes;
}

static void count_free(void *block)
{
	size_t at;

	if (!counting || !block)
		return;
	at = slot_find((uintptr_t)block);
	if (!slots[at].block) {
		counts.freed_older++;
		return;
	}
	counts.freed++;
	counts.live--;
	counts.live_bytes -= slots[at].bytes;
	slot_clear(at);
}

static void *count_malloc(void *ctx, size_t size)
{
	struct allocator *under = ctx;
	void *block = under->malloc(under->ctx, size);

	count_block(block, size);
	return block;
}

static void *count_calloc(void *ctx, size_t count, size_t size)
{
	struct allocator *under = ctx;
	void *block = under->calloc(under->ctx, count, size);

	count_block(block, count * size);
	return block;
}

static void *count_realloc(void *ctx, void *old, size_t size)
{
	struct allocator *under = ctx;
	void *block = under->realloc(under->ctx, old, size);

	if (block)
		count_free(old);
	count_block(block, size);
	return block;
}

static void count_free_call(void *ctx, void *block)
{
	struct allocator *under = ctx;

	count_free(block);
	under->free(under->ctx, block);
}

void pycount_install(void (*get)(int, struct allocator *), void (*set)(int, struct allocator *))
{
	for (int domain = DOMAIN_MEM; domain < DOMAIN_COUNT; domain++) {
		struct allocator hook = {&original[domain], count_malloc, count_calloc,
					 count_realloc, count_free_call};

		get(domain, &original[domain]);
		set(domain, &hook);
	}
}

void pycount_begin(void)
{
	counting = 1;
}

void pycount_end(void)
{
	counting = 0;
}

void pycount_read(struct counts *to)
{
	*to = counts;
}
