/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A harness file as the runner needs it: checked, its paths absolute (those in the file are relative
 * to it), its ${VAR} replaced. Called by `postern run`; reads the file and looks at nothing else.
 * Fields of the schema that do not concern running are accepted and listed; a misspelt field is an
 * error at its place that names the nearest one.
 */
#ifndef POSTERN_HARNESS_H
#define POSTERN_HARNESS_H
#include "base/error.h"
#include <stdbool.h>

struct harness_place {
	unsigned line, column;
};

struct harness_variable {
	char *name;  /* [A-Za-z_][A-Za-z0-9_]* */
	char *value; /* expanded */
};

struct harness_variables {
	struct harness_variable *list;
	unsigned count;
};

struct harness_server {
	char *name;    /* [a-z][a-z0-9-]*, at most 32 bytes; unique */
	char *program; /* absolute path; NULL: postern itself */
	char **args;   /* NULL-terminated; what the harness says after the program */
	unsigned n_args;
	unsigned port; /* 0: any free one; the sandbox then sees the one that the policy names */
	struct harness_variables env;
	struct harness_place place;
};

struct harness_file {
	char *src;  /* absolute; NULL when optional and its ${VAR} is not set */
	char *dest; /* absolute in the sandbox, or relative to its working folder */
	bool expand, optional;
	struct harness_place place;
};

struct harness {
	char *name;	 /* of the file as the caller gave it, for messages */
	char *path;	 /* of the file, absolute */
	char *directory; /* the file's folder, absolute */
	char *policy;	 /* absolute */
	struct harness_server *servers;
	unsigned n_servers;
	struct harness_file *files;
	unsigned n_files;
	struct harness_variables runner_env;  /* for scripts and servers */
	struct harness_variables sandbox_env; /* for the agent */
	char *pre_script, *post_script;	      /* absolute, or NULL */
	struct harness_place pre_place, post_place;
	unsigned timeout_minutes; /* 0: none */
	char **command;		  /* NULL-terminated, or NULL when the harness has none */
	unsigned n_command;
	char ignored[512]; /* fields that were accepted but not acted upon, "model, image", or "" */
};

/* Load the file at path. environment (NULL-terminated) is where ${VAR} is looked up. 0, or -errno
 * with *e. */
int harness_load(const char *path, const char *const *environment, struct harness **ret,
		 struct error *e);
void harness_free(struct harness *h);
#endif
