/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * culprit.c - see culprit.h
 *
 * The tree is never built: growing sites are sorted by their paths, root first, and a node is a run
 * of them that have the first 'depth' frames in common.
 */
#include "profile/culprit.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/path.h"
#include "profile/rank.h"
#include "profile/view.h"

#define CHAIN_SHARE  0.85 /* of a node: the rest is not worth stopping for */
#define REST_SHARE   0.02 /* of a node: less beside the rest tells nothing */
#define STEP_SHARE   0.90 /* of a node, or of that, must grow in step */
#define PART_SHARE   0.15 /* of all */
#define BRANCH_SHARE 0.60 /* of what the branch began with */
#define STEP_MOST    8	  /* blocks of one site in a step */
#define STEP_EACH    4	  /* of the heaviest one */
#define STEP_ERROR   0.005
#define STEP_SLACK   1.5  /* blocks: one more or less at the ends */
#define STEP_BLOCKS  11 /* fewer say nothing about steps */
#define PARTS_MOST   6	/* 1 / PART_SHARE */

/* A site that goes on growing. */
struct grower {
	const struct ranked_site *ranked;
	uint32_t *path; /* root first, each frame once */
	uint32_t depth;
};

struct walker {
	struct culprits *culprits;
	bool sampled;
	struct grower *growers; /* by path */
	size_t count;
	double score, growth_bytes; /* of all */
	size_t capacity;	    /* of culprits->items */
};

/* growers[begin..end) have their first 'depth' frames in common. */
struct node {
	size_t begin, end;
	uint32_t depth;
	double score;
};

/* ---- paths ------------------------------------------------------------------------------------
 */

/*
 * Write the path of a stack. 'seen' has a mark per frame: that of the last path it stood in.
 * Returns its length.
 */
static uint32_t path_write(const struct profile_site *site, uint32_t *seen, uint32_t mark,
			   uint32_t *path)
{
	uint32_t depth = 0;

	for (uint32_t i = site->frame_count; i-- > 0;) {
		uint32_t frame = site->frames[i];

		if (seen[frame] == mark)
			continue;
		seen[frame] = mark;
		path[depth++] = frame;
	}
	return depth;
}

static int by_path(const void *left, const void *right)
{
	const struct grower *a = left, *b = right;
	uint32_t depth = a->depth < b->depth ? a->depth : b->depth;

	for (uint32_t i = 0; i < depth; i++)
		if (a->path[i] != b->path[i])
			return a->path[i] < b->path[i] ? -1 : 1;
	if (a->depth != b->depth)
		return a->depth < b->depth ? -1 : 1;
	return (a->ranked > b->ranked) - (a->ranked < b->ranked);
}

static bool goes_on(const struct ranked_site *ranked)
{
	return (ranked->verdict == VERDICT_LEAK || ranked->verdict == VERDICT_GROWING) &&
	       ranked->growth_bytes > 0 && ranked->score > 0 && ranked->site->frame_count;
}

/* Take the sites that go on growing. Returns 0 or -ENOMEM. */
static int growers_take(struct walker *walker, const struct ranking *ranking, uint32_t *seen)
{
	for (size_t i = 0; i < ranking->count; i++) {
		const struct ranked_site *ranked = &ranking->items[i];
		struct grower *grower = &walker->growers[walker->count];

		if (!goes_on(ranked))
			continue;
		grower->ranked = ranked;
		grower->path = arena_array(walker->culprits->arena, uint32_t,
					   ranked->site->frame_count);
		if (!grower->path)
			return -ENOMEM;
		grower->depth = path_write(ranked->site, seen, ++walker->count, grower->path);
		walker->score += ranked->score;
		walker->growth_bytes += ranked->growth_bytes;
	}
	qsort(walker->growers, walker->count, sizeof(*walker->growers), by_path);
	return 0;
}

/* ---- nodes ------------------------------------------------------------------------------------
 */

/* The child that begins at 'begin', which is deeper than 'parent'. */
static struct node child_at(const struct walker *walker, const struct node *parent, size_t begin)
{
	struct node child = {begin, begin, parent->depth + 1, 0};
	uint32_t frame = walker->growers[begin].path[parent->depth];

	while (child.end < parent->end && walker->growers[child.end].path[parent->depth] == frame)
		child.score += walker->growers[child.end++].ranked->score;
	return child;
}

/* The first grower of a node that does not end in it. */
static size_t children_begin(const struct walker *walker, const struct node *node)
{
	size_t begin = node->begin;

	while (begin < node->end && walker->growers[begin].depth == node->depth)
		begin++;
	return begin;
}

/* The parts that hold 'least' or more: children, and the stacks that end in the node itself when it
 * has children. At most PARTS_MOST. */
static size_t parts_find(const struct walker *walker, const struct node *node, double least,
			 struct node parts[PARTS_MOST])
{
	struct node own = {node->begin, children_begin(walker, node), node->depth, 0};
	size_t count = 0;

	for (size_t i = own.begin; i < own.end; i++)
		own.score += walker->growers[i].ranked->score;
	if (own.end > own.begin && own.end < node->end && own.score >= least)
		parts[count++] = own;
	for (size_t at = own.end; at < node->end;) {
		struct node child = child_at(walker, node, at);

		if (child.score >= least && count < PARTS_MOST)
			parts[count++] = child;
		at = child.end;
	}
	return count;
}

/* Of Python's own library, by its files: before 3.11 code knows no class. */
static bool is_python_dispatcher(const char *function, const char *file)
{
	static const struct {
		const char *function, *file;
	} known[] = {
	    {"_bootstrap", "threading.py"},
	    {"_bootstrap_inner", "threading.py"},
	    {"run", "threading.py"},
	    {"run", "asyncio/runners.py"},
	    {"_run", "asyncio/events.py"},
	    {"run_forever", "asyncio/base_events.py"},
	    {"_run_once", "asyncio/base_events.py"},
	    {"run_until_complete", "asyncio/base_events.py"},
	    {"serve_forever", "socketserver.py"},
	    {"run", "concurrent/futures/thread.py"},
	    {"_worker", "concurrent/futures/thread.py"},
	};
	const char *dot = strrchr(function, '.');

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (!strcmp(dot ? dot + 1 : function, known[i].function) &&
		    path_ends(file, known[i].file))
			return true;
	return false;
}

/* Frames that run whatever they are given. */
static bool is_dispatcher(const struct profile_frame *frame)
{
	static const char *const names[] = {
	    "main",
	    "<module>",
	    "_start",
	    "start_thread",
	    "clone",
	    "clone3",
	    "__libc_start_main",
	    "__libc_start_main_impl",
	    "__libc_start_call_main",
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (!strcmp(frame->function, names[i]))
			return true;
	return frame->python && frame->file && is_python_dispatcher(frame->function, frame->file);
}

/* Is a count so many times the unit? */
static bool count_agrees(double blocks, double unit)
{
	double times = round(blocks / unit);

	return times >= 1 && times <= STEP_MOST &&
	       fabs(blocks - times * unit) <= STEP_ERROR * blocks + STEP_SLACK;
}

static const struct ranked_site *heaviest_of(const struct walker *walker, const struct node *node)
{
	const struct ranked_site *heaviest = walker->growers[node->begin].ranked;

	for (size_t i = node->begin; i < node->end; i++)
		if (walker->growers[i].ranked->score > heaviest->score)
			heaviest = walker->growers[i].ranked;
	return heaviest;
}

/* Share of the scores beside 'chain' that grow by 1 to STEP_MOST times 'unit' blocks. */
static double share_in_step(const struct walker *walker, const struct node *node,
			    const struct node *chain, double unit)
{
	double agreed = 0, rest = 0;

	for (size_t i = node->begin; i < node->end; i++) {
		const struct ranked_site *ranked = walker->growers[i].ranked;

		if (i >= chain->begin && i < chain->end)
			continue;
		rest += ranked->score;
		if (count_agrees(ranked->growth_blocks, unit))
			agreed += ranked->score;
	}
	return rest >= REST_SHARE * node->score ? agreed / rest : 0;
}

/* Is what is below a node one thing, that is: does what is beside its part 'chain' grow in step with
 * the heaviest site, which may be several blocks each time? 'chain' without sites: all of it. */
static bool grows_in_step(const struct walker *walker, const struct node *node,
			  const struct node *chain)
{
	double blocks = heaviest_of(walker, node)->growth_blocks;

	for (unsigned int each = 1; each <= STEP_EACH && !walker->sampled; each++)
		if (blocks / each >= STEP_BLOCKS &&
		    share_in_step(walker, node, chain, blocks / each) >= STEP_SHARE)
			return true;
	return false;
}

/* ---- the walk ---------------------------------------------------------------------------------
 */

static bool one_path(const struct walker *walker, const struct node *node)
{
	const struct grower *growers = walker->growers;
	uint32_t depth = growers[node->begin].depth;

	/* sorted: when the first is as the last, all are */
	return growers[node->end - 1].depth == depth &&
	       !memcmp(growers[node->begin].path, growers[node->end - 1].path,
		       depth * sizeof(uint32_t));
}

/* Stacks, which several processes may have: the same path and class. */
static uint32_t stacks_count(const struct walker *walker, const struct node *node)
{
	uint32_t count = 0, classes = 0;

	for (size_t i = node->begin; i < node->end; i++) {
		const struct grower *grower = &walker->growers[i];
		const struct node pair = {i - 1, i + 1, 0, 0};
		uint32_t class = 1U << grower->ranked->site->alloc_class;

		if (i == node->begin || !one_path(walker, &pair))
			classes = 0;
		count += !(classes & class);
		classes |= class;
	}
	return count;
}

/* Where the naming frame of a single stack lies in its path. */
static uint32_t naming_depth(const struct walker *walker, const struct grower *grower)
{
	const struct profile_site *site = grower->ranked->site;
	uint32_t frame = site->frames[site_naming_frame(walker->culprits->profile, site)];
	uint32_t depth = 0;

	while (depth + 1 < grower->depth && grower->path[depth] != frame)
		depth++;
	return depth + 1;
}

static int culprit_add(struct walker *walker, const struct node *node)
{
	struct culprits *culprits = walker->culprits;
	const struct grower *first = &walker->growers[node->begin];
	struct culprit *culprit;

	if (culprits->count == walker->capacity) {
		size_t capacity = walker->capacity ? 2 * walker->capacity : 2 * PARTS_MOST;
		struct culprit *items =
		    reallocarray(culprits->items, capacity, sizeof(*culprits->items));

		if (!items)
			return -ENOMEM;
		culprits->items = items;
		walker->capacity = capacity;
	}
	culprit = &culprits->items[culprits->count++];
	*culprit = (struct culprit){.frames = first->path,
				    .frame_count = node->depth,
				    .score = node->score,
				    .site_count = stacks_count(walker, node)};
	if (one_path(walker, node))
		culprit->frame_count = naming_depth(walker, first);
	for (size_t i = node->begin; i < node->end; i++)
		culprit->growth_bytes += walker->growers[i].ranked->growth_bytes;
	culprit->share = culprit->growth_bytes / walker->growth_bytes;
	return 0;
}

/* Above the roots, or in a frame that runs what it is given: naming it would tell nothing. */
static bool is_trivial(const struct walker *walker, const struct node *node)
{
	const struct profile *profile = walker->culprits->profile;

	return !node->depth ||
	       is_dispatcher(
		   &profile->frames[walker->growers[node->begin].path[node->depth - 1]]);
}

/* Where a walk can go no further. Growth that is scattered below a trivial frame has no culprit. */
static int walk_end(struct walker *walker, const struct node *node)
{
	if (is_trivial(walker, node) && !one_path(walker, node))
		return 0;
	return culprit_add(walker, node);
}

/*
 * One step, or the end of the walk. '*began' is what the branch began with. Returns the parts to
 * walk into; of one alone the branch goes on.
 */
static size_t step_choose(const struct walker *walker, const struct node *node, double *began,
			  struct node parts[PARTS_MOST])
{
	bool trivial = is_trivial(walker, node);
	size_t count = parts_find(walker, node, CHAIN_SHARE * node->score, parts);
	struct node chain = {0};

	if (count)
		chain = parts[0];
	if (!trivial && grows_in_step(walker, node, &chain))
		return 0; /* 1 */
	if (count)
		return count; /* 2 */
	count = parts_find(walker, node, PART_SHARE * walker->score, parts);
	if (count == 1 && !trivial && parts[0].score < BRANCH_SHARE * *began)
		return 0; /* 4 */
	if (trivial && count)
		*began = parts[0].score;
	return count; /* 3, 5 */
}

/* The numbers are those of the rules in culprit.h. Recursion is as deep as PART_SHARE lets growth
 * part: each time at least one part goes elsewhere. */
static int node_walk(struct walker *walker, struct node node)
{
	double began = node.score;

	for (;;) {
		struct node parts[PARTS_MOST];
		size_t count = step_choose(walker, &node, &began, parts);

		if (!count)
			return walk_end(walker, &node);
		if (count == 1) {
			node = parts[0];
			continue;
		}
		for (size_t i = 0; i < count; i++)
			if (node_walk(walker, parts[i]))
				return -ENOMEM;
		return 0;
	}
}

static int by_score(const void *left, const void *right)
{
	const struct culprit *a = left, *b = right;

	if (a->score != b->score)
		return a->score < b->score ? 1 : -1;
	return (a->frames > b->frames) - (a->frames < b->frames);
}

static int walker_run(struct walker *walker, const struct ranking *ranking)
{
	const struct profile *profile = walker->culprits->profile;
	_cleanup_free_ uint32_t *seen = calloc(profile->frame_count + 1UL, sizeof(*seen));
	struct node all = {0};

	walker->growers = calloc(ranking->count + 1, sizeof(*walker->growers));
	walker->culprits->arena = arena_new();
	if (!seen || !walker->growers || !walker->culprits->arena ||
	    growers_take(walker, ranking, seen))
		return -ENOMEM;
	all.end = walker->count;
	all.score = walker->score;
	if (walker->count && node_walk(walker, all))
		return -ENOMEM;
	if (walker->culprits->count)
		qsort(walker->culprits->items, walker->culprits->count, sizeof(struct culprit),
		      by_score);
	return 0;
}

int culprits_find(const struct profile *profile, const struct ranking *ranking,
		  struct culprits *culprits, struct err *err)
{
	struct walker walker = {.culprits = culprits, .sampled = profile->sample_bytes > 1};
	int status;

	*culprits = (struct culprits){.profile = profile};
	status = walker_run(&walker, ranking);
	free(walker.growers);
	if (!status)
		return 0;
	culprits_free(culprits);
	return err_set(err, ENOMEM, "out of memory");
}

void culprits_free(struct culprits *culprits)
{
	free(culprits->items);
	arena_free(culprits->arena);
	*culprits = (struct culprits){0};
}

/* Does the path of the stack begin with that of the culprit? Each frame is taken once, from the
 * root on: what stood before is skipped. */
static bool passes_through(const struct culprit *culprit, const struct profile_site *site)
{
	uint32_t depth = 0;

	for (uint32_t i = site->frame_count; i-- > 0 && depth < culprit->frame_count;) {
		bool before = false;

		if (site->frames[i] == culprit->frames[depth]) {
			depth++;
			continue;
		}
		for (uint32_t k = 0; k < depth && !before; k++)
			before = site->frames[i] == culprit->frames[k];
		if (!before)
			return false;
	}
	return depth == culprit->frame_count;
}

const struct culprit *culprit_of(const struct culprits *culprits, const struct profile_site *site)
{
	const struct culprit *deepest = NULL;

	for (size_t i = 0; i < culprits->count; i++) {
		const struct culprit *culprit = &culprits->items[i];

		if ((!deepest || culprit->frame_count > deepest->frame_count) &&
		    passes_through(culprit, site))
			deepest = culprit;
	}
	return deepest;
}
