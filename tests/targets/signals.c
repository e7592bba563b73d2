/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * signals.c - handlers that allocate.
 *
 * build: $CC -o $OUT/signals $SRC
 *
 * timer	SIGALRM about every ms interrupts spin(): on_signal keeps 1009 x 1013
 * altstack	the same on a stack of its own
 * between	spin_and_allocate() mallocs with the signal blocked, so it arrives anywhere else
 * raised	raise_signals() enters the handler from libc's raise, every ms
 *
 * The handler never interrupts an allocator, which would be an error of the program.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdbool.h>
#include <sys/time.h>

#include "target.h"

#define SIGNALS 1009

void keep_from_handler(void);
void on_signal(int number);
void spin(void);
void spin_and_allocate(void);
void raise_signals(void);

static volatile sig_atomic_t caught;
static volatile unsigned long sink;

NOIPA void keep_from_handler(void)
{
	char *block = malloc(1013);

	HOLD(block);
}

NOIPA void on_signal(int number)
{
	(void)number;
	if (caught >= SIGNALS)
		return;
	caught++;
	keep_from_handler();
	NO_TAIL_CALL();
}

NOIPA void spin(void)
{
	while (caught < SIGNALS)
		for (int i = 0; i < 1000; i++)
			sink = sink * 31 + 7;
}

NOIPA void spin_and_allocate(void)
{
	sigset_t alarm_only, before;

	sigemptyset(&alarm_only);
	sigaddset(&alarm_only, SIGALRM);
	while (caught < SIGNALS) {
		char *block;

		sigprocmask(SIG_BLOCK, &alarm_only, &before);
		block = malloc(101);
		HOLD(block);
		free(block);
		sigprocmask(SIG_SETMASK, &before, NULL);
		for (int i = 0; i < 1000; i++)
			sink = sink * 31 + 7;
	}
}

NOIPA void raise_signals(void)
{
	while (caught < SIGNALS) {
		raise(SIGALRM);
		target_sleep_ms(1);
	}
}

static void catch_signal(int flags)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART | flags};

	sigaction(SIGALRM, &action, NULL);
}

static void start_timer(void)
{
	struct itimerval every = {{0, 997}, {0, 997}};

	setitimer(ITIMER_REAL, &every, NULL);
}

static void stop_timer(void)
{
	struct itimerval never = {{0, 0}, {0, 0}};

	setitimer(ITIMER_REAL, &never, NULL);
}

int main(int argc, char **argv)
{
	static char alternate[65536];
	stack_t stack = {.ss_sp = alternate, .ss_size = sizeof(alternate)};
	const char *scenario = argc > 1 ? argv[1] : "";
	bool on_alternate = !strcmp(scenario, "altstack");

	if (on_alternate)
		sigaltstack(&stack, NULL);
	catch_signal(on_alternate ? SA_ONSTACK : 0);
	target_ready();
	if (!strcmp(scenario, "raised")) {
		raise_signals();
	} else if (!strcmp(scenario, "between")) {
		start_timer();
		spin_and_allocate();
		stop_timer();
	} else if (!strcmp(scenario, "timer") || on_alternate) {
		start_timer();
		spin();
		stop_timer();
	} else {
		target_usage();
	}
	target_done();
	return 0;
}
