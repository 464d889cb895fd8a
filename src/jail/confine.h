/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one of our own service processes (front, keeper, proxy, dialer, witness) does to itself
 * before the first byte of a client: its own namespaces, an empty read-only root, no capabilities,
 * Landlock, an allow-list of system calls. Called once, by the process file, single-threaded, when
 * everything it needs is open. Not to be undone.
 */
#ifndef POSTERN_CONFINE_H
#define POSTERN_CONFINE_H
#include "base/error.h"
#include "jail/jail.h"
#include "jail/landlock.h"
#include <stdbool.h>

/* A folder or file that stays visible in the otherwise empty root, at /NAME (one part, no slash).
 */
struct jail_confine_bind {
	const char *name;
	const char *path; /* of the host's; NULL: use fd */
	int fd;
	bool write;
};

struct jail_confine {
	bool keep_network; /* stay in the host's network namespace (dialer) */
	bool keep_user_id; /* as root: stay uid 0 of the host, but without any capability (keeper,
			      whose files are root's); otherwise root becomes an unused id of the
			      host's */
	bool keep_root;	   /* stay in the host's mount namespace; then give landlock */
	int join_user; /* a descriptor of a jail's user namespace (jail.user_fd): become its one id
			  instead of making a namespace of our own; 0: none. What is kept of
			  capabilities holds over that jail and nothing else. */
	uint64_t keep_capabilities; /* with join_user: bits of CAP_…, permitted and effective */
	const struct jail_confine_bind *binds;
	unsigned n_binds;
	const struct jail_landlock *landlock; /* NULL: none (with an empty root there is nothing to
						 reach) */
	/* Names of the system calls that stay allowed, NULL-terminated; NULL: no filter. Those that
	 * any C program needs to end (exit_group, rt_sigreturn, …) are not added: list them. */
	const char *const *syscalls;
	bool kill; /* another system call kills the process; otherwise it gets EPERM */
};

/* 0; or -errno with *e, and then the process must end. A parent-death signal stays set. */
int jail_confine_self(const struct jail_confine *c, struct error *e);
#endif
