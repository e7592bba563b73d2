/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * layouts.c - the structure offsets of CPython 3.6 to 3.14, x86-64, release builds with the GIL.
 *
 * 3.6.15, 3.7.16, 3.8.18, 3.9.18, 3.10.13, 3.11.7, 3.12.1, 3.13.0: gdb's "ptype /o" on libpython
 * with debug information (struct _ts, _is, pyruntimestate, _frame, _PyInterpreterFrame, _PyCFrame,
 * PyCodeObject, PyASCIIObject, PyCompactUnicodeObject, PyBytesObject). 3.14.10: offsetof() compiled
 * against its headers (Include/internal/pycore_{runtime_structs,interp_structs,
 * interpframe_structs,debug_offsets}.h, Include/cpython/{pystate,code,unicodeobject}.h).
 * Within a minor they stay the same, but for the gilstate of 3.7.0 to 3.7.3.
 */
#include "python/layouts.h"

#include "base/abi_types.h"
#include "base/cleanup.h"
#include "python/detect.h"

#define NONE PYTHON_OFFSET_NONE

/* clang-format off */

/* A str's characters lie behind PyASCIIObject, or PyCompactUnicodeObject; a bytes' behind ob_shash.
 * 3.12 removed wstr (PEP 623). */
#define TEXTS_WITH_WSTR \
	.text_length = 16, .text_state = 32, .text_ascii = 48, .text_other = 72, \
	.bytes_length = 16, .bytes_data = 32
#define TEXTS_WITHOUT_WSTR \
	.text_length = 16, .text_state = 32, .text_ascii = 40, .text_other = 56, \
	.bytes_length = 16, .bytes_data = 32

/* PyFrameObject (struct _frame), 3.6 to 3.10; co_qualname, _co_firsttraceable are of 3.11. */
#define FRAME_OBJECTS \
	.tstate_frame = 24, .cframe_frame = NONE, \
	.frame_previous = 24, .frame_code = 32, \
	.frame_owner = NONE, .frame_entry = NONE, \
	.code_first_traceable = NONE, .code_adaptive = NONE
#define WITHOUT_CFRAME .tstate_cframe = NONE, .cframe_previous = NONE

/* PyCodeObject, 3.6 and 3.7; 3.8 to 3.10: with co_posonlyargcount */
#define CODE_TO_37 \
	.code_bytes = 120, .code_first_line = 36, \
	.code_file = 96, .code_name = 104, .code_lines = 112
#define CODE_TO_310 \
	.code_bytes = 128, .code_first_line = 40, \
	.code_file = 104, .code_name = 112, .code_lines = 120

/* 3.8 and 3.9 do not differ. */
#define LAYOUT_38(minor_) { \
	.minor = minor_, .chain = PYTHON_EVAL_RANGE, FRAME_OBJECTS, WITHOUT_CFRAME, \
	.tstate_thread_id = 176, .frame_bytes = 112, .frame_instr = 104, \
	CODE_TO_310, TEXTS_WITH_WSTR }

static const struct python_layout layouts[] = {
	{
		.minor = 6, .chain = PYTHON_EVAL_RANGE, FRAME_OBJECTS, WITHOUT_CFRAME,
		.tstate_thread_id = 152, .frame_bytes = 128, .frame_instr = 120,
		CODE_TO_37, TEXTS_WITH_WSTR,
	},
	{
		.minor = 7, .chain = PYTHON_EVAL_RANGE, FRAME_OBJECTS, WITHOUT_CFRAME,
		.tstate_thread_id = 176, .frame_bytes = 112, .frame_instr = 104,
		CODE_TO_37, TEXTS_WITH_WSTR,
	},
	LAYOUT_38(8),
	LAYOUT_38(9),
	{
		.minor = 10, .chain = PYTHON_CFRAME_EACH, FRAME_OBJECTS,
		.tstate_cframe = 48, .cframe_previous = 8,
		.tstate_thread_id = 176, .frame_bytes = 104, .frame_instr = 96,
		CODE_TO_310, TEXTS_WITH_WSTR,
	},
	{
		.minor = 11, .chain = PYTHON_CFRAME_ENTRY,
		.tstate_frame = NONE, .tstate_cframe = 56, .tstate_thread_id = 152,
		.cframe_frame = 8, .cframe_previous = 16,
		.frame_bytes = 80, .frame_previous = 48, .frame_code = 32,
		.frame_instr = 56, .frame_owner = 69, .frame_entry = 68,
		.code_bytes = 176, .code_first_line = 72,
		.code_file = 112, .code_name = 128, .code_lines = 136,
		.code_first_traceable = 168, .code_adaptive = 184,
		TEXTS_WITH_WSTR,
	},
	{
		.minor = 12, .chain = PYTHON_SHIM,
		.tstate_frame = NONE, .tstate_cframe = 56, .tstate_thread_id = 136,
		.cframe_frame = 0, .cframe_previous = 8,
		.frame_bytes = 80, .frame_previous = 8, .frame_code = 0,
		.frame_instr = 56, .frame_owner = 70, .frame_entry = NONE,
		.code_bytes = 184, .code_first_line = 68,
		.code_file = 112, .code_name = 128, .code_lines = 136,
		.code_first_traceable = 176, .code_adaptive = 192,
		TEXTS_WITHOUT_WSTR,
	},
	{
		.minor = 13, .chain = PYTHON_SHIM, .frame_mask = 7,
		.tstate_frame = 72, .tstate_cframe = NONE, .tstate_thread_id = 152,
		.cframe_frame = NONE, .cframe_previous = NONE,
		.frame_bytes = 80, .frame_previous = 8, .frame_code = 0,
		.frame_instr = 56, .frame_owner = 70, .frame_entry = NONE,
		.code_bytes = 192, .code_first_line = 68,
		.code_file = 112, .code_name = 128, .code_lines = 136,
		.code_first_traceable = 184, .code_adaptive = 200,
		TEXTS_WITHOUT_WSTR,
	},
	{
		.minor = 14, .chain = PYTHON_SHIM, .frame_mask = 7,
		.tstate_frame = 72, .tstate_cframe = NONE, .tstate_thread_id = 152,
		.cframe_frame = NONE, .cframe_previous = NONE,
		.frame_bytes = 88, .frame_previous = 8, .frame_code = 0,
		.frame_instr = 56, .frame_owner = 74, .frame_entry = NONE,
		.code_bytes = 200, .code_first_line = 68,
		.code_file = 112, .code_name = 128, .code_lines = 136,
		.code_first_traceable = 192, .code_adaptive = 208,
		TEXTS_WITHOUT_WSTR,
	},
};

/* interpreters, { keys }, current_tstate, interpreter_next, interpreter_threads */
static const struct python_places places[] = {
	{ NONE, { NONE, NONE }, NONE, 0, 8 },
	/* in 3.7.0 to 3.7.3 all of gilstate lies 88 bytes lower */
	{ 24, { 1504, 1416 }, 1480, 0, 8 },
	{ 32, { 1392, NONE }, 1368, 0, 8 },
	{ 32, { 584, NONE }, 568, 0, 8 },
	{ 32, { 584, NONE }, 568, 0, 8 },
	{ 40, { 592, NONE }, 576, 0, 16 },
	{ 40, { 1544, NONE }, NONE, 0, 72 },
	{ 632, { 2160, NONE }, NONE, 7264, 7344 },
	{ 808, { 2336, NONE }, NONE, 7272, 7344 },
};

/* struct _Py_DebugOffsets, Include/internal/pycore_runtime.h (3.13), pycore_debug_offsets.h */
static const struct python_debug_offset debug_offsets_13[] = {
	{ 40, 632, "_PyRuntime.interpreters.head" },
	{ 64, 7264, "PyInterpreterState.next" },
	{ 72, 7344, "PyInterpreterState.threads.head" },
	{ 184, 72, "PyThreadState.current_frame" },
	{ 192, 152, "PyThreadState.thread_id" },
	{ 232, 8, "frame.previous" },
	{ 240, 0, "frame.f_executable" },
	{ 248, 56, "frame.instr_ptr" },
	{ 264, 70, "frame.owner" },
	{ 280, 112, "co_filename" },
	{ 296, 128, "co_qualname" },
	{ 304, 136, "co_linetable" },
	{ 312, 68, "co_firstlineno" },
	{ 344, 200, "co_code_adaptive" },
	{ 520, 16, "bytes.ob_size" },
	{ 528, 32, "bytes.ob_sval" },
	{ 544, 32, "str.state" },
	{ 552, 16, "str.length" },
	{ 560, 40, "sizeof(PyASCIIObject)" },
};
static const struct python_debug_offset debug_offsets_14[] = {
	{ 40, 808, "_PyRuntime.interpreters.head" },
	{ 64, 7272, "PyInterpreterState.next" },
	{ 72, 7344, "PyInterpreterState.threads.head" },
	{ 208, 72, "PyThreadState.current_frame" },
	{ 216, 152, "PyThreadState.thread_id" },
	{ 256, 8, "frame.previous" },
	{ 264, 0, "frame.f_executable" },
	{ 272, 56, "frame.instr_ptr" },
	{ 288, 74, "frame.owner" },
	{ 320, 112, "co_filename" },
	{ 336, 128, "co_qualname" },
	{ 344, 136, "co_linetable" },
	{ 352, 68, "co_firstlineno" },
	{ 384, 208, "co_code_adaptive" },
	{ 600, 16, "bytes.ob_size" },
	{ 608, 32, "bytes.ob_sval" },
	{ 624, 32, "str.state" },
	{ 632, 16, "str.length" },
	{ 640, 40, "sizeof(PyASCIIObject)" },
};

/* clang-format on */

_Static_assert(ARRAY_LEN(layouts) == PYTHON_MINOR_MAX - PYTHON_MINOR_MIN + 1, "one per minor");
_Static_assert(ARRAY_LEN(places) == ARRAY_LEN(layouts), "one per minor");

const struct python_layout *python_layout_of(int minor)
{
	if (minor < PYTHON_MINOR_MIN || minor > PYTHON_MINOR_MAX)
		return NULL;
	return &layouts[minor - PYTHON_MINOR_MIN];
}

const struct python_places *python_places_of(int minor)
{
	if (minor < PYTHON_MINOR_MIN || minor > PYTHON_MINOR_MAX)
		return NULL;
	return &places[minor - PYTHON_MINOR_MIN];
}

size_t python_debug_offsets_of(int minor, const struct python_debug_offset **offsets)
{
	switch (minor) {
	case 13:
		*offsets = debug_offsets_13;
		return ARRAY_LEN(debug_offsets_13);
	case 14:
		*offsets = debug_offsets_14;
		return ARRAY_LEN(debug_offsets_14);
	default:
		*offsets = NULL;
		return 0;
	}
}
