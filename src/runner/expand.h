/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ${NAME} in a harness's values and in host_files with `expand`. Only that form is special: `$NAME`,
 * `$$` and `$(…)` stay as they are. Called by harness.c and workspace.c; reads no environment but
 * the one it is given.
 */
#ifndef POSTERN_EXPAND_H
#define POSTERN_EXPAND_H
#include <stddef.h>

/* text with every ${NAME} replaced; the caller frees. 0; -ENOENT when a name is not set (then
 * ret_missing, of size bytes, holds it); -EINVAL for a `${` that is not followed by a name and `}`;
 * -ENOBUFS past max bytes. */
int expand(const char *text, const char *const *environment, size_t max, char **ret,
	   char *ret_missing, size_t size);
#endif
