/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * command.h - a command started by us, held back before exec until its probes are in place.
 */
#ifndef SEEP_CLI_COMMAND_H
#define SEEP_CLI_COMMAND_H

#include <stdbool.h>
#include <sys/types.h>

struct err;

#define COMMAND_NAME_MAX 16

struct command {
	pid_t pid;   /* -1: none */
	int go_fd;   /* closing it lets the child exec */
	char name[COMMAND_NAME_MAX];
	bool no_terminal; /* to be set before: it gets /dev/null in the place of a terminal */
};

/*
 * Fork; the child waits for command_go(), then runs 'text' as a shell would split it (quotes and
 * backslashes, no expansions). Returns 0, -EINVAL (quotes), -ENOENT (not found in PATH), -errno.
 */
int command_start(struct command *command, const char *text, struct err *err);

void command_go(struct command *command);

/* Reap it if it has ended. If it never got its go, it is ended; a running one is left alone. */
void command_end(struct command *command);

#endif
