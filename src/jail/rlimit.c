/* SPDX-License-Identifier: Apache-2.0 */
/* Sets the resource limits of what is to be confined. */
#include "jail/internal.h"

#include <errno.h>
#include <sys/resource.h>

/* Never higher than what it has. */
static int set(int resource, uint64_t limit, struct error *e)
{
	struct rlimit hard, want = { limit, limit };
	if (getrlimit((__rlimit_resource_t)resource, &hard) == 0 && want.rlim_max > hard.rlim_max)
		want = (struct rlimit){ hard.rlim_max, hard.rlim_max };
	if (setrlimit((__rlimit_resource_t)resource, &want) < 0)
		return error_set(e, errno, "cannot set resource limit %d: %s", resource,
				 strerror(errno));
	return 0;
}

int rlimit_set(const struct jail_rlimit *limits, unsigned n, struct error *e)
{
	int r = set(RLIMIT_CORE, LIMIT_CORE_BYTES, e);
	for (unsigned i = 0; r == 0 && i < n; i++)
		r = set(limits[i].resource, limits[i].limit, e);
	return r;
}
