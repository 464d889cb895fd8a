/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tries, inside a sandbox, each system call that its filter is about, and prints a line for each: name and errno's
 * name, "ok", or "killed". Static, so that it needs nothing of what is tested. Compiled by tests/test_sandbox_calls.py.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define HIGH (1ull << 32) /* the kernel looks at the low half of an int only; a filter sees both */

struct call {
	const char *name;
	long number;
	uint64_t a, b, c, d, e;
};

static char nothing[256];
#define POINTER ((uint64_t)(uintptr_t)nothing)
#define PROGRAM ((uint64_t)(uintptr_t) "/usr/bin/true")

static const struct call calls[] = {
	{ "unshare user", SYS_unshare, CLONE_NEWUSER },
	{ "unshare user high", SYS_unshare, CLONE_NEWUSER | HIGH },
	{ "unshare user and net", SYS_unshare, CLONE_NEWUSER | CLONE_NEWNET },
	{ "unshare net", SYS_unshare, CLONE_NEWNET },
	{ "unshare mount", SYS_unshare, CLONE_NEWNS },
	{ "unshare pid", SYS_unshare, CLONE_NEWPID },
	{ "unshare time", SYS_unshare, 0x80 },
	{ "unshare files", SYS_unshare, CLONE_FILES },
	{ "clone user", SYS_clone, CLONE_NEWUSER | SIGCHLD },
	{ "clone net", SYS_clone, CLONE_NEWNET | SIGCHLD },
	{ "clone3", SYS_clone3, POINTER, 64 },
	{ "setns", SYS_setns, 0, 0 },
	{ "mount", SYS_mount, POINTER, POINTER, POINTER, 0, 0 },
	{ "umount2", SYS_umount2, POINTER, 0 },
	{ "pivot_root", SYS_pivot_root, POINTER, POINTER },
	{ "open_tree", SYS_open_tree, AT_FDCWD, POINTER, 0 },
	{ "move_mount", SYS_move_mount, 0, POINTER, 0, POINTER, 0 },
	{ "fsopen", SYS_fsopen, POINTER, 0 },
	{ "fsconfig", SYS_fsconfig, 0, 0, 0, 0, 0 },
	{ "fsmount", SYS_fsmount, 0, 0, 0 },
	{ "fspick", SYS_fspick, 0, POINTER, 0 },
	{ "mount_setattr", SYS_mount_setattr, 0, POINTER, 0, POINTER, 32 },
	{ "ptrace", SYS_ptrace, PTRACE_TRACEME, 0, 0, 0 },
	{ "bpf", SYS_bpf, 0, POINTER, 64 },
	{ "process_vm_readv", SYS_process_vm_readv, 1, POINTER, 1, POINTER, 1 },
	{ "process_vm_writev", SYS_process_vm_writev, 1, POINTER, 1, POINTER, 1 },
	{ "pidfd_open", SYS_pidfd_open, 1, 0 },
	{ "pidfd_getfd", SYS_pidfd_getfd, 0, 0, 0 },
	{ "pidfd_send_signal", SYS_pidfd_send_signal, 0, 0, 0, 0 },
	{ "io_uring_setup", SYS_io_uring_setup, 1, POINTER },
	{ "io_uring_enter", SYS_io_uring_enter, 0, 0, 0, 0, 0 },
	{ "io_uring_register", SYS_io_uring_register, 0, 0, 0, 0 },
	{ "userfaultfd", SYS_userfaultfd, 1 },
	{ "perf_event_open", SYS_perf_event_open, POINTER, 0, 0, 0, 0 },
	{ "keyctl", SYS_keyctl, 0, 0, 0, 0, 0 },
	{ "add_key", SYS_add_key, POINTER, POINTER, POINTER, 0, 0 },
	{ "request_key", SYS_request_key, POINTER, POINTER, 0, 0 },
	{ "memfd_create", SYS_memfd_create, POINTER, 0 },
	{ "execveat empty path", SYS_execveat, 0, POINTER, 0, 0, AT_EMPTY_PATH },
	{ "execveat empty path high", SYS_execveat, 0, POINTER, 0, 0, AT_EMPTY_PATH | HIGH },
	{ "execveat", SYS_execveat, AT_FDCWD, PROGRAM, 0, 0, 0 },
	{ "seccomp filter", SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, POINTER },
	{ "seccomp filter high", SYS_seccomp, SECCOMP_SET_MODE_FILTER | HIGH, 0, POINTER },
	{ "prctl filter", SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, POINTER },
	{ "prctl filter high", SYS_prctl, PR_SET_SECCOMP | HIGH, SECCOMP_MODE_FILTER, POINTER },
	{ "prctl name", SYS_prctl, PR_SET_NAME, POINTER },
	{ "ioctl TIOCSTI", SYS_ioctl, 0, TIOCSTI, POINTER },
	{ "ioctl TIOCSTI high", SYS_ioctl, 0, TIOCSTI | HIGH, POINTER },
	{ "ioctl TIOCLINUX", SYS_ioctl, 0, TIOCLINUX, POINTER },
	{ "socket unix", SYS_socket, AF_UNIX, SOCK_STREAM, 0 },
	{ "socket inet", SYS_socket, AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0 },
	{ "socket inet datagram", SYS_socket, AF_INET, SOCK_DGRAM, 0 },
	{ "socket inet6", SYS_socket, AF_INET6, SOCK_STREAM, 0 },
	{ "socket inet raw", SYS_socket, AF_INET, SOCK_RAW, 1 },
	{ "socket inet raw high", SYS_socket, AF_INET | HIGH, SOCK_RAW | HIGH, 1 },
	{ "socket inet6 raw", SYS_socket, AF_INET6, SOCK_RAW | SOCK_CLOEXEC, 58 },
	{ "socket packet", SYS_socket, AF_PACKET, SOCK_RAW, 0 },
	{ "socket packet high", SYS_socket, AF_PACKET | HIGH, SOCK_DGRAM, 0 },
	{ "socket bluetooth", SYS_socket, AF_BLUETOOTH, SOCK_STREAM, 0 },
	{ "socket bluetooth high", SYS_socket, AF_BLUETOOTH | HIGH, SOCK_STREAM, 0 },
	{ "socket vsock", SYS_socket, AF_VSOCK, SOCK_STREAM, 0 },
	{ "socket vsock high", SYS_socket, AF_VSOCK | HIGH, SOCK_STREAM, 0 },
	{ "socket netlink route", SYS_socket, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE },
	{ "socket netlink audit", SYS_socket, AF_NETLINK, SOCK_RAW, NETLINK_AUDIT },
	{ "socket netlink audit high", SYS_socket, AF_NETLINK | HIGH, SOCK_RAW, NETLINK_AUDIT },
	{ "socket netlink diag", SYS_socket, AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG },
	{ "socket netlink diag high", SYS_socket, AF_NETLINK | HIGH, SOCK_RAW,
	  NETLINK_SOCK_DIAG | HIGH },
#ifdef __x86_64__
	{ "unshare user by x32 number", SYS_unshare | 0x40000000, CLONE_NEWUSER },
#endif
};

/* In a child, since some of these end, replace or fork what calls them. */
static const char *try(const struct call *c)
{
	int status;
	pid_t child = fork();
	if (child == 0) {
		close(1);
		errno = 0;
		long r = syscall(c->number, c->a, c->b, c->c, c->d, c->e);
		_exit(r < 0 ? errno : 0);
	}
	if (child < 0 || waitpid(child, &status, 0) < 0)
		return "?";
	return WIFSIGNALED(status)   ? "killed"
	       : WEXITSTATUS(status) ? strerrorname_np(WEXITSTATUS(status))
				     : "ok";
}

#ifdef __x86_64__
/* The 32-bit way in, whose numbers are others. */
static const char *try_int80(void)
{
	int status;
	pid_t child = fork();
	if (child == 0) {
		long r;
		__asm__ volatile("int $0x80" : "=a"(r) : "a"(310), "b"(CLONE_NEWUSER) : "memory");
		_exit(r < 0 ? (int)-r : 0);
	}
	if (child < 0 || waitpid(child, &status, 0) < 0)
		return "?";
	return WIFSIGNALED(status)   ? "killed"
	       : WEXITSTATUS(status) ? strerrorname_np(WEXITSTATUS(status))
				     : "ok";
}
#endif

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		printf("%s: %s\n", calls[i].name, try(&calls[i]));
#ifdef __x86_64__
	printf("unshare user by int 0x80: %s\n", try_int80());
#endif
	return 0;
}
