/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One bounded description of what went wrong, filled by parsers and loaders and printed once, by a
 * process file or command. Never allocates, never logs.
 */
#ifndef POSTERN_ERROR_H
#define POSTERN_ERROR_H
#include <stddef.h>

struct error {
	int code;	   /* positive errno value; 0 when nothing is wrong */
	unsigned line;	   /* 1-based; 0 when there is no position */
	unsigned column;   /* 1-based; 0 when there is no position */
	char file[128];	   /* "" when there is none */
	char message[384]; /* what is wrong and what to do next; no newline, no control characters
			    */
};

/* Fill *e (which may be NULL) and return -code, so that a parser can `return error_set(e, EINVAL,
 * "…")`. */
int error_set(struct error *e, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The same with a position. */
int error_at(struct error *e, int code, unsigned line, unsigned column, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

/* Name the file the error is in, when it has none yet; returns -e->code. */
int error_in_file(struct error *e, const char *file);

/* "file:line:column: message" into out (always terminated), leaving out what is not known; returns
 * out. */
const char *error_format(const struct error *e, char *out, size_t size);
#endif
