/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ledger.bpf.h - the table of live blocks and the totals of the sites they came from.
 *
 *	ledger_put	a block is born; its site's totals grow
 *	ledger_take	a block leaves the table; the caller says what that means
 *	site_freed	... it was freed: the freed side of its site's totals grows
 *
 * Global functions: the verifier looks at each once, not at every call. Keys and values they are
 * given are copied to the stack first: map helpers of Linux 6.1 take no other memory of a caller.
 *
 * The table is a row of hash tables ('tiers'), each as large as all before it, so that memory
 * follows use. A block lies in exactly one tier: the one that was being filled at its birth.
 */
#ifndef SEEP_LEDGER_BPF_H
#define SEEP_LEDGER_BPF_H

#include "loss.bpf.h"
#include "sample.bpf.h"

#define EEXIST 17
#define E2BIG  7

/* Tables that may exist in the end, for telling "full" from "still growing". */
const volatile __u32 tier_limit = 1;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sample_tables);
} sampling SEC(".maps");

/* Template of a new site: too large for the BPF stack. */
static const struct site empty_site = { 0 };

static __always_inline void *tier_at(__u32 index)
{
	return bpf_map_lookup_elem(&ledger, &index);
}

/* How many tiers there are, read again each time: a number that the verifier knows nothing of. A
 * loop that keeps it in a register is followed once for each value that comparisons leave open. */
static __always_inline __u32 tiers_now(void)
{
	return *(volatile __u32 *)&tier_count;
}

/* May tier 'index', or a later one, hold blocks? Read again each time, as above. */
static __always_inline bool tier_was_used(__u32 index)
{
	return *(volatile __u32 *)&tiers_used >> index != 0;
}

static __always_inline struct sample_weight block_weight(const struct block *block)
{
	struct sample_weight weight = { block->size_bytes, WEIGHT_ONE, 0 };
	struct sample_tables *tables;
	__u32 zero = 0;

	if (!(block->flags & BLOCK_SAMPLED))
		return weight;
	tables = bpf_map_lookup_elem(&sampling, &zero);
	if (tables)
		weight = sample_weigh(tables, block->size_bytes,
				      sample_bytes << (block->sample_shift & 31));
	return weight;
}

static __always_inline struct site *site_of(const struct block *block, __u32 generation)
{
	struct site_key key = {
		.stack_hash = block->stack_hash,
		.generation = generation,
		.alloc_class = block->alloc_class,
	};

	return bpf_map_lookup_elem(&sites, &key);
}

__weak __noinline int site_freed(const struct block *block, __u32 generation)
{
	struct sample_weight weight;
	struct site *site;
	__u32 age;

	if (!block)
		return 0;
	site = site_of(block, generation);
	age = block->age;
	if (!site || age >= AGE_CLASSES)
		return 0;
	weight = block_weight(block);
	__sync_fetch_and_add(&site->freed[age].bytes, weight.bytes);
	__sync_fetch_and_add(&site->freed[age].blocks, weight.blocks);
	if (weight.variance)
		__sync_fetch_and_add(&site->freed_variance, weight.variance);
	return 0;
}

static __always_inline void site_allocated(struct site *site, const struct block *block)
{
	struct sample_weight weight = block_weight(block);
	__u32 age = block->age;

	if (age >= AGE_CLASSES)
		return;
	__sync_fetch_and_add(&site->allocated[age].bytes, weight.bytes);
	__sync_fetch_and_add(&site->allocated[age].blocks, weight.blocks);
	if (weight.variance)
		__sync_fetch_and_add(&site->alloc_variance, weight.variance);
}

/* Finds or makes the site. NULL (and a loss) when the table is full. */
static __always_inline struct site *site_get(const struct site_key *key)
{
	struct site *site = bpf_map_lookup_elem(&sites, key);

	if (site)
		return site;
	bpf_map_update_elem(&sites, key, &empty_site, BPF_NOEXIST);
	site = bpf_map_lookup_elem(&sites, key);
	if (!site) {
		LOSE(SITE_FULL);
		return NULL;
	}
	site->tgid = bpf_get_current_pid_tgid() >> 32;
	return site;
}

/* Takes the block at 'key' out of one tier. Copies first: a deleted element may be reused at once
 * by another CPU. Of two concurrent frees only one gets the block: that call returns true. */
static __always_inline bool take_from(__u32 index, const struct block_key *own_key,
				      struct block *block)
{
	void *tier = tier_at(index);
	struct block *found = tier ? bpf_map_lookup_elem(tier, own_key) : NULL;

	if (!found)
		return false;
	*block = *found;
	return bpf_map_delete_elem(tier, own_key) == 0;
}

__weak __noinline int tier_take(__u32 index, const struct block_key *key, struct block *block)
{
	struct block_key own_key;

	if (!key || !block)
		return 0;
	own_key = *key;
	return take_from(index, &own_key, block);
}

/* Takes the block out of another tier than 'first'. */
static __always_inline int take_elsewhere(__u32 first, const struct block_key *key,
					  struct block *block)
{
	for (__u32 i = 0; i < LEDGER_MAX_TIERS; i++) {
		if (!tier_was_used(i))
			break;
		if (i && tier_take(i <= first ? first - i : i, key, block))
			return 1;
	}
	return 0;
}

/* Takes the block out and copies it. Returns 1 if it was there. */
__weak __noinline int ledger_take(const struct block_key *key, struct block *block)
{
	__u32 first = tier_current;
	struct block_key own_key;

	if (!key || !block)
		return 0;
	own_key = *key;
	if (!take_from(first, &own_key, block) && !take_elsewhere(first, key, block))
		return 0;
	COUNT(ledger_deletes);
	return 1;
}

static __always_inline void announce_tier(void)
{
	struct record_head head = { .type = RECORD_TIER };

	/* lost when the ring is full; user space also looks by itself */
	bpf_ringbuf_output(&ring, &head, sizeof(head), 0);
}

/* The tier that was being filled is full: go on with the next. */
static __always_inline void tier_advance(__u32 from, __u32 tiers)
{
	__u32 next = from + 1 < tiers ? from + 1 : 0;

	__sync_fetch_and_or(&tiers_used, 1U << (next & 31)); /* before a block is put there */
	if (__sync_val_compare_and_swap(&tier_current, from, next) == from && next + 1 == tiers)
		announce_tier();
}

/* A block is still listed at an address that was just handed out: its free was not seen. */
static __always_inline void forget_stale(const struct block_key *key)
{
	struct block stale = {};

	if (ledger_take(key, &stale)) {
		site_freed(&stale, key->generation);
		LOSE(STALE_BLOCK);
	}
}

/* Other tiers than the one being filled may hold a stale entry for the address. */
static __always_inline void check_other_tiers(const struct block_key *key, __u32 current_tier)
{
	for (__u32 i = 0; i < LEDGER_MAX_TIERS; i++) {
		void *tier;

		if (!tier_was_used(i))
			break;
		tier = i == current_tier ? NULL : tier_at(i);
		if (tier && bpf_map_lookup_elem(tier, key)) {
			forget_stale(key);
			break;
		}
	}
}

/* Lists the block in one tier. Returns 0, -E2BIG if that is full, or another -errno. */
static __always_inline long put_in(__u32 index, const struct block_key *own_key,
				   const struct block *own_block)
{
	void *tier = tier_at(index);
	long status;

	if (!tier)
		return -E2BIG;
	status = bpf_map_update_elem(tier, own_key, own_block, BPF_NOEXIST);
	if (status == -EEXIST) {
		forget_stale(own_key);
		status = bpf_map_update_elem(tier, own_key, own_block, BPF_NOEXIST);
	}
	return status;
}

__weak __noinline int tier_put(__u32 index, const struct block_key *key, const struct block *block)
{
	struct block_key own_key;
	struct block own_block;

	if (!key || !block)
		return -E2BIG;
	own_key = *key;
	own_block = *block;
	return put_in(index, &own_key, &own_block);
}

/* The tier 'current_tier' is full: lists the block in the next that is not. */
static __always_inline long put_behind(__u32 current_tier, const struct block_key *key,
				       const struct block *block)
{
	long status = -E2BIG;

	for (__u32 i = 0; i < LEDGER_MAX_TIERS; i++) {
		__u32 tiers = tiers_now(), index = (current_tier + i) % tiers;

		if (i >= tiers)
			break;
		if (i)
			status = tier_put(index, key, block);
		if (status != -E2BIG)
			break;
		tier_advance(index, tiers);
	}
	return status;
}

static __always_inline void count_refusal(long status)
{
	if (status != -E2BIG)
		LOSE(UPDATE_RACE);
	else if (tiers_now() < tier_limit)
		LOSE(LEDGER_BUSY);
	else
		LOSE(LEDGER_FULL);
}

/* Lists the block. Returns 0, or counts the loss and returns 1. */
__weak __noinline int ledger_put(const struct block_key *key, const struct block *block)
{
	__u32 current_tier = tier_current;
	struct block_key own_key;
	struct block own_block;
	long status;

	if (!key || !block)
		return 1;
	own_key = *key;
	own_block = *block;
	if (tier_was_used(1))
		check_other_tiers(&own_key, current_tier);
	status = put_in(current_tier, &own_key, &own_block);
	if (status == -E2BIG)
		status = put_behind(current_tier, key, block);
	if (!status) {
		COUNT(ledger_inserts);
		return 0;
	}
	count_refusal(status);
	return 1;
}

#endif
