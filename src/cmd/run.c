/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `postern run`: one agent's run, from a harness. Reads the harness, splits off the guard that keeps a
 * killed run from leaving anything, runs it, and says what happens as it happens: on stderr, so that
 * stdout is the agent's.
 */
#include "runner/run.h"
#include "base/cleanup.h"
#include "base/limit.h"
#include "cmd/cmd.h"
#include "jail/cgroup.h"
#include "policy/policy.h"
#include "runner/folders.h"
#include "runner/guard.h"
#include "sandbox/terminal.h"

#include <getopt.h>
#include <signal.h>
#include <sys/wait.h>

static const char help[] =
	"Usage: postern run HARNESS [OPTION...] [-- COMMAND [ARGUMENT...]]\n"
	"\n"
	"Runs an agent in a sandbox beside the API servers that its harness declares, and tears "
	"all down.\n"
	"The agent is COMMAND, or the harness's `command`. Its working folder is DIR/workspace.\n"
	"\n"
	"  -o, --output DIR  folder for logs, run.json and the workspace (default: "
	".postern/runs/ID)\n"
	"  -j, --json        print run.json at the end; what the agent prints goes to stderr\n"
	"  -k, --keep        keep the servers' state, as DIR/state\n"
	"  -t, --timeout S   end the run after S seconds (default: the harness's timeout_minutes)\n"
	"  -h, --help        print this\n"
	"\n"
	"Exit code: the agent's (128 + signal when it was killed), or\n"
	"  2    wrong usage\n"
	"  3    the harness, the policy or a file it names is malformed or missing\n"
	"  4    something that is needed is missing on this machine\n"
	"  5    a server's port is taken\n"
	"  124  the time that the run had was over\n"
	"  125  a script, a server, the sandbox or the clean-up failed\n"
	"  130  interrupted\n"
	"run.json says which, beyond doubt.\n";

/* How a line is begun: for a terminal, and for a log. */
static const struct {
	const char *terminal, *plain;
} marks[] = {
	[RUN_STEP_BEGUN] = { "\033[2m…\033[0m", "...   " },
	[RUN_STEP_OK] = { "\033[32m✓\033[0m", "ok    " },
	[RUN_STEP_FAILED] = { "\033[31m✗\033[0m", "FAILED" },
	[RUN_STEP_NOTE] = { "\033[33m!\033[0m", "note  " },
};
_Static_assert(ELEMENTS(marks) == RUN_STEP_COUNT, "a mark for each state");

static const int exit_codes[] = {
	[RUN_AGENT_ENDED] = EXIT_OK,	      [RUN_FAILED] = EXIT_RUN_FAILED,
	[RUN_CONFIG] = EXIT_CONFIG,	      [RUN_UNAVAILABLE] = EXIT_UNAVAILABLE,
	[RUN_PORT_TAKEN] = EXIT_PORT_TAKEN,   [RUN_TIMED_OUT] = EXIT_TIMED_OUT,
	[RUN_INTERRUPTED] = EXIT_INTERRUPTED,
};
_Static_assert(ELEMENTS(exit_codes) == RUN_OUTCOME_COUNT, "an exit code for each outcome");

static void show(void *arg, const struct run_event *event)
{
	const bool *terminal = arg;
	const char *mark = *terminal ? marks[event->state].terminal : marks[event->state].plain;
	/* What has begun is worth a line only where something else will be printed before its end. */
	if (event->state == RUN_STEP_BEGUN && strcmp(event->name, "agent") != 0)
		return;
	if (event->state == RUN_STEP_BEGUN)
		fprintf(stderr, "%s %-18s %s\n", mark, event->name, event->detail);
	else
		fprintf(stderr, "%s %-18s %s (%.2f s)\n", mark, event->name, event->detail,
			event->seconds);
}

struct arguments {
	const char *harness, *output;
	const char *const *command;
	bool json, keep;
	unsigned long seconds; /* 0: what the harness says */
};

/* 0: not a number of seconds that makes sense. */
static unsigned long parse_seconds(const char *text)
{
	char *end;
	unsigned long seconds = strtoul(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && seconds <= LIMIT_TIMEOUT_MINUTES * 60ul
		       ? seconds
		       : 0;
}

static int bad_timeout(void)
{
	return cmd_usage(EXIT_USAGE,
			 "postern run: --timeout takes a number of seconds, 1 or more\n");
}

/* 0 with *a filled, else an exit code plus one. */
static int parse(int argc, char **argv, struct arguments *a)
{
	static const struct option options[] = {
		{ "output", required_argument, NULL, 'o' },
		{ "json", no_argument, NULL, 'j' },
		{ "keep", no_argument, NULL, 'k' },
		{ "timeout", required_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	/* Everything after `--` is the agent's: getopt is not to see it. */
	int own = 1;
	while (own < argc && strcmp(argv[own], "--") != 0)
		own++;
	if (own + 1 < argc)
		a->command = (const char *const *)argv + own + 1;
	for (int c; (c = getopt_long(own, argv, "o:jkt:h", options, NULL)) != -1;) {
		if (c == 'o')
			a->output = optarg;
		else if (c == 'j')
			a->json = true;
		else if (c == 'k')
			a->keep = true;
		else if (c == 't' && ((a->seconds = parse_seconds(optarg))))
			continue;
		else if (c == 't')
			return 1 + bad_timeout();
		else
			return 1 + (c == 'h' ? cmd_usage(EXIT_OK, help)
					     : cmd_usage(EXIT_USAGE,
							 "`postern run --help` says more\n"));
	}
	if (optind != own - 1)
		return 1 + cmd_usage(EXIT_USAGE, optind == own
							 ? "postern run: which harness? `postern "
							   "run --help` says more\n"
							 : "postern run: one harness; the agent's "
							   "command comes after `--`\n");
	a->harness = argv[optind];
	return 0;
}

/* The inner process: the run itself. */
static int run_it(const struct arguments *a, const struct harness *h, const struct policy *policy,
		  const char *temp, const char *const *command)
{
	bool terminal = isatty(STDERR_FILENO) && !getenv("NO_COLOR");
	struct run_options options = {
		.harness = h,
		.policy = policy,
		.command = command,
		.temp = temp,
		.output = a->output,
		.environment = (const char *const *)environ,
		.agent_out = a->json ? STDERR_FILENO : STDOUT_FILENO,
		.keep = a->keep,
		.timeout_ms = a->seconds ? a->seconds * 1000ull : h->timeout_minutes * 60000ull,
		.progress = show,
		.progress_arg = &terminal,
	};
	struct run_result result;
	struct error e = { 0 };
	char text[600];
	int code = EXIT_OK;
	cmd_print_policy_warnings("run", policy);
	if (*h->ignored)
		fprintf(stderr, "%s %-18s not acted upon: %s\n",
			terminal ? marks[RUN_STEP_NOTE].terminal : marks[RUN_STEP_NOTE].plain,
			"harness", h->ignored);
	if (run_execute(&options, &result, &e) < 0) {
		if (result.log_tail)
			fprintf(stderr, "%s\n", result.log_tail);
		fprintf(stderr, "postern run: %s\n", error_format(&e, text, sizeof(text)));
		code = exit_codes[result.outcome];
	} else {
		code = result.exit_code;
	}
	if (a->json && result.record)
		puts(result.record);
	free(result.record);
	free(result.log_tail);
	return code;
}

/* The outer process, when the inner one has ended. */
static int report(int status, const struct buf *left)
{
	if (WIFEXITED(status) && !left->len)
		return WEXITSTATUS(status);
	if (WIFSIGNALED(status))
		fprintf(stderr, "postern run: the run was killed by signal %d (%s)\n",
			WTERMSIG(status), strsignal(WTERMSIG(status)));
	if (left->len)
		fprintf(stderr, "postern run: killed what it left: %s\n", left->data);
	return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_RUN_FAILED;
}

/* The temporary folder is made before the split, so that the outer process can remove it when the inner
 * one was killed. */
static int split_and_run(const struct arguments *a, const struct harness *h,
			 const struct policy *policy, const char *const *command)
{
	_cleanup_buf_ struct buf left = BUF_INIT(4096);
	char temp[FOLDER_PATH_SIZE], text[600];
	struct error e = { 0 };
	int status = 0;
	_cleanup_close_ int lock = temp_make((const char *const *)environ, temp, &e);
	if (lock < 0) {
		fprintf(stderr, "postern run: %s\n", error_format(&e, text, sizeof(text)));
		return EXIT_RUN_FAILED;
	}
	struct termios before;
	bool terminal = tcgetattr(STDIN_FILENO, &before) == 0;
	(void)cgroup_settle(text, sizeof(text)); /* for builds: see postern serve */
	int r = guard_split(&status, &left);
	if (r != 0)
		cgroup_leave();
	if (r == 0)
		return run_it(a, h, policy, temp, command);
	if (r == 1 && WIFSIGNALED(status) && terminal)
		terminal_restore(STDIN_FILENO, &before);
	if (r == 1 && (WIFSIGNALED(status) || !a->keep))
		(void)temp_remove(temp);
	if (r == 1)
		return report(status, &left);
	fprintf(stderr, "postern run: cannot begin: %s\n", strerror(-r));
	(void)temp_remove(temp);
	return EXIT_RUN_FAILED;
}

int cmd_run(int argc, char **argv)
{
	struct arguments a = { 0 };
	_cleanup_policy_ struct policy *policy = NULL;
	struct harness *h = NULL;
	struct error e = { 0 };
	char text[600];
	int r = parse(argc, argv, &a);
	if (r)
		return r - 1;
	/* Whoever stops reading what we say is no reason to leave things undone. What we start has the
	 * usual signals again. */
	signal(SIGPIPE, SIG_IGN);
	if (harness_load(a.harness, (const char *const *)environ, &h, &e) < 0) {
		fprintf(stderr, "postern run: %s\n", error_format(&e, text, sizeof(text)));
		return EXIT_CONFIG;
	}
	const char *const *command = a.command ? a.command : (const char *const *)h->command;
	int code;
	if (!command || !h->policy) {
		code = command ? EXIT_CONFIG : EXIT_USAGE;
		fprintf(stderr, "postern run: %s has no `%s`%s\n", a.harness,
			command ? "policy" : "command",
			command ? "; a sandbox needs one" : ", and none was given after `--`");
		harness_free(h);
		return code;
	}
	if (policy_load_file(h->policy, &policy, &e) < 0) {
		fprintf(stderr, "postern run: %s\n", error_format(&e, text, sizeof(text)));
		harness_free(h);
		return EXIT_CONFIG;
	}
	code = split_and_run(&a, h, policy, command);
	harness_free(h);
	return code;
}
