/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads an engine's output line by line: which step runs, what the engine says went wrong, and the
 * last lines of the step that failed. The output is hostile (a RUN may print what looks like a
 * step): what is found here is for people, never for decisions. Used by postern-builder, inside the
 * jail. Owns nothing, allocates nothing.
 */
#ifndef POSTERN_WORKER_STEPS_H
#define POSTERN_WORKER_STEPS_H
#include "base/limit.h"
#include <stdbool.h>
#include <stddef.h>

#define STEPS_LINE_MAX 400 /* bytes kept of a line, NUL included */

struct steps {
	/* Called when a step begins, with its text as in "2/3 RUN make" ("1/2 2/3 RUN make" with
	 * several stages). May be NULL. */
	void (*on_step)(void *arg, const char *text);
	/* docker only, set after steps_init() or NULL: the id of an image, 12 hexadecimal digits, that a
	 * step came to. A RUN may print one, too. */
	void (*on_image)(void *arg, const char *id);
	void *arg;
	char line[STEPS_LINE_MAX];
	size_t len;		    /* bytes of the line so far, beyond what is kept too */
	char step[STEPS_LINE_MAX];  /* the step's instruction, "RUN make"; "" before the first */
	unsigned stage, number;	    /* the step's, from 1; stage 0: counted over the whole file */
	char error[STEPS_LINE_MAX]; /* the engine's last "Error: …", without that word */
	int exit_code;		    /* that the error names; -1 when none */
	char held[STEPS_LINE_MAX];  /* the line of that error, until another follows */
	bool error_held;
	bool errors_elsewhere; /* set after steps_init(): what is read holds no error of the engine's */
	char last[LIMIT_FAILURE_LINES][STEPS_LINE_MAX]; /* a ring */
	unsigned long lines; /* of the step so far; the newest is last[(lines - 1) % size] */
};

void steps_init(struct steps *s, void (*on_step)(void *arg, const char *text), void *arg);
void steps_feed(struct steps *s, const char *bytes, size_t n);
/* End of output: take an unfinished line. */
void steps_end(struct steps *s);
/* The step's last lines, oldest first; NULL past the last. */
const char *steps_last_line(const struct steps *s, unsigned i);
/* The exit code that an engine's line about a failed step names; -1 when none. */
int steps_exit_code(const char *line);
#endif
