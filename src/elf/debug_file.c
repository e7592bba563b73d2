/* SPDX-License-Identifier: GPL-2.0-only */
/* debug_file.c - see debug_file.h */
#include "elf/debug_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <zlib.h>

#include "base/cleanup.h"
#include "elf/elf_copy.h"
#include "elf/elf_file.h"

#define CRC_BYTES_MAX (2LL << 30) /* a sparse file may claim any size */

struct build_id {
	uint8_t bytes[BUILD_ID_MAX];
	size_t length; /* 0: none */
};

/* What a candidate has to match. */
struct wanted {
	struct build_id id;
	const char *link; /* file name in .gnu_debuglink, NULL if there is none */
	uint32_t link_crc;
};

/* ---- opening ------------------------------------------------------------------------------------
 */

/* 'path' as a process whose root is 'root' would open it (openat2: Linux 5.6). */
static int open_below(const char *root, const char *path)
{
	struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
			       .resolve = RESOLVE_IN_ROOT};
	_cleanup_close_ int root_fd = -1;

	if (!root || !root[0])
		return open(path, how.flags);
	root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root_fd < 0)
		return -1;
	return syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
}

static int open_regular(const char *root, const char *path)
{
	_cleanup_close_ int fd = open_below(root, path);
	struct stat status;

	if (fd < 0 || fstat(fd, &status) || !S_ISREG(status.st_mode))
		return -ENOENT;
	return TAKE_FD(fd);
}

/* ---- matching -----------------------------------------------------------------------------------
 */

static struct build_id read_build_id(const struct elf_file *elf)
{
	struct build_id id = {0};

	id.length = elf_file_build_id(elf, id.bytes);
	return id;
}

static bool same_build_id(const struct build_id *a, const struct build_id *b)
{
	return a->length == b->length && !memcmp(a->bytes, b->bytes, a->length);
}

/* .gnu_debuglink: file name, NUL, padding to 4 bytes, CRC32 of the file named. */
static void read_debuglink(const struct elf_file *elf, struct wanted *wanted)
{
	const Elf64_Shdr *section = elf_file_section(elf, ".gnu_debuglink");
	const uint8_t *data, *name_end;
	size_t crc_at;

	if (!section || section->sh_type == SHT_NOBITS)
		return;
	data = elf_file_at(elf, section->sh_offset, section->sh_size);
	name_end = data ? memchr(data, '\0', section->sh_size) : NULL;
	if (!name_end || name_end == data || memchr(data, '/', name_end - data))
		return;
	crc_at = ((name_end - data) + 1 + 3) & ~(size_t)3;
	if (section->sh_size < crc_at + sizeof(wanted->link_crc))
		return;
	memcpy(&wanted->link_crc, data + crc_at, sizeof(wanted->link_crc));
	wanted->link = (const char *)data;
}

static bool crc_matches(int fd, uint32_t expected)
{
	unsigned char buffer[64 * 1024];
	uLong crc = crc32(0, NULL, 0);
	off_t at = 0;
	ssize_t got = -1;

	while (at < CRC_BYTES_MAX && (got = pread(fd, buffer, sizeof(buffer), at)) > 0) {
		crc = crc32(crc, buffer, got);
		at += got;
	}
	return !got && crc == expected;
}

static bool has_section_with_bytes(const struct elf_file *elf, const char *name)
{
	const Elf64_Shdr *section = elf_file_section(elf, name);

	return section && section->sh_type != SHT_NOBITS && section->sh_size;
}

static bool candidate_matches(int fd, const struct wanted *wanted)
{
	struct build_id id;
	struct elf_file elf;
	bool useful;

	if (elf_copy_open_fd(&elf, fd, "", NULL))
		return false;
	id = read_build_id(&elf);
	useful = has_section_with_bytes(&elf, ".symtab") ||
		 has_section_with_bytes(&elf, ".debug_info") ||
		 has_section_with_bytes(&elf, ".zdebug_info");
	elf_file_close(&elf);
	if (!useful)
		return false;
	if (id.length && wanted->id.length)
		return same_build_id(&id, &wanted->id);
	return wanted->link && crc_matches(fd, wanted->link_crc);
}

static int open_matching(const char *root, const char *path, const struct wanted *wanted)
{
	_cleanup_close_ int fd = open_regular(root, path);

	if (fd < 0 || !candidate_matches(fd, wanted))
		return -ENOENT;
	return TAKE_FD(fd);
}

/* ---- where it may be
 * ------------------------------------------------------------------------------ */

/* "DEBUG_DIR/.build-id/xx/yyyy.debug"; false if the id is too short to have one. */
static bool build_id_path(const struct build_id *id, const char *debug_dir, char path[PATH_MAX])
{
	int used;

	if (id->length < 2)
		return false;
	used = snprintf(path, PATH_MAX, "%s/.build-id/%02x/", debug_dir, id->bytes[0]);
	if (used < 0 || used + 2 * BUILD_ID_MAX + (int)sizeof(".debug") > PATH_MAX)
		return false;
	for (size_t i = 1; i < id->length; i++)
		used += snprintf(path + used, PATH_MAX - used, "%02x", id->bytes[i]);
	snprintf(path + used, PATH_MAX - used, ".debug");
	return true;
}

static int open_by_link(const char *root, const struct debug_search *search,
			const struct wanted *wanted)
{
	const char *slash = strrchr(search->path, '/');
	const char *const formats[][2] = {
	    {"", ""}, {"", "/.debug"}, {search->debug_dir ?: DEBUG_DIR_DEFAULT, ""}};
	char path[PATH_MAX];

	if (!wanted->link || !slash)
		return -ENOENT;
	for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
		int used = snprintf(path, sizeof(path), "%s%.*s%s/%s", formats[i][0],
				    (int)(slash - search->path), search->path, formats[i][1],
				    wanted->link);
		int fd = used < 0 || used >= PATH_MAX ? -ENOENT : open_matching(root, path, wanted);

		if (fd >= 0)
			return fd;
	}
	return -ENOENT;
}

static int open_below_root(const char *root, const struct debug_search *search,
			   const struct wanted *wanted)
{
	char path[PATH_MAX];
	int fd = -ENOENT;

	if (build_id_path(&wanted->id, search->debug_dir ?: DEBUG_DIR_DEFAULT, path))
		fd = open_matching(root, path, wanted);
	return fd >= 0 ? fd : open_by_link(root, search, wanted);
}

int debug_file_open(const struct elf_file *elf, const struct debug_search *search)
{
	struct wanted wanted = {.id = read_build_id(elf)};
	int fd = -ENOENT;

	read_debuglink(elf, &wanted);
	if (search->root && search->root[0])
		fd = open_below_root(search->root, search, &wanted);
	return fd >= 0 ? fd : open_below_root("", search, &wanted);
}

/* ---- .gnu_debugaltlink: path, NUL, build id
 * ------------------------------------------------------- */

static int open_alt_below(const char *root, const char *debug_dir, const char *link,
			  const struct build_id *id)
{
	struct wanted wanted = {.id = *id};
	char path[PATH_MAX];
	int fd = -ENOENT;

	if (build_id_path(id, debug_dir, path))
		fd = open_matching(root, path, &wanted);
	if (fd < 0 && link[0] == '/')
		fd = open_matching(root, link, &wanted);
	return fd;
}

int debug_file_open_alt(const struct elf_file *elf, const struct debug_search *search)
{
	const Elf64_Shdr *section = elf_file_section(elf, ".gnu_debugaltlink");
	const char *debug_dir = search->debug_dir ?: DEBUG_DIR_DEFAULT;
	const uint8_t *data, *name_end;
	struct build_id id;
	int fd = -ENOENT;

	if (!section || section->sh_type == SHT_NOBITS)
		return -ENODATA;
	data = elf_file_at(elf, section->sh_offset, section->sh_size);
	name_end = data ? memchr(data, '\0', section->sh_size) : NULL;
	if (!name_end)
		return -ENOENT;
	id.length = section->sh_size - (name_end + 1 - data);
	if (!id.length || id.length > BUILD_ID_MAX)
		return -ENOENT;
	memcpy(id.bytes, name_end + 1, id.length);
	if (search->root && search->root[0])
		fd = open_alt_below(search->root, debug_dir, (const char *)data, &id);
	return fd >= 0 ? fd : open_alt_below("", debug_dir, (const char *)data, &id);
}
