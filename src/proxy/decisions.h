/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decision log: one line for each decision on a request, in OpenShell's one-line OCSF form and as OCSF's JSON, into
 * descriptors that proxy was handed. Called by journal.c. Opens nothing, waits for nobody: what cannot be written at once, or
 * is past LIMIT_DECISION_LOG_BYTES, is missing, and a line says so. Never says a query or a header field, where secrets may
 * stand. What a sandbox chooses (programs, hosts, paths) is written so that it can begin no line and end no field.
 */
#ifndef POSTERN_DECISIONS_H
#define POSTERN_DECISIONS_H
#include "policy/match.h"

enum decision_engine {
	ENGINE_OPA,	   /* host, port and program */
	ENGINE_L7,	   /* method, path and query */
	ENGINE_L7_JSONRPC, /* the calls in a body */
	ENGINE_L7_MCP,
	ENGINE_SSRF,	   /* the address that a host has */
	ENGINE_CREDENTIAL, /* where a credential may go */
	ENGINE_COUNT
};

struct decision_line {
	const struct policy_request *r;
	bool allowed, audited; /* audited: only since the endpoint's enforcement is audit */
	const char *policy;    /* key of the network policy, or NULL */
	enum decision_engine engine;
	const char *reason; /* with what is denied or audited; "" */
};

/* The descriptors; -1: none. Call once, before anything is written. */
void decisions_init(int ocsf, int json);
/* Whether anybody wants lines. */
bool decisions_wanted(void);
void decisions_write(const struct decision_line *line);
/* The last lines, of what is missing. */
void decisions_end(void);
#endif
