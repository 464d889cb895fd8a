/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Jails and sandboxes need no root: an ordinary user can make every kind of namespace, and is root inside and
 * nobody outside.
 */
#include "kernel.h"
#include <sys/mount.h>

int main(void)
{
	enter(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP |
	      CLONE_NEWPID);
	HOLDS(geteuid() == 0 && getegid() == 0);
	HOLDS(sethostname("inside", 6) == 0);
	HOLDS(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	HOLDS(mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, NULL) == 0);
	pid_t pid = fork();
	if (pid == 0)
		_exit(getpid() == 1 ? 0 : 1);
	wait_good(pid);
	/* What belongs to the host stays closed: its clock, a device. */
	struct timespec now;
	HOLDS(clock_gettime(CLOCK_REALTIME, &now) == 0);
	REFUSED(clock_settime(CLOCK_REALTIME, &now), EPERM);
	REFUSED(mknod("/tmp/null", S_IFCHR | 0666, 0x103), EPERM);
	return holds("a new user namespace gives all rights inside it and none outside");
}
