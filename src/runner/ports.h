/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which port each server has in the sandbox. A harness's `port` is that port, and for a server that
 * listens on TCP its real one, too. With `port: 0` the real one is any free one, and the sandbox sees
 * the one port that the policy allows for host.openshell.internal and no other server has. Called by
 * run.c before anything is started.
 */
#ifndef POSTERN_PORTS_H
#define POSTERN_PORTS_H
#include "runner/server.h"

struct policy; /* policy/policy.h */

/* Fill sandbox_port of each. 0, or -errno with *e at its place in the policy or the harness. A server
 * whose port the policy does not name is no error (scripts may use it); its name is put into
 * ret_unnamed, of size bytes, else that is "". */
int ports_resolve(const struct harness *h, const struct policy *policy, struct server *servers,
		  char *ret_unnamed, size_t size, struct error *e);
#endif
