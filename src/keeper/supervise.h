/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor of the API server: starts keeper, front and workers, hands descriptors around, restarts front, drains.
 * Called by `postern serve` with sockets that are already bound. Reads no byte of a client's, and of the token holds only
 * the digest.
 */
#ifndef POSTERN_SUPERVISE_H
#define POSTERN_SUPERVISE_H
#include "base/error.h"
#include "keeper/settings.h"
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#define SUPERVISE_LISTENERS_MAX 4

struct supervise {
	unsigned char token_digest[32]; /* BLAKE2b-256 */
	uint64_t token_expires_ms;	/* wall clock; 0: never */
	const char *settings;		/* JSON object for keeper (MESSAGE_KEEPER_SETUP) */
	struct serve_limits limits;
	const char *run;  /* the run's id; "": the one of the state directory, or a new one */
	int state_fd;	  /* the state directory */
	bool keeps_state; /* that outlives the server */
	int bases_fd;	  /* CACHE/bases, or -1 */
	int listeners[SUPERVISE_LISTENERS_MAX];
	unsigned n_listeners;
	int health_listener; /* or -1 */
	bool json;	     /* logs as JSON lines */
	unsigned grace_seconds;
	void (*ready)(void *arg, const char *run); /* called once, when requests are answered */
	void (*stopping)(void *arg);		   /* called once, when it begins to drain */
	void *arg;
};

/* Block the signals that end a server (*ret: which), for good: from now on they wait for supervise(), and what is made
 * before and removed after it is not left behind. What is spawned has none blocked. */
void supervise_hold_signals(sigset_t *ret);

/* Run the server until SIGTERM, SIGINT or SIGHUP has drained it (0), or something essential died (-errno with *e;
 * -EBADMSG: what lies in the state directory cannot be used). */
int supervise(const struct supervise *s, struct error *e);
#endif
