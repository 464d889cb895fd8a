/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the fields of a head: where the message ends and what the connection does next (RFC 9112 6,
 * 9). Internal to src/http; called by head.c once per head.
 */
#ifndef POSTERN_HTTP_FRAME_H
#define POSTERN_HTTP_FRAME_H
#include "http/head.h"

/* Fill host, expect_100, keep_alive, upgrade, body and body_length; HTTP_REFUSED_NOTHING or why not. */
enum http_refusal http_frame_request(struct http_head *h);
/* The same, and interim, for an answer to a request with method `to`. */
enum http_refusal http_frame_response(struct http_head *h, enum http_method to);
#endif
