/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * process.bpf.h - exec, fork and exit of the watched processes.
 *
 * A process is (tgid, start time). exec and exit end it: a new image gets a new generation, so old
 * blocks can never be mixed with new ones. A forked child that is followed starts with its parent's
 * mappings, so that its stacks can be walked from its first allocation on.
 */
#ifndef SEEP_PROCESS_BPF_H
#define SEEP_PROCESS_BPF_H

#include "loss.bpf.h"
#include "maps.bpf.h"

static __always_inline __u32 next_generation(void)
{
	return __sync_fetch_and_add(&last_generation, 1) + 1;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(process_exec, struct task_struct *task, int old_pid)
{
	__u32 tgid = task->tgid;
	struct proc *proc = bpf_map_lookup_elem(&procs, &tgid);
	struct process_record record = {
		.head = { RECORD_PROCESS, tgid, 0, old_pid }, /* not tgid: another thread did it */
		.event = PROCESS_EXEC,
	};

	if (!proc)
		return 0;
	record.head.generation = proc->generation;
	record.start_time_ns = proc->start_time_ns;
	proc->flags |= PROC_STALE_MAPPINGS;
	proc->slice = 0;
	proc->python.chain = PYTHON_NONE;
	proc->interpreter.end = 0;
	proc->generation = next_generation();
	record.other_generation = proc->generation;
	send_process_record(&record, proc->flags & PROC_STOP_AT_START);
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(process_fork, struct task_struct *parent, struct task_struct *child)
{
	__u32 tgid = parent->tgid, child_tgid = child->tgid;
	struct proc *proc = bpf_map_lookup_elem(&procs, &tgid);
	struct process_record record = {
		.head = { RECORD_PROCESS, tgid, 0, parent->pid },
		.event = PROCESS_FORK,
		.other_tgid = child_tgid,
		.shares_memory = child->mm == parent->mm,
	};
	struct proc copy;

	if (!proc || child_tgid == tgid) /* not watched, or only a new thread */
		return 0;
	record.head.generation = proc->generation;
	if (proc->flags & PROC_FOLLOW_CHILDREN) {
		copy = *proc;
		if (copy.flags & PROC_STOP_CHILDREN)
			copy.flags |= PROC_STOP_AT_START;
		else
			copy.flags &= ~PROC_STOP_AT_START;
		copy.start_time_ns = child->start_boottime;
		copy.generation = next_generation();
		record.start_time_ns = copy.start_time_ns;
		record.other_generation = copy.generation;
		if (bpf_map_update_elem(&procs, &child_tgid, &copy, BPF_ANY)) {
			LOSE(PROC_FULL);
			record.other_generation = 0;
		}
	}
	send_process_record(&record, false);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(process_exit, struct task_struct *task)
{
	__u32 tgid = task->tgid;
	struct proc *proc = bpf_map_lookup_elem(&procs, &tgid);
	struct process_record record = {
		.head = { RECORD_PROCESS, tgid, 0, task->pid },
		.event = PROCESS_EXIT,
	};

	/* do_exit() has already counted this thread out of signal->live */
	if (!proc || task->signal->live.counter > 0)
		return 0;
	record.head.generation = proc->generation;
	record.start_time_ns = proc->start_time_ns;
	bpf_map_delete_elem(&procs, &tgid);
	send_process_record(&record, false);
	return 0;
}

#endif
