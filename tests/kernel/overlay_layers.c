/* SPDX-License-Identifier: Apache-2.0 */
/* A sandbox's root is an overlay of lower layers alone, mounted by whoever is root in a user namespace only: --rootfs. */
#include "kernel.h"
#include <sys/mount.h>
#include <sys/un.h>

static int reach(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return connect(fd, (struct sockaddr *)&a, sizeof(a));
}

static void listen_at(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	HOLDS(bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(fd, 8) == 0);
}

int main(void)
{
	char byte;
	struct stat st;
	enter(CLONE_NEWNS);
	HOLDS(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	HOLDS(mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, NULL) == 0);
	static const char *const folders[] = { "/tmp/own",    "/tmp/own/etc",	    "/tmp/below",
					       "/tmp/secret", "/tmp/below/mounted", "/tmp/merged" };
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
		HOLDS(mkdir(folders[i], 0755) == 0);
	HOLDS(creat("/tmp/secret/key", 0644) >= 0 && creat("/tmp/own/etc/hosts", 0644) >= 0);
	HOLDS(symlink("/tmp/secret", "/tmp/below/etc") == 0);
	HOLDS(mkfifo("/tmp/below/pipe", 0666) == 0);
	int pipe = open("/tmp/below/pipe", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	HOLDS(pipe >= 0 && write(pipe, "x", 1) == 1);
	listen_at("/tmp/below/socket");
	HOLDS(mount("tmpfs", "/tmp/below/mounted", "tmpfs", 0, NULL) == 0);
	HOLDS(creat("/tmp/below/mounted/key", 0644) >= 0);
	HOLDS(mount("overlay", "/tmp/merged", "overlay", 0, "lowerdir=/tmp/own:/tmp/below") == 0);
	/* What is above hides a symlink below, and does not follow it. */
	HOLDS(stat("/tmp/merged/etc/hosts", &st) == 0);
	REFUSED(stat("/tmp/merged/etc/key", &st), ENOENT);
	/* Sockets and pipes are others than those below; mounts are not there. */
	HOLDS(reach("/tmp/below/socket") == 0);
	REFUSED(reach("/tmp/merged/socket"), ECONNREFUSED);
	pipe = open("/tmp/merged/pipe", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	REFUSED(read(pipe, &byte, 1), EAGAIN);
	REFUSED(stat("/tmp/merged/mounted/key", &st), ENOENT);
	REFUSED(mkdir("/tmp/merged/new", 0755), EROFS);
	return holds("an overlay without an upper layer is read-only, and leads to no symlink's "
		     "target, socket, pipe or mount of its layers");
}
