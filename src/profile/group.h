/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * group.h - sites merged by function, line, file, module, traceback or process.
 *
 * The result is a profile again, so that ranking and every exporter work on it unchanged: its sites
 * are the groups, each with the frames that name it (one, but for tracebacks), summed points and
 * summed age classes. Processes and classes are never summed into each other.
 *
 *	function	site_naming_frame(), without its line
 *	line		its file and line, whatever the function (a lambda, a template)
 *	file		its file; the module where no source file is known
 *	module		site_leaf_frame(): the library of native code, the file of Python's
 *	traceback	the lines of the most recent Python frames; in stacks without, of all
 *			from the naming one on
 *	process		"COMM (pid N)", of merged ones the name alone
 *	culprit		the deepest culprit (culprit.h) that the stack passes through, "[elsewhere]"
 *			without; that is judged by the verdicts of its sites, too (rank.h)
 */
#ifndef SEEP_PROFILE_GROUP_H
#define SEEP_PROFILE_GROUP_H

#include "profile/profile.h"
#include "profile/view.h"

struct err;

enum group_by {
	GROUP_SITE, /* one stack each: no merging */
	GROUP_FUNCTION,
	GROUP_LINE,
	GROUP_FILE,
	GROUP_MODULE,
	GROUP_TRACEBACK,
	GROUP_PROCESS,
	GROUP_CULPRIT,
	GROUP_COUNT,
};

struct group_options {
	enum group_by by;
	uint32_t traceback_frames; /* of GROUP_TRACEBACK, the most recent; 0: all */
	bool native; /* named by the leaf-most frame of all, the interpreter's own included */
};

/*
 * Merge. 'grouped' shares texts, snapshots and processes with 'profile', which must live longer.
 * Give it back with profile_deinit(). Returns 0 or -ENOMEM.
 */
int profile_group(const struct profile *profile, const struct group_options *options,
		  struct profile *grouped, struct err *err);

#endif
