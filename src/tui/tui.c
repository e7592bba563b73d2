/* SPDX-License-Identifier: GPL-2.0-only */
/* tui.c - see tui.h */
#include "tui/tui.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/thread.h"
#include "base/units.h"

#define STACK_BYTES	(1 << 20)
#define REDRAW_MS	500 /* the figures of the header */
#define RESTS_PER_LOAD	4   /* after a load of 1 s it rests 4 s: a fifth of a core */
#define MESSAGE_SECONDS 8
#define FILE_WAIT_S	30 /* longer than reading any recording takes */
#define STOP_WAIT_S	3
#define NICENESS	10
#define MESSAGE_MAX	256

struct tui {
	pthread_t thread;
	char *path;
	int wake_fd;	/* for the thread */
	int command_fd; /* for the recording */

	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t file_free;
	struct screen_figures figures;
	char message[MESSAGE_MAX];
	uint64_t message_ns;
	unsigned int commands;
	bool reading, writing; /* the file; never both */
	bool written;	       /* since it was read */
	bool resized, stopping;

	/* of the thread alone */
	struct screen_view view;
	struct list list;
	uint64_t next_load_ns;
	uint64_t selected_key; /* of the row that the selection follows */
	bool follows;	       /* false: it stays in the first row */
	char shown_message[MESSAGE_MAX];
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

/* ---- the recording's side -----------------------------------------------------------------------
 */

static void ring(int fd)
{
	uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) < 0)
		return; /* it is ringing already */
}

static void ring_taken(int fd)
{
	uint64_t count;

	if (read(fd, &count, sizeof(count)) < 0)
		return;
}

int tui_command_fd(const struct tui *tui)
{
	return tui->command_fd;
}

unsigned int tui_commands(struct tui *tui)
{
	unsigned int commands;

	pthread_mutex_lock(&tui->lock);
	commands = tui->commands;
	tui->commands = 0;
	ring_taken(tui->command_fd);
	pthread_mutex_unlock(&tui->lock);
	return commands;
}

void tui_show(struct tui *tui, const struct screen_figures *figures)
{
	pthread_mutex_lock(&tui->lock);
	tui->figures = *figures;
	pthread_mutex_unlock(&tui->lock);
}

void tui_message(struct tui *tui, const char *text)
{
	pthread_mutex_lock(&tui->lock);
	snprintf(tui->message, sizeof(tui->message), "%s", text);
	tui->message_ns = now_ns();
	pthread_mutex_unlock(&tui->lock);
	ring(tui->wake_fd);
}

void tui_resized(struct tui *tui)
{
	pthread_mutex_lock(&tui->lock);
	tui->resized = true;
	pthread_mutex_unlock(&tui->lock);
	ring(tui->wake_fd);
}

bool tui_file_take(struct tui *tui, bool wait)
{
	struct timespec until;
	bool taken;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += FILE_WAIT_S;
	pthread_mutex_lock(&tui->lock);
	while (wait && tui->reading)
		if (pthread_cond_timedwait(&tui->file_free, &tui->lock, &until) == ETIMEDOUT)
			break;
	taken = !tui->reading;
	tui->writing = taken;
	pthread_mutex_unlock(&tui->lock);
	return taken;
}

void tui_file_give(struct tui *tui)
{
	pthread_mutex_lock(&tui->lock);
	tui->writing = false;
	tui->written = true;
	pthread_mutex_unlock(&tui->lock);
	ring(tui->wake_fd);
}

/* ---- reading ------------------------------------------------------------------------------------
 */

static bool reading_begin(struct tui *tui)
{
	bool begun;

	pthread_mutex_lock(&tui->lock);
	begun = tui->written && !tui->writing && !tui->stopping;
	if (begun) {
		tui->reading = true;
		tui->written = false;
	}
	pthread_mutex_unlock(&tui->lock);
	return begun;
}

static void reading_end(struct tui *tui)
{
	pthread_mutex_lock(&tui->lock);
	tui->reading = false;
	pthread_cond_broadcast(&tui->file_free);
	pthread_mutex_unlock(&tui->lock);
}

/* The selection stays on its row, wherever that has gone. */
static void rows_arrange(struct tui *tui)
{
	struct err err = {0};
	ssize_t row;

	if (!tui->list.loaded)
		return;
	if (list_arrange(&tui->list, &tui->view.options, &err)) {
		tui_message(tui, err.text);
		return;
	}
	row = tui->follows ? list_find(&tui->list, tui->selected_key) : 0;
	if (row >= 0)
		tui->view.selected = row;
}

static void rows_load(struct tui *tui)
{
	struct err err = {0};
	uint64_t begin = now_ns();
	int status;

	if (tui->view.paused || begin < tui->next_load_ns || !reading_begin(tui))
		return;
	status = list_load(&tui->list, tui->path, &err);
	reading_end(tui);
	if (status)
		tui_message(tui, err.text);
	else
		rows_arrange(tui);
	tui->next_load_ns = now_ns() + RESTS_PER_LOAD * (now_ns() - begin);
}

/* ---- keys ---------------------------------------------------------------------------------------
 */

static void command_send(struct tui *tui, enum tui_command command)
{
	pthread_mutex_lock(&tui->lock);
	tui->commands |= command;
	pthread_mutex_unlock(&tui->lock);
	ring(tui->command_fd);
}

static void row_select(struct tui *tui, size_t row)
{
	if (!tui->list.count)
		return;
	if (row >= tui->list.count)
		row = tui->list.count - 1;
	tui->view.selected = row;
	tui->view.stack_first = 0;
	tui->follows = row > 0;
	tui->selected_key = list_key(&tui->list, row);
}

static void row_move(struct tui *tui, size_t rows, bool down)
{
	size_t selected = tui->view.selected;

	row_select(tui, down ? selected + rows : selected > rows ? selected - rows : 0);
}

/* What other rows, or another order, begin with. */
static void rows_change(struct tui *tui)
{
	tui->follows = false;
	tui->view.selected = tui->view.first = tui->view.stack_first = 0;
	rows_arrange(tui);
}

static void class_next(struct tui *tui)
{
	static const uint32_t order[] = {CLASS_COUNT, CLASS_MALLOC, CLASS_PYTHON, CLASS_MMAP};
	size_t at = 0;

	while (at < ARRAY_LEN(order) - 1 && order[at] != tui->view.options.alloc_class)
		at++;
	tui->view.options.alloc_class = order[(at + 1) % ARRAY_LEN(order)];
	rows_change(tui);
}

static void grouping_next(struct tui *tui)
{
	static const enum group_by order[] = {GROUP_SITE, GROUP_FUNCTION, GROUP_LINE, GROUP_FILE};
	size_t at = 0;

	while (at < ARRAY_LEN(order) - 1 && order[at] != tui->view.options.by)
		at++;
	tui->view.options.by = order[(at + 1) % ARRAY_LEN(order)];
	rows_change(tui);
}

static void sort_step(struct tui *tui, int step)
{
	int sort = (int)tui->view.options.sort + step + LIST_SORT_COUNT;

	tui->view.options.sort = sort % LIST_SORT_COUNT;
	rows_change(tui);
}

/* Bytes of the last character, to be taken back. */
static size_t last_bytes(const char *text)
{
	size_t length = strlen(text), bytes = 0;

	while (bytes < length && ((unsigned char)text[length - 1 - bytes] & 0xc0) == 0x80)
		bytes++;
	return bytes < length ? bytes + 1 : length;
}

static void text_add(char text[LIST_TEXT_MAX], uint32_t character)
{
	char bytes[5] = "";
	size_t length = strlen(text);

	if (character < 0x80)
		bytes[0] = character;
	else if (character < 0x800)
		bytes[0] = 0xc0 | character >> 6, bytes[1] = 0x80 | (character & 0x3f);
	else if (character < 0x10000)
		bytes[0] = 0xe0 | character >> 12, bytes[1] = 0x80 | (character >> 6 & 0x3f),
		bytes[2] = 0x80 | (character & 0x3f);
	else
		bytes[0] = 0xf0 | character >> 18, bytes[1] = 0x80 | (character >> 12 & 0x3f),
		bytes[2] = 0x80 | (character >> 6 & 0x3f), bytes[3] = 0x80 | (character & 0x3f);
	if (length + strlen(bytes) < LIST_TEXT_MAX)
		memcpy(text + length, bytes, strlen(bytes) + 1);
}

static void edit_key(struct tui *tui, uint32_t key)
{
	char *text = tui->view.options.text;

	if (key == SCREEN_ENTER || key == SCREEN_ESCAPE)
		tui->view.editing = false;
	if (key == SCREEN_ESCAPE)
		text[0] = '\0';
	else if (key == SCREEN_BACKSPACE)
		text[strlen(text) - last_bytes(text)] = '\0';
	else if (key >= ' ' && key < SCREEN_NONE)
		text_add(text, key);
	rows_change(tui);
}

static void pause_switch(struct tui *tui)
{
	tui->view.paused = !tui->view.paused;
	tui->next_load_ns = 0;
}

static void filter_drop(struct tui *tui)
{
	tui->view.options.text[0] = '\0';
	rows_change(tui);
}

static void move_key(struct tui *tui, uint32_t key)
{
	switch (key) {
	case SCREEN_UP:
	case 'k':
		row_move(tui, 1, false);
		break;
	case SCREEN_DOWN:
	case 'j':
		row_move(tui, 1, true);
		break;
	case SCREEN_PAGE_UP:
		row_move(tui, screen_page_rows(), false);
		break;
	case SCREEN_PAGE_DOWN:
		row_move(tui, screen_page_rows(), true);
		break;
	case SCREEN_HOME:
		row_select(tui, 0);
		break;
	case SCREEN_END:
		row_select(tui, SIZE_MAX);
		break;
	case '[':
		tui->view.stack_first -= tui->view.stack_first > 0;
		break;
	case ']':
		tui->view.stack_first++; /* as far as there are frames: screen_draw() */
		break;
	}
}

static void plain_key(struct tui *tui, uint32_t key)
{
	switch (key) {
	case 'q':
	case 'Q':
		command_send(tui, TUI_QUIT);
		break;
	case 'm':
		command_send(tui, TUI_MARK);
		break;
	case 's':
	case '>':
		sort_step(tui, 1);
		break;
	case '<':
		sort_step(tui, -1);
		break;
	case 'c':
		class_next(tui);
		break;
	case 'b':
		grouping_next(tui);
		break;
	case 'p':
		pause_switch(tui);
		break;
	case SCREEN_ENTER:
		tui->view.stack_shown = !tui->view.stack_shown;
		break;
	case '/':
		tui->view.editing = true;
		break;
	case SCREEN_ESCAPE:
		filter_drop(tui);
		break;
	case '?':
	case 'h':
		tui->view.help_shown = true;
		break;
	default:
		move_key(tui, key);
	}
}

static void keys_take(struct tui *tui)
{
	uint32_t key;

	while ((key = screen_key()) != SCREEN_NONE) {
		if (tui->view.editing)
			edit_key(tui, key);
		else if (tui->view.help_shown && key != 'q')
			tui->view.help_shown = key == SCREEN_OTHER;
		else
			plain_key(tui, key);
	}
}

/* ---- the thread ---------------------------------------------------------------------------------
 */

/* Copies what the recording tells. Returns false when it is time to end. */
static bool news_take(struct tui *tui)
{
	bool resized, stopping;

	pthread_mutex_lock(&tui->lock);
	tui->view.figures = tui->figures;
	if (tui->message[0] && now_ns() - tui->message_ns > MESSAGE_SECONDS * NS_PER_S)
		tui->message[0] = '\0';
	memcpy(tui->shown_message, tui->message, sizeof(tui->message));
	resized = tui->resized;
	tui->resized = false;
	stopping = tui->stopping;
	pthread_mutex_unlock(&tui->lock);
	if (resized)
		screen_resize();
	return !stopping;
}

static bool is_stopping(struct tui *tui)
{
	bool stopping;

	pthread_mutex_lock(&tui->lock);
	stopping = tui->stopping;
	pthread_mutex_unlock(&tui->lock);
	return stopping;
}

static void *thread_run(void *context)
{
	struct tui *tui = context;

	setpriority(PRIO_PROCESS, gettid(), NICENESS); /* of this thread: setpriority(2), NOTES */
	while (news_take(tui)) {
		struct pollfd fds[] = {{STDIN_FILENO, POLLIN, 0}, {tui->wake_fd, POLLIN, 0}};

		rows_load(tui);
		if (is_stopping(tui)) /* the terminal may not be ours any more */
			break;
		screen_draw(&tui->view);
		poll(fds, ARRAY_LEN(fds), REDRAW_MS);
		if (fds[1].revents)
			ring_taken(tui->wake_fd);
		if (fds[0].revents & (POLLHUP | POLLERR | POLLNVAL)) {
			command_send(tui, TUI_QUIT); /* the terminal is gone */
			poll(NULL, 0, REDRAW_MS);
		}
		keys_take(tui);
	}
	return NULL;
}

/* ---- begin and end ------------------------------------------------------------------------------
 */

static const int fatal_signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGQUIT};

static void on_fatal(int number)
{
	screen_restore();
	signal(number, SIG_DFL);
	raise(number);
}

/* A core dump, too, leaves a terminal that can be used. Suspending would let the kernel's ring run
 * over: a recording cannot pause. */
static void signals_set(bool ours)
{
	for (size_t i = 0; i < ARRAY_LEN(fatal_signals); i++)
		signal(fatal_signals[i], ours ? on_fatal : SIG_DFL);
	signal(SIGTSTP, ours ? SIG_IGN : SIG_DFL);
}

static void tui_free(struct tui *tui)
{
	list_free(&tui->list);
	close_fd(&tui->wake_fd);
	close_fd(&tui->command_fd);
	pthread_mutex_destroy(&tui->lock);
	pthread_cond_destroy(&tui->file_free);
	free(tui->path);
	free(tui);
}

static struct tui *tui_new(const char *path)
{
	struct tui *tui = calloc(1, sizeof(*tui));

	if (!tui)
		return NULL;
	pthread_mutex_init(&tui->lock, NULL);
	pthread_cond_init(&tui->file_free, NULL);
	tui->path = strdup(path);
	tui->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	tui->command_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	tui->view.list = &tui->list;
	tui->view.message = tui->shown_message;
	tui->view.options.alloc_class = CLASS_COUNT;
	tui->view.stack_shown = true;
	tui->list.shown = &tui->list.view;
	if (tui->path && tui->wake_fd >= 0 && tui->command_fd >= 0)
		return tui;
	tui_free(tui);
	return NULL;
}

int tui_start(const char *path, struct tui **tui, struct err *err)
{
	struct tui *new = tui_new(path);
	int status;

	if (!new)
		return err_set(err, ENOMEM, "out of memory");
	signals_set(true);
	status = screen_open(err);
	if (!status) {
		status = thread_start(&new->thread, STACK_BYTES, thread_run, new);
		if (status) {
			screen_close();
			err_set(err, -status, "cannot start a thread: %s", strerror(-status));
		}
	}
	if (status) {
		signals_set(false);
		tui_free(new);
		return status;
	}
	*tui = new;
	return 0;
}

void tui_stop(struct tui *tui)
{
	struct timespec until;

	if (!tui)
		return;
	pthread_mutex_lock(&tui->lock);
	tui->stopping = true;
	pthread_mutex_unlock(&tui->lock);
	ring(tui->wake_fd);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += STOP_WAIT_S;
	if (pthread_timedjoin_np(tui->thread, NULL, &until)) {
		screen_restore(); /* it hangs in a write to the terminal */
		signals_set(false);
		return;
	}
	screen_close();
	signals_set(false);
	tui_free(tui);
}
