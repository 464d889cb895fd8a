/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a worker is told in MESSAGE_JOB_START: the run's settings, made by keeper, and the job's
 * arguments, made by front from the operation's row. Both are JSON objects; an unknown member, a
 * wrong type or a value out of bounds is an error. Used by postern-worker (both), postern-builder
 * (arguments) and keeper (which writes the settings). Owns the strings of its structs.
 *
 * Settings, all but "run" and "tag_prefix" optional:
 *
 *   {"run": "r0123", "tag_prefix": "localhost/r0123/",
 *    "engine": "auto" | "buildah" | "podman" | "docker",   default "auto"
 *    "trust_dockerfiles": false,                           true allows "docker"
 *    "docker_socket": "/var/run/docker.sock",               of the dockerd
 *    "bases": ["debian-tcc"],                              granted base images, default none
 *    "seconds": 3600, "memory_bytes": N, "processes": N, "file_bytes": N, "storage_bytes": N,
 *    "log_bytes": N, "context_bytes": N, "context_entries": N}   defaults from base/limit.h
 *
 * Descriptors of MESSAGE_JOB_START: log (O_APPEND), job directory, the run's storage directory,
 * the base store, upload. The base store is CACHE/bases, with a folder per base image as `postern
 * base add` makes it. What the worker makes:
 *
 *   JOB/work/        scratch, owned by ids of the jail; gone before the result is sent
 *   JOB/artifacts/   made if absent; image.tar (OCI archive), and the file asked for by "output"
 *   STORAGE/stores-MARK/N-JOB-BYTES/   what job JOB's build left for later builds of the run upon the
 *                                      same base images, read-only from then on, and what it counts
 *                                      for in the run's quota (worker/stores.h: until it is dropped)
 *   STORAGE/engine   the engine of this run that was found to work, and its version
 *
 * After a crash whoever restarts the server calls `postern-worker --clean DIR` (no descriptor 3;
 * exit code 0 when DIR is gone) with JOB/work for each lost job, and at the end of a run with
 * STORAGE: these trees hold files of the jail's ids, which only a jail can remove for an ordinary
 * user.
 *
 * Results (MESSAGE_JOB_RESULT), succeeded:
 *   {"image_id": "sha256:…", "digest": "sha256:…", "tag": "localhost/RUN/name:tag", "size": BYTES,
 *    "layers": N, "contained": true, "engine": "buildah", "engine_version": "1.28.2",
 *    "stages": [{"name": "…", "seconds": S}]}
 * all others:
 *   {"error": "sentence", "hint": "sentence", "step": "RUN …", "line": N, "exit_code": N,
 *    "last_lines": ["…"], "engine": "…", "engine_version": "…", "stages": […]}
 * in which all but error and stages are absent when there is nothing to say; "line" is where the
 * step (or what is wrong) stands in the Dockerfile.
 */
#ifndef POSTERN_WORKER_SETTINGS_H
#define POSTERN_WORKER_SETTINGS_H
#include "api/engine_choice.h"
#include "base/error.h"
#include "base/limit.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SETTINGS_BUILD_ARG_MAX 32 /* build_arg of one build */

struct worker_settings {
	char *run, *tag_prefix, *docker_socket; /* the last NULL: the usual one */
	enum engine_choice engine;
	bool trust_dockerfiles;
	char *bases[LIMIT_BASES];
	unsigned n_bases;
	uint64_t seconds, memory_bytes, processes, file_bytes, storage_bytes, log_bytes,
		context_bytes, context_entries;
};

/* Parse; 0, or -errno with *e. Call settings_done() in either case. */
int settings_parse(const char *json, struct worker_settings *ret, struct error *e);
void settings_done(struct worker_settings *s);
/* The engine that settings name, which may lack all else; ENGINE_AUTO when they name none. */
enum engine_choice settings_engine(const char *json);

/* The arguments of a build, all optional. dockerfile is relative to the context; output is a path in
 * the image, with or without its leading '/'. */
struct build_arguments {
	char *tag, *dockerfile, *target, *platform, *output;
	char *build_arg[SETTINGS_BUILD_ARG_MAX]; /* "KEY=VALUE" */
	unsigned n_build_arg;
	bool no_cache;
};

int build_arguments_parse(const char *json, struct build_arguments *ret, struct error *e);
void build_arguments_done(struct build_arguments *a);
#endif
