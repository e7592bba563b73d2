/* SPDX-License-Identifier: GPL-2.0-only */
/* log.h - messages to the person at the terminal, on stderr, one line each. */
#ifndef SEEP_BASE_LOG_H
#define SEEP_BASE_LOG_H

enum log_level {
	LOG_QUIET,   /* errors only */
	LOG_NORMAL,  /* and what a user wants to know */
	LOG_VERBOSE, /* and what helps when something is odd */
};

void log_set_level(enum log_level level);
enum log_level log_get_level(void);

/* Each prints "seep: text\n". A status line that stands on the terminal is erased before. */
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * From here on each line ("seep: text", cut to LOG_SINK_MAX bytes) goes to 'sink', which any thread may
 * call, and not to stderr, where somebody draws a screen. NULL: to stderr again.
 */
#define LOG_SINK_MAX 1024
void log_set_sink(void (*sink)(const char *line));

/* Replaces the status line on a terminal; does nothing elsewhere. "" removes it. */
void log_status(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
