/* SPDX-License-Identifier: Apache-2.0 */
/* Makes and removes folders of the jail's ids. */
#include "worker/scratch.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "jail/jail.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

static const struct jail_ids range = { .kind = JAIL_IDS_RANGE };

static int open_folder(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int make(int dirfd, const char *name, bool fresh, int *ret_fd, struct error *e)
{
	uid_t uid;
	gid_t gid;
	int r = jail_host_ids(&range, &uid, &gid, e);
	if (r < 0)
		return r;
	if (mkdirat(dirfd, name, 0700) < 0 && (fresh || errno != EEXIST))
		return error_set(e, errno, "cannot make the folder %s: %s", name, strerror(errno));
	_cleanup_close_ int fd = open_folder(dirfd, name);
	if (fd < 0)
		return error_set(e, -fd, "cannot open the folder %s: %s", name, strerror(-fd));
	if (geteuid() == 0 && fchown(fd, uid, gid) < 0)
		return error_set(e, errno, "cannot give the folder %s to the jail: %s", name,
				 strerror(errno));
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int scratch_make(int dirfd, const char *name, int *ret_fd, struct error *e)
{
	int r = scratch_remove(dirfd, name, e);
	return r < 0 ? r : make(dirfd, name, true, ret_fd, e);
}

int scratch_keep(int dirfd, const char *name, int *ret_fd, struct error *e)
{
	return make(dirfd, name, false, ret_fd, e);
}

/* ---- in the jail: empty a folder, however deep what is in it ---- */

#define REMOVE_DEPTH                                                                               \
	64 /* folders; what lies deeper is moved up first, so that descriptors suffice */

static unsigned moved;

/* Remove what is below dirfd (which is closed). The number of entries that could not be. */
static int empty_folder(int top, int dirfd, unsigned depth)
{
	DIR *dir = fdopendir(dirfd);
	if (!dir) {
		close(dirfd);
		return 1;
	}
	int failed = 0;
	struct dirent *entry;
	while ((entry = readdir(dir))) {
		const char *name = entry->d_name;
		if (!strcmp(name, ".") || !strcmp(name, "..") || unlinkat(dirfd, name, 0) == 0)
			continue;
		if (unlinkat(dirfd, name, AT_REMOVEDIR) == 0)
			continue;
		if (depth == REMOVE_DEPTH) {
			char away[32];
			snprintf(away, sizeof(away), ".postern-deep-%u", moved++);
			failed += renameat(dirfd, name, top, away) < 0;
			continue;
		}
		int below = open_folder(dirfd, name);
		failed += below < 0 || empty_folder(top, below, depth + 1) > 0 ||
			  unlinkat(dirfd, name, AT_REMOVEDIR) < 0;
	}
	closedir(dir);
	return failed;
}

static int empty(void *arg)
{
	int top = open_folder(AT_FDCWD, "/scratch");
	unsigned before;
	int failed;
	do { /* once more for what was moved up */
		before = moved;
		int list = open_folder(top, ".");
		failed = list < 0 ? 1 : empty_folder(top, list, 0);
	} while (moved != before);
	return failed != 0;
}

int scratch_remove(int dirfd, const char *name, struct error *e)
{
	if (unlinkat(dirfd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	_cleanup_close_ int fd = open_folder(dirfd, name);
	if (fd < 0)
		return error_set(e, -fd, "cannot open the folder %s: %s", name, strerror(-fd));
	uid_t uid;
	gid_t gid;
	int r = jail_host_ids(&range, &uid, &gid, e);
	if (r == 0 && geteuid() == 0 && fchown(fd, uid, gid) < 0)
		r = error_set(e, errno, "cannot give the folder %s to the jail: %s", name,
			      strerror(errno));
	if (r < 0)
		return r;
	const struct jail_mount mounts[] = {
		{ JAIL_BIND, "/scratch", .flags = JAIL_FD, .fd = fd },
	};
	const struct jail_spec spec = { .ids = range,
					.mounts = mounts,
					.n_mounts = ELEMENTS(mounts) };
	_cleanup_jail_ struct jail j = JAIL_INIT;
	struct jail_end end;
	r = jail_start(&spec, empty, NULL, &j, e);
	if (r == 0)
		r = jail_wait(&j, &end);
	if (r < 0)
		return r;
	if (unlinkat(dirfd, name, AT_REMOVEDIR) < 0)
		return error_set(e, errno, "cannot remove the folder %s: %s", name,
				 strerror(errno));
	return 0;
}
