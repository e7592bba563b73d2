/* SPDX-License-Identifier: GPL-2.0-only */
/* test_demangle.c - C++ names against c++filt, Rust names, names that want to do harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "elf/demangle.h"
#include "unit/compile.h"

static void check(const char *name, const char *wanted)
{
	_cleanup_free_ char *readable = demangle(name);

	assert_string_equal(readable, wanted);
}

static void c_names_stay_as_they_are(void **state)
{
	static const char *const names[] = {
	    "malloc",
	    "_start",
	    "",
	    "_",
	    "_Z",
	    "_R",
	    "i",
	    "main.cold",
	    "helper.part.0",
	    "f.constprop.0.isra.1",
	    "Z3foov",
	    "__libc_start_main",
	    "operator",
	    "@",
	    "_ZZZZ",
	    "_Rust_but_not",
	    "foo.llvm.123",
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		check(names[i], names[i]);
}

static void versions_are_cut_off(void **state)
{
	check("malloc@GLIBC_2.2.5", "malloc");
	check("malloc@@GLIBC_2.2.5", "malloc");
	check("_Znwm@GLIBCXX_3.4", "operator new(unsigned long)");
	check("@odd", "@odd");
}

static void cpp_names_become_declarations(void **state)
{
	check("_Znwm", "operator new(unsigned long)");
	check("_ZdlPv", "operator delete(void*)");
	check("_ZN3foo3barEi", "foo::bar(int)");
	check("_ZN3foo3barEi.cold", "foo::bar(int) [clone .cold]");
	check("_ZN3foo3barEi.part.0", "foo::bar(int) [clone .part.0]");
	check("_ZN3foo3barEi.llvm.8971", "foo::bar(int)");
	check("_ZSt4cout", "std::cout");
	check("_GLOBAL__I_main", "global constructors keyed to main");
}

static void rust_names_lose_their_hash(void **state)
{
	/* legacy */
	check("_ZN4core3fmt9Formatter3pad17h0123456789abcdefE", "core::fmt::Formatter::pad");
	check("_ZN66_$LT$alloc..vec..Vec$LT$T$GT$$u20$as$u20$core..ops..drop..Drop$GT$"
	      "4drop17h5a2f1c4be0d7a933E",
	      "<alloc::vec::Vec<T> as core::ops::drop::Drop>::drop");
	check("_ZN5hello4main17h0123456789abcdefE.llvm.42", "hello::main");
	/* v0: Rust RFC 2603 */
	check("_RNvC6_123foo3bar", "123foo::bar");
	check("_RNvCs1234_7mycrate3foo", "mycrate::foo");
	check("_RNvNtCs1234_7mycrate3mod3foo", "mycrate::mod::foo");
	check("_RINvNtC3std3mem8align_ofdE", "std::mem::align_of::<f64>");
	check("_RNvMs_NtCs1234_5alloc3vecINtB4_3VecpE3newB4_", "<alloc::vec::Vec<_>>::new");
}

static void names_of_libstdcxx_read_as_cxxfilt_prints_them(void **state)
{
	_cleanup_free_ char *library =
	    output_of("gcc -print-file-name=libstdc++.so.6 | tr -d '\\n'");
	_cleanup_free_ char *names = NULL, *wanted = NULL;
	char *name, *line, *name_rest, *line_rest;
	size_t count = 0;

	run("nm -D --defined-only %s | awk '{print $3}' | sed 's/@.*//' | sort -u > names && "
	    "c++filt -i < names > readable",
	    library);
	names = output_of("cat names");
	wanted = output_of("cat readable");
	name = strtok_r(names, "\n", &name_rest);
	line = strtok_r(wanted, "\n", &line_rest);
	for (; name && line; count++) {
		check(name, line);
		name = strtok_r(NULL, "\n", &name_rest);
		line = strtok_r(NULL, "\n", &line_rest);
	}
	assert_true(count > 1009);
	assert_ptr_equal(name, line);
}

/* Each substitution doubles the last one: 2^50 letters if it were written out. */
static void names_that_explode_are_cut(void **state)
{
	char name[2048];
	_cleanup_free_ char *readable = NULL;
	size_t used = strlen(strcpy(name, "_Z1f1AIiiE"));

	for (int i = 0; i < 25; i++) {
		char id = i < 10 ? '0' + i : 'A' + i - 10;

		used += snprintf(name + used, sizeof(name) - used, "S_IS%c_S%c_E", id, id);
	}
	readable = demangle(name);
	assert_true(strlen(readable) < DEMANGLED_MAX);
	assert_int_equal(strlen(readable), DEMANGLED_MAX - 1);
	assert_string_equal(readable + strlen(readable) - 3, "...");
}

static void deep_names_do_no_harm(void **state)
{
	static const char *const heads[] = {"_Z1f", "_R", "_ZN", "_Z1fI", "_RNv"};
	static const char letters[] = "PKRITNXJS";
	char *name = malloc(1 << 20);

	for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
		for (const char *letter = letters; *letter; letter++) {
			size_t head = strlen(strcpy(name, heads[i]));

			memset(name + head, *letter, (1 << 20) - 1 - head);
			name[(1 << 20) - 1] = '\0';
			free(demangle(name));
			name[1000] = '\0';
			free(demangle(name));
		}
	}
	free(name);
}

static void random_names_do_no_harm(void **state)
{
	static const char alphabet[] = "_ZNSRICKPEJTX0123456789stdvilmbcBLMpQYGDUaz.$@";
	uint64_t random = 0x9E3779B97F4A7C15ULL;
	char name[64];

	for (int i = 0; i < 200003; i++) {
		size_t length = 2 + next_random(&random) % 60;

		name[0] = '_';
		name[1] = i & 1 ? 'Z' : 'R';
		for (size_t at = 2; at < length; at++)
			name[at] = alphabet[next_random(&random) % (sizeof(alphabet) - 1)];
		name[length] = '\0';
		free(demangle(name));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(c_names_stay_as_they_are),
	    cmocka_unit_test(versions_are_cut_off),
	    cmocka_unit_test(cpp_names_become_declarations),
	    cmocka_unit_test(rust_names_lose_their_hash),
	    cmocka_unit_test(names_of_libstdcxx_read_as_cxxfilt_prints_them),
	    cmocka_unit_test(names_that_explode_are_cut),
	    cmocka_unit_test(deep_names_do_no_harm),
	    cmocka_unit_test(random_names_do_no_harm),
	};

	return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
