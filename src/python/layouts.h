/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * layouts.h - where CPython keeps what leads to its threads, per minor version: byte offsets. The
 * structures that frames are made of are in python_layout_of() (python/detect.h).
 */
#ifndef SEEP_PYTHON_LAYOUTS_H
#define SEEP_PYTHON_LAYOUTS_H

#include <stddef.h>
#include <stdint.h>

#define PYTHON_MINOR_MIN 6
#define PYTHON_MINOR_MAX 14
#define PYTHON_KEYS_MAX	 2

struct python_places {
	/* in _PyRuntime; 3.6 has none */
	uint16_t interpreters;		/* head of the list of PyInterpreterState */
	uint16_t keys[PYTHON_KEYS_MAX]; /* of the Py_tss_t of the thread states; the first one is
					 * that of the newer patch releases; NONE: no other */
	uint16_t current_tstate;	/* gilstate.tstate_current; NONE from 3.12 on */
	/* in PyInterpreterState */
	uint16_t interpreter_next;
	uint16_t interpreter_threads;
};

/* NULL for a minor that is not known. */
const struct python_places *python_places_of(int minor);

/* An offset as _Py_DebugOffsets (3.13 on, at the start of _PyRuntime) gives it. */
struct python_debug_offset {
	uint16_t at;	/* in _Py_DebugOffsets: 64 bits */
	uint16_t value; /* what it is in the version that is meant */
	const char *name;
};

#define PYTHON_DEBUG_COOKIE	   "xdebugpy" /* at 0, not NUL-terminated */
#define PYTHON_DEBUG_VERSION	   8	      /* u64: PY_VERSION_HEX */
#define PYTHON_DEBUG_FREE_THREADED 16	      /* u64 */
#define PYTHON_DEBUG_BYTES	   768	      /* that may be looked at */

/* What _Py_DebugOffsets of 3.'minor' must say. Returns how many, 0 if there is none. */
size_t python_debug_offsets_of(int minor, const struct python_debug_offset **offsets);

#endif
