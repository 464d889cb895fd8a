/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes what reads the bodies of JSON-RPC and MCP requests. Input: a digit (1: mcp, 2: any name of a tool), the body. What is read as a
 * message is JSON for the strictest reader too, and its calls are what that finds in it.
 */
#include "policy/rpc.h"

#include <assert.h>
#include <jansson.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_call(const struct policy_call *call, const json_t *message, bool mcp)
{
	const json_t *method = json_object_get(message, "method");
	const json_t *tool = json_object_get(json_object_get(message, "params"), "name");
	assert(json_is_string(method) && call->method.len == json_string_length(method));
	assert(!memcmp(call->method.data, json_string_value(method), call->method.len));
	bool calls = mcp && span_is(call->method, "tools/call"); /* with or without an id */
	assert(call->has_tool == calls);
	if (!calls)
		return;
	assert(json_is_string(tool) && call->tool.len == json_string_length(tool));
	assert(!memcmp(call->tool.data, json_string_value(tool), call->tool.len));
}

static void check(const struct policy_message *m, const char *body, size_t n, bool mcp)
{
	json_error_t e;
	size_t i, calls = 0;
	json_t *message, *root = json_loadb(body, n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &e);
	if (!root) /* an integer that is too large for one */
		root = json_loadb(body, n,
				  JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL,
				  &e);
	assert(root && m->batch == json_is_array(root));
	if (!m->batch && m->n_calls)
		check_call(&m->calls[calls++], root, mcp);
	json_array_foreach(root, i, message)
	{
		if (json_object_get(message, "method"))
			check_call(&m->calls[calls++], message, mcp);
		else
			assert(m->response);
	}
	assert(calls == m->n_calls && (calls || m->response));
	json_decref(root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct rpc r;
	if (n < 1)
		return 0;
	json_object_seed(1); /* the same each time */
	struct policy_inspection how = { .protocol = data[0] & 1 ? POLICY_PROTOCOL_MCP
								 : POLICY_PROTOCOL_JSON_RPC,
					 .strict_tool_names = !(data[0] & 2) };
	rpc_parse((const char *)data + 1, n - 1, &how, &r);
	if (r.message.refused)
		assert(*r.message.refused && !r.message.n_calls);
	else if (!r.message.doubtful)
		check(&r.message, (const char *)data + 1, n - 1, data[0] & 1);
	rpc_done(&r);
	return 0;
}
