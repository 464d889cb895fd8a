/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of the filters, by processes that have every capability over namespaces of their own: what
 * is refused then is refused by a filter. Each call's arguments are such that it changes nothing
 * where it is not refused.
 */
#include "base/cleanup.h"
#include "base/limit.h"
#include "jail/filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

#define NO_ANSWER  1000		/* beyond every errno */
#define HIGH	   (1ull << 32) /* the kernel looks at the low half of an int only */
#define NOWHERE	   ((uint64_t)(uintptr_t) "")
#define NO_FD	   ((uint64_t)-1)
#define NO_PROCESS 0x7fffffff

/* What either filter answers; 0: what the kernel answers. */
struct call {
	const char *name;
	int agent, build;
	long number;
	uint64_t a, b, c, d, e;
};

static const struct call calls[] = {
	{ "mount", EPERM, 0, SYS_mount, NOWHERE, NOWHERE, NOWHERE },
	{ "umount2", EPERM, 0, SYS_umount2, NOWHERE },
	{ "pivot_root", EPERM, 0, SYS_pivot_root, NOWHERE, NOWHERE },
	{ "open_tree", EPERM, ENOSYS, SYS_open_tree, NO_FD, NOWHERE },
	{ "move_mount", EPERM, ENOSYS, SYS_move_mount, NO_FD, NOWHERE, NO_FD, NOWHERE },
	{ "fsopen", EPERM, ENOSYS, SYS_fsopen, NOWHERE },
	{ "fsconfig", EPERM, ENOSYS, SYS_fsconfig, NO_FD },
	{ "fsmount", EPERM, ENOSYS, SYS_fsmount, NO_FD },
	{ "fspick", EPERM, ENOSYS, SYS_fspick, NO_FD, NOWHERE },
	{ "mount_setattr", EPERM, ENOSYS, SYS_mount_setattr, NO_FD, NOWHERE },
	{ "setns", EPERM, EPERM, SYS_setns, NO_FD },
	{ "ptrace", EPERM, EPERM, SYS_ptrace, PTRACE_TRACEME },
	{ "bpf", EPERM, EPERM, SYS_bpf, 1 /* BPF_MAP_LOOKUP_ELEM */, NOWHERE },
	{ "process_vm_readv", EPERM, EPERM, SYS_process_vm_readv, NO_PROCESS },
	{ "process_vm_writev", EPERM, EPERM, SYS_process_vm_writev, NO_PROCESS },
	{ "pidfd_open", EPERM, 0, SYS_pidfd_open, NO_PROCESS },
	{ "pidfd_getfd", EPERM, EPERM, SYS_pidfd_getfd, NO_FD },
	{ "pidfd_send_signal", EPERM, 0, SYS_pidfd_send_signal, NO_FD },
	{ "io_uring_setup", EPERM, EPERM, SYS_io_uring_setup },
	{ "io_uring_enter", EPERM, EPERM, SYS_io_uring_enter, NO_FD },
	{ "io_uring_register", EPERM, EPERM, SYS_io_uring_register, NO_FD },
	{ "userfaultfd", EPERM, EPERM, SYS_userfaultfd, 1 /* UFFD_USER_MODE_ONLY */ },
	{ "perf_event_open", EPERM, EPERM, SYS_perf_event_open },
	{ "keyctl", EPERM, EPERM, SYS_keyctl, NO_FD },
	{ "add_key", EPERM, EPERM, SYS_add_key },
	{ "request_key", EPERM, EPERM, SYS_request_key },
	{ "memfd_secret", EPERM, EPERM, SYS_memfd_secret, NOWHERE },
	{ "kcmp", 0, EPERM, SYS_kcmp, NO_PROCESS, NO_PROCESS },
	{ "setgroups", 0, 0, SYS_setgroups, LIMIT_JAIL_GROUPS, NOWHERE },
	{ "setgroups of many", 0, EINVAL, SYS_setgroups, LIMIT_JAIL_GROUPS + 1, NOWHERE },
	{ "move_pages", 0, EPERM, SYS_move_pages, NO_PROCESS },
	{ "inotify_init", 0, EPERM, SYS_inotify_init },
	{ "inotify_init1", 0, EPERM, SYS_inotify_init1, NOWHERE },
	{ "memfd_create", EPERM, 0, SYS_memfd_create, NOWHERE },
	{ "execveat empty", EPERM, 0, SYS_execveat, NO_FD, NOWHERE, 0, 0, AT_EMPTY_PATH },
	{ "execveat", 0, 0, SYS_execveat, NO_FD, NOWHERE },
	{ "seccomp", EPERM, 0, SYS_seccomp, SECCOMP_SET_MODE_FILTER },
	{ "prctl", EPERM, 0, SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER },
	{ "TIOCSTI", EPERM, EPERM, SYS_ioctl, NO_FD, TIOCSTI },
	{ "TIOCLINUX", EPERM, EPERM, SYS_ioctl, NO_FD, TIOCLINUX },
	{ "unshare user", EPERM, EPERM, SYS_unshare, CLONE_NEWUSER },
	{ "unshare net", 0, 0, SYS_unshare, CLONE_NEWNET },
	{ "clone user", EPERM, EPERM, SYS_clone, CLONE_NEWUSER | SIGCHLD },
	{ "clone3", ENOSYS, ENOSYS, SYS_clone3 },
	{ "chmod", 0, 0, SYS_chmod, NOWHERE, 01777 },
	{ "chmod set-user-id", EPERM, 0, SYS_chmod, NOWHERE, 04755 },
	{ "fchmod set-group-id", EPERM, 0, SYS_fchmod, NO_FD, 02755 },
	{ "fchmodat both", EPERM, 0, SYS_fchmodat, NO_FD, NOWHERE, 06755 | HIGH },
	{ "fchmodat2", EPERM, 0, 452, NO_FD, NOWHERE, 04755 },
	{ "mkdirat", EPERM, 0, SYS_mkdirat, NO_FD, NOWHERE, 02755 },
	{ "mknodat", EPERM, 0, SYS_mknodat, NO_FD, NOWHERE, S_IFREG | 04755 },
	{ "creat", EPERM, 0, SYS_creat, NOWHERE, 04755 },
	{ "open to read", 0, 0, SYS_open, NOWHERE, O_RDONLY, 04755 },
	{ "open", EPERM, 0, SYS_open, NOWHERE, O_CREAT | O_WRONLY, 04755 },
	{ "openat", EPERM, 0, SYS_openat, NO_FD, NOWHERE, O_CREAT | O_RDWR, 02755 },
	{ "openat unnamed", EPERM, 0, SYS_openat, NO_FD, NOWHERE, O_TMPFILE | O_RDWR, 04755 },
	{ "openat2", ENOSYS, 0, SYS_openat2, NO_FD, NOWHERE },
	{ "inet", 0, 0, SYS_socket, AF_INET, SOCK_STREAM },
	{ "inet raw", EPERM, EPERM, SYS_socket, AF_INET, SOCK_RAW, 1 },
	{ "inet raw high", EPERM, EPERM, SYS_socket, AF_INET | HIGH, SOCK_RAW | HIGH, 1 },
	{ "inet6 raw", EPERM, EPERM, SYS_socket, AF_INET6, SOCK_RAW | SOCK_CLOEXEC, 58 },
	{ "packet", EPERM, EPERM, SYS_socket, AF_PACKET, SOCK_RAW },
	{ "packet high", EPERM, EPERM, SYS_socket, AF_PACKET | HIGH, SOCK_DGRAM },
	{ "bluetooth", EPERM, EPERM, SYS_socket, AF_BLUETOOTH, SOCK_STREAM },
	{ "vsock", EPERM, EPERM, SYS_socket, AF_VSOCK, SOCK_STREAM },
	{ "alg", 0, EPERM, SYS_socket, AF_ALG, SOCK_SEQPACKET },
	{ "netlink route", 0, 0, SYS_socket, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE },
	{ "netlink audit", EPERM, EPERM, SYS_socket, AF_NETLINK, SOCK_RAW, NETLINK_AUDIT },
};

typedef int load_fn(struct error *e);

/* The call's errno, 0 when it succeeds, in a process of its own: a filter cannot be taken off. */
static int try(const struct call *c, load_fn *load)
{
	int status;
	pid_t child = fork();
	if (child == 0) {
		struct error e = { 0 };
		if (load && load(&e) < 0)
			abort();
		long r = syscall(c->number, c->a, c->b, c->c, c->d, c->e, 0);
		_exit(r < 0 ? errno : 0);
	}
	if (child < 0 || waitpid(child, &status, 0) < 0 || !WIFEXITED(status))
		return NO_ANSWER;
	return WEXITSTATUS(status);
}

static bool is_as_listed(const struct call *c, const char *filter, load_fn *load, int listed)
{
	int without = try(c, NULL), with = try(c, load);
	bool fine = listed ? with == listed && without != listed : with == without;
	if (!fine)
		fprintf(stderr, "%s by the %s's filter: %d, listed %d, without it %d\n", c->name,
			filter, with, listed, without);
	return fine && with != NO_ANSWER && without != NO_ANSWER;
}

static bool say(const char *path, const char *text)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

/* Mapped, since whom a namespace does not know cannot make another in it. */
static bool become_root(void)
{
	char user[32], group[32];
	snprintf(user, sizeof(user), "0 %u 1", (unsigned)geteuid());
	snprintf(group, sizeof(group), "0 %u 1", (unsigned)getegid());
	return unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET) == 0 &&
	       say("/proc/self/uid_map", user) && say("/proc/self/setgroups", "deny") &&
	       say("/proc/self/gid_map", group);
}

static int try_all(void)
{
	int wrong = 0;
	if (!become_root())
		return 1;
	for (size_t i = 0; i < ELEMENTS(calls); i++) {
		wrong += !is_as_listed(&calls[i], "agent", jail_seccomp_agent, calls[i].agent);
		wrong += !is_as_listed(&calls[i], "build", jail_seccomp_build, calls[i].build);
	}
	return wrong;
}

static void the_filters_refuse_whoever_has_capabilities(void **state)
{
	(void)state;
	int status;
	pid_t child = fork();
	if (child == 0)
		_exit(try_all());
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_filters_refuse_whoever_has_capabilities),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
