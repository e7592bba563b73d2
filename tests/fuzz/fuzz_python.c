/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fuzz_python.c - any bytes as a line table of each version of Python, and as a record of a code
 * object whose process is gone or has any bytes at any address.
 *
 * Checks as well that texts are valid UTF-8, that lines fit 31 bits, and that the same record
 * gives the same code. The first byte chooses: so no seeds are needed.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "export/utf8.h"
#include "python/codes.h"
#include "python/detect.h"
#include "python/lines.h"

#define PID	   13
#define MINOR	   12 /* of the process */
#define MINORS	   16
#define SIZE_LIMIT 65536 /* of texts in the process */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t *memory;
static size_t memory_bytes;

static void check(bool holds)
{
	if (!holds)
		abort();
}

/* The process' memory: the input over and over. Longer pieces are not there. */
int python_read_memory(pid_t pid, uint64_t addr, void *to, size_t bytes)
{
	check(pid == PID);
	if (!memory_bytes || bytes > SIZE_LIMIT)
		return -EFAULT;
	for (size_t i = 0; i < bytes; i++)
		((uint8_t *)to)[i] = memory[(addr + i) % memory_bytes];
	return 0;
}

static void check_utf8(const char *text)
{
	while (*text) {
		uint32_t character;
		unsigned int length = utf8_take(text, &character);

		check(character != 0xFFFD || length == 3);
		text += length;
	}
}

static void fuzz_lines(const uint8_t *data, size_t size)
{
	uint8_t *table;
	int32_t first_line;

	if (size < sizeof(first_line))
		return;
	memcpy(&first_line, data, sizeof(first_line));
	size -= sizeof(first_line);
	table = malloc(size + !size);
	check(table);
	memcpy(table, data + sizeof(first_line), size);
	for (int minor = 0; minor < MINORS; minor++) {
		for (uint32_t offset = 0; offset < 64; offset += 2)
			check(python_line_at(minor, table, size, first_line, offset) <= INT32_MAX);
		check(python_line_at(minor, table, size, first_line, UINT32_MAX) <= INT32_MAX);
	}
	free(table);
}

static void check_code(const struct python_code *code)
{
	check(code->name);
	check_utf8(code->name);
	if (code->file)
		check_utf8(code->file);
	check(code->lines || !code->lines_bytes);
	for (uint32_t instruction = 0; instruction < 32; instruction++)
		check(python_code_line(code, instruction) <= INT32_MAX);
	check(python_code_line(code, FRAME_INSTR_NONE) <= INT32_MAX);
	check(python_code_line(code, FRAME_INSTR_NONE - 1) <= INT32_MAX);
	python_code_is_incomplete(code, FRAME_INSTR_NONE);
}

/*
 * A record in a block as long as it is said to be, which every other value of 'length' leaves
 * whole. The input is repeated in it, so that short inputs do.
 */
static struct code_record *record_new(const uint8_t *data, size_t size, uint16_t length,
				      size_t *bytes)
{
	struct code_record whole, *record;

	for (size_t i = 0; i < sizeof(whole); i++)
		((uint8_t *)&whole)[i] = data[i % size];
	whole.head.type = RECORD_CODE;
	*bytes = length % (sizeof(whole) + 1);
	if (length & 1)
		*bytes = offsetof(struct code_record, lines_data) +
			 whole.lines.copied_bytes % (CODE_LINES_BYTES + 1);
	record = malloc(*bytes + !*bytes);
	check(record);
	memcpy(record, &whole, *bytes);
	return record;
}

static void fuzz_record(const uint8_t *data, size_t size, pid_t pid)
{
	const struct python_layout *layout = python_layout_of(MINOR);
	struct python_code code, again;
	struct code_record *record;
	uint16_t length;
	size_t bytes;

	if (size <= sizeof(length))
		return;
	memcpy(&length, data, sizeof(length));
	record = record_new(data, size, length, &bytes);
	memory = data;
	memory_bytes = size;
	if (bytes >= sizeof(record->head) &&
	    !python_code_decode(record, bytes, pid, layout, &code)) {
		check_code(&code);
		check(!python_code_decode(record, bytes, pid, layout, &again));
		check(python_code_equal(&code, &again));
		check(python_code_hash(&code) == python_code_hash(&again));
		python_code_free(&code);
		python_code_free(&again);
	}
	free(record);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	if (data[0] % 3 == 0)
		fuzz_lines(data + 1, size - 1);
	else
		fuzz_record(data + 1, size - 1, data[0] % 3 == 1 ? 0 : PID);
	return 0;
}
