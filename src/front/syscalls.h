/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system calls that front makes once it serves, by what needs them; any other one kills it. Used by front.c, and by
 * syscalls_test.c, which tries the filter.
 */
#ifndef POSTERN_FRONT_SYSCALLS_H
#define POSTERN_FRONT_SYSCALLS_H
#include "jail/sanitized.h"

static const char *const front_syscalls[] = {
	/* connections */
	"accept4", "recvfrom", "sendto", "writev", "sendfile", "shutdown", "close",
	/* keeper */
	"sendmsg", "recvmsg",
	/* uploads, stderr; logs */
	"write", "pread64",
	/* the loop; the clocks where the kernel has no faster way */
	"epoll_ctl", "epoll_wait", "epoll_pwait", "clock_gettime", "gettimeofday",
	/* memory */
	"brk", "mmap", "munmap", "mremap", "madvise",
	/* SIGUSR1, and the end */
	"rt_sigreturn", "restart_syscall", "exit_group", JAIL_SANITIZER_SYSCALLS NULL
};
#endif
