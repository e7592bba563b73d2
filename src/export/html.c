/* SPDX-License-Identifier: GPL-2.0-only */
/* html.c - see html.h */
#include "export/html.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/table.h"
#include "base/units.h"
#include "base/vec.h"
#include "export/utf8.h"
#include "profile/culprit.h"
#include "profile/diff.h"
#include "profile/profile.h"
#include "profile/rank.h"
#include "profile/verdict.h"
#include "profile/view.h"

#define EXACT_MAX 9007199254740991.0 /* 2^53 - 1: what the page's numbers hold exactly */

/* html/ as texts, made by the Makefile. */
static const char page_template[] =
#include "html_report.inc"
    ;
static const char page_style[] =
#include "html_style.inc"
    ;
static const char page_script[] =
#include "html_script.inc"
    ;

struct page {
	FILE *out;
	const struct export_input *input;
	struct verdict verdict; /* of the whole, unfiltered */
	struct profile sites;	/* those of the input's ranking, in its order */
	struct profile view;	/* of these: the rows */
	uint32_t *row_of;	/* by site: index into view.sites */
	uint32_t *rank_of;	/* by site of 'view': index into rows.items */
	struct ranking rows;
	struct culprits culprits; /* of the rows */
	uint32_t *kept;		/* snapshots in the file, ascending */
	uint32_t kept_count;
	struct arena *arena;
	struct table *text_ids; /* of interned pointers */
	struct {
		const char **items;
		size_t count, capacity;
	} texts;
	bool failed; /* memory is out */
};

/* ---- JSON in a script element -------------------------------------------------------------------
 */

/* A string that neither ends its JSON nor the element around it, whatever it holds. */
static void string_write(FILE *out, const char *text)
{
	putc('"', out);
	while (*text) {
		uint32_t character;
		unsigned int length = utf8_take(text, &character);
		bool unsafe = character < 0x20 || character == 0x7f || strchr("\"\\<>&", *text) ||
			      character == 0x2028 || character == 0x2029 || character == 0xFFFD;

		if (unsafe)
			fprintf(out, "\\u%04x", character);
		else
			fwrite(text, 1, length, out);
		text += length;
	}
	putc('"', out);
}

static void text_write(FILE *out, const char *text)
{
	if (text)
		string_write(out, text);
	else
		fputs("null", out);
}

static void real_write(FILE *out, double value)
{
	fprintf(out, "%.9g", isfinite(value) ? value : 0);
}

static long long whole(double value)
{
	if (!isfinite(value))
		return 0;
	return llround(fmax(-EXACT_MAX, fmin(EXACT_MAX, value)));
}

/*
 * A number in base64 digits of 5 bits, least significant first, the sixth bit saying that more
 * follow; the lowest bit of all is the sign. As in source maps: it needs no separators.
 */
static void digits_write(FILE *out, long long value)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	unsigned long long rest = value < 0 ? -(unsigned long long)value << 1 | 1
					    : (unsigned long long)value << 1;

	for (; rest >= 32; rest >>= 5)
		putc_unlocked(digits[(rest & 31) | 32], out);
	putc_unlocked(digits[rest], out);
}

/* The number as its distance from '*before'. */
static void delta_write(FILE *out, double value, long long *before)
{
	long long now = whole(value);

	digits_write(out, now - *before);
	*before = now;
}

/* Index of a text in "texts", which is written last; -1 for NULL. */
static long text_id(struct page *page, const char *text)
{
	const char *interned = arena_intern(page->arena, text), **added_text;
	bool added = false;
	ssize_t id;

	if (!text)
		return -1;
	id = interned ? table_add(page->text_ids, &interned, &added) : -1;
	if (id >= 0 && added) {
		added_text = vec_add(&page->texts);
		if (added_text)
			*added_text = interned;
		else
			id = -1;
	}
	page->failed |= id < 0;
	return id;
}

/* ---- the recording as a whole -------------------------------------------------------------------
 */

static void verdict_write(const struct page *page)
{
	static const char *const tones[] = {
	    [TONE_ANSWER] = "answer",
	    [TONE_NOTE] = "note",
	    [TONE_LOSS] = "loss",
	};

	fputs(",\n\"verdict\":[", page->out);
	for (size_t i = 0; i < page->verdict.count; i++) {
		fprintf(page->out, "%s[\"%s\",", i ? "," : "",
			tones[page->verdict.items[i].tone]);
		string_write(page->out, page->verdict.items[i].text);
		putc(']', page->out);
	}
	putc(']', page->out);
}

static void rest_write(FILE *out, const char *key, const struct view_rest *rest)
{
	if (rest)
		fprintf(out, ",\"%s\":{\"sites\":%zu,\"live\":%lld,\"growth\":%lld}", key,
			rest->sites, whole(rest->live_bytes), whole(rest->growth_bytes));
}

static void moment_write(FILE *out, const struct profile_moment *moment)
{
	fputs("{\"recording\":", out);
	text_write(out, moment->path);
	fputs(",\"moment\":", out);
	text_write(out, moment->name);
	fprintf(out, ",\"time_s\":%.9g,\"live\":%lld,\"rss\":%llu}",
		moment->time_ns / (double)NS_PER_S, whole(moment->live_bytes),
		(unsigned long long)moment->rss_bytes);
}

/* Of the difference of two recordings, which they are. */
static void moments_write(FILE *out, const struct profile_diff *diff)
{
	if (!diff)
		return;
	fputs(",\"moments\":[", out);
	moment_write(out, &diff->a);
	putc(',', out);
	moment_write(out, &diff->b);
	putc(']', out);
}

static void head_write(const struct page *page)
{
	const struct profile *profile = page->input->whole;
	FILE *out = page->out;

	fputs("{\"seep\":", out);
	text_write(out, profile->version);
	fputs(",\"kernel\":", out);
	text_write(out, profile->kernel);
	fputs(",\"host\":", out);
	text_write(out, profile->host);
	fprintf(out, ",\"start_unix_ms\":%llu,\"duration_s\":%.9g,\"interval_s\":%.9g",
		(unsigned long long)profile->start_unix_ns / 1000000,
		profile->duration_ns / (double)NS_PER_S, profile->interval_ns / (double)NS_PER_S);
	fprintf(out, ",\"sample_bytes\":%llu,\"hits\":%llu,\"snapshots_recorded\":%u,\"complete\":%s",
		(unsigned long long)profile->sample_bytes, (unsigned long long)profile->hits,
		profile->snapshot_count, profile->complete ? "true" : "false");
	fputs(",\"cpu_percent\":", out);
	real_write(out, profile->cpu_percent);
	fputs(",\"slowdown_percent\":", out);
	real_write(out, profile->slowdown_percent);
	moments_write(out, profile->diff);
	rest_write(out, "filtered", page->input->rest);
	rest_write(out, "suppressed", page->input->suppressed);
	verdict_write(page);
}

static void names_write(FILE *out, const char *key, const char *const *names, size_t count)
{
	fprintf(out, ",\n\"%s\":[", key);
	for (size_t i = 0; i < count; i++) {
		fputs(i ? "," : "", out);
		string_write(out, names[i]);
	}
	putc(']', out);
}

/* Names of what the sites have numbers for. */
static void words_write(FILE *out, bool differential)
{
	static const char *const ends[WALK_END_COUNT] = {
#define X(name, text) text,
	    WALK_ENDS(X)
#undef X
	};
	const char *classes[CLASS_COUNT], *verdicts[VERDICT_COUNT], *changes[CHANGE_COUNT];

	for (unsigned int i = 0; i < CLASS_COUNT; i++)
		classes[i] = alloc_class_name(i);
	for (unsigned int i = 0; i < VERDICT_COUNT; i++)
		verdicts[i] = site_verdict_name(i);
	names_write(out, "classes", classes, CLASS_COUNT);
	for (unsigned int i = 0; i < CHANGE_COUNT; i++)
		changes[i] = site_change_name(i);
	if (differential)
		names_write(out, "verdicts", changes, CHANGE_COUNT);
	else
		names_write(out, "verdicts", verdicts, VERDICT_COUNT);
	names_write(out, "ends", ends, WALK_END_COUNT);
}

static void rss_write(const struct page *page, const struct profile_process *process)
{
	long long before = 0;

	fputs(",\"rss\":\"", page->out);
	for (uint32_t i = 0; i < page->kept_count; i++)
		delta_write(page->out, process->rss_bytes[page->kept[i]], &before);
	putc('"', page->out);
}

static void processes_write(const struct page *page)
{
	const struct profile *profile = page->input->profile;
	FILE *out = page->out;

	fputs(",\n\"processes\":[", out);
	for (uint32_t i = 0; i < profile->process_count; i++) {
		const struct profile_process *process = &profile->processes[i];

		fprintf(out, "%s{\"pid\":%d,\"comm\":", i ? "," : "", (int)process->pid);
		string_write(out, process->comm);
		fputs(",\"python\":", out);
		text_write(out, process->python);
		fputs(",\"allocator\":", out);
		text_write(out, process->allocator);
		rss_write(page, process);
		putc('}', out);
	}
	putc(']', out);
}

/* Times in ms, probe hits, and 1 for marked, 2 for settling ones, 4 x the number of the mark. */
static void snapshots_write(const struct page *page)
{
	const struct profile *profile = page->input->whole;
	long long time = 0, events = 0;
	FILE *out = page->out;

	fputs(",\n\"snapshots\":\"", out);
	for (uint32_t i = 0; i < page->kept_count; i++) {
		const struct profile_snapshot *snapshot = &profile->snapshots[page->kept[i]];

		delta_write(out, snapshot->time_ns / 1e6, &time);
		delta_write(out, snapshot->events, &events);
		digits_write(out, snapshot->marked | snapshot->settling << 1 |
					  (long long)snapshot->mark << 2);
	}
	putc('"', out);
}

/* Live bytes of a class over the snapshots, of all that was recorded, filtered or not. */
static void class_live_write(const struct page *page, double *live, uint32_t alloc_class)
{
	const struct profile *profile = page->input->whole;
	long long before = 0;
	double sum = 0;
	uint32_t next = 0;

	memset(live, 0, (profile->snapshot_count + 1UL) * sizeof(*live));
	for (uint32_t i = 0; i < profile->site_count; i++) {
		const struct profile_site *site = &profile->sites[i];
		double last = 0;

		for (uint32_t k = 0; k < site->point_count && site->alloc_class == alloc_class;
		     k++) {
			live[site->points[k].snapshot] += live_bytes(site->points[k].totals) - last;
			last = live_bytes(site->points[k].totals);
		}
	}
	putc('"', page->out);
	for (uint32_t i = 0; i < page->kept_count; i++) {
		while (next <= page->kept[i])
			sum += live[next++];
		delta_write(page->out, sum, &before);
	}
	putc('"', page->out);
}

static void live_write(struct page *page)
{
	_cleanup_free_ double *live =
	    calloc(page->input->whole->snapshot_count + 1UL, sizeof(*live));

	page->failed |= !live;
	fputs(",\n\"live\":[", page->out);
	for (uint32_t i = 0; live && i < CLASS_COUNT; i++) {
		fputs(i ? "," : "", page->out);
		class_live_write(page, live, i);
	}
	putc(']', page->out);
}

static void losses_write(const struct page *page)
{
	const struct profile *profile = page->input->whole;
	FILE *out = page->out;

	fputs(",\n\"losses\":[", out);
	for (uint32_t i = 0; i < profile->loss_count; i++) {
		fputs(i ? ",[" : "[", out);
		string_write(out, profile->losses[i].key);
		putc(',', out);
		string_write(out, profile->losses[i].text);
		fprintf(out, ",%lld]", whole(profile->losses[i].count));
	}
	fputs("],\n\"events\":[", out);
	for (uint32_t i = 0; i < profile->event_count; i++) {
		fprintf(out, "%s[%.9g,", i ? "," : "",
			profile->events[i].time_ns / (double)NS_PER_S);
		string_write(out, profile->events[i].kind);
		putc(',', out);
		string_write(out, profile->events[i].text);
		putc(']', out);
	}
	fputs("],\n\"epochs\":[", out);
	for (unsigned int i = 0; i < AGE_CLASSES && profile->epoch_start_ns[i] != UINT64_MAX; i++)
		fprintf(out, "%s%.9g", i ? "," : "",
			profile->epoch_start_ns[i] / (double)NS_PER_S);
	putc(']', out);
}

/* ---- frames and sites ---------------------------------------------------------------------------
 */

/* Six numbers each: function, file, line, module, offset, flags. */
static void frame_write(struct page *page, const struct profile_frame *frame, const char *separator)
{
	long function = text_id(page, frame->function), file = text_id(page, frame->file);
	long module = text_id(page, frame->module);

	fprintf(page->out, "%s%ld,%ld,%u,%ld,%llu,%d", separator, function, file, frame->line,
		module, (unsigned long long)(frame->offset <= EXACT_MAX ? frame->offset : 0),
		frame->python | frame->inlined << 1 | frame->internal << 2);
}

/* Those of the sites, then those of the rows. */
static void frames_write(struct page *page)
{
	const char *separator = "";

	fputs(",\n\"frames\":[", page->out);
	for (uint32_t i = 0; i < page->sites.frame_count; i++, separator = ",")
		frame_write(page, &page->sites.frames[i], separator);
	for (uint32_t i = 0; i < page->view.frame_count; i++, separator = ",")
		frame_write(page, &page->view.frames[i], separator);
	putc(']', page->out);
}

/* The snapshot in the file at which a point is seen; kept_count when a later one replaces it. */
static uint32_t point_place(const struct page *page, const struct profile_site *site,
			    uint32_t index, uint32_t from)
{
	uint32_t snapshot = site->points[index].snapshot;

	while (from < page->kept_count && page->kept[from] < snapshot)
		from++;
	if (from < page->kept_count && index + 1 < site->point_count &&
	    site->points[index + 1].snapshot <= page->kept[from])
		return page->kept_count;
	return from;
}

/* Each point: snapshots since the one before, then what was allocated and what is live, in bytes
 * and blocks, each as the distance from the point before. */
static void points_write(const struct page *page, const struct profile_site *site)
{
	long long alloc = 0, alloc_blocks = 0, live = 0, blocks = 0;
	uint32_t place = 0, before = 0;

	fputs(",\"", page->out);
	for (uint32_t i = 0; i < site->point_count; i++) {
		const struct site_totals *totals = &site->points[i].totals;
		uint32_t at = point_place(page, site, i, place);

		if (at == page->kept_count)
			continue;
		place = at;
		digits_write(page->out, place - before);
		delta_write(page->out, totals->alloc_bytes, &alloc);
		delta_write(page->out, totals->alloc_blocks, &alloc_blocks);
		delta_write(page->out, live_bytes(*totals), &live);
		delta_write(page->out, live_blocks(*totals), &blocks);
		before = place;
	}
	putc('"', page->out);
}

/* Allocated, and freed of it, of each birth epoch. */
static void ages_write(FILE *out, const struct profile_site *site)
{
	unsigned int count = AGE_CLASSES;

	while (count && !site->age[count - 1].alloc_bytes && !site->age[count - 1].free_bytes)
		count--;
	fputs(",\"", out);
	for (unsigned int i = 0; i < count; i++) {
		digits_write(out, whole(site->age[i].alloc_bytes));
		digits_write(out, whole(site->age[i].free_bytes));
	}
	putc('"', out);
}

/* What sites and rows have in common; 'frame_base' is added to their frames. Of a difference the
 * verdict is what changed. */
static void ranked_write(FILE *out, const struct profile *profile, const struct ranked_site *ranked,
			 uint32_t frame_base)
{
	const struct profile_site *site = ranked->site;

	fprintf(out, "[%u,%u,%d,%d,", site->process, site->alloc_class,
		site->truncated ? 1 + site->end_reason : 0,
		profile->diff ? (int)site_change(ranked) : (int)ranked->verdict);
	real_write(out, ranked->slope);
	putc(',', out);
	real_write(out, ranked->survival);
	fprintf(out, ",%lld,%u,%u,\"", whole(ranked->error_bytes),
		site_naming_frame(profile, site), site_called_frame(profile, site));
	for (uint32_t i = 0; i < site->frame_count; i++)
		digits_write(out, site->frames[i] + (long long)frame_base);
	putc('"', out);
	ages_write(out, site);
}

static void pids_write(FILE *out, const struct profile_site *site)
{
	fputs(",[", out);
	for (uint32_t i = 0; i < site->pid_count; i++)
		fprintf(out, "%s%d", i ? "," : "", (int)site->pids[i]);
	putc(']', out);
}

/* "points" is how many there are at most. A site: as a row, then its points and its row. */
static void sites_write(const struct page *page)
{
	FILE *out = page->out;
	uint64_t points = 0;

	for (uint32_t i = 0; i < page->sites.site_count; i++)
		points += page->sites.sites[i].point_count;
	fprintf(out, ",\n\"points\":%llu", (unsigned long long)points);
	fputs(",\n\"sites\":[", out);
	for (uint32_t i = 0; i < page->sites.site_count && !ferror(out); i++) {
		fputs(i ? ",\n" : "\n", out);
		ranked_write(out, &page->sites, &page->input->ranking->items[i], 0);
		points_write(page, &page->sites.sites[i]);
		fprintf(out, ",%u", page->rank_of[page->row_of[i]]);
		if (page->sites.sites[i].pids)
			pids_write(out, &page->sites.sites[i]);
		putc(']', out);
	}
	fputs("],\n\"rows\":[", out);
	for (size_t i = 0; i < page->rows.count && !ferror(out); i++) {
		fputs(i ? ",\n" : "\n", out);
		ranked_write(out, &page->view, &page->rows.items[i], page->sites.frame_count);
		putc(']', out);
	}
	putc(']', out);
}

/* Each: its frame, its share of what goes on growing, sites below, and what they grew by. */
static void culprits_write(const struct page *page)
{
	FILE *out = page->out;

	fputs(",\n\"culprits\":[", out);
	for (size_t i = 0; i < page->culprits.count; i++) {
		const struct culprit *culprit = &page->culprits.items[i];

		fprintf(out, "%s[%u,%.9g,%u,%lld]", i ? "," : "",
			page->sites.frame_count + culprit_frame(culprit), culprit->share,
			culprit->site_count, whole(culprit->growth_bytes));
	}
	putc(']', out);
}

static void data_write(struct page *page)
{
	head_write(page);
	words_write(page->out, page->input->whole->diff);
	processes_write(page);
	snapshots_write(page);
	live_write(page);
	losses_write(page);
	frames_write(page);
	sites_write(page);
	culprits_write(page);
	names_write(page->out, "texts", page->texts.items, page->texts.count);
	fputs("}\n", page->out);
}

/* ---- the page -----------------------------------------------------------------------------------
 */

/* Copy the template; "{{name}}" stands for what is put there. */
static void template_write(struct page *page)
{
	const char *at = page_template, *mark;

	while ((mark = strstr(at, "{{"))) {
		fwrite(at, 1, mark - at, page->out);
		if (!strncmp(mark, "{{style}}", 9))
			fputs(page_style, page->out);
		else if (!strncmp(mark, "{{script}}", 10))
			fputs(page_script, page->out);
		else
			data_write(page);
		at = strstr(mark, "}}") + 2;
	}
	fputs(at, page->out);
}

/* The sites of the ranking, as many as wanted, as a profile of their own. */
static bool sites_take(struct page *page)
{
	const struct ranking *ranking = page->input->ranking;
	size_t limit = page->input->limit;
	size_t count = ranking->count < limit ? ranking->count : limit;

	page->sites = *page->input->profile;
	page->sites.arena = NULL;
	page->sites.site_count = count;
	page->sites.sites = arena_array(page->arena, struct profile_site, count + 1);
	page->row_of = arena_array(page->arena, uint32_t, count + 1);
	if (!page->sites.sites || !page->row_of)
		return false;
	for (size_t i = 0; i < count; i++)
		page->sites.sites[i] = *ranking->items[i].site;
	return true;
}

static bool rows_take(struct page *page)
{
	const struct view_options options = {.frames = VIEW_PLAIN, .site_of = page->row_of};
	const struct rank_options order = {.order = RANK_GROWTH};
	struct view_rest rest;
	struct err err = {0};

	if (profile_view(&page->sites, &options, &page->view, &rest, &err) ||
	    ranking_build(&page->view, &order, &page->rows, &err))
		return false;
	if (!page->input->whole->diff &&
	    culprits_find(&page->view, &page->rows, &page->culprits, &err))
		return false;
	page->rank_of = arena_array(page->arena, uint32_t, page->view.site_count + 1UL);
	for (size_t i = 0; page->rank_of && i < page->rows.count; i++)
		page->rank_of[page->rows.items[i].site - page->view.sites] = i;
	return page->rank_of != NULL;
}

/* The first lines of the text report. The difference of two recordings has none: there is no course
 * of time to judge. */
static bool verdict_take(struct page *page)
{
	const struct view_options options = {.frames = VIEW_PLAIN};
	const struct rank_options order = {.order = RANK_GROWTH};
	_cleanup_(profile_deinit) struct profile stacks = {0};
	_cleanup_(ranking_free) struct ranking ranking = {0};
	struct view_rest rest;
	struct err err = {0};

	if (page->input->whole->diff)
		return true;
	return !profile_view(page->input->whole, &options, &stacks, &rest, &err) &&
	       !ranking_build(&stacks, &order, &ranking, &err) &&
	       !verdict_build(&stacks, &ranking, &page->verdict, &err);
}

static bool snapshots_take(struct page *page)
{
	const struct profile *profile = page->input->whole;
	uint32_t count = profile->snapshot_count;
	uint64_t points = 0, step;

	for (uint32_t i = 0; i < page->sites.site_count; i++)
		points += page->sites.sites[i].point_count;
	step = 1 + points / HTML_POINTS_MAX;
	page->kept = arena_array(page->arena, uint32_t, count + 1UL);
	for (uint32_t i = 0; page->kept && i < count; i++)
		if (i % step == 0 || i == count - 1 || profile->snapshots[i].marked)
			page->kept[page->kept_count++] = i;
	return page->kept != NULL;
}

static bool page_fill(struct page *page)
{
	page->arena = arena_new();
	page->text_ids = table_new(sizeof(const char *));
	return page->arena && page->text_ids && sites_take(page) && rows_take(page) &&
	       snapshots_take(page) && verdict_take(page);
}

int export_html(FILE *out, const struct export_input *input)
{
	struct page page = {.out = out, .input = input};

	if (page_fill(&page))
		template_write(&page);
	else
		page.failed = true;
	verdict_free(&page.verdict);
	culprits_free(&page.culprits);
	ranking_free(&page.rows);
	profile_deinit(&page.view);
	table_free(page.text_ids);
	free(page.texts.items);
	arena_free(page.arena);
	return page.failed && !ferror(out) ? -ENOMEM : 0;
}
