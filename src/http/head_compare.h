/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests and fuzzers: whether two parses of the same bytes, in different buffers, say the same; and a parse of bytes
 * that arrive in pieces, each time in a buffer of exactly that size, so that reading on is seen by AddressSanitizer.
 */
#ifndef POSTERN_HTTP_HEAD_COMPARE_H
#define POSTERN_HTTP_HEAD_COMPARE_H
#include "http/head.h"
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* Equal text at equal offsets of their buffers. */
static inline bool spans_agree(struct span a, const char *base_a, struct span b, const char *base_b)
{
	return span_equal(a, b) && (a.len == 0 || a.data - base_a == b.data - base_b);
}

static inline bool heads_agree(const struct http_head *a, const char *base_a,
			       const struct http_head *b, const char *base_b)
{
	if (a->length != b->length || a->minor != b->minor || a->method_id != b->method_id ||
	    a->status != b->status || a->interim != b->interim || a->keep_alive != b->keep_alive ||
	    a->upgrade != b->upgrade || a->body != b->body || a->body_length != b->body_length ||
	    a->expect_100 != b->expect_100 || a->n_fields != b->n_fields ||
	    a->repeated != b->repeated || a->refusal != b->refusal ||
	    memcmp(a->first, b->first, sizeof(a->first)) != 0)
		return false;
	if (!spans_agree(a->method, base_a, b->method, base_b) ||
	    !spans_agree(a->target, base_a, b->target, base_b) ||
	    !spans_agree(a->host, base_a, b->host, base_b) ||
	    !spans_agree(a->reason, base_a, b->reason, base_b))
		return false;
	for (unsigned i = 0; i < a->n_fields; i++) {
		const struct http_field *f = &a->fields[i], *g = &b->fields[i];
		if (f->id != g->id || !spans_agree(f->name, base_a, g->name, base_b) ||
		    !spans_agree(f->value, base_a, g->value, base_b))
			return false;
	}
	return true;
}

/* A message's beginning, and how to read it. */
struct head_input {
	struct span text;
	bool request;
	enum http_method to; /* of a response: the request's method */
	const struct http_rules *rules;
};

/* Parse when `first` bytes are there, and again after every `step` (> 0) more until it is decided or all are there.
 * Returns what the parser did; *ret_base is the last buffer, the caller's to free. */
static inline int head_parse_growing(const struct head_input *in, size_t first, size_t step,
				     struct http_head *ret_head, char **ret_base)
{
	struct http_scan scan = { 0 };
	char *buffer = NULL;
	int r;

	for (size_t n = first;; n += step) {
		if (n > in->text.len)
			n = in->text.len;
		char *next = malloc(n ? n : 1); /* before the old one goes: it shall move */
		assert(next);
		if (n > 0)
			memcpy(next, in->text.data, n);
		free(buffer);
		buffer = next;
		r = in->request
			    ? http_request_parse(&scan, buffer, n, in->rules, ret_head)
			    : http_response_parse(&scan, buffer, n, in->to, in->rules, ret_head);
		if (r != -EAGAIN || n == in->text.len)
			break;
	}
	*ret_base = buffer;
	return r;
}

/* Whether a parse in pieces gives what the parse of all bytes at once gave: result `r` and head `whole`. */
static inline bool head_grows_alike(const struct head_input *in, size_t first, size_t step, int r,
				    const struct http_head *whole, const char *whole_base)
{
	static struct http_head pieces;
	char *base;
	int again = head_parse_growing(in, first, step, &pieces, &base);
	bool alike = again == r;

	if (r == 0)
		alike = alike && heads_agree(whole, whole_base, &pieces, base);
	else if (r == -EBADMSG)
		alike = alike && whole->refusal == pieces.refusal;
	free(base);
	return alike;
}
#endif
