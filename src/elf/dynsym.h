/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dynsym.h - look up a few names that a binary exports, without reading its symbol tables.
 *
 * Uses what the dynamic linker uses (PT_DYNAMIC, DT_GNU_HASH or DT_HASH; System V ABI, "Dynamic
 * Linking"; https://sourceware.org/gnu-gabi/ for the GNU hash table), by pread(): a lookup costs
 * some system calls however large the file is, needs no section headers, and a file that changes
 * meanwhile gives a wrong answer at worst. Data symbols are found as well as functions.
 */
#ifndef SEEP_ELF_DYNSYM_H
#define SEEP_ELF_DYNSYM_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DYNSYM_SEGMENTS_MAX 32 /* real files have a dozen */

struct dynsym {
	int fd; /* the caller's, must stay open */
	Elf64_Phdr segments[DYNSYM_SEGMENTS_MAX];
	size_t segment_count;
	uint64_t symbols, names, names_bytes; /* ELF addresses */
	uint64_t hash, gnu_hash;	      /* ELF addresses, 0: absent */
};

/* Returns 0; -ENOEXEC if it is no 64-bit x86-64 ELF file, -ENODATA if it exports no names. */
int dynsym_open(struct dynsym *dynsym, int fd);

/* The symbol of this name if the file defines it. Undefined ones are not found. */
bool dynsym_find(const struct dynsym *dynsym, const char *name, Elf64_Sym *symbol);

/* Exactly 'bytes' that the file holds for an ELF address. Returns false if it does not. */
bool dynsym_read(const struct dynsym *dynsym, uint64_t vaddr, void *to, size_t bytes);

#endif
