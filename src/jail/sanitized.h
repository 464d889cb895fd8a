/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What AddressSanitizer, when a process is built with it, adds to the process's own list of system calls: its
 * locks, its shadow, and what it wants to know when it has found something. Used by the processes' syscalls.h.
 */
#ifndef POSTERN_JAIL_SANITIZED_H
#define POSTERN_JAIL_SANITIZED_H

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define JAIL_SANITIZED
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define JAIL_SANITIZED
#endif

#ifdef JAIL_SANITIZED
#define JAIL_SANITIZER_SYSCALLS                                                                    \
	"futex", "sched_yield", "mprotect", "sigaltstack", "rt_sigaction", "rt_sigprocmask",       \
		"getpid", "gettid", "tgkill", "getrlimit", "prlimit64", "openat", "read",          \
		"readlink", "newfstatat", "prctl", "sysinfo",
#else
#define JAIL_SANITIZER_SYSCALLS
#endif
#endif
