/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One API server of a run: `postern serve`, or any program keeping the contract (--port, --token,
 * --bind-address, GET /healthz, an end on SIGTERM). Owns the process, its token and its log file.
 * Called by run.c.
 *
 * Postern itself listens on a Unix socket in the run's temporary folder, gets its token by descriptor
 * and is asked for its health on a socket of its own. Other programs listen on 127.0.0.1 and get the
 * token as --token, as the contract wants it, where every process of this user can read it.
 */
#ifndef POSTERN_SERVER_H
#define POSTERN_SERVER_H
#include "base/error.h"
#include "runner/harness.h"
#include "runner/process.h"
#include "runner/watch.h"

#define SERVER_TOKEN_SIZE 65 /* 256 bits in hexadecimal, NUL included */

/* What all servers of a run share. */
struct server_context {
	const char *run_id;
	const char *directory; /* working folder: the harness's */
	const char *temp;      /* the run's private temporary folder */
	const char *output;    /* where the log goes */
	const char *const *environment;
	const struct harness_variables *runner_env;
};

struct server {
	const struct harness_server *spec;
	struct process process;
	char token[SERVER_TOKEN_SIZE];
	char log[4096];
	char address[160];     /* for the sandbox's dialer: "unix:/path" or "127.0.0.1:PORT" */
	char health[160];      /* the same, for health_ask() */
	unsigned sandbox_port; /* what the sandbox and its policy call it */
	bool running;
};

/* Start it. 0; -EADDRINUSE when its port is taken; other -errno; always with *e. */
int server_start(struct server *s, const struct server_context *c, struct error *e);
/* Wait until it is healthy. WATCH_ENDED: healthy. WATCH_SERVER: it, or another watched one, ended.
 * WATCH_DEADLINE: LIMIT_HEALTH_SECONDS are over, or deadline_ms (0: none) has come, and why says what it
 * answered. */
enum watch_event server_await_health(const struct server *s, struct watch *w, uint64_t deadline_ms,
				     char *why, size_t size);
/* End it. True when it ended by itself after SIGTERM and with exit code 0. */
bool server_stop(struct server *s, struct watch *w);
/* The last lines of a log as text, each indented by two spaces; the caller frees; NULL when there
 * are none. Control characters are replaced: a log is not to drive a terminal. */
char *log_tail(const char *path, unsigned lines);
#endif
