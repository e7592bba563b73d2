/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * verdict.h - the first lines of a report: where the growth of resident memory went, and what this
 * recording cannot say.
 *
 *   growth of RSS = live heap + allocator-held + other + unexplained
 *
 *   live heap	growth of the live bytes of all classes, as requested by the program
 *   held	growth of the memory that allocators have (heap, arenas, private anonymous
 *		mappings) beyond the live heap: free lists, rounding, fragmentation. Negative when
 *		the live heap reused memory that was there before, or was not touched yet
 *   other	growth of file mappings, stacks and shared memory
 *   unexplained	the rest
 *
 * Of a process that ended only its last resident size is known: it is not divided then.
 */
#ifndef SEEP_PROFILE_VERDICT_H
#define SEEP_PROFILE_VERDICT_H

#include "profile/profile.h"

struct err;
struct ranking;

/* The figures of one process, in bytes; growth between start and end of the recording. */
struct memory_growth {
	double live[CLASS_COUNT],
	    growth[CLASS_COUNT];   /* of the sites, live at the end and growth */
	double live_growth;	   /* over all classes */
	double variance;	   /* of it, bytes^2 */
	double start_rss, end_rss; /* 0: not read */
	bool read_once;		   /* one reading alone: no growth to be told */
	bool divided;		   /* both breakdowns were read: what follows is meant */
	double held, other, unexplained, swap;
};

/* One per process, in their order; the caller frees the array. NULL when memory is out. */
struct memory_growth *memory_growth_read(const struct profile *profile);

/*
 * Processes worth a line: all but program images that another one replaced (exec) and that left
 * nothing. 'growth' is of memory_growth_read().
 */
bool process_counts(const struct profile_process *process, const struct memory_growth *growth);

enum verdict_tone {
	TONE_ANSWER, /* what was found */
	TONE_NOTE,   /* how sure it is, what happened on the way */
	TONE_LOSS,   /* data is missing */
};
struct verdict_line {
	enum verdict_tone tone;
	char *text; /* one line, no newline; may hold hostile names */
};
struct verdict {
	struct verdict_line *items;
	size_t count, capacity;
};

/* 4.25 -> "4.2", 110.3 -> "110", 0.004 -> "under 0.01". Returns 'buffer', UNITS_TEXT_MAX bytes. */
const char *percent_format(double percent, char *buffer);

const char *alloc_class_name(uint32_t alloc_class); /* "malloc", "python", "mmap" */

/* Write the lines. 'ranking' is of all sites of 'profile', ungrouped. Returns 0 or -ENOMEM. */
int verdict_build(const struct profile *profile, const struct ranking *ranking,
		  struct verdict *verdict, struct err *err);
void verdict_free(struct verdict *verdict);

#endif
