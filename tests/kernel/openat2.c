/* SPDX-License-Identifier: Apache-2.0 */
/* Contexts and images are walked by openat2(): no name, link or device in them leads out. */
#include "kernel.h"
#include <linux/openat2.h>

/* The kernel says EAGAIN of a ".." while anything on the machine is renamed. */
static int open_as(int dir, const char *path, uint64_t resolve)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = resolve };
	int fd;
	do
		fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
	while (fd < 0 && errno == EAGAIN);
	return fd;
}

int main(void)
{
	char folder[] = "/tmp/kernel-XXXXXX";
	HOLDS(mkdtemp(folder) != NULL);
	int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	HOLDS(dir >= 0 && mkdirat(dir, "etc", 0755) == 0);
	HOLDS(symlinkat("/etc", dir, "absolute") == 0 &&
	      symlinkat("../../../etc", dir, "climbing") == 0);
	struct stat own, found;
	HOLDS(fstatat(dir, "etc", &own, 0) == 0);
	REFUSED(open_as(dir, "..", RESOLVE_BENEATH), EXDEV);
	REFUSED(open_as(dir, "/etc", RESOLVE_BENEATH), EXDEV);
	REFUSED(open_as(dir, "absolute", RESOLVE_BENEATH), EXDEV);
	REFUSED(open_as(dir, "climbing", RESOLVE_BENEATH), EXDEV);
	REFUSED(open_as(dir, "etc/../../..", RESOLVE_BENEATH), EXDEV);
	REFUSED(open_as(dir, "absolute/passwd", RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS), ELOOP);
	static const char *const inside[] = { "etc", "/etc", "absolute", "climbing", "../../etc" };
	for (size_t i = 0; i < sizeof(inside) / sizeof(inside[0]); i++) {
		int fd = open_as(dir, inside[i], RESOLVE_IN_ROOT);
		HOLDS(fd >= 0 && fstat(fd, &found) == 0 && found.st_ino == own.st_ino &&
		      found.st_dev == own.st_dev);
	}
	REFUSED(open_as(AT_FDCWD, "/proc/self/root", RESOLVE_NO_MAGICLINKS), ELOOP);
	unlinkat(dir, "absolute", 0);
	unlinkat(dir, "climbing", 0);
	unlinkat(dir, "etc", AT_REMOVEDIR);
	rmdir(folder);
	return holds("openat2 keeps a walk below its folder");
}
