/* SPDX-License-Identifier: Apache-2.0 */
/* Takes jobs from the queue to their end: starts workers, hears them, stops them. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/spawn.h"
#include "keeper/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

static void close_channel(struct job *j)
{
	if (j->event)
		event_free(TAKE_PTR(j->event));
	if (j->deadline)
		event_free(TAKE_PTR(j->deadline));
	if (j->channel >= 0)
		close(TAKE_FD(j->channel));
}

void queue_end(struct job *j, enum job_state state, const char *result)
{
	struct job_view *v = &j->record.view;
	v->state = state;
	v->ended_ms = clock_wall_ms();
	char context[JOB_ID_SIZE + 16];
	snprintf(context, sizeof(context), "%s/context", v->id);
	unlinkat(j->keeper->jobs_fd, context, 0); /* absent when the operation took none */
	v->stage[0] = '\0';
	if (state != JOB_SUCCEEDED) { /* half an artifact is none */
		snprintf(context, sizeof(context), "%s/artifacts", v->id);
		(void)remove_tree_at(j->keeper->jobs_fd, context);
		v->n_artifacts = 0;
	}
	size_t n = strlen(result);
	v->result_len = n <= LIMIT_RESULT_BYTES ? (uint32_t)n : 0;
	memcpy(v->result, result, v->result_len);
	if (keeper_publish(j->keeper, j) < 0)
		log_error("job %s: its end could not be written to the store", v->id);
	log_info("job %s %s", v->id, job_state_name(state));
}

static void kill_worker(struct job *j)
{
	struct keeper *k = j->keeper;
	if (!j->worker)
		return;
	msg_begin(&k->out, &service_messages, MESSAGE_WORKER_KILL, 0);
	msg_put_u(&k->out, (uint64_t)j->worker);
	keeper_send_supervisor(k);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct job *j = arg;
	if (j->stopping == JOB_FREE)
		queue_stop(j, JOB_TIMED_OUT);
	else
		kill_worker(j);
}

static void set_deadline(struct job *j, unsigned seconds)
{
	struct timeval tv = { .tv_sec = seconds };
	if (!j->deadline)
		j->deadline = evtimer_new(j->keeper->base, on_deadline, j);
	if (j->deadline)
		evtimer_add(j->deadline, &tv);
}

void queue_stop(struct job *j, enum job_state state)
{
	struct keeper *k = j->keeper;
	if (j->stopping != JOB_FREE)
		return;
	j->stopping = state;
	msg_begin(&k->out, &service_messages, MESSAGE_JOB_STOP, 0);
	msg_put_u(&k->out, state);
	if (j->channel < 0 || msg_send(j->channel, &k->out) < 0)
		kill_worker(j);
	set_deadline(j, LIMIT_JOB_STOP_SECONDS);
}

static void on_artifact(struct job *j, const struct msg *m)
{
	struct job_view *v = &j->record.view;
	const char *name = m->field[0].text;
	if (v->n_artifacts == LIMIT_ARTIFACTS || m->field[0].len > LIMIT_ARTIFACT_NAME_BYTES ||
	    !m->field[0].len ||
	    strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") !=
		    m->field[0].len ||
	    *name == '.')
		return;
	struct job_artifact *a = &v->artifact[v->n_artifacts++];
	snprintf(a->name, sizeof(a->name), "%s", name);
	snprintf(a->media_type, sizeof(a->media_type), "%s", m->field[1].text);
	a->size = m->field[2].number;
}

static void on_worker(evutil_socket_t fd, short what, void *arg)
{
	struct job *j = arg;
	struct keeper *k = j->keeper;
	struct job_view *v = &j->record.view;
	int r = msg_recv(fd, &service_messages, ROLE_WORKER, &k->in);
	if (r == -EAGAIN)
		return;
	if (r < 0) {
		if (r == -EPROTO)
			log_error("job %s: its worker sent what it must not", v->id);
		close_channel(j);
		kill_worker(j);
		return; /* what it means for the job is settled when the supervisor says how it ended */
	}
	switch (k->in.type->type) {
	case MESSAGE_JOB_STAGE:
		snprintf(v->stage, sizeof(v->stage), "%s", k->in.field[0].text);
		keeper_publish(k, j);
		break;
	case MESSAGE_JOB_ARTIFACT:
		on_artifact(j, &k->in);
		break;
	case MESSAGE_JOB_RESULT: {
		uint64_t state = k->in.field[0].number;
		if (state < JOB_SUCCEEDED || state > JOB_TIMED_OUT)
			state = JOB_FAILED;
		j->result_received = true;
		if (state == JOB_CANCELLED && j->stopping == JOB_LOST)
			queue_end(j, JOB_LOST, SERVER_ENDED);
		else
			queue_end(j, (enum job_state)state, k->in.field[1].text);
		break;
	}
	}
	msg_done(&k->in);
}

/* The descriptors of JOB_START, in their order; 0 or -errno. Whoever gets them may use them after this process ended. */
static int open_job(struct keeper *k, const char *id, int fds[5], unsigned *ret_n)
{
	char path[JOB_ID_SIZE + 16];
	_cleanup_close_ int dir =
		openat(k->jobs_fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	snprintf(path, sizeof(path), "%s/log", id);
	_cleanup_close_ int log = openat(
		k->jobs_fd, path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (log < 0)
		return -errno;
	int upload = openat(dir, "context", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	fds[0] = TAKE_FD(log);
	fds[2] = k->storage_fd;
	fds[3] = k->bases_fd >= 0 ? k->bases_fd : dir;
	fds[1] = TAKE_FD(dir);
	fds[4] = upload;
	*ret_n = upload < 0 ? 4 : 5;
	return 0;
}

static int start(struct keeper *k, struct job *j)
{
	const char *id = j->record.view.id;
	int fds[5] = { -1, -1, -1, -1, -1 }, pair[2];
	unsigned n = 0;
	int r = open_job(k, id, fds, &n);
	if (r < 0)
		return r;
	_cleanup_close_ int log = fds[0];
	_cleanup_close_ int dir = fds[1];
	_cleanup_close_ int upload = fds[4];
	r = fd_seqpacket_pair(pair);
	if (r < 0)
		return r;
	_cleanup_close_ int theirs = pair[1];
	j->channel = pair[0];
	j->event = event_new(k->base, j->channel, EV_READ | EV_PERSIST, on_worker, j);
	if (!j->event || event_add(j->event, NULL) < 0)
		return -ENOMEM;
	msg_begin(&k->out, &service_messages, MESSAGE_JOB_START, 0);
	msg_put_s(&k->out, id);
	msg_put_s(&k->out, j->record.view.operation);
	msg_put_s(&k->out, j->record.arguments);
	msg_put_s(&k->out, k->settings);
	for (unsigned i = 0; i < n; i++)
		msg_put_fd(&k->out, fds[i]);
	r = msg_send(j->channel, &k->out);
	if (r < 0)
		return r;
	fd_set_nonblock(j->channel, true);
	msg_begin(&k->out, &service_messages, MESSAGE_WORKER_SPAWN, ++k->spawn_seq);
	msg_put_s(&k->out, id);
	msg_put_fd(&k->out, theirs);
	keeper_send_supervisor(k);
	j->record.view.state = JOB_RUNNING;
	j->record.view.started_ms = clock_wall_ms();
	set_deadline(j, (unsigned)k->limits.seconds + LIMIT_JOB_OVERDUE_SECONDS);
	return keeper_publish(k, j);
}

static struct job *next_queued(struct keeper *k)
{
	struct job *first = NULL;
	for (unsigned i = 0; i < LIMIT_JOBS_PER_RUN; i++) {
		struct job *j = &k->jobs[i];
		if (j->used && j->record.view.state == JOB_QUEUED &&
		    (!first || j->record.view.position < first->record.view.position))
			first = j;
	}
	return first;
}

/* Workers still there, whatever their jobs' states: a job has ended in full when its worker has. */
static unsigned workers(const struct keeper *k)
{
	unsigned n = 0;
	for (unsigned i = 0; i < LIMIT_JOBS_PER_RUN; i++)
		n += k->jobs[i].used &&
		     (k->jobs[i].worker || k->jobs[i].record.view.state == JOB_RUNNING);
	return n;
}

void queue_run(struct keeper *k)
{
	struct job *j;
	while (!k->draining && workers(k) < k->limits.jobs_running && (j = next_queued(k))) {
		int r = start(k, j);
		if (r < 0) {
			log_error("job %s could not be started: %s", j->record.view.id,
				  strerror(-r));
			close_channel(j);
			queue_end(
				j, JOB_FAILED,
				"{\"error\":\"the server could not start the job\",\"stages\":[]}");
		}
	}
	clean_run(k);
	if (k->draining && workers(k) == 0 && !k->cleaner.running) {
		msg_begin(&k->out, &service_messages, MESSAGE_DRAINED, 0);
		keeper_send_supervisor(k);
	}
}

void queue_drain(struct keeper *k)
{
	for (unsigned i = 0; i < LIMIT_JOBS_PER_RUN; i++)
		if (k->jobs[i].used && k->jobs[i].record.view.state == JOB_RUNNING)
			queue_stop(&k->jobs[i], JOB_LOST);
}

void queue_worker_started(struct keeper *k, const char *id, pid_t pid)
{
	struct job *j = keeper_find(k, id);
	if (!*id)
		clean_started(k, pid);
	if (!j)
		return;
	j->worker = pid;
	if (pid)
		return;
	close_channel(j);
	queue_end(j, JOB_FAILED,
		  "{\"error\":\"the server could not start a worker\",\"stages\":[]}");
	queue_run(k);
}

void queue_worker_exited(struct keeper *k, pid_t pid, int status)
{
	char how[64];
	bool cleaner = clean_exited(k, pid);
	for (unsigned i = 0; !cleaner && i < LIMIT_JOBS_PER_RUN; i++) {
		struct job *j = &k->jobs[i];
		if (!j->used || j->worker != pid)
			continue;
		/* Its last words may still be in the channel. */
		while (j->channel >= 0 && !j->result_received) {
			int channel = j->channel;
			on_worker(channel, EV_READ, j);
			if (j->channel >= 0 && j->record.view.state == JOB_RUNNING &&
			    !j->result_received) {
				struct msg *m = &k->in;
				if (recv(channel, m->bytes, 1, MSG_PEEK | MSG_DONTWAIT) <= 0)
					break;
			}
		}
		close_channel(j);
		j->worker = 0;
		if (j->record.view.state == JOB_RUNNING) {
			log_warning("job %s: its worker ended without a result (%s)",
				    j->record.view.id, spawn_status_text(status, how, sizeof(how)));
			if (j->stopping == JOB_LOST)
				queue_end(j, JOB_LOST, SERVER_ENDED);
			else if (j->stopping != JOB_FREE)
				queue_end(j, j->stopping,
					  "{\"error\":\"the job was stopped\",\"stages\":[]}");
			else
				queue_end(j, JOB_LOST,
					  "{\"error\":\"the job's worker ended without a result; "
					  "send it again\",\"stages\":[]}");
		}
		clean_job(j);
	}
	queue_run(k);
}
