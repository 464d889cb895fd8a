/* SPDX-License-Identifier: Apache-2.0 */
/* Tests decisions that the recorded cases do not reach, and that many rules cost no time. */
#include "policy/match.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct policy *load(const char *networks)
{
	_cleanup_buf_ struct buf text = BUF_INIT(1u << 20);
	struct policy *p = NULL;
	struct error e = { 0 };
	char where[700];
	buf_append_str(&text, "version: 1\nnetwork_policies:\n");
	buf_append_str(&text, networks);
	if (policy_load(text.data, text.len, "p.yaml", &p, &e) < 0)
		fail_msg("%s", error_format(&e, where, sizeof(where)));
	return p;
}

static struct policy_request request(const char *host, const char *method, const char *path)
{
	return (struct policy_request){
		.via = POLICY_VIA_FORWARD,
		.host = span_of(host),
		.port = 80,
		.method = span_of(method),
		.raw_path = span_of(path),
		.path = span_of(path),
		.binary = "/b",
	};
}

/* The linker has all calls of malloc() and its like come by here (--wrap). */
static unsigned allocations;
void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_malloc(size_t n)
{
	allocations++;
	return __real_malloc(n);
}
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size)
{
	allocations++;
	return __real_calloc(n, size);
}
void *__real_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n)
{
	allocations++;
	return __real_realloc(p, n);
}

/* No decision allocates. */
static struct policy_decision ask(const struct policy *p, const struct policy_request *r)
{
	struct policy_decision d;
	memset(&d, 0xff, sizeof(d));
	assert_true(allocations); /* by whoever loaded the policy: they are counted */
	unsigned before = allocations;
	policy_decide(p, r, &d);
	assert_int_equal(allocations, before);
	return d;
}

static enum policy_verdict verdict(const struct policy *p, const char *host, const char *method,
				   const char *path)
{
	struct policy_request r = request(host, method, path);
	struct policy_decision d = ask(p, &r);
	assert_int_equal(d.allowed, d.verdict == POLICY_ALLOWED || d.audited);
	return d.verdict;
}

#define REST "port: 80, protocol: rest, enforcement: enforce"

static void test_policies_unite(void **state)
{
	struct policy *p = load(
		"  a:\n    binaries: [{ path: /b }]\n    endpoints:\n"
		"      - { host: h, " REST ", rules: [{ allow: { method: GET, path: /a } }] }\n"
		"  b:\n    binaries: [{ path: /b }]\n    endpoints:\n"
		"      - { host: h, " REST ", rules: [{ allow: { method: GET, path: /b } }],\n"
		"          deny_rules: [{ method: GET, path: /a, query: { no: \"*\" } }] }\n"
		"  c:\n    binaries: [{ path: /other }]\n    endpoints:\n"
		"      - { host: h, " REST ", access: full }\n"
		"  d:\n    binaries: [{ path: /b }]\n    endpoints: [{ host: h, port: 80 }]\n");
	assert_int_equal(verdict(p, "h", "GET", "/a"), POLICY_ALLOWED);
	assert_int_equal(verdict(p, "h", "GET", "/b"), POLICY_ALLOWED);
	/* Neither another binary's rules nor an uninspected entry help. */
	assert_int_equal(verdict(p, "h", "GET", "/c"), POLICY_DENIED_RULE);
	struct policy_request r = request("h", "GET", "/a");
	r.query = SPAN("no=1");
	struct policy_decision d = ask(p, &r);
	assert_int_equal(d.verdict, POLICY_DENIED_BY_RULE);
	assert_int_equal(d.line, 11);
	assert_string_equal(d.policy, "a");
	assert_true(d.inspected && !d.host_wildcard);
	policy_free(p);
}

/* The most specific path's settings hold; of equals, the last in the order of keys. */
static void test_settings(void **state)
{
	struct policy *p = load("  b:\n    binaries: [{ path: /b }]\n    endpoints:\n"
				"      - { host: h, port: 80, protocol: rest, enforcement: audit, "
				"access: read-only }\n"
				"      - { host: h, path: /x/**, " REST ", access: read-only }\n"
				"  a:\n    binaries: [{ path: /b }]\n    endpoints:\n"
				"      - { host: h, " REST ", access: read-only }\n");
	assert_int_equal(verdict(p, "h", "GET", "/y"), POLICY_ALLOWED);
	struct policy_request r = request("h", "PUT", "/y");
	struct policy_decision d = ask(p, &r);
	assert_true(d.allowed && d.audited);
	assert_int_equal(d.verdict, POLICY_DENIED_RULE);
	assert_string_equal(d.policy, "a");
	r.path = SPAN("/x/y");
	d = ask(p, &r);
	assert_false(d.allowed || d.audited);
	policy_free(p);
}

static void test_audit_does_not_forgive_targets(void **state)
{
	struct policy *p = load("  a:\n    binaries: [{ path: /b }]\n    endpoints:\n"
				"      - { host: h, port: 80, protocol: rest, enforcement: audit,\n"
				"          access: read-only }\n");
	struct policy_request r = request("h", "PUT", "/a%2Fb");
	assert_int_equal(ask(p, &r).verdict, POLICY_BAD_SLASH);
	assert_false(ask(p, &r).allowed);
	r = request("h", "PUT", "/a");
	r.query = SPAN("x=%zz");
	assert_int_equal(ask(p, &r).verdict, POLICY_BAD_QUERY);
	assert_false(ask(p, &r).allowed);
	policy_free(p);
}

static void test_who_asks(void **state)
{
	struct policy *p = load("  a:\n    binaries: [{ path: /b }, { path: \"/opt/**\" }]\n"
				"    endpoints: [{ host: h, port: 80 }]\n"
				"  n:\n    endpoints: [{ host: h, port: 80 }]\n");
	static const char *const parents[] = { "/bin/x", "/opt/a/b" };
	struct policy_request r = request("h", "GET", "/");
	assert_true(ask(p, &r).allowed);
	r.binary = "/bin/sh";
	struct policy_decision d = ask(p, &r);
	assert_int_equal(d.verdict, POLICY_DENIED_BINARY);
	assert_int_equal(d.n_refusing, 2);
	assert_string_equal(d.refusing[1], "n");
	r.ancestors = parents;
	r.n_ancestors = 1;
	assert_false(ask(p, &r).allowed);
	r.n_ancestors = 2;
	assert_true(ask(p, &r).allowed);
	r.changed = parents[1];
	assert_int_equal(ask(p, &r).verdict, POLICY_DENIED_CHANGED);
	r.changed = r.binary = NULL;
	r.n_ancestors = 0;
	assert_int_equal(ask(p, &r).verdict, POLICY_DENIED_BINARY);
	policy_free(p);
	/* What is no path is nobody's, however wide a pattern is. */
	p = load("  a:\n    binaries: [{ path: \"**/*\" }]\n"
		 "    endpoints: [{ host: h, port: 80 }]\n");
	r.binary = "/anything";
	assert_true(ask(p, &r).allowed);
	r.binary = "(deleted)";
	assert_int_equal(ask(p, &r).verdict, POLICY_DENIED_BINARY);
	policy_free(p);
}

static void test_hosts(void **state)
{
	static const struct {
		const char *host;
		enum policy_host kind;
	} rows[] = {
		{ "exact.test", POLICY_HOST_EXACT },
		{ "EXACT.Test", POLICY_HOST_EXACT },
		{ "exact.test.", POLICY_HOST_NONE },
		{ "x.one.test", POLICY_HOST_WILDCARD },
		{ "X.One.Test", POLICY_HOST_WILDCARD },
		{ "x.y.one.test", POLICY_HOST_NONE },
		{ ".one.test", POLICY_HOST_NONE },
		{ "one.test", POLICY_HOST_NONE },
		{ "x.many.test", POLICY_HOST_WILDCARD },
		{ "x.y.z.many.test", POLICY_HOST_WILDCARD },
		{ "many.test", POLICY_HOST_NONE },
		{ ".many.test", POLICY_HOST_NONE },
		{ "xmany.test", POLICY_HOST_NONE },
		{ "svc-1.part.test", POLICY_HOST_WILDCARD },
		{ "svc-.part.test", POLICY_HOST_WILDCARD },
		{ "sv-1.part.test", POLICY_HOST_NONE },
		{ "a.x.mid.test", POLICY_HOST_WILDCARD },
		{ "a.x.y.mid.test", POLICY_HOST_NONE },
		{ "", POLICY_HOST_NONE },
		{ "fd00::1", POLICY_HOST_EXACT },
	};
	struct policy *p = load("  a:\n    endpoints:\n"
				"      - { host: Exact.test, port: 80 }\n"
				"      - { host: \"*.one.test\", port: 80 }\n"
				"      - { host: \"**.many.test\", ports: [79, 80] }\n"
				"      - { host: \"svc-*.part.test\", port: 80 }\n"
				"      - { host: \"a.*.mid.test\", port: 80 }\n"
				"      - { host: \"fd00::1\", port: 80 }\n");
	for (size_t i = 0; i < ELEMENTS(rows); i++)
		if (policy_host(p, span_of(rows[i].host), 80, false) != rows[i].kind)
			fail_msg("%s", rows[i].host);
	assert_int_equal(policy_host(p, SPAN("exact.test"), 81, false), POLICY_HOST_NONE);
	assert_int_equal(policy_host(p, SPAN("x.many.test"), 79, false), POLICY_HOST_WILDCARD);
	char lengthy[400];
	memset(lengthy, 'x', sizeof(lengthy));
	assert_int_equal(policy_host(p, (struct span){ lengthy, sizeof(lengthy) }, 80, false),
			 POLICY_HOST_NONE);
	policy_free(p);
}

/* For one whom only wildcards allow a host, what other entries say of it by name does not count. */
static void test_hosts_by_wildcards_only(void **state)
{
	const uint8_t private[] = { 10, 1, 2, 3 }, other[] = { 10, 2, 2, 3 };
	struct policy *p =
		load("  a:\n    binaries: [{ path: /b }]\n    endpoints:\n"
		     "      - { host: x.in.test, port: 80 }\n"
		     "      - { host: x.in.test, port: 81, allowed_ips: [10.1.0.0/16] }\n"
		     "  b:\n    binaries: [{ path: /c }]\n    endpoints:\n"
		     "      - { host: \"*.in.test\", port: 80 }\n"
		     "      - { host: \"*.in.test\", port: 81, allowed_ips: [10.2.0.0/16] }\n");
	assert_int_equal(policy_host(p, SPAN("x.in.test"), 80, false), POLICY_HOST_EXACT);
	assert_int_equal(policy_host(p, SPAN("x.in.test"), 80, true), POLICY_HOST_WILDCARD);
	assert_int_equal(policy_host(p, SPAN("x"), 80, true), POLICY_HOST_NONE);
	assert_true(policy_address_listed(p, SPAN("x.in.test"), 81, false, private, 4));
	assert_false(policy_address_listed(p, SPAN("x.in.test"), 81, true, private, 4));
	assert_true(policy_address_listed(p, SPAN("x.in.test"), 81, true, other, 4));
	struct policy_request r = request("x.in.test", "GET", "/");
	assert_false(ask(p, &r).host_wildcard);
	r.binary = "/c";
	assert_true(ask(p, &r).allowed && ask(p, &r).host_wildcard);
	policy_free(p);
}

static bool listed(const struct policy *p, const char *host, uint16_t port, const char *address)
{
	uint8_t bytes[16];
	bool v6 = strchr(address, ':') != NULL;
	assert_int_equal(inet_pton(v6 ? AF_INET6 : AF_INET, address, bytes), 1);
	return policy_address_listed(p, span_of(host), port, false, bytes, v6 ? 16 : 4);
}

static void test_addresses(void **state)
{
	struct policy *p = load("  a:\n    binaries: [{ path: /b }]\n    endpoints:\n"
				"      - { host: h, port: 80, allowed_ips: [10.1.2.0/23, "
				"192.0.2.7, \"fd00:1::/33\"] }\n"
				"      - { port: 81, allowed_ips: [10.0.0.0/9] }\n"
				"      - { host: h, port: 82, protocol: rest, enforcement: "
				"enforce, access: full }\n"
				"      - { host: h, port: 82, allowed_ips: [10.1.2.0/24] }\n");
	assert_int_equal(policy_host(p, SPAN("h"), 80, false), POLICY_HOST_LISTED);
	assert_true(listed(p, "H", 80, "10.1.3.255"));
	assert_false(listed(p, "h", 80, "10.1.4.0"));
	assert_true(listed(p, "h", 80, "192.0.2.7"));
	assert_false(listed(p, "h", 80, "192.0.2.6"));
	assert_true(listed(p, "h", 80, "fd00:1:7fff::1"));
	assert_false(listed(p, "h", 80, "fd00:1:8000::1"));
	assert_false(listed(p, "other", 80, "10.1.2.3"));
	assert_int_equal(policy_host(p, SPAN("any.name"), 81, false), POLICY_HOST_LISTED);
	assert_true(listed(p, "any.name", 81, "10.127.0.1"));
	assert_false(listed(p, "any.name", 81, "10.128.0.1"));
	/* The first endpoint that says more than host and port decides. */
	assert_int_equal(policy_host(p, SPAN("h"), 82, false), POLICY_HOST_EXACT);
	assert_false(listed(p, "h", 82, "10.1.2.3"));
	struct policy_request r = request("any.name", "GET", "/");
	r.port = 81;
	assert_true(ask(p, &r).allowed && ask(p, &r).host_wildcard);
	policy_free(p);
}

static void test_no_network(void **state)
{
	struct policy *p = load("  {}\n");
	assert_int_equal(verdict(p, "h", "GET", "/"), POLICY_DENIED_NO_NETWORK);
	policy_free(p);
}

static void test_many_parameters(void **state)
{
	struct policy *p =
		load("  a:\n    binaries: [{ path: /b }]\n    endpoints:\n"
		     "      - { host: h, " REST ", rules: [{ allow: { method: GET, path: /,\n"
		     "          query: { k: \"v\" } } }] }\n");
	char query[8192];
	for (size_t i = 0; i < sizeof(query); i += 2)
		memcpy(query + i, "a&", 2);
	memcpy(query + sizeof(query) - 4, "&k=v", 4);
	struct policy_request r = request("h", "GET", "/");
	r.query = (struct span){ query, sizeof(query) };
	assert_int_equal(ask(p, &r).verdict, POLICY_ALLOWED);
	query[sizeof(query) - 1] = 'w';
	assert_int_equal(ask(p, &r).verdict, POLICY_DENIED_RULE);
	policy_free(p);
}

static struct policy *with_rules(unsigned n)
{
	_cleanup_buf_ struct buf text = BUF_INIT(1u << 20);
	buf_append_str(&text,
		       "  a:\n    binaries: [{ path: /b }]\n    endpoints:\n      - host: h\n"
		       "        port: 80\n        protocol: rest\n        enforcement: enforce\n"
		       "        rules:\n");
	for (unsigned i = 0; i < n; i++)
		buf_printf(&text, "          - allow: { method: GET, path: \"/things/%04u/*\" }\n",
			   i);
	return load(text.data);
}

/* Nanoseconds for many decisions, the best of several tries. */
static uint64_t time_of(const struct policy *p)
{
	struct policy_request r = request("h", "GET", "/things/0009/x");
	uint64_t best = UINT64_MAX;
	for (int t = 0; t < 7; t++) {
		struct timespec from, to;
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
		for (int i = 0; i < 20000; i++)
			assert_true(ask(p, &r).allowed);
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
		uint64_t ns = (uint64_t)(to.tv_sec - from.tv_sec) * 1000000000u +
			      (uint64_t)to.tv_nsec - (uint64_t)from.tv_nsec;
		best = ns < best ? ns : best;
	}
	return best;
}

/* Twice is far from a hundred times, and from what a busy machine adds. */
static void test_rules_cost_nothing(void **state)
{
	struct policy *few = with_rules(10), *many = with_rules(1000);
	uint64_t a = time_of(few), b = time_of(many);
	print_message("10 rules: %u ns, 1000 rules: %u ns each\n", (unsigned)(a / 20000),
		      (unsigned)(b / 20000));
	assert_true(b < a * 2);
	policy_free(few);
	policy_free(many);
}

/* ---- messages ---- */

#define CALLS(...)                                                                                 \
	&(struct policy_message)                                                                   \
	{                                                                                          \
		.calls = (const struct policy_call[]){ __VA_ARGS__ },                              \
		.n_calls = sizeof((const struct policy_call[]){ __VA_ARGS__ }) /                   \
			   sizeof(struct policy_call)                                              \
	}
#define CALL(name)                                                                                 \
	{                                                                                          \
		.method = SPAN(name)                                                               \
	}
#define TOOL(name)                                                                                 \
	{                                                                                          \
		.method = SPAN("tools/call"), .has_tool = true, .tool = SPAN(name)                 \
	}
#define ANSWER                                                                                     \
	&(struct policy_message)                                                                   \
	{                                                                                          \
		.response = true                                                                   \
	}
#define SENT(what)	  says(p, "POST", "/mcp", what)
#define ONE_MCP(fields)	  "  a:\n    binaries: [{ path: /b }]\n    endpoints:\n" MCP_ENTRY(fields)
#define MCP_ENTRY(fields) "      - { host: h, port: 80, protocol: mcp, " fields " }\n"
#define ENFORCE		  "enforcement: enforce, "

static enum policy_verdict says(const struct policy *p, const char *method, const char *path,
				const struct policy_message *m)
{
	struct policy_request r = request("h", method, path);
	assert_int_equal(ask(p, &r).verdict, POLICY_NEEDS_MESSAGE);
	assert_false(ask(p, &r).allowed);
	r.message = m;
	struct policy_decision d = ask(p, &r);
	assert_int_equal(d.allowed, d.verdict == POLICY_ALLOWED || d.audited);
	return d.verdict;
}

static void test_calls(void **state)
{
	struct policy *p =
		load(ONE_MCP(ENFORCE "rules: [{ allow: { method: tools/list } }, { allow: { "
				     "method: tools/call, tool: \"a_*\" } }],"
				     " deny_rules: [{ method: tools/call, tool: a_no }]"));
	assert_int_equal(SENT(CALLS(CALL("tools/list"))), POLICY_ALLOWED);
	assert_int_equal(SENT(CALLS(CALL("Tools/List"))), POLICY_DENIED_RULE);
	assert_int_equal(SENT(CALLS(CALL(""))), POLICY_DENIED_RULE);
	assert_int_equal(SENT(CALLS(TOOL("a_b"))), POLICY_ALLOWED);
	assert_int_equal(SENT(CALLS(TOOL("a_no"))), POLICY_DENIED_BY_RULE);
	assert_int_equal(SENT(CALLS(TOOL("b"))), POLICY_DENIED_RULE);
	/* A notification names no tool. */
	assert_int_equal(SENT(CALLS(CALL("tools/call"))), POLICY_DENIED_RULE);
	/* Each call must be allowed, whichever comes first. */
	assert_int_equal(SENT(CALLS(CALL("tools/list"), TOOL("a_b"))), POLICY_ALLOWED);
	assert_int_equal(SENT(CALLS(CALL("tools/list"), TOOL("b"))), POLICY_DENIED_RULE);
	assert_int_equal(SENT(CALLS(TOOL("a_no"), CALL("tools/list"))), POLICY_DENIED_BY_RULE);
	/* POST, as it is written; others have no calls. */
	assert_int_equal(says(p, "post", "/mcp", CALLS(CALL("tools/list"))), POLICY_DENIED_RULE);
	assert_int_equal(says(p, "PUT", "/mcp", CALLS(CALL("tools/list"))), POLICY_DENIED_RULE);
	assert_int_equal(SENT(ANSWER), POLICY_ALLOWED);
	const struct policy_call no = TOOL("b");
	assert_int_equal(
		SENT((&(struct policy_message){ .response = true, .calls = &no, .n_calls = 1 })),
		POLICY_DENIED_RULE);
	assert_int_equal(says(p, "GET", "/mcp", &(struct policy_message){ .stream = true }),
			 POLICY_ALLOWED);
	assert_int_equal(says(p, "get", "/mcp", &(struct policy_message){ .stream = true }),
			 POLICY_DENIED_RULE);
	assert_int_equal(says(p, "GET", "/mcp", &(struct policy_message){ .refused = "x" }),
			 POLICY_DENIED_MESSAGE);
	policy_free(p);
}

static void test_all_methods(void **state)
{
	struct policy *p = load(ONE_MCP(ENFORCE "mcp: { allow_all_known_mcp_methods: true },"
						" deny_rules: [{ tool: no }, { method: ping }]"));
	assert_int_equal(SENT(CALLS(CALL("anything"))), POLICY_ALLOWED);
	assert_int_equal(SENT(CALLS(CALL(""))), POLICY_DENIED_RULE);
	assert_int_equal(SENT(CALLS(TOOL("yes"))), POLICY_ALLOWED);
	assert_int_equal(SENT(CALLS(TOOL("no"))), POLICY_DENIED_BY_RULE);
	assert_int_equal(SENT(CALLS(CALL("ping"))), POLICY_DENIED_BY_RULE);
	policy_free(p);
	p = load(ONE_MCP(
		ENFORCE
		"mcp: { allow_all_known_mcp_methods: true }, rules: [{ allow: { tool: yes } }]"));
	assert_int_equal(SENT(CALLS(CALL("anything"))), POLICY_ALLOWED);
	assert_int_equal(SENT(CALLS(TOOL("yes"))), POLICY_ALLOWED);
	assert_int_equal(SENT(CALLS(TOOL("no"))), POLICY_DENIED_RULE);
	assert_int_equal(SENT(CALLS(CALL("tools/call"))), POLICY_DENIED_RULE);
	policy_free(p);
}

static void test_generic_calls(void **state)
{
	struct policy *p =
		load("  a:\n    binaries: [{ path: /b }]\n    endpoints:\n"
		     "      - { host: h, port: 80, protocol: json-rpc, " ENFORCE
		     "rules: [{ allow: { method: \"*\" } }], deny_rules: [{ method: a.b }] }\n");
	assert_int_equal(SENT(CALLS(CALL("a.c"))), POLICY_ALLOWED);
	assert_int_equal(SENT(CALLS(CALL("a.b"))), POLICY_DENIED_BY_RULE);
	assert_int_equal(SENT(CALLS(CALL(""))), POLICY_DENIED_RULE);
	assert_int_equal(SENT(ANSWER), POLICY_DENIED_RESPONSE);
	assert_int_equal(says(p, "GET", "/mcp", &(struct policy_message){ .stream = true }),
			 POLICY_DENIED_RULE);
	policy_free(p);
}

static void test_audit_does_not_forgive_messages(void **state)
{
	struct policy *p =
		load(ONE_MCP("enforcement: audit, rules: [{ allow: { method: ping } }]"));
	struct policy_request r = request("h", "POST", "/mcp");
	const struct policy_call ping = CALL("ping");
	r.message = CALLS(CALL("ping"), CALL("no"), CALL("ping"));
	struct policy_decision d = ask(p, &r);
	assert_true(d.allowed && d.audited);
	assert_int_equal(d.verdict, POLICY_DENIED_RULE);
	assert_int_equal(SENT(&(struct policy_message){ .refused = "x" }), POLICY_DENIED_MESSAGE);
	/* What a server may read otherwise is refused where it would be allowed. */
	assert_int_equal(
		SENT((&(struct policy_message){ .calls = &ping, .n_calls = 1, .doubtful = "x" })),
		POLICY_DENIED_MESSAGE);
	assert_int_equal(SENT((&(struct policy_message){ .response = true, .doubtful = "x" })),
			 POLICY_DENIED_MESSAGE);
	policy_free(p);
}

/* Rules of all entries with the host unite; whether a body is read is up to the most specific one. */
static void test_messages_and_requests_unite(void **state)
{
	struct policy *p = load(
		ONE_MCP(ENFORCE "path: /mcp, mcp: { max_body_bytes: 9, strict_tool_names: false },"
				" rules: [{ allow: { method: ping } }]")
			MCP_ENTRY(ENFORCE "path: /mc*, rules: [{ allow: { method: x } "
					  "}]") "      - { host: h, " REST
						", rules: [{ allow: { method: POST, "
						"path: /mcp, "
						"query: { q: \"1\" } } }, { allow: { "
						"method: PUT, path: \"**\" } }] }\n");
	struct policy_request r = request("h", "POST", "/mcp");
	struct policy_decision d = ask(p, &r);
	assert_int_equal(d.verdict, POLICY_NEEDS_MESSAGE);
	assert_int_equal(d.inspection.protocol, POLICY_PROTOCOL_MCP);
	assert_int_equal(d.inspection.body_bytes, 9);
	assert_false(d.inspection.strict_tool_names);
	assert_int_equal(SENT(CALLS(CALL("ping"))), POLICY_ALLOWED);
	assert_int_equal(SENT(CALLS(CALL("x"))), POLICY_ALLOWED);
	assert_int_equal(SENT(CALLS(CALL("y"))), POLICY_DENIED_RULE);
	r.query = SPAN("q=1");
	r.message = CALLS(CALL("y"));
	assert_int_equal(ask(p, &r).verdict, POLICY_ALLOWED);
	/* Elsewhere there is no message, and rules about them count for nothing. */
	assert_int_equal(verdict(p, "h", "PUT", "/other"), POLICY_ALLOWED);
	assert_int_equal(verdict(p, "h", "POST", "/other"), POLICY_DENIED_RULE);
	policy_free(p);
}

/* A tunnel passes as it is only where every entry that this program may use says so. */
static void test_tls_skip(void **state)
{
	struct policy *p = load("  a:\n"
				"    endpoints:\n"
				"      - { host: h, port: 80, tls: skip }\n"
				"      - { host: both, port: 80, tls: skip }\n"
				"    binaries: [{ path: /b }]\n"
				"  c:\n"
				"    endpoints:\n"
				"      - { host: both, " REST ", access: full }\n"
				"      - { host: h, " REST ", access: full }\n"
				"    binaries: [{ path: /other }]\n"
				"  d:\n"
				"    endpoints: [{ host: both, port: 80 }]\n"
				"    binaries: [{ path: /b }]\n");
	struct policy_request r = request("h", "CONNECT", "");
	r.via = POLICY_VIA_CONNECT;
	assert_true(ask(p, &r).tls_skip);
	r.host = SPAN("both");
	assert_false(ask(p, &r).tls_skip);
	r = request("h", "GET", "/");
	r.binary = "/other";
	assert_false(ask(p, &r).tls_skip);
	assert_true(policy_looks_into_tls(p));
	assert_true(policy_tls_looked_into(p, span_of("h"), 80));
	assert_true(policy_tls_looked_into(p, span_of("both"), 80));
	assert_false(policy_tls_looked_into(p, span_of("both"), 81));
	policy_free(p);
	p = load("  a: { endpoints: [{ host: h, port: 80, tls: skip }], binaries: [{ path: /b }] "
		 "}\n");
	assert_false(policy_looks_into_tls(p));
	assert_false(policy_tls_looked_into(p, span_of("h"), 80));
	policy_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_policies_unite),
		cmocka_unit_test(test_settings),
		cmocka_unit_test(test_audit_does_not_forgive_targets),
		cmocka_unit_test(test_who_asks),
		cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_hosts_by_wildcards_only),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_no_network),
		cmocka_unit_test(test_many_parameters),
		cmocka_unit_test(test_calls),
		cmocka_unit_test(test_all_methods),
		cmocka_unit_test(test_generic_calls),
		cmocka_unit_test(test_audit_does_not_forgive_messages),
		cmocka_unit_test(test_messages_and_requests_unite),
		cmocka_unit_test(test_rules_cost_nothing),
		cmocka_unit_test(test_tls_skip),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
