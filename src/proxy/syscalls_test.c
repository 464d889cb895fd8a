/* SPDX-License-Identifier: Apache-2.0 */
/* Unit test: under the filters of proxy, dialer and witness, what each must never do is its end. */
#include "jail/filter.h"
#include "proxy/syscalls.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Whether a child survives this call under the filter. */
static bool passes(const char *const *filter, long number, long a, long b, long c)
{
	struct error e = { 0 };
	int status;
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		    jail_seccomp_allow(filter, true, &e) < 0)
			syscall(SYS_exit_group, 1);
		syscall(number, a, b, c, 0, 0, 0);
		syscall(SYS_exit_group, 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS));
	return status == 0;
}

static const char *const *const filters[] = { proxy_syscalls, dialer_syscalls, witness_syscalls };

static void test_none_of_them(void **state)
{
	static const struct {
		long number, a, b, c;
	} calls[] = {
		{ SYS_execve, (long)"/bin/true", 0, 0 },
		{ SYS_clone, SIGCHLD, 0, 0 },
		{ SYS_ptrace, 0, 0, 0 },
		{ SYS_process_vm_readv, 1, 0, 0 },
		{ SYS_kill, 1, 0, 0 },
		{ SYS_unshare, 0, 0, 0 },
		{ SYS_setns, 0, 0, 0 },
		{ SYS_mount, 0, 0, 0 },
		{ SYS_bind, 0, 0, 0 },
		{ SYS_listen, 0, 0, 0 },
		{ SYS_pidfd_getfd, 0, 0, 0 },
		{ SYS_io_uring_setup, 1, 0, 0 },
		{ SYS_unlinkat, AT_FDCWD, (long)"/nowhere", 0 },
	};
	for (size_t f = 0; f < sizeof(filters) / sizeof(filters[0]); f++)
		for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
			if (passes(filters[f], calls[i].number, calls[i].a, calls[i].b, calls[i].c))
				fail_msg("filter %zu lets call %ld through", f, calls[i].number);
}

static void test_each_its_own(void **state)
{
	/* Who makes a socket, who opens a file, who accepts. */
	static const long calls[][3] = { { SYS_socket, AF_UNIX, SOCK_STREAM },
#ifndef JAIL_SANITIZED
					 { SYS_openat, AT_FDCWD, (long)"/dev/null" },
#endif
					 { SYS_accept4, -1, 0 } };
	static const size_t who[] = { 1,
#ifndef JAIL_SANITIZED
				      2,
#endif
				      0 };
	for (size_t i = 0; i < sizeof(who) / sizeof(who[0]); i++)
		for (size_t f = 0; f < sizeof(filters) / sizeof(filters[0]); f++)
			assert_int_equal(
				passes(filters[f], calls[i][0], calls[i][1], calls[i][2], 0),
				f == who[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_none_of_them),
		cmocka_unit_test(test_each_its_own),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
