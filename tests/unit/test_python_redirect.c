/* SPDX-License-Identifier: GPL-2.0-only */
/* test_python_redirect.c - slots of a program laid out like CPython (fake_python.h): redirected,
 * shared, restored, recovered, refused; and never anything but whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* Writes that fail, by choice: the code under test is included below. */
static int writes_until_failure = -1;

static ssize_t choosy_pwrite(int fd, const void *data, size_t bytes, off_t offset)
{
	if (writes_until_failure > 0 && !--writes_until_failure)
		return -1;
	return pwrite(fd, data, bytes, offset);
}

#define pwrite choosy_pwrite
#include "python/redirect.c"
#undef pwrite

#include "unit/fake_python.h"

#define SLOTS 8

static char locks[256];

static int locks_make(void **state)
{
	if (scratch_make(state))
		return -1;
	snprintf(locks, sizeof(locks), "%s/locks", scratch);
	python_redirect_set_directory(locks);
	fake_compile("fake", "-DINLINED");
	return 0;
}

static int locks_clear(void **state)
{
	run("rm -rf %s", locks);
	writes_until_failure = -1;
	return 0;
}

/* ---- helpers --------------------------------------------------------------------------------- */

static int try_redirect(const struct fake *fake, struct python_redirect **redirect, struct err *err)
{
	return python_redirect_new(fake->pid, fake->info.start_time_ns, &fake->runtime,
				   &fake->tables, redirect, err);
}

static struct python_redirect *redirected(const struct fake *fake)
{
	struct python_redirect *redirect = NULL;
	struct err err = {0};

	if (try_redirect(fake, &redirect, &err))
		print_error("%s\n", err.text);
	assert_non_null(redirect);
	return redirect;
}

static void start(struct fake *fake)
{
	fake_start(fake, "fake", 11);
	fake_find(fake, true);
	assert_int_equal(fake->tables.way, PYTHON_WAY_REDIRECT);
}

/* How many of the slots in use point at nops; the others must be the functions. */
static int nops_in(pid_t pid, const struct python_tables *tables)
{
	int found = 0;

	for (int domain = PYTHON_MEM; domain <= PYTHON_OBJ; domain++) {
		uint64_t table[5];

		assert_int_equal(python_read_memory(pid, tables->active[domain], table,
						    sizeof(table)),
				 0);
		assert_int_equal(table[0], 0);
		for (int call = 0; call < PYTHON_CALL_COUNT; call++) {
			if (table[1 + call] == tables->pads[call])
				found++;
			else
				assert_int_equal(table[1 + call],
						 tables->implementations[PYTHON_OBJ][call]);
		}
	}
	return found;
}

static int nops(const struct fake *fake)
{
	return nops_in(fake->pid, &fake->tables);
}

static int lock_count(void)
{
	DIR *listing = opendir(locks);
	struct dirent *entry;
	int count = 0;

	while (listing && (entry = readdir(listing)))
		count += entry->d_name[0] != '.';
	if (listing)
		closedir(listing);
	return count;
}

static void poke(const struct fake *fake, uint64_t addr, const void *data, size_t bytes)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", fake->pid);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, data, bytes, addr), bytes);
	close(fd);
}

static void assert_refused(const struct fake *fake, int status, const char *text)
{
	struct python_redirect *redirect = NULL;
	struct err err = {0};

	assert_int_equal(try_redirect(fake, &redirect, &err), status);
	if (!strstr(err.text, text))
		print_error("%s\n", err.text);
	assert_non_null(strstr(err.text, text));
	assert_int_equal(lock_count(), 0);
}

/* ---- one user -------------------------------------------------------------------------------- */

static void slots_are_redirected_and_restored(void **state)
{
	struct python_redirect *redirect;
	struct fake fake;

	start(&fake);
	redirect = redirected(&fake);
	assert_int_equal(nops(&fake), SLOTS);
	assert_string_equal(fake_tell(&fake, 'a'), "right 0");
	assert_int_equal(lock_count(), 1);
	assert_int_equal(python_redirect_end(redirect, NULL), SLOTS);
	assert_int_equal(nops(&fake), 0);
	assert_int_equal(lock_count(), 0);
	assert_string_equal(fake_tell(&fake, 'a'), "right 0");
	fake_end(&fake);
}

static void slots_are_redirected_under_use(void **state)
{
	struct fake fake;

	start(&fake);
	for (int i = 0; i < 101; i++) {
		struct python_redirect *redirect;

		assert_int_equal(write(fake.to, "aaaaa", 5), 5);
		redirect = redirected(&fake);
		assert_int_equal(python_redirect_end(redirect, NULL), SLOTS);
		for (int line = 0; line < 5; line++) {
			char text[64];

			assert_non_null(fgets(text, sizeof(text), fake.from));
			assert_string_equal(text, "right 0\n");
		}
	}
	assert_int_equal(nops(&fake), 0);
	fake_end(&fake);
}

static void process_that_is_gone_needs_nothing(void **state)
{
	struct python_redirect *redirect;
	struct fake fake;

	start(&fake);
	redirect = redirected(&fake);
	kill(fake.pid, SIGKILL);
	waitpid(fake.pid, NULL, 0);
	assert_int_equal(python_redirect_end(redirect, NULL), 0);
	assert_int_equal(lock_count(), 0);
	assert_refused(&fake, -ESRCH, "no process");
	fake_end(&fake);
}

static void other_process_of_the_same_number_is_refused(void **state)
{
	struct fake fake;

	start(&fake);
	fake.info.start_time_ns += 10000000;
	assert_refused(&fake, -ESRCH, "another one has its number");
	assert_int_equal(nops(&fake), 0);
	fake_end(&fake);
}

/* ---- what is verified ------------------------------------------------------------------------ */

static void way_must_be_redirect(void **state)
{
	struct fake fake;

	start(&fake);
	fake.tables.way = PYTHON_WAY_ENTRY;
	assert_refused(&fake, -EINVAL, "are not to be redirected");
	fake.tables.way = PYTHON_WAY_REDIRECT;
	fake.tables.pads[PYTHON_FREE] = 0;
	assert_refused(&fake, -EINVAL, "are not to be redirected");
	fake_end(&fake);
}

static void nop_must_be_in_file_and_memory(void **state)
{
	struct fake fake;
	uint64_t nop;

	start(&fake);
	nop = fake.tables.pads[PYTHON_MALLOC];
	fake.tables.pads[PYTHON_MALLOC]++; /* 7 bytes that are no nop */
	assert_refused(&fake, -EINVAL, "has no nop at");
	fake.tables.pads[PYTHON_MALLOC] = nop;
	poke(&fake, nop + 3, "\x01", 1);
	assert_refused(&fake, -EINVAL, "has no nop at");
	assert_int_equal(nops(&fake), 0);
	fake_end(&fake);
}

/* Another seep's probe stands on it: int3 in its first byte. */
static void nop_may_have_a_breakpoint(void **state)
{
	struct python_redirect *redirect;
	struct fake fake;

	start(&fake);
	poke(&fake, fake.tables.pads[PYTHON_MALLOC], "\xcc", 1);
	redirect = redirected(&fake);
	assert_int_equal(python_redirect_end(redirect, NULL), SLOTS);
	fake_end(&fake);
}

static void slot_that_holds_something_else_is_refused(void **state)
{
	uint64_t other = 0x1234567;
	struct fake fake;
	uint64_t slot;

	start(&fake);
	slot = fake.tables.active[PYTHON_OBJ] + 16;
	poke(&fake, slot, &other, sizeof(other));
	assert_refused(&fake, -EINVAL, "no longer hold pymalloc");
	assert_int_equal(python_read_memory(fake.pid, slot, &other, sizeof(other)), 0);
	assert_int_equal(other, 0x1234567);
	poke(&fake, slot, &fake.tables.implementations[PYTHON_OBJ][PYTHON_CALLOC], 8);
	assert_int_equal(nops(&fake), 0);
	fake_end(&fake);
}

/* Each write in turn: the lock file's, then the eight slots'. */
static void failed_write_undoes_those_before(void **state)
{
	struct fake fake;

	start(&fake);
	assert_int_equal(check_writes(NULL), 0); /* not now */
	for (int i = 1; i <= 1 + SLOTS; i++) {
		struct python_redirect *redirect = NULL;
		struct err err = {0};

		writes_until_failure = i;
		errno = EIO;
		assert_true(try_redirect(&fake, &redirect, &err) < 0);
		assert_int_equal(writes_until_failure, 0);
		assert_true(err.text[0] != '\0');
		assert_null(redirect);
		assert_int_equal(nops(&fake), 0);
		assert_int_equal(lock_count(), 0);
	}
	fake_end(&fake);
}

/* Another one came at the same time and has not written yet: the last to leave cannot be us. */
static void failed_write_is_undone_beside_others(void **state)
{
	char name[NAME_BYTES_MAX];
	struct fake fake;

	start(&fake);
	assert_int_equal(check_writes(NULL), 0);
	for (int i = 2; i <= 1 + SLOTS; i++) {
		struct record record = {.pid = fake.pid,
					.start_time_ns = fake.info.start_time_ns};
		struct python_redirect *redirect;
		int other;

		name_lock(&record, name);
		other = lock_shared(name, NULL);
		assert_true(other >= 0);
		writes_until_failure = i;
		errno = EIO;
		assert_true(try_redirect(&fake, &redirect, NULL) < 0);
		assert_int_equal(nops(&fake), 0);
		close(other);
	}
	fake_end(&fake);
}

static void no_permission_is_one_line(void **state)
{
	struct fake fake;
	int status;
	pid_t pid;

	if (geteuid())
		skip();
	start(&fake);
	pid = fork();
	if (!pid) {
		struct python_redirect *redirect;
		struct err err = {0};

		status = setuid(65534) ? 0 : try_redirect(&fake, &redirect, &err);
		_exit(status == -EPERM && strstr(err.text, "run as root") ? 17 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 17);
	fake_end(&fake);
}

/* ---- locks ----------------------------------------------------------------------------------- */

static void lock_file_says_how_to_restore(void **state)
{
	struct python_redirect *redirect;
	char text[RECORD_BYTES_MAX] = "", expected[RECORD_BYTES_MAX], path[512];
	const struct python_tables *tables;
	struct fake fake;
	struct stat stat_;
	FILE *file;

	start(&fake);
	tables = &fake.tables;
	redirect = redirected(&fake);
	snprintf(path, sizeof(path), "%s/redirect.%d.%" PRIu64, locks, fake.pid,
		 fake.info.start_time_ns);
	assert_int_equal(stat(locks, &stat_), 0);
	assert_int_equal(stat_.st_mode & 07777, 0700);
	assert_int_equal(stat(path, &stat_), 0);
	assert_int_equal(stat_.st_mode & 07777, 0600);
	file = fopen(path, "r");
	assert_non_null(file);
	assert_non_null(fgets(text, sizeof(text), file));
	fclose(file);
	snprintf(expected, sizeof(expected),
		 "seep-redirect 1 pid %d start %" PRIu64 " functions %" PRIx64 " %" PRIx64
		 " %" PRIx64 " %" PRIx64 " nops %" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRIx64
		 " tables %" PRIx64 " %" PRIx64 " data %" PRIx64 " %" PRIx64 "\n",
		 fake.pid, fake.info.start_time_ns, tables->implementations[PYTHON_OBJ][0],
		 tables->implementations[PYTHON_OBJ][1], tables->implementations[PYTHON_OBJ][2],
		 tables->implementations[PYTHON_OBJ][3], tables->pads[0], tables->pads[1],
		 tables->pads[2], tables->pads[3], tables->active[PYTHON_MEM],
		 tables->active[PYTHON_OBJ], tables->data_start, tables->data_end);
	assert_string_equal(text, expected);
	python_redirect_end(redirect, NULL);
	fake_end(&fake);
}

static void last_of_two_restores(void **state)
{
	struct python_redirect *first, *second;
	struct fake fake;

	start(&fake);
	first = redirected(&fake);
	second = redirected(&fake);
	assert_int_equal(lock_count(), 1);
	assert_int_equal(python_redirect_end(first, NULL), 0);
	assert_int_equal(nops(&fake), SLOTS);
	assert_int_equal(python_redirect_recover(), 0);
	assert_int_equal(nops(&fake), SLOTS);
	first = redirected(&fake);
	assert_int_equal(python_redirect_end(second, NULL), 0);
	assert_int_equal(python_redirect_end(first, NULL), SLOTS);
	assert_int_equal(nops(&fake), 0);
	assert_int_equal(lock_count(), 0);
	fake_end(&fake);
}

static void *come(void *argument)
{
	const struct fake *fake = argument;
	struct python_redirect *redirect = NULL;

	return try_redirect(fake, &redirect, NULL) ? NULL : redirect;
}

/* Somebody waits for a lock of our process, in a line as "5: -> FLOCK ADVISORY READ pid ..." */
static bool somebody_waits(void)
{
	FILE *file = fopen("/proc/locks", "r");
	char line[256];
	bool found = false;

	while (fgets(line, sizeof(line), file)) {
		int pid;

		found |= sscanf(line, "%*d: -> FLOCK %*s %*s %d", &pid) == 1 && pid == getpid();
	}
	fclose(file);
	return found;
}

static void who_waited_for_the_last_to_leave_has_a_new_lock(void **state)
{
	char name[NAME_BYTES_MAX], path[512];
	struct python_redirect *redirect;
	struct record record;
	pthread_t thread;
	struct fake fake;
	void *came;
	int fd;

	start(&fake);
	record = (struct record){.pid = fake.pid, .start_time_ns = fake.info.start_time_ns};
	name_lock(&record, name);
	snprintf(path, sizeof(path), "%s/%s", locks, name);
	fd = lock_shared(name, NULL);
	assert_int_equal(lock(fd, LOCK_EX), 0);
	assert_int_equal(pthread_create(&thread, NULL, come, &fake), 0);
	while (!somebody_waits())
		usleep(1000);
	assert_int_equal(unlink(path), 0);
	close(fd);
	pthread_join(thread, &came);
	assert_non_null(came);
	assert_int_equal(lock_count(), 1);
	redirect = redirected(&fake);
	assert_int_equal(python_redirect_end(came, NULL), 0);
	assert_int_equal(python_redirect_end(redirect, NULL), SLOTS);
	fake_end(&fake);
}

struct comer {
	const struct fake *fake;
	int failed, unseen;
};

static void *come_and_go(void *argument)
{
	struct comer *comer = argument;
	const struct fake *fake = comer->fake;

	for (int i = 0; i < 211; i++) {
		struct python_redirect *redirect;
		uint64_t slot = 0;

		if (try_redirect(fake, &redirect, NULL)) {
			comer->failed++;
			continue;
		}
		/* as long as one is there, its slots are redirected */
		if (python_read_memory(fake->pid, fake->tables.active[PYTHON_OBJ] + 8, &slot,
				       sizeof(slot)) ||
		    slot != fake->tables.pads[PYTHON_MALLOC])
			comer->unseen++;
		if (python_redirect_end(redirect, NULL) < 0)
			comer->failed++;
	}
	return NULL;
}

static void coming_and_going_at_the_same_time_is_no_race(void **state)
{
	struct comer comers[3] = {0};
	pthread_t threads[ARRAY_LEN(comers)];
	struct fake fake;

	start(&fake);
	for (size_t i = 0; i < ARRAY_LEN(comers); i++) {
		comers[i].fake = &fake;
		assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &comers[i]), 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(comers); i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(comers[i].failed, 0);
		assert_int_equal(comers[i].unseen, 0);
	}
	assert_int_equal(nops(&fake), 0);
	assert_int_equal(lock_count(), 0);
	fake_end(&fake);
}

static void directory_of_others_is_refused(void **state)
{
	struct python_redirect *redirect;
	struct fake fake;
	struct err err = {0};

	start(&fake);
	run("mkdir -m 0777 elsewhere && ln -s elsewhere %s", locks);
	assert_int_equal(try_redirect(&fake, &redirect, &err), -ENOTDIR);
	run("rm %s && mkdir %s && chmod 0722 %s", locks, locks, locks);
	assert_int_equal(try_redirect(&fake, &redirect, &err), -EPERM);
	assert_non_null(strstr(err.text, "belongs to somebody else or is writable by others"));
	assert_int_equal(nops(&fake), 0);
	run("rm -rf elsewhere");
	fake_end(&fake);
}

/* ---- recovery -------------------------------------------------------------------------------- */

/* Redirect in a process that is killed then. */
static void redirect_and_die(const struct fake *fake)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		struct python_redirect *redirect;

		if (try_redirect(fake, &redirect, NULL))
			_exit(1);
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

static void killed_one_is_recovered_by_the_next(void **state)
{
	struct fake fake;

	start(&fake);
	redirect_and_die(&fake);
	assert_int_equal(nops(&fake), SLOTS);
	assert_string_equal(fake_tell(&fake, 'a'), "right 0");
	assert_int_equal(python_redirect_recover(), 1);
	assert_int_equal(nops(&fake), 0);
	assert_int_equal(lock_count(), 0);
	assert_int_equal(python_redirect_recover(), 0);
	fake_end(&fake);
}

static void slots_of_a_killed_one_are_taken_over(void **state)
{
	struct python_redirect *redirect;
	struct fake fake;

	start(&fake);
	redirect_and_die(&fake);
	fake_find(&fake, true);
	assert_true(fake.tables.redirected);
	redirect = redirected(&fake);
	assert_int_equal(python_redirect_end(redirect, NULL), SLOTS);
	assert_int_equal(nops(&fake), 0);
	fake_end(&fake);
}

static void what_is_no_record_is_removed_or_left(void **state)
{
	struct fake fake;

	assert_int_equal(python_redirect_recover(), 0); /* no directory */
	start(&fake);
	run("mkdir -m 0700 %s && cd %s && touch redirect.1.1 other && echo x >redirect.2.2 &&"
	    " ln -s ../target redirect.3.3 && touch ../target", locks, locks);
	/* of another process than its name says */
	redirect_and_die(&fake);
	run("cd %s && mv redirect.%d.* redirect.%d.7", locks, fake.pid, fake.pid);
	assert_int_equal(python_redirect_recover(), 0);
	assert_int_equal(nops(&fake), SLOTS);
	run("cd %s && test \"$(echo *)\" = 'other redirect.3.3' && test -e ../target", locks);
	run("rm target");
	fake_end(&fake);
}

static void record_of_a_process_that_is_gone_is_removed(void **state)
{
	struct fake fake;

	start(&fake);
	redirect_and_die(&fake);
	fake_end(&fake);
	assert_int_equal(lock_count(), 1);
	assert_int_equal(python_redirect_recover(), 0);
	assert_int_equal(lock_count(), 0);
}

/* ---- hooks ----------------------------------------------------------------------------------- */

static void what_a_hook_put_aside_is_restored(void **state)
{
	struct python_redirect *redirect;
	struct fake fake;

	start(&fake);
	redirect = redirected(&fake);
	fake_tell(&fake, 't');
	assert_int_equal(python_redirect_end(redirect, NULL), SLOTS);
	fake_tell(&fake, 's');
	assert_int_equal(nops(&fake), 0);
	fake_end(&fake);
}

static void what_a_hook_put_aside_is_recovered(void **state)
{
	struct fake fake;

	start(&fake);
	redirect_and_die(&fake);
	fake_tell(&fake, 't');
	assert_int_equal(python_redirect_recover(), 1);
	fake_tell(&fake, 's');
	assert_int_equal(nops(&fake), 0);
	fake_end(&fake);
}

static void hooked_process_is_redirected_behind_the_hook(void **state)
{
	struct python_redirect *redirect;
	struct fake fake;

	start(&fake);
	fake_tell(&fake, 't');
	fake_find(&fake, true);
	assert_int_equal(fake.tables.mode, PYTHON_MODE_HOOKED);
	redirect = redirected(&fake);
	assert_memory_equal(fake_tell(&fake, 'a'), "right", 5);
	fake_tell(&fake, 's'); /* the hook goes: what it had put aside is in use again */
	assert_int_equal(nops(&fake), SLOTS);
	/* those in use, and the copies */
	assert_int_equal(python_redirect_end(redirect, NULL), 2 * SLOTS);
	assert_int_equal(nops(&fake), 0);
	fake_end(&fake);
}

/* ---- fork and exec --------------------------------------------------------------------------- */

static uint64_t start_of(pid_t pid)
{
	struct process_info info;

	assert_int_equal(process_read(pid, &info, NULL), 0);
	return info.start_time_ns;
}

static void child_is_restored_by_itself(void **state)
{
	struct python_redirect *parent, *child;
	struct err err = {0};
	struct fake fake;
	pid_t early, late;

	start(&fake);
	early = atoi(fake_tell(&fake, 'f'));
	parent = redirected(&fake);
	late = atoi(fake_tell(&fake, 'f'));
	assert_int_equal(nops_in(late, &fake.tables), SLOTS);
	assert_null(python_redirect_child(parent, early, start_of(early), &err));
	assert_non_null(strstr(err.text, "is not a redirected child of process"));
	assert_null(python_redirect_child(parent, late, 1, &err));
	child = python_redirect_child(parent, late, start_of(late), &err);
	assert_non_null(child);
	assert_int_equal(lock_count(), 2);
	assert_int_equal(python_redirect_end(parent, NULL), SLOTS);
	assert_int_equal(nops_in(late, &fake.tables), SLOTS);
	assert_int_equal(python_redirect_end(child, NULL), SLOTS);
	assert_int_equal(nops_in(late, &fake.tables), 0);
	assert_int_equal(lock_count(), 0);
	kill(early, SIGKILL);
	kill(late, SIGKILL);
	fake_end(&fake);
}

/* The fork came when frees were redirected, and one of the two reallocs. */
static void child_of_a_fork_that_came_too_early_is_completed(void **state)
{
	struct python_redirect *parent, *child;
	struct fake fake, forked;

	start(&fake);
	parent = redirected(&fake);
	forked = fake;
	forked.pid = atoi(fake_tell(&fake, 'f'));
	for (int slot = 0; slot < SLOTS - 3; slot++) {
		int call = slot / 2;
		uint64_t table = fake.tables.active[slot % 2 ? PYTHON_OBJ : PYTHON_MEM];

		poke(&forked, table + 8 + 8 * call,
		     &fake.tables.implementations[PYTHON_OBJ][call], 8);
	}
	assert_int_equal(nops(&forked), 3);
	child = python_redirect_child(parent, forked.pid, start_of(forked.pid), NULL);
	assert_non_null(child);
	assert_int_equal(nops(&forked), 3);
	assert_int_equal(python_redirect_complete(child, PYTHON_MODE_PYMALLOC, NULL), 0);
	assert_int_equal(nops(&forked), SLOTS);
	assert_int_equal(nops(&fake), SLOTS);
	assert_int_equal(python_redirect_end(child, NULL), SLOTS);
	assert_int_equal(nops(&forked), 0);
	assert_int_equal(python_redirect_end(parent, NULL), SLOTS);
	kill(forked.pid, SIGKILL);
	fake_end(&fake);
}

static void new_program_in_the_process_is_left_alone(void **state)
{
	struct python_redirect *redirect, *again;
	char letter = 'x', line[64];
	struct fake fake;

	start(&fake);
	redirect = redirected(&fake);
	assert_int_equal(write(fake.to, &letter, 1), 1);
	assert_non_null(fgets(line, sizeof(line), fake.from));
	assert_string_equal(line, "ready\n");
	fake_detect(&fake, in_scratch("fake"));
	fake_find(&fake, true);
	assert_false(fake.tables.redirected);
	again = redirected(&fake);
	assert_int_equal(nops(&fake), SLOTS);
	assert_int_equal(python_redirect_end(redirect, NULL), 0);
	assert_int_equal(nops(&fake), SLOTS);
	assert_int_equal(python_redirect_end(again, NULL), SLOTS);
	assert_int_equal(nops(&fake), 0);
	fake_end(&fake);
}

#define CASE(test) cmocka_unit_test_teardown(test, locks_clear)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(slots_are_redirected_and_restored),
	    CASE(slots_are_redirected_under_use),
	    CASE(process_that_is_gone_needs_nothing),
	    CASE(other_process_of_the_same_number_is_refused),
	    CASE(way_must_be_redirect),
	    CASE(nop_must_be_in_file_and_memory),
	    CASE(nop_may_have_a_breakpoint),
	    CASE(slot_that_holds_something_else_is_refused),
	    CASE(failed_write_undoes_those_before),
	    CASE(failed_write_is_undone_beside_others),
	    CASE(no_permission_is_one_line),
	    CASE(lock_file_says_how_to_restore),
	    CASE(last_of_two_restores),
	    CASE(who_waited_for_the_last_to_leave_has_a_new_lock),
	    CASE(coming_and_going_at_the_same_time_is_no_race),
	    CASE(directory_of_others_is_refused),
	    CASE(killed_one_is_recovered_by_the_next),
	    CASE(slots_of_a_killed_one_are_taken_over),
	    CASE(what_is_no_record_is_removed_or_left),
	    CASE(record_of_a_process_that_is_gone_is_removed),
	    CASE(what_a_hook_put_aside_is_restored),
	    CASE(what_a_hook_put_aside_is_recovered),
	    CASE(hooked_process_is_redirected_behind_the_hook),
	    CASE(child_is_restored_by_itself),
	    CASE(child_of_a_fork_that_came_too_early_is_completed),
	    CASE(new_program_in_the_process_is_left_alone),
	};

	return cmocka_run_group_tests(tests, locks_make, scratch_remove);
}
