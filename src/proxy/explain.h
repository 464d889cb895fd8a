/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What --explain-denials says: each distinct denial once, how often it was made, and the smallest addition to the policy
 * that would have allowed it. Called by journal.c while requests are refused, and by proxy at its end. Keeps at most
 * LIMIT_EXPLAINED_DENIALS; the others are counted. Never says a query.
 *
 * Each addition is a YAML document of the policy's own shape, to be merged into the policy: mappings by key, lists by
 * appending, endpoints with the same host and port as one. Denials that no rule can change have a comment that says why.
 */
#ifndef POSTERN_PROXY_EXPLAIN_H
#define POSTERN_PROXY_EXPLAIN_H
#include "policy/match.h"
#include "proxy/messages.h"

/* From now on they are wanted; policy: for dialer's refusals, which name no entry. */
void explain_init(const struct policy *policy);
/* The policy denied it. */
void explain_decision(const struct policy_request *r, const struct policy_decision *d,
		      const char *reason);
/* Dialer did; as journal_not_dialed(). */
void explain_dial(const struct policy_request *r, enum dial_problem problem, bool by_wildcards,
		  const char *address);
/* Something else did, which no rule can change. */
void explain_other(const struct policy_request *r, const char *reason);
/* Write it all. 0 or -errno. */
int explain_write(int fd);
#endif
