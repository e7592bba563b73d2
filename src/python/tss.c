/* SPDX-License-Identifier: GPL-2.0-only */
/* tss.c - see tss.h */
#include "python/tss.h"

#include <string.h>

#include "base/cleanup.h"
#include "elf/dynsym.h"
#include "python/detect.h"
#include "target/proc_maps.h"

#define GLIBC_FIRST_BLOCK 0x310
#define GLIBC_BLOCKS	  0x510
#define GLIBC_BLOCK_KEYS  32
#define GLIBC_PAIR_BYTES  16
#define GLIBC_VALUE	  8 /* in the pair */
#define MUSL_CODE_BYTES	  32

void tss_place(struct python_layout *layout, enum tss_libc libc, uint16_t musl_offset,
	       uint32_t key)
{
	layout->key_addr = 0;
	layout->tss_stride = 0;
	if (libc == TSS_MUSL) {
		layout->tss_indirect = 1;
		layout->tss_offset = musl_offset;
		layout->tss_second = key * sizeof(uint64_t);
	} else if (key < GLIBC_BLOCK_KEYS) {
		layout->tss_indirect = 0;
		layout->tss_offset = GLIBC_FIRST_BLOCK + GLIBC_VALUE + GLIBC_PAIR_BYTES * key;
		layout->tss_second = 0;
	} else {
		layout->tss_indirect = 1;
		layout->tss_offset = GLIBC_BLOCKS + key / GLIBC_BLOCK_KEYS * sizeof(uint64_t);
		layout->tss_second = GLIBC_VALUE + key % GLIBC_BLOCK_KEYS * GLIBC_PAIR_BYTES;
	}
}

void tss_place_later(struct python_layout *layout, enum tss_libc libc, uint16_t musl_offset,
		     uint64_t key_addr)
{
	tss_place(layout, libc, musl_offset, 0);
	layout->tss_stride = libc == TSS_MUSL ? sizeof(uint64_t) : GLIBC_PAIR_BYTES;
	layout->key_addr = key_addr;
}

int tss_read(pid_t pid, const struct python_layout *layout, uint64_t thread, uint64_t *value)
{
	uint64_t slot = thread + layout->tss_offset;
	int status;

	if (layout->tss_indirect) {
		status = python_read_memory(pid, slot, &slot, sizeof(slot));
		if (status)
			return status;
		if (!slot) { /* a block that this thread has not needed yet */
			*value = 0;
			return 0;
		}
		slot += layout->tss_second;
	}
	return python_read_memory(pid, slot, value, sizeof(*value));
}

uint16_t tss_musl_offset(pid_t pid, const struct proc_maps *maps, size_t region)
{
	/* mov disp32(%rax), %rax behind mov %fs:0, %rax */
	static const uint8_t load[] = {0x48, 0x8b, 0x80};
	_cleanup_close_ int fd = proc_maps_open_file(pid, &maps->items[region], NULL);
	uint8_t code[MUSL_CODE_BYTES];
	struct dynsym exports;
	Elf64_Sym symbol;

	if (fd < 0 || dynsym_open(&exports, fd) ||
	    !dynsym_find(&exports, "pthread_getspecific", &symbol) ||
	    !dynsym_read(&exports, symbol.st_value, code, sizeof(code)))
		return TSS_MUSL_12;
	for (size_t i = 0; i + sizeof(load) + sizeof(uint32_t) <= sizeof(code); i++) {
		uint32_t offset;

		if (memcmp(code + i, load, sizeof(load)))
			continue;
		memcpy(&offset, code + i + sizeof(load), sizeof(offset));
		if (offset >= 64 && offset < 512 && offset % 8 == 0)
			return offset;
	}
	return TSS_MUSL_12;
}
