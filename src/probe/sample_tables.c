/* SPDX-License-Identifier: GPL-2.0-only */
/* sample_tables.c - see sample_tables.h */
#include "probe/sample_tables.h"

#include <math.h>
#include <stdint.h>

#include "../../bpf/sample.bpf.h"

void sample_tables_fill(struct sample_tables *tables)
{
	for (int i = 0; i <= EXP_CELLS; i++)
		tables->gap[i] =
		    lround(-log((i ? (double)i : 1.0) / EXP_CELLS) * (1 << EXP_UNIT_SHIFT));
	for (int i = 0; i < FRACTION_CELLS; i++) {
		double value = exp(-(double)i / FRACTION_CELLS) * ONE_32 - 1.0;

		tables->exp_fraction[i] = llround(value);
	}
	for (int i = 0; i < 32; i++) {
		double value = exp(-(double)i) * ONE_32;

		tables->exp_whole[i] = value > UINT32_MAX ? UINT32_MAX : llround(value);
	}
}
