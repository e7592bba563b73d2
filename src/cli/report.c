/* SPDX-License-Identifier: GPL-2.0-only */
/* report.c - seep report: rank what a recording holds, as text or in a viewer's format. */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "cli/opt.h"
#include "cli/output.h"
#include "cli/verb.h"
#include "export/export.h"
#include "export/text.h"
#include "export/tracemalloc.h"
#include "profile/filter.h"
#include "profile/group.h"
#include "profile/profile.h"
#include "profile/rank.h"
#include "profile/verdict.h"
#include "profile/view.h"
#include "store/recording.h"

#define TEXT_SITES  20
#define TEXT_STACKS 5

enum report_sort { SORT_AUTO, SORT_GROWTH, SORT_LIVE, SORT_ALLOC };

struct report_options {
	uint32_t format;       /* enum output_format */
	uint32_t by;	       /* enum group_by */
	uint32_t sort;	       /* enum report_sort */
	uint32_t value;	       /* enum folded_value */
	const char *top;       /* a count; NULL: as many as fit the format */
	const char *traceback; /* a count; NULL: not given */
	uint64_t min_growth;
	bool python, native, merge_processes, all_frames;
	struct opt_texts include, exclude;
	const char *output;
};

/* What the options come to. */
struct report {
	const struct report_options *options;
	enum output_format format;
	size_t limit;
	struct group_options group;
	enum view_frames frames;
	enum text_lines lines;
	struct site_filter filter;
	struct view_rest rest;
};

#define FIELD(member) FILLS(struct report_options, member)
static const struct opt report_rows[] = {
    {0, "format", OPT_CHOICE, OUTPUT_FORMATS, "auto", FIELD(format),
     "what to write; auto: by the ending of --output, else text"},
    {0, "by", OPT_CHOICE, "site|function|line|file|module|traceback|process", "site", FIELD(by),
     "merge sites; each process and class for itself"},
    {0, "traceback", OPT_TEXT, "N", NULL, FIELD(traceback),
     "--by traceback of the N most recent frames [all]"},
    {0, "python", OPT_FLAG, NULL, NULL, FIELD(python), "show Python frames only"},
    {0, "native", OPT_FLAG, NULL, NULL, FIELD(native),
     "show all frames, the interpreter's own as well"},
    {0, "merge-processes", OPT_FLAG, NULL, NULL, FIELD(merge_processes),
     "sites that are the same in several processes are one"},
    {0, "include", OPT_TEXTS, "PATTERN", NULL, FIELD(include),
     "only sites of files like this; may be repeated; also PATTERN:LINE"},
    {0, "exclude", OPT_TEXTS, "PATTERN", NULL, FIELD(exclude), "no sites of files like this"},
    {0, "all-frames", OPT_FLAG, NULL, NULL, FIELD(all_frames),
     "--include and --exclude look at any frame of the stack"},
    {0, "sort", OPT_CHOICE, "auto|growth|live|alloc", "auto", FIELD(sort),
     "order; auto: what goes on growing, in tracemalloc's lines its own"},
    {'n', "top", OPT_TEXT, "N", NULL, FIELD(top), "sites shown [text: 20; else all]"},
    {0, "min-growth", OPT_BYTES, "SIZE", "0", FIELD(min_growth), "leave out sites that grew less"},
    {0, "value", OPT_CHOICE, "growth|live|alloc|blocks|diff", "growth", FIELD(value),
     "what folded stacks count; diff: live bytes before and after"},
    {'o', "output", OPT_TEXT, "FILE", "-", FIELD(output),
     "write to FILE, replaced when complete; - is standard output"},
    {0},
};

static void report_help(void)
{
	printf("usage: seep report [OPTIONS] FILE\n\n"
	       "Rank the sites of a recording. Needs no privileges and no process.\n\n");
	opt_print(report_rows);
	printf(
	    "\nFor a flame graph of the growth:\n"
	    "  seep report --format folded FILE | flamegraph.pl --colors=mem --countname=bytes\n");
}

/* ---- what is written ----------------------------------------------------------------------------
 */

static bool color_wanted(FILE *file)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(fileno(file)) && !(no_color && no_color[0]) &&
	       !(term && !strcmp(term, "dumb"));
}

static int verdict_write_text(FILE *file, const struct report *report,
			      const struct export_input *input, const struct profile *stacks,
			      struct err *err)
{
	const struct rank_options all = {.order = RANK_GROWTH};
	const struct text_options options = {
	    .lines = report->lines,
	    .color = color_wanted(file),
	    .allocated = report->options->sort == SORT_ALLOC,
	    .stacks = report->group.by == GROUP_SITE ? TEXT_STACKS : 0,
	};
	_cleanup_(ranking_free) struct ranking ranking = {0};
	_cleanup_(verdict_free) struct verdict verdict = {0};
	int status = ranking_build(stacks, &all, &ranking, err);

	if (!status)
		status = verdict_build(stacks, &ranking, &verdict, err);
	if (status)
		return status;
	status = export_text(file, input, &verdict, &options);
	return status ? err_set(err, ENOMEM, "out of memory") : 0;
}

/* The verdict counts the stacks that a person would see without any filter. */
static int text_write(FILE *file, const struct report *report, const struct export_input *input,
		      struct err *err)
{
	const struct view_options options = {.frames = report->frames};
	_cleanup_(profile_deinit) struct profile stacks = {0};
	struct view_rest rest;

	if (report->frames == VIEW_ALL)
		return verdict_write_text(file, report, input, input->whole, err);
	if (profile_view(input->whole, &options, &stacks, &rest, err))
		return -ENOMEM;
	return verdict_write_text(file, report, input, &stacks, err);
}

static int format_write(FILE *file, const struct report *report, const struct export_input *input,
			struct err *err)
{
	if (report->format == FORMAT_TEXT)
		return text_write(file, report, input, err);
	return output_export(file, input, report->format, report->options->value, err);
}

static int report_write(const struct report *report, const struct profile *whole,
			const struct profile *shown, struct err *err)
{
	const struct report_options *options = report->options;
	const struct rank_options order = {options->sort == SORT_AUTO ? RANK_GROWTH
								      : options->sort - SORT_GROWTH,
					   options->min_growth};
	_cleanup_(ranking_free) struct ranking ranking = {0};
	struct export_input input = {.profile = shown,
				     .ranking = &ranking,
				     .limit = report->limit,
				     .whole = whole,
				     .rest = &report->rest};
	struct output output;
	int status = ranking_build(shown, &order, &ranking, err), closed;

	if (site_filter_empty(&report->filter))
		input.rest = NULL;
	if (!status && report->lines != TEXT_TABLE && options->sort == SORT_AUTO)
		tracemalloc_sort(shown, &ranking);
	if (!status)
		status = output_open(&output, options->output, err);
	if (status)
		return status;
	status = format_write(output.file, report, &input, err);
	closed = output_close(&output, status != 0, err);
	if (closed == -EPIPE)
		return 0; /* the reader has seen enough */
	return status ? status : closed;
}

/* In tracemalloc's words where Python people ask its questions. */
static enum text_lines lines_find(const struct report *report, const struct profile *whole)
{
	if (report->format != FORMAT_TEXT)
		return TEXT_TABLE;
	if (report->group.by == GROUP_TRACEBACK)
		return TEXT_TRACEBACKS;
	if (report->group.by == GROUP_LINE || report->group.by == GROUP_FILE)
		return profile_has_python(whole) ? TEXT_STATISTICS : TEXT_TABLE;
	return TEXT_TABLE;
}

static int report_show(struct report *report, const struct profile *whole, struct err *err)
{
	const struct view_options options = {report->frames, report->options->merge_processes,
					     &report->filter};
	_cleanup_(profile_deinit) struct profile view = {0}, grouped = {0};
	const struct profile *shown = whole;

	if (report->frames != VIEW_ALL || options.merge_processes ||
	    !site_filter_empty(&report->filter)) {
		if (profile_view(whole, &options, &view, &report->rest, err))
			return -ENOMEM;
		shown = &view;
	}
	if (report->group.by != GROUP_SITE) {
		if (profile_group(shown, &report->group, &grouped, err))
			return -ENOMEM;
		shown = &grouped;
	}
	return report_write(report, whole, shown, err);
}

static bool same_file(const char *left, const char *right)
{
	struct stat a, b;

	return !stat(left, &a) && !stat(right, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static int report_load(struct report *report, const char *path, struct err *err)
{
	_cleanup_(profile_deinit) struct profile whole = {0};

	if (recording_load(path, &whole, err))
		return EXIT_BAD_FILE;
	if (same_file(path, report->options->output)) {
		err_set(err, EINVAL, "--output: '%s' is the recording itself",
			report->options->output);
		return EXIT_USAGE;
	}
	report->lines = lines_find(report, &whole);
	return report_show(report, &whole, err) ? EXIT_FAILED : EXIT_OK;
}

/* ---- what the options come to -------------------------------------------------------------------
 */

/* A count as given, or what there is without. */
static int count_find(const char *name, const char *given, uint64_t otherwise, uint64_t *count,
		      struct err *err)
{
	const struct opt row[] = {
	    {0, name, OPT_COUNT, "N", given, 0, ""},
	    {0},
	};
	int positional = 0;
	bool help;

	*count = otherwise;
	return opt_parse(row, 0, NULL, count, &positional, &help, err);
}

static int conflicts_find(const struct report_options *options, enum output_format format,
			  struct err *err)
{
	if (options->python && options->native)
		return err_set(err, EINVAL, "--python and --native exclude each other");
	if (options->traceback && options->by != GROUP_SITE && options->by != GROUP_TRACEBACK)
		return err_set(err, EINVAL, "--traceback goes with --by traceback only");
	if (options->merge_processes && options->by == GROUP_PROCESS)
		return err_set(err, EINVAL,
			       "--merge-processes and --by process exclude each other");
	if (format == FORMAT_OPENMETRICS && (options->merge_processes || options->top))
		return err_set(err, EINVAL,
			       "--format openmetrics has sums of all sites, by process: without "
			       "--top and --merge-processes");
	if (!output_format_is_text(format) && !strcmp(options->output, "-") && isatty(STDOUT_FILENO))
		return err_set(err, EINVAL,
			       "this format is not for terminals: give --output FILE, or a pipe");
	if (options->all_frames && !options->include.count && !options->exclude.count)
		return err_set(err, EINVAL, "--all-frames goes with --include or --exclude");
	return 0;
}

static int patterns_take(const struct opt_texts *texts, const char *name,
			 struct file_patterns *patterns, struct err *err)
{
	struct err why = {0};

	for (size_t i = 0; i < texts->count; i++)
		if (file_pattern_add(patterns, texts->items[i], &why))
			return err_set(err, EINVAL, "--%s: %s", name, why.text);
	return 0;
}

/* JSON holds what was recorded, unless sites are named or frames chosen; so does HTML, which hides
 * by itself. */
static enum view_frames frames_find(const struct report *report)
{
	const struct report_options *options = report->options;
	bool recorded = report->format == FORMAT_JSON || report->format == FORMAT_HTML;

	if (options->python)
		return VIEW_PYTHON;
	if (options->native || (recorded && report->group.by == GROUP_SITE))
		return VIEW_ALL;
	return VIEW_PLAIN;
}

static int report_plan(struct report *report, struct err *err)
{
	const struct report_options *options = report->options;
	uint64_t limit, frames;

	report->format = output_format_find(options->format, options->output);
	if (conflicts_find(options, report->format, err) ||
	    count_find("top", options->top, report->format == FORMAT_TEXT ? TEXT_SITES : SIZE_MAX,
		       &limit, err) ||
	    count_find("traceback", options->traceback, 0, &frames, err) ||
	    patterns_take(&options->include, "include", &report->filter.include, err) ||
	    patterns_take(&options->exclude, "exclude", &report->filter.exclude, err))
		return -EINVAL;
	report->limit = limit;
	report->filter.all_frames = options->all_frames;
	report->group.by = options->traceback ? GROUP_TRACEBACK : options->by;
	report->group.traceback_frames = frames < UINT32_MAX ? frames : 0;
	report->group.native = options->native;
	report->frames = frames_find(report);
	return 0;
}

static int report_of(const struct report_options *options, const char *path, struct err *err)
{
	struct report report = {.options = options};
	int status = EXIT_USAGE;

	if (!report_plan(&report, err))
		status = report_load(&report, path, err);
	site_filter_free(&report.filter);
	return status;
}

static int report_run(int argc, char **argv, struct err *err)
{
	struct report_options options = {0};
	int positional;
	bool help;

	if (opt_parse(report_rows, argc, argv, &options, &positional, &help, err))
		return EXIT_USAGE;
	if (help) {
		report_help();
		return EXIT_OK;
	}
	if (positional != 1) {
		err_set(err, EINVAL,
			positional ? "report reads one FILE (seep report --help)"
				   : "report needs a FILE (seep report --help)");
		return EXIT_USAGE;
	}
	return report_of(&options, argv[1], err);
}

const struct verb report_verb = {
    .name = "report",
    .summary = "rank what a recording holds, as text or in a viewer's format",
    .run = report_run,
};
