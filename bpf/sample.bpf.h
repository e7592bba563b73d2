/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sample.bpf.h - Poisson sampling by bytes, in fixed point. Also compiles natively for tests.
 *
 * Every byte is hit with probability 1/R, so a block of S bytes is sampled with
 * p(S) = 1 - e^(-S/R). A sampled block stands for 1/p(S) blocks like it (Horvitz-Thompson), which
 * makes sums of bytes and blocks unbiased whatever the mix of sizes. Estimated variance of a
 * sampled block's bytes: (S/p)^2 * (1 - p).
 */
#ifndef SEEP_SAMPLE_BPF_H
#define SEEP_SAMPLE_BPF_H

#ifndef __bpf__
#include "base/abi_types.h"
#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif
#endif

#define EXP_CELLS      4096 /* power of two */
#define EXP_UNIT_SHIFT 24   /* gaps: 1.0 is 1 << 24 */
#define FRACTION_CELLS 256
#define ONE_32	       (1ULL << 32)

struct sample_tables {
	/* -ln(i / EXP_CELLS) << EXP_UNIT_SHIFT; [0] stands for ln(EXP_CELLS) and "draw again" */
	__u32 gap[EXP_CELLS + 1];
	/* e^-(i / FRACTION_CELLS) and e^-i, both << 32 (i = 0 would be 2^32: kept one below) */
	__u32 exp_fraction[FRACTION_CELLS];
	__u32 exp_whole[32];
};

struct sample_weight {
	__u64 bytes;
	__u64 blocks;	/* in units of 1 / WEIGHT_ONE */
	__u64 variance; /* in units of 2^VARIANCE_UNIT_SHIFT bytes^2 */
};

/*
 * An exponential variable of mean 'interval_bytes' from 32 random bits per call of 'random()'.
 * A cell of the table is chosen by 12 bits and interpolated by 16 more; the first cell is endless,
 * but memoryless: ln(4096) more, and draw again.
 */
#define SAMPLE_GAP(tables, interval_bytes, random)                                                 \
	({                                                                                         \
		__u64 gap_ = 0;                                                                    \
		for (int draw_ = 0; draw_ < 4; draw_++) {                                          \
			__u32 bits_ = random();                                                    \
			__u32 cell_ = bits_ & (EXP_CELLS - 1), part_ = bits_ >> 16;                \
			__u64 high_ = (tables)->gap[cell_], low_ = (tables)->gap[cell_ + 1];       \
			if (cell_) {                                                               \
				gap_ += low_ + (((high_ - low_) * (65536 - part_)) >> 16);         \
				break;                                                             \
			}                                                                          \
			gap_ += high_;                                                             \
		}                                                                                  \
		(gap_ * (interval_bytes)) >> EXP_UNIT_SHIFT; /* below 34 << 24 times 2^27 */       \
	})

/* e^-x << 32 for x = size / interval, x < 32. */
static __always_inline __u64 sample_exp(const struct sample_tables *tables, __u64 x_32)
{
	__u32 whole = (x_32 >> 32) & 31, cell = (x_32 >> 24) & (FRACTION_CELLS - 1);
	__u64 rest = (x_32 & 0xffffff) << 8; /* below 1/256, now << 40 */
	__u64 square = ((rest >> 8) * (rest >> 8)) >> 32;
	__u64 cube = (square * (rest >> 8)) >> 32;
	__u64 small = ONE_32 - (rest >> 8) + (square >> 1) - cube / 6; /* next: below 10^-11 */
	__u64 result = ((__u64)tables->exp_fraction[cell] + 1) * (small >> 1) >> 31;

	return whole ? (result * tables->exp_whole[whole]) >> 32 : result;
}

/* What a sampled block of 'size_bytes' stands for; 'interval_bytes' is R, up to 2^27. */
static __always_inline struct sample_weight
sample_weigh(const struct sample_tables *tables, __u64 size_bytes, __u64 interval_bytes)
{
	struct sample_weight weight = { size_bytes, WEIGHT_ONE, 0 };
	__u64 x_32, missed, hit;

	if (interval_bytes <= 1 || !size_bytes || size_bytes >= 22 * interval_bytes)
		return weight; /* 1 - p below 3 * 10^-10 */
	x_32 = (size_bytes << 32) / interval_bytes;
	if (x_32 < ONE_32 / 256) {
		/* S / p = R / (1 - x/2 + x^2/6 - x^3/24): no digits are lost when p is small */
		__u64 square = (x_32 * x_32) >> 32, cube = (square * x_32) >> 32;

		hit = ONE_32 - (x_32 >> 1) + square / 6 - cube / 24;
		weight.bytes = ((interval_bytes << 32) + hit / 2) / hit;
		missed = ONE_32 - x_32;
	} else {
		missed = sample_exp(tables, x_32);
		hit = ONE_32 - missed;
		weight.bytes = ((size_bytes << 32) + hit / 2) / hit;
	}
	weight.blocks = (weight.bytes << 16) / size_bytes;
	/* at most R^2: fits, also with 20 bits of 1 - p */
	weight.variance = ((weight.bytes * weight.bytes >> VARIANCE_UNIT_SHIFT) * (missed >> 12) +
			   (1 << 19)) >> 20;
	return weight;
}

#endif
