/* SPDX-License-Identifier: GPL-2.0-only */
/* test_symbolize.c - frames in, functions out: names, queues, hostile and vanishing files. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "base/abi_types.h"
#include "base/cleanup.h"
#include "profile/symbolize.h"
#include "unit/compile.h"

#define WAIT_MS 60000

static const char c_program[] = "#include <stdlib.h>\n"
				"static inline void *inner(int n) {\n"
				"	return malloc(n);\n"
				"}\n"
				"__attribute__((noinline)) void *outer(int n) {\n"
				"	void *p = inner(n + 1);\n"
				"	if (p) *(char *)p = 1;\n"
				"	return p;\n"
				"}\n"
				"int main(int argc, char **argv) {\n"
				"	return outer(argc) == NULL;\n"
				"}\n";
static const char cpp_program[] =
    "namespace { struct Keeper { __attribute__((noinline)) char *keep("
    "int n) { char *p = new char[n]; *p = 1; return p; } }; }\n"
    "int main(int argc, char **) { Keeper k; return !k.keep(argc); }\n";

static int build(void **state)
{
	if (scratch_make(state))
		return -1;
	write_text("p.c", c_program);
	write_text("k.cpp", cpp_program);
	run("gcc -O2 -g -Wl,--build-id -o p $PWD/p.c && strip -o bare p && "
	    "objcopy --only-keep-debug p p.debug");
	run("id=$(readelf -n p | sed -n 's/.*Build ID: //p'); d=dbg/.build-id/${id%%${id#??}}; "
	    "mkdir -p $d && cp p.debug $d/${id#??}.debug");
	run("g++ -O2 -g -o k $PWD/k.cpp && strip -g -o k_names k");
	return 0;
}

/* The address of the call in 'function': where a frame of it points. */
static uint64_t call_in(const char *file, const char *function)
{
	_cleanup_free_ char *text = output_of(
	    "objdump -d --no-show-raw-insn -C %s | awk '/^[0-9a-f]+ <.*%s.*>:/ {on=1} /^$/ {on=0} "
	    "on && /call/ {print $1; exit}'",
	    file, function);
	uint64_t vaddr = strtoull(text, NULL, 16);

	assert_int_not_equal(vaddr, 0);
	return vaddr + 1;
}

static uint64_t native_frame(uint32_t id, uint64_t vaddr)
{
	return FRAME_NATIVE << FRAME_TAG_SHIFT | (uint64_t)id << FRAME_PC_BITS | vaddr;
}

static struct symbolizer *new_symbolizer(bool want_lines)
{
	struct symbolizer_options options = {want_lines, in_scratch("dbg")};
	struct symbolizer *symbolizer = symbolizer_new(&options, NULL);

	assert_non_null(symbolizer);
	return symbolizer;
}

static int add_file(struct symbolizer *symbolizer, uint32_t id, const char *name)
{
	_cleanup_close_ int fd = open(in_scratch(name), O_RDONLY);

	assert_true(fd >= 0);
	return symbolizer_add_binary(symbolizer, id, fd, in_scratch(name), "");
}

/* Ask for one frame; the caller frees the result. */
static struct symbol_result ask(struct symbolizer *symbolizer, uint64_t frame)
{
	struct symbol_result result, none;

	assert_int_equal(symbolizer_submit(symbolizer, frame), 0);
	assert_int_equal(symbolizer_wait(symbolizer, WAIT_MS), 0);
	assert_true(symbolizer_collect(symbolizer, &result));
	assert_false(symbolizer_collect(symbolizer, &none));
	assert_int_equal(result.frame, frame);
	assert_true(result.line_count >= 1);
	return result;
}

static void check_inline_chain(struct symbolizer *symbolizer, const char *name)
{
	uint64_t vaddr = call_in("p", "outer");
	struct symbol_result result;

	assert_int_equal(add_file(symbolizer, 7, name), 0);
	result = ask(symbolizer, native_frame(7, vaddr));
	assert_string_equal(result.module, in_scratch(name));
	assert_int_equal(result.offset, vaddr);
	assert_int_equal(result.line_count, 2);
	assert_string_equal(result.lines[0].function, "inner");
	assert_string_equal(result.lines[0].file, in_scratch("p.c"));
	assert_int_equal(result.lines[0].line, 3);
	assert_true(result.lines[0].inlined);
	assert_string_equal(result.lines[1].function, "outer");
	assert_string_equal(result.lines[1].file, in_scratch("p.c"));
	assert_int_equal(result.lines[1].line, 6);
	assert_false(result.lines[1].inlined);
	symbol_result_free(&result);
	symbol_result_free(&result); /* harmless */
	symbolizer_free(symbolizer);
}

static void inlined_functions_come_first(void **state)
{
	check_inline_chain(new_symbolizer(true), "p");
}

static void the_debug_file_serves_a_stripped_binary(void **state)
{
	check_inline_chain(new_symbolizer(true), "bare");
}

static void without_lines_only_the_function_is_named(void **state)
{
	struct symbolizer *symbolizer = new_symbolizer(false);
	struct symbol_result result;

	add_file(symbolizer, 7, "p");
	result = ask(symbolizer, native_frame(7, call_in("p", "outer")));
	assert_int_equal(result.line_count, 1);
	assert_string_equal(result.lines[0].function, "outer");
	assert_null(result.lines[0].file);
	assert_int_equal(result.lines[0].line, 0);
	symbol_result_free(&result);
	symbolizer_free(symbolizer);
}

static void local_cpp_functions_keep_their_class(void **state)
{
	static const char *const names[] = {"k", "k_names"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct symbolizer *symbolizer = new_symbolizer(true);
		struct symbol_result result;

		add_file(symbolizer, 1, names[i]);
		result = ask(symbolizer, native_frame(1, call_in("k", "Keeper::keep")));
		assert_non_null(strstr(result.lines[result.line_count - 1].function,
				       "(anonymous namespace)::Keeper::keep("));
		symbol_result_free(&result);
		symbolizer_free(symbolizer);
	}
}

static void what_has_no_name_is_module_and_offset(void **state)
{
	struct symbolizer_options options = {true, "/none"};
	struct symbolizer *symbolizer = symbolizer_new(&options, NULL);
	struct symbol_result result;

	run("echo no ELF file > text && : > empty");
	add_file(symbolizer, 3, "bare");
	add_file(symbolizer, 4, "text");
	add_file(symbolizer, 5, "empty");
	result = ask(symbolizer, native_frame(3, 0x1049));
	assert_string_equal(result.lines[0].function, "bare+0x1049");
	assert_int_equal(result.line_count, 1);
	symbol_result_free(&result);
	result = ask(symbolizer, native_frame(3, (1ULL << FRAME_PC_BITS) - 1));
	assert_string_equal(result.lines[0].function, "bare+0x3ffffffffff");
	symbol_result_free(&result);
	result = ask(symbolizer, native_frame(4, 0));
	assert_string_equal(result.lines[0].function, "text+0x0");
	symbol_result_free(&result);
	result = ask(symbolizer, native_frame(5, 0x11));
	assert_string_equal(result.lines[0].function, "empty+0x11");
	symbol_result_free(&result);
	symbolizer_free(symbolizer);
}

static void a_binary_never_announced_is_said_to_be_unknown(void **state)
{
	struct symbolizer *symbolizer = new_symbolizer(true);
	struct symbol_result result = ask(symbolizer, native_frame(FRAME_BINARY_MAX - 1, 0x1009));

	assert_string_equal(result.lines[0].function, "unknown+0x1009");
	assert_null(result.module);
	assert_int_equal(result.offset, 0x1009);
	symbol_result_free(&result);
	symbolizer_free(symbolizer);
}

static void raw_frames_are_addresses_in_no_module(void **state)
{
	struct symbolizer *symbolizer = new_symbolizer(true);
	struct symbol_result result =
	    ask(symbolizer, FRAME_RAW << FRAME_TAG_SHIFT | 0x7f0123456789ULL);

	assert_string_equal(result.lines[0].function, "0x7f0123456789");
	assert_null(result.module);
	assert_int_equal(result.offset, 0x7f0123456789ULL);
	symbol_result_free(&result);
	symbolizer_free(symbolizer);
}

static void python_frames_are_refused(void **state)
{
	struct symbolizer *symbolizer = new_symbolizer(true);

	assert_int_equal(symbolizer_submit(symbolizer, FRAME_PYTHON << FRAME_TAG_SHIFT | 5),
			 -EINVAL);
	assert_int_equal(symbolizer_submit(symbolizer, 3ULL << FRAME_TAG_SHIFT), -EINVAL);
	assert_int_equal(symbolizer_wait(symbolizer, 0), 0);
	symbolizer_free(symbolizer);
}

static void each_frame_is_answered_once(void **state)
{
	struct symbolizer *symbolizer = new_symbolizer(true);
	static bool answered[1009];
	struct symbol_result result;
	size_t count = 0;

	add_file(symbolizer, 7, "p");
	for (int round = 0; round < 5; round++) {
		for (uint64_t i = 0; i < 1009; i++)
			assert_int_equal(symbolizer_submit(symbolizer, native_frame(7, 0x1000 + i)),
					 0);
	}
	assert_int_equal(symbolizer_wait(symbolizer, WAIT_MS), 0);
	/* also after the first answer */
	assert_int_equal(symbolizer_submit(symbolizer, native_frame(7, 0x1000)), 0);
	assert_int_equal(symbolizer_wait(symbolizer, WAIT_MS), 0);
	for (; symbolizer_collect(symbolizer, &result); count++) {
		assert_false(answered[result.offset - 0x1000]);
		answered[result.offset - 0x1000] = true;
		symbol_result_free(&result);
	}
	assert_int_equal(count, 1009);
	symbolizer_free(symbolizer);
}

static void binaries_are_announced_once(void **state)
{
	struct symbolizer *symbolizer = new_symbolizer(true);

	assert_int_equal(add_file(symbolizer, 7, "p"), 0);
	assert_int_equal(add_file(symbolizer, 7, "k"), -EEXIST);
	assert_int_equal(symbolizer_add_binary(symbolizer, 8, -1, "/x", ""), -EBADF);
	symbolizer_free(symbolizer);
}

static void a_deleted_file_is_still_read(void **state)
{
	struct symbolizer *symbolizer = new_symbolizer(true);
	struct symbol_result result;

	run("cp p gone");
	add_file(symbolizer, 9, "gone");
	run("rm gone");
	result = ask(symbolizer, native_frame(9, call_in("p", "outer")));
	assert_int_equal(result.line_count, 2);
	assert_string_equal(result.lines[1].function, "outer");
	symbol_result_free(&result);
	symbolizer_free(symbolizer);
}

/* Before its symbols were read, and between two lookups. */
static void a_truncated_file_costs_names_only(void **state)
{
	struct symbolizer *symbolizer = new_symbolizer(true);
	struct symbol_result result;

	run("cp p short && cp p short2");
	add_file(symbolizer, 9, "short");
	add_file(symbolizer, 10, "short2");
	assert_int_equal(truncate(in_scratch("short"), 100), 0);
	result = ask(symbolizer, native_frame(9, 0x1009));
	assert_string_equal(result.lines[0].function, "short+0x1009");
	symbol_result_free(&result);
	result = ask(symbolizer, native_frame(10, call_in("p", "outer")));
	symbol_result_free(&result);
	assert_int_equal(truncate(in_scratch("short2"), 0), 0);
	result = ask(symbolizer, native_frame(10, call_in("p", "main")));
	assert_string_equal(result.lines[result.line_count - 1].function, "main");
	symbol_result_free(&result);
	symbolizer_free(symbolizer);
}

/* More binaries than the budgets hold: each answer is right whatever was dropped before. */
static void many_binaries_are_answered_rightly(void **state)
{
	struct symbolizer *symbolizer = new_symbolizer(true);
	uint64_t in_p = call_in("p", "outer"), in_k = call_in("k", "Keeper::keep");
	struct symbol_result result;
	size_t count = 0;

	for (uint32_t id = 1; id <= 211; id++)
		add_file(symbolizer, id, id % 2 ? "p" : "k");
	for (uint32_t id = 211; id >= 1; id--)
		symbolizer_submit(symbolizer, native_frame(id, id % 2 ? in_p : in_k));
	assert_int_equal(symbolizer_wait(symbolizer, WAIT_MS), 0);
	for (; symbolizer_collect(symbolizer, &result); count++) {
		const char *name = result.lines[result.line_count - 1].function;

		if ((result.frame >> FRAME_PC_BITS) % 2)
			assert_string_equal(name, "outer");
		else
			assert_non_null(strstr(name, "Keeper::keep"));
		symbol_result_free(&result);
	}
	assert_int_equal(count, 211);
	symbolizer_free(symbolizer);
}

/* Open descriptors on files whose name holds 'text'. */
static size_t open_files(const char *text)
{
	_cleanup_closedir_ DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	size_t count = 0;

	while ((entry = readdir(dir))) {
		char target[512];
		ssize_t length = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);

		if (length < 0)
			continue;
		target[length] = '\0';
		count += strstr(target, text) != NULL;
	}
	return count;
}

/* 13 MiB each: at most the last one and what fits into 12 MiB beside it may stay open. */
static void debug_information_of_binaries_not_in_use_is_dropped(void **state)
{
	struct symbolizer *symbolizer = new_symbolizer(true);
	uint64_t vaddr = call_in("p", "outer");
	struct symbol_result result;
	char name[32];

	for (uint32_t id = 1; id <= 11; id++) {
		run("cp p large%u && truncate -s 13M large%u", id, id);
		snprintf(name, sizeof(name), "large%u", id);
		add_file(symbolizer, id, name);
		symbolizer_submit(symbolizer, native_frame(id, vaddr));
	}
	assert_int_equal(symbolizer_wait(symbolizer, WAIT_MS), 0);
	assert_true(open_files("/large") <= 11 + 1);
	while (symbolizer_collect(symbolizer, &result)) {
		assert_int_equal(result.line_count, 2);
		symbol_result_free(&result);
	}
	symbolizer_free(symbolizer);
	assert_int_equal(open_files(scratch), 0);
}

static void freeing_with_work_left_does_not_wait_or_leak(void **state)
{
	struct symbolizer *symbolizer = new_symbolizer(true);

	add_file(symbolizer, 7, "p");
	for (uint64_t i = 0; i < 100003; i++)
		symbolizer_submit(symbolizer, native_frame(7, i));
	symbolizer_free(symbolizer);
	symbolizer_free(NULL);
}

static void answers_come_while_more_is_asked(void **state)
{
	struct symbolizer *symbolizer = new_symbolizer(true);
	struct symbol_result result;
	size_t count = 0;

	for (uint32_t id = 0; id < 23; id++) {
		add_file(symbolizer, id, id % 3 ? "p" : "bare");
		for (uint64_t i = 0; i < 101; i++) {
			symbolizer_submit(symbolizer, native_frame(id, 0x1000 + i * 7));
			while (symbolizer_collect(symbolizer, &result)) {
				symbol_result_free(&result);
				count++;
			}
		}
	}
	assert_int_equal(symbolizer_wait(symbolizer, WAIT_MS), 0);
	while (symbolizer_collect(symbolizer, &result)) {
		symbol_result_free(&result);
		count++;
	}
	assert_int_equal(count, 23 * 101);
	symbolizer_free(symbolizer);
}

/* After a second without work debug information is dropped: the next frame needs it again. */
static void after_idling_lines_are_read_again(void **state)
{
	struct symbolizer *symbolizer = new_symbolizer(true);
	struct symbol_result result;

	add_file(symbolizer, 7, "p");
	result = ask(symbolizer, native_frame(7, call_in("p", "main")));
	symbol_result_free(&result);
	usleep(1300000);
	result = ask(symbolizer, native_frame(7, call_in("p", "outer")));
	assert_int_equal(result.line_count, 2);
	assert_int_equal(result.lines[1].line, 6);
	symbol_result_free(&result);
	symbolizer_free(symbolizer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(inlined_functions_come_first),
	    cmocka_unit_test(the_debug_file_serves_a_stripped_binary),
	    cmocka_unit_test(without_lines_only_the_function_is_named),
	    cmocka_unit_test(local_cpp_functions_keep_their_class),
	    cmocka_unit_test(what_has_no_name_is_module_and_offset),
	    cmocka_unit_test(a_binary_never_announced_is_said_to_be_unknown),
	    cmocka_unit_test(raw_frames_are_addresses_in_no_module),
	    cmocka_unit_test(python_frames_are_refused),
	    cmocka_unit_test(each_frame_is_answered_once),
	    cmocka_unit_test(binaries_are_announced_once),
	    cmocka_unit_test(a_deleted_file_is_still_read),
	    cmocka_unit_test(a_truncated_file_costs_names_only),
	    cmocka_unit_test(many_binaries_are_answered_rightly),
	    cmocka_unit_test(debug_information_of_binaries_not_in_use_is_dropped),
	    cmocka_unit_test(freeing_with_work_left_does_not_wait_or_leak),
	    cmocka_unit_test(answers_come_while_more_is_asked),
	    cmocka_unit_test(after_idling_lines_are_read_again),
	};

	return cmocka_run_group_tests(tests, build, scratch_remove);
}
