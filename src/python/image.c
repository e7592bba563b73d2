/* SPDX-License-Identifier: GPL-2.0-only */
/* image.c - see image.h */
#include "python/image.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/table.h"
#include "elf/elf_copy.h"
#include "target/proc_maps.h"

#define FUNCTION_BYTES_GUESS 256 /* where the symbol has no size */
#define DELETED		     " (deleted)"

const char *python_base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* ---- which files ----------------------------------------------------------------------------- */

/* The path of the executable as /proc/PID/maps has it; "" if that cannot be told. */
static void read_executable_path(pid_t pid, char path[PATH_MAX])
{
	char link[64];
	ssize_t length;

	snprintf(link, sizeof(link), "/proc/%d/exe", pid);
	length = readlink(link, path, PATH_MAX - 1);
	path[length < 0 ? 0 : length] = '\0';
	if (length > (ssize_t)strlen(DELETED) &&
	    !strcmp(path + length - strlen(DELETED), DELETED))
		path[length - strlen(DELETED)] = '\0';
}

static bool is_musl(const char *path)
{
	const char *name = python_base_name(path);

	/* glibc's libc.so is a linker script and never mapped */
	return !strcmp(name, "libc.so") || !strncmp(name, "ld-musl-", 8) ||
	       !strncmp(name, "libc.musl-", 10);
}

/* What only CPython defines; 2.x is taken as well, to be named. */
static bool defines_interpreter(const struct dynsym *exports)
{
	Elf64_Sym symbol;

	return dynsym_find(exports, "Py_GetVersion", &symbol) &&
	       (dynsym_find(exports, "_PyRuntime", &symbol) ||
		dynsym_find(exports, "_PyThreadState_Current", &symbol)) &&
	       dynsym_find(exports, "PyCode_Type", &symbol);
}

static bool elf_symbol(const struct elf_file *elf, const char *name, Elf64_Sym *symbol);

/* A program may contain an interpreter and export nothing of it. */
static bool contains_interpreter(pid_t pid, const struct vm_region *region)
{
	_cleanup_close_ int fd = proc_maps_open_file(pid, region, NULL);
	struct elf_file elf;
	Elf64_Sym symbol;
	bool found;

	if (fd < 0 || elf_copy_open_fd(&elf, fd, region->path, NULL))
		return false;
	found = (elf_symbol(&elf, "_PyRuntime", &symbol) &&
		 elf_symbol(&elf, "Py_GetVersion", &symbol)) ||
		elf_file_section(&elf, ".PyRuntime");
	elf_file_close(&elf);
	return found;
}

struct search {
	pid_t pid;
	const struct proc_maps *maps;
	struct python_files *files;
	struct table *seen; /* files, by device and inode */
	char executable[PATH_MAX];
	int failure; /* of the last file that could not be opened */
};

/* An executable that exports an interpreter comes first: the dynamic linker prefers its definitions
 * to those of a libpython that some library brought along. */
static void add_interpreter(struct python_files *files, size_t region, bool is_executable)
{
	size_t at = is_executable ? 0 : files->interpreter_count;

	if (files->interpreter_count == PYTHON_IMAGES_MAX)
		return;
	memmove(files->interpreters + at + 1, files->interpreters + at,
		(files->interpreter_count - at) * sizeof(files->interpreters[0]));
	files->interpreters[at] = region;
	files->interpreter_count++;
}

static void look_at_file(struct search *search, size_t index)
{
	const struct vm_region *region = &search->maps->items[index];
	bool is_executable = !strcmp(region->path, search->executable);
	_cleanup_close_ int fd = -1;
	struct dynsym exports;

	if (is_executable)
		search->files->executable = index;
	if (is_musl(region->path))
		search->files->musl = index;
	fd = proc_maps_open_file(search->pid, region, NULL);
	if (fd < 0) {
		search->failure = fd;
		return;
	}
	if (!dynsym_open(&exports, fd) && defines_interpreter(&exports))
		add_interpreter(search->files, index, is_executable);
}

static int look_at_region(struct search *search, size_t index)
{
	const struct vm_region *region = &search->maps->items[index];
	struct {
		uint64_t device, inode;
	} key = {(uint64_t)region->device_major << 32 | region->device_minor, region->inode};
	bool added;

	if (!region->executable || region->path[0] != '/')
		return 0;
	if (table_add(search->seen, &key, &added) < 0)
		return -ENOMEM;
	if (added)
		look_at_file(search, index);
	return 0;
}

int python_files_find(pid_t pid, const struct proc_maps *maps, struct python_files *files,
		      struct err *err)
{
	struct search search = {.pid = pid, .maps = maps, .files = files};
	int status = 0;

	*files = (struct python_files){.executable = -1, .musl = -1};
	read_executable_path(pid, search.executable);
	search.seen = table_new(2 * sizeof(uint64_t));
	if (!search.seen)
		return err_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < maps->count && !status; i++)
		status = look_at_region(&search, i);
	table_free(search.seen);
	if (status)
		return err_set(err, -status, "out of memory");
	if (!files->interpreter_count && files->executable >= 0 &&
	    contains_interpreter(pid, &maps->items[files->executable]))
		add_interpreter(files, files->executable, true);
	if (!files->interpreter_count &&
	    (search.failure == -EACCES || search.failure == -EPERM))
		return err_set(err, EACCES, "cannot open the files of process %d: %s", pid,
			       strerror(-search.failure));
	return 0;
}

/* ---- one file -------------------------------------------------------------------------------- */

/* What is to be added to an ELF address, by an executable mapping of the file. */
static bool segment_bias(const Elf64_Phdr *segments, size_t count, const struct vm_region *region,
			 uint64_t *bias)
{
	const uint64_t page = 4096;

	for (size_t i = 0; i < count; i++) {
		const Elf64_Phdr *segment = &segments[i];

		if (segment->p_type != PT_LOAD || !(segment->p_flags & PF_X) ||
		    region->file_offset < (segment->p_offset & ~(page - 1)) ||
		    region->file_offset >= segment->p_offset + segment->p_filesz)
			continue;
		*bias = region->start - region->file_offset + segment->p_offset - segment->p_vaddr;
		return true;
	}
	return false;
}

/* Mappings that were split later (mprotect, madvise) count as one. */
static void find_text(const struct proc_maps *maps, size_t index, struct python_image *image)
{
	const struct vm_region *region = &maps->items[index];

	image->text_start = region->start;
	image->text_end = region->end;
	for (size_t i = index + 1; i < maps->count; i++) {
		const struct vm_region *next = &maps->items[i];

		if (!next->executable || next->start != image->text_end ||
		    next->inode != region->inode || strcmp(next->path, region->path))
			break;
		image->text_end = next->end;
	}
}

static void open_executable(pid_t pid, const struct vm_region *region, struct python_image *image)
{
	image->executable_fd = proc_maps_open_file(pid, region, NULL);
	image->has_executable = image->executable_fd >= 0 &&
				!dynsym_open(&image->executable, image->executable_fd) &&
				segment_bias(image->executable.segments,
					     image->executable.segment_count, region,
					     &image->executable_bias);
}

int python_image_open(pid_t pid, const struct proc_maps *maps, const struct python_files *files,
		      size_t region, struct python_image *image, struct err *err)
{
	const struct vm_region *mapping = &maps->items[region];
	int status;

	*image = (struct python_image){.fd = -1, .executable_fd = -1, .path = mapping->path};
	image->fd = proc_maps_open_file(pid, mapping, err);
	if (image->fd < 0)
		return image->fd;
	status = elf_copy_open_loaded(&image->elf, image->fd, mapping->path, err);
	if (!status && !segment_bias(image->elf.segments, image->elf.segment_count, mapping,
				     &image->bias))
		status = err_set(err, ENOEXEC, "'%s': mapped where it has no code", mapping->path);
	if (status) {
		python_image_close(image);
		return status;
	}
	image->has_exports = !dynsym_open(&image->exports, image->fd);
	find_text(maps, region, image);
	if (files->executable >= 0 && (size_t)files->executable != region)
		open_executable(pid, &maps->items[files->executable], image);
	return 0;
}

void python_image_close(struct python_image *image)
{
	elf_file_close(&image->elf);
	if (image->fd >= 0)
		close(image->fd);
	if (image->executable_fd >= 0)
		close(image->executable_fd);
	image->fd = image->executable_fd = -1;
}

/* ---- symbols --------------------------------------------------------------------------------- */

static bool section_symbol(const struct elf_file *elf, const Elf64_Shdr *section, const char *name,
			   Elf64_Sym *symbol)
{
	const uint8_t *symbols = elf_file_at(elf, section->sh_offset, section->sh_size);
	size_t count = section->sh_size / sizeof(*symbol), bytes = strlen(name) + 1;
	const Elf64_Shdr *names;
	const uint8_t *text;

	if (!symbols || section->sh_link >= elf->section_count)
		return false;
	names = &elf->sections[section->sh_link];
	text = elf_file_at(elf, names->sh_offset, names->sh_size);
	for (size_t i = 0; text && i < count; i++) {
		memcpy(symbol, symbols + i * sizeof(*symbol), sizeof(*symbol));
		if (symbol->st_shndx != SHN_UNDEF && symbol->st_name < names->sh_size &&
		    bytes <= names->sh_size - symbol->st_name &&
		    !memcmp(text + symbol->st_name, name, bytes))
			return true;
	}
	return false;
}

static bool elf_symbol(const struct elf_file *elf, const char *name, Elf64_Sym *symbol)
{
	for (size_t i = 0; i < elf->section_count; i++) {
		Elf64_Sym found;

		if (elf->sections[i].sh_type != SHT_SYMTAB ||
		    !section_symbol(elf, &elf->sections[i], name, &found))
			continue;
		*symbol = found;
		return true;
	}
	return false;
}

bool python_image_symbol(const struct python_image *image, const char *name, Elf64_Sym *symbol)
{
	return (image->has_exports && dynsym_find(&image->exports, name, symbol)) ||
	       elf_symbol(&image->elf, name, symbol);
}

uint64_t python_image_data(const struct python_image *image, const char *name)
{
	Elf64_Sym symbol;

	if (image->has_executable && dynsym_find(&image->executable, name, &symbol))
		return symbol.st_value + image->executable_bias;
	return python_image_symbol(image, name, &symbol) ? symbol.st_value + image->bias : 0;
}

const uint8_t *python_image_code(const struct python_image *image, const Elf64_Sym *symbol,
				 size_t max, size_t *length)
{
	uint64_t bytes = symbol->st_size ? symbol->st_size : FUNCTION_BYTES_GUESS;

	*length = bytes < max ? bytes : max;
	return elf_file_is_text(&image->elf, symbol->st_value)
		       ? elf_file_at_vaddr(&image->elf, symbol->st_value, *length)
		       : NULL;
}
