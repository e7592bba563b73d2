/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dhat.h - the JSON of DHAT, version 2, which valgrind's dh_view.html and the Firefox Profiler
 *read.
 *
 *	tb, tbk	allocated in all		eb, ebk	live at the end
 *	mb, mbk	live when the stack had most	gb, gbk	live when all together had most
 *	tl	sum of the lifetimes of the blocks in us, as far as they lie in the recording: the
 *		area below the curve of live blocks, which is as fine as the snapshots
 *
 * The leaf of each stack is its class, as DHAT's own is malloc. A differential profile has no
 * lifetimes and no peak: it is written as what grew, in mode "growth" and without what shrank.
 */
#ifndef SEEP_EXPORT_DHAT_H
#define SEEP_EXPORT_DHAT_H

#include <stdio.h>

#include "export/export.h"

int export_dhat(FILE *out, const struct export_input *input);

#endif
