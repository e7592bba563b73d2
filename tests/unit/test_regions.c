/* SPDX-License-Identifier: GPL-2.0-only */
/* test_regions.c - ranges are cut, replaced and moved anywhere, and no byte is counted twice. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "profile/regions.h"
#include "unit/random.h"

#define BASE   0x7f0000001000ULL
#define SITE_A 0xa00000000000000bULL /* stack hashes */
#define SITE_B 0xb00000000000000dULL

static int set_up(void **state)
{
	*state = regions_new();
	return *state ? 0 : -1;
}

static int tear_down(void **state)
{
	regions_free(*state);
	return 0;
}

static void apply(struct regions *regions, struct region_record record, uint32_t generation,
		  uint32_t age)
{
	record.head.type = RECORD_REGION;
	record.head.generation = generation;
	assert_int_equal(regions_apply(regions, &record, age), 0);
}

static void map(struct regions *regions, uint64_t site, uint64_t addr, uint64_t bytes)
{
	apply(regions,
	      (struct region_record){
		  .op = REGION_MAP, .stack_hash = site, .addr = addr, .bytes = bytes},
	      1, 0);
}

static void unmap(struct regions *regions, uint64_t addr, uint64_t bytes)
{
	apply(regions, (struct region_record){.op = REGION_UNMAP, .addr = addr, .bytes = bytes}, 1,
	      0);
}

static void move(struct regions *regions, uint64_t site, const uint64_t old[2],
		 const uint64_t new[2])
{
	apply(regions,
	      (struct region_record){.op = REGION_MOVE,
				     .stack_hash = site,
				     .addr = new[0],
				     .bytes = new[1],
				     .old_addr = old[0],
				     .old_bytes = old[1]},
	      1, 0);
}
#define MOVE(regions, site, old_addr, old_bytes, addr, bytes)                                      \
	move(regions, site, (uint64_t[]){old_addr, old_bytes}, (uint64_t[]){addr, bytes})

/* Totals of a site of generation 1, which must be there. */
static const struct region_totals *totals_of(const struct regions *regions, uint64_t site)
{
	struct site_key key;

	for (size_t i = 0; i < regions_site_count(regions); i++) {
		const struct region_totals *totals = regions_site(regions, i, &key);

		if (key.stack_hash == site && key.generation == 1)
			return totals;
	}
	fail_msg("no site %" PRIx64, site);
	return NULL;
}

static void check_site(const struct regions *regions, uint64_t site, uint64_t alloc_bytes,
		       uint64_t free_bytes, uint64_t alloc_blocks, uint64_t free_blocks)
{
	const struct region_totals *totals = totals_of(regions, site);

	assert_int_equal(totals->alloc_bytes[0], alloc_bytes);
	assert_int_equal(totals->free_bytes[0], free_bytes);
	assert_int_equal(totals->alloc_blocks, alloc_blocks);
	assert_int_equal(totals->free_blocks, free_blocks);
}

static void check_live(const struct regions *regions, uint64_t bytes)
{
	assert_int_equal(regions_live_bytes(regions, 1), bytes);
}

/* ---- map and unmap --------------------------------------------------------------------------- */

static void a_new_ledger_is_empty(void **state)
{
	assert_int_equal(regions_site_count(*state), 0);
	check_live(*state, 0);
}

static void a_map_is_one_block_of_its_bytes(void **state)
{
	map(*state, SITE_A, BASE, 4099);
	check_site(*state, SITE_A, 4099, 0, 1, 0);
	check_live(*state, 4099);
}

static void neighbours_stay_two_blocks(void **state)
{
	map(*state, SITE_A, BASE, 4099);
	map(*state, SITE_A, BASE + 4099, 8209);
	check_site(*state, SITE_A, 12308, 0, 2, 0);
	unmap(*state, BASE, 4099);
	check_site(*state, SITE_A, 12308, 4099, 2, 1);
	check_live(*state, 8209);
}

static void an_exact_unmap_frees_the_block(void **state)
{
	map(*state, SITE_A, BASE, 4099);
	unmap(*state, BASE, 4099);
	check_site(*state, SITE_A, 4099, 4099, 1, 1);
	check_live(*state, 0);
}

static void a_second_unmap_frees_nothing(void **state)
{
	map(*state, SITE_A, BASE, 4099);
	unmap(*state, BASE, 4099);
	unmap(*state, BASE, 4099);
	check_site(*state, SITE_A, 4099, 4099, 1, 1);
}

static void an_unmap_of_the_front_leaves_the_block(void **state)
{
	map(*state, SITE_A, BASE, 4099);
	unmap(*state, BASE, 1009);
	check_site(*state, SITE_A, 4099, 1009, 1, 0);
	check_live(*state, 3090);
	unmap(*state, BASE, 1009);
	check_live(*state, 3090);
	unmap(*state, BASE + 1009, 3090);
	check_site(*state, SITE_A, 4099, 4099, 1, 1);
}

static void an_unmap_of_the_tail_leaves_the_block(void **state)
{
	map(*state, SITE_A, BASE, 4099);
	unmap(*state, BASE + 3079, 1020);
	check_site(*state, SITE_A, 4099, 1020, 1, 0);
	unmap(*state, BASE + 3079, 1020);
	check_live(*state, 3079);
	unmap(*state, BASE, 3079);
	check_site(*state, SITE_A, 4099, 4099, 1, 1);
}

static void an_unmap_of_the_middle_leaves_one_block_in_two_pieces(void **state)
{
	map(*state, SITE_A, BASE, 4099);
	unmap(*state, BASE + 1009, 2003);
	check_site(*state, SITE_A, 4099, 2003, 1, 0);
	check_live(*state, 2096);
	unmap(*state, BASE + 1009, 2003);
	check_live(*state, 2096);
	unmap(*state, BASE + 3012, 1087);
	check_site(*state, SITE_A, 4099, 3090, 1, 0);
	unmap(*state, BASE, 1009);
	check_site(*state, SITE_A, 4099, 4099, 1, 1);
	check_live(*state, 0);
}

/* Of 13 pieces of one block the block goes with the last. */
static void a_block_goes_with_its_last_piece(void **state)
{
	map(*state, SITE_A, BASE, 25 * 101);
	for (uint64_t i = 1; i < 25; i += 2)
		unmap(*state, BASE + i * 101, 101);
	check_site(*state, SITE_A, 2525, 1212, 1, 0);
	for (uint64_t i = 2; i < 25; i += 2)
		unmap(*state, BASE + i * 101, 101);
	check_site(*state, SITE_A, 2525, 2424, 1, 0);
	check_live(*state, 101);
	unmap(*state, BASE, 101);
	check_site(*state, SITE_A, 2525, 2525, 1, 1);
}

/* Ranges of 1009, 2003, 3001 bytes; cut from the middle of the first to the middle of the last. */
static void an_unmap_may_take_several_and_the_gaps_between_them(void **state)
{
	map(*state, SITE_A, BASE, 1009);
	map(*state, SITE_B, BASE + 5003, 2003);
	map(*state, SITE_A, BASE + 10007, 3001);
	unmap(*state, BASE + 503, 10007 + 601 - 503);
	check_site(*state, SITE_A, 4010, 506 + 601, 2, 0);
	check_site(*state, SITE_B, 2003, 2003, 1, 1);
	check_live(*state, 503 + 2400);
}

static void an_unmap_of_everything_frees_every_block(void **state)
{
	for (uint64_t i = 0; i < 101; i++)
		map(*state, i % 2 ? SITE_A : SITE_B, BASE + i * 1009, 503);
	unmap(*state, BASE - 4096, 4096 + 101 * 1009 + 4096);
	check_site(*state, SITE_A, 50 * 503, 50 * 503, 50, 50);
	check_site(*state, SITE_B, 51 * 503, 51 * 503, 51, 51);
	check_live(*state, 0);
}

static void an_unmap_beside_a_range_does_nothing(void **state)
{
	map(*state, SITE_A, BASE, 4099);
	unmap(*state, BASE - 1009, 1009);
	unmap(*state, BASE + 4099, 1009);
	check_site(*state, SITE_A, 4099, 0, 1, 0);
	unmap(*state, BASE - 1009, 1010);
	unmap(*state, BASE + 4098, 1009);
	check_site(*state, SITE_A, 4099, 2, 1, 0);
}

static void an_unmap_without_any_map_does_nothing(void **state)
{
	unmap(*state, BASE, 4099);
	assert_int_equal(regions_site_count(*state), 0);
	check_live(*state, 0);
}

/* ---- MAP_FIXED ---------------------------------------------------------------------------------
 */

static void a_map_replaces_the_same_range(void **state)
{
	map(*state, SITE_A, BASE, 4099);
	map(*state, SITE_B, BASE, 4099);
	check_site(*state, SITE_A, 4099, 4099, 1, 1);
	check_site(*state, SITE_B, 4099, 0, 1, 0);
	check_live(*state, 4099);
}

static void a_map_replaces_the_middle_of_a_range(void **state)
{
	map(*state, SITE_A, BASE, 4099);
	map(*state, SITE_B, BASE + 1009, 2003);
	check_site(*state, SITE_A, 4099, 2003, 1, 0);
	check_site(*state, SITE_B, 2003, 0, 1, 0);
	check_live(*state, 4099);
	unmap(*state, BASE, 4099);
	check_site(*state, SITE_A, 4099, 4099, 1, 1);
	check_site(*state, SITE_B, 2003, 2003, 1, 1);
}

static void a_map_replaces_what_it_covers_of_several(void **state)
{
	map(*state, SITE_A, BASE, 1009);
	map(*state, SITE_A, BASE + 2003, 1009);
	map(*state, SITE_A, BASE + 4001, 1009);
	map(*state, SITE_B, BASE + 1000, 3010);
	check_site(*state, SITE_A, 3027, 9 + 1009 + 9, 3, 1);
	check_site(*state, SITE_B, 3010, 0, 1, 0);
	check_live(*state, 5010);
}

static void a_range_may_replace_one_of_its_own_site(void **state)
{
	map(*state, SITE_A, BASE, 4099);
	map(*state, SITE_A, BASE, 4099);
	check_site(*state, SITE_A, 8198, 4099, 2, 1);
	check_live(*state, 4099);
}

/* ---- mremap ------------------------------------------------------------------------------------
 */

static void a_range_that_grows_in_place_changes_its_site(void **state)
{
	map(*state, SITE_A, BASE, 1009);
	MOVE(*state, SITE_B, BASE, 1009, BASE, 4099);
	check_site(*state, SITE_A, 1009, 1009, 1, 1);
	check_site(*state, SITE_B, 4099, 0, 1, 0);
	check_live(*state, 4099);
}

static void a_range_that_shrinks_loses_its_tail(void **state)
{
	map(*state, SITE_A, BASE, 4099);
	MOVE(*state, SITE_B, BASE, 4099, BASE, 1009);
	check_site(*state, SITE_A, 4099, 4099, 1, 1);
	check_site(*state, SITE_B, 1009, 0, 1, 0);
	unmap(*state, BASE + 1009, 3090);
	check_live(*state, 1009);
}

static void a_range_that_moves_leaves_its_place(void **state)
{
	map(*state, SITE_A, BASE, 4099);
	MOVE(*state, SITE_B, BASE, 4099, BASE + 65537, 8209);
	unmap(*state, BASE, 4099);
	check_site(*state, SITE_A, 4099, 4099, 1, 1);
	check_site(*state, SITE_B, 8209, 0, 1, 0);
	check_live(*state, 8209);
}

static void a_range_may_move_onto_part_of_itself(void **state)
{
	map(*state, SITE_A, BASE, 4099);
	MOVE(*state, SITE_B, BASE, 4099, BASE + 1009, 4099);
	check_site(*state, SITE_A, 4099, 4099, 1, 1);
	check_site(*state, SITE_B, 4099, 0, 1, 0);
	MOVE(*state, SITE_A, BASE + 1009, 4099, BASE + 503, 4099);
	check_site(*state, SITE_B, 4099, 4099, 1, 1);
	check_site(*state, SITE_A, 8198, 4099, 2, 1);
	check_live(*state, 4099);
}

static void a_range_may_move_onto_another(void **state)
{
	map(*state, SITE_A, BASE, 1009);
	map(*state, SITE_B, BASE + 65537, 4099);
	MOVE(*state, SITE_A, BASE, 1009, BASE + 65537 + 503, 2003);
	check_site(*state, SITE_A, 3012, 1009, 2, 1);
	check_site(*state, SITE_B, 4099, 2003, 1, 0);
	check_live(*state, 4099);
}

static void a_part_of_a_range_may_move(void **state)
{
	map(*state, SITE_A, BASE, 4099);
	MOVE(*state, SITE_B, BASE + 1009, 503, BASE + 65537, 2003);
	check_site(*state, SITE_A, 4099, 503, 1, 0);
	check_site(*state, SITE_B, 2003, 0, 1, 0);
	check_live(*state, 3596 + 2003);
}

/* Older than the recording, or a mapped file: it stays unknown. */
static void a_move_of_an_unknown_range_is_no_block(void **state)
{
	MOVE(*state, SITE_A, BASE, 4099, BASE + 65537, 8209);
	assert_int_equal(regions_site_count(*state), 0);
	check_live(*state, 0);
	map(*state, SITE_B, BASE, 1009);
	MOVE(*state, SITE_A, BASE + 1009, 4099, BASE + 65537, 8209);
	assert_int_equal(regions_site_count(*state), 1);
	check_live(*state, 1009);
}

static void a_move_of_an_unknown_range_replaces_what_it_falls_on(void **state)
{
	map(*state, SITE_A, BASE, 4099);
	map(*state, SITE_B, BASE + 65537, 1009);
	MOVE(*state, SITE_A, BASE + 2 * 65537, 2003, BASE + 1009, 2003);
	check_site(*state, SITE_A, 4099, 2003, 1, 0);
	check_site(*state, SITE_B, 1009, 0, 1, 0);
	check_live(*state, 4099 - 2003 + 1009);
}

static void a_move_of_a_range_known_in_part_is_a_block(void **state)
{
	map(*state, SITE_A, BASE + 2003, 4099);
	MOVE(*state, SITE_B, BASE, 3001, BASE + 65537, 5003);
	check_site(*state, SITE_A, 4099, 998, 1, 0);
	check_site(*state, SITE_B, 5003, 0, 1, 0);
}

/* mremap with an old size of 0 maps shared pages a second time. */
static void a_move_of_zero_bytes_leaves_the_old_range(void **state)
{
	map(*state, SITE_A, BASE, 4099);
	MOVE(*state, SITE_B, BASE, 0, BASE + 65537, 4099);
	check_site(*state, SITE_A, 4099, 0, 1, 0);
	assert_int_equal(regions_site_count(*state), 1);
	check_live(*state, 4099);
}

/* ---- sbrk --------------------------------------------------------------------------------------
 */

static void the_break_goes_up_and_down(void **state)
{
	map(*state, SITE_A, BASE, 1009);
	map(*state, SITE_A, BASE + 1009, 2003);
	map(*state, SITE_B, BASE + 3012, 4099);
	check_live(*state, 7111);
	unmap(*state, BASE + 7111 - 5003, 5003); /* all of B, 904 of A's second */
	check_site(*state, SITE_B, 4099, 4099, 1, 1);
	check_site(*state, SITE_A, 3012, 904, 2, 0);
	map(*state, SITE_B, BASE + 2108, 503);
	check_live(*state, 2611);
	unmap(*state, BASE, 2611);
	check_site(*state, SITE_A, 3012, 3012, 2, 2);
	check_site(*state, SITE_B, 4602, 4602, 2, 2);
}

/* ---- the edges ---------------------------------------------------------------------------------
 */

static void zero_bytes_are_no_block(void **state)
{
	map(*state, SITE_A, BASE, 0);
	check_site(*state, SITE_A, 0, 0, 0, 0);
	map(*state, SITE_A, BASE, 4099);
	unmap(*state, BASE + 1009, 0);
	map(*state, SITE_B, BASE + 1009, 0);
	check_site(*state, SITE_A, 4099, 0, 1, 0);
	check_live(*state, 4099);
}

static void a_move_to_zero_bytes_only_frees(void **state)
{
	map(*state, SITE_A, BASE, 4099);
	MOVE(*state, SITE_B, BASE, 4099, BASE + 65537, 0);
	check_site(*state, SITE_A, 4099, 4099, 1, 1);
	check_site(*state, SITE_B, 0, 0, 0, 0);
	check_live(*state, 0);
}

static void a_map_beyond_the_end_of_memory_is_no_block(void **state)
{
	map(*state, SITE_A, UINT64_MAX - 1008, 1009);
	map(*state, SITE_A, UINT64_MAX - 503, UINT64_MAX);
	map(*state, SITE_A, BASE, UINT64_MAX);
	check_site(*state, SITE_A, 0, 0, 0, 0);
	check_live(*state, 0);
}

static void an_unmap_beyond_the_end_of_memory_takes_the_rest(void **state)
{
	map(*state, SITE_A, BASE, 4099);
	map(*state, SITE_A, UINT64_MAX - 1009, 1009);
	check_site(*state, SITE_A, 5108, 0, 2, 0);
	unmap(*state, BASE + 1009, UINT64_MAX);
	check_site(*state, SITE_A, 5108, 3090 + 1009, 2, 1);
	check_live(*state, 1009);
}

static void address_zero_is_an_address(void **state)
{
	map(*state, SITE_A, 0, 4099);
	unmap(*state, 0, 1009);
	check_site(*state, SITE_A, 4099, 1009, 1, 0);
}

/* ---- ages --------------------------------------------------------------------------------------
 */

static void map_at_age(struct regions *regions, uint64_t addr, uint64_t bytes, uint32_t age)
{
	apply(regions,
	      (struct region_record){
		  .op = REGION_MAP, .stack_hash = SITE_A, .addr = addr, .bytes = bytes},
	      1, age);
}

static void bytes_are_freed_in_the_epoch_they_were_born_in(void **state)
{
	const struct region_totals *totals;

	map_at_age(*state, BASE, 1009, 2);
	map_at_age(*state, BASE + 65537, 4099, 3);
	apply(*state,
	      (struct region_record){.op = REGION_UNMAP, .addr = BASE + 503, .bytes = 65537}, 1, 5);
	totals = totals_of(*state, SITE_A);
	assert_int_equal(totals->alloc_bytes[2], 1009);
	assert_int_equal(totals->alloc_bytes[3], 4099);
	assert_int_equal(totals->free_bytes[2], 506);
	assert_int_equal(totals->free_bytes[3], 503);
	assert_int_equal(totals->alloc_bytes[5] + totals->free_bytes[5], 0);
	assert_int_equal(totals->alloc_blocks, 2);
	assert_int_equal(totals->free_blocks, 0);
}

static void a_moved_range_is_born_again(void **state)
{
	const struct region_record record = {
	    .op = REGION_MOVE,
	    .stack_hash = SITE_A,
	    .addr = BASE,
	    .bytes = 4099,
	    .old_addr = BASE,
	    .old_bytes = 1009,
	};
	const struct region_totals *totals;

	map_at_age(*state, BASE, 1009, 1);
	apply(*state, record, 1, 4);
	totals = totals_of(*state, SITE_A);
	assert_int_equal(totals->alloc_bytes[1], 1009);
	assert_int_equal(totals->free_bytes[1], 1009);
	assert_int_equal(totals->alloc_bytes[4], 4099);
	assert_int_equal(totals->free_bytes[4], 0);
}

static void epochs_beyond_the_last_are_the_last(void **state)
{
	const struct region_totals *totals;

	map_at_age(*state, BASE, 1009, AGE_CLASSES - 1);
	map_at_age(*state, BASE + 65537, 4099, AGE_CLASSES);
	map_at_age(*state, BASE + 2 * 65537, 8209, UINT32_MAX);
	totals = totals_of(*state, SITE_A);
	assert_int_equal(totals->alloc_bytes[AGE_CLASSES - 1], 1009 + 4099 + 8209);
	for (uint32_t age = 0; age < AGE_CLASSES - 1; age++)
		assert_int_equal(totals->alloc_bytes[age], 0);
}

/* ---- sites and processes -----------------------------------------------------------------------
 */

static void map_in(struct regions *regions, uint32_t generation, uint64_t site, uint64_t addr,
		   uint64_t bytes)
{
	apply(regions,
	      (struct region_record){
		  .op = REGION_MAP, .stack_hash = site, .addr = addr, .bytes = bytes},
	      generation, 0);
}

static void check_key(const struct regions *regions, size_t index, uint64_t site,
		      uint32_t generation, uint64_t alloc_bytes)
{
	struct site_key key = {0};
	const struct region_totals *totals = regions_site(regions, index, &key);

	assert_int_equal(key.stack_hash, site);
	assert_int_equal(key.generation, generation);
	assert_int_equal(key.alloc_class, CLASS_MMAP);
	assert_int_equal(totals->alloc_bytes[0], alloc_bytes);
}

static void sites_come_in_order_of_appearance(void **state)
{
	map_in(*state, 7, SITE_B, BASE, 1009);
	map_in(*state, 3, SITE_B, BASE, 2003);
	map_in(*state, 7, SITE_A, BASE + 65537, 3001);
	map_in(*state, 7, SITE_B, BASE + 2 * 65537, 4001);
	assert_int_equal(regions_site_count(*state), 3);
	check_key(*state, 0, SITE_B, 7, 1009 + 4001);
	check_key(*state, 1, SITE_B, 3, 2003);
	check_key(*state, 2, SITE_A, 7, 3001);
}

static void processes_do_not_share_addresses(void **state)
{
	const struct region_record cut = {.op = REGION_UNMAP, .addr = BASE, .bytes = 503};

	map_in(*state, 1, SITE_A, BASE, 1009);
	map_in(*state, 2, SITE_A, BASE, 4099);
	apply(*state, cut, 2, 0);
	apply(*state, cut, 3, 0);
	assert_int_equal(regions_live_bytes(*state, 1), 1009);
	assert_int_equal(regions_live_bytes(*state, 2), 3596);
	assert_int_equal(regions_live_bytes(*state, 3), 0);
	assert_int_equal(regions_live_bytes(*state, 4), 0);
	check_site(*state, SITE_A, 1009, 0, 1, 0);
}

static void a_rebased_range_keeps_its_site_and_does_not_grow(void **state)
{
	struct region_record record = {
		.op = REGION_REBASE,
		.stack_hash = SITE_B,
		.addr = BASE + 100003,
		.bytes = 8209,
		.old_addr = BASE,
		.old_bytes = 4099,
	};

	map(*state, SITE_A, BASE, 4099);
	apply(*state, record, 1, 0);
	check_live(*state, 4099);
	check_site(*state, SITE_A, 4099, 0, 1, 0);
	unmap(*state, BASE, 4099);
	check_live(*state, 4099);
	unmap(*state, BASE + 100003, 4099);
	check_site(*state, SITE_A, 4099, 4099, 1, 1);
}

static void the_totals_of_an_ended_process_stay(void **state)
{
	map_in(*state, 1, SITE_A, BASE, 4099);
	map_in(*state, 2, SITE_A, BASE, 8209);
	regions_forget(*state, 1);
	regions_forget(*state, 11);
	check_live(*state, 0);
	check_site(*state, SITE_A, 4099, 0, 1, 0);
	unmap(*state, BASE, 4099);
	check_site(*state, SITE_A, 4099, 0, 1, 0);
	assert_int_equal(regions_live_bytes(*state, 2), 8209);
	map(*state, SITE_A, BASE, 1009);
	unmap(*state, BASE, 1009);
	check_site(*state, SITE_A, 5108, 1009, 2, 1);
}

/* ---- against a stupid twin ---------------------------------------------------------------------
 */

#define OPERATIONS  101111
#define GENERATIONS 3
#define HASHES	    5
#define SPACE	    509 /* bytes of each process */
#define RANGE_MAX   97

/* Who owns each byte; a block is an operation. */
struct twin {
	uint32_t owner[GENERATIONS][SPACE]; /* block + 1; 0: nobody */
	struct {
		uint32_t site, age, live_bytes;
	} blocks[OPERATIONS];
	struct region_totals totals[GENERATIONS * HASHES];
	bool seen[GENERATIONS * HASHES];
};

/* Returns how many of the bytes were somebody's. */
static uint64_t twin_unmap(struct twin *twin, uint32_t generation, uint64_t start, uint64_t bytes)
{
	uint64_t cut_bytes = 0;

	for (uint64_t i = start; i < start + bytes; i++) {
		uint32_t block = twin->owner[generation][i];
		struct region_totals *totals;

		if (!block--)
			continue;
		twin->owner[generation][i] = 0;
		cut_bytes++;
		totals = &twin->totals[twin->blocks[block].site];
		totals->free_bytes[twin->blocks[block].age]++;
		if (!--twin->blocks[block].live_bytes)
			totals->free_blocks++;
	}
	return cut_bytes;
}

static void twin_map(struct twin *twin, uint32_t block, const struct region_record *record,
		     uint32_t age)
{
	uint32_t generation = record->head.generation;
	uint32_t site = generation * HASHES + record->stack_hash;

	twin->seen[site] = true;
	if (!record->bytes)
		return;
	twin->totals[site].alloc_bytes[age] += record->bytes;
	twin->totals[site].alloc_blocks++;
	twin->blocks[block].site = site;
	twin->blocks[block].age = age;
	twin->blocks[block].live_bytes = record->bytes;
	for (uint64_t i = 0; i < record->bytes; i++)
		twin->owner[generation][record->addr + i] = block + 1;
}

static void twin_rebase(struct twin *twin, const struct region_record *record)
{
	uint32_t *owner = twin->owner[record->head.generation], moved[RANGE_MAX];
	uint64_t bytes = record->bytes < record->old_bytes ? record->bytes : record->old_bytes;

	memcpy(moved, owner + record->old_addr, bytes * sizeof(*moved));
	memset(owner + record->old_addr, 0, bytes * sizeof(*moved));
	twin_unmap(twin, record->head.generation, record->old_addr + bytes,
		   record->old_bytes - bytes);
	twin_unmap(twin, record->head.generation, record->addr, record->bytes);
	memcpy(owner + record->addr, moved, bytes * sizeof(*moved));
}

static void twin_apply(struct twin *twin, uint32_t block, const struct region_record *record,
		       uint32_t age)
{
	uint32_t generation = record->head.generation;
	bool maps = record->op != REGION_UNMAP;

	if (record->op == REGION_REBASE) {
		twin_rebase(twin, record);
		return;
	}
	if (record->op == REGION_MOVE)
		maps = twin_unmap(twin, generation, record->old_addr, record->old_bytes) > 0;
	twin_unmap(twin, generation, record->addr, record->bytes);
	if (maps)
		twin_map(twin, block, record, age);
}

static uint64_t twin_live_bytes(const struct twin *twin, uint32_t generation)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < SPACE; i++)
		bytes += twin->owner[generation][i] != 0;
	return bytes;
}

/* A range within SPACE; one in RANGE_MAX is empty. */
static void random_range(struct prng *prng, __u64 *addr, __u64 *bytes)
{
	*bytes = random_below(prng, RANGE_MAX);
	*addr = random_below(prng, SPACE - *bytes + 1);
}

static struct region_record random_record(struct prng *prng)
{
	struct region_record record = {
	    .head.generation = random_below(prng, GENERATIONS),
	    .op = REGION_MAP + random_below(prng, 4),
	    .stack_hash = random_below(prng, HASHES),
	};

	random_range(prng, &record.addr, &record.bytes);
	if (record.op == REGION_MOVE || record.op == REGION_REBASE) {
		random_range(prng, &record.old_addr, &record.old_bytes);
		if (random_below(prng, 2) && record.addr + record.old_bytes <= SPACE)
			record.old_addr = record.addr; /* in place */
	}
	return record;
}

static void compare_totals(const struct region_totals *got, const struct region_totals *want)
{
	uint64_t alloc_blocks = 0, free_blocks = 0;

	if (!memcmp(got, want, sizeof(*got)))
		return;
	for (uint32_t age = 0; age < AGE_CLASSES; age++) {
		assert_int_equal(got->alloc_bytes[age], want->alloc_bytes[age]);
		assert_int_equal(got->free_bytes[age], want->free_bytes[age]);
	}
	assert_int_equal(got->alloc_blocks, want->alloc_blocks);
	assert_int_equal(got->free_blocks, want->free_blocks);
	for (int age = 0; age < AGE_CLASSES; age++) {
		alloc_blocks += got->alloc_age_blocks[age];
		free_blocks += got->free_age_blocks[age];
	}
	assert_int_equal(alloc_blocks, want->alloc_blocks);
	assert_int_equal(free_blocks, want->free_blocks);
}

static void compare_all(const struct regions *regions, const struct twin *twin)
{
	size_t seen = 0;

	for (size_t i = 0; i < GENERATIONS * HASHES; i++)
		seen += twin->seen[i];
	assert_int_equal(regions_site_count(regions), seen);
	for (size_t i = 0; i < seen; i++) {
		struct site_key key;
		const struct region_totals *totals = regions_site(regions, i, &key);

		compare_totals(totals, &twin->totals[key.generation * HASHES + key.stack_hash]);
	}
	for (uint32_t i = 0; i < GENERATIONS; i++)
		assert_int_equal(regions_live_bytes(regions, i), twin_live_bytes(twin, i));
}

static void any_sequence_counts_as_byte_by_byte(void **state)
{
	struct twin *twin = calloc(1, sizeof(*twin));
	struct prng prng = {20011};

	assert_non_null(twin);
	for (uint32_t i = 0; i < OPERATIONS; i++) {
		struct region_record record = random_record(&prng);
		uint32_t age = random_below(&prng, AGE_CLASSES);

		if (!random_below(&prng, 1009)) { /* the process ends */
			regions_forget(*state, record.head.generation);
			memset(twin->owner[record.head.generation], 0, sizeof(twin->owner[0]));
		} else {
			apply(*state, record, record.head.generation, age);
			twin_apply(twin, i, &record, age);
		}
		compare_all(*state, twin);
	}
	free(twin);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_new_ledger_is_empty),
	    TEST(a_map_is_one_block_of_its_bytes),
	    TEST(neighbours_stay_two_blocks),
	    TEST(an_exact_unmap_frees_the_block),
	    TEST(a_second_unmap_frees_nothing),
	    TEST(an_unmap_of_the_front_leaves_the_block),
	    TEST(an_unmap_of_the_tail_leaves_the_block),
	    TEST(an_unmap_of_the_middle_leaves_one_block_in_two_pieces),
	    TEST(a_block_goes_with_its_last_piece),
	    TEST(an_unmap_may_take_several_and_the_gaps_between_them),
	    TEST(an_unmap_of_everything_frees_every_block),
	    TEST(an_unmap_beside_a_range_does_nothing),
	    TEST(an_unmap_without_any_map_does_nothing),
	    TEST(a_map_replaces_the_same_range),
	    TEST(a_map_replaces_the_middle_of_a_range),
	    TEST(a_map_replaces_what_it_covers_of_several),
	    TEST(a_range_may_replace_one_of_its_own_site),
	    TEST(a_range_that_grows_in_place_changes_its_site),
	    TEST(a_range_that_shrinks_loses_its_tail),
	    TEST(a_range_that_moves_leaves_its_place),
	    TEST(a_range_may_move_onto_part_of_itself),
	    TEST(a_range_may_move_onto_another),
	    TEST(a_part_of_a_range_may_move),
	    TEST(a_move_of_an_unknown_range_is_no_block),
	    TEST(a_move_of_an_unknown_range_replaces_what_it_falls_on),
	    TEST(a_move_of_a_range_known_in_part_is_a_block),
	    TEST(a_move_of_zero_bytes_leaves_the_old_range),
	    TEST(the_break_goes_up_and_down),
	    TEST(zero_bytes_are_no_block),
	    TEST(a_move_to_zero_bytes_only_frees),
	    TEST(a_map_beyond_the_end_of_memory_is_no_block),
	    TEST(an_unmap_beyond_the_end_of_memory_takes_the_rest),
	    TEST(address_zero_is_an_address),
	    TEST(bytes_are_freed_in_the_epoch_they_were_born_in),
	    TEST(a_moved_range_is_born_again),
	    TEST(epochs_beyond_the_last_are_the_last),
	    TEST(sites_come_in_order_of_appearance),
	    TEST(processes_do_not_share_addresses),
	    TEST(a_rebased_range_keeps_its_site_and_does_not_grow),
	    TEST(the_totals_of_an_ended_process_stay),
	    TEST(any_sequence_counts_as_byte_by_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
