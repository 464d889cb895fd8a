/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes loading a policy and deciding by it: any bytes give a policy or an error, every request a
 * decision, every refusal a body.
 */
#include "policy/denial.h"

#include "base/cleanup.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void decide(const struct policy *p, struct policy_request *r)
{
	static const char *const paths[] = { "/", "/build", "/jobs/1", "/a%2Fb/c", "/s13/a/c" };
	static const char *const queries[] = { "", "tag=foo-1&k=", "x=%zz", "a=1&a=2&b=%C3%A9" };
	static const char *const methods[] = { "GET", "HEAD", "post", "X", "POST" };
	static const struct policy_call calls[] = {
		{ .method = { "tools/list", 10 } },
		{ .method = { "tools/call", 10 }, .has_tool = true, .tool = { "search_web", 10 } },
	};
	static const struct policy_message messages[] = {
		{ .calls = calls, .n_calls = 2 },
		{ .refused = "a" },
		{ .response = true },
		{ .stream = true },
		{ .calls = calls + 1, .n_calls = 1, .doubtful = "b" },
	};
	static char body[DENIAL_SIZE];
	for (size_t i = 0; i < 5 * 4 * 5; i++) {
		struct policy_decision d;
		size_t len = 0;
		r->path = r->raw_path = span_of(paths[i % 5]);
		r->query = span_of(queries[i / 5 % 4]);
		r->method = span_of(methods[i / 20]);
		r->message = NULL;
		policy_decide(p, r, &d);
		if (d.verdict == POLICY_NEEDS_MESSAGE) {
			assert(!d.allowed && d.inspection.protocol != POLICY_PROTOCOL_REST);
			r->message = &messages[i % ELEMENTS(messages)];
			policy_decide(p, r, &d);
			assert(d.verdict != POLICY_NEEDS_MESSAGE);
		}
		assert(d.allowed == (d.verdict == POLICY_ALLOWED || d.audited));
		if (!d.allowed)
			assert(denial_write(r, &d, body, sizeof(body), &len) == 0 && len);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char *const parents[] = { "/usr/bin/dash", "/usr/bin/bash" };
	struct policy *p = NULL;
	struct error e = { 0 };
	if (policy_load((const char *)data, n, "fuzz", &p, &e) < 0) {
		assert(!p && e.message[0]);
		return 0;
	}
	for (size_t i = 0; i < policy_endpoint_count(p) && i < 8; i++) {
		struct policy_endpoint ep;
		policy_endpoint(p, i, &ep);
		assert(ep.n_ports && ep.line);
		struct policy_request r = {
			.host = span_of(ep.host),
			.port = ep.ports[0],
			.binary = "/usr/bin/python3.11",
			.ancestors = parents,
			.n_ancestors = 2,
		};
		for (int via = POLICY_VIA_FORWARD; via <= POLICY_VIA_INSIDE; via++) {
			r.via = (enum policy_via)via;
			decide(p, &r);
		}
		(void)policy_host(p, r.host, r.port, false);
		(void)policy_host(p, r.host, r.port, true);
	}
	policy_free(p);
	return 0;
}
