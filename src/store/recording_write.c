/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * recording_write.c - see recording.h; the tables are in schema.sql.
 *
 * Why a rollback journal in mode DELETE: between two snapshots there is exactly one file and it is
 * whole, so it can be copied, or read where nobody may write. (With a write-ahead log the newest
 * data lies in a second file for most of the time.) The cache never spills, so the file itself is
 * written only while a commit lasts; a kill in that moment leaves the old pages in FILE-journal,
 * and the reader takes them from there.
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
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/table.h"
#include "store/recording_format.h"

#define WRITER_BUSY_MS 1000

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
    [PUT_AGE] = "REPLACE INTO age VALUES (?, ?, ?, ?, ?, ?)",
    [PUT_EPOCH] = "REPLACE INTO epoch VALUES (?, ?)",
    [PUT_LOSS] = "REPLACE INTO loss VALUES (?, ?, ?)",
    [PUT_EVENT] = "INSERT INTO event (time_ns, kind_text, text_text) VALUES (?, ?, ?)",
    [PUT_SUMMARY] = "UPDATE recording SET duration_ns = ?, ns_per_hit = ?, hits = ?, "
		    "cpu_percent = ?, slowdown_percent = ?, unmatched_frees = ?, "
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

/* The settings that are not stored in the file. */
static int writer_open(const char *path, sqlite3 **db)
{
	int status =
	    sqlite3_open_v2(path, db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_PRIVATECACHE, NULL);

	if (status)
		return status;
	sqlite3_busy_timeout(*db, WRITER_BUSY_MS);
	return database_execute(*db, "PRAGMA journal_mode = DELETE; PRAGMA synchronous = NORMAL;"
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
	if (database_execute(db, "BEGIN") || database_execute(db, pragmas) ||
	    database_execute(db, recording_schema))
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
	return database_execute(db, "COMMIT");
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

/* Only a plain file or a symbolic link (itself, not its target) is ever replaced. */
static int occupied_error(bool overwrite, mode_t mode, const char *path, struct err *err)
{
	if (S_ISDIR(mode)) /* with and without -f */
		return create_error(EISDIR, path, err);
	if (!overwrite)
		return create_error(EEXIST, path, err);
	return err_set(err, EINVAL,
		       "cannot replace '%s': it is a device, pipe or socket, not a plain file", path);
}

static int file_create(const char *plain, const char *path, bool overwrite,
		       const struct recording_meta *meta, struct err *err)
{
	_cleanup_free_ char *temporary = NULL;
	_cleanup_close_ int fd = -1;
	struct stat stat;
	int status;

	if (!lstat(plain, &stat) &&
	    (!overwrite || !(S_ISREG(stat.st_mode) || S_ISLNK(stat.st_mode))))
		return occupied_error(overwrite, stat.st_mode, path, err);
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
	if (database_execute(recording->db, "BEGIN"))
		return recording_fail(recording, err);
	recording->open = true;
	return 0;
}

int recording_commit(struct recording *recording, struct err *err)
{
	int status;

	if (recording->failure.code)
		return recording_fail(recording, err);
	status = database_execute(recording->db, "COMMIT");
	if ((status & 0xff) == SQLITE_BUSY)
		return 0; /* a reader is at it: the next commit takes both snapshots */
	recording->open = false;
	return status ? recording_fail(recording, err) : 0;
}

static void memory_pack(const struct memory_breakdown *memory, uint64_t packed[MEMORY_FIELDS])
{
	struct memory_breakdown copy = *memory;
	uint64_t *fields[MEMORY_FIELDS];

	memory_fields(&copy, fields);
	for (size_t i = 0; i < MEMORY_FIELDS; i++)
		packed[i] = htole64(*fields[i]);
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
	uint64_t packed[MIXED_MAX_FRAMES];

	if (frame_count > MIXED_MAX_FRAMES)
		frame_count = MIXED_MAX_FRAMES;
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

int recording_put_age(struct recording *recording, uint32_t site, uint32_t age,
		      const struct site_age *born)
{
	return put(recording, PUT_AGE, "iidddd", (int64_t)site, (int64_t)age, born->alloc_bytes,
		   born->alloc_blocks, born->free_bytes, born->free_blocks);
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
	return put(recording, PUT_SUMMARY, "ididdii", summary->duration_ns, summary->ns_per_hit,
		   summary->hits, summary->cpu_percent, summary->slowdown_percent,
		   summary->unmatched_frees, summary->sample_bytes);
}

int recording_close(struct recording *recording, struct err *err)
{
	int status;

	put(recording, PUT_COMPLETE, "");
	if (recording->open && !recording->failure.code) {
		sqlite3_busy_timeout(recording->db, READER_BUSY_MS);
		if (database_execute(recording->db, "COMMIT"))
			recording_fail(recording, NULL);
	}
	status = -recording->failure.code;
	if (status && err)
		*err = recording->failure;
	recording_free(recording);
	return status;
}
