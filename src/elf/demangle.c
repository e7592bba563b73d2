/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * demangle.c - see demangle.h
 *
 * libiberty bounds its recursion but not its output: substitutions that refer to substitutions
 * make it grow exponentially. So we take the output piece by piece and leave by longjmp when
 * there is enough (the C++ demangler keeps all its state on the stack, so nothing is lost).
 */
#include "elf/demangle.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <libiberty/demangle.h>

#include "base/cleanup.h"

struct output {
	jmp_buf full;
	size_t used_bytes;
	char text[DEMANGLED_MAX];
};

static void output_add(const char *piece, size_t length, void *opaque)
{
	struct output *output = opaque;
	size_t room = sizeof(output->text) - output->used_bytes - sizeof("...");

	if (!length)
		return;
	memcpy(output->text + output->used_bytes, piece, length < room ? length : room);
	output->used_bytes += length < room ? length : room;
	if (length > room)
		longjmp(output->full, 1);
}

/* Behind the mangled name proper, LLVM appends ".llvm.HASH" to what it made local again. */
static void cut_llvm_suffix(char *name)
{
	char *suffix = strstr(name, ".llvm.");

	if (suffix && suffix != name)
		*suffix = '\0';
}

/* "name@VERSION", "name@@VERSION" */
static void cut_version(char *name)
{
	char *version = name[0] ? strchr(name + 1, '@') : NULL;

	if (version)
		*version = '\0';
}

static bool is_mangled(const char *name)
{
	return (name[0] == '_' && (name[1] == 'Z' || name[1] == 'R')) ||
	       !strncmp(name, "_GLOBAL_", 8);
}

/* Fills 'output'; false when the name is in neither language. */
static bool demangle_into(const char *name, struct output *output)
{
	const int options = DMGL_PARAMS | DMGL_ANSI;

	if (setjmp(output->full)) {
		memcpy(output->text + output->used_bytes, "...", 3);
		output->used_bytes += 3;
		return true;
	}
	/* Rust's legacy scheme is a special case of C++'s: it goes first */
	if (rust_demangle_callback(name, options, output_add, output))
		return true;
	output->used_bytes = 0;
	return name[1] != 'R' && cplus_demangle_v3_callback(name, options, output_add, output);
}

char *demangle(const char *name)
{
	_cleanup_free_ struct output *output = NULL;
	char *copy = strdup(name);
	char *readable;

	if (!copy)
		return NULL;
	cut_version(copy);
	if (!is_mangled(copy))
		return copy;
	output = malloc(sizeof(*output));
	if (!output)
		return copy;
	output->used_bytes = 0;
	cut_llvm_suffix(copy);
	if (!demangle_into(copy, output) || !output->used_bytes)
		return copy;
	readable = strndup(output->text, output->used_bytes);
	if (!readable)
		return copy;
	free(copy);
	return readable;
}
