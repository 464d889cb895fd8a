/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the matcher: "HOST\nPORT\nMETHOD\nPATH\nQUERY\nBINARY\nANCESTOR" is decided by a policy that is made of a table here, and
 * must be what one gets by trying every row of the table, one after the other. The matcher finds them by indices.
 */
#include "policy/glob.h"
#include "policy/match.h"

#include "base/cleanup.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { HOST, PORT, METHOD, PATH, QUERY, BINARY, ANCESTOR, PARTS };

/* One endpoint for each host and port; those of one host are of one network, whose binaries are alike. */
static const struct {
	const char *host, *binary;
	uint16_t port;
} endpoints[] = {
	{ "one.example", "/usr/bin/curl", 80 },	    { "one.example", "/usr/bin/curl", 8080 },
	{ "*.two.example", "/usr/bin/*", 80 },	    { "a.two.example", "/opt/**", 80 },
	{ "**.three.example", "/usr/bin/git", 80 }, { "192.0.2.1", "/usr/bin/curl", 80 },
};
static const struct {
	unsigned endpoint;
	bool deny;
	const char *method, *path, *key, *value; /* key: of a query, or NULL */
} rules[] = {
	{ 0, false, "GET", "/" },
	{ 0, false, "GET", "/a" },
	{ 0, false, "POST", "/a/b" },
	{ 0, false, "*", "/a/b/c" },
	{ 0, false, "GET", "/a/*" },
	{ 0, true, "GET", "/a/secret" },
	{ 0, false, "GET", "/b/**" },
	{ 0, true, "*", "/b/**/private/*" },
	{ 0, false, "put", "/c*/x" },
	{ 0, false, "GET", "/q", "key", "a*" },
	{ 0, true, "GET", "/q", "no", "*" },
	{ 1, false, "DELETE", "/jobs/*" },
	{ 1, false, "GET", "/jobs/*/log" },
	{ 1, true, "GET", "/jobs/0/**" },
	{ 2, false, "GET", "/**" },
	{ 2, true, "GET", "/a/**" },
	{ 3, false, "*", "/a/b" },
	{ 3, true, "HEAD", "/a/b" },
	{ 4, false, "PATCH", "/repo-*/x/**" },
	{ 5, false, "GET", "*" },
};
static const struct glob *globs[ELEMENTS(rules)], *values[ELEMENTS(rules)];
static const struct glob *binaries[ELEMENTS(endpoints)];

static const struct glob *compile(const char *pattern, char delimiter)
{
	static struct arena arena;
	const struct glob *g = NULL;
	struct error e = { 0 };
	int r = glob_compile(pattern, delimiter, &arena, &g, &e);
	assert(r == 0);
	return g;
}

static struct policy *make(void)
{
	static char text[16384];
	size_t len = 0;
#define ADD(...) (len += (size_t)snprintf(text + len, sizeof(text) - len, __VA_ARGS__))
	ADD("version: 1\nnetwork_policies:\n");
	for (unsigned i = 0; i < ELEMENTS(endpoints); i++) {
		binaries[i] = compile(endpoints[i].binary, '/');
		ADD("  n%u:\n    binaries: [ { path: \"%s\" } ]\n    endpoints:\n"
		    "      - host: \"%s\"\n        port: %u\n        protocol: rest\n"
		    "        enforcement: enforce\n",
		    i, endpoints[i].binary, endpoints[i].host, endpoints[i].port);
		for (int deny = 0; deny < 2; deny++) {
			bool any = false;
			for (unsigned k = 0; k < ELEMENTS(rules); k++) {
				if (rules[k].endpoint != i || rules[k].deny != (bool)deny)
					continue;
				if (!any)
					ADD("        %s:\n", deny ? "deny_rules" : "rules");
				any = true;
				ADD("          - %s method: \"%s\", path: \"%s\"",
				    deny ? "{" : "allow: {", rules[k].method, rules[k].path);
				if (rules[k].key)
					ADD(", query: { %s: \"%s\" }", rules[k].key,
					    rules[k].value);
				ADD(" }\n");
			}
		}
	}
	for (unsigned k = 0; k < ELEMENTS(rules); k++) {
		globs[k] = compile(rules[k].path, '/');
		values[k] = rules[k].key ? compile(rules[k].value, 0) : NULL;
	}
	assert(len < sizeof(text));
	struct policy *p = NULL;
	struct error e = { 0 };
	if (policy_load(text, len, "fuzz", &p, &e) < 0) {
		fprintf(stderr, "%u:%u: %s\n%s", e.line, e.column, e.message, text);
		abort();
	}
	return p;
}

/* ---- the same, row by row ---- */

/* `*.` is one label, `**.` one or more, of which the first is not empty. */
static bool host_is(const char *pattern, struct span host)
{
	bool many = !strncmp(pattern, "**.", 3);
	if (!many && strncmp(pattern, "*.", 2) != 0)
		return span_is_nocase(host, pattern);
	const char *end = pattern + (many ? 2 : 1);
	size_t n = strlen(end);
	if (host.len <= n || !span_is_nocase((struct span){ host.data + host.len - n, n }, end))
		return false;
	struct span labels = { host.data, host.len - n };
	return many ? *labels.data != '.' : !memchr(labels.data, '.', labels.len);
}

static bool method_is(const char *rule, struct span method)
{
	return !strcmp(rule, "*") || span_is_nocase(method, rule) ||
	       (!strcmp(rule, "GET") && span_is_nocase(method, "HEAD"));
}

/* Of a query of plain characters: an allow rule wants every value of the key, a deny rule any. */
static bool query_is(unsigned k, struct span query)
{
	bool found = false, all = true, any = false;
	if (!rules[k].key)
		return true;
	while (query.len) {
		const char *and = memchr(query.data, '&', query.len);
		struct span pair = { query.data, and? (size_t)(and-query.data) : query.len };
		size_t taken = pair.len + (and != NULL);
		query = (struct span){ query.data + taken, query.len - taken };
		const char *is = memchr(pair.data, '=', pair.len);
		struct span name = { pair.data, is ? (size_t)(is - pair.data) : pair.len };
		struct span value = { is ? is + 1 : "", is ? pair.len - name.len - 1 : 0 };
		if (!pair.len || !span_is(name, rules[k].key))
			continue;
		bool matches = glob_match(values[k], value);
		found = true;
		all = all && matches;
		any = any || matches;
	}
	return found && (rules[k].deny ? any : all);
}

static bool by_rows(const struct policy_request *r)
{
	bool allowed = false;
	if (r->host.len > 255) /* no name is so long (RFC 1035 2.3.4) */
		return false;
	for (unsigned i = 0; i < ELEMENTS(endpoints); i++) {
		if (!host_is(endpoints[i].host, r->host) || endpoints[i].port != r->port)
			continue;
		if (!(*r->binary == '/' && glob_match(binaries[i], span_of(r->binary))) &&
		    !(*r->ancestors[0] == '/' && glob_match(binaries[i], span_of(r->ancestors[0]))))
			continue;
		for (unsigned k = 0; k < ELEMENTS(rules); k++) {
			if (rules[k].endpoint != i || !method_is(rules[k].method, r->method) ||
			    !glob_match(globs[k], r->path) || !query_is(k, r->query))
				continue;
			if (rules[k].deny)
				return false;
			allowed = true;
		}
	}
	return allowed;
}

static bool is_plain(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.data[i] <= ' ' || s.data[i] > '~' || strchr("%+;", s.data[i]))
			return false;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct policy *policy;
	static char text[4096];
	char *part[PARTS], *save = text;
	if (!policy)
		policy = make();
	if (n >= sizeof(text) || memchr(data, '\0', n))
		return 0;
	memcpy(text, data, n);
	text[n] = '\0';
	for (unsigned i = 0; i < PARTS; i++) {
		part[i] = strsep(&save, "\n");
		if (!part[i])
			return 0;
	}
	const char *const ancestors[] = { part[ANCESTOR] };
	const struct policy_request r = {
		.via = POLICY_VIA_FORWARD,
		.host = span_of(part[HOST]),
		.port = (uint16_t)strtoul(part[PORT], NULL, 10),
		.method = span_of(part[METHOD]),
		.path = span_of(part[PATH]),
		.raw_path = span_of(part[PATH]),
		.query = span_of(part[QUERY]),
		.binary = part[BINARY],
		.ancestors = ancestors,
		.n_ancestors = 1,
	};
	struct policy_decision d;
	policy_decide(policy, &r, &d);
	assert(!d.audited && d.allowed == (d.verdict == POLICY_ALLOWED));
	/* What is not as the proxy makes it is decided, but not as a row says. */
	if (is_plain(r.path) && is_plain(r.query) && *part[PATH] == '/')
		assert(d.allowed == by_rows(&r));
	return 0;
}
