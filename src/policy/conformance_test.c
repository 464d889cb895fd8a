/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Holds the matcher, alone, against what a real OpenShell was recorded to decide:
 * conformance_test tests/conformance. Every difference, and everything that the matcher cannot
 * judge, is listed in that folder's matcher.list with its reason; an unlisted difference fails, and
 * so does a listed one that agrees. The loader and the whole proxy are tests/conformance/run's.
 */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/limit.h"
#include "http/body.h"
#include "http/target.h"
#include "policy/denial.h"
#include "policy/rpc.h"

#include <assert.h>
#include <jansson.h>

#define LIST_MAX 512
#define FILE_MAX (4u << 20)

/* A line of matcher.list: KIND NAME [NUMBER] REASON. */
struct entry {
	char kind[16], name[64];
	unsigned line; /* omit, load */
	bool used;
};

struct run {
	const char *folder;
	struct entry entries[LIST_MAX];
	size_t n_entries;
	unsigned agree, differ, listed, out_of_scope, wrong;
};

/* What ours says of a case. */
struct answer {
	const char *outcome; /* "allow", "deny", "reject" */
	char path[HTTP_PATH_CANONICAL_SIZE + 8192];
	char body[DENIAL_SIZE];
	char header_policy[128];
};

static void complain(struct run *x, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void complain(struct run *x, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	x->wrong++;
}

static struct entry *find(struct run *x, const char *kind, const char *name)
{
	for (size_t i = 0; i < x->n_entries; i++)
		if (!strcmp(x->entries[i].kind, kind) && !strcmp(x->entries[i].name, name)) {
			x->entries[i].used = true;
			return &x->entries[i];
		}
	return NULL;
}

static char *read_all(struct run *x, const char *name, const char *suffix)
{
	char path[512], *data = NULL;
	size_t n = 0;
	snprintf(path, sizeof(path), "%s/%s%s", x->folder, name, suffix);
	if (file_read(path, FILE_MAX, &data, &n) < 0) {
		fprintf(stderr, "cannot read %s\n", path);
		exit(1);
	}
	return data;
}

static void read_list(struct run *x)
{
	_cleanup_free_ char *data = read_all(x, "matcher.list", "");
	for (char *line = data, *next; line && *line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		if (*line == '#' || !*line)
			continue;
		struct entry *e = &x->entries[x->n_entries++];
		int at = 0;
		assert(x->n_entries < LIST_MAX);
		if (sscanf(line, "%15s %63s %n", e->kind, e->name, &at) < 2 || !line[at])
			complain(x, "matcher.list: no reason: %s", line);
		if (!strcmp(e->kind, "omit"))
			e->line = (unsigned)strtoul(line + at, NULL, 10);
	}
}

/* The folder that a policy calls @DIR@. */
static void with_dir(const char *from, struct buf *to)
{
	for (const char *at; (at = strstr(from, "@DIR@")); from = at + 5) {
		buf_append(to, from, (size_t)(at - from));
		buf_append_str(to, "/run");
	}
	buf_append_str(to, from);
}

static void blank_line(char *text, unsigned line)
{
	for (; line > 1; line--)
		text = strchr(text, '\n') + 1;
	memset(text, ' ', strcspn(text, "\n"));
}

/* Load, leaving out the listed lines, each of which must be what stops the loader. */
static struct policy *load(struct run *x, const char *folder, const char *name)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	_cleanup_free_ char *data = read_all(x, path, ".yaml");
	_cleanup_buf_ struct buf text = BUF_INIT(FILE_MAX);
	with_dir(data, &text);
	struct policy *p = NULL;
	for (;;) {
		struct error e = { 0 };
		char where[700];
		if (policy_load(text.data, text.len, name, &p, &e) == 0)
			return p;
		struct entry *omit = NULL;
		for (size_t i = 0; i < x->n_entries; i++)
			if (!strcmp(x->entries[i].kind, "omit") && x->entries[i].line == e.line &&
			    !strcmp(x->entries[i].name, name) && !x->entries[i].used)
				omit = &x->entries[i];
		if (omit) {
			omit->used = true;
			blank_line(text.data, omit->line);
			continue;
		}
		if (!find(x, "refused", name))
			complain(x, "%s", error_format(&e, where, sizeof(where)));
		return NULL;
	}
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));
	return s ? s : "";
}

/* Who asked: how it was launched says the ancestors. */
static size_t ancestors_of(const json_t *row, const char *ret[4])
{
	const char *cmd = text_of(json_object_get(row, "launch"), "cmd");
	size_t n = 0;
	if (strstr(cmd, "python-copy -c"))
		ret[n++] = "/run/bin/python-copy";
	if (strstr(cmd, "agent.sh"))
		ret[n++] = "/usr/bin/dash";
	if (!strstr(cmd, "setsid"))
		ret[n++] = "/usr/bin/dash";
	return n;
}

static void answer_denial(struct answer *a, const struct policy_request *r,
			  const struct policy_decision *d)
{
	size_t n = 0;
	a->outcome = denial_status(d) == 400 ? "reject" : "deny";
	assert(denial_write(r, d, a->body, sizeof(a->body), &n) == 0);
	assert(n == strlen(a->body));
	if (denial_names_policy(r, d))
		snprintf(a->header_policy, sizeof(a->header_policy), "%s", d->policy);
}

/* Recordings are Latin-1: each character is a byte. */
static const char *bytes_of(const json_t *row, const char *key, char *out, size_t size)
{
	const char *s = text_of(row, key);
	size_t n = 0;
	while (*s && n + 1 < size) {
		unsigned char c = (unsigned char)*s++;
		if (c >= 0xc0)
			c = (unsigned char)(c << 6 | (*s++ & 0x3f));
		out[n++] = (char)c;
	}
	out[n] = '\0';
	return out;
}

/* The request's head, for what its fields say of the body. */
static void head_of(const json_t *row, struct http_head *ret)
{
	static const struct http_rules lenient = { .lenient = HTTP_LENIENT_HOST };
	static struct buf text = BUF_INIT(FILE_MAX);
	struct http_scan scan = { 0 };
	size_t i;
	json_t *field;
	buf_clear(&text);
	buf_printf(&text, "%s / HTTP/1.1\r\n", text_of(row, "method"));
	json_array_foreach(json_object_get(row, "headers"), i, field)
	{
		buf_printf(&text, "%s: %s\r\n", json_string_value(json_array_get(field, 0)),
			   json_string_value(json_array_get(field, 1)));
	}
	buf_append_str(&text, "\r\n");
	assert(http_request_parse(&scan, text.data, text.len, &lenient, ret) == 0);
}

/* The body without its framing. */
static size_t payload_of(const json_t *row, const struct http_head *head, char *out, size_t size)
{
	static char raw[LIMIT_RPC_BODY_BYTES];
	struct http_body body;
	struct http_piece piece;
	size_t n = strlen(bytes_of(row, "body", raw, sizeof(raw))), used, len = 0;
	http_body_init(&body, head);
	for (const char *at = raw; !body.done && n; at += used, n -= used) {
		assert(http_body_decode(&body, at, n, &used, &piece) == 0);
		assert(len + piece.payload.len <= size);
		if (piece.payload.len)
			memcpy(out + len, piece.payload.data, piece.payload.len);
		len += piece.payload.len;
	}
	assert(body.done);
	return len;
}

/* Read the body and decide again; false when it is too long for that, and *a says so. */
static bool decide_message(const struct policy *p, struct policy_request *r, const json_t *row,
			   struct rpc *rpc, struct policy_decision *d, struct answer *a)
{
	static struct http_head head;
	static char body[LIMIT_RPC_BODY_BYTES];
	static const struct policy_message stream = { .stream = true };
	struct policy_inspection how = d->inspection;
	head_of(row, &head);
	r->message = &stream;
	if (!rpc_is_stream(&head)) {
		size_t n = payload_of(row, &head, body, sizeof(body));
		if (n > how.body_bytes) {
			a->outcome = "reject";
			snprintf(a->body, sizeof(a->body), "invalid_jsonrpc_request");
			return false;
		}
		rpc_parse(body, n, &how, rpc);
		if (!rpc->message.doubtful)
			rpc->message.doubtful = rpc_doubt(&head);
		r->message = &rpc->message;
	}
	policy_decide(p, r, d);
	return true;
}

static void answer_target(const struct policy *p, struct policy_request *r, const json_t *row,
			  const struct http_target *t, struct answer *a)
{
	_cleanup_(rpc_done) struct rpc rpc = { 0 };
	static char canonical[HTTP_PATH_CANONICAL_SIZE];
	struct policy_decision d;
	enum http_refusal why;
	size_t n = 0;
	r->raw_path = t->path.len ? t->path : SPAN("/");
	r->query = t->query;
	bool good = http_path_canonical(t->path, HTTP_PATH_ALLOW_ENCODED_SLASH, canonical,
					sizeof(canonical), &n, &why) == 0;
	r->path = good ? (struct span){ canonical, n } : SPAN("/");
	policy_decide(p, r, &d);
	if (good && d.verdict == POLICY_NEEDS_MESSAGE && !decide_message(p, r, row, &rpc, &d, a))
		return;
	/* Whether the endpoint is allowed at all comes before the form of the target. */
	bool reachable = d.verdict != POLICY_DENIED_ENDPOINT && d.verdict != POLICY_DENIED_BINARY &&
			 d.verdict != POLICY_DENIED_NO_NETWORK;
	if (!good && reachable) {
		a->outcome = "reject";
		snprintf(a->body, sizeof(a->body), "%s", denial_bad_target);
	} else if (!d.allowed) {
		answer_denial(a, r, &d);
	} else {
		a->outcome = "allow";
		snprintf(a->path, sizeof(a->path), "%.*s%s%.*s", (int)n, canonical,
			 t->query.len ? "?" : "", SPAN_FORMAT(t->query));
	}
}

static void answer_forward(const struct policy *p, struct policy_request *r, const json_t *row,
			   struct answer *a)
{
	struct http_target t;
	enum http_refusal why;
	char target[9000];
	a->outcome = "reject";
	snprintf(a->body, sizeof(a->body), "%s", denial_bad_target);
	if (http_target_parse(span_of(bytes_of(row, "target", target, sizeof(target))),
			      HTTP_METHOD_GET, &t, &why) < 0 ||
	    t.form != HTTP_TARGET_ABSOLUTE || !span_is_nocase(t.scheme, "http"))
		return;
	r->via = POLICY_VIA_FORWARD;
	r->host = t.authority.host;
	r->port = t.authority.has_port ? t.authority.port : 80;
	answer_target(p, r, row, &t, a);
}

static void answer_connect(const struct policy *p, struct policy_request *r, const json_t *row,
			   struct answer *a)
{
	struct http_authority authority;
	struct http_target t;
	enum http_refusal why;
	struct policy_decision d;
	struct span method = r->method;
	char target[9000];
	a->outcome = "reject";
	if (http_authority_parse(span_of(text_of(row, "connect")), &authority) < 0 ||
	    !authority.has_port)
		return;
	r->via = POLICY_VIA_CONNECT;
	r->method = SPAN("CONNECT");
	r->host = authority.host;
	r->port = authority.port;
	policy_decide(p, r, &d);
	if (!d.allowed) {
		answer_denial(a, r, &d);
		return;
	}
	if (d.tls_skip) { /* it passes as it is */
		a->outcome = "allow";
		bytes_of(row, "target", a->path, sizeof(a->path));
		return;
	}
	if (http_target_parse(span_of(bytes_of(row, "target", target, sizeof(target))),
			      HTTP_METHOD_GET, &t, &why) < 0)
		return;
	r->via = POLICY_VIA_INSIDE;
	r->method = method;
	answer_target(p, r, row, &t, a);
}

static void decide(const struct policy *p, const json_t *row, struct answer *a)
{
	const char *ancestors[4];
	_cleanup_buf_ struct buf binary = BUF_INIT(4096);
	with_dir(text_of(row, "binary"), &binary);
	*a = (struct answer){ 0 };
	struct policy_request r = {
		.method = span_of(text_of(row, "method")),
		.binary = binary.data,
		.ancestors = ancestors,
		.n_ancestors = ancestors_of(row, ancestors),
	};
	if (!strcmp(text_of(row, "via"), "forward"))
		answer_forward(p, &r, row, a);
	else
		answer_connect(p, &r, row, a);
}

/* Same up to what our witness does not tell. */
static bool reason_agrees(const char *wanted, const char *ours)
{
	const char *cmdline = strstr(wanted, "cmdline:");
	size_t n = cmdline ? (size_t)(cmdline - wanted) : strlen(wanted) + 1;
	return !strncmp(wanted, ours, n);
}

static bool body_agrees(const json_t *expect, const struct answer *a)
{
	static const char *const keys[] = {
		"detail", "error", "policy", "rule", "layer", "protocol"
	};
	json_t *body = json_loads(a->body, 0, NULL);
	bool same = body != NULL;
	const char *whole = text_of(expect, "extra_bytes");
	same = same && !strncmp(whole, a->body, strlen(whole));
	for (size_t i = 0; same && !*whole && i < ELEMENTS(keys); i++)
		same = !strcmp(text_of(expect, keys[i]), text_of(body, keys[i]));
	same = same && reason_agrees(text_of(expect, "reason"), text_of(body, "reason"));
	same = same && (*whole || !strcmp(text_of(expect, "x_openshell_policy"), a->header_policy));
	json_decref(body);
	return same;
}

static bool agrees(const json_t *row, const struct answer *a)
{
	const json_t *expect = json_object_get(row, "expect");
	const char *outcome = text_of(expect, "outcome");
	bool addresses = !strcmp(text_of(expect, "error"), "ssrf_denied");
	/* Which addresses may be reached, and whether they answer, is the dialer's affair. */
	if (addresses || !strcmp(outcome, "unreachable") || !strcmp(outcome, "pending"))
		outcome = "allow";
	if (strcmp(outcome, a->outcome) != 0)
		return false;
	if (!strcmp(outcome, "allow") && !addresses) {
		const char *path = text_of(expect, "upstream_path");
		return !*path || !strcmp(path, a->path);
	}
	if (!strcmp(outcome, "deny"))
		return body_agrees(expect, a);
	const char *error = text_of(expect, "error");
	return addresses || !*error || strstr(a->body, error);
}

/* What only the whole proxy can be held against. */
static const char *form_of(const json_t *row)
{
	static const char *const forms[] = { "quirk", "raw", "parts", "connect_raw" };
	static const char *const errors[] = { "unsupported_l7_protocol",
					      "request_authority_mismatch" };
	const char *error = text_of(json_object_get(row, "expect"), "error");
	const char *via = text_of(row, "via");
	if (!strcmp(via, "direct"))
		return via;
	if (!strcmp(via, "connect") && strstr(text_of(row, "target"), "://"))
		return "absolute";
	for (size_t i = 0; i < ELEMENTS(forms); i++)
		if (json_object_get(row, forms[i]))
			return forms[i];
	for (size_t i = 0; i < ELEMENTS(errors); i++)
		if (!strcmp(error, errors[i]))
			return errors[i];
	return NULL;
}

static void check_case(struct run *x, const struct policy *p, const json_t *row)
{
	static struct answer a;
	const char *id = text_of(row, "id"), *form = form_of(row);
	if (form && !find(x, "form", form))
		complain(x, "%s: the form %s is not listed", id, form);
	if (form || !p || find(x, "policy", text_of(row, "policy"))) {
		x->out_of_scope++;
		return;
	}
	decide(p, row, &a);
	if (agrees(row, &a)) {
		x->agree++;
		if (find(x, "case", id))
			complain(x, "%s agrees now; take it off the list", id);
		return;
	}
	if (find(x, "case", id)) {
		x->listed++;
		return;
	}
	x->differ++;
	char *expect = json_dumps(json_object_get(row, "expect"), JSON_COMPACT);
	complain(x, "%s %s %s %s %s: ours %s %s %s\n  recorded %.600s", id, text_of(row, "via"),
		 text_of(row, "connect"), text_of(row, "method"), text_of(row, "target"), a.outcome,
		 a.path, a.body, expect);
	free(expect);
}

struct loaded {
	char name[64];
	struct policy *p;
};

/* A line of cases.jsonl; those of one policy follow each other. */
static void on_line(struct run *x, const char *line, struct loaded *last)
{
	json_t *row = json_loads(line, JSON_ALLOW_NUL, NULL);
	if (!row) {
		complain(x, "cases.jsonl: not JSON: %.80s", line);
		return;
	}
	if (strcmp(last->name, text_of(row, "policy")) != 0) {
		policy_free(last->p);
		snprintf(last->name, sizeof(last->name), "%s", text_of(row, "policy"));
		last->p = load(x, "policies", last->name);
	}
	check_case(x, last->p, row);
	json_decref(row);
}

static void replay(struct run *x)
{
	struct loaded last = { 0 };
	_cleanup_free_ char *data = read_all(x, "cases.jsonl", "");
	for (char *line = data, *next; line && *line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		on_line(x, line, &last);
	}
	policy_free(last.p);
}

int main(int argc, char **argv)
{
	static struct run x;
	if (argc != 2) {
		fprintf(stderr, "usage: conformance_test FOLDER\n");
		return 2;
	}
	x.folder = argv[1];
	read_list(&x);
	replay(&x);
	for (size_t i = 0; i < x.n_entries; i++)
		if (!x.entries[i].used)
			complain(&x, "matcher.list: %s %s is about nothing", x.entries[i].kind,
				 x.entries[i].name);
	printf("%u agree, %u differ on purpose, %u differ, %u are not the matcher's\n", x.agree,
	       x.listed, x.differ, x.out_of_scope);
	return x.wrong ? 1 : 0;
}
