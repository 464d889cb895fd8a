/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dials.
 *
 * A name is resolved once per dial, all its addresses are checked, and one of exactly these is
 * connected to: nothing resolves it again in between. The declared API servers are the operator's
 * own word, so their addresses (the host's loopback, a Unix socket) are not checked against what
 * policies may reach; the name host.openshell.internal leads to them and nowhere else. Where the
 * operator gave the name an address, too, that is checked as if it had been resolved.
 */
#include "proxy/dial.h"
#include "base/cleanup.h"
#include "base/limit.h"
#include "http/target.h"
#include "proxy/tls_relay.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/un.h>

#define HOST_INTERNAL "host.openshell.internal"
#define TRIES_MAX     16
#define TRY_SECONDS   10 /* for an address when there are more to try */

struct
try {
	struct sockaddr_storage address;
	socklen_t len;
};

struct dial {
	struct dialer *dialer;
	struct dial *next;
	uint64_t seq; /* proxy's */
	uint64_t id;  /* ours, towards the resolver */
	char host[256];
	uint16_t port;
	enum policy_host known; /* what the policy says of host and port */
	bool tls;
	bool wildcards_only; /* … and by_wildcards, what without those that name the host */
	enum policy_host by_wildcards;
	struct try try[TRIES_MAX];
	unsigned n_tries, tried;
	int fd; /* being connected to, or written to */
	int error;
	struct event *event;	 /* of fd */
	struct tls_relay *relay; /* … which is its, while TLS is being opened */
	struct event *deadline;	 /* of the whole dial */
	char *text;		 /* head and body with placeholders; NULL when there is none */
	struct span head, body;	 /* … of it */
	char *rest; /* with credentials: what the socket has not taken yet; not locked, but wiped */
	size_t rest_len, rest_done;
	bool handed_over; /* proxy has the socket, while we write what is left of the body */
};

static void dial_free(struct dial *d)
{
	struct dial **at = &d->dialer->dials;
	while (*at && *at != d)
		at = &(*at)->next;
	if (*at)
		*at = d->next;
	d->dialer->n_dials--;
	if (d->event)
		event_free(d->event);
	if (d->deadline)
		event_free(d->deadline);
	if (d->fd >= 0)
		close(d->fd);
	if (d->relay)
		tls_relay_free(d->relay);
	if (d->rest) {
		explicit_bzero(d->rest, d->rest_len);
		free(d->rest);
	}
	free(d->text);
	free(d);
}

static void fail(struct dial *d, enum dial_problem problem, int error)
{
	if (!d->handed_over) /* else proxy sees it by itself */
		d->dialer->done(d->seq, -1, problem, error);
	dial_free(d);
}

static void succeed(struct dial *d)
{
	if (d->event) /* before others have the socket: the loop would go on watching it for them */
		event_free(TAKE_PTR(d->event));
	if (!d->handed_over)
		d->dialer->done(d->seq, TAKE_FD(d->fd), DIAL_PROBLEM_COUNT, 0);
	dial_free(d);
}

/* ---- writing head and body ---- */

static const struct timeval dial_patience = { .tv_sec = LIMIT_DIAL_SECONDS };

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct dial *d = arg;
	event_add(d->deadline, &dial_patience);
	while (d->rest_done < d->rest_len) {
		ssize_t n =
			send(fd, d->rest + d->rest_done, d->rest_len - d->rest_done, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			fail(d, DIAL_UNREACHABLE, errno);
			return;
		}
		d->rest_done += (size_t)n;
	}
	succeed(d);
}

/* A server may answer before it has taken a body; and nobody else writes, where that came with its head. */
static void hand_over(struct dial *d)
{
	int fd = fcntl(d->fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return;
	d->handed_over = true;
	d->dialer->done(d->seq, fd, DIAL_PROBLEM_COUNT, 0);
}

/* Keep what the socket did not take, and go on when it takes more. */
static void write_later(struct dial *d, const char *bytes, size_t n)
{
	d->rest = malloc(n);
	if (d->rest) {
		memcpy(d->rest, bytes, n);
		d->rest_len = n;
		d->event = event_new(d->dialer->base, d->fd, EV_WRITE | EV_PERSIST, on_writable, d);
	}
	if (!d->rest || !d->event || event_add(d->event, NULL) < 0)
		fail(d, DIAL_BUSY, ENOMEM);
	else if (d->body.len)
		hand_over(d);
}

static enum dial_problem fill_problem(int error)
{
	switch (error) {
	case -EACCES:
		return DIAL_CREDENTIAL_MISMATCH;
	case -ENOKEY:
		return DIAL_CREDENTIAL_UNKNOWN;
	case -ENOTSUP:
		return DIAL_CREDENTIAL_PLACE;
	default:
		return DIAL_BAD_HEAD;
	}
}

/* Head and body with their credentials, in the store's memory; -errno. */
static int fill(const struct dial *d, struct span *ret)
{
	const struct credential_way way = { d->host, d->port, d->tls };
	return credentials_fill(d->dialer->credentials, &way, d->head, d->body, ret);
}

/* ---- TLS ---- */

static void on_tls(void *arg, bool open, long verify_error)
{
	struct dial *d = arg;
	struct tls_relay *relay = TAKE_PTR(d->relay); /* ends by itself from here on */
	struct span filled;
	if (!open) {
		fail(d, verify_error ? DIAL_NOT_TRUSTED : DIAL_NO_TLS, (int)verify_error);
		return;
	}
	d->fd = tls_relay_take(relay);
	int r = d->text ? fill(d, &filled) : 0;
	if (r < 0) {
		fail(d, fill_problem(r), 0);
		return;
	}
	if (d->text) {
		r = tls_relay_write(relay, filled);
		credentials_wipe(d->dialer->credentials);
	}
	if (r < 0)
		fail(d, DIAL_UNREACHABLE, -r);
	else
		succeed(d);
}

static void open_tls(struct dial *d)
{
	SSL *ssl = tls_upstream_connection(d->dialer->tls, d->host, d->text != NULL);
	int r = ssl ? tls_relay_new(d->dialer->base, TAKE_FD(d->fd), ssl, on_tls, d, &d->relay)
		    : -ENOMEM;
	if (r < 0)
		fail(d, DIAL_BUSY, -r);
}

static void connected(struct dial *d)
{
	struct credentials *store = d->dialer->credentials;
	struct span filled;
	int on = 1;
	setsockopt(d->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* not for Unix sockets */
	if (d->tls) {
		open_tls(d);
		return;
	}
	if (!d->text) {
		succeed(d);
		return;
	}
	int r = fill(d, &filled);
	if (r < 0) {
		fail(d, fill_problem(r), 0);
		return;
	}
	ssize_t n;
	do
		n = send(d->fd, filled.data, filled.len, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n == (ssize_t)filled.len)
		succeed(d);
	else if (n < 0 && errno != EAGAIN)
		fail(d, DIAL_UNREACHABLE, errno);
	else
		write_later(d, filled.data + (n > 0 ? n : 0), filled.len - (size_t)(n > 0 ? n : 0));
	credentials_wipe(store);
}

/* ---- connecting ---- */

static void try_next(struct dial *d);

static void on_connect(evutil_socket_t fd, short what, void *arg)
{
	struct dial *d = arg;
	int error = ETIMEDOUT;
	socklen_t len = sizeof(error);
	if (what & EV_WRITE && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	event_free(TAKE_PTR(d->event));
	d->error = error;
	if (error)
		try_next(d);
	else
		connected(d);
}

/* Begin to connect to one address. 1: it stands already; 0; -errno when it failed at once. */
static int try_one(struct dial *d, const struct try *t)
{
	static const struct timeval patience = { .tv_sec = TRY_SECONDS };
	const struct sockaddr *address = (const struct sockaddr *)&t->address;
	d->fd = socket(t->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (d->fd < 0)
		return -errno;
	int r = connect(d->fd, address, t->len);
	/* A server on this host has been reached by now, and a second call says so: nothing has to be waited for. */
	if (r < 0 && errno == EINPROGRESS)
		r = connect(d->fd, address, t->len);
	if (r == 0)
		return 1;
	if (errno != EINPROGRESS && errno != EALREADY)
		return -errno;
	d->event = event_new(d->dialer->base, d->fd, EV_WRITE, on_connect, d);
	if (!d->event || event_add(d->event, d->tried < d->n_tries ? &patience : NULL) < 0)
		return -ENOMEM;
	return 0;
}

static void try_next(struct dial *d)
{
	while (d->tried < d->n_tries) {
		if (d->fd >= 0)
			close(TAKE_FD(d->fd));
		int r = try_one(d, &d->try[d->tried++]);
		if (r == 0)
			return;
		if (r > 0) {
			connected(d);
			return;
		}
		d->error = -r;
	}
	fail(d, DIAL_UNREACHABLE, d->error);
}

/* ---- where to ---- */

int dialer_add_server(struct dialer *d, uint16_t port, const char *text)
{
	struct dial_server s = { .port = port };
	struct address a;
	if (d->n_servers == LIMIT_SERVERS)
		return -ENOSPC;
	if (port == 0)
		return -EINVAL;
	if (strncmp(text, "unix:/", 6) == 0) {
		struct sockaddr_un *un = (struct sockaddr_un *)&s.address;
		size_t len = strlen(text + 5);
		if (len >= sizeof(un->sun_path))
			return -EINVAL;
		un->sun_family = AF_UNIX;
		memcpy(un->sun_path, text + 5, len + 1);
		s.address_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
	} else {
		struct http_authority at;
		char host[64];
		if (http_authority_parse(span_of(text), &at) < 0 || !at.has_port ||
		    at.host.len >= sizeof(host))
			return -EINVAL;
		memcpy(host, at.host.data, at.host.len);
		host[at.host.len] = '\0';
		if (address_parse(host, &a) < 0)
			return -EINVAL;
		s.address_len = address_to_sockaddr(&a, at.port, &s.address);
	}
	d->server[d->n_servers++] = s;
	return 0;
}

int dialer_set_host(struct dialer *d, const char *text)
{
	struct address a;
	if (address_parse(text, &a) < 0 || address_kind(&a) == ADDRESS_NEVER)
		return -EINVAL;
	d->host = a;
	return 0;
}

/* The declared server for the port as the one address to try; false when there is none. */
static bool find_server(struct dial *d)
{
	for (unsigned i = 0; i < d->dialer->n_servers; i++) {
		const struct dial_server *s = &d->dialer->server[i];
		if (s->port != d->port)
			continue;
		struct try *t = &d->try[d->n_tries++];
		t->address = s->address;
		t->len = s->address_len;
		return true;
	}
	return false;
}

static bool may_reach(const struct dial *d, const struct address *a, bool wildcards_only)
{
	enum address_kind kind = address_kind(a);
	enum policy_host known = wildcards_only ? d->by_wildcards : d->known;
	if (kind == ADDRESS_NEVER)
		return false;
	if (known == POLICY_HOST_LISTED)
		return policy_address_listed(d->dialer->policy, span_of(d->host), d->port,
					     wildcards_only, a->bytes, a->size);
	return kind == ADDRESS_PUBLIC || known != POLICY_HOST_WILDCARD;
}

static enum dial_problem blocked(enum policy_host known)
{
	return known == POLICY_HOST_LISTED     ? DIAL_BLOCKED_LISTED
	       : known == POLICY_HOST_WILDCARD ? DIAL_BLOCKED_INTERNAL
					       : DIAL_BLOCKED_DECLARED;
}

/* Check all the addresses that a name has, and then connect: one bad address blocks them all, since
 * whoever owns the name chose to mix them. */
static void check_and_try(struct dial *d, const struct address *found, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		bool known = may_reach(d, &found[i], false);
		if (known && (!d->wildcards_only || may_reach(d, &found[i], true)))
			continue;
		if (address_kind(&found[i]) != ADDRESS_NEVER)
			d->dialer->blocked(d->seq, &found[i], known);
		fail(d, blocked(known ? d->by_wildcards : d->known), 0);
		return;
	}
	for (size_t i = 0; i < n && d->n_tries < TRIES_MAX; i++) {
		struct try *t = &d->try[d->n_tries++];
		t->len = address_to_sockaddr(&found[i], d->port, &t->address);
	}
	try_next(d);
}

static bool is_control_plane(uint16_t port)
{
	static const uint16_t ports[] = { 2379, 2380, 6443, 10250, 10255 }; /* etcd, Kubernetes */
	for (size_t i = 0; i < ELEMENTS(ports); i++)
		if (ports[i] == port)
			return true;
	return false;
}

static void ask_resolver(struct dial *d)
{
	static struct msg m;
	msg_begin(&m, &sandbox_messages, SANDBOX_RESOLVE, d->id);
	msg_put_s(&m, d->host);
	int r = msg_send(d->dialer->resolver, &m);
	if (r < 0)
		fail(d, r == -EAGAIN ? DIAL_BUSY : DIAL_UNREACHABLE, -r);
}

void dial_resolved(struct dialer *all, uint64_t id, const struct address *found, size_t n)
{
	for (struct dial *d = all->dials; d; d = d->next) {
		if (d->id != id)
			continue;
		if (n == 0)
			fail(d,
			     d->known == POLICY_HOST_LISTED ? DIAL_BLOCKED_LISTED : DIAL_UNRESOLVED,
			     0);
		else
			check_and_try(d, found, n);
		return;
	}
}

static void begin(struct dial *d)
{
	struct address literal;
	struct span host = span_of(d->host);
	enum policy_host known = policy_host(d->dialer->policy, host, d->port, false);
	d->by_wildcards = policy_host(d->dialer->policy, host, d->port, true);
	if (known == POLICY_HOST_NONE ||
	    (d->wildcards_only && d->by_wildcards == POLICY_HOST_NONE)) {
		fail(d, DIAL_NOT_IN_POLICY, 0);
		return;
	}
	d->known = known;
	if (d->body.len && !policy_body_credentials(d->dialer->policy, host, d->port)) {
		fail(d, DIAL_CREDENTIAL_PLACE, 0);
		return;
	}
	if (d->text) { /* so that nobody is connected to for nothing */
		struct span filled;
		int r = fill(d, &filled);
		credentials_wipe(d->dialer->credentials);
		if (r < 0) {
			fail(d, fill_problem(r), 0);
			return;
		}
	}
	/* An address that is named exactly counts as a list of itself. */
	bool is_literal = address_parse(d->host, &literal) == 0;
	bool listed = known == POLICY_HOST_LISTED ||
		      (is_literal && address_kind(&literal) != ADDRESS_NEVER);
	if (is_control_plane(d->port))
		fail(d, listed ? DIAL_BLOCKED_LISTED : DIAL_BLOCKED_DECLARED, 0);
	else if (strcmp(d->host, HOST_INTERNAL) == 0 && find_server(d))
		try_next(d);
	else if (strcmp(d->host, HOST_INTERNAL) == 0 && d->dialer->host.size)
		check_and_try(d, &d->dialer->host, 1);
	else if (strcmp(d->host, HOST_INTERNAL) == 0)
		fail(d, DIAL_UNREACHABLE, ECONNREFUSED);
	else if (is_literal)
		check_and_try(d, &literal, 1);
	else
		ask_resolver(d);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	fail(arg, DIAL_UNREACHABLE, ETIMEDOUT);
}

/* False when out of memory. */
static bool keep_text(struct dial *d, struct span head, struct span body)
{
	if (!head.len)
		return true;
	d->text = malloc(head.len + body.len);
	if (!d->text)
		return false;
	memcpy(d->text, head.data, head.len);
	if (body.len)
		memcpy(d->text + head.len, body.data, body.len);
	d->head = (struct span){ d->text, head.len };
	d->body = (struct span){ d->text + head.len, body.len };
	return true;
}

void dial_begin(struct dialer *all, const struct dial_request *r)
{
	size_t host_len = strlen(r->host);
	struct dial *d = NULL;
	if (all->n_dials < LIMIT_DIALS && host_len < sizeof(d->host))
		d = calloc(1, sizeof(*d));
	if (!d) {
		all->done(r->seq, -1, DIAL_BUSY, 0);
		return;
	}
	*d = (struct dial){ .dialer = all,
			    .seq = r->seq,
			    .id = ++all->next_id,
			    .port = r->port,
			    .tls = r->tls,
			    .wildcards_only = r->wildcards_only,
			    .fd = -1 };
	memcpy(d->host, r->host, host_len + 1);
	d->next = all->dials;
	all->dials = d;
	all->n_dials++;
	d->deadline = evtimer_new(all->base, on_deadline, d);
	if (d->deadline && event_add(d->deadline, &dial_patience) == 0 &&
	    keep_text(d, r->head, r->body))
		begin(d);
	else
		fail(d, DIAL_BUSY, ENOMEM);
}

void dial_cancel(struct dialer *all, uint64_t seq)
{
	for (struct dial *d = all->dials; d; d = d->next) {
		if (d->seq == seq) {
			dial_free(d);
			return;
		}
	}
}

void dialer_set_policy(struct dialer *all, const struct policy *policy, uint64_t number)
{
	all->policy = policy;
	all->policy_number = number;
	for (struct dial *d = all->dials, *next; d; d = next) {
		next = d->next;
		if (!d->handed_over)
			fail(d, DIAL_OTHER_POLICY, 0);
	}
}

void dial_cancel_all(struct dialer *all)
{
	while (all->dials)
		dial_free(all->dials);
}
