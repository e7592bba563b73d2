/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * pydetect PID [THREAD...] - what is found out about a Python process, for tests/python-detect.sh:
 *
 *	version TEXT MINOR PATCH		or: none
 *	path FILE
 *	state initialized|waiting|none glibc|musl gil|free-threaded
 *	reason TEXT				if frames cannot be read
 *	slot direct|indirect current|any	direct: not through a pointer
 *	eval START BYTES			user addresses, 3.6-3.9
 *
 * and for each THREAD (threading.get_ident() of that process; "-": they come later, on standard
 * input) its frames, leaf first, as tests/targets/frames.py prints them:
 *
 *	thread THREAD
 *	frame NAME FILE FIRST-LINE LASTI LINES-BYTES LINES-SUM CODE GLOBALS FIRST-TRACEABLE
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "python/detect.h"
#include "target/proc_maps.h"

#define FRAMES_MAX 1000
#define TEXT_MAX   (1 << 16)

struct walk {
	pid_t pid;
	struct python_layout layout;
};

/* ---- memory; a test wants to know at once what could not be read ----------------------------- */

static void read_bytes(const struct walk *walk, uint64_t addr, void *to, size_t bytes)
{
	int status = python_read_memory(walk->pid, addr, to, bytes);

	if (!status)
		return;
	printf("unreadable 0x%" PRIx64 ": %s\n", addr, strerror(-status));
	exit(1);
}

static uint64_t read_u64(const struct walk *walk, uint64_t addr)
{
	uint64_t value;

	read_bytes(walk, addr, &value, sizeof(value));
	return value;
}

static uint64_t load_u64(const uint8_t *from)
{
	uint64_t value;

	memcpy(&value, from, sizeof(value));
	return value;
}

static int32_t load_s32(const uint8_t *from)
{
	int32_t value;

	memcpy(&value, from, sizeof(value));
	return value;
}

/* ---- texts ----------------------------------------------------------------------------------- */

/* As str.encode('ascii', 'backslashreplace') */
static void print_character(uint32_t c)
{
	if (c < 0x80)
		putchar(c);
	else
		printf(c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", c);
}

static void print_text(const struct walk *walk, uint64_t object)
{
	const struct python_layout *layout = &walk->layout;
	uint64_t length = read_u64(walk, object + layout->text_length);
	uint32_t state, unit, offset;
	uint8_t *data;

	read_bytes(walk, object + layout->text_state, &state, sizeof(state));
	unit = state >> 2 & 7; /* interned:2 kind:3 compact:1 ascii:1 */
	offset = state >> 6 & 1 ? layout->text_ascii : layout->text_other;
	if (length > TEXT_MAX || (unit != 1 && unit != 2 && unit != 4)) {
		printf("[no text: state %x]", state);
		return;
	}
	data = calloc(length + 1, unit);
	read_bytes(walk, object + offset, data, length * unit);
	for (uint64_t i = 0; i < length; i++)
		print_character(unit == 1   ? data[i]
				: unit == 2 ? ((uint16_t *)data)[i]
					    : ((uint32_t *)data)[i]);
	free(data);
}

static void print_lines(const struct walk *walk, uint64_t object)
{
	uint64_t length = read_u64(walk, object + walk->layout.bytes_length), sum = 0;
	uint8_t *data;

	if (length > TEXT_MAX) {
		printf("[%" PRIu64 " bytes] -", length);
		return;
	}
	data = malloc(length + 1);
	read_bytes(walk, object + walk->layout.bytes_data, data, length);
	for (uint64_t i = 0; i < length; i++)
		sum += (i + 1) * data[i];
	free(data);
	printf("%" PRIu64 " %" PRIu64, length, sum);
}

/* ---- frames ---------------------------------------------------------------------------------- */

/* f_lasti as Python shows it, in bytes */
static int64_t last_instruction(const struct walk *walk, const uint8_t *frame, uint64_t code)
{
	const struct python_layout *layout = &walk->layout;

	if (layout->minor >= 11)
		return load_u64(frame + layout->frame_instr) - code - layout->code_adaptive;
	return (int64_t)load_s32(frame + layout->frame_instr) * (layout->minor == 10 ? 2 : 1);
}

static void print_frame(const struct walk *walk, const uint8_t *frame, uint64_t code,
			bool *complete)
{
	const struct python_layout *layout = &walk->layout;
	int64_t instruction = last_instruction(walk, frame, code);
	uint8_t head[PYTHON_CODE_BYTES];
	int32_t traceable = -1;

	read_bytes(walk, code, head, layout->code_bytes);
	if (layout->code_first_traceable != PYTHON_OFFSET_NONE)
		traceable = load_s32(head + layout->code_first_traceable);
	*complete = instruction >= 2 * (int64_t)traceable;
	if (!*complete)
		return;
	printf("frame ");
	print_text(walk, load_u64(head + layout->code_name));
	putchar(' ');
	print_text(walk, load_u64(head + layout->code_file));
	printf(" %d %" PRId64 " ", load_s32(head + layout->code_first_line), instruction);
	print_lines(walk, load_u64(head + layout->code_lines));
	printf(" %" PRIx64 " %d\n", code, traceable);
}

static uint64_t first_frame(const struct walk *walk, uint64_t tstate)
{
	const struct python_layout *layout = &walk->layout;

	if (layout->tstate_frame != PYTHON_OFFSET_NONE)
		return read_u64(walk, tstate + layout->tstate_frame);
	tstate = read_u64(walk, tstate + layout->tstate_cframe);
	return read_u64(walk, tstate + layout->cframe_frame);
}

static void print_frames(const struct walk *walk, uint64_t tstate)
{
	const struct python_layout *layout = &walk->layout;
	uint64_t at = first_frame(walk, tstate);

	for (int i = 0; at && i < FRAMES_MAX; i++) {
		uint8_t frame[PYTHON_FRAME_BYTES];
		uint64_t code, type;
		bool complete;

		read_bytes(walk, at, frame, layout->frame_bytes);
		at = load_u64(frame + layout->frame_previous);
		if (layout->chain == PYTHON_SHIM && frame[layout->frame_owner] == PYTHON_OWNER_SHIM)
			continue;
		code = load_u64(frame + layout->frame_code) & ~(uint64_t)layout->frame_mask;
		type = read_u64(walk, code + 8);
		if (type != layout->code_type)
			printf("wrong type 0x%" PRIx64 " ", type);
		print_frame(walk, frame, code, &complete);
	}
}

static uint64_t thread_state(const struct walk *walk, uint64_t thread)
{
	const struct python_layout *layout = &walk->layout;
	uint64_t add = 0, slot = thread + layout->tss_offset;

	if (layout->key_addr) {
		int32_t words[2];

		read_bytes(walk, layout->key_addr, words, sizeof(words));
		add = (uint64_t)(layout->minor == 6 ? words[0] : words[1]) * layout->tss_stride;
	}
	if (layout->tss_indirect)
		slot = read_u64(walk, slot) + layout->tss_second;
	return read_u64(walk, slot + add);
}

static void print_thread(const struct walk *walk, uint64_t thread)
{
	uint64_t tstate = thread_state(walk, thread);

	printf("thread %" PRIu64 "\n", thread);
	if (read_u64(walk, tstate + walk->layout.tstate_thread_id) != thread)
		printf("thread state of another thread\n");
	print_frames(walk, tstate);
}

static void print_threads(const struct walk *walk, const char *argument)
{
	char line[64];

	if (strcmp(argument, "-")) {
		print_thread(walk, strtoull(argument, NULL, 10));
		return;
	}
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin))
		print_thread(walk, strtoull(line, NULL, 10));
}

/* ---- the process ----------------------------------------------------------------------------- */

static void print_runtime(const struct python_runtime *runtime)
{
	const struct python_layout *layout = &runtime->layout;

	printf("version %s %d %d\npath %s\n", runtime->version, runtime->minor, runtime->patch,
	       runtime->path);
	printf("state %s %s %s\n",
	       runtime->initialized ? "initialized" : layout->key_addr ? "waiting" : "none",
	       runtime->musl ? "musl" : "glibc", runtime->free_threaded ? "free-threaded" : "gil");
	if (runtime->reason[0])
		printf("reason %s\n", runtime->reason);
	if (layout->chain == PYTHON_NONE)
		return;
	printf("slot %s %s\n", layout->tss_indirect ? "indirect" : "direct",
	       layout->current_tstate ? "current" : "any");
	for (int i = 0; i < PYTHON_EVAL_RANGES; i++)
		if (layout->eval_bytes[i])
			printf("eval %llu %llu\n", layout->eval_first[i] + runtime->bias,
			       layout->eval_bytes[i]);
}

int main(int argc, char **argv)
{
	struct walk walk = {.pid = argc > 1 ? atoi(argv[1]) : 0};
	struct python_runtime runtime;
	struct proc_maps maps;
	struct err err = {0};

	if (proc_maps_read(walk.pid, &maps, &err) ||
	    python_detect(walk.pid, &maps, &runtime, &err)) {
		fprintf(stderr, "pydetect: %s\n", err.text);
		return 1;
	}
	if (runtime.found)
		print_runtime(&runtime);
	else
		printf("none\n");
	walk.layout = runtime.layout;
	for (int i = 2; i < argc && walk.layout.chain != PYTHON_NONE; i++)
		print_threads(&walk, argv[i]);
	proc_maps_free(&maps);
	return 0;
}
