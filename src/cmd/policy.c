/* SPDX-License-Identifier: Apache-2.0 */
/* `postern policy`: what concerns policies by themselves; a subcommand a row. */
#include "policy/policy.h"
#include "base/cleanup.h"
#include "cmd/cmd.h"
#include "sandbox/sandbox.h"

#include <getopt.h>

static const char help[] =
	"Usage: postern policy set [--sandbox NAME] FILE\n"
	"\n"
	"`set` has a running sandbox of this user's decide by the policy in FILE from now on, all "
	"at "
	"once. A\n"
	"FILE that is malformed, that wants another root for the sandbox, or that the sandbox can "
	"write, is\n"
	"refused, and the sandbox's policy stays as it was.\n"
	"\n"
	"  -s, --sandbox NAME   which: the process number of `postern sandbox`, or the id of a "
	"`postern run`\n"
	"                       (default: the only one)\n"
	"  -h, --help           print this\n"
	"\n"
	"Exit code: 0 done; 1 the sandbox did not take it, and why is on stderr; 2 wrong usage; 3 "
	"FILE is\n"
	"malformed.\n";

static int say(const struct error *e, int code)
{
	char text[600];
	fprintf(stderr, "postern policy: %s\n", error_format(e, text, sizeof(text)));
	return code;
}

static int hand_over(const char *name, const char *file)
{
	_cleanup_policy_ struct policy *policy = NULL;
	struct error e = { 0 };
	char its[SANDBOX_NAME_SIZE];
	uint64_t number;
	if (policy_load_file(file, &policy, &e) < 0)
		return say(&e, EXIT_CONFIG);
	cmd_print_policy_warnings("policy", policy);
	if (sandbox_set_policy(name, policy, its, &number, &e) < 0)
		return say(&e, EXIT_FAILED);
	printf("sandbox %s is decided by policy %llu\n", its, (unsigned long long)number);
	return EXIT_OK;
}

static int set(int argc, char **argv)
{
	static const struct option options[] = { { "sandbox", required_argument, NULL, 's' },
						 { "help", no_argument, NULL, 'h' },
						 { 0 } };
	const char *name = NULL;
	for (int c; (c = getopt_long(argc, argv, "s:h", options, NULL)) != -1;) {
		if (c == 's')
			name = optarg;
		else
			return c == 'h' ? cmd_usage(EXIT_OK, help)
					: cmd_usage(EXIT_USAGE,
						    "`postern policy --help` says more\n");
	}
	if (optind != argc - 1)
		return cmd_usage(EXIT_USAGE, "postern policy: which file? `set [--sandbox NAME] "
					     "FILE`; `postern policy --help` says more\n");
	return hand_over(name, argv[optind]);
}

static const struct command commands[] = {
	{ "set", "have a running sandbox decide by another policy", set },
};

int cmd_policy(int argc, char **argv)
{
	if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")))
		return cmd_usage(EXIT_OK, help);
	return cmd_dispatch("postern policy", commands, ELEMENTS(commands), argc, argv);
}
