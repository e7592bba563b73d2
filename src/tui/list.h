/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * list.h - the ranking of a recording that is still being written, as rows to look at: which, in
 * which order, and what each is called.
 *
 *	list_load	reads the file; what was loaded before is dropped, unless it fails
 *	list_arrange	groups, filters and sorts; after each load and each change of the options
 */
#ifndef SEEP_TUI_LIST_H
#define SEEP_TUI_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "profile/group.h"
#include "profile/profile.h"
#include "profile/rank.h"

struct err;

enum list_sort {
	LIST_RANK, /* seep's own order: what will go on growing first */
	LIST_GROWTH,
	LIST_RATE,
	LIST_LIVE,
	LIST_BLOCKS,
	LIST_KEPT,
	LIST_SORT_COUNT,
};

#define LIST_TEXT_MAX 64

struct list_options {
	enum list_sort sort;
	enum group_by by;
	uint32_t alloc_class;	  /* CLASS_COUNT: all */
	char text[LIST_TEXT_MAX]; /* rows whose name or place has it, whatever its case; "": all */
};

struct list {
	struct profile whole, view, grouped;
	struct ranking stacks;	     /* of the view: one row per stack */
	struct ranking groups;	     /* of 'grouped' */
	enum group_by by;	     /* of what 'grouped' is; GROUP_SITE: of nothing */
	const struct profile *shown; /* of the rows: the view or 'grouped' */
	const struct ranked_site **rows;
	size_t count, total; /* rows, and how many there are without a filter */
	double live_bytes[CLASS_COUNT];
	bool loaded, several_processes;
};

/* Returns 0 or -errno; then the list is as it was. */
int list_load(struct list *list, const char *path, struct err *err);
int list_arrange(struct list *list, const struct list_options *options, struct err *err);
void list_free(struct list *list);

/* Rows keep their key from one load to the next: it is made of process, class and frames. */
uint64_t list_key(const struct list *list, size_t row);
/* Returns -1 when no row has this key. */
ssize_t list_find(const struct list *list, uint64_t key);

/* What a row is called: "SSL_new < connect", and where it is: "client.py:42", "" when unknown. As
 * recorded, not yet fit for a terminal. The caller frees both. Returns 0 or -ENOMEM. */
int list_name(const struct list *list, size_t row, char **name, char **place);

/* "src/cache.c:42", "libx.so+0x1234" or "". The caller frees it; NULL when memory is out. */
char *list_place(const struct profile_frame *frame);

/* The stack behind a row, of 'view': of a group that of its first site by rank; NULL when none is
 * found. '*stack_count' is how many stacks the row has. */
const struct profile_site *list_stack(const struct list *list, size_t row, size_t *stack_count);

/* The live bytes of a row over time, in 'count' steps. */
void list_series(const struct list *list, size_t row, double *values, size_t count);

const char *list_sort_name(enum list_sort sort);
const char *list_by_name(enum group_by by);

#endif
