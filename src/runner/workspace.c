/* SPDX-License-Identifier: Apache-2.0 */
/* Copies host_files into the workspace. */
#include "runner/workspace.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/limit.h"
#include "runner/expand.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

/* What one entry of host_files needs all the way down. */
struct copy {
	const char *const *environment; /* NULL without expand */
	const char *why;		/* what errno does not say, or NULL */
	char missing[256];		/* the variable that is not set, or "" */
};

static int copy_expanded(int from, int to, struct copy *c)
{
	_cleanup_free_ char *text = NULL, *expanded = NULL;
	size_t n;
	int r = fd_read_file(from, LIMIT_EXPAND_BYTES, &text, &n);
	if (r == -EFBIG)
		c->why = "too large for expand, whose limit is 1 MiB";
	if (r == 0 && memchr(text, '\0', n)) {
		c->why = "expand is for text, and this file holds a NUL";
		r = -EINVAL;
	}
	if (r < 0)
		return r;
	r = expand(text, c->environment, 2 * LIMIT_EXPAND_BYTES, &expanded, c->missing,
		   sizeof(c->missing));
	if (r == -EINVAL)
		c->why = "'${' must be followed by a variable's name and '}'";
	/* Not -ENOENT, which `optional` forgives. */
	return r < 0 ? -EINVAL : fd_write_full(to, expanded, strlen(expanded));
}

static int copy_file(int from, int dirfd, const char *name, const struct stat *st, struct copy *c)
{
	_cleanup_close_ int to =
		openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
		       (st->st_mode & 0777) | 0600);
	if (to < 0)
		return -errno;
	if (c->environment)
		return copy_expanded(from, to, c);
	return fd_copy(from, to);
}

/* A folder in dirfd, made when it is not there; a descriptor or -errno. A symlink is not followed. */
static int enter_folder(int dirfd, const char *name)
{
	if (mkdirat(dirfd, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int copy_any(int from_dir, const char *from, int dirfd, const char *name, struct copy *c,
		    unsigned depth);

static int copy_folder(int fd, int dirfd, const char *name, struct copy *c, unsigned depth)
{
	if (depth > LIMIT_HOST_FILES_DEPTH) {
		c->why = "too many folders below one another";
		return -EINVAL;
	}
	_cleanup_close_ int to = enter_folder(dirfd, name);
	if (to < 0)
		return to;
	DIR *dir = fd_list(fd, ".");
	if (!dir)
		return -errno;
	int r = 0;
	struct dirent *entry;
	while (r == 0 && (entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			r = copy_any(fd, entry->d_name, to, entry->d_name, c, depth + 1);
	closedir(dir);
	return r;
}

/* Copy what from names in from_dir to name in dirfd; at depth 0 it is the operator's own path, which
 * may be a symlink. */
static int copy_any(int from_dir, const char *from, int dirfd, const char *name, struct copy *c,
		    unsigned depth)
{
	struct stat st;
	if (fstatat(from_dir, from, &st, depth ? AT_SYMLINK_NOFOLLOW : 0) < 0)
		return -errno;
	if (S_ISLNK(st.st_mode))
		return fd_copy_symlink(from_dir, from, dirfd, name);
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) {
		c->why = "neither a file nor a folder";
		return -EINVAL;
	}
	_cleanup_close_ int fd =
		openat(from_dir, from, O_RDONLY | O_CLOEXEC | (depth ? O_NOFOLLOW : 0));
	if (fd < 0)
		return -errno;
	return S_ISREG(st.st_mode) ? copy_file(fd, dirfd, name, &st, c)
				   : copy_folder(fd, dirfd, name, c, depth);
}

/* The folder that dest's last part goes to, made on the way; *ret_name is that part. dest is cut up. */
static int enter_parent(const char *workspace, char *dest, const char **ret_name)
{
	int dirfd = open(workspace, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char *save = NULL, *part = strtok_r(dest, "/", &save);
	if (dirfd < 0)
		return -errno;
	for (char *next; part && (next = strtok_r(NULL, "/", &save)); part = next) {
		int below = enter_folder(dirfd, part);
		close(dirfd);
		if (below < 0)
			return below;
		dirfd = below;
	}
	*ret_name = part ? part : ".";
	return dirfd;
}

int workspace_copy(const char *workspace, const struct harness_file *f, const char *dest,
		   const char *const *environment, struct error *e)
{
	struct copy c = { .environment = f->expand ? environment : NULL };
	_cleanup_free_ char *parts = strdup(dest);
	const char *name = NULL;
	if (!parts)
		return error_set(e, ENOMEM, "out of memory");
	_cleanup_close_ int dirfd = enter_parent(workspace, parts, &name);
	if (dirfd < 0)
		return error_at(e, -dirfd, f->place.line, f->place.column,
				"cannot make the folder for %s in the sandbox: %s", dest,
				strerror(-dirfd));
	int r = copy_any(AT_FDCWD, f->src, dirfd, name, &c, 0);
	if (r == 0 || (r == -ENOENT && f->optional))
		return 0;
	if (*c.missing)
		return error_at(
			e, EINVAL, f->place.line, f->place.column,
			"${%s} in %s is not set in the environment; set it or remove it there",
			c.missing, f->src);
	return error_at(e, -r, f->place.line, f->place.column, "cannot copy %s to the sandbox: %s",
			f->src, c.why ? c.why : strerror(-r));
}
