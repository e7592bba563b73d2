/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * overhead.h - what the probes cost, measured on this machine.
 *
 * The price of a trap is calibrated once, on a function of ours; the time spent in the BPF programs
 * is what they measure themselves in short windows. Both together, times the hits counted, over the
 * CPU time of the processes, is the slowdown we print.
 */
#ifndef SEEP_PROBE_OVERHEAD_H
#define SEEP_PROBE_OVERHEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/abi_types.h"

struct err;
struct session;

struct trap_costs {
	double entry_ns;   /* one probe at entry, on an emulated instruction */
	double session_ns; /* entry and return */
	double stepped_ns; /* at entry, on an instruction that has to be single-stepped */
};

/* Measure with empty programs on functions of our own; takes some 50 ms. Returns 0 or -errno. */
int overhead_calibrate(struct session *session, struct trap_costs *costs, struct err *err);

#define OVERHEAD_MOST_PERCENT 1000 /* "over 1000 %": hardly anything but probes was running */

struct overhead {
	struct session *session;
	struct trap_costs costs;
	bool window_open;		       /* the programs time themselves */
	struct timed_runs window[TIMED_KINDS]; /* when it was opened */
	double call_ns, free_ns, map_ns;       /* mean run times of the programs; 0 until measured */
	struct counters last;
	uint64_t last_cpu_ns;
	double probe_ns_total; /* since the beginning */
	double cpu_ns_total;   /* of the watched processes, probes included, since the beginning */
	double slowdown_percent; /* of the last interval: probe time / the targets' own time */
	double hits_per_s;
};

/* Returns 0 or -errno; without calibration nothing can be promised. */
int overhead_init(struct overhead *overhead, struct session *session, struct err *err);

/* Open or close a window in which the programs time themselves. */
void overhead_window(struct overhead *overhead, bool open);

/*
 * Account an interval: 'counters' so far, 'cpu_ns' used by the watched processes so far (probes
 * included; never less than the last time), 'elapsed_ns' since the last call. Updates
 * slowdown_percent (OVERHEAD_MOST_PERCENT at most), hits_per_s and the totals.
 */
void overhead_update(struct overhead *overhead, const struct counters *counters, uint64_t cpu_ns,
		     uint64_t elapsed_ns);

/* As slowdown_percent, over all intervals. 0: nothing was measured. */
double overhead_total_percent(const struct overhead *overhead);

/* All probe hits. */
uint64_t overhead_hits(const struct counters *counters);

/* Mean cost of a hit so far, ns. */
double overhead_ns_per_hit(const struct overhead *overhead);

#endif
