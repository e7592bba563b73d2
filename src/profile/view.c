/* SPDX-License-Identifier: GPL-2.0-only */
/* view.c - see view.h */
#include "profile/view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/path.h"
#include "profile/filter.h"
#include "profile/merge.h"

static bool starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Does 'text' begin with one of them? */
static bool begins_with_any(const char *text, const char *const *prefixes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (starts_with(text, prefixes[i]))
			return true;
	return false;
}

/* ---- naming -----------------------------------------------------------------------------------
 */

static bool is_wrapper(const struct profile_frame *frame)
{
	static const char *const prefixes[] = {
	    "operator new(",	"operator new[](", "std::",	  "__gnu_cxx::", "alloc::alloc::",
	    "alloc::raw_vec::", "__rust_alloc",	   "__rdl_alloc", "__rg_alloc",
	};

	if (frame->python)
		return false;
	if (begins_with_any(frame->function, prefixes, ARRAY_LEN(prefixes)))
		return true;
	/* templates print their return type first: their header tells them */
	return (frame->file && strstr(frame->file, "/include/c++/")) ||
	       (frame->module && strstr(frame->module, "/libstdc++.so."));
}

/* Of the libraries by which Python calls any C function. */
static bool is_bridge(const struct profile_frame *frame)
{
	static const char *const modules[] = {"_ctypes.", "libffi.so", "_cffi_backend."};

	return frame->module &&
	       begins_with_any(path_base(frame->module), modules, ARRAY_LEN(modules));
}

static const struct profile_frame *frame_at(const struct profile *profile,
					    const struct profile_site *site, uint32_t index)
{
	return &profile->frames[site->frames[index]];
}

/* The leaf-most Python frame; site->frame_count without one. */
static uint32_t python_first(const struct profile *profile, const struct profile_site *site)
{
	uint32_t i = 0;

	while (i < site->frame_count && !frame_at(profile, site, i)->python)
		i++;
	return i;
}

uint32_t site_called_frame(const struct profile *profile, const struct profile_site *site)
{
	uint32_t python = python_first(profile, site), best = site->frame_count;

	if (!python || python == site->frame_count)
		return python;
	for (uint32_t i = python; i-- > 0;) {
		const struct profile_frame *frame = frame_at(profile, site, i);

		if (frame->internal || is_wrapper(frame))
			continue;
		if (best == site->frame_count)
			best = i;
		/* "_ssl.so+0x1f3a" is no name: the library below may have one */
		if (!is_bridge(frame) && !strstr(frame->function, "+0x"))
			return i;
	}
	return best < site->frame_count ? best : 0;
}

/* ---- hiding -----------------------------------------------------------------------------------
 */

/* Does a frame at the root only start the process or the thread? Most C libraries are stripped of
 * the names of these functions: the library tells as well. */
static bool is_start(const struct profile_frame *frame)
{
	static const char *const names[] = {"_start",  "start_thread", "clone",	      "clone3",
					    "__clone", "__clone3",     "thread_start"};
	static const char *const modules[] = {"libc.so", "libc-2.", "libpthread", "ld-musl-",
					      "libc.musl-"};

	if (frame->python)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (!strcmp(frame->function, names[i]))
			return true;
	if (starts_with(frame->function, "__libc_start_"))
		return true;
	return frame->module &&
	       begins_with_any(path_base(frame->module), modules, ARRAY_LEN(modules));
}

/* How much of a stack a person is shown. */
struct stack_shape {
	bool python;	/* has Python frames */
	bool bare;	/* without internal frames and the start nothing would be left */
	uint32_t start; /* the first of the frames at the root that only start things */
};

static struct stack_shape stack_shape(const struct profile *profile,
				      const struct profile_site *site)
{
	struct stack_shape shape = {.bare = true, .start = site->frame_count};

	while (shape.start > 0 && (frame_at(profile, site, shape.start - 1)->internal ||
				   is_start(frame_at(profile, site, shape.start - 1))))
		shape.start--;
	for (uint32_t i = 0; i < site->frame_count; i++) {
		const struct profile_frame *frame = frame_at(profile, site, i);

		shape.python |= frame->python;
		shape.bare &= frame->internal || i >= shape.start;
	}
	return shape;
}

uint32_t site_leaf_frame(const struct profile *profile, const struct profile_site *site,
			 bool internal)
{
	bool all = internal || stack_shape(profile, site).bare;

	for (uint32_t i = 0; i < site->frame_count; i++) {
		const struct profile_frame *frame = frame_at(profile, site, i);

		if ((all || !frame->internal) && !is_wrapper(frame))
			return i;
	}
	return 0;
}

uint32_t site_naming_frame(const struct profile *profile, const struct profile_site *site)
{
	uint32_t python = python_first(profile, site);

	return python < site->frame_count ? python : site_leaf_frame(profile, site, false);
}

static bool frame_shows(const struct profile_frame *frame, uint32_t index, struct stack_shape shape)
{
	if (shape.python)
		return !frame->internal && index < shape.start;
	return shape.bare || !frame->internal;
}

/* ---- the view ---------------------------------------------------------------------------------
 */

struct viewer {
	const struct profile *profile;
	const struct view_options *options;
	struct profile *view;
	struct merger *merger;
	int64_t *ids;	  /* of the frames of 'profile' in 'view'; -1: not asked for yet */
	uint32_t *frames; /* of the stack at hand */
	uint32_t count;
};

/* What makes two frames the same. With a line, the instruction does not matter. */
static struct profile_frame frame_key(const struct profile_frame *frame,
				      const struct view_options *options)
{
	struct profile_frame key = *frame;

	if (options->frames == VIEW_ALL) {
		if (frame->python && options->merge_processes)
			key.offset = 0; /* says which code object: each process has its own */
		return key;
	}
	if (frame->python || (frame->file && frame->line)) {
		key.offset = 0;
		key.module = NULL;
	}
	return key;
}

static int viewer_take(struct viewer *viewer, uint32_t index)
{
	const struct profile_frame *frame = &viewer->profile->frames[index];

	if (viewer->ids[index] < 0) {
		struct profile_frame key = frame_key(frame, viewer->options);

		viewer->ids[index] = merger_frame(viewer->merger, &key, frame);
		if (viewer->ids[index] < 0)
			return -ENOMEM;
	}
	viewer->frames[viewer->count++] = viewer->ids[index];
	return 0;
}

/* The one frame of a stack without Python, among Python frames: "[native] libssl.so.3". */
static int viewer_take_native(struct viewer *viewer, const struct profile_site *site)
{
	struct profile_frame frame = {.function = "[native]"};
	_cleanup_free_ char *name = NULL;
	int64_t id;

	if (site->frame_count) {
		uint32_t leaf = site_leaf_frame(viewer->profile, site, false);
		const struct profile_frame *named = frame_at(viewer->profile, site, leaf);

		frame.module = named->module;
		if (!named->module && named->function[0] == '[')
			frame.function = named->function;
	}
	if (frame.module) {
		if (asprintf(&name, "[native] %s", path_base(frame.module)) < 0)
			return -ENOMEM;
		frame.function = arena_intern(viewer->view->arena, name);
		if (!frame.function)
			return -ENOMEM;
	}
	id = merger_frame(viewer->merger, &frame, &frame);
	if (id < 0)
		return -ENOMEM;
	viewer->frames[viewer->count++] = id;
	return 0;
}

static int viewer_take_stack(struct viewer *viewer, const struct profile_site *site)
{
	struct stack_shape shape = stack_shape(viewer->profile, site);
	enum view_frames frames = viewer->options->frames;

	viewer->count = 0;
	if (frames == VIEW_PYTHON && !shape.python)
		return viewer_take_native(viewer, site);
	for (uint32_t i = 0; i < site->frame_count; i++) {
		const struct profile_frame *frame = frame_at(viewer->profile, site, i);
		bool shows = frames == VIEW_ALL || frame_shows(frame, i, shape);

		if (frames == VIEW_PYTHON)
			shows = frame->python;
		if (shows && viewer_take(viewer, site->frames[i]))
			return -ENOMEM;
	}
	return 0;
}

static void rest_add(struct view_rest *rest, const struct profile *profile,
		     const struct profile_site *site)
{
	uint32_t last = profile->snapshot_count ? profile->snapshot_count - 1 : 0;
	double live = live_bytes(profile_site_at(site, last));

	rest->sites++;
	rest->live_bytes += live;
	rest->growth_bytes += live - live_bytes(profile_site_at(site, 0));
}

static int viewer_run(struct viewer *viewer, struct view_rest *rest)
{
	const struct profile *profile = viewer->profile;
	const struct view_options *options = viewer->options;

	for (uint32_t i = 0; i < profile->site_count; i++) {
		const struct profile_site *site = &profile->sites[i];

		if (options->filter && !site_passes(profile, site, options->filter)) {
			rest_add(rest, profile, site);
			continue;
		}
		if (viewer_take_stack(viewer, site) ||
		    merger_site(viewer->merger, i, options->merge_processes ? 0 : site->process,
				viewer->frames, viewer->count))
			return -ENOMEM;
	}
	return 0;
}

/* ---- processes --------------------------------------------------------------------------------
 */

static const char *text_common(const char *left, const char *right)
{
	return left && right && !strcmp(left, right) ? left : NULL;
}

/* One process that lived when any of them did. */
static int processes_merge(const struct profile *profile, struct profile *view)
{
	struct profile_process *merged = arena_array(view->arena, struct profile_process, 1);
	uint64_t *rss = arena_array(view->arena, uint64_t, profile->snapshot_count + 1UL);

	if (!merged || !rss)
		return -ENOMEM;
	if (profile->process_count)
		*merged = profile->processes[0];
	for (uint32_t i = 0; i < profile->process_count; i++) {
		const struct profile_process *process = &profile->processes[i];

		if (strcmp(merged->comm, process->comm) != 0)
			merged->comm[0] = '\0';
		merged->exe = text_common(merged->exe, process->exe);
		merged->python = text_common(merged->python, process->python);
		merged->allocator = text_common(merged->allocator, process->allocator);
		if (process->begin_ns < merged->begin_ns)
			merged->begin_ns = process->begin_ns;
		if (process->end_ns > merged->end_ns)
			merged->end_ns = process->end_ns;
		for (uint32_t k = 0; k < profile->snapshot_count; k++)
			rss[k] += process->rss_bytes[k];
	}
	merged->pid = 0;
	merged->start_time_ns = 0;
	merged->end_reason = NULL;
	merged->start_memory = merged->end_memory = (struct memory_breakdown){0};
	merged->rss_bytes = rss;
	view->processes = merged;
	view->process_count = 1;
	return 0;
}

int profile_view(const struct profile *profile, const struct view_options *options,
		 struct profile *view, struct view_rest *rest, struct err *err)
{
	bool alone = options->frames == VIEW_ALL && !options->merge_processes;
	_cleanup_free_ uint32_t *frames = calloc(profile_longest_stack(profile) + 1UL, sizeof(*frames));
	_cleanup_free_ int64_t *ids = calloc(profile->frame_count + 1UL, sizeof(*ids));
	struct merger *merger = merger_new(profile, view, alone ? MERGE_NOTHING : MERGE_STACKS);
	struct viewer viewer = {profile, options, view, merger, ids, frames, 0};

	*rest = (struct view_rest){0};
	if (!merger)
		return err_set(err, ENOMEM, "out of memory");
	for (uint32_t i = 0; ids && i < profile->frame_count; i++)
		ids[i] = -1;
	if (!frames || !ids || viewer_run(&viewer, rest) ||
	    (options->merge_processes && processes_merge(profile, view))) {
		merger_drop(merger);
		return err_set(err, ENOMEM, "out of memory");
	}
	if (options->site_of)
		memcpy(options->site_of, merger_groups(merger),
		       profile->site_count * sizeof(*options->site_of));
	if (merger_finish(merger, options->merge_processes))
		return err_set(err, ENOMEM, "out of memory");
	return 0;
}
