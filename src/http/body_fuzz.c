/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes bodies. Input: a digit of flags (1 a fixed length, 2 ended by the connection, else chunked; 4 lenient), two bytes
 * that say how to divide the text, the text. In pieces it must be decoded as at once, no byte behind the end may be taken, and
 * content and trailers, chunked again, must come out again.
 */
#include "base/limit.h"
#include "http/body.h"
#include <assert.h>
#include <errno.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct outcome {
	int result; /* -EAGAIN when more is wanted */
	enum http_refusal why;
	size_t used, payload_len, trailer_len;
	char *payload, *trailer;
};

static void outcome_done(struct outcome *o)
{
	free(o->payload);
	free(o->trailer);
}

static void gather(char *to, size_t *len, struct span s, const char *base, size_t n)
{
	assert(s.len == 0 || (s.data >= base && s.data + s.len <= base + n));
	if (s.len > 0)
		memcpy(to + *len, s.data, s.len);
	*len += s.len;
}

static struct outcome decode(const char *text, size_t len, unsigned flags, size_t first,
			     size_t step)
{
	struct outcome o = { .result = -EAGAIN };
	struct http_body b;
	size_t there = first < len ? first : len;

	o.payload = malloc(len + 1);
	o.trailer = malloc(len + 1);
	assert(o.payload && o.trailer);
	http_body_start(&b,
			flags & 1   ? HTTP_BODY_LENGTH
			: flags & 2 ? HTTP_BODY_CLOSE
				    : HTTP_BODY_CHUNKED,
			len / 2);
	b.lenient = (flags & 4) != 0;
	while (!b.done) {
		size_t used = 0, n = there - o.used;
		struct http_piece piece = { 0 };
		char *copy = malloc(n ? n : 1);
		assert(copy);
		memcpy(copy, text + o.used, n);
		int r = http_body_decode(&b, copy, n, &used, &piece);
		if (r == 0) {
			assert(used <= n && (b.done || used == n || piece.payload.len > 0));
			assert(!piece.payload.len || !piece.trailer.len);
			gather(o.payload, &o.payload_len, piece.payload, copy, n);
			gather(o.trailer, &o.trailer_len, piece.trailer, copy, n);
			o.used += used;
		}
		free(copy);
		if (r < 0) {
			assert(r == -EBADMSG && b.refusal);
			o.result = r;
			o.why = b.refusal;
			return o;
		}
		if (b.done || used < n)
			continue;
		if (there == len)
			break;
		there = len - there > step ? there + step : len;
	}
	assert(b.payload == o.payload_len && o.trailer_len <= LIMIT_HTTP_TRAILER_BYTES);
	if (b.done)
		o.result = 0;
	return o;
}

static bool alike(const struct outcome *a, const struct outcome *b)
{
	if (a->result != b->result || a->why != b->why)
		return false;
	return a->result == -EBADMSG || (a->used == b->used && a->payload_len == b->payload_len &&
					 a->trailer_len == b->trailer_len &&
					 memcmp(a->payload, b->payload, a->payload_len) == 0 &&
					 memcmp(a->trailer, b->trailer, a->trailer_len) == 0);
}

/* In chunks of 7 bytes. */
static void check_chunked_again(const struct outcome *o)
{
	enum { CHUNK = 7 };
	size_t len = 0, most = (o->payload_len / CHUNK + 1) * (CHUNK + HTTP_CHUNK_BEGIN_MAX + 2) +
			       o->trailer_len + 8;
	char *text = malloc(most);

	assert(text);
	for (size_t at = 0; at < o->payload_len; at += CHUNK) {
		size_t n = o->payload_len - at < CHUNK ? o->payload_len - at : CHUNK;
		len += http_chunk_begin(text + len, n);
		memcpy(text + len, o->payload + at, n);
		len += n;
		memcpy(text + len, HTTP_CHUNK_END, 2);
		len += 2;
	}
	memcpy(text + len, HTTP_CHUNK_ZERO, 3);
	len += 3;
	memcpy(text + len, o->trailer, o->trailer_len);
	len += o->trailer_len;
	memcpy(text + len, "\r\n", 2);
	len += 2;
	assert(len <= most);
	struct outcome again = decode(text, len, 0, len, 1);
	assert(again.result == 0 && again.used == len);
	again.used = o->used;
	assert(alike(&again, o));
	outcome_done(&again);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n < 3)
		return 0;
	const char *text = (const char *)data + 3;
	size_t len = n - 3;
	struct outcome whole = decode(text, len, data[0], len, 1);
	struct outcome pieces = decode(text, len, data[0], data[1], (size_t)data[2] + 1);

	assert(alike(&whole, &pieces));
	if (whole.result == 0) {
		/* What follows does not matter. */
		struct outcome cut = decode(text, whole.used, data[0] & ~1u, whole.used, 1);
		if (!(data[0] & 1))
			assert(alike(&whole, &cut));
		outcome_done(&cut);
		check_chunked_again(&whole);
	}
	outcome_done(&whole);
	outcome_done(&pieces);
	return 0;
}
