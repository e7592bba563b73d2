/* SPDX-License-Identifier: GPL-2.0-only */
/* text.c - see text.h */
#include "export/text.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/units.h"
#include "export/columns.h"
#include "export/utf8.h"
#include "profile/group.h"
#include "profile/profile.h"
#include "profile/rank.h"
#include "profile/verdict.h"

#define CELL_MAX	   48
#define NAME_COLUMNS_LEAST 12
#define PLACE_COLUMNS	   24 /* of file:line in the ranking, at most */
#define STACK_NAME_COLUMNS 60
#define STACK_INDENT	   6

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

/* What was recorded, how, and what it cost. */
static void context_print(FILE *out, const struct profile *profile)
{
	char duration[UNITS_TEXT_MAX], interval[UNITS_TEXT_MAX], hits[UNITS_TEXT_MAX];
	double seconds = profile->duration_ns / (double)NS_PER_S;
	_cleanup_free_ char *line = NULL, *who = NULL;

	if (profile->process_count == 1) {
		const struct profile_process *process = &profile->processes[0];

		if (asprintf(&who, "%s (pid %d)%s%s", process->comm, (int)process->pid,
			     process->allocator ? ", " : "",
			     process->allocator ? process->allocator : "") < 0)
			return;
	} else if (asprintf(&who, "%u processes", profile->process_count) < 0) {
		return;
	}
	if (asprintf(&line, "%s; %s, %u snapshots every %s, %s; %s probe hits, %.2g %% of a core",
		     who, units_format_duration(seconds, duration), profile->snapshot_count,
		     units_format_duration(profile->interval_ns / (double)NS_PER_S, interval),
		     profile->sample_bytes > 1 ? "sampled" : "exact",
		     units_format_count(profile->hits, hits), profile->cpu_percent) >= 0)
		wrapped_print(out, line, 2);
}

/* ---- cells --------------------------------------------------------------------------------------
 */

/* Three digits and a letter, powers of 'base': 1.50G, 310M, 999. */
static const char *short_number(double value, double base, const char *sign, char cell[CELL_MAX])
{
	static const char letters[] = " KMGTPE";
	double size = fabs(value);
	unsigned int power = 0;

	while (size >= 999.5 && power + 2 < sizeof(letters)) {
		size /= base;
		power++;
	}
	if (value < 0)
		sign = "-";
	if (!power)
		snprintf(cell, CELL_MAX, "%s%.0f", size >= 0.5 ? sign : "", size);
	else
		snprintf(cell, CELL_MAX, "%s%.*f%c", sign,
			 size < 9.995	? 2
			 : size < 99.95 ? 1
					: 0,
			 size, letters[power]);
	return cell;
}

static const char *short_growth(double bytes, char cell[CELL_MAX])
{
	return short_number(bytes, 1024, "+", cell);
}

static const char *short_bytes(double bytes, char cell[CELL_MAX])
{
	return short_number(bytes, 1024, "", cell);
}

static const char *path_base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
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
	else if (frame->module && !frame->offset)
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

/* Function and place in 'width' columns, the place from the end of its path. */
static char *name_cell(const struct profile_frame *frame, size_t width)
{
	_cleanup_free_ char *place = place_of(frame), *short_place = NULL, *name = NULL;
	size_t most = width / 2 < PLACE_COLUMNS ? width / 2 : PLACE_COLUMNS, place_width, room;
	char *cell = NULL;

	if (!place)
		return NULL;
	place_width = utf8_columns(place);
	room = width - utf8_columns(frame->function) - 2;
	if (utf8_columns(frame->function) + 2 + most > width)
		room = most;
	if (place_width > room)
		place_width = room;
	if (!place[0] || !strcmp(place, frame->function))
		return name_fit(frame->function, width);
	short_place = elide_left(place, place_width);
	name = name_fit(frame->function, width - place_width - 2);
	if (!short_place || !name || asprintf(&cell, "%s  %s", name, short_place) < 0)
		return NULL;
	return cell;
}

/* ---- ranking ------------------------------------------------------------------------------------
 */

struct table_shape {
	bool sampled, classes;
};

static struct table_shape shape_find(const struct export_input *input)
{
	struct table_shape shape = {.sampled = input->profile->sample_bytes > 1};

	for (size_t i = 1; i < input->ranking->count && i < input->limit; i++)
		if (input->ranking->items[i].site->alloc_class !=
		    input->ranking->items[0].site->alloc_class)
			shape.classes = true;
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

/* Everything but the name. Returns 0 or -ENOMEM. */
static int figures_add(struct columns *table, const struct ranked_site *ranked, size_t rank,
		       struct table_shape shape)
{
	double blocks = live_blocks(ranked->end), live = live_bytes(ranked->end);
	char cells[10][CELL_MAX];
	size_t count = 0;

	snprintf(cells[count++], CELL_MAX, "%zu", rank);
	short_growth(ranked->growth_bytes, cells[count++]);
	if (shape.sampled)
		error_cell(ranked, cells[count++]);
	short_growth(ranked->slope, cells[count]);
	strncat(cells[count++], "/s", CELL_MAX - 24);
	short_bytes(live, cells[count++]);
	short_number(blocks, 1000, "", cells[count++]);
	short_bytes(blocks > 0.5 ? live / blocks : 0, cells[count++]);
	snprintf(cells[count++], CELL_MAX, "%.0f%%", 100 * ranked->survival);
	snprintf(cells[count++], CELL_MAX, "%s", site_verdict_name(ranked->verdict));
	if (shape.classes)
		snprintf(cells[count++], CELL_MAX, "%s",
			 alloc_class_name(ranked->site->alloc_class));
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
	heads[count++] = (struct column){"rate", true};
	heads[count++] = (struct column){"live", true};
	heads[count++] = (struct column){"blocks", true};
	heads[count++] = (struct column){"average", true};
	heads[count++] = (struct column){"kept", true};
	heads[count++] = (struct column){"verdict", false};
	if (shape.classes)
		heads[count++] = (struct column){"class", false};
	return count;
}

/* The frame that names a row; NULL for a site without frames. */
static const struct profile_frame *naming_frame(const struct export_input *input,
						const struct ranked_site *ranked)
{
	const struct profile_site *site = ranked->site;

	if (!site->frame_count)
		return NULL;
	return &input->profile->frames[site->frames[site_naming_frame(input->profile, site)]];
}

/* The widths of the figures are known only when all are there: then what is left is the name's. */
static size_t name_width(const struct columns *figures)
{
	size_t used = 0;

	for (size_t i = 0; i < figures->column_count; i++)
		used += columns_width(figures, i) + 2;
	return used + NAME_COLUMNS_LEAST > TEXT_COLUMNS ? NAME_COLUMNS_LEAST : TEXT_COLUMNS - used;
}

static int rows_join(const struct export_input *input, const struct columns *figures,
		     struct columns *table)
{
	static const struct profile_frame nothing = {.function = "[no frames]"};
	size_t width = name_width(figures);

	for (size_t i = 0; i < figures->count; i++) {
		size_t row = i / figures->column_count;

		if (columns_add(table, figures->items[i]))
			return -ENOMEM;
		if (i % figures->column_count == figures->column_count - 1) {
			const struct profile_frame *frame =
			    naming_frame(input, &input->ranking->items[row]);
			_cleanup_free_ char *cell = name_cell(frame ? frame : &nothing, width);

			if (!cell || columns_add(table, cell))
				return -ENOMEM;
		}
	}
	return 0;
}

static int ranking_print(FILE *out, const struct export_input *input)
{
	struct table_shape shape = shape_find(input);
	struct column heads[12];
	struct columns figures = {.columns = heads}, table = {.columns = heads};
	int status = 0;

	figures.column_count = heads_fill(heads, shape);
	heads[figures.column_count] = (struct column){"function", false};
	table.column_count = figures.column_count + 1;
	for (size_t i = 0; i < input->ranking->count && i < input->limit && !status; i++)
		status = figures_add(&figures, &input->ranking->items[i], i + 1, shape);
	if (!status)
		status = rows_join(input, &figures, &table);
	if (!status)
		columns_print(out, &table, "");
	columns_free(&figures);
	columns_free(&table);
	return status;
}

static void rest_print(FILE *out, const struct export_input *input)
{
	const struct ranking *ranking = input->ranking;
	double growth = 0;
	char buffer[UNITS_TEXT_MAX];

	if (ranking->count <= input->limit)
		return;
	for (size_t i = input->limit; i < ranking->count; i++)
		growth += ranking->items[i].growth_bytes;
	fprintf(out, "and %zu more, %s in all (-n shows more)\n", ranking->count - input->limit,
		units_format_growth(growth, buffer));
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
	long long blocks = llround(ranked->growth_blocks);

	fprintf(out, "#%zu  %s%s%s  %s", rank, color ? verdict_color(ranked->verdict) : "",
		site_verdict_name(ranked->verdict), color ? COLOR_END : "",
		units_format_growth(ranked->growth_bytes, growth));
	if (ranked->error_bytes > 0)
		fprintf(out, " \302\261%s", units_format_bytes(ranked->error_bytes, error));
	fprintf(out, " in %+lld block%s, %s/s, %.0f%% kept, %s", blocks,
		llabs(blocks) == 1 ? "" : "s", units_format_growth(ranked->slope, rate),
		100 * ranked->survival, alloc_class_name(site->alloc_class));
	if (profile->process_count > 1)
		fprintf(out, ", pid %d", (int)profile->processes[site->process].pid);
	fputc('\n', out);
}

static int frame_print(FILE *out, const struct profile_frame *frame, size_t width)
{
	_cleanup_free_ char *full = NULL, *name = NULL, *place = place_of(frame), *end = NULL;
	size_t columns;

	if (asprintf(&full, "%s%s", frame->function, frame->inlined ? " (inlined)" : "") < 0)
		return -ENOMEM;
	name = elide_middle(full, width);
	end = place ? elide_left(place, TEXT_COLUMNS - STACK_INDENT - width - 2) : NULL;
	if (!name || !end)
		return -ENOMEM;
	columns = utf8_columns(name);
	fprintf(out, "%*s%s", STACK_INDENT, "", name);
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

		if (!frame->internal && columns > widest)
			widest = columns;
	}
	return widest < STACK_NAME_COLUMNS ? widest : STACK_NAME_COLUMNS;
}

static int stack_print(FILE *out, const struct profile *profile, const struct profile_site *site)
{
	size_t width = stack_name_width(profile, site);
	uint32_t hidden = 0;

	for (uint32_t i = 0; i < site->frame_count; i++) {
		const struct profile_frame *frame = &profile->frames[site->frames[i]];

		hidden += frame->internal;
		if (!frame->internal && frame_print(out, frame, width))
			return -ENOMEM;
	}
	if (hidden)
		fprintf(out, "%*s[%u internal frames]\n", STACK_INDENT, "", hidden);
	if (site->truncated && site->frame_count > 1)
		fprintf(out, "%*s[cut here: %s]\n", STACK_INDENT, "",
			walk_end_text(site->end_reason));
	return 0;
}

int export_text(FILE *out, const struct export_input *input, const struct verdict *verdict,
		const struct text_options *options)
{
	const struct ranking *ranking = input->ranking;

	verdict_print(out, verdict, options->color);
	context_print(out, input->profile);
	fputc('\n', out);
	if (!ranking->count) {
		fputs(ranking->left_out ? "no site grew that much\n" : "no allocation was seen\n",
		      out);
		return 0;
	}
	if (ranking_print(out, input))
		return -ENOMEM;
	rest_print(out, input);
	for (size_t i = 0; i < ranking->count && i < options->stacks && i < input->limit; i++) {
		fputc('\n', out);
		stack_head_print(out, input->profile, &ranking->items[i], i + 1, options->color);
		if (stack_print(out, input->profile, ranking->items[i].site))
			return -ENOMEM;
	}
	return 0;
}
