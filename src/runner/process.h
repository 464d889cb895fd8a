/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes of a run beyond those that the runner itself holds: stopping one with all its kind, and
 * finding what they left. The runner's process is a subreaper, so that whatever its children leave
 * becomes its own child. Called by run.c, server.c, script.c.
 */
#ifndef POSTERN_PROCESS_H
#define POSTERN_PROCESS_H
#include "base/buf.h"
#include "runner/watch.h"
#include <sys/types.h>

struct process {
	pid_t pid; /* 0: none, or reaped */
	int pidfd;
	int status; /* a wait status, once reaped */
};
#define PROCESS_INIT ((struct process){ .pidfd = -1 })

/* It has ended (its pidfd is readable): reap it. */
void process_reap(struct process *p);
/* SIGTERM to it, grace_ms for its end, then SIGKILL to it and its session's group; SIGKILL at once
 * when a signal comes meanwhile. Reaps. True when it ended by itself after SIGTERM. */
bool process_stop(struct process *p, struct watch *w, unsigned grace_ms);
/* 128 + signal, or the exit code. */
int process_exit_code(int status);

/* Kill and reap all descendants of this process that are still there, and describe each in names
 * ("sleep (123)", comma-separated). The number found. */
unsigned process_sweep(struct buf *names);
#endif
