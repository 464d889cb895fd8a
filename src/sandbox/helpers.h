/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The three processes beside a sandbox: proxy, dialer and witness. Owns them and the channels to
 * them. Called by sandbox.c. Started before the jail's command runs, and as early as can be; each says when it is ready.
 */
#ifndef POSTERN_SANDBOX_HELPERS_H
#define POSTERN_SANDBOX_HELPERS_H
#include "sandbox/sandbox.h"
#include "sandbox/trust.h"
#include <stdint.h>
#include <sys/types.h>

#define HELPERS_CA_MAX 8192 /* bytes */

enum helper { HELPER_PROXY, HELPER_DIALER, HELPER_WITNESS, HELPER_COUNT };

struct helpers {
	struct {
		pid_t pid; /* 0: none */
		int pidfd;
		int channel;
	} one[HELPER_COUNT];
	char ca[HELPERS_CA_MAX]; /* certificate of the authority that dialer made */
	size_t ca_len;		 /* 0: none */
	uint64_t policies;	 /* that came after the first one */
	int who;		 /* witness's end of its channel to proxy, until witness has it */
};
#define HELPERS_INIT                                                                               \
	((struct helpers){ .one = { { .pidfd = -1, .channel = -1 },                                \
				    { .pidfd = -1, .channel = -1 },                                \
				    { .pidfd = -1, .channel = -1 } },                              \
			   .who = -1 })

/* What they are made of; all stays the caller's. */
struct helper_sources {
	const char *policy; /* text */
	size_t policy_len;
	const struct trust *trust;
	const struct sandbox_options *options;
	int listener, diag, proc, user; /* the jail's */
};

/* Start dialer and proxy, which have most to do, so that they do it while the jail is made. 0 or -errno with *e; call
 * helpers_end() in either case. */
int helpers_start_early(struct helpers *h, const struct helper_sources *from, struct error *e);
/* Hand proxy the jail's socket, start witness, hand dialer its credentials and servers, wait until all are ready. The
 * same. */
int helpers_start(struct helpers *h, const struct helper_sources *from, struct error *e);
/* Have proxy and dialer decide by another policy from now on. 0, or -errno with *e: then one of them is ending. */
int helpers_set_policy(struct helpers *h, const char *policy, size_t n, struct error *e);
/* The name of one that has ended, and how (a wait status, reaped), or NULL when all run. */
const char *helpers_dead(struct helpers *h, int *ret_status);
/* End and reap all. */
void helpers_end(struct helpers *h);
#endif
