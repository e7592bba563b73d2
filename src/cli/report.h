/* SPDX-License-Identifier: GPL-2.0-only */
/* report.h - what the verbs that show a recording have in common: report and diff. */
#ifndef SEEP_CLI_REPORT_H
#define SEEP_CLI_REPORT_H

#include <stdbool.h>

#include "profile/profile.h"

struct err;

/* What is reported, and what it shares texts with. */
struct report_data {
	struct profile whole;
	struct profile sources[2];
};

struct report_kind {
	const char *verb;
	const char *usage, *description, *hint; /* of --help, around the options */
	int arguments;
	bool since; /* it has the option --since */
	/*
	 * Fill 'data' (zeroed) from the arguments; 'since' may be NULL. Returns an exit status;
	 * the data is given back by the caller either way.
	 */
	int (*load)(char **arguments, const char *since, struct report_data *data, struct err *err);
};

/* The whole verb, from its command line to its output. Returns an exit status. */
int report_main(const struct report_kind *kind, int argc, char **argv, struct err *err);

/* Where a moment is written behind a file ("FILE@30s"); NULL: nowhere, it is a file to its end. A
 * file whose name is the whole of 'argument' is that file. */
const char *moment_in_argument(const char *argument);

#endif
