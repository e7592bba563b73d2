/* SPDX-License-Identifier: GPL-2.0-only */
/* watch.c - see watch.h */
#include "probe/watch.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "base/vec.h"
#include "probe/session.h"
#include "target/proc_maps.h"

#define STRAYS_STEP 64 /* so many more, and they are looked through between two ticks */

struct mapping_list {
	struct mapping *items;
	size_t count, capacity;
};

/* What one reading of /proc/PID/maps led to. */
struct survey {
	struct mapping_list mappings;
	struct {
		struct binary **items;
		size_t count, capacity;
	} binaries; /* with probes to attach */
	struct addr_range allocators[ALLOCATOR_RANGES];
	size_t allocator_count;
	uint32_t kinds;
	uint64_t hash;
	bool has_python; /* a file with CPython in it is mapped */
	struct proc_maps maps;
	char missing[256];
};

static void survey_deinit(struct survey *survey)
{
	proc_maps_free(&survey->maps);
	free(survey->mappings.items);
	free(survey->binaries.items);
}

/* ---- reading a process --------------------------------------------------------------------------- */

static uint64_t hash_region(uint64_t hash, const struct vm_region *region)
{
	const uint64_t words[] = { region->start, region->end, region->inode, region->file_offset };

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		hash = (hash ^ words[i]) * 0x9E3779B97F4A7C15ULL;
	return hash ^ hash >> 29;
}

static void note_allocator(struct survey *survey, const struct binary *binary,
			   const struct vm_region *region)
{
	survey->kinds |= 1U << binary->plan.kind;
	if (!binary->plan.is_library || survey->allocator_count == ALLOCATOR_RANGES)
		return;
	survey->allocators[survey->allocator_count++] =
		(struct addr_range){ region->start, region->end };
}

static int add_mapping(struct survey *survey, const struct vm_region *region,
		       const struct binary *binary)
{
	struct mapping *mapping = vec_add(&survey->mappings);

	if (!mapping)
		return -ENOMEM;
	mapping->start = region->start;
	mapping->end = region->end;
	if (!binary)
		return 0;
	mapping->bias = region->start - region->file_offset - binary->info.vaddr_minus_off;
	mapping->text_vaddr = binary->info.text_vaddr;
	mapping->calls = binary->info.calls;
	mapping->full = binary->info.full;
	mapping->binary_id = binary->id;
	return 0;
}

static int survey_region(struct watch *watch, struct survey *survey, pid_t pid,
			 const struct vm_region *region)
{
	struct binary *binary = NULL;
	struct err err = { 0 };

	if (region->path[0] == '/') {
		binary = binaries_get(watch->binaries, pid, region, &err);
		if (!binary && err.code)
			log_debug("process %d: %s", pid, err.text);
	}
	survey->has_python |= binary && binary->has_python;
	if (binary && binary->plan.count) {
		struct binary **slot = vec_add(&survey->binaries);

		if (!slot)
			return -ENOMEM;
		*slot = binary;
		note_allocator(survey, binary, region);
	}
	if (binary && binary->plan.missing[0])
		snprintf(survey->missing, sizeof(survey->missing), "%s", binary->plan.missing);
	return add_mapping(survey, region, binary);
}

static int survey_process(struct watch *watch, pid_t pid, struct survey *survey, struct err *err)
{
	struct proc_maps *maps = &survey->maps;
	int status = proc_maps_read(pid, maps, err);

	if (!status && !maps->count)
		status = err_set(err, ESRCH, "process %d has exited", pid);
	for (size_t i = 0; !status && i < maps->count; i++) {
		if (!maps->items[i].executable || !strcmp(maps->items[i].path, "[vsyscall]") ||
		    !strcmp(maps->items[i].path, "[uprobes]"))
			continue;
		survey->hash = hash_region(survey->hash, &maps->items[i]);
		if (survey_region(watch, survey, pid, &maps->items[i]))
			status = err_set(err, ENOMEM, "out of memory");
	}
	return status;
}

/* ---- publishing and attaching ------------------------------------------------------------------------ */

/* The slice is not used again before the next tick. */
static void retire_slice(struct watch *watch, struct watched *watched)
{
	struct slice *retired = watched->has_slice ? vec_add(&watch->retired) : NULL;

	if (retired)
		*retired = watched->slice;
	watched->has_slice = false;
}

static int publish_survey(struct watch *watch, struct watched *watched, const struct survey *survey,
			  uint32_t flags, struct err *err)
{
	struct proc proc = { 0 };
	struct slice slice;
	int status = publish_mappings(watch->session, &watch->slices, survey->mappings.items,
				      survey->mappings.count, &slice);

	if (status)
		return err_set(err, -status, "process %d: no room for its %zu code mappings",
			       watched->info.pid, survey->mappings.count);
	proc.start_time_ns = watched->info.start_time_ns;
	proc.slice = (uint64_t)slice.first << 32 | slice.count;
	proc.generation = watched->generation;
	proc.flags = flags | (watch->options.follow_children ? PROC_FOLLOW_CHILDREN : 0);
	memcpy(proc.allocators, survey->allocators, sizeof(proc.allocators));
	interpreter_publish(&watched->interpreter, &proc);
	status = watched->is_published ?
			 publish_proc(watch->session, watched->info.pid, &proc) :
			 publish_new_proc(watch->session, watched->info.pid, &proc);
	if (status) {
		publish_free_slice(&watch->slices, slice);
		if (status == -ESRCH)
			return err_set(err, ESRCH, "process %d has exited", watched->info.pid);
		return err_set(err, -status, "process %d: too many processes are watched",
			       watched->info.pid);
	}
	retire_slice(watch, watched);
	watched->slice = slice;
	watched->has_slice = watched->is_published = true;
	return 0;
}

static bool is_attached(const struct id_list *ids, uint32_t id)
{
	for (size_t i = 0; i < ids->count; i++)
		if (ids->items[i] == id)
			return true;
	return false;
}

/* Children are followed by probes that fire in every process; else each process has its own. */
static int attach_binary(struct watch *watch, struct watched *watched, const struct binary *binary,
			 struct err *err)
{
	bool shared = watch->options.follow_children;
	struct id_list *done = shared ? &watch->shared_attached : &watched->attached;
	struct links *links = shared ? &watch->shared_links : &watched->links;
	uint32_t *id;
	int status;

	if (is_attached(done, binary->id))
		return 0;
	status = attach_plan(watch->session, binary->fd, binary->path, &binary->plan,
			     shared ? 0 : watched->info.pid, watch->options.purpose, links, err);
	if (status)
		return status;
	id = vec_add(done);
	if (id)
		*id = binary->id;
	log_debug("process %d: %zu probes on %s (%s)", watched->info.pid, binary->plan.count,
		  binary->path, allocator_kind_name(binary->plan.kind));
	return 0;
}

static int attach_survey(struct watch *watch, struct watched *watched, const struct survey *survey,
			 struct err *err)
{
	for (size_t i = 0; i < survey->binaries.count; i++) {
		int status = attach_binary(watch, watched, survey->binaries.items[i], err);

		if (status)
			return status;
	}
	return 0;
}

/* ---- Python ---------------------------------------------------------------------------------------- */

static void tell_python(struct watch *watch, struct watched *watched)
{
	char text[640];

	if (watched->python_told || !watched->interpreter.found || !watch->options.on_python)
		return;
	watched->python_told = true;
	watch->options.on_python(watch->options.context, watched,
				 interpreter_describe(&watched->interpreter, text, sizeof(text)));
}

/* Looks for CPython while none is known, or the one that is known had not started. */
static void find_python(struct watch *watch, struct watched *watched, const struct survey *survey)
{
	struct interpreter found;
	struct err err = { 0 };

	if (!survey->has_python || (watched->interpreter.found && watched->interpreter.runtime.initialized))
		return;
	if (interpreter_find(&found, watched->info.pid, &survey->maps, survey->mappings.items,
			     survey->mappings.count, !watch->options.no_redirect, &err))
		log_debug("process %d: %s", watched->info.pid, err.text);
	if (!found.found)
		return;
	found.redirect = TAKE_PTR(watched->interpreter.redirect);
	watched->interpreter = found;
}

/* Probes first: from the moment the slots are redirected, each call passes them. */
static int attach_python(struct watch *watch, struct watched *watched, struct err *err)
{
	struct interpreter *interpreter = &watched->interpreter;
	bool shared = watch->options.follow_children;
	struct id_list *done = shared ? &watch->shared_python : &watched->python_attached;
	struct binary *binary = binaries_by_id(watch->binaries, interpreter->binary_id);
	uint32_t plan_id = interpreter_plan_id(interpreter), *id;
	int status = 0;

	if (!interpreter->found || !binary)
		return 0;
	if (!is_attached(done, plan_id)) {
		status = interpreter_attach(interpreter, watch->session, binary,
					    shared ? 0 : watched->info.pid, watch->options.purpose,
					    shared ? &watch->shared_links : &watched->links, err);
		id = status ? NULL : vec_add(done);
		if (id)
			*id = plan_id;
	}
	if (!status && watch->options.purpose == ATTACH_RECORD)
		interpreter_redirect(interpreter, &watched->info);
	return status;
}

static uint32_t current_flags(struct watch *watch, const struct watched *watched)
{
	struct proc proc;

	if (publish_read_proc(watch->session, watched->info.pid, &proc))
		return 0;
	return proc.flags & (PROC_STOP_AT_START | PROC_STOP_CHILDREN);
}

/* True once something that allocates is probed: from here on nothing can be missed. */
static bool has_allocator(const struct survey *survey)
{
	return survey->kinds & ~(1U << ALLOCATOR_NONE);
}

/* 'new_image': it has exec'd; when its allocator is there, it need not stop any more. */
static int refresh(struct watch *watch, struct watched *watched, uint32_t flags, bool force,
		   bool new_image, struct err *err)
{
	struct survey survey = { 0 };
	int status;

	if (watched->shares_memory)
		return 0;
	status = survey_process(watch, watched->info.pid, &survey, err);
	if (!status && (force || survey.hash != watched->maps_hash)) {
		if (new_image && has_allocator(&survey))
			flags &= ~PROC_STOP_AT_START;
		find_python(watch, watched, &survey);
		status = publish_survey(watch, watched, &survey, flags, err);
		/* Python first: a large block that passes both is of class python at once */
		if (!status)
			status = attach_python(watch, watched, err);
		if (!status)
			status = attach_survey(watch, watched, &survey, err);
		if (!status && watched->interpreter.refusal[0]) /* its arenas count, then */
			status = publish_survey(watch, watched, &survey, flags, err);
		if (!status)
			tell_python(watch, watched);
		watched->maps_hash = survey.hash;
		watched->allocator_kinds |= survey.kinds;
		memcpy(watched->missing, survey.missing, sizeof(watched->missing));
	}
	survey_deinit(&survey);
	return status;
}

int watch_refresh(struct watch *watch, struct watched *watched, struct err *err)
{
	return refresh(watch, watched, current_flags(watch, watched), false, false, err);
}

/* ---- life cycle ---------------------------------------------------------------------------------------- */

int watch_init(struct watch *watch, struct session *session, const struct watch_options *options,
	       struct err *err)
{
	memset(watch, 0, sizeof(*watch));
	watch->session = session;
	watch->options = *options;
	watch->binaries = binaries_new(session, options->on_binary, options->context);
	return watch->binaries ? 0 : err_set(err, ENOMEM, "out of memory");
}

static void end_python(struct watched *watched)
{
	interpreter_end(&watched->interpreter);
	vec_for_each(stray, &watched->strays)
		interpreter_end(stray);
	watched->strays.count = 0;
}

void watch_detach(struct watch *watch)
{
	session_stop_following(watch->session);
	publish_release_stopped(watch->session);
	vec_for_each(watched, &watch->all)
		end_python(*watched);
	links_close(&watch->shared_links);
	vec_for_each(watched, &watch->all)
		links_close(&(*watched)->links);
}

void watch_deinit(struct watch *watch)
{
	watch_detach(watch);
	guardian_stop(&watch->guardian);
	vec_for_each(watched, &watch->all) {
		free((*watched)->attached.items);
		free((*watched)->python_attached.items);
		free((*watched)->strays.items);
		free(*watched);
	}
	free(watch->all.items);
	free(watch->shared_attached.items);
	free(watch->shared_python.items);
	free(watch->slices.items);
	free(watch->retired.items);
	binaries_free(watch->binaries);
	memset(watch, 0, sizeof(*watch));
}

static struct watched *new_watched(struct watch *watch, uint32_t generation)
{
	struct watched *watched = calloc(1, sizeof(*watched));
	struct watched **slot = watched ? vec_add(&watch->all) : NULL;

	if (!slot) {
		free(watched);
		return NULL;
	}
	watched->generation = generation;
	watched->alive = true;
	*slot = watched;
	return watched;
}

struct watched *watch_find(struct watch *watch, uint32_t generation)
{
	for (size_t i = watch->all.count; i > 0; i--)
		if (watch->all.items[i - 1]->generation == generation)
			return watch->all.items[i - 1];
	return NULL;
}

size_t watch_alive_count(const struct watch *watch)
{
	size_t count = 0;

	for (size_t i = 0; i < watch->all.count; i++)
		count += watch->all.items[i]->alive;
	return count;
}

size_t watch_probe_count(const struct watch *watch)
{
	size_t count = watch->shared_links.probe_count;

	for (size_t i = 0; i < watch->all.count; i++)
		count += watch->all.items[i]->links.probe_count;
	return count;
}

static int begin_stopping(struct watch *watch, struct err *err)
{
	int status = guardian_start(&watch->guardian, session_procs_fd(watch->session), err);

	if (!status)
		session_allow_stopping(watch->session);
	return status;
}

int watch_add(struct watch *watch, pid_t pid, bool stop_at_start, struct err *err)
{
	struct process_info info;
	struct watched *watched;
	uint32_t flags = 0;
	int status = process_read(pid, &info, err);

	if (!status && !stop_at_start) /* a child of ours still has our own image */
		status = process_check(&info, err);
	if (status)
		return status;
	status = stop_at_start ? begin_stopping(watch, err) : 0;
	if (status)
		return status;
	watched = new_watched(watch, session_next_generation(watch->session));
	if (!watched)
		return err_set(err, ENOMEM, "out of memory");
	watched->info = info;
	if (stop_at_start)
		flags = PROC_STOP_AT_START |
			(watch->options.follow_children ? PROC_STOP_CHILDREN : 0);
	status = refresh(watch, watched, flags, true, false, err);
	/* what was mapped while we attached */
	return status ? status : watch_refresh(watch, watched, err);
}

static void end_image(struct watch *watch, struct watched *watched, const char *reason)
{
	if (!watched->alive)
		return;
	watched->alive = false;
	watched->end_reason = reason;
	end_python(watched);
	links_close(&watched->links);
	retire_slice(watch, watched);
	session_forget_blocks(watch->session, watched->generation);
}

void watch_mark_exited(struct watch *watch, struct watched *watched)
{
	publish_remove_proc(watch->session, watched->info.pid, watched->generation);
	end_image(watch, watched, "exited");
}

/* ---- events ---------------------------------------------------------------------------------------------- */

static void tell_problem(struct watch *watch, struct watched *watched, const char *text)
{
	if (watched->problem_told || !watch->options.on_problem)
		return;
	watched->problem_told = true;
	watch->options.on_problem(watch->options.context, watched->info.pid, text);
}

/* A process that is gone is no problem; that its probes or tables could not be placed is one. */
static void refresh_or_tell(struct watch *watch, struct watched *watched, uint32_t flags,
			    bool new_image)
{
	struct err err = { 0 };
	int status = refresh(watch, watched, flags, true, new_image, &err);

	if (!status)
		return;
	log_debug("process %d: %s", watched->info.pid, err.text);
	if (status != -ESRCH && process_is_alive(&watched->info))
		tell_problem(watch, watched, err.text);
}

/* A process we know nothing of (its fork was lost) shall not wait for us. */
static void continue_unknown(struct watch *watch, const struct process_record *record)
{
	struct proc proc;

	if (record->event != PROCESS_EXEC && record->event != PROCESS_LIBS_CHANGED)
		return;
	if (publish_read_proc(watch->session, record->head.tgid, &proc) ||
	    !(proc.flags & PROC_STOP_AT_START))
		return;
	proc.flags &= ~(PROC_STOP_AT_START | PROC_STOP_CHILDREN);
	publish_proc(watch->session, record->head.tgid, &proc);
	kill(record->head.tgid, SIGCONT);
}

/* The new image keeps the pid; probes of libraries it shares with the old one keep working. */
static void on_exec(struct watch *watch, struct watched *old, const struct process_record *record)
{
	struct watched *fresh = new_watched(watch, record->other_generation);
	uint32_t flags = current_flags(watch, old);

	if (!fresh) {
		continue_unknown(watch, record);
		return;
	}
	fresh->info = old->info;
	fresh->followed = old->followed;
	fresh->links = old->links;
	fresh->attached = old->attached;
	fresh->python_attached = old->python_attached;
	memset(&old->links, 0, sizeof(old->links));
	memset(&old->attached, 0, sizeof(old->attached));
	memset(&old->python_attached, 0, sizeof(old->python_attached));
	fresh->is_published = true; /* by the kernel, at exec */
	end_image(watch, old, "exec");
	if (record->head.tid != record->head.tgid) { /* the task that the links name is gone */
		links_close(&fresh->links);
		fresh->attached.count = 0;
		fresh->python_attached.count = 0;
	}
	process_read(record->head.tgid, &fresh->info, NULL);
	refresh_or_tell(watch, fresh, flags, true);
	if (flags & PROC_STOP_AT_START)
		kill(record->head.tgid, SIGCONT);
}

/* Those that have ended, or run another program by now, would only keep files open. */
static void drop_gone_strays(struct watched *watched)
{
	size_t kept = 0;

	vec_for_each(stray, &watched->strays) {
		if (interpreter_is_gone(stray))
			interpreter_end(stray);
		else
			watched->strays.items[kept++] = *stray;
	}
	watched->strays.count = kept;
}

/* A child that is not watched: all we do is to restore its slots at the end. */
static void note_stray(struct watched *parent, const struct process_record *record)
{
	struct process_info info;
	struct interpreter *stray;

	if (!parent->interpreter.redirect || record->shares_memory ||
	    process_read(record->other_tgid, &info, NULL))
		return;
	if (parent->strays.count % STRAYS_STEP == STRAYS_STEP - 1)
		drop_gone_strays(parent);
	stray = vec_add(&parent->strays);
	if (stray)
		interpreter_inherit(stray, &parent->interpreter, &info, false);
}

/* The kernel has already copied the parent's mappings; here the child gets its own. */
static void on_fork(struct watch *watch, struct watched *parent,
		    const struct process_record *record)
{
	struct watched *child;

	if (!record->other_generation) {
		note_stray(parent, record);
		return;
	}
	child = new_watched(watch, record->other_generation);
	if (!child)
		return;
	child->followed = child->is_published = true;
	child->info.pid = record->other_tgid;
	child->info.start_time_ns = record->start_time_ns;
	child->shares_memory = record->shares_memory;
	if (process_read(record->other_tgid, &child->info, NULL))
		return; /* gone already: its exit is in the ring */
	if (!child->shares_memory)
		interpreter_inherit(&child->interpreter, &parent->interpreter, &child->info, true);
	refresh_or_tell(watch, child, current_flags(watch, child), false);
}

static void on_libs_changed(struct watch *watch, struct watched *watched)
{
	uint32_t flags = current_flags(watch, watched);

	refresh_or_tell(watch, watched, flags, true);
	if (flags & PROC_STOP_AT_START)
		kill(watched->info.pid, SIGCONT);
}

static const struct mapping *mapping_at(struct watch *watch, const struct watched *watched,
					uint64_t addr)
{
	for (uint32_t i = 0; watched->has_slice && i < watched->slice.count; i++) {
		const struct mapping *mapping =
			&watch->session->mappings[watched->slice.first + i];

		if (addr >= mapping->start && addr < mapping->end)
			return mapping;
	}
	return NULL;
}

uint64_t watch_resolve_raw(struct watch *watch, uint32_t generation, uint64_t frame)
{
	struct watched *watched = watch_find(watch, generation);
	uint64_t addr = frame & ((1ULL << FRAME_TAG_SHIFT) - 1);
	const struct mapping *mapping;

	if (!watched || !watched->alive)
		return frame;
	mapping = mapping_at(watch, watched, addr);
	if (!mapping && !watch_refresh(watch, watched, NULL))
		mapping = mapping_at(watch, watched, addr);
	if (!mapping || !mapping->binary_id)
		return frame;
	return FRAME_NATIVE << FRAME_TAG_SHIFT | (uint64_t)mapping->binary_id << FRAME_PC_BITS |
	       ((addr - mapping->bias) & ((1ULL << FRAME_PC_BITS) - 1));
}

static void on_want_full(struct watch *watch, struct watched *watched, uint64_t addr)
{
	const struct mapping *mapping = mapping_at(watch, watched, addr);
	struct binary *binary =
		mapping ? binaries_by_id(watch->binaries, mapping->binary_id) : NULL;
	struct err err = { 0 };

	if (!binary || binary->full_table_tried)
		return;
	if (binaries_build_full(watch->binaries, binary, &err))
		log_debug("%s: no full unwind table: %s", binary->path, err.text);
	else
		refresh_or_tell(watch, watched, current_flags(watch, watched), false);
}

void watch_event(struct watch *watch, const struct process_record *record)
{
	struct watched *watched = watch_find(watch, record->head.generation);

	if (!watched)
		continue_unknown(watch, record);
	if (!watched || (!watched->alive && record->event != PROCESS_FORK))
		return;
	switch (record->event) {
	case PROCESS_EXIT:
		watch_mark_exited(watch, watched); /* a refresh may have listed it again */
		break;
	case PROCESS_EXEC:
		on_exec(watch, watched, record);
		break;
	case PROCESS_FORK:
		on_fork(watch, watched, record);
		break;
	case PROCESS_LIBS_CHANGED:
		on_libs_changed(watch, watched);
		break;
	case PROCESS_UNKNOWN_PC:
		watch_refresh(watch, watched, NULL);
		break;
	case PROCESS_WANT_FULL:
		on_want_full(watch, watched, record->addr);
		break;
	}
}

/* ---- once a second --------------------------------------------------------------------------------------- */

static void release_retired_slices(struct watch *watch)
{
	vec_for_each(slice, &watch->retired)
		publish_free_slice(&watch->slices, *slice);
	watch->retired.count = 0;
}

/* One that was refused may be right by now, or another one of the process may run: seldom looked at,
 * after 1, 2, 4, ... seconds, as that takes a thousand times longer than asking for its key. */
static bool is_time_to_look(struct watched *watched)
{
	uint32_t ticks = ++watched->python_ticks;

	return !watched->interpreter.runtime.initialized && !(ticks & (ticks - 1));
}

/*
 * An interpreter that was starting has its key by now; one whose allocator was hooked, or unhooked,
 * is looked at anew: calls may go another way.
 */
static void look_at_python(struct watch *watch, struct watched *watched)
{
	struct interpreter *interpreter = &watched->interpreter;
	bool look;

	if (!interpreter->found)
		return;
	look = is_time_to_look(watched);
	if (interpreter_slots_changed(interpreter, watched->info.pid)) {
		look = true;
		watched->python_told = false;
		if (interpreter->tables.inlined && !interpreter->redirect)
			tell_problem(watch, watched,
				     "its Python allocator was hooked or unhooked just now: what it "
				     "allocated and freed within the last second may be missing");
	}
	if (look || interpreter_is_stale(interpreter, watched->info.pid)) {
		interpreter->runtime.initialized = false;
		refresh_or_tell(watch, watched, current_flags(watch, watched), false);
	}
}

/* Without its main thread a process has no mappings to read, and the kernel takes probes away. */
static void look_again(struct watch *watch, struct watched *watched,
		       const struct process_info *now)
{
	if (now->main_thread_exited)
		tell_problem(watch, watched,
			     "its main thread has exited while others run on: libraries loaded from "
			     "here on are not seen, and the kernel may remove probes");
	else
		watch_refresh(watch, watched, NULL);
	look_at_python(watch, watched);
	drop_gone_strays(watched);
}

void watch_tick(struct watch *watch)
{
	struct process_info now;

	release_retired_slices(watch);
	for (size_t i = 0; i < watch->all.count; i++) {
		struct watched *watched = watch->all.items[i];

		if (!watched->alive)
			continue;
		if (process_read(watched->info.pid, &now, NULL) ||
		    now.start_time_ns != watched->info.start_time_ns)
			watch_mark_exited(watch, watched);
		else
			look_again(watch, watched, &now);
	}
}
