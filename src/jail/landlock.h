/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Landlock: what the calling process and its children may reach of the file system, by a list.
 * Called by jail_command(), jail_confine_self() and process files; never loosens anything.
 */
#ifndef POSTERN_LANDLOCK_H
#define POSTERN_LANDLOCK_H
#include "base/error.h"
#include <stdbool.h>

struct jail_landlock_rule {
	const char *path; /* opened when applied; NULL: use fd */
	int fd;		  /* a folder or file; stays the caller's */
	bool write;	  /* read, write, make and remove (and execute); else read and execute */
	bool no_execute;  /* leave execution out */
	bool optional;	  /* a path that does not exist is left out */
};

struct jail_landlock {
	const struct jail_landlock_rule *rules;
	unsigned n_rules;
	bool no_tcp; /* no TCP bind or connect either */
};

/* What is to be said, and done, where there is none. */
#define JAIL_LANDLOCK_MISSING                                                                      \
	"this kernel has no Landlock: boot one built with CONFIG_SECURITY_LANDLOCK, and "          \
	"`landlock` among the names of its option lsm= (as in lsm=landlock,lockdown,yama)"

/* The kernel's Landlock version, 0 when there is none. */
int jail_landlock_version(void);
/* Restrict this thread; sets no_new_privs. 0, or -errno with *e (-EOPNOTSUPP: no Landlock here). */
int jail_landlock_apply(const struct jail_landlock *l, struct error *e);
#endif
