/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * image.h - the mapped file that holds the interpreter, and its symbols.
 *
 * That is libpython or the executable itself. An executable that is linked with libpython may
 * define some of its data as well (copy relocations): then that copy is the one in use.
 */
#ifndef SEEP_PYTHON_IMAGE_H
#define SEEP_PYTHON_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "elf/dynsym.h"
#include "elf/elf_file.h"

struct err;
struct proc_maps;

#define PYTHON_IMAGES_MAX 4 /* interpreters in one process that are looked at */

/* Files of the process that matter. Indices of regions in its proc_maps, -1: none. */
struct python_files {
	ssize_t executable;
	ssize_t musl; /* musl's libc.so */
	ssize_t interpreters[PYTHON_IMAGES_MAX]; /* the one in use first */
	size_t interpreter_count;
};

/* Look through the executable mappings. Returns 0, -ENOMEM, or -EACCES if nothing was found and
 * some file could not be opened. */
int python_files_find(pid_t pid, const struct proc_maps *maps, struct python_files *files,
		      struct err *err);

struct python_image {
	int fd;
	const char *path; /* in 'maps' */
	struct elf_file elf;
	struct dynsym exports;
	bool has_exports;
	uint64_t bias; /* user address - ELF address */
	uint64_t text_start, text_end;
	/* of the executable, if that is another file */
	int executable_fd;
	bool has_executable;
	struct dynsym executable;
	uint64_t executable_bias;
};

/* Open the file of maps->items[region], which stays the caller's, as 'maps' does. */
int python_image_open(pid_t pid, const struct proc_maps *maps, const struct python_files *files,
		      size_t region, struct python_image *image, struct err *err);
void python_image_close(struct python_image *image);

/* A symbol that the file defines, exported or in .symtab. */
bool python_image_symbol(const struct python_image *image, const char *name, Elf64_Sym *symbol);

/* The user address of exported data, wherever the process has it; 0 if there is none. */
uint64_t python_image_data(const struct python_image *image, const char *name);

/* Code of a function, cut to 'max' bytes: NULL if the file has none. */
const uint8_t *python_image_code(const struct python_image *image, const Elf64_Sym *symbol,
				 size_t max, size_t *length);

/* Last component of a path. */
const char *python_base_name(const char *path);

#endif
