/* SPDX-License-Identifier: GPL-2.0-only */
/* test_symtab.c - symbols from all their sources against nm, and the search for debug files. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "elf/debug_file.h"
#include "elf/elf_file.h"
#include "elf/symtab.h"
#include "unit/compile.h"

static const char library[] =
    "static __attribute__((noinline)) int helper(int x) { return x * 3; }\n"
    "int shared_one(int x) { return helper(x) + 1; }\n"
    "int shared_two(int x) { return helper(x) + 2; }\n"
    "int __shared_two_internal(int) __attribute__((alias(\"shared_two\")));\n"
    "int two_weak(int) __attribute__((weak, alias(\"shared_two\")));\n"
    "static __attribute__((used, alias(\"shared_two\"))) int two(int);\n"
    "static int chosen_impl(void) { return 7; }\n"
    "static void *resolve(void) { return chosen_impl; }\n"
    "int chosen(void) __attribute__((ifunc(\"resolve\")));\n"
    "int old_api(void) { return 1; }\n"
    "int new_api(void) { return 2; }\n"
    "__asm__(\".symver old_api, api@V1\");\n"
    "__asm__(\".symver new_api, api@@V2\");\n"
    "int data_symbol = 1;\n";

static const char assembly[] = ".text\n"
			       ".globl outer\n.type outer,@function\n"
			       "outer: nop\nnop\n"
			       "inner_label: nop\nnop\n" /* no size, inside 'outer' */
			       ".globl nested\n.type nested,@function\n"
			       "nested: nop\n.size nested, .-nested\n"
			       "nop\nnop\nnop\n"
			       ".size outer, .-outer\n"
			       ".fill 16, 1, 0x90\n" /* nobody's */
			       ".type unsized,@function\nunsized: nop\nnop\nnop\n"
			       "untyped: nop\nnop\n"
			       ".globl _start\n.type _start,@function\n"
			       "_start: nop\n.size _start, .-_start\n"
			       "last: nop\nnop\n";

static int build(void **state)
{
	if (scratch_make(state))
		return -1;
	write_text("lib.c", library);
	write_text("lib.map", "V1 { global: api; }; V2 { global: *; };");
	write_text("asm.s", assembly);
	run("gcc -O1 -g -fPIC -shared -Wl,--build-id -Wl,--version-script=lib.map -o lib.so lib.c");
	run("gcc -nostdlib -static -o asm asm.s");
	run("strip -o dynamic_only.so lib.so");
	/* the xz-compressed symbol table, as distributions make it */
	run("nm -D lib.so --format=posix --defined-only | awk '{print $1}' | sed 's/@.*//' | sort "
	    "> dynsyms");
	run("nm lib.so --format=posix --defined-only | awk '$2 ~ /^[Tt]$/ {print $1}' | "
	    "sed 's/@.*//' | sort > funcsyms");
	run("comm -13 dynsyms funcsyms > keep && objcopy --only-keep-debug lib.so full.debug");
	run("objcopy -S --remove-section .gdb_index --remove-section .comment "
	    "--keep-symbols=keep full.debug mini && xz -f mini");
	run("cp dynamic_only.so minidebug.so && "
	    "objcopy --add-section .gnu_debugdata=mini.xz minidebug.so");
	return 0;
}

/* No section headers any more. */
static void forget_sections(const char *name)
{
	Elf64_Ehdr header;
	int fd = open(in_scratch(name), O_RDWR);

	assert_int_equal(pread(fd, &header, sizeof(header), 0), sizeof(header));
	header.e_shoff = header.e_shnum = header.e_shstrndx = 0;
	assert_int_equal(pwrite(fd, &header, sizeof(header), 0), sizeof(header));
	close(fd);
}

static struct symtab *symbols_of(const char *name)
{
	struct symtab *symbols;
	struct elf_file elf;

	assert_int_equal(elf_file_open(&elf, in_scratch(name), NULL), 0);
	symbols = symtab_new(&elf, NULL);
	assert_non_null(symbols);
	elf_file_close(&elf);
	return symbols;
}

static uint64_t address_of(const char *file, const char *name)
{
	_cleanup_free_ char *text = output_of("nm %s | awk '$3==\"%s\" {print $1}'", file, name);

	assert_int_not_equal(text[0], '\0');
	return strtoull(text, NULL, 16);
}

/* Every function that nm lists is there under its name, address and size. */
static void check_against_nm(const struct symtab *symbols, const char *nm_command)
{
	_cleanup_free_ char *listing = output_of("%s", nm_command);
	unsigned long long vaddr, size;
	char name[256], type;
	size_t count = 0;

	for (char *line = strtok(listing, "\n"); line; line = strtok(NULL, "\n")) {
		bool found = false;

		if (sscanf(line, "%255s %c %llx %llx", name, &type, &vaddr, &size) != 4 ||
		    !strchr("TtWi", type))
			continue;
		name[strcspn(name, "@")] = '\0';
		for (size_t i = 0; i < symtab_count(symbols); i++) {
			const struct symbol *symbol = symtab_get(symbols, i);

			if (symbol->vaddr == vaddr && !strcmp(symbol->name, name)) {
				found = true;
				assert_int_equal(symbol->size_bytes, size);
				assert_int_equal(symbol->is_global, type != 't');
				assert_int_equal(symbol->is_ifunc, type == 'i');
			}
		}
		if (!found)
			print_error("missing: %s\n", line);
		assert_true(found);
		assert_non_null(symtab_named(symbols, name));
		count++;
	}
	assert_true(count >= 7);
}

static void all_functions_that_nm_lists_are_there(void **state)
{
	struct symtab *symbols = symbols_of("lib.so");

	check_against_nm(symbols, "nm -f posix -S --defined-only lib.so");
	assert_null(symtab_named(symbols, "data_symbol"));
	assert_null(symtab_named(symbols, "absent"));
	assert_null(symtab_named(symbols, ""));
	symtab_free(symbols);
	symtab_free(NULL);
}

static void every_byte_of_a_function_has_its_name(void **state)
{
	struct symtab *symbols = symbols_of("lib.so");
	const struct symbol *one = symtab_named(symbols, "shared_one");

	assert_int_equal(one->vaddr, address_of("lib.so", "shared_one"));
	assert_true(one->dynamic);
	for (uint64_t at = one->vaddr; at < one->vaddr + one->size_bytes; at++)
		assert_ptr_equal(symtab_at(symbols, at), one);
	assert_ptr_not_equal(symtab_at(symbols, one->vaddr + one->size_bytes), one);
	assert_ptr_not_equal(symtab_at(symbols, one->vaddr - 1), one);
	assert_false(symtab_named(symbols, "helper")->dynamic);
	assert_null(symtab_at(symbols, 0));
	assert_null(symtab_at(symbols, UINT64_MAX));
	symtab_free(symbols);
}

static void of_aliases_the_global_short_one_wins(void **state)
{
	struct symtab *symbols = symbols_of("lib.so");
	uint64_t vaddr = address_of("lib.so", "shared_two");

	/* "two" is shorter but local, "two_weak" is the shortest global one */
	assert_string_equal(symtab_at(symbols, vaddr)->name, "two_weak");
	assert_int_equal(symtab_named(symbols, "two")->vaddr, vaddr);
	assert_int_equal(symtab_named(symbols, "__shared_two_internal")->vaddr, vaddr);
	symtab_free(symbols);
}

static void by_name_the_default_version_comes_first(void **state)
{
	static const char *const files[] = {"lib.so", "dynamic_only.so", "minidebug.so"};

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		struct symtab *symbols = symbols_of(files[i]);
		const struct symbol *api = symtab_named(symbols, "api");

		assert_non_null(api);
		assert_int_equal(api->vaddr, address_of("lib.so", "new_api"));
		assert_false(api->old_version);
		symtab_free(symbols);
	}
}

static void dynamic_symbols_are_enough_for_a_stripped_library(void **state)
{
	struct symtab *symbols = symbols_of("dynamic_only.so");

	check_against_nm(symbols, "nm -D -f posix -S --defined-only lib.so");
	assert_null(symtab_named(symbols, "helper"));
	/* 'helper' stands next to exported functions but is none of them */
	assert_null(symtab_at(symbols, address_of("lib.so", "helper")));
	symtab_free(symbols);
}

static void gnu_debugdata_adds_the_local_functions(void **state)
{
	struct symtab *symbols = symbols_of("minidebug.so");
	uint64_t helper = address_of("lib.so", "helper");

	assert_string_equal(symtab_at(symbols, helper)->name, "helper");
	assert_int_equal(symtab_named(symbols, "helper")->vaddr, helper);
	assert_true(symtab_named(symbols, "shared_one")->dynamic);
	symtab_free(symbols);
}

static void damaged_gnu_debugdata_is_skipped(void **state)
{
	struct symtab *symbols;

	run("head -c 300 mini.xz > cut.xz && cp dynamic_only.so cut.so && "
	    "objcopy --add-section .gnu_debugdata=cut.xz cut.so");
	symbols = symbols_of("cut.so");
	assert_null(symtab_named(symbols, "helper"));
	assert_non_null(symtab_named(symbols, "shared_one"));
	symtab_free(symbols);
}

static void a_compression_bomb_is_not_unpacked(void **state)
{
	struct symtab *symbols;

	run("head -c 300M /dev/zero | xz -1 > bomb.xz && cp dynamic_only.so bomb.so && "
	    "objcopy --add-section .gnu_debugdata=bomb.xz bomb.so");
	symbols = symbols_of("bomb.so");
	assert_non_null(symtab_named(symbols, "shared_one"));
	symtab_free(symbols);
}

static void check_without_sections(const char *hash_style)
{
	struct symtab *with, *without;

	run("gcc -O1 -fPIC -shared -Wl,--hash-style=%s -Wl,--version-script=lib.map -o h.so lib.c "
	    "&& "
	    "strip h.so && cp h.so bare.so",
	    hash_style);
	forget_sections("bare.so");
	with = symbols_of("h.so");
	without = symbols_of("bare.so");
	assert_true(symtab_count(with) >= 7);
	assert_int_equal(symtab_count(with), symtab_count(without));
	for (size_t i = 0; i < symtab_count(with); i++) {
		const struct symbol *a = symtab_get(with, i), *b = symtab_get(without, i);

		assert_string_equal(a->name, b->name);
		assert_int_equal(a->vaddr, b->vaddr);
		assert_int_equal(a->old_version, b->old_version);
	}
	symtab_free(with);
	symtab_free(without);
}

static void without_section_headers_dynamic_symbols_are_found(void **state)
{
	check_without_sections("gnu");
	check_without_sections("sysv");
	check_without_sections("both");
}

static void symbols_of_assembly_reach_as_far_as_they_say(void **state)
{
	struct symtab *symbols = symbols_of("asm");
	uint64_t outer = symtab_named(symbols, "outer")->vaddr;
	static const char *const owners[] = {
	    "outer",   "outer",	 "outer", "outer",   "nested",	"outer",   "outer",
	    "outer",   NULL,	 NULL,	  NULL,	     NULL,	NULL,	   NULL,
	    NULL,      NULL,	 NULL,	  NULL,	     NULL,	NULL,	   NULL,
	    NULL,      NULL,	 NULL,	  "unsized", "unsized", "unsized", "untyped",
	    "untyped", "_start", "last",  "last",    NULL,
	};

	for (size_t i = 0; i < ARRAY_LEN(owners); i++) {
		const struct symbol *symbol = symtab_at(symbols, outer + i);

		if (!owners[i])
			assert_null(symbol);
		else
			assert_string_equal(symbol->name, owners[i]);
	}
	assert_int_equal(symtab_named(symbols, "unsized")->size_bytes, 0);
	symtab_free(symbols);
}

/* _init has no size; what follows its section is the PLT, which has no symbols at all. */
static void an_unsized_symbol_ends_with_its_section(void **state)
{
	struct symtab *symbols = symbols_of("lib.so");
	const struct symbol *init = symtab_named(symbols, "_init");
	const Elf64_Shdr *section;
	struct elf_file elf;

	assert_int_equal(elf_file_open(&elf, in_scratch("lib.so"), NULL), 0);
	section = elf_file_section(&elf, ".init");
	assert_int_equal(init->vaddr, section->sh_addr);
	assert_int_equal(init->size_bytes, 0);
	assert_ptr_equal(symtab_at(symbols, section->sh_addr + section->sh_size - 1), init);
	assert_null(symtab_at(symbols, section->sh_addr + section->sh_size));
	section = elf_file_section(&elf, ".plt");
	assert_null(symtab_at(symbols, section->sh_addr));
	elf_file_close(&elf);
	symtab_free(symbols);
}

static void symbols_are_listed_by_address(void **state)
{
	struct symtab *symbols = symbols_of("lib.so");

	for (size_t i = 1; i < symtab_count(symbols); i++)
		assert_true(symtab_get(symbols, i - 1)->vaddr <= symtab_get(symbols, i)->vaddr);
	assert_null(symtab_get(symbols, symtab_count(symbols)));
	assert_true(symtab_bytes(symbols) > symtab_count(symbols) * sizeof(struct symbol));
	symtab_free(symbols);
}

/* ---- separate debug files ----------------------------------------------------------------------
 */

/* The inode of the debug file found for 'name', 0 if there is none. */
static ino_t found_for(const char *name, const char *seen_as, const char *root,
		       const char *debug_dir)
{
	const struct debug_search search = {seen_as, root, debug_dir};
	_cleanup_close_ int fd = -1;
	struct elf_file elf;
	struct stat status;

	assert_int_equal(elf_file_open(&elf, in_scratch(name), NULL), 0);
	fd = debug_file_open(&elf, &search);
	elf_file_close(&elf);
	if (fd < 0) {
		assert_int_equal(fd, -ENOENT);
		return 0;
	}
	assert_int_equal(fstat(fd, &status), 0);
	return status.st_ino;
}

static ino_t inode_of(const char *name)
{
	struct stat status;

	assert_int_equal(stat(in_scratch(name), &status), 0);
	return status.st_ino;
}

static void debug_file_is_found_by_build_id(void **state)
{
	run("id=$(readelf -n lib.so | sed -n 's/.*Build ID: //p'); d=host/.build-id/${id%%"
	    "${id#??}}; mkdir -p $d && cp full.debug $d/${id#??}.debug && ln -f $d/${id#??}.debug "
	    "by_id");
	assert_int_equal(found_for("dynamic_only.so", "/x/lib.so", NULL, in_scratch("host")),
			 inode_of("by_id"));
	assert_int_equal(found_for("dynamic_only.so", "/x/lib.so", NULL, in_scratch("none")), 0);
}

static void the_root_of_the_process_comes_before_the_host(void **state)
{
	run("mkdir -p root/dbg && cp -r host/.build-id root/dbg/ && "
	    "cp -r host/.build-id hostcopy && ln -f root/dbg/.build-id/*/* in_root");
	/* below the root the debug folder is /dbg; the host has none of that name */
	assert_int_equal(found_for("dynamic_only.so", "/x/lib.so", in_scratch("root"), "/dbg"),
			 inode_of("in_root"));
	assert_int_equal(found_for("dynamic_only.so", "/x/lib.so", "", "/dbg"), 0);
}

static void links_below_the_root_do_not_lead_out_of_it(void **state)
{
	run("mkdir -p jail/dbg && ln -sfn $PWD/host/.build-id jail/dbg/.build-id");
	assert_int_equal(found_for("dynamic_only.so", "/x/lib.so", in_scratch("jail"), "/dbg"), 0);
	run("rm jail/dbg/.build-id && cp -r host/.build-id jail/real && "
	    "ln -s /real jail/dbg/.build-id && ln -f jail/real/*/* in_jail");
	assert_int_equal(found_for("dynamic_only.so", "/x/lib.so", in_scratch("jail"), "/dbg"),
			 inode_of("in_jail"));
}

static void debug_file_is_found_by_debuglink(void **state)
{
	static const char *const places[] = {"d", "d/.debug", "dbg$PWD/d"};
	char seen_as[256];

	run("mkdir -p d/.debug dbg$PWD/d && cp full.debug lib.so.debug && "
	    "cp dynamic_only.so linked.so && objcopy --add-gnu-debuglink=lib.so.debug linked.so");
	snprintf(seen_as, sizeof(seen_as), "%s/d/linked.so", scratch);
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		assert_int_equal(found_for("linked.so", seen_as, NULL, in_scratch("dbg")), 0);
		run("cp full.debug %s/lib.so.debug && ln -f %s/lib.so.debug here", places[i],
		    places[i]);
		assert_int_equal(found_for("linked.so", seen_as, NULL, in_scratch("dbg")),
				 inode_of("here"));
		run("rm %s/lib.so.debug", places[i]);
	}
}

static void a_debug_file_of_another_build_is_refused(void **state)
{
	char seen_as[256];

	snprintf(seen_as, sizeof(seen_as), "%s/d/linked.so", scratch);
	run("gcc -O2 -g -fPIC -shared -Wl,--build-id -Wl,--version-script=lib.map -o other.so "
	    "lib.c "
	    "&& objcopy --only-keep-debug other.so d/lib.so.debug");
	assert_int_equal(found_for("linked.so", seen_as, NULL, in_scratch("none")), 0);
	run("printf junk > d/lib.so.debug");
	assert_int_equal(found_for("linked.so", seen_as, NULL, in_scratch("none")), 0);
	/* the stripped library itself has the right build id but says nothing */
	run("cp dynamic_only.so d/lib.so.debug");
	assert_int_equal(found_for("linked.so", seen_as, NULL, in_scratch("none")), 0);
	run("rm d/lib.so.debug");
}

static void without_build_id_the_checksum_decides(void **state)
{
	char seen_as[256];

	snprintf(seen_as, sizeof(seen_as), "%s/d/noid.so", scratch);
	run("gcc -O1 -g -fPIC -shared -Wl,--build-id=none "
	    "-Wl,--version-script=lib.map -o noid_full.so lib.c");
	run("objcopy --only-keep-debug noid_full.so d/noid.debug && strip -o noid.so noid_full.so "
	    "&& "
	    "objcopy --add-gnu-debuglink=d/noid.debug noid.so");
	assert_int_equal(found_for("noid.so", seen_as, NULL, "/none"), inode_of("d/noid.debug"));
	run("printf x >> d/noid.debug");
	assert_int_equal(found_for("noid.so", seen_as, NULL, "/none"), 0);
}

static void a_fifo_in_the_place_of_a_debug_file_is_passed(void **state)
{
	char seen_as[256];

	snprintf(seen_as, sizeof(seen_as), "%s/d/linked.so", scratch);
	run("mkfifo d/lib.so.debug");
	assert_int_equal(found_for("linked.so", seen_as, NULL, "/none"), 0);
	run("rm d/lib.so.debug");
}

static void symbols_of_the_debug_file_are_added(void **state)
{
	struct elf_file elf, debug;
	struct symtab *symbols;

	assert_int_equal(elf_file_open(&elf, in_scratch("dynamic_only.so"), NULL), 0);
	assert_int_equal(elf_file_open(&debug, in_scratch("full.debug"), NULL), 0);
	symbols = symtab_new(&elf, &debug);
	elf_file_close(&elf);
	elf_file_close(&debug);
	check_against_nm(symbols, "nm -f posix -S --defined-only lib.so");
	assert_string_equal(symtab_at(symbols, address_of("lib.so", "helper"))->name, "helper");
	assert_true(symtab_named(symbols, "shared_one")->dynamic);
	symtab_free(symbols);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(all_functions_that_nm_lists_are_there),
	    cmocka_unit_test(every_byte_of_a_function_has_its_name),
	    cmocka_unit_test(of_aliases_the_global_short_one_wins),
	    cmocka_unit_test(by_name_the_default_version_comes_first),
	    cmocka_unit_test(dynamic_symbols_are_enough_for_a_stripped_library),
	    cmocka_unit_test(gnu_debugdata_adds_the_local_functions),
	    cmocka_unit_test(damaged_gnu_debugdata_is_skipped),
	    cmocka_unit_test(a_compression_bomb_is_not_unpacked),
	    cmocka_unit_test(without_section_headers_dynamic_symbols_are_found),
	    cmocka_unit_test(symbols_of_assembly_reach_as_far_as_they_say),
	    cmocka_unit_test(an_unsized_symbol_ends_with_its_section),
	    cmocka_unit_test(symbols_are_listed_by_address),
	    cmocka_unit_test(debug_file_is_found_by_build_id),
	    cmocka_unit_test(the_root_of_the_process_comes_before_the_host),
	    cmocka_unit_test(links_below_the_root_do_not_lead_out_of_it),
	    cmocka_unit_test(debug_file_is_found_by_debuglink),
	    cmocka_unit_test(a_debug_file_of_another_build_is_refused),
	    cmocka_unit_test(without_build_id_the_checksum_decides),
	    cmocka_unit_test(a_fifo_in_the_place_of_a_debug_file_is_passed),
	    cmocka_unit_test(symbols_of_the_debug_file_are_added),
	};

	return cmocka_run_group_tests(tests, build, scratch_remove);
}
