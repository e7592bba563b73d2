/* SPDX-License-Identifier: GPL-2.0-only */
/* version.c - see version.h */
#include "python/version.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "elf/elf_file.h"
#include "elf/insn_refs.h"
#include "python/image.h"
#include "python/layouts.h"

#define GET_VERSION_BYTES_MAX 512 /* Py_GetVersion is a call of snprintf */
#define LEVEL_FINAL	      15  /* PY_RELEASE_LEVEL_*, Include/patchlevel.h */
#define LEVEL_CANDIDATE	      12
#define NUMBER_MAX	      99

/* ---- PY_VERSION_HEX -------------------------------------------------------------------------- */

static bool take_hex(struct python_version *version, uint64_t hex)
{
	unsigned int major = hex >> 24, minor = hex >> 16 & 0xff, patch = hex >> 8 & 0xff;
	unsigned int level = hex >> 4 & 15;

	if (hex >> 32 || major != 3 || minor > NUMBER_MAX || patch > NUMBER_MAX)
		return false;
	version->major = major;
	version->minor = minor;
	version->patch = patch;
	version->development = level < LEVEL_CANDIDATE;
	if (level == LEVEL_FINAL)
		snprintf(version->text, sizeof(version->text), "%u.%u.%u", major, minor, patch);
	else
		snprintf(version->text, sizeof(version->text), "%u.%u.%u%s%u", major, minor, patch,
			 level == LEVEL_CANDIDATE ? "rc" : level == 11 ? "b" : "a",
			 (unsigned int)hex & 15);
	return true;
}

static bool read_py_version(const struct python_image *image, struct python_version *version)
{
	const uint8_t *data;
	Elf64_Sym symbol;
	uint64_t hex;

	if (!python_image_symbol(image, "Py_Version", &symbol))
		return false;
	data = elf_file_at_vaddr(&image->elf, symbol.st_value, sizeof(hex));
	if (!data)
		return false;
	memcpy(&hex, data, sizeof(hex));
	return take_hex(version, hex);
}

/* ---- _Py_DebugOffsets ------------------------------------------------------------------------ */

static void find_runtime(const struct python_image *image, struct python_version *version)
{
	const Elf64_Shdr *section;
	Elf64_Sym symbol;

	if (python_image_symbol(image, "_PyRuntime", &symbol)) {
		version->runtime = symbol.st_value;
		return;
	}
	section = elf_file_section(&image->elf, ".PyRuntime");
	version->runtime = section ? section->sh_addr : 0;
}

static uint64_t read_u64(const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static void check_debug_offsets(const uint8_t *data, struct python_version *version)
{
	const struct python_debug_offset *offsets;
	size_t count = python_debug_offsets_of(version->minor, &offsets);

	for (size_t i = 0; i < count; i++) {
		uint64_t value = read_u64(data + offsets[i].at);

		if (value == offsets[i].value)
			continue;
		snprintf(version->contradiction, sizeof(version->contradiction),
			 "%s is at %" PRIu64 ", not at %u", offsets[i].name, value,
			 offsets[i].value);
		return;
	}
}

static void read_debug_offsets(const struct python_image *image, struct python_version *version)
{
	struct python_version told = {.patch = -1};
	const uint8_t *data;

	if (!version->runtime)
		return;
	data = elf_file_at_vaddr(&image->elf, version->runtime, PYTHON_DEBUG_BYTES);
	if (!data || memcmp(data, PYTHON_DEBUG_COOKIE, 8) ||
	    !take_hex(&told, read_u64(data + PYTHON_DEBUG_VERSION)))
		return;
	version->has_debug_offsets = true;
	version->free_threaded = read_u64(data + PYTHON_DEBUG_FREE_THREADED) != 0;
	if (!version->major) {
		version->major = told.major;
		version->minor = told.minor;
		version->patch = told.patch;
		version->development = told.development;
		memcpy(version->text, told.text, sizeof(told.text));
	}
	if (strcmp(version->text, told.text))
		snprintf(version->contradiction, sizeof(version->contradiction),
			 "it is of %s", told.text);
	else if (!version->free_threaded)
		check_debug_offsets(data, version);
}

/* ---- texts ----------------------------------------------------------------------------------- */

/* A number of one or two digits without a leading zero. */
static bool take_number(const char **at, int *number)
{
	size_t digits = strspn(*at, "0123456789");

	if (!digits || digits > 2 || (digits == 2 && **at == '0'))
		return false;
	*number = 0;
	while (digits--)
		*number = *number * 10 + (*(*at)++ - '0');
	return true;
}

/* PY_VERSION: "3.9.2", "3.7.3+", "3.10.0rc2", "2.7.18" */
static bool take_text(struct python_version *version, const char *text)
{
	int major, minor, patch = 0;
	const char *at = text;
	size_t length;

	if (!take_number(&at, &major) || *at++ != '.' || !take_number(&at, &minor) ||
	    (major != 3 && major != 2))
		return false;
	if (*at == '.' && (at++, !take_number(&at, &patch)))
		return false;
	length = at - text;
	if (strspn(at, "0123456789abrc+") != strlen(at) || strlen(text) >= sizeof(version->text))
		return false;
	version->development = (*at == 'a' || *at == 'b');
	version->major = major;
	version->minor = minor;
	version->patch = patch;
	if (isalpha((unsigned char)*at))
		length = strlen(text) - (text[strlen(text) - 1] == '+');
	snprintf(version->text, sizeof(version->text), "%.*s", (int)length, text);
	return true;
}

/* PY_VERSION may be the end of another text (the linker merges them): look where the code does. */
static bool read_text(const struct python_image *image, struct python_version *version)
{
	struct reference reference;
	size_t length, offset = 0;
	const uint8_t *code;
	Elf64_Sym symbol;

	if (!python_image_symbol(image, "Py_GetVersion", &symbol))
		return false;
	code = python_image_code(image, &symbol, GET_VERSION_BYTES_MAX, &length);
	while (code &&
	       insn_next_reference(code, length, symbol.st_value, &offset, &reference)) {
		const size_t bytes = sizeof(version->text);
		const char *text = (const char *)elf_file_at_vaddr(&image->elf, reference.target,
								   bytes);

		if (text && memchr(text, '\0', bytes) && take_text(version, text))
			return true;
	}
	return false;
}

/* "python3.8", "libpython3.6m.so.1.0", "python3.13t": the minor and the letters behind it */
static bool name_version(const char *path, int *minor, const char **flags)
{
	const char *name = python_base_name(path);
	int major;

	name += !strncmp(name, "lib", 3) ? 3 : 0;
	if (strncmp(name, "python", 6))
		return false;
	*flags = name + 6;
	return take_number(flags, &major) && major == 3 && *(*flags)++ == '.' &&
	       take_number(flags, minor);
}

static void read_name(const struct python_image *image, struct python_version *version)
{
	const char *flags;
	int minor;

	if (!name_version(image->path, &minor, &flags))
		return;
	if (!version->major) {
		version->major = 3;
		version->minor = minor;
		snprintf(version->text, sizeof(version->text), "3.%d", minor);
	}
	if (version->minor != minor)
		return;
	for (; isalpha((unsigned char)*flags); flags++) {
		version->debug |= *flags == 'd';
		version->free_threaded |= *flags == 't' && minor >= 13;
	}
}

/* Only such builds have them: Py_REF_DEBUG (which Py_DEBUG and Py_TRACE_REFS imply),
 * Include/object.h 3.6-3.14, Objects/object.c. */
static bool is_debug_build(const struct python_image *image)
{
	static const char *const names[] = {"_Py_RefTotal", "_Py_NegativeRefcount",
					    "_Py_INCREF_IncRefTotal", "_Py_AddToAllObjects"};
	Elf64_Sym symbol;

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (python_image_symbol(image, names[i], &symbol))
			return true;
	return false;
}

void python_version_read(const struct python_image *image, struct python_version *version)
{
	*version = (struct python_version){.patch = -1};
	find_runtime(image, version);
	read_py_version(image, version);
	read_debug_offsets(image, version);
	if (!version->major)
		read_text(image, version);
	read_name(image, version);
	version->debug |= is_debug_build(image);
}
