/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * pprof.c - see pprof.h
 *
 * https://github.com/google/pprof/blob/main/proto/profile.proto gives the numbers of the fields. A
 * location is one instruction with its inlined functions, innermost first; its address is the ELF
 * address in the binary, whose mapping begins at 0. Samples are leaf first.
 */
#include "export/pprof.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/table.h"
#include "base/units.h"
#include "base/vec.h"
#include "export/protobuf.h"
#include "export/stacks.h"
#include "export/texts.h"
#include "profile/diff.h"
#include "profile/profile.h"
#include "profile/rank.h"
#include "profile/verdict.h"
#include "profile/view.h"

/* Numbers of fields, by message. */
enum field {
	PROFILE_SAMPLE_TYPE = 1,
	PROFILE_SAMPLE = 2,
	PROFILE_MAPPING = 3,
	PROFILE_LOCATION = 4,
	PROFILE_FUNCTION = 5,
	PROFILE_STRING_TABLE = 6,
	PROFILE_TIME_NANOS = 9,
	PROFILE_DURATION_NANOS = 10,
	PROFILE_PERIOD_TYPE = 11,
	PROFILE_PERIOD = 12,
	PROFILE_COMMENT = 13,
	PROFILE_DEFAULT_SAMPLE_TYPE = 14,

	VALUE_TYPE_TYPE = 1,
	VALUE_TYPE_UNIT = 2,

	SAMPLE_LOCATION_ID = 1,
	SAMPLE_VALUE = 2,
	SAMPLE_LABEL = 3,
	LABEL_KEY = 1,
	LABEL_STR = 2,

	MAPPING_ID = 1,
	MAPPING_LIMIT = 3,
	MAPPING_FILENAME = 5,
	MAPPING_HAS_FUNCTIONS = 7,
	MAPPING_HAS_FILENAMES = 8,
	MAPPING_HAS_LINE_NUMBERS = 9,
	MAPPING_HAS_INLINE_FRAMES = 10,

	LOCATION_ID = 1,
	LOCATION_MAPPING_ID = 2,
	LOCATION_ADDRESS = 3,
	LOCATION_LINE = 4,
	LINE_FUNCTION_ID = 1,
	LINE_LINE = 2,

	FUNCTION_ID = 1,
	FUNCTION_NAME = 2,
	FUNCTION_SYSTEM_NAME = 3,
	FUNCTION_FILENAME = 4,
};

#define PAGE_BYTES 4096
#define NOTHING	   UINT32_MAX
#define PIDS_MAX   16 /* in one label */

/* Frames that are no frames of the profile. */
#define FRAME_TRUNCATED (UINT32_MAX - 1)
#define FRAME_MISSING	(UINT32_MAX - 2)

/* An inlined function, or the one that is not, within those that were inlined into it. */
struct line_node {
	uint32_t inner; /* NOTHING: it is the innermost */
	uint32_t frame; /* index into profile.frames */
};

struct function {
	uint32_t name, file; /* numbers of texts */
};

struct pprof {
	const struct export_input *input;
	struct message all;		  /* the profile */
	struct message one, nested, list; /* what is being built */
	struct message function;	  /* so that one may be written meanwhile */
	struct texts texts;
	struct table *functions; /* struct function; ids are their numbers + 1 */
	struct table *lines;	 /* struct line_node */
	struct table *locations; /* numbers of the outermost lines; likewise */
	struct table *modules;	 /* numbers of texts; likewise */
	struct {
		struct mapping_span {
			uint32_t name;	  /* number of a text */
			uint64_t highest; /* address seen */
		} * items;
		size_t count, capacity;
	} mappings;	       /* in the order of 'modules' */
	uint32_t *function_of; /* of the profile's frames; 0: not known yet */
	struct {
		uint32_t *items;
		size_t count, capacity;
	} stack; /* locations of the sample at hand */
	bool failed;
};

/* ---- numbers -----------------------------------------------------------------------------------
 */

static uint32_t text(struct pprof *pprof, const char *raw)
{
	ssize_t number = texts_add(&pprof->texts, raw);

	pprof->failed |= number < 0;
	return number < 0 ? 0 : number;
}

static uint32_t number_in(struct pprof *pprof, struct table *table, const void *key, bool *added)
{
	ssize_t number = table_add(table, key, added);

	pprof->failed |= number < 0;
	return number < 0 ? 0 : number;
}

/* Binaries have mappings; so has Python code, one that nobody tries to look up names in. */
static uint32_t mapping_id(struct pprof *pprof, const char *module, uint64_t address)
{
	uint32_t name = text(pprof, module);
	bool added;
	uint32_t number = number_in(pprof, pprof->modules, &name, &added);
	struct mapping_span *mapping;

	if (pprof->failed)
		return 0;
	if (added && !vec_add(&pprof->mappings)) {
		pprof->failed = true;
		return 0;
	}
	mapping = &pprof->mappings.items[number];
	mapping->name = name;
	if (address > mapping->highest)
		mapping->highest = address;
	return number + 1;
}

static uint32_t function_id(struct pprof *pprof, const char *name, const char *file)
{
	struct function function = {text(pprof, name), text(pprof, file)};
	bool added;
	uint32_t number = number_in(pprof, pprof->functions, &function, &added);

	if (added) {
		message_clear(&pprof->function);
		message_number(&pprof->function, FUNCTION_ID, number + 1UL);
		message_number(&pprof->function, FUNCTION_NAME, function.name);
		message_number(&pprof->function, FUNCTION_SYSTEM_NAME, function.name);
		message_number(&pprof->function, FUNCTION_FILENAME, function.file);
		message_nested(&pprof->all, PROFILE_FUNCTION, &pprof->function);
	}
	return number + 1;
}

static uint32_t frame_function_id(struct pprof *pprof, uint32_t index)
{
	const struct profile_frame *frame = &pprof->input->profile->frames[index];

	if (!pprof->function_of[index])
		pprof->function_of[index] = function_id(pprof, frame->function, frame->file);
	return pprof->function_of[index];
}

/* ---- locations ---------------------------------------------------------------------------------
 */

/* Into the location at hand. */
static void line_write(struct pprof *pprof, uint32_t function, uint32_t line)
{
	message_clear(&pprof->nested);
	message_number(&pprof->nested, LINE_FUNCTION_ID, function);
	message_number(&pprof->nested, LINE_LINE, line);
	message_nested(&pprof->one, LOCATION_LINE, &pprof->nested);
}

/* 'frames' are the lines of one location, innermost first. */
static void location_write(struct pprof *pprof, uint32_t id, const uint32_t *frames, uint32_t count)
{
	const struct profile_frame *frame = &pprof->input->profile->frames[frames[0]];
	const char *module = frame->module ? frame->module : frame->python ? "[python]" : NULL;

	message_clear(&pprof->one);
	message_number(&pprof->one, LOCATION_ID, id);
	if (module)
		message_number(&pprof->one, LOCATION_MAPPING_ID,
			       mapping_id(pprof, module, frame->offset));
	message_number(&pprof->one, LOCATION_ADDRESS, frame->python ? 0 : frame->offset);
	for (uint32_t i = 0; i < count; i++)
		line_write(pprof, frame_function_id(pprof, frames[i]),
			   pprof->input->profile->frames[frames[i]].line);
	message_nested(&pprof->all, PROFILE_LOCATION, &pprof->one);
}

/* A location that is only a name. */
static void named_location_write(struct pprof *pprof, uint32_t id, const char *name)
{
	message_clear(&pprof->one);
	message_number(&pprof->one, LOCATION_ID, id);
	line_write(pprof, function_id(pprof, name, NULL), 0);
	message_nested(&pprof->all, PROFILE_LOCATION, &pprof->one);
}

static void stack_push(struct pprof *pprof, uint32_t location)
{
	uint32_t *item = vec_add(&pprof->stack);

	pprof->failed |= !item;
	if (item)
		*item = location;
}

/* Add the location of these frames to the stack, and write it when it is new. */
static void location_add(struct pprof *pprof, const uint32_t *frames, uint32_t count)
{
	struct line_node node = {.inner = NOTHING};
	uint32_t outermost = 0, number;
	bool added;

	for (uint32_t i = 0; i < count; i++) {
		node.frame = frames[i];
		outermost = number_in(pprof, pprof->lines, &node, &added);
		node.inner = outermost;
	}
	number = number_in(pprof, pprof->locations, &outermost, &added);
	if (added && frames[0] == FRAME_TRUNCATED)
		named_location_write(pprof, number + 1, "[truncated]");
	else if (added && frames[0] == FRAME_MISSING)
		named_location_write(pprof, number + 1, "[no frames]");
	else if (added)
		location_write(pprof, number + 1, frames, count);
	stack_push(pprof, number + 1);
}

/* Of the frames from 'first' on, those at the same instruction; a view may have left out the one
 * that the last of them is inlined into. */
static uint32_t location_length(const struct pprof *pprof, const struct profile_site *site,
				uint32_t first)
{
	const struct profile_frame *frames = pprof->input->profile->frames;
	const struct profile_frame *innermost = &frames[site->frames[first]];
	uint32_t i = first;

	while (i + 1 < site->frame_count && frames[site->frames[i]].inlined &&
	       frames[site->frames[i + 1]].module == innermost->module &&
	       frames[site->frames[i + 1]].offset == innermost->offset)
		i++;
	return i + 1 - first;
}

static void stack_read(struct pprof *pprof, const struct profile_site *site)
{
	const uint32_t missing = FRAME_MISSING, truncated = FRAME_TRUNCATED;
	uint32_t length;

	pprof->stack.count = 0;
	for (uint32_t i = 0; i < site->frame_count; i += length) {
		length = location_length(pprof, site, i);
		location_add(pprof, &site->frames[i], length);
	}
	if (!site->frame_count)
		location_add(pprof, &missing, 1);
	if (site->truncated && site->frame_count > 1)
		location_add(pprof, &truncated, 1);
}

/* ---- samples -----------------------------------------------------------------------------------
 */

static void label_write(struct pprof *pprof, const char *key, const char *value)
{
	if (!value[0])
		return;
	message_clear(&pprof->nested);
	message_number(&pprof->nested, LABEL_KEY, text(pprof, key));
	message_number(&pprof->nested, LABEL_STR, text(pprof, value));
	message_nested(&pprof->one, SAMPLE_LABEL, &pprof->nested);
}

/* pprof sums by each value of a label, so a site of several processes has one text for all. */
static void pids_write(struct pprof *pprof, const struct profile_site *site)
{
	char value[(PIDS_MAX + 1) * sizeof("4194304,")];
	int length = 0;

	for (uint32_t i = 0; i < site->pid_count && i < PIDS_MAX; i++)
		length += snprintf(value + length, sizeof(value) - length, "%s%d", i ? "," : "",
				   (int)site->pids[i]);
	if (site->pid_count > PIDS_MAX)
		snprintf(value + length, sizeof(value) - length, ",...");
	if (length)
		label_write(pprof, site->pid_count > 1 ? "pids" : "pid", value);
}

static void pid_write(struct pprof *pprof, pid_t pid)
{
	char value[16];

	snprintf(value, sizeof(value), "%d", (int)pid);
	label_write(pprof, "pid", value);
}

static void labels_write(struct pprof *pprof, const struct ranked_site *ranked)
{
	const struct profile_site *site = ranked->site;
	const struct profile_process *process = &pprof->input->profile->processes[site->process];

	if (site->pids)
		pids_write(pprof, site);
	else
		pid_write(pprof, process->pid);
	label_write(pprof, "comm", process->comm);
	label_write(pprof, "class", alloc_class_name(site->alloc_class));
	if (pprof->input->differential)
		label_write(pprof, "change", site_change_name(site_change(ranked)));
	else
		label_write(pprof, "verdict", site_verdict_name(ranked->verdict));
}

static void packed_write(struct message *into, unsigned int field, struct message *list)
{
	message_nested(into, field, list);
	message_clear(list);
}

static void sample_write(struct pprof *pprof, const struct ranked_site *ranked)
{
	const struct site_values values = site_values(ranked);
	const long long in_order[] = {values.alloc_blocks, values.alloc_bytes, values.growth_blocks,
				      values.growth_bytes, values.live_blocks, values.live_bytes};

	stack_read(pprof, ranked->site);
	message_clear(&pprof->one);
	for (size_t i = 0; i < pprof->stack.count; i++)
		message_varint(&pprof->list, pprof->stack.items[i]);
	packed_write(&pprof->one, SAMPLE_LOCATION_ID, &pprof->list);
	for (size_t i = 0; i < ARRAY_LEN(in_order); i++)
		message_varint(&pprof->list, in_order[i]);
	packed_write(&pprof->one, SAMPLE_VALUE, &pprof->list);
	labels_write(pprof, ranked);
	message_nested(&pprof->all, PROFILE_SAMPLE, &pprof->one);
}

/* ---- head --------------------------------------------------------------------------------------
 */

static void value_type_write(struct pprof *pprof, unsigned int field, const char *type,
			     const char *unit)
{
	message_clear(&pprof->one);
	message_number(&pprof->one, VALUE_TYPE_TYPE, text(pprof, type));
	message_number(&pprof->one, VALUE_TYPE_UNIT, text(pprof, unit));
	message_nested(&pprof->all, field, &pprof->one);
}

static void __attribute__((format(printf, 2, 3)))
comment(struct pprof *pprof, const char *format, ...)
{
	_cleanup_free_ char *line = NULL;
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vasprintf(&line, format, arguments);
	va_end(arguments);
	pprof->failed |= length < 0;
	if (length >= 0)
		message_number(&pprof->all, PROFILE_COMMENT, text(pprof, line));
	else
		line = NULL; /* vasprintf leaves it undefined */
}

static void process_comments(struct pprof *pprof)
{
	const struct profile *whole = pprof->input->whole;

	for (uint32_t i = 0; i < whole->process_count; i++) {
		const struct profile_process *process = &whole->processes[i];

		comment(pprof, "command: %s (pid %d), %s", process->comm, (int)process->pid,
			process->exe ? process->exe : "unknown program");
	}
}

static void rest_comment(struct pprof *pprof, const char *what, const struct view_rest *rest)
{
	char buffer[UNITS_TEXT_MAX];

	if (rest && rest->sites)
		comment(pprof, "%s: %zu sites with growth %s", what, rest->sites,
			units_format_growth(rest->growth_bytes, buffer));
}

static void comments_write(struct pprof *pprof)
{
	const struct profile *whole = pprof->input->whole;
	char buffer[UNITS_TEXT_MAX];

	comment(pprof, "seep %s, Linux %s", whole->version, whole->kernel);
	if (whole->diff)
		comment(pprof, "growth: from %s@%s to %s@%s", whole->diff->a.path,
			whole->diff->a.name, whole->diff->b.path, whole->diff->b.name);
	if (whole->since)
		comment(pprof, "since: %s", whole->since->name);
	process_comments(pprof);
	if (whole->sample_bytes > 1)
		comment(pprof, "sampled: one block per %s on average, values are scaled up",
			units_format_bytes(whole->sample_bytes, buffer));
	for (uint32_t i = 0; i < whole->loss_count; i++)
		comment(pprof, "lost: %s %s", units_format_count(whole->losses[i].count, buffer),
			whole->losses[i].text);
	if (whole->unmatched_frees)
		comment(pprof, "frees of blocks older than the recording: %s",
			units_format_count(whole->unmatched_frees, buffer));
	if (!whole->complete)
		comment(pprof, "the recording ended early: its writer did not close it");
	rest_comment(pprof, "filtered out", pprof->input->rest);
	rest_comment(pprof, "suppressed", pprof->input->suppressed);
	if (export_count(pprof->input) < pprof->input->ranking->count)
		comment(pprof, "left out: %zu sites after the first %zu",
			pprof->input->ranking->count - export_count(pprof->input),
			export_count(pprof->input));
}

static void head_write(struct pprof *pprof)
{
	static const char *const types[][2] = {
	    {"alloc_objects", "count"}, {"alloc_space", "bytes"},   {"growth_objects", "count"},
	    {"growth_space", "bytes"},	{"inuse_objects", "count"}, {"inuse_space", "bytes"},
	};
	const struct profile *whole = pprof->input->whole;

	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		value_type_write(pprof, PROFILE_SAMPLE_TYPE, types[i][0], types[i][1]);
	value_type_write(pprof, PROFILE_PERIOD_TYPE, "space", "bytes");
	message_number(&pprof->all, PROFILE_PERIOD, whole->sample_bytes);
	message_number(&pprof->all, PROFILE_TIME_NANOS, whole->start_unix_ns);
	message_number(&pprof->all, PROFILE_DURATION_NANOS, whole->duration_ns);
	message_number(&pprof->all, PROFILE_DEFAULT_SAMPLE_TYPE,
		       text(pprof, pprof->input->differential ? "growth_space" : "inuse_space"));
	comments_write(pprof);
}

/* Names, lines and inlined functions are all there: nobody needs to look for the binaries. */
static void mappings_write(struct pprof *pprof)
{
	for (size_t i = 0; i < pprof->mappings.count; i++) {
		const struct mapping_span *mapping = &pprof->mappings.items[i];

		message_clear(&pprof->one);
		message_number(&pprof->one, MAPPING_ID, i + 1);
		message_number(&pprof->one, MAPPING_LIMIT,
			       (mapping->highest / PAGE_BYTES + 1) * PAGE_BYTES);
		message_number(&pprof->one, MAPPING_FILENAME, mapping->name);
		message_number(&pprof->one, MAPPING_HAS_FUNCTIONS, true);
		message_number(&pprof->one, MAPPING_HAS_FILENAMES, true);
		message_number(&pprof->one, MAPPING_HAS_LINE_NUMBERS, true);
		message_number(&pprof->one, MAPPING_HAS_INLINE_FRAMES, true);
		message_nested(&pprof->all, PROFILE_MAPPING, &pprof->one);
	}
}

static void texts_write(struct pprof *pprof)
{
	for (size_t i = 0; i < pprof->texts.count; i++)
		message_bytes(&pprof->all, PROFILE_STRING_TABLE, pprof->texts.items[i],
			      strlen(pprof->texts.items[i]));
}

static int pprof_init(struct pprof *pprof, const struct export_input *input)
{
	*pprof = (struct pprof){
	    .input = input,
	    .functions = table_new(sizeof(struct function)),
	    .lines = table_new(sizeof(struct line_node)),
	    .locations = table_new(sizeof(uint32_t)),
	    .modules = table_new(sizeof(uint32_t)),
	    .function_of = calloc(input->profile->frame_count + 1UL, sizeof(uint32_t)),
	};
	if (texts_init(&pprof->texts) || !pprof->functions || !pprof->lines || !pprof->locations ||
	    !pprof->modules || !pprof->function_of)
		return -ENOMEM;
	return 0;
}

static void pprof_deinit(struct pprof *pprof)
{
	message_free(&pprof->all);
	message_free(&pprof->one);
	message_free(&pprof->nested);
	message_free(&pprof->list);
	message_free(&pprof->function);
	texts_deinit(&pprof->texts);
	table_free(pprof->functions);
	table_free(pprof->lines);
	table_free(pprof->locations);
	table_free(pprof->modules);
	free(pprof->mappings.items);
	free(pprof->function_of);
	free(pprof->stack.items);
}

int export_pprof(FILE *out, const struct export_input *input)
{
	const struct profile *whole = input->whole;
	_cleanup_(pprof_deinit) struct pprof pprof;

	if (pprof_init(&pprof, input))
		return -ENOMEM;
	head_write(&pprof);
	/* pprof calls the first mapping the main binary */
	if (whole->process_count && whole->processes[0].exe)
		mapping_id(&pprof, whole->processes[0].exe, 0);
	for (size_t i = 0; i < export_count(input) && !pprof.failed; i++)
		sample_write(&pprof, &input->ranking->items[i]);
	mappings_write(&pprof);
	texts_write(&pprof);
	if (pprof.failed)
		return -ENOMEM;
	return message_gzip(out, &pprof.all);
}
