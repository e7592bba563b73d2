/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * insn.h - where in a function a probe may stand, and what it costs there.
 *
 * A uprobe on an instruction that the kernel emulates (push, one-byte nop, jmp, jcc, call, and the
 * 2-, 3-, 4-, 6-, 7-, 8-byte nops; Linux arch/x86/kernel/uprobes.c) costs one trap; any other is
 * single-stepped out of line, 3 to 20 times as much. So we take the first emulated instruction
 * that is reached unconditionally from the entry with the arguments still in registers. Never the
 * 5-byte nop: Linux 6.18 turns it into a call, which corrupts red zones and kills forked children.
 */
#ifndef SEEP_ELF_INSN_H
#define SEEP_ELF_INSN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROBE_ARGS 3

struct probe_site {
	uint32_t offset;	  /* from the function's entry */
	uint8_t regs[PROBE_ARGS]; /* USER_USER_REG_* of include/abi.h: where argument N is there */
	uint8_t sp_delta8;	  /* the return address is at rsp + 8 * sp_delta8 */
	bool emulated;		  /* false: single-stepped */
	bool skips_null;	  /* not reached when that argument is NULL (free's test/je/push) */
	char text[48];		  /* the instruction, for 'seep doctor' */
};

/* What the probe needs at its site. */
struct probe_needs {
	uint8_t arg_mask;    /* bit N: argument N must be intact in some register; those
			      * from PROBE_ARGS on, which 'regs' cannot name, where they arrived */
	bool return_address; /* rsp must be as at entry (a return probe will be put there) */
	bool null_may_skip;  /* a branch taken for a NULL argument may be passed (free) */
	uint8_t null_argument; /* which one that is */
	/* a jcc that is passed only when not taken is a fine site itself, but not beyond it,
	 * unless null_may_skip says so */
};

/*
 * Choose the site in the function whose 'length' bytes of code are at 'code' and whose ELF address
 * is 'address'. The site lies in the first 64 bytes; all are searched for jumps to it, since an
 * instruction that the function jumps back to would be hit more than once per call. Finds one: the
 * entry itself when nothing is better, or what follows it if the kernel refuses the entry.
 * Returns 0, -EILSEQ if there is none (no code, or nothing that the kernel takes).
 */
int insn_choose_site(const uint8_t *code, size_t length, uint64_t address,
		     const struct probe_needs *needs, struct probe_site *site);

/*
 * If the function does nothing but jump on (jmp rel, maybe after endbr64), its destination.
 * Returns true and sets 'target' (ELF address).
 */
bool insn_is_thunk(const uint8_t *code, size_t length, uint64_t address, uint64_t *target);

/* Where control may leave the straight line. */
enum transfer_kind {
	TRANSFER_JUMP,
	TRANSFER_BRANCH, /* conditional */
	TRANSFER_CALL,
	TRANSFER_END, /* return, trap, system call: goes nowhere that can be told */
};
struct transfer {
	enum transfer_kind kind;
	bool known;	   /* 'target' is set */
	bool through_slot; /* 'target' is the address of a pointer (GOT), not of code */
	uint64_t target;   /* ELF address */
};

/*
 * Sweep code for transfers: find the next one from '*offset' on and set '*offset' behind it. Bytes
 * that do not decode are stepped over. Returns false when there is none left.
 */
bool insn_next_transfer(const uint8_t *code, size_t length, uint64_t address, size_t *offset,
			struct transfer *transfer);

#endif
