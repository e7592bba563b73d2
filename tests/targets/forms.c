/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * forms.c - every way to ask the C library for memory, and every outcome of realloc.
 *
 * build: $CC -Wno-deprecated-declarations -o $OUT/forms $SRC
 * build: $CC -Wno-deprecated-declarations -static -o $OUT/forms-static $SRC
 * build: $MUSL -o $OUT/forms-musl $SRC
 *
 * Each by_ function keeps what it says; see main() for counts and sizes.
 */
#define _GNU_SOURCE
#include <malloc.h>
#include <stdint.h>

#include "target.h"

/* hidden from the compiler, so that it neither warns nor removes the calls */
static volatile size_t huge_bytes = SIZE_MAX / 2 + 1;
static volatile size_t zero_bytes;
static void *volatile null_pointer;

#define ALLOCATES(name, blocks, ...)                                                               \
	void name(void);                                                                           \
	NOIPA void name(void)                                                                      \
	{                                                                                          \
		for (int i = 0; i < (blocks); i++) {                                               \
			void *block = __VA_ARGS__;                                                 \
			HOLD(block);                                                               \
		}                                                                                  \
	}

static inline void *memaligned(size_t align, size_t bytes)
{
	void *block = NULL;

	if (posix_memalign(&block, align, bytes))
		return NULL;
	return block;
}

ALLOCATES(by_malloc, 101, malloc(1009))
ALLOCATES(by_malloc_zero, 7, malloc(zero_bytes))
ALLOCATES(by_calloc, 103, calloc(7, 151))
ALLOCATES(by_realloc_null, 107, realloc(null_pointer, 2003))
ALLOCATES(by_reallocarray, 109, reallocarray(null_pointer, 11, 13))
ALLOCATES(by_memalign, 113, memalign(64, 1013))
ALLOCATES(by_aligned_alloc, 127, aligned_alloc(128, 1019))
ALLOCATES(by_posix_memalign, 131, memaligned(256, 1021))
ALLOCATES(by_strdup, 137, strdup("thirty-one bytes with the zero"))
ALLOCATES(by_failed_malloc, 139, malloc(huge_bytes))
ALLOCATES(by_failed_calloc, 149, calloc(huge_bytes, 3))
ALLOCATES(by_failed_memalign, 151, memaligned(64, huge_bytes))
#ifdef __GLIBC__
ALLOCATES(by_valloc, 17, valloc(1031))
ALLOCATES(by_pvalloc, 19, pvalloc(4099)) /* 8192 each: whole pages */
#endif

void by_calloc_large(void);
void by_free_null(void);
void by_realloc_in_place(void);
void by_realloc_moved(void);
void by_realloc_shrunk(void);
void by_realloc_failed(void);
void by_realloc_to_zero(void);
void by_aligned_freed(void);

/* 3 x 1048583 bytes by calloc: above the mmap threshold */
NOIPA void by_calloc_large(void)
{
	for (int i = 0; i < 3; i++) {
		char *block = calloc(1, 1048583);

		HOLD(block);
	}
}

NOIPA void by_free_null(void)
{
	for (int i = 0; i < 1009; i++) {
		free(null_pointer);
		NO_TAIL_CALL();
	}
}

/* 1 block of 1000 -> 1003 bytes, in place where the allocator rounds up */
NOIPA void by_realloc_in_place(void)
{
	char *block = malloc(1000);

	HOLD(block);
	block = realloc(block, 1003);
	HOLD(block);
}

/* 1 block of 211 -> 70001 bytes: its neighbour stops it from growing in place; 223 stay too */
NOIPA void by_realloc_moved(void)
{
	char *block = malloc(211), *neighbour = malloc(223);

	HOLD(block);
	HOLD(neighbour);
	block = realloc(block, 70001);
	HOLD(block);
}

/* 1 block of 70003 -> 307 bytes */
NOIPA void by_realloc_shrunk(void)
{
	char *block = malloc(70003);

	HOLD(block);
	block = realloc(block, 307);
	HOLD(block);
}

/* 1 block of 311 bytes that stays, because realloc fails */
NOIPA void by_realloc_failed(void)
{
	char *block = malloc(311), *failed;

	HOLD(block);
	failed = realloc(block, huge_bytes);
	HOLD(failed);
}

/* 313 bytes, then nothing: glibc frees */
NOIPA void by_realloc_to_zero(void)
{
	char *block = malloc(313);

	HOLD(block);
	block = realloc(block, zero_bytes);
	HOLD(block);
}

/* 157 blocks of 1033 bytes, 53 of them freed */
NOIPA void by_aligned_freed(void)
{
	for (int i = 0; i < 157; i++) {
		char *block = memaligned(64, 1033);

		HOLD(block);
		if (i < 53)
			free(block);
		NO_TAIL_CALL();
	}
}

int main(void)
{
	target_ready();
	by_malloc();
	by_malloc_zero();
	by_calloc();
	by_calloc_large();
	by_realloc_null();
	by_reallocarray();
	by_memalign();
	by_aligned_alloc();
	by_posix_memalign();
	by_strdup();
	by_failed_malloc();
	by_failed_calloc();
	by_failed_memalign();
#ifdef __GLIBC__
	by_valloc();
	by_pvalloc();
#endif
	by_free_null();
	by_realloc_in_place();
	by_realloc_moved();
	by_realloc_shrunk();
	by_realloc_failed();
	by_realloc_to_zero();
	by_aligned_freed();
	target_done();
	return 0;
}
