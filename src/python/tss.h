/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tss.h - where a thread keeps its thread state: the slot of pthread_getspecific().
 *
 * glibc (nptl/descr.h, nptl/pthread_getspecific.c; the same in 2.27 to 2.43): struct pthread, which
 * fs points to, has 32 pairs of {sequence number, value} at 0x310, and at 0x510 pointers to such
 * arrays, the first one to that itself. musl (src/internal/pthread_impl.h): a pointer to an array
 * of values.
 */
#ifndef SEEP_PYTHON_TSS_H
#define SEEP_PYTHON_TSS_H

#include <stdint.h>
#include <sys/types.h>

#include "base/abi_types.h"

struct proc_maps;

#define TSS_KEYS_MAX   1024 /* PTHREAD_KEYS_MAX of glibc; musl has 128 */
#define TSS_MUSL_12    128  /* offset of the pointer in musl 1.2 */
#define TSS_MUSL_11    136  /* 1.1.22 to 1.1.24; before it was 152 */

enum tss_libc { TSS_GLIBC, TSS_MUSL };

/* Set tss_* of the layout for a key below TSS_KEYS_MAX. 'musl_offset' is for TSS_MUSL. */
void tss_place(struct python_layout *layout, enum tss_libc libc, uint16_t musl_offset,
	       uint32_t key);

/* The same while the key is not made: to be found at 'key_addr' later, by whoever meets it. A key
 * of 32 or more cannot be said that way: detect again then. */
void tss_place_later(struct python_layout *layout, enum tss_libc libc, uint16_t musl_offset,
		     uint64_t key_addr);

/* Read the slot of the thread whose fs base is 'thread'. Returns 0, -ESRCH, -EFAULT, -EACCES. */
int tss_read(pid_t pid, const struct python_layout *layout, uint64_t thread, uint64_t *value);

/* The pointer's offset, as the code of musl's pthread_getspecific in maps->items[region] has it;
 * TSS_MUSL_12 if it cannot be told. */
uint16_t tss_musl_offset(pid_t pid, const struct proc_maps *maps, size_t region);

#endif
