/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * cfi.h - .eh_frame of one ELF file, compiled to the rows that bpf/unwind.bpf.h walks.
 *
 * Formats: DWARF 5 section 6.4, LSB "Exception Frames" (augmentations z R P L S B), System V ABI
 * x86-64 register numbers. Where .eh_frame has no section header, PT_GNU_EH_FRAME leads to it.
 *
 * The row for an address is the last one whose pc is at or below it. No two rows have the same pc,
 * but for those of kind UNWIND_WIDE: such a row (cfa_off8: the base, USER_REG_RSP or USER_REG_RBP)
 * comes right behind one of the same pc whose other four bytes are the CFA's offset from the base,
 * a signed number of bytes. So a search never ends at the number. Gaps of more than 15 bytes
 * between functions, and the end of the last one, have rows of kind UNWIND_END.
 */
#ifndef SEEP_UNWIND_CFI_H
#define SEEP_UNWIND_CFI_H

#include <stddef.h>
#include <stdint.h>

#include "base/abi_types.h"

struct elf_file;
struct err;

enum cfi_rows {
	CFI_CALL_SITES, /* only rows that a return address can fall in: 13 times fewer */
	CFI_ALL_ROWS,
};

struct cfi_table {
	struct unwind_row *rows; /* sorted by pc; pc counts from text_vaddr */
	size_t row_count;
	uint64_t text_vaddr;  /* elf_file_text_vaddr() */
	size_t raw_row_count; /* before merging and dropping */
	size_t fde_count;
	size_t unsupported_count; /* rows of kind UNWIND_UNSUP */
	size_t skipped_count;	  /* CIEs and FDEs that could not be read */
};

/*
 * Compile the table. A file without .eh_frame gives row_count 0. Hostile input never crashes;
 * what cannot be read is skipped and counted. Returns 0, -ENOMEM, -E2BIG (more than 1 Mi rows).
 */
int cfi_compile(const struct elf_file *elf, enum cfi_rows which, struct cfi_table *table,
		struct err *err);
void cfi_table_free(struct cfi_table *table);

#endif
