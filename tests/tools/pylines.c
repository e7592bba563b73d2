/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * pylines - compare python_line_at() with what interpreters say, for tests/python-lines.sh.
 *
 * Reads from stdin, a line for each code object, its table in hex ("-": empty), then its ranges of
 * byte offsets with their line (0: none):
 *
 *	code MINOR FIRST_LINE TABLE NAME
 *	range START END LINE
 *
 * Prints the first mismatches, then "N code objects, N instructions, N mismatches". Exits 1 if
 * there are any or nothing was compared, 2 for input that it does not understand.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "python/lines.h"

#define UNIT_BYTES	 2
#define MISMATCHES_SHOWN 13

struct code {
	int minor;
	int32_t first_line;
	uint8_t *table; /* no larger than it is: reads behind the end are seen */
	size_t bytes;
	char name[256];
};

static unsigned long code_count, instruction_count, mismatch_count;

static int parse_code(const char *line, struct code *code)
{
	int hex_at, hex_end;
	size_t digits;

	if (sscanf(line, "code %d %" SCNd32 " %n%*s%n %255[^\n]", &code->minor, &code->first_line,
		   &hex_at, &hex_end, code->name) != 3)
		return -1;
	digits = line[hex_at] == '-' ? 0 : (size_t)(hex_end - hex_at);
	free(code->table);
	code->bytes = digits / 2;
	code->table = malloc(code->bytes + !code->bytes);
	if (!code->table)
		return -1;
	for (size_t i = 0; i < code->bytes; i++)
		if (sscanf(line + hex_at + 2 * i, "%2hhx", &code->table[i]) != 1)
			return -1;
	code_count++;
	return 0;
}

static int check_range(const char *line, const struct code *code)
{
	uint32_t start, end, wanted;

	if (sscanf(line, "range %" SCNu32 " %" SCNu32 " %" SCNu32, &start, &end, &wanted) != 3 ||
	    start >= end)
		return -1;
	for (uint32_t offset = start; offset < end; offset += UNIT_BYTES) {
		uint32_t got =
		    python_line_at(code->minor, code->table, code->bytes, code->first_line, offset);

		instruction_count++;
		if (got == wanted)
			continue;
		if (mismatch_count++ < MISMATCHES_SHOWN)
			printf("3.%d %s offset %u: line %u, wanted %u\n", code->minor, code->name,
			       offset, got, wanted);
	}
	return 0;
}

int main(void)
{
	_cleanup_free_ char *line = NULL;
	struct code code = {0};
	size_t size = 0;
	int status = 0;

	while (!status && getline(&line, &size, stdin) > 0)
		status = line[0] == 'c' ? parse_code(line, &code) : check_range(line, &code);
	free(code.table);
	if (status) {
		fprintf(stderr, "pylines: not understood: %.99s\n", line);
		return 2;
	}
	printf("%lu code objects, %lu instructions, %lu mismatches\n", code_count,
	       instruction_count, mismatch_count);
	return mismatch_count || !instruction_count;
}
