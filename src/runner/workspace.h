/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fills the agent's working folder from a harness's host_files. Called by run.c before anything is
 * started. Reads the host's files as the caller may, and writes nowhere but below the workspace.
 */
#ifndef POSTERN_WORKSPACE_H
#define POSTERN_WORKSPACE_H
#include "base/error.h"
#include "runner/harness.h"

/* Copy a host file or folder into the workspace at dest (relative, without ".."). With expand, ${VAR}
 * in a file's text is replaced. src itself may be a symlink; those below it are copied as they are
 * (they mean something inside the sandbox only) and never followed, neither for reading nor by a later
 * dest. 0, or -errno with *e at the harness's place. */
int workspace_copy(const char *workspace, const struct harness_file *f, const char *dest,
		   const char *const *environment, struct error *e);
#endif
