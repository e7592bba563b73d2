/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * code_book.h - the Python functions of a recording: from code objects as the kernel numbers them to
 * functions and lines as they are written.
 *
 * Each process has code objects of its own, and a new number for each. A function is what they have in
 * common: name, file and line table. So frames of several workers, or of a text that is compiled again
 * and again, are the same frame.
 */
#ifndef SEEP_STORE_CODE_BOOK_H
#define SEEP_STORE_CODE_BOOK_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/abi_types.h"

struct code_book;
struct python_code;

struct code_book *code_book_new(void); /* NULL when memory is out */
void code_book_free(struct code_book *book); /* NULL allowed */

/*
 * Take a RECORD_CODE. 'pid' and 'layout' serve to read what did not fit into it; pid 0: do not.
 * Returns 0, -ENOMEM. A record that is not valid is left out.
 */
int code_book_add(struct code_book *book, const struct code_record *record, size_t bytes, pid_t pid,
		  const struct python_layout *layout);

/*
 * A FRAME_PYTHON of a stack record as it is written: function and line instead of code object and
 * instruction. Sets 'code' (the book's) and 'line' (0: unknown). Returns 0 if the frame is not to be
 * shown, because it has not begun its body, or its record was never sent.
 */
uint64_t code_book_frame(const struct code_book *book, uint64_t frame,
			 const struct python_code **code, uint32_t *line);

#endif
