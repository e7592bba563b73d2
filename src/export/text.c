/* SPDX-License-Identifier: GPL-2.0-only */
/* text.c - see text.h */
#include "export/text.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/units.h"
#include "export/columns.h"
#include "export/source.h"
#include "export/tracemalloc.h"
#include "export/utf8.h"
#include "profile/culprit.h"
#include "profile/diff.h"
#include "profile/profile.h"
#include "profile/rank.h"
#include "profile/verdict.h"
#include "profile/view.h"

#define CELL_MAX	   48
#define CELLS_MAX	   14 /* of a row */
#define SLOWDOWN_MOST	   1000 /* percent; profile.h: that or more */
#define NAME_COLUMNS_LEAST 14
#define PLACE_COLUMNS	   24 /* of a place without folders in the ranking, at most */
#define PAIR_COLUMNS	   3  /* of the " < " between them */
#define PAIR_NAME_COLUMNS  6  /* of each of the two names, so that a person knows it again */
#define PAIR_NAME_LEAST	   4
#define STACK_NAME_COLUMNS 60
#define STACK_INDENT	   6
#define TREND_COLUMNS	   6
#define TREND_NAME_COLUMNS 25 /* names are worth more than a trend */
#define TREND_LEVELS	   8
#define TREND_SNAPSHOTS	   3 /* fewer are no curve */

#define COLOR_RED    "\033[1;31m"
#define COLOR_YELLOW "\033[33m"
#define COLOR_DIM    "\033[2m"
#define COLOR_BOLD   "\033[1m"
#define COLOR_END    "\033[0m"

/* ---- lines --------------------------------------------------------------------------------------
 */

/* Print words, broken at spaces so that no line passes TEXT_COLUMNS; later lines are indented. */
static void wrapped_print(FILE *out, const char *text, size_t indent)
{
	size_t used = 0;

	while (*text) {
		size_t bytes = strcspn(text, " "), columns;
		_cleanup_free_ char *raw = strndup(text, bytes);
		_cleanup_free_ char *word = raw ? elide_middle(raw, TEXT_COLUMNS - indent) : NULL;

		columns = word ? utf8_columns(word) : 0;
		if (used && used + 1 + columns > TEXT_COLUMNS) {
			fprintf(out, "\n%*s", (int)indent, "");
			used = indent;
		} else if (used) {
			fputc(' ', out);
			used++;
		}
		fputs(word ? word : "", out);
		used += columns;
		text += bytes;
		text += strspn(text, " ");
	}
	fputc('\n', out);
}

static const char *tone_color(enum verdict_tone tone)
{
	static const char *const colors[] = {
	    [TONE_ANSWER] = COLOR_BOLD,
	    [TONE_NOTE] = COLOR_DIM,
	    [TONE_LOSS] = COLOR_YELLOW,
	};

	return colors[tone];
}

static void verdict_print(FILE *out, const struct verdict *verdict, bool color)
{
	for (size_t i = 0; i < verdict->count; i++) {
		const struct verdict_line *line = &verdict->items[i];

		if (color)
			fputs(tone_color(line->tone), out);
		wrapped_print(out, line->text, 2);
		if (color)
			fputs(COLOR_END, out);
	}
}

static const char *plural(size_t count)
{
	return count == 1 ? "" : "s";
}

/* "leaky (pid 811), glibc 2.36" or "3 processes"; the caller frees it. NULL when memory is out. */
static char *who_of(const struct profile *profile)
{
	_cleanup_free_ struct memory_growth *growth = memory_growth_read(profile);
	const struct profile_process *process = NULL;
	uint32_t count = 0;
	char *who = NULL;
	int length;

	for (uint32_t i = 0; growth && i < profile->process_count; i++) {
		if (!process_counts(&profile->processes[i], &growth[i]))
			continue;
		process = &profile->processes[i];
		count++;
	}
	if (count == 1)
		length = asprintf(&who, "%s (pid %d)%s%s", process->comm, (int)process->pid,
				  process->allocator ? ", " : "",
				  process->allocator ? process->allocator : "");
	else
		length = asprintf(&who, "%u processes", count);
	return length < 0 ? NULL : who;
}

/* ", slowed the target by about 12 %", or nothing when it was not measured. */
static const char *slowdown_text(const struct profile *profile, char *text, size_t size)
{
	char percent[UNITS_TEXT_MAX];

	text[0] = '\0';
	if (profile->slowdown_percent >= SLOWDOWN_MOST)
		snprintf(text, size, ", slowed the target by over %d %%", SLOWDOWN_MOST);
	else if (profile->slowdown_percent > 0)
		snprintf(text, size, ", slowed the target by about %s %%",
			 percent_format(profile->slowdown_percent, percent));
	return text;
}

/* What was recorded, how, and what it cost. */
static void context_print(FILE *out, const struct profile *profile)
{
	char duration[UNITS_TEXT_MAX], interval[UNITS_TEXT_MAX], hits[UNITS_TEXT_MAX],
	    percent[UNITS_TEXT_MAX], slowdown[2 * CELL_MAX];
	double seconds = profile->duration_ns / (double)NS_PER_S;
	_cleanup_free_ char *line = NULL, *who = who_of(profile);

	if (who &&
	    asprintf(&line, "%s; %s, %u snapshot%s every %s, %s; %s probe hit%s, %s %% of a core%s",
		     who, units_format_duration(seconds, duration), profile->snapshot_count,
		     plural(profile->snapshot_count),
		     units_format_duration(profile->interval_ns / (double)NS_PER_S, interval),
		     profile->sample_bytes > 1 ? "sampled" : "exact",
		     units_format_count(profile->hits, hits), plural(profile->hits),
		     percent_format(profile->cpu_percent, percent),
		     slowdown_text(profile, slowdown, sizeof(slowdown))) >= 0)
		wrapped_print(out, line, 2);
}

static void rest_of_filter_print(FILE *out, const struct view_rest *rest)
{
	char live[UNITS_TEXT_MAX], growth[UNITS_TEXT_MAX], count[UNITS_TEXT_MAX];

	fprintf(out, "filtered out: %s site%s of %s live, %s\n",
		units_format_count(rest->sites, count), plural(rest->sites),
		units_format_bytes(rest->live_bytes, live),
		units_format_growth(rest->growth_bytes, growth));
}

static void suppressed_print(FILE *out, const struct view_rest *rest)
{
	char live[UNITS_TEXT_MAX], count[UNITS_TEXT_MAX];

	fprintf(out, "suppressed %s site%s, %s (--no-suppressions shows them)\n",
		units_format_count(rest->sites, count), plural(rest->sites),
		units_format_bytes(rest->live_bytes, live));
}

/* ---- cells --------------------------------------------------------------------------------------
 */

/* "+6.2 MiB" -> "+6.2M", "381 B" -> "381": the same digits as in prose. */
static const char *cell_shorten(const char *text, char cell[CELL_MAX])
{
	size_t digits = strcspn(text, " ");
	char unit = text[digits] ? text[digits + 1] : '\0';

	snprintf(cell, CELL_MAX, "%.*s%.*s", (int)digits, text, unit && unit != 'B', &unit);
	return cell;
}

static const char *short_growth(double bytes, char cell[CELL_MAX])
{
	char text[UNITS_TEXT_MAX];

	return cell_shorten(units_format_growth(bytes, text), cell);
}

static const char *short_bytes(double bytes, char cell[CELL_MAX])
{
	char text[UNITS_TEXT_MAX];

	return cell_shorten(units_format_bytes(bytes, text), cell);
}

static const char *count_format(double count, char cell[CELL_MAX])
{
	char text[UNITS_TEXT_MAX];
	double size = fmin(round(fabs(count)), 1e18);

	snprintf(cell, CELL_MAX, "%s%s", count <= -0.5 ? "-" : "", units_format_count(size, text));
	return cell;
}

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text), tail = strlen(end);

	return tail <= length && !strcmp(text + length - tail, end);
}

/* "src/cache.c:42", "libx.so+0x1234", or "" when the name itself says it. The caller frees it. */
static char *place_of(const struct profile_frame *frame)
{
	char *place = NULL;
	int length;

	if (frame->file && frame->line)
		length = asprintf(&place, "%s:%u", frame->file, frame->line);
	else if (frame->file)
		length = asprintf(&place, "%s", frame->file);
	else if (frame->module && frame->offset && !strchr(frame->function, '+'))
		length = asprintf(&place, "%s+0x%llx", path_base(frame->module),
				  (unsigned long long)frame->offset);
	else if (frame->module && !frame->offset &&
		 !ends_with(frame->function, path_base(frame->module)))
		length = asprintf(&place, "%s", path_base(frame->module));
	else
		length = asprintf(&place, "%s", "");
	return length < 0 ? NULL : place;
}

/* Bytes of a C++ or Rust signature without its argument list: "a::b(int) const" -> "a::b". */
static size_t name_bytes(const char *function)
{
	const char *end = strrchr(function, ')'), *at = end;
	int depth = 0;

	for (; at && at > function; at--) {
		depth += (*at == ')') - (*at == '(');
		if (!depth)
			break;
	}
	if (!at || at == function || !strncmp(function, "operator", 8))
		return strlen(function);
	return at - function;
}

/* A function in 'width' columns: first its arguments go, then its middle. */
static char *name_fit(const char *function, size_t width)
{
	_cleanup_free_ char *bare = strndup(function, name_bytes(function));

	if (!bare || utf8_columns(function) <= width)
		return elide_middle(function, width);
	return elide_middle(bare, width);
}

/* How much of a place to show: all, or less so that the name stays whole, but of a path at least
 * the last folder and name unless that leaves no room for the function's name. */
static char *place_fit(const char *place, size_t name_columns, size_t width)
{
	size_t room = width > name_columns + 2 ? width - name_columns - 2 : 0, least = 0;
	const char *base = path_base(place);
	size_t base_columns = utf8_columns(base) + (base > place ? 2 : 0);

	for (const char *at = base > place + 1 ? base - 2 : place; at > place; at--)
		if (*at == '/') {
			least = utf8_columns(at) + 1;
			break;
		}
	if (!least)
		least = utf8_columns(place);
	if (least + 2 + NAME_COLUMNS_LEAST > width)
		least = base_columns;
	if (least + 2 + NAME_COLUMNS_LEAST / 2 > width)
		least = width / 2 < PLACE_COLUMNS ? width / 2 : PLACE_COLUMNS;
	return elide_path(place, room > least ? room : least);
}

/* "Table.append" -> "append" */
static const char *name_short(const char *function)
{
	const char *dot = strrchr(function, '.');

	return dot && dot[1] ? dot + 1 : function;
}

/* The name to show beside a place: of Python without its class when only so both stay whole. */
static const char *name_beside(const struct profile_frame *frame, const char *place, size_t width)
{
	size_t least = utf8_columns(path_base(place)) + (strchr(place, '/') ? 2 : 0);

	if (frame->python && utf8_columns(frame->function) + 2 + least > width)
		return name_short(frame->function);
	return frame->function;
}

/* Function and place in 'width' columns. */
static char *name_cell(const struct profile_frame *frame, size_t width)
{
	_cleanup_free_ char *place = place_of(frame), *short_place = NULL, *name = NULL;
	const char *function;
	char *cell = NULL;

	if (!place)
		return NULL;
	if (!place[0] || !strcmp(place, frame->function))
		return name_fit(frame->function, width);
	function = name_beside(frame, place, width);
	/* an offset says less than the name: all of it or nothing */
	if (!frame->file && utf8_columns(frame->function) + 2 + utf8_columns(place) > width)
		return name_fit(frame->function, width);
	short_place = place_fit(place, utf8_columns(function), width);
	if (!short_place)
		return NULL;
	name = name_fit(function, width - utf8_columns(short_place) - 2);
	if (!name || asprintf(&cell, "%s  %s", name, short_place) < 0)
		return NULL;
	return cell;
}

/* ---- ranking ------------------------------------------------------------------------------------
 */

struct table_shape {
	bool sampled, classes, allocated;
	bool pids; /* in the place of the average: both do not fit */
	bool trend;
	bool before; /* of a difference: what was live before and after, and what became of it */
	bool rates;  /* of different lengths: live per second of each, in the place of the average */
	size_t rows;
};

/* Sites that hold nothing are last: they are only counted. */
static struct table_shape shape_find(const struct export_input *input,
				     const struct text_options *options)
{
	struct table_shape shape = {.sampled = input->profile->sample_bytes > 1,
				    .allocated = options->allocated};
	bool curves = input->profile->snapshot_count >= TREND_SNAPSHOTS;
	const struct ranked_site *items = input->ranking->items;

	while (shape.rows < input->ranking->count && shape.rows < input->limit &&
	       (options->allocated || !ranked_site_empty(&items[shape.rows])))
		shape.rows++;
	for (size_t i = 1; i < shape.rows; i++) {
		shape.classes |= items[i].site->alloc_class != items[0].site->alloc_class;
		shape.pids |= items[i].site->process != items[0].site->process;
	}
	shape.trend = options->trends && curves;
	shape.before = input->profile->diff != NULL;
	shape.rates = shape.before && diff_lengths_differ(input->profile->diff);
	return shape;
}

static void error_cell(const struct ranked_site *ranked, char cell[CELL_MAX])
{
	double growth = fabs(ranked->growth_bytes);
	double percent = growth > 0 ? 100 * ranked->error_bytes / growth : 0;

	if (percent > 999)
		snprintf(cell, CELL_MAX, ">999%%");
	else
		snprintf(cell, CELL_MAX, "%.0f%%", percent);
}

/* The live bytes at even moments of the recording, as blocks between 0 and their peak. */
static void trend_cell(const struct profile *profile, const struct profile_site *site,
		       char cell[CELL_MAX])
{
	double live[TREND_COLUMNS], peak = 0;
	uint32_t last = profile->snapshot_count - 1, at = 0;
	uint64_t begin = profile->snapshots[0].time_ns, span = profile->snapshots[last].time_ns;

	span -= begin;
	for (unsigned int i = 0; i < TREND_COLUMNS; i++) {
		uint64_t moment = begin + span / (TREND_COLUMNS - 1) * i;

		while (at < last && profile->snapshots[at + 1].time_ns <= moment)
			at++;
		if (i == TREND_COLUMNS - 1)
			at = last;
		live[i] = fmax(live_bytes(profile_site_at(site, at)), 0);
		peak = fmax(peak, live[i]);
	}
	for (unsigned int i = 0; i < TREND_COLUMNS; i++) {
		double share = peak > 0 ? live[i] / peak : 0;

		/* U+2581 .. U+2588: lower one eighth block .. full block */
		snprintf(cell + 3 * i, CELL_MAX - 3 * i, "\342\226%c",
			 '\201' + (int)lround(share * (TREND_LEVELS - 1)));
	}
}

static void rate_cell(double bytes, double seconds, char cell[CELL_MAX])
{
	short_bytes(seconds > 0 ? bytes / seconds : 0, cell);
	strncat(cell, "/s", CELL_MAX - 24);
}

/* In the place of rate, live and kept: "before", "after", their rates. Returns the new count. */
static size_t before_cells(const struct profile_diff *diff, const struct ranked_site *ranked,
			   struct table_shape shape, char cells[CELLS_MAX][CELL_MAX],
			   size_t count)
{
	double after = live_bytes(ranked->end), before = after - ranked->growth_bytes;

	short_bytes(before, cells[count++]);
	short_bytes(after, cells[count++]);
	if (shape.rates) {
		rate_cell(before, diff_seconds(diff, &diff->a), cells[count++]);
		rate_cell(after, diff_seconds(diff, &diff->b), cells[count++]);
	}
	return count;
}

static size_t before_heads(struct column *heads, struct table_shape shape)
{
	size_t count = 0;

	heads[count++] = (struct column){"before", true};
	heads[count++] = (struct column){"after", true};
	if (shape.rates) {
		heads[count++] = (struct column){"before/s", true};
		heads[count++] = (struct column){"after/s", true};
	}
	return count;
}

/* Everything but the name. Returns 0 or -ENOMEM. */
static int figures_add(struct columns *table, const struct export_input *input, size_t index,
		       struct table_shape shape)
{
	const struct ranked_site *ranked = &input->ranking->items[index];
	double blocks = live_blocks(ranked->end), live = live_bytes(ranked->end);
	char cells[CELLS_MAX][CELL_MAX];
	size_t count = 0;

	snprintf(cells[count++], CELL_MAX, "%zu", index + 1);
	short_growth(ranked->growth_bytes, cells[count++]);
	if (shape.sampled)
		error_cell(ranked, cells[count++]);
	if (shape.trend)
		trend_cell(input->profile, ranked->site, cells[count++]);
	if (shape.before) {
		count = before_cells(input->profile->diff, ranked, shape, cells, count);
	} else {
		short_growth(ranked->slope, cells[count]);
		strncat(cells[count++], "/s", CELL_MAX - 24);
		short_bytes(live, cells[count++]);
	}
	if (shape.allocated)
		short_bytes(ranked->end.alloc_bytes, cells[count++]);
	count_format(blocks, cells[count++]);
	if (!shape.pids && !shape.rates)
		short_bytes(blocks > 0.5 ? live / blocks : 0, cells[count++]);
	if (!shape.before)
		snprintf(cells[count++], CELL_MAX, "%.0f%%", 100 * ranked->survival);
	snprintf(cells[count++], CELL_MAX, "%s",
		 shape.before ? site_change_name(site_change(ranked))
			      : site_verdict_name(ranked->verdict));
	if (shape.classes)
		snprintf(cells[count++], CELL_MAX, "%s",
			 alloc_class_name(ranked->site->alloc_class));
	if (shape.pids)
		snprintf(cells[count++], CELL_MAX, "%d",
			 (int)input->profile->processes[ranked->site->process].pid);
	for (size_t i = 0; i < count; i++)
		if (columns_add(table, cells[i]))
			return -ENOMEM;
	return 0;
}

static size_t heads_fill(struct column *heads, struct table_shape shape)
{
	size_t count = 0;

	heads[count++] = (struct column){"#", true};
	heads[count++] = (struct column){"growth", true};
	if (shape.sampled)
		heads[count++] = (struct column){"\302\261", true};
	if (shape.trend)
		heads[count++] = (struct column){"trend", false};
	if (shape.before) {
		count += before_heads(&heads[count], shape);
	} else {
		heads[count++] = (struct column){"rate", true};
		heads[count++] = (struct column){"live", true};
	}
	if (shape.allocated)
		heads[count++] = (struct column){"allocated", true};
	heads[count++] = (struct column){"blocks", true};
	if (!shape.pids && !shape.rates)
		heads[count++] = (struct column){"avg", true};
	if (!shape.before)
		heads[count++] = (struct column){"kept", true};
	heads[count++] = (struct column){shape.before ? "change" : "verdict", false};
	if (shape.classes)
		heads[count++] = (struct column){"class", false};
	if (shape.pids)
		heads[count++] = (struct column){"pid", true};
	return count;
}

/*
 * The place of a row in its stack. It is named by frame 'at': "xmalloc  src/x.c:7", or where others
 * have the same name with the caller that tells them apart: "xmalloc < parse_line  src/y.c:9". A
 * native call that Python made is named with the line that made it:
 * "SSL_new < connect  client.py:42"; a line of Python keeps its own place where the caller is in
 * another file: "leak  app.py:12 < run:975".
 */
struct row {
	const struct profile *profile;
	const struct profile_site *site;
	uint32_t at;	 /* the first frame that names it */
	uint32_t line;	 /* the naming frame, whose line people can change; beyond 'at' in calls */
	uint32_t caller; /* the frame that tells it from rows of the same name; 0: none needed */
};

static const struct profile_frame *row_frame(const struct row *row, uint32_t index)
{
	if (index >= row->site->frame_count)
		return NULL;
	return &row->profile->frames[row->site->frames[index]];
}

/* The frame of which the next one compared is: calls of C are named by two that need not touch. */
static uint32_t frame_above(const struct row *row, uint32_t index)
{
	return index < row->line ? row->line : index + 1;
}

static int places_compare(const struct profile_frame *a, const struct profile_frame *b)
{
	int order = strcmp(a->file ? a->file : "", b->file ? b->file : "");

	return order ? order : (a->line > b->line) - (a->line < b->line);
}

/*
 * How two rows compare, from the frames that name them on: by functions, or by the lines in them.
 * '*differ' is the index in 'a' of the first frame that is not the same.
 */
static int frames_compare(const struct row *a, const struct row *b, bool places, uint32_t *differ)
{
	uint32_t i = a->at, k = b->at;
	int order = 0;

	for (;; i = frame_above(a, i), k = frame_above(b, k)) {
		const struct profile_frame *left = row_frame(a, i), *right = row_frame(b, k);

		*differ = i;
		if (!left || !right)
			return (left != NULL) - (right != NULL);
		order = strcmp(left->function, right->function);
		/* what a person reads of a Python row is its line */
		if (!order && (places || (left->python && i == a->line && k == b->line)))
			order = places_compare(left, right);
		if (order)
			return order;
	}
}

static int rows_compare(const struct row *a, const struct row *b, uint32_t *differ)
{
	int order = frames_compare(a, b, false, differ);

	return order ? order : frames_compare(a, b, true, differ);
}

static int by_stack(const void *left, const void *right)
{
	struct row *const *a = left, *const *b = right;
	uint32_t differ;

	return rows_compare(*a, *b, &differ);
}

/* The frame of 'row' at which it parts from 'other', if that has the same name. */
static void row_part(struct row *row, const struct row *other)
{
	uint32_t differ;

	if (!rows_compare(row, other, &differ) || differ <= row->line)
		return;
	if (differ >= row->site->frame_count)
		differ = frame_above(row, row->line); /* one is all of the other: its caller then */
	while (differ < row->site->frame_count &&
	       !strcmp(row_frame(row, differ)->function, row_frame(row, row->line)->function))
		differ = frame_above(row, differ); /* recursion tells nothing */
	if (differ < row->site->frame_count && differ > row->caller)
		row->caller = differ;
}

/* Rows of one stack, of several processes or classes, are named alike. */
static void rows_agree(struct row *row, const struct row *other)
{
	uint32_t differ;

	if (other->caller > row->caller && !rows_compare(row, other, &differ))
		row->caller = other->caller;
}

/* Find what tells rows of one name apart: sorted by stack, a row is most like its neighbours. */
static int callers_find(struct row *rows, size_t count)
{
	_cleanup_free_ struct row **order = calloc(count + 1, sizeof(*order));

	if (!order)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		order[i] = &rows[i];
	qsort(order, count, sizeof(*order), by_stack);
	for (size_t i = 1; i < count; i++) {
		row_part(order[i], order[i - 1]);
		row_part(order[i - 1], order[i]);
	}
	for (size_t i = 1; i < count; i++)
		rows_agree(order[i], order[i - 1]);
	for (size_t i = count; i-- > 1;)
		rows_agree(order[i - 1], order[i]);
	return 0;
}

/* Columns of the left of two names that have 'room' together. */
static size_t pair_split(size_t left, size_t right, size_t room)
{
	if (left + right <= room || left <= room / 2)
		return left;
	return right < room / 2 ? room - right : room / 2;
}

/* "xmalloc < parse_line" in 'width' columns: both are cut when they must be. NULL when memory is
 * out. */
static char *pair_fit(const char *wrapper, const char *caller, size_t width)
{
	_cleanup_free_ char *left = strndup(wrapper, name_bytes(wrapper)), *right = NULL;
	size_t room = width - PAIR_COLUMNS, left_columns;
	_cleanup_free_ char *bare = strndup(caller, name_bytes(caller)), *short_left = NULL;
	char *pair = NULL;

	if (!left || !bare)
		return NULL;
	left_columns = pair_split(utf8_columns(left), utf8_columns(bare), room);
	short_left = elide_middle(left, left_columns);
	right = elide_middle(bare, room - left_columns);
	if (!short_left || !right || asprintf(&pair, "%s < %s", short_left, right) < 0)
		return NULL;
	return pair;
}

/* The pair and the caller's place, if at least the name of its file has room behind. */
static char *pair_cell(const char *wrapper, const struct profile_frame *caller, size_t width)
{
	_cleanup_free_ char *pair = pair_fit(wrapper, caller->function, width), *end = NULL;
	_cleanup_free_ char *place = place_of(caller);
	size_t room, least;
	char *cell = NULL;

	if (!pair || !place)
		return NULL;
	room = width - utf8_columns(pair);
	least = utf8_columns(path_base(place)) + (strchr(place, '/') ? 2 : 0);
	if (!place[0] || !strcmp(place, caller->function) || least + 2 > room)
		return TAKE_PTR(pair);
	end = elide_path(place, room - 2);
	return end && asprintf(&cell, "%s  %s", pair, end) >= 0 ? cell : NULL;
}

/* As much of a place as fits, at least its last name. */
static char *place_end(const char *place, size_t room)
{
	const char *base = path_base(place);

	return utf8_columns(place) > room && utf8_columns(base) + 2 > room
		   ? elide_middle(base, room)
		   : elide_path(place, room);
}

/* What stands left of '<': of a C function without a name its library, "_json" for
 * "_json.cpython-311-x86_64-linux-gnu.so+0x4df2". NULL when memory is out. */
static char *left_name(const struct profile_frame *left, unsigned int drop)
{
	const char *name = drop < 2 || !left->python ? left->function : name_short(left->function);
	char *text;

	if (left->module && strstr(name, "+0x"))
		return strndup(path_base(left->module), strcspn(path_base(left->module), "."));
	if (drop || !left->python || !left->line)
		return strdup(name);
	return asprintf(&text, "%s:%u", name, left->line) < 0 ? NULL : text;
}

/*
 * "SSL_new < connect  client.py:42": of a line of Python, file and line are what a person needs
 * most. What does not fit goes in this order: the line of the left name, classes, middles.
 */
static char *line_cell(const struct profile_frame *left, const struct profile_frame *right,
		       size_t width)
{
	_cleanup_free_ char *place = place_of(right);
	size_t base = place ? utf8_columns(path_base(place)) + 2 : 0;
	char *cell = NULL;

	if (!place)
		return NULL;
	if (!place[0])
		return pair_cell(left->function, right, width);
	if (base + NAME_COLUMNS_LEAST > width)
		return name_cell(right, width);
	for (unsigned int drop = 0; drop < 4; drop++) {
		_cleanup_free_ char *name = left_name(left, drop), *pair = NULL, *end = NULL;
		const char *to = drop < 2 ? right->function : name_short(right->function);
		size_t room = drop < 3 ? SIZE_MAX / 2 : width - base;

		pair = name ? pair_fit(name, to, room) : NULL;
		if (!pair)
			return NULL;
		if (utf8_columns(pair) + base > width)
			continue;
		end = place_end(place, width - utf8_columns(pair) - 2);
		return end && asprintf(&cell, "%s  %s", pair, end) >= 0 ? cell : NULL;
	}
	return pair_cell(left->function, right, width);
}

/* "leak", "app.py:12", "run", ":975" as one cell: the names share what is left of 'width'. */
static char *own_join(const char *name, const char *place, const char *caller, const char *line,
		      size_t width)
{
	size_t rest = 2 + PAIR_COLUMNS + strlen(line);
	size_t room = width - rest - utf8_columns(path_base(place));
	size_t columns = pair_split(utf8_columns(name), utf8_columns(caller), room);
	_cleanup_free_ char *left = elide_middle(name, columns), *end = NULL;
	_cleanup_free_ char *right = elide_middle(caller, room - columns);
	char *cell = NULL;

	if (!left || !right)
		return NULL;
	end = place_end(place, width - rest - utf8_columns(left) - utf8_columns(right));
	return end && asprintf(&cell, "%s  %s < %s%s", left, end, right, line) >= 0 ? cell : NULL;
}

/*
 * "leak  app.py:12 < run:975": a line of Python that has its caller in another file is named with
 * its own place. What does not fit goes in this order: classes, some of the middles, the line of
 * the caller, more of the middles, the caller.
 */
static char *own_cell(const struct profile_frame *left, const struct profile_frame *right,
		      size_t width)
{
	_cleanup_free_ char *place = place_of(left);

	if (!place)
		return NULL;
	for (unsigned int drop = 0; drop < 5; drop++) {
		const char *name = drop ? name_short(left->function) : left->function;
		const char *caller = drop ? name_short(right->function) : right->function;
		size_t names = 2 * (drop < 4 ? PAIR_NAME_COLUMNS : PAIR_NAME_LEAST);
		size_t whole = utf8_columns(name) + utf8_columns(caller);
		char line[16] = "";

		if (drop < 2 || whole < names)
			names = whole;
		if (drop < 3 && right->line)
			snprintf(line, sizeof(line), ":%u", right->line);
		if (names + strlen(line) + utf8_columns(path_base(place)) + 2 + PAIR_COLUMNS <=
		    width)
			return own_join(name, place, caller, line, width);
	}
	return name_cell(left, width);
}

static char *called_cell(const struct profile_frame *left, const struct profile_frame *right,
			 size_t width)
{
	if (!right->python)
		return pair_cell(left->function, right, width);
	if (left->python && left->file && right->file && strcmp(left->file, right->file) != 0)
		return own_cell(left, right, width);
	return line_cell(left, right, width);
}

/* Name and place of a row; NULL when memory is out. */
static char *row_cell(const struct row *row, size_t width)
{
	static const struct profile_frame nothing = {.function = "[no frames]"};
	const struct profile_frame *naming = row_frame(row, row->at);

	if (row->caller)
		return called_cell(row_frame(row, row->line), row_frame(row, row->caller), width);
	if (row->line != row->at)
		return called_cell(naming, row_frame(row, row->line), width);
	return name_cell(naming ? naming : &nothing, width);
}

/* The widths of the figures are known only when all are there: then what is left is the name's. */
static size_t name_width(const struct columns *figures)
{
	size_t used = 0;

	for (size_t i = 0; i < figures->column_count; i++)
		used += columns_width(figures, i) + 2;
	return used + NAME_COLUMNS_LEAST > TEXT_COLUMNS ? NAME_COLUMNS_LEAST : TEXT_COLUMNS - used;
}

static int rows_join(const struct row *rows, const struct columns *figures, struct columns *table)
{
	size_t width = name_width(figures);

	for (size_t i = 0; i < figures->count; i++) {
		_cleanup_free_ char *cell = NULL;

		if (columns_add(table, figures->items[i]))
			return -ENOMEM;
		if (i % figures->column_count != figures->column_count - 1)
			continue;
		cell = row_cell(&rows[i / figures->column_count], width);
		if (!cell || columns_add(table, cell))
			return -ENOMEM;
	}
	return 0;
}

/* Fill rows and their figures. Returns 0 or -ENOMEM. */
static int rows_fill(const struct export_input *input, struct table_shape shape, struct row *rows,
		     struct columns *figures)
{
	for (size_t i = 0; i < shape.rows; i++) {
		const struct profile_site *site = input->ranking->items[i].site;

		rows[i] = (struct row){.profile = input->profile, .site = site};
		rows[i].at = rows[i].line = site_naming_frame(input->profile, site);
		if (site_called_frame(input->profile, site) < rows[i].line)
			rows[i].at = site_called_frame(input->profile, site);
		if (figures_add(figures, input, i, shape))
			return -ENOMEM;
	}
	return callers_find(rows, shape.rows);
}

/* The table in one shape. Returns 0, -ENOMEM, or 1 when names have too little room for it. */
static int shape_print(FILE *out, const struct export_input *input, struct table_shape shape)
{
	_cleanup_free_ struct row *rows = calloc(shape.rows + 1, sizeof(*rows));
	struct column heads[CELLS_MAX];
	struct columns figures = {.columns = heads}, table = {.columns = heads};
	int status = rows ? 0 : -ENOMEM;

	figures.column_count = heads_fill(heads, shape);
	heads[figures.column_count] = (struct column){"function", false};
	table.column_count = figures.column_count + 1;
	if (!status)
		status = rows_fill(input, shape, rows, &figures);
	if (!status && shape.trend && name_width(&figures) < TREND_NAME_COLUMNS)
		status = 1;
	if (!status)
		status = rows_join(rows, &figures, &table);
	if (!status && shape.rows)
		columns_print(out, &table, "");
	columns_free(&figures);
	columns_free(&table);
	return status;
}

static int ranking_print(FILE *out, const struct export_input *input, struct table_shape shape)
{
	int status = shape_print(out, input, shape);

	if (status != 1)
		return status;
	shape.trend = false;
	return shape_print(out, input, shape);
}

static void rest_print(FILE *out, const struct export_input *input, struct table_shape shape)
{
	const struct ranking *ranking = input->ranking;
	size_t holding = 0, rest = ranking->count - shape.rows;
	char buffer[UNITS_TEXT_MAX], count[CELL_MAX];
	double growth = 0;

	for (size_t i = shape.rows; i < ranking->count; i++) {
		growth += ranking->items[i].growth_bytes;
		holding += !ranked_site_empty(&ranking->items[i]);
	}
	if (holding)
		fprintf(out, "and %s more, %s in all (-n shows more)\n",
			count_format(holding, count), units_format_growth(growth, buffer));
	if (rest > holding)
		fprintf(out, "and %s more that hold%s nothing\n",
			count_format(rest - holding, count), rest - holding == 1 ? "s" : "");
}

/* ---- culprits -----------------------------------------------------------------------------------
 */

/* "84 % of the growth passes through process_request  socketserver.py:658, 12 sites below" */
static int culprit_print(FILE *out, const struct culprits *culprits, size_t index)
{
	const struct culprit *culprit = &culprits->items[index];
	const struct profile_frame *frame = &culprits->profile->frames[culprit_frame(culprit)];
	_cleanup_free_ char *head = NULL, *tail = NULL, *name = NULL;
	char percent[UNITS_TEXT_MAX], count[UNITS_TEXT_MAX];

	if (asprintf(&head, "%s %%%s through ", percent_format(100 * culprit->share, percent),
		     index ? "" : " of the growth passes") < 0)
		return -ENOMEM;
	if (asprintf(&tail, ", %s sites below", units_format_count(culprit->site_count, count)) < 0)
		return -ENOMEM;
	if (culprit->site_count == 1)
		tail[0] = '\0';
	name = name_cell(frame, TEXT_COLUMNS - strlen(head) - strlen(tail));
	if (!name)
		return -ENOMEM;
	fprintf(out, "%s%s%s\n", head, name, tail);
	return 0;
}

/* What the ranking does not say: nothing where each culprit is a row of it. */
static int culprits_print(FILE *out, const struct culprits *culprits)
{
	bool told = true;

	for (size_t i = 0; i < culprits->count; i++)
		told &= culprits->items[i].site_count == 1;
	if (told)
		return 0;
	fputc('\n', out);
	for (size_t i = 0; i < culprits->count; i++)
		if (culprit_print(out, culprits, i))
			return -ENOMEM;
	return 0;
}

/* ---- stacks -------------------------------------------------------------------------------------
 */

static const char *walk_end_text(uint8_t reason)
{
	static const char *const texts[WALK_END_COUNT] = {
#define X(name, text) text,
	    WALK_ENDS(X)
#undef X
	};

	return reason < WALK_END_COUNT ? texts[reason] : "unknown";
}

static const char *verdict_color(enum site_verdict verdict)
{
	if (verdict == VERDICT_LEAK)
		return COLOR_RED;
	return verdict == VERDICT_GROWING ? COLOR_YELLOW : COLOR_DIM;
}

static void stack_head_print(FILE *out, const struct profile *profile,
			     const struct ranked_site *ranked, size_t rank, bool color)
{
	char growth[UNITS_TEXT_MAX], rate[UNITS_TEXT_MAX], error[UNITS_TEXT_MAX];
	const struct profile_site *site = ranked->site;
	bool more = ranked->growth_blocks >= 0.5;
	char blocks[CELL_MAX];

	fprintf(out, "#%zu  %s%s%s  %s", rank, color ? verdict_color(ranked->verdict) : "",
		profile->diff ? site_change_name(site_change(ranked))
			      : site_verdict_name(ranked->verdict),
		color ? COLOR_END : "", units_format_growth(ranked->growth_bytes, growth));
	if (ranked->error_bytes > 0)
		fprintf(out, " \302\261%s", units_format_bytes(ranked->error_bytes, error));
	fprintf(out, " in %s%s block%s", more ? "+" : "",
		count_format(ranked->growth_blocks, blocks),
		plural(llabs(llround(ranked->growth_blocks))));
	if (!profile->diff)
		fprintf(out, ", %s/s, %.0f%% kept", units_format_growth(ranked->slope, rate),
			100 * ranked->survival);
	fprintf(out, ", %s", alloc_class_name(site->alloc_class));
	if (site->pids && site->pid_count > 1)
		fprintf(out, ", %u processes", site->pid_count);
	else if (site->pid_count == 1)
		fprintf(out, ", pid %d", (int)site->pids[0]);
	else if (profile->process_count > 1)
		fprintf(out, ", pid %d", (int)profile->processes[site->process].pid);
	fputc('\n', out);
}

/* 'mark' stands before the name. */
static int frame_print(FILE *out, const struct profile_frame *frame, const char *mark, size_t width)
{
	_cleanup_free_ char *full = NULL, *name = NULL, *place = place_of(frame), *end = NULL;
	size_t columns, indent = STACK_INDENT + strlen(mark);

	if (asprintf(&full, "%s%s", frame->function, frame->inlined ? " (inlined)" : "") < 0)
		return -ENOMEM;
	name = elide_middle(full, width);
	end = place ? elide_path(place, TEXT_COLUMNS - indent - width - 2) : NULL;
	if (!name || !end)
		return -ENOMEM;
	columns = utf8_columns(name);
	fprintf(out, "%*s%s%s", STACK_INDENT, "", mark, name);
	if (end[0] && strcmp(end, name))
		fprintf(out, "%*s%s", (int)(width - columns + 2), "", end);
	fputc('\n', out);
	return 0;
}

static size_t stack_name_width(const struct profile *profile, const struct profile_site *site)
{
	size_t widest = 0;

	for (uint32_t i = 0; i < site->frame_count; i++) {
		const struct profile_frame *frame = &profile->frames[site->frames[i]];
		size_t columns = utf8_columns(frame->function) + (frame->inlined ? 10 : 0);

		if (columns > widest)
			widest = columns;
	}
	return widest < STACK_NAME_COLUMNS ? widest : STACK_NAME_COLUMNS;
}

static bool stack_has_python(const struct profile *profile, const struct profile_site *site)
{
	for (uint32_t i = 0; i < site->frame_count; i++)
		if (profile->frames[site->frames[i]].python)
			return true;
	return false;
}

/* Where Python and native frames may mix, each is marked as what it is. */
static int stack_print(FILE *out, const struct profile *profile, const struct profile_site *site)
{
	bool marked = stack_has_python(profile, site);
	size_t width = stack_name_width(profile, site);

	for (uint32_t i = 0; i < site->frame_count; i++) {
		const struct profile_frame *frame = &profile->frames[site->frames[i]];
		const char *mark = !marked ? "" : frame->python ? "py  " : "c   ";

		if (frame_print(out, frame, mark, width))
			return -ENOMEM;
	}
	if (site->truncated && site->frame_count > 1)
		fprintf(out, "%*s[cut here: %s]\n", STACK_INDENT, "",
			walk_end_text(site->end_reason));
	return 0;
}

/* The table, or lines in tracemalloc's words, and what is not shown. Returns 0 or -ENOMEM. */
static int rows_print(FILE *out, const struct export_input *input, struct table_shape shape,
		      const struct text_options *options)
{
	if (options->lines == TEXT_TABLE) {
		if (ranking_print(out, input, shape))
			return -ENOMEM;
	} else {
		tracemalloc_print(out, input, shape.rows, options->lines == TEXT_TRACEBACKS);
	}
	rest_print(out, input, shape);
	return 0;
}

int export_text(FILE *out, const struct export_input *input, const struct verdict *verdict,
		const struct text_options *options)
{
	const struct ranking *ranking = input->ranking;
	struct table_shape shape = shape_find(input, options);

	verdict_print(out, verdict, options->color);
	if (!input->whole->diff) /* else the verdict says it of both */
		context_print(out, input->whole);
	if (input->rest)
		rest_of_filter_print(out, input->rest);
	if (input->suppressed && input->suppressed->sites)
		suppressed_print(out, input->suppressed);
	fputc('\n', out);
	if (!ranking->count) {
		fputs(ranking->left_out			  ? "no site grew that much\n"
		      : input->rest && input->rest->sites ? "no site passes the filter\n"
		      : input->whole->diff		  ? "no allocation was seen in either\n"
							  : "no allocation was seen\n",
		      out);
		return 0;
	}
	if (rows_print(out, input, shape, options))
		return -ENOMEM;
	if (input->culprits && culprits_print(out, input->culprits))
		return -ENOMEM;
	for (size_t i = 0; i < shape.rows && i < options->stacks; i++) {
		fputc('\n', out);
		stack_head_print(out, input->profile, &ranking->items[i], i + 1, options->color);
		if (stack_print(out, input->profile, ranking->items[i].site))
			return -ENOMEM;
	}
	if (options->sources)
		sources_print(out, input, shape.rows < options->sources ? shape.rows
									: options->sources);
	return 0;
}
