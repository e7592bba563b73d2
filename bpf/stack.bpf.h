/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * stack.bpf.h - keeps uprobe programs on the kernel stack of their task.
 *
 * Since Linux 6.13 the x86 JIT gives programs of this type a stack per CPU. That is safe for kprobes,
 * which are never preempted by another program, but uprobe programs are: two of them on one CPU then
 * write over each other's variables, pointers included, and the kernel oopses (seen on 7.2 with
 * PREEMPT_LAZY). The verifier leaves programs with a tail call on the ordinary stack
 * (kernel/bpf/verifier.c, check_max_stack_depth), so each has one, which is never made.
 */
#ifndef SEEP_STACK_BPF_H
#define SEEP_STACK_BPF_H

#include "maps.bpf.h"

/* Always 0; the verifier does not know. */
volatile __u32 never = 0;

/* One array per program: a kernel may refuse to share it between attach types. */
#define NO_PROGRAMS(name)                                                                          \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_PROG_ARRAY);                                             \
		__uint(max_entries, 1);                                                            \
		__uint(key_size, sizeof(__u32));                                                   \
		__uint(value_size, sizeof(__u32));                                                 \
	} name SEC(".maps")

#define STAY_ON_TASK_STACK(ctx, no_programs)                                                       \
	do {                                                                                       \
		if (never)                                                                         \
			bpf_tail_call(ctx, &(no_programs), 0);                                     \
	} while (0)

#endif
