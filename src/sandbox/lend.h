/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A folder of the host's that becomes a sandbox's working folder on a file system which cannot map
 * owners (an overlay, as a container's root is; tmpfs before Linux 6.3), as root: everything in it
 * belongs to the sandbox's ids for as long as that stands. Called by sandbox.c. Follows no symlink.
 */
#ifndef POSTERN_SANDBOX_LEND_H
#define POSTERN_SANDBOX_LEND_H
#include "jail/jail.h"

/* Give the folder to the jail's ids where it has to be. *ret_lent: whether it was. 0, or -errno with
 * *e. */
int lend_folder(const char *folder, const struct jail_ids *ids, bool *ret_lent, struct error *e);
/* When the sandbox has gone: what it left there becomes the caller's, without set-id bits. */
void lend_take_back(const char *folder);
#endif
