/* SPDX-License-Identifier: Apache-2.0 */
/* Loads what an endpoint allows and denies: presets, rules, deny rules, query matchers. */
#include "policy/model.h"

#include "http/field.h"
#include "http/target.h"

#include <errno.h>
#include <stdio.h>

int load_rule_keys(struct loader *l, const struct yaml_node *rule)
{
	static const char *const known[] = { "method", "path", "query", "tool", "params", NULL };
	static const char *const later[][2] = {
		{ "command", "it belongs to protocol sql; remove it" },
		{ "operation_type", "it belongs to protocol graphql; remove it" },
		{ "operation_name", "it belongs to protocol graphql; remove it" },
		{ "fields", "it belongs to protocol graphql; remove it" },
		{ NULL, NULL },
	};
	return loader_keys(l, rule, known, later);
}

int load_glob(struct loader *l, const struct yaml_node *n, char delimiter, const struct glob **ret)
{
	struct error why = { 0 };
	int r = loader_expect(l, n, YAML_KIND_SCALAR);
	if (r < 0)
		return r;
	r = glob_compile(n->text, delimiter, &l->p->arena, ret, &why);
	if (r == -EINVAL)
		return loader_fail(l, n, "the pattern \"%.100s\" is malformed: %s", n->text,
				   why.message);
	return r < 0 ? loader_no_memory(l) : 0;
}

/* A literal path in its canonical form, as a request for it would have it; false when it has none. */
static bool canonical_form(struct span s, char *out, size_t size, size_t *ret_len)
{
	char raw[GLOB_PATTERN_MAX * 3 + 1];
	enum http_refusal why;
	size_t n = 0;
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.data[i];
		if (c <= 0x20 || c >= 0x7f || c == '?' || c == '#')
			n += (size_t)snprintf(raw + n, sizeof(raw) - n, "%%%02X", c);
		else
			raw[n++] = (char)c;
	}
	return http_path_canonical((struct span){ raw, n }, HTTP_PATH_ALLOW_ENCODED_SLASH, out,
				   size, ret_len, &why) == 0;
}

/* Paths are compared in their canonical form; a pattern that no canonical path can match is surely
 * a mistake. Only what stands before the first wildcard is looked at. */
static int warn_path(struct loader *l, const struct yaml_node *n, const struct glob *g)
{
	char canonical[HTTP_PATH_CANONICAL_SIZE];
	size_t size = 0;
	bool whole = false;
	struct span prefix = glob_prefix(g, &whole);
	if (!prefix.len && !whole && !strncmp(n->text, "**", 2))
		return 0;
	if (!prefix.len || prefix.data[0] != '/')
		return loader_warn(l, n->line, n->column,
				   "the path \"%.100s\" never matches; begin it with \"/\"",
				   n->text);
	/* What stands just before a wildcard is not a whole segment yet. */
	while (!whole && prefix.data[prefix.len - 1] != '/')
		prefix.len--;
	bool good = canonical_form(prefix, canonical, sizeof(canonical), &size);
	if (good && span_equal(prefix, (struct span){ canonical, size }))
		return 0;
	return loader_warn(
		l, n->line, n->column,
		"the path \"%.100s\" never matches: paths are compared in their canonical "
		"form%s%.100s%s",
		n->text, good ? "; begin it with \"" : "", good ? canonical : "", good ? "\"" : "");
}

static int load_method(struct loader *l, const struct yaml_node *n, struct rule *rule)
{
	int r = loader_expect(l, n, YAML_KIND_SCALAR);
	if (r < 0)
		return r;
	rule->method = span_of(n->text);
	if (span_is(rule->method, "*"))
		return 0;
	if (!http_is_token(rule->method) || strchr(n->text, '*'))
		return loader_warn(
			l, n->line, n->column,
			"the method \"%.60s\" never matches; write one method in each rule, "
			"or \"*\" for all",
			n->text);
	for (const char *c = n->text; *c; c++)
		if ((*c < 'A' || *c > 'Z') && (*c < 'a' || *c > 'z') && *c != '-')
			return loader_warn(l, n->line, n->column, "\"%.60s\" is an unusual method",
					   n->text);
	return 0;
}

static int load_any(struct loader *l, const struct yaml_node *list, struct query_matcher *ret)
{
	int r = loader_expect(l, list, YAML_KIND_SEQUENCE);
	if (r < 0)
		return r;
	if (!list->count)
		return loader_fail(l, list, "\"any\" is empty; list at least one pattern");
	const struct glob **any = arena_take_array(&l->p->arena, list->count, sizeof(*any));
	if (!any)
		return loader_no_memory(l);
	size_t i = 0;
	for (const struct yaml_node *c = list->child; c; c = c->next)
		if ((r = load_glob(l, c, 0, &any[i++])) < 0)
			return r;
	ret->any = any;
	ret->n_any = i;
	return 0;
}

/* Numbers and booleans are refused, so that nobody wonders how they are compared. */
static bool is_string(const struct yaml_node *n)
{
	int64_t number;
	bool on;
	return n->kind == YAML_KIND_SCALAR &&
	       yaml_read_integer(n, INT64_MIN, INT64_MAX, &number, NULL) < 0 &&
	       yaml_read_bool(n, &on, NULL) < 0;
}

int load_matcher(struct loader *l, const struct yaml_node *n, struct query_matcher *ret)
{
	static const char *const known[] = { "glob", "any", NULL };
	ret->key = span_of(n->key);
	const struct yaml_node *one = n;
	if (n->kind == YAML_KIND_MAPPING) {
		int r = loader_keys(l, n, known, NULL);
		if (r < 0)
			return r;
		const struct yaml_node *any = yaml_get(n, "any");
		one = yaml_get(n, "glob");
		if (!one == !any)
			return loader_fail(l, n, "write either \"glob\" or \"any\" here");
		for (const struct yaml_node *c = any ? any->child : NULL; c; c = c->next)
			if (!is_string(c))
				return loader_fail(l, c, "expected text; put it in quotes");
		if (any)
			return load_any(l, any, ret);
	}
	if (!is_string(one))
		return loader_fail(l, one,
				   "expected a pattern as text (in quotes when it looks like a "
				   "number), or { any: [...] }");
	const struct glob **any = arena_take(&l->p->arena, sizeof(*any));
	if (!any)
		return loader_no_memory(l);
	ret->any = any;
	ret->n_any = 1;
	return load_glob(l, one, 0, any);
}

static int load_query(struct loader *l, const struct yaml_node *n, struct rule *rule)
{
	int r = loader_expect(l, n, YAML_KIND_MAPPING);
	if (r < 0)
		return r;
	struct query_matcher *all = arena_take_array(&l->p->arena, n->count, sizeof(*all));
	if (!all)
		return loader_no_memory(l);
	for (const struct yaml_node *c = n->child; c; c = c->next)
		if ((r = load_matcher(l, c, &all[rule->n_query++])) < 0)
			return r;
	rule->query = all;
	return 0;
}

/* One {method, path, query}. *ret_counts is false for a rule that matches nothing. */
static int load_rule(struct loader *l, const struct yaml_node *n, struct rule *rule,
		     bool *ret_counts)
{
	const struct yaml_node *method = yaml_get(n, "method"), *path = yaml_get(n, "path");
	const struct yaml_node *query = yaml_get(n, "query");
	*rule = (struct rule){ .line = n->line };
	for (const struct yaml_node *c = n->child; c; c = c->next)
		if (!strcmp(c->key, "tool") || !strcmp(c->key, "params"))
			return error_at(l->e, EINVAL, c->key_line, c->key_column,
					"\"%s\" is for rules of protocol mcp; remove it", c->key);
	int r = method ? load_method(l, method, rule) : 0;
	if (r == 0 && path)
		r = load_glob(l, path, '/', &rule->path);
	if (r == 0 && path)
		r = warn_path(l, path, rule->path);
	if (r == 0 && query)
		r = load_query(l, query, rule);
	*ret_counts = method && path;
	if (r == 0 && !*ret_counts)
		r = loader_warn(
			l, n->line, n->column, "a rule without \"%s\" matches nothing; write %s",
			method ? "path" : "method",
			method ? "path: \"**\" for all paths" : "method: \"*\" for all methods");
	return r;
}

static int load_allow_rules(struct loader *l, const struct yaml_node *list, struct rule_set *set)
{
	static const char *const known[] = { "allow", NULL };
	int r = loader_expect(l, list, YAML_KIND_SEQUENCE);
	if (r < 0)
		return r;
	if (!list->count)
		return loader_fail(l, list,
				   "\"rules\" is empty, which would deny everything; write "
				   "access: full, or at least one rule");
	set->rules = arena_take_array(&l->p->arena, list->count, sizeof(*set->rules));
	if (!set->rules)
		return loader_no_memory(l);
	bool any = false;
	for (const struct yaml_node *c = list->child; c; c = c->next) {
		if ((r = loader_keys(l, c, known, NULL)) < 0)
			return r;
		const struct yaml_node *allow = yaml_get(c, "allow");
		bool counts = false;
		if (!allow) {
			r = loader_warn(l, c->line, c->column,
					"a rule without \"allow\" matches "
					"nothing; remove it");
		} else if ((r = load_rule_keys(l, allow)) == 0) {
			any = any || allow->count;
			r = load_rule(l, allow, &set->rules[set->n], &counts);
		}
		if (r < 0)
			return r;
		set->n += counts;
	}
	return any ? 0
		   : loader_fail(l, list,
				 "no rule here allows anything; write for example "
				 "- allow: { method: GET, path: \"/**\" }");
}

static int load_deny_rules(struct loader *l, const struct yaml_node *list, struct rule_set *set)
{
	int r = loader_expect(l, list, YAML_KIND_SEQUENCE);
	if (r < 0)
		return r;
	if (!list->count)
		return loader_fail(l, list,
				   "\"deny_rules\" is empty and would do nothing; remove it");
	set->rules = arena_take_array(&l->p->arena, list->count, sizeof(*set->rules));
	if (!set->rules)
		return loader_no_memory(l);
	for (const struct yaml_node *c = list->child; c; c = c->next) {
		bool counts = false;
		if ((r = load_rule_keys(l, c)) < 0 ||
		    (r = load_rule(l, c, &set->rules[set->n], &counts)) < 0)
			return r;
		set->n += counts;
	}
	return 0;
}

static int load_access(struct loader *l, const struct yaml_node *n, struct rule_set *set)
{
	static const struct {
		const char *name;
		const char *methods[7];
	} presets[] = {
		{ "read-only", { "GET", "HEAD", "OPTIONS" } },
		{ "read-write", { "GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH" } },
		{ "full", { "*" } },
	};
	static const char *const names[] = { "read-only", "read-write", "full", NULL };
	int r = loader_expect(l, n, YAML_KIND_SCALAR);
	if (r < 0)
		return r;
	size_t which = 0;
	while (names[which] && strcmp(names[which], n->text) != 0)
		which++;
	if (!names[which]) {
		const char *near = nearest_word(n->text, names);
		return loader_fail(
			l, n, "access is read-only, read-write or full, not \"%.60s\"%s%s%s",
			n->text, near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
	}
	const struct glob *all = NULL;
	set->rules = arena_take_array(&l->p->arena, 7, sizeof(*set->rules));
	if (!set->rules || glob_compile("**", '/', &l->p->arena, &all, NULL) < 0)
		return loader_no_memory(l);
	for (const char *const *m = presets[which].methods; *m; m++)
		set->rules[set->n++] = (struct rule){
			.method = span_of(*m),
			.path = all,
			.line = n->line,
		};
	return 0;
}

int load_rules(struct loader *l, const struct yaml_node *endpoint, struct endpoint *ret)
{
	const struct yaml_node *access = yaml_get(endpoint, "access");
	const struct yaml_node *rules = yaml_get(endpoint, "rules");
	const struct yaml_node *deny = yaml_get(endpoint, "deny_rules");
	int r = 0;
	if (ret->inspection.protocol != POLICY_PROTOCOL_REST)
		return load_rpc_rules(l, endpoint, ret);
	if (access && rules)
		return loader_fail(l, rules,
				   "\"rules\" and \"access\" exclude each other; keep one");
	if (rules)
		r = load_allow_rules(l, rules, &ret->allow);
	else if (access)
		r = load_access(l, access, &ret->allow);
	else if (ret->inspected)
		r = loader_fail(l, endpoint,
				"protocol rest needs \"rules\" or \"access\", else it would "
				"deny everything");
	if (r == 0 && deny && !ret->inspected)
		r = loader_fail(l, deny, "\"deny_rules\" need a \"protocol\" beside them");
	if (r == 0 && deny)
		r = load_deny_rules(l, deny, &ret->deny);
	if (r == 0 && (index_rules(&l->p->arena, &ret->allow) < 0 ||
		       index_rules(&l->p->arena, &ret->deny) < 0))
		r = loader_no_memory(l);
	return r;
}
