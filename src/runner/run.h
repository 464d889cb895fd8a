/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a run, in the one order there is: pre-script, servers, health, sandbox, agent, sandbox
 * gone, servers gone, post-script, and the check that nothing is left. Whatever fails, everything
 * that was begun is ended in that order. Called by `postern run`; tells what happens by a callback
 * and never prints. Owns what it makes: the output folder (which stays), tokens, servers, the sandbox.
 */
#ifndef POSTERN_RUN_H
#define POSTERN_RUN_H
#include "base/error.h"
#include "runner/harness.h"
#include <stdint.h>

struct policy; /* policy/policy.h */

enum run_step {
	RUN_STEP_BEGUN,
	RUN_STEP_OK,
	RUN_STEP_FAILED,
	RUN_STEP_NOTE, /* a remark: nothing failed */
	RUN_STEP_COUNT
};

struct run_event {
	enum run_step state;
	const char *name;   /* "server api", "agent" */
	const char *detail; /* for people; may be "" */
	double seconds;	    /* that the step took, when it has ended */
};
typedef void run_progress(void *arg, const struct run_event *event);

/* How a run ended, beside the agent's exit code. */
enum run_outcome {
	RUN_AGENT_ENDED, /* the agent ran to its end: exit_code is its own (128 + signal) */
	RUN_FAILED,	 /* a script, a server, the sandbox or the clean-up failed */
	RUN_CONFIG,	 /* a file is malformed */
	RUN_UNAVAILABLE, /* something needed is missing on this machine */
	RUN_PORT_TAKEN,
	RUN_TIMED_OUT,	 /* timeout_minutes were over */
	RUN_INTERRUPTED, /* by a signal */
	RUN_OUTCOME_COUNT
};

struct run_options {
	const struct harness *harness;
	const struct policy *policy;	/* that the harness names */
	const char *const *command;	/* NULL-terminated: the agent */
	const char *temp;		/* a folder from temp_make(); removed at the end */
	const char *output;		/* folder for logs and run.json; NULL: .postern/runs/ID */
	const char *const *environment; /* NULL-terminated: of whoever called */
	int agent_out;			/* becomes the agent's stdout */
	bool keep;			/* keep the servers' state as OUTPUT/state */
	uint64_t timeout_ms;		/* 0: none */
	run_progress *progress;
	void *progress_arg;
};

struct run_result {
	enum run_outcome outcome;
	int exit_code;	   /* with RUN_AGENT_ENDED */
	char output[4096]; /* the output folder, "" when there was none yet */
	char *record;	   /* run.json's text; the caller frees; may be NULL */
	char *log_tail; /* last lines of what failed, for people; the caller frees; may be NULL */
};

/* Run it all. 0 when outcome is RUN_AGENT_ENDED, else -errno with *e saying what failed. *ret is
 * always filled. The caller must be single-threaded. */
int run_execute(const struct run_options *o, struct run_result *ret, struct error *e);
#endif
