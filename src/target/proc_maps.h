/* SPDX-License-Identifier: GPL-2.0-only */
/* proc_maps.h - /proc/PID/maps, parsed (proc(5); Linux fs/proc/task_mmu.c show_map_vma). */
#ifndef SEEP_TARGET_PROC_MAPS_H
#define SEEP_TARGET_PROC_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct err;

struct vm_region {
	uint64_t start, end, file_offset;
	bool readable, writable, executable, shared;
	bool deleted; /* " (deleted)" was stripped from the path */
	uint32_t device_major, device_minor;
	uint64_t inode;
	const char
	    *path; /* "" when anonymous; octal escapes of the kernel decoded; "[heap]" etc. */
};

struct proc_maps {
	struct vm_region *items; /* sorted by start */
	size_t count, capacity;
	char *text; /* the paths point in here */
};

/* Returns 0, -ESRCH if the process is gone, -EACCES, ... An exited leader gives count 0. */
int proc_maps_read(pid_t pid, struct proc_maps *maps, struct err *err);
/* As above from 'length' bytes of text. Lines that cannot be read are skipped and counted. */
int proc_maps_parse(const char *text, size_t length, struct proc_maps *maps, size_t *bad_lines);
void proc_maps_free(struct proc_maps *maps);

/* One line, NUL-terminated without its newline, as maps and smaps have it. Decodes the path in
 * place: 'region->path' points into 'line'. Returns false if it is no such line. */
bool vm_region_parse(char *line, struct vm_region *region);

/* The region that holds 'addr', or NULL. */
const struct vm_region *proc_maps_at(const struct proc_maps *maps, uint64_t addr);

/*
 * Open the file behind a region: /proc/PID/map_files/START-END, which also reaches deleted,
 * upgraded and overlaid files and those of other mount namespaces; else /proc/PID/root + path,
 * else path, if device and inode agree. Returns an fd (the caller's) or -errno.
 */
int proc_maps_open_file(pid_t pid, const struct vm_region *region, struct err *err);

#endif
