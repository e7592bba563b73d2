/* SPDX-License-Identifier: GPL-2.0-only */
/* export.c - see export.h */
#include "export/export.h"

#include <math.h>

#include "profile/profile.h"
#include "profile/rank.h"

struct site_values site_values(const struct ranked_site *ranked)
{
	return (struct site_values){
	    .growth_bytes = llround(ranked->growth_bytes),
	    .growth_blocks = llround(ranked->growth_blocks),
	    .live_bytes = llround(live_bytes(ranked->end)),
	    .live_blocks = llround(live_blocks(ranked->end)),
	    .alloc_bytes = llround(ranked->end.alloc_bytes),
	    .alloc_blocks = llround(ranked->end.alloc_blocks),
	};
}

void site_values_add(struct site_values *sum, const struct ranked_site *ranked)
{
	const struct site_values values = site_values(ranked);

	sum->growth_bytes += values.growth_bytes;
	sum->growth_blocks += values.growth_blocks;
	sum->live_bytes += values.live_bytes;
	sum->live_blocks += values.live_blocks;
	sum->alloc_bytes += values.alloc_bytes;
	sum->alloc_blocks += values.alloc_blocks;
}

size_t export_count(const struct export_input *input)
{
	return input->ranking->count < input->limit ? input->ranking->count : input->limit;
}
