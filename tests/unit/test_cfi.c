/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_cfi.c - cfi_compile on .eh_frame bytes made by hand, and on this system's binaries with
 * libdw as judge: at every call site that objdump finds, both must say the same.
 */
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "elf/elf_file.h"
#include "unit/eh_image.h"
#include "unwind/cfi.h"

/* ---- .eh_frame by hand ----------------------------------------------------------------------- */

static struct eh_image image;
static uint8_t frame[EH_FRAME_BYTES];
static size_t used, entry_at, cie_at;

static void put(uint64_t value, size_t bytes)
{
	assert_true(used + bytes <= sizeof(frame));
	memcpy(frame + used, &value, bytes);
	used += bytes;
}

/* Bytes given one by one, for instructions and augmentation strings. */
#define PUT(...)                                                                                   \
	do {                                                                                       \
		const uint8_t bytes_[] = {__VA_ARGS__};                                            \
		for (size_t i_ = 0; i_ < sizeof(bytes_); i_++)                                     \
			put(bytes_[i_], 1);                                                        \
	} while (0)

static void begin_entry(void)
{
	entry_at = used;
	put(0, 4);
}

static void end_entry(void)
{
	uint32_t length;

	while ((used - entry_at) % 8 != 4)
		put(DW_CFA_nop, 1);
	length = used - entry_at - 4;
	memcpy(frame + entry_at, &length, 4);
}

/* What every x86-64 compiler writes: CFA = rsp + 8, return address at CFA - 8. */
static void begin_cie(const char *augmentation)
{
	begin_entry();
	cie_at = entry_at;
	put(0, 4);
	put(1, 1);
	for (const char *letter = augmentation; *letter; letter++)
		put(*letter, 1);
	PUT(0, 1, 0x78, 16); /* code alignment 1, data alignment -8, return address column */
	if (augmentation[0] == 'z')
		PUT(1, DW_EH_PE_pcrel | DW_EH_PE_sdata4);
}

static void put_cie(const char *augmentation)
{
	begin_cie(augmentation);
	PUT(DW_CFA_def_cfa, 7, 8, DW_CFA_offset + 16, 1);
	end_entry();
}

static void begin_fde(uint32_t start, uint32_t bytes)
{
	begin_entry();
	put(used - cie_at, 4);
	put(EH_TEXT_VADDR + start - (EH_FRAME_VADDR + used), 4);
	put(bytes, 4);
	put(0, 1);
}

static void begin_frame(void)
{
	used = 0;
	memset(frame, 0, sizeof(frame));
}

static struct cfi_table compile_image(enum cfi_rows which)
{
	struct cfi_table table = {0};
	struct elf_file elf;

	assert_int_equal(elf_file_from_memory(&elf, image.bytes, sizeof(image.bytes), NULL), 0);
	assert_int_equal(cfi_compile(&elf, which, &table, NULL), 0);
	assert_int_equal(table.text_vaddr, EH_TEXT_VADDR);
	return table;
}

static struct cfi_table compile(enum cfi_rows which)
{
	eh_image_make(&image, frame, used, true);
	return compile_image(which);
}

static void check_row(const struct cfi_table *table, size_t index, uint32_t pc, int kind,
		      int cfa_off8, int rbp_off8)
{
	const struct unwind_row *row = &table->rows[index];

	assert_true(index < table->row_count);
	assert_int_equal(row->pc, pc);
	assert_int_equal(row->kind, kind);
	assert_int_equal(row->cfa_off8, cfa_off8);
	assert_int_equal(row->rbp_off8, rbp_off8);
}

/* Both modes give the 'count' rows (pc, kind, cfa_off8, rbp_off8). */
static void check_rows(const int (*rows)[4], size_t count)
{
	for (int which = CFI_CALL_SITES; which <= CFI_ALL_ROWS; which++) {
		struct cfi_table table = compile(which);

		assert_int_equal(table.skipped_count, 0);
		for (size_t i = 0; i < count; i++)
			check_row(&table, i, rows[i][0], rows[i][1], rows[i][2], rows[i][3]);
		assert_int_equal(table.row_count, count);
		cfi_table_free(&table);
	}
}
#define CHECK_ROWS(...)                                                                            \
	do {                                                                                       \
		const int rows_[][4] = {__VA_ARGS__};                                              \
		check_rows(rows_, ARRAY_LEN(rows_));                                               \
	} while (0)

static void a_pushed_frame_pointer_gives_three_rows(void **state)
{
	begin_frame();
	put_cie("zR");
	begin_fde(0, 100);
	PUT(DW_CFA_advance_loc + 10, DW_CFA_def_cfa_offset, 16, DW_CFA_offset + 6, 2);
	PUT(DW_CFA_advance_loc + 10, DW_CFA_def_cfa_register, 6);
	PUT(DW_CFA_advance_loc + 40, DW_CFA_def_cfa, 7, 8, DW_CFA_restore + 6);
	end_entry();
	CHECK_ROWS({0, UNWIND_RSP, 1, 0}, {10, UNWIND_RSP, 2, -2}, {20, UNWIND_RBP, 2, -2},
		   {60, UNWIND_RSP, 1, 0}, {100, UNWIND_END, 0, 0});
}

static void every_advance_moves_by_its_operand(void **state)
{
	begin_frame();
	put_cie("zR");
	begin_fde(0, 0x2000);
	PUT(DW_CFA_advance_loc1, 200, DW_CFA_def_cfa_offset, 16);
	PUT(DW_CFA_advance_loc2, 0x00, 0x04, DW_CFA_def_cfa_offset, 24);
	PUT(DW_CFA_advance_loc4, 0x00, 0x08, 0, 0, DW_CFA_def_cfa_offset, 32);
	PUT(DW_CFA_set_loc);
	put(EH_TEXT_VADDR + 0x1800 - (EH_FRAME_VADDR + used), 4);
	PUT(DW_CFA_def_cfa_offset, 40);
	end_entry();
	CHECK_ROWS({0, UNWIND_RSP, 1, 0}, {200, UNWIND_RSP, 2, 0}, {1224, UNWIND_RSP, 3, 0},
		   {3272, UNWIND_RSP, 4, 0}, {0x1800, UNWIND_RSP, 5, 0},
		   {0x2000, UNWIND_END, 0, 0});
}

static void every_offset_operation_is_understood(void **state)
{
	begin_frame();
	put_cie("zR");
	begin_fde(0, 200);
	PUT(DW_CFA_advance_loc + 8, DW_CFA_def_cfa_sf, 7, 0x7e);	     /* -2 * -8 */
	PUT(DW_CFA_advance_loc + 8, DW_CFA_def_cfa_offset_sf, 0x7d);	     /* -3 * -8 */
	PUT(DW_CFA_advance_loc + 8, DW_CFA_offset_extended, 6, 2);	     /* 2 * -8 */
	PUT(DW_CFA_advance_loc + 8, DW_CFA_offset_extended_sf, 6, 3);	     /* 3 * -8 */
	PUT(DW_CFA_advance_loc + 8, DW_CFA_restore_extended, 6);	     /* unchanged */
	PUT(DW_CFA_advance_loc + 8, 0x2f, 6, 2, DW_CFA_GNU_args_size, 0x20); /* +2 * 8 */
	PUT(DW_CFA_advance_loc + 8, DW_CFA_same_value, 6, DW_CFA_val_offset, 7, 0);
	PUT(DW_CFA_advance_loc + 8, DW_CFA_offset + 3, 3, DW_CFA_undefined, 6, DW_CFA_nop);
	end_entry();
	CHECK_ROWS({0, UNWIND_RSP, 1, 0}, {8, UNWIND_RSP, 2, 0}, {16, UNWIND_RSP, 3, 0},
		   {24, UNWIND_RSP, 3, -2}, {32, UNWIND_RSP, 3, -3}, {40, UNWIND_RSP, 3, 0},
		   {48, UNWIND_RSP, 3, 2}, {56, UNWIND_RSP, 3, 0}, {200, UNWIND_END, 0, 0});
}

static void remembered_states_come_back_with_their_cfa(void **state)
{
	begin_frame();
	put_cie("zR");
	begin_fde(0, 100);
	PUT(DW_CFA_advance_loc + 10, DW_CFA_def_cfa_offset, 48, DW_CFA_offset + 6, 2);
	PUT(DW_CFA_advance_loc + 10, DW_CFA_remember_state, DW_CFA_def_cfa_offset, 8);
	PUT(DW_CFA_restore + 6, DW_CFA_advance_loc + 10, DW_CFA_restore_state);
	end_entry();
	CHECK_ROWS({0, UNWIND_RSP, 1, 0}, {10, UNWIND_RSP, 6, -2}, {20, UNWIND_RSP, 1, 0},
		   {30, UNWIND_RSP, 6, -2}, {100, UNWIND_END, 0, 0});
}

static void rules_that_no_row_can_say_are_unsupported(void **state)
{
	begin_frame();
	put_cie("zR");
	begin_fde(0, 200);
	PUT(DW_CFA_advance_loc + 8, DW_CFA_def_cfa_register, 10);
	PUT(DW_CFA_advance_loc + 8, DW_CFA_def_cfa, 7, 8);
	PUT(DW_CFA_advance_loc + 8, DW_CFA_register, 16, 2);
	PUT(DW_CFA_advance_loc + 8, DW_CFA_restore + 16);
	PUT(DW_CFA_advance_loc + 8, DW_CFA_val_offset, 6, 2);
	PUT(DW_CFA_advance_loc + 8, DW_CFA_restore + 6);
	PUT(DW_CFA_advance_loc + 8, DW_CFA_val_offset_sf, 7, 2);
	PUT(DW_CFA_advance_loc + 8, DW_CFA_restore + 7);
	PUT(DW_CFA_advance_loc + 8, DW_CFA_def_cfa_expression, 3, DW_OP_breg7, 8, DW_OP_deref);
	PUT(DW_CFA_advance_loc + 8, DW_CFA_def_cfa_expression, 2, DW_OP_breg7, 16);
	PUT(DW_CFA_advance_loc + 8, DW_CFA_val_expression, 6, 2, DW_OP_breg7, 16);
	end_entry();
	CHECK_ROWS({0, UNWIND_RSP, 1, 0}, {8, UNWIND_UNSUP, 0, 0}, {16, UNWIND_RSP, 1, 0},
		   {24, UNWIND_UNSUP, 0, 0}, {32, UNWIND_RSP, 1, 0}, {40, UNWIND_UNSUP, 0, 0},
		   {48, UNWIND_RSP, 1, 0}, {56, UNWIND_UNSUP, 0, 0}, {64, UNWIND_RSP, 1, 0},
		   {72, UNWIND_UNSUP, 0, 0}, {80, UNWIND_RSP, 2, 0}, {88, UNWIND_UNSUP, 0, 0},
		   {200, UNWIND_END, 0, 0});
}

static void a_realigned_stack_gives_a_drap_row(void **state)
{
	begin_frame();
	put_cie("zR");
	begin_fde(0, 100);
	PUT(DW_CFA_advance_loc + 4, DW_CFA_def_cfa, 10, 0, DW_CFA_advance_loc + 8);
	PUT(DW_CFA_expression, 6, 2, DW_OP_breg6, 0);
	PUT(DW_CFA_def_cfa_expression, 3, DW_OP_breg6, 0x78, DW_OP_deref);
	end_entry();
	CHECK_ROWS({0, UNWIND_RSP, 1, 0}, {4, UNWIND_UNSUP, 0, 0}, {12, UNWIND_DRAP, 0, -1},
		   {100, UNWIND_END, 0, 0});
}

static void signal_frames_and_outermost_frames_stay_without_calls(void **state)
{
	struct cfi_table table;

	begin_frame();
	put_cie("zRS");
	begin_fde(0, 16);
	end_entry();
	put_cie("zR");
	begin_fde(16, 16);
	PUT(DW_CFA_undefined, 16);
	end_entry();
	begin_fde(32, 32);
	PUT(DW_CFA_advance_loc + 16, DW_CFA_def_cfa_offset, 16);
	end_entry();
	eh_image_make(&image, frame, used, true);
	memset(image.bytes + EH_TEXT_OFFSET, 0x90, EH_TEXT_BYTES);
	image.bytes[EH_TEXT_OFFSET + 50] = 0xff; /* call *%rax, behind the push only */
	image.bytes[EH_TEXT_OFFSET + 51] = 0xd0;

	table = compile_image(CFI_CALL_SITES);
	check_row(&table, 0, 0, UNWIND_SIGNAL, 0, 0);
	check_row(&table, 1, 16, UNWIND_STOP, 0, 0);
	check_row(&table, 2, 48, UNWIND_RSP, 2, 0);
	check_row(&table, 3, 64, UNWIND_END, 0, 0);
	assert_int_equal(table.row_count, 4);
	cfi_table_free(&table);
	table = compile_image(CFI_ALL_ROWS);
	check_row(&table, 2, 32, UNWIND_RSP, 1, 0);
	assert_int_equal(table.row_count, 5);
	cfi_table_free(&table);
}

/* The bytes of one instruction in the second of two rules, the first has none. */
static size_t rows_around(const uint8_t *code, size_t bytes)
{
	struct cfi_table table;
	size_t count;

	begin_frame();
	put_cie("zR");
	begin_fde(0, 64);
	PUT(DW_CFA_advance_loc + 16, DW_CFA_def_cfa_offset, 16);
	end_entry();
	eh_image_make(&image, frame, used, true);
	memset(image.bytes + EH_TEXT_OFFSET, 0x90, EH_TEXT_BYTES);
	memcpy(image.bytes + EH_TEXT_OFFSET + 64 - bytes, code, bytes);
	table = compile_image(CFI_CALL_SITES);
	count = table.row_count;
	if (count == 2)
		check_row(&table, 0, 16, UNWIND_RSP, 2, 0);
	cfi_table_free(&table);
	return count;
}
#define ROWS_AROUND(...)                                                                           \
	rows_around((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void every_form_of_call_keeps_its_row(void **state)
{
	assert_int_equal(ROWS_AROUND(0x90), 1);				/* only the end */
	assert_int_equal(ROWS_AROUND(0xe8, 0, 1, 0, 0), 2);		/* call rel32 */
	assert_int_equal(ROWS_AROUND(0xe8, 0, 0, 0, 0x7f), 1);		/* to nowhere */
	assert_int_equal(ROWS_AROUND(0xe8, 0, 1, 0), 1);		/* cut off */
	assert_int_equal(ROWS_AROUND(0x41, 0xff, 0xd4), 2);		/* *%r12 */
	assert_int_equal(ROWS_AROUND(0xff, 0x10), 2);			/* *(%rax) */
	assert_int_equal(ROWS_AROUND(0xff, 0x50, 8), 2);		/* *8(%rax) */
	assert_int_equal(ROWS_AROUND(0xff, 0x50), 1);			/* cut off */
	assert_int_equal(ROWS_AROUND(0xff, 0x90, 0, 1, 0, 0), 2);	/* *256(%rax) */
	assert_int_equal(ROWS_AROUND(0xff, 0x15, 0, 1, 0, 0), 2);	/* *256(%rip) */
	assert_int_equal(ROWS_AROUND(0xff, 0x14, 0xc3), 2);		/* *(%rbx,%rax,8) */
	assert_int_equal(ROWS_AROUND(0xff, 0x14, 0xc5, 0, 1, 0, 0), 2); /* *256(,%rax,8) */
	assert_int_equal(ROWS_AROUND(0xff, 0x14, 0xc5, 0, 1, 0), 1);	/* cut off */
	assert_int_equal(ROWS_AROUND(0xff, 0x54, 0x24, 8), 2);		/* *8(%rsp) */
	assert_int_equal(ROWS_AROUND(0xff, 0xe0), 1);			/* jmp *%rax */
}

static void gaps_longer_than_padding_end_the_rows(void **state)
{
	begin_frame();
	put_cie("zR");
	begin_fde(0, 17);
	end_entry();
	begin_fde(17 + 15, 10); /* padding */
	end_entry();
	begin_fde(42 + 16, 10); /* a function without frame information before it */
	PUT(DW_CFA_def_cfa_offset, 16);
	end_entry();
	CHECK_ROWS({0, UNWIND_RSP, 1, 0}, {42, UNWIND_END, 0, 0}, {58, UNWIND_RSP, 2, 0},
		   {68, UNWIND_END, 0, 0});
}

static void fdes_are_sorted_and_the_first_of_two_wins(void **state)
{
	begin_frame();
	put_cie("zR");
	begin_fde(40, 40);
	PUT(DW_CFA_def_cfa_offset, 24);
	end_entry();
	put(0, 4); /* a terminator amid the section */
	put_cie("zR");
	begin_fde(0, 60);
	PUT(DW_CFA_def_cfa_offset, 16);
	end_entry();
	begin_fde(10, 0); /* empty */
	end_entry();
	CHECK_ROWS({0, UNWIND_RSP, 2, 0}, {60, UNWIND_RSP, 3, 0}, {80, UNWIND_END, 0, 0});
}

/* Offsets that 16 bits of 8-byte units cannot say: the offset stands in a row before, same pc. */
static void wide_offsets_take_two_rows(void **state)
{
	struct cfi_table table;
	int32_t offset;

	begin_frame();
	put_cie("zR");
	begin_fde(0, 100);
	PUT(DW_CFA_advance_loc + 10, DW_CFA_def_cfa_offset, 0xe0, 0xfb, 0x20); /* 540128 */
	PUT(DW_CFA_offset + 6, 2, DW_CFA_advance_loc + 10, DW_CFA_def_cfa, 6, 12);
	end_entry();
	table = compile(CFI_ALL_ROWS);
	assert_int_equal(table.row_count, 6);
	check_row(&table, 0, 0, UNWIND_RSP, 1, 0);
	assert_int_equal(table.rows[1].pc, 10);
	memcpy(&offset, (char *)&table.rows[1] + 4, sizeof(offset));
	assert_int_equal(offset, 540128);
	check_row(&table, 2, 10, UNWIND_WIDE, 7, -2);
	memcpy(&offset, (char *)&table.rows[3] + 4, sizeof(offset));
	assert_int_equal(offset, 12);
	check_row(&table, 4, 20, UNWIND_WIDE, 6, -2);
	cfi_table_free(&table);
}

static void lazy_linkage_tables_get_two_rows_per_entry(void **state)
{
	struct cfi_table table;

	begin_frame();
	put_cie("zR");
	begin_fde(0, 48);
	PUT(DW_CFA_def_cfa_offset, 16, DW_CFA_advance_loc + 6, DW_CFA_def_cfa_offset, 24);
	PUT(DW_CFA_advance_loc + 10, DW_CFA_def_cfa_expression, 11, DW_OP_breg7, 8, DW_OP_breg16, 0,
	    DW_OP_lit15, DW_OP_and, DW_OP_lit11, DW_OP_ge, DW_OP_lit3, DW_OP_shl, DW_OP_plus);
	end_entry();
	table = compile(CFI_ALL_ROWS);
	check_row(&table, 0, 0, UNWIND_RSP, 2, 0);
	check_row(&table, 1, 6, UNWIND_RSP, 3, 0);
	check_row(&table, 2, 16, UNWIND_RSP, 1, 0);
	check_row(&table, 3, 27, UNWIND_RSP, 2, 0);
	check_row(&table, 4, 32, UNWIND_RSP, 1, 0);
	check_row(&table, 5, 43, UNWIND_RSP, 2, 0);
	assert_int_equal(table.row_count, 7);
	assert_int_equal(table.unsupported_count, 0);
	cfi_table_free(&table);
	table = compile(CFI_CALL_SITES);
	assert_int_equal(table.row_count, 3);
	cfi_table_free(&table);
}

static void without_sections_the_program_header_leads_to_the_frames(void **state)
{
	struct cfi_table table;

	begin_frame();
	put_cie("zR");
	begin_fde(0, 100);
	end_entry();
	put(0, 4); /* here the terminator is the end */
	put(0xdeadbeef, 4);
	eh_image_make(&image, frame, used, false);
	table = compile_image(CFI_CALL_SITES);
	assert_int_equal(table.fde_count, 1);
	assert_int_equal(table.skipped_count, 0);
	check_row(&table, 0, 0, UNWIND_RSP, 1, 0);
	cfi_table_free(&table);
}

static void unreadable_entries_are_skipped_and_counted(void **state)
{
	struct cfi_table table;

	begin_frame();
	put_cie("zX"); /* unknown augmentation: its FDEs cannot be read */
	begin_fde(0, 16);
	end_entry();
	put_cie("zR");
	begin_fde(16, 16);
	PUT(DW_CFA_advance_loc + 8, 0x3d); /* unknown instruction */
	end_entry();
	begin_fde(32, 16);
	PUT(DW_CFA_restore_state); /* of nothing */
	end_entry();
	begin_fde(48, 16);
	PUT(DW_CFA_def_cfa_offset, 16);
	end_entry();
	put(0x10000, 4); /* longer than the section */
	table = compile(CFI_ALL_ROWS);
	assert_int_equal(table.skipped_count, 5);
	check_row(&table, 0, 16, UNWIND_RSP, 1, 0);
	check_row(&table, 1, 24, UNWIND_UNSUP, 0, 0);
	check_row(&table, 2, 48, UNWIND_RSP, 2, 0);
	cfi_table_free(&table);
}

static void entries_with_64_bit_lengths_are_read(void **state)
{
	size_t at;
	uint64_t length;

	begin_frame();
	put_cie("zR");
	put(UINT32_MAX, 4);
	at = used;
	put(0, 8);
	put(used - cie_at, 4);
	put(EH_TEXT_VADDR - (EH_FRAME_VADDR + used), 4);
	put(32, 4);
	PUT(0, DW_CFA_def_cfa_offset, 16);
	length = used - at - 8;
	memcpy(frame + at, &length, 8);
	CHECK_ROWS({0, UNWIND_RSP, 2, 0}, {32, UNWIND_END, 0, 0});
}

static void a_file_without_frames_gives_no_rows(void **state)
{
	struct cfi_table table;

	begin_frame();
	table = compile(CFI_CALL_SITES);
	assert_int_equal(table.row_count, 0);
	cfi_table_free(&table);
}

/* ---- libdw as judge -------------------------------------------------------------------------- */

struct judge {
	Elf *elf;
	Dwarf_CFI *cfi;
	struct cfi_table calls, all;
	size_t sites, unsupported, mismatches;
};

static const struct unwind_row *row_at(const struct cfi_table *table, uint64_t vaddr)
{
	uint64_t pc = vaddr - table->text_vaddr;
	size_t low = 0, high = table->row_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (table->rows[middle].pc <= pc)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? &table->rows[low - 1] : NULL;
}

/* The offset from the CFA that a register is saved at; false if the rule is another. */
static bool saved_at(Dwarf_Frame *rule, int reg, int64_t *offset, bool *unchanged, bool *undefined)
{
	Dwarf_Op memory[3], *ops = NULL;
	size_t count = 0;

	*unchanged = *undefined = false;
	assert_int_equal(dwarf_frame_register(rule, reg, memory, &ops, &count), 0);
	if (!count) {
		*unchanged = ops == NULL;
		*undefined = !*unchanged;
		return false;
	}
	if (ops[0].atom != DW_OP_call_frame_cfa || count > 2)
		return false;
	*offset = count == 2 ? (int64_t)ops[1].number : 0;
	return count == 1 || ops[1].atom == DW_OP_plus_uconst;
}

/* The CFA as libdw sees it; for *(rbp + n) 'derefs' is set, the linkage table's is resolved. */
static bool judged_cfa(Dwarf_Frame *rule, uint64_t vaddr, int *reg, int64_t *offset, bool *derefs)
{
	Dwarf_Op *ops;
	size_t count;

	assert_int_equal(dwarf_frame_cfa(rule, &ops, &count), 0);
	*derefs = count == 2 && ops[1].atom == DW_OP_deref;
	if (count == 9 && ops[0].atom == DW_OP_breg7 && ops[1].atom == DW_OP_breg16) {
		*reg = 7;
		*offset = (vaddr & 15) >= 11 ? 16 : 8;
		return true;
	}
	if (!count || (count > 1 && !*derefs))
		return false;
	if (ops[0].atom == DW_OP_bregx) {
		*reg = (int)ops[0].number;
		*offset = (int64_t)ops[0].number2;
		return true;
	}
	if (ops[0].atom < DW_OP_breg0 || ops[0].atom > DW_OP_breg15)
		return false;
	*reg = ops[0].atom - DW_OP_breg0;
	*offset = (int64_t)ops[0].number;
	return true;
}

/* Is 'row' what libdw says of 'vaddr'? */
static bool agrees(const struct unwind_row *row, Dwarf_Frame *rule, uint64_t vaddr)
{
	int64_t cfa_offset = 0, rbp_offset = 0, ra_offset = 0;
	bool signal, derefs, same, undefined, rbp_saved;
	int reg = -1;

	assert_int_not_equal(dwarf_frame_info(rule, NULL, NULL, &signal), -1);
	if (signal)
		return row->kind == UNWIND_SIGNAL;
	if (!saved_at(rule, 16, &ra_offset, &same, &undefined) && undefined)
		return row->kind == UNWIND_STOP;
	if (ra_offset != -8 || !judged_cfa(rule, vaddr, &reg, &cfa_offset, &derefs))
		return false;
	if (derefs)
		return row->kind == UNWIND_DRAP && reg == 6 && row->rbp_off8 * 8 == cfa_offset;
	rbp_saved = saved_at(rule, 6, &rbp_offset, &same, &undefined);
	if (!rbp_saved && !same && !undefined)
		return false;
	if (row->rbp_off8 * 8 != (rbp_saved ? rbp_offset : 0))
		return false;
	if (row->kind == UNWIND_WIDE) {
		int32_t wide;

		memcpy(&wide, (const char *)(row - 1) + 4, sizeof(wide));
		return row->cfa_off8 == reg && wide == cfa_offset;
	}
	return row->kind == (reg == 7 ? UNWIND_RSP : UNWIND_RBP) && (reg == 7 || reg == 6) &&
	       row->cfa_off8 * 8 == cfa_offset;
}

static void judge_address(struct judge *judge, const struct cfi_table *table, uint64_t vaddr)
{
	const struct unwind_row *row = row_at(table, vaddr);
	Dwarf_Frame *rule;

	if (dwarf_cfi_addrframe(judge->cfi, vaddr, &rule))
		return; /* no frame information */
	judge->sites++;
	if (row && row->kind == UNWIND_UNSUP) {
		judge->unsupported++;
	} else if (!row || !agrees(row, rule, vaddr)) {
		if (!judge->mismatches++)
			print_error("first mismatch at 0x%llx, kind %d cfa %d rbp %d\n",
				    (unsigned long long)vaddr, row ? row->kind : -1,
				    row ? row->cfa_off8 : 0, row ? row->rbp_off8 : 0);
	}
	free(rule);
}

/* "  401136:\te8 dd fe ff ff       \tcall   401018 <f>" -> where it returns to, 0 if no call */
static uint64_t return_address_of(const char *line)
{
	const char *bytes = strchr(line, '\t'), *text;
	uint64_t vaddr = strtoull(line, NULL, 16);

	text = bytes ? strchr(bytes + 1, '\t') : NULL;
	if (!text || !strstr(text, "call "))
		return 0;
	for (const char *at = bytes + 1; at + 2 < text && at[0] != ' '; at += 3)
		vaddr++;
	return vaddr;
}

static void judge_call_sites(struct judge *judge, const char *path, size_t most)
{
	char command[512], line[512];
	FILE *pipe;
	size_t seen = 0;

	snprintf(command, sizeof(command), "exec objdump -dw '%s'", path);
	pipe = popen(command, "r");
	assert_non_null(pipe);
	while (seen < most && fgets(line, sizeof(line), pipe)) {
		uint64_t address = line[0] == ' ' ? return_address_of(line) : 0;

		if (!address)
			continue;
		judge_address(judge, &judge->calls, address - 1);
		seen++;
	}
	pclose(pipe);
	assert_true(seen > 100);
}

/* Some addresses all over the text, calls or not, against the table of all rows. */
static void judge_all_rows(struct judge *judge, const struct elf_file *elf)
{
	for (size_t i = 0; i < elf->segment_count; i++) {
		const Elf64_Phdr *segment = &elf->segments[i];

		if (segment->p_type != PT_LOAD || !(segment->p_flags & PF_X))
			continue;
		for (uint64_t at = 0; at < segment->p_filesz; at += 1 + segment->p_filesz / 9973)
			judge_address(judge, &judge->all, segment->p_vaddr + at);
	}
}

static void judge_file(const char *path)
{
	struct judge judge = {0};
	_cleanup_close_ int fd = open(path, O_RDONLY);
	struct elf_file elf;

	if (fd < 0)
		return; /* not on this system */
	assert_int_equal(elf_file_open(&elf, path, NULL), 0);
	assert_int_equal(cfi_compile(&elf, CFI_CALL_SITES, &judge.calls, NULL), 0);
	assert_int_equal(cfi_compile(&elf, CFI_ALL_ROWS, &judge.all, NULL), 0);
	judge.elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
	judge.cfi = dwarf_getcfi_elf(judge.elf);
	assert_non_null(judge.cfi);
	judge_call_sites(&judge, path, 20000);
	print_message("%s: %zu calls, %zu unsupported\n", path, judge.sites, judge.unsupported);
	assert_int_equal(judge.mismatches, 0);
	assert_true(judge.sites > 1000);
	assert_true(judge.unsupported * 200 < judge.sites);
	judge.sites = judge.unsupported = 0;
	judge_all_rows(&judge, &elf);
	print_message("%s: %zu addresses, %zu unsupported\n", path, judge.sites, judge.unsupported);
	assert_int_equal(judge.mismatches, 0);
	assert_true(judge.sites > 1000);
	assert_true(judge.unsupported * 10 < judge.sites); /* hand-written cryptography */
	assert_true(judge.calls.row_count < judge.all.row_count);
	dwarf_cfi_end(judge.cfi);
	elf_end(judge.elf);
	cfi_table_free(&judge.calls);
	cfi_table_free(&judge.all);
	elf_file_close(&elf);
}

static void rows_agree_with_libdw_on_system_binaries(void **state)
{
	elf_version(EV_CURRENT);
	judge_file("/lib/x86_64-linux-gnu/libc.so.6");
	judge_file("/usr/lib/x86_64-linux-gnu/libstdc++.so.6");
	judge_file("/usr/lib/x86_64-linux-gnu/libcrypto.so.3");
	judge_file("/usr/bin/python3");
	judge_file("/usr/bin/bash");
	judge_file("/usr/lib/llvm-14/bin/clang");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_pushed_frame_pointer_gives_three_rows),
	    cmocka_unit_test(every_advance_moves_by_its_operand),
	    cmocka_unit_test(every_offset_operation_is_understood),
	    cmocka_unit_test(remembered_states_come_back_with_their_cfa),
	    cmocka_unit_test(rules_that_no_row_can_say_are_unsupported),
	    cmocka_unit_test(a_realigned_stack_gives_a_drap_row),
	    cmocka_unit_test(signal_frames_and_outermost_frames_stay_without_calls),
	    cmocka_unit_test(every_form_of_call_keeps_its_row),
	    cmocka_unit_test(gaps_longer_than_padding_end_the_rows),
	    cmocka_unit_test(fdes_are_sorted_and_the_first_of_two_wins),
	    cmocka_unit_test(wide_offsets_take_two_rows),
	    cmocka_unit_test(lazy_linkage_tables_get_two_rows_per_entry),
	    cmocka_unit_test(without_sections_the_program_header_leads_to_the_frames),
	    cmocka_unit_test(unreadable_entries_are_skipped_and_counted),
	    cmocka_unit_test(entries_with_64_bit_lengths_are_read),
	    cmocka_unit_test(a_file_without_frames_gives_no_rows),
	    cmocka_unit_test(rows_agree_with_libdw_on_system_binaries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
