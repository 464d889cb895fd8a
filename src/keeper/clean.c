/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Removes the scratch that jobs left when their worker or the server was killed. Its files belong to ids of the jail's,
 * which keeper may not touch: a worker started for it does, one folder after the other.
 */
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "keeper/keeper.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>

/* What a worker makes for a jail's ids in a job's folder (worker/build.c, worker/prove.c). */
static const char *const scratch[] = { "work", "probe" };

/* The folder that part lies in: a job's, or for a whole job's folder the one of all jobs. */
static int open_parent(struct keeper *k, const struct clean_item *item)
{
	const char *path = item->part ? item->id : ".";
	int fd = openat(k->jobs_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static void add(struct keeper *k, struct job *j, const char *id, const char *part)
{
	struct clean_item *item = calloc(1, sizeof(*item));
	if (!item) {
		log_error("job %s: out of memory, its scratch stays until the next start", id);
		return;
	}
	snprintf(item->id, sizeof(item->id), "%s", id);
	item->part = part;
	item->job = j;
	if (j)
		j->unclean++;
	TAILQ_INSERT_TAIL(&k->cleaner.items, item, link);
}

void clean_job(struct job *j)
{
	struct keeper *k = j->keeper;
	const char *id = j->record.view.id;
	char path[JOB_ID_SIZE + 16];
	for (size_t i = 0; i < ELEMENTS(scratch); i++) {
		snprintf(path, sizeof(path), "%s/%s", id, scratch[i]);
		if (faccessat(k->jobs_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			add(k, j, id, scratch[i]);
	}
}

void clean_forgotten(struct keeper *k)
{
	DIR *dir = fd_list(k->jobs_fd, ".");
	struct dirent *entry;
	if (!dir) {
		log_warning("the jobs' folders cannot be listed: %s", strerror(errno));
		return;
	}
	while ((entry = readdir(dir)))
		if (job_id_valid(entry->d_name) && !keeper_find(k, entry->d_name) &&
		    remove_tree_at(k->jobs_fd, entry->d_name) < 0) /* only what is ours goes so */
			add(k, NULL, entry->d_name, NULL);
	closedir(dir);
}

/* The first item is done with, one way or the other. */
static void drop_item(struct keeper *k)
{
	struct clean_item *item = TAILQ_FIRST(&k->cleaner.items);
	if (!item)
		return;
	TAILQ_REMOVE(&k->cleaner.items, item, link);
	if (item->job)
		item->job->unclean--;
	free(item);
}

static void close_channel(struct cleaner *c)
{
	if (c->event)
		event_free(TAKE_PTR(c->event));
	if (c->channel >= 0)
		close(TAKE_FD(c->channel));
}

/* Hand the next folder over; without one the worker ends. */
static void send_next(struct keeper *k)
{
	struct cleaner *c = &k->cleaner;
	struct clean_item *item;
	while ((item = TAILQ_FIRST(&c->items))) {
		_cleanup_close_ int fd = open_parent(k, item);
		if (fd < 0) { /* gone already */
			drop_item(k);
			continue;
		}
		msg_begin(&k->out, &service_messages, MESSAGE_WORKER_CLEAN, 0);
		msg_put_s(&k->out, item->part ? item->part : item->id);
		msg_put_fd(&k->out, fd);
		if (msg_send(c->channel, &k->out) == 0)
			return;
		break;
	}
	close_channel(c);
}

static void on_cleaner(evutil_socket_t fd, short what, void *arg)
{
	struct keeper *k = arg;
	int r = msg_recv(fd, &service_messages, ROLE_WORKER, &k->in);
	if (r == -EAGAIN)
		return;
	if (r < 0 || k->in.type->type != MESSAGE_WORKER_CLEANED) {
		close_channel(&k->cleaner); /* its end is told by the supervisor */
		return;
	}
	const struct clean_item *item = TAILQ_FIRST(&k->cleaner.items);
	if (item && k->in.field[0].len)
		log_error("job %s: what it left could not be removed: %s", item->id,
			  k->in.field[0].text);
	drop_item(k);
	send_next(k);
}

static int start(struct keeper *k)
{
	struct cleaner *c = &k->cleaner;
	int pair[2];
	int r = fd_seqpacket_pair(pair);
	if (r < 0)
		return r;
	_cleanup_close_ int theirs = pair[1];
	c->channel = pair[0];
	fd_set_nonblock(c->channel, true);
	c->event = event_new(k->base, c->channel, EV_READ | EV_PERSIST, on_cleaner, k);
	if (!c->event || event_add(c->event, NULL) < 0)
		return -ENOMEM;
	send_next(k);
	if (c->channel < 0) /* there was nothing left to do */
		return 0;
	c->running = true;
	msg_begin(&k->out, &service_messages, MESSAGE_WORKER_SPAWN, 0);
	msg_put_s(&k->out, "");
	msg_put_fd(&k->out, theirs);
	keeper_send_supervisor(k);
	return 0;
}

void clean_run(struct keeper *k)
{
	struct cleaner *c = &k->cleaner;
	if (c->running || TAILQ_EMPTY(&c->items))
		return;
	int r = start(k);
	if (r == 0)
		return;
	close_channel(c);
	log_error("what lost jobs left stays until the next start: %s", strerror(-r));
	while (!TAILQ_EMPTY(&c->items))
		drop_item(k);
}

void clean_started(struct keeper *k, pid_t pid)
{
	k->cleaner.worker = pid;
	if (!pid) /* the supervisor could not, and has said why */
		clean_exited(k, 0);
}

bool clean_exited(struct keeper *k, pid_t pid)
{
	struct cleaner *c = &k->cleaner;
	if (!c->running || c->worker != pid)
		return false;
	/* Its last answers may still be in the channel. */
	for (int channel = c->channel; c->channel >= 0;) {
		int before = c->channel;
		const struct clean_item *item = TAILQ_FIRST(&c->items);
		on_cleaner(channel, EV_READ, k);
		if (c->channel == before && item == TAILQ_FIRST(&c->items))
			break;
	}
	close_channel(c);
	c->running = false;
	c->worker = 0;
	if (!TAILQ_EMPTY(&c->items)) {
		log_error("job %s: the worker that was to remove what it left died",
			  TAILQ_FIRST(&c->items)->id);
		drop_item(k); /* or it would be tried for ever */
	}
	clean_run(k);
	return true;
}
