/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Formats and writes decisions. A line is at most PIPE_BUF bytes, which a pipe takes whole or not at all; the descriptors do
 * not block. What is cut ends in "...".
 */
#include "proxy/decisions.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/limit.h"
#include "http/target.h"

#include <assert.h>
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

/* Bytes, as they are written. */
#define PROGRAM_SHOWN 512
#define PATH_SHOWN    1024
#define HOST_SHOWN    300
#define METHOD_SHOWN  64
#define POLICY_SHOWN  128
#define REASON_SHOWN  80 /* as OpenShell cuts it; JSON has more */
#define DETAIL_SHOWN  300

#define LAST_LINE_BYTES 512 /* room for the line that says why there are no more */

struct sink {
	int fd;
	bool json, full, torn; /* torn: the last line was written in part */
	uint64_t written;
	unsigned long missing;
};
static struct sink sinks[] = { { .fd = -1 }, { .fd = -1, .json = true } };

static const char *const engines[] = { "opa", "l7", "l7-jsonrpc", "l7-mcp", "ssrf", "credential" };
static_assert(sizeof(engines) / sizeof(engines[0]) == ENGINE_COUNT, "a name for each");

void decisions_init(int ocsf, int json)
{
	sinks[0] = (struct sink){ .fd = ocsf };
	sinks[1] = (struct sink){ .fd = json, .json = true };
}

bool decisions_wanted(void)
{
	return sinks[0].fd >= 0 || sinks[1].fd >= 0;
}

/* ---- text ---- */

/* Characters that our own marks are made of, and the one that begins an escape. */
static const char word[] = " ()[]\\", words[] = "[]\\", anything[] = "\\";

static void put(struct buf *b, struct span s, size_t most, const char *marks)
{
	buf_append_visible(b, s.data, s.len, most, marks);
}

static void put_host(struct buf *b, const struct policy_request *r)
{
	struct buf lower = BUF_INIT(HOST_SHOWN);
	buf_append_lower(&lower, r->host.data, r->host.len);
	bool v6 = lower.data && strchr(lower.data, ':');
	buf_append_str(b, v6 ? "[" : "");
	put(b, (struct span){ lower.data, lower.len }, HOST_SHOWN, word);
	buf_append_str(b, v6 ? "]" : "");
	buf_done(&lower);
}

/* The canonical path; as it was written when there is none. */
static struct span path_of(const struct policy_request *r)
{
	return r->path.len ? r->path : r->raw_path;
}

static void put_url(struct buf *b, const struct policy_request *r)
{
	buf_append_str(b, "http://");
	put_host(b, r);
	if (r->port != HTTP_PORT)
		buf_printf(b, ":%u", r->port);
	put(b, path_of(r), PATH_SHOWN, word);
}

static void put_ocsf(struct buf *b, const struct decision_line *l)
{
	const struct policy_request *r = l->r;
	bool connect = r->via == POLICY_VIA_CONNECT;
	buf_append_str(b, connect ? "NET:OPEN" : "HTTP:");
	if (!connect)
		put(b, r->method, METHOD_SHOWN, word);
	buf_append_str(b, l->allowed ? " [INFO] ALLOWED " : " [MED] DENIED ");
	if (r->binary) {
		put(b, span_of(r->binary), PROGRAM_SHOWN, word);
		buf_printf(b, "(%d) -> ", r->pid);
	}
	if (connect) {
		put_host(b, r);
		buf_printf(b, ":%u", r->port);
	} else {
		put(b, r->method, METHOD_SHOWN, word);
		buf_append_str(b, " ");
		put_url(b, r);
	}
	buf_append_str(b, " [policy:");
	put(b, span_of(l->policy ? l->policy : "-"), POLICY_SHOWN, word);
	buf_printf(b, " engine:%s]", engines[l->engine]);
	if (l->allowed && !l->audited)
		return;
	buf_append_str(b, l->allowed ? " [audit:" : " [reason:");
	put(b, span_of(l->reason), REASON_SHOWN, words);
	buf_append_str(b, "]");
}

/* ---- JSON (OCSF 1.7: network activity, HTTP activity) ---- */

static json_t *base_event(unsigned class, const char *class_name, unsigned activity,
			  const char *activity_name, bool denied)
{
	return json_pack(
		"{s:i, s:s, s:i, s:s, s:i, s:s, s:i, s:i, s:s, s:I, s:{s:s, s:{s:s, s:s}}}",
		"class_uid", class, "class_name", class_name, "category_uid", class / 1000,
		"category_name", class ? "Network Activity" : "Uncategorized", "activity_id",
		activity, "activity_name", activity_name, "type_uid", class * 100 + activity,
		"severity_id", denied ? 3 : 1, "severity", denied ? "Medium" : "Informational",
		"time", (json_int_t)clock_wall_ms(), "metadata", "version", "1.7.0", "product",
		"name", "postern", "version", POSTERN_VERSION);
}

static unsigned activity_of(struct span method, const char **ret_name)
{
	static const struct {
		const char *method, *name;
		unsigned id;
	} all[] = { { "CONNECT", "Connect", 1 }, { "DELETE", "Delete", 2 },
		    { "GET", "Get", 3 },	 { "HEAD", "Head", 4 },
		    { "OPTIONS", "Options", 5 }, { "POST", "Post", 6 },
		    { "PUT", "Put", 7 },	 { "TRACE", "Trace", 8 },
		    { "PATCH", "Patch", 9 } };
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (!span_is_nocase(method, all[i].method))
			continue;
		*ret_name = all[i].name;
		return all[i].id;
	}
	*ret_name = "Other";
	return 99;
}

/* Written as in the other form, so that it is text whatever it was. */
static void set_text(json_t *in, const char *key, struct span s, size_t most)
{
	struct buf b = BUF_INIT(most + 8);
	put(&b, s, most, anything);
	json_object_set_new(in, key, json_string(b.data ? b.data : ""));
	buf_done(&b);
}

static void set_host(json_t *in, const char *key, const struct policy_request *r)
{
	struct buf b = BUF_INIT(HOST_SHOWN + 8);
	put_host(&b, r);
	json_object_set_new(in, key, json_string(b.data ? b.data : ""));
	buf_done(&b);
}

static json_t *http_request(const struct policy_request *r)
{
	json_t *url = json_pack("{s:s, s:i}", "scheme", "http", "port", r->port);
	json_t *request = json_object();
	set_host(url, "hostname", r);
	set_text(url, "path", path_of(r), PATH_SHOWN);
	set_text(request, "http_method", r->method, METHOD_SHOWN);
	json_object_set_new(request, "url", url);
	return request;
}

static json_t *json_event(const struct decision_line *l)
{
	const struct policy_request *r = l->r;
	const char *activity = "Open";
	bool connect = r->via == POLICY_VIA_CONNECT;
	unsigned id = connect ? 1 : activity_of(r->method, &activity);
	json_t *event =
		base_event(connect ? 4001 : 4002, connect ? "Network Activity" : "HTTP Activity",
			   id, activity, !l->allowed);
	json_t *to = json_pack("{s:i}", "port", r->port), *rule = json_object();
	set_host(to, "domain", r);
	json_object_set_new(event, "dst_endpoint", to);
	if (!connect)
		json_object_set_new(event, "http_request", http_request(r));
	if (r->binary) {
		json_t *process = json_pack("{s:i}", "pid", r->pid);
		set_text(process, "name", span_of(r->binary), PROGRAM_SHOWN);
		json_object_set_new(event, "actor", json_pack("{s:o}", "process", process));
	}
	set_text(rule, "name", span_of(l->policy ? l->policy : "-"), POLICY_SHOWN);
	json_object_set_new(rule, "type", json_string(engines[l->engine]));
	json_object_set_new(event, "firewall_rule", rule);
	json_object_set_new(event, "action_id", json_integer(l->allowed ? 1 : 2));
	json_object_set_new(event, "action", json_string(l->allowed ? "Allowed" : "Denied"));
	json_object_set_new(event, "disposition_id", json_integer(l->allowed ? 1 : 2));
	json_object_set_new(event, "disposition", json_string(l->allowed ? "Allowed" : "Blocked"));
	if (!l->allowed || l->audited)
		set_text(event, "status_detail", span_of(l->reason), DETAIL_SHOWN);
	if (l->audited)
		json_object_set_new(event, "unmapped", json_pack("{s:b}", "audited", 1));
	return event;
}

/* ---- lines ---- */

static void begin_line(struct buf *b)
{
	char when[CLOCK_TEXT_SIZE];
	buf_clear(b);
	buf_printf(b, "%s OCSF ", clock_text(clock_wall_ms(), when));
}

/* Takes the event. */
static void put_json(struct buf *b, json_t *event)
{
	char *to;
	size_t n = event ? json_dumpb(event, NULL, 0, JSON_COMPACT) : 0;
	buf_clear(b);
	if (n && (to = buf_reserve(b, n))) {
		json_dumpb(event, to, n, JSON_COMPACT);
		buf_wrote(b, n);
	}
	json_decref(event);
}

/* Whether the whole of it has been written. */
static bool write_line(struct sink *s, const struct buf *line)
{
	static char bytes[PIPE_BUF];
	size_t n = 0;
	if (s->torn)
		bytes[n++] = '\n';
	if (!line->len || line->len > sizeof(bytes) - 2)
		return false;
	memcpy(bytes + n, line->data, line->len);
	n += line->len;
	bytes[n++] = '\n';
	ssize_t written;
	do
		written = write(s->fd, bytes, n);
	while (written < 0 && errno == EINTR);
	if (written <= 0)
		return false;
	s->written += (size_t)written;
	s->torn = (size_t)written < n;
	return !s->torn;
}

static bool write_remark(struct sink *s, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static bool write_remark(struct sink *s, const char *format, ...)
{
	struct buf b = BUF_INIT(PIPE_BUF);
	char text[256];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (s->json) {
		json_t *event = base_event(0, "Base Event", 99, "Other", true);
		json_object_set_new(event, "message", json_string(text));
		put_json(&b, event);
	} else {
		begin_line(&b);
		buf_printf(&b, "EVENT [MED] %s", text);
	}
	bool done = write_line(s, &b);
	buf_done(&b);
	return done;
}

static bool say_missing(struct sink *s)
{
	if (s->missing && write_remark(s,
				       "%lu decisions are missing here: the log could not be "
				       "written (is its reader too slow, the disk full?)",
				       s->missing))
		s->missing = 0;
	return !s->missing;
}

static void write_one(struct sink *s, const struct decision_line *l)
{
	static struct buf line = BUF_INIT(PIPE_BUF);
	if (s->fd < 0 || s->full)
		return;
	if (s->json) {
		put_json(&line, json_event(l));
	} else {
		begin_line(&line);
		put_ocsf(&line, l);
	}
	if (s->written + line.len + LAST_LINE_BYTES > LIMIT_DECISION_LOG_BYTES) {
		s->full = true;
		(void)say_missing(s);
		(void)write_remark(s, "all later decisions are missing: this log has %u bytes",
				   LIMIT_DECISION_LOG_BYTES);
	} else if (!say_missing(s) || !write_line(s, &line)) {
		s->missing++;
	}
}

void decisions_write(const struct decision_line *line)
{
	for (size_t i = 0; i < sizeof(sinks) / sizeof(sinks[0]); i++)
		write_one(&sinks[i], line);
}

void decisions_end(void)
{
	for (size_t i = 0; i < sizeof(sinks) / sizeof(sinks[0]); i++)
		if (sinks[i].fd >= 0 && !sinks[i].full)
			(void)say_missing(&sinks[i]);
}
