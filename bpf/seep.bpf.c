/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * seep.bpf.c - the one BPF object: everything that runs in the kernel.
 *
 *	alloc.bpf.h	probes on allocators		ledger.bpf.h	live blocks and site totals
 *	process.bpf.h	fork, exec, exit		sample.bpf.h	Poisson sampling
 *	unwind.bpf.h	stacks				loss.bpf.h	counters
 */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "abi.h"
#include "alloc.bpf.h"
#include "process.bpf.h"

char LICENSE[] SEC("license") = "GPL";
