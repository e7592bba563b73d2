/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * embed.c - a program that is linked with libpython, for tests/python-detect.sh
 *
 *	embed SCRIPT [late] [keys] [copies]
 *
 * late: print "before", and go on only when a line comes. keys: make 37 thread-specific keys
 * before Python makes its own. copies: needs data of libpython (linked without -fPIC, the linker
 * moves that data into the program).
 */
#include <Python.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define KEYS 37

static int has(int argc, char **argv, const char *word)
{
	for (int i = 2; i < argc; i++)
		if (!strcmp(argv[i], word))
			return 1;
	return 0;
}

static void make_keys(void)
{
	pthread_key_t key;

	for (int i = 0; i < KEYS; i++)
		pthread_key_create(&key, NULL);
}

static void wait_for_line(void)
{
	char byte;

	puts("before");
	fflush(stdout);
	while (read(0, &byte, 1) == 1 && byte != '\n')
		;
}

int main(int argc, char **argv)
{
	PyTypeObject *volatile type = &PyType_Type;
	FILE *script = argc > 1 ? fopen(argv[1], "r") : NULL;

	if (!script)
		return 2;
	if (has(argc, argv, "keys"))
		make_keys();
	if (has(argc, argv, "late"))
		wait_for_line();
	Py_Initialize();
	if (has(argc, argv, "copies") && (void *)Py_TYPE((PyObject *)&PyCode_Type) != (void *)type)
		return 3;
	return PyRun_SimpleFile(script, argv[1]) ? 1 : 0;
}
