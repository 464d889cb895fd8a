/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds mounts that a run left in its folders. Called by run.c; mounts and unmounts nothing.
 */
#ifndef POSTERN_MOUNTS_H
#define POSTERN_MOUNTS_H
#include "base/buf.h"

/* What is mounted now, to be compared with later; the caller frees. NULL when it cannot be read. */
char *mounts_now(void);
/* Describe in names ("mount /x", comma-separated) what is mounted at or below a folder (absolute, without
 * symlinks) and was not in before (NULL: nothing was). */
void mounts_left(const char *before, const char *folder, struct buf *names);
#endif
