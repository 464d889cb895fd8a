/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A single byte range (RFC 9110 14.1.2) against the size of what is served. Called by front for
 * logs and artifacts. Owns nothing.
 */
#ifndef POSTERN_HTTP_RANGE_H
#define POSTERN_HTTP_RANGE_H
#include "http/span.h"
#include <stdint.h>

struct http_range {
	uint64_t first; /* offset of the first byte */
	uint64_t last;	/* offset of the last byte, included; below total */
};

/* Value of a Range field, total size in bytes. 0: answer 206 with *ret. -ERANGE: answer 416 with
 * Content-Range `bytes` * `/total`. -ENOENT: answer the whole, as if there were no Range (another
 * unit, several ranges, bad syntax). */
int http_range_parse(struct span value, uint64_t total, struct http_range *ret);
#endif
