/* SPDX-License-Identifier: GPL-2.0-only */
/* profile.c - see profile.h */
#include "profile/profile.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"

void profile_deinit(struct profile *profile)
{
	arena_free(profile->arena);
	memset(profile, 0, sizeof(*profile));
}

struct site_totals profile_site_at(const struct profile_site *site, uint32_t snapshot)
{
	uint32_t low = 0, high = site->point_count;

	/* invariant: points before 'low' are at or before the snapshot, those from 'high' on after
	 * it */
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (site->points[middle].snapshot <= snapshot)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? site->points[low - 1].totals : (struct site_totals){0};
}

char *process_label(const struct profile_process *process)
{
	char *label = NULL;

	if (!process->pid)
		return strdup(process->comm[0] ? process->comm : "several processes");
	return asprintf(&label, "%s (pid %d)", process->comm, (int)process->pid) < 0 ? NULL : label;
}

uint32_t profile_longest_stack(const struct profile *profile)
{
	uint32_t longest = 0;

	for (uint32_t i = 0; i < profile->site_count; i++)
		if (profile->sites[i].frame_count > longest)
			longest = profile->sites[i].frame_count;
	return longest;
}

bool profile_has_python(const struct profile *profile)
{
	for (uint32_t i = 0; i < profile->frame_count; i++)
		if (profile->frames[i].python)
			return true;
	return false;
}
