/* SPDX-License-Identifier: GPL-2.0-only */
/* process.c - see process.h. Formats: proc(5), proc_pid_stat(5), Linux fs/proc/task_mmu.c. */
#include "target/process.h"

#include <ctype.h>
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/units.h"
#include "base/vec.h"
#include "target/proc_maps.h"

#define PROC_PATH_MAX	 64
#define PF_KTHREAD	 0x00200000 /* Linux include/linux/sched.h */
#define READ_CHUNK_BYTES 65536
#define DELETED		 " (deleted)"

/* ---- reading --------------------------------------------------------------------------------- */

static int read_failed(pid_t pid, const char *name, struct err *err)
{
	switch (errno) {
	case ENOENT:
	case ESRCH:
		return err_set(err, ESRCH, "no process %d", pid);
	case EACCES:
	case EPERM:
		return err_set(err, EACCES,
			       "cannot read '/proc/%d/%s': permission denied; run as root", pid,
			       name);
	default:
		return err_set(err, errno, "cannot read '/proc/%d/%s': %m", pid, name);
	}
}

/* Files of /proc have no size: read until the end. */
static int read_all(int fd, char **text, size_t *length)
{
	_cleanup_free_ char *buffer = NULL;
	size_t used = 0, capacity = 0;

	for (;;) {
		ssize_t got;

		if (capacity - used < READ_CHUNK_BYTES) {
			char *grown = realloc(buffer, capacity * 2 + READ_CHUNK_BYTES + 1);

			if (!grown)
				return -ENOMEM;
			buffer = grown;
			capacity = capacity * 2 + READ_CHUNK_BYTES;
		}
		got = read(fd, buffer + used, capacity - used);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (!got)
			break;
		used += got;
	}
	buffer[used] = '\0';
	*text = TAKE_PTR(buffer);
	*length = used;
	return 0;
}

int process_read_file(pid_t pid, const char *name, char **text, size_t *length, struct err *err)
{
	char path[PROC_PATH_MAX];
	_cleanup_close_ int fd = -1;
	int status;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	status = fd < 0 ? -errno : read_all(fd, text, length);
	if (!status)
		return 0;
	errno = -status;
	return read_failed(pid, name, err);
}

/* ---- /proc/PID/stat -------------------------------------------------------------------------- */

struct stat_line {
	char comm[COMM_MAX];
	char state;
	pid_t parent;
	unsigned int flags; /* PF_* */
	unsigned int thread_count;
	uint64_t start_ticks;
};

/* comm may hold blanks and parentheses: it ends at the last ')' */
static bool parse_stat(const char *text, struct stat_line *stat)
{
	const char *open = strchr(text, '('), *close = strrchr(text, ')');
	size_t length;

	if (!open || !close || close < open)
		return false;
	length = close - open - 1;
	if (length >= sizeof(stat->comm))
		length = sizeof(stat->comm) - 1;
	*stat = (struct stat_line){0};
	memcpy(stat->comm, open + 1, length);
	return sscanf(close + 1,
		      " %c %d %*d %*d %*d %*d %u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %u %*d "
		      "%" SCNu64,
		      &stat->state, &stat->parent, &stat->flags, &stat->thread_count,
		      &stat->start_ticks) == 5;
}

static int read_stat(pid_t pid, struct stat_line *stat, struct err *err)
{
	_cleanup_free_ char *text = NULL;
	size_t length;
	int status = process_read_file(pid, "stat", &text, &length, err);

	if (status)
		return status;
	if (!parse_stat(text, stat))
		return err_set(err, EIO, "cannot understand '/proc/%d/stat'", pid);
	return 0;
}

/* /proc/TID exists for threads too, although a listing of /proc hides it. */
static int check_is_leader(pid_t pid, struct err *err)
{
	_cleanup_free_ char *text = NULL;
	const char *field;
	size_t length;
	int status = process_read_file(pid, "status", &text, &length, err);
	long tgid;

	if (status)
		return status;
	field = strstr(text, "\nTgid:");
	tgid = field ? strtol(field + strlen("\nTgid:"), NULL, 10) : pid;
	if (tgid != pid)
		return err_set(err, ESRCH, "%d is a thread of process %ld; give that number", pid,
			       tgid);
	return 0;
}

static uint64_t ns_of_ticks(uint64_t ticks)
{
	long per_second = sysconf(_SC_CLK_TCK);

	return ticks * (NS_PER_S / (per_second > 0 ? per_second : 100));
}

static void read_exe(pid_t pid, char *exe, size_t size)
{
	char path[PROC_PATH_MAX];
	size_t suffix = strlen(DELETED);
	ssize_t length;

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	length = readlink(path, exe, size - 1);
	if (length < 0)
		length = 0; /* a kernel thread, or not ours to know */
	exe[length] = '\0';
	if ((size_t)length > suffix && !strcmp(exe + length - suffix, DELETED))
		exe[length - suffix] = '\0';
}

/* A zombie whose threads are all gone. After pthread_exit() of the main thread others may run on. */
static bool is_dead(const struct stat_line *stat)
{
	return (stat->state == 'Z' && stat->thread_count <= 1) || stat->state == 'X';
}

int process_read(pid_t pid, struct process_info *info, struct err *err)
{
	struct stat_line stat;
	int status;

	if (pid <= 0)
		return err_set(err, ESRCH, "%d is no process number", pid);
	status = check_is_leader(pid, err);
	if (!status)
		status = read_stat(pid, &stat, err);
	if (status)
		return status;
	if (is_dead(&stat))
		return err_set(err, ESRCH, "process %d ('%s') has exited", pid, stat.comm);
	*info = (struct process_info){
	    .pid = pid,
	    .start_time_ns = ns_of_ticks(stat.start_ticks),
	    .parent = stat.parent,
	    .thread_count = stat.thread_count,
	};
	info->main_thread_exited = stat.state == 'Z';
	memcpy(info->comm, stat.comm, sizeof(info->comm));
	read_exe(pid, info->exe, sizeof(info->exe));
	return 0;
}

bool process_is_alive(const struct process_info *info)
{
	struct stat_line stat;

	return !read_stat(info->pid, &stat, NULL) && !is_dead(&stat) &&
	       ns_of_ticks(stat.start_ticks) == info->start_time_ns;
}

/* ---- may it be watched ----------------------------------------------------------------------- */

static int check_elf(const struct process_info *info, int fd, struct err *err)
{
	Elf64_Ehdr header = {0};
	ssize_t length = pread(fd, &header, sizeof(header), 0);

	if (length < EI_NIDENT || memcmp(header.e_ident, ELFMAG, SELFMAG))
		return err_set(err, ENOEXEC, "process %d runs '%s', which is no ELF program",
			       info->pid, info->exe);
	if (header.e_ident[EI_CLASS] != ELFCLASS64)
		return err_set(
		    err, ENOEXEC,
		    "process %d is a 32-bit program; only 64-bit programs can be watched",
		    info->pid);
	if (header.e_ident[EI_DATA] != ELFDATA2LSB || header.e_machine != EM_X86_64)
		return err_set(err, ENOEXEC,
			       "process %d is no x86-64 program; no other machine is supported",
			       info->pid);
	return 0;
}

static int exe_failed(const struct process_info *info, int error, struct err *err)
{
	struct stat_line stat;
	int status;

	if (error == EACCES || error == EPERM)
		return err_set(err, EACCES,
			       "process %d ('%s') belongs to another user; run as root", info->pid,
			       info->comm);
	status = read_stat(info->pid, &stat, err);
	if (status)
		return status;
	if (stat.flags & PF_KTHREAD)
		return err_set(err, ENOEXEC, "process %d ('%s') is a kernel thread; it has no heap",
			       info->pid, info->comm);
	if (error == ENOENT)
		return err_set(err, ESRCH, "process %d ('%s') is exiting", info->pid, info->comm);
	return err_set(err, error, "cannot open '/proc/%d/exe': %s", info->pid, strerror(error));
}

int process_check(const struct process_info *info, struct err *err)
{
	char path[PROC_PATH_MAX];
	_cleanup_close_ int fd = -1;

	if (info->pid == getpid())
		return err_set(err, EINVAL, "process %d is this program; it cannot watch itself",
			       info->pid);
	if (info->main_thread_exited)
		return err_set(err, ENOEXEC,
			       "the main thread of process %d has exited while others run on; the "
			       "kernel puts no probes into such a process",
			       info->pid);
	snprintf(path, sizeof(path), "/proc/%d/exe", info->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return exe_failed(info, errno, err);
	return check_elf(info, fd, err);
}

/* ---- by name --------------------------------------------------------------------------------- */

static bool has_comm(pid_t pid, const char *name)
{
	_cleanup_free_ char *text = NULL;
	size_t length;

	if (process_read_file(pid, "comm", &text, &length, NULL))
		return false;
	if (length && text[length - 1] == '\n')
		text[--length] = '\0';
	/* the kernel keeps 15 bytes of a name */
	return length && !strncmp(text, name, COMM_MAX - 1) &&
	       (strlen(name) == length || length == COMM_MAX - 1);
}

int process_find_comm(const char *name, pid_t *pids, size_t max, struct err *err)
{
	_cleanup_closedir_ DIR *directory = opendir("/proc");
	struct dirent *entry;
	size_t count = 0;

	if (!directory)
		return err_set(err, errno, "cannot read '/proc': %m");
	while (count < max && count < INT_MAX && (entry = readdir(directory))) {
		struct stat_line stat;
		pid_t pid;

		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		pid = strtol(entry->d_name, NULL, 10);
		if (has_comm(pid, name) && !read_stat(pid, &stat, NULL) && !is_dead(&stat))
			pids[count++] = pid;
	}
	return count;
}

/* ---- memory ---------------------------------------------------------------------------------- */

int process_rss(pid_t pid, uint64_t *rss_bytes)
{
	_cleanup_free_ char *text = NULL;
	size_t length;
	uint64_t pages;
	int status = process_read_file(pid, "statm", &text, &length, NULL);

	if (status)
		return status;
	if (sscanf(text, "%*u %" SCNu64, &pages) != 1)
		return -ESRCH;
	*rss_bytes = pages * sysconf(_SC_PAGESIZE);
	return 0;
}

struct smaps_region {
	struct vm_region vm;
	uint64_t rss_bytes, swap_bytes;
};
struct smaps {
	struct smaps_region *items;
	size_t count, capacity;
};

/* glibc malloc/arena.c: HEAP_MAX_SIZE on 64-bit machines, 2 * DEFAULT_MMAP_THRESHOLD_MAX */
#define ARENA_BYTES	(64ULL << 20)
#define GUARD_BYTES_MIN (4ULL << 10)
#define GUARD_BYTES_MAX (64ULL << 10)
#define STACK_BYTES_MIN (64ULL << 10)
#define STACK_BYTES_MAX (16ULL << 20)

static bool starts_with(const char *text, const char *prefix)
{
	return !strncmp(text, prefix, strlen(prefix));
}

/* Nothing behind it but zero pages. prctl(PR_SET_VMA) may have named it "[anon:NAME]". */
static bool is_anonymous(const struct vm_region *vm)
{
	return !vm->shared && !vm->inode && (!vm->path[0] || starts_with(vm->path, "[anon:"));
}

static bool is_inaccessible(const struct vm_region *vm)
{
	return is_anonymous(vm) && !vm->readable && !vm->writable && !vm->executable;
}

static bool is_data(const struct vm_region *vm)
{
	return is_anonymous(vm) && vm->readable && vm->writable;
}

/*
 * glibc's heap of a thread arena: starts at a multiple of 64 MiB and grows into an inaccessible
 * rest that goes to the end of its 64 MiB. One that has grown to the end cannot be told from other
 * memory. 'next': NULL for the last region. glibc 2.39+ can name them (glibc.mem.decorate_maps).
 */
static bool is_arena(const struct vm_region *vm, const struct vm_region *next)
{
	uint64_t window_end;

	if (starts_with(vm->path, "[anon: glibc: malloc arena"))
		return true;
	if (!is_data(vm) || vm->start % ARENA_BYTES || !next || !is_inaccessible(next) ||
	    next->start != vm->end)
		return false;
	window_end = vm->end / ARENA_BYTES * ARENA_BYTES + ARENA_BYTES;
	return next->end >= window_end;
}

/*
 * Looks like a thread's stack: rw memory of a stack's size right above a guard. A guess: an
 * allocator may lay out guarded memory alike, stacks beside one another may have merged with other
 * memory, and guards made by MADV_GUARD_INSTALL (glibc 2.42 on Linux 6.13) are no regions.
 */
static bool is_thread_stack(const struct vm_region *vm, const struct vm_region *previous)
{
	uint64_t bytes = vm->end - vm->start, guard_bytes;

	if (starts_with(vm->path, "[anon: glibc: pthread stack") ||
	    starts_with(vm->path, "[anon:stack_and_tls"))
		return true;
	if (!is_data(vm) || bytes < STACK_BYTES_MIN || bytes > STACK_BYTES_MAX || !previous ||
	    !is_inaccessible(previous) || previous->end != vm->start)
		return false;
	guard_bytes = previous->end - previous->start;
	return guard_bytes >= GUARD_BYTES_MIN && guard_bytes <= GUARD_BYTES_MAX;
}

/* Memory of a file that is none: System V and POSIX shared memory, memfd, shared anonymous. */
static bool is_shared_memory(const struct vm_region *vm)
{
	static const char *const paths[] = {"/dev/shm/", "/memfd:", "/SYSV", "/dev/zero",
					    "[anon_shmem:"};

	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		if (starts_with(vm->path, paths[i]))
			return true;
	return vm->shared && !vm->path[0];
}

/* The member of 'memory' that the region's resident bytes belong to. */
static uint64_t *part_of(struct memory_breakdown *memory, const struct smaps *smaps, size_t index)
{
	const struct smaps_region *region = &smaps->items[index];
	const struct vm_region *vm = &region->vm;

	if (is_shared_memory(vm))
		return &memory->shared_bytes;
	if (starts_with(vm->path, "[stack"))
		return &memory->stack_bytes;
	if (!strcmp(vm->path, "[heap]"))
		return &memory->heap_bytes;
	if (!is_anonymous(vm))
		return &memory->file_bytes; /* [vdso] and the like are the kernel's files */
	if (is_arena(vm, index + 1 < smaps->count ? &region[1].vm : NULL))
		return &memory->arena_bytes;
	if (is_thread_stack(vm, index ? &region[-1].vm : NULL))
		return &memory->stack_bytes;
	return &memory->anon_bytes;
}

/* "Rss:      12 kB" */
static bool parse_field(const char *line, const char *name, uint64_t *bytes)
{
	size_t length = strlen(name);
	uint64_t kib;

	if (strncmp(line, name, length) || sscanf(line + length, ": %" SCNu64, &kib) != 1)
		return false;
	*bytes = kib > UINT64_MAX / 1024 ? 0 : kib * 1024;
	return true;
}

/* A line that begins a region, or one that tells more of the last. */
static int add_smaps_line(struct smaps *smaps, char *line)
{
	struct smaps_region *last = smaps->count ? &smaps->items[smaps->count - 1] : NULL;
	struct vm_region vm;

	if (*line >= 'A' && *line <= 'Z') {
		if (last && !parse_field(line, "Rss", &last->rss_bytes))
			parse_field(line, "Swap", &last->swap_bytes);
		return 0;
	}
	if (!vm_region_parse(line, &vm))
		return 0;
	last = vec_add(smaps);
	if (!last)
		return -ENOMEM;
	last->vm = vm;
	return 0;
}

static void add_up(const struct smaps *smaps, struct memory_breakdown *memory)
{
	*memory = (struct memory_breakdown){0};
	for (size_t i = 0; i < smaps->count; i++) {
		*part_of(memory, smaps, i) += smaps->items[i].rss_bytes;
		memory->rss_bytes += smaps->items[i].rss_bytes;
		memory->swap_bytes += smaps->items[i].swap_bytes;
	}
	memory->allocator_bytes = memory->heap_bytes + memory->arena_bytes + memory->anon_bytes;
}

int process_memory_parse(const char *smaps_text, size_t length, struct memory_breakdown *memory)
{
	_cleanup_free_ char *text = strndup(smaps_text, length);
	struct smaps smaps = {0};
	int status = text ? 0 : -ENOMEM;

	for (char *line = text; !status && *line;) {
		char *next = strchrnul(line, '\n');

		if (*next)
			*next++ = '\0';
		status = add_smaps_line(&smaps, line);
		line = next;
	}
	if (!status)
		add_up(&smaps, memory);
	free(smaps.items);
	return status;
}

int process_memory(pid_t pid, struct memory_breakdown *memory, struct err *err)
{
	_cleanup_free_ char *text = NULL;
	size_t length;
	int status = process_read_file(pid, "smaps", &text, &length, err);

	if (status)
		return status;
	status = process_memory_parse(text, length, memory);
	return status ? err_set(err, -status, "out of memory") : 0;
}

/* utime and stime of /proc/PID/stat, fields 14 and 15: behind the comm, which may hold anything. */
uint64_t process_cpu_ns(pid_t pid)
{
	_cleanup_fclose_ FILE *file = NULL;
	unsigned long user = 0, kernel = 0;
	char path[64], line[1024], *rest;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "re");
	if (!file || !fgets(line, sizeof(line), file))
		return 0;
	rest = strrchr(line, ')');
	if (!rest || sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
			    &kernel) != 2)
		return 0;
	return (user + kernel) * (1000000000ULL / sysconf(_SC_CLK_TCK));
}
