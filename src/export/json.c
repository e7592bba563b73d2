/* SPDX-License-Identifier: GPL-2.0-only */
/* json.c - see json.h */
#include "export/json.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/units.h"
#include "export/utf8.h"
#include "profile/culprit.h"
#include "profile/diff.h"
#include "profile/profile.h"
#include "profile/rank.h"
#include "profile/verdict.h"
#include "profile/view.h"

#define DUMP_FLAGS (JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(12))

/* The head is built of values that are dumped and dropped at once. A value that could not be built
 * is NULL, which json_object_set_new() refuses; 'failed' remembers it. Sites and their frames, of
 * which there are many, are written by put_*(). */
struct writer {
	FILE *out;
	char **frame_texts; /* by frame of the profile; NULL: not written yet */
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

static json_t *rest_json(struct writer *writer, const struct view_rest *rest)
{
	json_t *object = json_object();

	set_count(writer, object, "sites", rest->sites);
	set_count(writer, object, "live_bytes", rest->live_bytes);
	set_count(writer, object, "growth_bytes", rest->growth_bytes);
	return object;
}

static json_t *marks_json(struct writer *writer, const struct profile *profile)
{
	json_t *marks = json_array();

	for (uint32_t i = 0; i < profile->snapshot_count; i++) {
		char name[16];
		json_t *mark;

		if (!profile->snapshots[i].mark)
			continue;
		mark = json_object();
		snprintf(name, sizeof(name), "mark%u", profile->snapshots[i].mark);
		set_text(writer, mark, "name", name);
		set_real(writer, mark, "time_s",
			 profile->snapshots[i].time_ns / (double)NS_PER_S);
		if (json_array_append_new(marks, mark))
			writer->failed = true;
	}
	return marks;
}

static json_t *since_json(struct writer *writer, const struct profile_since *since)
{
	json_t *object = json_object();

	set_text(writer, object, "name", since->name);
	set_real(writer, object, "time_s", since->time_ns / (double)NS_PER_S);
	set_flag(writer, object, "exact", since->exact);
	set_count(writer, object, "alloc_bytes", since->alloc_bytes);
	set_count(writer, object, "alloc_blocks", since->alloc_blocks);
	set_count(writer, object, "live_bytes", since->live_bytes);
	set_count(writer, object, "live_blocks", since->live_blocks);
	set_count(writer, object, "most_bytes", since->most_bytes);
	return object;
}

static json_t *moment_json(struct writer *writer, const struct profile_moment *moment)
{
	json_t *object = json_object();

	set_text(writer, object, "recording", moment->path);
	set_text(writer, object, "moment", moment->name);
	set_real(writer, object, "time_s", moment->time_ns / (double)NS_PER_S);
	set_count(writer, object, "sample_bytes", moment->sample_bytes);
	set_count(writer, object, "live_bytes", moment->live_bytes);
	set_count(writer, object, "live_blocks", moment->live_blocks);
	set_count(writer, object, "rss_bytes", moment->rss_bytes);
	return object;
}

static json_t *diff_json(struct writer *writer, const struct profile_diff *diff)
{
	json_t *object = json_object();

	set(writer, object, "a", moment_json(writer, &diff->a));
	set(writer, object, "b", moment_json(writer, &diff->b));
	set_flag(writer, object, "one_recording", diff->one_recording);
	return object;
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
	set(writer, head, "marks", marks_json(writer, profile));
	if (profile->since)
		set(writer, head, "since", since_json(writer, profile->since));
	if (profile->diff)
		set(writer, head, "diff", diff_json(writer, profile->diff));
	if (input->rest)
		set(writer, head, "filtered", rest_json(writer, input->rest));
	if (input->suppressed)
		set(writer, head, "suppressed", rest_json(writer, input->suppressed));
	members_write(writer, head);
}

/* ---- sites -------------------------------------------------------------------------------------
 */

static json_t *frame_json(struct writer *writer, const struct profile_frame *frame)
{
	json_t *object = json_object();

	set_text(writer, object, "kind", frame->python ? "python" : "native");
	set_text(writer, object, "function", frame->function);
	set_text(writer, object, "file", frame->file);
	set(writer, object, "line", frame->line ? json_integer(frame->line) : json_null());
	set_text(writer, object, "module", frame->module);
	set(writer, object, "offset", json_integer(frame->offset));
	set_flag(writer, object, "inlined", frame->inlined);
	set_flag(writer, object, "internal", frame->internal);
	return object;
}

/* One frame as text; on the heap, NULL when memory is out. */
static char *frame_text(struct writer *writer, const struct profile_frame *frame)
{
	_cleanup_(json_decrefp) json_t *object = frame_json(writer, frame);

	return json_dumps(object, DUMP_FLAGS);
}

/* Stacks share most of their frames: each is turned into text once. */
static void frame_put(struct writer *writer, const struct profile *profile, uint32_t frame)
{
	char **text = &writer->frame_texts[frame];

	if (!*text)
		*text = frame_text(writer, &profile->frames[frame]);
	writer->failed |= !*text;
	fputs_unlocked(*text ? *text : "null", writer->out);
}

static void frames_put(struct writer *writer, const struct profile *profile,
		       const struct profile_site *site)
{
	fputs_unlocked(",\"frames\":[", writer->out);
	for (uint32_t i = 0; i < site->frame_count; i++) {
		if (i)
			putc_unlocked(',', writer->out);
		frame_put(writer, profile, site->frames[i]);
	}
	fputs_unlocked("]}", writer->out);
}

static void put_count(struct writer *writer, const char *key, double value)
{
	fprintf(writer->out, ",\"%s\":%lld", key, llround(value));
}

/* As set_real(): digits like jansson's. */
static void put_real(struct writer *writer, const char *key, double value)
{
	_cleanup_(json_decrefp) json_t *real = json_real(isfinite(value) ? value : 0);
	char digits[64];
	size_t length = real ? json_dumpb(real, digits, sizeof(digits), DUMP_FLAGS) : 0;

	writer->failed |= !length || length > sizeof(digits);
	if (!writer->failed)
		fprintf(writer->out, ",\"%s\":%.*s", key, (int)length, digits);
}

/* 'word' is of our own: no character of it needs an escape. */
static void put_word(struct writer *writer, const char *key, const char *word)
{
	fprintf(writer->out, ",\"%s\":\"%s\"", key, word);
}

static void pids_put(struct writer *writer, const struct profile_site *site)
{
	fputs(",\"pid\":null,\"pids\":[", writer->out);
	for (uint32_t i = 0; i < site->pid_count; i++)
		fprintf(writer->out, "%s%d", i ? "," : "", (int)site->pids[i]);
	putc_unlocked(']', writer->out);
}

static void site_write(struct writer *writer, const struct profile *profile,
		       const struct ranked_site *ranked, size_t rank)
{
	const struct profile_site *site = ranked->site;

	fprintf(writer->out, "{\"rank\":%zu", rank);
	if (site->pids)
		pids_put(writer, site);
	else
		put_count(writer, "pid", profile->processes[site->process].pid);
	put_word(writer, "class", alloc_class_name(site->alloc_class));
	put_word(writer, "verdict", site_verdict_name(ranked->verdict));
	if (profile->diff)
		put_word(writer, "change", site_change_name(site_change(ranked)));
	put_count(writer, "growth_bytes", ranked->growth_bytes);
	put_real(writer, "growth_bytes_per_s", ranked->slope);
	put_count(writer, "growth_blocks", ranked->growth_blocks);
	put_count(writer, "live_bytes", live_bytes(ranked->end));
	put_count(writer, "live_blocks", live_blocks(ranked->end));
	put_count(writer, "alloc_bytes", ranked->end.alloc_bytes);
	put_count(writer, "alloc_blocks", ranked->end.alloc_blocks);
	put_count(writer, "free_bytes", ranked->end.free_bytes);
	put_count(writer, "free_blocks", ranked->end.free_blocks);
	put_real(writer, "survival", ranked->survival);
	put_count(writer, "error_bytes", ranked->error_bytes);
	fprintf(writer->out, ",\"truncated\":%s", site->truncated ? "true" : "false");
	frames_put(writer, profile, site);
}

/* ---- culprits ----------------------------------------------------------------------------------
 */

static json_t *culprit_json(struct writer *writer, const struct culprits *culprits,
			    const struct culprit *culprit)
{
	const struct profile_frame *frames = culprits->profile->frames;
	const struct profile_frame *frame = &frames[culprit_frame(culprit)];
	json_t *object = json_object(), *path = json_array();

	set_text(writer, object, "function", frame->function);
	set_text(writer, object, "file", frame->file);
	set(writer, object, "line", frame->line ? json_integer(frame->line) : json_null());
	set_count(writer, object, "growth_bytes", culprit->growth_bytes);
	set_real(writer, object, "share", culprit->share);
	set_count(writer, object, "site_count", culprit->site_count);
	for (uint32_t i = culprit->frame_count; i-- > 0;)
		if (json_array_append_new(path, frame_json(writer, &frames[culprit->frames[i]])))
			writer->failed = true;
	set(writer, object, "frames", path);
	return object;
}

static void culprits_write(struct writer *writer, const struct culprits *culprits)
{
	json_t *object = json_object(), *array = json_array();

	for (size_t i = 0; i < culprits->count; i++)
		if (json_array_append_new(array,
					  culprit_json(writer, culprits, &culprits->items[i])))
			writer->failed = true;
	set(writer, object, "culprits", array);
	fputs(",\n", writer->out);
	members_write(writer, object);
}

int export_json(FILE *out, const struct export_input *input)
{
	uint32_t frame_count = input->profile->frame_count;
	char **frame_texts = calloc(frame_count + 1UL, sizeof(*frame_texts));
	struct writer writer = {.out = out, .frame_texts = frame_texts};

	if (!frame_texts)
		return -ENOMEM;
	fputs("{", out);
	head_write(&writer, input);
	if (input->culprits)
		culprits_write(&writer, input->culprits);
	fputs(",\n\"sites\":[", out);
	for (size_t i = 0; i < input->ranking->count && i < input->limit && !ferror(out); i++) {
		fputs(i ? ",\n" : "\n", out);
		site_write(&writer, input->profile, &input->ranking->items[i], i + 1);
	}
	fputs("]}\n", out);
	for (uint32_t i = 0; i < frame_count; i++)
		free(frame_texts[i]);
	free(frame_texts);
	return writer.failed && !ferror(out) ? -ENOMEM : 0;
}
