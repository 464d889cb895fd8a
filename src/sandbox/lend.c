/* SPDX-License-Identifier: Apache-2.0 */
/* Changes owners, down a tree. */
#include "sandbox/lend.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>

#define FOLDERS_OPEN 64 /* at once; deeper ones are opened again on the way back */

static struct {
	uid_t uid;
	gid_t gid;
} owner; /* nftw() takes no argument for its callback */

/* nftw() stands in the entry's folder. */
static int change_owner(const char *path, const struct stat *st, int type, struct FTW *at)
{
	const char *name = path + at->base;
	if (fchownat(AT_FDCWD, name, owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (S_ISREG(st->st_mode) && st->st_mode & (S_ISUID | S_ISGID))
		return chmod(name, st->st_mode & 0777) < 0 ? -errno : 0;
	return 0;
}

/* Nobody else is in there meanwhile: the sandbox does not stand yet, or has gone. */
static int change_owners(const char *folder, uid_t uid, gid_t gid)
{
	_cleanup_close_ int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (here < 0)
		return -errno;
	owner.uid = uid;
	owner.gid = gid;
	int r = nftw(folder, change_owner, FOLDERS_OPEN, FTW_PHYS | FTW_CHDIR);
	if (r == -1)
		r = -errno;
	return fchdir(here) < 0 && r == 0 ? -errno : r;
}

int lend_folder(const char *folder, const struct jail_ids *ids, bool *ret_lent, struct error *e)
{
	uid_t uid;
	gid_t gid;
	*ret_lent = !jail_can_idmap(folder, ids);
	if (!*ret_lent)
		return 0;
	int r = jail_host_ids(ids, &uid, &gid, e);
	if (r == 0 && (r = change_owners(folder, uid, gid)) < 0)
		error_set(e, -r, "%s cannot be given to the sandbox: %s", folder, strerror(-r));
	return r;
}

void lend_take_back(const char *folder)
{
	(void)change_owners(folder, geteuid(), getegid());
}
