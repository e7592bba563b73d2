/* SPDX-License-Identifier: GPL-2.0-only */
/* test_elf_file.c - elf_file and elf_copy on true, cut and damaged files. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "elf/elf_copy.h"
#include "elf/elf_file.h"
#include "elf/symtab.h"
#include "unit/compile.h"

static const char program[] = "int answer(void) { return 42; }\n"
			      "int main(void) { return answer() - 42; }\n";

static int build(void **state)
{
	if (scratch_make(state))
		return -1;
	write_text("p.c", program);
	run("gcc -O1 -g -Wl,--build-id -o p p.c && strip -o stripped p");
	run("gcc -O1 -Wl,--build-id=0x0123456789abcdef -o short_id p.c");
	run("gcc -O1 -Wl,--build-id=none -o no_id p.c");
	run("gcc -O1 -c -o p.o p.c");
	return 0;
}

static void build_id_hex(const struct elf_file *elf, char hex[2 * BUILD_ID_MAX + 1])
{
	uint8_t id[BUILD_ID_MAX];
	size_t length = elf_file_build_id(elf, id);

	hex[0] = '\0';
	for (size_t i = 0; i < length; i++)
		sprintf(hex + 2 * i, "%02x", id[i]);
}

static void build_id_is_the_one_readelf_prints(void **state)
{
	_cleanup_free_ char *wanted =
	    output_of("readelf -n p | sed -n 's/.*Build ID: //p' | tr -d '\\n'");
	char hex[2 * BUILD_ID_MAX + 1];
	struct elf_file elf;

	assert_int_equal(elf_file_open(&elf, in_scratch("p"), NULL), 0);
	build_id_hex(&elf, hex);
	assert_int_equal(strlen(hex), 40);
	assert_string_equal(hex, wanted);
	elf_file_close(&elf);
}

static void build_id_may_be_short_or_absent(void **state)
{
	char hex[2 * BUILD_ID_MAX + 1];
	struct elf_file elf;

	assert_int_equal(elf_file_open(&elf, in_scratch("short_id"), NULL), 0);
	build_id_hex(&elf, hex);
	assert_string_equal(hex, "0123456789abcdef");
	elf_file_close(&elf);
	assert_int_equal(elf_file_open(&elf, in_scratch("no_id"), NULL), 0);
	build_id_hex(&elf, hex);
	assert_string_equal(hex, "");
	elf_file_close(&elf);
}

static void refused_files_say_why(void **state)
{
	struct elf_file elf;
	struct err err = {0};

	write_text("text", "#!/bin/sh\nexit 0\n");
	assert_int_equal(elf_file_open(&elf, in_scratch("text"), &err), -ENOEXEC);
	assert_non_null(strstr(err.text, "not an ELF file"));
	write_text("empty", "");
	assert_int_equal(elf_file_open(&elf, in_scratch("empty"), &err), -ENOEXEC);
	assert_int_equal(elf_file_open(&elf, in_scratch("absent"), &err), -ENOENT);
	assert_int_equal(elf_file_open(&elf, scratch, &err), -ENOEXEC);
	run("cp p x32 && printf '\\001' | dd of=x32 bs=1 seek=4 conv=notrunc status=none");
	assert_int_equal(elf_file_open(&elf, in_scratch("x32"), &err), -ENOEXEC);
	assert_non_null(strstr(err.text, "32-bit"));
	run("cp p arm && printf '\\267' | dd of=arm bs=1 seek=18 conv=notrunc status=none");
	assert_int_equal(elf_file_open(&elf, in_scratch("arm"), &err), -ENOEXEC);
	assert_non_null(strstr(err.text, "x86-64"));
}

static void offsets_and_addresses_agree_with_program_headers(void **state)
{
	_cleanup_free_ char *loads =
	    output_of("readelf -lW p | awk '$1==\"LOAD\" {print $2, $3, $5, $7 $8}'");
	unsigned long long offset, vaddr, file_bytes;
	struct elf_file elf;
	char flags[8];
	int count = 0;

	assert_int_equal(elf_file_open(&elf, in_scratch("p"), NULL), 0);
	for (char *line = strtok(loads, "\n"); line; line = strtok(NULL, "\n"), count++) {
		uint64_t got;

		assert_int_equal(
		    sscanf(line, "%llx %llx %llx %7s", &offset, &vaddr, &file_bytes, flags), 4);
		assert_true(elf_file_vaddr_of_offset(&elf, offset + 7, &got));
		assert_int_equal(got, vaddr + 7);
		assert_true(elf_file_offset_of_vaddr(&elf, vaddr + file_bytes - 1, &got));
		assert_int_equal(got, offset + file_bytes - 1);
		assert_int_equal(elf_file_is_text(&elf, vaddr), strchr(flags, 'E') != NULL);
		assert_ptr_equal(elf_file_at_vaddr(&elf, vaddr, file_bytes), elf.data + offset);
		assert_null(elf_file_at_vaddr(&elf, vaddr, file_bytes + 1));
		if (strchr(flags, 'E'))
			assert_int_equal(elf_file_text_vaddr(&elf), vaddr);
	}
	assert_true(count >= 3);
	assert_null(elf_file_at(&elf, elf.size, 1));
	assert_null(elf_file_at(&elf, UINT64_MAX, 2));
	assert_null(elf_file_at(&elf, 1, UINT64_MAX));
	assert_non_null(elf_file_at(&elf, elf.size - 1, 1));
	elf_file_close(&elf);
}

static void a_copy_holds_the_naming_parts_and_no_code(void **state)
{
	_cleanup_close_ int fd = open(in_scratch("p"), O_RDONLY);
	static const char *const kept[] = {".symtab", ".strtab", ".dynsym", ".note.gnu.build-id",
					   ".dynamic"};
	struct elf_file elf, copy;

	assert_int_equal(elf_file_open_fd(&elf, fd, "p", NULL), 0);
	assert_int_equal(elf_copy_open_fd(&copy, fd, "p", NULL), 0);
	assert_int_equal(elf.size, copy.size);
	for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
		const Elf64_Shdr *section = elf_file_section(&copy, kept[i]);

		assert_non_null(section);
		assert_memory_equal(copy.data + section->sh_offset, elf.data + section->sh_offset,
				    section->sh_size);
	}
	assert_int_equal(copy.data[elf_file_section(&copy, ".text")->sh_offset], 0);
	elf_file_close(&elf);
	elf_file_close(&copy);
}

static void a_copy_survives_truncation_of_the_file(void **state)
{
	_cleanup_close_ int fd = -1;
	struct symtab *symbols;
	struct elf_file copy;

	run("cp p shrinks");
	fd = open(in_scratch("shrinks"), O_RDONLY);
	assert_int_equal(elf_copy_open_fd(&copy, fd, "shrinks", NULL), 0);
	assert_int_equal(truncate(in_scratch("shrinks"), 0), 0);
	symbols = symtab_new(&copy, NULL);
	assert_non_null(symtab_named(symbols, "answer"));
	symtab_free(symbols);
	elf_file_close(&copy);
	assert_int_equal(elf_copy_open_fd(&copy, fd, "shrinks", NULL), -ENOEXEC);
}

static void a_fifo_or_folder_is_refused_without_waiting(void **state)
{
	struct elf_file elf;

	run("mkfifo fifo");
	assert_int_equal(elf_file_open(&elf, in_scratch("fifo"), NULL), -ENOEXEC);
}

/* Everything that reads the file, once. */
static void use_all(const uint8_t *bytes, size_t size)
{
	/* of its own, so that a read beyond the end is noticed */
	_cleanup_free_ uint8_t *exact = malloc(size ? size : 1);
	uint8_t id[BUILD_ID_MAX];
	struct symtab *symbols;
	struct elf_file elf;

	memcpy(exact, bytes, size);
	if (elf_file_from_memory(&elf, exact, size, NULL))
		return;
	elf_file_build_id(&elf, id);
	elf_file_section(&elf, ".gnu_debugdata");
	symbols = symtab_new(&elf, NULL);
	for (size_t i = 0; i < symtab_count(symbols); i++)
		symtab_at(symbols, symtab_get(symbols, i)->vaddr);
	symtab_free(symbols);
}

static void use_cut_at_every(const char *name, size_t step)
{
	_cleanup_free_ uint8_t *bytes = NULL;
	size_t size;

	bytes = read_bytes(in_scratch(name), &size);
	for (size_t length = 0; length < size; length += step)
		use_all(bytes, length);
	for (size_t length = 0; length < 1024; length += 7)
		use_all(bytes, length);
}

static void files_cut_anywhere_do_no_harm(void **state)
{
	use_cut_at_every("p", 1000);
	use_cut_at_every("stripped", 1000);
	use_cut_at_every("p.o", 100);
}

static void use_with_random_bytes(const char *name, int rounds)
{
	_cleanup_free_ uint8_t *bytes = NULL, *damaged = NULL;
	uint64_t random = 0x9E3779B97F4A7C15ULL;
	size_t size;

	bytes = read_bytes(in_scratch(name), &size);
	damaged = malloc(size);
	for (int round = 0; round < rounds; round++) {
		memcpy(damaged, bytes, size);
		for (int i = 0; i < 13; i++) {
			uint64_t draw = next_random(&random);
			/* half of them in the headers, where they hurt most */
			size_t range = draw & 1 ? 1024 : size;
			size_t at = (draw >> 16) % range;

			if (draw & 2)
				at = size - 1 - at; /* section headers stand at the end */
			damaged[at] = draw >> 8;
		}
		use_all(damaged, size);
	}
}

static void damaged_files_do_no_harm(void **state)
{
	use_with_random_bytes("p", 3001);
	use_with_random_bytes("stripped", 3001);
}

/* "r--s" or "r--p", as /proc/self/maps has it. */
static void mapping_kind(const void *at, char kind[5])
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned long begin, end;
	char line[512];

	assert_non_null(maps);
	kind[0] = '\0';
	while (fgets(line, sizeof(line), maps))
		if (sscanf(line, "%lx-%lx %4s", &begin, &end, kind) == 3 &&
		    begin <= (uintptr_t)at && (uintptr_t)at < end)
			break;
	fclose(maps);
}

/* Breakpoints are written into private mappings, of any process. */
static void files_are_mapped_where_the_kernel_puts_no_breakpoints(void **state)
{
	struct elf_file elf;
	char kind[5];

	assert_int_equal(elf_file_open(&elf, in_scratch("p"), NULL), 0);
	mapping_kind(elf.data, kind);
	assert_string_equal(kind, "r--s");
	elf_file_close(&elf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(build_id_is_the_one_readelf_prints),
	    cmocka_unit_test(build_id_may_be_short_or_absent),
	    cmocka_unit_test(refused_files_say_why),
	    cmocka_unit_test(offsets_and_addresses_agree_with_program_headers),
	    cmocka_unit_test(files_are_mapped_where_the_kernel_puts_no_breakpoints),
	    cmocka_unit_test(a_copy_holds_the_naming_parts_and_no_code),
	    cmocka_unit_test(a_copy_survives_truncation_of_the_file),
	    cmocka_unit_test(a_fifo_or_folder_is_refused_without_waiting),
	    cmocka_unit_test(files_cut_anywhere_do_no_harm),
	    cmocka_unit_test(damaged_files_do_no_harm),
	};

	return cmocka_run_group_tests(tests, build, scratch_remove);
}
