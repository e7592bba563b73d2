/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * report.c - what a report of a large recording takes.
 *
 * usage: report DIR SEEP
 *
 * Writes a recording of 20,000 sites and 1,000 snapshots: one site in ten has changed in each of the
 * snapshots' hundreds of moments, as in a service in which most of what allocates is seldom used.
 * Prints the CPU time and the largest resident set of text and JSON. Fails when a report takes over 20
 * times what is promised (1 s, 200 MB): that is no matter of a slow machine any more.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/abi_types.h"
#include "base/err.h"
#include "base/units.h"
#include "store/recording.h"

#define SITES	     20011
#define SNAPSHOTS    1009
#define POINTS_APART 10 /* snapshots between two points of a site */
#define FRAMES	     4001
#define DEPTH	     29
#define SECONDS_MOST 20
#define MB_MOST	     400

static void names_write(struct recording *recording)
{
	for (uint32_t i = 0; i < FRAMES; i++) {
		char function[32], file[32];
		const struct profile_frame frame = {.function = function,
						    .file = file,
						    .module = "/usr/bin/service",
						    .line = i,
						    .offset = 0x1000 + i};

		snprintf(function, sizeof(function), "function_%u", i);
		snprintf(file, sizeof(file), "src/module_%u.c", i % 61);
		recording_put_frame(recording, 1ULL << FRAME_PC_BITS | (0x1000 + i), &frame, 1);
	}
}

static void sites_write(struct recording *recording)
{
	for (uint32_t i = 0; i < SITES; i++) {
		uint64_t frames[DEPTH];
		uint64_t at = i;

		for (uint32_t k = DEPTH; k-- > 0; at /= 3)
			frames[k] = 1ULL << FRAME_PC_BITS |
				    (0x1000 + (at * 2654435761U + 97 * k) % FRAMES);
		recording_put_stack(recording, i, frames, DEPTH, false, 0);
		recording_put_site(recording, i, 0, CLASS_MALLOC, i);
	}
}

static int large_write(const char *path)
{
	const struct recording_meta meta = {.version = "0", .kernel = "0", .host = "bench",
					    .interval_ns = NS_PER_S, .sample_bytes = 1};
	const struct profile_process process = {
	    .pid = 811, .comm = "service", .exe = "/usr/bin/service", .end_ns = SNAPSHOTS * NS_PER_S};
	struct recording *recording;
	struct err err = {0};

	if (recording_create(path, true, &meta, &recording, &err)) {
		fprintf(stderr, "report: %s\n", err.text);
		return 1;
	}
	recording_put_process(recording, 0, &process);
	names_write(recording);
	sites_write(recording);
	for (uint32_t i = 0; i < SNAPSHOTS; i++) {
		const struct profile_snapshot snapshot = {.time_ns = i * NS_PER_S};

		recording_begin(recording, NULL);
		recording_put_snapshot(recording, i, &snapshot);
		for (uint32_t site = i % POINTS_APART; site < SITES; site += POINTS_APART) {
			double blocks = (double)(site % 7 ? site % 13 : i) * (i + 1);
			const struct site_point point = {
			    i, {.alloc_bytes = 61 * blocks, .alloc_blocks = blocks}};

			recording_put_point(recording, site, &point);
		}
		recording_commit(recording, NULL);
	}
	return recording_close(recording, &err) != 0;
}

/* Returns seconds of CPU time, or a negative number when the report failed. */
static double report_run(const char *seep, const char *path, const char *format, double *mb)
{
	struct rusage usage;
	int status;
	pid_t pid;

	pid = fork();
	if (!pid) {
		int null = open("/dev/null", O_WRONLY);

		dup2(null, STDOUT_FILENO);
		execl(seep, "seep", "report", "--format", format, path, NULL);
		_exit(127);
	}
	if (pid < 0 || wait4(pid, &status, 0, &usage) != pid || status)
		return -1;
	*mb = usage.ru_maxrss / 1024.0;
	return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec +
	       (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv)
{
	static const char *const formats[] = {"text", "json"};
	char path[4096];
	int failed = 0;

	if (argc != 3) {
		fprintf(stderr, "usage: report DIR SEEP\n");
		return 2;
	}
	snprintf(path, sizeof(path), "%s/large.seep", argv[1]);
	if (large_write(path))
		return 1;
	for (size_t i = 0; i < 2; i++) {
		double mb = 0, seconds = report_run(argv[2], path, formats[i], &mb);

		printf("report of %d sites, %d snapshots, as %s: %.2f s of CPU time, %.0f MB\n", SITES,
		       SNAPSHOTS, formats[i], seconds, mb);
		failed |= seconds < 0 || seconds > SECONDS_MOST || mb > MB_MOST;
	}
	unlink(path);
	return failed;
}
