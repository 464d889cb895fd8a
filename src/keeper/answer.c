/* SPDX-License-Identifier: Apache-2.0 */
/* Answers front: tokens, new jobs and their uploads, cancelling, files. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "keeper/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>

static void reply(struct keeper *k, uint64_t seq, enum problem problem, const char *detail)
{
	msg_begin(&k->out, &service_messages, MESSAGE_JOB_REPLY, seq);
	msg_put_u(&k->out, problem);
	msg_put_s(&k->out, detail);
	keeper_send_front(k);
}

static void on_auth(struct keeper *k, const struct msg *m)
{
	unsigned char digest[sizeof(k->digest)];
	crypto_generichash(digest, sizeof(digest), (const unsigned char *)m->field[0].text,
			   m->field[0].len, NULL, 0);
	enum problem p = PROBLEM_NONE;
	if (sodium_memcmp(digest, k->digest, sizeof(digest)) != 0)
		p = PROBLEM_UNAUTHENTICATED;
	else if (k->token_expires_ms && clock_wall_ms() >= k->token_expires_ms)
		p = PROBLEM_TOKEN_EXPIRED;
	msg_begin(&k->out, &service_messages, MESSAGE_AUTH_RESULT, m->seq);
	msg_put_u(&k->out, p);
	msg_put_u(&k->out, k->token_expires_ms);
	keeper_send_front(k);
}

static void created(struct keeper *k, uint64_t seq, enum problem p, const char *detail,
		    const struct job *j, bool found, int upload)
{
	msg_begin(&k->out, &service_messages, MESSAGE_JOB_CREATED, seq);
	msg_put_u(&k->out, p);
	msg_put_s(&k->out, detail);
	msg_put_s(&k->out, j ? j->record.view.id : "");
	msg_put_u(&k->out, found);
	msg_put_u(&k->out, j ? j->upload_max : 0);
	if (upload >= 0)
		msg_put_fd(&k->out, upload);
	keeper_send_front(k);
}

static struct job *find_key(struct keeper *k, const char *key)
{
	for (unsigned i = 0; *key && i < LIMIT_JOBS_PER_RUN; i++)
		if (k->jobs[i].used && !strcmp(k->jobs[i].record.idempotency_key, key))
			return &k->jobs[i];
	return NULL;
}

/* A slot for a new job: a free one, or that of the job which ended longest ago. */
static struct job *take_slot(struct keeper *k)
{
	for (unsigned i = 0; i < LIMIT_JOBS_PER_RUN; i++)
		if (!k->jobs[i].used)
			return &k->jobs[i];
	struct job *oldest = keeper_oldest_ended(k);
	if (oldest)
		keeper_forget(k, oldest);
	return oldest;
}

/* Make jobs/ID, its log, and its upload when there is one; the upload's descriptor, -1 for none, or -errno below that. */
static int make_folder(struct keeper *k, const char *id, bool upload)
{
	char path[JOB_ID_SIZE + 16];
	if (mkdirat(k->jobs_fd, id, 0700) < 0)
		return -errno - 1;
	snprintf(path, sizeof(path), "%s/log", id);
	_cleanup_close_ int log =
		openat(k->jobs_fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (log < 0)
		return -errno - 1;
	if (!upload)
		return -1;
	snprintf(path, sizeof(path), "%s/context", id);
	int fd = openat(k->jobs_fd, path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return fd < 0 ? -errno - 1 : fd;
}

static enum problem may_create(struct keeper *k, bool upload, const char **detail)
{
	*detail = "";
	if (k->draining)
		return PROBLEM_DRAINING;
	if (keeper_reserve(k) < 0)
		return PROBLEM_DISK_FULL;
	if (upload && (quota_left(k) == 0 || quota_watch(k) < 0)) {
		*detail = "The uploads, logs and artifacts of this run's unfinished jobs hold as "
			  "much as they may.";
		return PROBLEM_STORAGE_FULL;
	}
	if (keeper_count(k, JOB_UPLOADING, JOB_QUEUED) < k->limits.jobs_queued)
		return PROBLEM_NONE;
	*detail = "As many jobs as may wait at once are waiting already.";
	return PROBLEM_QUEUE_FULL;
}

/* The answer to a request whose key is known: its job, unless that was another request's, or is not whole yet. */
static void found(struct keeper *k, const struct msg *m, const struct job *j)
{
	if (strcmp(j->record.view.operation, m->field[0].text) != 0 ||
	    strcmp(j->record.arguments, m->field[1].text) != 0)
		created(k, m->seq, PROBLEM_KEY_REUSED, "", NULL, false, -1);
	else if (j->record.view.state == JOB_UPLOADING)
		/* Its client may be gone without a word, and then there will be no job of it. */
		created(k, m->seq, PROBLEM_OVERLOADED,
			"The first request with this Idempotency-Key is still sending its body.",
			NULL, false, -1);
	else
		created(k, m->seq, PROBLEM_NONE, "", j, true, -1);
}

static void on_create(struct keeper *k, const struct msg *m)
{
	const char *operation = m->field[0].text, *arguments = m->field[1].text,
		   *key = m->field[2].text, *detail;
	struct job *j = m->field[2].len <= LIMIT_IDEMPOTENCY_KEY_BYTES ? find_key(k, key) : NULL;
	if (j) {
		found(k, m, j);
		return;
	}
	enum problem p = may_create(k, m->field[3].number, &detail);
	if (p == PROBLEM_NONE && (m->field[0].len >= sizeof(j->record.view.operation) ||
				  m->field[1].len > LIMIT_ARGUMENTS_BYTES ||
				  m->field[2].len > LIMIT_IDEMPOTENCY_KEY_BYTES))
		p = PROBLEM_INVALID;
	j = p == PROBLEM_NONE ? take_slot(k) : NULL;
	if (!j) {
		created(k, m->seq, p ? p : PROBLEM_QUEUE_FULL, detail, NULL, false, -1);
		return;
	}
	*j = (struct job){
		.keeper = k, .used = true, .channel = -1, .has_upload = m->field[3].number
	};
	j->upload_max = quota_left(k);
	struct job_view *v = &j->record.view;
	keeper_random_id('j', 20, v->id);
	snprintf(v->operation, sizeof(v->operation), "%s", operation);
	snprintf(j->record.arguments, sizeof(j->record.arguments), "%s", arguments);
	snprintf(j->record.idempotency_key, sizeof(j->record.idempotency_key), "%s", key);
	v->created_ms = clock_wall_ms();
	v->position = ++k->position;
	v->state = j->has_upload ? JOB_UPLOADING : JOB_QUEUED;
	_cleanup_close_ int upload = make_folder(k, v->id, j->has_upload);
	int r = upload < -1 ? upload + 1 : keeper_publish(k, j);
	if (r < 0) {
		keeper_forget(k, j);
		created(k, m->seq,
			r == -ENOSPC || r == -EDQUOT ? PROBLEM_DISK_FULL : PROBLEM_INTERNAL,
			strerror(-r), NULL, false, -1);
		return;
	}
	created(k, m->seq, PROBLEM_NONE, "", j, false, upload);
	queue_run(k);
}

static void on_commit(struct keeper *k, const struct msg *m)
{
	char path[JOB_ID_SIZE + 16];
	struct stat st;
	struct job *j = keeper_find(k, m->field[0].text);
	if (!j || j->record.view.state != JOB_UPLOADING) { /* only for the quota does one go */
		reply(k, m->seq, PROBLEM_STORAGE_FULL,
		      "The upload was dropped: the run's storage was full.");
		return;
	}
	snprintf(path, sizeof(path), "%s/context", j->record.view.id);
	enum problem p = PROBLEM_NONE;
	const char *detail = "";
	if (k->draining) {
		p = PROBLEM_DRAINING;
	} else if (fstatat(k->jobs_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		   (uint64_t)st.st_size != m->field[1].number) {
		p = PROBLEM_DISK_FULL;
		detail = "The upload could not be written whole.";
	} else if (!quota_make_room(k)) {
		p = PROBLEM_STORAGE_FULL;
		detail = "Other jobs of this run took the room meanwhile.";
	} else {
		j->record.view.state = JOB_QUEUED;
		if (keeper_publish(k, j) < 0) {
			p = PROBLEM_DISK_FULL;
			detail = "The job could not be written to the store.";
		}
	}
	if (p) {
		keeper_forget(k, j);
		reply(k, m->seq, p, detail);
		return;
	}
	reply(k, m->seq, PROBLEM_NONE, "");
	queue_run(k);
}

static void on_cancel(struct keeper *k, const struct msg *m)
{
	struct job *j = keeper_find(k, m->field[0].text);
	if (!j || j->record.view.state == JOB_UPLOADING) {
		reply(k, m->seq, PROBLEM_NO_SUCH_JOB, "");
		return;
	}
	if (j->record.view.state == JOB_QUEUED)
		queue_end(j, JOB_CANCELLED,
			  "{\"error\":\"cancelled before it began\",\"stages\":[]}");
	else if (j->record.view.state == JOB_RUNNING)
		queue_stop(j, JOB_CANCELLED);
	reply(k, m->seq, PROBLEM_NONE, "");
}

/* The file of a job that front may read: its log, or an artifact that its worker reported. */
static int open_file(struct keeper *k, const struct job *j, const char *name)
{
	char path[JOB_ID_SIZE + LIMIT_ARTIFACT_NAME_BYTES + 16];
	const struct job_view *v = &j->record.view;
	if (!*name) {
		snprintf(path, sizeof(path), "%s/log", v->id);
		return openat(k->jobs_fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	}
	for (uint32_t i = 0; i < v->n_artifacts; i++)
		if (!strcmp(v->artifact[i].name, name)) {
			snprintf(path, sizeof(path), "%s/artifacts/%s", v->id, name);
			return openat(k->jobs_fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		}
	errno = ENOENT;
	return -1;
}

static void on_open(struct keeper *k, const struct msg *m)
{
	const struct job *j = keeper_find(k, m->field[0].text);
	enum problem p =
		j && j->record.view.state != JOB_UPLOADING ? PROBLEM_NONE : PROBLEM_NO_SUCH_JOB;
	_cleanup_close_ int fd = p ? -1 : open_file(k, j, m->field[1].text);
	struct stat st = { 0 };
	if (!p && (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)))
		p = PROBLEM_NO_SUCH_ARTIFACT;
	msg_begin(&k->out, &service_messages, MESSAGE_JOB_OPENED, m->seq);
	msg_put_u(&k->out, p);
	msg_put_s(&k->out, "");
	msg_put_u(&k->out, (uint64_t)st.st_size);
	if (!p)
		msg_put_fd(&k->out, fd);
	keeper_send_front(k);
}

void answer_front(evutil_socket_t fd, short what, void *arg)
{
	struct keeper *k = arg;
	int r = msg_recv(fd, &service_messages, ROLE_FRONT, &k->in);
	if (r == -EAGAIN)
		return;
	if (r < 0) {
		if (r == -EPROTO)
			log_error("front sent what it must not and is ended");
		keeper_end_front(k);
		return;
	}
	struct job *j;
	switch (k->in.type->type) {
	case MESSAGE_AUTH_CHECK:
		on_auth(k, &k->in);
		break;
	case MESSAGE_JOB_CREATE:
		on_create(k, &k->in);
		break;
	case MESSAGE_JOB_COMMIT:
		on_commit(k, &k->in);
		break;
	case MESSAGE_JOB_ABANDON:
		j = keeper_find(k, k->in.field[0].text);
		if (j && j->record.view.state == JOB_UPLOADING)
			keeper_forget(k, j);
		break;
	case MESSAGE_JOB_CANCEL:
		on_cancel(k, &k->in);
		break;
	case MESSAGE_JOB_OPEN:
		on_open(k, &k->in);
		break;
	}
}
