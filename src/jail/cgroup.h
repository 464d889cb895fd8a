/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Groups of cgroup v2 that limit a jail's memory and processes, where a subtree is delegated to us
 * (systemd's Delegate=yes, or whoever else made one writable). The kernel lets a group hand
 * controllers to groups below it only while it has no processes of its own, so whoever is started
 * first (postern run, or postern serve alone) moves into a leaf, CGROUP_LEAF, and each jail gets a
 * group beside that. All that is started later is born in the leaf, and finds its place by itself.
 *
 * Owns nothing but the groups that it made. Never touches a group that holds processes of others,
 * and none of cgroup v1, whose subtrees cannot be delegated safely. See cgroups(7), "Delegation",
 * and Documentation/admin-guide/cgroup-v2.rst in Linux, "Delegation Containment".
 */
#ifndef POSTERN_CGROUP_H
#define POSTERN_CGROUP_H
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CGROUP_LEAF "postern"

/* Move this process into the leaf of its own group, unless it is in one. Called before anything else
 * is started. 0; or -errno with, in why, one sentence that says what stands in the way and what to
 * do; nothing is changed then. */
int cgroup_settle(char *why, size_t size);
/* Undo cgroup_settle(), if this process did it and is the last one there. */
void cgroup_leave(void);

/* Where jails' groups are made, once settled: a descriptor, or -errno where there is no such place.
 * Looked up anew at each call, as it costs less than a jail by far. */
int cgroup_place(void);

/* A group below place with at most memory bytes (0: no limit; swap counts as used up) and processes (0:
 * no limit; threads included). Its name goes to ret_name. A descriptor or -errno. */
int cgroup_make(int place, uint64_t memory, unsigned processes, char *ret_name, size_t size);
/* 0 or -errno */
int cgroup_add(int group, pid_t pid);
/* How often the kernel ended something in there because its memory was used up; 0 when it is not known. */
uint64_t cgroup_memory_kills(int group);
/* Remove a group whose processes have ended; waits a moment for the last of them. */
void cgroup_remove(int place, const char *name);
#endif
