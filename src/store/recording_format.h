/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * recording_format.h - what the writer and the reader of recordings agree on. Only for src/store.
 *
 *	recording_write.c	a profile's rows into a file
 *	recording_read.c	the file: is it ours, is it whole, roll back what a killed writer
 *left recording_rows.c	the rows of an open file, none of them trusted, into a profile
 */
#ifndef SEEP_STORE_RECORDING_FORMAT_H
#define SEEP_STORE_RECORDING_FORMAT_H

#include <sqlite3.h>
#include <stdint.h>

#include "target/process.h"

struct err;
struct profile;

#define APPLICATION_ID 0x73656570 /* "seep" */
#define FORMAT_VERSION 2

#define TEXT_MAX_BYTES 65536 /* longer names are cut when written */
#define READER_BUSY_MS 5000
#define MEMORY_FIELDS  9
#define INLINE_LIMIT   64 /* functions of one frame */

/* The text of schema.sql. */
extern const char recording_schema[];

/* "./" in front of what SQLite would take for something else than a path ("file:...", ":memory:").
 * The caller frees the result; NULL when memory is out. */
char *path_plain(const char *path);

/* Run statements that return no rows. Returns SQLite's status. */
int database_execute(sqlite3 *db, const char *sql);

/* The fields of a breakdown in the order in which the file holds them, 64 bits each. */
void memory_fields(struct memory_breakdown *memory, uint64_t *fields[MEMORY_FIELDS]);

/*
 * Read an open database of 'file_bytes' bytes into 'profile', for profile_deinit(). 'path' is for
 * messages. Returns 0, -EINVAL (damaged) or -ENOMEM; then the profile is empty.
 */
int rows_read(sqlite3 *db, uint64_t file_bytes, const char *path, struct profile *profile,
	      struct err *err);

/* For _cleanup_(). */
static inline void database_close_ptr(sqlite3 **db)
{
	sqlite3_close_v2(*db);
}

static inline void statement_close_ptr(sqlite3_stmt **statement)
{
	sqlite3_finalize(*statement);
}

#endif
