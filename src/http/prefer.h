/* SPDX-License-Identifier: Apache-2.0 */
/* What a client would like (RFC 7240). Called by front. Owns nothing. */
#ifndef POSTERN_HTTP_PREFER_H
#define POSTERN_HTTP_PREFER_H
#include "http/head.h"

/* The first preference of that name in all Prefer fields, whatever its case. False: there is none. *ret_value: what it says,
 * without quotes and parameters; empty when it says nothing, or what breaks the grammar. */
bool http_prefer_find(const struct http_head *h, const char *name, struct span *ret_value);
#endif
