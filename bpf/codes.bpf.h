/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * codes.bpf.h - code objects: a number that lasts instead of an address that is used again.
 *
 * When a stack is sent, each of its Python frames gets the id of its code object. One that is seen
 * first is copied to user space (struct code_record), so that names survive the object and the
 * process. Nothing of this is done for stacks that were seen before.
 */
#ifndef SEEP_CODES_BPF_H
#define SEEP_CODES_BPF_H

#include "loss.bpf.h"
#include "maps.bpf.h"
#include "unwind.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CODES_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct block_key); /* of the code object's memory */
	__type(value, struct known_code);
} codes SEC(".maps");

/* Source of ids; 0 is "no room in the table". */
__u64 last_code_id = 0;

/* Where a code object is read to, and the record about it is made. */
struct code_scratch {
	__u8 object[2 * PYTHON_CODE_BYTES];
	__u64 head[8]; /* of a text object */
	struct code_record record;
};

static __always_inline __u64 code_word(const struct code_scratch *s, __u32 offset)
{
	__u64 word;

	wk_mask(offset, PYTHON_CODE_BYTES - 1);
	__builtin_memcpy(&word, s->object + offset, sizeof(word));
	return word;
}

/* Reads the object. Returns 0 or -1: it cannot be read, or is none (ob_type stands right before
 * ob_size, the length of a bytes object). */
static __always_inline int code_read(struct code_scratch *s, const struct python_layout *layout,
				     __u64 addr)
{
	__u32 bytes = layout->code_bytes;

	wk_mask(bytes, PYTHON_CODE_BYTES - 1);
	if (bpf_probe_read_user(s->object, bytes, (void *)addr))
		return -1;
	return layout->code_type &&
	       code_word(s, layout->bytes_length - sizeof(__u64)) != layout->code_type ? -1 : 0;
}

/* Field of a text object's head, which lies in s->head. */
static __always_inline __u32 head_word(const struct code_scratch *s, __u32 offset)
{
	__u32 word;

	wk_mask(offset, 63);
	if (offset > 60)
		return 0;
	__builtin_memcpy(&word, (const char *)s->head + offset, sizeof(word));
	return word;
}

/* Reads the head of a text object and makes 'text' empty. Returns 0 or -1. */
static __always_inline int head_read(struct code_scratch *s, __u64 addr, struct code_text *text)
{
	text->addr = addr;
	text->length = 0;
	text->unit_bytes = 0;
	text->copied_bytes = 0;
	return !addr || bpf_probe_read_user(s->head, sizeof(s->head), (void *)addr) ? -1 : 0;
}

/* A str: PyASCIIObject or PyCompactUnicodeObject (Include/cpython/unicodeobject.h). Sets text, but
 * for copied_bytes, and returns where the characters are; 0: not readable, or not of that kind. */
static __always_inline __u64 text_locate(struct code_scratch *s, const struct python_layout *layout,
					 __u64 addr, struct code_text *text)
{
	__u32 state, kind;

	if (head_read(s, addr, text))
		return 0;
	state = head_word(s, layout->text_state);
	kind = state >> 2 & 7;
	if (!(state >> 5 & 1) || (kind != 1 && kind != 2 && kind != 4))
		return 0; /* not compact */
	text->length = head_word(s, layout->text_length);
	text->unit_bytes = kind;
	return addr + (state >> 6 & 1 ? layout->text_ascii : layout->text_other);
}

static __always_inline __u64 bytes_locate(struct code_scratch *s,
					  const struct python_layout *layout, __u64 addr,
					  struct code_text *text)
{
	if (head_read(s, addr, text))
		return 0;
	text->length = head_word(s, layout->bytes_length);
	text->unit_bytes = 1;
	return addr + layout->bytes_data;
}

/* Copies the characters at 'from', as many as there is room for. */
#define TEXT_COPY(text, data, from)                                                                \
	do {                                                                                       \
		__u64 bytes_ = (__u64)(text)->length * (text)->unit_bytes;                         \
		if (bytes_ > sizeof(data))                                                         \
			bytes_ = sizeof(data);                                                     \
		wk_mask(bytes_, 2047);                                                             \
		if (bytes_ > sizeof(data))                                                         \
			bytes_ = sizeof(data);                                                     \
		if ((from) && !bpf_probe_read_user(data, bytes_, (void *)(from)))                  \
			(text)->copied_bytes = bytes_;                                             \
	} while (0)

/* Everything about the object in s->object. */
static __always_inline void code_fill(struct code_scratch *s, const struct python_layout *layout)
{
	struct code_record *record = &s->record;
	__u64 from;

	record->unreadable = 0;
	record->first_line = code_word(s, layout->code_first_line);
	record->first_traceable = 0;
	if (layout->code_first_traceable != PYTHON_OFFSET_NONE)
		record->first_traceable = code_word(s, layout->code_first_traceable);
	from = text_locate(s, layout, code_word(s, layout->code_name), &record->name);
	TEXT_COPY(&record->name, record->name_data, from);
	from = text_locate(s, layout, code_word(s, layout->code_file), &record->file);
	TEXT_COPY(&record->file, record->file_data, from);
	from = bytes_locate(s, layout, code_word(s, layout->code_lines), &record->lines);
	TEXT_COPY(&record->lines, record->lines_data, from);
}

/* Returns 0 when the record is in the ring. */
static __always_inline int code_send(struct code_scratch *s, const struct proc *proc,
				     const struct block_key *key, __u64 id, bool readable)
{
	struct code_record *record = &s->record;
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	__u32 bytes = 0;

	record->head.type = RECORD_CODE;
	record->head.tgid = pid_tgid >> 32;
	record->head.tid = (__u32)pid_tgid;
	record->head.generation = key->generation;
	record->addr = key->addr;
	record->id = id;
	record->minor = proc->python.minor;
	record->unreadable = 1;
	record->lines.copied_bytes = 0;
	if (readable)
		code_fill(s, &proc->python);
	bytes = record->lines.copied_bytes;
	wk_mask(bytes, 2047);
	if (bytes > CODE_LINES_BYTES)
		bytes = CODE_LINES_BYTES;
	return bpf_ringbuf_output(&ring, record,
				  __builtin_offsetof(struct code_record, lines_data) + bytes, 0);
}

/*
 * The id of the code object at 'addr', which is sent if it is new. Returns -1 when the ring is full.
 * Global: the verifier looks at it once.
 */
wk_global __s64 code_id(struct walker *w, struct code_scratch *s, const struct proc *proc, __u64 addr)
{
	struct block_key key = {.addr = addr};
	struct known_code code = {}, *known;
	bool readable;

	if (!w || !s || !proc)
		return -1;
	key.generation = proc->generation;
	known = bpf_map_lookup_elem(&codes, &key);
	readable = !code_read(s, &proc->python, addr);
	code.mark = python_code_mark(&w->python, proc, addr);
	if (known && (!readable || known->mark == code.mark))
		return known->id;
	code.id = __sync_fetch_and_add(&last_code_id, 1) + 1;
	/* sent before it is listed: whoever finds it there comes later in the ring */
	if (code_send(s, proc, &key, code.id, readable))
		return -1;
	if (readable && bpf_map_update_elem(&codes, &key, &code, BPF_ANY))
		LOSE(CODE_FULL); /* it will be sent again with the next stack */
	return code.id;
}

struct codes_context {
	struct walker *w;
	struct code_scratch *s;
	const struct proc *proc;
	__u32 first; /* where Python frames begin in w->frames */
	__u32 failed;
};

static long codes_next(__u32 index, struct codes_context *context)
{
	struct walker *w = context->w;
	__u32 from = index, to = context->first + index;
	__u64 raw;
	__s64 id;

	wk_mask(from, PYTHON_MAX_FRAMES - 1);
	raw = w->python.frames[from];
	id = code_id(w, context->s, context->proc, PYTHON_RAW_CODE(raw));
	if (id < 0) {
		context->failed = 1;
		return 1;
	}
	wk_mask(to, 2 * PYTHON_MAX_FRAMES - 1);
	if (to >= MIXED_MAX_FRAMES)
		return 1;
	w->frames[to] = FRAME_PYTHON << FRAME_TAG_SHIFT |
			(__u64)id << FRAME_INSTR_BITS | (raw & FRAME_INSTR_NONE);
	return 0;
}

/* Puts the Python frames behind the native ones, with ids. Returns 0, -1: the ring is full. */
wk_global int codes_name(struct walker *w, struct code_scratch *s, const struct proc *proc)
{
	struct codes_context context = {.w = w, .s = s, .proc = proc};

	if (!w || !s || !proc)
		return -1;
	context.first = w->record.frame_count;
	if (!w->record.python_count)
		return 0;
	bpf_loop(w->record.python_count, codes_next, &context, 0);
	return context.failed ? -1 : 0;
}

#endif
