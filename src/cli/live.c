/* SPDX-License-Identifier: GPL-2.0-only */
/* live.c - see live.h */
#include "cli/live.h"

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
#include "cli/verb.h"
#include "profile/symbolize.h"
#include "store/recording.h"
#include "target/process.h"

#define TICK_NS		   (100 * NS_PER_MS)
#define REFRESH_NS	   NS_PER_S /* between looks at /proc/PID/maps */
#define WINDOW_TICKS	   20	    /* in every 20th tick our programs are timed */
#define FIRST_SHIFT	   16	    /* from exact, sampling begins at 64 KiB */
#define SHIFT_STEP	   2
#define SAMPLE_BYTES_MAX   (1ULL << 27)	    /* beyond that nothing is left to save (sample.bpf.h) */
#define FEW_CPU_NS	   (20 * NS_PER_MS) /* less CPU time than this says nothing about slowdown */

/* ---- options -------------------------------------------------------------------------------- */

int live_options_check(const struct live_options *options, struct err *err)
{
	int targets = (options->pids.count > 0) + (options->command != NULL) +
		      (options->comm != NULL);

	if (targets != 1)
		return err_set(err, EINVAL,
			       "say what to watch: one of -p PID, -c 'CMD ARGS', --comm NAME");
	if (options->interval_ns < 50 * NS_PER_MS)
		return err_set(err, EINVAL, "--interval: at least 50ms");
	if (!options->sample_bytes || (options->sample_bytes > 1 && options->sample_bytes < 256) ||
	    options->sample_bytes > 64 << 20)
		return err_set(err, EINVAL, "--sample: 1 for every block, or 256 to 64M");
	if (!options->max_blocks || options->max_blocks > 64 << 20)
		return err_set(err, EINVAL, "--max-blocks: 1 to 64M");
	return 0;
}

/* ---- building up ---------------------------------------------------------------------------- */

/* COMM may hold anything but NUL; a file name should not. */
static void default_path(struct live *live, const struct process_info *info)
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
	snprintf(live->path, sizeof(live->path), "seep.%s.%d.%s.seep", comm, info->pid, when);
}

static int find_targets(struct live *live, pid_t *pids, size_t max, size_t *count, struct err *err)
{
	const struct live_options *opts = &live->options;
	int found;

	*count = 0;
	if (opts->command) {
		int status;

		live->command.no_terminal = opts->own_terminal;
		status = command_start(&live->command, opts->command, err);

		if (status)
			return status;
		pids[(*count)++] = live->command.pid;
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
static int check_targets(struct live *live, const pid_t *pids, size_t count, struct err *err)
{
	struct process_info info;

	for (size_t i = 0; i < count; i++) {
		int status = process_read(pids[i], &info, err);

		if (!status && !live->options.command)
			status = process_check(&info, err);
		if (status)
			return status;
		if (i == 0 && live->options.command)
			snprintf(info.comm, sizeof(info.comm), "%s", live->command.name);
		if (i == 0 && !live->options.output)
			default_path(live, &info);
	}
	if (live->options.output)
		snprintf(live->path, sizeof(live->path), "%s", live->options.output);
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

static int open_session(struct live *live, struct err *err)
{
	struct session_options options = {
		.sample_bytes = live->options.sample_bytes,
		.max_blocks = live->options.max_blocks,
		.links_filtered = !live->options.children,
	};
	struct watch_options watch_options = {
		.follow_children = live->options.children,
		.no_redirect = live->options.no_redirect,
		.purpose = ATTACH_RECORD,
		.on_binary = recorder_on_binary,
		.on_problem = on_problem,
		.on_python = on_python,
	};
	struct symbolizer_options names = { .want_lines = true };
	int status = session_open(&live->session, &options, err);

	if (status)
		return status;
	live->session_is_open = true;
	python_redirect_recover();
	status = overhead_init(&live->overhead, &live->session, err);
	if (status)
		return status;
	live->symbolizer = symbolizer_new(&names, err);
	if (!live->symbolizer)
		return -ENOMEM;
	live->recorder = recorder_new(
		&(struct recorder_parts){
			.session = &live->session,
			.watch = &live->watch,
			.overhead = &live->overhead,
			.symbolizer = live->symbolizer,
			.interval_ns = live->options.interval_ns,
		},
		err);
	if (!live->recorder)
		return -ENOMEM;
	watch_options.context = live->recorder;
	status = watch_init(&live->watch, &live->session, &watch_options, err);
	live->watch_is_open = status == 0;
	return status;
}

static int create_recording(struct live *live, struct err *err)
{
	struct recording_meta meta = {
		.version = SEEP_VERSION,
		.kernel = live->session.features.kernel,
		.interval_ns = live->options.interval_ns,
		.settle_ns = live->options.settle_ns,
		.sample_bytes = live->options.sample_bytes,
	};
	struct timespec now;
	char host[256] = "";
	int status;

	gethostname(host, sizeof(host) - 1);
	clock_gettime(CLOCK_REALTIME, &now);
	meta.host = host;
	meta.start_unix_ns = now.tv_sec * NS_PER_S + now.tv_nsec;
	status = recording_create(live->path, live->options.force, &meta, &live->recording, err);
	live->file_failed = status != 0;
	if (!status)
		recorder_set_recording(live->recorder, live->recording);
	return status;
}

/* Every target must be watchable; a process that allocates in no way we know is told about. */
static int watch_targets(struct live *live, const pid_t *pids, size_t count, struct err *err)
{
	for (size_t i = 0; i < count; i++) {
		int status = watch_add(&live->watch, pids[i], live->options.command != NULL, err);
		struct watched *watched;

		if (status)
			return status;
		watched = live->watch.all.items[live->watch.all.count - 1];
		if (live->options.command) /* still our own image, but soon it is that */
			memcpy(watched->info.comm, live->command.name, sizeof(watched->info.comm));
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

static int add_to_epoll(const struct live *live, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	return epoll_ctl(live->epoll_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

static int open_loop(struct live *live, struct err *err)
{
	struct itimerspec tick = { { 0, TICK_NS }, { 0, TICK_NS } };
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGUSR1);
	if (live->hooks.resized)
		sigaddset(&signals, SIGWINCH);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	live->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	live->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	live->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (live->epoll_fd < 0 || live->timer_fd < 0 || live->signal_fd < 0 ||
	    timerfd_settime(live->timer_fd, 0, &tick, NULL) || add_to_epoll(live, live->timer_fd) ||
	    add_to_epoll(live, live->signal_fd) ||
	    add_to_epoll(live, session_ring_fd(&live->session)))
		return err_set(err, errno, "cannot wait for events: %m");
	return 0;
}

/* ---- overhead ------------------------------------------------------------------------------- */

/* "42 %", or "over 1000 %" where more cannot be told. */
const char *live_slowdown_text(const struct live *live, char text[UNITS_TEXT_MAX])
{
	bool over = live->overhead.slowdown_percent >= OVERHEAD_MOST_PERCENT;

	snprintf(text, UNITS_TEXT_MAX, "%s%.0f %%", over ? "over " : "",
		 live->overhead.slowdown_percent);
	return text;
}

static void raise_sampling(struct live *live)
{
	char text[UNITS_TEXT_MAX], slowdown[UNITS_TEXT_MAX];
	uint64_t interval;

	live_slowdown_text(live, slowdown);
	live->sample_shift = live->options.sample_bytes == 1 && !live->sample_shift ?
				    FIRST_SHIFT :
				    live->sample_shift + SHIFT_STEP;
	session_set_sample_shift(&live->session, live->sample_shift);
	interval = live->options.sample_bytes << live->sample_shift;
	recorder_event(live->recorder, "sampling",
		       "slowdown %s was above --max-overhead %g %%: from here on one sample every "
		       "%s",
		       slowdown, live->options.max_overhead, units_format_bytes(interval, text));
	log_info("slowdown %s: sampling every %s now", slowdown, text);
}

static void detach(struct live *live)
{
	char slowdown[UNITS_TEXT_MAX];

	live_slowdown_text(live, slowdown);
	session_set_settling(&live->session, true); /* detaching takes time */
	watch_detach(&live->watch);
	live->detached = true;
	recorder_event(live->recorder, "detach",
		       "slowdown %s was above --max-overhead %g %% even when sampling: detached, "
		       "the recording ends here",
		       slowdown, live->options.max_overhead);
	log_warn("slowdown %s even when sampling: detached, as --max-overhead %g says", slowdown,
		 live->options.max_overhead);
	live->stage = LIVE_DONE;
}

static void limit_overhead(struct live *live)
{
	uint64_t interval = live->options.sample_bytes << live->sample_shift;

	if (!live->options.max_overhead || live->overhead.slowdown_percent <= live->options.max_overhead)
		return;
	if (interval << SHIFT_STEP <= SAMPLE_BYTES_MAX)
		raise_sampling(live);
	else
		detach(live);
}

/* Once a second, if the target did anything at all meanwhile; and at the end. */
static void account_overhead(struct live *live, uint64_t now_ns, bool last)
{
	uint64_t cpu_ns = recorder_cpu_ns(live->recorder), elapsed = now_ns - live->last_overhead_ns;
	bool idle = cpu_ns >= live->last_cpu_ns && cpu_ns - live->last_cpu_ns < FEW_CPU_NS;
	struct counters counters;

	if (!last && (elapsed < NS_PER_S || (idle && elapsed < 5 * NS_PER_S)))
		return;
	if (session_read_counters(&live->session, &counters))
		return;
	overhead_update(&live->overhead, &counters, cpu_ns, elapsed);
	live->last_overhead_ns = now_ns;
	live->last_cpu_ns = cpu_ns;
	if (live->stage == LIVE_RUNNING)
		limit_overhead(live);
}

/* ---- the loop ------------------------------------------------------------------------------- */

uint64_t live_stage_end_ns(const struct live *live)
{
	if (live->stage == LIVE_SETTLING)
		return live->settle_begin_ns + live->options.settle_ns;
	return live->options.duration_ns ? live->options.duration_ns : UINT64_MAX;
}

/* A recording that is watched for days need not have a snapshot every two seconds of it. */
static void lengthen_interval(struct live *live)
{
	uint32_t count = recorder_status(live->recorder)->snapshot_count;

	if (!live->options.lengthen_count || count < live->lengthen_at)
		return;
	if (live->lengthen_at)
		live->options.interval_ns *= 2;
	live->lengthen_at = count + live->options.lengthen_count;
}

static void plan_snapshot(struct live *live)
{
	uint64_t now_ns = recorder_elapsed_ns(live->recorder), step;

	lengthen_interval(live);
	step = live->options.interval_ns;
	/* the first ones come early, so that there is something to see within seconds */
	if (now_ns < LIVE_FIRST_OUTPUT_NS + NS_PER_S && step > NS_PER_S)
		step = NS_PER_S;
	live->next_snapshot_ns = now_ns + step - now_ns % step;
}

/* What is due: a mark, else the next of the regular snapshots. While the file is being read,
 * nothing is lost: the next tick tries again. */
static int write_snapshot(struct live *live, struct err *err)
{
	bool marked = live->mark_wanted;
	int status;

	if (live->hooks.writing && !live->hooks.writing(live->hooks.context, false))
		return 0;
	live->mark_wanted = false;
	if (!marked)
		plan_snapshot(live);
	status = recorder_snapshot(live->recorder, marked, err);
	if (live->hooks.written)
		live->hooks.written(live->hooks.context);
	return status;
}

void live_stop(struct live *live)
{
	if (live->stage < LIVE_DONE)
		live->stage = LIVE_DONE;
}

int live_mark(struct live *live, struct err *err)
{
	live->mark_wanted = true;
	return write_snapshot(live, err);
}

static void next_stage(struct live *live, uint64_t now_ns)
{
	if (live->stage == LIVE_RUNNING && live->options.settle_ns && !live->detached &&
	    watch_alive_count(&live->watch)) {
		live->stage = LIVE_SETTLING;
		live->settle_begin_ns = now_ns;
		recorder_settle(live->recorder);
		live->next_snapshot_ns = now_ns;
		return;
	}
	live->stage = LIVE_DONE;
}

static void refresh_targets(struct live *live, uint64_t now_ns)
{
	if (now_ns < live->next_refresh_ns)
		return;
	live->next_refresh_ns = now_ns + REFRESH_NS;
	watch_tick(&live->watch);
}

static int on_tick(struct live *live, struct err *err)
{
	uint64_t now_ns = recorder_elapsed_ns(live->recorder), expirations;

	if (read(live->timer_fd, &expirations, sizeof(expirations)) < 0)
		return 0;
	overhead_window(&live->overhead, live->ticks++ % WINDOW_TICKS == 0);
	recorder_collect_names(live->recorder);
	refresh_targets(live, now_ns);
	account_overhead(live, now_ns, false);
	if (live->stage < LIVE_DONE && now_ns >= live_stage_end_ns(live))
		next_stage(live, now_ns);
	if (live->stage < LIVE_DONE && !watch_alive_count(&live->watch)) {
		log_info("the target has ended");
		live->stage = LIVE_DONE;
	}
	if (live->stage < LIVE_DONE &&
	    (live->mark_wanted || now_ns >= live->next_snapshot_ns)) {
		int status = write_snapshot(live, err);

		if (status)
			return status;
	}
	return live->hooks.tick ? live->hooks.tick(live->hooks.context, live, now_ns, err) : 0;
}

static int on_signals(struct live *live, struct err *err)
{
	struct signalfd_siginfo info;
	int status = 0;

	while (!status && read(live->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGUSR1) {
			status = live_mark(live, err);
			continue;
		}
		if (info.ssi_signo == SIGWINCH) {
			live->hooks.resized(live->hooks.context);
			continue;
		}
		live->stage = live->interrupts++ ? LIVE_ABANDONED : LIVE_DONE;
	}
	return status;
}

static int loop_run(struct live *live, struct err *err)
{
	int status = write_snapshot(live, err);

	while (!status && live->stage < LIVE_DONE) {
		struct epoll_event events[4];
		int count = epoll_wait(live->epoll_fd, events, ARRAY_LEN(events), -1);

		if (count < 0 && errno != EINTR)
			return err_set(err, errno, "cannot wait for events: %m");
		session_poll(&live->session, recorder_on_record, live->recorder);
		for (int i = 0; i < count && !status; i++) {
			if (events[i].data.fd == live->timer_fd)
				status = on_tick(live, err);
			else if (events[i].data.fd == live->signal_fd)
				status = on_signals(live, err);
			else if (events[i].data.fd == live->wake_fd)
				status = live->hooks.tick(live->hooks.context, live,
							  recorder_elapsed_ns(live->recorder), err);
		}
	}
	return status;
}

/* ---- from begin to end ---------------------------------------------------------------------- */

static int start_all(struct live *live, struct err *err)
{
	pid_t pids[OPT_PIDS_MAX];
	size_t count;
	int status = find_targets(live, pids, OPT_PIDS_MAX, &count, err);

	if (!status)
		status = check_targets(live, pids, count, err);
	if (!status)
		status = open_session(live, err);
	if (!status)
		status = watch_targets(live, pids, count, err);
	if (!status)
		status = open_loop(live, err);
	if (!status)
		status = create_recording(live, err);
	return status;
}

int live_start(struct live *live, struct err *err)
{
	int status = start_all(live, err);

	if (!status)
		return EXIT_OK;
	return live->file_failed ? EXIT_BAD_FILE : verb_exit_status(status);
}

int live_wake_on(struct live *live, int fd, struct err *err)
{
	if (add_to_epoll(live, fd))
		return err_set(err, errno, "cannot wait for events: %m");
	live->wake_fd = fd;
	return 0;
}

void live_go(struct live *live)
{
	if (live->options.command)
		command_go(&live->command);
}

static int finish_all(struct live *live, struct err *err)
{
	int status;

	if (live->stage == LIVE_ABANDONED) {
		recording_close(live->recording, NULL);
		live->recording = NULL;
		unlink(live->path);
		return err_set(err, EINTR, "abandoned; '%s' was removed", live->path);
	}
	account_overhead(live, recorder_elapsed_ns(live->recorder), true);
	if (live->hooks.writing)
		live->hooks.writing(live->hooks.context, true);
	status = recorder_finish(live->recorder, err);
	watch_detach(&live->watch);
	if (status) {
		recording_close(live->recording, NULL);
		live->recording = NULL;
		return status;
	}
	status = recording_close(live->recording, err);
	live->recording = NULL;
	return status;
}

void live_init(struct live *live, const struct live_options *options,
	       const struct live_hooks *hooks)
{
	*live = (struct live){
		.options = *options,
		.hooks = *hooks,
		.epoll_fd = -1,
		.timer_fd = -1,
		.signal_fd = -1,
		.wake_fd = -1,
		.command.pid = -1,
	};
}

void live_deinit(struct live *live)
{
	if (live->recording)
		recording_close(live->recording, NULL);
	if (live->watch_is_open)
		watch_deinit(&live->watch);
	recorder_free(live->recorder);
	symbolizer_free(live->symbolizer);
	if (live->session_is_open)
		session_close(&live->session);
	command_end(&live->command);
	close_fd(&live->epoll_fd);
	close_fd(&live->timer_fd);
	close_fd(&live->signal_fd);
}

int live_run(struct live *live, struct err *err)
{
	if (!loop_run(live, err))
		return EXIT_OK;
	err_context(err, "recording ended early"); /* what was written before stays readable */
	return EXIT_BAD_FILE;
}

int live_finish(struct live *live, struct err *err)
{
	int status = finish_all(live, err);

	if (live->stage == LIVE_ABANDONED)
		return EXIT_FAILED;
	return status ? EXIT_BAD_FILE : EXIT_OK;
}

int live_show_result(const char *path, struct err *err)
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
