/* SPDX-License-Identifier: GPL-2.0-only */
/* elf_copy.c - see elf_copy.h */
#include "elf/elf_copy.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "elf/elf_file.h"

#define READ_BYTES_MAX (512ULL << 20)

/* The destination, and how much may still be read: overlapping sections must not cost twice. */
struct copy {
	int fd;
	uint8_t *data;
	uint64_t size_bytes, budget_bytes;
};

/* Read [offset, offset + length) of the file to its place. What is not there stays zero. */
static void copy_range(struct copy *copy, uint64_t offset, uint64_t length)
{
	if (offset > copy->size_bytes || length > copy->size_bytes - offset ||
	    length > copy->budget_bytes)
		return;
	copy->budget_bytes -= length;
	while (length) {
		ssize_t got = pread(copy->fd, copy->data + offset, length, offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return;
		offset += got;
		length -= got;
	}
}

/* The ELF header and the tables it points to. */
static void copy_headers(struct copy *copy)
{
	const Elf64_Ehdr *header = (const Elf64_Ehdr *)copy->data;
	const Elf64_Shdr *names;
	uint64_t names_at;

	copy_range(copy, 0,
		   copy->size_bytes < sizeof(*header) ? copy->size_bytes : sizeof(*header));
	if (copy->size_bytes < sizeof(*header))
		return;
	copy_range(copy, header->e_phoff, (uint64_t)header->e_phnum * sizeof(Elf64_Phdr));
	copy_range(copy, header->e_shoff, (uint64_t)header->e_shnum * sizeof(Elf64_Shdr));
	if (header->e_shoff % 8 || header->e_shoff > copy->size_bytes ||
	    header->e_shstrndx >= header->e_shnum)
		return;
	names_at = header->e_shoff + (uint64_t)header->e_shstrndx * sizeof(*names);
	if (names_at + sizeof(*names) > copy->size_bytes)
		return;
	names = (const Elf64_Shdr *)(copy->data + names_at);
	copy_range(copy, names->sh_offset, names->sh_size);
}

static bool section_is_wanted(const struct elf_file *elf, const Elf64_Shdr *section)
{
	static const char *const wanted[] = {".gnu_debugdata", ".gnu_debuglink",
					     ".gnu_debugaltlink"};

	switch (section->sh_type) {
	case SHT_SYMTAB:
	case SHT_STRTAB:
	case SHT_DYNSYM:
	case SHT_DYNAMIC:
	case SHT_NOTE:
	case SHT_GNU_versym:
		return true;
	case SHT_PROGBITS:
		for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
			if (section->sh_name < elf->section_names_size &&
			    !strcmp(elf->section_names + section->sh_name, wanted[i]))
				return true;
		}
		return false;
	default:
		return false;
	}
}

static void copy_contents(struct copy *copy, const struct elf_file *elf)
{
	for (size_t i = 0; i < elf->segment_count; i++) {
		const Elf64_Phdr *segment = &elf->segments[i];
		bool data = segment->p_type == PT_LOAD && !(segment->p_flags & PF_X);

		if (segment->p_type == PT_NOTE || segment->p_type == PT_DYNAMIC ||
		    (data && !elf->section_count))
			copy_range(copy, segment->p_offset, segment->p_filesz);
	}
	for (size_t i = 0; i < elf->section_count; i++) {
		if (section_is_wanted(elf, &elf->sections[i]))
			copy_range(copy, elf->sections[i].sh_offset, elf->sections[i].sh_size);
	}
}

static void copy_loaded(struct copy *copy, const struct elf_file *elf)
{
	for (size_t i = 0; i < elf->segment_count; i++)
		if (elf->segments[i].p_type == PT_LOAD)
			copy_range(copy, elf->segments[i].p_offset, elf->segments[i].p_filesz);
}

static uint64_t loaded_bytes(const struct elf_file *elf)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < elf->segment_count; i++)
		if (elf->segments[i].p_type == PT_LOAD && elf->segments[i].p_filesz < elf->size)
			sum += elf->segments[i].p_filesz;
	return sum;
}

static int open_copy(struct elf_file *elf, int fd, const char *name, bool loaded, struct err *err)
{
	struct copy copy = {.fd = fd, .budget_bytes = READ_BYTES_MAX};
	struct stat status;
	int result;

	if (fstat(fd, &status))
		return err_set(err, errno, "cannot read '%s': %m", name);
	if (!S_ISREG(status.st_mode) || status.st_size <= 0)
		return err_set(err, ENOEXEC, "'%s': not an ELF file", name);
	copy.size_bytes = status.st_size;
	copy.data = mmap(NULL, copy.size_bytes, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (copy.data == MAP_FAILED)
		return err_set(err, errno, "cannot read '%s': %m", name);
	copy_headers(&copy);
	result = elf_file_from_memory(elf, copy.data, copy.size_bytes, err);
	if (result) {
		munmap(copy.data, copy.size_bytes);
		*elf = (struct elf_file){0};
		return err_context(err, "'%s'", name);
	}
	elf->mapped = true;
	if (loaded && loaded_bytes(elf) > ELF_COPY_LOADED_MAX) {
		elf_file_close(elf);
		return elf_file_open_fd(elf, fd, name, err);
	}
	copy_contents(&copy, elf);
	if (loaded)
		copy_loaded(&copy, elf);
	return 0;
}

int elf_copy_open_fd(struct elf_file *elf, int fd, const char *name, struct err *err)
{
	return open_copy(elf, fd, name, false, err);
}

int elf_copy_open_loaded(struct elf_file *elf, int fd, const char *name, struct err *err)
{
	return open_copy(elf, fd, name, true, err);
}
