/* SPDX-License-Identifier: GPL-2.0-only */
/* filter.c - see filter.h */
#include "profile/filter.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/units.h"
#include "base/vec.h"
#include "profile/view.h"

/* ".pyc" -> ".py": the line that was compiled is meant. */
static void name_normalize(char *name)
{
	size_t length = strlen(name);

	if (length >= 4 && !strcmp(name + length - 4, ".pyc"))
		name[length - 1] = '\0';
}

/* Cut ":LINE" off. Whatever is no number of 32 bits is part of the name. */
static void line_split(struct file_pattern *pattern)
{
	char *colon = strrchr(pattern->text, ':');
	size_t digits = colon ? strspn(colon + 1, "0123456789") : 0;
	unsigned long long line;

	if (!digits || digits > 10 || colon[1 + digits] || colon == pattern->text)
		return;
	line = strtoull(colon + 1, NULL, 10);
	if (line > UINT32_MAX)
		return;
	*colon = '\0';
	pattern->line = line;
	pattern->has_line = true;
}

int file_pattern_add(struct file_patterns *patterns, const char *text, struct err *err)
{
	struct file_pattern *pattern;

	if (!text[0])
		return err_set(err, EINVAL, "the pattern is empty; '*' matches every file");
	pattern = vec_add(patterns);
	if (pattern)
		pattern->text = strdup(text);
	if (!pattern || !pattern->text)
		return err_set(err, ENOMEM, "out of memory");
	line_split(pattern);
	name_normalize(pattern->text);
	return 0;
}

static void file_patterns_free(struct file_patterns *patterns)
{
	for (size_t i = 0; i < patterns->count; i++)
		free(patterns->items[i].text);
	free(patterns->items);
	*patterns = (struct file_patterns){0};
}

void site_filter_free(struct site_filter *filter)
{
	file_patterns_free(&filter->include);
	file_patterns_free(&filter->exclude);
}

bool site_filter_empty(const struct site_filter *filter)
{
	return !filter->include.count && !filter->exclude.count;
}

/* Python's fnmatch knows no escapes, and its '*' matches '/' and leading dots. */
static bool frame_matches(const struct profile_frame *frame, const struct file_pattern *pattern)
{
	const char *name = frame->file ? frame->file : frame->module ? frame->module : "";
	size_t length = strlen(name);
	_cleanup_free_ char *source = NULL;

	if (pattern->has_line && pattern->line != frame->line)
		return false;
	if (length >= 4 && !strcmp(name + length - 4, ".pyc")) {
		source = strdup(name);
		if (source)
			name_normalize(source);
	}
	return !fnmatch(pattern->text, source ? source : name, FNM_NOESCAPE);
}

static bool site_matches(const struct profile *profile, const struct profile_site *site,
			 const struct file_pattern *pattern, bool all_frames)
{
	static const struct profile_frame nothing = {.function = ""};

	if (!site->frame_count)
		return frame_matches(&nothing, pattern);
	if (!all_frames) {
		uint32_t naming = site_naming_frame(profile, site);

		return frame_matches(&profile->frames[site->frames[naming]], pattern);
	}
	for (uint32_t i = 0; i < site->frame_count; i++) {
		const struct profile_frame *frame = &profile->frames[site->frames[i]];

		if (!frame->internal && frame_matches(frame, pattern))
			return true;
	}
	return false;
}

static bool any_matches(const struct profile *profile, const struct profile_site *site,
			const struct file_patterns *patterns, bool all_frames)
{
	for (size_t i = 0; i < patterns->count; i++)
		if (site_matches(profile, site, &patterns->items[i], all_frames))
			return true;
	return false;
}

bool site_passes(const struct profile *profile, const struct profile_site *site,
		 const struct site_filter *filter)
{
	if (filter->include.count &&
	    !any_matches(profile, site, &filter->include, filter->all_frames))
		return false;
	return !any_matches(profile, site, &filter->exclude, filter->all_frames);
}
