/* SPDX-License-Identifier: GPL-2.0-only */
/* process.h - what /proc says of one process. */
#ifndef SEEP_TARGET_PROCESS_H
#define SEEP_TARGET_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct err;

#define COMM_MAX 16

struct process_info {
	pid_t pid;		/* tgid in the initial pid namespace */
	uint64_t start_time_ns; /* boot time clock; /proc/PID/stat field 22, 10 ms grain */
	char comm[COMM_MAX];
	char exe[4096]; /* as readlink of /proc/PID/exe prints it, " (deleted)" stripped */
	pid_t parent;
	unsigned int thread_count;
	bool main_thread_exited; /* and others run on */
};

/* Returns 0, -ESRCH if there is no such process (or 'pid' is a thread, not a process: the text
 * says whose), -EACCES. A zombie is -ESRCH. */
int process_read(pid_t pid, struct process_info *info, struct err *err);

/*
 * All of /proc/PID/'name', NUL-terminated, in memory that is the caller's to free.
 * Returns 0, -ESRCH if the process is gone, -EACCES, -ENOMEM, ...
 */
int process_read_file(pid_t pid, const char *name, char **text, size_t *length, struct err *err);

/* True if the process that 'info' describes still runs (same pid and same start time). */
bool process_is_alive(const struct process_info *info);

/* CPU time that the process used so far, user and system, all threads; 0 if it is gone. */
uint64_t process_cpu_ns(pid_t pid);

/* Check that we may and can watch it: 64-bit x86 ELF, not a kernel thread, not ourselves.
 * Returns 0, or -ENOEXEC, -EACCES, ... with one clear line. */
int process_check(const struct process_info *info, struct err *err);

/* All processes whose comm is exactly 'name'. Returns how many of up to 'max' pids were filled
 * in, or -errno. */
int process_find_comm(const char *name, pid_t *pids, size_t max, struct err *err);

/* Resident memory, split so that its growth can be explained. From /proc/PID/smaps. */
struct memory_breakdown {
	uint64_t rss_bytes;
	uint64_t allocator_bytes; /* [heap], malloc arenas, and other private anonymous memory
				   * that an allocator may have taken */
	uint64_t heap_bytes;	  /* part of the above: brk heap */
	uint64_t arena_bytes;	  /* part of the above: glibc's thread arenas (64 MiB aligned) */
	uint64_t anon_bytes;	  /* part of the above: the rest of private anonymous memory */
	uint64_t file_bytes;	  /* file-backed, clean or written */
	uint64_t stack_bytes;	  /* [stack] and thread stacks where they can be told */
	uint64_t shared_bytes;	  /* shmem, memfd, shared anonymous */
	uint64_t swap_bytes;
};

/* Cheap: one read of /proc/PID/statm. Returns 0 or -ESRCH. */
int process_rss(pid_t pid, uint64_t *rss_bytes);
/* Dear: walks the page tables of the process. Returns 0 or -errno. */
int process_memory(pid_t pid, struct memory_breakdown *memory, struct err *err);
/* The parser behind it, for tests and fuzzing. */
int process_memory_parse(const char *smaps_text, size_t length, struct memory_breakdown *memory);

#endif
