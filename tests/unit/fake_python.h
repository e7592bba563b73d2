/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fake_python.h - a program that is laid out like CPython as far as its allocators go, compiled,
 * stripped and run by tests: tables, debug records, exported functions, and, with -DINLINED, copies
 * of the allocator in these. It obeys letters on its standard input and answers each with a line.
 */
#ifndef SEEP_TESTS_FAKE_PYTHON_H
#define SEEP_TESTS_FAKE_PYTHON_H

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "elf/elf_file.h"
#include "python/detect.h"
#include "python/tables.h"
#include "target/proc_maps.h"
#include "target/process.h"
#include "unit/compile.h"

static const char fake_source[] =
    "#define NOTHING(call, args)\n"
    "#include <stdint.h>\n#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n"
    "#include <unistd.h>\n#include <sys/wait.h>\n#include <signal.h>\n#include <sys/prctl.h>\n"
    "struct table { void *context; void *(*malloc)(void *, size_t);\n"
    "	void *(*calloc)(void *, size_t, size_t); void *(*realloc)(void *, void *, size_t);\n"
    "	void (*free)(void *, void *); };\n"
    "struct record { char id; struct table table; };\n"
    /* the functions of the mem and obj domains, each behind its own padding */
    "#ifndef FREE_PADDING\n"
    "#define FREE_PADDING \".byte 0x0f,0x1f,0x80,0,0,0,0\\n\"\n#endif\n"
    "#define FUNCTION(name, padding) \\\n"
    "	\".p2align 4\\nbefore_\" name \": .cfi_startproc\\nret\\n.cfi_endproc\\n\" padding \\\n"
    "	\"fake_\" name \": .cfi_startproc\\npush %rbx\\n\" \\\n"
    "	\".cfi_adjust_cfa_offset 8\\npop %rbx\\n\" \\\n"
    "	\".cfi_adjust_cfa_offset -8\\njmp raw_\" name \"\\n.cfi_endproc\\n\"\n"
    "asm(\".text\\n\" FUNCTION(\"malloc\", \".byte 0x0f,0x1f,0x84,0,0,0,0,0\\n\")\n"
    "	FUNCTION(\"calloc\", \".byte 0x0f,0x1f,0\\n\") FUNCTION(\"realloc\", \".byte 0x90\\n\")\n"
    "	FUNCTION(\"free\", FREE_PADDING));\n"
    "#pragma GCC visibility push(hidden)\n"
    "void *fake_malloc(void *, size_t), *fake_calloc(void *, size_t, size_t);\n"
    "void *fake_realloc(void *, void *, size_t); void fake_free(void *, void *);\n"
    "#pragma GCC visibility pop\n"
    "__attribute__((noipa)) void *raw_malloc(void *c, size_t n) { return malloc(n); }\n"
    "__attribute__((noipa)) void *raw_calloc(void *c, size_t n, size_t m)\n"
    "{ return calloc(n, m); }\n"
    "__attribute__((noipa)) void *raw_realloc(void *c, void *p, size_t n)\n"
    "{ return realloc(p, n); }\n"
    "__attribute__((noipa)) void raw_free(void *c, void *p) { free(p); }\n"
    "#define RAW {NULL, raw_malloc, raw_calloc, raw_realloc, raw_free}\n"
    "#define FAKE {NULL, fake_malloc, fake_calloc, fake_realloc, fake_free}\n"
    /* -DPLACED: as in 3.12 and later, the tables right before the records */
    "#ifdef PLACED\n"
    "static struct { struct table raw, mem, obj; struct record records[3]; } runtime =\n"
    "	{RAW, FAKE, FAKE, {{'r', RAW}, {'m', FAKE}, {'o', FAKE}}};\n"
    "#define _PyMem_Raw runtime.raw\n#define _PyMem runtime.mem\n"
    "#define _PyObject runtime.obj\n#define records runtime.records\n"
    "#else\n"
    "static struct table _PyMem_Raw = RAW, _PyMem = FAKE, _PyObject = FAKE;\n"
    "static struct record records[3] = {{'r', RAW}, {'m', FAKE}, {'o', FAKE}};\n"
    "#endif\n"
    "#ifdef TWICE\n__attribute__((used)) static struct record others[3] =\n"
    "	{{'r', RAW}, {'m', FAKE}, {'o', FAKE}};\n"
    "#endif\n"
    /* hooks: of the debug kind, of tracemalloc's kind; 'saved' is what they put aside */
    "static struct table saved[3];\n"
    "static unsigned long traced;\n"
    "#define HOOK(kind, next, CHECK) \\\n"
    "__attribute__((noipa)) static void *kind##_malloc(void *c, size_t n)\\\n"
    "{ struct table *t = next; traced++; CHECK(malloc, (t->context, n)) \\\n"
    "	return t->malloc(t->context, n); }\\\n"
    "__attribute__((noipa)) static void *kind##_calloc(void *c, size_t n, size_t m)\\\n"
    "{ struct table *t = next; traced++; return t->calloc(t->context, n, m); }\\\n"
    "__attribute__((noipa)) static void *kind##_realloc(void *c, void *p, size_t n)\\\n"
    "{ struct table *t = next; traced++; return t->realloc(t->context, p, n); }\\\n"
    "__attribute__((noipa)) static void kind##_free(void *c, void *p)\\\n"
    "{ struct table *t = next; traced++; CHECK(free, (t->context, p)) t->free(t->context, p); }\n"
    "#ifdef INLINED\n"
    "#define COPY(call, args) if (t->call == fake_##call) return raw_##call args;\n"
    "#else\n#define COPY(call, args)\n#endif\n"
    "HOOK(debug, &((struct record *)c)->table, COPY)\nHOOK(trace, (struct table *)c, COPY)\n"
    "#define DEBUG(i) {&records[i], debug_malloc, debug_calloc, debug_realloc, debug_free}\n"
    "#define TRACE(i) {&saved[i], trace_malloc, trace_calloc, trace_realloc, trace_free}\n"
    "HOOK(mi, &_PyMem_Raw, NOTHING)\n"
    "#define MI {NULL, mi_malloc, mi_calloc, mi_realloc, mi_free}\n"
    "#define EXPORT(prefix, domain, CHECK) \\\n"
    "void *prefix##Malloc(size_t n) { struct table *t = &domain; if ((long)n < 0) return NULL; \\\n"
    "	CHECK(malloc, (NULL, n)) return domain.malloc(domain.context, n); }\\\n"
    "void *prefix##Calloc(size_t n, size_t m) { return domain.calloc(domain.context, n, m); }\\\n"
    "void *prefix##Realloc(void *p, size_t n) { return domain.realloc(domain.context, p, n); }\\\n"
    "void prefix##Free(void *p) { domain.free(domain.context, p); }\n"
    "EXPORT(PyMem_Raw, _PyMem_Raw, NOTHING)\nEXPORT(PyMem_, _PyMem, COPY)\n"
    "EXPORT(PyObject_, _PyObject, COPY)\n"
    "static const struct table raw = RAW;\n"
    "static void set(int letter)\n{\n"
    "	switch (letter) {\n"
    "	case 'm': _PyMem = raw; _PyObject = raw; break;\n"
    "	case 'd': _PyMem = (struct table)DEBUG(1); _PyObject = (struct table)DEBUG(2); break;\n"
    "	case 'D': records[1].table = raw; records[2].table = raw; set('d'); break;\n"
    "	case 'i': _PyMem = (struct table)MI; _PyObject = (struct table)MI; break;\n"
    "	case 't': saved[0] = _PyMem; saved[1] = _PyMem_Raw; saved[2] = _PyObject;\n"
    "		_PyMem = (struct table)TRACE(0); _PyMem_Raw = (struct table)TRACE(1);\n"
    "		_PyObject = (struct table)TRACE(2); break;\n"
    "	case 's': _PyMem = saved[0]; _PyMem_Raw = saved[1]; _PyObject = saved[2]; break;\n"
    "	case 'h': _PyObject.malloc = (void *)&puts; break;\n"
    "	case 'x': execl(\"/proc/self/exe\", \"fake\", NULL); break;\n"
    "	}\n}\n"
    /* 'a': allocate and free in all ways; says whether everything was as it should be */
    "static int use(void)\n{\n	for (int i = 0; i < 1009; i++) {\n"
    "		char *p = PyObject_Malloc(97), *q = PyMem_Calloc(3, 11), *r;\n"
    "		memset(p, i, 97); r = PyObject_Realloc(p, 997);\n"
    "		if (r[96] != (char)i || q[32]) return 0;\n"
    "		PyObject_Free(r); PyMem_Free(q); }\n	return 1;\n}\n"
    "int main(void)\n{\n	char letter;\n	int child;\n	setvbuf(stdout, NULL, _IONBF, 0);\n"
    "	printf(\"ready\\n\");\n"
    "	while (read(0, &letter, 1) == 1) {\n"
    "		if (letter == 'f') { child = fork(); if (!child) {\n"
    "				prctl(PR_SET_PDEATHSIG, SIGKILL); for (;;) pause(); }\n"
    "			printf(\"%d\\n\", child); continue; }\n"
    "		if (letter != 'a') { set(letter); printf(\"done\\n\"); continue; }\n"
    "		printf(\"%s %lu\\n\", use() ? \"right\" : \"wrong\", traced); }\n"
    "	return 0;\n}\n";

struct fake {
	pid_t pid;
	int to;
	FILE *from;
	struct process_info info;
	struct proc_maps maps;
	struct elf_file elf;
	struct python_runtime runtime;
	struct python_tables tables;
};

/* Compile it: 'name' in the scratch folder. */
static inline void fake_compile(const char *name, const char *options)
{
	write_text("fake.c", fake_source);
	run("gcc -w -O2 -fno-strict-aliasing -rdynamic %s -o %s fake.c && strip %s", options, name,
	    name);
}

static inline const char *fake_tell(struct fake *fake, char letter)
{
	static char line[64];

	assert_int_equal(write(fake->to, &letter, 1), 1);
	assert_non_null(fgets(line, sizeof(line), fake->from));
	line[strcspn(line, "\n")] = '\0';
	return line;
}

/* What python_detect() would say, as far as tables need it. */
static inline void fake_detect(struct fake *fake, const char *path)
{
	struct python_runtime *runtime = &fake->runtime;
	uint64_t vaddr;

	proc_maps_free(&fake->maps);
	assert_int_equal(proc_maps_read(fake->pid, &fake->maps, NULL), 0);
	for (size_t i = 0; i < fake->maps.count; i++) {
		const struct vm_region *region = &fake->maps.items[i];

		if (!region->executable || strcmp(region->path, path))
			continue;
		assert_true(
		    elf_file_vaddr_of_offset(&fake->elf, region->file_offset, &vaddr));
		runtime->region = i;
		runtime->bias = region->start - vaddr;
		runtime->text_start = region->start;
		runtime->text_end = region->end;
	}
	assert_true(runtime->text_end != 0);
	runtime->found = true;
	snprintf(runtime->path, sizeof(runtime->path), "%s", path);
}

static inline void fake_start(struct fake *fake, const char *name, int minor)
{
	const char *path = in_scratch(name);
	int to[2], from[2];
	char line[64];

	*fake = (struct fake){0};
	fake->runtime.minor = minor;
	assert_int_equal(pipe2(to, O_CLOEXEC), 0);
	assert_int_equal(pipe2(from, O_CLOEXEC), 0);
	fake->pid = fork();
	assert_true(fake->pid >= 0);
	if (!fake->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(to[0], 0);
		dup2(from[1], 1);
		execl(path, path, NULL);
		_exit(1);
	}
	close(to[0]);
	close(from[1]);
	fake->to = to[1];
	fake->from = fdopen(from[0], "r");
	assert_non_null(fgets(line, sizeof(line), fake->from));
	assert_int_equal(elf_file_open(&fake->elf, path, NULL), 0);
	assert_int_equal(process_read(fake->pid, &fake->info, NULL), 0);
	fake_detect(fake, path);
}

static inline void fake_find(struct fake *fake, bool may_redirect)
{
	assert_int_equal(python_tables_find(fake->pid, &fake->maps, &fake->runtime, may_redirect,
					    &fake->tables, NULL),
			 0);
}

static inline void fake_end(struct fake *fake)
{
	kill(fake->pid, SIGKILL);
	waitpid(fake->pid, NULL, 0);
	close(fake->to);
	fclose(fake->from);
	elf_file_close(&fake->elf);
	proc_maps_free(&fake->maps);
}

#endif
