/* SPDX-License-Identifier: GPL-2.0-only */
/* decode.h - one instruction, as Zydis decodes it, and the general registers in it. */
#ifndef SEEP_ELF_DECODE_H
#define SEEP_ELF_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <Zydis/Zydis.h>

struct insn {
	ZydisDecodedInstruction info;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	const uint8_t *bytes; /* the caller's */
};

/* Decode the instruction at 'code', of which 'length' bytes are there. False if it is none. */
bool insn_decode(const uint8_t *code, size_t length, struct insn *insn);

/* Register number of include/abi.h (DWARF's), -1 for what is no general register. */
int insn_register(ZydisRegister reg);

/* The general registers that it writes, also parts of them: bit R for register R. */
uint16_t insn_written_registers(const struct insn *insn);

#endif
