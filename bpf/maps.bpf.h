/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * maps.bpf.h - every map, the settings, and the variables that user space turns while we run.
 *
 * What grows with use is not preallocated. Maps that exist from the start cost about 8 MiB, most
 * of it the hash buckets; the ledger starts with two tables and user space adds the rest ('tiers').
 */
#ifndef SEEP_MAPS_BPF_H
#define SEEP_MAPS_BPF_H

#include <vmlinux.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

/* ---- settings: constants to the verifier, set before load ------------------------------------ */

const volatile __u64 sample_bytes = 1;	/* mean bytes between samples; 1: every block */

/* ---- variables: user space writes them through the mmaped .bss -------------------------------- */

/* Birth epoch given to new blocks, < AGE_CLASSES. */
__u32 current_age = 0;
/* 1: no new allocations are taken, frees still are (settle phase, or overhead too high). */
__u32 settling = 0;
/* Sampling interval is sample_bytes << sample_shift. */
__u32 sample_shift = 0;
/* Ledger tables that exist, and the one that is being filled. */
__u32 tier_count = 0;
__u32 tier_current = 0;
/* Bit for each table that a block was ever put in: the others need not be searched. */
__u32 tiers_used = 1;
/* 1: each run is timed, for as long as user space wants to know. */
__u32 timing = 0;
/* Probes only count, as 'seep doctor' measures a process' allocation rate. */
__u32 count_only = 0;
/* 1: programs started by us may be stopped until their probes are in place (PROC_STOP_AT_START). */
__u32 may_stop = 0;
/* How often mappings were written: user space adds 1 before any process gets the new slice. */
__u64 slices_epoch = 0;
/* Source of generations; user space draws from it too. */
__u32 last_generation = 0;

/* ---- processes ------------------------------------------------------------------------------- */

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PROCS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32); /* tgid */
	__type(value, struct proc);
} procs SEC(".maps");

/* ---- unwinding: bpf/unwind.bpf.h ------------------------------------------------------------- */

/* Templates of inner maps give sizes, not types: user space makes those maps without BTF, and to
 * Linux 6.1 a map with BTF is never of the same kind as one without. */
struct row_shard {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ROWS_PER_SHARD);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct unwind_row));
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, ROW_SHARDS_MAX);
	__type(key, __u32);
	__array(values, struct row_shard);
} row_shards SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAPPINGS_MAX);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct mapping);
} mappings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FILES_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct file_key);
	__type(value, struct file_info);
} files SEC(".maps");

/* Direct-mapped by address and process: bpf/python.bpf.h. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CODE_MARKS_MAX);
	__type(key, __u32);
	__type(value, struct code_mark);
} code_marks SEC(".maps");

/* ---- the ledger ------------------------------------------------------------------------------ */

/* Live blocks. Full means refuse and count, never evict: a lost free is worse than a lost malloc. */
struct ledger_tier {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(key_size, sizeof(struct block_key));
	__uint(value_size, sizeof(struct block));
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, LEDGER_MAX_TIERS);
	__type(key, __u32);
	__array(values, struct ledger_tier);
} ledger SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1 << 17);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct site_key);
	__type(value, struct site);
} sites SEC(".maps");

/* ---- what leaves the kernel -------------------------------------------------------------------- */

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 << 20);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counters);
} counts SEC(".maps");

#endif
