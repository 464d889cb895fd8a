/* SPDX-License-Identifier: Apache-2.0 */
/* The `postern` command: finds the subcommand in its table and runs it. */
#include "base/cleanup.h"
#include "base/limit.h"
#include "base/nearest.h"
#include "cmd/cmd.h"

#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>

#define COMMANDS_MAX 16 /* of one list */

static const struct command commands[] = {
	{ "run", "run an agent from a harness: servers, sandbox, agent, and the end of all",
	  cmd_run },
	{ "sandbox", "run a command in the native sandbox, under a policy", cmd_sandbox },
	{ "policy", "change what a running sandbox may reach", cmd_policy },
	{ "serve", "run the API server", cmd_serve },
	{ "base", "import and list base images for builds", cmd_base },
	{ "probe", "say what is possible in the sandbox that it stands in", cmd_probe },
	{ "doctor", "say what works on this machine", cmd_doctor },
	{ "version", "print the version", NULL },
};

static int help(FILE *to)
{
	fputs("postern: the guarded gate between an agent in a sandbox and the host\n\nUsage: "
	      "postern COMMAND [OPTION...]\n\n",
	      to);
	for (size_t i = 0; i < ELEMENTS(commands); i++)
		fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].summary);
	fputs("\n`postern COMMAND --help` says more.\n", to);
	return to == stdout ? EXIT_OK : EXIT_USAGE;
}

int cmd_usage(int code, const char *text)
{
	fputs(text, code == EXIT_OK ? stdout : stderr);
	return code;
}

int cmd_dispatch(const char *name, const struct command *list, size_t n, int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : "", *names[COMMANDS_MAX + 1] = { NULL };
	assert(n <= COMMANDS_MAX);
	for (size_t i = 0; i < n; i++) {
		if (list[i].run && !strcmp(word, list[i].name))
			return list[i].run(argc - 1, argv + 1);
		names[i] = list[i].name;
	}
	const char *near = nearest_word(word, names);
	fprintf(stderr, "%s: no command '%.40s'%s%s%s (`%s --help` lists them)\n", name, word,
		near ? "; did you mean '" : "", near ? near : "", near ? "'" : "", name);
	return EXIT_USAGE;
}

/* Else the first descriptors that are opened would be taken for input and output, and handed on as such. */
static void have_standard_descriptors(void)
{
	int fd;
	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

/* What most of the commands hold (tokens, credentials) is not to be found in a core file. Only the soft limit: whoever wants a
 * core of a script of his can still have it. */
static void no_core_dumps(void)
{
	struct rlimit core;
	if (getrlimit(RLIMIT_CORE, &core) == 0) {
		core.rlim_cur = core.rlim_max < LIMIT_CORE_BYTES ? core.rlim_max : LIMIT_CORE_BYTES;
		(void)setrlimit(RLIMIT_CORE, &core);
	}
}

int main(int argc, char **argv)
{
	have_standard_descriptors();
	/* Whoever started us may ignore it, and that is inherited: children would then vanish with their exit codes. */
	signal(SIGCHLD, SIG_DFL);
	no_core_dumps();
	if (argc < 2)
		return help(stderr);
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help"))
		return help(stdout);
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "version")) {
		puts("postern " POSTERN_VERSION);
		return EXIT_OK;
	}
	return cmd_dispatch("postern", commands, ELEMENTS(commands), argc, argv);
}
