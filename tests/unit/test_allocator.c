/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_allocator.c - which functions of a binary get probes. The binaries are made by the machine's
 * compiler from a few lines each; tests/allocators.sh looks at real allocators.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/stat.h>

#include "base/abi_types.h"
#include "base/err.h"
#include "elf/elf_file.h"
#include "elf/symtab.h"
#include "target/allocator.h"

#define LIBRARY "-shared -fPIC -O2 -fno-builtin -nostdlib"

static char directory[] = "/tmp/test_allocator.XXXXXX";

static int make_directory(void **state)
{
	return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -r %s", directory);
	return system(command);
}

/* Compile 'source' ("c", "c++" or "assembler") to a file of that name in our directory. */
static const char *build(const char *language, const char *source, const char *flags,
			 const char *name)
{
	static char path[128];
	char command[512], input[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	snprintf(input, sizeof(input), "%s/source", directory);
	file = fopen(input, "w");
	assert_non_null(file);
	fputs(source, file);
	fclose(file);
	snprintf(command, sizeof(command), "%s -w -x %s %s -x none -o %s %s",
		 strcmp(language, "c++") ? "gcc" : "g++", language, input, path, flags);
	assert_int_equal(system(command), 0);
	return path;
}

static void plan_file(const char *path, struct probe_plan *plan)
{
	struct err err = {0};
	struct symtab *symbols;
	struct elf_file elf;

	assert_int_equal(elf_file_open(&elf, path, &err), 0);
	symbols = symtab_new(&elf, NULL);
	assert_non_null(symbols);
	assert_int_equal(allocator_plan(&elf, symbols, path, plan, &err), 0);
	symtab_free(symbols);
	elf_file_close(&elf);
}

static const struct probe_point *point_of(const struct probe_plan *plan, const char *function)
{
	for (size_t i = 0; i < plan->count; i++)
		if (!strcmp(plan->items[i].function, function))
			return &plan->items[i];
	return NULL;
}

static size_t points_of_class(const struct probe_plan *plan, uint32_t alloc_class)
{
	size_t count = 0;

	for (size_t i = 0; i < plan->count; i++)
		count += plan->items[i].alloc_class == alloc_class;
	return count;
}

/* ---- libraries ------------------------------------------------------------------------------- */

static void library_that_defines_malloc_and_free_is_an_allocator(void **state)
{
	struct probe_plan plan;

	plan_file(build("c",
			"void *malloc(long n) { return (char *)0 + n; } void free(void *p) {}"
			"void *calloc(long a, long b) { return (char *)0 + a * b; }",
			LIBRARY, "own.so"),
		  &plan);
	assert_int_equal(plan.kind, ALLOCATOR_UNKNOWN);
	assert_true(plan.is_library);
	assert_int_equal(plan.count, 3);
	assert_int_equal(point_of(&plan, "malloc")->role, ROLE_MALLOC);
	assert_int_equal(point_of(&plan, "calloc")->role, ROLE_CALLOC);
	assert_int_equal(point_of(&plan, "free")->role, ROLE_FREE);
	assert_int_equal(point_of(&plan, "free")->alloc_class, CLASS_MALLOC);
	assert_true(point_of(&plan, "malloc")->needs_return);
	assert_false(point_of(&plan, "free")->needs_return);
	assert_string_equal(plan.missing, "");
	allocator_plan_free(&plan);
	assert_int_equal(plan.count, 0);
}

static void wrapper_of_malloc_by_dlsym_is_probed(void **state)
{
	struct probe_plan plan;

	plan_file(
	    build("c",
		  "extern void *dlsym(void *, const char *);"
		  "void *malloc(long n) { void *(*next)(long) = dlsym((void *)-1L, \"malloc\");"
		  " return next(n + 16); }"
		  "void free(void *p) { void (*next)(void *) = dlsym((void *)-1L, \"free\");"
		  " next(p); }",
		  "-shared -fPIC -O2", "wrapper.so"),
	    &plan);
	assert_int_equal(plan.kind, ALLOCATOR_UNKNOWN);
	assert_int_equal(plan.count, 2);
	allocator_plan_free(&plan);
}

static void malloc_without_free_is_no_allocator(void **state)
{
	struct probe_plan plan;

	plan_file(build("c", "void *malloc(long n) { return 0; }", LIBRARY, "half.so"), &plan);
	assert_int_equal(plan.kind, ALLOCATOR_NONE);
	assert_int_equal(plan.count, 0);
	assert_false(plan.is_library);
	allocator_plan_free(&plan);
}

static void aliases_share_one_probe_under_the_plain_name(void **state)
{
	struct probe_plan plan;

	plan_file(build("c",
			"void *tc_malloc(long n) { return (char *)0 + n; } void tc_free(void *p) {}"
			"void *malloc(long) __attribute__((alias(\"tc_malloc\")));"
			"void *_Znwm(long) __attribute__((alias(\"tc_malloc\")));"
			"void free(void *) __attribute__((alias(\"tc_free\")));"
			"void _ZdlPv(void *) __attribute__((alias(\"tc_free\")));",
			LIBRARY, "alias.so"),
		  &plan);
	assert_int_equal(plan.kind, ALLOCATOR_TCMALLOC);
	assert_int_equal(plan.count, 2);
	assert_non_null(point_of(&plan, "malloc"));
	assert_non_null(point_of(&plan, "free"));
	allocator_plan_free(&plan);
}

static void function_that_only_jumps_on_is_left_out(void **state)
{
	struct probe_plan plan;

	/* directly, through the procedure linkage table, and through a thunk without a name */
	plan_file(build("assembler",
			".globl malloc, free, memalign, mi_malloc, valloc, cfree\n"
			".type malloc,@function\n.type free,@function\n.type cfree,@function\n"
			".type memalign,@function\n.type mi_malloc,@function\n"
			".type valloc,@function\n"
			"malloc: push %rbx\n pop %rbx\n ret\n"
			".Lthunk: jmp free\n"
			"free: ret\n"
			"mi_malloc: endbr64\n jmp malloc@plt\n"
			"valloc: mov %rdi,%rsi\n jmp .Lmalloc\n"
			".Lmalloc: jmp malloc@plt\n"
			"cfree: jmp .Lthunk\n"
			"memalign: test %rdi,%rdi\n je 1f\n jmp malloc@plt\n1: ret\n",
			"-shared -nostdlib -Wl,-Bsymbolic", "jumps.so"),
		  &plan);
	assert_int_equal(plan.kind, ALLOCATOR_MIMALLOC);
	assert_non_null(point_of(&plan, "malloc"));
	assert_non_null(point_of(&plan, "free"));
	assert_non_null(point_of(&plan, "memalign")); /* not in every call */
	assert_null(point_of(&plan, "mi_malloc"));
	assert_null(point_of(&plan, "valloc"));
	assert_null(point_of(&plan, "cfree"));
	assert_int_equal(plan.count, 3);
	allocator_plan_free(&plan);
}

static void functions_that_jump_to_one_another_end(void **state)
{
	struct probe_plan plan;

	plan_file(
	    build("assembler",
		  ".globl malloc, free, calloc, realloc\n"
		  ".type malloc,@function\n.type free,@function\n"
		  ".type calloc,@function\n.type realloc,@function\n"
		  "calloc: jmp realloc\nrealloc: jmp calloc\nmalloc: jmp malloc\nfree: jmp free\n",
		  "-shared -nostdlib -Wl,-Bsymbolic", "loops.so"),
	    &plan);
	assert_non_null(point_of(&plan, "malloc")); /* itself is no other function */
	allocator_plan_free(&plan);
}

static void indirect_function_is_left_out(void **state)
{
	struct probe_plan plan;

	plan_file(
	    build("c",
		  "void *one(long n) { return (char *)0 + n; }"
		  "void *(*pick(void))(long) { return one; }"
		  "void *malloc(long) __attribute__((ifunc(\"pick\")));"
		  "void free(void *p) {} void *calloc(long a, long b) { return (char *)0 + a; }",
		  LIBRARY, "ifunc.so"),
	    &plan);
	assert_null(point_of(&plan, "malloc"));
	assert_non_null(point_of(&plan, "calloc"));
	allocator_plan_free(&plan);
}

static void jemalloc_with_a_prefix_is_found(void **state)
{
	struct probe_plan plan;

	plan_file(build("c",
			"#define F(name) void *_rjem_##name(long a, long b) { return (char *)a + "
			"__LINE__; }\n"
			"F(malloc)\nF(calloc)\nF(realloc)\nF(mallocx)\nF(rallocx)\nF(dallocx)\n"
			"F(sdallocx)\nF(xallocx)\nF(free)\nF(aligned_alloc)\nF(nallocx)\n",
			LIBRARY, "rjem.so"),
		  &plan);
	assert_int_equal(plan.kind, ALLOCATOR_JEMALLOC);
	assert_int_equal(point_of(&plan, "_rjem_malloc")->role, ROLE_MALLOC);
	assert_int_equal(point_of(&plan, "_rjem_mallocx")->role, ROLE_MALLOC);
	assert_int_equal(point_of(&plan, "_rjem_rallocx")->role, ROLE_REALLOC);
	assert_int_equal(point_of(&plan, "_rjem_sdallocx")->role, ROLE_FREE);
	assert_int_equal(point_of(&plan, "_rjem_aligned_alloc")->role, ROLE_MEMALIGN);
	assert_null(point_of(&plan, "_rjem_xallocx")); /* in place */
	assert_null(point_of(&plan, "_rjem_nallocx")); /* computes */
	assert_int_equal(plan.count, 9);
	allocator_plan_free(&plan);
}

static void registers_follow_the_order_of_the_role(void **state)
{
	const struct probe_point *point;
	struct probe_plan plan;
	uint64_t cookie;

	/* mi_heap_realloc(heap, ptr, size), with the size moved before the first cheap instruction
	 */
	plan_file(
	    build("assembler",
		  ".globl mi_malloc, mi_free, mi_heap_realloc\n"
		  ".type mi_malloc,@function\n.type mi_free,@function\n"
		  ".type mi_heap_realloc,@function\n"
		  "mi_malloc: push %rbx\n pop %rbx\n ret\n"
		  "mi_free: sub $24,%rsp\n mov %rdi,%r11\n xor %edi,%edi\n je 1f\n"
		  "1: add $24,%rsp\n ret\n"
		  "mi_heap_realloc: mov %rdx,%rcx\n xor %edx,%edx\n push %rbx\n pop %rbx\n ret\n",
		  "-shared -nostdlib", "heap.so"),
	    &plan);
	point = point_of(&plan, "mi_heap_realloc");
	assert_int_equal(point->site.offset, 5);
	cookie = allocator_cookie(point);
	assert_int_equal(COOKIE_ROLE(cookie), ROLE_REALLOC);
	assert_int_equal(COOKIE_CLASS(cookie), CLASS_MALLOC);
	assert_int_equal(COOKIE_REG(cookie, 0), USER_REG_RSI);
	assert_int_equal(COOKIE_REG(cookie, 1), USER_REG_RCX);
	assert_int_equal(COOKIE_SP_DELTA(cookie), 0);
	cookie = allocator_cookie(point_of(&plan, "mi_free"));
	assert_int_equal(COOKIE_ROLE(cookie), ROLE_FREE);
	assert_int_equal(COOKIE_REG(cookie, 0), USER_REG_R8 + 3);
	assert_int_equal(COOKIE_SP_DELTA(cookie), 3);
	allocator_plan_free(&plan);
}

static void offset_is_one_of_the_file(void **state)
{
	const struct probe_point *point;
	struct probe_plan plan;
	struct elf_file elf;
	const char *path = build("assembler",
				 ".globl malloc, free\n"
				 ".type malloc,@function\n.type free,@function\n"
				 "malloc: xor %eax,%eax\n push %r15\n pop %r15\n ret\nfree: ret\n",
				 "-shared -nostdlib -Wl,-z,separate-code", "offset.so");

	plan_file(path, &plan);
	point = point_of(&plan, "malloc");
	assert_int_equal(point->site.offset, 2);
	assert_string_equal(point->site.text, "push %r15");
	assert_int_equal(point->return_file_offset, point->file_offset);
	assert_int_equal(elf_file_open(&elf, path, NULL), 0);
	assert_memory_equal(elf_file_at(&elf, point->file_offset, 2), "\x41\x57", 2);
	elf_file_close(&elf);
	allocator_plan_free(&plan);
}

/* ---- operators new and delete ---------------------------------------------------------------- */

#define OPERATORS                                                                                  \
	"#include <stdlib.h>\n#include <new>\n"                                                    \
	"void *operator new(size_t n) { void *p = malloc(n); if (!p) abort(); return p; }"         \
	"void operator delete(void *p) noexcept { free(p); }"                                      \
	"void operator delete(void *p, size_t) noexcept { free(p); }"

static void operators_that_end_in_malloc_are_left_out(void **state)
{
	struct probe_plan plan;

	plan_file(build("c++", OPERATORS, "-shared -fPIC -O2 -fno-builtin", "plt.so"), &plan);
	assert_int_equal(plan.count, 0);
	assert_int_equal(plan.kind, ALLOCATOR_NONE);
	allocator_plan_free(&plan);
	plan_file(build("c++", OPERATORS, "-shared -fPIC -O2 -fno-builtin -fno-plt", "got.so"),
		  &plan);
	assert_int_equal(plan.count, 0);
	allocator_plan_free(&plan);
}

static void operators_with_memory_of_their_own_are_probed(void **state)
{
	struct probe_plan plan;

	plan_file(build("c++",
			"#include <new>\nstatic char pool[7919]; static unsigned long used;"
			"void *operator new(unsigned long n) { used += n; return pool + used - n; }"
			"void operator delete(void *p) noexcept { used--; }",
			"-shared -fPIC -O2 -fno-builtin", "pool.so"),
		  &plan);
	assert_int_equal(plan.kind, ALLOCATOR_CXX);
	assert_int_equal(point_of(&plan, "_Znwm")->role, ROLE_MALLOC);
	assert_int_equal(point_of(&plan, "_ZdlPv")->role, ROLE_FREE);
	assert_int_equal(plan.count, 2);
	allocator_plan_free(&plan);
}

static void operators_of_an_allocator_are_probed_although_they_call_malloc(void **state)
{
	struct probe_plan plan;

	plan_file(
	    build("c++",
		  "extern \"C\" { void *mi_malloc(long n) { return (char *)0 + n; }"
		  "void mi_free(void *p) {} void *malloc(long n) { return (char *)0 + 2 * n; }"
		  "void free(void *p) { *(char *)p = 1; } }"
		  "void *operator new(unsigned long n) { return n < 509 ? (char *)0 + n : "
		  "malloc(n); }",
		  LIBRARY, "fast.so"),
	    &plan);
	assert_int_equal(plan.kind, ALLOCATOR_MIMALLOC);
	assert_non_null(point_of(&plan, "_Znwm"));
	allocator_plan_free(&plan);
}

/* ---- programs -------------------------------------------------------------------------------- */

#define PROGRAM "#include <stdlib.h>\nint main(void) { free(malloc(17)); return 0; }"

static void program_that_imports_malloc_gets_no_probes(void **state)
{
	struct probe_plan plan;

	plan_file(build("c", PROGRAM, "-O0", "dynamic"), &plan);
	assert_int_equal(plan.count, 0);
	assert_int_equal(plan.kind, ALLOCATOR_NONE);
	assert_false(plan.is_library);
	assert_string_equal(plan.missing, "");
	allocator_plan_free(&plan);
	/* not position-independent: its undefined malloc may have an address */
	plan_file(build("c", PROGRAM "\nvoid *(*volatile f)(size_t) = malloc;",
			"-O0 -no-pie -fno-pie", "dynamic-no-pie"),
		  &plan);
	assert_int_equal(plan.count, 0);
	allocator_plan_free(&plan);
}

static void statically_linked_program_is_probed_as_libc_is(void **state)
{
	static const char *const flags[] = {"-O0 -static", "-O0 -static-pie"};

	for (int i = 0; i < 2; i++) {
		struct probe_plan plan;

		plan_file(build("c", PROGRAM, flags[i], "static"), &plan);
		assert_int_equal(plan.kind, ALLOCATOR_GLIBC);
		assert_false(plan.is_library);
		assert_non_null(point_of(&plan, "malloc"));
		assert_non_null(point_of(&plan, "free"));
		assert_non_null(point_of(&plan, "mmap"));
		assert_non_null(point_of(&plan, "munmap"));
		assert_true(point_of(&plan, "malloc")->site.emulated);
		assert_true(point_of(&plan, "free")->site.emulated);
		assert_null(point_of(&plan, "__libc_malloc")); /* an alias */
		assert_null(point_of(&plan, "_dl_debug_state"));
		assert_string_equal(plan.missing, "");
		allocator_plan_free(&plan);
	}
}

static void operators_of_a_static_program_are_left_out(void **state)
{
	struct probe_plan plan;

	plan_file(build("c++", "int main() { delete new int[7]; }", "-O0 -static", "static-cxx"),
		  &plan);
	assert_int_equal(plan.kind, ALLOCATOR_GLIBC);
	assert_non_null(point_of(&plan, "malloc"));
	assert_null(point_of(&plan, "_Znwm"));
	assert_null(point_of(&plan, "_ZdlPv"));
	allocator_plan_free(&plan);
}

static void stripped_static_program_is_told_of(void **state)
{
	struct probe_plan plan;

	plan_file(build("c", PROGRAM, "-O0 -static -s", "stripped"), &plan);
	assert_int_equal(plan.count, 0);
	assert_non_null(strstr(plan.missing, "statically linked"));
	assert_non_null(strstr(plan.missing, "not stripped"));
	assert_null(strchr(plan.missing, '\n'));
	assert_true(strlen(plan.missing) < sizeof(plan.missing) - 1);
	allocator_plan_free(&plan);
}

/* ---- the C library --------------------------------------------------------------------------- */

static void libc_has_classes_malloc_and_mmap(void **state)
{
	static const char *const wanted[] = {"malloc",	       "calloc", "realloc", "free",
					     "posix_memalign", "mmap",	 "munmap",  "mremap",
					     "sbrk",	       "brk"};
	const char *path = "/lib/x86_64-linux-gnu/libc.so.6";
	struct probe_plan plan;
	struct stat status;

	if (stat(path, &status))
		skip();
	plan_file(path, &plan);
	assert_int_equal(plan.kind, ALLOCATOR_GLIBC);
	assert_true(plan.is_library);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		assert_non_null(point_of(&plan, wanted[i]));
	assert_int_equal(points_of_class(&plan, CLASS_MMAP), 5);
	assert_null(point_of(&plan, "reallocarray"));
	assert_false(point_of(&plan, "munmap")->needs_return);
	assert_true(point_of(&plan, "mmap")->needs_return);
	assert_true(point_of(&plan, "brk")->needs_return);
	allocator_plan_free(&plan);
}

static void dynamic_linker_is_asked_for_its_libraries_only(void **state)
{
	struct probe_plan plan;
	struct stat status;

	if (stat("/lib64/ld-linux-x86-64.so.2", &status))
		skip();
	plan_file("/lib64/ld-linux-x86-64.so.2", &plan);
	assert_int_equal(plan.kind, ALLOCATOR_NONE);
	assert_int_equal(plan.count, 1);
	assert_int_equal(plan.items[0].role, ROLE_DL_CHANGED);
	assert_false(plan.items[0].needs_return);
	assert_false(plan.is_library);
	allocator_plan_free(&plan);
	/* an older one, which exports malloc, under the name of its file */
	plan_file(build("c",
			"void *malloc(long n) { return (char *)0 + n; } void free(void *p) {}"
			"void _dl_debug_state(void) {}",
			LIBRARY, "ld-2.31.so"),
		  &plan);
	assert_int_equal(plan.count, 1);
	assert_int_equal(plan.items[0].role, ROLE_DL_CHANGED);
	allocator_plan_free(&plan);
}

static void mmap_outside_the_c_library_is_left_out(void **state)
{
	struct probe_plan plan;

	plan_file(build("c",
			"void *malloc(long n) { return (char *)0 + n; } void free(void *p) {}"
			"void *mmap(long a, long b) { return (char *)0 + a; }",
			LIBRARY, "map.so"),
		  &plan);
	assert_int_equal(plan.count, 2);
	assert_null(point_of(&plan, "mmap"));
	allocator_plan_free(&plan);
}

static void every_kind_has_a_name(void **state)
{
	for (int kind = 0; kind < ALLOCATOR_KIND_COUNT; kind++)
		assert_true(*allocator_kind_name(kind));
	assert_string_equal(allocator_kind_name(ALLOCATOR_GLIBC), "glibc");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(library_that_defines_malloc_and_free_is_an_allocator),
	    cmocka_unit_test(wrapper_of_malloc_by_dlsym_is_probed),
	    cmocka_unit_test(malloc_without_free_is_no_allocator),
	    cmocka_unit_test(aliases_share_one_probe_under_the_plain_name),
	    cmocka_unit_test(function_that_only_jumps_on_is_left_out),
	    cmocka_unit_test(functions_that_jump_to_one_another_end),
	    cmocka_unit_test(indirect_function_is_left_out),
	    cmocka_unit_test(jemalloc_with_a_prefix_is_found),
	    cmocka_unit_test(registers_follow_the_order_of_the_role),
	    cmocka_unit_test(offset_is_one_of_the_file),
	    cmocka_unit_test(operators_that_end_in_malloc_are_left_out),
	    cmocka_unit_test(operators_with_memory_of_their_own_are_probed),
	    cmocka_unit_test(operators_of_an_allocator_are_probed_although_they_call_malloc),
	    cmocka_unit_test(program_that_imports_malloc_gets_no_probes),
	    cmocka_unit_test(statically_linked_program_is_probed_as_libc_is),
	    cmocka_unit_test(operators_of_a_static_program_are_left_out),
	    cmocka_unit_test(stripped_static_program_is_told_of),
	    cmocka_unit_test(libc_has_classes_malloc_and_mmap),
	    cmocka_unit_test(dynamic_linker_is_asked_for_its_libraries_only),
	    cmocka_unit_test(mmap_outside_the_c_library_is_left_out),
	    cmocka_unit_test(every_kind_has_a_name),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
