/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Children are watched and killed by pidfd: readable when the process has ended, and never another process's.
 */
#include "kernel.h"
#include <poll.h>

int main(void)
{
	pid_t pid = fork();
	if (pid == 0) {
		pause();
		_exit(0);
	}
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	HOLDS(fd >= 0 && poll(&p, 1, 0) == 0);
	HOLDS(syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) == 0);
	HOLDS(poll(&p, 1, 10000) == 1 && p.revents & POLLIN);
	siginfo_t info;
	HOLDS(waitid(P_PIDFD, (id_t)fd, &info, WEXITED) == 0 && info.si_status == SIGKILL);
	REFUSED((int)syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0), ESRCH);
	return holds("a pidfd is readable when its process ends, and reaches no other");
}
