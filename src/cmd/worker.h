/* SPDX-License-Identifier: Apache-2.0 */
/*
 * postern-worker run for a person's command, who may interrupt it: it gets a temporary folder of its own, and
 * that goes with it whatever happens (its files may belong to ids that only a jail can remove). Called by
 * `postern base` and `postern doctor`, which are single-threaded and start nothing else meanwhile.
 */
#ifndef POSTERN_CMD_WORKER_H
#define POSTERN_CMD_WORKER_H
#include <stddef.h>

/* argv[0] is "postern-worker". With out, what it says, to stdout and stderr, goes there instead (at most
 * size - 1 bytes, NUL-terminated); else to ours. Returns its wait status; or -errno when it cannot be
 * started; or -EINTR when SIGINT, SIGTERM, SIGHUP or SIGQUIT came: then it has been ended, and *ret_signal
 * says which. */
int cmd_worker(const char *const *argv, char *out, size_t size, int *ret_signal);
#endif
