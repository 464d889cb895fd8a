/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps a run from leaving anything when it is killed. */
#include "runner/guard.h"
#include "runner/process.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Wait for the inner process. A signal of the terminal (SI_KERNEL) reached its whole foreground group,
 * the inner process included; only what was sent to us alone is passed on. */
static int wait_and_forward(pid_t inner, const sigset_t *set)
{
	for (;;) {
		siginfo_t info;
		int status;
		if (sigwaitinfo(set, &info) < 0)
			continue; /* interrupted by a stop and continue */
		if (info.si_signo == SIGCHLD) {
			while (true) {
				pid_t pid = waitpid(-1, &status, WNOHANG);
				if (pid == inner)
					return status;
				if (pid <= 0)
					break;
			}
		} else if (info.si_code != SI_KERNEL) {
			kill(inner, info.si_signo);
		}
	}
}

int guard_split(int *ret_status, struct buf *left)
{
	sigset_t set, before;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGQUIT);
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 || sigprocmask(SIG_BLOCK, &set, &before) < 0)
		return -errno;
	pid_t outer = getpid();
	pid_t inner = fork();
	if (inner < 0)
		return -errno;
	if (inner == 0) {
		prctl(PR_SET_CHILD_SUBREAPER, 1);
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		if (getppid() != outer)
			_exit(125);
		/* These but SIGCHLD stay blocked until watch_init() hears them. */
		sigset_t child;
		sigemptyset(&child);
		sigaddset(&child, SIGCHLD);
		sigprocmask(SIG_UNBLOCK, &child, NULL);
		return 0;
	}
	*ret_status = wait_and_forward(inner, &set);
	(void)process_sweep(left);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return 1;
}
