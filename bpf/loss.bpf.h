/* SPDX-License-Identifier: GPL-2.0-only */
/* loss.bpf.h - counting what happened, how long it took and what got lost, per CPU. */
#ifndef SEEP_LOSS_BPF_H
#define SEEP_LOSS_BPF_H

#include "maps.bpf.h"

#define SIGSTOP 19

static __always_inline struct counters *counters_here(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&counts, &zero);
}

#define COUNT(member)                                                                              \
	do {                                                                                       \
		struct counters *counters_ = counters_here();                                      \
		if (counters_)                                                                     \
			counters_->member++;                                                       \
	} while (0)
#define LOSE(reason) COUNT(losses[LOSS_##reason])

/* What run_ends() wants to know: when the run began, 0 while nobody asks. (The kernel would measure as
 * well, bpf_enable_stats(), but patches its own code for that, each time it begins and ends.) */
static __always_inline __u64 run_begins(void)
{
	return *(volatile __u32 *)&timing ? bpf_ktime_get_ns() : 0;
}

static __always_inline void run_ends(enum timed_kind kind, __u64 begin_ns)
{
	struct counters *counters = begin_ns ? counters_here() : NULL;

	if (!counters)
		return;
	counters->timed[kind].count++;
	counters->timed[kind].time_ns += bpf_ktime_get_ns() - begin_ns;
}

/*
 * Tell user space about a process; with 'stop' it gets a SIGSTOP. The signal comes before the record
 * is visible, so that it cannot overtake the SIGCONT of whoever reads it; without record no signal.
 */
static __always_inline void send_process_record(const struct process_record *record, bool stop)
{
	struct process_record *slot = bpf_ringbuf_reserve(&ring, sizeof(*slot), 0);

	if (!slot) {
		LOSE(RING_FULL_PROCESS);
		return;
	}
	*slot = *record;
	if (stop && may_stop)
		bpf_send_signal(SIGSTOP);
	bpf_ringbuf_submit(slot, 0);
}

#endif
