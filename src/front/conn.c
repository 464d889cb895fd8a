/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections: their life, and what is read from them.
 *
 * A callback of the loop does a bounded piece of work for one connection (one read of at most the buffer, one request), so
 * that the loop can be fair. A refused client may still be sending: it gets its answer, and what it sends is thrown away
 * for a while, since closing at once would reset the connection and take the answer along.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "front/front.h"

#include <errno.h>
#include <sys/socket.h>

void conn_deadline(struct conn *c, uint64_t seconds)
{
	c->deadline_ms = seconds ? clock_monotonic_ms() + seconds * c->front->second_ms : 0;
}

void conn_abandon(struct conn *c)
{
	struct front *f = c->front;
	if (c->upload < 0)
		return;
	close(TAKE_FD(c->upload));
	msg_begin(&f->out, &service_messages, MESSAGE_JOB_ABANDON, 0);
	msg_put_s(&f->out, c->job);
	(void)front_send(f);
}

/* What belongs to one request. */
static void forget_request(struct conn *c)
{
	c->scan = (struct http_scan){ 0 };
	c->wait_seconds = c->tail_lines = 0;
	c->follow = c->prefer_applied = false;
	c->file_left = 0;
	if (c->log >= 0)
		close(TAKE_FD(c->log));
	free(TAKE_PTR(c->arguments));
	free(TAKE_PTR(c->key));
}

static void forget_input(struct conn *c)
{
	free(TAKE_PTR(c->kept));
	c->in = NULL;
	c->used = 0;
}

void conn_free(struct conn *c)
{
	struct front *f = c->front;
	conn_abandon(c);
	forget_request(c);
	forget_input(c);
	TAILQ_REMOVE(&f->conns, c, link);
	if (c->readable)
		event_free(c->readable);
	if (c->writable)
		event_free(c->writable);
	if (c->out) {
		f->unread_bytes -= evbuffer_get_length(c->out);
		evbuffer_free(c->out);
	}
	close(c->fd);
	if (!c->health_only) {
		f->n_conns--;
		front_listen(f);
	}
	free(c);
}

/* ---- reading ---- */

/* Take the framing out of what is in the buffer; the payload is then its first *ret_payload bytes, and what is not part of
 * the body follows from *ret_rest on. */
static int decode_body(struct conn *c, size_t *ret_payload, size_t *ret_rest)
{
	size_t payload = 0, at = 0, used;
	struct http_piece piece;
	while (at < c->used && !c->body.done) {
		if (http_body_decode(&c->body, c->in + at, c->used - at, &used, &piece) < 0)
			return -EBADMSG;
		if (piece.payload.len)
			memmove(c->in + payload, piece.payload.data, piece.payload.len);
		payload += piece.payload.len;
		at += used;
	}
	*ret_payload = payload;
	*ret_rest = at;
	return 0;
}

static enum problem problem_of(enum http_refusal why)
{
	switch (http_refusal_status(why)) {
	case 414:
		return PROBLEM_TARGET_TOO_LONG;
	case 431:
		return PROBLEM_HEAD_TOO_LARGE;
	case 501:
		return PROBLEM_NOT_IMPLEMENTED;
	case 505:
		return PROBLEM_HTTP_VERSION;
	default:
		return PROBLEM_BAD_REQUEST;
	}
}

/* The connection's last answer: where a next request would begin is not known. */
static void refuse(struct conn *c, enum http_refusal why)
{
	c->keep_alive = c->body.done = false;
	conn_problem(c, problem_of(why), http_refusal_message(why), NULL, NULL);
}

/* An upload without a descriptor is thrown away: its job is there already. */
static void take_upload(struct conn *c)
{
	size_t payload, rest;
	if (decode_body(c, &payload, &rest) < 0) {
		refuse(c, c->body.refusal);
		return;
	}
	c->uploaded += payload;
	uint64_t size = c->uploaded + c->body.left; /* as far as it is known */
	int r = size > c->op->body_max			 ? -EFBIG
		: c->upload >= 0 && size > c->upload_max ? -EDQUOT
		: c->upload >= 0			 ? fd_write_full(c->upload, c->in, payload)
							 : 0;
	if (r < 0) {
		/* Even if this was its end: the buffer is not fit for a next request. */
		c->body.done = false;
		conn_problem(c,
			     r == -EFBIG    ? PROBLEM_TOO_LARGE
			     : r == -EDQUOT ? PROBLEM_STORAGE_FULL
					    : PROBLEM_DISK_FULL,
			     NULL, NULL, NULL);
		return;
	}
	c->in += rest;
	c->used -= rest;
	if (rest)
		conn_deadline(c, LIMIT_BODY_STALL_SECONDS);
	if (c->body.done)
		route_upload_done(c);
	else if (c->ended)
		refuse(c, HTTP_REFUSED_TRUNCATED);
}

static void take_head(struct conn *c)
{
	struct front *f = c->front;
	if (!c->used)
		return;
	int r = http_request_parse(&c->scan, c->in, c->used, NULL, &f->head);
	if (r == -EAGAIN && !c->ended)
		return;
	if (r < 0) {
		c->head_method = false;
		refuse(c, r == -EAGAIN ? HTTP_REFUSED_TRUNCATED : f->head.refusal);
		return;
	}
	c->keep_alive = f->head.keep_alive;
	c->http10 = f->head.minor == 0;
	c->head_method = f->head.method_id == HTTP_METHOD_HEAD;
	http_body_init(&c->body, &f->head);
	conn_deadline(c, 0);
	route_request(c);
}

/* Look at what is in the buffer. The head's bytes are dropped by route_request() when it is done with them. */
static void process(struct conn *c)
{
	if (c->state == CONN_HEAD)
		take_head(c);
	else if (c->state == CONN_UPLOAD)
		take_upload(c);
	else if (c->ended)
		stream_cut(c);
}

static void linger(struct conn *c)
{
	ssize_t n = recv(c->fd, c->front->input, sizeof(c->front->input), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		c->discarded += (uint64_t)n;
	if (n <= 0 || c->discarded > LIMIT_LINGER_BYTES)
		conn_free(c);
}

/* How much may be in the buffer: of an upload all that is the body's, and behind it as much as of anything else. */
static size_t input_max(const struct conn *c)
{
	size_t more = sizeof(c->front->input) - INPUT_BYTES;
	if (c->state != CONN_UPLOAD)
		return INPUT_BYTES;
	return INPUT_BYTES + (c->body.left < more ? (size_t)c->body.left : more);
}

/* What is left in front's buffer, which the next connection needs, becomes c's own. */
static void keep_input(struct conn *c)
{
	char *kept = c->used ? realloc(c->kept, c->used) : NULL;
	if (!kept) {
		if (c->used) /* out of memory: better none than half of it */
			shutdown(c->fd, SHUT_RDWR);
		forget_input(c);
		return;
	}
	memcpy(kept, c->in, c->used);
	c->in = c->kept = kept;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;
	if (c->state == CONN_LINGER) {
		linger(c);
		return;
	}
	if (c->used)
		memcpy(c->front->input, c->in, c->used);
	c->in = c->front->input;
	size_t max = input_max(c), room = max > c->used ? max - c->used : 0;
	ssize_t n = room && !c->ended ? recv(fd, c->in + c->used, room, MSG_DONTWAIT) : -1;
	bool failed = n < 0 && room && !c->ended && errno != EAGAIN && errno != EINTR;
	if (n > 0 && c->state == CONN_HEAD && !c->used)
		conn_deadline(c, LIMIT_HEAD_SECONDS);
	if (n > 0)
		c->used += (size_t)n;
	if (n == 0)
		c->ended = true;
	if (failed || (c->ended && c->state == CONN_HEAD && !c->used)) {
		conn_free(c);
		return;
	}
	/* A client that sends on while its answer is being made waits until read_on(). */
	if (c->ended || (!room && c->state != CONN_UPLOAD))
		event_del(c->readable);
	process(c);
	keep_input(c);
}

/* Go on reading, and look at what is there already. */
static void read_on(struct conn *c)
{
	if (!c->ended)
		event_add(c->readable, NULL);
	if (c->ended || c->used)
		event_active(c->readable, EV_READ, 0);
}

void conn_receive(struct conn *c)
{
	c->state = CONN_UPLOAD;
	c->uploaded = 0;
	conn_deadline(c, LIMIT_BODY_STALL_SECONDS);
	read_on(c);
}

/* ---- between requests ---- */

void conn_written(struct conn *c)
{
	forget_request(c);
	if (!c->keep_alive) {
		if (c->ended) {
			conn_free(c);
			return;
		}
		shutdown(c->fd, SHUT_WR);
		forget_input(c);
		c->state = CONN_LINGER;
		conn_deadline(c, LIMIT_LINGER_SECONDS);
		event_add(c->readable, NULL);
		return;
	}
	c->state = CONN_HEAD;
	conn_deadline(c, c->used ? LIMIT_HEAD_SECONDS : LIMIT_IDLE_SECONDS);
	read_on(c);
}

void conn_tick(struct conn *c, uint64_t now_ms)
{
	bool expired = c->deadline_ms && now_ms >= c->deadline_ms;
	if (c->state == CONN_WAIT || (c->state == CONN_FOLLOW && !expired)) {
		stream_tick(c, now_ms);
		return;
	}
	if (!expired)
		return;
	if (c->state == CONN_KEEPER) {
		c->seq = 0; /* an answer that comes later finds nobody */
		conn_problem(c, PROBLEM_OVERLOADED, NULL, NULL, NULL);
	} else if (c->state == CONN_UPLOAD || (c->state == CONN_HEAD && c->used)) {
		c->keep_alive = c->head_method = c->body.done = false;
		conn_problem(c, PROBLEM_TIMEOUT, NULL, NULL, NULL);
	} else {
		conn_free(c);
	}
}

void conn_end(struct conn *c)
{
	if (c->state == CONN_HEAD && !c->used)
		conn_free(c);
	else if (c->state == CONN_UPLOAD)
		conn_problem(c, PROBLEM_DRAINING, NULL, NULL, NULL);
	else
		stream_cut(c);
}

void conn_ask(struct conn *c, conn_reply *on_reply)
{
	c->state = CONN_KEEPER;
	c->on_reply = on_reply;
	c->seq = c->front->seq;
	conn_deadline(c, LIMIT_KEEPER_SECONDS);
	if (front_send(c->front) < 0) {
		c->seq = 0;
		conn_problem(c, PROBLEM_OVERLOADED, NULL, NULL, NULL);
	}
}

void conn_accept(struct front *f, int fd, bool health_only)
{
	struct conn *c = calloc(1, sizeof(*c));
	if (!c) {
		close(fd);
		return;
	}
	*c = (struct conn){ .front = f,
			    .fd = fd,
			    .health_only = health_only,
			    .upload = -1,
			    .log = -1,
			    .keep_alive = true };
	c->body.done = true;
	TAILQ_INSERT_TAIL(&f->conns, c, link);
	f->n_conns += !health_only;
	c->out = evbuffer_new();
	c->readable = event_new(f->base, fd, EV_READ | EV_PERSIST, on_readable, c);
	c->writable = event_new(f->base, fd, EV_WRITE, respond_writable, c);
	if (!c->out || !c->readable || !c->writable) {
		conn_free(c);
		return;
	}
	conn_deadline(c, LIMIT_HEAD_SECONDS);
	if (f->n_conns > f->conns_max && !health_only) {
		c->keep_alive = false;
		conn_problem(c, PROBLEM_OVERLOADED, "Too many connections are open.", NULL, NULL);
		front_listen(f);
		return;
	}
	event_add(c->readable, NULL);
}
