/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A jail: one process as PID 1 of its own user, mount, pid, ipc, uts, network and cgroup
 * namespaces, in a root assembled from a list. Used by src/worker (a build's engine) and
 * src/sandbox (the agent); works as root and as an ordinary user. It owns the namespaces' set-up
 * and the handle to PID 1, and never mounts anything on the host, never maps the host's root into a
 * jail, and never runs a shell.
 *
 * When PID 1 ends, or the thread that called jail_start() ends in whatever way, the kernel ends
 * everything inside; mounts and namespaces go with the last process. The caller must be
 * single-threaded.
 */
#ifndef POSTERN_JAIL_H
#define POSTERN_JAIL_H
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

/* ---- ids ---- */

#define JAIL_RANGE_IDS 65536u /* ids in a ranged jail */
#define JAIL_RANGE_BASE                                                                            \
	1879048192u /* first host id, as root, when /etc/subuid names none for root                \
		       or postern */

enum jail_ids_kind {
	JAIL_IDS_ONE, /* one id inside; as root it is an unused id of the host's, else the caller's
		       */
	JAIL_IDS_RANGE, /* 0 to 65535 inside; as root all of them unused ids of the host's; as an
			   ordinary user 0 is the caller and the rest come from /etc/subuid and
			   /etc/subgid by newuidmap and newgidmap */
};

struct jail_ids {
	enum jail_ids_kind kind;
	uid_t uid; /* inside; JAIL_IDS_ONE only */
	gid_t gid;
};

/* The host's ids behind the jail's 0 (range) or its one id: what a folder that the jail shall own
 * must be chowned to (by root; for an ordinary user these are the caller's own). 0; -ENOENT with *e
 * when the caller has no range. */
int jail_host_ids(const struct jail_ids *ids, uid_t *ret_uid, gid_t *ret_gid, struct error *e);

/* Whether a folder can be given to such a jail with JAIL_IDMAP: its file system can map owners, or it
 * need not. */
bool jail_can_idmap(const char *path, const struct jail_ids *ids);

/* ---- root ---- */

enum jail_mount_kind {
	JAIL_BIND,	/* source (a path of the host's) or fd, with everything mounted below it */
	JAIL_TMPFS,	/* size bytes at most (0: LIMIT_JAIL_TMPFS_BYTES), mode */
	JAIL_PROC,	/* the jail's own /proc */
	JAIL_DEV,	/* null zero full random urandom tty, fd links, own devpts, shm */
	JAIL_SYMLINK,	/* source is what it says */
	JAIL_FILE,	/* a small file with content source (text) and mode (0: 0644) */
	JAIL_DIRECTORY, /* an empty folder with mode (0: 0755) */
	JAIL_BASE, /* source or fd, a folder, is what the root shows, read-only, wherever nothing else of the list is;
			   without what is mounted below it. Nothing on the host follows its symlinks, and its sockets and
			   pipes lead to nobody. First of the list, with "/" for its target */
	JAIL_COPY, /* a copy in memory, of size bytes at most, of the folder that is at source below the folder fd; all
			   in it is the jail's own. Without sockets, pipes and devices, and what is mounted below it */
};

enum {
	JAIL_RO = 1,	      /* read-only, with everything below */
	JAIL_FOLLOW = 2,      /* bind: the source's last part may be a symlink (only where the agent
				 cannot      have planted it); otherwise that is -ELOOP */
	JAIL_NO_SYMLINKS = 4, /* bind: no part of the source may be a symlink */
	JAIL_OPTIONAL = 8,    /* bind: a source that does not exist is left out */
	JAIL_NOEXEC = 16,
	JAIL_IDMAP = 32, /* bind: the owner of source appears as the jail's 0 (or one id) and what
			    the jail makes there belongs to that owner on the host. Needs root;
			    ignored as an ordinary user, where it is so anyway, and for a folder
			    that belongs to jail_host_ids() already. -EOPNOTSUPP with *e where the
			    file system cannot. */
	JAIL_FD =
		64, /* bind, base: fd is the source, and `source` says only what it is called (a folder or file, O_PATH is enough) */
};

/* Mounted in the order given, each at target (absolute; folders on the way are made on the jail's
 * own file systems, and never on the host's). No part of target may be a symlink. All are nosuid,
 * nodev (but the devices of JAIL_DEV) and locked: not even the jail's root can undo or remount
 * them. */
struct jail_mount {
	enum jail_mount_kind kind;
	const char *target;
	const char *source;
	unsigned flags;
	mode_t mode;
	uint64_t size; /* bytes */
	int fd;	       /* with JAIL_FD, and of JAIL_COPY; stays the caller's */
};

/* ---- the jail ---- */

struct jail_rlimit {
	int resource;	/* RLIMIT_… */
	uint64_t limit; /* soft and hard */
};

struct jail_address {
	const char *address; /* IPv4, on lo: "10.200.0.1" */
	unsigned prefix;     /* bits */
};

#define JAIL_FDS_MAX 8

struct jail_spec {
	struct jail_ids ids;
	const char *hostname; /* NULL: "jail" */
	const struct jail_mount *mounts;
	unsigned n_mounts;
	bool root_writable; /* else the assembled root itself is read-only once it stands */
	bool lo;	    /* lo up with 127.0.0.1; otherwise there is no network at all */
	const struct jail_address *addresses;
	unsigned n_addresses;
	bool local_default; /* everything else of IPv4 is refused at once (a `local default dev lo`
			       route) */
	const struct jail_rlimit *limits;
	unsigned n_limits;
	unsigned processes; /* at most, threads included; 0: no limit of its own. Kept by
				RLIMIT_NPROC over the whole user namespace */
	uint64_t memory; /* bytes at most over all processes and what they keep in file systems of
				memory; 0: no such limit. Kept by a cgroup where there is a place for
				one (jail/cgroup.h), and then `processes` too; else only a watchdog
				(below) sees to it */
	const int *keep_fds; /* what PID 1 keeps, at the same numbers, beside 0, 1 and 2 */
	unsigned n_keep_fds;
	/* Called inside, when the network stands and the old root is still there, to make
	 * descriptors that the caller gets in jail.fds (sockets of the jail's network namespace). 0
	 * or -errno. */
	int (*make_fds)(void *arg, int fds[JAIL_FDS_MAX], unsigned *n);
};

/* Why a jail's command ended, beside how. */
enum jail_reason {
	JAIL_ENDED,	     /* by itself, or killed from outside */
	JAIL_MEMORY,	     /* the watchdog or the kernel found more memory in use than allowed */
	JAIL_PROCESSES,	     /* the watchdog found more processes than allowed */
	JAIL_UNNAMED,	     /* the watchdog found more in files without a name than allowed */
	JAIL_CANNOT_EXECUTE, /* argv[0] could not be executed; status is 126 or 127 */
	JAIL_FAILED,	     /* the jail's own set-up of the command failed */
};

struct jail_end {
	int status; /* a wait status: the command's own when jail_command() ran it, else PID 1's */
	bool reported; /* the former */
	enum jail_reason reason;
	char message[160]; /* for JAIL_CANNOT_EXECUTE and JAIL_FAILED; else "" */
};

struct jail {
	pid_t pid;   /* PID 1 as the host sees it; 0 when there is none (any more) */
	int pidfd;   /* readable when PID 1 has ended */
	int proc_fd; /* the jail's own /proc (O_PATH), or its root without JAIL_PROC */
	int user_fd; /* its user namespace: who joins it (setns) has rights over the jail and
			nothing else */
	int end_fd;  /* where PID 1 says how its command ended; jail_wait() reads it */
	int fds[JAIL_FDS_MAX]; /* from make_fds; owned; TAKE_FD() to keep one */
	unsigned n_fds;
	int place_fd, group_fd; /* its cgroup's parent and its cgroup; -1 where there is none */
	char group[32];		/* its name in there */
};
#define JAIL_INIT                                                                                  \
	((struct jail){ .pidfd = -1,                                                               \
			.proc_fd = -1,                                                             \
			.user_fd = -1,                                                             \
			.end_fd = -1,                                                              \
			.place_fd = -1,                                                            \
			.group_fd = -1 })

/* Make a jail and call pid1(arg) as its PID 1, with what it returns as exit code. It runs in a copy
 * of the caller's memory, with all capabilities inside (jail_command() drops them for the command),
 * dumpable 0, PDEATHSIG SIGKILL, default signal handlers, cwd "/", a umask of 022. Returns when
 * pid1 is about to be called: 0, or -errno with *e saying what could not be done and what to do. */
int jail_start(const struct jail_spec *spec, int (*pid1)(void *arg), void *arg, struct jail *ret,
	       struct error *e);
/* Signal PID 1 (which has to handle it, as jail_command() does; SIGKILL always works). 0 or -errno.
 */
int jail_signal(const struct jail *j, int signal);
/* SIGKILL PID 1, and with it everything inside. Call jail_wait() afterwards. */
void jail_kill(const struct jail *j);
/* Wait for the end and reap; then j->pid is 0. 0 or -errno. */
int jail_wait(struct jail *j, struct jail_end *ret);
/* Kill, reap and close what is still there. */
void jail_done(struct jail *j);

/* ---- the ready-made PID 1 ---- */

enum jail_seccomp {
	JAIL_SECCOMP_NONE,
	JAIL_SECCOMP_AGENT, /* what OpenShell denies its agents */
	JAIL_SECCOMP_BUILD, /* what a build engine inside a ranged jail does not need */
};

struct jail_landlock; /* jail/landlock.h */

#define JAIL_CAPS_NONE	0ull
#define JAIL_CAPS_BUILD /* what an engine with chroot isolation needs over its own ids */          \
	((1ull << 0) | (1ull << 1) | (1ull << 2) | (1ull << 3) | (1ull << 4) | (1ull << 5) |       \
	 (1ull << 6) | (1ull << 7) | (1ull << 8) | (1ull << 10) | (1ull << 18) | (1ull << 21) |    \
	 (1ull << 27) | (1ull << 29) | (1ull << 31))

struct jail_watchdog {
	uint64_t memory;    /* bytes over all processes (anonymous, shared and swapped, page tables)
			    and files in memory; 0: not watched. Blind to what the kernel keeps
			    for sockets and pipes */
	unsigned processes; /* threads included; 0: not watched */
	uint64_t unnamed; /* bytes on disks in files that are open and have no name; 0: not watched.
			     Blind to one that is mapped only */
};

struct jail_command {
	const char *const *argv; /* NULL-terminated; argv[0] is searched in PATH of envp when it has
				    no slash */
	const char *const *envp; /* NULL-terminated, the whole environment */
	const char *directory;	 /* NULL: "/" */
	uint64_t capabilities; /* kept, all other sets emptied too: JAIL_CAPS_NONE, JAIL_CAPS_BUILD
				*/
	enum jail_seccomp seccomp;
	const struct jail_landlock *landlock; /* NULL: none */
	bool new_session;		      /* setsid(): no controlling terminal */
	bool terminal;			      /* then 0 becomes it */
	struct jail_watchdog watchdog;
};

/* To be called as, or by, pid1: runs the command as a child with no_new_privs, reaps everything,
 * passes SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH, SIGCONT on, kills what is
 * left when the command ends, tells jail_wait() how it ended and returns 128 + signal or the exit
 * code. Everything that the command needs open at its start is 0, 1 and 2. */
int jail_command(const struct jail_command *command);

#define _cleanup_jail_ __attribute__((cleanup(jail_done)))
#endif
