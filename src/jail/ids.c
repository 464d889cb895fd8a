/* SPDX-License-Identifier: Apache-2.0 */
/* Id maps: which ids a jail gets, and writing them. */
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/spawn.h"
#include "jail/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#define SERVICE_ID     65534 /* of the range: what a service that root starts becomes */
#define SUBID_FILE_MAX (1024 * 1024)

/* The first range of at least `count` ids that a file of the form name:first:count gives to one of
 * two names. */
static int subid_find(const char *path, const char *name, const char *other, uint32_t count,
		      uint32_t *ret_first)
{
	_cleanup_free_ char *text = NULL;
	size_t n;
	int r = file_read(path, SUBID_FILE_MAX, &text, &n);
	if (r < 0)
		return r;
	char *rest = text, *line;
	while ((line = strsep(&rest, "\n"))) {
		char *owner = strsep(&line, ":");
		char *first = strsep(&line, ":");
		if (!line || (strcmp(owner, name) != 0 && strcmp(owner, other) != 0))
			continue;
		unsigned long from = strtoul(first, NULL, 10), have = strtoul(line, NULL, 10);
		if (from == 0 || from > UINT32_MAX - JAIL_RANGE_IDS || have < count)
			continue;
		*ret_first = (uint32_t)from;
		return 0;
	}
	return -ENOENT;
}

/* The first id above every range that a file of that form gives away: two users of one range would be each other's. */
static uint32_t subid_unused(const char *path, uint32_t least)
{
	_cleanup_free_ char *text = NULL;
	size_t n;
	if (file_read(path, SUBID_FILE_MAX, &text, &n) < 0)
		return least;
	char *rest = text, *line;
	while ((line = strsep(&rest, "\n"))) {
		unsigned long from, have;
		if (sscanf(line, "%*[^:]:%lu:%lu", &from, &have) == 2 && from < UINT32_MAX &&
		    have < UINT32_MAX - from && from + have > least)
			least = (uint32_t)(from + have);
	}
	return least;
}

static void root_range(const char *path, uint32_t *ret_first)
{
	*ret_first = JAIL_RANGE_BASE;
	(void)subid_find(path, "root", "postern", JAIL_RANGE_IDS, ret_first);
	if (lacks("ids"))
		*ret_first = 0;
}

/* The caller's name, or number where it has none. */
static const char *user_name(char number[16])
{
	const struct passwd *pw = getpwuid(getuid());
	snprintf(number, 16, "%u", getuid());
	return pw ? pw->pw_name : number;
}

static int user_ranges(uint32_t *ret_uid, uint32_t *ret_gid)
{
	char number[16];
	const char *name = user_name(number);
	int r = subid_find("/etc/subuid", name, number, JAIL_RANGE_IDS - 1, ret_uid);
	if (r == 0)
		r = subid_find("/etc/subgid", name, number, JAIL_RANGE_IDS - 1, ret_gid);
	if (r == 0 && (access("/usr/bin/newuidmap", X_OK) || access("/usr/bin/newgidmap", X_OK)))
		r = -ENOENT;
	return r;
}

static struct id_map one_extent(uint32_t inside, uint32_t outside, uint32_t count)
{
	return (struct id_map){ .extent = { { inside, outside, count } }, .n = 1 };
}

static struct id_map self_and_range(uint32_t self, uint32_t first)
{
	return (struct id_map){
		.extent = { { 0, self, 1 }, { 1, first, JAIL_RANGE_IDS - 1 } },
		.n = 2,
	};
}

/* Whether the caller's supplementary groups say more than its own group does. */
static bool foreign_groups(void)
{
	gid_t group[64];
	int n = getgroups((int)ELEMENTS(group), group);
	for (int i = 0; i < n; i++)
		if (group[i] != getgid())
			return true;
	return n < 0;
}

static void plan_inner(const struct jail_ids *ids, struct id_plan *p)
{
	if (ids->kind == JAIL_IDS_RANGE) {
		/* The same ids again, cut where the outer map is: the kernel takes no extent that
		 * spans two of the parent's. */
		p->inner_uid = p->outer_uid;
		p->inner_gid = p->outer_gid;
		for (unsigned i = 0; i < p->inner_uid.n; i++) {
			p->inner_uid.extent[i].outside = p->inner_uid.extent[i].inside;
			p->inner_gid.extent[i].outside = p->inner_gid.extent[i].inside;
		}
		return;
	}
	p->inside_uid = ids->uid;
	p->inside_gid = ids->gid;
	p->inner_uid = one_extent(ids->uid, p->owner_uid, 1);
	p->inner_gid = one_extent(ids->gid, p->owner_gid, 1);
	p->inner_deny_setgroups = true;
}

/* What is not in the range, or a service's, has the last of the others outside: inside it can be called as it likes. */
static uint32_t within_range(uint32_t id)
{
	return id < SERVICE_ID ? id : SERVICE_ID - 1;
}

int ids_plan(const struct jail_ids *ids, struct id_plan *ret, struct error *e)
{
	struct id_plan p = { 0 };
	uint32_t uid = 0, gid = 0;
	bool one = ids->kind == JAIL_IDS_ONE;
	weak_load();
	if (geteuid() == 0) {
		root_range("/etc/subuid", &uid);
		root_range("/etc/subgid", &gid);
		p.outer_uid = one_extent(0, uid, JAIL_RANGE_IDS);
		p.outer_gid = one_extent(0, gid, JAIL_RANGE_IDS);
		p.owner_uid = one ? within_range(ids->uid) : 0;
		p.owner_gid = one ? within_range(ids->gid) : 0;
		p.host_uid = uid + p.owner_uid;
		p.host_gid = gid + p.owner_gid;
	} else if (user_ranges(&uid, &gid) == 0) {
		p.outer_uid = self_and_range(getuid(), uid);
		p.outer_gid = self_and_range(getgid(), gid);
		p.outer_by_helper = true;
		p.host_uid = getuid();
		p.host_gid = getgid();
	} else if (!one || foreign_groups()) {
		char number[16];
		uint32_t first = subid_unused("/etc/subgid", subid_unused("/etc/subuid", 100000));
		return error_set(e, ENOENT,
				 "this user has no range of 65536 ids; as root: apt-get install "
				 "uidmap; usermod --add-subuids %u-%u --add-subgids %u-%u %s",
				 first, first + JAIL_RANGE_IDS - 1, first,
				 first + JAIL_RANGE_IDS - 1, user_name(number));
	} else {
		/* No range, no foreign group: one id needs no helper. */
		p.outer_uid = one_extent(ids->uid, getuid(), 1);
		p.outer_gid = one_extent(ids->gid, getgid(), 1);
		p.outer_deny_setgroups = true;
		p.builder_uid = p.owner_uid = ids->uid;
		p.builder_gid = p.owner_gid = ids->gid;
		p.host_uid = getuid();
		p.host_gid = getgid();
	}
	plan_inner(ids, &p);
	*ret = p;
	return 0;
}

int jail_host_ids(const struct jail_ids *ids, uid_t *ret_uid, gid_t *ret_gid, struct error *e)
{
	struct id_plan p;
	int r = ids_plan(ids, &p, e);
	if (r < 0)
		return r;
	*ret_uid = p.host_uid;
	*ret_gid = p.host_gid;
	return 0;
}

int ids_service(uid_t *ret_uid, gid_t *ret_gid)
{
	root_range("/etc/subuid", ret_uid);
	root_range("/etc/subgid", ret_gid);
	*ret_uid += SERVICE_ID;
	*ret_gid += SERVICE_ID;
	return 0;
}

static int write_proc(pid_t pid, const char *name, const char *text)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ssize_t n = write(fd, text, strlen(text));
	return n < 0 ? -errno : (size_t)n == strlen(text) ? 0 : -EIO;
}

static void map_text(const struct id_map *map, char *out, size_t size)
{
	size_t used = 0;
	out[0] = '\0';
	for (unsigned i = 0; i < map->n && used < size; i++) {
		const struct id_extent *x = &map->extent[i];
		int n = snprintf(out + used, size - used, "%u %u %u\n", x->inside, x->outside,
				 x->count);
		used += n > 0 ? (size_t)n : 0;
	}
}

int ids_write(pid_t pid, const struct id_map *uid, const struct id_map *gid, bool deny_setgroups,
	      struct error *e)
{
	char uids[128], gids[128];
	map_text(uid, uids, sizeof(uids));
	map_text(gid, gids, sizeof(gids));
	int r = write_proc(pid, "uid_map", uids);
	if (r == 0 && deny_setgroups)
		r = write_proc(pid, "setgroups", "deny");
	if (r == 0)
		r = write_proc(pid, "gid_map", gids);
	return r < 0 ? error_set(e, -r, "cannot write a jail's id map: %s", strerror(-r)) : 0;
}

static int run_helper(const char *program, pid_t pid, const struct id_map *map, struct error *e)
{
	char words[7][16];
	const char *argv[9] = { program };
	unsigned n = 0;
	snprintf(words[n++], sizeof(words[0]), "%d", (int)pid);
	for (unsigned i = 0; i < map->n; i++) {
		snprintf(words[n++], sizeof(words[0]), "%u", map->extent[i].inside);
		snprintf(words[n++], sizeof(words[0]), "%u", map->extent[i].outside);
		snprintf(words[n++], sizeof(words[0]), "%u", map->extent[i].count);
	}
	for (unsigned i = 0; i < n; i++)
		argv[1 + i] = words[i];
	struct spawn s = { .program = program, .argv = argv, .in = -1, .out = -1, .err = -1 };
	pid_t helper;
	_cleanup_close_ int pidfd = -1;
	int r = spawn_start(&s, &helper, &pidfd), status;
	if (r < 0)
		return error_set(e, -r, "cannot run %s (package uidmap): %s", program,
				 strerror(-r));
	while (waitpid(helper, &status, 0) < 0)
		if (errno != EINTR)
			return error_set(e, errno, "lost %s", program);
	if (status)
		return error_set(e, EPERM, "%s refused; is this user's range in /etc/subuid right?",
				 program);
	return 0;
}

int ids_write_by_helper(pid_t pid, const struct id_map *uid, const struct id_map *gid,
			struct error *e)
{
	int r = run_helper("/usr/bin/newuidmap", pid, uid, e);
	return r < 0 ? r : run_helper("/usr/bin/newgidmap", pid, gid, e);
}

int ids_namespace(uid_t inside_uid, uid_t outside_uid, gid_t inside_gid, gid_t outside_gid,
		  int *ret_fd)
{
	int pair[2];
	if (pipe2(pair, O_CLOEXEC) < 0)
		return -errno;
	_cleanup_close_ int from_child = pair[0];
	pid_t child = fork();
	if (child < 0) {
		close(pair[1]);
		return -errno;
	}
	if (child == 0) {
		int r = unshare(CLONE_NEWUSER) < 0 ? -errno : 0;
		(void)!write(pair[1], &r, sizeof(r));
		for (;;)
			pause();
	}
	close(pair[1]);
	int r = -EIO, fd = -1;
	if (fd_read_full(from_child, &r, sizeof(r)) != sizeof(r))
		r = -EIO;
	struct id_map uid = one_extent(inside_uid, outside_uid, 1);
	struct id_map gid = one_extent(inside_gid, outside_gid, 1);
	if (r == 0)
		r = ids_write(child, &uid, &gid, false, NULL);
	if (r == 0) {
		char path[64];
		snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)child);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		r = fd < 0 ? -errno : 0;
	}
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	if (r == 0)
		*ret_fd = fd;
	return r;
}
