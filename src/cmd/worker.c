/* SPDX-License-Identifier: Apache-2.0 */
/* Starts the worker, waits for it or for a signal, and cleans up after both. */
#include "cmd/worker.h"
#include "base/cleanup.h"
#include "base/spawn.h"
#include "keeper/state_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#define CLEAN_TRIES    50
#define CLEAN_PAUSE_MS 100

struct worker {
	pid_t pid;
	int pidfd, signals, from; /* from: what it says, or -1 */
	char *out;
	size_t size, used;
};

/* Its folder is TMPDIR to it. */
static int start(struct worker *w, const char *const *argv, const char *folder)
{
	char tmp[PATH_MAX + 8];
	int pair[2] = { -1, -1 };
	snprintf(tmp, sizeof(tmp), "TMPDIR=%s", folder);
	const char *const envp[] = { tmp, NULL };
	if (w->out && pipe2(pair, O_CLOEXEC) < 0)
		return -errno;
	_cleanup_close_ int theirs = pair[1];
	w->from = pair[0];
	/* A session of its own: a terminal's Ctrl-C is for us, who clean up. */
	const struct spawn s = { .program = argv[0],
				 .argv = argv,
				 .envp = envp,
				 .in = -1,
				 .out = w->out ? theirs : STDOUT_FILENO,
				 .err = w->out ? theirs : -1,
				 .new_session = true };
	return spawn_start(&s, &w->pid, &w->pidfd);
}

/* What does not fit is read all the same, so that it can go on. */
static void hear(struct worker *w)
{
	char rest[4096];
	size_t room = w->size - 1 - w->used;
	ssize_t n =
		room ? read(w->from, w->out + w->used, room) : read(w->from, rest, sizeof(rest));
	if (n > 0 && room)
		w->used += (size_t)n;
	if (n == 0)
		close(TAKE_FD(w->from));
}

/* Until it has ended and said all; 0, or -EINTR with *ret_signal when it was told to end. */
static int attend(struct worker *w, int *ret_signal)
{
	bool ended = false;
	while (!ended || w->from >= 0) {
		struct pollfd p[] = { { .fd = w->signals, .events = POLLIN },
				      { .fd = ended ? -1 : w->pidfd, .events = POLLIN },
				      { .fd = w->from, .events = POLLIN } };
		struct signalfd_siginfo info;
		if (poll(p, ELEMENTS(p), -1) < 0)
			continue; /* EINTR: stopped and continued */
		if (p[0].revents && read(w->signals, &info, sizeof(info)) == sizeof(info)) {
			*ret_signal = (int)info.ssi_signo;
			kill(w->pid, SIGKILL); /* its jail ends with it */
			return -EINTR;
		}
		if (p[2].revents)
			hear(w);
		ended = ended || p[1].revents;
	}
	return 0;
}

static int run(struct worker *w, const char *const *argv, const char *folder, int *ret_signal)
{
	int status, r = start(w, argv, folder);
	if (r == 0) {
		r = attend(w, ret_signal);
		while (waitpid(w->pid, &status, 0) < 0 && errno == EINTR)
			;
		close(w->pidfd);
	}
	if (w->from >= 0)
		close(w->from);
	if (w->out)
		w->out[w->used] = '\0';
	return r < 0 ? r : status;
}

int cmd_worker(const char *const *argv, char *out, size_t size, int *ret_signal)
{
	struct worker w = { .pidfd = -1, .from = -1, .out = out, .size = size };
	const char *tmp = getenv("TMPDIR");
	char folder[PATH_MAX];
	sigset_t set, before;
	int n = snprintf(folder, sizeof(folder), "%s/postern-XXXXXX",
			 tmp && *tmp == '/' ? tmp : "/tmp");
	if (n < 0 || (size_t)n >= sizeof(folder))
		return -ENAMETOOLONG;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGQUIT);
	sigprocmask(SIG_BLOCK, &set, &before);
	_cleanup_close_ int signals = signalfd(-1, &set, SFD_CLOEXEC);
	w.signals = signals;
	int r = signals < 0 || !mkdtemp(folder) ? -errno : 0;
	if (r == 0) {
		r = run(&w, argv, folder, ret_signal);
		/* The processes of a jail whose worker was killed take a moment to go. */
		for (unsigned i = 0; i < CLEAN_TRIES && state_dir_remove(folder) < 0; i++)
			poll(NULL, 0, CLEAN_PAUSE_MS);
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	return r;
}
