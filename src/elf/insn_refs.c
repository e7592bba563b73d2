/* SPDX-License-Identifier: GPL-2.0-only */
/* insn_refs.c - see insn_refs.h */
#include "elf/insn_refs.h"

#include <Zydis/Zydis.h>

/* An operand [rip + disp], or the immediate of a mov. */
static bool operand_target(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operand,
			   uint64_t address, uint64_t *target)
{
	if (operand->type == ZYDIS_OPERAND_TYPE_MEMORY &&
	    operand->mem.base == ZYDIS_REGISTER_RIP)
		return ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(insn, operand, address, target));
	if (operand->type == ZYDIS_OPERAND_TYPE_IMMEDIATE && !operand->imm.is_relative &&
	    insn->mnemonic == ZYDIS_MNEMONIC_MOV) {
		*target = operand->imm.value.u;
		return true;
	}
	return false;
}

static bool describe_reference(const ZydisDecodedInstruction *insn,
			       const ZydisDecodedOperand *operands, uint64_t address,
			       struct reference *reference)
{
	for (uint8_t i = 0; i < insn->operand_count_visible; i++) {
		if (!operand_target(insn, &operands[i], address, &reference->target))
			continue;
		reference->loads_bytes = 0;
		if (insn->mnemonic == ZYDIS_MNEMONIC_MOV && i == 1 &&
		    operands[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    operands[1].type == ZYDIS_OPERAND_TYPE_MEMORY)
			reference->loads_bytes = operands[1].size / 8;
		return true;
	}
	return false;
}

bool insn_next_reference(const uint8_t *code, size_t length, uint64_t address, size_t *offset,
			 struct reference *reference)
{
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction insn;
	ZydisDecoder decoder;

	if (ZYAN_FAILED(
		ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)))
		return false;
	while (*offset < length) {
		size_t at = *offset;

		if (ZYAN_FAILED(ZydisDecoderDecodeFull(&decoder, code + at, length - at, &insn,
						       operands))) {
			*offset = at + 1;
			continue;
		}
		*offset = at + insn.length;
		if (describe_reference(&insn, operands, address + at, reference))
			return true;
	}
	return false;
}
