/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounting, by the old calls and the new. All is done in a mount namespace of the attempt's own; where that cannot be made, the call
 * is made with arguments that lead nowhere, which the kernel looks at only after it has asked for the right to mount.
 */
#include "probe/probe.h"

#include <linux/mount.h>
#include <sys/mount.h>

#define NOWHERE	   "/proc/postern-probe/nowhere"
#define TREE_CLONE 1 /* OPEN_TREE_CLONE, which older headers lack */
#define EMPTY_PATH 4 /* MOVE_MOUNT_F_EMPTY_PATH */
#define CMD_CREATE 6 /* FSCONFIG_CMD_CREATE */
#define NO_SUCH_FS "postern-none"

static void bogus_detail(struct outcome *o)
{
	if (o->state == POSSIBLE)
		outcome_detail(o, "not done: there is no mount namespace to do it in");
}

static void try_mount(const struct attempt *a, struct outcome *o)
{
	if (own_mounts()) {
		outcome_of(o, mount("probe", "/", "tmpfs", 0, NULL));
		return;
	}
	outcome_through(o, mount("probe", "/", NO_SUCH_FS, 0, NULL), ENODEV);
	bogus_detail(o);
}

static void try_mount_as_user(const struct attempt *a, struct outcome *o)
{
	outcome_of(o, own_user() && own_mounts() ? mount("probe", "/", "tmpfs", 0, NULL) : -1);
}

static void try_bind(const struct attempt *a, struct outcome *o)
{
	if (own_mounts()) {
		outcome_of(o, mount("/", "/", NULL, MS_BIND, NULL));
		return;
	}
	outcome_through(o, mount(NOWHERE, "/", NULL, MS_BIND, NULL), ENOENT);
	bogus_detail(o);
}

static void try_umount(const struct attempt *a, struct outcome *o)
{
	if (own_mounts() && mount("probe", "/", "tmpfs", 0, NULL) == 0) {
		/* "/" itself is still what was below; ".." of nothing leads onto what lies on top. */
		outcome_of(o, chdir("/..") < 0 ? -1 : umount2(".", MNT_DETACH));
		return;
	}
	/* Of what is no mount: that it is none is said only to those who may. */
	outcome_through(o, umount2(scratch_folder() ? scratch_folder() : "/proc/self", 0), EINVAL);
	bogus_detail(o);
}

static void try_pivot_root(const struct attempt *a, struct outcome *o)
{
	if (own_mounts() && mount("/proc", "/proc", NULL, MS_BIND | MS_REC, NULL) == 0 &&
	    chdir("/proc") == 0) {
		outcome_of(o, syscall(SYS_pivot_root, ".", "."));
		return;
	}
	outcome_through(o, syscall(SYS_pivot_root, NOWHERE, NOWHERE), ENOENT);
	bogus_detail(o);
}

static void try_fsopen(const struct attempt *a, struct outcome *o)
{
	outcome_of(o, syscall(SYS_fsopen, "tmpfs", 0));
}

static long opened_fs(void)
{
	return syscall(SYS_fsopen, "tmpfs", 0);
}

static void try_fsconfig(const struct attempt *a, struct outcome *o)
{
	/* Without one that could be opened it is called with what is none. */
	outcome_through(o, syscall(SYS_fsconfig, opened_fs(), CMD_CREATE, NULL, NULL, 0), EINVAL);
}

static void try_fsmount(const struct attempt *a, struct outcome *o)
{
	long fs = opened_fs();
	(void)syscall(SYS_fsconfig, fs, CMD_CREATE, NULL, NULL, 0);
	outcome_through(o, syscall(SYS_fsmount, fs, 0, 0), EBADF);
}

static void try_fspick(const struct attempt *a, struct outcome *o)
{
	outcome_through(o, syscall(SYS_fspick, AT_FDCWD, own_mounts() ? "/" : NOWHERE, 0), ENOENT);
}

static void try_open_tree(const struct attempt *a, struct outcome *o)
{
	outcome_of(o, syscall(SYS_open_tree, AT_FDCWD, "/", a->number));
}

static void try_move_mount(const struct attempt *a, struct outcome *o)
{
	if (own_mounts()) {
		long tree = syscall(SYS_open_tree, AT_FDCWD, "/", TREE_CLONE);
		outcome_of(o, syscall(SYS_move_mount, tree, "", AT_FDCWD, "/", EMPTY_PATH));
		return;
	}
	outcome_through(o, syscall(SYS_move_mount, AT_FDCWD, NOWHERE, AT_FDCWD, NOWHERE, 0),
			ENOENT);
	bogus_detail(o);
}

static void try_mount_setattr(const struct attempt *a, struct outcome *o)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_NOSUID };
	const bool own = own_mounts();
	outcome_through(
		o,
		syscall(SYS_mount_setattr, AT_FDCWD, own ? "/" : NOWHERE, 0, &attr, sizeof(attr)),
		ENOENT);
	if (!own)
		bogus_detail(o);
}

static void try_chroot(const struct attempt *a, struct outcome *o)
{
	outcome_of(o, chroot("/"));
}

static const struct attempt attempts[] = {
	{ "mount", try_mount, 0, NULL },
	{ "mount in a user namespace", try_mount_as_user, 0, NULL },
	{ "bind mount", try_bind, 0, NULL },
	{ "umount2", try_umount, 0, NULL },
	{ "pivot_root", try_pivot_root, 0, NULL },
	{ "chroot", try_chroot, 0, NULL },
	{ "fsopen", try_fsopen, 0, NULL },
	{ "fsconfig", try_fsconfig, 0, NULL },
	{ "fsmount", try_fsmount, 0, NULL },
	{ "fspick", try_fspick, 0, NULL },
	{ "open_tree", try_open_tree, 0, NULL },
	{ "open_tree of a copy", try_open_tree, TREE_CLONE, NULL },
	{ "move_mount", try_move_mount, 0, NULL },
	{ "mount_setattr", try_mount_setattr, 0, NULL },
};

const struct attempt_group group_mounts = { "mounts", attempts, ELEMENTS(attempts),
					    LIMIT_PROBE_SECONDS };
