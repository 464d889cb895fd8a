/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine docker: a build by a dockerd of the host's, which fetches what a Dockerfile names and
 * runs its steps outside any jail of ours; hence only with trust_dockerfiles. What can be in a jail is:
 * the context is unpacked, checked and packed again in one, and the image is read in another. Nothing
 * of a build stays in the dockerd but its own cache. Used by postern-worker.
 */
#ifndef POSTERN_WORKER_DOCKERD_H
#define POSTERN_WORKER_DOCKERD_H
#include "worker/contained.h"

#define DOCKER_PROGRAM "/usr/bin/docker"

/* As contained_build(): 0 with *ret filled (version included), or -errno with *e. */
int dockerd_build(const struct contained_spec *s, struct contained_result *ret, struct error *e);
#endif
