/* SPDX-License-Identifier: Apache-2.0 */
/* Landlock, by its system calls: Debian 12 has no library for it. */
#include "jail/landlock.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* Newer than Debian 12's header; the numbers are the kernel's ABI. */
#define FS_TRUNCATE		(1ull << 14) /* version 3 */
#define FS_IOCTL_DEV		(1ull << 15) /* version 5 */
#define NET_BIND_AND_CONNECT	3ull	     /* version 4 */
#define SCOPE_SOCKET_AND_SIGNAL 3ull	     /* version 6 */

struct ruleset_attribute {
	uint64_t handled_fs, handled_net, scoped;
};

#define ACCESS_READ	 (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define ACCESS_EXECUTE	 LANDLOCK_ACCESS_FS_EXECUTE
#define ACCESS_VERSION_1 ((1ull << 13) - 1)
/* What may be granted on something that is not a folder. */
#define ACCESS_FILE                                                                                \
	(LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE |                              \
	 LANDLOCK_ACCESS_FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV)

int jail_landlock_version(void)
{
	long v = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	return v < 0 ? 0 : (int)v;
}

static uint64_t handled(int version)
{
	uint64_t all = ACCESS_VERSION_1;
	if (version >= 2)
		all |= LANDLOCK_ACCESS_FS_REFER;
	if (version >= 3)
		all |= FS_TRUNCATE;
	if (version >= 5)
		all |= FS_IOCTL_DEV;
	return all;
}

static int add_rule(int ruleset, const struct jail_landlock_rule *rule, uint64_t all,
		    struct error *e)
{
	_cleanup_close_ int opened = -1;
	int fd = rule->fd;
	const char *name = rule->path ? rule->path : "a descriptor";
	if (rule->path) {
		opened = open(rule->path, O_PATH | O_CLOEXEC);
		if (opened < 0 && rule->optional && (errno == ENOENT || errno == ENOTDIR))
			return 0;
		if (opened < 0)
			return error_set(e, errno, "Landlock: cannot open %s: %s", name,
					 strerror(errno));
		fd = opened;
	}
	struct stat st;
	if (fstat(fd, &st) < 0)
		return error_set(e, errno, "Landlock: %s: %s", name, strerror(errno));
	uint64_t access = rule->write ? all : ACCESS_READ | ACCESS_EXECUTE;
	if (rule->no_execute)
		access &= ~(uint64_t)ACCESS_EXECUTE;
	if (!S_ISDIR(st.st_mode))
		access &= ACCESS_FILE;
	struct landlock_path_beneath_attr a = { .allowed_access = access & all, .parent_fd = fd };
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &a, 0) < 0)
		return error_set(e, errno, "Landlock: cannot allow %s: %s", name, strerror(errno));
	return 0;
}

int jail_landlock_apply(const struct jail_landlock *l, struct error *e)
{
	int version = jail_landlock_version();
	if (version < 1)
		return error_set(e, EOPNOTSUPP, JAIL_LANDLOCK_MISSING);
	struct ruleset_attribute a = { .handled_fs = handled(version) };
	size_t size = sizeof(a.handled_fs);
	if (version >= 4) {
		a.handled_net = l->no_tcp ? NET_BIND_AND_CONNECT : 0;
		size += sizeof(a.handled_net);
	}
	if (version >= 6) {
		a.scoped = SCOPE_SOCKET_AND_SIGNAL;
		size += sizeof(a.scoped);
	}
	_cleanup_close_ int ruleset = (int)syscall(SYS_landlock_create_ruleset, &a, size, 0);
	if (ruleset < 0)
		return error_set(e, errno, "Landlock: %s", strerror(errno));
	for (unsigned i = 0; i < l->n_rules; i++) {
		int r = add_rule(ruleset, &l->rules[i], a.handled_fs, e);
		if (r < 0)
			return r;
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		return error_set(e, errno, "Landlock: %s", strerror(errno));
	return 0;
}
