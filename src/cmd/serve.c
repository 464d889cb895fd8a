/* SPDX-License-Identifier: Apache-2.0 */
/* `postern serve`: reads its options and token, binds the sockets, takes the state directory, and hands over to the supervisor. */
#include "cmd/serve.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/limit.h"
#include "base/log.h"
#include "cmd/cmd.h"
#include "jail/cgroup.h"
#include "keeper/settings.h"
#include "keeper/state_dir.h"
#include "keeper/supervise.h"
#include "worker/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <limits.h>
#include <sodium.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

enum option_id {
	O_PORT = 256,
	O_BIND,
	O_SOCKET,
	O_HEALTH,
	O_TOKEN_FILE,
	O_TOKEN_FD,
	O_TOKEN,
	O_EXPIRES,
	O_RUN,
	O_CONFIG,
	O_STATE,
	O_CACHE,
	O_GRACE,
	O_LOG,
	O_JSON,
	O_HELP,
	O_END
};

/* The options, once: getopt's table and --help are made from these rows (docs/man/postern-serve.1 has the same ones). */
static const struct option_row {
	const char *name, *value, *text;
} rows[] = {
	{ "port", "N", "TCP port; 0 picks a free one and says it (default 0, unless --socket)" },
	{ "bind-address", "ADDR", "IPv4 address to listen on (default 127.0.0.1)" },
	{ "socket", "PATH", "listen on a Unix socket (also, or instead of TCP)" },
	{ "health-socket", "PATH",
	  "a Unix socket that answers /healthz only, outside every limit" },
	{ "token-file", "FILE", "the run's token; or" },
	{ "token-fd", "N", "the same from a descriptor; or POSTERN_TOKEN in the environment; or" },
	{ "token", "TOKEN", "works, but others may read it in the list of processes" },
	{ "token-expires", "SECONDS",
	  "life of the token (default 43200; 0: as long as the server)" },
	{ "run-id", "ID", "the run's id, part of its images' names (default: a new one)" },
	{ "config", "FILE", "settings: engine, bases, limits" },
	{ "state-dir", "DIR",
	  "jobs, logs, artifacts (default: a temporary one, removed at the end)" },
	{ "cache-dir", "DIR", "where `postern base add` put the base images" },
	{ "grace", "SECONDS", "what running jobs get after SIGTERM (default 10)" },
	{ "log", "human|json", "form of the log on stderr" },
	{ "json", NULL, "say where it listens as JSON" },
	{ "help", NULL, "say this" },
};
_Static_assert(ELEMENTS(rows) == O_END - O_PORT, "a row per option");

static const char exit_codes[] =
	"\nExit status: 0 ended when asked, 1 failed, 2 wrong usage, 3 bad configuration or token, "
	"5 address taken,\n6 state directory refused.\n";

struct options {
	const char *bind_address, *socket, *health_socket, *config, *run, *state_dir, *cache_dir;
	struct serve_token token;
	long port, grace, expires;
	bool log_json, json;
};

struct ready {
	const struct options *o;
	unsigned port;
};

static int fail(int code, const char *message)
{
	log_error("%s", message);
	return code;
}

/* ---- ready ---- */

/* sd_notify(3) in the little that is needed of it. */
static void notify(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	if (!path || strlen(path) >= sizeof(a.sun_path) || (*path != '/' && *path != '@'))
		return;
	memcpy(a.sun_path, path, strlen(path));
	if (*path == '@')
		a.sun_path[0] = '\0';
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0)
		(void)sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&a,
			     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path)));
}

static void on_ready(void *arg, const char *run)
{
	const struct ready *r = arg;
	const struct options *o = r->o;
	if (o->json) {
		json_t *j =
			json_pack("{ss?, so, ss?, ss}", "address", r->port ? o->bind_address : NULL,
				  "port", r->port ? json_integer(r->port) : json_null(), "socket",
				  o->socket, "run", run);
		_cleanup_free_ char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
		json_decref(j);
		puts(text ? text : "{}");
	} else {
		if (r->port)
			printf("run %s: listening on http://%s:%u\n", run, o->bind_address,
			       r->port);
		if (o->socket)
			printf("run %s: listening on %s\n", run, o->socket);
	}
	fflush(stdout);
	notify("READY=1");
}

static void on_stopping(void *arg)
{
	notify("STOPPING=1");
}

/* ---- options ---- */

static int say_help(void)
{
	char name[40];
	puts("Usage: postern serve [OPTION...]\n\nRuns the API server of one run until SIGTERM.\n");
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		snprintf(name, sizeof(name), "--%s%s%s", rows[i].name, rows[i].value ? " " : "",
			 rows[i].value ? rows[i].value : "");
		printf("  %-24s %s\n", name, rows[i].text);
	}
	fputs(exit_codes, stdout);
	return EXIT_OK;
}

static int number(int option, long least, long most, long *ret)
{
	char *end;
	errno = 0;
	long v = strtol(optarg, &end, 10);
	if (errno || *end || !*optarg || v < least || v > most) {
		log_error("--%s takes a number from %ld to %ld, not '%.40s'",
			  rows[option - O_PORT].name, least, most, optarg);
		return EXIT_USAGE;
	}
	*ret = v;
	return 0;
}

/* The id becomes a part of images' names and of folders' names. */
static int run_id(const char *text, const char **ret)
{
	static const char inner[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
	size_t n = strlen(text);
	if (!n || n > LIMIT_RUN_ID_BYTES || strspn(text, inner) != n || *text == '-' ||
	    text[n - 1] == '-') {
		log_error("--run-id takes 1 to %d small letters, digits and inner hyphens, not "
			  "'%.64s'",
			  LIMIT_RUN_ID_BYTES, text);
		return EXIT_USAGE;
	}
	*ret = text;
	return 0;
}

static int take_text(struct options *o, int c)
{
	const char **to = c == O_BIND	      ? &o->bind_address
			  : c == O_SOCKET     ? &o->socket
			  : c == O_HEALTH     ? &o->health_socket
			  : c == O_TOKEN_FILE ? &o->token.file
			  : c == O_CONFIG     ? &o->config
			  : c == O_STATE      ? &o->state_dir
			  : c == O_CACHE      ? &o->cache_dir
					      : NULL;
	if (!to)
		return EXIT_USAGE; /* getopt has said why */
	*to = optarg;
	return 0;
}

static int take_option(struct options *o, int c)
{
	long fd;
	int code;
	switch (c) {
	case O_PORT:
		return number(c, 0, 65535, &o->port);
	case O_TOKEN_FD:
		code = number(c, 0, INT_MAX, &fd);
		o->token.fd = code ? -1 : (int)fd;
		return code;
	case O_TOKEN:
		free(o->token.argument);
		o->token.argument = serve_token_argument(optarg);
		return o->token.argument ? 0 : fail(EXIT_FAILED, "out of memory");
	case O_EXPIRES:
		return number(c, 0, LIMIT_TOKEN_SECONDS, &o->expires);
	case O_RUN:
		return run_id(optarg, &o->run);
	case O_GRACE:
		return number(c, 0, LIMIT_DRAIN_SECONDS, &o->grace);
	case O_LOG:
		o->log_json = !strcmp(optarg, "json");
		if (!o->log_json && strcmp(optarg, "human") != 0)
			return fail(EXIT_USAGE, "--log takes human or json");
		return 0;
	case O_JSON:
		o->json = true;
		return 0;
	}
	return take_text(o, c);
}

/* ---- acquire, serve, release ---- */

static int bind_all(const struct options *o, struct supervise *s, unsigned *ret_port)
{
	int fd, code = 0;
	if (o->port >= 0) {
		code = serve_listen_tcp(o->bind_address, (unsigned)o->port, &fd, ret_port);
		if (code)
			return code;
		s->listeners[s->n_listeners++] = fd;
	}
	if (o->health_socket) {
		code = serve_listen_unix(o->health_socket, &s->health_listener);
		if (code)
			return code;
	}
	if (o->socket) {
		code = serve_listen_unix(o->socket, &fd);
		if (code && o->health_socket)
			unlink(o->health_socket);
		if (code)
			return code;
		s->listeners[s->n_listeners++] = fd;
	}
	return code;
}

static int open_bases(const struct options *o)
{
	char path[PATH_MAX];
	int r = cmd_bases_path(o->cache_dir, path, sizeof(path));
	return r < 0 ? r : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Every build fails without any one of the granted base images, whatever its Dockerfile names. */
static void warn_of_missing(const char *settings, int bases_fd)
{
	char text[640];
	engine_missing(settings, text, sizeof(text));
	if (*text)
		log_warning("%s; `postern doctor` says more", text);
	json_t *j = json_loads(settings, 0, NULL), *name;
	size_t i;
	json_array_foreach(json_object_get(j, "bases"), i, name)
	{
		const char *base = json_string_value(name);
		if (bases_fd < 0 || faccessat(bases_fd, base, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
			log_warning("base image %s is granted, but not there: builds fail until "
				    "`postern base add %s ROOTFS.tar` makes it",
				    base, base);
	}
	json_decref(j);
}

/* Everything is bound: take the state directory and serve. An exit code. */
static int serve_bound(const struct options *o, struct supervise *s)
{
	struct error e = { 0 };
	char text[640], made[PATH_MAX] = "";
	sigset_t held;
	supervise_hold_signals(&held);
	int r = o->state_dir ? state_dir_open(o->state_dir, &s->state_fd, &e)
			     : state_dir_make_temporary(made, sizeof(made), &s->state_fd, &e);
	if (r < 0)
		return fail(EXIT_STATE, error_format(&e, text, sizeof(text)));
	s->keeps_state = o->state_dir;
	/* Before anything is started. Where it cannot be, builds are limited by other means, which
	 * doctor tells. */
	(void)cgroup_settle(text, sizeof(text));
	r = supervise(s, &e);
	cgroup_leave();
	if (r < 0)
		log_error("%s", error_format(&e, text, sizeof(text)));
	if (*made && state_dir_remove(made) < 0)
		log_warning("%s could not be removed whole", made);
	return r == 0 ? EXIT_OK : r == -EBADMSG ? EXIT_STATE : EXIT_FAILED;
}

static int serve(struct options *o)
{
	struct ready ready = { .o = o };
	struct supervise s = { .bases_fd = -1,
			       .health_listener = -1,
			       .json = o->log_json,
			       .run = o->run ? o->run : "",
			       .grace_seconds = (unsigned)o->grace,
			       .ready = on_ready,
			       .stopping = on_stopping,
			       .arg = &ready };
	struct error e = { 0 };
	char text[640];
	_cleanup_buf_ struct buf settings = BUF_INIT(SETTINGS_JSON_MAX);
	if (sodium_init() < 0)
		return fail(EXIT_FAILED, "libsodium cannot be used");
	int code = serve_token_take(&o->token, s.token_digest);
	if (code)
		return code;
	if (o->expires)
		s.token_expires_ms = clock_wall_ms() + (uint64_t)o->expires * 1000;
	if (serve_settings_load(o->config, &settings, &s.limits, &e) < 0)
		return fail(EXIT_CONFIG, error_format(&e, text, sizeof(text)));
	s.settings = settings.data;
	s.bases_fd = open_bases(o);
	warn_of_missing(s.settings, s.bases_fd);
	code = bind_all(o, &s, &ready.port);
	if (code)
		return code;
	code = serve_bound(o, &s);
	if (o->socket)
		unlink(o->socket);
	if (o->health_socket)
		unlink(o->health_socket);
	return code;
}

int cmd_serve(int argc, char **argv)
{
	struct options o = { .bind_address = "127.0.0.1",
			     .port = -1,
			     .grace = DEFAULT_DRAIN_SECONDS,
			     .token.fd = -1,
			     .expires = DEFAULT_TOKEN_SECONDS };
	struct option table[ELEMENTS(rows) + 1] = { { 0 } };
	for (size_t i = 0; i < ELEMENTS(rows); i++)
		table[i] = (struct option){ rows[i].name, rows[i].value != NULL, NULL,
					    O_PORT + (int)i };
	int c, code = 0;
	/* Whoever reads what it says may go; the server, its sockets and its jobs stay. */
	signal(SIGPIPE, SIG_IGN);
	log_init("postern", false);
	while (code == 0 && (c = getopt_long(argc, argv, "+h", table, NULL)) != -1) {
		if (c == O_HELP || c == 'h')
			return say_help();
		code = take_option(&o, c);
	}
	if (code == 0 && optind < argc) {
		log_error(
			"serve takes no argument '%.40s'; `postern serve --help` shows the options",
			argv[optind]);
		code = EXIT_USAGE;
	}
	if (o.port < 0 && !o.socket)
		o.port = 0;
	log_init("postern", o.log_json);
	if (code == 0)
		code = serve(&o);
	free(o.token.argument);
	return code;
}
