/* SPDX-License-Identifier: Apache-2.0 */
/* Says what a policy accepts, but surely does not mean. */
#include "base/cleanup.h"
#include "cmd/cmd.h"
#include "policy/policy.h"

#include <stdio.h>

static void cleanup_policy(struct policy **p)
{
	policy_free(*p);
}

void cmd_print_policy_warnings(const char *command, const char *path)
{
	_cleanup_(cleanup_policy) struct policy *policy = NULL;
	struct error e = { 0 };
	size_t n;
	if (policy_load_file(path, &policy, &e) < 0)
		return; /* whoever uses the policy says why */
	const struct policy_warning *w = policy_warnings(policy, &n);
	for (size_t i = 0; i < n; i++)
		fprintf(stderr, "postern %s: warning: %s:%u:%u: %s\n", command, path, w[i].line,
			w[i].column, w[i].message);
}
