/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads what protocols json-rpc and mcp have of their own: the settings `json_rpc` and `mcp`, and rules by
 * a call's method and tool.
 */
#include "policy/model.h"

#include "base/limit.h"

#include <errno.h>

#define WILDCARDS  "*?[]{}"
#define TOOLS_CALL "tools/call"

/* A key's node, when it is there and not null. */
static const struct yaml_node *given(const struct yaml_node *mapping, const char *key)
{
	const struct yaml_node *n = yaml_get(mapping, key);
	return n && n->kind != YAML_KIND_NULL ? n : NULL;
}

/* The same for text: "" is not there either. */
static const struct yaml_node *given_text(const struct yaml_node *mapping, const char *key)
{
	const struct yaml_node *n = given(mapping, key);
	return n && (n->kind != YAML_KIND_SCALAR || *n->text) ? n : NULL;
}

/* ---- settings ---- */

/* max_body_bytes of either stanza; the first that says one holds. */
static int load_body_bytes(struct loader *l, const struct yaml_node *stanza, struct endpoint *ep)
{
	const struct yaml_node *n = yaml_get(stanza, "max_body_bytes");
	int64_t bytes = 0;
	int r = n ? yaml_read_integer(n, 0, UINT32_MAX, &bytes, l->e) : 0;
	if (r < 0 || !n)
		return r;
	if (bytes > LIMIT_RPC_BODY_BYTES)
		return loader_fail(
			l, n,
			"a request's body is held until it is decided, and %d bytes are the "
			"most; write a smaller number",
			LIMIT_RPC_BODY_BYTES);
	if (!bytes)
		return loader_warn(l, n->line, n->column, "0 means the default, %d bytes",
				   DEFAULT_RPC_BODY_BYTES);
	if (ep->inspection.protocol == POLICY_PROTOCOL_REST)
		return loader_warn(
			l, n->line, n->column,
			"\"max_body_bytes\" is ignored without protocol json-rpc or mcp");
	if (ep->inspection.body_bytes)
		return loader_warn(l, n->line, n->column,
				   "\"max_body_bytes\" is ignored beside that of \"json_rpc\"");
	ep->inspection.body_bytes = (uint32_t)bytes;
	return 0;
}

/* A setting that only mcp has. */
static int load_mcp_bool(struct loader *l, const struct yaml_node *stanza, const char *key,
			 const struct endpoint *ep, bool *ret)
{
	const struct yaml_node *n = given(stanza, key);
	if (!n)
		return 0;
	if (ep->inspection.protocol != POLICY_PROTOCOL_MCP)
		return error_at(l->e, EINVAL, n->key_line, n->key_column,
				"\"%s\" is for protocol mcp; remove it", key);
	return yaml_read_bool(n, ret, l->e);
}

int load_rpc_settings(struct loader *l, const struct yaml_node *endpoint, struct endpoint *ret)
{
	static const char *const rpc_keys[] = { "max_body_bytes", NULL };
	static const char *const mcp_keys[] = { "max_body_bytes", "strict_tool_names",
						"allow_all_known_mcp_methods", NULL };
	const struct yaml_node *rpc = given(endpoint, "json_rpc"), *mcp = given(endpoint, "mcp");
	int r = 0;
	ret->inspection.strict_tool_names = ret->inspection.protocol == POLICY_PROTOCOL_MCP;
	if (rpc && (r = loader_keys(l, rpc, rpc_keys, NULL)) == 0)
		r = load_body_bytes(l, rpc, ret);
	if (r == 0 && mcp)
		r = loader_keys(l, mcp, mcp_keys, NULL);
	if (r == 0 && mcp)
		r = load_body_bytes(l, mcp, ret);
	if (r == 0 && mcp)
		r = load_mcp_bool(l, mcp, "strict_tool_names", ret,
				  &ret->inspection.strict_tool_names);
	if (r == 0 && mcp)
		r = load_mcp_bool(l, mcp, "allow_all_known_mcp_methods", ret, &ret->all_methods);
	if (r == 0 && ret->kind == HOST_ANY && ret->inspection.protocol == POLICY_PROTOCOL_MCP)
		r = loader_fail(l, endpoint,
				"protocol mcp needs a \"host\"; write the name to be reached");
	if (!ret->inspection.body_bytes)
		ret->inspection.body_bytes = DEFAULT_RPC_BODY_BYTES;
	return r;
}

/* ---- rules ---- */

static int at_key(struct loader *l, const struct yaml_node *n, const char *message)
{
	return error_at(l->e, EINVAL, n->key_line, n->key_column, "%s", message);
}

static int load_generic_rule(struct loader *l, const struct yaml_node *n, struct rule *rule)
{
	const struct yaml_node *method = given_text(n, "method"), *other;
	int r = method ? loader_expect(l, method, YAML_KIND_SCALAR) : 0;
	if (r < 0)
		return r;
	if ((other = given(n, "tool")))
		return at_key(l, other, "\"tool\" is for rules of protocol mcp; remove it");
	if ((other = given(n, "params")))
		return at_key(l, other,
			      "rules of protocol json-rpc look at no \"params\"; remove it");
	if ((other = given_text(n, "path")) || (other = given_text(n, "query")))
		return at_key(l, other,
			      "rules of protocol json-rpc have a \"method\", not a path or query; "
			      "the endpoint's \"path\" says where calls are sent");
	if (!method)
		return loader_fail(l, n,
				   "a rule of protocol json-rpc needs \"method\", the called "
				   "method's name, or \"*\" for all");
	rule->method = span_of(method->text);
	if (!span_is(rule->method, "*") && strpbrk(method->text, WILDCARDS))
		return loader_fail(
			l, method,
			"\"%.60s\": methods of json-rpc have no wildcards; write one name in "
			"each rule, or \"*\" for all",
			method->text);
	return 0;
}

/* Which tools: `tool`, or as much in another form, `params: { name }`. */
static int load_tool(struct loader *l, const struct yaml_node *n, const struct endpoint *ep,
		     struct rule *rule)
{
	const struct yaml_node *tool = given(n, "tool"), *params = given(n, "params");
	int r = params ? loader_expect(l, params, YAML_KIND_MAPPING) : 0;
	if (r < 0)
		return r;
	for (const struct yaml_node *c = params ? params->child : NULL; c; c = c->next) {
		if (strcmp(c->key, "name") != 0)
			return at_key(l, c,
				      "of a call's \"params\" only \"name\", the tool's, can be "
				      "looked at; remove it");
		if (tool)
			return at_key(l, c,
				      "\"tool\" and params.name are the same; keep one of them");
		tool = c;
	}
	if (!tool)
		return 0;
	if ((r = load_matcher(l, tool, &rule->tool)) < 0 || ep->inspection.strict_tool_names)
		return r;
	for (size_t i = 0; i < rule->tool.n_any; i++) {
		bool whole = false;
		glob_prefix(rule->tool.any[i], &whole);
		if (!whole)
			return loader_fail(
				l, tool,
				"patterns of tools need mcp.strict_tool_names; write the "
				"tools' names, or leave strict_tool_names out");
	}
	return 0;
}

static bool is_tools_call(const struct rule *rule)
{
	return rule->call && glob_match(rule->call, SPAN(TOOLS_CALL));
}

static int load_mcp_rule(struct loader *l, const struct yaml_node *n, const struct endpoint *ep,
			 struct rule *rule)
{
	const struct yaml_node *method = given_text(n, "method"), *other;
	int r = method ? load_glob(l, method, 0, &rule->call) : 0;
	if (r < 0)
		return r;
	if ((other = given_text(n, "path")) || (other = given_text(n, "query")))
		return at_key(
			l, other,
			"rules of protocol mcp have \"method\" and \"tool\", not a path or query; "
			"the endpoint's \"path\" says where calls are sent");
	if (method && strpbrk(method->text, WILDCARDS) && strncmp(method->text, "tools/", 6) != 0)
		return loader_fail(
			l, method,
			"\"%.60s\": only methods of tools/ can be patterns; write one method in "
			"each rule, or mcp: { allow_all_known_mcp_methods: true }",
			method->text);
	if (!method && !ep->all_methods)
		return loader_fail(l, n,
				   "a rule of protocol mcp needs \"method\", for example "
				   "method: " TOOLS_CALL);
	if ((r = load_tool(l, n, ep, rule)) < 0)
		return r;
	if (!method) { /* left out, it is what the rest of the rule is about */
		static const struct yaml_node call = { .kind = YAML_KIND_SCALAR,
						       .text = TOOLS_CALL },
					      any = { .kind = YAML_KIND_SCALAR, .text = "*" };
		return load_glob(l, rule->tool.n_any ? &call : &any, 0, &rule->call);
	}
	if (rule->tool.n_any && strcmp(method->text, TOOLS_CALL) != 0)
		return loader_fail(l, method,
				   "a rule that names tools is about method " TOOLS_CALL
				   ", not \"%.60s\"",
				   method->text);
	return 0;
}

static int load_rule(struct loader *l, const struct yaml_node *n, const struct endpoint *ep,
		     struct rule *rule)
{
	*rule = (struct rule){ .line = n->line };
	int r = load_rule_keys(l, n);
	if (r < 0)
		return r;
	return ep->inspection.protocol == POLICY_PROTOCOL_MCP ? load_mcp_rule(l, n, ep, rule)
							      : load_generic_rule(l, n, rule);
}

/* A list of rules, each the node itself or what is under its key. */
static int load_list(struct loader *l, const struct yaml_node *list, const char *key,
		     const struct endpoint *ep, struct rule_set *set)
{
	const char *const known[] = { key, NULL };
	int r = loader_expect(l, list, YAML_KIND_SEQUENCE);
	if (r < 0)
		return r;
	if (!list->count)
		return loader_fail(l, list, "\"%s\" is empty; %s", list->key,
				   key ? "write at least one rule" : "remove it");
	set->rules = arena_take_array(&l->p->arena, list->count, sizeof(*set->rules));
	if (!set->rules)
		return loader_no_memory(l);
	for (const struct yaml_node *c = list->child; c; c = c->next) {
		const struct yaml_node *n = c;
		if (key && (r = loader_keys(l, c, known, NULL)) < 0)
			return r;
		if (key && !(n = given(c, key)))
			return loader_fail(l, c, "write a rule as - allow: { method: … }");
		if ((r = load_rule(l, n, ep, &set->rules[set->n++])) < 0)
			return r;
	}
	return 0;
}

/* Rules that name tools are no use beside one about every call of a tool. */
static int check_tools(struct loader *l, const struct yaml_node *list, const struct rule_set *set,
		       const char *verb)
{
	const struct yaml_node *n = list ? list->child : NULL;
	for (size_t i = 0; i < set->n; i++, n = n->next)
		if (!set->rules[i].tool.n_any && is_tools_call(&set->rules[i]))
			return loader_fail(
				l, n,
				"this %s every call of a tool, beside rules that allow some; add "
				"\"tool\" to it, or remove those",
				verb);
	return 0;
}

int load_rpc_rules(struct loader *l, const struct yaml_node *endpoint, struct endpoint *ret)
{
	const struct yaml_node *access = given_text(endpoint, "access");
	const struct yaml_node *rules = given(endpoint, "rules");
	const struct yaml_node *deny = given(endpoint, "deny_rules");
	bool mcp = ret->inspection.protocol == POLICY_PROTOCOL_MCP;
	int r = 0;
	if (access)
		return at_key(l, access,
			      mcp ? "protocol mcp has no \"access\"; write rules, or "
				    "mcp: { allow_all_known_mcp_methods: true }"
				  : "protocol json-rpc has no \"access\"; write rules, for example "
				    "- allow: { method: \"*\" }");
	if (!rules && !ret->all_methods)
		return loader_fail(l, endpoint,
				   "protocol %s needs \"rules\"%s, else it would deny everything",
				   mcp ? "mcp" : "json-rpc",
				   mcp ? " or mcp: { allow_all_known_mcp_methods: true }" : "");
	if (rules)
		r = load_list(l, rules, "allow", ret, &ret->allow);
	if (r == 0 && deny)
		r = load_list(l, deny, NULL, ret, &ret->deny);
	for (size_t i = 0; i < ret->allow.n; i++)
		ret->names_tools = ret->names_tools || ret->allow.rules[i].tool.n_any;
	if (r == 0 && ret->names_tools)
		r = check_tools(l, rules, &ret->allow, "allows");
	if (r == 0 && ret->names_tools)
		r = check_tools(l, deny, &ret->deny, "denies");
	return r;
}
