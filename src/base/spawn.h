/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts one of our helper programs with exactly the descriptors it needs, an environment made from
 * nothing, and death with its parent. Called by supervisors (serve, sandbox, run); never uses a
 * shell.
 */
#ifndef POSTERN_SPAWN_H
#define POSTERN_SPAWN_H
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define SPAWN_FDS_MAX 16

struct spawn {
	const char *program;	 /* "postern-front" (found beside us, see spawn_find_helper) or an
				    absolute path */
	const char *const *argv; /* NULL-terminated, argv[0] included */
	const char *const *envp; /* NULL-terminated; NULL means empty */
	int fds[SPAWN_FDS_MAX]; /* fds[i] becomes descriptor 3 + i in the child; -1 leaves it closed
				 */
	unsigned n_fds;
	int in, out,
		err; /* become 0, 1, 2; -1 means /dev/null for 0 and 1, and our own stderr for 2 */
	const char *directory;	   /* working directory; NULL means "/" */
	bool new_session;	   /* setsid(), for programs that are not ours */
	bool keep_on_parent_death; /* otherwise PR_SET_PDEATHSIG SIGKILL */
};

/* All other descriptors are closed in the child (close_range), signals are reset and unblocked.
 * Returns 0 and the pid and a pidfd (close-on-exec), or -errno: a program that cannot be executed
 * is reported here. */
int spawn_start(const struct spawn *s, pid_t *ret_pid, int *ret_pidfd);

/* Where a helper is: beside our own executable in the build folder, else PREFIX/libexec/postern. 0,
 * or -ENOENT. */
int spawn_find_helper(const char *name, char *ret_path, size_t size);

/* One name for the human: how a wait status ended, "exit 3" or "signal 9 (Killed)", into out;
 * returns out. */
const char *spawn_status_text(int status, char *out, size_t size);
#endif
