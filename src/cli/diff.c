/* SPDX-License-Identifier: GPL-2.0-only */
/* diff.c - seep diff: what one moment of a recording holds more or less than another one. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "cli/report.h"
#include "cli/verb.h"
#include "profile/diff.h"
#include "profile/window.h"
#include "store/recording.h"

/* "FILE" or "FILE@MOMENT" taken apart. */
struct argument {
	char *path;
	const char *moment; /* NULL: the end */
};

static int argument_read(const char *text, struct argument *argument, struct err *err)
{
	argument->moment = moment_in_argument(text);
	argument->path = strndup(text, argument->moment ? (size_t)(argument->moment - text - 1)
							: strlen(text));
	return argument->path ? 0 : err_set(err, ENOMEM, "out of memory");
}

static int side_find(const struct argument *argument, const struct profile *profile,
		     struct diff_side *side, struct err *err)
{
	*side = (struct diff_side){
	    .profile = profile,
	    .path = arena_intern(profile->arena, argument->path),
	    .name = argument->moment ? argument->moment : "end",
	};
	if (!side->path) {
		err_set(err, ENOMEM, "out of memory");
		return EXIT_FAILED;
	}
	/* an empty recording has no moments, and differs from others all the same */
	if (!argument->moment && !profile->snapshot_count)
		return EXIT_OK;
	return moment_find(profile, side->name, &side->snapshot, err) ? EXIT_USAGE : EXIT_OK;
}

/* Two moments of one file are of one reading of it. */
static int sides_load(const struct argument arguments[2], struct report_data *data,
		      struct err *err)
{
	bool one = !strcmp(arguments[0].path, arguments[1].path);
	struct diff_side sides[2] = {0};
	int status;

	for (int i = 0; i < (one ? 1 : 2); i++)
		if (recording_load(arguments[i].path, &data->sources[i], err))
			return EXIT_BAD_FILE;
	for (int i = 0; i < 2; i++) {
		status = side_find(&arguments[i], &data->sources[one ? 0 : i], &sides[i], err);
		if (status != EXIT_OK)
			return status;
	}
	return profile_diff(&sides[0], &sides[1], &data->whole, err) ? EXIT_FAILED : EXIT_OK;
}

static int diff_load(char **texts, const char *since, struct report_data *data, struct err *err)
{
	struct argument arguments[2] = {0};
	int status = EXIT_FAILED;

	if (!argument_read(texts[0], &arguments[0], err) &&
	    !argument_read(texts[1], &arguments[1], err))
		status = sides_load(arguments, data, err);
	free(arguments[0].path);
	free(arguments[1].path);
	return status;
}

static int diff_run(int argc, char **argv, struct err *err)
{
	static const struct report_kind kind = {
	    .verb = "diff",
	    .usage = "A B",
	    .description =
		"Show what moment B holds more or less than moment A. Each is a recording (its "
		"end), or\nFILE@MOMENT: a time since it began (FILE@30s), a mark (FILE@mark1), "
		"FILE@start or FILE@end.\nStacks are matched by function, file and line, so that "
		"the recordings may be of different\nprocesses, starts or machines.\n",
	    .hint = "\nWhat a service gained between two moments of one recording:\n"
		    "  seep diff FILE@1m FILE@10m\n",
	    .arguments = 2,
	    .load = diff_load,
	};

	return report_main(&kind, argc, argv, err);
}

const struct verb diff_verb = {
    .name = "diff",
    .summary = "compare two recordings, or two moments of one",
    .run = diff_run,
};
