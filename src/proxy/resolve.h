/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A child process that turns names into addresses with the host's own resolver, several at a time,
 * so that a slow name holds up nothing and a hostile DNS answer is parsed where no credential is.
 * Started by dialer before it receives any credential. Speaks SANDBOX_RESOLVE and
 * SANDBOX_RESOLVED.
 */
#ifndef POSTERN_RESOLVE_H
#define POSTERN_RESOLVE_H

#define RESOLVE_ADDRESSES_MAX 16 /* of one name; more are cut off */
#define RESOLVE_THREADS	      8	 /* names at once; more wait */

/* Fork it; 0 and the channel (close-on-exec, blocking), or -errno. It ends when the channel is
 * closed or its parent dies. The caller must be single-threaded. */
int resolver_start(int *ret_channel);
#endif
