/* SPDX-License-Identifier: Apache-2.0 */
/* Gives each server its port in the sandbox. */
#include "runner/ports.h"
#include "base/cleanup.h"
#include "base/limit.h"
#include "policy/policy.h"

#include <errno.h>

#define API_HOST "host.openshell.internal"

struct named_ports {
	unsigned list[LIMIT_API_PORTS];
	unsigned count;
};

static bool has(const struct named_ports *p, unsigned port)
{
	for (unsigned i = 0; i < p->count; i++)
		if (p->list[i] == port)
			return true;
	return false;
}

static void collect(const struct policy *policy, struct named_ports *ret)
{
	for (size_t i = 0; i < policy_endpoint_count(policy); i++) {
		struct policy_endpoint endpoint;
		policy_endpoint(policy, i, &endpoint);
		if (strcmp(endpoint.host, API_HOST) != 0)
			continue;
		for (size_t k = 0; k < endpoint.n_ports; k++)
			if (ret->count < LIMIT_API_PORTS && !has(ret, endpoint.ports[k]))
				ret->list[ret->count++] = endpoint.ports[k];
	}
}

/* The only port of the policy's that no server claims, for the only server without one. */
static int choose(const struct harness *h, const struct named_ports *named, unsigned server,
		  unsigned *ret, struct error *e)
{
	const struct harness_server *s = &h->servers[server];
	unsigned found = 0, n_found = 0;
	for (unsigned i = 0; i < h->n_servers; i++)
		if (i != server && !h->servers[i].port)
			return error_at(e, EINVAL, s->place.line, s->place.column,
					"servers '%s' and '%s' both have port 0; give all but one "
					"the port that "
					"the policy names",
					s->name, h->servers[i].name);
	for (unsigned i = 0; i < named->count; i++) {
		bool claimed = false;
		for (unsigned k = 0; k < h->n_servers; k++)
			claimed = claimed || h->servers[k].port == named->list[i];
		if (!claimed) {
			found = named->list[i];
			n_found++;
		}
	}
	if (n_found != 1)
		return error_at(e, EINVAL, s->place.line, s->place.column,
				"server '%s' has port 0, and the policy names %u ports of " API_HOST
				" that could be meant; it has to be one, or give the port here",
				s->name, n_found);
	*ret = found;
	return 0;
}

int ports_resolve(const struct harness *h, const struct policy *policy, struct server *servers,
		  char *ret_unnamed, size_t size, struct error *e)
{
	struct named_ports named = { 0 };
	collect(policy, &named);
	*ret_unnamed = '\0';
	for (unsigned i = 0; i < h->n_servers; i++) {
		servers[i].sandbox_port = h->servers[i].port;
		if (!h->servers[i].port) {
			int r = choose(h, &named, i, &servers[i].sandbox_port, e);
			if (r < 0)
				return error_in_file(e, h->name);
		} else if (!has(&named, h->servers[i].port)) {
			snprintf(ret_unnamed, size, "%s", h->servers[i].name);
		}
	}
	return 0;
}
