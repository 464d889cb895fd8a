/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of images: a tag that an agent asks for becomes one under its run's own prefix, and nothing
 * else. Used by postern-worker and by whoever reads the configuration; owns nothing.
 */
#ifndef POSTERN_TAG_H
#define POSTERN_TAG_H
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>

#define TAG_MAX 256 /* bytes, NUL included, of a whole name with its prefix */

/* "name", "name:tag" or "dir/name:tag" in lower case; the run's own prefix in front is allowed, so
 * that a result's tag can be sent again. NULL: `fallback` is the name. ret gets
 * PREFIXname:tag ("latest" when none is given). 0, or -EINVAL with *e. */
int tag_compose(const char *prefix, const char *given, const char *fallback, char ret[TAG_MAX],
		struct error *e);

/* The name of a base image: one part of at most 64 bytes, [a-z0-9] and, inside, one '.', one or two
 * '_', or any number of '-'. */
bool tag_is_base_name(const char *name);
#endif
