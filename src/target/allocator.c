/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * allocator.c - see allocator.h. First every function known by name is collected, then those that
 * only hand on to another are dropped, then each gets its site.
 *
 * Names and argument orders: malloc(3), posix_memalign(3), malloc_usable_size(3) and glibc 2.43's
 * free_sized (C23); jemalloc(3); gperftools/tcmalloc.h; mimalloc.h; Itanium C++ ABI 5.1 for the
 * operators. Functions that resize in place and never move a block are left out (jemalloc's
 * xallocx, mimalloc's mi_expand): the block keeps the size it was allocated with.
 */
#include "target/allocator.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/abi_types.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/vec.h"
#include "elf/elf_file.h"
#include "elf/symtab.h"

#define FUNCTION_BYTES_MAX   65536 /* of one function that are looked at */
#define FUNCTION_BYTES_GUESS 256   /* where the symbol has no size */
#define NAME_BYTES_MAX	     256
#define HOPS_MAX	     4 /* thunks in a row */
#define PREFIXES_MAX	     4 /* copies of jemalloc in one binary */

/* ---- what is known by name ------------------------------------------------------------------- */

#define KIND(kind) (1U << ALLOCATOR_##kind)

struct known_function {
	const char *name;
	uint8_t role;
	uint8_t args[PROBE_ARGS]; /* which argument of the function is argument N of the role */
	uint16_t wraps_in;	  /* kinds in which it is left out if it calls another known one */
	bool prefixed;		  /* jemalloc may be built with a prefix to these names */
};

/* clang-format off */
#define FUNCTION(name_, kinds_, prefixed_, role_, ...) \
	{ .name = name_, .role = ROLE_##role_, .args = { __VA_ARGS__ }, .wraps_in = kinds_, \
	  .prefixed = prefixed_ }
/* clang-format on */
#define PLAIN(name, ...)    FUNCTION(name, 0, false, __VA_ARGS__)
#define PREFIXED(name, ...) FUNCTION(name, 0, true, __VA_ARGS__)
#define WRAPPER		    FUNCTION

/*
 * Of functions at one address the first listed gives the name. musl's calloc, memalign and others end
 * in malloc, too, but musl has no call-frame information: only a probe on the outer function sees
 * the caller (the inner hit is recognised as nested).
 */
static const struct known_function known_functions[] = {
    PREFIXED("malloc", MALLOC, 0),
    PREFIXED("calloc", CALLOC, 0, 1),
    PREFIXED("realloc", REALLOC, 0, 1),
    PREFIXED("free", FREE, 0),
    PREFIXED("posix_memalign", POSIX_MEMALIGN, 0, 1, 2),
    PREFIXED("memalign", MEMALIGN, 0, 1),
    PREFIXED("aligned_alloc", MEMALIGN, 0, 1),
    PREFIXED("valloc", MALLOC, 0),
    PREFIXED("pvalloc", PVALLOC, 0),
    WRAPPER("reallocarray", KIND(GLIBC), false, REALLOCARRAY, 0, 1, 2),
    PLAIN("reallocf", REALLOC, 0, 1),
    PLAIN("cfree", FREE, 0),
    WRAPPER("free_sized", KIND(GLIBC) | KIND(MUSL), true, FREE, 0),
    WRAPPER("free_aligned_sized", KIND(GLIBC) | KIND(MUSL), true, FREE, 0),
    PLAIN("__libc_malloc", MALLOC, 0),
    PLAIN("__libc_calloc", CALLOC, 0, 1),
    PLAIN("__libc_realloc", REALLOC, 0, 1),
    PLAIN("__libc_free", FREE, 0),
    PLAIN("__libc_cfree", FREE, 0),
    PLAIN("__libc_memalign", MEMALIGN, 0, 1),
    PLAIN("__libc_valloc", MALLOC, 0),
    PLAIN("__libc_pvalloc", PVALLOC, 0),
    PLAIN("__posix_memalign", POSIX_MEMALIGN, 0, 1, 2),
    PLAIN("_aligned_malloc", MALLOC, 0),
    PLAIN("vfree", FREE, 0),

    /* jemalloc */
    PREFIXED("mallocx", MALLOC, 0),
    PREFIXED("rallocx", REALLOC, 0, 1),
    PREFIXED("dallocx", FREE, 0),
    PREFIXED("sdallocx", FREE, 0),

    /* tcmalloc; most are aliases of the above */
    PLAIN("tc_malloc", MALLOC, 0),
    PLAIN("tc_malloc_skip_new_handler", MALLOC, 0),
    PLAIN("tc_calloc", CALLOC, 0, 1),
    PLAIN("tc_realloc", REALLOC, 0, 1),
    PLAIN("tc_free", FREE, 0),
    PLAIN("tc_cfree", FREE, 0),
    PLAIN("tc_free_sized", FREE, 0),
    PLAIN("tc_memalign", MEMALIGN, 0, 1),
    PLAIN("tc_posix_memalign", POSIX_MEMALIGN, 0, 1, 2),
    PLAIN("tc_valloc", MALLOC, 0),
    PLAIN("tc_pvalloc", PVALLOC, 0),
    PLAIN("tc_new", MALLOC, 0),
    PLAIN("tc_newarray", MALLOC, 0),
    PLAIN("tc_new_nothrow", MALLOC, 0),
    PLAIN("tc_newarray_nothrow", MALLOC, 0),
    PLAIN("tc_new_aligned", MALLOC, 0),
    PLAIN("tc_newarray_aligned", MALLOC, 0),
    PLAIN("tc_new_aligned_nothrow", MALLOC, 0),
    PLAIN("tc_newarray_aligned_nothrow", MALLOC, 0),
    PLAIN("tc_delete", FREE, 0),
    PLAIN("tc_deletearray", FREE, 0),
    PLAIN("tc_delete_sized", FREE, 0),
    PLAIN("tc_deletearray_sized", FREE, 0),
    PLAIN("tc_delete_nothrow", FREE, 0),
    PLAIN("tc_deletearray_nothrow", FREE, 0),
    PLAIN("tc_delete_aligned", FREE, 0),
    PLAIN("tc_deletearray_aligned", FREE, 0),
    PLAIN("tc_delete_sized_aligned", FREE, 0),
    PLAIN("tc_deletearray_sized_aligned", FREE, 0),
    PLAIN("tc_delete_aligned_nothrow", FREE, 0),
    PLAIN("tc_deletearray_aligned_nothrow", FREE, 0),

    /* mimalloc: programs call these directly, Rust's mimalloc crate always. mi_heap_* take the
     * heap first. mi_heap_reallocn and its like multiply and jump to the listed ones. */
    PLAIN("mi_malloc", MALLOC, 0),
    PLAIN("mi_malloc_small", MALLOC, 0),
    PLAIN("mi_zalloc", MALLOC, 0),
    PLAIN("mi_zalloc_small", MALLOC, 0),
    PLAIN("mi_calloc", CALLOC, 0, 1),
    PLAIN("mi_mallocn", CALLOC, 0, 1),
    PLAIN("mi_realloc", REALLOC, 0, 1),
    PLAIN("mi_reallocn", REALLOCARRAY, 0, 1, 2),
    PLAIN("mi_reallocarray", REALLOCARRAY, 0, 1, 2),
    PLAIN("mi_reallocf", REALLOC, 0, 1),
    PLAIN("mi_rezalloc", REALLOC, 0, 1),
    PLAIN("mi_recalloc", REALLOCARRAY, 0, 1, 2),
    PLAIN("mi_free", FREE, 0),
    PLAIN("mi_cfree", FREE, 0),
    PLAIN("mi_free_size", FREE, 0),
    PLAIN("mi_free_aligned", FREE, 0),
    PLAIN("mi_free_size_aligned", FREE, 0),
    PLAIN("mi_memalign", MEMALIGN, 0, 1),
    PLAIN("mi_aligned_alloc", MEMALIGN, 0, 1),
    PLAIN("mi_posix_memalign", POSIX_MEMALIGN, 0, 1, 2),
    PLAIN("mi_valloc", MALLOC, 0),
    PLAIN("mi_pvalloc", PVALLOC, 0),
    PLAIN("mi_malloc_aligned", MALLOC, 0),
    PLAIN("mi_malloc_aligned_at", MALLOC, 0),
    PLAIN("mi_zalloc_aligned", MALLOC, 0),
    PLAIN("mi_zalloc_aligned_at", MALLOC, 0),
    PLAIN("mi_calloc_aligned", CALLOC, 0, 1),
    PLAIN("mi_calloc_aligned_at", CALLOC, 0, 1),
    PLAIN("mi_realloc_aligned", REALLOC, 0, 1),
    PLAIN("mi_realloc_aligned_at", REALLOC, 0, 1),
    PLAIN("mi_rezalloc_aligned", REALLOC, 0, 1),
    PLAIN("mi_rezalloc_aligned_at", REALLOC, 0, 1),
    PLAIN("mi_recalloc_aligned", REALLOCARRAY, 0, 1, 2),
    PLAIN("mi_recalloc_aligned_at", REALLOCARRAY, 0, 1, 2),
    PLAIN("mi_new", MALLOC, 0),
    PLAIN("mi_new_n", CALLOC, 0, 1),
    PLAIN("mi_new_nothrow", MALLOC, 0),
    PLAIN("mi_new_aligned", MALLOC, 0),
    PLAIN("mi_new_aligned_nothrow", MALLOC, 0),
    PLAIN("mi_new_realloc", REALLOC, 0, 1),
    PLAIN("mi_new_reallocn", REALLOCARRAY, 0, 1, 2),
    PLAIN("mi_heap_malloc", MALLOC, 1),
    PLAIN("mi_heap_malloc_small", MALLOC, 1),
    PLAIN("mi_heap_zalloc", MALLOC, 1),
    PLAIN("mi_heap_calloc", CALLOC, 1, 2),
    PLAIN("mi_heap_mallocn", CALLOC, 1, 2),
    PLAIN("mi_heap_realloc", REALLOC, 1, 2),
    PLAIN("mi_heap_reallocf", REALLOC, 1, 2),
    PLAIN("mi_heap_rezalloc", REALLOC, 1, 2),
    PLAIN("mi_heap_malloc_aligned", MALLOC, 1),
    PLAIN("mi_heap_malloc_aligned_at", MALLOC, 1),
    PLAIN("mi_heap_zalloc_aligned", MALLOC, 1),
    PLAIN("mi_heap_zalloc_aligned_at", MALLOC, 1),
    PLAIN("mi_heap_calloc_aligned", CALLOC, 1, 2),
    PLAIN("mi_heap_calloc_aligned_at", CALLOC, 1, 2),
    PLAIN("mi_heap_realloc_aligned", REALLOC, 1, 2),
    PLAIN("mi_heap_realloc_aligned_at", REALLOC, 1, 2),
    PLAIN("mi_heap_rezalloc_aligned", REALLOC, 1, 2),
    PLAIN("mi_heap_rezalloc_aligned_at", REALLOC, 1, 2),

    /* operator new, new[], delete, delete[]: plain, nothrow, aligned, both; sized */
    PLAIN("_Znwm", MALLOC, 0),
    PLAIN("_Znam", MALLOC, 0),
    PLAIN("_ZnwmRKSt9nothrow_t", MALLOC, 0),
    PLAIN("_ZnamRKSt9nothrow_t", MALLOC, 0),
    PLAIN("_ZnwmSt11align_val_t", MALLOC, 0),
    PLAIN("_ZnamSt11align_val_t", MALLOC, 0),
    PLAIN("_ZnwmSt11align_val_tRKSt9nothrow_t", MALLOC, 0),
    PLAIN("_ZnamSt11align_val_tRKSt9nothrow_t", MALLOC, 0),
    PLAIN("_ZdlPv", FREE, 0),
    PLAIN("_ZdaPv", FREE, 0),
    PLAIN("_ZdlPvm", FREE, 0),
    PLAIN("_ZdaPvm", FREE, 0),
    PLAIN("_ZdlPvRKSt9nothrow_t", FREE, 0),
    PLAIN("_ZdaPvRKSt9nothrow_t", FREE, 0),
    PLAIN("_ZdlPvSt11align_val_t", FREE, 0),
    PLAIN("_ZdaPvSt11align_val_t", FREE, 0),
    PLAIN("_ZdlPvmSt11align_val_t", FREE, 0),
    PLAIN("_ZdaPvmSt11align_val_t", FREE, 0),
    PLAIN("_ZdlPvSt11align_val_tRKSt9nothrow_t", FREE, 0),
    PLAIN("_ZdaPvSt11align_val_tRKSt9nothrow_t", FREE, 0),

    /* the C library's system calls for memory */
    PLAIN("mmap", MMAP, 0, 1, 2),
    PLAIN("mmap64", MMAP, 0, 1, 2),
    PLAIN("munmap", MUNMAP, 0, 1),
    PLAIN("mremap", MREMAP, 0, 1, 2),
    PLAIN("sbrk", SBRK, 0),
    PLAIN("brk", BRK, 0),

    PLAIN("_dl_debug_state", DL_CHANGED, 0),
};

/* How many arguments each role has; of mmap the fourth, the flags, must be intact too. */
static const uint8_t role_args[ROLE_COUNT] = {
    [ROLE_MALLOC] = 1,	 [ROLE_CALLOC] = 2,	    [ROLE_REALLOC] = 2, [ROLE_REALLOCARRAY] = 3,
    [ROLE_MEMALIGN] = 2, [ROLE_POSIX_MEMALIGN] = 3, [ROLE_PVALLOC] = 1, [ROLE_FREE] = 1,
    [ROLE_MMAP] = 3,	 [ROLE_MUNMAP] = 2,	    [ROLE_MREMAP] = 3,	[ROLE_SBRK] = 1,
    [ROLE_BRK] = 1,
};

static bool role_is_mapping(uint32_t role)
{
	return role >= ROLE_MMAP && role <= ROLE_BRK;
}

static bool role_allocates(uint32_t role)
{
	return role >= ROLE_MALLOC && role < ROLE_FREE;
}

static bool role_needs_return(uint32_t role)
{
	return role_allocates(role) || (role_is_mapping(role) && role != ROLE_MUNMAP);
}

static bool is_operator(const char *name)
{
	return !strncmp(name, "_Znw", 4) || !strncmp(name, "_Zna", 4) ||
	       !strncmp(name, "_Zdl", 4) || !strncmp(name, "_Zda", 4);
}

static const struct known_function *known_function(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(known_functions); i++)
		if (!strcmp(known_functions[i].name, name))
			return &known_functions[i];
	return NULL;
}

const char *allocator_kind_name(enum allocator_kind kind)
{
	static const char *const names[ALLOCATOR_KIND_COUNT] = {
	    [ALLOCATOR_NONE] = "none",	       [ALLOCATOR_GLIBC] = "glibc",
	    [ALLOCATOR_MUSL] = "musl",	       [ALLOCATOR_JEMALLOC] = "jemalloc",
	    [ALLOCATOR_TCMALLOC] = "tcmalloc", [ALLOCATOR_MIMALLOC] = "mimalloc",
	    [ALLOCATOR_CXX] = "operator new",  [ALLOCATOR_UNKNOWN] = "unknown",
	};

	return kind < ALLOCATOR_KIND_COUNT ? names[kind] : "unknown";
}

/* ---- what the dynamic linker is told --------------------------------------------------------- */

struct slot {
	uint64_t vaddr;
	const char *name; /* of the function whose address the dynamic linker writes there */
};

struct dynamic {
	bool present, is_program, has_needed;
	const char *soname; /* "" if there is none */
	struct {
		struct slot *items;
		size_t count, capacity;
	} slots; /* sorted by vaddr */
	uint64_t strings, strings_bytes, symbols;
};

/* A string of the dynamic string table, "" if out of bounds or longer than any we look for. */
static const char *dynamic_string(const struct elf_file *elf, const struct dynamic *dynamic,
				  uint64_t offset)
{
	const uint8_t *text;
	uint64_t left;

	if (offset >= dynamic->strings_bytes)
		return "";
	left = dynamic->strings_bytes - offset;
	if (left > NAME_BYTES_MAX)
		left = NAME_BYTES_MAX;
	text = elf_file_at_vaddr(elf, dynamic->strings + offset, left);
	return text && memchr(text, 0, left) ? (const char *)text : "";
}

static int add_slots(const struct elf_file *elf, struct dynamic *dynamic, uint64_t vaddr,
		     uint64_t bytes)
{
	const uint8_t *table = elf_file_at_vaddr(elf, vaddr, bytes);

	for (uint64_t at = 0; table && bytes - at >= sizeof(Elf64_Rela); at += sizeof(Elf64_Rela)) {
		struct slot *slot;
		const uint8_t *entry;
		Elf64_Rela rela;
		Elf64_Sym symbol;

		memcpy(&rela, table + at, sizeof(rela));
		if (ELF64_R_TYPE(rela.r_info) != R_X86_64_JUMP_SLOT &&
		    ELF64_R_TYPE(rela.r_info) != R_X86_64_GLOB_DAT)
			continue;
		entry = elf_file_at_vaddr(
		    elf, dynamic->symbols + ELF64_R_SYM(rela.r_info) * sizeof(symbol),
		    sizeof(symbol));
		if (!entry)
			continue;
		memcpy(&symbol, entry, sizeof(symbol));
		slot = vec_add(&dynamic->slots);
		if (!slot)
			return -ENOMEM;
		*slot = (struct slot){rela.r_offset, dynamic_string(elf, dynamic, symbol.st_name)};
	}
	return 0;
}

static int compare_slots(const void *a, const void *b)
{
	const struct slot *first = a, *second = b;

	return first->vaddr < second->vaddr ? -1 : first->vaddr > second->vaddr;
}

static const Elf64_Phdr *segment_of_type(const struct elf_file *elf, uint32_t type)
{
	for (size_t i = 0; i < elf->segment_count; i++)
		if (elf->segments[i].p_type == type)
			return &elf->segments[i];
	return NULL;
}

/* Values of the tags below 'DT_NUM' that occur once. */
static void read_tags(const struct elf_file *elf, struct dynamic *dynamic, uint64_t tags[DT_NUM])
{
	const Elf64_Phdr *segment = segment_of_type(elf, PT_DYNAMIC);
	const uint8_t *data =
	    segment ? elf_file_at(elf, segment->p_offset, segment->p_filesz) : NULL;

	dynamic->present = data;
	for (uint64_t at = 0; data && segment->p_filesz - at >= sizeof(Elf64_Dyn);
	     at += sizeof(Elf64_Dyn)) {
		Elf64_Dyn entry;

		memcpy(&entry, data + at, sizeof(entry));
		if (entry.d_tag == DT_NULL)
			break;
		if (entry.d_tag > 0 && entry.d_tag < DT_NUM)
			tags[entry.d_tag] = entry.d_un.d_val;
		if (entry.d_tag == DT_NEEDED)
			dynamic->has_needed = true;
		if (entry.d_tag == DT_FLAGS_1 && (entry.d_un.d_val & DF_1_PIE))
			dynamic->is_program = true;
	}
}

static int read_dynamic(const struct elf_file *elf, struct dynamic *dynamic)
{
	uint64_t tags[DT_NUM] = {0};
	int status;

	*dynamic = (struct dynamic){.soname = ""};
	read_tags(elf, dynamic, tags);
	dynamic->strings = tags[DT_STRTAB];
	dynamic->strings_bytes = tags[DT_STRSZ];
	dynamic->symbols = tags[DT_SYMTAB];
	if (tags[DT_SONAME])
		dynamic->soname = dynamic_string(elf, dynamic, tags[DT_SONAME]);
	/* position-independent programs of old linkers: no flag, but who runs them */
	if (elf->type == ET_EXEC || (segment_of_type(elf, PT_INTERP) && !*dynamic->soname))
		dynamic->is_program = true;
	status = add_slots(elf, dynamic, tags[DT_JMPREL], tags[DT_PLTRELSZ]);
	if (!status)
		status = add_slots(elf, dynamic, tags[DT_RELA], tags[DT_RELASZ]);
	if (dynamic->slots.count)
		qsort(dynamic->slots.items, dynamic->slots.count, sizeof(struct slot),
		      compare_slots);
	return status;
}

static const char *slot_name(const struct dynamic *dynamic, uint64_t vaddr)
{
	struct slot key = {.vaddr = vaddr};
	const struct slot *slot = NULL;

	if (dynamic->slots.count)
		slot = bsearch(&key, dynamic->slots.items, dynamic->slots.count, sizeof(key),
			       compare_slots);
	return slot && *slot->name ? slot->name : NULL;
}

/* ---- candidates ------------------------------------------------------------------------------ */

struct candidate {
	const struct known_function *known;
	char name[64];
	uint64_t vaddr;
	const uint8_t *code;
	size_t code_bytes;
	bool dropped;
};

struct survey {
	const struct elf_file *elf;
	const struct symtab *symbols;
	struct dynamic dynamic;
	enum allocator_kind kind;
	char prefixes[PREFIXES_MAX][32];
	size_t prefix_count;
	struct {
		struct candidate *items;
		size_t count, capacity;
	} candidates;
};

/* Bytes of the file from 'vaddr' on, as many of '*bytes' as there are. */
static const uint8_t *code_at(const struct elf_file *elf, uint64_t vaddr, size_t *bytes)
{
	if (!elf_file_is_text(elf, vaddr))
		return NULL;
	for (; *bytes; *bytes /= 2) {
		const uint8_t *code = elf_file_at_vaddr(elf, vaddr, *bytes);

		if (code)
			return code;
	}
	return NULL;
}

static const struct candidate *candidate_at(const struct survey *survey, uint64_t vaddr)
{
	for (size_t i = 0; i < survey->candidates.count; i++)
		if (survey->candidates.items[i].vaddr == vaddr)
			return &survey->candidates.items[i];
	return NULL;
}

static int add_candidate(struct survey *survey, const char *prefix,
			 const struct known_function *known)
{
	char name[sizeof(((struct candidate *)NULL)->name)];
	const struct symbol *symbol;
	struct candidate *candidate;
	const uint8_t *code;
	size_t bytes;

	snprintf(name, sizeof(name), "%s%s", prefix, known->name);
	symbol = symtab_named(survey->symbols, name);
	if (!symbol || symbol->is_ifunc || candidate_at(survey, symbol->vaddr))
		return 0;
	bytes = symbol->size_bytes ? symbol->size_bytes : FUNCTION_BYTES_GUESS;
	if (bytes > FUNCTION_BYTES_MAX)
		bytes = FUNCTION_BYTES_MAX;
	code = code_at(survey->elf, symbol->vaddr, &bytes);
	if (!code)
		return 0;
	candidate = vec_add(&survey->candidates);
	if (!candidate)
		return -ENOMEM;
	*candidate = (struct candidate){
	    .known = known, .vaddr = symbol->vaddr, .code = code, .code_bytes = bytes};
	memcpy(candidate->name, name, sizeof(name));
	return 0;
}

static bool has_symbol(const struct survey *survey, const char *prefix, const char *name)
{
	char whole[64];

	snprintf(whole, sizeof(whole), "%s%s", prefix, name);
	return symtab_named(survey->symbols, whole);
}

/* "_rjem_" of "_rjem_mallocx", if it stands before dallocx too. */
static void add_prefix_of(struct survey *survey, const char *name)
{
	size_t length = strlen(name), suffix = strlen("mallocx");
	char prefix[sizeof(survey->prefixes[0])];

	if (length <= suffix || length - suffix >= sizeof(prefix) ||
	    strcmp(name + length - suffix, "mallocx"))
		return;
	memcpy(prefix, name, length - suffix);
	prefix[length - suffix] = '\0';
	for (size_t i = 0; i < survey->prefix_count; i++)
		if (!strcmp(survey->prefixes[i], prefix))
			return;
	if (survey->prefix_count < PREFIXES_MAX && has_symbol(survey, prefix, "dallocx") &&
	    has_symbol(survey, prefix, "malloc"))
		memcpy(survey->prefixes[survey->prefix_count++], prefix, sizeof(prefix));
}

static int collect_candidates(struct survey *survey)
{
	for (size_t i = 0; i < symtab_count(survey->symbols); i++)
		add_prefix_of(survey, symtab_get(survey->symbols, i)->name);
	for (size_t i = 0; i < ARRAY_LEN(known_functions); i++) {
		const struct known_function *known = &known_functions[i];
		int status = add_candidate(survey, "", known);

		for (size_t j = 0; !status && known->prefixed && j < survey->prefix_count; j++)
			status = add_candidate(survey, survey->prefixes[j], known);
		if (status)
			return status;
	}
	return 0;
}

/* ---- what the binary is ---------------------------------------------------------------------- */

static bool starts_with(const char *text, const char *prefix)
{
	return !strncmp(text, prefix, strlen(prefix));
}

/* glibc's dynamic linker; it has a malloc of its own for the time before libc is there. */
static bool is_dynamic_linker(const struct survey *survey, const char *path)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;

	return starts_with(survey->dynamic.soname, "ld-linux") || starts_with(base, "ld-linux") ||
	       starts_with(base, "ld-2.");
}

static enum allocator_kind kind_of(const struct survey *survey)
{
	if (has_symbol(survey, "", "mallctl") || survey->prefix_count)
		return ALLOCATOR_JEMALLOC;
	if (has_symbol(survey, "", "tc_malloc") || has_symbol(survey, "", "TCMallocInternalMalloc"))
		return ALLOCATOR_TCMALLOC;
	if (has_symbol(survey, "", "mi_malloc"))
		return ALLOCATOR_MIMALLOC;
	if (has_symbol(survey, "", "gnu_get_libc_version"))
		return ALLOCATOR_GLIBC;
	if (has_symbol(survey, "", "__libc_malloc_impl") ||
	    (has_symbol(survey, "", "__libc_start_main") && has_symbol(survey, "", "__dls2b")))
		return ALLOCATOR_MUSL;
	if (has_symbol(survey, "", "__libc_malloc"))
		return ALLOCATOR_GLIBC; /* statically linked */
	if (has_symbol(survey, "", "malloc") && has_symbol(survey, "", "free"))
		return ALLOCATOR_UNKNOWN;
	return ALLOCATOR_NONE;
}

/* ---- who only hands on ----------------------------------------------------------------------- */

/*
 * Where a transfer ends up: through stubs of the procedure linkage table and thunks. Sets 'name'
 * if the dynamic linker decides, else 'vaddr'. False: cannot be told.
 */
static bool resolve(const struct survey *survey, struct transfer transfer, uint64_t *vaddr,
		    const char **name)
{
	*name = NULL;
	for (int hop = 0; hop < HOPS_MAX && transfer.known; hop++) {
		size_t bytes = 32, offset = 0;
		const uint8_t *code;

		if (transfer.through_slot) {
			*name = slot_name(&survey->dynamic, transfer.target);
			return *name;
		}
		*vaddr = transfer.target;
		if (candidate_at(survey, *vaddr))
			return true;
		code = code_at(survey->elf, *vaddr, &bytes);
		if (!code)
			return false;
		if (insn_is_thunk(code, bytes, *vaddr, &transfer.target))
			continue;
		if (!insn_next_transfer(code, bytes, *vaddr, &offset, &transfer) ||
		    transfer.kind != TRANSFER_JUMP || !transfer.through_slot)
			return true; /* a function */
	}
	return false;
}

/* The other candidate that a transfer goes to, or NULL. */
static const struct candidate *candidate_behind(const struct survey *survey,
						const struct candidate *from,
						struct transfer transfer)
{
	const struct candidate *candidate;
	const char *name;
	uint64_t vaddr;

	if (!resolve(survey, transfer, &vaddr, &name))
		return NULL;
	if (name) {
		const struct symbol *symbol = symtab_named(survey->symbols, name);

		if (!symbol)
			return NULL;
		vaddr = symbol->vaddr;
	}
	candidate = candidate_at(survey, vaddr);
	return candidate == from ? NULL : candidate;
}

/* Straight code that ends in a jump to another candidate: every call of it is one of that. */
static bool is_forwarder(const struct survey *survey, const struct candidate *candidate)
{
	const struct candidate *behind;
	struct transfer transfer;
	size_t offset = 0;

	if (!insn_next_transfer(candidate->code, candidate->code_bytes, candidate->vaddr, &offset,
				&transfer) ||
	    transfer.kind != TRANSFER_JUMP)
		return false;
	behind = candidate_behind(survey, candidate, transfer);
	return behind &&
	       role_needs_return(behind->known->role) == role_needs_return(candidate->known->role);
}

static bool calls_candidate(const struct survey *survey, const struct candidate *candidate)
{
	struct transfer transfer;

	for (size_t offset = 0; insn_next_transfer(candidate->code, candidate->code_bytes,
						   candidate->vaddr, &offset, &transfer);)
		if (candidate_behind(survey, candidate, transfer))
			return true;
	return false;
}

static bool is_malloc_name(const char *name)
{
	const struct known_function *known = known_function(name);

	return known && !is_operator(name) && !role_is_mapping(known->role);
}

/* Calls malloc, free or another C allocation function, of this binary or of any. */
static bool calls_malloc(const struct survey *survey, const struct candidate *candidate)
{
	struct transfer transfer;

	for (size_t offset = 0; insn_next_transfer(candidate->code, candidate->code_bytes,
						   candidate->vaddr, &offset, &transfer);) {
		const struct candidate *behind = candidate_behind(survey, candidate, transfer);
		const char *name;
		uint64_t vaddr;

		if (behind && is_malloc_name(behind->known->name))
			return true;
		if (resolve(survey, transfer, &vaddr, &name) && name && is_malloc_name(name))
			return true;
	}
	return false;
}

/* The C++ run-time libraries, should their code not be understood: all end in malloc. */
static bool is_cxx_runtime(const struct survey *survey)
{
	return starts_with(survey->dynamic.soname, "libstdc++") ||
	       starts_with(survey->dynamic.soname, "libc++") ||
	       starts_with(survey->dynamic.soname, "libsupc++");
}

/* True if the binary's operators new and delete are a layer of their own. */
static bool operators_allocate(const struct survey *survey)
{
	if (survey->kind == ALLOCATOR_JEMALLOC || survey->kind == ALLOCATOR_TCMALLOC ||
	    survey->kind == ALLOCATOR_MIMALLOC)
		return true;
	if (is_cxx_runtime(survey))
		return false;
	for (size_t i = 0; i < survey->candidates.count; i++)
		if (is_operator(survey->candidates.items[i].known->name) &&
		    calls_malloc(survey, &survey->candidates.items[i]))
			return false;
	return true;
}

/* ---- which remain ---------------------------------------------------------------------------- */

typedef bool candidate_test(const struct survey *survey, const struct candidate *candidate);

static void drop_if(struct survey *survey, candidate_test *test)
{
	vec_for_each (candidate, &survey->candidates)
		if (test(survey, candidate))
			candidate->dropped = true;
}

static bool is_operator_candidate(const struct survey *survey, const struct candidate *candidate)
{
	return is_operator(candidate->known->name);
}

static bool is_malloc_candidate(const struct survey *survey, const struct candidate *candidate)
{
	return is_malloc_name(candidate->known->name) && candidate->known->role != ROLE_DL_CHANGED;
}

static bool is_misplaced(const struct survey *survey, const struct candidate *candidate)
{
	uint32_t role = candidate->known->role;
	bool is_libc = survey->kind == ALLOCATOR_GLIBC || survey->kind == ALLOCATOR_MUSL ||
		       (survey->dynamic.is_program && !survey->dynamic.has_needed);

	if (role_is_mapping(role))
		return !is_libc && survey->kind != ALLOCATOR_TCMALLOC;
	return role == ROLE_DL_CHANGED && survey->dynamic.is_program;
}

static bool is_wrapper(const struct survey *survey, const struct candidate *candidate)
{
	return is_forwarder(survey, candidate) ||
	       ((candidate->known->wraps_in & (1U << survey->kind)) &&
		calls_candidate(survey, candidate));
}

static bool is_not_debug_state(const struct survey *survey, const struct candidate *candidate)
{
	return candidate->known->role != ROLE_DL_CHANGED;
}

static bool any_left(const struct survey *survey, candidate_test *test)
{
	for (size_t i = 0; i < survey->candidates.count; i++)
		if (!survey->candidates.items[i].dropped &&
		    test(survey, &survey->candidates.items[i]))
			return true;
	return false;
}

static void choose_layers(struct survey *survey, const char *path)
{
	if (is_dynamic_linker(survey, path)) {
		survey->kind = ALLOCATOR_NONE;
		drop_if(survey, is_not_debug_state);
		return;
	}
	if (survey->kind == ALLOCATOR_NONE)
		drop_if(survey, is_malloc_candidate); /* malloc or free alone is no allocator */
	if (!operators_allocate(survey))
		drop_if(survey, is_operator_candidate);
	drop_if(survey, is_misplaced);
	drop_if(survey, is_wrapper);
	if (survey->kind == ALLOCATOR_NONE && any_left(survey, is_operator_candidate))
		survey->kind = ALLOCATOR_CXX;
}

/* ---- the plan -------------------------------------------------------------------------------- */

static struct probe_needs needs_of(const struct known_function *known)
{
	struct probe_needs needs = {
	    .return_address = role_needs_return(known->role),
	    .null_may_skip = known->role == ROLE_FREE,
	};

	for (int i = 0; i < role_args[known->role]; i++)
		needs.arg_mask |= 1U << known->args[i];
	if (known->role == ROLE_MMAP)
		needs.arg_mask |= 1U << PROBE_ARGS; /* flags */
	return needs;
}

/* From the function's order of arguments to the role's. */
static void order_registers(const struct known_function *known, struct probe_site *site)
{
	struct probe_site chosen = *site;

	for (int i = 0; i < PROBE_ARGS; i++)
		site->regs[i] = i < role_args[known->role] ? chosen.regs[known->args[i]] : 0;
}

static int add_point(const struct survey *survey, const struct candidate *candidate,
		     struct probe_plan *plan)
{
	const struct known_function *known = candidate->known;
	struct probe_needs needs = needs_of(known);
	struct probe_point *point;
	struct probe_site site;
	uint64_t entry;

	if (!elf_file_offset_of_vaddr(survey->elf, candidate->vaddr, &entry) ||
	    insn_choose_site(candidate->code, candidate->code_bytes, candidate->vaddr, &needs,
			     &site))
		return 0; /* no code that a probe can stand in */
	point = vec_add(plan);
	if (!point)
		return -ENOMEM;
	order_registers(known, &site);
	*point = (struct probe_point){
	    .role = known->role,
	    .alloc_class = role_is_mapping(known->role) ? CLASS_MMAP : CLASS_MALLOC,
	    .vaddr = candidate->vaddr,
	    .file_offset = entry + site.offset,
	    .site = site,
	    .needs_return = needs.return_address,
	    .return_file_offset = entry + site.offset,
	};
	memcpy(point->function, candidate->name, sizeof(point->function));
	return 0;
}

static bool plan_allocates(const struct probe_plan *plan)
{
	for (size_t i = 0; i < plan->count; i++)
		if (role_allocates(plan->items[i].role))
			return true;
	return false;
}

/*
 * Plain malloc and, where it is known, calloc do their work themselves. Others may go on in malloc:
 * glibc's realloc(NULL) and memalign for small alignments do, musl's calloc does.
 */
static bool point_may_nest(const struct probe_point *point, enum allocator_kind kind)
{
	const uint32_t known = KIND(GLIBC) | KIND(JEMALLOC) | KIND(TCMALLOC);

	if (point->role == ROLE_MALLOC && !strcmp(point->function, "malloc"))
		return false;
	return !(point->role == ROLE_MALLOC || point->role == ROLE_CALLOC) || !(known & 1U << kind);
}

static int fill_plan(const struct survey *survey, struct probe_plan *plan)
{
	for (size_t i = 0; i < survey->candidates.count; i++) {
		const struct candidate *candidate = &survey->candidates.items[i];
		int status = candidate->dropped ? 0 : add_point(survey, candidate, plan);

		if (status)
			return status;
	}
	plan->kind = survey->kind;
	for (size_t i = 0; i < plan->count; i++)
		plan->items[i].may_nest = point_may_nest(&plan->items[i], plan->kind);
	plan->is_library = !survey->dynamic.is_program && plan_allocates(plan);
	if (survey->dynamic.is_program && !survey->dynamic.has_needed &&
	    !segment_of_type(survey->elf, PT_INTERP) && !plan_allocates(plan))
		snprintf(plan->missing, sizeof(plan->missing),
			 "statically linked, with no symbol of an allocator (malloc, mallocx, "
			 "tc_malloc, mi_malloc, operator new); run a build that is not stripped "
			 "(Go keeps a heap of its own, which is not supported)");
	return 0;
}

static int survey_and_plan(struct survey *survey, const char *path, struct probe_plan *plan)
{
	int status = read_dynamic(survey->elf, &survey->dynamic);

	if (!status)
		status = collect_candidates(survey);
	if (status)
		return status;
	survey->kind = kind_of(survey);
	choose_layers(survey, path);
	return fill_plan(survey, plan);
}

int allocator_plan(const struct elf_file *elf, const struct symtab *symbols, const char *path,
		   struct probe_plan *plan, struct err *err)
{
	struct survey survey = {.elf = elf, .symbols = symbols};
	int status;

	*plan = (struct probe_plan){0};
	status = survey_and_plan(&survey, path, plan);
	free(survey.candidates.items);
	free(survey.dynamic.slots.items);
	if (!status)
		return 0;
	allocator_plan_free(plan);
	return err_set(err, -status, "out of memory");
}

void allocator_plan_free(struct probe_plan *plan)
{
	free(plan->items);
	*plan = (struct probe_plan){0};
}

uint64_t allocator_cookie(const struct probe_point *point)
{
	const struct probe_site *site = &point->site;

	return COOKIE(point->role, point->alloc_class, site->regs[0], site->regs[1], site->regs[2],
		      site->sp_delta8) |
	       (site->emulated ? 0 : COOKIE_STEPPED) | (point->may_nest ? COOKIE_MAY_NEST : 0);
}
