/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks the parameters of a query (application/x-www-form-urlencoded), decoding each name and value
 * into a buffer of the caller's. Called by front (arguments) and the policy matcher. Repeated names
 * are all seen, in order. Never allocates.
 */
#ifndef POSTERN_HTTP_QUERY_H
#define POSTERN_HTTP_QUERY_H
#include "http/span.h"
#include <stdbool.h>
#include <stddef.h>

struct http_query {
	struct span left; /* not walked yet; start with the target's query */
};

struct http_parameter {
	struct span name;  /* decoded, in the caller's buffer, NUL-terminated; may be empty */
	struct span value; /* the same; empty when there is no `=` */
	bool has_value;	   /* there was a `=` */
};

/* The next parameter, with both strings in out (each NUL-terminated): 1; 0 at the end; -EILSEQ for
 * a bad percent-encoding, a NUL or a control or non-ASCII byte that is not encoded; -ENOBUFS when
 * it does not fit (size of the query's length + 2 always does). Empty pieces (`&&`) are skipped. */
int http_query_next(struct http_query *q, char *out, size_t size, struct http_parameter *ret);
#endif
