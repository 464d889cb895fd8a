/* SPDX-License-Identifier: Apache-2.0 */
/* Namespaces: new ones, other ones, and maps of ids. */
#include "probe/probe.h"

#include <linux/sched.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#define ALL_NAMESPACES                                                                             \
	(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | \
	 CLONE_NEWCGROUP)

static void try_unshare(const struct attempt *a, struct outcome *o)
{
	outcome_of(o, unshare((int)a->number));
}

static void finish_clone(struct outcome *o, long r)
{
	if (r == 0)
		_exit(0);
	outcome_of(o, r);
	if (r > 0)
		(void)waitpid((pid_t)r, NULL, 0);
}

static void try_clone(const struct attempt *a, struct outcome *o)
{
	finish_clone(o, syscall(SYS_clone, (unsigned long)a->number | SIGCHLD, 0, 0, 0, 0));
}

static void try_clone3(const struct attempt *a, struct outcome *o)
{
	struct clone_args args = { .flags = (unsigned long)a->number, .exit_signal = SIGCHLD };
	finish_clone(o, syscall(SYS_clone3, &args, sizeof(args)));
}

static void try_setns(const struct attempt *a, struct outcome *o)
{
	_cleanup_close_ int fd = open(a->text, O_RDONLY | O_CLOEXEC);
	int why = errno;
	outcome_of(o, setns(fd, 0));
	if (fd < 0 && o->error == EBADF) { /* nothing refuses the call as such */
		o->state = a->number ? REFUSED : UNTRIED;
		o->error = why;
		outcome_detail(o, "cannot open %s", a->text);
	}
}

static void try_own_map(const struct attempt *a, struct outcome *o)
{
	outcome_of(o, own_user() ? 0 : -1);
}

/* What /etc/subuid gives this user, as text; false: nothing. */
static bool find_range(const char *table, char *start, char *count, size_t size)
{
	char name[64] = "", number[16], line[256];
	FILE *users = fopen("/etc/passwd", "re"), *ranges = fopen(table, "re");
	snprintf(number, sizeof(number), "%u", geteuid());
	/* (getpwuid() would want libraries of the host's, which a static program cannot count on.) */
	for (struct passwd *p; users && (p = fgetpwent(users));)
		if (p->pw_uid == geteuid())
			snprintf(name, sizeof(name), "%s", p->pw_name);
	bool found = false;
	while (ranges && !found && fgets(line, sizeof(line), ranges)) {
		char *first = strchr(line, ':'), *second = first ? strchr(first + 1, ':') : NULL;
		if (!second)
			continue;
		*first = *second = '\0';
		second[1 + strcspn(second + 1, "\n")] = '\0';
		found = !strcmp(line, number) || (*name && !strcmp(line, name));
		snprintf(start, size, "%s", first + 1);
		snprintf(count, size, "%s", second + 1);
	}
	if (users)
		fclose(users);
	if (ranges)
		fclose(ranges);
	return found;
}

/* A child that has made a user namespace, or has tried to, and waits. */
static pid_t child_to_map(void)
{
	int pair[2];
	if (pipe2(pair, O_CLOEXEC) < 0)
		return -1;
	pid_t child = fork();
	if (child == 0) {
		(void)unshare(CLONE_NEWUSER);
		(void)!write(pair[1], "", 1);
		for (;;)
			pause();
	}
	char byte;
	close(pair[1]);
	(void)!read(pair[0], &byte, 1);
	close(pair[0]);
	return child;
}

/* The set-user-id programs that rootless engines need. */
static void try_newidmap(const struct attempt *a, struct outcome *o)
{
	const bool uids = a->number;
	char path[256], pid[16], own[16], start[32], count[32];
	if (!find_program(a->name, path, sizeof(path))) {
		outcome_absent(o, "not installed");
		return;
	}
	pid_t child = child_to_map();
	snprintf(pid, sizeof(pid), "%d", (int)child);
	snprintf(own, sizeof(own), "%u", uids ? geteuid() : getegid());
	bool range = find_range(uids ? "/etc/subuid" : "/etc/subgid", start, count, sizeof(start));
	const char *const argv[] = { path,  pid,   "0", own, "1", range ? "1" : NULL,
				     start, count, NULL };
	static const char *const envp[] = { "PATH=/usr/bin:/bin", NULL };
	outcome_of_program(o, argv, envp);
	if (o->state == POSSIBLE)
		outcome_detail(o, "maps %s more ids", range ? count : "no");
}

static const struct attempt attempts[] = {
	{ "unshare user", try_unshare, CLONE_NEWUSER, NULL },
	{ "unshare mount", try_unshare, CLONE_NEWNS, NULL },
	{ "unshare pid", try_unshare, CLONE_NEWPID, NULL },
	{ "unshare net", try_unshare, CLONE_NEWNET, NULL },
	{ "unshare ipc", try_unshare, CLONE_NEWIPC, NULL },
	{ "unshare uts", try_unshare, CLONE_NEWUTS, NULL },
	{ "unshare cgroup", try_unshare, CLONE_NEWCGROUP, NULL },
	{ "unshare time", try_unshare, CLONE_NEWTIME, NULL },
	{ "unshare user and all others", try_unshare, ALL_NAMESPACES, NULL },
	{ "clone user", try_clone, CLONE_NEWUSER, NULL },
	{ "clone mount", try_clone, CLONE_NEWNS, NULL },
	{ "clone pid", try_clone, CLONE_NEWPID, NULL },
	{ "clone net", try_clone, CLONE_NEWNET, NULL },
	{ "clone ipc", try_clone, CLONE_NEWIPC, NULL },
	{ "clone uts", try_clone, CLONE_NEWUTS, NULL },
	{ "clone cgroup", try_clone, CLONE_NEWCGROUP, NULL },
	{ "clone user and all others", try_clone, ALL_NAMESPACES, NULL },
	{ "clone3", try_clone3, 0, NULL },
	{ "clone3 user", try_clone3, CLONE_NEWUSER, NULL },
	{ "setns mount", try_setns, 0, "/proc/self/ns/mnt" },
	{ "setns pid", try_setns, 0, "/proc/self/ns/pid" },
	{ "setns net", try_setns, 0, "/proc/self/ns/net" },
	{ "setns ipc", try_setns, 0, "/proc/self/ns/ipc" },
	{ "setns uts", try_setns, 0, "/proc/self/ns/uts" },
	{ "setns cgroup", try_setns, 0, "/proc/self/ns/cgroup" },
	{ "setns net of process 1", try_setns, 1, "/proc/1/ns/net" },
	{ "uid_map of one's own", try_own_map, 0, NULL },
	{ "newuidmap", try_newidmap, 1, NULL },
	{ "newgidmap", try_newidmap, 0, NULL },
};

const struct attempt_group group_namespaces = { "namespaces", attempts, ELEMENTS(attempts),
						LIMIT_PROBE_SECONDS };
