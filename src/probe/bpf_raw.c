/* SPDX-License-Identifier: GPL-2.0-only */
/* bpf_raw.c - see bpf_raw.h */
#include "probe/bpf_raw.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define UPROBE_MULTI_RETURN 1 /* BPF_F_UPROBE_MULTI_RETURN */

/* The link_create part of union bpf_attr since Linux 6.6. */
struct link_create_attr {
	__u32 prog_fd, target_fd, attach_type, flags;
	__aligned_u64 path, offsets, ref_ctr_offsets, cookies;
	__u32 count, multi_flags, pid, pad;
};

int bpf_raw_uprobe_multi(int program_fd, const struct uprobe_multi_request *request)
{
	struct link_create_attr attr;
	int fd;

	memset(&attr, 0, sizeof(attr));
	attr.prog_fd = program_fd;
	attr.attach_type = request->attach_type;
	attr.path = (uintptr_t)request->path;
	attr.offsets = (uintptr_t)request->offsets;
	attr.cookies = (uintptr_t)request->cookies;
	attr.count = request->count;
	attr.multi_flags = request->at_return ? UPROBE_MULTI_RETURN : 0;
	attr.pid = request->pid;
	fd = syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));
	return fd < 0 ? -errno : fd;
}
