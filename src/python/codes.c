/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * codes.c - see codes.h.
 *
 * What is missing is read in this order: the code object, which must have the first line and the
 * parts of the record; the part; the code object again. It holds references to its parts, so what
 * was read between two equal looks belongs to it. (Only co_filename is ever replaced, when a .pyc
 * file is imported from another place: update_code_filenames, Python/import.c.)
 *
 * A str is read if it is compact, that is if its characters follow the header, as all that
 * compilers make: PEP 393, struct PyASCIIObject in Include/cpython/unicodeobject.h.
 */
#include "python/codes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "python/detect.h"
#include "python/lines.h"

#define UNREADABLE_NAME "[unreadable code object]"
#define CUT_MARK	"..."

/* What is read of a process at most; longer texts are cut. */
#define NAME_CHARS_MAX	65536
#define FILE_CHARS_MAX	4096
#define LINES_BYTES_MAX (1U << 20)

#define REPLACEMENT    0xFFFD
#define UTF8_BYTES_MAX 6 /* of one character: \udXXX */

#define STATE_KIND_SHIFT 2 /* behind 2 bits 'interned', 3.6-3.14 */
#define STATE_KIND_MASK	 7
#define STATE_COMPACT	 (1U << 5)
#define STATE_ASCII	 (1U << 6)

#define FIRST_TRACEABLE_MINOR 11
#define LNOTAB_MINOR_LAST     9
#define UNIT_BYTES	      2 /* _Py_CODEUNIT */

/* ---- texts as Python keeps them -------------------------------------------------------------- */

struct part {
	char *data;    /* the caller's */
	size_t length; /* in units, those of 'data' */
	unsigned int unit_bytes;
	bool cut; /* there is more of it, or there was nothing to read */
};

static bool is_unit(unsigned int bytes)
{
	return bytes == 1 || bytes == 2 || bytes == 4;
}

static uint32_t unit_at(const struct part *part, size_t i)
{
	const char *at = part->data + i * part->unit_bytes;
	uint16_t two;
	uint32_t four;

	if (part->unit_bytes == 1)
		return (uint8_t)*at;
	if (part->unit_bytes == 2) {
		memcpy(&two, at, sizeof(two));
		return two;
	}
	memcpy(&four, at, sizeof(four));
	return four;
}

/*
 * Writes one character as UTF-8. Bytes of file names that are not valid in the file system's
 * encoding are U+DC80 ... U+DCFF (PEP 383), shown as \xNN; other surrogates as Python prints them
 * to stderr (backslashreplace), \udNNN. What cannot be in a C string or a str is U+FFFD.
 */
static char *put_utf8(char *to, uint32_t character)
{
	static const unsigned char leads[] = {0, 0xC0, 0xE0, 0xF0};
	unsigned int tail;

	if (character >= 0xDC80 && character <= 0xDCFF)
		return to + sprintf(to, "\\x%02x", character & 0xff);
	if (character >= 0xD800 && character <= 0xDFFF)
		return to + sprintf(to, "\\u%04x", character);
	if (!character || character > 0x10FFFF)
		character = REPLACEMENT;
	tail = character < 0x80 ? 0 : character < 0x800 ? 1 : character < 0x10000 ? 2 : 3;
	*to++ = (char)(leads[tail] | character >> 6 * tail);
	while (tail--)
		*to++ = (char)(0x80 | (character >> 6 * tail & 0x3f));
	return to;
}

/* Returns the text as UTF-8, the caller's; NULL when memory is out. */
static char *part_to_utf8(const struct part *part)
{
	char *text = malloc(part->length * UTF8_BYTES_MAX + sizeof(CUT_MARK));
	char *end = text, *fitting;

	if (!text)
		return NULL;
	for (size_t i = 0; i < part->length; i++)
		end = put_utf8(end, unit_at(part, i));
	if (part->cut)
		end += sprintf(end, CUT_MARK);
	*end++ = '\0';
	fitting = realloc(text, (size_t)(end - text));
	return fitting ? fitting : text;
}

/* ---- the process ----------------------------------------------------------------------------- */

/* A code object and the process that has it, or had. */
struct object {
	pid_t pid; /* 0: nothing can be read */
	const struct python_layout *layout;
	uint64_t addr;
	int32_t first_line;
	uint32_t first_traceable;
	uint64_t name, file, lines; /* addresses of its parts */
};

static bool take_field(const char *bytes, size_t count, size_t offset, void *to, size_t to_bytes)
{
	if (offset > count || count - offset < to_bytes)
		return false;
	memcpy(to, bytes + offset, to_bytes);
	return true;
}

/* ob_type stands right before ob_size, the length of a bytes object. */
static bool is_code(const struct python_layout *layout, const char *bytes, size_t count)
{
	uint64_t type;

	if (!layout->code_type)
		return true;
	return layout->bytes_length >= sizeof(type) &&
	       take_field(bytes, count, layout->bytes_length - sizeof(type), &type, sizeof(type)) &&
	       type == layout->code_type;
}

/* Look at the code object at object->addr. False if there is none, or it cannot be read. */
static bool object_read(struct object *object)
{
	const struct python_layout *layout = object->layout;
	char bytes[PYTHON_CODE_BYTES];
	struct object now = *object;
	size_t count = layout->code_bytes;

#define TAKE(offset, member)                                                                       \
	take_field(bytes, count, layout->offset, &now.member, sizeof(now.member))
	if (count > sizeof(bytes) || python_read_memory(now.pid, now.addr, bytes, count))
		return false;
	if (!is_code(layout, bytes, count) || !TAKE(code_first_line, first_line) ||
	    !TAKE(code_name, name) || !TAKE(code_file, file) || !TAKE(code_lines, lines))
		return false;
	if (layout->code_first_traceable != PYTHON_OFFSET_NONE &&
	    !TAKE(code_first_traceable, first_traceable))
		return false;
#undef TAKE
	*object = now;
	return true;
}

static bool object_is_same(const struct object *object)
{
	struct object now = *object;

	return object->pid && object_read(&now) && now.first_line == object->first_line &&
	       now.name == object->name && now.file == object->file && now.lines == object->lines;
}

/* Where the units of a str or bytes object are, and how many. */
struct header {
	uint64_t addr, length;
	unsigned int unit_bytes;
};

static bool read_bytes_header(const struct object *object, uint64_t addr, struct header *header)
{
	const struct python_layout *layout = object->layout;
	int64_t length;

	if (python_read_memory(object->pid, addr + layout->bytes_length, &length, sizeof(length)))
		return false;
	*header = (struct header){addr + layout->bytes_data, (uint64_t)length, 1};
	return length >= 0;
}

static bool read_str_header(const struct object *object, uint64_t addr, struct header *header)
{
	const struct python_layout *layout = object->layout;
	unsigned int unit_bytes;
	int64_t length;
	uint32_t state;

	if (python_read_memory(object->pid, addr + layout->text_length, &length, sizeof(length)) ||
	    python_read_memory(object->pid, addr + layout->text_state, &state, sizeof(state)))
		return false;
	unit_bytes = state >> STATE_KIND_SHIFT & STATE_KIND_MASK;
	*header = (struct header){addr, (uint64_t)length, unit_bytes};
	header->addr += state & STATE_ASCII ? layout->text_ascii : layout->text_other;
	return length >= 0 && state & STATE_COMPACT && is_unit(unit_bytes);
}

typedef bool header_reader(const struct object *object, uint64_t addr, struct header *header);

/*
 * Read the part at 'addr', at most 'length_max' of it. Returns 1, 0 if it could not be read or the
 * object is gone, -ENOMEM.
 */
static int part_read(const struct object *object, uint64_t addr, header_reader *read_header,
		     size_t length_max, struct part *part)
{
	_cleanup_free_ char *data = NULL;
	struct header header;
	size_t length;

	if (!object_is_same(object) || !read_header(object, addr, &header))
		return 0;
	length = header.length < length_max ? header.length : length_max;
	data = malloc(length * header.unit_bytes + 1);
	if (!data)
		return -ENOMEM;
	if (length &&
	    python_read_memory(object->pid, header.addr, data, length * header.unit_bytes))
		return 0;
	if (!object_is_same(object))
		return 0;
	*part = (struct part){TAKE_PTR(data), length, header.unit_bytes, length < header.length};
	return 1;
}

/*
 * The part as copied in the kernel, or as much of it as there is. 'unit_bytes' 0: the header was
 * not readable then, so that length 0 says nothing.
 */
static int part_copy(const struct code_text *text, const char *copied, struct part *part)
{
	unsigned int unit_bytes = is_unit(text->unit_bytes) ? text->unit_bytes : 1;
	size_t length = is_unit(text->unit_bytes) ? text->copied_bytes / unit_bytes : 0;

	if (length > text->length)
		length = text->length;
	*part = (struct part){
	    .data = malloc(length * unit_bytes + 1),
	    .length = length,
	    .unit_bytes = unit_bytes,
	    .cut = length < text->length || !is_unit(text->unit_bytes),
	};
	if (!part->data)
		return -ENOMEM;
	if (length)
		memcpy(part->data, copied, length * unit_bytes);
	return 0;
}

/* The part, from the record if it is all there, else from the process if that still has it. */
static int part_get(const struct object *object, const struct code_text *text, const char *copied,
		    header_reader *read_header, size_t length_max, struct part *part)
{
	struct part all;
	int status = part_copy(text, copied, part);

	if (status || !part->cut)
		return status;
	status = part_read(object, text->addr, read_header, length_max, &all);
	if (status <= 0)
		return status;
	free(part->data);
	*part = all;
	return 0;
}

/* As UTF-8; '*text' is NULL if nothing of it could be read. */
static int text_get(const struct object *object, const struct code_text *from, const char *copied,
		    size_t chars_max, char **text)
{
	struct part part;
	int status = part_get(object, from, copied, read_str_header, chars_max, &part);

	if (!status && (part.length || !part.cut)) {
		*text = part_to_utf8(&part);
		status = *text ? 0 : -ENOMEM;
	}
	free(part.data);
	return status;
}

/* ---- records --------------------------------------------------------------------------------- */

static bool record_is_valid(const struct code_record *record, size_t bytes)
{
	if (bytes < offsetof(struct code_record, name_data) || record->head.type != RECORD_CODE)
		return false;
	if (record->unreadable)
		return true;
	return bytes >= offsetof(struct code_record, lines_data) &&
	       record->name.copied_bytes <= sizeof(record->name_data) &&
	       record->file.copied_bytes <= sizeof(record->file_data) &&
	       record->lines.copied_bytes <= bytes - offsetof(struct code_record, lines_data);
}

/* Name, file and lines, from what is copied in 'record' (NULL: nothing is). */
static int parts_get(const struct object *object, const struct code_record *record,
		     struct python_code *code)
{
	struct code_text name = {.addr = object->name}, file = {.addr = object->file};
	struct code_text lines = {.addr = object->lines};
	struct part table;
	int status;

	if (record) {
		name = record->name;
		file = record->file;
		lines = record->lines;
	}
	status =
	    text_get(object, &name, record ? record->name_data : NULL, NAME_CHARS_MAX, &code->name);
	if (!status)
		status = text_get(object, &file, record ? record->file_data : NULL, FILE_CHARS_MAX,
				  &code->file);
	if (status)
		return status;
	status = part_get(object, &lines, record ? record->lines_data : NULL, read_bytes_header,
			  LINES_BYTES_MAX, &table);
	code->lines = (uint8_t *)table.data;
	code->lines_bytes = table.length;
	code->lines_cut = table.cut;
	return status;
}

static int code_fill(const struct code_record *record, struct object *object,
		     struct python_code *code)
{
	int status = 0;

	code->lines_cut = true;
	if (!record->unreadable) {
		code->minor = record->minor;
		object->first_line = record->first_line;
		object->first_traceable = record->first_traceable;
		object->name = record->name.addr;
		object->file = record->file.addr;
		object->lines = record->lines.addr;
		status = parts_get(object, record, code);
	} else if (object->pid && object_read(object)) {
		code->minor = object->layout->minor;
		status = parts_get(object, NULL, code);
	}
	code->first_line = object->first_line;
	code->first_traceable = object->first_traceable;
	if (!code->name && !status) {
		code->name = strdup(UNREADABLE_NAME);
		status = code->name ? 0 : -ENOMEM;
	}
	return status;
}

int python_code_decode(const struct code_record *record, size_t bytes, pid_t pid,
		       const struct python_layout *layout, struct python_code *code)
{
	struct object object = {.pid = layout ? pid : 0, .layout = layout};
	struct python_code result = {0};
	int status;

	if (!record_is_valid(record, bytes))
		return -EINVAL;
	object.addr = record->addr;
	status = code_fill(record, &object, &result);
	if (status)
		python_code_free(&result);
	else
		*code = result;
	return status;
}

void python_code_free(struct python_code *code)
{
	free(code->name);
	free(code->file);
	free(code->lines);
	*code = (struct python_code){0};
}

/* ---- what they say --------------------------------------------------------------------------- */

static bool text_equal(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

bool python_code_equal(const struct python_code *a, const struct python_code *b)
{
	return a->minor == b->minor && a->first_line == b->first_line &&
	       a->first_traceable == b->first_traceable && a->lines_cut == b->lines_cut &&
	       a->lines_bytes == b->lines_bytes && text_equal(a->name, b->name) &&
	       text_equal(a->file, b->file) &&
	       (!a->lines_bytes || !memcmp(a->lines, b->lines, a->lines_bytes));
}

/* FNV-1a, 64 bits (Fowler, Noll, Vo). */
static uint64_t hash_bytes(uint64_t hash, const void *data, size_t bytes)
{
	const uint8_t *at = data;

	for (size_t i = 0; i < bytes; i++)
		hash = (hash ^ at[i]) * 0x100000001b3ULL;
	return hash;
}

/* With its NUL, so that "ab" "c" is not "a" "bc". */
static uint64_t hash_text(uint64_t hash, const char *text)
{
	return text ? hash_bytes(hash, text, strlen(text) + 1) : hash_bytes(hash, "\xff", 1);
}

uint64_t python_code_hash(const struct python_code *code)
{
	uint64_t hash = 0xcbf29ce484222325ULL;

	hash = hash_text(hash, code->name);
	hash = hash_text(hash, code->file);
	hash = hash_bytes(hash, &code->minor, sizeof(code->minor));
	hash = hash_bytes(hash, &code->first_line, sizeof(code->first_line));
	return hash_bytes(hash, code->lines, code->lines_bytes);
}

/* Where the table's knowledge ends: up to 3.9 the last line holds for all that follows. */
static bool is_behind_cut(const struct python_code *code, uint32_t offset)
{
	uint64_t end = 0;

	if (!code->lines_cut || code->minor > LNOTAB_MINOR_LAST)
		return false;
	for (size_t i = 0; i + 1 < code->lines_bytes; i += 2)
		end += code->lines[i];
	return offset >= end;
}

uint32_t python_code_line(const struct python_code *code, uint32_t instruction)
{
	uint32_t offset = instruction * UNIT_BYTES;

	if (instruction == FRAME_INSTR_NONE)
		return code->first_line > 0 ? (uint32_t)code->first_line : 0;
	if (is_behind_cut(code, offset))
		return 0;
	return python_line_at(code->minor, code->lines, code->lines_bytes, code->first_line,
			      offset);
}

bool python_code_is_incomplete(const struct python_code *code, uint32_t instruction)
{
	if (code->minor < FIRST_TRACEABLE_MINOR)
		return false;
	return instruction == FRAME_INSTR_NONE || instruction < code->first_traceable;
}
