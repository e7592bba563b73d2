/* SPDX-License-Identifier: GPL-2.0-only */
/* session.c - see session.h */
#include "probe/session.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "base/vec.h"
#include "probe/bpf_raw.h"
#include "probe/sample_tables.h"

#include "../../bpf/sample.bpf.h"
#include "seep.skel.h"

#define FIRST_TIER_BLOCKS (128ULL << 10)
#define SITE_BATCH	  512
#define SWEEP_BATCH	  4096
#define SWEEP_STEPS	  8 /* batches per session_poll() */

/* PROC_PID_INIT_INO, include/linux/proc_ns.h: the initial pid namespace has this inode, always. */
#define INITIAL_PID_NAMESPACE 0xEFFFFFFCU

/* ---- loading --------------------------------------------------------------------------------- */

static int print_libbpf(enum libbpf_print_level level, const char *format, va_list args)
{
	if (log_get_level() >= LOG_VERBOSE && level != LIBBPF_DEBUG)
		vfprintf(stderr, format, args); /* verifier logs have many lines */
	return 0;
}

/*
 * Before Linux 5.11 maps counted as locked memory; and where uprobe_multi is missing each probe
 * takes two files. Failure is no error: who runs out of one of them says so.
 */
static void raise_limits(void)
{
	struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY}, files;

	setrlimit(RLIMIT_MEMLOCK, &unlimited);
	if (getrlimit(RLIMIT_NOFILE, &files))
		return;
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
}

/* The kernel names processes by their ids in the initial namespace, /proc and our user by ours. */
static int check_pid_namespace(struct err *err)
{
	struct stat namespace;

	if (stat("/proc/self/ns/pid", &namespace))
		return err_set(err, errno, "cannot read '/proc/self/ns/pid': %m");
	if (namespace.st_ino == INITIAL_PID_NAMESPACE)
		return 0;
	return err_set(
	    err, EPERM,
	    "cannot tell processes apart from inside a pid namespace; run on the host, or "
	    "in a container that shares its process ids (--pid=host)");
}

/* Either entry and return programs, or one session program; attach types as they will be used. */
static void choose_programs(struct session *session)
{
	bool multi = session->features.has[FEATURE_UPROBE_MULTI];
	bool sessions = session->features.has[FEATURE_UPROBE_SESSION];
	struct bpf_program *program;

	bpf_object__for_each_program(program, session->bpf->obj)
	{
		const char *name = bpf_program__name(program);
		bool is_session = strstr(name, "_session") != NULL;
		bool is_half = !strcmp(name, "call_enter") || !strcmp(name, "call_return") ||
			       !strcmp(name, "region_enter") || !strcmp(name, "region_return");

		if (bpf_program__type(program) != BPF_PROG_TYPE_KPROBE)
			continue;
		bpf_program__set_autoload(program, is_session ? sessions : !(is_half && sessions));
		if (is_session)
			bpf_program__set_expected_attach_type(program, ATTACH_UPROBE_SESSION);
		else if (multi)
			bpf_program__set_expected_attach_type(program, ATTACH_UPROBE_MULTI);
	}
}

static uint32_t tiers_for(uint64_t max_blocks)
{
	uint64_t capacity = FIRST_TIER_BLOCKS;
	uint32_t tiers = 1;

	while (capacity < max_blocks && tiers < LEDGER_MAX_TIERS) {
		capacity *= 2;
		tiers++;
	}
	return tiers;
}

/* Tier 0 has the first capacity, each further one as much as all before it. The only one of a
 * ledger smaller than that has just what was asked for. */
static uint32_t tier_capacity(const struct session *session, uint32_t tier)
{
	if (session->tier_limit == 1 && session->options.max_blocks < FIRST_TIER_BLOCKS)
		return session->options.max_blocks;
	return FIRST_TIER_BLOCKS << (tier ? tier - 1 : 0);
}

static int create_tier(const struct session *session, uint32_t tier)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_NO_PREALLOC);
	int fd = bpf_map_create(BPF_MAP_TYPE_HASH, "seep_ledger", sizeof(struct block_key),
				sizeof(struct block), tier_capacity(session, tier), &options);

	return fd < 0 ? -errno : fd;
}

static int add_tier(struct session *session)
{
	int outer = bpf_map__fd(session->bpf->maps.ledger), fd;
	uint32_t tier = session->tier_count;

	fd = create_tier(session, tier);
	if (fd < 0)
		return fd;
	if (bpf_map_update_elem(outer, &tier, &fd, BPF_ANY)) {
		close(fd);
		return -errno;
	}
	session->tier_fds[tier] = fd;
	session->tier_count++;
	__atomic_store_n(&session->bpf->bss->tier_count, session->tier_count, __ATOMIC_RELEASE);
	return 0;
}

/* Always one table ahead of the one being filled: a burst must not outrun us. */
int session_grow_ledger(struct session *session)
{
	uint32_t current_tier = __atomic_load_n(&session->bpf->bss->tier_current, __ATOMIC_RELAXED);

	while (session->tier_count < session->tier_limit &&
	       session->tier_count < current_tier + 2) {
		int status = add_tier(session);

		if (status)
			return status;
	}
	return 0;
}

static int publish_sample_tables(struct session *session, struct err *err)
{
	_cleanup_free_ struct sample_tables *tables = malloc(sizeof(*tables));
	uint32_t zero = 0;

	if (!tables)
		return err_set(err, ENOMEM, "out of memory");
	sample_tables_fill(tables);
	if (bpf_map_update_elem(bpf_map__fd(session->bpf->maps.sampling), &zero, tables, BPF_ANY))
		return err_set(err, errno, "cannot fill the sampling table: %m");
	return 0;
}

static int load(struct session *session, struct err *err)
{
	int status;

	session->bpf = seep_bpf__open();
	if (!session->bpf)
		return err_set(err, errno, "cannot open the BPF object: %m");
	choose_programs(session);
	session->bpf->rodata->sample_bytes = session->options.sample_bytes;
	session->bpf->rodata->links_filtered = session->options.links_filtered;
	session->bpf->rodata->tier_limit = session->tier_limit;
	session->bpf->bss->count_only = session->options.count_only;
	bpf_map__set_max_entries(session->bpf->maps.scratches,
				 SCRATCH_SLOTS * libbpf_num_possible_cpus());
	status = seep_bpf__load(session->bpf);
	if (status == -EPERM || status == -EACCES)
		return err_set(err, EPERM, "the kernel refused the BPF programs (%s); run as root",
			       strerror(-status));
	if (status)
		return err_set(err, -status,
			       "the kernel refused the BPF programs: %s (details: -v)",
			       strerror(-status));
	return 0;
}

static int map_mappings(struct session *session, struct err *err)
{
	void *memory = mmap(NULL, sizeof(struct mapping) * MAPPINGS_MAX, PROT_READ | PROT_WRITE,
			    MAP_SHARED, bpf_map__fd(session->bpf->maps.mappings), 0);

	if (memory == MAP_FAILED)
		return err_set(err, errno, "cannot map the kernel's mapping table: %m");
	session->mappings = memory;
	return 0;
}

static int on_ring_record(void *context, void *data, size_t bytes)
{
	struct session *session = context;

	if (bytes < sizeof(struct record_head) || !session->on_record)
		return 0;
	return session->on_record(session->context, data, bytes);
}

/* exec, fork and exit; their links are freed with the object. */
static int attach_process_events(struct session *session, struct err *err)
{
	struct seep_bpf *bpf = session->bpf;

	bpf->links.process_exec = bpf_program__attach(bpf->progs.process_exec);
	bpf->links.process_fork = bpf_program__attach(bpf->progs.process_fork);
	bpf->links.process_exit = bpf_program__attach(bpf->progs.process_exit);
	if (!bpf->links.process_exec || !bpf->links.process_fork || !bpf->links.process_exit)
		return err_set(err, errno, "cannot watch exec, fork and exit of processes: %m");
	return 0;
}

static int prepare(struct session *session, struct err *err)
{
	int status = publish_sample_tables(session, err);

	if (!status)
		status = attach_process_events(session, err);
	if (!status)
		status = map_mappings(session, err);
	if (status)
		return status;
	status = session_grow_ledger(session);
	if (status)
		return err_set(err, -status, "cannot create the ledger: %s", strerror(-status));
	session->ring =
	    ring_buffer__new(bpf_map__fd(session->bpf->maps.ring), on_ring_record, session, NULL);
	if (!session->ring)
		return err_set(err, errno, "cannot open the ring buffer: %m");
	session->cpu_count = libbpf_num_possible_cpus();
	session->cpu_counters =
	    calloc(session->cpu_count > 0 ? session->cpu_count : 1, sizeof(struct counters));
	if (session->cpu_count <= 0 || !session->cpu_counters)
		return err_set(err, ENOMEM, "out of memory");
	return 0;
}

int session_open(struct session *session, const struct session_options *options, struct err *err)
{
	int status;

	memset(session, 0, sizeof(*session));
	session->options = *options;
	libbpf_set_print(print_libbpf);
	raise_limits();
	status = check_pid_namespace(err);
	if (!status)
		status = features_detect(&session->features, err);
	if (!status)
		status = features_check(&session->features, err);
	if (status)
		return status;
	session->tier_limit = tiers_for(options->max_blocks);
	status = load(session, err);
	if (!status)
		status = prepare(session, err);
	if (status)
		session_close(session);
	return status;
}

void session_close(struct session *session)
{
	ring_buffer__free(session->ring);
	for (uint32_t i = 0; i < session->tier_count; i++)
		close(session->tier_fds[i]);
	for (uint32_t i = 0; i < session->shard_count; i++)
		munmap(session->shards[i], sizeof(struct unwind_row) * ROWS_PER_SHARD);
	if (session->mappings)
		munmap(session->mappings, sizeof(struct mapping) * MAPPINGS_MAX);
	seep_bpf__destroy(session->bpf);
	free(session->cpu_counters);
	free(session->dead_generations.items);
	memset(session, 0, sizeof(*session));
}

/* ---- reading --------------------------------------------------------------------------------- */

int session_ring_fd(const struct session *session)
{
	return ring_buffer__epoll_fd(session->ring);
}

int session_read_sites(struct session *session,
		       int (*on_site)(void *context, const struct site_key *key,
				      const struct site *site),
		       void *context, struct err *err)
{
	_cleanup_free_ struct site_key *keys = calloc(SITE_BATCH, sizeof(*keys));
	_cleanup_free_ struct site *sites = calloc(SITE_BATCH, sizeof(*sites));
	int fd = bpf_map__fd(session->bpf->maps.sites), status = 0;
	uint32_t cursor = 0, count;
	bool begun = false;

	if (!keys || !sites)
		return err_set(err, ENOMEM, "out of memory");
	while (!status) {
		count = SITE_BATCH;
		status = bpf_map_lookup_batch(fd, begun ? &cursor : NULL, &cursor, keys, sites,
					      &count, NULL);
		if (status && errno != ENOENT)
			return err_set(err, errno, "cannot read the site table: %m");
		for (uint32_t i = 0; i < count; i++) {
			int result = on_site(context, &keys[i], &sites[i]);

			if (result)
				return result;
		}
		begun = true;
	}
	return 0;
}

int session_read_counters(struct session *session, struct counters *sum)
{
	uint32_t zero = 0;

	if (bpf_map_lookup_elem(bpf_map__fd(session->bpf->maps.counts), &zero,
				session->cpu_counters))
		return -errno;
	memset(sum, 0, sizeof(*sum));
	for (int cpu = 0; cpu < session->cpu_count; cpu++) {
		const uint64_t *from = (const void *)&session->cpu_counters[cpu];
		uint64_t *to = (void *)sum;

		for (size_t i = 0; i < sizeof(*sum) / sizeof(*to); i++)
			to[i] += from[i];
	}
	return 0;
}

/* ---- blocks of ended processes --------------------------------------------------------------- */

void session_forget_blocks(struct session *session, uint32_t generation)
{
	uint32_t *item = vec_add(&session->dead_generations);

	if (item)
		*item = generation;
}

static int compare_generations(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

	return (left > right) - (left < right);
}

/* Those that are dead now are searched for in all tiers; who dies meanwhile waits for the next
 * pass, so that each pass ends, however often processes do. */
static void begin_pass(struct session *session)
{
	session->pass_count = session->dead_generations.count;
	session->sweep_tier = 0;
	session->sweep_begun = false;
	if (session->pass_count)
		qsort(session->dead_generations.items, session->pass_count, sizeof(uint32_t),
		      compare_generations);
}

static void end_pass(struct session *session)
{
	session->dead_generations.count -= session->pass_count;
	memmove(session->dead_generations.items,
		session->dead_generations.items + session->pass_count,
		session->dead_generations.count * sizeof(uint32_t));
	begin_pass(session);
}

static bool is_dead(const struct session *session, uint32_t generation)
{
	return bsearch(&generation, session->dead_generations.items, session->pass_count,
		       sizeof(generation), compare_generations);
}

/* The tables that are swept: the tiers, then the code objects, whose keys are alike. */
static int sweep_fd(const struct session *session)
{
	if (session->sweep_tier < session->tier_count)
		return session->tier_fds[session->sweep_tier];
	return bpf_map__fd(session->bpf->maps.codes);
}

/* One batch of one table. Returns false when the last one is through. */
static bool sweep_batch(struct session *session, struct block_key *keys, struct block *blocks)
{
	int fd = sweep_fd(session), status;
	uint32_t count = SWEEP_BATCH;

	status = bpf_map_lookup_batch(fd, session->sweep_begun ? &session->sweep_cursor : NULL,
				      &session->sweep_cursor, keys, blocks, &count, NULL);
	if (status && errno != ENOENT)
		count = 0;
	for (uint32_t i = 0; i < count; i++)
		if (is_dead(session, keys[i].generation))
			bpf_map_delete_elem(fd, &keys[i]);
	session->sweep_begun = true;
	if (!status)
		return true;
	session->sweep_begun = false;
	return ++session->sweep_tier <= session->tier_count;
}

static void sweep_dead_blocks(struct session *session)
{
	_cleanup_free_ struct block_key *keys = NULL;
	_cleanup_free_ struct block *blocks = NULL;

	if (!session->pass_count)
		begin_pass(session);
	if (!session->pass_count)
		return;
	keys = calloc(SWEEP_BATCH, sizeof(*keys));
	blocks = calloc(SWEEP_BATCH, sizeof(*blocks));
	for (int step = 0; keys && blocks && session->pass_count && step < SWEEP_STEPS; step++)
		if (!sweep_batch(session, keys, blocks))
			end_pass(session);
}

void session_forget_sites(struct session *session, const struct site_key *keys, size_t count)
{
	int fd = bpf_map__fd(session->bpf->maps.sites);

	for (size_t i = 0; i < count; i++)
		bpf_map_delete_elem(fd, &keys[i]);
}

int session_poll(struct session *session,
		 int (*on_record)(void *context, const struct record_head *record, size_t bytes),
		 void *context)
{
	int count;

	session->on_record = on_record;
	session->context = context;
	session_grow_ledger(session);
	count = ring_buffer__consume(session->ring);
	session_grow_ledger(session);
	sweep_dead_blocks(session);
	return count;
}

/* ---- settings -------------------------------------------------------------------------------- */

uint32_t session_next_generation(struct session *session)
{
	return __atomic_add_fetch(&session->bpf->bss->last_generation, 1, __ATOMIC_RELAXED);
}

void session_set_age(struct session *session, uint32_t age)
{
	__atomic_store_n(&session->bpf->bss->current_age, age, __ATOMIC_RELAXED);
}

void session_set_settling(struct session *session, bool settling)
{
	__atomic_store_n(&session->bpf->bss->settling, settling, __ATOMIC_RELAXED);
}

bool session_is_settling(const struct session *session)
{
	return __atomic_load_n(&session->bpf->bss->settling, __ATOMIC_RELAXED);
}

void session_set_timing(struct session *session, bool timing)
{
	__atomic_store_n(&session->bpf->bss->timing, timing, __ATOMIC_RELAXED);
}

void session_set_sample_shift(struct session *session, uint32_t shift)
{
	__atomic_store_n(&session->bpf->bss->sample_shift, shift, __ATOMIC_RELAXED);
}

void session_allow_stopping(struct session *session)
{
	__atomic_store_n(&session->bpf->bss->may_stop, 1, __ATOMIC_RELAXED);
}

void session_stop_following(struct session *session)
{
	struct seep_bpf *bpf = session->bpf;

	__atomic_store_n(&bpf->bss->may_stop, 0, __ATOMIC_SEQ_CST);
	bpf_link__destroy(bpf->links.process_exec);
	bpf_link__destroy(bpf->links.process_fork);
	bpf_link__destroy(bpf->links.process_exit);
	bpf->links.process_exec = bpf->links.process_fork = bpf->links.process_exit = NULL;
}

int session_procs_fd(const struct session *session)
{
	return bpf_map__fd(session->bpf->maps.procs);
}

uint64_t session_sample_bytes(const struct session *session)
{
	uint32_t shift = __atomic_load_n(&session->bpf->bss->sample_shift, __ATOMIC_RELAXED);

	return session->options.sample_bytes << shift;
}

void session_set_count_only(struct session *session, bool count_only)
{
	__atomic_store_n(&session->bpf->bss->count_only, count_only, __ATOMIC_RELAXED);
}
