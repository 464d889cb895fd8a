/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The folders of a run: the output folder (logs, run.json, the agent's workspace), which stays, and
 * a private temporary one (sockets, the servers' state), which goes. Called by run.c before anything
 * is started and after everything has ended.
 */
#ifndef POSTERN_FOLDERS_H
#define POSTERN_FOLDERS_H
#include "base/error.h"

#define FOLDER_PATH_SIZE 4096

/* Make OUTPUT and OUTPUT/workspace (output NULL: .postern/runs/ID below the working folder), all
 * mode 0700. ret is OUTPUT's absolute path. The workspace has to be new. 0 or -errno with *e. */
int output_make(const char *output, const char *run_id, char ret[FOLDER_PATH_SIZE],
		struct error *e);

/* Make the temporary folder below XDG_RUNTIME_DIR, TMPDIR or /tmp, whichever is short enough for
 * the names of sockets, and remove those there that killed runs of this user left. A descriptor that
 * locks it, to be kept open until it is removed, or -errno with *e. */
int temp_make(const char *const *environment, char ret[FOLDER_PATH_SIZE], struct error *e);

/* Remove the temporary folder, and each server's state (files of a jail's ids) by `postern-worker
 * --clean`. 0 or -errno of what would not go. */
int temp_remove(const char *temp);

/* Keep it instead: as OUTPUT/state, or, across file systems, where it is under another name, which no
 * later run removes. ret says where; 0 or -errno. */
int temp_keep(const char *temp, const char *output, char ret[FOLDER_PATH_SIZE]);
#endif
