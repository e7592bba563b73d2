/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * screen.h - the terminal of "seep top": the only code that knows of curses. One thread calls it.
 *
 * Names come from foreign binaries: they are made fit for a terminal (export/utf8.h) and cut by the
 * columns that they take, so that nothing of them steers it or runs over a line's end.
 */
#ifndef SEEP_TUI_SCREEN_H
#define SEEP_TUI_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tui/list.h"

struct err;

/* What is known without reading the file; changes several times a second. */
struct screen_figures {
	char target[64]; /* "worker (pid 811)" or "3 processes" */
	char slowdown[32];
	uint64_t elapsed_ns, rss_bytes, lost, sample_bytes; /* 1: every block */
	double live_bytes, events_per_s;
	bool ending; /* the last snapshot is being written */
};

/* All that is drawn. */
struct screen_view {
	struct screen_figures figures;
	const struct list *list; /* not loaded before the second snapshot */
	struct list_options options;
	size_t selected, first; /* rows; screen_draw() keeps them in what there is and what fits */
	size_t stack_first;	/* frame at the top of the stack pane, kept likewise */
	bool stack_scrolled;	/* false: it is the frame that names the row */
	bool stack_shown, help_shown, paused, editing;
	const char *message; /* "": the keys are shown in its place */
};

int screen_open(struct err *err);
void screen_close(void);

/* Back to the state before screen_open() by system calls alone; for signal handlers, and where the
 * thread of the screen hangs. */
void screen_restore(void);

/* The terminal has another size now. */
void screen_resize(void);
void screen_draw(struct screen_view *view);

/* Rows of the table, for a key that turns the page. */
size_t screen_page_rows(void);

enum screen_key { /* beyond the characters of Unicode */
		  SCREEN_NONE = 0x110000,
		  SCREEN_UP,
		  SCREEN_DOWN,
		  SCREEN_PAGE_UP,
		  SCREEN_PAGE_DOWN,
		  SCREEN_HOME,
		  SCREEN_END,
		  SCREEN_ENTER,
		  SCREEN_ESCAPE,
		  SCREEN_BACKSPACE,
		  SCREEN_OTHER,
};

/* The next key that was pressed, a character or of the above; does not wait. */
uint32_t screen_key(void);

#endif
