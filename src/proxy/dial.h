/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One dial after another, many at once: check host and port against dialer's own copy of the
 * policy, resolve, check every address, connect, write head and body with their credentials, hand the
 * socket over; with TLS, one end of a socket whose other end is the TLS connection (tls_relay.h).
 * Owned by dialer's process file. Never looks at what comes back; never hands a connection over whose head was not written whole
 * (or is being written still, where its body came with it), nor one to a server that is not the one that was asked for.
 */
#ifndef POSTERN_DIAL_H
#define POSTERN_DIAL_H
#include "base/limit.h"
#include "policy/match.h"
#include "proxy/address.h"
#include "proxy/credential.h"
#include "proxy/messages.h"
#include "proxy/tls_upstream.h"
#include <event2/event.h>

/* What host.openshell.internal:PORT means. */
struct dial_server {
	uint16_t port;
	struct sockaddr_storage address;
	socklen_t address_len;
};

struct dial; /* one that is under way */

/* All that dials need; owned by the process file. */
struct dialer {
	struct event_base *base;
	const struct policy *policy;
	uint64_t policy_number; /* which one it is: SANDBOX_POLICY */
	struct credentials *credentials;
	struct tls_upstream *tls;
	struct dial_server server[LIMIT_SERVERS];
	unsigned n_servers;
	struct address host; /* … with other ports; of size 0: nothing */
	int resolver;	     /* channel */
	unsigned n_dials;
	uint64_t next_id;
	struct dial *dials; /* those under way */
	/* Called once for each dial that was begun and not cancelled, from within any function
	 * here: fd is connected (the callee owns it), or -1 with why. */
	void (*done)(uint64_t seq, int fd, enum dial_problem problem, int error);
	/* Called before done() with DIAL_BLOCKED_*, when another policy could allow this address. */
	void (*blocked)(uint64_t seq, const struct address *address, bool by_wildcards);
};

/* "IPv4:PORT", "[IPv6]:PORT", "unix:/path"; port is not 0. 0, -EINVAL, -ENOSPC. */
int dialer_add_server(struct dialer *d, uint16_t port, const char *address);
/* What ports without a server lead to, where policies may reach that address. 0, -EINVAL. */
int dialer_set_host(struct dialer *d, const char *address);

struct dial_request {
	uint64_t seq;
	const char *host;
	uint16_t port;
	struct span head, body; /* with placeholders, or empty: nothing is written */
	bool wildcards_only;	/* as for policy_host(), checked besides */
	bool tls;		/* the server has to speak it, and to be the host */
};
/* Begin one; what r points to is copied. */
void dial_begin(struct dialer *d, const struct dial_request *r);
/* Forget the one with that seq, if it is still under way; also when it was handed over, and its body is being written. */
void dial_cancel(struct dialer *d, uint64_t seq);
/* Forget all of them. */
void dial_cancel_all(struct dialer *d);
/* From now on by this policy: those under way fail with DIAL_OTHER_POLICY. */
void dialer_set_policy(struct dialer *d, const struct policy *policy, uint64_t number);
/* The resolver's answer with seq. */
void dial_resolved(struct dialer *d, uint64_t seq, const struct address *found, size_t n);
#endif
