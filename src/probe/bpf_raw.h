/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bpf_raw.h - bpf(2) calls that libbpf 1.1 does not have. Numbers and layouts are kernel ABI:
 * Linux 6.6 (uprobe_multi) and 6.13 (session), include/uapi/linux/bpf.h.
 */
#ifndef SEEP_PROBE_BPF_RAW_H
#define SEEP_PROBE_BPF_RAW_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define ATTACH_UPROBE_MULTI   48 /* BPF_TRACE_UPROBE_MULTI */
#define ATTACH_UPROBE_SESSION 57 /* BPF_TRACE_UPROBE_SESSION */

struct uprobe_multi_request {
	const char *path;	    /* /proc/self/fd/N follows an open file */
	const unsigned long *offsets; /* in the file */
	const __u64 *cookies;
	__u32 count;
	bool at_return;
	pid_t pid; /* 0: every process */
	__u32 attach_type; /* one of the above, as the program was loaded for */
};

/* Returns a link fd, or -errno. */
int bpf_raw_uprobe_multi(int program_fd, const struct uprobe_multi_request *request);

#endif
