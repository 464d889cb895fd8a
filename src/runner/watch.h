/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a run waits with: one place that hears the process it waits for, every server that must not
 * die meanwhile, signals, and the deadline. Owns the signal descriptor. Called by run.c, server.c and
 * script.c; never kills anything itself.
 */
#ifndef POSTERN_WATCH_H
#define POSTERN_WATCH_H
#include "base/limit.h"
#include "sandbox/terminal.h"
#include <stdbool.h>
#include <stdint.h>

enum watch_event {
	WATCH_ENDED, /* the process that was waited for */
	WATCH_DEADLINE,
	WATCH_SIGNAL,  /* SIGINT, SIGTERM, SIGHUP or SIGQUIT came, or had come before */
	WATCH_SERVER,  /* a server that must not end has ended; see dead_server */
	WATCH_CONTROL, /* something came on control_fd */
	WATCH_FAILED,  /* poll itself failed */
};

struct watch {
	int signal_fd;
	unsigned signals; /* how many came so far */
	int last_signal;
	unsigned tolerated; /* signals that do not end a wait any more: teardown sets it */
	int server_fds[LIMIT_HARNESS_SERVERS]; /* pidfds; -1: not watched */
	unsigned n_servers;
	unsigned dead_server;
	int control_fd;		   /* -1: none */
	struct terminal *terminal; /* what goes over it is passed on while waiting; NULL: none */
};

/* Block the signals (and SIGWINCH, which is the terminal's) and hear them from now on; 0 or -errno. watch_done() gives them back. */
int watch_init(struct watch *w);
void watch_done(struct watch *w);

/* Wait until pidfd is readable (-1: for nothing), or until deadline_ms of CLOCK_MONOTONIC
 * (0: none). */
enum watch_event watch_wait(struct watch *w, int pidfd, uint64_t deadline_ms);
#endif
