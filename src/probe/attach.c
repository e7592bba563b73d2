/* SPDX-License-Identifier: GPL-2.0-only */
/* attach.c - see attach.h */
#include "probe/attach.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/vec.h"
#include "probe/bpf_raw.h"
#include "probe/session.h"
#include "target/allocator.h"

#include "seep.skel.h"

#define UPROBE_PMU "/sys/bus/event_source/devices/uprobe/"

/* Points of one kind go to one program (or two: at entry and at return). */
enum point_kind {
	POINT_CALL,
	POINT_FREE,
	POINT_REGION,
	POINT_LIBS,
	POINT_KIND_COUNT,
};

static enum point_kind kind_of(uint32_t role)
{
	switch (role) {
	case ROLE_FREE:
		return POINT_FREE;
	case ROLE_MMAP:
	case ROLE_MUNMAP:
	case ROLE_MREMAP:
	case ROLE_SBRK:
	case ROLE_BRK:
		return POINT_REGION;
	case ROLE_DL_CHANGED:
		return POINT_LIBS;
	}
	return POINT_CALL;
}

/* One attachment to be made: a program at many places of one file. */
struct batch {
	struct bpf_program *program;
	bool at_return;
	uint32_t attach_type;
	unsigned long *offsets;
	__u64 *cookies;
	uint32_t count;
};

struct request {
	struct session *session;
	const char *fd_path; /* /proc/self/fd/N */
	const char *path;    /* for messages */
	const struct probe_plan *plan;
	pid_t pid;
	struct links *links;
	struct err *err;
};

/* ---- uprobe_multi --------------------------------------------------------------------------------- */

static int add_link(struct links *links, int fd)
{
	int *item = vec_add(links);

	if (!item) {
		close(fd);
		return -ENOMEM;
	}
	*item = fd;
	return 0;
}

static int attach_multi(const struct request *request, const struct batch *batch)
{
	struct uprobe_multi_request multi = {
		.path = request->fd_path,
		.offsets = batch->offsets,
		.cookies = batch->cookies,
		.count = batch->count,
		.at_return = batch->at_return,
		.pid = request->pid,
		.attach_type = batch->attach_type,
	};
	int fd = bpf_raw_uprobe_multi(bpf_program__fd(batch->program), &multi);

	if (fd < 0)
		return fd;
	request->links->probe_count += batch->count;
	return add_link(request->links, fd);
}

/* ---- perf events: kernels before 6.6 ----------------------------------------------------------------- */

static int read_number(const char *path, const char *format)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	int number;

	return file && fscanf(file, format, &number) == 1 ? number : -1;
}

/* The event on CPU 0 of a traced process fires on all its threads and CPUs: uprobes filter by mm. */
static int open_uprobe_event(const struct request *request, uint64_t offset, bool at_return)
{
	struct perf_event_attr attr = { .size = sizeof(attr) };
	int type = read_number(UPROBE_PMU "type", "%d");
	int bit = read_number(UPROBE_PMU "format/retprobe", "config:%d");
	int fd;

	if (type < 0 || bit < 0)
		return -ENOSYS;
	attr.type = type;
	attr.config = at_return ? 1ULL << bit : 0;
	attr.uprobe_path = (uintptr_t)request->fd_path;
	attr.probe_offset = offset;
	fd = syscall(SYS_perf_event_open, &attr, request->pid ? request->pid : -1,
		     request->pid ? -1 : 0, -1, PERF_FLAG_FD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int attach_perf_point(const struct request *request, const struct batch *batch, uint32_t i)
{
	LIBBPF_OPTS(bpf_link_create_opts, options, .perf_event.bpf_cookie = batch->cookies[i]);
	int event = open_uprobe_event(request, batch->offsets[i], batch->at_return), link;
	int status;

	if (event < 0)
		return event;
	link = bpf_link_create(bpf_program__fd(batch->program), event, BPF_PERF_EVENT, &options);
	if (link < 0 || ioctl(event, PERF_EVENT_IOC_ENABLE, 0)) {
		status = -errno;
		if (link >= 0)
			close(link);
		close(event);
		return status;
	}
	request->links->probe_count++;
	status = add_link(request->links, link);
	if (status) {
		close(event);
		return status;
	}
	return add_link(request->links, event);
}

static int attach_perf(const struct request *request, const struct batch *batch)
{
	for (uint32_t i = 0; i < batch->count; i++) {
		int status = attach_perf_point(request, batch, i);

		if (status)
			return status;
	}
	return 0;
}

/* ---- what goes where ------------------------------------------------------------------------------------ */

/* Read the probed pages first: a uprobe on a page that is not cached yet made ext4 warn (6.18). */
static void touch_pages(int fd, const struct batch *batch)
{
	char byte;

	for (uint32_t i = 0; i < batch->count; i++)
		if (pread(fd, &byte, 1, batch->offsets[i]) != 1)
			return;
}

static bool in_batch(const struct probe_point *point, enum point_kind kind, bool at_return,
		     bool returning_only)
{
	if (kind_of(point->role) != kind)
		return false;
	return at_return || returning_only ? point->needs_return : true;
}

static int run_batch(const struct request *request, struct batch *batch, enum point_kind kind,
		     bool returning_only)
{
	const struct probe_plan *plan = request->plan;
	_cleanup_free_ unsigned long *offsets = calloc(plan->count + 1, sizeof(*offsets));
	_cleanup_free_ __u64 *cookies = calloc(plan->count + 1, sizeof(*cookies));
	bool multi = request->session->features.has[FEATURE_UPROBE_MULTI];

	if (!offsets || !cookies)
		return -ENOMEM;
	batch->offsets = offsets;
	batch->cookies = cookies;
	for (size_t i = 0; i < plan->count; i++) {
		const struct probe_point *point = &plan->items[i];

		if (!in_batch(point, kind, batch->at_return, returning_only))
			continue;
		offsets[batch->count] =
			batch->at_return ? point->return_file_offset : point->file_offset;
		cookies[batch->count++] = allocator_cookie(point);
	}
	if (!batch->count)
		return 0;
	touch_pages(atoi(request->fd_path + strlen("/proc/self/fd/")), batch);
	return multi ? attach_multi(request, batch) : attach_perf(request, batch);
}

struct programs {
	struct bpf_program *enter, *leave, *session;
};

static struct programs programs_for(const struct session *session, enum point_kind kind,
				    enum attach_purpose purpose)
{
	struct seep_bpf *bpf = session->bpf;

	if (purpose == ATTACH_EMPTY && kind == POINT_FREE)
		return (struct programs){ bpf->progs.empty_enter, NULL, NULL };
	if (purpose == ATTACH_EMPTY && kind != POINT_LIBS)
		return (struct programs){ bpf->progs.empty_enter, bpf->progs.empty_return,
					  bpf->progs.empty_session };
	switch (kind) {
	case POINT_CALL:
		return (struct programs){ bpf->progs.call_enter, bpf->progs.call_return,
					  bpf->progs.call_session };
	case POINT_REGION:
		return (struct programs){ bpf->progs.region_enter, bpf->progs.region_return,
					  bpf->progs.region_session };
	case POINT_FREE:
		return (struct programs){ bpf->progs.free_enter, NULL, NULL };
	default:
		return (struct programs){ bpf->progs.libs_changed, NULL, NULL };
	}
}

/*
 * With sessions one program sees call and return. Without, the return probes go in first: a call
 * whose return is seen but not its entry is ignored, the other way round it would be missed.
 */
static int attach_kind(const struct request *request, enum point_kind kind,
		       enum attach_purpose purpose)
{
	struct programs programs = programs_for(request->session, kind, purpose);
	uint32_t multi_type = ATTACH_UPROBE_MULTI;
	struct batch batch;
	int status;

	if (programs.session && request->session->features.has[FEATURE_UPROBE_SESSION]) {
		batch = (struct batch){ .program = programs.session,
					.attach_type = ATTACH_UPROBE_SESSION };
		return run_batch(request, &batch, kind, false);
	}
	if (programs.leave) {
		batch = (struct batch){ .program = programs.leave,
					.at_return = true,
					.attach_type = multi_type };
		status = run_batch(request, &batch, kind, true);
		if (status)
			return status;
	}
	batch = (struct batch){ .program = programs.enter, .attach_type = multi_type };
	return run_batch(request, &batch, kind, false);
}

static int explain(const struct request *request, int status)
{
	if (status == -ESRCH)
		return err_set(request->err, ESRCH, "process %d has exited", request->pid);
	if (status == -EPERM || status == -EACCES)
		return err_set(request->err, -status,
			       "the kernel refuses probes to this user; run as root");
	return err_set(request->err, -status, "cannot put probes on '%s': %s", request->path,
		       strerror(-status));
}

int attach_plan(struct session *session, int fd, const char *path, const struct probe_plan *plan,
		pid_t pid, enum attach_purpose purpose, struct links *links, struct err *err)
{
	struct links mine = { 0 };
	char fd_path[64];
	struct request request = {
		.session = session,
		.fd_path = fd_path,
		.path = path,
		.plan = plan,
		.pid = pid,
		.links = &mine,
		.err = err,
	};

	snprintf(fd_path, sizeof(fd_path), "/proc/self/fd/%d", fd);
	/* frees first: a block allocated under our eyes must not be freed unseen */
	static const enum point_kind order[] = { POINT_LIBS, POINT_FREE, POINT_REGION, POINT_CALL };
	for (size_t i = 0; i < ARRAY_LEN(order); i++) {
		int status = attach_kind(&request, order[i], purpose);

		if (status) {
			links_close(&mine);
			return explain(&request, status);
		}
	}
	for (size_t i = 0; i < mine.count; i++)
		if (add_link(links, mine.items[i]))
			return err_set(err, ENOMEM, "out of memory");
	links->probe_count += mine.probe_count;
	free(mine.items);
	return 0;
}

void links_close(struct links *links)
{
	for (size_t i = links->count; i-- > 0;) /* calls first: nothing is taken whose free we miss */
		close(links->items[i]);
	free(links->items);
	*links = (struct links){ 0 };
}
