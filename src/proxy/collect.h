/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Holds the body of a request that is decided by what its body says (protocol json-rpc and mcp): all of it, before
 * anything of it is sent on. Used by conn.c, which decides, and relay.c, which sends it. Owns the bytes; holds no
 * more than was asked for, nor more than LIMIT_RPC_BODIES_BYTES in all.
 */
#ifndef POSTERN_PROXY_COLLECT_H
#define POSTERN_PROXY_COLLECT_H
#include "http/body.h"
#include "http/span.h"

struct evbuffer;
struct collected;

enum collect_state {
	COLLECT_MORE,	   /* there is more to come */
	COLLECT_WHOLE,	   /* that is all of it */
	COLLECT_LONG,	   /* longer than asked for */
	COLLECT_FULL,	   /* all connections together hold too much */
	COLLECT_MALFORMED, /* collect_refusal() says why */
};

/* Begin with the body that head announces, most bytes at most; head_len bytes of its head are at the front of `in`, and
 * are kept aside. NULL when out of memory. */
struct collected *collect_begin(struct evbuffer *in, size_t head_len, const struct http_head *head,
				uint32_t most);
/* Take what has come. Once whole, the head is at the front of `in` again, and what follows it is the next request. */
enum collect_state collect_more(struct collected *c, struct evbuffer *in);
uint32_t collect_most(const struct collected *c); /* as it was begun */
enum http_refusal collect_refusal(const struct collected *c);
/* The body, whole; empty when c is NULL. Valid until the next call. */
struct span collect_body(struct collected *c);
/* Move it, or most bytes of what is left of it, to the end of a buffer; the others are still held. */
void collect_send(struct collected *c, struct evbuffer *out, size_t most);
void collect_free(struct collected *c);
#endif
