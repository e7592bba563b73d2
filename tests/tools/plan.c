/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * plan FILE... - print the probes that would be put on each binary, for tests/allocators.sh:
 *
 *	file PATH kind library|program missing-text
 *	point NAME role vaddr offset registers sp emulated|stepped null|all return|- instruction
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/abi_types.h"
#include "base/err.h"
#include "elf/elf_file.h"
#include "elf/symtab.h"
#include "target/allocator.h"

static void print_plan(const char *path, const struct probe_plan *plan)
{
	printf("file %s %s %s %s\n", path, allocator_kind_name(plan->kind),
	       plan->is_library ? "library" : "program", plan->missing);
	for (size_t i = 0; i < plan->count; i++) {
		const struct probe_point *point = &plan->items[i];
		const struct probe_site *site = &point->site;

		printf("point %s %u %" PRIx64 " %u %u,%u,%u %u %s %s %s %s\n", point->function,
		       point->role, point->vaddr, site->offset, site->regs[0], site->regs[1],
		       site->regs[2], site->sp_delta8, site->emulated ? "emulated" : "stepped",
		       site->skips_null ? "null" : "all", point->needs_return ? "return" : "-",
		       site->text);
	}
}

static int plan_file(const char *path, struct err *err)
{
	struct probe_plan plan;
	struct symtab *symbols;
	struct elf_file elf;
	int status = elf_file_open(&elf, path, err);

	if (status)
		return status;
	symbols = symtab_new(&elf, NULL);
	status = allocator_plan(&elf, symbols, path, &plan, err);
	if (!status) {
		print_plan(path, &plan);
		allocator_plan_free(&plan);
	}
	symtab_free(symbols);
	elf_file_close(&elf);
	return status;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		struct err err = {0};

		if (plan_file(argv[i], &err)) {
			fprintf(stderr, "plan: %s\n", err.text);
			return 1;
		}
	}
	return 0;
}
