/* SPDX-License-Identifier: GPL-2.0-only */
/* terminal.c - see terminal.h. Apart from screen.c: term.h takes names like 'columns' for itself.
 */
#include <curses.h>
#include <errno.h>
#include <stdlib.h>
#include <term.h>
#include <unistd.h>

#include "base/err.h"
#include "tui/terminal.h"

int terminal_check(struct err *err)
{
	const char *name = getenv("TERM");
	bool usable;
	int found;

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return err_set(err, ENOTTY,
			       "top draws on a terminal, but standard %s is none; 'seep record' "
			       "works without",
			       isatty(STDIN_FILENO) ? "output" : "input");
	if (!name || !name[0])
		return err_set(err, ENOTTY,
			       "top cannot draw on an unknown terminal: TERM is not set");
	if (setupterm(name, STDOUT_FILENO, &found) == ERR)
		return err_set(err, ENOTTY,
			       "top does not know terminals of type '%s': set TERM, for example to "
			       "xterm",
			       name);
	usable = cursor_address && clear_screen;
	del_curterm(cur_term); /* screen_open() reads it again */
	if (!usable)
		return err_set(err, ENOTTY,
			       "top cannot draw on terminals of type '%s': the cursor cannot be "
			       "placed",
			       name);
	return 0;
}
