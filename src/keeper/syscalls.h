/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system calls that keeper makes once it has its set-up, by what needs them; any other one kills it. Used by keeper.c,
 * and by syscalls_test.c, which tries the filter.
 */
#ifndef POSTERN_KEEPER_SYSCALLS_H
#define POSTERN_KEEPER_SYSCALLS_H
#include "jail/sanitized.h"

static const char *const keeper_syscalls[] = {
	/* the store: SQLite, its log and the log's index in shared memory */
	"openat", "close", "read", "pread64", "pwrite64", "lseek", "newfstatat", "fstat", "fcntl",
	"ftruncate", "fsync", "fdatasync", "unlink", "unlinkat", "access", "faccessat",
	"faccessat2", "readlink", "getcwd", "chdir", "fchown", "fchmod", "geteuid", "getpid",
	"clock_nanosleep",
	/* jobs' folders, the reserve */
	"mkdirat", "fchmodat", "getdents64", "fallocate",
	/* channels, and a fresh one for each worker */
	"socketpair", "sendmsg", "recvmsg", "recvfrom", "shutdown", "poll",
	/* the loop; the clocks where the kernel has no faster way; ids of jobs; stderr */
	"epoll_ctl", "epoll_wait", "epoll_pwait", "clock_gettime", "gettimeofday", "getrandom",
	"write",
	/* memory, which SQLite may lock with */
	"brk", "mmap", "munmap", "mremap", "madvise", "futex",
	/* the end */
	"rt_sigreturn", "restart_syscall", "exit_group", JAIL_SANITIZER_SYSCALLS NULL
};
#endif
