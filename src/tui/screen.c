/* SPDX-License-Identifier: GPL-2.0-only */
/* screen.c - see screen.h */
#define NCURSES_WIDECHAR 1
#include "tui/screen.h"

#include <curses.h>
#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>
#include <wchar.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/units.h"
#include "export/columns.h"
#include "export/utf8.h"
#include "profile/verdict.h"
#include "profile/view.h"

#define LEAST_LINES   8
#define LEAST_COLUMNS 40
#define HEADER_LINES  3
#define STACK_MOST    16
#define NAME_LEAST    24 /* columns of function and place */
#define WIDE_COLUMNS  110
#define TREND_COLUMNS 6
#define TREND_WIDE    16
#define LINE_MAX_WIDE 512 /* columns drawn of a line */
#define CELL_MAX      48
#define ESCAPE_MS     25 /* after ESC, until it is a key of its own */

enum color { COLOR_NONE, COLOR_LEAK, COLOR_GROWING, COLOR_HEAD, COLOR_QUIET };

static struct {
	SCREEN *screen;
	bool utf8, colors;
	size_t page_rows;
	struct termios before;
	char restore[128]; /* what the terminal is sent to leave the screen */
	size_t restore_bytes;
	volatile bool open;
} terminal;

/* ---- life cycle ----------------------------------------------------------------------------- */

/* Add what terminfo(5) has under this name; -1 is for what no terminal has. */
static void restore_add(const char *name)
{
	const char *text = tigetstr(name);
	size_t bytes = text && text != (const char *)-1 ? strlen(text) : 0;

	if (!bytes || bytes > sizeof(terminal.restore) - terminal.restore_bytes)
		return;
	memcpy(terminal.restore + terminal.restore_bytes, text, bytes);
	terminal.restore_bytes += bytes;
}

static void colors_open(void)
{
	const char *no_color = getenv("NO_COLOR");

	terminal.colors = has_colors() && !(no_color && no_color[0]) && start_color() == OK;
	if (!terminal.colors)
		return;
	if (use_default_colors() == ERR) {
		terminal.colors = false;
		return;
	}
	init_pair(COLOR_LEAK, COLOR_RED, -1);
	init_pair(COLOR_GROWING, COLOR_YELLOW, -1);
	init_pair(COLOR_HEAD, COLOR_CYAN, -1);
	init_pair(COLOR_QUIET, COLOR_BLUE, -1);
}

int screen_open(struct err *err)
{
	setlocale(LC_CTYPE, "");
	terminal.utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8");
	tcgetattr(STDIN_FILENO, &terminal.before);
	terminal.screen = newterm(NULL, stdout, stdin);
	if (!terminal.screen)
		return err_set(err, ENOTTY, "cannot draw on this terminal (TERM is '%s')",
			       getenv("TERM"));
	terminal.restore_bytes = 0;
	restore_add("sgr0");
	restore_add("rmcup");
	restore_add("rmkx");
	restore_add("cnorm");
	terminal.open = true;
	set_escdelay(ESCAPE_MS);
	cbreak();
	noecho();
	nonl();
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	curs_set(0);
	colors_open();
	return 0;
}

void screen_close(void)
{
	if (!terminal.open)
		return;
	endwin();
	terminal.open = false;
	delscreen(terminal.screen);
	terminal.screen = NULL;
}

void screen_restore(void)
{
	if (!terminal.open)
		return;
	terminal.open = false;
	tcsetattr(STDIN_FILENO, TCSANOW, &terminal.before);
	if (write(STDOUT_FILENO, terminal.restore, terminal.restore_bytes) < 0)
		return; /* it is gone, or hangs */
}

void screen_resize(void)
{
	struct winsize size;

	if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_row && size.ws_col)
		resizeterm(size.ws_row, size.ws_col);
	clearok(stdscr, TRUE);
}

size_t screen_page_rows(void)
{
	return terminal.page_rows ? terminal.page_rows : 1;
}

uint32_t screen_key(void)
{
	wint_t key;
	int status = get_wch(&key);

	if (status == ERR)
		return SCREEN_NONE;
	if (status == OK)
		switch (key) {
		case '\r':
		case '\n':
			return SCREEN_ENTER;
		case 27:
			return SCREEN_ESCAPE;
		case 8:
		case 127:
			return SCREEN_BACKSPACE;
		default:
			return key;
		}
	switch (key) {
	case KEY_UP:
		return SCREEN_UP;
	case KEY_DOWN:
		return SCREEN_DOWN;
	case KEY_PPAGE:
		return SCREEN_PAGE_UP;
	case KEY_NPAGE:
		return SCREEN_PAGE_DOWN;
	case KEY_HOME:
		return SCREEN_HOME;
	case KEY_END:
		return SCREEN_END;
	case KEY_ENTER:
		return SCREEN_ENTER;
	case KEY_BACKSPACE:
		return SCREEN_BACKSPACE;
	default:
		return SCREEN_OTHER;
	}
}

/* ---- text ----------------------------------------------------------------------------------- */

static int color_attribute(enum color color)
{
	return terminal.colors && color ? COLOR_PAIR(color) : 0;
}

/* One character as it is drawn: 0 for what takes no column. */
static wchar_t drawable(uint32_t character, int *columns)
{
	*columns = character < 0x7f || terminal.utf8 ? wcwidth(character) : -1;
	if (*columns >= 0)
		return *columns ? (wchar_t)character : 0;
	*columns = 1;
	return L'?';
}

/* Write 'text' from (line, column) on, 'width' columns at most. Returns the columns it took. */
static int put(int line, int column, int width, const char *text)
{
	_cleanup_free_ char *clean = utf8_clean(text, 0);
	wchar_t wide[LINE_MAX_WIDE];
	int used = 0, count = 0;

	if (width > COLS - column)
		width = COLS - column;
	for (const char *at = clean ? clean : ""; *at && count < LINE_MAX_WIDE;) {
		uint32_t character;
		int columns;

		at += utf8_take(at, &character);
		wide[count] = drawable(character, &columns);
		if (!wide[count])
			continue;
		if (used + columns > width)
			break;
		used += columns;
		count++;
	}
	if (count)
		mvaddnwstr(line, column, wide, count);
	return used;
}

static void put_right(int line, int column, int width, const char *text)
{
	int columns = utf8_columns(text);

	put(line, column + (columns < width ? width - columns : 0), width, text);
}

static void fill(int line, int attributes)
{
	attrset(attributes);
	mvhline(line, 0, ' ' | attributes, COLS);
}

/* "+6.2 MiB" -> "+6.2M", as in the tables of the report. */
static char *cell_shorten(char *text)
{
	char *space = strchr(text, ' ');

	if (space && space[1] != 'B')
		memmove(space, space + 1, 2), space[1] = '\0';
	else if (space)
		*space = '\0';
	return text;
}

/* 6720 -> "6,720", 1234567 -> "1.2M" of powers of 1000: what fits into its column. */
static void count_cell(double count, char cell[CELL_MAX])
{
	double size = fmin(round(fabs(count)), 1e15);

	if (size < 1e5)
		units_format_count(size, cell);
	else if (size < 1e6)
		snprintf(cell, CELL_MAX, "%.0fk", size / 1e3);
	else if (size < 1e9)
		snprintf(cell, CELL_MAX, "%.1fM", size / 1e6);
	else
		snprintf(cell, CELL_MAX, "%.1fG", size / 1e9);
}

/* A name in 'width' columns; of "SSL_new < connect" both sides stay to be seen. */
static char *name_cut(const char *name, size_t width)
{
	const char *arrow = strstr(name, " < ");
	size_t left = arrow ? arrow - name : 0, right = arrow ? utf8_columns(arrow + 3) : 0;
	_cleanup_free_ char *head = NULL, *short_head = NULL, *short_tail = NULL;
	char *pair = NULL;

	if (!arrow || width < 16 || utf8_columns(name) <= width)
		return elide_middle(name, width);
	width -= 3;
	head = strndup(name, left);
	left = right < width / 2 ? width - right : width / 2;
	short_head = head ? elide_middle(head, left) : NULL;
	if (!short_head)
		return NULL;
	short_tail = elide_middle(arrow + 3, width - utf8_columns(short_head));
	if (!short_tail || asprintf(&pair, "%s < %s", short_head, short_tail) < 0)
		return NULL;
	return pair;
}

/* A function and its place in 'width' columns; of a path at least the name of the file. Where both
 * do not fit, the name alone: the stack pane has more room. */
static char *name_fit(const char *name, const char *place, size_t width)
{
	size_t name_columns = utf8_columns(name), least, room;
	const char *slash = strrchr(place, '/');
	_cleanup_free_ char *short_place = NULL, *short_name = NULL;
	char *cell = NULL;

	least = slash ? utf8_columns(slash + 1) : utf8_columns(place);
	if (!place[0] || name_columns + 2 + least > width)
		return name_cut(name, width);
	room = width - name_columns - 2;
	/* not even "…/name" fits: the name of the file stands for itself */
	short_place = elide_path(slash && room < least + 2 ? slash + 1 : place, room);
	short_name = elide_middle(name, name_columns);
	if (!short_place || !short_name || asprintf(&cell, "%s  %s", short_name, short_place) < 0)
		return NULL;
	return cell;
}

/* ---- the header ----------------------------------------------------------------------------- */

static void head_draw(const struct screen_figures *figures)
{
	char elapsed[UNITS_TEXT_MAX], rss[UNITS_TEXT_MAX], live[UNITS_TEXT_MAX];
	_cleanup_free_ char *line = NULL;
	int column;

	fill(0, A_BOLD | color_attribute(COLOR_HEAD));
	column = put(0, 0, COLS, "seep top  ");
	column += put(0, column, COLS > 70 ? 32 : 20, figures->target);
	if (asprintf(&line, "  %s  RSS %s  live %s%s",
		     units_format_duration(figures->elapsed_ns / NS_PER_S, elapsed),
		     units_format_bytes(figures->rss_bytes, rss),
		     units_format_bytes(figures->live_bytes, live),
		     figures->ending ? "  ending" : "") < 0)
		return;
	put(0, column, COLS, line);
}

/* Losses first: whatever does not fit, they do. */
static void rates_draw(const struct screen_view *view)
{
	const struct screen_figures *figures = &view->figures;
	char number[UNITS_TEXT_MAX], cell[CELL_MAX], text[128];
	int column = 0;

	if (figures->lost) {
		snprintf(text, sizeof(text), "LOST %s", units_format_count(figures->lost, number));
		attrset(A_BOLD | A_REVERSE | color_attribute(COLOR_LEAK));
		column = put(1, 0, COLS, text) + 2;
	}
	attrset(0);
	snprintf(text, sizeof(text), "%s events/s  slowdown %s",
		 units_format_count(fmax(figures->events_per_s, 0), number), figures->slowdown);
	column += put(1, column, COLS, text);
	if (figures->sample_bytes > 1) {
		snprintf(text, sizeof(text), "  sample %s",
			 units_format_bytes(figures->sample_bytes, number));
		column += put(1, column, COLS, text);
	}
	for (uint32_t i = 0; view->list->loaded && i < CLASS_COUNT; i++) {
		if (fabs(view->list->live_bytes[i]) < 1)
			continue;
		units_format_bytes(view->list->live_bytes[i], cell);
		snprintf(text, sizeof(text), "  %s %s", alloc_class_name(i), cell);
		column += put(1, column, COLS, text);
	}
}

static void state_draw(const struct screen_view *view)
{
	const struct list_options *options = &view->options;
	char total[UNITS_TEXT_MAX], count[UNITS_TEXT_MAX], text[256];
	int column = 0;

	if (view->paused) {
		attrset(A_REVERSE);
		column = put(2, 0, COLS, "PAUSED");
		attrset(0);
		column += put(2, column, COLS, "  ");
	}
	attrset(A_DIM);
	units_format_count(view->list->count, count);
	units_format_count(view->list->total, total);
	snprintf(text, sizeof(text), "by %s  class %s  sort %s  %s of %s rows",
		 list_by_name(options->by),
		 options->alloc_class < CLASS_COUNT ? alloc_class_name(options->alloc_class)
						    : "all",
		 list_sort_name(options->sort), count, total);
	column += put(2, column, COLS, text);
	if (options->text[0] || view->editing) {
		column += put(2, column, COLS, "  filter /");
		column += put(2, column, COLS, options->text);
		put(2, column, COLS, view->editing ? "_" : "/");
	}
	attrset(0);
}

/* ---- the table ------------------------------------------------------------------------------ */

enum field {
	FIELD_GROWTH,
	FIELD_RATE,
	FIELD_LIVE,
	FIELD_BLOCKS,
	FIELD_KEPT,
	FIELD_TREND,
	FIELD_VERDICT,
	FIELD_CLASS,
	FIELD_PID,
	FIELD_COUNT,
};

static const struct {
	const char *title;
	int width;
	bool left;
	enum list_sort sort; /* LIST_RANK: none by this column */
} fields[] = {
    [FIELD_GROWTH] = {"growth", 7, false, LIST_GROWTH},
    [FIELD_RATE] = {"rate", 9, false, LIST_RATE},
    [FIELD_LIVE] = {"live", 6, false, LIST_LIVE},
    [FIELD_BLOCKS] = {"blocks", 6, false, LIST_BLOCKS},
    [FIELD_KEPT] = {"kept", 4, false, LIST_KEPT},
    [FIELD_TREND] = {"trend", TREND_COLUMNS, true, LIST_RANK},
    [FIELD_VERDICT] = {"verdict", 9, true, LIST_RANK},
    [FIELD_CLASS] = {"class", 6, true, LIST_RANK},
    [FIELD_PID] = {"pid", 7, false, LIST_RANK},
};

struct shape {
	int width[FIELD_COUNT]; /* 0: not shown */
	int name_column, name_width;
};

static bool several_classes(const struct list *list)
{
	for (size_t i = 1; i < list->count; i++)
		if (list->rows[i]->site->alloc_class != list->rows[0]->site->alloc_class)
			return true;
	return false;
}

/* What a narrow terminal does without goes first; the name keeps NAME_LEAST columns. */
static struct shape shape_find(const struct list *list)
{
	static const enum field droppable[] = {FIELD_BLOCKS, FIELD_CLASS, FIELD_TREND,
					       FIELD_PID,    FIELD_KEPT,  FIELD_RATE};
	struct shape shape = {0};
	size_t drop = 0;

	for (int i = 0; i < FIELD_COUNT; i++)
		shape.width[i] = fields[i].width;
	if (COLS >= WIDE_COLUMNS)
		shape.width[FIELD_TREND] = TREND_WIDE;
	if (!several_classes(list))
		shape.width[FIELD_CLASS] = 0;
	if (!list->several_processes)
		shape.width[FIELD_PID] = 0;
	for (;;) {
		shape.name_column = 0;
		for (int i = 0; i < FIELD_COUNT; i++)
			shape.name_column += shape.width[i] ? shape.width[i] + 1 : 0;
		shape.name_width = COLS - shape.name_column;
		if (shape.name_width >= NAME_LEAST || drop == ARRAY_LEN(droppable))
			return shape;
		shape.width[droppable[drop++]] = 0;
	}
}

/* The column that sorts stands out. */
static void titles_draw(const struct shape *shape, enum list_sort sort)
{
	int column = 0;

	fill(HEADER_LINES, A_UNDERLINE);
	for (int i = 0; i < FIELD_COUNT; i++) {
		bool sorts = fields[i].sort != LIST_RANK && fields[i].sort == sort;

		if (!shape->width[i])
			continue;
		attrset(sorts ? A_UNDERLINE | A_BOLD | A_REVERSE : A_UNDERLINE);
		if (fields[i].left)
			put(HEADER_LINES, column, shape->width[i], fields[i].title);
		else
			put_right(HEADER_LINES, column, shape->width[i], fields[i].title);
		column += shape->width[i] + 1;
	}
	attrset(A_UNDERLINE);
	put(HEADER_LINES, column, shape->name_width, "function");
	attrset(0);
}

static void trend_draw(const struct list *list, size_t row, int line, int column, int width)
{
	static const char *const blocks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
	static const char *const plain[] = {" ", ".", ":", "-", "=", "+", "*", "#"};
	double values[TREND_WIDE], most = 0;

	list_series(list, row, values, width);
	for (int i = 0; i < width; i++)
		most = fmax(most, values[i]);
	for (int i = 0; i < width; i++) {
		int level = most > 0 && values[i] > 0 ? (int)(values[i] / most * 7.999) : 0;

		put(line, column + i, 1, terminal.utf8 ? blocks[level] : plain[level]);
	}
}

static void cell_of(const struct list *list, size_t row, enum field field, char cell[CELL_MAX])
{
	const struct ranked_site *ranked = list->rows[row];
	const struct profile_site *site = ranked->site;

	cell[0] = '\0';
	switch (field) {
	case FIELD_GROWTH:
		cell_shorten((char *)units_format_growth(ranked->growth_bytes, cell));
		break;
	case FIELD_RATE:
		cell_shorten((char *)units_format_growth(ranked->slope, cell));
		strcat(cell, "/s");
		break;
	case FIELD_LIVE:
		cell_shorten((char *)units_format_bytes(live_bytes(ranked->end), cell));
		break;
	case FIELD_BLOCKS:
		count_cell(live_blocks(ranked->end), cell);
		break;
	case FIELD_KEPT:
		snprintf(cell, CELL_MAX, "%.0f%%", 100 * ranked->survival);
		break;
	case FIELD_VERDICT:
		snprintf(cell, CELL_MAX, "%s", site_verdict_name(ranked->verdict));
		break;
	case FIELD_CLASS:
		snprintf(cell, CELL_MAX, "%s", alloc_class_name(site->alloc_class));
		break;
	case FIELD_PID:
		snprintf(cell, CELL_MAX, "%d", (int)list->shown->processes[site->process].pid);
		break;
	default:
		break;
	}
}

static int row_attributes(enum site_verdict verdict, bool selected)
{
	int attributes = selected ? A_REVERSE : 0;

	if (verdict == VERDICT_LEAK)
		return attributes | A_BOLD | color_attribute(COLOR_LEAK);
	if (verdict == VERDICT_GROWING)
		return attributes | color_attribute(COLOR_GROWING);
	return attributes;
}

static void name_draw(const struct list *list, size_t row, int line, const struct shape *shape)
{
	_cleanup_free_ char *name = NULL, *place = NULL, *cell = NULL;

	if (!list_name(list, row, &name, &place))
		cell = list->by == GROUP_FILE ? elide_path(name, shape->name_width)
					      : name_fit(name, place, shape->name_width);
	put(line, shape->name_column, shape->name_width, cell ? cell : "");
}

static void row_draw(const struct list *list, size_t row, int line, const struct shape *shape,
		     bool selected)
{
	int attributes = row_attributes(list->rows[row]->verdict, selected), column = 0;

	fill(line, attributes);
	for (int i = 0; i < FIELD_COUNT; i++) {
		char cell[CELL_MAX];

		if (!shape->width[i])
			continue;
		cell_of(list, row, i, cell);
		if (i == FIELD_TREND)
			trend_draw(list, row, line, column, shape->width[i]);
		else if (fields[i].left)
			put(line, column, shape->width[i], cell);
		else
			put_right(line, column, shape->width[i], cell);
		column += shape->width[i] + 1;
	}
	name_draw(list, row, line, shape);
	attrset(0);
}

static void table_draw(struct screen_view *view, int rows)
{
	const struct list *list = view->list;
	struct shape shape = shape_find(list);

	if (view->selected >= list->count)
		view->selected = list->count ? list->count - 1 : 0;
	if (view->first > view->selected)
		view->first = view->selected;
	if (view->selected >= view->first + rows)
		view->first = view->selected - rows + 1;
	if (list->count <= (size_t)rows)
		view->first = 0;
	titles_draw(&shape, view->options.sort);
	for (int i = 0; i < rows && view->first + i < list->count; i++)
		row_draw(list, view->first + i, HEADER_LINES + 1 + i, &shape,
			 view->first + i == view->selected);
	if (!list->count)
		put(HEADER_LINES + 1, 0, COLS,
		    !list->loaded ? "waiting for the first snapshots"
		    : list->total ? "no row passes the filter"
				  : "nothing allocated since the recording began is still alive");
}

/* ---- the stack ------------------------------------------------------------------------------ */

static void stack_title(int line, const char *text)
{
	attrset(A_DIM);
	mvhline(line, 0, terminal.utf8 ? ACS_HLINE : '-', COLS);
	put(line, 2, COLS - 2, text);
	attrset(0);
}

/* Which frames are shown, unless somebody scrolls: from that on which names the row, so that what
 * lies between the allocator and it does not take all the room. */
static size_t stack_begin(const struct list *list, const struct profile_site *site)
{
	uint32_t called = site_called_frame(&list->view, site);

	return called < site->frame_count ? called : site_naming_frame(&list->view, site);
}

static void frame_draw(const struct profile_frame *frame, int line)
{
	_cleanup_free_ char *place = list_place(frame), *cell = NULL;

	if (place)
		cell = name_fit(frame->function, place, COLS - 5);
	put(line, 1, 3, frame->python ? "py" : "c");
	put(line, 4, COLS - 4, cell ? cell : "");
}

static void stack_draw(struct screen_view *view, int line, int rows)
{
	const struct list *list = view->list;
	const struct profile_site *site = NULL;
	size_t stack_count = 0, lines, end;
	char text[128];

	if (view->selected < list->count)
		site = list_stack(list, view->selected, &stack_count);
	if (!site) {
		stack_title(line, " no stack ");
		return;
	}
	lines = site->frame_count + site->truncated;
	if (!view->stack_scrolled)
		view->stack_first = stack_begin(list, site);
	if (view->stack_first + rows > lines)
		view->stack_first = lines > (size_t)rows ? lines - rows : 0;
	end = view->stack_first + rows < lines ? view->stack_first + rows : lines;
	for (size_t frame = view->stack_first; frame < end; frame++) {
		int at = line + 1 + frame - view->stack_first;

		if (frame < site->frame_count)
			frame_draw(&list->view.frames[site->frames[frame]], at);
		else
			put(at, 4, COLS - 4, "[the root is missing]");
	}
	snprintf(text, sizeof(text), " %sstack of row %zu, frames %zu to %zu of %zu ",
		 stack_count > 1 ? "first " : "", view->selected + 1,
		 view->stack_first + (lines > 0), end, lines);
	stack_title(line, text);
}

/* ---- all of it ------------------------------------------------------------------------------ */

static void help_draw(int rows)
{
	static const char *const lines[] = {
	    "up, down, PgUp, PgDn, Home, End   choose a row",
	    "s >   <                           sort by the next, the previous column",
	    "c                                 class: all, malloc, python, mmap",
	    "b                                 rows by site, function, line, file",
	    "Enter                             stack of the row: show, hide",
	    "[  ]                              scroll the stack",
	    "p                                 pause the ranking, go on",
	    "m                                 mark: a snapshot now, as by SIGUSR1",
	    "/                                 only rows with this text; Esc: all",
	    "q                                 quit; the recording stays",
	    "",
	    "growth, rate: since the recording began. kept: of what was allocated early,",
	    "how much is alive. trend: live bytes. Verdicts: see seep(8). A key goes back.",
	};

	for (int i = 0; i < rows && i < (int)ARRAY_LEN(lines); i++)
		put(HEADER_LINES + 1 + i, 1, COLS - 1, lines[i]);
}

static void foot_draw(const struct screen_view *view)
{
	fill(LINES - 1, A_REVERSE);
	if (view->editing)
		put(LINES - 1, 0, COLS, "filter: type a text; Enter keeps it, Esc drops it");
	else
		put(LINES - 1, 0, COLS,
		    view->message[0] ? view->message
				     : "q quit  s sort  c class  b by  Enter stack  p pause  "
				       "m mark  / filter  ? help");
	attrset(0);
}

void screen_draw(struct screen_view *view)
{
	int body = LINES - HEADER_LINES - 2, stack_rows = 0;

	erase();
	attrset(0);
	if (LINES < LEAST_LINES || COLS < LEAST_COLUMNS) {
		put(0, 0, COLS, "seep top: too small (40x8)");
		refresh();
		return;
	}
	if (view->stack_shown && body >= 7) {
		stack_rows = body / 3 < STACK_MOST ? body / 3 : STACK_MOST;
		body -= stack_rows + 1;
	}
	terminal.page_rows = body;
	head_draw(&view->figures);
	rates_draw(view);
	state_draw(view);
	if (view->help_shown) {
		help_draw(LINES - HEADER_LINES - 2);
	} else {
		table_draw(view, body);
		if (stack_rows)
			stack_draw(view, HEADER_LINES + 1 + body, stack_rows);
	}
	foot_draw(view);
	refresh();
}
