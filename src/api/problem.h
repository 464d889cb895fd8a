/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The problem types of the API (RFC 9457), one table: what keeper and worker refuse with travels as
 * a number of this enum, and front alone turns it into a response. Called by front, keeper and
 * worker; owns nothing.
 */
#ifndef POSTERN_PROBLEM_H
#define POSTERN_PROBLEM_H

enum problem {
	PROBLEM_NONE,
	PROBLEM_BAD_REQUEST,	    /* 400 the message cannot be understood as HTTP */
	PROBLEM_UNAUTHENTICATED,    /* 401 no token, or not this run's */
	PROBLEM_TOKEN_EXPIRED,	    /* 401 */
	PROBLEM_NOT_FOUND,	    /* 404 no such path */
	PROBLEM_NO_SUCH_JOB,	    /* 404 none of this run's */
	PROBLEM_NO_SUCH_ARTIFACT,   /* 404 */
	PROBLEM_METHOD_NOT_ALLOWED, /* 405 with Allow */
	PROBLEM_TIMEOUT,	    /* 408 the client was too slow */
	PROBLEM_KEY_REUSED,	    /* 409 Idempotency-Key with another request */
	PROBLEM_LENGTH_REQUIRED,    /* 411 */
	PROBLEM_TOO_LARGE,	    /* 413 */
	PROBLEM_TARGET_TOO_LONG,    /* 414 */
	PROBLEM_RANGE,		    /* 416 */
	PROBLEM_INVALID,	    /* 422 a parameter is missing, unknown or wrong */
	PROBLEM_TOO_MANY_REQUESTS,  /* 429 with Retry-After */
	PROBLEM_QUEUE_FULL,	    /* 429 with Retry-After */
	PROBLEM_HEAD_TOO_LARGE,	    /* 431 */
	PROBLEM_INTERNAL,	    /* 500 */
	PROBLEM_NOT_IMPLEMENTED,    /* 501 a transfer coding that is not known */
	PROBLEM_DRAINING,	    /* 503 the server is ending */
	PROBLEM_OVERLOADED,	    /* 503 with Retry-After */
	PROBLEM_HTTP_VERSION,	    /* 505 */
	PROBLEM_STORAGE_FULL,	    /* 507 the run's quota */
	PROBLEM_DISK_FULL, /* 507 the host's disk, of which an agent cannot free anything */
	PROBLEM_COUNT
};

struct problem_row {
	enum problem code;
	const char *name;  /* the last part of its type URI, "no-such-job" */
	unsigned status;   /* HTTP status */
	const char *title; /* a short sentence */
	const char
		*hint; /* the next thing to try, when the place that found it says nothing better */
};
const struct problem_row *problem_row(enum problem code);
#endif
