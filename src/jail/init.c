/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ready-made PID 1. Stages:
 *   pid1, set up:  nothing of the jail's runs yet.
 *   command:       a child gives up capabilities, takes on Landlock and the filter, executes.
 *                  Mustn't reach execve without all of what its row asked for.
 *   loop:          reap, pass signals, look at the watchdog. Mustn't read what the command writes.
 *   end:           say how the command ended; when PID 1 returns, the kernel kills what is left.
 */
#include "base/cleanup.h"
#include "base/fd.h"
#include "jail/filter.h"
#include "jail/internal.h"
#include "jail/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define WATCHDOG_MS  200
#define DEFAULT_PATH "/usr/local/bin:/usr/bin:/bin"

int init_end_fd = -1, init_proc_fd = -1;

static const int passed_signals[] = { SIGTERM, SIGINT,	SIGHUP,	  SIGQUIT,
				      SIGUSR1, SIGUSR2, SIGWINCH, SIGCONT };

static int tell(const struct jail_end *end)
{
	if (init_end_fd >= 0)
		(void)fd_write_full(init_end_fd, end, sizeof(*end));
	if (WIFSIGNALED(end->status))
		return 128 + WTERMSIG(end->status);
	return WEXITSTATUS(end->status);
}

/* ---- the command ---- */

static const char *path_of(const char *const *envp)
{
	for (; envp && *envp; envp++)
		if (!strncmp(*envp, "PATH=", 5))
			return *envp + 5;
	return DEFAULT_PATH;
}

/* execve() along PATH; returns only on failure, with -errno. */
static int execute(const struct jail_command *c)
{
	char *const *argv = (char *const *)c->argv;
	char *const *envp = (char *const *)c->envp;
	if (strchr(argv[0], '/')) {
		execve(argv[0], argv, envp);
		return -errno;
	}
	int first = ENOENT;
	char path[PATH_MAX];
	const char *p = path_of(c->envp);
	while (*p) {
		size_t n = strcspn(p, ":");
		int len = snprintf(path, sizeof(path), "%.*s/%s", (int)n, p, argv[0]);
		if (n && len > 0 && (size_t)len < sizeof(path)) {
			execve(path, argv, envp);
			if (errno != ENOENT && errno != ENOTDIR)
				first = errno;
		}
		p += n + (p[n] == ':');
	}
	return -first;
}

static int take_filter(enum jail_seccomp kind, struct error *e)
{
	if (lacks("seccomp"))
		return 0;
	switch (kind) {
	case JAIL_SECCOMP_AGENT:
		return jail_seccomp_agent(e);
	case JAIL_SECCOMP_BUILD:
		return jail_seccomp_build(e);
	case JAIL_SECCOMP_NONE:
		break;
	}
	return 0;
}

/* In the child. Returns only on failure; *ret_executing says whether execve() was what failed. */
static int become_command(const struct jail_command *c, bool *ret_executing, struct error *e)
{
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (c->new_session)
		setsid();
	if (c->terminal && ioctl(0, TIOCSCTTY, 0) < 0)
		return error_set(e, errno, "cannot take over the terminal: %s", strerror(errno));
	if (chdir(c->directory ? c->directory : "/") < 0)
		return error_set(e, errno, "no folder %s in the jail: %s", c->directory,
				 strerror(errno));
	int r = c->landlock && !lacks("landlock") ? jail_landlock_apply(c->landlock, e) : 0;
	if (r == 0 && (r = caps_keep(c->capabilities)) < 0)
		error_set(e, -r, "cannot give up capabilities: %s", strerror(-r));
	if (r == 0)
		r = take_filter(c->seccomp, e);
	if (r < 0)
		return r;
	*ret_executing = true;
	r = execute(c);
	return error_set(e, -r, "cannot execute %.80s: %s", c->argv[0], strerror(-r));
}

/* Our arguments would show in the jail's /proc/1/cmdline; take their place with a name of our own.
 */
static void hide_arguments(void)
{
	static const char name[] = "jail-init";
	_cleanup_free_ char *stat_text = NULL;
	size_t n;
	prctl(PR_SET_NAME, name);
	if (file_read("/proc/self/stat", 8192, &stat_text, &n) < 0)
		return;
	const char *p = strrchr(stat_text, ')');
	unsigned long from = 0, to = 0;
	for (unsigned field = 3; p && field <= 49; field++) {
		p = strchr(p + 1, ' ');
		if (p && field == 48)
			from = strtoul(p, NULL, 10);
		if (p && field == 49)
			to = strtoul(p, NULL, 10);
	}
	if (!from || to <= from)
		return;
	size_t size = to - from, take = sizeof(name) < size ? sizeof(name) : size;
	memset((char *)from, 0, size);
	memcpy((char *)from, name, take - 1);
}

struct refusal {
	bool executing;
	struct error error;
};

static pid_t start_command(const struct jail_command *c, struct jail_end *end)
{
	int pair[2], go[2];
	struct refusal refusal = { 0 };
	end->reason = JAIL_FAILED;
	end->status = W_EXITCODE(126, 0);
	if (pipe2(pair, O_CLOEXEC) < 0)
		return -1;
	_cleanup_close_ int from_child = pair[0];
	if (pipe2(go, O_CLOEXEC) < 0) {
		close(pair[1]);
		return -1;
	}
	pid_t pid = fork();
	if (pid == 0) {
		char byte;
		close(go[1]);
		(void)fd_read_full(go[0], &byte, 1); /* until PID 1 has hidden its arguments */
		(void)become_command(c, &refusal.executing, &refusal.error);
		(void)fd_write_full(pair[1], &refusal, sizeof(refusal));
		_exit(127);
	}
	close(pair[1]);
	hide_arguments();
	close(go[0]);
	close(go[1]);
	if (pid < 0) {
		snprintf(end->message, sizeof(end->message), "fork: %s", strerror(errno));
		return -1;
	}
	if (fd_read_full(from_child, &refusal, sizeof(refusal)) == sizeof(refusal)) {
		waitpid(pid, NULL, 0);
		end->reason = refusal.executing ? JAIL_CANNOT_EXECUTE : JAIL_FAILED;
		end->status = W_EXITCODE(refusal.error.code == ENOENT ? 127 : 126, 0);
		snprintf(end->message, sizeof(end->message), "%.159s", refusal.error.message);
		return -1;
	}
	end->reason = JAIL_ENDED;
	end->status = 0;
	return pid;
}

/* ---- the loop ---- */

/* Reap all that ended; true when the command is among them. */
static bool reap(pid_t command, int *ret_status)
{
	bool ended = false;
	for (;;) {
		int status;
		pid_t pid = waitpid(-1, &status, WNOHANG);
		if (pid <= 0)
			return ended;
		if (pid == command) {
			*ret_status = status;
			ended = true;
		}
	}
}

/* Wait until the command has ended, or was killed by the watchdog. */
static void guard(const struct jail_command *c, pid_t command, const sigset_t *signals,
		  struct jail_end *end)
{
	const struct timespec period = { .tv_nsec = WATCHDOG_MS * 1000000L };
	bool watched = init_proc_fd >= 0 && !lacks("limits") &&
		       (c->watchdog.memory || c->watchdog.processes || c->watchdog.unnamed);
	for (;;) {
		siginfo_t info;
		int sig = sigtimedwait(signals, &info, watched ? &period : NULL);
		if (reap(command, &end->status))
			return;
		/* What a terminal sends (si_code > 0), it sends to the command too. */
		if (sig > 0 && sig != SIGCHLD && info.si_code <= 0)
			kill(command, sig);
		if (!watched || end->reason != JAIL_ENDED)
			continue;
		end->reason = watchdog_check(init_proc_fd, &c->watchdog);
		if (end->reason != JAIL_ENDED)
			kill(-1, SIGKILL); /* all but ourselves; the loop reaps */
	}
}

int jail_command(const struct jail_command *command)
{
	sigset_t signals;
	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	for (size_t i = 0; i < ELEMENTS(passed_signals); i++)
		sigaddset(&signals, passed_signals[i]);
	sigprocmask(SIG_SETMASK, &signals, NULL);
	struct jail_end end = { 0 };
	if (init_proc_fd >= 0 && (command->watchdog.memory || command->watchdog.unnamed))
		watchdog_begin(init_proc_fd);
	pid_t pid = start_command(command, &end);
	if (pid < 0)
		return tell(&end);
	/* PID 1's own copies would keep pipes open that the command has closed. */
	for (int fd = 0; fd < 3; fd++)
		close(fd);
	guard(command, pid, &signals, &end);
	kill(-1, SIGKILL);
	return tell(&end);
}
