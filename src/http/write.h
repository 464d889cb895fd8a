/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes the head of a response or request into a bounded buffer of the caller's. The first failure
 * (no room, or a byte that would break the framing) sticks and http_write_end() returns it, so that
 * callers check once. Called by front, proxy and clients. Never allocates, never writes past size.
 */
#ifndef POSTERN_HTTP_WRITE_H
#define POSTERN_HTTP_WRITE_H
#include "http/field.h"
#include "http/span.h"
#include <stddef.h>
#include <stdint.h>

struct http_writer {
	char *out;
	size_t size; /* bytes at out */
	size_t len;  /* bytes written */
	int failed;  /* 0 or -errno */
};

#define HTTP_WRITER(buffer, bytes) ((struct http_writer){ .out = (buffer), .size = (bytes) })

/* "HTTP/1.1 200 OK"; the usual reason when reason is NULL. status 100 to 999. */
void http_write_status(struct http_writer *w, unsigned status, const char *reason);
/* "GET /path HTTP/1.1". */
void http_write_request(struct http_writer *w, struct span method, struct span target);
/* One field. CR, LF, NUL or another control than HTAB in the value, or a name that is not a token:
 * -EINVAL at the end. */
void http_write_field(struct http_writer *w, struct span name, struct span value);
/* The same with strings, and with a number. */
void http_write_text(struct http_writer *w, enum http_field_id id, const char *value);
void http_write_span(struct http_writer *w, enum http_field_id id, struct span value);
void http_write_number(struct http_writer *w, enum http_field_id id, uint64_t value);
/* Lines made beforehand, verbatim ("Server: x\r\nVary: y\r\n"): the caller's own constants only. */
void http_write_constant(struct http_writer *w, const char *lines);
/* "Date: …" for now, formatted once per second. Not thread-safe: our processes have one thread. */
void http_write_date(struct http_writer *w, uint64_t wall_ms);
/* The empty line. 0 and the length of the whole head; -ENOBUFS; -EINVAL. */
int http_write_end(struct http_writer *w, size_t *ret_len);

#define HTTP_DATE_SIZE 30 /* "Sun, 06 Nov 1994 08:49:37 GMT" and a NUL */
/* IMF-fixdate (RFC 9110 5.6.7) of a time in milliseconds since the epoch; returns out. */
const char *http_date(uint64_t wall_ms, char out[HTTP_DATE_SIZE]);
/* "Not Found"; "" for a status that has no name here. */
const char *http_reason(unsigned status);
#endif
