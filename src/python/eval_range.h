/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * eval_range.h - the code of _PyEval_EvalFrameDefault: GCC splits off parts that are rarely run
 * into another place, without a symbol in stripped files.
 */
#ifndef SEEP_PYTHON_EVAL_RANGE_H
#define SEEP_PYTHON_EVAL_RANGE_H

#include <stdbool.h>

#include "base/abi_types.h"

struct python_image;

/* Set layout->eval_first (ELF addresses) and eval_bytes. Returns false if there is no such code. */
bool python_eval_range_find(const struct python_image *image, struct python_layout *layout);

#endif
