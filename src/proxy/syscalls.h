/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system calls that proxy, dialer and witness make once they serve, by what needs them; any other one kills
 * the process. Used by their process files, and by syscalls_test.c, which tries the filters.
 */
#ifndef POSTERN_PROXY_SYSCALLS_H
#define POSTERN_PROXY_SYSCALLS_H
#include "jail/sanitized.h"

/* clang-format off */
/* The loop and the clocks where the kernel has no faster way; memory; stderr; the end. */
#define EVENT_LOOP "epoll_ctl", "epoll_wait", "epoll_pwait", "clock_gettime", "gettimeofday"
#define MEMORY_AND_END "brk", "mmap", "munmap", "mremap", "madvise", "write", \
	"rt_sigreturn", "restart_syscall", "exit_group", JAIL_SANITIZER_SYSCALLS

/* OpenSSL's random numbers and locks, and the C library's qsort() for it; a relay's sockets, by libevent's buffers. */
#define TLS "getrandom", "getpid", "futex", "sysinfo", "socketpair", "sendto", "recvfrom", "writev", "shutdown",

static const char *const proxy_syscalls[] = {
	/* connections, by libevent's buffers; what flows in bulk */
	"accept4", "getsockname", "ioctl", "readv", "writev", "fcntl", "shutdown", "close", "recvfrom",
	TLS
	/* dialer, witness, supervisor; another policy; bodies for dialer */
	"sendmsg", "recvmsg", "read", "memfd_create", "lseek",
	EVENT_LOOP, MEMORY_AND_END
	NULL
};

static const char *const dialer_syscalls[] = {
	/* connections, and heads written to them */
	"socket", "connect", "getsockopt", "setsockopt", "sendto", "close",
	TLS
	/* proxy, resolver, supervisor; another policy; bodies from proxy */
	"sendmsg", "recvmsg", "read", "fcntl",
	EVENT_LOOP, MEMORY_AND_END
	NULL
};

static const char *const witness_syscalls[] = {
	/* the sandbox's /proc */
	"openat", "newfstatat", "fstat", "fcntl", "getdents64", "readlinkat", "read", "close",
	/* when a file last changed */
	"clock_gettime",
	/* the kernel's table of sockets */
	"sendto", "recvfrom",
	/* proxy, supervisor */
	"poll", "ppoll", "sendmsg", "recvmsg",
	MEMORY_AND_END
	NULL
};
/* clang-format on */
#endif
