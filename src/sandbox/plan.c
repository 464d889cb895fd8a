/* SPDX-License-Identifier: Apache-2.0 */
/* From a policy to mounts and Landlock rules. */
#include "sandbox/plan.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/limit.h"
#include "sandbox/resolve.h"
#include "sandbox/trust.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>

#define DEFAULT_ID   1000
#define DEFAULT_USER "sandbox"
#define TRUST_BYTES                                                                                \
	(LIMIT_CA_BUNDLE_BYTES + 1024 * 1024) /* of the sandbox's lists of authorities */

/* What OpenShell adds when there is any network policy. */
static const char *const network_read_only[] = { "/usr",     "/lib",  "/etc",
						 "/var/log", "/proc", "/dev/urandom" };

/* The host's files that programs read from /etc, none of which is anybody's secret. Everything else
 * there stays out, whatever the policy lists as /etc: in OpenShell that is an image's, here it would
 * be the host's. */
static const char *const etc_files[] = {
	"/etc/alternatives",   "/etc/bash.bashrc", "/etc/ca-certificates",
	"/etc/debian_version", "/etc/ld.so.cache", "/etc/ld.so.conf",
	"/etc/ld.so.conf.d",   "/etc/localtime",   "/etc/mime.types",
	"/etc/os-release",     "/etc/perl",	   "/etc/profile",
	"/etc/protocols",      "/etc/python3",	   "/etc/services",
	"/etc/shells",	       "/etc/ssl/certs",   "/etc/ssl/openssl.cnf",
	"/etc/terminfo",       "/etc/timezone",
};

/* In an image these are the image's own and mostly empty; here they are made empty. */
static const char *const own_folders[] = { "/run", "/sys", "/var/log", "/var/run", "/var/tmp" };

/* What every sandbox has of its own, whatever the policy says. */
static const char *const always[] = { "/proc", "/dev", "/tmp", SANDBOX_WORKDIR };

/* What a root file system holds here is of another machine's life. */
static const char *const runtime_folders[] = { "/run", "/var/run", "/var/tmp" };

static bool is_below(const char *path, const char *folder)
{
	size_t n = strlen(folder);
	return !strncmp(path, folder, n) && (path[n] == '/' || path[n] == '\0');
}

static int add_mount(struct sandbox_plan *plan, struct jail_mount m, struct error *e)
{
	for (unsigned i = 0; i < plan->n_mounts; i++)
		if (!strcmp(plan->mounts[i].target, m.target))
			return 0;
	if (plan->n_mounts == PLAN_MOUNTS_MAX)
		return error_set(e, E2BIG, "the policy lists more paths than a sandbox can have");
	plan->mounts[plan->n_mounts++] = m;
	return 0;
}

static int add_rule(struct sandbox_plan *plan, const char *path, bool write, struct error *e)
{
	if (plan->n_rules == PLAN_RULES_MAX)
		return error_set(e, E2BIG, "the policy lists more paths than a sandbox can have");
	plan->rules[plan->n_rules++] = (struct jail_landlock_rule){
		.path = path, .fd = -1, .write = write, .optional = true
	};
	return 0;
}

/* /bin, /lib and their like: symlinks into /usr where the host is merged, else the host's folders. */
static int add_system(struct sandbox_plan *plan, struct error *e)
{
	static const char *const names[] = {
		"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"
	};
	int r = add_mount(
		plan,
		(struct jail_mount){
			.kind = JAIL_BIND, .target = "/usr", .source = "/usr", .flags = JAIL_RO },
		e);
	for (unsigned i = 0; r == 0 && i < ELEMENTS(names); i++) {
		struct stat st;
		if (lstat(names[i], &st) < 0)
			continue;
		struct jail_mount m = {
			.kind = JAIL_BIND, .target = names[i], .source = names[i], .flags = JAIL_RO
		};
		if (S_ISLNK(st.st_mode)) {
			ssize_t n = readlink(names[i], plan->link[i], sizeof(plan->link[i]) - 1);
			if (n < 0)
				continue;
			plan->link[i][n] = '\0';
			m = (struct jail_mount){ .kind = JAIL_SYMLINK,
						 .target = names[i],
						 .source = plan->link[i] };
		}
		r = add_mount(plan, m, e);
	}
	return r;
}

/* The same with any root. */
static int add_own_etc(struct sandbox_plan *plan, struct error *e)
{
	static const char nsswitch[] = "passwd: files\ngroup: files\nhosts: files\n";
	const struct jail_mount made[] = {
		{ .kind = JAIL_FILE, .target = "/etc/passwd", .source = plan->passwd },
		{ .kind = JAIL_FILE, .target = "/etc/group", .source = plan->group },
		{ .kind = JAIL_FILE, .target = "/etc/hosts", .source = plan->hosts },
		{ .kind = JAIL_FILE, .target = "/etc/nsswitch.conf", .source = nsswitch },
		{ .kind = JAIL_FILE, .target = "/etc/hostname", .source = "sandbox\n" },
		{ .kind = JAIL_FILE, .target = "/etc/resolv.conf", .source = "" },
	};
	int r = 0;
	for (unsigned i = 0; r == 0 && i < ELEMENTS(made); i++)
		r = add_mount(plan, made[i], e);
	return r;
}

static int add_etc(struct sandbox_plan *plan, struct error *e)
{
	int r = add_own_etc(plan, e);
	for (unsigned i = 0; r == 0 && i < ELEMENTS(etc_files); i++)
		r = add_mount(plan,
			      (struct jail_mount){ .kind = JAIL_BIND,
						   .target = etc_files[i],
						   .source = etc_files[i],
						   .flags = JAIL_RO | JAIL_FOLLOW | JAIL_OPTIONAL },
			      e);
	return r;
}

static bool in_list(const char *path, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (is_below(path, list[i]))
			return true;
	return false;
}

static int refuse(const struct policy *p, const struct policy_path *path, int code, const char *why,
		  struct error *e)
{
	error_at(e, code, path->line, path->column, "%s: %s", path->path, why);
	return error_in_file(e, policy_file(p));
}

/* What cannot be had is left out, unless the policy insists. */
static int leave_out(const struct policy *p, const struct policy_path *path, int r, struct error *e)
{
	char why[160];
	if (policy_landlock(p) != POLICY_LANDLOCK_HARD_REQUIREMENT)
		return 0;
	snprintf(why, sizeof(why), "%s, and landlock.compatibility is hard_requirement",
		 strerror(-r));
	return refuse(p, path, -r, why, e);
}

/* What is to be written and is not there is made, as OpenShell makes it: here in memory. */
static int add_new_folder(struct sandbox_plan *plan, const struct policy_path *path,
			  struct error *e)
{
	return add_mount(plan,
			 (struct jail_mount){ .kind = JAIL_TMPFS,
					      .target = path->path,
					      .mode = 0777,
					      .size = LIMIT_SANDBOX_TMP_BYTES },
			 e);
}

/* The mount of the host's that a path inside lies in most closely. */
static const struct jail_mount *mount_around(const struct sandbox_plan *plan, const char *path)
{
	const struct jail_mount *found = NULL;
	for (unsigned i = 0; i < plan->n_mounts; i++) {
		const struct jail_mount *m = &plan->mounts[i];
		if ((m->kind == JAIL_BIND || m->kind == JAIL_COPY) && is_below(path, m->target) &&
		    (!found || strlen(m->target) > strlen(found->target)))
			found = m;
	}
	return found;
}

/* A path of the host's own that the policy names; `from` is where it is on the host. */
static int add_host_path(struct sandbox_plan *plan, const struct policy *p,
			 const struct policy_path *path, const char *from, bool write,
			 const struct writable *writable, struct error *e)
{
	char real[PATH_MAX], why[384];
	const struct jail_mount *around = mount_around(plan, path->path);
	if (!write && around && around->flags & JAIL_RO)
		return 0;
	int r = resolve_path(writable, from, real);
	if (r == -EPERM) {
		snprintf(why, sizeof(why),
			 "%.200s is a symlink that a sandbox may have put there, so it is not "
			 "followed; "
			 "remove it, or list where it is to lead",
			 real);
		return refuse(p, path, EPERM, why, e);
	}
	if (r == -ENOENT && write)
		return add_new_folder(plan, path, e);
	if (r < 0)
		return leave_out(p, path, r, e);
	char *source = strdup(real);
	if (!source)
		return error_set(e, ENOMEM, "out of memory");
	plan->source[plan->n_sources++] = source;
	/* Within what can be written it is seen with the same owners. */
	unsigned access = (write ? 0 : JAIL_RO) | (write || around ? JAIL_IDMAP : 0);
	return add_mount(plan,
			 (struct jail_mount){ .kind = JAIL_BIND,
					      .target = path->path,
					      .source = source,
					      .flags = access | JAIL_NO_SYMLINKS },
			 e);
}

/* Something read-only in the working folder. What is to be written there can be anyway, or Landlock sees to it. */
static int add_in_workdir(struct sandbox_plan *plan, const struct policy *p,
			  const struct policy_path *path, const struct writable *writable,
			  struct error *e)
{
	const struct jail_mount *around = mount_around(plan, path->path);
	char from[PATH_MAX];
	if (!around || !strcmp(path->path, SANDBOX_WORKDIR))
		return 0;
	_cleanup_free_ char *dir = realpath(around->source, NULL);
	if (!dir)
		return error_set(e, errno, "%s: %s", around->source, strerror(errno));
	int n = snprintf(from, sizeof(from), "%s%s", dir, path->path + strlen(around->target));
	if (n < 0 || n >= (int)sizeof(from))
		return refuse(p, path, ENAMETOOLONG, "its path on the host is too long", e);
	return add_host_path(plan, p, path, from, false, writable, e);
}

static const char symlink_on_the_way[] =
	"a symlink of the root's is on the way; list where it leads";

/* Whether the root's folder has it, as a folder that can be copied: nothing there leads elsewhere. */
static int look_into_rootfs(const struct sandbox_plan *plan, const struct policy *p,
			    const struct policy_path *path, bool write, bool *ret_has,
			    struct error *e)
{
	struct stat st;
	_cleanup_close_ int fd = fd_open(plan->rootfs, path->path + 1, O_PATH, 0,
					 RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
	int r = fd < 0 ? fd : fstat(fd, &st) < 0 ? -errno : 0;
	*ret_has = r == 0;
	if (r == -ENOENT && write)
		return 0;
	if (r == -ENOENT || r == -ENOTDIR)
		return leave_out(p, path, r, e);
	if (r == -ELOOP)
		return refuse(p, path, ELOOP, symlink_on_the_way, e);
	if (r == -EXDEV)
		return refuse(p, path, EXDEV,
			      "something is mounted there, which is no part of the root", e);
	if (r < 0)
		return refuse(p, path, -r, strerror(-r), e);
	return S_ISDIR(st.st_mode)
		       ? 0
		       : refuse(p, path, ENOTDIR,
				"only folders of the root can be written to, or be kept from "
				"that within one; list its folder",
				e);
}

/* With a root of its own: what is there needs no mount, but what is to be written, or is within that and is not. */
static int add_in_rootfs(struct sandbox_plan *plan, const struct policy *p,
			 const struct policy_path *path, bool write,
			 const struct writable *writable, struct error *e)
{
	const struct jail_mount *around = mount_around(plan, path->path);
	struct jail_mount m = { .kind = JAIL_TMPFS, .target = path->path, .mode = 01777 };
	bool runtime = in_list(path->path, runtime_folders, ELEMENTS(runtime_folders)), has;
	if (!write && is_below(path->path, SANDBOX_WORKDIR))
		return add_in_workdir(plan, p, path, writable, e);
	if (in_list(path->path, always, ELEMENTS(always)) ||
	    (!write && (runtime || !around || around->flags & JAIL_RO)))
		return 0;
	if (runtime) { /* it covers what is there, but no symlink */
		struct stat st;
		_cleanup_close_ int fd = fd_open(plan->rootfs, path->path + 1, O_PATH | O_NOFOLLOW,
						 0, RESOLVE_BENEATH);
		return fd >= 0 && fstat(fd, &st) == 0 && S_ISLNK(st.st_mode)
			       ? refuse(p, path, ELOOP, symlink_on_the_way, e)
			       : add_mount(plan, m, e);
	}
	if (write && is_below(path->path, "/etc"))
		return refuse(p, path, EINVAL,
			      "files in it are the sandbox's own; it can only be read_only", e);
	int r = look_into_rootfs(plan, p, path, write, &has, e);
	if (r == 0 && !has && write)
		return add_new_folder(plan, path, e);
	if (r < 0 || !has)
		return r;
	m = (struct jail_mount){ .kind = JAIL_COPY,
				 .target = path->path,
				 .source = path->path,
				 .fd = plan->rootfs,
				 .flags = write ? 0 : JAIL_RO,
				 .size = LIMIT_SANDBOX_TMP_BYTES };
	return add_mount(plan, m, e);
}

/* One listed path: its mount, when it is none of those that every sandbox has. */
static int add_of_host(struct sandbox_plan *plan, const struct policy *p,
		       const struct policy_path *path, bool write, const struct writable *writable,
		       struct error *e)
{
	static const char *const system[] = { "/usr",	 "/lib", "/lib32", "/lib64",
					      "/libx32", "/bin", "/sbin" };
	int r = 0;
	if (!strcmp(path->path, "/"))
		return refuse(p, path, EINVAL,
			      "a sandbox is never given the host's whole root; list what is needed",
			      e);
	if (write &&
	    (in_list(path->path, system, ELEMENTS(system)) || is_below(path->path, "/etc")))
		return refuse(p, path, EINVAL, "this is the host's and can only be read_only", e);
	if (in_list(path->path, system, ELEMENTS(system)))
		r = add_system(plan, e);
	else if (is_below(path->path, "/etc"))
		r = add_etc(plan, e);
	else if (in_list(path->path, own_folders, ELEMENTS(own_folders)))
		r = add_mount(plan,
			      (struct jail_mount){ .kind = write ? JAIL_TMPFS : JAIL_DIRECTORY,
						   .target = path->path,
						   .mode = write ? 01777 : 0755 },
			      e);
	else if (!write && is_below(path->path, SANDBOX_WORKDIR))
		r = add_in_workdir(plan, p, path, writable, e);
	else if (!in_list(path->path, always, ELEMENTS(always)))
		r = add_host_path(plan, p, path, path->path, write, writable, e);
	return r;
}

static int add_listed(struct sandbox_plan *plan, const struct policy *p,
		      const struct policy_path *path, bool write, const struct writable *writable,
		      struct error *e)
{
	int r = (plan->rootfs < 0 ? add_of_host : add_in_rootfs)(plan, p, path, write, writable, e);
	return r < 0 ? r : add_rule(plan, path->path, write, e);
}

static int add_workdir(struct sandbox_plan *plan, const char *dir, bool listed, struct error *e)
{
	struct jail_mount m = { .kind = JAIL_TMPFS,
				.target = SANDBOX_WORKDIR,
				.mode = 0755,
				.size = LIMIT_SANDBOX_TMP_BYTES };
	if (dir)
		m = (struct jail_mount){ .kind = JAIL_BIND,
					 .target = SANDBOX_WORKDIR,
					 .source = dir,
					 .flags = JAIL_IDMAP };
	/* Not in the policy at all: a place to stand in, and no more. */
	if (!listed)
		m = (struct jail_mount){ .kind = JAIL_DIRECTORY, .target = SANDBOX_WORKDIR };
	return add_mount(plan, m, e);
}

static bool lists(const struct policy_path *list, size_t n, const char *path)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(list[i].path, path))
			return true;
	return false;
}

/* A user's or group's number (which the loader has checked), or the default for a name. */
static unsigned read_id(const char *text)
{
	if (!text || strspn(text, "0123456789") != strlen(text))
		return DEFAULT_ID;
	return (unsigned)strtoul(text, NULL, 10);
}

static bool is_user_name(const char *s)
{
	return *s && strlen(s) <= 32 && !(*s >= '0' && *s <= '9') &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") ==
		       strlen(s);
}

static void make_users(const struct policy *p, struct sandbox_plan *plan)
{
	const struct policy_process *process = policy_process(p);
	const char *user = process->run_as_user, *group = process->run_as_group;
	plan->uid = read_id(user);
	plan->gid = read_id(group);
	plan->user = user && is_user_name(user) ? user : DEFAULT_USER;
	snprintf(plan->passwd, sizeof(plan->passwd),
		 "root:x:0:0:root:/:/usr/sbin/nologin\n%s:x:%u:%u::" SANDBOX_WORKDIR
		 ":/bin/bash\nnobody:x:65534:65534::/:/usr/sbin/nologin\n",
		 plan->user, plan->uid, plan->gid);
	snprintf(plan->group, sizeof(plan->group), "root:x:0:\n%s:x:%u:\nnogroup:x:65534:\n",
		 group && is_user_name(group) ? group : plan->user, plan->gid);
	snprintf(plan->hosts, sizeof(plan->hosts),
		 "127.0.0.1 localhost\n::1 localhost\n10.200.0.1 "
		 "host.openshell.internal\n127.0.1.1 sandbox\n");
}

static int by_depth(const void *a, const void *b)
{
	const struct jail_mount *x = a, *y = b;
	size_t n = 0, m = 0;
	for (const char *c = x->target; *c; c++)
		n += *c == '/';
	for (const char *c = y->target; *c; c++)
		m += *c == '/';
	return n < m ? -1 : n > m ? 1 : strcmp(x->target, y->target);
}

/* Everything of the host's that a command of this policy may change: where the sandbox has its own, nothing is the host's. */
static int find_writable(const struct policy_filesystem *fs, const char *dir, bool rootfs,
			 struct writable *ret, struct error *e)
{
	int r = dir ? writable_add(ret, dir) : 0;
	for (size_t i = 0; r == 0 && !rootfs && i < fs->n_read_write; i++) {
		const char *path = fs->read_write[i].path;
		if (!in_list(path, always, ELEMENTS(always)) &&
		    !in_list(path, own_folders, ELEMENTS(own_folders)))
			r = writable_add(ret, path);
	}
	return r < 0 ? error_set(e, -r, "out of memory") : 0;
}

/* By a descriptor, so that it stays the one that was looked at. */
static int open_rootfs(const char *path, const char *dir, int *ret_fd, struct error *e)
{
	_cleanup_close_ int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_free_ char *work = dir ? realpath(dir, NULL) : NULL, *real = NULL;
	struct stat st, host;
	char link[32];
	if (fd < 0 || fstat(fd, &st) < 0 || stat("/", &host) < 0)
		return error_set(e, errno, "%s: %s", path, strerror(errno));
	if (st.st_dev == host.st_dev && st.st_ino == host.st_ino)
		return error_set(e, EINVAL,
				 "%s is the host's own root, which no sandbox gets: name another, "
				 "or none to have the host's /usr in one",
				 path);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	real = realpath(link, NULL);
	if (!real || (dir && !work))
		return error_set(e, errno, "%s: %s", real ? dir : path, strerror(errno));
	if (work && (is_below(work, real) || is_below(real, work)))
		return error_set(e, EINVAL,
				 "of %s and %s one holds the other, so that the sandbox could "
				 "change its own root: keep them apart",
				 path, dir);
	if (!jail_landlock_version())
		return error_set(e, EOPNOTSUPP, JAIL_LANDLOCK_MISSING);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* A root that is there already, and what of it is the sandbox's own. */
static int add_rootfs(struct sandbox_plan *plan, const char *rootfs, struct error *e)
{
	int r = add_mount(plan,
			  (struct jail_mount){ .kind = JAIL_BASE,
					       .target = "/",
					       .source = rootfs,
					       .flags = JAIL_FD,
					       .fd = plan->rootfs },
			  e);
	return r < 0 ? r : add_own_etc(plan, e);
}

/* Behind what is listed, which may be more than that they are empty. */
static int add_runtime_folders(struct sandbox_plan *plan, struct error *e)
{
	static const char *const folders[] = { "/run", "/var/tmp" };
	int r = 0;
	for (size_t i = 0; r == 0 && i < ELEMENTS(folders); i++)
		r = add_mount(plan, (struct jail_mount){ .kind = JAIL_TMPFS, .target = folders[i] },
			      e);
	return r;
}

static int add_all_listed(struct sandbox_plan *plan, const struct policy *p,
			  const struct writable *writable, struct error *e)
{
	const struct policy_filesystem *fs = policy_filesystem(p);
	int r = 0;
	for (size_t i = 0; r == 0 && i < fs->n_read_write; i++)
		r = add_listed(plan, p, &fs->read_write[i], true, writable, e);
	for (size_t i = 0; r == 0 && i < fs->n_read_only; i++)
		r = add_listed(plan, p, &fs->read_only[i], false, writable, e);
	for (size_t i = 0; r == 0 && policy_has_network(p) && i < ELEMENTS(network_read_only); i++)
		r = add_listed(plan, p, &(struct policy_path){ .path = network_read_only[i] },
			       false, writable, e);
	if (r == 0 && policy_has_network(p))
		r = add_rule(plan, "/tmp", true, e);
	if (r == 0 && policy_looks_into_tls(p))
		r = add_mount(plan,
			      (struct jail_mount){ .kind = JAIL_TMPFS,
						   .target = TRUST_FOLDER,
						   .mode = 0755,
						   .size = TRUST_BYTES,
						   .flags = JAIL_NOEXEC },
			      e);
	return r;
}

static int add_mounts_and_rules(struct sandbox_plan *plan, const struct policy *p, const char *dir,
				const char *rootfs, const struct writable *writable,
				struct error *e)
{
	const struct policy_filesystem *fs = policy_filesystem(p);
	const struct jail_mount own[] = {
		{ .kind = JAIL_PROC, .target = "/proc" },
		{ .kind = JAIL_DEV, .target = "/dev" },
		{ .kind = JAIL_TMPFS,
		  .target = "/tmp",
		  .mode = 01777,
		  .size = LIMIT_SANDBOX_TMP_BYTES },
	};
	bool workdir = fs->include_workdir ||
		       lists(fs->read_write, fs->n_read_write, SANDBOX_WORKDIR) ||
		       lists(fs->read_only, fs->n_read_only, SANDBOX_WORKDIR);
	int r = rootfs ? add_rootfs(plan, rootfs, e) : 0;
	for (size_t i = 0; r == 0 && i < ELEMENTS(own); i++)
		r = add_mount(plan, own[i], e);
	if (r == 0)
		r = add_workdir(plan, dir, workdir, e);
	if (r == 0 && fs->include_workdir)
		r = add_rule(plan, SANDBOX_WORKDIR, true, e);
	if (r == 0)
		r = add_all_listed(plan, p, writable, e);
	return r < 0 || plan->rootfs < 0 ? r : add_runtime_folders(plan, e);
}

int sandbox_plan_make(const struct policy *p, const char *dir, const char *rootfs,
		      struct sandbox_plan *ret, struct error *e)
{
	struct sandbox_plan *plan = ret;
	*plan = (struct sandbox_plan){ .rootfs = -1 };
	make_users(p, plan);
	int r = find_writable(policy_filesystem(p), dir, rootfs, &plan->writable, e);
	if (r == 0 && rootfs)
		r = open_rootfs(rootfs, dir, &plan->rootfs, e);
	if (r == 0)
		r = add_mounts_and_rules(plan, p, dir, rootfs, &plan->writable, e);
	if (r < 0)
		return r;
	qsort(plan->mounts, plan->n_mounts, sizeof(plan->mounts[0]), by_depth);
	plan->landlock = (struct jail_landlock){ .rules = plan->rules, .n_rules = plan->n_rules };
	plan->has_landlock = jail_landlock_version() > 0;
	if (!plan->has_landlock && policy_landlock(p) == POLICY_LANDLOCK_HARD_REQUIREMENT)
		return error_set(e, EOPNOTSUPP,
				 "this kernel has no Landlock, and the policy's "
				 "landlock.compatibility is hard_requirement");
	return 0;
}

void sandbox_plan_done(struct sandbox_plan *plan)
{
	writable_done(&plan->writable);
	while (plan->n_sources)
		free(plan->source[--plan->n_sources]);
	if (plan->rootfs >= 0)
		close(TAKE_FD(plan->rootfs));
}
