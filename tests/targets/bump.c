/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bump.c - an allocator nobody knows, whose functions begin with endbr64; for LD_PRELOAD.
 *
 * build: $CC -fcf-protection=full -fno-builtin -fPIC -shared -o $OUT/libbump.so $SRC
 *
 * Hands out addresses from one reservation and never takes any back.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#define RESERVED_BYTES (4ULL << 30)
#define HEADER_BYTES   16

static _Atomic uintptr_t next_free;

static char *take(size_t bytes, size_t align)
{
	uintptr_t begin = atomic_load(&next_free), block, end;

	if (bytes > RESERVED_BYTES / 4)
		return NULL;
	if (!begin) {
		void *base = mmap(NULL, RESERVED_BYTES, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (base == MAP_FAILED)
			return NULL;
		if (!atomic_compare_exchange_strong(&next_free, &begin, (uintptr_t)base))
			munmap(base, RESERVED_BYTES);
		begin = atomic_load(&next_free);
	}
	do {
		block = (begin + HEADER_BYTES + align - 1) & ~(uintptr_t)(align - 1);
		end = (block + bytes + 15) & ~(uintptr_t)15;
	} while (!atomic_compare_exchange_weak(&next_free, &begin, end));
	((size_t *)block)[-1] = bytes;
	return (char *)block;
}

void *malloc(size_t bytes)
{
	char *block = take(bytes, 16);

	if (!block)
		errno = ENOMEM;
	return block;
}

void free(void *block)
{
	if (block)
		((volatile char *)block)[-1] = 0;
}

void *calloc(size_t count, size_t bytes)
{
	if (bytes && count > SIZE_MAX / bytes)
		return NULL;
	return take(count * bytes, 16);
}

void *realloc(void *old, size_t bytes)
{
	size_t old_bytes = old ? ((size_t *)old)[-1] : 0;
	char *block = take(bytes, 16);

	if (block && old)
		memcpy(block, old, old_bytes < bytes ? old_bytes : bytes);
	return block;
}

int posix_memalign(void **block, size_t align, size_t bytes)
{
	*block = take(bytes, align);
	return *block ? 0 : ENOMEM;
}

void *aligned_alloc(size_t align, size_t bytes)
{
	return take(bytes, align);
}

void *memalign(size_t align, size_t bytes)
{
	return take(bytes, align);
}
