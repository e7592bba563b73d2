/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * target.h - how a test program talks to the test that watches it.
 *
 *	target_ready()	"ready\n" on stdout, then waits for a line ("go\n") on stdin
 *	target_done()	"done\n", then waits for a line ("quit\n")
 *
 * End of file counts as a line, so that every target also runs by itself (seep record -c). Only
 * read(2) and write(2): nothing here allocates, so what a workload allocates is all there is.
 *
 * Workload functions are NOIPA: never inlined, cloned or called as a tail call by the compiler's
 * wisdom. HOLD() behind an allocation keeps the call from becoming a jump, and the block alive.
 * Sizes and counts are primes, so that a test which sees the right total cannot be right by luck.
 */
#ifndef SEEP_TARGET_H
#define SEEP_TARGET_H

#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NOIPA	       __attribute__((noinline, noipa))
#define HOLD(pointer)  __asm__ volatile("" : "+r"(pointer) : : "memory")
#define NO_TAIL_CALL() __asm__ volatile("" : : : "memory")

static inline void target_say(const char *line)
{
	if (write(STDOUT_FILENO, line, strlen(line)) < 0)
		_exit(3);
}

static inline void target_wait(void)
{
	char c;

	while (read(STDIN_FILENO, &c, 1) == 1 && c != '\n')
		;
}

/* Is there a line to read, or the end of the file? */
static inline int target_is_told(void)
{
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};

	return poll(&input, 1, 0) > 0;
}

static inline void target_ready(void)
{
	target_say("ready\n");
	target_wait();
}

static inline void target_done(void)
{
	target_say("done\n");
	target_wait();
}

static inline void target_usage(void)
{
	target_say("unknown scenario\n");
	_exit(2);
}

static inline long long target_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static inline void target_sleep_ms(long ms)
{
	struct timespec time = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&time, NULL);
}

/* The part of 'total' that falls to 'step' of 'steps'; all parts add up to 'total'. */
static inline long target_share(long total, long step, long steps)
{
	return total * (step + 1) / steps - total * step / steps;
}

#endif
