/* SPDX-License-Identifier: GPL-2.0-only */
/* guardian.c - see guardian.h */
#include "probe/guardian.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/abi_types.h"
#include "base/err.h"

#define SECOND_LOOK_US 100000 /* a process may have been between mark and stop */

void guardian_release(int procs_fd)
{
	uint32_t tgid, next, *at = NULL;
	struct proc proc;

	while (!bpf_map_get_next_key(procs_fd, at, &next)) {
		tgid = next;
		at = &tgid;
		if (!bpf_map_lookup_elem(procs_fd, &tgid, &proc) &&
		    (proc.flags & PROC_STOP_AT_START))
			kill(tgid, SIGCONT);
	}
}

/* Keeps nothing of ours but the two descriptors: links it held would outlive us. */
static void keep_only(int *procs_fd, int *alarm_fd)
{
	int procs = fcntl(*procs_fd, F_DUPFD, 100), wake = fcntl(*alarm_fd, F_DUPFD, 100);

	dup2(procs, 3);
	dup2(wake, 4);
	syscall(SYS_close_range, 5, ~0U, 0);
	*procs_fd = 3;
	*alarm_fd = 4;
}

static void watch_over(int procs_fd, int alarm_fd)
{
	sigset_t all;
	char byte;

	setsid(); /* Ctrl-C is not for us */
	prctl(PR_SET_NAME, "seep-guardian");
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	keep_only(&procs_fd, &alarm_fd);
	if (read(alarm_fd, &byte, 1) == 1)
		_exit(0); /* all is well */
	guardian_release(procs_fd);
	usleep(SECOND_LOOK_US);
	guardian_release(procs_fd);
	_exit(0);
}

int guardian_start(struct guardian *guardian, int procs_fd, struct err *err)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		return err_set(err, errno, "cannot create a pipe: %m");
	guardian->pid = fork();
	if (guardian->pid == 0) {
		close(fds[1]);
		watch_over(procs_fd, fds[0]);
	}
	close(fds[0]);
	guardian->alarm_fd = fds[1];
	if (guardian->pid < 0) {
		guardian->pid = 0;
		close(fds[1]);
		return err_set(err, errno, "cannot start a process: %m");
	}
	return 0;
}

void guardian_stop(struct guardian *guardian)
{
	if (!guardian || !guardian->pid)
		return;
	if (write(guardian->alarm_fd, "", 1) != 1)
		kill(guardian->pid, SIGKILL);
	close(guardian->alarm_fd);
	waitpid(guardian->pid, NULL, 0);
	guardian->pid = 0;
}
