/* SPDX-License-Identifier: GPL-2.0-only */
/* err.h - one failure: a code and one line of text for the user. */
#ifndef SEEP_BASE_ERR_H
#define SEEP_BASE_ERR_H

#define ERR_TEXT_MAX 512

/* Owned by the caller; all functions accept NULL for "nobody wants the text". */
struct err {
	int code; /* errno value, positive; 0 while nothing failed */
	char text[ERR_TEXT_MAX];
};

/*
 * Record a failure: what was seen, why, what to do; lower case, no full stop, objects in quotes.
 * %m in 'format' prints strerror(errno). Returns -code, so that a failure is one statement:
 *	return err_set(err, errno, "cannot open '%s': %m", path);
 */
int err_set(struct err *err, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Put the outer subject in front of the text ("subject: text"). Returns -err->code (or -EIO). */
int err_context(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
