/* SPDX-License-Identifier: GPL-2.0-only */
/* tracemalloc.c - see tracemalloc.h */
#include "export/tracemalloc.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "export/utf8.h"
#include "profile/profile.h"
#include "profile/rank.h"
#include "profile/verdict.h"

#define SIZE_TEXT_MAX 64

/* _format_size(): three digits below 100 of a unit, else up to 10 * 1024 of it; TiB is the last. */
static const char *size_format(double size, bool sign, char text[SIZE_TEXT_MAX])
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	const size_t last = ARRAY_LEN(units) - 1;

	for (size_t i = 0;; i++, size /= 1024) {
		bool tenths = i > 0 && fabs(size) < 100;

		if (!tenths && fabs(size) >= 10 * 1024 && i < last)
			continue;
		snprintf(text, SIZE_TEXT_MAX, sign ? "%+.*f %s" : "%.*f %s", tenths, size,
			 units[i]);
		return text;
	}
}

/* The figures as tracemalloc has them: whole bytes and blocks. */
struct figures {
	long long size, size_diff, count, count_diff;
};

static struct figures figures_of(const struct ranked_site *ranked)
{
	return (struct figures){llround(live_bytes(ranked->end)), llround(ranked->growth_bytes),
				llround(live_blocks(ranked->end)), llround(ranked->growth_blocks)};
}

/* ---- order ------------------------------------------------------------------------------------
 */

static const char *file_of(const struct profile_frame *frame)
{
	return frame->file ? frame->file : frame->module ? frame->module : frame->function;
}

static int number_order(long long left, long long right)
{
	return (left > right) - (left < right);
}

/* As tuples of (file name, line) compare, oldest first. */
static int frames_order(const struct profile *profile, const struct profile_site *left,
			const struct profile_site *right)
{
	uint32_t i = left->frame_count, k = right->frame_count;

	while (i > 0 && k > 0) {
		const struct profile_frame *a = &profile->frames[left->frames[--i]];
		const struct profile_frame *b = &profile->frames[right->frames[--k]];
		int order = strcmp(file_of(a), file_of(b));

		if (!order)
			order = number_order(a->line, b->line);
		if (order)
			return order;
	}
	return number_order(i, k);
}

static int by_difference(const void *left, const void *right, void *profile)
{
	const struct ranked_site *a = left, *b = right;
	struct figures x = figures_of(a), y = figures_of(b);
	int order = number_order(llabs(x.size_diff), llabs(y.size_diff));

	if (!order)
		order = number_order(x.size, y.size);
	if (!order)
		order = number_order(llabs(x.count_diff), llabs(y.count_diff));
	if (!order)
		order = number_order(x.count, y.count);
	if (!order)
		order = frames_order(profile, a->site, b->site);
	if (!order) /* of other classes and processes */
		order = a->site < b->site ? 1 : -1;
	return -order;
}

void tracemalloc_sort(const struct profile *profile, struct ranking *ranking)
{
	if (ranking->count)
		qsort_r(ranking->items, ranking->count, sizeof(*ranking->items), by_difference,
			(void *)profile);
}

/* ---- lines ------------------------------------------------------------------------------------
 */

/* Frame.__str__: "FILE:LINE", with line 0 for groups by file. Native code may lack both. */
static void frame_print(FILE *out, const struct profile_frame *frame)
{
	bool named = frame->module && !strstr(frame->function, "+0x");

	if (frame->file) {
		utf8_print(out, frame->file);
		fprintf(out, ":%u", frame->line);
		return;
	}
	utf8_print(out, frame->function);
	if (frame->offset && named) {
		fputs(" (", out);
		utf8_print(out, path_base(frame->module));
		fprintf(out, "+0x%llx)", (unsigned long long)frame->offset);
	} else if (frame->module && !strcmp(frame->function, frame->module)) {
		fputs(":0", out);
	}
}

/* Traceback.format(), with the function as tracebacks of exceptions have it. */
static void traceback_print(FILE *out, const struct profile *profile,
			    const struct profile_site *site)
{
	for (uint32_t i = site->frame_count; i-- > 0;) {
		const struct profile_frame *frame = &profile->frames[site->frames[i]];

		fputs("  ", out);
		if (frame->file) {
			fputs("File \"", out);
			utf8_print(out, frame->file);
			fprintf(out, "\", line %u, in ", frame->line);
			utf8_print(out, frame->function);
		} else {
			frame_print(out, frame);
		}
		fputc('\n', out);
	}
}

/* What tracemalloc has no word for. */
static void extras_print(FILE *out, const struct export_input *input,
			 const struct ranked_site *ranked, uint32_t plain)
{
	const struct profile_site *site = ranked->site;
	const struct profile *profile = input->profile;
	char error[SIZE_TEXT_MAX];

	if (ranked->error_bytes > 0)
		fprintf(out, ", error=%s", size_format(round(ranked->error_bytes), false, error));
	if (site->alloc_class != plain)
		fprintf(out, ", class=%s", alloc_class_name(site->alloc_class));
	if (input->whole->process_count < 2)
		return;
	if (!site->pids)
		fprintf(out, ", pid=%d", (int)profile->processes[site->process].pid);
	else if (site->pid_count == 1)
		fprintf(out, ", pid=%d", (int)site->pids[0]);
	else
		fprintf(out, ", processes=%u", site->pid_count);
}

/* StatisticDiff.__str__; a traceback is named by its oldest frame, as Traceback.__str__ does. */
static void statistic_print(FILE *out, const struct export_input *input,
			    const struct ranked_site *ranked, uint32_t plain)
{
	static const struct profile_frame nothing = {.function = "[no frames]"};
	const struct profile_site *site = ranked->site;
	struct figures figures = figures_of(ranked);
	char size[SIZE_TEXT_MAX], diff[SIZE_TEXT_MAX], average[SIZE_TEXT_MAX];

	frame_print(out, site->frame_count
			     ? &input->profile->frames[site->frames[site->frame_count - 1]]
			     : &nothing);
	fprintf(out, ": size=%s (%s), count=%lld (%+lld)", size_format(figures.size, false, size),
		size_format(figures.size_diff, true, diff), figures.count, figures.count_diff);
	if (figures.count)
		fprintf(out, ", average=%s",
			size_format((double)figures.size / figures.count, false, average));
	extras_print(out, input, ranked, plain);
	fputc('\n', out);
}

void tracemalloc_print(FILE *out, const struct export_input *input, size_t rows, bool tracebacks)
{
	/* the class that needs no word */
	uint32_t plain = profile_has_python(input->whole) ? CLASS_PYTHON : CLASS_MALLOC;

	for (size_t i = 0; i < rows; i++) {
		const struct ranked_site *ranked = &input->ranking->items[i];

		if (tracebacks && i)
			fputc('\n', out);
		statistic_print(out, input, ranked, plain);
		if (tracebacks)
			traceback_print(out, input->profile, ranked->site);
	}
}
