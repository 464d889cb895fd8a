/* SPDX-License-Identifier: Apache-2.0 */
/* The table of messages between the sandbox's processes. */
#include "proxy/messages.h"
#include "base/limit.h"
#include "proxy/address.h"
#include "proxy/resolve.h"

#include <assert.h>

#define TEXT_MAX      (8 * 1024)
#define ADDRESS_MAX   256 /* a host name, or a Unix socket's path */
#define ADDRESS_BYTES 32  /* two IPv6 addresses */

static const struct msg_type types[] = {
	[SANDBOX_NONE] = { SANDBOX_NONE, NULL, 0, "", 0, 0, 0 },

	[SANDBOX_CREDENTIAL] = { SANDBOX_CREDENTIAL, "credential", SANDBOX_ROLE_SUPERVISOR,
				 "sbsusu", TEXT_MAX + LIMIT_CREDENTIAL_BYTES, 0, 0 },
	[SANDBOX_SERVER] = { SANDBOX_SERVER, "server", SANDBOX_ROLE_SUPERVISOR, "us", ADDRESS_MAX,
			     0, 0 },
	[SANDBOX_HOST] = { SANDBOX_HOST, "host", SANDBOX_ROLE_SUPERVISOR, "s", ADDRESS_MAX, 0, 0 },
	[SANDBOX_SETUP_DONE] = { SANDBOX_SETUP_DONE, "setup_done", SANDBOX_ROLE_SUPERVISOR, "", 0,
				 0, 0 },

	[SANDBOX_LISTENER] = { SANDBOX_LISTENER, "listener", SANDBOX_ROLE_SUPERVISOR, "", 0, 1, 1 },

	[SANDBOX_POLICY] = { SANDBOX_POLICY, "policy", SANDBOX_ROLE_SUPERVISOR, "u", 0, 1, 1 },
	[SANDBOX_POLICY_TAKEN] = { SANDBOX_POLICY_TAKEN, "policy_taken",
				   SANDBOX_ROLE_PROXY | SANDBOX_ROLE_DIALER, "", 0, 0, 0 },

	[SANDBOX_READY] = { SANDBOX_READY, "ready",
			    SANDBOX_ROLE_PROXY | SANDBOX_ROLE_DIALER | SANDBOX_ROLE_WITNESS, "", 0,
			    0, 0 },

	[SANDBOX_CA] = { SANDBOX_CA, "ca", SANDBOX_ROLE_DIALER, "b", TEXT_MAX, 0, 0 },

	[SANDBOX_DIAL] = { SANDBOX_DIAL, "dial", SANDBOX_ROLE_PROXY, "subuuu",
			   LIMIT_PROXY_HEAD_BYTES + ADDRESS_MAX, 0, 1 },
	[SANDBOX_LEAF] = { SANDBOX_LEAF, "leaf", SANDBOX_ROLE_PROXY, "su", ADDRESS_MAX, 0, 0 },
	[SANDBOX_DIAL_CANCEL] = { SANDBOX_DIAL_CANCEL, "dial_cancel", SANDBOX_ROLE_PROXY, "u", 0, 0,
				  0 },

	[SANDBOX_DIALED] = { SANDBOX_DIALED, "dialed", SANDBOX_ROLE_DIALER, "u", 0, 1, 1 },
	[SANDBOX_DIAL_FAILED] = { SANDBOX_DIAL_FAILED, "dial_failed", SANDBOX_ROLE_DIALER, "uu", 0,
				  0, 0 },

	[SANDBOX_LEAF_MADE] = { SANDBOX_LEAF_MADE, "leaf_made", SANDBOX_ROLE_DIALER, "bb", TEXT_MAX,
				0, 0 },
	[SANDBOX_BLOCKED] = { SANDBOX_BLOCKED, "blocked", SANDBOX_ROLE_DIALER, "su", ADDRESS_MAX, 0,
			      0 },

	[SANDBOX_WHO] = { SANDBOX_WHO, "who", SANDBOX_ROLE_PROXY, "bubu", ADDRESS_BYTES, 0, 0 },

	[SANDBOX_ASKER] = { SANDBOX_ASKER, "asker", SANDBOX_ROLE_WITNESS, "b", SANDBOX_HOLDERS_MAX,
			    0, 0 },
	[SANDBOX_ASKER_UNKNOWN] = { SANDBOX_ASKER_UNKNOWN, "asker_unknown", SANDBOX_ROLE_WITNESS,
				    "u", 0, 0, 0 },

	[SANDBOX_RESOLVE] = { SANDBOX_RESOLVE, "resolve", SANDBOX_ROLE_DIALER, "s", ADDRESS_MAX, 0,
			      0 },
	[SANDBOX_RESOLVED] = { SANDBOX_RESOLVED, "resolved", SANDBOX_ROLE_RESOLVER, "b",
			       RESOLVE_ADDRESSES_MAX * sizeof(struct address), 0, 0 },
};
static_assert(sizeof(types) / sizeof(types[0]) == SANDBOX_MESSAGE_COUNT, "a row per message");
static_assert(SANDBOX_HOLDERS_MAX + 1024 < MSG_SIZE_MAX, "the largest message fits");
static_assert(LIMIT_PROXY_HEAD_BYTES + 2048 < MSG_SIZE_MAX, "a head fits a message");

const struct msg_table sandbox_messages = { types, SANDBOX_MESSAGE_COUNT };

const char *dial_blocked_text(enum dial_problem problem)
{
	static const char *const texts[DIAL_PROBLEM_COUNT] = {
		[DIAL_UNRESOLVED] = "declared endpoint check failed",
		[DIAL_BLOCKED_INTERNAL] = "internal address",
		[DIAL_BLOCKED_DECLARED] = "declared endpoint check failed",
		[DIAL_BLOCKED_LISTED] = "allowed_ips check failed",
	};
	return problem < DIAL_PROBLEM_COUNT ? texts[problem] : NULL;
}
