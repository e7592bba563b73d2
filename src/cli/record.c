/* SPDX-License-Identifier: GPL-2.0-only */
/* record.c - "seep record": attach to processes, write a recording, say what was found (live.h). */
#include <errno.h>
#include <stdio.h>

#include "base/err.h"
#include "base/log.h"
#include "cli/live.h"
#include "cli/opt.h"
#include "cli/verb.h"

struct record_opts {
	struct live_options live;
	bool quiet, verbose;
};

static const struct opt record_options[] = {
	{ 'p', "pid", OPT_PIDS, "PID", NULL, FILLS(struct record_opts, live.pids),
	  "watch this process; may be given several times" },
	{ 'c', "command", OPT_TEXT, "'CMD ARGS'", NULL, FILLS(struct record_opts, live.command),
	  "start this command and watch it from its first allocation" },
	{ 0, "comm", OPT_TEXT, "NAME", NULL, FILLS(struct record_opts, live.comm),
	  "watch every process of this name (as in /proc/PID/comm)" },
	{ 'd', "duration", OPT_DURATION, "TIME", NULL, FILLS(struct record_opts, live.duration_ns),
	  "stop after this time; otherwise at Ctrl-C or when the target ends" },
	{ 'i', "interval", OPT_DURATION, "TIME", NULL, FILLS(struct record_opts, live.interval_ns),
	  "time between two snapshots [10s, or a 20th of --duration if that is less]" },
	{ 'o', "output", OPT_TEXT, "FILE", NULL, FILLS(struct record_opts, live.output),
	  "recording to write; by default seep.COMM.PID.TIME.seep" },
	{ 'f', "force", OPT_FLAG, NULL, NULL, FILLS(struct record_opts, live.force),
	  "overwrite an existing recording" },
	{ 0, "sample", OPT_BYTES, "BYTES", "1", FILLS(struct record_opts, live.sample_bytes),
	  "mean bytes between two samples, for example 512k; 1 records every block" },
	{ 0, "settle", OPT_DURATION, "TIME", NULL, FILLS(struct record_opts, live.settle_ns),
	  "afterwards take no new allocations, but watch frees for this time" },
	{ 0, "max-overhead", OPT_PERCENT, "PCT", NULL, FILLS(struct record_opts, live.max_overhead),
	  "sample more coarsely, then detach, when the target slows down by more" },
	{ 0, "max-blocks", OPT_COUNT, "COUNT", "2M", FILLS(struct record_opts, live.max_blocks),
	  "live blocks tracked at a time, up to 64M; memory is taken as used" },
	{ 0, "children", OPT_FLAG, NULL, NULL, FILLS(struct record_opts, live.children),
	  "follow forked children (every process with the same libraries then pays for the probes)" },
	{ 0, "no-redirect", OPT_FLAG, NULL, NULL, FILLS(struct record_opts, live.no_redirect),
	  "never write into a process: where Python's allocator is inlined, only malloc is seen" },
	{ 'q', "quiet", OPT_FLAG, NULL, NULL, FILLS(struct record_opts, quiet),
	  "say nothing but errors" },
	{ 'v', "verbose", OPT_FLAG, NULL, NULL, FILLS(struct record_opts, verbose),
	  "say more about what is done" },
	{ 0 },
};

/* Of this verb alone, beside the recording itself. */
struct record {
	bool first_output_done;
};

/* Enough snapshots to tell a leak from a start-up, also in a short recording. */
static void choose_interval(struct live_options *options)
{
	if (options->interval_ns)
		return;
	options->interval_ns = 10 * NS_PER_S;
	if (options->duration_ns && options->duration_ns / 20 < options->interval_ns)
		options->interval_ns = options->duration_ns / 20;
	if (options->interval_ns < NS_PER_S / 2)
		options->interval_ns = NS_PER_S / 2;
}

static void show_status(const struct live *live, uint64_t now_ns)
{
	const struct recorder_status *status = recorder_status(live->recorder);
	char elapsed[UNITS_TEXT_MAX], left[UNITS_TEXT_MAX + 16] = "", heap[UNITS_TEXT_MAX];
	char lost[32] = "", slowdown[UNITS_TEXT_MAX];
	char rss[UNITS_TEXT_MAX], number[UNITS_TEXT_MAX];
	uint64_t end = live_stage_end_ns(live);

	if (end != UINT64_MAX)
		snprintf(left, sizeof(left), " (%s left)",
			 units_format_duration(end > now_ns ? (end - now_ns) / NS_PER_S : 0,
					       number));
	if (status->lost)
		snprintf(lost, sizeof(lost), " LOST %llu", (unsigned long long)status->lost);
	log_status("%s%s%s live %s RSS %s %.0fk ev/s slow %s%s %s",
		   live->stage == LIVE_SETTLING ? "settling " : "",
		   units_format_duration(now_ns / NS_PER_S, elapsed), left,
		   units_format_bytes(status->live_bytes + status->mmap_bytes, heap),
		   units_format_bytes(status->rss_bytes, rss), live->overhead.hits_per_s / 1000,
		   live_slowdown_text(live, slowdown), lost, status->top_site);
}

/* One line for those without a terminal: it works, and this grows most so far. */
static void show_first_output(struct record *record, const struct live *live, uint64_t now_ns)
{
	const struct recorder_status *status = recorder_status(live->recorder);
	char heap[UNITS_TEXT_MAX], elapsed[UNITS_TEXT_MAX];

	if (record->first_output_done || now_ns < LIVE_FIRST_OUTPUT_NS)
		return;
	record->first_output_done = true;
	log_info("after %s: %s live from %llu stack%s%s%s",
		 units_format_duration(now_ns / NS_PER_S, elapsed),
		 units_format_bytes(status->live_bytes + status->mmap_bytes, heap),
		 (unsigned long long)status->site_count, status->site_count == 1 ? "" : "s",
		 status->top_site[0] ? ", most: " : "",
		 status->top_site);
}

static int on_tick(void *context, struct live *live, uint64_t now_ns, struct err *err)
{
	show_first_output(context, live, now_ns);
	show_status(live, now_ns);
	return 0;
}

static void announce(const struct live *live)
{
	char duration[UNITS_TEXT_MAX], sample[UNITS_TEXT_MAX];
	const struct watched *first = live->watch.all.items[0];

	log_info("recording %s%s to %s: %zu probes, %s, %s", first->info.comm,
		 live->watch.all.count > 1 ? " and others" : "", live->path,
		 watch_probe_count(&live->watch),
		 live->options.sample_bytes == 1 ?
			 "every block" :
			 units_format_bytes(live->options.sample_bytes, sample),
		 live->options.duration_ns ?
			 units_format_duration(live->options.duration_ns / (double)NS_PER_S, duration) :
			 "until Ctrl-C");
}

static int record_live(const struct live_options *options, char path[LIVE_PATH_MAX],
		       struct err *err)
{
	struct record record = { 0 };
	const struct live_hooks hooks = { .context = &record, .tick = on_tick };
	struct live live;
	int status;

	live_init(&live, options, &hooks);
	status = live_start(&live, err);
	if (status == EXIT_OK) {
		announce(&live);
		live_go(&live);
		status = live_run(&live, err);
		log_status("%s", "");
	}
	if (status == EXIT_OK)
		status = live_finish(&live, err);
	snprintf(path, LIVE_PATH_MAX, "%s", live.path);
	live_deinit(&live);
	return status;
}

static int record_main(int argc, char **argv, struct err *err)
{
	struct record_opts opts = { 0 };
	char path[LIVE_PATH_MAX];
	int positional, status;
	bool help = false;

	status = opt_parse(record_options, argc, argv, &opts, &positional, &help, err);
	if (help) {
		printf("usage: seep record -p PID | -c 'CMD ARGS' | --comm NAME [OPTIONS]\n\n"
		       "Watch what live processes allocate and keep, and write it to a file.\n\n");
		opt_print(record_options);
		printf("\nCtrl-C stops and writes the results, a second one abandons them; SIGUSR1 "
		       "marks a moment\n(mark1, ...) for report --since and for diff.\nBlocks allocated before the recording are not seen; "
		       "their frees are counted as unmatched.\n");
		return EXIT_OK;
	}
	if (!status && positional)
		status = err_set(err, EINVAL, "unexpected argument '%s'", argv[1]);
	choose_interval(&opts.live);
	if (!status)
		status = live_options_check(&opts.live, err);
	if (status)
		return EXIT_USAGE;
	if (opts.quiet)
		log_set_level(LOG_QUIET);
	if (opts.verbose)
		log_set_level(LOG_VERBOSE);
	status = record_live(&opts.live, path, err);
	if (status == EXIT_OK && !opts.quiet)
		return live_show_result(path, err);
	return status;
}

const struct verb record_verb = {
	.name = "record",
	.summary = "watch processes and write what they allocate and keep to a file",
	.run = record_main,
};
