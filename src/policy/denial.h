/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes the JSON bodies of refusals exactly as OpenShell's proxy does: keys sorted, no spaces.
 * Called by proxy. Never allocates, never writes past the buffer; always leaves valid JSON.
 *
 * Every such answer has exactly the fields Content-Type: application/json, Content-Length,
 * and (between them and Connection) X-OpenShell-Policy: decision->policy when denial_names_policy().
 */
#ifndef POSTERN_POLICY_DENIAL_H
#define POSTERN_POLICY_DENIAL_H
#include "policy/match.h"

/* Bytes that do for every body: what a client can make long is cut in it. */
#define DENIAL_SIZE (64 * 1024)

/* The body for a request that was not allowed, into out (NUL-terminated): the three forms of
 * forward, CONNECT, and inside CONNECT. 0 and its length, or -ENOBUFS. */
int denial_write(const struct policy_request *r, const struct policy_decision *d, char *out,
		 size_t size, size_t *ret_len);
/* 403, or 400 for POLICY_BAD_*. */
unsigned denial_status(const struct policy_decision *d);
/* True when the answer carries X-OpenShell-Policy: L7 denials inside CONNECT. */
bool denial_names_policy(const struct policy_request *r, const struct policy_decision *d);

/* {"detail":"…","error":"…"} for every other refusal ("ssrf_denied", "upstream_unreachable", …). */
int denial_write_error(const char *error, char *out, size_t size, size_t *ret_len,
		       const char *detail_format, ...) __attribute__((format(printf, 5, 6)));
/* {"error":"request_authority_mismatch","message":"HTTP request authority does not match the
 * authorized tunnel endpoint"}: a Host inside CONNECT that is not the tunnel's. */
extern const char denial_authority_mismatch[];
/* {"detail":"Unsupported tunnel protocol for L7-inspected endpoint","error":
 * "unsupported_l7_protocol"}: no HTTP inside CONNECT to an inspected endpoint. */
extern const char denial_unsupported_protocol[];
/* {"detail":"request-target must be canonical","error":"invalid_request_target"}: 400. */
extern const char denial_bad_target[];
#endif
