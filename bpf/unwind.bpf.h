/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * unwind.bpf.h - walks the user stack of the current thread with the rows of src/unwind/cfi.c.
 *
 *	walk_stack(w, proc, slot, bp);	// 'slot' holds the return address of the probed function
 *	walk_stack_at_return(w, proc, address, sp, bp);		// ... when it has just returned
 *	// w->record and w->frames are a complete record, w->hash identifies the stack
 *
 * Each step knows the pc, the stack pointer and rbp of one frame and finds those of its caller:
 *
 *	walk_find_mapping   pc -> mapping: the last one, the process' sorted slice, or its vma
 *	walk_find_row	    pc -> row: the last one at or below, by binary search
 *	walk_apply_row	    row -> the caller's sp (the CFA), return address and rbp
 *
 * A walk never fails: a stack that cannot be followed further ends there and says why. Every
 * address read is a return address, which may lie behind the function when the call was its last
 * instruction; so the byte before is what we look up and record.
 *
 * The stack is read a page at a time (python.bpf.h, which reads it too). All state lies
 * in struct walker, of whose contents the verifier knows nothing, so every frame looks the same to
 * it and it follows only one. The steps are inlined: calls would double the time per frame. Walkers
 * belong to one program run; the caller keeps others out.
 *
 * Kernel: bpf_loop and bpf_find_vma (Linux 5.17). The same text compiles as ordinary C for the
 * tests: what comes from the kernel goes through the wk_ functions, which unwind_native.h replaces.
 */
#ifndef SEEP_UNWIND_BPF_H
#define SEEP_UNWIND_BPF_H

#ifdef __bpf__
#include "maps.bpf.h"
#else
#include <stdbool.h>
#include <stddef.h>

#include <linux/types.h>

#include "../include/abi.h"
#endif

#define WALK_SLICE_STEPS     16	       /* halvings until MAPPINGS_MAX mappings are none */
#define WALK_ROW_STEPS	     19	       /* halvings until ROWS_PER_SHARD rows are none */
#define WALK_RETURN_PROBES   64	       /* as many as Linux nests, MAX_URETPROBE_DEPTH */
#define WALK_FRAME_BYTES_MAX (1 << 20) /* frames larger than this are not believed without CFI */
#define WALK_KNOWN_BITS	     8	       /* pcs that a walker keeps: 2^8 of 32 bytes */
#define WALK_STEPS_PER_CALL  4
#define WALK_HASH_SEED	     0x5EE95EE95EE95EE9ULL

_Static_assert((STACK_MAX_FRAMES & (STACK_MAX_FRAMES - 1)) == 0, "frame indices are masked");
_Static_assert(MAPPINGS_MAX < 1U << WALK_SLICE_STEPS, "the search reaches every mapping");
_Static_assert(ROWS_PER_SHARD < 1U << WALK_ROW_STEPS, "the search reaches every row");

/* What callers use, as many of them as they need. */
#define wk_entry static __noinline __attribute__((unused))

/* No end yet; otherwise functions return why the walk ends, an enum walk_end. */
#define WALK_GOES_ON WALK_END_COUNT

enum {
	/* offsets in struct rt_sigframe behind its return address, which is a struct ucontext:
	 * Linux arch/x86/include/uapi/asm/sigcontext.h */
	SIGFRAME_RBP = 120,
	SIGFRAME_RSP = 160,
	SIGFRAME_RIP = 168,
};

/* What walk_find_vma() tells of the vma that holds a pc. */
struct walk_vma {
	__u64 start, end;
	__u64 file_offset;
	struct file_key file;
	__u8 executable;
	__u8 has_file;
};

#ifdef __bpf__
#define WK_VM_EXEC 4 /* Linux include/linux/mm.h VM_EXEC */

struct vm_area_struct___flags {
	unsigned long vm_flags;
} __attribute__((preserve_access_index));

#define wk_global __weak __noinline

#define wk_loop(count, step, context) bpf_loop(count, step, context, 0)

/* Bounds that the compiler knows but the verifier does not are said again where they matter. */
#define wk_mask(value, mask) asm volatile("%0 &= %1" : "+r"(value) : "i"(mask))

typedef void *wk_shard_t;

static __always_inline long wk_read_user(void *to, __u32 bytes, __u64 addr)
{
	return bpf_probe_read_user(to, bytes, (const void *)addr);
}

static __always_inline wk_shard_t wk_shard(__u32 shard)
{
	return bpf_map_lookup_elem(&row_shards, &shard);
}

static __always_inline const struct unwind_row *wk_row(wk_shard_t shard, __u32 index)
{
	return bpf_map_lookup_elem(shard, &index);
}

static __always_inline const struct mapping *wk_mapping(__u32 index)
{
	return bpf_map_lookup_elem(&mappings, &index);
}

static __always_inline __u64 wk_slices_epoch(void)
{
	return *(volatile __u64 *)&slices_epoch;
}

static __always_inline const struct file_info *wk_file(const struct file_key *key)
{
	return bpf_map_lookup_elem(&files, key);
}

static long wk_take_vma(struct task_struct *task, struct vm_area_struct *vma, void *context)
{
	const struct vm_area_struct___flags *flags = (const void *)vma;
	struct walk_vma *found = context;
	struct file *file = vma->vm_file;
	struct inode *inode;

	found->start = vma->vm_start;
	found->end = vma->vm_end;
	found->executable = (flags->vm_flags & WK_VM_EXEC) != 0;
	if (!file)
		return 0;
	found->has_file = 1;
	found->file_offset = vma->vm_pgoff << 12;
	inode = file->f_inode;
	found->file.inode = inode->i_ino;
	found->file.device = inode->i_sb->s_dev;
	return 0;
}

/* Returns 0, or -ENOENT, or -EBUSY when somebody changes the mappings just now. */
static __always_inline long wk_find_vma(__u64 pc, struct walk_vma *found)
{
	return bpf_find_vma(bpf_get_current_task_btf(), pc, wk_take_vma, found, 0);
}

/* Where return probes make functions return to, 0 if the process never had one. */
static __always_inline __u64 wk_trampoline(void)
{
	struct mm_struct *mm = bpf_get_current_task_btf()->mm;
	struct xol_area *area;

	if (!mm)
		return 0;
	area = mm->uprobes_state.xol_area;
	return area ? area->vaddr : 0;
}

/*
 * The return address that a return probe took from 'slot', 0 if none is known. Newest instances
 * come first, and all instances of one slot carry the original address (Linux kernel/events/
 * uprobes.c prepare_uretprobe(), where those are 'chained'); instances that a longjmp() left behind
 * are older than the one that the trampoline in the slot belongs to.
 */
static __always_inline __u64 wk_return_address(__u64 slot)
{
	struct uprobe_task *utask = bpf_get_current_task_btf()->utask;
	struct return_instance *instance;

	if (!utask)
		return 0;
	instance = utask->return_instances;
	for (int i = 0; i < WALK_RETURN_PROBES && instance; i++) {
		if (instance->stack == slot)
			return instance->orig_ret_vaddr;
		instance = instance->next;
	}
	return 0;
}

static __always_inline struct code_mark *wk_code_mark(__u32 index)
{
	return bpf_map_lookup_elem(&code_marks, &index);
}

/* pthread_self() of the current thread. */
static __always_inline __u64 wk_thread_pointer(void)
{
	return bpf_get_current_task_btf()->thread.fsbase;
}
#else
#include "unwind_native.h"
#endif

#include "python.bpf.h"

/* What a look-up of 'pc' found in the slice and the rows that 'tag' stands for. */
struct known_pc {
	__u64 pc, tag;
	__u64 frame;
	struct unwind_row row;
};

#pragma GCC diagnostic push
#ifdef __clang__
#pragma GCC diagnostic ignored "-Wgnu-variable-sized-type-not-at-end"
#endif
struct walker {
	/* The frame to be looked at: a byte of its current instruction, its stack pointer (that is
	 * its callee's CFA), its rbp. */
	__u64 pc, sp, bp;
	__u64 hash;
	__u64 trampoline; /* where probed functions return to; 0: no return probes */
	__u64 word;	  /* what walk_load() read */
	__u64 frame;	  /* as recorded, of pc */
	/* For the caller of walk_stack(): 0, or an address user space should look at. */
	__u64 unknown_pc;     /* code of no mapping in the slice (PROCESS_UNKNOWN_PC) */
	__u64 want_full_addr; /* a signal interrupted code without full table (PROCESS_WANT_FULL) */
	__u32 slice_first, slice_count;
	/*
	 * Where a binary search stands. Kept here, and volatile, so that each halving begins with
	 * numbers of which the verifier knows nothing: in registers it follows every way down.
	 */
	volatile __u32 search_first, search_count;
	__u8 interrupted;  /* pc is where a signal came, not inside a call */
	__u8 guessed;	   /* pc comes from a frame pointer: may be anything */
	__u8 keeps_frames; /* 0: only the flags of the record matter */
	__u8 no_row_end;   /* enum walk_end, if no row applies and no frame pointer helps */
	__u32 from_slice;  /* 'mapping' comes from the slice */
	__s32 wide_offset; /* of rows of kind UNWIND_WIDE, bytes */
	struct unwind_row row;
	struct mapping mapping; /* the last one */
	/*
	 * Pcs looked up before. They hold as long as the process, its slice and what is written in
	 * the slices are the same: when one changes, a new tag makes all of them unknown. (Rows are
	 * never written over.)
	 */
	__u32 known_generation;
	__u64 known_slice, known_epoch;
	__u64 tag;
	struct known_pc known[1 << WALK_KNOWN_BITS];
	struct python_walk python;
	struct stack_record record; /* the caller fills head and alloc_class */
	__u64 frames[MIXED_MAX_FRAMES]; /* record.frames: the native ones; Python
							     * frames are still in 'python' */
};
#pragma GCC diagnostic pop
_Static_assert(__builtin_offsetof(struct walker, frames) ==
		   __builtin_offsetof(struct walker, record) + sizeof(struct stack_record),
	       "record and frames are sent in one piece");

/* Reads w->word from 'addr'. Returns 0, -1 if it is not readable. */
static __always_inline int walk_load(struct walker *w, __u64 addr)
{
	return stack_word(&w->python.stack, addr, &w->word);
}

/* ---- pc -> mapping -------------------------------------------------------------------------- */

static __always_inline bool walk_mapping_holds(const struct mapping *mapping, __u64 pc)
{
	return pc - mapping->start < mapping->end - mapping->start;
}

/* The last mapping of the process' slice that starts at or below pc. */
static __always_inline const struct mapping *walk_search_slice(struct walker *w)
{
	w->search_first = w->slice_first;
	w->search_count = w->slice_count;
	for (int i = 0; i < WALK_SLICE_STEPS; i++) {
		__u32 count = w->search_count, half = count >> 1, index = w->search_first + half;
		const struct mapping *middle = count ? wk_mapping(index) : NULL;

		if (!middle)
			break;
		if (middle->start <= w->pc) {
			w->search_first = index + 1;
			w->search_count = count - half - 1;
		} else {
			w->search_count = half;
		}
	}
	return w->search_first > w->slice_first ? wk_mapping(w->search_first - 1) : NULL;
}

/* Code that the slice does not cover: libraries loaded since, or just-in-time compiled code. */
static __always_inline int walk_find_vma(struct walker *w)
{
	struct walk_vma vma = {0};
	const struct file_info *file;
	bool found = !wk_find_vma(w->pc, &vma) && w->pc >= vma.start && vma.executable;

	/* a guess that is no code is nothing that user space should look for */
	if (!w->unknown_pc && (found || !w->guessed))
		w->unknown_pc = w->pc;
	if (!found)
		return WALK_END_NO_MAPPING;
	__builtin_memset(&w->mapping, 0, sizeof(w->mapping));
	if (vma.has_file) {
		file = wk_file(&vma.file);
		if (!file)
			return WALK_END_NO_MAPPING;
		w->mapping.bias = vma.start - vma.file_offset - file->vaddr_minus_off;
		w->mapping.text_vaddr = file->text_vaddr;
		w->mapping.calls = file->calls;
		w->mapping.full = file->full;
		w->mapping.binary_id = file->binary_id;
	}
	w->mapping.start = vma.start;
	w->mapping.end = vma.end;
	w->from_slice = 0;
	return WALK_GOES_ON;
}

/* Sets w->mapping to the one that holds w->pc. */
static __always_inline int walk_find_mapping(struct walker *w)
{
	const struct mapping *mapping;

	if (walk_mapping_holds(&w->mapping, w->pc))
		return WALK_GOES_ON;
	mapping = walk_search_slice(w);
	if (mapping && walk_mapping_holds(mapping, w->pc)) {
		w->mapping = *mapping;
		w->from_slice = 1;
		return WALK_GOES_ON;
	}
	/* a mapping that could not be looked up must not stay for the frame's address */
	w->mapping.end = w->mapping.start;
	w->mapping.binary_id = 0;
	return walk_find_vma(w);
}

/* ---- mapping -> row ------------------------------------------------------------------------- */

/* The 32 bits behind the pc of a row. */
static __always_inline __s32 walk_row_offset(const struct unwind_row *row)
{
	__s32 offset;

	__builtin_memcpy(&offset, (const char *)row + 4, sizeof(offset));
	return offset;
}

/* Sets w->row to the last row of 'table' at or below 'pc'; before the first row nothing is known.
 */
static __always_inline void walk_search_rows(struct walker *w, const struct table_ref *table,
					     __u32 pc)
{
	const struct unwind_row *best, *wide;
	wk_shard_t shard = wk_shard(table->shard);

	if (!shard)
		return;
	w->search_first = table->first;
	w->search_count = table->count;
	for (int i = 0; i < WALK_ROW_STEPS; i++) {
		__u32 count = w->search_count, half = count >> 1, index = w->search_first + half;
		const struct unwind_row *middle = count ? wk_row(shard, index) : NULL;

		if (!middle)
			break;
		if (middle->pc <= pc) {
			w->search_first = index + 1;
			w->search_count = count - half - 1;
		} else {
			w->search_count = half;
		}
	}
	if (w->search_count || w->search_first <= table->first)
		return;
	best = wk_row(shard, w->search_first - 1);
	if (!best)
		return;
	w->row = *best;
	if (w->row.kind != UNWIND_WIDE)
		return;
	wide = wk_row(shard, w->search_first - 2);
	if (wide)
		w->wide_offset = walk_row_offset(wide);
}

/* Sets w->row to the row for w->pc; code without any gets one of kind UNWIND_END. */
static __always_inline int walk_find_row(struct walker *w)
{
	const struct mapping *mapping;
	__u64 pc;

	mapping = &w->mapping;
	pc = w->pc - mapping->bias - mapping->text_vaddr;
	w->row = (struct unwind_row){.kind = UNWIND_END};
	w->no_row_end = WALK_END_NO_TABLE;
	if (!mapping->binary_id || !mapping->calls.count)
		return WALK_GOES_ON;
	w->no_row_end = WALK_END_NO_RULE;
	if (w->interrupted && !mapping->full.count) {
		if (!w->want_full_addr)
			w->want_full_addr = w->pc;
		return WALK_END_SIGNAL;
	}
	if (pc >> 32)
		return WALK_GOES_ON;
	walk_search_rows(w, w->interrupted ? &mapping->full : &mapping->calls, pc);
	return WALK_GOES_ON;
}

/* ---- row -> caller -------------------------------------------------------------------------- */

/* The frame returns through 'slot', the eight bytes below its CFA. */
static __always_inline int walk_return_through(struct walker *w, __u64 slot)
{
	__u64 address;

	if (walk_load(w, slot))
		return WALK_END_READ;
	address = w->word;
	if (w->trampoline && address == w->trampoline) {
		address = wk_return_address(slot);
		if (!address)
			return WALK_END_TRAMPOLINE;
	}
	if (!address)
		return WALK_END_STOP;
	w->pc = address - 1;
	w->sp = slot + 8;
	w->interrupted = 0;
	w->guessed = 0;
	return WALK_GOES_ON;
}

static __always_inline int walk_apply_cfa(struct walker *w, __u64 cfa)
{
	__s64 offset = (__s64)w->row.rbp_off8 * 8;

	if (cfa < w->sp + 8)
		return WALK_END_BAD_FRAME;
	if (offset) {
		if (walk_load(w, cfa + offset))
			return WALK_END_READ;
		w->bp = w->word;
	}
	return walk_return_through(w, cfa - 8);
}

static __always_inline int walk_apply_drap(struct walker *w)
{
	__u64 cfa, bp = w->bp;

	if (walk_load(w, bp + (__s64)w->row.rbp_off8 * 8))
		return WALK_END_READ;
	cfa = w->word;
	if (cfa < w->sp + 8)
		return WALK_END_BAD_FRAME;
	if (walk_load(w, bp))
		return WALK_END_READ;
	w->bp = w->word;
	return walk_return_through(w, cfa - 8);
}

static __always_inline int walk_apply_signal(struct walker *w)
{
	__u64 frame = w->sp, bp, sp;

	w->record.flags |= STACK_SIGNAL;
	if (walk_load(w, frame + SIGFRAME_RBP))
		return WALK_END_READ;
	bp = w->word;
	if (walk_load(w, frame + SIGFRAME_RSP))
		return WALK_END_READ;
	sp = w->word;
	if (walk_load(w, frame + SIGFRAME_RIP))
		return WALK_END_READ;
	w->bp = bp;
	w->sp = sp;
	w->pc = w->word;
	w->interrupted = 1;
	w->guessed = 0;
	return WALK_GOES_ON;
}

/*
 * Without a row: just-in-time compiled code and hand-written assembly often keep frame pointers.
 * rbp must look like one, and what lies above must prove to be code in the next step.
 */
static __always_inline int walk_apply_frame_pointer(struct walker *w)
{
	__u64 bp = w->bp;
	int end;

	if (bp < w->sp || bp - w->sp > WALK_FRAME_BYTES_MAX || bp & 7)
		return w->no_row_end;
	if (walk_load(w, bp))
		return WALK_END_READ;
	w->bp = w->word;
	end = walk_return_through(w, bp + 8);
	w->guessed = 1;
	return end;
}

/* Makes the caller of the current frame the current one. */
static __always_inline int walk_apply_row(struct walker *w)
{
	__u64 offset;

	offset = (__u64)w->row.cfa_off8 * 8;
	switch (w->row.kind) {
	case UNWIND_RSP:
		return walk_apply_cfa(w, w->sp + offset);
	case UNWIND_RBP:
		return walk_apply_cfa(w, w->bp + offset);
	case UNWIND_WIDE:
		return walk_apply_cfa(w, (w->row.cfa_off8 == USER_REG_RBP ? w->bp : w->sp) +
					     (__s64)w->wide_offset);
	case UNWIND_DRAP:
		return walk_apply_drap(w);
	case UNWIND_SIGNAL:
		return walk_apply_signal(w);
	case UNWIND_STOP:
		return WALK_END_STOP;
	case UNWIND_END:
		return walk_apply_frame_pointer(w);
	default:
		return WALK_END_NO_RULE;
	}
}

/* ---- the walk ------------------------------------------------------------------------------- */

static __always_inline __u64 walk_hash_mix(__u64 hash, __u64 value)
{
	hash = (hash ^ value) * 0x9E3779B97F4A7C15ULL;
	return hash ^ hash >> 29;
}

static __always_inline __u64 walk_frame(const struct walker *w)
{
	const struct mapping *mapping = &w->mapping;
	__u64 pc = w->pc;

	/* a signal frame "returns" to the first instruction of __restore_rt, after no call */
	if (w->row.kind == UNWIND_SIGNAL && !w->interrupted)
		pc++;
	if (!mapping->binary_id)
		return FRAME_RAW << FRAME_TAG_SHIFT | (pc & ((1ULL << FRAME_TAG_SHIFT) - 1));
	return FRAME_NATIVE << FRAME_TAG_SHIFT |
	       (__u64)(mapping->binary_id & (FRAME_BINARY_MAX - 1)) << FRAME_PC_BITS |
	       ((pc - mapping->bias) & ((1ULL << FRAME_PC_BITS) - 1));
}

/* Returns whether there was room. */
static __always_inline bool walk_push(struct walker *w, __u64 frame)
{
	__u32 count = w->record.frame_count;

	if (!w->keeps_frames)
		return true;
	if (count >= STACK_MAX_FRAMES)
		return false;
	w->record.frame_count = count + 1;
	wk_mask(count, STACK_MAX_FRAMES - 1);
	w->frames[count] = frame;
	w->hash = walk_hash_mix(w->hash, frame);
	return true;
}

static __always_inline struct known_pc *walk_known(struct walker *w)
{
	__u64 index = w->pc * 0x9E3779B97F4A7C15ULL >> (64 - WALK_KNOWN_BITS);

	return &w->known[index];
}

/* Only what pc, slice and rows alone decide, and what the kept row says completely. */
static __always_inline void walk_keep(struct walker *w, __u64 frame)
{
	struct known_pc *known = walk_known(w);

	if (!w->from_slice || w->interrupted || w->row.kind == UNWIND_WIDE ||
	    w->row.kind == UNWIND_SIGNAL || w->row.kind == UNWIND_END)
		return;
	known->pc = w->pc;
	known->tag = w->tag;
	known->frame = frame;
	known->row = w->row;
}

/* Sets w->mapping, w->row and w->frame for w->pc. Global: the verifier looks at it once. */
wk_global int walk_look_up(struct walker *w)
{
	int end;

	if (!w)
		return WALK_END_BAD_FRAME;
	w->row.kind = UNWIND_UNSUP;
	end = walk_find_mapping(w);
	if (end != WALK_GOES_ON && w->guessed)
		return WALK_END_BAD_FRAME;
	if (end == WALK_GOES_ON)
		end = walk_find_row(w);
	w->frame = walk_frame(w);
	if (end == WALK_GOES_ON)
		walk_keep(w, w->frame);
	return end;
}

/* A native frame that executes Python frames is followed by a mark that says how many. */
static __always_inline int walk_splice(struct walker *w)
{
	__u32 count = python_pass(&w->python);

	if (count && !walk_push(w, FRAME_SPLICE << FRAME_TAG_SHIFT | count))
		return WALK_END_DEPTH;
	return python_ends_walk(&w->python) ? WALK_END_DEPTH : WALK_GOES_ON;
}

/* Takes the current frame and goes on to its caller. */
static __always_inline int walk_step(struct walker *w)
{
	const struct known_pc *known = walk_known(w);
	int end = WALK_GOES_ON;

	if (known->pc == w->pc && known->tag == w->tag && !w->interrupted) {
		w->row = known->row;
		w->frame = known->frame;
	} else {
		end = walk_look_up(w);
		if (end == WALK_END_BAD_FRAME)
			return end;
	}
	if (!walk_push(w, w->frame))
		return WALK_END_DEPTH;
	if (end == WALK_GOES_ON)
		end = walk_apply_row(w);
	return end;
}

struct walk_context {
	struct walker *w;
	const struct python_layout *layout; /* NULL: no Python frames are to be placed */
	__u64 limit_sp;			    /* walk_crosses_signal() only */
};

/* The same in a thread with Python frames. */
static __always_inline int walk_step_mixed(struct walker *w, const struct python_layout *layout)
{
	__u64 sp = w->sp;
	int end = walk_step(w);

	if (end == WALK_GOES_ON && python_belongs(&w->python, layout, w->frame, sp, w->sp))
		end = walk_splice(w);
	return end;
}

static long walk_next_mixed(__u32 index, struct walk_context *context)
{
	int end = walk_step_mixed(context->w, context->layout);

	for (int i = 1; i < WALK_STEPS_PER_CALL && end == WALK_GOES_ON; i++)
		end = walk_step_mixed(context->w, context->layout);
	if (end == WALK_GOES_ON)
		return 0;
	context->w->record.end_reason = end;
	return 1;
}

static long walk_next(__u32 index, struct walk_context *context)
{
	int end = walk_step(context->w);

	for (int i = 1; i < WALK_STEPS_PER_CALL && end == WALK_GOES_ON; i++)
		end = walk_step(context->w);
	if (end == WALK_GOES_ON)
		return 0;
	context->w->record.end_reason = end;
	return 1;
}

static __always_inline void walk_reset(struct walker *w, __u64 sp, __u64 bp)
{
	w->bp = bp;
	w->sp = sp;
	w->hash = WALK_HASH_SEED;
	w->trampoline = wk_trampoline();
	w->unknown_pc = 0;
	w->want_full_addr = 0;
	w->mapping.start = 0;
	w->mapping.end = 0;
	stack_forget(&w->python.stack);
	w->record.frame_count = 0;
	w->record.python_count = 0;
	w->record.flags = 0;
	w->record.end_reason = WALK_END_DEPTH;
}

/* Returns WALK_GOES_ON with the caller of the probed function as current frame, or the end. */
static __always_inline int walk_begin(struct walker *w, __u64 slot, __u64 bp)
{
	walk_reset(w, slot, bp);
	return walk_return_through(w, slot);
}

/* Forgets the known pcs if they may not hold any more. */
static __always_inline void walk_check_known(struct walker *w, __u32 generation)
{
	__u64 slice = (__u64)w->slice_first << 32 | w->slice_count, epoch = wk_slices_epoch();

	if (w->known_generation == generation && w->known_slice == slice && w->known_epoch == epoch)
		return;
	w->known_generation = generation;
	w->known_slice = slice;
	w->known_epoch = epoch;
	w->tag++;
}

static __always_inline void walk_take_slice(struct walker *w, const struct proc *proc)
{
	__u64 slice = *(const volatile __u64 *)&proc->slice;

	w->slice_first = slice >> 32;
	w->slice_count = proc->flags & PROC_STALE_MAPPINGS ? 0 : (__u32)slice;
	walk_check_known(w, proc->generation);
}

/* Takes the Python frames, if there are any. */
static __always_inline void walk_begin_python(struct walker *w, const struct proc *proc)
{
	w->python.count = 0;
	w->python.segment_count = 0;
	w->python.segment_next = 0;
	w->python.cut = 0;
	w->python.unread = 0;
	if (proc->python.chain == PYTHON_NONE)
		return;
	python_collect(&w->python, proc, w->sp);
	if (w->python.count)
		w->hash = walk_hash_mix(w->hash, w->python.hash);
}

static __always_inline void walk_to_end(struct walker *w, const struct proc *proc, int end)
{
	struct walk_context context = {.w = w};

	walk_begin_python(w, proc);
	if (end != WALK_GOES_ON) {
		w->record.end_reason = end;
	} else if (w->python.segment_count) {
		context.layout = &proc->python;
		wk_loop(STACK_MAX_FRAMES / WALK_STEPS_PER_CALL + 1, walk_next_mixed, &context);
	} else {
		wk_loop(STACK_MAX_FRAMES / WALK_STEPS_PER_CALL + 1, walk_next, &context);
	}
	if (w->record.end_reason != WALK_END_STOP)
		w->record.flags |= STACK_TRUNCATED;
	if (w->python.cut)
		w->record.flags |= STACK_PYTHON_CUT;
	w->record.python_count = w->python.count;
	w->hash = walk_hash_mix(w->hash, w->record.end_reason);
	w->record.stack_hash = w->hash;
}

/*
 * Walk from the return address at 'slot' (user address; rsp at the entry of the probed function)
 * with 'bp' of that moment. Sets w->hash, w->record but for head and alloc_class, w->frames, and
 * the hints w->unknown_pc and w->want_full_addr. The record's frame_count is 0 only when not even
 * the return address could be read.
 */
wk_entry void walk_stack(struct walker *w, const struct proc *proc, __u64 slot, __u64 bp)
{
	int end;

	w->keeps_frames = 1;
	walk_take_slice(w, proc);
	end = walk_begin(w, slot, bp);
	walk_to_end(w, proc, end);
}

/*
 * As walk_stack(), but at the return of the probed function: 'address' is where it returns to,
 * 'sp' and 'bp' are its caller's.
 */
wk_entry void walk_stack_at_return(struct walker *w, const struct proc *proc, __u64 address,
				   __u64 sp, __u64 bp)
{
	w->keeps_frames = 1;
	walk_take_slice(w, proc);
	walk_reset(w, sp, bp);
	w->pc = address - 1;
	w->interrupted = 0;
	w->guessed = 0;
	walk_to_end(w, proc, WALK_GOES_ON);
}

static long walk_next_below(__u32 index, struct walk_context *context)
{
	struct walker *w = context->w;
	__u64 below = w->sp;

	if (walk_step(w) != WALK_GOES_ON || w->record.flags & STACK_SIGNAL)
		return 1;
	return below <= context->limit_sp && w->sp > context->limit_sp;
}

/*
 * Does a signal frame lie between the function entered at 'slot' and the outer one whose return
 * address lies at 'limit_sp'? True in a signal handler that interrupted the outer function, also
 * when the handler runs on a stack of its own. Overwrites the record.
 */
wk_entry int walk_crosses_signal(struct walker *w, const struct proc *proc, __u64 slot, __u64 bp,
				 __u64 limit_sp)
{
	struct walk_context context = {.w = w, .limit_sp = limit_sp};

	w->keeps_frames = 0;
	walk_take_slice(w, proc);
	if (walk_begin(w, slot, bp) == WALK_GOES_ON && !(slot <= limit_sp && w->sp > limit_sp))
		wk_loop(STACK_MAX_FRAMES, walk_next_below, &context);
	return w->record.flags & STACK_SIGNAL ? 1 : 0;
}

#endif
