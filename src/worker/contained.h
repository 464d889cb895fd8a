/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One build in a jail, from outside: starts the jail and postern-builder in it, carries its log
 * out, hears its reports, keeps the limits, and ends it. What comes from inside is made plain text
 * and bounded here. Used by postern-worker for jobs, for proving an engine and for importing a base
 * image; owns the jail for the length of the call.
 */
#ifndef POSTERN_WORKER_CONTAINED_H
#define POSTERN_WORKER_CONTAINED_H
#include "api/jobtable.h"
#include "worker/image.h"
#include "worker/report.h"
#include "worker/settings.h"

#define ENGINE_VERSION_SIZE 32	/* bytes, NUL included */
#define CONTAINED_STAGES    64	/* remembered; the time of later ones goes to the last */
#define CONTAINED_TEXT_SIZE 400 /* bytes of a sentence or line, NUL included */

struct contained_spec {
	enum engine_choice engine; /* docker: see worker/dockerd.h */
	enum report_input input;
	int input_fd;
	const char *tag, *arguments; /* whole name; JSON object */
	const struct worker_settings *settings;
	int work_fd, stores_fd; /* stores_fd -1: no earlier builds */
	const int *base_fds;
	unsigned n_bases;
	uint64_t stored;	 /* bytes of the run's quota that are used already */
	bool want_version;	 /* of the engine: it costs its start */
	int image_fd, output_fd; /* -1: not wanted; otherwise empty files to write to */
	int copied_fd;		 /* with INPUT_SAVED and output_fd: what `docker cp` wrote */
	int control_fd;		 /* -1: none; else control() is called when it is readable */
	/* The log, as plain text. */
	void (*log)(void *arg, const char *text, size_t n);
	void (*stage)(void *arg, const char *text);
	/* JOB_FREE to go on, else the state to end in (cancelled, timed_out, lost). */
	enum job_state (*control)(void *arg);
	void *arg;
};

struct contained_result {
	enum job_state state; /* succeeded, failed, or what control() asked for */
	struct contained_stage {
		char name[CONTAINED_TEXT_SIZE];
		uint64_t ms;
	} stages[CONTAINED_STAGES];
	unsigned n_stages;
	struct image_facts image; /* when succeeded */
	char error[CONTAINED_TEXT_SIZE], hint[CONTAINED_TEXT_SIZE], step[CONTAINED_TEXT_SIZE];
	/* which Dockerfile was found, and its instructions' lines, when it was only packed */
	char dockerfile[CONTAINED_TEXT_SIZE], dockerfile_lines[REPORT_LINES_SIZE];
	char version[ENGINE_VERSION_SIZE]; /* of the engine, when wanted */
	unsigned line; /* of the Dockerfile, where the failed step stands; 0: not known */
	int exit_code; /* of the failed step; -1: none */
	char lines[LIMIT_FAILURE_LINES][CONTAINED_TEXT_SIZE];
	unsigned n_lines;
	bool storage_full; /* it failed by storage_bytes; the hint is the caller's to give */
};

void contained_stage_add(struct contained_result *r, const char *name, uint64_t ms);

/* Returns when the jail is gone. 0 with *ret filled; -errno with *e when there could be no jail. */
int contained_build(const struct contained_spec *s, struct contained_result *ret, struct error *e);
#endif
