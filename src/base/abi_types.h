/* SPDX-License-Identifier: GPL-2.0-only */
/* abi_types.h - include/abi.h with the fixed-width types it needs, for user space. */
#ifndef SEEP_BASE_ABI_TYPES_H
#define SEEP_BASE_ABI_TYPES_H

#include <linux/types.h>

#include "../../include/abi.h"

#endif
