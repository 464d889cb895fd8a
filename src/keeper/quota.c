/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the run's jobs hold in the state directory: uploads, logs, artifacts. An upload is bounded by what the run has left
 * when it begins, which front keeps to; that all together stay within it, and that front does, is looked at while they come.
 * Jobs that have ended make room, the oldest first, but only when what comes needs it. What builds keep for later builds is the worker's to bound.
 */
#include "base/log.h"
#include "keeper/keeper.h"

#include <fcntl.h>
#include <sys/stat.h>

static uint64_t size_of(const struct job *j, const char *name)
{
	char path[JOB_ID_SIZE + 16];
	struct stat st;
	snprintf(path, sizeof(path), "%s/%s", j->record.view.id, name);
	return fstatat(j->keeper->jobs_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0
		       ? 0
		       : (uint64_t)st.st_size;
}

static uint64_t used_by(const struct job *j)
{
	uint64_t sum = size_of(j, "context") + size_of(j, "log");
	for (uint32_t n = 0; n < j->record.view.n_artifacts; n++)
		sum += j->record.view.artifact[n].size;
	return sum;
}

uint64_t quota_left(const struct keeper *k)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < LIMIT_JOBS_PER_RUN; i++)
		if (k->jobs[i].used && !keeper_may_forget(&k->jobs[i]))
			sum += used_by(&k->jobs[i]);
	return sum < k->limits.storage_bytes ? k->limits.storage_bytes - sum : 0;
}

bool quota_make_room(struct keeper *k)
{
	struct job *oldest;
	uint64_t sum = 0;
	for (unsigned i = 0; i < LIMIT_JOBS_PER_RUN; i++)
		if (k->jobs[i].used)
			sum += used_by(&k->jobs[i]);
	while (sum > k->limits.storage_bytes && (oldest = keeper_oldest_ended(k))) {
		sum -= used_by(oldest);
		log_info("job %s is forgotten: the run's storage is full", oldest->record.view.id);
		keeper_forget(k, oldest);
	}
	return sum <= k->limits.storage_bytes;
}

static void watch_on(struct keeper *k)
{
	struct timeval pause = { .tv_usec = LIMIT_QUOTA_CHECK_MS * 1000 };
	evtimer_add(k->quota_event, &pause);
}

static void on_check(evutil_socket_t fd, short what, void *arg)
{
	struct keeper *k = arg;
	struct job *newest = NULL;
	for (unsigned i = 0; i < LIMIT_JOBS_PER_RUN; i++) {
		struct job *j = &k->jobs[i];
		if (!j->used || j->record.view.state != JOB_UPLOADING)
			continue;
		if (size_of(j, "context") > j->upload_max) {
			log_error("front writes more of an upload than it may, and is ended");
			keeper_end_front(k); /* with all uploads */
			return;
		}
		if (!newest || j->record.view.position > newest->record.view.position)
			newest = j;
	}
	if (!newest)
		return;
	if (!quota_make_room(
		    k)) { /* several came at once; what is left of it is refused when it is complete */
		log_warning("job %s: the run's storage is full, its upload is dropped",
			    newest->record.view.id);
		keeper_forget(k, newest);
	}
	watch_on(k);
}

int quota_watch(struct keeper *k)
{
	if (!k->quota_event)
		k->quota_event = evtimer_new(k->base, on_check, k);
	if (!k->quota_event)
		return -1;
	if (!evtimer_pending(k->quota_event, NULL))
		watch_on(k);
	return 0;
}
