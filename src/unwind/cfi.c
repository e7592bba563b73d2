/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * cfi.c - see cfi.h
 *
 * Two passes. The first goes through the section once and notes CIEs and FDEs; the second goes
 * through the FDEs in the order of their addresses, executes their instructions, and writes a row
 * wherever the rule changes. Each byte of code and of instructions is looked at once, whatever the
 * file says: where FDEs overlap, the one that starts first keeps its range.
 */
#include "unwind/cfi.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/vec.h"
#include "elf/elf_file.h"

#define ROWS_MAX	(1U << 20)
#define STATES_MAX	32 /* of DW_CFA_remember_state; compilers nest one or two */
#define PADDING_MAX	15 /* bytes between functions that are alignment, not code */
#define PLT_ENTRY_BYTES 16

/* Registers beyond those of abi.h: the return address column (psABI x86-64, figure 3.36). */
#define REG_RETURN 16

/* DWARF 5, 7.24; the GNU ones: LSB 5, 10.6.1.1.2 */
enum {
	CFA_ADVANCE_LOC = 0x40, /* these three: low six bits are an operand */
	CFA_OFFSET = 0x80,
	CFA_RESTORE = 0xc0,
	CFA_NOP = 0x00,
	CFA_SET_LOC,
	CFA_ADVANCE_LOC1,
	CFA_ADVANCE_LOC2,
	CFA_ADVANCE_LOC4,
	CFA_OFFSET_EXTENDED,
	CFA_RESTORE_EXTENDED,
	CFA_UNDEFINED,
	CFA_SAME_VALUE,
	CFA_REGISTER,
	CFA_REMEMBER_STATE,
	CFA_RESTORE_STATE,
	CFA_DEF_CFA,
	CFA_DEF_CFA_REGISTER,
	CFA_DEF_CFA_OFFSET,
	CFA_DEF_CFA_EXPRESSION,
	CFA_EXPRESSION,
	CFA_OFFSET_EXTENDED_SF,
	CFA_DEF_CFA_SF,
	CFA_DEF_CFA_OFFSET_SF,
	CFA_VAL_OFFSET,
	CFA_VAL_OFFSET_SF,
	CFA_VAL_EXPRESSION,
	CFA_GNU_ARGS_SIZE = 0x2e,
	CFA_GNU_NEGATIVE_OFFSET_EXTENDED = 0x2f,
};

enum {
	OP_DEREF = 0x06,
	OP_PLUS_UCONST = 0x23,
	OP_BREG0 = 0x70,
};

/* DW_EH_PE_*: LSB 5, 10.5 */
enum {
	PE_ABSPTR = 0x00,
	PE_ULEB128,
	PE_UDATA2,
	PE_UDATA4,
	PE_UDATA8,
	PE_SLEB128 = 0x09,
	PE_SDATA2,
	PE_SDATA4,
	PE_SDATA8,
	PE_FORMAT = 0x0f,
	PE_PCREL = 0x10,
	PE_OMIT = 0xff,
};

/* ---- bytes ----------------------------------------------------------------------------------- */

/* Reads past the end give 0 and set 'bad'. */
struct reader {
	const uint8_t *at, *end;
	bool bad;
};

static uint64_t read_fixed(struct reader *reader, size_t bytes)
{
	uint64_t value = 0;

	if ((size_t)(reader->end - reader->at) < bytes) {
		reader->bad = true;
		reader->at = reader->end;
		return 0;
	}
	memcpy(&value, reader->at, bytes);
	reader->at += bytes;
	return value;
}

static uint8_t read_u8(struct reader *reader)
{
	if (reader->at == reader->end) {
		reader->bad = true;
		return 0;
	}
	return *reader->at++;
}

/* The bits of a LEB128 number (DWARF 5 section 7.6), how many they are, and its last byte. */
static uint64_t read_leb(struct reader *reader, unsigned int *bit_count, uint8_t *last)
{
	uint64_t value = 0;

	*bit_count = 0;
	do {
		*last = read_u8(reader);
		if (*bit_count < 64)
			value |= (uint64_t)(*last & 0x7f) << *bit_count;
		*bit_count += 7;
	} while (*last & 0x80);
	return value;
}

static uint64_t read_uleb(struct reader *reader)
{
	unsigned int bit_count;
	uint8_t last;

	return read_leb(reader, &bit_count, &last);
}

static int64_t read_sleb(struct reader *reader)
{
	unsigned int bit_count;
	uint8_t last;
	uint64_t value = read_leb(reader, &bit_count, &last);

	if (last & 0x40 && bit_count < 64)
		value |= ~UINT64_C(0) << bit_count;
	return (int64_t)value;
}

/* The next 'length' bytes as a reader of their own. */
static struct reader read_block(struct reader *reader, uint64_t length)
{
	struct reader block = {.at = reader->at, .end = reader->at};

	if (length > (uint64_t)(reader->end - reader->at)) {
		reader->bad = true;
		reader->at = reader->end;
		return block;
	}
	reader->at += length;
	block.end = reader->at;
	return block;
}

/* Sizes and offsets come from the file: products must not overflow as signed numbers do. */
static int64_t multiply(uint64_t a, int64_t b)
{
	return (int64_t)(a * (uint64_t)b);
}

/* ---- rules ----------------------------------------------------------------------------------- */

enum cfa_rule {
	CFA_IS_UNKNOWN,	 /* or an expression we do not know */
	CFA_IS_REGISTER, /* register + offset */
	CFA_IS_DEREF,	 /* *(register + offset) */
	CFA_IS_PLT,	 /* rsp + offset, 8 more in the last 5 bytes of each entry */
};
enum register_rule {
	REGISTER_UNCHANGED, /* or undefined: nobody needs it any more */
	REGISTER_AT_CFA,    /* *(CFA + offset) */
	REGISTER_AT_RBP,    /* *(rbp + offset) */
	REGISTER_UNDEFINED,
	REGISTER_ODD,
};

/* How to find the caller's frame, from one address to the next. */
struct rule {
	uint8_t cfa; /* enum cfa_rule */
	uint8_t cfa_reg;
	uint8_t rbp, ra, rsp; /* enum register_rule */
	int64_t cfa_off, rbp_off, ra_off;
};

static const struct rule no_rule = {.cfa = CFA_IS_UNKNOWN, .ra = REGISTER_ODD};

static bool fits_s8_of_8(int64_t offset)
{
	return offset % 8 == 0 && offset / 8 >= INT8_MIN && offset / 8 <= INT8_MAX;
}

static bool is_drap(const struct rule *rule)
{
	return rule->cfa == CFA_IS_DEREF && rule->cfa_reg == USER_REG_RBP &&
	       rule->rbp == REGISTER_AT_RBP && rule->rbp_off == 0 && fits_s8_of_8(rule->cfa_off);
}

/* Sets what the row says of rbp; false if it cannot. */
static bool encode_rbp(const struct rule *rule, struct unwind_row *row)
{
	if (rule->rbp == REGISTER_UNCHANGED || rule->rbp == REGISTER_UNDEFINED)
		return true;
	if (rule->rbp != REGISTER_AT_CFA || rule->rbp_off == 0 || !fits_s8_of_8(rule->rbp_off))
		return false;
	row->rbp_off8 = (int8_t)(rule->rbp_off / 8);
	return true;
}

/* The row for 'rule' but for its pc. 'wide' gets the offset of a row of kind UNWIND_WIDE. */
static struct unwind_row encode_rule(const struct rule *rule, int32_t *wide)
{
	const struct unwind_row unsupported = {.kind = UNWIND_UNSUP};
	struct unwind_row row = {.kind = UNWIND_UNSUP};

	if (rule->ra == REGISTER_UNDEFINED)
		return (struct unwind_row){.kind = UNWIND_STOP};
	if (rule->ra != REGISTER_AT_CFA || rule->ra_off != -8 || rule->rsp != REGISTER_UNCHANGED)
		return unsupported;
	if (is_drap(rule)) {
		row.kind = UNWIND_DRAP;
		row.rbp_off8 = (int8_t)(rule->cfa_off / 8);
		return row;
	}
	if (rule->cfa != CFA_IS_REGISTER || !encode_rbp(rule, &row) ||
	    (rule->cfa_reg != USER_REG_RSP && rule->cfa_reg != USER_REG_RBP))
		return unsupported;
	if (rule->cfa_off >= 0 && rule->cfa_off % 8 == 0 && rule->cfa_off / 8 <= UINT16_MAX) {
		row.kind = rule->cfa_reg == USER_REG_RSP ? UNWIND_RSP : UNWIND_RBP;
		row.cfa_off8 = (uint16_t)(rule->cfa_off / 8);
		return row;
	}
	if (rule->cfa_off < INT32_MIN || rule->cfa_off > INT32_MAX)
		return unsupported;
	row.kind = UNWIND_WIDE;
	row.cfa_off8 = rule->cfa_reg;
	*wide = (int32_t)rule->cfa_off;
	return row;
}

/* ---- what the section says ------------------------------------------------------------------- */

struct cie {
	uint64_t offset; /* in the section; what FDEs refer to */
	uint64_t code_align;
	int64_t data_align;
	uint8_t encoding; /* of addresses, PE_* */
	bool has_data;	  /* FDEs carry augmentation data */
	bool is_signal;
	bool usable;
	struct rule initial;
};

struct fde {
	uint64_t start, end; /* ELF addresses */
	uint32_t cie;	     /* index */
	const uint8_t *code, *code_end;
};

struct builder {
	const struct elf_file *elf;
	enum cfi_rows which;
	/* the section */
	const uint8_t *section;
	uint64_t section_vaddr, section_bytes;
	bool ends_at_zero; /* its size is only an upper bound */
	/* what it contains */
	struct {
		struct cie *items;
		size_t count, capacity;
	} cies;
	struct {
		struct fde *items;
		size_t count, capacity;
	} fdes;
	/* the table */
	struct {
		struct unwind_row *items;
		size_t count, capacity;
	} rows;
	struct unwind_row last; /* the row written last, and its wide offset */
	int32_t last_wide;
	uint64_t covered;	       /* up to here addresses have their rows */
	uint64_t text_start, text_end; /* of all executable segments */
	struct cfi_table *table;
	int failure; /* 0, ENOMEM, E2BIG */
};

static void builder_free(struct builder *builder)
{
	free(builder->cies.items);
	free(builder->fdes.items);
	free(builder->rows.items);
}

/* ---- executing instructions ------------------------------------------------------------------ */

struct machine {
	struct builder *builder;
	const struct cie *cie;
	struct rule rule;
	struct rule saved[STATES_MAX];
	size_t saved_count;
	uint64_t at;	     /* address that the rule begins at */
	uint64_t end;	     /* of the FDE */
	const uint8_t *code; /* of the FDE, NULL if the file does not hold it */
	uint64_t code_vaddr;
};

static void emit(struct machine *machine, uint64_t end);

static uint64_t read_pointer(const struct builder *builder, struct reader *reader, uint8_t encoding)
{
	uint64_t position = builder->section_vaddr + (uint64_t)(reader->at - builder->section);
	uint64_t value;

	switch (encoding & PE_FORMAT) {
	case PE_ABSPTR:
	case PE_UDATA8:
	case PE_SDATA8:
		value = read_fixed(reader, 8);
		break;
	case PE_UDATA2:
		value = read_fixed(reader, 2);
		break;
	case PE_SDATA2:
		value = (uint64_t)(int16_t)read_fixed(reader, 2);
		break;
	case PE_UDATA4:
		value = read_fixed(reader, 4);
		break;
	case PE_SDATA4:
		value = (uint64_t)(int32_t)read_fixed(reader, 4);
		break;
	case PE_ULEB128:
		value = read_uleb(reader);
		break;
	case PE_SLEB128:
		value = (uint64_t)read_sleb(reader);
		break;
	default:
		reader->bad = true;
		return 0;
	}
	return encoding & PE_PCREL ? value + position : value;
}

/* DW_OP_breg<register> offset [, DW_OP_deref [, DW_OP_plus_uconst 0]]; 'derefs' says which. */
static bool read_base_expression(struct reader block, uint8_t *reg, int64_t *offset, bool *derefs)
{
	uint8_t op = read_u8(&block);

	if (block.bad || op < OP_BREG0 || op > OP_BREG0 + REG_RETURN)
		return false;
	*reg = op - OP_BREG0;
	*offset = read_sleb(&block);
	*derefs = block.at < block.end && *block.at == OP_DEREF;
	if (*derefs)
		block.at++;
	return !block.bad && block.at == block.end;
}

/*
 * What linkers write for the lazy procedure linkage table: CFA = rsp + 8 + ((rip & 15) >= 11) * 8.
 * breg7 8, breg16 0, lit15, and, lit11, ge, lit3, shl, plus
 */
static bool is_plt_expression(struct reader block)
{
	static const uint8_t expression[] = {0x77, 0x08, 0x80, 0x00, 0x3f, 0x1a,
					     0x3b, 0x2a, 0x33, 0x24, 0x22};

	return (size_t)(block.end - block.at) == sizeof(expression) &&
	       !memcmp(block.at, expression, sizeof(expression));
}

static void set_cfa_expression(struct rule *rule, struct reader block)
{
	bool derefs = false;

	rule->cfa_reg = 0;
	rule->cfa_off = 0;
	if (is_plt_expression(block))
		rule->cfa = CFA_IS_PLT;
	else if (read_base_expression(block, &rule->cfa_reg, &rule->cfa_off, &derefs))
		rule->cfa = derefs ? CFA_IS_DEREF : CFA_IS_REGISTER;
	else
		rule->cfa = CFA_IS_UNKNOWN;
}

static void set_cfa(struct rule *rule, uint64_t reg, int64_t offset)
{
	rule->cfa = reg < REG_RETURN ? CFA_IS_REGISTER : CFA_IS_UNKNOWN;
	rule->cfa_reg = (uint8_t)reg;
	rule->cfa_off = offset;
}

static void set_register(struct rule *rule, uint64_t reg, enum register_rule how, int64_t offset)
{
	if (reg == USER_REG_RBP) {
		rule->rbp = how;
		rule->rbp_off = offset;
	} else if (reg == REG_RETURN) {
		rule->ra = how;
		rule->ra_off = offset;
	} else if (reg == USER_REG_RSP) {
		rule->rsp = how == REGISTER_UNDEFINED ? REGISTER_UNCHANGED : how;
	}
}

/* The register's value is CFA + offset: what rsp always is. */
static void set_register_value(struct rule *rule, uint64_t reg, int64_t offset)
{
	bool is_default = reg == USER_REG_RSP && offset == 0;

	set_register(rule, reg, is_default ? REGISTER_UNCHANGED : REGISTER_ODD, 0);
}

static void set_register_expression(struct rule *rule, uint64_t reg, struct reader block)
{
	uint8_t base = 0;
	int64_t offset = 0;
	bool derefs = false;

	if (read_base_expression(block, &base, &offset, &derefs) && base == USER_REG_RBP && !derefs)
		set_register(rule, reg, REGISTER_AT_RBP, offset);
	else
		set_register(rule, reg, REGISTER_ODD, 0);
}

static void restore_register(struct machine *machine, uint64_t reg)
{
	const struct rule *initial = &machine->cie->initial;

	if (reg == USER_REG_RBP)
		set_register(&machine->rule, reg, initial->rbp, initial->rbp_off);
	else if (reg == REG_RETURN)
		set_register(&machine->rule, reg, initial->ra, initial->ra_off);
	else if (reg == USER_REG_RSP)
		machine->rule.rsp = initial->rsp;
}

/* The rule so far ends at 'target'; false if that is behind us. */
static bool advance_to(struct machine *machine, uint64_t target)
{
	if (target < machine->at)
		return false;
	if (target > machine->end)
		target = machine->end;
	emit(machine, target);
	machine->at = target;
	return true;
}

static bool advance(struct machine *machine, uint64_t delta)
{
	uint64_t bytes = delta * machine->cie->code_align;

	if (bytes > machine->end - machine->at)
		bytes = machine->end - machine->at;
	return advance_to(machine, machine->at + bytes);
}

static bool remember_state(struct machine *machine)
{
	if (machine->saved_count == STATES_MAX)
		return false;
	machine->saved[machine->saved_count++] = machine->rule;
	return true;
}

static bool restore_state(struct machine *machine)
{
	if (!machine->saved_count)
		return false;
	machine->rule = machine->saved[--machine->saved_count];
	return true;
}

/* Instructions that move on. False for others, or if the instruction makes no sense ('bad'). */
static bool execute_advance(struct machine *machine, uint8_t op, struct reader *code)
{
	bool good = true;

	switch (op) {
	case CFA_SET_LOC:
		good = advance_to(machine,
				  read_pointer(machine->builder, code, machine->cie->encoding));
		break;
	case CFA_ADVANCE_LOC1:
		good = advance(machine, read_u8(code));
		break;
	case CFA_ADVANCE_LOC2:
		good = advance(machine, read_fixed(code, 2));
		break;
	case CFA_ADVANCE_LOC4:
		good = advance(machine, read_fixed(code, 4));
		break;
	case CFA_REMEMBER_STATE:
		good = remember_state(machine);
		break;
	case CFA_RESTORE_STATE:
		good = restore_state(machine);
		break;
	case CFA_GNU_ARGS_SIZE:
		read_uleb(code);
		break;
	case CFA_NOP:
		break;
	default:
		return false;
	}
	if (!good)
		code->bad = true;
	return true;
}

/* Instructions that say where the CFA is. */
static bool execute_cfa(struct machine *machine, uint8_t op, struct reader *code)
{
	struct rule *rule = &machine->rule;
	int64_t data_align = machine->cie->data_align;
	uint64_t reg;

	switch (op) {
	case CFA_DEF_CFA:
		reg = read_uleb(code);
		set_cfa(rule, reg, (int64_t)read_uleb(code));
		return true;
	case CFA_DEF_CFA_SF:
		reg = read_uleb(code);
		set_cfa(rule, reg, multiply((uint64_t)read_sleb(code), data_align));
		return true;
	case CFA_DEF_CFA_REGISTER:
		set_cfa(rule, read_uleb(code), rule->cfa_off);
		return true;
	case CFA_DEF_CFA_OFFSET:
		rule->cfa_off = (int64_t)read_uleb(code);
		return true;
	case CFA_DEF_CFA_OFFSET_SF:
		rule->cfa_off = multiply((uint64_t)read_sleb(code), data_align);
		return true;
	case CFA_DEF_CFA_EXPRESSION:
		set_cfa_expression(rule, read_block(code, read_uleb(code)));
		return true;
	default:
		return false;
	}
}

/* Instructions that say where a register is. */
static bool execute_register(struct machine *machine, uint8_t op, struct reader *code)
{
	struct rule *rule = &machine->rule;
	int64_t data_align = machine->cie->data_align;
	uint64_t reg;

	if (op < CFA_OFFSET_EXTENDED ||
	    (op > CFA_VAL_EXPRESSION && op != CFA_GNU_NEGATIVE_OFFSET_EXTENDED))
		return false;
	reg = read_uleb(code);
	switch (op) {
	case CFA_OFFSET_EXTENDED:
		set_register(rule, reg, REGISTER_AT_CFA, multiply(read_uleb(code), data_align));
		return true;
	case CFA_OFFSET_EXTENDED_SF:
		set_register(rule, reg, REGISTER_AT_CFA,
			     multiply((uint64_t)read_sleb(code), data_align));
		return true;
	case CFA_GNU_NEGATIVE_OFFSET_EXTENDED:
		set_register(rule, reg, REGISTER_AT_CFA, multiply(-read_uleb(code), data_align));
		return true;
	case CFA_RESTORE_EXTENDED:
		restore_register(machine, reg);
		return true;
	case CFA_UNDEFINED:
		set_register(rule, reg, REGISTER_UNDEFINED, 0);
		return true;
	case CFA_SAME_VALUE:
		set_register(rule, reg, reg == USER_REG_RBP ? REGISTER_UNCHANGED : REGISTER_ODD, 0);
		return true;
	case CFA_REGISTER:
		read_uleb(code);
		set_register(rule, reg, REGISTER_ODD, 0);
		return true;
	case CFA_EXPRESSION:
		set_register_expression(rule, reg, read_block(code, read_uleb(code)));
		return true;
	case CFA_VAL_EXPRESSION:
		read_block(code, read_uleb(code));
		set_register(rule, reg, REGISTER_ODD, 0);
		return true;
	case CFA_VAL_OFFSET:
		set_register_value(rule, reg, multiply(read_uleb(code), data_align));
		return true;
	case CFA_VAL_OFFSET_SF:
		set_register_value(rule, reg, multiply((uint64_t)read_sleb(code), data_align));
		return true;
	default:
		return false;
	}
}

/* Execute until the end of 'code' or of the FDE. False if it makes no sense. */
static bool execute(struct machine *machine, struct reader code)
{
	while (code.at < code.end && !code.bad) {
		uint8_t op = read_u8(&code), operand = op & 0x3f;

		switch (op & 0xc0) {
		case CFA_ADVANCE_LOC:
			advance(machine, operand);
			continue;
		case CFA_OFFSET:
			set_register(&machine->rule, operand, REGISTER_AT_CFA,
				     multiply(read_uleb(&code), machine->cie->data_align));
			continue;
		case CFA_RESTORE:
			restore_register(machine, operand);
			continue;
		}
		if (!execute_advance(machine, op, &code) && !execute_cfa(machine, op, &code) &&
		    !execute_register(machine, op, &code))
			return false;
	}
	return !code.bad;
}

/* ---- first pass: CIEs and FDEs --------------------------------------------------------------- */

/* The letters of a "z" augmentation and their data. False if an unknown one makes it unreadable. */
static bool read_augmentation(const struct builder *builder, struct cie *cie, const char *letters,
			      struct reader data)
{
	for (; *letters; letters++) {
		switch (*letters) {
		case 'R':
			cie->encoding = read_u8(&data);
			break;
		case 'P': {
			uint8_t encoding = read_u8(&data);

			read_pointer(builder, &data, encoding & PE_FORMAT);
			break;
		}
		case 'L':
			read_u8(&data);
			break;
		case 'S':
			cie->is_signal = true;
			break;
		case 'B':
		case 'G':
			break;
		default:
			return false;
		}
	}
	return !data.bad;
}

/* Only what a linked file uses: plain addresses and those relative to themselves. */
static bool is_known_encoding(uint8_t encoding)
{
	return encoding != PE_OMIT && (encoding & 0xf0 & ~PE_PCREL) == 0;
}

static bool read_cie_header(const struct builder *builder, struct cie *cie, struct reader *entry)
{
	uint8_t version = read_u8(entry);
	const char *augmentation = (const char *)entry->at;
	const uint8_t *nul = memchr(entry->at, 0, entry->end - entry->at);
	uint64_t return_register;

	if (!nul || (version != 1 && version != 3 && version != 4))
		return false;
	entry->at = nul + 1;
	if (!strcmp(augmentation, "eh"))
		read_fixed(entry, 8); /* address of exception tables, GCC 2 */
	if (version == 4 && (read_u8(entry) != 8 || read_u8(entry) != 0))
		return false; /* sizes of addresses and of segment selectors */
	cie->code_align = read_uleb(entry);
	cie->data_align = read_sleb(entry);
	return_register = version == 1 ? read_u8(entry) : read_uleb(entry);
	if (entry->bad || return_register != REG_RETURN)
		return false;
	if (augmentation[0] == 'z') {
		cie->has_data = true;
		if (!read_augmentation(builder, cie, augmentation + 1,
				       read_block(entry, read_uleb(entry))))
			return false;
	} else if (augmentation[0] && strcmp(augmentation, "eh")) {
		return false;
	}
	return !entry->bad && is_known_encoding(cie->encoding);
}

static void read_cie(struct builder *builder, uint64_t offset, struct reader entry)
{
	struct cie *cie = vec_add(&builder->cies);
	struct machine machine = {.builder = builder, .rule = no_rule};

	if (!cie) {
		builder->failure = ENOMEM;
		return;
	}
	*cie = (struct cie){.offset = offset, .initial = no_rule};
	machine.cie = cie;
	/* at == end: instructions that advance write nothing */
	cie->usable = read_cie_header(builder, cie, &entry) && execute(&machine, entry);
	cie->initial = machine.rule;
	if (!cie->usable)
		builder->table->skipped_count++;
}

/* CIEs are noted in the order of their offsets. Returns NULL if none is at 'offset'. */
static const struct cie *find_cie(const struct builder *builder, uint64_t offset)
{
	size_t low = 0, high = builder->cies.count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (builder->cies.items[middle].offset == offset)
			return &builder->cies.items[middle];
		if (builder->cies.items[middle].offset < offset)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* Returns false if the FDE cannot be used. */
static bool read_fde(struct builder *builder, uint64_t cie_offset, struct reader entry)
{
	const struct cie *cie = find_cie(builder, cie_offset);
	uint64_t start, bytes;
	struct fde *fde;

	if (!cie || !cie->usable)
		return false;
	start = read_pointer(builder, &entry, cie->encoding);
	bytes = read_pointer(builder, &entry, cie->encoding & PE_FORMAT);
	if (cie->has_data)
		read_block(&entry, read_uleb(&entry));
	if (entry.bad)
		return false;
	/* functions that the linker dropped start at 0, and some have no length */
	if (!bytes || start < builder->text_start || start >= builder->text_end ||
	    bytes > builder->text_end - start)
		return true;
	fde = vec_add(&builder->fdes);
	if (!fde) {
		builder->failure = ENOMEM;
		return true;
	}
	*fde = (struct fde){.start = start,
			    .end = start + bytes,
			    .cie = (uint32_t)(cie - builder->cies.items),
			    .code = entry.at,
			    .code_end = entry.end};
	return true;
}

/* One entry behind its length. The id of an FDE is the distance back to its CIE. */
static void read_entry(struct builder *builder, uint64_t offset, struct reader entry)
{
	uint64_t id_offset = (uint64_t)(entry.at - builder->section);
	uint32_t id = (uint32_t)read_fixed(&entry, 4);

	if (entry.bad) {
		builder->table->skipped_count++;
		return;
	}
	if (id == 0)
		read_cie(builder, offset, entry);
	else if (id > id_offset || !read_fde(builder, id_offset - id, entry))
		builder->table->skipped_count++;
}

static void read_section(struct builder *builder)
{
	struct reader reader = {.at = builder->section,
				.end = builder->section + builder->section_bytes};

	while (reader.end - reader.at >= 4 && !builder->failure) {
		uint64_t offset = (uint64_t)(reader.at - builder->section);
		uint64_t length = read_fixed(&reader, 4);
		struct reader entry;

		if (!length && builder->ends_at_zero)
			return;
		if (!length) /* crtend.o's terminator may come before other objects */
			continue;
		if (length == UINT32_MAX)
			length = read_fixed(&reader, 8);
		entry = read_block(&reader, length);
		if (reader.bad) {
			builder->table->skipped_count++;
			return;
		}
		read_entry(builder, offset, entry);
	}
}

/* ---- second pass: rows ----------------------------------------------------------------------- */

/* Bytes of "FF /2", an indirect near call, by its ModRM byte and SIB byte. */
static size_t indirect_call_bytes(const uint8_t *code, size_t available)
{
	uint8_t mod, rm;

	if (available < 2 || code[0] != 0xff || (code[1] >> 3 & 7) != 2)
		return 0;
	mod = code[1] >> 6;
	rm = code[1] & 7;
	if (mod == 3)
		return 2;
	if (mod == 0 && rm == 5)
		return 6;
	if (mod == 0 && rm == 4)
		return available > 2 && (code[2] & 7) == 5 ? 7 : 3;
	return 2 + (rm == 4) + (mod == 1 ? 1 : mod == 2 ? 4 : 0);
}

static bool is_direct_call(const struct builder *builder, const uint8_t *code, uint64_t vaddr)
{
	int32_t distance;
	uint64_t target;

	memcpy(&distance, code + 1, sizeof(distance));
	target = vaddr + 5 + (uint64_t)(int64_t)distance;
	return target >= builder->text_start && target < builder->text_end;
}

/*
 * Can a return address fall in [start, end)? That is: do its bytes contain a call, or something
 * that looks like one (instructions are not decoded, so some byte pairs only look so).
 */
static bool may_contain_call(const struct machine *machine, uint64_t start, uint64_t end)
{
	const uint8_t *code;
	size_t bytes = end - start;

	if (!machine->code)
		return true;
	code = machine->code + (start - machine->code_vaddr);
	for (size_t i = 0; i < bytes; i++) {
		size_t length;

		if (code[i] == 0xe8 && bytes - i >= 5 &&
		    is_direct_call(machine->builder, code + i, start + i))
			return true;
		if (code[i] != 0xff)
			continue;
		length = indirect_call_bytes(code + i, bytes - i);
		if (length && length <= bytes - i)
			return true;
	}
	return false;
}

static void add_row(struct builder *builder, struct unwind_row row)
{
	struct unwind_row *added;

	if (builder->rows.count >= ROWS_MAX) {
		builder->failure = E2BIG;
		return;
	}
	added = vec_add(&builder->rows);
	if (added)
		*added = row;
	else
		builder->failure = ENOMEM;
}

/* Write the row that holds from 'vaddr' on, unless it says the same as the one before. */
static void put_row(struct builder *builder, uint64_t vaddr, struct unwind_row row, int32_t wide)
{
	const struct unwind_row *last = &builder->last;

	if (builder->failure)
		return;
	if (builder->rows.count && last->kind == row.kind && last->cfa_off8 == row.cfa_off8 &&
	    last->rbp_off8 == row.rbp_off8 && builder->last_wide == wide)
		return;
	row.pc = (uint32_t)(vaddr - builder->table->text_vaddr);
	builder->last = row;
	builder->last_wide = wide;
	if (row.kind == UNWIND_UNSUP)
		builder->table->unsupported_count++;
	if (row.kind == UNWIND_WIDE) {
		struct unwind_row offset = {.pc = row.pc};

		memcpy((char *)&offset + sizeof(offset.pc), &wide, sizeof(wide));
		add_row(builder, offset);
	}
	add_row(builder, row);
}

/* The lazy procedure linkage table has two rules per entry, which no call ever returns into. */
static void put_plt_rows(struct machine *machine, uint64_t start, uint64_t end)
{
	struct builder *builder = machine->builder;
	struct unwind_row row = {.kind = UNWIND_RSP};

	if (builder->which == CFI_CALL_SITES)
		return;
	while (start < end && !builder->failure) {
		bool pushed = start % PLT_ENTRY_BYTES >= 11;

		row.cfa_off8 = pushed ? 2 : 1;
		put_row(builder, start, row, 0);
		start = (start & -(uint64_t)PLT_ENTRY_BYTES) + (pushed ? PLT_ENTRY_BYTES : 11);
	}
}

/* The machine's rule holds for [machine->at, end): write what of it is not covered yet. */
static void emit(struct machine *machine, uint64_t end)
{
	struct builder *builder = machine->builder;
	uint64_t start = machine->at > builder->covered ? machine->at : builder->covered;
	struct unwind_row row;
	int32_t wide = 0;

	if (start >= end || builder->failure)
		return;
	builder->table->raw_row_count++;
	builder->covered = end;
	if (machine->rule.cfa == CFA_IS_PLT && machine->rule.rbp == REGISTER_UNCHANGED) {
		put_plt_rows(machine, start, end);
		return;
	}
	row = encode_rule(&machine->rule, &wide);
	if (builder->which == CFI_CALL_SITES && row.kind != UNWIND_STOP &&
	    !may_contain_call(machine, start, end))
		return;
	put_row(builder, start, row, wide);
}

static void emit_fde(struct builder *builder, const struct fde *fde)
{
	const struct cie *cie = &builder->cies.items[fde->cie];
	struct machine machine = {.builder = builder,
				  .cie = cie,
				  .rule = cie->initial,
				  .at = fde->start,
				  .end = fde->end};
	struct reader code = {.at = fde->code, .end = fde->code_end};

	if (fde->end <= builder->covered)
		return;
	if (cie->is_signal) {
		put_row(builder, machine.at > builder->covered ? machine.at : builder->covered,
			(struct unwind_row){.kind = UNWIND_SIGNAL}, 0);
		builder->covered = fde->end;
		builder->table->raw_row_count++;
		return;
	}
	machine.code_vaddr = fde->start;
	machine.code = elf_file_at_vaddr(builder->elf, fde->start, fde->end - fde->start);
	if (!execute(&machine, code)) {
		machine.rule = no_rule;
		builder->table->skipped_count++;
	}
	emit(&machine, fde->end);
}

static int compare_fdes(const void *a, const void *b)
{
	const struct fde *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return x->code < y->code ? -1 : x->code > y->code;
}

static void sort_fdes(struct builder *builder)
{
	struct fde *fdes = builder->fdes.items;

	for (size_t i = 1; i < builder->fdes.count; i++) {
		if (compare_fdes(&fdes[i - 1], &fdes[i]) <= 0)
			continue;
		qsort(fdes, builder->fdes.count, sizeof(*fdes), compare_fdes);
		return;
	}
}

static void emit_rows(struct builder *builder)
{
	const struct unwind_row nothing = {.kind = UNWIND_END};

	sort_fdes(builder);
	for (size_t i = 0; i < builder->fdes.count && !builder->failure; i++) {
		const struct fde *fde = &builder->fdes.items[i];

		if (builder->rows.count && fde->start > builder->covered &&
		    fde->start - builder->covered > PADDING_MAX)
			put_row(builder, builder->covered, nothing, 0);
		emit_fde(builder, fde);
	}
	if (builder->fdes.count)
		put_row(builder, builder->covered, nothing, 0);
}

/* ---- finding the section --------------------------------------------------------------------- */

static void find_text(struct builder *builder)
{
	builder->text_start = UINT64_MAX;
	for (size_t i = 0; i < builder->elf->segment_count; i++) {
		const Elf64_Phdr *segment = &builder->elf->segments[i];
		uint64_t end = segment->p_vaddr + segment->p_memsz;

		if (segment->p_type != PT_LOAD || !(segment->p_flags & PF_X) ||
		    end < segment->p_vaddr)
			continue;
		if (segment->p_vaddr < builder->text_start)
			builder->text_start = segment->p_vaddr;
		if (end > builder->text_end)
			builder->text_end = end;
	}
	/* rows count in 32 bits from the first byte of text */
	if (builder->text_end - builder->text_start > UINT32_MAX)
		builder->text_end = builder->text_start + UINT32_MAX;
}

/* The rest of the file data of the segment that holds 'vaddr'. */
static bool take_segment_rest(struct builder *builder, uint64_t vaddr)
{
	for (size_t i = 0; i < builder->elf->segment_count; i++) {
		const Elf64_Phdr *segment = &builder->elf->segments[i];
		uint64_t bytes;

		if (segment->p_type != PT_LOAD || vaddr < segment->p_vaddr ||
		    vaddr - segment->p_vaddr >= segment->p_filesz)
			continue;
		bytes = segment->p_filesz - (vaddr - segment->p_vaddr);
		builder->section = elf_file_at_vaddr(builder->elf, vaddr, bytes);
		builder->section_vaddr = vaddr;
		builder->section_bytes = bytes;
		builder->ends_at_zero = true;
		return builder->section != NULL;
	}
	return false;
}

/* .eh_frame_hdr: version 1, three encodings, then the encoded address of .eh_frame. */
static bool find_by_header(struct builder *builder)
{
	for (size_t i = 0; i < builder->elf->segment_count; i++) {
		const Elf64_Phdr *segment = &builder->elf->segments[i];
		const uint8_t *bytes;
		struct reader reader;
		uint64_t vaddr;
		uint8_t encoding;

		if (segment->p_type != PT_GNU_EH_FRAME)
			continue;
		bytes = elf_file_at(builder->elf, segment->p_offset, segment->p_filesz);
		if (!bytes || segment->p_filesz < 8 || bytes[0] != 1)
			return false;
		encoding = bytes[1];
		if (!is_known_encoding(encoding))
			return false;
		reader = (struct reader){.at = bytes + 4, .end = bytes + segment->p_filesz};
		builder->section = bytes;
		builder->section_vaddr = segment->p_vaddr;
		vaddr = read_pointer(builder, &reader, encoding);
		return !reader.bad && take_segment_rest(builder, vaddr);
	}
	return false;
}

static bool find_section(struct builder *builder)
{
	const Elf64_Shdr *section = elf_file_section(builder->elf, ".eh_frame");

	if (!section)
		return find_by_header(builder);
	if (section->sh_type == SHT_NOBITS)
		return false;
	builder->section = elf_file_at(builder->elf, section->sh_offset, section->sh_size);
	builder->section_vaddr = section->sh_addr;
	builder->section_bytes = section->sh_size;
	return builder->section != NULL;
}

int cfi_compile(const struct elf_file *elf, enum cfi_rows which, struct cfi_table *table,
		struct err *err)
{
	_cleanup_(builder_free) struct builder builder = {.elf = elf, .which = which};
	struct cfi_table result = {.text_vaddr = elf_file_text_vaddr(elf)};

	builder.table = &result;
	find_text(&builder);
	if (builder.text_end && find_section(&builder)) {
		read_section(&builder);
		emit_rows(&builder);
	}
	if (builder.failure == E2BIG)
		return err_set(err, E2BIG, "more than %u rows of call-frame information", ROWS_MAX);
	if (builder.failure)
		return err_set(err, ENOMEM, "out of memory for call-frame information");
	result.fde_count = builder.fdes.count;
	result.row_count = builder.rows.count;
	result.rows = TAKE_PTR(builder.rows.items);
	*table = result;
	return 0;
}

void cfi_table_free(struct cfi_table *table)
{
	free(table->rows);
	*table = (struct cfi_table){0};
}
