/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * top.c - "seep top": a recording as "seep record" makes it (live.h), looked at while it grows
 * (tui/tui.h). What is said meanwhile is shown in the last line, and printed at the end.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/vec.h"
#include "cli/live.h"
#include "cli/opt.h"
#include "cli/verb.h"
#include "tui/terminal.h"
#include "tui/tui.h"

#define INTERVAL_NS    (2 * NS_PER_S)
#define LENGTHEN_COUNT 300
#define LINES_KEPT     100

static const struct opt top_rows[] = {
    {'p', "pid", OPT_PIDS, "PID", NULL, FILLS(struct live_options, pids),
     "watch this process; may be given several times"},
    {'c', "command", OPT_TEXT, "'CMD ARGS'", NULL, FILLS(struct live_options, command),
     "start this command, away from the terminal, and watch it"},
    {0, "comm", OPT_TEXT, "NAME", NULL, FILLS(struct live_options, comm),
     "watch every process of this name (as in /proc/PID/comm)"},
    {'i', "interval", OPT_DURATION, "TIME", NULL, FILLS(struct live_options, interval_ns),
     "time between two snapshots [2s, doubled after each 300 of them]"},
    {'o', "output", OPT_TEXT, "FILE", NULL, FILLS(struct live_options, output),
     "recording to write; by default seep.COMM.PID.TIME.seep"},
    {'f', "force", OPT_FLAG, NULL, NULL, FILLS(struct live_options, force),
     "overwrite an existing recording"},
    {0, "sample", OPT_BYTES, "BYTES", "1", FILLS(struct live_options, sample_bytes),
     "mean bytes between two samples, for example 512k; 1 records every block"},
    {0, "max-overhead", OPT_PERCENT, "PCT", NULL, FILLS(struct live_options, max_overhead),
     "sample more coarsely, then detach, when the target slows down by more"},
    {0, "max-blocks", OPT_COUNT, "COUNT", "2M", FILLS(struct live_options, max_blocks),
     "live blocks tracked at a time, up to 64M; memory is taken as used"},
    {0, "children", OPT_FLAG, NULL, NULL, FILLS(struct live_options, children),
     "follow forked children (every process with the same libraries then pays for the probes)"},
    {0, "no-redirect", OPT_FLAG, NULL, NULL, FILLS(struct live_options, no_redirect),
     "never write into a process: where Python's allocator is inlined, only malloc is seen"},
    {0},
};

static void top_help(void)
{
	printf(
	    "usage: seep top -p PID | -c 'CMD ARGS' | --comm NAME [OPTIONS]\n\n"
	    "Watch live processes and rank what they keep, on the terminal. What is seen is also\n"
	    "recorded, for seep report.\n\n");
	opt_print(top_rows);
	printf(
	    "\nKeys: arrows, PgUp, PgDn, Home, End choose a row; s < > sort; c class; b rows by\n"
	    "site, function, line, file; Enter shows its stack, [ ] scroll it; p pauses; m marks\n"
	    "a moment; / filters; ? help; q or Ctrl-C quits, and the recording stays.\n");
}

/* ---- messages ------------------------------------------------------------------------------- */

/* Any thread may have something to say, and log.h knows of no context. */
static struct {
	pthread_mutex_t lock;
	struct tui *tui;
	struct {
		char **items;
		size_t count, capacity;
	} lines;
} said = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void on_line(const char *line)
{
	char **slot;

	pthread_mutex_lock(&said.lock);
	slot = said.lines.count < LINES_KEPT ? vec_add(&said.lines) : NULL;
	if (slot)
		*slot = strdup(line);
	if (said.tui)
		tui_message(said.tui, line);
	pthread_mutex_unlock(&said.lock);
}

static void lines_begin(struct tui *tui)
{
	said.tui = tui;
	log_set_sink(on_line);
}

/* The screen is gone, and with it what was said there. */
static void lines_end(void)
{
	log_set_sink(NULL);
	pthread_mutex_lock(&said.lock);
	said.tui = NULL;
	vec_for_each (line, &said.lines) {
		if (*line)
			fprintf(stderr, "%s\n", *line);
		free(*line);
	}
	free(said.lines.items);
	said.lines.items = NULL;
	said.lines.count = said.lines.capacity = 0;
	pthread_mutex_unlock(&said.lock);
}

/* ---- what the recording tells --------------------------------------------------------------- */

struct top {
	struct tui *tui; /* NULL before the recording runs, and after */
	struct live live;
	uint32_t mark_count; /* told so far */
};

static void figures_fill(const struct live *live, uint64_t now_ns, struct screen_figures *figures)
{
	const struct recorder_status *status = recorder_status(live->recorder);
	const struct watched *first = live->watch.all.items[0];
	size_t alive = watch_alive_count(&live->watch);
	char slowdown[UNITS_TEXT_MAX];

	*figures = (struct screen_figures){
	    .elapsed_ns = now_ns,
	    .rss_bytes = status->rss_bytes,
	    .lost = status->lost,
	    .sample_bytes = session_sample_bytes(&live->session),
	    .live_bytes = status->live_bytes + status->mmap_bytes,
	    .events_per_s = live->overhead.hits_per_s,
	    .ending = live->stage >= LIVE_DONE,
	};
	if (alive > 1)
		snprintf(figures->target, sizeof(figures->target), "%zu processes", alive);
	else
		snprintf(figures->target, sizeof(figures->target), "%.16s (pid %d)",
			 first->info.comm, (int)first->info.pid);
	snprintf(figures->slowdown, sizeof(figures->slowdown), "%s",
		 live_slowdown_text(live, slowdown));
}

/* A mark waits for a reader of the file, so it is told when it is there. */
static void marks_tell(struct top *top, const struct live *live, uint64_t now_ns)
{
	uint32_t count = recorder_status(live->recorder)->mark_count;
	char text[UNITS_TEXT_MAX];

	if (count == top->mark_count)
		return;
	top->mark_count = count;
	log_info("mark%u at %s; since then: seep report --since mark%u %s", count,
		 units_format_duration(now_ns / NS_PER_S, text), count, live->path);
}

static int on_tick(void *context, struct live *live, uint64_t now_ns, struct err *err)
{
	struct top *top = context;
	unsigned int commands = tui_commands(top->tui);
	struct screen_figures figures;
	int status = 0;

	if (commands & TUI_MARK)
		status = live_mark(live, err);
	if (commands & TUI_QUIT)
		live_stop(live);
	marks_tell(top, live, now_ns);
	figures_fill(live, now_ns, &figures);
	tui_show(top->tui, &figures);
	return status;
}

static bool on_writing(void *context, bool last)
{
	const struct top *top = context;

	return !top->tui || tui_file_take(top->tui, last);
}

static void on_written(void *context)
{
	const struct top *top = context;

	if (top->tui)
		tui_file_give(top->tui);
}

static void on_resized(void *context)
{
	const struct top *top = context;

	if (top->tui)
		tui_resized(top->tui);
}

/* ---- from begin to end ---------------------------------------------------------------------- */

static int top_watch(struct top *top, struct err *err)
{
	int status;

	if (tui_start(top->live.path, &top->tui, err))
		return EXIT_FAILED;
	lines_begin(top->tui);
	status = live_wake_on(&top->live, tui_command_fd(top->tui), err) ? EXIT_FAILED : EXIT_OK;
	if (status == EXIT_OK) {
		live_go(&top->live);
		status = live_run(&top->live, err);
	}
	if (status == EXIT_OK)
		status = live_finish(&top->live, err);
	pthread_mutex_lock(&said.lock);
	said.tui = NULL;
	pthread_mutex_unlock(&said.lock);
	tui_stop(top->tui);
	top->tui = NULL;
	lines_end();
	return status;
}

static int top_live(const struct live_options *options, struct err *err)
{
	struct top top = {0};
	const struct live_hooks hooks = {
	    .context = &top,
	    .tick = on_tick,
	    .writing = on_writing,
	    .written = on_written,
	    .resized = on_resized,
	};
	char path[LIVE_PATH_MAX];
	int status;

	live_init(&top.live, options, &hooks);
	status = live_start(&top.live, err);
	if (status == EXIT_OK)
		status = top_watch(&top, err);
	snprintf(path, sizeof(path), "%s", top.live.path);
	live_deinit(&top.live);
	return status == EXIT_OK ? live_show_result(path, err) : status;
}

static int top_main(int argc, char **argv, struct err *err)
{
	struct live_options options = {.own_terminal = true};
	int positional, status;
	bool help = false;

	status = opt_parse(top_rows, argc, argv, &options, &positional, &help, err);
	if (help) {
		top_help();
		return EXIT_OK;
	}
	if (!status && positional)
		status = err_set(err, EINVAL, "unexpected argument '%s'", argv[1]);
	if (!options.interval_ns) {
		options.interval_ns = INTERVAL_NS;
		options.lengthen_count = LENGTHEN_COUNT;
	}
	if (!status)
		status = live_options_check(&options, err);
	if (status)
		return EXIT_USAGE;
	if (terminal_check(err))
		return EXIT_FAILED;
	return top_live(&options, err);
}

const struct verb top_verb = {
    .name = "top",
    .summary = "the ranking live on the terminal, recorded as it goes",
    .run = top_main,
};
