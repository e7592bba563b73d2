/* SPDX-License-Identifier: GPL-2.0-only */
/* overhead.c - see overhead.h */
#include "probe/overhead.h"

#include <errno.h>
#include <math.h>
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

#define CALIBRATION_CALLS 4000
#define CPU_TICK_NS	  10e6 /* USER_HZ is 100 in /proc/PID/stat on x86 */

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
	struct proc_maps maps = {0};
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
	struct probe_plan plan = {.items = &point, .count = 1};
	struct links links = {0};
	double bare = ns_per_call(function, CALIBRATION_CALLS);
	int status = plan_for(function, returns, &point, &fd, err);

	if (!status)
		status =
		    attach_plan(session, fd, "seep", &plan, getpid(), ATTACH_EMPTY, &links, err);
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

/* The mean time of a run within the window; without one what was known before. */
static void update_mean(double *mean_ns, struct timed_runs begin, struct timed_runs end)
{
	if (end.count > begin.count)
		*mean_ns = (double)(end.time_ns - begin.time_ns) / (end.count - begin.count);
}

void overhead_window(struct overhead *overhead, bool open)
{
	const struct timed_runs *begin = overhead->window;
	struct counters now;
	bool failed;

	if (open == overhead->window_open)
		return;
	failed = session_read_counters(overhead->session, &now) != 0;
	overhead->window_open = open && !failed;
	session_set_timing(overhead->session, overhead->window_open);
	if (failed)
		return;
	if (open) {
		memcpy(overhead->window, now.timed, sizeof(now.timed));
		return;
	}
	update_mean(&overhead->call_ns, begin[TIMED_CALL], now.timed[TIMED_CALL]);
	update_mean(&overhead->free_ns, begin[TIMED_FREE], now.timed[TIMED_FREE]);
	update_mean(&overhead->map_ns, begin[TIMED_MAP], now.timed[TIMED_MAP]);
}

/* ---- accounting ------------------------------------------------------------------------------ */

int overhead_init(struct overhead *overhead, struct session *session, struct err *err)
{
	memset(overhead, 0, sizeof(*overhead));
	overhead->session = session;
	return overhead_calibrate(session, &overhead->costs, err);
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

/* What the probes cost that were hit between two readings. Returns of mmap and its like are rare
 * and not counted: each is taken to be trapped. */
static double interval_probe_ns(const struct overhead *overhead, const struct counters *begin,
				const struct counters *end)
{
	const struct trap_costs *costs = &overhead->costs;
	double calls = end->alloc_hits - begin->alloc_hits;
	double returns = end->return_hits - begin->return_hits;
	double frees = end->free_hits - begin->free_hits;
	double maps = end->map_hits - begin->map_hits;
	double stepped = end->stepped_hits - begin->stepped_hits;
	double traps_ns = (calls + frees + maps) * costs->entry_ns +
			  (returns + maps) * fmax(costs->session_ns - costs->entry_ns, 0) +
			  stepped * fmax(costs->stepped_ns - costs->entry_ns, 0);

	return traps_ns + (calls + returns) * overhead->call_ns + frees * overhead->free_ns +
	       2 * maps * overhead->map_ns;
}

/*
 * CPU times of processes come in ticks: of less own time than one we cannot tell. Where next to
 * nothing is left besides the probes, the quotient says nothing but "much".
 */
static double slowdown_percent(double probe_ns, double cpu_ns)
{
	double own_ns = fmax(cpu_ns - probe_ns, CPU_TICK_NS);

	return fmin(100 * probe_ns / own_ns, OVERHEAD_MOST_PERCENT);
}

double overhead_total_percent(const struct overhead *overhead)
{
	return slowdown_percent(overhead->probe_ns_total, overhead->cpu_ns_total);
}

void overhead_update(struct overhead *overhead, const struct counters *counters, uint64_t cpu_ns,
		     uint64_t elapsed_ns)
{
	double probe_ns = interval_probe_ns(overhead, &overhead->last, counters);
	double used_ns = cpu_ns > overhead->last_cpu_ns ? cpu_ns - overhead->last_cpu_ns : 0;
	double hits = overhead_hits(counters) - overhead_hits(&overhead->last);

	overhead->probe_ns_total += probe_ns;
	overhead->cpu_ns_total += used_ns;
	overhead->slowdown_percent = slowdown_percent(probe_ns, used_ns);
	overhead->hits_per_s = elapsed_ns ? hits * (double)NS_PER_S / elapsed_ns : 0;
	overhead->last = *counters;
	overhead->last_cpu_ns = cpu_ns;
}
