/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a policy means for a sandbox's root: the mounts that it is assembled from, and the Landlock
 * rules on top. Called by sandbox.c. Looks at the host's paths that the policy lists, and at nothing
 * else; makes and mounts nothing itself.
 */
#ifndef POSTERN_SANDBOX_PLAN_H
#define POSTERN_SANDBOX_PLAN_H
#include "base/limit.h"
#include "jail/jail.h"
#include "jail/landlock.h"
#include "policy/policy.h"
#include "sandbox/resolve.h"

/* Enough for whatever a policy can list. */
#define PLAN_MOUNTS_MAX LIMIT_JAIL_MOUNTS
#define PLAN_RULES_MAX	LIMIT_JAIL_MOUNTS
#define SANDBOX_WORKDIR "/sandbox"

struct sandbox_plan {
	struct jail_mount mounts[PLAN_MOUNTS_MAX];
	unsigned n_mounts;
	struct jail_landlock_rule rules[PLAN_RULES_MAX];
	unsigned n_rules;
	struct jail_landlock landlock; /* of those rules; use it only when has_landlock */
	bool has_landlock;
	struct writable writable; /* what of the host's the sandbox can write */
	int rootfs;		  /* owned: the folder that is the root (O_PATH), or -1 */
	uid_t uid;		  /* the command's, inside */
	gid_t gid;
	const char *user; /* its name */
	char passwd[256], group[256], hosts[256];
	char link[8][64];		  /* what /bin, /lib, … point to */
	char *source[LIMIT_POLICY_PATHS]; /* owned: where listed paths lead */
	unsigned n_sources;
};

/* Fill *ret from a policy; dir is the host's folder for /sandbox, rootfs the one for the root, or NULL. Strings
 * point into the policy, into dir and into *ret itself, which must not be copied. 0, or -errno with *e at the
 * policy's place. sandbox_plan_done() is due in any case. */
int sandbox_plan_make(const struct policy *p, const char *dir, const char *rootfs,
		      struct sandbox_plan *ret, struct error *e);
/* Free what it owns. */
void sandbox_plan_done(struct sandbox_plan *plan);
#endif
