/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who holds a socket, out of /proc.
 *
 * What the answer is worth: it names those who held the connection at the moment of the look.
 *
 * - Several holders (after fork, or by SCM_RIGHTS): any of them can write on the connection, so all
 *   are reported and the policy must allow each. Ancestors of one holder do not speak for another.
 * - Process ids are used again: a process is known by its id and start time, and is looked at again
 *   after its paths were read. When it changed, the whole look is repeated.
 * - exec after connect: the executable is the one that runs now, since it is that one which will
 *   read the answer. Proxy asks when the request is there, not when the connection was made.
 * - An executable that was deleted or replaced while it ran proves nothing by its old path, and the
 *   file that lies there now is another one: its path is reported as "(deleted)", which no rule
 *   matches. A file whose name really ends so shares that fate.
 * - What was executed under a path first is what counts for the sandbox's life (pins.h): a program whose file has
 *   other content now is reported as changed, and no request that it has a part in is allowed. The file that is
 *   looked at is the one that the kernel executes (/proc/PID/exe), whatever lies under its path now; a hard link to
 *   it is another path, with a pin of its own; nobody in a sandbox can mount one file over another. A file that
 *   cannot be read, is too large, or is one too many to be remembered, proves nothing: no rule matches it.
 * - exec between the look at the path and the look at the file: the path is read again after the file.
 * - A descriptor under way in a Unix socket has no holder but the sender; when the receiver uses it
 *   for a later request, the next look sees it.
 * - A process that made itself undumpable keeps everybody from its descriptors, us too, as long as its
 *   namespace has no id 0: it counts as a holder of everything. PID 1 is our own, and holds nothing.
 * - What could not be looked at for another reason than that the process has ended makes the look fail.
 */
#include "proxy/holders.h"
#include "base/cleanup.h"
#include "base/limit.h"
#include "proxy/messages.h"
#include "proxy/pins.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdalign.h>
#include <stdbool.h>

#define LOOKS_MAX	 5
#define PROCESS_PATH_MAX 64
#define SEEN_MAX	 (NAME_MAX * 2 + 8) /* THREAD/fd/NUMBER */
#define EXE_MAX		 (PATH_MAX + 16)

struct process {
	pid_t pid, parent;
	unsigned long long start; /* clock ticks since boot */
};

/* A folder that is being read; opendir() would ask three things about it first, for each one of each look. */
struct folder {
	int fd;
	size_t at, n; /* of the entries that were read */
	alignas(struct dirent64) char entries[8192];
};

static void folder_close(struct folder *f)
{
	if (f->fd >= 0)
		close(f->fd);
}
#define _cleanup_folder_ _cleanup_(folder_close)

/* 0 or -errno; to be closed in any case. */
static int folder_open(struct folder *f, int at, const char *path)
{
	f->at = f->n = 0;
	f->fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return f->fd < 0 ? -errno : 0;
}

/* 1 and the next name but those that begin with a dot, 0 at the end, -errno. */
static int folder_next(struct folder *f, const char **ret)
{
	for (;;) {
		if (f->at == f->n) {
			ssize_t n = getdents64(f->fd, f->entries, sizeof(f->entries));
			if (n <= 0)
				return n < 0 ? -errno : 0;
			f->at = 0;
			f->n = (size_t)n;
		}
		const struct dirent64 *e = (const struct dirent64 *)(f->entries + f->at);
		f->at += e->d_reclen;
		if (*e->d_name == '.')
			continue;
		*ret = e->d_name;
		return 1;
	}
}

/* The number that a /proc entry's name is, or 0. */
static pid_t number(const char *name)
{
	long n = 0;
	for (; *name >= '0' && *name <= '9' && n < INT_MAX / 10; name++)
		n = n * 10 + (*name - '0');
	return *name ? 0 : (pid_t)n;
}

static int read_process(int proc, pid_t pid, struct process *ret)
{
	char path[PROCESS_PATH_MAX], text[1024], state;
	snprintf(path, sizeof(path), "%d/stat", pid);
	_cleanup_close_ int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ssize_t n = read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return n < 0 ? -errno : -ESRCH;
	text[n] = '\0';
	/* The name in parentheses is the process's own choice and may hold anything: the fields
	 * begin after the last one. */
	const char *fields = strrchr(text, ')');
	struct process p = { .pid = pid };
	int parent;
	if (!fields || sscanf(fields + 1,
			      " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
			      "%*d %*d %llu",
			      &state, &parent, &p.start) != 3)
		return -EPROTO;
	p.parent = parent;
	*ret = p;
	return 0;
}

/* What of a process that has ended meanwhile could not be opened. */
static bool is_gone(int r)
{
	return r == -ENOENT || r == -ESRCH;
}

/* Whether one of a thread's descriptors is the socket named by link: 1 and where that is seen, below
 * tasks; 0; or -errno. */
static int thread_holds(int tasks, const char *thread, const char *link, char *ret_at)
{
	char path[SEEN_MAX], to[64];
	_cleanup_folder_ struct folder fds;
	const char *name;
	snprintf(path, sizeof(path), "%s/fd", thread);
	int r = folder_open(&fds, tasks, path);
	if (r == -EACCES) {
		/* Undumpable: see above. Or ending, and then it runs no program any more. */
		snprintf(ret_at, SEEN_MAX, "%s/exe", thread);
		r = readlinkat(tasks, ret_at, to, sizeof(to)) < 0 ? -errno : 1;
	}
	if (r != 0)
		return is_gone(r) ? 0 : r;
	size_t len = strlen(link);
	while ((r = folder_next(&fds, &name)) > 0) {
		ssize_t n = readlinkat(fds.fd, name, to, sizeof(to));
		if (n != (ssize_t)len || memcmp(to, link, len) != 0)
			continue;
		snprintf(ret_at, SEEN_MAX, "%s/fd/%s", thread, name);
		return 1;
	}
	return is_gone(r) ? 0 : r;
}

/* Threads may have tables of descriptors of their own, and outlive the one that the process began with. */
static int holds(int proc, pid_t pid, const char *link, char *ret_at)
{
	char path[PROCESS_PATH_MAX];
	_cleanup_folder_ struct folder tasks;
	const char *name;
	snprintf(path, sizeof(path), "%d/task", pid);
	int r = folder_open(&tasks, proc, path);
	if (r < 0)
		return is_gone(r) ? 0 : r;
	while ((r = folder_next(&tasks, &name)) > 0) {
		r = thread_holds(tasks.fd, name, link, ret_at);
		if (r != 0)
			return r;
	}
	return is_gone(r) ? 0 : r;
}

/* Whether what was seen there still is. */
static bool still_holds(int proc, pid_t pid, const char *at, const char *link)
{
	char path[PROCESS_PATH_MAX + SEEN_MAX], to[64];
	snprintf(path, sizeof(path), "%d/task/%s", pid, at);
	ssize_t n = readlinkat(proc, path, to, sizeof(to));
	return n > 0 && (!strstr(at, "/fd/") ||
			 (n == (ssize_t)strlen(link) && memcmp(to, link, (size_t)n) == 0));
}

/* The path of a process's executable, "(deleted)" when that file is gone: the bytes that it has, or -errno. */
static ssize_t read_exe(int proc, const char *exe, char path[EXE_MAX])
{
	static const char deleted[] = " (deleted)";
	ssize_t n = readlinkat(proc, exe, path, EXE_MAX - 1);
	if (n < 0)
		return -errno;
	path[n] = '\0';
	size_t tail = sizeof(deleted) - 1;
	if (path[0] == '/' && ((size_t)n < tail || strcmp(path + n - tail, deleted) != 0))
		return n;
	memcpy(path, deleted + 1, sizeof(deleted) - 1);
	return sizeof(deleted) - 2;
}

int holders_put_executable(int proc, pid_t pid, struct buf *paths)
{
	char exe[PROCESS_PATH_MAX], path[EXE_MAX];
	snprintf(exe, sizeof(exe), "%d/exe", pid);
	ssize_t n = read_exe(proc, exe, path);
	return n < 0 ? (int)n : buf_append(paths, path, (size_t)n + 1);
}

/* What the file behind an executable's path is to that path. -EAGAIN when something else is executed meanwhile. */
static int look_at_file(int proc, const char *exe, const char *path, enum pin *ret, int *ret_hash)
{
	char again[EXE_MAX];
	struct stat st;
	int r = 0;
	if (fstatat(proc, exe, &st, 0) < 0) {
		*ret = PIN_UNREADABLE;
		r = errno == ENOENT || errno == ESRCH ? -errno : 0;
	} else {
		r = pins_look(proc, exe, path, &st, ret, ret_hash);
	}
	if (r == 0 && (read_exe(proc, exe, again) < 0 || strcmp(again, path) != 0))
		r = -EAGAIN;
	return r;
}

/* Append a program of a holder's, in the shape of SANDBOX_ASKER. */
static int put_program(int proc, pid_t pid, struct buf *paths, int *ret_hash)
{
	static const char *const nobody[] = { [PIN_UNREADABLE] = "(unreadable)",
					      [PIN_TOO_LARGE] = "(too large)",
					      [PIN_NO_ROOM] = "(one program too many)" };
	static_assert(ELEMENTS(nobody) == PIN_COUNT, "all that prove nothing");
	char exe[PROCESS_PATH_MAX], path[EXE_MAX];
	enum pin pin = PIN_SAME;
	snprintf(exe, sizeof(exe), "%d/exe", pid);
	ssize_t n = read_exe(proc, exe, path);
	if (n < 0)
		return (int)n;
	int r = *path == '/' ? look_at_file(proc, exe, path, &pin, ret_hash) : 0;
	if (r < 0)
		return r;
	if (nobody[pin])
		return buf_append(paths, nobody[pin], strlen(nobody[pin]) + 1);
	if (pin == PIN_CHANGED && (r = buf_append(paths, SANDBOX_CHANGED, 1)) < 0)
		return r;
	return buf_append(paths, path, (size_t)n + 1);
}

/* Append one holder. -EAGAIN when it changed meanwhile, or has ended. */
static int put_holder(int proc, pid_t pid, const char *at, const char *link, struct buf *paths,
		      int *ret_hash)
{
	struct process holder, p, again;
	int r = read_process(proc, pid, &holder);
	if (r < 0)
		return -EAGAIN;
	if (buf_printf(paths, "%d", pid) < 0 || buf_append(paths, "", 1) < 0)
		return -E2BIG;
	r = put_program(proc, pid, paths, ret_hash);
	if (r < 0)
		return r == -ENOBUFS ? -E2BIG : r == -EINPROGRESS ? r : -EAGAIN;
	p = holder;
	for (unsigned i = 0; p.parent > 1; i++) {
		if (i == LIMIT_ANCESTORS)
			return -E2BIG;
		if (read_process(proc, p.parent, &p) < 0)
			return -EAGAIN; /* it ended, and its child has another parent now */
		r = put_program(proc, p.pid, paths, ret_hash);
		if (r == -ENOBUFS)
			return -E2BIG;
		if (r == -EAGAIN || r == -EINPROGRESS || r == -ENOMEM)
			return r;
		/* One without an executable (a zombie, the kernel's) is no live ancestor. */
	}
	if (buf_append(paths, "", 1) < 0)
		return -E2BIG;
	if (read_process(proc, pid, &again) < 0 || again.start != holder.start ||
	    again.parent != holder.parent || !still_holds(proc, pid, at, link))
		return -EAGAIN;
	return 0;
}

static int look(int proc, const char *link, struct buf *paths, pid_t *ret_hidden, int *ret_hash)
{
	_cleanup_folder_ struct folder processes;
	const char *name;
	unsigned n = 0;
	*ret_hidden = 0;
	int r = folder_open(&processes, proc, ".");
	if (r < 0)
		return r;
	while ((r = folder_next(&processes, &name)) > 0) {
		pid_t pid = number(name);
		if (pid <= 1)
			continue;
		char at[SEEN_MAX];
		r = holds(proc, pid, link, at);
		if (r < 0)
			return r;
		if (r == 0)
			continue;
		if (n++ == LIMIT_HOLDERS)
			return -E2BIG;
		r = put_holder(proc, pid, at, link, paths, ret_hash);
		if (r < 0)
			return r;
		if (!strstr(at, "/fd/"))
			*ret_hidden = pid;
	}
	return r < 0 ? r : n ? 0 : -ENOENT;
}

int holders_find(int proc, uint32_t inode, struct buf *paths, pid_t *ret_hidden, int *ret_hash)
{
	char link[32];
	int r = -EAGAIN;
	snprintf(link, sizeof(link), "socket:[%u]", inode);
	for (unsigned i = 0; i < LOOKS_MAX && r == -EAGAIN; i++) {
		buf_clear(paths);
		r = look(proc, link, paths, ret_hidden, ret_hash);
	}
	if (r < 0)
		buf_clear(paths);
	return r;
}
