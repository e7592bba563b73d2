/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * recording_rows.c - the rows of a recording, none of them trusted; see recording_format.h.
 *
 * Every value is checked for its type and range, every reference for its row, and rows may not
 * claim more than the file has bytes, so that a small file cannot ask for much memory. The first
 * thing found wrong is kept; after it nothing more is read.
 */
#include "store/recording_format.h"

#include <endian.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/path.h"
#include "base/table.h"
#include "base/vec.h"
#include "profile/profile.h"

#define PROCESS_LIMIT	PROCS_MAX
#define SNAPSHOT_LIMIT	(1U << 22)
#define RSS_CELLS_LIMIT (1U << 24)
#define BYTES_LIMIT	1e18 /* sums of a few of them stay finite and exact enough */

/* ---- values -----------------------------------------------------------------------------------
 */

/* Ids of rows, ascending as they are read; the index of an id is its place. */
struct id_list {
	uint32_t *items;
	size_t count, capacity;
};

/* Where the functions of a frame lie in profile->frames. */
struct frame_span {
	uint32_t first, count;
};

/* A stack as read, its frames expanded. */
struct stack_row {
	uint32_t *frames;
	uint32_t frame_count;
	bool truncated;
	uint8_t end_reason;
};

struct reader {
	sqlite3 *db;
	struct profile *profile;
	const char *damage; /* first thing found wrong; NULL while all is well */
	bool no_memory;
	uint64_t budget; /* bytes that rows may still claim: a sane file holds each once */
	struct id_list texts, processes, snapshots, sites, stacks;
	struct {
		const char **items;
		size_t count, capacity;
	} text_rows;
	struct {
		struct profile_process *items;
		size_t count, capacity;
	} process_rows;
	struct {
		struct profile_snapshot *items;
		size_t count, capacity;
	} snapshot_rows;
	struct {
		struct profile_frame *items;
		size_t count, capacity;
	} frame_rows;
	struct {
		struct frame_span *items;
		size_t count, capacity;
	} spans;
	struct {
		struct stack_row *items;
		size_t count, capacity;
	} stack_rows;
	struct {
		struct profile_site *items;
		size_t count, capacity;
	} site_rows;
	struct {
		struct profile_loss *items;
		size_t count, capacity;
	} loss_rows;
	struct {
		struct profile_event *items;
		size_t count, capacity;
	} event_rows;
	struct table *frames;  /* keys: 64-bit frames; index into spans */
	struct table *modules; /* keys: binary ids of named frames; index into module_names */
	struct {
		const char **items;
		size_t count, capacity;
	} module_names;
};

struct rows {
	struct reader *reader;
	sqlite3_stmt *statement;
};

static void damaged(struct reader *reader, const char *what)
{
	if (!reader->damage)
		reader->damage = what;
}

static bool reader_failed(const struct reader *reader)
{
	return reader->damage || reader->no_memory;
}

static struct rows rows_begin(struct reader *reader, const char *sql)
{
	struct rows rows = {.reader = reader};

	if (!reader_failed(reader) &&
	    sqlite3_prepare_v2(reader->db, sql, -1, &rows.statement, NULL))
		damaged(reader, "its tables cannot be read");
	return rows;
}

/* Spend what a row or a text takes; a file cannot hold more than it has bytes. */
static bool budget_take(struct reader *reader, uint64_t bytes)
{
	if (bytes > reader->budget) {
		damaged(reader, "it claims more rows than fit into it");
		return false;
	}
	reader->budget -= bytes;
	return true;
}

/* Step to the next row; at the end, and on any failure, closes the statement and returns false. */
static bool rows_next(struct rows *rows)
{
	struct reader *reader = rows->reader;
	int status = SQLITE_DONE;

	if (!reader_failed(reader) && rows->statement) {
		status = sqlite3_step(rows->statement);
		if (status == SQLITE_ROW && budget_take(reader, 2))
			return true;
		if (status == SQLITE_NOMEM)
			reader->no_memory = true;
		else if (status != SQLITE_DONE)
			damaged(reader, "a table cannot be read to its end");
	}
	sqlite3_finalize(rows->statement);
	rows->statement = NULL;
	return false;
}

static uint64_t column_number(struct rows *rows, int column, uint64_t most)
{
	/* the type first: asking for a value may convert it */
	int type = sqlite3_column_type(rows->statement, column);
	sqlite3_int64 value = sqlite3_column_int64(rows->statement, column);

	if (type != SQLITE_INTEGER || value < 0 || (uint64_t)value > most) {
		damaged(rows->reader, "a number is out of range");
		return 0;
	}
	return value;
}

static bool column_flag(struct rows *rows, int column)
{
	return column_number(rows, column, 1);
}

static double column_amount(struct rows *rows, int column)
{
	int type = sqlite3_column_type(rows->statement, column);
	double value = sqlite3_column_double(rows->statement, column);

	if ((type != SQLITE_INTEGER && type != SQLITE_FLOAT) || !isfinite(value) || value < 0 ||
	    value > BYTES_LIMIT) {
		damaged(rows->reader, "a number is out of range");
		return 0;
	}
	return value;
}

/* A variance is bytes^2, and the difference of two sums: it may be a hair below zero. */
static double column_variance(struct rows *rows, int column)
{
	int type = sqlite3_column_type(rows->statement, column);
	double value = sqlite3_column_double(rows->statement, column);

	if ((type != SQLITE_INTEGER && type != SQLITE_FLOAT) || !isfinite(value) ||
	    fabs(value) > BYTES_LIMIT * BYTES_LIMIT) {
		damaged(rows->reader, "a number is out of range");
		return 0;
	}
	return fmax(value, 0);
}

/* Text stored in the row itself. Interned in the profile's arena; "" on failure. */
static const char *column_string(struct rows *rows, int column)
{
	struct reader *reader = rows->reader;
	int type = sqlite3_column_type(rows->statement, column);
	const char *text = (const char *)sqlite3_column_text(rows->statement, column), *kept;
	size_t length = sqlite3_column_bytes(rows->statement, column);

	if (type != SQLITE_TEXT || !text || strlen(text) != length) {
		damaged(reader, "a text is none");
		return "";
	}
	if (!budget_take(reader, length))
		return "";
	kept = arena_intern(reader->profile->arena, text);
	reader->no_memory |= !kept;
	return kept ? kept : "";
}

/* The index of an id, or -1. Ids are usually dense, from 0 or 1. */
static ssize_t id_index(const struct id_list *ids, uint64_t id)
{
	size_t low = 0, high = ids->count;

	if (id < ids->count && ids->items[id] == id)
		return id;
	if (id && id <= ids->count && ids->items[id - 1] == id)
		return id - 1;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (ids->items[middle] < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < ids->count && ids->items[low] == id ? (ssize_t)low : -1;
}

/* Take the row's id, which must be above the one before. */
static void column_new_id(struct rows *rows, int column, struct id_list *ids)
{
	struct reader *reader = rows->reader;
	uint32_t id = column_number(rows, column, UINT32_MAX), *item;

	if (ids->count && id <= ids->items[ids->count - 1])
		damaged(reader, "its rows are out of order");
	item = vec_add(ids);
	if (item)
		*item = id;
	reader->no_memory |= !item;
}

/* The index of the row that a column refers to; 0 on failure. */
static uint32_t column_reference(struct rows *rows, int column, const struct id_list *ids,
				 const char *missing)
{
	ssize_t index = id_index(ids, column_number(rows, column, UINT32_MAX));

	if (index < 0)
		damaged(rows->reader, missing);
	return index < 0 ? 0 : index;
}

static const char *column_text_or_null(struct rows *rows, int column)
{
	struct reader *reader = rows->reader;
	uint32_t index;

	if (sqlite3_column_type(rows->statement, column) == SQLITE_NULL)
		return NULL;
	index = column_reference(rows, column, &reader->texts, "a text is missing");
	return reader_failed(reader) ? "" : reader->text_rows.items[index];
}

static const char *column_text(struct rows *rows, int column)
{
	const char *text = column_text_or_null(rows, column);

	if (!text)
		damaged(rows->reader, "a text is missing");
	return text ? text : "";
}

static void column_memory(struct rows *rows, int column, struct memory_breakdown *memory)
{
	int type = sqlite3_column_type(rows->statement, column);
	const void *blob = sqlite3_column_blob(rows->statement, column);
	uint64_t packed[MEMORY_FIELDS], *fields[MEMORY_FIELDS];

	if (type != SQLITE_BLOB || !blob ||
	    sqlite3_column_bytes(rows->statement, column) != sizeof(packed)) {
		damaged(rows->reader, "a memory breakdown has the wrong size");
		return;
	}
	memcpy(packed, blob, sizeof(packed));
	memory_fields(memory, fields);
	for (size_t i = 0; i < MEMORY_FIELDS; i++) {
		*fields[i] = le64toh(packed[i]);
		if (*fields[i] > INT64_MAX)
			damaged(rows->reader, "a number is out of range");
	}
}

/* Move a vector into the profile's arena. NULL and no_memory on failure. */
static void *array_keep(struct reader *reader, void *items, size_t item_bytes, size_t count,
			uint32_t *kept_count)
{
	void *kept = arena_alloc_array(reader->profile->arena, item_bytes, count + 1);

	if (!kept || count > UINT32_MAX) {
		reader->no_memory = true;
		return NULL;
	}
	if (count)
		memcpy(kept, items, item_bytes * count);
	*kept_count = count;
	return kept;
}

#define VEC_KEEP(reader, vec, kept_count)                                                          \
	array_keep(reader, (vec)->items, sizeof(*(vec)->items), (vec)->count, kept_count)

/* ---- tables -----------------------------------------------------------------------------------
 */

static void read_recording(struct reader *reader)
{
	struct profile *profile = reader->profile;
	struct rows rows = rows_begin(
	    reader, "SELECT version, kernel, host, start_unix_ns, interval_ns, settle_ns,"
		    " sample_bytes, duration_ns, ns_per_hit, hits, cpu_percent,"
		    " unmatched_frees, complete, slowdown_percent FROM recording ORDER BY id");
	unsigned int count = 0;

	while (rows_next(&rows)) {
		if (count++) {
			damaged(reader, "it holds more than one recording");
			continue;
		}
		profile->version = column_string(&rows, 0);
		profile->kernel = column_string(&rows, 1);
		profile->host = column_string(&rows, 2);
		profile->start_unix_ns = column_number(&rows, 3, INT64_MAX);
		profile->interval_ns = column_number(&rows, 4, INT64_MAX);
		profile->settle_ns = column_number(&rows, 5, INT64_MAX);
		profile->sample_bytes = column_number(&rows, 6, INT64_MAX);
		profile->duration_ns = column_number(&rows, 7, INT64_MAX);
		profile->ns_per_hit = column_amount(&rows, 8);
		profile->hits = column_number(&rows, 9, INT64_MAX);
		profile->cpu_percent = column_amount(&rows, 10);
		profile->unmatched_frees = column_number(&rows, 11, INT64_MAX);
		profile->complete = column_flag(&rows, 12);
		profile->slowdown_percent = column_amount(&rows, 13);
	}
	if (!count)
		damaged(reader, "it holds no recording");
}

static void read_texts(struct reader *reader)
{
	struct rows rows = rows_begin(reader, "SELECT id, text FROM text ORDER BY id");

	while (rows_next(&rows)) {
		const char **text = vec_add(&reader->text_rows);

		column_new_id(&rows, 0, &reader->texts);
		if (text)
			*text = column_string(&rows, 1);
		reader->no_memory |= !text;
	}
}

static void read_processes(struct reader *reader)
{
	struct rows rows = rows_begin(reader, "SELECT id, pid, start_time_ns, comm_text, exe_text,"
					      " python_text, allocator_text, begin_ns, end_ns,"
					      " end_reason_text, start_memory, end_memory"
					      " FROM process ORDER BY id");

	while (rows_next(&rows)) {
		struct profile_process *process = vec_add(&reader->process_rows);

		column_new_id(&rows, 0, &reader->processes);
		if (!process || reader->processes.count > PROCESS_LIMIT) {
			damaged(reader, "it holds too many processes");
			continue;
		}
		process->pid = column_number(&rows, 1, INT32_MAX);
		process->start_time_ns = column_number(&rows, 2, INT64_MAX);
		snprintf(process->comm, sizeof(process->comm), "%s", column_text(&rows, 3));
		process->exe = column_text_or_null(&rows, 4);
		process->python = column_text_or_null(&rows, 5);
		process->allocator = column_text_or_null(&rows, 6);
		process->begin_ns = column_number(&rows, 7, INT64_MAX);
		process->end_ns = column_number(&rows, 8, INT64_MAX);
		process->end_reason = column_text_or_null(&rows, 9);
		column_memory(&rows, 10, &process->start_memory);
		column_memory(&rows, 11, &process->end_memory);
		if (!process->exe)
			process->exe = "";
	}
	reader->profile->processes =
	    VEC_KEEP(reader, &reader->process_rows, &reader->profile->process_count);
}

static void read_snapshots(struct reader *reader)
{
	struct rows rows = rows_begin(reader, "SELECT id, time_ns, events, bpf_ns, marked, settling"
					      " FROM snapshot ORDER BY id");
	uint64_t last_ns = 0;
	uint32_t marks = 0;

	while (rows_next(&rows)) {
		struct profile_snapshot *snapshot = vec_add(&reader->snapshot_rows);

		column_new_id(&rows, 0, &reader->snapshots);
		if (!snapshot || reader->snapshots.count > SNAPSHOT_LIMIT) {
			damaged(reader, "it holds too many snapshots");
			continue;
		}
		snapshot->time_ns = column_number(&rows, 1, INT64_MAX);
		snapshot->events = column_number(&rows, 2, INT64_MAX);
		snapshot->bpf_ns = column_number(&rows, 3, INT64_MAX);
		snapshot->marked = column_flag(&rows, 4);
		snapshot->mark = snapshot->marked ? ++marks : 0;
		snapshot->settling = column_flag(&rows, 5);
		if (snapshot->time_ns < last_ns)
			damaged(reader, "its snapshots are out of order");
		last_ns = snapshot->time_ns;
	}
	if (reader->profile->duration_ns < last_ns)
		reader->profile->duration_ns = last_ns;
	reader->profile->snapshots =
	    VEC_KEEP(reader, &reader->snapshot_rows, &reader->profile->snapshot_count);
}

static void read_rss(struct reader *reader)
{
	struct profile *profile = reader->profile;
	struct rows rows;

	if (reader_failed(reader))
		return;
	if ((uint64_t)profile->process_count * profile->snapshot_count > RSS_CELLS_LIMIT) {
		damaged(reader, "it holds too many snapshots of too many processes");
		return;
	}
	for (uint32_t i = 0; i < profile->process_count; i++) {
		profile->processes[i].rss_bytes =
		    arena_array(profile->arena, uint64_t, profile->snapshot_count + 1UL);
		reader->no_memory |= !profile->processes[i].rss_bytes;
	}
	rows = rows_begin(reader, "SELECT snapshot, process, bytes FROM rss");
	while (rows_next(&rows)) {
		uint32_t snapshot =
		    column_reference(&rows, 0, &reader->snapshots, "a snapshot is missing");
		uint32_t process =
		    column_reference(&rows, 1, &reader->processes, "a process is missing");
		uint64_t bytes = column_number(&rows, 2, INT64_MAX);

		if (!reader_failed(reader))
			profile->processes[process].rss_bytes[snapshot] = bytes;
	}
}

/* Remember the module of a named native frame for those of the same binary that have no name. */
static void module_remember(struct reader *reader, uint64_t frame, const char *module)
{
	uint32_t binary_id = frame >> FRAME_PC_BITS;
	const char **name;
	bool added;

	if (frame >> FRAME_TAG_SHIFT != FRAME_NATIVE || !module)
		return;
	if (table_add(reader->modules, &binary_id, &added) < 0)
		reader->no_memory = true;
	else if (added) {
		name = vec_add(&reader->module_names);
		if (name)
			*name = module;
		reader->no_memory |= !name;
	}
}

static const char *text_format(struct reader *reader, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static const char *text_format(struct reader *reader, const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	const char *kept = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) >= 0)
		kept = arena_intern(reader->profile->arena, text);
	va_end(args);
	reader->no_memory |= !kept;
	return kept ? kept : "?";
}

/* "module+0x12" or "0x12": what is known of code without a name. */
static const char *offset_name(struct reader *reader, const char *module, uint64_t offset)
{
	if (module && module[0])
		return text_format(reader, "%s+0x%llx", path_base(module),
				   (unsigned long long)offset);
	return text_format(reader, "0x%llx", (unsigned long long)offset);
}

/* The span of 'frame', begun if there is none; NULL when memory is out. */
static struct frame_span *span_find(struct reader *reader, uint64_t frame)
{
	struct frame_span *span;
	ssize_t index;
	bool added;

	index = table_add(reader->frames, &frame, &added);
	if (added && (span = vec_add(&reader->spans)))
		span->first = reader->frame_rows.count;
	if (index < 0 || reader->spans.count != table_count(reader->frames)) {
		reader->no_memory = true;
		return NULL;
	}
	return &reader->spans.items[index];
}

/* Begin or go on with the span of 'frame'; returns the new row in it, or NULL. */
static struct profile_frame *span_extend(struct reader *reader, uint64_t frame, uint64_t position)
{
	struct frame_span *span = span_find(reader, frame);

	if (!span)
		return NULL;
	/* rows come ordered by frame: a span that is not the last is out of order */
	if (span != &reader->spans.items[reader->spans.count - 1] || span->count != position ||
	    position >= INLINE_LIMIT) {
		damaged(reader, "its frames are out of order");
		return NULL;
	}
	span->count++;
	return vec_add(&reader->frame_rows);
}

static void frame_fill(struct rows *rows, struct profile_frame *row)
{
	row->function = column_text(rows, 2);
	row->file = column_text_or_null(rows, 3);
	row->module = column_text_or_null(rows, 4);
	row->offset = column_number(rows, 5, INT64_MAX);
	row->line = column_number(rows, 6, UINT32_MAX);
	row->python = column_flag(rows, 7);
	row->inlined = column_flag(rows, 8);
	row->internal = column_flag(rows, 9);
	if (!row->function[0])
		row->function = offset_name(rows->reader, row->module, row->offset);
	if (row->file && !row->file[0])
		row->file = NULL;
}

static void read_frames(struct reader *reader)
{
	struct rows rows =
	    rows_begin(reader, "SELECT frame, position, function_text, file_text,"
			       " module_text, offset, line, python, inlined, internal"
			       " FROM frame ORDER BY frame, position");

	while (rows_next(&rows)) {
		int type = sqlite3_column_type(rows.statement, 0);
		uint64_t frame = sqlite3_column_int64(rows.statement, 0);
		struct profile_frame *row;

		if (type != SQLITE_INTEGER)
			damaged(reader, "a frame is no number");
		row = span_extend(reader, frame, column_number(&rows, 1, INLINE_LIMIT));
		if (!row) {
			damaged(reader, "its frames are out of order");
			continue;
		}
		frame_fill(&rows, row);
		module_remember(reader, frame, row->module);
	}
}

/* A frame that was never named: say what its bits say. */
static struct frame_span frame_invent(struct reader *reader, uint64_t frame)
{
	struct profile_frame *row = span_extend(reader, frame, 0);
	uint32_t binary_id = frame >> FRAME_PC_BITS;
	ssize_t module;

	if (!row)
		return (struct frame_span){0};
	row->offset = frame & ((1ULL << FRAME_TAG_SHIFT) - 1);
	row->python = frame >> FRAME_TAG_SHIFT >= FRAME_PYTHON;
	if (frame >> FRAME_TAG_SHIFT == FRAME_NATIVE) {
		row->offset = frame & ((1ULL << FRAME_PC_BITS) - 1);
		module = table_find(reader->modules, &binary_id);
		if (module >= 0 && !reader->no_memory)
			row->module = reader->module_names.items[module];
	}
	row->function = offset_name(reader, row->module, row->offset);
	return reader->spans.items[reader->spans.count - 1];
}

static struct frame_span frame_find(struct reader *reader, uint64_t frame)
{
	ssize_t index = table_find(reader->frames, &frame);

	return index < 0 ? frame_invent(reader, frame) : reader->spans.items[index];
}

/* Write out the inline chains of all frames of a stack. */
static void stack_expand(struct reader *reader, const void *blob, uint32_t count,
			 struct stack_row *stack)
{
	uint64_t frames[MIXED_MAX_FRAMES];
	uint32_t total = 0, at = 0;

	if (count)
		memcpy(frames, blob, count * sizeof(frames[0]));
	for (uint32_t i = 0; i < count; i++) {
		frames[i] = le64toh(frames[i]);
		total += frame_find(reader, frames[i]).count;
	}
	stack->frames = arena_array(reader->profile->arena, uint32_t, total + 1UL);
	if (!stack->frames || reader_failed(reader)) {
		reader->no_memory |= !stack->frames;
		return;
	}
	for (uint32_t i = 0; i < count; i++) {
		struct frame_span span = frame_find(reader, frames[i]);

		for (uint32_t k = 0; k < span.count; k++)
			stack->frames[at++] = span.first + k;
	}
	stack->frame_count = at;
}

static void read_stacks(struct reader *reader)
{
	struct rows rows =
	    rows_begin(reader, "SELECT id, frames, truncated, end_reason FROM stack ORDER BY id");

	while (rows_next(&rows)) {
		struct stack_row *stack = vec_add(&reader->stack_rows);
		int type = sqlite3_column_type(rows.statement, 1);
		const void *blob = sqlite3_column_blob(rows.statement, 1);
		uint32_t bytes = sqlite3_column_bytes(rows.statement, 1);

		column_new_id(&rows, 0, &reader->stacks);
		if (!stack) {
			reader->no_memory = true;
			continue;
		}
		stack->truncated = column_flag(&rows, 2);
		stack->end_reason = column_number(&rows, 3, UINT8_MAX);
		if (type != SQLITE_BLOB || bytes % 8 || bytes > MIXED_MAX_FRAMES * 8 ||
		    stack->end_reason >= WALK_END_COUNT) {
			damaged(reader, "a stack has the wrong size");
			continue;
		}
		if (budget_take(reader, bytes))
			stack_expand(reader, blob, bytes / 8, stack);
	}
}

/* The one frame of a site whose stack never came. */
static struct stack_row *stack_missing(struct reader *reader)
{
	struct stack_row *stack = vec_add(&reader->stack_rows);
	struct profile_frame *frame = vec_add(&reader->frame_rows);
	uint32_t *index = arena_array(reader->profile->arena, uint32_t, 1);

	if (!stack || !frame || !index) {
		reader->no_memory = true;
		return NULL;
	}
	*index = reader->frame_rows.count - 1;
	frame->function = "[stack not received]";
	*stack = (struct stack_row){.frames = index, .frame_count = 1, .truncated = true};
	return stack;
}

static void site_take_stack(struct rows *rows, struct profile_site *site,
			    const struct stack_row *missing)
{
	struct reader *reader = rows->reader;
	ssize_t index = id_index(&reader->stacks, column_number(rows, 3, UINT32_MAX));
	const struct stack_row *stack = index < 0 ? missing : &reader->stack_rows.items[index];

	if (!stack->frame_count)
		stack = missing;
	site->frames = stack->frames;
	site->frame_count = stack->frame_count;
	site->truncated = stack->truncated;
	site->end_reason = stack->end_reason;
}

static void read_sites(struct reader *reader)
{
	struct rows rows =
	    rows_begin(reader, "SELECT id, process, class, stack FROM site ORDER BY id");
	const struct stack_row *missing = stack_missing(reader);

	while (rows_next(&rows)) {
		struct profile_site *site = vec_add(&reader->site_rows);

		column_new_id(&rows, 0, &reader->sites);
		if (!site || !missing) {
			reader->no_memory = true;
			continue;
		}
		site->process =
		    column_reference(&rows, 1, &reader->processes, "a process is missing");
		site->alloc_class = column_number(&rows, 2, CLASS_COUNT - 1);
		if (!reader_failed(reader))
			site_take_stack(&rows, site, missing);
	}
	reader->profile->sites = VEC_KEEP(reader, &reader->site_rows, &reader->profile->site_count);
	reader->profile->frames =
	    VEC_KEEP(reader, &reader->frame_rows, &reader->profile->frame_count);
}

/* Give every site room for its points. Returns the array they all lie in, NULL on failure. */
static struct site_point *points_reserve(struct reader *reader, uint64_t *total)
{
	struct profile *profile = reader->profile;
	struct rows rows = rows_begin(reader, "SELECT site FROM point");
	struct site_point *points;

	*total = 0;
	while (rows_next(&rows)) {
		uint32_t site = column_reference(&rows, 0, &reader->sites, "a site is missing");

		if (reader_failed(reader))
			continue;
		profile->sites[site].point_count++;
		*total += 1;
	}
	if (reader_failed(reader))
		return NULL;
	points = arena_array(profile->arena, struct site_point, *total + 1);
	reader->no_memory |= !points;
	for (uint64_t i = 0, begin = 0; points && i < profile->site_count; i++) {
		profile->sites[i].points = points + begin;
		begin += profile->sites[i].point_count;
		profile->sites[i].point_count = 0;
	}
	return points;
}

/* Where the room of a site ends. */
static const struct site_point *points_end(const struct profile *profile, uint32_t site,
					   const struct site_point *end_of_all)
{
	return site + 1 < profile->site_count ? profile->sites[site + 1].points : end_of_all;
}

/* Five columns from 'column' on. */
static struct site_totals column_totals(struct rows *rows, int column)
{
	return (struct site_totals){
	    .alloc_bytes = column_amount(rows, column),
	    .alloc_blocks = column_amount(rows, column + 1),
	    .free_bytes = column_amount(rows, column + 2),
	    .free_blocks = column_amount(rows, column + 3),
	    .variance = column_variance(rows, column + 4),
	};
}

static void read_points(struct reader *reader)
{
	struct profile *profile = reader->profile;
	uint64_t total, budget = reader->budget, taken = 0;
	struct site_point *points = points_reserve(reader, &total);
	uint64_t last_key = 0;
	struct rows rows;

	reader->budget = budget; /* the same rows again */
	rows = rows_begin(reader, "SELECT snapshot, site, alloc_bytes, alloc_blocks, free_bytes,"
				  " free_blocks, variance FROM point ORDER BY snapshot, site");
	while (rows_next(&rows)) {
		uint32_t snapshot =
		    column_reference(&rows, 0, &reader->snapshots, "a snapshot is missing");
		uint32_t index = column_reference(&rows, 1, &reader->sites, "a site is missing");
		uint64_t key = (uint64_t)snapshot << 32 | index;
		struct profile_site *site = &profile->sites[index];
		struct site_point *point;

		if ((taken++ && key <= last_key) || reader_failed(reader) ||
		    site->points + site->point_count >=
			points_end(profile, index, points + total)) {
			damaged(reader, "its rows are out of order");
			continue;
		}
		last_key = key;
		point = &points[site->points - points + site->point_count++];
		point->snapshot = snapshot;
		point->totals = column_totals(&rows, 2);
	}
}

static void read_ages(struct reader *reader)
{
	struct profile *profile = reader->profile;
	struct rows rows = rows_begin(reader, "SELECT site, age, alloc_bytes, alloc_blocks,"
				  " free_bytes, free_blocks FROM age");

	while (rows_next(&rows)) {
		uint32_t site = column_reference(&rows, 0, &reader->sites, "a site is missing");
		uint32_t age = column_number(&rows, 1, AGE_CLASSES - 1);

		if (reader_failed(reader))
			continue;
		profile->sites[site].age[age] = (struct site_age){
		    .alloc_bytes = column_amount(&rows, 2),
		    .alloc_blocks = column_amount(&rows, 3),
		    .free_bytes = column_amount(&rows, 4),
		    .free_blocks = column_amount(&rows, 5),
		};
	}
	memset(profile->epoch_start_ns, 0xff, sizeof(profile->epoch_start_ns));
	rows = rows_begin(reader, "SELECT age, start_ns FROM epoch");
	while (rows_next(&rows)) {
		uint32_t age = column_number(&rows, 0, AGE_CLASSES - 1);

		profile->epoch_start_ns[age] = column_number(&rows, 1, INT64_MAX);
	}
}

static void read_losses(struct reader *reader)
{
	struct rows rows =
	    rows_begin(reader, "SELECT key_text, text_text, count FROM loss ORDER BY key_text");

	while (rows_next(&rows)) {
		uint64_t count = column_number(&rows, 2, INT64_MAX);
		struct profile_loss *loss = count ? vec_add(&reader->loss_rows) : NULL;

		reader->no_memory |= count && !loss;
		if (loss)
			*loss = (struct profile_loss){column_text(&rows, 0), column_text(&rows, 1),
						      count};
	}
	reader->profile->losses =
	    VEC_KEEP(reader, &reader->loss_rows, &reader->profile->loss_count);
}

static void read_events(struct reader *reader)
{
	struct rows rows =
	    rows_begin(reader, "SELECT time_ns, kind_text, text_text FROM event ORDER BY id");

	while (rows_next(&rows)) {
		struct profile_event *event = vec_add(&reader->event_rows);

		reader->no_memory |= !event;
		if (event)
			*event =
			    (struct profile_event){column_number(&rows, 0, INT64_MAX),
						   column_text(&rows, 1), column_text(&rows, 2)};
	}
	reader->profile->events =
	    VEC_KEEP(reader, &reader->event_rows, &reader->profile->event_count);
}

/* ---- everything -------------------------------------------------------------------------------
 */

/* All CREATE statements of a database, in one text the caller frees; NULL on failure. */
static char *schema_text(sqlite3 *db)
{
	_cleanup_(statement_close_ptr) sqlite3_stmt *statement = NULL;
	const char *sql = "SELECT group_concat(kind || name || coalesce(sql, ''), '|') FROM"
			  " (SELECT type AS kind, name, sql FROM sqlite_schema ORDER BY name)";
	const char *text;

	if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) ||
	    sqlite3_step(statement) != SQLITE_ROW)
		return NULL;
	text = (const char *)sqlite3_column_text(statement, 0);
	return strdup(text ? text : "");
}

/* Only our own tables: no views, triggers or virtual tables that would run something else. */
static void schema_check(struct reader *reader)
{
	_cleanup_(database_close_ptr) sqlite3 *empty = NULL;
	_cleanup_free_ char *found = NULL, *expected = NULL;

	if (sqlite3_open(":memory:", &empty) || database_execute(empty, recording_schema)) {
		reader->no_memory = true;
		return;
	}
	expected = schema_text(empty);
	found = schema_text(reader->db);
	if (!expected || !found || strcmp(found, expected))
		damaged(reader, "its tables are not those of a recording");
}

static void reader_free(struct reader *reader)
{
	void *arrays[] = {
	    reader->texts.items,	reader->processes.items,     reader->snapshots.items,
	    reader->sites.items,	reader->stacks.items,	     reader->text_rows.items,
	    reader->process_rows.items, reader->snapshot_rows.items, reader->frame_rows.items,
	    reader->spans.items,	reader->stack_rows.items,    reader->site_rows.items,
	    reader->loss_rows.items,	reader->event_rows.items,    reader->module_names.items,
	};

	for (size_t i = 0; i < ARRAY_LEN(arrays); i++)
		free(arrays[i]);
	table_free(reader->frames);
	table_free(reader->modules);
}

/* Everything, in the order of reference. */
static void read_all(struct reader *reader)
{
	reader->profile->arena = arena_new();
	reader->frames = table_new(sizeof(uint64_t));
	reader->modules = table_new(sizeof(uint32_t));
	reader->no_memory = !reader->profile->arena || !reader->frames || !reader->modules;
	if (!reader->no_memory)
		schema_check(reader);
	if (reader_failed(reader))
		return;
	read_recording(reader);
	read_texts(reader);
	read_processes(reader);
	read_snapshots(reader);
	read_rss(reader);
	read_frames(reader);
	read_stacks(reader);
	read_sites(reader);
	read_points(reader);
	read_ages(reader);
	read_losses(reader);
	read_events(reader);
}

/* Read an open database of 'file_bytes' bytes. */
int rows_read(sqlite3 *db, uint64_t file_bytes, const char *path, struct profile *profile,
	      struct err *err)
{
	struct reader reader = {.db = db, .profile = profile, .budget = file_bytes};

	memset(profile, 0, sizeof(*profile));
	read_all(&reader);
	reader_free(&reader);
	if (!reader_failed(&reader))
		return 0;
	profile_deinit(profile);
	if (reader.no_memory)
		return err_set(err, ENOMEM, "cannot read '%s': out of memory", path);
	return err_set(err, EINVAL, "'%s' is damaged: %s", path, reader.damage);
}
