/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pass over the endpoints that have the request's host and port. Of those that this binary may
 * use, the most specific path decides whose settings hold, and the rules of all are united.
 */
#include "policy/match.h"

#include "base/limit.h"
#include "base/utf8.h"
#include "http/query.h"
#include "policy/model.h"

#include <assert.h>

#define HOST_MAX    255
#define QUERY_BYTES (LIMIT_HTTP_TARGET_BYTES * 2) /* two NULs for each "a&" included */

/* The query, decoded once when the first rule asks for it: key NUL value NUL … */
struct query {
	struct span raw;
	enum { QUERY_RAW, QUERY_DECODED, QUERY_BAD } state;
	size_t len;
	char *bytes; /* QUERY_BYTES, the caller's */
};

/* What one pass finds. */
struct pass {
	const struct policy *p;
	const struct policy_request *r;
	struct policy_decision *d;
	struct query query;
	const struct network *seen; /* the last network asked about the binary … */
	bool seen_allowed;	    /* … and the answer */
	bool any_endpoint, any_exact;
	bool any_looked_into;		 /* without tls: skip */
	const struct endpoint *first;	 /* that may be used */
	const struct endpoint *selected; /* whose settings hold */
	const struct endpoint *last_inspected;
	size_t n_inspected;
	bool any_encoded_slash;
	const struct policy_call *call; /* of the message; NULL: none, or several */
	unsigned allowing, denying;	/* lines of rules; 0: there is none */
};

static bool equal_nocase(struct span a, const char *b)
{
	return span_equal_nocase(a, span_of(b));
}

static bool path_is(const struct binary *b, const char *path)
{
	if (*path != '/') /* "(deleted)" and the like: no pattern is meant so widely */
		return false;
	if (b->exact)
		return !strcmp(b->exact, path);
	return glob_match(b->glob, span_of(path));
}

static bool binary_allowed(const struct network *net, const struct policy_request *r)
{
	if (!r->binary)
		return false;
	for (size_t i = 0; i < net->n_binaries; i++) {
		if (path_is(&net->binaries[i], r->binary))
			return true;
		for (size_t j = 0; j < r->n_ancestors; j++)
			if (path_is(&net->binaries[i], r->ancestors[j]))
				return true;
	}
	return false;
}

/* UTF-8 only, as OpenShell's strings are. */
static bool is_utf8(struct span s)
{
	return utf8_is_valid(s.data, s.len);
}

static void query_decode(struct query *q)
{
	struct http_query walk = { .left = q->raw };
	struct http_parameter parameter;
	q->state = QUERY_BAD;
	q->len = 0;
	for (;;) {
		char *to = q->bytes + q->len;
		int r = http_query_next(&walk, to, QUERY_BYTES - q->len, &parameter);
		if (r == 0)
			break;
		if (r < 0 || !is_utf8(parameter.name) || !is_utf8(parameter.value))
			return;
		/* Both lie in the buffer; put them side by side. */
		size_t name = parameter.name.len + 1, value = parameter.value.len + 1;
		memmove(to, parameter.name.data, name);
		memmove(to + name, parameter.value.data, value);
		q->len += name + value;
	}
	q->state = QUERY_DECODED;
}

static bool query_good(struct query *q)
{
	if (q->state == QUERY_RAW)
		query_decode(q);
	return q->state == QUERY_DECODED;
}

static bool value_matches(const struct query_matcher *m, struct span value)
{
	for (size_t i = 0; i < m->n_any; i++)
		if (glob_match(m->any[i], value))
			return true;
	return false;
}

/* An allow rule wants every value of the key to match, a deny rule any; both want the key. */
static bool matcher_holds(struct query *q, const struct query_matcher *m, bool every)
{
	bool found = false, matched = false, missed = false;
	if (!query_good(q))
		return false;
	for (size_t at = 0; at < q->len;) {
		struct span name = span_of(q->bytes + at);
		struct span value = span_of(q->bytes + at + name.len + 1);
		at += name.len + value.len + 2;
		if (!span_equal(name, m->key))
			continue;
		found = true;
		if (value_matches(m, value))
			matched = true;
		else
			missed = true;
	}
	return found && (every ? !missed : matched);
}

static bool method_matches(struct span rule, struct span method)
{
	if (span_is(rule, "*") || span_equal_nocase(rule, method))
		return true;
	return equal_nocase(method, "HEAD") && equal_nocase(rule, "GET");
}

static bool rule_matches(struct pass *x, const struct rule *rule, bool every)
{
	if (!method_matches(rule->method, x->r->method) || !glob_match(rule->path, x->r->path))
		return false;
	for (size_t i = 0; i < rule->n_query; i++)
		if (!matcher_holds(&x->query, &rule->query[i], every))
			return false;
	return true;
}

/* The line of the first rule that matches, or 0, looking only at those whose prefix the path has. */
static unsigned find_rule(struct pass *x, const struct rule_set *set, bool every)
{
	struct span path = x->r->path;
	uint64_t hash = HASH_START;
	size_t at = 0;
	for (size_t i = 0; i < set->n_lengths && set->lengths[i] <= path.len; i++) {
		for (; at < set->lengths[i]; at++)
			hash = hash_byte(hash, path.data[at]);
		for (uint32_t n = index_rule(set, hash, set->lengths[i]); n;
		     n = set->rules[n - 1].next)
			if (rule_matches(x, &set->rules[n - 1], every))
				return set->rules[n - 1].line;
	}
	return 0;
}

/* ---- by what a message says ---- */

static bool call_matches(const struct endpoint *ep, const struct rule *rule,
			 const struct policy_call *call)
{
	if (ep->inspection.protocol == POLICY_PROTOCOL_JSON_RPC)
		return span_is(rule->method, "*") || span_equal(rule->method, call->method);
	if (!glob_match(rule->call, call->method))
		return false;
	return !rule->tool.n_any || (call->has_tool && value_matches(&rule->tool, call->tool));
}

static unsigned find_call_rule(const struct endpoint *ep, const struct rule_set *set,
			       const struct policy_call *call)
{
	for (size_t i = 0; i < set->n; i++)
		if (call_matches(ep, &set->rules[i], call))
			return set->rules[i].line;
	return 0;
}

/* The line that allows it, or 0. A message without a call is an answer, or a GET that listens: both are
 * mcp's, and belong to whatever calls are allowed. */
static unsigned allows_message(const struct pass *x, const struct endpoint *ep)
{
	const struct policy_message *m = x->r->message;
	bool mcp = ep->inspection.protocol == POLICY_PROTOCOL_MCP;
	if (span_is(x->r->method, "GET"))
		return mcp && m->stream ? ep->line : 0;
	if (!span_is(x->r->method, "POST"))
		return 0;
	if (!x->call)
		return mcp && m->response ? ep->line : 0;
	if (!x->call->method.len)
		return 0;
	if (ep->all_methods && !(ep->names_tools && span_is(x->call->method, "tools/call")))
		return ep->line;
	return find_call_rule(ep, &ep->allow, x->call);
}

static unsigned denies_message(const struct pass *x, const struct endpoint *ep)
{
	if (!x->call || !x->call->method.len || !span_is(x->r->method, "POST"))
		return 0;
	return find_call_rule(ep, &ep->deny, x->call);
}

/* Whether its settings may hold for this path. */
static bool selects(const struct endpoint *ep, struct span path)
{
	if (ep->everything)
		return true;
	if (ep->subtree.len)
		return path.len >= ep->subtree.len &&
		       !memcmp(path.data, ep->subtree.data, ep->subtree.len) &&
		       (path.len == ep->subtree.len || path.data[ep->subtree.len] == '/');
	return glob_match(ep->loose, path) || glob_match(ep->strict, path);
}

static void look_inside(struct pass *x, const struct endpoint *ep)
{
	struct span path = x->r->path;
	if (ep->inspected && selects(ep, path) &&
	    (!x->selected || ep->specificity >= x->selected->specificity))
		x->selected = ep;
	if (ep->strict && !glob_match(ep->strict, path))
		return;
	bool rest = ep->inspection.protocol == POLICY_PROTOCOL_REST;
	if (!rest && !x->r->message)
		return; /* its rules are about messages, and this is none */
	if (!x->allowing)
		x->allowing = rest ? find_rule(x, &ep->allow, true) : allows_message(x, ep);
	if (!x->denying)
		x->denying = rest ? find_rule(x, &ep->deny, false) : denies_message(x, ep);
}

static void look_at(struct pass *x, const struct endpoint *ep)
{
	x->any_endpoint = true;
	if (x->seen != ep->network) {
		x->seen = ep->network;
		x->seen_allowed = binary_allowed(ep->network, x->r);
		if (!x->seen_allowed && x->d->n_refusing < 4)
			x->d->refusing[x->d->n_refusing++] = ep->network->key;
	}
	if (!x->seen_allowed)
		return;
	if (!x->first)
		x->first = ep;
	x->any_exact = x->any_exact || ep->kind == HOST_EXACT;
	x->any_looked_into = x->any_looked_into || !ep->tls_skip;
	if (ep->inspected) {
		x->n_inspected++;
		x->last_inspected = ep;
	}
	x->any_encoded_slash = x->any_encoded_slash || (ep->inspected && ep->encoded_slash);
	if (x->r->via != POLICY_VIA_CONNECT)
		look_inside(x, ep);
}

/* Lower case, on the caller's stack; false for what no host can be. */
static bool lower_host(struct span host, char out[HOST_MAX + 1], struct span *ret)
{
	if (host.len > HOST_MAX)
		return false;
	for (size_t i = 0; i < host.len; i++)
		out[i] = host.data[i] >= 'A' && host.data[i] <= 'Z' ? (char)(host.data[i] | 0x20)
								    : host.data[i];
	*ret = (struct span){ out, host.len };
	return true;
}

/* All endpoints with a host and port, in their order: two ascending lists, merged. */
struct cursor {
	const struct policy *p;
	struct span host;
	const uint32_t *exact;
	const struct port_endpoint *wild;
	size_t n_exact, n_wild, i, j;
};

static struct cursor cursor_at(const struct policy *p, struct span host, uint16_t port)
{
	struct cursor c = { .p = p, .host = host };
	c.n_exact = index_exact(p, host, port, &c.exact);
	c.n_wild = index_wild(p, port, &c.wild);
	return c;
}

static const struct endpoint *cursor_next(struct cursor *c)
{
	while (c->i < c->n_exact || c->j < c->n_wild) {
		if (c->j == c->n_wild ||
		    (c->i < c->n_exact && c->exact[c->i] < c->wild[c->j].endpoint))
			return &c->p->endpoints[c->exact[c->i++]];
		const struct endpoint *ep = &c->p->endpoints[c->wild[c->j++].endpoint];
		if (ep->kind == HOST_ANY || host_match(ep->host, c->host))
			return ep;
	}
	return NULL;
}

static bool has_encoded_slash(struct span path)
{
	return path.len > 2 && memmem(path.data, path.len, "%2F", 3) != NULL;
}

static void say(struct policy_decision *d, enum policy_verdict verdict, unsigned line)
{
	d->verdict = verdict;
	d->allowed = verdict == POLICY_ALLOWED;
	d->line = line;
}

/* Neither audit nor a rule excuses a target that cannot be sent on. */
static void say_sendable(struct pass *x, unsigned line)
{
	if (query_good(&x->query))
		say(x->d, POLICY_ALLOWED, line);
	else
		say(x->d, POLICY_BAD_QUERY, line);
}

/* What no rule and no audit excuses in a message. True when it was said. */
static bool say_unreadable(struct pass *x)
{
	const struct policy_message *m = x->r->message;
	const struct endpoint *settings = x->selected;
	if (settings->inspection.protocol == POLICY_PROTOCOL_REST)
		return false;
	if (!m)
		say(x->d, POLICY_NEEDS_MESSAGE, settings->line);
	else if (m->refused)
		say(x->d, POLICY_DENIED_MESSAGE, settings->line);
	else if (m->response && settings->inspection.protocol == POLICY_PROTOCOL_JSON_RPC)
		say(x->d, POLICY_DENIED_RESPONSE, settings->line);
	else
		return false;
	return true;
}

static void decide_rules(struct pass *x)
{
	const struct endpoint *settings = x->selected;
	struct policy_decision *d = x->d;
	d->inspection = settings->inspection;
	d->body_credentials = settings->body_credentials;
	if (say_unreadable(x))
		return;
	if (x->denying)
		say(d, POLICY_DENIED_BY_RULE, x->denying);
	else if (!x->allowing)
		say(d, POLICY_DENIED_RULE, settings->line);
	else
		say_sendable(x, x->allowing);
	if (d->allowed || settings->enforced || d->verdict == POLICY_BAD_QUERY)
		return;
	if (!query_good(&x->query)) {
		say(d, POLICY_BAD_QUERY, d->line);
		return;
	}
	d->allowed = d->audited = true;
}

static void decide_inspected(struct pass *x)
{
	bool inside = x->r->via == POLICY_VIA_INSIDE, slash = has_encoded_slash(x->r->path);
	struct policy_decision *d = x->d;
	if (inside && !query_good(&x->query)) {
		say(d, POLICY_BAD_QUERY, x->first->line);
		return;
	}
	if (slash && !x->any_encoded_slash) {
		say(d, POLICY_BAD_SLASH, x->first->line);
		return;
	}
	/* Inside CONNECT a single endpoint's settings hold for all paths; its rules do not. */
	if (!x->selected && inside && x->n_inspected == 1)
		x->selected = x->last_inspected;
	if (!x->selected) {
		say(d, POLICY_DENIED_PATH, x->first->line);
		return;
	}
	if (slash && !x->selected->encoded_slash) {
		say(d, inside ? POLICY_DENIED_SLASH : POLICY_BAD_SLASH, x->selected->line);
		return;
	}
	decide_rules(x);
}

/* With the call, of those that the message holds; NULL: as a whole. */
static void decide_call(const struct policy *p, const struct policy_request *r,
			const struct policy_call *call, struct policy_decision *ret)
{
	char bytes[QUERY_BYTES];
	struct pass x = {
		.p = p, .r = r, .d = ret, .call = call, .query = { .raw = r->query, .bytes = bytes }
	};
	char lower[HOST_MAX + 1];
	struct span host;
	*ret = (struct policy_decision){ 0 };
	if (r->changed) {
		say(ret, POLICY_DENIED_CHANGED, 0);
		return;
	}
	if (lower_host(r->host, lower, &host)) {
		struct cursor c = cursor_at(p, host, r->port);
		for (const struct endpoint *ep; (ep = cursor_next(&c));)
			look_at(&x, ep);
	}
	if (!x.first) {
		say(ret,
		    x.any_endpoint   ? POLICY_DENIED_BINARY
		    : !p->n_networks ? POLICY_DENIED_NO_NETWORK
				     : POLICY_DENIED_ENDPOINT,
		    0);
		return;
	}
	ret->n_refusing = 0;
	ret->policy = x.first->network->key;
	ret->inspected = x.n_inspected > 0;
	ret->tls_skip = !x.any_looked_into;
	ret->host_wildcard = !x.any_exact;
	if (r->via == POLICY_VIA_CONNECT)
		say(ret, POLICY_ALLOWED, x.first->line);
	else if (ret->inspected)
		decide_inspected(&x);
	else if (has_encoded_slash(r->path))
		say(ret, POLICY_BAD_SLASH, x.first->line);
	else
		say_sendable(&x, x.first->line);
}

void policy_decide(const struct policy *p, const struct policy_request *r,
		   struct policy_decision *ret)
{
	const struct policy_message *m = r->message;
	const size_t n = m && !m->refused ? m->n_calls : 0;
	struct policy_decision next;
	size_t i = 0;
	/* An answer is decided as a whole, and so is what holds no call. */
	decide_call(p, r, n && !m->response ? &m->calls[i++] : NULL, ret);
	for (; i < n && ret->allowed; i++) {
		decide_call(p, r, &m->calls[i], &next);
		if (!next.allowed || !ret->audited)
			*ret = next;
	}
	if (m && m->doubtful && ret->allowed) {
		say(ret, POLICY_DENIED_MESSAGE, ret->line);
		ret->audited = false;
	}
}

/* As in OpenShell, the first endpoint that says more than host and port decides on addresses; *ret is
 * it when it lists some. */
static enum policy_host find_host(const struct policy *p, struct span host, uint16_t port,
				  bool wildcards_only, const struct endpoint **ret)
{
	char lower[HOST_MAX + 1];
	if (!lower_host(host, lower, &host))
		return POLICY_HOST_NONE;
	struct cursor c = cursor_at(p, host, port);
	enum policy_host found = POLICY_HOST_NONE;
	const struct endpoint *deciding = NULL;
	for (const struct endpoint *ep; (ep = cursor_next(&c));) {
		if (wildcards_only && ep->kind == HOST_EXACT)
			continue;
		if (!deciding && (ep->inspected || ep->n_addresses))
			deciding = ep;
		if (ep->kind == HOST_EXACT)
			found = POLICY_HOST_EXACT;
		else if (found == POLICY_HOST_NONE)
			found = POLICY_HOST_WILDCARD;
	}
	if (!deciding || !deciding->n_addresses)
		return found;
	*ret = deciding;
	return POLICY_HOST_LISTED;
}

enum policy_host policy_host(const struct policy *p, struct span host, uint16_t port,
			     bool wildcards_only)
{
	const struct endpoint *ep = NULL;
	return find_host(p, host, port, wildcards_only, &ep);
}

static bool any_endpoint(const struct policy *p, struct span host, uint16_t port,
			 bool (*has)(const struct endpoint *))
{
	char lower[HOST_MAX + 1];
	if (!lower_host(host, lower, &host))
		return false;
	struct cursor c = cursor_at(p, host, port);
	for (const struct endpoint *ep; (ep = cursor_next(&c));)
		if (has(ep))
			return true;
	return false;
}

static bool looks_into_tls(const struct endpoint *ep)
{
	return !ep->tls_skip;
}

bool policy_tls_looked_into(const struct policy *p, struct span host, uint16_t port)
{
	return any_endpoint(p, host, port, looks_into_tls);
}

static bool fills_bodies(const struct endpoint *ep)
{
	return ep->body_credentials;
}

bool policy_body_credentials(const struct policy *p, struct span host, uint16_t port)
{
	return any_endpoint(p, host, port, fills_bodies);
}

bool policy_address_listed(const struct policy *p, struct span host, uint16_t port,
			   bool wildcards_only, const uint8_t *address, size_t size)
{
	const struct endpoint *ep = NULL;
	if (find_host(p, host, port, wildcards_only, &ep) != POLICY_HOST_LISTED)
		return false;
	for (size_t i = 0; i < ep->n_addresses; i++)
		if (range_holds(&ep->addresses[i], address, size))
			return true;
	return false;
}

bool policy_listing(const struct policy *p, struct span host, uint16_t port, bool wildcards_only,
		    struct policy_listing *ret)
{
	const struct endpoint *ep = NULL;
	if (find_host(p, host, port, wildcards_only, &ep) != POLICY_HOST_LISTED)
		return false;
	*ret = (struct policy_listing){ ep->network->key, ep->host, ep->line };
	return true;
}

const char *policy_verdict_error(enum policy_verdict v)
{
	static const char *const errors[] = {
		[POLICY_ALLOWED] = NULL,
		[POLICY_DENIED_NO_NETWORK] = "policy_denied",
		[POLICY_DENIED_ENDPOINT] = "policy_denied",
		[POLICY_DENIED_BINARY] = "policy_denied",
		[POLICY_DENIED_CHANGED] = "policy_denied",
		[POLICY_DENIED_PATH] = "policy_denied",
		[POLICY_DENIED_RULE] = "policy_denied",
		[POLICY_DENIED_BY_RULE] = "policy_denied",
		[POLICY_DENIED_SLASH] = "policy_denied",
		[POLICY_BAD_SLASH] = "invalid_request_target",
		[POLICY_BAD_QUERY] = "invalid_request_target",
		[POLICY_DENIED_MESSAGE] = "policy_denied",
		[POLICY_DENIED_RESPONSE] = "policy_denied",
		[POLICY_NEEDS_MESSAGE] = NULL,
	};
	static_assert(sizeof(errors) / sizeof(errors[0]) == POLICY_VERDICT_COUNT,
		      "one per verdict");
	return errors[v];
}
