/* SPDX-License-Identifier: GPL-2.0-only */
/* verdict.c - see verdict.h */
#include "profile/verdict.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/units.h"
#include "base/vec.h"
#include "profile/rank.h"

#define PROCESSES_SHOWN 16
#define EVENTS_SHOWN	12
#define LINE_MAX_BYTES	1024

const char *alloc_class_name(uint32_t alloc_class)
{
	static const char *const names[CLASS_COUNT] = {
	    [CLASS_MALLOC] = "malloc",
	    [CLASS_PYTHON] = "python",
	    [CLASS_MMAP] = "mmap",
	};

	return alloc_class < CLASS_COUNT ? names[alloc_class] : "unknown";
}

/* ---- figures ------------------------------------------------------------------------------------
 */

static double difference(uint64_t end, uint64_t start)
{
	return (double)end - (double)start;
}

/* First and last resident size that was read. */
static void rss_read(const struct profile *profile, const struct profile_process *process,
		     struct memory_growth *growth)
{
	growth->start_rss = process->start_memory.rss_bytes;
	growth->end_rss = process->end_memory.rss_bytes;
	for (uint32_t i = 0; i < profile->snapshot_count && growth->start_rss <= 0; i++)
		growth->start_rss = process->rss_bytes[i];
	for (uint32_t i = profile->snapshot_count; i-- > 0 && growth->end_rss <= 0;)
		growth->end_rss = process->rss_bytes[i];
}

static void memory_divide(const struct profile_process *process, struct memory_growth *growth)
{
	const struct memory_breakdown *start = &process->start_memory, *end = &process->end_memory;
	double allocator = difference(end->allocator_bytes, start->allocator_bytes);

	growth->divided = start->rss_bytes && end->rss_bytes;
	if (!growth->divided)
		return;
	growth->held = allocator - growth->live_growth;
	growth->other = difference(end->file_bytes, start->file_bytes) +
			difference(end->stack_bytes, start->stack_bytes) +
			difference(end->shared_bytes, start->shared_bytes);
	growth->unexplained = growth->end_rss - growth->start_rss - allocator - growth->other;
	growth->swap = difference(end->swap_bytes, start->swap_bytes);
}

static void site_add(const struct profile_site *site, uint32_t last, struct memory_growth *growth)
{
	struct site_totals end = profile_site_at(site, last);
	double grown = live_bytes(end) - live_bytes(profile_site_at(site, 0));

	growth->live[site->alloc_class] += live_bytes(end);
	growth->growth[site->alloc_class] += grown;
	growth->live_growth += grown;
	growth->variance += end.variance;
}

struct memory_growth *memory_growth_read(const struct profile *profile)
{
	struct memory_growth *growth = calloc(profile->process_count + 1UL, sizeof(*growth));
	uint32_t last = profile->snapshot_count ? profile->snapshot_count - 1 : 0;

	if (!growth)
		return NULL;
	for (uint32_t i = 0; i < profile->site_count; i++)
		site_add(&profile->sites[i], last, &growth[profile->sites[i].process]);
	for (uint32_t i = 0; i < profile->process_count; i++) {
		rss_read(profile, &profile->processes[i], &growth[i]);
		memory_divide(&profile->processes[i], &growth[i]);
	}
	return growth;
}

/* ---- lines --------------------------------------------------------------------------------------
 */

struct line {
	char text[LINE_MAX_BYTES];
	size_t used;
};

static void __attribute__((format(printf, 2, 3))) say(struct line *line, const char *format, ...)
{
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(line->text + line->used, sizeof(line->text) - line->used, format, args);
	va_end(args);
	if (length > 0)
		line->used += length;
	if (line->used >= sizeof(line->text))
		line->used = sizeof(line->text) - 1;
}

static int finish(struct verdict *verdict, enum verdict_tone tone, const struct line *line)
{
	struct verdict_line *item = vec_add(verdict);

	if (!item)
		return -ENOMEM;
	item->tone = tone;
	item->text = strdup(line->text);
	return item->text ? 0 : -ENOMEM;
}

static void say_growth(struct line *line, const char *before, double bytes)
{
	char buffer[UNITS_TEXT_MAX];

	say(line, "%s%s", before, units_format_growth(bytes, buffer));
}

static void say_duration(struct line *line, const char *before, double seconds)
{
	char buffer[UNITS_TEXT_MAX];

	say(line, "%s%s", before, units_format_duration(seconds, buffer));
}

static void say_live_heap(struct line *line, const struct memory_growth *growth)
{
	const char *before = " (";

	say_growth(line, "live heap ", growth->live_growth);
	if (growth->variance > 0) {
		char buffer[UNITS_TEXT_MAX];

		say(line, " \302\261%s", units_format_bytes(sqrt(growth->variance), buffer));
	}
	for (unsigned int class = 0; class < CLASS_COUNT; class ++) {
		if (growth->growth[class] == 0 && growth->live[class] == 0)
			continue;
		say(line, "%s%s", before, alloc_class_name(class));
		say_growth(line, " ", growth->growth[class]);
		before = ", ";
	}
	if (before[0] == ',')
		say(line, ")");
}

static void say_process(struct line *line, const struct profile *profile, uint32_t index,
			const struct memory_growth *growth)
{
	char buffer[UNITS_TEXT_MAX];
	const struct profile_process *process = &profile->processes[index];
	uint64_t end_ns =
	    process->end_ns > process->begin_ns ? process->end_ns : profile->duration_ns;
	double seconds = difference(end_ns, process->begin_ns) / NS_PER_S;

	if (profile->process_count > 1)
		say(line, "%s (pid %d): ", process->comm, (int)process->pid);
	if (growth->start_rss <= 0 || growth->end_rss <= 0) {
		say_live_heap(line, growth);
		say_duration(line, " in ", fmax(seconds, 0));
		say(line, "; resident memory was not read");
		return;
	}
	say_growth(line, "RSS ", growth->end_rss - growth->start_rss);
	say_duration(line, " in ", fmax(seconds, 0));
	say(line, growth->divided ? " = " : "; ");
	say_live_heap(line, growth);
	if (!growth->divided) {
		say(line, "; how the rest divides was not read");
		return;
	}
	if (growth->held < 0)
		say(line, " - reused or not touched %s", units_format_bytes(-growth->held, buffer));
	else
		say_growth(line, " + allocator-held ", growth->held);
	say_growth(line, " + other ", growth->other);
	if (fabs(growth->unexplained) >= 4096)
		say_growth(line, " + unexplained ", growth->unexplained);
	if (growth->swap != 0)
		say_growth(line, "; swapped out ", growth->swap);
}

static void say_stacks(struct line *line, const struct ranking *ranking)
{
	size_t counts[VERDICT_COUNT] = {0};

	for (size_t i = 0; i < ranking->count; i++)
		counts[ranking->items[i].verdict]++;
	if (!counts[VERDICT_LEAK] && !counts[VERDICT_GROWING]) {
		say(line, "no stack keeps growing");
		return;
	}
	if (counts[VERDICT_LEAK])
		say(line, "%zu stack%s grow%s steadily", counts[VERDICT_LEAK],
		    counts[VERDICT_LEAK] == 1 ? "" : "s", counts[VERDICT_LEAK] == 1 ? "s" : "");
	if (counts[VERDICT_GROWING])
		say(line, "%s%zu %sgrow%s but exchange%s what %s hold%s or slow%s down",
		    counts[VERDICT_LEAK] ? ", " : "", counts[VERDICT_GROWING],
		    counts[VERDICT_LEAK] ? ""
					 : (counts[VERDICT_GROWING] == 1 ? "stack " : "stacks "),
		    counts[VERDICT_GROWING] == 1 ? "s" : "",
		    counts[VERDICT_GROWING] == 1 ? "s" : "",
		    counts[VERDICT_GROWING] == 1 ? "it" : "they",
		    counts[VERDICT_GROWING] == 1 ? "s" : "",
		    counts[VERDICT_GROWING] == 1 ? "s" : "");
}

static int add_processes(struct verdict *verdict, const struct profile *profile, const char *stacks)
{
	_cleanup_free_ struct memory_growth *growth = memory_growth_read(profile);
	uint32_t shown =
	    profile->process_count < PROCESSES_SHOWN ? profile->process_count : PROCESSES_SHOWN;

	if (!growth)
		return -ENOMEM;
	for (uint32_t i = 0; i < shown; i++) {
		struct line line = {0};

		say_process(&line, profile, i, &growth[i]);
		if (profile->process_count == 1)
			say(&line, "; %s", stacks);
		if (finish(verdict, TONE_ANSWER, &line))
			return -ENOMEM;
	}
	return 0;
}

static int add_answers(struct verdict *verdict, const struct profile *profile,
		       const struct ranking *ranking)
{
	struct line stacks = {0};

	say_stacks(&stacks, ranking);
	if (add_processes(verdict, profile, stacks.text))
		return -ENOMEM;
	if (profile->process_count == 1)
		return 0;
	if (profile->process_count > PROCESSES_SHOWN) {
		struct line more = {0};

		say(&more, "and %u more processes", profile->process_count - PROCESSES_SHOWN);
		if (finish(verdict, TONE_ANSWER, &more))
			return -ENOMEM;
	}
	return finish(verdict, TONE_ANSWER, &stacks);
}

static int add_sampling(struct verdict *verdict, const struct profile *profile)
{
	char buffer[UNITS_TEXT_MAX];
	struct line line = {0};

	if (profile->sample_bytes <= 1)
		return 0;
	say(&line,
	    "sampled, once in %s on average: sizes are estimates, "
	    "\302\261 is one standard deviation",
	    units_format_bytes(profile->sample_bytes, buffer));
	return finish(verdict, TONE_NOTE, &line);
}

/* Sites whose root is missing: they rank correctly, but where they come from is open. */
static int add_truncated(struct verdict *verdict, const struct profile *profile)
{
	uint32_t last = profile->snapshot_count ? profile->snapshot_count - 1 : 0, count = 0;
	double cut = 0, whole = 0;
	struct line line = {0};

	for (uint32_t i = 0; i < profile->site_count; i++) {
		const struct profile_site *site = &profile->sites[i];
		double bytes = profile_site_at(site, last).alloc_bytes;

		whole += bytes;
		if (!site->truncated)
			continue;
		count++;
		cut += bytes;
	}
	if (!count)
		return 0;
	say(&line, "%u of %u stacks do not reach their root (%.2g %% of the allocated bytes)",
	    count, profile->site_count, whole > 0 ? 100 * cut / whole : 0);
	return finish(verdict, TONE_NOTE, &line);
}

static int add_unmatched(struct verdict *verdict, const struct profile *profile)
{
	char buffer[UNITS_TEXT_MAX];
	struct line line = {0};

	if (!profile->unmatched_frees)
		return 0;
	say(&line, "%s blocks freed that %s", units_format_count(profile->unmatched_frees, buffer),
	    profile->sample_bytes > 1 ? "are older than the recording or were not sampled"
				      : "are older than the recording");
	return finish(verdict, TONE_NOTE, &line);
}

static int add_events(struct verdict *verdict, const struct profile *profile)
{
	uint32_t shown = profile->event_count < EVENTS_SHOWN ? profile->event_count : EVENTS_SHOWN;
	struct line rest = {0};

	for (uint32_t i = 0; i < shown; i++) {
		struct line line = {0};

		say_duration(&line, "after ", profile->events[i].time_ns / (double)NS_PER_S);
		say(&line, ": %s", profile->events[i].text);
		if (finish(verdict, TONE_NOTE, &line))
			return -ENOMEM;
	}
	if (shown == profile->event_count)
		return 0;
	say(&rest, "and %u more events", profile->event_count - shown);
	return finish(verdict, TONE_NOTE, &rest);
}

static int add_losses(struct verdict *verdict, const struct profile *profile)
{
	char buffer[UNITS_TEXT_MAX];

	if (!profile->complete) {
		struct line line = {0};

		say(&line,
		    "incomplete: its writer was killed; it holds what was seen up to the last "
		    "snapshot");
		if (finish(verdict, TONE_LOSS, &line))
			return -ENOMEM;
	}
	for (uint32_t i = 0; i < profile->loss_count; i++) {
		struct line line = {0};

		say(&line, "%s %s", units_format_count(profile->losses[i].count, buffer),
		    profile->losses[i].text);
		if (finish(verdict, TONE_LOSS, &line))
			return -ENOMEM;
	}
	return 0;
}

int verdict_build(const struct profile *profile, const struct ranking *ranking,
		  struct verdict *verdict, struct err *err)
{
	*verdict = (struct verdict){0};
	if (add_answers(verdict, profile, ranking) || add_losses(verdict, profile) ||
	    add_sampling(verdict, profile) || add_truncated(verdict, profile) ||
	    add_unmatched(verdict, profile) || add_events(verdict, profile)) {
		verdict_free(verdict);
		return err_set(err, ENOMEM, "out of memory");
	}
	return 0;
}

void verdict_free(struct verdict *verdict)
{
	for (size_t i = 0; i < verdict->count; i++)
		free(verdict->items[i].text);
	free(verdict->items);
	*verdict = (struct verdict){0};
}
