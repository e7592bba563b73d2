/* SPDX-License-Identifier: GPL-2.0-only */
/* decode.c - see decode.h */
#include "elf/decode.h"

#include "base/abi_types.h"

bool insn_decode(const uint8_t *code, size_t length, struct insn *insn)
{
	ZydisDecoder decoder;

	insn->bytes = code;
	return ZYAN_SUCCESS(
		   ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)) &&
	       ZYAN_SUCCESS(
		   ZydisDecoderDecodeFull(&decoder, code, length, &insn->info, insn->operands));
}

int insn_register(ZydisRegister reg)
{
	static const int8_t dwarf[] = {USER_REG_RAX, USER_REG_RCX, USER_REG_RDX, USER_REG_RBX,
				       USER_REG_RSP, USER_REG_RBP, USER_REG_RSI, USER_REG_RDI};
	ZydisRegister whole = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);
	int number;

	if (ZydisRegisterGetClass(whole) != ZYDIS_REGCLASS_GPR64)
		return -1;
	number = ZydisRegisterGetId(whole);
	return number < 8 ? dwarf[number] : number;
}

uint16_t insn_written_registers(const struct insn *insn)
{
	uint16_t written = 0;

	for (uint8_t i = 0; i < insn->info.operand_count; i++) {
		const ZydisDecodedOperand *operand = &insn->operands[i];
		int reg;

		if (operand->type != ZYDIS_OPERAND_TYPE_REGISTER ||
		    !(operand->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
			continue;
		reg = insn_register(operand->reg.value);
		if (reg >= 0)
			written |= 1U << reg;
	}
	return written;
}
