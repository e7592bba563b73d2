/* SPDX-License-Identifier: GPL-2.0-only */
/* verdict.c - see verdict.h */
#include "profile/verdict.h"

#include <ctype.h>
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
#include "profile/diff.h"
#include "profile/rank.h"

#define PROCESSES_SHOWN 3
#define EVENTS_SHOWN	4
#define MARKS_SHOWN	6
#define LIVES_SHOWN	2 /* forks, execs and exits; more of them are counted */
#define LINE_MAX_BYTES	1024
#define EXCHANGE_BYTES	(1 << 20) /* live growth worth a doubt */
#define EXCHANGE_SHARE	0.25	  /* of it: RSS that grew less does not follow */
#define EXCHANGE_FEWEST 0.5	  /* older blocks freed for each one kept, at least and at most */
#define EXCHANGE_MOST	3

const char *alloc_class_name(uint32_t alloc_class)
{
	static const char *const names[CLASS_COUNT] = {
	    [CLASS_MALLOC] = "malloc",
	    [CLASS_PYTHON] = "python",
	    [CLASS_MMAP] = "mmap",
	};

	return alloc_class < CLASS_COUNT ? names[alloc_class] : "unknown";
}

const char *percent_format(double percent, char *buffer)
{
	if (percent > 0 && percent < 0.01)
		snprintf(buffer, UNITS_TEXT_MAX, "under 0.01");
	else
		snprintf(buffer, UNITS_TEXT_MAX, percent < 9.95 ? "%.2g" : "%.0f", percent);
	return buffer;
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
	uint32_t readings = 0;

	growth->start_rss = process->start_memory.rss_bytes;
	growth->end_rss = process->end_memory.rss_bytes;
	for (uint32_t i = 0; i < profile->snapshot_count && growth->start_rss <= 0; i++)
		growth->start_rss = process->rss_bytes[i];
	for (uint32_t i = profile->snapshot_count; i-- > 0 && growth->end_rss <= 0;)
		growth->end_rss = process->rss_bytes[i];
	for (uint32_t i = 0; i < profile->snapshot_count; i++)
		readings += process->rss_bytes[i] != 0;
	if (profile->diff) {
		growth->start_rss = process->rss_bytes[0];
		growth->end_rss = process->rss_bytes[1];
	}
	growth->read_once = process->end_reason && readings < 2 &&
			    (growth->end_rss == growth->start_rss || growth->start_rss <= 0);
}

/* A breakdown whose parts are all zero is a resident size alone. */
static bool memory_has_parts(const struct memory_breakdown *memory)
{
	return memory->rss_bytes && (memory->allocator_bytes || memory->file_bytes ||
				     memory->stack_bytes || memory->shared_bytes);
}

static void memory_divide(const struct profile_process *process, struct memory_growth *growth)
{
	const struct memory_breakdown *start = &process->start_memory, *end = &process->end_memory;
	double allocator = difference(end->allocator_bytes, start->allocator_bytes);

	growth->divided = !growth->read_once && memory_has_parts(start) && memory_has_parts(end);
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

bool process_counts(const struct profile_process *process, const struct memory_growth *growth)
{
	if (!process->end_reason || strcmp(process->end_reason, "exec") != 0)
		return true;
	for (unsigned int class = 0; class < CLASS_COUNT; class ++)
		if (fabs(growth->live[class]) >= 0.5)
			return true;
	return false;
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

/* What the report is made of, read once. */
struct reading {
	const struct profile *profile;
	const struct ranking *ranking;
	struct memory_growth *growth;	     /* by process */
	uint32_t order[PROCESSES_SHOWN + 1]; /* those that grew most, most first */
	uint32_t count;			     /* of those that count */
	bool exchange;			     /* see is_exchange() */
};

static const char *plural(size_t count)
{
	return count == 1 ? "" : "s";
}

static void say_count(struct line *line, uint64_t count, const char *what)
{
	char buffer[UNITS_TEXT_MAX];

	say(line, "%s %s%s", units_format_count(count, buffer), what, plural(count));
}

static void say_divided(struct line *line, const struct memory_growth *growth)
{
	char buffer[UNITS_TEXT_MAX];

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

static void say_process(struct line *line, const struct reading *reading, uint32_t index)
{
	const struct profile_process *process = &reading->profile->processes[index];
	const struct memory_growth *growth = &reading->growth[index];
	uint64_t end_ns =
	    process->end_ns > process->begin_ns ? process->end_ns : reading->profile->duration_ns;
	double seconds = fmax(difference(end_ns, process->begin_ns) / NS_PER_S, 0);

	if (reading->count > 1)
		say(line, "%s (pid %d): ", process->comm, (int)process->pid);
	if (growth->start_rss <= 0 || growth->end_rss <= 0 || growth->read_once) {
		say_live_heap(line, growth);
		say_duration(line, " in ", seconds);
		say(line, "; resident memory was %s",
		    growth->read_once && growth->end_rss > 0 ? "read only once" : "not read");
		return;
	}
	say_growth(line, "RSS ", growth->end_rss - growth->start_rss);
	say_duration(line, " in ", seconds);
	say(line, growth->divided ? " = " : "; ");
	say_live_heap(line, growth);
	if (growth->divided)
		say_divided(line, growth);
	else
		say(line, "; what else RSS holds was not read%s",
		    process->end_reason ? " before it ended" : "");
}

struct stack_counts {
	size_t leak, growing, early; /* early: growing, of a process with few snapshots */
};

static struct stack_counts stacks_count(const struct ranking *ranking)
{
	struct stack_counts counts = {0};

	for (size_t i = 0; i < ranking->count; i++) {
		const struct ranked_site *ranked = &ranking->items[i];

		counts.leak += ranked->verdict == VERDICT_LEAK;
		if (ranked->verdict == VERDICT_GROWING)
			*(ranked->snapshots < RANK_FEW ? &counts.early : &counts.growing) += 1;
	}
	return counts;
}

static void say_stacks(struct line *line, const struct reading *reading)
{
	struct stack_counts counts = stacks_count(reading->ranking);
	const char *before = "";

	if (!counts.leak && !counts.growing && !counts.early) {
		say(line, "no stack keeps growing");
		return;
	}
	if (reading->exchange) {
		size_t all = counts.leak + counts.growing + counts.early;

		say_count(line, all, "stack");
		say(line, " only seem%s to grow, see the next line", all == 1 ? "s" : "");
		return;
	}
	if (counts.leak) {
		say_count(line, counts.leak, "stack");
		say(line, " grow%s steadily", counts.leak == 1 ? "s" : "");
		before = ", ";
	}
	if (counts.growing) {
		say(line, "%s", before);
		say_count(line, counts.growing, "stack");
		say(line, counts.growing == 1 ? " grows but exchanges what it holds or slows down"
					      : " grow but exchange what they hold or slow down");
		before = ", ";
	}
	if (counts.early) {
		say(line, "%s", before);
		say_count(line, counts.early, "stack");
		say(line, " grew, too early to say how");
	}
}

static int add_processes(struct verdict *verdict, const struct reading *reading, const char *stacks)
{
	uint32_t shown = reading->count < PROCESSES_SHOWN ? reading->count : PROCESSES_SHOWN;
	struct line more = {0};

	for (uint32_t i = 0; i < shown; i++) {
		struct line line = {0};

		say_process(&line, reading, reading->order[i]);
		if (reading->count == 1)
			say(&line, "; %s", stacks);
		if (finish(verdict, TONE_ANSWER, &line))
			return -ENOMEM;
	}
	if (reading->count == shown)
		return 0;
	say(&more, "and %u more process%s", reading->count - shown,
	    reading->count - shown == 1 ? "" : "es");
	return finish(verdict, TONE_ANSWER, &more);
}

/* "since mark1 (after 12s): 4.1 MiB in 4,099 blocks allocated, of these 1.2 MiB in 1,201 alive" */
static int add_since(struct verdict *verdict, const struct reading *reading, const char *stacks)
{
	const struct profile_since *since = reading->profile->since;
	char buffer[UNITS_TEXT_MAX];
	struct line line = {0};

	say_duration(&line, "since ", since->time_ns / (double)NS_PER_S);
	if (strcmp(since->name, units_format_duration(since->time_ns / (double)NS_PER_S, buffer)))
		say(&line, " (%s)", since->name);
	say(&line, ": %s allocated in ", units_format_bytes(since->alloc_bytes, buffer));
	say_count(&line, llround(since->alloc_blocks), "block");
	if (since->exact || since->most_bytes - since->live_bytes < 0.5) {
		say(&line, ", of these alive at the end %s in ",
		    units_format_bytes(since->live_bytes, buffer));
		say_count(&line, llround(since->live_blocks), "block");
	} else {
		say(&line, ", of these alive at the end at least %s",
		    units_format_bytes(since->live_bytes, buffer));
		say(&line, ", at most %s (exact only since a mark)",
		    units_format_bytes(since->most_bytes, buffer));
	}
	say(&line, "; %s", stacks);
	return finish(verdict, TONE_ANSWER, &line);
}

static int add_answers(struct verdict *verdict, const struct reading *reading)
{
	struct line stacks = {0};

	say_stacks(&stacks, reading);
	if (reading->profile->since)
		return add_since(verdict, reading, stacks.text);
	if (add_processes(verdict, reading, stacks.text))
		return -ENOMEM;
	return reading->count == 1 ? 0 : finish(verdict, TONE_ANSWER, &stacks);
}

static double blocks_that_grow(const struct ranking *ranking)
{
	double blocks = 0;

	for (size_t i = 0; i < ranking->count; i++)
		if (ranking->items[i].verdict == VERDICT_LEAK ||
		    ranking->items[i].verdict == VERDICT_GROWING)
			blocks += ranking->items[i].growth_blocks;
	return blocks;
}

/* Did RSS stay behind a live heap that grew by 'least_bytes' at least? Where it was not read,
 * nobody can say. */
static bool rss_stayed_behind(const struct reading *reading, double least_bytes)
{
	double live = 0, rss = 0;

	for (uint32_t i = 0; i < reading->profile->process_count; i++) {
		const struct memory_growth *growth = &reading->growth[i];

		if (growth->live_growth <= 0)
			continue;
		if (growth->start_rss <= 0 || growth->end_rss <= 0 || growth->read_once)
			return false;
		live += growth->live_growth;
		rss += growth->end_rss - growth->start_rss;
	}
	return live >= least_bytes && rss < EXCHANGE_SHARE * live;
}

/* Were so many older blocks freed that those which seem to grow may just have taken their place? In
 * sampled recordings most frees are of unknown blocks: they say nothing. */
static bool older_made_room(const struct reading *reading)
{
	double blocks = blocks_that_grow(reading->ranking);

	return reading->profile->sample_bytes <= 1 && blocks > 0 &&
	       reading->profile->unmatched_frees >= EXCHANGE_FEWEST * blocks;
}

/*
 * A cache that was full before the recording looks like a leak until it has exchanged its contents
 * once: the new blocks are seen, the old ones that they replace are not. Two things betray it: RSS
 * does not follow, and about as many unknown blocks are freed.
 */
static bool is_exchange(const struct reading *reading)
{
	return older_made_room(reading) && rss_stayed_behind(reading, EXCHANGE_BYTES) &&
	       reading->profile->unmatched_frees <=
		   EXCHANGE_MOST * blocks_that_grow(reading->ranking);
}

static int add_exchange(struct verdict *verdict, const struct reading *reading)
{
	char buffer[UNITS_TEXT_MAX];
	struct line line = {0};

	if (!reading->exchange)
		return 0;
	say(&line, "RSS did not grow with it, and about as many older blocks were freed (");
	say_count(&line, reading->profile->unmatched_frees, "block");
	say(&line,
	    ") as new ones kept (%s): more likely old blocks are being replaced (a full cache) "
	    "than a leak; record longer",
	    units_format_count(llround(blocks_that_grow(reading->ranking)), buffer));
	return finish(verdict, TONE_ANSWER, &line);
}

/* Most snapshots that a process has among those with too few; 0 when that hides nothing. */
static uint32_t few_snapshots(const struct ranking *ranking)
{
	uint32_t most = 0;
	bool all = true, grew = false;

	for (size_t i = 0; i < ranking->count; i++) {
		const struct ranked_site *ranked = &ranking->items[i];

		if (ranked->snapshots >= RANK_FEW) {
			all = false;
			continue;
		}
		grew |= ranked->verdict == VERDICT_GROWING;
		if (ranked->snapshots > most)
			most = ranked->snapshots;
	}
	return grew || all ? most : 0;
}

static int add_few(struct verdict *verdict, const struct reading *reading)
{
	uint32_t few = few_snapshots(reading->ranking);
	struct line line = {0};

	if (!few)
		return 0;
	say(&line,
	    "too few snapshots%s (%s%u) to tell a leak from a start-up; record longer or use a "
	    "shorter --interval",
	    reading->count > 1 ? " of short processes" : "", reading->count > 1 ? "at most " : "",
	    few);
	return finish(verdict, TONE_LOSS, &line);
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
	char buffer[UNITS_TEXT_MAX];
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
	say(&line, "%s of ", units_format_count(count, buffer));
	say_count(&line, profile->site_count, "stack");
	say(&line, " do%s not reach %s root (%s %% of the allocated bytes)", count == 1 ? "es" : "",
	    count == 1 ? "its" : "their",
	    percent_format(whole > 0 ? 100 * cut / whole : 0, buffer));
	return finish(verdict, TONE_NOTE, &line);
}

static int add_unmatched(struct verdict *verdict, const struct reading *reading)
{
	const struct profile *profile = reading->profile;
	const char *is = profile->unmatched_frees == 1 ? "is" : "are";
	struct line line = {0};

	if (!profile->unmatched_frees || reading->exchange)
		return 0;
	say_count(&line, profile->unmatched_frees, "block");
	say(&line, " freed that %s older than the recording", is);
	if (profile->sample_bytes > 1)
		say(&line, " or %s not sampled", profile->unmatched_frees == 1 ? "was" : "were");
	else if (older_made_room(reading) && rss_stayed_behind(reading, 0))
		say(&line, ": new ones in their place look like growth, record longer to tell");
	return finish(verdict, TONE_NOTE, &line);
}

enum event_group { EVENT_FORK, EVENT_EXEC, EVENT_EXIT, EVENT_OTHER, EVENT_MARK, EVENT_GROUPS };

static enum event_group event_group_of(const struct profile_event *event)
{
	static const char *const kinds[EVENT_OTHER] = {"fork", "exec", "exit"};

	for (unsigned int i = 0; i < EVENT_OTHER; i++)
		if (!strcmp(event->kind, kinds[i]))
			return i;
	return strcmp(event->kind, "mark") ? EVENT_OTHER : EVENT_MARK;
}

/* "12 processes were forked, 3 ran another program, 11 exited" */
static int add_lives(struct verdict *verdict, const uint32_t counts[EVENT_GROUPS])
{
	static const char *const did[EVENT_OTHER][2] = {
	    [EVENT_FORK] = {"was forked", "were forked"},
	    [EVENT_EXEC] = {"ran another program", "ran another program"},
	    [EVENT_EXIT] = {"exited", "exited"},
	};
	char buffer[UNITS_TEXT_MAX];
	struct line line = {0};

	for (unsigned int i = 0; i < EVENT_OTHER; i++) {
		if (!counts[i])
			continue;
		say(&line, "%s%s%s %s", line.used ? ", " : "",
		    units_format_count(counts[i], buffer),
		    line.used	     ? ""
		    : counts[i] == 1 ? " process"
				     : " processes",
		    did[i][counts[i] != 1]);
	}
	return finish(verdict, TONE_NOTE, &line);
}

static int add_event(struct verdict *verdict, const struct profile_event *event)
{
	struct line line = {0};

	say_duration(&line, "after ", event->time_ns / (double)NS_PER_S);
	say(&line, ": %s", event->text);
	return finish(verdict, TONE_NOTE, &line);
}

static int add_events(struct verdict *verdict, const struct profile *profile)
{
	uint32_t counts[EVENT_GROUPS] = {0}, shown = 0, more = 0;
	struct line rest = {0};
	bool many;

	for (uint32_t i = 0; i < profile->event_count; i++)
		counts[event_group_of(&profile->events[i])]++;
	many = counts[EVENT_FORK] + counts[EVENT_EXEC] + counts[EVENT_EXIT] > LIVES_SHOWN;
	if (many && add_lives(verdict, counts))
		return -ENOMEM;
	for (uint32_t i = 0; i < profile->event_count; i++) {
		enum event_group group = event_group_of(&profile->events[i]);

		if (group == EVENT_MARK || (many && group != EVENT_OTHER))
			continue; /* marks have a line of their own */
		if (shown + many == EVENTS_SHOWN)
			more++;
		else if (shown++, add_event(verdict, &profile->events[i]))
			return -ENOMEM;
	}
	if (!more)
		return 0;
	say(&rest, "and %u more event%s (--format json has all)", more, plural(more));
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

static bool stack_is_asyncio(const struct profile *profile, const struct profile_site *site)
{
	for (uint32_t i = 0; i < site->frame_count; i++) {
		const struct profile_frame *frame = &profile->frames[site->frames[i]];

		if (frame->python && frame->file && strstr(frame->file, "/asyncio/"))
			return true;
	}
	return false;
}

/* From 3.14 on the interpreter itself can list the tasks of another process (Lib/asyncio/tools.py):
 * a leak in a task is often a task that waits for ever. */
static int add_asyncio(struct verdict *verdict, const struct reading *reading)
{
	const struct profile *profile = reading->profile;
	const struct ranked_site *first = reading->ranking->items;
	const struct profile_process *process;
	struct line line = {0};

	if (!reading->ranking->count ||
	    (first->verdict != VERDICT_LEAK && first->verdict != VERDICT_GROWING))
		return 0;
	process = &profile->processes[first->site->process];
	if (!process->python || strncmp(process->python, "3.14", 4) != 0 ||
	    isdigit((unsigned char)process->python[4]) || process->end_reason ||
	    !stack_is_asyncio(profile, first->site))
		return 0;
	say(&line,
	    "the first stack runs in asyncio: python3.14 -m asyncio pstree %d shows what tasks "
	    "wait for",
	    (int)process->pid);
	return finish(verdict, TONE_NOTE, &line);
}

/* ---- of two moments -----------------------------------------------------------------------------
 */

/* "12.1 MiB at mark1 (after 12s)"; of two recordings "12.1 MiB in after.seep@30s", with
 * " (30s, 413 KiB/s, sampled)" where they differ in that. */
static void say_moment(struct line *line, const char *before, const struct profile_diff *diff,
		       const struct profile_moment *moment)
{
	double seconds = diff_seconds(diff, moment);
	char buffer[UNITS_TEXT_MAX];
	const char *open = " (";

	say(line, "%s%s", before, units_format_bytes(moment->live_bytes, buffer));
	if (diff->one_recording) {
		bool word = !strcmp(moment->name, "start") || !strcmp(moment->name, "end");

		say(line, " at %s%s", word ? "the " : "", moment->name);
		say_duration(line, " (after ", moment->time_ns / (double)NS_PER_S);
		say(line, ")");
		return;
	}
	say(line, " in %s", moment->path);
	if (strcmp(moment->name, "end") != 0)
		say(line, "@%s", moment->name);
	if (diff_lengths_differ(diff)) {
		say_duration(line, open, seconds);
		say(line, ", %s/s",
		    units_format_bytes(seconds > 0 ? moment->live_bytes / seconds : 0, buffer));
		open = ", ";
	}
	if (diff->a.sample_bytes != diff->b.sample_bytes) {
		say(line, "%s%s", open, moment->sample_bytes > 1 ? "sampled" : "exact");
		open = ", ";
	}
	if (open[0] == ',')
		say(line, ")");
}

static void say_changes(struct line *line, const struct ranking *ranking)
{
	static const enum site_change said[] = {CHANGE_NEW, CHANGE_GROWN, CHANGE_SHRUNK,
						CHANGE_GONE};
	size_t counts[CHANGE_COUNT] = {0};
	const char *before = "; ";

	for (size_t i = 0; i < ranking->count; i++)
		if (!ranked_site_empty(&ranking->items[i]))
			counts[site_change(&ranking->items[i])]++;
	for (size_t i = 0; i < ARRAY_LEN(said); i++) {
		if (!counts[said[i]])
			continue;
		say(line, "%s", before);
		if (before[0] == ';')
			say_count(line, counts[said[i]], "stack");
		else
			say(line, "%zu", counts[said[i]]);
		say(line, " %s", site_change_name(said[i]));
		before = ", ";
	}
	if (before[0] == ';')
		say(line, "; no stack holds more or less");
}

static int add_difference(struct verdict *verdict, const struct reading *reading)
{
	const struct profile_diff *diff = reading->profile->diff;
	struct memory_growth sum = {0};
	struct line line = {0};

	for (uint32_t i = 0; i < reading->profile->process_count; i++) {
		sum.live_growth += reading->growth[i].live_growth;
		sum.variance += reading->growth[i].variance;
		for (unsigned int class = 0; class < CLASS_COUNT; class ++) {
			sum.growth[class] += reading->growth[i].growth[class];
			sum.live[class] += reading->growth[i].live[class];
		}
	}
	say_live_heap(&line, &sum);
	say_moment(&line, ": from ", diff, &diff->a);
	say_moment(&line, " to ", diff, &diff->b);
	say_changes(&line, reading->ranking);
	return finish(verdict, TONE_ANSWER, &line);
}

static int add_difference_of_rss(struct verdict *verdict, const struct profile_diff *diff)
{
	char a[UNITS_TEXT_MAX], b[UNITS_TEXT_MAX];
	struct line line = {0};

	if (!diff->a.rss_bytes || !diff->b.rss_bytes)
		return 0;
	say_growth(&line, "RSS ", difference(diff->b.rss_bytes, diff->a.rss_bytes));
	say(&line, ": from %s to %s", units_format_bytes(diff->a.rss_bytes, a),
	    units_format_bytes(diff->b.rss_bytes, b));
	return finish(verdict, TONE_ANSWER, &line);
}

static int add_lengths(struct verdict *verdict, const struct profile_diff *diff)
{
	struct line line = {0};

	if (!diff_lengths_differ(diff))
		return 0;
	say(&line, "the recordings are of different lengths: compare the rates, not the sums");
	return finish(verdict, TONE_LOSS, &line);
}

static int add_matching(struct verdict *verdict, const struct profile_diff *diff)
{
	struct line merged = {0}, alone = {0};

	if (diff->merged_a) {
		say(&merged,
		    "%u and %u processes that cannot be told apart (of the same name) are "
		    "compared as one",
		    diff->merged_a, diff->merged_b);
		if (finish(verdict, TONE_NOTE, &merged))
			return -ENOMEM;
	}
	if (!diff->only_a && !diff->only_b)
		return 0;
	say(&alone, "without a counterpart: ");
	say(&alone, "%u process%s of the first, %u of the second moment", diff->only_a,
	    diff->only_a == 1 ? "" : "es", diff->only_b);
	return finish(verdict, TONE_NOTE, &alone);
}

static int difference_lines_add(struct verdict *verdict, const struct reading *reading)
{
	const struct profile *profile = reading->profile;

	if (add_difference(verdict, reading) || add_difference_of_rss(verdict, profile->diff) ||
	    add_lengths(verdict, profile->diff) || add_losses(verdict, profile) ||
	    add_sampling(verdict, profile) || add_truncated(verdict, profile) ||
	    add_matching(verdict, profile->diff))
		return -ENOMEM;
	return 0;
}

/* ---- marks --------------------------------------------------------------------------------------
 */

/* "marks: mark1 after 12s, mark2 after 40s" */
static int add_marks(struct verdict *verdict, const struct profile *profile)
{
	struct line line = {0};
	uint32_t count = 0;

	for (uint32_t i = 0; i < profile->snapshot_count; i++) {
		const struct profile_snapshot *snapshot = &profile->snapshots[i];

		if (!snapshot->mark || (!i && profile->since))
			continue;
		if (count++ == MARKS_SHOWN)
			break;
		say(&line, count == 1 ? "marks: " : ", ");
		say(&line, "mark%u", snapshot->mark);
		say_duration(&line, " after ", snapshot->time_ns / (double)NS_PER_S);
	}
	if (!count)
		return 0;
	if (count > MARKS_SHOWN)
		say(&line, ", and more (--format json has all)");
	say(&line, " (--since NAME shows what was allocated since and is alive)");
	return finish(verdict, TONE_NOTE, &line);
}

static bool grew_more(const struct reading *reading, uint32_t a, uint32_t b)
{
	return reading->growth[a].live_growth > reading->growth[b].live_growth;
}

/* The first of 'order' are the processes that get a line; the rest is only counted. */
static void processes_order(struct reading *reading)
{
	for (uint32_t i = 0; i < reading->profile->process_count; i++) {
		uint32_t at = reading->count < PROCESSES_SHOWN ? reading->count : PROCESSES_SHOWN;

		if (!process_counts(&reading->profile->processes[i], &reading->growth[i]))
			continue;
		reading->count++;
		for (; at > 0 && grew_more(reading, i, reading->order[at - 1]); at--)
			reading->order[at] = reading->order[at - 1];
		reading->order[at] = i;
	}
}

static int lines_add(struct verdict *verdict, struct reading *reading)
{
	const struct profile *profile = reading->profile;

	if (profile->diff)
		return difference_lines_add(verdict, reading);
	processes_order(reading);
	reading->exchange = is_exchange(reading);
	if (add_answers(verdict, reading) || add_exchange(verdict, reading) ||
	    add_few(verdict, reading) || add_losses(verdict, profile) ||
	    add_sampling(verdict, profile) || add_truncated(verdict, profile) ||
	    add_unmatched(verdict, reading) || add_asyncio(verdict, reading) ||
	    add_marks(verdict, profile) || add_events(verdict, profile))
		return -ENOMEM;
	return 0;
}

int verdict_build(const struct profile *profile, const struct ranking *ranking,
		  struct verdict *verdict, struct err *err)
{
	_cleanup_free_ struct memory_growth *growth = memory_growth_read(profile);
	struct reading reading = {.profile = profile, .ranking = ranking, .growth = growth};

	*verdict = (struct verdict){0};
	if (growth && !lines_add(verdict, &reading))
		return 0;
	verdict_free(verdict);
	return err_set(err, ENOMEM, "out of memory");
}

void verdict_free(struct verdict *verdict)
{
	for (size_t i = 0; i < verdict->count; i++)
		free(verdict->items[i].text);
	free(verdict->items);
	*verdict = (struct verdict){0};
}
