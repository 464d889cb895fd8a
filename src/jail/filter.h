/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System call filters: two deny lists for programs that are not ours, and allow-lists for those
 * that are. Called by jail_command() and jail_confine_self(); a filter, once loaded, stays for all
 * descendants.
 */
#ifndef POSTERN_JAIL_FILTER_H
#define POSTERN_JAIL_FILTER_H
#include "base/error.h"
#include <stdbool.h>

/* For an agent: denies what OpenShell denies (docs/openshell-differences.md), EPERM, and ENOSYS for clone3;
 * and set-id bits on files (EPERM, and ENOSYS for openat2). */
int jail_seccomp_agent(struct error *e);
/* For a build engine inside a ranged jail: mount, chroot, pivot_root, unshare of all but user
 * namespaces stay; keys, bpf, perf, io_uring, userfaultfd, kexec, handles, other processes' memory
 * and odd socket families go. */
int jail_seccomp_build(struct error *e);
/* For our own processes: only the calls named (NULL-terminated) stay; another kills the process, or
 * gives EPERM. Names that this libseccomp does not know are an error. */
int jail_seccomp_allow(const char *const *names, bool kill, struct error *e);
#endif
