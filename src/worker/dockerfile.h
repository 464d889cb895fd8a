/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a Dockerfile as far as its lines: to refuse at once, by line, what no engine understands, and
 * to say at which line the step stands that failed. Engines do neither. The text is hostile; what is
 * found here is for people, never for decisions. Used by postern-builder, inside the jail. Owns
 * nothing, allocates nothing; text[n] is a NUL.
 */
#ifndef POSTERN_WORKER_DOCKERFILE_H
#define POSTERN_WORKER_DOCKERFILE_H
#include "base/error.h"

/* Known instructions, with arguments, FROM first: 0, or -EINVAL with *e, line included. Bodies of
 * here-documents are not looked into. */
int dockerfile_check(const char *text, size_t n, struct error *e);

/* The line where the instruction stands that is number `step` of stage `stage`, both counted from 1
 * (FROM is step 1; stage 0: steps are counted over the whole file). 0 when there is no such
 * instruction or it is not `what`, which begins with the instruction's word. */
unsigned dockerfile_line(const char *text, size_t n, unsigned stage, unsigned step,
			 const char *what);

/* The lines of all instructions in turn, "1 3 4", as many as fit into out (NUL-terminated). */
void dockerfile_lines(const char *text, size_t n, char *out, size_t size);
#endif
