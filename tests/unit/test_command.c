/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_command.c - commands we start get the words, the moment and the surroundings they should.
 *
 * The command is this program itself: "test_command --tell FILE WORDS" writes into FILE what it
 * was given.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "cli/command.h"

#define WORDS_MAX 256 /* of a command, its name included */

static char self[PATH_MAX], folder[] = "/tmp/test_command.XXXXXX", told[64];

/* ---- what the command does ---------------------------------------------------------------------
 */

static unsigned int open_fds(void)
{
	_cleanup_closedir_ DIR *dir = opendir("/proc/self/fd");
	unsigned int count = 0;

	while (dir && readdir(dir))
		count++;
	return count;
}

/* Lines: pid, SIGPIPE ignored, SIGUSR1 blocked, signal at the death of the parent, open files; then
 * argv[0] and the words, each in brackets. */
static int tell(int argc, char **argv)
{
	_cleanup_fclose_ FILE *file = NULL;
	unsigned int fds = open_fds();
	int death_signal = 0;
	sigset_t blocked;

	file = fopen(argv[2], "w");
	if (!file)
		return 1;
	sigprocmask(SIG_SETMASK, NULL, &blocked);
	prctl(PR_GET_PDEATHSIG, &death_signal);
	fprintf(file, "%d %d %d %d %u\n[%s]", (int)getpid(), signal(SIGPIPE, SIG_DFL) == SIG_IGN,
		sigismember(&blocked, SIGUSR1), death_signal, fds, argv[0]);
	for (int i = 3; i < argc; i++)
		fprintf(file, "[%s]", argv[i]);
	return 0;
}

/* ---- what it told ------------------------------------------------------------------------------
 */

struct answer {
	int pid, pipe_ignored, blocked, death_signal;
	unsigned int fds;
	char words[8192]; /* "[argv0][word]..." */
};

static void read_answer(struct answer *answer)
{
	_cleanup_fclose_ FILE *file = fopen(told, "r");
	size_t got;

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%d %d %d %d %u", &answer->pid, &answer->pipe_ignored,
				&answer->blocked, &answer->death_signal, &answer->fds),
			 5);
	assert_int_equal(fgetc(file), '\n');
	got = fread(answer->words, 1, sizeof(answer->words) - 1, file);
	answer->words[got] = 0;
	unlink(told);
}

static struct command start(const char *text)
{
	struct command command = {.pid = -1};
	struct err err = {0};

	if (command_start(&command, text, &err))
		fail_msg("%s: %s", text, err.text);
	assert_true(command.pid > 0);
	return command;
}

/* Wait until it has ended; it is not reaped. */
static void wait_for_end(pid_t pid)
{
	siginfo_t info;

	assert_int_equal(waitid(P_PID, pid, &info, WEXITED | WNOWAIT), 0);
}

static void assert_no_child_is_left(void)
{
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

/* Run "NAME --tell FILE WORDS" to its end. */
static void run_named(const char *name, const char *words, struct answer *answer)
{
	char text[16384];
	struct command command;

	snprintf(text, sizeof(text), "'%s' --tell %s %s", name, told, words);
	command = start(text);
	command_go(&command);
	wait_for_end(command.pid);
	command_end(&command);
	assert_no_child_is_left();
	read_answer(answer);
}

static void check_words(const char *words, const char *expected)
{
	char all[8192];
	struct answer answer;

	run_named(self, words, &answer);
	snprintf(all, sizeof(all), "[%s]%s", self, expected);
	assert_string_equal(answer.words, all);
}

static void check_refused(const char *text, int code, const char *message)
{
	struct command command = {.pid = -1};
	unsigned int fds = open_fds();
	struct err err = {0};

	assert_int_equal(command_start(&command, text, &err), -code);
	assert_int_equal(err.code, code);
	assert_string_equal(err.text, message);
	assert_int_equal(open_fds(), fds);
	assert_no_child_is_left();
}

/* ---- words -------------------------------------------------------------------------------------
 */

static void words_end_at_blanks(void **state)
{
	check_words("a bc  def\tg \n\t h ", "[a][bc][def][g][h]");
	check_words("", "");
}

static void quotes_keep_blanks(void **state)
{
	check_words("'a b' \"c  d\" e' 'f", "[a b][c  d][e f]");
}

static void a_quote_keeps_the_other_quote(void **state)
{
	check_words("\"it's\" 'say \"x\"'", "[it's][say \"x\"]");
}

static void quotes_do_not_end_a_word(void **state)
{
	check_words("a\"b\"'c'd --x='1 2'", "[abcd][--x=1 2]");
}

static void quotes_of_nothing_are_a_word(void **state)
{
	check_words("'' \"\" a ''", "[][][a][]");
}

static void a_backslash_keeps_what_follows(void **state)
{
	check_words("a\\ b \\' \\\" \\\\ \\c", "[a b]['][\"][\\][c]");
}

static void a_backslash_in_double_quotes_keeps_quotes_and_itself(void **state)
{
	check_words("\"a\\\"b\\\\c\"", "[a\"b\\c]");
}

static void a_backslash_in_single_quotes_is_one(void **state)
{
	check_words("'a\\' 'b\\n'", "[a\\][b\\n]");
}

static void a_backslash_at_the_end_is_one(void **state)
{
	check_words("a\\", "[a\\]");
}

static void nothing_is_expanded(void **state)
{
	check_words("$HOME ~ * `x` $(y) ; | > < & #z",
		    "[$HOME][~][*][`x`][$(y)][;][|][>][<][&][#z]");
}

static void bytes_beyond_ascii_are_kept(void **state)
{
	check_words("gr\303\274n '\360\237\214\261' \377", "[gr\303\274n][\360\237\214\261][\377]");
}

static void as_many_words_as_are_allowed(void **state)
{
	char words[2 * WORDS_MAX] = "", expected[4 * WORDS_MAX] = "", text[PATH_MAX + 1024];

	for (int i = 0; i < WORDS_MAX - 3; i++) {
		strcat(words, "w ");
		strcat(expected, "[w]");
	}
	check_words(words, expected);
	snprintf(text, sizeof(text), "'%s' --tell %s %s w", self, told, words);
	check_refused(text, E2BIG, "-c: more than 256 arguments");
}

/* ---- errors ------------------------------------------------------------------------------------
 */

static void an_open_quote_is_refused(void **state)
{
	check_refused("true 'a", EINVAL, "-c: a quote is not closed");
	check_refused("true \"a", EINVAL, "-c: a quote is not closed");
	check_refused("true \"a\\\"", EINVAL, "-c: a quote is not closed");
	check_refused("'", EINVAL, "-c: a quote is not closed");
}

static void no_word_is_refused(void **state)
{
	check_refused("", EINVAL, "-c: the command is empty");
	check_refused(" \t\n", EINVAL, "-c: the command is empty");
}

static void an_unknown_program_is_refused(void **state)
{
	check_refused("no-such-program-1009 x", ENOENT,
		      "-c: 'no-such-program-1009' is not found in PATH");
	check_refused("''", ENOENT, "-c: '' is not found in PATH");
	check_refused("/no/such/program", ENOENT, "-c: cannot run '/no/such/program'");
}

static void what_is_no_program_is_refused(void **state)
{
	check_refused("/etc/passwd", ENOENT, "-c: cannot run '/etc/passwd'");
	check_refused("/etc", ENOENT, "-c: cannot run '/etc'");
}

/* ---- PATH --------------------------------------------------------------------------------------
 */

static char *in_folder(const char *name)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

/* PATH is FOLDER/first:FOLDER/second; each may hold a program "tool". */
static int set_up_path(void **state)
{
	char path[PATH_MAX];

	*state = strdup(getenv("PATH"));
	mkdir(in_folder("first"), 0700);
	mkdir(in_folder("second"), 0700);
	snprintf(path, sizeof(path), "%s/no-such:%s/first:%s/second", folder, folder, folder);
	return setenv("PATH", path, 1);
}

static int tear_down_path(void **state)
{
	unlink(in_folder("first/tool"));
	rmdir(in_folder("first/tool"));
	unlink(in_folder("second/tool"));
	rmdir(in_folder("first"));
	rmdir(in_folder("second"));
	setenv("PATH", *state, 1);
	free(*state);
	return 0;
}

static void a_program_is_called_as_it_was_written(void **state)
{
	struct answer answer;

	assert_int_equal(symlink(self, in_folder("second/tool")), 0);
	run_named("tool", "a", &answer);
	assert_string_equal(answer.words, "[tool][a]");
}

static void the_first_of_path_is_taken(void **state)
{
	struct command command;
	siginfo_t info;

	assert_int_equal(symlink("/bin/false", in_folder("first/tool")), 0);
	assert_int_equal(symlink("/bin/true", in_folder("second/tool")), 0);
	command = start("tool");
	command_go(&command);
	assert_int_equal(waitid(P_PID, command.pid, &info, WEXITED), 0);
	assert_int_equal(info.si_code, CLD_EXITED);
	assert_int_equal(info.si_status, 1);
}

static void folders_and_plain_files_in_path_are_passed_over(void **state)
{
	_cleanup_fclose_ FILE *plain = NULL;
	struct answer answer;

	assert_int_equal(symlink(self, in_folder("second/tool")), 0);
	assert_int_equal(mkdir(in_folder("first/tool"), 0700), 0);
	run_named("tool", "folder", &answer);
	assert_string_equal(answer.words, "[tool][folder]");
	rmdir(in_folder("first/tool"));
	plain = fopen(in_folder("first/tool"), "w");
	assert_non_null(plain);
	run_named("tool", "plain", &answer);
	assert_string_equal(answer.words, "[tool][plain]");
}

static void a_name_with_a_slash_is_not_sought_in_path(void **state)
{
	_cleanup_free_ char *before = getcwd(NULL, 0);
	struct answer answer;

	assert_int_equal(symlink(self, in_folder("second/tool")), 0);
	check_refused("second/tool", ENOENT, "-c: cannot run 'second/tool'");
	assert_int_equal(chdir(folder), 0);
	run_named("second/tool", "a", &answer);
	assert_string_equal(answer.words, "[second/tool][a]");
	assert_int_equal(chdir(before), 0);
}

static void without_path_nothing_is_found(void **state)
{
	unsetenv("PATH");
	check_refused("true", ENOENT, "-c: 'true' is not found in PATH");
}

static void the_name_is_the_last_part_of_the_path(void **state)
{
	struct command command;

	assert_int_equal(symlink("/bin/true", in_folder("a-very-long-program-name")), 0);
	command = start(in_folder("a-very-long-program-name"));
	assert_string_equal(command.name, "a-very-long-pro");
	command_go(&command);
	wait_for_end(command.pid);
	command_end(&command);
	unlink(in_folder("a-very-long-program-name"));
}

/* ---- go ----------------------------------------------------------------------------------------
 */

/* The letter that /proc gives for the state of a process. */
static char state_of(pid_t pid)
{
	_cleanup_fclose_ FILE *file = NULL;
	char path[64], letter = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "r");
	if (!file || fscanf(file, "%*d (%*[^)]) %c", &letter) != 1)
		return 0;
	return letter;
}

static void wait_until_it_waits(pid_t pid)
{
	char state;

	while ((state = state_of(pid)) != 'S') {
		assert_true(state && state != 'Z');
		usleep(1000);
	}
}

static void the_program_runs_only_after_go(void **state)
{
	char text[PATH_MAX + 128];
	struct command command;
	struct answer answer;

	snprintf(text, sizeof(text), "'%s' --tell %s", self, told);
	command = start(text);
	wait_until_it_waits(command.pid);
	assert_int_equal(access(told, F_OK), -1);
	command_go(&command);
	assert_int_equal(command.go_fd, -1);
	wait_for_end(command.pid);
	read_answer(&answer);
	assert_int_equal(answer.pid, command.pid);
	command_end(&command);
	assert_no_child_is_left();
}

static void without_go_the_program_never_runs(void **state)
{
	char text[PATH_MAX + 128];
	struct command command;
	pid_t pid;

	snprintf(text, sizeof(text), "'%s' --tell %s", self, told);
	command = start(text);
	pid = command.pid;
	command_end(&command);
	assert_int_equal(command.pid, -1);
	assert_int_equal(kill(pid, 0), -1);
	assert_no_child_is_left();
	assert_int_equal(access(told, F_OK), -1);
}

static void it_starts_with_plain_signals_and_no_file_of_ours(void **state)
{
	unsigned int fds = open_fds();
	sigset_t set, before;
	struct answer answer;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, &before);
	run_named(self, "", &answer);
	sigprocmask(SIG_SETMASK, &before, NULL);
	assert_int_equal(answer.pipe_ignored, 0);
	assert_int_equal(answer.blocked, 0);
	assert_int_equal(answer.death_signal, SIGCONT);
	assert_int_equal(answer.fds, fds);
	assert_int_equal(open_fds(), fds);
}

static void a_child_that_was_killed_gets_no_go(void **state)
{
	struct command command = start("true");

	kill(command.pid, SIGKILL);
	wait_for_end(command.pid);
	command_go(&command);
	command_end(&command);
	assert_no_child_is_left();
}

/* ---- the end -----------------------------------------------------------------------------------
 */

static void without_a_command_there_is_nothing_to_end(void **state)
{
	struct command command = {.pid = -1, .go_fd = -1};

	command_end(&command);
	assert_int_equal(command.pid, -1);
}

static void a_running_command_is_left_alone(void **state)
{
	struct command command = start("sleep 1009");
	pid_t pid = command.pid;

	command_go(&command);
	command_end(&command);
	assert_int_equal(command.pid, -1);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* A process that starts a command and is gone before it says go. Returns the pid of the command. */
static pid_t start_and_die(void)
{
	_cleanup_close_ int from = -1;
	int fds[2];
	pid_t middle, pid = 0;

	assert_int_equal(pipe(fds), 0);
	from = fds[0];
	middle = fork();
	if (!middle) {
		pid = start("sleep 1009").pid;
		wait_until_it_waits(pid);
		_exit(write(fds[1], &pid, sizeof(pid)) != sizeof(pid));
	}
	close(fds[1]);
	assert_int_equal(read(from, &pid, sizeof(pid)), sizeof(pid));
	assert_int_equal(waitpid(middle, NULL, 0), middle);
	return pid;
}

static void a_waiting_child_does_not_outlive_us(void **state)
{
	int status;
	pid_t pid;

	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	pid = start_and_die();
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 126);
	prctl(PR_SET_CHILD_SUBREAPER, 0);
}

static int set_up(void **state)
{
	signal(SIGPIPE, SIG_IGN); /* as seep does */
	alarm(120);		  /* should a command never end */
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0 || !mkdtemp(folder))
		return -1;
	snprintf(told, sizeof(told), "%s/told", folder);
	return 0;
}

static int tear_down(void **state)
{
	unlink(told);
	return rmdir(folder);
}

#define TEST_PATH(name) cmocka_unit_test_setup_teardown(name, set_up_path, tear_down_path)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(words_end_at_blanks),
	    cmocka_unit_test(quotes_keep_blanks),
	    cmocka_unit_test(a_quote_keeps_the_other_quote),
	    cmocka_unit_test(quotes_do_not_end_a_word),
	    cmocka_unit_test(quotes_of_nothing_are_a_word),
	    cmocka_unit_test(a_backslash_keeps_what_follows),
	    cmocka_unit_test(a_backslash_in_double_quotes_keeps_quotes_and_itself),
	    cmocka_unit_test(a_backslash_in_single_quotes_is_one),
	    cmocka_unit_test(a_backslash_at_the_end_is_one),
	    cmocka_unit_test(nothing_is_expanded),
	    cmocka_unit_test(bytes_beyond_ascii_are_kept),
	    cmocka_unit_test(as_many_words_as_are_allowed),
	    cmocka_unit_test(an_open_quote_is_refused),
	    cmocka_unit_test(no_word_is_refused),
	    cmocka_unit_test(an_unknown_program_is_refused),
	    cmocka_unit_test(what_is_no_program_is_refused),
	    TEST_PATH(a_program_is_called_as_it_was_written),
	    TEST_PATH(the_first_of_path_is_taken),
	    TEST_PATH(folders_and_plain_files_in_path_are_passed_over),
	    TEST_PATH(a_name_with_a_slash_is_not_sought_in_path),
	    TEST_PATH(without_path_nothing_is_found),
	    cmocka_unit_test(the_name_is_the_last_part_of_the_path),
	    cmocka_unit_test(the_program_runs_only_after_go),
	    cmocka_unit_test(without_go_the_program_never_runs),
	    cmocka_unit_test(it_starts_with_plain_signals_and_no_file_of_ours),
	    cmocka_unit_test(a_child_that_was_killed_gets_no_go),
	    cmocka_unit_test(without_a_command_there_is_nothing_to_end),
	    cmocka_unit_test(a_running_command_is_left_alone),
	    cmocka_unit_test(a_waiting_child_does_not_outlive_us),
	};

	if (argc > 2 && !strcmp(argv[1], "--tell"))
		return tell(argc, argv);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
