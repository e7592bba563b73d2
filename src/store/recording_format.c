/* SPDX-License-Identifier: GPL-2.0-only */
/* recording_format.c - see recording_format.h */
#include "store/recording_format.h"

#include <stdio.h>

const char recording_schema[] =
#include "schema.inc"
    ;

char *path_plain(const char *path)
{
	char *plain = NULL;

	return asprintf(&plain, "%s%s", path[0] == '/' ? "" : "./", path) < 0 ? NULL : plain;
}

int database_execute(sqlite3 *db, const char *sql)
{
	return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

void memory_fields(struct memory_breakdown *memory, uint64_t *fields[MEMORY_FIELDS])
{
	uint64_t *const order[MEMORY_FIELDS] = {
	    &memory->rss_bytes,	  &memory->allocator_bytes, &memory->heap_bytes,
	    &memory->arena_bytes, &memory->anon_bytes,	    &memory->file_bytes,
	    &memory->stack_bytes, &memory->shared_bytes,    &memory->swap_bytes,
	};

	for (size_t i = 0; i < MEMORY_FIELDS; i++)
		fields[i] = order[i];
}
