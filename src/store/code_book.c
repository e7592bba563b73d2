/* SPDX-License-Identifier: GPL-2.0-only */
/* code_book.c - see code_book.h */
#include "store/code_book.h"

#include <errno.h>
#include <stdlib.h>

#include "base/table.h"
#include "base/vec.h"
#include "python/codes.h"

/* What tells functions apart: the hash, and of those that share one the number. */
struct content {
	uint64_t hash, number;
};

struct code_book {
	struct table *by_id; /* id of struct code_record -> index in functions_of_ids */
	struct {
		uint32_t *items; /* index in functions */
		size_t count, capacity;
	} functions_of_ids;
	struct table *by_content; /* struct content -> index in functions */
	struct {
		struct python_code *items;
		size_t count, capacity;
	} functions;
};

struct code_book *code_book_new(void)
{
	struct code_book *book = calloc(1, sizeof(*book));

	if (!book)
		return NULL;
	book->by_id = table_new(sizeof(uint64_t));
	book->by_content = table_new(sizeof(struct content));
	if (book->by_id && book->by_content)
		return book;
	code_book_free(book);
	return NULL;
}

void code_book_free(struct code_book *book)
{
	if (!book)
		return;
	vec_for_each(code, &book->functions)
		python_code_free(code);
	table_free(book->by_id);
	table_free(book->by_content);
	free(book->functions_of_ids.items);
	free(book->functions.items);
	free(book);
}

/* Index of the function that 'code' is, -ENOMEM. 'code' is the book's, or freed. */
static ssize_t function_index(struct code_book *book, struct python_code *code)
{
	struct content content = {.hash = python_code_hash(code)};
	struct python_code *slot;
	ssize_t index;
	bool added;

	for (;; content.number++) {
		index = table_add(book->by_content, &content, &added);
		if (index < 0 || added || (size_t)index >= book->functions.count ||
		    python_code_equal(&book->functions.items[index], code))
			break;
	}
	slot = index >= 0 && added ? vec_add(&book->functions) : NULL;
	if (slot)
		*slot = *code;
	else
		python_code_free(code);
	return index >= 0 && (size_t)index < book->functions.count ? index : -ENOMEM;
}

int code_book_add(struct code_book *book, const struct code_record *record, size_t bytes, pid_t pid,
		  const struct python_layout *layout)
{
	struct python_code code;
	ssize_t function, id;
	uint32_t *slot;
	bool added;
	int status = python_code_decode(record, bytes, pid, layout, &code);

	if (status)
		return status == -ENOMEM ? status : 0; /* a frame of it has no name */
	function = function_index(book, &code);
	if (function < 0)
		return -ENOMEM;
	id = table_add(book->by_id, &record->id, &added);
	if (id < 0)
		return -ENOMEM;
	if (!added)
		return 0;
	slot = vec_add(&book->functions_of_ids);
	if (!slot)
		return -ENOMEM;
	*slot = function;
	return 0;
}

uint64_t code_book_frame(const struct code_book *book, uint64_t frame,
			 const struct python_code **code, uint32_t *line)
{
	uint64_t id = (frame & ((1ULL << FRAME_TAG_SHIFT) - 1)) >> FRAME_INSTR_BITS;
	uint32_t instruction = frame & FRAME_INSTR_NONE;
	ssize_t index = table_find(book->by_id, &id);

	if (index < 0 || (size_t)index >= book->functions_of_ids.count)
		return 0;
	index = book->functions_of_ids.items[index];
	*code = &book->functions.items[index];
	if (python_code_is_incomplete(*code, instruction))
		return 0;
	*line = python_code_line(*code, instruction);
	return FRAME_PYTHON << FRAME_TAG_SHIFT | (uint64_t)index << FRAME_INSTR_BITS |
	       (*line & FRAME_INSTR_NONE);
}
