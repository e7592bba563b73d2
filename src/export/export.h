/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * export.h - what all exporters have in common: a profile and its ranking in, bytes out.
 *
 * An exporter writes to 'out' and returns 0 or -ENOMEM; failures of 'out' are for the caller to
 * find with ferror().
 */
#ifndef SEEP_EXPORT_EXPORT_H
#define SEEP_EXPORT_EXPORT_H

#include <stdbool.h>
#include <stddef.h>

struct culprits;
struct profile;
struct ranked_site;
struct ranking;
struct view_rest;

struct export_input {
	const struct profile *profile; /* of the sites in the ranking: a view, or groups */
	const struct ranking *ranking;
	size_t limit;		      /* sites written, from the first; SIZE_MAX: all */
	const struct profile *whole;  /* as recorded: the totals of the processes are its */
	const struct view_rest *rest; /* what a filter left out; NULL: there was none */
	bool differential; /* of two snapshots, which are the totals of two moments (diff.h) */
	const struct culprits *culprits;    /* NULL: not looked for */
	const struct view_rest *suppressed; /* what suppressions left out; NULL: there were none */
};

/* The figures of a site, each rounded for itself: the same integers in every format. */
struct site_values {
	long long growth_bytes, growth_blocks; /* may be negative */
	long long live_bytes, live_blocks;
	long long alloc_bytes, alloc_blocks;
};
struct site_values site_values(const struct ranked_site *ranked);
void site_values_add(struct site_values *sum, const struct ranked_site *ranked);

/* Sites that are to be written. */
size_t export_count(const struct export_input *input);

#endif
