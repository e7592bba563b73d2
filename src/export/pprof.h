/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * pprof.h - profile.proto of pprof, gzipped, as "go tool pprof", Pyroscope and Parca read it.
 *
 * Values of a sample: alloc_objects/count, alloc_space/bytes, growth_objects/count,
 * growth_space/bytes, inuse_objects/count, inuse_space/bytes; shown is inuse_space unless asked
 * otherwise, growth_space of a differential profile. Growth may be negative. Labels are pid (pids
 * of what was merged), comm, class and verdict, or change where it is a difference. What was lost
 * or left out is in the comments.
 */
#ifndef SEEP_EXPORT_PPROF_H
#define SEEP_EXPORT_PPROF_H

#include <stdio.h>

#include "export/export.h"

int export_pprof(FILE *out, const struct export_input *input);

#endif
