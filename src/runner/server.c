/* SPDX-License-Identifier: Apache-2.0 */
/* Starts, asks and stops API servers. */
#include "runner/server.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/spawn.h"
#include "runner/environment.h"
#include "runner/health.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <sodium.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define TAIL_BYTES 16384 /* of a log, looked at for its last lines */

/* The port of 127.0.0.1 that a server is to take: wanted, or a free one. -EADDRINUSE. The server binds
 * it again; SO_REUSEADDR here as there, so that only a listener counts. */
static int choose_port(unsigned wanted, unsigned *ret)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons((uint16_t)wanted),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(a);
	int on = 1;
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 1) < 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &n) < 0)
		return -errno;
	*ret = ntohs(a.sin_port);
	return 0;
}

static void make_token(char token[SERVER_TOKEN_SIZE])
{
	unsigned char bytes[32];
	randombytes_buf(bytes, sizeof(bytes));
	sodium_bin2hex(token, SERVER_TOKEN_SIZE, bytes, sizeof(bytes));
	sodium_memzero(bytes, sizeof(bytes));
}

/* A memory file with the token, at its start. */
static int token_descriptor(const char *token)
{
	return fd_sealed("token", token, strlen(token));
}

#define WORDS_OF_OURS 10
struct words {
	const char *list[LIMIT_HARNESS_WORDS + WORDS_OF_OURS + 1];
	unsigned count;
};

static void add(struct words *w, const char *word)
{
	w->list[w->count++] = word;
}

static int spawn_server(struct server *s, const struct server_context *c, const struct words *words,
			const char *program, int token_fd, struct error *e)
{
	_cleanup_environment_ struct environment env = { 0 };
	environment_copy_basic(&env, c->environment);
	environment_set(&env, "TMPDIR", c->temp);
	environment_set(&env, "POSTERN_RUN_ID", c->run_id);
	environment_set_all(&env, c->runner_env);
	environment_set_all(&env, &s->spec->env);
	if (env.failed)
		return error_set(e, -env.failed, "out of memory");
	_cleanup_close_ int log =
		open(s->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (log < 0)
		return error_set(e, errno, "cannot make the log %s: %s", s->log, strerror(errno));
	struct spawn spawn = {
		.program = program,
		.argv = words->list,
		.envp = (const char *const *)env.list,
		.fds = { token_fd },
		.n_fds = token_fd < 0 ? 0 : 1,
		.in = -1,
		.out = log,
		.err = log,
		.directory = c->directory,
		.new_session = true,
	};
	int r = spawn_start(&spawn, &s->process.pid, &s->process.pidfd);
	if (r < 0)
		return error_set(e, -r, "cannot start server '%s' (%s): %s%s", s->spec->name,
				 program, strerror(-r), r == -EACCES ? "; make it executable" : "");
	s->running = true;
	return 0;
}

static int start_postern(struct server *s, const struct server_context *c, struct error *e)
{
	char self[PATH_MAX], socket_path[128], health_path[128], state[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n < 0)
		return error_set(e, errno, "cannot find this program itself: %s", strerror(errno));
	self[n] = '\0';
	snprintf(socket_path, sizeof(socket_path), "%s/%s.sock", c->temp, s->spec->name);
	snprintf(health_path, sizeof(health_path), "%s/%s.health", c->temp, s->spec->name);
	snprintf(state, sizeof(state), "%s/%s.state", c->temp, s->spec->name);
	snprintf(s->address, sizeof(s->address), "unix:%s", socket_path);
	snprintf(s->health, sizeof(s->health), "unix:%s", health_path);
	if (mkdir(state, 0700) < 0)
		return error_set(e, errno, "cannot make %s: %s", state, strerror(errno));
	_cleanup_close_ int token = token_descriptor(s->token);
	if (token < 0)
		return error_set(e, -token, "cannot hand over the token: %s", strerror(-token));
	struct words words = { 0 };
	add(&words, "postern");
	for (unsigned i = 0; i < s->spec->n_args; i++)
		add(&words, s->spec->args[i]);
	add(&words, "--socket");
	add(&words, socket_path);
	add(&words, "--health-socket");
	add(&words, health_path);
	add(&words, "--state-dir");
	add(&words, state);
	add(&words, "--token-fd");
	add(&words, "3");
	return spawn_server(s, c, &words, self, token, e);
}

static int start_other(struct server *s, const struct server_context *c, struct error *e)
{
	unsigned port = s->spec->port;
	char port_text[8];
	int r = choose_port(s->spec->port, &port);
	if (r < 0)
		return error_set(e, -r,
				 "server '%s' cannot have port %u of 127.0.0.1: %s; %s, or give "
				 "port: 0",
				 s->spec->name, s->spec->port, strerror(-r),
				 r == -EACCES ? "give one that is not root's alone (1024 or more)"
					      : "end what uses it");
	snprintf(port_text, sizeof(port_text), "%u", port);
	snprintf(s->address, sizeof(s->address), "127.0.0.1:%u", port);
	snprintf(s->health, sizeof(s->health), "127.0.0.1:%u", port);
	struct words words = { 0 };
	add(&words, s->spec->program);
	for (unsigned i = 0; i < s->spec->n_args; i++)
		add(&words, s->spec->args[i]);
	add(&words, "--port");
	add(&words, port_text);
	add(&words, "--token");
	add(&words, s->token);
	add(&words, "--bind-address");
	add(&words, "127.0.0.1");
	return spawn_server(s, c, &words, s->spec->program, -1, e);
}

int server_start(struct server *s, const struct server_context *c, struct error *e)
{
	int n = snprintf(s->log, sizeof(s->log), "%s/%s.log", c->output, s->spec->name);
	if (n < 0 || (size_t)n >= sizeof(s->log))
		return error_set(e, ENAMETOOLONG, "the output folder's path is too long");
	make_token(s->token);
	return s->spec->program ? start_other(s, c, e) : start_postern(s, c, e);
}

enum watch_event server_await_health(const struct server *s, struct watch *w, uint64_t deadline_ms,
				     char *why, size_t size)
{
	uint64_t now = clock_monotonic_ms(), end = now + LIMIT_HEALTH_SECONDS * 1000ull;
	if (deadline_ms && deadline_ms < end)
		end = deadline_ms;
	unsigned pause = 5;
	snprintf(why, size, "nothing listens");
	for (;;) {
		unsigned status = 0;
		int r = health_ask(s->health,
				   end > now && end - now < 1000 ? (int)(end - now) : 1000,
				   &status);
		if (r == 0)
			return WATCH_ENDED;
		if (r == -EPROTO && status)
			snprintf(why, size, "/healthz answered %u", status);
		else
			snprintf(why, size, "%s",
				 r == -EPROTO	? "/healthz did not answer in HTTP"
				 : r == -EAGAIN ? "/healthz did not answer in a second"
						: "nothing listens");
		/* The one deadline of this wait is the pause until the next question. */
		enum watch_event event = watch_wait(w, -1, clock_monotonic_ms() + pause);
		if (event != WATCH_DEADLINE)
			return event;
		now = clock_monotonic_ms();
		if (now >= end)
			return WATCH_DEADLINE;
		pause = pause < 80 ? pause * 2 : 100;
	}
}

bool server_stop(struct server *s, struct watch *w)
{
	if (!s->running)
		return true;
	bool willing = process_stop(&s->process, w, LIMIT_SERVER_STOP_SECONDS * 1000);
	s->running = false;
	return willing && s->process.status == 0;
}

char *log_tail(const char *path, unsigned lines)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char bytes[TAIL_BYTES];
	off_t size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
	if (size <= 0 || lseek(fd, size > TAIL_BYTES ? size - TAIL_BYTES : 0, SEEK_SET) < 0)
		return NULL;
	ssize_t n = fd_read_full(fd, bytes, sizeof(bytes));
	if (n <= 0)
		return NULL;
	size_t end = (size_t)n;
	while (end && bytes[end - 1] == '\n')
		end--;
	size_t start = end;
	while (start && (bytes[start - 1] != '\n' || --lines))
		start--;
	_cleanup_buf_ struct buf text = BUF_INIT(3 * TAIL_BYTES);
	bool fresh = true;
	for (size_t i = start; i < end; i++) {
		char c = bytes[i];
		if (fresh)
			(void)buf_append_str(&text, "  ");
		fresh = c == '\n';
		if (iscntrl((unsigned char)c) && c != '\n' && c != '\t')
			c = '?';
		(void)buf_append(&text, &c, 1);
	}
	return text.len ? buf_take(&text) : NULL;
}
