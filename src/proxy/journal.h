/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is said of what the proxy decided: lines on the terminal (each denial, and each violation that an
 * endpoint's enforcement lets pass), the decision log (decisions.h), and what --explain-denials says
 * (explain.h). Called by conn.c and refuse.c. Never says a query or a header field, where secrets may
 * stand; on the terminal no more lines than LIMIT_DECISION_LINES and LIMIT_DECISION_LINES_RATE, since it
 * is the sandbox that causes them.
 */
#ifndef POSTERN_PROXY_JOURNAL_H
#define POSTERN_PROXY_JOURNAL_H
#include "policy/match.h"
#include "proxy/decisions.h"
#include "proxy/messages.h"

/* What of an allowing decision is still to be said when its connection stands, or does not. */
struct journal_kept {
	char *program; /* owned */
	pid_t pid;
	char policy[64]; /* cut */
	enum decision_engine engine;
	bool audited;
	char reason[96];
	bool said;			/* that it was allowed */
	struct policy_request *request; /* owned, with what it points to; or NULL */
};

/* The request was denied for this reason, which no decision tells, and which no rule can change. */
void journal_denied(const struct policy_request *r, const char *reason);
/* The same of one that the terminal is not told of: the answer says it all. */
void journal_refused(const struct policy_request *r, const char *reason);
/* A decision on it: nothing is said unless it was denied or is audited. */
void journal_decision(const struct policy_request *r, const struct policy_decision *d);
/* It was allowed: keep what journal_allowed() will say, and who asks. Frees what was kept before. */
void journal_keep(struct journal_kept *k, const struct policy_request *r,
		  const struct policy_decision *d);
void journal_kept_done(struct journal_kept *k);
/* It may be refused yet, when its head is gone: keep what of it journal_withdrawn() will say. */
void journal_keep_request(struct journal_kept *k, const struct policy_request *r);
/* That was refused after all, though journal_allowed() was called. */
void journal_withdrawn(struct journal_kept *k, enum dial_problem problem);
/* It was allowed, and dialer had nothing against it. Said once, though it may be dialed for twice. */
void journal_allowed(struct journal_kept *k, struct policy_request *r);
/* It was allowed, but dialer did not dial; address: the one that is not allowed, "" when there is none. */
void journal_not_dialed(struct journal_kept *k, struct policy_request *r, enum dial_problem problem,
			bool by_wildcards, const char *address);
#endif
