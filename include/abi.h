/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * abi.h - the contract between the BPF programs (bpf/) and user space (src/): keys, values,
 * records, limits and loss reasons.
 *
 * Laid out identically on both sides: fixed-width members, explicit padding, no pointers, bool,
 * long or enum members. Includes nothing: the includer brings __u8 ... __u64 and __s8 ... __s32.
 */
#ifndef SEEP_ABI_H
#define SEEP_ABI_H

/* ---- limits ---------------------------------------------------------------------------- */

#define STACK_MAX_FRAMES    512	  /* native ones, kept from the leaf; deeper stacks are marked truncated */
#define PYTHON_MAX_FRAMES   512	  /* of interpreted code, kept from the leaf as well */
#define MIXED_MAX_FRAMES    (STACK_MAX_FRAMES + PYTHON_MAX_FRAMES)
#define CODE_NAME_BYTES	    192	  /* of a code object's texts, as copied in the kernel */
#define CODE_FILE_BYTES	    320
#define CODE_LINES_BYTES    1024
#define AGE_CLASSES	    12	  /* birth epochs, each about as long as all before it; a site fits 512 bytes */
#define LEDGER_MAX_TIERS    16	  /* hash tables the ledger may grow to */
#define ROWS_PER_SHARD	    (1U << 18) /* unwind rows of one inner array: 2 MiB */
#define ROW_SHARDS_MAX	    256	  /* 64 Mi rows */
#define MAPPINGS_MAX	    (1U << 15) /* executable mappings of all watched processes */
#define PROCS_MAX	    8192
#define FILES_MAX	    65536
#define CODES_MAX	    (1U << 18) /* Python code objects of all watched processes */
#define CODE_MARKS_MAX	    (1U << 16) /* what they hold, kept by address */
#define ALLOCATOR_RANGES    8	  /* text ranges of allocator libraries, per process */
#define PENDING_DEPTH	    4	  /* allocator calls nested in one another on one thread */
#define SCRATCH_SLOTS	    4	  /* walkers that may preempt one another on one CPU */
#define WEIGHT_ONE	    (1ULL << 16) /* totals count blocks in 1/65536 (sampled blocks weigh more) */
#define VARIANCE_UNIT_SHIFT 12	  /* variances are kept in units of 4096 bytes^2 */

/* ---- classes: which allocator made a block; never summed into each other ----------------- */

enum alloc_class {
	CLASS_MALLOC, /* libc or a replacement, operator new where it does not end in malloc */
	CLASS_PYTHON, /* CPython's object and mem domains */
	CLASS_MMAP,   /* direct anonymous mappings */
	CLASS_COUNT,
};

/* ---- unwinding ----------------------------------------------------------------------------- */

/*
 * How to find the caller's frame from a return address. One row holds from its pc up to the pc of
 * the next row. 'pc' is an ELF virtual address minus the address of the first executable segment.
 */
enum unwind_kind {
	UNWIND_RSP,    /* CFA = rsp + cfa_off8 * 8 */
	UNWIND_RBP,    /* CFA = rbp + cfa_off8 * 8 */
	UNWIND_DRAP,   /* CFA = *(rbp + rbp_off8 * 8); caller's rbp = *(rbp)  (GCC stack realign) */
	UNWIND_SIGNAL, /* the frame is a struct rt_sigframe */
	UNWIND_STOP,   /* outermost frame: return address undefined */
	UNWIND_END,    /* no CFI from here on */
	UNWIND_UNSUP,  /* a rule this format cannot say */
	UNWIND_WIDE,   /* CFA = register cfa_off8 (RSP or RBP) + the signed 32-bit byte offset in the
			* upper half of the row before, which has the same pc (src/unwind/cfi.h) */
	UNWIND_KIND_COUNT,
};

struct unwind_row {
	__u32 pc;
	__u16 cfa_off8; /* in units of 8 bytes */
	__s8 rbp_off8;	/* caller's rbp is at CFA + rbp_off8 * 8; 0: rbp is unchanged */
	__u8 kind;	/* enum unwind_kind */
};
_Static_assert(sizeof(struct unwind_row) == 8, "rows are copied into mmaped arrays");

/* Where the rows of a binary lie: rows [first, first + count) of one shard. */
struct table_ref {
	__u32 shard; /* index into row_shards */
	__u32 first;
	__u32 count; /* 0: no table */
	__u32 pad;
};

/* What the walker needs to know of one file, for pcs that no mapping slice covers yet. */
struct file_key {
	__u64 inode;
	__u32 device; /* as the kernel encodes dev_t: major << 20 | minor */
	__u32 pad;
};
struct file_info {
	struct table_ref calls; /* rows that can contain a return address */
	struct table_ref full;	/* every row; built on demand, for frames interrupted by a signal */
	__u64 text_vaddr;	/* lowest executable segment: rows count from here */
	__s64 vaddr_minus_off;	/* of that segment: ELF address - file offset */
	__u32 binary_id;
	__u32 pad;
};

/* One executable mapping of a process, sorted by start within the process' slice. */
struct mapping {
	__u64 start, end; /* user addresses */
	__u64 bias;	  /* user address - ELF address */
	__u64 text_vaddr;
	struct table_ref calls, full;
	__u32 binary_id; /* 0: anonymous code (JIT): frame pointers */
	__u32 pad;
};

/* Frames of a stack, leaf first. */
#define FRAME_TAG_SHIFT	 62
#define FRAME_NATIVE	 0ULL /* binary_id:20 | ELF address of the call:42 */
#define FRAME_RAW	 1ULL /* a user address in no known binary */
#define FRAME_PYTHON	 2ULL /* code id:42 | instruction:20 (in units of 2 bytes) */
#define FRAME_SPLICE	 3ULL /* only in stack records: so many Python frames belong here */
#define FRAME_PC_BITS	 42
#define FRAME_BINARY_MAX (1U << 20)
#define FRAME_INSTR_BITS 20
#define FRAME_INSTR_NONE ((1U << FRAME_INSTR_BITS) - 1) /* f_lasti -1 */

/* ---- Python ---------------------------------------------------------------------------------- */

/*
 * How an interpreter chains its frames, and how they are matched to the native frames of
 * _PyEval_EvalFrameDefault, which run them.
 */
enum python_chain {
	PYTHON_NONE,	     /* no Python here, or one we do not know */
	PYTHON_EVAL_RANGE,   /* 3.6-3.9: each frame has a native one with its pc in the function */
	PYTHON_CFRAME_EACH,  /* 3.10: each frame has a struct _PyCFrame on the native stack */
	PYTHON_CFRAME_ENTRY, /* 3.11: frames up to one with is_entry share a struct _PyCFrame */
	PYTHON_SHIM,	     /* 3.12-3.14: frames up to one with owner 3, itself on the native stack */
};
#define PYTHON_OFFSET_NONE   0xffff
#define PYTHON_OWNER_SHIM    3	 /* 3.12-3.14; Include/internal/pycore_(interp)frame.h */
#define PYTHON_FRAME_BYTES   128 /* at most so much of a frame is looked at */
#define PYTHON_CODE_BYTES    256 /* and of a code object */
#define PYTHON_EVAL_RANGES   2	 /* the hot and the cold part of the function */

/*
 * Where things lie in one interpreter: byte offsets in its structures, and what was found in the
 * process. All addresses are the process'.
 */
struct python_layout {
	__u8 chain; /* enum python_chain */
	__u8 minor; /* 3.N */
	__u8 frame_mask;   /* low bits of the code pointer that are tags (3.13 on: 7) */
	__u8 tss_indirect; /* 1: the thread's slot is at *(fsbase + tss_offset) + tss_second */
	__u16 debug_extra_bytes; /* what PYTHONMALLOC=debug adds to each request */
	__u16 tss_offset;	 /* 0: the slot is at fsbase + tss_offset */
	__u32 tss_second;
	__u16 tss_stride; /* bytes of a key's slot; with key_addr only */
	/* struct _ts */
	__u16 tstate_frame;	/* the current frame; NONE: through the cframe */
	__u16 tstate_cframe;	/* NONE where there is no struct _PyCFrame */
	__u16 tstate_thread_id; /* pthread_self(), that is fsbase */
	__u16 cframe_frame, cframe_previous;
	/* struct _frame, PyFrameObject, _PyInterpreterFrame */
	__u16 frame_bytes; /* to be read, <= PYTHON_FRAME_BYTES */
	__u16 frame_previous, frame_code;
	__u16 frame_instr; /* 3.6-3.10: int f_lasti; from 3.11 the address of the instruction */
	__u16 frame_owner; /* 3.11 on: 8 bits */
	__u16 frame_entry; /* 3.11: bool is_entry */
	/* PyCodeObject */
	__u16 code_bytes; /* to be read, <= PYTHON_CODE_BYTES */
	__u16 code_first_line, code_name /* the qualified one from 3.11 */, code_file, code_lines;
	__u16 code_first_traceable; /* 3.11 on: instruction that is the first of the body */
	__u16 code_adaptive;	    /* 3.11 on: where instructions begin */
	/* str and bytes objects */
	__u16 text_length, text_state, text_ascii, text_other;
	__u16 bytes_length, bytes_data;
	/*
	 * Address of the key of the thread-specific slot while it is not made yet (Py_tss_t; 3.6: an
	 * int, -1 at first): its stride * key is to be added to tss_offset, or tss_second. 0: done.
	 */
	__u64 key_addr;
	__u64 current_tstate; /* address of the tstate that holds the GIL; 0: not asked, because
			       * there is but one interpreter (3.7-3.11) */
	__u64 code_type;      /* address of PyCode_Type; 0: unknown, not checked */
	/* _PyEval_EvalFrameDefault as native frames (FRAME_NATIVE), 3.6-3.9 */
	__u64 eval_first[PYTHON_EVAL_RANGES], eval_bytes[PYTHON_EVAL_RANGES];
};

/* One text of a code object: its first 'copied_bytes', as Python keeps them. */
struct code_text {
	__u64 addr;	    /* of the str (or bytes) object */
	__u32 length;	    /* characters */
	__u16 copied_bytes; /* 0: not readable just then */
	__u8 unit_bytes;    /* 1 (Latin-1), 2, 4 a character; 0: not even the length is known */
	__u8 pad;
};

/* ---- processes ----------------------------------------------------------------------------- */

struct addr_range {
	__u64 start, end;
};

/* Keyed by tgid in the initial pid namespace. 'generation' makes (tgid, start time) one number:
 * a new one is drawn at every exec and for every process, so a recycled pid never meets old blocks. */
struct proc {
	__u64 start_time_ns;	/* task->start_boottime */
	__u64 slice;		/* mappings: first << 32 | count, written in one piece */
	__u32 generation;
	__u32 flags;		/* PROC_* */
	struct addr_range allocators[ALLOCATOR_RANGES]; /* mmap called from here is the allocator's */
	struct addr_range interpreter; /* private mmap called from here is pymalloc's: when class
					* python is recorded; else empty */
	struct python_layout python;
};
#define PROC_FOLLOW_CHILDREN (1U << 0)
#define PROC_STALE_MAPPINGS  (1U << 1) /* exec'd: the slice describes the old image */
#define PROC_STOP_AT_START   (1U << 2) /* started by us: SIGSTOP at exec and when libraries come, so
					* that nothing is allocated before its probes are in place */
#define PROC_CODE_FREES	     (1U << 4) /* frees of its Python code objects are seen */
#define PROC_STOP_CHILDREN   (1U << 3) /* its children inherit PROC_STOP_AT_START and this */

/* ---- the ledger ---------------------------------------------------------------------------- */

struct block_key {
	__u64 addr;
	__u32 generation;
	__u32 pad;
};
struct block {
	__u64 stack_hash;
	__u64 size_bytes; /* as requested */
	__u8 alloc_class;
	__u8 age;	  /* birth epoch, < AGE_CLASSES */
	__u8 sample_shift; /* sampling interval was settings.sample_bytes << sample_shift */
	__u8 flags;	  /* BLOCK_* */
	__u32 pad;
};
#define BLOCK_SAMPLED (1U << 0)
_Static_assert(sizeof(struct block_key) + sizeof(struct block) == 40,
	       "48 of hash element + 40 + 8 of the BPF allocator fit kmalloc-96");

struct site_key {
	__u64 stack_hash;
	__u32 generation;
	__u32 alloc_class;
};

struct totals {
	__u64 bytes;
	__u64 blocks; /* in units of 1 / WEIGHT_ONE */
};

/*
 * Totals of a site since the recording began. They only grow. The freed halves stand first: a copy
 * from low to high addresses then never shows more freed than allocated.
 */
struct site {
	struct totals freed[AGE_CLASSES];
	__u64 freed_variance; /* in units of 2^VARIANCE_UNIT_SHIFT bytes^2 */
	__u64 alloc_variance;
	struct totals allocated[AGE_CLASSES];
	__u32 stack_sent; /* 1: the frames are in the ring */
	__u32 tgid;
};

/* What a Python code object holds, in one number: without addresses, so that the same text is the
 * same wherever it lies. Kept until the object's memory is freed. */
struct code_mark {
	__u64 check; /* mark ^ tag of the object; what two writers mix is nobody's */
	__u64 mark;
};

/* What is known of a Python code object, by its struct block_key. */
struct known_code {
	__u64 id;   /* as in struct code_record */
	__u64 mark; /* another one may come to lie there */
};
_Static_assert(sizeof(struct known_code) <= sizeof(struct block),
	       "tables of both are swept with the same buffers");

/* ---- records of the ring buffer -------------------------------------------------------------- */

enum record_type {
	RECORD_STACK = 1,  /* struct stack_record: frames of a site seen first */
	RECORD_REGION,	   /* struct region_record: mmap, munmap, mremap, sbrk by the program */
	RECORD_PROCESS,	   /* struct process_record */
	RECORD_TIER,	   /* struct record_head: the ledger began to fill its newest table */
	RECORD_CODE,	   /* struct code_record: a code object seen first */
};

struct record_head {
	__u32 type; /* enum record_type */
	__u32 tgid;
	__u32 generation;
	__u32 tid;
};

#define STACK_TRUNCATED (1U << 0) /* deeper than STACK_MAX_FRAMES, or the walk could not go on */
#define STACK_SIGNAL	(1U << 1) /* passes through a signal frame */
#define STACK_PYTHON_CUT (1U << 2) /* there are more Python frames than were taken */

struct stack_record {
	struct record_head head;
	__u64 stack_hash;
	__u32 alloc_class;
	__u16 frame_count;
	__u8 flags;	  /* STACK_* */
	__u8 end_reason; /* enum walk_end */
	__u32 python_count;
	__u32 pad;
	/*
	 * Leaf first: frame_count native ones, among them FRAME_SPLICEs, which say how many of the
	 * Python frames to take next; then python_count Python ones. Those that no splice takes
	 * lie further out than all that was walked.
	 */
	__u64 frames[];
};

/*
 * A code object, sent before the first stack that names it. 'id' never names another one: when the
 * object is gone and another has its address, that one gets a new id.
 */
struct code_record {
	struct record_head head;
	__u64 addr; /* of the code object */
	__u64 id;   /* in FRAME_PYTHON frames: id << FRAME_INSTR_BITS | instruction */
	__s32 first_line;
	__u32 first_traceable; /* frames before it are not begun: Python does not show them */
	__u8 minor;	       /* of the interpreter */
	__u8 unreadable;       /* 1: nothing but addr and id is set */
	__u16 pad;
	__u32 pad2;
	struct code_text name, file;
	struct code_text lines; /* co_lnotab, co_linetable: bytes */
	char name_data[CODE_NAME_BYTES];
	char file_data[CODE_FILE_BYTES];
	char lines_data[CODE_LINES_BYTES]; /* the record ends after lines.copied_bytes of it */
};

enum region_op {
	REGION_MAP = 1, /* [addr, addr + bytes) is new; replaces what lay there */
	REGION_UNMAP,	/* [addr, addr + bytes) is gone */
	REGION_MOVE,	/* [old_addr, old_addr + old_bytes) went to [addr, addr + bytes) */
	REGION_REBASE,	/* the same while settling: it keeps its site and does not grow */
};
struct region_record {
	struct record_head head;
	__u64 stack_hash; /* its frames came before, in a RECORD_STACK of class CLASS_MMAP */
	__u64 addr, bytes;
	__u64 old_addr, old_bytes;
	__u32 op; /* enum region_op */
	__u32 pad;
};

enum process_event {
	PROCESS_EXIT = 1,     /* last thread is gone */
	PROCESS_EXEC,	      /* same pid, new image; generation is the new one */
	PROCESS_FORK,	      /* child_tgid was added with child_generation */
	PROCESS_LIBS_CHANGED, /* dlopen or dlclose: mappings are to be read again */
	PROCESS_UNKNOWN_PC,   /* a stack met code of no known mapping */
	PROCESS_WANT_FULL,    /* a signal interrupted code of 'addr': build its full table */
};
struct process_record {
	struct record_head head; /* generation: of the old image for exec */
	__u32 event;		 /* enum process_event */
	__u32 other_tgid;	 /* fork: the child */
	__u32 other_generation;	 /* fork: the child's; exec: the new image's */
	__u32 shares_memory;	 /* fork: 1 for vfork(): what is written into the child, the parent has */
	__u64 addr;
	__u64 start_time_ns;	 /* of the new process */
};

/* Why a walk ended. Everything but STOP leaves the stack without its root. */
#define WALK_ENDS(X)                                                                               \
	X(STOP, "reached the outermost frame")                                                     \
	X(DEPTH, "deeper than the frame limit")                                                    \
	X(NO_MAPPING, "code outside every known mapping")                                          \
	X(NO_TABLE, "binary without call-frame information")                                       \
	X(NO_RULE, "code without a usable call-frame rule")                                        \
	X(READ, "stack memory not readable")                                                       \
	X(TRAMPOLINE, "return probe without a recorded return address")                            \
	X(BAD_FRAME, "frame pointer chain broken")                                                 \
	X(SIGNAL, "interrupted by a signal in code without a full table")
enum walk_end {
#define X(name, text) WALK_END_##name,
	WALK_ENDS(X)
#undef X
	WALK_END_COUNT,
};
#define WALK_END_SLOTS 16 /* power of two above WALK_END_COUNT: indices are masked */

/* ---- losses: why data is missing from the totals, one counter and one text per reason ------- */

#define LOSS_REASONS(X)                                                                            \
	X(LEDGER_FULL, "ledger_full", "live blocks not recorded: ledger full (raise --max-blocks)")    \
	X(LEDGER_BUSY, "ledger_growing", "live blocks not recorded: ledger was still growing")         \
	X(SITE_FULL, "site_table_full", "allocations not recorded: site table full")                 \
	X(NO_SCRATCH, "walker_busy", "allocations not recorded: all stack walkers of the CPU busy")  \
	X(NO_TASK_SLOT, "task_slot", "allocations not recorded: no memory for a thread's state")     \
	X(RETURN_MISSED, "return_missed", "allocations not recorded: return of the call not seen")   \
	X(NESTING, "nesting", "allocations not recorded: allocator calls nested too deeply")         \
	X(RING_FULL_STACK, "ring_full_stack", "stacks sent late or never: ring buffer full")         \
	X(RING_FULL_REGION, "ring_full_region", "mmap class inexact: ring buffer full")              \
	X(RING_FULL_PROCESS, "ring_full_process", "process events missed: ring buffer full")         \
	X(STALE_BLOCK, "stale_block", "blocks whose free was not seen, found when reused")           \
	X(UPDATE_RACE, "update_race", "kernel map refused an update")                                \
	X(PYTHON_UNREAD, "python_unread", "stacks whose Python frames could not be read")            \
	X(CODE_FULL, "code_table_full", "Python functions not named: code table full")               \
	X(PROC_FULL, "process_table_full", "child processes not followed: process table full")
enum loss_reason {
#define X(name, key, text) LOSS_##name,
	LOSS_REASONS(X)
#undef X
	LOSS_REASON_COUNT,
};

/* ---- counters, one copy per CPU --------------------------------------------------------------- */

/* Programs whose runs are timed in one. */
enum timed_kind {
	TIMED_CALL, /* both halves of allocating functions, each a run */
	TIMED_FREE,
	TIMED_MAP,
	TIMED_KINDS,
};
struct timed_runs {
	__u64 count, time_ns;
};

struct counters {
	__u64 losses[LOSS_REASON_COUNT];
	__u64 walk_ends[WALK_END_SLOTS]; /* of every walk, by enum walk_end */
	__u64 alloc_hits;		 /* entries into allocating functions */
	__u64 return_hits;
	__u64 free_hits;
	__u64 map_hits;
	__u64 walks;
	__u64 walked_frames;
	__u64 unmatched_frees;	/* blocks older than the recording; not counted when sampling */
	__u64 sampled_blocks;
	__u64 failed_allocs;	/* the allocator returned NULL */
	__u64 ledger_inserts;
	__u64 ledger_deletes;
	__u64 stepped_hits;  /* those of the hits that were single-stepped */
	__u64 foreign_hits;  /* in processes that are not watched (children are followed) */
	__u64 python_frames;
	__u64 python_segments; /* runs of Python frames that one native frame executes */
	__u64 ring_retries; /* stacks that the ring had no room for; sent again later */
	struct timed_runs timed[TIMED_KINDS]; /* of runs that began while 'timing' */
};

/* ---- probe cookies: what a probe point needs to know, packed in 64 bits ----------------------- */

enum probe_role {
	ROLE_MALLOC = 1,     /* size */
	ROLE_CALLOC,	     /* count, size */
	ROLE_REALLOC,	     /* ptr, size */
	ROLE_REALLOCARRAY,   /* ptr, count, size */
	ROLE_MEMALIGN,	     /* align, size */
	ROLE_POSIX_MEMALIGN, /* &ptr, align, size; 0 is success */
	ROLE_PVALLOC,	     /* size, rounded up to pages */
	ROLE_FREE,	     /* ptr */
	ROLE_MMAP,	     /* addr, length, prot, flags */
	ROLE_MUNMAP,	     /* addr, length */
	ROLE_MREMAP,	     /* old, old length, new length */
	ROLE_SBRK,	     /* increment */
	ROLE_BRK,	     /* new end */
	ROLE_DL_CHANGED,     /* the dynamic linker finished adding or removing libraries */
	ROLE_COUNT,
};

/* Registers in the DWARF order of x86-64: rax rdx rcx rbx rsi rdi rbp rsp r8 ... r15. */
#define USER_REG_RAX 0
#define USER_REG_RDX 1
#define USER_REG_RCX 2
#define USER_REG_RBX 3
#define USER_REG_RSI 4
#define USER_REG_RDI 5
#define USER_REG_RBP 6
#define USER_REG_RSP 7
#define USER_REG_R8	8

/*
 * role:8 | class:4 | reg0:4 | reg1:4 | reg2:4 | sp_delta8:8 | flags:2
 * regN: register that holds argument N at the probed instruction. sp_delta8: the return address
 * is at rsp + 8 * sp_delta8 there.
 */
#define COOKIE(role, class, reg0, reg1, reg2, sp_delta8)                                           \
	((__u64)(role) | (__u64)(class) << 8 | (__u64)(reg0) << 12 | (__u64)(reg1) << 16 |         \
	 (__u64)(reg2) << 20 | (__u64)(sp_delta8) << 24)
#define COOKIE_ROLE(c)	   ((__u32)(c) & 0xff)
#define COOKIE_CLASS(c)	   ((__u32)((c) >> 8) & 0xf)
#define COOKIE_REG(c, n)   ((__u32)((c) >> (12 + 4 * (n))) & 0xf)
#define COOKIE_SP_DELTA(c) ((__u32)((c) >> 24) & 0xff)
#define COOKIE_STEPPED	   (1ULL << 32) /* the kernel single-steps the probed instruction */
#define COOKIE_MAY_NEST	   (1ULL << 33) /* the function may end in another probed one */

#endif
