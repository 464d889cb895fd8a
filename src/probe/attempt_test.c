/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts that end in every way there is, and what is left of them: nothing. */
#include "probe/probe.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>

#include <cmocka.h>

static void do_nothing(const struct attempt *a, struct outcome *o)
{
	outcome_detail(o, "%s", a->text);
}

static void fail_with(const struct attempt *a, struct outcome *o)
{
	errno = (int)a->number;
	outcome_of(o, -1);
}

static void fail_harmlessly(const struct attempt *a, struct outcome *o)
{
	errno = (int)a->number;
	outcome_through(o, -1, ENOKEY);
}

static void end_by_signal(const struct attempt *a, struct outcome *o)
{
	raise((int)a->number);
	_exit(3);
}

static void leave_at_once(const struct attempt *a, struct outcome *o)
{
	_exit(0);
}

static void never_end(const struct attempt *a, struct outcome *o)
{
	signal(SIGTERM, SIG_IGN);
	for (;;)
		pause();
}

/* Children of every kind, whose pids go to a pipe: in the session, out of it, and without a parent. */
static void leave_children(const struct attempt *a, struct outcome *o)
{
	for (int i = 0; i < 3; i++) {
		pid_t child = fork();
		if (child == 0) {
			if (i > 0)
				setsid();
			if (i == 2 && (child = fork()))
				_exit(0);
			pid_t own = getpid();
			(void)!write((int)a->number, &own, sizeof(own));
			for (;;)
				pause();
		}
	}
	(void)poll(NULL, 0, 200);
}

static void run_program(const struct attempt *a, struct outcome *o)
{
	const char *const argv[] = { "/bin/sh", "-c", a->text, NULL };
	const char *const envp[] = { "PATH=/usr/bin:/bin", NULL };
	outcome_of_program(o, argv, envp);
}

static struct outcome of(void (*make)(const struct attempt *, struct outcome *), long number,
			 const char *text)
{
	const struct attempt a = { "test", make, number, text };
	struct outcome o;
	attempt_run(&a, 1, &o);
	return o;
}

static void assert_outcome(struct outcome o, enum state state, int error, const char *detail)
{
	assert_int_equal(o.state, state);
	assert_int_equal(o.error, error);
	assert_string_equal(o.detail, detail);
}

static void test_outcomes(void **unused)
{
	assert_outcome(of(do_nothing, 0, "said"), POSSIBLE, 0, "said");
	assert_outcome(of(fail_with, EPERM, NULL), REFUSED, EPERM, "");
	assert_outcome(of(fail_with, ENOSYS, NULL), ABSENT, ENOSYS, "");
	assert_outcome(of(fail_with, ENOENT, NULL), ABSENT, ENOENT, "");
	assert_outcome(of(fail_harmlessly, ENOKEY, NULL), POSSIBLE, ENOKEY, "");
	assert_outcome(of(fail_harmlessly, EACCES, NULL), REFUSED, EACCES, "");
	assert_outcome(of(end_by_signal, SIGSYS, NULL), REFUSED, 0, "killed by SIGSYS");
	assert_outcome(of(end_by_signal, SIGSEGV, NULL), UNTRIED, 0, "killed by SIGSEGV");
	assert_outcome(of(end_by_signal, SIGKILL, NULL), UNTRIED, 0, "killed by SIGKILL");
	assert_outcome(of(leave_at_once, 0, NULL), UNTRIED, 0, "ended without a word");
	assert_outcome(of(never_end, 0, NULL), REFUSED, ETIMEDOUT, "no end within 1 s");
}

static void test_programs(void **unused)
{
	assert_outcome(of(run_program, 0, "echo fine"), POSSIBLE, 0, "");
	assert_outcome(of(run_program, 0, "echo a; echo 'x: Operation Not permitted' >&2; exit 1"),
		       REFUSED, EPERM, "x: Operation Not permitted");
	assert_outcome(of(run_program, 0, "printf 'one\\n\\033[2Jtwo\\n\\n'; exit 7"), REFUSED, 0,
		       " [2Jtwo");
	assert_outcome(of(run_program, 0,
			  "echo WARN: permission denied; echo 'some Error'; echo more; exit 1"),
		       REFUSED, 0, "some Error");
	assert_outcome(of(run_program, 0, "exit 7"), REFUSED, 0, "exit code 7");
	assert_outcome(of(run_program, 0, "kill -9 $$"), REFUSED, 0, "killed by signal 9");
	assert_outcome(of(run_program, 0, "yes | head -c 300000; echo; echo last; exit 1"), REFUSED,
		       0, "last");
}

static void test_nothing_is_left(void **unused)
{
	int pair[2];
	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	assert_int_equal(of(leave_children, pair[1], NULL).state, POSSIBLE);
	for (int i = 0; i < 3; i++) {
		pid_t pid;
		assert_int_equal(read(pair[0], &pid, sizeof(pid)), sizeof(pid));
		assert_true(pid > 0);
		assert_int_equal(kill(pid, 0), -1);
		assert_int_equal(errno, ESRCH);
	}
	close(pair[0]);
	close(pair[1]);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void test_an_interruption(void **unused)
{
	alarm(0);
	pid_t parent = getpid();
	pid_t child = fork();
	if (child == 0) {
		(void)poll(NULL, 0, 200);
		_exit(kill(parent, SIGTERM));
	}
	/* (The one that interrupts is ended with the rest.) */
	struct outcome o = of(never_end, 0, NULL);
	assert_int_equal(o.state, UNTRIED);
	assert_true(attempt_interrupted());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_outcomes),
		cmocka_unit_test(test_programs),
		cmocka_unit_test(test_nothing_is_left),
		cmocka_unit_test(test_an_interruption),
	};
	attempt_heed_signals();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
