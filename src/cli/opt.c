/* SPDX-License-Identifier: GPL-2.0-only */
/* opt.c - see opt.h */
#include "cli/opt.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/units.h"

#define HELP_COLUMN 26
#define PERCENT_MAX 1000 /* a slowdown may well be above 100 */

struct parser {
	const struct opt *rows;
	char *into;
	struct err *err;
};

/* ---- values -------------------------------------------------------------------------------------
 */

static int parse_percent(const char *text, double *percent)
{
	char *end;

	if (!isdigit((unsigned char)text[0]) && text[0] != '.')
		return -EINVAL;
	*percent = strtod(text, &end);
	if (*end == '%')
		end++;
	return *end || !(*percent >= 0 && *percent <= PERCENT_MAX) ? -EINVAL : 0;
}

static int parse_pid(const char *text, struct opt_pids *pids)
{
	char *end;
	long value;

	errno = 0;
	value = strtol(text, &end, 10);
	if (!isdigit((unsigned char)text[0]) || *end || errno || value < 1 || value > INT32_MAX)
		return -EINVAL;
	for (size_t i = 0; i < pids->count; i++)
		if (pids->items[i] == value)
			return 0;
	if (pids->count == OPT_PIDS_MAX)
		return -E2BIG;
	pids->items[pids->count++] = value;
	return 0;
}

static int add_text(const char *text, struct opt_texts *texts)
{
	if (texts->count == OPT_TEXTS_MAX)
		return -E2BIG;
	texts->items[texts->count++] = text;
	return 0;
}

/* Index of 'text' among the '|'-separated words. */
static int parse_choice(const char *words, const char *text, uint32_t *choice)
{
	size_t length = strlen(text);

	for (uint32_t index = 0;; index++) {
		size_t word = strcspn(words, "|");

		if (word == length && !strncmp(words, text, length)) {
			*choice = index;
			return 0;
		}
		if (!words[word])
			return -EINVAL;
		words += word + 1;
	}
}

static int parse_value(const struct opt *row, const char *text, void *member)
{
	switch (row->kind) {
	case OPT_FLAG:
		*(bool *)member = true;
		return 0;
	case OPT_TEXT:
		*(const char **)member = text;
		return 0;
	case OPT_TEXTS:
		return add_text(text, member);
	case OPT_COUNT:
		return units_parse_count(text, member);
	case OPT_BYTES:
		return units_parse_bytes(text, member);
	case OPT_DURATION:
		return units_parse_duration(text, member);
	case OPT_PERCENT:
		return parse_percent(text, member);
	case OPT_PIDS:
		return parse_pid(text, member);
	case OPT_CHOICE:
		return parse_choice(row->argument, text, member);
	}
	return -EINVAL;
}

static const char *kind_example(enum opt_kind kind)
{
	switch (kind) {
	case OPT_COUNT:
		return "20";
	case OPT_BYTES:
		return "512k";
	case OPT_DURATION:
		return "10s";
	case OPT_PERCENT:
		return "5";
	default:
		return "812";
	}
}

/* "text|json|folded" -> "text, json or folded" */
static void words_list(const char *words, char *list, size_t size)
{
	size_t used = 0;

	while (*words && used + 8 < size) {
		size_t word = strcspn(words, "|");
		const char *before = !used ? "" : words[word] ? ", " : " or ";

		used += snprintf(list + used, size - used, "%s%.*s", before, (int)word, words);
		words += word + (words[word] == '|');
	}
}

static int value_error(struct parser *parser, const struct opt *row, const char *text, int status)
{
	char list[256] = "";

	if (status == -E2BIG)
		return err_set(parser->err, EINVAL, "--%s: more than %d are given", row->name,
			       row->kind == OPT_TEXTS ? OPT_TEXTS_MAX : OPT_PIDS_MAX);
	if (status == -ERANGE)
		return err_set(parser->err, EINVAL, "--%s: '%s' is too much", row->name, text);
	if (row->kind == OPT_CHOICE) {
		words_list(row->argument, list, sizeof(list));
		return err_set(parser->err, EINVAL, "--%s: '%s' is not %s", row->name, text, list);
	}
	return err_set(parser->err, EINVAL, "--%s: '%s' is not a %s, for example %s", row->name,
		       text, row->argument, kind_example(row->kind));
}

static int value_set(struct parser *parser, const struct opt *row, const char *text)
{
	int status = parse_value(row, text, parser->into + row->offset);

	return status ? value_error(parser, row, text, status) : 0;
}

static int defaults_set(struct parser *parser)
{
	for (const struct opt *row = parser->rows; row->name; row++) {
		int status = row->default_value ? value_set(parser, row, row->default_value) : 0;

		if (status)
			return status;
	}
	return 0;
}

/* ---- words -------------------------------------------------------------------------------------
 */

size_t word_distance(const char *left, const char *right)
{
	size_t columns = strlen(right), row[64];

	if (columns >= sizeof(row) / sizeof(row[0]))
		return SIZE_MAX;
	for (size_t i = 0; i <= columns; i++)
		row[i] = i;
	for (size_t line = 1; *left; left++, line++) {
		size_t diagonal = row[0];

		row[0] = line;
		for (size_t i = 1; i <= columns; i++) {
			size_t above = row[i], best = diagonal + (*left != right[i - 1]);

			if (above + 1 < best)
				best = above + 1;
			if (row[i - 1] + 1 < best)
				best = row[i - 1] + 1;
			diagonal = above;
			row[i] = best;
		}
	}
	return row[columns];
}

static int unknown_error(struct parser *parser, const char *name, size_t length)
{
	const struct opt *best = NULL;
	size_t best_distance = 3;
	char word[64];

	snprintf(word, sizeof(word), "%.*s", (int)(length < 63 ? length : 63), name);
	for (const struct opt *row = parser->rows; row->name; row++) {
		size_t distance = word_distance(word, row->name);

		if (distance < best_distance) {
			best_distance = distance;
			best = row;
		}
	}
	if (best)
		return err_set(parser->err, EINVAL, "unknown option '--%s' (is --%s meant?)", word,
			       best->name);
	return err_set(parser->err, EINVAL, "unknown option '--%s' (--help lists all)", word);
}

static const struct opt *row_by_name(const struct opt *rows, const char *name, size_t length)
{
	for (const struct opt *row = rows; row->name; row++)
		if (strlen(row->name) == length && !strncmp(row->name, name, length))
			return row;
	return NULL;
}

static const struct opt *row_by_letter(const struct opt *rows, char letter)
{
	for (const struct opt *row = rows; row->name; row++)
		if (row->letter && row->letter == letter)
			return row;
	return NULL;
}

static int missing_error(struct parser *parser, const struct opt *row)
{
	return err_set(parser->err, EINVAL, "--%s: %s is missing", row->name, row->argument);
}

/* "--name", "--name=value" or "--name value". Returns how many of argv were used, or -errno. */
static int parse_long(struct parser *parser, int left, char **argv)
{
	const char *name = argv[0] + 2, *value = strchr(name, '=');
	size_t length = strcspn(name, "=");
	const struct opt *row = row_by_name(parser->rows, name, length);
	int used = 1, status;

	if (!row)
		return unknown_error(parser, name, length);
	if (row->kind == OPT_FLAG && value)
		return err_set(parser->err, EINVAL, "--%s takes no value", row->name);
	if (value) {
		value++;
	} else if (row->kind != OPT_FLAG) {
		if (left < 2)
			return missing_error(parser, row);
		value = argv[1];
		used = 2;
	}
	status = value_set(parser, row, value);
	return status ? status : used;
}

/* "-f", "-fg", "-n5" or "-n 5". Returns as parse_long(). */
static int parse_letters(struct parser *parser, int left, char **argv, bool *help)
{
	for (const char *at = argv[0] + 1; *at; at++) {
		const struct opt *row = row_by_letter(parser->rows, *at);
		const char *value = at[1] ? at + 1 : left > 1 ? argv[1] : NULL;
		int status;

		if (!row && *at == 'h') {
			*help = true;
			continue;
		}
		if (!row)
			return err_set(parser->err, EINVAL,
				       "unknown option '-%c' (--help lists all)",
				       isprint((unsigned char)*at) ? *at : '?');
		if (row->kind != OPT_FLAG && !value)
			return missing_error(parser, row);
		status = value_set(parser, row, value);
		if (status)
			return status;
		if (row->kind != OPT_FLAG)
			return at[1] ? 1 : 2;
	}
	return 1;
}

int opt_parse(const struct opt *rows, int argc, char **argv, void *into, int *positional_count,
	      bool *help, struct err *err)
{
	struct parser parser = {rows, into, err};
	int status = defaults_set(&parser), at = 1;
	bool only_positional = false;

	*positional_count = 0;
	*help = false;
	while (!status && at < argc) {
		char *word = argv[at];
		int used = 1;

		if (only_positional || word[0] != '-' || !word[1])
			argv[++*positional_count] = word; /* never beyond 'at' */
		else if (!strcmp(word, "--"))
			only_positional = true;
		else if (!strcmp(word, "--help"))
			*help = true;
		else if (word[1] == '-')
			used = parse_long(&parser, argc - at, argv + at);
		else
			used = parse_letters(&parser, argc - at, argv + at, help);
		if (used < 0)
			status = used;
		at += used;
	}
	return *help ? 0 : status;
}

void opt_print(const struct opt *rows)
{
	for (const struct opt *row = rows; row->name; row++) {
		char left[128];
		int length =
		    snprintf(left, sizeof(left), "  %c%c%s--%s%s%s", row->letter ? '-' : ' ',
			     row->letter ? row->letter : ' ', row->letter ? ", " : "  ", row->name,
			     row->argument ? " " : "", row->argument ? row->argument : "");

		if (length < HELP_COLUMN)
			printf("%-*s", HELP_COLUMN, left);
		else
			printf("%s\n%*s", left, HELP_COLUMN, "");
		printf("%s", row->help);
		if (row->default_value)
			printf(" [%s]", row->default_value);
		putchar('\n');
	}
}
