/* SPDX-License-Identifier: GPL-2.0-only */
/* plan.c - see tables.h, python_plan(): from the tables of a process to probes in a file. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/abi_types.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/vec.h"
#include "elf/elf_file.h"
#include "python/detect.h"
#include "python/tables.h"
#include "python/text.h"

#define FUNCTION_BYTES_MAX 65536

/* Argument 0 is the context of the table; what the role wants begins at 1. */
#define FIRST_ARGUMENT 1

struct call_kind {
	const char *name;
	uint32_t role;
	uint8_t args;
};

static const struct call_kind kinds[PYTHON_CALL_COUNT] = {
    [PYTHON_MALLOC] = {"malloc", ROLE_MALLOC, 1},
    [PYTHON_CALLOC] = {"calloc", ROLE_CALLOC, 2},
    [PYTHON_REALLOC] = {"realloc", ROLE_REALLOC, 2},
    [PYTHON_FREE] = {"free", ROLE_FREE, 1},
};

static struct probe_point point_of(const char *layer, enum python_call call, uint64_t vaddr)
{
	struct probe_point point = {
	    .role = kinds[call].role,
	    .alloc_class = CLASS_PYTHON,
	    .vaddr = vaddr,
	    .may_nest = true, /* what is too large for pymalloc goes on in malloc */
	    .needs_return = call != PYTHON_FREE,
	};

	snprintf(point.function, sizeof(point.function), "%s %s", layer, kinds[call].name);
	return point;
}

static int add_point(struct probe_plan *plan, const struct probe_point *point, struct err *err)
{
	struct probe_point *added = vec_add(plan);

	if (!added)
		return err_set(err, ENOMEM, "out of memory");
	*added = *point;
	return 0;
}

/* ---- entry ----------------------------------------------------------------------------------- */

static struct probe_needs needs_of(enum python_call call)
{
	struct probe_needs needs = {
	    .return_address = call != PYTHON_FREE,
	    .null_may_skip = call == PYTHON_FREE,
	    .null_argument = FIRST_ARGUMENT,
	};

	for (int i = 0; i < kinds[call].args; i++)
		needs.arg_mask |= 1U << (FIRST_ARGUMENT + i);
	return needs;
}

static bool choose_site(const struct elf_file *elf, enum python_call call, uint64_t vaddr,
			struct probe_site *site)
{
	struct probe_needs needs = needs_of(call);
	struct addr_range range;
	struct probe_site chosen;
	uint64_t bytes;

	if (!text_function_at(elf, vaddr, &range) || range.start != vaddr)
		return false;
	bytes = range.end - range.start;
	if (bytes > FUNCTION_BYTES_MAX)
		bytes = FUNCTION_BYTES_MAX;
	if (!elf_file_at_vaddr(elf, vaddr, bytes) ||
	    insn_choose_site(elf_file_at_vaddr(elf, vaddr, bytes), bytes, vaddr, &needs, &chosen))
		return false;
	*site = chosen;
	for (int i = 0; i < PROBE_ARGS; i++)
		site->regs[i] = i < kinds[call].args ? chosen.regs[FIRST_ARGUMENT + i] : 0;
	return true;
}

static int add_entry(const struct elf_file *elf, const char *layer, enum python_call call,
		     uint64_t vaddr, struct probe_plan *plan, struct err *err)
{
	struct probe_point point = point_of(layer, call, vaddr);
	uint64_t offset;

	if (!elf_file_is_text(elf, vaddr) || !elf_file_offset_of_vaddr(elf, vaddr, &offset) ||
	    !choose_site(elf, call, vaddr, &point.site))
		return err_set(err, ENOTSUP, "no place for a probe in the interpreter's %s",
			       point.function);
	point.file_offset = point.return_file_offset = offset + point.site.offset;
	return add_point(plan, &point, err);
}

static const char *layer_name(const struct python_tables *tables, enum python_domain domain)
{
	if (tables->mode == PYTHON_MODE_MIMALLOC)
		return domain == PYTHON_OBJ ? "mimalloc obj" : "mimalloc mem";
	if (tables->functions[domain][0] != tables->implementations[domain][0])
		return "debug";
	return domain == PYTHON_OBJ ? "pymalloc" : "pymalloc mem";
}

static int plan_entries(const struct elf_file *elf, uint64_t bias,
			const struct python_tables *tables, struct probe_plan *plan,
			struct err *err)
{
	const uint64_t *obj = tables->functions[PYTHON_OBJ];
	const uint64_t *mem = tables->functions[PYTHON_MEM];
	int status = 0;

	for (int call = 0; !status && call < PYTHON_CALL_COUNT; call++)
		status = add_entry(elf, layer_name(tables, PYTHON_OBJ), call, obj[call] - bias,
				   plan, err);
	for (int call = 0; !status && call < PYTHON_CALL_COUNT; call++)
		if (mem[call] != obj[call])
			status = add_entry(elf, layer_name(tables, PYTHON_MEM), call,
					   mem[call] - bias, plan, err);
	return status;
}

/* ---- redirect -------------------------------------------------------------------------------- */

static int add_nop(const struct elf_file *elf, enum python_call call, uint64_t function,
		   uint64_t nop, struct probe_plan *plan, struct err *err)
{
	static const uint8_t arguments[] = {USER_REG_RSI, USER_REG_RDX};
	struct probe_point point = point_of("redirected", call, nop);
	size_t length = text_nop_before(elf, function);
	uint64_t offset;

	if (!length || nop + length != function || !elf_file_offset_of_vaddr(elf, nop, &offset))
		return err_set(err, ENOTSUP,
			       "no usable nop before the interpreter's %s in its file",
			       kinds[call].name);
	point.file_offset = point.return_file_offset = offset;
	point.site.emulated = true;
	for (int i = 0; i < kinds[call].args; i++)
		point.site.regs[i] = arguments[i];
	snprintf(point.site.text, sizeof(point.site.text), "nop of %zu byte%s", length,
		 length == 1 ? "" : "s");
	return add_point(plan, &point, err);
}

static int plan_nops(const struct elf_file *elf, uint64_t bias, const struct python_tables *tables,
		     struct probe_plan *plan, struct err *err)
{
	int status = 0;

	for (int call = 0; !status && call < PYTHON_CALL_COUNT; call++)
		status = add_nop(elf, call, tables->implementations[PYTHON_OBJ][call] - bias,
				 tables->pads[call] - bias, plan, err);
	return status;
}

int python_plan(const struct elf_file *elf, const struct python_runtime *runtime,
		const struct python_tables *tables, struct probe_plan *plan, struct err *err)
{
	int status;

	*plan = (struct probe_plan){0};
	switch (tables->way) {
	case PYTHON_WAY_ENTRY:
		status = plan_entries(elf, runtime->bias, tables, plan, err);
		break;
	case PYTHON_WAY_REDIRECT:
		status = plan_nops(elf, runtime->bias, tables, plan, err);
		break;
	default:
		return err_set(err, EINVAL, "class python is not recorded: %s", tables->reason);
	}
	if (status)
		allocator_plan_free(plan);
	return status;
}
