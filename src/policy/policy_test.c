/* SPDX-License-Identifier: Apache-2.0 */
/* Tests loading: the sandbox's sections, every error at its place, every warning. */
#include "policy/policy.h"

#include "base/cleanup.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct policy *must_load(const char *text)
{
	struct policy *p = NULL;
	struct error e = { 0 };
	char where[700];
	if (policy_load(text, strlen(text), "p.yaml", &p, &e) < 0)
		fail_msg("%s", error_format(&e, where, sizeof(where)));
	return p;
}

static void refused(const char *text, unsigned line, unsigned column, const char *part)
{
	struct policy *p = NULL;
	struct error e = { 0 };
	assert_int_equal(policy_load(text, strlen(text), "p.yaml", &p, &e), -EINVAL);
	assert_null(p);
	assert_string_equal(e.file, "p.yaml");
	if (e.line != line || e.column != column || !strstr(e.message, part))
		fail_msg("%u:%u: %s", e.line, e.column, e.message);
}

/* An endpoint in its policy, on line 4, its braces in column 7. */
static void endpoint(char out[2000], const char *fields)
{
	snprintf(out, 2000,
		 "version: 1\nnetwork_policies:\n  n: { binaries: [{ path: /b }], endpoints: [\n   "
		 " { "
		 "%s } ] }\n",
		 fields);
}

static void endpoint_refused(const char *fields, unsigned column, const char *part)
{
	char text[2000];
	endpoint(text, fields);
	refused(text, 4, column, part);
}

static void endpoint_warns(const char *fields, const char *part)
{
	char text[2000];
	size_t n = 0;
	endpoint(text, fields);
	struct policy *p = must_load(text);
	const struct policy_warning *w = policy_warnings(p, &n);
	if (n != 1 || !strstr(w->message, part))
		fail_msg("%zu warnings: %s", n, n ? w->message : "");
	assert_int_equal(w->line, 4);
	policy_free(p);
}

static void test_sections(void **state)
{
	struct policy *p = must_load("version: 1\n"
				     "filesystem_policy:\n"
				     "  include_workdir: true\n"
				     "  read_only: [/usr, /etc/]\n"
				     "  read_write:\n"
				     "    - /tmp\n"
				     "landlock: { compatibility: hard_requirement }\n"
				     "process: { run_as_user: sandbox, run_as_group: 1000 }\n");
	const struct policy_filesystem *fs = policy_filesystem(p);
	assert_true(fs->present && fs->include_workdir);
	assert_int_equal(fs->n_read_only, 2);
	assert_string_equal(fs->read_only[1].path, "/etc");
	assert_int_equal(fs->read_only[1].line, 4);
	assert_int_equal(fs->n_read_write, 1);
	assert_string_equal(fs->read_write[0].path, "/tmp");
	assert_int_equal(fs->read_write[0].line, 6);
	assert_int_equal(fs->read_write[0].column, 7);
	assert_int_equal(policy_landlock(p), POLICY_LANDLOCK_HARD_REQUIREMENT);
	assert_string_equal(policy_process(p)->run_as_user, "sandbox");
	assert_string_equal(policy_process(p)->run_as_group, "1000");
	assert_false(policy_has_network(p));
	assert_string_equal(policy_file(p), "p.yaml");
	policy_free(p);
}

static void test_defaults(void **state)
{
	struct policy *p = must_load("version: 1\n");
	size_t n = 7;
	assert_false(policy_filesystem(p)->present);
	assert_true(policy_filesystem(p)->include_workdir);
	assert_int_equal(policy_landlock(p), POLICY_LANDLOCK_BEST_EFFORT);
	assert_null(policy_process(p)->run_as_user);
	policy_warnings(p, &n);
	assert_int_equal(n, 0);
	policy_free(p);
	p = must_load("version: 1\nfilesystem_policy: {}\nprocess: { run_as_user: \"\" }\n");
	assert_true(policy_filesystem(p)->present);
	assert_false(policy_filesystem(p)->include_workdir);
	assert_null(policy_process(p)->run_as_user);
	policy_free(p);
}

static void test_refused_sections(void **state)
{
	refused("", 1, 1, "empty");
	refused("process: {}\n", 1, 1, "\"version\" is missing");
	refused("version: 2\n", 1, 10, "version 1 only");
	refused("version: \"1\"\n", 1, 10, "version 1 only");
	refused("[a]\n", 1, 1, "expected a mapping");
	refused("version: 1\nfilesystem: {}\n", 2, 1, "did you mean \"filesystem_policy\"?");
	refused("version: 1\nnetwork_middlewares: {}\n", 2, 1, "not supported yet");
	refused("version: 1\nfilesystem_policy: { read_onyl: [] }\n", 2, 22, "\"read_only\"?");
	refused("version: 1\nfilesystem_policy: { read_only: /usr }\n", 2, 33, "expected a list");
	refused("version: 1\nfilesystem_policy: { read_only: [usr] }\n", 2, 34, "not absolute");
	refused("version: 1\nfilesystem_policy: { read_only: [/a/../b] }\n", 2, 34, "\"..\"");
	refused("version: 1\nfilesystem_policy: { read_only: [/a/.] }\n", 2, 34, "\".\"");
	refused("version: 1\nfilesystem_policy: { read_only: [/a//b] }\n", 2, 34, "\"//\"");
	refused("version: 1\nfilesystem_policy: { read_only: [\"/a\\n\"] }\n", 2, 34, "control");
	refused("version: 1\nfilesystem_policy: { read_write: [/] }\n", 2, 35, "open everything");
	refused("version: 1\nfilesystem_policy: { include_workdir: yes }\n", 2, 39,
		"true or false");
	refused("version: 1\nlandlock: { compatibility: strict }\n", 2, 28, "hard_requirement");
	refused("version: 1\nprocess: { run_as_user: root }\n", 2, 25, "not root");
	refused("version: 1\nprocess: { run_as_user: \"0\" }\n", 2, 25, "1 to 4294967294");
	refused("version: 1\nprocess: { run_as_group: 4294967295 }\n", 2, 26, "1 to 4294967294");
	refused("version: 1\nprocess: { run_as_user: \"a b\" }\n", 2, 25, "no name and no number");
	refused("version: 1\nnetwork_policies: ~\n", 2, 19, "expected a mapping");
	refused("version: 1\nnetwork_policies: { p: ~ }\n", 2, 24, "expected a mapping");
}

static void test_too_many_paths(void **state)
{
	char text[8192] = "version: 1\nfilesystem_policy:\n  read_only:\n";
	size_t n = strlen(text);
	for (int i = 0; i < 256; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "  - /p%d\n", i);
	policy_free(must_load(text));
	snprintf(text + n, sizeof(text) - n, "  - /one/more\n");
	refused(text, 260, 5, "more than 256 paths");
}

static void test_refused_endpoints(void **state)
{
	endpoint_refused("port: 80", 5, "no \"host\"");
	endpoint_refused("host: h", 5, "no \"port\"");
	endpoint_refused("host: \"\", port: 80", 13, "the host is empty");
	endpoint_refused("host: \"*\", port: 80", 13, "every host");
	endpoint_refused("host: \"**.com\", port: 80", 13, "top-level");
	endpoint_refused("host: \"a**.b.c\", port: 80", 13, "whole first label");
	endpoint_refused("host: \"a.**.c\", port: 80", 13, "whole first label");
	endpoint_refused("host: \"a.x*.b.c\", port: 80", 13, "whole label");
	endpoint_refused("host: \"[ab]*.b.c\", port: 80", 13, "");
	endpoint_refused("host: \"{a*}.b.c\", port: 80", 13, "not supported");
	endpoint_refused("host: \"http://h\", port: 80", 13, "URL");
	endpoint_refused("host: \"h:80\", port: 80", 13, "write the port");
	endpoint_refused("host: \"[::1]\", port: 80", 13, "without [ ]");
	endpoint_refused("host: \"a b\", port: 80", 13, "character");
	endpoint_refused("host: 10, port: 80", 13, "number");
	endpoint_refused("host: h, port: 0", 22, "1 to 65535");
	endpoint_refused("host: h, port: \"80\"", 22, "1 to 65535");
	endpoint_refused("host: h, ports: 80", 23, "expected a list");
	endpoint_refused("host: h, ports: []", 23, "empty");
	endpoint_refused("host: h, ports: [80, 70000]", 28, "1 to 65535");
	endpoint_refused("host: h, port: 80, path: \"*\"", 32, "begins with");
	endpoint_refused("host: h, port: 80, path: \"/[\"", 32, "[ has no ]");
	endpoint_refused("host: h, port: 80, protocol: graphql", 36, "not supported yet");
	endpoint_refused("host: h, port: 80, protocol: MCP", 36, "lower case: mcp");
	endpoint_refused("host: h, port: 80, protocol: ftp", 36, "unknown protocol");
	endpoint_refused("host: h, port: 80, protocol: rst", 36, "did you mean \"rest\"?");
	endpoint_refused("host: h, port: 80, tls: maybe", 31, "write skip");
	endpoint_refused("host: h, port: 80, protocol: rest", 5, "\"rules\" or \"access\"");
	endpoint_refused("host: h, port: 80, deny_rules: [{ method: GET, path: / }]", 38,
			 "need a \"protocol\"");
	endpoint_refused("host: h, port: 80, allowed_ips: 10.0.0.1", 39, "expected a list");
	endpoint_refused("host: h, port: 80, allowed_ips: []", 39, "empty");
	endpoint_refused("host: h, port: 80, allowed_ips: [10.0.0]", 40, "no address");
	endpoint_refused("host: h, port: 80, allowed_ips: [10.0.0.0/33]", 40, "0 to 32");
	endpoint_refused("host: h, port: 80, allowed_ips: [127.0.0.1]", 40, "loopback");
	endpoint_refused("host: h, port: 80, allowed_ips: [169.254.0.0/20]", 40, "link-local");
	endpoint_refused("host: h, port: 80, allowed_ips: [0.0.0.0/0]", 40, "loopback");
	endpoint_refused("host: h, port: 80, allowed_ips: [\"::1\"]", 40, "loopback");
	endpoint_refused("host: h, port: 80, allowed_ips: [\"fe80::/64\"]", 40, "link-local");
	endpoint_refused("host: h, port: 80, allowed_ips: [\"::ffff:10.0.0.1\"]", 40, "");
	endpoint_refused("host: h, port: 80, enforcemint: enforce", 26, "\"enforcement\"?");
}

#define RPC  "host: h, port: 80, protocol: json-rpc, enforcement: enforce, "
#define MCP  "host: h, port: 80, protocol: mcp, enforcement: enforce, "
#define ALL  "mcp: { allow_all_known_mcp_methods: true }, "
#define ANY  "mcp: { strict_tool_names: false }, "
#define PING "rules: [{ allow: { method: ping } }]"
#define REST "host: h, port: 80, protocol: rest, enforcement: enforce, " /* 57 bytes */

static void test_refused_rules(void **state)
{
	endpoint_refused(REST "access: readonly", 72, "did you mean read-only?");
	endpoint_refused(REST "access: full, rules: []", 85, "exclude each other");
	endpoint_refused(REST "rules: []", 71, "deny everything");
	endpoint_refused(REST "rules: [{}]", 71, "no rule here allows anything");
	endpoint_refused(REST "rules: [{ deny: {} }]", 74, "unknown key");
	endpoint_refused(REST "rules: [{ allow: { metho: GET } }]", 83, "\"method\"?");
	endpoint_refused(REST "rules: [{ allow: { tool: x } }]", 83, "for rules of protocol mcp");
	endpoint_refused(REST "rules: [{ allow: { command: x } }]", 83, "not supported yet");
	endpoint_refused(REST "rules: [{ allow: { path: \"/{\" } }]", 89, "{ has no }");
	endpoint_refused(REST "access: full, deny_rules: []", 90, "do nothing");
	endpoint_refused(REST "access: full, deny_rules: [{ query: x }]", 100,
			 "expected a mapping");
	endpoint_refused(REST "access: full, deny_rules: [{ query: { a: 1 } }]", 105, "as text");
	endpoint_refused(REST "access: full, deny_rules: [{ query: { a: { any: [] } } }]", 112,
			 "at least one");
	endpoint_refused(REST "access: full, deny_rules: [{ query: { a: { any: [1] } } }]", 113,
			 "in quotes");
	endpoint_refused(REST "access: full, deny_rules: [{ query: { a: { al: [x] } } }]", 107,
			 "unknown key");
	endpoint_refused(REST "access: full, deny_rules: [{ query: { a: {} } }]", 105, "either");
	endpoint_refused(REST "access: full, deny_rules: [{ query: { a: \"[\" } }]", 105,
			 "[ has no ]");
}

/* The same at the ^ among the fields, or at the endpoint itself. */
static void marked_refused(const char *fields, const char *part)
{
	char plain[1000];
	const char *mark = strchr(fields, '^');
	size_t n = mark ? (size_t)(mark - fields) : strlen(fields);
	snprintf(plain, sizeof(plain), "%.*s%s", (int)n, fields, mark ? mark + 1 : "");
	endpoint_refused(plain, mark ? (unsigned)n + 7 : 5, part);
}

static void test_refused_rpc_settings(void **state)
{
	marked_refused(RPC "^access: full", "no \"access\"");
	marked_refused(RPC "json_rpc: { max_body_bytes: 9 }", "needs \"rules\"");
	marked_refused(RPC "rules: ^[]", "at least one rule");
	marked_refused(RPC PING ", json_rpc: { ^max_body_byte: 1 }", "\"max_body_bytes\"?");
	marked_refused(RPC PING ", json_rpc: { max_body_bytes: ^-1 }", "0 to 4294967295");
	marked_refused(RPC PING ", json_rpc: { max_body_bytes: ^4194305 }",
		       "4194304 bytes are the most");
	marked_refused(RPC PING ", json_rpc: ^7", "expected a mapping");
	marked_refused(RPC PING ", mcp: { ^strict_tool_names: true }", "for protocol mcp");
	marked_refused(REST "access: full, mcp: { ^strict_tool_names: true }", "for protocol mcp");
	marked_refused(REST "access: full, mcp: { ^allow_all_known_mcp_methods: true }",
		       "for protocol mcp");
	marked_refused(MCP "^access: full", "no \"access\"");
	marked_refused(MCP "deny_rules: [{ method: ping }]", "allow_all_known_mcp_methods: true");
	marked_refused(MCP PING ", mcp: { ^nope: 1 }", "unknown key");
	marked_refused(MCP PING ", mcp: { strict_tool_names: ^1 }", "true or false");
	marked_refused("port: 80, allowed_ips: [10.0.0.1], protocol: mcp, " PING,
		       "needs a \"host\"");
	marked_refused("host: h, protocol: mcp, " PING, "no \"port\"");
}

static void test_refused_rpc_rules(void **state)
{
	marked_refused(RPC "rules: [{ allow: { ^path: /x } }]", "not a path or query");
	marked_refused(RPC "rules: [{ allow: { method: a, ^query: { k: v } } }]",
		       "not a path or query");
	marked_refused(RPC "rules: [{ allow: ^{} }]", "needs \"method\"");
	marked_refused(RPC "rules: [^{}]", "write a rule as");
	marked_refused(RPC "rules: [{ allow: { ^fields: [] } }]", "not supported yet");
	marked_refused(RPC "rules: [{ allow: { method: ^\"a.*\" } }]", "have no wildcards");
	marked_refused(RPC "rules: [{ allow: { method: a, ^params: { name: x } } }]",
		       "no \"params\"");
	marked_refused(RPC "rules: [{ allow: { method: a, ^tool: x } }]",
		       "for rules of protocol mcp");
	marked_refused(RPC PING ", deny_rules: ^[]", "remove it");
	marked_refused(RPC PING ", deny_rules: [{ method: ^\"b*\" }]", "have no wildcards");
	marked_refused(MCP "rules: [{ allow: { method: ping, ^path: /x } }]",
		       "not a path or query");
	marked_refused(MCP "rules: [{ allow: { method: ^\"*\" } }]", "only methods of tools/");
	marked_refused(MCP "rules: [{ allow: { method: ^\"resources/*\" } }]",
		       "only methods of tools/");
	marked_refused(MCP "rules: [{ allow: { method: ^\"tools/[\" } }]", "[ has no ]");
	marked_refused(MCP "rules: [{ allow: ^{ tool: x } }]", "method: tools/call");
	marked_refused(MCP "rules: [{ allow: { method: ^tools/list, tool: x } }]",
		       "about method tools/call");
	marked_refused(MCP "rules: [{ allow: { method: ^\"tools/*\", tool: x } }]",
		       "about method tools/call");
	marked_refused(MCP "rules: [{ allow: { method: tools/call, tool: ^7 } }]", "as text");
	marked_refused(MCP
		       "rules: [{ allow: { method: tools/call, tool: x, params: { ^name: y } } }]",
		       "keep one of them");
	marked_refused(MCP "rules: [{ allow: { method: tools/call, params: { ^arguments: x } } }]",
		       "only \"name\"");
	marked_refused(MCP "rules: [^{ allow: { method: tools/call } }, "
			   "{ allow: { method: tools/call, tool: x } }]",
		       "allows every call of a tool");
	marked_refused(MCP "rules: [{ allow: { method: tools/call, tool: x } }, "
			   "^{ allow: { method: \"tools/*\" } }]",
		       "allows every call of a tool");
	marked_refused(MCP ALL "rules: [^{ allow: {} }, { allow: { tool: x } }]",
		       "allows every call of a tool");
	marked_refused(MCP "rules: [{ allow: { method: tools/call, tool: x } }], "
			   "deny_rules: [^{ method: tools/call }]",
		       "denies every call of a tool");
	marked_refused(MCP ANY "rules: [{ allow: { method: tools/call, tool: ^\"a*\" } }]",
		       "need mcp.strict_tool_names");
	marked_refused(MCP ANY
		       "rules: [{ allow: { method: tools/call, tool: ^{ any: [a, \"b?\"] } } }]",
		       "need mcp.strict_tool_names");
}

static void test_refused_binaries(void **state)
{
	refused("version: 1\nnetwork_policies: { n: { binaries: [/b] } }\n", 2, 37,
		"{ path: \"/b\" }");
	refused("version: 1\nnetwork_policies: { n: { binaries: [{}] } }\n", 2, 37, "no \"path\"");
	refused("version: 1\nnetwork_policies: { n: { binaries: [{ path: b }] } }\n", 2, 45,
		"not absolute");
	refused("version: 1\nnetwork_policies: { n: { binaries: [{ path: \"/*[\" }] } }\n", 2, 45,
		"malformed");
	refused("version: 1\nnetwork_policies: { n: { binaries: [{ patth: b }] } }\n", 2, 39,
		"\"path\"?");
}

static void test_warnings(void **state)
{
	endpoint_warns("host: h, port: 80", "every method and path is allowed");
	endpoint_warns("host: h, port: 80, access: full", "are ignored");
	endpoint_warns("host: h, port: 80, protocol: rest, access: full", "means audit");
	endpoint_warns("host: h, port: 80, protocol: rest, access: full, enforcement: Enforce",
		       "write enforce");
	endpoint_warns(REST "access: full, allowed_ips: [10.0.0.0/8]", "very broad");
	endpoint_warns(REST "access: full, ports: [1]", "ignored beside");
	endpoint_warns(REST "access: full, tls: skip", "the rules hold for plain HTTP");
	endpoint_warns(REST "access: full, tls: terminate", "has no effect");
	endpoint_warns(REST "access: full, tls: passthrough", "write \"tls: skip\"");
	endpoint_warns("host: \"?.x\", port: 80, protocol: rest, enforcement: audit, access: full",
		       "only \"*\" is a wildcard");
	endpoint_warns(REST "rules: [{ allow: { method: GET } }]", "write path: \"**\"");
	endpoint_warns(REST "rules: [{ allow: { path: / } }]", "write method: \"*\"");
	endpoint_warns(REST "rules: [{}, { allow: { method: GET, path: / } }]",
		       "without \"allow\"");
	endpoint_warns(REST "rules: [{ allow: { method: \"GET,PUT\", path: / } }]", "one method");
	endpoint_warns(REST "rules: [{ allow: { method: \"P*\", path: / } }]", "one method");
	endpoint_warns(REST "rules: [{ allow: { method: G!T, path: / } }]", "unusual");
	endpoint_warns(REST "rules: [{ allow: { method: GET, path: a } }]", "begin it with");
	endpoint_warns(REST "rules: [{ allow: { method: GET, path: \"/a b\" } }]", "\"/a%20b\"");
	endpoint_warns(REST "rules: [{ allow: { method: GET, path: \"/\u00e9\" } }]",
		       "\"/%C3%A9\"");
	endpoint_warns(REST "rules: [{ allow: { method: GET, path: /%41 } }]", "\"/A\"");
	endpoint_warns(REST "rules: [{ allow: { method: GET, path: /a/../b/* } }]", "\"/b/\"");
	endpoint_warns(REST "rules: [{ allow: { method: GET, path: /../b } }]", "canonical form");
	endpoint_warns(REST "access: full, mcp: { max_body_bytes: 9 }", "is ignored without");
	endpoint_warns(RPC PING ", json_rpc: { max_body_bytes: 0 }", "65536 bytes");
	endpoint_warns(MCP PING ", json_rpc: { max_body_bytes: 1 }, mcp: { max_body_bytes: 2 }",
		       "beside that of \"json_rpc\"");
	endpoint_warns("host: h, port: 80, protocol: json-rpc, " PING, "means audit");
}

static void test_no_warnings(void **state)
{
	static const char *const good[] = {
		"rules: [{ allow: { method: \"*\", path: \"**\" } }]",
		"rules: [{ allow: { method: get, path: \"/a/*/b/**\" } }]",
		"rules: [{ allow: { method: M-SEARCH, path: \"/a%2Fb/c*d\" } }]",
		"rules: [{ allow: { method: GET, path: \"**/x\" } }]",
		"access: read-only, path: \"/v1/**\", allow_encoded_slash: true",
		"access: full, deny_rules: [{ method: GET, path: /a, query: { a: { glob: \"x*\" } "
		"} }]",
		"access: full, deny_rules: [{ method: GET, path: /, query: { b: { any: [y, \"1\"] "
		"} } }]",
	};
	static const char *const good_rpc[] = {
		RPC "rules: [{ allow: { method: \"*\" } }], json_rpc: { max_body_bytes: 4194304 }",
		RPC "rules: [{ allow: { method: a.b } }], deny_rules: [{ method: c }], json_rpc: ~",
		MCP ALL "deny_rules: [{ tool: x }, { method: ping }]",
		MCP ALL "rules: [{ allow: {} }]",
		MCP ALL "rules: [{ allow: { tool: \"a*\" } }]",
		MCP ANY "rules: [{ allow: { method: tools/call, tool: { any: [\"odd tool\"] } } }]",
		MCP "rules: [{ allow: { method: \"tools/*\" } }]",
		MCP
		"rules: [{ allow: { method: tools/call, params: { name: { glob: \"a*\" } } } }]",
		MCP PING ", mcp: { max_body_bytes: 1, strict_tool_names: true }, path: /mcp",
	};
	for (size_t i = 0; i < ELEMENTS(good) + ELEMENTS(good_rpc); i++) {
		char fields[1000], text[2000];
		size_t n = 0;
		if (i < ELEMENTS(good))
			snprintf(fields, sizeof(fields), "%s%s", REST, good[i]);
		else
			snprintf(fields, sizeof(fields), "%s", good_rpc[i - ELEMENTS(good)]);
		endpoint(text, fields);
		struct policy *p = must_load(text);
		const struct policy_warning *w = policy_warnings(p, &n);
		if (n)
			fail_msg("%s: %s", fields, w->message);
		policy_free(p);
	}
}

static void test_endpoints_are_told(void **state)
{
	struct policy *p =
		must_load("version: 1\n"
			  "network_policies:\n"
			  "  z:\n"
			  "    endpoints:\n"
			  "      - { host: Z.Test, ports: [1, 2] }\n"
			  "    binaries: [{ path: /b }]\n"
			  "  a:\n"
			  "    endpoints:\n"
			  "      - { host: \"*.a.test\", port: 80, protocol: rest, path: /x,\n"
			  "          enforcement: enforce, access: full }\n");
	struct policy_endpoint ep;
	size_t n = 0;
	assert_true(policy_has_network(p));
	assert_int_equal(policy_endpoint_count(p), 2);
	policy_endpoint(p, 0, &ep);
	assert_string_equal(ep.policy, "a");
	assert_true(ep.host_wildcard && ep.inspected && ep.enforced);
	assert_string_equal(ep.path, "/x");
	assert_int_equal(ep.line, 9);
	policy_endpoint(p, 1, &ep);
	assert_string_equal(ep.host, "z.test");
	assert_false(ep.host_wildcard || ep.inspected || ep.enforced);
	assert_int_equal(ep.n_ports, 2);
	assert_int_equal(ep.ports[1], 2);
	assert_null(ep.path);
	/* In the order of the lines, though the policies are in the order of their keys. */
	const struct policy_warning *w = policy_warnings(p, &n);
	assert_int_equal(n, 2);
	assert_int_equal(w[0].line, 5);
	assert_int_equal(w[1].line, 7);
	policy_free(p);
}

static void test_file(void **state)
{
	struct policy *p = NULL;
	struct error e = { 0 };
	assert_int_equal(policy_load_file("/proc/none/p.yaml", &p, &e), -ENOENT);
	assert_string_equal(e.file, "/proc/none/p.yaml");
	assert_null(p);
	policy_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sections),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_refused_sections),
		cmocka_unit_test(test_too_many_paths),
		cmocka_unit_test(test_refused_endpoints),
		cmocka_unit_test(test_refused_rules),
		cmocka_unit_test(test_refused_rpc_settings),
		cmocka_unit_test(test_refused_rpc_rules),
		cmocka_unit_test(test_refused_binaries),
		cmocka_unit_test(test_warnings),
		cmocka_unit_test(test_no_warnings),
		cmocka_unit_test(test_endpoints_are_told),
		cmocka_unit_test(test_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
