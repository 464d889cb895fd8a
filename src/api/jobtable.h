/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The jobs of one run as keeper publishes them and front reads them, in one shared memory file:
 * keeper holds the only writable mapping, front maps it read-only (the file is sealed against any
 * new writable mapping), so that a GET costs no message. Each slot is guarded by a sequence count
 * (odd while being written). A slot is reused when its job is forgotten.
 */
#ifndef POSTERN_JOBTABLE_H
#define POSTERN_JOBTABLE_H
#include "base/limit.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* The states of a job; the names are part of the API. */
enum job_state {
	JOB_FREE,      /* slot not in use */
	JOB_UPLOADING, /* the request body is still coming; listed as "queued" to nobody */
	JOB_QUEUED,
	JOB_RUNNING,
	JOB_SUCCEEDED,
	JOB_FAILED,
	JOB_CANCELLED,
	JOB_TIMED_OUT,
	JOB_LOST, /* the server ended or its worker died without a word */
	JOB_STATE_COUNT
};
const char *job_state_name(enum job_state s); /* "queued", …; "uploading" for JOB_UPLOADING */
bool job_state_ended(enum job_state s);

#define JOB_ID_SIZE                                                                                \
	24 /* bytes, NUL included: 'j' and 20 characters of Crockford base32 in lower case */
/* Whether text has the form of a job id; says nothing about whether there is such a job. */
bool job_id_valid(const char *id);

struct job_artifact {
	char name[LIMIT_ARTIFACT_NAME_BYTES + 1]; /* [A-Za-z0-9._-]+, not "." or ".." */
	char media_type[64];
	uint64_t size; /* bytes */
};

struct job_view {
	char id[JOB_ID_SIZE];
	char operation[32];
	uint32_t state;	  /* enum job_state */
	uint32_t changes; /* number of state changes so far; part of event ids */
	uint64_t created_ms, started_ms, ended_ms; /* wall clock; 0 when not yet */
	uint64_t position; /* grows with every job of the run: order of creation */
	uint32_t n_artifacts;
	struct job_artifact artifact[LIMIT_ARTIFACTS];
	char stage[96];	     /* what the worker says it is doing, for people; "" when nothing */
	uint32_t result_len; /* bytes; 0 when there is none */
	char result[LIMIT_RESULT_BYTES]; /* a JSON object made by our worker */
};

struct job_slot {
	_Atomic uint32_t sequence;
	struct job_view view;
};

struct job_table {
	_Atomic uint32_t draining;		  /* 1 when no new job is taken */
	_Atomic uint64_t key[LIMIT_JOBS_PER_RUN]; /* for jobtable_find(): eight of the id's random
						     characters; 0 when the slot is free */
	struct job_slot slot[LIMIT_JOBS_PER_RUN];
};

/* keeper: make the file and its only writable mapping; *ret_fd is for fronts. 0 or -errno. */
int jobtable_create(struct job_table **ret, int *ret_fd);
/* front: map it read-only. -EPERM when it could still be mapped writable. */
int jobtable_map(int fd, const struct job_table **ret);
/* keeper: publish a slot (copies *v); a view whose state is JOB_FREE frees it. */
void jobtable_write(struct job_table *t, unsigned slot, const struct job_view *v);
/* front: copy a consistent view out (of result, only the bytes in use and a NUL if there is room);
 * false when the slot is free, out of range, or its writer died while writing it. */
bool jobtable_read(const struct job_table *t, unsigned slot, struct job_view *ret);
/* front: a number that is another one after every change of the slot. */
uint32_t jobtable_version(const struct job_table *t, unsigned slot);
/* front: the slot of a job id, or -1; without copying whole slots. */
int jobtable_find(const struct job_table *t, const char *id);
#endif
