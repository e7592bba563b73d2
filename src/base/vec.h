/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vec.h - growing arrays.
 *
 *	struct { struct site *items; size_t count, capacity; } sites = { 0 };
 *	struct site *site = vec_add(&sites);	// zeroed; NULL when memory is out
 *	free(sites.items);
 */
#ifndef SEEP_BASE_VEC_H
#define SEEP_BASE_VEC_H

#include <stddef.h>

/* Makes room for one more item of 'item_size' bytes and zeroes it. Returns it, or NULL. */
void *vec_grow(void **items, size_t *count, size_t *capacity, size_t item_size);

#define vec_add(vec)                                                                               \
	((typeof((vec)->items))vec_grow((void **)&(vec)->items, &(vec)->count, &(vec)->capacity,   \
					sizeof(*(vec)->items)))

#define vec_for_each(item, vec)                                                                    \
	for (typeof((vec)->items) item = (vec)->items;                                             \
	     (vec)->items && item < (vec)->items + (vec)->count; item++)

#endif
