/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a jail takes two processes. The builder (a child of the caller's) makes the outer user and
 * mount namespaces and the root in them; then it clones PID 1 as the caller's child (CLONE_PARENT),
 * which mounts /proc and goes into the inner ones; the builder writes its id maps and goes. The
 * caller writes the builder's maps. All three talk over one socket; a note is an error or the next
 * step done.
 */
#include "jail/jail.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "jail/cgroup.h"
#include "jail/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/keyctl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define LOOK_MS 20 /* between looks for signals, while a jail is being made */

enum note_kind { NOTE_FAILED = 1, NOTE_MAP_ME, NOTE_MAPPED, NOTE_CLONED, NOTE_READY, NOTE_GO };

struct note {
	enum note_kind kind;
	pid_t pid;
	struct error error;
};

struct start {
	const struct jail_spec *spec;
	struct id_plan plan;
	int (*pid1)(void *arg);
	void *arg;
	int channel; /* the builder's and PID 1's end … */
	int callers; /* … and the caller's, which they must not hold: its end is how they hear that nobody is left */
	int end;  /* where PID 1 says how its command ended */
	int proc; /* the jail's /proc once more, where nobody inside can mount over it; or -1 */
	struct root root;
};

/* ---- notes ---- */

static int note_send(int fd, enum note_kind kind, pid_t pid, const struct error *e, const int *fds,
		     unsigned n_fds)
{
	struct note note = { .kind = kind, .pid = pid };
	if (e)
		note.error = *e;
	union {
		char bytes[CMSG_SPACE(sizeof(int) * (JAIL_FDS_MAX + 2))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { &note, sizeof(note) };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	if (n_fds) {
		m.msg_control = control.bytes;
		m.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
	}
	return sendmsg(fd, &m, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Wait for a note of one kind; a failure of the other side's becomes ours. */
static int note_await(int fd, enum note_kind kind, struct note *ret, int *fds, unsigned *n_fds,
		      struct error *e)
{
	struct note note;
	union {
		char bytes[CMSG_SPACE(sizeof(int) * (JAIL_FDS_MAX + 2))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { &note, sizeof(note) };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control.bytes,
			    .msg_controllen = sizeof(control.bytes) };
	ssize_t n;
	do
		n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n != sizeof(note))
		return error_set(e, EPIPE, "a jail ended while it was being made");
	if (note.kind == NOTE_FAILED) {
		if (e)
			*e = note.error;
		return -note.error.code;
	}
	if (note.kind != kind)
		return error_set(e, EPROTO, "a jail's set-up lost its order");
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	if (n_fds && c && c->cmsg_type == SCM_RIGHTS) {
		*n_fds = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(fds, CMSG_DATA(c), sizeof(int) * *n_fds);
	}
	if (ret)
		*ret = note;
	return 0;
}

/* ---- PID 1 ---- */

static int compare_ints(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* Close everything but 0, 1, 2, what the caller wants kept, and three of our own. */
static int close_others(const struct start *s)
{
	const struct jail_spec *spec = s->spec;
	int keep[32];
	unsigned n = 0;
	if (spec->n_keep_fds > ELEMENTS(keep) - 6)
		return -E2BIG;
	if (lacks("descriptors"))
		return 0;
	for (int fd = 0; fd < 3; fd++)
		keep[n++] = fd;
	keep[n++] = s->channel;
	keep[n++] = s->end;
	if (s->proc >= 0)
		keep[n++] = s->proc;
	for (unsigned i = 0; i < spec->n_keep_fds; i++)
		keep[n++] = spec->keep_fds[i];
	qsort(keep, n, sizeof(keep[0]), compare_ints);
	unsigned from = 0;
	for (unsigned i = 0; i < n; i++) {
		if (keep[i] > (int)from && close_range(from, (unsigned)keep[i] - 1, 0) < 0)
			return -errno;
		from = (unsigned)keep[i] + 1;
	}
	return close_range(from, ~0u, 0) < 0 ? -errno : 0;
}

static int become_inside(const struct id_plan *plan, struct error *e)
{
	if ((!plan->inner_deny_setgroups && setgroups(0, NULL) < 0) ||
	    setresgid(plan->inside_gid, plan->inside_gid, plan->inside_gid) < 0 ||
	    setresuid(plan->inside_uid, plan->inside_uid, plan->inside_uid) < 0)
		return error_set(e, errno, "cannot take on a jail's ids: %s", strerror(errno));
	return 0;
}

/* Everything that PID 1 sets up; fds get what the caller wants handed out. */
static int pid1_set_up(struct start *s, int fds[JAIL_FDS_MAX + 2], unsigned *n_fds, struct error *e)
{
	const struct jail_spec *spec = s->spec;
	const char *name = spec->hostname ? spec->hostname : "jail";
	/* A keyring of its own: keys of the caller's session are nothing for those inside. */
	(void)syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL);
	fds[0] = open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC);
	int r = fds[0] < 0 ? error_set(e, errno, "no /proc on this host") : 0;
	if (r == 0)
		r = become_inside(&s->plan, e);
	if (r == 0 && sethostname(name, strlen(name)) < 0)
		r = error_set(e, errno, "cannot set a jail's host name: %s", strerror(errno));
	if (r == 0 && !lacks("network"))
		r = net_up(spec, e);
	if (r == 0 && spec->make_fds) {
		unsigned n = 0;
		r = spec->make_fds(s->arg, fds + 2, &n);
		*n_fds = 2 + n;
		if (r < 0)
			error_set(e, -r, "cannot make a jail's sockets: %s", strerror(-r));
	}
	if (r == 0)
		r = root_enter(spec->root_writable, e);
	if (r < 0)
		return r;
	fds[1] = s->proc >= 0 ? s->proc : open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fds[1] < 0)
		return error_set(e, errno, "cannot open a jail's root: %s", strerror(errno));
	return lacks("limits") ? 0 : rlimit_set(spec->limits, spec->n_limits, e);
}

/* In the outer namespaces still, but for the pid namespace, which is thereby theirs: those inside can
 * mount no other /proc of it, and this one is locked as all else is. Then into the inner ones, whose
 * maps the builder writes. */
static int pid1_move_in(struct start *s, int builder, struct error *e)
{
	const int flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWCGROUP |
			  (lacks("ipc") ? 0 : CLONE_NEWIPC) | (lacks("network") ? 0 : CLONE_NEWNET);
	char byte;
	if (fd_read_full(builder, &byte, 1) != 1)
		_exit(1);
	int r = root_mount_proc(s->spec, &s->root, &s->proc, e);
	if (r < 0)
		return r;
	if (unshare(flags) < 0)
		return error_set(e, errno, "cannot make a jail's namespaces: %s", strerror(errno));
	if (fd_write_full(builder, "", 1) < 0 || fd_read_full(builder, &byte, 1) != 1)
		_exit(1);
	return 0;
}

static void __attribute__((noreturn)) pid1_main(struct start *s, int builder)
{
	struct error e = { 0 };
	int fds[JAIL_FDS_MAX + 2];
	unsigned n_fds = 2;
	int r = pid1_move_in(s, builder, &e);
	if (r == 0)
		r = pid1_set_up(s, fds, &n_fds, &e);
	/* Changing ids clears the parent-death signal, so it comes after; a parent that died before
	 * it never answers below. */
	if (r == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0))
		r = error_set(&e, errno, "cannot guard a jail's PID 1: %s", strerror(errno));
	if (r == 0)
		r = note_send(s->channel, NOTE_READY, 0, NULL, fds, n_fds);
	if (r == 0)
		r = close_others(s);
	if (r < 0) {
		if (!e.code)
			error_set(&e, -r, "a jail's PID 1: %s", strerror(-r));
		(void)note_send(s->channel, NOTE_FAILED, 0, &e, NULL, 0);
		_exit(1);
	}
	if (note_await(s->channel, NOTE_GO, NULL, NULL, NULL, NULL) < 0)
		_exit(1);
	close(s->channel);
	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	umask(022);
	init_end_fd = s->end;
	init_proc_fd = s->proc;
	_exit(s->pid1(s->arg));
}

/* ---- the builder ---- */

static int become_builder(const struct id_plan *plan, struct error *e)
{
	if ((!plan->outer_deny_setgroups && setgroups(0, NULL) < 0) ||
	    setresgid(plan->builder_gid, plan->builder_gid, plan->builder_gid) < 0 ||
	    setresuid(plan->builder_uid, plan->builder_uid, plan->builder_uid) < 0)
		return error_set(e, errno, "cannot take on a jail's outer ids: %s",
				 strerror(errno));
	/* PID 1's /proc entries have to be the builder's, who writes its maps. */
	if (prctl(PR_SET_DUMPABLE, 1) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return error_set(e, errno, "prctl: %s", strerror(errno));
	return 0;
}

static int builder_unshare(struct start *s, struct error *e)
{
	bool privileged = geteuid() == 0;
	int r = 0;
	if (privileged) /* with the host's rights, before they are given up */
		r = root_open_sources(s->spec, &s->plan, true, &s->root, e);
	if (r < 0)
		return r;
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		return error_set(e, errno,
				 "cannot make a user namespace (are they forbidden here, see "
				 "user.max_user_namespaces?): %s",
				 strerror(errno));
	r = note_send(s->channel, NOTE_MAP_ME, 0, NULL, NULL, 0);
	if (r == 0)
		r = note_await(s->channel, NOTE_MAPPED, NULL, NULL, NULL, e);
	if (r == 0)
		r = become_builder(&s->plan, e);
	if (r == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		r = error_set(e, errno, "cannot make mounts private: %s", strerror(errno));
	if (r == 0 && !privileged)
		r = root_open_sources(s->spec, &s->plan, false, &s->root, e);
	return r;
}

/* The inner user namespace inherits this as its hard limit, whatever ids its processes take on;
 * counted is what runs under the builder's id in the outer one: that jail, and us. */
static int limit_processes(const struct jail_spec *spec, struct error *e)
{
	struct rlimit l = { spec->processes + 1, spec->processes + 1 }, had;
	if (!spec->processes || lacks("limits"))
		return 0;
	if (getrlimit(RLIMIT_NPROC, &had) == 0 && had.rlim_max < l.rlim_max)
		l = (struct rlimit){ had.rlim_max, had.rlim_max };
	return setrlimit(RLIMIT_NPROC, &l) < 0
		       ? error_set(e, errno, "RLIMIT_NPROC: %s", strerror(errno))
		       : 0;
}

/* Clone PID 1, as a child of our own parent, and write its maps. */
static int builder_clone(struct start *s, struct error *e)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return error_set(e, errno, "socketpair: %s", strerror(errno));
	_cleanup_close_ int to_pid1 = pair[0];
	long pid =
		syscall(SYS_clone, CLONE_NEWPID | CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid < 0) {
		close(pair[1]);
		return error_set(e, errno, "cannot make a pid namespace: %s", strerror(errno));
	}
	if (pid == 0) {
		close(pair[0]);
		pid1_main(s, pair[1]);
	}
	close(pair[1]);
	/* The caller has to hear of its new child before anything can fail further; PID 1 does
	 * nothing before it gets a byte, and ends when it gets none. */
	char byte;
	int r = note_send(s->channel, NOTE_CLONED, (pid_t)pid, NULL, NULL, 0);
	if (r < 0)
		return error_set(e, -r, "the jail's caller is gone");
	if (fd_write_full(to_pid1, "", 1) < 0 || fd_read_full(to_pid1, &byte, 1) != 1)
		return -EPIPE; /* it has said why */
	r = ids_write((pid_t)pid, &s->plan.inner_uid, &s->plan.inner_gid,
		      s->plan.inner_deny_setgroups, e);
	if (r == 0 && fd_write_full(to_pid1, "", 1) < 0)
		r = error_set(e, EPIPE, "a jail's PID 1 is gone");
	return r;
}

static void __attribute__((noreturn)) builder_main(struct start *s)
{
	struct error e = { 0 };
	close(s->callers);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_DUMPABLE, 1);
	umask(0);
	int r = builder_unshare(s, &e);
	if (r == 0)
		r = root_assemble(s->spec, &s->plan, &s->root, &e);
	if (r == 0)
		r = limit_processes(s->spec, &e);
	if (r == 0)
		r = builder_clone(s, &e);
	if (r < 0) {
		if (!e.code)
			error_set(&e, -r, "a jail's builder: %s", strerror(-r));
		(void)note_send(s->channel, NOTE_FAILED, 0, &e, NULL, 0);
	}
	_exit(r < 0);
}

/* ---- the caller ---- */

static int map_builder(pid_t builder, const struct id_plan *plan, struct error *e)
{
	if (plan->outer_by_helper)
		return ids_write_by_helper(builder, &plan->outer_uid, &plan->outer_gid, e);
	return ids_write(builder, &plan->outer_uid, &plan->outer_gid, plan->outer_deny_setgroups,
			 e);
}

/* A group for the builder, and so for all that comes of it; none where there is no place for one. */
static int make_group(const struct jail_spec *spec, pid_t builder, struct jail *j, struct error *e)
{
	if (!spec->memory || lacks("limits") || (j->place_fd = cgroup_place()) < 0)
		return 0;
	j->group_fd =
		cgroup_make(j->place_fd, spec->memory, spec->processes ? spec->processes + 1 : 0,
			    j->group, sizeof(j->group));
	int r = j->group_fd < 0 ? j->group_fd : cgroup_add(j->group_fd, builder);
	return r < 0 ? error_set(e, -r, "cannot make a cgroup for a jail: %s", strerror(-r)) : 0;
}

/* A caller that blocks signals attends to them later; this may take long enough (a root is copied) to give up for one. */
static bool is_told_to_end(void)
{
	static const int ends[] = { SIGINT, SIGTERM, SIGQUIT };
	sigset_t waiting;
	sigpending(&waiting);
	for (size_t i = 0; i < ELEMENTS(ends); i++)
		if (sigismember(&waiting, ends[i]) == 1)
			return true;
	return false;
}

/* The same as note_await(), or -EINTR. */
static int await_or_give_up(int channel, enum note_kind kind, struct note *ret, struct error *e)
{
	struct pollfd p = { .fd = channel, .events = POLLIN };
	do
		if (is_told_to_end())
			return error_set(e, EINTR, "interrupted before the jail was made");
	while (poll(&p, 1, LOOK_MS) == 0);
	return note_await(channel, kind, ret, NULL, NULL, e);
}

/* Given up: a PID 1 of which we have not heard yet is our child all the same. The builder has ended, so that nothing more comes of it. */
static void hear_of_child(int channel, struct jail *j)
{
	struct note note;
	while (!j->pid && recv(channel, &note, sizeof(note), MSG_DONTWAIT) == sizeof(note))
		if (note.kind == NOTE_CLONED)
			j->pid = note.pid;
}

/* Lead the two processes through the set-up. */
static int conduct(int channel, pid_t builder, const struct start *s, struct jail *j,
		   struct error *e)
{
	struct note note;
	int r = await_or_give_up(channel, NOTE_MAP_ME, NULL, e);
	if (r == 0)
		r = make_group(s->spec, builder, j, e);
	if (r == 0)
		r = map_builder(builder, &s->plan, e);
	if (r == 0 && (r = note_send(channel, NOTE_MAPPED, 0, NULL, NULL, 0)) < 0)
		error_set(e, -r, "a jail's builder is gone");
	if (r == 0)
		r = await_or_give_up(channel, NOTE_CLONED, &note, e);
	if (r < 0)
		return r;
	j->pid = note.pid;
	j->pidfd = (int)syscall(SYS_pidfd_open, j->pid, 0);
	if (j->pidfd < 0)
		return error_set(e, errno, "pidfd_open: %s", strerror(errno));
	int fds[JAIL_FDS_MAX + 2];
	unsigned n = 0;
	r = note_await(channel, NOTE_READY, NULL, fds, &n, e);
	if (r < 0)
		return r;
	j->user_fd = fds[0];
	j->proc_fd = fds[1];
	j->n_fds = n - 2;
	memcpy(j->fds, fds + 2, sizeof(int) * j->n_fds);
	return 0;
}

int jail_start(const struct jail_spec *spec, int (*pid1)(void *arg), void *arg, struct jail *ret,
	       struct error *e)
{
	static struct start s; /* large, and copied into the children */
	s = (struct start){ .spec = spec, .pid1 = pid1, .arg = arg, .proc = -1 };
	int r = ids_plan(&spec->ids, &s.plan, e);
	if (r < 0)
		return r;
	int channel[2], end[2];
	if (fd_seqpacket_pair(channel) < 0)
		return error_set(e, errno, "socketpair: %s", strerror(errno));
	_cleanup_close_ int ours = channel[0];
	_cleanup_close_ int theirs = channel[1];
	if (pipe2(end, O_CLOEXEC) < 0)
		return error_set(e, errno, "pipe: %s", strerror(errno));
	struct jail j = JAIL_INIT;
	j.end_fd = end[0];
	_cleanup_close_ int end_write = end[1];
	s.channel = theirs;
	s.callers = ours;
	s.end = end_write;
	pid_t builder = fork();
	if (builder < 0) {
		r = error_set(e, errno, "fork: %s", strerror(errno));
		jail_done(&j);
		return r;
	}
	if (builder == 0)
		builder_main(&s);
	close(TAKE_FD(theirs));
	close(TAKE_FD(end_write));
	r = conduct(ours, builder, &s, &j, e);
	if (r < 0)
		kill(builder, SIGKILL);
	while (waitpid(builder, NULL, 0) < 0 && errno == EINTR)
		;
	if (r < 0)
		hear_of_child(ours, &j);
	if (r == 0 && (r = note_send(ours, NOTE_GO, 0, NULL, NULL, 0)) < 0)
		error_set(e, -r, "a jail's PID 1 is gone");
	if (r < 0) {
		jail_done(&j);
		return r;
	}
	*ret = j;
	return 0;
}

int jail_signal(const struct jail *j, int signal)
{
	if (j->pid <= 0)
		return -ESRCH;
	return syscall(SYS_pidfd_send_signal, j->pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}

void jail_kill(const struct jail *j)
{
	if (j->pid > 0 && j->pidfd >= 0)
		(void)jail_signal(j, SIGKILL);
	else if (j->pid > 0)
		kill(j->pid, SIGKILL); /* our child, not reaped: the number is still its own */
}

int jail_wait(struct jail *j, struct jail_end *ret)
{
	struct jail_end end = { 0 }, told;
	if (j->pid <= 0)
		return -ECHILD;
	while (waitpid(j->pid, &end.status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	j->pid = 0;
	/* PID 1 is gone and everything inside with it, so this never blocks. */
	if (j->end_fd >= 0 && fd_read_full(j->end_fd, &told, sizeof(told)) == sizeof(told)) {
		told.message[sizeof(told.message) - 1] = '\0';
		end = told;
		end.reported = true;
	} else if (j->group_fd >= 0 && cgroup_memory_kills(j->group_fd)) {
		end.reason = JAIL_MEMORY;
	}
	*ret = end;
	return 0;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(TAKE_FD(*fd));
}

void jail_done(struct jail *j)
{
	struct jail_end end;
	if (j->pid > 0) {
		jail_kill(j);
		(void)jail_wait(j, &end);
	}
	close_fd(&j->pidfd);
	close_fd(&j->proc_fd);
	close_fd(&j->user_fd);
	close_fd(&j->end_fd);
	close_fd(&j->group_fd);
	if (*j->group)
		cgroup_remove(j->place_fd, j->group);
	*j->group = '\0';
	close_fd(&j->place_fd);
	for (unsigned i = 0; i < j->n_fds; i++)
		close_fd(&j->fds[i]);
	j->n_fds = 0;
}
