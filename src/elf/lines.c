/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * lines.c - see lines.h
 *
 * libdw parses; we keep what makes repeated lookups fast:
 *
 *	address -> unit		.debug_aranges where it has the address; else the ranges of all
 *units, gathered once (clang and rustc write no .debug_aranges) address -> functions	per unit,
 *one flat list of the ranges of all subprograms and inlined subroutines, in the order of the tree:
 *for any address, those that contain it, from the last subprogram on, are the inline chain
 *
 * libdw keeps all it ever parsed. When that is much, we close it and begin anew; the ranges of all
 * units stay.
 *
 * References in hostile DWARF may form loops. The walk only ever goes forward in the file, and
 * libdw bounds the attribute chains it follows.
 */
#include "elf/lines.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwelf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/vec.h"

#define TREE_DEPTH_MAX	 256
#define RANGES_MAX	 (1UL << 20) /* of one unit, or of all units */
#define DIE_RANGES_MAX	 65536
#define GROWTH_BYTES_MAX (16UL << 20)
#define UNIT_COST_FACTOR 4 /* libdw's memory for a unit's lines and DIEs, per byte of the unit */

/* A function, or a part of it, in the order of the tree. */
struct range {
	uint64_t low, high;
	Dwarf_Off die;
	bool inlined;
};

struct ranges {
	struct range *items;
	size_t count, capacity;
};

struct unit {
	Dwarf_Off die;
	struct ranges functions;
};

struct lines {
	int fd, alt_fd; /* the caller's */
	Elf *elf, *alt_elf;
	Dwarf *dwarf, *alt_dwarf;
	struct {
		struct unit *items;
		size_t count, capacity;
	} units;		   /* those looked at, in no order */
	size_t last_unit;	   /* the one that answered last */
	struct ranges unit_ranges; /* of all units, by address; 'die' is the unit's */
	bool unit_ranges_read;
	size_t bytes, bytes_at_open;
};

/* ---- open
 * ---------------------------------------------------------------------------------------- */

static Dwarf *open_dwarf(int fd, Elf **elf, size_t *bytes)
{
	struct stat status;
	Elf_Cmd command;

	if (fstat(fd, &status))
		return NULL;
	command = status.st_size <= LINES_PRIVATE_BYTES ? ELF_C_READ : ELF_C_READ_MMAP;
	if (command == ELF_C_READ)
		*bytes += status.st_size;
	*elf = elf_begin(fd, command, NULL);
	if (!*elf || elf_kind(*elf) != ELF_K_ELF)
		return NULL;
	return dwarf_begin_elf(*elf, DWARF_C_READ, NULL);
}

/*
 * libdw would open the alternate file by itself, at whatever path the file names. So either we
 * give it one, or the file is not used at all.
 */
static bool attach_alt(struct lines *lines, int alt_fd)
{
	const void *build_id;
	const char *name;

	if (dwelf_dwarf_gnu_debugaltlink(lines->dwarf, &name, &build_id) <= 0)
		return true;
	if (alt_fd < 0)
		return false;
	lines->alt_dwarf = open_dwarf(alt_fd, &lines->alt_elf, &lines->bytes);
	if (!lines->alt_dwarf)
		return false;
	dwarf_setalt(lines->dwarf, lines->alt_dwarf);
	return true;
}

static int open_files(struct lines *lines, struct err *err)
{
	lines->dwarf = open_dwarf(lines->fd, &lines->elf, &lines->bytes);
	if (!lines->dwarf)
		return err_set(err, ENODATA, "no debug information");
	if (!attach_alt(lines, lines->alt_fd))
		return err_set(err, ENODATA, "debug information is partly in a missing file");
	lines->bytes_at_open = lines->bytes;
	return 0;
}

static void close_files(struct lines *lines)
{
	vec_for_each (unit, &lines->units)
		free(unit->functions.items);
	lines->units.count = 0;
	dwarf_end(lines->dwarf);
	elf_end(lines->elf);
	dwarf_end(lines->alt_dwarf);
	elf_end(lines->alt_elf);
	lines->dwarf = lines->alt_dwarf = NULL;
	lines->elf = lines->alt_elf = NULL;
}

struct lines *lines_new(int fd, int alt_fd, struct err *err)
{
	struct lines *lines = calloc(1, sizeof(*lines));

	if (!lines) {
		err_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	elf_version(EV_CURRENT);
	lines->fd = fd;
	lines->alt_fd = alt_fd;
	lines->bytes = sizeof(*lines);
	if (!open_files(lines, err))
		return lines;
	lines_free(lines);
	return NULL;
}

void lines_free(struct lines *lines)
{
	if (!lines)
		return;
	close_files(lines);
	free(lines->units.items);
	free(lines->unit_ranges.items);
	free(lines);
}

/* Give back what libdw holds. The files are as they were at lines_new, or nothing is found. */
static int reopen(struct lines *lines)
{
	close_files(lines);
	lines->bytes = sizeof(*lines) + lines->unit_ranges.capacity * sizeof(struct range);
	return open_files(lines, NULL);
}

size_t lines_bytes(const struct lines *lines)
{
	return lines->bytes;
}

/* ---- the functions of a unit
 * ----------------------------------------------------------------------- */

/* Add the code ranges of 'die'. Ranges at 0 belong to functions that the linker dropped. */
static void add_ranges(struct ranges *ranges, Dwarf_Die *die, Dwarf_Off owner, bool inlined)
{
	Dwarf_Addr base = 0, low, high;
	ptrdiff_t next = 0;

	for (size_t i = 0; i < DIE_RANGES_MAX && ranges->count < RANGES_MAX; i++) {
		struct range *range;

		next = dwarf_ranges(die, next, &base, &low, &high);
		if (next <= 0)
			return;
		if (!low || low >= high)
			continue;
		range = vec_add(ranges);
		if (!range)
			return;
		*range = (struct range){low, high, owner, inlined};
	}
}

static bool may_hold_functions(int tag)
{
	switch (tag) {
	case DW_TAG_compile_unit:
	case DW_TAG_partial_unit:
	case DW_TAG_subprogram:
	case DW_TAG_inlined_subroutine:
	case DW_TAG_lexical_block:
	case DW_TAG_try_block:
	case DW_TAG_catch_block:
	case DW_TAG_namespace:
	case DW_TAG_module:
	case DW_TAG_class_type:
	case DW_TAG_structure_type:
	case DW_TAG_union_type:
		return true;
	default:
		return false;
	}
}

/* The sibling after 'die' or after the nearest of its parents that has one; false at the end. */
static bool step_over(Dwarf_Die path[TREE_DEPTH_MAX], size_t *depth)
{
	while (*depth > 0) {
		Dwarf_Off before = dwarf_dieoffset(&path[*depth]);
		Dwarf_Die next;

		if (!dwarf_siblingof(&path[*depth], &next)) {
			path[*depth] = next;
			return dwarf_dieoffset(&next) > before;
		}
		--*depth;
	}
	return false;
}

/* Walk the tree below 'unit' once, without recursion. */
static void collect_functions(struct ranges *functions, Dwarf_Die *unit)
{
	Dwarf_Die path[TREE_DEPTH_MAX];
	Dwarf_Off reached = dwarf_dieoffset(unit);
	size_t depth = 0;
	bool more;

	path[0] = *unit;
	do {
		Dwarf_Die *die = &path[depth];
		int tag = dwarf_tag(die);

		if (tag == DW_TAG_subprogram || tag == DW_TAG_inlined_subroutine)
			add_ranges(functions, die, dwarf_dieoffset(die),
				   tag == DW_TAG_inlined_subroutine);
		more = depth + 1 < TREE_DEPTH_MAX && may_hold_functions(tag) &&
		       !dwarf_child(die, &path[depth + 1]);
		if (more)
			depth++;
		else
			more = step_over(path, &depth);
		/* a step back would be a loop */
		if (more && dwarf_dieoffset(&path[depth]) <= reached)
			return;
		reached = dwarf_dieoffset(&path[depth]);
	} while (more);
}

/* ---- the unit of an address
 * -------------------------------------------------------------------------- */

static int by_low(const void *left, const void *right)
{
	const struct range *a = left, *b = right;

	return (a->low > b->low) - (a->low < b->low);
}

static void read_unit_ranges(struct lines *lines)
{
	Dwarf_CU *unit = NULL;
	Dwarf_Die die;
	uint8_t type;

	lines->unit_ranges_read = true;
	while (!dwarf_get_units(lines->dwarf, unit, &unit, NULL, &type, &die, NULL)) {
		if (type == DW_UT_compile || type == DW_UT_skeleton || type == DW_UT_partial)
			add_ranges(&lines->unit_ranges, &die, dwarf_dieoffset(&die), false);
	}
	if (lines->unit_ranges.count)
		qsort(lines->unit_ranges.items, lines->unit_ranges.count, sizeof(struct range),
		      by_low);
	lines->bytes += lines->unit_ranges.capacity * sizeof(struct range);
}

/* Units do not overlap, but for a few bytes of odd linkers: the last one that begins before. */
static bool find_in_unit_ranges(struct lines *lines, uint64_t vaddr, Dwarf_Off *unit)
{
	size_t low = 0, high;

	if (!lines->unit_ranges_read)
		read_unit_ranges(lines);
	high = lines->unit_ranges.count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (lines->unit_ranges.items[middle].low <= vaddr)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low || lines->unit_ranges.items[low - 1].high <= vaddr)
		return false;
	*unit = lines->unit_ranges.items[low - 1].die;
	return true;
}

static bool find_unit_offset(struct lines *lines, uint64_t vaddr, Dwarf_Off *offset)
{
	Dwarf_Die die;

	if (dwarf_addrdie(lines->dwarf, vaddr, &die)) {
		*offset = dwarf_dieoffset(&die);
		return true;
	}
	return find_in_unit_ranges(lines, vaddr, offset);
}

/* Bytes of the unit in .debug_info. */
static size_t unit_size(Dwarf *dwarf, Dwarf_Die *unit)
{
	Dwarf_Off begin = dwarf_dieoffset(unit) - dwarf_cuoffset(unit), end;
	size_t header_bytes;

	if (dwarf_nextcu(dwarf, begin, &end, &header_bytes, NULL, NULL, NULL) || end < begin)
		return 0;
	return end - begin;
}

static struct unit *known_unit(struct lines *lines, Dwarf_Off offset)
{
	if (lines->last_unit < lines->units.count &&
	    lines->units.items[lines->last_unit].die == offset)
		return &lines->units.items[lines->last_unit];
	for (size_t i = 0; i < lines->units.count; i++) {
		if (lines->units.items[i].die == offset) {
			lines->last_unit = i;
			return &lines->units.items[i];
		}
	}
	return NULL;
}

/* Read the functions of a unit at its first visit. NULL when memory is out. */
static struct unit *visit_unit(struct lines *lines, Dwarf_Off offset)
{
	struct unit *unit;
	Dwarf_Die die;

	if (lines->bytes - lines->bytes_at_open > GROWTH_BYTES_MAX && reopen(lines))
		return NULL;
	if (!dwarf_offdie(lines->dwarf, offset, &die))
		return NULL;
	unit = vec_add(&lines->units);
	if (!unit)
		return NULL;
	unit->die = offset;
	collect_functions(&unit->functions, &die);
	lines->last_unit = lines->units.count - 1;
	lines->bytes += unit->functions.capacity * sizeof(struct range);
	lines->bytes += unit_size(lines->dwarf, &die) * UNIT_COST_FACTOR;
	return unit;
}

/* ---- lookup
 * ---------------------------------------------------------------------------------------- */

static const char *function_name(Dwarf_Die *die)
{
	Dwarf_Attribute attr;
	const char *name = NULL;

	if (dwarf_attr_integrate(die, DW_AT_linkage_name, &attr) ||
	    dwarf_attr_integrate(die, DW_AT_MIPS_linkage_name, &attr))
		name = dwarf_formstring(&attr);
	if (!name && dwarf_attr_integrate(die, DW_AT_name, &attr))
		name = dwarf_formstring(&attr);
	return name && name[0] ? name : NULL;
}

static uint32_t read_number(Dwarf_Die *die, unsigned int attribute)
{
	Dwarf_Attribute attr;
	Dwarf_Word number;

	if (!dwarf_attr(die, attribute, &attr) || dwarf_formudata(&attr, &number) ||
	    number > UINT32_MAX)
		return 0;
	return number;
}

/* Where the inlined function 'die' was called. */
static void read_call_site(Dwarf_Die *unit, Dwarf_Die *die, struct line_frame *caller)
{
	uint32_t index = read_number(die, DW_AT_call_file);
	Dwarf_Files *files;
	size_t file_count;

	caller->line = read_number(die, DW_AT_call_line);
	if (dwarf_hasattr(die, DW_AT_call_file) && !dwarf_getsrcfiles(unit, &files, &file_count) &&
	    index < file_count)
		caller->file = dwarf_filesrc(files, index, NULL, NULL);
}

static void read_line(Dwarf_Die *unit, uint64_t vaddr, struct line_frame *frame)
{
	Dwarf_Line *line = dwarf_getsrc_die(unit, vaddr);
	int number;

	if (!line)
		return;
	frame->file = dwarf_linesrc(line, NULL, NULL);
	if (!dwarf_lineno(line, &number) && number > 0)
		frame->line = number;
}

/* The functions around 'vaddr', outermost first. Returns how many, 0 if none. */
static size_t find_chain(const struct unit *unit, uint64_t vaddr, Dwarf_Off chain[LINES_INLINE_MAX])
{
	size_t count = 0;

	for (size_t i = 0; i < unit->functions.count; i++) {
		const struct range *range = &unit->functions.items[i];

		if (vaddr < range->low || vaddr >= range->high)
			continue;
		if (!range->inlined)
			count = 0;
		else if (!count || chain[count - 1] == range->die || count == LINES_INLINE_MAX)
			continue;
		chain[count++] = range->die;
	}
	return count;
}

static size_t fill_frames(struct lines *lines, Dwarf_Die *unit_die, const Dwarf_Off *chain,
			  size_t count, struct line_frame *frames)
{
	for (size_t i = 0; i < count; i++) {
		struct line_frame *frame = &frames[i];
		Dwarf_Die die;

		frame->inlined = i + 1 < count;
		if (!dwarf_offdie(lines->dwarf, chain[count - 1 - i], &die))
			continue;
		frame->function = function_name(&die);
		if (frame->inlined)
			read_call_site(unit_die, &die, &frames[i + 1]);
	}
	return count;
}

size_t lines_at(struct lines *lines, uint64_t vaddr, struct line_frame frames[LINES_INLINE_MAX])
{
	Dwarf_Off offset, chain[LINES_INLINE_MAX];
	const struct unit *unit;
	Dwarf_Die die;
	size_t count;

	if (!lines->dwarf || !find_unit_offset(lines, vaddr, &offset))
		return 0;
	unit = known_unit(lines, offset);
	if (!unit)
		unit = visit_unit(lines, offset);
	if (!unit || !dwarf_offdie(lines->dwarf, offset, &die))
		return 0;
	count = find_chain(unit, vaddr, chain);
	memset(frames, 0, (count ?: 1) * sizeof(*frames));
	read_line(&die, vaddr, &frames[0]);
	if (count)
		return fill_frames(lines, &die, chain, count, frames);
	return frames[0].file ? 1 : 0;
}
