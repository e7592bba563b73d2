/* SPDX-License-Identifier: GPL-2.0-only */
/* features.c - see features.h */
#include "probe/features.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "probe/bpf_raw.h"

const struct feature_info feature_infos[FEATURE_COUNT] = {
#define X(id, name, since, required, purpose) { name, since, purpose, required },
	FEATURES(X)
#undef X
};

/* "return 0": loads with any attach type the kernel knows. */
static const struct bpf_insn return_zero[] = {
	{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
	{ .code = BPF_JMP | BPF_EXIT },
};

static int load_trivial(enum bpf_prog_type type, unsigned int attach_type)
{
	LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = attach_type);

	return bpf_prog_load(type, "seep_try", "GPL", return_zero, ARRAY_LEN(return_zero),
			     &options);
}

/*
 * Kernels load the program whatever attach type it names, so one must try to attach it. A directory
 * is no file to probe: who knows the attach type says EBADF (bpf_uprobe_multi_link_attach() in
 * Linux kernel/trace/bpf_trace.c), who does not says EINVAL.
 */
static bool can_attach(unsigned int attach_type)
{
	_cleanup_close_ int fd = load_trivial(BPF_PROG_TYPE_KPROBE, attach_type);
	unsigned long offset = 0;
	const struct uprobe_multi_request request = {
		.path = "/",
		.offsets = &offset,
		.count = 1,
		.attach_type = attach_type,
	};
	int link = fd < 0 ? fd : bpf_raw_uprobe_multi(fd, &request);

	if (link >= 0)
		close(link);
	return link == -EBADF;
}

static bool helper_works(enum bpf_func_id helper)
{
	return libbpf_probe_bpf_helper(BPF_PROG_TYPE_KPROBE, helper, NULL) == 1;
}

static bool has_uprobe_pmu(void)
{
	return access("/sys/bus/event_source/devices/uprobe/type", R_OK) == 0;
}

static void probe_all(struct features *features)
{
	bool *has = features->has;

	has[FEATURE_BTF] = access("/sys/kernel/btf/vmlinux", R_OK) == 0;
	has[FEATURE_RINGBUF] = libbpf_probe_bpf_map_type(BPF_MAP_TYPE_RINGBUF, NULL) == 1;
	has[FEATURE_TASK_STORAGE] = libbpf_probe_bpf_map_type(BPF_MAP_TYPE_TASK_STORAGE, NULL) == 1;
	has[FEATURE_COOKIE] = helper_works(BPF_FUNC_get_attach_cookie);
	has[FEATURE_LOOP] = helper_works(BPF_FUNC_loop);
	has[FEATURE_FIND_VMA] = helper_works(BPF_FUNC_find_vma);
	has[FEATURE_UPROBE_MULTI] = can_attach(ATTACH_UPROBE_MULTI);
	has[FEATURE_UPROBE] = has[FEATURE_UPROBE_MULTI] || has_uprobe_pmu();
	has[FEATURE_UPROBE_SESSION] = can_attach(ATTACH_UPROBE_SESSION);
}

static void apply_overrides(struct features *features)
{
	const char *text = getenv("SEEP_WITHOUT");
	_cleanup_free_ char *names = text ? strdup(text) : NULL;
	char *rest = NULL;

	for (char *name = names ? strtok_r(names, ",", &rest) : NULL; name;
	     name = strtok_r(NULL, ",", &rest))
		for (int i = 0; i < FEATURE_COUNT; i++)
			if (!strcmp(name, feature_infos[i].name)) {
				features->overridden[i] = features->has[i];
				features->has[i] = false;
			}
	if (!features->has[FEATURE_UPROBE_MULTI]) /* sessions are links of that kind */
		features->has[FEATURE_UPROBE_SESSION] = false;
}

int features_detect(struct features *features, struct err *err)
{
	_cleanup_close_ int fd = -1;
	struct utsname names;

	memset(features, 0, sizeof(*features));
	if (!uname(&names))
		snprintf(features->kernel, sizeof(features->kernel), "%s", names.release);
	fd = load_trivial(BPF_PROG_TYPE_KPROBE, 0);
	if (fd == -EPERM || fd == -EACCES)
		return err_set(err, EPERM, "the kernel refuses BPF programs to this user; run as root "
					   "(CAP_BPF, CAP_PERFMON and CAP_SYS_ADMIN are needed)");
	if (fd < 0)
		return err_set(err, ENOSYS, "the kernel cannot load BPF programs: %s", strerror(-fd));
	probe_all(features);
	apply_overrides(features);
	return 0;
}

int features_check(const struct features *features, struct err *err)
{
	for (int i = 0; i < FEATURE_COUNT; i++)
		if (feature_infos[i].required && !features->has[i])
			return err_set(err, ENOSYS,
				       "kernel %s lacks %s (%s): Linux %s or newer is needed; 'seep "
				       "doctor' lists everything",
				       features->kernel, feature_infos[i].name,
				       feature_infos[i].purpose, feature_infos[i].since);
	return 0;
}
