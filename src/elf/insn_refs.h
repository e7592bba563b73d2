/* SPDX-License-Identifier: GPL-2.0-only */
/* insn_refs.h - which data a function names: the addresses formed by its instructions. */
#ifndef SEEP_ELF_INSN_REFS_H
#define SEEP_ELF_INSN_REFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reference {
	uint64_t target;     /* ELF address */
	uint8_t loads_bytes; /* so much is read from there into a register; 0: not a plain load */
};

/*
 * Find the next address that is formed relative to rip or stands in the code (mov $imm32, as
 * programs at a fixed address do) from '*offset' on and set '*offset' behind that instruction.
 * Bytes that do not decode are stepped over. Returns false when there is none left.
 */
bool insn_next_reference(const uint8_t *code, size_t length, uint64_t address, size_t *offset,
			 struct reference *reference);

#endif
