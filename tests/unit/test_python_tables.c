/* SPDX-License-Identifier: GPL-2.0-only */
/* test_python_tables.c - padding and bounds of functions; the tables of a program that is laid out
 * like CPython (fake_python.h), in each mode, and the probes that follow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

#include "base/abi_types.h"
#include "base/cleanup.h"
#include "elf/symtab.h"
#include "python/text.h"
#include "unit/fake_python.h"

/* ---- padding --------------------------------------------------------------------------------- */

struct padding {
	const char *bytes; /* between two functions, as .byte has them */
	size_t wanted;
	const char *code; /* at the end of the function before; NULL: ret */
};

static const struct padding paddings[] = {
    {"", 0, NULL},
    {"0x90", 1, NULL},
    {"0x66,0x90", 1, NULL}, /* its last byte is one by itself */
    {"0x0f,0x1f,0", 3, NULL},
    {"0x0f,0x1f,0x40,0", 4, NULL},
    {"0x0f,0x1f,0x44,0,0", 0, NULL}, /* never the one of five */
    {"0x66,0x0f,0x1f,0x44,0,0", 6, NULL},
    {"0x0f,0x1f,0x80,0,0,0,0", 7, NULL},
    {"0x0f,0x1f,0x84,0,0,0,0,0", 8, NULL},
    {"0x66,0x0f,0x1f,0x84,0,0,0,0,0", 8, NULL}, /* the end of a longer one */
    {"0x66,0x2e,0x0f,0x1f,0x84,0,0,0,0,0", 8, NULL},
    {"0x0f,0x1f,0x44,0,0,0x90", 1, NULL},
    {"0x90,0x0f,0x1f,0x44,0,0", 0, NULL},
    {"0x0f,0x1f,0x80,1,0,0,0", 0, NULL}, /* a nop, but none that a kernel emulates */
    {"0xcc", 0, NULL},
    {"0xcc,0x90", 1, NULL},
    {"0x31,0xc0,0xc3,0x90", 0, NULL}, /* code that no table lists */
    {"", 0, "mov $0x90000000,%eax"}, /* the end of an instruction */
    {"", 0, "nop"},			 /* the end of a function, not padding */
    {"0,0,0,0x90", 0, NULL},
};

static void assemble_paddings(void)
{
	char text[8192];
	int used = snprintf(text, sizeof(text), ".text\n");

	for (size_t i = 0; i < ARRAY_LEN(paddings); i++) {
		const struct padding *padding = &paddings[i];

		used += snprintf(text + used, sizeof(text) - used,
				 ".type b%zu,@function\nb%zu: .cfi_startproc\n%s\n.cfi_endproc\n"
				 "%s %s\n.globl f%zu\n.type f%zu,@function\nf%zu: .cfi_startproc\n"
				 "nop\nret\n.cfi_endproc\n",
				 i, i, padding->code ? padding->code : "ret",
				 *padding->bytes ? ".byte" : "", padding->bytes, i, i, i);
	}
	write_text("paddings.s", text);
	run("gcc -shared -nostdlib -o paddings.so paddings.s");
}

static void nop_before_a_function_is_found_in_padding_only(void **state)
{
	struct symtab *symbols;
	struct elf_file elf;

	assemble_paddings();
	assert_int_equal(elf_file_open(&elf, in_scratch("paddings.so"), NULL), 0);
	symbols = symtab_new(&elf, NULL);
	for (size_t i = 0; i < ARRAY_LEN(paddings); i++) {
		struct addr_range range;
		char name[16];
		uint64_t vaddr;
		size_t found;

		snprintf(name, sizeof(name), "f%zu", i);
		vaddr = symtab_named(symbols, name)->vaddr;
		found = text_nop_before(&elf, vaddr);
		if (found != paddings[i].wanted)
			print_error("padding %zu: %s\n", i, paddings[i].bytes);
		assert_int_equal(found, paddings[i].wanted);
		/* not in the middle of a function, and bounds are right */
		assert_int_equal(text_nop_before(&elf, vaddr + 1), 0);
		assert_true(text_function_at(&elf, vaddr + 1, &range));
		assert_int_equal(range.start, vaddr);
		assert_int_equal(range.end, vaddr + 2);
	}
	symtab_free(symbols);
	elf_file_close(&elf);
}

static void file_without_search_table_has_no_functions(void **state)
{
	struct addr_range range;
	struct elf_file elf;

	write_text("bare.s", ".text\n.globl f\nf: nop\nret\n");
	run("gcc -shared -nostdlib -o bare.so bare.s");
	assert_int_equal(elf_file_open(&elf, in_scratch("bare.so"), NULL), 0);
	assert_false(text_function_at(&elf, elf_file_text_vaddr(&elf), &range));
	assert_int_equal(text_nop_before(&elf, elf_file_text_vaddr(&elf)), 0);
	elf_file_close(&elf);
}

/* Every byte of the search table and of the frames it leads to is broken once. */
static void broken_search_table_is_survived(void **state)
{
	struct elf_file elf, broken;
	struct addr_range range;
	uint8_t *copy;

	assemble_paddings();
	assert_int_equal(elf_file_open(&elf, in_scratch("paddings.so"), NULL), 0);
	copy = malloc(elf.size);
	for (size_t i = 0; i < elf.segment_count; i++) {
		const Elf64_Phdr *segment = &elf.segments[i];

		if (segment->p_type != PT_GNU_EH_FRAME)
			continue;
		for (size_t at = 0; at < segment->p_filesz + 512; at++) {
			memcpy(copy, elf.data, elf.size);
			if (segment->p_offset + at >= elf.size)
				break;
			copy[segment->p_offset + at] ^= 0xff;
			assert_int_equal(elf_file_from_memory(&broken, copy, elf.size, NULL), 0);
			for (uint64_t v = 0; v < 0x3000; v += 37) {
				text_function_at(&broken, v, &range);
				text_nop_before(&broken, v);
			}
		}
	}
	free(copy);
	elf_file_close(&elf);
}

static void named_addresses_are_found(void **state)
{
	struct symtab *symbols;
	struct elf_file elf;
	uint64_t target;

	write_text("names.s",
		   "#define F(name, code...) .globl name; .type name,@function; name: "
		   ".cfi_startproc;"
		   " code; ret; .cfi_endproc; .size name, .-name\n"
		   ".text\nF(target, nop)\nF(loads, lea target(%rip),%rax)\n"
		   "F(calls, call target)\nF(outer, call loads)\nF(outermost, jmp outer)\n"
		   "F(other, lea loads(%rip),%rax)\n");
	run("gcc -x assembler-with-cpp -shared -nostdlib -Wl,-Bsymbolic -o names.so names.s");
	assert_int_equal(elf_file_open(&elf, in_scratch("names.so"), NULL), 0);
	symbols = symtab_new(&elf, NULL);
	target = symtab_named(symbols, "target")->vaddr;
#define NAMES(function, depth)                                                                     \
	text_names(&elf, symtab_named(symbols, function)->vaddr, &target, 1, depth)
	assert_true(NAMES("loads", 0));
	assert_false(NAMES("calls", 0));
	assert_false(NAMES("calls", 3));
	assert_false(NAMES("outer", 0));
	assert_true(NAMES("outer", 1));
	assert_false(NAMES("outermost", 1));
	assert_true(NAMES("outermost", 2));
	assert_false(NAMES("other", 3));
	symtab_free(symbols);
	elf_file_close(&elf);
}

/* ---- tables ---------------------------------------------------------------------------------- */

static const char *reason_of(const struct fake *fake)
{
	return fake->tables.reason;
}

static void assert_found(struct fake *fake, enum python_mode mode, enum python_way way)
{
	fake_find(fake, true);
	if (fake->tables.mode != mode || fake->tables.way != way)
		print_error("mode %s way %d: %s\n", python_mode_name(fake->tables.mode),
			    fake->tables.way, reason_of(fake));
	assert_int_equal(fake->tables.mode, mode);
	assert_int_equal(fake->tables.way, way);
}

/* The functions that the process itself has in its records and tables. */
static void assert_addresses(const struct fake *fake)
{
	const struct python_tables *tables = &fake->tables;
	uint64_t words[PYTHON_DOMAIN_COUNT][6], table[5];

	assert_int_equal(
	    python_read_memory(fake->pid, tables->debug, words, sizeof(words)), 0);
	for (int domain = 0; domain < PYTHON_DOMAIN_COUNT; domain++) {
		assert_int_equal(words[domain][0], "rmo"[domain]);
		assert_memory_equal(words[domain] + 2, tables->implementations[domain],
				    sizeof(tables->implementations[domain]));
		assert_int_equal(python_read_memory(fake->pid, tables->active[domain], table,
						    sizeof(table)),
				 0);
		assert_memory_equal(table + 1, words[domain] + 2, 32);
	}
	assert_true(tables->data_start <= tables->debug && tables->debug < tables->data_end);
}

static void plain_build_is_probed_at_its_functions(void **state)
{
	struct fake fake;

	fake_compile("plain", "");
	fake_start(&fake, "plain", 11);
	assert_found(&fake, PYTHON_MODE_PYMALLOC, PYTHON_WAY_ENTRY);
	assert_addresses(&fake);
	assert_false(fake.tables.inlined);
	assert_false(fake.tables.redirected);
	assert_int_equal(fake.tables.debug_extra_bytes, 0);
	assert_string_equal(reason_of(&fake), "");
	assert_memory_equal(fake.tables.functions[PYTHON_OBJ],
			    fake.tables.implementations[PYTHON_OBJ], 32);
	fake_end(&fake);
}

static void assert_inlined(const char *options)
{
	static const uint64_t nops[] = {8, 3, 1, 7};
	struct fake fake;

	fake_compile("inlined", options);
	fake_start(&fake, "inlined", 11);
	assert_found(&fake, PYTHON_MODE_PYMALLOC, PYTHON_WAY_REDIRECT);
	assert_addresses(&fake);
	assert_true(fake.tables.inlined);
	for (int call = 0; call < PYTHON_CALL_COUNT; call++)
		assert_int_equal(fake.tables.implementations[PYTHON_OBJ][call] -
				     fake.tables.pads[call],
				 nops[call]);
	fake_find(&fake, false);
	assert_int_equal(fake.tables.way, PYTHON_WAY_NONE);
	assert_non_null(strstr(reason_of(&fake), "--no-redirect"));
	fake_end(&fake);
}

static void inlined_build_is_redirected(void **state)
{
	assert_inlined("-DINLINED");
	assert_inlined("-DINLINED -fno-pie -no-pie");
}

static void inlined_build_without_usable_nop_is_refused(void **state)
{
	struct fake fake;

	fake_compile("nonop", "-DINLINED -DFREE_PADDING='\".byte 0x0f,0x1f,0x44,0,0\\n\"'");
	fake_start(&fake, "nonop", 11);
	assert_found(&fake, PYTHON_MODE_PYMALLOC, PYTHON_WAY_NONE);
	assert_int_equal(fake.tables.pads[PYTHON_FREE], 0);
	assert_non_null(strstr(reason_of(&fake), "no usable nop before its free"));
	fake_end(&fake);
}

static void modes_are_told_apart(void **state)
{
	static const struct {
		const char *letters, *name;
		enum python_mode mode;
		enum python_way way;
		uint16_t extra;
	} cases[] = {
	    {"m", "malloc", PYTHON_MODE_MALLOC, PYTHON_WAY_NONE, 0},
	    {"d", "debug", PYTHON_MODE_DEBUG, PYTHON_WAY_ENTRY, 24},
	    {"D", "malloc", PYTHON_MODE_MALLOC, PYTHON_WAY_NONE, 0},
	    {"t", "hooked", PYTHON_MODE_HOOKED, PYTHON_WAY_ENTRY, 0},
	    {"dt", "hooked", PYTHON_MODE_HOOKED, PYTHON_WAY_ENTRY, 24},
	    {"mt", "malloc", PYTHON_MODE_MALLOC, PYTHON_WAY_NONE, 0},
	    {"ts", "pymalloc", PYTHON_MODE_PYMALLOC, PYTHON_WAY_ENTRY, 0},
	};

	fake_compile("modes", "");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct fake fake;

		fake_start(&fake, "modes", 11);
		for (const char *letter = cases[i].letters; *letter; letter++)
			fake_tell(&fake, *letter);
		assert_found(&fake, cases[i].mode, cases[i].way);
		assert_string_equal(python_mode_name(fake.tables.mode), cases[i].name);
		assert_int_equal(fake.tables.debug_extra_bytes, cases[i].extra);
		assert_string_equal(fake.tables.hook,
				    cases[i].mode == PYTHON_MODE_HOOKED ? "tracemalloc" : "");
		fake_end(&fake);
	}
}

static void old_debug_hooks_add_four_words(void **state)
{
	struct fake fake;

	fake_compile("old", "");
	fake_start(&fake, "old", 7);
	fake_tell(&fake, 'd');
	assert_found(&fake, PYTHON_MODE_DEBUG, PYTHON_WAY_ENTRY);
	assert_int_equal(fake.tables.debug_extra_bytes, 32);
	fake_end(&fake);
}

static void hook_of_another_module_is_named(void **state)
{
	struct fake fake;

	fake_compile("foreign", "");
	fake_start(&fake, "foreign", 11);
	fake_tell(&fake, 'h');
	assert_found(&fake, PYTHON_MODE_HOOKED, PYTHON_WAY_ENTRY);
	assert_string_equal(fake.tables.hook, "libc");
	fake_end(&fake);
	/* half of an inlined build cannot be seen then */
	fake_compile("half", "-DINLINED");
	fake_start(&fake, "half", 11);
	fake_tell(&fake, 'h');
	assert_found(&fake, PYTHON_MODE_HOOKED, PYTHON_WAY_NONE);
	assert_non_null(strstr(reason_of(&fake), "only one of its domains is hooked by 'libc'"));
	fake_end(&fake);
}

/* Copies of the allocator in the hooks themselves, as Debian's builds have them. */
static void hooks_with_copies_are_seen_through(void **state)
{
	struct fake fake;

	fake_compile("copies", "-DINLINED");
	fake_start(&fake, "copies", 11);
	fake_tell(&fake, 't');
	assert_found(&fake, PYTHON_MODE_HOOKED, PYTHON_WAY_REDIRECT);
	assert_int_equal(fake.tables.saved_count, 2);
	fake_end(&fake);
	fake_start(&fake, "copies", 11);
	fake_tell(&fake, 'd');
	assert_found(&fake, PYTHON_MODE_DEBUG, PYTHON_WAY_ENTRY);
	assert_int_equal(fake.tables.debug_extra_bytes, 0);
	/* the hooks are probed instead */
	assert_memory_not_equal(fake.tables.functions[PYTHON_OBJ],
				fake.tables.implementations[PYTHON_OBJ], 32);
	fake_end(&fake);
}

static void mimalloc_is_probed_itself(void **state)
{
	struct fake fake;

	fake_compile("mi", "");
	fake_start(&fake, "mi", 11);
	fake_tell(&fake, 'i');
	assert_found(&fake, PYTHON_MODE_HOOKED, PYTHON_WAY_ENTRY); /* there is none before 3.13 */
	fake_end(&fake);
	fake_compile("mi13", "-DPLACED");
	fake_start(&fake, "mi13", 13);
	assert_found(&fake, PYTHON_MODE_PYMALLOC, PYTHON_WAY_ENTRY);
	assert_addresses(&fake);
	assert_int_equal(fake.tables.active[PYTHON_OBJ] + 40, fake.tables.debug);
	fake_tell(&fake, 'i');
	assert_found(&fake, PYTHON_MODE_MIMALLOC, PYTHON_WAY_ENTRY);
	assert_memory_not_equal(fake.tables.functions[PYTHON_OBJ],
				fake.tables.implementations[PYTHON_OBJ], 32);
	fake_end(&fake);
}

static void placed_tables_must_agree_with_the_code(void **state)
{
	struct fake fake;

	/* 3.12 on they stand before the records; here they do not */
	fake_compile("placed", "");
	fake_start(&fake, "placed", 12);
	assert_found(&fake, PYTHON_MODE_UNKNOWN, PYTHON_WAY_NONE);
	assert_non_null(strstr(reason_of(&fake), "does not use the table where it should be"));
	fake_end(&fake);
}

static void two_sets_of_records_are_refused(void **state)
{
	struct fake fake;

	fake_compile("twice", "-DTWICE");
	fake_start(&fake, "twice", 11);
	assert_found(&fake, PYTHON_MODE_UNKNOWN, PYTHON_WAY_NONE);
	assert_non_null(strstr(reason_of(&fake), "more than one set of"));
	fake_end(&fake);
}

static void program_without_records_is_refused(void **state)
{
	struct fake fake;

	write_text("none.c", "#include <stdio.h>\n#include <unistd.h>\n"
			     "int main(void) { puts(\"ready\"); fflush(stdout);\n"
			     "	for (;;) pause(); }");
	run("gcc -O2 -o none none.c");
	fake_start(&fake, "none", 11);
	assert_found(&fake, PYTHON_MODE_UNKNOWN, PYTHON_WAY_NONE);
	assert_non_null(strstr(reason_of(&fake), "no allocator tables found in the data of"));
	fake_end(&fake);
}

static void free_threaded_build_is_not_recorded(void **state)
{
	struct fake fake;

	fake_compile("gilless", "");
	fake_start(&fake, "gilless", 11);
	fake.runtime.free_threaded = true;
	assert_found(&fake, PYTHON_MODE_MIMALLOC, PYTHON_WAY_NONE);
	assert_non_null(strstr(reason_of(&fake), "free-threaded"));
	fake_end(&fake);
}

static void slots_at_nops_are_the_functions_behind(void **state)
{
	struct fake fake;
	uint64_t nop;
	char path[64];
	int fd;

	fake_compile("left", "-DINLINED");
	fake_start(&fake, "left", 11);
	fake_find(&fake, true);
	nop = fake.tables.pads[PYTHON_REALLOC];
	snprintf(path, sizeof(path), "/proc/%d/mem", fake.pid);
	fd = open(path, O_RDWR);
	/* in use, and in a debug record */
	assert_int_equal(pwrite(fd, &nop, 8, fake.tables.active[PYTHON_OBJ] + 24), 8);
	assert_int_equal(pwrite(fd, &nop, 8, fake.tables.debug + 96 + 8 + 24), 8);
	close(fd);
	assert_found(&fake, PYTHON_MODE_PYMALLOC, PYTHON_WAY_REDIRECT);
	assert_true(fake.tables.redirected);
	assert_int_equal(fake.tables.implementations[PYTHON_OBJ][PYTHON_REALLOC], nop + 1);
	assert_string_equal(fake_tell(&fake, 'a'), "right 0");
	fake_end(&fake);
}

static void process_that_is_gone_is_an_error(void **state)
{
	struct python_tables tables;
	struct fake fake;
	int status;

	fake_compile("gone", "");
	fake_start(&fake, "gone", 11);
	kill(fake.pid, SIGKILL);
	waitpid(fake.pid, NULL, 0);
	status = python_tables_find(fake.pid, &fake.maps, &fake.runtime, true, &tables, NULL);
	assert_true(status < 0 || tables.way == PYTHON_WAY_NONE);
	fake_end(&fake);
}

/* ---- the plan -------------------------------------------------------------------------------- */

static const uint32_t roles[] = {ROLE_MALLOC, ROLE_CALLOC, ROLE_REALLOC, ROLE_FREE};

static void assert_point(const struct fake *fake, const struct probe_point *point, int call)
{
	uint64_t offset;

	assert_int_equal(point->role, roles[call]);
	assert_int_equal(point->alloc_class, CLASS_PYTHON);
	assert_int_equal(point->needs_return, call != PYTHON_FREE);
	assert_true(point->may_nest);
	assert_int_equal(point->site.regs[0], USER_REG_RSI);
	assert_int_equal(point->site.regs[1],
			 call == PYTHON_CALLOC || call == PYTHON_REALLOC ? USER_REG_RDX : 0);
	assert_int_equal(point->site.sp_delta8, 0);
	assert_int_equal(point->site.offset, 0);
	assert_true(point->site.emulated);
	assert_true(elf_file_offset_of_vaddr(&fake->elf, point->vaddr, &offset));
	assert_int_equal(point->file_offset, offset);
	assert_int_equal(point->return_file_offset, offset);
}

static void assert_plan(const char *options, bool redirected)
{
	struct probe_plan plan;
	struct fake fake;

	fake_compile("plan", options);
	fake_start(&fake, "plan", 11);
	fake_find(&fake, true);
	assert_int_equal(python_plan(&fake.elf, &fake.runtime, &fake.tables, &plan, NULL), 0);
	assert_int_equal(plan.kind, ALLOCATOR_NONE);
	assert_int_equal(plan.count, PYTHON_CALL_COUNT);
	for (int call = 0; call < PYTHON_CALL_COUNT; call++) {
		uint64_t wanted = redirected ? fake.tables.pads[call]
					     : fake.tables.implementations[PYTHON_OBJ][call];

		assert_point(&fake, &plan.items[call], call);
		assert_int_equal(plan.items[call].vaddr + fake.runtime.bias, wanted);
	}
	assert_string_equal(plan.items[0].site.text, redirected ? "nop of 8 bytes" : "push %rbx");
	allocator_plan_free(&plan);
	fake_end(&fake);
}

static void probes_stand_on_functions_or_nops(void **state)
{
	assert_plan("", false);
	assert_plan("-DINLINED", true);
}

static void nop_that_the_file_lacks_is_refused(void **state)
{
	struct probe_plan plan;
	struct fake fake;

	fake_compile("lacks", "-DINLINED");
	fake_start(&fake, "lacks", 11);
	fake_find(&fake, true);
	fake.tables.pads[PYTHON_CALLOC]++;
	assert_int_equal(python_plan(&fake.elf, &fake.runtime, &fake.tables, &plan, NULL),
			 -ENOTSUP);
	assert_int_equal(plan.count, 0);
	fake.tables.way = PYTHON_WAY_NONE;
	assert_int_equal(python_plan(&fake.elf, &fake.runtime, &fake.tables, &plan, NULL), -EINVAL);
	fake_end(&fake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(nop_before_a_function_is_found_in_padding_only),
	    cmocka_unit_test(file_without_search_table_has_no_functions),
	    cmocka_unit_test(broken_search_table_is_survived),
	    cmocka_unit_test(named_addresses_are_found),
	    cmocka_unit_test(plain_build_is_probed_at_its_functions),
	    cmocka_unit_test(inlined_build_is_redirected),
	    cmocka_unit_test(inlined_build_without_usable_nop_is_refused),
	    cmocka_unit_test(modes_are_told_apart),
	    cmocka_unit_test(old_debug_hooks_add_four_words),
	    cmocka_unit_test(hook_of_another_module_is_named),
	    cmocka_unit_test(hooks_with_copies_are_seen_through),
	    cmocka_unit_test(mimalloc_is_probed_itself),
	    cmocka_unit_test(placed_tables_must_agree_with_the_code),
	    cmocka_unit_test(two_sets_of_records_are_refused),
	    cmocka_unit_test(program_without_records_is_refused),
	    cmocka_unit_test(free_threaded_build_is_not_recorded),
	    cmocka_unit_test(slots_at_nops_are_the_functions_behind),
	    cmocka_unit_test(process_that_is_gone_is_an_error),
	    cmocka_unit_test(probes_stand_on_functions_or_nops),
	    cmocka_unit_test(nop_that_the_file_lacks_is_refused),
	};

	return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
