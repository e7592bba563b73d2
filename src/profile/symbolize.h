/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * symbolize.h - from (binary, address) to functions, files and lines.
 *
 * Works on a thread of its own, so that reading debug information never holds up the ring buffer.
 * Requests go in, results come out; neither blocks.
 *
 *	symbolizer_add_binary(s, id, fd, path)	once per binary, before its first frame
 *	symbolizer_submit(s, frame)		any number of times; duplicates are answered once
 *	symbolizer_collect(s, &result)		until it returns false; on submit's thread
 */
#ifndef SEEP_PROFILE_SYMBOLIZE_H
#define SEEP_PROFILE_SYMBOLIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct symbolizer;

/* One function of the inline chain at an address. */
struct symbol_line {
	char *function; /* demangled; "module+0xoffset" when unknown, "0xaddress" for FRAME_RAW */
	char *file;	/* NULL when unknown */
	uint32_t line;	/* 0 when unknown */
	bool inlined;	/* into the next one */
};

struct symbol_result {
	uint64_t frame;	 /* as submitted */
	char *module;	 /* path of the binary; NULL for FRAME_RAW and binaries never announced */
	uint64_t offset; /* ELF address inside it, or the raw address */
	struct symbol_line *lines; /* innermost inlined function first; at least one */
	size_t line_count;
};
void symbol_result_free(struct symbol_result *result);

struct symbolizer_options {
	bool want_lines;	/* files, lines, inlined functions (libdw); else names only */
	const char *debug_root; /* "/usr/lib/debug" by default when NULL */
};

struct symbolizer *symbolizer_new(const struct symbolizer_options *options, struct err *err);
void symbolizer_free(struct symbolizer *symbolizer); /* NULL allowed; drops what is queued */

/*
 * Announce binary 'binary_id' (include/abi.h). 'fd' is duplicated; 'path' is what the user sees.
 * 'root' prefixes the search for separate debug files ("/proc/PID/root" or ""); it is tried in
 * front of the host's own debug files. The file may be deleted or truncated later, but see
 * lines_new() for files above 32 MiB. Returns 0, -EEXIST if the id was announced before, -errno.
 */
int symbolizer_add_binary(struct symbolizer *symbolizer, uint32_t binary_id, int fd,
			  const char *path, const char *root);

/*
 * Ask for the frame (FRAME_NATIVE or FRAME_RAW). Returns 0, -ENOMEM, -EINVAL for other kinds.
 * The one answer to a frame is lost if memory is out at that moment.
 */
int symbolizer_submit(struct symbolizer *symbolizer, uint64_t frame);

/* Take one finished result. Returns false when none is ready. */
bool symbolizer_collect(struct symbolizer *symbolizer, struct symbol_result *result);

/*
 * Wait until every submitted frame is finished or 'timeout_ms' passed (0 or less: only look).
 * Returns how many are not.
 */
size_t symbolizer_wait(struct symbolizer *symbolizer, int timeout_ms);

#endif
