/* SPDX-License-Identifier: Apache-2.0 */
/* A job's result as the JSON object that worker/settings.h describes. Used by postern-worker. */
#ifndef POSTERN_WORKER_RESULT_H
#define POSTERN_WORKER_RESULT_H
#include "worker/contained.h"

/* The text (the caller frees), never above LIMIT_RESULT_BYTES: stages and lines are shortened, the
 * middle ones first to go. engine and tag may be NULL. NULL when out of memory. */
char *result_json(const struct contained_result *r, const char *engine, const char *tag,
		  bool contained);
#endif
