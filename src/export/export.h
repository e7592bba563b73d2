/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * export.h - what all exporters have in common: a profile and its ranking in, bytes out.
 *
 * An exporter writes to 'out' and returns 0 or -ENOMEM; failures of 'out' are for the caller to
 * find with ferror().
 */
#ifndef SEEP_EXPORT_EXPORT_H
#define SEEP_EXPORT_EXPORT_H

#include <stddef.h>

struct profile;
struct ranking;
struct view_rest;

struct export_input {
	const struct profile *profile; /* of the sites in the ranking: a view, or groups */
	const struct ranking *ranking;
	size_t limit;		      /* sites written, from the first; SIZE_MAX: all */
	const struct profile *whole;  /* as recorded: the totals of the processes are its */
	const struct view_rest *rest; /* what a filter left out; NULL: there was none */
};

#endif
