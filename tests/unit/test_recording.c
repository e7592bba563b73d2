/* SPDX-License-Identifier: GPL-2.0-only */
/* test_recording.c - what is written is read; what is damaged is refused in one line. */
#include "unit/recordings.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/cleanup.h"
#include "profile/rank.h"

/* ---- round trip ---------------------------------------------------------------------------------
 */

static void what_is_written_is_read(void **state)
{
	struct profile profile;
	struct site_totals end;

	demo_write(test_path("demo.seep"), false);
	test_load(test_path("demo.seep"), &profile);
	assert_string_equal(profile.version, "0.1.0");
	assert_string_equal(profile.kernel, "6.18.44");
	assert_string_equal(profile.host, "alder");
	assert_int_equal(profile.start_unix_ns, 1700000000000000000ULL);
	assert_int_equal(profile.interval_ns, 2 * NS_PER_S);
	assert_int_equal(profile.duration_ns, 60 * NS_PER_S);
	assert_int_equal(profile.hits, 1000003);
	assert_true(profile.ns_per_hit == 613);
	assert_int_equal(profile.unmatched_frees, 4099);
	assert_true(profile.complete);
	assert_int_equal(profile.snapshot_count, 31);
	assert_int_equal(profile.snapshots[30].events, 30 * 33331);
	assert_int_equal(profile.process_count, 1);
	assert_string_equal(profile.processes[0].comm, "leaky");
	assert_string_equal(profile.processes[0].allocator, "glibc 2.36");
	assert_null(profile.processes[0].python);
	assert_null(profile.processes[0].end_reason);
	assert_int_equal(profile.processes[0].start_memory.file_bytes, 11 << 20);
	assert_int_equal(profile.processes[0].rss_bytes[30], 161 << 20);
	assert_int_equal(profile.site_count, 5);
	end = profile_site_at(&profile.sites[0], 30);
	assert_true(end.alloc_bytes == 30.0 * 211 * 1031);
	assert_int_equal(profile.sites[0].point_count, 30);
	assert_true(profile.sites[0].age[6].alloc_bytes == 211.0 * 30 * 1031 * 28 / 60);
	assert_int_equal(profile.epoch_start_ns[6], 32 * NS_PER_S);
	assert_int_equal(profile.epoch_start_ns[7], UINT64_MAX);
	assert_int_equal(profile.loss_count, 1); /* the zero is left out */
	assert_string_equal(profile.losses[0].key, "ring_full_stack");
	assert_int_equal(profile.event_count, 1);
	profile_deinit(&profile);
}

static const struct profile_frame *frame_at(const struct profile *profile, uint32_t site,
					    uint32_t i)
{
	return &profile->frames[profile->sites[site].frames[i]];
}

static void stacks_are_expanded_and_unnamed_frames_named(void **state)
{
	struct profile profile;

	demo_write(test_path("demo.seep"), false);
	test_load(test_path("demo.seep"), &profile);
	assert_int_equal(profile.sites[1].frame_count, 4); /* three addresses, one inlined call */
	assert_string_equal(frame_at(&profile, 1, 1)->function,
			    "Cache::insert(std::string const&)");
	assert_true(frame_at(&profile, 1, 1)->inlined);
	assert_int_equal(frame_at(&profile, 1, 2)->line, 83);
	assert_string_equal(frame_at(&profile, 3, 0)->function, "leaky+0x7777");
	assert_string_equal(frame_at(&profile, 3, 0)->module, "/usr/bin/leaky");
	assert_string_equal(frame_at(&profile, 3, 1)->function, "0x7f0000001000");
	assert_null(frame_at(&profile, 3, 1)->module);
	assert_true(profile.sites[3].truncated);
	assert_int_equal(profile.sites[3].end_reason, WALK_END_NO_MAPPING);
	assert_int_equal(profile.sites[4].frame_count, 1);
	assert_string_equal(frame_at(&profile, 4, 0)->function, "[stack not received]");
	/* main is one frame, whoever calls through it */
	assert_ptr_equal(frame_at(&profile, 0, 1), frame_at(&profile, 2, 1));
	profile_deinit(&profile);
}

static void putting_again_replaces(void **state)
{
	const struct profile_frame longer[] = {{.function = "a", .inlined = true},
					       {.function = "b"}};
	const struct profile_frame shorter = {.function = "c"};
	const uint64_t frame = NATIVE(3, 0x42);
	struct recording *recording = test_create(test_path("again.seep"), &test_meta);
	const struct profile_snapshot snapshot = {.time_ns = 5};
	struct profile profile;

	put_process(recording, 4, 811, "before");
	put_process(recording, 4, 811, "after");
	recording_put_snapshot(recording, 0, &snapshot);
	recording_put_frame(recording, frame, longer, 2);
	recording_put_frame(recording, frame, &shorter, 1);
	recording_put_stack(recording, 0, &frame, 1, false, 0);
	recording_put_site(recording, 0, 4, CLASS_PYTHON, 0);
	put_point(recording, 0, 0, 3, 0, 5, 0);
	put_point(recording, 0, 0, 7, 0, 5, 0);
	test_close(recording);
	test_load(test_path("again.seep"), &profile);
	assert_string_equal(profile.processes[0].comm, "after");
	assert_int_equal(profile.sites[0].frame_count, 1);
	assert_string_equal(frame_at(&profile, 0, 0)->function, "c");
	assert_int_equal(profile.sites[0].point_count, 1);
	assert_true(profile.sites[0].points[0].totals.alloc_blocks == 7);
	profile_deinit(&profile);
}

/* ---- creating
 * ------------------------------------------------------------------------------------ */

static void assert_create_refused(const char *path, bool overwrite, int code, const char *text)
{
	struct recording *recording = NULL;
	struct err err = {0};

	assert_int_equal(recording_create(path, overwrite, &test_meta, &recording, &err), -code);
	assert_null(recording);
	if (!strstr(err.text, text))
		fail_msg("'%s' is not in '%s'", text, err.text);
	assert_null(strchr(err.text, '\n'));
}

static void an_existing_file_is_kept_unless_asked(void **state)
{
	const char *path = test_path("kept.seep");
	struct profile profile;
	FILE *file = fopen(path, "w");

	fputs("precious", file);
	fclose(file);
	assert_create_refused(path, false, EEXIST, "is already there");
	file = fopen(path, "r");
	assert_int_equal(fgetc(file), 'p');
	fclose(file);
	test_close(test_create(path, &test_meta)); /* overwrites */
	test_load(path, &profile);
	profile_deinit(&profile);
}

static void a_link_at_the_place_is_replaced_not_followed(void **state)
{
	const char *target = test_path("target"), *path = test_path("link.seep");
	FILE *file = fopen(target, "w");
	struct stat stat;

	fputs("precious", file);
	fclose(file);
	assert_int_equal(symlink(target, path), 0);
	assert_create_refused(path, false, EEXIST, "is already there");
	test_close(test_create(path, &test_meta));
	assert_int_equal(lstat(path, &stat), 0);
	assert_true(S_ISREG(stat.st_mode));
	assert_int_equal(lstat(target, &stat), 0);
	assert_int_equal(stat.st_size, 8);
}

static void impossible_places_are_refused(void **state)
{
	assert_create_refused("/nowhere/at/all.seep", false, ENOENT, "No such file or directory");
	assert_create_refused(test_folder(), true, EISDIR, "Is a directory");
	assert_create_refused(test_folder(), false, EISDIR, "Is a directory");
}

static void only_a_plain_file_is_replaced(void **state)
{
	const char *path = test_path("pipe.seep");
	struct stat stat;

	assert_int_equal(mkfifo(path, 0600), 0);
	assert_create_refused(path, true, EINVAL, "not a plain file");
	assert_int_equal(lstat(path, &stat), 0);
	assert_true(S_ISFIFO(stat.st_mode));
}

static void names_that_sqlite_takes_for_something_else_are_files(void **state)
{
	static const char *const names[] = {":memory:", "file:x.seep?mode=memory", "a?b#c%41.seep",
					    "-x"};
	char before[512];
	struct profile profile;

	assert_non_null(getcwd(before, sizeof(before)));
	assert_int_equal(chdir(test_folder()), 0);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		test_close(test_create(names[i], &test_meta));
		assert_int_equal(access(names[i], F_OK), 0);
		test_load(names[i], &profile);
		profile_deinit(&profile);
	}
	assert_int_equal(chdir(before), 0);
}

/* ---- the writer dies
 * ------------------------------------------------------------------------------ */

/* Write snapshots until killed. Each touches many sites, so that a commit writes many pages. */
static void write_for_ever(const char *path, int ready)
{
	struct recording *recording = test_create(path, &test_meta);

	recording_begin(recording, NULL);
	put_process(recording, 0, 811, "victim");
	for (uint32_t site = 0; site < 500; site++)
		recording_put_site(recording, site, 0, CLASS_MALLOC, site);
	if (recording_commit(recording, NULL) || write(ready, "x", 1) != 1)
		_exit(1);
	for (uint32_t i = 0;; i++) {
		const struct profile_snapshot snapshot = {.time_ns = i * NS_PER_S};
		const struct site_age born = {i * 4099.0, i, 0, 0};

		recording_begin(recording, NULL);
		recording_put_snapshot(recording, i, &snapshot);
		for (uint32_t site = 0; site < 500; site++) {
			put_point(recording, site, i, i + 1, 0, 4099, 0);
			recording_put_age(recording, site, i % 5, &born);
		}
		if (recording_commit(recording, NULL))
			_exit(1);
	}
}

static void assert_consistent(const struct profile *profile)
{
	assert_int_equal(profile->site_count, 500);
	assert_false(profile->complete);
	/* a snapshot is there with all its points or not at all */
	for (uint32_t site = 0; site < 500; site++) {
		assert_int_equal(profile->sites[site].point_count, profile->snapshot_count);
		assert_true(profile_site_at(&profile->sites[site], UINT32_MAX).alloc_blocks ==
			    profile->snapshot_count);
	}
}

static void a_killed_writer_leaves_a_readable_file(void **state)
{
	unsigned int journals = 0;

	srand(4099);
	for (int round = 0; round < 50; round++) {
		const char *path = test_path("killed.seep");
		struct timespec wait = {0, rand() % 30000000};
		_cleanup_free_ char *journal = NULL;
		struct profile profile;
		int ready[2];
		char byte;
		pid_t child;

		assert_int_equal(pipe(ready), 0);
		child = fork();
		if (!child)
			write_for_ever(path, ready[1]);
		assert_int_equal(read(ready[0], &byte, 1), 1);
		nanosleep(&wait, NULL);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		close(ready[0]);
		close(ready[1]);
		assert_true(asprintf(&journal, "%s-journal", path) > 0);
		journals += access(journal, F_OK) == 0;
		test_load(path, &profile);
		assert_consistent(&profile);
		profile_deinit(&profile);
		unlink(journal);
	}
	print_message("%u of 50 kills hit an open transaction\n", journals);
}

static void file_copy_bytes(const char *from, const char *to)
{
	char command[512];

	snprintf(command, sizeof(command), "cp '%s' '%s'", from, to);
	assert_int_equal(system(command), 0);
}

/* The moment in which a commit has written some of its pages: old ones are in the journal only. */
static void a_torn_commit_is_rolled_back_without_touching_the_file(void **state)
{
	const char *path = test_path("torn.seep"), *copy = test_path("torn-copy.seep");
	char journal[256], journal_copy[256];
	struct recording *recording = test_create(path, &test_meta);
	const struct profile_snapshot first = {.time_ns = 1}, second = {.time_ns = 2};
	struct profile profile;
	struct stat before, after;
	int fd;

	snprintf(journal, sizeof(journal), "%s-journal", path);
	snprintf(journal_copy, sizeof(journal_copy), "%s-journal", copy);
	put_process(recording, 0, 811, "victim");
	recording_begin(recording, NULL);
	recording_put_snapshot(recording, 0, &first);
	assert_int_equal(recording_commit(recording, NULL), 0);
	recording_begin(recording, NULL);
	recording_put_snapshot(recording, 1, &second);
	/* the journal holds the old pages; its header counts them only when it is synced */
	file_copy_bytes(path, copy);
	file_copy_bytes(journal, journal_copy);
	recording_close(recording, NULL);
	fd = open(journal_copy, O_RDWR);
	assert_int_equal(pwrite(fd, "\xff\xff\xff\xff", 4, 8), 4); /* all that is there */
	assert_int_equal(pwrite(fd, "\xd9\xd5\x05\xf9\x20\xa1\x63\xd7", 8, 0), 8);
	close(fd);
	assert_int_equal(chmod(copy, 0444), 0);
	assert_int_equal(stat(copy, &before), 0);
	test_load(copy, &profile);
	assert_int_equal(profile.snapshot_count, 1);
	profile_deinit(&profile);
	assert_int_equal(stat(copy, &after), 0);
	assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
	assert_int_equal(access(journal_copy, F_OK), 0);
	/* a journal that would make SQLite delete another file */
	fd = open(journal_copy, O_RDWR | O_APPEND);
	assert_int_equal(write(fd, "\xd9\xd5\x05\xf9\x20\xa1\x63\xd7", 8), 8);
	close(fd);
	assert_int_equal(recording_load(copy, &profile, NULL), -EINVAL);
}

static void a_recording_is_read_while_it_is_written(void **state)
{
	const char *path = test_path("live.seep");
	struct recording *recording = test_create(path, &test_meta);
	const struct profile_snapshot snapshot = {.time_ns = 1};
	struct profile profile;

	put_process(recording, 0, 811, "live");
	assert_int_equal(recording_commit(recording, NULL), 0);
	recording_begin(recording, NULL);
	recording_put_snapshot(recording, 0, &snapshot);
	test_load(path, &profile);
	assert_int_equal(profile.process_count, 1);
	assert_int_equal(profile.snapshot_count, 0);
	assert_false(profile.complete);
	profile_deinit(&profile);
	assert_int_equal(recording_commit(recording, NULL), 0);
	test_load(path, &profile);
	assert_int_equal(profile.snapshot_count, 1);
	profile_deinit(&profile);
	test_close(recording);
}

static void a_reader_that_holds_the_file_only_delays_a_commit(void **state)
{
	const char *path = test_path("held.seep");
	struct recording *recording = test_create(path, &test_meta);
	struct profile profile;
	sqlite3 *reader;

	put_process(recording, 0, 811, "held");
	assert_int_equal(recording_commit(recording, NULL), 0);
	assert_int_equal(sqlite3_open(path, &reader), 0);
	sqlite3_exec(reader, "BEGIN; SELECT * FROM process", NULL, NULL, NULL);
	for (uint32_t i = 0; i < 3; i++) {
		const struct profile_snapshot snapshot = {.time_ns = i};

		if (i == 2)
			sqlite3_close(reader);
		assert_int_equal(recording_begin(recording, NULL), 0);
		recording_put_snapshot(recording, i, &snapshot);
		assert_int_equal(recording_commit(recording, NULL), 0);
	}
	test_close(recording);
	test_load(path, &profile);
	assert_int_equal(profile.snapshot_count, 3);
	profile_deinit(&profile);
}

/* ---- the disk is full
 * ------------------------------------------------------------------------------- */

/* Write until it fails; returns the snapshots that were committed. */
static uint32_t write_until_full(const char *path, struct err *err)
{
	struct recording *recording = test_create(path, &test_meta);
	uint32_t committed = 0;

	put_process(recording, 0, 811, "full");
	for (uint32_t site = 0; site < 100; site++)
		recording_put_site(recording, site, 0, CLASS_MALLOC, site);
	for (uint32_t i = 0; i < 5000; i++) {
		const struct profile_snapshot snapshot = {.time_ns = i};

		if (recording_begin(recording, err))
			break;
		recording_put_snapshot(recording, i, &snapshot);
		for (uint32_t site = 0; site < 100; site++)
			put_point(recording, site, i, i + 1, 0, 4099, 0);
		if (recording_commit(recording, err))
			break;
		committed++;
	}
	/* it stays so, and closing says it again; abort() because a child runs this, too */
	if (!err->code || recording_begin(recording, NULL) != -err->code ||
	    recording_close(recording, err) != -err->code)
		abort();
	return committed;
}

static void assert_last_good_snapshot(const char *path, uint32_t committed)
{
	struct profile profile;

	test_load(path, &profile);
	assert_int_equal(profile.snapshot_count, committed);
	assert_false(profile.complete);
	profile_deinit(&profile);
}

static void a_file_size_limit_is_one_clear_line(void **state)
{
	const char *path = test_path("limited.seep");
	const struct rlimit small = {300000, RLIM_INFINITY};
	char expected[256];
	struct rlimit before;
	struct err err = {0};
	uint32_t committed;

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &before);
	setrlimit(RLIMIT_FSIZE, &small);
	committed = write_until_full(path, &err);
	setrlimit(RLIMIT_FSIZE, &before);
	snprintf(expected, sizeof(expected), "cannot write '%s': file size limit reached", path);
	assert_string_equal(err.text, expected);
	assert_true(committed > 10);
	assert_last_good_snapshot(path, committed);
}

/* In a mount namespace of its own; exit status 77: not allowed here. */
static int fill_small_disk(const char *folder)
{
	char path[256], expected[320];
	struct profile profile = {0};
	struct err err = {0};
	uint32_t committed;

	if (unshare(CLONE_NEWNS) && (unshare(CLONE_NEWUSER | CLONE_NEWNS)))
		return 77;
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("tmpfs", folder, "tmpfs", 0, "size=256k"))
		return 77;
	snprintf(path, sizeof(path), "%s/full.seep", folder);
	committed = write_until_full(path, &err);
	snprintf(expected, sizeof(expected), "cannot write '%s': disk full", path);
	if (err.code != ENOSPC || strcmp(err.text, expected) || committed < 10 ||
	    recording_load(path, &profile, NULL) || profile.snapshot_count != committed) {
		print_error("%u committed, then: %s\n", committed, err.text);
		return 1;
	}
	profile_deinit(&profile);
	return 0;
}

static void a_full_disk_is_one_clear_line_and_keeps_the_last_snapshot(void **state)
{
	const char *folder = test_path("disk");
	int status;
	pid_t child;

	assert_int_equal(mkdir(folder, 0755), 0);
	child = fork();
	if (!child)
		_exit(fill_small_disk(folder));
	waitpid(child, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- files that are not what they should be
 * ------------------------------------------------------- */

static void assert_load_refused(const char *path, int code, const char *text)
{
	struct profile profile;
	struct err err = {0};

	assert_int_equal(recording_load(path, &profile, &err), -code);
	if (!strstr(err.text, text))
		fail_msg("'%s' is not in '%s'", text, err.text);
	assert_null(strchr(err.text, '\n'));
}

static const char *file_with(const char *name, const void *bytes, size_t length)
{
	const char *path = test_path(name);
	FILE *file = fopen(path, "w");

	assert_int_equal(fwrite(bytes, 1, length, file), length);
	fclose(file);
	return path;
}

static void files_that_are_none_are_refused_in_one_line(void **state)
{
	char zeros[8192] = {0};

	assert_load_refused("/nowhere.seep", ENOENT, "No such file");
	assert_load_refused(test_folder(), EINVAL, "is a directory");
	assert_load_refused("/dev/null", EINVAL, "not a regular file");
	assert_load_refused(file_with("none.seep", "", 0), EINVAL, "is empty");
	assert_load_refused(file_with("short.seep", "SQLite", 6), EINVAL, "not a seep recording");
	assert_load_refused(file_with("zero.seep", zeros, sizeof(zeros)), EINVAL,
			    "not a seep recording");
	assert_int_equal(mkfifo(test_path("fifo"), 0600), 0);
	assert_load_refused(test_path("fifo"), EINVAL, "not a regular file");
}

/* Change a good recording by SQL, then read it. */
static const char *spoiled(const char *sql)
{
	const char *path = test_path("spoiled.seep");
	char *message = NULL;
	sqlite3 *db;

	demo_write(path, false);
	assert_int_equal(sqlite3_open(path, &db), 0);
	if (sqlite3_exec(db, sql, NULL, NULL, &message))
		fail_msg("%s: %s", sql, message);
	sqlite3_close(db);
	return path;
}

static void a_newer_format_is_told_apart_from_damage(void **state)
{
	assert_load_refused(spoiled("PRAGMA user_version = 3"), EPROTO,
			    "was written by a newer seep");
	assert_load_refused(spoiled("PRAGMA user_version = 1"), EPROTO,
			    "was written by an older seep");
	assert_load_refused(spoiled("PRAGMA user_version = 0"), EINVAL, "damaged");
	assert_load_refused(spoiled("PRAGMA application_id = 7"), EINVAL, "not a seep recording");
	assert_load_refused(spoiled("PRAGMA journal_mode = WAL; DELETE FROM event"), EINVAL,
			    "damaged");
}

static void values_out_of_range_are_refused(void **state)
{
	static const char *const cases[][2] = {
	    {"UPDATE point SET alloc_bytes = -1", "a number is out of range"},
	    {"UPDATE point SET alloc_bytes = 9e999", "a number is out of range"},
	    {"UPDATE point SET free_blocks = 'many'", "a number is out of range"},
	    {"UPDATE point SET variance = x'00'", "a number is out of range"},
	    {"UPDATE snapshot SET time_ns = -5", "a number is out of range"},
	    {"UPDATE snapshot SET time_ns = 7 WHERE id = 9", "out of order"},
	    {"UPDATE snapshot SET marked = 2", "a number is out of range"},
	    {"DELETE FROM snapshot WHERE id = 3", "a snapshot is missing"},
	    {"DELETE FROM site WHERE id = 2", "a site is missing"},
	    {"DELETE FROM process", "a process is missing"},
	    {"DELETE FROM text", "a text is missing"},
	    {"UPDATE text SET text = cast(x'410042' AS TEXT)", "a text is none"},
	    {"UPDATE text SET text = x'ff'", "a text is none"},
	    {"UPDATE site SET class = 3", "a number is out of range"},
	    {"UPDATE site SET id = id + 5000000000", "a number is out of range"},
	    {"UPDATE stack SET frames = x'010203'", "a stack has the wrong size"},
	    {"UPDATE stack SET frames = zeroblob(65536)", "a stack has the wrong size"},
	    {"UPDATE stack SET end_reason = 200", "a stack has the wrong size"},
	    {"UPDATE frame SET position = 1 WHERE position = 0 AND line = 17", "out of order"},
	    {"UPDATE frame SET line = 5000000000", "a number is out of range"},
	    {"UPDATE age SET age = age + 16", "a number is out of range"},
	    {"UPDATE epoch SET age = age + 16", "a number is out of range"},
	    {"UPDATE loss SET count = -1", "a number is out of range"},
	    {"UPDATE process SET start_memory = x'00'", "a memory breakdown has the wrong size"},
	    {"UPDATE process SET pid = -1", "a number is out of range"},
	    {"UPDATE rss SET process = 9", "a process is missing"},
	    {"DELETE FROM recording", "it holds no recording"},
	    {"UPDATE recording SET id = 2; INSERT INTO recording SELECT 3, version, kernel, host, "
	     "start_unix_ns, interval_ns, settle_ns, sample_bytes, 0, 0, 0, 0, 0, 0, 0 FROM recording",
	     "more than one"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_load_refused(spoiled(cases[i][0]), EINVAL, cases[i][1]);
}

static void tables_of_someone_else_are_never_run(void **state)
{
	static const char *const cases[] = {
	    "DROP TABLE point; CREATE VIEW point AS WITH RECURSIVE endless(n) AS (SELECT 1 UNION "
	    "ALL"
	    " SELECT n + 1 FROM endless) SELECT n AS snapshot, n AS site FROM endless",
	    "CREATE TRIGGER t AFTER INSERT ON text BEGIN DELETE FROM site; END",
	    "CREATE TABLE more (x)",
	    "DROP TABLE age",
	    "ALTER TABLE event ADD COLUMN x",
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_load_refused(spoiled(cases[i]), EINVAL,
				    "its tables are not those of a recording");
}

static void missing_stacks_are_named_not_refused(void **state)
{
	struct profile profile;

	test_load(spoiled("DELETE FROM stack; DELETE FROM frame"), &profile);
	for (uint32_t i = 0; i < profile.site_count; i++)
		assert_string_equal(frame_at(&profile, i, 0)->function, "[stack not received]");
	profile_deinit(&profile);
	test_load(spoiled("UPDATE stack SET frames = x''"), &profile);
	assert_string_equal(frame_at(&profile, 0, 0)->function, "[stack not received]");
	profile_deinit(&profile);
	test_load(spoiled("DELETE FROM frame"), &profile);
	assert_string_equal(frame_at(&profile, 0, 0)->function, "0x1000");
	profile_deinit(&profile);
}

static unsigned char *file_read(const char *path, size_t *length)
{
	unsigned char *bytes = malloc(1 << 20);
	FILE *file = fopen(path, "r");

	*length = fread(bytes, 1, 1 << 20, file);
	fclose(file);
	return bytes;
}

/* Loading must end in success or in one line; ranking what was loaded must not crash. */
static bool load_any(const char *path)
{
	const struct rank_options options = {.order = RANK_GROWTH};
	struct profile profile;
	struct ranking ranking;
	struct err err = {0};

	if (recording_load(path, &profile, &err)) {
		assert_true(err.text[0] && !strchr(err.text, '\n'));
		return false;
	}
	assert_int_equal(ranking_build(&profile, &options, &ranking, NULL), 0);
	ranking_free(&ranking);
	profile_deinit(&profile);
	return true;
}

static void a_file_cut_anywhere_is_refused_in_one_line(void **state)
{
	_cleanup_free_ unsigned char *bytes = NULL;
	size_t length;

	demo_write(test_path("whole.seep"), false);
	bytes = file_read(test_path("whole.seep"), &length);
	for (size_t cut = 0; cut < length; cut += cut < 8192 ? 61 : 509)
		assert_false(load_any(file_with("cut.seep", bytes, cut)));
	for (size_t page = 4096; page < length; page += 4096)
		assert_false(load_any(file_with("cut.seep", bytes, page)));
	assert_true(load_any(file_with("cut.seep", bytes, length)));
}

static void flipped_bytes_load_or_fail_in_one_line(void **state)
{
	_cleanup_free_ unsigned char *bytes = NULL, *good = NULL;
	size_t length;

	demo_write(test_path("whole.seep"), false);
	bytes = file_read(test_path("whole.seep"), &length);
	good = file_read(test_path("whole.seep"), &length);
	srand(4099);
	for (int round = 0; round < 1500; round++) {
		int flips = 1 + round % 7;
		size_t at[8];

		for (int i = 0; i < flips; i++) {
			at[i] = (size_t)rand() % (round % 2 ? length : 8192);
			bytes[at[i]] ^= 1 << rand() % 8;
		}
		load_any(file_with("flipped.seep", bytes, length));
		for (int i = 0; i < flips; i++)
			bytes[at[i]] = good[at[i]];
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_written_is_read),
	    cmocka_unit_test(stacks_are_expanded_and_unnamed_frames_named),
	    cmocka_unit_test(putting_again_replaces),
	    cmocka_unit_test(an_existing_file_is_kept_unless_asked),
	    cmocka_unit_test(a_link_at_the_place_is_replaced_not_followed),
	    cmocka_unit_test(impossible_places_are_refused),
	    cmocka_unit_test(only_a_plain_file_is_replaced),
	    cmocka_unit_test(names_that_sqlite_takes_for_something_else_are_files),
	    cmocka_unit_test(a_killed_writer_leaves_a_readable_file),
	    cmocka_unit_test(a_torn_commit_is_rolled_back_without_touching_the_file),
	    cmocka_unit_test(a_recording_is_read_while_it_is_written),
	    cmocka_unit_test(a_reader_that_holds_the_file_only_delays_a_commit),
	    cmocka_unit_test(a_file_size_limit_is_one_clear_line),
	    cmocka_unit_test(a_full_disk_is_one_clear_line_and_keeps_the_last_snapshot),
	    cmocka_unit_test(files_that_are_none_are_refused_in_one_line),
	    cmocka_unit_test(a_newer_format_is_told_apart_from_damage),
	    cmocka_unit_test(values_out_of_range_are_refused),
	    cmocka_unit_test(tables_of_someone_else_are_never_run),
	    cmocka_unit_test(missing_stacks_are_named_not_refused),
	    cmocka_unit_test(a_file_cut_anywhere_is_refused_in_one_line),
	    cmocka_unit_test(flipped_bytes_load_or_fail_in_one_line),
	};

	return cmocka_run_group_tests(tests, NULL, test_folder_remove);
}
