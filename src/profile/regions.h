/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * regions.h - the ledger of class mmap: address ranges a program took from the kernel by itself.
 *
 * Unlike blocks of malloc, ranges can be cut anywhere: munmap may take a piece out of the middle,
 * MAP_FIXED replaces, mremap moves and grows. So they are kept here, as disjoint intervals per
 * process, and not in the kernel. A range counts as one block until its last piece is gone.
 *
 * What is not known here is older than the recording, or no anonymous memory at all (a mapped
 * file): it may be moved and grow, and still does not count.
 */
#ifndef SEEP_PROFILE_REGIONS_H
#define SEEP_PROFILE_REGIONS_H

#include <stddef.h>
#include <stdint.h>

#include "base/abi_types.h"

struct regions;

/* Totals of one site; they only grow. */
struct region_totals {
	uint64_t alloc_bytes[AGE_CLASSES], free_bytes[AGE_CLASSES];
	uint64_t alloc_blocks, free_blocks;
	uint64_t alloc_age_blocks[AGE_CLASSES], free_age_blocks[AGE_CLASSES]; /* the same */
};

struct regions *regions_new(void); /* NULL when memory is out */
void regions_free(struct regions *regions);

/*
 * Apply one record; new ranges are born in epoch 'age'. A REGION_MOVE of which no byte was known
 * only replaces what lay at the new address. Returns 0 or -ENOMEM.
 */
int regions_apply(struct regions *regions, const struct region_record *record, uint32_t age);

/* Forget the ranges of a process that ended (its totals stay). */
void regions_forget(struct regions *regions, uint32_t generation);

size_t regions_site_count(const struct regions *regions);
/* The i-th site and its totals, in order of appearance. */
const struct region_totals *regions_site(const struct regions *regions, size_t index,
					 struct site_key *key);

/* Bytes mapped now by a process, for tests. */
uint64_t regions_live_bytes(const struct regions *regions, uint32_t generation);

#endif
