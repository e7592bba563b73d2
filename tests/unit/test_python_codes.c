/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_python_codes.c - records of code objects, whole, cut and wrong, and what is read of the
 * process to complete them. The process is made of a few objects in the layout of 3.12.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "python/codes.h"
#include "python/detect.h"
#include "unit/random.h"

#define PID 7919

#define CODE_ADDR  0x7f1300001000ULL
#define NAME_ADDR  0x7f1300200000ULL
#define FILE_ADDR  0x7f1300400000ULL
#define LINES_ADDR 0x7f1300600000ULL
#define CODE_TYPE  0x7f1300801230ULL

static const struct python_layout layout = {
    .chain = PYTHON_SHIM,
    .minor = 12,
    .code_bytes = 192,
    .code_first_line = 68,
    .code_name = 128,
    .code_file = 112,
    .code_lines = 136,
    .code_first_traceable = 176,
    .text_length = 16,
    .text_state = 32,
    .text_ascii = 40,
    .text_other = 56,
    .bytes_length = 16,
    .bytes_data = 32,
    .code_type = CODE_TYPE,
};

/* ---- the process ----------------------------------------------------------------------------- */

struct area {
	uint64_t addr;
	char *data;
	size_t bytes;
};

static struct {
	struct area areas[8];
	size_t area_count;
	unsigned int read_count;
	unsigned int change_at; /* the read before which the code object gets another first line */
	struct prng *random;	/* every read gives random bytes */
} process;

int python_read_memory(pid_t pid, uint64_t addr, void *to, size_t bytes)
{
	int32_t other_line = 1009;

	assert_int_equal(pid, PID);
	if (++process.read_count == process.change_at)
		memcpy(process.areas[0].data + layout.code_first_line, &other_line, 4);
	if (process.random) {
		for (size_t i = 0; i < bytes; i++)
			((char *)to)[i] = (char)random_bits(process.random);
		return random_below(process.random, 13) ? 0 : -EFAULT;
	}
	for (size_t i = 0; i < process.area_count; i++) {
		const struct area *area = &process.areas[i];

		if (addr < area->addr || addr - area->addr > area->bytes ||
		    area->bytes - (addr - area->addr) < bytes)
			continue;
		memcpy(to, area->data + (addr - area->addr), bytes);
		return 0;
	}
	return -EFAULT;
}

static char *area_add(uint64_t addr, size_t bytes)
{
	struct area *area = &process.areas[process.area_count++];

	assert_true(process.area_count <= ARRAY_LEN(process.areas));
	*area = (struct area){addr, calloc(1, bytes), bytes};
	assert_non_null(area->data);
	return area->data;
}

static void put(char *object, size_t offset, uint64_t value, size_t bytes)
{
	memcpy(object + offset, &value, bytes); /* little-endian, as the target */
}

static char *add_code(int32_t first_line, uint32_t first_traceable)
{
	char *code = area_add(CODE_ADDR, layout.code_bytes);

	put(code, 8, CODE_TYPE, 8);
	put(code, layout.code_first_line, (uint32_t)first_line, 4);
	put(code, layout.code_first_traceable, first_traceable, 4);
	put(code, layout.code_name, NAME_ADDR, 8);
	put(code, layout.code_file, FILE_ADDR, 8);
	put(code, layout.code_lines, LINES_ADDR, 8);
	return code;
}

/* A str of 'length' units; its state is interned, compact and perhaps ASCII. */
static char *add_text(uint64_t addr, const void *units, size_t length, unsigned int unit_bytes,
		      int is_ascii)
{
	size_t data = is_ascii ? layout.text_ascii : layout.text_other;
	char *text = area_add(addr, data + length * unit_bytes);

	put(text, layout.text_length, length, 8);
	put(text, layout.text_state, 1 | unit_bytes << 2 | 1 << 5 | is_ascii << 6, 4);
	memcpy(text + data, units, length * unit_bytes);
	return text;
}

static char *add_bytes(uint64_t addr, const void *data, size_t length)
{
	char *object = area_add(addr, layout.bytes_data + length);

	put(object, layout.bytes_length, length, 8);
	memcpy(object + layout.bytes_data, data, length);
	return object;
}

static int clear(void **state)
{
	for (size_t i = 0; i < process.area_count; i++)
		free(process.areas[i].data);
	memset(&process, 0, sizeof(process));
	return 0;
}

/* ---- records --------------------------------------------------------------------------------- */

static const char lines_311[] = "\xeb\x0a\x80\x01\xda\x02\x03"; /* +5; +0; +1: 4, 1, 3 units */
#define LINES_311_BYTES (sizeof(lines_311) - 1)

static struct code_text text_of(uint64_t addr, size_t length, size_t copied_bytes,
				unsigned int unit_bytes)
{
	return (struct code_text){addr, (uint32_t)length, (uint16_t)copied_bytes,
				  (uint8_t)unit_bytes, 0};
}

static struct code_record record_new(void)
{
	struct code_record record = {
	    .head.type = RECORD_CODE,
	    .addr = CODE_ADDR,
	    .id = 13,
	    .first_line = 101,
	    .first_traceable = 2,
	    .minor = 12,
	    .name = text_of(NAME_ADDR, 11, 11, 1),
	    .file = text_of(FILE_ADDR, 12, 12, 1),
	    .lines = text_of(LINES_ADDR, LINES_311_BYTES, LINES_311_BYTES, 1),
	};

	memcpy(record.name_data, "Cache.store", 11);
	memcpy(record.file_data, "/srv/cache.py", 12); /* "/srv/cache.p" */
	memcpy(record.lines_data, lines_311, LINES_311_BYTES);
	return record;
}

/* The record in a block of its own, as long as it is said to be. */
static int decode_bytes(const struct code_record *record, size_t bytes, pid_t pid,
			const struct python_layout *with, struct python_code *code)
{
	struct code_record *copy = malloc(bytes);
	int status;

	assert_non_null(copy);
	memcpy(copy, record, bytes);
	status = python_code_decode(copy, bytes, pid, with, code);
	free(copy);
	return status;
}

static struct python_code decode(const struct code_record *record, pid_t pid)
{
	struct python_code code;
	size_t bytes = offsetof(struct code_record, lines_data) + record->lines.copied_bytes;

	assert_int_equal(decode_bytes(record, bytes, pid, pid ? &layout : NULL, &code), 0);
	return code;
}

static void check_text(const char *text, const char *wanted)
{
	assert_non_null(text);
	assert_string_equal(text, wanted);
}

static void whole_records_need_no_process(void **state)
{
	struct code_record record = record_new();
	struct python_code code = decode(&record, PID);

	assert_int_equal(process.read_count, 0);
	check_text(code.name, "Cache.store");
	check_text(code.file, "/srv/cache.p");
	assert_int_equal(code.lines_bytes, LINES_311_BYTES);
	assert_memory_equal(code.lines, lines_311, LINES_311_BYTES);
	assert_int_equal(code.minor, 12);
	assert_int_equal(code.first_line, 101);
	assert_int_equal(code.first_traceable, 2);
	assert_false(code.lines_cut);
	python_code_free(&code);
	assert_null(code.name);
}

static void set_name(struct code_record *record, const void *units, size_t length,
		     unsigned int unit_bytes)
{
	record->name = text_of(NAME_ADDR, length, length * unit_bytes, unit_bytes);
	memcpy(record->name_data, units, length * unit_bytes);
}

static void check_name(const void *units, size_t length, unsigned int unit_bytes,
		       const char *wanted)
{
	struct code_record record = record_new();
	struct python_code code;

	set_name(&record, units, length, unit_bytes);
	code = decode(&record, 0);
	check_text(code.name, wanted);
	python_code_free(&code);
}

static void characters_of_each_size_become_utf8(void **state)
{
	static const uint16_t two[] = {'a', 0x7f, 0x80, 0x7ff, 0x800, 0x20ac, 0xffff};
	static const uint32_t four[] = {'b', 0xe9, 0x20ac, 0x10000, 0x1f40d, 0x10ffff};

	check_name("caf\xe9\x80\xff\n", 7, 1, "caf\u00e9\xc2\x80\u00ff\n");
	check_name(two, 7, 2, "a\x7f\xc2\x80\u07ff\u0800\u20ac\uffff");
	check_name(four, 6, 4, "b\u00e9\u20ac\U00010000\U0001f40d\U0010ffff");
	check_name("", 0, 1, "");
}

static void what_is_no_character_can_be_read(void **state)
{
	/* a file name that is not UTF-8, as os.fsdecode gives it; half a pair; nonsense */
	static const uint16_t escaped[] = {'/', 0xdcff, 0xdc80, 'x'};
	static const uint16_t halves[] = {0xd83d, 0xd800, 0xdc7f, 0xdfff, 'y'};
	static const uint32_t nonsense[] = {0, 0x110000, 0xffffffff, 0xdcc3, 'z'};

	check_name(escaped, 4, 2, "/\\xff\\x80x");
	check_name(halves, 5, 2, "\\ud83d\\ud800\\udc7f\\udfffy");
	check_name(nonsense, 5, 4, "\ufffd\ufffd\ufffd\\xc3z");
}

/* ---- records that are not whole -------------------------------------------------------------- */

/* Four characters of the name, two of the file and three bytes of the lines were copied. */
static struct code_record cut_record(void)
{
	struct code_record record = record_new();

	record.name.copied_bytes = 4;
	record.file.copied_bytes = 2;
	record.lines.copied_bytes = 3;
	return record;
}

static void check_cut(pid_t pid)
{
	struct code_record record = cut_record();
	struct python_code code = decode(&record, pid);

	check_text(code.name, "Cach...");
	check_text(code.file, "/s...");
	assert_int_equal(code.lines_bytes, 3);
	assert_true(code.lines_cut);
	assert_int_equal(code.first_line, 101);
	python_code_free(&code);
}

static void without_process_texts_stay_cut(void **state)
{
	check_cut(0);
	assert_int_equal(process.read_count, 0);
}

static void add_whole_object(void)
{
	static const uint16_t file[] = {'/', 's', 0x20ac, 0xdc80, 'n', 'e', 'w', '.', 'p', 'y'};

	add_code(101, 2);
	add_text(NAME_ADDR, "Cache.store", 11, 1, 1);
	add_text(FILE_ADDR, file, ARRAY_LEN(file), 2, 0);
	add_bytes(LINES_ADDR, lines_311, LINES_311_BYTES);
}

static void cut_texts_are_read_from_the_process(void **state)
{
	struct code_record record = cut_record();
	struct python_code code;

	add_whole_object();
	code = decode(&record, PID);
	check_text(code.name, "Cache.store");
	check_text(code.file, "/s\u20ac\\x80new.py");
	assert_int_equal(code.lines_bytes, LINES_311_BYTES);
	assert_memory_equal(code.lines, lines_311, LINES_311_BYTES);
	assert_false(code.lines_cut);
	python_code_free(&code);
}

static void unread_texts_are_read_from_the_process(void **state)
{
	struct code_record record = record_new();
	struct python_code code;

	record.name = text_of(NAME_ADDR, 0, 0, 0);
	record.file = text_of(FILE_ADDR, 0, 0, 0);
	record.lines = text_of(LINES_ADDR, 0, 0, 0);
	add_whole_object();
	code = decode(&record, PID);
	check_text(code.name, "Cache.store");
	check_text(code.file, "/s\u20ac\\x80new.py");
	assert_int_equal(code.lines_bytes, LINES_311_BYTES);
	assert_false(code.lines_cut);
	python_code_free(&code);
}

static void other_objects_at_the_address_are_left_alone(void **state)
{
	static const size_t fields[] = {68, 128, 112, 136, 8};

	add_whole_object();
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		process.areas[0].data[fields[i]] ^= 16;
		check_cut(PID);
		process.areas[0].data[fields[i]] ^= 16;
	}
}

static void objects_replaced_while_being_read_are_left_alone(void **state)
{
	/* the code object, length, state, characters, the code object again */
	for (unsigned int read = 1; read <= 5; read++) {
		clear(state);
		add_whole_object();
		process.change_at = read;
		check_cut(PID);
	}
}

static void parts_that_vanish_stay_cut(void **state)
{
	add_code(101, 2);
	check_cut(PID);
}

static void odd_texts_stay_cut(void **state)
{
	char *name, *file, *lines;

	add_whole_object();
	name = process.areas[1].data;
	file = process.areas[2].data;
	lines = process.areas[3].data;
	put(name, layout.text_state, 1 << 2 | 1 << 6, 4); /* not compact */
	put(file, layout.text_state, 3 << 2 | 1 << 5, 4); /* three bytes a character */
	put(file, layout.text_length, 5, 8);
	put(lines, layout.bytes_length, UINT64_MAX, 8);
	check_cut(PID);
	put(name, layout.text_state, 1 << 5, 4);
	put(file, layout.text_length, UINT64_MAX, 8);
	put(lines, layout.bytes_length, INT64_MAX, 8);
	check_cut(PID);
	put(name, layout.text_state, 1 << 2 | 1 << 5, 4);
	put(name, layout.text_length, INT64_MAX, 8);
	check_cut(PID);
}

static void texts_are_read_up_to_a_limit(void **state)
{
	enum { NAME_LIMIT = 65536, FILE_LIMIT = 4096, LINES_LIMIT = 1 << 20 };
	struct code_record record = cut_record();
	_cleanup_free_ char *text = malloc(LINES_LIMIT + 1);
	struct python_code code;

	assert_non_null(text);
	memset(text, 'n', LINES_LIMIT + 1);
	add_code(101, 2);
	add_text(NAME_ADDR, text, NAME_LIMIT + 1, 1, 1);
	add_text(FILE_ADDR, text, FILE_LIMIT + 1, 1, 0);
	add_bytes(LINES_ADDR, text, LINES_LIMIT + 1);
	code = decode(&record, PID);
	assert_int_equal(strlen(code.name), NAME_LIMIT + 3);
	check_text(code.name + NAME_LIMIT - 1, "n...");
	assert_int_equal(strlen(code.file), FILE_LIMIT + 3);
	check_text(code.file + FILE_LIMIT - 1, "n...");
	assert_int_equal(code.lines_bytes, LINES_LIMIT);
	assert_true(code.lines_cut);
	python_code_free(&code);
	put(process.areas[3].data, layout.bytes_length, UINT64_MAX, 8);
	code = decode(&record, PID);
	assert_int_equal(code.lines_bytes, 3);
	python_code_free(&code);
}

static void names_that_cannot_be_read_are_said_so(void **state)
{
	struct code_record record = record_new();
	struct python_code code;

	record.name = text_of(NAME_ADDR, 0, 0, 0);
	code = decode(&record, 0);
	check_text(code.name, "[unreadable code object]");
	check_text(code.file, "/srv/cache.p");
	python_code_free(&code);
	record = record_new();
	record.file = text_of(FILE_ADDR, 12, 0, 1);
	code = decode(&record, 0);
	check_text(code.name, "Cache.store");
	assert_null(code.file);
	python_code_free(&code);
}

/* ---- unreadable objects ---------------------------------------------------------------------- */

static struct code_record unreadable_record(void)
{
	return (struct code_record){
	    .head.type = RECORD_CODE, .addr = CODE_ADDR, .id = 17, .unreadable = 1};
}

static void check_unreadable(const struct python_layout *with, pid_t pid)
{
	struct code_record record = unreadable_record();
	struct python_code code;

	assert_int_equal(
	    decode_bytes(&record, offsetof(struct code_record, lines_data), pid, with, &code), 0);
	check_text(code.name, "[unreadable code object]");
	assert_null(code.file);
	assert_int_equal(code.lines_bytes, 0);
	assert_true(code.lines_cut);
	assert_int_equal(python_code_line(&code, 0), 0);
	assert_int_equal(python_code_line(&code, FRAME_INSTR_NONE), 0);
	assert_false(python_code_is_incomplete(&code, 0));
	python_code_free(&code);
}

static void unreadable_objects_are_read_from_the_process(void **state)
{
	struct code_record record = unreadable_record();
	struct python_code code;

	add_whole_object();
	code = decode(&record, PID);
	check_text(code.name, "Cache.store");
	check_text(code.file, "/s\u20ac\\x80new.py");
	assert_int_equal(code.minor, 12);
	assert_int_equal(code.first_line, 101);
	assert_int_equal(code.first_traceable, 2);
	assert_int_equal(code.lines_bytes, LINES_311_BYTES);
	assert_false(code.lines_cut);
	python_code_free(&code);
}

static void unreadable_objects_may_stay_so(void **state)
{
	struct python_layout wrong = layout;

	check_unreadable(NULL, 0);
	check_unreadable(&layout, PID); /* nothing is mapped */
	check_unreadable(NULL, PID);
	add_whole_object();
	wrong.code_lines = layout.code_bytes - 7;
	check_unreadable(&wrong, PID);
	wrong = layout;
	wrong.code_bytes = PYTHON_CODE_BYTES + 1;
	process.areas[0].data = realloc(process.areas[0].data, wrong.code_bytes);
	process.areas[0].bytes = wrong.code_bytes;
	assert_non_null(process.areas[0].data);
	check_unreadable(&wrong, PID);
	wrong = layout;
	wrong.code_type++;
	check_unreadable(&wrong, PID);
	wrong.code_type = 0;
	wrong.code_first_traceable = layout.code_bytes - 3;
	check_unreadable(&wrong, PID);
}

static void any_memory_is_safe(void **state)
{
	struct prng prng = {104729};

	process.random = &prng;
	for (int round = 0; round < 997; round++) {
		struct python_layout any = layout;
		struct code_record record = round % 2 ? unreadable_record() : cut_record();
		struct python_code code;

		any.code_type = 0;
		assert_int_equal(decode_bytes(&record, sizeof(record), PID, &any, &code), 0);
		assert_non_null(code.name);
		python_code_free(&code);
	}
	assert_true(process.read_count > 997);
}

/* ---- records that are none ------------------------------------------------------------------- */

static void check_refused(const struct code_record *record, size_t bytes)
{
	struct python_code code = {.first_line = 19};

	assert_int_equal(decode_bytes(record, bytes, 0, NULL, &code), -EINVAL);
	assert_int_equal(code.first_line, 19);
}

static void short_and_odd_records_are_refused(void **state)
{
	struct code_record record = record_new();
	size_t whole = offsetof(struct code_record, lines_data) + LINES_311_BYTES;

	for (size_t bytes = sizeof(struct record_head); bytes < whole; bytes += 1)
		check_refused(&record, bytes);
	record.name.copied_bytes = CODE_NAME_BYTES + 1;
	check_refused(&record, sizeof(record));
	record = record_new();
	record.file.copied_bytes = CODE_FILE_BYTES + 1;
	check_refused(&record, sizeof(record));
	record = record_new();
	record.lines.copied_bytes = CODE_LINES_BYTES + 1;
	check_refused(&record, sizeof(record));
	record = record_new();
	record.head.type = RECORD_STACK;
	check_refused(&record, sizeof(record));
}

static void more_copied_than_there_is_is_left_out(void **state)
{
	struct code_record record = record_new();
	struct python_code code;

	record.name.length = 5;
	record.file.unit_bytes = 3;
	code = decode(&record, 0);
	check_text(code.name, "Cache");
	assert_null(code.file);
	python_code_free(&code);
}

/* ---- lines ----------------------------------------------------------------------------------- */

static struct python_code code_with(int minor, const void *table, size_t bytes, bool cut)
{
	return (struct python_code){
	    .lines = (uint8_t *)table,
	    .lines_bytes = bytes,
	    .minor = minor,
	    .first_line = 101,
	    .lines_cut = cut,
	};
}

static void instructions_have_lines(void **state)
{
	struct python_code code = code_with(12, lines_311, LINES_311_BYTES, false);

	assert_int_equal(python_code_line(&code, 0), 106);
	assert_int_equal(python_code_line(&code, 3), 106);
	assert_int_equal(python_code_line(&code, 4), 106);
	assert_int_equal(python_code_line(&code, 5), 107);
	assert_int_equal(python_code_line(&code, 7), 107);
	assert_int_equal(python_code_line(&code, 8), 0);
	assert_int_equal(python_code_line(&code, FRAME_INSTR_NONE), 101);
	assert_int_equal(python_code_line(&code, FRAME_INSTR_NONE - 1), 0);
	code.first_line = -13;
	assert_int_equal(python_code_line(&code, FRAME_INSTR_NONE), 0);
}

static void instructions_are_units_in_all_versions(void **state)
{
	static const char pairs[] = {6, 2, 4, 3, 8, 5};
	struct python_code lnotab = code_with(8, pairs, sizeof(pairs), false);
	struct python_code ranges = code_with(10, pairs, sizeof(pairs), false);

	assert_int_equal(python_code_line(&lnotab, 2), 101);
	assert_int_equal(python_code_line(&lnotab, 3), 103);
	assert_int_equal(python_code_line(&lnotab, 4), 103);
	assert_int_equal(python_code_line(&lnotab, 5), 106);
	assert_int_equal(python_code_line(&lnotab, 9), 111);
	assert_int_equal(python_code_line(&lnotab, 1009), 111);
	assert_int_equal(python_code_line(&ranges, 2), 103);
	assert_int_equal(python_code_line(&ranges, 3), 106);
	assert_int_equal(python_code_line(&ranges, 8), 111);
	assert_int_equal(python_code_line(&ranges, 9), 0);
}

static void behind_a_cut_there_are_no_lines(void **state)
{
	static const char pairs[] = {6, 2, 4, 3, 8};
	struct python_code code = code_with(9, pairs, sizeof(pairs), true);

	assert_int_equal(python_code_line(&code, 2), 101);
	assert_int_equal(python_code_line(&code, 4), 103);
	assert_int_equal(python_code_line(&code, 5), 0);
	assert_int_equal(python_code_line(&code, FRAME_INSTR_NONE), 101);
	code.lines_bytes = 0;
	assert_int_equal(python_code_line(&code, 0), 0);
	code = code_with(10, pairs, sizeof(pairs), true);
	assert_int_equal(python_code_line(&code, 4), 106);
	assert_int_equal(python_code_line(&code, 5), 0);
	code = code_with(13, lines_311, 3, true);
	assert_int_equal(python_code_line(&code, 3), 106);
	assert_int_equal(python_code_line(&code, 4), 106);
	assert_int_equal(python_code_line(&code, 5), 0);
	code.lines_bytes = 1;
	assert_int_equal(python_code_line(&code, 0), 0);
}

/* co_lnotab of code in one line, up to 3.9. */
static void empty_tables_are_known_or_unread(void **state)
{
	struct code_record record = record_new();
	struct python_code code;

	record.minor = 7;
	record.lines = text_of(LINES_ADDR, 0, 0, 1);
	code = decode(&record, 0);
	assert_false(code.lines_cut);
	assert_int_equal(python_code_line(&code, 23), 101);
	python_code_free(&code);
	record.lines = text_of(LINES_ADDR, 0, 0, 0);
	code = decode(&record, 0);
	assert_true(code.lines_cut);
	assert_int_equal(python_code_line(&code, 23), 0);
	python_code_free(&code);
	add_code(101, 2);
	add_bytes(LINES_ADDR, "", 0);
	code = decode(&record, PID);
	assert_false(code.lines_cut);
	assert_int_equal(python_code_line(&code, 23), 101);
	python_code_free(&code);
}

static void frames_before_their_body_are_incomplete(void **state)
{
	struct python_code code = {.minor = 11, .first_traceable = 3};

	assert_true(python_code_is_incomplete(&code, 0));
	assert_true(python_code_is_incomplete(&code, 2));
	assert_false(python_code_is_incomplete(&code, 3));
	assert_true(python_code_is_incomplete(&code, FRAME_INSTR_NONE));
	code.first_traceable = 0;
	assert_true(python_code_is_incomplete(&code, FRAME_INSTR_NONE));
	assert_false(python_code_is_incomplete(&code, 0));
	code = (struct python_code){.minor = 10, .first_traceable = 3};
	assert_false(python_code_is_incomplete(&code, FRAME_INSTR_NONE));
	assert_false(python_code_is_incomplete(&code, 0));
}

/* ---- equal ----------------------------------------------------------------------------------- */

static void the_same_function_is_equal(void **state)
{
	struct code_record record = record_new(), elsewhere = record_new();
	struct python_code a, b;

	elsewhere.addr += 4096;
	elsewhere.id = 97;
	elsewhere.name.addr++;
	elsewhere.file.addr++;
	elsewhere.lines.addr++;
	a = decode(&record, 0);
	b = decode(&elsewhere, 0);
	assert_true(python_code_equal(&a, &b));
	assert_true(python_code_hash(&a) == python_code_hash(&b));
	python_code_free(&a);
	python_code_free(&b);
}

static void check_differs(const struct code_record *other)
{
	struct code_record record = record_new();
	struct python_code a = decode(&record, 0), b = decode(other, 0);

	assert_false(python_code_equal(&a, &b));
	assert_false(python_code_equal(&b, &a));
	assert_true(python_code_hash(&a) != python_code_hash(&b));
	python_code_free(&a);
	python_code_free(&b);
}

static void other_functions_differ(void **state)
{
	struct code_record other = record_new();

	other.name_data[10]++;
	check_differs(&other);
	other = record_new();
	other.file_data[0]++;
	check_differs(&other);
	other = record_new();
	other.file = text_of(FILE_ADDR, 0, 0, 0);
	check_differs(&other);
	other = record_new();
	other.lines_data[6]++;
	check_differs(&other);
	other = record_new();
	other.first_line++;
	check_differs(&other);
	other = record_new();
	other.minor++;
	check_differs(&other);
	other = record_new();
	other.lines.length = other.lines.copied_bytes = 2;
	check_differs(&other);
}

static void cut_tables_differ_from_whole_ones(void **state)
{
	struct code_record record = record_new(), longer = record_new();
	struct python_code a, b;

	longer.lines.length++;
	a = decode(&record, 0);
	b = decode(&longer, 0);
	assert_false(python_code_equal(&a, &b));
	python_code_free(&a);
	python_code_free(&b);
}

#define TEST(name) cmocka_unit_test_teardown(name, clear)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(whole_records_need_no_process),
	    TEST(characters_of_each_size_become_utf8),
	    TEST(what_is_no_character_can_be_read),
	    TEST(without_process_texts_stay_cut),
	    TEST(cut_texts_are_read_from_the_process),
	    TEST(unread_texts_are_read_from_the_process),
	    TEST(other_objects_at_the_address_are_left_alone),
	    TEST(objects_replaced_while_being_read_are_left_alone),
	    TEST(parts_that_vanish_stay_cut),
	    TEST(odd_texts_stay_cut),
	    TEST(texts_are_read_up_to_a_limit),
	    TEST(names_that_cannot_be_read_are_said_so),
	    TEST(unreadable_objects_are_read_from_the_process),
	    TEST(unreadable_objects_may_stay_so),
	    TEST(any_memory_is_safe),
	    TEST(short_and_odd_records_are_refused),
	    TEST(more_copied_than_there_is_is_left_out),
	    TEST(instructions_have_lines),
	    TEST(instructions_are_units_in_all_versions),
	    TEST(behind_a_cut_there_are_no_lines),
	    TEST(empty_tables_are_known_or_unread),
	    TEST(frames_before_their_body_are_incomplete),
	    TEST(the_same_function_is_equal),
	    TEST(other_functions_differ),
	    TEST(cut_tables_differ_from_whole_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
