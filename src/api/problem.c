/* SPDX-License-Identifier: Apache-2.0 */
/* The table of problem types: status, title and the hint that is given when nothing better is
 * known. */
#include "api/problem.h"

#include <assert.h>
#include <stddef.h>

static const struct problem_row rows[] = {
	[PROBLEM_NONE] = { PROBLEM_NONE, "none", 200, "Nothing is wrong", "" },
	[PROBLEM_BAD_REQUEST] = { PROBLEM_BAD_REQUEST, "bad-request", 400,
				  "The request is not well-formed HTTP",
				  "Send the request again with an ordinary HTTP client, such as "
				  "curl." },
	[PROBLEM_UNAUTHENTICATED] = { PROBLEM_UNAUTHENTICATED, "unauthenticated", 401,
				      "A valid token is needed",
				      "Send the header 'Authorization: Bearer TOKEN'; in a sandbox "
				      "the token is in the environment: curl -H \"Authorization: "
				      "Bearer $API_TOKEN\" …" },
	[PROBLEM_TOKEN_EXPIRED] = { PROBLEM_TOKEN_EXPIRED, "token-expired", 401,
				    "The token has expired",
				    "Trying again with the same token will not help; this run is "
				    "over, and a new run gets a new token." },
	[PROBLEM_NOT_FOUND] = { PROBLEM_NOT_FOUND, "not-found", 404, "There is no such path",
				"GET / lists the paths there are." },
	[PROBLEM_NO_SUCH_JOB] = { PROBLEM_NO_SUCH_JOB, "no-such-job", 404,
				  "This run has no such job", "GET /jobs lists this run's jobs." },
	[PROBLEM_NO_SUCH_ARTIFACT] = { PROBLEM_NO_SUCH_ARTIFACT, "no-such-artifact", 404,
				       "The job has no such artifact",
				       "GET /jobs/{id} lists the job's artifacts; they are there "
				       "once it has succeeded." },
	[PROBLEM_METHOD_NOT_ALLOWED] = { PROBLEM_METHOD_NOT_ALLOWED, "method-not-allowed", 405,
					 "This path does not take that method",
					 "Use one of the methods that the Allow header names." },
	[PROBLEM_TIMEOUT] = { PROBLEM_TIMEOUT, "timeout", 408,
			      "The request took too long to arrive",
			      "Send the request again, without pauses." },
	[PROBLEM_KEY_REUSED] = { PROBLEM_KEY_REUSED, "key-reused", 409,
				 "This Idempotency-Key was used for another request",
				 "Use a fresh Idempotency-Key for each different request." },
	[PROBLEM_LENGTH_REQUIRED] = { PROBLEM_LENGTH_REQUIRED, "length-required", 411,
				      "The body's length is needed",
				      "Send a body with Content-Length, or chunked: tar c . | curl "
				      "--data-binary @- … does." },
	[PROBLEM_TOO_LARGE] = { PROBLEM_TOO_LARGE, "too-large", 413, "The body is too large",
				"Send less: leave out of the context what the build does not need "
				"(.git, caches, results)." },
	[PROBLEM_TARGET_TOO_LONG] = { PROBLEM_TARGET_TOO_LONG, "target-too-long", 414,
				      "The request target is too long", "Shorten the query." },
	[PROBLEM_RANGE] = { PROBLEM_RANGE, "range", 416, "The range lies outside of the file",
			    "Content-Range tells the file's size; ask for a range within it." },
	[PROBLEM_INVALID] = { PROBLEM_INVALID, "invalid", 422, "A parameter is missing or wrong",
			      "GET /openapi.json tells each operation's parameters." },
	[PROBLEM_TOO_MANY_REQUESTS] = { PROBLEM_TOO_MANY_REQUESTS, "too-many-requests", 429,
					"Too many requests without a valid token",
					"Wait as long as Retry-After says, and send the token." },
	[PROBLEM_QUEUE_FULL] = { PROBLEM_QUEUE_FULL, "queue-full", 429,
				 "This run has too many unfinished jobs",
				 "Wait for one of them to end (GET /jobs/{id}?wait=60) or cancel "
				 "one, then try again." },
	[PROBLEM_HEAD_TOO_LARGE] = { PROBLEM_HEAD_TOO_LARGE, "head-too-large", 431,
				     "The request's header fields are too large",
				     "Send fewer or shorter headers." },
	[PROBLEM_INTERNAL] = { PROBLEM_INTERNAL, "internal", 500, "The server made a mistake",
			       "Try again once; if it fails again, it is not your mistake: say "
			       "so." },
	[PROBLEM_NOT_IMPLEMENTED] = { PROBLEM_NOT_IMPLEMENTED, "not-implemented", 501,
				      "The request is framed in a way that is not understood",
				      "Send the body with Content-Length, or chunked and nothing "
				      "else." },
	[PROBLEM_DRAINING] = { PROBLEM_DRAINING, "draining", 503, "The server is ending",
			       "This run is about to end; no new job is taken." },
	[PROBLEM_OVERLOADED] = { PROBLEM_OVERLOADED, "overloaded", 503, "The server is busy",
				 "Wait as long as Retry-After says, then try again." },
	[PROBLEM_HTTP_VERSION] = { PROBLEM_HTTP_VERSION, "http-version", 505,
				   "The request is of another version of HTTP",
				   "Use HTTP/1.1: curl --http1.1." },
	[PROBLEM_STORAGE_FULL] = { PROBLEM_STORAGE_FULL, "storage-full", 507,
				   "There is no room left for this",
				   "Send a smaller context, or cancel unfinished jobs that are not "
				   "needed." },
	[PROBLEM_DISK_FULL] = { PROBLEM_DISK_FULL, "disk-full", 507,
				"There is no room left on the server's disk",
				"Nothing that you can send frees any: say so to whoever runs the "
				"server, and try again when there is room." },
};
static_assert(sizeof(rows) / sizeof(rows[0]) == PROBLEM_COUNT, "a row per problem");

const struct problem_row *problem_row(enum problem code)
{
	return &rows[code < PROBLEM_COUNT ? code : PROBLEM_INTERNAL];
}
