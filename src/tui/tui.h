/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tui.h - the live view of a recording: a thread of its own that reads the file, ranks, draws and
 * takes keys, so that whoever empties the ring never waits for it.
 *
 * The recording and the view take turns at the file: tui_file_take() before it is written,
 * tui_file_give() after, upon which the view reads it, with less than its share of the CPU and so
 * seldom that it takes a fifth of a core at most. All functions but tui_start() and tui_stop() may
 * be called from any thread and return at once, unless it is said otherwise.
 */
#ifndef SEEP_TUI_TUI_H
#define SEEP_TUI_TUI_H

#include <stdbool.h>

#include "tui/screen.h"

struct err;
struct tui;

enum tui_command {
	TUI_QUIT = 1,
	TUI_MARK = 2,
};

/* Take over the terminal; 'path' is the file to read. terminal_check() was asked before. Returns 0
 * or -errno. */
int tui_start(const char *path, struct tui **tui, struct err *err);

/* Give the terminal back; NULL allowed. Waits for the thread, unless the terminal takes no more
 * bytes: after some seconds it is left to itself. */
void tui_stop(struct tui *tui);

/* Readable when there are commands. */
int tui_command_fd(const struct tui *tui);
/* What was asked for since the last call, a set of enum tui_command. */
unsigned int tui_commands(struct tui *tui);

void tui_show(struct tui *tui, const struct screen_figures *figures);
void tui_message(struct tui *tui, const char *text);
void tui_resized(struct tui *tui);

/* May the file be written? With 'wait' it waits for the view to be done with it, at most some
 * seconds. */
bool tui_file_take(struct tui *tui, bool wait);
void tui_file_give(struct tui *tui);

#endif
