/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a path that a policy lists really leads. Symlinks are followed, as its author means them, but not where
 * an earlier command in a sandbox may have put them: in a folder that sandboxes of this policy can write. Called
 * by plan.c; only looks, so what it says is used without following any symlink.
 */
#ifndef POSTERN_SANDBOX_RESOLVE_H
#define POSTERN_SANDBOX_RESOLVE_H
#include "base/limit.h"

#include <limits.h>
#include <stdbool.h>

/* Folders that can be written, as they really are. */
struct writable {
	char *folder[LIMIT_POLICY_PATHS + 1];
	unsigned n;
};

/* One more; none when there is no such path. 0 or -ENOMEM. */
int writable_add(struct writable *w, const char *path);
void writable_done(struct writable *w);

/* The path as one from the root on. 0 or -errno. */
int absolute_path(const char *path, char ret[PATH_MAX]);
/* Whether a path (absolute) leads to what no sandbox can write, nor put something else in the place of. 0; -EPERM: it does not; other
 * -errno: nor anywhere. */
int writable_excludes(const struct writable *w, const char *path);

/* The same file or folder as path (absolute), without any symlink. 0; -EPERM with ret being the symlink that is
 * not followed; other -errno. */
int resolve_path(const struct writable *w, const char *path, char ret[PATH_MAX]);
#endif
