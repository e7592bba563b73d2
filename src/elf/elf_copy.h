/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * elf_copy.h - the parts of an ELF file that name things, read into private memory.
 *
 * A mapped file that somebody truncates raises SIGBUS at the next access; what was read does not.
 * The copy is as large as the file but only these parts are filled in (and cost memory): headers,
 * symbol and string tables, notes, .dynamic, .gnu_debugdata, .gnu_debuglink, .gnu_debugaltlink; of
 * a file without section headers, the segments that hold no code. The rest reads as zeros.
 */
#ifndef SEEP_ELF_ELF_COPY_H
#define SEEP_ELF_ELF_COPY_H

struct elf_file;
struct err;

/* As elf_file_open_fd(): same results, closed with elf_file_close(). Reads 512 MiB at most. */
int elf_copy_open_fd(struct elf_file *elf, int fd, const char *name, struct err *err);

#define ELF_COPY_LOADED_MAX (32ULL << 20)

/*
 * As above and with everything the program is made of: code, relocations, unwind tables. A file with
 * more than ELF_COPY_LOADED_MAX bytes of that is mapped instead (and can raise SIGBUS, if it is
 * truncated meanwhile): few are, and memory is worth more.
 */
int elf_copy_open_loaded(struct elf_file *elf, int fd, const char *name, struct err *err);

#endif
