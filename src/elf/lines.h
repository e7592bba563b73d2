/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * lines.h - functions, files and lines of ELF addresses, from DWARF (2 to 5).
 *
 * Shows inlined functions as if they had been called. Split DWARF (.dwo files) is not followed.
 */
#ifndef SEEP_ELF_LINES_H
#define SEEP_ELF_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct lines;

#define LINES_INLINE_MAX 64 /* functions inlined into one another at one address */

/* One function of the inline chain. Texts live until the next lookup. */
struct line_frame {
	const char *function; /* as linked (mangled) if DWARF says so, else plain; NULL: unknown */
	const char *file;     /* NULL: unknown */
	uint32_t line;	      /* 0: unknown */
	bool inlined;	      /* into the next one */
};

/*
 * Read the DWARF of the file behind 'fd' (which stays the caller's, but must stay open until
 * lines_free). 'alt_fd': the file that .gnu_debugaltlink names, -1 if there is none.
 * Files up to LINES_PRIVATE_BYTES are read into memory; larger ones are mapped, and truncating
 * such a file while it is in use kills us with SIGBUS.
 * Returns NULL with -ENODATA in 'err' if the file has no usable DWARF.
 */
#define LINES_PRIVATE_BYTES (32L << 20)
struct lines *lines_new(int fd, int alt_fd, struct err *err);
void lines_free(struct lines *lines); /* NULL allowed */

/*
 * The chain at ELF address 'vaddr', innermost function first; the last one is not inlined.
 * Returns the number of frames, 0 if the address is not described.
 */
size_t lines_at(struct lines *lines, uint64_t vaddr, struct line_frame frames[LINES_INLINE_MAX]);

/* Memory held, roughly: what was read of the file, and up to 16 MiB and one unit of parsed data. */
size_t lines_bytes(const struct lines *lines);

#endif
