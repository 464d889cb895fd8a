/* SPDX-License-Identifier: Apache-2.0 */
/* Reading one message, from inside; internal to src/policy. */
#ifndef POSTERN_POLICY_RPC_READ_H
#define POSTERN_POLICY_RPC_READ_H
#include "policy/rpc.h"

#include <jansson.h>

/* Say why the body is no message; false. */
bool rpc_refuse(struct rpc *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* mcp.c: a call that is in order as JSON-RPC, by the schema of its method. */
bool mcp_read_call(struct rpc *r, const json_t *message, bool strict_tool_names,
		   struct policy_call *ret);
#endif
