/* SPDX-License-Identifier: GPL-2.0-only */
/* log.c - see log.h */
#include "base/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

static enum log_level current_level = LOG_NORMAL;
static bool status_shown;
static void (*_Atomic line_sink)(const char *line);

void log_set_level(enum log_level level)
{
	current_level = level;
}

enum log_level log_get_level(void)
{
	return current_level;
}

static void erase_status(void)
{
	if (status_shown)
		fputs("\r\033[K", stderr);
	status_shown = false;
}

void log_set_sink(void (*sink)(const char *line))
{
	erase_status();
	line_sink = sink;
}

static void print_line(const char *prefix, const char *format, va_list args)
{
	void (*sink)(const char *line) = line_sink;

	if (sink) {
		char line[LOG_SINK_MAX];
		int used = snprintf(line, sizeof(line), "%s", prefix);

		vsnprintf(line + used, sizeof(line) - used, format, args);
		sink(line);
		return;
	}
	erase_status();
	fputs(prefix, stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
}

#define DEFINE_LOG(name, lowest_level, prefix)                                                     \
	void name(const char *format, ...)                                                         \
	{                                                                                          \
		va_list args;                                                                      \
                                                                                                   \
		if (current_level < (lowest_level))                                                \
			return;                                                                    \
		va_start(args, format);                                                            \
		print_line(prefix, format, args);                                                  \
		va_end(args);                                                                      \
	}

DEFINE_LOG(log_error, LOG_QUIET, "seep: ")
DEFINE_LOG(log_warn, LOG_QUIET, "seep: warning: ")
DEFINE_LOG(log_info, LOG_NORMAL, "seep: ")
DEFINE_LOG(log_debug, LOG_VERBOSE, "seep: debug: ")

/* Columns of the terminal, so that the line never wraps (a wrapped line cannot be erased). */
static int terminal_columns(void)
{
	struct winsize size;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) || size.ws_col < 20)
		return 80;
	return size.ws_col;
}

void log_status(const char *format, ...)
{
	char line[512];
	va_list args;

	if (current_level < LOG_NORMAL || line_sink || !isatty(STDERR_FILENO))
		return;
	erase_status();
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (!line[0])
		return;
	fprintf(stderr, "%.*s", terminal_columns() - 1, line);
	fflush(stderr);
	status_shown = true;
}
