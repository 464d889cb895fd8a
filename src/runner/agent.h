/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent in its sandbox, as a run sees it: the seam between the runner and whatever makes sandboxes
 * (src/sandbox). Called by run.c. Hands the sandbox the tokens of the run's servers as credentials
 * bound to host.openshell.internal:PORT, and the agent placeholders only.
 */
#ifndef POSTERN_AGENT_H
#define POSTERN_AGENT_H
#include "runner/process.h"
#include "runner/server.h"

struct policy; /* policy/policy.h */

struct agent_options {
	const struct policy *policy;
	const char *name;		/* what `postern policy set` calls its sandbox */
	const char *const *command;	/* NULL-terminated */
	const char *workspace;		/* the agent's working folder */
	const char *const *environment; /* of the caller: TERM and the like */
	const struct harness_variables *env;
	const struct server *servers;
	unsigned n_servers;
	int log, log_json; /* the decision logs, or -1 */
	int out; /* becomes the agent's stdout. Where this, stdin or stderr is a terminal, the agent
		    gets one of its own instead */
};

struct agent;

/* Make the sandbox and start the agent in it. 0, or -errno with *e with file, line and column when the policy is malformed. */
int agent_start(const struct agent_options *o, struct agent **ret, struct error *e);
/* From now on, whoever waits with w passes on what is typed and written at the user's terminal. */
void agent_relay(struct agent *a, struct watch *w);
/* Wait until it, or something that its sandbox needs, has ended, or until something else comes first. Where another policy decides
 * meanwhile, note is told. */
enum watch_event agent_wait(struct agent *a, struct watch *w, uint64_t deadline_ms,
			    void (*note)(void *arg, const char *text), void *arg);
/* Ask it to end, and after grace_ms make it end; at once when a signal comes meanwhile. */
void agent_stop(struct agent *a, struct watch *w, unsigned grace_ms);
/* End everything of the sandbox, give the user's terminal back and free. The agent's exit code (128 + signal); *ret_failed when the
 * sandbox failed, not the agent; why, of size bytes, says what else there is to say, or "". */
int agent_finish(struct agent *a, struct watch *w, bool *ret_failed, char *why, size_t size);
#endif
