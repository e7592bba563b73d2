/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * features.h - what this kernel and our permissions allow.
 *
 * Each feature is tried, not derived from a version number: distributions backport.
 * SEEP_WITHOUT=name,name in the environment switches features off, to see how seep behaves on an
 * older kernel.
 */
#ifndef SEEP_PROBE_FEATURES_H
#define SEEP_PROBE_FEATURES_H

#include <stdbool.h>

struct err;

/* name, first kernel, required, what it is for */
#define FEATURES(X)                                                                                \
	X(BTF, "btf", "5.4", true, "kernel type information, to find the members we read")         \
	X(RINGBUF, "ringbuf", "5.8", true, "stacks and events on their way to user space")         \
	X(TASK_STORAGE, "task_storage", "5.11", true, "state of a thread between call and return") \
	X(COOKIE, "attach_cookie", "5.15", true, "one program for many probe points")              \
	X(LOOP, "bpf_loop", "5.17", true, "walking stacks")                                        \
	X(FIND_VMA, "bpf_find_vma", "5.17", true, "walking through libraries just loaded")         \
	X(UPROBE, "uprobe", "4.17", true, "probes on functions of programs")                       \
	X(UPROBE_MULTI, "uprobe_multi", "6.6", false, "fast attach and detach of many probes")     \
	X(UPROBE_SESSION, "uprobe_session", "6.13", false, "no return trap for unsampled calls")

enum feature {
#define X(id, name, since, required, purpose) FEATURE_##id,
	FEATURES(X)
#undef X
	FEATURE_COUNT,
};

struct feature_info {
	const char *name, *since, *purpose;
	bool required;
};
extern const struct feature_info feature_infos[FEATURE_COUNT];

struct features {
	bool has[FEATURE_COUNT];
	bool overridden[FEATURE_COUNT]; /* switched off through the environment */
	char kernel[96];		/* uname -r */
};

/* Probe everything. Returns 0, -EPERM when BPF is refused to us (what to do is in the text). */
int features_detect(struct features *features, struct err *err);

/* Returns 0, or -ENOSYS naming the first required feature that is missing and its first kernel. */
int features_check(const struct features *features, struct err *err);

#endif
