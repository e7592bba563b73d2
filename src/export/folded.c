/* SPDX-License-Identifier: GPL-2.0-only */
/* folded.c - see folded.h */
#include "export/folded.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "export/utf8.h"
#include "profile/profile.h"
#include "profile/rank.h"

#define COUNTS_MAX 48 /* two numbers of 64 bits */

static long long value_of(const struct ranked_site *ranked, enum folded_value value)
{
	switch (value) {
	case FOLDED_LIVE:
		return llround(live_bytes(ranked->end));
	case FOLDED_ALLOC:
		return llround(ranked->end.alloc_bytes);
	case FOLDED_BLOCKS:
		return llround(ranked->growth_blocks);
	case FOLDED_GROWTH:
	case FOLDED_DIFF:
		break;
	}
	return llround(ranked->growth_bytes);
}

/* Live bytes before and after. Of a sample, bytes that were freed before they were seen to be
 * allocated may be missing: no column goes below 0. */
static void columns_of(const struct ranked_site *ranked, long long columns[2])
{
	const struct site_values values = site_values(ranked);
	long long before = values.live_bytes - values.growth_bytes;

	columns[0] = before > 0 ? before : 0;
	columns[1] = values.live_bytes > 0 ? values.live_bytes : 0;
}

/* What follows a stack: " COUNT", or " BEFORE AFTER"; "" where there is nothing to be shown. */
static const char *counts_format(const struct ranked_site *ranked, enum folded_value value,
				 char buffer[COUNTS_MAX])
{
	long long columns[2] = {value_of(ranked, value)};

	buffer[0] = '\0';
	if (value == FOLDED_DIFF) {
		columns_of(ranked, columns);
		if (columns[0] || columns[1])
			snprintf(buffer, COUNTS_MAX, " %lld %lld", columns[0], columns[1]);
	} else if (columns[0] > 0) {
		snprintf(buffer, COUNTS_MAX, " %lld", columns[0]);
	}
	return buffer;
}

/* Make a clean label safe for the format; see folded.h. */
static void label_escape(char *label)
{
	size_t length = strlen(label), digits = length;

	for (char *at = label; *at; at++)
		if (*at == ';')
			*at = ':';
	while (digits > 0 &&
	       (isdigit((unsigned char)label[digits - 1]) || label[digits - 1] == '.'))
		digits--;
	if (digits > 0 && digits < length && label[digits - 1] == ' ')
		label[digits - 1] = '_';
	while (length > 0 && label[length - 1] == ' ')
		label[--length] = '_';
}

/* The label of a frame, on the heap; NULL when memory is out. */
static char *frame_label(const struct profile_frame *frame)
{
	_cleanup_free_ char *raw = NULL;
	char *label;

	if (frame->file && frame->line) {
		if (asprintf(&raw, "%s (%s:%u)", frame->function, frame->file, frame->line) < 0)
			return NULL;
	} else {
		raw = strdup(frame->function);
		if (!raw)
			return NULL;
	}
	label = utf8_clean(raw, 0);
	if (label)
		label_escape(label);
	return label;
}

/* Labels of all frames, made when first asked for: stacks share most of their frames. */
struct labels {
	const struct profile *profile;
	char **items;
};

static const char *label_get(struct labels *labels, uint32_t frame)
{
	if (!labels->items[frame])
		labels->items[frame] = frame_label(&labels->profile->frames[frame]);
	return labels->items[frame];
}

static void labels_free(struct labels *labels)
{
	for (uint32_t i = 0; labels->items && i < labels->profile->frame_count; i++)
		free(labels->items[i]);
	free(labels->items);
}

static int process_print(FILE *out, const struct profile_process *process)
{
	_cleanup_free_ char *label = process_label(process);
	_cleanup_free_ char *clean = label ? utf8_clean(label, 0) : NULL;

	if (!clean)
		return -ENOMEM;
	label_escape(clean);
	fprintf(out, "%s;", clean);
	return 0;
}

static int stack_print(FILE *out, struct labels *labels, const struct profile_site *site)
{
	const struct profile *profile = labels->profile;
	const char *separator = "";

	if (profile->process_count > 1 && process_print(out, &profile->processes[site->process]))
		return -ENOMEM;
	if (site->truncated && site->frame_count > 1) {
		fputs("[truncated]", out);
		separator = ";";
	}
	for (uint32_t i = site->frame_count; i-- > 0;) {
		const char *label = label_get(labels, site->frames[i]);

		if (!label)
			return -ENOMEM;
		fprintf(out, "%s%s", separator, label);
		separator = ";";
	}
	if (!separator[0])
		fputs("[no frames]", out);
	return 0;
}

int export_folded(FILE *out, const struct export_input *input, enum folded_value value)
{
	struct labels labels = {.profile = input->profile};
	char buffer[COUNTS_MAX];
	int status = 0;

	labels.items = calloc(input->profile->frame_count + 1UL, sizeof(*labels.items));
	if (!labels.items)
		return -ENOMEM;
	for (size_t i = 0; i < input->ranking->count && i < input->limit && !status; i++) {
		const char *counts = counts_format(&input->ranking->items[i], value, buffer);

		if (!counts[0])
			continue;
		status = stack_print(out, &labels, input->ranking->items[i].site);
		fprintf(out, "%s\n", counts);
	}
	labels_free(&labels);
	return status;
}
