/* SPDX-License-Identifier: GPL-2.0-only */
/* recorder.c - see recorder.h */
#include "store/recorder.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "base/table.h"
#include "base/units.h"
#include "base/vec.h"
#include "probe/overhead.h"
#include "probe/session.h"
#include "probe/watch.h"
#include "profile/regions.h"
#include "profile/symbolize.h"
#include "python/codes.h"
#include "store/code_book.h"
#include "store/recording.h"

#define NAMES_WAIT_MS 20000 /* at the end, for names still being looked up */

/* A site as it was written last. */
struct known_site {
	uint32_t stack;
	uint32_t process; /* index into watch->all */
	bool written;
	struct site_totals totals;
	struct site_age age[AGE_CLASSES];
};

struct known_stack {
	bool received;
	uint64_t leaf; /* for the status line */
};

/* Received and not written yet. */
struct queued_stack {
	uint32_t id;
	uint32_t frame_count;
	bool truncated;
	uint8_t end_reason;
	uint64_t *frames;
};

/* A frame whose name is known and not written yet. */
struct queued_name {
	struct symbol_result result;
	bool python;
};

struct queued_event {
	uint64_t time_ns;
	char kind[16];
	char *text;
};

/* What is known of a watched process beyond watch.h, by the same index. */
struct process_extra {
	uint64_t begin_ns, end_ns;
	struct memory_breakdown start_memory;
	struct memory_breakdown end_memory; /* rss_bytes 0 until it was read at the end */
	uint64_t last_rss_bytes;
	uint64_t first_cpu_ns, last_cpu_ns; /* CPU time used when it joined, and now */
	bool start_tried;
	bool ended;   /* in the snapshot being written, it is there no more */
	bool settled; /* a snapshot with its end is in the file: nothing of it changes any more */
};

struct recorder {
	struct recorder_parts parts;
	struct recording *recording;
	struct timespec begin;
	struct regions *regions;
	struct table *sites_by_key; /* struct site_key -> index in sites */
	struct {
		struct known_site *items;
		size_t count, capacity;
	} sites;
	struct table *stacks_by_hash; /* uint64_t -> index in stacks */
	struct {
		struct known_stack *items;
		size_t count, capacity;
	} stacks;
	struct {
		struct queued_stack *items;
		size_t count, capacity;
	} queued_stacks;
	struct {
		struct queued_name *items;
		size_t count, capacity;
	} queued_names;
	struct {
		struct queued_event *items;
		size_t count, capacity;
	} queued_events;
	struct code_book *codes;
	struct table *frames_asked; /* uint64_t -> index in frame_names */
	struct {
		char **items; /* "function (file:line)", NULL until known */
		size_t count, capacity;
	} frame_names;
	struct table *processes_by_generation; /* uint32_t -> index in extras and watch->all */
	struct {
		struct process_extra *items;
		size_t count, capacity;
	} extras;
	struct {
		struct site_key *items;
		size_t count, capacity;
	} ended_sites; /* in the kernel's table for no reason once this snapshot is written */
	uint32_t snapshot_count, age;
	uint64_t next_epoch_ns;
	uint64_t written_losses[LOSS_REASON_COUNT];
	bool out_of_memory;
	uint32_t current_snapshot;
	double best_growth;
	uint64_t best_leaf;
	struct recorder_status status;
};

/* ---- life cycle ------------------------------------------------------------------------------ */

struct recorder *recorder_new(const struct recorder_parts *parts, struct err *err)
{
	struct recorder *recorder = calloc(1, sizeof(*recorder));

	if (recorder) {
		recorder->parts = *parts;
		recorder->regions = regions_new();
		recorder->sites_by_key = table_new(sizeof(struct site_key));
		recorder->stacks_by_hash = table_new(sizeof(uint64_t));
		recorder->codes = code_book_new();
		recorder->frames_asked = table_new(sizeof(uint64_t));
		recorder->processes_by_generation = table_new(sizeof(uint32_t));
		recorder->next_epoch_ns = parts->interval_ns;
	}
	if (recorder && recorder->regions && recorder->sites_by_key && recorder->stacks_by_hash &&
	    recorder->codes && recorder->frames_asked &&
	    recorder->processes_by_generation)
		return recorder;
	recorder_free(recorder);
	err_set(err, ENOMEM, "out of memory");
	return NULL;
}

void recorder_free(struct recorder *recorder)
{
	if (!recorder)
		return;
	vec_for_each(stack, &recorder->queued_stacks)
		free(stack->frames);
	vec_for_each(name, &recorder->queued_names)
		symbol_result_free(&name->result);
	code_book_free(recorder->codes);
	vec_for_each(event, &recorder->queued_events)
		free(event->text);
	vec_for_each(name, &recorder->frame_names)
		free(*name);
	regions_free(recorder->regions);
	table_free(recorder->sites_by_key);
	table_free(recorder->stacks_by_hash);
	table_free(recorder->frames_asked);
	table_free(recorder->processes_by_generation);
	free(recorder->ended_sites.items);
	free(recorder->sites.items);
	free(recorder->stacks.items);
	free(recorder->queued_stacks.items);
	free(recorder->queued_names.items);
	free(recorder->queued_events.items);
	free(recorder->frame_names.items);
	free(recorder->extras.items);
	free(recorder);
}

uint64_t recorder_elapsed_ns(const struct recorder *recorder)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - recorder->begin.tv_sec) * NS_PER_S + now.tv_nsec -
	       recorder->begin.tv_nsec;
}

const struct recorder_status *recorder_status(const struct recorder *recorder)
{
	return &recorder->status;
}

void recorder_event(struct recorder *recorder, const char *kind, const char *format, ...)
{
	struct queued_event *event = vec_add(&recorder->queued_events);
	va_list args;

	if (!event)
		return;
	event->time_ns = recorder->recording ? recorder_elapsed_ns(recorder) : 0;
	snprintf(event->kind, sizeof(event->kind), "%s", kind);
	va_start(args, format);
	if (vasprintf(&event->text, format, args) < 0)
		event->text = NULL;
	va_end(args);
	if (!event->text)
		recorder->queued_events.count--;
}

/* ---- stacks and names ------------------------------------------------------------------------ */

/* Index of the stack with this hash, made if need be; -1 when memory is out. */
static ssize_t stack_index(struct recorder *recorder, uint64_t hash)
{
	bool added;
	ssize_t index = table_add(recorder->stacks_by_hash, &hash, &added);

	if (index >= 0 && added)
		vec_add(&recorder->stacks);
	if (index < 0 || (size_t)index >= recorder->stacks.count) {
		recorder->out_of_memory = true;
		return -1;
	}
	return index;
}

static void ask_for_name(struct recorder *recorder, uint64_t frame)
{
	bool added;
	ssize_t index = table_add(recorder->frames_asked, &frame, &added);

	if (index < 0 || !added)
		return;
	if (!vec_add(&recorder->frame_names))
		recorder->out_of_memory = true;
	symbolizer_submit(recorder->parts.symbolizer, frame);
}

static char *describe_line(const struct symbol_line *line)
{
	const char *slash = line->file ? strrchr(line->file, '/') : NULL;
	char *text = NULL;

	if (line->file && asprintf(&text, "%s (%s:%u)", line->function,
				   slash ? slash + 1 : line->file, line->line) < 0)
		text = NULL;
	return line->file ? text : strdup(line->function);
}

/* ---- Python code ----------------------------------------------------------------------------- */

static void on_code(struct recorder *recorder, const struct code_record *record, size_t bytes)
{
	const struct watched *watched =
		watch_find(recorder->parts.watch, record->head.generation);
	pid_t pid = watched && watched->alive ? watched->info.pid : 0;

	if (code_book_add(recorder->codes, record, bytes, pid,
			  watched ? &watched->interpreter.runtime.layout : NULL))
		recorder->out_of_memory = true;
}

/* The name of a Python frame is known at once. */
static void name_python_frame(struct recorder *recorder, uint64_t frame,
			      const struct python_code *code, uint32_t line)
{
	struct queued_name *queued;
	bool added;
	ssize_t index = table_add(recorder->frames_asked, &frame, &added);

	if (index < 0 || !added)
		return;
	queued = vec_add(&recorder->queued_names);
	if (!queued || !vec_add(&recorder->frame_names)) {
		recorder->out_of_memory = true;
		return;
	}
	queued->python = true;
	queued->result.frame = frame;
	queued->result.lines = calloc(1, sizeof(struct symbol_line));
	if (!queued->result.lines)
		return;
	queued->result.line_count = 1;
	queued->result.lines[0] = (struct symbol_line){
		.function = strdup(code->name),
		.file = code->file ? strdup(code->file) : NULL,
		.line = line,
	};
	recorder->frame_names.items[index] = describe_line(&queued->result.lines[0]);
}

/* As it is written; 0: Python does not show it either. */
static uint64_t python_frame(struct recorder *recorder, uint64_t frame)
{
	const struct python_code *code;
	uint32_t line;

	frame = code_book_frame(recorder->codes, frame, &code, &line);
	if (frame)
		name_python_frame(recorder, frame, code, line);
	return frame;
}

/* ---- stacks ---------------------------------------------------------------------------------- */

/* Frames of a stack as they are written. */
struct frame_list {
	uint64_t *items;
	size_t count, capacity;
};

static bool is_interpreter(struct recorder *recorder, uint64_t frame)
{
	const struct binary *binary;

	if (frame >> FRAME_TAG_SHIFT != FRAME_NATIVE)
		return false;
	binary = binaries_by_id(recorder->parts.watch->binaries,
				frame >> FRAME_PC_BITS & (FRAME_BINARY_MAX - 1));
	return binary && binary->has_python;
}

/* For the status line: the leaf-most frame that is not the interpreter's own. */
static uint64_t naming_frame(struct recorder *recorder, const struct frame_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		if (!is_interpreter(recorder, list->items[i]))
			return list->items[i];
	return list->count ? list->items[0] : 0;
}

static uint64_t known_frame(struct recorder *recorder, const struct stack_record *record, size_t i)
{
	uint64_t frame = record->frames[i];

	if (frame >> FRAME_TAG_SHIFT != FRAME_RAW)
		return frame;
	return watch_resolve_raw(recorder->parts.watch, record->head.generation, frame);
}

static void add_frame(struct recorder *recorder, struct frame_list *list, uint64_t frame)
{
	uint64_t *slot = vec_add(list);

	if (slot)
		*slot = frame;
	else
		recorder->out_of_memory = true;
}

/* Python frames from 'first' on, those left out that Python itself does not show. */
static void add_python_frames(struct recorder *recorder, struct frame_list *list,
			      const struct stack_record *record, size_t first, size_t count)
{
	for (size_t i = first; i < first + count; i++) {
		uint64_t frame = python_frame(recorder, record->frames[i]);

		if (frame)
			add_frame(recorder, list, frame);
	}
}

/* The native frames with the Python frames where they belong. */
static struct frame_list splice_frames(struct recorder *recorder, const struct stack_record *record)
{
	size_t python = record->frame_count, end = python + record->python_count;
	struct frame_list list = {0};

	for (size_t i = 0; i < record->frame_count; i++) {
		uint64_t frame = record->frames[i];
		size_t count = frame & ((1ULL << FRAME_TAG_SHIFT) - 1);

		if (frame >> FRAME_TAG_SHIFT != FRAME_SPLICE) {
			add_frame(recorder, &list, known_frame(recorder, record, i));
			continue;
		}
		if (count > end - python)
			count = end - python;
		add_python_frames(recorder, &list, record, python, count);
		python += count;
	}
	add_python_frames(recorder, &list, record, python, end - python);
	return list;
}

static void on_stack(struct recorder *recorder, const struct stack_record *record, size_t bytes)
{
	size_t room = (bytes - sizeof(*record)) / sizeof(uint64_t);
	ssize_t index = stack_index(recorder, record->stack_hash);
	struct queued_stack *queued;
	struct frame_list list;

	if (index < 0 || recorder->stacks.items[index].received ||
	    (size_t)record->frame_count + record->python_count > room)
		return;
	queued = vec_add(&recorder->queued_stacks);
	if (!queued) {
		recorder->out_of_memory = true;
		return;
	}
	list = splice_frames(recorder, record);
	queued->id = index;
	queued->frames = list.items;
	queued->frame_count = list.count;
	queued->truncated = record->flags & (STACK_TRUNCATED | STACK_PYTHON_CUT);
	queued->end_reason = record->end_reason;
	recorder->stacks.items[index].received = true;
	recorder->stacks.items[index].leaf = naming_frame(recorder, &list);
	for (size_t i = 0; i < list.count; i++)
		ask_for_name(recorder, list.items[i]);
}

void recorder_collect_names(struct recorder *recorder)
{
	struct symbol_result result;

	while (symbolizer_collect(recorder->parts.symbolizer, &result)) {
		struct queued_name *queued = vec_add(&recorder->queued_names);
		ssize_t index = table_find(recorder->frames_asked, &result.frame);

		if (!queued) {
			symbol_result_free(&result);
			recorder->out_of_memory = true;
			return;
		}
		*queued = (struct queued_name){.result = result};
		if (index >= 0 && (size_t)index < recorder->frame_names.count &&
		    result.line_count && !recorder->frame_names.items[index])
			recorder->frame_names.items[index] = describe_line(&result.lines[0]);
	}
}

void recorder_on_binary(void *context, const struct binary *binary, pid_t pid)
{
	struct recorder *recorder = context;
	char root[32];

	snprintf(root, sizeof(root), "/proc/%d/root", pid);
	symbolizer_add_binary(recorder->parts.symbolizer, binary->id, binary->fd, binary->path,
			      root);
}

/* ---- processes ------------------------------------------------------------------------------- */

/* Processes that joined meanwhile. */
static void meet_processes(struct recorder *recorder)
{
	const struct watch *watch = recorder->parts.watch;

	while (recorder->extras.count < watch->all.count) {
		const struct watched *watched = watch->all.items[recorder->extras.count];
		struct process_extra *extra;
		bool added;

		if (table_add(recorder->processes_by_generation, &watched->generation, &added) <
			0 ||
		    !(extra = vec_add(&recorder->extras))) {
			recorder->out_of_memory = true;
			return;
		}
		extra->begin_ns = recorder_elapsed_ns(recorder);
		extra->first_cpu_ns = process_cpu_ns(watched->info.pid);
		extra->last_cpu_ns = extra->first_cpu_ns;
	}
}

void recorder_set_recording(struct recorder *recorder, struct recording *recording)
{
	recorder->recording = recording;
	clock_gettime(CLOCK_MONOTONIC, &recorder->begin);
	meet_processes(recorder);
}

/* Index of the process (or image) with this generation, -1 if it never joined. */
static ssize_t process_index(struct recorder *recorder, uint32_t generation)
{
	ssize_t index;

	meet_processes(recorder);
	index = table_find(recorder->processes_by_generation, &generation);
	return index < (ssize_t)recorder->extras.count ? index : -1;
}

/* CPU time is told until the parent has waited for the process, and never falls. */
static void read_cpu_time(struct recorder *recorder, size_t index)
{
	const struct watched *watched = recorder->parts.watch->all.items[index];
	struct process_extra *extra = &recorder->extras.items[index];
	uint64_t cpu_ns = watched->alive ? process_cpu_ns(watched->info.pid) : 0;

	if (cpu_ns > extra->last_cpu_ns)
		extra->last_cpu_ns = cpu_ns;
}

uint64_t recorder_cpu_ns(struct recorder *recorder)
{
	uint64_t sum = 0;

	meet_processes(recorder);
	for (size_t i = 0; i < recorder->extras.count; i++) {
		read_cpu_time(recorder, i);
		sum +=
		    recorder->extras.items[i].last_cpu_ns - recorder->extras.items[i].first_cpu_ns;
	}
	return sum;
}

static const char *end_text(uint32_t event)
{
	return event == PROCESS_EXEC ? "exec" : "exit";
}

static void on_process(struct recorder *recorder, const struct process_record *record)
{
	ssize_t index = process_index(recorder, record->head.generation);
	const struct watched *watched;

	if (index >= 0 && (record->event == PROCESS_EXIT || record->event == PROCESS_EXEC))
		read_cpu_time(recorder, index);
	watch_event(recorder->parts.watch, record);
	meet_processes(recorder);
	if (index < 0)
		return;
	watched = recorder->parts.watch->all.items[index];
	if (record->event == PROCESS_EXEC || record->event == PROCESS_EXIT) {
		regions_forget(recorder->regions, record->head.generation);
		recorder_event(recorder, end_text(record->event), "process %d (%s) %s",
			       watched->info.pid, watched->info.comm,
			       record->event == PROCESS_EXEC ? "ran another program" : "exited");
	}
	if (record->event == PROCESS_FORK)
		recorder_event(recorder, "fork", "process %d forked %u%s", watched->info.pid,
			       record->other_tgid,
			       record->other_generation ?
				       "" :
				       ", not followed (use --children), though its calls are "
				       "slowed until it runs another program");
}

int recorder_on_record(void *context, const struct record_head *record, size_t bytes)
{
	struct recorder *recorder = context;

	switch (record->type) {
	case RECORD_STACK:
		if (bytes >= sizeof(struct stack_record))
			on_stack(recorder, (const void *)record, bytes);
		break;
	case RECORD_CODE:
		on_code(recorder, (const void *)record, bytes);
		break;
	case RECORD_REGION:
		if (bytes >= sizeof(struct region_record) &&
		    regions_apply(recorder->regions, (const void *)record, recorder->age))
			recorder->out_of_memory = true;
		break;
	case RECORD_PROCESS:
		if (bytes >= sizeof(struct process_record))
			on_process(recorder, (const void *)record);
		break;
	}
	return 0;
}

/* ---- totals ---------------------------------------------------------------------------------- */

static struct known_site *get_site(struct recorder *recorder, size_t process,
				   const struct site_key *key, uint32_t *id)
{
	struct known_site *site;
	ssize_t index, stack;
	bool added;

	index = table_add(recorder->sites_by_key, key, &added);
	if (index < 0)
		return NULL;
	*id = index;
	if (!added)
		return &recorder->sites.items[index];
	site = vec_add(&recorder->sites);
	stack = stack_index(recorder, key->stack_hash);
	if (!site || stack < 0)
		return NULL;
	site->stack = stack;
	site->process = process;
	return site;
}

static bool totals_differ(const struct site_totals *a, const struct site_totals *b)
{
	return a->alloc_bytes != b->alloc_bytes || a->free_bytes != b->free_bytes ||
	       a->alloc_blocks != b->alloc_blocks || a->free_blocks != b->free_blocks;
}

/* For the status line: the site that grew most so far. */
static void note_growth(struct recorder *recorder, const struct known_site *site)
{
	double live = live_bytes(site->totals);

	if (live <= recorder->best_growth)
		return;
	recorder->best_growth = live;
	recorder->best_leaf = recorder->stacks.items[site->stack].leaf;
}

static void write_site(struct recorder *recorder, size_t process, const struct site_key *key,
		       const struct site_totals *totals, const struct site_age *ages)
{
	struct recording *recording = recorder->recording;
	struct site_point point = {recorder->current_snapshot, *totals};
	struct known_site *site;
	uint32_t id;

	site = get_site(recorder, process, key, &id);
	if (!site || !totals_differ(totals, &site->totals)) {
		if (site)
			note_growth(recorder, site);
		return;
	}
	if (!site->written)
		recording_put_site(recording, id, site->process, key->alloc_class, site->stack);
	site->written = true;
	site->totals = *totals;
	recording_put_point(recording, id, &point);
	for (uint32_t age = 0; age < AGE_CLASSES; age++) {
		if (!memcmp(&site->age[age], &ages[age], sizeof(ages[age])))
			continue;
		site->age[age] = ages[age];
		recording_put_age(recording, id, age, &ages[age]);
	}
	note_growth(recorder, site);
}

/* exec gave back the whole heap of the old image. An exited process keeps what it died with: that
 * is what one wants to see. */
static void free_everything(struct site_totals *totals, struct site_age *ages)
{
	totals->free_bytes = totals->alloc_bytes;
	totals->free_blocks = totals->alloc_blocks;
	totals->variance = 0;
	for (int age = 0; age < AGE_CLASSES; age++) {
		ages[age].free_bytes = ages[age].alloc_bytes;
		ages[age].free_blocks = ages[age].alloc_blocks;
	}
}

static bool heap_is_gone(const struct recorder *recorder, size_t process)
{
	const char *reason = recorder->parts.watch->all.items[process]->end_reason;

	return reason && !strcmp(reason, "exec");
}

/* Ended before this snapshot began: what the kernel says of its sites is final. */
static void note_ended_site(struct recorder *recorder, size_t process, const struct site_key *key)
{
	struct site_key *slot;

	if (!recorder->extras.items[process].ended)
		return;
	slot = vec_add(&recorder->ended_sites);
	if (slot) /* else the next snapshot meets it again */
		*slot = *key;
}

/* Without a variance. */
static struct site_totals ages_sum(const struct site_age *ages)
{
	struct site_totals totals = {0};

	for (int age = 0; age < AGE_CLASSES; age++) {
		totals.alloc_bytes += ages[age].alloc_bytes;
		totals.alloc_blocks += ages[age].alloc_blocks;
		totals.free_bytes += ages[age].free_bytes;
		totals.free_blocks += ages[age].free_blocks;
	}
	return totals;
}

static int on_kernel_site(void *context, const struct site_key *key, const struct site *site)
{
	struct recorder *recorder = context;
	struct site_age ages[AGE_CLASSES];
	struct site_totals totals;
	ssize_t process = process_index(recorder, key->generation);

	if (process < 0) /* of a child whose fork is not in the ring yet, or found no room there */
		return 0;
	note_ended_site(recorder, process, key);
	if (key->alloc_class >= CLASS_COUNT || key->alloc_class == CLASS_MMAP)
		return 0; /* of class mmap only the stacks come this way */
	for (int age = 0; age < AGE_CLASSES; age++) {
		ages[age] = (struct site_age){
		    .alloc_bytes = site->allocated[age].bytes,
		    .alloc_blocks = (double)site->allocated[age].blocks / WEIGHT_ONE,
		    .free_bytes = site->freed[age].bytes,
		    .free_blocks = (double)site->freed[age].blocks / WEIGHT_ONE,
		};
	}
	totals = ages_sum(ages);
	totals.variance =
	    (double)(site->alloc_variance - site->freed_variance) * (1 << VARIANCE_UNIT_SHIFT);
	if (heap_is_gone(recorder, process))
		free_everything(&totals, ages);
	recorder->status.live_bytes += live_bytes(totals);
	recorder->status.live_blocks += live_blocks(totals);
	write_site(recorder, process, key, &totals, ages);
	return 0;
}

static void write_regions(struct recorder *recorder)
{
	for (size_t i = 0; i < regions_site_count(recorder->regions); i++) {
		struct site_key key;
		struct region_totals region = *regions_site(recorder->regions, i, &key);
		struct site_age ages[AGE_CLASSES];
		struct site_totals totals;
		ssize_t process = process_index(recorder, key.generation);

		if (process < 0 || recorder->extras.items[process].settled)
			continue;
		for (int age = 0; age < AGE_CLASSES; age++) {
			ages[age] = (struct site_age){
			    .alloc_bytes = region.alloc_bytes[age],
			    .alloc_blocks = region.alloc_age_blocks[age],
			    .free_bytes = region.free_bytes[age],
			    .free_blocks = region.free_age_blocks[age],
			};
		}
		totals = ages_sum(ages);
		if (heap_is_gone(recorder, process))
			free_everything(&totals, ages);
		recorder->status.mmap_bytes += live_bytes(totals);
		write_site(recorder, process, &key, &totals, ages);
	}
}

/* ---- snapshots ------------------------------------------------------------------------------- */

static void write_stacks(struct recorder *recorder)
{
	vec_for_each(stack, &recorder->queued_stacks) {
		recording_put_stack(recorder->recording, stack->id, stack->frames,
				    stack->frame_count, stack->truncated, stack->end_reason);
		free(stack->frames);
	}
	recorder->queued_stacks.count = 0;
}

static void write_name(struct recorder *recorder, const struct queued_name *name)
{
	const struct symbol_result *result = &name->result;
	bool internal = is_interpreter(recorder, result->frame);
	struct profile_frame *lines = calloc(result->line_count, sizeof(*lines));

	for (size_t i = 0; lines && i < result->line_count; i++)
		lines[i] = (struct profile_frame){
		    .function = result->lines[i].function,
		    .file = result->lines[i].file,
		    .line = result->lines[i].line,
		    .inlined = result->lines[i].inlined,
		    .module = result->module,
		    .offset = result->offset,
		    .python = name->python,
		    .internal = internal,
		};
	if (lines)
		recording_put_frame(recorder->recording, result->frame, lines, result->line_count);
	free(lines);
}

static void write_names(struct recorder *recorder)
{
	recorder_collect_names(recorder);
	vec_for_each(name, &recorder->queued_names) {
		write_name(recorder, name);
		symbol_result_free(&name->result);
	}
	recorder->queued_names.count = 0;
}

static void write_events(struct recorder *recorder)
{
	vec_for_each(event, &recorder->queued_events) {
		struct profile_event row = {event->time_ns, event->kind, event->text};

		recording_put_event(recorder->recording, &row);
		free(event->text);
	}
	recorder->queued_events.count = 0;
}

/* Names of the allocators in use, for the report: "glibc, pymalloc". */
static void name_allocators(const struct watched *watched, char *text, size_t size)
{
	size_t used = 0;

	text[0] = 0;
	for (int kind = 1; kind < ALLOCATOR_KIND_COUNT; kind++)
		if (watched->allocator_kinds & 1U << kind && used < size)
			used += snprintf(text + used, size - used, "%s%s", used ? ", " : "",
					 allocator_kind_name(kind));
	if (watched->interpreter.found && watched->interpreter.tables.way != PYTHON_WAY_NONE &&
	    used < size)
		snprintf(text + used, size - used, "%s%s", used ? ", " : "",
			 python_mode_name(watched->interpreter.tables.mode));
}

static void read_memory(struct recorder *recorder, size_t index)
{
	const struct watched *watched = recorder->parts.watch->all.items[index];
	struct process_extra *extra = &recorder->extras.items[index];
	uint64_t rss_bytes;

	if (!watched->alive)
		return;
	if (!extra->start_tried)
		process_memory(watched->info.pid, &extra->start_memory, NULL);
	extra->start_tried = true;
	if (process_rss(watched->info.pid, &rss_bytes) || !rss_bytes)
		return;
	extra->last_rss_bytes = rss_bytes;
	recorder->status.rss_bytes += rss_bytes;
	recording_put_rss(recorder->recording, recorder->current_snapshot, index, rss_bytes);
}

static void write_process(struct recorder *recorder, size_t index, uint64_t now_ns)
{
	const struct watched *watched = recorder->parts.watch->all.items[index];
	struct process_extra *extra = &recorder->extras.items[index];
	struct profile_process row = {0};
	char allocators[128];

	if (extra->settled)
		return;
	read_memory(recorder, index);
	extra->end_ns = now_ns;
	extra->ended = !watched->alive;
	name_allocators(watched, allocators, sizeof(allocators));
	row.pid = watched->info.pid;
	row.start_time_ns = watched->info.start_time_ns;
	memcpy(row.comm, watched->info.comm, sizeof(row.comm));
	row.exe = watched->info.exe;
	row.allocator = allocators[0] ? allocators : NULL;
	row.python = watched->interpreter.found ? watched->interpreter.runtime.version : NULL;
	row.begin_ns = extra->begin_ns;
	row.end_ns = extra->end_ns;
	row.end_reason = watched->end_reason;
	row.start_memory = extra->start_memory;
	row.end_memory = extra->end_memory;
	if (!row.end_memory.rss_bytes) /* how it is divided is asked only at the end */
		row.end_memory = (struct memory_breakdown){.rss_bytes = extra->last_rss_bytes};
	recording_put_process(recorder->recording, index, &row);
}

static uint64_t stacks_missing(const struct recorder *recorder)
{
	uint64_t missing = 0;

	for (size_t i = 0; i < recorder->sites.count; i++) {
		const struct known_site *site = &recorder->sites.items[i];

		missing += site->written && !recorder->stacks.items[site->stack].received;
	}
	return missing;
}

static void write_losses(struct recorder *recorder, const struct counters *counters)
{
	static const char *const keys[] = {
#define X(name, key, text) key,
	    LOSS_REASONS(X)
#undef X
	};
	static const char *const texts[] = {
#define X(name, key, text) text,
	    LOSS_REASONS(X)
#undef X
	};
	uint64_t losses[LOSS_REASON_COUNT];

	memcpy(losses, counters->losses, sizeof(losses));
	losses[LOSS_RING_FULL_STACK] = stacks_missing(recorder);
	recorder->status.lost = 0;
	for (int i = 0; i < LOSS_REASON_COUNT; i++) {
		recorder->status.lost += losses[i];
		if (losses[i] == recorder->written_losses[i])
			continue;
		recorder->written_losses[i] = losses[i];
		recording_put_loss(recorder->recording, keys[i], texts[i], losses[i]);
	}
}

static void write_snapshot_row(struct recorder *recorder, const struct counters *counters,
			       uint64_t now_ns, bool marked)
{
	struct profile_snapshot row = {
	    .time_ns = now_ns,
	    .events = overhead_hits(counters),
	    .bpf_ns = recorder->parts.overhead->probe_ns_total,
	    .marked = marked,
	    .settling = session_is_settling(recorder->parts.session),
	};

	recording_put_snapshot(recorder->recording, recorder->current_snapshot, &row);
}

static void write_summary(struct recorder *recorder, const struct counters *counters,
			  uint64_t now_ns)
{
	struct profile summary = {
	    .duration_ns = now_ns,
	    .sample_bytes = session_sample_bytes(recorder->parts.session),
	    .ns_per_hit = overhead_ns_per_hit(recorder->parts.overhead),
	    .hits = overhead_hits(counters),
	    .cpu_percent = now_ns ? 100 * recorder->parts.overhead->probe_ns_total / now_ns : 0,
	    .slowdown_percent = overhead_total_percent(recorder->parts.overhead),
	    .unmatched_frees = counters->unmatched_frees,
	};

	recording_put_summary(recorder->recording, &summary);
}

/*
 * Birth epochs double: each is as long as all before it. A mark begins one, too, so that what was
 * born since is known to the byte (profile/window.h); when all are used, the last one goes on.
 */
static void advance_epoch(struct recorder *recorder, uint64_t now_ns, bool marked)
{
	bool due = now_ns >= recorder->next_epoch_ns;

	if ((!due && !marked) || recorder->age + 1 >= AGE_CLASSES)
		return;
	recorder->age++;
	if (due)
		recorder->next_epoch_ns = now_ns * 2;
	session_set_age(recorder->parts.session, recorder->age);
	recording_put_epoch(recorder->recording, recorder->age, now_ns);
}

static void describe_top_site(struct recorder *recorder)
{
	ssize_t index = table_find(recorder->frames_asked, &recorder->best_leaf);
	char growth[UNITS_TEXT_MAX];

	recorder->status.top_site[0] = 0;
	if (recorder->best_growth <= 0 || index < 0 ||
	    (size_t)index >= recorder->frame_names.count || !recorder->frame_names.items[index])
		return;
	snprintf(recorder->status.top_site, sizeof(recorder->status.top_site), "%s %s",
		 units_format_growth(recorder->best_growth, growth),
		 recorder->frame_names.items[index]);
}

/* Not in the first snapshot: it is the baseline, and all that we see was allocated after it. */
static int write_totals(struct recorder *recorder, struct err *err)
{
	if (session_read_sites(recorder->parts.session, on_kernel_site, recorder, err))
		return -EIO;
	/* the stacks of sites that are younger than the last poll */
	session_poll(recorder->parts.session, recorder_on_record, recorder);
	write_regions(recorder);
	return 0;
}

static int write_all(struct recorder *recorder, const struct counters *counters, uint64_t now_ns,
		     bool marked, struct err *err)
{
	struct recorder_status *status = &recorder->status;

	status->live_bytes = status->live_blocks = status->mmap_bytes = 0;
	status->rss_bytes = 0;
	recorder->best_growth = 0;
	if (recorder->snapshot_count == 0)
		recording_put_epoch(recorder->recording, 0, 0);
	meet_processes(recorder);
	recorder->ended_sites.count = 0;
	for (size_t i = 0; i < recorder->extras.count; i++)
		write_process(recorder, i, now_ns);
	write_snapshot_row(recorder, counters, now_ns, marked);
	if (recorder->snapshot_count > 0 && write_totals(recorder, err))
		return -EIO;
	write_stacks(recorder);
	write_names(recorder);
	write_events(recorder);
	write_losses(recorder, counters);
	write_summary(recorder, counters, now_ns);
	advance_epoch(recorder, now_ns, marked);
	return 0;
}

/* What ended before the snapshot is in the file now, for good. */
static void settle_ended(struct recorder *recorder)
{
	session_forget_sites(recorder->parts.session, recorder->ended_sites.items,
			     recorder->ended_sites.count);
	recorder->ended_sites.count = 0;
	vec_for_each(extra, &recorder->extras)
		extra->settled = extra->ended;
}

/* Marks count from 1; the reader numbers the marked snapshots likewise. */
static void note_mark(struct recorder *recorder)
{
	uint32_t mark = ++recorder->status.mark_count;

	recorder_event(recorder, "mark", "mark %u", mark);
	if (recorder->age + 1 >= AGE_CLASSES)
		recorder_event(recorder, "problem",
			       "mark %u: all %d birth epochs are in use; what was allocated since "
			       "and is alive can only be told within bounds",
			       mark, AGE_CLASSES);
}

int recorder_snapshot(struct recorder *recorder, bool marked, struct err *err)
{
	struct counters counters;
	uint64_t now_ns = recorder_elapsed_ns(recorder);
	int status;

	if (marked)
		note_mark(recorder);
	session_poll(recorder->parts.session, recorder_on_record, recorder);
	if (session_read_counters(recorder->parts.session, &counters))
		return err_set(err, errno, "cannot read the kernel's counters: %m");
	recorder->current_snapshot = recorder->snapshot_count;
	status = recording_begin(recorder->recording, err);
	if (!status)
		status = write_all(recorder, &counters, now_ns, marked, err);
	if (!status)
		status = recording_commit(recorder->recording, err);
	if (status)
		return status;
	settle_ended(recorder);
	recorder->snapshot_count++;
	recorder->status.snapshot_count = recorder->snapshot_count;
	recorder->status.site_count = recorder->sites.count;
	describe_top_site(recorder);
	return recorder->out_of_memory ? err_set(err, ENOMEM, "out of memory") : 0;
}

void recorder_settle(struct recorder *recorder)
{
	session_set_settling(recorder->parts.session, true);
	recorder_event(recorder, "settle", "no new allocations are taken from here on");
}

int recorder_finish(struct recorder *recorder, struct err *err)
{
	const struct watch *watch = recorder->parts.watch;
	int status;

	meet_processes(recorder);
	for (size_t i = 0; i < recorder->extras.count; i++)
		if (watch->all.items[i]->alive)
			process_memory(watch->all.items[i]->info.pid,
				       &recorder->extras.items[i].end_memory, NULL);
	status = recorder_snapshot(recorder, false, err);
	if (status)
		return status;
	if (symbolizer_wait(recorder->parts.symbolizer, NAMES_WAIT_MS))
		log_warn("some names were not found in time and are missing in the recording");
	status = recording_begin(recorder->recording, err);
	if (status)
		return status;
	write_names(recorder);
	return recording_commit(recorder->recording, err);
}
