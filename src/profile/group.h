/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * group.h - sites merged by function, line, file or module.
 *
 * The result is a profile again, so that ranking and every exporter work on it unchanged: its sites
 * are the groups, each with one frame that names it, summed points and summed age classes.
 * Processes and classes are never summed into each other.
 */
#ifndef SEEP_PROFILE_GROUP_H
#define SEEP_PROFILE_GROUP_H

#include "profile/profile.h"

struct err;

enum group_by {
	GROUP_SITE, /* one stack each: no merging */
	GROUP_FUNCTION,
	GROUP_LINE,
	GROUP_FILE, /* the module where no source file is known */
	GROUP_MODULE,
};

/*
 * The frame that a person would name as the place of the allocation: the leaf-most one that is
 * neither internal nor of the language's own library (operator new, std::, Rust's
 * alloc::alloc). Index into site->frames; 0 when all are.
 */
uint32_t site_naming_frame(const struct profile *profile, const struct profile_site *site);

/*
 * Merge. 'grouped' shares texts, snapshots and processes with 'profile', which must live longer.
 * Give it back with profile_deinit(). Returns 0 or -ENOMEM.
 */
int profile_group(const struct profile *profile, enum group_by by, struct profile *grouped,
		  struct err *err);

#endif
