/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON first, as strict as OpenShell's reader (RFC 8259, UTF-8, nesting), where the last of equal names counts; then the members
 * of a message; then whether another reader would find another message.
 */
#include "policy/rpc_read.h"

#include "base/clock.h"
#include "base/limit.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/random.h>

bool rpc_refuse(struct rpc *r, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(r->refused, sizeof(r->refused), format, args);
	va_end(args);
	return false;
}

/* ---- JSON ---- */

/* Without reading it: no more than so deep, and no more than so many values. What is no JSON may pass. */
static bool bounded(struct rpc *r, const char *body, size_t n)
{
	size_t depth = 0, values = 0;
	bool text = false;
	for (size_t i = 0; i < n; i++) {
		char c = body[i];
		if (text) {
			i += c == '\\';
			text = c != '"';
			continue;
		}
		text = c == '"';
		values += c == ',' || c == ':' || c == '[' || c == '{';
		if (c == '[' || c == '{')
			depth++;
		else if ((c == ']' || c == '}') && depth)
			depth--;
		if (depth > LIMIT_RPC_DEPTH)
			return rpc_refuse(r, "invalid JSON");
		if (values > LIMIT_RPC_VALUES)
			return rpc_refuse(r, "more than %d values", LIMIT_RPC_VALUES);
	}
	return true;
}

static json_t *load(const char *body, size_t n, size_t flags, json_error_t *e)
{
	json_t *root = json_loadb(body, n, flags | JSON_DECODE_ANY | JSON_ALLOW_NUL, e);
	/* A whole number of any size is one; what is too large for an integer is read as real. */
	if (!root && json_error_code(e) == json_error_numeric_overflow)
		root = json_loadb(
			body, n, flags | JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL,
			e);
	return root;
}

/* ---- messages ---- */

/* Like it, but for case; U+017F is a lower-case s to who folds as Unicode does. */
static bool is_name(const char *known, const char *key)
{
	const char *k = known, *at = key;
	for (; *k && *at; k++)
		if (*k == 's' && !strncmp(at, "\xc5\xbf", 2))
			at += 2;
		else if (tolower((unsigned char)*at++) != *k)
			return false;
	return !*k && !*at && strcmp(known, key) != 0;
}

/* Some readers do not tell "Method" from "method", so that what is obeyed may not be what was decided. */
static bool names_plain(json_t *message)
{
	static const char *const names[] = {
		"jsonrpc", "id", "method", "params", "result", "error"
	};
	const char *key;
	json_t *value;
	json_object_foreach(message, key, value)
	{
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
			if (is_name(names[i], key))
				return false;
	}
	json_object_foreach(json_object_get(message, "params"), key, value)
	{
		if (is_name("name", key))
			return false;
	}
	return true;
}

static bool is_response(struct rpc *r, const json_t *message)
{
	const json_t *id = json_object_get(message, "id");
	const json_t *error = json_object_get(message, "error");
	if (error && json_object_get(message, "result"))
		return rpc_refuse(r, "JSON-RPC response includes both result and error");
	if (!id)
		return rpc_refuse(r, "JSON-RPC response missing id");
	if (!json_is_string(id) && !json_is_number(id) && !json_is_null(id))
		return rpc_refuse(r, "JSON-RPC response id must be string, number, or null");
	if (error && !json_is_object(error))
		return rpc_refuse(r, "JSON-RPC response error must be an object");
	return true;
}

static bool read_call(struct rpc *r, const json_t *message, const struct policy_inspection *how,
		      struct policy_call *ret)
{
	const json_t *method = json_object_get(message, "method");
	*ret = (struct policy_call){ 0 };
	if (how->protocol == POLICY_PROTOCOL_MCP)
		return mcp_read_call(r, message, how->strict_tool_names, ret);
	if (!json_is_string(method))
		return rpc_refuse(r, "missing or non-string 'method' field");
	ret->method = (struct span){ json_string_value(method), json_string_length(method) };
	return true;
}

static bool read_message(struct rpc *r, const json_t *message, const struct policy_inspection *how)
{
	const json_t *version = json_object_get(message, "jsonrpc");
	const json_t *method = json_object_get(message, "method");
	bool answer = json_object_get(message, "result") || json_object_get(message, "error");
	if (!json_is_string(version))
		return rpc_refuse(r, "missing or non-string 'jsonrpc' field");
	if (json_string_length(version) != 3 || strcmp(json_string_value(version), "2.0") != 0)
		return rpc_refuse(r, "unsupported JSON-RPC version '%.200s'",
				  json_string_value(version));
	if (method && answer)
		return rpc_refuse(r, "JSON-RPC message includes both method and result/error");
	if (answer) {
		r->message.response = true;
		return is_response(r, message);
	}
	if (!method)
		return rpc_refuse(r, "missing or non-string 'method' field");
	return read_call(r, message, how, &r->calls[r->message.n_calls++]);
}

static bool read_batch(struct rpc *r, json_t *list, const struct policy_inspection *how)
{
	size_t i;
	json_t *message;
	r->message.batch = true;
	json_array_foreach(list, i, message)
	{
		char why[sizeof(r->refused)];
		if (read_message(r, message, how))
			continue;
		snprintf(why, sizeof(why), "%s", r->refused);
		return rpc_refuse(r, "batch item invalid: %.480s", why);
	}
	return true;
}

static bool all_plain(json_t *root)
{
	size_t i;
	json_t *message;
	if (!json_is_array(root))
		return names_plain(root);
	json_array_foreach(root, i, message)
	{
		if (!names_plain(message))
			return false;
	}
	return true;
}

static bool has_nul(const struct rpc *r)
{
	for (size_t i = 0; i < r->message.n_calls; i++) {
		const struct policy_call *c = &r->calls[i];
		if (memchr(c->method.data, '\0', c->method.len) ||
		    (c->tool.len && memchr(c->tool.data, '\0', c->tool.len)))
			return true;
	}
	return false;
}

static bool read_body(struct rpc *r, const char *body, size_t n,
		      const struct policy_inspection *how)
{
	json_error_t e;
	if (!bounded(r, body, n))
		return false;
	json_t *root = load(body, n, JSON_REJECT_DUPLICATES, &e);
	if (!root && json_error_code(&e) == json_error_duplicate_key) {
		/* One reader takes the first, another the last. */
		r->message.doubtful = "a name is given twice";
		root = load(body, n, 0, &e);
	}
	r->document = root;
	if (!root)
		return rpc_refuse(r, "invalid JSON");
	if (json_is_array(root) && !json_array_size(root))
		return rpc_refuse(r, "empty batch");
	r->calls = calloc(json_is_array(root) ? json_array_size(root) : 1, sizeof(*r->calls));
	if (!r->calls)
		return rpc_refuse(r, "out of memory");
	return json_is_array(root) ? read_batch(r, root, how) : read_message(r, root, how);
}

/* The library would open a file for it. Without one, names could be chosen to make its tables slow. */
void rpc_init(void)
{
	size_t seed = 0;
	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		seed = (size_t)clock_monotonic_ms();
	json_object_seed(seed | 1);
}

void rpc_parse(const char *body, size_t n, const struct policy_inspection *how, struct rpc *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (!read_body(ret, body, n, how)) {
		ret->message = (struct policy_message){ .refused = ret->refused };
		return;
	}
	ret->message.calls = ret->calls;
	if (ret->message.doubtful)
		return;
	if (has_nul(ret))
		ret->message.doubtful = "a called name holds a NUL";
	else if (!all_plain(ret->document))
		ret->message.doubtful = "a name differs from the protocol's in case only";
}

void rpc_done(struct rpc *r)
{
	json_decref(r->document);
	free(r->calls);
	memset(r, 0, sizeof(*r));
}

/* ---- the request around it ---- */

/* Of a Content-Type: no charset, or the one that JSON is written in. */
static bool is_utf8(struct span type)
{
	static const char *const good[] = { "utf-8", "\"utf-8\"", "us-ascii" };
	const char *semicolon = memchr(type.data, ';', type.len);
	struct span rest = { semicolon,
			     semicolon ? type.len - (size_t)(semicolon - type.data) : 0 };
	for (size_t i = 0; i < type.len; i++) /* where somebody may see a blank, or another list */
		if ((unsigned char)type.data[i] >= 0x7f || type.data[i] == ',')
			return false;
	while (rest.len) {
		const char *end = memchr(rest.data + 1, ';', rest.len - 1);
		size_t n = end ? (size_t)(end - rest.data) : rest.len;
		struct span one = { rest.data + 1, n - 1 };
		bool known = false;
		rest = (struct span){ rest.data + n, rest.len - n };
		one = span_trim(one);
		if (one.len < 7 || !span_is_nocase((struct span){ one.data, 7 }, "charset"))
			continue;
		one = (struct span){ one.data + 7, one.len - 7 };
		for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
			known = known || (one.len && *one.data == '=' &&
					  span_is_nocase((struct span){ one.data + 1, one.len - 1 },
							 good[i]));
		if (!known)
			return false;
	}
	return true;
}

const char *rpc_doubt(const struct http_head *h)
{
	for (unsigned i = 0; i < h->n_fields; i++) {
		const struct http_field *f = &h->fields[i];
		struct span list = f->value, coding;
		if (f->id == HTTP_FIELD_CONTENT_TYPE &&
		    (!is_utf8(f->value) || http_head_repeats(h, HTTP_FIELD_CONTENT_TYPE)))
			return "its Content-Type may not mean UTF-8";
		/* JSON that is whole as it is begins as nothing that gzip has written. */
		while (f->id == HTTP_FIELD_CONTENT_ENCODING && http_list_next(&list, &coding))
			if (!span_is_nocase(coding, "gzip") && !span_is_nocase(coding, "x-gzip") &&
			    !span_is_nocase(coding, "identity"))
				return "its Content-Encoding may hold another message";
	}
	return NULL;
}

bool rpc_is_stream(const struct http_head *h)
{
	if (!span_is_nocase(h->method, "GET") ||
	    (h->body != HTTP_BODY_NONE && (h->body != HTTP_BODY_LENGTH || h->body_length)))
		return false;
	for (unsigned i = 0; i < h->n_fields; i++) {
		struct span list = h->fields[i].value, type;
		while (h->fields[i].id == HTTP_FIELD_ACCEPT && http_list_next(&list, &type)) {
			const char *end = memchr(type.data, ';', type.len);
			type.len = end ? (size_t)(end - type.data) : type.len;
			if (span_is_nocase(span_trim(type), "text/event-stream"))
				return true;
		}
	}
	return false;
}
