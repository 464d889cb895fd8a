/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The subcommands of `postern`: one file each, one row each in postern.c's table, from which
 * `--help` and the completions come. A command parses its own arguments with getopt_long, prints
 * its result on stdout and its errors as one line on stderr, and returns an exit code of the table
 * below (docs/man has the same table).
 */
#ifndef POSTERN_CMD_H
#define POSTERN_CMD_H
#include <stddef.h>

struct policy; /* policy/policy.h */

enum exit_code {
	EXIT_OK = 0,
	EXIT_FAILED = 1, /* it was tried and failed */
	EXIT_USAGE = 2,	 /* wrong options or arguments */
	EXIT_CONFIG = 3, /* a file is malformed: file:line:column was printed */
	EXIT_UNAVAILABLE =
		4, /* something needed is missing on this machine; `postern doctor` says what */
	EXIT_PORT_TAKEN = 5,  /* an address could not be bound */
	EXIT_STATE = 6,	      /* `serve`: the state directory cannot be used; why was printed */
	EXIT_TIMED_OUT = 124, /* `run`, `sandbox`: its time was over */
	EXIT_RUN_FAILED =
		125, /* `run`: something else than the agent failed, so that its own exit codes stay its own */
	EXIT_INTERRUPTED = 130
};

struct command {
	const char *name;
	const char *summary;		   /* one line for --help */
	int (*run)(int argc, char **argv); /* NULL: postern.c does it itself */
};

/* The subcommands; argv[0] is the subcommand's name. Each returns an exit code. */
int cmd_run(int argc, char **argv);
int cmd_serve(int argc, char **argv);
int cmd_base(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_probe(int argc, char **argv);
int cmd_policy(int argc, char **argv);
int cmd_sandbox(int argc, char **argv);

/* Run the command of the list (at most 16) that argv[1] names, or say that there is none; name is what the list belongs to. An exit code. */
int cmd_dispatch(const char *name, const struct command *list, size_t n, int argc, char **argv);

/* Where base images are kept: in cache (--cache-dir), or by default when that is NULL. 0 or -errno. */
int cmd_bases_path(const char *cache, char *out, size_t size);

/* One line on stderr for each thing that the policy accepts but surely does not mean, such as a missing
 * `enforcement`. */
void cmd_print_policy_warnings(const char *command, const struct policy *policy);

/* Say how to use a command, for --help (stdout) or after a usage error (one line on stderr); return
 * the exit code. */
int cmd_usage(int code, const char *help);
#endif
