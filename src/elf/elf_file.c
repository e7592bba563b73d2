/* SPDX-License-Identifier: GPL-2.0-only */
/* elf_file.c - see elf_file.h */
#include "elf/elf_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/err.h"

const uint8_t *elf_file_at(const struct elf_file *elf, uint64_t offset, uint64_t length)
{
	if (offset > elf->size || length > elf->size - offset)
		return NULL;
	return elf->data + offset;
}

static int check_header(const struct elf_file *elf, struct err *err)
{
	const Elf64_Ehdr *header = (const Elf64_Ehdr *)elf->data;

	if (elf->size < SELFMAG || memcmp(elf->data, ELFMAG, SELFMAG))
		return err_set(err, ENOEXEC, "not an ELF file");
	if (elf->size > EI_CLASS && elf->data[EI_CLASS] != ELFCLASS64)
		return err_set(err, ENOEXEC, "a 32-bit ELF file; only 64-bit programs can be watched");
	if (elf->size < sizeof(*header))
		return err_set(err, ENOEXEC, "an ELF file cut off in its header");
	if (elf->data[EI_DATA] != ELFDATA2LSB || header->e_machine != EM_X86_64)
		return err_set(err, ENOEXEC, "not an x86-64 ELF file");
	if (header->e_phnum && header->e_phentsize != sizeof(Elf64_Phdr))
		return err_set(err, ENOEXEC, "an ELF file with odd program headers");
	return 0;
}

static void find_sections(struct elf_file *elf, const Elf64_Ehdr *header)
{
	const Elf64_Shdr *sections, *names;
	const uint8_t *text;

	if (!header->e_shnum || header->e_shentsize != sizeof(Elf64_Shdr) || header->e_shoff % 8)
		return;
	sections = (const void *)elf_file_at(elf, header->e_shoff,
					     (uint64_t)header->e_shnum * sizeof(*sections));
	if (!sections || header->e_shstrndx >= header->e_shnum)
		return;
	names = &sections[header->e_shstrndx];
	text = elf_file_at(elf, names->sh_offset, names->sh_size);
	if (!text || !names->sh_size || text[names->sh_size - 1])
		return;
	elf->sections = sections;
	elf->section_count = header->e_shnum;
	elf->section_names = (const char *)text;
	elf->section_names_size = names->sh_size;
}

int elf_file_from_memory(struct elf_file *elf, const void *data, size_t size, struct err *err)
{
	const Elf64_Ehdr *header = data;
	int status;

	*elf = (struct elf_file){ .data = data, .size = size };
	status = check_header(elf, err);
	if (status)
		return status;
	elf->type = header->e_type;
	elf->segments = (const void *)elf_file_at(
		elf, header->e_phoff, (uint64_t)header->e_phnum * sizeof(Elf64_Phdr));
	if (!elf->segments || header->e_phoff % 8)
		return err_set(err, ENOEXEC, "an ELF file cut off in its program headers");
	elf->segment_count = header->e_phnum;
	find_sections(elf, header);
	return 0;
}

/*
 * A shared mapping: into private ones the kernel writes the breakpoints of every uprobe that is not
 * limited to some process (valid_vma() in kernel/events/uprobes.c, Linux 6.1 to 6.18), and they
 * would be taken for code. Where a file system has no shared mappings (FUSE with direct I/O), a
 * private one is better than none.
 */
static void *map_file(int fd, size_t size)
{
	void *data = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);

	if (data == MAP_FAILED && errno == ENODEV)
		data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	return data;
}

int elf_file_open_fd(struct elf_file *elf, int fd, const char *name, struct err *err)
{
	struct stat status;
	void *data;
	int result;

	if (fstat(fd, &status))
		return err_set(err, errno, "cannot read '%s': %m", name);
	if (!S_ISREG(status.st_mode) || !status.st_size)
		return err_set(err, ENOEXEC, "'%s': not an ELF file", name);
	data = map_file(fd, status.st_size);
	if (data == MAP_FAILED)
		return err_set(err, errno, "cannot map '%s': %m", name);
	result = elf_file_from_memory(elf, data, status.st_size, err);
	if (result) {
		munmap(data, status.st_size);
		return err_context(err, "'%s'", name);
	}
	elf->mapped = true;
	return 0;
}

int elf_file_open(struct elf_file *elf, const char *path, struct err *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return err_set(err, errno, "cannot open '%s': %m", path);
	return elf_file_open_fd(elf, fd, path, err);
}

void elf_file_close(struct elf_file *elf)
{
	if (elf->mapped)
		munmap((void *)elf->data, elf->size);
	*elf = (struct elf_file){ 0 };
}

const uint8_t *elf_file_at_vaddr(const struct elf_file *elf, uint64_t vaddr, uint64_t length)
{
	for (size_t i = 0; i < elf->segment_count; i++) {
		const Elf64_Phdr *segment = &elf->segments[i];

		if (segment->p_type != PT_LOAD || vaddr < segment->p_vaddr)
			continue;
		if (vaddr - segment->p_vaddr > segment->p_filesz ||
		    length > segment->p_filesz - (vaddr - segment->p_vaddr))
			continue;
		return elf_file_at(elf, segment->p_offset + (vaddr - segment->p_vaddr), length);
	}
	return NULL;
}

const Elf64_Shdr *elf_file_section(const struct elf_file *elf, const char *name)
{
	for (size_t i = 0; i < elf->section_count; i++) {
		uint32_t at = elf->sections[i].sh_name;

		if (at < elf->section_names_size && !strcmp(elf->section_names + at, name))
			return &elf->sections[i];
	}
	return NULL;
}

bool elf_file_vaddr_of_offset(const struct elf_file *elf, uint64_t offset, uint64_t *vaddr)
{
	for (size_t i = 0; i < elf->segment_count; i++) {
		const Elf64_Phdr *segment = &elf->segments[i];

		if (segment->p_type != PT_LOAD || offset < segment->p_offset ||
		    offset - segment->p_offset >= segment->p_filesz)
			continue;
		*vaddr = segment->p_vaddr + (offset - segment->p_offset);
		return true;
	}
	return false;
}

bool elf_file_offset_of_vaddr(const struct elf_file *elf, uint64_t vaddr, uint64_t *offset)
{
	for (size_t i = 0; i < elf->segment_count; i++) {
		const Elf64_Phdr *segment = &elf->segments[i];

		if (segment->p_type != PT_LOAD || vaddr < segment->p_vaddr ||
		    vaddr - segment->p_vaddr >= segment->p_filesz)
			continue;
		*offset = segment->p_offset + (vaddr - segment->p_vaddr);
		return true;
	}
	return false;
}

bool elf_file_is_text(const struct elf_file *elf, uint64_t vaddr)
{
	for (size_t i = 0; i < elf->segment_count; i++) {
		const Elf64_Phdr *segment = &elf->segments[i];

		if (segment->p_type == PT_LOAD && (segment->p_flags & PF_X) &&
		    vaddr >= segment->p_vaddr && vaddr - segment->p_vaddr < segment->p_memsz)
			return true;
	}
	return false;
}

uint64_t elf_file_text_vaddr(const struct elf_file *elf)
{
	uint64_t lowest = UINT64_MAX;

	for (size_t i = 0; i < elf->segment_count; i++) {
		const Elf64_Phdr *segment = &elf->segments[i];

		if (segment->p_type == PT_LOAD && (segment->p_flags & PF_X) &&
		    segment->p_vaddr < lowest)
			lowest = segment->p_vaddr;
	}
	return lowest == UINT64_MAX ? 0 : lowest;
}

/* Scan one PT_NOTE segment's bytes for NT_GNU_BUILD_ID. */
static size_t build_id_in_notes(const uint8_t *notes, size_t size, uint8_t id[BUILD_ID_MAX])
{
	size_t at = 0;

	while (size - at >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr note;
		size_t name_size, desc_size;

		memcpy(&note, notes + at, sizeof(note));
		at += sizeof(note);
		name_size = ((size_t)note.n_namesz + 3) & ~(size_t)3;
		desc_size = ((size_t)note.n_descsz + 3) & ~(size_t)3;
		if (name_size > size - at || desc_size > size - at - name_size)
			return 0;
		if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
		    !memcmp(notes + at, "GNU", 4) && note.n_descsz <= BUILD_ID_MAX) {
			memcpy(id, notes + at + name_size, note.n_descsz);
			return note.n_descsz;
		}
		at += name_size + desc_size;
	}
	return 0;
}

size_t elf_file_build_id(const struct elf_file *elf, uint8_t id[BUILD_ID_MAX])
{
	for (size_t i = 0; i < elf->segment_count; i++) {
		const Elf64_Phdr *segment = &elf->segments[i];
		const uint8_t *notes;
		size_t length;

		if (segment->p_type != PT_NOTE)
			continue;
		notes = elf_file_at(elf, segment->p_offset, segment->p_filesz);
		length = notes ? build_id_in_notes(notes, segment->p_filesz, id) : 0;
		if (length)
			return length;
	}
	return 0;
}
