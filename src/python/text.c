/* SPDX-License-Identifier: GPL-2.0-only */
/* text.c - see text.h. Zydis decodes; the table of .eh_frame_hdr is searched in place. */
#include "python/text.h"

#include <string.h>

#include "base/cleanup.h"
#include "elf/decode.h"
#include "elf/elf_file.h"

#define FUNCTION_BYTES_MAX 65536
#define PADDING_BYTES_MAX  256
#define OPERANDS_BYTES_MAX 256 /* how far down a function operands are looked for */
#define VISITED_MAX	   128
#define REGISTERS	   16 /* as insn_register() numbers them */

/* DWARF pointer encodings as both GNU ld and lld write them. */
#define ENCODING_UDATA4	       0x03
#define ENCODING_DATAREL_SDATA4 0x3b

/* ---- bounds ---------------------------------------------------------------------------------- */

struct search_table {
	uint64_t vaddr; /* of .eh_frame_hdr: what its entries are relative to */
	const uint8_t *entries;
	size_t count;
};

static uint32_t read_u32(const uint8_t *data)
{
	uint32_t value;

	memcpy(&value, data, sizeof(value));
	return value;
}

static uint64_t relative(uint64_t base, const uint8_t *data)
{
	return base + (uint64_t)(int64_t)(int32_t)read_u32(data);
}

static bool find_search_table(const struct elf_file *elf, struct search_table *table)
{
	for (size_t i = 0; i < elf->segment_count; i++) {
		uint64_t vaddr = elf->segments[i].p_vaddr;
		const uint8_t *head;

		if (elf->segments[i].p_type != PT_GNU_EH_FRAME)
			continue;
		head = elf_file_at_vaddr(elf, vaddr, 12);
		if (!head || head[0] != 1 || head[2] != ENCODING_UDATA4 ||
		    head[3] != ENCODING_DATAREL_SDATA4)
			return false;
		table->vaddr = vaddr;
		table->count = read_u32(head + 8);
		table->entries = elf_file_at_vaddr(elf, vaddr + 12, table->count * 8);
		return table->entries && table->count;
	}
	return false;
}

/* length, CIE, first pc (relative to itself), bytes; the first pc must be the table's. */
static bool read_range(const struct elf_file *elf, uint64_t fde, uint64_t start,
		       struct addr_range *function)
{
	const uint8_t *entry = elf_file_at_vaddr(elf, fde, 16);

	if (!entry || read_u32(entry) == UINT32_MAX || read_u32(entry) < 12 ||
	    relative(fde + 8, entry + 8) != start)
		return false;
	*function = (struct addr_range){start, start + read_u32(entry + 12)};
	return true;
}

bool text_function_at(const struct elf_file *elf, uint64_t vaddr, struct addr_range *function)
{
	struct search_table table;
	size_t low = 0, high;

	if (!find_search_table(elf, &table))
		return false;
	high = table.count;
	while (low < high) { /* first entry above 'vaddr' */
		size_t middle = low + (high - low) / 2;

		if (relative(table.vaddr, table.entries + middle * 8) <= vaddr)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low)
		return false;
	return read_range(elf, relative(table.vaddr, table.entries + (low - 1) * 8 + 4),
			  relative(table.vaddr, table.entries + (low - 1) * 8), function);
}

/* ---- padding --------------------------------------------------------------------------------- */

/*
 * nop of 1, 3, 4, 6, 7 and 8 bytes, as gas pads and the kernel emulates (x86_nops[]). Not the one
 * of 5: Linux 6.18 turns it into a call, which corrupts red zones and kills forked children. Not
 * 66 90, which kernels before 6.2 refuse: its second byte is a nop by itself.
 */
static const char *const nops[TEXT_NOP_MAX + 1] = {
    [1] = "\x90",
    [3] = "\x0f\x1f\x00",
    [4] = "\x0f\x1f\x40\x00",
    [6] = "\x66\x0f\x1f\x44\x00\x00",
    [7] = "\x0f\x1f\x80\x00\x00\x00\x00",
    [8] = "\x0f\x1f\x84\x00\x00\x00\x00\x00",
};

bool text_is_nop(const uint8_t *code, size_t length)
{
	if (length == 2)
		return !memcmp(code, "\x66\x90", 2);
	return length <= TEXT_NOP_MAX && nops[length] && !memcmp(code, nops[length], length);
}

/* Nothing but whole nops and int3: a function that has no table entry would not look so. */
static bool is_padding(const uint8_t *code, size_t length)
{
	for (size_t at = 0; at < length;) {
		struct insn insn;

		if (!insn_decode(code + at, length - at, &insn) ||
		    (insn.info.mnemonic != ZYDIS_MNEMONIC_NOP &&
		     insn.info.mnemonic != ZYDIS_MNEMONIC_INT3))
			return false;
		at += insn.info.length;
	}
	return true;
}

size_t text_nop_before(const struct elf_file *elf, uint64_t vaddr)
{
	struct addr_range function, before;
	const uint8_t *padding;
	size_t bytes;

	if (!vaddr || !text_function_at(elf, vaddr, &function) || function.start != vaddr ||
	    !text_function_at(elf, vaddr - 1, &before) || before.end >= vaddr)
		return 0;
	bytes = vaddr - before.end;
	padding = bytes <= PADDING_BYTES_MAX && elf_file_is_text(elf, before.end)
		      ? elf_file_at_vaddr(elf, before.end, bytes)
		      : NULL;
	if (!padding || !is_padding(padding, bytes))
		return 0;
	for (size_t length = 1; length <= TEXT_NOP_MAX && length <= bytes; length++)
		if (nops[length] && text_is_nop(padding + bytes - length, length))
			return length;
	return 0;
}

/* ---- which addresses a function names -------------------------------------------------------- */

static bool is_target(uint64_t value, const uint64_t *targets, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (targets[i] && targets[i] == value)
			return true;
	return false;
}

static bool insn_names(const struct insn *insn, uint64_t address, const uint64_t *targets,
		       size_t count)
{
	for (uint8_t i = 0; i < insn->info.operand_count_visible; i++) {
		const ZydisDecodedOperand *operand = &insn->operands[i];
		uint64_t value;

		if (operand->type == ZYDIS_OPERAND_TYPE_IMMEDIATE && !operand->imm.is_relative &&
		    is_target(operand->imm.value.u, targets, count))
			return true;
		if (insn->info.mnemonic == ZYDIS_MNEMONIC_LEA &&
		    operand->type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    ZYAN_SUCCESS(
			ZydisCalcAbsoluteAddress(&insn->info, operand, address, &value)) &&
		    is_target(value, targets, count))
			return true;
	}
	return false;
}

struct visit {
	uint64_t vaddr;
	int depth;
};

/* Functions still to be looked at, and those that were. */
struct visits {
	struct visit items[VISITED_MAX];
	size_t count;
};

static void visit_add(struct visits *visits, uint64_t vaddr, int depth)
{
	for (size_t i = 0; i < visits->count; i++)
		if (visits->items[i].vaddr == vaddr)
			return;
	if (visits->count < VISITED_MAX)
		visits->items[visits->count++] = (struct visit){vaddr, depth};
}

static void visit_callee(const struct elf_file *elf, const struct insn *insn, uint64_t address,
			 int depth, const struct addr_range *caller, struct visits *visits)
{
	struct addr_range callee;
	uint64_t target;

	if (depth <= 0 || !insn->operands[0].imm.is_relative ||
	    insn->operands[0].type != ZYDIS_OPERAND_TYPE_IMMEDIATE ||
	    ZYAN_FAILED(ZydisCalcAbsoluteAddress(&insn->info, &insn->operands[0], address,
						 &target)) ||
	    (target >= caller->start && target < caller->end))
		return;
	/* a jump into the cold part of a function lands anywhere in it */
	if (text_function_at(elf, target, &callee) && target < callee.end)
		visit_add(visits, callee.start, depth - 1);
}

static bool function_names(const struct elf_file *elf, const struct visit *visit,
			   const uint64_t *targets, size_t count, struct visits *visits)
{
	struct addr_range range;
	const uint8_t *code;
	size_t bytes;

	if (!text_function_at(elf, visit->vaddr, &range) || range.start != visit->vaddr)
		return false;
	bytes = range.end - range.start;
	if (bytes > FUNCTION_BYTES_MAX)
		bytes = FUNCTION_BYTES_MAX;
	code = elf_file_at_vaddr(elf, range.start, bytes);
	for (size_t at = 0; code && at < bytes;) {
		struct insn insn;

		if (!insn_decode(code + at, bytes - at, &insn)) {
			at++;
			continue;
		}
		if (insn_names(&insn, range.start + at, targets, count))
			return true;
		visit_callee(elf, &insn, range.start + at, visit->depth, &range, visits);
		at += insn.info.length;
	}
	return false;
}

bool text_names(const struct elf_file *elf, uint64_t vaddr, const uint64_t *targets, size_t count,
		int depth)
{
	struct visits visits = {0};

	visit_add(&visits, vaddr, depth);
	for (size_t i = 0; i < visits.count; i++) {
		struct visit visit = visits.items[i];

		if (function_names(elf, &visit, targets, count, &visits))
			return true;
	}
	return false;
}

/* ---- what a function reads ------------------------------------------------------------------- */

/* Registers whose contents are known on the way down. */
struct registers {
	bool known[REGISTERS];
	uint64_t values[REGISTERS];
};

static bool effective_address(const struct insn *insn, const ZydisDecodedOperand *operand,
			      uint64_t address, const struct registers *registers, uint64_t *result)
{
	int base;

	if (operand->type != ZYDIS_OPERAND_TYPE_MEMORY ||
	    operand->mem.index != ZYDIS_REGISTER_NONE ||
	    operand->mem.segment == ZYDIS_REGISTER_FS || operand->mem.segment == ZYDIS_REGISTER_GS)
		return false;
	if (operand->mem.base == ZYDIS_REGISTER_NONE || operand->mem.base == ZYDIS_REGISTER_RIP)
		return ZYAN_SUCCESS(
		    ZydisCalcAbsoluteAddress(&insn->info, operand, address, result));
	base = insn_register(operand->mem.base);
	if (base < 0 || !registers->known[base])
		return false;
	*result = registers->values[base] + (uint64_t)operand->mem.disp.value;
	return true;
}

static bool moved_value(const struct insn *insn, uint64_t address,
			const struct registers *registers, text_reader *reader, void *context,
			uint64_t *value)
{
	const ZydisDecodedOperand *from = &insn->operands[1];
	uint64_t at;
	int reg;

	if (insn->info.mnemonic == ZYDIS_MNEMONIC_LEA)
		return effective_address(insn, from, address, registers, value);
	if (insn->info.mnemonic != ZYDIS_MNEMONIC_MOV)
		return false;
	if (from->type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
		*value = from->imm.value.u;
		return true;
	}
	if (from->type == ZYDIS_OPERAND_TYPE_MEMORY)
		return from->size == 64 &&
		       effective_address(insn, from, address, registers, &at) &&
		       reader(context, at, value);
	reg = insn_register(from->reg.value);
	if (reg < 0 || !registers->known[reg])
		return false;
	*value = registers->values[reg];
	return true;
}

static void track(const struct insn *insn, uint64_t address, struct registers *registers,
		  text_reader *reader, void *context)
{
	uint64_t value = 0;
	bool known = moved_value(insn, address, registers, reader, context, &value);
	uint16_t written = insn_written_registers(insn); /* by mov and lea: the one moved to */

	for (int reg = 0; reg < REGISTERS; reg++) {
		if (!(written & (1U << reg)))
			continue;
		registers->known[reg] = known;
		registers->values[reg] = value;
	}
}

static bool goes_on(const struct insn *insn)
{
	switch (insn->info.meta.category) {
	case ZYDIS_CATEGORY_RET:
	case ZYDIS_CATEGORY_UNCOND_BR:
	case ZYDIS_CATEGORY_CALL:
	case ZYDIS_CATEGORY_INTERRUPT:
		return false;
	default:
		return true;
	}
}

size_t text_operands(const struct elf_file *elf, uint64_t vaddr, text_reader *reader, void *context,
		     uint64_t *operands, size_t max)
{
	struct registers registers = {0};
	size_t count = 0, bytes = OPERANDS_BYTES_MAX;
	struct addr_range range;
	const uint8_t *code;

	if (text_function_at(elf, vaddr, &range) && vaddr < range.end &&
	    range.end - vaddr < OPERANDS_BYTES_MAX)
		bytes = range.end - vaddr;
	code = elf_file_is_text(elf, vaddr) ? elf_file_at_vaddr(elf, vaddr, bytes) : NULL;
	for (size_t at = 0; code && at < bytes && count < max;) {
		struct insn insn;
		uint64_t address;

		if (!insn_decode(code + at, bytes - at, &insn))
			break;
		for (uint8_t i = 0; i < insn.info.operand_count_visible && count < max; i++)
			if (insn.info.mnemonic != ZYDIS_MNEMONIC_LEA &&
			    insn.operands[i].size == 64 &&
			    effective_address(&insn, &insn.operands[i], vaddr + at, &registers,
					      &address))
				operands[count++] = address;
		if (!goes_on(&insn))
			break;
		track(&insn, vaddr + at, &registers, reader, context);
		at += insn.info.length;
	}
	return count;
}
