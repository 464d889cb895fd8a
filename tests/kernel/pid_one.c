/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cancelling a job or ending a sandbox is one kill: when the first process of a pid namespace ends, all
 * others in it end, also those that have gone into sessions of their own, and before its end is seen outside.
 */
#include "kernel.h"
#include <poll.h>

enum { CHILDREN = 20 };

/* PID 1: children, and a grandchild each, that hold `alive` open and heed no signal that they can ignore. */
static void be_first(int alive)
{
	for (int i = 0; i < CHILDREN; i++)
		if (fork() == 0) {
			signal(SIGTERM, SIG_IGN);
			setsid();
			if (fork() == 0)
				setsid();
			HOLDS(write(alive, "x", 1) == 1);
			for (;;)
				pause();
		}
	for (;;)
		pause();
}

int main(void)
{
	int alive[2], status;
	char byte;
	HOLDS(pipe2(alive, O_CLOEXEC) == 0);
	enter(CLONE_NEWPID);
	pid_t one = fork();
	if (one == 0) {
		close(alive[0]);
		be_first(alive[1]);
	}
	close(alive[1]);
	for (int i = 0; i < 2 * CHILDREN; i++)
		HOLDS(read(alive[0], &byte, 1) == 1);
	struct pollfd p = { .fd = alive[0], .events = POLLIN };
	HOLDS(poll(&p, 1, 0) == 0); /* they hold it */
	HOLDS(kill(one, SIGKILL) == 0 && waitpid(one, &status, 0) == one);
	HOLDS(poll(&p, 1, 0) == 1 && read(alive[0], &byte, 1) == 0); /* nobody does */
	return holds("with the first process of a pid namespace all of it ends, at once");
}
