/* SPDX-License-Identifier: Apache-2.0 */
/* Starts, watches and ends the server's processes. One poll loop over signals, keeper's channel and pidfds. */
#include "keeper/supervise.h"
#include "api/messages.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/limit.h"
#include "base/log.h"
#include "base/spawn.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

struct child {
	pid_t pid; /* 0: not running */
	int pidfd;
};

struct server {
	const struct supervise *s;
	int signals, channel; /* channel: to keeper */
	struct child keeper, front, workers[LIMIT_JOBS_RUNNING + 2];
	unsigned restarts;
	uint64_t restarts_since_ms;
	bool ready, draining, ended;
	uint64_t kill_at_ms; /* when draining: the end of the grace */
	struct msg in, out;
};

static int start(struct server *v, const char *program, const int *fds, unsigned n,
		 struct child *ret)
{
	/* A worker logs nothing: what it has to say goes to keeper. */
	bool logs = strcmp(program, "postern-worker") != 0;
	const char *const argv[] = { program, !logs ? NULL : v->s->json ? "json" : "human", NULL };
	/* A session of its own: what a terminal or `kill -- -GROUP` sends is for the supervisor. */
	struct spawn s = { .program = program,
			   .argv = argv,
			   .in = -1,
			   .out = -1,
			   .err = -1,
			   .n_fds = n,
			   .new_session = true };
	memcpy(s.fds, fds, n * sizeof(*fds));
	return spawn_start(&s, &ret->pid, &ret->pidfd);
}

static void reap(struct child *c, int *status)
{
	while (waitpid(c->pid, status, 0) < 0 && errno == EINTR)
		;
	close(c->pidfd);
	*c = (struct child){ .pidfd = -1 };
}

static void end_child(struct child *c)
{
	int status;
	if (!c->pid)
		return;
	kill(c->pid, SIGKILL);
	reap(c, &status);
}

/* Whether it ended by itself within the time. It is still to be reaped. */
static bool await_end(const struct child *c, unsigned seconds)
{
	struct pollfd p = { .fd = c->pidfd, .events = POLLIN };
	int r;
	do
		r = poll(&p, 1, (int)seconds * 1000);
	while (r < 0 && errno == EINTR);
	return r > 0;
}

static int start_keeper(struct server *v)
{
	int pair[2];
	int r = fd_seqpacket_pair(pair);
	if (r < 0)
		return r;
	v->channel = pair[0];
	r = start(v, "postern-keeper", &pair[1], 1, &v->keeper);
	close(pair[1]);
	if (r < 0)
		return r;
	msg_begin(&v->out, &service_messages, MESSAGE_KEEPER_SETUP, 0);
	msg_put_b(&v->out, v->s->token_digest, sizeof(v->s->token_digest));
	msg_put_s(&v->out, v->s->run);
	msg_put_u(&v->out, v->s->token_expires_ms);
	msg_put_s(&v->out, v->s->settings);
	msg_put_u(&v->out, v->s->limits.seconds);
	msg_put_u(&v->out, v->s->limits.jobs_running);
	msg_put_u(&v->out, v->s->limits.jobs_queued);
	msg_put_u(&v->out, v->s->limits.storage_bytes);
	msg_put_fd(&v->out, v->s->state_fd);
	if (v->s->bases_fd >= 0)
		msg_put_fd(&v->out, v->s->bases_fd);
	return msg_send(v->channel, &v->out);
}

/* front gets its upload limit from us: it could not be trusted to keep one of its own. */
static int start_front(struct server *v)
{
	int pair[2], fds[2 + SUPERVISE_LISTENERS_MAX];
	int r = fd_seqpacket_pair(pair);
	if (r < 0)
		return r;
	fds[0] = pair[1];
	fds[1] = v->s->health_listener;
	memcpy(fds + 2, v->s->listeners, v->s->n_listeners * sizeof(int));
	struct rlimit old, upload = { LIMIT_UPLOAD_BYTES, LIMIT_UPLOAD_BYTES };
	getrlimit(RLIMIT_FSIZE, &old);
	upload.rlim_max = old.rlim_max;
	setrlimit(RLIMIT_FSIZE, &upload);
	r = start(v, "postern-front", fds, 2 + v->s->n_listeners, &v->front);
	setrlimit(RLIMIT_FSIZE, &old);
	close(pair[1]);
	if (r == 0) {
		msg_begin(&v->out, &service_messages, MESSAGE_FRONT_ATTACH, 0);
		msg_put_u(&v->out, (uint64_t)v->front.pid);
		msg_put_fd(&v->out, pair[0]);
		r = msg_send(v->channel, &v->out);
	}
	close(pair[0]);
	return r;
}

static void worker_spawn(struct server *v, struct msg *m)
{
	struct child *free_child = NULL;
	for (unsigned i = 0; i < ELEMENTS(v->workers); i++)
		if (!v->workers[i].pid)
			free_child = &v->workers[i];
	int r = free_child ? start(v, "postern-worker", m->fds, 1, free_child) : -EAGAIN;
	if (r < 0)
		log_error("a worker could not be started: %s", strerror(-r));
	msg_begin(&v->out, &service_messages, MESSAGE_WORKER_STARTED, m->seq);
	msg_put_s(&v->out, m->field[0].text);
	msg_put_u(&v->out, r < 0 ? 0 : (uint64_t)free_child->pid);
	msg_send(v->channel, &v->out);
}

static int on_keeper(struct server *v, struct error *e)
{
	int r = msg_recv(v->channel, &service_messages, ROLE_KEEPER, &v->in);
	if (r < 0)
		return r == -ECONNRESET
			       ? 0
			       : error_set(
					 e, -r,
					 "keeper sent what it must not"); /* its end is seen by its pidfd */
	switch (v->in.type->type) {
	case MESSAGE_KEEPER_READY:
		r = start_front(v);
		if (r < 0)
			error_set(e, -r, "front could not be started: %s", strerror(-r));
		else if (!v->ready)
			v->s->ready(v->s->arg, v->in.field[0].text);
		v->ready = true;
		break;
	case MESSAGE_KEEPER_FAILED:
		r = error_set(e, v->in.field[0].number ? EBADMSG : EIO, "%s", v->in.field[1].text);
		break;
	case MESSAGE_FRONT_KILL:
		if (v->front.pid && (uint64_t)v->front.pid == v->in.field[0].number)
			kill(v->front.pid, SIGKILL);
		break;
	case MESSAGE_WORKER_SPAWN:
		worker_spawn(v, &v->in);
		break;
	case MESSAGE_WORKER_KILL:
		for (unsigned i = 0; i < ELEMENTS(v->workers); i++)
			if (v->workers[i].pid &&
			    (uint64_t)v->workers[i].pid == v->in.field[0].number)
				kill(v->workers[i].pid, SIGKILL);
		break;
	case MESSAGE_DRAINED:
		v->ended = v->draining;
		break;
	}
	msg_done(&v->in);
	return r;
}

/* Its end is seen by a closed channel before it is seen by its pidfd. */
static int on_keeper_end(struct server *v, struct error *e)
{
	char how[64];
	int status;
	if (!await_end(&v->keeper, LIMIT_KEEPER_END_SECONDS))
		kill(v->keeper.pid, SIGKILL);
	reap(&v->keeper, &status);
	return error_set(e, EIO, "keeper ended (%s); %s",
			 spawn_status_text(status, how, sizeof(how)),
			 v->s->keeps_state ? "the jobs it kept are in the state directory"
					   : "the jobs it kept are gone with it");
}

/* front ends with keeper, and may be seen to have ended first: a process that dies closes one channel after the other. By itself front
 * ends for no other reason, so that there is time to look. */
static bool keeper_has_ended(const struct server *v, int front_status)
{
	struct pollfd p = { .fd = v->channel, .events = POLLRDHUP };
	bool by_itself = WIFEXITED(front_status) && WEXITSTATUS(front_status) == 0;
	return poll(&p, 1, by_itself ? LIMIT_KEEPER_SEEN_MS : 0) > 0 &&
	       (p.revents & (POLLHUP | POLLRDHUP | POLLERR));
}

/* Also when draining: whoever waits for a running job gets its end. */
static int on_front_end(struct server *v, struct error *e)
{
	char how[64];
	int status;
	reap(&v->front, &status);
	if (keeper_has_ended(v, status))
		return on_keeper_end(v, e);
	uint64_t now = clock_monotonic_ms();
	if (now - v->restarts_since_ms > 60000) {
		v->restarts_since_ms = now;
		v->restarts = 0;
	}
	log_warning("front ended (%s) and is started again",
		    spawn_status_text(status, how, sizeof(how)));
	if (++v->restarts > LIMIT_FRONT_RESTARTS_PER_MINUTE)
		return error_set(e, EIO, "front ended %u times within a minute", v->restarts);
	int r = start_front(v);
	if (r == -EPIPE || r == -ECONNRESET)
		return on_keeper_end(v, e);
	return r < 0 ? error_set(e, -r, "front could not be started again: %s", strerror(-r)) : 0;
}

static void on_worker_end(struct server *v, struct child *c)
{
	int status;
	pid_t pid = c->pid;
	reap(c, &status);
	msg_begin(&v->out, &service_messages, MESSAGE_WORKER_EXITED, 0);
	msg_put_u(&v->out, (uint64_t)pid);
	msg_put_u(&v->out, (uint64_t)status);
	msg_send(v->channel, &v->out);
}

static void drain(struct server *v)
{
	if (v->draining) {
		v->kill_at_ms = clock_monotonic_ms(); /* asked twice: at once */
		return;
	}
	v->kill_at_ms =
		clock_monotonic_ms() + (v->s->grace_seconds + LIMIT_DRAIN_SLACK_SECONDS) * 1000ull;
	v->draining = true;
	v->s->stopping(v->s->arg);
	msg_begin(&v->out, &service_messages, MESSAGE_DRAIN, 0);
	msg_put_u(&v->out, v->s->grace_seconds * 1000ull);
	msg_send(v->channel, &v->out);
}

static int on_events(struct server *v, const struct pollfd *p, struct error *e)
{
	int r = 0;
	if (p[0].revents) {
		struct signalfd_siginfo info;
		if (read(v->signals, &info, sizeof(info)) == sizeof(info) &&
		    info.ssi_signo != SIGCHLD)
			drain(v);
	}
	if (p[1].revents)
		r = on_keeper(v, e);
	for (unsigned i = 0; r == 0 && i < ELEMENTS(v->workers); i++)
		if (p[4 + i].revents && v->workers[i].pid)
			on_worker_end(v, &v->workers[i]);
	if (r == 0 && p[2].revents && v->keeper.pid)
		return on_keeper_end(v, e);
	if (r == 0 && p[3].revents && v->front.pid)
		r = on_front_end(v, e);
	return r;
}

/* front gets to send what it was answering. */
static void end_front(struct server *v)
{
	if (!v->front.pid)
		return;
	kill(v->front.pid, SIGUSR1);
	/* It ends by itself in time; the second more is for one that hangs. */
	(void)await_end(&v->front, LIMIT_FRONT_END_SECONDS + 1);
	end_child(&v->front);
}

/* keeper closes its store when its channel is closed. The store bears it when it does not. */
static void end_keeper(struct server *v)
{
	if (!v->keeper.pid)
		return;
	if (!await_end(&v->keeper, LIMIT_KEEPER_END_SECONDS))
		log_warning("keeper did not end within %d s and is killed",
			    LIMIT_KEEPER_END_SECONDS);
	end_child(&v->keeper);
}

static int loop(struct server *v, struct error *e)
{
	while (!v->ended) {
		struct pollfd p[4 + ELEMENTS(v->workers)] = {
			{ .fd = v->signals, .events = POLLIN },
			{ .fd = v->keeper.pid ? v->channel : -1, .events = POLLIN },
			{ .fd = v->keeper.pid ? v->keeper.pidfd : -1, .events = POLLIN },
			{ .fd = v->front.pid ? v->front.pidfd : -1, .events = POLLIN },
		};
		for (unsigned i = 0; i < ELEMENTS(v->workers); i++)
			p[4 + i] =
				(struct pollfd){ .fd = v->workers[i].pid ? v->workers[i].pidfd : -1,
						 .events = POLLIN };
		int wait = -1;
		if (v->draining) {
			uint64_t now = clock_monotonic_ms();
			if (now >= v->kill_at_ms)
				return 0; /* what still runs is killed and will be lost */
			wait = (int)(v->kill_at_ms - now) + 1;
		}
		if (poll(p, ELEMENTS(p), wait) < 0 && errno != EINTR)
			return error_set(e, errno, "poll failed");
		int r = on_events(v, p, e);
		if (r < 0)
			return r;
	}
	return 0;
}

void supervise_hold_signals(sigset_t *ret)
{
	sigemptyset(ret);
	sigaddset(ret, SIGTERM);
	sigaddset(ret, SIGINT);
	sigaddset(ret, SIGHUP);
	sigprocmask(SIG_BLOCK, ret, NULL);
}

int supervise(const struct supervise *s, struct error *e)
{
	static struct server v;
	v = (struct server){ .s = s, .channel = -1, .keeper.pidfd = -1, .front.pidfd = -1 };
	sigset_t mask;
	supervise_hold_signals(&mask);
	v.signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	int r = v.signals < 0 ? -errno : start_keeper(&v);
	if (r < 0)
		error_set(e, -r, "keeper could not be started: %s", strerror(-r));
	else
		r = loop(&v, e);
	/* Front first, so that nobody is answered by half a server; a worker takes its jail along. */
	end_front(&v);
	for (unsigned i = 0; i < ELEMENTS(v.workers); i++)
		end_child(&v.workers[i]);
	if (v.channel >= 0)
		close(v.channel);
	end_keeper(&v);
	if (v.signals >= 0)
		close(v.signals);
	return r;
}
