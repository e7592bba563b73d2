/* SPDX-License-Identifier: GPL-2.0-only */
/* report.c - seep report: rank what a recording holds, as text or in a viewer's format. */
#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "cli/opt.h"
#include "cli/output.h"
#include "cli/report.h"
#include "cli/verb.h"
#include "export/export.h"
#include "export/text.h"
#include "export/tracemalloc.h"
#include "profile/culprit.h"
#include "profile/filter.h"
#include "profile/group.h"
#include "profile/profile.h"
#include "profile/rank.h"
#include "profile/suppress.h"
#include "profile/verdict.h"
#include "profile/view.h"
#include "profile/window.h"
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
	struct opt_texts include, exclude, suppressions;
	bool no_suppressions, source;
	const char *since;
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
	struct suppressions suppressions;
	struct view_rest suppressed;
};

/* Where growth passes through, of frames as a person sees them. */
struct blame {
	struct profile view;
	struct ranking ranking;
	struct culprits culprits;
};

#define FIELD(member) FILLS(struct report_options, member)
static const struct opt report_rows[] = {
    {0, "format", OPT_CHOICE, OUTPUT_FORMATS, "auto", FIELD(format),
     "what to write; auto: by the ending of --output, else text"},
    {0, "by", OPT_CHOICE, "site|function|line|file|module|traceback|process|culprit", "site",
     FIELD(by), "merge sites; each process and class for itself"},
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
    {0, "suppressions", OPT_TEXTS, "FILE", NULL, FIELD(suppressions),
     "no sites that a line leak:PATTERN of it matches (LeakSanitizer's)"},
    {0, "no-suppressions", OPT_FLAG, NULL, NULL, FIELD(no_suppressions),
     "suppress nothing, not even what is known to be kept"},
    {0, "since", OPT_TEXT, "MOMENT", NULL, FIELD(since),
     "only what was allocated since: mark1, mark2, ... or a TIME"},
    {0, "source", OPT_FLAG, NULL, NULL, FIELD(source),
     "show source lines of the first rows, where the files can be read; text only"},
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

/* The rows of a verb. */
static void rows_choose(const struct report_kind *kind, struct opt rows[ARRAY_LEN(report_rows)])
{
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_LEN(report_rows); i++)
		if (kind->since || report_rows[i].offset != FIELD(since))
			rows[count++] = report_rows[i];
}

static void report_help(const struct report_kind *kind, const struct opt *rows)
{
	printf("usage: seep %s [OPTIONS] %s\n\n%s\n", kind->verb, kind->usage,
	       kind->description);
	opt_print(rows);
	fputs(kind->hint, stdout);
}

/* ---- what is written ----------------------------------------------------------------------------
 */

static bool color_wanted(FILE *file)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(fileno(file)) && !(no_color && no_color[0]) &&
	       !(term && !strcmp(term, "dumb"));
}

/* Is the locale's text UTF-8? */
static bool utf8_wanted(void)
{
	locale_t locale = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
	bool utf8 = locale && !strcmp(nl_langinfo_l(CODESET, locale), "UTF-8");

	if (locale)
		freelocale(locale);
	return utf8;
}

/* What a person suppressed is not said to grow. */
static void ranking_suppress(const struct report *report, const struct profile *stacks,
			     struct ranking *ranking)
{
	size_t kept = 0;

	for (size_t i = 0; i < ranking->count; i++)
		if (!site_suppressed(&report->suppressions, stacks, ranking->items[i].site))
			ranking->items[kept++] = ranking->items[i];
	ranking->count = kept;
}

static int text_export(FILE *file, const struct report *report, const struct export_input *input,
		       const struct profile *stacks, const struct ranking *ranking, struct err *err)
{
	const struct text_options options = {
	    .lines = report->lines,
	    .color = color_wanted(file),
	    .trends = utf8_wanted(),
	    .allocated = report->options->sort == SORT_ALLOC,
	    .sources = report->options->source ? TEXT_STACKS : 0,
	    .stacks = report->group.by == GROUP_SITE ? TEXT_STACKS : 0,
	};
	_cleanup_(verdict_free) struct verdict verdict = {0};
	int status = verdict_build(stacks, ranking, &verdict, err);

	if (status)
		return status;
	status = export_text(file, input, &verdict, &options);
	return status ? err_set(err, ENOMEM, "out of memory") : 0;
}

static int stacks_export(FILE *file, const struct report *report, const struct export_input *input,
			 const struct profile *stacks, struct err *err)
{
	const struct rank_options all = {.order = RANK_GROWTH};
	_cleanup_(ranking_free) struct ranking ranking = {0};

	if (ranking_build(stacks, &all, &ranking, err))
		return -ENOMEM;
	if (report->suppressions.count)
		ranking_suppress(report, stacks, &ranking);
	return text_export(file, report, input, stacks, &ranking, err);
}

/* Is what is ranked all that there is, in the order of growth? */
static bool shows_all(const struct report *report, const struct export_input *input)
{
	const struct report_options *options = report->options;

	return report->group.by == GROUP_SITE && site_filter_empty(&report->filter) &&
	       !options->merge_processes && !options->min_growth && !report->suppressed.sites &&
	       options->sort <= SORT_GROWTH && !input->differential;
}

/* The verdict counts the stacks that a person would see without any filter. */
static int text_write(FILE *file, const struct report *report, const struct export_input *input,
		      struct err *err)
{
	const struct view_options options = {.frames = report->frames};
	_cleanup_(profile_deinit) struct profile stacks = {0};
	struct view_rest rest;

	if (shows_all(report, input))
		return text_export(file, report, input, input->profile, input->ranking, err);
	if (report->frames == VIEW_ALL)
		return stacks_export(file, report, input, input->whole, err);
	if (profile_view(input->whole, &options, &stacks, &rest, err))
		return -ENOMEM;
	return stacks_export(file, report, input, &stacks, err);
}

static int format_write(FILE *file, const struct report *report, const struct export_input *input,
			struct err *err)
{
	if (report->format == FORMAT_TEXT)
		return text_write(file, report, input, err);
	return output_export(file, input, report->format, report->options->value, err);
}

static void blame_free(struct blame *blame)
{
	culprits_free(&blame->culprits);
	ranking_free(&blame->ranking);
	profile_deinit(&blame->view);
}

/* Find the culprits for text and JSON. 'kept' is what was not suppressed. Returns 0 or -ENOMEM. */
static int blame_find(const struct report *report, const struct profile *kept,
		      struct export_input *input, struct blame *blame, struct err *err)
{
	const struct report_options *options = report->options;
	const struct view_options view = {
	    .frames = report->frames == VIEW_ALL ? VIEW_PLAIN : report->frames,
	    .merge_processes = options->merge_processes,
	    .filter = &report->filter,
	};
	const struct rank_options order = {.order = RANK_GROWTH};
	bool sites = report->group.by == GROUP_SITE;
	struct view_rest rest;

	if (report->format != FORMAT_JSON && (report->format != FORMAT_TEXT || !sites))
		return 0;
	input->culprits = &blame->culprits;
	if (sites && report->frames != VIEW_ALL && !options->min_growth)
		return culprits_find(input->profile, input->ranking, &blame->culprits, err);
	if (profile_view(kept, &view, &blame->view, &rest, err) ||
	    ranking_build(&blame->view, &order, &blame->ranking, err))
		return -ENOMEM;
	return culprits_find(&blame->view, &blame->ranking, &blame->culprits, err);
}

static int report_write(const struct report *report, const struct profile *whole,
			const struct profile *kept, const struct profile *shown, struct err *err)
{
	const struct report_options *options = report->options;
	const struct rank_options order = {options->sort == SORT_AUTO ? RANK_GROWTH
								      : options->sort - SORT_GROWTH,
					   options->min_growth};
	_cleanup_(ranking_free) struct ranking ranking = {0};
	_cleanup_(blame_free) struct blame blame = {0};
	struct export_input input = {.profile = shown,
				     .ranking = &ranking,
				     .limit = report->limit,
				     .whole = whole,
				     .rest = &report->rest};
	struct output output;
	int status = ranking_build(shown, &order, &ranking, err), closed;

	if (site_filter_empty(&report->filter))
		input.rest = NULL;
	if (report->suppressions.built_in || report->suppressions.count)
		input.suppressed = &report->suppressed;
	if (!status)
		status = blame_find(report, kept, &input, &blame, err);
	input.differential = whole->diff != NULL;
	if (!status && (report->lines != TEXT_TABLE || whole->diff) && options->sort == SORT_AUTO)
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
		return whole->diff || profile_has_python(whole) ? TEXT_STATISTICS : TEXT_TABLE;
	return TEXT_TABLE;
}

static int report_show(struct report *report, const struct profile *whole,
		       const struct profile *kept, struct err *err)
{
	const struct view_options options = {report->frames, report->options->merge_processes,
					     &report->filter, NULL};
	_cleanup_(profile_deinit) struct profile view = {0}, grouped = {0};
	const struct profile *shown = kept;

	if (report->frames != VIEW_ALL || options.merge_processes ||
	    !site_filter_empty(&report->filter)) {
		if (profile_view(kept, &options, &view, &report->rest, err))
			return -ENOMEM;
		shown = &view;
	}
	if (report->group.by != GROUP_SITE) {
		if (profile_group(shown, &report->group, &grouped, err))
			return -ENOMEM;
		shown = &grouped;
	}
	return report_write(report, whole, kept, shown, err);
}

/* What is suppressed is in no format, but for the totals of the processes. */
static int report_sift(struct report *report, const struct profile *whole, struct err *err)
{
	_cleanup_(profile_deinit) struct profile kept = {0};

	if (profile_suppress(whole, &report->suppressions, &kept, &report->suppressed, err))
		return -ENOMEM;
	return report_show(report, whole, &kept, err);
}

const char *moment_in_argument(const char *argument)
{
	const char *at = strrchr(argument, '@');
	struct stat info;

	return at && stat(argument, &info) ? at + 1 : NULL;
}

static bool same_file(const char *argument, const char *output)
{
	const char *moment = moment_in_argument(argument);
	_cleanup_free_ char *path = strndup(argument, moment ? (size_t)(moment - argument - 1)
							     : strlen(argument));
	struct stat a, b;

	return path && !stat(path, &a) && !stat(output, &b) && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

static int outputs_check(const struct report_kind *kind, char **arguments, const char *output,
			 struct err *err)
{
	for (int i = 0; i < kind->arguments; i++)
		if (same_file(arguments[i], output))
			return err_set(err, EINVAL, "--output: '%s' is the recording itself",
				       output);
	return 0;
}

static void data_free(struct report_data *data)
{
	profile_deinit(&data->whole);
	for (size_t i = 0; i < ARRAY_LEN(data->sources); i++)
		profile_deinit(&data->sources[i]);
}

static int report_load(struct report *report, const struct report_kind *kind, char **arguments,
		       struct err *err)
{
	_cleanup_(data_free) struct report_data data = {0};
	int status = kind->load(arguments, report->options->since, &data, err);

	if (status != EXIT_OK)
		return status;
	if (outputs_check(kind, arguments, report->options->output, err))
		return EXIT_USAGE;
	report->lines = lines_find(report, &data.whole);
	return report_sift(report, &data.whole, err) ? EXIT_FAILED : EXIT_OK;
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
	if (options->source && format != FORMAT_TEXT)
		return err_set(err, EINVAL, "--source goes with --format text only");
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

static int suppressions_take(const struct report_options *options,
			     struct suppressions *suppressions, struct err *err)
{
	for (size_t i = 0; i < options->suppressions.count && !options->no_suppressions; i++)
		if (suppressions_load(suppressions, options->suppressions.items[i], err))
			return err_context(err, "--suppressions");
	suppressions->built_in = !options->no_suppressions;
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
	    patterns_take(&options->exclude, "exclude", &report->filter.exclude, err) ||
	    suppressions_take(options, &report->suppressions, err))
		return -EINVAL;
	report->limit = limit;
	report->filter.all_frames = options->all_frames;
	report->group.by = options->traceback ? GROUP_TRACEBACK : options->by;
	report->group.traceback_frames = frames < UINT32_MAX ? frames : 0;
	report->group.native = options->native;
	report->frames = frames_find(report);
	return 0;
}

static int report_of(const struct report_kind *kind, const struct report_options *options,
		     char **arguments, struct err *err)
{
	struct report report = {.options = options};
	int status = EXIT_USAGE;

	if (!report_plan(&report, err))
		status = report_load(&report, kind, arguments, err);
	site_filter_free(&report.filter);
	suppressions_free(&report.suppressions);
	return status;
}

int report_main(const struct report_kind *kind, int argc, char **argv, struct err *err)
{
	struct opt rows[ARRAY_LEN(report_rows)] = {0};
	struct report_options options = {0};
	int positional;
	bool help;

	rows_choose(kind, rows);
	if (opt_parse(rows, argc, argv, &options, &positional, &help, err))
		return EXIT_USAGE;
	if (help) {
		report_help(kind, rows);
		return EXIT_OK;
	}
	if (positional != kind->arguments) {
		err_set(err, EINVAL, "%s reads %s, not %d argument%s (seep %s --help)", kind->verb,
			kind->usage, positional, positional == 1 ? "" : "s", kind->verb);
		return EXIT_USAGE;
	}
	return report_of(kind, &options, &argv[1], err);
}

/* ---- seep report --------------------------------------------------------------------------------
 */

static int recording_whole_load(char **arguments, const char *since, struct report_data *data,
				struct err *err)
{
	struct profile *loaded = since ? &data->sources[0] : &data->whole;

	if (recording_load(arguments[0], loaded, err))
		return EXIT_BAD_FILE;
	if (since && profile_since(loaded, since, &data->whole, err)) {
		err_context(err, "--since");
		return EXIT_USAGE;
	}
	return EXIT_OK;
}

static int report_run(int argc, char **argv, struct err *err)
{
	static const struct report_kind kind = {
	    .verb = "report",
	    .usage = "FILE",
	    .description =
		"Rank the sites of a recording. Needs no privileges and no process.\n",
	    .hint = "\nFor a flame graph of the growth:\n"
		    "  seep report --format folded FILE | flamegraph.pl --colors=mem "
		    "--countname=bytes\n",
	    .arguments = 1,
	    .since = true,
	    .load = recording_whole_load,
	};

	return report_main(&kind, argc, argv, err);
}

const struct verb report_verb = {
    .name = "report",
    .summary = "rank what a recording holds, as text or in a viewer's format",
    .run = report_run,
};
