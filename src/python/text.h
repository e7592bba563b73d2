/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * text.h - code of a stripped interpreter: where functions begin and end, the padding before them,
 * which addresses they name.
 *
 * Bounds come from the search table of .eh_frame_hdr (LSB "Exception Frames"), which strip leaves
 * in place. All addresses are those of the ELF file.
 */
#ifndef SEEP_PYTHON_TEXT_H
#define SEEP_PYTHON_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/abi_types.h"

struct elf_file;

#define TEXT_NOP_MAX 8 /* bytes */

/* The last function that begins at or below 'vaddr'. False if there is none or no table. */
bool text_function_at(const struct elf_file *elf, uint64_t vaddr, struct addr_range *function);

/*
 * Bytes of the one nop that ends where the function at 'vaddr' begins, and which a probe may stand
 * on; 0 if there is none. It lies in padding: behind the end of the function before, with nothing
 * but nops between. One byte is preferred, as every kernel emulates that.
 */
size_t text_nop_before(const struct elf_file *elf, uint64_t vaddr);

/* True if the 'length' bytes at 'code' are one nop as some version of seep may choose it. */
bool text_is_nop(const uint8_t *code, size_t length);

/*
 * True if the function at 'vaddr', or one that it calls or jumps to over at most 'depth' steps,
 * compares with, loads or computes one of the 'count' addresses at 'targets'. Calling one is no
 * such thing.
 */
bool text_names(const struct elf_file *elf, uint64_t vaddr, const uint64_t *targets, size_t count,
		int depth);

/* Read a word that 'vaddr' leads to, in a process. Returns false if it cannot be read. */
typedef bool text_reader(void *context, uint64_t vaddr, uint64_t *word);

/*
 * Addresses of the 8-byte operands that the function at 'vaddr' reads on its way straight down, in
 * order, at most 'max' of them: absolute, relative to rip, or to a register that holds what was
 * loaded from such. Returns how many.
 */
size_t text_operands(const struct elf_file *elf, uint64_t vaddr, text_reader *reader, void *context,
		     uint64_t *operands, size_t max);

#endif
