/* SPDX-License-Identifier: Apache-2.0 */
/* Writes responses: heads, problems, chunks, files. */
#include "api/generate.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "front/front.h"
#include "http/write.h"

#include <errno.h>
#include <jansson.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#define FILE_PIECE_BYTES (1024 * 1024) /* of a file that are sent before others have their turn */

void conn_send(struct conn *c, const struct iovec *parts, unsigned n, int flags)
{
	size_t sent = 0;
	bool blocked = evbuffer_get_length(c->out) > 0, left = false;
	if (!blocked) {
		struct msghdr m = { .msg_iov = (struct iovec *)parts, .msg_iovlen = n };
		ssize_t r = sendmsg(c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT | flags);
		sent = r > 0 ? (size_t)r : 0;
	}
	for (unsigned i = 0; i < n; i++) {
		size_t skip = sent < parts[i].iov_len ? sent : parts[i].iov_len;
		sent -= skip;
		if (skip == parts[i].iov_len)
			continue;
		left = true;
		size_t rest = parts[i].iov_len - skip;
		if (evbuffer_add(c->out, (const char *)parts[i].iov_base + skip, rest) == 0)
			c->front->unread_bytes += rest;
		else /* half a response must not be taken for a whole one */
			shutdown(c->fd, SHUT_RDWR);
	}
	if (!left)
		return;
	if (!blocked) /* otherwise that more is to be sent is no progress */
		conn_deadline(c, LIMIT_WRITE_STALL_SECONDS);
	event_add(c->writable, NULL);
}

static struct iovec part(const void *bytes, size_t n)
{
	return (struct iovec){ .iov_base = (void *)(uintptr_t)bytes, .iov_len = n };
}

/* 1: there is more to send, 0: all is out, or -errno. */
static int send_more(struct conn *c)
{
	if (evbuffer_get_length(c->out)) {
		int r = evbuffer_write(c->out, c->fd);
		if (r < 0)
			return errno == EAGAIN || errno == EINTR ? 1 : -errno;
		c->front->unread_bytes -= (size_t)r;
	} else if (c->file_left) {
		off_t offset = (off_t)c->offset;
		size_t n =
			c->file_left < FILE_PIECE_BYTES ? (size_t)c->file_left : FILE_PIECE_BYTES;
		ssize_t r = sendfile(c->fd, c->log, &offset, n);
		if (r < 0)
			return errno == EAGAIN || errno == EINTR ? 1 : -errno;
		if (r == 0) /* the file has become shorter than was announced */
			return -EIO;
		c->offset += (uint64_t)r;
		c->file_left -= (uint64_t)r;
	}
	return evbuffer_get_length(c->out) || c->file_left;
}

void respond_writable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;
	int r = send_more(c);
	if (r < 0) {
		conn_free(c);
		return;
	}
	if (r > 0) {
		conn_deadline(c, LIMIT_WRITE_STALL_SECONDS);
		event_add(c->writable, NULL);
	} else if (c->state == CONN_WRITE) {
		conn_written(c);
	} else if (c->state == CONN_FOLLOW) {
		conn_deadline(c, 0);
		stream_tick(c, clock_monotonic_ms());
	}
}

static struct http_writer begin(struct conn *c, char *to, size_t size, unsigned status,
				const char *type, const char *extra)
{
	struct http_writer w = HTTP_WRITER(to, size);
	/* What is left of a body that nobody wants must not be taken for the next request. */
	if (!c->body.done || c->front->ending)
		c->keep_alive = false;
	http_write_status(&w, status, NULL);
	http_write_date(&w, clock_wall_ms());
	if (type)
		http_write_text(&w, HTTP_FIELD_CONTENT_TYPE, type);
	if (extra)
		http_write_constant(&w, extra);
	if (!c->keep_alive)
		http_write_constant(&w, "Connection: close\r\n");
	else if (c->http10)
		http_write_constant(&w, "Connection: keep-alive\r\n");
	return w;
}

/* A head that cannot be written (it does not fit, or a worker's word is no field value) ends the connection. */
static bool end_head(struct conn *c, struct http_writer *w, size_t *ret_len)
{
	if (http_write_end(w, ret_len) == 0)
		return true;
	c->keep_alive = c->chunked = false;
	conn_done(c);
	return false;
}

void conn_respond(struct conn *c, unsigned status, const char *type, const char *extra,
		  const char *body, size_t n)
{
	char head[2048];
	size_t len = 0;
	if (n > LIMIT_UNREAD_SMALL_BYTES && !c->head_method &&
	    c->front->unread_bytes + n > LIMIT_UNREAD_BYTES) {
		conn_problem(c, PROBLEM_OVERLOADED, "Too many answers have not been read.", NULL,
			     NULL);
		return;
	}
	struct http_writer w = begin(c, head, sizeof(head), status, type, extra);
	if (status != 204 && status != 304)
		http_write_number(&w, HTTP_FIELD_CONTENT_LENGTH, n);
	if (!end_head(c, &w, &len))
		return;
	const struct iovec parts[] = { part(head, len), part(body, n) };
	conn_send(c, parts, c->head_method || !n ? 1 : 2, 0);
	conn_done(c);
}

void conn_respond_file(struct conn *c, unsigned status, const char *type, const char *extra,
		       uint64_t offset, uint64_t length)
{
	char head[2048];
	size_t len = 0;
	struct http_writer w = begin(c, head, sizeof(head), status, type, extra);
	http_write_number(&w, HTTP_FIELD_CONTENT_LENGTH, length);
	if (!end_head(c, &w, &len))
		return;
	c->offset = offset;
	c->file_left = c->head_method ? 0 : length;
	conn_send(c, &(struct iovec){ head, len }, 1, c->file_left ? MSG_MORE : 0);
	conn_done(c);
}

/* What may be told besides, or not. */
static void set_text(json_t *j, const char *member, const char *text)
{
	if (j && text && *text)
		json_object_set_new(j, member, json_string(text));
}

static void send_problem(struct conn *c, enum problem p, const char *detail, const char *hint,
			 const char *parameter, const char *extra)
{
	const struct problem_row *row = problem_row(p);
	char type[96], lines[256] = "";
	conn_abandon(c);
	snprintf(type, sizeof(type), PROBLEM_TYPE_PREFIX "%s", row->name);
	if (row->status == 401)
		snprintf(lines, sizeof(lines), "WWW-Authenticate: Bearer\r\n");
	else if (row->status == 429 || row->status == 503)
		snprintf(lines, sizeof(lines), "Retry-After: %d\r\n", RETRY_AFTER_SECONDS);
	else if (extra)
		snprintf(lines, sizeof(lines), "%s", extra);
	json_t *j = json_pack("{ss, ss, si, ss}", "type", type, "title", row->title, "status",
			      (int)row->status, "hint", hint && *hint ? hint : row->hint);
	set_text(j, "detail", detail);
	set_text(j, "parameter", parameter);
	_cleanup_free_ char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
	json_decref(j);
	conn_respond(c, row->status, "application/problem+json", lines, text ? text : "{}",
		     text ? strlen(text) : 2);
}

void conn_problem(struct conn *c, enum problem p, const char *detail, const char *hint,
		  const char *extra)
{
	send_problem(c, p, detail, hint, NULL, extra);
}

void conn_fault(struct conn *c, const struct argument_fault *fault)
{
	send_problem(c, PROBLEM_INVALID, fault->detail, fault->hint, fault->parameter, NULL);
}

void conn_begin_stream(struct conn *c, const char *type)
{
	char head[2048];
	size_t len = 0;
	if (c->http10) /* knows no chunks */
		c->keep_alive = false;
	struct http_writer w = begin(c, head, sizeof(head), 200, type,
				     "Cache-Control: no-store\r\nX-Accel-Buffering: no\r\n");
	if (!c->http10)
		http_write_text(&w, HTTP_FIELD_TRANSFER_ENCODING, "chunked");
	if (!end_head(c, &w, &len))
		return;
	conn_send(c, &(struct iovec){ head, len }, 1, 0);
	c->chunked = !c->http10 && !c->head_method;
}

void conn_chunk(struct conn *c, const void *bytes, size_t n)
{
	char line[HTTP_CHUNK_BEGIN_MAX];
	if (!n)
		return;
	const struct iovec parts[] = { part(line, http_chunk_begin(line, n)), part(bytes, n),
				       part(HTTP_CHUNK_END, 2) };
	if (c->chunked)
		conn_send(c, parts, 3, 0);
	else
		conn_send(c, parts + 1, 1, 0);
}

void conn_done(struct conn *c)
{
	if (c->chunked)
		conn_send(c, &(struct iovec){ HTTP_CHUNK_LAST, 5 }, 1, 0);
	c->chunked = false;
	c->state = CONN_WRITE;
	conn_deadline(c, LIMIT_WRITE_STALL_SECONDS);
	/* Not from here: whoever calls this still uses the connection. */
	event_active(c->writable, EV_WRITE, 0);
}
