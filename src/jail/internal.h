/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of src/jail share among themselves; nobody else includes it. */
#ifndef POSTERN_JAIL_INTERNAL_H
#define POSTERN_JAIL_INTERNAL_H
#include "base/limit.h"
#include "jail/jail.h"

/* ---- weak.c ---- */

/* Whether one wall is left out on purpose, so that a test can show that it would be missed. Only the
 * worker that is built for tests has JAIL_WEAK, and never the programs that are installed. */
#ifdef JAIL_WEAK
void weak_load(void);
bool lacks(const char *wall);
#else
#define weak_load()
#define lacks(wall) false
#endif

/* ---- ids.c ---- */

struct id_extent {
	uint32_t inside, outside, count;
};

struct id_map {
	struct id_extent extent[2];
	unsigned n;
};

/* A jail has two user namespaces: the root is assembled in the outer one, and the inner one gets a
 * copy of the mounts, which the kernel locks because its owner is another. */
struct id_plan {
	struct id_map outer_uid, outer_gid; /* against the caller's namespace */
	bool outer_by_helper;		    /* newuidmap and newgidmap have to write them */
	bool outer_deny_setgroups; /* the caller's supplementary groups cannot be dropped */
	uid_t builder_uid;	   /* who assembles, in the outer namespace */
	gid_t builder_gid;
	struct id_map inner_uid, inner_gid; /* against the outer one */
	bool inner_deny_setgroups;
	uid_t inside_uid; /* what PID 1 becomes */
	gid_t inside_gid;
	uid_t owner_uid; /* the same, as the outer namespace and as the host see it */
	gid_t owner_gid;
	uid_t host_uid;
	gid_t host_gid;
};

int ids_plan(const struct jail_ids *ids, struct id_plan *ret, struct error *e);
/* Write the maps of a process's fresh user namespace. */
int ids_write(pid_t pid, const struct id_map *uid, const struct id_map *gid, bool deny_setgroups,
	      struct error *e);
int ids_write_by_helper(pid_t pid, const struct id_map *uid, const struct id_map *gid,
			struct error *e);
/* A user namespace that exists only as a descriptor, with one id mapped each. */
int ids_namespace(uid_t inside_uid, uid_t outside_uid, gid_t inside_gid, gid_t outside_gid,
		  int *ret_fd);
/* An id of the host's that nothing else uses, for a service that root starts. */
int ids_service(uid_t *ret_uid, gid_t *ret_gid);

/* ---- root.c ---- */

#define ROOT_STAGE	"/tmp" /* where the root is assembled, over whatever is there */
#define ROOT_DEVICES	6
#define ROOT_MOUNTS_MAX LIMIT_JAIL_MOUNTS

struct root {
	int tree[ROOT_MOUNTS_MAX]; /* detached copies, by index of the mount; -1: none */
	mode_t type[ROOT_MOUNTS_MAX];
	int device[ROOT_DEVICES];
	dev_t own[ROOT_MOUNTS_MAX + 4]; /* the file systems made for this root: nowhere else is
					   anything created */
	unsigned n_own;
};

int root_open_sources(const struct jail_spec *spec, const struct id_plan *plan, bool privileged,
		      struct root *ret, struct error *e);
/* A file system in memory, detached. */
int root_new_tmpfs(uint64_t size, mode_t mode, unsigned flags, uid_t uid, gid_t gid, int *ret_tree);
/* One source as a detached tree. */
int root_open_tree(const struct jail_mount *m, const struct id_plan *plan, bool privileged,
		   int *ret_tree, mode_t *ret_type, struct error *e);
/* Cover ROOT_STAGE with an empty tmpfs. */
int root_stage(struct root *root, struct error *e);
/* In the outer namespaces: build the root at ROOT_STAGE. */
int root_assemble(const struct jail_spec *spec, const struct id_plan *plan, struct root *root,
		  struct error *e);
/* Put a detached tree at a new file or folder below ROOT_STAGE. */
int root_attach(const struct root *root, int tree, mode_t type, const char *target,
		struct error *e);
/* As PID 1, in the outer namespaces otherwise: mount /proc, without what tells of the host's keys.
 * *ret_private gets the same mounted nowhere; untouched without JAIL_PROC. */
int root_mount_proc(const struct jail_spec *spec, const struct root *root, int *ret_private,
		    struct error *e);
/* In the inner namespaces: make it the root and let go of the old one. */
int root_enter(bool writable, struct error *e);

/* ---- copy.c ---- */

/* A JAIL_COPY as a detached tree, whose owner is uid and gid as we see them. */
int copy_make(const struct jail_mount *m, uid_t uid, gid_t gid, int *ret_tree, struct error *e);

/* ---- net.c ---- */

int net_up(const struct jail_spec *spec, struct error *e);

/* ---- caps.c ---- */

/* Keep only these capabilities, in permitted, effective and bounding sets; no_new_privs. */
int caps_keep(uint64_t mask);

/* ---- rlimit.c ---- */

/* These, and before them that nothing leaves a core. */
int rlimit_set(const struct jail_rlimit *limits, unsigned n, struct error *e);

/* ---- init.c ---- */

extern int init_end_fd;	 /* where jail_command() says how its command ended */
extern int init_proc_fd; /* where its watchdog looks; -1: nowhere */

/* ---- memfiles.c ---- */

#define MEMFILES_VIEWS 32

/* For tdestroy() of a set whose members are numbers: there is nothing to free. */
void memfiles_nothing(void *key);

struct memfiles_view { /* a mount namespace, and a root in it */
	char ns[32];
	dev_t dev;
	ino_t ino;
};

/* A look at every process takes its time when there are many descriptors: it is taken in pieces. */
struct memfiles {
	dev_t memfds;		/* the file system of memfds */
	void *known;		/* those in memory that were there before the command */
	long next;		/* the process that the look goes on with; 0: from the start */
	void *inodes, *devices; /* that are counted already */
	struct memfiles_view views[MEMFILES_VIEWS];
	unsigned n_views;
	uint64_t now, last; /* bytes, by the look that is under way, and by the one before */
	uint64_t unnamed, last_unnamed; /* the same, of open files on disks that have no name */
};

/* Before the command starts. */
void memfiles_begin(struct memfiles *m, int proc_fd);
/* Look on for about so many ms. The bytes of files in memory, mapped or not. */
uint64_t memfiles_look(struct memfiles *m, int proc_fd, unsigned ms);
uint64_t memfiles_unnamed(const struct memfiles *m);
/* The bytes of semaphores and messages of our ipc namespace. */
uint64_t memfiles_system_v(int proc_fd);

/* ---- watchdog.c ---- */

/* Before the command starts: what is there already. */
void watchdog_begin(int proc_fd);
/* Look once at the processes in /proc (a descriptor of the jail's own). */
enum jail_reason watchdog_check(int proc_fd, const struct jail_watchdog *limits);
#endif
