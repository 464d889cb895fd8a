/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engines that run inside the jail: one row each, with the argument lists they are called with.
 * Nothing that an agent gave becomes anything but the value of one of the options written here.
 * Used by postern-builder. Argument lists point into what they were made from.
 */
#ifndef POSTERN_WORKER_ENGINE_H
#define POSTERN_WORKER_ENGINE_H
#include "worker/settings.h"

#define ENGINE_ARGV_MAX (48 + 2 * SETTINGS_BUILD_ARG_MAX)

/* Where things are inside the jail. */
#define INSIDE_JOB     "/job" /* the only place that is writable and not in memory */
#define INSIDE_CONTEXT INSIDE_JOB "/context"
#define INSIDE_STORAGE INSIDE_JOB "/storage"
#define INSIDE_TMP     INSIDE_JOB "/tmp"
#define INSIDE_RUN     "/run/postern-engine"
#define INSIDE_IID     INSIDE_JOB "/iid"
#define INSIDE_ARCHIVE INSIDE_JOB "/image.tar"
#define INSIDE_STORES  "/stores" /* additional image stores: 0, 1, … */

struct argv {
	const char *v[ENGINE_ARGV_MAX]; /* NULL-terminated */
	unsigned n;
};

struct engine {
	enum engine_choice id;
	const char *program; /* absolute path, the same on the host and in the jail */
	const char *package; /* Debian's, for those who lack it */
	/* Options of a build that are always given, NULL-terminated, program and command first. */
	const char *const *build;
	/* Write the image with the id that follows to the archive that follows. */
	const char *const *push;
	/* Make the image's root visible in the jail: each command's output is the next one's last
	 * argument, the first gets the image's id; the last prints the folder. */
	const char *const *mount[3];
};

/* NULL for what does not run in a jail (auto, docker). */
const struct engine *engine_find(enum engine_choice id);

/* A sentence when the engine of these settings (a JSON object) is not there, and what to install; ""
 * when it is. What is there may still not work: `postern doctor` tries it. */
void engine_missing(const char *settings, char *out, size_t size);

/* The whole command for a build; dockerfile is a path in the jail, options hold strings of the
 * command that have to be made ("--build-arg=…" needs none of its own). */
void engine_build_argv(const struct engine *g, const struct build_arguments *a, const char *tag,
		       const char *dockerfile, struct argv *ret);
/* The options of a build that are the same for every engine. */
void engine_add_arguments(const struct build_arguments *a, struct argv *ret);
void argv_of(const char *const *words, struct argv *ret);
void argv_add(struct argv *a, const char *word);

/* The environment of every engine: nothing of the host's. */
extern const char *const engine_environment[];
#endif
