/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * pytables [-d LOCKS] COMMAND - the allocator tables of a live Python, for tests/python-tables.sh:
 *
 *	show PID	  what was found, addresses as in the ELF file; the probes
 *	hold PID	  redirect, say so, restore when standard input ends
 *	cycle PID COUNT	  redirect and restore so often; the slots must be as before each time
 *	recover		  restore what killed ones have left
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/abi_types.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "elf/elf_file.h"
#include "python/detect.h"
#include "python/redirect.h"
#include "python/tables.h"
#include "target/proc_maps.h"
#include "target/process.h"

struct target {
	pid_t pid;
	struct process_info info;
	struct proc_maps maps;
	struct python_runtime runtime;
	struct python_tables tables;
};

static const char *const domains[] = {"raw", "mem", "obj"};
static const char *const calls[] = {"malloc", "calloc", "realloc", "free"};

static int target_find(struct target *target, const char *pid, struct err *err)
{
	int status;

	target->pid = atoi(pid);
	status = process_read(target->pid, &target->info, err);
	if (!status)
		status = proc_maps_read(target->pid, &target->maps, err);
	if (!status)
		status = python_detect(target->pid, &target->maps, &target->runtime, err);
	if (!status && !target->runtime.found)
		return err_set(err, ENOENT, "no CPython in process %d", target->pid);
	if (status)
		return status;
	return python_tables_find(target->pid, &target->maps, &target->runtime, true,
				  &target->tables, err);
}

static void show_points(const struct probe_plan *plan)
{
	for (size_t i = 0; i < plan->count; i++) {
		const struct probe_point *point = &plan->items[i];

		printf("point %u %" PRIx64 " %" PRIx64 " %u %u,%u %u %s %s %s\n", point->role,
		       point->vaddr, point->file_offset, point->site.offset, point->site.regs[0],
		       point->site.regs[1], point->site.sp_delta8,
		       point->site.emulated ? "emulated" : "stepped",
		       point->needs_return ? "return" : "-", point->site.text);
	}
}

static int show_plan(const struct target *target, struct err *err)
{
	_cleanup_close_ int fd =
	    python_open_file(target->pid, &target->maps, &target->runtime, err);
	struct probe_plan plan;
	struct elf_file elf;
	int status = fd < 0 ? fd : elf_file_open_fd(&elf, fd, target->runtime.path, err);

	if (status)
		return status;
	status = python_plan(&elf, &target->runtime, &target->tables, &plan, err);
	if (!status)
		show_points(&plan);
	allocator_plan_free(&plan);
	elf_file_close(&elf);
	return status;
}

static int show(struct target *target, struct err *err)
{
	static const char *const ways[] = {"entry", "redirect", "none"};
	const struct python_tables *tables = &target->tables;
	uint64_t bias = target->runtime.bias;

	printf("python %s %s\n", target->runtime.version, target->runtime.path);
	printf("mode %s\n", python_mode_name(tables->mode));
	printf("hook %s\n", tables->hook);
	printf("inlined %d\n", tables->inlined);
	printf("redirected %d\n", tables->redirected);
	printf("saved %u\n", tables->saved_count);
	printf("extra %u\n", tables->debug_extra_bytes);
	printf("way %s\n", ways[tables->way]);
	printf("reason %s\n", tables->reason);
	for (int domain = 0; domain < PYTHON_DOMAIN_COUNT; domain++) {
		printf("active %s %" PRIx64 "\n", domains[domain], tables->active[domain] - bias);
		for (int call = 0; call < PYTHON_CALL_COUNT; call++)
			printf("implementation %s_%s %" PRIx64 "\n", domains[domain], calls[call],
			       tables->implementations[domain][call] - bias);
	}
	for (int call = 0; call < PYTHON_CALL_COUNT; call++)
		printf("pad %s %" PRIu64 "\n", calls[call],
		       tables->pads[call]
			   ? tables->implementations[PYTHON_OBJ][call] - tables->pads[call]
			   : 0);
	return tables->way == PYTHON_WAY_NONE ? 0 : show_plan(target, err);
}

static int redirect(const struct target *target, struct python_redirect **redirect, struct err *err)
{
	return python_redirect_new(target->pid, target->info.start_time_ns, &target->runtime,
				   &target->tables, redirect, err);
}

static int hold(struct target *target, struct err *err)
{
	struct python_redirect *redirected;
	char byte;
	int status = redirect(target, &redirected, err);

	if (status)
		return status;
	printf("redirected\n");
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	status = python_redirect_end(redirected, err);
	printf("restored %d\n", status);
	return status < 0 ? status : 0;
}

static int read_slots(const struct target *target, uint64_t slots[2][5])
{
	for (int i = 0; i < 2; i++)
		if (python_read_memory(target->pid, target->tables.active[PYTHON_MEM + i],
				       slots[i], sizeof(slots[i])))
			return -1;
	return 0;
}

static int cycle(struct target *target, int count, struct err *err)
{
	uint64_t before[2][5], during[2][5], after[2][5];
	struct python_redirect *redirected;

	if (read_slots(target, before))
		return err_set(err, ESRCH, "the process is gone");
	for (int i = 0; i < count; i++) {
		int status = redirect(target, &redirected, err);

		if (status)
			return status;
		read_slots(target, during);
		status = python_redirect_end(redirected, err);
		if (status < 0)
			return status;
		if (status != 8 || read_slots(target, after) ||
		    memcmp(before, after, sizeof(before)) ||
		    !memcmp(before, during, sizeof(before)))
			return err_set(err, EIO, "cycle %d: %d slots restored, or not as before", i,
				       status);
	}
	printf("cycles %d\n", count);
	return 0;
}

int main(int argc, char **argv)
{
	struct target target = {0};
	struct err err = {0};
	int status = 0;

	if (argc > 2 && !strcmp(argv[1], "-d")) {
		python_redirect_set_directory(argv[2]);
		argv += 2;
		argc -= 2;
	}
	if (argc > 1 && !strcmp(argv[1], "recover")) {
		printf("recovered %d\n", python_redirect_recover());
		return 0;
	}
	if (argc < 3)
		return 2;
	status = target_find(&target, argv[2], &err);
	if (!status && !strcmp(argv[1], "show"))
		status = show(&target, &err);
	else if (!status && !strcmp(argv[1], "hold"))
		status = hold(&target, &err);
	else if (!status && !strcmp(argv[1], "cycle"))
		status = cycle(&target, argc > 3 ? atoi(argv[3]) : 1, &err);
	if (status)
		printf("error %s\n", err.text);
	proc_maps_free(&target.maps);
	return status != 0;
}
