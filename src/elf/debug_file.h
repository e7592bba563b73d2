/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * debug_file.h - find the separate debug file of a stripped binary.
 *
 * Looked for below 'root' (a container's "/proc/PID/root", or "") first, then on the host:
 *	DEBUG_DIR/.build-id/xx/yyyy.debug	build id of the binary
 *	DIR/NAME, DIR/.debug/NAME, DEBUG_DIR/DIR/NAME	.gnu_debuglink NAME of the binary in DIR
 * A candidate is taken if its build id is the binary's; where one of the two has none, if its
 * CRC32 is the one in .gnu_debuglink. It must carry symbols or debug information.
 */
#ifndef SEEP_ELF_DEBUG_FILE_H
#define SEEP_ELF_DEBUG_FILE_H

#include <stddef.h>
#include <stdint.h>

struct elf_file;

#define DEBUG_DIR_DEFAULT "/usr/lib/debug"

struct debug_search {
	const char *path;      /* of the binary, as its process sees it */
	const char *root;      /* "/proc/PID/root"; NULL or "": only the host */
	const char *debug_dir; /* NULL: DEBUG_DIR_DEFAULT */
};

/*
 * Open the debug file of 'elf'. Returns a descriptor for the caller to close, -ENOENT if there is
 * no matching one. Symbolic links below 'root' do not lead out of it.
 */
int debug_file_open(const struct elf_file *elf, const struct debug_search *search);

/*
 * Open the file that .gnu_debugaltlink of 'elf' names (debug information shared by several files,
 * as the dwz tool makes it). Returns a descriptor, -ENOENT if it is not there, -ENODATA if 'elf'
 * has no such link.
 */
int debug_file_open_alt(const struct elf_file *elf, const struct debug_search *search);

#endif
