/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An OpenShell version-1 policy, loaded once and never changed: what may be read and written, as
 * whom the sandbox's command runs, and which network requests are allowed. Owns all its strings.
 * Called by commands, sandbox, proxy and dialer; the decisions are in match.h. A field that is not
 * implemented is refused when loading, never ignored. Never logs, never looks at the file system
 * (whether a listed path exists is the sandbox's affair), never reads what an agent wrote.
 */
#ifndef POSTERN_POLICY_H
#define POSTERN_POLICY_H
#include "base/cleanup.h"
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct policy;

/* Load a policy; file is its name in errors and warnings. 0 and a policy to free, or -errno with
 * *e saying place, fault and what to write instead. */
int policy_load(const char *bytes, size_t n, const char *file, struct policy **ret,
		struct error *e);
int policy_load_file(const char *path, struct policy **ret, struct error *e);
void policy_free(struct policy *p);
static inline void policy_freep(struct policy **p)
{
	policy_free(*p);
}
#define _cleanup_policy_ _cleanup_(policy_freep)

const char *policy_file(const struct policy *p);
/* What it was loaded from: who needs the same policy elsewhere never reads the file again, which may have changed, or be a pipe. */
const char *policy_text(const struct policy *p, size_t *ret_len);

/* What is accepted, but surely not meant: a rule that matches nothing, a missing enforcement. In
 * the order of lines. */
struct policy_warning {
	unsigned line, column; /* 1-based */
	const char *message;   /* one sentence without the place */
};
const struct policy_warning *policy_warnings(const struct policy *p, size_t *ret_n);

/* filesystem_policy. All paths are absolute, without `.`, `..`, `//` or a trailing slash. */
struct policy_path {
	const char *path;
	unsigned line, column; /* where it is listed, for errors */
};
struct policy_filesystem {
	bool present;	      /* the section is there */
	bool include_workdir; /* the working directory is read-write: as said, else false; true
				 when the whole section is absent (both as OpenShell does) */
	const struct policy_path *read_only;
	size_t n_read_only;
	const struct policy_path *read_write;
	size_t n_read_write;
};
const struct policy_filesystem *policy_filesystem(const struct policy *p);

/* landlock.compatibility: best_effort (also when not said) skips a listed path that does not
 * exist; hard_requirement makes that, and a kernel without Landlock, an error. */
enum policy_landlock { POLICY_LANDLOCK_BEST_EFFORT, POLICY_LANDLOCK_HARD_REQUIREMENT };
enum policy_landlock policy_landlock(const struct policy *p);

/* process. Names or numbers as written; NULL when not given. Never root, "0" or "". */
struct policy_process {
	const char *run_as_user, *run_as_group;
};
const struct policy_process *policy_process(const struct policy *p);

/* True when there is at least one network policy: OpenShell then adds read-only /usr /lib /etc
 * /var/log /proc /dev/urandom and read-write /tmp to the file system policy. */
bool policy_has_network(const struct policy *p);

/* Whether a sandbox that was made for one is what it would be for the other: the same paths, landlock and process, and
 * network policies, and TLS that is looked into, in both or in neither. What is not tells *ret_what. */
bool policy_same_sandbox(const struct policy *a, const struct policy *b, const char **ret_what);

/* The network endpoints, for explaining and for checking what a run needs: endpoint i of n. */
struct policy_endpoint {
	const char *policy;    /* key of the network policy that it is in */
	const char *host;      /* lower case; may hold wildcards */
	const uint16_t *ports; /* at least one */
	size_t n_ports;
	const char *path;   /* glob that chooses this endpoint by path; NULL for all paths */
	bool inspected;	    /* it has a protocol: rest, json-rpc or mcp */
	bool calls;	    /* … of the latter two: the calls in bodies decide */
	bool enforced;	    /* enforcement: enforce */
	bool host_wildcard; /* host holds `*` */
	unsigned line;	    /* where it begins */
};
/* True when TLS may have to be looked into: there is an endpoint without tls: skip. */
bool policy_looks_into_tls(const struct policy *p);
size_t policy_endpoint_count(const struct policy *p);
void policy_endpoint(const struct policy *p, size_t i, struct policy_endpoint *ret);
#endif
