/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * recordings.c FOLDER - writes the recordings of the unit tests to FOLDER, for readers of the
 * formats that a report can have: demo.seep, sampled.seep, python.seep, hostile.seep.
 */
#include "unit/recordings.h"

int main(int argc, char **argv)
{
	char path[4096];

	if (argc != 2) {
		fputs("usage: recordings FOLDER\n", stderr);
		return 2;
	}
#define PATH(name) (snprintf(path, sizeof(path), "%s/%s.seep", argv[1], name), path)
	demo_write(PATH("demo"), false);
	demo_write(PATH("sampled"), true);
	python_write(PATH("python"));
	hostile_write(PATH("hostile"));
	return 0;
}
