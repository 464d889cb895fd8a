/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a jail shows read-only stays so: a mount copied by open_tree() and restricted by mount_setattr() can
 * be placed in the jail, and whoever is in a user namespace further in can neither loosen nor remove it.
 */
#include "kernel.h"
#include <sys/mount.h>

int main(void)
{
	enter(CLONE_NEWNS);
	HOLDS(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	HOLDS(mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, NULL) == 0);
	HOLDS(mkdir("/tmp/usr", 0755) == 0);
	int tree = open_tree(AT_FDCWD, "/usr", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
	struct mount_attr read_only = { .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID |
						    MOUNT_ATTR_NODEV };
	HOLDS(tree >= 0 && mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &read_only,
					 sizeof(read_only)) == 0);
	HOLDS(move_mount(tree, "", AT_FDCWD, "/tmp/usr", MOVE_MOUNT_F_EMPTY_PATH) == 0);
	REFUSED(open("/tmp/usr/x", O_WRONLY | O_CREAT | O_CLOEXEC, 0600), EROFS);
	enter(CLONE_NEWNS);
	struct mount_attr writable = { .attr_clr = MOUNT_ATTR_RDONLY };
	REFUSED(mount_setattr(AT_FDCWD, "/tmp/usr", 0, &writable, sizeof(writable)), EPERM);
	REFUSED(mount("none", "/tmp/usr", NULL, MS_REMOUNT | MS_BIND, NULL), EPERM);
	REFUSED(umount2("/tmp/usr", MNT_DETACH), EINVAL);
	return holds(
		"a read-only mount cannot be loosened or removed from a user namespace further in");
}
