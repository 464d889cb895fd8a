/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one table of operations: what the server can do for an agent. Routing, argument checking, the
 * page at /, /openapi.json and /tools.json are all made from these rows and from nothing else.
 * Built-in operations are one source file each (op_build.c, op_jobs.c, …). Used by front, and by
 * whoever documents the API. Owns the table; reads no HTTP and holds no state of a request.
 *
 * What a job's arguments look like on their way to keeper and worker (MESSAGE_JOB_CREATE,
 * MESSAGE_JOB_START): one JSON object with a member per query parameter that was given, named like
 * it: a string, an integer or true/false as its type says, an array of these when it is repeated.
 * What was not given is absent. All of it has passed the row's checks.
 */
#ifndef POSTERN_OPERATION_H
#define POSTERN_OPERATION_H
#include "api/problem.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OPERATION_SEGMENTS_MAX 5  /* segments of a path */
#define OPERATION_PARAMS_MAX   16 /* parameters of a row */

enum operation_id {
	OPERATION_BUILD,
	OPERATION_JOBS,
	OPERATION_JOB,
	OPERATION_JOB_LOG,
	OPERATION_JOB_EVENTS,
	OPERATION_JOB_ARTIFACT,
	OPERATION_JOB_CANCEL,
	OPERATION_INDEX,
	OPERATION_HEALTHZ,
	OPERATION_OPENAPI,
	OPERATION_TOOLS,
	OPERATION_COUNT
};

enum param_in { PARAM_PATH, PARAM_QUERY, PARAM_HEADER };
enum param_type { PARAM_STRING, PARAM_INTEGER, PARAM_BOOLEAN };

struct param {
	const char *name; /* NULL ends a row's list */
	enum param_in in;
	enum param_type type;
	bool required;
	unsigned repeats;    /* given at most so many times, as a list; 0: once at most */
	int64_t least, most; /* integer: its bounds; string: bytes */
	const char *pattern; /* string: a regular expression that means the same to POSIX (extended)
				and to ECMAScript; NULL: any text without control characters */
	bool path_inside;    /* string: a relative path in which no segment is ".." */
	bool ignored;	     /* header: a value that is not understood is as good as none (RFC 9110
				14.2, RFC 7240 2), so the documents tell no limits */
	const char *description, *example;
};

enum body_kind {
	BODY_NONE,
	BODY_ARCHIVE /* a tar archive, known by its first bytes; streamed, never whole in memory */
};

/* What a response's body is; the schema of each is in src/api/schema.c. */
enum answer_kind {
	ANSWER_NONE,
	ANSWER_JOB,	 /* application/json */
	ANSWER_JOB_LIST, /* application/json */
	ANSWER_HEALTH,	 /* application/json */
	ANSWER_JSON,	 /* application/json: a document that describes the API */
	ANSWER_TEXT,	 /* text/plain; charset=utf-8 */
	ANSWER_LOG,	 /* text/plain; charset=utf-8: bytes as the tool printed them */
	ANSWER_EVENTS,	 /* text/event-stream */
	ANSWER_FILE	 /* the artifact's own type */
};

struct answer {
	unsigned status; /* 0 ends a row's list */
	enum answer_kind kind;
	const char *description;
	const char *const *headers; /* names, NULL-terminated, beyond Content-Length; or NULL */
};

struct operation {
	enum operation_id id;
	const char *name;    /* "build": operationId, tool name, grant */
	const char *method;  /* "GET" also answers HEAD */
	const char *path;    /* "/jobs/{id}/log": a fixed number of segments */
	const char *summary; /* one line, for lists */
	const char *help;    /* what an agent must know to use it well */
	const char *curl; /* one line for the page at /: what follows `curl $A`, %u stands for the
			     server's URL; NULL: not shown there */
	const struct param *params; /* ended by a NULL name */
	enum body_kind body;
	uint64_t body_max; /* bytes */
	const struct answer *answers;
	const enum problem *problems; /* its own, ended by PROBLEM_NONE; those of every operation
					 come from operation_common_problems() */
	bool open;		      /* needs no token */
	bool job;		      /* starts a job */
	const char *grant;	      /* what a run must be granted; NULL: nothing */
};

/* All rows, in the order of enum operation_id. */
const struct operation *operation_row(enum operation_id id);
/* Problems that any operation may answer with (open: that one without a token may), ended by
 * PROBLEM_NONE. */
const enum problem *operation_common_problems(bool open);

/* A path's parameters as they lie in the target; they point into the path that was routed. */
struct route {
	const struct operation *op;
	struct route_param {
		const char *text;
		size_t len;
	} param[OPERATION_SEGMENTS_MAX]; /* in the order of the row's PARAM_PATH parameters; NULL behind the last */
};

/*
 * Find the row for a path (without its query). 0; -ENOENT: no row has that path; -EPERM: rows have
 * it, but none with that method: ret_allow then gets "GET, HEAD, DELETE". HEAD finds the GET row.
 */
int route_find(const char *method, size_t method_len, const char *path, size_t path_len,
	       struct route *ret, char ret_allow[64]);
/* The path of the table that is nearest to an unknown one, or NULL. */
const char *route_nearest(const char *path, size_t path_len);

/* The rows themselves. */
extern const struct operation operation_build, operation_jobs, operation_job, operation_job_log,
	operation_job_events, operation_job_artifact, operation_job_cancel, operation_index,
	operation_healthz, operation_openapi, operation_tools;
#endif
