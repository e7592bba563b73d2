/* SPDX-License-Identifier: GPL-2.0-only */
/* binaries.c - see binaries.h */
#include "probe/binaries.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "base/table.h"
#include "base/vec.h"
#include "elf/elf_copy.h"
#include "elf/elf_file.h"
#include "elf/symtab.h"
#include "probe/publish.h"
#include "probe/session.h"
#include "target/proc_maps.h"
#include "unwind/cfi.h"

/* One file at one time: an upgrade in place changes size or mtime. */
struct file_identity {
	uint64_t device, inode, size, mtime_ns;
};

struct binaries {
	struct session *session;
	void (*on_new)(void *context, const struct binary *binary, pid_t pid);
	void *context;
	struct table *by_identity;
	struct {
		struct binary **items;
		size_t count, capacity;
	} all; /* NULL: not an ELF file we understand */
};

struct binaries *binaries_new(struct session *session,
			      void (*on_new)(void *context, const struct binary *binary, pid_t pid),
			      void *context)
{
	struct binaries *binaries = calloc(1, sizeof(*binaries));

	if (!binaries)
		return NULL;
	binaries->session = session;
	binaries->on_new = on_new;
	binaries->context = context;
	binaries->by_identity = table_new(sizeof(struct file_identity));
	if (!binaries->by_identity) {
		free(binaries);
		return NULL;
	}
	return binaries;
}

static void binary_free(struct binary *binary)
{
	if (!binary)
		return;
	allocator_plan_free(&binary->plan);
	if (binary->fd >= 0)
		close(binary->fd);
	free(binary->path);
	free(binary);
}

void binaries_free(struct binaries *binaries)
{
	if (!binaries)
		return;
	vec_for_each(binary, &binaries->all)
		binary_free(*binary);
	free(binaries->all.items);
	table_free(binaries->by_identity);
	free(binaries);
}

struct binary *binaries_by_id(struct binaries *binaries, uint32_t id)
{
	return id && id <= binaries->all.count ? binaries->all.items[id - 1] : NULL;
}

/* dev_t of the kernel, as the walker reads it from the superblock. */
static struct file_key kernel_file_key(const struct stat *status)
{
	return (struct file_key){
		.inode = status->st_ino,
		.device = major(status->st_dev) << 20 | minor(status->st_dev),
	};
}

static int publish_table(struct binaries *binaries, const struct elf_file *elf,
			 struct binary *binary, struct err *err)
{
	struct cfi_table table = { 0 };
	uint64_t offset = 0;
	int status = cfi_compile(elf, CFI_CALL_SITES, &table, err);

	binary->info.text_vaddr = elf_file_text_vaddr(elf);
	if (elf_file_offset_of_vaddr(elf, binary->info.text_vaddr, &offset))
		binary->info.vaddr_minus_off = binary->info.text_vaddr - offset;
	binary->info.binary_id = binary->id;
	if (!status)
		status = publish_rows(binaries->session, &table, &binary->info.calls, err);
	log_debug("%s: %zu unwind rows (%zu raw, %zu unsupported, %zu skipped)", binary->path,
		  table.row_count, table.raw_row_count, table.unsupported_count,
		  table.skipped_count);
	cfi_table_free(&table);
	return status;
}

static int plan_probes(const struct elf_file *elf, struct binary *binary, struct err *err)
{
	struct symtab *symbols = symtab_new(elf, NULL);
	int status;

	if (!symbols)
		return err_set(err, ENOMEM, "out of memory");
	status = allocator_plan(elf, symbols, binary->path, &binary->plan, err);
	binary->has_python = symtab_named(symbols, "PyMem_SetAllocator") != NULL;
	/* from 3.13 on CPython carries a mimalloc for its own objects: class python sees those */
	if (!status && binary->has_python && binary->plan.kind == ALLOCATOR_MIMALLOC)
		allocator_plan_free(&binary->plan);
	symtab_free(symbols);
	return status;
}

static int binary_read(struct binaries *binaries, struct binary *binary, const struct stat *status,
		       struct err *err)
{
	struct file_key key = kernel_file_key(status);
	struct elf_file elf;
	int result = elf_copy_open_loaded(&elf, binary->fd, binary->path, err);

	if (result)
		return result;
	result = publish_table(binaries, &elf, binary, err);
	if (!result)
		result = plan_probes(&elf, binary, err);
	elf_file_close(&elf);
	if (!result)
		publish_file(binaries->session, &key, &binary->info);
	return result;
}

static struct binary *binary_new(struct binaries *binaries, int fd, const char *path,
				 const struct stat *status, struct err *err)
{
	struct binary *binary = calloc(1, sizeof(*binary));

	if (!binary) {
		err_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	binary->fd = dup(fd);
	binary->path = strdup(path);
	binary->id = binaries->all.count; /* our slot is there already: 1 ... */
	if (binary->fd < 0 || !binary->path || binary->id >= FRAME_BINARY_MAX) {
		err_set(err, ENOMEM, "cannot keep '%s' open", path);
		binary_free(binary);
		return NULL;
	}
	if (binary_read(binaries, binary, status, err)) {
		binary_free(binary);
		return NULL;
	}
	return binary;
}

struct binary *binaries_get(struct binaries *binaries, pid_t pid, const struct vm_region *region,
			    struct err *err)
{
	_cleanup_close_ int fd = proc_maps_open_file(pid, region, err);
	struct file_identity identity = { 0 };
	struct binary **slot;
	struct stat status;
	ssize_t index;
	bool added;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &status)) {
		err_set(err, errno, "cannot read '%s': %m", region->path);
		return NULL;
	}
	identity.device = status.st_dev;
	identity.inode = status.st_ino;
	identity.size = status.st_size;
	identity.mtime_ns = status.st_mtim.tv_sec * 1000000000ULL + status.st_mtim.tv_nsec;
	index = table_add(binaries->by_identity, &identity, &added);
	if (index < 0)
		return NULL;
	if (!added)
		return binaries->all.items[index];
	slot = vec_add(&binaries->all);
	if (!slot)
		return NULL;
	*slot = binary_new(binaries, fd, region->path, &status, err);
	if (*slot && binaries->on_new)
		binaries->on_new(binaries->context, *slot, pid);
	return *slot;
}

int binaries_build_full(struct binaries *binaries, struct binary *binary, struct err *err)
{
	struct cfi_table table = { 0 };
	struct file_key key;
	struct elf_file elf;
	struct stat status;
	int result;

	if (binary->full_table_tried)
		return -EALREADY;
	binary->full_table_tried = true;
	if (fstat(binary->fd, &status))
		return err_set(err, errno, "cannot read '%s': %m", binary->path);
	result = elf_copy_open_loaded(&elf, binary->fd, binary->path, err);
	if (result)
		return result;
	result = cfi_compile(&elf, CFI_ALL_ROWS, &table, err);
	elf_file_close(&elf);
	if (!result)
		result = publish_rows(binaries->session, &table, &binary->info.full, err);
	cfi_table_free(&table);
	key = kernel_file_key(&status);
	if (!result)
		publish_file(binaries->session, &key, &binary->info);
	return result;
}
