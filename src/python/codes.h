/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * codes.h - code objects: name, file and line table, from what the kernel copied at first sight.
 *
 * Texts that did not fit into the record, or were not readable just then, are read from the process
 * while it still has the same code object at that address.
 */
#ifndef SEEP_PYTHON_CODES_H
#define SEEP_PYTHON_CODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/abi_types.h"

struct python_code {
	char *name;	 /* qualified from 3.11 on; UTF-8; "[unreadable code object]" at worst */
	char *file;	 /* UTF-8; NULL if not known */
	uint8_t *lines;	 /* co_lnotab, co_linetable */
	size_t lines_bytes;
	int minor;
	int32_t first_line;
	uint32_t first_traceable; /* instruction */
	bool lines_cut;	 /* 'lines' is not all of it: later instructions have no line */
};

/*
 * Decode a record of 'bytes' bytes as sent. 'pid' and 'layout' serve to read what is missing; pid 0:
 * do not. Returns 0 or -ENOMEM, -EINVAL (no such record).
 */
int python_code_decode(const struct code_record *record, size_t bytes, pid_t pid,
		       const struct python_layout *layout, struct python_code *code);
void python_code_free(struct python_code *code);

/* Same name, file, first line and line table: the same function, in whichever process. */
bool python_code_equal(const struct python_code *a, const struct python_code *b);
uint64_t python_code_hash(const struct python_code *code);

/*
 * The line of an instruction as in frames (include/abi.h): 0 if it has none. FRAME_INSTR_NONE is
 * the first line.
 */
uint32_t python_code_line(const struct python_code *code, uint32_t instruction);

/* True if the frame has not begun its body: Python leaves it out of tracebacks (3.11 on,
 * _PyFrame_IsIncomplete, Include/internal/pycore_frame.h). */
bool python_code_is_incomplete(const struct python_code *code, uint32_t instruction);

#endif
