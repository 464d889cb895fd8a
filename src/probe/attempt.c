/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One attempt, in a child that is a session of its own. It writes its outcome into a pipe; whether it ends, is killed or goes on for
 * ever, the parent then ends it and all that it started.
 */
#include "probe/probe.h"

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static volatile sig_atomic_t interrupted;

static void remember(int signal)
{
	interrupted = signal;
}

bool attempt_interrupted(void)
{
	return interrupted != 0;
}

void attempt_heed_signals(void)
{
	static const int ending[] = { SIGINT, SIGTERM, SIGHUP };
	const struct sigaction heed = { .sa_handler = remember };
	for (size_t i = 0; i < ELEMENTS(ending); i++)
		sigaction(ending[i], &heed, NULL);
	/* Else those of an attempt's children that outlive it would be nobody's. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
}

static void work(const struct attempt *a, int to, pid_t parent)
{
	struct outcome o = { .state = POSSIBLE };
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	setsid();
	a->make(a, &o);
	_exit(write(to, &o, sizeof(o)) != sizeof(o));
}

/* Kill the children that /proc names; without a /proc there are none that we could name. */
static void kill_children(void)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	while (proc && (entry = readdir(proc))) {
		char path[64], text[256], *end;
		int pid = (int)strtol(entry->d_name, &end, 10), parent = 0;
		if (*end || pid <= 0)
			continue;
		snprintf(path, sizeof(path), "/proc/%d/stat", pid);
		_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
		if (n <= 0)
			continue;
		text[n] = '\0';
		const char *after = strrchr(text, ')'); /* of the name, which may hold anything */
		if (after && sscanf(after, ") %*c %d", &parent) == 1 && parent == getpid())
			kill(pid, SIGKILL);
	}
	if (proc)
		closedir(proc);
}

/* The attempt, its session, and those that left it and became our children when their own parents ended. Those end after their
 * parents have: a few rounds. */
static void end_all(pid_t child, int *ret_status)
{
	kill(-child, SIGKILL);
	kill(child, SIGKILL); /* it may not have got as far as a session of its own */
	while (waitpid(child, ret_status, 0) < 0 && errno == EINTR)
		;
	for (int round = 0; round < 100; round++) {
		kill_children();
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		if (waitpid(-1, NULL, WNOHANG) < 0)
			return;
		(void)poll(NULL, 0, 10);
	}
}

/* Whether the child has said something or ended within its time. */
static bool hear(int from, unsigned seconds)
{
	struct timespec start, now;
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (;;) {
		struct pollfd p = { .fd = from, .events = POLLIN };
		clock_gettime(CLOCK_MONOTONIC, &now);
		long gone = (now.tv_sec - start.tv_sec) * 1000 +
			    (now.tv_nsec - start.tv_nsec) / 1000000;
		long left = (long)seconds * 1000 - gone;
		if (left <= 0 || interrupted)
			return false;
		if (poll(&p, 1, (int)left) > 0)
			return true;
	}
}

void attempt_run(const struct attempt *a, unsigned seconds, struct outcome *ret)
{
	int pair[2], status = 0;
	*ret = (struct outcome){ .state = UNTRIED };
	if (pipe2(pair, O_CLOEXEC) < 0) {
		snprintf(ret->detail, sizeof(ret->detail), "no pipe: %s", strerror(errno));
		return;
	}
	_cleanup_close_ int from = pair[0];
	pid_t parent = getpid(), child = fork();
	if (child == 0)
		work(a, pair[1], parent);
	close(pair[1]);
	if (child < 0) {
		snprintf(ret->detail, sizeof(ret->detail), "no process: %s", strerror(errno));
		return;
	}
	struct outcome said;
	bool heard = hear(from, seconds),
	     whole = heard && read(from, &said, sizeof(said)) == sizeof(said);
	/* What ends without a word has ended already; it is not to be taken for one that we killed. */
	if (heard && !whole) {
		siginfo_t info;
		(void)waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT);
	}
	end_all(child, &status);
	if (whole) {
		*ret = said;
		ret->detail[sizeof(ret->detail) - 1] = '\0';
	} else if (!heard) {
		ret->state = interrupted ? UNTRIED : REFUSED;
		ret->error = interrupted ? EINTR : ETIMEDOUT;
		snprintf(ret->detail, sizeof(ret->detail), "no end within %u s", seconds);
	} else if (WIFSIGNALED(status)) {
		/* Of all signals this one says that a filter refused the call. */
		ret->state = WTERMSIG(status) == SIGSYS ? REFUSED : UNTRIED;
		snprintf(ret->detail, sizeof(ret->detail), "killed by SIG%s",
			 sigabbrev_np(WTERMSIG(status)));
	} else {
		snprintf(ret->detail, sizeof(ret->detail), "ended without a word");
	}
}
