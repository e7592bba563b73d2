/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * insn.c - see insn.h. Zydis decodes; here is what the kernel makes of an instruction, and where
 * the arguments are by the time it is reached.
 *
 * What the kernel emulates and refuses: Linux arch/x86/kernel/uprobes.c, read in v5.15, v6.18 and
 * the 6.19 development tree: branch_setup_xol_ops(), push_setup_xol_ops(), is_prefix_bad(),
 * good_insns_64[], can_optimize(); arch/x86/lib/insn-eval.c: insn_is_nop().
 */
#include "elf/insn.h"

#include <errno.h>
#include <string.h>

#include "base/abi_types.h"
#include "base/cleanup.h"
#include "elf/decode.h"

#define ENTRY_BYTES_MAX 64 /* how far from the entry a probe may stand; bits of a uint64_t */
#define SP_DELTA_MAX	(255 * 8)
#define CALL_ARGS	6 /* System V ABI: rdi rsi rdx rcx r8 r9 */
#define RSP_BIT		(1U << USER_REG_RSP)

static const uint8_t argument_registers[CALL_ARGS] = {USER_REG_RDI, USER_REG_RSI, USER_REG_RDX,
						      USER_REG_RCX, USER_REG_R8,  USER_REG_R8 + 1};

/* What a uprobe on an instruction costs. */
enum probe_cost {
	COST_EMULATED, /* one trap, on every kernel since 4.15 */
	COST_NOP,      /* a multi-byte nop: emulated since 6.16, single-stepped before */
	COST_STEPPED,
	COST_REFUSED, /* by some kernel, or harmful there */
};

/* What is known before the instruction at 'offset'. */
struct walk {
	uint32_t offset;
	uint16_t holders[CALL_ARGS]; /* bit R: register R (USER_REG_*) holds argument N */
	int64_t sp_delta_bytes;	     /* the return address is at rsp + this */
	uint8_t null_argument;	     /* the one whose test for NULL may be passed */
	bool zero_flag_is_null;	     /* ZF says whether it is NULL */
	bool passed_null_branch;
};

struct choice {
	bool found;
	enum probe_cost cost;
	struct walk at;
	struct insn insn;
};

/* ---- operands -------------------------------------------------------------------------------- */

static bool is_whole_register(const ZydisDecodedOperand *operand)
{
	return operand->type == ZYDIS_OPERAND_TYPE_REGISTER &&
	       ZydisRegisterGetClass(operand->reg.value) == ZYDIS_REGCLASS_GPR64;
}

static bool has_prefix(const struct insn *insn, uint8_t value)
{
	for (uint8_t i = 0; i < insn->info.raw.prefix_count; i++)
		if (insn->info.raw.prefixes[i].value == value)
			return true;
	return false;
}

static bool is_one_byte_opcode(const struct insn *insn)
{
	return insn->info.encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
	       insn->info.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT;
}

static bool is_two_byte_opcode(const struct insn *insn)
{
	return insn->info.encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
	       insn->info.opcode_map == ZYDIS_OPCODE_MAP_0F;
}

/* jmp, jcc, call, loop with a displacement in the instruction: where it goes from 'offset'. */
static bool relative_target(const struct insn *insn, int64_t offset, int64_t *target)
{
	for (uint8_t i = 0; i < insn->info.operand_count; i++) {
		const ZydisDecodedOperand *operand = &insn->operands[i];

		if (operand->type != ZYDIS_OPERAND_TYPE_IMMEDIATE || !operand->imm.is_relative)
			continue;
		*target = (int64_t)((uint64_t)offset + insn->info.length + operand->imm.value.u);
		return true;
	}
	return false;
}

/* ---- what the kernel makes of it ------------------------------------------------------------- */

static bool is_jcc(const struct insn *insn)
{
	uint8_t opcode = insn->info.opcode;

	return (is_one_byte_opcode(insn) && opcode >= 0x70 && opcode <= 0x7f) ||
	       (is_two_byte_opcode(insn) && opcode >= 0x80 && opcode <= 0x8f);
}

static bool is_near_branch(const struct insn *insn)
{
	uint8_t opcode = insn->info.opcode;

	if (is_jcc(insn))
		return true;
	return is_one_byte_opcode(insn) && (opcode == 0xe8 || opcode == 0xe9 || opcode == 0xeb);
}

static bool is_emulated_push(const struct insn *insn)
{
	if (!is_one_byte_opcode(insn) || (insn->info.opcode & 0xf8) != 0x50)
		return false;
	return insn->info.length == 1 || (insn->info.length == 2 && insn->bytes[0] == 0x41);
}

/* x86_nops[] of arch/x86/include/asm/nops.h, without 2 and 5. */
static bool is_emulated_long_nop(const struct insn *insn)
{
	static const char *const nops[] = {
	    [3] = "\x0f\x1f\x00",
	    [4] = "\x0f\x1f\x40\x00",
	    [6] = "\x66\x0f\x1f\x44\x00\x00",
	    [7] = "\x0f\x1f\x80\x00\x00\x00\x00",
	    [8] = "\x0f\x1f\x84\x00\x00\x00\x00\x00",
	};
	uint8_t length = insn->info.length;

	return length < ARRAY_LEN(nops) && nops[length] &&
	       !memcmp(insn->bytes, nops[length], length);
}

/* Opcodes that good_insns_64[] leaves out, as far as they decode at all. */
static bool is_refused_opcode(uint8_t opcode)
{
	static const uint8_t ranges[][2] = {{0x6c, 0x6f}, {0xcc, 0xcf}, {0xe4, 0xe7}, {0xec, 0xef},
					    {0xf1, 0xf1}, {0xf4, 0xf4}, {0xfa, 0xfb}};

	for (size_t i = 0; i < ARRAY_LEN(ranges); i++)
		if (opcode >= ranges[i][0] && opcode <= ranges[i][1])
			return true;
	return false;
}

/* es, cs, ss, ds (also as branch hint and 'notrack'), lock: is_prefix_bad(). */
static bool has_refused_prefix(const struct insn *insn)
{
	static const uint8_t refused[] = {0x26, 0x2e, 0x36, 0x3e, 0xf0};

	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		if (has_prefix(insn, refused[i]))
			return true;
	return false;
}

/*
 * Five bytes that do nothing. Since 6.18 a probe turns them into a call through a trampoline,
 * which writes below rsp; which instructions count as such grew in 6.19 (jmp +0, lea).
 */
static bool is_five_byte_nop(const struct insn *insn)
{
	const ZydisDecodedOperand *operands = insn->operands;
	int64_t target;

	if (insn->info.length != 5)
		return false;
	switch (insn->info.mnemonic) {
	case ZYDIS_MNEMONIC_NOP:
		return true;
	case ZYDIS_MNEMONIC_JMP:
		return relative_target(insn, 0, &target) && target == 5;
	case ZYDIS_MNEMONIC_LEA:
		return operands[1].mem.base == operands[0].reg.value &&
		       operands[1].mem.index == ZYDIS_REGISTER_NONE && !operands[1].mem.disp.value;
	default:
		return false;
	}
}

/* Opcodes of one byte that depend on more than the opcode. */
static bool is_refused_form(const struct insn *insn)
{
	uint8_t opcode = insn->info.opcode;

	if (is_near_branch(insn) && has_prefix(insn, 0x66))
		return true;
	if (!is_one_byte_opcode(insn))
		return false;
	/* 66 90: refused before 6.2. 41 90 is xchg, which kernels before 6.19 skip as a nop */
	if (opcode == 0x90 && insn->info.length > 1)
		return true;
	/* mov to ss masks exceptions: insn_masking_exception() */
	return opcode == 0x8e && insn->info.raw.modrm.reg == 2;
}

static enum probe_cost probe_cost(const struct insn *insn)
{
	/* VEX, EVEX, XOP: kernels differ, and entry blocks have none */
	if (insn->info.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY)
		return COST_REFUSED;
	if (has_refused_prefix(insn) || is_refused_form(insn) || is_five_byte_nop(insn))
		return COST_REFUSED;
	if (is_one_byte_opcode(insn) && is_refused_opcode(insn->info.opcode))
		return COST_REFUSED;
	/* syscall, ud2, sysenter */
	if (is_two_byte_opcode(insn) &&
	    (insn->info.opcode == 0x05 || insn->info.opcode == 0x0b || insn->info.opcode == 0x34))
		return COST_REFUSED;
	if (is_emulated_push(insn) || is_near_branch(insn) ||
	    (is_one_byte_opcode(insn) && insn->info.opcode == 0x90))
		return COST_EMULATED;
	return is_emulated_long_nop(insn) ? COST_NOP : COST_STEPPED;
}

/* ---- what it does to the arguments ----------------------------------------------------------- */

static void forget_register(struct walk *walk, int reg)
{
	for (int i = 0; i < CALL_ARGS; i++)
		walk->holders[i] &= ~(1U << reg);
}

static void copy_register(struct walk *walk, int to, int from)
{
	for (int i = 0; i < CALL_ARGS; i++) {
		bool held = walk->holders[i] & (1U << from);

		walk->holders[i] &= ~(1U << to);
		if (held)
			walk->holders[i] |= 1U << to;
	}
}

static void swap_registers(struct walk *walk, int a, int b)
{
	for (int i = 0; i < CALL_ARGS; i++) {
		bool in_a = walk->holders[i] & (1U << a), in_b = walk->holders[i] & (1U << b);

		walk->holders[i] &= ~(1U << a | 1U << b);
		walk->holders[i] |= (unsigned int)in_a << b | (unsigned int)in_b << a;
	}
}

/* How far an instruction that writes rsp moves it down. False if that cannot be told. */
static bool stack_growth(const struct insn *insn, int64_t *bytes)
{
	const ZydisDecodedOperand *operands = insn->operands;

	switch (insn->info.mnemonic) {
	case ZYDIS_MNEMONIC_PUSH:
		*bytes = insn->info.operand_width / 8;
		return true;
	case ZYDIS_MNEMONIC_POP:
		*bytes = -(int64_t)(insn->info.operand_width / 8);
		return !is_whole_register(&operands[0]) ||
		       operands[0].reg.value != ZYDIS_REGISTER_RSP;
	case ZYDIS_MNEMONIC_SUB:
	case ZYDIS_MNEMONIC_ADD:
		if (!is_whole_register(&operands[0]) ||
		    operands[1].type != ZYDIS_OPERAND_TYPE_IMMEDIATE)
			return false;
		*bytes = operands[1].imm.value.s;
		if (insn->info.mnemonic == ZYDIS_MNEMONIC_ADD)
			*bytes = -*bytes;
		return true;
	case ZYDIS_MNEMONIC_LEA:
		if (!is_whole_register(&operands[0]) ||
		    operands[1].mem.base != ZYDIS_REGISTER_RSP ||
		    operands[1].mem.index != ZYDIS_REGISTER_NONE)
			return false;
		*bytes = -operands[1].mem.disp.value;
		return true;
	default:
		return false;
	}
}

static bool move_stack(struct walk *walk, const struct insn *insn)
{
	int64_t bytes;

	if (!stack_growth(insn, &bytes) || bytes % 8 || bytes > SP_DELTA_MAX ||
	    bytes < -SP_DELTA_MAX)
		return false;
	walk->sp_delta_bytes += bytes;
	return walk->sp_delta_bytes >= 0 && walk->sp_delta_bytes <= SP_DELTA_MAX;
}

static void track_registers(struct walk *walk, const struct insn *insn, uint16_t written)
{
	const ZydisDecodedOperand *operands = insn->operands;
	bool whole = insn->info.operand_count_visible == 2 && is_whole_register(&operands[0]) &&
		     is_whole_register(&operands[1]);

	if (whole && insn->info.mnemonic == ZYDIS_MNEMONIC_MOV) {
		copy_register(walk, insn_register(operands[0].reg.value),
			      insn_register(operands[1].reg.value));
		return;
	}
	if (whole && insn->info.mnemonic == ZYDIS_MNEMONIC_XCHG) {
		swap_registers(walk, insn_register(operands[0].reg.value),
			       insn_register(operands[1].reg.value));
		return;
	}
	for (int reg = 0; reg < 16; reg++)
		if (written & (1U << reg))
			forget_register(walk, reg);
}

/* test %arg,%arg */
static bool tests_null_argument(const struct walk *walk, const struct insn *insn)
{
	const ZydisDecodedOperand *operands = insn->operands;

	return insn->info.mnemonic == ZYDIS_MNEMONIC_TEST && is_whole_register(&operands[0]) &&
	       is_whole_register(&operands[1]) && operands[0].reg.value == operands[1].reg.value &&
	       (walk->holders[walk->null_argument] &
		(1U << insn_register(operands[0].reg.value)));
}

static bool writes_zero_flag(const struct insn *insn)
{
	const ZydisAccessedFlags *flags = insn->info.cpu_flags;

	return flags && ((flags->modified | flags->set_0 | flags->set_1 | flags->undefined) &
			 ZYDIS_CPUFLAG_ZF);
}

/* True if control goes on to the next instruction, always and undisturbed. */
static bool falls_through(const struct insn *insn)
{
	switch (insn->info.meta.category) {
	case ZYDIS_CATEGORY_CALL:
	case ZYDIS_CATEGORY_COND_BR:
	case ZYDIS_CATEGORY_UNCOND_BR:
	case ZYDIS_CATEGORY_RET:
	case ZYDIS_CATEGORY_INTERRUPT:
	case ZYDIS_CATEGORY_SYSCALL:
	case ZYDIS_CATEGORY_SYSRET:
	case ZYDIS_CATEGORY_SYSTEM:
		return false;
	default:
		break;
	}
	switch (insn->info.mnemonic) {
	case ZYDIS_MNEMONIC_UD0:
	case ZYDIS_MNEMONIC_UD1:
	case ZYDIS_MNEMONIC_UD2:
	case ZYDIS_MNEMONIC_HLT:
	case ZYDIS_MNEMONIC_XBEGIN:
	case ZYDIS_MNEMONIC_XABORT:
		return false;
	default:
		return true;
	}
}

/* Step over 'insn'. False: what follows is not reached as we need it. */
static bool walk_over(struct walk *walk, const struct insn *insn, bool null_may_skip)
{
	uint16_t written = insn_written_registers(insn);

	if (!falls_through(insn)) {
		bool skips_null = null_may_skip && walk->zero_flag_is_null && is_jcc(insn) &&
				  insn->info.mnemonic == ZYDIS_MNEMONIC_JZ;

		if (!skips_null)
			return false;
		walk->passed_null_branch = true;
	}
	if ((written & RSP_BIT) && !move_stack(walk, insn))
		return false;
	if (tests_null_argument(walk, insn))
		walk->zero_flag_is_null = true;
	else if (writes_zero_flag(insn))
		walk->zero_flag_is_null = false;
	track_registers(walk, insn, written & ~RSP_BIT);
	walk->offset += insn->info.length;
	return true;
}

/* ---- choosing -------------------------------------------------------------------------------- */

/*
 * Offsets below ENTRY_BYTES_MAX that some jump in the function goes to, as bits. The whole body is
 * swept; the entry does not count: a jump there is a call that reuses the frame.
 */
static uint64_t branch_targets(const uint8_t *code, size_t length)
{
	uint64_t targets = 0;

	for (size_t offset = 0; offset < length;) {
		struct insn insn;
		int64_t target;

		if (!insn_decode(code + offset, length - offset, &insn)) {
			offset++; /* data between the code, or the end cut off */
			continue;
		}
		if (relative_target(&insn, offset, &target) && target > 0 &&
		    target < ENTRY_BYTES_MAX)
			targets |= 1ULL << target;
		offset += insn.info.length;
	}
	return targets;
}

static struct walk walk_from_entry(const struct probe_needs *needs)
{
	struct walk walk = {.null_argument = needs->null_argument};

	for (int i = 0; i < CALL_ARGS; i++)
		walk.holders[i] = 1U << argument_registers[i];
	return walk;
}

static bool meets_needs(const struct walk *walk, const struct probe_needs *needs)
{
	for (int i = 0; i < CALL_ARGS; i++) {
		uint16_t wanted = i < PROBE_ARGS ? UINT16_MAX : 1U << argument_registers[i];

		if ((needs->arg_mask & (1U << i)) && !(walk->holders[i] & wanted))
			return false;
	}
	return !needs->return_address || !walk->sp_delta_bytes;
}

/*
 * Cheaper is better. Of equals the first is, but one behind the NULL test saves the trap for
 * free(NULL).
 */
static bool is_better(const struct choice *best, enum probe_cost cost, const struct walk *walk)
{
	if (cost == COST_REFUSED)
		return false;
	if (!best->found || cost < best->cost)
		return true;
	return cost == best->cost && cost < COST_STEPPED && walk->passed_null_branch &&
	       !best->at.passed_null_branch;
}

/* The register that holds argument 'index': the one it came in, if it still does. */
static uint8_t holding_register(const struct walk *walk, int index)
{
	static const uint8_t arrives_in[PROBE_ARGS] = {USER_REG_RDI, USER_REG_RSI, USER_REG_RDX};
	uint16_t holders = walk->holders[index];

	if (!holders || (holders & (1U << arrives_in[index])))
		return arrives_in[index];
	return __builtin_ctz(holders);
}

/* "push %r12"; "" if it is longer than fits. */
static void format_insn(const struct insn *insn, uint64_t address, char *text, size_t size)
{
	ZydisFormatter formatter;

	ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_ATT);
	ZydisFormatterSetProperty(&formatter, ZYDIS_FORMATTER_PROP_HEX_UPPERCASE, 0);
	ZydisFormatterSetProperty(&formatter, ZYDIS_FORMATTER_PROP_ADDR_PADDING_ABSOLUTE,
				  ZYDIS_PADDING_DISABLED);
	ZydisFormatterSetProperty(&formatter, ZYDIS_FORMATTER_PROP_IMM_PADDING,
				  ZYDIS_PADDING_DISABLED);
	ZydisFormatterSetProperty(&formatter, ZYDIS_FORMATTER_PROP_DISP_PADDING,
				  ZYDIS_PADDING_DISABLED);
	if (ZYAN_FAILED(ZydisFormatterFormatInstruction(&formatter, &insn->info, insn->operands,
							insn->info.operand_count_visible, text,
							size, address, NULL)))
		text[0] = '\0';
}

static void describe_choice(const struct choice *choice, uint64_t address, struct probe_site *site)
{
	const struct walk *at = &choice->at;

	*site = (struct probe_site){
	    .offset = at->offset,
	    .sp_delta8 = at->sp_delta_bytes / 8,
	    .emulated = choice->cost < COST_STEPPED,
	    .skips_null = at->passed_null_branch,
	};
	for (int i = 0; i < PROBE_ARGS; i++)
		site->regs[i] = holding_register(at, i);
	format_insn(&choice->insn, address + at->offset, site->text, sizeof(site->text));
}

int insn_choose_site(const uint8_t *code, size_t length, uint64_t address,
		     const struct probe_needs *needs, struct probe_site *site)
{
	struct walk walk = walk_from_entry(needs);
	uint64_t targets = branch_targets(code, length);
	struct choice best = {.cost = COST_REFUSED};
	struct insn insn;

	while (walk.offset < length && walk.offset < ENTRY_BYTES_MAX) {
		enum probe_cost cost;

		if (targets & (1ULL << walk.offset))
			break; /* reached more than once per call, with other arguments */
		if (!insn_decode(code + walk.offset, length - walk.offset, &insn))
			break;
		cost = probe_cost(&insn);
		if (meets_needs(&walk, needs) && is_better(&best, cost, &walk))
			best = (struct choice){true, cost, walk, insn};
		if (!walk_over(&walk, &insn, needs->null_may_skip))
			break;
	}
	if (!best.found)
		return -EILSEQ;
	describe_choice(&best, address, site);
	return 0;
}

/* ---- where control goes ---------------------------------------------------------------------- */

bool insn_is_thunk(const uint8_t *code, size_t length, uint64_t address, uint64_t *target)
{
	size_t offset = 0;
	struct insn insn;
	int64_t to;

	if (!insn_decode(code, length, &insn))
		return false;
	if (insn.info.mnemonic == ZYDIS_MNEMONIC_ENDBR64) {
		offset = insn.info.length;
		if (!insn_decode(code + offset, length - offset, &insn))
			return false;
	}
	if (insn.info.mnemonic != ZYDIS_MNEMONIC_JMP || !relative_target(&insn, offset, &to))
		return false;
	*target = address + (uint64_t)to;
	return true;
}

static enum transfer_kind transfer_kind(const struct insn *insn)
{
	switch (insn->info.meta.category) {
	case ZYDIS_CATEGORY_CALL:
		return TRANSFER_CALL;
	case ZYDIS_CATEGORY_COND_BR:
		return TRANSFER_BRANCH;
	case ZYDIS_CATEGORY_UNCOND_BR:
		return TRANSFER_JUMP;
	default:
		return TRANSFER_END;
	}
}

/* jmp or call *disp(%rip) */
static bool slot_address(const struct insn *insn, uint64_t address, uint64_t *slot)
{
	const ZydisDecodedOperand *operand = &insn->operands[0];

	return operand->type == ZYDIS_OPERAND_TYPE_MEMORY &&
	       operand->mem.base == ZYDIS_REGISTER_RIP &&
	       ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(&insn->info, operand, address, slot));
}

static struct transfer describe_transfer(const struct insn *insn, uint64_t address)
{
	struct transfer transfer = {.kind = transfer_kind(insn)};
	int64_t target;

	if (transfer.kind == TRANSFER_END)
		return transfer;
	if (relative_target(insn, (int64_t)address, &target)) {
		transfer.known = true;
		transfer.target = (uint64_t)target;
	} else if (slot_address(insn, address, &transfer.target)) {
		transfer.known = transfer.through_slot = true;
	}
	return transfer;
}

bool insn_next_transfer(const uint8_t *code, size_t length, uint64_t address, size_t *offset,
			struct transfer *transfer)
{
	while (*offset < length) {
		size_t at = *offset;
		struct insn insn;

		if (!insn_decode(code + at, length - at, &insn)) {
			*offset = at + 1;
			continue;
		}
		*offset = at + insn.info.length;
		if (falls_through(&insn))
			continue;
		*transfer = describe_transfer(&insn, address + at);
		return true;
	}
	return false;
}
