/* SPDX-License-Identifier: Apache-2.0 */
/* The operations on this run's jobs: list, look, wait, cancel, follow, fetch. */
#include "api/operation.h"
#include "base/limit.h"

#define ID_PARAM                                                                                   \
	{                                                                                          \
		.name = "id", .in = PARAM_PATH, .required = true, .least = 21, .most = 21,         \
		.pattern = "^j[0-9a-hjkmnp-tv-z]{20}$", .description = "The job's id.",            \
		.example = "j0123456789abcdefghjk"                                                 \
	}

static const struct param list_params[] = {
	{ .name = "limit",
	  .in = PARAM_QUERY,
	  .type = PARAM_INTEGER,
	  .least = 1,
	  .most = LIMIT_JOBS_PER_RUN,
	  .description = "At most so many. Default: 20.",
	  .example = "5" },
	{ .name = NULL },
};
static const struct answer list_answers[] = {
	{ 200, ANSWER_JOB_LIST, "The jobs, newest first.", NULL },
	{ 0 },
};
static const enum problem no_problems[] = { PROBLEM_NONE };

const struct operation operation_jobs = {
	.id = OPERATION_JOBS,
	.name = "jobs",
	.method = "GET",
	.path = "/jobs",
	.summary = "List this run's jobs, newest first",
	.help = "Shows this run's own jobs only.",
	.curl = "curl -sH \"$A\" $U/jobs",
	.params = list_params,
	.answers = list_answers,
	.problems = no_problems,
};

static const struct param job_params[] = {
	ID_PARAM,
	{ .name = "wait",
	  .in = PARAM_QUERY,
	  .type = PARAM_INTEGER,
	  .least = 0,
	  .most = LIMIT_WAIT_SECONDS,
	  .description = "Hold the answer until the job has ended, at most so many seconds. "
			 "Default: 0.",
	  .example = "60" },
	{ .name = NULL },
};
static const char *const later[] = { "Retry-After", NULL };
static const struct answer job_answers[] = {
	{ 200, ANSWER_JOB, "The job as it is now. Retry-After is there while it has not ended.",
	  later },
	{ 0 },
};
static const enum problem job_problems[] = { PROBLEM_NO_SUCH_JOB, PROBLEM_NONE };

const struct operation operation_job = {
	.id = OPERATION_JOB,
	.name = "job",
	.method = "GET",
	.path = "/jobs/{id}",
	.summary = "Look at a job, or wait for its end",
	.help = "A job's state goes from queued to running to succeeded, failed, cancelled, "
		"timed_out "
		"or lost. Its result says what came of it, its artifacts what there is to fetch.",
	.curl = "curl -sH \"$A\" \"$U/jobs/ID?wait=60\"",
	.params = job_params,
	.answers = job_answers,
	.problems = job_problems,
};

static const struct param log_params[] = {
	ID_PARAM,
	{ .name = "tail",
	  .in = PARAM_QUERY,
	  .type = PARAM_INTEGER,
	  .least = 1,
	  .most = 10000,
	  .description = "Only the last so many lines (and at most the last MiB).",
	  .example = "20" },
	{ .name = "follow",
	  .in = PARAM_QUERY,
	  .type = PARAM_BOOLEAN,
	  .description = "Go on sending what is added, until the job has ended.",
	  .example = "true" },
	{ .name = "Range",
	  .in = PARAM_HEADER,
	  .ignored = true,
	  .most = 256,
	  .description = "A single byte range. Ignored with follow and tail.",
	  .example = "bytes=1000-" },
	{ .name = NULL },
};
static const char *const ranges[] = { "Accept-Ranges", NULL };
static const char *const content_range[] = { "Accept-Ranges", "Content-Range", NULL };
static const struct answer log_answers[] = {
	{ 200, ANSWER_LOG, "The log, as far as it is written.", ranges },
	{ 206, ANSWER_LOG, "The range asked for.", content_range },
	{ 0 },
};
static const enum problem log_problems[] = { PROBLEM_NO_SUCH_JOB, PROBLEM_RANGE, PROBLEM_NONE };

const struct operation operation_job_log = {
	.id = OPERATION_JOB_LOG,
	.name = "job_log",
	.method = "GET",
	.path = "/jobs/{id}/log",
	.summary = "Read or follow a job's log",
	.help = "What the tool printed.",
	.curl = "curl -sNH \"$A\" \"$U/jobs/ID/log?follow=1\"",
	.params = log_params,
	.answers = log_answers,
	.problems = log_problems,
};

static const struct param event_params[] = {
	ID_PARAM,
	{ .name = "Last-Event-ID",
	  .in = PARAM_HEADER,
	  .ignored = true,
	  .least = 3,
	  .most = 40,
	  .pattern = "^[0-9]{1,19}-[0-9]{1,10}$",
	  .description = "The id of the last event that was received: the stream goes on after it.",
	  .example = "1024-3" },
	{ .name = NULL },
};
static const struct answer event_answers[] = {
	{ 200, ANSWER_EVENTS,
	  "Events until the job has ended: state (data: the job as JSON, whenever its state or its "
	  "stage has changed), log (data: whole lines of the log, as a JSON string).",
	  NULL },
	{ 204, ANSWER_NONE, "The job has ended and Last-Event-ID was its last event.", NULL },
	{ 0 },
};

const struct operation operation_job_events = {
	.id = OPERATION_JOB_EVENTS,
	.name = "job_events",
	.method = "GET",
	.path = "/jobs/{id}/events",
	.summary = "Follow a job as server-sent events",
	.help = "The job at each change of its state or stage, and log lines as they come. A "
		"stream that was cut is resumed with Last-Event-ID. The last event is the state "
		"that the job ended in.",
	.params = event_params,
	.answers = event_answers,
	.problems = job_problems,
};

static const struct param artifact_params[] = {
	ID_PARAM,
	{ .name = "name",
	  .in = PARAM_PATH,
	  .required = true,
	  .least = 1,
	  .most = LIMIT_ARTIFACT_NAME_BYTES,
	  .pattern = "^[A-Za-z0-9._-]+$",
	  .description = "The artifact's name, as the job tells it.",
	  .example = "image.tar" },
	{ .name = "Range",
	  .in = PARAM_HEADER,
	  .ignored = true,
	  .most = 256,
	  .description = "A single byte range.",
	  .example = "bytes=0-1023" },
	{ .name = "If-Range",
	  .in = PARAM_HEADER,
	  .ignored = true,
	  .most = 256,
	  .description = "An ETag: the range counts only if the artifact is still that one.",
	  .example = "\"j0123456789abcdefghjk-1024\"" },
	{ .name = "If-None-Match",
	  .in = PARAM_HEADER,
	  .ignored = true,
	  .most = 1024,
	  .description = "ETags of what the client has already.",
	  .example = "\"j0123456789abcdefghjk-1024\"" },
	{ .name = NULL },
};
static const char *const file_headers[] = { "Accept-Ranges", "ETag", NULL };
static const char *const file_range_headers[] = { "Accept-Ranges", "ETag", "Content-Range", NULL };
static const struct answer artifact_answers[] = {
	{ 200, ANSWER_FILE, "The file.", file_headers },
	{ 206, ANSWER_FILE, "The range asked for.", file_range_headers },
	{ 304, ANSWER_NONE, "The client has it already.", file_headers },
	{ 0 },
};
static const enum problem artifact_problems[] = { PROBLEM_NO_SUCH_JOB, PROBLEM_NO_SUCH_ARTIFACT,
						  PROBLEM_RANGE, PROBLEM_NONE };

const struct operation operation_job_artifact = {
	.id = OPERATION_JOB_ARTIFACT,
	.name = "job_artifact",
	.method = "GET",
	.path = "/jobs/{id}/artifacts/{name}",
	.summary = "Fetch a file that a job left",
	.help = "Large files can be fetched in ranges.",
	.curl = "curl -sH \"$A\" -O $U/jobs/ID/artifacts/image.tar",
	.params = artifact_params,
	.answers = artifact_answers,
	.problems = artifact_problems,
};

static const struct param cancel_params[] = { ID_PARAM, { .name = NULL } };
static const struct answer cancel_answers[] = {
	{ 200, ANSWER_JOB, "The job has ended: cancelled.", NULL },
	{ 202, ANSWER_JOB, "It is being ended.", later },
	{ 0 },
};
static const enum problem cancel_problems[] = { PROBLEM_NO_SUCH_JOB, PROBLEM_NONE };

const struct operation operation_job_cancel = {
	.id = OPERATION_JOB_CANCEL,
	.name = "job_cancel",
	.method = "DELETE",
	.path = "/jobs/{id}",
	.summary = "Cancel a job",
	.help = "Ends everything that the job has started. A job that has ended already stays as "
		"it "
		"is.",
	.curl = "curl -sH \"$A\" -X DELETE $U/jobs/ID",
	.params = cancel_params,
	.answers = cancel_answers,
	.problems = cancel_problems,
};
