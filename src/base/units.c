/* SPDX-License-Identifier: GPL-2.0-only */
/* units.c - see units.h */
#include "base/units.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"

#define FRACTION_DIGITS_MAX 9

/* A decimal number as written, kept exact: (whole + fraction / scale). */
struct decimal {
	uint64_t whole, fraction, scale;
};

/* Parse "12", "1.5", ".5" at *text and move behind it. */
static int parse_decimal(const char **text, struct decimal *number)
{
	const char *at = *text;
	int digits = 0;

	*number = (struct decimal){.scale = 1};
	for (; isdigit((unsigned char)*at); at++, digits++) {
		if (__builtin_mul_overflow(number->whole, 10, &number->whole) ||
		    __builtin_add_overflow(number->whole, *at - '0', &number->whole))
			return -ERANGE;
	}
	if (*at == '.') {
		at++;
		for (int i = 0; isdigit((unsigned char)*at); at++, digits++, i++) {
			if (i >= FRACTION_DIGITS_MAX)
				continue;
			number->fraction = number->fraction * 10 + (*at - '0');
			number->scale *= 10;
		}
	}
	if (!digits)
		return -EINVAL;
	*text = at;
	return 0;
}

/* number * unit, fractions of the result are cut off. */
static int scale_decimal(const struct decimal *number, uint64_t unit, uint64_t *result)
{
	unsigned __int128 value = (unsigned __int128)number->whole * unit +
				  (unsigned __int128)number->fraction * unit / number->scale;

	if (value > UINT64_MAX)
		return -ERANGE;
	*result = value;
	return 0;
}

/* Shift of "k", "M", "G", "T" (either case) as powers of 1024; 0 for anything else. */
static unsigned int binary_shift(char letter)
{
	static const char letters[] = "kmgt";
	const char *found = letter ? strchr(letters, tolower((unsigned char)letter)) : NULL;

	return found ? 10 * (found - letters + 1) : 0;
}

/* 'tails' are the spellings allowed behind the letter, or alone when there is none. */
static int parse_binary(const char *text, const char *const *tails, uint64_t *result)
{
	struct decimal number;
	unsigned int shift;
	int status;

	status = parse_decimal(&text, &number);
	if (status)
		return status;
	while (*text == ' ')
		text++;
	shift = binary_shift(*text);
	if (shift)
		text++;
	if (!shift && number.scale != 1)
		return -EINVAL; /* half a byte */
	for (; *tails; tails++) {
		if (!strcasecmp(text, *tails) && (shift || strcasecmp(*tails, "iB")))
			return scale_decimal(&number, 1ULL << shift, result);
	}
	return -EINVAL;
}

int units_parse_bytes(const char *text, uint64_t *bytes)
{
	static const char *const tails[] = {"", "B", "iB", NULL};

	return parse_binary(text, tails, bytes);
}

int units_parse_count(const char *text, uint64_t *count)
{
	static const char *const tails[] = {"", NULL};

	return parse_binary(text, tails, count);
}

/* From the largest to the smallest: a duration names them in this order, each once. */
static const struct duration_unit {
	const char *name;
	uint64_t ns;
} duration_units[] = {
    {"d", 86400 * NS_PER_S}, {"h", 3600 * NS_PER_S}, {"m", 60 * NS_PER_S},
    {"s", NS_PER_S},	     {"ms", NS_PER_MS},
};

/* The unit named by the letters at *text, among those from 'first' on; moves behind it. */
static int parse_duration_unit(const char **text, size_t first)
{
	size_t length = 0;

	while (isalpha((unsigned char)(*text)[length]))
		length++;
	for (size_t i = first; i < ARRAY_LEN(duration_units); i++) {
		const char *name = duration_units[i].name;

		if (length == strlen(name) && !memcmp(*text, name, length)) {
			*text += length;
			return i;
		}
	}
	return -EINVAL;
}

int units_parse_duration(const char *text, uint64_t *ns)
{
	uint64_t total = 0, part;
	struct decimal number;
	size_t next_unit = 0;
	int status, unit;

	status = parse_decimal(&text, &number);
	if (!status && !*text)
		return scale_decimal(&number, NS_PER_S, ns);
	while (!status) {
		unit = parse_duration_unit(&text, next_unit);
		if (unit < 0)
			return unit;
		next_unit = unit + 1;
		status = scale_decimal(&number, duration_units[unit].ns, &part);
		if (status || __builtin_add_overflow(total, part, &total))
			return -ERANGE;
		if (!*text) {
			*ns = total;
			return 0;
		}
		status = parse_decimal(&text, &number);
	}
	return status;
}

static const char *format_bytes(double bytes, bool plus, char buffer[UNITS_TEXT_MAX])
{
	static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double size = isfinite(bytes) ? fabs(bytes) : 0;
	const char *sign = bytes < 0 ? "-" : plus ? "+" : "";
	size_t unit = 0;

	if (size < 1024)
		size = round(size);
	/* 1023.7 KiB would be printed as "1024 KiB" */
	while (unit + 1 < ARRAY_LEN(names) && size >= (unit ? 1023.5 : 1024.0)) {
		size /= 1024;
		unit++;
	}
	if (!size)
		sign = "";
	if (unit && size < 99.95)
		snprintf(buffer, UNITS_TEXT_MAX, "%s%.1f %s", sign, size, names[unit]);
	else if (size < 1e6)
		snprintf(buffer, UNITS_TEXT_MAX, "%s%.0f %s", sign, size, names[unit]);
	else
		snprintf(buffer, UNITS_TEXT_MAX, "%s%.3g %s", sign, size, names[unit]);
	return buffer;
}

const char *units_format_bytes(double bytes, char buffer[UNITS_TEXT_MAX])
{
	return format_bytes(bytes, false, buffer);
}

const char *units_format_growth(double bytes, char buffer[UNITS_TEXT_MAX])
{
	return format_bytes(bytes, true, buffer);
}

/* "major" or "majorminor", without the minor part when it is 0. */
static const char *format_two(uint64_t value, uint64_t minor_per_major, const char *major,
			      const char *minor, char buffer[UNITS_TEXT_MAX])
{
	unsigned int high = value / minor_per_major, low = value % minor_per_major;

	if (low)
		snprintf(buffer, UNITS_TEXT_MAX, "%u%s%u%s", high, major, low, minor);
	else
		snprintf(buffer, UNITS_TEXT_MAX, "%u%s", high, major);
	return buffer;
}

const char *units_format_duration(double seconds, char buffer[UNITS_TEXT_MAX])
{
	if (!(seconds > 0))
		snprintf(buffer, UNITS_TEXT_MAX, "0s");
	else if (seconds < 0.9995)
		snprintf(buffer, UNITS_TEXT_MAX, "%.0fms", seconds * 1000);
	else if (seconds < 9.95 && fabs(seconds - round(seconds)) >= 0.05)
		snprintf(buffer, UNITS_TEXT_MAX, "%.1fs", seconds);
	else if (seconds < 59.5)
		snprintf(buffer, UNITS_TEXT_MAX, "%.0fs", seconds);
	else if (seconds < 3599.5)
		return format_two(llround(seconds), 60, "m", "s", buffer);
	else if (seconds < 86400 - 30)
		return format_two(llround(seconds / 60), 60, "h", "m", buffer);
	else if (seconds < 1e9 * 86400)
		return format_two(llround(seconds / 3600), 24, "d", "h", buffer);
	else
		snprintf(buffer, UNITS_TEXT_MAX, "%.3gd", seconds / 86400);
	return buffer;
}

const char *units_format_count(uint64_t count, char buffer[UNITS_TEXT_MAX])
{
	char digits[UNITS_TEXT_MAX];
	int length = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)count);
	char *out = buffer;

	for (int i = 0; i < length; i++) {
		if (i && (length - i) % 3 == 0)
			*out++ = ',';
		*out++ = digits[i];
	}
	*out = '\0';
	return buffer;
}
