/* SPDX-License-Identifier: GPL-2.0-only */
/* main.c - finds the verb, prints the one error line, hands on the exit status. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "cli/opt.h"
#include "cli/verb.h"

static const struct verb *const verbs[] = {&record_verb, &top_verb, &report_verb, &diff_verb,
					   &doctor_verb};

static void help_print(FILE *out)
{
	fprintf(out,
		"seep finds what a running process keeps: it ranks allocation stacks by growth.\n\n"
		"usage: seep VERB [OPTIONS]\n\n");
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		fprintf(out, "  %-10s%s\n", verbs[i]->name, verbs[i]->summary);
	fprintf(
	    out,
	    "\n  seep VERB --help lists the options of a verb; seep --version says which it is.\n\n"
	    "A first look at process 812, for 30 seconds:\n"
	    "  sudo seep record -p 812 -d 30s\n\n"
	    "exit status: %d done; %d something failed; %d wrong command line; %d no such "
	    "process,\n"
	    "or not one that can be watched; %d no permission, or the kernel lacks a feature;\n"
	    "%d the recording is missing, damaged, already there, or cannot be written\n",
	    EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_NO_TARGET, EXIT_NO_PERMISSION, EXIT_BAD_FILE);
}

static const struct verb *verb_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (!strcmp(verbs[i]->name, name))
			return verbs[i];
	return NULL;
}

static int unknown_verb(const char *name)
{
	const struct verb *best = NULL;
	size_t best_distance = 3;

	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		size_t distance = word_distance(name, verbs[i]->name);

		if (distance < best_distance) {
			best_distance = distance;
			best = verbs[i];
		}
	}
	if (best)
		log_error("'%s' is not a verb (is '%s' meant?)", name, best->name);
	else
		log_error("'%s' is not a verb (seep --help lists them)", name);
	return EXIT_USAGE;
}

/* What a verb printed must have arrived: a full disk behind '>' is a failure. */
static int output_finish(int status)
{
	if (!fflush(stdout) && !ferror(stdout))
		return status;
	if (errno == EPIPE)
		return status;
	if (status == EXIT_OK) {
		log_error("cannot write 'standard output': %s", strerror(errno));
		return EXIT_FAILED;
	}
	return status;
}

int main(int argc, char **argv)
{
	const struct verb *verb;
	struct err err = {0};
	int status;

	if (argc < 2) {
		help_print(stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		help_print(stdout);
		return output_finish(EXIT_OK);
	}
	if (!strcmp(argv[1], "--version")) {
		printf("seep %s\n", SEEP_VERSION);
		return output_finish(EXIT_OK);
	}
	verb = verb_find(argv[1]);
	if (!verb)
		return unknown_verb(argv[1]);
	status = verb->run(argc - 1, argv + 1, &err);
	if (status != EXIT_OK && err.text[0]) {
		fflush(stdout);
		log_error("%s", err.text);
		return status;
	}
	return output_finish(status);
}
