/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Confining one of our own processes. Stages, in an order in which each still has the rights it
 * needs: sources:    what stays visible is copied (as root with the host's rights). namespaces: ids
 * are changed, namespaces made. Mustn't keep supplementary groups. root:       an empty tmpfs with
 * the sources becomes the root. rights:     limits, Landlock, capabilities, dumpable, the filter.
 * Mustn't be left early.
 */
#include "jail/confine.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "jail/filter.h"
#include "jail/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#define INSIDE_ID 65534 /* how a service sees itself */

static int open_binds(const struct jail_confine *c, bool privileged, struct root *root,
		      struct error *e)
{
	static const struct id_plan no_plan; /* id maps are for jails */
	for (unsigned i = 0; i < c->n_binds; i++) {
		const struct jail_confine_bind *b = &c->binds[i];
		struct jail_mount m = { .kind = JAIL_BIND, .target = b->name, .source = b->path };
		m.flags = JAIL_NOEXEC | (b->write ? 0 : JAIL_RO) | (b->path ? 0 : JAIL_FD);
		m.fd = b->fd;
		int r = root_open_tree(&m, &no_plan, privileged, &root->tree[i], &root->type[i], e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* As root: an id that owns nothing on this host. */
static int leave_root(struct error *e)
{
	uid_t uid;
	gid_t gid;
	ids_service(&uid, &gid);
	if (setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return error_set(e, errno, "cannot leave uid 0: %s", strerror(errno));
	return 0;
}

/* The one id that a namespace with one id has. */
static int only_id(const char *map, unsigned *ret)
{
	_cleanup_free_ char *text = NULL;
	size_t n;
	int r = file_read(map, 4096, &text, &n);
	if (r < 0)
		return r;
	*ret = (unsigned)strtoul(text, NULL, 10);
	return n ? 0 : -EINVAL;
}

static int join(const struct jail_confine *c, struct error *e)
{
	unsigned uid, gid;
	int r = setns(c->join_user, CLONE_NEWUSER) < 0 ? -errno : 0;
	if (r == 0)
		r = only_id("/proc/self/uid_map", &uid);
	if (r == 0)
		r = only_id("/proc/self/gid_map", &gid);
	if (r == 0 && (setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0))
		r = -errno;
	return r < 0 ? error_set(e, -r, "cannot join a jail's user namespace: %s", strerror(-r))
		     : 0;
}

static int make_namespaces(const struct jail_confine *c, bool privileged, struct error *e)
{
	int flags = CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
	flags |= c->keep_root ? 0 : CLONE_NEWNS;
	flags |= c->keep_network ? 0 : CLONE_NEWNET;
	flags |= c->join_user ? 0 : CLONE_NEWUSER;
	if (privileged && setgroups(0, NULL) < 0)
		return error_set(e, errno, "setgroups: %s", strerror(errno));
	int r = 0;
	if (c->join_user)
		r = join(c, e);
	else if (privileged && !c->keep_user_id)
		r = leave_root(e);
	if (r < 0)
		return r;
	uid_t uid = geteuid();
	gid_t gid = getegid();
	/* Our own id maps have to be ours to write. */
	if (prctl(PR_SET_DUMPABLE, 1) < 0)
		return error_set(e, errno, "prctl: %s", strerror(errno));
	if (unshare(flags) < 0)
		return error_set(
			e, errno,
			"cannot make namespaces for a service (see user.max_user_namespaces): %s",
			strerror(errno));
	if (c->join_user)
		return 0;
	struct id_map uids = { .extent = { { INSIDE_ID, uid, 1 } }, .n = 1 };
	struct id_map gids = { .extent = { { INSIDE_ID, gid, 1 } }, .n = 1 };
	return ids_write(getpid(), &uids, &gids, true, e);
}

static int make_root(const struct jail_confine *c, bool privileged, struct root *root,
		     struct error *e)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return error_set(e, errno, "cannot make mounts private: %s", strerror(errno));
	int r = privileged ? 0 : open_binds(c, false, root, e);
	if (r == 0)
		r = root_stage(root, e);
	for (unsigned i = 0; r == 0 && i < c->n_binds; i++) {
		char target[64];
		snprintf(target, sizeof(target), "/%.60s", c->binds[i].name);
		r = root_attach(root, root->tree[i], root->type[i], target, e);
		close(TAKE_FD(root->tree[i]));
	}
	return r < 0 ? r : root_enter(false, e);
}

static int give_up_rights(const struct jail_confine *c, struct error *e)
{
	int r = rlimit_set(NULL, 0, e);
	if (r == 0 && c->landlock)
		r = jail_landlock_apply(c->landlock, e);
	if (r < 0)
		return r;
	r = caps_keep(c->join_user ? c->keep_capabilities : 0);
	if (r < 0)
		return error_set(e, -r, "cannot give up capabilities: %s", strerror(-r));
	if (prctl(PR_SET_DUMPABLE, 0) < 0)
		return error_set(e, errno, "prctl: %s", strerror(errno));
	return c->syscalls ? jail_seccomp_allow(c->syscalls, c->kill, e) : 0;
}

int jail_confine_self(const struct jail_confine *c, struct error *e)
{
	bool privileged = geteuid() == 0;
	struct root root = { 0 };
	pid_t parent = getppid();
	int r = 0, death = 0;
	if (c->n_binds > ROOT_MOUNTS_MAX)
		return error_set(e, E2BIG, "too many folders for a confined service");
	if (prctl(PR_GET_PDEATHSIG, &death) < 0)
		return error_set(e, errno, "prctl: %s", strerror(errno));
	if (privileged && !c->keep_root)
		r = open_binds(c, true, &root, e);
	if (r == 0)
		r = make_namespaces(c, privileged, e);
	if (r == 0 && !c->keep_root)
		r = make_root(c, privileged, &root, e);
	if (r < 0)
		return r;
	/* Changed ids have cleared it. */
	if (death && (prctl(PR_SET_PDEATHSIG, death) < 0 || getppid() != parent))
		return error_set(e, EOWNERDEAD, "the parent ended meanwhile");
	return give_up_rights(c, e);
}
