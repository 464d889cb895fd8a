/* SPDX-License-Identifier: Apache-2.0 */
/* Answers that take their time: waiting for a job, its log, its events, its artifacts. */
#include "api/job_json.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/utf8.h"
#include "front/front.h"
#include "front/job_text.h"
#include "http/range.h"

#include <errno.h>
#include <jansson.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE_BYTES (16 * 1024) /* of a log that are sent at once */
#define TURN_PIECES 16		/* of a log, then others have their turn */

/* ---- a job, now or when it has ended ---- */

void stream_respond_job(struct conn *c, bool started)
{
	const struct job_text *job = job_text(c->front->table, c->job);
	bool later = started || c->op->id == OPERATION_JOB_CANCEL;
	char extra[160] = "";
	size_t n = 0;
	if (!job) {
		conn_problem(c, PROBLEM_NO_SUCH_JOB, NULL, NULL, NULL);
		return;
	}
	bool ended = job_state_ended(job->state);
	if (started && !ended)
		n = (size_t)snprintf(extra, sizeof(extra), "Location: /jobs/%s\r\n", c->job);
	if (c->prefer_applied)
		n += (size_t)snprintf(extra + n, sizeof(extra) - n,
				      "Preference-Applied: wait=%lld\r\n",
				      (long long)c->wait_seconds);
	if (!ended)
		snprintf(extra + n, sizeof(extra) - n, "Retry-After: %d\r\n", RETRY_AFTER_SECONDS);
	conn_respond(c, later && !ended ? 202 : 200, "application/json", extra, job->data,
		     job->len);
}

void stream_wait(struct conn *c, int64_t seconds)
{
	const struct job_text *job = job_text(c->front->table, c->job);
	if (!job || job_state_ended(job->state) || seconds <= 0) {
		stream_respond_job(c, c->op->job);
		return;
	}
	c->state = CONN_WAIT;
	conn_deadline(c, (uint64_t)seconds);
	if (c->ended || c->front->ending)
		stream_cut(c);
}

/* ---- following ---- */

/* The follower gets no more until it has read what it has got. */
static bool is_behind(const struct conn *c)
{
	size_t n = evbuffer_get_length(c->out);
	return n > LIMIT_UNREAD_STREAM_BYTES || (n && c->front->unread_bytes > LIMIT_UNREAD_BYTES);
}

/* What the log has beyond c->offset, into piece; 0 at its present end. */
static size_t read_log(struct conn *c, char *piece)
{
	if (is_behind(c))
		return 0;
	ssize_t n = pread(c->log, piece, PIECE_BYTES, (off_t)c->offset);
	return n > 0 ? (size_t)n : 0;
}

static void send_event(struct conn *c, const char *name, const char *data, size_t n)
{
	struct buf out =
		BUF_INIT(JOB_JSON_MAX + 6 * PIECE_BYTES + 256); /* as JSON, a byte may have six */
	buf_printf(&out, "id: %llu-%llu\nevent: %s\ndata: %.*s\n\n", (unsigned long long)c->offset,
		   (unsigned long long)c->changes_sent, name, (int)n, data);
	conn_chunk(c, out.data, out.len);
	buf_done(&out);
}

/* Whole lines of the log as one event; a line that is not finished waits, unless the job has ended. */
static bool send_log_event(struct conn *c, bool ended)
{
	char piece[PIECE_BYTES];
	size_t n = read_log(c, piece), whole = n;
	while (whole && piece[whole - 1] != '\n')
		whole--;
	if (!whole && n == sizeof(piece))
		whole = utf8_whole(piece, n);
	else if (!whole && ended)
		whole = n;
	if (!whole)
		return false;
	_cleanup_buf_ struct buf clean = BUF_INIT(3 * sizeof(piece));
	utf8_append(&clean, piece, whole);
	json_t *text = json_stringn(clean.data, clean.len);
	_cleanup_free_ char *data = text ? json_dumps(text, JSON_ENCODE_ANY) : NULL;
	c->offset += whole;
	send_event(c, "log", data ? data : "\"\"", data ? strlen(data) : 2);
	json_decref(text);
	return true;
}

static void send_state_event(struct conn *c, const struct job_text *job)
{
	if (c->changes_sent >= job->changes)
		return;
	c->changes_sent = job->changes;
	send_event(c, "state", job->data, job->len - 1);
}

/* What has been read of the log is not all; the loop comes back when what is unsent is out, which may be at once. */
static void follow_later(struct conn *c)
{
	if (!evbuffer_get_length(c->out))
		event_active(c->writable, EV_WRITE, 0);
}

static void follow_events(struct conn *c, uint64_t now_ms)
{
	const struct job_text *job = job_text(c->front->table, c->job);
	bool ended = !job || job_state_ended(job->state);
	unsigned n = 0;
	/* The state as it was read goes out after the log up to there, so that the end comes last. */
	if (!ended)
		send_state_event(c, job);
	while (n < TURN_PIECES && send_log_event(c, ended))
		n++;
	if (n == TURN_PIECES || is_behind(c)) {
		follow_later(c);
	} else if (ended) {
		if (job)
			send_state_event(c, job);
		conn_done(c);
	} else if (n) {
		c->comment_ms = now_ms;
	} else if (now_ms - c->comment_ms >=
		   (uint64_t)EVENT_COMMENT_SECONDS * c->front->second_ms) {
		c->comment_ms = now_ms;
		conn_chunk(c, ": still here\n\n", 14);
	}
}

static void follow_log(struct conn *c)
{
	char piece[PIECE_BYTES];
	size_t n = 1;
	const struct job_text *job = job_text(c->front->table, c->job);
	bool ended = !job || job_state_ended(job->state);
	for (unsigned i = 0; i < TURN_PIECES && (n = read_log(c, piece)) > 0; i++) {
		c->offset += n;
		conn_chunk(c, piece, n);
	}
	if (n || is_behind(c))
		follow_later(c);
	else if (ended)
		conn_done(c);
}

static void follow(struct conn *c, uint64_t now_ms)
{
	if (c->op->id == OPERATION_JOB_EVENTS)
		follow_events(c, now_ms);
	else
		follow_log(c);
}

static void begin_follow(struct conn *c, uint64_t size)
{
	unsigned long long offset, changes;
	bool events = c->op->id == OPERATION_JOB_EVENTS;
	c->changes_sent = 0;
	c->comment_ms = clock_monotonic_ms();
	const struct job_text *job = events ? job_text(c->front->table, c->job) : NULL;
	/* An id beyond what there is was never given out: it is as none. */
	if (job && sscanf(c->range, "%20llu-%20llu", &offset, &changes) == 2 && offset <= size &&
	    changes <= job->changes) {
		c->offset = offset;
		c->changes_sent = changes;
		if (job_state_ended(job->state) && changes == job->changes && offset == size) {
			conn_respond(c, 204, NULL, NULL, "",
				     0); /* an EventSource then stops asking */
			return;
		}
	}
	conn_begin_stream(c, events ? "text/event-stream" : "text/plain; charset=utf-8");
	if (c->state == CONN_WRITE) /* no head, no stream */
		return;
	if (c->head_method) {
		conn_done(c);
		return;
	}
	c->state = CONN_FOLLOW;
	follow(c, c->comment_ms);
	if (c->ended || c->front->ending)
		stream_cut(c);
}

void stream_tick(struct conn *c, uint64_t now_ms)
{
	if (c->state == CONN_FOLLOW) {
		follow(c, now_ms);
		return;
	}
	const struct job_text *job = job_text(c->front->table, c->job);
	if (now_ms >= c->deadline_ms || !job || job_state_ended(job->state))
		stream_respond_job(c, c->op->job);
}

void stream_cut(struct conn *c)
{
	const struct job_text *job = job_text(c->front->table, c->job);
	bool ended = !job || job_state_ended(job->state);
	if (c->state == CONN_FOLLOW && ended) {
		follow(c, clock_monotonic_ms()); /* comes to its end by itself */
	} else if (c->state == CONN_FOLLOW) {
		/* Only the end of the server ends the stream for all; to a client that has stopped sending, what it misses
		 * must not look like nothing. */
		if (!c->front->ending)
			c->keep_alive = c->chunked = false;
		conn_done(c);
	} else if (c->state == CONN_WAIT) {
		c->prefer_applied = c->prefer_applied && ended;
		stream_respond_job(c, c->op->job);
	}
}

void stream_changed(struct front *f, unsigned slot)
{
	const struct job_text *job = job_text_at(f->table, slot);
	struct conn *c, *next;
	if (!job)
		return;
	for (c = TAILQ_FIRST(&f->conns); c; c = next) {
		next = TAILQ_NEXT(c, link);
		if (strcmp(c->job, job->id) != 0)
			continue;
		if (c->state == CONN_FOLLOW)
			follow(c, clock_monotonic_ms());
		else if (c->state == CONN_WAIT && job_state_ended(job->state))
			stream_respond_job(c, c->op->job);
	}
}

/* ---- files ---- */

/* Where the last `lines` lines of the log begin; not further back than a bounded look goes. */
static uint64_t tail_offset(int fd, uint64_t size, int64_t lines)
{
	char piece[PIECE_BYTES];
	uint64_t at = size, least = size > LIMIT_TAIL_BYTES ? size - LIMIT_TAIL_BYTES : 0;
	while (at > least) {
		size_t n = at - least > sizeof(piece) ? sizeof(piece) : (size_t)(at - least);
		if (pread(fd, piece, n, (off_t)(at - n)) != (ssize_t)n)
			return 0;
		for (size_t i = n; i > 0; i--)
			if (piece[i - 1] == '\n' && at - n + i != size && --lines == 0)
				return at - n + i;
		at -= n;
	}
	return least;
}

static const char *artifact_type(struct conn *c)
{
	static struct job_view view; /* large, and one at a time */
	int slot = jobtable_find(c->front->table, c->job);
	if (slot < 0 || !jobtable_read(c->front->table, (unsigned)slot, &view))
		view.n_artifacts = 0;
	for (uint32_t i = 0; i < view.n_artifacts; i++)
		if (!strcmp(view.artifact[i].name, c->name) && *view.artifact[i].media_type)
			return view.artifact[i].media_type;
	return "application/octet-stream";
}

/* Whether the list of entity tags has this one (RFC 9110 13.1.2: compared weakly). */
static bool has_tag(const char *list, const char *tag)
{
	struct span left = span_of(list), item;
	while (http_list_next(&left, &item)) {
		if (item.len > 2 && !memcmp(item.data, "W/", 2))
			item = (struct span){ item.data + 2, item.len - 2 };
		if (span_is(item, tag) || span_is(item, "*"))
			return true;
	}
	return false;
}

/* An artifact does not change any more; a log grows, so it has no tag. */
static void send_file(struct conn *c, uint64_t size)
{
	bool log = c->op->id == OPERATION_JOB_LOG;
	const char *type = log ? "text/plain; charset=utf-8" : artifact_type(c);
	struct http_range range = { 0, size ? size - 1 : 0 };
	char tag[64] = "", lines[256];
	unsigned status = 200;
	uint64_t length = size;
	if (!log)
		snprintf(tag, sizeof(tag), "\"%s-%llu\"", c->job, (unsigned long long)size);
	int n = snprintf(lines, sizeof(lines), "Accept-Ranges: bytes\r\n%s%s%s",
			 log ? "" : "ETag: ", tag, log ? "" : "\r\n");
	if (!log && has_tag(c->if_none_match, tag)) {
		conn_respond(c, 304, NULL, lines, "", 0);
		return;
	}
	bool tail = log && c->tail_lines > 0;
	bool wanted = *c->range && !tail && (!*c->if_range || !strcmp(c->if_range, tag));
	int r = wanted ? http_range_parse(span_of(c->range), size, &range) : -ENOENT;
	if (r == -ERANGE) {
		snprintf(lines, sizeof(lines), "Content-Range: bytes */%llu\r\n",
			 (unsigned long long)size);
		conn_problem(c, PROBLEM_RANGE, NULL, NULL, lines);
		return;
	}
	if (r == 0) {
		status = 206;
		length = range.last - range.first + 1;
		snprintf(lines + n, sizeof(lines) - (size_t)n,
			 "Content-Range: bytes %llu-%llu/%llu\r\n", (unsigned long long)range.first,
			 (unsigned long long)range.last, (unsigned long long)size);
	} else if (tail) {
		range.first = tail_offset(c->log, size, c->tail_lines);
		length = size - range.first;
	}
	conn_respond_file(c, status, type, lines, range.first, length);
}

void stream_opened(struct conn *c, struct msg *m)
{
	if (m->field[0].number) {
		conn_problem(c, (enum problem)m->field[0].number, m->field[1].text, NULL, NULL);
		return;
	}
	c->log = TAKE_FD(m->fds[0]);
	c->offset = 0;
	if (c->op->id == OPERATION_JOB_EVENTS || (c->op->id == OPERATION_JOB_LOG && c->follow)) {
		if (c->tail_lines > 0)
			c->offset = tail_offset(c->log, m->field[2].number, c->tail_lines);
		begin_follow(c, m->field[2].number);
		return;
	}
	send_file(c, m->field[2].number);
}
