/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * symbolize.c - see symbolize.h
 *
 * The worker takes all queued frames at once and sorts them, which groups them by binary and, in
 * it, by address: each binary is opened once per batch and each compilation unit visited once.
 *
 * What a binary needs is read at its first frame. Symbol tables and debug information are thrown
 * away, least recently used binaries first, when all of them together pass their budgets, and
 * debug information also after a second without work: results were handed over long before.
 *
 * The fields of a binary below the line belong to the worker alone; everything else is under the
 * lock.
 */
#include "profile/symbolize.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/abi_types.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/path.h"
#include "base/table.h"
#include "base/thread.h"
#include "base/units.h"
#include "base/vec.h"
#include "elf/debug_file.h"
#include "elf/demangle.h"
#include "elf/elf_copy.h"
#include "elf/elf_file.h"
#include "elf/lines.h"
#include "elf/symtab.h"

#define SYMTABS_BYTES_MAX  (16UL << 20)
#define LINES_BYTES_MAX	   (12UL << 20) /* beside those of the binary at hand */
#define WORKER_STACK_BYTES (8UL << 20)	/* the demanglers recurse */
#define IDLE_NS		   NS_PER_S

struct binary {
	uint32_t id;
	int fd;
	char *path;
	char *root;
	/* ---- the worker's ---- */
	struct symtab *symtab; /* NULL: not read, or dropped */
	struct lines *lines;   /* NULL: not read, dropped, or there are none */
	bool lines_tried;      /* do not look for them again */
	bool broken;	       /* not an ELF file */
	int lines_fd, alt_fd;  /* what 'lines' reads from */
	uint64_t last_use;
};

struct binaries {
	struct binary **items; /* the items stay where they are when the array grows */
	size_t count, capacity;
};

struct frames {
	uint64_t *items;
	size_t count, capacity;
};

struct finished {
	struct finished *next;
	struct symbol_result result;
};

struct symbolizer {
	bool want_lines;
	char *debug_root;
	pthread_t thread;
	bool thread_started;

	pthread_mutex_t lock;
	pthread_cond_t work; /* something is queued, or stop */
	pthread_cond_t done; /* nothing is pending any more */
	bool stop;
	struct table *seen;	  /* frames ever submitted */
	struct table *binary_ids; /* to indices of 'binaries' */
	struct binaries binaries;
	struct frames queue;
	size_t pending_count;
	struct finished *first, **last;

	/* the worker's */
	struct binary *current; /* the last one looked into */
	uint64_t use_clock;	/* counts changes of 'current' */
};

/* ---- what is known of a binary: loading and dropping
 * ------------------------------------------------ */

static void drop_lines(struct binary *binary)
{
	lines_free(binary->lines);
	binary->lines = NULL;
	close_fd(&binary->lines_fd);
	close_fd(&binary->alt_fd);
	binary->lines_fd = -1;
	binary->alt_fd = -1;
	binary->lines_tried = false;
}

static bool has_dwarf(const struct elf_file *elf)
{
	const Elf64_Shdr *section = elf_file_section(elf, ".debug_info");

	if (!section)
		section = elf_file_section(elf, ".zdebug_info");
	return section && section->sh_type != SHT_NOBITS;
}

/* 'fd' of the file 'elf' is duplicated. */
static void load_lines(struct binary *binary, const struct elf_file *elf, int fd,
		       const struct debug_search *search)
{
	binary->alt_fd = debug_file_open_alt(elf, search);
	binary->lines_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (binary->lines_fd >= 0)
		binary->lines = lines_new(binary->lines_fd, binary->alt_fd, NULL);
	if (!binary->lines)
		drop_lines(binary);
}

/* Read what is missing: the symbols, and the lines if they are wanted. */
static void load_binary(struct symbolizer *symbolizer, struct binary *binary)
{
	const struct debug_search search = {binary->path, binary->root, symbolizer->debug_root};
	struct elf_file elf, debug;
	_cleanup_close_ int debug_fd = -1;
	bool with_debug;

	if (elf_copy_open_fd(&elf, binary->fd, binary->path, NULL)) {
		binary->lines_tried = true;
		binary->broken = true;
		return;
	}
	debug_fd = debug_file_open(&elf, &search);
	with_debug = debug_fd >= 0 && !elf_copy_open_fd(&debug, debug_fd, binary->path, NULL);
	if (!binary->symtab)
		binary->symtab = symtab_new(&elf, with_debug ? &debug : NULL);
	if (symbolizer->want_lines && !binary->lines_tried) {
		if (has_dwarf(&elf))
			load_lines(binary, &elf, binary->fd, &search);
		else if (with_debug && has_dwarf(&debug))
			load_lines(binary, &debug, debug_fd, &search);
	}
	binary->lines_tried = true;
	if (with_debug)
		elf_file_close(&debug);
	elf_file_close(&elf);
}

static size_t symtab_cost(const struct binary *binary)
{
	return binary->symtab ? symtab_bytes(binary->symtab) : 0;
}

static size_t lines_cost(const struct binary *binary)
{
	return binary->lines ? lines_bytes(binary->lines) : 0;
}

static void drop_symtab(struct binary *binary)
{
	symtab_free(binary->symtab);
	binary->symtab = NULL;
}

/*
 * Drop what 'cost' counts of the binaries used longest ago, but not of 'kept' (may be NULL), until
 * 'budget' holds. Returns true if there was something to drop.
 */
static bool keep_budget(struct binaries *binaries, const struct binary *kept, size_t budget,
			size_t (*cost)(const struct binary *), void (*drop)(struct binary *))
{
	bool dropped = false;

	for (;;) {
		struct binary *oldest = NULL;
		size_t total = 0;

		vec_for_each (binary, binaries) {
			size_t bytes = cost(*binary);

			total += bytes;
			if (bytes && *binary != kept &&
			    (!oldest || (*binary)->last_use < oldest->last_use))
				oldest = *binary;
		}
		if (total <= budget || !oldest)
			return dropped;
		drop(oldest);
		dropped = true;
	}
}

/* Before work on another binary than the last one; returns true if memory became free. */
static bool make_room(struct symbolizer *symbolizer, struct binary *binary)
{
	if (binary == symbolizer->current)
		return false;
	symbolizer->current = binary;
	binary->last_use = ++symbolizer->use_clock;
	keep_budget(&symbolizer->binaries, binary, SYMTABS_BYTES_MAX, symtab_cost, drop_symtab);
	return keep_budget(&symbolizer->binaries, binary, LINES_BYTES_MAX, lines_cost, drop_lines);
}

static void prepare_binary(struct symbolizer *symbolizer, struct binary *binary)
{
	if (binary->broken)
		return;
	if (!binary->symtab || (symbolizer->want_lines && !binary->lines_tried))
		load_binary(symbolizer, binary);
}

/* ---- one frame
 * ------------------------------------------------------------------------------------------ */

static struct symbol_line *add_line(struct symbol_result *result, char *function)
{
	struct symbol_line *line;

	if (!function)
		return NULL;
	line = &result->lines[result->line_count++];
	*line = (struct symbol_line){.function = function};
	return line;
}

static char *offset_name(const struct symbol_result *result)
{
	char *name;

	if (asprintf(&name, "%s+0x%llx", result->module ? path_base(result->module) : "unknown",
		     (unsigned long long)result->offset) < 0)
		return NULL;
	return name;
}

static bool is_mangled(const char *name)
{
	return name[0] == '_' && (name[1] == 'Z' || name[1] == 'R');
}

/*
 * The name of a function that is not inlined. An exported name is what people know ("malloc"),
 * DWARF may have the alias it was defined by ("__libc_malloc"). Of local functions DWARF has the
 * better one (no ".part.0"), unless it leaves out the mangled name: then only the symbol knows
 * namespace and class.
 */
static char *function_name(const struct symbol_result *result, const struct symbol *symbol,
			   const char *dwarf_name)
{
	if (!symbol && !dwarf_name)
		return offset_name(result);
	if (!dwarf_name)
		return demangle(symbol->name);
	if (symbol && (symbol->is_global || (is_mangled(symbol->name) && !is_mangled(dwarf_name))))
		return demangle(symbol->name);
	return demangle(dwarf_name);
}

static int fill_lines(struct symbol_result *result, const struct symbol *symbol,
		      const struct line_frame *frames, size_t count)
{
	result->lines = calloc(count, sizeof(*result->lines));
	if (!result->lines)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		const struct line_frame *frame = &frames[i];
		const char *inlined_name = frame->function ?: "[inlined function]";
		struct symbol_line *line = add_line(
		    result, frame->inlined ? demangle(inlined_name)
					   : function_name(result, symbol, frame->function));

		if (!line)
			return -ENOMEM;
		line->file = frame->file ? strdup(frame->file) : NULL;
		line->line = frame->line;
		line->inlined = frame->inlined;
	}
	return 0;
}

static int resolve_native(struct symbolizer *symbolizer, struct binary *binary,
			  struct symbol_result *result)
{
	struct line_frame frames[LINES_INLINE_MAX];
	const struct symbol *symbol = NULL;
	size_t count = 0;

	if (binary) {
		result->module = strdup(binary->path);
		if (!result->module)
			return -ENOMEM;
		prepare_binary(symbolizer, binary);
		if (binary->symtab)
			symbol = symtab_at(binary->symtab, result->offset);
		if (binary->lines)
			count = lines_at(binary->lines, result->offset, frames);
	}
	if (!count) {
		frames[0] = (struct line_frame){0};
		count = 1;
	}
	return fill_lines(result, symbol, frames, count);
}

static int resolve_raw(struct symbol_result *result)
{
	char *name;

	result->lines = calloc(1, sizeof(*result->lines));
	if (!result->lines || asprintf(&name, "0x%llx", (unsigned long long)result->offset) < 0)
		return -ENOMEM;
	add_line(result, name);
	return 0;
}

void symbol_result_free(struct symbol_result *result)
{
	for (size_t i = 0; i < result->line_count; i++) {
		free(result->lines[i].function);
		free(result->lines[i].file);
	}
	free(result->lines);
	free(result->module);
	*result = (struct symbol_result){0};
}

/* ---- the worker
 * -------------------------------------------------------------------------------------------- */

static struct binary *find_binary(struct symbolizer *symbolizer, uint32_t id)
{
	ssize_t index = table_find(symbolizer->binary_ids, &id);

	return index < 0 ? NULL : symbolizer->binaries.items[index];
}

/* The answer to 'frame', NULL when memory is out. 'binary': NULL if unknown or none is needed. */
static struct finished *resolve_frame(struct symbolizer *symbolizer, uint64_t frame,
				      struct binary *binary)
{
	struct finished *finished = calloc(1, sizeof(*finished));
	bool native = frame >> FRAME_TAG_SHIFT == FRAME_NATIVE;
	int status;

	if (!finished)
		return NULL;
	finished->result.frame = frame;
	finished->result.offset =
	    frame & ((1ULL << (native ? FRAME_PC_BITS : FRAME_TAG_SHIFT)) - 1);
	status = native ? resolve_native(symbolizer, binary, &finished->result)
			: resolve_raw(&finished->result);
	if (!status)
		return finished;
	symbol_result_free(&finished->result);
	free(finished);
	return NULL;
}

/* Called with the lock held. */
static void deliver(struct symbolizer *symbolizer, struct finished *finished)
{
	if (finished) {
		*symbolizer->last = finished;
		symbolizer->last = &finished->next;
	}
	if (!--symbolizer->pending_count)
		pthread_cond_broadcast(&symbolizer->done);
}

/* Called with the lock held, which it gives up while it works. */
static void run_frame(struct symbolizer *symbolizer, uint64_t frame)
{
	struct binary *binary = NULL;
	struct finished *finished;
	bool freed;

	if (frame >> FRAME_TAG_SHIFT == FRAME_NATIVE)
		binary = find_binary(symbolizer, frame >> FRAME_PC_BITS);
	freed = binary && make_room(symbolizer, binary);
	pthread_mutex_unlock(&symbolizer->lock);
	if (freed)
		malloc_trim(0);
	finished = resolve_frame(symbolizer, frame, binary);
	pthread_mutex_lock(&symbolizer->lock);
	deliver(symbolizer, finished);
}

static int by_value(const void *left, const void *right)
{
	const uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return (a > b) - (a < b);
}

static void run_batch(struct symbolizer *symbolizer)
{
	struct frames batch = symbolizer->queue;

	if (!batch.count)
		return;
	symbolizer->queue = (struct frames){0};
	qsort(batch.items, batch.count, sizeof(*batch.items), by_value);
	for (size_t i = 0; i < batch.count && !symbolizer->stop; i++)
		run_frame(symbolizer, batch.items[i]);
	free(batch.items);
}

static void go_idle(struct symbolizer *symbolizer)
{
	keep_budget(&symbolizer->binaries, NULL, SYMTABS_BYTES_MAX, symtab_cost, drop_symtab);
	if (keep_budget(&symbolizer->binaries, NULL, 0, lines_cost, drop_lines))
		malloc_trim(0);
}

static struct timespec time_after(uint64_t ns)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	time.tv_sec += ns / NS_PER_S;
	time.tv_nsec += ns % NS_PER_S;
	if (time.tv_nsec >= (long)NS_PER_S) {
		time.tv_sec++;
		time.tv_nsec -= NS_PER_S;
	}
	return time;
}

/* Wait until there is work or we are to stop; called with the lock held. */
static void wait_for_work(struct symbolizer *symbolizer)
{
	struct timespec idle_at = time_after(IDLE_NS);
	int status = 0;

	while (!symbolizer->stop && !symbolizer->queue.count && status != ETIMEDOUT)
		status = pthread_cond_timedwait(&symbolizer->work, &symbolizer->lock, &idle_at);
	if (status == ETIMEDOUT)
		go_idle(symbolizer);
	while (!symbolizer->stop && !symbolizer->queue.count)
		pthread_cond_wait(&symbolizer->work, &symbolizer->lock);
}

static void *run_worker(void *opaque)
{
	struct symbolizer *symbolizer = opaque;

	pthread_mutex_lock(&symbolizer->lock);
	while (!symbolizer->stop) {
		run_batch(symbolizer);
		wait_for_work(symbolizer);
	}
	pthread_mutex_unlock(&symbolizer->lock);
	return NULL;
}

/* ---- life cycle
 * ------------------------------------------------------------------------------------------------
 */

static void init_locks(struct symbolizer *symbolizer)
{
	pthread_condattr_t attributes;

	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_mutex_init(&symbolizer->lock, NULL);
	pthread_cond_init(&symbolizer->work, &attributes);
	pthread_cond_init(&symbolizer->done, &attributes);
	pthread_condattr_destroy(&attributes);
}

struct symbolizer *symbolizer_new(const struct symbolizer_options *options, struct err *err)
{
	struct symbolizer *symbolizer = calloc(1, sizeof(*symbolizer));
	int status;

	if (!symbolizer) {
		err_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	init_locks(symbolizer);
	symbolizer->last = &symbolizer->first;
	symbolizer->want_lines = options->want_lines;
	symbolizer->debug_root = strdup(options->debug_root ?: DEBUG_DIR_DEFAULT);
	symbolizer->seen = table_new(sizeof(uint64_t));
	symbolizer->binary_ids = table_new(sizeof(uint32_t));
	if (!symbolizer->debug_root || !symbolizer->seen || !symbolizer->binary_ids) {
		err_set(err, ENOMEM, "out of memory");
		symbolizer_free(symbolizer);
		return NULL;
	}
	status = thread_start(&symbolizer->thread, WORKER_STACK_BYTES, run_worker, symbolizer);
	symbolizer->thread_started = !status;
	if (status) {
		err_set(err, -status, "cannot start a thread: %s", strerror(-status));
		symbolizer_free(symbolizer);
		return NULL;
	}
	return symbolizer;
}

static void binary_free(struct binary *binary)
{
	drop_lines(binary);
	drop_symtab(binary);
	close_fd(&binary->fd);
	free(binary->path);
	free(binary->root);
	free(binary);
}

static void stop_worker(struct symbolizer *symbolizer)
{
	if (!symbolizer->thread_started)
		return;
	pthread_mutex_lock(&symbolizer->lock);
	symbolizer->stop = true;
	pthread_cond_signal(&symbolizer->work);
	pthread_mutex_unlock(&symbolizer->lock);
	pthread_join(symbolizer->thread, NULL);
}

void symbolizer_free(struct symbolizer *symbolizer)
{
	struct symbol_result result;

	if (!symbolizer)
		return;
	stop_worker(symbolizer);
	while (symbolizer_collect(symbolizer, &result))
		symbol_result_free(&result);
	vec_for_each (binary, &symbolizer->binaries)
		binary_free(*binary);
	free(symbolizer->binaries.items);
	free(symbolizer->queue.items);
	table_free(symbolizer->seen);
	table_free(symbolizer->binary_ids);
	free(symbolizer->debug_root);
	pthread_cond_destroy(&symbolizer->work);
	pthread_cond_destroy(&symbolizer->done);
	pthread_mutex_destroy(&symbolizer->lock);
	free(symbolizer);
}

/* ---- requests and results
 * ----------------------------------------------------------------------------------------- */

static struct binary *binary_new(uint32_t id, int fd, const char *path, const char *root)
{
	struct binary *binary = calloc(1, sizeof(*binary));

	if (!binary)
		return NULL;
	*binary = (struct binary){.id = id, .lines_fd = -1, .alt_fd = -1};
	binary->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	binary->path = strdup(path);
	binary->root = strdup(root ?: "");
	if (binary->fd >= 0 && binary->path && binary->root)
		return binary;
	binary_free(binary);
	return NULL;
}

/* Called with the lock held. Takes 'binary' over if it returns 0. */
static int insert_binary(struct symbolizer *symbolizer, struct binary *binary)
{
	struct binary **slot;
	bool added;

	if (table_find(symbolizer->binary_ids, &binary->id) >= 0)
		return -EEXIST;
	slot = vec_add(&symbolizer->binaries);
	if (!slot)
		return -ENOMEM;
	if (table_add(symbolizer->binary_ids, &binary->id, &added) < 0) {
		symbolizer->binaries.count--;
		return -ENOMEM;
	}
	*slot = binary;
	return 0;
}

int symbolizer_add_binary(struct symbolizer *symbolizer, uint32_t binary_id, int fd,
			  const char *path, const char *root)
{
	struct binary *binary;
	int status;

	errno = ENOMEM;
	binary = binary_new(binary_id, fd, path, root);
	if (!binary)
		return -errno;
	pthread_mutex_lock(&symbolizer->lock);
	status = insert_binary(symbolizer, binary);
	pthread_mutex_unlock(&symbolizer->lock);
	if (status)
		binary_free(binary);
	return status;
}

/* Called with the lock held. */
static int queue_frame(struct symbolizer *symbolizer, uint64_t frame)
{
	uint64_t *slot;
	bool added;

	if (table_find(symbolizer->seen, &frame) >= 0)
		return 0;
	slot = vec_add(&symbolizer->queue);
	if (!slot)
		return -ENOMEM;
	if (table_add(symbolizer->seen, &frame, &added) < 0) {
		symbolizer->queue.count--;
		return -ENOMEM;
	}
	*slot = frame;
	symbolizer->pending_count++;
	pthread_cond_signal(&symbolizer->work);
	return 0;
}

int symbolizer_submit(struct symbolizer *symbolizer, uint64_t frame)
{
	uint64_t tag = frame >> FRAME_TAG_SHIFT;
	int status;

	if (tag != FRAME_NATIVE && tag != FRAME_RAW)
		return -EINVAL;
	pthread_mutex_lock(&symbolizer->lock);
	status = queue_frame(symbolizer, frame);
	pthread_mutex_unlock(&symbolizer->lock);
	return status;
}

bool symbolizer_collect(struct symbolizer *symbolizer, struct symbol_result *result)
{
	struct finished *finished;

	pthread_mutex_lock(&symbolizer->lock);
	finished = symbolizer->first;
	if (finished) {
		symbolizer->first = finished->next;
		if (!symbolizer->first)
			symbolizer->last = &symbolizer->first;
	}
	pthread_mutex_unlock(&symbolizer->lock);
	if (!finished)
		return false;
	*result = finished->result;
	free(finished);
	return true;
}

size_t symbolizer_wait(struct symbolizer *symbolizer, int timeout_ms)
{
	struct timespec until = time_after(timeout_ms > 0 ? timeout_ms * NS_PER_MS : 0);
	size_t pending;
	int status = 0;

	pthread_mutex_lock(&symbolizer->lock);
	while (symbolizer->pending_count && status != ETIMEDOUT)
		status = pthread_cond_timedwait(&symbolizer->done, &symbolizer->lock, &until);
	pending = symbolizer->pending_count;
	pthread_mutex_unlock(&symbolizer->lock);
	return pending;
}
