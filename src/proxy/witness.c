/* SPDX-License-Identifier: Apache-2.0 */
/*
 * postern-witness: tells proxy which program is behind a connection.
 *
 * Descriptors: 3 channel to proxy; 4 the sandbox's /proc (process ids in the sandbox's numbering);
 * 5 a SOCK_DIAG netlink socket made in the sandbox's network namespace; 6 the sandbox's user
 * namespace; 7 channel to the supervisor, on which it says that it is ready and which closes when it
 * should end.
 *
 * acquire  Should: ask the kernel about proxy's own socket, so that one which cannot answer is known at
 *          once; all that it needs was handed over. Mustn't: open anything.
 * drop     Should: become the sandbox's own user, in its user namespace, with the one right to look
 *          at its processes; empty root, no network. Mustn't: enter its pid namespace, where it
 *          could be seen; take on Landlock, under which no other process may be looked at.
 * serve    Should: answer SANDBOX_WHO, hash the programs that it names for the first time. Mustn't: believe a
 *          number that proxy gives, beyond asking the kernel about it; read what processes say about themselves; write.
 */
#include "base/cleanup.h"
#include "base/limit.h"
#include "base/log.h"
#include "jail/confine.h"
#include "proxy/holders.h"
#include "proxy/messages.h"
#include "proxy/pins.h"
#include "proxy/sockdiag.h"
#include "proxy/syscalls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <linux/capability.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/time.h>

/* Each holder and each ancestor may be a program that nobody has seen, but once seen it is: so many are more than enough,
 * unless files change as fast as they are hashed. */
#define HASHES_PER_QUESTION (2 * LIMIT_ANCESTORS)

enum { FD_PROXY = 3, FD_PROC, FD_DIAG, FD_USER, FD_SUPERVISOR };

static struct msg message;

static bool read_end(const struct msg_field *address, const struct msg_field *port,
		     struct sock_end *ret)
{
	if ((address->len != 4 && address->len != 16) || port->number > UINT16_MAX)
		return false;
	memcpy(ret->address, address->text, address->len);
	ret->port = (uint16_t)port->number;
	return true;
}

/* That an asker is gone is its own affair; anything else may make somebody wonder, but not fill a log. */
static void say_once(int r)
{
	static bool said;
	if (r == -ENOENT || said)
		return;
	said = true;
	log_warning("a request is refused since it cannot be told who sent it: %s", strerror(-r));
}

/* Its descriptors cannot be seen, so that it counts as a holder of all connections: nobody would guess. */
static void say_hidden_once(pid_t pid)
{
	static struct buf path = BUF_INIT(PATH_MAX + 1);
	static bool said;
	if (!pid || said)
		return;
	said = true;
	if (holders_put_executable(FD_PROC, pid, &path) < 0)
		buf_append(&path, "?", 2);
	log_warning("process %d in the sandbox, %s, hides its open files (it is undumpable): as "
		    "long as it "
		    "runs, only what it may send itself is allowed, whoever asks",
		    pid, path.data);
	buf_done(&path);
}

/* ---- questions ---- */

/* One that waits until a program is hashed. */
struct question {
	uint64_t seq;
	struct sock_end client, proxy;
	size_t size;	/* bytes of an address; 0: no question is here */
	int hash;	/* that it waits for, or PINS_LATER */
	bool due;	/* it has ended: ask again */
	unsigned tries; /* hashes that it has waited for */
};
static struct question waiting[LIMIT_PROXY_CONNECTIONS];
static unsigned n_waiting;

static int tell_unknown(uint64_t seq, int r)
{
	say_once(r);
	msg_begin(&message, &sandbox_messages, SANDBOX_ASKER_UNKNOWN, seq);
	msg_put_u(&message, (uint64_t)-r);
	return msg_send(FD_PROXY, &message);
}

static void set_aside(const struct question *q)
{
	unsigned i = 0;
	while (waiting[i].size)
		i++;
	waiting[i] = *q;
	n_waiting++;
}

/* Answer it, or set it aside. 0, or -errno when proxy cannot be talked to. */
static int answer(struct question *q)
{
	static struct buf paths = BUF_INIT(SANDBOX_HOLDERS_MAX);
	uint32_t inode;
	pid_t hidden = 0;
	int r = sockdiag_inode(FD_DIAG, q->size, &q->client, &q->proxy, &inode);
	if (r == 0)
		r = holders_find(FD_PROC, inode, &paths, &hidden, &q->hash);
	say_hidden_once(hidden);
	if (r == -EINPROGRESS && q->tries < HASHES_PER_QUESTION) {
		q->tries++;
		q->due = false;
		set_aside(q);
		return 0;
	}
	if (r < 0)
		return tell_unknown(q->seq, r == -EINPROGRESS ? -EAGAIN : r);
	msg_begin(&message, &sandbox_messages, SANDBOX_ASKER, q->seq);
	msg_put_b(&message, paths.data, paths.len);
	return msg_send(FD_PROXY, &message);
}

/* The question in `message`. */
static int answer_who(void)
{
	const struct msg_field *f = message.field;
	struct question q = { .seq = message.seq, .size = f[0].len };
	if (!read_end(&f[0], &f[1], &q.client) || !read_end(&f[2], &f[3], &q.proxy) ||
	    f[0].len != f[2].len)
		return -EPROTO;
	return answer(&q);
}

/* One of those whose program has been hashed; *ret_more: whether there are others. */
static int answer_due(bool *ret_more)
{
	static unsigned turn;
	*ret_more = false;
	for (unsigned i = 0; n_waiting && i < LIMIT_PROXY_CONNECTIONS; i++) {
		turn = (turn + 1) % LIMIT_PROXY_CONNECTIONS;
		struct question q = waiting[turn];
		if (!q.size || !q.due)
			continue;
		*ret_more = true;
		waiting[turn].size = 0;
		n_waiting--;
		return answer(&q);
	}
	return 0;
}

/* A slice of a hash; those who waited for one that ended, or for room, are due. */
static bool hash_some(void)
{
	bool any = false;
	int ended = pins_step();
	for (unsigned i = 0; ended != PINS_LATER && i < LIMIT_PROXY_CONNECTIONS; i++) {
		struct question *q = &waiting[i];
		if (q->size && (q->hash == ended || q->hash == PINS_LATER))
			any = q->due = true;
	}
	return any;
}

/* A kernel that cannot be asked would have every request refused without a reason: where tcp_diag is a
 * module that is not there, it says ENOENT of every socket. Proxy's is there, so it must be found. */
static int try_kernel(struct error *e)
{
	struct sock_end proxy = { .port = SANDBOX_PROXY_PORT }, nobody = { 0 };
	uint32_t inode;
	/* An answer of the kernel's that does not come must not stop the others' questions. */
	struct timeval second = { .tv_sec = 1 };
	if (setsockopt(FD_DIAG, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof(second)) < 0)
		return error_set(e, errno, "SO_RCVTIMEO: %s", strerror(errno));
	if (inet_pton(AF_INET, SANDBOX_PROXY_ADDRESS, proxy.address) != 1)
		return error_set(e, EINVAL, "not an address: " SANDBOX_PROXY_ADDRESS);
	int r = sockdiag_inode(FD_DIAG, 4, &proxy, &nobody, &inode);
	if (r == -ENOENT)
		return error_set(e, -r,
				 "the kernel cannot tell whose a connection is: load its module "
				 "tcp_diag (modprobe tcp_diag, as root)");
	return r < 0 ? error_set(e, -r, "the kernel cannot tell whose a connection is: %s",
				 strerror(-r))
		     : 0;
}

/* What proxy asks, what has waited, and a slice of a hash, in turns: none of them holds up another for long. */
static int serve(void)
{
	struct pollfd p[] = { { FD_PROXY, 0, 0 }, { FD_SUPERVISOR, POLLIN, 0 } };
	bool due = false;
	for (;;) {
		/* With no room to set one aside, they wait in the channel. */
		p[0].events = n_waiting < LIMIT_PROXY_CONNECTIONS ? POLLIN : 0;
		if (poll(p, ELEMENTS(p), due ? 0 : pins_wait_ms()) < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (p[1].revents)
			return 0;
		int r = 0;
		if (p[0].revents)
			r = msg_recv(FD_PROXY, &sandbox_messages, SANDBOX_ROLE_PROXY, &message);
		if (r == 0 && p[0].revents)
			r = message.type->type == SANDBOX_WHO ? answer_who() : -EPROTO;
		if (r == 0)
			r = answer_due(&due);
		if (r < 0)
			return r == -ECONNRESET || r == -EPIPE ? 0 : r;
		due = hash_some() || due;
	}
}

static int drop(struct error *e)
{
	const struct jail_confine confine = {
		.join_user = FD_USER,
		.keep_capabilities = 1ull << CAP_SYS_PTRACE,
		.syscalls = witness_syscalls,
		.kill = true,
	};
	return jail_confine_self(&confine, e);
}

int main(void)
{
	log_init("witness", false);
	struct error e = { 0 };
	int r = try_kernel(&e);
	if (r < 0) {
		log_error("%s", e.message);
		goto out;
	}
	r = drop(&e);
	if (r < 0) {
		log_error("cannot give up rights: %s", e.message);
		goto out;
	}
	close(FD_USER);
	msg_begin(&message, &sandbox_messages, SANDBOX_READY, 0);
	r = msg_send(FD_SUPERVISOR, &message);
	if (r < 0) {
		log_error("cannot tell the supervisor that it is ready: %s", strerror(-r));
		goto out;
	}
	r = serve();
	if (r < 0)
		log_error("ended: %s", strerror(-r));
out:
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
