/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * recording_read.c - see recording.h; what is in the file is recording_rows.c's.
 *
 * A writer that was killed while it committed leaves the old pages in FILE-journal. They are taken
 * from there, in a copy: the reader never changes what it reads.
 */
#include "store/recording.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "store/recording_format.h"

#define HEADER_BYTES 100

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
		    "'%s' was written by a newer seep (format %u, this one reads %u)", path,
		    version, FORMAT_VERSION);
	if (version && version < FORMAT_VERSION)
		return err_set(
		    err, EPROTO,
		    "'%s' was written by an older seep (format %u, this one reads %u)", path,
		    version, FORMAT_VERSION);
	/* 18, 19: rollback journal, not a write-ahead log; 56: UTF-8 */
	if (version != FORMAT_VERSION || header[18] != 1 || header[19] != 1 ||
	    big_endian(header + 56) != 1)
		return err_set(err, EINVAL,
			       "'%s' is damaged: its header is not that of a recording", path);
	return 0;
}

static int file_check(const char *plain, const char *path, struct err *err)
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
	return database_execute(db, "PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0;"
				    "BEGIN; SELECT count(*) FROM sqlite_schema");
}

static int database_open(const char *plain, int flags, sqlite3 **db)
{
	/* one thread has it: no lock for each value that is read */
	int status = sqlite3_open_v2(
	    plain, db, flags | SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_NOMUTEX, NULL);

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

/* The file grows until the read has begun: only then is its size what is read. */
static int file_load(sqlite3 *db, const char *file, const char *path, struct profile *profile,
		     struct err *err)
{
	struct stat info;

	if (stat(file, &info))
		return err_set(err, errno, "cannot read '%s': %m", path);
	return rows_read(db, info.st_size, path, profile, err);
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
	return file_load(db, copy, path, profile, err);
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
	int status;

	if (!plain)
		return err_set(err, ENOMEM, "cannot read '%s': out of memory", path);
	status = file_check(plain, path, err);
	if (status)
		return status;
	status = database_open(plain, SQLITE_OPEN_READONLY, &db);
	if (status == SQLITE_READONLY_ROLLBACK)
		return journal_load(plain, path, profile, err);
	if (status)
		return open_error(status, path, err);
	return file_load(db, plain, path, profile, err);
}
