/* SPDX-License-Identifier: Apache-2.0 */
/* Unit test: under front's filter, what it does works and anything else is the end. */
#include "front/syscalls.h"
#include "jail/filter.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* How a child ends that makes this call under the filter: its wait status. */
static int try_call(long number, long a, long b, long c)
{
	struct error e = { 0 };
	int status;
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		    jail_seccomp_allow(front_syscalls, true, &e) < 0)
			syscall(SYS_exit_group, 1);
		syscall(number, a, b, c, 0, 0, 0);
		syscall(SYS_exit_group, 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void test_what_it_needs_works(void **state)
{
	char bytes[16];
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	assert_int_equal(try_call(SYS_write, pair[0], (long)"hello", 5), 0);
	assert_int_equal(recv(pair[1], bytes, sizeof(bytes), MSG_DONTWAIT), 5);
	assert_int_equal(try_call(SYS_close, pair[0], 0, 0), 0);
	close(pair[0]);
	close(pair[1]);
}

static void test_anything_else_is_the_end(void **state)
{
	static const struct {
		long number, a, b, c;
	} calls[] = {
		{ SYS_socket, AF_INET, SOCK_STREAM, 0 },
		{ SYS_connect, 0, 0, 0 },
		{ SYS_execve, (long)"/bin/true", 0, 0 },
		{ SYS_clone, SIGCHLD, 0, 0 },
		{ SYS_ptrace, 0, 0, 0 },
		{ SYS_kill, 1, 0, 0 },
		{ SYS_unshare, 0, 0, 0 },
		{ SYS_getdents64, 0, 0, 0 },
		{ SYS_fcntl, 0, F_GETFD, 0 },
		{ SYS_pidfd_getfd, 0, 0, 0 },
		{ SYS_io_uring_setup, 1, 0, 0 },
#ifndef JAIL_SANITIZED
		{ SYS_openat, AT_FDCWD, (long)"/dev/null", O_RDONLY },
		{ SYS_read, 0, 0, 0 },
		{ SYS_prctl, PR_GET_DUMPABLE, 0, 0 },
		{ SYS_mprotect, 0, 0, 0 },
#endif
	};
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		int status = try_call(calls[i].number, calls[i].a, calls[i].b, calls[i].c);
		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
			fail_msg("call %ld was let through (status %d)", calls[i].number, status);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_it_needs_works),
		cmocka_unit_test(test_anything_else_is_the_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
