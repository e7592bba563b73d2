/* SPDX-License-Identifier: GPL-2.0-only */
/* source.c - see source.h */
#include "export/source.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/units.h"
#include "export/columns.h"
#include "export/text.h"
#include "export/utf8.h"
#include "profile/culprit.h"
#include "profile/profile.h"
#include "profile/rank.h"
#include "profile/view.h"

#define TAB_COLUMNS    8
#define NUMBER_COLUMNS 6
#define MARK_COLUMNS   3
#define LINE_BYTES_MAX 4096 /* of which a line of the report shows the first ones anyway */

/* The bytes of a file that can be shown, with a NUL behind them; NULL otherwise. */
static char *file_read(const char *path, struct stat *info)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	_cleanup_free_ char *bytes = NULL;
	size_t size, done = 0;
	ssize_t got;

	/* files of /proc and /sys have no size */
	if (fd < 0 || fstat(fd, info) || !S_ISREG(info->st_mode) || info->st_size <= 0 ||
	    info->st_size > SOURCE_FILE_MAX)
		return NULL;
	size = info->st_size;
	bytes = malloc(size + 1);
	while (bytes && done < size && (got = read(fd, bytes + done, size - done)) > 0)
		done += got;
	if (!bytes || !done || memchr(bytes, '\0', done))
		return NULL;
	bytes[done] = '\0';
	return TAKE_PTR(bytes);
}

/* Where line 'number' begins, from 1 on; NULL when there is none. */
static const char *line_find(const char *bytes, uint32_t number)
{
	while (--number && bytes) {
		bytes = strchr(bytes, '\n');
		bytes += bytes != NULL;
	}
	return bytes && *bytes ? bytes : NULL;
}

/* A line with its tabs as spaces; NULL when memory is out. */
static char *line_expand(const char *line)
{
	size_t length = strcspn(line, "\r\n"), at = 0;
	char *text;

	if (length > LINE_BYTES_MAX)
		length = LINE_BYTES_MAX;
	text = malloc(TAB_COLUMNS * length + 1);
	for (size_t i = 0; text && i < length; i++) {
		if (line[i] != '\t') {
			text[at++] = line[i];
			continue;
		}
		do
			text[at++] = ' ';
		while (at % TAB_COLUMNS);
	}
	if (text)
		text[at] = '\0';
	return text;
}

static void line_print(FILE *out, const char *bytes, uint32_t number, bool marked)
{
	const char *line = line_find(bytes, number);
	_cleanup_free_ char *text = line ? line_expand(line) : NULL;
	_cleanup_free_ char *clean =
	    text ? elide_middle(text, TEXT_COLUMNS - NUMBER_COLUMNS - MARK_COLUMNS) : NULL;

	if (!clean)
		return;
	fprintf(out, "%*u %s%s%s\n", NUMBER_COLUMNS, number, marked ? ">" : clean[0] ? " " : "",
		clean[0] ? " " : "", clean);
}

bool source_print(FILE *out, const char *path, uint32_t line, int64_t changed_after)
{
	struct stat info;
	_cleanup_free_ char *bytes = line ? file_read(path, &info) : NULL;
	_cleanup_free_ char *name = NULL;

	if (!bytes || !line_find(bytes, line))
		return false;
	name = elide_left(path, TEXT_COLUMNS / 2);
	fprintf(out, "%s:%u%s\n", name ? name : "", line,
		changed_after && info.st_mtime > changed_after ? " (changed since the recording)"
							       : "");
	if (line > 1)
		line_print(out, bytes, line - 1, false);
	line_print(out, bytes, line, true);
	if (line < UINT32_MAX)
		line_print(out, bytes, line + 1, false);
	return true;
}

struct places {
	const struct profile_frame *items[SOURCE_ROWS_MOST];
	size_t count;
};

static void place_add(struct places *places, const struct profile_frame *frame)
{
	if (!frame->file || !frame->line || places->count == SOURCE_ROWS_MOST)
		return;
	for (size_t i = 0; i < places->count; i++)
		if (places->items[i]->line == frame->line &&
		    !strcmp(places->items[i]->file, frame->file))
			return;
	places->items[places->count++] = frame;
}

void sources_print(FILE *out, const struct export_input *input, size_t rows)
{
	const struct profile *profile = input->profile;
	const struct culprits *culprits = input->culprits;
	int64_t end_s = (input->whole->start_unix_ns + input->whole->duration_ns) / NS_PER_S;
	struct places places = {0};

	for (size_t i = 0; culprits && i < culprits->count; i++)
		if (culprits->items[i].site_count > 1)
			place_add(&places,
				  &culprits->profile->frames[culprit_frame(&culprits->items[i])]);
	for (size_t i = 0; i < rows && i < input->ranking->count; i++) {
		const struct profile_site *site = input->ranking->items[i].site;

		if (site->frame_count)
			place_add(&places,
				  &profile->frames[site->frames[site_naming_frame(profile, site)]]);
	}
	for (size_t i = 0; i < places.count; i++) {
		_cleanup_free_ char *text = NULL;
		size_t length;
		_cleanup_fclose_ FILE *excerpt = open_memstream(&text, &length);

		if (!excerpt ||
		    !source_print(excerpt, places.items[i]->file, places.items[i]->line, end_s))
			continue;
		fflush(excerpt);
		fprintf(out, "\n%s", text);
	}
}
