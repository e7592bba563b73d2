/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_unwind.c - bpf/unwind.bpf.h as ordinary C: on stacks made by hand, one per rule and per end,
 * and on stopped processes with libdwfl as judge.
 */
#include <elfutils/libdwfl.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "../../bpf/unwind.bpf.h"
#include "base/cleanup.h"
#include "base/vec.h"
#include "elf/elf_file.h"
#include "target/proc_maps.h"
#include "unit/compile.h"
#include "unwind/cfi.h"

static struct walker walker;

/* ---- stacks by hand -------------------------------------------------------------------------- */

#define STACK_WORDS 4096
#define STACK	    0x7ffc00000f10ULL /* 0xf0 bytes before the end of a page */
#define BIAS	    0x500000ULL
#define TEXT	    0x1000ULL /* ELF address */
#define CODE	    (BIAS + TEXT)
#define CODE_BYTES  0x1000
#define JIT	    0x700000ULL
#define BINARY	    7
#define TRAMPOLINE  0x7fffffffe000ULL

#define STACK_END   ((STACK + STACK_WORDS * 8 + 4095) & ~4095ULL) /* of its last page */

static uint64_t stack[STACK_WORDS];
static struct unwind_row rows[64];
static struct mapping maps[2];
static struct proc proc;
static unsigned int read_count;

static long read_stack(void *to, __u32 bytes, __u64 addr)
{
	uint64_t first = STACK & ~4095ULL, last = STACK_END;

	read_count++;
	if (addr < first || addr > last || bytes > last - addr)
		return -EFAULT;
	/* whole pages are there, as with a real one; zeros around the stack */
	for (__u32 i = 0; i < bytes; i++) {
		uint64_t at = addr + i - STACK;

		((char *)to)[i] = at < sizeof(stack) ? ((char *)stack)[at] : 0;
	}
	return 0;
}

static uint64_t slot_address(size_t word)
{
	return STACK + word * 8;
}

static void add_row(struct unwind_row row)
{
	__u32 count = wk_native.shards[0].count++;

	rows[count] = row;
	maps[0].calls.count = maps[0].full.count = count + 1;
}

/* One binary with an empty table, and just-in-time compiled code behind it. */
static int begin(void **state)
{
	memset(stack, 0, sizeof(stack));
	memset(&walker, 0xa5, sizeof(walker)); /* leftovers of another walk */
	wk_native = (struct wk_native){.mappings = maps, .mapping_count = 2};
	wk_native.shards[0].rows = rows;
	wk_native.read_user = read_stack;
	maps[0] = (struct mapping){.start = CODE,
				   .end = CODE + CODE_BYTES,
				   .bias = BIAS,
				   .text_vaddr = TEXT,
				   .binary_id = BINARY};
	maps[1] = (struct mapping){.start = JIT, .end = JIT + 0x1000, .bias = JIT};
	proc = (struct proc){.slice = 2};
	read_count = 0;
	return 0;
}

/* A function every 0x100 bytes, in this order: */
enum {
	AT_RSP = 0x100,	  /* CFA = rsp + 16 */
	AT_RBP = 0x200,	  /* CFA = rbp + 16, rbp at CFA - 16 */
	AT_SAVED = 0x300, /* CFA = rsp + 32, rbp at CFA - 24 */
	AT_DRAP = 0x400,  /* CFA = *(rbp - 8), rbp at *rbp */
	AT_WIDE = 0x500,  /* CFA = rsp + 800 */
	AT_SIGNAL = 0x600,
	AT_STOP = 0x700,
	AT_UNSUP = 0x800,
	AT_ZERO = 0x900, /* CFA = rsp */
	AT_END = 0xa00,
};

static int begin_with_rows(void **state)
{
	struct unwind_row offset = {.pc = AT_WIDE};
	int32_t wide = 800;

	begin(state);
	memcpy((char *)&offset + 4, &wide, sizeof(wide));
	add_row((struct unwind_row){.pc = AT_RSP, .kind = UNWIND_RSP, .cfa_off8 = 2});
	add_row(
	    (struct unwind_row){.pc = AT_RBP, .kind = UNWIND_RBP, .cfa_off8 = 2, .rbp_off8 = -2});
	add_row(
	    (struct unwind_row){.pc = AT_SAVED, .kind = UNWIND_RSP, .cfa_off8 = 4, .rbp_off8 = -3});
	add_row((struct unwind_row){.pc = AT_DRAP, .kind = UNWIND_DRAP, .rbp_off8 = -1});
	add_row(offset);
	add_row((struct unwind_row){.pc = AT_WIDE, .kind = UNWIND_WIDE, .cfa_off8 = USER_REG_RSP});
	add_row((struct unwind_row){.pc = AT_SIGNAL, .kind = UNWIND_SIGNAL});
	add_row((struct unwind_row){.pc = AT_STOP, .kind = UNWIND_STOP});
	add_row((struct unwind_row){.pc = AT_UNSUP, .kind = UNWIND_UNSUP});
	add_row((struct unwind_row){.pc = AT_ZERO, .kind = UNWIND_RSP});
	add_row((struct unwind_row){.pc = AT_END, .kind = UNWIND_END});
	return 0;
}

/* A return address into the function 'at'. */
static uint64_t ret(uint64_t at)
{
	return CODE + at + 0x10;
}

static uint64_t native(uint64_t at)
{
	return FRAME_NATIVE << FRAME_TAG_SHIFT | (uint64_t)BINARY << FRAME_PC_BITS |
	       (TEXT + at + 0x10 - 1);
}

static uint64_t raw(uint64_t address)
{
	return FRAME_RAW << FRAME_TAG_SHIFT | address;
}

/* Walk from stack[0] and compare the end and the frames. */
static void check_walk(uint64_t bp, enum walk_end end, const uint64_t *frames, size_t count)
{
	walk_stack(&walker, &proc, STACK, bp);
	assert_int_equal(walker.record.end_reason, end);
	assert_int_equal(walker.record.frame_count, count);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(walker.frames[i], frames[i]);
	assert_int_equal(walker.record.flags & STACK_TRUNCATED,
			 end == WALK_END_STOP ? 0 : STACK_TRUNCATED);
	assert_int_equal(walker.record.stack_hash, walker.hash);
}
#define CHECK_WALK(bp, end, ...)                                                                   \
	do {                                                                                       \
		const uint64_t frames_[] = {__VA_ARGS__};                                          \
		check_walk(bp, end, frames_, ARRAY_LEN(frames_));                                  \
	} while (0)

static void rsp_rows_lead_to_the_outermost_frame(void **state)
{
	stack[0] = ret(AT_RSP);
	stack[2] = ret(AT_RSP);
	stack[4] = ret(AT_STOP);
	CHECK_WALK(0, WALK_END_STOP, native(AT_RSP), native(AT_RSP), native(AT_STOP));
}

/* Walk the same stack again: its frames are those of binary 'id', its row leads 'words' up. */
static void check_looked_up_again(uint32_t id, uint16_t words)
{
	const uint64_t other = (uint64_t)(id - BINARY) << FRAME_PC_BITS;

	maps[0].binary_id = id;
	rows[0].cfa_off8 = words;
	memset(stack, 0, sizeof(stack));
	stack[0] = ret(AT_RSP);
	stack[words] = ret(AT_STOP);
	CHECK_WALK(0, WALK_END_STOP, native(AT_RSP) + other, native(AT_STOP) + other);
}

static void what_was_looked_up_holds_until_the_mappings_change(void **state)
{
	check_looked_up_again(BINARY, 2);
	CHECK_WALK(0, WALK_END_STOP, native(AT_RSP), native(AT_STOP)); /* now from memory */
	wk_native.slices_epoch++; /* other mappings in the same place */
	check_looked_up_again(BINARY + 2, 3);
	proc.generation++; /* another image */
	check_looked_up_again(BINARY + 4, 4);
	proc.slice = 1; /* another piece of the table */
	check_looked_up_again(BINARY + 6, 5);
	proc.slice = 2;
	check_looked_up_again(BINARY + 8, 6);
}

static void saved_rbp_is_used_by_the_frames_above(void **state)
{
	stack[0] = ret(AT_SAVED);
	stack[2] = slot_address(20); /* CFA is word 5, rbp at CFA - 24 */
	stack[4] = ret(AT_RBP);
	stack[20] = slot_address(30);
	stack[21] = ret(AT_RBP);
	stack[30] = 0;
	stack[31] = ret(AT_STOP);
	CHECK_WALK(1, WALK_END_STOP, native(AT_SAVED), native(AT_RBP), native(AT_RBP),
		   native(AT_STOP));
}

static void drap_rows_read_the_cfa_from_the_stack(void **state)
{
	stack[0] = ret(AT_DRAP);
	stack[9] = slot_address(50); /* rbp is word 10; the CFA */
	stack[10] = slot_address(70);
	stack[49] = ret(AT_RBP);
	stack[71] = ret(AT_STOP);
	CHECK_WALK(slot_address(10), WALK_END_STOP, native(AT_DRAP), native(AT_RBP),
		   native(AT_STOP));
}

static void wide_rows_take_their_offset_from_the_row_before(void **state)
{
	stack[0] = ret(AT_WIDE);
	stack[1 + 100 - 1] = ret(AT_STOP);
	CHECK_WALK(0, WALK_END_STOP, native(AT_WIDE), native(AT_STOP));
}

/* A handler's frame at word 0, the ucontext behind it: interrupted with rsp at 'word'. */
static void put_signal_frame(size_t word, uint64_t rip)
{
	stack[0] = ret(AT_SIGNAL);
	stack[1 + SIGFRAME_RBP / 8] = slot_address(120);
	stack[1 + SIGFRAME_RSP / 8] = slot_address(word);
	stack[1 + SIGFRAME_RIP / 8] = rip;
}

static void a_signal_frame_leads_to_the_interrupted_code(void **state)
{
	put_signal_frame(100, CODE + AT_RBP); /* exactly the first byte: no call came before */
	stack[121] = ret(AT_STOP);
	CHECK_WALK(0, WALK_END_STOP, native(AT_SIGNAL) + 1, native(AT_RBP) - 0xf, native(AT_STOP));
	assert_int_equal(walker.record.flags, STACK_SIGNAL);
	assert_int_equal(walker.want_full_addr, 0);
}

static void interrupted_code_on_a_lower_stack_is_followed(void **state)
{
	uint64_t slot = slot_address(1000);

	put_signal_frame(100, CODE + AT_RSP);
	memcpy(stack + 1000, stack, 24 * 8);
	memset(stack, 0, 24 * 8);
	stack[101] = ret(AT_STOP);
	walk_stack(&walker, &proc, slot, 0);
	assert_int_equal(walker.record.end_reason, WALK_END_STOP);
	assert_int_equal(walker.record.frame_count, 3);
}

static void without_all_rows_a_signal_ends_the_walk_and_asks_for_them(void **state)
{
	put_signal_frame(100, CODE + AT_RSP);
	maps[0].full.count = 0;
	CHECK_WALK(0, WALK_END_SIGNAL, native(AT_SIGNAL) + 1, native(AT_RSP) - 0xf);
	assert_int_equal(walker.want_full_addr, CODE + AT_RSP);
	assert_int_equal(walker.record.flags, STACK_SIGNAL | STACK_TRUNCATED);
}

static void code_without_rows_is_walked_by_frame_pointers(void **state)
{
	stack[0] = ret(AT_END);
	stack[5] = slot_address(12);
	stack[6] = JIT + 0x20;
	stack[12] = slot_address(20);
	stack[13] = ret(AT_STOP);
	CHECK_WALK(slot_address(5), WALK_END_STOP, native(AT_END), raw(JIT + 0x1f),
		   native(AT_STOP));
}

static void a_broken_frame_pointer_chain_adds_no_frame(void **state)
{
	stack[0] = ret(AT_END);
	stack[5] = slot_address(12);
	stack[6] = 0x12345678; /* no code */
	CHECK_WALK(slot_address(5), WALK_END_BAD_FRAME, native(AT_END));
	assert_int_equal(walker.unknown_pc, 0);
}

static void rbp_that_is_no_frame_pointer_ends_the_walk(void **state)
{
	static const uint64_t no_pointers[] = {0, STACK - 8, STACK + 12, STACK + (2 << 20), -8ULL};

	for (size_t i = 0; i < ARRAY_LEN(no_pointers); i++) {
		stack[0] = ret(AT_END);
		CHECK_WALK(no_pointers[i], WALK_END_NO_RULE, native(AT_END));
		stack[0] = JIT + 0x20;
		CHECK_WALK(no_pointers[i], WALK_END_NO_TABLE, raw(JIT + 0x1f));
	}
	maps[0].calls.count = 0;
	stack[0] = ret(AT_RSP);
	CHECK_WALK(0, WALK_END_NO_TABLE, native(AT_RSP));
}

static void rules_that_lead_nowhere_end_the_walk(void **state)
{
	stack[0] = ret(AT_UNSUP);
	CHECK_WALK(0, WALK_END_NO_RULE, native(AT_UNSUP));
	stack[0] = ret(AT_ZERO); /* a CFA below the callee's */
	CHECK_WALK(0, WALK_END_BAD_FRAME, native(AT_ZERO));
	stack[0] = ret(AT_RBP);
	CHECK_WALK(STACK - 100, WALK_END_BAD_FRAME, native(AT_RBP));
	stack[0] = ret(AT_DRAP);
	stack[9] = STACK - 8;
	CHECK_WALK(slot_address(10), WALK_END_BAD_FRAME, native(AT_DRAP));
	stack[0] = ret(0x20); /* before the first row */
	CHECK_WALK(0, WALK_END_NO_RULE, native(0x20));
}

static void unreadable_memory_ends_the_walk(void **state)
{
	stack[0] = ret(AT_RBP);
	CHECK_WALK(STACK_END + 80, WALK_END_READ, native(AT_RBP));
	walk_stack(&walker, &proc, STACK - 0x10000, 0);
	assert_int_equal(walker.record.end_reason, WALK_END_READ);
	assert_int_equal(walker.record.frame_count, 0);
}

static void return_address_zero_is_the_outermost_frame(void **state)
{
	stack[0] = ret(AT_RSP);
	CHECK_WALK(0, WALK_END_STOP, native(AT_RSP));
}

static uint64_t probed_slot;

static __u64 probed_return_address(__u64 slot)
{
	return slot == probed_slot ? ret(AT_RSP) : 0;
}

static void return_probes_do_not_hide_the_caller(void **state)
{
	stack[0] = ret(AT_RSP);
	stack[2] = TRAMPOLINE;
	stack[4] = ret(AT_STOP);
	probed_slot = slot_address(2);
	wk_native.trampoline = TRAMPOLINE;
	wk_native.return_address = probed_return_address;
	CHECK_WALK(0, WALK_END_STOP, native(AT_RSP), native(AT_RSP), native(AT_STOP));
	probed_slot = 0;
	CHECK_WALK(0, WALK_END_TRAMPOLINE, native(AT_RSP));
}

static void a_walk_may_begin_at_the_return(void **state)
{
	uint64_t hash;

	stack[0] = ret(AT_RSP);
	stack[2] = ret(AT_STOP);
	CHECK_WALK(0, WALK_END_STOP, native(AT_RSP), native(AT_STOP));
	hash = walker.hash;
	walk_stack_at_return(&walker, &proc, stack[0], slot_address(1), 0);
	assert_int_equal(walker.hash, hash);
	assert_int_equal(walker.record.frame_count, 2);
}

static void deep_stacks_keep_their_leaf_frames(void **state)
{
	uint64_t hash;

	for (size_t i = 0; i < STACK_MAX_FRAMES; i++)
		stack[2 * i] = ret(AT_RSP);
	stack[2 * (STACK_MAX_FRAMES - 1)] = ret(AT_STOP);
	walk_stack(&walker, &proc, STACK, 0);
	assert_int_equal(walker.record.frame_count, STACK_MAX_FRAMES);
	assert_int_equal(walker.record.end_reason, WALK_END_STOP);
	hash = walker.hash;

	stack[2 * (STACK_MAX_FRAMES - 1)] = ret(AT_RSP);
	stack[2 * STACK_MAX_FRAMES] = ret(AT_STOP);
	walk_stack(&walker, &proc, STACK, 0);
	assert_int_equal(walker.record.frame_count, STACK_MAX_FRAMES);
	assert_int_equal(walker.record.end_reason, WALK_END_DEPTH);
	assert_int_equal(walker.record.flags, STACK_TRUNCATED);
	assert_int_not_equal(walker.hash, hash);
	assert_int_equal(read_count, 2 * 3); /* each: 0xf0 bytes of a page, and two pages */
}

static void a_cut_stack_and_a_whole_one_have_different_hashes(void **state)
{
	uint64_t hash;

	stack[0] = ret(AT_END);
	CHECK_WALK(0, WALK_END_NO_RULE, native(AT_END));
	hash = walker.hash;
	CHECK_WALK(STACK_END - 8, WALK_END_READ, native(AT_END));
	assert_int_not_equal(walker.hash, hash);
}

static void words_across_pages_are_read(void **state)
{
	uint64_t slot = STACK + 0xf0 - 4, address = ret(AT_STOP);

	memcpy((char *)stack + 0xf0 - 4, &address, 8);
	walk_stack(&walker, &proc, slot, 0);
	assert_int_equal(walker.record.frame_count, 1);
	assert_int_equal(walker.frames[0], native(AT_STOP));
}

static struct walk_vma vma;
static struct file_info file_info;

static long find_test_vma(__u64 pc, struct walk_vma *found)
{
	*found = vma;
	return vma.start <= pc && pc < vma.end ? 0 : -ENOENT;
}

static const struct file_info *find_test_file(const struct file_key *key)
{
	return key->inode == 4711 ? &file_info : NULL;
}

static void unknown_code_is_looked_up_by_its_file(void **state)
{
	file_info = (struct file_info){.calls = maps[0].calls,
				       .text_vaddr = TEXT,
				       .vaddr_minus_off = TEXT - 0x3000,
				       .binary_id = BINARY};
	vma = (struct walk_vma){.start = CODE,
				.end = CODE + CODE_BYTES,
				.file_offset = 0x3000,
				.file = {.inode = 4711},
				.executable = 1,
				.has_file = 1};
	wk_native.find_vma = find_test_vma;
	wk_native.file = find_test_file;
	proc.flags = PROC_STALE_MAPPINGS;
	stack[0] = ret(AT_RSP);
	stack[2] = ret(AT_STOP);
	CHECK_WALK(0, WALK_END_STOP, native(AT_RSP), native(AT_STOP));
	assert_int_equal(walker.unknown_pc, stack[0] - 1);
	vma.file.inode = 1;
	CHECK_WALK(0, WALK_END_NO_MAPPING, raw(ret(AT_RSP) - 1));
	vma.executable = 0;
	vma.file.inode = 4711;
	CHECK_WALK(0, WALK_END_NO_MAPPING, raw(ret(AT_RSP) - 1));
}

static void unknown_anonymous_code_is_walked_by_frame_pointers(void **state)
{
	vma = (struct walk_vma){.start = 0x900000, .end = 0x901000, .executable = 1};
	wk_native.find_vma = find_test_vma;
	stack[0] = 0x900100;
	stack[5] = slot_address(9);
	stack[6] = ret(AT_STOP);
	CHECK_WALK(slot_address(5), WALK_END_STOP, raw(0x9000ff), native(AT_STOP));
	assert_int_equal(walker.unknown_pc, 0x9000ff);
}

static void code_outside_every_mapping_ends_the_walk(void **state)
{
	stack[0] = 0x10;
	CHECK_WALK(slot_address(5), WALK_END_NO_MAPPING, raw(0xf));
	assert_int_equal(walker.unknown_pc, 0xf);
	stack[0] = CODE + CODE_BYTES + 1; /* just behind */
	CHECK_WALK(0, WALK_END_NO_MAPPING, raw(CODE + CODE_BYTES));
	stack[0] = CODE + CODE_BYTES; /* a call as the last instruction */
	walk_stack(&walker, &proc, STACK, 0);
	assert_int_equal(walker.frames[0] >> FRAME_PC_BITS, BINARY);
}

static void every_mapping_of_a_long_slice_is_found(void **state)
{
	enum { COUNT = 8191 };
	struct mapping *many = calloc(COUNT, sizeof(*many));

	for (size_t i = 0; i < COUNT; i++) {
		many[i] = maps[0];
		many[i].start = CODE + i * 2 * CODE_BYTES;
		many[i].end = many[i].start + CODE_BYTES;
		many[i].bias = many[i].start - TEXT;
		many[i].binary_id = i + 1;
	}
	wk_native.mappings = many;
	wk_native.mapping_count = COUNT;
	proc.slice = 3ULL << 32 | (COUNT - 3);
	for (size_t i = 0; i < COUNT; i++) {
		stack[0] = many[i].start + AT_STOP + 0x10;
		walk_stack(&walker, &proc, STACK, 0);
		assert_int_equal(walker.record.end_reason,
				 i < 3 ? WALK_END_NO_MAPPING : WALK_END_STOP);
		assert_true(i < 3 || walker.frames[0] >> FRAME_PC_BITS == i + 1);
	}
	free(many);
}

static void signals_between_two_calls_are_noticed(void **state)
{
	/* an allocator function at word 200 was interrupted; the handler calls another */
	put_signal_frame(100, CODE + AT_RSP);
	stack[101] = ret(AT_RSP);
	stack[103] = ret(AT_STOP);
	assert_int_equal(walk_crosses_signal(&walker, &proc, STACK, 0, slot_address(103)), 1);
	/* nested calls: the outer one's return address is reached first */
	stack[0] = ret(AT_RSP);
	stack[2] = ret(AT_RSP);
	stack[4] = ret(AT_SIGNAL);
	memset(stack + 5, 0, 30 * 8);
	assert_int_equal(walk_crosses_signal(&walker, &proc, STACK, 0, slot_address(2)), 0);
	assert_int_equal(walk_crosses_signal(&walker, &proc, STACK, 0, slot_address(0)), 0);
	/* a handler on a stack of its own, above the outer call's */
	assert_int_equal(walk_crosses_signal(&walker, &proc, STACK, 0, STACK - 0x10000), 1);
}

/* ---- live processes -------------------------------------------------------------------------- */

/* Stops itself with SIGUSR2 where the test wants to look at it. */
static const char target_text[] =
    "#include <alloca.h>\n#include <pthread.h>\n#include <signal.h>\n#include <stdlib.h>\n"
    "#include <string.h>\n#include <unistd.h>\n#include <sys/mman.h>\n"
    "#define FUNCTION __attribute__((noinline, noclone))\n"
    "volatile int sink; static const char *mode;\n"
    "FUNCTION void here(void) { raise(SIGUSR2); sink++; }\n"
    "FUNCTION int descend(int n) { volatile long pad[5]; pad[0] = n;\n"
    "	if (n) sink += descend(n - 1); else here(); return pad[0] + sink; }\n"
    "FUNCTION int big(int n) { volatile char pad[9001]; pad[0] = n; sink += descend(n);\n"
    "	return pad[0]; }\n"
    "FUNCTION int aligned(int n) { _Alignas(64) volatile char pad[64]; pad[0] = n;\n"
    "	volatile char *more = alloca(n * 3 + 1); more[0] = n; sink += big(n);\n"
    "	return pad[0] + more[0]; }\n"
    "FUNCTION int compare(const void *a, const void *b) {\n"
    "	static int once; if (!once++) sink += aligned(5); return *(char *)a - *(char *)b; }\n"
    "FUNCTION void sort(void) { char text[] = \"seep\"; qsort(text, 4, 1, compare); sink++; }\n"
    "FUNCTION void handler(int number) { sink += descend(3); }\n"
    "FUNCTION void spin(int n) { if (n) spin(n - 1); else raise(SIGUSR1); sink++; }\n"
    "FUNCTION void trap(void) { *(volatile int *)8 = 1; sink++; }\n"
    "static void *thread(void *unused) { sort(); return NULL; }\n"
    "int main(int argc, char **argv) {\n"
    "	struct sigaction action = { .sa_handler = handler };\n"
    "	stack_t own = { .ss_size = 65536 };\n"
    "	mode = argv[1]; alarm(60);\n"
    "	if (!strcmp(mode, \"own-stack\")) { own.ss_sp = mmap(0, 65536, PROT_READ | PROT_WRITE,\n"
    "		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); sigaltstack(&own, 0);\n"
    "		action.sa_flags = SA_ONSTACK; }\n"
    "	sigaction(SIGUSR1, &action, 0); sigaction(SIGSEGV, &action, 0);\n"
    "	if (!strcmp(mode, \"sort\")) sort();\n"
    "	else if (!strcmp(mode, \"trap\")) trap();\n"
    "	else if (!strcmp(mode, \"thread\")) { pthread_t id;\n"
    "		pthread_create(&id, 0, thread, 0); pthread_join(id, 0); }\n"
    "	else spin(4);\n"
    "	return 0; }\n";

static int build_target(void **state)
{
	if (scratch_make(state))
		return -1;
	write_text("target.c", target_text);
	run("gcc -O2 -fomit-frame-pointer -fno-optimize-sibling-calls -w -o target target.c "
	    "-pthread");
	return 0;
}

#define LIVE_ROWS     (1 << 18)
#define LIVE_MAPPINGS 64

static struct {
	pid_t pid, tid;
	struct unwind_row rows[LIVE_ROWS];
	__u32 row_count;
	struct mapping mappings[LIVE_MAPPINGS];
	__u32 mapping_count;
	size_t drap_count;
	/* what libdwfl says */
	uint64_t pcs[STACK_MAX_FRAMES];
	size_t pc_count;
} live;

static long read_process(void *to, __u32 bytes, __u64 addr)
{
	struct iovec local = {to, bytes}, remote = {(void *)addr, bytes};

	return process_vm_readv(live.pid, &local, 1, &remote, 1, 0) == bytes ? 0 : -EFAULT;
}

/* Runs the target until it raises SIGUSR2; live.tid is the thread that did. */
static void stop_target(const char *mode)
{
	int status;

	memset(&live, 0, sizeof(live));
	live.pid = fork();
	assert_int_not_equal(live.pid, -1);
	if (!live.pid) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		execl(in_scratch("target"), "target", mode, NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(live.pid, &status, 0), live.pid);
	assert_true(WIFSTOPPED(status));
	ptrace(PTRACE_SETOPTIONS, live.pid, 0, PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL);
	ptrace(PTRACE_CONT, live.pid, 0, 0);
	for (;;) {
		int number;

		live.tid = waitpid(-1, &status, __WALL);
		assert_true(live.tid > 0);
		assert_true(WIFSTOPPED(status));
		number = WSTOPSIG(status);
		if (number == SIGUSR2)
			return;
		ptrace(PTRACE_CONT, live.tid, 0,
		       number == SIGTRAP || number == SIGSTOP ? 0 : number);
	}
}

static struct table_ref add_live_rows(const struct elf_file *elf, enum cfi_rows which)
{
	struct table_ref ref = {.first = live.row_count};
	struct cfi_table table;

	assert_int_equal(cfi_compile(elf, which, &table, NULL), 0);
	assert_true(live.row_count + table.row_count <= LIVE_ROWS);
	for (size_t i = 0; i < table.row_count; i++) {
		live.rows[live.row_count++] = table.rows[i];
		live.drap_count += table.rows[i].kind == UNWIND_DRAP;
	}
	ref.count = table.row_count;
	cfi_table_free(&table);
	return ref;
}

static void add_live_mapping(const struct vm_region *region)
{
	struct mapping *mapping = &live.mappings[live.mapping_count++];
	struct elf_file elf;
	uint64_t vaddr = 0;

	assert_true(live.mapping_count < LIVE_MAPPINGS);
	assert_int_equal(elf_file_open(&elf, region->path, NULL), 0);
	assert_true(elf_file_vaddr_of_offset(&elf, region->file_offset, &vaddr));
	*mapping = (struct mapping){.start = region->start,
				    .end = region->end,
				    .bias = region->start - vaddr,
				    .text_vaddr = elf_file_text_vaddr(&elf),
				    .calls = add_live_rows(&elf, CFI_CALL_SITES),
				    .full = add_live_rows(&elf, CFI_ALL_ROWS),
				    .binary_id = live.mapping_count};
	elf_file_close(&elf);
}

static void map_target(void)
{
	struct proc_maps regions = {0};

	assert_int_equal(proc_maps_read(live.pid, &regions, NULL), 0);
	vec_for_each (region, &regions) {
		if (region->executable && region->path[0] == '/')
			add_live_mapping(region);
	}
	proc_maps_free(&regions);
	wk_native = (struct wk_native){.mappings = live.mappings,
				       .mapping_count = live.mapping_count,
				       .read_user = read_process};
	wk_native.shards[0] = (struct wk_shard){live.rows, live.row_count};
	proc = (struct proc){.slice = live.mapping_count};
}

/* From the registers of the stopped thread: it stands in a system call, anywhere in a function. */
static void walk_target(void)
{
	struct user_regs_struct regs;

	assert_int_equal(ptrace(PTRACE_GETREGS, live.tid, 0, &regs), 0);
	walker.keeps_frames = 1;
	walk_take_slice(&walker, &proc);
	walk_reset(&walker, regs.rsp, regs.rbp);
	walker.pc = regs.rip;
	walker.interrupted = 1;
	walker.guessed = 0;
	walk_to_end(&walker, &proc, WALK_GOES_ON);
}

static int take_judged_frame(Dwfl_Frame *frame, void *unused)
{
	Dwarf_Addr pc;

	if (!dwfl_frame_pc(frame, &pc, NULL) || live.pc_count == STACK_MAX_FRAMES)
		return DWARF_CB_ABORT;
	live.pcs[live.pc_count++] = pc;
	return DWARF_CB_OK;
}

static int find_no_debuginfo(Dwfl_Module *module, void **data, const char *name, Dwarf_Addr base,
			     const char *file, const char *link, GElf_Word crc, char **path)
{
	return -1;
}

static void judge_target(void)
{
	static const Dwfl_Callbacks callbacks = {.find_elf = dwfl_linux_proc_find_elf,
						 .find_debuginfo = find_no_debuginfo};
	Dwfl *dwfl = dwfl_begin(&callbacks);

	assert_non_null(dwfl);
	assert_int_equal(dwfl_linux_proc_report(dwfl, live.pid), 0);
	assert_int_equal(dwfl_report_end(dwfl, NULL, NULL), 0);
	assert_int_equal(dwfl_linux_proc_attach(dwfl, live.pid, true), 0);
	dwfl_getthread_frames(dwfl, live.tid, take_judged_frame, NULL);
	dwfl_end(dwfl);
}

/* The user address that a recorded frame stands for. */
static uint64_t address_of(uint64_t frame)
{
	uint64_t binary = frame >> FRAME_PC_BITS;

	assert_true(binary >= 1 && binary <= live.mapping_count);
	return (frame & ((1ULL << FRAME_PC_BITS) - 1)) + live.mappings[binary - 1].bias;
}

/* Calls are recorded one byte before their return address; 'exact_count' frames are no calls. */
static void check_target(const char *mode, size_t least_frames, size_t exact_count)
{
	size_t exact = 0;

	stop_target(mode);
	map_target();
	walk_target();
	judge_target();
	kill(live.pid, SIGKILL);
	while (waitpid(-1, NULL, __WALL) > 0)
		;
	assert_int_equal(walker.record.end_reason, WALK_END_STOP);
	assert_int_equal(walker.record.frame_count, live.pc_count);
	assert_true(live.pc_count >= least_frames);
	for (size_t i = 0; i < live.pc_count; i++) {
		uint64_t address = address_of(walker.frames[i]);

		exact += address == live.pcs[i];
		if (address != live.pcs[i])
			assert_int_equal(address + 1, live.pcs[i]);
	}
	assert_int_equal(exact, exact_count);
}

static void live_stacks_through_libc_and_realigned_frames_agree_with_libdwfl(void **state)
{
	check_target("sort", 16, 1);
	assert_true(live.drap_count > 0);
	assert_int_equal(walker.record.flags, 0);
}

static void live_signal_handlers_agree_with_libdwfl(void **state)
{
	check_target("signal", 16, 3); /* the stop, the signal frame, what it interrupted */
	assert_int_equal(walker.record.flags, STACK_SIGNAL);
	check_target("own-stack", 16, 3);
	assert_int_equal(walker.record.flags, STACK_SIGNAL);
	check_target("trap", 9, 3);
}

static void live_threads_end_where_they_were_cloned(void **state)
{
	check_target("thread", 16, 1);
	assert_int_not_equal(live.tid, live.pid);
}

#define BY_HAND(name) cmocka_unit_test_setup(name, begin_with_rows)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    BY_HAND(rsp_rows_lead_to_the_outermost_frame),
	    BY_HAND(what_was_looked_up_holds_until_the_mappings_change),
	    BY_HAND(saved_rbp_is_used_by_the_frames_above),
	    BY_HAND(drap_rows_read_the_cfa_from_the_stack),
	    BY_HAND(wide_rows_take_their_offset_from_the_row_before),
	    BY_HAND(a_signal_frame_leads_to_the_interrupted_code),
	    BY_HAND(interrupted_code_on_a_lower_stack_is_followed),
	    BY_HAND(without_all_rows_a_signal_ends_the_walk_and_asks_for_them),
	    BY_HAND(code_without_rows_is_walked_by_frame_pointers),
	    BY_HAND(a_broken_frame_pointer_chain_adds_no_frame),
	    BY_HAND(rbp_that_is_no_frame_pointer_ends_the_walk),
	    BY_HAND(rules_that_lead_nowhere_end_the_walk),
	    BY_HAND(unreadable_memory_ends_the_walk),
	    BY_HAND(return_address_zero_is_the_outermost_frame),
	    BY_HAND(return_probes_do_not_hide_the_caller),
	    BY_HAND(a_walk_may_begin_at_the_return),
	    BY_HAND(deep_stacks_keep_their_leaf_frames),
	    BY_HAND(a_cut_stack_and_a_whole_one_have_different_hashes),
	    BY_HAND(words_across_pages_are_read),
	    BY_HAND(unknown_code_is_looked_up_by_its_file),
	    BY_HAND(unknown_anonymous_code_is_walked_by_frame_pointers),
	    BY_HAND(code_outside_every_mapping_ends_the_walk),
	    BY_HAND(every_mapping_of_a_long_slice_is_found),
	    BY_HAND(signals_between_two_calls_are_noticed),
	    cmocka_unit_test(live_stacks_through_libc_and_realigned_frames_agree_with_libdwfl),
	    cmocka_unit_test(live_signal_handlers_agree_with_libdwfl),
	    cmocka_unit_test(live_threads_end_where_they_were_cloned),
	};

	return cmocka_run_group_tests(tests, build_target, scratch_remove);
}
