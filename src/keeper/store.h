/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The run's job store: SQLite in WAL mode in the state directory. Called by keeper alone, which writes each change here
 * before it publishes it. A store survives SIGKILL at any moment. Owns the database; knows nothing of processes.
 */
#ifndef POSTERN_STORE_H
#define POSTERN_STORE_H
#include "api/jobtable.h"
#include "base/error.h"

#define RUN_ID_SIZE (LIMIT_RUN_ID_BYTES + 1) /* bytes, NUL included */

struct store;

struct store_job {
	struct job_view view;
	char arguments[LIMIT_ARGUMENTS_BYTES + 1];	       /* JSON */
	char idempotency_key[LIMIT_IDEMPOTENCY_KEY_BYTES + 1]; /* "" when none */
};

/* Open or make postern.db in the working directory. 0; or -errno with *e: -EBADMSG when it is damaged, another program's,
 * or another version's (then it is left as it is). */
int store_open(struct store **ret, struct error *e);
void store_close(struct store *s);
/* The run's id: the one in the store; in a new store `wanted`, or `fresh` when that is "". 0; or -errno with *e: -EBADMSG
 * when another than the wanted one is in the store. */
int store_run_id(struct store *s, const char *wanted, const char *fresh, char ret[RUN_ID_SIZE],
		 struct error *e);
/* Write one job whole. 0; -ENOSPC when the disk is full; -EIO. */
int store_save(struct store *s, const struct store_job *job);
int store_delete(struct store *s, const char *id);
/* Call visit for every job in the order of creation; stops at and returns its first negative value. job is reused.
 * -EBADMSG for a row that we cannot have written. */
int store_each(struct store *s, struct store_job *job,
	       int (*visit)(void *arg, const struct store_job *job), void *arg);
#endif
