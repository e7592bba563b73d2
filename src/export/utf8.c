/* SPDX-License-Identifier: GPL-2.0-only */
/* utf8.c - see utf8.h */
#include "export/utf8.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define REPLACEMENT	  0xFFFD
#define REPLACEMENT_BYTES 3

unsigned int utf8_take(const char *text, uint32_t *character)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	const unsigned char *bytes = (const unsigned char *)text;
	unsigned int length = bytes[0] < 0x80	? 1
			      : bytes[0] < 0xc0 ? 0
			      : bytes[0] < 0xe0 ? 2
			      : bytes[0] < 0xf0 ? 3
			      : bytes[0] < 0xf8 ? 4
						: 0;
	uint32_t value = length > 1 ? bytes[0] & (0x7f >> length) : bytes[0];

	*character = REPLACEMENT;
	if (!length)
		return 1;
	for (unsigned int i = 1; i < length; i++) {
		if ((bytes[i] & 0xc0) != 0x80) /* the NUL ends here, too */
			return 1;
		value = value << 6 | (bytes[i] & 0x3f);
	}
	if (value < smallest[length] || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000))
		return 1;
	*character = value;
	return length;
}

static bool is_control(uint32_t character)
{
	return character < 0x20 || (character >= 0x7f && character < 0xa0);
}

/* Marks that reorder or hide what stands next to them, and the line separators. */
static bool is_deceiving(uint32_t character)
{
	return (character >= 0x200B && character <= 0x200F) ||
	       (character >= 0x2028 && character <= 0x202E) ||
	       (character >= 0x2060 && character <= 0x206F) || character == 0xFEFF;
}

char *utf8_clean(const char *text, int keep_controls)
{
	char *clean = malloc(strlen(text) * REPLACEMENT_BYTES + 1), *to = clean;

	if (!clean)
		return NULL;
	while (*text) {
		uint32_t character;
		unsigned int length = utf8_take(text, &character);
		bool unfit = !keep_controls && is_deceiving(character);

		if (!keep_controls && is_control(character)) {
			*to++ = '?';
		} else if (character == REPLACEMENT || unfit) {
			memcpy(to, "\357\277\275", REPLACEMENT_BYTES);
			to += REPLACEMENT_BYTES;
		} else {
			memcpy(to, text, length);
			to += length;
		}
		text += length;
	}
	*to = '\0';
	return clean;
}

void utf8_print(FILE *out, const char *text)
{
	char *clean = utf8_clean(text, 0);

	fputs(clean ? clean : "?", out);
	free(clean);
}

void utf8_print_json(FILE *out, const char *text)
{
	char *clean = utf8_clean(text, 0);

	fputc('"', out);
	for (const char *at = clean ? clean : "?"; *at; at++) {
		if (*at == '"' || *at == '\\')
			fputc('\\', out);
		fputc(*at, out);
	}
	fputc('"', out);
	free(clean);
}

size_t utf8_columns(const char *text)
{
	size_t columns = 0;

	for (uint32_t character; *text; columns++)
		text += utf8_take(text, &character);
	return columns;
}
