/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_python_walk.c - bpf/python.bpf.h as ordinary C: chains of Python frames made by hand, one for
 * each way in which interpreters tie them to the native stack.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "../../bpf/unwind.bpf.h"
#include "base/cleanup.h"

#define STACK	0x7ffc00000000ULL
#define HEAP	0x550000001000ULL
#define WORDS	8192
#define BIAS	0x500000ULL
#define TEXT	0x1000ULL
#define CODE	(BIAS + TEXT)
#define BINARY	7
#define THREAD	HEAP /* the thread pointer: the first bytes of the heap */
#define TSTATE	(HEAP + 0x400)
#define KEY_AT	(HEAP + 0x300)
#define CODE_OBJECT(n) (0x7f0000001000ULL + (n) * 0x40)
#define TEXTS	       0x7e0000001000ULL /* names, files and line tables, 64 bytes each */

enum {
	TSS_OFFSET = 0x110,
	TSTATE_FRAME = 0x18,
	TSTATE_CFRAME = 0x30,
	TSTATE_THREAD = 0x50,
	CFRAME_FRAME = 8,
	CFRAME_PREVIOUS = 16,
	FRAME_PREVIOUS = 8,
	FRAME_CODE = 16,
	FRAME_INSTR = 32,
	FRAME_OWNER = 45,
	FRAME_ENTRY = 46,
	FRAME_SIZE = 56,
	ADAPTIVE = 0x20,
	CODE_FIRST_LINE = 16,
	CODE_NAME = 24,
	CODE_FILE = 32,
	CODE_LINES = 40,
	CODE_SIZE = 48,
	AT_C = 0x100,	 /* CFA = rsp + 16 */
	AT_EVAL = 0x200, /* CFA = rsp + 64 */
	AT_STOP = 0x300,
};

static uint64_t stack[WORDS], heap[WORDS], codes[WORDS], texts[WORDS];
static struct unwind_row rows[8];
static struct mapping map;
static struct proc proc;
static struct walker walker;
static size_t sp;	 /* next free word of the stack: it is built from the leaf on */
static uint64_t *link_from; /* where the address of the next frame goes */
static unsigned int frame_total;

static long copy_from(const uint64_t *from, uint64_t base, void *to, __u32 bytes, __u64 addr)
{
	if (addr < base || addr - base > WORDS * 8 || bytes > WORDS * 8 - (addr - base))
		return -EFAULT;
	memcpy(to, (const char *)from + (addr - base), bytes);
	return 0;
}

static long read_user(void *to, __u32 bytes, __u64 addr)
{
	if (!copy_from(stack, STACK, to, bytes, addr) ||
	    !copy_from(codes, CODE_OBJECT(0), to, bytes, addr) ||
	    !copy_from(texts, TEXTS, to, bytes, addr))
		return 0;
	return copy_from(heap, HEAP, to, bytes, addr);
}

static uint64_t *heap_word(uint64_t addr)
{
	return &heap[(addr - HEAP) / 8];
}

static void add_row(uint32_t pc, uint8_t kind, uint16_t cfa_words)
{
	rows[wk_native.shards[0].count++] =
	    (struct unwind_row){.pc = pc, .kind = kind, .cfa_off8 = cfa_words};
	map.calls.count = wk_native.shards[0].count;
}

static struct python_layout layout_of(enum python_chain chain)
{
	struct python_layout layout = {
	    .chain = chain,
	    .minor = chain == PYTHON_EVAL_RANGE	    ? 8
		     : chain == PYTHON_CFRAME_EACH  ? 10
		     : chain == PYTHON_CFRAME_ENTRY ? 11
						    : 13,
	    .tss_offset = TSS_OFFSET,
	    .tstate_frame = TSTATE_FRAME,
	    .tstate_cframe = PYTHON_OFFSET_NONE,
	    .tstate_thread_id = TSTATE_THREAD,
	    .cframe_frame = CFRAME_FRAME,
	    .cframe_previous = CFRAME_PREVIOUS,
	    .frame_bytes = FRAME_SIZE,
	    .frame_previous = FRAME_PREVIOUS,
	    .frame_code = FRAME_CODE,
	    .frame_instr = FRAME_INSTR,
	    .frame_owner = PYTHON_OFFSET_NONE,
	    .frame_entry = PYTHON_OFFSET_NONE,
	    .code_adaptive = ADAPTIVE,
	    .code_bytes = CODE_SIZE,
	    .code_first_line = CODE_FIRST_LINE,
	    .code_name = CODE_NAME,
	    .code_file = CODE_FILE,
	    .code_lines = CODE_LINES,
	    .text_state = 32,
	};

	if (chain == PYTHON_CFRAME_EACH || chain == PYTHON_CFRAME_ENTRY)
		layout.tstate_cframe = TSTATE_CFRAME;
	if (chain == PYTHON_CFRAME_ENTRY) {
		layout.tstate_frame = PYTHON_OFFSET_NONE;
		layout.frame_owner = FRAME_OWNER;
		layout.frame_entry = FRAME_ENTRY;
	}
	if (chain == PYTHON_SHIM) {
		layout.frame_owner = FRAME_OWNER;
		layout.frame_mask = 7;
	}
	if (chain == PYTHON_EVAL_RANGE) {
		layout.eval_first[0] = (uint64_t)BINARY << FRAME_PC_BITS | (TEXT + AT_EVAL);
		layout.eval_bytes[0] = 0x100;
	}
	return layout;
}

/* Code object 'n' with the text number 'text': its name, file and line table. */
static void make_code(unsigned int n, unsigned int text)
{
	uint64_t *object = &codes[n * 0x40 / 8];
	uint64_t *name = &texts[text * 64 / 8];

	object[CODE_FIRST_LINE / 8] = 10 * text;
	object[CODE_NAME / 8] = object[CODE_FILE / 8] = object[CODE_LINES / 8] = TEXTS + text * 64;
	name[2] = 5;		 /* length */
	name[3] = 7919 * text;	 /* hash */
	name[4] = PYTHON_TEXT_ASCII;
	name[6] = 0x6161 + text; /* characters */
}

static void begin(enum python_chain chain)
{
	memset(stack, 0, sizeof(stack));
	memset(heap, 0, sizeof(heap));
	memset(codes, 0, sizeof(codes));
	memset(texts, 0, sizeof(texts));
	memset(&walker, 0xa5, sizeof(walker));
	wk_native = (struct wk_native){
	    .mappings = &map, .mapping_count = 1, .read_user = read_user, .thread_pointer = THREAD};
	wk_native.shards[0].rows = rows;
	map = (struct mapping){.start = CODE,
			       .end = CODE + 0x1000,
			       .bias = BIAS,
			       .text_vaddr = TEXT,
			       .binary_id = BINARY};
	add_row(AT_C, UNWIND_RSP, 2);
	add_row(AT_EVAL, UNWIND_RSP, 8);
	add_row(AT_STOP, UNWIND_STOP, 0);
	for (unsigned int n = 1; n < 8; n++)
		make_code(n, n);
	proc = (struct proc){
	    .slice = 1, .flags = PROC_CODE_FREES, .generation = 3, .python = layout_of(chain)};
	*heap_word(THREAD + TSS_OFFSET) = TSTATE;
	link_from = heap_word(TSTATE + TSTATE_FRAME);
	sp = 0;
	frame_total = 0;
}

/* ---- building, leaf first ----------------------------------------------------------------------- */

static uint64_t stack_address(size_t word)
{
	return STACK + word * 8;
}

/* A native frame of 'words' words whose caller is the next one that is pushed. */
static void push_native(uint64_t at, size_t words)
{
	stack[sp] = CODE + at + 0x10;
	sp += words;
}

/* The frame of the evaluation function: its locals lie from the returned word on. */
static size_t push_eval(void)
{
	size_t locals = sp + 1;

	push_native(AT_EVAL, 8);
	return locals;
}

/* A frame object that executes instruction 'unit' of code object 'code'. */
static uint64_t push_frame(unsigned int code, uint32_t unit)
{
	uint64_t addr = HEAP + 0x800 + 64 * frame_total++;
	uint64_t object = CODE_OBJECT(code);

	*link_from = addr;
	link_from = heap_word(addr + FRAME_PREVIOUS);
	*heap_word(addr + FRAME_CODE) = object;
	*heap_word(addr + FRAME_INSTR) = proc.python.chain >= PYTHON_CFRAME_ENTRY
					     ? object + ADAPTIVE + 2 * unit
					 : proc.python.minor >= 10 ? unit
								   : 2 * unit;
	return addr;
}

static void set_byte(uint64_t addr, uint8_t byte)
{
	((uint8_t *)heap)[addr - HEAP] = byte;
}

/* A shim in the locals of the evaluation function whose first local is 'word'. */
static void push_shim(size_t word)
{
	*link_from = stack_address(word);
	link_from = &stack[word + FRAME_PREVIOUS / 8];
	((uint8_t *)&stack[word])[FRAME_OWNER] = PYTHON_OWNER_SHIM;
}

/* ---- checking ------------------------------------------------------------------------------------- */

static uint64_t native(uint64_t at)
{
	return (uint64_t)BINARY << FRAME_PC_BITS | (TEXT + at + 0x10 - 1);
}

static uint64_t splice(uint32_t count)
{
	return FRAME_SPLICE << FRAME_TAG_SHIFT | count;
}

static void walk(void)
{
	walk_stack_at_return(&walker, &proc, CODE + AT_C + 0x10, stack_address(0), 0);
}

static void check_natives(const uint64_t *frames, size_t count)
{
	assert_int_equal(walker.record.frame_count, count);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(walker.frames[i], frames[i]);
}
#define CHECK_NATIVES(...)                                                                         \
	do {                                                                                       \
		const uint64_t frames_[] = {__VA_ARGS__};                                          \
		check_natives(frames_, ARRAY_LEN(frames_));                                        \
	} while (0)

static void check_frame(uint32_t index, unsigned int code, uint32_t unit)
{
	assert_true(index < walker.record.python_count);
	assert_int_equal(PYTHON_RAW_CODE(walker.python.frames[index]), CODE_OBJECT(code));
	assert_int_equal(walker.python.frames[index] & FRAME_INSTR_NONE, unit);
}

/* The leaf calls through C: the address handed to walk() is in AT_C; below it lies word 0. */
static void leaf(void)
{
	sp = 1; /* CFA = rsp + 16, the return address in its upper word */
}

/* ---- tests ------------------------------------------------------------------------------------------ */

/* a <- b in one evaluation function, c in another one further out. */
static void build_two_segments_with_shims(void)
{
	size_t first, second;

	begin(PYTHON_SHIM);
	leaf();
	first = push_eval();
	push_native(AT_C, 2);
	second = push_eval();
	push_native(AT_STOP, 1);
	push_frame(1, 11);
	push_frame(2, 13);
	push_shim(first);
	push_frame(3, 17);
	push_shim(second);
}

static void shims_tell_which_native_frame_runs_which_python_frames(void **state)
{
	build_two_segments_with_shims();
	walk();
	CHECK_NATIVES(native(AT_C), native(AT_EVAL), splice(2), native(AT_C), native(AT_EVAL),
		      splice(1), native(AT_STOP));
	assert_int_equal(walker.record.end_reason, WALK_END_STOP);
	assert_int_equal(walker.record.flags, 0);
	assert_int_equal(walker.record.python_count, 3);
	check_frame(0, 1, 11);
	check_frame(1, 2, 13);
	check_frame(2, 3, 17);
	assert_int_equal(walker.python.segment_next, walker.python.segment_count);
}

static void tags_of_the_code_pointer_are_masked(void **state)
{
	build_two_segments_with_shims();
	*heap_word(*heap_word(TSTATE + TSTATE_FRAME) + FRAME_CODE) |= 1;
	walk();
	check_frame(0, 1, 11);
}

/* The code objects of build_two_segments_with_shims() are 1, 2 and 3. */
static void the_same_text_at_another_address_is_the_same_stack(void **state)
{
	uint64_t *code, *instr, hash;

	build_two_segments_with_shims();
	walk();
	hash = walker.hash;
	code = heap_word(*heap_word(TSTATE + TSTATE_FRAME) + FRAME_CODE);
	instr = heap_word(*heap_word(TSTATE + TSTATE_FRAME) + FRAME_INSTR);
	make_code(20, 1);
	*code = CODE_OBJECT(20);
	*instr += CODE_OBJECT(20) - CODE_OBJECT(1);
	walk();
	assert_int_equal(walker.hash, hash);
	make_code(21, 4);
	*code = CODE_OBJECT(21);
	*instr += CODE_OBJECT(21) - CODE_OBJECT(20);
	walk();
	assert_int_not_equal(walker.hash, hash);
}

static void another_text_at_the_same_address_is_another_stack(void **state)
{
	uint64_t hash;

	build_two_segments_with_shims();
	walk();
	hash = walker.hash;
	make_code(1, 5);
	walk();
	assert_int_equal(walker.hash, hash); /* kept: its memory was not freed */
	python_forget_code(&proc, CODE_OBJECT(1));
	walk();
	assert_int_not_equal(walker.hash, hash);
	hash = walker.hash;
	proc.flags = 0; /* where frees are not seen it is read each time */
	make_code(1, 6);
	walk();
	assert_int_not_equal(walker.hash, hash);
}

static void marks_are_of_one_process(void **state)
{
	uint64_t hash;

	build_two_segments_with_shims();
	walk();
	hash = walker.hash;
	make_code(1, 5);
	proc.generation++;
	walk();
	assert_int_not_equal(walker.hash, hash);
}

static void pointers_of_other_than_ascii_texts_do_not_count(void **state)
{
	uint64_t hash;

	build_two_segments_with_shims();
	texts[1 * 64 / 8 + 4] = 0;
	walk();
	hash = walker.hash;
	texts[1 * 64 / 8 + 6] ^= 0x1000;
	python_forget_code(&proc, CODE_OBJECT(1));
	walk();
	assert_int_not_equal(walker.hash, hash); /* the line table is of bytes, and the same memory */
	codes[0x40 / 8 + CODE_LINES / 8] = TEXTS + 64 * 64;
	python_forget_code(&proc, CODE_OBJECT(1));
	walk();
	hash = walker.hash;
	texts[1 * 64 / 8 + 6] ^= 0x1000;
	python_forget_code(&proc, CODE_OBJECT(1));
	walk();
	assert_int_equal(walker.hash, hash);
}

static void recursion_without_end_is_cut_where_it_runs(void **state)
{
	uint64_t frame;
	size_t first;

	begin(PYTHON_CFRAME_ENTRY);
	leaf();
	first = push_eval();
	push_native(AT_STOP, 1);
	*heap_word(TSTATE + TSTATE_CFRAME) = stack_address(first);
	link_from = &stack[first + CFRAME_FRAME / 8];
	frame = push_frame(1, 59);
	*link_from = frame; /* its own caller, never an entry */
	walk();
	CHECK_NATIVES(native(AT_C), native(AT_EVAL), splice(PYTHON_MAX_FRAMES));
	assert_int_equal(walker.record.flags, STACK_TRUNCATED | STACK_PYTHON_CUT);
}

static void the_hash_holds_every_instruction_and_place(void **state)
{
	uint64_t hash;

	build_two_segments_with_shims();
	walk();
	hash = walker.hash;
	*heap_word(*heap_word(TSTATE + TSTATE_FRAME) + FRAME_INSTR) += 2;
	walk();
	assert_int_not_equal(walker.hash, hash);
}

static void cframes_hold_one_frame_each(void **state)
{
	size_t first, second;

	begin(PYTHON_CFRAME_EACH);
	leaf();
	first = push_eval();
	push_native(AT_C, 2);
	second = push_eval();
	push_native(AT_STOP, 1);
	push_frame(1, 19);
	push_frame(2, 23);
	*heap_word(TSTATE + TSTATE_CFRAME) = stack_address(first);
	stack[first + CFRAME_PREVIOUS / 8] = stack_address(second);
	stack[second + CFRAME_PREVIOUS / 8] = TSTATE + 0x100;
	walk();
	CHECK_NATIVES(native(AT_C), native(AT_EVAL), splice(1), native(AT_C), native(AT_EVAL),
		      splice(1), native(AT_STOP));
	check_frame(0, 1, 19);
	check_frame(1, 2, 23);
}

static void cframes_end_at_entry_frames(void **state)
{
	uint64_t cframe, entry;
	size_t first, second;

	begin(PYTHON_CFRAME_ENTRY);
	leaf();
	first = push_eval();
	second = push_eval();
	push_native(AT_STOP, 1);
	cframe = stack_address(first);
	*heap_word(TSTATE + TSTATE_CFRAME) = cframe;
	link_from = &stack[first + CFRAME_FRAME / 8];
	stack[first + CFRAME_PREVIOUS / 8] = stack_address(second);
	push_frame(1, 29);
	push_frame(2, 31);
	entry = push_frame(3, 37);
	set_byte(entry + FRAME_ENTRY, 1);
	entry = push_frame(4, 41);
	set_byte(entry + FRAME_ENTRY, 1);
	walk();
	CHECK_NATIVES(native(AT_C), native(AT_EVAL), splice(3), native(AT_EVAL), splice(1),
		      native(AT_STOP));
	check_frame(2, 3, 37);
	check_frame(3, 4, 41);
}

static void before_3_10_the_pc_tells(void **state)
{
	begin(PYTHON_EVAL_RANGE);
	leaf();
	push_eval();
	push_native(AT_C, 2);
	push_eval();
	push_native(AT_STOP, 1);
	push_frame(1, 43);
	push_frame(2, 47);
	*heap_word(HEAP + 0x800 + 64 + FRAME_INSTR) = (uint32_t)-1; /* not begun */
	walk();
	CHECK_NATIVES(native(AT_C), native(AT_EVAL), splice(1), native(AT_C), native(AT_EVAL),
		      splice(1), native(AT_STOP));
	check_frame(0, 1, 43);
	check_frame(1, 2, FRAME_INSTR_NONE);
}

static void frames_of_no_native_one_are_kept_behind(void **state)
{
	begin(PYTHON_EVAL_RANGE);
	leaf();
	push_native(AT_STOP, 1);
	push_frame(1, 53);
	walk();
	CHECK_NATIVES(native(AT_C), native(AT_STOP));
	assert_int_equal(walker.record.python_count, 1);
	assert_int_equal(walker.python.segment_next, 0);
}

static void threads_without_state_have_no_python_frames(void **state)
{
	build_two_segments_with_shims();
	*heap_word(THREAD + TSS_OFFSET) = 0;
	walk();
	assert_int_equal(walker.record.python_count, 0);
	CHECK_NATIVES(native(AT_C), native(AT_EVAL), native(AT_C), native(AT_EVAL),
		      native(AT_STOP));
}

static void keys_are_read_until_they_are_known(void **state)
{
	build_two_segments_with_shims();
	proc.python.key_addr = KEY_AT;
	proc.python.tss_stride = 16;
	proc.python.tss_offset = TSS_OFFSET - 3 * 16;
	walk();
	assert_int_equal(walker.record.python_count, 0); /* not made yet */
	*heap_word(KEY_AT) = 1ULL | 3ULL << 32;
	walk();
	assert_int_equal(walker.record.python_count, 3);
	*heap_word(KEY_AT) = 1ULL | 4000ULL << 32;
	walk();
	assert_int_equal(walker.record.python_count, 0);
	proc.python.minor = 6; /* an int, -1 at first */
	*heap_word(KEY_AT) = 3;
	walk();
	assert_int_equal(walker.record.python_count, 3);
	*heap_word(KEY_AT) = 0xffffffff;
	walk();
	assert_int_equal(walker.record.python_count, 0);
}

static void the_slot_may_be_behind_a_pointer(void **state)
{
	build_two_segments_with_shims();
	proc.python.tss_indirect = 1;
	proc.python.tss_second = 8 * 5;
	*heap_word(THREAD + TSS_OFFSET) = HEAP + 0x200;
	*heap_word(HEAP + 0x200 + 8 * 5) = TSTATE;
	walk();
	assert_int_equal(walker.record.python_count, 3);
}

static void another_interpreter_of_this_thread_is_found(void **state)
{
	uint64_t other = HEAP + 0x600;

	build_two_segments_with_shims();
	*heap_word(other + TSTATE_FRAME) = *heap_word(TSTATE + TSTATE_FRAME);
	*heap_word(TSTATE + TSTATE_FRAME) = 0;
	*heap_word(KEY_AT) = other;
	proc.python.current_tstate = KEY_AT;
	*heap_word(other + TSTATE_THREAD) = THREAD + 8; /* of another thread */
	walk();
	assert_int_equal(walker.record.python_count, 0);
	*heap_word(other + TSTATE_THREAD) = THREAD;
	walk();
	assert_int_equal(walker.record.python_count, 3);
}

static void recursion_is_cut_at_the_limit(void **state)
{
	begin(PYTHON_SHIM);
	leaf();
	push_eval();
	push_native(AT_STOP, 1);
	push_frame(1, 59);
	/* the frame is its own caller: as deep as one looks */
	*link_from = *heap_word(TSTATE + TSTATE_FRAME);
	walk();
	assert_int_equal(walker.record.python_count, PYTHON_MAX_FRAMES);
	assert_true(walker.record.flags & STACK_PYTHON_CUT);
}

/* One segment of 'count' frames, another one further out. */
static void build_deep_segment(unsigned int count, unsigned int outermost)
{
	size_t first, second;

	begin(PYTHON_SHIM);
	leaf();
	first = push_eval();
	second = push_eval();
	push_native(AT_STOP, 1);
	for (unsigned int i = 1; i < count; i++)
		push_frame(1, 61);
	push_frame(outermost, 67);
	push_shim(first);
	push_frame(3, 71);
	push_shim(second);
}

static void beyond_the_limit_nothing_further_out_is_shown(void **state)
{
	uint64_t hash;

	build_deep_segment(PYTHON_MAX_FRAMES + 1, 2);
	walk();
	hash = walker.hash;
	CHECK_NATIVES(native(AT_C), native(AT_EVAL), splice(PYTHON_MAX_FRAMES));
	assert_int_equal(walker.record.end_reason, WALK_END_DEPTH);
	assert_int_equal(walker.record.flags, STACK_TRUNCATED | STACK_PYTHON_CUT);
	assert_int_equal(walker.record.python_count, PYTHON_MAX_FRAMES);
	build_deep_segment(PYTHON_MAX_FRAMES + 7, 2);
	walk();
	CHECK_NATIVES(native(AT_C), native(AT_EVAL), splice(PYTHON_MAX_FRAMES));
	assert_int_equal(walker.hash, hash); /* what is cut off does not tell stacks apart */
}

static void unreadable_frames_end_the_chain(void **state)
{
	build_two_segments_with_shims();
	*heap_word(*heap_word(TSTATE + TSTATE_FRAME) + FRAME_PREVIOUS) = 0x1000;
	walk();
	assert_int_equal(walker.record.python_count, 1);
	assert_true(walker.python.unread);
	*heap_word(*heap_word(TSTATE + TSTATE_FRAME) + FRAME_PREVIOUS) = HEAP + 0x801;
	walk();
	assert_true(walker.python.unread);
	*heap_word(TSTATE + TSTATE_FRAME) = 0x1000;
	*heap_word(TSTATE + TSTATE_THREAD) = THREAD;
	walk();
	assert_int_equal(walker.record.python_count, 0);
	assert_true(walker.python.unread);
	*heap_word(TSTATE + TSTATE_THREAD) = 0x4141414141414141; /* what was a thread state */
	walk();
	assert_false(walker.python.unread);
	*heap_word(TSTATE + TSTATE_THREAD) = THREAD;
	walk();
	assert_true(walker.python.unread);
	proc.python.chain = PYTHON_NONE; /* the walker serves other processes as well */
	walk();
	assert_false(walker.python.unread);
}

static void frames_across_pages_are_read(void **state)
{
	build_two_segments_with_shims();
	/* 0x550000001000 + 0x2fd8: 40 bytes before the end of a page */
	memcpy(heap_word(HEAP + 0x2fd8), heap_word(HEAP + 0x800), FRAME_SIZE);
	*heap_word(TSTATE + TSTATE_FRAME) = HEAP + 0x2fd8;
	walk();
	assert_int_equal(walker.record.python_count, 3);
	check_frame(0, 1, 11);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(shims_tell_which_native_frame_runs_which_python_frames),
	    cmocka_unit_test(tags_of_the_code_pointer_are_masked),
	    cmocka_unit_test(the_same_text_at_another_address_is_the_same_stack),
	    cmocka_unit_test(another_text_at_the_same_address_is_another_stack),
	    cmocka_unit_test(marks_are_of_one_process),
	    cmocka_unit_test(pointers_of_other_than_ascii_texts_do_not_count),
	    cmocka_unit_test(recursion_without_end_is_cut_where_it_runs),
	    cmocka_unit_test(the_hash_holds_every_instruction_and_place),
	    cmocka_unit_test(cframes_hold_one_frame_each),
	    cmocka_unit_test(cframes_end_at_entry_frames),
	    cmocka_unit_test(before_3_10_the_pc_tells),
	    cmocka_unit_test(frames_of_no_native_one_are_kept_behind),
	    cmocka_unit_test(threads_without_state_have_no_python_frames),
	    cmocka_unit_test(keys_are_read_until_they_are_known),
	    cmocka_unit_test(the_slot_may_be_behind_a_pointer),
	    cmocka_unit_test(another_interpreter_of_this_thread_is_found),
	    cmocka_unit_test(recursion_is_cut_at_the_limit),
	    cmocka_unit_test(beyond_the_limit_nothing_further_out_is_shown),
	    cmocka_unit_test(unreadable_frames_end_the_chain),
	    cmocka_unit_test(frames_across_pages_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
