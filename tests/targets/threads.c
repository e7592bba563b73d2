/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * threads.c - threads that grow, hand over, churn and come and go.
 *
 * build: $CC -o $OUT/threads $SRC -lpthread
 * build: $MUSL -o $OUT/threads-musl $SRC
 *
 * grow		4 threads: realloc from 509 by 4099 a step up to 1024003 bytes, which stay
 * cross	alloc_here 10007 x 211 in one thread, all but 101 freed by free_there in another
 * churn	hold_steady 5003 x 101 stay; "churning", two threads in churn_hot until the next line
 * spawn	599 threads, about 200 a second, each keeps one block of 1009 bytes (leak_in_thread)
 */
#include <pthread.h>
#include <stdbool.h>

#include "target.h"

#define CROSS_BLOCKS 10007

void *grow(void);
void alloc_here(void);
void free_there(void);
void hold_steady(void);
void churn_hot(void);
void leak_in_thread(void);

static void *handed_over[CROSS_BLOCKS];
static volatile bool stop;

NOIPA void *grow(void)
{
	char *block = NULL;
	size_t bytes = 509;

	while (1) {
		block = realloc(block, bytes);
		HOLD(block);
		if (bytes == 1024003)
			return block;
		bytes = bytes + 4099 < 1024003 ? bytes + 4099 : 1024003;
	}
}

static NOIPA void *grow_worker(void *arg)
{
	char *block = grow();

	HOLD(block);
	return arg;
}

NOIPA void alloc_here(void)
{
	for (int i = 0; i < CROSS_BLOCKS; i++)
		handed_over[i] = malloc(211);
	NO_TAIL_CALL();
}

NOIPA void free_there(void)
{
	for (int i = 101; i < CROSS_BLOCKS; i++)
		free(handed_over[i]);
	NO_TAIL_CALL();
}

static NOIPA void *alloc_worker(void *arg)
{
	alloc_here();
	NO_TAIL_CALL();
	return arg;
}

static NOIPA void *free_worker(void *arg)
{
	free_there();
	NO_TAIL_CALL();
	return arg;
}

NOIPA void hold_steady(void)
{
	for (int i = 0; i < 5003; i++) {
		char *block = malloc(101);

		HOLD(block);
	}
}

NOIPA void churn_hot(void)
{
	while (!stop) {
		char *block = malloc(67);

		HOLD(block);
		free(block);
		NO_TAIL_CALL();
	}
}

static NOIPA void *churn_worker(void *arg)
{
	churn_hot();
	NO_TAIL_CALL();
	return arg;
}

NOIPA void leak_in_thread(void)
{
	char *block = malloc(1009);

	HOLD(block);
}

static NOIPA void *leak_worker(void *arg)
{
	leak_in_thread();
	NO_TAIL_CALL();
	return arg;
}

static void run_together(void *(*const workers[])(void *), int count)
{
	pthread_t threads[8];

	for (int i = 0; i < count; i++)
		if (pthread_create(&threads[i], NULL, workers[i], NULL))
			_exit(3);
	for (int i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
}

static void run_churn(void)
{
	pthread_t threads[2];

	hold_steady();
	for (int i = 0; i < 2; i++)
		if (pthread_create(&threads[i], NULL, churn_worker, NULL))
			_exit(3);
	target_say("churning\n");
	target_wait();
	stop = true;
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
}

static void run_spawn(void)
{
	long long start = target_now_ns();

	for (int i = 0; i < 599; i++) {
		long long ahead_ms = i * 5 - (target_now_ns() - start) / 1000000;

		if (ahead_ms > 0)
			target_sleep_ms(ahead_ms);
		run_together((void *(*const[])(void *)){leak_worker}, 1);
	}
}

int main(int argc, char **argv)
{
	const char *scenario = argc > 1 ? argv[1] : "";

	target_ready();
	if (!strcmp(scenario, "grow")) {
		run_together(
		    (void *(*const[])(void *)){grow_worker, grow_worker, grow_worker, grow_worker},
		    4);
	} else if (!strcmp(scenario, "cross")) {
		run_together((void *(*const[])(void *)){alloc_worker}, 1);
		run_together((void *(*const[])(void *)){free_worker}, 1);
	} else if (!strcmp(scenario, "churn")) {
		run_churn();
	} else if (!strcmp(scenario, "spawn")) {
		run_spawn();
	} else {
		target_usage();
	}
	target_done();
	return 0;
}
