/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * redirect.c - see redirect.h.
 *
 * A slot is written only after it was read and held what is to be replaced; between the two the
 * target itself may change it (tracemalloc.start()). Then one function of the hook is bypassed
 * until it is stopped: harmless, as each function of a table stands for itself.
 *
 * Locks: DIRECTORY/redirect.PID.STARTTIME, one per process. Who has redirected it holds the file's
 * lock shared. Who leaves asks for it exclusively without waiting: the last one gets it, restores
 * and removes the file. (Linux drops the shared lock before it tries: of two that leave at the same
 * time one still sees the other's or gets there first, fs/locks.c, flock_lock_inode().) Who comes
 * waits, then looks whether the file that he has locked is still the one in the directory.
 *
 * The file is one line of text: all that is needed to restore, for any version of seep:
 *	seep-redirect 1 pid P start NS functions M C R F nops M C R F tables MEM OBJ data FROM TO
 * in that order; addresses are hexadecimal.
 */
#include "python/redirect.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/vec.h"
#include "python/detect.h"
#include "python/text.h"
#include "target/proc_maps.h"
#include "target/process.h"

#define RECORD_BYTES_MAX   1024
#define NAME_BYTES_MAX	   64
#define DATA_BYTES_MAX	   (64U << 20)
#define PAGE_BYTES	   4096
#define TRIED_WRITES	   20000
#define RESTORE_PASSES_MAX 5
#define BREAKPOINT	   0xcc /* int3: a probe stands on the nop */
#define TABLES		   2 /* mem and obj */

/* What was redirected, as in the lock file. All addresses are the process'. */
struct record {
	pid_t pid;
	uint64_t start_time_ns;
	uint64_t functions[PYTHON_CALL_COUNT], nops[PYTHON_CALL_COUNT];
	uint64_t tables[TABLES]; /* those in use when it was redirected */
	uint64_t data_start, data_end;
};

struct python_redirect {
	struct record record;
	int memory; /* of this very image: after exec it reads nothing */
	int lock;
	char name[NAME_BYTES_MAX];
};

struct table {
	uint64_t context;
	uint64_t slots[PYTHON_CALL_COUNT];
};
_Static_assert(sizeof(struct table) == PYTHON_TABLE_BYTES, "read as it lies in the process");

struct addresses {
	uint64_t *items;
	size_t count, capacity;
};

static const char *lock_directory = "/run/seep";

void python_redirect_set_directory(const char *directory)
{
	lock_directory = directory;
}

/* ---- is an 8-byte write seen whole? ---------------------------------------------------------- */

/* Two values of which every byte differs. */
#define TRIED_ONE   0x0123456789abcdefULL
#define TRIED_OTHER 0xfedcba9876543210ULL

struct trial {
	_Alignas(8) _Atomic uint64_t word;
	atomic_bool torn, done;
};

static void *watch_word(void *argument)
{
	struct trial *trial = argument;

	while (!atomic_load_explicit(&trial->done, memory_order_relaxed)) {
		uint64_t seen = atomic_load_explicit(&trial->word, memory_order_relaxed);

		if (seen != TRIED_ONE && seen != TRIED_OTHER)
			atomic_store(&trial->torn, true);
	}
	return NULL;
}

static int write_word(int memory, uint64_t addr, uint64_t value)
{
	ssize_t written = pwrite(memory, &value, sizeof(value), (off_t)addr);

	if (written == sizeof(value))
		return 0;
	return written < 0 ? -errno : -ESRCH;
}

/* 0, or why not: -ENOTSUP if a torn word was seen. */
static int try_writes(void)
{
	_cleanup_close_ int memory = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	struct trial trial = {.word = TRIED_ONE};
	pthread_t thread;
	int status = 0;

	if (memory < 0)
		return -errno;
	if (pthread_create(&thread, NULL, watch_word, &trial))
		return -EAGAIN;
	for (int i = 0; !status && i < TRIED_WRITES; i++)
		status = write_word(memory, (uintptr_t)&trial.word,
				    i % 2 ? TRIED_ONE : TRIED_OTHER);
	atomic_store(&trial.done, true);
	pthread_join(thread, NULL);
	if (!status && trial.torn)
		status = -ENOTSUP;
	return status;
}

static int writes_status;

static void try_writes_once(void)
{
	writes_status = try_writes();
}

static int check_writes(struct err *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, try_writes_once);
	if (!writes_status)
		return 0;
	if (writes_status == -ENOTSUP)
		return err_set(err, ENOTSUP,
			       "redirecting is not safe on this machine: 8 bytes written into a "
			       "process are not seen as one by its threads");
	return err_set(err, -writes_status, "cannot try writes through '/proc/self/mem': %s",
		       strerror(-writes_status));
}

/* ---- the process' memory --------------------------------------------------------------------- */

static int open_memory(pid_t pid, struct err *err)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	if (errno == ENOENT || errno == ESRCH)
		return err_set(err, ESRCH, "no process %d", pid);
	if (errno == EACCES || errno == EPERM)
		return err_set(err, EPERM,
			       "cannot write the memory of process %d: permission denied; "
			       "run as root",
			       pid);
	return err_set(err, errno, "cannot open '%s': %m", path);
}

/* Whole, or not: -ESRCH if the process is gone (its memory then reads as empty), -EFAULT. */
static int read_memory(int memory, uint64_t addr, void *to, size_t bytes)
{
	ssize_t got = pread(memory, to, bytes, (off_t)addr);

	if (got == (ssize_t)bytes)
		return 0;
	if (!got)
		return -ESRCH;
	return -EFAULT;
}

/* The same process as was meant, opened just now. */
static int open_process(pid_t pid, uint64_t start_time_ns, struct err *err)
{
	_cleanup_close_ int memory = open_memory(pid, err);
	struct process_info info;
	int status;

	if (memory < 0)
		return memory;
	status = process_read(pid, &info, err);
	if (status)
		return status;
	if (info.start_time_ns != start_time_ns)
		return err_set(err, ESRCH, "no process %d: another one has its number", pid);
	return TAKE_FD(memory);
}

/*
 * The nop in the file, in private memory that can be executed and not written, and in memory; there
 * its first byte may be a breakpoint, where a probe stands.
 */
static bool is_nop_there(const struct record *record, int memory, const struct proc_maps *maps,
			 int call)
{
	uint64_t nop = record->nops[call], length = record->functions[call] - nop;
	const struct vm_region *region = proc_maps_at(maps, nop);
	uint8_t in_file[TEXT_NOP_MAX], in_memory[TEXT_NOP_MAX];
	_cleanup_close_ int fd = -1;

	if (!length || length > TEXT_NOP_MAX || !region || !region->executable ||
	    region->writable || region->shared || !region->inode || nop + length > region->end)
		return false;
	fd = proc_maps_open_file(record->pid, region, NULL);
	if (fd < 0 || pread(fd, in_file, length, nop - region->start + region->file_offset) !=
			  (ssize_t)length)
		return false;
	if (!text_is_nop(in_file, length) || read_memory(memory, nop, in_memory, length))
		return false;
	if (in_memory[0] == BREAKPOINT)
		in_memory[0] = in_file[0];
	return !memcmp(in_file, in_memory, length);
}

static int check_nops(const struct record *record, int memory, struct err *err)
{
	struct proc_maps maps = {0};
	int status = proc_maps_read(record->pid, &maps, err);

	for (int call = 0; !status && call < PYTHON_CALL_COUNT; call++)
		if (!is_nop_there(record, memory, &maps, call))
			status = err_set(err, EINVAL,
					 "process %d has no nop at %#" PRIx64
					 ", where there is one in the interpreter's file",
					 record->pid, record->nops[call]);
	proc_maps_free(&maps);
	return status;
}

/* ---- slots ----------------------------------------------------------------------------------- */

static bool is_ours(const struct record *record, const struct table *table)
{
	for (int call = 0; call < PYTHON_CALL_COUNT; call++)
		if (table->slots[call] != record->functions[call] &&
		    table->slots[call] != record->nops[call])
			return false;
	return true;
}

static bool holds_nop(const struct record *record, const struct table *table)
{
	for (int call = 0; call < PYTHON_CALL_COUNT; call++)
		if (table->slots[call] == record->nops[call])
			return true;
	return false;
}

/* All of the interpreter's data; what cannot be read is 0. */
static int read_data(const struct record *record, int memory, uint8_t **data)
{
	size_t bytes = record->data_end - record->data_start;
	_cleanup_free_ uint8_t *buffer = calloc(1, bytes ? bytes : 1);

	if (!buffer)
		return -ENOMEM;
	for (size_t at = 0; at < bytes;) {
		size_t piece = PAGE_BYTES - (record->data_start + at) % PAGE_BYTES;
		int status;

		if (piece > bytes - at)
			piece = bytes - at;
		status = read_memory(memory, record->data_start + at, buffer + at, piece);
		if (status == -ESRCH)
			return status;
		at += piece;
	}
	*data = TAKE_PTR(buffer);
	return 0;
}

static bool is_record_of_debug_hooks(const struct record *record, const uint8_t *data, size_t at)
{
	uint64_t word;

	if (at < sizeof(word))
		return false;
	memcpy(&word, data + at - sizeof(word), sizeof(word));
	return word == 'r' || word == 'm' || word == 'o';
}

/*
 * Tables of pymalloc in the interpreter's data: those in use, and those that a hook has put aside.
 * 'redirected': those that hold a nop; else all but the debug records, which stay as they are.
 */
static int find_tables(const struct record *record, int memory, bool redirected,
		       struct addresses *found)
{
	_cleanup_free_ uint8_t *data = NULL;
	size_t bytes = record->data_end - record->data_start;
	int status = read_data(record, memory, &data);

	for (size_t at = 0; !status && at + sizeof(struct table) <= bytes; at += 8) {
		struct table table;
		uint64_t *added;

		memcpy(&table, data + at, sizeof(table));
		if (!is_ours(record, &table) ||
		    (redirected ? !holds_nop(record, &table)
				: is_record_of_debug_hooks(record, data, at)))
			continue;
		added = vec_add(found);
		if (!added)
			return -ENOMEM;
		*added = record->data_start + at;
	}
	return status;
}

/* Returns 1 if the slot held 'from' and now holds 'to', 0 if it held something else. */
static int change_slot(int memory, uint64_t slot, uint64_t from, uint64_t to)
{
	uint64_t now;
	int status = read_memory(memory, slot, &now, sizeof(now));

	if (status || now != from)
		return status;
	status = write_word(memory, slot, to);
	return status ? status : 1;
}

static uint64_t slot_address(uint64_t table, int call)
{
	return table + offsetof(struct table, slots) + call * sizeof(uint64_t);
}

static int restore_table(const struct record *record, int memory, uint64_t table)
{
	int restored = 0;

	for (int call = 0; call < PYTHON_CALL_COUNT; call++) {
		int status = change_slot(memory, slot_address(table, call), record->nops[call],
					 record->functions[call]);

		if (status < 0)
			return status;
		restored += status;
	}
	return restored;
}

/* What was put aside first: stopping a hook copies it into use. */
static int restore_pass(const struct record *record, int memory)
{
	struct addresses tables = {0};
	int restored = 0, status = find_tables(record, memory, true, &tables);

	for (size_t i = 0; status >= 0 && i < tables.count; i++)
		if (tables.items[i] != record->tables[0] && tables.items[i] != record->tables[1]) {
			status = restore_table(record, memory, tables.items[i]);
			restored += status;
		}
	for (int i = 0; status >= 0 && i < TABLES; i++) {
		status = restore_table(record, memory, record->tables[i]);
		restored += status;
	}
	free(tables.items);
	return status < 0 ? status : restored;
}

/* Until there is nothing left; a process that is gone has nothing. Returns how many slots. */
static int restore(const struct record *record, int memory)
{
	int restored = 0;

	for (int pass = 0; pass < RESTORE_PASSES_MAX; pass++) {
		int status = restore_pass(record, memory);

		if (status == -ESRCH)
			break;
		if (status < 0)
			return status;
		if (!status)
			break;
		restored += status;
	}
	return restored;
}

/* Undo what was written when a later write fails. */
static void redirect_undo(const struct python_redirect *redirect, const struct addresses *slots,
			  const uint8_t *calls)
{
	const struct record *record = &redirect->record;

	for (size_t i = slots->count; i-- > 0;)
		change_slot(redirect->memory, slots->items[i], record->nops[calls[i]],
			    record->functions[calls[i]]);
}

/* Frees first: a block whose allocation is seen must not be freed unseen. */
static int redirect_tables(const struct python_redirect *redirect, const struct addresses *tables,
			   struct addresses *changed, uint8_t *calls)
{
	const struct record *record = &redirect->record;

	for (int call = PYTHON_CALL_COUNT; call-- > 0;)
		for (size_t i = 0; i < tables->count; i++) {
			uint64_t slot = slot_address(tables->items[i], call), *added;
			int status;

			added = vec_add(changed);
			if (!added)
				return -ENOMEM;
			*added = slot;
			calls[changed->count - 1] = call;
			status = change_slot(redirect->memory, slot, record->functions[call],
					     record->nops[call]);
			if (status <= 0)
				changed->count--; /* not ours to undo */
			if (status < 0)
				return status;
		}
	return 0;
}

static bool is_among(const struct addresses *addresses, uint64_t address)
{
	for (size_t i = 0; i < addresses->count; i++)
		if (addresses->items[i] == address)
			return true;
	return false;
}

/* The tables in use if they are pymalloc's, and those put aside if a hook stands before them. */
static int tables_to_redirect(const struct python_redirect *redirect, enum python_mode mode,
			      struct addresses *tables)
{
	const struct record *record = &redirect->record;
	struct addresses all = {0};
	int status = find_tables(record, redirect->memory, false, &all);

	for (int i = 0; !status && i < TABLES; i++)
		if (mode == PYTHON_MODE_PYMALLOC && !is_among(&all, record->tables[i]))
			status = -EINVAL;
	for (size_t i = 0; !status && i < all.count; i++) {
		uint64_t *added;

		if (mode == PYTHON_MODE_PYMALLOC && all.items[i] != record->tables[0] &&
		    all.items[i] != record->tables[1])
			continue;
		added = vec_add(tables);
		if (!added)
			status = -ENOMEM;
		else
			*added = all.items[i];
	}
	free(all.items);
	return !status && !tables->count ? -EINVAL : status;
}

static int redirect_failed(pid_t pid, int status, struct err *err)
{
	switch (status) {
	case -ESRCH:
		return err_set(err, ESRCH, "no process %d", pid);
	case -EINVAL:
		return err_set(err, EINVAL,
			       "the allocator tables of process %d no longer hold pymalloc", pid);
	default:
		return err_set(err, -status, "cannot redirect the allocator of process %d: %s", pid,
			       strerror(-status));
	}
}

int python_redirect_complete(const struct python_redirect *redirect, enum python_mode mode,
			     struct err *err)
{
	struct addresses tables = {0}, changed = {0};
	_cleanup_free_ uint8_t *calls = NULL;
	int status = tables_to_redirect(redirect, mode, &tables);

	if (!status) {
		calls = calloc(tables.count, PYTHON_CALL_COUNT);
		status = calls ? redirect_tables(redirect, &tables, &changed, calls) : -ENOMEM;
	}
	if (status)
		redirect_undo(redirect, &changed, calls);
	free(tables.items);
	free(changed.items);
	return status ? redirect_failed(redirect->record.pid, status, err) : 0;
}

/* ---- lock files ------------------------------------------------------------------------------ */

/* Ours alone, and no symbolic link. Returns an fd. */
static int open_directory(bool create, struct err *err)
{
	_cleanup_close_ int fd = -1;
	struct stat stat;

	if (create && mkdir(lock_directory, 0700) && errno != EEXIST)
		return err_set(err, errno, "cannot make '%s': %m", lock_directory);
	fd = open(lock_directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, errno, "cannot open '%s': %m", lock_directory);
	if (fstat(fd, &stat))
		return err_set(err, errno, "cannot look at '%s': %m", lock_directory);
	if (stat.st_uid != geteuid() || (stat.st_mode & 022))
		return err_set(err, EPERM, "'%s' belongs to somebody else or is writable by others",
			       lock_directory);
	return TAKE_FD(fd);
}

static int lock(int fd, int how)
{
	int status;

	do
		status = flock(fd, how);
	while (status && errno == EINTR);
	return status ? -errno : 0;
}

/* The file that is locked is still the one of that name. */
static bool is_linked(int directory, const char *name, int fd)
{
	struct stat here, there;

	return !fstat(fd, &here) && !fstatat(directory, name, &there, AT_SYMLINK_NOFOLLOW) &&
	       here.st_ino == there.st_ino && here.st_dev == there.st_dev;
}

static void name_lock(const struct record *record, char name[NAME_BYTES_MAX])
{
	snprintf(name, NAME_BYTES_MAX, "redirect.%d.%" PRIu64, record->pid, record->start_time_ns);
}

static int lock_shared(const char *name, struct err *err)
{
	_cleanup_close_ int directory = open_directory(true, err);

	if (directory < 0)
		return directory;
	for (;;) {
		_cleanup_close_ int fd =
		    openat(directory, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
		int status = fd < 0 ? -errno : lock(fd, LOCK_SH);

		if (status)
			return err_set(err, -status, "cannot lock '%s/%s': %s", lock_directory,
				       name, strerror(-status));
		if (is_linked(directory, name, fd))
			return TAKE_FD(fd);
	}
}

/* In one piece: a kill comes before or after. */
static int write_record(int fd, const struct record *record, struct err *err)
{
	const uint64_t *f = record->functions, *n = record->nops;
	char text[RECORD_BYTES_MAX];
	int length = snprintf(
	    text, sizeof(text),
	    "seep-redirect 1 pid %d start %" PRIu64 " functions %" PRIx64 " %" PRIx64 " %" PRIx64
	    " %" PRIx64 " nops %" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRIx64 " tables %" PRIx64
	    " %" PRIx64 " data %" PRIx64 " %" PRIx64 "\n",
	    record->pid, record->start_time_ns, f[0], f[1], f[2], f[3], n[0], n[1], n[2], n[3],
	    record->tables[0], record->tables[1], record->data_start, record->data_end);

	if (pwrite(fd, text, length, 0) != length || ftruncate(fd, length))
		return err_set(err, errno ? errno : EIO, "cannot write into '%s': %m",
			       lock_directory);
	return 0;
}

static bool is_sane(const struct record *record)
{
	for (int call = 0; call < PYTHON_CALL_COUNT; call++)
		if (record->nops[call] >= record->functions[call] ||
		    record->functions[call] - record->nops[call] > TEXT_NOP_MAX)
			return false;
	for (int i = 0; i < TABLES; i++)
		if (record->tables[i] % 8 || record->tables[i] < record->data_start ||
		    record->tables[i] > record->data_end)
			return false;
	return record->pid > 0 && !(record->data_start % 8) &&
	       record->data_end >= record->data_start &&
	       record->data_end - record->data_start <= DATA_BYTES_MAX;
}

static bool read_record(int fd, struct record *record)
{
	char text[RECORD_BYTES_MAX];
	ssize_t length = pread(fd, text, sizeof(text) - 1, 0);
	uint64_t *f = record->functions, *n = record->nops;
	char end = 0;

	if (length <= 0)
		return false;
	text[length] = '\0';
	return sscanf(text,
		      "seep-redirect 1 pid %d start %" SCNu64 " functions %" SCNx64 " %" SCNx64
		      " %" SCNx64 " %" SCNx64 " nops %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64
		      " tables %" SCNx64 " %" SCNx64 " data %" SCNx64 " %" SCNx64 "%c",
		      &record->pid, &record->start_time_ns, &f[0], &f[1], &f[2], &f[3], &n[0],
		      &n[1], &n[2], &n[3], &record->tables[0], &record->tables[1],
		      &record->data_start, &record->data_end, &end) == 15 &&
	       end == '\n' && is_sane(record);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void redirect_free(struct python_redirect *redirect)
{
	if (redirect->memory >= 0)
		close(redirect->memory);
	if (redirect->lock >= 0)
		close(redirect->lock);
	free(redirect);
}

static int record_of(pid_t pid, uint64_t start_time_ns, const struct python_tables *tables,
		     struct record *record, struct err *err)
{
	*record = (struct record){
	    .pid = pid,
	    .start_time_ns = start_time_ns,
	    .tables = {tables->active[PYTHON_MEM], tables->active[PYTHON_OBJ]},
	    .data_start = tables->data_start,
	    .data_end = tables->data_end,
	};
	memcpy(record->functions, tables->implementations[PYTHON_OBJ], sizeof(record->functions));
	memcpy(record->nops, tables->pads, sizeof(record->nops));
	if (tables->way != PYTHON_WAY_REDIRECT || !is_sane(record))
		return err_set(err, EINVAL, "the tables of process %d are not to be redirected%s%s",
			       pid, tables->reason[0] ? ": " : "", tables->reason);
	return 0;
}

static struct python_redirect *redirect_open(const struct record *record, struct err *err)
{
	struct python_redirect *redirect = calloc(1, sizeof(*redirect));

	if (!redirect) {
		err_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	redirect->record = *record;
	redirect->lock = -1;
	name_lock(record, redirect->name);
	redirect->memory = open_process(record->pid, record->start_time_ns, err);
	if (redirect->memory < 0 || check_nops(record, redirect->memory, err)) {
		redirect_free(redirect);
		return NULL;
	}
	return redirect;
}

static int redirect_lock(struct python_redirect *redirect, struct err *err)
{
	redirect->lock = lock_shared(redirect->name, err);
	if (redirect->lock < 0)
		return redirect->lock;
	return write_record(redirect->lock, &redirect->record, err);
}

/* Leave the lock file to others, or restore and remove it. Returns how many slots were restored. */
static int redirect_release(const struct python_redirect *redirect)
{
	_cleanup_close_ int directory = -1;
	int restored;

	if (redirect->lock < 0 || lock(redirect->lock, LOCK_EX | LOCK_NB))
		return 0;
	restored = restore(&redirect->record, redirect->memory);
	directory = open_directory(false, NULL);
	/* what could not be restored remains for the next start */
	if (restored >= 0 && directory >= 0 && is_linked(directory, redirect->name, redirect->lock))
		unlinkat(directory, redirect->name, 0);
	return restored;
}

int python_redirect_new(pid_t pid, uint64_t start_time_ns, const struct python_runtime *runtime,
			const struct python_tables *tables, struct python_redirect **redirect,
			struct err *err)
{
	struct err local = {0};
	struct python_redirect *opened;
	struct record record;
	int status;

	if (!err)
		err = &local;
	status = record_of(pid, start_time_ns, tables, &record, err);
	if (!status)
		status = check_writes(err);
	if (status)
		return status;
	opened = redirect_open(&record, err);
	if (!opened)
		return -err->code;
	status = redirect_lock(opened, err);
	if (!status)
		status = python_redirect_complete(opened, tables->mode, err);
	if (status) {
		redirect_release(opened);
		redirect_free(opened);
		return status;
	}
	*redirect = opened;
	return 0;
}

struct python_redirect *python_redirect_child(const struct python_redirect *parent, pid_t pid,
					      uint64_t start_time_ns, struct err *err)
{
	struct record record = parent->record;
	struct python_redirect *child;
	struct addresses tables = {0};
	int status;

	record.pid = pid;
	record.start_time_ns = start_time_ns;
	child = redirect_open(&record, err);
	if (!child)
		return NULL;
	status = find_tables(&record, child->memory, true, &tables);
	if (!status && !tables.count)
		status = -ENOENT;
	free(tables.items);
	if (status)
		err_set(err, -status, "process %d is not a redirected child of process %d", pid,
			parent->record.pid);
	else
		status = redirect_lock(child, err);
	if (!status)
		return child;
	redirect_release(child);
	redirect_free(child);
	return NULL;
}

bool python_redirect_is_gone(const struct python_redirect *redirect)
{
	uint64_t word;

	return read_memory(redirect->memory, redirect->record.tables[0], &word, sizeof(word)) ==
	       -ESRCH;
}

int python_redirect_end(struct python_redirect *redirect, struct err *err)
{
	int restored = redirect_release(redirect);

	if (restored < 0)
		err_set(err, -restored,
			"cannot restore the allocator tables of process %d: %s (harmless; the next "
			"start of seep tries again)",
			redirect->record.pid, strerror(-restored));
	redirect_free(redirect);
	return restored;
}

/* ---- what killed ones have left -------------------------------------------------------------- */

/* The process of a lock file that nobody holds: true if slots were restored. 'done': the file is
 * not needed any more. */
static bool recover_process(int fd, const char *name, bool *done)
{
	_cleanup_close_ int memory = -1;
	char expected[NAME_BYTES_MAX];
	struct record record;
	struct err err;
	int restored;

	*done = true;
	if (!read_record(fd, &record))
		return false; /* killed before it wrote anything */
	name_lock(&record, expected);
	if (strcmp(name, expected))
		return false;
	memory = open_process(record.pid, record.start_time_ns, &err);
	if (memory < 0) {
		*done = memory == -ESRCH;
		return false;
	}
	restored = check_nops(&record, memory, NULL);
	if (restored) { /* -EINVAL: it runs another program by now */
		*done = restored == -EINVAL || restored == -ESRCH;
		return false;
	}
	restored = restore(&record, memory);
	*done = restored >= 0;
	return restored > 0;
}

static bool recover_file(int directory, const char *name)
{
	_cleanup_close_ int fd = openat(directory, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	bool restored, done;

	if (fd < 0 || lock(fd, LOCK_EX | LOCK_NB) || !is_linked(directory, name, fd))
		return false;
	restored = recover_process(fd, name, &done);
	if (done)
		unlinkat(directory, name, 0);
	return restored;
}

int python_redirect_recover(void)
{
	_cleanup_closedir_ DIR *listing = NULL;
	int directory = open_directory(false, NULL), count = 0;
	struct dirent *entry;

	if (directory < 0)
		return 0;
	listing = fdopendir(directory);
	if (!listing) {
		close(directory);
		return 0;
	}
	while ((entry = readdir(listing)))
		if (!strncmp(entry->d_name, "redirect.", strlen("redirect.")))
			count += recover_file(directory, entry->d_name);
	return count;
}
