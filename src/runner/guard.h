/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two processes instead of one, so that killing either leaves nothing: the outer one only waits and
 * passes signals on; the inner one does the run. When the outer one dies, the inner one gets SIGTERM
 * from the kernel and tears down in order; when the inner one dies, the outer one, a subreaper like
 * it, kills and names whatever is left. Called by `postern run` before anything else.
 */
#ifndef POSTERN_GUARD_H
#define POSTERN_GUARD_H
#include "base/buf.h"

/* In the inner process: returns 0. In the outer one: returns 1 when the inner one has ended, with
 * *ret_status (its wait status) and left (what it left and was killed, comma-separated). -errno when
 * it could not be made. The caller must be single-threaded. */
int guard_split(int *ret_status, struct buf *left);
#endif
