/* SPDX-License-Identifier: GPL-2.0-only */
/* json.c - see json.h */
#include "export/json.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/units.h"
#include "export/utf8.h"
#include "profile/profile.h"
#include "profile/rank.h"
#include "profile/verdict.h"
#include "profile/view.h"

#define DUMP_FLAGS (JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(12))

/* Everything below builds values that are dumped and dropped at once. A value that could not be
 * built is NULL, which json_object_set_new() refuses; 'failed' remembers it. */
struct writer {
	FILE *out;
	bool failed;
};

static void set(struct writer *writer, json_t *object, const char *key, json_t *value)
{
	if (json_object_set_new(object, key, value))
		writer->failed = true;
}

static void set_count(struct writer *writer, json_t *object, const char *key, double value)
{
	set(writer, object, key, json_integer(llround(value)));
}

static void set_real(struct writer *writer, json_t *object, const char *key, double value)
{
	set(writer, object, key, json_real(isfinite(value) ? value : 0));
}

/* NULL becomes null. */
static void set_text(struct writer *writer, json_t *object, const char *key, const char *text)
{
	_cleanup_free_ char *clean = text ? utf8_clean(text, 1) : NULL;

	set(writer, object, key, text ? clean ? json_string(clean) : NULL : json_null());
}

static void set_flag(struct writer *writer, json_t *object, const char *key, bool flag)
{
	set(writer, object, key, json_boolean(flag));
}

/* Write the members of an object, without its braces, and drop it. */
static void members_write(struct writer *writer, json_t *object)
{
	if (!object || json_dumpf(object, writer->out, DUMP_FLAGS | JSON_EMBED))
		writer->failed = true;
	json_decref(object);
}

/* ---- head -------------------------------------------------------------------------------------
 */

static json_t *overhead_json(struct writer *writer, const struct profile *profile, double seconds)
{
	json_t *overhead = json_object();

	set_count(writer, overhead, "hits", profile->hits);
	set_real(writer, overhead, "hits_per_s", seconds > 0 ? profile->hits / seconds : 0);
	set_real(writer, overhead, "ns_per_hit", profile->ns_per_hit);
	set_real(writer, overhead, "cpu_percent", profile->cpu_percent);
	set_real(writer, overhead, "slowdown_percent", profile->slowdown_percent);
	return overhead;
}

static json_t *classes_json(struct writer *writer, const struct memory_growth *growth)
{
	json_t *classes = json_object();

	for (unsigned int i = 0; i < CLASS_COUNT; i++) {
		json_t *class = json_object();

		set_count(writer, class, "live_bytes", growth->live[i]);
		set_count(writer, class, "growth_bytes", growth->growth[i]);
		set(writer, classes, alloc_class_name(i), class);
	}
	return classes;
}

static json_t *process_json(struct writer *writer, const struct profile_process *process,
			    const struct memory_growth *growth)
{
	json_t *object = json_object();

	set_count(writer, object, "pid", process->pid);
	set_text(writer, object, "comm", process->comm);
	set_text(writer, object, "exe", process->exe);
	set_text(writer, object, "python", process->python);
	set_count(writer, object, "start_rss_bytes", growth->start_rss);
	set_count(writer, object, "end_rss_bytes", growth->end_rss);
	set(writer, object, "classes", classes_json(writer, growth));
	return object;
}

static json_t *processes_json(struct writer *writer, const struct profile *profile)
{
	_cleanup_free_ struct memory_growth *growth = memory_growth_read(profile);
	json_t *processes = json_array();

	for (uint32_t i = 0; growth && i < profile->process_count; i++)
		if (json_array_append_new(processes,
					  process_json(writer, &profile->processes[i], &growth[i])))
			writer->failed = true;
	writer->failed |= !growth;
	return processes;
}

static json_t *losses_json(struct writer *writer, const struct profile *profile)
{
	json_t *losses = json_object();

	for (uint32_t i = 0; i < profile->loss_count; i++) {
		_cleanup_free_ char *key = utf8_clean(profile->losses[i].key, 1);

		if (key)
			set_count(writer, losses, key, profile->losses[i].count);
		writer->failed |= !key;
	}
	return losses;
}

static json_t *events_json(struct writer *writer, const struct profile *profile)
{
	json_t *events = json_array();

	for (uint32_t i = 0; i < profile->event_count; i++) {
		const struct profile_event *event = &profile->events[i];
		json_t *object = json_object();

		set_real(writer, object, "time_s", event->time_ns / (double)NS_PER_S);
		set_text(writer, object, "kind", event->kind);
		set_text(writer, object, "text", event->text);
		if (json_array_append_new(events, object))
			writer->failed = true;
	}
	return events;
}

static json_t *filtered_json(struct writer *writer, const struct view_rest *rest)
{
	json_t *filtered = json_object();

	set_count(writer, filtered, "sites", rest->sites);
	set_count(writer, filtered, "live_bytes", rest->live_bytes);
	set_count(writer, filtered, "growth_bytes", rest->growth_bytes);
	return filtered;
}

static void head_write(struct writer *writer, const struct export_input *input)
{
	const struct profile *profile = input->whole;
	double seconds = profile->duration_ns / (double)NS_PER_S;
	json_t *head = json_object();

	set_text(writer, head, "seep", profile->version);
	set_real(writer, head, "duration_s", seconds);
	set_real(writer, head, "interval_s", profile->interval_ns / (double)NS_PER_S);
	set_count(writer, head, "snapshots", profile->snapshot_count);
	set_text(writer, head, "mode", profile->sample_bytes > 1 ? "sampled" : "exact");
	set_count(writer, head, "sample_bytes", profile->sample_bytes);
	set_text(writer, head, "kernel", profile->kernel);
	set(writer, head, "overhead", overhead_json(writer, profile, seconds));
	set(writer, head, "processes", processes_json(writer, profile));
	set(writer, head, "losses", losses_json(writer, profile));
	set(writer, head, "events", events_json(writer, profile));
	if (input->rest)
		set(writer, head, "filtered", filtered_json(writer, input->rest));
	members_write(writer, head);
}

/* ---- sites -------------------------------------------------------------------------------------
 */

/* One frame as text; on the heap, NULL when memory is out. */
static char *frame_text(struct writer *writer, const struct profile_frame *frame)
{
	json_t *object = json_object();
	char *text;

	set_text(writer, object, "kind", frame->python ? "python" : "native");
	set_text(writer, object, "function", frame->function);
	set_text(writer, object, "file", frame->file);
	set(writer, object, "line", frame->line ? json_integer(frame->line) : json_null());
	set_text(writer, object, "module", frame->module);
	set(writer, object, "offset", json_integer(frame->offset));
	set_flag(writer, object, "inlined", frame->inlined);
	set_flag(writer, object, "internal", frame->internal);
	text = json_dumps(object, DUMP_FLAGS);
	json_decref(object);
	return text;
}

/* Stacks share most of their frames: each is turned into text once. */
static void frames_write(struct writer *writer, const struct profile *profile,
			 const struct profile_site *site, char **texts)
{
	fputs(",\"frames\":[", writer->out);
	for (uint32_t i = 0; i < site->frame_count; i++) {
		char **text = &texts[site->frames[i]];

		if (!*text)
			*text = frame_text(writer, &profile->frames[site->frames[i]]);
		writer->failed |= !*text;
		fprintf(writer->out, "%s%s", i ? "," : "", *text ? *text : "null");
	}
	fputs("]}", writer->out);
}

static json_t *pids_json(struct writer *writer, const struct profile_site *site)
{
	json_t *pids = json_array();

	for (uint32_t i = 0; i < site->pid_count; i++)
		if (json_array_append_new(pids, json_integer(site->pids[i])))
			writer->failed = true;
	return pids;
}

static void site_write(struct writer *writer, const struct profile *profile,
		       const struct ranked_site *ranked, size_t rank, char **frame_texts)
{
	const struct profile_site *site = ranked->site;
	json_t *object = json_object();

	set(writer, object, "rank", json_integer(rank));
	if (site->pids) {
		set(writer, object, "pid", json_null());
		set(writer, object, "pids", pids_json(writer, site));
	} else {
		set_count(writer, object, "pid", profile->processes[site->process].pid);
	}
	set_text(writer, object, "class", alloc_class_name(site->alloc_class));
	set_text(writer, object, "verdict", site_verdict_name(ranked->verdict));
	set_count(writer, object, "growth_bytes", ranked->growth_bytes);
	set_real(writer, object, "growth_bytes_per_s", ranked->slope);
	set_count(writer, object, "growth_blocks", ranked->growth_blocks);
	set_count(writer, object, "live_bytes", live_bytes(ranked->end));
	set_count(writer, object, "live_blocks", live_blocks(ranked->end));
	set_count(writer, object, "alloc_bytes", ranked->end.alloc_bytes);
	set_count(writer, object, "alloc_blocks", ranked->end.alloc_blocks);
	set_count(writer, object, "free_bytes", ranked->end.free_bytes);
	set_count(writer, object, "free_blocks", ranked->end.free_blocks);
	set_real(writer, object, "survival", ranked->survival);
	set_count(writer, object, "error_bytes", ranked->error_bytes);
	set_flag(writer, object, "truncated", site->truncated);
	fputc('{', writer->out);
	members_write(writer, object);
	frames_write(writer, profile, site, frame_texts);
}

int export_json(FILE *out, const struct export_input *input)
{
	uint32_t frame_count = input->profile->frame_count;
	char **frame_texts = calloc(frame_count + 1UL, sizeof(*frame_texts));
	struct writer writer = {.out = out};

	if (!frame_texts)
		return -ENOMEM;
	fputs("{", out);
	head_write(&writer, input);
	fputs(",\n\"sites\":[", out);
	for (size_t i = 0; i < input->ranking->count && i < input->limit && !ferror(out); i++) {
		fputs(i ? ",\n" : "\n", out);
		site_write(&writer, input->profile, &input->ranking->items[i], i + 1, frame_texts);
	}
	fputs("]}\n", out);
	for (uint32_t i = 0; i < frame_count; i++)
		free(frame_texts[i]);
	free(frame_texts);
	return writer.failed && !ferror(out) ? -ENOMEM : 0;
}
