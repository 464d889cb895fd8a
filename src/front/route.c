/* SPDX-License-Identifier: Apache-2.0 */
/* Decides what a request means: path, method, token, parameters, and what keeper is asked. */
#include "api/generate.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "front/front.h"
#include "front/job_text.h"
#include "http/prefer.h"
#include "http/target.h"
#include "http/write.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <unistd.h>

static void drop_head(struct conn *c)
{
	size_t n = c->front->head.length;
	c->in += n;
	c->used -= n;
}

/* ---- answers that need no keeper ---- */

/* The page at / names the server as the client knows it. */
static void answer_index(struct conn *c)
{
	struct buf out = BUF_INIT(64 * 1024);
	const char *host = *c->host ? c->host : "HOST:PORT"; /* HTTP/1.0 need not name it */
	for (const char *s = c->front->index; *s;) {
		size_t n = strcspn(s, GENERATE_HOST_MARK);
		buf_append(&out, s, n);
		s += n;
		if (*s) {
			buf_append_str(&out, host);
			s++;
		}
	}
	conn_respond(c, 200, "text/plain; charset=utf-8", NULL, out.data ? out.data : "", out.len);
	buf_done(&out);
}

static void answer_document(struct conn *c)
{
	struct front *f = c->front;
	static const char health[] = "{\"status\":\"ok\"}\n";
	static const char draining[] = "{\"status\":\"draining\"}\n";
	switch (c->op->id) {
	case OPERATION_INDEX:
		answer_index(c);
		return;
	case OPERATION_OPENAPI:
		conn_respond(c, 200, "application/json", NULL, f->openapi, strlen(f->openapi));
		return;
	case OPERATION_TOOLS:
		conn_respond(c, 200, "application/json", NULL, f->tools, strlen(f->tools));
		return;
	default:
		if (f->table->draining)
			conn_respond(c, 503, "application/json", NULL, draining,
				     sizeof(draining) - 1);
		else
			conn_respond(c, 200, "application/json", NULL, health, sizeof(health) - 1);
	}
}

/* ---- operations on jobs ---- */

static void answer_job(struct conn *c)
{
	if (c->wait_seconds > 0)
		stream_wait(c, c->wait_seconds);
	else
		stream_respond_job(c, false);
}

static void answer_list(struct conn *c)
{
	const struct job_text *order[LIMIT_JOBS_PER_RUN] = { NULL }, *job;
	struct buf out = BUF_INIT(16 * 1024 * 1024);
	unsigned n = 0;
	for (unsigned i = 0; i < LIMIT_JOBS_PER_RUN; i++) { /* newest first; n is small */
		job = job_text_at(c->front->table, i);
		if (!job || job->state == JOB_UPLOADING)
			continue;
		unsigned at = n++;
		for (; at && order[at - 1]->position < job->position; at--)
			order[at] = order[at - 1];
		order[at] = job;
	}
	buf_append_str(&out, "{\"jobs\":[");
	for (unsigned i = 0; i < n && (int64_t)i < c->list_limit; i++) {
		if (i)
			buf_append_str(&out, ",");
		buf_append(&out, order[i]->data, order[i]->len - 1);
	}
	buf_append_str(&out, "]}\n");
	conn_respond(c, 200, "application/json", NULL, out.data, out.len);
	buf_done(&out);
}

static void on_cancelled(struct conn *c, struct msg *m)
{
	if (m->field[0].number)
		conn_problem(c, (enum problem)m->field[0].number, m->field[1].text, NULL, NULL);
	else
		stream_wait(c, CANCEL_WAIT_SECONDS);
}

static void ask_cancel(struct conn *c)
{
	msg_begin(&c->front->out, &service_messages, MESSAGE_JOB_CANCEL, front_seq(c->front));
	msg_put_s(&c->front->out, c->job);
	conn_ask(c, on_cancelled);
}

static void ask_open(struct conn *c, const char *name)
{
	msg_begin(&c->front->out, &service_messages, MESSAGE_JOB_OPEN, front_seq(c->front));
	msg_put_s(&c->front->out, c->job);
	msg_put_s(&c->front->out, name);
	conn_ask(c, stream_opened);
}

/* ---- starting a job ---- */

static void on_committed(struct conn *c, struct msg *m)
{
	if (m->field[0].number)
		conn_problem(c, (enum problem)m->field[0].number, m->field[1].text, NULL, NULL);
	else
		stream_wait(c, c->wait_seconds);
}

void route_upload_done(struct conn *c)
{
	if (c->upload < 0) {
		stream_wait(c, c->wait_seconds);
		return;
	}
	close(TAKE_FD(c->upload));
	msg_begin(&c->front->out, &service_messages, MESSAGE_JOB_COMMIT, front_seq(c->front));
	msg_put_s(&c->front->out, c->job);
	msg_put_u(&c->front->out, c->uploaded);
	conn_ask(c, on_committed);
}

static void on_created(struct conn *c, struct msg *m)
{
	if (m->field[0].number) {
		conn_problem(c, (enum problem)m->field[0].number, m->field[1].text, NULL, NULL);
		return;
	}
	snprintf(c->job, sizeof(c->job), "%s", m->field[2].text);
	/* An Idempotency-Key found it: the body is not wanted again, but most clients send it to its end before they read. */
	bool found = m->field[3].number || !m->n_fds;
	if (!found)
		c->upload = TAKE_FD(m->fds[0]);
	c->upload_max = m->field[4].number;
	if (c->body.done)
		route_upload_done(c);
	else
		conn_receive(c);
}

static void ask_create(struct conn *c)
{
	msg_begin(&c->front->out, &service_messages, MESSAGE_JOB_CREATE, front_seq(c->front));
	msg_put_s(&c->front->out, c->op->name);
	msg_put_s(&c->front->out, c->arguments);
	msg_put_s(&c->front->out, c->key ? c->key : "");
	msg_put_u(&c->front->out, c->op->body == BODY_ARCHIVE);
	conn_ask(c, on_created);
}

/* ---- after authentication ---- */

static void perform(struct conn *c)
{
	if (c->op->job) {
		ask_create(c);
		return;
	}
	if (c->op->id == OPERATION_JOBS) {
		answer_list(c);
		return;
	}
	if (jobtable_find(c->front->table, c->job) < 0) {
		conn_problem(c, PROBLEM_NO_SUCH_JOB, NULL, NULL, NULL);
		return;
	}
	switch (c->op->id) {
	case OPERATION_JOB:
		answer_job(c);
		break;
	case OPERATION_JOB_CANCEL:
		ask_cancel(c);
		break;
	case OPERATION_JOB_ARTIFACT:
		if (*c->name)
			ask_open(c, c->name);
		else
			conn_problem(c, PROBLEM_NO_SUCH_ARTIFACT, NULL, NULL, NULL);
		break;
	default:
		ask_open(c, ""); /* its log */
	}
}

static void on_auth(struct conn *c, struct msg *m)
{
	enum problem p = (enum problem)m->field[0].number;
	if (p == PROBLEM_NONE) {
		c->authenticated = true;
		c->token_expires_ms = m->field[1].number;
		perform(c);
		return;
	}
	if (!front_take_unauthenticated(c->front))
		p = PROBLEM_TOO_MANY_REQUESTS;
	conn_problem(c, p, NULL, NULL, NULL);
}

/* The token of "Authorization: Bearer TOKEN"; false when the answer has been sent: there is none. */
static bool bearer(struct conn *c, const struct http_head *h, struct span *ret)
{
	struct span v = http_head_value(h, HTTP_FIELD_AUTHORIZATION);
	const char *detail = NULL;
	if (!v.len)
		detail = "No token came with the request.";
	else if (http_head_repeats(h, HTTP_FIELD_AUTHORIZATION))
		detail = "Authorization appears more than once.";
	else if (v.len < 8 || !span_is_nocase((struct span){ v.data, 7 }, "Bearer "))
		detail = "Authorization is not of the form 'Bearer TOKEN'.";
	else if (v.len > LIMIT_TOKEN_BYTES + 7)
		detail = "The token is too long to be one.";
	if (!detail) {
		*ret = (struct span){ v.data + 7, v.len - 7 };
		return true;
	}
	conn_problem(c,
		     front_take_unauthenticated(c->front) ? PROBLEM_UNAUTHENTICATED
							  : PROBLEM_TOO_MANY_REQUESTS,
		     detail, NULL, NULL);
	return false;
}

static void authenticate(struct conn *c, struct span token)
{
	unsigned char digest[32];
	crypto_generichash(digest, sizeof(digest), (const unsigned char *)token.data, token.len,
			   NULL, 0);
	if (c->authenticated && sodium_memcmp(digest, c->token_digest, sizeof(digest)) == 0 &&
	    (!c->token_expires_ms || clock_wall_ms() < c->token_expires_ms)) {
		perform(c);
		return;
	}
	c->authenticated = false;
	memcpy(c->token_digest, digest, sizeof(digest));
	msg_begin(&c->front->out, &service_messages, MESSAGE_AUTH_CHECK, front_seq(c->front));
	msg_put_b(&c->front->out, token.data, token.len);
	conn_ask(c, on_auth);
}

static bool span_contains(struct span s, struct span what)
{
	return s.len >= what.len && memmem(s.data, s.len, what.data, what.len);
}

/* Where a request must not hold its own token: the target and the key are kept, logged and shown. Some
 * proxies put a credential wherever its placeholder stands, so that the agent, which never sees the
 * token, could have it told. Shorter ones are no tokens. False when the answer has been sent. */
static bool keeps_token_apart(struct conn *c, const struct http_head *h, struct span token)
{
	static char decoded[LIMIT_HTTP_TARGET_BYTES + 1];
	size_t n = 0;
	if (token.len < LIMIT_TOKEN_LEAST_BYTES)
		return true;
	struct span key = http_head_value(h, HTTP_FIELD_IDEMPOTENCY_KEY);
	bool decodes = http_percent_decode(h->target, decoded, sizeof(decoded), &n) == 0;
	bool found = span_contains(h->target, token) || span_contains(key, token) ||
		     (decodes && span_contains((struct span){ decoded, n }, token));
	explicit_bzero(decoded, n);
	if (!found)
		return true;
	conn_problem(c, PROBLEM_INVALID,
		     "The token stands in the request target or in Idempotency-Key.",
		     "Send the token in the header Authorization, and nowhere else.", NULL);
	return false;
}

/* ---- the request ---- */

static void copy_span(struct span s, char *to, size_t size)
{
	size_t n = s.len < size ? s.len : size - 1;
	if (n)
		memcpy(to, s.data, n);
	to[n] = '\0';
}

/* "Prefer: wait=N" (RFC 7240), or what is usual. */
static void take_prefer(struct conn *c, const struct http_head *h)
{
	struct span value;
	int64_t seconds = 0;
	c->wait_seconds = DEFAULT_WAIT_SECONDS;
	if (!http_prefer_find(h, "wait", &value) || !value.len)
		return;
	for (size_t i = 0; i < value.len; i++) {
		if (value.data[i] < '0' || value.data[i] > '9')
			return;
		seconds = seconds * 10 + (value.data[i] - '0');
		if (seconds > LIMIT_WAIT_SECONDS)
			seconds = LIMIT_WAIT_SECONDS;
	}
	c->wait_seconds = seconds;
	c->prefer_applied = true;
}

/* A value that is longer than what makes sense is as good as none. */
static void keep_header(const struct http_head *h, enum http_field_id id, char *to, size_t size)
{
	struct span value = http_head_value(h, id);
	copy_span(value.len < size ? value : (struct span){ 0 }, to, size);
}

/* Of the entity tags that the client has, those that may be this job's, however many others there are. */
static void keep_tags(struct conn *c, const struct http_head *h)
{
	size_t used = 0, id = strlen(c->job);
	c->if_none_match[0] = '\0';
	for (unsigned i = 0; i < h->n_fields; i++) {
		struct span list = h->fields[i].value, tag;
		while (h->fields[i].id == HTTP_FIELD_IF_NONE_MATCH && http_list_next(&list, &tag)) {
			if (!span_is(tag, "*") && !memmem(tag.data, tag.len, c->job, id))
				continue;
			if (tag.len + 2 > sizeof(c->if_none_match) - used)
				return;
			memcpy(c->if_none_match + used, tag.data, tag.len);
			used += tag.len;
			memcpy(c->if_none_match + used, ",", 2);
			used++;
		}
	}
}

/* What tells which part of a file is wanted, or whether it is. */
static void keep_conditions(struct conn *c, const struct http_head *h)
{
	keep_header(h, HTTP_FIELD_RANGE, c->range, sizeof(c->range));
	keep_header(h, HTTP_FIELD_IF_RANGE, c->if_range, sizeof(c->if_range));
	keep_tags(c, h);
	/* Only GET has ranges (RFC 9110 14.2), and an If-Range that is no tag of ours is of another file (13.1.5). */
	if (c->head_method || (http_head_has(h, HTTP_FIELD_IF_RANGE) && !*c->if_range))
		c->range[0] = '\0';
}

/* What the header fields give; false when the answer has been sent. */
static bool keep_headers(struct conn *c, const struct http_head *h)
{
	static const enum http_field_id single[] = { HTTP_FIELD_CONTENT_TYPE,
						     HTTP_FIELD_IDEMPOTENCY_KEY,
						     HTTP_FIELD_IF_RANGE, HTTP_FIELD_LAST_EVENT_ID,
						     HTTP_FIELD_RANGE };
	struct argument_fault fault = { 0 };
	int64_t number;
	for (size_t i = 0; i < ELEMENTS(single); i++)
		if (http_head_repeats(h, single[i])) {
			snprintf(fault.detail, sizeof(fault.detail), "%s appears more than once.",
				 http_field_name(single[i]));
			conn_problem(c, PROBLEM_BAD_REQUEST, fault.detail, NULL, NULL);
			return false;
		}
	if (c->op->id == OPERATION_JOB_EVENTS)
		keep_header(h, HTTP_FIELD_LAST_EVENT_ID, c->range, sizeof(c->range));
	else
		keep_conditions(c, h);
	if (!c->op->job)
		return true;
	take_prefer(c, h);
	const struct param *p = param_find(c->op, PARAM_HEADER, "Idempotency-Key");
	struct span key = http_head_value(h, HTTP_FIELD_IDEMPOTENCY_KEY);
	if (p && http_head_has(h, HTTP_FIELD_IDEMPOTENCY_KEY)) {
		if (argument_check(p, key, &number, &fault) < 0) {
			conn_fault(c, &fault);
			return false;
		}
		c->key = strndup(key.data, key.len);
	}
	return true;
}

static_assert(LIMIT_ARGUMENTS_BYTES >= 2 * LIMIT_HTTP_TARGET_BYTES,
	      "as JSON, a query is at most twice as long: quotes get a backslash");

/* What the query and path give; false when the answer has been sent. */
static bool keep_arguments(struct conn *c, const struct route *route, struct span query)
{
	struct front *f = c->front;
	struct argument_fault fault = { 0 };
	if (arguments_parse(c->op, query, &f->args, &fault) < 0) {
		conn_fault(c, &fault);
		return false;
	}
	c->job[0] = c->name[0] = '\0';
	if (route->param[0].text) {
		copy_span((struct span){ route->param[0].text, route->param[0].len }, c->job,
			  sizeof(c->job));
		if (route->param[0].len >= sizeof(c->job))
			c->job[0] = '\0';
	}
	if (c->job[0] && route->param[1].text && route->param[1].len < sizeof(c->name))
		copy_span((struct span){ route->param[1].text, route->param[1].len }, c->name,
			  sizeof(c->name));
	c->wait_seconds = arguments_number(&f->args, "wait", 0);
	c->tail_lines = arguments_number(&f->args, "tail", 0);
	c->list_limit = arguments_number(&f->args, "limit", DEFAULT_LIST_JOBS);
	c->follow = arguments_number(&f->args, "follow", 0) != 0;
	if (!c->op->job)
		return true;
	struct buf json = BUF_INIT(LIMIT_ARGUMENTS_BYTES);
	if (arguments_json(c->op, &f->args, &json) < 0) { /* out of memory */
		buf_done(&json);
		conn_problem(c, PROBLEM_OVERLOADED, NULL, NULL, NULL);
		return false;
	}
	c->arguments = buf_take(&json);
	return true;
}

/* What a body may be; false when the answer has been sent. */
static bool body_is_welcome(struct conn *c, const struct http_head *h)
{
	if (c->op->body == BODY_NONE)
		return true;
	if (h->body == HTTP_BODY_NONE) {
		conn_problem(c, PROBLEM_LENGTH_REQUIRED, NULL, NULL, NULL);
		return false;
	}
	if (h->body == HTTP_BODY_LENGTH && h->body_length > c->op->body_max) {
		conn_problem(c, PROBLEM_TOO_LARGE, NULL, NULL, NULL);
		return false;
	}
	return true;
}

/* Find the operation; false when the answer has been sent. */
static bool find_route(struct conn *c, const struct http_head *h, struct span path,
		       struct route *route)
{
	char allow[64], line[96], detail[256];
	const char *nearest;
	int r = route_find(h->method.data, h->method.len, path.data, path.len, route, allow);
	if (r == 0) {
		c->op = route->op;
		if (!c->health_only || c->op->id == OPERATION_HEALTHZ)
			return true;
		conn_problem(c, PROBLEM_NOT_FOUND, NULL, "This socket answers /healthz only.",
			     NULL);
		return false;
	}
	c->op = NULL;
	if (!front_take_unauthenticated(c->front)) {
		conn_problem(c, PROBLEM_TOO_MANY_REQUESTS, NULL, NULL, NULL);
	} else if (r == -EPERM) {
		snprintf(line, sizeof(line), "Allow: %s\r\n", allow);
		conn_problem(c, PROBLEM_METHOD_NOT_ALLOWED, NULL, NULL, line);
	} else {
		nearest = route_nearest(path.data, path.len);
		snprintf(detail, sizeof(detail),
			 "Did you mean %s? GET / lists the paths there are.",
			 nearest ? nearest : "/");
		conn_problem(c, PROBLEM_NOT_FOUND, NULL, detail, NULL);
	}
	return false;
}

/* The path and query of a target in origin form, or in absolute form if that names the same server as Host (RFC 9112 3.2);
 * false when the answer has been sent. What has no path is looked for whole, and not found. */
static bool take_target(struct conn *c, const struct http_head *h, struct http_target *t)
{
	struct http_authority host;
	enum http_refusal why;
	const char *detail = NULL;
	if (http_target_parse(h->target, h->method_id, t, &why) < 0)
		detail = http_refusal_message(why);
	else if (t->form != HTTP_TARGET_ORIGIN && t->form != HTTP_TARGET_ABSOLUTE)
		t->path = h->target;
	else if (t->form == HTTP_TARGET_ABSOLUTE &&
		 (!span_is_nocase(t->scheme, "http") || http_authority_parse(h->host, &host) < 0 ||
		  !span_equal_nocase(host.host, t->authority.host) ||
		  (host.has_port ? host.port : 80) !=
			  (t->authority.has_port ? t->authority.port : 80)))
		detail = "The request target names another server than Host; this one is no proxy.";
	else if (!t->path.len)
		t->path = SPAN("/");
	if (detail)
		conn_problem(c, PROBLEM_BAD_REQUEST, detail, NULL, NULL);
	return !detail;
}

static void take(struct conn *c, struct http_head *h)
{
	struct route route = { 0 };
	struct http_target t = { 0 };
	struct span token = { 0 };
	copy_span(h->host, c->host, sizeof(c->host));
	if (!take_target(c, h, &t) || !find_route(c, h, t.path, &route) ||
	    (!c->op->open && (!bearer(c, h, &token) || !keeps_token_apart(c, h, token))) ||
	    !keep_arguments(c, &route, t.query) || !keep_headers(c, h) || !body_is_welcome(c, h))
		return;
	if (!c->op->open)
		authenticate(c, token);
	else if (c->health_only || front_take_unauthenticated(c->front))
		answer_document(c);
	else
		conn_problem(c, PROBLEM_TOO_MANY_REQUESTS, NULL, NULL, NULL);
}

void route_request(struct conn *c)
{
	/* The head's spans point into c->in: everything that outlives this call is copied, then the head's bytes go. */
	c->state = CONN_KEEPER;
	take(c, &c->front->head);
	drop_head(c);
}
