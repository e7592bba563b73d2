/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * python.bpf.h - the Python frames of the current thread, and where among the native ones they belong.
 *
 *	python_collect(p, proc, sp)	takes the whole chain, leaf first, before the native walk
 *	python_belongs(p, ...)		does the native frame just walked execute the next of them?
 *
 * One native frame of _PyEval_EvalFrameDefault executes a run of Python frames, here called a
 * segment. It keeps something on its own stack that the chain leads to: a struct _PyCFrame (3.10 to
 * 3.12) or the shim frame below its outermost frame (3.12 to 3.14). Whoever's stack holds that
 * anchor executes the segment, so that neither symbols nor inlining matter. Before 3.10 there is no
 * such thing: there each frame is a segment, and the function is known by its address.
 *
 * The chain is read a page at a time. So is the native stack, of which both walks keep the same
 * pages: each read of user memory takes 70 ns, whether of 8 bytes or of 2048. Part of
 * unwind.bpf.h, which brings the wk_ functions; compiles natively as well.
 */
#ifndef SEEP_PYTHON_BPF_H
#define SEEP_PYTHON_BPF_H

#define PYTHON_STEPS_MAX   4096 /* frames looked at for the end of a segment that was cut */
#define PYTHON_PAGE_BYTES  4096
#define PYTHON_KEPT_PAGES  4 /* of frames and of the native stack, a power of two */
#define STACK_NO_PAGE	   ~0ULL
#define PYTHON_KEPT_BYTES  (PYTHON_KEPT_PAGES * PYTHON_PAGE_BYTES)
#define PYTHON_STACK_BYTES (16 << 20) /* so near to the stack pointer it is the native stack */
#define PYTHON_KEYS_INLINE 32	      /* thread-specific slots within glibc's struct pthread */
#define PYTHON_KEYS_MAX	   1024
#define PYTHON_TEXT_BYTES  64	     /* of a str or bytes object are looked at */
#define PYTHON_TEXT_ASCII  (1 << 6) /* of its state */
#define PYTHON_MARK_SEED   0x5EEDC0DE5EEDC0DEULL

/* A frame as collected: the code object's address is a multiple of 16 below 2^47. */
#define PYTHON_RAW_FLAG	     (1ULL << 63)
#define PYTHON_RAW_CODE(raw) (((raw) & ~PYTHON_RAW_FLAG) >> FRAME_INSTR_BITS << 4)

struct python_page {
	__u64 addr;
	__u32 bytes; /* valid in 'words' */
	__u32 pad;
	__u64 words[(PYTHON_PAGE_BYTES + 2 * PYTHON_FRAME_BYTES) / sizeof(__u64)];
};

/* Pages of the native stack, for both walks. What lies at an address is in 'words' at the lowest
 * bits of that, while its page is the one kept there. (Words, because the compiler takes bytes one by
 * one where it knows of no alignment.) */
struct stack_pages {
	__u64 pages[PYTHON_KEPT_PAGES]; /* their addresses / PYTHON_PAGE_BYTES */
	__u64 words[PYTHON_KEPT_BYTES / sizeof(__u64)];
};

struct python_segment {
	__u64 anchor; /* on the native stack; 0 before 3.10 */
	__u32 count;  /* of its frames */
	__u32 pad;
};

struct python_walk {
	__u64 frame;   /* to be looked at next, 0: none */
	__u64 cframe;  /* struct _PyCFrame of the current segment */
	__u64 near_sp; /* a native stack pointer */
	__u64 hash;
	__u64 anchor; /* of the segment that is to be matched next; 0: none has one */
	__u32 count;  /* frames taken */
	__u32 segment_first; /* first frame of the current segment */
	__u32 segment_count;
	__u32 segment_next; /* to be matched */
	__u8 cut;	    /* there are more frames than were taken */
	__u8 unread;	    /* the chain could not be read to its end */
	/* of frames: coroutines have theirs elsewhere than functions, and they alternate */
	struct python_page pages[PYTHON_KEPT_PAGES];
	struct stack_pages stack;
	__u64 code[2 * PYTHON_CODE_BYTES / sizeof(__u64)]; /* a code object, or a text of one */
	struct python_segment segments[PYTHON_MAX_FRAMES];
	__u64 frames[PYTHON_MAX_FRAMES]; /* PYTHON_RAW_FLAG | code >> 4 | instruction */
};

_Static_assert((PYTHON_MAX_FRAMES & (PYTHON_MAX_FRAMES - 1)) == 0, "frame indices are masked");

/* ---- the native stack ---------------------------------------------------------------------------- */

static __always_inline void stack_forget(struct stack_pages *stack)
{
	for (int i = 0; i < PYTHON_KEPT_PAGES; i++)
		stack->pages[i] = STACK_NO_PAGE;
}

/* Makes a page readable. Returns 0 or -1. */
static __always_inline int stack_keep(struct stack_pages *stack, __u64 page)
{
	__u32 index = page;

	wk_mask(index, PYTHON_KEPT_PAGES - 1);
	stack->pages[index] = STACK_NO_PAGE;
	if (wk_read_user(stack->words + index * (PYTHON_PAGE_BYTES / sizeof(__u64)),
			 PYTHON_PAGE_BYTES, page * PYTHON_PAGE_BYTES))
		return -1;
	stack->pages[index] = page;
	return 0;
}

/* The eight bytes at 'addr'. Returns 0, -1 if they are not readable. */
static __always_inline int stack_word(struct stack_pages *stack, __u64 addr, __u64 *word)
{
	__u64 page = addr / PYTHON_PAGE_BYTES, at = addr / sizeof(*word);
	__u32 index = page;

	wk_mask(index, PYTHON_KEPT_PAGES - 1);
	if (addr % sizeof(*word) || (stack->pages[index] != page && stack_keep(stack, page)))
		return wk_read_user(word, sizeof(*word), addr) ? -1 : 0;
	wk_mask(at, PYTHON_KEPT_BYTES / sizeof(*word) - 1);
	*word = stack->words[at];
	return 0;
}

/* ---- the thread's state ------------------------------------------------------------------------- */

static __always_inline __u64 python_read_word(__u64 addr)
{
	__u64 word = 0;

	return wk_read_user(&word, sizeof(word), addr) ? 0 : word;
}

/* The thread-specific key that the interpreter makes when it starts; -1 while there is none. */
static __always_inline __s64 python_read_key(const struct python_layout *layout)
{
	__u32 words[2] = {0, 0};

	if (wk_read_user(words, sizeof(words), layout->key_addr))
		return -1;
	if (layout->minor <= 6)
		return (__s32)words[0];
	return words[0] ? (__s32)words[1] : -1;
}

/* Where PyGILState_GetThisThreadState() looks, with and without the GIL (Python/pystate.c). */
static __always_inline __u64 python_thread_state(const struct python_layout *layout)
{
	__u64 offset = layout->tss_offset, second = layout->tss_second, fs = wk_thread_pointer();
	__u64 state, other;

	if (layout->key_addr) {
		__s64 key = python_read_key(layout);

		if (key < 0 || key >= (layout->tss_indirect ? PYTHON_KEYS_MAX : PYTHON_KEYS_INLINE))
			return 0;
		if (layout->tss_indirect)
			second += key * layout->tss_stride;
		else
			offset += key * layout->tss_stride;
	}
	state = python_read_word(fs + offset);
	if (layout->tss_indirect && state)
		state = python_read_word(state + second);
	if (!layout->current_tstate)
		return state;
	/* the key keeps the thread's first state; in another interpreter it runs with another one */
	other = python_read_word(layout->current_tstate);
	if (other && other != state && python_read_word(other + layout->tstate_thread_id) == fs)
		return other;
	return state;
}

/* ---- the chain ------------------------------------------------------------------------------------ */

/* Makes the frame at 'addr' readable. Returns where it begins in the page's data, or -1. */
static __always_inline __s32 python_load(struct python_page *page, __u64 addr, __u32 bytes)
{
	__u64 at = addr - page->addr;
	__u64 from = addr & ~(PYTHON_PAGE_BYTES - 1ULL);
	__u32 length = PYTHON_PAGE_BYTES;

	if (at < PYTHON_PAGE_BYTES && at + bytes <= page->bytes)
		return at;
	if (addr - from + bytes > PYTHON_PAGE_BYTES) {
		from = addr;
		length = bytes;
	}
	wk_mask(length, 2 * PYTHON_PAGE_BYTES - 1);
	if (length > PYTHON_PAGE_BYTES)
		return -1;
	page->bytes = 0;
	if (wk_read_user(page->words, length, from))
		return -1;
	page->addr = from;
	page->bytes = length;
	return addr - from;
}

/* What lies 'offset' bytes into the frame at 'at', a multiple of 8: the word, or what is left of it.
 * Offsets are the layout's: what it lacks it must not ask for. */
static __always_inline __u64 python_word(const struct python_page *page, __u32 at, __u32 offset)
{
	__u32 shift = offset % sizeof(__u64) * 8;

	wk_mask(offset, PYTHON_FRAME_BYTES - 1);
	at = (at + offset) / sizeof(__u64);
	wk_mask(at, 2 * PYTHON_PAGE_BYTES / sizeof(__u64) - 1);
	if (at >= sizeof(page->words) / sizeof(__u64))
		return 0;
	return page->words[at] >> shift;
}

/* Of the current struct _PyCFrame: on the native stack, but for the thread's own one. 0: it cannot
 * be read. */
static __always_inline __u64 python_cframe_word(struct python_walk *p, __u32 offset)
{
	__u64 addr = p->cframe + offset, word = 0;

	if (addr - p->near_sp >= PYTHON_STACK_BYTES)
		return python_read_word(addr);
	return stack_word(&p->stack, addr, &word) ? 0 : word;
}

/* The frames since the last segment are one, executed by the native frame that holds 'anchor'. */
static __always_inline void python_end_segment(struct python_walk *p, __u64 anchor)
{
	__u32 index = p->segment_count;

	if (index >= PYTHON_MAX_FRAMES)
		return;
	wk_mask(index, PYTHON_MAX_FRAMES - 1);
	p->segments[index].anchor = anchor;
	p->segments[index].count = p->count - p->segment_first;
	p->segment_first = p->count;
	p->segment_count = index + 1;
}

static __always_inline void python_end_cframe(struct python_walk *p,
					      const struct python_layout *layout)
{
	python_end_segment(p, p->cframe);
	p->cframe = p->cframe ? python_cframe_word(p, layout->cframe_previous) : 0;
}

/* In code units, as in struct code_record. */
static __always_inline __u32 python_instruction(const struct python_layout *layout, __u64 code,
						__u64 word)
{
	__s32 last = (__s32)word;

	if (layout->chain >= PYTHON_CFRAME_ENTRY)
		return ((word - code - layout->code_adaptive) >> 1) & FRAME_INSTR_NONE;
	if (last < 0)
		return FRAME_INSTR_NONE;
	return (layout->minor >= 10 ? last : last >> 1) & FRAME_INSTR_NONE;
}

/* ---- code objects ------------------------------------------------------------------------------- */

static __always_inline __u64 python_mix(__u64 hash, __u64 value)
{
	hash = (hash ^ value) * 0x9E3779B97F4A7C15ULL;
	return hash ^ hash >> 29;
}

static __always_inline __u64 python_code_word(const struct python_walk *p, __u32 offset)
{
	__u32 at = offset / sizeof(__u64);

	wk_mask(at, PYTHON_CODE_BYTES / sizeof(__u64) - 1);
	return p->code[at] >> offset % sizeof(__u64) * 8;
}

/*
 * Mixes in a str or bytes object: length, hash, first characters (Include/cpython/unicodeobject.h,
 * bytesobject.h). A str that is not ASCII has pointers where others have their first characters.
 */
static __always_inline __u64 python_mix_text(struct python_walk *p,
					     const struct python_layout *layout, __u64 hash,
					     __u64 addr, bool is_str)
{
	if (wk_read_user(p->code, PYTHON_TEXT_BYTES, addr))
		return python_mix(hash, addr);
	hash = python_mix(hash, p->code[2]); /* length */
	hash = python_mix(hash, p->code[3]); /* hash, or -1 */
	if (is_str && !(python_code_word(p, layout->text_state) & PYTHON_TEXT_ASCII))
		return hash;
	hash = python_mix(hash, p->code[6]);
	return python_mix(hash, p->code[7]);
}

/* What the code object at 'code' holds, in one number: its address if it cannot be read. */
static __always_inline __u64 python_read_mark(struct python_walk *p,
					      const struct python_layout *layout, __u64 code)
{
	__u64 name, file, lines, hash = PYTHON_MARK_SEED;
	__u32 bytes = layout->code_bytes;

	wk_mask(bytes, PYTHON_CODE_BYTES - 1);
	if (wk_read_user(p->code, bytes, code))
		return code;
	hash = python_mix(hash, (__u32)python_code_word(p, layout->code_first_line));
	name = python_code_word(p, layout->code_name);
	file = python_code_word(p, layout->code_file);
	lines = python_code_word(p, layout->code_lines);
	hash = python_mix_text(p, layout, hash, name, true);
	hash = python_mix_text(p, layout, hash, file, true);
	return python_mix_text(p, layout, hash, lines, false);
}

static __always_inline __u64 python_code_tag(__u64 code, __u32 generation)
{
	return code * 0x9E3779B97F4A7C15ULL + generation;
}

static __always_inline struct code_mark *python_mark_of(__u64 tag)
{
	return wk_code_mark((tag ^ tag >> 32) & (CODE_MARKS_MAX - 1));
}

/*
 * The mark of a code object, kept while its memory is in use. Where its free would not be seen, it is
 * read each time: another object may lie there by now. Global: the verifier looks at it once.
 */
wk_global __u64 python_code_mark(struct python_walk *p, const struct proc *proc, __u64 code)
{
	struct code_mark *known;
	__u64 tag, mark;

	if (!p || !proc)
		return code;
	tag = python_code_tag(code, proc->generation);
	known = python_mark_of(tag);
	if (known && proc->flags & PROC_CODE_FREES) {
		mark = *(volatile __u64 *)&known->mark;
		if ((*(volatile __u64 *)&known->check ^ mark) == tag)
			return mark;
	}
	mark = python_read_mark(p, &proc->python, code);
	if (known) {
		*(volatile __u64 *)&known->mark = mark;
		*(volatile __u64 *)&known->check = tag ^ mark;
	}
	return mark;
}

/* The block at 'addr' is freed: it may have been a code object. */
static __always_inline void python_forget_code(const struct proc *proc, __u64 addr)
{
	__u64 tag = python_code_tag(addr, proc->generation);
	struct code_mark *known = python_mark_of(tag);

	if (known && (known->check ^ known->mark) == tag)
		known->check = 0;
}

/* Returns whether there was room. */
static __always_inline bool python_push(struct python_walk *p, const struct proc *proc, __u64 code,
					__u32 instruction)
{
	__u32 count = p->count;

	if (count >= PYTHON_MAX_FRAMES) {
		p->cut = 1;
		return false;
	}
	p->count = count + 1;
	wk_mask(count, PYTHON_MAX_FRAMES - 1);
	p->frames[count] = PYTHON_RAW_FLAG | (code >> 4) << FRAME_INSTR_BITS | instruction;
	p->hash = python_mix(p->hash, python_code_mark(p, proc, code) + instruction);
	return true;
}

/* The frame is in the page. Returns 1 when nothing is left to look at. */
static __always_inline int python_take(struct python_walk *p, const struct proc *proc,
				       const struct python_page *page, __u32 at)
{
	const struct python_layout *layout = &proc->python;
	__u64 here = p->frame, code, word;
	__u8 owner = 0, entry = 0;
	bool fits;

	p->frame = python_word(page, at, layout->frame_previous);
	if (layout->frame_owner != PYTHON_OFFSET_NONE)
		owner = python_word(page, at, layout->frame_owner);
	if (layout->chain == PYTHON_SHIM && owner >= PYTHON_OWNER_SHIM) {
		python_end_segment(p, here);
		return p->cut;
	}
	code = python_word(page, at, layout->frame_code) & ~(__u64)layout->frame_mask;
	word = python_word(page, at, layout->frame_instr);
	if (layout->chain == PYTHON_CFRAME_ENTRY)
		entry = python_word(page, at, layout->frame_entry);
	fits = python_push(p, proc, code, python_instruction(layout, code, word));
	if (layout->chain == PYTHON_SHIM)
		return 0; /* also when it was cut: the shim comes last */
	if (!fits && layout->chain != PYTHON_CFRAME_ENTRY)
		return 1;
	if (fits && layout->chain == PYTHON_CFRAME_ENTRY && !entry)
		return 0;
	if (layout->chain == PYTHON_EVAL_RANGE)
		python_end_segment(p, 0);
	else
		python_end_cframe(p, layout);
	return p->cut;
}

/*
 * A shim frame lies on the native stack, of which the native walk needs the same pages. Returns
 * whether the current frame is one there, which is then taken.
 */
static __always_inline bool python_take_shim(struct python_walk *p,
					     const struct python_layout *layout)
{
	__u64 here = p->frame, owner = 0, previous = 0;
	__u32 offset = layout->frame_owner;

	if (layout->chain != PYTHON_SHIM || here - p->near_sp >= PYTHON_STACK_BYTES ||
	    stack_word(&p->stack, here + offset / sizeof(owner) * sizeof(owner), &owner) ||
	    (__u8)(owner >> offset % sizeof(owner) * 8) < PYTHON_OWNER_SHIM ||
	    stack_word(&p->stack, here + layout->frame_previous, &previous))
		return false;
	p->frame = previous;
	python_end_segment(p, here);
	return true;
}

struct python_context {
	struct python_walk *p;
	const struct proc *proc;
};

static long python_next(__u32 index, struct python_context *context)
{
	const struct python_layout *layout = &context->proc->python;
	struct python_walk *p = context->p;
	__u32 bytes = layout->frame_bytes, slot;
	struct python_page *page;
	__s32 at;

	if (!p->frame)
		return 1;
	if (python_take_shim(p, layout))
		return p->cut ? 1 : 0;
	wk_mask(bytes, 2 * PYTHON_FRAME_BYTES - 1);
	if (bytes > PYTHON_FRAME_BYTES)
		return 1;
	slot = p->frame / PYTHON_PAGE_BYTES;
	wk_mask(slot, PYTHON_KEPT_PAGES - 1);
	page = &p->pages[slot];
	at = python_load(page, p->frame, bytes);
	if (p->frame & 7 || at < 0) {
		p->unread = 1;
		return 1;
	}
	return python_take(p, context->proc, page, at) ? 1 : 0;
}

static __always_inline void python_reset(struct python_walk *p, __u64 sp)
{
	p->near_sp = sp;
	p->hash = 0;
	p->anchor = 0;
	p->frame = 0;
	p->cframe = 0;
	p->count = 0;
	p->segment_first = 0;
	p->segment_count = 0;
	p->segment_next = 0;
	p->cut = 0;
	p->unread = 0;
	for (int i = 0; i < PYTHON_KEPT_PAGES; i++)
		p->pages[i].bytes = 0;
}

/* Takes the chain of the current thread. 'sp' is its stack pointer. Global: looked at once. */
wk_global int python_collect(struct python_walk *p, const struct proc *proc, __u64 sp)
{
	struct python_context context = {.p = p, .proc = proc};
	const struct python_layout *layout;
	__u64 state;

	if (!p || !proc)
		return -1;
	layout = &proc->python;
	python_reset(p, sp);
	state = python_thread_state(layout);
	if (!state)
		return 0;
	if (layout->tstate_cframe != PYTHON_OFFSET_NONE)
		p->cframe = python_read_word(state + layout->tstate_cframe);
	if (layout->tstate_frame != PYTHON_OFFSET_NONE)
		p->frame = python_read_word(state + layout->tstate_frame);
	else if (p->cframe)
		p->frame = python_cframe_word(p, layout->cframe_frame);
	wk_loop(PYTHON_STEPS_MAX, python_next, &context);
	/* after Py_Finalize() the slot leads to memory that was given back: nothing is missing there */
	if (p->unread && !p->count &&
	    python_read_word(state + layout->tstate_thread_id) != wk_thread_pointer())
		p->unread = 0;
	if (p->segment_count)
		p->anchor = p->segments[0].anchor;
	return 0;
}

/* ---- matching ------------------------------------------------------------------------------------- */

static __always_inline bool python_in_eval(const struct python_layout *layout, __u64 frame)
{
	return frame - layout->eval_first[0] < layout->eval_bytes[0] ||
	       frame - layout->eval_first[1] < layout->eval_bytes[1];
}

/*
 * Does the native frame 'frame', which lies on the stack from 'sp' up to 'cfa', execute the next
 * segment?
 */
static __always_inline bool python_belongs(const struct python_walk *p,
					   const struct python_layout *layout, __u64 frame,
					   __u64 sp, __u64 cfa)
{
	if (p->segment_next >= p->segment_count)
		return false;
	if (layout->chain == PYTHON_EVAL_RANGE)
		return python_in_eval(layout, frame);
	return p->anchor - sp < cfa - sp;
}

/* Goes on to the next segment. Returns how many frames this one has. */
static __always_inline __u32 python_pass(struct python_walk *p)
{
	__u32 index = p->segment_next, count;

	wk_mask(index, PYTHON_MAX_FRAMES - 1);
	count = p->segments[index].count;
	p->segment_next = ++index;
	if (index < p->segment_count && index < PYTHON_MAX_FRAMES) {
		wk_mask(index, PYTHON_MAX_FRAMES - 1);
		p->anchor = p->segments[index].anchor;
	}
	return count;
}

/* Nothing further out than the last segment is to be shown, because frames are missing there. */
static __always_inline bool python_ends_walk(const struct python_walk *p)
{
	return p->cut && p->segment_next >= p->segment_count;
}

#endif
