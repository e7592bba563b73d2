/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * view.h - what a person is shown of the stacks: which frames, which sites, which processes.
 *
 * The kernel tells stacks apart by every return address. Two that differ only in frames that are
 * hidden, or in the instruction within a line, look the same to a person: a view makes them one
 * site, whose growth is judged as a whole.
 *
 * Hidden are
 *   - frames of the interpreter's own binary (profile_frame.internal);
 *   - in stacks with a Python frame, what stands outside of the outermost of these only to start
 *     the process or thread: _start, clone, and the C library at the root;
 * unless nothing else would be left of a stack without Python frames: interpreter start-up.
 */
#ifndef SEEP_PROFILE_VIEW_H
#define SEEP_PROFILE_VIEW_H

#include "profile/profile.h"

struct err;
struct site_filter;

enum view_frames {
	VIEW_PLAIN,  /* without the interpreter's own */
	VIEW_PYTHON, /* Python frames alone; "[native] LIBRARY" where a stack has none */
	VIEW_ALL,    /* as recorded; nothing is merged but processes */
};

struct view_options {
	enum view_frames frames;
	bool merge_processes;		  /* sites of all processes, of one class, become one */
	const struct site_filter *filter; /* NULL: none */
	uint32_t *site_of; /* NULL, or filled: the site of the view in which each site of 'profile'
			    * is; UINT32_MAX for those filtered out */
};

/* What the filter left out, counted as recorded. */
struct view_rest {
	size_t sites;
	double live_bytes, growth_bytes;
};

/*
 * The frame that a person would name as the place of the allocation: the leaf-most Python one;
 * without one, site_leaf_frame(). Index into site->frames; 0 when there is none.
 */
uint32_t site_naming_frame(const struct profile *profile, const struct profile_site *site);

/* The leaf-most frame that is not of the language's own library (operator new, std::, Rust's
 * alloc::alloc), nor internal unless 'internal' is set or there is nothing else. Index into
 * site->frames; 0 when there is none. */
uint32_t site_leaf_frame(const struct profile *profile, const struct profile_site *site,
			 bool internal);

/*
 * What a native call that Python made does, for stacks whose leaf is native: the function nearest
 * to the leaf-most Python frame that has a name of its own and does not only pass calls on (ctypes,
 * libffi). Index into site->frames; that of the Python frame itself where it is the leaf,
 * site->frame_count in stacks without Python frames.
 */
uint32_t site_called_frame(const struct profile *profile, const struct profile_site *site);

/*
 * Make the view. 'view' shares texts, snapshots and, unless they are merged, processes with
 * 'profile', which must live longer. Merged processes are one of pid 0. Give it back with
 * profile_deinit(). Returns 0 or -ENOMEM.
 */
int profile_view(const struct profile *profile, const struct view_options *options,
		 struct profile *view, struct view_rest *rest, struct err *err);

#endif
