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
 * Before that, until a line comes, the same with another handler, on_early_signal.
 *
 * The handler never interrupts an allocator, which would be an error of the program.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdbool.h>
#include <sys/time.h>

#include "target.h"

#define SIGNALS	      1009
#define EARLY_SIGNALS 11

void keep_from_handler(void);
void on_early_signal(int number);
void on_signal(int number);
void spin(void);
void spin_and_allocate(void);
void raise_signals(void);

static volatile sig_atomic_t caught, wanted;
static volatile unsigned long sink;

NOIPA void keep_from_handler(void)
{
	char *block = malloc(1013);

	HOLD(block);
}

static inline void keep_if_wanted(void)
{
	if (caught >= wanted)
		return;
	caught++;
	keep_from_handler();
	NO_TAIL_CALL();
}

NOIPA void on_signal(int number)
{
	(void)number;
	keep_if_wanted();
}

NOIPA void on_early_signal(int number)
{
	(void)number;
	keep_if_wanted();
}

NOIPA void spin(void)
{
	while (caught < wanted)
		for (int i = 0; i < 1000; i++)
			sink = sink * 31 + 7;
}

NOIPA void spin_and_allocate(void)
{
	sigset_t alarm_only, before;

	sigemptyset(&alarm_only);
	sigaddset(&alarm_only, SIGALRM);
	while (caught < wanted) {
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
	while (caught < wanted) {
		raise(SIGALRM);
		target_sleep_ms(1);
	}
}

static void catch_signals(void (*handler)(int), int flags, int count)
{
	struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART | flags};

	sigaction(SIGALRM, &action, NULL);
	wanted = count;
	caught = 0;
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

static void run(const char *scenario)
{
	if (!strcmp(scenario, "raised")) {
		raise_signals();
		return;
	}
	start_timer();
	if (!strcmp(scenario, "between"))
		spin_and_allocate();
	else if (!strcmp(scenario, "timer") || !strcmp(scenario, "altstack"))
		spin();
	else
		target_usage();
	stop_timer();
}

int main(int argc, char **argv)
{
	static char alternate[65536];
	stack_t stack = {.ss_sp = alternate, .ss_size = sizeof(alternate)};
	const char *scenario = argc > 1 ? argv[1] : "";
	int flags = strcmp(scenario, "altstack") ? 0 : SA_ONSTACK;

	if (flags)
		sigaltstack(&stack, NULL);
	target_ready();
	do {
		catch_signals(on_early_signal, flags, EARLY_SIGNALS);
		run(scenario);
	} while (!target_is_told());
	target_wait();
	catch_signals(on_signal, flags, SIGNALS);
	run(scenario);
	target_done();
	return 0;
}
