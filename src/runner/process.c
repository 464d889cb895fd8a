/* SPDX-License-Identifier: Apache-2.0 */
/* Stops processes and finds what they left. */
#include "runner/process.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>

void process_reap(struct process *p)
{
	if (!p->pid)
		return;
	while (waitpid(p->pid, &p->status, 0) < 0 && errno == EINTR)
		;
	p->pid = 0;
	close(p->pidfd);
	p->pidfd = -1;
}

int process_exit_code(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

bool process_stop(struct process *p, struct watch *w, unsigned grace_ms)
{
	if (!p->pid)
		return true;
	syscall(SYS_pidfd_send_signal, p->pidfd, SIGTERM, NULL, 0);
	enum watch_event event = watch_wait(w, p->pidfd, clock_monotonic_ms() + grace_ms);
	/* The group is its own session's (spawn's new_session), so this reaches children that it
	 * left behind, too. Only while the pid is still ours, that is before reaping. */
	kill(-p->pid, SIGKILL);
	kill(p->pid, SIGKILL);
	process_reap(p);
	return event == WATCH_ENDED;
}

/* Parent and name of a process; false when it is gone. A zombie's parent is -1: it is nobody's
 * leftover, only unreaped. */
static bool look(pid_t pid, pid_t *parent, char *name, size_t size)
{
	char path[64];
	_cleanup_free_ char *stat = NULL;
	size_t n;
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (file_read(path, 4096, &stat, &n) < 0)
		return false;
	char *open = strchr(stat, '('), *close = strrchr(stat, ')');
	if (!open || !close || close < open || strlen(close) < 5)
		return false;
	*close = '\0';
	snprintf(name, size, "%s", open + 1);
	*parent = close[2] == 'Z' ? -1 : (pid_t)strtol(close + 4, NULL, 10);
	return true;
}

/* Is pid below us? Follows parents; a process that vanishes meanwhile is not. */
static bool is_descendant(pid_t pid, char *name, size_t size)
{
	char other[32];
	pid_t parent, self = getpid();
	if (pid == self || !look(pid, &parent, name, size) || parent < 0)
		return false;
	for (unsigned steps = 0; parent > 1 && steps < 1000; steps++) {
		if (parent == self)
			return true;
		if (!look(parent, &parent, other, sizeof(other)))
			return false;
	}
	return false;
}

static void reap_zombies(void)
{
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

/* One pass over /proc: kill every descendant. */
static unsigned sweep_once(struct buf *names)
{
	unsigned found = 0;
	DIR *proc = opendir("/proc");
	if (!proc)
		return 0;
	struct dirent *entry;
	while ((entry = readdir(proc))) {
		char name[32];
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
		if (pid <= 1 || !is_descendant(pid, name, sizeof(name)))
			continue;
		/* One that was killed in an earlier pass and is still ending is named once. */
		char text[64];
		snprintf(text, sizeof(text), "%s (%d)", name, (int)pid);
		if (!names->len || !strstr(names->data, text))
			(void)buf_printf(names, "%s%s", names->len ? ", " : "", text);
		found++;
		kill(pid, SIGKILL);
	}
	closedir(proc);
	return found;
}

unsigned process_sweep(struct buf *names)
{
	unsigned least = 0; /* at least so many were there: those of the fullest pass */
	reap_zombies();
	/* A process that forks while we look needs another pass; the number of passes is bounded, and
	 * what is still there after them is said by the last check. */
	for (unsigned pass = 0; pass < 100; pass++) {
		unsigned found = sweep_once(names);
		least = found > least ? found : least;
		if (!found)
			break;
		struct timespec pause = { .tv_nsec = 5 * 1000 * 1000 };
		nanosleep(&pause, NULL);
		reap_zombies();
	}
	return least;
}
