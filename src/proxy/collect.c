/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/collect.h"

#include "base/limit.h"

#include <event2/buffer.h>

struct collected {
	struct evbuffer *head, *body; /* as it came; without its framing */
	struct http_body decoder;
	uint32_t most;
};

static size_t held; /* bytes of all bodies */

struct collected *collect_begin(struct evbuffer *in, size_t head_len, const struct http_head *head,
				uint32_t most)
{
	struct collected *c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->head = evbuffer_new();
	c->body = evbuffer_new();
	c->most = most;
	http_body_init(&c->decoder, head);
	if (!c->head || !c->body || evbuffer_remove_buffer(in, c->head, head_len) < 0) {
		collect_free(c);
		return NULL;
	}
	return c;
}

/* One piece of what has come; COLLECT_WHOLE when it was taken. */
static enum collect_state take(struct collected *c, struct evbuffer *in)
{
	struct evbuffer_iovec v;
	struct http_piece piece;
	size_t used;
	if (evbuffer_peek(in, -1, NULL, &v, 1) < 1)
		return COLLECT_MORE;
	if (http_body_decode(&c->decoder, v.iov_base, v.iov_len, &used, &piece) < 0)
		return COLLECT_MALFORMED;
	if (piece.payload.len > c->most - evbuffer_get_length(c->body))
		return COLLECT_LONG;
	if (piece.payload.len > LIMIT_RPC_BODIES_BYTES - held)
		return COLLECT_FULL;
	if (piece.payload.len && evbuffer_add(c->body, piece.payload.data, piece.payload.len) < 0)
		return COLLECT_FULL;
	held += piece.payload.len;
	evbuffer_drain(in, used);
	return COLLECT_WHOLE;
}

enum collect_state collect_more(struct collected *c, struct evbuffer *in)
{
	while (!c->decoder.done) {
		enum collect_state state = take(c, in);
		if (state != COLLECT_WHOLE)
			return state;
	}
	evbuffer_prepend_buffer(in, c->head);
	return COLLECT_WHOLE;
}

uint32_t collect_most(const struct collected *c)
{
	return c->most;
}

enum http_refusal collect_refusal(const struct collected *c)
{
	return c->decoder.refusal;
}

struct span collect_body(struct collected *c)
{
	if (!c)
		return (struct span){ 0 };
	size_t n = evbuffer_get_length(c->body);
	return (struct span){ (const char *)evbuffer_pullup(c->body, -1), n };
}

void collect_send(struct collected *c, struct evbuffer *out, size_t most)
{
	int n = evbuffer_remove_buffer(c->body, out, most);
	held -= n > 0 ? (size_t)n : 0;
}

void collect_free(struct collected *c)
{
	if (!c)
		return;
	if (c->body) {
		held -= evbuffer_get_length(c->body);
		evbuffer_free(c->body);
	}
	if (c->head)
		evbuffer_free(c->head);
	free(c);
}
