/* SPDX-License-Identifier: GPL-2.0-only */
/* dynsym.c - see dynsym.h */
#include "elf/dynsym.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define CHAIN_MAX      4096 /* symbols looked at for one name; a dozen in real files */
#define DYNAMIC_MAX    1024 /* entries of .dynamic */
#define NAME_BYTES_MAX 128

static bool read_at(int fd, uint64_t offset, void *to, size_t bytes)
{
	ssize_t got;

	if (offset > INT64_MAX)
		return false;
	do
		got = pread(fd, to, bytes, (off_t)offset);
	while (got < 0 && errno == EINTR);
	return got == (ssize_t)bytes;
}

bool dynsym_read(const struct dynsym *dynsym, uint64_t vaddr, void *to, size_t bytes)
{
	for (size_t i = 0; i < dynsym->segment_count; i++) {
		const Elf64_Phdr *segment = &dynsym->segments[i];
		uint64_t inside = vaddr - segment->p_vaddr, offset;

		if (segment->p_type != PT_LOAD || vaddr < segment->p_vaddr ||
		    inside > segment->p_filesz || bytes > segment->p_filesz - inside)
			continue;
		return !__builtin_add_overflow(segment->p_offset, inside, &offset) &&
		       read_at(dynsym->fd, offset, to, bytes);
	}
	return false;
}

static int read_segments(struct dynsym *dynsym)
{
	Elf64_Ehdr header;

	if (!read_at(dynsym->fd, 0, &header, sizeof(header)) ||
	    memcmp(header.e_ident, ELFMAG, SELFMAG) || header.e_ident[EI_CLASS] != ELFCLASS64 ||
	    header.e_ident[EI_DATA] != ELFDATA2LSB || header.e_machine != EM_X86_64 ||
	    header.e_phentsize != sizeof(Elf64_Phdr))
		return -ENOEXEC;
	dynsym->segment_count =
		header.e_phnum < DYNSYM_SEGMENTS_MAX ? header.e_phnum : DYNSYM_SEGMENTS_MAX;
	if (!read_at(dynsym->fd, header.e_phoff, dynsym->segments,
		     dynsym->segment_count * sizeof(Elf64_Phdr)))
		return -ENOEXEC;
	return 0;
}

static void take_entry(struct dynsym *dynsym, const Elf64_Dyn *entry)
{
	switch (entry->d_tag) {
	case DT_SYMTAB:
		dynsym->symbols = entry->d_un.d_ptr;
		break;
	case DT_STRTAB:
		dynsym->names = entry->d_un.d_ptr;
		break;
	case DT_STRSZ:
		dynsym->names_bytes = entry->d_un.d_val;
		break;
	case DT_HASH:
		dynsym->hash = entry->d_un.d_ptr;
		break;
	case DT_GNU_HASH:
		dynsym->gnu_hash = entry->d_un.d_ptr;
		break;
	}
}

static void read_dynamic(struct dynsym *dynsym, const Elf64_Phdr *segment)
{
	size_t count = segment->p_filesz / sizeof(Elf64_Dyn);

	for (size_t i = 0; i < count && i < DYNAMIC_MAX; i++) {
		Elf64_Dyn entry;

		if (!dynsym_read(dynsym, segment->p_vaddr + i * sizeof(entry), &entry,
				 sizeof(entry)) ||
		    entry.d_tag == DT_NULL)
			return;
		take_entry(dynsym, &entry);
	}
}

int dynsym_open(struct dynsym *dynsym, int fd)
{
	int status;

	*dynsym = (struct dynsym){.fd = fd};
	status = read_segments(dynsym);
	if (status)
		return status;
	for (size_t i = 0; i < dynsym->segment_count; i++)
		if (dynsym->segments[i].p_type == PT_DYNAMIC)
			read_dynamic(dynsym, &dynsym->segments[i]);
	if (!dynsym->symbols || !dynsym->names || (!dynsym->hash && !dynsym->gnu_hash))
		return -ENODATA;
	return 0;
}

/* ---- lookup ---------------------------------------------------------------------------------- */

static bool read_word(const struct dynsym *dynsym, uint64_t vaddr, uint32_t *word)
{
	return dynsym_read(dynsym, vaddr, word, sizeof(*word));
}

static bool symbol_is(const struct dynsym *dynsym, uint32_t index, const char *name,
		      Elf64_Sym *symbol)
{
	size_t bytes = strlen(name) + 1;
	char text[NAME_BYTES_MAX];

	return bytes <= sizeof(text) &&
	       dynsym_read(dynsym, dynsym->symbols + (uint64_t)index * sizeof(*symbol), symbol,
			   sizeof(*symbol)) &&
	       symbol->st_shndx != SHN_UNDEF && symbol->st_name < dynsym->names_bytes &&
	       dynsym_read(dynsym, dynsym->names + symbol->st_name, text, bytes) &&
	       !memcmp(text, name, bytes);
}

static uint32_t gnu_hash(const char *name)
{
	uint32_t hash = 5381;

	for (; *name; name++)
		hash = hash * 33 + (uint8_t)*name;
	return hash;
}

/* nbuckets, symoffset, bloom words, shift; bloom filter (64-bit words); buckets; chains, whose
 * entries are hashes with the lowest bit set in the last one. */
static bool find_by_gnu_hash(const struct dynsym *dynsym, const char *name, Elf64_Sym *symbol)
{
	uint32_t header[4], index, hash = gnu_hash(name), other;
	uint64_t bloom_word, buckets, chains;

	if (!dynsym_read(dynsym, dynsym->gnu_hash, header, sizeof(header)) || !header[0] ||
	    !header[2])
		return false;
	if (!dynsym_read(dynsym, dynsym->gnu_hash + 16 + (uint64_t)(hash / 64 % header[2]) * 8,
			 &bloom_word, sizeof(bloom_word)) ||
	    !(bloom_word >> (hash % 64) & bloom_word >> ((hash >> (header[3] & 31)) % 64) & 1))
		return false;
	buckets = dynsym->gnu_hash + 16 + (uint64_t)header[2] * 8;
	chains = buckets + (uint64_t)header[0] * 4;
	if (!read_word(dynsym, buckets + (uint64_t)(hash % header[0]) * 4, &index) ||
	    index < header[1])
		return false;
	for (size_t steps = 0; steps < CHAIN_MAX; steps++, index++) {
		if (!read_word(dynsym, chains + (uint64_t)(index - header[1]) * 4, &other))
			return false;
		if ((other | 1) == (hash | 1) && symbol_is(dynsym, index, name, symbol))
			return true;
		if (other & 1)
			return false;
	}
	return false;
}

static uint32_t sysv_hash(const char *name)
{
	uint32_t hash = 0;

	for (; *name; name++) {
		hash = (hash << 4) + (uint8_t)*name;
		hash ^= hash >> 24 & 0xf0;
		hash &= 0x0fffffff;
	}
	return hash;
}

/* nbucket, nchain; buckets; chains of symbol indices. */
static bool find_by_hash(const struct dynsym *dynsym, const char *name, Elf64_Sym *symbol)
{
	uint64_t buckets = dynsym->hash + 8, chains;
	uint32_t bucket_count, index;

	if (!read_word(dynsym, dynsym->hash, &bucket_count) || !bucket_count)
		return false;
	chains = buckets + (uint64_t)bucket_count * 4;
	if (!read_word(dynsym, buckets + (uint64_t)(sysv_hash(name) % bucket_count) * 4, &index))
		return false;
	for (size_t steps = 0; steps < CHAIN_MAX && index; steps++) {
		if (symbol_is(dynsym, index, name, symbol))
			return true;
		if (!read_word(dynsym, chains + (uint64_t)index * 4, &index))
			return false;
	}
	return false;
}

bool dynsym_find(const struct dynsym *dynsym, const char *name, Elf64_Sym *symbol)
{
	Elf64_Sym found;

	if (dynsym->gnu_hash ? !find_by_gnu_hash(dynsym, name, &found)
			     : !find_by_hash(dynsym, name, &found))
		return false;
	*symbol = found;
	return true;
}
