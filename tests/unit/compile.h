/* SPDX-License-Identifier: GPL-2.0-only */
/* compile.h - for tests that need an ELF file of their own making: a scratch folder and commands.
 */
#ifndef SEEP_TESTS_COMPILE_H
#define SEEP_TESTS_COMPILE_H

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char scratch[64];

static inline int scratch_make(void **state)
{
	(void)state;
	strcpy(scratch, "/tmp/seep-test-XXXXXX");
	return mkdtemp(scratch) ? 0 : -1;
}

/* Run a shell command in the scratch folder; the test fails if it fails. */
__attribute__((format(printf, 1, 2))) static inline void run(const char *format, ...)
{
	char command[4096];
	int used = snprintf(command, sizeof(command), "cd %s && exec 2>&1; ", scratch);
	va_list args;

	va_start(args, format);
	vsnprintf(command + used, sizeof(command) - used, format, args);
	va_end(args);
	if (system(command)) {
		print_error("failed: %s\n", command);
		fail();
	}
}

static inline int scratch_remove(void **state)
{
	(void)state;
	run("rm -rf %s", scratch);
	return 0;
}

static inline void write_text(const char *name, const char *text)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", scratch, name);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
	assert_int_equal(fclose(file), 0);
}

/* "SCRATCH/name", valid until the fourth call after it. */
static inline const char *in_scratch(const char *name)
{
	static char paths[4][256];
	static unsigned int next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", scratch, name);
	return path;
}

/* What a command run in the scratch folder prints; freed by the caller. */
__attribute__((format(printf, 1, 2))) static inline char *output_of(const char *format, ...)
{
	char command[4096];
	int used = snprintf(command, sizeof(command), "cd %s && ", scratch);
	size_t length = 0, room = 1 << 20;
	char *text = malloc(room);
	va_list args;
	FILE *pipe;

	va_start(args, format);
	vsnprintf(command + used, sizeof(command) - used, format, args);
	va_end(args);
	pipe = popen(command, "r");
	assert_non_null(pipe);
	for (;;) {
		size_t got = fread(text + length, 1, room - length - 1, pipe);

		if (!got)
			break;
		length += got;
		if (length + 1 == room)
			text = realloc(text, room *= 2);
	}
	assert_int_equal(pclose(pipe), 0);
	text[length] = '\0';
	return text;
}

/* A whole file in memory; freed by the caller. */
static inline uint8_t *read_bytes(const char *path, size_t *size)
{
	FILE *file = fopen(path, "r");
	uint8_t *bytes;

	assert_non_null(file);
	fseek(file, 0, SEEK_END);
	*size = ftell(file);
	rewind(file);
	bytes = malloc(*size ? *size : 1);
	assert_int_equal(fread(bytes, 1, *size, file), *size);
	fclose(file);
	return bytes;
}

/* xorshift64: the same sequence on every run. */
static inline uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

#endif
