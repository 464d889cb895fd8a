/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A folder copied into memory. It may be anybody's, and change meanwhile, and as root we may read everything: each entry
 * is opened as a name only, never over a symlink and never into what is mounted there, and looked at before its bytes
 * are; a device is never opened.
 */
#include "base/cleanup.h"
#include "base/fd.h"
#include "jail/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define ONLY_HERE (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV)

struct copy {
	uid_t uid;
	gid_t gid;
	char at[64]; /* the entry that failed */
};

/* from is a name only (O_PATH) of a regular file. */
static int copy_file(int from, const struct stat *st, int to_dir, const char *name,
		     const struct copy *c)
{
	char link[32];
	const struct timespec times[] = { st->st_atim, st->st_mtim };
	snprintf(link, sizeof(link), "/proc/self/fd/%d", from);
	/* Not to wait for whoever has a lease on it, which may be anybody. */
	_cleanup_close_ int in = open(link, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (in < 0)
		return -errno;
	_cleanup_close_ int out =
		openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (out < 0)
		return -errno;
	int r = fd_copy(in, out);
	if (r < 0)
		return r;
	return fchown(out, c->uid, c->gid) < 0 || fchmod(out, st->st_mode & 0777) < 0 ||
			       futimens(out, times) < 0
		       ? -errno
		       : 0;
}

static int copy_folder(int from, const struct stat *st, int to, struct copy *c, unsigned depth);

static int copy_subfolder(int from, const struct stat *st, int to_dir, const char *name,
			  struct copy *c, unsigned depth)
{
	if (mkdirat(to_dir, name, 0700) < 0)
		return -errno;
	_cleanup_close_ int to = openat(to_dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return to < 0 ? -errno : copy_folder(from, st, to, c, depth);
}

static int copy_entry(int from_dir, const char *name, int to_dir, struct copy *c, unsigned depth)
{
	struct stat st;
	_cleanup_close_ int from = fd_open(from_dir, name, O_PATH | O_NOFOLLOW, 0, ONLY_HERE);
	if (from == -ENOENT || from == -EXDEV)
		return 0; /* gone meanwhile, or something is mounted there */
	if (from < 0)
		return from;
	if (fstat(from, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return copy_subfolder(from, &st, to_dir, name, c, depth);
	if (S_ISREG(st.st_mode))
		return copy_file(from, &st, to_dir, name, c);
	if (!S_ISLNK(st.st_mode))
		return 0;
	int r = fd_copy_symlink(from, "", to_dir, name);
	if (r == 0 && fchownat(to_dir, name, c->uid, c->gid, AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	return r;
}

static int copy_folder(int from, const struct stat *st, int to, struct copy *c, unsigned depth)
{
	if (depth > LIMIT_JAIL_COPY_DEPTH)
		return -E2BIG;
	DIR *dir = fd_list(from, ".");
	if (!dir)
		return -errno;
	int r = 0;
	struct dirent *entry;
	while (r == 0 && (entry = readdir(dir))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		r = copy_entry(from, entry->d_name, to, c, depth + 1);
		if (r < 0 && !*c->at)
			snprintf(c->at, sizeof(c->at), "%.63s", entry->d_name);
	}
	closedir(dir);
	if (r == 0 && (fchown(to, c->uid, c->gid) < 0 || fchmod(to, st->st_mode & 0777) < 0))
		r = -errno;
	return r;
}

static int explain(const struct jail_mount *m, const struct copy *c, int r, struct error *e)
{
	if (r == -ENOSPC)
		return error_set(e, ENOSPC,
				 "%s is more than the %llu MiB that can be copied into memory for "
				 "a jail to write to; take less of it",
				 m->target, (unsigned long long)(m->size >> 20));
	if (r == -E2BIG)
		return error_set(e, E2BIG, "%s has more than %d folders below one another",
				 m->target, LIMIT_JAIL_COPY_DEPTH);
	return error_set(e, -r, "cannot copy %s into memory for a jail to write to: %s%s%s",
			 m->target, c->at, *c->at ? ": " : "", strerror(-r));
}

int copy_make(const struct jail_mount *m, uid_t uid, gid_t gid, int *ret_tree, struct error *e)
{
	struct copy c = { .uid = uid, .gid = gid };
	struct stat st;
	_cleanup_close_ int tree = -1;
	_cleanup_close_ int from = fd_open(m->fd, m->source + strspn(m->source, "/"),
					   O_PATH | O_DIRECTORY, 0, ONLY_HERE);
	int r = from < 0 ? from : fstat(from, &st) < 0 ? -errno : 0;
	if (r == 0)
		r = root_new_tmpfs(m->size, 0700, 0, uid, gid, &tree);
	_cleanup_close_ int to = r < 0 ? -1 : openat(tree, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r == 0)
		r = to < 0 ? -errno : copy_folder(from, &st, to, &c, 0);
	if (r < 0)
		return explain(m, &c, r, e);
	struct mount_attr a = { .attr_set = m->flags & JAIL_RO ? MOUNT_ATTR_RDONLY : 0 };
	if (mount_setattr(tree, "", AT_EMPTY_PATH, &a, sizeof(a)) < 0)
		return explain(m, &c, -errno, e);
	*ret_tree = TAKE_FD(tree);
	return 0;
}
