/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decides on one request by a loaded policy, as OpenShell's supervisor does (its recorded decisions
 * are in tests/conformance). Called by proxy for every request, by dialer to check an endpoint once
 * more, and by commands that explain. Allocates nothing, keeps nothing, changes nothing.
 */
#ifndef POSTERN_POLICY_MATCH_H
#define POSTERN_POLICY_MATCH_H
#include "http/span.h"
#include "policy/policy.h"
#include <sys/types.h>

/* What is asked of a request's body before it can be decided: protocol json-rpc or mcp. */
enum policy_protocol { POLICY_PROTOCOL_REST, POLICY_PROTOCOL_JSON_RPC, POLICY_PROTOCOL_MCP };
struct policy_inspection {
	enum policy_protocol protocol;
	uint32_t body_bytes;	/* of the body at most; more is refused undecided */
	bool strict_tool_names; /* mcp: only those of A-Z a-z 0-9 _ - . are names of tools */
};

/* One call of a body. */
struct policy_call {
	struct span method;
	bool has_tool;	  /* mcp's tools/call: */
	struct span tool; /* its params.name */
};

/* A body as it was read (rpc.h). */
struct policy_message {
	const char *refused; /* why it is no message that could be decided, or NULL */
	/* Why a server may read another message than this one, or NULL: then nothing allows it. */
	const char *doubtful;
	const struct policy_call *calls;
	size_t n_calls;
	bool batch;
	bool response; /* it is, or holds, an answer to a call of the server's */
	bool stream;   /* a GET that only listens: there is no body */
};

enum policy_via {
	POLICY_VIA_FORWARD, /* plain HTTP in absolute form */
	POLICY_VIA_CONNECT, /* the CONNECT itself: endpoint and binary are decided, no path */
	POLICY_VIA_INSIDE,  /* a request inside an accepted CONNECT */
};

struct policy_request {
	enum policy_via via;
	struct span host; /* as the client wrote it; IPv6 without brackets */
	uint16_t port;
	struct span method;   /* as the client wrote it; "CONNECT" for POLICY_VIA_CONNECT */
	struct span raw_path; /* as the client wrote it, without query; only shown in denials */
	/* The canonical path made with HTTP_PATH_ALLOW_ENCODED_SLASH: whether %2F is allowed
	 * depends on the endpoint, so it is decided here. Not read for POLICY_VIA_CONNECT. */
	struct span path;
	struct span query; /* after the `?`, as the client wrote it; empty when there is none */
	/* What its body says, read as POLICY_NEEDS_MESSAGE asked for; NULL: not read. */
	const struct policy_message *message;
	/* Who asks, by the kernel's word: the executable and its live ancestors', nearest first,
	 * up to and including the sandbox's entrypoint. NULL binary: unknown, so nobody's. */
	const char *binary;
	pid_t pid; /* of it, inside the sandbox; only shown */
	const char *const *ancestors;
	size_t n_ancestors;
	/* One of those, whose file has other content now than what was executed there first: whatever
	 * is listed, nobody's. NULL: none. */
	const char *changed;
};

enum policy_verdict {
	POLICY_ALLOWED,
	POLICY_DENIED_NO_NETWORK, /* 403: the policy has no network policies at all */
	POLICY_DENIED_ENDPOINT,	  /* 403: no endpoint has this host and port */
	POLICY_DENIED_BINARY,	  /* 403: some have, but none of them for this binary */
	POLICY_DENIED_CHANGED,	  /* 403: a program is not what it was */
	POLICY_DENIED_PATH,	  /* 403: endpoints are split by path, and none has this one */
	POLICY_DENIED_RULE,	  /* 403: no rule allows it */
	POLICY_DENIED_BY_RULE,	  /* 403: a deny rule names it */
	POLICY_DENIED_SLASH,	  /* 403: inside CONNECT, %2F where another endpoint of this host
				     and port allows it, but this path's does not */
	POLICY_BAD_SLASH,	  /* 400 invalid_request_target: %2F without allow_encoded_slash */
	POLICY_BAD_QUERY,	  /* 400 invalid_request_target: the query cannot be decoded */
	POLICY_DENIED_MESSAGE,	  /* 403: the body is no message, or a doubtful one */
	POLICY_DENIED_RESPONSE,	  /* 403: an answer, where only calls are taken (json-rpc) */
	POLICY_NEEDS_MESSAGE, /* undecided: read the body as decision.inspection says, and ask again */
	POLICY_VERDICT_COUNT
};

struct policy_decision {
	bool allowed;
	/* Why. With `audited`, what would have been said if the endpoint were enforced. */
	enum policy_verdict verdict;
	bool audited;	/* allowed only since the endpoint's enforcement is audit: log it */
	bool inspected; /* with a protocol. With POLICY_VIA_CONNECT: every request in the tunnel is
			   to be parsed and decided, and anything that is no HTTP is refused. */
	bool tls_skip;	/* With POLICY_VIA_CONNECT: the tunnel passes as it is, whatever is in it;
			  `inspected` then says nothing. */
	/* Placeholders in its body are filled in (request_body_credential_rewrite). */
	bool body_credentials;
	bool host_wildcard; /* of this binary's entries, none names the host: see policy_host() */
	const char *policy; /* key of the network policy that decided, or NULL; of the policy's */
	unsigned line;	    /* of the rule or endpoint that decided; 0 when none did */
	struct policy_inspection inspection; /* of the endpoint whose settings hold */
	/* POLICY_DENIED_BINARY: keys of the policies that have the endpoint, the first few. */
	const char *refusing[4];
	size_t n_refusing;
};

/* Decide; fills all of *ret. Of a message with several calls each must be allowed. */
void policy_decide(const struct policy *p, const struct policy_request *r,
		   struct policy_decision *ret);

enum policy_host {
	POLICY_HOST_NONE,     /* no endpoint has this host and port */
	POLICY_HOST_EXACT,    /* one names it: private addresses are allowed, loopback is not */
	POLICY_HOST_WILDCARD, /* by wildcard only: public addresses only */
	POLICY_HOST_LISTED,   /* allowed_ips: only addresses that policy_address_listed() knows */
};
/* What the policy says of a host and port whoever asks: for dialer, which does not know who.
 * wildcards_only: by the entries whose host is a wildcard, for one whom no entry allows it by name. */
enum policy_host policy_host(const struct policy *p, struct span host, uint16_t port,
			     bool wildcards_only);
/* Whether TLS with this host and port may be looked into, whoever asks: an endpoint has no tls: skip. */
bool policy_tls_looked_into(const struct policy *p, struct span host, uint16_t port);
/* Whether an endpoint of this host and port has placeholders in bodies filled in, whoever asks. */
bool policy_body_credentials(const struct policy *p, struct span host, uint16_t port);
/* For POLICY_HOST_LISTED: whether an address (network order; 4 or 16 bytes, a mapped one as 4) is in
 * allowed_ips. Loopback and link-local never are: such entries do not load. */
bool policy_address_listed(const struct policy *p, struct span host, uint16_t port,
			   bool wildcards_only, const uint8_t *address, size_t size);

/* For POLICY_HOST_LISTED: the endpoint whose allowed_ips decide, as it is written. False when none does. */
struct policy_listing {
	const char *policy, *host; /* of the policy's; host "" when it has none */
	unsigned line;
};
bool policy_listing(const struct policy *p, struct span host, uint16_t port, bool wildcards_only,
		    struct policy_listing *ret);

/* "policy_denied" or "invalid_request_target": the error that a client is told. NULL when allowed
 * or not decided yet. */
const char *policy_verdict_error(enum policy_verdict v);
#endif
