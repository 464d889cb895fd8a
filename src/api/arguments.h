/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks what a request gives as parameters against its operation's row, and writes them as a
 * job's arguments. Called by front. Owns the decoded values of one request; keeps nothing between
 * requests but the compiled patterns.
 */
#ifndef POSTERN_ARGUMENTS_H
#define POSTERN_ARGUMENTS_H
#include "api/operation.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/limit.h"
#include "http/span.h"

struct argument {
	const struct param *param;
	struct span text; /* decoded, NUL-terminated */
	int64_t number;	  /* integer, or 0 and 1 for a boolean */
};

/* Large: keep one per process. */
struct arguments {
	unsigned n;
	struct argument item[LIMIT_QUERY_PARAMETERS];
	char store[LIMIT_HTTP_TARGET_BYTES + 2 * LIMIT_QUERY_PARAMETERS];
};

/* Why a request's parameters are refused. */
struct argument_fault {
	char parameter[64]; /* "" when it is none in particular */
	char detail[320];   /* a sentence */
	char hint[320];	    /* a sentence; "" when the problem's own does */
};

/* Compile the patterns of all rows; 0, or -EINVAL with *e naming the one that is wrong. Once. */
int arguments_init(struct error *e);

/* Check a query against a row. 0, or -EINVAL with *ret_fault. */
int arguments_parse(const struct operation *op, struct span query, struct arguments *ret,
		    struct argument_fault *ret_fault);
/* Check one value, as of a header or a path's segment; *ret_number as in struct argument. 0 or
 * -EINVAL with *ret_fault. */
int argument_check(const struct param *p, struct span text, int64_t *ret_number,
		   struct argument_fault *ret_fault);
/* The parameter of a row, or NULL. */
const struct param *param_find(const struct operation *op, enum param_in in, const char *name);

/* The first argument of that name, or NULL; its number, or what is given for "absent". */
const struct argument *arguments_get(const struct arguments *a, const char *name);
int64_t arguments_number(const struct arguments *a, const char *name, int64_t absent);

/* The JSON object that keeper and worker get (see operation.h). 0, -ENOBUFS or -ENOMEM. */
int arguments_json(const struct operation *op, const struct arguments *a, struct buf *out);
#endif
