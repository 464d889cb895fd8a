/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The requests and notifications of MCP that OpenShell reads by their schema, each with the members of its params. A call that
 * the schema does not allow is no call, whatever the policy says; what is unknown to the schema passes on its method.
 */
#include "policy/rpc_read.h"

#include <limits.h>
#include <stdio.h>

enum kind {
	TEXT,
	ANY,
	STRUCT, /* of the schema: its own members are not looked at, but for these two */
	IMPLEMENTATION,
	META,
	TEXTS,	/* a map of texts */
	VALUES, /* a map of anything */
	NUMBER,
	TOKEN, /* text or integer */
	LEVEL,
};

/* In the order of the schema, in which what is missing is named; what has the wrong type is named by the order of names. */
struct member {
	const char *name;
	enum kind kind;
	bool optional; /* may be missing, or null */
	const char *type;
};

struct method {
	const char *name, *type;
	bool notification;
	struct member members[8];
};

#define OPTIONAL_META                                                                              \
	{                                                                                          \
		"_meta", META, true, "struct RequestMeta"                                          \
	}
#define FREE_META                                                                                  \
	{                                                                                          \
		"_meta", ANY, true, NULL                                                           \
	}

static const struct method methods[] = {
	{ "initialize",
	  "InitializeParams",
	  false,
	  { { "protocolVersion", TEXT, false, NULL },
	    { "capabilities", STRUCT, false, "struct ClientCapabilities" },
	    { "clientInfo", IMPLEMENTATION, false, "struct Implementation" },
	    FREE_META } },
	{ "tools/call",
	  "CallToolParams",
	  false,
	  { { "name", TEXT, false, NULL },
	    { "arguments", ANY, true, NULL },
	    OPTIONAL_META,
	    { "task", STRUCT, true, "struct TaskRequestParams" } } },
	{ "resources/read",
	  "ReadResourceParams",
	  false,
	  { { "uri", TEXT, false, NULL }, OPTIONAL_META } },
	{ "resources/subscribe",
	  "SubscribeResourceParams",
	  false,
	  { { "uri", TEXT, false, NULL }, OPTIONAL_META } },
	{ "resources/unsubscribe",
	  "UnsubscribeResourceParams",
	  false,
	  { { "uri", TEXT, false, NULL }, OPTIONAL_META } },
	{ "prompts/get",
	  "GetPromptParams",
	  false,
	  { { "name", TEXT, false, NULL }, { "arguments", TEXTS, true, NULL }, OPTIONAL_META } },
	{ "tasks/get",
	  "GetTaskInfoParams",
	  false,
	  { { "taskId", TEXT, false, NULL }, OPTIONAL_META } },
	{ "tasks/update",
	  "UpdateTaskParams",
	  false,
	  { { "taskId", TEXT, false, NULL },
	    { "inputResponses", VALUES, true, NULL },
	    OPTIONAL_META } },
	{ "tasks/result",
	  "GetTaskResultParams",
	  false,
	  { { "taskId", TEXT, false, NULL }, OPTIONAL_META } },
	{ "tasks/cancel",
	  "CancelTaskParams",
	  false,
	  { { "taskId", TEXT, false, NULL }, { "reason", TEXT, true, NULL }, OPTIONAL_META } },
	{ "logging/setLevel",
	  "SetLogLevelParams",
	  false,
	  { { "level", LEVEL, false, NULL }, OPTIONAL_META } },
	{ "completion/complete",
	  "CompleteParams",
	  false,
	  { { "ref", ANY, false, NULL },
	    { "argument", STRUCT, false, "struct CompletionArgument" },
	    { "context", STRUCT, true, "struct CompletionContext" },
	    FREE_META } },
	{ "notifications/cancelled",
	  "CancelledParams",
	  true,
	  { { "requestId", TOKEN, true, "RequestId" },
	    { "reason", TEXT, true, NULL },
	    FREE_META } },
	{ "notifications/progress",
	  "ProgressParams",
	  true,
	  { { "progressToken", TOKEN, false, "ProgressToken" },
	    { "progress", NUMBER, false, NULL },
	    { "total", NUMBER, true, NULL },
	    { "message", TEXT, true, NULL },
	    FREE_META } },
};

/* ---- types ---- */

/* `invalid type: integer `7`, expected a string`, as serde_json says it. */
static bool wrong_type(char *out, size_t size, const json_t *v, const char *expected)
{
	switch (json_typeof(v)) {
	case JSON_OBJECT:
		snprintf(out, size, "invalid type: map, expected %s", expected);
		break;
	case JSON_ARRAY:
		snprintf(out, size, "invalid type: sequence, expected %s", expected);
		break;
	case JSON_STRING:
		snprintf(out, size, "invalid type: string \"%.200s\", expected %s",
			 json_string_value(v), expected);
		break;
	case JSON_INTEGER:
		snprintf(out, size, "invalid type: integer `%" JSON_INTEGER_FORMAT "`, expected %s",
			 json_integer_value(v), expected);
		break;
	case JSON_REAL: {
		char digits[32];
		snprintf(digits, sizeof(digits), "%.17g", json_real_value(v));
		snprintf(out, size, "invalid type: floating point `%s%s`, expected %s", digits,
			 strpbrk(digits, ".e") ? "" : ".0", expected);
		break;
	}
	case JSON_TRUE:
	case JSON_FALSE:
		snprintf(out, size, "invalid type: boolean `%s`, expected %s",
			 json_is_true(v) ? "true" : "false", expected);
		break;
	case JSON_NULL:
		snprintf(out, size, "invalid type: null, expected %s", expected);
		break;
	}
	return false;
}

static bool is_token(const json_t *v)
{
	return json_is_string(v) || json_is_integer(v);
}

static bool no_token(char *out, size_t size, const char *type)
{
	snprintf(out, size, "data did not match any variant of untagged enum %s", type);
	return false;
}

static bool has_text(char *out, size_t size, const json_t *object, const char *name)
{
	const json_t *v = json_object_get(object, name);
	if (json_is_string(v))
		return true;
	if (v)
		return wrong_type(out, size, v, "a string");
	snprintf(out, size, "missing field `%s`", name);
	return false;
}

static bool is_level(char *out, size_t size, const json_t *v)
{
	static const char *const levels[] = { "emergency", "alert",  "critical", "error",
					      "warning",   "notice", "info",	 "debug" };
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
		if (!strcmp(json_string_value(v), levels[i]))
			return true;
	snprintf(out, size,
		 "unknown variant `%.200s`, expected one of `emergency`, `alert`, `critical`, "
		 "`error`, "
		 "`warning`, `notice`, `info`, `debug`",
		 json_string_value(v));
	return false;
}

static bool is_map_of_texts(char *out, size_t size, json_t *map)
{
	const char *key;
	json_t *v;
	json_object_foreach(map, key, v)
	{
		if (!json_is_string(v))
			return wrong_type(out, size, v, "a string");
	}
	return true;
}

static bool is_meta(char *out, size_t size, const json_t *meta)
{
	const json_t *token = json_object_get(meta, "progressToken");
	return !token || json_is_null(token) || is_token(token) ||
	       no_token(out, size, "ProgressToken");
}

static bool is_kind(char *out, size_t size, const struct member *m, json_t *v)
{
	switch (m->kind) {
	case ANY:
		return true;
	case TEXT:
		return json_is_string(v) || wrong_type(out, size, v, "a string");
	case NUMBER:
		return json_is_number(v) || wrong_type(out, size, v, "f64");
	case TOKEN:
		return is_token(v) || no_token(out, size, m->type);
	case LEVEL:
		return json_is_string(v) ? is_level(out, size, v)
					 : wrong_type(out, size, v, "variant identifier");
	case TEXTS:
		return json_is_object(v) ? is_map_of_texts(out, size, v)
					 : wrong_type(out, size, v, "a map");
	case VALUES:
		return json_is_object(v) || wrong_type(out, size, v, "a map");
	case META:
	case STRUCT:
	case IMPLEMENTATION:
		break;
	}
	if (!json_is_object(v))
		return wrong_type(out, size, v, m->type);
	if (m->kind == META)
		return is_meta(out, size, v);
	return m->kind != IMPLEMENTATION ||
	       (has_text(out, size, v, "name") && has_text(out, size, v, "version"));
}

/* ---- params ---- */

static bool is_wrong(const struct member *m, json_t *params, char *out, size_t size)
{
	json_t *v = json_object_get(params, m->name);
	return v && !(m->optional && json_is_null(v)) && !is_kind(out, size, m, v);
}

/* False, and why in out. */
static bool fits(const struct method *method, json_t *params, char *out, size_t size)
{
	const struct member *first = NULL;
	char struct_name[64], why[400];
	if (!json_is_object(params)) {
		snprintf(struct_name, sizeof(struct_name), "struct %s", method->type);
		return wrong_type(out, size, params, struct_name);
	}
	for (const struct member *m = method->members; m->name; m++)
		if ((!first || strcmp(m->name, first->name) < 0) &&
		    is_wrong(m, params, why, sizeof(why))) {
			first = m;
			snprintf(out, size, "%s", why);
		}
	for (const struct member *m = method->members; m->name && !first; m++)
		if (!m->optional && !json_object_get(params, m->name)) {
			snprintf(out, size, "missing field `%s`", m->name);
			return false;
		}
	return !first;
}

static const struct method *find(const char *name, size_t len, bool notification)
{
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (methods[i].notification == notification && strlen(methods[i].name) == len &&
		    !memcmp(methods[i].name, name, len))
			return &methods[i];
	return NULL;
}

static bool is_tool_name(struct span s)
{
	static const char most[] = "0123456789_-.";
	if (!s.len || s.len > 128)
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (!(s.data[i] >= 'a' && s.data[i] <= 'z') &&
		    !(s.data[i] >= 'A' && s.data[i] <= 'Z') &&
		    !memchr(most, s.data[i], sizeof(most) - 1))
			return false;
	return true;
}

bool mcp_read_call(struct rpc *r, const json_t *message, bool strict_tool_names,
		   struct policy_call *ret)
{
	const json_t *id = json_object_get(message, "id"),
		     *name = json_object_get(message, "method");
	json_t *params = json_object_get(message, "params");
	const char *what = id ? "request" : "notification";
	char why[400];
	if (id && !is_token(id)) {
		no_token(why, sizeof(why), "RequestId");
		return rpc_refuse(r, "invalid MCP request: %s", why);
	}
	if (!json_is_string(name)) {
		wrong_type(why, sizeof(why), name, "a string");
		return rpc_refuse(r, "invalid MCP %s: %s", what, why);
	}
	ret->method = (struct span){ json_string_value(name), json_string_length(name) };
	const struct method *method = find(ret->method.data, ret->method.len, !id);
	if (!method) /* as the other kind; a server may obey it all the same */
		method = find(ret->method.data, ret->method.len, id != NULL);
	if (!method)
		return true;
	json_t *none = params && !json_is_null(params) ? NULL : json_object();
	bool good = fits(method, none ? none : params, why, sizeof(why));
	json_decref(none);
	if (!good)
		return rpc_refuse(r, "invalid MCP %s params: Serialization error: %s", what, why);
	if (strcmp(method->name, "tools/call") != 0)
		return true;
	name = json_object_get(params, "name");
	ret->has_tool = true;
	ret->tool = (struct span){ json_string_value(name), json_string_length(name) };
	return !strict_tool_names || is_tool_name(ret->tool) ||
	       rpc_refuse(
		       r,
		       "MCP tool name must match ^[A-Za-z0-9_.-]{1,128}$ when strict_tool_names is "
		       "enabled");
}
