/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A list of NAME=VALUE strings being made for a program that is about to start. Owns its strings.
 * Called by the parts of the runner that start something.
 */
#ifndef POSTERN_ENVIRONMENT_H
#define POSTERN_ENVIRONMENT_H
#include "runner/harness.h"

struct environment {
	char **list; /* NULL-terminated once something was set */
	unsigned count;
	int failed; /* first -errno of any call below; check it once, at the end */
};

/* The value of name in a NULL-terminated list of NAME=VALUE, or NULL. */
const char *environment_get(const char *const *list, const char *name);
/* Set or replace; a NULL value changes nothing. */
void environment_set(struct environment *e, const char *name, const char *value);
void environment_set_all(struct environment *e, const struct harness_variables *v);
/* Copy everything, or only the few names that any program may expect (PATH, HOME, USER, LANG, …). */
void environment_copy(struct environment *e, const char *const *list);
void environment_copy_basic(struct environment *e, const char *const *list);
void environment_done(struct environment *e);
#define _cleanup_environment_ __attribute__((cleanup(environment_done)))
#endif
