/* SPDX-License-Identifier: Apache-2.0 */
/*
 * postern-proxy: stands at the sandbox's only exit, parses, and decides by the policy.
 *
 * Descriptors: 3 the policy file (sealed); 4 channel to dialer; 5 channel to witness; 6 and 7, where wanted, the decision
 * logs (as lines of OCSF, as JSON); 8, where wanted, a file for what --explain-denials says; 9 channel to the supervisor,
 * from which the listening socket comes, on which it says that it is ready and which closes when it should end.
 *
 * acquire  Should: read the policy. Mustn't: accept.
 * drop     Should: keep the descriptors it has and a way to make none; an empty root, no network, no
 *          capability. Mustn't: keep a way to open a file, to connect, to execute.
 * serve    Should: ask witness who is there, decide, ask dialer. Mustn't: send on a byte that was not
 *          parsed, but in a tunnel that the policy does not inspect.
 */
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "jail/confine.h"
#include "policy/rpc.h"
#include "proxy/conn.h"
#include "proxy/decisions.h"
#include "proxy/explain.h"
#include "proxy/policy_file.h"
#include "proxy/syscalls.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>

enum { FD_POLICY = 3, FD_DIALER, FD_WITNESS, FD_LOG, FD_LOG_JSON, FD_EXPLANATION, FD_SUPERVISOR };

#define FDS_OWN	  32 /* the seven, the listener, the event loop's, one under way in a message, room */
#define SLOT_BITS 16
_Static_assert(LIMIT_PROXY_CONNECTIONS <= 1 << SLOT_BITS, "a slot fits a sequence number");

struct proxy proxy;
static struct conn *conns[LIMIT_PROXY_CONNECTIONS];
static unsigned n_conns, max_conns;
static uint64_t questions;
static struct event *accepting, *dialer_room, *witness_room;
static struct msg in, out;
static int failure;
static bool explaining;

static void end(int error)
{
	failure = error;
	event_base_loopbreak(proxy.base);
}

/* ---- slots ---- */

static struct conn *conn_of(uint64_t seq)
{
	uint64_t slot = seq & ((1u << SLOT_BITS) - 1);
	struct conn *c = slot < LIMIT_PROXY_CONNECTIONS ? conns[slot] : NULL;
	return c && c->seq == seq ? c : NULL;
}

/* Best effort: an answer that comes anyway finds nobody, and its socket is closed. */
void proxy_cancel(uint64_t seq)
{
	msg_begin(&out, &sandbox_messages, SANDBOX_DIAL_CANCEL, 0);
	msg_put_u(&out, seq);
	(void)msg_send(FD_DIALER, &out);
}

void proxy_forget(struct conn *c)
{
	uint64_t slot = c->seq & ((1u << SLOT_BITS) - 1);
	if (c->state == CONN_DIAL && !c->pending)
		proxy_cancel(c->seq);
	if (c->dialer_writes)
		proxy_cancel(c->dialer_writes);
	conns[slot] = NULL;
	n_conns--;
	event_add(accepting, NULL);
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct sockaddr_in peer = { 0 };
	socklen_t n = sizeof(peer);
	if (n_conns == max_conns) {
		event_del(accepting); /* until one ends; the kernel's queue holds the next ones */
		return;
	}
	int client = accept4(fd, (struct sockaddr *)&peer, &n, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (client < 0)
		return;
	struct conn *c = conn_new(client, &peer);
	if (!c)
		return;
	unsigned slot = 0;
	while (conns[slot])
		slot++;
	conns[slot] = c;
	n_conns++;
	c->seq = ++questions << SLOT_BITS | slot;
}

/* ---- questions ---- */

static int send_who(const struct conn *c)
{
	msg_begin(&out, &sandbox_messages, SANDBOX_WHO, c->seq);
	msg_put_b(&out, &c->peer.sin_addr, sizeof(c->peer.sin_addr));
	msg_put_u(&out, ntohs(c->peer.sin_port));
	msg_put_b(&out, &c->here.sin_addr, sizeof(c->here.sin_addr));
	msg_put_u(&out, ntohs(c->here.sin_port));
	return msg_send(FD_WITNESS, &out);
}

static int send_leaf(const struct conn *c)
{
	msg_begin(&out, &sandbox_messages, SANDBOX_LEAF, c->seq);
	msg_put_s(&out, c->tunnel_host);
	msg_put_u(&out, c->tunnel_port);
	return msg_send(FD_DIALER, &out);
}

/* As conn_dial_request() says when no head can be made for it. */
static int send_dial(struct conn *c)
{
	static char head[LIMIT_PROXY_HEAD_BYTES];
	char host[256];
	uint16_t port;
	size_t n;
	int r = conn_dial_request(c, host, sizeof(host), &port, head, sizeof(head), &n);
	if (r < 0)
		return r;
	msg_begin(&out, &sandbox_messages, SANDBOX_DIAL, c->seq);
	msg_put_s(&out, host);
	msg_put_u(&out, port);
	msg_put_b(&out, head, n);
	msg_put_u(&out, c->host_wildcard);
	msg_put_u(&out, c->tls);
	msg_put_u(&out, c->policy_number);
	struct span text = conn_dial_body(c);
	_cleanup_close_ int body = text.len ? fd_sealed("body", text.data, text.len) : -1;
	if (text.len && body < 0)
		return -ENOBUFS;
	if (text.len)
		msg_put_fd(&out, body);
	return msg_send(FD_DIALER, &out);
}

void proxy_ask(struct conn *c, enum conn_question question)
{
	c->seq = ++questions << SLOT_BITS | (c->seq & ((1u << SLOT_BITS) - 1));
	c->pending = question;
	int r = question == CONN_ASKS_WHO    ? send_who(c)
		: question == CONN_ASKS_LEAF ? send_leaf(c)
					     : send_dial(c);
	if (r == -EAGAIN) {
		event_add(question == CONN_ASKS_WHO ? witness_room : dialer_room, NULL);
		return;
	}
	c->pending = CONN_ASKS_NOTHING;
	if (r == -EBADMSG || r == -E2BIG || r == -ENAMETOOLONG || r == -ENOBUFS)
		conn_not_asked(c, r);
	else if (r < 0)
		end(r);
}

/* A channel takes more again: send what waited for it. */
static void on_room(evutil_socket_t fd, short what, void *arg)
{
	for (unsigned i = 0; i < LIMIT_PROXY_CONNECTIONS; i++) {
		if (!conns[i] || !conns[i]->pending ||
		    (conns[i]->pending == CONN_ASKS_WHO) != (fd == FD_WITNESS))
			continue;
		proxy_ask(conns[i], conns[i]->pending);
		if (conns[i] && conns[i]->pending)
			return; /* it is full again */
	}
}

/* ---- answers ---- */

static void on_witness(evutil_socket_t fd, short what, void *arg)
{
	int r = msg_recv(fd, &sandbox_messages, SANDBOX_ROLE_WITNESS, &in);
	if (r == -EAGAIN)
		return;
	if (r < 0) {
		end(r == -ECONNRESET ? 0 : r);
		return;
	}
	struct conn *c = conn_of(in.seq);
	if (!c || (c->state != CONN_WHO && c->state != CONN_RELAY))
		return;
	struct span holders = { 0 };
	if (in.type->type == SANDBOX_ASKER)
		holders = (struct span){ in.field[0].text, in.field[0].len };
	conn_known(c, holders);
}

static void on_dialer(evutil_socket_t fd, short what, void *arg)
{
	int r = msg_recv(fd, &sandbox_messages, SANDBOX_ROLE_DIALER, &in);
	if (r == -EAGAIN)
		return;
	if (r < 0) {
		end(r == -ECONNRESET ? 0 : r);
		return;
	}
	struct conn *c = conn_of(in.seq);
	if (c && c->state == CONN_DIAL && in.type->type == SANDBOX_DIALED) {
		conn_dialed(c, TAKE_FD(in.fds[0]), in.field[0].number);
	} else if (c && c->state == CONN_DIAL && in.type->type == SANDBOX_BLOCKED) {
		snprintf(c->blocked, sizeof(c->blocked), "%s", in.field[0].text);
		c->blocked_by_wildcards = in.field[1].number;
	} else if (c && c->state == CONN_DIAL && in.type->type == SANDBOX_DIAL_FAILED) {
		conn_not_dialed(c, (enum dial_problem)in.field[0].number, in.field[1].number);
	} else if (c && c->state == CONN_LEAF && in.type->type == SANDBOX_LEAF_MADE) {
		conn_leaf(c, (struct span){ in.field[0].text, in.field[0].len },
			  (struct span){ in.field[1].text, in.field[1].len });
	} else if (c && c->state == CONN_LEAF && in.type->type == SANDBOX_DIAL_FAILED) {
		conn_free(c); /* before TLS nothing can be said */
	}
	msg_done(&in);
}

static void use_policy(const struct policy *policy, uint64_t number)
{
	proxy.policy = policy;
	proxy.policy_number = number;
	if (explaining)
		explain_init(policy);
}

/* Every request is decided by one of the two: the one before until now, the new one from now on. */
static void on_supervisor(evutil_socket_t fd, short what, void *arg)
{
	int r = policy_file_change(fd, &in, use_policy);
	if (r < 0)
		end(r == -ECONNRESET ? 0 : r);
}

/* ---- the process ---- */

/* Four descriptors for each connection (client, upstream, and two ends where there is TLS), and those that the process has anyway: where the machine allows
 * fewer, there are fewer connections. */
static void set_limits(void)
{
	uint64_t most = fd_raise_limit();
	max_conns = LIMIT_PROXY_CONNECTIONS;
	if (most < 4 * LIMIT_PROXY_CONNECTIONS + FDS_OWN)
		max_conns = most > FDS_OWN ? (unsigned)(most - FDS_OWN) / 4 : 1;
}

static int drop(void)
{
	static const struct jail_confine confine = { .syscalls = proxy_syscalls, .kill = true };
	struct error e = { 0 };
	char line[640];
	int r = jail_confine_self(&confine, &e);
	if (r < 0)
		log_error("cannot give up rights: %s", error_format(&e, line, sizeof(line)));
	return r;
}

static int listen_on(int fd, short what, event_callback_fn call, struct event **ret)
{
	struct event *e = event_new(proxy.base, fd, what, call, NULL);
	if (!e)
		return -ENOMEM;
	if (ret)
		*ret = e;
	return what & EV_READ && event_add(e, NULL) < 0 ? -ENOMEM : 0;
}

/* Made while we got here, maybe. */
static int take_listener(int *ret)
{
	int r = msg_recv(FD_SUPERVISOR, &sandbox_messages, SANDBOX_ROLE_SUPERVISOR, &in);
	if (r == 0 && in.type->type == SANDBOX_LISTENER)
		*ret = TAKE_FD(in.fds[0]);
	else if (r == 0)
		r = -EPROTO;
	msg_done(&in);
	return r;
}

static int serve(void)
{
	int listener, r = take_listener(&listener);
	if (r == -ECONNRESET) /* the supervisor says why there is no sandbox */
		return 0;
	if (r == 0)
		r = listen_on(listener, EV_READ | EV_PERSIST, on_accept, &accepting);
	if (r == 0)
		r = listen_on(FD_DIALER, EV_READ | EV_PERSIST, on_dialer, NULL);
	if (r == 0)
		r = listen_on(FD_WITNESS, EV_READ | EV_PERSIST, on_witness, NULL);
	if (r == 0)
		r = listen_on(FD_SUPERVISOR, EV_READ | EV_PERSIST, on_supervisor, NULL);
	if (r == 0)
		r = listen_on(FD_DIALER, EV_WRITE, on_room, &dialer_room);
	if (r == 0)
		r = listen_on(FD_WITNESS, EV_WRITE, on_room, &witness_room);
	if (r < 0)
		return r;
	msg_begin(&out, &sandbox_messages, SANDBOX_READY, 0);
	r = msg_send(FD_SUPERVISOR, &out);
	if (r < 0)
		return r;
	event_base_dispatch(proxy.base);
	decisions_end();
	if (explaining && (r = explain_write(FD_EXPLANATION)) < 0)
		log_error("cannot explain what was denied: %s", strerror(-r));
	return failure;
}

/* Before anything else can have that number. */
static int is_there(int fd)
{
	return fcntl(fd, F_GETFD) < 0 ? -1 : fd;
}

int main(void)
{
	struct policy *policy = NULL;
	log_init("proxy", false);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a log that may not grow is one that cannot be written */
	decisions_init(is_there(FD_LOG), is_there(FD_LOG_JSON));
	explaining = is_there(FD_EXPLANATION) >= 0;
	int r = policy_file_take(FD_POLICY, &policy);
	if (r < 0)
		goto out;
	set_limits();
	rpc_init();
	use_policy(policy, 0);
	proxy.base = event_base_new();
	fd_set_nonblock(FD_DIALER, true);
	fd_set_nonblock(FD_WITNESS, true);
	r = proxy.base ? drop() : -ENOMEM;
	if (r < 0)
		goto out;
	r = serve();
	if (r < 0)
		log_error("ended: %s", strerror(-r));
out:
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
