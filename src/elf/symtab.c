/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * symtab.c - see symtab.h
 *
 * Symbols of all sources are gathered with their names still in the files, sorted, freed of
 * duplicates, and only then copied. Each entry knows where it ends and how far it or any entry
 * before it reaches, so that a lookup is a binary search and a short walk back.
 */
#include "elf/symtab.h"

#include <lzma.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/vec.h"
#include "elf/elf_file.h"

/* Bounds for hostile files; a large browser has a million symbols and 100 MB of names. */
#define SYMBOLS_MAX	 (4UL << 20)
#define NAME_MAX_BYTES	 8192
#define NAMES_BYTES_MAX	 (256UL << 20)
#define XZ_MEMORY_BYTES	 (80UL << 20) /* what 'xz -9' asks for, and some */
#define XZ_OUTPUT_BYTES	 (128UL << 20)
#define SEGMENTS_MAX	 256 /* each symbol is looked up among them; real files have a dozen */
#define WALK_BACK_MAX	 256
#define VERSYM_IS_HIDDEN 0x8000

struct entry {
	struct symbol symbol;
	uint32_t name_length;
	bool typed;	  /* STT_FUNC or STT_GNU_IFUNC */
	uint64_t end;	  /* first address behind it */
	uint64_t max_end; /* largest 'end' of the entries up to this one */
};

struct symtab {
	struct entry *entries; /* by address, best name first */
	size_t count;
	uint32_t *by_name; /* indices, by name, best definition first */
	char *names;
	size_t names_bytes;
};

struct builder {
	const struct elf_file *text; /* the binary itself: it knows what is code */
	struct {
		struct entry *items;
		size_t count, capacity;
	} entries;
	bool out_of_memory;
};

/* A table of symbols and what belongs to it, inside one file. */
struct source {
	const struct elf_file *elf;
	const uint8_t *symbols; /* may be unaligned */
	size_t symbol_count;
	const char *names;
	size_t names_bytes;
	const uint8_t *versions; /* .gnu.version: 16 bits per symbol, or NULL */
	bool dynamic;
};

/* ---- what one symbol tells ---------------------------------------------------------------------
 */

static uint64_t segment_end(const struct elf_file *elf, uint64_t vaddr)
{
	for (size_t i = 0; i < elf->segment_count; i++) {
		const Elf64_Phdr *segment = &elf->segments[i];

		if (segment->p_type == PT_LOAD && vaddr >= segment->p_vaddr &&
		    vaddr - segment->p_vaddr < segment->p_memsz)
			return segment->p_vaddr + segment->p_memsz;
	}
	return vaddr;
}

/* First address behind the section (else the segment) that the symbol lies in. */
static uint64_t section_end(const struct source *source, const struct elf_file *text,
			    const Elf64_Sym *sym)
{
	uint64_t limit = segment_end(text, sym->st_value);

	if (sym->st_shndx < source->elf->section_count) {
		const Elf64_Shdr *section = &source->elf->sections[sym->st_shndx];
		uint64_t end = section->sh_addr + section->sh_size;

		if (sym->st_value >= section->sh_addr && end > sym->st_value && end < limit)
			return end;
	}
	return limit;
}

static bool symbol_is_function(const struct elf_file *text, const Elf64_Sym *sym)
{
	unsigned int type = ELF64_ST_TYPE(sym->st_info);

	if (sym->st_shndx == SHN_UNDEF || sym->st_shndx == SHN_ABS)
		return false;
	if (type != STT_FUNC && type != STT_GNU_IFUNC && type != STT_NOTYPE)
		return false;
	return elf_file_is_text(text, sym->st_value);
}

static void add_symbol(struct builder *builder, const struct source *source, size_t index)
{
	struct entry *entry;
	const char *name, *name_end, *version;
	size_t room;
	Elf64_Sym sym;

	memcpy(&sym, source->symbols + index * sizeof(sym), sizeof(sym));
	if (!symbol_is_function(builder->text, &sym) || sym.st_name >= source->names_bytes)
		return;
	name = source->names + sym.st_name;
	room = source->names_bytes - sym.st_name;
	name_end = memchr(name, '\0', room < NAME_MAX_BYTES ? room : NAME_MAX_BYTES);
	if (!name_end || name_end == name)
		return;
	entry = vec_add(&builder->entries);
	if (!entry) {
		builder->out_of_memory = true;
		return;
	}
	version = memchr(name + 1, '@', name_end - name - 1);
	entry->symbol.old_version = version && version[1] != '@';
	if (source->versions) {
		uint16_t tag;

		memcpy(&tag, source->versions + index * sizeof(tag), sizeof(tag));
		entry->symbol.old_version = tag & VERSYM_IS_HIDDEN;
	}
	entry->symbol.vaddr = sym.st_value;
	entry->symbol.size_bytes = sym.st_size;
	entry->symbol.name = name;
	entry->name_length = (version ? version : name_end) - name;
	entry->symbol.dynamic = source->dynamic;
	entry->symbol.is_ifunc = ELF64_ST_TYPE(sym.st_info) == STT_GNU_IFUNC;
	entry->symbol.is_global = ELF64_ST_BIND(sym.st_info) != STB_LOCAL;
	entry->typed = ELF64_ST_TYPE(sym.st_info) != STT_NOTYPE;
	if (!sym.st_size)
		entry->end = section_end(source, builder->text, &sym);
	else if (__builtin_add_overflow(sym.st_value, sym.st_size, &entry->end))
		entry->end = UINT64_MAX;
}

static void add_source(struct builder *builder, const struct source *source)
{
	for (size_t i = 0; i < source->symbol_count && !builder->out_of_memory; i++) {
		if (builder->entries.count >= SYMBOLS_MAX)
			return;
		add_symbol(builder, source, i);
	}
}

/* ---- tables named by section headers
 * -------------------------------------------------------------- */

static const uint8_t *versions_of(const struct elf_file *elf, size_t symbol_count)
{
	for (size_t i = 0; i < elf->section_count; i++) {
		const Elf64_Shdr *section = &elf->sections[i];

		if (section->sh_type == SHT_GNU_versym && section->sh_size / 2 >= symbol_count)
			return elf_file_at(elf, section->sh_offset, section->sh_size);
	}
	return NULL;
}

static void add_section(struct builder *builder, const struct elf_file *elf,
			const Elf64_Shdr *section)
{
	struct source source = {.elf = elf, .dynamic = section->sh_type == SHT_DYNSYM};
	const Elf64_Shdr *names;

	if (section->sh_link >= elf->section_count)
		return;
	names = &elf->sections[section->sh_link];
	if (names->sh_type != SHT_STRTAB)
		return;
	source.symbols = elf_file_at(elf, section->sh_offset, section->sh_size);
	source.symbol_count = section->sh_size / sizeof(Elf64_Sym);
	source.names = (const char *)elf_file_at(elf, names->sh_offset, names->sh_size);
	source.names_bytes = names->sh_size;
	if (source.dynamic)
		source.versions = versions_of(elf, source.symbol_count);
	if (source.symbols && source.names)
		add_source(builder, &source);
}

/* The first table of each kind. Returns true if there is a .dynsym among them. */
static bool add_sections(struct builder *builder, const struct elf_file *elf)
{
	bool dynamic_seen = false, static_seen = false;

	for (size_t i = 0; i < elf->section_count; i++) {
		const Elf64_Shdr *section = &elf->sections[i];
		bool *seen = section->sh_type == SHT_DYNSYM ? &dynamic_seen : &static_seen;

		if ((section->sh_type != SHT_DYNSYM && section->sh_type != SHT_SYMTAB) || *seen)
			continue;
		*seen = true;
		add_section(builder, elf, section);
	}
	return dynamic_seen;
}

/* ---- .dynsym of files without section headers, as the dynamic linker finds it
 * --------------------- */

struct dynamic {
	uint64_t symbols, names, names_bytes, hash, gnu_hash, versions;
};

static bool read_dynamic(const struct elf_file *elf, struct dynamic *dynamic)
{
	const Elf64_Phdr *segment = NULL;
	const uint8_t *data;

	for (size_t i = 0; i < elf->segment_count; i++) {
		if (elf->segments[i].p_type == PT_DYNAMIC)
			segment = &elf->segments[i];
	}
	data = segment ? elf_file_at(elf, segment->p_offset, segment->p_filesz) : NULL;
	for (uint64_t at = 0; data && at + sizeof(Elf64_Dyn) <= segment->p_filesz;
	     at += sizeof(Elf64_Dyn)) {
		Elf64_Dyn entry;

		memcpy(&entry, data + at, sizeof(entry));
		switch (entry.d_tag) {
		case DT_NULL:
			at = segment->p_filesz - sizeof(entry);
			break;
		case DT_SYMTAB:
			dynamic->symbols = entry.d_un.d_ptr;
			break;
		case DT_STRTAB:
			dynamic->names = entry.d_un.d_ptr;
			break;
		case DT_STRSZ:
			dynamic->names_bytes = entry.d_un.d_val;
			break;
		case DT_HASH:
			dynamic->hash = entry.d_un.d_ptr;
			break;
		case DT_GNU_HASH:
			dynamic->gnu_hash = entry.d_un.d_ptr;
			break;
		case DT_VERSYM:
			dynamic->versions = entry.d_un.d_ptr;
			break;
		}
	}
	return dynamic->symbols && dynamic->names;
}

static bool read_word(const struct elf_file *elf, uint64_t offset, uint32_t *word)
{
	const uint8_t *data = elf_file_at(elf, offset, sizeof(*word));

	if (data)
		memcpy(word, data, sizeof(*word));
	return data != NULL;
}

/*
 * Number of symbols by DT_GNU_HASH: the chain of the largest bucket ends with the last symbol
 * (its hash has the lowest bit set). Layout: nbuckets, symoffset, bloom words, shift, bloom
 * filter (64-bit words), buckets, chains. 'table' is a file offset.
 */
static uint64_t count_by_gnu_hash(const struct elf_file *elf, uint64_t table)
{
	uint32_t bucket_count, first, bloom_words, index, hash;
	uint64_t buckets, chains, last = 0;

	if (!read_word(elf, table, &bucket_count) || !read_word(elf, table + 4, &first) ||
	    !read_word(elf, table + 8, &bloom_words))
		return 0;
	buckets = table + 16 + (uint64_t)bloom_words * 8;
	chains = buckets + (uint64_t)bucket_count * 4;
	for (uint64_t i = 0; i < bucket_count; i++) {
		if (!read_word(elf, buckets + i * 4, &index))
			return 0;
		if (index > last)
			last = index;
	}
	if (last < first)
		return first;
	do {
		if (!read_word(elf, chains + (last - first) * 4, &hash))
			return 0;
		last++;
	} while (!(hash & 1));
	return last;
}

static uint64_t count_dynamic(const struct elf_file *elf, const struct dynamic *dynamic)
{
	uint32_t chain_count;
	uint64_t table;

	/* DT_HASH: nbucket, nchain; there is a chain entry for each symbol */
	if (dynamic->hash && elf_file_offset_of_vaddr(elf, dynamic->hash, &table) &&
	    read_word(elf, table + 4, &chain_count))
		return chain_count;
	if (dynamic->gnu_hash && elf_file_offset_of_vaddr(elf, dynamic->gnu_hash, &table))
		return count_by_gnu_hash(elf, table);
	return 0;
}

static void add_dynamic(struct builder *builder, const struct elf_file *elf)
{
	struct source source = {.elf = elf, .dynamic = true};
	struct dynamic dynamic = {0};

	if (!read_dynamic(elf, &dynamic))
		return;
	source.symbol_count = count_dynamic(elf, &dynamic);
	source.names_bytes = dynamic.names_bytes;
	source.symbols =
	    elf_file_at_vaddr(elf, dynamic.symbols, source.symbol_count * sizeof(Elf64_Sym));
	source.names = (const char *)elf_file_at_vaddr(elf, dynamic.names, dynamic.names_bytes);
	if (dynamic.versions)
		source.versions = elf_file_at_vaddr(elf, dynamic.versions, source.symbol_count * 2);
	if (source.symbols && source.names)
		add_source(builder, &source);
}

/* ---- .gnu_debugdata: an ELF file with nothing but a symbol table, compressed by xz
 * ---------------- */

/* Returns the decompressed bytes or NULL. Bounds: XZ_MEMORY_BYTES, XZ_OUTPUT_BYTES. */
static uint8_t *decompress(const uint8_t *data, size_t size, size_t *out_bytes)
{
	lzma_stream stream = LZMA_STREAM_INIT;
	lzma_ret status = LZMA_OK;
	size_t room = 256 * 1024;
	_cleanup_free_ uint8_t *out = malloc(room);

	if (!out || lzma_stream_decoder(&stream, XZ_MEMORY_BYTES, 0) != LZMA_OK)
		return NULL;
	stream.next_in = data;
	stream.avail_in = size;
	stream.next_out = out;
	stream.avail_out = room;
	while ((status = lzma_code(&stream, LZMA_FINISH)) == LZMA_OK && room < XZ_OUTPUT_BYTES) {
		uint8_t *grown = stream.avail_out ? NULL : realloc(out, room * 2);

		if (!grown)
			break;
		out = grown;
		stream.next_out = out + room;
		stream.avail_out = room;
		room *= 2;
	}
	*out_bytes = stream.total_out;
	lzma_end(&stream);
	return status == LZMA_STREAM_END ? TAKE_PTR(out) : NULL;
}

/* Adds its symbols; returns the bytes their names lie in, for the caller to free. */
static uint8_t *add_debugdata(struct builder *builder, const struct elf_file *elf)
{
	const Elf64_Shdr *section = elf_file_section(elf, ".gnu_debugdata");
	const uint8_t *data;
	struct elf_file mini;
	uint8_t *bytes;
	size_t size;

	if (!section || section->sh_type == SHT_NOBITS)
		return NULL;
	data = elf_file_at(elf, section->sh_offset, section->sh_size);
	bytes = data ? decompress(data, section->sh_size, &size) : NULL;
	if (bytes && !elf_file_from_memory(&mini, bytes, size, NULL))
		add_sections(builder, &mini);
	return bytes;
}

/* ---- order
 * ------------------------------------------------------------------------------------------ */

static int compare_numbers(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int compare_names(const struct entry *a, const struct entry *b)
{
	uint32_t shorter = a->name_length < b->name_length ? a->name_length : b->name_length;
	int order = memcmp(a->symbol.name, b->symbol.name, shorter);

	return order ? order : compare_numbers(a->name_length, b->name_length);
}

static int by_address_and_name(const void *left, const void *right)
{
	const struct entry *a = left, *b = right;
	int order = compare_numbers(a->symbol.vaddr, b->symbol.vaddr);

	return order ? order : compare_names(a, b);
}

/* Of names for one address: true functions, then those with a size, global, short ones. */
static int by_address_and_rank(const void *left, const void *right)
{
	const struct entry *a = left, *b = right;
	int order = compare_numbers(a->symbol.vaddr, b->symbol.vaddr);

	order = order ?: b->typed - a->typed;
	order = order ?: !a->symbol.size_bytes - !b->symbol.size_bytes;
	order = order ?: b->symbol.is_global - a->symbol.is_global;
	order = order ?: compare_numbers(a->name_length, b->name_length);
	return order ? order : compare_names(a, b);
}

/* Of addresses for one name: exported, current, global ones first. */
static int by_name_and_rank(const void *left, const void *right, void *opaque)
{
	const struct entry *entries = opaque;
	const struct entry *a = &entries[*(const uint32_t *)left];
	const struct entry *b = &entries[*(const uint32_t *)right];
	int order = compare_names(a, b);

	order = order ?: b->symbol.dynamic - a->symbol.dynamic;
	order = order ?: a->symbol.old_version - b->symbol.old_version;
	order = order ?: b->symbol.is_global - a->symbol.is_global;
	order = order ?: b->typed - a->typed;
	return order ? order : compare_numbers(a->symbol.vaddr, b->symbol.vaddr);
}

/* The same function in several tables becomes one entry that knows what each of them says. */
static void merge_into(struct entry *kept, const struct entry *other)
{
	if (!kept->symbol.size_bytes && other->symbol.size_bytes) {
		kept->symbol.size_bytes = other->symbol.size_bytes;
		kept->end = other->end;
	}
	/* only .dynsym knows the versions for sure */
	if (other->symbol.dynamic)
		kept->symbol.old_version = other->symbol.old_version &&
					   (!kept->symbol.dynamic || kept->symbol.old_version);
	kept->symbol.dynamic |= other->symbol.dynamic;
	kept->symbol.is_ifunc |= other->symbol.is_ifunc;
	kept->symbol.is_global |= other->symbol.is_global;
	kept->typed |= other->typed;
}

static size_t merge_duplicates(struct entry *entries, size_t count)
{
	size_t kept = 0;

	if (!count)
		return 0;
	qsort(entries, count, sizeof(*entries), by_address_and_name);
	for (size_t i = 1; i < count; i++) {
		if (by_address_and_name(&entries[kept], &entries[i]))
			entries[++kept] = entries[i];
		else
			merge_into(&entries[kept], &entries[i]);
	}
	return kept + 1;
}

/* ---- the finished table
 * ------------------------------------------------------------------------------- */

/* Move the names out of the files. */
static int copy_names(struct symtab *table)
{
	size_t total = 1, at = 0;

	for (size_t i = 0; i < table->count; i++) {
		total += table->entries[i].name_length + 1;
		if (total > NAMES_BYTES_MAX) {
			total -= table->entries[i].name_length + 1;
			table->count = i;
		}
	}
	table->names = malloc(total);
	if (!table->names)
		return -1;
	table->names_bytes = total;
	for (size_t i = 0; i < table->count; i++) {
		struct entry *entry = &table->entries[i];

		memcpy(table->names + at, entry->symbol.name, entry->name_length);
		table->names[at + entry->name_length] = '\0';
		entry->symbol.name = table->names + at;
		at += entry->name_length + 1;
	}
	return 0;
}

/* Symbols without a size end at the next address that has a symbol. */
static void set_ends(struct symtab *table)
{
	uint64_t next = UINT64_MAX, max_end = 0;

	for (size_t i = table->count; i-- > 0;) {
		struct entry *entry = &table->entries[i];

		if (i + 1 < table->count && entry[1].symbol.vaddr > entry->symbol.vaddr)
			next = entry[1].symbol.vaddr;
		if (!entry->symbol.size_bytes && entry->end > next)
			entry->end = next;
	}
	for (size_t i = 0; i < table->count; i++) {
		if (table->entries[i].end > max_end)
			max_end = table->entries[i].end;
		table->entries[i].max_end = max_end;
	}
}

static int index_names(struct symtab *table)
{
	table->by_name = calloc(table->count + 1, sizeof(*table->by_name));
	if (!table->by_name)
		return -1;
	for (size_t i = 0; i < table->count; i++)
		table->by_name[i] = i;
	qsort_r(table->by_name, table->count, sizeof(*table->by_name), by_name_and_rank,
		table->entries);
	return 0;
}

/* Takes over the builder's entries. */
static struct symtab *finish(struct builder *builder)
{
	struct symtab *table = calloc(1, sizeof(*table));
	struct entry *fitting;

	if (!table || builder->out_of_memory) {
		free(table);
		return NULL;
	}
	table->entries = TAKE_PTR(builder->entries.items);
	table->count = merge_duplicates(table->entries, builder->entries.count);
	if (table->count)
		qsort(table->entries, table->count, sizeof(*table->entries), by_address_and_rank);
	if (copy_names(table) || index_names(table)) {
		symtab_free(table);
		return NULL;
	}
	set_ends(table);
	fitting =
	    table->count ? reallocarray(table->entries, table->count, sizeof(*fitting)) : NULL;
	if (fitting)
		table->entries = fitting;
	return table;
}

struct symtab *symtab_new(const struct elf_file *elf, const struct elf_file *debug_or_null)
{
	struct builder builder = {.text = elf};
	_cleanup_free_ uint8_t *debugdata = NULL;
	struct symtab *table;

	if (elf->segment_count <= SEGMENTS_MAX) {
		if (!add_sections(&builder, elf))
			add_dynamic(&builder, elf);
		debugdata = add_debugdata(&builder, elf);
		if (debug_or_null)
			add_sections(&builder, debug_or_null);
	}
	table = finish(&builder);
	free(builder.entries.items);
	return table;
}

void symtab_free(struct symtab *table)
{
	if (!table)
		return;
	free(table->entries);
	free(table->by_name);
	free(table->names);
	free(table);
}

/* Number of entries at or below 'vaddr'. */
static size_t count_up_to(const struct symtab *table, uint64_t vaddr)
{
	size_t low = 0, high = table->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (table->entries[middle].symbol.vaddr <= vaddr)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct symbol *symtab_at(const struct symtab *table, uint64_t vaddr)
{
	const struct entry *sized = NULL, *unsized = NULL;
	size_t count = count_up_to(table, vaddr);

	for (size_t back = 1; back <= count && back <= WALK_BACK_MAX; back++) {
		const struct entry *entry = &table->entries[count - back];

		if (entry->max_end <= vaddr || (sized && entry->symbol.vaddr < sized->symbol.vaddr))
			break;
		if (entry->end <= vaddr)
			continue;
		/* going down within one address, each one found is better than the last */
		if (entry->symbol.size_bytes)
			sized = entry;
		else if (!unsized || unsized->symbol.vaddr == entry->symbol.vaddr)
			unsized = entry;
	}
	if (sized)
		return &sized->symbol;
	return unsized ? &unsized->symbol : NULL;
}

const struct symbol *symtab_named(const struct symtab *table, const char *name)
{
	size_t low = 0, high = table->count;
	const struct symbol *symbol;

	while (low < high) { /* the first that is not below 'name' */
		size_t middle = low + (high - low) / 2;

		if (strcmp(table->entries[table->by_name[middle]].symbol.name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == table->count)
		return NULL;
	symbol = &table->entries[table->by_name[low]].symbol;
	return strcmp(symbol->name, name) ? NULL : symbol;
}

size_t symtab_count(const struct symtab *table)
{
	return table->count;
}

const struct symbol *symtab_get(const struct symtab *table, size_t index)
{
	return index < table->count ? &table->entries[index].symbol : NULL;
}

size_t symtab_bytes(const struct symtab *table)
{
	return sizeof(*table) + table->names_bytes +
	       table->count * (sizeof(*table->entries) + sizeof(*table->by_name));
}
