/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * binaries.h - every ELF file that a watched process maps: once per inode, whoever maps it.
 *
 * A new file is opened, its unwind table compiled and published, and its allocator functions
 * planned. Numbers (binary_id) are given in order of appearance and name frames in recordings.
 */
#ifndef SEEP_PROBE_BINARIES_H
#define SEEP_PROBE_BINARIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/abi_types.h"
#include "target/allocator.h"

struct err;
struct session;
struct vm_region;

struct binary {
	uint32_t id; /* 1 ... */
	int fd;	     /* open for reading, for probes and symbols */
	char *path;  /* as the process sees it */
	struct file_info info; /* as published */
	struct probe_plan plan;
	bool full_table_tried;
	bool has_python; /* CPython is in it, whether it runs or not */
};

struct binaries;

/* 'on_new' is called once for every new binary (may be NULL). */
struct binaries *binaries_new(struct session *session,
			      void (*on_new)(void *context, const struct binary *binary, pid_t pid),
			      void *context);
void binaries_free(struct binaries *binaries);

/*
 * The binary that 'region' of process 'pid' maps. NULL (with one line) if it cannot be opened or is
 * no ELF file we understand. The pointer stays valid until binaries_free().
 */
struct binary *binaries_get(struct binaries *binaries, pid_t pid, const struct vm_region *region,
			    struct err *err);

/* The binary with this id, or NULL. */
struct binary *binaries_by_id(struct binaries *binaries, uint32_t id);

/* Compile and publish the full table, for frames that a signal interrupted. Returns 0 or -errno;
 * mappings that refer to the binary are to be published again. */
int binaries_build_full(struct binaries *binaries, struct binary *binary, struct err *err);

#endif
