/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * opt.h - options of a verb as rows: the rows that are parsed are the rows that --help prints, and
 * defaults are texts read by the same parser.
 *
 *	static const struct opt report_options[] = {
 *		{ 'n', "top", OPT_COUNT, "N", "20", FILLS(struct report_opts, top), "sites shown" },
 *		{ 0 },
 *	};
 */
#ifndef SEEP_CLI_OPT_H
#define SEEP_CLI_OPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

enum opt_kind {
	OPT_FLAG,     /* bool */
	OPT_TEXT,     /* const char * */
	OPT_TEXTS,    /* struct opt_texts: may be given several times */
	OPT_COUNT,    /* uint64_t */
	OPT_BYTES,    /* uint64_t */
	OPT_DURATION, /* uint64_t, ns */
	OPT_PERCENT,  /* double */
	OPT_PIDS,     /* struct opt_pids: may be given several times */
	OPT_CHOICE,   /* uint32_t: index into the '|'-separated words of 'argument' */
};

#define OPT_PIDS_MAX 64
struct opt_pids {
	int32_t items[OPT_PIDS_MAX];
	size_t count;
};

#define OPT_TEXTS_MAX 64
struct opt_texts {
	const char *items[OPT_TEXTS_MAX];
	size_t count;
};

struct opt {
	char letter; /* 0: long name only */
	const char *name;
	enum opt_kind kind;
	const char *argument;	   /* placeholder in --help; NULL for flags */
	const char *default_value; /* NULL: left zero */
	size_t offset;		   /* of the member it fills */
	const char *help;
};
#define FILLS(type, member) offsetof(type, member)

/*
 * Fill 'into' (zeroed by the caller) from argv[1..]; positional arguments are moved to
 * argv[1..*positional_count]. "--help" and "-h" (where no row takes it) set *help. Errors name the
 * option and what it wants:
 * "--interval: '5x' is not a TIME, for example 10s".
 */
int opt_parse(const struct opt *rows, int argc, char **argv, void *into, int *positional_count,
	      bool *help, struct err *err);

/* Print the rows, aligned, defaults in brackets. */
void opt_print(const struct opt *rows);

/* Letters to add, drop or change to make one word of the other (Levenshtein), to find what was
 * meant. SIZE_MAX for words too long to care. */
size_t word_distance(const char *left, const char *right);

#endif
