/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why the jail drops supplementary groups itself, before it maps ids: a user namespace keeps them, and then
 * cannot drop them.
 */
#include "kernel.h"
#include <grp.h>

int main(void)
{
	gid_t groups[64];
	if (geteuid() == 0)
		HOLDS(setgroups(2, (gid_t[]){ 4242, 4343 }) == 0);
	int before = getgroups(64, groups);
	enter(0);
	HOLDS(getgroups(64, groups) == before); /* unmapped, but there */
	REFUSED(setgroups(0, NULL), EPERM);
	int fd = open("/proc/self/setgroups", O_WRONLY | O_CLOEXEC);
	HOLDS(fd >= 0);
	REFUSED(write(fd, "allow", 5), EPERM);
	return holds("supplementary groups outlive a new user namespace, which cannot drop them "
		     "when setgroups is denied");
}
