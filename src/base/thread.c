/* SPDX-License-Identifier: GPL-2.0-only */
/* thread.c - see thread.h */
#include "base/thread.h"

#include <signal.h>

/* Signals that a fault of the thread itself raises cannot wait for another thread. */
static void fill_foreign_signals(sigset_t *set)
{
	sigfillset(set);
	sigdelset(set, SIGSEGV);
	sigdelset(set, SIGBUS);
	sigdelset(set, SIGFPE);
	sigdelset(set, SIGILL);
	sigdelset(set, SIGABRT);
}

int thread_start(pthread_t *thread, size_t stack_bytes, void *(*run)(void *), void *argument)
{
	pthread_attr_t attributes;
	sigset_t foreign, before;
	int status;

	status = pthread_attr_init(&attributes);
	if (status)
		return -status;
	status = pthread_attr_setstacksize(&attributes, stack_bytes);
	fill_foreign_signals(&foreign);
	pthread_sigmask(SIG_SETMASK, &foreign, &before);
	if (!status)
		status = pthread_create(thread, &attributes, run, argument);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	return -status;
}
