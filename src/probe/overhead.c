/* SPDX-License-Identifier: GPL-2.0-only */
/* overhead.c - see overhead.h */
#include "probe/overhead.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/units.h"
#include "probe/attach.h"
#include "probe/session.h"
#include "target/allocator.h"
#include "target/proc_maps.h"

#include "seep.skel.h"

#define CALIBRATION_CALLS 4000

/* ---- calibration ----------------------------------------------------------------------------- */

/* Two functions to probe: one begins with a push, which the kernel emulates, one with a test. */
__attribute__((naked, noinline, used)) static void begins_with_push(void)
{
	asm volatile("push %rbp\n\tpop %rbp\n\tret");
}

__attribute__((naked, noinline, used)) static void begins_with_test(void)
{
	asm volatile("test %rdi, %rdi\n\tret");
}

static uint64_t thread_cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static double ns_per_call(void (*function)(void), unsigned int calls)
{
	uint64_t begin = thread_cpu_ns();

	for (unsigned int i = 0; i < calls; i++)
		function();
	return (double)(thread_cpu_ns() - begin) / calls;
}

/* A plan with one point on 'function' of our own executable. */
static int plan_for(void (*function)(void), bool returns, struct probe_point *point, int *fd,
		    struct err *err)
{
	struct proc_maps maps = { 0 };
	const struct vm_region *region;
	int status = proc_maps_read(getpid(), &maps, err);

	if (status)
		return status;
	region = proc_maps_at(&maps, (uintptr_t)function);
	*fd = region ? proc_maps_open_file(getpid(), region, err) : -ENOENT;
	if (*fd >= 0) {
		memset(point, 0, sizeof(*point));
		point->role = returns ? ROLE_MALLOC : ROLE_FREE;
		point->file_offset = (uintptr_t)function - region->start + region->file_offset;
		point->return_file_offset = point->file_offset;
		point->needs_return = returns;
	}
	proc_maps_free(&maps);
	return *fd < 0 ? *fd : 0;
}

static int measure(struct session *session, void (*function)(void), bool returns, double *ns,
		   struct err *err)
{
	_cleanup_close_ int fd = -1;
	struct probe_point point;
	struct probe_plan plan = { .items = &point, .count = 1 };
	struct links links = { 0 };
	double bare = ns_per_call(function, CALIBRATION_CALLS);
	int status = plan_for(function, returns, &point, &fd, err);

	if (!status)
		status = attach_plan(session, fd, "seep", &plan, getpid(), ATTACH_EMPTY, &links,
				     err);
	if (status)
		return status;
	ns_per_call(function, CALIBRATION_CALLS / 10);
	*ns = ns_per_call(function, CALIBRATION_CALLS) - bare;
	links_close(&links);
	return 0;
}

int overhead_calibrate(struct session *session, struct trap_costs *costs, struct err *err)
{
	int status = measure(session, begins_with_push, false, &costs->entry_ns, err);

	if (!status)
		status = measure(session, begins_with_push, true, &costs->session_ns, err);
	if (!status)
		status = measure(session, begins_with_test, false, &costs->stepped_ns, err);
	return status ? err_context(err, "cannot measure the cost of a probe") : 0;
}

/* ---- run times of the programs --------------------------------------------------------------- */

/* The front of struct bpf_prog_info since Linux 5.8 is longer than what we need; libbpf knows it. */
static void read_runs(const struct bpf_program *program, uint64_t *runs, uint64_t *run_ns)
{
	struct bpf_prog_info info = { 0 };
	uint32_t length = sizeof(info);

	if (bpf_program__fd(program) < 0 ||
	    bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &length))
		return;
	*runs += info.run_cnt;
	*run_ns += info.run_time_ns;
}

static void read_program_times(const struct overhead *overhead, uint64_t *call_runs,
			       uint64_t *call_ns, uint64_t *free_runs, uint64_t *free_ns)
{
	const struct seep_bpf *bpf = overhead->session->bpf;

	*call_runs = *call_ns = *free_runs = *free_ns = 0;
	read_runs(bpf->progs.call_enter, call_runs, call_ns);
	read_runs(bpf->progs.call_return, call_runs, call_ns);
	read_runs(bpf->progs.call_session, call_runs, call_ns);
	read_runs(bpf->progs.free_enter, free_runs, free_ns);
}

void overhead_window(struct overhead *overhead, bool open)
{
	uint64_t call_runs, call_ns, free_runs, free_ns;

	if (open == (overhead->stats_fd >= 0))
		return;
	read_program_times(overhead, &call_runs, &call_ns, &free_runs, &free_ns);
	if (open) {
		overhead->stats_fd = bpf_enable_stats(BPF_STATS_RUN_TIME);
		overhead->call_runs = call_runs;
		overhead->call_run_ns = call_ns;
		overhead->free_runs = free_runs;
		overhead->free_run_ns = free_ns;
		return;
	}
	close(overhead->stats_fd);
	overhead->stats_fd = -1;
	if (call_runs > overhead->call_runs)
		overhead->call_ns = (double)(call_ns - overhead->call_run_ns) /
				    (call_runs - overhead->call_runs);
	if (free_runs > overhead->free_runs)
		overhead->free_ns = (double)(free_ns - overhead->free_run_ns) /
				    (free_runs - overhead->free_runs);
}

/* ---- accounting ------------------------------------------------------------------------------ */

int overhead_init(struct overhead *overhead, struct session *session, struct err *err)
{
	memset(overhead, 0, sizeof(*overhead));
	overhead->session = session;
	overhead->stats_fd = -1;
	return overhead_calibrate(session, &overhead->costs, err);
}

void overhead_deinit(struct overhead *overhead)
{
	if (overhead->stats_fd >= 0)
		close(overhead->stats_fd);
	overhead->stats_fd = -1;
}

uint64_t overhead_hits(const struct counters *counters)
{
	return counters->alloc_hits + counters->return_hits + counters->free_hits +
	       counters->map_hits;
}

double overhead_ns_per_hit(const struct overhead *overhead)
{
	uint64_t hits = overhead_hits(&overhead->last);

	return hits ? overhead->probe_ns_total / hits : overhead->costs.entry_ns;
}

void overhead_update(struct overhead *overhead, const struct counters *counters, uint64_t cpu_ns,
		     uint64_t elapsed_ns)
{
	const struct counters *last = &overhead->last;
	double calls = counters->alloc_hits - last->alloc_hits;
	double returns = counters->return_hits - last->return_hits;
	double frees = counters->free_hits - last->free_hits;
	double maps = counters->map_hits - last->map_hits;
	double return_ns = overhead->costs.session_ns - overhead->costs.entry_ns;
	double probe_ns = (calls + frees + maps) * overhead->costs.entry_ns + returns * return_ns +
			  (calls + returns) * overhead->call_ns + frees * overhead->free_ns;
	double own_ns = (double)(cpu_ns - overhead->last_cpu_ns) - probe_ns;

	if (cpu_ns < overhead->last_cpu_ns) /* a process ended and took its time with it */
		own_ns = elapsed_ns;
	overhead->probe_ns_total += probe_ns;
	if (own_ns < probe_ns / 100) /* hardly anything but probes: beyond what we can tell */
		own_ns = probe_ns / 100;
	overhead->slowdown_percent = probe_ns > 0 ? 100 * probe_ns / own_ns : 0;
	overhead->hits_per_s = elapsed_ns ? (overhead_hits(counters) - overhead_hits(last)) *
						    (double)NS_PER_S / elapsed_ns :
					    0;
	overhead->last = *counters;
	overhead->last_cpu_ns = cpu_ns;
}
