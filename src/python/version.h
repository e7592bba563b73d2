/* SPDX-License-Identifier: GPL-2.0-only */
/* version.h - which CPython a file holds, and how it was built. */
#ifndef SEEP_PYTHON_VERSION_H
#define SEEP_PYTHON_VERSION_H

#include <stdbool.h>
#include <stdint.h>

struct python_image;

struct python_version {
	int major, minor; /* 0, 0: cannot be told */
	int patch;	  /* -1: cannot be told */
	char text[24];	  /* "3.11.2", "3.13.0rc1", "3.8"; "" */
	bool development; /* alpha or beta: structures still move */
	bool free_threaded;
	bool debug;	  /* Py_DEBUG or Py_TRACE_REFS: other structures */
	uint64_t runtime; /* ELF address of _PyRuntime, 0: there is none */
	bool has_debug_offsets;
	char contradiction[96]; /* what _Py_DebugOffsets says against our table; "" */
};

/*
 * From, in this order: Py_Version (3.11 on), _Py_DebugOffsets (3.13 on), the text that
 * Py_GetVersion formats, the file's name. Nothing but the file is looked at.
 */
void python_version_read(const struct python_image *image, struct python_version *version);

#endif
