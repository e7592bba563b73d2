/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * eval_range.c - see eval_range.h
 *
 * The split-off part has its own FDE, whose first row is the state of the frame where the jump
 * comes from; a function's first row is CFA = rsp + 8. Formats: LSB Core, "Exception Frames",
 * .eh_frame_hdr.
 */
#include "python/eval_range.h"

#include <string.h>

#include "elf/elf_file.h"
#include "elf/insn.h"
#include "elf/symtab.h"
#include "python/image.h"
#include "unwind/cfi.h"

#define EVAL	       "_PyEval_EvalFrameDefault"
#define EVAL_BYTES_MAX (1U << 20) /* 36 KB in real builds */
#define JUMPS_MAX      256	  /* out of the function, each looked up; a dozen in real builds */

/* DW_EH_PE_*: the encodings that linkers write */
#define PE_PCREL_SDATA4	  0x1b
#define PE_DATAREL_SDATA4 0x3b
#define PE_UDATA4	  0x03

struct range {
	uint64_t start, bytes;
};

/* ---- the FDE of an address, by the table of .eh_frame_hdr ------------------------------------ */

struct fde_table {
	const struct elf_file *elf;
	uint64_t header;       /* ELF address of .eh_frame_hdr */
	const uint8_t *entries; /* pairs of signed 32-bit offsets from 'header': address, FDE */
	uint32_t count;
};

static int32_t read_s32(const uint8_t *at)
{
	int32_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static bool fde_table_open(const struct elf_file *elf, struct fde_table *table)
{
	const Elf64_Phdr *segment = NULL;
	const uint8_t *header;

	for (size_t i = 0; i < elf->segment_count; i++)
		if (elf->segments[i].p_type == PT_GNU_EH_FRAME)
			segment = &elf->segments[i];
	/* version, encodings of the pointer, the count and the table; pointer; count */
	header = segment ? elf_file_at_vaddr(elf, segment->p_vaddr, 12) : NULL;
	if (!header || header[0] != 1 || header[1] != PE_PCREL_SDATA4 || header[2] != PE_UDATA4 ||
	    header[3] != PE_DATAREL_SDATA4)
		return false;
	*table = (struct fde_table){.elf = elf, .header = segment->p_vaddr};
	table->count = (uint32_t)read_s32(header + 8);
	table->entries = elf_file_at_vaddr(elf, segment->p_vaddr + 12, (uint64_t)table->count * 8);
	return table->entries && table->count;
}

static uint64_t entry_address(const struct fde_table *table, uint32_t index, int word)
{
	return table->header + (int64_t)read_s32(table->entries + (uint64_t)index * 8 + 4 * word);
}

/* FDE: length, CIE pointer, first address (relative to its own place), length of the code. */
static bool fde_range(const struct elf_file *elf, uint64_t fde, uint64_t start, struct range *range)
{
	const uint8_t *data = elf_file_at_vaddr(elf, fde, 16);

	if (!data || fde + 8 + (int64_t)read_s32(data + 8) != start)
		return false; /* another encoding than the usual one */
	*range = (struct range){.start = start, .bytes = (uint32_t)read_s32(data + 12)};
	return true;
}

static bool fde_table_find(const struct fde_table *table, uint64_t vaddr, struct range *range)
{
	uint32_t low = 0, high = table->count;

	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;

		if (entry_address(table, middle, 0) <= vaddr)
			low = middle;
		else
			high = middle;
	}
	return fde_range(table->elf, entry_address(table, low, 1), entry_address(table, low, 0),
			 range) &&
	       vaddr >= range->start && vaddr - range->start < range->bytes;
}

/* ---- the split-off part ---------------------------------------------------------------------- */

static bool begins_like_function(const struct cfi_table *rows, uint64_t vaddr)
{
	size_t low = 0, high = rows->row_count;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (rows->rows[middle].pc + rows->text_vaddr <= vaddr)
			low = middle;
		else
			high = middle;
	}
	return !rows->row_count || rows->rows[low].kind == UNWIND_END ||
	       (rows->rows[low].kind == UNWIND_RSP && rows->rows[low].cfa_off8 == 1);
}

static bool symbol_cold_part(const struct elf_file *elf, struct range *cold)
{
	struct symtab *symbols = symtab_new(elf, NULL);
	bool found = false;

	for (size_t i = 0; symbols && i < symtab_count(symbols) && !found; i++) {
		const struct symbol *symbol = symtab_get(symbols, i);

		found = !strncmp(symbol->name, EVAL ".cold", strlen(EVAL ".cold")) &&
			symbol->size_bytes;
		*cold = (struct range){symbol->vaddr, symbol->size_bytes};
	}
	symtab_free(symbols);
	return found;
}

/* The first jump that leads to a part of a function outside this one leads to a part of it. */
static bool jumped_cold_part(const struct elf_file *elf, const uint8_t *code,
			     const struct range *hot, struct range *cold)
{
	struct cfi_table rows = {0};
	struct fde_table fdes;
	struct transfer transfer;
	size_t offset = 0, jumps = 0;
	bool found = false;

	if (!fde_table_open(elf, &fdes) || cfi_compile(elf, CFI_ALL_ROWS, &rows, NULL))
		return false;
	while (!found && jumps < JUMPS_MAX &&
	       insn_next_transfer(code, hot->bytes, hot->start, &offset, &transfer)) {
		if ((transfer.kind != TRANSFER_JUMP && transfer.kind != TRANSFER_BRANCH) ||
		    !transfer.known || transfer.through_slot ||
		    transfer.target - hot->start < hot->bytes)
			continue;
		jumps++;
		found = elf_file_is_text(elf, transfer.target) &&
			fde_table_find(&fdes, transfer.target, cold) &&
			!begins_like_function(&rows, cold->start);
	}
	cfi_table_free(&rows);
	return found;
}

bool python_eval_range_find(const struct python_image *image, struct python_layout *layout)
{
	struct range hot, cold;
	const uint8_t *code;
	Elf64_Sym symbol;

	if (!python_image_symbol(image, EVAL, &symbol) || !symbol.st_size ||
	    symbol.st_size > EVAL_BYTES_MAX || symbol.st_value >> FRAME_PC_BITS)
		return false;
	hot = (struct range){symbol.st_value, symbol.st_size};
	code = elf_file_at_vaddr(&image->elf, hot.start, hot.bytes);
	if (!code)
		return false;
	layout->eval_first[0] = hot.start;
	layout->eval_bytes[0] = hot.bytes;
	if ((symbol_cold_part(&image->elf, &cold) ||
	     jumped_cold_part(&image->elf, code, &hot, &cold)) &&
	    !(cold.start >> FRAME_PC_BITS)) {
		layout->eval_first[1] = cold.start;
		layout->eval_bytes[1] = cold.bytes;
	}
	return true;
}
