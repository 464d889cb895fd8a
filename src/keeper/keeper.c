/* SPDX-License-Identifier: Apache-2.0 */
/*
 * postern-keeper: owns the run's jobs, store and token digest; decides who may do what.
 *
 * Descriptors: 3 = channel to the supervisor. Working directory after set-up: the state directory.
 *
 * Acquire: MESSAGE_KEEPER_SETUP, memory for the job table. Drop: a root in which there is nothing but /state, own user,
 * network, ipc and mount namespaces, capabilities, Landlock to the state directory, no system calls but those of syscalls.h.
 * Read: the store, which another program may have damaged; what an earlier server left (its running jobs are lost, its
 * uploads gone). Serve: messages only, each checked against the table by base/msg.h; a front or worker that sends anything
 * else is ended. Mustn't: parse HTTP or JSON, execute, open a socket, wait for a peer.
 */
#include "keeper/keeper.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "jail/confine.h"
#include "keeper/syscalls.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum { SUPERVISOR = 3 };

static unsigned slot_of(const struct job *j)
{
	return (unsigned)(j - j->keeper->jobs);
}

struct job *keeper_find(struct keeper *k, const char *id)
{
	for (unsigned i = 0; i < LIMIT_JOBS_PER_RUN; i++)
		if (k->jobs[i].used && !strcmp(k->jobs[i].record.view.id, id))
			return &k->jobs[i];
	return NULL;
}

unsigned keeper_count(const struct keeper *k, enum job_state least, enum job_state most)
{
	unsigned n = 0;
	for (unsigned i = 0; i < LIMIT_JOBS_PER_RUN; i++)
		n += k->jobs[i].used && k->jobs[i].record.view.state >= least &&
		     k->jobs[i].record.view.state <= most;
	return n;
}

void keeper_send_supervisor(struct keeper *k)
{
	if (backlog_send(&k->to_supervisor, &k->out) < 0)
		event_base_loopbreak(k->base); /* without it there is nothing to be done */
}

static void on_supervisor_settled(void *arg, int r)
{
	struct keeper *k = arg;
	if (r < 0)
		event_base_loopbreak(k->base);
}

void keeper_drop_front(struct keeper *k)
{
	backlog_done(&k->to_front);
	if (k->front_event)
		event_free(TAKE_PTR(k->front_event));
	if (k->front_deadline)
		event_free(TAKE_PTR(k->front_deadline));
	if (k->front >= 0)
		close(TAKE_FD(k->front));
	for (unsigned i = 0; i < LIMIT_JOBS_PER_RUN; i++)
		if (k->jobs[i].used && k->jobs[i].record.view.state == JOB_UPLOADING)
			keeper_forget(k, &k->jobs[i]);
}

void keeper_end_front(struct keeper *k)
{
	msg_begin(&k->out, &service_messages, MESSAGE_FRONT_KILL, 0);
	msg_put_u(&k->out, (uint64_t)k->front_pid);
	keeper_send_supervisor(k);
	keeper_drop_front(k);
}

/* A front that leaves an answer unread is not heard any further, so that there is never more than one to be kept for it. */
void keeper_send_front(struct keeper *k)
{
	struct timeval seconds = { .tv_sec = LIMIT_FRONT_READ_SECONDS };
	if (backlog_send(&k->to_front, &k->out) < 0) {
		shutdown(k->front, SHUT_RDWR); /* its end is seen by reading from it */
		return;
	}
	if (!k->to_front.count)
		return;
	event_del(k->front_event);
	event_add(k->front_deadline, &seconds);
}

static void on_front_settled(void *arg, int r)
{
	struct keeper *k = arg;
	event_del(k->front_deadline);
	event_add(k->front_event, NULL);
}

static void on_front_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct keeper *k = arg;
	log_error("front has not read an answer for %d s and is ended", LIMIT_FRONT_READ_SECONDS);
	keeper_end_front(k);
}

int keeper_reserve(struct keeper *k)
{
	if (k->reserved)
		return 0;
	_cleanup_close_ int fd =
		openat(k->state_fd, "reserve", O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	int r = -posix_fallocate(fd, 0, LIMIT_RESERVE_BYTES);
	if (r < 0)
		unlinkat(k->state_fd, "reserve", 0);
	k->reserved = r == 0;
	return r;
}

/* Give the reserve up; false when there was none. */
static bool release_reserve(struct keeper *k)
{
	k->reserved = false;
	if (unlinkat(k->state_fd, "reserve", 0) < 0)
		return false;
	log_warning(
		"the disk is full; what was kept in reserve goes to the jobs that are there, and "
		"no new one is taken");
	return true;
}

int keeper_publish(struct keeper *k, struct job *j)
{
	struct job_view *v = &j->record.view;
	v->changes++;
	int r = store_save(k->store, &j->record);
	if (r == -ENOSPC && release_reserve(k))
		r = store_save(k->store, &j->record);
	jobtable_write(k->table, slot_of(j), v);
	/* Only to be quick: what it does not hear of, front finds in the table. */
	msg_begin(&k->out, &service_messages, MESSAGE_JOB_CHANGED, 0);
	msg_put_u(&k->out, slot_of(j));
	if (k->front >= 0 && !k->to_front.count)
		(void)msg_send(k->front, &k->out);
	return r;
}

void keeper_forget(struct keeper *k, struct job *j)
{
	struct job_view free_slot = { .state = JOB_FREE };
	int r = remove_tree_at(k->jobs_fd, j->record.view.id);
	if (r < 0)
		log_warning("job %s: its folder could not be removed: %s", j->record.view.id,
			    strerror(-r));
	store_delete(k->store, j->record.view.id);
	jobtable_write(k->table, slot_of(j), &free_slot);
	j->used = false;
}

/* A worker, or the scratch of one, may still be in the folder of one that has ended. */
bool keeper_may_forget(const struct job *j)
{
	return j->used && job_state_ended(j->record.view.state) && !j->worker && !j->unclean;
}

struct job *keeper_oldest_ended(struct keeper *k)
{
	struct job *oldest = NULL;
	for (unsigned i = 0; i < LIMIT_JOBS_PER_RUN; i++) {
		struct job *j = &k->jobs[i];
		if (keeper_may_forget(j) &&
		    (!oldest || j->record.view.ended_ms < oldest->record.view.ended_ms))
			oldest = j;
	}
	return oldest;
}

void keeper_random_id(char first, unsigned n, char *out)
{
	static const char alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";
	*out++ = first;
	while (n--)
		*out++ = alphabet[randombytes_uniform(32)];
	*out = '\0';
}

/* ---- the supervisor ---- */

static void attach_front(struct keeper *k, int fd, pid_t pid)
{
	char prefix[RUN_ID_SIZE + 16];
	keeper_drop_front(k);
	k->front = fd;
	k->front_pid = pid;
	fd_set_nonblock(fd, true);
	k->front_event = event_new(k->base, fd, EV_READ | EV_PERSIST, answer_front, k);
	k->front_deadline = evtimer_new(k->base, on_front_deadline, k);
	if (backlog_init(&k->to_front, k->base, fd, on_front_settled, k) < 0 || !k->front_event ||
	    !k->front_deadline || event_add(k->front_event, NULL) < 0) {
		log_error("out of memory");
		event_base_loopbreak(k->base);
		return;
	}
	snprintf(prefix, sizeof(prefix), "localhost/%s/", k->run);
	msg_begin(&k->out, &service_messages, MESSAGE_FRONT_SETUP, 0);
	msg_put_s(&k->out, k->run);
	msg_put_s(&k->out, prefix);
	msg_put_fd(&k->out, k->table_fd);
	keeper_send_front(k);
}

static void on_drain_end(evutil_socket_t fd, short what, void *arg)
{
	queue_drain(arg);
}

static void drain(struct keeper *k, uint64_t grace_ms)
{
	struct timeval grace = { .tv_sec = (time_t)(grace_ms / 1000) };
	k->drain_event = evtimer_new(k->base, on_drain_end, k);
	if (k->drain_event)
		evtimer_add(k->drain_event, &grace);
	k->draining = true;
	k->table->draining = 1;
	log_info("draining: no new jobs; running ones have %llu s",
		 (unsigned long long)grace_ms / 1000);
	queue_run(k);
}

static void on_supervisor(evutil_socket_t fd, short what, void *arg)
{
	struct keeper *k = arg;
	int r = msg_recv(fd, &service_messages, ROLE_SUPERVISOR, &k->in);
	if (r == -EAGAIN)
		return;
	if (r < 0) {
		event_base_loopbreak(k->base);
		return;
	}
	const struct msg_field *f = k->in.field;
	switch (k->in.type->type) {
	case MESSAGE_FRONT_ATTACH:
		attach_front(k, TAKE_FD(k->in.fds[0]), (pid_t)f[0].number);
		break;
	case MESSAGE_WORKER_STARTED: {
		char id[JOB_ID_SIZE];
		snprintf(id, sizeof(id), "%s", f[0].text);
		queue_worker_started(k, id, (pid_t)f[1].number);
		break;
	}
	case MESSAGE_WORKER_EXITED:
		queue_worker_exited(k, (pid_t)f[0].number, (int)f[1].number);
		break;
	case MESSAGE_DRAIN:
		drain(k, f[0].number);
		break;
	}
	msg_done(&k->in);
}

/* ---- start ---- */

static int open_folder(struct keeper *k, const char *name)
{
	if (mkdirat(k->state_fd, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	int fd = openat(k->state_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* A job of an earlier server: ended ones stay, queued ones stay queued, running ones are lost, uploads are gone. */
static int remember(void *arg, const struct store_job *record)
{
	struct keeper *k = arg;
	for (unsigned i = 0; i < LIMIT_JOBS_PER_RUN; i++) {
		struct job *j = &k->jobs[i];
		if (j->used)
			continue;
		*j = (struct job){ .keeper = k, .used = true, .channel = -1, .record = *record };
		if (record->view.position > k->position)
			k->position = record->view.position;
		return 0;
	}
	return 0;
}

static void settle_old_jobs(struct keeper *k)
{
	for (unsigned i = 0; i < LIMIT_JOBS_PER_RUN; i++) {
		struct job *j = &k->jobs[i];
		if (!j->used)
			continue;
		if (j->record.view.state == JOB_UPLOADING || j->record.view.state == JOB_FREE)
			keeper_forget(k, j);
		else if (j->record.view.state == JOB_RUNNING)
			queue_end(j, JOB_LOST, SERVER_ENDED);
		else
			jobtable_write(k->table, i, &j->record.view);
		if (j->used && job_state_ended(j->record.view.state))
			clean_job(j);
	}
	clean_forgotten(k);
}

static int make_settings(struct keeper *k, const char *settings)
{
	size_t n = strlen(settings);
	if (n < 2 || settings[0] != '{')
		return -EINVAL;
	if (asprintf(&k->settings, "{\"run\":\"%s\",\"tag_prefix\":\"localhost/%s/\"%s%s", k->run,
		     k->run, settings[1] == '}' ? "" : ",", settings + 1) < 0)
		return -ENOMEM;
	return 0;
}

/* Before anything is given up: only what the supervisor sends is read. */
static int acquire(struct keeper *k, struct error *e)
{
	if (sodium_init() < 0)
		return error_set(e, ENOSYS, "libsodium cannot be used");
	int r = msg_recv(SUPERVISOR, &service_messages, ROLE_SUPERVISOR, &k->in);
	if (r < 0 || k->in.type->type != MESSAGE_KEEPER_SETUP ||
	    k->in.field[0].len != sizeof(k->digest))
		return error_set(e, EPROTO, "the supervisor sent no set-up");
	memcpy(k->digest, k->in.field[0].text, sizeof(k->digest));
	k->token_expires_ms = k->in.field[2].number;
	k->limits = (struct serve_limits){ .seconds = k->in.field[4].number,
					   .jobs_running = k->in.field[5].number,
					   .jobs_queued = k->in.field[6].number,
					   .storage_bytes = k->in.field[7].number };
	k->state_fd = TAKE_FD(k->in.fds[0]);
	k->bases_fd = k->in.n_fds > 1 ? TAKE_FD(k->in.fds[1]) : -1;
	r = jobtable_create(&k->table, &k->table_fd);
	return r < 0 ? error_set(e, -r, "no memory for the job table") : 0;
}

/* state_fd is on the host's mount, as workers need it; Landlock holds paths that begin there below the state directory, too. */
static int drop(struct keeper *k, struct error *e)
{
	const struct jail_confine_bind binds[] = {
		{ .name = "state", .fd = k->state_fd, .write = true }
	};
	const struct jail_landlock_rule rules[] = {
		{ .fd = k->state_fd, .write = true, .no_execute = true }
	};
	const struct jail_landlock landlock = { .rules = rules,
						.n_rules = ELEMENTS(rules),
						.no_tcp = true };
	const struct jail_confine c = { .keep_user_id = true,
					.binds = binds,
					.n_binds = ELEMENTS(binds),
					.landlock = &landlock,
					.syscalls = keeper_syscalls,
					.kill = true };
	return jail_confine_self(&c, e);
}

static int open_state(struct keeper *k, struct error *e)
{
	char fresh[RUN_ID_SIZE];
	if (chdir("/state") < 0)
		return error_set(e, errno, "the state directory cannot be entered: %s",
				 strerror(errno));
	int r = store_open(&k->store, e);
	if (r == -ENOSPC && release_reserve(k))
		r = store_open(&k->store, e);
	if (r < 0)
		return r;
	r = keeper_reserve(k);
	if (r < 0)
		log_warning("no room in the state directory (%s): no job is taken", strerror(-r));
	keeper_random_id('r', 12, fresh);
	r = store_run_id(k->store, k->in.field[1].text, fresh, k->run, e);
	if (r < 0)
		return r;
	if (make_settings(k, k->in.field[3].text) < 0)
		return error_set(e, EIO, "the run's settings cannot be used");
	k->jobs_fd = open_folder(k, "jobs");
	k->storage_fd = open_folder(k, "storage");
	if (k->jobs_fd < 0 || k->storage_fd < 0)
		return error_set(e, EIO, "folders cannot be made in the state directory");
	return 0;
}

static int read_jobs(struct keeper *k, struct error *e)
{
	static struct store_job record;
	int r = store_each(k->store, &record, remember, k);
	if (r < 0)
		return error_set(e, -r, "postern.db in the state directory cannot be read: %s",
				 r == -EBADMSG ? "what it holds makes no sense" : strerror(-r));
	settle_old_jobs(k);
	return 0;
}

int main(int argc, char **argv)
{
	static struct keeper
		k; /* megabytes: not initialised here, since then they would be in the program's file */
	struct error e = { 0 };
	log_init("keeper", argc > 1 && !strcmp(argv[1], "json"));
	signal(SIGPIPE, SIG_IGN);
	/* Whoever signals all of a server's processes (a terminal, systemd) means the supervisor, which drains. */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	umask(077);
	k.front = k.bases_fd = k.cleaner.channel = -1;
	TAILQ_INIT(&k.cleaner.items);
	k.to_front.socket = k.to_supervisor.socket = -1;
	int code = EXIT_FAILURE;
	k.base = event_base_new();
	if (!k.base || acquire(&k, &e) < 0 || drop(&k, &e) < 0 || open_state(&k, &e) < 0 ||
	    read_jobs(&k, &e) < 0) {
		msg_begin(&k.out, &service_messages, MESSAGE_KEEPER_FAILED, 0);
		msg_put_u(&k.out, e.code == EBADMSG);
		msg_put_s(&k.out, e.message);
		(void)msg_send(SUPERVISOR, &k.out); /* else there is nobody to tell */
		goto out;
	}
	fd_set_nonblock(SUPERVISOR, true);
	if (backlog_init(&k.to_supervisor, k.base, SUPERVISOR, on_supervisor_settled, &k) < 0)
		goto out;
	struct event *supervisor =
		event_new(k.base, SUPERVISOR, EV_READ | EV_PERSIST, on_supervisor, &k);
	if (!supervisor || event_add(supervisor, NULL) < 0)
		goto out;
	msg_begin(&k.out, &service_messages, MESSAGE_KEEPER_READY, 0);
	msg_put_s(&k.out, k.run);
	keeper_send_supervisor(&k);
	queue_run(&k);
	event_base_dispatch(k.base);
	code = EXIT_SUCCESS;
out:
	store_close(k.store);
	return code;
}
