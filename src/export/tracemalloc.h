/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tracemalloc.h - groups by file, line or traceback as Python's tracemalloc prints the difference
 * of two snapshots: StatisticDiff.__str__ and Traceback.format of Lib/tracemalloc.py, without
 * source lines and with function names.
 *
 *	/srv/app.py:42: size=940 KiB (+940 KiB), count=8106 (+8106), average=119 B
 *
 * size and count are what is live at the end, in brackets the growth since the first snapshot. What
 * tracemalloc has no word for follows in its manner: ", error=12.1 KiB" of sampled recordings,
 * ", class=malloc" of what Python's own allocator did not make, ", pid=811" or ", processes=3"
 * where there are several.
 */
#ifndef SEEP_EXPORT_TRACEMALLOC_H
#define SEEP_EXPORT_TRACEMALLOC_H

#include <stdbool.h>
#include <stdio.h>

#include "export/export.h"

/*
 * The order of Snapshot.compare_to: by |growth|, size, |growth in blocks|, blocks, then the frames,
 * oldest first; all descending.
 */
void tracemalloc_sort(const struct profile *profile, struct ranking *ranking);

/* The first 'rows' of the ranking, one line each; with 'tracebacks' followed by their frames,
 * oldest first. */
void tracemalloc_print(FILE *out, const struct export_input *input, size_t rows, bool tracebacks);

#endif
