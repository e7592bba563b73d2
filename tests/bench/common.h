/* SPDX-License-Identifier: GPL-2.0-only */
/* common.h - what the programs of the bench share: the table they print, measured programs that
 * take commands, seep's probes on them. */
#ifndef SEEP_BENCH_COMMON_H
#define SEEP_BENCH_COMMON_H

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/units.h"
#include "probe/session.h"
#include "probe/watch.h"

#include "seep.skel.h"

static _Noreturn void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("bench: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

/* ---- the table ---------------------------------------------------------------------------------
 */

static int over_count;

static void print_heading(const char *text)
{
	printf("\n%-58s %12s %14s\n", text, "measured", "wanted");
}

/* 'wanted' 0: a figure to know, not one to reach. */
static void print_row(const char *what, double value, const char *unit, double wanted)
{
	char measured[32], limit[32] = "";
	int digits = value < 10 && strcmp(unit, "ns") != 0 ? 2 : value < 100 ? 1 : 0;
	bool over = wanted > 0 && !(value <= wanted);

	snprintf(measured, sizeof(measured), "%.*f %s", digits, value, unit);
	if (wanted > 0)
		snprintf(limit, sizeof(limit), "<= %g %s", wanted, unit);
	printf("  %-56s %12s %14s  %s\n", what, measured, limit,
	       wanted <= 0 ? ""
	       : over	   ? "over"
			   : "ok");
	fflush(stdout);
	over_count += over;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(const double *values, size_t count)
{
	double sorted[count];

	memcpy(sorted, values, sizeof(sorted));
	qsort(sorted, count, sizeof(*sorted), compare_doubles);
	return count % 2 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

static double median_ratio(const double *values, const double *bases, size_t count)
{
	double ratios[count];

	for (size_t i = 0; i < count; i++)
		ratios[i] = values[i] / bases[i];
	return median(ratios, count);
}

/* ---- the target --------------------------------------------------------------------------------
 */

struct target {
	pid_t pid;
	FILE *commands, *answers;
};

/* Runs argv[0] in 'dir' with the variables 'env' besides our own (NULL: none), commands at its
 * standard input, answers at its standard output. */
static void target_spawn(struct target *target, const char *dir, char *const argv[],
			 char *const env[])
{
	int to[2], from[2];

	if (pipe2(to, O_CLOEXEC) || pipe2(from, O_CLOEXEC))
		die("pipe: %s", strerror(errno));
	target->pid = fork();
	if (target->pid < 0)
		die("fork: %s", strerror(errno));
	if (!target->pid) {
		for (size_t i = 0; env && env[i]; i++)
			putenv(env[i]);
		if (chdir(dir) || dup2(to[0], 0) < 0 || dup2(from[1], 1) < 0)
			_exit(126);
		execv(argv[0], argv);
		_exit(127);
	}
	close(to[0]);
	close(from[1]);
	target->commands = fdopen(to[1], "w");
	target->answers = fdopen(from[0], "r");
	if (!target->commands || !target->answers)
		die("out of memory");
	setvbuf(target->commands, NULL, _IOLBF, 0);
}

__attribute__((unused)) static void target_stop(struct target *target)
{
	fclose(target->commands);
	fclose(target->answers);
	kill(target->pid, SIGKILL);
	waitpid(target->pid, NULL, 0);
}

static double target_answer(struct target *target)
{
	char line[64];

	if (!fgets(line, sizeof(line), target->answers))
		die("the measured program died");
	return atof(line);
}

__attribute__((format(printf, 2, 3))) static double target_ask(struct target *target,
							       const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(target->commands, format, args);
	va_end(args);
	return target_answer(target);
}

/* ---- seep on the target ------------------------------------------------------------------------
 */

struct recording {
	struct session session;
	struct watch watch;
	double open_s, attach_s;
};

static double seconds_since(uint64_t begin_ns)
{
	return (clock_ns(CLOCK_MONOTONIC) - begin_ns) / 1e9;
}

static void recording_start(struct recording *recording, uint64_t sample_bytes, pid_t pid)
{
	struct session_options options = {
	    .sample_bytes = sample_bytes,
	    .max_blocks = 2 << 20,
	    .links_filtered = true,
	};
	struct watch_options watch_options = {.purpose = ATTACH_RECORD};
	uint64_t begin = clock_ns(CLOCK_MONOTONIC);
	struct err err = {0};

	if (session_open(&recording->session, &options, &err))
		die("%s", err.text);
	recording->open_s = seconds_since(begin);
	begin = clock_ns(CLOCK_MONOTONIC);
	if (watch_init(&recording->watch, &recording->session, &watch_options, &err) ||
	    watch_add(&recording->watch, pid, false, &err))
		die("%s", err.text);
	recording->attach_s = seconds_since(begin);
}

static void recording_stop(struct recording *recording)
{
	watch_deinit(&recording->watch);
	session_close(&recording->session);
}

static int drop_record(void *context, const struct record_head *record, size_t bytes)
{
	return 0;
}

static struct counters counters_of(struct recording *recording)
{
	struct counters counters;

	session_poll(&recording->session, drop_record, NULL);
	if (session_read_counters(&recording->session, &counters))
		die("cannot read the counters");
	return counters;
}

/* ---- programs -------------------------------------------------------------------------------- */

struct run_time {
	uint64_t runs, ns;
};

static struct run_time run_time_of(const struct bpf_program *program)
{
	struct bpf_prog_info info = {0};
	uint32_t length = sizeof(info);

	if (bpf_program__fd(program) >= 0)
		bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &length);
	return (struct run_time){info.run_cnt, info.run_time_ns};
}

#endif
