/* SPDX-License-Identifier: GPL-2.0-only */
/* proc_maps.c - see proc_maps.h */
#include "target/proc_maps.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/vec.h"
#include "target/process.h"

#define DELETED " (deleted)"

/* ---- one line -------------------------------------------------------------------------------- */

/* A number in 'base' and the separator behind it. False if either is not there. */
static bool take_number(char **at, int base, char separator, uint64_t *value)
{
	uint64_t result = 0;
	char *digit = *at;

	for (;; digit++) {
		int number;

		if (*digit >= '0' && *digit <= '9')
			number = *digit - '0';
		else if (base == 16 && *digit >= 'a' && *digit <= 'f')
			number = *digit - 'a' + 10;
		else
			break;
		if (__builtin_mul_overflow(result, (uint64_t)base, &result) ||
		    __builtin_add_overflow(result, (uint64_t)number, &result))
			return false;
	}
	if (digit == *at || *digit != separator)
		return false;
	*at = digit + 1;
	*value = result;
	return true;
}

/* "rwxp " */
static bool take_permissions(char **at, struct vm_region *region)
{
	const char *text = *at;

	if (strnlen(text, 5) < 5 || text[4] != ' ')
		return false;
	region->readable = text[0] == 'r';
	region->writable = text[1] == 'w';
	region->executable = text[2] == 'x';
	region->shared = text[3] == 's';
	*at += 5;
	return true;
}

/* The inode ends the line where there is no path; blanks pad the path to a column. */
static bool take_inode(char **at, uint64_t *inode)
{
	size_t digits = strspn(*at, "0123456789");

	if ((*at)[digits] == ' ')
		return take_number(at, 10, ' ', inode);
	return take_number(at, 10, '\0', inode) && (*at)--;
}

/* The kernel writes a newline in a path as \012, and escapes nothing else (seq_path with "\n"). */
static void decode_path(char *path)
{
	char *to = path;

	for (const char *from = path; *from; to++) {
		bool escaped = !strncmp(from, "\\012", 4);

		*to = escaped ? '\n' : *from;
		from += escaped ? 4 : 1;
	}
	*to = '\0';
}

static void strip_deleted(struct vm_region *region, char *path)
{
	size_t length = strlen(path), suffix = strlen(DELETED);

	if (length <= suffix || strcmp(path + length - suffix, DELETED))
		return;
	path[length - suffix] = '\0';
	region->deleted = true;
}

bool vm_region_parse(char *line, struct vm_region *region)
{
	uint64_t major, minor;
	char *at = line;

	*region = (struct vm_region){0};
	if (!take_number(&at, 16, '-', &region->start) ||
	    !take_number(&at, 16, ' ', &region->end) || region->end <= region->start ||
	    !take_permissions(&at, region) || !take_number(&at, 16, ' ', &region->file_offset) ||
	    !take_number(&at, 16, ':', &major) || !take_number(&at, 16, ' ', &minor) ||
	    major > UINT32_MAX || minor > UINT32_MAX || !take_inode(&at, &region->inode))
		return false;
	region->device_major = major;
	region->device_minor = minor;
	at += strspn(at, " ");
	decode_path(at);
	strip_deleted(region, at);
	region->path = at;
	return true;
}

/* ---- the whole file -------------------------------------------------------------------------- */

static int add_lines(struct proc_maps *maps, size_t *bad_lines)
{
	char *line = maps->text;

	while (*line) {
		char *next = strchrnul(line, '\n');
		struct vm_region region, *added;

		if (*next)
			*next++ = '\0';
		/* out of order: a region moved while the kernel wrote the list */
		if (!vm_region_parse(line, &region) ||
		    (maps->count && region.start < maps->items[maps->count - 1].end)) {
			(*bad_lines)++;
		} else {
			added = vec_add(maps);
			if (!added)
				return -ENOMEM;
			*added = region;
		}
		line = next;
	}
	return 0;
}

int proc_maps_parse(const char *text, size_t length, struct proc_maps *maps, size_t *bad_lines)
{
	size_t bad = 0;
	int status;

	*maps = (struct proc_maps){.text = strndup(text, length)};
	status = maps->text ? add_lines(maps, &bad) : -ENOMEM;
	if (status)
		proc_maps_free(maps);
	else if (bad_lines)
		*bad_lines = bad;
	return status;
}

int proc_maps_read(pid_t pid, struct proc_maps *maps, struct err *err)
{
	_cleanup_free_ char *text = NULL;
	size_t length;
	int status = process_read_file(pid, "maps", &text, &length, err);

	*maps = (struct proc_maps){0};
	if (status)
		return status;
	status = proc_maps_parse(text, length, maps, NULL);
	return status ? err_set(err, -status, "out of memory") : 0;
}

void proc_maps_free(struct proc_maps *maps)
{
	free(maps->items);
	free(maps->text);
	*maps = (struct proc_maps){0};
}

const struct vm_region *proc_maps_at(const struct proc_maps *maps, uint64_t addr)
{
	size_t low = 0, high = maps->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct vm_region *region = &maps->items[middle];

		if (addr < region->start)
			high = middle;
		else if (addr >= region->end)
			low = middle + 1;
		else
			return region;
	}
	return NULL;
}

/* ---- the file behind a region ---------------------------------------------------------------- */

static bool is_file_of(int fd, const struct vm_region *region)
{
	struct stat status;

	return !fstat(fd, &status) && S_ISREG(status.st_mode) && status.st_ino == region->inode &&
	       major(status.st_dev) == region->device_major &&
	       minor(status.st_dev) == region->device_minor;
}

static int open_if_same(const char *path, const struct vm_region *region)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return -errno;
	return is_file_of(fd, region) ? TAKE_FD(fd) : -ENOENT;
}

int proc_maps_open_file(pid_t pid, const struct vm_region *region, struct err *err)
{
	char path[PATH_MAX + 64];
	int fd;

	if (region->path[0] != '/')
		return err_set(err, ENOENT, "no file is mapped at 0x%" PRIx64 " of process %d",
			       region->start, pid);
	snprintf(path, sizeof(path), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, pid, region->start,
		 region->end);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd >= 0)
		return fd;
	snprintf(path, sizeof(path), "/proc/%d/root%s", pid, region->path);
	fd = open_if_same(path, region);
	if (fd < 0)
		fd = open_if_same(region->path, region);
	if (fd >= 0)
		return fd;
	if (fd == -ENOENT)
		return err_set(
		    err, ENOENT, "cannot open '%s' as process %d sees it: %s; root can read it",
		    region->path, pid, region->deleted ? "deleted" : "replaced or hidden");
	return err_set(err, -fd, "cannot open '%s' of process %d: %s", region->path, pid,
		       strerror(-fd));
}
