/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moves bodies: the request's, decoded and framed anew, so that what follows it can only be another
 * request; the response's, verbatim but parsed, so that its end is known. Holds no more than
 * LIMIT_RELAY_BUFFER_BYTES for a slow reader: then it stops taking from the other side.
 */
#include "base/limit.h"
#include "http/write.h"
#include "proxy/conn.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <sys/socket.h>
#include <unistd.h>

static struct http_head head;

/* How much more may wait to be sent there. */
static size_t room(struct bufferevent *to)
{
	size_t held = evbuffer_get_length(bufferevent_get_output(to));
	return held < CONN_HELD_BYTES ? CONN_HELD_BYTES - held : 0;
}

static struct span cut(struct span s, size_t most)
{
	return (struct span){ s.data, s.len < most ? s.len : most };
}

/* The first contiguous bytes of a buffer. */
static struct span front_of(struct evbuffer *b)
{
	struct evbuffer_iovec v;
	if (evbuffer_peek(b, -1, NULL, &v, 1) < 1)
		return (struct span){ 0 };
	return (struct span){ v.iov_base, v.iov_len };
}

/* libevent 2.1 reads 4 KiB at a time. What flows in bulk is therefore read here, at most max bytes; empty when nothing is
 * there or `to` has enough. Only behind what libevent has read already; the end and errors are left for it to see. */
static struct span pull(struct bufferevent *from, struct bufferevent *to, uint64_t max)
{
	static char bulk[CONN_HELD_BYTES];
	size_t most = room(to);
	if (!most || evbuffer_get_length(bufferevent_get_input(from)))
		return (struct span){ 0 };
	ssize_t n = recv(bufferevent_getfd(from), bulk, max < most ? max : most, MSG_DONTWAIT);
	return (struct span){ bulk, n > 0 ? (size_t)n : 0 };
}

/* Large pieces where much comes: half the processor time for it. But room for one is made for each read,
 * so for what is short it would cost more. */
static void expect_much(struct bufferevent *from, const struct http_body *body)
{
	if (body->left > LIMIT_RELAY_BUFFER_BYTES)
		bufferevent_set_max_single_read(from, CONN_HELD_BYTES);
}

/* ---- up ---- */

static void send_piece(struct conn *c, const struct http_piece *piece)
{
	struct evbuffer *out = bufferevent_get_output(c->upstream);
	char size[HTTP_CHUNK_BEGIN_MAX];
	if (piece->payload.len && c->up.kind == HTTP_BODY_CHUNKED)
		evbuffer_add(out, size, http_chunk_begin(size, piece->payload.len));
	if (piece->payload.len)
		evbuffer_add(out, piece->payload.data, piece->payload.len);
	if (piece->payload.len && c->up.kind == HTTP_BODY_CHUNKED)
		evbuffer_add(out, HTTP_CHUNK_END, 2);
	if (!piece->trailer.len)
		return;
	if (!c->zero_chunk_sent)
		evbuffer_add(out, HTTP_CHUNK_ZERO, 3);
	c->zero_chunk_sent = true;
	evbuffer_add(out, piece->trailer.data, piece->trailer.len);
}

static bool is_kept_back(struct conn *c, const struct http_piece *piece)
{
	size_t at, n;
	return c->watching && (placeholder_seen(&c->watch, piece->payload) ||
			       placeholder_find(piece->trailer, PLACEHOLDER_PERCENT, &at, &n));
}

/* 0; -EBADMSG when the body is malformed: then neither side can be trusted with the rest; -ENOTSUP when there is a placeholder in
 * it, that nobody fills in. */
static int move_up(struct conn *c)
{
	struct evbuffer *in = bufferevent_get_input(c->client);
	struct span bulk;
	if (c->collected)
		collect_send(c->collected, bufferevent_get_output(c->upstream), room(c->upstream));
	while (!c->up.done && room(c->upstream)) {
		struct span bytes = cut(front_of(in), room(c->upstream));
		struct http_piece piece = { 0 };
		size_t used;
		if (!bytes.len)
			break;
		if (http_body_decode(&c->up, bytes.data, bytes.len, &used, &piece) < 0)
			return -EBADMSG;
		if (is_kept_back(c, &piece))
			return -ENOTSUP;
		send_piece(c, &piece);
		evbuffer_drain(in, used);
		if (c->up.done && c->up.kind == HTTP_BODY_CHUNKED)
			evbuffer_add_printf(bufferevent_get_output(c->upstream), "%s\r\n",
					    c->zero_chunk_sent ? "" : HTTP_CHUNK_ZERO);
	}
	/* Of a known length: nothing behind the body can be taken with it. */
	while (c->up.kind == HTTP_BODY_LENGTH && !c->up.done &&
	       (bulk = pull(c->client, c->upstream, c->up.left)).len) {
		struct http_piece piece;
		size_t used;
		if (http_body_decode(&c->up, bulk.data, bulk.len, &used, &piece) < 0)
			return -EBADMSG;
		if (is_kept_back(c, &piece))
			return -ENOTSUP;
		send_piece(c, &piece);
	}
	return 0;
}

/* ---- down ---- */

/* Who speaks HTTP/1.0 knows no chunks (RFC 9112 6.1): the end of the connection is the body's. */
static bool write_head_without_chunks(struct conn *c)
{
	static char text[LIMIT_HTTP_HEAD_BYTES + 256];
	struct http_writer w = HTTP_WRITER(text, sizeof(text));
	size_t n;
	http_write_status(&w, head.status, NULL);
	for (unsigned i = 0; i < head.n_fields; i++)
		if (!http_field_is_hop(&head, i) && head.fields[i].id != HTTP_FIELD_TRAILER)
			http_write_field(&w, head.fields[i].name, head.fields[i].value);
	http_write_text(&w, HTTP_FIELD_CONNECTION, "close");
	if (http_write_end(&w, &n) < 0)
		return false;
	evbuffer_add(bufferevent_get_output(c->client), text, n);
	c->keep_alive = false;
	return true;
}

/* Pass on response heads up to the final one. 1: the final one is through; 0: more bytes, or room for them, are needed; -1: it is
 * none. */
static int move_heads(struct conn *c)
{
	static const struct http_rules rules = { .lenient = HTTP_LENIENT_LENGTH };
	struct evbuffer *in = bufferevent_get_input(c->upstream),
			*out = bufferevent_get_output(c->client);
	while (!c->down_begun) {
		if (!room(c->client)) /* interim ones have no end of their own */
			return 0;
		size_t n = evbuffer_get_length(in);
		n = n > LIMIT_HTTP_HEAD_BYTES + 1 ? LIMIT_HTTP_HEAD_BYTES + 1 : n;
		const char *bytes = (const char *)evbuffer_pullup(in, (ssize_t)n);
		if (!n)
			return 0;
		int r = http_response_parse(&c->down_scan, bytes, n, c->method, &rules, &head);
		if (r == -EAGAIN)
			return 0;
		if (r < 0 || head.upgrade || head.status == 101)
			return -1;
		bool interim = head.interim;
		c->reused = false; /* it has answered */
		c->up_keeps = head.keep_alive && head.body != HTTP_BODY_CLOSE;
		if (!interim) {
			http_body_init(&c->down, &head);
			expect_much(c->upstream, &c->down);
			c->down_begun = true;
			c->keep_alive = c->keep_alive && c->up_keeps;
		}
		c->unchunk = c->http10 && !interim && c->down.kind == HTTP_BODY_CHUNKED;
		if (c->unchunk && !write_head_without_chunks(c))
			return -1;
		/* Nor does it know interim responses (RFC 9110 15.2). */
		if (c->unchunk || (c->http10 && interim))
			evbuffer_drain(in, head.length);
		else
			evbuffer_remove_buffer(in, out, head.length);
		c->down_scan = (struct http_scan){ 0 };
	}
	return 1;
}

static bool move_body(struct conn *c)
{
	struct evbuffer *in = bufferevent_get_input(c->upstream),
			*out = bufferevent_get_output(c->client);
	struct span bytes;
	while (!c->down.done && (bytes = cut(front_of(in), room(c->client))).len) {
		struct http_piece piece;
		size_t used;
		if (http_body_decode(&c->down, bytes.data, bytes.len, &used, &piece) < 0)
			return false;
		if (c->unchunk) {
			evbuffer_add(out, piece.payload.data, piece.payload.len);
			evbuffer_drain(in, used);
		} else {
			evbuffer_remove_buffer(in, out, used);
		}
	}
	while (!c->down.done && (bytes = pull(c->upstream, c->client, UINT64_MAX)).len) {
		struct http_piece piece;
		size_t used, at = 0;
		for (; at < bytes.len && !c->down.done; at += used) {
			if (http_body_decode(&c->down, bytes.data + at, bytes.len - at, &used,
					     &piece) < 0)
				return false;
			if (c->unchunk)
				evbuffer_add(out, piece.payload.data, piece.payload.len);
		}
		if (!c->unchunk)
			evbuffer_add(out, bytes.data, at);
		if (at < bytes.len) /* it says more than it was asked for */
			c->up_keeps = false;
	}
	return true;
}

/* ---- a request ---- */

void relay_drop(struct conn *c)
{
	if (c->dialer_writes)
		proxy_cancel(c->dialer_writes);
	c->dialer_writes = 0;
	if (c->upstream)
		bufferevent_free(c->upstream);
	c->upstream = NULL;
}

/* Nothing is on the connection, and both have said that another request may be. */
static bool may_serve_next(const struct conn *c)
{
	return c->plain && c->up_keeps && c->up.done && !c->upstream_ended &&
	       !evbuffer_get_length(bufferevent_get_input(c->upstream)) &&
	       !evbuffer_get_length(bufferevent_get_output(c->upstream));
}

/* The response is through. */
static void finish(struct conn *c)
{
	static const struct timeval idle = { .tv_sec = LIMIT_UPSTREAM_IDLE_SECONDS };
	bool next = c->up.done && c->keep_alive;
	evbuffer_drain(bufferevent_get_input(c->client), c->head_len);
	c->head_len = 0;
	if (!next || !may_serve_next(c))
		relay_drop(c);
	else
		bufferevent_set_timeouts(c->upstream, &idle, NULL);
	if (next)
		conn_next(c);
	else
		conn_linger(c);
}

/* The server did not do its part: say so where that can still be said, else end what was begun. */
static void fail(struct conn *c, const char *why)
{
	relay_drop(c);
	if (c->down_begun)
		conn_linger(c);
	else
		refuse_error(c, 502, "upstream_unreachable", "%s", why);
}

/* What the client sends cannot be sent on. */
static void refuse_up(struct conn *c, int why)
{
	relay_drop(c);
	if (why == -ENOTSUP)
		journal_withdrawn(&c->kept, DIAL_CREDENTIAL_PLACE);
	if (c->down_begun)
		conn_linger(c);
	else if (why == -ENOTSUP)
		refuse_placeholder(c);
	else
		refuse_malformed(c, c->up.refusal);
}

/* The server had closed a connection that it had said to keep: that is no answer (RFC 9112 9.3.1), and the request, of a safe
 * method and without a body, is asked once more. */
static void dial_anew(struct conn *c)
{
	relay_drop(c);
	c->reused = false;
	c->state = CONN_DIAL;
	proxy_ask(c, CONN_ASKS_DIAL);
}

static void move_request(struct conn *c)
{
	int up = move_up(c);
	if (up < 0) {
		refuse_up(c, up);
		return;
	}
	if (!c->up.done && c->client_ended &&
	    !evbuffer_get_length(bufferevent_get_input(c->client))) {
		conn_free(c); /* in the middle of its request */
		return;
	}
	int heads = move_heads(c);
	if (heads < 0 || (heads > 0 && !move_body(c))) {
		fail(c, "the server's answer is malformed");
		return;
	}
	if (!c->down_begun || !c->down.done) {
		size_t left = evbuffer_get_length(bufferevent_get_input(c->upstream));
		if (!c->upstream_ended || !room(c->client))
			return;
		/* It has ended, and everything that it sent was looked at: is that a whole answer? */
		if (c->reused && !c->down_begun && !left) {
			dial_anew(c);
			return;
		}
		if (!c->down_begun || http_body_end(&c->down) < 0) {
			fail(c, "the server closed the connection without an answer");
			return;
		}
	}
	finish(c);
}

/* ---- a raw tunnel ---- */

static void move_raw(struct bufferevent *from, struct bufferevent *to)
{
	struct evbuffer *in = bufferevent_get_input(from), *out = bufferevent_get_output(to);
	struct span bytes;
	evbuffer_remove_buffer(in, out, room(to));
	while ((bytes = pull(from, to, UINT64_MAX)).len)
		evbuffer_add(out, bytes.data, bytes.len);
}

/* Everything of a side that has ended is through: say so to the other. */
static bool pass_end(struct bufferevent *from, struct bufferevent *to)
{
	if (evbuffer_get_length(bufferevent_get_input(from)) ||
	    evbuffer_get_length(bufferevent_get_output(to)))
		return false;
	shutdown(bufferevent_getfd(to), SHUT_WR);
	return true;
}

/* Until one side has spoken it is not known what a tunnel is for. True when it is not to be moved:
 * there is nothing to move yet, or it became requests. */
static bool peek(struct conn *c)
{
	struct evbuffer *down = bufferevent_get_input(c->upstream);
	if (!evbuffer_get_length(down) && !c->upstream_ended && !c->client_ended) {
		switch (conn_speech(front_of(bufferevent_get_input(c->client)))) {
		case CONN_SPEAKS_LITTLE:
			return true;
		case CONN_SPEAKS_HTTP:
		case CONN_SPEAKS_TLS:
			relay_drop(c);
			conn_next(c);
			return true;
		case CONN_SPEAKS_OTHER:
			break;
		}
	}
	c->peeking = false;
	return false;
}

static void move_tunnel(struct conn *c)
{
	if (c->peeking && peek(c))
		return;
	move_raw(c->client, c->upstream);
	move_raw(c->upstream, c->client);
	bool up = c->client_ended && pass_end(c->client, c->upstream);
	bool down = c->upstream_ended && pass_end(c->upstream, c->client);
	if (up && down)
		conn_free(c);
}

/* ---- both ---- */

void relay_move(struct conn *c)
{
	if (c->state == CONN_TUNNEL)
		move_tunnel(c);
	else
		move_request(c);
}

void relay_ended(struct conn *c, bool client)
{
	if (client)
		c->client_ended = true;
	else
		c->upstream_ended = true;
	if (client && c->state == CONN_RELAY)
		proxy_ask(c, CONN_ASKS_WHO); /* it said all: is anybody still there? */
	relay_move(c);
}

static bool is_moving(const struct conn *c)
{
	return c->state == CONN_RELAY || c->state == CONN_TUNNEL;
}

static void on_read(struct bufferevent *b, void *arg)
{
	struct conn *c = arg;
	if (is_moving(c))
		relay_move(c);
	else if (evbuffer_get_length(bufferevent_get_input(b)))
		relay_drop(c); /* it speaks though nobody asked */
}

static void on_written(struct bufferevent *b, void *arg)
{
	struct conn *c = arg;
	if (is_moving(c))
		relay_move(c);
}

static void on_event(struct bufferevent *b, short what, void *arg)
{
	struct conn *c = arg;
	if (!is_moving(c))
		relay_drop(c);
	else if (c->state == CONN_TUNNEL && what & BEV_EVENT_ERROR)
		conn_free(c);
	else if (what &
		 BEV_EVENT_READING) /* it may be one of several that libevent puts together */
		relay_ended(c, false);
	/* A server that takes no more may have answered (413, then close): what there is to be read is,
	 * and then its end. */
}

/* Whether the upstream stands; low: how few bytes are left to be sent when more is asked for. */
static bool take_upstream(struct conn *c, int fd, size_t low)
{
	c->upstream = bufferevent_socket_new(proxy.base, fd,
					     BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
	if (!c->upstream) {
		close(fd);
		conn_free(c);
		return false;
	}
	c->upstream_ended = false;
	bufferevent_setcb(c->upstream, on_read, on_written, on_event, c);
	bufferevent_setwatermark(c->upstream, EV_READ, 0, CONN_HELD_BYTES);
	bufferevent_setwatermark(c->upstream, EV_WRITE, low, 0);
	bufferevent_setwatermark(c->client, EV_WRITE, low, 0);
	bufferevent_set_max_single_write(c->upstream, CONN_HELD_BYTES);
	bufferevent_set_max_single_write(c->client, CONN_HELD_BYTES);
	bufferevent_enable(c->upstream,
			   EV_READ); /* writing is, anyway, whenever there is something */
	return true;
}

static void begin(struct conn *c)
{
	c->state = CONN_RELAY;
	c->zero_chunk_sent = c->down_begun = c->unchunk = c->up_keeps = false;
	c->down_scan = (struct http_scan){ 0 };
}

void relay_begin(struct conn *c, int fd)
{
	/* Asked for more while there is still something to send, the socket never runs dry. */
	if (!take_upstream(c, fd, CONN_HELD_BYTES / 2))
		return;
	begin(c);
	expect_much(c->client, &c->up);
	const struct http_piece held = { .payload = collect_body(c->collected) };
	if (is_kept_back(c, &held))
		refuse_up(c, -ENOTSUP);
	else if (c->client_ended)
		relay_ended(c, true);
	else
		relay_move(c);
}

bool relay_again(struct conn *c, struct span text)
{
	char byte;
	/* What came meanwhile, and be it the end, is no answer to this request. */
	if (evbuffer_get_length(bufferevent_get_input(c->upstream)) ||
	    recv(bufferevent_getfd(c->upstream), &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 ||
	    errno != EAGAIN)
		return false;
	bufferevent_set_timeouts(c->upstream, NULL, NULL);
	begin(c);
	c->reused = true;
	evbuffer_add(bufferevent_get_output(c->upstream), text.data, text.len);
	return true;
}

void tunnel_begin(struct conn *c, int fd)
{
	/* Here it has to be known when all is sent: then the end is passed on. */
	if (!take_upstream(c, fd, 0))
		return;
	c->state = CONN_TUNNEL;
	relay_move(c);
}
