/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unpacks a build context: a tar archive, plain or compressed by gzip or zstd, from anyone, into an
 * empty folder. Refused, with a sentence that says which entry and why: what would leave the folder
 * (absolute names, "..", names and hard links that go through a symlink), devices, pipes and
 * sockets, set-id programs, and anything above the limits. Set-id bits of folders, sticky bits,
 * owners, extended attributes and access lists are dropped. Symlinks are kept as they are, and never followed here. Used by
 * postern-builder, inside the jail.
 */
#ifndef POSTERN_WORKER_CONTEXT_H
#define POSTERN_WORKER_CONTEXT_H
#include "base/error.h"
#include <stdint.h>

struct context_limits {
	uint64_t bytes;	  /* of all files, holes counted */
	uint64_t file;	  /* bytes of one file, the same */
	uint64_t entries; /* files, folders and links */
	unsigned depth;	  /* folders in a name */
};

/* Read the archive from fd (from its beginning) into the folder dirfd. 0, or -errno with *e:
 * -EINVAL not such an archive, or one with a forbidden entry; -EFBIG above a limit; -ENOSPC. */
int context_unpack(int fd, int dirfd, const struct context_limits *limits, struct error *e);

/* Whether fd begins as such an archive does. 0, or -EINVAL with *e. */
int context_check_kind(int fd, struct error *e);

/* Find the Dockerfile: `given` (relative to the context), or NULL for "Dockerfile", then
 * "Containerfile". ret_name points to the name found: `given` or a constant. 0, or -errno with
 * *e. */
int context_find_dockerfile(int dirfd, const char *given, const char **ret_name, struct error *e);
#endif
