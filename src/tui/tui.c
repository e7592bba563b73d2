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

#define STACK_BYTES	(8 << 20) /* as the main thread has, which ranks in seep report */
#define REDRAW_MS	500	  /* the figures of the header */
#define RESTS_PER_LOAD	4	  /* after a load of 1 s it rests 4 s: a fifth of a core */
#define MESSAGE_SECONDS 8
#define FILE_WAIT_S	30 /* longer than reading any recording takes */
#define STOP_WAIT_S	3
#define NICENESS	10
#define MESSAGE_MAX	256

struct tui {
	pthread_t drawer; /* draws and takes keys */
	pthread_t loader; /* reads the file and ranks, which may take seconds */
	char *path;
	int wake_fd;	/* for the drawer */
	int command_fd; /* for the recording */

	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t file_free, work;
	struct screen_figures figures;
	char message[MESSAGE_MAX];
	uint64_t message_ns;
	unsigned int commands;
	struct list_options wanted; /* as the drawer will arrange them */
	struct list *fresh;	    /* loaded, and not taken yet */
	bool reading, writing;	    /* the file; never both */
	bool written;		    /* since it was read */
	bool paused, resized, stopping;

	/* of the drawer alone */
	struct screen_view view;
	struct list *list;
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

/* ---- the recording's side ------------------------------------------------------------------- */

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
	pthread_cond_signal(&tui->work);
	pthread_mutex_unlock(&tui->lock);
}

/* ---- the loader ----------------------------------------------------------------------------- */

static void list_drop(struct list *list)
{
	if (list)
		list_free(list);
	free(list);
}

/* Wait for something new in the file. Returns false when it is time to end. */
static bool reading_begin(struct tui *tui)
{
	bool begun;

	pthread_mutex_lock(&tui->lock);
	while (!tui->stopping && (!tui->written || tui->writing || tui->paused))
		pthread_cond_wait(&tui->work, &tui->lock);
	begun = !tui->stopping;
	tui->reading = begun;
	if (begun)
		tui->written = false;
	pthread_mutex_unlock(&tui->lock);
	return begun;
}

static void reading_end(struct tui *tui, struct list_options *options)
{
	pthread_mutex_lock(&tui->lock);
	tui->reading = false;
	*options = tui->wanted;
	pthread_cond_broadcast(&tui->file_free);
	pthread_mutex_unlock(&tui->lock);
}

static void fresh_give(struct tui *tui, struct list *list)
{
	struct list *before;

	pthread_mutex_lock(&tui->lock);
	before = tui->fresh;
	tui->fresh = list;
	pthread_mutex_unlock(&tui->lock);
	list_drop(before);
	ring(tui->wake_fd);
}

static void load_once(struct tui *tui)
{
	struct list *list = calloc(1, sizeof(*list));
	struct list_options options;
	struct err err = {0};
	int status =
	    list ? list_load(list, tui->path, &err) : err_set(&err, ENOMEM, "out of memory");

	reading_end(tui, &options);
	if (!status)
		status = list_arrange(list, &options, &err);
	if (!status) {
		fresh_give(tui, list);
		return;
	}
	list_drop(list);
	tui_message(tui, err.text);
}

/* Returns false when it is time to end. */
static bool load_rest(struct tui *tui, uint64_t rest_ns)
{
	struct timespec until;
	bool stopping;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += rest_ns % NS_PER_S;
	until.tv_sec += rest_ns / NS_PER_S + until.tv_nsec / NS_PER_S;
	until.tv_nsec %= NS_PER_S;
	pthread_mutex_lock(&tui->lock);
	while (!tui->stopping && pthread_cond_timedwait(&tui->work, &tui->lock, &until) == 0)
		;
	stopping = tui->stopping;
	pthread_mutex_unlock(&tui->lock);
	return !stopping;
}

static void *loader_run(void *context)
{
	struct tui *tui = context;

	setpriority(PRIO_PROCESS, gettid(), NICENESS); /* of this thread: setpriority(2), NOTES */
	while (reading_begin(tui)) {
		uint64_t begin = now_ns();

		load_once(tui);
		if (!load_rest(tui, RESTS_PER_LOAD * (now_ns() - begin)))
			break;
	}
	return NULL;
}

/* ---- rows ----------------------------------------------------------------------------------- */

/* The selection stays on its row, wherever that has gone. */
static void selection_find(struct tui *tui)
{
	ssize_t row = tui->follows ? list_find(tui->list, tui->selected_key) : 0;

	if (row >= 0)
		tui->view.selected = row;
}

/* Take what was loaded. */
static void fresh_take(struct tui *tui)
{
	struct list *fresh = NULL;
	struct err err = {0};

	pthread_mutex_lock(&tui->lock);
	if (!tui->paused)
		fresh = TAKE_PTR(tui->fresh);
	pthread_mutex_unlock(&tui->lock);
	if (!fresh)
		return;
	list_drop(tui->list);
	tui->list = fresh;
	tui->view.list = fresh;
	if (list_arrange(fresh, &tui->view.options, &err)) /* the options may have changed */
		tui_message(tui, err.text);
	selection_find(tui);
}

/* What other rows, or another order, begin with. */
static void rows_change(struct tui *tui)
{
	struct err err = {0};

	pthread_mutex_lock(&tui->lock);
	tui->wanted = tui->view.options;
	pthread_mutex_unlock(&tui->lock);
	tui->follows = false;
	tui->view.stack_scrolled = false;
	tui->view.selected = tui->view.first = 0;
	if (tui->list->loaded && list_arrange(tui->list, &tui->view.options, &err))
		tui_message(tui, err.text);
}

/* ---- keys ----------------------------------------------------------------------------------- */

static void command_send(struct tui *tui, enum tui_command command)
{
	pthread_mutex_lock(&tui->lock);
	tui->commands |= command;
	pthread_mutex_unlock(&tui->lock);
	ring(tui->command_fd);
}

static void row_select(struct tui *tui, size_t row)
{
	if (!tui->list->count)
		return;
	if (row >= tui->list->count)
		row = tui->list->count - 1;
	tui->view.selected = row;
	tui->view.stack_scrolled = false;
	tui->follows = row > 0;
	tui->selected_key = list_key(tui->list, row);
}

static void row_move(struct tui *tui, size_t rows, bool down)
{
	size_t selected = tui->view.selected;

	row_select(tui, down ? selected + rows : selected > rows ? selected - rows : 0);
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
	pthread_mutex_lock(&tui->lock);
	tui->paused = tui->view.paused;
	pthread_cond_signal(&tui->work);
	pthread_mutex_unlock(&tui->lock);
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
		tui->view.stack_scrolled = true;
		tui->view.stack_first -= tui->view.stack_first > 0;
		break;
	case ']':
		tui->view.stack_scrolled = true;
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

/* ---- the drawer ----------------------------------------------------------------------------- */

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

static void *drawer_run(void *context)
{
	struct tui *tui = context;

	while (news_take(tui)) {
		struct pollfd fds[] = {{STDIN_FILENO, POLLIN, 0}, {tui->wake_fd, POLLIN, 0}};

		fresh_take(tui);
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

/* ---- begin and end -------------------------------------------------------------------------- */

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
	list_drop(tui->list);
	list_drop(tui->fresh);
	close_fd(&tui->wake_fd);
	close_fd(&tui->command_fd);
	pthread_mutex_destroy(&tui->lock);
	pthread_cond_destroy(&tui->file_free);
	pthread_cond_destroy(&tui->work);
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
	pthread_cond_init(&tui->work, NULL);
	tui->path = strdup(path);
	tui->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	tui->command_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	tui->list = calloc(1, sizeof(*tui->list)); /* of nothing yet */
	tui->view.list = tui->list;
	tui->view.message = tui->shown_message;
	tui->view.options.alloc_class = CLASS_COUNT;
	tui->view.stack_shown = true;
	tui->wanted = tui->view.options;
	if (tui->path && tui->list && tui->wake_fd >= 0 && tui->command_fd >= 0)
		return tui;
	tui_free(tui);
	return NULL;
}

static void threads_ask_to_end(struct tui *tui)
{
	pthread_mutex_lock(&tui->lock);
	tui->stopping = true;
	pthread_cond_broadcast(&tui->work);
	pthread_mutex_unlock(&tui->lock);
	ring(tui->wake_fd);
}

static int threads_start(struct tui *tui, struct err *err)
{
	int status = thread_start(&tui->loader, STACK_BYTES, loader_run, tui);

	if (!status) {
		status = thread_start(&tui->drawer, STACK_BYTES, drawer_run, tui);
		if (status) {
			threads_ask_to_end(tui);
			pthread_join(tui->loader, NULL);
		}
	}
	return status ? err_set(err, -status, "cannot start a thread: %s", strerror(-status)) : 0;
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
		status = threads_start(new, err);
		if (status)
			screen_close();
	}
	if (status) {
		signals_set(false);
		tui_free(new);
		return status;
	}
	*tui = new;
	return 0;
}

static bool thread_ends(pthread_t thread)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += STOP_WAIT_S;
	return !pthread_timedjoin_np(thread, NULL, &until);
}

void tui_stop(struct tui *tui)
{
	bool drawer_ended, loader_ended;

	if (!tui)
		return;
	threads_ask_to_end(tui);
	drawer_ended = thread_ends(tui->drawer);
	if (drawer_ended)
		screen_close();
	else
		screen_restore(); /* it hangs in a write to the terminal */
	signals_set(false);
	loader_ended = thread_ends(tui->loader);
	if (drawer_ended && loader_ended)
		tui_free(tui); /* else it stays theirs until the process ends */
}
