/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fuzz_eh_frame.c - any bytes as .eh_frame of a minimal ELF file, compiled in both modes, with and
 * without section headers; then walks over the rows with the same bytes as stack.
 *
 * Checks as well that rows are sorted, that continuations of wide rows stand where the walker looks
 * for them, and that walks end. The first byte chooses mode, header and start of the walk, and
 * whether the bytes are a whole section or the instructions of one function: so no seeds are
 * needed.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../bpf/unwind.bpf.h"
#include "base/err.h"
#include "elf/elf_file.h"
#include "unit/eh_image.h"
#include "unwind/cfi.h"

#define STACK_BASE  0x7ffc00000ff8ULL
#define STACK_BYTES 0x4000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t stack[STACK_BYTES];
static struct walker walker;

static long read_stack(void *to, __u32 bytes, __u64 addr)
{
	if (addr < STACK_BASE || addr - STACK_BASE > STACK_BYTES ||
	    bytes > STACK_BYTES - (addr - STACK_BASE))
		return -1;
	memcpy(to, stack + (addr - STACK_BASE), bytes);
	return 0;
}

/* One CIE, and one FDE whose instructions are 'data'. Returns the bytes of the section. */
static size_t wrap_instructions(uint8_t frame[EH_FRAME_BYTES], const uint8_t *data, size_t size)
{
	static const uint8_t cie[] = {20, 0,	0,  0, 0,    0,	   0, 0, 1,    'z', 'R', 0,
				      1,  0x78, 16, 1, 0x1b, 0x0c, 7, 8, 0x90, 1,   0,	 0};
	struct {
		uint32_t length, cie_distance;
		int32_t start;
		uint32_t bytes;
		uint8_t augmentation_bytes;
	} __attribute__((packed)) fde = {.cie_distance = sizeof(cie) + 4, .bytes = 0x1000};

	if (size > EH_FRAME_BYTES - sizeof(cie) - sizeof(fde))
		size = EH_FRAME_BYTES - sizeof(cie) - sizeof(fde);
	fde.length = sizeof(fde) - 4 + size;
	fde.start = EH_TEXT_VADDR - (EH_FRAME_VADDR + sizeof(cie) + 8);
	memcpy(frame, cie, sizeof(cie));
	memcpy(frame + sizeof(cie), &fde, sizeof(fde));
	memcpy(frame + sizeof(cie) + sizeof(fde), data, size);
	return sizeof(cie) + sizeof(fde) + size;
}

static void check_rows(const struct cfi_table *table)
{
	for (size_t i = 0; i < table->row_count; i++) {
		const struct unwind_row *row = &table->rows[i];

		if (i && row->pc < row[-1].pc)
			abort();
		if (i && row->pc == row[-1].pc && row->kind != UNWIND_WIDE)
			abort();
		/* the next row of the same pc is the wide one */
		if (i + 1 < table->row_count && row->pc == row[1].pc)
			continue;
		if (row->kind >= UNWIND_KIND_COUNT || row->pc > EH_TEXT_BYTES)
			abort();
		if (row->kind == UNWIND_WIDE && (!i || row[-1].pc != row->pc))
			abort();
	}
	if (table->row_count && table->rows[table->row_count - 1].kind != UNWIND_END)
		abort();
}

/* Every word of the stack becomes code or an address of the stack, or stays as it is. */
static void fill_stack(const uint8_t *data, size_t size)
{
	for (size_t at = 0; at + 8 <= STACK_BYTES; at += 8) {
		uint64_t word = 0;

		for (size_t i = 0; i < 8; i++)
			word = word << 8 | (size ? data[(at + i) % size] : 0);
		if (word % 3 == 0)
			word = EH_TEXT_VADDR + word % EH_TEXT_BYTES;
		else if (word % 3 == 1)
			word = STACK_BASE + word % (STACK_BYTES + 64);
		memcpy(stack + at, &word, 8);
	}
}

static void walk(const struct cfi_table *table, uint8_t start)
{
	struct mapping mapping = {.start = EH_TEXT_VADDR,
				  .end = EH_TEXT_VADDR + EH_TEXT_BYTES,
				  .text_vaddr = table->text_vaddr,
				  .calls = {.count = table->row_count},
				  .full = {.count = table->row_count},
				  .binary_id = 1};
	struct proc proc = {.slice = 1};
	static __u64 inputs; /* the walker keeps pcs: it must forget those of the input before */
	__u64 slot = STACK_BASE + start * 8, hash;

	wk_native = (struct wk_native){.mappings = &mapping,
				       .mapping_count = 1,
				       .read_user = read_stack,
				       .slices_epoch = ++inputs};
	wk_native.shards[0] = (struct wk_shard){table->rows, table->row_count};
	walk_stack(&walker, &proc, slot, slot + 64);
	if (walker.record.frame_count > STACK_MAX_FRAMES ||
	    walker.record.end_reason >= WALK_END_COUNT)
		abort();
	hash = walker.hash;
	walk_crosses_signal(&walker, &proc, slot, slot + 64, slot + 512);
	walk_stack(&walker, &proc, slot, slot + 64);
	if (walker.hash != hash)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t wrapped[EH_FRAME_BYTES];
	static struct eh_image image;
	struct cfi_table table;
	struct elf_file elf;
	uint8_t choice;

	if (!size)
		return 0;
	choice = data[0];
	if (choice & 0x80)
		eh_image_make(&image, wrapped, wrap_instructions(wrapped, data + 1, size - 1),
			      choice & 1);
	else
		eh_image_make(&image, data + 1, size - 1, choice & 1);
	if (elf_file_from_memory(&elf, image.bytes, sizeof(image.bytes), NULL))
		abort();
	if (cfi_compile(&elf, choice & 2 ? CFI_ALL_ROWS : CFI_CALL_SITES, &table, NULL))
		return 0;
	if (choice & 0x80 && table.fde_count != 1)
		abort();
	check_rows(&table);
	fill_stack(data, size);
	walk(&table, choice >> 2);
	cfi_table_free(&table);
	return 0;
}
