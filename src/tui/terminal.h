/* SPDX-License-Identifier: GPL-2.0-only */
/* terminal.h - can a screen be drawn here? */
#ifndef SEEP_TUI_TERMINAL_H
#define SEEP_TUI_TERMINAL_H

struct err;

/* Standard input and output must be a terminal that terminfo knows and whose cursor can be placed.
 * Returns 0, or -ENOTTY with what is in the way. */
int terminal_check(struct err *err);

#endif
