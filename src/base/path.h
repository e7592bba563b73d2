/* SPDX-License-Identifier: GPL-2.0-only */
/* path.h - paths as texts. */
#ifndef SEEP_BASE_PATH_H
#define SEEP_BASE_PATH_H

#include <stdbool.h>
#include <string.h>

/* What is behind the last slash; all of it when nothing is. */
static inline const char *path_base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

/* Are the last parts of 'path' those of 'tail'? "/lib/a/b.py" ends in "a/b.py", not in ".py". */
static inline bool path_ends(const char *path, const char *tail)
{
	size_t length = strlen(path), end = strlen(tail);

	return length >= end && !strcmp(path + length - end, tail) &&
	       (length == end || path[length - end - 1] == '/');
}

#endif
