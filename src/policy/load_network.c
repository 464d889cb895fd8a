/* SPDX-License-Identifier: Apache-2.0 */
/* Loads network_policies: their endpoints and binaries. */
#include "policy/model.h"

#include <errno.h>

static const char *const endpoint_keys[] = {
	"host",	       "port",	 "ports",    "path",	   "protocol",
	"enforcement", "access", "rules",    "deny_rules", "allow_encoded_slash",
	"allowed_ips", "mcp",	 "json_rpc", "tls",	   "request_body_credential_rewrite",
	NULL,
};
static const char *const endpoint_later[][2] = {
	{ "websocket_credential_rewrite", "remove it" },
	{ "allow_uninspected_credentials", "remove it" },
	{ "persisted_queries", "remove it" },
	{ "graphql_persisted_queries", "remove it" },
	{ "graphql_max_body_bytes", "remove it" },
	{ "credential_signing", "remove it" },
	{ "signing_service", "remove it" },
	{ "signing_region", "remove it" },
	{ "credential_binding", "declare the credential in the harness and remove it" },
	{ NULL, NULL },
};

/* Text, or NULL when absent or "". */
static int read_text(struct loader *l, const struct yaml_node *mapping, const char *key,
		     const struct yaml_node **ret)
{
	const struct yaml_node *n = yaml_get(mapping, key);
	int r = n ? loader_expect(l, n, YAML_KIND_SCALAR) : 0;
	*ret = r == 0 && n && *n->text ? n : NULL;
	return r;
}

static int load_addresses(struct loader *l, const struct yaml_node *n, struct endpoint *ep)
{
	const struct yaml_node *list = yaml_get(n, "allowed_ips");
	struct error why = { 0 };
	int r = list ? loader_expect(l, list, YAML_KIND_SEQUENCE) : 0;
	if (r < 0 || !list)
		return r;
	if (!list->count)
		return loader_fail(l, list,
				   "\"allowed_ips\" is empty; list addresses or remove it");
	struct address_range *all = arena_take_array(&l->p->arena, list->count, sizeof(*all));
	if (!all)
		return loader_no_memory(l);
	ep->addresses = all;
	for (const struct yaml_node *c = list->child; c; c = c->next) {
		struct address_range *range = &all[ep->n_addresses++];
		if ((r = loader_expect(l, c, YAML_KIND_SCALAR)) < 0)
			return r;
		if (range_parse(c->text, range, &why) < 0)
			return loader_fail(l, c, "%s", why.message);
		if (range->bits < 16)
			r = loader_warn(l, c->line, c->column, "\"%.60s\" is a very broad range",
					c->text);
		if (r < 0)
			return r;
	}
	return 0;
}

static int load_host(struct loader *l, const struct yaml_node *n, struct endpoint *ep)
{
	const struct yaml_node *host = yaml_get(n, "host");
	struct error why = { 0 };
	if (!host && ep->n_addresses) { /* any name that leads to them */
		ep->kind = HOST_ANY;
		ep->host = "";
		return 0;
	}
	if (!host)
		return loader_fail(l, n,
				   "the endpoint has no \"host\"; write the name to be reached");
	int r = loader_expect(l, host, YAML_KIND_SCALAR);
	if (r < 0)
		return r;
	int64_t number = 0;
	if (yaml_read_integer(host, INT64_MIN, INT64_MAX, &number, NULL) == 0)
		return loader_fail(l, host, "the host is a number; write a name or an address");
	if (host_check(host->text, &why) < 0)
		return loader_fail(l, host, "%s", why.message);
	char *lower = arena_copy(&l->p->arena, host->text, strlen(host->text));
	if (!lower)
		return loader_no_memory(l);
	for (char *c = lower; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c | 0x20);
	ep->host = lower;
	ep->kind = strchr(lower, '*') ? HOST_PATTERN : HOST_EXACT;
	if (ep->kind == HOST_EXACT && strpbrk(lower, "?[]{}"))
		return loader_warn(
			l, host->line, host->column,
			"the host \"%.100s\" never matches: only \"*\" is a wildcard in hosts",
			host->text);
	return 0;
}

static int read_port(struct loader *l, const struct yaml_node *n, uint16_t *ports, size_t *n_ports)
{
	int64_t port = 0;
	int r = yaml_read_integer(n, 1, 65535, &port, l->e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < *n_ports; i++)
		if (ports[i] == port)
			return loader_warn(l, n->line, n->column, "port %u is listed twice",
					   (unsigned)port);
	ports[(*n_ports)++] = (uint16_t)port;
	return 0;
}

static int load_ports(struct loader *l, const struct yaml_node *n, struct endpoint *ep)
{
	const struct yaml_node *one = yaml_get(n, "port"), *list = yaml_get(n, "ports");
	if (!one && !list)
		return loader_fail(l, n,
				   "the endpoint has no \"port\"; write the port to be reached");
	int r = list ? loader_expect(l, list, YAML_KIND_SEQUENCE) : 0;
	if (r < 0)
		return r;
	size_t most = list ? list->count : 1;
	uint16_t *ports = arena_take_array(&l->p->arena, most, sizeof(*ports));
	if (!ports)
		return loader_no_memory(l);
	ep->ports = ports;
	if (!list)
		return read_port(l, one, ports, &ep->n_ports);
	if (!list->count)
		return loader_fail(l, list, "\"ports\" is empty; list at least one port");
	for (const struct yaml_node *c = list->child; c; c = c->next)
		if ((r = read_port(l, c, ports, &ep->n_ports)) < 0)
			return r;
	return one ? loader_warn(l, one->line, one->column,
				 "\"port\" is ignored beside \"ports\"; keep one of them")
		   : 0;
}

static int load_endpoint_path(struct loader *l, const struct yaml_node *n, struct endpoint *ep)
{
	const struct yaml_node *path = NULL;
	int r = read_text(l, n, "path", &path);
	ep->everything = true;
	if (r < 0 || !path)
		return r;
	const char *s = path->text;
	struct error why = { 0 };
	ep->path = s;
	if (s[0] != '/' && strcmp(s, "**") != 0)
		return loader_fail(l, path, "an endpoint's path begins with \"/\", or is \"**\"");
	r = glob_compile(s, '/', &l->p->arena, &ep->strict, &why);
	if (r == 0)
		r = glob_compile(s, 0, &l->p->arena, &ep->loose, &why);
	if (r == -EINVAL)
		return loader_fail(l, path, "the pattern \"%.100s\" is malformed: %s", s,
				   why.message);
	if (r < 0)
		return loader_no_memory(l);
	size_t size = strlen(s);
	ep->everything = !strcmp(s, "**") || !strcmp(s, "/**");
	if (size > 3 && !strcmp(s + size - 3, "/**"))
		ep->subtree = (struct span){ s, size - 3 };
	/* Characters, not bytes. */
	for (const char *c = s; *c; c++)
		ep->specificity += *c != '*' && ((unsigned char)*c & 0xc0) != 0x80;
	return 0;
}

static int load_protocol(struct loader *l, const struct yaml_node *n, struct endpoint *ep)
{
	/* By enum policy_protocol, then what is not there. */
	static const char *const known[] = { "rest",	"json-rpc", "mcp", "websocket",
					     "graphql", "sql",	    "tcp", NULL };
	const struct yaml_node *protocol = NULL;
	int r = read_text(l, n, "protocol", &protocol);
	if (r < 0)
		return r;
	if (!protocol)
		return loader_warn(l, n->line, n->column,
				   "without \"protocol: rest\" every method and path is allowed%s",
				   yaml_get(n, "rules") || yaml_get(n, "access")
					   ? "; \"rules\" and \"access\" are ignored"
					   : "");
	for (size_t i = 0; known[i]; i++) {
		if (strcasecmp(protocol->text, known[i]) != 0)
			continue;
		if (i > POLICY_PROTOCOL_MCP)
			return loader_fail(l, protocol,
					   "protocol %s is not supported yet; write rest, or "
					   "leave it out to allow plain connections",
					   known[i]);
		/* There its rules would match nothing. */
		if (i != POLICY_PROTOCOL_REST && strcmp(protocol->text, known[i]) != 0)
			return loader_fail(l, protocol, "write the protocol in lower case: %s",
					   known[i]);
		ep->inspected = true;
		ep->inspection.protocol = (enum policy_protocol)i;
		return 0;
	}
	const char *near = nearest_word(protocol->text, known);
	return loader_fail(l, protocol, "unknown protocol \"%.60s\"; %s%s%s", protocol->text,
			   near ? "did you mean \"" : "write rest", near ? near : "",
			   near ? "\"?" : "");
}

static int load_enforcement(struct loader *l, const struct yaml_node *n, struct endpoint *ep)
{
	const struct yaml_node *value = NULL;
	int r = read_text(l, n, "enforcement", &value);
	if (r < 0 || !ep->inspected)
		return r;
	if (!value)
		return loader_warn(
			l, n->line, n->column,
			"\"enforcement\" is missing, which means audit: everything is allowed; "
			"write enforcement: enforce");
	ep->enforced = !strcmp(value->text, "enforce");
	if (ep->enforced || !strcmp(value->text, "audit"))
		return 0;
	return loader_warn(
		l, value->line, value->column,
		"enforcement \"%.60s\" means audit: everything is allowed; write enforce",
		value->text);
}

/* TLS is looked into wherever a client speaks it, unless this says otherwise. */
static int load_tls(struct loader *l, const struct yaml_node *n, struct endpoint *ep)
{
	const struct yaml_node *value = NULL;
	int r = read_text(l, n, "tls", &value);
	if (r < 0 || !value)
		return r;
	if (!strcmp(value->text, "terminate") || !strcmp(value->text, "passthrough"))
		return loader_warn(l, value->line, value->column,
				   "\"tls: %s\" has no effect: TLS is looked into anyway; remove "
				   "it, or write \"tls: skip\" to let tunnels pass as they are",
				   value->text);
	if (strcmp(value->text, "skip") != 0)
		return loader_fail(
			l, value,
			"unknown tls \"%.60s\"; write skip, or leave \"tls\" out to have "
			"TLS looked into",
			value->text);
	ep->tls_skip = true;
	if (!ep->inspected)
		return 0;
	return loader_warn(l, value->line, value->column,
			   "\"tls: skip\" lets tunnels pass unseen: the rules hold for plain HTTP "
			   "without CONNECT only");
}

static int load_body_credentials(struct loader *l, const struct yaml_node *n, struct endpoint *ep)
{
	const struct yaml_node *value = yaml_get(n, "request_body_credential_rewrite");
	int r = value ? yaml_read_bool(value, &ep->body_credentials, l->e) : 0;
	if (r < 0 || !ep->body_credentials)
		return r;
	if (ep->inspected && ep->inspection.protocol == POLICY_PROTOCOL_REST)
		return 0;
	ep->body_credentials = false;
	return loader_warn(l, value->line, value->column,
			   "\"request_body_credential_rewrite\" is ignored unless the protocol is "
			   "rest; write protocol: rest, or remove it");
}

static int load_endpoint(struct loader *l, const struct yaml_node *n, struct endpoint *ep)
{
	ep->line = n->line;
	int r = loader_keys(l, n, endpoint_keys, endpoint_later);
	if (r == 0)
		r = load_addresses(l, n, ep);
	if (r == 0)
		r = load_host(l, n, ep);
	if (r == 0)
		r = load_ports(l, n, ep);
	if (r == 0)
		r = load_endpoint_path(l, n, ep);
	if (r == 0)
		r = load_protocol(l, n, ep);
	if (r == 0)
		r = load_rpc_settings(l, n, ep);
	if (r == 0)
		r = load_enforcement(l, n, ep);
	if (r == 0)
		r = load_tls(l, n, ep);
	const struct yaml_node *slash = yaml_get(n, "allow_encoded_slash");
	if (r == 0 && slash)
		r = yaml_read_bool(slash, &ep->encoded_slash, l->e);
	if (r == 0)
		r = load_body_credentials(l, n, ep);
	if (r == 0)
		r = load_rules(l, n, ep);
	return r;
}

static int load_binary(struct loader *l, const struct yaml_node *n, struct binary *ret)
{
	static const char *const known[] = { "path", NULL };
	static const char *const later[][2] = {
		{ "harness", "it has no effect; remove it" },
		{ NULL, NULL },
	};
	struct error why = { 0 };
	if (n->kind == YAML_KIND_SCALAR)
		return loader_fail(l, n, "write { path: \"%.100s\" } instead of the path alone",
				   n->text);
	int r = loader_keys(l, n, known, later);
	const struct yaml_node *path = NULL;
	if (r < 0 || (r = read_text(l, n, "path", &path)) < 0)
		return r;
	if (!path)
		return loader_fail(l, n, "the binary has no \"path\"; write the executable's path");
	if (path->text[0] != '/' && path->text[0] != '*')
		return loader_fail(l, path,
				   "the binary's path \"%.100s\" is not absolute; begin it with "
				   "\"/\"",
				   path->text);
	if (!strchr(path->text, '*')) {
		ret->exact = path->text;
		return strpbrk(path->text, "?[]{}") ? loader_warn(l, path->line, path->column,
								  "in \"%.100s\" only \"*\" makes "
								  "a pattern; it is taken as it is",
								  path->text)
						    : 0;
	}
	r = glob_compile(path->text, '/', &l->p->arena, &ret->glob, &why);
	if (r == -EINVAL)
		return loader_fail(l, path, "the pattern \"%.100s\" is malformed: %s", path->text,
				   why.message);
	return r < 0 ? loader_no_memory(l) : 0;
}

static int load_binaries(struct loader *l, const struct yaml_node *n, struct network *net)
{
	const struct yaml_node *list = yaml_get(n, "binaries");
	int r = list ? loader_expect(l, list, YAML_KIND_SEQUENCE) : 0;
	if (r < 0)
		return r;
	if (!list || !list->count)
		return loader_warn(l, n->key_line, n->key_column,
				   "\"%.60s\" lists no binaries, so it allows nobody", n->key);
	struct binary *binaries = arena_take_array(&l->p->arena, list->count, sizeof(*binaries));
	if (!binaries)
		return loader_no_memory(l);
	net->binaries = binaries;
	for (const struct yaml_node *c = list->child; c; c = c->next)
		if ((r = load_binary(l, c, &binaries[net->n_binaries++])) < 0)
			return r;
	return 0;
}

static int load_network(struct loader *l, const struct yaml_node *n, struct network *net)
{
	static const char *const known[] = { "name", "endpoints", "binaries", NULL };
	struct policy *p = l->p;
	const struct yaml_node *name = NULL, *list = yaml_get(n, "endpoints");
	*net = (struct network){ .key = n->key, .line = n->key_line };
	int r = loader_keys(l, n, known, NULL);
	if (r == 0)
		r = read_text(l, n, "name", &name);
	if (r == 0 && list)
		r = loader_expect(l, list, YAML_KIND_SEQUENCE);
	if (r < 0)
		return r;
	if (!list || !list->count)
		r = loader_warn(l, n->key_line, n->key_column,
				"\"%.60s\" lists no endpoints, so it allows nothing", n->key);
	for (const struct yaml_node *c = list ? list->child : NULL; r == 0 && c; c = c->next) {
		struct endpoint *ep = &p->endpoints[p->n_endpoints++];
		ep->network = net;
		r = load_endpoint(l, c, ep);
	}
	return r < 0 ? r : load_binaries(l, n, net);
}

static int by_key(const void *a, const void *b)
{
	const struct yaml_node *x = *(const struct yaml_node *const *)a;
	const struct yaml_node *y = *(const struct yaml_node *const *)b;
	return strcmp(x->key, y->key);
}

int load_networks(struct loader *l, const struct yaml_node *section)
{
	struct policy *p = l->p;
	if (!section)
		return 0;
	int r = loader_expect(l, section, YAML_KIND_MAPPING);
	if (r < 0)
		return r;
	size_t n = 0, n_endpoints = 0;
	const struct yaml_node **sorted =
		arena_take_array(&p->arena, section->count, sizeof(*sorted));
	if (!sorted)
		return loader_no_memory(l);
	for (const struct yaml_node *c = section->child; c; c = c->next) {
		const struct yaml_node *list = yaml_get(c, "endpoints");
		n_endpoints += list ? list->count : 0;
		sorted[n++] = c;
	}
	/* Ties between endpoints are decided by the order of the keys, as in OpenShell. */
	if (n)
		qsort(sorted, n, sizeof(*sorted), by_key);
	p->networks = arena_take_array(&p->arena, n, sizeof(*p->networks));
	p->endpoints = arena_take_array(&p->arena, n_endpoints, sizeof(*p->endpoints));
	if (!p->networks || !p->endpoints)
		return loader_no_memory(l);
	for (size_t i = 0; i < n; i++)
		if ((r = load_network(l, sorted[i], &p->networks[p->n_networks++])) < 0)
			return r;
	return 0;
}
