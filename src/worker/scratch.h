/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The folders that a build's jail writes: made for the jail's ids, removed inside a jail with the
 * same ids (an ordinary user may not remove them otherwise). Used by postern-worker alone.
 */
#ifndef POSTERN_WORKER_SCRATCH_H
#define POSTERN_WORKER_SCRATCH_H
#include "base/error.h"

/* Make the empty folder `name` in dirfd, owned by the jail's root, removing what is there. 0 and a
 * descriptor, or -errno with *e. */
int scratch_make(int dirfd, const char *name, int *ret_fd, struct error *e);
/* The same, but keep what is there. */
int scratch_keep(int dirfd, const char *name, int *ret_fd, struct error *e);
/* Remove the folder and everything below; 0 when it is not there. */
int scratch_remove(int dirfd, const char *name, struct error *e);
#endif
