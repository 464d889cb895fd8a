/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parses the head of a request or response (RFC 9110, RFC 9112) out of a contiguous buffer of the
 * caller's, as it fills. Called by front, proxy (both directions) and whoever reads a response.
 * Strict: whatever two readers could understand differently is refused. Never allocates, never
 * copies, never reads past what it is given, looks at no byte more than a fixed number of times.
 *
 * Use: zero a struct http_scan at the start of each message; call with all bytes received so far of
 * that message (the buffer may have moved in between); on 0 the head is head->length bytes long and
 * the body, if any, begins right after it (see http/body.h).
 */
#ifndef POSTERN_HTTP_HEAD_H
#define POSTERN_HTTP_HEAD_H
#include "base/limit.h"
#include "http/field.h"
#include "http/refusal.h"
#include "http/span.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How far a head that is not complete yet has been looked through. Zero it for each message. */
struct http_scan {
	uint32_t line;	/* where the first unfinished line begins */
	uint32_t seen;	/* bytes looked at */
	uint32_t lines; /* finished lines */
	uint32_t start; /* bytes of the start line with its CR LF, once lines > 0 */
};

enum http_leniency {
	/* Content-Length "+5", "005" and identical repetitions, and chunk sizes "+5" and "5 ", as
	 * OpenShell's proxy takes them. */
	HTTP_LENIENT_LENGTH = 1 << 0,
	/* A missing, repeated or odd Host: for requests in absolute form (whose Host a proxy
	 * ignores) and for CONNECT. What is there is still in the fields. */
	HTTP_LENIENT_HOST = 1 << 1,
};

/* What may vary between users of the parser. NULL means all zero. */
struct http_rules {
	unsigned lenient;    /* enum http_leniency */
	uint32_t head_bytes; /* limit of a head; 0 means LIMIT_HTTP_HEAD_BYTES, which it can't
				exceed */
};

struct http_field {
	struct span name;
	struct span
		value; /* without the white space around it; may be empty; no control but HTAB */
	enum http_field_id id;
};

enum http_body_kind {
	HTTP_BODY_NONE,
	HTTP_BODY_LENGTH,  /* exactly `body_length` bytes, which may be 0 */
	HTTP_BODY_CHUNKED, /* until the last chunk and trailers */
	HTTP_BODY_CLOSE,   /* responses only: until the connection ends */
};

/* A parsed head. Large (about 20 KiB, of which only the fields
 * in use are ever touched): keep one per process or per connection, not on the stack of a
 * recursion. Its spans point into the buffer given to the call that returned 0; on failure only
 * `refusal` means anything. */
struct http_head {
	enum http_refusal refusal; /* why, after -EBADMSG */
	size_t length;		   /* bytes of the head, its empty line included */
	unsigned minor;		   /* of the version: 0 or 1 */

	/* requests */
	struct span method; /* a token */
	enum http_method method_id;
	struct span target; /* no control, no space, not empty; see http/target.h */
	struct span host;   /* the Host field's value; empty when there is none */
	bool expect_100;    /* Expect: 100-continue */

	/* responses */
	unsigned status; /* 100 to 999 */
	struct span reason;
	bool interim; /* 1xx other than 101: another head follows */

	/* both: what the connection does next */
	bool keep_alive; /* another message may follow this one's end */
	bool upgrade;	 /* Connection: upgrade and an Upgrade field (in a response: 101) */
	enum http_body_kind body;
	uint64_t body_length; /* HTTP_BODY_LENGTH: bytes */

	unsigned lenient; /* the rules it was parsed with; the body decoder wants them */
	unsigned n_fields;
	uint64_t repeated; /* bit set of the known fields that appear more than once */
	uint16_t first[HTTP_FIELD_COUNT]; /* 1 + index in fields of a known field, or 0 */
	struct http_field fields[LIMIT_HTTP_HEADERS];
};

/* 0: complete. -EAGAIN: give more bytes (never returned once the limit is reached). -EBADMSG:
 * head->refusal says why; the connection cannot be used any more. Field values of requests must be
 * UTF-8 (as OpenShell's proxy demands). */
int http_request_parse(struct http_scan *scan, const char *data, size_t n,
		       const struct http_rules *rules, struct http_head *ret_head);

/* The same for a response; `to` is the method of the request that it answers (HEAD: no body;
 * CONNECT: no body after 2xx). A response that says both Content-Length and Transfer-Encoding, or
 * repeats either, is refused. */
int http_response_parse(struct http_scan *scan, const char *data, size_t n, enum http_method to,
			const struct http_rules *rules, struct http_head *ret_head);

/* The first field of that name, or NULL. */
static inline const struct http_field *http_head_get(const struct http_head *h,
						     enum http_field_id id)
{
	return h->first[id] ? &h->fields[h->first[id] - 1] : NULL;
}

/* Its value, or an empty span with data NULL. */
static inline struct span http_head_value(const struct http_head *h, enum http_field_id id)
{
	const struct http_field *f = http_head_get(h, id);
	return f ? f->value : (struct span){ 0 };
}

static inline bool http_head_has(const struct http_head *h, enum http_field_id id)
{
	return h->first[id] != 0;
}

/* True when that known field appears more than once: for fields that must not (Authorization,
 * Range, Idempotency-Key, Content-Type) the caller should refuse. */
static inline bool http_head_repeats(const struct http_head *h, enum http_field_id id)
{
	return (h->repeated >> id & 1) != 0;
}

/* True when this field concerns this connection only and must not be sent on by a proxy:
 * Connection and what it names, Keep-Alive, Proxy-Connection, Proxy-Authorization,
 * Proxy-Authenticate, Transfer-Encoding and Upgrade. Not TE and Trailer, since trailers pass, and not
 * Content-Length, which a proxy writes anew from head->body. */
bool http_field_is_hop(const struct http_head *h, unsigned index);

/* Walk a comma-separated list (RFC 9110 5.6.1): takes the next element, without white space and
 * never empty, off the front of *list; false at the end. Quoted strings are kept whole. */
bool http_list_next(struct span *list, struct span *ret_element);
#endif
