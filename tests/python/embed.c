/* SPDX-License-Identifier: GPL-2.0-only */
/* embed.c - a C program with an interpreter inside: embedding_loop() runs the script of argv[1]. */
#include <Python.h>
#include <stdio.h>

static __attribute__((noinline)) int embedding_loop(const char *path)
{
	FILE *script = fopen(path, "r");
	int status = script ? PyRun_SimpleFileExFlags(script, path, 1, NULL) : -1;

	__asm__ volatile("" : : : "memory");
	return status;
}

int main(int argc, char **argv)
{
	wchar_t *wide[] = {Py_DecodeLocale(argv[0], NULL), Py_DecodeLocale(argv[1], NULL),
			   argc > 2 ? Py_DecodeLocale(argv[2], NULL) : NULL};
	int status;

	Py_Initialize();
	PySys_SetArgv(argc - 1, wide + 1);
	status = embedding_loop(argv[1]);
	return Py_FinalizeEx() || status;
}
