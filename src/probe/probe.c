/* SPDX-License-Identifier: Apache-2.0 */
/*
 * postern-probe, which `postern probe` runs: says what is possible where it stands. It makes one attempt after the other, each in a
 * child (attempt.c), and prints what came of it; it changes nothing itself but a scratch folder, which it removes.
 */
#include "probe/probe.h"

#include <getopt.h>
#include <signal.h>

enum { EXIT_ALL = 0, EXIT_SOME_UNTRIED = 1, EXIT_WRONG_USAGE = 2, EXIT_SIGNAL = 130 };

static const char help[] =
	"Usage: postern probe [OPTION...] [GROUP...]\n"
	"\n"
	"Says what is possible from where it stands, by trying it: in any sandbox, in a "
	"container,\n"
	"or outside of both. It needs no privilege and leaves nothing behind. GROUP is one of\n"
	"namespaces, mounts, processes, calls, sockets, netlink, files, network, engines; all of\n"
	"them by default.\n"
	"\n"
	"  possible  it was done, or only arguments that were made to lead nowhere were refused\n"
	"  refused   it was tried and did not come about: the errno says how\n"
	"  absent    what it takes is not here: no such call, family, file, device or program\n"
	"  untried   the attempt itself could not be made: the last column says why\n"
	"\n"
	"  -j, --json                print one JSON object\n"
	"  -h, --help                print this\n"
	"\n"
	"Exit code: 0 when all was tried, whatever came of it; 1 when something is untried;\n"
	"2 wrong usage; 130 interrupted.\n";

static const struct attempt_group *const groups[] = {
	&group_namespaces, &group_mounts, &group_processes, &group_calls,   &group_sockets,
	&group_netlink,	   &group_files,  &group_network,   &group_engines,
};
static const char *const states[] = { "possible", "refused", "absent", "untried" };

/* ---- text ---- */

static void print_fact(const char *name, const char *value)
{
	printf("%-26s %s\n", name, value);
}

static void print_attempt(const struct attempt_group *g, const struct attempt *a,
			  const struct outcome *o)
{
	static const struct attempt_group *last;
	if (last != g)
		printf("\n%s\n", g->name);
	last = g;
	bool more = o->error || *o->detail;
	printf("  %-36s %-*s", a->name, more ? 9 : 0, states[o->state]);
	if (o->error)
		printf(" %s (%s)", strerrorname_np(o->error), strerror(o->error));
	printf("%s%s\n", *o->detail ? (o->error ? ": " : " ") : "", o->detail);
	fflush(stdout);
}

/* ---- JSON ---- */

static void print_string(const char *text)
{
	putchar('"');
	for (const unsigned char *c = (const unsigned char *)text; *c; c++)
		if (*c == '"' || *c == '\\')
			printf("\\%c", *c);
		else if (*c < ' ' || *c > '~')
			printf("\\u%04x", *c);
		else
			putchar(*c);
	putchar('"');
}

static bool first_of_list;

static void next_of_list(void)
{
	printf("%s\n    ", first_of_list ? "" : ",");
	first_of_list = false;
}

static void print_json_fact(const char *name, const char *value)
{
	next_of_list();
	print_string(name);
	fputs(": ", stdout);
	print_string(value);
}

static void print_json_attempt(const struct attempt_group *g, const struct attempt *a,
			       const struct outcome *o)
{
	const char *const fields[][2] = {
		{ "{\"group\": ", g->name },
		{ ", \"name\": ", a->name },
		{ ", \"state\": ", states[o->state] },
		{ ", \"errno\": ", o->error ? strerrorname_np(o->error) : NULL },
		{ ", \"text\": ", o->error ? strerror(o->error) : NULL },
		{ ", \"detail\": ", *o->detail ? o->detail : NULL },
	};
	next_of_list();
	for (size_t i = 0; i < ELEMENTS(fields); i++) {
		fputs(fields[i][0], stdout);
		if (fields[i][1])
			print_string(fields[i][1]);
		else
			fputs("null", stdout);
	}
	putchar('}');
}

/* ---- the attempts ---- */

static bool chosen(const struct attempt_group *g, char **names)
{
	bool found = !*names;
	for (; *names; names++)
		found = found || !strcmp(*names, g->name);
	return found;
}

/* Whether none was left untried. */
static bool make_attempts(char **names, bool json)
{
	bool all = true;
	for (size_t i = 0; i < ELEMENTS(groups); i++)
		for (unsigned n = 0;
		     n < groups[i]->n && chosen(groups[i], names) && !attempt_interrupted(); n++) {
			struct outcome o;
			attempt_run(&groups[i]->attempts[n], groups[i]->seconds, &o);
			scratch_empty();
			all = all && o.state != UNTRIED;
			if (!attempt_interrupted())
				(json ? print_json_attempt
				      : print_attempt)(groups[i], &groups[i]->attempts[n], &o);
		}
	return all;
}

static int print_all(char **names, bool json)
{
	first_of_list = true;
	if (json)
		fputs("{\n  \"version\": \"" POSTERN_VERSION "\",\n  \"facts\": {", stdout);
	facts(json ? print_json_fact : print_fact);
	first_of_list = true;
	if (json)
		fputs("\n  },\n  \"attempts\": [", stdout);
	fflush(stdout); /* not to be written by children, too */
	bool all = make_attempts(names, json);
	if (json)
		fputs("\n  ]\n}\n", stdout);
	return all ? EXIT_ALL : EXIT_SOME_UNTRIED;
}

static bool known(char **names)
{
	for (; *names; names++) {
		bool found = false;
		for (size_t i = 0; i < ELEMENTS(groups); i++)
			found = found || !strcmp(*names, groups[i]->name);
		if (!found) {
			fprintf(stderr,
				"postern probe: no group '%.40s' (`postern probe --help` lists "
				"them)\n",
				*names);
			return false;
		}
	}
	return true;
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "json", no_argument, NULL, 'j' },
						 { "help", no_argument, NULL, 'h' },
						 { 0 } };
	bool json = false;
	for (int c; (c = getopt_long(argc, argv, "jh", options, NULL)) != -1;) {
		if (c == 'h') {
			fputs(help, stdout);
			return EXIT_ALL;
		}
		if (c != 'j') {
			fputs("`postern probe --help` says more\n", stderr);
			return EXIT_WRONG_USAGE;
		}
		json = true;
	}
	if (!known(argv + optind))
		return EXIT_WRONG_USAGE;
	attempt_heed_signals();
	scratch_make();
	int code = print_all(argv + optind, json);
	scratch_remove();
	if (attempt_interrupted()) {
		fputs("postern probe: interrupted\n", stderr);
		return EXIT_SIGNAL;
	}
	return code;
}
