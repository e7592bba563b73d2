/* SPDX-License-Identifier: GPL-2.0-only */
/* test_process.c - what /proc says of processes made for it, and how resident memory splits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "target/process.h"

/* A child of the given name that sleeps until it is killed. */
static pid_t start_child(const char *comm)
{
	int ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prctl(PR_SET_NAME, comm);
		if (write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static void stop_child(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* ---- identity -------------------------------------------------------------------------------- */

static void name_with_blanks_and_parentheses_is_read(void **state)
{
	struct process_info info;
	char exe[4096] = "";
	pid_t pid = start_child("a) R 1 (b");

	assert_int_equal(process_read(pid, &info, NULL), 0);
	assert_int_equal(info.pid, pid);
	assert_string_equal(info.comm, "a) R 1 (b");
	assert_int_equal(info.parent, getpid());
	assert_int_equal(info.thread_count, 1);
	assert_true(readlink("/proc/self/exe", exe, sizeof(exe) - 1) > 0);
	assert_string_equal(info.exe, exe);
	assert_true(info.start_time_ns > 0);
	stop_child(pid);
}

static void process_is_alive_until_it_exits(void **state)
{
	struct process_info info, other;
	pid_t pid = start_child("seep-test-alive");
	siginfo_t status;

	assert_int_equal(process_read(pid, &info, NULL), 0);
	assert_true(process_is_alive(&info));
	other = info;
	other.start_time_ns += 10000000; /* same number, another process */
	assert_false(process_is_alive(&other));
	kill(pid, SIGKILL);
	assert_int_equal(waitid(P_PID, pid, &status, WEXITED | WNOWAIT), 0);
	assert_false(process_is_alive(&info)); /* a zombie */
	assert_int_equal(process_read(pid, &other, NULL), -ESRCH);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_false(process_is_alive(&info));
}

static void missing_process_gives_esrch(void **state)
{
	struct process_info info;
	struct err err = {0};
	pid_t pid = start_child("seep-test-gone");

	stop_child(pid);
	assert_int_equal(process_read(pid, &info, &err), -ESRCH);
	assert_non_null(strstr(err.text, "no process"));
	assert_int_equal(process_read(0, &info, &err), -ESRCH);
	assert_int_equal(process_read(-7, &info, &err), -ESRCH);
}

static void *tell_tid(void *argument)
{
	int *pipes = argument;
	pid_t tid = syscall(SYS_gettid);
	char byte;

	if (write(pipes[1], &tid, sizeof(tid)) != sizeof(tid))
		return NULL;
	return read(pipes[2], &byte, 1) == 1 ? argument : NULL;
}

static void thread_is_told_from_a_process(void **state)
{
	struct process_info info;
	struct err err = {0};
	char expected[128];
	pthread_t thread;
	int pipes[4];
	pid_t tid;

	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(pipe(pipes + 2), 0);
	assert_int_equal(pthread_create(&thread, NULL, tell_tid, pipes), 0);
	assert_int_equal(read(pipes[0], &tid, sizeof(tid)), sizeof(tid));
	assert_int_equal(process_read(tid, &info, &err), -ESRCH);
	snprintf(expected, sizeof(expected), "%d is a thread of process %d", tid, getpid());
	assert_non_null(strstr(err.text, expected));
	assert_int_equal(process_read(getpid(), &info, NULL), 0);
	assert_true(info.thread_count >= 2);
	assert_int_equal(write(pipes[3], "", 1), 1);
	pthread_join(thread, NULL);
	for (int i = 0; i < 4; i++)
		close(pipes[i]);
}

static void processes_are_found_by_exact_name(void **state)
{
	pid_t found[16],
	    first = start_child("seep-test-find"), second = start_child("seep-test-find"),
	    other = start_child("seep-test-fin"), longer = start_child("seep-test-of-a-long-name");
	int count = process_find_comm("seep-test-find", found, ARRAY_LEN(found), NULL);

	assert_int_equal(count, 2);
	assert_true((found[0] == first && found[1] == second) ||
		    (found[0] == second && found[1] == first));
	assert_int_equal(process_find_comm("seep-test-find", found, 1, NULL), 1);
	assert_int_equal(process_find_comm("seep-test-nobody", found, 16, NULL), 0);
	assert_int_equal(process_find_comm("", found, 16, NULL), 0);
	/* the kernel keeps 15 bytes */
	assert_int_equal(process_find_comm("seep-test-of-a-long-name", found, 16, NULL), 1);
	assert_int_equal(found[0], longer);
	stop_child(first);
	stop_child(second);
	stop_child(other);
	stop_child(longer);
}

/* ---- may it be watched ----------------------------------------------------------------------- */

static void ordinary_process_may_be_watched(void **state)
{
	struct process_info info;
	pid_t pid = start_child("seep-test-check");

	assert_int_equal(process_read(pid, &info, NULL), 0);
	assert_int_equal(process_check(&info, NULL), 0);
	stop_child(pid);
}

static void own_process_is_refused(void **state)
{
	struct process_info info;
	struct err err = {0};

	assert_int_equal(process_read(getpid(), &info, NULL), 0);
	assert_int_equal(process_check(&info, &err), -EINVAL);
	assert_non_null(strstr(err.text, "cannot watch itself"));
}

static void kernel_thread_is_refused(void **state)
{
	struct process_info info;
	struct err err = {0};

	/* in a pid namespace there is none */
	if (process_read(2, &info, NULL) || strcmp(info.comm, "kthreadd"))
		skip();
	assert_string_equal(info.exe, "");
	if (geteuid()) {
		assert_int_equal(process_check(&info, &err), -EACCES);
		return;
	}
	assert_int_equal(process_check(&info, &err), -ENOEXEC);
	assert_non_null(strstr(err.text, "kernel thread"));
}

/*
 * A 32-bit program of one page that pauses: mov $29,%eax; int $0x80; jmp .-9 (i386's pause).
 * Written by hand, as no 32-bit C library may be there.
 */
static void write_program32(int fd)
{
	static const unsigned char code[] = {0xb8, 29, 0, 0, 0, 0xcd, 0x80, 0xeb, 0xf7};
	struct {
		Elf32_Ehdr header;
		Elf32_Phdr segment;
		unsigned char code[sizeof(code)];
	} file = {
	    .header = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, EV_CURRENT},
		       .e_type = ET_EXEC,
		       .e_machine = EM_386,
		       .e_version = EV_CURRENT,
		       .e_entry = 0x8048000 + sizeof(Elf32_Ehdr) + sizeof(Elf32_Phdr),
		       .e_phoff = sizeof(Elf32_Ehdr),
		       .e_ehsize = sizeof(Elf32_Ehdr),
		       .e_phentsize = sizeof(Elf32_Phdr),
		       .e_phnum = 1},
	    .segment = {.p_type = PT_LOAD,
			.p_vaddr = 0x8048000,
			.p_paddr = 0x8048000,
			.p_filesz = sizeof(file),
			.p_memsz = sizeof(file),
			.p_flags = PF_R | PF_X,
			.p_align = 4096},
	};

	memcpy(file.code, code, sizeof(code));
	assert_int_equal(write(fd, &file, sizeof(file)), sizeof(file));
}

/* fork() and exec() of 'path'. 0 if the kernel cannot run it. */
static pid_t start_program(const char *path)
{
	int failed[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe2(failed, O_CLOEXEC), 0);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execl(path, path, NULL);
		_exit(write(failed[1], "", 1) != 1);
	}
	close(failed[1]);
	if (read(failed[0], &byte, 1) == 1) {
		waitpid(pid, NULL, 0);
		pid = 0;
	}
	close(failed[0]);
	return pid;
}

static void program_of_32_bits_is_refused(void **state)
{
	char path[] = "/tmp/test_process.XXXXXX", expected[128];
	int fd = mkstemp(path);
	struct process_info info;
	struct err err = {0};
	pid_t pid;

	assert_true(fd >= 0);
	write_program32(fd);
	fchmod(fd, 0700);
	close(fd);
	pid = start_program(path);
	unlink(path);
	if (!pid)
		skip(); /* a kernel without CONFIG_IA32_EMULATION */
	assert_int_equal(process_read(pid, &info, NULL), 0);
	assert_string_equal(info.exe, path); /* without " (deleted)" */
	assert_int_equal(process_check(&info, &err), -ENOEXEC);
	snprintf(expected, sizeof(expected),
		 "process %d is a 32-bit program; only 64-bit programs can be watched", pid);
	assert_string_equal(err.text, expected);
	stop_child(pid);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void split(const char *smaps, struct memory_breakdown *memory)
{
	size_t length = strlen(smaps);
	char *copy = malloc(length + !length);

	assert_non_null(copy);
	memcpy(copy, smaps, length);
	memset(memory, 0xa5, sizeof(*memory));
	assert_int_equal(process_memory_parse(copy, length, memory), 0);
	free(copy);
	assert_int_equal(memory->rss_bytes, memory->heap_bytes + memory->arena_bytes +
						memory->anon_bytes + memory->file_bytes +
						memory->stack_bytes + memory->shared_bytes);
	assert_int_equal(memory->allocator_bytes,
			 memory->heap_bytes + memory->arena_bytes + memory->anon_bytes);
}

static void regions_are_sorted_by_what_is_behind_them(void **state)
{
	struct memory_breakdown memory;

	split("1000-2000 r-xp 00000000 08:01 11 /bin/x\nSize: 4 kB\nRss:                 2 kB\n"
	      "2000-3000 rw-p 00001000 08:01 11 /bin/x\nRss: 3 kB\nSwap: 101 kB\nSwapPss: 997 kB\n"
	      "3000-4000 rw-p 00000000 00:00 0                  [heap]\nRss: 5 kB\n"
	      "10000-20000 rw-p 00000000 00:00 0 \nRss: 7 kB\nSwap: 2 kB\n"
	      "20000-30000 r-xp 00000000 00:00 0 \nRss: 11 kB\n"
	      "30000-40000 rw-s 00000000 00:01 77 /memfd:x (deleted)\nRss: 13 kB\n"
	      "40000-50000 rw-s 00000000 00:01 78 /dev/shm/y\nRss: 17 kB\n"
	      "50000-60000 rw-s 00000000 00:01 79 /SYSV00000000 (deleted)\nRss: 19 kB\n"
	      "60000-70000 rw-s 00000000 00:01 80 /dev/zero (deleted)\nRss: 23 kB\n"
	      "70000-80000 rw-p 00000000 00:00 0 [anon:my pool]\nRss: 29 kB\n"
	      "80000-90000 rw-p 00000000 00:00 0 [stack]\nRss: 31 kB\n"
	      "90000-a0000 r-xp 00000000 00:00 0 [vdso]\nRss: 37 kB\nVmFlags: rd ex mr\n",
	      &memory);
	assert_int_equal(memory.heap_bytes, 5 * 1024);
	assert_int_equal(memory.arena_bytes, 0);
	assert_int_equal(memory.anon_bytes, (7 + 11 + 29) * 1024);
	assert_int_equal(memory.file_bytes, (2 + 3 + 37) * 1024);
	assert_int_equal(memory.shared_bytes, (13 + 17 + 19 + 23) * 1024);
	assert_int_equal(memory.stack_bytes, 31 * 1024);
	assert_int_equal(memory.swap_bytes, (101 + 2) * 1024);
}

static void arena_has_an_inaccessible_rest_to_the_end_of_its_64_mib(void **state)
{
	struct memory_breakdown memory;

	/* an arena; the same not aligned; with a rest that ends early; with nothing behind */
	split("7f0000000000-7f0000021000 rw-p 00000000 00:00 0 \nRss: 2 kB\n"
	      "7f0000021000-7f0004000000 ---p 00000000 00:00 0 \nRss: 0 kB\n"
	      "7f0008001000-7f0008021000 rw-p 00000000 00:00 0 \nRss: 3 kB\n"
	      "7f0008021000-7f000c000000 ---p 00000000 00:00 0 \nRss: 0 kB\n"
	      "7f0010000000-7f0010021000 rw-p 00000000 00:00 0 \nRss: 5 kB\n"
	      "7f0010021000-7f0013fff000 ---p 00000000 00:00 0 \nRss: 0 kB\n"
	      "7f0014000000-7f0014021000 rw-p 00000000 00:00 0 \nRss: 7 kB\n",
	      &memory);
	assert_int_equal(memory.arena_bytes, 2 * 1024);
	assert_int_equal(memory.anon_bytes, (3 + 5 + 7) * 1024);
}

static void arenas_that_merged_and_named_ones_count(void **state)
{
	struct memory_breakdown memory;

	/* one full heap with the next above it; the rest merged with what follows; a name */
	split(
	    "7f0000000000-7f0004021000 rw-p 00000000 00:00 0 \nRss: 11 kB\n"
	    "7f0004021000-7f0009000000 ---p 00000000 00:00 0 \nRss: 0 kB\n"
	    "7f0010001000-7f0010021000 rw-p 00000000 00:00 0 [anon: glibc: malloc arena]\nRss: 13 "
	    "kB\n",
	    &memory);
	assert_int_equal(memory.arena_bytes, (11 + 13) * 1024);
}

static void thread_stack_lies_on_a_guard(void **state)
{
	struct memory_breakdown memory;

	/* glibc's; musl's; too big; guard too big; guard not adjacent; not writable; a name */
	split("7f0000000000-7f0000001000 ---p 00000000 00:00 0 \nRss: 0 kB\n"
	      "7f0000001000-7f0000801000 rw-p 00000000 00:00 0 \nRss: 2 kB\n"
	      "7f0001000000-7f0001002000 ---p 00000000 00:00 0 \nRss: 0 kB\n"
	      "7f0001002000-7f0001023000 rw-p 00000000 00:00 0 \nRss: 3 kB\n"
	      "7f0002000000-7f0002001000 ---p 00000000 00:00 0 \nRss: 0 kB\n"
	      "7f0002001000-7f0004001000 rw-p 00000000 00:00 0 \nRss: 5 kB\n"
	      "7f0005000000-7f0005100000 ---p 00000000 00:00 0 \nRss: 0 kB\n"
	      "7f0005100000-7f0005900000 rw-p 00000000 00:00 0 \nRss: 7 kB\n"
	      "7f0006000000-7f0006001000 ---p 00000000 00:00 0 \nRss: 0 kB\n"
	      "7f0006002000-7f0006802000 rw-p 00000000 00:00 0 \nRss: 11 kB\n"
	      "7f0007000000-7f0007001000 ---p 00000000 00:00 0 \nRss: 0 kB\n"
	      "7f0007001000-7f0007801000 r--p 00000000 00:00 0 \nRss: 13 kB\n"
	      "7f0008002000-7f0008802000 rw-p 00000000 00:00 0 [anon: glibc: pthread stack: "
	      "17]\nRss: "
	      "17 kB\n",
	      &memory);
	assert_int_equal(memory.stack_bytes, (2 + 3 + 17) * 1024);
	assert_int_equal(memory.anon_bytes, (5 + 7 + 11 + 13) * 1024);
}

static void broken_smaps_is_read_as_far_as_it_goes(void **state)
{
	struct memory_breakdown memory;

	split("Rss: 2 kB\ngarbage\n1000-2000 rw-p 00000000 00:00 0 [heap]\nRss:\nRss: x\nRss: 3",
	      &memory);
	assert_int_equal(memory.rss_bytes, 3 * 1024);
	split("", &memory);
	assert_int_equal(memory.rss_bytes, 0);
	split("1000-2000 rw-p 00000000 00:00 0 \nRss: 99999999999999999999999 kB\n", &memory);
}

static void own_memory_adds_up(void **state)
{
	struct memory_breakdown before, after;
	uint64_t rss = 0;
	size_t bytes = 31 << 20;
	char *block;

	assert_int_equal(process_memory(getpid(), &before, NULL), 0);
	block = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(block != MAP_FAILED);
	memset(block, 1, bytes);
	assert_int_equal(process_memory(getpid(), &after, NULL), 0);
	assert_true(after.anon_bytes - before.anon_bytes >= bytes);
	assert_int_equal(process_rss(getpid(), &rss), 0);
	assert_true(rss >= bytes);
	munmap(block, bytes);
	assert_int_equal(process_rss(-1, &rss), -ESRCH);
}

static void file_of_a_process_is_read_whole(void **state)
{
	_cleanup_free_ char *text = NULL;
	struct err err = {0};
	size_t length = 0;

	assert_int_equal(process_read_file(getpid(), "status", &text, &length, &err), 0);
	assert_int_equal(strlen(text), length);
	assert_non_null(strstr(text, "\nTgid:"));
	assert_int_equal(process_read_file(getpid(), "no-such-file", &text, &length, &err), -ESRCH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(name_with_blanks_and_parentheses_is_read),
	    cmocka_unit_test(process_is_alive_until_it_exits),
	    cmocka_unit_test(missing_process_gives_esrch),
	    cmocka_unit_test(thread_is_told_from_a_process),
	    cmocka_unit_test(processes_are_found_by_exact_name),
	    cmocka_unit_test(ordinary_process_may_be_watched),
	    cmocka_unit_test(own_process_is_refused),
	    cmocka_unit_test(kernel_thread_is_refused),
	    cmocka_unit_test(program_of_32_bits_is_refused),
	    cmocka_unit_test(regions_are_sorted_by_what_is_behind_them),
	    cmocka_unit_test(arena_has_an_inaccessible_rest_to_the_end_of_its_64_mib),
	    cmocka_unit_test(arenas_that_merged_and_named_ones_count),
	    cmocka_unit_test(thread_stack_lies_on_a_guard),
	    cmocka_unit_test(broken_smaps_is_read_as_far_as_it_goes),
	    cmocka_unit_test(own_memory_adds_up),
	    cmocka_unit_test(file_of_a_process_is_read_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
