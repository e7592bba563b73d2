/* SPDX-License-Identifier: GPL-2.0-only */
/* path.h - paths as texts. */
#ifndef SEEP_BASE_PATH_H
#define SEEP_BASE_PATH_H

#include <string.h>

/* What is behind the last slash; all of it when nothing is. */
static inline const char *path_base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

#endif
