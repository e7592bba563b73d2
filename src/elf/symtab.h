/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * symtab.h - names of the functions of one binary, by address and by name.
 *
 * Read from .symtab, .dynsym, .gnu_debugdata (xz-compressed mini symbol table) and a separate
 * debug file, whichever name more. Names are as in the file (mangled), without versions
 * ("@GLIBC_2.2.5"). Symbols without a type count as functions when they lie in executable segments
 * (assembly).
 */
#ifndef SEEP_ELF_SYMTAB_H
#define SEEP_ELF_SYMTAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct elf_file;
struct err;

struct symbol {
	uint64_t vaddr;	     /* ELF address */
	uint64_t size_bytes; /* 0: up to the next symbol */
	const char *name;    /* owned by the table */
	bool dynamic;	     /* exported through .dynsym */
	bool is_ifunc;
	bool is_global;
	bool old_version; /* kept for binaries linked long ago: "name@VERSION" */
};

struct symtab;

/*
 * Read the function symbols of 'elf' and, if not NULL, of its separate debug file.
 * Everything is copied: the files may be closed afterwards. Broken tables are skipped.
 * Returns the table (maybe empty), NULL only when memory is out.
 */
struct symtab *symtab_new(const struct elf_file *elf, const struct elf_file *debug_or_null);
void symtab_free(struct symtab *table); /* NULL allowed */

/*
 * The function at 'vaddr', or NULL. Inside nested symbols the innermost one with a size. One
 * without a size reaches to the next symbol or the end of its section. Of aliases the global,
 * then the shortest name is taken.
 */
const struct symbol *symtab_at(const struct symtab *table, uint64_t vaddr);

/* A function by exact name, or NULL; defined and exported ones first. */
const struct symbol *symtab_named(const struct symtab *table, const char *name);

size_t symtab_count(const struct symtab *table);
const struct symbol *symtab_get(const struct symtab *table, size_t index); /* by address */

/* Memory the table holds. */
size_t symtab_bytes(const struct symtab *table);

#endif
