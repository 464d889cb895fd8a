/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What front says of a job: its JSON, made once per change and not per request, and what decides how to answer. Owns
 * the texts; called by route.c and stream.c. Never writes to the table.
 */
#ifndef POSTERN_FRONT_JOB_TEXT_H
#define POSTERN_FRONT_JOB_TEXT_H
#include "api/jobtable.h"
#include <stddef.h>

struct job_text {
	char *data; /* one line of JSON with its newline, NUL-terminated */
	size_t len; /* bytes, the newline counted */
	char id[JOB_ID_SIZE];
	enum job_state state;
	uint32_t changes;
	uint64_t position;
};

/* The job of that id, or in that slot, as it is now; NULL when there is none (or no memory). Good until the next call
 * for the same job. */
const struct job_text *job_text(const struct job_table *t, const char *id);
const struct job_text *job_text_at(const struct job_table *t, unsigned slot);
#endif
