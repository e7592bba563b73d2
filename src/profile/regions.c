/* SPDX-License-Identifier: GPL-2.0-only */
/* regions.c - see regions.h */
#include "profile/regions.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/table.h"
#include "base/vec.h"

/* A piece of a range. The pieces of one range share 'block', which counts them. */
struct piece {
	uint64_t start, end;
	uint32_t block;
};

struct block_state {
	uint32_t site, age;
	uint32_t piece_count;
};

struct space {
	uint32_t generation;
	struct piece *items; /* disjoint, sorted by start */
	size_t count, capacity;
};

struct regions {
	struct table *sites_by_key;
	struct {
		struct region_totals *items;
		size_t count, capacity;
	} totals;
	struct {
		struct site_key *items;
		size_t count, capacity;
	} keys;
	struct {
		struct block_state *items;
		size_t count, capacity;
	} blocks;
	struct {
		uint32_t *items;
		size_t count, capacity;
	} unused_blocks;
	struct {
		struct space *items;
		size_t count, capacity;
	} spaces;
};

struct regions *regions_new(void)
{
	struct regions *regions = calloc(1, sizeof(*regions));

	if (!regions)
		return NULL;
	regions->sites_by_key = table_new(sizeof(struct site_key));
	if (!regions->sites_by_key) {
		free(regions);
		return NULL;
	}
	return regions;
}

void regions_free(struct regions *regions)
{
	if (!regions)
		return;
	vec_for_each (space, &regions->spaces)
		free(space->items);
	table_free(regions->sites_by_key);
	free(regions->spaces.items);
	free(regions->blocks.items);
	free(regions->unused_blocks.items);
	free(regions->keys.items);
	free(regions->totals.items);
	free(regions);
}

static struct space *find_space(const struct regions *regions, uint32_t generation)
{
	for (size_t i = 0; i < regions->spaces.count; i++)
		if (regions->spaces.items[i].generation == generation)
			return &regions->spaces.items[i];
	return NULL;
}

static struct space *get_space(struct regions *regions, uint32_t generation)
{
	struct space *space = find_space(regions, generation);

	if (space)
		return space;
	space = vec_add(&regions->spaces);
	if (space)
		space->generation = generation;
	return space;
}

/* First piece that ends behind 'addr'. */
static size_t first_behind(const struct space *space, uint64_t addr)
{
	size_t low = 0, high = space->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (space->items[middle].end <= addr)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int insert_piece(struct space *space, size_t index, struct piece piece)
{
	if (!vec_add(space))
		return -ENOMEM;
	memmove(space->items + index + 1, space->items + index,
		(space->count - 1 - index) * sizeof(*space->items));
	space->items[index] = piece;
	return 0;
}

static void remove_piece(struct space *space, size_t index)
{
	space->count--;
	memmove(space->items + index, space->items + index + 1,
		(space->count - index) * sizeof(*space->items));
}

static void count_freed(struct regions *regions, uint32_t block, uint64_t bytes)
{
	struct block_state *state = &regions->blocks.items[block];

	regions->totals.items[state->site].free_bytes[state->age] += bytes;
}

/* One piece less. Returns true if that was the last of its block, whose state is used again. */
static bool release_block(struct regions *regions, uint32_t block)
{
	uint32_t *unused;

	if (--regions->blocks.items[block].piece_count)
		return false;
	unused = vec_add(&regions->unused_blocks);
	if (unused)
		*unused = block;
	return true;
}

static void drop_piece(struct regions *regions, struct space *space, size_t index)
{
	uint32_t block = space->items[index].block;

	remove_piece(space, index);
	if (release_block(regions, block)) {
		const struct block_state *state = &regions->blocks.items[block];

		regions->totals.items[state->site].free_blocks++;
		regions->totals.items[state->site].free_age_blocks[state->age]++;
	}
}

/* Take [start, end) out of one piece. Advances *index to the next piece to look at, and *cut_bytes.
 */
static int cut_piece(struct regions *regions, struct space *space, size_t *index, uint64_t start,
		     uint64_t end, uint64_t *cut_bytes)
{
	struct piece *piece = &space->items[*index];
	uint64_t from = piece->start > start ? piece->start : start;
	uint64_t to = piece->end < end ? piece->end : end;
	struct piece rest = {to, piece->end, piece->block};

	if (from > piece->start && to < piece->end) { /* the middle: two pieces are left */
		if (insert_piece(space, *index + 1, rest))
			return -ENOMEM;
		regions->blocks.items[rest.block].piece_count++;
		space->items[*index].end = from;
		count_freed(regions, rest.block, to - from);
		*cut_bytes += to - from;
		*index += 2;
		return 0;
	}
	*cut_bytes += to - from;
	count_freed(regions, piece->block, to - from);
	if (from == piece->start && to == piece->end) {
		drop_piece(regions, space, *index);
		return 0;
	}
	if (from == piece->start)
		piece->start = to;
	else
		piece->end = from;
	(*index)++;
	return 0;
}

/* Adds to *cut_bytes how much of the range was known. */
static int unmap_range(struct regions *regions, struct space *space, uint64_t start, uint64_t bytes,
		       uint64_t *cut_bytes)
{
	uint64_t end = start + bytes < start ? UINT64_MAX : start + bytes;
	size_t index = first_behind(space, start);

	while (index < space->count && space->items[index].start < end)
		if (cut_piece(regions, space, &index, start, end, cut_bytes))
			return -ENOMEM;
	return 0;
}

static ssize_t get_site(struct regions *regions, const struct region_record *record)
{
	struct site_key key = {
	    .stack_hash = record->stack_hash,
	    .generation = record->head.generation,
	    .alloc_class = CLASS_MMAP,
	};
	struct site_key *slot;
	ssize_t index;
	bool added;

	index = table_add(regions->sites_by_key, &key, &added);
	if (index < 0 || !added)
		return index;
	slot = vec_add(&regions->keys);
	if (!slot || !vec_add(&regions->totals))
		return -1;
	*slot = key;
	return index;
}

/* Index of a block state to fill, -1 when memory is out. */
static ssize_t take_block(struct regions *regions)
{
	if (regions->unused_blocks.count)
		return regions->unused_blocks.items[--regions->unused_blocks.count];
	return vec_add(&regions->blocks) ? (ssize_t)regions->blocks.count - 1 : -1;
}

static int map_range(struct regions *regions, struct space *space,
		     const struct region_record *record, uint32_t age)
{
	uint64_t end = record->addr + record->bytes;
	ssize_t site = get_site(regions, record), block;
	struct piece piece;

	if (site < 0)
		return -ENOMEM;
	if (!record->bytes || end < record->addr)
		return 0;
	block = take_block(regions);
	if (block < 0)
		return -ENOMEM;
	regions->blocks.items[block] = (struct block_state){site, age, 1};
	piece = (struct piece){record->addr, end, block};
	if (insert_piece(space, first_behind(space, record->addr), piece))
		return -ENOMEM;
	regions->totals.items[site].alloc_bytes[age] += record->bytes;
	regions->totals.items[site].alloc_blocks++;
	regions->totals.items[site].alloc_age_blocks[age]++;
	return 0;
}

/* Makes 'addr' a border between pieces. */
static int split_at(struct regions *regions, struct space *space, uint64_t addr)
{
	size_t index = first_behind(space, addr);
	struct piece rest;

	if (index == space->count || space->items[index].start >= addr)
		return 0;
	rest = (struct piece){ addr, space->items[index].end, space->items[index].block };
	if (insert_piece(space, index + 1, rest))
		return -ENOMEM;
	space->items[index].end = addr;
	regions->blocks.items[rest.block].piece_count++;
	return 0;
}

/* Move what lies in the old range, as it is; what the new range has no room for is gone. */
static int rebase_range(struct regions *regions, struct space *space,
			const struct region_record *record)
{
	uint64_t bytes = record->bytes < record->old_bytes ? record->bytes : record->old_bytes;
	uint64_t end = record->old_addr + bytes, ignored = 0;
	struct space moved = { 0 };
	size_t index;
	int status = 0;

	if (split_at(regions, space, record->old_addr) || split_at(regions, space, end))
		return -ENOMEM;
	index = first_behind(space, record->old_addr);
	while (!status && index < space->count && space->items[index].start < end) {
		status = insert_piece(&moved, moved.count, space->items[index]);
		if (!status)
			remove_piece(space, index);
	}
	if (!status)
		status = unmap_range(regions, space, end, record->old_bytes - bytes, &ignored);
	if (!status)
		status = unmap_range(regions, space, record->addr, record->bytes, &ignored);
	for (size_t i = 0; !status && i < moved.count; i++) {
		moved.items[i].start += record->addr - record->old_addr;
		moved.items[i].end += record->addr - record->old_addr;
		status = insert_piece(space, first_behind(space, moved.items[i].start),
				      moved.items[i]);
	}
	free(moved.items);
	return status;
}

int regions_apply(struct regions *regions, const struct region_record *record, uint32_t age)
{
	struct space *space = get_space(regions, record->head.generation);
	uint64_t moved_bytes = 0, replaced_bytes = 0;

	if (!space)
		return -ENOMEM;
	if (age >= AGE_CLASSES)
		age = AGE_CLASSES - 1;
	if (record->op == REGION_REBASE)
		return rebase_range(regions, space, record);
	if (record->op == REGION_MOVE &&
	    unmap_range(regions, space, record->old_addr, record->old_bytes, &moved_bytes))
		return -ENOMEM;
	if (unmap_range(regions, space, record->addr, record->bytes, &replaced_bytes))
		return -ENOMEM;
	if (record->op == REGION_UNMAP)
		return 0;
	if (record->op == REGION_MOVE && !moved_bytes)
		return 0;
	return map_range(regions, space, record, age);
}

void regions_forget(struct regions *regions, uint32_t generation)
{
	struct space *space = find_space(regions, generation);

	if (!space)
		return;
	for (size_t i = 0; i < space->count; i++)
		release_block(regions, space->items[i].block);
	free(space->items);
	*space = regions->spaces.items[--regions->spaces.count];
}

size_t regions_site_count(const struct regions *regions)
{
	return regions->totals.count;
}

const struct region_totals *regions_site(const struct regions *regions, size_t index,
					 struct site_key *key)
{
	*key = regions->keys.items[index];
	return &regions->totals.items[index];
}

uint64_t regions_live_bytes(const struct regions *regions, uint32_t generation)
{
	const struct space *space = find_space(regions, generation);
	uint64_t bytes = 0;

	for (size_t i = 0; space && i < space->count; i++)
		bytes += space->items[i].end - space->items[i].start;
	return bytes;
}
