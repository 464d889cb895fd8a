/* SPDX-License-Identifier: Apache-2.0 */
/* Starts helper programs. */
#include "base/spawn.h"
#include "base/cleanup.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

int spawn_find_helper(const char *name, char *ret_path, size_t size)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n < 0)
		return -errno;
	self[n] = '\0';
	char *slash = strrchr(self, '/');
	if (!slash)
		return -ENOENT;
	*slash = '\0';
	static const char *const places[] = { "%s/%s", "%s/../libexec/postern/%s" };
	for (size_t i = 0; i < ELEMENTS(places); i++) {
		/* The formats are the two constants above. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		int len = snprintf(ret_path, size, places[i], self, name);
#pragma GCC diagnostic pop
		if (len > 0 && (size_t)len < size && access(ret_path, X_OK) == 0)
			return 0;
	}
	return -ENOENT;
}

/* Put every descriptor where the child expects it and close all others but report. First move the
 * sources above the targets, so that no target overwrites a source that is still needed. */
static int arrange_fds(const struct spawn *s, int report)
{
	int moved[3 + SPAWN_FDS_MAX];
	const int floor = 3 + SPAWN_FDS_MAX;
	unsigned n = 3 + s->n_fds;
	for (unsigned i = 0; i < n; i++) {
		int fd = i == 0 ? s->in : i == 1 ? s->out : i == 2 ? s->err : s->fds[i - 3];
		if (fd < 0 && i < 2)
			fd = open("/dev/null", (i ? O_WRONLY : O_RDONLY) | O_CLOEXEC);
		else if (fd < 0 && i == 2)
			fd = STDERR_FILENO;
		moved[i] = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, floor);
		if (fd >= 0 && moved[i] < 0)
			return -errno;
	}
	for (unsigned i = 0; i < n; i++) {
		if (moved[i] < 0)
			close((int)i);
		else if (dup2(moved[i], (int)i) < 0)
			return -errno;
	}
	if (close_range(n, (unsigned)report - 1, 0) < 0 ||
	    close_range((unsigned)report + 1, ~0u, 0) < 0)
		return -errno;
	return 0;
}

/* In the child: only async-signal-safe calls. Returns only on failure, with -errno. */
static int become(const struct spawn *s, const char *path, pid_t parent, int report)
{
	static char *const no_env[] = { NULL };
	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (s->new_session)
		setsid();
	if (!s->keep_on_parent_death) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			return -EOWNERDEAD;
	}
	int r = arrange_fds(s, report);
	if (r < 0)
		return r;
	if (chdir(s->directory ? s->directory : "/") < 0)
		return -errno;
	execve(path, (char *const *)s->argv, s->envp ? (char *const *)s->envp : no_env);
	return -errno;
}

static _Noreturn void child(const struct spawn *s, const char *path, pid_t parent, int to_parent)
{
	int report = fcntl(to_parent, F_DUPFD_CLOEXEC, 3 + 2 * SPAWN_FDS_MAX + 8);
	int r = report < 0 ? -errno : become(s, path, parent, report);
	(void)!write(report < 0 ? to_parent : report, &r, sizeof(r));
	_exit(127);
}

/* In the child's hands is our memory until it executes, for which we wait in any case: a copy would take longer than all
 * else here. It changes nothing but its own frames, and no handler of ours may run in it. */
static pid_t start(const struct spawn *s, const char *path, int to_parent)
{
	sigset_t all, before;
	pid_t parent = getpid();
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid_t pid = vfork(); /* NOLINT(clang-analyzer-security.insecureAPI.vfork) */
	if (pid == 0)
		child(s, path, parent, to_parent); /* NOLINT(clang-analyzer-unix.Vfork) */
	int error = errno;
	sigprocmask(SIG_SETMASK, &before, NULL);
	return pid < 0 ? -error : pid;
}

int spawn_start(const struct spawn *s, pid_t *ret_pid, int *ret_pidfd)
{
	char path[PATH_MAX];
	int r = 0;
	if (strchr(s->program, '/'))
		snprintf(path, sizeof(path), "%s", s->program);
	else
		r = spawn_find_helper(s->program, path, sizeof(path));
	if (r < 0)
		return r;
	int pair[2];
	if (pipe2(pair, O_CLOEXEC) < 0)
		return -errno;
	_cleanup_close_ int from_child = pair[0];
	_cleanup_close_ int to_parent = pair[1];
	pid_t pid = start(s, path, to_parent);
	if (pid < 0)
		return pid;
	close(TAKE_FD(to_parent));
	int failure = 0;
	if (fd_read_full(from_child, &failure, sizeof(failure)) == sizeof(failure)) {
		waitpid(pid, NULL, 0);
		return failure;
	}
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0) {
		r = -errno;
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		return r;
	}
	*ret_pid = pid;
	*ret_pidfd = pidfd;
	return 0;
}

const char *spawn_status_text(int status, char *out, size_t size)
{
	if (WIFSIGNALED(status))
		snprintf(out, size, "signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	else
		snprintf(out, size, "exit %d", WEXITSTATUS(status));
	return out;
}
