/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * record.c - "seep record": attach to processes, write a recording, say what was found.
 *
 * One loop waits for the ring, signals and a clock tick. Stages of a recording: running, settling
 * (--settle: nothing new is taken, frees still count), done.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "base/units.h"
#include "cli/command.h"
#include "cli/opt.h"
#include "cli/verb.h"
#include "probe/overhead.h"
#include "probe/session.h"
#include "probe/watch.h"
#include "profile/symbolize.h"
#include "store/recorder.h"
#include "store/recording.h"
#include "target/process.h"

#define TICK_NS		  (100 * NS_PER_MS)
#define REFRESH_NS	  NS_PER_S	 /* between looks at /proc/PID/maps */
#define STATS_PERIOD_TICKS 20 /* the kernel times our programs in every 20th tick */
#define FIRST_OUTPUT_NS	  (3 * NS_PER_S)
#define FIRST_SHIFT	  16 /* from exact, sampling begins at 64 KiB */
#define SHIFT_STEP	  2
#define SAMPLE_BYTES_MAX  (1ULL << 27) /* beyond that nothing is left to save (sample.bpf.h) */
#define FEW_CPU_NS	  (20 * NS_PER_MS) /* less CPU time than this says nothing about slowdown */

struct record_opts {
	struct opt_pids pids;
	const char *command, *comm, *output;
	uint64_t duration_ns, interval_ns, settle_ns;
	uint64_t sample_bytes, max_blocks;
	double max_overhead;
	bool children, no_redirect, force, quiet, verbose;
};

static const struct opt record_options[] = {
	{ 'p', "pid", OPT_PIDS, "PID", NULL, FILLS(struct record_opts, pids),
	  "watch this process; may be given several times" },
	{ 'c', "command", OPT_TEXT, "'CMD ARGS'", NULL, FILLS(struct record_opts, command),
	  "start this command and watch it from its first allocation" },
	{ 0, "comm", OPT_TEXT, "NAME", NULL, FILLS(struct record_opts, comm),
	  "watch every process of this name (as in /proc/PID/comm)" },
	{ 'd', "duration", OPT_DURATION, "TIME", NULL, FILLS(struct record_opts, duration_ns),
	  "stop after this time; otherwise at Ctrl-C or when the target ends" },
	{ 'i', "interval", OPT_DURATION, "TIME", NULL, FILLS(struct record_opts, interval_ns),
	  "time between two snapshots [10s, or a 20th of --duration if that is less]" },
	{ 'o', "output", OPT_TEXT, "FILE", NULL, FILLS(struct record_opts, output),
	  "recording to write; by default seep.COMM.PID.TIME.seep" },
	{ 'f', "force", OPT_FLAG, NULL, NULL, FILLS(struct record_opts, force),
	  "overwrite an existing recording" },
	{ 0, "sample", OPT_BYTES, "BYTES", "1", FILLS(struct record_opts, sample_bytes),
	  "mean bytes between two samples, for example 512k; 1 records every block" },
	{ 0, "settle", OPT_DURATION, "TIME", NULL, FILLS(struct record_opts, settle_ns),
	  "afterwards take no new allocations, but watch frees for this time" },
	{ 0, "max-overhead", OPT_PERCENT, "PCT", NULL, FILLS(struct record_opts, max_overhead),
	  "sample more coarsely, then detach, when the target slows down by more" },
	{ 0, "max-blocks", OPT_COUNT, "COUNT", "2M", FILLS(struct record_opts, max_blocks),
	  "live blocks tracked at a time, up to 64M; memory is taken as used" },
	{ 0, "children", OPT_FLAG, NULL, NULL, FILLS(struct record_opts, children),
	  "follow forked children (every process with the same libraries then pays for the probes)" },
	{ 0, "no-redirect", OPT_FLAG, NULL, NULL, FILLS(struct record_opts, no_redirect),
	  "never write into a process: where Python's allocator is inlined, only malloc is seen" },
	{ 'q', "quiet", OPT_FLAG, NULL, NULL, FILLS(struct record_opts, quiet),
	  "say nothing but errors" },
	{ 'v', "verbose", OPT_FLAG, NULL, NULL, FILLS(struct record_opts, verbose),
	  "say more about what is done" },
	{ 0 },
};

enum stage {
	STAGE_RUNNING,
	STAGE_SETTLING,
	STAGE_DONE,
	STAGE_ABANDONED,
};

struct run {
	struct record_opts opts;
	char path[4096];
	struct session session;
	struct watch watch;
	struct overhead overhead;
	struct symbolizer *symbolizer;
	struct recording *recording;
	struct recorder *recorder;
	struct command command; /* -c */
	bool session_is_open, watch_is_open, detached, first_output_done, file_failed;
	int epoll_fd, timer_fd, signal_fd;
	enum stage stage;
	uint64_t next_snapshot_ns, next_refresh_ns, last_overhead_ns, settle_begin_ns;
	uint64_t last_cpu_ns, ticks;
	uint32_t sample_shift;
	unsigned int interrupts;
};

/* ---- options --------------------------------------------------------------------------------------- */

/* Enough snapshots to tell a leak from a start-up, also in a short recording. */
static void choose_interval(struct record_opts *opts)
{
	if (opts->interval_ns)
		return;
	opts->interval_ns = 10 * NS_PER_S;
	if (opts->duration_ns && opts->duration_ns / 20 < opts->interval_ns)
		opts->interval_ns = opts->duration_ns / 20;
	if (opts->interval_ns < NS_PER_S / 2)
		opts->interval_ns = NS_PER_S / 2;
}

static int check_options(const struct record_opts *opts, struct err *err)
{
	int targets = (opts->pids.count > 0) + (opts->command != NULL) + (opts->comm != NULL);

	if (targets != 1)
		return err_set(err, EINVAL,
			       "say what to watch: one of -p PID, -c 'CMD ARGS', --comm NAME");
	if (opts->interval_ns < 50 * NS_PER_MS)
		return err_set(err, EINVAL, "--interval: at least 50ms");
	if (!opts->sample_bytes || (opts->sample_bytes > 1 && opts->sample_bytes < 256) ||
	    opts->sample_bytes > 64 << 20)
		return err_set(err, EINVAL, "--sample: 1 for every block, or 256 to 64M");
	if (!opts->max_blocks || opts->max_blocks > 64 << 20)
		return err_set(err, EINVAL, "--max-blocks: 1 to 64M");
	return 0;
}

/* ---- building up ------------------------------------------------------------------------------------- */

/* COMM may hold anything but NUL; a file name should not. */
static void default_path(struct run *run, const struct process_info *info)
{
	char when[32], comm[COMM_MAX];
	time_t now = time(NULL);
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(when, sizeof(when), "%Y%m%dT%H%M%SZ", &tm);
	memcpy(comm, info->comm, sizeof(comm));
	for (char *c = comm; *c; c++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", *c))
			*c = '_';
	snprintf(run->path, sizeof(run->path), "seep.%s.%d.%s.seep", comm, info->pid, when);
}

static int find_targets(struct run *run, pid_t *pids, size_t max, size_t *count, struct err *err)
{
	const struct record_opts *opts = &run->opts;
	int found;

	*count = 0;
	if (opts->command) {
		int status = command_start(&run->command, opts->command, err);

		if (status)
			return status;
		pids[(*count)++] = run->command.pid;
		return 0;
	}
	if (opts->comm) {
		found = process_find_comm(opts->comm, pids, max, err);
		if (found < 0)
			return found;
		if (!found)
			return err_set(err, ESRCH, "no process is named '%s'; see 'ps -e'",
				       opts->comm);
		*count = found;
		return 0;
	}
	for (size_t i = 0; i < opts->pids.count && i < max; i++)
		pids[(*count)++] = opts->pids.items[i];
	return 0;
}

/* Refuse what cannot work before anything is created. */
static int check_targets(struct run *run, const pid_t *pids, size_t count, struct err *err)
{
	struct process_info info;

	for (size_t i = 0; i < count; i++) {
		int status = process_read(pids[i], &info, err);

		if (!status && !run->opts.command)
			status = process_check(&info, err);
		if (status)
			return status;
		if (i == 0 && run->opts.command)
			snprintf(info.comm, sizeof(info.comm), "%s", run->command.name);
		if (i == 0 && !run->opts.output)
			default_path(run, &info);
	}
	if (run->opts.output)
		snprintf(run->path, sizeof(run->path), "%s", run->opts.output);
	return 0;
}

static void on_problem(void *context, pid_t pid, const char *text)
{
	log_warn("process %d: %s", pid, text);
	recorder_event(context, "problem", "process %d: %s", pid, text);
}

/* What is incomplete is said at once, the rest is in the recording. */
static void on_python(void *context, const struct watched *watched, const char *text)
{
	const struct interpreter *interpreter = &watched->interpreter;

	if (interpreter->runtime.reason[0])
		log_warn("process %d: %s", watched->info.pid, interpreter->runtime.reason);
	if (interpreter->tables.way == PYTHON_WAY_NONE)
		log_warn("process %d: %s", watched->info.pid, text);
	recorder_event(context, "python", "process %d: %s", watched->info.pid, text);
}

static int open_session(struct run *run, struct err *err)
{
	struct session_options options = {
		.sample_bytes = run->opts.sample_bytes,
		.max_blocks = run->opts.max_blocks,
		.links_filtered = !run->opts.children,
	};
	struct watch_options watch_options = {
		.follow_children = run->opts.children,
		.no_redirect = run->opts.no_redirect,
		.purpose = ATTACH_RECORD,
		.on_binary = recorder_on_binary,
		.on_problem = on_problem,
		.on_python = on_python,
	};
	struct symbolizer_options names = { .want_lines = true };
	int status = session_open(&run->session, &options, err);

	if (status)
		return status;
	run->session_is_open = true;
	python_redirect_recover();
	status = overhead_init(&run->overhead, &run->session, err);
	if (status)
		return status;
	run->symbolizer = symbolizer_new(&names, err);
	if (!run->symbolizer)
		return -ENOMEM;
	run->recorder = recorder_new(
		&(struct recorder_parts){
			.session = &run->session,
			.watch = &run->watch,
			.overhead = &run->overhead,
			.symbolizer = run->symbolizer,
			.interval_ns = run->opts.interval_ns,
		},
		err);
	if (!run->recorder)
		return -ENOMEM;
	watch_options.context = run->recorder;
	status = watch_init(&run->watch, &run->session, &watch_options, err);
	run->watch_is_open = status == 0;
	return status;
}

static int create_recording(struct run *run, struct err *err)
{
	struct recording_meta meta = {
		.version = SEEP_VERSION,
		.kernel = run->session.features.kernel,
		.interval_ns = run->opts.interval_ns,
		.settle_ns = run->opts.settle_ns,
		.sample_bytes = run->opts.sample_bytes,
	};
	struct timespec now;
	char host[256] = "";
	int status;

	gethostname(host, sizeof(host) - 1);
	clock_gettime(CLOCK_REALTIME, &now);
	meta.host = host;
	meta.start_unix_ns = now.tv_sec * NS_PER_S + now.tv_nsec;
	status = recording_create(run->path, run->opts.force, &meta, &run->recording, err);
	run->file_failed = status != 0;
	if (!status)
		recorder_set_recording(run->recorder, run->recording);
	return status;
}

/* Every target must be watchable; a process that allocates in no way we know is told about. */
static int watch_targets(struct run *run, const pid_t *pids, size_t count, struct err *err)
{
	for (size_t i = 0; i < count; i++) {
		int status = watch_add(&run->watch, pids[i], run->opts.command != NULL, err);
		struct watched *watched;

		if (status)
			return status;
		watched = run->watch.all.items[run->watch.all.count - 1];
		if (run->opts.command) /* still our own image, but soon it is that */
			memcpy(watched->info.comm, run->command.name, sizeof(watched->info.comm));
		if (!watched->allocator_kinds && watched->missing[0])
			return err_set(err, ENOEXEC, "process %d (%s) is %s", pids[i],
				       watched->info.exe, watched->missing);
		if (!watched->allocator_kinds)
			return err_set(err, ENOEXEC,
				       "process %d (%s) maps no library that exports malloc and "
				       "free (looked at all its executable mappings)",
				       pids[i], watched->info.exe);
	}
	return 0;
}

static int add_to_epoll(const struct run *run, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	return epoll_ctl(run->epoll_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

static int open_loop(struct run *run, struct err *err)
{
	struct itimerspec tick = { { 0, TICK_NS }, { 0, TICK_NS } };
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGUSR1);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	run->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	run->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	run->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (run->epoll_fd < 0 || run->timer_fd < 0 || run->signal_fd < 0 ||
	    timerfd_settime(run->timer_fd, 0, &tick, NULL) || add_to_epoll(run, run->timer_fd) ||
	    add_to_epoll(run, run->signal_fd) ||
	    add_to_epoll(run, session_ring_fd(&run->session)))
		return err_set(err, errno, "cannot wait for events: %m");
	return 0;
}

/* ---- overhead ------------------------------------------------------------------------------------------- */

/* "42 %", or "over 1000 %" where more cannot be told. */
static const char *slowdown_text(const struct run *run, char text[UNITS_TEXT_MAX])
{
	bool over = run->overhead.slowdown_percent >= OVERHEAD_MOST_PERCENT;

	snprintf(text, UNITS_TEXT_MAX, "%s%.0f %%", over ? "over " : "",
		 run->overhead.slowdown_percent);
	return text;
}

static void raise_sampling(struct run *run)
{
	char text[UNITS_TEXT_MAX], slowdown[UNITS_TEXT_MAX];
	uint64_t interval;

	slowdown_text(run, slowdown);
	run->sample_shift = run->opts.sample_bytes == 1 && !run->sample_shift ?
				    FIRST_SHIFT :
				    run->sample_shift + SHIFT_STEP;
	session_set_sample_shift(&run->session, run->sample_shift);
	interval = run->opts.sample_bytes << run->sample_shift;
	recorder_event(run->recorder, "sampling",
		       "slowdown %s was above --max-overhead %g %%: from here on one sample every "
		       "%s",
		       slowdown, run->opts.max_overhead, units_format_bytes(interval, text));
	log_info("slowdown %s: sampling every %s now", slowdown, text);
}

static void detach(struct run *run)
{
	char slowdown[UNITS_TEXT_MAX];

	slowdown_text(run, slowdown);
	session_set_settling(&run->session, true); /* detaching takes time */
	watch_detach(&run->watch);
	run->detached = true;
	recorder_event(run->recorder, "detach",
		       "slowdown %s was above --max-overhead %g %% even when sampling: detached, "
		       "the recording ends here",
		       slowdown, run->opts.max_overhead);
	log_warn("slowdown %s even when sampling: detached, as --max-overhead %g says", slowdown,
		 run->opts.max_overhead);
	run->stage = STAGE_DONE;
}

static void limit_overhead(struct run *run)
{
	uint64_t interval = run->opts.sample_bytes << run->sample_shift;

	if (!run->opts.max_overhead || run->overhead.slowdown_percent <= run->opts.max_overhead)
		return;
	if (interval << SHIFT_STEP <= SAMPLE_BYTES_MAX)
		raise_sampling(run);
	else
		detach(run);
}

/* Once a second, if the target did anything at all meanwhile; and at the end. */
static void account_overhead(struct run *run, uint64_t now_ns, bool last)
{
	uint64_t cpu_ns = recorder_cpu_ns(run->recorder), elapsed = now_ns - run->last_overhead_ns;
	bool idle = cpu_ns >= run->last_cpu_ns && cpu_ns - run->last_cpu_ns < FEW_CPU_NS;
	struct counters counters;

	if (!last && (elapsed < NS_PER_S || (idle && elapsed < 5 * NS_PER_S)))
		return;
	if (session_read_counters(&run->session, &counters))
		return;
	overhead_update(&run->overhead, &counters, cpu_ns, elapsed);
	run->last_overhead_ns = now_ns;
	run->last_cpu_ns = cpu_ns;
	if (run->stage == STAGE_RUNNING)
		limit_overhead(run);
}

/* ---- the loop --------------------------------------------------------------------------------------------- */

static uint64_t stage_end_ns(const struct run *run)
{
	if (run->stage == STAGE_SETTLING)
		return run->settle_begin_ns + run->opts.settle_ns;
	return run->opts.duration_ns ? run->opts.duration_ns : UINT64_MAX;
}

static void show_status(struct run *run, uint64_t now_ns)
{
	const struct recorder_status *status = recorder_status(run->recorder);
	char elapsed[UNITS_TEXT_MAX], left[UNITS_TEXT_MAX + 16] = "", live[UNITS_TEXT_MAX];
	char lost[32] = "", slowdown[UNITS_TEXT_MAX];
	char rss[UNITS_TEXT_MAX], number[UNITS_TEXT_MAX];
	uint64_t end = stage_end_ns(run);

	if (end != UINT64_MAX)
		snprintf(left, sizeof(left), " (%s left)",
			 units_format_duration(end > now_ns ? (end - now_ns) / NS_PER_S : 0,
					       number));
	if (status->lost)
		snprintf(lost, sizeof(lost), " LOST %llu", (unsigned long long)status->lost);
	log_status("%s%s%s live %s RSS %s %.0fk ev/s slow %s%s %s",
		   run->stage == STAGE_SETTLING ? "settling " : "",
		   units_format_duration(now_ns / NS_PER_S, elapsed), left,
		   units_format_bytes(status->live_bytes + status->mmap_bytes, live),
		   units_format_bytes(status->rss_bytes, rss), run->overhead.hits_per_s / 1000,
		   slowdown_text(run, slowdown), lost, status->top_site);
}

/* One line for those without a terminal: it works, and this grows most so far. */
static void show_first_output(struct run *run, uint64_t now_ns)
{
	const struct recorder_status *status = recorder_status(run->recorder);
	char live[UNITS_TEXT_MAX], elapsed[UNITS_TEXT_MAX];

	if (run->first_output_done || now_ns < FIRST_OUTPUT_NS)
		return;
	run->first_output_done = true;
	log_info("after %s: %s live from %llu stack%s%s%s",
		 units_format_duration(now_ns / NS_PER_S, elapsed),
		 units_format_bytes(status->live_bytes + status->mmap_bytes, live),
		 (unsigned long long)status->site_count, status->site_count == 1 ? "" : "s",
		 status->top_site[0] ? ", most: " : "",
		 status->top_site);
}

static int take_snapshot(struct run *run, bool marked, struct err *err)
{
	uint64_t now_ns = recorder_elapsed_ns(run->recorder);
	uint64_t step = run->opts.interval_ns;

	/* the first ones come early, so that there is something to see within seconds */
	if (now_ns < FIRST_OUTPUT_NS + NS_PER_S && step > NS_PER_S)
		step = NS_PER_S;
	if (!marked)
		run->next_snapshot_ns = now_ns + step - now_ns % step;
	return recorder_snapshot(run->recorder, marked, err);
}

static void next_stage(struct run *run, uint64_t now_ns)
{
	if (run->stage == STAGE_RUNNING && run->opts.settle_ns && !run->detached &&
	    watch_alive_count(&run->watch)) {
		run->stage = STAGE_SETTLING;
		run->settle_begin_ns = now_ns;
		recorder_settle(run->recorder);
		run->next_snapshot_ns = now_ns;
		return;
	}
	run->stage = STAGE_DONE;
}

static void refresh_targets(struct run *run, uint64_t now_ns)
{
	if (now_ns < run->next_refresh_ns)
		return;
	run->next_refresh_ns = now_ns + REFRESH_NS;
	watch_tick(&run->watch);
}

static int on_tick(struct run *run, struct err *err)
{
	uint64_t now_ns = recorder_elapsed_ns(run->recorder), expirations;

	if (read(run->timer_fd, &expirations, sizeof(expirations)) < 0)
		return 0;
	overhead_window(&run->overhead, run->ticks++ % STATS_PERIOD_TICKS == 0);
	recorder_collect_names(run->recorder);
	refresh_targets(run, now_ns);
	account_overhead(run, now_ns, false);
	if (run->stage < STAGE_DONE && now_ns >= stage_end_ns(run))
		next_stage(run, now_ns);
	if (run->stage < STAGE_DONE && !watch_alive_count(&run->watch)) {
		log_info("the target has ended");
		run->stage = STAGE_DONE;
	}
	if (run->stage < STAGE_DONE && now_ns >= run->next_snapshot_ns) {
		int status = take_snapshot(run, false, err);

		if (status)
			return status;
	}
	show_first_output(run, now_ns);
	show_status(run, now_ns);
	return 0;
}

static int on_signals(struct run *run, struct err *err)
{
	struct signalfd_siginfo info;
	int status = 0;

	while (!status && read(run->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGUSR1) {
			status = take_snapshot(run, true, err);
			continue;
		}
		run->stage = run->interrupts++ ? STAGE_ABANDONED : STAGE_DONE;
	}
	return status;
}

static int run_loop(struct run *run, struct err *err)
{
	int status = take_snapshot(run, false, err);

	while (!status && run->stage < STAGE_DONE) {
		struct epoll_event events[4];
		int count = epoll_wait(run->epoll_fd, events, ARRAY_LEN(events), -1);

		if (count < 0 && errno != EINTR)
			return err_set(err, errno, "cannot wait for events: %m");
		session_poll(&run->session, recorder_on_record, run->recorder);
		for (int i = 0; i < count && !status; i++) {
			if (events[i].data.fd == run->timer_fd)
				status = on_tick(run, err);
			else if (events[i].data.fd == run->signal_fd)
				status = on_signals(run, err);
		}
	}
	log_status("%s", "");
	return status;
}

/* ---- from begin to end --------------------------------------------------------------------------------------- */

static void announce(struct run *run)
{
	char duration[UNITS_TEXT_MAX], sample[UNITS_TEXT_MAX];
	const struct watched *first = run->watch.all.items[0];

	log_info("recording %s%s to %s: %zu probes, %s, %s", first->info.comm,
		 run->watch.all.count > 1 ? " and others" : "", run->path,
		 watch_probe_count(&run->watch),
		 run->opts.sample_bytes == 1 ?
			 "every block" :
			 units_format_bytes(run->opts.sample_bytes, sample),
		 run->opts.duration_ns ?
			 units_format_duration(run->opts.duration_ns / (double)NS_PER_S, duration) :
			 "until Ctrl-C");
}

static int start(struct run *run, struct err *err)
{
	pid_t pids[OPT_PIDS_MAX];
	size_t count;
	int status = find_targets(run, pids, OPT_PIDS_MAX, &count, err);

	if (!status)
		status = check_targets(run, pids, count, err);
	if (!status)
		status = open_session(run, err);
	if (!status)
		status = watch_targets(run, pids, count, err);
	if (!status)
		status = open_loop(run, err);
	if (!status)
		status = create_recording(run, err);
	if (status)
		return status;
	announce(run);
	if (run->opts.command)
		command_go(&run->command);
	return 0;
}

static int finish(struct run *run, struct err *err)
{
	int status;

	if (run->stage == STAGE_ABANDONED) {
		recording_close(run->recording, NULL);
		run->recording = NULL;
		unlink(run->path);
		return err_set(err, EINTR, "abandoned; '%s' was removed", run->path);
	}
	account_overhead(run, recorder_elapsed_ns(run->recorder), true);
	status = recorder_finish(run->recorder, err);
	watch_detach(&run->watch);
	if (status) {
		recording_close(run->recording, NULL);
		run->recording = NULL;
		return status;
	}
	status = recording_close(run->recording, err);
	run->recording = NULL;
	return status;
}

static void tear_down(struct run *run)
{
	if (run->recording)
		recording_close(run->recording, NULL);
	if (run->watch_is_open)
		watch_deinit(&run->watch);
	recorder_free(run->recorder);
	symbolizer_free(run->symbolizer);
	overhead_deinit(&run->overhead);
	if (run->session_is_open)
		session_close(&run->session);
	command_end(&run->command);
	close_fd(&run->epoll_fd);
	close_fd(&run->timer_fd);
	close_fd(&run->signal_fd);
}

static int run_recording(struct run *run, struct err *err)
{
	int status = start(run, err);

	if (status)
		return run->file_failed ? EXIT_BAD_FILE : verb_exit_status(status);
	status = run_loop(run, err);
	if (status) { /* what was written before stays readable */
		err_context(err, "recording ended early");
		return EXIT_BAD_FILE;
	}
	status = finish(run, err);
	if (run->stage == STAGE_ABANDONED)
		return EXIT_FAILED;
	return status ? EXIT_BAD_FILE : EXIT_OK;
}

/* What was found, shortly, and where to look next. */
static int show_result(const char *path, struct err *err)
{
	char verb[] = "report", top[] = "-n5";
	char *argv[] = { verb, top, (char *)path, NULL };
	int status = report_verb.run(3, argv, err);

	if (status)
		return status;
	fflush(stdout);
	log_info("wrote %s; all of it: seep report %s", path, path);
	log_info("flame graph: seep report --format folded %s | flamegraph.pl --colors=mem "
		 "--countname=bytes > growth.svg",
		 path);
	return EXIT_OK;
}

static int record_main(int argc, char **argv, struct err *err)
{
	struct run run = { .epoll_fd = -1, .timer_fd = -1, .signal_fd = -1 };
	int positional, status;
	bool help = false;

	run.command.pid = -1;
	status = opt_parse(record_options, argc, argv, &run.opts, &positional, &help, err);
	if (help) {
		printf("usage: seep record -p PID | -c 'CMD ARGS' | --comm NAME [OPTIONS]\n\n"
		       "Watch what live processes allocate and keep, and write it to a file.\n\n");
		opt_print(record_options);
		printf("\nCtrl-C stops and writes the results, a second one abandons them; SIGUSR1 "
		       "takes a snapshot.\nBlocks allocated before the recording are not seen; "
		       "their frees are counted as unmatched.\n");
		return EXIT_OK;
	}
	if (!status && positional)
		status = err_set(err, EINVAL, "unexpected argument '%s'", argv[1]);
	choose_interval(&run.opts);
	if (!status)
		status = check_options(&run.opts, err);
	if (status)
		return EXIT_USAGE;
	if (run.opts.quiet)
		log_set_level(LOG_QUIET);
	if (run.opts.verbose)
		log_set_level(LOG_VERBOSE);
	status = run_recording(&run, err);
	tear_down(&run);
	if (status == EXIT_OK && !run.opts.quiet)
		return show_result(run.path, err);
	return status;
}

const struct verb record_verb = {
	.name = "record",
	.summary = "watch processes and write what they allocate and keep to a file",
	.run = record_main,
};
