/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measures what a build stores. The measuring runs in a jail of its own, where the files of the
 * jail's ids can be read and nothing of the build's can be reached or reach it. Used by
 * postern-worker.
 */
#ifndef POSTERN_WORKER_METER_H
#define POSTERN_WORKER_METER_H
#include "base/error.h"
#include "jail/jail.h"
#include <stdint.h>

struct meter {
	struct jail jail;
	int from; /* readable when there is a new figure */
};
#define METER_INIT ((struct meter){ .jail = JAIL_INIT, .from = -1 })

#define METER_TOO_DEEP "the build made folders more than %d deep"

/* Begin to measure the folder work_fd, again and again. */
int meter_start(struct meter *m, int work_fd, struct error *e);
/* After `from` became readable: the bytes stored now. 0 or -errno; -E2BIG when something lies deeper
 * than LIMIT_BUILD_DEPTH, where nothing is counted. */
int meter_read(struct meter *m, uint64_t *ret_bytes);
void meter_done(struct meter *m);
/* The bytes that the folder holds, once. 0, or -errno with *e. */
int meter_once(int work_fd, uint64_t *ret_bytes, struct error *e);
#endif
