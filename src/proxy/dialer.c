/* SPDX-License-Identifier: Apache-2.0 */
/*
 * postern-dialer: holds the run's credentials and makes all its connections.
 *
 * Descriptors: 3 channel to proxy; 4 the policy file (sealed); 5 the host's list of certificate
 * authorities (sealed; PEM); 6 channel to the supervisor, which sends credentials, their bindings and
 * the declared API servers, hears the certificate of the sandbox's own authority and that dialer is
 * ready, and closes when dialer should end.
 *
 * acquire  Should: start the resolver, read the policy and the list, then take the set-up. Mustn't: hold a
 *          credential while anything else is being read or started.
 * drop     Should: be undumpable before the authority's key is made and the first credential comes; keep the network and what name
 *          resolution reads, nothing else. Mustn't: keep a way to start a program.
 * serve    Should: answer SANDBOX_DIAL, many at once, and SANDBOX_LEAF. Mustn't: believe proxy on the
 *          policy or a binding; look at what comes back over a connection it made (with TLS it carries
 *          it); send anything back but a connected socket, a leaf or a number; log a head.
 */
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/limit.h"
#include "base/log.h"
#include "jail/confine.h"
#include "proxy/ca.h"
#include "proxy/dial.h"
#include "proxy/policy_file.h"
#include "proxy/resolve.h"
#include "proxy/syscalls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>

enum { FD_PROXY = 3, FD_POLICY, FD_AUTHORITIES, FD_SUPERVISOR };

static struct dialer dialer;
static struct ca *ca; /* NULL: no TLS is looked into */
static struct msg message;
static int failure; /* why serve() ended, -errno; 0 when it was told to */

static void end(int error)
{
	failure = error;
	event_base_loopbreak(dialer.base);
}

/* ---- acquire ---- */

/* What TLS needs, when the policy may have some looked into. */
static int read_authorities(void)
{
	char *text = NULL;
	size_t n;
	int r = policy_looks_into_tls(dialer.policy)
			? fd_read_file(FD_AUTHORITIES, LIMIT_CA_BUNDLE_BYTES, &text, &n)
			: 0;
	close(FD_AUTHORITIES);
	if (text)
		dialer.tls = tls_upstream_new(text, n);
	if (r == 0 && text && !dialer.tls)
		r = -ENOMEM;
	if (r < 0)
		log_error("cannot read the certificate authorities: %s", strerror(-r));
	return r;
}

static int make_authority(void)
{
	if (!dialer.tls)
		return 0;
	int r = ca_new(&ca);
	if (r < 0)
		log_error("cannot make the sandbox's certificate authority");
	return r;
}

/* One message of the set-up; 1 when it was the last. Names and hosts may be logged, values not. */
static int set_up(void)
{
	const struct msg_field *f = message.field;
	int r = -EPROTO;
	switch (message.type->type) {
	case SANDBOX_CREDENTIAL:
		r = f[3].number > UINT16_MAX ? -EINVAL
					     : credentials_add(dialer.credentials, f[0].text,
							       (struct span){ f[1].text, f[1].len },
							       f[2].text, (uint16_t)f[3].number,
							       f[4].text, (unsigned)f[5].number);
		if (r < 0)
			log_error("credential %s for %s: %s", f[0].text, f[2].text, strerror(-r));
		break;
	case SANDBOX_SERVER:
		r = f[0].number > UINT16_MAX
			    ? -EINVAL
			    : dialer_add_server(&dialer, (uint16_t)f[0].number, f[1].text);
		if (r < 0)
			log_error("API server at %s: %s", f[1].text, strerror(-r));
		break;
	case SANDBOX_HOST:
		r = dialer_set_host(&dialer, f[0].text);
		if (r < 0)
			log_error("the host at %s: %s", f[0].text, strerror(-r));
		break;
	case SANDBOX_SETUP_DONE:
		r = 1;
		break;
	}
	return r;
}

static int take_setup(void)
{
	int r;
	do {
		r = msg_recv(FD_SUPERVISOR, &sandbox_messages, SANDBOX_ROLE_SUPERVISOR, &message);
		if (r == 0)
			r = set_up();
		else if (r != -ECONNRESET) /* the supervisor says why there is no sandbox */
			log_error("set-up: %s", strerror(-r));
		explicit_bzero(&message, sizeof(message));
	} while (r == 0);
	return r < 0 ? r : 0;
}

/* ---- drop ---- */

/* It keeps its uid, since an API server's Unix socket may be for that uid alone, but no capability; no
 * file can be opened any more. */
static int drop(struct error *e)
{
	static const struct jail_confine confine = {
		.keep_network = true,
		.keep_user_id = true,
		.keep_root = true,
		.syscalls = dialer_syscalls,
		.kill = true,
	};
	return jail_confine_self(&confine, e);
}

/* ---- serve ---- */

static void done(uint64_t seq, int fd, enum dial_problem problem, int error)
{
	static struct msg answer;
	if (fd >= 0) {
		msg_begin(&answer, &sandbox_messages, SANDBOX_DIALED, seq);
		msg_put_u(&answer, credentials_any(dialer.credentials));
		msg_put_fd(&answer, fd);
	} else {
		msg_begin(&answer, &sandbox_messages, SANDBOX_DIAL_FAILED, seq);
		msg_put_u(&answer, problem);
		msg_put_u(&answer, (uint64_t)error);
	}
	int r = msg_send(FD_PROXY, &answer);
	if (fd >= 0)
		close(fd);
	if (r < 0)
		end(r == -EPIPE ? 0 : r);
}

static void say_blocked(uint64_t seq, const struct address *address, bool by_wildcards)
{
	static struct msg remark;
	char text[INET6_ADDRSTRLEN] = "";
	inet_ntop(address->size == 4 ? AF_INET : AF_INET6, address->bytes, text, sizeof(text));
	msg_begin(&remark, &sandbox_messages, SANDBOX_BLOCKED, seq);
	msg_put_s(&remark, text);
	msg_put_u(&remark, by_wildcards);
	(void)msg_send(FD_PROXY, &remark); /* done() ends us when that cannot be */
}

/* Returns false when the name is not one: no NUL can be in it, but anything else. */
static bool is_lower_host(const char *host)
{
	size_t n = strlen(host);
	for (size_t i = 0; i < n; i++)
		if (host[i] <= ' ' || host[i] == 0x7f || (host[i] >= 'A' && host[i] <= 'Z'))
			return false;
	return n > 0;
}

static void on_leaf(uint64_t seq, const char *host, uint64_t port)
{
	static struct msg answer;
	struct ca_leaf leaf;
	if (!ca || !is_lower_host(host) || port > UINT16_MAX ||
	    !policy_tls_looked_into(dialer.policy, span_of(host), (uint16_t)port) ||
	    ca_leaf(ca, host, &leaf) < 0) {
		done(seq, -1, DIAL_NOT_IN_POLICY, 0);
		return;
	}
	msg_begin(&answer, &sandbox_messages, SANDBOX_LEAF_MADE, seq);
	msg_put_b(&answer, leaf.certificate.data, leaf.certificate.len);
	msg_put_b(&answer, leaf.key.data, leaf.key.len);
	int r = msg_send(FD_PROXY, &answer);
	if (r < 0)
		end(r == -EPIPE ? 0 : r);
}

/* Another kind of file than a sealed one could keep us waiting. */
static int read_body(int fd, char **ret, size_t *ret_len)
{
	int seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || !(seals & F_SEAL_GROW) || !(seals & F_SEAL_WRITE))
		return -EPROTO;
	return fd_read_file(fd, LIMIT_CREDENTIAL_BODY_BYTES, ret, ret_len);
}

static int on_dial(void)
{
	const struct msg_field *f = message.field;
	_cleanup_free_ char *body = NULL;
	size_t n = 0;
	int r = message.n_fds ? read_body(message.fds[0], &body, &n) : 0;
	if (r == -ENOMEM)
		done(message.seq, -1, DIAL_BUSY, ENOMEM);
	if (r < 0)
		return r == -ENOMEM ? 0 : r;
	struct dial_request request = {
		.seq = message.seq,
		.host = f[0].text,
		.port = (uint16_t)f[1].number,
		.head = { f[2].text, f[2].len },
		.body = { body, n },
		.wildcards_only = f[3].number != 0,
		.tls = f[4].number != 0,
	};
	if (f[5].number != dialer.policy_number)
		done(message.seq, -1, DIAL_OTHER_POLICY, 0);
	else if (f[1].number > 0 && f[1].number <= UINT16_MAX && is_lower_host(f[0].text) &&
		 (!f[4].number || dialer.tls))
		dial_begin(&dialer, &request);
	else
		done(message.seq, -1, DIAL_NOT_IN_POLICY, 0);
	return 0;
}

static void on_proxy(evutil_socket_t fd, short what, void *arg)
{
	int r = msg_recv(fd, &sandbox_messages, SANDBOX_ROLE_PROXY, &message);
	const struct msg_field *f = message.field;
	if (r == 0 && message.type->type == SANDBOX_DIAL) {
		r = on_dial();
		msg_done(&message);
		if (r < 0)
			end(r);
	} else if (r == 0 && message.type->type == SANDBOX_LEAF) {
		on_leaf(message.seq, f[0].text, f[1].number);
	} else if (r == 0 && message.type->type == SANDBOX_DIAL_CANCEL) {
		dial_cancel(&dialer, f[0].number);
	} else {
		end(r == -ECONNRESET ? 0 : r < 0 ? r : -EPROTO);
	}
}

static void on_resolver(evutil_socket_t fd, short what, void *arg)
{
	struct address found[RESOLVE_ADDRESSES_MAX];
	int r = msg_recv(fd, &sandbox_messages, SANDBOX_ROLE_RESOLVER, &message);
	if (r == -EAGAIN)
		return;
	if (r == 0 && (message.type->type != SANDBOX_RESOLVED ||
		       message.field[0].len % sizeof(found[0]) != 0))
		r = -EPROTO;
	if (r < 0) {
		log_error("the resolver failed: %s", strerror(-r));
		end(r);
		return;
	}
	memcpy(found, message.field[0].text, message.field[0].len);
	size_t n = message.field[0].len / sizeof(found[0]);
	for (size_t i = 0; i < n; i++)
		if (found[i].size != 4 && found[i].size != 16)
			n = 0;
	dial_resolved(&dialer, message.seq, found, n);
}

static void use_policy(const struct policy *policy, uint64_t number)
{
	dialer_set_policy(&dialer, policy, number);
}

/* Another policy, or that it is gone. */
static void on_supervisor(evutil_socket_t fd, short what, void *arg)
{
	int r = policy_file_change(fd, &message, use_policy);
	if (r < 0)
		end(r == -ECONNRESET ? 0 : r);
}

static int serve(void)
{
	static const struct {
		int fd;
		event_callback_fn call;
	} on[] = { { FD_PROXY, on_proxy }, { FD_SUPERVISOR, on_supervisor }, { -1, on_resolver } };
	struct event *events[ELEMENTS(on)] = { NULL };
	int r = 0;
	for (size_t i = 0; i < ELEMENTS(on) && r == 0; i++) {
		int fd = on[i].fd < 0 ? dialer.resolver : on[i].fd;
		events[i] = event_new(dialer.base, fd, EV_READ | EV_PERSIST, on[i].call, NULL);
		if (!events[i] || event_add(events[i], NULL) < 0)
			r = -ENOMEM;
	}
	if (r == 0 && ca) {
		msg_begin(&message, &sandbox_messages, SANDBOX_CA, 0);
		msg_put_b(&message, ca_certificate(ca).data, ca_certificate(ca).len);
		r = msg_send(FD_SUPERVISOR, &message);
	}
	if (r == 0) {
		msg_begin(&message, &sandbox_messages, SANDBOX_READY, 0);
		r = msg_send(FD_SUPERVISOR, &message);
	}
	if (r == 0) {
		event_base_dispatch(dialer.base);
		r = failure;
	}
	dial_cancel_all(&dialer);
	for (size_t i = 0; i < ELEMENTS(on); i++)
		if (events[i])
			event_free(events[i]);
	return r;
}

int main(void)
{
	struct policy *policy = NULL;
	struct error e = { 0 };
	log_init("dialer", false);
	signal(SIGPIPE, SIG_IGN);
	dialer.resolver = -1;
	dialer.done = done;
	dialer.blocked = say_blocked;
	fd_raise_limit(); /* two descriptors for each connection with TLS */

	int r = resolver_start(&dialer.resolver);
	if (r == 0)
		r = fd_set_nonblock(dialer.resolver,
				    true); /* full of slow names, it must not stop us */
	if (r < 0) {
		log_error("cannot start the resolver: %s", strerror(-r));
		goto out;
	}
	r = policy_file_take(FD_POLICY, &policy);
	if (r < 0)
		goto out;
	dialer.policy = policy;
	r = read_authorities();
	if (r < 0)
		goto out;
	dialer.base = event_base_new();
	r = dialer.base ? credentials_new(&dialer.credentials) : -ENOMEM;
	if (r < 0) {
		log_error("cannot lock memory for credentials: %s", strerror(-r));
		goto out;
	}
	r = drop(&e);
	if (r < 0) {
		log_error("cannot give up rights: %s", e.message);
		goto out;
	}
	r = make_authority();
	if (r == 0)
		r = take_setup();
	if (r < 0)
		goto out;
	r = serve();
	if (r < 0)
		log_error("ended: %s", strerror(-r));
out:
	credentials_free(dialer.credentials);
	tls_upstream_free(dialer.tls);
	ca_free(ca);
	if (dialer.base)
		event_base_free(dialer.base);
	policy_free(policy);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
