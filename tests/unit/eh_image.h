/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * eh_image.h - the smallest ELF file around a given .eh_frame, in memory.
 *
 * Headers, then .eh_frame at EH_FRAME_VADDR, then EH_TEXT_BYTES of code at EH_TEXT_VADDR: as a
 * default "call *%rax" (ff d0) all over, so that each two bytes may be a call site.
 */
#ifndef SEEP_TESTS_EH_IMAGE_H
#define SEEP_TESTS_EH_IMAGE_H

#include <elf.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define EH_BASE		 0x400000
#define EH_HEADER_OFFSET 0x300 /* .eh_frame_hdr */
#define EH_FRAME_OFFSET	 0x400
#define EH_FRAME_BYTES	 0x3c00 /* at most */
#define EH_TEXT_OFFSET	 (EH_FRAME_OFFSET + EH_FRAME_BYTES)
#define EH_TEXT_BYTES	 0x4000
#define EH_IMAGE_BYTES	 (EH_TEXT_OFFSET + EH_TEXT_BYTES)
#define EH_FRAME_VADDR	 (EH_BASE + EH_FRAME_OFFSET)
#define EH_TEXT_VADDR	 (EH_BASE + EH_TEXT_OFFSET)

struct eh_image {
	_Alignas(8) uint8_t bytes[EH_IMAGE_BYTES];
};

static inline void eh_image_segments(struct eh_image *image, size_t frame_bytes)
{
	Elf64_Phdr *segments = (void *)(image->bytes + sizeof(Elf64_Ehdr));

	segments[0] = (Elf64_Phdr){.p_type = PT_LOAD,
				   .p_flags = PF_R,
				   .p_vaddr = EH_BASE,
				   .p_filesz = EH_FRAME_OFFSET + frame_bytes,
				   .p_memsz = EH_FRAME_OFFSET + frame_bytes};
	segments[1] = (Elf64_Phdr){.p_type = PT_LOAD,
				   .p_flags = PF_R | PF_X,
				   .p_offset = EH_TEXT_OFFSET,
				   .p_vaddr = EH_TEXT_VADDR,
				   .p_filesz = EH_TEXT_BYTES,
				   .p_memsz = EH_TEXT_BYTES};
	segments[2] = (Elf64_Phdr){.p_type = PT_GNU_EH_FRAME,
				   .p_flags = PF_R,
				   .p_offset = EH_HEADER_OFFSET,
				   .p_vaddr = EH_BASE + EH_HEADER_OFFSET,
				   .p_filesz = 12,
				   .p_memsz = 12};
}

/* Section headers at 0x180, names at 0x280. */
static inline void eh_image_sections(struct eh_image *image, size_t frame_bytes)
{
	static const char names[] = "\0.eh_frame\0.names";
	Elf64_Ehdr *header = (void *)image->bytes;
	Elf64_Shdr *sections = (void *)(image->bytes + 0x180);

	header->e_shoff = 0x180;
	header->e_shentsize = sizeof(Elf64_Shdr);
	header->e_shnum = 3;
	header->e_shstrndx = 2;
	memcpy(image->bytes + 0x280, names, sizeof(names));
	sections[1] = (Elf64_Shdr){.sh_name = 1,
				   .sh_type = SHT_PROGBITS,
				   .sh_addr = EH_FRAME_VADDR,
				   .sh_offset = EH_FRAME_OFFSET,
				   .sh_size = frame_bytes};
	sections[2] = (Elf64_Shdr){
	    .sh_name = 11, .sh_type = SHT_STRTAB, .sh_offset = 0x280, .sh_size = sizeof(names)};
}

/* Without 'sections' only PT_GNU_EH_FRAME leads to the frames. Cuts 'frame_bytes' if need be. */
static inline void eh_image_make(struct eh_image *image, const void *frame, size_t frame_bytes,
				 bool sections)
{
	static const uint8_t frame_header[] = {1, 0x1b, 0xff, 0xff};
	Elf64_Ehdr *header = (void *)image->bytes;
	int32_t distance = EH_FRAME_OFFSET - (EH_HEADER_OFFSET + 4);

	if (frame_bytes > EH_FRAME_BYTES)
		frame_bytes = EH_FRAME_BYTES;
	memset(image->bytes, 0, EH_TEXT_OFFSET);
	memcpy(header->e_ident, ELFMAG "\2\1\1", 7);
	header->e_type = ET_EXEC;
	header->e_machine = EM_X86_64;
	header->e_phoff = sizeof(*header);
	header->e_phentsize = sizeof(Elf64_Phdr);
	header->e_phnum = 3;
	eh_image_segments(image, frame_bytes);
	if (sections)
		eh_image_sections(image, frame_bytes);
	memcpy(image->bytes + EH_HEADER_OFFSET, frame_header, sizeof(frame_header));
	memcpy(image->bytes + EH_HEADER_OFFSET + 4, &distance, sizeof(distance));
	if (frame_bytes)
		memcpy(image->bytes + EH_FRAME_OFFSET, frame, frame_bytes);
	for (size_t i = 0; i < EH_TEXT_BYTES; i += 2) {
		image->bytes[EH_TEXT_OFFSET + i] = 0xff;
		image->bytes[EH_TEXT_OFFSET + i + 1] = 0xd0;
	}
}

#endif
