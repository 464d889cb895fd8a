/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The body decoder. Chunk framing is read a byte at a time by a small state machine, so that no byte
 * has to be kept between calls; payload is taken in bulk.
 */
#include "http/body.h"
#include "base/limit.h"
#include "http/byte.h"
#include <assert.h>
#include <errno.h>

enum state {
	SIZE,	       /* hexadecimal digits of a chunk's size */
	SIZE_SPACE,    /* blanks after it (lenient only) */
	EXTENSION,     /* from ; to the line's end */
	SIZE_LF,       /* CR seen */
	DATA,	       /* inside a chunk */
	DATA_CR,       /* behind its last byte */
	DATA_LF,       /* CR seen */
	TRAILER_START, /* at the start of a line of the trailer section */
	TRAILER_NAME,  /* these three are the bytes handed out as trailer */
	TRAILER_VALUE, /* behind the colon */
	TRAILER_LF,    /* CR seen */
	LAST_LF,       /* CR of the empty line seen */
};

static int refuse(struct http_body *b, enum http_refusal why)
{
	b->refusal = why;
	return -EBADMSG;
}

void http_body_start(struct http_body *b, enum http_body_kind kind, uint64_t length)
{
	*b = (struct http_body){ .kind = kind, .state = SIZE };
	if (kind == HTTP_BODY_LENGTH)
		b->left = length;
	b->done = kind == HTTP_BODY_NONE || (kind == HTTP_BODY_LENGTH && length == 0);
}

void http_body_init(struct http_body *b, const struct http_head *h)
{
	http_body_start(b, h->body, h->body_length);
	b->lenient = (h->lenient & HTTP_LENIENT_LENGTH) != 0;
}

/* Behind a chunk's size line. */
static void chunk_begin(struct http_body *b)
{
	b->state = b->left > 0 ? DATA : TRAILER_START;
	b->line = 0;
	b->digits = 0;
}

static enum http_refusal size_byte(struct http_body *b, char c)
{
	int digit = byte_hex(c);

	if (digit >= 0) {
		/* 15 digits at most behind leading zeroes: sizes stay below 2^63. */
		if (b->left >> 56 != 0 || b->digits == 16)
			return HTTP_REFUSED_CHUNK_SIZE;
		b->left = b->left << 4 | (uint64_t)digit;
		b->digits++;
		return HTTP_REFUSED_NOTHING;
	}
	if (b->lenient && c == '+' && b->line == 1)
		return HTTP_REFUSED_NOTHING;
	if (b->digits == 0)
		return HTTP_REFUSED_CHUNK_SIZE;
	if (c == '\r')
		b->state = SIZE_LF;
	else if (c == ';')
		b->state = EXTENSION;
	else if (b->lenient && byte_is_space(c))
		b->state = SIZE_SPACE;
	else
		return c == '\n' ? HTTP_REFUSED_LINE_END : HTTP_REFUSED_CHUNK_SIZE;
	return HTTP_REFUSED_NOTHING;
}

/* A byte of the line that gives a chunk's size. */
static enum http_refusal size_line_byte(struct http_body *b, char c)
{
	if (++b->line > LIMIT_HTTP_CHUNK_LINE_BYTES)
		return HTTP_REFUSED_CHUNK_LINE_LONG;
	switch ((enum state)b->state) {
	case SIZE:
		return size_byte(b, c);
	case SIZE_SPACE:
		if (c == '\r')
			b->state = SIZE_LF;
		else if (c == ';')
			b->state = EXTENSION;
		else if (!byte_is_space(c))
			return HTTP_REFUSED_CHUNK_SIZE;
		return HTTP_REFUSED_NOTHING;
	case EXTENSION:
		if (c == '\r')
			b->state = SIZE_LF;
		else if (!byte_is(c, BYTE_VALUE))
			return HTTP_REFUSED_LINE_END;
		return HTTP_REFUSED_NOTHING;
	default: /* SIZE_LF */
		if (c != '\n')
			return HTTP_REFUSED_LINE_END;
		chunk_begin(b);
		return HTTP_REFUSED_NOTHING;
	}
}

/* Fields that frame, route, authenticate or describe a message must be known before its content is
 * used, so they are no trailers (RFC 9110 6.5.1). */
static bool trailer_is_allowed(struct span name)
{
	switch (http_field_id(name)) {
	case HTTP_FIELD_AUTHORIZATION:
	case HTTP_FIELD_CACHE_CONTROL:
	case HTTP_FIELD_CONNECTION:
	case HTTP_FIELD_CONTENT_ENCODING:
	case HTTP_FIELD_CONTENT_LENGTH:
	case HTTP_FIELD_CONTENT_RANGE:
	case HTTP_FIELD_CONTENT_TYPE:
	case HTTP_FIELD_COOKIE:
	case HTTP_FIELD_EXPECT:
	case HTTP_FIELD_HOST:
	case HTTP_FIELD_IDEMPOTENCY_KEY:
	case HTTP_FIELD_KEEP_ALIVE:
	case HTTP_FIELD_LOCATION:
	case HTTP_FIELD_MAX_FORWARDS:
	case HTTP_FIELD_PREFER:
	case HTTP_FIELD_PROXY_AUTHENTICATE:
	case HTTP_FIELD_PROXY_AUTHORIZATION:
	case HTTP_FIELD_PROXY_CONNECTION:
	case HTTP_FIELD_RANGE:
	case HTTP_FIELD_SET_COOKIE:
	case HTTP_FIELD_TE:
	case HTTP_FIELD_TRAILER:
	case HTTP_FIELD_TRANSFER_ENCODING:
	case HTTP_FIELD_UPGRADE:
	case HTTP_FIELD_WWW_AUTHENTICATE:
		return false;
	default:
		return true;
	}
}

static enum http_refusal trailer_name_byte(struct http_body *b, char c)
{
	if (c == ':') {
		/* A name longer than the buffer is longer than any that is known. */
		if (b->name_len <= sizeof(b->name) &&
		    !trailer_is_allowed((struct span){ b->name, b->name_len }))
			return HTTP_REFUSED_TRAILER;
		b->state = TRAILER_VALUE;
		return HTTP_REFUSED_NOTHING;
	}
	if (!byte_is(c, BYTE_TOKEN))
		return HTTP_REFUSED_TRAILER;
	if (b->name_len < sizeof(b->name))
		b->name[b->name_len] = c;
	if (b->name_len <= sizeof(b->name))
		b->name_len++;
	return HTTP_REFUSED_NOTHING;
}

static enum http_refusal trailer_byte(struct http_body *b, char c)
{
	if (++b->trailer > LIMIT_HTTP_TRAILER_BYTES)
		return HTTP_REFUSED_TRAILER_LONG;
	switch ((enum state)b->state) {
	case TRAILER_START:
		if (c == '\r') {
			b->state = LAST_LF;
			return HTTP_REFUSED_NOTHING;
		}
		if (c == ':')
			return HTTP_REFUSED_TRAILER;
		b->state = TRAILER_NAME;
		b->name_len = 0;
		return trailer_name_byte(b, c);
	case TRAILER_NAME:
		return trailer_name_byte(b, c);
	case TRAILER_VALUE:
		if (c == '\r')
			b->state = TRAILER_LF;
		else if (!byte_is(c, BYTE_VALUE))
			return HTTP_REFUSED_TRAILER;
		return HTTP_REFUSED_NOTHING;
	case TRAILER_LF:
		b->state = TRAILER_START;
		return c == '\n' ? HTTP_REFUSED_NOTHING : HTTP_REFUSED_LINE_END;
	default: /* LAST_LF */
		b->done = true;
		return c == '\n' ? HTTP_REFUSED_NOTHING : HTTP_REFUSED_LINE_END;
	}
}

static enum http_refusal framing_byte(struct http_body *b, char c)
{
	switch ((enum state)b->state) {
	case DATA_CR:
		b->state = DATA_LF;
		return c == '\r' ? HTTP_REFUSED_NOTHING : HTTP_REFUSED_CHUNK_END;
	case DATA_LF:
		b->state = SIZE;
		return c == '\n' ? HTTP_REFUSED_NOTHING : HTTP_REFUSED_CHUNK_END;
	case TRAILER_START:
	case TRAILER_NAME:
	case TRAILER_VALUE:
	case TRAILER_LF:
	case LAST_LF:
		return trailer_byte(b, c);
	default:
		return size_line_byte(b, c);
	}
}

/* Payload out of n > 0 bytes, of which `left` at most belong to it. */
static size_t take(struct http_body *b, const char *data, size_t n, struct http_piece *ret_piece)
{
	size_t len = b->left < n ? (size_t)b->left : n;

	b->left -= len;
	b->payload += len;
	ret_piece->payload = (struct span){ data, len };
	return len;
}

static int chunked_decode(struct http_body *b, const char *data, size_t n, size_t *ret_used,
			  struct http_piece *ret_piece)
{
	size_t i = 0;

	while (i < n && !b->done) {
		if (b->state == DATA) {
			i += take(b, data + i, n - i, ret_piece);
			if (b->left == 0)
				b->state = DATA_CR;
			break;
		}
		enum http_refusal why = framing_byte(b, data[i]);
		if (why) {
			b->done = false;
			return refuse(b, why);
		}
		/* A line of the trailer section: its first byte leads to TRAILER_NAME, its LF back to
		 * TRAILER_START. */
		if ((b->state >= TRAILER_NAME && b->state <= TRAILER_LF) ||
		    (b->state == TRAILER_START && b->trailer > 0)) {
			if (ret_piece->trailer.len == 0)
				ret_piece->trailer.data = data + i;
			ret_piece->trailer.len++;
		}
		i++;
	}
	*ret_used = i;
	return 0;
}

int http_body_decode(struct http_body *b, const char *data, size_t n, size_t *ret_used,
		     struct http_piece *ret_piece)
{
	struct http_piece piece = { 0 };
	size_t used = 0;
	int r = 0;

	if (b->refusal)
		return -EBADMSG;
	if (b->done || n == 0) {
		*ret_used = 0;
		*ret_piece = piece;
		return 0;
	}
	switch (b->kind) {
	case HTTP_BODY_NONE:
		break;
	case HTTP_BODY_LENGTH:
		used = take(b, data, n, &piece);
		b->done = b->left == 0;
		break;
	case HTTP_BODY_CLOSE:
		b->left = n;
		used = take(b, data, n, &piece);
		break;
	case HTTP_BODY_CHUNKED:
		r = chunked_decode(b, data, n, &used, &piece);
		break;
	}
	if (r < 0)
		return r;
	*ret_used = used;
	*ret_piece = piece;
	return 0;
}

int http_body_end(struct http_body *b)
{
	if (b->refusal)
		return -EBADMSG;
	if (b->kind == HTTP_BODY_CLOSE)
		b->done = true;
	return b->done ? 0 : refuse(b, HTTP_REFUSED_TRUNCATED);
}

size_t http_chunk_begin(char out[HTTP_CHUNK_BEGIN_MAX], uint64_t n)
{
	static const char hex[] = "0123456789abcdef";
	unsigned digits = 1;

	assert(n > 0);
	while (digits < 16 && n >> (4 * digits) != 0)
		digits++;
	for (unsigned i = 0; i < digits; i++)
		out[i] = hex[n >> (4 * (digits - 1 - i)) & 0xf];
	out[digits] = '\r';
	out[digits + 1] = '\n';
	return digits + 2;
}
