/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * json.h - the stable, machine-readable report: one object, keys always in the same order.
 *
 * Sites are in the order of the ranking and written one by one, so that memory does not grow with
 * their number. Bytes and blocks are rounded to integers. Names that are not valid UTF-8 have the
 * wrong bytes replaced by U+FFFD. 'error_bytes' is one standard deviation of 'growth_bytes';
 * 'growth_bytes_per_s' the robust slope (profile/rank.h). A site that is merged across processes
 * has 'pid' null and 'pids', an array. 'filtered' is there when a filter was given,
 * 'suppressed' unless suppressions were off, 'culprits' (profile/culprit.h) when they were looked
 * for. Their frames are the path to the culprit, leaf first as those of sites, each once.
 * doc/report.schema.json describes all of it.
 */
#ifndef SEEP_EXPORT_JSON_H
#define SEEP_EXPORT_JSON_H

#include <stdio.h>

#include "export/export.h"

int export_json(FILE *out, const struct export_input *input);

#endif
