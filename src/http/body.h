/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells payload from framing in a message body (RFC 9112 6, 7), and exactly where the message ends:
 * what follows is the next message. Also writes chunk framing. Called by front, proxy and whoever
 * reads a response. Never allocates, copies nothing, keeps no byte of what it is given.
 *
 * Use: http_body_init() with the head; then, while bytes are there, http_body_decode() until
 * body.done; when the peer closes first, http_body_end().
 */
#ifndef POSTERN_HTTP_BODY_H
#define POSTERN_HTTP_BODY_H
#include "http/head.h"
#include "http/refusal.h"
#include "http/span.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_body {
	bool done;		   /* the message has ended; the next byte is not part of it */
	enum http_refusal refusal; /* why, after -EBADMSG */
	enum http_body_kind kind;
	uint64_t left; /* bytes of payload left in the body or chunk; set for LENGTH and CHUNKED */
	uint64_t payload; /* bytes of payload handed out so far */
	/* below: the decoder's own */
	bool lenient;
	uint8_t state;
	uint8_t digits;
	uint8_t name_len;
	uint16_t line;	  /* bytes of the chunk line so far */
	uint32_t trailer; /* bytes of the trailer section so far */
	char name[32];	  /* of the trailer being read */
};

/* What one step found. */
struct http_piece {
	struct span payload; /* bytes of content, within the bytes given; may be empty */
	/* Bytes of the trailer section, verbatim and checked, CRLFs included, the last empty line
	 * not: for a proxy that sends trailers on. Empty whenever payload is not. */
	struct span trailer;
};

/* Start on the body that `h` announces. A body of no bytes is done at once. */
void http_body_init(struct http_body *b, const struct http_head *h);
/* The same without a head. */
void http_body_start(struct http_body *b, enum http_body_kind kind, uint64_t length);

/* One step. 0: *ret_used bytes were taken and are finished with (framing and the piece together);
 * when neither b->done nor a piece came out, all n bytes were taken and more are needed. Call again
 * with what is left while there is any and !b->done. -EBADMSG: b->refusal says why; pieces handed
 * out before were right as far as they went, but the message is not. */
int http_body_decode(struct http_body *b, const char *data, size_t n, size_t *ret_used,
		     struct http_piece *ret_piece);

/* The peer sends no more. 0 when the message is thereby complete (then b->done), -EBADMSG with
 * HTTP_REFUSED_TRUNCATED when it is not. */
int http_body_end(struct http_body *b);

/* Chunk framing: write http_chunk_begin(n), n bytes, HTTP_CHUNK_END; at last HTTP_CHUNK_LAST (or
 * HTTP_CHUNK_ZERO, trailers, CRLF). n must not be 0. Returns the length written. */
#define HTTP_CHUNK_BEGIN_MAX 18 /* bytes: 16 hexadecimal digits and CRLF */
#define HTTP_CHUNK_END	     "\r\n"
#define HTTP_CHUNK_ZERO	     "0\r\n"
#define HTTP_CHUNK_LAST	     "0\r\n\r\n"
size_t http_chunk_begin(char out[HTTP_CHUNK_BEGIN_MAX], uint64_t n);
#endif
