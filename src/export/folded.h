/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * folded.h - folded stacks, the input of flame graph tools: "root;caller;leaf 4099\n".
 *
 * A frame is "function (file:line)", or "function" without a known line. ';' becomes ':', and line
 * breaks and other control characters '?'. No frame ends in " DIGITS", which flamegraph.pl takes
 * for a second column: the space becomes '_'. Stacks without their root begin with "[truncated]";
 * with several processes each stack begins with "COMM (pid N)".
 * Stacks whose rounded value is not positive are left out: the format has no negative counts.
 *
 * FOLDED_DIFF is the format of difffolded.pl, "root;caller;leaf BEFORE AFTER\n": flamegraph.pl draws
 * widths of AFTER, red where it is more than before and blue where it is less. What vanished has
 * AFTER 0, and is left out only if there was nothing before either.
 */
#ifndef SEEP_EXPORT_FOLDED_H
#define SEEP_EXPORT_FOLDED_H

#include <stdio.h>

#include "export/export.h"

enum folded_value {
	FOLDED_GROWTH, /* bytes */
	FOLDED_LIVE,   /* bytes at the end */
	FOLDED_ALLOC,  /* bytes allocated in all */
	FOLDED_BLOCKS, /* growth in blocks */
	FOLDED_DIFF,   /* live bytes, before and after: two columns */
};

int export_folded(FILE *out, const struct export_input *input, enum folded_value value);

#endif
