/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * speedscope.h - the JSON of speedscope (https://www.speedscope.app), several profiles in one file:
 * growth, live and allocated, in bytes and in blocks.
 *
 * Weights are never negative, as the viewer wants them: what shrank is a profile of its own,
 * "shrunk" (of a differential profile "vanished"), which is there only when there is any.
 */
#ifndef SEEP_EXPORT_SPEEDSCOPE_H
#define SEEP_EXPORT_SPEEDSCOPE_H

#include <stdio.h>

#include "export/export.h"

int export_speedscope(FILE *out, const struct export_input *input);

#endif
