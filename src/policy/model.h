/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loaded policy from inside: what the loader fills, the index orders and the matcher reads.
 * Internal to src/policy. Everything lives in the policy's arena.
 */
#ifndef POSTERN_POLICY_MODEL_H
#define POSTERN_POLICY_MODEL_H
#include "base/arena.h"
#include "base/hash.h"
#include "base/yaml.h"
#include "policy/glob.h"
#include "policy/match.h"
#include "policy/policy.h"

#define POLICY_PATH_MAX 4096 /* bytes of a listed path */

/* query: { KEY: GLOB } or { KEY: { any: [GLOB, …] } } */
struct query_matcher {
	struct span key;
	const struct glob *const *any;
	size_t n_any;
};

struct rule {
	struct span method; /* as written; "*" is any */
	const struct glob *path;
	const struct query_matcher *query;
	size_t n_query;
	unsigned line;
	uint32_t next; /* with the same prefix: index + 1, or 0 */
	/* Of protocols json-rpc and mcp: no path and no query, but for mcp: */
	const struct glob *call;   /* its calls' methods */
	struct query_matcher tool; /* n_any 0: all tools, and what calls none */
};

/* Rules found by what their path begins with: the number of rules does not matter. */
struct rule_slot {
	uint64_t hash;
	uint32_t length; /* bytes of the prefix */
	uint32_t first;	 /* index + 1 of a rule, or 0 for an empty slot */
};
struct rule_set {
	struct rule *rules;
	size_t n;
	struct rule_slot *slots;
	size_t n_slots;		 /* a power of two, or 0 when there is no rule */
	const uint32_t *lengths; /* the prefixes' lengths, ascending, each once */
	size_t n_lengths;
};

enum host_kind {
	HOST_EXACT,
	HOST_PATTERN, /* with `*` */
	HOST_ANY,     /* none given, allowed_ips instead */
};

/* An entry of allowed_ips. */
struct address_range {
	uint8_t size; /* 4 or 16 */
	uint8_t bits; /* of the prefix */
	uint8_t bytes[16];
};

struct network; /* one entry of network_policies */

struct endpoint {
	const struct network *network;
	enum host_kind kind;
	const char *host; /* lower case; "" for HOST_ANY */
	const uint16_t *ports;
	size_t n_ports;
	/* path: two readings of one glob, as in OpenShell: a loose one chooses whose settings hold,
	 * the strict one whose rules count. */
	const char *path; /* NULL: all */
	const struct glob *strict, *loose;
	struct span subtree; /* of a path that ends in slash and two stars: what is before them */
	bool everything;     /* NULL, two stars, or slash and two stars */
	unsigned specificity;
	bool inspected, enforced, encoded_slash, body_credentials;
	struct policy_inspection inspection; /* of what its requests' bodies say */
	bool all_methods; /* mcp.allow_all_known_mcp_methods: of tools/call only where no rule names tools */
	bool names_tools; /* some allow rule does */
	bool tls_skip;	  /* its tunnels pass as they are */
	const struct address_range *addresses;
	size_t n_addresses;
	struct rule_set allow, deny;
	unsigned line;
};

struct binary {
	const char *exact;	 /* or NULL */
	const struct glob *glob; /* or NULL */
};

struct network {
	const char *key;
	const struct binary *binaries;
	size_t n_binaries;
	unsigned line;
};

/* Which endpoints have a host and port. */
struct host_slot {
	const char *host; /* NULL: empty slot */
	uint16_t port;
	uint32_t first, n; /* in struct policy.exact */
};
struct port_endpoint {
	uint16_t port;
	uint32_t endpoint;
};

struct policy {
	struct arena arena;
	struct yaml_document *document; /* owns the strings that are used as written */
	char *text;			/* that it was loaded from, of text_len bytes */
	size_t text_len;
	struct policy_warning *warnings;
	size_t n_warnings;
	struct policy_filesystem filesystem;
	enum policy_landlock landlock;
	struct policy_process process;
	struct network *networks; /* by key */
	size_t n_networks;
	struct endpoint *endpoints; /* by network, then as written */
	size_t n_endpoints;
	/* the index */
	struct host_slot *slots;
	size_t n_slots;		    /* a power of two, or 0 */
	uint32_t *exact;	    /* endpoints' numbers, ascending per slot */
	struct port_endpoint *wild; /* HOST_PATTERN and HOST_ANY, by port, then number */
	size_t n_wild;
};

/* What is passed down while loading. */
struct loader {
	struct policy *p;
	struct error *e;
	struct pending_warning *warnings; /* newest first */
	size_t n_warnings;
};

/* Note a warning at a place; -ENOMEM or 0. */
int loader_warn(struct loader *l, unsigned line, unsigned column, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* An error at a node, and at a node's key. */
int loader_fail(struct loader *l, const struct yaml_node *n, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int loader_no_memory(struct loader *l);
/* Check a mapping's keys: those of `later` (pairs of key and what to do instead) are known but not
 * implemented, all others than `known` are errors that name the nearest. */
int loader_keys(struct loader *l, const struct yaml_node *mapping, const char *const *known,
		const char *const (*later)[2]);
/* "x is a list; expected a mapping" unless it is one. */
int loader_expect(struct loader *l, const struct yaml_node *n, enum yaml_kind kind);

/* load_network.c: the section network_policies (NULL: absent). */
int load_networks(struct loader *l, const struct yaml_node *section);
/* load_rule.c: rules, deny_rules and access of one endpoint. */
int load_rules(struct loader *l, const struct yaml_node *endpoint, struct endpoint *ret);
int load_matcher(struct loader *l, const struct yaml_node *n, struct query_matcher *ret);
/* A glob of text in which nothing is special to `*` (delimiter 0), or of a path (`/`). */
int load_glob(struct loader *l, const struct yaml_node *n, char delimiter, const struct glob **ret);
/* … and the keys that a rule of any protocol may have. */
int load_rule_keys(struct loader *l, const struct yaml_node *rule);
/* load_rpc.c: the settings of protocols json-rpc and mcp; ret->inspection.protocol is set. Of other
 * protocols: that there are none. */
int load_rpc_settings(struct loader *l, const struct yaml_node *endpoint, struct endpoint *ret);
/* rules and deny_rules of an endpoint of these protocols (each NULL: absent). */
int load_rpc_rules(struct loader *l, const struct yaml_node *endpoint, struct endpoint *ret);
/* range.c: parse "ADDRESS" or "ADDRESS/BITS"; 0, or -EINVAL with *e (without place). */
int range_parse(const char *text, struct address_range *ret, struct error *e);
bool range_holds(const struct address_range *range, const uint8_t *address, size_t size);
/* index.c: after everything is loaded. 0 or -ENOMEM. */
int index_build(struct policy *p);
int index_rules(struct arena *arena, struct rule_set *set);
/* The endpoints' numbers for a lower-case host and a port, ascending. */
size_t index_exact(const struct policy *p, struct span host, uint16_t port, const uint32_t **ret);
/* Those with wildcards for a port; their hosts are still to be matched. */
size_t index_wild(const struct policy *p, uint16_t port, const struct port_endpoint **ret);
/* First rule with this prefix (index + 1), or 0; hash: the prefix's, by base/hash.h. */
uint32_t index_rule(const struct rule_set *set, uint64_t hash, uint32_t length);

/* host.c: 0, or -EINVAL with *e (without place) saying what is wrong with a host as written. */
int host_check(const char *host, struct error *e);
/* A lower-case host against a checked, lower-case pattern with `*`. */
bool host_match(const char *pattern, struct span host);
#endif
