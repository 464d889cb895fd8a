/* SPDX-License-Identifier: Apache-2.0 */
/* Tests what is read out of bodies, and in which words what is none is refused. */
#include "policy/rpc.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/limit.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct policy_inspection generic = { .protocol = POLICY_PROTOCOL_JSON_RPC };
static const struct policy_inspection mcp = { .protocol = POLICY_PROTOCOL_MCP,
					      .strict_tool_names = true };
static const struct policy_inspection loose = { .protocol = POLICY_PROTOCOL_MCP };

#define CALL(rest)  "{\"jsonrpc\":\"2.0\",\"id\":1," rest "}"
#define TOOL(rest)  CALL("\"method\":\"tools/call\",\"params\":{" rest "}")
#define TELL(rest)  "{\"jsonrpc\":\"2.0\"," rest "}"
#define WRONG(what) "invalid MCP request params: Serialization error: " what

static void refused(const struct policy_inspection *how, const char *body, const char *why)
{
	struct rpc r;
	rpc_parse(body, strlen(body), how, &r);
	if (!r.message.refused || strcmp(r.message.refused, why) != 0)
		fail_msg("%s\n%s", body, r.message.refused ? r.message.refused : "is a message");
	assert_int_equal(r.message.n_calls, 0);
	rpc_done(&r);
}

static void both_refuse(const char *body, const char *why)
{
	refused(&generic, body, why);
	refused(&mcp, body, why);
}

/* "method method:tool answer", of a message that is none in doubt. */
static void is(const struct policy_inspection *how, const char *body, const char *what)
{
	_cleanup_buf_ struct buf text = BUF_INIT(1000);
	struct rpc r;
	rpc_parse(body, strlen(body), how, &r);
	const struct policy_message *m = &r.message;
	if (m->refused || m->doubtful)
		fail_msg("%s\n%s", body, m->refused ? m->refused : m->doubtful);
	for (size_t i = 0; i < m->n_calls; i++) {
		buf_printf(&text, "%s%.*s", i ? " " : "", SPAN_FORMAT(m->calls[i].method));
		if (m->calls[i].has_tool)
			buf_printf(&text, ":%.*s", SPAN_FORMAT(m->calls[i].tool));
	}
	if (m->response)
		buf_append_str(&text, m->n_calls ? " answer" : "answer");
	assert_string_equal(text.data, what);
	assert_int_equal(m->batch, *body == '[');
	rpc_done(&r);
}

static void doubtful(const char *body)
{
	struct rpc r;
	rpc_parse(body, strlen(body), &mcp, &r);
	assert_null(r.message.refused);
	if (!r.message.doubtful)
		fail_msg("%s", body);
	rpc_done(&r);
}

static void test_messages(void **state)
{
	is(&generic, CALL("\"method\":\"a.b\""), "a.b");
	is(&generic, TELL("\"method\":\"tools/call\",\"params\":7"), "tools/call");
	is(&generic, " \r\n\t" CALL("\"method\":\"\\u00e9\"") "\n", "\xc3\xa9");
	is(&generic, CALL("\"method\":\"a\",\"n\":123456789012345678901234567890"), "a");
	is(&generic, "[" CALL("\"method\":\"a\"") "," TELL("\"method\":\"b\"") "]", "a b");
	is(&generic, CALL("\"result\":null"), "answer");
	is(&mcp, "[" CALL("\"error\":{}") "," CALL("\"method\":\"ping\"") "]", "ping answer");
	is(&mcp, TOOL("\"name\":\"a_B-9.\""), "tools/call:a_B-9.");
	is(&mcp,
	   TOOL("\"name\":\"a\",\"_meta\":{\"progressToken\":1},\"arguments\":[],\"task\":null"),
	   "tools/call:a");
	is(&mcp, CALL("\"method\":\"tools/list\",\"params\":7"), "tools/list");
	is(&mcp, CALL("\"method\":\"x/unknown\",\"params\":[]"), "x/unknown");
	is(&mcp, TELL("\"method\":\"notifications/initialized\""), "notifications/initialized");
	is(&mcp,
	   TELL("\"method\":\"notifications/"
		"progress\",\"params\":{\"progressToken\":\"t\",\"progress\":1}"),
	   "notifications/progress");
	/* Nobody waits for an answer, but a server may do it all the same. */
	is(&mcp, TELL("\"method\":\"tools/call\",\"params\":{\"name\":\"a\"}"), "tools/call:a");
	is(&loose, TOOL("\"name\":\"odd tool\""), "tools/call:odd tool");
}

static void test_no_json(void **state)
{
	static const char *const bodies[] = {
		"",
		"x",
		"{",
		"{}}",
		"{} {}",
		"[1,]",
		"{\"a\":1,}",
		"'a'",
		"nul",
		"01",
		"1.",
		"\xef\xbb\xbf{}",
		"\"\xff\"",
		"\"\xc0\x80\"",
		"\"\\ud800\"",
		"\"\t\"",
		"\"a",
		"NaN",
		"1e999",
		"// a\n{}",
	};
	for (size_t i = 0; i < ELEMENTS(bodies); i++)
		both_refuse(bodies[i], "invalid JSON");
	struct rpc r;
	rpc_parse("{\0}", 3, &mcp, &r);
	assert_string_equal(r.message.refused, "invalid JSON");
	rpc_done(&r);
}

static void test_no_message(void **state)
{
	both_refuse("[]", "empty batch");
	both_refuse("1", "missing or non-string 'jsonrpc' field");
	both_refuse("[[]]", "batch item invalid: missing or non-string 'jsonrpc' field");
	both_refuse("{\"jsonrpc\":2.0}", "missing or non-string 'jsonrpc' field");
	both_refuse("{\"jsonrpc\":\"2\"}", "unsupported JSON-RPC version '2'");
	both_refuse("{\"jsonrpc\":\"2.0\\u0000\",\"method\":\"a\"}",
		    "unsupported JSON-RPC version '2.0'");
	both_refuse(CALL("\"a\":1"), "missing or non-string 'method' field");
	refused(&generic, CALL("\"method\":7"), "missing or non-string 'method' field");
	refused(&mcp, CALL("\"method\":7"),
		"invalid MCP request: invalid type: integer `7`, expected a string");
	refused(&mcp, TELL("\"method\":null"),
		"invalid MCP notification: invalid type: null, expected a string");
	both_refuse(CALL("\"method\":\"a\",\"result\":1"),
		    "JSON-RPC message includes both method and result/error");
	both_refuse(CALL("\"error\":{},\"result\":1"),
		    "JSON-RPC response includes both result and error");
	both_refuse(TELL("\"result\":1"), "JSON-RPC response missing id");
	both_refuse("{\"jsonrpc\":\"2.0\",\"id\":[],\"result\":1}",
		    "JSON-RPC response id must be string, number, or null");
	both_refuse(CALL("\"error\":1"), "JSON-RPC response error must be an object");
	both_refuse("[" CALL("\"method\":\"ping\"") ",{}]",
		    "batch item invalid: missing or non-string 'jsonrpc' field");
}

static void test_schema(void **state)
{
	static const char no_id[] =
		"invalid MCP request: data did not match any variant of untagged enum RequestId";
	refused(&mcp, "{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"a\"}", no_id);
	refused(&mcp, "{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"a\"}", no_id);
	refused(&mcp, "{\"jsonrpc\":\"2.0\",\"id\":99999999999999999999,\"method\":\"a\"}", no_id);
	refused(&mcp, TOOL(""), WRONG("missing field `name`"));
	refused(&mcp, CALL("\"method\":\"tools/call\""), WRONG("missing field `name`"));
	refused(&mcp, CALL("\"method\":\"tools/call\",\"params\":null"),
		WRONG("missing field `name`"));
	refused(&mcp, TOOL("\"name\":7"), WRONG("invalid type: integer `7`, expected a string"));
	refused(&mcp, TOOL("\"name\":null"), WRONG("invalid type: null, expected a string"));
	refused(&mcp, TOOL("\"name\":1.5"),
		WRONG("invalid type: floating point `1.5`, expected a string"));
	refused(&mcp, TOOL("\"name\":true"),
		WRONG("invalid type: boolean `true`, expected a string"));
	refused(&mcp, TOOL("\"name\":[]"), WRONG("invalid type: sequence, expected a string"));
	refused(&mcp, TOOL("\"name\":7,\"_meta\":[]"),
		WRONG("invalid type: sequence, expected struct RequestMeta"));
	refused(&mcp, TOOL("\"name\":\"a\",\"_meta\":{\"progressToken\":[]}"),
		WRONG("data did not match any variant of untagged enum ProgressToken"));
	refused(&mcp, CALL("\"method\":\"tools/call\",\"params\":\"x\""),
		WRONG("invalid type: string \"x\", expected struct CallToolParams"));
	refused(&mcp, CALL("\"method\":\"tools/call\",\"params\":[\"a\"]"),
		WRONG("invalid type: sequence, expected struct CallToolParams"));
	refused(&mcp, CALL("\"method\":\"initialize\""), WRONG("missing field `protocolVersion`"));
	refused(&mcp,
		CALL("\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"1\","
		     "\"capabilities\":{},"
		     "\"clientInfo\":{\"name\":\"c\"}}"),
		WRONG("missing field `version`"));
	refused(&mcp, CALL("\"method\":\"logging/setLevel\",\"params\":{\"level\":\"loud\"}"),
		WRONG("unknown variant `loud`, expected one of `emergency`, `alert`, `critical`, "
		      "`error`, "
		      "`warning`, `notice`, `info`, `debug`"));
	refused(&mcp,
		CALL("\"method\":\"prompts/"
		     "get\",\"params\":{\"name\":\"a\",\"arguments\":{\"k\":{}}}"),
		WRONG("invalid type: map, expected a string"));
	refused(&mcp, TELL("\"method\":\"notifications/progress\""),
		"invalid MCP notification params: Serialization error: missing field "
		"`progressToken`");
}

static void test_tools(void **state)
{
	static const char why[] = "MCP tool name must match ^[A-Za-z0-9_.-]{1,128}$ when "
				  "strict_tool_names is enabled";
	_cleanup_buf_ struct buf name = BUF_INIT(1000);
	static const char *const names[] = {
		"", "a b", "a/b", "\xc3\xa9", "a\\u0000", "a\\n", "a*"
	};
	for (size_t i = 0; i < ELEMENTS(names); i++) {
		buf_clear(&name);
		buf_printf(&name, TOOL("\"name\":\"%s\""), names[i]);
		refused(&mcp, name.data, why);
	}
	for (int n = 128; n <= 129; n++) {
		struct rpc r;
		buf_clear(&name);
		buf_printf(&name, TOOL("\"name\":\"%0*d\""), n, 0);
		rpc_parse(name.data, name.len, &mcp, &r);
		assert_int_equal(r.message.refused != NULL, n > 128);
		rpc_done(&r);
	}
}

static void test_doubtful(void **state)
{
	doubtful(CALL("\"method\":\"a\",\"method\":\"tools/list\""));
	doubtful(CALL("\"method\":\"a\",\"m\\u0065thod\":\"tools/list\""));
	doubtful(TOOL("\"name\":\"a\",\"name\":\"a\""));
	doubtful(TOOL("\"name\":\"a\",\"arguments\":{\"x\":{\"y\":1,\"y\":2}}"));
	doubtful(CALL("\"method\":\"a\",\"Method\":\"b\""));
	doubtful(CALL("\"method\":\"a\",\"Params\":{}"));
	doubtful(TOOL("\"name\":\"a\",\"NAME\":\"b\""));
	doubtful(CALL("\"method\":\"a\",\"param\u017f\":{}"));
	doubtful(CALL("\"method\":\"a\\u0000\""));
	doubtful("[" CALL("\"method\":\"a\"") "," CALL("\"method\":\"a\",\"ID\":1") "]");
	is(&mcp, TOOL("\"name\":\"a\",\"arguments\":{\"Name\":1,\"name\":2},\"name2\":3"),
	   "tools/call:a");
}

static void nested(struct buf *text, int depth)
{
	buf_clear(text);
	buf_append_str(text, "{\"jsonrpc\":\"2.0\",\"method\":\"a\",\"params\":");
	for (int i = 0; i < depth - 1; i++)
		buf_append_str(text, "[");
	for (int i = 0; i < depth - 1; i++)
		buf_append_str(text, "]");
	buf_append_str(text, "}");
}

static void test_limits(void **state)
{
	_cleanup_buf_ struct buf text = BUF_INIT(4u << 20);
	nested(&text, LIMIT_RPC_DEPTH);
	is(&generic, text.data, "a");
	nested(&text, LIMIT_RPC_DEPTH + 1);
	refused(&generic, text.data, "invalid JSON");
	/* Brackets in texts are not counted. */
	buf_clear(&text);
	buf_append_str(&text, "{\"jsonrpc\":\"2.0\",\"method\":\"");
	for (int i = 0; i < 300; i++)
		buf_append_str(&text, "\\\"[");
	buf_append_str(&text, "\"}");
	struct rpc r;
	rpc_parse(text.data, text.len, &generic, &r);
	assert_null(r.message.refused);
	assert_int_equal(r.calls[0].method.len, 600);
	rpc_done(&r);
	for (int more = 0; more <= 1; more++) {
		buf_clear(&text);
		buf_append_str(&text, "{\"jsonrpc\":\"2.0\",\"method\":\"a\",\"params\":[1");
		for (int i = 7; i < LIMIT_RPC_VALUES + more; i++)
			buf_append_str(&text, ",1");
		buf_append_str(&text, "]}");
		rpc_parse(text.data, text.len, &generic, &r);
		assert_int_equal(r.message.refused != NULL, more);
		rpc_done(&r);
	}
}

static const struct http_head *head_of(const char *text)
{
	static struct http_head head;
	static const struct http_rules lenient = { .lenient = HTTP_LENIENT_HOST };
	struct http_scan scan = { 0 };
	assert_int_equal(http_request_parse(&scan, text, strlen(text), &lenient, &head), 0);
	return &head;
}

static bool streams(const char *text)
{
	return rpc_is_stream(head_of(text));
}

static void fields(const char *text, bool in_doubt)
{
	_cleanup_buf_ struct buf head = BUF_INIT(1000);
	buf_printf(&head, "POST / HTTP/1.1\r\n%s\r\n\r\n", text);
	if ((rpc_doubt(head_of(head.data)) != NULL) != in_doubt)
		fail_msg("%s", text);
}

static void test_fields(void **state)
{
	fields("Content-Type: application/json", false);
	fields("Content-Type: a/b; charset=UTF-8", false);
	fields("Content-Type: a/b;v=1 ;\tCharset=\"utf-8\" ", false);
	fields("Content-Type: a/b; charset=us-ascii;x=charset", false);
	fields("Content-Type: a/b; charset=utf-7", true);
	fields("Content-Type: a/b;\xc2\xa0"
	       "charset=utf-7",
	       true);
	fields("Content-Type: a/b, c/d; charset=utf-8", true);
	fields("Content-Type: a/b, charset=utf-7", true);
	fields("Content-Type: a/b; charset=utf-16", true);
	fields("Content-Type: a/b; charset=utf-8; charset=utf-7", true);
	fields("Content-Type: a/b; charset =utf-7", true);
	fields("Content-Type: a/b; charset", true);
	fields("Content-Type: a/b\r\nContent-Type: a/b", true);
	fields("Content-Encoding: gzip", false);
	fields("Content-Encoding: identity, X-GZIP", false);
	fields("Content-Encoding: gzip\r\nContent-Encoding: br", true);
	fields("Content-Encoding: deflate", true);
}

static void test_streams(void **state)
{
	assert_true(streams("GET / HTTP/1.1\r\nAccept: a/b, Text/Event-Stream ;q=1\r\n\r\n"));
	assert_true(streams("GET / HTTP/1.1\r\nAccept: a/b\r\nAccept: text/event-stream\r\n"
			    "Content-Length: 0\r\n\r\n"));
	assert_false(streams("GET / HTTP/1.1\r\nAccept: a/b\r\n\r\n"));
	assert_false(streams("GET / HTTP/1.1\r\nX: text/event-stream\r\n\r\n"));
	assert_false(streams("POST / HTTP/1.1\r\nAccept: text/event-stream\r\n\r\n"));
	assert_false(streams(
		"GET / HTTP/1.1\r\nAccept: text/event-stream\r\nContent-Length: 1\r\n\r\n"));
	assert_false(streams("GET / HTTP/1.1\r\nAccept: text/event-stream\r\nTransfer-Encoding: "
			     "chunked\r\n\r\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages),   cmocka_unit_test(test_no_json),
		cmocka_unit_test(test_no_message), cmocka_unit_test(test_schema),
		cmocka_unit_test(test_tools),	   cmocka_unit_test(test_doubtful),
		cmocka_unit_test(test_limits),	   cmocka_unit_test(test_streams),
		cmocka_unit_test(test_fields),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
