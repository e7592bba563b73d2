/* SPDX-License-Identifier: GPL-2.0-only */
/* err.c - see err.h */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int err_set(struct err *err, int code, const char *format, ...)
{
	va_list args;

	if (!err)
		return -code;
	err->code = code;
	va_start(args, format);
	vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	return -code;
}

int err_context(struct err *err, const char *format, ...)
{
	char whole[2 * ERR_TEXT_MAX], *inner;
	va_list args;

	if (!err)
		return -EIO;
	va_start(args, format);
	vsnprintf(whole, ERR_TEXT_MAX - 2, format, args);
	va_end(args);
	inner = whole + strlen(whole);
	memcpy(inner, ": ", 2);
	memcpy(inner + 2, err->text, ERR_TEXT_MAX);
	memcpy(err->text, whole, ERR_TEXT_MAX - 1);
	err->text[ERR_TEXT_MAX - 1] = 0;
	return err->code ? -err->code : -EIO;
}
