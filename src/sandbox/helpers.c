/* SPDX-License-Identifier: Apache-2.0 */
/* Starts and ends proxy, dialer and witness. */
#include "sandbox/helpers.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/spawn.h"
#include "proxy/credential.h"
#include "proxy/messages.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#define READY_MS 10000 /* that a helper has to say that it is ready */
#define CAUSE_MS 200   /* that the one whose death made another end has to be seen dead */
#define END_MS	 1000  /* that it has to end once its channel is closed */

static const char *const names[] = { "postern-proxy", "postern-dialer", "postern-witness" };
_Static_assert(ELEMENTS(names) == HELPER_COUNT, "a name for each");
static const uint32_t roles[] = { SANDBOX_ROLE_PROXY, SANDBOX_ROLE_DIALER, SANDBOX_ROLE_WITNESS };
_Static_assert(ELEMENTS(roles) == HELPER_COUNT, "a role for each");

static struct msg message;

/* fds[i] becomes descriptor 3 + i; the supervisor's channel comes last. */
static int start_one(struct helpers *h, enum helper which, const int *fds, unsigned n,
		     struct error *e)
{
	int pair[2];
	if (fd_seqpacket_pair(pair) < 0)
		return error_set(e, errno, "socketpair: %s", strerror(errno));
	_cleanup_close_ int theirs = pair[1];
	h->one[which].channel = pair[0];
	const char *argv[] = { names[which], NULL };
	/* A session of its own, where no terminal's Ctrl-C reaches it. */
	struct spawn s = { .program = names[which],
			   .argv = argv,
			   .in = -1,
			   .out = -1,
			   .err = -1,
			   .new_session = true };
	for (unsigned i = 0; i < n; i++)
		s.fds[s.n_fds++] = fds[i];
	s.fds[s.n_fds++] = theirs;
	int r = spawn_start(&s, &h->one[which].pid, &h->one[which].pidfd);
	if (r < 0)
		return error_set(e, -r, "cannot start %s: %s", names[which], strerror(-r));
	return 0;
}

static int start_dialer(struct helpers *h, const struct helper_sources *from, int proxy,
			struct error *e)
{
	const struct trust *trust = from->trust;
	_cleanup_close_ int policy = fd_sealed("policy", from->policy, from->policy_len);
	_cleanup_close_ int authorities =
		fd_sealed("authorities", trust->n ? trust->authorities : "", trust->n);
	if (policy < 0 || authorities < 0)
		return error_set(e, EIO, "cannot hand over the policy");
	return start_one(h, HELPER_DIALER, (int[]){ proxy, policy, authorities }, 3, e);
}

static int start_proxy(struct helpers *h, const struct helper_sources *from, int dialer,
		       int witness, struct error *e)
{
	const struct sandbox_options *o = from->options;
	/* Not dialer's: a position in a file is shared with whoever else has the same descriptor. */
	_cleanup_close_ int policy = fd_sealed("policy", from->policy, from->policy_len);
	if (policy < 0)
		return error_set(e, EIO, "cannot hand over the policy");
	return start_one(h, HELPER_PROXY,
			 (int[]){ policy, dialer, witness, o->log, o->log_json, o->explanation }, 6,
			 e);
}

int helpers_start_early(struct helpers *h, const struct helper_sources *from, struct error *e)
{
	int dial[2], who[2];
	if (fd_seqpacket_pair(dial) < 0)
		return error_set(e, errno, "socketpair: %s", strerror(errno));
	_cleanup_close_ int proxy_dial = dial[0];
	_cleanup_close_ int dialer_dial = dial[1];
	if (fd_seqpacket_pair(who) < 0)
		return error_set(e, errno, "socketpair: %s", strerror(errno));
	_cleanup_close_ int proxy_who = who[0];
	h->who = who[1];
	int r = start_dialer(h, from, dialer_dial, e);
	return r < 0 ? r : start_proxy(h, from, proxy_dial, proxy_who, e);
}

static int hand_over_listener(const struct helpers *h, int listener)
{
	msg_begin(&message, &sandbox_messages, SANDBOX_LISTENER, 0);
	msg_put_fd(&message, listener);
	return msg_send(h->one[HELPER_PROXY].channel, &message);
}

static int set_up_dialer(const struct helpers *h, const struct sandbox_options *o)
{
	int channel = h->one[HELPER_DIALER].channel, r = 0;
	for (unsigned i = 0; r == 0 && i < o->n_credentials; i++) {
		const struct sandbox_credential *c = &o->credentials[i];
		msg_begin(&message, &sandbox_messages, SANDBOX_CREDENTIAL, 0);
		msg_put_s(&message, c->name);
		msg_put_b(&message, c->value, strlen(c->value));
		msg_put_s(&message, c->host);
		msg_put_u(&message, c->port);
		msg_put_s(&message, c->path);
		msg_put_u(&message, (c->authorization_only ? CREDENTIAL_AUTHORIZATION_ONLY : 0u) |
					    (c->tls_only ? CREDENTIAL_TLS_ONLY : 0u));
		r = msg_send(channel, &message);
	}
	explicit_bzero(&message, sizeof(message));
	for (unsigned i = 0; r == 0 && i < o->n_servers; i++) {
		msg_begin(&message, &sandbox_messages, SANDBOX_SERVER, 0);
		msg_put_u(&message, o->servers[i].port);
		msg_put_s(&message, o->servers[i].address);
		r = msg_send(channel, &message);
	}
	if (r == 0 && o->host_address) {
		msg_begin(&message, &sandbox_messages, SANDBOX_HOST, 0);
		msg_put_s(&message, o->host_address);
		r = msg_send(channel, &message);
	}
	if (r == 0) {
		msg_begin(&message, &sandbox_messages, SANDBOX_SETUP_DONE, 0);
		r = msg_send(channel, &message);
	}
	return r;
}

/* 1: something else than that it is ready. */
static int await_ready(struct helpers *h, enum helper which, uint64_t deadline_ms, struct error *e)
{
	int channel = h->one[which].channel;
	struct pollfd p = { .fd = channel, .events = POLLIN };
	uint64_t now = clock_monotonic_ms();
	int r = poll(&p, 1, now < deadline_ms ? (int)(deadline_ms - now) : 0);
	if (r == 0)
		return error_set(e, ETIMEDOUT, "%s was not ready within %d s", names[which],
				 READY_MS / 1000);
	r = msg_recv(channel, &sandbox_messages, roles[which], &message);
	if (r == 0 && message.type->type == SANDBOX_CA && message.field[0].len <= sizeof(h->ca)) {
		h->ca_len = message.field[0].len;
		memcpy(h->ca, message.field[0].text, h->ca_len);
		r = 1;
	} else if (r == 0 && message.type->type != SANDBOX_READY) {
		r = -EPROTO;
	}
	msg_done(&message);
	return r < 0 ? error_set(e, -r, "%s ended before it was ready (what it said is above)",
				 names[which])
		     : r;
}

int helpers_start(struct helpers *h, const struct helper_sources *from, struct error *e)
{
	uint64_t deadline_ms = clock_monotonic_ms() + READY_MS;
	_cleanup_close_ int who = TAKE_FD(h->who);
	int r = hand_over_listener(h, from->listener);
	if (r < 0 && r != -EPIPE) /* it ended: await_ready() says so */
		return error_set(e, -r, "cannot set up postern-proxy: %s", strerror(-r));
	r = start_one(h, HELPER_WITNESS, (int[]){ who, from->proc, from->diag, from->user }, 4, e);
	if (r < 0)
		return r;
	r = set_up_dialer(h, from->options);
	if (r < 0)
		return error_set(e, -r, "cannot set up postern-dialer: %s", strerror(-r));
	for (enum helper i = 0; i < HELPER_COUNT; i++) {
		while ((r = await_ready(h, i, deadline_ms, e)) > 0)
			;
		if (r < 0)
			return r;
	}
	return 0;
}

/* Dialer first: what it refuses, as decided by the policy before, proxy decides again when it has the new one, too. */
int helpers_set_policy(struct helpers *h, const char *policy, size_t n, struct error *e)
{
	static const enum helper order[] = { HELPER_DIALER, HELPER_PROXY };
	int r = 0;
	h->policies++;
	for (size_t i = 0; r == 0 && i < ELEMENTS(order); i++) {
		int channel = h->one[order[i]].channel;
		_cleanup_close_ int file = fd_sealed("policy", policy, n);
		struct pollfd p = { .fd = channel, .events = POLLIN };
		msg_begin(&message, &sandbox_messages, SANDBOX_POLICY, 0);
		msg_put_u(&message, h->policies);
		msg_put_fd(&message, file);
		r = file < 0 ? file : msg_send(channel, &message);
		if (r == 0 && poll(&p, 1, READY_MS) <= 0)
			r = -ETIMEDOUT;
		if (r == 0)
			r = msg_recv(channel, &sandbox_messages, roles[order[i]], &message);
		if (r == 0 && message.type->type != SANDBOX_POLICY_TAKEN)
			r = -EPROTO;
		if (r < 0)
			error_set(e, -r, "%s did not take the policy: %s", names[order[i]],
				  strerror(-r));
	}
	return r;
}

static void reap(struct helpers *h, enum helper which, int *ret_status)
{
	while (waitpid(h->one[which].pid, ret_status, 0) < 0 && errno == EINTR)
		;
	h->one[which].pid = 0;
	close(h->one[which].pidfd);
	h->one[which].pidfd = -1;
}

static bool has_ended(const struct helpers *h, enum helper which, int ms)
{
	struct pollfd p = { .fd = h->one[which].pidfd, .events = POLLIN };
	return poll(&p, 1, ms) > 0;
}

/* When one dies, those that talk with it end, too, in good order and perhaps seen earlier: the name of
 * the first cause is wanted. */
const char *helpers_dead(struct helpers *h, int *ret_status)
{
	const char *name = NULL;
	int status = 0, wait_ms = 0;
	for (int pass = 0; pass < 2; pass++) {
		for (enum helper i = 0; i < HELPER_COUNT; i++) {
			if (!h->one[i].pid || !has_ended(h, i, wait_ms))
				continue;
			int its_status;
			reap(h, i, &its_status);
			if (name && !its_status)
				continue;
			name = names[i];
			status = its_status;
		}
		if (!name || status)
			break;
		wait_ms = CAUSE_MS;
	}
	if (name)
		*ret_status = status;
	return name;
}

void helpers_end(struct helpers *h)
{
	int status;
	for (enum helper i = 0; i < HELPER_COUNT; i++) {
		if (h->one[i].channel >= 0)
			close(h->one[i].channel);
		h->one[i].channel = -1;
	}
	if (h->who >= 0)
		close(TAKE_FD(h->who));
	for (enum helper i = 0; i < HELPER_COUNT; i++) {
		if (!h->one[i].pid)
			continue;
		if (!has_ended(h, i, END_MS))
			kill(h->one[i].pid, SIGKILL);
		reap(h, i, &status);
	}
}
