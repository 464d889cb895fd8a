/* SPDX-License-Identifier: Apache-2.0 */
/* Takes, locks and removes state directories. */
#include "keeper/state_dir.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/limit.h"
#include "base/spawn.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* keeper makes its database before anything else, so a folder without one holds nothing of ours. */
static int check_content(const char *path, int fd, struct error *e)
{
	if (faccessat(fd, "postern.db", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	DIR *dir = fd_list(fd, ".");
	if (!dir)
		return error_set(e, errno, "the state directory %s cannot be read: %s", path,
				 strerror(errno));
	int r = 0;
	struct dirent *entry;
	while (r == 0 && (entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			r = error_set(
				e, ENOTEMPTY,
				"the folder %s is not empty and not a state directory (it has "
				"'%.40s' and no postern.db); name a new or an empty one",
				path, entry->d_name);
	closedir(dir);
	return r;
}

static int check_owner(const char *path, int fd, struct error *e)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return error_set(e, errno, "the state directory %s: %s", path, strerror(errno));
	if (st.st_uid != geteuid())
		return error_set(
			e, EPERM,
			"the state directory %s belongs to uid %u, not to us (uid %u); name "
			"one of your own",
			path, (unsigned)st.st_uid, (unsigned)geteuid());
	if (st.st_mode & 077)
		return error_set(
			e, EACCES,
			"others can enter the state directory %s (mode %04o); `chmod 700` it, "
			"or name a new one",
			path, (unsigned)st.st_mode & 07777);
	return 0;
}

/* The processes of a server that was just killed take a moment to be gone, and hold the lock so long. */
static int lock(const char *path, int fd, struct error *e)
{
	uint64_t end = clock_monotonic_ms() + LIMIT_TAKE_OVER_MS;
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return error_set(e, errno, "the state directory %s cannot be locked: %s",
					 path, strerror(errno));
		if (clock_monotonic_ms() >= end)
			return error_set(
				e, EBUSY,
				"another server uses the state directory %s; end it, or give "
				"each its own",
				path);
		poll(NULL, 0, 20);
	}
	return 0;
}

int state_dir_open(const char *path, int *ret_fd, struct error *e)
{
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return error_set(e, errno, "the state directory %s cannot be made: %s", path,
				 strerror(errno));
	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_set(e, errno, "the state directory %s cannot be opened: %s", path,
				 strerror(errno));
	int r = check_owner(path, fd, e);
	if (r == 0 && faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) < 0)
		r = error_set(e, errno,
			      "the state directory %s cannot be written: %s; name one that can",
			      path, strerror(errno));
	if (r == 0)
		r = lock(path, fd, e);
	if (r == 0)
		r = check_content(path, fd, e);
	if (r == 0)
		*ret_fd = TAKE_FD(fd);
	return r;
}

int state_dir_make_temporary(char *ret, size_t size, int *ret_fd, struct error *e)
{
	const char *tmp = getenv("TMPDIR");
	int n = snprintf(ret, size, "%s/postern-XXXXXX", tmp && *tmp == '/' ? tmp : "/tmp");
	if (n < 0 || (size_t)n >= size)
		return error_set(e, ENAMETOOLONG, "TMPDIR is too long");
	if (!mkdtemp(ret)) {
		int r = error_set(e, errno, "no temporary state directory %s: %s", ret,
				  strerror(errno));
		*ret = '\0';
		return r;
	}
	return state_dir_open(ret, ret_fd, e);
}

int state_dir_remove(const char *path)
{
	const char *const argv[] = { "postern-worker", "--clean", path, NULL };
	const struct spawn s = {
		.program = "postern-worker", .argv = argv, .in = -1, .out = -1, .err = -1
	};
	pid_t pid;
	int pidfd, status = 0;
	/* What lies in it may belong to the jail's ids: then a jail removes it. */
	int r = remove_tree_at(AT_FDCWD, path);
	if (r == 0)
		return 0;
	r = spawn_start(&s, &pid, &pidfd);
	if (r < 0)
		return r;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	close(pidfd);
	return status == 0 ? 0 : -EIO;
}
