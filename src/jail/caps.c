/* SPDX-License-Identifier: Apache-2.0 */
/* Giving up capabilities. */
#include "jail/internal.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int caps_keep(uint64_t mask)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	if (syscall(SYS_capget, &head, data) < 0)
		return -errno;
	/* The bounding set first: dropping from it needs CAP_SETPCAP, which may go below. */
	for (unsigned cap = 0; cap < 64; cap++) {
		int held = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
		if (held < 0)
			break; /* beyond the last one that this kernel knows */
		bool can = data[0].effective & (1u << CAP_SETPCAP);
		if (held && can && !(mask & (1ull << cap)) &&
		    prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return -errno;
	}
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	for (unsigned i = 0; i < 2; i++) {
		uint32_t keep = (uint32_t)(mask >> (32 * i)) & data[i].permitted;
		data[i] = (struct __user_cap_data_struct){ .effective = keep, .permitted = keep };
	}
	return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}
