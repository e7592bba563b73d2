/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * session.h - the loaded BPF object: its maps, settings and counters.
 *
 *	session_open	load with these options
 *	session_poll	hand the records of the ring to a callback; also lets the ledger grow
 *	session_read_sites, session_read_counters	what was counted so far
 *	session_close	everything is detached and freed (as after kill -9: the kernel does it)
 *
 * What is attached where: attach.h. What the walker knows of processes: publish.h.
 */
#ifndef SEEP_PROBE_SESSION_H
#define SEEP_PROBE_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/abi_types.h"
#include "probe/features.h"

struct err;
struct seep_bpf;

struct session_options {
	uint64_t sample_bytes; /* 1: exact */
	uint64_t max_blocks;   /* ledger capacity, rounded up to a power of two of 128 Ki */
	bool links_filtered;   /* probes fire in the target processes only */
	bool count_only;       /* probes count and do nothing else */
};

struct session {
	struct seep_bpf *bpf;
	struct features features;
	struct session_options options;
	struct ring_buffer *ring;
	int tier_fds[LEDGER_MAX_TIERS];
	uint32_t tier_count, tier_limit;
	int cpu_count;
	struct counters *cpu_counters;		   /* one per possible CPU */
	struct unwind_row *shards[ROW_SHARDS_MAX]; /* mmaped */
	uint32_t shard_count;
	uint32_t shard_used;	  /* rows taken in the last shard */
	struct mapping *mappings; /* mmaped, MAPPINGS_MAX */
	int (*on_record)(void *context, const struct record_head *record, size_t bytes);
	void *context;
	struct {
		uint32_t *items;
		size_t count, capacity;
	} dead_generations; /* whose blocks are being removed */
	size_t pass_count;  /* the first of them: those that this pass removes, sorted; 0: none */
	uint32_t sweep_tier, sweep_cursor; /* where the removal stands */
	bool sweep_begun;
};

/*
 * Load the BPF object. Raises the limits of locked memory and open files of this process. Returns
 * 0; -EPERM (also in a pid namespace other than the initial one), -ENOSYS, ... with one line.
 */
int session_open(struct session *session, const struct session_options *options, struct err *err);
void session_close(struct session *session);

/* An fd that is readable when records wait; for epoll. */
int session_ring_fd(const struct session *session);

/*
 * Hand every waiting record to 'on_record' and add a ledger table if the newest one is in use.
 * Returns the number of records, or -errno.
 */
int session_poll(struct session *session,
		 int (*on_record)(void *context, const struct record_head *record, size_t bytes),
		 void *context);

/* Add a table to the ledger when it is needed, up to the limit. Returns 0 or -errno. */
int session_grow_ledger(struct session *session);

/* Call 'on_site' for every site. The totals of one site may be a few events apart, never
 * freed > allocated. Returns 0 or -errno. */
int session_read_sites(struct session *session,
		       int (*on_site)(void *context, const struct site_key *key,
				      const struct site *site),
		       void *context, struct err *err);

/* Sum of all CPUs. Returns 0 or -errno. */
int session_read_counters(struct session *session, struct counters *sum);

/*
 * A process ended: its blocks leave the ledger (its sites stay until session_forget_sites()). Done
 * in small steps by session_poll(), because millions of blocks take a second.
 */
void session_forget_blocks(struct session *session, uint32_t generation);

/* Sites of ended processes, read for the last time, leave the kernel's table. */
void session_forget_sites(struct session *session, const struct site_key *keys, size_t count);

uint32_t session_next_generation(struct session *session);
void session_set_age(struct session *session, uint32_t age);
void session_set_settling(struct session *session, bool settling);
bool session_is_settling(const struct session *session);
/* While true the programs time their runs: counters.timed. */
void session_set_timing(struct session *session, bool timing);
/* Sampling interval becomes sample_bytes << shift for new blocks. */
void session_set_sample_shift(struct session *session, uint32_t shift);
/* From here on programs started by us may be stopped at their start (abi.h PROC_STOP_AT_START). */
void session_allow_stopping(struct session *session);
/* No exec, fork or exit is looked at any more, and nobody is stopped. */
void session_stop_following(struct session *session);
/* The kernel's table of watched processes: tgid -> struct proc. */
int session_procs_fd(const struct session *session);

/* What it is now, in bytes; 1: exact. */
uint64_t session_sample_bytes(const struct session *session);
void session_set_count_only(struct session *session, bool count_only);

#endif
