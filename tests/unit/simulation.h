/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * simulation.h - a profile made of simulated allocation sites, block by block.
 *
 *	struct simulation *sim = simulation_new(60, 2);		// 60 s, a snapshot every 2 s
 *	simulation_add(sim, leak_step, 1);			// one site
 *	simulation_profile(sim, &profile);			// to be given back
 *
 * A site is a function called 20 times a simulated second; it allocates and frees blocks of its
 * own. Age classes follow include/abi.h: epochs that last about as long as all before them.
 */
#ifndef SEEP_TESTS_SIMULATION_H
#define SEEP_TESTS_SIMULATION_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/units.h"
#include "profile/profile.h"

#define STEPS_PER_S    20
#define FIRST_EPOCH_S  1.0
#define BLOCKS_MAX     300000
#define SIM_SITES_MAX  64
#define SIM_POINTS_MAX 1200

struct sim_block {
	double bytes;
	unsigned int age;
};

/* The state of the site at hand; blocks are a ring: oldest at 'begin'. */
struct sim_site {
	struct sim_block blocks[BLOCKS_MAX];
	size_t begin, count;
	struct profile_site *site;
	struct site_totals totals;
	unsigned int age;
	double time_s, duration_s;
	uint64_t seed;
	bool settling;
};

typedef void sim_step(struct sim_site *sim, double parameter);

static double sim_random(struct sim_site *sim)
{
	sim->seed = sim->seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (sim->seed >> 11) / (double)(1ULL << 53);
}

static void sim_alloc(struct sim_site *sim, double bytes)
{
	struct sim_block *block = &sim->blocks[(sim->begin + sim->count++) % BLOCKS_MAX];

	if (sim->settling || sim->count > BLOCKS_MAX) {
		sim->count--;
		return;
	}
	*block = (struct sim_block){bytes, sim->age};
	sim->totals.alloc_bytes += bytes;
	sim->totals.alloc_blocks += 1;
	sim->site->age[sim->age].alloc_bytes += bytes;
	sim->site->age[sim->age].alloc_blocks += 1;
}

static void sim_free_block(struct sim_site *sim, struct sim_block block)
{
	sim->totals.free_bytes += block.bytes;
	sim->totals.free_blocks += 1;
	sim->site->age[block.age].free_bytes += block.bytes;
	sim->site->age[block.age].free_blocks += 1;
}

/* Free the oldest block. */
static void sim_free_oldest(struct sim_site *sim)
{
	if (!sim->count)
		return;
	sim_free_block(sim, sim->blocks[sim->begin]);
	sim->begin = (sim->begin + 1) % BLOCKS_MAX;
	sim->count--;
}

static void sim_free_newest(struct sim_site *sim)
{
	if (sim->count)
		sim_free_block(sim, sim->blocks[(sim->begin + --sim->count) % BLOCKS_MAX]);
}

struct simulation {
	double duration_s, interval_s, settle_s;
	struct profile_site sites[SIM_SITES_MAX];
	uint32_t count;
	uint32_t snapshot_count;
};

static struct simulation *simulation_new(double duration_s, double interval_s)
{
	struct simulation *sim = calloc(1, sizeof(*sim));

	sim->duration_s = duration_s;
	sim->interval_s = interval_s;
	sim->snapshot_count = duration_s / interval_s + 1.5;
	return sim;
}

static unsigned int sim_age_at(double time_s)
{
	unsigned int age = 0;

	for (double end = FIRST_EPOCH_S; time_s >= end && age + 1 < AGE_CLASSES; end *= 2)
		age++;
	return age;
}

/* Run one site over the whole recording. Returns its index. */
static uint32_t simulation_add(struct simulation *sim, sim_step *step, double parameter)
{
	struct sim_site *state = calloc(1, sizeof(*state));
	struct site_point *points = calloc(SIM_POINTS_MAX, sizeof(*points));
	struct profile_site *site = &sim->sites[sim->count];
	uint32_t taken = 1; /* the first snapshot is at attach: all zero */
	long steps = (sim->duration_s + sim->settle_s) * STEPS_PER_S;

	state->site = site;
	state->seed = 4099 + sim->count;
	state->duration_s = sim->duration_s;
	for (long i = 1; i <= steps; i++) {
		state->time_s = i / (double)STEPS_PER_S;
		state->age = sim_age_at(state->time_s);
		state->settling = state->time_s > sim->duration_s;
		step(state, parameter);
		if (state->time_s + 1e-9 < taken * sim->interval_s)
			continue;
		points[site->point_count].snapshot = taken++;
		points[site->point_count++].totals = state->totals;
	}
	sim->snapshot_count = taken;
	site->points = points;
	free(state);
	return sim->count++;
}

/* Turn the sites into a profile; ends the simulation. */
static void simulation_profile(struct simulation *sim, struct profile *profile)
{
	struct arena *arena = arena_new();

	*profile = (struct profile){.version = "0", .kernel = "0", .host = "h", .arena = arena};
	profile->sample_bytes = 1;
	profile->complete = true;
	profile->interval_ns = sim->interval_s * NS_PER_S;
	profile->duration_ns = (sim->duration_s + sim->settle_s) * NS_PER_S;
	profile->snapshot_count = sim->snapshot_count;
	profile->snapshots = arena_array(arena, struct profile_snapshot, sim->snapshot_count);
	for (uint32_t i = 0; i < sim->snapshot_count; i++) {
		profile->snapshots[i].time_ns = i * sim->interval_s * NS_PER_S;
		profile->snapshots[i].settling = i * sim->interval_s > sim->duration_s + 1e-9;
	}
	memset(profile->epoch_start_ns, 0xff, sizeof(profile->epoch_start_ns));
	for (unsigned int age = 0; age <= sim_age_at(sim->duration_s); age++)
		profile->epoch_start_ns[age] =
		    age ? FIRST_EPOCH_S * (1ULL << (age - 1)) * NS_PER_S : 0;
	profile->processes = arena_array(arena, struct profile_process, 1);
	profile->processes[0].pid = 811;
	profile->processes[0].exe = "/bin/x";
	profile->processes[0].rss_bytes = arena_array(arena, uint64_t, sim->snapshot_count);
	profile->process_count = 1;
	profile->sites = arena_array(arena, struct profile_site, sim->count + 1);
	profile->frames = arena_array(arena, struct profile_frame, sim->count + 1);
	for (uint32_t i = 0; i < sim->count; i++) {
		struct site_point *points =
		    arena_array(arena, struct site_point, sim->sites[i].point_count + 1);
		uint32_t *frame = arena_array(arena, uint32_t, 1);

		memcpy(points, sim->sites[i].points, sim->sites[i].point_count * sizeof(*points));
		free((void *)sim->sites[i].points);
		*frame = i;
		profile->sites[i] = sim->sites[i];
		profile->sites[i].points = points;
		profile->sites[i].frames = frame;
		profile->sites[i].frame_count = 1;
		profile->frames[i].function = "site";
	}
	profile->site_count = profile->frame_count = sim->count;
	free(sim);
}

#endif
