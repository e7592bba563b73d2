/* SPDX-License-Identifier: GPL-2.0-only */
/* test_code_book.c - which code objects are one function, and where their frames lead. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "python/codes.h"
#include "store/code_book.h"

#define FIRST_LINE 41
#define NAME	   "load"
#define FILE_NAME  "/srv/shop.py"

/* Two line tables of 3.11 with which the function above has one and the same python_code_hash(). */
static const char lines_a[] = "\x9d\x19\xa7\x6a\x04\x29\x28\xa5";
static const char lines_b[] = "\x12\xb1\x0c\x5e\xda\xcd\x1e\xd5";
#define LINES_BYTES 8

static struct code_text text_put(char *data, const char *text, size_t bytes)
{
	memcpy(data, text, bytes);
	return (struct code_text){
	    .addr = 4099, .length = bytes, .copied_bytes = bytes, .unit_bytes = 1};
}

static void add(struct code_book *book, uint64_t id, const char *name, const char *lines)
{
	struct code_record record = {
	    .head.type = RECORD_CODE, .addr = 8191, .first_line = FIRST_LINE, .minor = 11};

	record.id = id;
	record.name = text_put(record.name_data, name, strlen(name));
	record.file = text_put(record.file_data, FILE_NAME, strlen(FILE_NAME));
	record.lines = text_put(record.lines_data, lines, LINES_BYTES);
	assert_int_equal(code_book_add(book, &record,
				       offsetof(struct code_record, lines_data) + LINES_BYTES, 0,
				       NULL),
			 0);
}

static uint64_t frame(const struct code_book *book, uint64_t id, const struct python_code **code)
{
	uint32_t line;

	return code_book_frame(book, FRAME_PYTHON << FRAME_TAG_SHIFT | id << FRAME_INSTR_BITS, code,
			       &line);
}

static void a_function_of_several_code_objects_is_one(void **state)
{
	struct code_book *book = code_book_new();
	const struct python_code *a, *b, *other;

	assert_non_null(book);
	add(book, 7, NAME, lines_a);
	add(book, 11, "dump", lines_a);
	add(book, 13, NAME, lines_a);
	assert_true(frame(book, 7, &a) == frame(book, 13, &b));
	assert_ptr_equal(a, b);
	assert_string_equal(a->name, NAME);
	assert_true(frame(book, 7, &a) != frame(book, 11, &other));
	assert_string_equal(other->name, "dump");
	assert_true(frame(book, 17, &a) == 0);
	code_book_free(book);
}

static void functions_of_one_hash_stay_apart(void **state)
{
	struct python_code a = {
	    .name = NAME, .file = FILE_NAME, .minor = 11, .first_line = FIRST_LINE};
	struct code_book *book = code_book_new();
	const struct python_code *first, *second;
	struct python_code b = a;

	a.lines = (uint8_t *)lines_a;
	b.lines = (uint8_t *)lines_b;
	a.lines_bytes = b.lines_bytes = LINES_BYTES;
	assert_true(python_code_hash(&a) == python_code_hash(&b));
	assert_non_null(book);
	add(book, 7, NAME, lines_a);
	add(book, 11, NAME, lines_b);
	add(book, 13, NAME, lines_b);
	frame(book, 7, &first);
	frame(book, 11, &second);
	assert_memory_equal(first->lines, lines_a, LINES_BYTES);
	assert_memory_equal(second->lines, lines_b, LINES_BYTES);
	assert_true(frame(book, 11, &first) == frame(book, 13, &second));
	assert_ptr_equal(first, second);
	code_book_free(book);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_function_of_several_code_objects_is_one),
	    cmocka_unit_test(functions_of_one_hash_stay_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
