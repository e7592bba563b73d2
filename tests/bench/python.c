/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * python.c - what recording a Python program costs, as ratios within one run.
 *
 *	python DIR NAME=HOME...
 *
 * DIR/NAME holds a CPython, its libpython if it has one, and a C library: copies of our own, as for
 * bench.c (run.sh makes them); HOME is where its modules are. DIR/worker.py and DIR/web.py are what
 * it runs. Configurations take turns, round by round. Times are CPU times of the measured process.
 */
#include <math.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "probe/attach.h"
#include "probe/binaries.h"
#include "probe/interpreter.h"
#include "target/allocator.h"

#include "bench/common.h"

#define ROUNDS	       5
#define SAMPLE_BYTES   (512 << 10)
#define MEASURED_S     0.12 /* a measurement, CPU time */
#define WARM_S	       0.03
#define STACK_FRAMES   26
#define STACK_OBJECTS  20000
#define PLAIN_FRAMES   40
#define WEB_FLAGS      "-t 1 -c 4 -d 1s"
#define WANTED_EXACT   2.5 /* of the floor */
#define WANTED_SAMPLED 1.2
#define WANTED_IDLE    1.05 /* of untraced */
#define WANTED_STACK   3000 /* ns */

enum config {
	UNTRACED,
	IDLE,  /* slots redirected, no probes */
	FLOOR, /* empty programs where seep puts its own */
	EXACT,
	SAMPLED,
	TRACEMALLOC_1,
	TRACEMALLOC_25,
	CONFIG_COUNT,
};

static const char *const config_names[] = {
	"untraced", "redirected, no probes", "empty programs at seep's sites (the floor)",
	"exact",    "--sample 512k",	     "tracemalloc(1)",
	"tracemalloc(25)",
};

/* A measured Python. */
struct subject {
	const char *name;
	struct target target;
	struct recording exact, sampled;
	bool is_redirected; /* that is how its calls are seen */
};

/* ---- starting it ----------------------------------------------------------------------------- */

static void subject_spawn(struct subject *subject, const char *dir, const char *name,
			  const char *home, const char *script)
{
	char folder[4096], libraries[4200], python_home[4200], path[4200];
	char *env[] = {libraries, python_home, "PYTHONDONTWRITEBYTECODE=1", NULL};
	char *argv[] = {"./python3", path, NULL};

	snprintf(folder, sizeof(folder), "%s/%s", dir, name);
	snprintf(libraries, sizeof(libraries), "LD_LIBRARY_PATH=%s", folder);
	snprintf(python_home, sizeof(python_home), "PYTHONHOME=%s", home);
	snprintf(path, sizeof(path), "%s/%s", dir, script);
	subject->name = name;
	target_spawn(&subject->target, folder, argv, env);
}

static struct watched *subject_watched(struct recording *recording)
{
	return recording->watch.all.items[0];
}

/* Its libraries are there; now find out where probes go. */
static void subject_begin(struct subject *subject)
{
	struct interpreter *interpreter;
	char text[640];

	recording_start(&subject->exact, 1, subject->target.pid);
	watch_detach(&subject->exact.watch);
	recording_start(&subject->sampled, SAMPLE_BYTES, subject->target.pid);
	watch_detach(&subject->sampled.watch);
	interpreter = &subject_watched(&subject->exact)->interpreter;
	interpreter_describe(interpreter, text, sizeof(text));
	if (interpreter->tables.way == PYTHON_WAY_NONE)
		die("%s", text);
	printf("\n%s: %s\n", subject->name, text);
	subject->is_redirected = interpreter->tables.way == PYTHON_WAY_REDIRECT;
}

/* A recording that lost much did less than it had to. Blocks whose frees came between the rounds
 * are no loss of that kind. */
static void tell_losses(struct subject *subject)
{
	struct counters counters = counters_of(&subject->exact);
	uint64_t lost = 0;

	for (int reason = 0; reason < LOSS_REASON_COUNT; reason++)
		if (reason != LOSS_STALE_BLOCK)
			lost += counters.losses[reason];
	if (lost * 1000 > counters.alloc_hits)
		printf("  (%llu of %llu blocks were lost)\n", (unsigned long long)lost,
		       (unsigned long long)counters.alloc_hits);
}

static void subject_end(struct subject *subject)
{
	tell_losses(subject);
	recording_stop(&subject->sampled);
	recording_stop(&subject->exact);
	target_stop(&subject->target);
}

/* ---- a configuration ------------------------------------------------------------------------- */

struct setting {
	enum config config;
	struct links links;
	struct python_redirect *redirect;
};

static void attach_interpreter(struct subject *subject, struct recording *recording,
			       enum attach_purpose purpose, struct links *links)
{
	struct interpreter *interpreter = &subject_watched(recording)->interpreter;
	struct binary *binary = binaries_by_id(recording->watch.binaries, interpreter->binary_id);
	struct err err = {0};

	if (interpreter_attach(interpreter, &recording->session, binary, subject->target.pid,
			       purpose, links, &err))
		die("%s", err.text);
}

static void attach_allocators(struct subject *subject, struct recording *recording,
			      enum attach_purpose purpose, struct links *links)
{
	const struct binary *binary;
	struct err err = {0};

	for (uint32_t id = 1; (binary = binaries_by_id(recording->watch.binaries, id)); id++)
		if (binary->plan.count &&
		    attach_plan(&recording->session, binary->fd, binary->path, &binary->plan,
				subject->target.pid, purpose, links, &err))
			die("%s", err.text);
}

static void redirect(struct subject *subject, struct setting *setting)
{
	struct watched *watched = subject_watched(&subject->exact);
	struct err err = {0};

	if (subject->is_redirected &&
	    python_redirect_new(subject->target.pid, watched->info.start_time_ns,
				&watched->interpreter.runtime, &watched->interpreter.tables,
				&setting->redirect, &err))
		die("%s", err.text);
}

static unsigned int traced_frames(enum config config)
{
	return config == TRACEMALLOC_1 ? 1 : config == TRACEMALLOC_25 ? 25 : 0;
}

static void setting_begin(struct subject *subject, struct setting *setting, enum config config)
{
	struct recording *recording = config == SAMPLED ? &subject->sampled : &subject->exact;
	enum attach_purpose purpose = config == FLOOR ? ATTACH_EMPTY : ATTACH_RECORD;

	*setting = (struct setting){.config = config};
	if (traced_frames(config))
		target_ask(&subject->target, "tracemalloc %u\n", traced_frames(config));
	if (config == FLOOR || config == EXACT || config == SAMPLED) {
		attach_interpreter(subject, recording, purpose, &setting->links);
		attach_allocators(subject, recording, purpose, &setting->links);
	}
	if (config >= IDLE && config <= SAMPLED)
		redirect(subject, setting);
}

static void setting_end(struct subject *subject, struct setting *setting)
{
	struct err err = {0};

	if (traced_frames(setting->config))
		target_ask(&subject->target, "tracemalloc 0\n");
	if (setting->redirect && python_redirect_end(setting->redirect, &err) < 0)
		die("%s", err.text);
	links_close(&setting->links);
	counters_of(&subject->exact); /* empties the rings */
	counters_of(&subject->sampled);
}

static bool has_config(const struct subject *subject, enum config config)
{
	return config != IDLE || subject->is_redirected;
}

/* ---- work by itself -------------------------------------------------------------------------- */

static double measure_work(struct subject *subject, const char *work, enum config config)
{
	struct setting setting;
	double ns;

	setting_begin(subject, &setting, config);
	target_ask(&subject->target, "%s %g\n", work, WARM_S);
	ns = target_ask(&subject->target, "%s %g\n", work, MEASURED_S);
	setting_end(subject, &setting);
	return ns;
}

static void print_slowdowns(const struct subject *subject, double (*costs)[ROUNDS])
{
	for (int config = IDLE; config < CONFIG_COUNT; config++)
		if (has_config(subject, config))
			print_row(config_names[config],
				  median_ratio(costs[config], costs[UNTRACED], ROUNDS), "x",
				  config == IDLE ? WANTED_IDLE : 0);
	print_row("exact / floor", median_ratio(costs[EXACT], costs[FLOOR], ROUNDS), "x",
		  WANTED_EXACT);
	print_row("--sample 512k / floor", median_ratio(costs[SAMPLED], costs[FLOOR], ROUNDS), "x",
		  WANTED_SAMPLED);
}

static void bench_work(struct subject *subject, const char *work, const char *what)
{
	double ns[CONFIG_COUNT][ROUNDS] = {0};
	char heading[160];

	for (int round = 0; round < ROUNDS; round++)
		for (int config = 0; config < CONFIG_COUNT; config++)
			if (has_config(subject, config))
				ns[config][round] = measure_work(subject, work, config);
	snprintf(heading, sizeof(heading), "%s: %s, slowdown", subject->name, what);
	print_heading(heading);
	print_row("a round, untraced", median(ns[UNTRACED], ROUNDS) / 1000, "us", 0);
	print_slowdowns(subject, ns);
}

/* ---- a mixed stack --------------------------------------------------------------------------- */

struct stack_cost {
	double call_ns, free_ns; /* in the programs, of an allocation, of a free */
	double frames, python_frames;
};

struct program_times {
	double call_ns, free_ns;
};

static struct program_times program_times(const struct subject *subject)
{
	const struct seep_bpf *bpf = subject->exact.session.bpf;

	return (struct program_times){
	    .call_ns = run_time_of(bpf->progs.call_enter).ns +
		       run_time_of(bpf->progs.call_return).ns +
		       run_time_of(bpf->progs.call_session).ns,
	    .free_ns = run_time_of(bpf->progs.free_enter).ns,
	};
}

/* Of objects taken 'mixed' and 'plain' calls deep. Marks of where Python frames belong are no
 * frames. */
static struct stack_cost measure_stack(struct subject *subject, unsigned int mixed,
				       unsigned int plain)
{
	struct program_times before, after;
	struct counters first, last;
	struct stack_cost cost;
	double walks;

	target_ask(&subject->target, "stack %u %u %u\n", mixed, plain, STACK_OBJECTS / 20);
	before = program_times(subject);
	first = counters_of(&subject->exact);
	target_ask(&subject->target, "stack %u %u %u\n", mixed, plain, STACK_OBJECTS);
	after = program_times(subject);
	last = counters_of(&subject->exact);
	walks = last.walks - first.walks;
	cost.call_ns = (after.call_ns - before.call_ns) / (last.alloc_hits - first.alloc_hits);
	cost.free_ns = (after.free_ns - before.free_ns) / (last.free_hits - first.free_hits);
	cost.python_frames = (last.python_frames - first.python_frames) / walks;
	cost.frames = (last.walked_frames - first.walked_frames -
		       (last.python_segments - first.python_segments)) /
			  walks +
		      cost.python_frames;
	return cost;
}

struct stack_depth {
	unsigned int mixed, plain;
};

/* How deep the program must call for its stacks to have STACK_FRAMES frames: callbacks as long as
 * they fit, Python alone for the rest. */
static struct stack_depth depth_for(struct subject *subject)
{
	struct stack_depth depth = {0};
	long frames = lround(measure_stack(subject, 0, 0).frames), next;

	if (frames > STACK_FRAMES)
		die("the stack has %ld frames below the first call", frames);
	while ((next = lround(measure_stack(subject, depth.mixed + 1, 0).frames)) <= STACK_FRAMES) {
		depth.mixed++;
		frames = next;
	}
	depth.plain = STACK_FRAMES - frames;
	return depth;
}

static void print_stack(const struct subject *subject, const struct stack_cost *cost,
			const double *call_ns, const double *free_ns, const double *more_ns)
{
	char what[96];

	snprintf(what, sizeof(what), "%s: time in seep's programs, exact", subject->name);
	print_heading(what);
	snprintf(what, sizeof(what), "an allocation, mixed stack of %ld frames (Python: %ld)",
		 lround(cost->frames), lround(cost->python_frames));
	print_row(what, median(call_ns, ROUNDS), "ns", WANTED_STACK);
	print_row("a free", median(free_ns, ROUNDS), "ns", 0);
	print_row("a Python frame more", median(more_ns, ROUNDS), "ns", 0);
}

static void bench_stack(struct subject *subject)
{
	double call_ns[ROUNDS], free_ns[ROUNDS], more_ns[ROUNDS];
	int stats_fd = bpf_enable_stats(BPF_STATS_RUN_TIME);
	struct setting setting;
	struct stack_depth depth;
	struct stack_cost few;

	if (stats_fd < 0)
		die("the kernel does not measure programs: %s", strerror(-stats_fd));
	setting_begin(subject, &setting, EXACT);
	depth = depth_for(subject);
	for (int round = 0; round < ROUNDS; round++) {
		struct stack_cost many =
		    measure_stack(subject, depth.mixed, depth.plain + PLAIN_FRAMES);

		few = measure_stack(subject, depth.mixed, depth.plain);
		call_ns[round] = few.call_ns;
		free_ns[round] = few.free_ns;
		more_ns[round] = (many.call_ns - few.call_ns) / PLAIN_FRAMES;
	}
	setting_end(subject, &setting);
	close(stats_fd);
	print_stack(subject, &few, call_ns, free_ns, more_ns);
}

/* ---- a service ------------------------------------------------------------------------------- */

struct served {
	double requests_per_s, cpu_ns; /* cpu_ns: of one request */
};

static double run_wrk(unsigned int port, double *seconds)
{
	char command[128], line[256], unit;
	double requests = 0;
	FILE *wrk;

	snprintf(command, sizeof(command), "wrk " WEB_FLAGS " http://127.0.0.1:%u/", port);
	wrk = popen(command, "re");
	while (wrk && fgets(line, sizeof(line), wrk))
		if (sscanf(line, " %lf requests in %lf%c", &requests, seconds, &unit) == 3 &&
		    unit == 'm')
			*seconds *= 60;
	if (!wrk || pclose(wrk) || !requests)
		die("'%s' failed", command);
	return requests;
}

static struct served measure_web(struct subject *subject, unsigned int port, enum config config)
{
	double requests, seconds = 1, cpu_ns;
	struct setting setting;

	setting_begin(subject, &setting, config);
	cpu_ns = target_ask(&subject->target, "cpu\n");
	requests = run_wrk(port, &seconds);
	cpu_ns = target_ask(&subject->target, "cpu\n") - cpu_ns;
	target_ask(&subject->target, "drop\n");
	setting_end(subject, &setting);
	return (struct served){requests / seconds, cpu_ns / requests};
}

static void print_web(const struct subject *subject, double (*rates)[ROUNDS],
		      double (*cpu_ns)[ROUNDS])
{
	char heading[160];

	snprintf(heading, sizeof(heading), "%s: tornado, requests a second", subject->name);
	print_heading(heading);
	for (int config = 0; config < CONFIG_COUNT; config++)
		if (has_config(subject, config))
			print_row(config_names[config], median(rates[config], ROUNDS), "/s", 0);
	snprintf(heading, sizeof(heading), "%s: tornado, slowdown (CPU time of a request)",
		 subject->name);
	print_heading(heading);
	print_row("a request, untraced", median(cpu_ns[UNTRACED], ROUNDS) / 1000, "us", 0);
	print_slowdowns(subject, cpu_ns);
}

static void bench_web(const char *dir, const char *name, const char *home)
{
	double rates[CONFIG_COUNT][ROUNDS] = {0}, cpu_ns[CONFIG_COUNT][ROUNDS] = {0};
	struct subject subject = {0};
	double seconds;
	unsigned int port;

	subject_spawn(&subject, dir, name, home, "web.py");
	port = target_answer(&subject.target);
	run_wrk(port, &seconds);
	subject_begin(&subject);
	for (int round = 0; round < ROUNDS; round++)
		for (int config = 0; config < CONFIG_COUNT; config++) {
			struct served served;

			if (!has_config(&subject, config))
				continue;
			served = measure_web(&subject, port, config);
			rates[config][round] = served.requests_per_s;
			cpu_ns[config][round] = served.cpu_ns;
		}
	print_web(&subject, rates, cpu_ns);
	subject_end(&subject);
}

/* ---- all of it ------------------------------------------------------------------------------- */

static bool can_serve(const char *home)
{
	char path[4200];
	struct stat info;

	snprintf(path, sizeof(path), "%s/lib/python3/dist-packages/tornado", home);
	return !stat(path, &info) && !system("command -v wrk >/dev/null");
}

static void bench_worker(const char *dir, const char *name, const char *home)
{
	struct subject subject = {0};

	subject_spawn(&subject, dir, name, home, "worker.py");
	target_ask(&subject.target, "objects %g\n", MEASURED_S);
	target_ask(&subject.target, "json %g\n", MEASURED_S);
	subject_begin(&subject);
	bench_work(&subject, "objects", "objects, strings, dicts, lists");
	bench_work(&subject, "json", "asyncio and JSON, 1 % kept");
	bench_stack(&subject);
	subject_end(&subject);
}

int main(int argc, char **argv)
{
	bool served = false;

	if (argc < 3)
		die("usage: python DIR NAME=HOME...");
	signal(SIGPIPE, SIG_IGN);
	python_redirect_set_directory(argv[1]);
	for (int i = 2; i < argc; i++) {
		_cleanup_free_ char *name = strdup(argv[i]);
		char *home = strchr(name, '=');

		if (!home)
			die("'%s' is not NAME=HOME", argv[i]);
		*home++ = '\0';
		bench_worker(argv[1], name, home);
		if (can_serve(home)) {
			bench_web(argv[1], name, home);
			served = true;
		}
	}
	if (!served)
		printf("\ntornado: not measured, python3-tornado and wrk are not installed\n");
	printf("\n%d of the wanted figures over\n", over_count);
	return 0;
}
