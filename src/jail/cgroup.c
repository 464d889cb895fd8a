/* SPDX-License-Identifier: Apache-2.0 */
/* Finding, making and removing groups of cgroup v2. */
#include "jail/cgroup.h"
#include "base/cleanup.h"
#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define ROOT	     "/sys/fs/cgroup"
#define FILE_MAX     4096
#define JAIL_PREFIX  "jail-"
#define CGROUP2	     0x63677270 /* CGROUP2_SUPER_MAGIC of linux/magic.h */
#define REMOVE_TRIES 100	/* a process that was killed takes a moment to go */
#define REMOVE_MS    10
#define ALONE_TRIES  300

/* By this process, so that cgroup_leave() knows what to undo. */
static bool moved, controllers_given;

static int put(int dir, const char *name, const char *text)
{
	_cleanup_close_ int fd = openat(dir, name, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* One write: the kernel takes each as a whole. */
	return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

static int put_number(int dir, const char *name, uint64_t number)
{
	char text[24];
	snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
	return put(dir, name, text);
}

/* Whether a file of words has this one. */
static bool has_word(int dir, const char *name, const char *word)
{
	_cleanup_free_ char *text = NULL;
	size_t n;
	_cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fd_read_file(fd, FILE_MAX, &text, &n) < 0)
		return false;
	for (char *save = NULL, *w = strtok_r(text, " \n", &save); w;
	     w = strtok_r(NULL, " \n", &save))
		if (!strcmp(w, word))
			return true;
	return false;
}

/* This process's own group as a path, or a negative errno when it is in no unified hierarchy. */
static int own_path(char *ret, size_t size)
{
	_cleanup_free_ char *text = NULL;
	size_t n;
	struct statfs fs;
	int r = file_read("/proc/self/cgroup", 64 * 1024, &text, &n);
	if (r < 0)
		return r;
	const char *line = !strncmp(text, "0::", 3) ? text : strstr(text, "\n0::");
	if (!line || statfs(ROOT, &fs) < 0 || fs.f_type != CGROUP2)
		return -ENOTSUP;
	line += *line == '\n' ? 4 : 3;
	int len = (int)strcspn(line, "\n");
	/* Outside of our cgroup namespace's root a path begins with "/..": nothing of ours. */
	if (!strncmp(line, "/..", 3) || (size_t)snprintf(ret, size, ROOT "%.*s", len, line) >= size)
		return -ENOTSUP;
	return 0;
}

static int open_folder(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int cgroup_place(void)
{
	char path[PATH_MAX];
	int r = own_path(path, sizeof(path));
	if (r < 0)
		return r;
	char *name = strrchr(path, '/');
	if (strcmp(name + 1, CGROUP_LEAF) != 0)
		return -ENOENT;
	*name = '\0';
	_cleanup_close_ int place = open_folder(path);
	if (place < 0)
		return place;
	if (!has_word(place, "cgroup.subtree_control", "memory") ||
	    !has_word(place, "cgroup.subtree_control", "pids") ||
	    faccessat(place, "cgroup.procs", W_OK, AT_EACCESS) < 0 ||
	    faccessat(place, ".", W_OK, AT_EACCESS) < 0)
		return -EACCES;
	return TAKE_FD(place);
}

/* What stands in the way, for people. */
static int explain(int r, char *why, size_t size)
{
	static const char delegate[] =
		"`systemd-run --scope -p Delegate=yes` (with --user as an ordinary user) starts a "
		"command in a group of its own";
	if (r == -ENOTSUP)
		snprintf(why, size, "no unified cgroup v2 hierarchy at " ROOT);
	else if (r == -ENODEV)
		snprintf(why, size,
			 "the memory and pids controllers are not delegated to this process; %s",
			 delegate);
	else if (r == -EBUSY)
		snprintf(why, size,
			 "other processes share this one's cgroup, which has to be its own; %s",
			 delegate);
	else
		snprintf(why, size, "this process's cgroup is not its own to change (%s); %s",
			 strerror(-r), delegate);
	return r;
}

/* Into the leaf, and hand the controllers to the groups beside it. */
static int settle(int own)
{
	/* Ours as a whole, not by a file that happens to be writable: groups can be made in it. */
	if (faccessat(own, ".", W_OK, AT_EACCESS) < 0 ||
	    faccessat(own, "cgroup.procs", W_OK, AT_EACCESS) < 0 ||
	    faccessat(own, "cgroup.subtree_control", W_OK, AT_EACCESS) < 0)
		return -errno;
	if (!has_word(own, "cgroup.controllers", "memory") ||
	    !has_word(own, "cgroup.controllers", "pids"))
		return -ENODEV;
	/* It is there already where another postern settled, or one was killed. */
	if (mkdirat(own, CGROUP_LEAF, 0755) < 0 && errno != EEXIST)
		return -errno;
	_cleanup_close_ int leaf = openat(own, CGROUP_LEAF, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = leaf < 0 ? -errno : put(leaf, "cgroup.procs", "0");
	moved = r == 0;
	controllers_given = moved && !(has_word(own, "cgroup.subtree_control", "memory") &&
				       has_word(own, "cgroup.subtree_control", "pids"));
	if (r == 0 && controllers_given) {
		/* -EBUSY where others are in it still. */
		r = put(own, "cgroup.subtree_control", "+memory +pids");
		if (r < 0)
			(void)put(own, "cgroup.procs", "0");
	}
	if (r < 0) {
		moved = false;
		unlinkat(own, CGROUP_LEAF, AT_REMOVEDIR); /* unless others are in it */
	}
	return r;
}

int cgroup_settle(char *why, size_t size)
{
	char path[PATH_MAX];
	_cleanup_close_ int place = cgroup_place();
	if (place >= 0)
		return 0;
	int r = own_path(path, sizeof(path));
	_cleanup_close_ int own = r < 0 ? r : open_folder(path);
	if (r == 0)
		r = own < 0 ? own : settle(own);
	return r < 0 ? explain(r, why, size) : 0;
}

/* Those of jails whose worker was killed; a group with processes cannot be removed. */
static void remove_jails(int place)
{
	DIR *dir = fd_list(place, ".");
	if (!dir)
		return;
	struct dirent *entry;
	while ((entry = readdir(dir)))
		if (!strncmp(entry->d_name, JAIL_PREFIX, strlen(JAIL_PREFIX)))
			cgroup_remove(place, entry->d_name);
	closedir(dir);
}

/* Whether nobody but this process is in the leaf. */
static bool alone(int place)
{
	char own[16];
	_cleanup_free_ char *text = NULL;
	size_t n;
	_cleanup_close_ int fd = openat(place, CGROUP_LEAF "/cgroup.procs", O_RDONLY | O_CLOEXEC);
	snprintf(own, sizeof(own), "%d\n", (int)getpid());
	return fd >= 0 && fd_read_file(fd, FILE_MAX, &text, &n) == 0 && !strcmp(text, own);
}

/* What our children started ends with them, but a moment later. */
static bool alone_soon(int place)
{
	for (unsigned i = 0; i < ALONE_TRIES; i++) {
		if (alone(place))
			return true;
		poll(NULL, 0, REMOVE_MS);
	}
	return false;
}

void cgroup_leave(void)
{
	_cleanup_close_ int place = moved ? cgroup_place() : -1;
	moved = false;
	if (place < 0 || !alone_soon(place))
		return;
	remove_jails(place);
	/* In this order: a group that hands controllers down takes no processes. */
	if (controllers_given)
		(void)put(place, "cgroup.subtree_control", "-memory -pids");
	if (put(place, "cgroup.procs", "0") == 0)
		unlinkat(place, CGROUP_LEAF, AT_REMOVEDIR);
}

int cgroup_make(int place, uint64_t memory, unsigned processes, char *ret_name, size_t size)
{
	static unsigned made;
	snprintf(ret_name, size, JAIL_PREFIX "%d-%u", (int)getpid(), ++made);
	if (mkdirat(place, ret_name, 0755) < 0)
		return -errno;
	_cleanup_close_ int group = openat(place, ret_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = group < 0 ? -errno : 0;
	if (r == 0 && memory)
		r = put_number(group, "memory.max", memory);
	/* A build that is short of memory ends as a whole, and does not limp on without some process. */
	if (r == 0 && memory)
		r = put(group, "memory.oom.group", "1");
	if (r == 0 && memory && faccessat(group, "memory.swap.max", F_OK, 0) == 0)
		r = put(group, "memory.swap.max", "0");
	if (r == 0 && processes)
		r = put_number(group, "pids.max", processes);
	if (r < 0) {
		unlinkat(place, ret_name, AT_REMOVEDIR);
		return r;
	}
	return TAKE_FD(group);
}

int cgroup_add(int group, pid_t pid)
{
	return put_number(group, "cgroup.procs", (uint64_t)pid);
}

uint64_t cgroup_memory_kills(int group)
{
	static const char name[] = "\noom_group_kill ";
	_cleanup_free_ char *text = NULL;
	size_t n;
	_cleanup_close_ int fd = openat(group, "memory.events", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fd_read_file(fd, FILE_MAX, &text, &n) < 0)
		return 0;
	const char *line = strstr(text, name);
	return line ? strtoull(line + strlen(name), NULL, 10) : 0;
}

void cgroup_remove(int place, const char *name)
{
	for (unsigned i = 0; i < REMOVE_TRIES; i++) {
		if (unlinkat(place, name, AT_REMOVEDIR) == 0 || errno != EBUSY)
			return;
		poll(NULL, 0, REMOVE_MS);
	}
}
