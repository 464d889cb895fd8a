/* SPDX-License-Identifier: Apache-2.0 */
/* Adds up folders from inside a jail. */
#include "worker/meter.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/limit.h"
#include "worker/linked.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#define PERIOD_MS 500
#define UNCOUNTED UINT64_MAX /* sent in place of a figure */

struct tally {
	uint64_t sum;
	struct linked_files linked;
	bool uncounted;
};

/* Bytes that a folder's files take on the disk. */
static void add_up(struct tally *t, int at, const char *name, unsigned depth)
{
	DIR *dir = depth > LIMIT_BUILD_DEPTH ? (errno = EMFILE, NULL) : fd_list(at, name);
	if (!dir) {
		/* What is there but cannot be read may hold anything. */
		if (errno != ENOENT && errno != ENOTDIR && errno != ELOOP)
			t->uncounted = true;
		return;
	}
	int fd = dirfd(dir);
	struct dirent *entry;
	while (!t->uncounted && (entry = readdir(dir))) {
		struct stat st;
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") ||
		    fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (S_ISDIR(st.st_mode) || st.st_nlink < 2 ||
		    linked_files_is_first(&t->linked, st.st_dev, st.st_ino))
			t->sum += (uint64_t)st.st_blocks * 512;
		if (S_ISDIR(st.st_mode))
			add_up(t, fd, entry->d_name, depth + 1);
	}
	closedir(dir);
}

/* In the jail. Ends with its parent, or when nobody reads. */
static int measure(void *arg)
{
	int to = *(int *)arg;
	const struct timespec period = { .tv_nsec = PERIOD_MS * 1000000L };
	for (;;) {
		struct tally t = { 0 };
		add_up(&t, AT_FDCWD, "/work", 0);
		linked_files_done(&t.linked);
		uint64_t sum = t.uncounted ? UNCOUNTED : t.sum;
		if (fd_write_full(to, &sum, sizeof(sum)) < 0)
			return 0;
		nanosleep(&period, NULL);
	}
}

int meter_start(struct meter *m, int work_fd, struct error *e)
{
	int pair[2];
	if (pipe2(pair, O_CLOEXEC) < 0)
		return error_set(e, errno, "pipe: %s", strerror(errno));
	_cleanup_close_ int to = pair[1];
	_cleanup_close_ int from = pair[0];
	const struct jail_mount mounts[] = {
		{ JAIL_BIND, "/work", .flags = JAIL_FD | JAIL_RO, .fd = work_fd },
	};
	/* A descriptor per folder on the way down. */
	const struct jail_rlimit files = { RLIMIT_NOFILE, LIMIT_BUILD_DEPTH + 64 };
	const struct jail_spec spec = { .ids = { .kind = JAIL_IDS_RANGE },
					.mounts = mounts,
					.n_mounts = ELEMENTS(mounts),
					.limits = &files,
					.n_limits = 1,
					.keep_fds = &to,
					.n_keep_fds = 1 };
	int r = jail_start(&spec, measure, &to, &m->jail, e);
	if (r < 0)
		return r;
	m->from = TAKE_FD(from);
	return 0;
}

int meter_read(struct meter *m, uint64_t *ret_bytes)
{
	uint64_t sum;
	ssize_t n = fd_read_full(m->from, &sum, sizeof(sum));
	if (n != sizeof(sum))
		return n < 0 ? (int)n : -EPIPE;
	if (sum == UNCOUNTED)
		return -E2BIG;
	*ret_bytes = sum;
	return 0;
}

void meter_done(struct meter *m)
{
	jail_done(&m->jail);
	if (m->from >= 0)
		close(TAKE_FD(m->from));
}

int meter_once(int work_fd, uint64_t *ret_bytes, struct error *e)
{
	struct meter m = METER_INIT;
	int r = meter_start(&m, work_fd, e);
	if (r < 0)
		return r;
	r = meter_read(&m, ret_bytes);
	meter_done(&m);
	if (r == -E2BIG)
		return error_set(e, E2BIG, METER_TOO_DEEP, LIMIT_BUILD_DEPTH);
	return r < 0 ? error_set(e, -r, "what the build stores cannot be measured: %s",
				 strerror(-r))
		     : 0;
}
