/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happened in a run: its steps with times, exit codes and logs, kept as OUTPUT/run.json (written
 * anew after every step, so that a run that was killed leaves a record too) and told to whoever
 * watches. Called by run.c only; prints nothing itself.
 */
#ifndef POSTERN_RECORD_H
#define POSTERN_RECORD_H
#include "runner/run.h"
#include <jansson.h>

struct record {
	char path[4096]; /* of run.json; "" until there is a folder for it */
	json_t *root;
	json_t *steps;
	run_progress *progress;
	void *progress_arg;
	uint64_t began_ms; /* monotonic, of the step that is under way */
	char step[64];	   /* its name */
	char detail[512];  /* what record_end() said last */
};

/* 0 or -ENOMEM. */
int record_init(struct record *r, run_progress *progress, void *arg);
void record_done(struct record *r);
/* Top-level facts. */
void record_text(struct record *r, const char *name, const char *value);
void record_value(struct record *r, const char *name, json_t *value); /* takes value */

/* One step begins; detail may be "". */
void record_begin(struct record *r, const char *name, const char *detail);
/* It ends. exit_code -1: it has none; log NULL: it has none. */
void record_end(struct record *r, enum run_step state, int exit_code, const char *log,
		const char *format, ...) __attribute__((format(printf, 5, 6)));
/* Something happened during the step that is under way. */
void record_note(struct record *r, const char *name, const char *detail);
/* Write run.json; 0 or -errno. */
int record_write(struct record *r);
#endif
