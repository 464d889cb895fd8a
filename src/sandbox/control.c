/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both ends of the socket over which a policy is handed to a running sandbox. Its name ends with random bytes: nobody else can have taken
 * it before, and whoever looks for it finds it in the kernel's list, where only the user of its process makes it ours.
 */
#include "sandbox/control.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/limit.h"
#include "base/msg.h"
#include "policy/policy.h"
#include "sandbox/resolve.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define PREFIX "postern-sandbox/" /* then the name, a slash, and 16 digits */

enum { ROLE_CALLER = 1, ROLE_SANDBOX = 2 };
enum { CONTROL_NONE, CONTROL_POLICY, CONTROL_TAKEN, CONTROL_REFUSED, CONTROL_COUNT };

static const struct msg_type types[] = {
	[CONTROL_NONE] = { CONTROL_NONE, NULL, 0, "", 0, 0, 0 },
	/* s path, fd sealed file with the text; answered by one of the two below */
	[CONTROL_POLICY] = { CONTROL_POLICY, "policy", ROLE_CALLER, "s", PATH_MAX, 1, 1 },
	/* u number */
	[CONTROL_TAKEN] = { CONTROL_TAKEN, "taken", ROLE_SANDBOX, "u", 0, 0, 0 },
	/* u errno, u line, u column, s message */
	[CONTROL_REFUSED] = { CONTROL_REFUSED, "refused", ROLE_SANDBOX, "uuus",
			      sizeof(((struct error *)NULL)->message), 0, 0 },
};
_Static_assert(ELEMENTS(types) == CONTROL_COUNT, "a row per message");
static const struct msg_table messages = { types, CONTROL_COUNT };
static struct msg message;

/* ---- the sandbox's end ---- */

int control_open(struct control *c, const char *name)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	uint64_t random;
	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return -EIO;
	int n = snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1, PREFIX "%s/%016llx", name,
			 (unsigned long long)random);
	if (n < 0 || (size_t)n >= sizeof(a.sun_path) - 1 || strlen(name) >= SANDBOX_NAME_SIZE)
		return -ENAMETOOLONG;
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&a, size) < 0 || listen(fd, SOMAXCONN) < 0)
		return -errno;
	c->listener = TAKE_FD(fd);
	return 0;
}

static void hang_up(struct control *c)
{
	if (c->caller >= 0)
		close(TAKE_FD(c->caller));
}

void control_close(struct control *c)
{
	hang_up(c);
	if (c->listener >= 0)
		close(TAKE_FD(c->listener));
}

int control_fd(const struct control *c)
{
	return c->listener;
}

static bool same_user(int fd, pid_t *ret_pid)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return false;
	*ret_pid = peer.pid;
	return peer.uid == geteuid();
}

/* Dialer has the host's network, and may have this user's id. */
static bool same_user_namespace(pid_t pid)
{
	char path[64];
	struct stat theirs, ours;
	snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
	return stat(path, &theirs) == 0 && stat("/proc/self/ns/user", &ours) == 0 &&
	       theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino;
}

/* It speaks as soon as it is connected. One that does not must not hold up those behind it for long. */
static int hear_caller(int caller)
{
	struct pollfd p = { .fd = caller, .events = POLLIN };
	pid_t pid;
	if (!same_user(caller, &pid) || !same_user_namespace(pid))
		return -EPERM;
	if (poll(&p, 1, LIMIT_CONTROL_MS) != 1)
		return -ETIME;
	int r = msg_recv(caller, &messages, ROLE_CALLER, &message);
	/* Of a pipe, the end might never come. */
	if (r == 0 && fcntl(message.fds[0], F_GET_SEALS) < 0) {
		msg_done(&message);
		return -EINVAL;
	}
	return r;
}

int control_take(struct control *c, char file[PATH_MAX], int *ret_fd)
{
	c->caller = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (c->caller < 0)
		return 0;
	if (hear_caller(c->caller) < 0) {
		hang_up(c);
		return 0;
	}
	snprintf(file, PATH_MAX, "%s", message.field[0].text);
	*ret_fd = TAKE_FD(message.fds[0]);
	return 1;
}

void control_answer(struct control *c, uint64_t number, const struct error *e)
{
	if (e) {
		msg_begin(&message, &messages, CONTROL_REFUSED, 0);
		msg_put_u(&message, (uint64_t)e->code);
		msg_put_u(&message, e->line);
		msg_put_u(&message, e->column);
		msg_put_s(&message, e->message);
	} else {
		msg_begin(&message, &messages, CONTROL_TAKEN, 0);
		msg_put_u(&message, number);
	}
	(void)msg_send(c->caller, &message); /* a caller that has gone knows nothing */
	hang_up(c);
}

/* ---- the other end ---- */

/* A line of /proc/net/unix: the socket's name, when it listens as a sandbox. */
static bool is_sandbox(const char *line, struct sockaddr_un *ret_address, socklen_t *ret_size,
		       char ret_name[SANDBOX_NAME_SIZE])
{
	static const char listens[] = "00010000"; /* __SO_ACCEPTCON */
	char flags[9], at[sizeof(ret_address->sun_path) + 1];
	if (sscanf(line, "%*s %*s %*s %8s %*s %*s %*s @%107s", flags, at) != 2 ||
	    strcmp(flags, listens) != 0 || strncmp(at, PREFIX, strlen(PREFIX)) != 0)
		return false;
	const char *name = at + strlen(PREFIX);
	size_t n = strcspn(name, "/");
	if (n >= SANDBOX_NAME_SIZE)
		return false;
	snprintf(ret_name, SANDBOX_NAME_SIZE, "%.*s", (int)n, name);
	*ret_address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(ret_address->sun_path + 1, at, strlen(at));
	*ret_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(at));
	return true;
}

/* Another user may listen under such a name, and accept nobody: who is not at hand at once is nobody's sandbox. */
static int connect_to(const struct sockaddr_un *a, socklen_t size, pid_t *ret_pid)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)a, size) < 0 ||
	    !same_user(fd, ret_pid) || fd_set_nonblock(fd, false) < 0)
		return -1;
	return TAKE_FD(fd);
}

static int none_found(const char *name, struct error *e)
{
	return name ? error_set(e, ENOENT, "no sandbox %s of this user's runs here", name)
		    : error_set(e, ENOENT, "no sandbox of this user's runs here");
}

/* A name with a line's end in it, which anybody's socket may have, looks like another line of the list. */
static bool is_known(pid_t pid, const pid_t pids[64], unsigned n)
{
	for (unsigned i = 0; i < n && i < 64; i++)
		if (pids[i] == pid)
			return true;
	return false;
}

/* The only sandbox, or the only one of that name. */
static int call(const char *name, char ret_name[SANDBOX_NAME_SIZE], struct error *e)
{
	_cleanup_close_ int found = -1;
	char line[512], its[SANDBOX_NAME_SIZE], all[256] = "";
	unsigned n = 0;
	pid_t pids[64];
	FILE *list = fopen("/proc/net/unix", "re");
	while (list && fgets(line, sizeof(line), list)) {
		struct sockaddr_un a;
		socklen_t size;
		pid_t pid;
		if (!is_sandbox(line, &a, &size, its) || (name && strcmp(its, name) != 0))
			continue;
		_cleanup_close_ int fd = connect_to(&a, size, &pid);
		if (fd < 0 || is_known(pid, pids, n))
			continue;
		if (n < ELEMENTS(pids))
			pids[n] = pid;
		size_t len = strlen(all);
		snprintf(all + len, sizeof(all) - len, "%s%s", n ? ", " : "", its);
		if (n++ == 0) {
			found = TAKE_FD(fd);
			snprintf(ret_name, SANDBOX_NAME_SIZE, "%s", its);
		}
	}
	if (list)
		fclose(list);
	if (n == 0)
		return none_found(name, e);
	return n == 1 ? TAKE_FD(found)
		      : error_set(e, ENOTUNIQ, "%u sandboxes run here, say which: %s", n, all);
}

static int hand_over(int fd, const char *file, int policy, uint64_t *ret_number, struct error *e)
{
	msg_begin(&message, &messages, CONTROL_POLICY, 0);
	msg_put_s(&message, file);
	msg_put_fd(&message, policy);
	int r = msg_send(fd, &message);
	if (r == 0)
		r = msg_recv(fd, &messages, ROLE_SANDBOX, &message);
	if (r < 0)
		return error_set(e, -r, "the sandbox ended, or this process may not ask it");
	const struct msg_field *f = message.field;
	if (message.type->type == CONTROL_TAKEN) {
		*ret_number = f[0].number;
		return 0;
	}
	return error_at(e, (int)f[0].number, (unsigned)f[1].number, (unsigned)f[2].number, "%s",
			f[3].text);
}

/* Where a file is, for the sandbox to look at: absolute; or, of a pipe that was given as /dev/fd/N, its name as the kernel has it,
 * which has no slash. */
static int place_of(const char *file, char ret[PATH_MAX])
{
	if (strncmp(file, "/dev/fd/", 8) != 0 && strncmp(file, "/proc/self/fd/", 14) != 0)
		return absolute_path(file, ret);
	ssize_t n = readlink(file, ret, PATH_MAX - 1);
	if (n < 0)
		return -errno;
	ret[n] = '\0';
	return 0;
}

int sandbox_set_policy(const char *name, const struct policy *policy,
		       char ret_name[SANDBOX_NAME_SIZE], uint64_t *ret_number, struct error *e)
{
	char absolute[PATH_MAX];
	const char *file = policy_file(policy);
	size_t n;
	const char *text = policy_text(policy, &n);
	int r = place_of(file, absolute);
	_cleanup_close_ int sealed = r < 0 ? r : fd_sealed("policy", text, n);
	if (sealed < 0) {
		error_set(e, -sealed, "cannot hand it over: %s", strerror(-sealed));
		return error_in_file(e, file);
	}
	_cleanup_close_ int fd = call(name, ret_name, e);
	if (fd < 0)
		return fd;
	r = hand_over(fd, absolute, sealed, ret_number, e);
	return r < 0 ? error_in_file(e, file) : 0;
}
