/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * recording.c - see recording.h; the tables are in schema.sql.
 *
 * Why a rollback journal in mode DELETE: between two snapshots there is exactly one file and it is
 * whole, so it can be copied, or read where nobody may write. (With a write-ahead log the newest
 * data lies in a second file for most of the time.) The cache never spills, so the file itself is
 * written only while a commit lasts; a kill in that moment leaves the old pages in FILE-journal,
 * and the reader takes them from there, in a copy: it never changes what it reads.
 *
 * synchronous=NORMAL: kill -9 needs no fsync at all, but a crash of the machine does, and two per
 * snapshot are cheap at one snapshot in seconds.
 *
 * A new file is made under a temporary name and gets its own only when the tables are in it: a
 * kill never leaves an empty file, and a symbolic link at the place is replaced, not followed.
 */
#include "store/recording.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <math.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/table.h"
#include "base/vec.h"

#define APPLICATION_ID 0x73656570 /* "seep" */
#define FORMAT_VERSION 1

#define TEXT_MAX_BYTES	65536 /* longer names are cut when written */
#define WRITER_BUSY_MS	1000
#define READER_BUSY_MS	5000
#define MEMORY_FIELDS	9
#define PROCESS_LIMIT	PROCS_MAX
#define SNAPSHOT_LIMIT	(1U << 22)
#define RSS_CELLS_LIMIT (1U << 24)
#define INLINE_LIMIT	64   /* functions of one frame */
#define BYTES_LIMIT	1e18 /* sums of a few of them stay finite and exact enough */
#define HEADER_BYTES	100

static const char schema[] =
#include "schema.inc"
    ;

static inline void database_close_ptr(sqlite3 **db)
{
	sqlite3_close_v2(*db);
}

static inline void statement_close_ptr(sqlite3_stmt **statement)
{
	sqlite3_finalize(*statement);
}

/* SQLite takes "file:..." and ":memory:" for something else than a path: "./" in front of it. */
static char *path_plain(const char *path)
{
	char *plain = NULL;

	return asprintf(&plain, "%s%s", path[0] == '/' ? "" : "./", path) < 0 ? NULL : plain;
}

/* ---- writing ------------------------------------------------------------------------------------
 */

enum statement {
	PUT_TEXT,
	PUT_PROCESS,
	PUT_SNAPSHOT,
	PUT_RSS,
	PUT_SITE,
	PUT_STACK,
	DROP_FRAME,
	PUT_FRAME,
	PUT_POINT,
	PUT_AGE,
	PUT_EPOCH,
	PUT_LOSS,
	PUT_EVENT,
	PUT_SUMMARY,
	PUT_COMPLETE,
	STATEMENT_COUNT,
};

static const char *const statement_sql[STATEMENT_COUNT] = {
    [PUT_TEXT] = "INSERT INTO text VALUES (?, ?)",
    [PUT_PROCESS] = "REPLACE INTO process VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [PUT_SNAPSHOT] = "REPLACE INTO snapshot VALUES (?, ?, ?, ?, ?, ?)",
    [PUT_RSS] = "REPLACE INTO rss VALUES (?, ?, ?)",
    [PUT_SITE] = "REPLACE INTO site VALUES (?, ?, ?, ?)",
    [PUT_STACK] = "REPLACE INTO stack VALUES (?, ?, ?, ?)",
    [DROP_FRAME] = "DELETE FROM frame WHERE frame = ?",
    [PUT_FRAME] = "INSERT INTO frame VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [PUT_POINT] = "REPLACE INTO point VALUES (?, ?, ?, ?, ?, ?, ?)",
    [PUT_AGE] = "REPLACE INTO age VALUES (?, ?, ?, ?)",
    [PUT_EPOCH] = "REPLACE INTO epoch VALUES (?, ?)",
    [PUT_LOSS] = "REPLACE INTO loss VALUES (?, ?, ?)",
    [PUT_EVENT] = "INSERT INTO event (time_ns, kind_text, text_text) VALUES (?, ?, ?)",
    [PUT_SUMMARY] = "UPDATE recording SET duration_ns = ?, ns_per_hit = ?, hits = ?, "
		    "cpu_percent = ?, unmatched_frees = ?, "
		    "sample_bytes = max(sample_bytes, ?)",
    [PUT_COMPLETE] = "UPDATE recording SET complete = 1",
};

struct recording {
	sqlite3 *db;
	char *path;
	sqlite3_stmt *statements[STATEMENT_COUNT];
	struct arena *arena; /* the texts written so far, interned */
	struct table *texts; /* their addresses; index + 1 is the id in the file */
	bool open;	     /* a transaction is */
	struct err failure;  /* the first; nothing is written after it */
};

/* The errno of SQLite's last failure. */
static int database_errno(sqlite3 *db)
{
	int system = 0;

	sqlite3_file_control(db, "main", SQLITE_FCNTL_LAST_ERRNO, &system);
	if (!system)
		system = sqlite3_system_errno(db);
	switch (sqlite3_errcode(db) & 0xff) {
	case SQLITE_FULL:
		return ENOSPC;
	case SQLITE_NOMEM:
		return ENOMEM;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return EBUSY;
	case SQLITE_IOERR:
	case SQLITE_CANTOPEN:
	case SQLITE_PERM:
	case SQLITE_READONLY:
		return system ? system : EIO;
	default:
		return EIO;
	}
}

static int write_error(sqlite3 *db, const char *path, struct err *err)
{
	int code = database_errno(db);

	switch (code) {
	case ENOSPC:
		return err_set(err, code, "cannot write '%s': disk full", path);
	case EDQUOT:
		return err_set(err, code, "cannot write '%s': disk quota used up", path);
	case EFBIG:
		return err_set(err, code, "cannot write '%s': file size limit reached", path);
	case EBUSY:
		return err_set(err, code, "cannot write '%s': another program has locked it", path);
	default:
		return err_set(err, code, "cannot write '%s': %s (%s)", path, strerror(code),
			       sqlite3_errmsg(db));
	}
}

/* Keep the first failure and hand it on. */
static int recording_fail(struct recording *recording, struct err *err)
{
	if (!recording->failure.code)
		write_error(recording->db, recording->path, &recording->failure);
	if (err)
		*err = recording->failure;
	return -recording->failure.code;
}

static int recording_fail_memory(struct recording *recording)
{
	if (!recording->failure.code)
		err_set(&recording->failure, ENOMEM, "cannot write '%s': out of memory",
			recording->path);
	return -recording->failure.code;
}

/* Bind by type: i int64_t, d double, b pointer and int length, s text (const char *, NULL allowed),
 * t interned text. */
static int bind_arguments(struct recording *recording, sqlite3_stmt *statement, const char *types,
			  va_list args);

static int put(struct recording *recording, enum statement which, const char *types, ...)
{
	sqlite3_stmt **statement = &recording->statements[which];
	va_list args;
	int status;

	if (recording_begin(recording, NULL))
		return -recording->failure.code;
	if (!*statement && sqlite3_prepare_v3(recording->db, statement_sql[which], -1,
					      SQLITE_PREPARE_PERSISTENT, statement, NULL))
		return recording_fail(recording, NULL);
	va_start(args, types);
	status = bind_arguments(recording, *statement, types, args);
	va_end(args);
	if (status)
		return status;
	if (sqlite3_step(*statement) != SQLITE_DONE)
		recording_fail(recording, NULL);
	sqlite3_reset(*statement);
	sqlite3_clear_bindings(*statement);
	return -recording->failure.code;
}

/* The id of a text in the file; writes it when it is new. Returns 0 or -errno. */
static int text_intern(struct recording *recording, const char *text, int64_t *id)
{
	_cleanup_free_ char *shorter = NULL;
	const char *kept;
	bool added;
	ssize_t index;

	if (strnlen(text, TEXT_MAX_BYTES + 1) > TEXT_MAX_BYTES) {
		shorter = strndup(text, TEXT_MAX_BYTES);
		if (!shorter)
			return recording_fail_memory(recording);
		text = shorter;
	}
	kept = arena_intern(recording->arena, text);
	index = kept ? table_add(recording->texts, &kept, &added) : -1;
	if (index < 0)
		return recording_fail_memory(recording);
	*id = index + 1;
	return added ? put(recording, PUT_TEXT, "is", *id, kept) : 0;
}

static int bind_text(struct recording *recording, sqlite3_stmt *statement, int column,
		     const char *text)
{
	int64_t id = 0;
	int status;

	if (!text)
		return sqlite3_bind_null(statement, column);
	status = text_intern(recording, text, &id);
	return status ? status : sqlite3_bind_int64(statement, column, id);
}

static int bind_arguments(struct recording *recording, sqlite3_stmt *statement, const char *types,
			  va_list args)
{
	for (int column = 1; types[column - 1]; column++) {
		const void *bytes;

		switch (types[column - 1]) {
		case 'i':
			sqlite3_bind_int64(statement, column, va_arg(args, int64_t));
			break;
		case 'd':
			sqlite3_bind_double(statement, column, va_arg(args, double));
			break;
		case 's':
			sqlite3_bind_text(statement, column, va_arg(args, const char *), -1,
					  SQLITE_STATIC);
			break;
		case 'b':
			bytes = va_arg(args, const void *);
			sqlite3_bind_blob(statement, column, bytes, va_arg(args, int),
					  SQLITE_STATIC);
			break;
		case 't':
			if (bind_text(recording, statement, column, va_arg(args, const char *)))
				return -recording->failure.code;
			break;
		}
	}
	return 0;
}

static int execute(sqlite3 *db, const char *sql)
{
	return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

/* The settings that are not stored in the file. */
static int writer_open(const char *path, sqlite3 **db)
{
	int status =
	    sqlite3_open_v2(path, db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_PRIVATECACHE, NULL);

	if (status)
		return status;
	sqlite3_busy_timeout(*db, WRITER_BUSY_MS);
	return execute(*db, "PRAGMA journal_mode = DELETE; PRAGMA synchronous = NORMAL;"
			    "PRAGMA cache_spill = OFF; PRAGMA temp_store = MEMORY");
}

static int tables_create(sqlite3 *db, const struct recording_meta *meta)
{
	_cleanup_(statement_close_ptr) sqlite3_stmt *insert = NULL;
	const char *texts[] = {meta->version, meta->kernel, meta->host};
	const uint64_t numbers[] = {meta->start_unix_ns, meta->interval_ns, meta->settle_ns,
				    meta->sample_bytes};
	char pragmas[128];

	snprintf(pragmas, sizeof(pragmas), "PRAGMA application_id = %d; PRAGMA user_version = %d",
		 APPLICATION_ID, FORMAT_VERSION);
	if (execute(db, "BEGIN") || execute(db, pragmas) || execute(db, schema))
		return -1;
	if (sqlite3_prepare_v2(
		db,
		"INSERT INTO recording (id, version, kernel, host, start_unix_ns,"
		" interval_ns, settle_ns, sample_bytes) VALUES (1, ?, ?, ?, ?, ?, ?, ?)",
		-1, &insert, NULL))
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		sqlite3_bind_text(insert, 1 + i, texts[i] ? texts[i] : "", -1, SQLITE_STATIC);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		sqlite3_bind_int64(insert, 1 + ARRAY_LEN(texts) + i, numbers[i]);
	if (sqlite3_step(insert) != SQLITE_DONE)
		return -1;
	return execute(db, "COMMIT");
}

/* Fill the empty file 'path' with tables. 'name' is for messages. */
static int tables_write(const char *path, const char *name, const struct recording_meta *meta,
			struct err *err)
{
	_cleanup_(database_close_ptr) sqlite3 *db = NULL;

	if (writer_open(path, &db) || tables_create(db, meta))
		return write_error(db, name, err);
	return 0;
}

/* Give the finished file its name. */
static int file_publish(const char *from, const char *to, bool overwrite)
{
	if (overwrite)
		return rename(from, to) ? -errno : 0;
	if (!renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE))
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	/* a file system that cannot: a hard link does not replace either */
	if (link(from, to))
		return -errno;
	return unlink(from) ? -errno : 0;
}

static int create_error(int code, const char *path, struct err *err)
{
	if (code == EEXIST)
		return err_set(err, code, "'%s' is already there (-f replaces it)", path);
	if (code == ENOSPC)
		return err_set(err, code, "cannot write '%s': disk full", path);
	return err_set(err, code, "cannot create '%s': %s", path, strerror(code));
}

static int file_create(const char *plain, const char *path, bool overwrite,
		       const struct recording_meta *meta, struct err *err)
{
	_cleanup_free_ char *temporary = NULL;
	_cleanup_close_ int fd = -1;
	struct stat stat;
	int status;

	if (!lstat(plain, &stat) && (!overwrite || S_ISDIR(stat.st_mode)))
		return create_error(overwrite ? EISDIR : EEXIST, path, err);
	if (asprintf(&temporary, "%s.new.%d", plain, (int)getpid()) < 0)
		return create_error(ENOMEM, path, err);
	unlink(temporary); /* of a killed process with our pid */
	fd = open(temporary, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0666);
	if (fd < 0)
		return create_error(errno, path, err);
	status = tables_write(temporary, path, meta, err);
	if (!status) {
		status = file_publish(temporary, plain, overwrite);
		if (status)
			create_error(-status, path, err);
	}
	if (status)
		unlink(temporary);
	return status;
}

static void recording_free(struct recording *recording)
{
	if (!recording)
		return;
	for (size_t i = 0; i < STATEMENT_COUNT; i++)
		sqlite3_finalize(recording->statements[i]);
	sqlite3_close_v2(recording->db);
	arena_free(recording->arena);
	table_free(recording->texts);
	free(recording->path);
	free(recording);
}

int recording_create(const char *path, bool overwrite, const struct recording_meta *meta,
		     struct recording **recording, struct err *err)
{
	_cleanup_free_ char *plain = path_plain(path);
	struct recording *made = calloc(1, sizeof(*made));
	int status = -ENOMEM;

	if (made) {
		made->path = strdup(path);
		made->arena = arena_new();
		made->texts = table_new(sizeof(const char *));
	}
	if (!plain || !made || !made->path || !made->arena || !made->texts)
		err_set(err, ENOMEM, "cannot create '%s': out of memory", path);
	else
		status = file_create(plain, path, overwrite, meta, err);
	if (!status && writer_open(plain, &made->db))
		status = write_error(made->db, path, err);
	if (status) {
		recording_free(made);
		return status;
	}
	*recording = made;
	return 0;
}

int recording_begin(struct recording *recording, struct err *err)
{
	if (recording->failure.code)
		return recording_fail(recording, err);
	if (recording->open)
		return 0;
	if (execute(recording->db, "BEGIN"))
		return recording_fail(recording, err);
	recording->open = true;
	return 0;
}

int recording_commit(struct recording *recording, struct err *err)
{
	int status;

	if (recording->failure.code)
		return recording_fail(recording, err);
	status = execute(recording->db, "COMMIT");
	if ((status & 0xff) == SQLITE_BUSY)
		return 0; /* a reader is at it: the next commit takes both snapshots */
	recording->open = false;
	return status ? recording_fail(recording, err) : 0;
}

static void memory_pack(const struct memory_breakdown *memory, uint64_t packed[MEMORY_FIELDS])
{
	const uint64_t fields[MEMORY_FIELDS] = {
	    memory->rss_bytes,	 memory->allocator_bytes, memory->heap_bytes,
	    memory->arena_bytes, memory->anon_bytes,	  memory->file_bytes,
	    memory->stack_bytes, memory->shared_bytes,	  memory->swap_bytes,
	};

	for (size_t i = 0; i < MEMORY_FIELDS; i++)
		packed[i] = htole64(fields[i]);
}

int recording_put_process(struct recording *recording, uint32_t id,
			  const struct profile_process *process)
{
	uint64_t start[MEMORY_FIELDS], end[MEMORY_FIELDS];
	char comm[COMM_MAX + 1];

	memory_pack(&process->start_memory, start);
	memory_pack(&process->end_memory, end);
	snprintf(comm, sizeof(comm), "%.*s", COMM_MAX, process->comm);
	return put(recording, PUT_PROCESS, "iiittttiitbb", (int64_t)id, (int64_t)process->pid,
		   process->start_time_ns, comm, process->exe, process->python, process->allocator,
		   process->begin_ns, process->end_ns, process->end_reason, start,
		   (int)sizeof(start), end, (int)sizeof(end));
}

int recording_put_snapshot(struct recording *recording, uint32_t id,
			   const struct profile_snapshot *snapshot)
{
	return put(recording, PUT_SNAPSHOT, "iiiiii", (int64_t)id, snapshot->time_ns,
		   snapshot->events, snapshot->bpf_ns, (int64_t)snapshot->marked,
		   (int64_t)snapshot->settling);
}

int recording_put_rss(struct recording *recording, uint32_t snapshot, uint32_t process,
		      uint64_t rss_bytes)
{
	return put(recording, PUT_RSS, "iii", (int64_t)snapshot, (int64_t)process, rss_bytes);
}

int recording_put_site(struct recording *recording, uint32_t id, uint32_t process,
		       uint32_t alloc_class, uint32_t stack)
{
	return put(recording, PUT_SITE, "iiii", (int64_t)id, (int64_t)process, (int64_t)alloc_class,
		   (int64_t)stack);
}

int recording_put_stack(struct recording *recording, uint32_t id, const uint64_t *frames,
			uint32_t frame_count, bool truncated, uint8_t end_reason)
{
	uint64_t packed[STACK_MAX_FRAMES];

	if (frame_count > STACK_MAX_FRAMES)
		frame_count = STACK_MAX_FRAMES;
	for (uint32_t i = 0; i < frame_count; i++)
		packed[i] = htole64(frames[i]);
	return put(recording, PUT_STACK, "ibii", (int64_t)id, packed,
		   (int)(frame_count * sizeof(packed[0])), (int64_t)truncated, (int64_t)end_reason);
}

int recording_put_frame(struct recording *recording, uint64_t frame,
			const struct profile_frame *lines, uint32_t line_count)
{
	int status = put(recording, DROP_FRAME, "i", frame);

	for (uint32_t i = 0; i < line_count && i < INLINE_LIMIT && !status; i++)
		status =
		    put(recording, PUT_FRAME, "iitttiiiii", frame, (int64_t)i,
			lines[i].function ? lines[i].function : "", lines[i].file, lines[i].module,
			lines[i].offset, (int64_t)lines[i].line, (int64_t)lines[i].python,
			(int64_t)lines[i].inlined, (int64_t)lines[i].internal);
	return status;
}

int recording_put_point(struct recording *recording, uint32_t site, const struct site_point *point)
{
	const struct site_totals *totals = &point->totals;

	return put(recording, PUT_POINT, "iiddddd", (int64_t)point->snapshot, (int64_t)site,
		   totals->alloc_bytes, totals->alloc_blocks, totals->free_bytes,
		   totals->free_blocks, totals->variance);
}

int recording_put_age(struct recording *recording, uint32_t site, uint32_t age, double alloc_bytes,
		      double free_bytes)
{
	return put(recording, PUT_AGE, "iidd", (int64_t)site, (int64_t)age, alloc_bytes,
		   free_bytes);
}

int recording_put_epoch(struct recording *recording, uint32_t age, uint64_t start_ns)
{
	return put(recording, PUT_EPOCH, "ii", (int64_t)age, start_ns);
}

int recording_put_loss(struct recording *recording, const char *key, const char *text,
		       uint64_t count)
{
	return put(recording, PUT_LOSS, "tti", key, text, count);
}

int recording_put_event(struct recording *recording, const struct profile_event *event)
{
	return put(recording, PUT_EVENT, "itt", event->time_ns, event->kind, event->text);
}

int recording_put_summary(struct recording *recording, const struct profile *summary)
{
	return put(recording, PUT_SUMMARY, "ididii", summary->duration_ns, summary->ns_per_hit,
		   summary->hits, summary->cpu_percent, summary->unmatched_frees,
		   summary->sample_bytes);
}

int recording_close(struct recording *recording, struct err *err)
{
	int status;

	put(recording, PUT_COMPLETE, "");
	if (recording->open && !recording->failure.code) {
		sqlite3_busy_timeout(recording->db, READER_BUSY_MS);
		if (execute(recording->db, "COMMIT"))
			recording_fail(recording, NULL);
	}
	status = -recording->failure.code;
	if (status && err)
		*err = recording->failure;
	recording_free(recording);
	return status;
}

/* ---- reading: rows that are not trusted
 * ---------------------------------------------------------- */

/* Ids of rows, ascending as they are read; the index of an id is its place. */
struct id_list {
	uint32_t *items;
	size_t count, capacity;
};

/* Where the functions of a frame lie in profile->frames. */
struct frame_span {
	uint32_t first, count;
};

/* A stack as read, its frames expanded. */
struct stack_row {
	uint32_t *frames;
	uint32_t frame_count;
	bool truncated;
	uint8_t end_reason;
};

struct reader {
	sqlite3 *db;
	struct profile *profile;
	const char *damage; /* first thing found wrong; NULL while all is well */
	bool no_memory;
	uint64_t budget; /* bytes that rows may still claim: a sane file holds each once */
	struct id_list texts, processes, snapshots, sites, stacks;
	struct {
		const char **items;
		size_t count, capacity;
	} text_rows;
	struct {
		struct profile_process *items;
		size_t count, capacity;
	} process_rows;
	struct {
		struct profile_snapshot *items;
		size_t count, capacity;
	} snapshot_rows;
	struct {
		struct profile_frame *items;
		size_t count, capacity;
	} frame_rows;
	struct {
		struct frame_span *items;
		size_t count, capacity;
	} spans;
	struct {
		struct stack_row *items;
		size_t count, capacity;
	} stack_rows;
	struct {
		struct profile_site *items;
		size_t count, capacity;
	} site_rows;
	struct {
		struct profile_loss *items;
		size_t count, capacity;
	} loss_rows;
	struct {
		struct profile_event *items;
		size_t count, capacity;
	} event_rows;
	struct table *frames;  /* keys: 64-bit frames; index into spans */
	struct table *modules; /* keys: binary ids of named frames; index into module_names */
	struct {
		const char **items;
		size_t count, capacity;
	} module_names;
};

struct rows {
	struct reader *reader;
	sqlite3_stmt *statement;
};

static void damaged(struct reader *reader, const char *what)
{
	if (!reader->damage)
		reader->damage = what;
}

static bool reader_failed(const struct reader *reader)
{
	return reader->damage || reader->no_memory;
}

static struct rows rows_begin(struct reader *reader, const char *sql)
{
	struct rows rows = {.reader = reader};

	if (!reader_failed(reader) &&
	    sqlite3_prepare_v2(reader->db, sql, -1, &rows.statement, NULL))
		damaged(reader, "its tables cannot be read");
	return rows;
}

/* Spend what a row or a text takes; a file cannot hold more than it has bytes. */
static bool budget_take(struct reader *reader, uint64_t bytes)
{
	if (bytes > reader->budget) {
		damaged(reader, "it claims more rows than fit into it");
		return false;
	}
	reader->budget -= bytes;
	return true;
}

/* Step to the next row; at the end, and on any failure, closes the statement and returns false. */
static bool rows_next(struct rows *rows)
{
	struct reader *reader = rows->reader;
	int status = SQLITE_DONE;

	if (!reader_failed(reader) && rows->statement) {
		status = sqlite3_step(rows->statement);
		if (status == SQLITE_ROW && budget_take(reader, 2))
			return true;
		if (status == SQLITE_NOMEM)
			reader->no_memory = true;
		else if (status != SQLITE_DONE)
			damaged(reader, "a table cannot be read to its end");
	}
	sqlite3_finalize(rows->statement);
	rows->statement = NULL;
	return false;
}

static uint64_t column_number(struct rows *rows, int column, uint64_t most)
{
	/* the type first: asking for a value may convert it */
	int type = sqlite3_column_type(rows->statement, column);
	sqlite3_int64 value = sqlite3_column_int64(rows->statement, column);

	if (type != SQLITE_INTEGER || value < 0 || (uint64_t)value > most) {
		damaged(rows->reader, "a number is out of range");
		return 0;
	}
	return value;
}

static bool column_flag(struct rows *rows, int column)
{
	return column_number(rows, column, 1);
}

static double column_amount(struct rows *rows, int column)
{
	int type = sqlite3_column_type(rows->statement, column);
	double value = sqlite3_column_double(rows->statement, column);

	if ((type != SQLITE_INTEGER && type != SQLITE_FLOAT) || !isfinite(value) || value < 0 ||
	    value > BYTES_LIMIT) {
		damaged(rows->reader, "a number is out of range");
		return 0;
	}
	return value;
}

/* A variance is bytes^2, and the difference of two sums: it may be a hair below zero. */
static double column_variance(struct rows *rows, int column)
{
	int type = sqlite3_column_type(rows->statement, column);
	double value = sqlite3_column_double(rows->statement, column);

	if ((type != SQLITE_INTEGER && type != SQLITE_FLOAT) || !isfinite(value) ||
	    fabs(value) > BYTES_LIMIT * BYTES_LIMIT) {
		damaged(rows->reader, "a number is out of range");
		return 0;
	}
	return fmax(value, 0);
}

/* Text stored in the row itself. Interned in the profile's arena; "" on failure. */
static const char *column_string(struct rows *rows, int column)
{
	struct reader *reader = rows->reader;
	int type = sqlite3_column_type(rows->statement, column);
	const char *text = (const char *)sqlite3_column_text(rows->statement, column), *kept;
	size_t length = sqlite3_column_bytes(rows->statement, column);

	if (type != SQLITE_TEXT || !text || strlen(text) != length) {
		damaged(reader, "a text is none");
		return "";
	}
	if (!budget_take(reader, length))
		return "";
	kept = arena_intern(reader->profile->arena, text);
	reader->no_memory |= !kept;
	return kept ? kept : "";
}

/* The index of an id, or -1. Ids are usually dense, from 0 or 1. */
static ssize_t id_index(const struct id_list *ids, uint64_t id)
{
	size_t low = 0, high = ids->count;

	if (id < ids->count && ids->items[id] == id)
		return id;
	if (id && id <= ids->count && ids->items[id - 1] == id)
		return id - 1;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (ids->items[middle] < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < ids->count && ids->items[low] == id ? (ssize_t)low : -1;
}

/* Take the row's id, which must be above the one before. */
static void column_new_id(struct rows *rows, int column, struct id_list *ids)
{
	struct reader *reader = rows->reader;
	uint32_t id = column_number(rows, column, UINT32_MAX), *item;

	if (ids->count && id <= ids->items[ids->count - 1])
		damaged(reader, "its rows are out of order");
	item = vec_add(ids);
	if (item)
		*item = id;
	reader->no_memory |= !item;
}

/* The index of the row that a column refers to; 0 on failure. */
static uint32_t column_reference(struct rows *rows, int column, const struct id_list *ids,
				 const char *missing)
{
	ssize_t index = id_index(ids, column_number(rows, column, UINT32_MAX));

	if (index < 0)
		damaged(rows->reader, missing);
	return index < 0 ? 0 : index;
}

static const char *column_text_or_null(struct rows *rows, int column)
{
	struct reader *reader = rows->reader;
	uint32_t index;

	if (sqlite3_column_type(rows->statement, column) == SQLITE_NULL)
		return NULL;
	index = column_reference(rows, column, &reader->texts, "a text is missing");
	return reader_failed(reader) ? "" : reader->text_rows.items[index];
}

static const char *column_text(struct rows *rows, int column)
{
	const char *text = column_text_or_null(rows, column);

	if (!text)
		damaged(rows->reader, "a text is missing");
	return text ? text : "";
}

static void column_memory(struct rows *rows, int column, struct memory_breakdown *memory)
{
	int type = sqlite3_column_type(rows->statement, column);
	const void *blob = sqlite3_column_blob(rows->statement, column);
	uint64_t packed[MEMORY_FIELDS];
	uint64_t *const fields[MEMORY_FIELDS] = {
	    &memory->rss_bytes,	  &memory->allocator_bytes, &memory->heap_bytes,
	    &memory->arena_bytes, &memory->anon_bytes,	    &memory->file_bytes,
	    &memory->stack_bytes, &memory->shared_bytes,    &memory->swap_bytes,
	};

	if (type != SQLITE_BLOB || !blob ||
	    sqlite3_column_bytes(rows->statement, column) != sizeof(packed)) {
		damaged(rows->reader, "a memory breakdown has the wrong size");
		return;
	}
	memcpy(packed, blob, sizeof(packed));
	for (size_t i = 0; i < MEMORY_FIELDS; i++) {
		*fields[i] = le64toh(packed[i]);
		if (*fields[i] > INT64_MAX)
			damaged(rows->reader, "a number is out of range");
	}
}

/* Move a vector into the profile's arena. NULL and no_memory on failure. */
static void *array_keep(struct reader *reader, void *items, size_t item_bytes, size_t count,
			uint32_t *kept_count)
{
	void *kept = arena_alloc_array(reader->profile->arena, item_bytes, count + 1);

	if (!kept || count > UINT32_MAX) {
		reader->no_memory = true;
		return NULL;
	}
	if (count)
		memcpy(kept, items, item_bytes * count);
	*kept_count = count;
	return kept;
}

#define VEC_KEEP(reader, vec, kept_count)                                                          \
	array_keep(reader, (vec)->items, sizeof(*(vec)->items), (vec)->count, kept_count)

/* ---- reading: one function per table
 * -------------------------------------------------------------- */

static void read_recording(struct reader *reader)
{
	struct profile *profile = reader->profile;
	struct rows rows = rows_begin(
	    reader, "SELECT version, kernel, host, start_unix_ns, interval_ns, settle_ns,"
		    " sample_bytes, duration_ns, ns_per_hit, hits, cpu_percent,"
		    " unmatched_frees, complete FROM recording ORDER BY id");
	unsigned int count = 0;

	while (rows_next(&rows)) {
		if (count++) {
			damaged(reader, "it holds more than one recording");
			continue;
		}
		profile->version = column_string(&rows, 0);
		profile->kernel = column_string(&rows, 1);
		profile->host = column_string(&rows, 2);
		profile->start_unix_ns = column_number(&rows, 3, INT64_MAX);
		profile->interval_ns = column_number(&rows, 4, INT64_MAX);
		profile->settle_ns = column_number(&rows, 5, INT64_MAX);
		profile->sample_bytes = column_number(&rows, 6, INT64_MAX);
		profile->duration_ns = column_number(&rows, 7, INT64_MAX);
		profile->ns_per_hit = column_amount(&rows, 8);
		profile->hits = column_number(&rows, 9, INT64_MAX);
		profile->cpu_percent = column_amount(&rows, 10);
		profile->unmatched_frees = column_number(&rows, 11, INT64_MAX);
		profile->complete = column_flag(&rows, 12);
	}
	if (!count)
		damaged(reader, "it holds no recording");
}

static void read_texts(struct reader *reader)
{
	struct rows rows = rows_begin(reader, "SELECT id, text FROM text ORDER BY id");

	while (rows_next(&rows)) {
		const char **text = vec_add(&reader->text_rows);

		column_new_id(&rows, 0, &reader->texts);
		if (text)
			*text = column_string(&rows, 1);
		reader->no_memory |= !text;
	}
}

static void read_processes(struct reader *reader)
{
	struct rows rows = rows_begin(reader, "SELECT id, pid, start_time_ns, comm_text, exe_text,"
					      " python_text, allocator_text, begin_ns, end_ns,"
					      " end_reason_text, start_memory, end_memory"
					      " FROM process ORDER BY id");

	while (rows_next(&rows)) {
		struct profile_process *process = vec_add(&reader->process_rows);

		column_new_id(&rows, 0, &reader->processes);
		if (!process || reader->processes.count > PROCESS_LIMIT) {
			damaged(reader, "it holds too many processes");
			continue;
		}
		process->pid = column_number(&rows, 1, INT32_MAX);
		process->start_time_ns = column_number(&rows, 2, INT64_MAX);
		snprintf(process->comm, sizeof(process->comm), "%s", column_text(&rows, 3));
		process->exe = column_text_or_null(&rows, 4);
		process->python = column_text_or_null(&rows, 5);
		process->allocator = column_text_or_null(&rows, 6);
		process->begin_ns = column_number(&rows, 7, INT64_MAX);
		process->end_ns = column_number(&rows, 8, INT64_MAX);
		process->end_reason = column_text_or_null(&rows, 9);
		column_memory(&rows, 10, &process->start_memory);
		column_memory(&rows, 11, &process->end_memory);
		if (!process->exe)
			process->exe = "";
	}
	reader->profile->processes =
	    VEC_KEEP(reader, &reader->process_rows, &reader->profile->process_count);
}

static void read_snapshots(struct reader *reader)
{
	struct rows rows = rows_begin(reader, "SELECT id, time_ns, events, bpf_ns, marked, settling"
					      " FROM snapshot ORDER BY id");
	uint64_t last_ns = 0;

	while (rows_next(&rows)) {
		struct profile_snapshot *snapshot = vec_add(&reader->snapshot_rows);

		column_new_id(&rows, 0, &reader->snapshots);
		if (!snapshot || reader->snapshots.count > SNAPSHOT_LIMIT) {
			damaged(reader, "it holds too many snapshots");
			continue;
		}
		snapshot->time_ns = column_number(&rows, 1, INT64_MAX);
		snapshot->events = column_number(&rows, 2, INT64_MAX);
		snapshot->bpf_ns = column_number(&rows, 3, INT64_MAX);
		snapshot->marked = column_flag(&rows, 4);
		snapshot->settling = column_flag(&rows, 5);
		if (snapshot->time_ns < last_ns)
			damaged(reader, "its snapshots are out of order");
		last_ns = snapshot->time_ns;
	}
	if (reader->profile->duration_ns < last_ns)
		reader->profile->duration_ns = last_ns;
	reader->profile->snapshots =
	    VEC_KEEP(reader, &reader->snapshot_rows, &reader->profile->snapshot_count);
}

static void read_rss(struct reader *reader)
{
	struct profile *profile = reader->profile;
	struct rows rows;

	if (reader_failed(reader))
		return;
	if ((uint64_t)profile->process_count * profile->snapshot_count > RSS_CELLS_LIMIT) {
		damaged(reader, "it holds too many snapshots of too many processes");
		return;
	}
	for (uint32_t i = 0; i < profile->process_count; i++) {
		profile->processes[i].rss_bytes =
		    arena_array(profile->arena, uint64_t, profile->snapshot_count + 1UL);
		reader->no_memory |= !profile->processes[i].rss_bytes;
	}
	rows = rows_begin(reader, "SELECT snapshot, process, bytes FROM rss");
	while (rows_next(&rows)) {
		uint32_t snapshot =
		    column_reference(&rows, 0, &reader->snapshots, "a snapshot is missing");
		uint32_t process =
		    column_reference(&rows, 1, &reader->processes, "a process is missing");
		uint64_t bytes = column_number(&rows, 2, INT64_MAX);

		if (!reader_failed(reader))
			profile->processes[process].rss_bytes[snapshot] = bytes;
	}
}

/* Remember the module of a named native frame for those of the same binary that have no name. */
static void module_remember(struct reader *reader, uint64_t frame, const char *module)
{
	uint32_t binary_id = frame >> FRAME_PC_BITS;
	const char **name;
	bool added;

	if (frame >> FRAME_TAG_SHIFT != FRAME_NATIVE || !module)
		return;
	if (table_add(reader->modules, &binary_id, &added) < 0)
		reader->no_memory = true;
	else if (added) {
		name = vec_add(&reader->module_names);
		if (name)
			*name = module;
		reader->no_memory |= !name;
	}
}

static const char *text_format(struct reader *reader, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static const char *text_format(struct reader *reader, const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	const char *kept = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) >= 0)
		kept = arena_intern(reader->profile->arena, text);
	va_end(args);
	reader->no_memory |= !kept;
	return kept ? kept : "?";
}

static const char *path_base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

/* "module+0x12" or "0x12": what is known of code without a name. */
static const char *offset_name(struct reader *reader, const char *module, uint64_t offset)
{
	if (module && module[0])
		return text_format(reader, "%s+0x%llx", path_base(module),
				   (unsigned long long)offset);
	return text_format(reader, "0x%llx", (unsigned long long)offset);
}

/* Begin or go on with the span of 'frame'; returns the new row in it, or NULL. */
static struct profile_frame *span_extend(struct reader *reader, uint64_t frame, uint64_t position)
{
	struct frame_span *span;
	bool added;

	if (table_add(reader->frames, &frame, &added) < 0) {
		reader->no_memory = true;
		return NULL;
	}
	if (added && (span = vec_add(&reader->spans)))
		span->first = reader->frame_rows.count;
	if (reader->spans.count != table_count(reader->frames)) {
		reader->no_memory = true;
		return NULL;
	}
	/* rows come ordered by frame: an old one that is not the last is out of order */
	span = &reader->spans.items[reader->spans.count - 1];
	if ((!added && (size_t)table_find(reader->frames, &frame) != reader->spans.count - 1) ||
	    span->count != position || position >= INLINE_LIMIT) {
		damaged(reader, "its frames are out of order");
		return NULL;
	}
	span->count++;
	return vec_add(&reader->frame_rows);
}

static void read_frames(struct reader *reader)
{
	struct rows rows =
	    rows_begin(reader, "SELECT frame, position, function_text, file_text,"
			       " module_text, offset, line, python, inlined, internal"
			       " FROM frame ORDER BY frame, position");

	while (rows_next(&rows)) {
		int type = sqlite3_column_type(rows.statement, 0);
		uint64_t frame = sqlite3_column_int64(rows.statement, 0);
		struct profile_frame *row;

		if (type != SQLITE_INTEGER)
			damaged(reader, "a frame is no number");
		row = span_extend(reader, frame, column_number(&rows, 1, INLINE_LIMIT));
		if (!row) {
			damaged(reader, "its frames are out of order");
			continue;
		}
		row->function = column_text(&rows, 2);
		row->file = column_text_or_null(&rows, 3);
		row->module = column_text_or_null(&rows, 4);
		row->offset = column_number(&rows, 5, INT64_MAX);
		row->line = column_number(&rows, 6, UINT32_MAX);
		row->python = column_flag(&rows, 7);
		row->inlined = column_flag(&rows, 8);
		row->internal = column_flag(&rows, 9);
		if (!row->function[0])
			row->function = offset_name(reader, row->module, row->offset);
		if (row->file && !row->file[0])
			row->file = NULL;
		module_remember(reader, frame, row->module);
	}
}

/* A frame that was never named: say what its bits say. */
static struct frame_span frame_invent(struct reader *reader, uint64_t frame)
{
	struct profile_frame *row = span_extend(reader, frame, 0);
	uint32_t binary_id = frame >> FRAME_PC_BITS;
	ssize_t module;

	if (!row)
		return (struct frame_span){0};
	row->offset = frame & ((1ULL << FRAME_TAG_SHIFT) - 1);
	row->python = frame >> FRAME_TAG_SHIFT >= FRAME_PYTHON;
	if (frame >> FRAME_TAG_SHIFT == FRAME_NATIVE) {
		row->offset = frame & ((1ULL << FRAME_PC_BITS) - 1);
		module = table_find(reader->modules, &binary_id);
		if (module >= 0 && !reader->no_memory)
			row->module = reader->module_names.items[module];
	}
	row->function = offset_name(reader, row->module, row->offset);
	return reader->spans.items[reader->spans.count - 1];
}

static struct frame_span frame_find(struct reader *reader, uint64_t frame)
{
	ssize_t index = table_find(reader->frames, &frame);

	return index < 0 ? frame_invent(reader, frame) : reader->spans.items[index];
}

/* Write out the inline chains of all frames of a stack. */
static void stack_expand(struct reader *reader, const void *blob, uint32_t count,
			 struct stack_row *stack)
{
	uint64_t frames[STACK_MAX_FRAMES];
	uint32_t total = 0, at = 0;

	if (count)
		memcpy(frames, blob, count * sizeof(frames[0]));
	for (uint32_t i = 0; i < count; i++) {
		frames[i] = le64toh(frames[i]);
		total += frame_find(reader, frames[i]).count;
	}
	stack->frames = arena_array(reader->profile->arena, uint32_t, total + 1UL);
	if (!stack->frames || reader_failed(reader)) {
		reader->no_memory |= !stack->frames;
		return;
	}
	for (uint32_t i = 0; i < count; i++) {
		struct frame_span span = frame_find(reader, frames[i]);

		for (uint32_t k = 0; k < span.count; k++)
			stack->frames[at++] = span.first + k;
	}
	stack->frame_count = at;
}

static void read_stacks(struct reader *reader)
{
	struct rows rows =
	    rows_begin(reader, "SELECT id, frames, truncated, end_reason FROM stack ORDER BY id");

	while (rows_next(&rows)) {
		struct stack_row *stack = vec_add(&reader->stack_rows);
		int type = sqlite3_column_type(rows.statement, 1);
		const void *blob = sqlite3_column_blob(rows.statement, 1);
		uint32_t bytes = sqlite3_column_bytes(rows.statement, 1);

		column_new_id(&rows, 0, &reader->stacks);
		if (!stack) {
			reader->no_memory = true;
			continue;
		}
		stack->truncated = column_flag(&rows, 2);
		stack->end_reason = column_number(&rows, 3, UINT8_MAX);
		if (type != SQLITE_BLOB || bytes % 8 || bytes > STACK_MAX_FRAMES * 8 ||
		    stack->end_reason >= WALK_END_COUNT) {
			damaged(reader, "a stack has the wrong size");
			continue;
		}
		if (budget_take(reader, bytes))
			stack_expand(reader, blob, bytes / 8, stack);
	}
}

/* The one frame of a site whose stack never came. */
static struct stack_row *stack_missing(struct reader *reader)
{
	struct stack_row *stack = vec_add(&reader->stack_rows);
	struct profile_frame *frame = vec_add(&reader->frame_rows);
	uint32_t *index = arena_array(reader->profile->arena, uint32_t, 1);

	if (!stack || !frame || !index) {
		reader->no_memory = true;
		return NULL;
	}
	*index = reader->frame_rows.count - 1;
	frame->function = "[stack not received]";
	*stack = (struct stack_row){.frames = index, .frame_count = 1, .truncated = true};
	return stack;
}

static void site_take_stack(struct rows *rows, struct profile_site *site,
			    const struct stack_row *missing)
{
	struct reader *reader = rows->reader;
	ssize_t index = id_index(&reader->stacks, column_number(rows, 3, UINT32_MAX));
	const struct stack_row *stack = index < 0 ? missing : &reader->stack_rows.items[index];

	if (!stack->frame_count)
		stack = missing;
	site->frames = stack->frames;
	site->frame_count = stack->frame_count;
	site->truncated = stack->truncated;
	site->end_reason = stack->end_reason;
}

static void read_sites(struct reader *reader)
{
	struct rows rows =
	    rows_begin(reader, "SELECT id, process, class, stack FROM site ORDER BY id");
	const struct stack_row *missing = stack_missing(reader);

	while (rows_next(&rows)) {
		struct profile_site *site = vec_add(&reader->site_rows);

		column_new_id(&rows, 0, &reader->sites);
		if (!site || !missing) {
			reader->no_memory = true;
			continue;
		}
		site->process =
		    column_reference(&rows, 1, &reader->processes, "a process is missing");
		site->alloc_class = column_number(&rows, 2, CLASS_COUNT - 1);
		if (!reader_failed(reader))
			site_take_stack(&rows, site, missing);
	}
	reader->profile->sites = VEC_KEEP(reader, &reader->site_rows, &reader->profile->site_count);
	reader->profile->frames =
	    VEC_KEEP(reader, &reader->frame_rows, &reader->profile->frame_count);
}

/* Give every site room for its points. Returns the array they all lie in, NULL on failure. */
static struct site_point *points_reserve(struct reader *reader, uint64_t *total)
{
	struct profile *profile = reader->profile;
	struct rows rows = rows_begin(reader, "SELECT site FROM point");
	struct site_point *points;

	*total = 0;
	while (rows_next(&rows)) {
		uint32_t site = column_reference(&rows, 0, &reader->sites, "a site is missing");

		if (reader_failed(reader))
			continue;
		profile->sites[site].point_count++;
		*total += 1;
	}
	if (reader_failed(reader))
		return NULL;
	points = arena_array(profile->arena, struct site_point, *total + 1);
	reader->no_memory |= !points;
	for (uint64_t i = 0, begin = 0; points && i < profile->site_count; i++) {
		profile->sites[i].points = points + begin;
		begin += profile->sites[i].point_count;
		profile->sites[i].point_count = 0;
	}
	return points;
}

/* Where the room of a site ends. */
static const struct site_point *points_end(const struct profile *profile, uint32_t site,
					   const struct site_point *end_of_all)
{
	return site + 1 < profile->site_count ? profile->sites[site + 1].points : end_of_all;
}

static void read_points(struct reader *reader)
{
	struct profile *profile = reader->profile;
	uint64_t total, budget = reader->budget, taken = 0;
	struct site_point *points = points_reserve(reader, &total);
	uint64_t last_key = 0;
	struct rows rows;

	reader->budget = budget; /* the same rows again */
	rows = rows_begin(reader, "SELECT snapshot, site, alloc_bytes, alloc_blocks, free_bytes,"
				  " free_blocks, variance FROM point ORDER BY snapshot, site");
	while (rows_next(&rows)) {
		uint32_t snapshot =
		    column_reference(&rows, 0, &reader->snapshots, "a snapshot is missing");
		uint32_t index = column_reference(&rows, 1, &reader->sites, "a site is missing");
		uint64_t key = (uint64_t)snapshot << 32 | index;
		struct profile_site *site = &profile->sites[index];
		struct site_point *point;

		if ((taken++ && key <= last_key) || reader_failed(reader) ||
		    site->points + site->point_count >=
			points_end(profile, index, points + total)) {
			damaged(reader, "its rows are out of order");
			continue;
		}
		last_key = key;
		point = &points[site->points - points + site->point_count++];
		point->snapshot = snapshot;
		point->totals.alloc_bytes = column_amount(&rows, 2);
		point->totals.alloc_blocks = column_amount(&rows, 3);
		point->totals.free_bytes = column_amount(&rows, 4);
		point->totals.free_blocks = column_amount(&rows, 5);
		point->totals.variance = column_variance(&rows, 6);
	}
}

static void read_ages(struct reader *reader)
{
	struct profile *profile = reader->profile;
	struct rows rows = rows_begin(reader, "SELECT site, age, alloc_bytes, free_bytes FROM age");

	while (rows_next(&rows)) {
		uint32_t site = column_reference(&rows, 0, &reader->sites, "a site is missing");
		uint32_t age = column_number(&rows, 1, AGE_CLASSES - 1);

		if (reader_failed(reader))
			continue;
		profile->sites[site].age[age].alloc_bytes = column_amount(&rows, 2);
		profile->sites[site].age[age].free_bytes = column_amount(&rows, 3);
	}
	memset(profile->epoch_start_ns, 0xff, sizeof(profile->epoch_start_ns));
	rows = rows_begin(reader, "SELECT age, start_ns FROM epoch");
	while (rows_next(&rows)) {
		uint32_t age = column_number(&rows, 0, AGE_CLASSES - 1);

		profile->epoch_start_ns[age] = column_number(&rows, 1, INT64_MAX);
	}
}

static void read_losses(struct reader *reader)
{
	struct rows rows =
	    rows_begin(reader, "SELECT key_text, text_text, count FROM loss ORDER BY key_text");

	while (rows_next(&rows)) {
		uint64_t count = column_number(&rows, 2, INT64_MAX);
		struct profile_loss *loss = count ? vec_add(&reader->loss_rows) : NULL;

		reader->no_memory |= count && !loss;
		if (loss)
			*loss = (struct profile_loss){column_text(&rows, 0), column_text(&rows, 1),
						      count};
	}
	reader->profile->losses =
	    VEC_KEEP(reader, &reader->loss_rows, &reader->profile->loss_count);
}

static void read_events(struct reader *reader)
{
	struct rows rows =
	    rows_begin(reader, "SELECT time_ns, kind_text, text_text FROM event ORDER BY id");

	while (rows_next(&rows)) {
		struct profile_event *event = vec_add(&reader->event_rows);

		reader->no_memory |= !event;
		if (event)
			*event =
			    (struct profile_event){column_number(&rows, 0, INT64_MAX),
						   column_text(&rows, 1), column_text(&rows, 2)};
	}
	reader->profile->events =
	    VEC_KEEP(reader, &reader->event_rows, &reader->profile->event_count);
}

/* ---- reading: the file
 * ----------------------------------------------------------------------------- */

/* All CREATE statements of a database, in one text the caller frees; NULL on failure. */
static char *schema_text(sqlite3 *db)
{
	_cleanup_(statement_close_ptr) sqlite3_stmt *statement = NULL;
	const char *sql = "SELECT group_concat(kind || name || coalesce(sql, ''), '|') FROM"
			  " (SELECT type AS kind, name, sql FROM sqlite_schema ORDER BY name)";
	const char *text;

	if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) ||
	    sqlite3_step(statement) != SQLITE_ROW)
		return NULL;
	text = (const char *)sqlite3_column_text(statement, 0);
	return strdup(text ? text : "");
}

/* Only our own tables: no views, triggers or virtual tables that would run something else. */
static void schema_check(struct reader *reader)
{
	_cleanup_(database_close_ptr) sqlite3 *empty = NULL;
	_cleanup_free_ char *found = NULL, *expected = NULL;

	if (sqlite3_open(":memory:", &empty) || execute(empty, schema)) {
		reader->no_memory = true;
		return;
	}
	expected = schema_text(empty);
	found = schema_text(reader->db);
	if (!expected || !found || strcmp(found, expected))
		damaged(reader, "its tables are not those of a recording");
}

static void reader_free(struct reader *reader)
{
	void *arrays[] = {
	    reader->texts.items,	reader->processes.items,     reader->snapshots.items,
	    reader->sites.items,	reader->stacks.items,	     reader->text_rows.items,
	    reader->process_rows.items, reader->snapshot_rows.items, reader->frame_rows.items,
	    reader->spans.items,	reader->stack_rows.items,    reader->site_rows.items,
	    reader->loss_rows.items,	reader->event_rows.items,    reader->module_names.items,
	};

	for (size_t i = 0; i < ARRAY_LEN(arrays); i++)
		free(arrays[i]);
	table_free(reader->frames);
	table_free(reader->modules);
}

/* Everything, in the order of reference. */
static void read_all(struct reader *reader)
{
	reader->profile->arena = arena_new();
	reader->frames = table_new(sizeof(uint64_t));
	reader->modules = table_new(sizeof(uint32_t));
	reader->no_memory = !reader->profile->arena || !reader->frames || !reader->modules;
	if (!reader->no_memory)
		schema_check(reader);
	if (reader_failed(reader))
		return;
	read_recording(reader);
	read_texts(reader);
	read_processes(reader);
	read_snapshots(reader);
	read_rss(reader);
	read_frames(reader);
	read_stacks(reader);
	read_sites(reader);
	read_points(reader);
	read_ages(reader);
	read_losses(reader);
	read_events(reader);
}

/* Read an open database of 'file_bytes' bytes. */
static int database_read(sqlite3 *db, uint64_t file_bytes, const char *path,
			 struct profile *profile, struct err *err)
{
	struct reader reader = {.db = db, .profile = profile, .budget = file_bytes};

	memset(profile, 0, sizeof(*profile));
	read_all(&reader);
	reader_free(&reader);
	if (!reader_failed(&reader))
		return 0;
	profile_deinit(profile);
	if (reader.no_memory)
		return err_set(err, ENOMEM, "cannot read '%s': out of memory", path);
	return err_set(err, EINVAL, "'%s' is damaged: %s", path, reader.damage);
}

static uint32_t big_endian(const unsigned char *bytes)
{
	return (uint32_t)bytes[0] << 24 | bytes[1] << 16 | bytes[2] << 8 | bytes[3];
}

/* The first bytes of the file (https://www.sqlite.org/fileformat.html, 1.3): is it ours at all? */
static int header_check(const unsigned char header[HEADER_BYTES], const char *path, struct err *err)
{
	uint32_t version = big_endian(header + 60);

	if (memcmp(header, "SQLite format 3", 16) || big_endian(header + 68) != APPLICATION_ID)
		return err_set(err, EINVAL, "'%s' is not a seep recording", path);
	if (version > FORMAT_VERSION)
		return err_set(
		    err, EPROTO,
		    "'%s' was written by a newer seep (format %u, this one reads up to %u)", path,
		    version, FORMAT_VERSION);
	/* 18, 19: rollback journal, not a write-ahead log; 56: UTF-8 */
	if (version != FORMAT_VERSION || header[18] != 1 || header[19] != 1 ||
	    big_endian(header + 56) != 1)
		return err_set(err, EINVAL,
			       "'%s' is damaged: its header is not that of a recording", path);
	return 0;
}

static int file_check(const char *plain, const char *path, uint64_t *file_bytes, struct err *err)
{
	_cleanup_close_ int fd = open(plain, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	unsigned char header[HEADER_BYTES];
	struct stat stat;
	ssize_t got;

	if (fd < 0 || fstat(fd, &stat))
		return err_set(err, errno, "cannot open '%s': %m", path);
	if (S_ISDIR(stat.st_mode))
		return err_set(err, EINVAL, "'%s' is a directory, not a recording", path);
	if (!S_ISREG(stat.st_mode))
		return err_set(err, EINVAL, "'%s' is not a regular file", path);
	if (!stat.st_size)
		return err_set(err, EINVAL, "'%s' is empty, not a recording", path);
	got = pread(fd, header, sizeof(header), 0);
	if (got < 0)
		return err_set(err, errno, "cannot read '%s': %m", path);
	if (got < HEADER_BYTES)
		return err_set(err, EINVAL, "'%s' is not a seep recording", path);
	*file_bytes = stat.st_size;
	return header_check(header, path, err);
}

/* Settings that make a foreign file harmless. Returns the status of the first real read. */
static int database_guard(sqlite3 *db)
{
	sqlite3_extended_result_codes(db, 1);
	sqlite3_busy_timeout(db, READER_BUSY_MS);
	sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_limit(db, SQLITE_LIMIT_LENGTH, 4 * TEXT_MAX_BYTES);
	return execute(db, "PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0;"
			   "BEGIN; SELECT count(*) FROM sqlite_schema");
}

static int database_open(const char *plain, int flags, sqlite3 **db)
{
	int status = sqlite3_open_v2(plain, db, flags | SQLITE_OPEN_PRIVATECACHE, NULL);

	return status ? status : database_guard(*db);
}

/* Only SQLite's own words: its messages quote what is in the file. */
static int open_error(int status, const char *path, struct err *err)
{
	switch (status & 0xff) {
	case SQLITE_NOMEM:
		return err_set(err, ENOMEM, "cannot read '%s': out of memory", path);
	case SQLITE_BUSY:
		return err_set(err, EBUSY, "cannot read '%s': another program has locked it", path);
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_ERROR:
	case SQLITE_TOOBIG:
		return err_set(err, EINVAL, "'%s' is damaged or was cut short (%s)", path,
			       sqlite3_errstr(status));
	default:
		return err_set(err, EIO, "cannot read '%s': %s", path, sqlite3_errstr(status));
	}
}

static int file_copy(const char *from, const char *to)
{
	_cleanup_close_ int in = open(from, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	_cleanup_close_ int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	char buffer[65536];
	ssize_t got;

	if (in < 0 || out < 0)
		return -errno;
	while ((got = read(in, buffer, sizeof(buffer))) > 0)
		for (ssize_t done = 0, wrote; done < got; done += wrote) {
			wrote = write(out, buffer + done, got - done);
			if (wrote < 0)
				return -errno;
		}
	return got < 0 ? -errno : 0;
}

/*
 * Is the journal one that only gives pages of this file back? One that ends with a super-journal
 * record makes SQLite look at, and delete, another file (fileformat.html, 3).
 */
static bool journal_is_plain(const char *journal)
{
	static const unsigned char magic[8] = {0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7};
	_cleanup_close_ int fd = open(journal, O_RDONLY | O_CLOEXEC);
	unsigned char tail[8];
	struct stat stat;

	if (fd < 0 || fstat(fd, &stat) || stat.st_size < (off_t)sizeof(tail) ||
	    pread(fd, tail, sizeof(tail), stat.st_size - sizeof(tail)) != sizeof(tail))
		return false;
	return memcmp(tail, magic, sizeof(tail)) != 0;
}

/* Roll back in a copy: the old pages of 'plain' lie in its journal. */
static int copy_load(const char *plain, const char *copy, const char *path, struct profile *profile,
		     struct err *err)
{
	_cleanup_free_ char *journal = NULL, *journal_copy = NULL;
	_cleanup_(database_close_ptr) sqlite3 *db = NULL;
	struct stat info;
	int status;

	if (asprintf(&journal, "%s-journal", plain) < 0)
		return err_set(err, ENOMEM, "cannot read '%s': out of memory", path);
	if (asprintf(&journal_copy, "%s-journal", copy) < 0)
		return err_set(err, ENOMEM, "cannot read '%s': out of memory", path);
	status = file_copy(plain, copy);
	if (!status)
		status = file_copy(journal, journal_copy);
	if (status)
		return err_set(err, -status, "cannot copy '%s' to roll it back: %s", path,
			       strerror(-status));
	if (!journal_is_plain(journal_copy))
		return err_set(err, EINVAL, "'%s' is damaged: its journal is not of a recording",
			       path);
	status = database_open(copy, SQLITE_OPEN_READWRITE, &db);
	if (status)
		return open_error(status, path, err);
	if (stat(copy, &info))
		return err_set(err, errno, "cannot read '%s': %m", path);
	return database_read(db, info.st_size, path, profile, err);
}

/* The writer was killed while it committed. */
static int journal_load(const char *plain, const char *path, struct profile *profile,
			struct err *err)
{
	const char *root = getenv("TMPDIR");
	_cleanup_free_ char *folder = NULL, *copy = NULL;
	int status;

	if (asprintf(&folder, "%s/seep.XXXXXX", root && root[0] ? root : "/tmp") < 0 ||
	    !mkdtemp(folder))
		return err_set(err, errno, "cannot roll '%s' back: no temporary folder: %m", path);
	if (asprintf(&copy, "%s/recording", folder) < 0) {
		status = err_set(err, ENOMEM, "cannot read '%s': out of memory", path);
	} else {
		_cleanup_free_ char *journal = NULL;

		status = copy_load(plain, copy, path, profile, err);
		unlink(copy);
		if (asprintf(&journal, "%s-journal", copy) >= 0)
			unlink(journal);
	}
	rmdir(folder);
	return status;
}

int recording_load(const char *path, struct profile *profile, struct err *err)
{
	_cleanup_free_ char *plain = path_plain(path);
	_cleanup_(database_close_ptr) sqlite3 *db = NULL;
	uint64_t file_bytes;
	int status;

	if (!plain)
		return err_set(err, ENOMEM, "cannot read '%s': out of memory", path);
	status = file_check(plain, path, &file_bytes, err);
	if (status)
		return status;
	status = database_open(plain, SQLITE_OPEN_READONLY, &db);
	if (status == SQLITE_READONLY_ROLLBACK)
		return journal_load(plain, path, profile, err);
	if (status)
		return open_error(status, path, err);
	return database_read(db, file_bytes, path, profile, err);
}
