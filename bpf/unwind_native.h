/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * unwind_native.h - what unwind.bpf.h takes from the kernel, for its native build in tests: the
 * program that includes it fills 'wk_native' before it walks.
 */
#ifndef SEEP_UNWIND_NATIVE_H
#define SEEP_UNWIND_NATIVE_H

#undef __noinline
#undef __always_inline
#define __noinline	__attribute__((noinline))
#define __always_inline inline __attribute__((always_inline))

#define wk_global static __noinline

struct wk_shard {
	const struct unwind_row *rows;
	__u32 count;
};
typedef const struct wk_shard *wk_shard_t;

static struct wk_native {
	/* The maps of bpf/maps.bpf.h. */
	struct wk_shard shards[4];
	const struct mapping *mappings;
	__u32 mapping_count;
	/* The thread and its process; all but read_user may be NULL. */
	long (*read_user)(void *to, __u32 bytes, __u64 addr); /* 0, or negative */
	long (*find_vma)(__u64 pc, struct walk_vma *found);   /* 0, or negative */
	const struct file_info *(*file)(const struct file_key *key);
	__u64 (*return_address)(__u64 slot); /* of a return probe, or 0 */
	__u64 trampoline;
	__u64 thread_pointer;
	struct code_mark marks[256]; /* fewer than the kernel's: they are used in turn */
	__u64 slices_epoch; /* to be increased when 'mappings' or rows change */
} wk_native;

#define wk_mask(value, mask) ((value) &= (mask))

/* As bpf_loop(): 'step' returns 1 to end the loop. */
#define wk_loop(times, step, context)                                                              \
	do {                                                                                       \
		for (__u32 i_ = 0; i_ < (times) && !step(i_, context); i_++)                       \
			;                                                                          \
	} while (0)

static inline long wk_read_user(void *to, __u32 bytes, __u64 addr)
{
	return wk_native.read_user(to, bytes, addr);
}

static inline wk_shard_t wk_shard(__u32 shard)
{
	return shard < sizeof(wk_native.shards) / sizeof(wk_native.shards[0])
		   ? &wk_native.shards[shard]
		   : NULL;
}

static inline const struct unwind_row *wk_row(wk_shard_t shard, __u32 index)
{
	return index < shard->count ? &shard->rows[index] : NULL;
}

static inline const struct mapping *wk_mapping(__u32 index)
{
	return index < wk_native.mapping_count ? &wk_native.mappings[index] : NULL;
}

static inline __u64 wk_slices_epoch(void)
{
	return wk_native.slices_epoch;
}

static inline const struct file_info *wk_file(const struct file_key *key)
{
	return wk_native.file ? wk_native.file(key) : NULL;
}

static inline long wk_find_vma(__u64 pc, struct walk_vma *found)
{
	return wk_native.find_vma ? wk_native.find_vma(pc, found) : -1;
}

static inline struct code_mark *wk_code_mark(__u32 index)
{
	return &wk_native.marks[index % (sizeof(wk_native.marks) / sizeof(wk_native.marks[0]))];
}

static inline __u64 wk_thread_pointer(void)
{
	return wk_native.thread_pointer;
}

static inline __u64 wk_trampoline(void)
{
	return wk_native.trampoline;
}

static inline __u64 wk_return_address(__u64 slot)
{
	return wk_native.return_address ? wk_native.return_address(slot) : 0;
}

#endif
