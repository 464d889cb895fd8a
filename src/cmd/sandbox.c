/* SPDX-License-Identifier: Apache-2.0 */
/* `postern sandbox`: one command in the native sandbox, under a policy. */
#include "sandbox/sandbox.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/limit.h"
#include "cmd/cmd.h"
#include "cmd/sandbox_limits.h"
#include "jail/cgroup.h"
#include "policy/policy.h"
#include "sandbox/terminal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#define EXPLANATION_MAX (8 * 1024 * 1024) /* bytes; proxy writes less */

static const char help[] =
	"Usage: postern sandbox --policy FILE [OPTION...] -- COMMAND [ARGUMENT...]\n"
	"\n"
	"Runs COMMAND in a sandbox whose root and network are what the OpenShell policy lists.\n"
	"\n"
	"  -p, --policy FILE            an OpenShell version-1 policy\n"
	"  -d, --dir DIR                the host's folder that is /sandbox inside (default: an "
	"empty one)\n"
	"  -r, --rootfs DIR             the host's folder that is the root, read-only (default: "
	"made of "
	"its /usr)\n"
	"  -e, --env NAME=VALUE         a variable for COMMAND; may be repeated\n"
	"  -s, --server PORT=ADDRESS    what host.openshell.internal:PORT is: unix:/path or "
	"127.0.0.1:PORT\n"
	"  -a, --host-address ADDR      what that name is with every other port: this address of "
	"the "
	"host's\n"
	"  -c, --credential NAME=[https://]HOST:PORT[/PATH]\n"
	"                               the value of NAME in this environment may go there, where "
	"COMMAND writes\n"
	"                               openshell:resolve:env:NAME; COMMAND gets NAME set to that "
	"placeholder\n"
	"  -m, --memory BYTES           for everything inside (512M, 2G); past that all of it is "
	"killed\n"
	"  -n, --processes N            processes and threads (default: 4096)\n"
	"  -f, --files N                open files of each process (default: 65536)\n"
	"  -t, --time SECONDS           for COMMAND (90, 10m, 2h); then it is ended, and the exit "
	"code is 124\n"
	"  -l, --log FILE               append a line for each decision of the proxy, in "
	"OpenShell's form\n"
	"  -j, --log-json FILE          the same as JSON (OCSF)\n"
	"  -x, --explain-denials        say at the end what was denied, and what the policy lacks "
	"for it\n"
	"  -h, --help                   print this\n"
	"\n"
	"Exit code: COMMAND's (128 + signal when it was killed), or 2 wrong usage, 3 malformed "
	"policy, 4 something\n"
	"is missing on this machine, 125 the sandbox failed, 126 and 127 COMMAND cannot be "
	"executed or found.\n";

struct arguments {
	struct sandbox_options options;
	const char *policy; /* path */
	struct sandbox_credential credentials[LIMIT_CREDENTIALS];
	struct sandbox_server servers[LIMIT_SERVERS];
	const char *env[LIMIT_SANDBOX_VARIABLES + 1];
	unsigned n_env;
	uint64_t seconds; /* that COMMAND may take; 0: no limit */
	bool explain;
};

static int usage(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int usage(const char *format, ...)
{
	va_list arguments;
	fputs("postern sandbox: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputs("; `postern sandbox --help` says more\n", stderr);
	return EXIT_USAGE;
}

static bool parse_port(const char *text, char end, unsigned *ret, const char **ret_rest)
{
	char *rest;
	unsigned long port = strtoul(text, &rest, 10);
	if (*text < '0' || *text > '9' || port < 1 || port > 65535 || (*rest != end && *rest))
		return false;
	*ret = (unsigned)port;
	*ret_rest = rest;
	return true;
}

/* "unix:/path", "127.0.0.1:PORT" or "[::1]:PORT". */
static bool is_address(const char *text)
{
	char host[INET6_ADDRSTRLEN];
	const char *rest, *colon = strrchr(text, ':');
	struct in6_addr bytes;
	unsigned port;
	if (!strncmp(text, "unix:", 5))
		return text[5] == '/' &&
		       strlen(text + 5) < sizeof(((struct sockaddr_un *)NULL)->sun_path);
	if (!colon || !parse_port(colon + 1, '\0', &port, &rest))
		return false;
	bool v6 = *text == '[' && colon[-1] == ']';
	int n = (int)(colon - text) - (v6 ? 2 : 0);
	if (n < 1 || n >= (int)sizeof(host))
		return false;
	snprintf(host, sizeof(host), "%.*s", n, text + v6);
	return inet_pton(v6 ? AF_INET6 : AF_INET, host, &bytes) == 1;
}

static int add_server(struct arguments *a, char *text)
{
	const char *rest;
	unsigned port;
	if (a->options.n_servers == LIMIT_SERVERS)
		return usage("too many servers");
	if (!parse_port(text, '=', &port, &rest) || !*rest)
		return usage("--server takes PORT=ADDRESS");
	if (!is_address(rest + 1))
		return usage("--server %u: an address is unix:/path, 127.0.0.1:PORT or [::1]:PORT",
			     port);
	for (unsigned i = 0; i < a->options.n_servers; i++)
		if (a->servers[i].port == port)
			return usage("--server %u is given twice", port);
	a->servers[a->options.n_servers++] = (struct sandbox_server){ port, rest + 1 };
	return 0;
}

static int set_host(struct arguments *a, const char *address)
{
	if (a->options.host_address)
		return usage("--host-address is given twice");
	if (!sandbox_may_be_host(address))
		return usage(
			"--host-address takes an IPv4 or IPv6 address of the host's that is no "
			"loopback or link-local one: these are --server's");
	a->options.host_address = address;
	return 0;
}

static int add_env(struct arguments *a, const char *text)
{
	if (!strchr(text, '=') || *text == '=')
		return usage("--env takes NAME=VALUE");
	if (a->n_env == ELEMENTS(a->env) - 1)
		return usage("too many variables");
	a->env[a->n_env++] = text;
	return 0;
}

/* Whether dialer will take it, whose own words for that nobody should have to understand; never says the value. */
static int check_credential(const struct arguments *a, const struct sandbox_credential *c)
{
	size_t n = strlen(c->name), sum = strlen(c->value);
	if (strspn(c->name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") !=
		    n ||
	    n > LIMIT_CREDENTIAL_NAME_BYTES)
		return usage("a credential's NAME has letters, digits and _ only, at most %d",
			     LIMIT_CREDENTIAL_NAME_BYTES);
	if (strlen(c->host) > LIMIT_CREDENTIAL_HOST_BYTES ||
	    strlen(c->path) > LIMIT_CREDENTIAL_PATH_BYTES)
		return usage("credential %s: its host or path is too long", c->name);
	if (sum > LIMIT_CREDENTIAL_BYTES)
		return usage("credential %s: its value is longer than %d bytes", c->name,
			     LIMIT_CREDENTIAL_BYTES);
	for (const char *v = c->value; *v; v++)
		if (((unsigned char)*v < 0x20 && *v != '\t') || *v == 0x7f)
			return usage("credential %s: its value has a line's end or another control "
				     "character, which no header can hold",
				     c->name);
	for (unsigned i = 0; i < a->options.n_credentials; i++)
		if (strcmp(a->credentials[i].name, c->name) != 0)
			sum += strlen(a->credentials[i].value);
	if (sum > LIMIT_CREDENTIAL_ARENA_BYTES)
		return usage("the credentials' values are longer than %d bytes together",
			     LIMIT_CREDENTIAL_ARENA_BYTES);
	return 0;
}

/* NAME=[https://]HOST:PORT[/PATH]; the value is taken out of our own environment. */
static int add_credential(struct arguments *a, char *text)
{
	static const char form[] = "--credential takes NAME=[https://]HOST:PORT[/PATH]";
	char *host = strchr(text, '='), *colon, *placeholder = NULL;
	struct sandbox_credential c = { .name = text, .path = "/" };
	const char *rest;
	if (a->options.n_credentials == LIMIT_CREDENTIALS)
		return usage("too many credentials");
	if (!host || host == text)
		return usage("%s", form);
	*host++ = '\0';
	c.tls_only = !strncmp(host, "https://", 8);
	host += c.tls_only ? 8 : 0;
	c.host = host;
	colon = strchr(host, ':');
	if (!colon || colon == host || !parse_port(colon + 1, '/', &c.port, &rest))
		return usage("%s", form);
	if (*rest)
		c.path = rest;
	c.value = getenv(c.name);
	if (!c.value || !*c.value)
		return usage("--credential %s: that has to be set in this environment", c.name);
	*colon = '\0';
	int r = check_credential(a, &c);
	if (r)
		return r;
	if (asprintf(&placeholder, "%s=openshell:resolve:env:%s", c.name, c.name) < 0)
		return usage("out of memory");
	a->credentials[a->options.n_credentials++] = c;
	return add_env(a, placeholder);
}

/* Now, while the descriptors that it may name are the caller's. */
static int open_log(int *fd, const char *option, const char *path)
{
	if (*fd >= 0)
		return usage("%s is given twice", option);
	*fd = sandbox_open_log(path);
	return *fd < 0 ? usage("%s %s: %s", option, path, strerror(-*fd)) : 0;
}

static int set_limit(struct arguments *a, int option, const char *text)
{
	struct sandbox_limits *l = &a->options.limits;
	uint64_t *to = option == 'm'   ? &l->memory
		       : option == 'n' ? &l->processes
		       : option == 'f' ? &l->files
				       : &a->seconds;
	char why[SANDBOX_LIMIT_TEXT];
	return sandbox_limit_parse(option, text, to, why) < 0 ? usage("%s", why) : 0;
}

static int check_dir(const char *option, const char *dir)
{
	struct stat st;
	if (!dir)
		return 0;
	if (stat(dir, &st) < 0)
		return usage("%s %s: %s", option, dir, strerror(errno));
	return S_ISDIR(st.st_mode) ? 0 : usage("%s %s: not a folder", option, dir);
}

/* 0, or an exit code plus one. */
static int parse(int argc, char **argv, struct arguments *a)
{
	static const struct option options[] = {
		{ "policy", required_argument, NULL, 'p' },
		{ "dir", required_argument, NULL, 'd' },
		{ "rootfs", required_argument, NULL, 'r' },
		{ "env", required_argument, NULL, 'e' },
		{ "server", required_argument, NULL, 's' },
		{ "host-address", required_argument, NULL, 'a' },
		{ "credential", required_argument, NULL, 'c' },
		{ "log", required_argument, NULL, 'l' },
		{ "log-json", required_argument, NULL, 'j' },
		{ "memory", required_argument, NULL, 'm' },
		{ "processes", required_argument, NULL, 'n' },
		{ "files", required_argument, NULL, 'f' },
		{ "time", required_argument, NULL, 't' },
		{ "explain-denials", no_argument, NULL, 'x' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int own = 1, r = 0;
	while (own < argc && strcmp(argv[own], "--") != 0)
		own++;
	if (own + 1 < argc)
		a->options.argv = (const char *const *)argv + own + 1;
	for (int c; r == 0 && (c = getopt_long(own, argv, "p:d:r:e:s:a:c:l:j:m:n:f:t:xh", options,
					       NULL)) != -1;) {
		if (c == 'p')
			a->policy = optarg;
		else if (c == 'd')
			a->options.dir = optarg;
		else if (c == 'r')
			a->options.rootfs = optarg;
		else if (c == 'e')
			r = add_env(a, optarg);
		else if (c == 's')
			r = add_server(a, optarg);
		else if (c == 'a')
			r = set_host(a, optarg);
		else if (c == 'c')
			r = add_credential(a, optarg);
		else if (c == 'l')
			r = open_log(&a->options.log, "--log", optarg);
		else if (c == 'j')
			r = open_log(&a->options.log_json, "--log-json", optarg);
		else if (strchr("mnft", c))
			r = set_limit(a, c, optarg);
		else if (c == 'x')
			a->explain = true;
		else if (c == 'h')
			return 1 + cmd_usage(EXIT_OK, help);
		else
			return 1 + cmd_usage(EXIT_USAGE, "`postern sandbox --help` says more\n");
	}
	if (r == 0 && optind < own)
		r = usage("the command comes after `--`");
	if (r == 0 && (!a->policy || !a->options.argv))
		r = usage("which %s?", a->policy ? "command" : "policy");
	if (r == 0)
		r = check_dir("--dir", a->options.dir);
	if (r == 0)
		r = check_dir("--rootfs", a->options.rootfs);
	return r ? r + 1 : 0;
}

static int watch_signals(void)
{
	static const int passed[] = { SIGINT,  SIGTERM, SIGHUP,	  SIGQUIT,
				      SIGUSR1, SIGUSR2, SIGWINCH, SIGCONT };
	sigset_t set;
	sigemptyset(&set);
	for (size_t i = 0; i < ELEMENTS(passed); i++)
		sigaddset(&set, passed[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* A line on standard error while COMMAND runs, whose time must not stand still because nobody reads that: then it is lost. */
static void tell(const struct terminal *t, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static void tell(const struct terminal *t, const char *format, ...)
{
	char line[1024]; /* a pipe that can be written to has room for that (PIPE_BUF) */
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };
	if (poll(&p, 1, 0) == 1 && p.revents == POLLOUT)
		dprintf(STDERR_FILENO, "postern sandbox: %s%s", line, t->raw ? "\r\n" : "\n");
}

static void reload(struct sandbox *s, const struct terminal *t, const char *policy)
{
	struct error e = { 0 };
	char text[600];
	bool broken;
	int r = sandbox_reload(s, policy, &broken, &e);
	if (r == 0)
		tell(t, "requests are decided by %s as it is now", policy);
	else
		tell(t, "%s%s", error_format(&e, text, sizeof(text)),
		     broken ? "" : "; the policy stays as it was");
}

/* A SIGHUP of the kernel's is the terminal's end, and COMMAND's; somebody's own means the policy. */
static void on_signal(struct sandbox *s, const struct signalfd_siginfo *info, struct terminal *t,
		      const char *policy)
{
	if (info->ssi_signo == SIGWINCH && t->ours >= 0)
		terminal_resize(t);
	else if (info->ssi_signo == SIGHUP && info->ssi_code <= 0)
		reload(s, t, policy);
	else
		sandbox_signal(s, (int)info->ssi_signo);
}

static void on_control(struct sandbox *s, const struct terminal *t)
{
	char said[600];
	sandbox_control(s, said, sizeof(said));
	if (*said)
		tell(t, "%s", said);
}

/* COMMAND's time. */
struct timer {
	uint64_t end_ms; /* monotonic; 0: none */
	bool over;	 /* it is, and COMMAND was told so: now its end is that of its grace */
};

/* What poll() may wait for; 0 when COMMAND has had its grace, too. */
static int wait_ms(struct timer *timer, struct sandbox *s)
{
	uint64_t now = clock_monotonic_ms();
	if (!timer->end_ms)
		return -1;
	if (now >= timer->end_ms && !timer->over) {
		timer->over = true;
		timer->end_ms = now + LIMIT_AGENT_STOP_SECONDS * 1000;
		sandbox_signal(s, SIGTERM);
	}
	uint64_t left = now < timer->end_ms ? timer->end_ms - now : 0;
	return left < INT_MAX ? (int)left : INT_MAX;
}

/* Pass signals, and what goes over the terminal, on until the sandbox has ended, or has to. */
static void wait_for_end(struct sandbox *s, int signals, struct terminal *t, const char *policy,
			 struct timer *timer)
{
	struct pollfd p[3 + TERMINAL_POLLS] = { { .fd = sandbox_fd(s), .events = POLLIN },
						{ .fd = signals, .events = POLLIN },
						{ .events = POLLIN } };
	for (int ms; (ms = wait_ms(timer, s)) != 0;) {
		struct signalfd_siginfo info;
		p[2].fd = sandbox_control_fd(s);
		terminal_poll(t, p + 3);
		if (poll(p, ELEMENTS(p), ms) < 0) {
			if (errno == EINTR)
				continue;
			return;
		}
		if (p[0].revents)
			return;
		while (read(signals, &info, sizeof(info)) == sizeof(info))
			on_signal(s, &info, t, policy);
		if (p[2].revents)
			on_control(s, t);
		terminal_relay(t, p + 3);
	}
}

static int say_failure(const struct error *e, int r)
{
	char text[600];
	fprintf(stderr, "postern sandbox: %s\n", error_format(e, text, sizeof(text)));
	return *e->file		  ? EXIT_CONFIG
	       : r == -EOPNOTSUPP ? EXIT_UNAVAILABLE
	       : r == -EINTR	  ? EXIT_INTERRUPTED
				  : EXIT_RUN_FAILED;
}

/* What proxy wrote about what was denied. It reads what the sandbox sends, so nothing but visible lines reaches the terminal. */
static void print_explanation(int fd)
{
	_cleanup_free_ char *text = NULL;
	size_t n = 0;
	if (lseek(fd, 0, SEEK_SET) < 0 || fd_read_file(fd, EXPLANATION_MAX, &text, &n) < 0 || !n) {
		fputs("postern sandbox: nobody is left to say what was denied\n", stderr);
		return;
	}
	for (size_t i = 0; i < n; i++)
		if ((text[i] < 0x20 && text[i] != '\n') || text[i] == 0x7f)
			text[i] = '?';
	fwrite(text, 1, n, stderr);
}

/* Say what there is to say of a command's end; the exit code. */
static int say_end(const struct arguments *a, const struct sandbox_end *end, bool late)
{
	const uint64_t mib = 1024 * 1024;
	if (*end->message)
		fprintf(stderr, "postern sandbox: %s\n", end->message);
	if (end->out_of_memory)
		fprintf(stderr,
			"postern sandbox: more than %llu MiB of memory were in use, so all of it "
			"was killed; --memory gives more\n",
			(unsigned long long)(a->options.limits.memory / mib));
	else if (late)
		fprintf(stderr, "postern sandbox: its %llu s were over; --time gives more\n",
			(unsigned long long)a->seconds);
	if (end->failed)
		return EXIT_RUN_FAILED;
	if (late)
		return EXIT_TIMED_OUT;
	return WIFSIGNALED(end->status) ? 128 + WTERMSIG(end->status) : WEXITSTATUS(end->status);
}

static int run(struct arguments *a)
{
	struct terminal t = TERMINAL_INIT;
	struct timer timer = { 0 };
	struct sandbox *s;
	struct sandbox_end end;
	struct error e = { 0 };
	char text[600];
	_cleanup_policy_ struct policy *policy = NULL;
	signal(SIGPIPE, SIG_IGN); /* who stops reading what we say ends nothing */
	_cleanup_close_ int signals = watch_signals();
	_cleanup_close_ int explanation = a->explain ? memfd_create("denials", MFD_CLOEXEC) : -1;
	a->options.explanation = explanation;
	if (policy_load_file(a->policy, &policy, &e) < 0)
		return say_failure(&e, -e.code);
	cmd_print_policy_warnings("sandbox", policy);
	a->options.policy = policy;
	if (a->options.limits.memory) /* where it cannot be, a watchdog sees to it */
		(void)cgroup_settle(text, sizeof(text));
	int fds[3] = { STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO };
	int r = terminal_open(&t, fds);
	a->options.in = fds[0];
	a->options.out = fds[1];
	a->options.err = fds[2];
	a->options.terminal = terminal_controls(&t);
	if (r < 0)
		error_set(&e, -r, "cannot make a terminal: %s", strerror(-r));
	else
		r = sandbox_start(&a->options, &s, &e);
	if (r < 0) {
		terminal_close(&t);
		cgroup_leave();
		return say_failure(&e, r);
	}
	terminal_begin(&t, false);
	if (a->seconds)
		timer.end_ms = clock_monotonic_ms() + a->seconds * 1000;
	wait_for_end(s, signals, &t, a->policy, &timer);
	sandbox_finish(s, &end);
	terminal_close(&t);
	cgroup_leave();
	r = say_end(a, &end, timer.over);
	if (a->explain)
		print_explanation(explanation);
	return r;
}

int cmd_sandbox(int argc, char **argv)
{
	static struct arguments a;
	a.options = (struct sandbox_options){ .credentials = a.credentials,
					      .servers = a.servers,
					      .env = a.env,
					      .log = -1,
					      .log_json = -1,
					      .explanation = -1 };
	int r = parse(argc, argv, &a);
	return r ? r - 1 : run(&a);
}
