/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * filter.h - which sites are looked at, by the file of a frame, as tracemalloc.Filter does
 * (Lib/tracemalloc.py, Snapshot.filter_traces): a site stays when at least one of the including
 * patterns matches, if there are any, and none of the excluding ones.
 *
 * Matched is the source file of the naming frame, the module where no file is known; with
 * 'all_frames' that of any frame which is not the interpreter's own. '*' matches '/', too; ".pyc"
 * counts as ".py".
 */
#ifndef SEEP_PROFILE_FILTER_H
#define SEEP_PROFILE_FILTER_H

#include "profile/profile.h"

struct err;

struct file_pattern {
	char *text; /* of fnmatch(3) */
	uint32_t line;
	bool has_line;
};

struct file_patterns {
	struct file_pattern *items;
	size_t count, capacity;
};

struct site_filter {
	struct file_patterns include, exclude;
	bool all_frames;
};

/* Add "PATTERN" or "PATTERN:LINE". Returns 0, -EINVAL when it is empty, or -ENOMEM. */
int file_pattern_add(struct file_patterns *patterns, const char *text, struct err *err);
void site_filter_free(struct site_filter *filter);

bool site_filter_empty(const struct site_filter *filter);
bool site_passes(const struct profile *profile, const struct profile_site *site,
		 const struct site_filter *filter);

#endif
