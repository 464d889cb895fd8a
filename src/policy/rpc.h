/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the body of a JSON-RPC 2.0 or MCP request into what the matcher decides by, and says why it is no
 * such message, in OpenShell's words. Called by proxy, on what an agent sent. Owns what it read until
 * rpc_done(). Never looks at what a call is about but at MCP's names of tools, and never lets two values for
 * one name pass: the server might take the other one.
 */
#ifndef POSTERN_POLICY_RPC_H
#define POSTERN_POLICY_RPC_H
#include "http/head.h"
#include "policy/match.h"

struct rpc {
	struct policy_message message; /* points into what follows */
	struct policy_call *calls;
	void *document; /* of the JSON library */
	char refused[512];
};

/* Once, before the process gives up its rights: the JSON library wants a random number. */
void rpc_init(void);

/* Read a body; *ret is filled, also when it is no message (message.refused), and the caller ends it with
 * rpc_done(). */
void rpc_parse(const char *body, size_t n, const struct policy_inspection *how, struct rpc *ret);
void rpc_done(struct rpc *r);

/* Why a server may read another message out of a request with this head than its bytes say, or NULL: for
 * message.doubtful. */
const char *rpc_doubt(const struct http_head *h);
/* Whether a request is a GET without body that listens to the server (Accept: text/event-stream). */
bool rpc_is_stream(const struct http_head *h);
#endif
