/* SPDX-License-Identifier: GPL-2.0-only */
/* verb.h - what main.c knows of a verb, and the exit statuses all of them share. */
#ifndef SEEP_CLI_VERB_H
#define SEEP_CLI_VERB_H

struct err;

/* Documented in --help and seep(8). */
enum exit_status {
	EXIT_OK = 0,
	EXIT_FAILED = 1,	/* something else went wrong: the line on stderr says what */
	EXIT_USAGE = 2,		/* the command line is wrong */
	EXIT_NO_TARGET = 3,	/* no such process, or one that cannot be watched */
	EXIT_NO_PERMISSION = 4, /* not root, capabilities missing, or the kernel lacks a feature */
	EXIT_BAD_FILE = 5,	/* the recording is missing, damaged or cannot be written */
};

struct verb {
	const char *name;
	const char *summary; /* one line for "seep --help" */
	/* Returns an exit status; on failure 'err' holds the one line that main prints. */
	int (*run)(int argc, char **argv, struct err *err);
};

/* The exit status for a failure (-errno) to get at the target or into the kernel. */
int verb_exit_status(int status);

extern const struct verb record_verb, top_verb, report_verb, diff_verb, doctor_verb;

#endif
