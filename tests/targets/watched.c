/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * watched.c - goes on until it is ended, for those who look on.
 *
 *   leak_session    503 bytes each 10 ms, kept for good; called by handle_login
 *   leak_upload     a mapping of 3 pages each 100 ms, kept for good
 *   fill_cache      997 blocks of 211 bytes at once, at each SIGUSR2
 *   work_shortly    freed at once, each millisecond
 *
 * build: $CC -g -o $OUT/watched $SRC
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define KEEP __attribute__((noinline, noclone))
#define PAGE 4096

static void *volatile kept;

/* Nothing after a call may be left out, or the caller would be no frame. */
#define NO_TAIL_CALL() __asm__ volatile("" ::: "memory")

KEEP void leak_session(void)
{
	kept = malloc(503);
	NO_TAIL_CALL();
}

KEEP void handle_login(void)
{
	leak_session();
	NO_TAIL_CALL();
}

KEEP void leak_upload(void)
{
	char *pages = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (pages != MAP_FAILED)
		pages[0] = 1;
	kept = pages;
}

KEEP void fill_cache(void)
{
	for (int i = 0; i < 997; i++)
		kept = malloc(211);
	NO_TAIL_CALL();
}

KEEP void work_shortly(void)
{
	kept = malloc(61);
	free(kept);
	NO_TAIL_CALL();
}

static volatile sig_atomic_t wanted;

static void want_cache(int signal)
{
	(void)signal;
	wanted = 1;
}

int main(void)
{
	signal(SIGUSR2, want_cache);
	for (unsigned long tick = 0;; tick++) {
		work_shortly();
		if (tick % 10 == 0)
			handle_login();
		if (tick % 100 == 0)
			leak_upload();
		if (wanted) {
			wanted = 0;
			fill_cache();
		}
		usleep(1000);
	}
}
