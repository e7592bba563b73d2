/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * openmetrics.h - the figures of a recording as metrics, for a textfile collector or a push
 * gateway.
 *
 * Labels are process, class, reason, kind and verdict, never a site: the number of series does not
 * grow with that of the stacks. Of sites there are sums over all of the ranking, whatever the
 * limit.
 *
 * The text is valid as OpenMetrics 1.0 and as Prometheus' older format alike. The two write
 * counters in ways that exclude each other, so all metrics are gauges; what was counted belongs to
 * one recording and does not go on in the next.
 */
#ifndef SEEP_EXPORT_OPENMETRICS_H
#define SEEP_EXPORT_OPENMETRICS_H

#include <stdio.h>

#include "export/export.h"

int export_openmetrics(FILE *out, const struct export_input *input);

#endif
