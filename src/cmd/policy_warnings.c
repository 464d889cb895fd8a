/* SPDX-License-Identifier: Apache-2.0 */
/* Says what a policy accepts, but surely does not mean. */
#include "base/cleanup.h"
#include "cmd/cmd.h"
#include "policy/policy.h"

#include <stdio.h>

void cmd_print_policy_warnings(const char *command, const struct policy *policy)
{
	size_t n;
	const struct policy_warning *w = policy_warnings(policy, &n);
	for (size_t i = 0; i < n; i++)
		fprintf(stderr, "postern %s: warning: %s:%u:%u: %s\n", command, policy_file(policy),
			w[i].line, w[i].column, w[i].message);
}
