/* SPDX-License-Identifier: GPL-2.0-only */
/* interpreter.c - see interpreter.h */
#include "probe/interpreter.h"

#include <stdio.h>
#include <string.h>

#include "base/abi_types.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "elf/elf_copy.h"
#include "elf/elf_file.h"
#include "probe/binaries.h"
#include "target/process.h"

#define TABLE_BYTES 40 /* PyMemAllocatorEx: a context and four functions */

/* ---- finding ------------------------------------------------------------------------------------ */

/* What mem and obj hold, or 0 when they cannot be read. */
static uint64_t hash_slots(const struct interpreter *interpreter, pid_t pid)
{
	uint64_t hash = 1;

	for (int domain = PYTHON_MEM; domain <= PYTHON_OBJ; domain++) {
		uint64_t words[TABLE_BYTES / sizeof(uint64_t)];

		if (python_read_memory(pid, interpreter->tables.active[domain], words,
				       sizeof(words)))
			return 0;
		for (size_t i = 0; i < ARRAY_LEN(words); i++)
			hash = (hash ^ words[i]) * 0x9E3779B97F4A7C15ULL;
	}
	return hash ^ hash >> 29;
}

/* Of the file that is mapped at 'addr', 0: none. */
static uint32_t binary_at(const struct mapping *mappings, size_t count, uint64_t addr)
{
	for (size_t i = 0; i < count; i++)
		if (addr >= mappings[i].start && addr < mappings[i].end)
			return mappings[i].binary_id;
	return 0;
}

int interpreter_find(struct interpreter *interpreter, pid_t pid, const struct proc_maps *maps,
		     const struct mapping *mappings, size_t mapping_count, bool may_redirect,
		     struct err *err)
{
	struct python_runtime *runtime = &interpreter->runtime;
	int status;

	memset(interpreter, 0, sizeof(*interpreter));
	interpreter->tables.way = PYTHON_WAY_NONE;
	status = python_detect(pid, maps, runtime, err);
	if (status || !runtime->found)
		return status;
	interpreter->binary_id = binary_at(mappings, mapping_count, runtime->text_start);
	if (!interpreter->binary_id)
		return 0;
	python_set_binary(runtime, interpreter->binary_id);
	status = python_tables_find(pid, maps, runtime, may_redirect, &interpreter->tables, err);
	if (status)
		return status;
	runtime->layout.debug_extra_bytes = interpreter->tables.debug_extra_bytes;
	interpreter->found = true;
	interpreter->slots_hash = hash_slots(interpreter, pid);
	return 0;
}

void interpreter_publish(const struct interpreter *interpreter, struct proc *proc)
{
	if (!interpreter->found)
		return;
	proc->python = interpreter->runtime.layout;
	if (interpreter->tables.way != PYTHON_WAY_NONE ||
	    interpreter->tables.mode == PYTHON_MODE_MALLOC)
		proc->flags |= PROC_CODE_FREES;
	if (interpreter->tables.way == PYTHON_WAY_NONE)
		return; /* then what pymalloc maps is all that is seen of it */
	proc->interpreter.start = interpreter->runtime.text_start;
	proc->interpreter.end = interpreter->runtime.text_end;
}

bool interpreter_slots_changed(struct interpreter *interpreter, pid_t pid)
{
	uint64_t hash = interpreter->found ? hash_slots(interpreter, pid) : 0;
	bool changed = hash && hash != interpreter->slots_hash;

	if (hash)
		interpreter->slots_hash = hash;
	return changed;
}

bool interpreter_is_stale(const struct interpreter *interpreter, pid_t pid)
{
	return interpreter->runtime.initialized
		       ? python_gained_interpreter(pid, &interpreter->runtime)
		       : python_has_started(pid, &interpreter->runtime);
}

/* ---- probes and slots ----------------------------------------------------------------------------- */

uint32_t interpreter_plan_id(const struct interpreter *interpreter)
{
	return interpreter->binary_id << 3 | interpreter->tables.way << 1 |
	       (interpreter->tables.mode == PYTHON_MODE_MIMALLOC);
}

int interpreter_plan(const struct interpreter *interpreter, const struct binary *binary,
		     struct probe_plan *plan, struct err *err)
{
	struct elf_file elf;
	int status;

	memset(plan, 0, sizeof(*plan));
	if (!interpreter->found || interpreter->tables.way == PYTHON_WAY_NONE)
		return 0;
	status = elf_copy_open_loaded(&elf, binary->fd, binary->path, err);
	if (status)
		return status;
	status = python_plan(&elf, &interpreter->runtime, &interpreter->tables, plan, err);
	elf_file_close(&elf);
	return status;
}

int interpreter_attach(struct interpreter *interpreter, struct session *session,
		       const struct binary *binary, pid_t pid, enum attach_purpose purpose,
		       struct links *links, struct err *err)
{
	struct probe_plan plan;
	int status = interpreter_plan(interpreter, binary, &plan, err);

	if (!status && plan.count)
		status = attach_plan(session, binary->fd, binary->path, &plan, pid, purpose, links,
				     err);
	if (!status)
		log_debug("process %d: %zu probes on %s (%s)", pid, plan.count, binary->path,
			  python_mode_name(interpreter->tables.mode));
	allocator_plan_free(&plan);
	return status;
}

void interpreter_redirect(struct interpreter *interpreter, const struct process_info *info)
{
	struct err err = {0};

	if (!interpreter->found || interpreter->tables.way != PYTHON_WAY_REDIRECT ||
	    interpreter->redirect)
		return;
	if (python_redirect_new(info->pid, info->start_time_ns, &interpreter->runtime,
				&interpreter->tables, &interpreter->redirect, &err)) {
		snprintf(interpreter->refusal, sizeof(interpreter->refusal), "%s", err.text);
		interpreter->tables.way = PYTHON_WAY_NONE;
		return;
	}
	interpreter->slots_hash = hash_slots(interpreter, info->pid);
}

void interpreter_inherit(struct interpreter *child, const struct interpreter *parent,
			 const struct process_info *info, bool watched)
{
	struct err err = {0};

	*child = *parent;
	child->redirect = NULL;
	if (parent->redirect)
		child->redirect = python_redirect_child(parent->redirect, info->pid,
							info->start_time_ns, NULL);
	if (watched && child->redirect &&
	    python_redirect_complete(child->redirect, child->tables.mode, &err))
		log_warn("process %d: class python will be incomplete: %s", info->pid, err.text);
}

bool interpreter_is_gone(const struct interpreter *interpreter)
{
	return !interpreter->redirect || python_redirect_is_gone(interpreter->redirect);
}

void interpreter_end(struct interpreter *interpreter)
{
	struct err err = {0};

	if (interpreter->redirect && python_redirect_end(interpreter->redirect, &err) < 0)
		log_debug("%s", err.text);
	interpreter->redirect = NULL;
}

/* ---- in words --------------------------------------------------------------------------------------- */

static const char *describe_way(const struct interpreter *interpreter)
{
	switch (interpreter->tables.way) {
	case PYTHON_WAY_ENTRY:
		return interpreter->tables.inlined
			   ? "every block is seen through the hook"
			   : "its functions are probed, every block is seen";
	case PYTHON_WAY_REDIRECT:
		return "inlined by the compiler, so its slots are redirected: every block is seen";
	case PYTHON_WAY_NONE:
		break;
	}
	return "class python is not recorded";
}

const char *interpreter_describe(const struct interpreter *interpreter, char *text, size_t size)
{
	const char *why = interpreter->refusal[0] ? interpreter->refusal
						  : interpreter->tables.reason;
	const char *hook = interpreter->tables.hook;

	snprintf(text, size, "CPython %s%s, %s%s%s%s: %s%s%s%s", interpreter->runtime.version,
		 interpreter->runtime.free_threaded ? " (free-threaded)" : "",
		 python_mode_name(interpreter->tables.mode), hook[0] ? " (" : "", hook,
		 hook[0] ? ")" : "", describe_way(interpreter), why[0] ? ", because " : "", why,
		 interpreter->runtime.reason[0] ? "; Python frames are not read" : "");
	return text;
}
