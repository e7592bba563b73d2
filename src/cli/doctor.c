/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * doctor.c - "seep doctor": what this kernel, these permissions and this target allow, and what
 * watching it will cost. Everything printed is measured here and now.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "base/units.h"
#include "cli/opt.h"
#include "cli/verb.h"
#include "elf/demangle.h"
#include "probe/overhead.h"
#include "probe/session.h"
#include "probe/watch.h"
#include "target/process.h"

#define COUNT_NS	(1000 * NS_PER_MS) /* the counting pass */
#define TRY_NS		(300 * NS_PER_MS)  /* each trial of the real programs */
#define TRIAL_SAMPLE_SHIFT 19		   /* 512 KiB */
#define TRIAL_MAX_BLOCKS   (2 << 20)

struct doctor_opts {
	struct opt_pids pids;
	bool no_redirect, verbose;
};

static const struct opt doctor_options[] = {
	{ 'p', "pid", OPT_PIDS, "PID", NULL, FILLS(struct doctor_opts, pids),
	  "look at this process too: probes, rate, predicted slowdown" },
	{ 0, "no-redirect", OPT_FLAG, NULL, NULL, FILLS(struct doctor_opts, no_redirect),
	  "never write into the process, as seep record --no-redirect" },
	{ 'v', "verbose", OPT_FLAG, NULL, NULL, FILLS(struct doctor_opts, verbose),
	  "say more about what is done" },
	{ 0 },
};

/* ---- kernel and permissions -------------------------------------------------------------------- */

static void print_features(const struct features *features)
{
	printf("kernel %s\n", features->kernel);
	for (int i = 0; i < FEATURE_COUNT; i++) {
		const struct feature_info *info = &feature_infos[i];
		const char *state = features->has[i] ? "yes" :
				    features->overridden[i] ? "off" :
				    info->required	    ? "MISSING" :
							      "no";

		printf("  %-8s %-15s Linux %-5s %s%s\n", state, info->name, info->since,
		       info->purpose, info->required ? "" : " (optional)");
	}
}

/* CapEff of /proc/self/status; the bits are those of linux/capability.h. */
static void print_permissions(void)
{
	static const struct {
		int bit;
		const char *name, *purpose;
	} wanted[] = {
		{ 39, "CAP_BPF", "load programs" },
		{ 38, "CAP_PERFMON", "probe user programs, read their memory" },
		{ 21, "CAP_SYS_ADMIN", "probes without uprobe_multi; files of other containers" },
		{ 19, "CAP_SYS_PTRACE", "read /proc/PID/maps of other users" },
		{ 1, "CAP_DAC_READ_SEARCH", "open the binaries they run" },
	};
	_cleanup_fclose_ FILE *file = fopen("/proc/self/status", "re");
	unsigned long long effective = 0;
	char line[256];

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "CapEff: %llx", &effective) == 1)
			break;
	printf("permissions (uid %d)\n", (int)geteuid());
	for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
		printf("  %-8s %-19s %s\n", effective >> wanted[i].bit & 1 ? "yes" : "no",
		       wanted[i].name, wanted[i].purpose);
}

static void print_costs(const struct trap_costs *costs)
{
	printf("cost of one probe hit, measured here\n"
	       "  %6.0f ns  function entry, instruction emulated by the kernel\n"
	       "  %6.0f ns  entry and return\n"
	       "  %6.0f ns  entry, instruction single-stepped (avoided where possible)\n",
	       costs->entry_ns, costs->session_ns, costs->stepped_ns);
}

/* ---- the target ----------------------------------------------------------------------------------- */

static void print_point(const struct probe_point *point)
{
	_cleanup_free_ char *name = demangle(point->function);

	printf("    %-26.26s +%-3u %-28.28s %s\n", name ? name : point->function, point->site.offset,
	       point->site.text, point->site.emulated ? "emulated" : "SINGLE-STEPPED");
}

static void print_points(const struct watch *watch, const struct watched *watched)
{
	printf("probes\n");
	for (size_t i = 0; i < watched->attached.count; i++) {
		const struct binary *binary =
			binaries_by_id(watch->binaries, watched->attached.items[i]);

		printf("  %s (%s)\n", binary->path,
		       binary->plan.kind == ALLOCATOR_NONE ?
			       "dynamic linker" :
			       allocator_kind_name(binary->plan.kind));
		for (size_t j = 0; j < binary->plan.count; j++)
			print_point(&binary->plan.items[j]);
	}
}

/* What one stretch of time showed. */
struct trial {
	struct counters counters;
	double seconds, cpu_seconds;
	double call_ns, free_ns; /* run times of the programs, where measured */
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static void subtract_counters(struct counters *from, const struct counters *what)
{
	uint64_t *to = (void *)from;
	const uint64_t *by = (const void *)what;

	for (size_t i = 0; i < sizeof(*from) / sizeof(*to); i++)
		to[i] -= by[i];
}

static int ignore_record(void *context, const struct record_head *record, size_t bytes)
{
	return 0;
}

static int run_trial(struct session *session, struct overhead *overhead, pid_t pid,
		     uint64_t duration_ns, bool timed, struct trial *trial)
{
	uint64_t begin = now_ns(), cpu = process_cpu_ns(pid), cpu_after;
	struct counters before;

	if (session_read_counters(session, &before))
		return -errno;
	if (timed)
		overhead_window(overhead, true);
	while (now_ns() < begin + duration_ns) {
		session_poll(session, ignore_record, NULL);
		usleep(10000);
	}
	if (timed)
		overhead_window(overhead, false);
	if (session_read_counters(session, &trial->counters))
		return -errno;
	subtract_counters(&trial->counters, &before);
	trial->seconds = (double)(now_ns() - begin) / NS_PER_S;
	cpu_after = process_cpu_ns(pid);
	if (cpu_after < cpu)
		return -ESRCH;
	trial->cpu_seconds = (double)(cpu_after - cpu) / NS_PER_S;
	trial->call_ns = overhead->call_ns;
	trial->free_ns = overhead->free_ns;
	return 0;
}

/* Time the probes of 'rate' (events per second) would take with the programs of 'trial'. */
static double probe_seconds(const struct trial *rate, const struct trial *trial,
			    const struct trap_costs *costs)
{
	double allocs = rate->counters.alloc_hits / rate->seconds;
	double frees = rate->counters.free_hits / rate->seconds;
	double hits = trial->counters.alloc_hits;
	double returning = hits ? trial->counters.return_hits / hits : 1;
	double alloc_ns = costs->entry_ns + returning * (costs->session_ns - costs->entry_ns) +
			  (1 + returning) * trial->call_ns;

	return (allocs * alloc_ns + frees * (costs->entry_ns + trial->free_ns)) / NS_PER_S;
}

static void print_prediction(const char *mode, double probe, double cpu_per_s)
{
	printf("  %-18s %6.2f %% of a core in probes", mode, 100 * probe);
	if (cpu_per_s > 0.005)
		printf(", slowdown about %.0f %%", 100 * probe / cpu_per_s);
	printf("\n");
}

/* The target is counted undisturbed but for the traps, so their time is taken off its own. */
static double own_cpu_per_s(const struct trial *rate, const struct trap_costs *costs)
{
	double traps = (rate->counters.alloc_hits + rate->counters.free_hits) * costs->entry_ns /
		       NS_PER_S;

	return (rate->cpu_seconds - traps) / rate->seconds;
}

static const char *frames_text(const struct python_runtime *runtime)
{
	if (runtime->reason[0])
		return runtime->reason;
	return runtime->initialized ? "read with the stacks"
				    : "read with the stacks as soon as it has started";
}

static void print_python(const struct watch *watch, const struct watched *watched)
{
	const struct interpreter *interpreter = &watched->interpreter;
	const struct python_runtime *runtime = &interpreter->runtime;
	const struct binary *binary = binaries_by_id(watch->binaries, interpreter->binary_id);
	struct probe_plan plan = { 0 };
	char text[640];

	if (!interpreter->found || !binary)
		return;
	printf("python\n  CPython %s in %s%s%s\n  frames: %s\n", runtime->version, runtime->path,
	       runtime->free_threaded ? ", free-threaded" : ", with a GIL",
	       runtime->musl ? ", musl" : "", frames_text(runtime));
	printf("  %s\n", interpreter_describe(interpreter, text, sizeof(text)));
	if (!interpreter_plan(interpreter, binary, &plan, NULL) && plan.count)
		printf("  %s (%s)\n", binary->path, python_mode_name(interpreter->tables.mode));
	for (size_t i = 0; i < plan.count; i++)
		print_point(&plan.items[i]);
	allocator_plan_free(&plan);
}

static int measure_target(struct session *session, struct overhead *overhead, pid_t pid,
			  struct err *err)
{
	struct trial rate = { 0 }, exact = { 0 }, sampled = { 0 };
	double cpu_per_s;
	int status = run_trial(session, overhead, pid, COUNT_NS, false, &rate);

	session_set_count_only(session, false);
	if (!status)
		status = run_trial(session, overhead, pid, TRY_NS, true, &exact);
	session_set_sample_shift(session, TRIAL_SAMPLE_SHIFT);
	if (!status)
		status = run_trial(session, overhead, pid, TRY_NS, true, &sampled);
	if (status == -ESRCH)
		return err_set(err, ESRCH, "process %d ended while it was measured", pid);
	if (status)
		return err_set(err, -status, "cannot read the kernel's counters: %s",
			       strerror(-status));
	cpu_per_s = own_cpu_per_s(&rate, &overhead->costs);
	printf("rate now (%.1f s)\n  %.0f allocations/s, %.0f frees/s, %.0f %% of a core used\n",
	       rate.seconds, rate.counters.alloc_hits / rate.seconds,
	       rate.counters.free_hits / rate.seconds, 100 * cpu_per_s);
	if (!rate.counters.alloc_hits && !rate.counters.free_hits) {
		printf("  it allocates nothing at the moment: a prediction needs load\n");
		return 0;
	}
	printf("predicted cost\n");
	print_prediction("every block", probe_seconds(&rate, &exact, &overhead->costs), cpu_per_s);
	print_prediction("--sample 512k", probe_seconds(&rate, &sampled, &overhead->costs),
			 cpu_per_s);
	return 0;
}

static int examine_target(struct session *session, struct overhead *overhead, pid_t pid,
			  bool no_redirect, struct err *err)
{
	struct watch_options options = { .purpose = ATTACH_RECORD, .no_redirect = no_redirect };
	struct watched *watched;
	struct watch watch;
	int status = watch_init(&watch, session, &options, err);

	if (!status)
		status = watch_add(&watch, pid, false, err);
	if (status) {
		watch_deinit(&watch);
		return status;
	}
	watched = watch.all.items[0];
	printf("\nprocess %d (%s), %s, %u thread%s\n", pid, watched->info.comm, watched->info.exe,
	       watched->info.thread_count, watched->info.thread_count == 1 ? "" : "s");
	if (!watched->allocator_kinds)
		printf("  no allocator found: %s\n",
		       watched->missing[0] ? watched->missing :
					     "no mapped library exports malloc and free");
	print_points(&watch, watched);
	print_python(&watch, watched);
	status = measure_target(session, overhead, pid, err);
	watch_deinit(&watch);
	return status;
}

static int examine(const struct doctor_opts *opts, struct err *err)
{
	struct session_options options = {
		.sample_bytes = 1,
		.max_blocks = TRIAL_MAX_BLOCKS,
		.links_filtered = true,
		.count_only = true,
	};
	struct overhead overhead;
	struct session session;
	int status = session_open(&session, &options, err);

	if (status)
		return status;
	python_redirect_recover();
	status = overhead_init(&overhead, &session, err);
	if (!status)
		print_costs(&overhead.costs);
	for (size_t i = 0; !status && i < opts->pids.count; i++) {
		session_set_count_only(&session, true);
		session_set_sample_shift(&session, 0);
		status = examine_target(&session, &overhead, opts->pids.items[i],
					opts->no_redirect, err);
	}
	session_close(&session);
	return status;
}

static int doctor_main(int argc, char **argv, struct err *err)
{
	struct doctor_opts opts = { 0 };
	struct features features;
	bool help = false;
	int positional, status;

	status = opt_parse(doctor_options, argc, argv, &opts, &positional, &help, err);
	if (help) {
		printf("usage: seep doctor [-p PID]...\n\nTell what the kernel, the permissions and "
		       "a target allow, and what recording it will cost.\n\n");
		opt_print(doctor_options);
		return EXIT_OK;
	}
	if (!status && positional)
		status = err_set(err, EINVAL, "unexpected argument '%s'", argv[1]);
	if (status)
		return EXIT_USAGE;
	if (opts.verbose)
		log_set_level(LOG_VERBOSE);
	print_permissions();
	status = features_detect(&features, err);
	if (!status) {
		print_features(&features);
		status = features_check(&features, err);
	}
	if (!status)
		status = examine(&opts, err);
	return verb_exit_status(status);
}

const struct verb doctor_verb = {
	.name = "doctor",
	.summary = "tell what can be watched here, how, and at what cost",
	.run = doctor_main,
};
