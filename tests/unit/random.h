/* SPDX-License-Identifier: GPL-2.0-only */
/* random.h - numbers that are the same in every run: splitmix64 (Steele, Lea, Flood 2014). */
#ifndef SEEP_UNIT_RANDOM_H
#define SEEP_UNIT_RANDOM_H

#include <stdint.h>

struct prng {
	uint64_t state; /* the seed */
};

static inline uint64_t random_bits(struct prng *prng)
{
	uint64_t bits = prng->state += 0x9E3779B97F4A7C15ULL;

	bits = (bits ^ bits >> 30) * 0xBF58476D1CE4E5B9ULL;
	bits = (bits ^ bits >> 27) * 0x94D049BB133111EBULL;
	return bits ^ bits >> 31;
}

/* One of 0 .. count - 1. */
static inline uint32_t random_below(struct prng *prng, uint32_t count)
{
	return (random_bits(prng) >> 32) * count >> 32;
}

#endif
