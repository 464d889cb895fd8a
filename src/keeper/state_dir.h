/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state directory of a run as `postern serve` takes it: made, or found to be ours alone, and locked. An existing folder
 * is never changed: what is wrong with it is said, with the remedy. Called by `postern serve` before any process is started.
 */
#ifndef POSTERN_STATE_DIR_H
#define POSTERN_STATE_DIR_H
#include "base/error.h"

/*
 * Make the folder (mode 0700) or take an existing one. The lock is held as long as a copy of the descriptor is open, so by
 * keeper, too. 0; or -errno with *e: -EPERM (another's), -EACCES (others can enter it), -ENOTEMPTY (something else lies in
 * it), -EBUSY (another server uses it), other -errno.
 */
int state_dir_open(const char *path, int *ret_fd, struct error *e);

/* Make a fresh one below TMPDIR or /tmp; its path into ret. */
int state_dir_make_temporary(char *ret, size_t size, int *ret_fd, struct error *e);

/* Remove it whole, files of a build's ids included. 0 or -errno. */
int state_dir_remove(const char *path);
#endif
