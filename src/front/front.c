/* SPDX-License-Identifier: Apache-2.0 */
/*
 * postern-front: parses what the agent sends and answers it. Holds no credential.
 *
 * Descriptors: 3 = channel to keeper, 4 = the health listener (may be closed), 5… = listeners. Arguments: the form of the
 * log; for tests, how many milliseconds a second of the limits lasts.
 *
 * Acquire: MESSAGE_FRONT_SETUP with the job table, the texts made from the table of operations, the loop. Drop: an empty
 * root, own user, network, ipc and mount namespaces, no capabilities, no system calls but those of syscalls.h. Serve. Out:
 * when keeper goes; when SIGUSR1 has come and what was being answered is out, or its time is over. Must: answer every
 * request. Mustn't: open a file, connect, execute.
 */
#include "front/front.h"
#include "api/generate.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "front/syscalls.h"
#include "jail/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <sys/resource.h>
#include <sys/socket.h>

enum { CHANNEL = 3, HEALTH = 4, LISTENERS = 5, TICK_MS = 100 };
#define TURN_CALLBACKS	  64 /* of clients, then keeper and the sockets are looked at again */
#define SPARE_DESCRIPTORS 64 /* for all that is no connection */

static volatile sig_atomic_t asked_to_end;

static void on_sigusr1(int sig)
{
	asked_to_end = 1; /* seen at the next tick */
}

uint64_t front_seq(struct front *f)
{
	return ++f->seq;
}

bool front_take_unauthenticated(struct front *f)
{
	uint64_t now = clock_monotonic_ms();
	f->tokens += (double)(now - f->tokens_ms) * LIMIT_UNAUTHENTICATED_PER_SECOND / f->second_ms;
	f->tokens_ms = now;
	if (f->tokens > LIMIT_UNAUTHENTICATED_BURST)
		f->tokens = LIMIT_UNAUTHENTICATED_BURST;
	if (f->tokens < 1)
		return false;
	f->tokens -= 1;
	return true;
}

/* A message as it goes over the channel. */
struct unsent {
	STAILQ_ENTRY(unsent) link;
	size_t n;
	char bytes[];
};

int front_send(struct front *f)
{
	int r = STAILQ_EMPTY(&f->unsent) ? msg_send(f->channel, &f->out) : -EAGAIN;
	if (r != -EAGAIN)
		return 0; /* a keeper that is gone is seen by its channel */
	if (f->out.seq && f->n_unsent >= LIMIT_CONNECTIONS)
		return -ENOBUFS;
	struct unsent *u = malloc(sizeof(*u) + f->out.used);
	if (!u)
		return -ENOMEM;
	u->n = f->out.used;
	memcpy(u->bytes, msg_encode(&f->out), u->n);
	STAILQ_INSERT_TAIL(&f->unsent, u, link);
	f->n_unsent++;
	event_add(f->channel_writable, NULL);
	return 0;
}

static void on_channel_writable(evutil_socket_t fd, short what, void *arg)
{
	struct front *f = arg;
	struct unsent *u;
	while ((u = STAILQ_FIRST(&f->unsent))) {
		if (send(fd, u->bytes, u->n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno == EAGAIN) {
			event_add(f->channel_writable, NULL);
			return;
		}
		STAILQ_REMOVE_HEAD(&f->unsent, link);
		f->n_unsent--;
		free(u);
	}
}

static void on_answer(struct front *f, struct msg *m)
{
	struct conn *c;
	TAILQ_FOREACH(c, &f->conns, link)
	if (c->state == CONN_KEEPER && c->seq == m->seq) {
		c->seq = 0;
		conn_deadline(c, 0); /* keeper's; what comes now may last */
		c->on_reply(c, m);
		return;
	}
	/* Its client has gone meanwhile; a fresh upload would wait for ever. */
	if (m->type->type == MESSAGE_JOB_CREATED && m->n_fds) {
		msg_begin(&f->out, &service_messages, MESSAGE_JOB_ABANDON, 0);
		msg_put_s(&f->out, m->field[2].text);
		(void)front_send(f);
	}
}

/* All that keeper has said, before any client is served: keeper gives up a front that leaves its answers lying. */
static void on_keeper(evutil_socket_t fd, short what, void *arg)
{
	struct front *f = arg;
	int r;
	while ((r = msg_recv(fd, &service_messages, ROLE_KEEPER, &f->in)) == 0) {
		if (f->in.type->type != MESSAGE_JOB_CHANGED)
			on_answer(f, &f->in);
		else if (f->in.field[0].number < LIMIT_JOBS_PER_RUN)
			stream_changed(f, (unsigned)f->in.field[0].number);
		msg_done(&f->in);
	}
	if (r != -EAGAIN)
		event_base_loopbreak(f->base);
}

void front_listen(struct front *f)
{
	bool pause = f->ending || f->n_conns >= f->conns_max + LIMIT_CONNECTIONS_REFUSED;
	if (pause == f->paused)
		return;
	f->paused = pause;
	for (unsigned i = 1; i < ELEMENTS(f->listener); i++)
		if (f->listener[i])
			(void)(pause ? event_del(f->listener[i]) : event_add(f->listener[i], NULL));
}

static void accept_all(struct front *f, int fd, bool health)
{
	for (int n = 0; n < 64 && (health || !f->paused); n++) {
		int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (client < 0)
			return;
		conn_accept(f, client, health);
	}
}

static void on_listener(evutil_socket_t fd, short what, void *arg)
{
	accept_all(arg, fd, false);
}

static void on_health(evutil_socket_t fd, short what, void *arg)
{
	accept_all(arg, fd, true);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct front *f = arg;
	uint64_t now = clock_monotonic_ms();
	struct conn *c, *next;
	if (asked_to_end && !f->ending) {
		f->ending = true;
		f->end_at_ms = now + LIMIT_FRONT_END_SECONDS * 1000;
		front_listen(f);
	}
	for (c = TAILQ_FIRST(&f->conns); c; c = next) {
		next = TAILQ_NEXT(c, link);
		if (f->ending)
			conn_end(c);
		else
			conn_tick(c, now);
	}
	if (f->ending && (TAILQ_EMPTY(&f->conns) || now >= f->end_at_ms))
		event_base_loopbreak(f->base);
}

/* The loop: keeper's channel goes before all else, and what is new is looked for after every few callbacks, however many
 * more are due. */
static int make_loop(struct front *f)
{
	struct timeval tick = { .tv_usec = TICK_MS * 1000 };
	struct event_config *config = event_config_new();
	if (!config || event_config_set_max_dispatch_interval(config, NULL, TURN_CALLBACKS, 1) < 0)
		return -ENOMEM;
	f->base = event_base_new_with_config(config);
	event_config_free(config);
	if (!f->base || event_base_priority_init(f->base, 2) < 0)
		return -ENOMEM;
	struct event *e = event_new(f->base, CHANNEL, EV_READ | EV_PERSIST, on_keeper, f);
	f->channel_writable = event_new(f->base, CHANNEL, EV_WRITE, on_channel_writable, f);
	if (!e || !f->channel_writable || event_priority_set(e, 0) < 0 ||
	    event_priority_set(f->channel_writable, 0) < 0 || event_add(e, NULL) < 0)
		return -ENOMEM;
	for (int fd = HEALTH; fd < LISTENERS + LISTENERS_MAX; fd++) {
		if (!f->listening[fd - HEALTH])
			continue;
		e = event_new(f->base, fd, EV_READ | EV_PERSIST,
			      fd == HEALTH ? on_health : on_listener, f);
		if (!e || event_add(e, NULL) < 0)
			return -ENOMEM;
		f->listener[fd - HEALTH] = e;
	}
	e = event_new(f->base, -1, EV_PERSIST, on_tick, f);
	return !e || event_add(e, &tick) < 0 ? -ENOMEM : 0;
}

/* Every connection may need a second descriptor, for its upload or file; some are there for other things. */
static unsigned count_connections(void)
{
	struct rlimit r;
	if (getrlimit(RLIMIT_NOFILE, &r) < 0)
		return 1;
	rlim_t want = 2 * (LIMIT_CONNECTIONS + LIMIT_CONNECTIONS_REFUSED) + SPARE_DESCRIPTORS;
	r.rlim_cur = r.rlim_max < want ? r.rlim_max : want;
	if (setrlimit(RLIMIT_NOFILE, &r) < 0)
		return 1;
	rlim_t spare = SPARE_DESCRIPTORS + 2 * LIMIT_CONNECTIONS_REFUSED;
	return r.rlim_cur <= spare ? 1 : (unsigned)(r.rlim_cur - spare) / 2;
}

static int acquire(struct front *f, struct error *e)
{
	if (sodium_init() < 0)
		return error_set(e, ENOSYS, "libsodium cannot be used");
	int r = msg_recv(CHANNEL, &service_messages, ROLE_KEEPER, &f->in);
	if (r < 0 || f->in.type->type != MESSAGE_FRONT_SETUP)
		return error_set(e, EPROTO, "keeper sent no set-up");
	snprintf(f->run, sizeof(f->run), "%s", f->in.field[0].text);
	snprintf(f->tag_prefix, sizeof(f->tag_prefix), "%s", f->in.field[1].text);
	r = jobtable_map(f->in.fds[0], &f->table);
	msg_done(&f->in);
	if (r < 0)
		return error_set(e, -r, "the job table cannot be used");
	r = arguments_init(e);
	if (r < 0)
		return r;
	f->index = generate_index(f->tag_prefix);
	f->openapi = generate_openapi();
	f->tools = generate_tools();
	if (!f->index || !f->openapi || !f->tools || make_loop(f) < 0)
		return error_set(e, ENOMEM, "out of memory");
	tzset(); /* gmtime_r() would look for the time zone's file at the first date */
	return fd_set_nonblock(CHANNEL, true);
}

int main(int argc, char **argv)
{
	static struct front
		f; /* large: not initialised here, since then it would be in the program's file */
	struct error e = { 0 };
	struct jail_confine confine = { .syscalls = front_syscalls, .kill = true };
	struct sigaction end = { .sa_handler = on_sigusr1 };
	log_init("front", argc > 1 && !strcmp(argv[1], "json"));
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* an upload above the limit is an error of the write */
	/* Whoever signals all of a server's processes (a terminal, systemd) means the supervisor, which drains. */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	sigaction(SIGUSR1, &end, NULL);
	f.channel = CHANNEL;
	f.tokens = LIMIT_UNAUTHENTICATED_BURST;
	TAILQ_INIT(&f.conns);
	STAILQ_INIT(&f.unsent);
	f.tokens_ms = clock_monotonic_ms();
	f.second_ms = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 1000;
	f.conns_max = count_connections();
	/* Which are ours must be known before anything here opens descriptors of its own. */
	for (int fd = HEALTH; fd < LISTENERS + LISTENERS_MAX; fd++)
		f.listening[fd - HEALTH] = fcntl(fd, F_GETFD) >= 0;
	if (acquire(&f, &e) < 0 || jail_confine_self(&confine, &e) < 0) {
		log_error("%s", e.message);
		return EXIT_FAILURE;
	}
	event_base_dispatch(f.base);
	return EXIT_SUCCESS;
}
