/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies that have to be known whole before their requests are sent on: for the decision, or for placeholders in them. */
#include "base/utf8.h"
#include "proxy/conn.h"

#include <event2/buffer.h>

static void refuse_long(struct conn *c, uint32_t most)
{
	if (c->watching) {
		refuse_error(c, 413, "body_too_large",
			     "placeholders are looked for in bodies of at most %u bytes", most);
		return;
	}
	refuse_error(
		c, 400, "invalid_jsonrpc_request",
		"JSON-RPC request rejected before policy evaluation: HTTP request body exceeds "
		"%u byte inspection limit",
		most);
}

void conn_body_more(struct conn *c)
{
	switch (collect_more(c->collected, bufferevent_get_input(c->client))) {
	case COLLECT_MORE:
		if (c->client_ended)
			conn_free(c); /* in the middle of its request */
		break;
	case COLLECT_WHOLE: /* who holds the connection by now? */
		c->state = CONN_WHO;
		proxy_ask(c, CONN_ASKS_WHO);
		break;
	case COLLECT_LONG:
		refuse_long(c, collect_most(c->collected));
		break;
	case COLLECT_FULL:
		refuse_error(c, 503, "too_many_bodies",
			     "too many bodies of requests are held; try again later");
		break;
	case COLLECT_MALFORMED:
		refuse_malformed(c, collect_refusal(c->collected));
		break;
	}
}

void conn_body_collect(struct conn *c, const struct http_head *h, uint32_t most, bool fills)
{
	struct evbuffer *in = bufferevent_get_input(c->client);
	c->watching = fills;
	/* It was collected for one holder's policy, and another one's takes less; or it says so itself. */
	if (c->collected || (h->body == HTTP_BODY_LENGTH && h->body_length > most)) {
		refuse_long(c, most);
		return;
	}
	c->collected = collect_begin(in, h->length, h, most);
	if (!c->collected) {
		conn_free(c);
		return;
	}
	/* Who waits for that waits for the server, which is not asked before the body is known. */
	if (h->expect_100 && h->minor && !evbuffer_get_length(in))
		bufferevent_write(c->client, "HTTP/1.1 100 Continue\r\n\r\n", 25);
	c->state = CONN_BODY;
	conn_body_more(c);
}

bool conn_body_wanted(const struct conn *c, const struct http_head *h)
{
	enum placeholder_text how;
	if (h->body == HTTP_BODY_NONE || !placeholder_body(h, &how))
		return false;
	return !c->collected || collect_body(c->collected).len > LIMIT_CREDENTIAL_BODY_BYTES;
}

bool conn_body_is_utf8(const struct conn *c)
{
	struct span body = collect_body(c->collected);
	return utf8_is_valid(body.data, body.len);
}

/* Where they are not filled in they are not to be sent, either: relay.c, once it is known that they would mean something. */
void conn_body_look(struct conn *c, const struct http_head *h, const struct policy_decision *d)
{
	size_t at, n;
	struct span body = collect_body(c->collected);
	enum placeholder_text how = PLACEHOLDER_PLAIN;
	c->watching = h->body != HTTP_BODY_NONE && d->inspected &&
		      d->inspection.protocol == POLICY_PROTOCOL_REST && placeholder_body(h, &how);
	c->watch = (struct placeholder_watch){ .how = how };
	c->fill_body = d->body_credentials && c->watching && placeholder_find(body, how, &at, &n);
}

struct span conn_dial_body(struct conn *c)
{
	return c->fill_body ? collect_body(c->collected) : (struct span){ 0 };
}
