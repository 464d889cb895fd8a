/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of decisions, from a bucket that fills again with time. */
#include "proxy/journal.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/limit.h"
#include "base/log.h"
#include "proxy/explain.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define PATH_SHOWN   200 /* bytes */
#define HOST_SHOWN   100
#define METHOD_SHOWN 20

static const char *const reasons[] = {
	[POLICY_ALLOWED] = "it is allowed",
	[POLICY_DENIED_NO_NETWORK] = "the policy has no network policies",
	[POLICY_DENIED_ENDPOINT] = "no endpoint has this host and port",
	[POLICY_DENIED_BINARY] = "no policy that has this endpoint lists the program",
	[POLICY_DENIED_CHANGED] = "a program's file is not the one that was executed first",
	[POLICY_DENIED_PATH] = "no endpoint has this path",
	[POLICY_DENIED_RULE] = "no rule allows it",
	[POLICY_DENIED_BY_RULE] = "a deny rule names it",
	[POLICY_DENIED_SLASH] = "the path holds an encoded slash",
	[POLICY_BAD_SLASH] = "the path holds an encoded slash",
	[POLICY_BAD_QUERY] = "the query cannot be decoded",
	[POLICY_DENIED_MESSAGE] = "its body is no message that could be decided",
	[POLICY_DENIED_RESPONSE] = "it is an answer, where only calls are taken",
	[POLICY_NEEDS_MESSAGE] = "its body was not read",
};
static_assert(sizeof(reasons) / sizeof(reasons[0]) == POLICY_VERDICT_COUNT, "one per verdict");

/* Whether a line may be written now; *ret_missing: those that were not since the last one. */
static bool take_line(unsigned long *ret_missing)
{
	static const uint64_t full = LIMIT_DECISION_LINES * 1000ull;
	static uint64_t filled_ms, thousandths = LIMIT_DECISION_LINES * 1000ull;
	static unsigned long missing;
	uint64_t now = clock_monotonic_ms();
	thousandths += filled_ms ? (now - filled_ms) * LIMIT_DECISION_LINES_RATE : 0;
	if (thousandths > full)
		thousandths = full;
	filled_ms = now;
	if (thousandths < 1000) {
		missing++;
		return false;
	}
	thousandths -= 1000;
	*ret_missing = missing;
	missing = 0;
	return true;
}

static struct span cut(struct span s, size_t most)
{
	return (struct span){ s.data, s.len < most ? s.len : most };
}

static void say(const struct policy_request *r, const char *what, const char *reason, unsigned line)
{
	unsigned long missing;
	char where[32] = "", more[64] = "";
	if (!take_line(&missing))
		return;
	if (line)
		snprintf(where, sizeof(where), " (policy line %u)", line);
	if (missing)
		snprintf(more, sizeof(more), "; %lu more before this were not logged", missing);
	bool connect = r->via == POLICY_VIA_CONNECT;
	struct span method = cut(r->method, METHOD_SHOWN), host = cut(r->host, HOST_SHOWN);
	struct span path = cut(r->path.len ? r->path : r->raw_path, connect ? 0 : PATH_SHOWN);
	log_warning("%s: %.*s %s%.*s:%u%.*s%s%.200s: %s%s%s", what, SPAN_FORMAT(method),
		    connect ? "" : "http://", SPAN_FORMAT(host), r->port, SPAN_FORMAT(path),
		    r->binary ? " by " : "", r->binary ? r->binary : "", reason, where, more);
}

/* With the policy's line, and whose file has changed when it is not the caller's own. */
static void make_reason(const struct policy_request *r, const struct policy_decision *d, char *out,
			size_t size)
{
	const char *more = d->verdict == POLICY_DENIED_CHANGED ? r->changed : NULL;
	char line[32] = "";
	if (d->line)
		snprintf(line, sizeof(line), " (policy line %u)", d->line);
	snprintf(out, size, "%s%s%s%s", reasons[d->verdict], line, more ? ": " : "",
		 more ? more : "");
}

static enum decision_engine engine_of(const struct policy_request *r,
				      const struct policy_decision *d)
{
	static const enum decision_engine engines[] = {
		[POLICY_PROTOCOL_REST] = ENGINE_L7,
		[POLICY_PROTOCOL_JSON_RPC] = ENGINE_L7_JSONRPC,
		[POLICY_PROTOCOL_MCP] = ENGINE_L7_MCP,
	};
	bool inspected = d->verdict >= POLICY_DENIED_PATH || (d->allowed && d->inspected);
	return inspected && r->via != POLICY_VIA_CONNECT ? engines[d->inspection.protocol]
							 : ENGINE_OPA;
}

void journal_refused(const struct policy_request *r, const char *reason)
{
	decisions_write(&(struct decision_line){ .r = r, .engine = ENGINE_L7, .reason = reason });
	explain_other(r, reason);
}

void journal_denied(const struct policy_request *r, const char *reason)
{
	say(r, "denied", reason, 0);
	journal_refused(r, reason);
}

void journal_decision(const struct policy_request *r, const struct policy_decision *d)
{
	char reason[192];
	if (d->allowed) {
		if (d->audited)
			say(r, "allowed by audit only", reasons[d->verdict], d->line);
		return;
	}
	say(r, "denied", reasons[d->verdict], d->line);
	make_reason(r, d, reason, sizeof(reason));
	decisions_write(&(struct decision_line){
		.r = r, .policy = d->policy, .engine = engine_of(r, d), .reason = reason });
	explain_decision(r, d, reason);
}

/* ---- what was allowed ---- */

void journal_keep(struct journal_kept *k, const struct policy_request *r,
		  const struct policy_decision *d)
{
	journal_kept_done(k);
	k->program = r->binary ? strdup(r->binary) : NULL;
	k->pid = r->pid;
	k->engine = engine_of(r, d);
	k->audited = d->audited;
	snprintf(k->policy, sizeof(k->policy), "%s", d->policy ? d->policy : "");
	if (d->audited)
		make_reason(r, d, k->reason, sizeof(k->reason));
}

void journal_kept_done(struct journal_kept *k)
{
	free(k->program);
	free(k->request);
	*k = (struct journal_kept){ 0 };
}

void journal_keep_request(struct journal_kept *k, const struct policy_request *r)
{
	struct policy_request *copy =
		malloc(sizeof(*copy) + r->method.len + r->host.len + r->path.len);
	free(k->request);
	k->request = copy;
	if (!copy)
		return;
	*copy = (struct policy_request){ .via = r->via,
					 .host = r->host,
					 .port = r->port,
					 .method = r->method,
					 .path = r->path };
	struct span *const parts[] = { &copy->host, &copy->method, &copy->path };
	char *at = (char *)(copy + 1);
	for (size_t i = 0; i < ELEMENTS(parts); i++) {
		if (parts[i]->len)
			memcpy(at, parts[i]->data, parts[i]->len);
		parts[i]->data = at;
		at += parts[i]->len;
	}
}

void journal_withdrawn(struct journal_kept *k, enum dial_problem problem)
{
	if (k->request)
		journal_not_dialed(k, k->request, problem, false, "");
}

void journal_allowed(struct journal_kept *k, struct policy_request *r)
{
	if (k->said)
		return;
	k->said = true;
	r->binary = k->program;
	r->pid = k->pid;
	decisions_write(&(struct decision_line){ .r = r,
						 .allowed = true,
						 .audited = k->audited,
						 .policy = k->policy,
						 .engine = k->engine,
						 .reason = k->reason });
}

void journal_not_dialed(struct journal_kept *k, struct policy_request *r, enum dial_problem problem,
			bool by_wildcards, const char *address)
{
	static const char *const why[DIAL_PROBLEM_COUNT] = {
		[DIAL_NOT_IN_POLICY] = "no endpoint has this host and port",
		[DIAL_CREDENTIAL_MISMATCH] = "the credential is bound to other endpoints",
		[DIAL_CREDENTIAL_UNKNOWN] = "there is no such credential",
		[DIAL_CREDENTIAL_PLACE] = "a credential cannot go there",
	};
	const char *reason = dial_blocked_text(problem);
	if (!reason && problem < DIAL_PROBLEM_COUNT)
		reason = why[problem];
	char with_address[128];
	if (!reason) { /* nobody denied it */
		journal_allowed(k, r);
		return;
	}
	r->binary = k->program;
	r->pid = k->pid;
	bool credential = problem >= DIAL_CREDENTIAL_MISMATCH;
	if (!credential || problem == DIAL_CREDENTIAL_MISMATCH)
		say(r, "denied", reason, 0);
	snprintf(with_address, sizeof(with_address), "%s%s%s", reason, *address ? ": " : "",
		 address);
	decisions_write(&(struct decision_line){ .r = r,
						 .engine = credential ? ENGINE_CREDENTIAL
							   : problem == DIAL_NOT_IN_POLICY
								   ? ENGINE_OPA
								   : ENGINE_SSRF,
						 .reason = with_address });
	explain_dial(r, problem, by_wildcards, address);
}
