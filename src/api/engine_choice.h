/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engines that a configuration may name, for those who read it: keeper's side before anything is started, and the worker
 * that is given it. Owns nothing.
 */
#ifndef POSTERN_ENGINE_CHOICE_H
#define POSTERN_ENGINE_CHOICE_H

enum engine_choice { ENGINE_AUTO, ENGINE_BUILDAH, ENGINE_PODMAN, ENGINE_DOCKER, ENGINE_COUNT };
const char *engine_choice_name(enum engine_choice c);
/* The engine of that name (an enum engine_choice), or -ENOENT. */
int engine_choice_find(const char *name);
#endif
