/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_python_detect.c - tables of offsets, names of binaries, and processes that look like a
 * CPython, true and false ones. tests/python-detect.sh looks at real interpreters.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "elf/dynsym.h"
#include "elf/elf_file.h"
#include "elf/insn_refs.h"
#include "elf/symtab.h"
#include "python/detect.h"
#include "python/layouts.h"
#include "python/tss.h"
#include "target/proc_maps.h"
#include "compile.h"
#include "fake_interpreter.h"

#define LIBC "/lib/x86_64-linux-gnu/libc.so.6"

/* ---- tables ---------------------------------------------------------------------------------- */

static void assert_inside(uint16_t offset, size_t bytes, uint16_t limit)
{
	if (offset != PYTHON_OFFSET_NONE)
		assert_in_range(offset + bytes, bytes, limit);
}

static void layouts_fit_what_is_read(void **state)
{
	for (int minor = PYTHON_MINOR_MIN; minor <= PYTHON_MINOR_MAX; minor++) {
		const struct python_layout *layout = python_layout_of(minor);

		assert_non_null(layout);
		assert_int_equal(layout->minor, minor);
		assert_in_range(layout->frame_bytes, 80, PYTHON_FRAME_BYTES);
		assert_inside(layout->frame_previous, 8, layout->frame_bytes);
		assert_inside(layout->frame_code, 8, layout->frame_bytes);
		assert_inside(layout->frame_instr, minor < 11 ? 4 : 8, layout->frame_bytes);
		assert_inside(layout->frame_owner, 1, layout->frame_bytes);
		assert_inside(layout->frame_entry, 1, layout->frame_bytes);
		assert_in_range(layout->code_bytes, 120, PYTHON_CODE_BYTES);
		assert_inside(layout->code_first_line, 4, layout->code_bytes);
		assert_inside(layout->code_name, 8, layout->code_bytes);
		assert_inside(layout->code_file, 8, layout->code_bytes);
		assert_inside(layout->code_lines, 8, layout->code_bytes);
		assert_inside(layout->code_first_traceable, 4, layout->code_bytes);
	}
	assert_null(python_layout_of(5));
	assert_null(python_layout_of(15));
	assert_null(python_layout_of(-1));
	assert_null(python_places_of(5));
	assert_null(python_places_of(15));
}

static void layouts_have_what_their_chain_needs(void **state)
{
	for (int minor = PYTHON_MINOR_MIN; minor <= PYTHON_MINOR_MAX; minor++) {
		const struct python_layout *layout = python_layout_of(minor);
		bool cframe = minor >= 10 && minor <= 12, shim = minor >= 12, new = minor >= 11;

		assert_int_equal(layout->chain, minor < 10    ? PYTHON_EVAL_RANGE
						: minor == 10 ? PYTHON_CFRAME_EACH
						: minor == 11 ? PYTHON_CFRAME_ENTRY
							      : PYTHON_SHIM);
		assert_int_equal(layout->tstate_cframe != PYTHON_OFFSET_NONE, cframe);
		assert_int_equal(layout->cframe_previous != PYTHON_OFFSET_NONE, cframe);
		assert_int_equal(layout->cframe_frame != PYTHON_OFFSET_NONE, cframe && new);
		assert_int_equal(layout->tstate_frame != PYTHON_OFFSET_NONE,
				 minor != 11 && minor != 12);
		assert_int_equal(layout->frame_owner != PYTHON_OFFSET_NONE, shim || minor == 11);
		assert_int_equal(layout->frame_entry != PYTHON_OFFSET_NONE, minor == 11);
		assert_int_equal(layout->code_adaptive != PYTHON_OFFSET_NONE, new);
		assert_int_equal(layout->code_first_traceable != PYTHON_OFFSET_NONE, new);
		assert_int_equal(layout->frame_mask, minor >= 13 ? 7 : 0);
	}
}

static void debug_offsets_say_what_the_layouts_say(void **state)
{
	for (int minor = 13; minor <= 14; minor++) {
		const struct python_layout *layout = python_layout_of(minor);
		const struct python_places *places = python_places_of(minor);
		const struct {
			const char *name;
			uint16_t value;
		} same[] = {
			{"_PyRuntime.interpreters.head", places->interpreters},
			{"PyInterpreterState.next", places->interpreter_next},
			{"PyInterpreterState.threads.head", places->interpreter_threads},
			{"PyThreadState.current_frame", layout->tstate_frame},
			{"PyThreadState.thread_id", layout->tstate_thread_id},
			{"frame.previous", layout->frame_previous},
			{"frame.f_executable", layout->frame_code},
			{"frame.instr_ptr", layout->frame_instr},
			{"frame.owner", layout->frame_owner},
			{"co_filename", layout->code_file},
			{"co_qualname", layout->code_name},
			{"co_linetable", layout->code_lines},
			{"co_firstlineno", layout->code_first_line},
			{"co_code_adaptive", layout->code_adaptive},
			{"bytes.ob_size", layout->bytes_length},
			{"bytes.ob_sval", layout->bytes_data},
			{"str.state", layout->text_state},
			{"str.length", layout->text_length},
			{"sizeof(PyASCIIObject)", layout->text_ascii},
		};
		const struct python_debug_offset *offsets;

		assert_int_equal(python_debug_offsets_of(minor, &offsets), ARRAY_LEN(same));
		for (size_t i = 0; i < ARRAY_LEN(same); i++) {
			assert_string_equal(offsets[i].name, same[i].name);
			assert_int_equal(offsets[i].value, same[i].value);
			assert_in_range(offsets[i].at, 24, PYTHON_DEBUG_BYTES - 8);
		}
	}
}

static void slots_lie_where_the_c_library_has_them(void **state)
{
	struct python_layout layout = {.key_addr = 1, .tss_stride = 16};

	tss_place(&layout, TSS_GLIBC, 0, 31);
	assert_int_equal(layout.tss_indirect, 0);
	assert_int_equal(layout.tss_offset, 0x310 + 31 * 16 + 8);
	assert_int_equal(layout.key_addr, 0);
	assert_int_equal(layout.tss_stride, 0);
	tss_place(&layout, TSS_GLIBC, 0, 67);
	assert_int_equal(layout.tss_indirect, 1);
	assert_int_equal(layout.tss_offset, 0x510 + 2 * 8);
	assert_int_equal(layout.tss_second, 3 * 16 + 8);
	tss_place(&layout, TSS_MUSL, 136, 67);
	assert_int_equal(layout.tss_indirect, 1);
	assert_int_equal(layout.tss_offset, 136);
	assert_int_equal(layout.tss_second, 67 * 8);
	tss_place_later(&layout, TSS_GLIBC, 0, 0x1234);
	assert_int_equal(layout.tss_indirect, 0);
	assert_int_equal(layout.tss_offset, 0x318);
	assert_int_equal(layout.tss_stride, 16);
	assert_int_equal(layout.key_addr, 0x1234);
	tss_place_later(&layout, TSS_MUSL, 128, 0x1234);
	assert_int_equal(layout.tss_indirect, 1);
	assert_int_equal(layout.tss_offset, 128);
	assert_int_equal(layout.tss_second, 0);
	assert_int_equal(layout.tss_stride, 8);
}

/* ---- names ----------------------------------------------------------------------------------- */

static void exported_names_are_found(void **state)
{
	static const char *const names[] = {"malloc", "free", "pthread_getspecific", "qsort"};
	_cleanup_close_ int fd = open(LIBC, O_RDONLY | O_CLOEXEC);
	struct dynsym exports;
	struct symtab *symbols;
	struct elf_file elf;
	Elf64_Sym symbol;

	assert_int_equal(dynsym_open(&exports, fd), 0);
	assert_int_equal(elf_file_open(&elf, LIBC, NULL), 0);
	symbols = symtab_new(&elf, NULL);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		assert_true(dynsym_find(&exports, names[i], &symbol));
		assert_int_equal(symbol.st_value, symtab_named(symbols, names[i])->vaddr);
	}
	assert_true(dynsym_find(&exports, "environ", &symbol)); /* data */
	assert_false(dynsym_find(&exports, "mallo", &symbol));
	assert_false(dynsym_find(&exports, "", &symbol));
	assert_false(dynsym_find(&exports, "__tls_get_addr", &symbol)); /* used, not defined */
	symtab_free(symbols);
	elf_file_close(&elf);
}

static void build_library(const char *name, const char *flags)
{
	write_text("library.c", "extern int elsewhere(void);\n"
				"int datum = 5; int first(void) { return elsewhere(); }\n"
				"static int hidden(void) { return 7; }\n"
				"int second(void) { return hidden() + datum; }\n");
	run("gcc -O0 -shared -fPIC -o %s library.c %s", name, flags);
}

static void old_hash_tables_are_read_as_well(void **state)
{
	_cleanup_close_ int fd = -1;
	struct dynsym exports;
	Elf64_Sym symbol;

	build_library("old.so", "-Wl,--hash-style=sysv");
	run("strip old.so && objcopy --strip-section-headers old.so 2>/dev/null || true");
	fd = open(in_scratch("old.so"), O_RDONLY | O_CLOEXEC);
	assert_int_equal(dynsym_open(&exports, fd), 0);
	assert_int_equal(exports.gnu_hash, 0);
	assert_true(dynsym_find(&exports, "first", &symbol));
	assert_true(dynsym_find(&exports, "second", &symbol));
	assert_true(dynsym_find(&exports, "datum", &symbol));
	assert_int_equal(symbol.st_size, 4);
	assert_false(dynsym_find(&exports, "hidden", &symbol));
	assert_false(dynsym_find(&exports, "elsewhere", &symbol));
}

/* Whatever the bytes are: no crash, no endless chain. */
static void broken_files_name_nothing_by_accident(void **state)
{
	static const char *const styles[] = {"-Wl,--hash-style=sysv", "-Wl,--hash-style=gnu"};
	uint64_t random = 0x9E3779B97F4A7C15;

	for (size_t style = 0; style < ARRAY_LEN(styles); style++) {
		size_t size;
		uint8_t *bytes;

		build_library("whole.so", styles[style]);
		bytes = read_bytes(in_scratch("whole.so"), &size);
		for (int round = 0; round < 2003; round++) {
			_cleanup_close_ int fd = memfd_create("broken", MFD_CLOEXEC);
			size_t length = round % 3 ? size : next_random(&random) % size;
			struct dynsym exports;
			Elf64_Sym symbol;

			assert_int_equal(write(fd, bytes, length), length);
			for (int i = 0; i < 7; i++) {
				uint64_t value = next_random(&random);
				size_t some = 1 + value % 8;
				off_t at = next_random(&random) % 0x400;

				assert_int_equal(pwrite(fd, &value, some, at), some);
			}
			if (dynsym_open(&exports, fd))
				continue;
			dynsym_find(&exports, "second", &symbol);
			assert_false(dynsym_find(&exports, "third", &symbol));
		}
		free(bytes);
	}
}

static void references_of_code_are_found(void **state)
{
	static const uint8_t code[] = {
		0x48, 0x83, 0x3d, 0x70, 0xa1, 0x18, 0x00, 0x00, /* cmpq $0, 0x18a170(%rip) */
		0x74, 0x0e,					/* je */
		0x8b, 0x3d, 0x80, 0x81, 0x13, 0x00,		/* mov 0x138180(%rip), %edi */
		0x06,						/* no instruction */
		0x48, 0x8d, 0x05, 0xf0, 0xff, 0xff, 0xff,	/* lea -16(%rip), %rax */
		0xba, 0x4e, 0x61, 0xbc, 0x00,			/* mov $0xbc614e, %edx */
		0x48, 0x8b, 0x05,				/* cut off */
	};
	struct reference reference;
	size_t offset = 0;

	assert_true(insn_next_reference(code, sizeof(code), 0x174d70, &offset, &reference));
	assert_int_equal(reference.target, 0x2feee8);
	assert_int_equal(reference.loads_bytes, 0);
	assert_true(insn_next_reference(code, sizeof(code), 0x174d70, &offset, &reference));
	assert_int_equal(reference.target, 0x2acf00);
	assert_int_equal(reference.loads_bytes, 4);
	assert_true(insn_next_reference(code, sizeof(code), 0x174d70, &offset, &reference));
	assert_int_equal(reference.target, 0x174d70 + 24 - 16);
	assert_int_equal(reference.loads_bytes, 0);
	assert_true(insn_next_reference(code, sizeof(code), 0x174d70, &offset, &reference));
	assert_int_equal(reference.target, 0xbc614e);
	assert_false(insn_next_reference(code, sizeof(code), 0x174d70, &offset, &reference));
}

/* ---- processes that look like a CPython ------------------------------------------------------ */

struct fake {
	pid_t pid;
	unsigned int key;
	uint64_t runtime, thread;
	struct python_runtime found;
};

struct fake_options {
	int minor;
	const char *flags;	/* of the compiler */
	const char *compiler;	/* NULL: gcc */
	const char *name;	/* of the file; NULL: "worker" */
	unsigned int key_at, runtime_bytes; /* 0: as the tables say */
};

static void print_debug_offsets(int minor, char *text, size_t size)
{
	const struct python_debug_offset *offsets;
	size_t count = python_debug_offsets_of(minor, &offsets), used;

	used = snprintf(text, size, count ? "-D'DEBUG_OFFSETS=" : "");
	for (size_t i = 0; i < count; i++)
		used += snprintf(text + used, size - used, "[%u]=%u,", offsets[i].at / 8,
				 offsets[i].value);
	if (count)
		snprintf(text + used, size - used, "'");
}

static void build_fake(const struct fake_options *options)
{
	const struct python_layout *layout = python_layout_of(options->minor);
	const struct python_places *places = python_places_of(options->minor);
	unsigned int key_at = options->key_at ? options->key_at : places->keys[0];
	unsigned int bytes = options->runtime_bytes ? options->runtime_bytes : 4096;
	char debug[1024];

	print_debug_offsets(options->minor, debug, sizeof(debug));
	write_text("fake.c", fake_interpreter_source);
	run("%s -w -O1 -rdynamic -DRUNTIME_BYTES=%u -DHEAD_AT=%u -DKEY_AT=%u -DNEXT_AT=%u "
	    "-DTHREADS_AT=%u -DTID_AT=%u %s -o %s fake.c %s -pthread",
	    options->compiler ? options->compiler : "gcc", bytes, places->interpreters, key_at,
	    places->interpreter_next, places->interpreter_threads, layout->tstate_thread_id, debug,
	    options->name ? options->name : "worker", options->flags ? options->flags : "");
}

static pid_t start_fake(const char *name, const char *how, unsigned int *key, uint64_t *runtime,
			uint64_t *thread)
{
	char line[128] = "", words[256], *arguments[16];
	int output[2], count = 0;
	FILE *from;
	pid_t pid;

	arguments[count++] = (char *)in_scratch(name);
	snprintf(words, sizeof(words), "%s", how);
	for (char *word = strtok(words, " "); word; word = strtok(NULL, " "))
		arguments[count++] = word;
	arguments[count] = NULL;
	assert_int_equal(pipe(output), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(output[1], 1);
		dup2(output[1], 2);
		close(output[0]);
		execv(arguments[0], arguments);
		_exit(127);
	}
	close(output[1]);
	from = fdopen(output[0], "r");
	assert_non_null(fgets(line, sizeof(line), from));
	assert_int_equal(sscanf(line, "%u %lu %lu", key, runtime, thread), 3);
	fclose(from);
	return pid;
}

static void stop_fake(struct fake *fake)
{
	kill(fake->pid, SIGKILL);
	assert_int_equal(waitpid(fake->pid, NULL, 0), fake->pid);
}

/* Start what was built last under this name, with arguments, and look at it. */
static int look_at(struct fake *fake, const char *name, const char *how)
{
	struct proc_maps maps;
	struct err err = {0};
	int status;

	fake->pid = start_fake(name, how, &fake->key, &fake->runtime, &fake->thread);
	assert_int_equal(proc_maps_read(fake->pid, &maps, NULL), 0);
	status = python_detect(fake->pid, &maps, &fake->found, &err);
	proc_maps_free(&maps);
	return status;
}

static void assert_readable(const struct fake *fake, const char *version)
{
	const struct python_layout *layout = &fake->found.layout;
	uint64_t slot;

	assert_true(fake->found.found);
	assert_string_equal(fake->found.reason, "");
	assert_string_equal(fake->found.version, version);
	assert_true(fake->found.initialized);
	assert_int_equal(fake->found.runtime, fake->runtime);
	assert_int_equal(layout->chain, python_layout_of(fake->found.minor)->chain);
	assert_int_not_equal(layout->code_type, 0);
	assert_int_equal(layout->key_addr, 0);
	assert_int_equal(tss_read(fake->pid, layout, fake->thread, &slot), 0);
	assert_int_not_equal(slot, 0);
}

static void assert_refused(const struct fake *fake, const char *reason)
{
	assert_true(fake->found.found);
	assert_string_equal(fake->found.reason, reason);
	assert_int_equal(fake->found.layout.chain, PYTHON_NONE);
	assert_false(fake->found.initialized);
	assert_false(python_has_started(fake->pid, &fake->found));
}

static void good_process_is_read(void **state)
{
	struct fake_options options = {.minor = 9, .flags = "-DVERSION='\"3.9.2\"'"};
	const struct python_places *places = python_places_of(9);
	struct fake fake;

	build_fake(&options);
	assert_int_equal(look_at(&fake, "worker", ""), 0);
	assert_readable(&fake, "3.9.2");
	assert_int_equal(fake.found.minor, 9);
	assert_int_equal(fake.found.patch, 2);
	assert_false(fake.found.musl);
	assert_int_equal(fake.found.layout.tss_offset, 0x318 + 16 * fake.key);
	assert_int_equal(fake.found.layout.current_tstate, 0);
	assert_in_range(fake.found.layout.eval_bytes[0], 1, 64);
	assert_int_equal(fake.found.layout.eval_bytes[1], 0);
	assert_in_range(fake.found.layout.eval_first[0] + fake.found.bias, fake.found.text_start,
			fake.found.text_end);
	stop_fake(&fake);

	assert_int_equal(look_at(&fake, "worker", "two"), 0);
	assert_readable(&fake, "3.9.2");
	assert_int_equal(fake.found.layout.current_tstate, fake.runtime + places->current_tstate);
	stop_fake(&fake);

	assert_int_equal(look_at(&fake, "worker", "keys"), 0);
	assert_readable(&fake, "3.9.2");
	assert_in_range(fake.key, 32, 63);
	assert_int_equal(fake.found.layout.tss_indirect, 1);
	assert_int_equal(fake.found.layout.tss_offset, 0x510 + 8);
	stop_fake(&fake);
}

/* As PyThread_tss_create() does: is made, and is 13. 3.6 has one int. */
static void make_key(const struct fake *fake, uint64_t key_addr, size_t bytes)
{
	uint32_t words[2] = {1, 13};
	char path[64];
	int memory;

	snprintf(path, sizeof(path), "/proc/%d/mem", fake->pid);
	memory = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(pwrite(memory, words, bytes, (off_t)key_addr), bytes);
	close(memory);
}

static void key_that_is_not_made_is_left_to_be_found(void **state)
{
	struct fake_options options = {.minor = 9, .flags = "-DVERSION='\"3.9.2\"'"};
	struct fake fake;

	build_fake(&options);
	assert_int_equal(look_at(&fake, "worker", "early"), 0);
	assert_string_equal(fake.found.reason, "");
	assert_false(fake.found.initialized);
	assert_int_equal(fake.found.layout.chain, PYTHON_EVAL_RANGE);
	assert_int_equal(fake.found.layout.key_addr, fake.runtime + python_places_of(9)->keys[0]);
	assert_int_equal(fake.found.layout.tss_offset, 0x318);
	assert_int_equal(fake.found.layout.tss_stride, 16);
	assert_false(python_has_started(fake.pid, &fake.found));
	make_key(&fake, fake.found.layout.key_addr, 8);
	assert_true(python_has_started(fake.pid, &fake.found));
	stop_fake(&fake);
	assert_false(python_has_started(fake.pid, &fake.found));
}

/* Not where newer ones have it, which is where it was looked for while there was none. */
static void key_of_early_3_7_is_found_when_it_is_made(void **state)
{
	struct fake_options options = {.minor = 7, .flags = "-DVERSION='\"3.7.2\"'"};
	struct fake fake;

	build_fake(&options);
	assert_int_equal(look_at(&fake, "worker", "early"), 0);
	assert_int_equal(fake.found.layout.key_addr, fake.runtime + python_places_of(7)->keys[0]);
	assert_false(python_has_started(fake.pid, &fake.found));
	make_key(&fake, fake.runtime + python_places_of(7)->keys[1], 8);
	assert_true(python_has_started(fake.pid, &fake.found));
	stop_fake(&fake);
}

static void static_key_of_3_6_is_found_in_the_code(void **state)
{
	struct fake_options options = {.minor = 6,
				       .flags = "-DSTATIC_KEY -DVERSION='\"3.6.15\"' -s"};
	struct fake fake;

	build_fake(&options);
	assert_int_equal(look_at(&fake, "worker", ""), 0);
	fake.runtime = 0;
	assert_readable(&fake, "3.6.15");
	assert_int_equal(fake.found.layout.tss_offset, 0x318 + 16 * fake.key);
	stop_fake(&fake);

	assert_int_equal(look_at(&fake, "worker", "early"), 0);
	assert_false(fake.found.initialized);
	assert_int_not_equal(fake.found.layout.key_addr, 0);
	assert_false(python_has_started(fake.pid, &fake.found));
	make_key(&fake, fake.found.layout.key_addr, 4);
	assert_true(python_has_started(fake.pid, &fake.found));
	stop_fake(&fake);

	assert_int_equal(look_at(&fake, "worker", "slot=4096"), 0);
	assert_refused(&fake, "the threads of this CPython 3.6.15 are not where that version keeps "
			      "them: native stacks only");
	stop_fake(&fake);
}

static void older_place_of_the_key_in_3_7_is_told(void **state)
{
	struct fake_options options = {.minor = 7, .flags = "-DVERSION='\"3.7.3\"'",
				       .key_at = 1416, .runtime_bytes = 1432};
	struct fake fake;

	build_fake(&options); /* by the size of _PyRuntime */
	assert_int_equal(look_at(&fake, "worker", "two"), 0);
	assert_readable(&fake, "3.7.3");
	assert_int_equal(fake.found.layout.current_tstate, fake.runtime + 1392);
	stop_fake(&fake);

	options.runtime_bytes = 1520; /* by what lies in the newer place: key 2000 */
	build_fake(&options);
	assert_int_equal(look_at(&fake, "worker", "noise=1504 two"), 0);
	assert_readable(&fake, "3.7.3");
	assert_int_equal(fake.found.layout.current_tstate, fake.runtime + 1392);
	stop_fake(&fake);

	options.key_at = 1504;
	build_fake(&options);
	assert_int_equal(look_at(&fake, "worker", "two"), 0);
	assert_readable(&fake, "3.7.3");
	assert_int_equal(fake.found.layout.current_tstate, fake.runtime + 1480);
	stop_fake(&fake);
}

static void lies_in_memory_are_refused(void **state)
{
	static const char *const lies[] = {"key=1024", "key=-1", "init=7", "slot=16",
					   "slot=0x7fffffffffff", "two loop tid=4096"};
	struct fake_options options = {.minor = 10, .flags = "-DVERSION='\"3.10.4\"'"};
	struct fake fake;

	build_fake(&options);
	for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
		assert_int_equal(look_at(&fake, "worker", lies[i]), 0);
		assert_refused(&fake, "the threads of this CPython 3.10.4 are not where that version "
				      "keeps them: native stacks only");
		stop_fake(&fake);
	}
	assert_int_equal(look_at(&fake, "worker", "type"), 0);
	assert_refused(&fake, "objects of this CPython 3.10.4 begin in another way (a debug build?): "
			      "native stacks only");
	stop_fake(&fake);
}

/* Lists that do not end, pointers to nowhere: what can be read stays right. */
static void bad_lists_do_no_harm(void **state)
{
	static const char *const lists[] = {"head=1", "head=0xffffffffffffffff", "head=0",
					    "loop", "tid=0xffffffffffffff00"};
	struct fake_options options = {.minor = 10, .flags = "-DVERSION='\"3.10.4\"'"};
	struct fake fake;

	build_fake(&options);
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		assert_int_equal(look_at(&fake, "worker", lists[i]), 0);
		assert_readable(&fake, "3.10.4");
		assert_int_equal(fake.found.layout.tss_offset, 0x318 + 16 * fake.key);
		stop_fake(&fake);
	}
}

static void builds_that_differ_are_refused(void **state)
{
	static const struct {
		int minor;
		const char *flags, *name, *reason;
	} builds[] = {
		{13, "-DHEX=0x030d02f0 -DFREE_THREADED=1", NULL,
		 "CPython 3.13.2 is built without the GIL (free-threaded): native stacks only"},
		{13, "-DHEX=0x030d02f0", "python3.13t",
		 "CPython 3.13.2 is built without the GIL (free-threaded): native stacks only"},
		{13, "-DHEX=0x030d02f0 -DDEBUG_BUILD", NULL,
		 "CPython 3.13.2 is a debug build: native stacks only"},
		{8, "-DVERSION='\"3.8.3\"'", "python3.8d",
		 "CPython 3.8.3 is a debug build: native stacks only"},
		{14, "-DHEX=0x030e00a5", NULL,
		 "CPython 3.14.0a5 is a pre-release: native stacks only"},
		{10, "-DVERSION='\"3.10.0b3+\"'", NULL,
		 "CPython 3.10.0b3 is a pre-release: native stacks only"},
		{14, "-DHEX=0x030f01f0", NULL,
		 "CPython 3.15 is not known to this version of seep: native stacks only"},
		{8, "-DVERSION='\"3.5.10\"'", NULL,
		 "CPython 3.5 is not known to this version of seep: native stacks only"},
		{8, "-DVERSION='\"2.7.18\"'", NULL,
		 "CPython 2.7 is not supported: native stacks only"},
		{8, "-DVERSION='\"nonsense\"'", NULL,
		 "a CPython whose version cannot be told: native stacks only"},
		{8, "-DHEX=0x030d02f0", NULL,
		 "CPython 3.13.2 without _Py_DebugOffsets: native stacks only"},
		{14, "-DHEX=0x030d02f0", NULL,
		 "CPython 3.13.2 contradicts its _Py_DebugOffsets (_PyRuntime.interpreters.head is "
		 "at 808, not at 632): native stacks only"},
	};

	for (size_t i = 0; i < ARRAY_LEN(builds); i++) {
		struct fake_options options = {.minor = builds[i].minor, .flags = builds[i].flags,
					       .name = builds[i].name};
		struct fake fake;

		build_fake(&options);
		assert_int_equal(look_at(&fake, options.name ? options.name : "worker", ""), 0);
		assert_refused(&fake, builds[i].reason);
		stop_fake(&fake);
	}
}

static void version_comes_from_the_name_if_nothing_else_tells(void **state)
{
	struct fake_options options = {.minor = 8, .name = "python3.8"};
	struct fake fake;

	build_fake(&options);
	assert_int_equal(look_at(&fake, "python3.8", ""), 0);
	assert_readable(&fake, "3.8");
	assert_int_equal(fake.found.patch, -1);
	stop_fake(&fake);
}

static void final_and_candidate_releases_are_read(void **state)
{
	static const struct {
		int minor, patch;
		const char *flags, *version;
	} builds[] = {
		{13, 5, "-DHEX=0x030d05f0", "3.13.5"},
		{14, 0, "-DHEX=0x030e00c2", "3.14.0rc2"},
		{11, 17, "-DHEX=0x030b11f0 -DVERSION='\"3.9.2\"'", "3.11.17"},
		{7, 3, "-DVERSION='\"3.7.3+\"'", "3.7.3"},
		{10, 0, "-DVERSION='\"3.10.0rc1\"'", "3.10.0rc1"},
	};

	for (size_t i = 0; i < ARRAY_LEN(builds); i++) {
		struct fake_options options = {.minor = builds[i].minor, .flags = builds[i].flags};
		struct fake fake;

		build_fake(&options);
		assert_int_equal(look_at(&fake, "worker", ""), 0);
		assert_readable(&fake, builds[i].version);
		assert_int_equal(fake.found.minor, builds[i].minor);
		assert_int_equal(fake.found.patch, builds[i].patch);
		stop_fake(&fake);
	}
}

static void program_that_exports_nothing_is_found(void **state)
{
	struct fake_options options = {.minor = 9, .flags = "-static -DVERSION='\"3.9.2\"'"};
	struct fake fake;

	build_fake(&options);
	assert_int_equal(look_at(&fake, "worker", ""), 0);
	assert_readable(&fake, "3.9.2");
	stop_fake(&fake);
}

static void musl_is_told_from_glibc(void **state)
{
	static const char *const flags[] = {"-DVERSION='\"3.9.2\"'",
					    "-DVERSION='\"3.9.2\"' -static"};

	if (system("command -v musl-gcc >/dev/null")) {
		print_message("skipped: no musl-gcc\n");
		skip();
	}
	for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
		struct fake_options options = {.minor = 9, .compiler = "musl-gcc",
					       .flags = flags[i]};
		struct fake fake;

		build_fake(&options);
		assert_int_equal(look_at(&fake, "worker", ""), 0);
		assert_readable(&fake, "3.9.2");
		assert_true(fake.found.musl);
		assert_int_equal(fake.found.layout.tss_indirect, 1);
		assert_int_equal(fake.found.layout.tss_offset, 128);
		assert_int_equal(fake.found.layout.tss_second, 8 * fake.key);
		stop_fake(&fake);
	}
}

/* ---- files ----------------------------------------------------------------------------------- */

/* A program with the interpreter in a library, as libpython is. */
static void build_with_library(struct fake_options *options)
{
	options->flags = "-DVERSION='\"3.9.2\"' -DLIBRARY -shared -fPIC "
			 "-Wl,-soname,libpython3.9.so.1.0";
	options->name = "libpython3.9.so.1.0";
	build_fake(options);
	write_text("main.c", "extern int fake_main(int argc, char **argv);\n"
			     "int main(int argc, char **argv) { return fake_main(argc, argv); }\n");
	run("gcc -o embedder main.c ./libpython3.9.so.1.0 -Wl,-rpath,'$ORIGIN'");
}

static void interpreter_in_a_library_is_opened_by_its_mapping(void **state)
{
	struct fake_options options = {.minor = 9};
	struct stat opened, named;
	struct proc_maps maps;
	struct fake fake;
	int fd;

	build_with_library(&options);
	assert_int_equal(look_at(&fake, "embedder", ""), 0);
	assert_readable(&fake, "3.9.2");
	assert_non_null(strstr(fake.found.path, "/libpython3.9.so.1.0"));
	assert_int_equal(proc_maps_read(fake.pid, &maps, NULL), 0);
	assert_string_equal(maps.items[fake.found.region].path, fake.found.path);
	assert_int_equal(maps.items[fake.found.region].start, fake.found.text_start);
	fd = python_open_file(fake.pid, &maps, &fake.found, NULL);
	assert_int_equal(fstat(fd, &opened), 0);
	assert_int_equal(stat(in_scratch("libpython3.9.so.1.0"), &named), 0);
	assert_int_equal(opened.st_ino, named.st_ino);
	close(fd);
	fake.found.text_start = 4096;
	assert_int_equal(python_open_file(fake.pid, &maps, &fake.found, NULL), -ENOENT);
	proc_maps_free(&maps);
	stop_fake(&fake);
}

/* The file of a running interpreter is written over: an answer, whichever. */
static void file_that_changes_does_no_harm(void **state)
{
	struct fake_options options = {.minor = 9};
	uint64_t random = 0x2545F4914F6CDD1D;
	struct python_runtime runtime;
	struct proc_maps maps;
	struct stat status;
	struct fake fake;
	int fd;

	build_with_library(&options);
	assert_int_equal(look_at(&fake, "embedder", ""), 0);
	assert_int_equal(kill(fake.pid, SIGSTOP), 0);
	assert_int_equal(proc_maps_read(fake.pid, &maps, NULL), 0);
	fd = open(in_scratch("libpython3.9.so.1.0"), O_RDWR | O_CLOEXEC);
	assert_int_equal(fstat(fd, &status), 0);
	for (int round = 0; round < 307; round++) {
		uint64_t value = next_random(&random), at = next_random(&random);

		at %= round % 2 ? 0x1000 : status.st_size - 8;
		assert_int_equal(pwrite(fd, &value, 1 + round % 8, at), 1 + round % 8);
		python_detect(fake.pid, &maps, &runtime, NULL);
	}
	for (off_t length = status.st_size; length > 0; length -= 1 + length / 3) {
		assert_int_equal(ftruncate(fd, length), 0);
		python_detect(fake.pid, &maps, &runtime, NULL);
	}
	close(fd);
	proc_maps_free(&maps);
	stop_fake(&fake);
}

/* ---- the rest -------------------------------------------------------------------------------- */

static void other_programs_are_none(void **state)
{
	struct python_runtime runtime = {.found = true};
	struct proc_maps maps;

	assert_int_equal(proc_maps_read(getpid(), &maps, NULL), 0);
	assert_int_equal(python_detect(getpid(), &maps, &runtime, NULL), 0);
	assert_false(runtime.found);
	proc_maps_free(&maps);
}

static void memory_is_read_whole_or_not_at_all(void **state)
{
	char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char copy[19];
	pid_t pid;

	assert_ptr_not_equal(pages, MAP_FAILED);
	memcpy(pages + 4096 - 11, "eleven byte", 11);
	assert_int_equal(munmap(pages + 4096, 4096), 0);
	assert_int_equal(python_read_memory(getpid(), (uintptr_t)pages + 4096 - 11, copy, 11), 0);
	assert_memory_equal(copy, "eleven byte", 11);
	assert_int_equal(python_read_memory(getpid(), (uintptr_t)pages + 4096 - 11, copy, 12),
			 -EFAULT);
	assert_int_equal(python_read_memory(getpid(), 8, copy, 1), -EFAULT);
	assert_int_equal(python_read_memory(getpid(), UINT64_MAX, copy, 19), -EFAULT);
	assert_int_equal(python_read_memory(getpid(), 0, copy, 0), 0);
	munmap(pages, 4096);

	pid = fork();
	if (!pid)
		_exit(0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(python_read_memory(pid, (uintptr_t)copy, copy, 1), -ESRCH);
}

static void process_that_is_gone_is_said_so(void **state)
{
	struct fake_options options = {.minor = 9, .flags = "-DVERSION='\"3.9.2\"'"};
	struct python_runtime runtime;
	struct proc_maps maps;
	struct fake fake;
	struct err err;
	int status;

	build_fake(&options);
	assert_int_equal(look_at(&fake, "worker", ""), 0);
	assert_int_equal(proc_maps_read(fake.pid, &maps, NULL), 0);
	stop_fake(&fake);
	status = python_detect(fake.pid, &maps, &runtime, &err);
	assert_true(status == -ESRCH || (!status && !runtime.found));
	proc_maps_free(&maps);
}

static void binary_is_put_into_the_ranges(void **state)
{
	struct python_runtime runtime = {
		.layout = {.eval_first = {0x1234, 0}, .eval_bytes = {17, 0}}};

	python_set_binary(&runtime, 7);
	assert_int_equal(runtime.layout.eval_first[0], 7ULL << FRAME_PC_BITS | 0x1234);
	assert_int_equal(runtime.layout.eval_first[1], 0);
	python_set_binary(&runtime, 11);
	assert_int_equal(runtime.layout.eval_first[0], 11ULL << FRAME_PC_BITS | 0x1234);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(layouts_fit_what_is_read),
		cmocka_unit_test(layouts_have_what_their_chain_needs),
		cmocka_unit_test(debug_offsets_say_what_the_layouts_say),
		cmocka_unit_test(slots_lie_where_the_c_library_has_them),
		cmocka_unit_test(exported_names_are_found),
		cmocka_unit_test(old_hash_tables_are_read_as_well),
		cmocka_unit_test(broken_files_name_nothing_by_accident),
		cmocka_unit_test(references_of_code_are_found),
		cmocka_unit_test(good_process_is_read),
		cmocka_unit_test(key_that_is_not_made_is_left_to_be_found),
		cmocka_unit_test(key_of_early_3_7_is_found_when_it_is_made),
		cmocka_unit_test(static_key_of_3_6_is_found_in_the_code),
		cmocka_unit_test(older_place_of_the_key_in_3_7_is_told),
		cmocka_unit_test(lies_in_memory_are_refused),
		cmocka_unit_test(bad_lists_do_no_harm),
		cmocka_unit_test(builds_that_differ_are_refused),
		cmocka_unit_test(version_comes_from_the_name_if_nothing_else_tells),
		cmocka_unit_test(final_and_candidate_releases_are_read),
		cmocka_unit_test(program_that_exports_nothing_is_found),
		cmocka_unit_test(musl_is_told_from_glibc),
		cmocka_unit_test(interpreter_in_a_library_is_opened_by_its_mapping),
		cmocka_unit_test(file_that_changes_does_no_harm),
		cmocka_unit_test(other_programs_are_none),
		cmocka_unit_test(memory_is_read_whole_or_not_at_all),
		cmocka_unit_test(process_that_is_gone_is_said_so),
		cmocka_unit_test(binary_is_put_into_the_ranges),
	};

	return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
