/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operator's own pre- and post-script: run on the host, with the caller's environment, env.runner
 * and what the run is about; output goes to a log. Called by run.c.
 */
#ifndef POSTERN_SCRIPT_H
#define POSTERN_SCRIPT_H
#include "base/error.h"
#include "runner/environment.h"
#include "runner/watch.h"

struct script {
	const char *path;
	const char *directory;	       /* working folder: the harness's */
	const struct environment *env; /* the whole environment */
	const char *log;
};

/* Run it to its end. WATCH_ENDED with *ret_status (a wait status); other events end it first.
 * WATCH_FAILED with *e when it could not be started. */
enum watch_event script_run(const struct script *s, struct watch *w, uint64_t deadline_ms,
			    int *ret_status, struct error *e);
#endif
