/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How another policy comes to a sandbox that runs: its supervisor listens on a socket whose name is in no file system, so that nothing is
 * ever left of it, and in no network namespace but the host's, so that nobody inside can connect. Owns that socket and the connection of
 * one caller at a time; the other end, sandbox_set_policy(), is here, too. Called by sandbox.c. Either end speaks with processes of its own user only, the
 * sandbox's with none that has a user namespace of its own, as its helpers have; never waits for a caller
 * longer than LIMIT_CONTROL_MS.
 */
#ifndef POSTERN_SANDBOX_CONTROL_H
#define POSTERN_SANDBOX_CONTROL_H
#include "sandbox/sandbox.h"
#include <limits.h>

struct control {
	int listener, caller; /* -1: none */
};
#define CONTROL_INIT ((struct control){ .listener = -1, .caller = -1 })

/* Listen as the sandbox of that name. 0 or -errno. */
int control_open(struct control *c, const char *name);
void control_close(struct control *c);
/* What to poll for reading. */
int control_fd(const struct control *c);
/* It is readable. 1: a policy came, in the sealed file *ret_fd (the callee's to close), from the path `file`, and control_answer() is
 * due; 0: none. */
int control_take(struct control *c, char file[PATH_MAX], int *ret_fd);
/* It is the sandbox's policy now, with that number; or, with e, why not. */
void control_answer(struct control *c, uint64_t number, const struct error *e);
#endif
