/* SPDX-License-Identifier: Apache-2.0 */
/* Unit test: under keeper's filter the store works, and what keeper must never do is its end. */
#include "jail/filter.h"
#include "keeper/store.h"
#include "keeper/syscalls.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/postern-filter-XXXXXX";
static struct store_job job;

static void confine(void)
{
	struct error e = { 0 };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    jail_seccomp_allow(keeper_syscalls, true, &e) < 0)
		syscall(SYS_exit_group, 99);
}

static int status_of(pid_t pid)
{
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static int ignore(void *arg, const struct store_job *j)
{
	++*(unsigned *)arg;
	return 0;
}

/* More than a log takes before it is written back (a thousand pages), then the end with the last of it, then again. */
static int use_store(void)
{
	char run[RUN_ID_SIZE];
	for (int round = 0; round < 2; round++) {
		struct store *s;
		struct error e;
		unsigned seen = 0;
		if (store_open(&s, &e) < 0 || store_run_id(s, "", "r1", run, &e) < 0)
			return 1;
		for (unsigned i = 0; i < 600; i++) {
			snprintf(job.view.id, sizeof(job.view.id), "j%020u", i % 50);
			if (store_save(s, &job) < 0)
				return 2;
		}
		if (store_each(s, &job, ignore, &seen) < 0 || seen != 50)
			return 3;
		store_close(s);
		if (access("postern.db-wal", F_OK) == 0)
			return 4; /* was not written back */
	}
	return 0;
}

static void test_the_store_works(void **state)
{
	job.view = (struct job_view){ .operation = "build",
				      .state = JOB_FAILED,
				      .result_len = LIMIT_RESULT_BYTES };
	memset(job.view.result, 'x', sizeof(job.view.result));
	memset(job.arguments, 'y', sizeof(job.arguments) - 1);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		confine();
		syscall(SYS_exit_group, use_store());
	}
	assert_int_equal(status_of(pid), 0);
}

static void test_anything_else_is_the_end(void **state)
{
	static const struct {
		long number, a, b, c;
	} calls[] = {
		{ SYS_socket, AF_UNIX, SOCK_STREAM, 0 },
		{ SYS_connect, 0, 0, 0 },
		{ SYS_bind, 0, 0, 0 },
		{ SYS_accept4, 0, 0, 0 },
		{ SYS_execve, (long)"/bin/true", 0, 0 },
		{ SYS_execveat, 0, 0, 0 },
		{ SYS_clone, SIGCHLD, 0, 0 },
		{ SYS_ptrace, 0, 0, 0 },
		{ SYS_kill, 1, 0, 0 },
		{ SYS_unshare, 0, 0, 0 },
		{ SYS_mount, 0, 0, 0 },
		{ SYS_setns, 0, 0, 0 },
		{ SYS_symlinkat, 0, 0, 0 },
		{ SYS_linkat, 0, 0, 0 },
		{ SYS_pidfd_getfd, 0, 0, 0 },
		{ SYS_io_uring_setup, 1, 0, 0 },
		{ SYS_bpf, 0, 0, 0 },
		{ SYS_setuid, 0, 0, 0 },
#ifndef JAIL_SANITIZED
		{ SYS_prctl, PR_GET_DUMPABLE, 0, 0 },
		{ SYS_mprotect, 0, 0, 0 },
#endif
	};
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			confine();
			syscall(calls[i].number, calls[i].a, calls[i].b, calls[i].c, 0, 0, 0);
			syscall(SYS_exit_group, 0);
		}
		int status = status_of(pid);
		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
			fail_msg("call %ld was let through (status %d)", calls[i].number, status);
	}
}

int main(void)
{
	if (!mkdtemp(folder) || chdir(folder) < 0)
		return 1;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_store_works),
		cmocka_unit_test(test_anything_else_is_the_end),
	};
	int r = cmocka_run_group_tests(tests, NULL, NULL);
	unlink("postern.db");
	unlink("postern.db-wal");
	unlink("postern.db-shm");
	if (chdir("/") == 0)
		rmdir(folder);
	return r;
}
