/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * life.c - processes that fork, exec, exit and are killed while they are watched.
 *
 * build: $CC -o $OUT/life $SRC
 *
 * fork		parent_keeps 101 x 103; the child frees those (not its own under our eyes), then
 *		child_leaks 223 x 997 and says "child PID"
 * exec		old_image 37 x 307, exec in place, says "ready" again; then new_image 223 x 997
 * exit		last_words 1009 x 103, "done", then exits without being told to
 * kill		the same, then SIGKILL
 * forks	31 children one after the other, each: brief_child 7 x 1013 and exit
 */
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "target.h"

void parent_keeps(void);
void child_drops(void);
void child_leaks(void);
void old_image(void);
void new_image(void);
void last_words(void);
void brief_child(void);

static char *kept[101];

NOIPA void parent_keeps(void)
{
	for (int i = 0; i < 101; i++)
		kept[i] = malloc(103);
	NO_TAIL_CALL();
}

NOIPA void child_drops(void)
{
	for (int i = 0; i < 101; i++)
		free(kept[i]);
	NO_TAIL_CALL();
}

static inline void leak(int blocks, size_t bytes)
{
	for (; blocks > 0; blocks--) {
		char *block = malloc(bytes);

		HOLD(block);
	}
}

NOIPA void child_leaks(void)
{
	leak(223, 997);
}

NOIPA void old_image(void)
{
	leak(37, 307);
}

NOIPA void new_image(void)
{
	leak(223, 997);
}

NOIPA void last_words(void)
{
	leak(1009, 103);
}

NOIPA void brief_child(void)
{
	leak(7, 1013);
}

static void run_fork(void)
{
	int worked[2], leave[2];
	char line[32], c;
	pid_t child;

	if (pipe(worked) || pipe(leave))
		_exit(3);
	parent_keeps();
	child = fork();
	if (child == 0) {
		close(leave[1]);
		child_drops();
		child_leaks();
		if (write(worked[1], "", 1) == 1)
			(void)!read(leave[0], &c, 1);
		_exit(0);
	}
	(void)!read(worked[0], &c, 1);
	snprintf(line, sizeof(line), "child %d\n", child);
	target_say(line);
	target_done();
	close(leave[1]);
	waitpid(child, NULL, 0);
}

static void run_forks(void)
{
	for (int i = 0; i < 31; i++) {
		pid_t child = fork();

		if (child == 0) {
			brief_child();
			_exit(0);
		}
		waitpid(child, NULL, 0);
	}
	target_done();
}

int main(int argc, char **argv)
{
	const char *scenario = argc > 1 ? argv[1] : "";

	target_ready();
	if (!strcmp(scenario, "fork")) {
		run_fork();
	} else if (!strcmp(scenario, "forks")) {
		run_forks();
	} else if (!strcmp(scenario, "exec")) {
		old_image();
		execl("/proc/self/exe", argv[0], "exec2", (char *)NULL);
		_exit(3);
	} else if (!strcmp(scenario, "exec2")) {
		new_image();
		target_done();
	} else if (!strcmp(scenario, "exit")) {
		last_words();
		target_say("done\n");
	} else if (!strcmp(scenario, "kill")) {
		last_words();
		target_say("done\n");
		kill(getpid(), SIGKILL);
	} else {
		target_usage();
	}
	return 0;
}
