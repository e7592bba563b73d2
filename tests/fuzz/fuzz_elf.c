/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fuzz_elf.c - any bytes as an ELF file: build id, segments, symbols from all sources, lookups by
 * address and by name, demangling of the names found. Seeds: small system binaries and libraries.
 *
 * Checks as well that what the table says agrees with itself.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "elf/demangle.h"
#include "elf/elf_file.h"
#include "elf/symtab.h"

#define LOOKUPS_MAX 2000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_symbol(const struct elf_file *elf, const struct symtab *symbols, size_t index)
{
	const struct symbol *symbol = symtab_get(symbols, index);
	const struct symbol *at = symtab_at(symbols, symbol->vaddr);
	const struct symbol *named = symtab_named(symbols, symbol->name);

	if (index && symtab_get(symbols, index - 1)->vaddr > symbol->vaddr)
		abort();
	if (at && (at->vaddr > symbol->vaddr ||
		   (at->size_bytes && symbol->vaddr - at->vaddr >= at->size_bytes)))
		abort();
	if (!named || strcmp(named->name, symbol->name) || !symbol->name[0])
		abort();
	if (!elf_file_is_text(elf, symbol->vaddr))
		abort();
	if (index < 100)
		free(demangle(symbol->name));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t id[BUILD_ID_MAX];
	struct symtab *symbols;
	struct elf_file elf;
	uint64_t place;

	if (elf_file_from_memory(&elf, data, size, NULL))
		return 0;
	elf_file_build_id(&elf, id);
	elf_file_text_vaddr(&elf);
	elf_file_section(&elf, ".eh_frame");
	for (uint64_t offset = 0; offset < size; offset += size / 64 + 1) {
		if (elf_file_vaddr_of_offset(&elf, offset, &place))
			elf_file_at_vaddr(&elf, place, 16);
	}
	symbols = symtab_new(&elf, &elf);
	if (!symbols)
		return 0;
	for (size_t i = 0; i < symtab_count(symbols) && i < LOOKUPS_MAX; i++)
		check_symbol(&elf, symbols, i);
	symtab_free(symbols);
	return 0;
}
