/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the heads that proxy writes. Input: a digit (1: inside a tunnel; 2: the body is collected first), the client's bytes. Whatever is sent on is understood
 * by the strictest reader, as the same message: method, canonical path, query, framing, every field that is not this connection's
 * own. So nothing means one thing to proxy and another to a server that reads with the same code.
 */
#include "base/limit.h"
#include "http/target.h"
#include "proxy/conn.h"

#include <assert.h>
#include <event2/buffer.h>
#include <event2/event.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* The process's side, of which nothing is reached from here. */
struct proxy proxy;
void proxy_ask(struct conn *c, enum conn_question question)
{
	(void)c;
	(void)question;
	abort();
}
void proxy_forget(struct conn *c)
{
	(void)c;
	abort();
}

void proxy_cancel(uint64_t seq)
{
	(void)seq;
	abort();
}

static struct http_head received, sent;
static char out[LIMIT_PROXY_HEAD_BYTES];

static void check_target(const struct http_target *before)
{
	static char canonical[HTTP_PATH_CANONICAL_SIZE];
	struct http_target t;
	enum http_refusal why;
	size_t len;
	int r = http_target_parse(sent.target, sent.method_id, &t, &why);

	assert(r == 0 && t.form == HTTP_TARGET_ORIGIN);
	if (t.path.len <= HTTP_PATH_RAW_MAX) {
		r = http_path_canonical(t.path, HTTP_PATH_ALLOW_ENCODED_SLASH, canonical,
					sizeof(canonical), &len, &why);
		assert(r == 0 && span_equal((struct span){ canonical, len }, t.path));
	}
	assert(t.has_query == (before->query.len > 0) && span_equal(t.query, before->query));
}

/* The fields between Host, which comes first, and what proxy adds at the end. */
static void check_fields(bool collected)
{
	unsigned at = 1;

	assert(sent.fields[0].id == HTTP_FIELD_HOST);
	for (unsigned i = 0; i < received.n_fields; i++) {
		const struct http_field *f = &received.fields[i];
		if (collected && (f->id == HTTP_FIELD_EXPECT || f->id == HTTP_FIELD_TRAILER))
			continue;
		if (f->id == HTTP_FIELD_HOST || f->id == HTTP_FIELD_CONTENT_LENGTH ||
		    http_field_is_hop(&received, i))
			continue;
		assert(at < sent.n_fields && span_equal(sent.fields[at].name, f->name));
		assert(span_equal(sent.fields[at].value, f->value));
		at++;
	}
	for (; at < sent.n_fields; at++) {
		enum http_field_id id = sent.fields[at].id;
		assert(id == HTTP_FIELD_TRANSFER_ENCODING || id == HTTP_FIELD_CONTENT_LENGTH ||
		       id == HTTP_FIELD_VIA);
	}
}

static void check(const struct conn *c, struct span in, const char *host, uint16_t port, size_t len)
{
	static const struct http_rules lenient = { HTTP_LENIENT_LENGTH | HTTP_LENIENT_HOST, 0 };
	struct http_scan scan = { 0 };
	struct http_target target;
	enum http_refusal why;
	int r = http_request_parse(&scan, in.data, in.len, &lenient, &received);

	assert(r == 0);
	r = http_target_parse(received.target, received.method_id, &target, &why);
	assert(r == 0);
	struct http_authority authority;
	if (c->tunnel && http_authority_parse(received.host, &authority) < 0)
		return; /* decide_and_dial() refuses it: it does not say that it is for the tunnel's end */
	if (c->tunnel)
		assert(!strcmp(host, c->tunnel_host) && port == c->tunnel_port);
	else
		assert(span_is_nocase(target.authority.host, host) &&
		       port == (target.authority.has_port ? target.authority.port : 80));
	if (target.form == HTTP_TARGET_AUTHORITY) {
		assert(len == 0);
		return;
	}
	scan = (struct http_scan){ 0 };
	r = http_request_parse(&scan, out, len, NULL, &sent);
	if (r < 0) { /* it has grown by what is encoded */
		assert(sent.refusal == HTTP_REFUSED_HEAD_LONG ||
		       sent.refusal == HTTP_REFUSED_TARGET_LONG);
		return;
	}
	assert(sent.length == len && sent.minor == 1 && sent.keep_alive);
	assert(span_equal(sent.method, received.method));
	if (c->collected && received.body != HTTP_BODY_NONE)
		assert(sent.body == HTTP_BODY_LENGTH &&
		       sent.body_length == collect_body(c->collected).len);
	else
		assert(sent.body == received.body && sent.body_length == received.body_length);
	check_target(&target);
	check_fields(c->collected);
}

/* Collect the body of the request at the front; false when it is not whole, or no request. */
static bool collect(struct conn *c, struct evbuffer *in)
{
	static const struct http_rules lenient = { HTTP_LENIENT_LENGTH | HTTP_LENIENT_HOST, 0 };
	struct http_scan scan = { 0 };
	size_t n = evbuffer_get_length(in);
	n = n > LIMIT_HTTP_HEAD_BYTES + 1 ? LIMIT_HTTP_HEAD_BYTES + 1 : n;
	if (http_request_parse(&scan, (const char *)evbuffer_pullup(in, (ssize_t)n), n, &lenient,
			       &received) < 0)
		return false;
	c->collected = collect_begin(in, received.length, &received, 100);
	assert(c->collected);
	return collect_more(c->collected, in) == COLLECT_WHOLE;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct event_base *base;
	char host[512];
	uint16_t port;
	size_t len;

	if (n < 1)
		return 0;
	if (!base)
		base = event_base_new();
	struct conn c = { .tunnel = data[0] & 1,
			  .tunnel_host = "one.example",
			  .tunnel_port = 443,
			  .client = bufferevent_socket_new(base, -1, 0) };
	assert(c.client);
	struct evbuffer *in = bufferevent_get_input(c.client);
	evbuffer_unfreeze(in, 0);
	evbuffer_add(in, data + 1, n - 1);
	(void)conn_speech((struct span){ (const char *)data + 1, n - 1 });
	if ((!(data[0] & 2) || collect(&c, in)) &&
	    conn_dial_request(&c, host, sizeof(host), &port, out, sizeof(out), &len) == 0)
		check(&c, (struct span){ (const char *)data + 1, n - 1 }, host, port, len);
	collect_free(c.collected);
	bufferevent_free(c.client);
	event_base_loop(base, EVLOOP_NONBLOCK); /* that is where it goes */
	return 0;
}
