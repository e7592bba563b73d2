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

/* Load "FILE" or "FILE@MOMENT". 'profile' is given back by the caller. */
static int side_load(const char *argument, struct profile *profile, struct diff_side *side,
		     struct err *err)
{
	const char *moment = moment_in_argument(argument);
	_cleanup_free_ char *path = strndup(argument, moment ? (size_t)(moment - argument - 1)
							     : strlen(argument));

	if (!path) {
		err_set(err, ENOMEM, "out of memory");
		return EXIT_FAILED;
	}
	if (recording_load(path, profile, err))
		return EXIT_BAD_FILE;
	*side = (struct diff_side){
	    .profile = profile,
	    .path = arena_intern(profile->arena, path),
	    .name = moment ? moment : "end",
	};
	if (!side->path) {
		err_set(err, ENOMEM, "out of memory");
		return EXIT_FAILED;
	}
	/* an empty recording has no moments, and differs from others all the same */
	if (!moment && !profile->snapshot_count)
		return EXIT_OK;
	return moment_find(profile, side->name, &side->snapshot, err) ? EXIT_USAGE : EXIT_OK;
}

static int diff_load(char **arguments, const char *since, struct report_data *data,
		     struct err *err)
{
	struct diff_side sides[2] = {0};

	for (int i = 0; i < 2; i++) {
		int status = side_load(arguments[i], &data->sources[i], &sides[i], err);

		if (status != EXIT_OK)
			return status;
	}
	return profile_diff(&sides[0], &sides[1], &data->whole, err) ? EXIT_FAILED : EXIT_OK;
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
