/* SPDX-License-Identifier: GPL-2.0-only */
/* test_proc_maps.c - lines of /proc/PID/maps, good and bad, and the files behind regions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "target/proc_maps.h"

static void parse(const char *text, struct proc_maps *maps, size_t *bad_lines)
{
	size_t length = strlen(text);
	char *copy = malloc(length + !length); /* no NUL: reads behind the end are seen */

	assert_non_null(copy);
	memcpy(copy, text, length);
	assert_int_equal(proc_maps_parse(copy, length, maps, bad_lines), 0);
	free(copy);
}

static void fields_are_read(void **state)
{
	struct proc_maps maps;
	size_t bad = 13;

	parse(
	    "555555554000-555555556000 r-xp 0001d000 fe:1f 7919 "
	    "                     /usr/bin/with blank\n"
	    "7ffff7fc1000-7ffff7fc3000 -w-s 00000000 00:00 0 \n"
	    "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n",
	    &maps, &bad);
	assert_int_equal(bad, 0);
	assert_int_equal(maps.count, 3);
	assert_int_equal(maps.items[0].start, 0x555555554000);
	assert_int_equal(maps.items[0].end, 0x555555556000);
	assert_int_equal(maps.items[0].file_offset, 0x1d000);
	assert_int_equal(maps.items[0].device_major, 0xfe);
	assert_int_equal(maps.items[0].device_minor, 0x1f);
	assert_int_equal(maps.items[0].inode, 7919);
	assert_string_equal(maps.items[0].path, "/usr/bin/with blank");
	assert_true(maps.items[0].readable && maps.items[0].executable);
	assert_false(maps.items[0].writable || maps.items[0].shared || maps.items[0].deleted);
	assert_string_equal(maps.items[1].path, "");
	assert_true(maps.items[1].writable && maps.items[1].shared);
	assert_false(maps.items[1].readable || maps.items[1].executable);
	assert_string_equal(maps.items[2].path, "[vsyscall]");
	proc_maps_free(&maps);
}

static void deleted_is_stripped_once(void **state)
{
	struct proc_maps maps;

	parse("1000-2000 r--p 00000000 08:01 11 /tmp/a (deleted)\n"
	      "2000-3000 r--p 00000000 08:01 13 /tmp/b (deleted) (deleted)\n"
	      "3000-4000 r--p 00000000 08:01 17 /tmp/c(deleted)\n"
	      "4000-5000 r--p 00000000 08:01 19  (deleted)\n",
	      &maps, NULL);
	assert_int_equal(maps.count, 4);
	assert_string_equal(maps.items[0].path, "/tmp/a");
	assert_true(maps.items[0].deleted);
	assert_string_equal(maps.items[1].path, "/tmp/b (deleted)");
	assert_true(maps.items[1].deleted);
	assert_string_equal(maps.items[2].path, "/tmp/c(deleted)");
	assert_false(maps.items[2].deleted);
	assert_false(maps.items[3].deleted);
	proc_maps_free(&maps);
}

static void newline_in_a_path_is_decoded_and_nothing_else(void **state)
{
	struct proc_maps maps;

	parse("1000-2000 r--p 00000000 08:01 11 /tmp/a\\012b\\012\n"
	      "2000-3000 r--p 00000000 08:01 11 /tmp/\\040\\\\x\\01\n",
	      &maps, NULL);
	assert_int_equal(maps.count, 2);
	assert_string_equal(maps.items[0].path, "/tmp/a\nb\n");
	assert_string_equal(maps.items[1].path, "/tmp/\\040\\\\x\\01");
	proc_maps_free(&maps);
}

static void bad_lines_are_skipped_and_counted(void **state)
{
	struct proc_maps maps;
	size_t bad = 0;

	parse("1000-2000 r--p 00000000 08:01 11 /a\n"
	      "\n"
	      "garbage\n"
	      "3000-2000 r--p 00000000 08:01 11 /ends-before-it-starts\n"
	      "2000-3000 r--p\n"
	      "2000-3000 r-- 00000000 08:01 11 /three-permissions\n"
	      "2000-3000 r--p 00000000 0801 11 /no-colon\n"
	      "2000-3000 r--p 00000000 08:01 x1 /no-inode\n"
	      "10000000000000000-3000 r--p 00000000 08:01 11 /too-long\n"
	      "1800-2800 r--p 00000000 08:01 11 /overlaps\n"
	      "2000-3000 r--p 00000000 08:01 11 /b\n"
	      "3000-4000 r--p 00000000 08:01 1",
	      &maps, &bad);
	assert_int_equal(bad, 9);
	assert_int_equal(maps.count, 3);
	assert_string_equal(maps.items[1].path, "/b");
	assert_string_equal(maps.items[2].path, "");
	proc_maps_free(&maps);
}

static void empty_text_gives_no_regions(void **state)
{
	struct proc_maps maps;
	size_t bad = 13;

	parse("", &maps, &bad);
	assert_int_equal(maps.count, 0);
	assert_int_equal(bad, 0);
	assert_null(proc_maps_at(&maps, 0));
	proc_maps_free(&maps);
}

static void region_is_found_by_address(void **state)
{
	struct proc_maps maps;

	parse("1000-2000 r--p 00000000 00:00 0 \n"
	      "2000-5000 r--p 00000000 00:00 0 \n"
	      "7000-b000 r--p 00000000 00:00 0 \n",
	      &maps, NULL);
	assert_null(proc_maps_at(&maps, 0xfff));
	assert_ptr_equal(proc_maps_at(&maps, 0x1000), &maps.items[0]);
	assert_ptr_equal(proc_maps_at(&maps, 0x1fff), &maps.items[0]);
	assert_ptr_equal(proc_maps_at(&maps, 0x2000), &maps.items[1]);
	assert_null(proc_maps_at(&maps, 0x5000));
	assert_ptr_equal(proc_maps_at(&maps, 0xafff), &maps.items[2]);
	assert_null(proc_maps_at(&maps, 0xb000));
	proc_maps_free(&maps);
}

static void own_code_is_found_and_opened(void **state)
{
	const struct vm_region *region;
	struct stat ours, opened;
	struct proc_maps maps;
	struct err err = {0};
	int fd;

	assert_int_equal(proc_maps_read(getpid(), &maps, &err), 0);
	region = proc_maps_at(&maps, (uintptr_t)own_code_is_found_and_opened);
	assert_non_null(region);
	assert_true(region->executable);
	fd = proc_maps_open_file(getpid(), region, &err);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &opened), 0);
	assert_int_equal(stat("/proc/self/exe", &ours), 0);
	assert_int_equal(opened.st_ino, ours.st_ino);
	close(fd);
	proc_maps_free(&maps);
}

static void region_without_a_file_is_not_opened(void **state)
{
	struct vm_region region = {.start = 0x1000, .end = 0x2000, .path = "[heap]"};
	struct err err = {0};

	assert_int_equal(proc_maps_open_file(getpid(), &region, &err), -ENOENT);
	assert_non_null(strstr(err.text, "no file is mapped at 0x1000"));
}

/* A region of no process (START-END is in no map_files), so that paths are tried. */
static struct vm_region region_of(const char *path)
{
	struct vm_region region = {.start = 0x1000, .end = 0x2000, .path = path};
	struct stat status;

	assert_int_equal(stat(path, &status), 0);
	region.device_major = major(status.st_dev);
	region.device_minor = minor(status.st_dev);
	region.inode = status.st_ino;
	return region;
}

static void file_is_opened_by_path_if_it_is_the_same(void **state)
{
	char path[] = "/tmp/test_proc_maps.XXXXXX";
	struct err err = {0};
	struct vm_region region;
	int fd = mkstemp(path), opened;

	assert_true(fd >= 0);
	close(fd);
	region = region_of(path);
	opened = proc_maps_open_file(getpid(), &region, &err);
	assert_true(opened >= 0);
	close(opened);
	region.inode++; /* replaced by an upgrade, say */
	assert_int_equal(proc_maps_open_file(getpid(), &region, &err), -ENOENT);
	assert_non_null(strstr(err.text, path));
	unlink(path);
}

/* Needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE. */
static void deleted_file_is_opened_through_map_files(void **state)
{
	char path[] = "/tmp/test_proc_maps.XXXXXX";
	const struct vm_region *region;
	struct proc_maps maps;
	int fd = mkstemp(path), opened;
	char text[8] = "";
	void *at;

	if (geteuid())
		skip();
	assert_int_equal(write(fd, "1009", 4), 4);
	at = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
	assert_true(at != MAP_FAILED);
	close(fd);
	unlink(path);
	assert_int_equal(proc_maps_read(getpid(), &maps, NULL), 0);
	region = proc_maps_at(&maps, (uintptr_t)at);
	assert_non_null(region);
	assert_true(region->deleted);
	assert_string_equal(region->path, path);
	opened = proc_maps_open_file(getpid(), region, NULL);
	assert_true(opened >= 0);
	assert_int_equal(read(opened, text, sizeof(text)), 4);
	assert_string_equal(text, "1009");
	close(opened);
	munmap(at, 4096);
	proc_maps_free(&maps);
}

static void process_that_is_gone_gives_esrch(void **state)
{
	struct proc_maps maps;
	struct err err = {0};
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(proc_maps_read(pid, &maps, &err), -ESRCH);
	assert_int_equal(err.code, ESRCH);
	assert_int_equal(maps.count, 0);
}

static void exited_leader_has_no_regions(void **state)
{
	struct proc_maps maps;
	siginfo_t info;
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	assert_int_equal(waitid(P_PID, pid, &info, WEXITED | WNOWAIT), 0);
	assert_int_equal(proc_maps_read(pid, &maps, NULL), 0);
	assert_int_equal(maps.count, 0);
	proc_maps_free(&maps);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(fields_are_read),
	    cmocka_unit_test(deleted_is_stripped_once),
	    cmocka_unit_test(newline_in_a_path_is_decoded_and_nothing_else),
	    cmocka_unit_test(bad_lines_are_skipped_and_counted),
	    cmocka_unit_test(empty_text_gives_no_regions),
	    cmocka_unit_test(region_is_found_by_address),
	    cmocka_unit_test(own_code_is_found_and_opened),
	    cmocka_unit_test(region_without_a_file_is_not_opened),
	    cmocka_unit_test(file_is_opened_by_path_if_it_is_the_same),
	    cmocka_unit_test(deleted_file_is_opened_through_map_files),
	    cmocka_unit_test(process_that_is_gone_gives_esrch),
	    cmocka_unit_test(exited_leader_has_no_regions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
