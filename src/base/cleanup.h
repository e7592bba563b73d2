/* SPDX-License-Identifier: GPL-2.0-only */
/* cleanup.h - give resources back when a variable goes out of scope. */
#ifndef SEEP_BASE_CLEANUP_H
#define SEEP_BASE_CLEANUP_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(function) __attribute__((cleanup(function)))

static inline void free_ptr(void *pointer)
{
	free(*(void **)pointer);
}

static inline void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void fclose_ptr(FILE **file)
{
	if (*file)
		fclose(*file);
}

static inline void closedir_ptr(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

#define _cleanup_free_	   _cleanup_(free_ptr)
#define _cleanup_close_	   _cleanup_(close_fd)
#define _cleanup_fclose_   _cleanup_(fclose_ptr)
#define _cleanup_closedir_ _cleanup_(closedir_ptr)

/* Hand a resource over: the variable forgets it. */
#define TAKE_PTR(pointer)                                                                          \
	({                                                                                         \
		typeof(pointer) taken_ = (pointer);                                                \
		(pointer) = NULL;                                                                  \
		taken_;                                                                            \
	})
#define TAKE_FD(fd)                                                                                \
	({                                                                                         \
		int taken_ = (fd);                                                                 \
		(fd) = -1;                                                                         \
		taken_;                                                                            \
	})

#define ARRAY_LEN(array) (sizeof(array) / sizeof((array)[0]))

#endif
