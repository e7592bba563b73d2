/* SPDX-License-Identifier: GPL-2.0-only */
/* command.c - see command.h */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "cli/command.h"

#define ARGS_MAX 256

/* Copies one word to 'out', quotes and backslashes removed. Returns the rest, NULL on open quotes. */
static const char *take_word(const char *text, char **out)
{
	char quote = 0;

	for (; *text; text++) {
		if (!quote && (*text == ' ' || *text == '\t' || *text == '\n'))
			break;
		if (*text == quote)
			quote = 0;
		else if (!quote && (*text == '"' || *text == '\''))
			quote = *text;
		else if (*text == '\\' && quote != '\'' && text[1])
			*(*out)++ = *++text;
		else
			*(*out)++ = *text;
	}
	*(*out)++ = 0;
	return quote ? NULL : text;
}

/* Splits 'text' into 'args', which point into 'buffer' (as large as text + 2). */
static int split_words(const char *text, char *buffer, char *args[ARGS_MAX + 1], struct err *err)
{
	size_t count = 0;

	while (*(text += strspn(text, " \t\n"))) {
		if (count == ARGS_MAX)
			return err_set(err, E2BIG, "-c: more than %d arguments", ARGS_MAX);
		args[count++] = buffer;
		text = take_word(text, &buffer);
		if (!text)
			return err_set(err, EINVAL, "-c: a quote is not closed");
	}
	args[count] = NULL;
	return count ? 0 : err_set(err, EINVAL, "-c: the command is empty");
}

/* As execvp would find it. */
static int find_program(const char *name, char path[PATH_MAX], struct err *err)
{
	const char *dirs = getenv("PATH");
	struct stat status;

	if (strchr(name, '/')) {
		snprintf(path, PATH_MAX, "%s", name);
		if (!access(path, X_OK) && !stat(path, &status) && S_ISREG(status.st_mode))
			return 0;
		return err_set(err, ENOENT, "-c: cannot run '%s'", name);
	}
	for (; dirs && *dirs; dirs += strcspn(dirs, ":"), dirs += *dirs == ':') {
		snprintf(path, PATH_MAX, "%.*s/%s", (int)strcspn(dirs, ":"), dirs, name);
		if (!access(path, X_OK) && !stat(path, &status) && S_ISREG(status.st_mode))
			return 0;
	}
	return err_set(err, ENOENT, "-c: '%s' is not found in PATH", name);
}

/* Files and pipes stay. */
static void leave_terminal(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int fd = 0; fd <= 2; fd++)
		if (isatty(fd))
			dup2(null, fd);
}

static void run_child(const int fds[2], const char *path, char **args, bool no_terminal)
{
	char byte;
	sigset_t none;

	close(fds[1]); /* else we would wait for ourselves */
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* while it waits */
	if (read(fds[0], &byte, 1) != 1)
		_exit(126); /* we gave up */
	prctl(PR_SET_PDEATHSIG, SIGCONT); /* kept over exec: it is never left stopped by our death */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	if (no_terminal)
		leave_terminal();
	execv(path, args);
	_exit(127);
}

int command_start(struct command *command, const char *text, struct err *err)
{
	_cleanup_free_ char *buffer = malloc(strlen(text) + ARGS_MAX + 2);
	char *args[ARGS_MAX + 1], path[PATH_MAX];
	const char *slash;
	int fds[2], status;

	if (!buffer)
		return err_set(err, ENOMEM, "out of memory");
	status = split_words(text, buffer, args, err);
	if (!status)
		status = find_program(args[0], path, err);
	if (status)
		return status;
	if (pipe2(fds, O_CLOEXEC))
		return err_set(err, errno, "cannot start '%s': %m", args[0]);
	fflush(NULL);
	command->pid = fork();
	if (command->pid == 0)
		run_child(fds, path, args, command->no_terminal);
	close(fds[0]);
	command->go_fd = fds[1];
	slash = strrchr(path, '/');
	snprintf(command->name, sizeof(command->name), "%.15s", slash ? slash + 1 : path);
	if (command->pid < 0) {
		close(fds[1]);
		return err_set(err, errno, "cannot start '%s': %m", args[0]);
	}
	return 0;
}

void command_go(struct command *command)
{
	if (write(command->go_fd, "", 1) != 1)
		kill(command->pid, SIGKILL);
	close(command->go_fd);
	command->go_fd = -1;
}

void command_end(struct command *command)
{
	if (command->pid < 0)
		return;
	if (command->go_fd >= 0) { /* closing the pipe makes it exit */
		close(command->go_fd);
		kill(command->pid, SIGKILL);
		waitpid(command->pid, NULL, 0);
	} else {
		waitpid(command->pid, NULL, WNOHANG);
	}
	command->pid = -1;
}
