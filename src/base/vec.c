/* SPDX-License-Identifier: GPL-2.0-only */
/* vec.c - see vec.h */
#include "base/vec.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void *vec_grow(void **items, size_t *count, size_t *capacity, size_t item_size)
{
	char *slot;

	if (*count == *capacity) {
		size_t wanted = *capacity ? *capacity * 2 : 16;
		void *grown;

		if (wanted > SIZE_MAX / item_size)
			return NULL;
		grown = realloc(*items, wanted * item_size);
		if (!grown)
			return NULL;
		*items = grown;
		*capacity = wanted;
	}
	slot = (char *)*items + (*count)++ * item_size;
	memset(slot, 0, item_size);
	return slot;
}
