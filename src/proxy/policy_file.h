/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy as proxy and dialer get it: a sealed file, of which each has a copy of its own. Called by their process files,
 * when they start and when the supervisor hands over another one. Logs what is wrong with it.
 */
#ifndef POSTERN_POLICY_FILE_H
#define POSTERN_POLICY_FILE_H
#include "policy/policy.h"
#include "proxy/messages.h"

/* Read and close it. 0 and a policy to free, or -errno. */
int policy_file_take(int fd, struct policy **ret);
/* Something from the supervisor: another policy (SANDBOX_POLICY), from now on to be used, with its number; then the one that this gave
 * before is freed, and the supervisor told. 0; -ECONNRESET: the supervisor is gone; another -errno. m is room for messages. */
int policy_file_change(int channel, struct msg *m,
		       void (*use)(const struct policy *, uint64_t number));
#endif
