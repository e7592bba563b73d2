/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tables.c - see tables.h.
 *
 *	data	  the interpreter's writable memory is read once
 *	records	  the three debug records in it say where the default functions are
 *	active	  the exported functions say where the tables in use are
 *	mode	  what these hold
 *	way	  what follows for the probes
 *
 * Sources: Objects/obmalloc.c of 3.6-3.14 (_PyMem_Debug, PyMemAllocatorEx, set_up_debug_hooks),
 * Include/internal/pycore_pymem.h (struct _pymem_allocators, 3.12 on), Modules/_tracemalloc.c and
 * Python/tracemalloc.c ('allocators': where the hooked tables are put aside).
 */
#include "python/tables.h"

#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/abi_types.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "elf/elf_copy.h"
#include "elf/elf_file.h"
#include "elf/symtab.h"
#include "python/detect.h"
#include "python/text.h"
#include "target/proc_maps.h"

#define DATA_BYTES_MAX	   (64U << 20) /* of the interpreter that are read */
#define PAGE_BYTES	   4096
#define RECORD_BYTES	   48 /* char id, padded to 8, and a PyMemAllocatorEx */
#define OPERANDS_MAX	   16
#define HOOK_DEPTH	   3 /* calls from a hook in which copies of pymalloc are looked for */
#define EXPORTED_ALLOCATORS 8
#define TRACEMALLOC_TABLES 3 /* raw, mem and obj are put aside */

/* PyMemAllocatorEx, Include/cpython/pymem.h. */
struct table {
	uint64_t context;
	uint64_t functions[PYTHON_CALL_COUNT];
};
_Static_assert(sizeof(struct table) == PYTHON_TABLE_BYTES, "read as it lies in the process");

/* Tables that lie in the interpreter's data beside those in use. */
struct saved_tables {
	unsigned int pymalloc, raw, debug;
	uint64_t debug_functions[PYTHON_CALL_COUNT]; /* of one of the last */
};

struct survey {
	pid_t pid;
	const struct proc_maps *maps;
	const struct python_runtime *runtime;
	struct elf_file elf;
	struct symtab *symbols;
	uint8_t *data; /* [tables->data_start, tables->data_end) */
	struct table active[PYTHON_DOMAIN_COUNT];
	struct saved_tables saved;
	struct python_tables *tables;
};

static const char *const exported[PYTHON_DOMAIN_COUNT][PYTHON_CALL_COUNT] = {
    [PYTHON_RAW] = {"PyMem_RawMalloc", "PyMem_RawCalloc", "PyMem_RawRealloc", "PyMem_RawFree"},
    [PYTHON_MEM] = {"PyMem_Malloc", "PyMem_Calloc", "PyMem_Realloc", "PyMem_Free"},
    [PYTHON_OBJ] = {"PyObject_Malloc", "PyObject_Calloc", "PyObject_Realloc", "PyObject_Free"},
};

const char *python_mode_name(enum python_mode mode)
{
	static const char *const names[PYTHON_MODE_COUNT] = {
	    [PYTHON_MODE_PYMALLOC] = "pymalloc", [PYTHON_MODE_MALLOC] = "malloc",
	    [PYTHON_MODE_DEBUG] = "debug",	 [PYTHON_MODE_HOOKED] = "hooked",
	    [PYTHON_MODE_MIMALLOC] = "mimalloc", [PYTHON_MODE_UNKNOWN] = "unknown",
	};

	return mode < PYTHON_MODE_COUNT ? names[mode] : "unknown";
}

/* No way: say why. Always false, so that what finds it is one statement. */
__attribute__((format(printf, 2, 3))) static bool refuse(struct python_tables *tables,
							 const char *format, ...)
{
	va_list args;

	tables->way = PYTHON_WAY_NONE;
	va_start(args, format);
	vsnprintf(tables->reason, sizeof(tables->reason), format, args);
	va_end(args);
	return false;
}

static uint64_t to_elf(const struct survey *survey, uint64_t addr)
{
	return addr - survey->runtime->bias;
}

static bool is_interpreter_text(const struct survey *survey, uint64_t addr)
{
	return addr >= survey->runtime->text_start && addr < survey->runtime->text_end;
}

static bool is_executable(const struct survey *survey, uint64_t addr)
{
	const struct vm_region *region = proc_maps_at(survey->maps, addr);

	return region && region->executable;
}

/* ---- data ------------------------------------------------------------------------------------ */

/* Behind what the dynamic linker makes read-only, whether it has done so yet or not. */
static uint64_t relro_end(const struct elf_file *elf, uint64_t vaddr)
{
	for (size_t i = 0; i < elf->segment_count; i++) {
		const Elf64_Phdr *relro = &elf->segments[i];

		if (relro->p_type == PT_GNU_RELRO && vaddr >= relro->p_vaddr &&
		    vaddr - relro->p_vaddr < relro->p_memsz)
			return relro->p_vaddr + relro->p_memsz;
	}
	return vaddr;
}

/*
 * The part of a segment that is writable. Not RELRO: there are constants from which tables are
 * initialised (_PyRuntimeState 'initial', Python/pystate.c, 3.12 on), which look the same.
 */
static void add_segment(const struct survey *survey, const Elf64_Phdr *segment)
{
	uint64_t bias = survey->runtime->bias;
	uint64_t start = bias + relro_end(&survey->elf, segment->p_vaddr);
	uint64_t end = bias + segment->p_vaddr + segment->p_memsz;
	struct python_tables *tables = survey->tables;

	for (size_t i = 0; i < survey->maps->count; i++) {
		const struct vm_region *region = &survey->maps->items[i];
		uint64_t low = region->start > start ? region->start : start;
		uint64_t high = region->end < end ? region->end : end;

		if (low >= high || !region->writable || region->shared)
			continue;
		if (!tables->data_end || low < tables->data_start)
			tables->data_start = low;
		if (high > tables->data_end)
			tables->data_end = high;
	}
}

static int read_data(struct survey *survey, struct err *err)
{
	struct python_tables *tables = survey->tables;
	size_t bytes;

	for (size_t i = 0; i < survey->elf.segment_count; i++)
		if (survey->elf.segments[i].p_type == PT_LOAD &&
		    (survey->elf.segments[i].p_flags & PF_W))
			add_segment(survey, &survey->elf.segments[i]);
	tables->data_start = (tables->data_start + 7) & ~7ULL;
	if (tables->data_end < tables->data_start + RECORD_BYTES ||
	    tables->data_end - tables->data_start > DATA_BYTES_MAX) {
		tables->data_start = tables->data_end = 0;
		return 0;
	}
	bytes = tables->data_end - tables->data_start;
	survey->data = calloc(1, bytes);
	if (!survey->data)
		return err_set(err, ENOMEM, "out of memory");
	for (size_t at = 0; at < bytes;) {
		uint64_t addr = tables->data_start + at;
		size_t piece = PAGE_BYTES - addr % PAGE_BYTES;
		int status;

		if (piece > bytes - at)
			piece = bytes - at;
		status = python_read_memory(survey->pid, addr, survey->data + at, piece);
		if (status && status != -EFAULT)
			return err_set(err, -status, "cannot read the memory of process %d: %s",
				       survey->pid, strerror(-status));
		at += piece;
	}
	return 0;
}

static struct table table_in(const struct survey *survey, size_t offset)
{
	struct table table;

	memcpy(&table, survey->data + offset, sizeof(table));
	return table;
}

/* ---- records --------------------------------------------------------------------------------- */

static bool is_function(const struct survey *survey, uint64_t addr)
{
	struct addr_range range;

	return text_function_at(&survey->elf, to_elf(survey, addr), &range) &&
	       range.start == to_elf(survey, addr);
}

/* True if 'addr' is the address of a nop that ends where the function at 'function' begins. */
static bool is_nop_of(const struct survey *survey, uint64_t addr, uint64_t function)
{
	uint64_t length = function - addr;
	const uint8_t *code;

	if (!length || length > TEXT_NOP_MAX)
		return false;
	code = elf_file_at_vaddr(&survey->elf, to_elf(survey, addr), length);
	return code && text_is_nop(code, length);
}

/* The function that a pointer leads to: itself, or, if it is a nop, the one behind it. */
static uint64_t function_behind(const struct survey *survey, uint64_t addr)
{
	if (is_function(survey, addr))
		return addr;
	for (uint64_t length = 1; length <= TEXT_NOP_MAX; length++)
		if (is_nop_of(survey, addr, addr + length) && is_function(survey, addr + length))
			return addr + length;
	return addr;
}

static bool is_record(const struct survey *survey, size_t offset, char id)
{
	struct table table = table_in(survey, offset + 8);
	uint64_t word;

	memcpy(&word, survey->data + offset, sizeof(word));
	if (word != (uint64_t)id)
		return false;
	for (int call = 0; call < PYTHON_CALL_COUNT; call++)
		if (!is_interpreter_text(survey, table.functions[call]))
			return false;
	return true;
}

/* All three are in the interpreter's text, or it is not ours to say what they are. */
static bool find_records(struct survey *survey)
{
	static const char ids[PYTHON_DOMAIN_COUNT] = {'r', 'm', 'o'};
	struct python_tables *tables = survey->tables;
	size_t bytes = tables->data_end - tables->data_start, found = 0;

	for (size_t at = 0; at + PYTHON_DOMAIN_COUNT * RECORD_BYTES <= bytes; at += 8) {
		int domain = 0;

		while (domain < PYTHON_DOMAIN_COUNT &&
		       is_record(survey, at + domain * RECORD_BYTES, ids[domain]))
			domain++;
		if (domain < PYTHON_DOMAIN_COUNT)
			continue;
		tables->debug = tables->data_start + at;
		found++;
	}
	if (found != 1)
		return refuse(tables, "%s allocator tables found in the data of '%s'",
			      found ? "more than one set of" : "no", survey->runtime->path);
	for (int domain = 0; domain < PYTHON_DOMAIN_COUNT; domain++) {
		size_t at = tables->debug - tables->data_start + domain * RECORD_BYTES + 8;
		struct table table = table_in(survey, at);

		for (int call = 0; call < PYTHON_CALL_COUNT; call++)
			tables->implementations[domain][call] =
			    function_behind(survey, table.functions[call]);
	}
	return true;
}

/* ---- active ---------------------------------------------------------------------------------- */

static bool read_word(void *context, uint64_t vaddr, uint64_t *word)
{
	const struct survey *survey = context;

	return !python_read_memory(survey->pid, vaddr + survey->runtime->bias, word, sizeof(*word));
}

static bool is_in_data(const struct survey *survey, uint64_t addr)
{
	return !(addr % 8) && addr >= survey->tables->data_start &&
	       addr + PYTHON_TABLE_BYTES <= survey->tables->data_end;
}

/* As it is now: all four functions must be code of the process. */
static bool read_table(const struct survey *survey, uint64_t addr, struct table *table)
{
	if (!is_in_data(survey, addr) ||
	    python_read_memory(survey->pid, addr, table, sizeof(*table)))
		return false;
	for (int call = 0; call < PYTHON_CALL_COUNT; call++)
		if (!is_executable(survey, table->functions[call]))
			return false;
	return true;
}

/*
 * The table that an exported malloc reads: its first operand in the interpreter's data is the
 * function or, before it, the context.
 */
static uint64_t decode_active(struct survey *survey, enum python_domain domain)
{
	const struct symbol *symbol = symtab_named(survey->symbols, exported[domain][0]);
	uint64_t operands[OPERANDS_MAX];
	size_t count;

	if (!symbol)
		return 0;
	count = text_operands(&survey->elf, symbol->vaddr, read_word, survey, operands,
			      OPERANDS_MAX);
	for (size_t i = 0; i < count; i++) {
		uint64_t addr = operands[i] + survey->runtime->bias, word;
		struct table table;

		if (!is_in_data(survey, addr) || !read_word(survey, operands[i], &word))
			continue;
		if (is_executable(survey, word))
			addr -= offsetof(struct table, functions);
		if (read_table(survey, addr, &table))
			return addr;
	}
	return 0;
}

/* struct _pymem_allocators (3.12 on): the three tables stand right before the debug records. */
static uint64_t placed_active(const struct survey *survey, enum python_domain domain)
{
	if (survey->runtime->minor < 12)
		return 0;
	return survey->tables->debug - (PYTHON_DOMAIN_COUNT - domain) * PYTHON_TABLE_BYTES;
}

static bool find_active(struct survey *survey)
{
	struct python_tables *tables = survey->tables;

	for (int domain = 0; domain < PYTHON_DOMAIN_COUNT; domain++) {
		uint64_t decoded = decode_active(survey, domain);
		uint64_t placed = placed_active(survey, domain);

		if (decoded && placed && decoded != placed)
			return refuse(tables,
				      "%s of '%s' does not use the table where it should be",
				      exported[domain][0], survey->runtime->path);
		tables->active[domain] = decoded ? decoded : placed;
		if (!read_table(survey, tables->active[domain], &survey->active[domain]))
			return refuse(tables, "the allocator table of %s in '%s' was not found",
				      exported[domain][0], survey->runtime->path);
	}
	if (tables->active[PYTHON_MEM] == tables->active[PYTHON_OBJ] ||
	    tables->active[PYTHON_RAW] == tables->active[PYTHON_OBJ])
		return refuse(tables, "the allocator tables of '%s' are not three",
			      survey->runtime->path);
	return true;
}

/* ---- mode ------------------------------------------------------------------------------------ */

/* Holds the default functions of a domain, or the nops before them. */
static bool is_default(const struct survey *survey, const struct table *table,
		       enum python_domain domain)
{
	for (int call = 0; call < PYTHON_CALL_COUNT; call++) {
		uint64_t function = survey->tables->implementations[domain][call];

		if (table->functions[call] != function &&
		    !is_nop_of(survey, table->functions[call], function))
			return false;
	}
	return true;
}

static bool holds_nop(const struct survey *survey, const struct table *table)
{
	for (int call = 0; call < PYTHON_CALL_COUNT; call++)
		if (is_nop_of(survey, table->functions[call],
			      survey->tables->implementations[PYTHON_OBJ][call]))
			return true;
	return false;
}

static bool has_debug_context(const struct survey *survey, const struct table *table)
{
	uint64_t debug = survey->tables->debug;

	return table->context == debug + PYTHON_MEM * RECORD_BYTES ||
	       table->context == debug + PYTHON_OBJ * RECORD_BYTES;
}

static bool is_malloc_by_default(const struct python_tables *tables)
{
	return !memcmp(tables->implementations[PYTHON_OBJ], tables->implementations[PYTHON_RAW],
		       sizeof(tables->implementations[PYTHON_OBJ]));
}

static bool is_active(const struct python_tables *tables, uint64_t addr)
{
	for (int domain = 0; domain < PYTHON_DOMAIN_COUNT; domain++)
		if (addr == tables->active[domain])
			return true;
	return false;
}

static bool is_in_records(const struct python_tables *tables, uint64_t addr)
{
	return addr >= tables->debug &&
	       addr < tables->debug + PYTHON_DOMAIN_COUNT * RECORD_BYTES;
}

/* Copies of tables that somebody in the interpreter put aside: tracemalloc's 'allocators'. */
static void find_saved(struct survey *survey)
{
	struct python_tables *tables = survey->tables;
	size_t bytes = tables->data_end - tables->data_start;

	for (size_t at = 0; at + PYTHON_TABLE_BYTES <= bytes; at += 8) {
		struct table table = table_in(survey, at);

		if (!is_interpreter_text(survey, table.functions[0]) ||
		    is_active(tables, tables->data_start + at) ||
		    is_in_records(tables, tables->data_start + at))
			continue;
		if (is_default(survey, &table, PYTHON_OBJ)) {
			survey->saved.pymalloc++;
			tables->redirected |= holds_nop(survey, &table);
		} else if (is_default(survey, &table, PYTHON_RAW)) {
			survey->saved.raw++;
		} else if (has_debug_context(survey, &table) &&
			   is_interpreter_text(survey, table.functions[PYTHON_FREE])) {
			survey->saved.debug++;
			memcpy(survey->saved.debug_functions, table.functions,
			       sizeof(table.functions));
		}
	}
}

/* "_memray" of ".../_memray.cpython-311-x86_64-linux-gnu.so" */
static void name_hook(struct survey *survey, const struct table *table)
{
	const struct vm_region *region = proc_maps_at(survey->maps, table->functions[0]);
	const char *path = region ? region->path : "", *slash = strrchr(path, '/');
	const char *base = slash ? slash + 1 : path;
	struct python_tables *tables = survey->tables;

	if (is_interpreter_text(survey, table->functions[0]))
		snprintf(tables->hook, sizeof(tables->hook), "%s",
			 table->context >= tables->data_start && table->context < tables->data_end
			     ? "tracemalloc"
			     : "a hook of the interpreter");
	else if (*base)
		snprintf(tables->hook, sizeof(tables->hook), "%.*s", (int)strcspn(base, "."), base);
	else
		snprintf(tables->hook, sizeof(tables->hook), "code of no file");
}

/* tracemalloc in front of malloc: what it put aside is malloc alone. */
static bool is_malloc_behind_hook(const struct survey *survey)
{
	return survey->saved.raw >= TRACEMALLOC_TABLES && !survey->saved.pymalloc &&
	       !survey->saved.debug;
}

static enum python_mode mode_of_table(const struct survey *survey, enum python_domain domain)
{
	const struct table *table = &survey->active[domain];

	if (is_malloc_by_default(survey->tables) || is_default(survey, table, PYTHON_RAW))
		return PYTHON_MODE_MALLOC;
	if (is_default(survey, table, domain))
		return PYTHON_MODE_PYMALLOC;
	if (has_debug_context(survey, table) && is_interpreter_text(survey, table->functions[0]))
		return PYTHON_MODE_DEBUG;
	if (survey->runtime->minor >= 13 && !table->context &&
	    is_interpreter_text(survey, table->functions[0]))
		return PYTHON_MODE_MIMALLOC;
	return is_malloc_behind_hook(survey) ? PYTHON_MODE_MALLOC : PYTHON_MODE_HOOKED;
}

static bool find_mode(struct survey *survey)
{
	struct python_tables *tables = survey->tables;
	enum python_mode mem, obj;

	for (int domain = PYTHON_MEM; domain <= PYTHON_OBJ; domain++)
		tables->redirected |= is_default(survey, &survey->active[domain], PYTHON_OBJ) &&
				      holds_nop(survey, &survey->active[domain]);
	find_saved(survey);
	tables->saved_count = survey->saved.pymalloc;
	mem = mode_of_table(survey, PYTHON_MEM);
	obj = mode_of_table(survey, PYTHON_OBJ);
	tables->mode = obj;
	if (mem == obj && obj != PYTHON_MODE_HOOKED)
		return true;
	if (mem != PYTHON_MODE_HOOKED && obj != PYTHON_MODE_HOOKED) {
		tables->mode = PYTHON_MODE_UNKNOWN;
		return refuse(tables, "the mem domain ends in %s, the obj domain in %s",
			      python_mode_name(mem), python_mode_name(obj));
	}
	tables->mode = PYTHON_MODE_HOOKED;
	name_hook(survey, &survey->active[obj == PYTHON_MODE_HOOKED ? PYTHON_OBJ : PYTHON_MEM]);
	return true;
}

/* ---- way ------------------------------------------------------------------------------------- */

static size_t targets_of(const struct survey *survey, const uint64_t *functions, uint64_t *targets)
{
	for (int call = 0; call < PYTHON_CALL_COUNT; call++)
		targets[call] = to_elf(survey, functions[call]);
	return PYTHON_CALL_COUNT;
}

/* True if one of the exported functions compares with one of these. */
static bool exported_names(const struct survey *survey, const uint64_t *functions)
{
	uint64_t targets[PYTHON_CALL_COUNT];
	size_t count = targets_of(survey, functions, targets);

	for (int domain = PYTHON_MEM; domain <= PYTHON_OBJ; domain++)
		for (int call = 0; call < PYTHON_CALL_COUNT; call++) {
			const struct symbol *symbol =
			    symtab_named(survey->symbols, exported[domain][call]);

			if (symbol && text_names(&survey->elf, symbol->vaddr, targets, count, 0))
				return true;
		}
	return false;
}

/* True if a hook, or what it calls, compares with one of these functions. */
static bool hook_names(const struct survey *survey, const uint64_t *hooks,
		       const uint64_t *functions)
{
	uint64_t targets[PYTHON_CALL_COUNT];
	size_t count = targets_of(survey, functions, targets);

	for (int call = 0; call < PYTHON_CALL_COUNT; call++)
		if (is_interpreter_text(survey, hooks[call]) &&
		    text_names(&survey->elf, to_elf(survey, hooks[call]), targets, count,
			       HOOK_DEPTH))
			return true;
	return false;
}

static void find_pads(struct survey *survey)
{
	for (int call = 0; call < PYTHON_CALL_COUNT; call++) {
		uint64_t function = survey->tables->implementations[PYTHON_OBJ][call];
		size_t length = text_nop_before(&survey->elf, to_elf(survey, function));

		survey->tables->pads[call] = length ? function - length : 0;
	}
}

static bool choose_redirect(const struct survey *survey, bool may_redirect)
{
	static const char *const names[] = {"malloc", "calloc", "realloc", "free"};
	struct python_tables *tables = survey->tables;

	if (!may_redirect)
		return refuse(tables, "pymalloc is inlined (profile-guided build): calls can only "
				      "be seen by redirecting, which --no-redirect forbids");
	if (memcmp(tables->implementations[PYTHON_MEM], tables->implementations[PYTHON_OBJ],
		   sizeof(tables->implementations[PYTHON_OBJ])))
		return refuse(tables, "pymalloc is inlined, and the mem and obj domains do not "
				      "share their functions");
	for (int call = 0; call < PYTHON_CALL_COUNT; call++)
		if (!tables->pads[call])
			return refuse(tables,
				      "pymalloc is inlined (profile-guided build), and there is no "
				      "usable nop before its %s to redirect to",
				      names[call]);
	tables->way = PYTHON_WAY_REDIRECT;
	return true;
}

static bool choose_entry(const struct survey *survey,
			 uint64_t functions[PYTHON_DOMAIN_COUNT][PYTHON_CALL_COUNT])
{
	memmove(survey->tables->functions, functions, sizeof(survey->tables->functions));
	survey->tables->way = PYTHON_WAY_ENTRY;
	return true;
}

static bool choose_implementations(const struct survey *survey, bool behind_debug)
{
	/* Objects/obmalloc.c, _PyMem_DebugRawAlloc(): four words; three since 3.8 */
	if (behind_debug)
		survey->tables->debug_extra_bytes = survey->runtime->minor < 8 ? 32 : 24;
	return choose_entry(survey, survey->tables->implementations);
}

/*
 * Debug hooks that have copies of pymalloc: probe the hooks. They see what was asked for, and
 * return what the caller gets. Both domains have the same four, their contexts differ.
 */
static bool choose_debug_hooks(const struct survey *survey, const uint64_t *hooks)
{
	uint64_t functions[PYTHON_DOMAIN_COUNT][PYTHON_CALL_COUNT] = {0};
	const uint64_t *front = survey->active[PYTHON_OBJ].functions;

	/* who calls them: the exported functions, or a hook that stands before them */
	if (exported_names(survey, hooks) ||
	    (memcmp(front, hooks, sizeof(functions[0])) && hook_names(survey, front, hooks)))
		return refuse(survey->tables, "the debug hooks are inlined (profile-guided build): "
					      "their calls cannot be seen");
	memcpy(functions[PYTHON_MEM], hooks, sizeof(functions[PYTHON_MEM]));
	memcpy(functions[PYTHON_OBJ], hooks, sizeof(functions[PYTHON_OBJ]));
	return choose_entry(survey, functions);
}

static bool choose_behind_debug(const struct survey *survey, const uint64_t *hooks)
{
	if (!survey->tables->inlined ||
	    !hook_names(survey, hooks, survey->tables->implementations[PYTHON_OBJ]))
		return choose_implementations(survey, true);
	return choose_debug_hooks(survey, hooks);
}

static bool choose_mimalloc(const struct survey *survey)
{
	uint64_t functions[PYTHON_DOMAIN_COUNT][PYTHON_CALL_COUNT] = {0};

	for (int domain = PYTHON_MEM; domain <= PYTHON_OBJ; domain++) {
		memcpy(functions[domain], survey->active[domain].functions,
		       sizeof(functions[domain]));
		if (exported_names(survey, functions[domain]))
			return refuse(survey->tables, "mimalloc is inlined (profile-guided build): "
						      "its calls cannot be seen");
	}
	return choose_entry(survey, functions);
}

/*
 * A hook in the interpreter's own text may contain copies of pymalloc (Debian's tracemalloc does):
 * then the tables that it calls through are redirected. One in another module was compiled without
 * a sight of pymalloc.
 */
static bool choose_behind_hook(struct survey *survey, bool may_redirect)
{
	struct python_tables *tables = survey->tables;
	unsigned int inside = 0, outside = 0, plain = 0;

	for (int domain = PYTHON_MEM; domain <= PYTHON_OBJ; domain++) {
		const struct table *table = &survey->active[domain];

		if (is_default(survey, table, PYTHON_OBJ))
			plain++;
		else if (is_interpreter_text(survey, table->functions[0]))
			inside++;
		else
			outside++;
	}
	if (survey->saved.debug && !plain)
		return choose_behind_debug(survey, survey->saved.debug_functions);
	if (!tables->inlined || (outside && !inside && !plain))
		return choose_implementations(survey, false);
	if (outside)
		return refuse(tables,
			      "pymalloc is inlined, and only one of its domains is hooked by '%s'",
			      tables->hook);
	if (inside > tables->saved_count)
		return refuse(tables, "pymalloc is inlined, and what '%s' calls was not found",
			      tables->hook);
	return choose_redirect(survey, may_redirect);
}

static bool choose_way(struct survey *survey, bool may_redirect)
{
	struct python_tables *tables = survey->tables;

	if (survey->runtime->free_threaded) {
		tables->mode = PYTHON_MODE_MIMALLOC;
		return refuse(tables, "free-threaded build: its objects come from mimalloc, which "
				      "is not recorded; class malloc is");
	}
	switch (tables->mode) {
	case PYTHON_MODE_MALLOC:
		return refuse(tables, "PYTHONMALLOC=malloc: all blocks are of class malloc");
	case PYTHON_MODE_MIMALLOC:
		return choose_mimalloc(survey);
	case PYTHON_MODE_DEBUG:
		return choose_behind_debug(survey, survey->active[PYTHON_OBJ].functions);
	case PYTHON_MODE_HOOKED:
		return choose_behind_hook(survey, may_redirect);
	default:
		return tables->inlined ? choose_redirect(survey, may_redirect)
				       : choose_implementations(survey, false);
	}
}

/* ---- all of it ------------------------------------------------------------------------------- */

static int open_interpreter(struct survey *survey, struct err *err)
{
	_cleanup_close_ int fd = python_open_file(survey->pid, survey->maps, survey->runtime, err);
	int status;

	if (fd < 0)
		return fd;
	/* a copy: probes write breakpoints into every mapping of the file, ours as well */
	status = elf_copy_open_loaded(&survey->elf, fd, survey->runtime->path, err);
	if (status)
		return status;
	survey->symbols = symtab_new(&survey->elf, NULL);
	if (!survey->symbols)
		return err_set(err, ENOMEM, "out of memory");
	return read_data(survey, err);
}

static void survey_tables(struct survey *survey, bool may_redirect)
{
	if (!find_records(survey) || !find_active(survey))
		return;
	survey->tables->inlined =
	    !is_malloc_by_default(survey->tables) &&
	    exported_names(survey, survey->tables->implementations[PYTHON_OBJ]);
	find_pads(survey);
	if (find_mode(survey))
		choose_way(survey, may_redirect);
}

int python_tables_find(pid_t pid, const struct proc_maps *maps,
		       const struct python_runtime *runtime, bool may_redirect,
		       struct python_tables *tables, struct err *err)
{
	struct survey survey = {
	    .pid = pid, .maps = maps, .runtime = runtime, .tables = tables};
	int status;

	*tables = (struct python_tables){.mode = PYTHON_MODE_UNKNOWN, .way = PYTHON_WAY_NONE};
	status = open_interpreter(&survey, err);
	if (!status)
		survey_tables(&survey, may_redirect);
	symtab_free(survey.symbols);
	elf_file_close(&survey.elf);
	free(survey.data);
	return status;
}
