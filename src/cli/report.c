/* SPDX-License-Identifier: GPL-2.0-only */
/* report.c - seep report: rank what a recording holds, as text, JSON or folded stacks. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "cli/opt.h"
#include "cli/verb.h"
#include "export/folded.h"
#include "export/json.h"
#include "export/text.h"
#include "profile/group.h"
#include "profile/profile.h"
#include "profile/rank.h"
#include "profile/verdict.h"
#include "store/recording.h"

#define TEXT_SITES  20
#define TEXT_STACKS 5

enum report_format { FORMAT_TEXT, FORMAT_JSON, FORMAT_FOLDED };

struct report_options {
	uint32_t format; /* enum report_format */
	uint32_t by;	 /* enum group_by */
	uint32_t sort;	 /* enum rank_order */
	uint32_t value;	 /* enum folded_value */
	const char *top; /* a count; NULL: as many as fit the format */
	uint64_t min_growth;
	const char *output;
};

#define FIELD(member) FILLS(struct report_options, member)
static const struct opt report_rows[] = {
    {0, "format", OPT_CHOICE, "text|json|folded", "text", FIELD(format), "what to write"},
    {0, "by", OPT_CHOICE, "site|function|line|file|module", "site", FIELD(by),
     "merge sites; each process and class for itself"},
    {0, "sort", OPT_CHOICE, "growth|live|alloc", "growth", FIELD(sort),
     "order: what goes on growing, live bytes, bytes allocated"},
    {'n', "top", OPT_TEXT, "N", NULL, FIELD(top), "sites shown [text: 20; else all]"},
    {0, "min-growth", OPT_BYTES, "SIZE", "0", FIELD(min_growth), "leave out sites that grew less"},
    {0, "value", OPT_CHOICE, "growth|live|alloc|blocks", "growth", FIELD(value),
     "what folded stacks count"},
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

/* ---- where it is written ------------------------------------------------------------------------
 */

/* A file that gets its name when it is complete; standard output and devices are written at once.
 */
struct output {
	FILE *file;
	char *temporary; /* NULL: not renamed */
	const char *path;
};

static bool same_file(const char *left, const char *right)
{
	struct stat a, b;

	return !stat(left, &a) && !stat(right, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static int output_open(struct output *output, const char *path, struct err *err)
{
	struct stat info;
	int fd;

	*output = (struct output){.path = path};
	if (!strcmp(path, "-")) {
		output->file = stdout;
		return 0;
	}
	if (!stat(path, &info) && !S_ISREG(info.st_mode)) {
		output->file = fopen(path, "we");
		return output->file ? 0 : err_set(err, errno, "cannot open '%s': %m", path);
	}
	if (asprintf(&output->temporary, "%s.new.%d", path, (int)getpid()) < 0)
		return err_set(err, ENOMEM, "out of memory");
	fd = open(output->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0) {
		err_set(err, errno, "cannot create '%s': %m", path);
		free(TAKE_PTR(output->temporary));
		return -err->code;
	}
	output->file = fdopen(fd, "w");
	return output->file ? 0 : err_set(err, ENOMEM, "out of memory");
}

/* Finish or, with 'failed', drop the output. Returns 0 or -errno; -EPIPE without a text. */
static int output_close(struct output *output, bool failed, struct err *err)
{
	const char *name = output->file == stdout ? "standard output" : output->path;
	int code = 0;

	errno = 0;
	if (fflush(output->file) || ferror(output->file))
		code = errno ? errno : EIO;
	if (output->file != stdout && fclose(output->file) && !code)
		code = errno;
	if (!code && !failed && output->temporary && rename(output->temporary, output->path))
		code = errno;
	if (output->temporary && (code || failed))
		unlink(output->temporary);
	free(output->temporary);
	if (code == EPIPE) {
		__fpurge(stdout);
		clearerr(stdout);
		return -EPIPE;
	}
	return code ? err_set(err, code, "cannot write '%s': %s", name, strerror(code)) : 0;
}

/* ---- what is written ----------------------------------------------------------------------------
 */

static bool color_wanted(FILE *file)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(fileno(file)) && !(no_color && no_color[0]) &&
	       !(term && !strcmp(term, "dumb"));
}

static int text_write(FILE *file, const struct report_options *report,
		      const struct export_input *input, const struct profile *whole,
		      struct err *err)
{
	const struct rank_options all = {.order = RANK_GROWTH};
	const struct text_options options = {
	    .color = color_wanted(file),
	    .allocated = report->sort == RANK_ALLOC,
	    .stacks = report->by == GROUP_SITE ? TEXT_STACKS : 0,
	};
	_cleanup_(ranking_free) struct ranking ranking = {0};
	_cleanup_(verdict_free) struct verdict verdict = {0};
	int status = ranking_build(whole, &all, &ranking, err);

	if (!status)
		status = verdict_build(whole, &ranking, &verdict, err);
	if (status)
		return status;
	status = export_text(file, input, &verdict, &options);
	return status ? err_set(err, ENOMEM, "out of memory") : 0;
}

static int format_write(FILE *file, const struct report_options *options,
			const struct export_input *input, const struct profile *whole,
			struct err *err)
{
	int status = 0;

	switch (options->format) {
	case FORMAT_TEXT:
		return text_write(file, options, input, whole, err);
	case FORMAT_JSON:
		status = export_json(file, input, whole);
		break;
	case FORMAT_FOLDED:
		status = export_folded(file, input, options->value);
		break;
	}
	return status ? err_set(err, ENOMEM, "out of memory") : 0;
}

static int report_write(const struct report_options *options, size_t limit,
			const struct profile *whole, const struct profile *shown, struct err *err)
{
	const struct rank_options order = {options->sort, options->min_growth};
	_cleanup_(ranking_free) struct ranking ranking = {0};
	struct export_input input = {shown, &ranking, limit};
	struct output output;
	int status = ranking_build(shown, &order, &ranking, err), closed;

	if (!status)
		status = output_open(&output, options->output, err);
	if (status)
		return status;
	status = format_write(output.file, options, &input, whole, err);
	closed = output_close(&output, status != 0, err);
	if (closed == -EPIPE)
		return 0; /* the reader has seen enough */
	return status ? status : closed;
}

static int report_load(const struct report_options *options, const char *path, size_t limit,
		       struct err *err)
{
	_cleanup_(profile_deinit) struct profile whole = {0}, grouped = {0};

	if (recording_load(path, &whole, err))
		return EXIT_BAD_FILE;
	if (same_file(path, options->output)) {
		err_set(err, EINVAL, "--output: '%s' is the recording itself", options->output);
		return EXIT_USAGE;
	}
	if (options->by != GROUP_SITE && profile_group(&whole, options->by, &grouped, err))
		return EXIT_FAILED;
	if (report_write(options, limit, &whole, options->by == GROUP_SITE ? &whole : &grouped,
			 err))
		return EXIT_FAILED;
	return EXIT_OK;
}

/* "-n" as given, or what suits the format. */
static int limit_find(const struct report_options *options, size_t *limit, struct err *err)
{
	const struct opt row[] = {
	    {'n', "top", OPT_COUNT, "N", options->top, 0, ""},
	    {0},
	};
	uint64_t count = options->format == FORMAT_TEXT ? TEXT_SITES : SIZE_MAX;
	int positional = 0;
	bool help;

	if (opt_parse(row, 0, NULL, &count, &positional, &help, err))
		return -EINVAL;
	*limit = count;
	return 0;
}

static int report_run(int argc, char **argv, struct err *err)
{
	struct report_options options = {0};
	int positional;
	size_t limit;
	bool help;

	if (opt_parse(report_rows, argc, argv, &options, &positional, &help, err))
		return EXIT_USAGE;
	if (help) {
		report_help();
		return EXIT_OK;
	}
	if (limit_find(&options, &limit, err))
		return EXIT_USAGE;
	if (positional != 1) {
		err_set(err, EINVAL,
			positional ? "report reads one FILE (seep report --help)"
				   : "report needs a FILE (seep report --help)");
		return EXIT_USAGE;
	}
	return report_load(&options, argv[1], limit, err);
}

const struct verb report_verb = {
    .name = "report",
    .summary = "rank what a recording holds: text, JSON, folded stacks",
    .run = report_run,
};
