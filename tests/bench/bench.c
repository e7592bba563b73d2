/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bench.c - the figures seep promises, measured on this machine and printed as one table.
 *
 *	bench DIR SEEP [pairs|memory|tables|attach|seep]...
 *
 * DIR holds a C library, a dynamic linker and the program 'pairs', copies of our own, so that no
 * other probe is on them (run.sh makes it). Configurations take turns, round by round; a ratio is
 * the median of the rounds' ratios, which a slow phase of the machine does not touch.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/units.h"
#include "elf/elf_file.h"
#include "probe/attach.h"
#include "probe/binaries.h"
#include "probe/session.h"
#include "probe/watch.h"
#include "target/process.h"
#include "unwind/cfi.h"

#include "bench/common.h"

#define ROUNDS	       9
#define PAIRS	       20000 /* a measurement: some 50 ms */
#define SAMPLE_BYTES   (512 << 10)
#define SHORT_FRAMES   10
#define LONG_FRAMES    40
#define LIVE_BLOCKS    1000000
#define ELF_FILES      200
#define LIBRARIES      50
#define LIBRARY_DIR    "/usr/lib/x86_64-linux-gnu"
#define PACED_PAIRS    50000 /* a second: 100,000 events */
#define PACED_SECONDS  12
#define SEEP_RUNS      "10s"
#define STEADY_AFTER_S 3
#define STEADY_S       6
#define ELEMENT_BYTES  96 /* of a ledger table, with the allocator's header */

/* ---- the target --------------------------------------------------------------------------------
 */

static void target_start(struct target *target, const char *dir)
{
	char *argv[] = {"./ld.so", "--library-path", (char *)dir, "./pairs", NULL};

	target_spawn(target, dir, argv, NULL);
}

static double target_pairs(struct target *target, unsigned int count, unsigned int depth)
{
	return target_ask(target, "pairs %u %u\n", count, depth);
}

/* The copy of the C library that the target runs on. */
static const struct binary *target_libc(struct recording *recording)
{
	const struct binary *binary;

	for (uint32_t id = 1; (binary = binaries_by_id(recording->watch.binaries, id)); id++)
		if (strstr(binary->path, "/libc.so"))
			return binary;
	die("the C library of the measured program was not found");
}

/* ---- a pair of malloc and free
 * ------------------------------------------------------------------- */

enum config {
	UNTRACED,
	FLOOR,	 /* empty programs where seep puts its own */
	ENTRIES, /* empty programs at the first instructions of malloc and free */
	EXACT,
	SAMPLED,
	CONFIG_COUNT,
};

struct pairs_bench {
	struct target target;
	struct recording exact, sampled;
	unsigned int short_depth, long_depth;
	double ns[CONFIG_COUNT][ROUNDS];
};

static void attach(struct recording *recording, const struct probe_plan *plan, pid_t pid,
		   enum attach_purpose purpose, struct links *links)
{
	const struct binary *libc = target_libc(recording);
	struct err err = {0};

	if (attach_plan(&recording->session, libc->fd, libc->path, plan, pid, purpose, links, &err))
		die("%s", err.text);
}

/* What a tracer does that knows nothing of instructions: offset 0 of malloc and free. */
static void attach_entries(struct recording *recording, pid_t pid, struct links *links)
{
	const struct probe_plan *plan = &target_libc(recording)->plan;
	struct probe_point points[2];
	struct probe_plan entries = {.items = points};

	for (size_t i = 0; i < plan->count && entries.count < 2; i++) {
		struct probe_point *point = &points[entries.count];

		if (strcmp(plan->items[i].function, "malloc") != 0 &&
		    strcmp(plan->items[i].function, "free") != 0)
			continue;
		*point = plan->items[i];
		point->file_offset -= point->site.offset;
		point->return_file_offset = point->file_offset;
		entries.count++;
	}
	if (entries.count != 2)
		die("no malloc and free among the planned probes");
	attach(recording, &entries, pid, ATTACH_EMPTY, links);
}

static double measure_config(struct pairs_bench *bench, enum config config, unsigned int depth)
{
	struct recording *recording = config == SAMPLED ? &bench->sampled : &bench->exact;
	const struct probe_plan *plan = &target_libc(recording)->plan;
	unsigned int count = config == UNTRACED ? 20 * PAIRS : PAIRS;
	struct links links = {0};
	double ns;

	if (config == FLOOR)
		attach(recording, plan, bench->target.pid, ATTACH_EMPTY, &links);
	else if (config == ENTRIES)
		attach_entries(recording, bench->target.pid, &links);
	else if (config != UNTRACED)
		attach(recording, plan, bench->target.pid, ATTACH_RECORD, &links);
	target_pairs(&bench->target, PAIRS / 10, depth);
	if (config == ENTRIES)
		count /= 4;
	ns = target_pairs(&bench->target, count, depth);
	links_close(&links);
	return ns;
}

/* How deep the target must call for its stacks to have so many frames. */
static unsigned int depth_for(struct pairs_bench *bench, unsigned int frames)
{
	struct counters before = counters_of(&bench->exact), after;
	unsigned int depth = 2, seen;

	measure_config(bench, EXACT, depth);
	after = counters_of(&bench->exact);
	seen = lround((double)(after.walked_frames - before.walked_frames) /
		      (after.walks - before.walks));
	if (seen - depth >= frames)
		die("the stack has %u frames below the first call", seen - depth);
	return frames - (seen - depth);
}

static void pairs_start(struct pairs_bench *bench, const char *dir)
{
	target_start(&bench->target, dir);
	target_pairs(&bench->target, PAIRS, 1); /* its libraries are there */
	recording_start(&bench->exact, 1, bench->target.pid);
	watch_detach(&bench->exact.watch);
	recording_start(&bench->sampled, SAMPLE_BYTES, bench->target.pid);
	watch_detach(&bench->sampled.watch);
	bench->short_depth = depth_for(bench, SHORT_FRAMES);
	bench->long_depth = depth_for(bench, LONG_FRAMES);
}

static void print_pairs(const struct pairs_bench *bench)
{
	const double *floor_ns = bench->ns[FLOOR];

	print_heading("malloc(64) and free, stack of 10 frames");
	print_row("untraced", median(bench->ns[UNTRACED], ROUNDS), "ns", 0);
	print_row("empty programs at the entries of malloc and free",
		  median(bench->ns[ENTRIES], ROUNDS), "ns", 0);
	print_row("empty programs at seep's sites (the floor)", median(floor_ns, ROUNDS), "ns", 0);
	print_row("exact", median(bench->ns[EXACT], ROUNDS), "ns", 0);
	print_row("--sample 512k", median(bench->ns[SAMPLED], ROUNDS), "ns", 0);
	print_row("exact / floor", median_ratio(bench->ns[EXACT], floor_ns, ROUNDS), "x", 1.5);
	print_row("--sample 512k / floor", median_ratio(bench->ns[SAMPLED], floor_ns, ROUNDS), "x",
		  0.85);
}

static void bench_pairs(struct pairs_bench *bench)
{
	for (int round = 0; round < ROUNDS; round++)
		for (int config = 0; config < CONFIG_COUNT; config++)
			bench->ns[config][round] =
			    measure_config(bench, config, bench->short_depth);
	print_pairs(bench);
}

/* ---- frames ------------------------------------------------------------------------------------
 */

struct program_times {
	double call_ns, free_ns; /* of one malloc (entry and return), of one free */
};

static struct program_times programs_ns(struct recording *recording)
{
	const struct seep_bpf *bpf = recording->session.bpf;

	return (struct program_times){
	    .call_ns = run_time_of(bpf->progs.call_enter).ns +
		       run_time_of(bpf->progs.call_return).ns +
		       run_time_of(bpf->progs.call_session).ns,
	    .free_ns = run_time_of(bpf->progs.free_enter).ns,
	};
}

static struct program_times measure_programs(struct pairs_bench *bench, enum config config,
					     unsigned int depth)
{
	struct recording *recording = config == SAMPLED ? &bench->sampled : &bench->exact;
	struct program_times before = programs_ns(recording), after;
	struct counters first = counters_of(recording), last;

	measure_config(bench, config, depth);
	after = programs_ns(recording);
	last = counters_of(recording);
	return (struct program_times){
	    .call_ns = (after.call_ns - before.call_ns) / (last.alloc_hits - first.alloc_hits),
	    .free_ns = (after.free_ns - before.free_ns) / (last.free_hits - first.free_hits),
	};
}

static void bench_frames(struct pairs_bench *bench)
{
	double short_ns[ROUNDS], free_ns[ROUNDS], more_ns[ROUNDS], all_ns[ROUNDS];
	double sampled_ns[ROUNDS], sampled_free_ns[ROUNDS];
	int stats_fd = bpf_enable_stats(BPF_STATS_RUN_TIME);

	if (stats_fd < 0)
		die("the kernel does not measure programs: %s", strerror(-stats_fd));
	for (int round = 0; round < ROUNDS; round++) {
		struct program_times few = measure_programs(bench, EXACT, bench->short_depth);
		struct program_times many = measure_programs(bench, EXACT, bench->long_depth);
		struct program_times rare = measure_programs(bench, SAMPLED, bench->short_depth);

		short_ns[round] = few.call_ns;
		free_ns[round] = few.free_ns;
		more_ns[round] = (many.call_ns - few.call_ns) / (LONG_FRAMES - SHORT_FRAMES);
		all_ns[round] = many.call_ns / LONG_FRAMES;
		sampled_ns[round] = rare.call_ns;
		sampled_free_ns[round] = rare.free_ns;
	}
	close(stats_fd);
	print_heading("time in seep's programs, as the kernel measures it");
	print_row("malloc, exact, 10 frames", median(short_ns, ROUNDS), "ns", 0);
	print_row("free, exact", median(free_ns, ROUNDS), "ns", 0);
	print_row("malloc, --sample 512k", median(sampled_ns, ROUNDS), "ns", 0);
	print_row("free, --sample 512k", median(sampled_free_ns, ROUNDS), "ns", 0);
	print_row("a native frame more (from 10 to 40)", median(more_ns, ROUNDS), "ns", 45);
	print_row("all of malloc / 40 frames", median(all_ns, ROUNDS), "ns", 45);
}

/* ---- memory
 * -------------------------------------------------------------------------------------- */

/* What the kernel accounts to the map or program behind 'fd'; 0 if it is neither. */
static double memory_of_fd(const char *fd)
{
	_cleanup_fclose_ FILE *file = NULL;
	unsigned long long bytes;
	char path[300], line[256];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%s", fd);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "memlock: %llu", &bytes) == 1)
			return bytes;
	return 0;
}

/* Every map and program that this process has. */
static double session_bytes(const struct session *session)
{
	double total = (double)session->shard_count * ROWS_PER_SHARD * sizeof(struct unwind_row);
	_cleanup_closedir_ DIR *dir = opendir("/proc/self/fdinfo");
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		total += memory_of_fd(entry->d_name);
	return total;
}

static double ledger_bytes(const struct session *session)
{
	double total = 0;

	for (uint32_t i = 0; i < session->tier_count; i++) {
		char fd[16];

		snprintf(fd, sizeof(fd), "%d", session->tier_fds[i]);
		total += memory_of_fd(fd);
	}
	return total;
}

/* Bytes of the slabs that ledger elements come from; 0 if the kernel does not tell. */
static double slab_bytes(void)
{
	_cleanup_fclose_ FILE *file = fopen("/proc/slabinfo", "re");
	unsigned long object_bytes, pages, slabs;
	char line[512], name[64];
	double total = 0;

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line,
			   "%63s %*u %*u %lu %*u %lu : tunables %*u %*u %*u : slabdata %*u %lu",
			   name, &object_bytes, &pages, &slabs) == 4 &&
		    strstr(name, "kmalloc") && object_bytes == ELEMENT_BYTES)
			total += (double)slabs * pages * sysconf(_SC_PAGESIZE);
	return total;
}

/* Let the target take blocks, and poll as seep does: ten times a second. */
static void hold_blocks(struct recording *recording, struct target *target, unsigned int count)
{
	struct counters counters = counters_of(recording);
	uint64_t wanted = counters.ledger_inserts + count;

	fprintf(target->commands, "hold %u\n", count);
	while (counters.ledger_inserts < wanted) {
		usleep(100000);
		counters = counters_of(recording);
		for (int reason = 0; reason < LOSS_REASON_COUNT; reason++)
			if (counters.losses[reason])
				die("lost %llu blocks (reason %d) while they were taken",
				    (unsigned long long)counters.losses[reason], reason);
	}
	target_answer(target);
}

/* Live blocks cost elements (with what their slabs waste) and hash buckets. */
static double bytes_per_block(struct recording *recording, struct target *target,
			      unsigned int count)
{
	double slabs = slab_bytes(), waste;

	hold_blocks(recording, target, count);
	waste = slab_bytes() - slabs - (double)count * ELEMENT_BYTES;
	return (ledger_bytes(&recording->session) + (waste > 0 ? waste : 0)) / count;
}

static void bench_memory(const char *dir, const char *seep)
{
	struct recording recording;
	struct target target;
	double few, many;

	target_start(&target, dir);
	target_pairs(&target, 1, 1);
	recording_start(&recording, 1, target.pid);
	print_heading("kernel memory");
	print_row("when idle", session_bytes(&recording.session) / 1e6, "MB", 0);
	few = bytes_per_block(&recording, &target, LIVE_BLOCKS / 5);
	target_stop(&target);
	recording_stop(&recording);

	target_start(&target, dir);
	target_pairs(&target, 1, 1);
	recording_start(&recording, 1, target.pid);
	many = bytes_per_block(&recording, &target, LIVE_BLOCKS);
	print_row("ledger, a live block of 200,000", few, "B", 0);
	print_row("ledger, a live block of 1,000,000", many, "B", 112);
	target_stop(&target);
	recording_stop(&recording);
}

/* ---- unwind tables
 * --------------------------------------------------------------------------------- */

static int is_candidate(const struct dirent *entry)
{
	return entry->d_type == DT_REG;
}

struct table_work {
	size_t files, raw_rows;
	uint64_t cpu_ns;
};

static void compile_file(const char *path, struct table_work *work)
{
	struct cfi_table table = {0};
	struct elf_file elf;
	struct err err = {0};
	volatile uint8_t sink;
	uint64_t begin;

	if (elf_file_open(&elf, path, &err))
		return;
	for (size_t at = 0; at < elf.size; at += 4096)
		sink = elf.data[at]; /* the disk is not what we measure */
	(void)sink;
	begin = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	if (!cfi_compile(&elf, CFI_CALL_SITES, &table, &err) && table.row_count) {
		work->cpu_ns += clock_ns(CLOCK_THREAD_CPUTIME_ID) - begin;
		work->raw_rows += table.raw_row_count;
		work->files++;
	}
	cfi_table_free(&table);
	elf_file_close(&elf);
}

/* Up to 'count' ELF files, evenly from all in 'dir'. */
static void compile_some_of(const char *dir, size_t count, struct table_work *work)
{
	size_t until = work->files + count;
	struct dirent **entries;
	int total = scandir(dir, &entries, is_candidate, alphasort);
	int step = total > (int)(2 * count) ? total / (2 * count) : 1;
	char path[4096];

	for (int first = 0; first < step; first++)
		for (int i = first; i < total && work->files < until; i += step) {
			snprintf(path, sizeof(path), "%s/%s", dir, entries[i]->d_name);
			compile_file(path, work);
		}
	for (int i = 0; i < total; i++)
		free(entries[i]);
	if (total >= 0)
		free(entries);
}

static void bench_tables(const char *dir, const char *seep)
{
	struct table_work work = {0};
	char what[96];

	compile_some_of(LIBRARY_DIR, ELF_FILES / 2, &work);
	compile_some_of("/usr/bin", ELF_FILES - work.files, &work);
	print_heading("unwind tables");
	if (!work.files)
		die("no ELF files in " LIBRARY_DIR);
	snprintf(what, sizeof(what), "a raw row (%zu files, %.1f M rows)", work.files,
		 work.raw_rows / 1e6);
	print_row(what, (double)work.cpu_ns / work.raw_rows, "ns", 150);
}

/* ---- attaching
 * -------------------------------------------------------------------------------------- */

static void bench_attach(const char *dir, const char *seep)
{
	struct recording recording;
	struct target target;
	double mapped, begin_s;
	char what[96];

	target_start(&target, dir);
	mapped = target_ask(&target, "libraries %d %s\n", LIBRARIES, LIBRARY_DIR);
	recording_start(&recording, 1, target.pid);
	snprintf(what, sizeof(what), "to a process with %.0f libraries", mapped);
	print_heading("attaching");
	print_row("loading the BPF programs", recording.open_s, "s", 0);
	print_row(what, recording.attach_s, "s", 1);
	begin_s = clock_ns(CLOCK_MONOTONIC) / 1e9;
	recording_stop(&recording);
	print_row("detaching", clock_ns(CLOCK_MONOTONIC) / 1e9 - begin_s, "s", 0);
	target_stop(&target);
}

/* ---- seep itself
 * ------------------------------------------------------------------------------------- */

static pid_t start_seep(const char *seep, pid_t pid, const char *dir)
{
	char pid_text[16], output[4096];
	pid_t child;

	snprintf(pid_text, sizeof(pid_text), "%d", pid);
	snprintf(output, sizeof(output), "%s/paced.seep", dir);
	child = fork();
	if (child < 0)
		die("fork: %s", strerror(errno));
	if (!child) {
		execl(seep, seep, "record", "-q", "-f", "-p", pid_text, "-i", "2s", "-d", SEEP_RUNS,
		      "-o", output, (char *)NULL);
		_exit(127);
	}
	return child;
}

static double cpu_s(const struct rusage *usage)
{
	return usage->ru_utime.tv_sec + usage->ru_stime.tv_sec +
	       (usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) / 1e6;
}

/* Loading, reading symbols and writing the report come once; the share counts what goes on. */
static void bench_seep(const char *dir, const char *seep)
{
	double pairs, steady_ns;
	struct target target;
	struct rusage usage;
	pid_t child;
	int status;

	target_start(&target, dir);
	target_pairs(&target, 1, 1);
	fprintf(target.commands, "paced %d %d\n", PACED_PAIRS, PACED_SECONDS);
	child = start_seep(seep, target.pid, dir);
	sleep(STEADY_AFTER_S);
	steady_ns = -(double)process_cpu_ns(child);
	sleep(STEADY_S);
	steady_ns += process_cpu_ns(child);
	if (wait4(child, &status, 0, &usage) != child || status)
		die("'%s record' failed", seep);
	pairs = target_answer(&target);
	print_heading("seep record -i 2s");
	print_row("events a second", 2 * pairs / PACED_SECONDS, "", 0);
	print_row("of a core while it records", 100 * steady_ns / 1e9 / STEADY_S, "%", 2);
	print_row("CPU time for all the rest, start and end", cpu_s(&usage) - steady_ns / 1e9, "s",
		  0);
	print_row("largest resident set", usage.ru_maxrss / 1024.0, "MB", 64);
	target_stop(&target);
}

/* ---- what is measured
 * --------------------------------------------------------------------------------- */

static void bench_programs(const char *dir, const char *seep)
{
	static struct pairs_bench bench;

	pairs_start(&bench, dir);
	bench_pairs(&bench);
	bench_frames(&bench);
	recording_stop(&bench.sampled);
	recording_stop(&bench.exact);
	target_stop(&bench.target);
}

static const struct section {
	const char *name;
	void (*run)(const char *dir, const char *seep);
} sections[] = {
    {"pairs", bench_programs}, {"memory", bench_memory}, {"tables", bench_tables},
    {"attach", bench_attach},  {"seep", bench_seep},
};

static bool is_wanted(const char *name, char **names, int count)
{
	for (int i = 0; i < count; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return count == 0;
}

int main(int argc, char **argv)
{
	if (argc < 3)
		die("usage: bench DIR SEEP [pairs|memory|tables|attach|seep]...");
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < ARRAY_LEN(sections); i++)
		if (is_wanted(sections[i].name, argv + 3, argc - 3))
			sections[i].run(argv[1], argv[2]);
	printf("\n%d of the wanted figures over\n", over_count);
	return 0;
}
