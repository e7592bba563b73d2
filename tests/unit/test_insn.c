/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_insn.c - where a probe may stand: bytes assembled by hand, one rule each, and a function
 * that the machine's compiler made. The bytes are AT&T syntax in the comments.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/abi_types.h"
#include "base/cleanup.h"
#include "elf/elf_file.h"
#include "elf/insn.h"
#include "elf/symtab.h"

#include <errno.h>

#define ADDRESS 0x7001

/* The literal's NUL is not code. */
#define CHOOSE(code, needs, site) choose(code, sizeof(code) - 1, needs, site)

static const struct probe_needs one_argument = {.arg_mask = 1};
static const struct probe_needs allocating = {.arg_mask = 1, .return_address = true};
static const struct probe_needs three_arguments = {.arg_mask = 7, .return_address = true};
static const struct probe_needs freeing = {.arg_mask = 1, .null_may_skip = true};

/* From the heap, so that the sanitizer sees reads behind the end. */
static int choose(const char *code, size_t length, struct probe_needs needs,
		  struct probe_site *site)
{
	uint8_t *copy = malloc(length ? length : 1);
	int status;

	assert_non_null(copy);
	memcpy(copy, code, length);
	memset(site, 0xa5, sizeof(*site));
	status = insn_choose_site(copy, length, ADDRESS, &needs, site);
	free(copy);
	return status;
}

#define assert_site(code, needs, at, is_emulated)                                                  \
	do {                                                                                       \
		struct probe_site site_;                                                           \
		assert_int_equal(CHOOSE(code, needs, &site_), 0);                                  \
		assert_int_equal(site_.offset, at);                                                \
		assert_int_equal(site_.emulated, is_emulated);                                     \
	} while (0)

/* ---- what the kernel emulates ---------------------------------------------------------------- */

/* Each behind 'xor %eax,%eax' (31 c0), which is single-stepped. */
static void emulated_forms_are_chosen(void **state)
{
	assert_site("\x31\xc0\x55\xc3", allocating, 2, true);			  /* push %rbp */
	assert_site("\x31\xc0\x54\xc3", allocating, 2, true);			  /* push %rsp */
	assert_site("\x31\xc0\x41\x57\xc3", allocating, 2, true);		  /* push %r15 */
	assert_site("\x31\xc0\x90\xc3", allocating, 2, true);			  /* nop */
	assert_site("\x31\xc0\xeb\x0b", allocating, 2, true);			  /* jmp .+13 */
	assert_site("\x31\xc0\xe9\x0b\x01\x00\x00", allocating, 2, true);	  /* jmp */
	assert_site("\x31\xc0\x74\x0b\xc3", allocating, 2, true);		  /* je */
	assert_site("\x31\xc0\x0f\x8f\x0b\x01\x00\x00\xc3", allocating, 2, true); /* jg */
	assert_site("\x31\xc0\xe8\x0b\x01\x00\x00\xc3", allocating, 2, true);	  /* call */
	assert_site("\x31\xc0\xf2\xe9\x0b\x01\x00\x00", allocating, 2, true);	  /* bnd jmp */
}

static void long_nops_are_chosen_when_nothing_better_is(void **state)
{
	assert_site("\x31\xc0\x0f\x1f\x00\xc3", allocating, 2, true);
	assert_site("\x31\xc0\x0f\x1f\x40\x00\xc3", allocating, 2, true);
	assert_site("\x31\xc0\x66\x0f\x1f\x44\x00\x00\xc3", allocating, 2, true);
	assert_site("\x31\xc0\x0f\x1f\x80\x00\x00\x00\x00\xc3", allocating, 2, true);
	assert_site("\x31\xc0\x0f\x1f\x84\x00\x00\x00\x00\x00\xc3", allocating, 2, true);
	/* nopl (%rax); push %rbp: every kernel emulates push */
	assert_site("\x0f\x1f\x00\x55\xc3", allocating, 3, true);
	/* nopl (%rcx): same length, not the kernel's nop */
	assert_site("\x31\xc0\x0f\x1f\x01\xc3", allocating, 0, false);
}

static void other_pushes_and_indirect_jumps_are_stepped(void **state)
{
	assert_site("\x31\xc0\x6a\x11\xc3", allocating, 0, false);	  /* push $17 */
	assert_site("\x31\xc0\x48\x55\xc3", allocating, 0, false);	  /* rex.W push */
	assert_site("\x31\xc0\xff\x37\xc3", allocating, 0, false);	  /* push (%rdi) */
	assert_site("\x31\xc0\xff\xe0", allocating, 0, false);		  /* jmp *%rax */
	assert_site("\x31\xc0\xe3\x05\xc3", allocating, 0, false);	  /* jrcxz */
	assert_site("\x31\xc0\xf3\x90\x55\xc3", allocating, 4, true);	  /* pause; push */
	assert_site("\x31\xc0\xc5\xf8\x77\x55\xc3", allocating, 5, true); /* vzeroupper; push */
}

static void refused_instructions_are_never_chosen(void **state)
{
	/* 5-byte nop at the entry, then ret: single-stepped, but whole */
	assert_site("\x0f\x1f\x44\x00\x00\xc3", allocating, 5, false);
	/* in between; 66 nopl 0(%rax), also of 5 bytes */
	assert_site("\x31\xc0\x0f\x1f\x44\x00\x00\xc3", allocating, 0, false);
	assert_site("\x31\xc0\x66\x0f\x1f\x40\x00\xc3", allocating, 0, false);
	/* jmp .+5 and lea 0(%rsp),%rsp: nops of 5 bytes since 6.19 */
	assert_site("\x31\xc0\xe9\x00\x00\x00\x00\xc3", allocating, 0, false);
	assert_site("\x48\x8d\x64\x24\x00\x55\xc3", allocating, 5, true);
	/* 66 90 */
	assert_site("\x66\x90\x31\xc0\xc3", allocating, 2, false);
	/* xchg %r8,%rax, a nop to old kernels */
	assert_site("\x49\x90\x31\xc0\xc3", allocating, 2, false);
	/* je,pn: a segment prefix */
	assert_site("\x31\xc0\x2e\x74\x0b\xc3", allocating, 0, false);
}

static void lock_and_segment_prefixes_are_never_chosen(void **state)
{
	/* lock addl $1,(%rdi); xor %eax,%eax */
	assert_site("\xf0\x83\x07\x01\x31\xc0\xc3", allocating, 4, false);
	/* cs nopw 0(%rax,%rax,1), the 10-byte nop */
	assert_site("\x66\x2e\x0f\x1f\x84\x00\x00\x00\x00\x00\x31\xc0\xc3", allocating, 10, false);
	/* notrack jmp *%rax behind xor */
	assert_site("\x31\xc0\x3e\xff\xe0", allocating, 0, false);
}

/* ---- reached unconditionally ----------------------------------------------------------------- */

static void endbr64_is_passed(void **state)
{
	struct probe_site site;

	/* endbr64; push %r12 */
	assert_int_equal(CHOOSE("\xf3\x0f\x1e\xfa\x41\x54\xc3", allocating, &site), 0);
	assert_int_equal(site.offset, 4);
	assert_true(site.emulated);
	assert_string_equal(site.text, "push %r12");
	/* endbr64; mov $12,%eax; ret: nothing better than the entry */
	assert_site("\xf3\x0f\x1e\xfa\xb8\x0c\x00\x00\x00\xc3", allocating, 0, false);
}

static void nothing_behind_a_branch_is_chosen(void **state)
{
	/* ret; push */
	assert_site("\xc3\x55\xc3", allocating, 0, false);
	/* jmp *%rax; push */
	assert_site("\xff\xe0\x55\xc3", allocating, 0, false);
	/* mov $11,%eax; syscall; push: arguments are still there, but the call is done */
	assert_site("\xb8\x0b\x00\x00\x00\x0f\x05\x55\xc3", allocating, 0, false);
	/* test %rdi,%rdi; jrcxz +1; push */
	assert_site("\x48\x85\xff\xe3\x01\x55\xc3", allocating, 0, false);
	/* ud2; push */
	assert_site("\x31\xc0\x0f\x0b\x55\xc3", allocating, 0, false);
}

static void instruction_that_a_loop_returns_to_is_not_chosen(void **state)
{
	/* xor %eax,%eax; 2: push %rbp; dec %ecx; jne 2b */
	assert_site("\x31\xc0\x55\xff\xc9\x75\xfb\xc3", allocating, 0, false);
	/* the same with a jump that comes much later, 0x80 nops in between */
	char far[256] = "\x31\xc0\x55\xc3";
	struct probe_site site;

	memset(far + 4, 0x90, 124);
	memcpy(far + 128, "\xe9\x7d\xff\xff\xff", 5); /* 128 + 5 - 131 = 2 */
	assert_int_equal(choose(far, 133, allocating, &site), 0);
	assert_int_equal(site.offset, 0);
	assert_false(site.emulated);
	/* and what follows the target is reached as often: xor; 2: inc %ecx; push; jne 2b */
	assert_site("\x31\xc0\xff\xc1\x55\x75\xfb\xc3", allocating, 0, false);
}

static void loop_to_the_entry_is_a_call(void **state)
{
	/* 0: push %rbp; pop %rbp; jne 0b */
	assert_site("\x55\x5d\x75\xfc\xc3", allocating, 0, true);
}

static void site_lies_in_the_first_64_bytes(void **state)
{
	char code[80];
	struct probe_site site;

	memset(code, 0xf8, sizeof(code)); /* clc */
	code[63] = 0x55;
	assert_int_equal(choose(code, sizeof(code), allocating, &site), 0);
	assert_int_equal(site.offset, 63);
	code[63] = (char)0xf8;
	code[64] = 0x55;
	assert_int_equal(choose(code, sizeof(code), allocating, &site), 0);
	assert_int_equal(site.offset, 0);
}

/* ---- free and NULL --------------------------------------------------------------------------- */

static void null_test_of_free_is_passed(void **state)
{
	struct probe_site site;

	/* glibc 2.36: test %rdi,%rdi; je +0x4f; push %rbp */
	assert_int_equal(CHOOSE("\x48\x85\xff\x74\x4f\x55\xc3", freeing, &site), 0);
	assert_int_equal(site.offset, 5);
	assert_true(site.skips_null);
	/* mov %rdi,%rax; test %rax,%rax; lea 8(%rdi),%rcx; je; push */
	assert_int_equal(
	    CHOOSE("\x48\x89\xf8\x48\x85\xc0\x48\x8d\x4f\x08\x74\x11\x55\xc3", freeing, &site), 0);
	assert_int_equal(site.offset, 12);
	assert_true(site.skips_null);
}

static void null_test_is_not_passed_by_who_must_see_null(void **state)
{
	struct probe_site site;

	assert_int_equal(CHOOSE("\x48\x85\xff\x74\x4f\x55\xc3", one_argument, &site), 0);
	assert_int_equal(site.offset, 3);
	assert_true(site.emulated);
	assert_false(site.skips_null);
}

static void only_a_test_of_the_argument_for_null_is_passed(void **state)
{
	/* test %rsi,%rsi; je; push */
	assert_site("\x48\x85\xf6\x74\x4f\x55\xc3", freeing, 3, true);
	/* test %edi,%edi; je; push: pointers with a zero lower half exist */
	assert_site("\x85\xff\x74\x4f\x55\xc3", freeing, 2, true);
	/* test %rdi,%rdi; jne; push: falls through for NULL */
	assert_site("\x48\x85\xff\x75\x4f\x55\xc3", freeing, 3, true);
	/* test %rdi,%rdi; cmp %rax,%rsi; je; push: other flags */
	assert_site("\x48\x85\xff\x48\x39\xc6\x74\x4f\x55\xc3", freeing, 6, true);
	/* test %rdi,%rdi; je; test %rdi,%rdi; je; push: one NULL test, and the second je is a site
	 */
	assert_site("\x48\x85\xff\x74\x4f\x48\x85\xff\x74\x4a\x55\xc3", freeing, 8, true);
}

/* free(context, pointer), as CPython's tables have it */
static void null_test_of_another_argument_is_passed(void **state)
{
	struct probe_needs needs = {.arg_mask = 2, .null_may_skip = true, .null_argument = 1};

	/* test %rsi,%rsi; je; push */
	assert_site("\x48\x85\xf6\x74\x4f\x55\xc3", needs, 5, true);
	/* test %rdi,%rdi; je; push */
	assert_site("\x48\x85\xff\x74\x4f\x55\xc3", needs, 3, true);
}

static void jump_of_the_null_test_into_the_region_ends_it(void **state)
{
	/* test %rdi,%rdi; je 6f; clc; 6: push */
	assert_site("\x48\x85\xff\x74\x01\xf8\x55\xc3", freeing, 3, true);
}

/* ---- arguments ------------------------------------------------------------------------------- */

static void moved_argument_is_followed(void **state)
{
	struct probe_site site;

	/* mov %rdi,%rbx; xor %edi,%edi; push %rbp */
	assert_int_equal(CHOOSE("\x48\x89\xfb\x31\xff\x55\xc3", allocating, &site), 0);
	assert_int_equal(site.offset, 5);
	assert_int_equal(site.regs[0], USER_REG_RBX);
	/* mov %rsi,%rdx; mov %rdi,%rsi; mov %fs:0,%rdi; jmp: mimalloc's realloc */
	assert_int_equal(CHOOSE("\x48\x89\xf2\x48\x89\xfe\x64\x48\x8b\x3c\x25\x00\x00\x00\x00"
				"\xe9\x11\x01\x00\x00",
				((struct probe_needs){.arg_mask = 3}), &site),
			 0);
	assert_int_equal(site.offset, 15);
	assert_int_equal(site.regs[0], USER_REG_RSI);
	assert_int_equal(site.regs[1], USER_REG_RDX);
}

static void every_register_is_numbered_as_dwarf_does(void **state)
{
	/* mov %rdi,%REG; xor %edi,%edi; nop */
	static const struct {
		const char *mov;
		uint8_t reg;
	} cases[] = {
	    {"\x48\x89\xf8", USER_REG_RAX},    {"\x48\x89\xf9", USER_REG_RCX},
	    {"\x48\x89\xfa", USER_REG_RDX},    {"\x48\x89\xfb", USER_REG_RBX},
	    {"\x48\x89\xfd", USER_REG_RBP},    {"\x48\x89\xfe", USER_REG_RSI},
	    {"\x49\x89\xf8", USER_REG_R8},     {"\x49\x89\xfb", USER_REG_R8 + 3},
	    {"\x49\x89\xff", USER_REG_R8 + 7},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char code[] = "...\x31\xff\x90\xc3";
		struct probe_site site;

		memcpy(code, cases[i].mov, 3);
		assert_int_equal(CHOOSE(code, one_argument, &site), 0);
		assert_int_equal(site.offset, 5);
		assert_int_equal(site.regs[0], cases[i].reg);
	}
}

static void argument_stays_where_it_came_if_it_can(void **state)
{
	struct probe_site site;

	/* mov %rdi,%rax; push */
	assert_int_equal(CHOOSE("\x48\x89\xf8\x55\xc3", allocating, &site), 0);
	assert_int_equal(site.regs[0], USER_REG_RDI);
	assert_int_equal(site.regs[1], USER_REG_RSI);
	assert_int_equal(site.regs[2], USER_REG_RDX);
}

static void lost_argument_leaves_the_entry(void **state)
{
	assert_site("\x31\xff\x55\xc3", allocating, 0, false);	       /* xor %edi,%edi; push */
	assert_site("\x40\xb7\x01\x55\xc3", allocating, 0, false);     /* mov $1,%dil; push */
	assert_site("\x48\x8b\x3f\x55\xc3", allocating, 0, false);     /* mov (%rdi),%rdi */
	assert_site("\x48\x83\xc7\x0d\x55\xc3", allocating, 0, false); /* add $13,%rdi; push */
	assert_site("\x89\xfb\x31\xff\x55\xc3", allocating, 0, false); /* mov %edi,%ebx: half */
	assert_site("\xf3\xaa\x55\xc3", allocating, 0, false);	       /* rep stosb */
	/* mov %rdi,%rax; mul %rsi (writes rax, rdx); xor %edi,%edi; push */
	assert_site("\x48\x89\xf8\x48\xf7\xe6\x31\xff\x55\xc3", allocating, 0, false);
	/* mul %rsi loses the third argument */
	assert_site("\x48\xf7\xe6\x55\xc3", three_arguments, 0, false);
	/* cmove %rsi,%rdi: maybe written */
	assert_site("\x48\x0f\x44\xfe\x55\xc3", allocating, 0, false);
}

static void reading_the_argument_does_not_lose_it(void **state)
{
	assert_site("\x48\x8d\x47\x07\x55\xc3", allocating, 4, true);	  /* lea 7(%rdi),%rax */
	assert_site("\x48\x83\xff\x11\x55\xc3", allocating, 4, true);	  /* cmp $17,%rdi */
	assert_site("\x48\x85\xff\x55\xc3", allocating, 3, true);	  /* test %rdi,%rdi */
	assert_site("\x48\x89\x3e\x55\xc3", allocating, 3, true);	  /* mov %rdi,(%rsi) */
	assert_site("\xb8\x11\x00\x00\x00\x55\xc3", allocating, 5, true); /* mov $17,%eax */
}

static void exchange_is_followed(void **state)
{
	struct probe_site site;

	/* xchg %rdi,%rsi; push */
	assert_int_equal(CHOOSE("\x48\x87\xfe\x55\xc3", three_arguments, &site), 0);
	assert_int_equal(site.offset, 3);
	assert_int_equal(site.regs[0], USER_REG_RSI);
	assert_int_equal(site.regs[1], USER_REG_RDI);
	assert_int_equal(site.regs[2], USER_REG_RDX);
}

static void fourth_argument_must_stay_in_its_register(void **state)
{
	struct probe_needs needs = {.arg_mask = 1U << 3};

	/* mov %rcx,%rbx; xor %ecx,%ecx; push */
	assert_site("\x48\x89\xcb\x31\xc9\x55\xc3", needs, 0, false);
	assert_site("\x48\x89\xcb\x31\xff\x55\xc3", needs, 5, true);
}

/* ---- stack pointer --------------------------------------------------------------------------- */

static void moved_stack_pointer_is_counted(void **state)
{
	struct probe_site site;

	/* sub $0x58,%rsp; xor %eax,%eax; je */
	assert_int_equal(CHOOSE("\x48\x83\xec\x58\x31\xc0\x74\x0b\xc3", one_argument, &site), 0);
	assert_int_equal(site.offset, 6);
	assert_int_equal(site.sp_delta8, 11);
	/* push $3; sub $0x10,%rsp; pop %rax; add $-8,%rsp; lea -16(%rsp),%rsp; je: 1 + 2 - 1 + 1 +
	 * 2 */
	assert_int_equal(CHOOSE("\x6a\x03\x48\x83\xec\x10\x58\x48\x83\xc4\xf8\x48\x8d\x64\x24\xf0"
				"\x74\x0b\xc3",
				one_argument, &site),
			 0);
	assert_int_equal(site.offset, 16);
	assert_int_equal(site.sp_delta8, 5);
}

static void return_probe_wants_the_stack_pointer_of_the_entry(void **state)
{
	assert_site("\x48\x83\xec\x58\x31\xc0\x74\x0b\xc3", allocating, 0, false);
	/* sub $8,%rsp; add $8,%rsp; push */
	assert_site("\x48\x83\xec\x08\x48\x83\xc4\x08\x55\xc3", allocating, 8, true);
}

static void unknown_stack_pointer_ends_the_search(void **state)
{
	assert_site("\x48\x83\xe4\xf0\x55\xc3", one_argument, 0, false);     /* and $-16,%rsp */
	assert_site("\x48\x83\xec\x07\x74\x0b\xc3", one_argument, 0, false); /* sub $7,%rsp */
	assert_site("\x48\x29\xc4\x74\x0b\xc3", one_argument, 0, false);     /* sub %rax,%rsp */
	assert_site("\x48\x89\xc4\x74\x0b\xc3", one_argument, 0, false);     /* mov %rax,%rsp */
	assert_site("\x5c\x74\x0b\xc3", one_argument, 0, false);	     /* pop %rsp */
	assert_site("\x58\x74\x0b\xc3", one_argument, 0, false);	     /* pop %rax: above */
	/* sub $2048,%rsp: more than the cookie holds */
	assert_site("\x48\x81\xec\x00\x08\x00\x00\x74\x0b\xc3", one_argument, 0, false);
	/* push %ax: 2 bytes */
	assert_site("\x66\x50\x74\x0b\xc3", one_argument, 0, false);
}

/* ---- bytes that are no code ------------------------------------------------------------------ */

static void no_code_gives_eilseq(void **state)
{
	struct probe_site site;

	assert_int_equal(CHOOSE("", allocating, &site), -EILSEQ);
	assert_int_equal(CHOOSE("\x06", allocating, &site), -EILSEQ);
	assert_int_equal(CHOOSE("\x48\x89", allocating, &site), -EILSEQ); /* cut off */
	assert_int_equal(CHOOSE("\xcc", allocating, &site), -EILSEQ);	  /* int3 */
	assert_int_equal(CHOOSE("\x0f\x05\xc3", allocating, &site), -EILSEQ);
}

static void cut_off_code_keeps_what_came_before(void **state)
{
	assert_site("\x31\xc0\x48", allocating, 0, false);
	assert_site("\x31\xc0\x55\x48", allocating, 2, true);
}

/* ---- thunks and transfers -------------------------------------------------------------------- */

static void thunk_is_followed(void **state)
{
	uint64_t target = 0;

	assert_true(insn_is_thunk((const uint8_t *)"\xeb\x11", 2, ADDRESS, &target));
	assert_int_equal(target, ADDRESS + 2 + 0x11);
	/* endbr64; jmp .-256 */
	assert_true(insn_is_thunk((const uint8_t *)"\xf3\x0f\x1e\xfa\xe9\x00\xff\xff\xff", 9,
				  ADDRESS, &target));
	assert_int_equal(target, ADDRESS + 9 - 256);
}

static void other_code_is_no_thunk(void **state)
{
	uint64_t target = 0;

	assert_false(insn_is_thunk((const uint8_t *)"\x31\xc0\xeb\x11", 4, ADDRESS, &target));
	assert_false(insn_is_thunk((const uint8_t *)"\x74\x11", 2, ADDRESS, &target));
	assert_false(insn_is_thunk((const uint8_t *)"\xe8\x11\x00\x00\x00", 5, ADDRESS, &target));
	assert_false(insn_is_thunk((const uint8_t *)"\xff\xe0", 2, ADDRESS, &target));
	assert_false(insn_is_thunk((const uint8_t *)"\xf3\x0f\x1e\xfa", 4, ADDRESS, &target));
	assert_false(insn_is_thunk((const uint8_t *)"\xe9", 1, ADDRESS, &target));
}

static void transfers_are_found_in_order(void **state)
{
	/* clc; call .+0x1f; je .-3; jmp *0x17(%rip); jmp *%rax; ret */
	static const uint8_t code[] = "\xf8\xe8\x1a\x00\x00\x00\x74\xfb\xff\x25\x17\x00\x00\x00"
				      "\xff\xe0\xc3";
	static const struct transfer expected[] = {
	    {TRANSFER_CALL, true, false, ADDRESS + 6 + 0x1a},
	    {TRANSFER_BRANCH, true, false, ADDRESS + 8 - 5},
	    {TRANSFER_JUMP, true, true, ADDRESS + 14 + 0x17},
	    {TRANSFER_JUMP, false, false, 0},
	    {TRANSFER_END, false, false, 0},
	};
	size_t offset = 0, found = 0;
	struct transfer transfer;

	while (insn_next_transfer(code, sizeof(code) - 1, ADDRESS, &offset, &transfer)) {
		assert_true(found < ARRAY_LEN(expected));
		assert_int_equal(transfer.kind, expected[found].kind);
		assert_int_equal(transfer.known, expected[found].known);
		assert_int_equal(transfer.through_slot, expected[found].through_slot);
		if (transfer.known)
			assert_int_equal(transfer.target, expected[found].target);
		found++;
	}
	assert_int_equal(found, ARRAY_LEN(expected));
	assert_int_equal(offset, sizeof(code) - 1);
}

/* ---- what a compiler makes ------------------------------------------------------------------- */

static void compiled_function_with_cet_is_probed_behind_endbr64(void **state)
{
	char directory[] = "/tmp/test_insn.XXXXXX", command[512], path[64];
	const struct symbol *symbol;
	struct probe_site site;
	struct symtab *symbols;
	struct elf_file elf;

	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/f.so", directory);
	snprintf(
	    command, sizeof(command),
	    "echo 'int g(long, int *); long f(long a) { int x[7]; return g(a, x) + a + x[3]; }'"
	    " | gcc -x c - -O2 -fcf-protection -fno-stack-protector -fPIC -shared -o %s",
	    path);
	assert_int_equal(system(command), 0);
	assert_int_equal(elf_file_open(&elf, path, NULL), 0);
	symbols = symtab_new(&elf, NULL);
	symbol = symtab_named(symbols, "f");
	assert_non_null(symbol);
	assert_int_equal(
	    insn_choose_site(elf_file_at_vaddr(&elf, symbol->vaddr, symbol->size_bytes),
			     symbol->size_bytes, symbol->vaddr, &allocating, &site),
	    0);
	assert_int_equal(site.offset, 4);
	assert_true(site.emulated);
	assert_memory_equal(site.text, "push %r", 7);
	symtab_free(symbols);
	elf_file_close(&elf);
	snprintf(command, sizeof(command), "rm -r %s", directory);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(emulated_forms_are_chosen),
	    cmocka_unit_test(long_nops_are_chosen_when_nothing_better_is),
	    cmocka_unit_test(other_pushes_and_indirect_jumps_are_stepped),
	    cmocka_unit_test(refused_instructions_are_never_chosen),
	    cmocka_unit_test(lock_and_segment_prefixes_are_never_chosen),
	    cmocka_unit_test(endbr64_is_passed),
	    cmocka_unit_test(nothing_behind_a_branch_is_chosen),
	    cmocka_unit_test(instruction_that_a_loop_returns_to_is_not_chosen),
	    cmocka_unit_test(loop_to_the_entry_is_a_call),
	    cmocka_unit_test(site_lies_in_the_first_64_bytes),
	    cmocka_unit_test(null_test_of_free_is_passed),
	    cmocka_unit_test(null_test_is_not_passed_by_who_must_see_null),
	    cmocka_unit_test(only_a_test_of_the_argument_for_null_is_passed),
	    cmocka_unit_test(null_test_of_another_argument_is_passed),
	    cmocka_unit_test(jump_of_the_null_test_into_the_region_ends_it),
	    cmocka_unit_test(moved_argument_is_followed),
	    cmocka_unit_test(every_register_is_numbered_as_dwarf_does),
	    cmocka_unit_test(argument_stays_where_it_came_if_it_can),
	    cmocka_unit_test(lost_argument_leaves_the_entry),
	    cmocka_unit_test(reading_the_argument_does_not_lose_it),
	    cmocka_unit_test(exchange_is_followed),
	    cmocka_unit_test(fourth_argument_must_stay_in_its_register),
	    cmocka_unit_test(moved_stack_pointer_is_counted),
	    cmocka_unit_test(return_probe_wants_the_stack_pointer_of_the_entry),
	    cmocka_unit_test(unknown_stack_pointer_ends_the_search),
	    cmocka_unit_test(no_code_gives_eilseq),
	    cmocka_unit_test(cut_off_code_keeps_what_came_before),
	    cmocka_unit_test(thunk_is_followed),
	    cmocka_unit_test(other_code_is_no_thunk),
	    cmocka_unit_test(transfers_are_found_in_order),
	    cmocka_unit_test(compiled_function_with_cet_is_probed_behind_endbr64),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
