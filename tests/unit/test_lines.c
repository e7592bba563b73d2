/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_lines.c - functions, files, lines and inlined functions against llvm-addr2line.
 *
 * Not against that of binutils: 2.40 leaves out inlined functions of programs built by clang, and
 * names inlined code after the symbol that starts there.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "elf/debug_file.h"
#include "elf/demangle.h"
#include "elf/elf_file.h"
#include "elf/lines.h"
#include "elf/symtab.h"
#include "unit/compile.h"

/* Inlining across files and namespaces, a lambda, a constructor, cold and cloned functions. */
static const char cpp_header[] = "#pragma once\n"
				 "namespace deep {\n"
				 "template <class T> struct Box {\n"
				 "	T *items; unsigned count;\n"
				 "	explicit Box(unsigned n) : items(new T[n]), count(n) {}\n"
				 "	inline T &at(unsigned i) {\n"
				 "		if (i >= count)\n"
				 "			__builtin_abort();\n"
				 "		return items[i];\n"
				 "	}\n"
				 "	inline void put(unsigned i, T value) {\n"
				 "		at(i) = value;\n"
				 "	}\n"
				 "};\n"
				 "}\n";
static const char cpp_one[] = "#include \"box.h\"\n"
			      "#include <stdlib.h>\n"
			      "static inline void *grab(unsigned n) {\n"
			      "	void *p = malloc(n);\n"
			      "	if (!p) abort();\n"
			      "	return p;\n"
			      "}\n"
			      "static inline void *grab_twice(unsigned n) {\n"
			      "	free(grab(n));\n"
			      "	return grab(n + 1);\n"
			      "}\n"
			      "__attribute__((noinline)) static void *local(unsigned n) {\n"
			      "	return grab_twice(n * 2);\n"
			      "}\n"
			      "void *use(int n) {\n"
			      "	deep::Box<int> box(n);\n"
			      "	for (int i = 0; i < n; i++)\n"
			      "		box.put(i, i * 3);\n"
			      "	auto twice = [&](int x) { return box.at(x) * 2; };\n"
			      "	if (twice(1) > 7)\n"
			      "		return local(n);\n"
			      "	return grab_twice(box.at(2));\n"
			      "}\n";
static const char cpp_two[] =
    "#include \"box.h\"\n"
    "void *use(int n);\n"
    "namespace { struct Local { int x; __attribute__((noinline)) int go() "
    "{ deep::Box<long> b(x); b.put(0, x); return b.at(0); } }; }\n"
    "int main(int argc, char **) {\n"
    "	Local l{argc};\n"
    "	return use(argc) != nullptr && l.go();\n"
    "}\n";

static int build(void **state)
{
	if (scratch_make(state))
		return -1;
	write_text("box.h", cpp_header);
	write_text("one.cpp", cpp_one);
	write_text("two.cpp", cpp_two);
	return 0;
}

static struct lines *open_lines(const char *name, int *fd, struct err *err)
{
	*fd = open(in_scratch(name), O_RDONLY);
	assert_true(*fd >= 0);
	return lines_new(*fd, -1, err);
}

/* As llvm-addr2line -a -i -f -C prints it. */
static void print_chain(FILE *out, uint64_t vaddr, const struct line_frame *frames, size_t count)
{
	fprintf(out, "0x%llx\n", (unsigned long long)vaddr);
	for (size_t i = 0; i < count; i++) {
		_cleanup_free_ char *name = demangle(frames[i].function ?: "??");

		assert_int_equal(frames[i].inlined, i + 1 < count);
		if (frames[i].line)
			fprintf(out, "%s\n%s:%u\n", name, frames[i].file, frames[i].line);
		else
			fprintf(out, "%s\n%s:?\n", name, frames[i].file ?: "??");
	}
}

/* All bytes of our own functions, through lines_at and through llvm-addr2line. */
static size_t compare_with_llvm(const char *name, const char *debug_name)
{
	FILE *addresses = fopen(in_scratch("addresses"), "w"),
	     *mine = fopen(in_scratch("mine"), "w");
	struct line_frame frames[LINES_INLINE_MAX];
	size_t count = 0, inlined = 0;
	struct symtab *symbols;
	struct lines *lines;
	struct elf_file elf;
	int fd;

	assert_int_equal(elf_file_open(&elf, in_scratch(name), NULL), 0);
	symbols = symtab_new(&elf, NULL);
	elf_file_close(&elf);
	lines = open_lines(debug_name, &fd, NULL);
	assert_non_null(lines);
	for (size_t i = 0; i < symtab_count(symbols); i++) {
		const struct symbol *symbol = symtab_get(symbols, i);

		for (uint64_t at = 0; at < symbol->size_bytes; at++) {
			size_t depth = lines_at(lines, symbol->vaddr + at, frames);

			if (!depth || !frames[0].line)
				continue;
			fprintf(addresses, "0x%llx\n", (unsigned long long)symbol->vaddr + at);
			print_chain(mine, symbol->vaddr + at, frames, depth);
			count++;
			inlined += depth > 2;
		}
	}
	fclose(addresses);
	fclose(mine);
	lines_free(lines);
	symtab_free(symbols);
	close(fd);
	/* without a symbol table, so that names are those of DWARF */
	run("objcopy -S --keep-section='.debug_*' %s judged && "
	    "llvm-addr2line -a -i -f -C -e judged < addresses | sed 's/ (discriminator .*)//' > "
	    "theirs "
	    "&& diff -u theirs mine | head -40 && cmp theirs mine",
	    debug_name);
	assert_true(inlined > 23);
	return count;
}

static void gcc_programs_read_as_llvm_prints_them(void **state)
{
	static const char *const options[] = {"-O2 -gdwarf-5", "-O2 -gdwarf-4", "-O3 -gdwarf-5",
					      "-O2 -g -gz", "-O2 -g -ffunction-sections -no-pie"};

	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		run("g++ %s -o g $PWD/one.cpp $PWD/two.cpp", options[i]);
		assert_true(compare_with_llvm("g", "g") > 211);
	}
}

static void clang_programs_without_aranges_do_too(void **state)
{
	if (system("command -v clang++ >/dev/null"))
		skip();
	run("clang++ -O2 -g -o c $PWD/one.cpp $PWD/two.cpp");
	assert_true(compare_with_llvm("c", "c") > 211);
}

static void a_separate_debug_file_says_the_same(void **state)
{
	run("g++ -O2 -g -o s $PWD/one.cpp $PWD/two.cpp && objcopy --only-keep-debug s s.debug");
	assert_true(compare_with_llvm("s", "s.debug") > 211);
}

static void the_inline_chain_is_the_one_of_the_source(void **state)
{
	static const char *const functions[] = {"grab", "grab_twice", "local"};
	static const uint32_t line_numbers[] = {4, 10, 13};
	struct line_frame frames[LINES_INLINE_MAX];
	_cleanup_free_ char *text = NULL;
	struct lines *lines;
	bool found = false;
	uint64_t vaddr;
	size_t size;
	int fd;

	run("g++ -O2 -g -o chain $PWD/one.cpp $PWD/two.cpp");
	text = output_of("nm -S -C chain | awk '/ local\\(unsigned int\\)$/ {print $1, $2}'");
	assert_int_equal(sscanf(text, "%lx %lx", &vaddr, &size), 2);
	lines = open_lines("chain", &fd, NULL);
	for (uint64_t at = vaddr; at < vaddr + size; at++) {
		if (lines_at(lines, at, frames) != 3 || frames[0].line != line_numbers[0] ||
		    frames[1].line != line_numbers[1])
			continue;
		found = true;
		for (size_t i = 0; i < 3; i++) {
			_cleanup_free_ char *name = demangle(frames[i].function);

			name[strcspn(name, "(")] = '\0';
			assert_string_equal(name, functions[i]);
			assert_int_equal(frames[i].line, line_numbers[i]);
			assert_string_equal(frames[i].file, in_scratch("one.cpp"));
			assert_int_equal(frames[i].inlined, i < 2);
		}
	}
	assert_true(found);
	lines_free(lines);
	close(fd);
}

static void addresses_outside_have_no_lines(void **state)
{
	struct line_frame frames[LINES_INLINE_MAX];
	struct lines *lines;
	int fd;

	run("g++ -O2 -g -o chain $PWD/one.cpp $PWD/two.cpp");
	lines = open_lines("chain", &fd, NULL);
	assert_int_equal(lines_at(lines, 0, frames), 0);
	assert_int_equal(lines_at(lines, 1, frames), 0);
	assert_int_equal(lines_at(lines, 1ULL << 40, frames), 0);
	assert_int_equal(lines_at(lines, UINT64_MAX, frames), 0);
	lines_free(lines);
	lines_free(NULL);
	close(fd);
}

static void files_without_debug_information_are_refused(void **state)
{
	struct err err = {0};
	int fd;

	run("g++ -O2 -s -o bare $PWD/one.cpp $PWD/two.cpp && echo text > text");
	assert_null(open_lines("bare", &fd, &err));
	assert_int_equal(err.code, ENODATA);
	close(fd);
	assert_null(open_lines("text", &fd, &err));
	assert_int_equal(err.code, ENODATA);
	close(fd);
}

/* libdw would open whatever the link names: without the file, or with a wrong one, we do not. */
static void a_missing_alternate_file_means_no_lines(void **state)
{
	const struct debug_search search = {in_scratch("alt"), NULL, "/none"};
	struct err err = {0};
	struct elf_file elf;
	int fd;

	run("g++ -O2 -g -o alt $PWD/one.cpp $PWD/two.cpp && mkfifo alt.fifo && "
	    "printf '%%s\\0ABCDEFGHIJKLMNOPQRST' $PWD/alt.fifo > link && "
	    "objcopy --add-section .gnu_debugaltlink=link alt");
	assert_null(open_lines("alt", &fd, &err));
	assert_int_equal(err.code, ENODATA);
	close(fd);
	assert_int_equal(elf_file_open(&elf, in_scratch("alt"), NULL), 0);
	assert_int_equal(debug_file_open_alt(&elf, &search), -ENOENT);
	elf_file_close(&elf);
}

static void the_alternate_file_is_found_by_its_build_id(void **state)
{
	const struct debug_search search = {in_scratch("alt2"), NULL, in_scratch("dbg")};
	struct elf_file elf;
	struct lines *lines;
	int alt_fd, fd;

	run("g++ -O2 -g -Wl,--build-id=0x4142434445464748494a4b4c4d4e4f5051525354 -o shared_part "
	    "$PWD/one.cpp $PWD/two.cpp && mkdir -p dbg/.build-id/41 && "
	    "cp shared_part dbg/.build-id/41/42434445464748494a4b4c4d4e4f5051525354.debug && "
	    "g++ -O2 -g -o alt2 $PWD/one.cpp $PWD/two.cpp && "
	    "printf '/none/x\\0ABCDEFGHIJKLMNOPQRST' > link && "
	    "objcopy --add-section .gnu_debugaltlink=link alt2");
	assert_int_equal(elf_file_open(&elf, in_scratch("alt2"), NULL), 0);
	alt_fd = debug_file_open_alt(&elf, &search);
	assert_true(alt_fd >= 0);
	elf_file_close(&elf);
	fd = open(in_scratch("alt2"), O_RDONLY);
	lines = lines_new(fd, alt_fd, NULL);
	assert_non_null(lines);
	lines_free(lines);
	close(fd);
	close(alt_fd);
}

/* So many units that what libdw holds is given back in between: answers stay the same. */
static void memory_stays_bounded_over_many_units(void **state)
{
	struct line_frame frames[LINES_INLINE_MAX];
	struct symtab *symbols;
	struct elf_file elf;
	struct lines *lines;
	size_t least = SIZE_MAX, most = 0, answered = 0;
	char name[32];
	int fd;

	run("for i in $(seq 61); do { for j in $(seq 997); do "
	    "echo \"struct s${i}_$j { int member_$j; char *text_$j; long number_$j[4]; }; "
	    "int u${i}_$j(struct s${i}_$j *s) { return s->member_$j; }\"; done; } > unit$i.c; "
	    "done; "
	    "echo 'int main(void) { return 0; }' > unit0.c; gcc -O0 -g -o units unit*.c");
	assert_int_equal(elf_file_open(&elf, in_scratch("units"), NULL), 0);
	symbols = symtab_new(&elf, NULL);
	elf_file_close(&elf);
	lines = open_lines("units", &fd, NULL);
	for (int round = 0; round < 2; round++) {
		for (int unit = 1; unit <= 61; unit++) {
			const struct symbol *symbol;

			snprintf(name, sizeof(name), "u%d_991", unit);
			symbol = symtab_named(symbols, name);
			assert_int_equal(lines_at(lines, symbol->vaddr, frames), 1);
			assert_string_equal(frames[0].function, name);
			assert_int_equal(frames[0].line, 991);
			answered++;
			if (lines_bytes(lines) > most)
				most = lines_bytes(lines);
			if (answered > 61 && lines_bytes(lines) < least)
				least = lines_bytes(lines);
		}
	}
	assert_true(least < most);
	assert_true(most < (64 << 20));
	lines_free(lines);
	symtab_free(symbols);
	close(fd);
}

/* libdw is the parser; our walk over what it says must end. */
static void damaged_debug_information_does_no_harm(void **state)
{
	struct line_frame frames[LINES_INLINE_MAX];
	_cleanup_free_ uint8_t *bytes = NULL;
	uint64_t random = 0x9E3779B97F4A7C15ULL;
	const Elf64_Shdr *info;
	struct elf_file elf;
	uint64_t text;
	size_t size;

	run("g++ -O2 -g -o chain $PWD/one.cpp $PWD/two.cpp");
	bytes = read_bytes(in_scratch("chain"), &size);
	assert_int_equal(elf_file_from_memory(&elf, bytes, size, NULL), 0);
	info = elf_file_section(&elf, ".debug_info");
	text = elf_file_section(&elf, ".text")->sh_addr;
	for (int round = 0; round < 307; round++) {
		_cleanup_close_ int fd =
		    open(in_scratch("damaged"), O_RDWR | O_CREAT | O_TRUNC, 0600);
		struct lines *lines;

		assert_int_equal(pwrite(fd, bytes, size, 0), size);
		for (int i = 0; i < 7; i++) {
			uint8_t byte = next_random(&random);
			uint64_t at = next_random(&random) % info->sh_size;

			assert_int_equal(pwrite(fd, &byte, 1, info->sh_offset + at), 1);
		}
		lines = lines_new(fd, -1, NULL);
		if (!lines)
			continue;
		for (uint64_t at = 0; at < 512; at += 5)
			lines_at(lines, text + at, frames);
		lines_free(lines);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(gcc_programs_read_as_llvm_prints_them),
	    cmocka_unit_test(clang_programs_without_aranges_do_too),
	    cmocka_unit_test(a_separate_debug_file_says_the_same),
	    cmocka_unit_test(the_inline_chain_is_the_one_of_the_source),
	    cmocka_unit_test(addresses_outside_have_no_lines),
	    cmocka_unit_test(files_without_debug_information_are_refused),
	    cmocka_unit_test(a_missing_alternate_file_means_no_lines),
	    cmocka_unit_test(the_alternate_file_is_found_by_its_build_id),
	    cmocka_unit_test(memory_stays_bounded_over_many_units),
	    cmocka_unit_test(damaged_debug_information_does_no_harm),
	};

	return cmocka_run_group_tests(tests, build, scratch_remove);
}
