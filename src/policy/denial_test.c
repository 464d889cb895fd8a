/* SPDX-License-Identifier: Apache-2.0 */
/* Tests the bodies of refusals byte for byte, and that nothing a client sends breaks or outgrows them. */
#include "policy/denial.h"

#include "base/cleanup.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const char *const ancestors[] = { "/usr/bin/dash", "/sbin/init" };

static struct policy_request request(enum policy_via via)
{
	return (struct policy_request){
		.via = via,
		.host = SPAN("Host"),
		.port = 9090,
		.method = SPAN("GET"),
		.raw_path = SPAN("/a/../x"),
		.path = SPAN("/x"),
		.binary = "/usr/bin/curl",
		.ancestors = ancestors,
		.n_ancestors = 2,
	};
}

static void is(enum policy_via via, enum policy_verdict verdict, unsigned status,
	       const char *wanted)
{
	char out[DENIAL_SIZE];
	size_t n = 0;
	struct policy_request r = request(via);
	struct policy_decision d = { .verdict = verdict, .policy = "p" };
	d.refusing[d.n_refusing++] = "p";
	assert_int_equal(denial_write(&r, &d, out, sizeof(out), &n), 0);
	assert_string_equal(out, wanted);
	assert_int_equal(n, strlen(wanted));
	assert_int_equal(denial_status(&d), status);
}

static void test_forward(void **state)
{
	is(POLICY_VIA_FORWARD, POLICY_DENIED_ENDPOINT, 403,
	   "{\"detail\":\"GET host:9090/a/../x not permitted by "
	   "policy\",\"error\":\"policy_denied\"}");
	is(POLICY_VIA_FORWARD, POLICY_DENIED_BINARY, 403,
	   "{\"detail\":\"GET host:9090/a/../x not permitted by "
	   "policy\",\"error\":\"policy_denied\"}");
	is(POLICY_VIA_FORWARD, POLICY_DENIED_RULE, 403,
	   "{\"detail\":\"GET host:9090/x denied by L7 policy: GET /x not permitted by policy\","
	   "\"error\":\"policy_denied\"}");
	is(POLICY_VIA_FORWARD, POLICY_DENIED_BY_RULE, 403,
	   "{\"detail\":\"GET host:9090/x denied by L7 policy: GET /x blocked by deny rule\","
	   "\"error\":\"policy_denied\"}");
	is(POLICY_VIA_FORWARD, POLICY_DENIED_PATH, 403,
	   "{\"detail\":\"GET host:9090/x did not match an L7 endpoint path\",\"error\":"
	   "\"policy_denied\"}");
	is(POLICY_VIA_FORWARD, POLICY_BAD_SLASH, 400, denial_bad_target);
	is(POLICY_VIA_INSIDE, POLICY_BAD_QUERY, 400, denial_bad_target);
}

static void test_connect(void **state)
{
	is(POLICY_VIA_CONNECT, POLICY_DENIED_ENDPOINT, 403,
	   "{\"detail\":\"CONNECT host:9090 not permitted by policy\",\"error\":\"policy_denied\","
	   "\"reason\":\"endpoint host:9090 is not allowed by any policy\"}");
	is(POLICY_VIA_CONNECT, POLICY_DENIED_NO_NETWORK, 403,
	   "{\"detail\":\"CONNECT host:9090 not permitted by policy\",\"error\":\"policy_denied\","
	   "\"reason\":\"network connections not allowed by policy\"}");
	is(POLICY_VIA_CONNECT, POLICY_DENIED_BINARY, 403,
	   "{\"detail\":\"CONNECT host:9090 not permitted by policy\",\"error\":\"policy_denied\","
	   "\"reason\":\"binary '/usr/bin/curl' not allowed in policy 'p' (ancestors: "
	   "[/usr/bin/dash -> /sbin/init], cmdline: []). SYMLINK HINT: the binary path is "
	   "the "
	   "kernel-resolved target from /proc/<pid>/exe, not the symlink. If your policy specifies "
	   "a "
	   "symlink (e.g., /usr/bin/python3) but the actual binary is /usr/bin/python3.11, either: "
	   "(1) "
	   "use the canonical path in your policy (run 'readlink -f /usr/bin/python3' inside the "
	   "sandbox), or (2) ensure symlink resolution is working (check sandbox logs for 'Cannot "
	   "access container filesystem')\"}");
}

/* The program itself, then an ancestor. */
static void test_changed(void **state)
{
	static char out[DENIAL_SIZE];
	struct policy_request r = request(POLICY_VIA_CONNECT);
	struct policy_decision d = { .verdict = POLICY_DENIED_CHANGED };
	size_t n;
	r.changed = r.binary;
	assert_int_equal(denial_write(&r, &d, out, sizeof(out), &n), 0);
	assert_non_null(strstr(out, "\"reason\":\"binary integrity check failed: Binary integrity "
				    "violation: /usr/bin/curl executable changed\"}"));
	r.changed = r.ancestors[0];
	assert_int_equal(denial_write(&r, &d, out, sizeof(out), &n), 0);
	assert_non_null(strstr(
		out, "\"reason\":\"ancestor integrity check failed for /usr/bin/dash: Binary "
		     "integrity violation: /usr/bin/dash executable changed\"}"));
	r.via = POLICY_VIA_FORWARD;
	assert_int_equal(denial_write(&r, &d, out, sizeof(out), &n), 0);
	assert_string_equal(out, "{\"detail\":\"GET host:9090/a/../x not permitted by "
				 "policy\",\"error\":\"policy_denied\"}");
}

static void test_inside(void **state)
{
	is(POLICY_VIA_INSIDE, POLICY_DENIED_RULE, 403,
	   "{\"binary\":\"/usr/bin/curl\",\"detail\":\"GET /x not permitted by policy\",\"error\":"
	   "\"policy_denied\",\"host\":\"host\",\"layer\":\"l7\",\"method\":\"GET\",\"next_steps\":"
	   "[],"
	   "\"path\":\"/x\",\"policy\":\"p\",\"port\":9090,\"protocol\":\"rest\",\"rule\":\"GET "
	   "/x\","
	   "\"rule_missing\":{\"binary\":\"/usr/bin/curl\",\"host\":\"host\",\"layer\":\"l7\","
	   "\"method\":\"GET\",\"path\":\"/x\",\"port\":9090,\"type\":\"rest_allow\"}}");
}

static void test_messages(void **state)
{
	static const struct policy_message bad = { .refused = "a \"b\"" },
					   doubtful = { .doubtful = "c" };
	const struct policy_message *const both[] = { &bad, &doubtful };
	static const char *const wanted[] = { "a \\\"b\\\"", "c" };
	for (int i = 0; i < 2; i++) {
		char out[DENIAL_SIZE], text[DENIAL_SIZE];
		size_t n = 0;
		struct policy_request r = request(POLICY_VIA_FORWARD);
		struct policy_decision d = { .verdict = POLICY_DENIED_MESSAGE, .policy = "p" };
		r.message = both[i];
		assert_int_equal(denial_write(&r, &d, out, sizeof(out), &n), 0);
		snprintf(text, sizeof(text),
			 "{\"detail\":\"GET host:9090/x denied by L7 policy: JSON-RPC request "
			 "rejected: "
			 "%s\",\"error\":\"policy_denied\"}",
			 wanted[i]);
		assert_string_equal(out, text);
		r.via = POLICY_VIA_INSIDE;
		assert_int_equal(denial_write(&r, &d, out, sizeof(out), &n), 0);
		snprintf(text, sizeof(text), ",\"detail\":\"JSON-RPC request rejected: %s\",",
			 wanted[i]);
		assert_non_null(strstr(out, text));
		assert_true(denial_names_policy(&r, &d));
	}
	is(POLICY_VIA_FORWARD, POLICY_DENIED_RESPONSE, 403,
	   "{\"detail\":\"GET host:9090/x denied by L7 policy: JSON-RPC response frames are not "
	   "permitted "
	   "from client to server\",\"error\":\"policy_denied\"}");
}

static void test_policy_header(void **state)
{
	struct policy_request inside = request(POLICY_VIA_INSIDE);
	struct policy_request forward = request(POLICY_VIA_FORWARD);
	struct policy_decision d = { .verdict = POLICY_DENIED_RULE, .policy = "p" };
	assert_true(denial_names_policy(&inside, &d));
	assert_false(denial_names_policy(&forward, &d));
	d.verdict = POLICY_BAD_SLASH;
	assert_false(denial_names_policy(&inside, &d));
}

static void test_errors(void **state)
{
	char out[200];
	size_t n = 0;
	assert_int_equal(denial_write_error("ssrf_denied", out, sizeof(out), &n,
					    "GET %s:%d blocked: internal address", "h", 80),
			 0);
	assert_string_equal(out, "{\"detail\":\"GET h:80 blocked: internal address\",\"error\":"
				 "\"ssrf_denied\"}");
	assert_int_equal(denial_write_error("x", out, 10, &n, "y"), -ENOBUFS);
}

static void test_escapes(void **state)
{
	char out[400];
	size_t n = 0;
	assert_int_equal(
		denial_write_error("e", out, sizeof(out), &n, "%s",
				   "\"\\\b\f\n\r\t\x01\x1f/\x7f\xc3\xa9\xff\xc3\xed\xa0\x80"),
		0);
	assert_string_equal(out, "{\"detail\":\"\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u001f/\x7f\xc3\xa9"
				 "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\","
				 "\"error\":\"e\"}");
}

/* Everything as long and as costly as it can be. */
static void test_size(void **state)
{
	static char lengthy[20000], out[DENIAL_SIZE];
	memset(lengthy, '\x01', sizeof(lengthy) - 1);
	const char *const many[] = { lengthy, lengthy, lengthy, lengthy, lengthy };
	for (int via = POLICY_VIA_FORWARD; via <= POLICY_VIA_INSIDE; via++) {
		for (int v = POLICY_ALLOWED + 1; v < POLICY_VERDICT_COUNT; v++) {
			struct policy_request r = {
				.via = (enum policy_via)via,
				.host = span_of(lengthy),
				.port = 65535,
				.method = span_of(lengthy),
				.raw_path = span_of(lengthy),
				.path = span_of(lengthy),
				.binary = lengthy,
				.ancestors = many,
				.n_ancestors = 5,
				.message = &(struct policy_message){ .refused = lengthy },
				.changed = many[1],
			};
			struct policy_decision d = {
				.verdict = (enum policy_verdict)v,
				.policy = lengthy,
				.refusing = { lengthy, lengthy, lengthy, lengthy },
				.n_refusing = 4,
			};
			size_t n = 0;
			assert_int_equal(denial_write(&r, &d, out, sizeof(out), &n), 0);
			assert_int_equal(strlen(out), n);
			assert_int_equal(out[n - 1], '}');
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forward),	      cmocka_unit_test(test_connect),
		cmocka_unit_test(test_inside),	      cmocka_unit_test(test_policy_header),
		cmocka_unit_test(test_messages),      cmocka_unit_test(test_errors),
		cmocka_unit_test(test_escapes),	      cmocka_unit_test(test_size),
		cmocka_unit_test(test_forward),	      cmocka_unit_test(test_connect),
		cmocka_unit_test(test_changed),	      cmocka_unit_test(test_inside),
		cmocka_unit_test(test_policy_header), cmocka_unit_test(test_errors),
		cmocka_unit_test(test_escapes),	      cmocka_unit_test(test_size),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
