/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which engine works here: each is tried on a two-line image, in the jail that builds get. Used by
 * postern-worker: for engine "auto" (once per run) and for `postern doctor`.
 */
#ifndef POSTERN_WORKER_PROVE_H
#define POSTERN_WORKER_PROVE_H
#include "worker/contained.h"

struct proof {
	enum engine_choice engine;
	char version[ENGINE_VERSION_SIZE]; /* "" when it is not known yet */
	uint64_t ms;			   /* that the two-line image took; 0: not tried */
};

/* Try one engine, with a scratch folder of its own below dirfd; socket: of a dockerd, or NULL. 0; or
 * -errno with *e saying why not. */
int prove_engine(enum engine_choice engine, int dirfd, const char *socket, struct proof *ret,
		 struct error *e);

/* The engine to use: the chosen one, or the first that proves itself. What is known of it is
 * remembered in the file "engine" of run_fd. -ENOENT with *e naming each failure when none does. */
int prove_choose(enum engine_choice choice, int run_fd, int scratch_fd, struct proof *ret,
		 struct error *e);
/* Remember what a build has found out. */
void prove_remember(int run_fd, const struct proof *p);
#endif
