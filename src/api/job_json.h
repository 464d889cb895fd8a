/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A job as JSON: the one shape that every answer and event uses (its schema: "Job" in
 * src/api/schema.c). Called by front, once per change of a job. Owns nothing.
 */
#ifndef POSTERN_JOB_JSON_H
#define POSTERN_JOB_JSON_H
#include "api/jobtable.h"
#include "base/buf.h"

/* Append it on one line, without a newline at the end. 0, -ENOBUFS or -ENOMEM. What came from a
 * worker and is not well-formed is left out. */
int job_json(const struct job_view *v, struct buf *out);
#define JOB_JSON_MAX (32 * 1024) /* bytes that it can have */
#endif
