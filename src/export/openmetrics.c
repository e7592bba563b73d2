/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * openmetrics.c - see openmetrics.h
 *
 * A name that ends in _bytes has that unit; the lines TYPE, UNIT and HELP come in this order and
 * before the samples of their metric, and no two samples have the same labels. A pid may be there
 * several times, as a process that ran another program: what has the same pid and name is summed.
 */
#include "export/openmetrics.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/table.h"
#include "base/units.h"
#include "base/vec.h"
#include "export/texts.h"
#include "export/utf8.h"
#include "profile/profile.h"
#include "profile/rank.h"
#include "profile/verdict.h"
#include "profile/view.h"

/* One process as far as labels can tell. */
struct series {
	const struct profile_process *process;
	struct site_values classes[CLASS_COUNT];
	uint64_t start_rss, end_rss;
};

struct metrics {
	FILE *out;
	const struct export_input *input;
	struct texts texts;
	struct table *names; /* struct series_key */
	struct {
		struct series *items;
		size_t count, capacity;
	} series;
	size_t verdicts[VERDICT_COUNT];
};

struct series_key {
	uint32_t pid;
	uint32_t comm; /* number of a text: as it is shown */
};

/* ---- sums --------------------------------------------------------------------------------------
 */

/* The series of a process; NULL when memory is out. */
static struct series *series_of(struct metrics *metrics, const struct profile_process *process)
{
	ssize_t comm = texts_add(&metrics->texts, process->comm), number;
	struct series_key key = {process->pid, comm};
	bool added;

	number = comm < 0 ? -1 : table_add(metrics->names, &key, &added);
	if (number < 0 || (added && !vec_add(&metrics->series)))
		return NULL;
	metrics->series.items[number].process = process;
	return &metrics->series.items[number];
}

static int rss_read(struct metrics *metrics, const struct memory_growth *growth)
{
	const struct profile *whole = metrics->input->whole;

	for (uint32_t i = 0; i < whole->process_count; i++) {
		struct series *series;

		if (!process_counts(&whole->processes[i], &growth[i]))
			continue;
		series = series_of(metrics, &whole->processes[i]);
		if (!series)
			return -ENOMEM;
		if (!series->start_rss)
			series->start_rss = growth[i].start_rss;
		series->end_rss = growth[i].end_rss;
	}
	return 0;
}

static int sites_read(struct metrics *metrics)
{
	const struct ranking *ranking = metrics->input->ranking;

	for (size_t i = 0; i < ranking->count; i++) {
		const struct ranked_site *ranked = &ranking->items[i];
		struct series *series =
		    series_of(metrics, &metrics->input->profile->processes[ranked->site->process]);

		if (!series)
			return -ENOMEM;
		site_values_add(&series->classes[ranked->site->alloc_class], ranked);
		metrics->verdicts[ranked->verdict]++;
	}
	return 0;
}

/* ---- lines -------------------------------------------------------------------------------------
 */

/* 'unit' is what the name ends in, NULL: none. */
static void family_write(FILE *out, const char *name, const char *unit, const char *help)
{
	fprintf(out, "# TYPE seep_%s gauge\n", name);
	if (unit)
		fprintf(out, "# UNIT seep_%s %s\n", name, unit);
	fprintf(out, "# HELP seep_%s %s\n", name, help);
}

/* Backslash, quote and line break are escaped; a clean text has no line breaks. */
static void label_write(FILE *out, const char *name, const char *value)
{
	fprintf(out, "%s=", name);
	utf8_print_json(out, value);
}

static void process_write(FILE *out, const char *metric, const struct profile_process *process)
{
	fprintf(out, "seep_%s{pid=\"%d\",", metric, (int)process->pid);
	label_write(out, "comm", process->comm);
}

/* A metric of no or one label. */
static void single_write(FILE *out, const char *metric, const char *label, const char *value,
			 double number)
{
	fprintf(out, "seep_%s", metric);
	if (label) {
		fputc('{', out);
		label_write(out, label, value);
		fputc('}', out);
	}
	fprintf(out, " %.15g\n", isfinite(number) ? number : 0);
}

static void alone_write(FILE *out, const char *name, const char *unit, const char *help,
			double number)
{
	family_write(out, name, unit, help);
	single_write(out, name, NULL, NULL, number);
}

/* ---- families ----------------------------------------------------------------------------------
 */

static const struct value_family {
	const char *name, *unit, *help;
	size_t offset; /* in struct site_values */
} value_families[] = {
#define VALUE(member) offsetof(struct site_values, member)
    {"live_bytes", "bytes", "Requested bytes that were live at the end.", VALUE(live_bytes)},
    {"live_blocks", NULL, "Blocks that were live at the end.", VALUE(live_blocks)},
    {"growth_bytes", "bytes", "Growth of the live bytes while recording.", VALUE(growth_bytes)},
    {"growth_blocks", NULL, "Growth of the live blocks while recording.", VALUE(growth_blocks)},
    {"allocated_bytes", "bytes", "Bytes allocated while recording.", VALUE(alloc_bytes)},
    {"allocated_blocks", NULL, "Blocks allocated while recording.", VALUE(alloc_blocks)},
#undef VALUE
};

static void values_write(const struct metrics *metrics, const struct value_family *family)
{
	family_write(metrics->out, family->name, family->unit, family->help);
	for (size_t i = 0; i < metrics->series.count; i++) {
		const struct series *series = &metrics->series.items[i];

		for (uint32_t class = 0; class < CLASS_COUNT; class ++) {
			const char *values = (const char *)&series->classes[class];

			process_write(metrics->out, family->name, series->process);
			fprintf(metrics->out, ",class=\"%s\"} %lld\n", alloc_class_name(class),
				*(const long long *)(values + family->offset));
		}
	}
}

static void rss_write(const struct metrics *metrics, const char *name, const char *help, bool end)
{
	family_write(metrics->out, name, "bytes", help);
	for (size_t i = 0; i < metrics->series.count; i++) {
		const struct series *series = &metrics->series.items[i];
		uint64_t bytes = end ? series->end_rss : series->start_rss;

		if (!bytes)
			continue; /* was not read */
		process_write(metrics->out, name, series->process);
		fprintf(metrics->out, "} %llu\n", (unsigned long long)bytes);
	}
}

/* Numbers by a text, which is a label as it is shown. */
struct counts {
	struct texts texts;
	uint64_t *items; /* by the number of the text */
	size_t count, capacity;
};

static int counts_add(struct counts *counts, const char *label, uint64_t count)
{
	ssize_t number = texts_add(&counts->texts, label);

	while (number >= 0 && counts->count <= (size_t)number)
		if (!vec_add(counts))
			return -ENOMEM;
	if (number < 0)
		return -ENOMEM;
	counts->items[number] += count;
	return 0;
}

static void counts_write(FILE *out, const struct counts *counts, const char *metric,
			 const char *label)
{
	for (size_t i = 0; i < counts->count; i++)
		if (counts->items[i])
			single_write(out, metric, label, counts->texts.items[i], counts->items[i]);
}

static void counts_deinit(struct counts *counts)
{
	texts_deinit(&counts->texts);
	free(counts->items);
}

static int losses_write(const struct metrics *metrics)
{
	const struct profile *whole = metrics->input->whole;
	_cleanup_(counts_deinit) struct counts counts = {0};
	int status = texts_init(&counts.texts);

	for (uint32_t i = 0; i < whole->loss_count && !status; i++)
		status = counts_add(&counts, whole->losses[i].key, whole->losses[i].count);
	family_write(metrics->out, "losses", NULL,
		     "What is missing from the figures, by reason; none without a loss.");
	counts_write(metrics->out, &counts, "losses", "reason");
	return status;
}

static int events_write(const struct metrics *metrics)
{
	const struct profile *whole = metrics->input->whole;
	_cleanup_(counts_deinit) struct counts counts = {0};
	int status = texts_init(&counts.texts);

	for (uint32_t i = 0; i < whole->event_count && !status; i++)
		status = counts_add(&counts, whole->events[i].kind, 1);
	family_write(metrics->out, "events", NULL,
		     "What happened while recording, by kind: exec, exit, sampling, ...");
	counts_write(metrics->out, &counts, "events", "kind");
	return status;
}

static void verdicts_write(const struct metrics *metrics)
{
	family_write(metrics->out, "sites", NULL, "Allocation sites, by verdict.");
	for (uint32_t i = 0; i < VERDICT_COUNT; i++)
		single_write(metrics->out, "sites", "verdict", site_verdict_name(i),
			     metrics->verdicts[i]);
}

/* What a filter or a suppression has taken out of all sums above. */
static void rest_write(const struct metrics *metrics)
{
	const struct view_rest none = {0};
	const struct view_rest *filtered = metrics->input->rest ? metrics->input->rest : &none;
	const struct view_rest *suppressed =
	    metrics->input->suppressed ? metrics->input->suppressed : &none;

	family_write(metrics->out, "left_out_live_bytes", "bytes",
		     "Live bytes of sites that are in no other figure.");
	single_write(metrics->out, "left_out_live_bytes", "by", "filter",
		     round(filtered->live_bytes));
	single_write(metrics->out, "left_out_live_bytes", "by", "suppression",
		     round(suppressed->live_bytes));
}

static void recording_write(FILE *out, const struct profile *whole)
{
	alone_write(out, "recording_start_timestamp_seconds", "seconds",
		    "When the recording began, since the epoch.",
		    whole->start_unix_ns / (double)NS_PER_S);
	alone_write(out, "recording_duration_seconds", "seconds", "How long it took.",
		    whole->duration_ns / (double)NS_PER_S);
	alone_write(out, "recording_complete", NULL, "0: its writer did not close it.",
		    whole->complete);
	alone_write(out, "sampling_interval_bytes", "bytes",
		    "Mean bytes between two samples; 1: every block was recorded.",
		    whole->sample_bytes);
	alone_write(out, "unmatched_frees", NULL,
		    "Frees of blocks that are older than the recording, or were not sampled.",
		    whole->unmatched_frees);
	alone_write(out, "probe_hits", NULL, "Calls of probes.", whole->hits);
	alone_write(out, "probe_cpu_ratio", "ratio", "Of one core, spent in probes.",
		    whole->cpu_percent / 100);
	alone_write(out, "target_slowdown_ratio", "ratio",
		    "Time in probes by the CPU time that the targets used for themselves; 0: not "
		    "measured.",
		    whole->slowdown_percent / 100);
	family_write(out, "build_info", NULL, "The seep that recorded; always 1.");
	single_write(out, "build_info", "version", whole->version, 1);
}

static int metrics_read(struct metrics *metrics)
{
	_cleanup_free_ struct memory_growth *growth = memory_growth_read(metrics->input->whole);

	metrics->names = table_new(sizeof(struct series_key));
	if (texts_init(&metrics->texts) || !growth || !metrics->names || rss_read(metrics, growth))
		return -ENOMEM;
	return sites_read(metrics);
}

static void metrics_deinit(struct metrics *metrics)
{
	texts_deinit(&metrics->texts);
	table_free(metrics->names);
	free(metrics->series.items);
}

int export_openmetrics(FILE *out, const struct export_input *input)
{
	_cleanup_(metrics_deinit) struct metrics metrics = {.out = out, .input = input};

	if (metrics_read(&metrics))
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_LEN(value_families); i++)
		values_write(&metrics, &value_families[i]);
	rss_write(&metrics, "resident_bytes", "Resident memory at the end.", true);
	rss_write(&metrics, "resident_start_bytes", "Resident memory when the recording began.",
		  false);
	verdicts_write(&metrics);
	rest_write(&metrics);
	if (losses_write(&metrics) || events_write(&metrics))
		return -ENOMEM;
	recording_write(out, input->whole);
	fputs("# EOF\n", out);
	return 0;
}
