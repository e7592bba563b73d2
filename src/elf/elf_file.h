/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * elf_file.h - a 64-bit ELF file mapped read-only, every access bounds-checked.
 *
 * The file may be hostile or change under us: offsets are checked against the size at open.
 * Names of sections may be absent (sstrip); segments are what counts.
 */
#ifndef SEEP_ELF_ELF_FILE_H
#define SEEP_ELF_ELF_FILE_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

#define BUILD_ID_MAX 64 /* bytes */

struct elf_file {
	const uint8_t *data; /* whole file, read-only */
	size_t size;
	const Elf64_Phdr *segments;
	size_t segment_count;
	const Elf64_Shdr *sections; /* NULL when there are none */
	size_t section_count;
	const char *section_names; /* NUL-terminated table, NULL when there is none */
	size_t section_names_size;
	uint16_t type; /* ET_EXEC, ET_DYN */
	bool mapped;   /* data is ours to unmap */
};

/*
 * Map the file behind 'fd' (which stays the caller's). 'name' is for messages.
 * Returns 0; -ENOEXEC if it is no 64-bit little-endian x86-64 ELF file (the text says which part).
 */
int elf_file_open_fd(struct elf_file *elf, int fd, const char *name, struct err *err);
int elf_file_open(struct elf_file *elf, const char *path, struct err *err);
/* As above for bytes in memory, which must outlive 'elf'. */
int elf_file_from_memory(struct elf_file *elf, const void *data, size_t size, struct err *err);
void elf_file_close(struct elf_file *elf);

/* Bytes of the file at 'offset', NULL unless all 'length' of them are there. */
const uint8_t *elf_file_at(const struct elf_file *elf, uint64_t offset, uint64_t length);

/* Bytes at an ELF virtual address that the file holds (not .bss), NULL otherwise. */
const uint8_t *elf_file_at_vaddr(const struct elf_file *elf, uint64_t vaddr, uint64_t length);

/* Section by name, NULL if absent. */
const Elf64_Shdr *elf_file_section(const struct elf_file *elf, const char *name);

/* File offset <-> ELF virtual address through the loadable segments. Return false if outside. */
bool elf_file_vaddr_of_offset(const struct elf_file *elf, uint64_t offset, uint64_t *vaddr);
bool elf_file_offset_of_vaddr(const struct elf_file *elf, uint64_t vaddr, uint64_t *offset);

/* True if 'vaddr' lies in an executable segment. */
bool elf_file_is_text(const struct elf_file *elf, uint64_t vaddr);

/* Lowest address of an executable segment, 0 if there is none. */
uint64_t elf_file_text_vaddr(const struct elf_file *elf);

/* Copy the GNU build id. Returns its length in bytes, 0 if there is none. */
size_t elf_file_build_id(const struct elf_file *elf, uint8_t id[BUILD_ID_MAX]);

#endif
