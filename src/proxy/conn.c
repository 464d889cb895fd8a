/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a connection's bytes to a decision. A head stays at the front of the client's input until a
 * connection for it stands, and is parsed again at each step from there: nothing parsed is kept that
 * points into a buffer which may move.
 */
#include "proxy/conn.h"
#include "base/cleanup.h"
#include "http/target.h"
#include "http/write.h"
#include "policy/denial.h"
#include "policy/rpc.h"
#include "proxy/decisions.h"

#include <ctype.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <sys/socket.h>

#define TLS_HANDSHAKE 0x16 /* type of the records that it begins with (RFC 8446, 5.1) */

/* Large, and of one request at a time. */
static struct http_head head;
static struct http_target target;
static char canonical[HTTP_PATH_CANONICAL_SIZE];
static struct rpc message;		 /* of that request's body … */
static struct policy_inspection read_as; /* … and how it was read; with a document only */

/* A request taken apart, for deciding and for writing it anew. */
struct asked {
	struct policy_request r;
	bool bad_path, has_query, other_scheme;
	enum http_host_kind host_kind;
	struct span authority; /* what Host becomes */
};

/* ---- parsing ---- */

static struct span input(struct conn *c)
{
	struct evbuffer *in = bufferevent_get_input(c->client);
	size_t n = evbuffer_get_length(in);
	if (n > LIMIT_HTTP_HEAD_BYTES + 1)
		n = LIMIT_HTTP_HEAD_BYTES + 1;
	return (struct span){ (const char *)evbuffer_pullup(in, (ssize_t)n), n };
}

/* Host decides where a request inside a tunnel goes, and nothing outside of one. */
static int parse_head(const struct conn *c, struct http_scan *scan, struct span bytes)
{
	static const struct http_rules inside = { .lenient = HTTP_LENIENT_LENGTH };
	static const struct http_rules outside = { .lenient = HTTP_LENIENT_LENGTH |
							      HTTP_LENIENT_HOST };
	return http_request_parse(scan, bytes.data, bytes.len, c->tunnel ? &inside : &outside,
				  &head);
}

/* Where the authority is written in an absolute target: between "://" and the path. */
static struct span authority_of(const struct http_target *t)
{
	const char *from = t->scheme.data + t->scheme.len + 3;
	return (struct span){ from, (size_t)((t->path.data ? t->path.data : from) - from) };
}

static void take_apart_path(const struct conn *c, struct asked *a)
{
	enum http_refusal why;
	size_t n;
	unsigned quotes = c->tunnel ? HTTP_PATH_REFUSE_RAW_QUOTES : 0;
	a->r.raw_path = target.path;
	a->r.query = target.query;
	a->has_query = target.query.len > 0;
	a->bad_path = http_path_canonical(target.path, HTTP_PATH_ALLOW_ENCODED_SLASH | quotes,
					  canonical, sizeof(canonical), &n, &why) < 0;
	a->r.path = (struct span){ canonical, a->bad_path ? 0 : n };
}

/* Take apart the request whose head was parsed; false when its target is none that this place takes. */
static bool take_apart(const struct conn *c, struct asked *a, enum http_refusal *ret_why)
{
	*a = (struct asked){ .r = { .method = head.method } };
	if (http_target_parse(head.target, head.method_id, &target, ret_why) < 0)
		return false;
	*ret_why = HTTP_REFUSED_TARGET_FORM;
	bool absolute = target.form == HTTP_TARGET_ABSOLUTE;
	a->host_kind = target.authority.kind;
	a->other_scheme = absolute && !span_is_nocase(target.scheme, c->tls ? "https" : "http");
	if (target.form == HTTP_TARGET_AUTHORITY && !c->tunnel) {
		a->r.via = POLICY_VIA_CONNECT;
		a->r.host = target.authority.host;
		a->r.port = target.authority.port;
		return true;
	}
	if (!absolute && !(c->tunnel && target.form == HTTP_TARGET_ORIGIN))
		return false;
	*ret_why = HTTP_REFUSED_HOST_MISSING; /* HTTP/1.0 need not have it, but a tunnel does */
	if (c->tunnel && !head.host.len)
		return false;
	if (c->tunnel) {
		a->r.via = POLICY_VIA_INSIDE;
		a->r.host = span_of(c->tunnel_host);
		a->r.port = c->tunnel_port;
		a->authority = head.host;
	} else {
		a->r.via = POLICY_VIA_FORWARD;
		a->r.host = target.authority.host;
		a->r.port = target.authority.has_port ? target.authority.port : HTTP_PORT;
		a->authority = authority_of(&target);
	}
	take_apart_path(c, a);
	return true;
}

/* The request at the front of the client's input, once more; it was complete and in order before. */
static bool again(struct conn *c, struct asked *a)
{
	struct http_scan scan = { 0 };
	enum http_refusal why;
	return parse_head(c, &scan, input(c)) == 0 && take_apart(c, a, &why);
}

/* ---- deciding ---- */

/* A path out of witness's answer, noting when its file is not what it was. */
static const char *program(const char *p, struct policy_request *r)
{
	if (*p != *SANDBOX_CHANGED)
		return p;
	return r->changed = p + 1;
}

/* The next holder's strings out of witness's answer: pid, executable, ancestors. False at the end. */
static bool next_holder(const char **at, const char *end, const char **ancestors,
			struct policy_request *r)
{
	const char *p = *at;
	if (p >= end)
		return false;
	r->n_ancestors = 0;
	r->changed = NULL;
	r->pid = (pid_t)strtol(p, NULL, 10);
	p += strlen(p) + 1;
	r->binary = program(p, r);
	for (p += strlen(p) + 1; p < end && *p; p += strlen(p) + 1)
		if (r->n_ancestors < LIMIT_ANCESTORS)
			ancestors[r->n_ancestors++] = program(p, r);
	*at = p + 1;
	return true;
}

/* Read the body as the endpoint wants it; false when it has not come yet, or is longer than this endpoint takes. */
static bool read_message(struct conn *c, struct policy_request *r,
			 const struct policy_inspection *how)
{
	static const struct policy_message stream = { .stream = true };
	r->message = &stream;
	if (rpc_is_stream(&head))
		return true;
	struct span body = collect_body(c->collected);
	if (!c->collected || body.len > how->body_bytes)
		return false;
	r->message = &message.message;
	/* Of several holders the next one's endpoint mostly wants the same. */
	if (message.document && read_as.protocol == how->protocol &&
	    read_as.strict_tool_names == how->strict_tool_names)
		return true;
	rpc_done(&message);
	rpc_parse(body.data, body.len, how, &message);
	if (!message.message.doubtful)
		message.message.doubtful = rpc_doubt(&head);
	read_as = *how;
	return true;
}

/* POLICY_NEEDS_MESSAGE is left where the body is missing. */
static void decide_one(struct conn *c, struct policy_request *r, struct policy_decision *d)
{
	r->message = NULL;
	policy_decide(proxy.policy, r, d);
	if (d->verdict == POLICY_NEEDS_MESSAGE && read_message(c, r, &d->inspection))
		policy_decide(proxy.policy, r, d);
}

/* Every process that holds the connection must be allowed; the first that is not decides. Leaves the
 * holder in *r for the refusal's text. */
static void decide(struct conn *c, struct span holders, struct policy_request *r,
		   struct policy_decision *d)
{
	static const char *ancestors[LIMIT_ANCESTORS];
	const char *at = holders.data, *end = holders.data + holders.len;
	bool any = false, host_wildcard = false, inspected = false, tls_skip = true;
	bool body_credentials = true;
	r->ancestors = ancestors;
	while (next_holder(&at, end, ancestors, r)) {
		any = true;
		decide_one(c, r, d);
		if (!d->allowed)
			return;
		journal_decision(r, d);
		d->host_wildcard = host_wildcard = host_wildcard || d->host_wildcard;
		d->inspected = inspected = inspected || d->inspected;
		d->tls_skip = tls_skip = tls_skip && d->tls_skip;
		d->body_credentials = body_credentials = body_credentials && d->body_credentials;
	}
	if (any)
		return;
	r->binary = NULL;
	r->n_ancestors = 0;
	decide_one(c, r, d);
}

static void lower(struct span from, char *out, size_t size)
{
	size_t n = from.len < size - 1 ? from.len : size - 1;
	for (size_t i = 0; i < n; i++)
		out[i] = (char)tolower((unsigned char)from.data[i]);
	out[n] = '\0';
}

static bool is_tunnels(const struct conn *c, const struct http_authority *a)
{
	char host[sizeof(c->tunnel_host)];
	lower(a->host, host, sizeof(host));
	uint16_t unsaid = c->tls ? HTTPS_PORT : HTTP_PORT;
	return !strcmp(host, c->tunnel_host) && (a->has_port ? a->port : unsaid) == c->tunnel_port;
}

/* Does a request inside a tunnel say that it is for the tunnel's end? */
static bool same_authority(const struct conn *c, const struct asked *a)
{
	struct http_authority host;
	return !a->other_scheme && http_authority_parse(head.host, &host) == 0 &&
	       is_tunnels(c, &host) &&
	       (target.form != HTTP_TARGET_ABSOLUTE || is_tunnels(c, &target.authority));
}

static void say_allowed(struct conn *c)
{
	struct asked a;
	if (!(decisions_wanted() || c->watching) || !again(c, &a))
		return;
	journal_allowed(&c->kept, &a.r);
	if (c->watching)
		journal_keep_request(&c->kept, &a.r);
}

/* Whether nothing in the head, which is the first of the input's bytes, can become a credential, or says else who sends it; and
 * whether it may be sent twice. */
static bool is_plain(struct conn *c)
{
	size_t at, n;
	if ((head.method_id != HTTP_METHOD_GET && head.method_id != HTTP_METHOD_HEAD) ||
	    !c->up.done || c->collected || http_head_has(&head, HTTP_FIELD_AUTHORIZATION))
		return false;
	return !placeholder_find((struct span){ input(c).data, head.length }, PLACEHOLDER_PERCENT,
				 &at, &n);
}

/* Send the request over the connection that the one before had. */
static bool send_again(struct conn *c)
{
	static char text[LIMIT_PROXY_HEAD_BYTES];
	char host[256];
	uint16_t port;
	size_t n;
	if (!c->upstream || !c->plain || c->up_policy != proxy.policy_number ||
	    c->up_wildcard != c->host_wildcard ||
	    conn_dial_request(c, host, sizeof(host), &port, text, sizeof(text), &n) < 0 ||
	    port != c->up_port || strcmp(host, c->up_host) != 0 ||
	    !relay_again(c, (struct span){ text, n }))
		return false;
	say_allowed(c);
	if (c->client_ended)
		relay_ended(c, true);
	return true;
}

static void dial(struct conn *c, const struct asked *a, const struct policy_decision *d)
{
	if (a->r.via == POLICY_VIA_CONNECT) {
		lower(a->r.host, c->tunnel_host, sizeof(c->tunnel_host));
		c->tunnel_port = a->r.port;
		c->inspected = d->inspected;
		c->tls_skip = d->tls_skip;
	}
	c->policy_number = proxy.policy_number;
	c->host_wildcard = d->host_wildcard;
	*c->blocked = '\0';
	c->method = head.method_id;
	c->keep_alive = head.keep_alive;
	c->http10 = head.minor == 0;
	c->head_len = head.length;
	conn_body_look(c, &head, d);
	if (c->collected)
		http_body_start(&c->up, HTTP_BODY_NONE, 0); /* relay_begin() sends it */
	else
		http_body_init(&c->up, &head);
	c->plain = a->r.via != POLICY_VIA_CONNECT && is_plain(c);
	if (send_again(c))
		return;
	relay_drop(c);
	lower(a->r.host, c->up_host, sizeof(c->up_host));
	c->up_port = a->r.port;
	c->up_wildcard = c->host_wildcard;
	c->up_policy = proxy.policy_number;
	c->state = CONN_DIAL;
	proxy_ask(c, CONN_ASKS_DIAL);
}

/* The head is whole and it is known who asks. */
static void decide_and_dial(struct conn *c, struct span holders)
{
	struct asked a;
	struct policy_decision d;
	if (!again(c, &a)) {
		conn_free(c);
		return;
	}
	if (c->tunnel && !same_authority(c, &a)) {
		journal_denied(&a.r, "its Host is not the tunnel's");
		refuse_body(c, 403, NULL, denial_authority_mismatch,
			    strlen(denial_authority_mismatch));
		return;
	}
	decide(c, holders, &a.r, &d);
	if (d.allowed)
		journal_keep(&c->kept, &a.r, &d);
	if (a.bad_path && (d.allowed || d.verdict >= POLICY_DENIED_PATH || c->tunnel)) {
		journal_refused(&a.r, "the path has no canonical form");
		refuse_body(c, 400, NULL, denial_bad_target, strlen(denial_bad_target));
	} else if (d.verdict == POLICY_NEEDS_MESSAGE) {
		conn_body_collect(c, &head, d.inspection.body_bytes, false);
	} else if (!d.allowed) {
		refuse_decision(c, &a.r, &d);
	} else if (a.host_kind == HTTP_HOST_NUMBER) {
		refuse_dial(c, &a.r, DIAL_BLOCKED_DECLARED, 0);
	} else if (d.body_credentials && conn_body_wanted(c, &head)) {
		conn_body_collect(c, &head, LIMIT_CREDENTIAL_BODY_BYTES, true);
	} else if (d.body_credentials && !conn_body_is_utf8(c)) {
		journal_refused(&a.r, "its body is no UTF-8");
		refuse_error(c, 400, "invalid_body",
			     "placeholders are looked for in text of UTF-8 only, which this body "
			     "is not");
	} else {
		dial(c, &a, &d);
	}
	rpc_done(&message);
}

/* ---- the head that dialer writes ---- */

static void write_target(const struct asked *a, char *out, size_t size)
{
	snprintf(out, size, "%.*s%s%.*s", SPAN_FORMAT(a->r.path), a->has_query ? "?" : "",
		 a->has_query ? (int)a->r.query.len : 0, a->has_query ? a->r.query.data : "");
}

static bool is_passed_on(const struct conn *c, unsigned field)
{
	enum http_field_id id = head.fields[field].id;
	/* Of a body that is there and goes out as one piece. */
	if (c->collected && (id == HTTP_FIELD_EXPECT || id == HTTP_FIELD_TRAILER))
		return false;
	return id != HTTP_FIELD_HOST && id != HTTP_FIELD_CONTENT_LENGTH &&
	       !http_field_is_hop(&head, field);
}

/* Within the limits of the codec, with which dialer and postern's own servers read it: what came was, but
 * fields have been added, and the canonical form of a path can be three times as long. */
static int check_size(size_t target_len, unsigned n_fields, size_t len)
{
	if (target_len > LIMIT_HTTP_TARGET_BYTES)
		return -ENAMETOOLONG;
	return n_fields > LIMIT_HTTP_HEADERS || len > LIMIT_HTTP_HEAD_BYTES ? -E2BIG : 0;
}

int conn_dial_request(struct conn *c, char *host, size_t host_size, uint16_t *ret_port, char *out,
		      size_t size, size_t *ret_len)
{
	static char request_target[HTTP_PATH_CANONICAL_SIZE + LIMIT_HTTP_TARGET_BYTES];
	struct asked a;
	unsigned n_fields = 1;
	if (c->raw) {
		lower(span_of(c->tunnel_host), host, host_size);
		*ret_port = c->tunnel_port;
		*ret_len = 0;
		return 0;
	}
	if (!again(c, &a) || a.bad_path)
		return -EBADMSG;
	lower(a.r.host, host, host_size);
	*ret_port = a.r.port;
	*ret_len = 0;
	if (a.r.via == POLICY_VIA_CONNECT)
		return 0;
	write_target(&a, request_target, sizeof(request_target));
	struct http_writer w = HTTP_WRITER(out, size);
	http_write_request(&w, head.method, span_of(request_target));
	http_write_span(&w, HTTP_FIELD_HOST, a.authority);
	for (unsigned i = 0; i < head.n_fields; i++) {
		if (!is_passed_on(c, i))
			continue;
		http_write_field(&w, head.fields[i].name, head.fields[i].value);
		n_fields++;
	}
	if (c->collected && head.body != HTTP_BODY_NONE)
		http_write_number(&w, HTTP_FIELD_CONTENT_LENGTH, collect_body(c->collected).len);
	else if (head.body == HTTP_BODY_CHUNKED)
		http_write_text(&w, HTTP_FIELD_TRANSFER_ENCODING, "chunked");
	else if (head.body == HTTP_BODY_LENGTH)
		http_write_number(&w, HTTP_FIELD_CONTENT_LENGTH, head.body_length);
	n_fields += head.body == HTTP_BODY_CHUNKED || head.body == HTTP_BODY_LENGTH;
	if (!c->tunnel && !http_head_has(&head, HTTP_FIELD_VIA)) {
		http_write_text(&w, HTTP_FIELD_VIA, "1.1 openshell-sandbox");
		n_fields++;
	}
	return http_write_end(&w, ret_len) < 0
		       ? -E2BIG
		       : check_size(strlen(request_target), n_fields, *ret_len);
}

/* ---- steps ---- */

enum conn_speech conn_speech(struct span bytes)
{
	enum conn_speech speech = CONN_SPEAKS_OTHER;
	if (bytes.len && bytes.data[0] == TLS_HANDSHAKE) /* in any version 3 */
		return bytes.len == 1	    ? CONN_SPEAKS_LITTLE
		       : bytes.data[1] == 3 ? CONN_SPEAKS_TLS
					    : CONN_SPEAKS_OTHER;
	for (unsigned m = HTTP_METHOD_OTHER + 1; m < HTTP_METHOD_COUNT; m++) {
		const char *name = http_method_name((enum http_method)m);
		size_t n = strlen(name), have = bytes.len < n ? bytes.len : n;
		if (have && memcmp(bytes.data, name, have) != 0)
			continue;
		if (bytes.len > n && bytes.data[n] == ' ')
			return CONN_SPEAKS_HTTP;
		if (bytes.len <= n)
			speech = CONN_SPEAKS_LITTLE;
	}
	return speech;
}

/* The first bytes in a tunnel, or inside TLS in it. True when they are no head's, or may be none. */
static bool begins_otherwise(struct conn *c, struct span bytes, enum conn_speech speech)
{
	if (!c->peeking)
		return false;
	if (speech == CONN_SPEAKS_LITTLE)
		return bytes.data[0] == TLS_HANDSHAKE;
	c->peeking = false;
	if (speech == CONN_SPEAKS_TLS && !c->tls) {
		c->state = CONN_LEAF;
		proxy_ask(c, CONN_ASKS_LEAF);
		return true;
	}
	if (!c->tls || c->inspected || speech == CONN_SPEAKS_HTTP)
		return false;
	if (c->policy_number != proxy.policy_number) {
		conn_free(c); /* whether it may pass unseen was another policy's word */
		return true;
	}
	c->raw = true;
	c->state = CONN_DIAL;
	proxy_ask(c, CONN_ASKS_DIAL);
	return true;
}

static void on_head(struct conn *c)
{
	struct span bytes = input(c);
	struct asked a;
	enum http_refusal why = HTTP_REFUSED_NOTHING;
	/* Who takes no answers gets no more of them: on_written() goes on. */
	if (evbuffer_get_length(bufferevent_get_output(c->client)) >= CONN_HELD_BYTES)
		return;
	/* Outside of tunnels there is nothing else than heads. */
	enum conn_speech speech = c->tunnel ? conn_speech(bytes) : CONN_SPEAKS_HTTP;
	if (c->client_ended && (!bytes.len || speech == CONN_SPEAKS_LITTLE)) {
		conn_linger(c);
		return;
	}
	if (!bytes.len || begins_otherwise(c, bytes, speech))
		return;
	if (c->inspected && (speech == CONN_SPEAKS_OTHER || speech == CONN_SPEAKS_TLS)) {
		journal_refused(&(struct policy_request){ .via = POLICY_VIA_CONNECT,
							  .host = span_of(c->tunnel_host),
							  .port = c->tunnel_port,
							  .binary = c->kept.program,
							  .pid = c->kept.pid },
				"what the tunnel carries is no HTTP");
		refuse_body(c, 403, NULL, denial_unsupported_protocol,
			    strlen(denial_unsupported_protocol));
		return;
	}
	int r = parse_head(c, &c->scan, bytes);
	if (r == -EAGAIN) {
		if (c->client_ended) /* in the middle of its head */
			conn_linger(c);
		return;
	}
	if (r < 0)
		why = head.refusal;
	if (r < 0 || !take_apart(c, &a, &why)) {
		refuse_malformed(c, why);
	} else if (a.other_scheme && !c->tunnel) {
		refuse_error(c, 400, "unsupported_proxy_scheme", "%s",
			     span_is_nocase(target.scheme, "https") ? "Use CONNECT for HTTPS URLs"
								    : "only http is forwarded");
	} else {
		c->state = CONN_WHO;
		proxy_ask(c, CONN_ASKS_WHO);
	}
}

void conn_known(struct conn *c, struct span holders)
{
	if (c->state != CONN_RELAY)
		decide_and_dial(c, holders);
	else if (!holders.len)
		conn_free(c); /* it sends no more, and nobody is left to read the answer */
}

void conn_next(struct conn *c)
{
	c->state = CONN_HEAD;
	c->scan = (struct http_scan){ 0 };
	collect_free(TAKE_PTR(c->collected));
	on_head(c);
}

void conn_dialed(struct conn *c, int fd, bool credentials)
{
	struct evbuffer *in = bufferevent_get_input(c->client);
	if (c->raw) {
		tunnel_begin(c, fd);
		return;
	}
	c->watching = c->watching && credentials && !c->fill_body;
	say_allowed(c);
	if (c->method != HTTP_METHOD_CONNECT) {
		evbuffer_drain(in, c->head_len);
		c->head_len = 0;
		c->dialer_writes = c->fill_body ? c->seq : 0;
		if (c->fill_body) /* dialer has it */
			collect_free(TAKE_PTR(c->collected));
		relay_begin(c, fd);
		return;
	}
	/* What came together with CONNECT is dropped, as OpenShell does: nobody was there to take it. */
	evbuffer_drain(in, evbuffer_get_length(in));
	c->head_len = 0;
	c->tunnel = true;
	c->peeking = !c->tls_skip;
	bufferevent_write(c->client, "HTTP/1.1 200 Connection Established\r\n\r\n", 39);
	if (c->inspected && !c->tls_skip) {
		/* It can be reached; the first request inside gets a connection of its own, with what its
		 * placeholders stand for. */
		close(fd);
		conn_next(c);
	} else {
		tunnel_begin(c, fd);
	}
}

void conn_not_asked(struct conn *c, int error)
{
	if (error == -E2BIG)
		refuse_malformed(c, HTTP_REFUSED_HEAD_LONG);
	else if (error == -ENAMETOOLONG)
		refuse_malformed(c, HTTP_REFUSED_TARGET_LONG);
	else if (error == -ENOBUFS)
		conn_not_dialed(c, DIAL_BUSY, 0);
	else
		conn_not_dialed(c, DIAL_BAD_HEAD, 0);
}

void conn_not_dialed(struct conn *c, enum dial_problem problem, uint64_t error)
{
	struct asked a;
	if (c->raw || !again(c, &a)) {
		conn_free(c);
	} else if (problem == DIAL_OTHER_POLICY) {
		c->state = CONN_WHO;
		proxy_ask(c, CONN_ASKS_WHO);
	} else {
		refuse_dial(c, &a.r, problem, error);
	}
}

/* ---- events ---- */

static void on_read(struct bufferevent *b, void *arg)
{
	struct conn *c = arg;
	struct evbuffer *in = bufferevent_get_input(b);
	if (c->state == CONN_HEAD)
		on_head(c);
	else if (c->state == CONN_BODY)
		conn_body_more(c);
	else if (c->state == CONN_RELAY || c->state == CONN_TUNNEL)
		relay_move(c);
	else if (c->state == CONN_LINGER)
		evbuffer_drain(in, evbuffer_get_length(in));
}

static void on_written(struct bufferevent *b, void *arg)
{
	struct conn *c = arg;
	if (c->state == CONN_HEAD)
		on_head(c);
	else if (c->state == CONN_RELAY || c->state == CONN_TUNNEL)
		relay_move(c);
	else if (c->state == CONN_LINGER)
		conn_linger(c);
}

/* With TLS, a client that was reset looks like one that has said all; but nobody takes an answer, though none has ended. */
static bool is_gone(const struct conn *c)
{
	return c->tls && c->state == CONN_TUNNEL && !c->upstream_ended &&
	       send(bufferevent_getfd(c->client), "", 0, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 &&
	       errno == EPIPE;
}

static void on_event(struct bufferevent *b, short what, void *arg)
{
	struct conn *c = arg;
	c->client_ended = true; /* but it may still wait for the answer */
	/* libevent puts together what happens at once: an end that comes with an error is none to answer behind. */
	if (!(what & BEV_EVENT_EOF) || what & BEV_EVENT_ERROR || c->state == CONN_BODY ||
	    c->state == CONN_LEAF || is_gone(c))
		conn_free(c);
	else if (c->state == CONN_HEAD)
		on_head(c);
	else if (c->state == CONN_RELAY || c->state == CONN_TUNNEL)
		relay_ended(c, true);
	else if (c->state == CONN_LINGER)
		conn_linger(c);
}

struct conn *conn_new(int fd, const struct sockaddr_in *peer)
{
	struct conn *c = calloc(1, sizeof(*c));
	socklen_t n = sizeof(c->here);
	if (c)
		c->client = bufferevent_socket_new(proxy.base, fd,
						   BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
	if (!c || !c->client || getsockname(fd, (struct sockaddr *)&c->here, &n) < 0) {
		if (c && c->client)
			bufferevent_free(c->client);
		else
			close(fd);
		free(c);
		return NULL;
	}
	c->peer = *peer;
	bufferevent_setcb(c->client, on_read, on_written, on_event, c);
	bufferevent_setwatermark(c->client, EV_READ, 0, CONN_HELD_BYTES);
	bufferevent_set_max_single_write(c->client, CONN_HELD_BYTES);
	bufferevent_enable(c->client, EV_READ | EV_WRITE);
	return c;
}

void conn_free(struct conn *c)
{
	proxy_forget(c);
	journal_kept_done(&c->kept);
	bufferevent_free(c->client);
	if (c->upstream)
		bufferevent_free(c->upstream);
	collect_free(c->collected);
	free(c);
}
