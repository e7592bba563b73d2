/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * alloc.bpf.h - uprobes on the entry points of allocators.
 *
 *	call_enter	remembers what was asked for in the thread ('threads')
 *	call_return	pairs it with the address: one entry in the ledger, bytes to the site
 *	call_session	both in one program, where the kernel has uprobe sessions; its entry half
 *			can spare the return trap when the block is not sampled
 *	free_enter	takes the block out of the ledger, bytes to the freed side
 *	region_*	mmap, munmap, mremap, sbrk, brk by the program itself: sent one by one,
 *			because ranges can be cut anywhere (src/profile/regions.c)
 *	libs_changed	the dynamic linker added or removed libraries
 *
 * Nothing else is sent per event. User space reads 'sites' when it wants a snapshot, so the cost
 * does not depend on how often anybody looks.
 *
 * The stack is walked at the return: the result is known, failed calls cost nothing, and stack
 * pointer, rbp and return address are the caller's own.
 */
#ifndef SEEP_ALLOC_BPF_H
#define SEEP_ALLOC_BPF_H

#include "codes.bpf.h"
#include "ledger.bpf.h"
#include "loss.bpf.h"
#include "maps.bpf.h"
#include "stack.bpf.h"
#include "unwind.bpf.h"

/*
 * Which half of a session runs? At the call the instruction pointer is that of the probe, at the
 * return that of the caller. (The kernel's bpf_session_is_return() got an argument after Linux 6.18,
 * and one object cannot call both forms.)
 */
static __always_inline bool session_returns(struct pt_regs *ctx)
{
	return ctx->ip != bpf_get_func_ip(ctx);
}

/* The program 'name': returns what 'body' says of 'ctx', and times itself while somebody asks. */
#define TIMED_PROGRAM(section, name, kind, body)                                                   \
	NO_PROGRAMS(name##_none);                                                                  \
	SEC(section)                                                                               \
	int name(struct pt_regs *ctx)                                                              \
	{                                                                                          \
		__u64 begin_ns = run_begins();                                                     \
		int result;                                                                        \
                                                                                                   \
		STAY_ON_TASK_STACK(ctx, name##_none);                                              \
		result = body;                                                                     \
		run_ends(kind, begin_ns);                                                          \
		return result;                                                                     \
	}

/* False: links fire in every process that maps the file (children are followed). */
const volatile bool links_filtered = true;

/* include/uapi/asm-generic/mman-common.h, x86 */
#define PROT_MASK	 7
#define MAP_SHARED	 0x01
#define MAP_FIXED	 0x10
#define MAP_ANONYMOUS	 0x20
#define MAP_STACK	 0x20000

#define PAGE_BYTES	   4096ULL
#define PYMALLOC_MAX_BYTES 512
#define DEBUG_HEAD_BYTES   16 /* of PYTHONMALLOC=debug, before the object (Objects/obmalloc.c) */
#define REQUEST_MAX_BYTES  (1ULL << 47)
#define SAME_STACK_BYTES   (1 << 20) /* two frames further apart may be on different stacks */
#define SIGNAL_FRAME_BYTES 1024	     /* red zone + rt_sigframe + FXSAVE area: at least this */

/* ---- what a thread is doing ------------------------------------------------------------------- */

struct call {
	__u64 slot;	  /* where its return address lies: names the call */
	__u64 size_bytes; /* asked for; mremap: old length */
	__u64 old_addr;	  /* realloc, mremap: the old block; posix_memalign: &result; brk: old end */
	__u32 role;
	__u8 alloc_class;
	__u8 has_old; /* 'old' was taken out of the ledger at entry */
	__u8 sampled;
	__u8 sample_shift; /* when that was decided */
	struct block old;
	__u64 extra; /* mmap: flags << 32 | prot; mremap: new length */
};

struct thread {
	__u64 gap_bytes; /* to the next sample; 0: not drawn yet */
	__u32 gap_shift; /* sample_shift when it was drawn */
	__u32 depth;
	__u64 handed_on; /* block that a Python allocator is about to free through another one */
	struct call calls[PENDING_DEPTH];
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct thread);
} threads SEC(".maps");

struct scratch {
	__u32 busy;
	__u32 pad;
	struct walker walker;
	struct code_scratch code;
};

/* SCRATCH_SLOTS for each CPU; user space says how many there are. (Elements of per-CPU maps may not
 * be larger than 32 KiB.) */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SCRATCH_SLOTS);
	__type(key, __u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

/* uprobe programs can be preempted by another one on the same CPU: each takes a slot of its own. */
static __always_inline struct scratch *scratch_claim(void)
{
	__u32 first = bpf_get_smp_processor_id() * SCRATCH_SLOTS;

	for (__u32 i = 0; i < SCRATCH_SLOTS; i++) {
		__u32 slot = first + i;
		struct scratch *scratch = bpf_map_lookup_elem(&scratches, &slot);

		if (scratch && !__sync_lock_test_and_set(&scratch->busy, 1))
			return scratch;
	}
	LOSE(NO_SCRATCH);
	return NULL;
}

static __always_inline void scratch_release(struct scratch *scratch)
{
	asm volatile("" : : : "memory"); /* who claims it next runs on this CPU */
	*(volatile __u32 *)&scratch->busy = 0;
}

static __always_inline __u64 page_align(__u64 bytes)
{
	return (bytes + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
}

static __always_inline __u32 current_tgid(void)
{
	return bpf_get_current_pid_tgid() >> 32;
}

static __always_inline struct proc *current_proc(void)
{
	__u32 tgid = current_tgid();

	return bpf_map_lookup_elem(&procs, &tgid);
}

static __always_inline struct thread *current_thread(__u64 flags)
{
	return bpf_task_storage_get(&threads, bpf_get_current_task_btf(), NULL, flags);
}

/* The context must be read at constant offsets; the compiler may not merge these loads into one. */
#define LOAD_REG(member)                                                                           \
	({                                                                                         \
		__u64 value_;                                                                      \
		asm volatile("%0 = *(u64 *)(%1 + %2)"                                              \
			     : "=r"(value_)                                                        \
			     : "r"(ctx), "i"(__builtin_offsetof(struct pt_regs, member)));         \
		value_;                                                                            \
	})

/* Register number 'reg' (USER_REG_*). */
static __noinline __u64 reg_value(struct pt_regs *ctx, __u32 reg)
{
	if (reg == USER_REG_RDI)
		return LOAD_REG(di);
	if (reg == USER_REG_RSI)
		return LOAD_REG(si);
	if (reg == USER_REG_RDX)
		return LOAD_REG(dx);
	if (reg == USER_REG_RAX)
		return LOAD_REG(ax);
	if (reg == USER_REG_RCX)
		return LOAD_REG(cx);
	if (reg == USER_REG_RBX)
		return LOAD_REG(bx);
	if (reg == USER_REG_RBP)
		return LOAD_REG(bp);
	if (reg == USER_REG_R8)
		return LOAD_REG(r8);
	if (reg == USER_REG_R8 + 1)
		return LOAD_REG(r9);
	if (reg == USER_REG_R8 + 2)
		return LOAD_REG(r10);
	if (reg == USER_REG_R8 + 3)
		return LOAD_REG(r11);
	if (reg == USER_REG_R8 + 4)
		return LOAD_REG(r12);
	if (reg == USER_REG_R8 + 5)
		return LOAD_REG(r13);
	if (reg == USER_REG_R8 + 6)
		return LOAD_REG(r14);
	if (reg == USER_REG_R8 + 7)
		return LOAD_REG(r15);
	return 0;
}

/* Nearly always still where the call put it; a call of reg_value() is not free. */
static __always_inline __u64 first_argument(struct pt_regs *ctx, __u64 cookie)
{
	__u32 reg = COOKIE_REG(cookie, 0);

	return reg == USER_REG_RDI ? LOAD_REG(di) : reg_value(ctx, reg);
}

/* ---- events for user space ------------------------------------------------------------------- */

static __always_inline void send_process_event(__u32 generation, __u32 event, __u64 addr, bool stop)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct process_record record = {
		.head = { RECORD_PROCESS, pid_tgid >> 32, generation, (__u32)pid_tgid },
		.event = event,
		.addr = addr,
	};

	send_process_record(&record, stop);
}

/* The frames of a new site. If the ring is full, the site's next block tries again. */
static __always_inline void send_stack(struct site *site, struct scratch *scratch,
				       const struct proc *proc, const struct site_key *key)
{
	struct stack_record *record = &scratch->walker.record;
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	__u32 frames = record->frame_count + record->python_count, bytes;

	if (__sync_val_compare_and_swap(&site->stack_sent, 0, 1))
		return;
	record->head.type = RECORD_STACK;
	record->head.tgid = pid_tgid >> 32;
	record->head.tid = (__u32)pid_tgid;
	record->head.generation = key->generation;
	record->stack_hash = key->stack_hash;
	record->alloc_class = key->alloc_class;
	wk_mask(frames, 2 * MIXED_MAX_FRAMES - 1);
	if (frames > MIXED_MAX_FRAMES)
		frames = MIXED_MAX_FRAMES;
	bytes = sizeof(*record) + frames * sizeof(__u64);
	if (codes_name(&scratch->walker, &scratch->code, proc) ||
	    bpf_ringbuf_output(&ring, record, bytes, 0)) {
		site->stack_sent = 0;
		COUNT(ring_retries);
	}
}

/* The walker met code that user space should look at. */
static __always_inline void send_hints(struct walker *walker, __u32 generation)
{
	if (walker->unknown_pc)
		send_process_event(generation, PROCESS_UNKNOWN_PC, walker->unknown_pc, false);
	if (walker->want_full_addr)
		send_process_event(generation, PROCESS_WANT_FULL, walker->want_full_addr,
				   false);
}

/* The walker behind global functions: the verifier looks at it once, not once a path to it. */
__weak __noinline int walk_caller(struct walker *walker, const struct proc *proc, __u64 address,
				  __u64 sp, __u64 bp)
{
	if (!walker || !proc)
		return -1;
	walk_stack_at_return(walker, proc, address, sp, bp);
	return 0;
}

__weak __noinline int signal_between(struct walker *walker, const struct proc *proc, __u64 slot,
				     __u64 bp, __u64 outer_slot)
{
	if (!walker || !proc)
		return 0;
	return walk_crosses_signal(walker, proc, slot, bp, outer_slot);
}

static __always_inline void count_walk(const struct walker *walker)
{
	const struct python_walk *python = &walker->python;
	struct counters *counters = counters_here();

	if (!counters)
		return;
	counters->walks++;
	counters->walked_frames += walker->record.frame_count;
	counters->walk_ends[walker->record.end_reason & (WALK_END_SLOTS - 1)]++;
	counters->python_frames += python->count;
	counters->python_segments += python->segment_count;
	if (python->unread)
		counters->losses[LOSS_PYTHON_UNREAD]++;
}

/* Walks the caller's stack of a returning call and finds its site. NULL: a loss was counted. */
static __always_inline struct site *site_of_caller(struct pt_regs *ctx, struct scratch *scratch,
						   const struct proc *proc, __u32 alloc_class,
						   struct site_key *key)
{
	struct walker *walker = &scratch->walker;
	struct site *site;

	walk_caller(walker, proc, ctx->ip, ctx->sp, ctx->bp);
	count_walk(walker);
	key->stack_hash = walker->hash;
	key->generation = proc->generation;
	key->alloc_class = alloc_class;
	site = site_get(key);
	if (site && !site->stack_sent) {
		send_stack(site, scratch, proc, key);
		send_hints(walker, proc->generation);
	}
	return site;
}

/* ---- nesting ------------------------------------------------------------------------------------ */

/*
 * Is the pending call at 'slot' still running? After longjmp or an exception it is not, but nobody
 * told us. Its return address is then soon overwritten: the trampoline is gone from the slot.
 */
static __always_inline bool call_is_running(__u64 slot)
{
	__u64 word = 0;

	return !bpf_probe_read_user(&word, sizeof(word), (void *)slot) &&
	       word == wk_trampoline();
}

/*
 * We enter an allocator function while another is pending further up. Either that one called us
 * (calloc ending in malloc: the outer one counts), or a signal handler interrupted it (both count).
 */
static __noinline int is_nested(struct pt_regs *ctx, __u64 slot, __u64 outer_slot)
{
	struct scratch *scratch;
	struct proc *proc;
	int crossed;

	if (outer_slot >= slot && outer_slot - slot < SIGNAL_FRAME_BYTES)
		return 1;
	proc = current_proc();
	if (!proc)
		return 1;
	scratch = scratch_claim();
	if (!scratch)
		return 1;
	crossed = signal_between(&scratch->walker, proc, slot, ctx->bp, outer_slot);
	scratch_release(scratch);
	return !crossed;
}

/*
 * Drops calls that can no longer return: this one stands where they stood, or above. At the same
 * place the trampoline is found only after a tail call (realloc(NULL) into malloc); a new call has
 * just written its own return address there.
 */
static __always_inline void drop_abandoned(struct thread *thread, __u64 slot)
{
	for (int i = 0; i < PENDING_DEPTH; i++) {
		__u32 depth = thread->depth, top = depth - 1;
		__u64 other;

		if (depth == 0 || depth > PENDING_DEPTH)
			return;
		wk_mask(top, PENDING_DEPTH - 1);
		other = thread->calls[top].slot;
		if (other >= slot && call_is_running(other)) /* equal: a tail call */
			return;
		if (other <= slot && slot - other >= SAME_STACK_BYTES && call_is_running(other))
			return;
		thread->depth = top;
		LOSE(RETURN_MISSED);
	}
}

/* A place for a new pending call. NULL when it is nested in a pending one, or too deep. */
static __always_inline struct call *call_push(struct pt_regs *ctx, struct thread *thread,
					      __u64 slot)
{
	__u32 depth;

	if (thread->depth) {
		drop_abandoned(thread, slot);
		depth = thread->depth;
		if (depth && depth <= PENDING_DEPTH &&
		    is_nested(ctx, slot, thread->calls[(depth - 1) & (PENDING_DEPTH - 1)].slot))
			return NULL;
	}
	depth = thread->depth;
	if (depth >= PENDING_DEPTH) {
		LOSE(NESTING);
		return NULL;
	}
	thread->depth = depth + 1;
	return &thread->calls[depth];
}

/* The pending call that returns now, taken off; calls above it will never return. */
static __always_inline struct call *call_pop(struct thread *thread, __u64 slot)
{
	for (__u32 depth = PENDING_DEPTH; depth > 0; depth--) {
		struct call *call = &thread->calls[depth - 1];

		if (depth > thread->depth || call->slot != slot)
			continue;
		if (thread->depth != depth)
			LOSE(RETURN_MISSED);
		thread->depth = depth - 1;
		return call;
	}
	return NULL;
}

/* ---- entry --------------------------------------------------------------------------------------- */

static __always_inline __u64 sampling_interval(void)
{
	return sample_bytes << (sample_shift & 31);
}

/* A freed block that is not in the ledger: older than the recording. Says nothing when sampling. */
static __always_inline void count_unmatched(void)
{
	if (sampling_interval() == 1)
		COUNT(unmatched_frees);
}

/* The gap left, in terms of the interval of now: an exponential variable, scaled, stays one. */
static __always_inline __u64 current_gap(struct thread *thread, __u32 shift)
{
	if (thread->gap_shift == shift)
		return thread->gap_bytes;
	if (sample_bytes << (thread->gap_shift & 31) <= 1 || shift < thread->gap_shift)
		return 0;
	return thread->gap_bytes << ((shift - thread->gap_shift) & 31);
}

/* Poisson sampling by bytes: decided here, before the return trap is paid for. */
static __always_inline bool sample_take(struct thread *thread, __u64 size_bytes, __u32 shift)
{
	struct sample_tables *tables;
	__u64 interval = sample_bytes << (shift & 31), gap;
	__u32 zero = 0;
	bool taken;

	if (interval <= 1)
		return true;
	tables = bpf_map_lookup_elem(&sampling, &zero);
	if (!tables)
		return true;
	gap = current_gap(thread, shift);
	if (!gap)
		gap = SAMPLE_GAP(tables, interval, bpf_get_prandom_u32) + 1;
	taken = size_bytes >= gap;
	thread->gap_shift = shift;
	thread->gap_bytes = taken ? SAMPLE_GAP(tables, interval, bpf_get_prandom_u32) + 1 :
				    gap - size_bytes;
	return taken;
}

/* count * size; false if that is more than an address space (the call will fail). */
static __always_inline bool product(__u64 count, __u64 size, __u64 *result)
{
	if (count && size > REQUEST_MAX_BYTES / count)
		return false;
	*result = count * size;
	return true;
}

/* Bytes asked for, from the arguments in their registers. False: the call cannot succeed. */
static __always_inline bool requested_bytes(struct pt_regs *ctx, __u64 cookie, __u64 *bytes)
{
	__u64 first = first_argument(ctx, cookie), second;

	if (COOKIE_ROLE(cookie) == ROLE_MALLOC) {
		*bytes = first;
		return true;
	}
	second = reg_value(ctx, COOKIE_REG(cookie, 1));
	switch (COOKIE_ROLE(cookie)) {
	case ROLE_PVALLOC:
		*bytes = page_align(first);
		return true;
	case ROLE_CALLOC:
		return product(first, second, bytes);
	case ROLE_REALLOCARRAY:
		return product(second, reg_value(ctx, COOKIE_REG(cookie, 2)), bytes);
	case ROLE_REALLOC:
	case ROLE_MEMALIGN:
		*bytes = second;
		return true;
	case ROLE_POSIX_MEMALIGN:
		*bytes = reg_value(ctx, COOKIE_REG(cookie, 2));
		return true;
	}
	return false;
}

/*
 * realloc: the old block leaves the ledger now, because once it is moved another thread may get its
 * address before we see the return. A failed realloc puts it back.
 */
static __always_inline void take_old_block(struct call *call, const struct proc *proc)
{
	struct block_key key = { .addr = call->old_addr, .generation = proc->generation };

	if (!call->old_addr)
		return;
	call->has_old = ledger_take(&key, &call->old);
	if (!call->has_old)
		count_unmatched();
}

static __always_inline bool role_resizes(__u32 role)
{
	return role == ROLE_REALLOC || role == ROLE_REALLOCARRAY;
}

/* Whom does the hit belong to? NULL and 1: nobody we watch. Without lookup where that is sure. */
static __always_inline bool is_foreign(struct proc **proc, bool needed)
{
	*proc = NULL;
	if (links_filtered && !needed)
		return false;
	*proc = current_proc();
	if (*proc)
		return false;
	COUNT(foreign_hits);
	return true;
}

static __always_inline void fill_call(struct pt_regs *ctx, __u64 cookie, struct call *call,
				      __u64 slot, __u64 bytes, __u32 shift)
{
	__u32 role = COOKIE_ROLE(cookie);

	call->slot = slot;
	call->size_bytes = bytes;
	call->role = role;
	call->alloc_class = COOKIE_CLASS(cookie);
	call->has_old = 0;
	call->sample_shift = shift;
	call->old_addr = 0;
	if (role == ROLE_POSIX_MEMALIGN || role_resizes(role))
		call->old_addr = reg_value(ctx, COOKIE_REG(cookie, 0));
}

/* May the call end in another probed function? pymalloc hands on 0 bytes and more than 512
 * (SMALL_REQUEST_THRESHOLD, Objects/obmalloc.c). */
static __always_inline bool may_nest(__u64 cookie, __u64 bytes)
{
	if (!(cookie & COOKIE_MAY_NEST))
		return false;
	return COOKIE_CLASS(cookie) != CLASS_PYTHON || bytes - 1 >= PYMALLOC_MAX_BYTES;
}

/* PYTHONMALLOC=debug asks pymalloc for some bytes more than it was asked for. */
static __always_inline __u64 asked_bytes(__u32 alloc_class, __u64 bytes, const struct proc *proc)
{
	__u64 extra = proc->python.debug_extra_bytes;

	return alloc_class == CLASS_PYTHON && bytes >= extra ? bytes - extra : bytes;
}

/* A block is drawn by the bytes that it is weighed with later. */
static __always_inline __u64 drawn_bytes(__u64 cookie, __u64 bytes, const struct proc *proc)
{
	if (COOKIE_CLASS(cookie) != CLASS_PYTHON || sampling_interval() <= 1)
		return bytes;
	if (!proc)
		proc = current_proc();
	return proc ? asked_bytes(CLASS_PYTHON, bytes, proc) : bytes;
}

/*
 * Remembers the call. Returns 1 if its return is of no interest. A call that is not sampled keeps
 * its place all the same if it may end in another probed function, which would draw again.
 */
static __always_inline int enter_call(struct pt_regs *ctx, __u64 cookie)
{
	__u64 slot = ctx->sp + 8 * COOKIE_SP_DELTA(cookie), bytes, drawn;
	bool resizes = role_resizes(COOKIE_ROLE(cookie)), outermost, sampled = true;
	__u32 shift = *(volatile __u32 *)&sample_shift;
	struct thread *thread;
	struct proc *proc;
	struct call *call;

	if (is_foreign(&proc, resizes))
		return 1;
	COUNT(alloc_hits);
	if (cookie & COOKIE_STEPPED)
		COUNT(stepped_hits);
	if (count_only || (settling && !resizes) || !requested_bytes(ctx, cookie, &bytes))
		return 1;
	thread = current_thread(BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!thread) {
		LOSE(NO_TASK_SLOT);
		return 1;
	}
	outermost = thread->depth == 0;
	drawn = drawn_bytes(cookie, bytes, proc);
	if (outermost && !resizes) {
		sampled = sample_take(thread, drawn, shift);
		if (!sampled && !may_nest(cookie, bytes))
			return 1;
	}
	call = call_push(ctx, thread, slot);
	if (!call)
		return 1;
	fill_call(ctx, cookie, call, slot, bytes, shift);
	if (resizes && proc)
		take_old_block(call, proc);
	if (resizes || !outermost)
		sampled = !settling && sample_take(thread, drawn, shift);
	call->sampled = sampled;
	if (resizes && !sampled && !call->has_old && call->old_addr &&
	    !(cookie & COOKIE_MAY_NEST)) {
		thread->depth--;
		return 1;
	}
	return 0;
}

/* ---- return -------------------------------------------------------------------------------------- */

static __always_inline __u64 resulting_address(struct pt_regs *ctx, const struct call *call)
{
	__u64 addr = 0;

	if (call->role != ROLE_POSIX_MEMALIGN)
		return ctx->ax;
	if ((__u32)ctx->ax != 0)
		return 0;
	if (bpf_probe_read_user(&addr, sizeof(addr), (void *)call->old_addr))
		LOSE(RETURN_MISSED); /* the page is not there just now */
	return addr;
}

/* What became of the block that realloc got. Returns 1 if there is no new block to record. */
static __always_inline int settle_old_block(struct call *call, const struct proc *proc, __u64 addr)
{
	struct block_key key = { .addr = call->old_addr, .generation = proc->generation };

	if (!addr && call->size_bytes) { /* failed: the old block stays */
		if (ledger_put(&key, &call->old))
			site_freed(&call->old, proc->generation);
		return 1;
	}
	if (settling && addr) { /* nothing new is taken, but what lives goes on living */
		key.addr = addr;
		if (ledger_put(&key, &call->old))
			site_freed(&call->old, proc->generation);
		return 1;
	}
	site_freed(&call->old, proc->generation);
	return 0;
}

static __always_inline void record_block(struct pt_regs *ctx, const struct call *call,
					 const struct proc *proc, __u64 addr)
{
	struct block_key key = { .addr = addr, .generation = proc->generation };
	struct scratch *scratch = scratch_claim();
	struct site_key site_key;
	struct block block = {};
	struct site *site;

	if (!scratch)
		return;
	site = site_of_caller(ctx, scratch, proc, call->alloc_class, &site_key);
	scratch_release(scratch);
	if (!site)
		return;
	block.stack_hash = site_key.stack_hash;
	block.size_bytes = asked_bytes(call->alloc_class, call->size_bytes, proc);
	block.alloc_class = call->alloc_class;
	block.age = current_age;
	if (sample_bytes << (call->sample_shift & 31) > 1) {
		block.flags = BLOCK_SAMPLED;
		block.sample_shift = call->sample_shift;
		COUNT(sampled_blocks);
	}
	/* listed first: nobody can free it before the allocator has returned */
	if (!ledger_put(&key, &block))
		site_allocated(site, &block);
}

static __always_inline void return_from_call(struct pt_regs *ctx)
{
	struct thread *thread = current_thread(0);
	struct proc *proc;
	struct call *call;
	__u64 addr;

	if (!thread)
		return;
	COUNT(return_hits);
	if (!thread->depth)
		return;
	call = call_pop(thread, ctx->sp - 8);
	proc = call ? current_proc() : NULL;
	if (!proc)
		return;
	addr = resulting_address(ctx, call);
	if (call->has_old && settle_old_block(call, proc, addr))
		return;
	if (!addr) {
		if (call->size_bytes)
			COUNT(failed_allocs);
		return;
	}
	if (call->sampled && !settling)
		record_block(ctx, call, proc, addr);
}

TIMED_PROGRAM("uprobe", call_enter, TIMED_CALL, (enter_call(ctx, bpf_get_attach_cookie(ctx)), 0))
TIMED_PROGRAM("uretprobe", call_return, TIMED_CALL, (return_from_call(ctx), 0))
TIMED_PROGRAM("uprobe", call_session, TIMED_CALL,
	      session_returns(ctx) ? (return_from_call(ctx), 0)
				   : enter_call(ctx, bpf_get_attach_cookie(ctx)))

/* What malloc does, or the library it is in, is the allocator's business. */
static __always_inline bool called_by_allocator(const struct proc *proc, __u64 slot)
{
	__u64 caller = 0;

	if (bpf_probe_read_user(&caller, sizeof(caller), (void *)slot))
		return false;
	for (int i = 0; i < ALLOCATOR_RANGES; i++)
		if (caller >= proc->allocators[i].start && caller < proc->allocators[i].end)
			return true;
	return false;
}

/* ---- free ----------------------------------------------------------------------------------------- */

/* PyObject_Free() of a large block ends in free(), and PyObject_Realloc() may end in both: for the
 * ledger that is one event. */
static __always_inline void hand_on(__u64 addr)
{
	struct thread *thread = current_thread(BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (thread)
		thread->handed_on = addr;
}

static __always_inline bool was_handed_on(__u64 addr)
{
	struct thread *thread = current_thread(0);
	__u32 top;

	if (!thread)
		return false;
	if (thread->handed_on == addr) {
		thread->handed_on = 0;
		return true;
	}
	top = thread->depth - 1;
	wk_mask(top, PENDING_DEPTH - 1);
	return thread->depth && thread->calls[top].alloc_class == CLASS_PYTHON &&
	       thread->calls[top].old_addr == addr;
}

static __always_inline void enter_free(struct pt_regs *ctx)
{
	__u64 cookie = bpf_get_attach_cookie(ctx);
	struct block_key key = { .addr = first_argument(ctx, cookie) };
	struct block block = {};
	struct proc *proc;

	if (!key.addr || is_foreign(&proc, true))
		return;
	COUNT(free_hits);
	if (cookie & COOKIE_STEPPED)
		COUNT(stepped_hits);
	if (count_only)
		return;
	key.generation = proc->generation;
	if (proc->python.chain != PYTHON_NONE)
		python_forget_code(proc, key.addr + (proc->python.debug_extra_bytes ? DEBUG_HEAD_BYTES : 0));
	if (ledger_take(&key, &block)) {
		site_freed(&block, key.generation);
		if (COOKIE_CLASS(cookie) == CLASS_PYTHON && block.size_bytes > PYMALLOC_MAX_BYTES - 64)
			hand_on(key.addr);
		return;
	}
	/* nearly all, when sampling: what follows is about counting those that should be listed */
	if (sampling_interval() != 1 || was_handed_on(key.addr))
		return;
	/* glibc frees a thread's cache by itself when it ends */
	if (!called_by_allocator(proc, ctx->sp + 8 * COOKIE_SP_DELTA(cookie)))
		count_unmatched();
	if (COOKIE_CLASS(cookie) == CLASS_PYTHON)
		hand_on(key.addr);
}

TIMED_PROGRAM("uprobe", free_enter, TIMED_FREE, (enter_free(ctx), 0))

/* ---- regions: anonymous memory taken from the kernel by the program itself ------------------------- */

static __always_inline __u64 program_break(void)
{
	struct mm_struct *mm = bpf_get_current_task_btf()->mm;

	return mm ? mm->brk : 0;
}

static __always_inline void send_region(const struct proc *proc, struct region_record *record)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();

	record->head.type = RECORD_REGION;
	record->head.tgid = pid_tgid >> 32;
	record->head.tid = (__u32)pid_tgid;
	record->head.generation = proc->generation;
	if (bpf_ringbuf_output(&ring, record, sizeof(*record), 0))
		LOSE(RING_FULL_REGION);
}

/* munmap: known at entry; afterwards another thread may map the range again. */
static __always_inline void enter_munmap(struct pt_regs *ctx, __u64 cookie, const struct proc *proc)
{
	struct region_record record = {
		.op = REGION_UNMAP,
		.addr = reg_value(ctx, COOKIE_REG(cookie, 0)),
		.bytes = page_align(reg_value(ctx, COOKIE_REG(cookie, 1))),
	};

	if (record.bytes && !(record.addr & (PAGE_BYTES - 1))) /* else it fails */
		send_region(proc, &record);
}

static __always_inline void fill_region_call(struct pt_regs *ctx, __u64 cookie, struct call *call)
{
	__u32 role = COOKIE_ROLE(cookie);

	call->role = role;
	call->alloc_class = CLASS_MMAP;
	call->has_old = 0;
	call->old_addr = reg_value(ctx, COOKIE_REG(cookie, 0));
	call->size_bytes = reg_value(ctx, COOKIE_REG(cookie, 1));
	call->extra = reg_value(ctx, COOKIE_REG(cookie, 2));
	if (role == ROLE_MMAP) /* flags are the fourth argument: rcx, not touched before the site */
		call->extra = ctx->cx << 32 | (call->extra & PROT_MASK);
	if (role == ROLE_SBRK || role == ROLE_BRK)
		call->old_addr = program_break();
}

/*
 * pymalloc's arenas and the chunks of Python's frame stack are private mappings made by the
 * interpreter's own code (Objects/obmalloc.c _PyObject_ArenaMmap, also where it was inlined). What
 * a program maps through module mmap is shared unless it asks for MAP_PRIVATE.
 */
static __always_inline bool is_arena(struct pt_regs *ctx, __u64 cookie, const struct proc *proc,
				     __u64 slot)
{
	__u64 caller = 0;

	if (COOKIE_ROLE(cookie) != ROLE_MMAP || !proc->interpreter.end || ctx->cx & MAP_SHARED)
		return false;
	if (bpf_probe_read_user(&caller, sizeof(caller), (void *)slot))
		return false;
	return caller >= proc->interpreter.start && caller < proc->interpreter.end;
}

static __always_inline int enter_region(struct pt_regs *ctx, __u64 cookie)
{
	__u64 slot = ctx->sp + 8 * COOKIE_SP_DELTA(cookie);
	struct thread *thread;
	struct proc *proc;
	struct call *call;

	if (is_foreign(&proc, true))
		return 1;
	COUNT(map_hits);
	if (cookie & COOKIE_STEPPED)
		COUNT(stepped_hits);
	if (count_only || called_by_allocator(proc, slot) || is_arena(ctx, cookie, proc, slot))
		return 1;
	thread = current_thread(BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!thread) {
		LOSE(NO_TASK_SLOT);
		return 1;
	}
	call = call_push(ctx, thread, slot);
	if (!call)
		return 1;
	call->slot = slot;
	if (COOKIE_ROLE(cookie) == ROLE_MUNMAP) {
		thread->depth--;
		enter_munmap(ctx, cookie, proc);
		return 1;
	}
	fill_region_call(ctx, cookie, call);
	return 0;
}

/* Turns the finished call into a record. Returns 1 if it took no memory that counts. */
static __always_inline int region_result(struct pt_regs *ctx, const struct call *call,
					 struct region_record *record)
{
	__u64 result = ctx->ax, flags = call->extra >> 32;

	switch (call->role) {
	case ROLE_MMAP:
		if (result > -4096ULL)
			return 1;
		record->addr = result;
		record->bytes = page_align(call->size_bytes);
		record->op = REGION_MAP;
		if (!(flags & MAP_ANONYMOUS) || (flags & MAP_STACK) || !(call->extra & PROT_MASK))
			record->op = REGION_UNMAP; /* of what lay there, with MAP_FIXED */
		return record->op == REGION_UNMAP && !(flags & MAP_FIXED);
	case ROLE_MREMAP:
		if (result > -4096ULL)
			return 1;
		record->op = REGION_MOVE;
		record->addr = result;
		record->bytes = page_align(call->extra);
		record->old_addr = call->old_addr;
		record->old_bytes = page_align(call->size_bytes);
		return 0;
	case ROLE_SBRK:
	case ROLE_BRK:
		result = program_break();
		record->op = result > call->old_addr ? REGION_MAP : REGION_UNMAP;
		record->addr = result > call->old_addr ? call->old_addr : result;
		record->bytes = result > call->old_addr ? result - call->old_addr :
							  call->old_addr - result;
		return record->bytes == 0;
	}
	return 1;
}

/* Nothing new is taken, but what lives may move or be replaced. Returns 1 if there is nothing to send. */
static __always_inline int settle_region(struct region_record *record, const struct call *call)
{
	if (record->op == REGION_MOVE)
		record->op = REGION_REBASE;
	else if (record->op == REGION_MAP)
		record->op = REGION_UNMAP;
	return record->op == REGION_UNMAP && call->role == ROLE_MMAP &&
	       !(call->extra >> 32 & MAP_FIXED);
}

static __always_inline void return_from_region(struct pt_regs *ctx)
{
	struct thread *thread = current_thread(0);
	struct region_record record = {};
	struct site_key key = {};
	struct scratch *scratch;
	struct proc *proc;
	struct call *call;

	if (!thread || !thread->depth)
		return;
	call = call_pop(thread, ctx->sp - 8);
	proc = call ? current_proc() : NULL;
	if (!proc || region_result(ctx, call, &record))
		return;
	if (settling && settle_region(&record, call))
		return;
	if (record.op == REGION_MAP || record.op == REGION_MOVE) {
		scratch = scratch_claim();
		if (!scratch)
			return;
		site_of_caller(ctx, scratch, proc, CLASS_MMAP, &key);
		scratch_release(scratch);
	}
	record.stack_hash = key.stack_hash;
	send_region(proc, &record);
}

TIMED_PROGRAM("uprobe", region_enter, TIMED_MAP,
	      (enter_region(ctx, bpf_get_attach_cookie(ctx)), 0))
TIMED_PROGRAM("uretprobe", region_return, TIMED_MAP, (return_from_region(ctx), 0))
TIMED_PROGRAM("uprobe", region_session, TIMED_MAP,
	      session_returns(ctx) ? (return_from_region(ctx), 0)
				   : enter_region(ctx, bpf_get_attach_cookie(ctx)))

/* ---- libraries ------------------------------------------------------------------------------------ */

NO_PROGRAMS(libs_changed_none);

SEC("uprobe")
int libs_changed(struct pt_regs *ctx)
{
	struct proc *proc = current_proc();

	STAY_ON_TASK_STACK(ctx, libs_changed_none);
	if (!proc)
		return 0;
	send_process_event(proc->generation, PROCESS_LIBS_CHANGED, 0,
			   proc->flags & PROC_STOP_AT_START);
	return 0;
}

/* ---- what a hit costs here: bench and calibration --------------------------------------------------- */

SEC("uprobe")
int empty_enter(struct pt_regs *ctx)
{
	return 0;
}

SEC("uretprobe")
int empty_return(struct pt_regs *ctx)
{
	return 0;
}

SEC("uprobe")
int empty_session(struct pt_regs *ctx)
{
	return 0;
}

#endif
