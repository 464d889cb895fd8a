/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A jail's root. Sources are copied as detached trees first (as root: from the host's own mount
 * namespace, with the host's rights), then put below a tmpfs by descriptor, never by a path that
 * someone else can change. The inner mount namespace is a copy under another owner, so that the
 * kernel locks every mount and every flag in it; then it is made the root and the host's tree is
 * let go.
 */
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/limit.h"
#include "jail/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static const char *const device_names[ROOT_DEVICES] = { "null",	  "zero",    "full",
							"random", "urandom", "tty" };

/* ---- sources ---- */

/* The same file as fd, but seen from our own mount namespace (only mounts of one's own can be
 * copied). Its path comes from the kernel; that nothing was moved meanwhile is checked by device
 * and inode. */
static int reopen_here(int fd, int *ret)
{
	char link[32], path[PATH_MAX];
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return -errno;
	path[n] = '\0';
	_cleanup_close_ int here =
		fd_open(AT_FDCWD, path, O_PATH | O_NOFOLLOW, 0, RESOLVE_NO_SYMLINKS);
	if (here < 0)
		return here;
	struct stat a, b;
	if (fstat(fd, &a) < 0 || fstat(here, &b) < 0)
		return -errno;
	if (a.st_dev != b.st_dev || a.st_ino != b.st_ino)
		return -ESTALE;
	*ret = TAKE_FD(here);
	return 0;
}

static int open_source(const struct jail_mount *m, bool privileged, int *ret)
{
	if (m->flags & JAIL_FD) {
		if (!privileged)
			return reopen_here(m->fd, ret);
		int copy = fcntl(m->fd, F_DUPFD_CLOEXEC, 3);
		if (copy < 0)
			return -errno;
		*ret = copy;
		return 0;
	}
	uint64_t resolve = m->flags & JAIL_NO_SYMLINKS ? RESOLVE_NO_SYMLINKS : 0;
	int follow = m->flags & JAIL_FOLLOW ? 0 : O_NOFOLLOW;
	int fd = fd_open(AT_FDCWD, m->source, O_PATH | follow, 0, resolve);
	if (fd < 0)
		return fd;
	*ret = fd;
	return 0;
}

static int set_attributes(int tree, uint64_t set, unsigned recursive)
{
	struct mount_attr a = { .attr_set = set, .propagation = MS_PRIVATE };
	return mount_setattr(tree, "", AT_EMPTY_PATH | recursive, &a, sizeof(a)) < 0 ? -errno : 0;
}

/* Let the owner of the tree's root appear as the jail's own id. */
static int set_idmap(int tree, const struct stat *st, const struct id_plan *plan)
{
	_cleanup_close_ int ns = -1;
	if (st->st_uid == plan->host_uid && st->st_gid == plan->host_gid)
		return 0; /* is the jail's already */
	int r = ids_namespace(st->st_uid, plan->host_uid, st->st_gid, plan->host_gid, &ns);
	if (r < 0)
		return r;
	struct mount_attr a = { .attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)ns };
	return mount_setattr(tree, "", AT_EMPTY_PATH, &a, sizeof(a)) < 0 ? -errno : 0;
}

int root_open_tree(const struct jail_mount *m, const struct id_plan *plan, bool privileged,
		   int *ret_tree, mode_t *ret_type, struct error *e)
{
	const char *name = m->source ? m->source : "a descriptor";
	_cleanup_close_ int fd = -1;
	int r = open_source(m, privileged, &fd);
	struct stat st;
	if (r == 0 && fstat(fd, &st) < 0)
		r = -errno;
	if (r == 0 && S_ISLNK(st.st_mode))
		r = -ELOOP;
	if (r < 0)
		return error_set(e, -r, "cannot open %s for a jail's %s: %s", name, m->target,
				 strerror(-r));
	unsigned below = m->kind == JAIL_BASE ? 0 : AT_RECURSIVE;
	_cleanup_close_ int tree =
		open_tree(fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | below);
	if (tree < 0 && !below && errno == EINVAL)
		return error_set(e, EINVAL,
				 "something is mounted below %s, and only root may leave that out: "
				 "unmount it",
				 name);
	if (tree < 0)
		return error_set(e, errno,
				 "cannot copy the mount of %s (Linux 5.12 or newer is needed): %s",
				 name, strerror(errno));
	if (m->flags & JAIL_IDMAP && privileged) {
		r = set_idmap(tree, &st, plan);
		if (r < 0)
			return error_set(e, -r == EINVAL ? EOPNOTSUPP : -r,
					 "the file system of %s cannot be id-mapped (%s): as root, "
					 "give it to uid %u, or use another",
					 name, strerror(-r), (unsigned)plan->host_uid);
	}
	uint64_t set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
	set |= m->flags & JAIL_RO && !lacks("read-only") ? MOUNT_ATTR_RDONLY : 0;
	set |= m->flags & JAIL_NOEXEC ? MOUNT_ATTR_NOEXEC : 0;
	r = set_attributes(tree, set, AT_RECURSIVE);
	if (r < 0)
		return error_set(e, -r, "cannot restrict the mount of %s: %s", name, strerror(-r));
	*ret_tree = TAKE_FD(tree);
	*ret_type = st.st_mode & S_IFMT;
	return 0;
}

bool jail_can_idmap(const char *path, const struct jail_ids *ids)
{
	struct id_plan plan;
	struct stat st;
	_cleanup_close_ int tree = open_tree(
		AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);
	return geteuid() != 0 ||
	       (tree >= 0 && fstat(tree, &st) == 0 && ids_plan(ids, &plan, NULL) == 0 &&
		set_idmap(tree, &st, &plan) == 0);
}

static int open_devices(struct root *s, struct error *e)
{
	for (unsigned i = 0; i < ROOT_DEVICES; i++) {
		char path[32];
		snprintf(path, sizeof(path), "/dev/%s", device_names[i]);
		s->device[i] = open_tree(AT_FDCWD, path,
					 AT_SYMLINK_NOFOLLOW | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
		int r = s->device[i] < 0 ? -errno
					 : set_attributes(s->device[i],
							  MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, 0);
		if (r < 0)
			return error_set(e, -r, "cannot take %s into a jail: %s", path,
					 strerror(-r));
	}
	return 0;
}

static int open_copy(const struct jail_mount *m, const struct id_plan *plan, bool privileged,
		     struct root *ret, unsigned i, struct error *e)
{
	ret->type[i] = S_IFDIR;
	return copy_make(m, privileged ? plan->host_uid : plan->owner_uid,
			 privileged ? plan->host_gid : plan->owner_gid, &ret->tree[i], e);
}

int root_open_sources(const struct jail_spec *spec, const struct id_plan *plan, bool privileged,
		      struct root *ret, struct error *e)
{
	if (spec->n_mounts > ROOT_MOUNTS_MAX)
		return error_set(e, E2BIG, "more than %u mounts in a jail", ROOT_MOUNTS_MAX);
	for (unsigned i = 0; i < spec->n_mounts; i++) {
		const struct jail_mount *m = &spec->mounts[i];
		ret->tree[i] = -1;
		int r = 0;
		const struct jail_mount hosts = { JAIL_BIND, m->target, m->target };
		if (m->kind == JAIL_COPY)
			r = open_copy(m, plan, privileged, ret, i, e);
		else if (m->kind == JAIL_BIND || m->kind == JAIL_BASE)
			r = root_open_tree(m, plan, privileged, &ret->tree[i], &ret->type[i], e);
		else if (lacks("root") && !strcmp(m->target, "/tmp"))
			r = root_open_tree(&hosts, plan, privileged, &ret->tree[i], &ret->type[i],
					   e);
		else if (m->kind == JAIL_DEV)
			r = open_devices(ret, e);
		if (r == -ENOENT && m->flags & JAIL_OPTIONAL)
			continue;
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- targets ---- */

/* Folders and files are made on file systems that were made for this root, and on no other. */
static bool is_own(const struct root *root, int fd)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return false;
	for (unsigned i = 0; i < root->n_own; i++)
		if (root->own[i] == st.st_dev)
			return true;
	return false;
}

static int add_own(struct root *root, int fd)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (root->n_own == ELEMENTS(root->own))
		return -E2BIG;
	root->own[root->n_own++] = st.st_dev;
	return 0;
}

/* Open the folder that will hold target's last part, making what is missing; no symlink is
 * followed. */
static int open_parent(const struct root *root, const char *target, int *ret_fd,
		       char last[NAME_MAX + 1])
{
	if (target[0] != '/' || strlen(target) >= PATH_MAX)
		return -EINVAL;
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s", target + 1);
	_cleanup_close_ int dir = open(ROOT_STAGE, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	char *rest = path, *part;
	const char *previous = NULL;
	while ((part = strsep(&rest, "/"))) {
		if (!*part)
			continue;
		if (!strcmp(part, "..") || !strcmp(part, ".") || strlen(part) > NAME_MAX)
			return -EINVAL;
		if (previous) {
			if (is_own(root, dir) && mkdirat(dir, previous, 0755) < 0 &&
			    errno != EEXIST)
				return -errno;
			int next = openat(dir, previous,
					  O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			if (next < 0)
				return -errno;
			close(dir);
			dir = next;
		}
		previous = part;
	}
	if (!previous)
		return -EINVAL;
	snprintf(last, NAME_MAX + 1, "%s", previous);
	*ret_fd = TAKE_FD(dir);
	return 0;
}

/* Open target itself (O_PATH), made as a folder or an empty file when it is missing. */
static int open_target(const struct root *root, const char *target, bool folder, mode_t mode,
		       int *ret)
{
	char last[NAME_MAX + 1];
	_cleanup_close_ int dir = -1;
	int r = open_parent(root, target, &dir, last);
	if (r < 0)
		return r;
	if (is_own(root, dir)) {
		int made =
			folder ? mkdirat(dir, last, mode) : mknodat(dir, last, S_IFREG | mode, 0);
		if (made < 0 && errno != EEXIST)
			return -errno;
	}
	int fd = openat(dir, last, O_PATH | O_NOFOLLOW | O_CLOEXEC | (folder ? O_DIRECTORY : 0));
	if (fd < 0)
		return -errno;
	*ret = fd;
	return 0;
}

static int move_onto(int tree, int target)
{
	return move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) <
			       0
		       ? -errno
		       : 0;
}

int root_attach(const struct root *root, int tree, mode_t type, const char *target, struct error *e)
{
	_cleanup_close_ int at = -1;
	int r = open_target(root, target, S_ISDIR(type), S_ISDIR(type) ? 0755 : 0644, &at);
	if (r == 0)
		r = move_onto(tree, at);
	return r < 0 ? error_set(e, -r, "cannot put a mount at %s of a jail: %s", target,
				 strerror(-r))
		     : 0;
}

/* ---- file systems ---- */

struct option {
	const char *key;
	char value[32];
};

static int new_filesystem(const char *type, const struct option *options, unsigned n,
			  unsigned attributes, int *ret)
{
	_cleanup_close_ int fs = fsopen(type, FSOPEN_CLOEXEC);
	if (fs < 0)
		return -errno;
	for (unsigned i = 0; i < n; i++)
		if (fsconfig(fs, FSCONFIG_SET_STRING, options[i].key, options[i].value, 0) < 0)
			return -errno;
	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	int tree = fsmount(fs, FSMOUNT_CLOEXEC, attributes);
	if (tree < 0)
		return -errno;
	*ret = tree;
	return 0;
}

static void set_option(struct option *o, const char *key, const char *format, uint64_t value)
{
	o->key = key;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(o->value, sizeof(o->value), format, (unsigned long)value);
#pragma GCC diagnostic pop
}

int root_new_tmpfs(uint64_t size, mode_t mode, unsigned flags, uid_t uid, gid_t gid, int *ret_tree)
{
	struct option o[5];
	size = size ? size : LIMIT_JAIL_TMPFS_BYTES;
	uint64_t inodes = size / LIMIT_TMPFS_INODE_BYTES;
	set_option(&o[0], "size", "%lu", size);
	set_option(&o[1], "mode", "%lo", mode ? mode : 0755);
	set_option(&o[2], "uid", "%lu", uid);
	set_option(&o[3], "gid", "%lu", gid);
	set_option(&o[4], "nr_inodes", "%lu",
		   inodes > LIMIT_TMPFS_INODES_LEAST ? inodes : LIMIT_TMPFS_INODES_LEAST);
	unsigned attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
	attributes |= flags & JAIL_RO ? MOUNT_ATTR_RDONLY : 0;
	attributes |= flags & JAIL_NOEXEC ? MOUNT_ATTR_NOEXEC : 0;
	return new_filesystem("tmpfs", o, ELEMENTS(o), attributes, ret_tree);
}

static int add_tmpfs(struct root *root, const char *target, uint64_t size, mode_t mode,
		     unsigned flags, uid_t uid, gid_t gid, struct error *e)
{
	_cleanup_close_ int tree = -1;
	int r = root_new_tmpfs(size, mode, flags, uid, gid, &tree);
	if (r < 0)
		return error_set(e, -r, "cannot make a tmpfs for %s of a jail: %s", target,
				 strerror(-r));
	r = add_own(root, tree);
	if (r < 0)
		return error_set(e, -r, "too many file systems in a jail");
	return root_attach(root, tree, S_IFDIR, target, e);
}

int root_stage(struct root *root, struct error *e)
{
	char options[64];
	snprintf(options, sizeof(options), "size=%d,mode=755", LIMIT_JAIL_ROOT_BYTES);
	if (mount("tmpfs", ROOT_STAGE, "tmpfs", MS_NOSUID | MS_NODEV, options) < 0)
		return error_set(e, errno, "cannot mount a tmpfs in a new mount namespace: %s",
				 strerror(errno));
	_cleanup_close_ int stage = open(ROOT_STAGE, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return stage < 0 ? error_set(e, errno, "%s: %s", ROOT_STAGE, strerror(errno))
			 : add_own(root, stage);
}

static int add_symlink(const struct root *root, const char *target, const char *text)
{
	char last[NAME_MAX + 1];
	_cleanup_close_ int dir = -1;
	int r = open_parent(root, target, &dir, last);
	if (r < 0)
		return r;
	if (!is_own(root, dir))
		return -EROFS;
	return symlinkat(text, dir, last) < 0 ? -errno : 0;
}

static int add_file(const struct root *root, const char *target, const char *text, mode_t mode)
{
	char last[NAME_MAX + 1];
	_cleanup_close_ int dir = -1;
	int r = open_parent(root, target, &dir, last);
	if (r < 0)
		return r;
	if (!is_own(root, dir))
		return -EROFS;
	_cleanup_close_ int fd =
		openat(dir, last, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	size_t n = strlen(text);
	if (write(fd, text, n) != (ssize_t)n)
		return -EIO;
	return fchmod(fd, mode ? mode : 0644) < 0 ? -errno : 0;
}

static int add_devpts(const struct root *root, const struct jail_spec *spec, const char *target,
		      struct error *e)
{
	struct option o[4];
	set_option(&o[0], "ptmxmode", "%lo", 0666);
	set_option(&o[1], "mode", "%lo", 0620);
	set_option(&o[2], "max", "%lu",
		   LIMIT_JAIL_TERMINALS);   /* else the machine's are one's own */
	set_option(&o[3], "gid", "%lu", 5); /* tty, where that id exists */
	_cleanup_close_ int tree = -1;
	int r = new_filesystem("devpts", o, spec->ids.kind == JAIL_IDS_RANGE ? 4 : 3,
			       MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, &tree);
	if (r < 0)
		return error_set(e, -r, "cannot make a devpts for a jail: %s", strerror(-r));
	return root_attach(root, tree, S_IFDIR, target, e);
}

static int add_dev(const struct jail_spec *spec, const struct id_plan *plan, struct root *root,
		   const char *base, struct error *e)
{
	static const char *const links[][2] = { { "fd", "/proc/self/fd" },
						{ "stdin", "/proc/self/fd/0" },
						{ "stdout", "/proc/self/fd/1" },
						{ "stderr", "/proc/self/fd/2" },
						{ "ptmx", "pts/ptmx" } };
	char path[PATH_MAX];
	int r = 0;
	for (unsigned i = 0; r == 0 && i < ROOT_DEVICES; i++) {
		snprintf(path, sizeof(path), "%s/%s", base, device_names[i]);
		r = root_attach(root, root->device[i], S_IFCHR, path, e);
	}
	for (unsigned i = 0; r == 0 && i < ELEMENTS(links); i++) {
		snprintf(path, sizeof(path), "%s/%s", base, links[i][0]);
		r = add_symlink(root, path, links[i][1]);
		if (r < 0)
			return error_set(e, -r, "cannot make %s in a jail: %s", path, strerror(-r));
	}
	snprintf(path, sizeof(path), "%s/pts", base);
	if (r == 0)
		r = add_devpts(root, spec, path, e);
	snprintf(path, sizeof(path), "%s/shm", base);
	return r < 0 ? r
		     : add_tmpfs(root, path, LIMIT_JAIL_SHM_BYTES, 01777, JAIL_NOEXEC,
				 plan->owner_uid, plan->owner_gid, e);
}

static int add_plain(const struct root *root, const struct jail_mount *m)
{
	if (m->kind == JAIL_SYMLINK)
		return add_symlink(root, m->target, m->source);
	if (m->kind == JAIL_FILE)
		return add_file(root, m->target, m->source, m->mode);
	_cleanup_close_ int fd = -1;
	int r = open_target(root, m->target, true, m->mode ? m->mode : 0755, &fd);
	return r;
}

/* ---- a base ---- */

/* In our layer of a root that has two: what is no mount, and for each mount a place. */
static int add_place(const struct root *root, unsigned i, const struct jail_mount *m)
{
	bool is_mount =
		m->kind != JAIL_SYMLINK && m->kind != JAIL_FILE && m->kind != JAIL_DIRECTORY;
	bool folder = root->tree[i] < 0 || S_ISDIR(root->type[i]);
	_cleanup_close_ int fd = -1;
	if (!is_mount)
		return add_plain(root, m);
	if (m->kind == JAIL_BIND && root->tree[i] < 0)
		return 0; /* left out */
	return open_target(root, m->target, folder, folder ? 0755 : 0644, &fd);
}

/* Cover ROOT_STAGE with a detached tree. */
static int cover_stage(int tree)
{
	_cleanup_close_ int stage = open(ROOT_STAGE, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return stage < 0 ? -errno : move_onto(tree, stage);
}

/* Our layer above the base's, neither of which can be written: the kernel looks each name up in both, and follows no
 * symlink on the way. Mounts are no part of a layer: they come on top. */
static int stage_on_base(const struct jail_spec *spec, struct root *root, struct error *e)
{
	struct option layers;
	_cleanup_close_ int tree = -1;
	int r = cover_stage(root->tree[0]); /* the kernel takes layers of our own mounts only */
	if (r < 0)
		return error_set(e, -r, "cannot mount a jail's base: %s", strerror(-r));
	r = root_stage(root, e);
	for (unsigned i = 1; r == 0 && i < spec->n_mounts; i++)
		if ((r = add_place(root, i, &spec->mounts[i])) < 0)
			return error_set(e, -r, "cannot make %s in a jail: %s",
					 spec->mounts[i].target, strerror(-r));
	if (r < 0)
		return r;
	set_option(&layers, "lowerdir", ROOT_STAGE ":/proc/self/fd/%lu", (uint64_t)root->tree[0]);
	r = new_filesystem("overlay", &layers, 1, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, &tree);
	if (r == 0)
		r = cover_stage(tree);
	return r < 0 ? error_set(
			       e, r == -ENODEV ? EOPNOTSUPP : -r,
			       "cannot lay a jail's own files over its base (this takes overlayfs "
			       "in user namespaces, Linux 5.11): %s",
			       strerror(-r))
		     : 0;
}

/* Where the root takes no more files, /dev is a file system of its own, which takes none when it is complete. */
static int add_own_dev(const struct jail_spec *spec, const struct id_plan *plan, struct root *root,
		       const char *target, struct error *e)
{
	struct mount_attr a = { .attr_set = MOUNT_ATTR_RDONLY };
	_cleanup_close_ int tree = -1;
	int r = root_new_tmpfs(LIMIT_JAIL_ROOT_BYTES, 0755, 0, plan->builder_uid, plan->builder_gid,
			       &tree);
	if (r == 0)
		r = add_own(root, tree);
	if (r < 0)
		return error_set(e, -r, "cannot make %s of a jail: %s", target, strerror(-r));
	r = root_attach(root, tree, S_IFDIR, target, e);
	if (r == 0)
		r = add_dev(spec, plan, root, target, e);
	if (r == 0 && mount_setattr(tree, "", AT_EMPTY_PATH, &a, sizeof(a)) < 0)
		r = error_set(e, errno, "cannot restrict %s of a jail: %s", target,
			      strerror(errno));
	return r;
}

int root_assemble(const struct jail_spec *spec, const struct id_plan *plan, struct root *root,
		  struct error *e)
{
	bool based = spec->n_mounts && spec->mounts[0].kind == JAIL_BASE;
	int r = based ? stage_on_base(spec, root, e) : root_stage(root, e);
	for (unsigned i = based; r == 0 && i < spec->n_mounts; i++) {
		const struct jail_mount *m = &spec->mounts[i];
		if (based && (m->kind == JAIL_SYMLINK || m->kind == JAIL_FILE))
			continue; /* are there */
		if (m->kind == JAIL_COPY && (r = add_own(root, root->tree[i])) < 0)
			return error_set(e, -r, "too many file systems in a jail");
		if (root->tree[i] >= 0) { /* a bind or copy */
			r = root_attach(root, root->tree[i], root->type[i], m->target, e);
		} else if (m->kind == JAIL_TMPFS) {
			r = add_tmpfs(root, m->target, m->size, m->mode, m->flags, plan->owner_uid,
				      plan->owner_gid, e);
		} else if (m->kind == JAIL_DEV) {
			r = (based ? add_own_dev : add_dev)(spec, plan, root, m->target, e);
		} else if (m->kind != JAIL_BIND) {
			r = add_plain(root, m);
			if (r < 0)
				return error_set(e, -r, "cannot make %s in a jail: %s", m->target,
						 strerror(-r));
		}
	}
	return r;
}

/* ---- /proc ---- */

/* Keys belong to a user's id, whatever the namespace: a jail of an ordinary user's would be told of
 * that user's own. */
static const char *const hidden_in_proc[] = { "keys", "key-users" };

static int hide(const char *target, const char *name)
{
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s%s/%s", ROOT_STAGE, target, name);
	_cleanup_close_ int at = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (at < 0)
		return errno == ENOENT ? 0 : -errno;
	_cleanup_close_ int null =
		open_tree(AT_FDCWD, "/dev/null", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (null < 0)
		return -errno;
	int r = set_attributes(
		null, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
		0);
	return r < 0 ? r : move_onto(null, at);
}

static int new_proc(int *ret, struct error *e)
{
	int r = new_filesystem("proc", NULL, 0,
			       MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, ret);
	return r < 0 ? error_set(e, -r,
				 "cannot mount /proc in a jail (is parts of the host's /proc "
				 "hidden, as in a container?): %s",
				 strerror(-r))
		     : 0;
}

#ifdef JAIL_WEAK
static int hosts_proc(int *ret)
{
	*ret = open_tree(AT_FDCWD, "/proc", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
	return *ret < 0 ? -errno : 0;
}
#else
#define hosts_proc(ret) 0
#endif

int root_mount_proc(const struct jail_spec *spec, const struct root *root, int *ret_private,
		    struct error *e)
{
	for (unsigned i = 0; i < spec->n_mounts; i++) {
		const char *target = spec->mounts[i].target;
		if (spec->mounts[i].kind != JAIL_PROC)
			continue;
		_cleanup_close_ int tree = -1;
		_cleanup_close_ int private = -1;
		int r = new_proc(&private, e);
		if (r == 0)
			r = lacks("proc") ? hosts_proc(&tree) : new_proc(&tree, e);
		if (r == 0)
			r = root_attach(root, tree, S_IFDIR, target, e);
		for (size_t n = 0; r == 0 && n < ELEMENTS(hidden_in_proc); n++)
			if ((r = hide(target, hidden_in_proc[n])) < 0)
				error_set(e, -r, "cannot hide %s of a jail's /proc: %s",
					  hidden_in_proc[n], strerror(-r));
		if (r < 0)
			return r;
		*ret_private = TAKE_FD(private);
	}
	return 0;
}

/* ---- inside ---- */

int root_enter(bool writable, struct error *e)
{
	/* A mount that came with the copy is locked and cannot become the root; a bind of it can,
	 * and what is below it stays locked. */
	if (mount(ROOT_STAGE, ROOT_STAGE, NULL, MS_BIND | MS_REC, NULL) < 0 ||
	    chdir(ROOT_STAGE) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
	    umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return error_set(e, errno, "cannot change a jail's root: %s", strerror(errno));
	struct mount_attr a = { .attr_set = writable ? 0 : MOUNT_ATTR_RDONLY };
	if (mount_setattr(AT_FDCWD, "/", 0, &a, sizeof(a)) < 0)
		return error_set(e, errno, "cannot make a jail's root read-only: %s",
				 strerror(errno));
	return 0;
}
