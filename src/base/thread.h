/* SPDX-License-Identifier: GPL-2.0-only */
/* thread.h - threads that leave signals to the main thread. */
#ifndef SEEP_BASE_THREAD_H
#define SEEP_BASE_THREAD_H

#include <pthread.h>
#include <stddef.h>

/*
 * Start 'run(argument)' on a thread with 'stack_bytes' of stack and signals blocked, so that they
 * reach the main thread (but for those of its own faults). Returns 0 or -errno; the caller joins
 * the thread.
 */
int thread_start(pthread_t *thread, size_t stack_bytes, void *(*run)(void *), void *argument);

#endif
