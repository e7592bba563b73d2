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

size_t export_count(const struct export_input *input)
{
	return input->ranking->count < input->limit ? input->ranking->count : input->limit;
}
