/* SPDX-License-Identifier: Apache-2.0 */
/* The engines' storage in a jail is overlayfs, mounted by whoever is root in a user namespace only. */
#include "kernel.h"
#include <sys/mount.h>

int main(void)
{
	enter(CLONE_NEWNS);
	HOLDS(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	HOLDS(mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, NULL) == 0);
	static const char *const folders[] = { "/tmp/lower", "/tmp/upper", "/tmp/work",
					       "/tmp/merged" };
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
		HOLDS(mkdir(folders[i], 0755) == 0);
	int fd = open("/tmp/lower/a", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	HOLDS(fd >= 0 && write(fd, "old", 3) == 3 && close(fd) == 0);
	HOLDS(mount("overlay", "/tmp/merged", "overlay", 0,
		    "lowerdir=/tmp/lower,upperdir=/tmp/upper,workdir=/tmp/work,userxattr") == 0);
	fd = open("/tmp/merged/a", O_WRONLY | O_TRUNC | O_CLOEXEC);
	HOLDS(fd >= 0 && write(fd, "newer", 5) == 5 && close(fd) == 0);
	struct stat st;
	HOLDS(stat("/tmp/lower/a", &st) == 0 && st.st_size == 3);
	HOLDS(stat("/tmp/upper/a", &st) == 0 && st.st_size == 5);
	HOLDS(unlink("/tmp/merged/a") == 0 && stat("/tmp/lower/a", &st) == 0);
	REFUSED(stat("/tmp/merged/a", &st), ENOENT);
	return holds("overlayfs can be mounted, written and deleted from in a user namespace");
}
