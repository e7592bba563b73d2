/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * detect.c - see detect.h
 *
 * The version gives the table of offsets (layouts.c). Before it is believed, what can be seen from
 * here must agree: _Py_DebugOffsets, the type of PyCode_Type, and that the slot of a thread that is
 * in the interpreter's list holds a thread state of that very thread.
 */
#include "python/detect.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "elf/insn_refs.h"
#include "python/eval_range.h"
#include "python/image.h"
#include "python/layouts.h"
#include "python/tss.h"
#include "python/version.h"
#include "target/proc_maps.h"

#define INTERPRETERS_MAX  16  /* of one process that are looked at */
#define THREADS_MAX	  128 /* of each */
#define STATE_CODE_BYTES  128 /* of PyGILState_GetThisThreadState; 27 in real builds */
#define OBJECT_TYPE	  8   /* PyObject.ob_type */

/* ---- memory ---------------------------------------------------------------------------------- */

/* Where process_vm_readv is forbidden (seccomp in containers) or missing. */
static int read_by_file(pid_t pid, uint64_t addr, void *to, size_t bytes)
{
	_cleanup_close_ int fd = -1;
	char path[64];
	ssize_t got;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT || errno == ESRCH ? -ESRCH : -EACCES;
	if (addr > INT64_MAX)
		return -EFAULT;
	got = pread(fd, to, bytes, (off_t)addr);
	if (got == 0) /* the address space is gone */
		return -ESRCH;
	return got == (ssize_t)bytes ? 0 : -EFAULT;
}

int python_read_memory(pid_t pid, uint64_t addr, void *to, size_t bytes)
{
	struct iovec local = {.iov_base = to, .iov_len = bytes};
	struct iovec remote = {.iov_base = (void *)(uintptr_t)addr, .iov_len = bytes};
	ssize_t got;

	if (!bytes)
		return 0;
	got = process_vm_readv(pid, &local, 1, &remote, 1, 0);
	if (got == (ssize_t)bytes)
		return 0;
	if (got < 0 && (errno == ENOSYS || errno == EPERM))
		return read_by_file(pid, addr, to, bytes);
	return got < 0 && errno == ESRCH ? -ESRCH : -EFAULT;
}

static int read_pointer(pid_t pid, uint64_t addr, uint64_t *value)
{
	return python_read_memory(pid, addr, value, sizeof(*value));
}

/* ---- what is being found out ----------------------------------------------------------------- */

struct detection {
	pid_t pid;
	const struct proc_maps *maps;
	const struct python_files *files;
	const struct python_image *image;
	const struct python_places *places;
	struct python_version version;
	uint64_t interpreters; /* user address of the head of the list; 0: unknown */
	struct python_runtime *runtime;
};

__attribute__((format(printf, 2, 3))) static void refuse(struct python_runtime *runtime,
							 const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(runtime->reason, sizeof(runtime->reason), format, args);
	va_end(args);
	runtime->initialized = false;
	runtime->layout = (struct python_layout){.chain = PYTHON_NONE};
}

static bool is_refused(const struct python_runtime *runtime)
{
	return runtime->reason[0];
}

/* ---- is the key right? ----------------------------------------------------------------------- */

/* What the threads of the process say of a place of the slot. */
enum verdict {
	VERDICT_UNKNOWN, /* there is none to ask */
	VERDICT_RIGHT,
	VERDICT_WRONG,
};

/* A thread in the list: its slot holds its thread state, maybe that of another interpreter. */
static enum verdict ask_thread(const struct detection *detection,
			       const struct python_layout *layout, uint64_t tstate)
{
	uint64_t thread, other, state;

	if (read_pointer(detection->pid, tstate + layout->tstate_thread_id, &thread) ||
	    tss_read(detection->pid, layout, thread, &state) || !state)
		return VERDICT_UNKNOWN;
	if (read_pointer(detection->pid, state + layout->tstate_thread_id, &other))
		return VERDICT_WRONG;
	return other == thread ? VERDICT_RIGHT : VERDICT_WRONG;
}

static enum verdict ask_interpreter(const struct detection *detection,
				    const struct python_layout *layout, uint64_t interpreter)
{
	enum verdict result = VERDICT_UNKNOWN;
	uint64_t tstate;

	if (read_pointer(detection->pid, interpreter + detection->places->interpreter_threads,
			 &tstate))
		return VERDICT_UNKNOWN;
	for (size_t i = 0; i < THREADS_MAX && tstate && result != VERDICT_RIGHT; i++) {
		enum verdict told = ask_thread(detection, layout, tstate);

		if (told != VERDICT_UNKNOWN)
			result = told;
		if (read_pointer(detection->pid, tstate + 8, &tstate)) /* PyThreadState.next */
			break;
	}
	return result;
}

static enum verdict ask_all(const struct detection *detection, const struct python_layout *layout)
{
	enum verdict result = VERDICT_UNKNOWN;
	uint64_t interpreter;

	if (!detection->interpreters ||
	    read_pointer(detection->pid, detection->interpreters, &interpreter))
		return VERDICT_UNKNOWN;
	for (size_t i = 0; i < INTERPRETERS_MAX && interpreter && result != VERDICT_RIGHT; i++) {
		enum verdict told = ask_interpreter(detection, layout, interpreter);

		if (told != VERDICT_UNKNOWN)
			result = told;
		if (read_pointer(detection->pid,
				 interpreter + detection->places->interpreter_next, &interpreter))
			break;
	}
	return result;
}

/* ---- the key --------------------------------------------------------------------------------- */

struct libc_place {
	enum tss_libc libc;
	uint16_t musl_offset;
};

/* The C library in use first; those behind it are for programs that contain theirs. */
static size_t libc_places(const struct detection *detection, struct libc_place places[3])
{
	if (detection->files->musl >= 0) {
		places[0] = (struct libc_place){
			TSS_MUSL,
			tss_musl_offset(detection->pid, detection->maps, detection->files->musl)};
		return 1;
	}
	places[0] = (struct libc_place){TSS_GLIBC, 0};
	places[1] = (struct libc_place){TSS_MUSL, TSS_MUSL_12};
	places[2] = (struct libc_place){TSS_MUSL, TSS_MUSL_11};
	return 3;
}

/* Place the slot of a key that is made. */
static enum verdict place_key(struct detection *detection, uint32_t key)
{
	struct python_layout *layout = &detection->runtime->layout;
	struct libc_place places[3];
	size_t count = libc_places(detection, places);
	enum verdict first;

	tss_place(layout, places[0].libc, places[0].musl_offset, key);
	first = ask_all(detection, layout);
	for (size_t i = 1; i < count && first != VERDICT_RIGHT; i++) {
		tss_place(layout, places[i].libc, places[i].musl_offset, key);
		if (ask_all(detection, layout) == VERDICT_RIGHT) {
			detection->runtime->musl = true;
			return VERDICT_RIGHT;
		}
	}
	if (first != VERDICT_RIGHT)
		tss_place(layout, places[0].libc, places[0].musl_offset, key);
	return first;
}

static void place_key_later(struct detection *detection, uint64_t key_addr)
{
	struct libc_place places[3];

	libc_places(detection, places);
	tss_place_later(&detection->runtime->layout, places[0].libc, places[0].musl_offset,
			key_addr);
}

/* A Py_tss_t {int _is_initialized; pthread_key_t _key}; 3.6 has an int that is -1 at first. */
static int read_key(pid_t pid, int minor, uint64_t key_addr, uint32_t words[2])
{
	bool is_int = minor == 6;
	int status;

	words[0] = 1;
	status = python_read_memory(pid, key_addr, is_int ? &words[1] : &words[0],
				    (is_int ? 1 : 2) * sizeof(words[0]));
	if (!status && is_int && (int32_t)words[1] < 0)
		words[0] = 0;
	return status;
}

/* Sets 'initialized'; VERDICT_WRONG: what lies at 'key_addr' is no key, or not the one. */
static int try_key(struct detection *detection, uint64_t key_addr, enum verdict *verdict)
{
	struct python_runtime *runtime = detection->runtime;
	uint32_t words[2];
	int status = read_key(detection->pid, runtime->minor, key_addr, words);

	runtime->initialized = false;
	*verdict = VERDICT_UNKNOWN;
	if (status == -EFAULT || (!status && !words[0])) {
		/* the dynamic linker has not mapped the data yet, or Python has not begun */
		place_key_later(detection, key_addr);
		return 0;
	}
	if (status)
		return status;
	*verdict = VERDICT_WRONG;
	if (words[0] != 1 || words[1] >= TSS_KEYS_MAX)
		return 0;
	*verdict = place_key(detection, words[1]);
	runtime->initialized = true;
	return 0;
}

/*
 * 3.6 has static variables: by name, or as PyGILState_GetThisThreadState (Python/pystate.c) reads
 * them: autoInterpreterState is compared with NULL, then autoTLSkey is loaded.
 */
static uint64_t find_static_key(struct detection *detection)
{
	const struct python_image *image = detection->image;
	struct reference reference;
	size_t length, offset = 0;
	const uint8_t *code;
	Elf64_Sym symbol;

	if (python_image_symbol(image, "autoInterpreterState", &symbol))
		detection->interpreters = symbol.st_value + image->bias;
	if (python_image_symbol(image, "autoTLSkey", &symbol))
		return symbol.st_value + image->bias;
	if (!python_image_symbol(image, "PyGILState_GetThisThreadState", &symbol))
		return 0;
	code = python_image_code(image, &symbol, STATE_CODE_BYTES, &length);
	while (code &&
	       insn_next_reference(code, length, symbol.st_value, &offset, &reference)) {
		if (reference.loads_bytes == sizeof(uint32_t))
			return reference.target + image->bias;
		if (!detection->interpreters)
			detection->interpreters = reference.target + image->bias;
	}
	return 0;
}

/* Which of the places of the key it is, by the size of _PyRuntime and by what the threads say. */
static int find_runtime_key(struct detection *detection, uint16_t *key_offset,
			    enum verdict *verdict)
{
	const struct python_places *places = detection->places;
	uint64_t runtime_bytes = UINT64_MAX;
	Elf64_Sym symbol;
	int status = 0;

	if (python_image_symbol(detection->image, "_PyRuntime", &symbol) && symbol.st_size)
		runtime_bytes = symbol.st_size;
	*verdict = VERDICT_WRONG;
	for (size_t i = 0; i < PYTHON_KEYS_MAX && *verdict == VERDICT_WRONG && !status; i++) {
		if (places->keys[i] == PYTHON_OFFSET_NONE ||
		    places->keys[i] + sizeof(uint64_t) > runtime_bytes)
			continue;
		*key_offset = places->keys[i];
		status = try_key(detection, detection->runtime->runtime + *key_offset, verdict);
	}
	return status;
}

static bool key_is_made(pid_t pid, int minor, uint64_t key_addr)
{
	uint32_t words[2];

	return !read_key(pid, minor, key_addr, words) && words[0];
}

bool python_has_started(pid_t pid, const struct python_runtime *runtime)
{
	const struct python_places *places = python_places_of(runtime->minor);

	if (!places || is_refused(runtime))
		return false;
	if (!runtime->runtime)
		return key_is_made(pid, runtime->minor, runtime->layout.key_addr);
	for (size_t i = 0; i < PYTHON_KEYS_MAX; i++)
		if (places->keys[i] != PYTHON_OFFSET_NONE &&
		    key_is_made(pid, runtime->minor, runtime->runtime + places->keys[i]))
			return true;
	return false;
}

/* The second one of the list whose head is at 'list' exists. */
static bool has_two_interpreters(pid_t pid, uint64_t list, const struct python_places *places)
{
	uint64_t interpreter, next;

	return list && !read_pointer(pid, list, &interpreter) && interpreter &&
	       !read_pointer(pid, interpreter + places->interpreter_next, &next) && next;
}

bool python_gained_interpreter(pid_t pid, const struct python_runtime *runtime)
{
	const struct python_places *places = python_places_of(runtime->minor);

	return places && places->current_tstate != PYTHON_OFFSET_NONE && runtime->runtime &&
	       runtime->initialized && !runtime->layout.current_tstate &&
	       has_two_interpreters(pid, runtime->runtime + places->interpreters, places);
}

/* gilstate.tstate_current is needed only where the slot may be of another interpreter. */
static void find_current_tstate(struct detection *detection, uint16_t key_offset)
{
	const struct python_places *places = detection->places;
	struct python_runtime *runtime = detection->runtime;

	if (places->current_tstate == PYTHON_OFFSET_NONE ||
	    !has_two_interpreters(detection->pid, detection->interpreters, places))
		return;
	runtime->layout.current_tstate =
		runtime->runtime + key_offset - (places->keys[0] - places->current_tstate);
}

static int find_key(struct detection *detection)
{
	struct python_runtime *runtime = detection->runtime;
	enum verdict verdict = VERDICT_WRONG;
	uint16_t key_offset = 0;
	uint64_t key_addr;
	int status = 0;

	if (runtime->minor == 6) {
		key_addr = find_static_key(detection);
		if (key_addr)
			status = try_key(detection, key_addr, &verdict);
	} else {
		detection->interpreters = runtime->runtime + detection->places->interpreters;
		status = find_runtime_key(detection, &key_offset, &verdict);
	}
	if (status)
		return status;
	if (verdict == VERDICT_WRONG)
		refuse(runtime,
		       "the threads of this CPython %s are not where that version keeps them: "
		       "native stacks only",
		       runtime->version);
	else if (runtime->minor > 6)
		find_current_tstate(detection, key_offset);
	return 0;
}

/* ---- one interpreter ------------------------------------------------------------------------- */

/* Everything that the file alone tells against reading frames. */
static void check_version(const struct python_version *version, struct python_runtime *runtime)
{
	if (!version->major)
		refuse(runtime, "a CPython whose version cannot be told: native stacks only");
	else if (version->major != 3)
		refuse(runtime, "CPython %d.%d is not supported: native stacks only",
		       version->major, version->minor);
	else if (!python_layout_of(version->minor))
		refuse(runtime,
		       "CPython 3.%d is not known to this version of seep: native stacks only",
		       version->minor);
	else if (version->free_threaded)
		refuse(runtime,
		       "CPython %s is built without the GIL (free-threaded): native stacks only",
		       version->text);
	else if (version->debug)
		refuse(runtime, "CPython %s is a debug build: native stacks only", version->text);
	else if (version->development)
		refuse(runtime, "CPython %s is a pre-release: native stacks only", version->text);
	else if (version->contradiction[0])
		refuse(runtime,
		       "CPython %s contradicts its _Py_DebugOffsets (%s): native stacks only",
		       version->text, version->contradiction);
	else if (version->minor >= 13 && !version->has_debug_offsets)
		refuse(runtime, "CPython %s without _Py_DebugOffsets: native stacks only",
		       version->text);
}

static void describe(const struct detection *detection, size_t region)
{
	const struct python_version *version = &detection->version;
	const struct python_image *image = detection->image;
	struct python_runtime *runtime = detection->runtime;

	*runtime = (struct python_runtime){
		.found = true,
		.minor = version->major == 3 ? version->minor : -1,
		.patch = version->patch,
		.free_threaded = version->free_threaded,
		.musl = detection->files->musl >= 0,
		.region = region,
		.bias = image->bias,
		.text_start = image->text_start,
		.text_end = image->text_end,
	};
	snprintf(runtime->version, sizeof(runtime->version), "%s", version->text);
	snprintf(runtime->path, sizeof(runtime->path), "%s", image->path);
	if (version->runtime) {
		runtime->runtime = python_image_data(image, "_PyRuntime");
		if (!runtime->runtime)
			runtime->runtime = version->runtime + image->bias;
	}
}

/* The header of objects is two words in release builds; Py_TRACE_REFS puts two before them. */
static void check_code_type(const struct detection *detection)
{
	struct python_runtime *runtime = detection->runtime;
	uint64_t wanted = python_image_data(detection->image, "PyType_Type"), type;

	if (!runtime->layout.code_type || !wanted || !runtime->initialized ||
	    read_pointer(detection->pid, runtime->layout.code_type + OBJECT_TYPE, &type) ||
	    type == wanted)
		return;
	refuse(runtime, "objects of this CPython %s begin in another way (a debug build?): native "
			"stacks only",
	       runtime->version);
}

static int read_layout(struct detection *detection)
{
	struct python_runtime *runtime = detection->runtime;
	int status;

	runtime->layout = *python_layout_of(runtime->minor);
	detection->places = python_places_of(runtime->minor);
	if (runtime->minor > 6 && !runtime->runtime) {
		refuse(runtime, "CPython %s without _PyRuntime: native stacks only",
		       runtime->version);
		return 0;
	}
	runtime->layout.code_type = python_image_data(detection->image, "PyCode_Type");
	if (runtime->layout.chain == PYTHON_EVAL_RANGE &&
	    !python_eval_range_find(detection->image, &runtime->layout)) {
		refuse(runtime, "CPython %s without _PyEval_EvalFrameDefault: native stacks only",
		       runtime->version);
		return 0;
	}
	status = find_key(detection);
	if (!status && !is_refused(runtime))
		check_code_type(detection);
	return status;
}

static int inspect(pid_t pid, const struct proc_maps *maps, const struct python_files *files,
		   size_t region, struct python_runtime *runtime, struct err *err)
{
	struct detection detection = {
		.pid = pid, .maps = maps, .files = files, .runtime = runtime};
	struct python_image image;
	int status = python_image_open(pid, maps, files, region, &image, err);

	if (status)
		return status;
	detection.image = &image;
	python_version_read(&image, &detection.version);
	describe(&detection, region);
	check_version(&detection.version, runtime);
	if (!is_refused(runtime))
		status = read_layout(&detection);
	python_image_close(&image);
	if (status)
		return err_set(err, -status, "cannot read the memory of process %d: %s", pid,
			       strerror(-status));
	return 0;
}

int python_detect(pid_t pid, const struct proc_maps *maps, struct python_runtime *runtime,
		  struct err *err)
{
	struct python_files files;
	int status = python_files_find(pid, maps, &files, err);

	*runtime = (struct python_runtime){.found = false};
	for (size_t i = 0; i < files.interpreter_count && !status; i++) {
		struct python_runtime other;

		status = inspect(pid, maps, &files, files.interpreters[i], &other, err);
		if (!status && (!runtime->found || other.initialized))
			*runtime = other;
		if (runtime->initialized)
			break;
	}
	return status;
}

void python_set_binary(struct python_runtime *runtime, uint32_t binary_id)
{
	struct python_layout *layout = &runtime->layout;

	for (size_t i = 0; i < PYTHON_EVAL_RANGES; i++) {
		if (!layout->eval_bytes[i])
			continue;
		layout->eval_first[i] &= (1ULL << FRAME_PC_BITS) - 1;
		layout->eval_first[i] |= (uint64_t)binary_id << FRAME_PC_BITS;
	}
}

int python_open_file(pid_t pid, const struct proc_maps *maps, const struct python_runtime *runtime,
		     struct err *err)
{
	const struct vm_region *region = proc_maps_at(maps, runtime->text_start);

	if (!region)
		return err_set(err, ENOENT, "'%s' is not mapped any more in process %d",
			       runtime->path, pid);
	return proc_maps_open_file(pid, region, err);
}
