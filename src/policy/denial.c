/* SPDX-License-Identifier: Apache-2.0 */
/* Writes JSON with sorted keys and no spaces, as serde_json does for OpenShell. */
#include "policy/denial.h"
#include "base/utf8.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

/* What a client or its files can make long is cut here; a body that is still too long is replaced by
 * a short one. */
#define METHOD_SHOWN 256
#define BINARY_SHOWN 1024
#define LIST_SHOWN   2048

const char denial_authority_mismatch[] = "{\"error\":\"request_authority_mismatch\",\"message\":"
					 "\"HTTP request authority does not match "
					 "the authorized tunnel endpoint\"}";
const char denial_unsupported_protocol[] =
	"{\"detail\":\"Unsupported tunnel protocol for L7-inspected endpoint\",\"error\":"
	"\"unsupported_l7_protocol\"}";
const char denial_bad_target[] =
	"{\"detail\":\"request-target must be canonical\",\"error\":\"invalid_request_target\"}";

static const char symlink_hint[] =
	"SYMLINK HINT: the binary path is the kernel-resolved target from /proc/<pid>/exe, not the "
	"symlink. If your policy specifies a symlink (e.g., /usr/bin/python3) but the actual "
	"binary is "
	"/usr/bin/python3.11, either: (1) use the canonical path in your policy (run 'readlink -f "
	"/usr/bin/python3' inside the sandbox), or (2) ensure symlink resolution is working (check "
	"sandbox logs for 'Cannot access container filesystem')";

struct out {
	char *at;
	size_t size, len;
	bool full;
};

static void put(struct out *o, const char *bytes, size_t n)
{
	if (o->full || n >= o->size - o->len) {
		o->full = true;
		return;
	}
	memcpy(o->at + o->len, bytes, n);
	o->len += n;
}

/* As it is: JSON of our own. */
static void json(struct out *o, const char *s)
{
	put(o, s, strlen(s));
}

static void escape(struct out *o, unsigned char c)
{
	static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
	char text[8];
	const char *short_form = c ? strchr(from, c) : NULL;
	if (short_form)
		snprintf(text, sizeof(text), "\\%c", to[short_form - from]);
	else
		snprintf(text, sizeof(text), "\\u%04x", c);
	json(o, text);
}

/* The inside of a JSON string; bytes that are no text become U+FFFD. */
static void text_span(struct out *o, struct span s)
{
	for (size_t i = 0, n; i < s.len; i += n) {
		unsigned char c = (unsigned char)s.data[i];
		n = utf8_length(s.data + i, s.len - i);
		if (n == 0) {
			json(o, "\xef\xbf\xbd");
			n = 1;
		} else if (n == 1 && (c < 0x20 || c == '"' || c == '\\')) {
			escape(o, c);
		} else {
			put(o, s.data + i, n);
		}
	}
}

static void text(struct out *o, const char *s)
{
	text_span(o, span_of(s));
}

static void text_cut(struct out *o, struct span s, size_t most)
{
	text_span(o, (struct span){ s.data, s.len < most ? s.len : most });
}

static void number(struct out *o, unsigned n)
{
	char digits[12];
	snprintf(digits, sizeof(digits), "%u", n);
	json(o, digits);
}

static void method(struct out *o, const struct policy_request *r)
{
	text_cut(o, r->method, METHOD_SHOWN);
}

static void host(struct out *o, const struct policy_request *r)
{
	char lower[256];
	size_t n = r->host.len < sizeof(lower) ? r->host.len : sizeof(lower);
	for (size_t i = 0; i < n; i++)
		lower[i] = r->host.data[i] >= 'A' && r->host.data[i] <= 'Z'
				   ? (char)(r->host.data[i] | 0x20)
				   : r->host.data[i];
	text_span(o, (struct span){ lower, n });
}

static void host_port(struct out *o, const struct policy_request *r)
{
	host(o, r);
	json(o, ":");
	number(o, r->port);
}

static void binary(struct out *o, const struct policy_request *r)
{
	if (r->binary)
		text_cut(o, span_of(r->binary), BINARY_SHOWN);
}

/* The canonical path exists once the rules were looked at. */
static struct span shown_path(const struct policy_request *r, const struct policy_decision *d)
{
	switch (d->verdict) {
	case POLICY_DENIED_NO_NETWORK:
	case POLICY_DENIED_ENDPOINT:
	case POLICY_DENIED_BINARY:
	case POLICY_DENIED_CHANGED:
		return r->raw_path;
	default:
		return r->path;
	}
}

static void message_reason(struct out *o, const struct policy_message *m)
{
	json(o, "JSON-RPC request rejected: ");
	if (m && (m->refused || m->doubtful))
		text(o, m->refused ? m->refused : m->doubtful);
}

static void reason(struct out *o, const struct policy_request *r, const struct policy_decision *d)
{
	if (d->verdict == POLICY_DENIED_MESSAGE) {
		message_reason(o, r->message);
		return;
	}
	if (d->verdict == POLICY_DENIED_RESPONSE) {
		json(o, "JSON-RPC response frames are not permitted from client to server");
		return;
	}
	method(o, r);
	json(o, " ");
	text_span(o, r->path);
	json(o, d->verdict == POLICY_DENIED_BY_RULE ? " blocked by deny rule"
						    : " not permitted by policy");
}

/* What the rules, or a message that no rule is asked about, came to. */
static bool by_rules(const struct policy_decision *d)
{
	return d->verdict == POLICY_DENIED_RULE || d->verdict == POLICY_DENIED_BY_RULE ||
	       d->verdict == POLICY_DENIED_MESSAGE || d->verdict == POLICY_DENIED_RESPONSE;
}

static void write_forward(struct out *o, const struct policy_request *r,
			  const struct policy_decision *d)
{
	json(o, "{\"detail\":\"");
	method(o, r);
	json(o, " ");
	host_port(o, r);
	text_span(o, shown_path(r, d));
	if (by_rules(d)) {
		json(o, " denied by L7 policy: ");
		reason(o, r, d);
	} else if (d->verdict == POLICY_DENIED_PATH) {
		json(o, " did not match an L7 endpoint path");
	} else {
		json(o, " not permitted by policy");
	}
	json(o, "\",\"error\":\"policy_denied\"}");
}

static void list(struct out *o, const char *const *items, size_t n, const char *between)
{
	size_t shown = 0;
	for (size_t i = 0; i < n && shown < LIST_SHOWN; i++) {
		if (i)
			json(o, between);
		text_cut(o, span_of(items[i]), BINARY_SHOWN);
		shown += strlen(items[i]);
	}
}

static void write_binary_reason(struct out *o, const struct policy_request *r,
				const struct policy_decision *d)
{
	for (size_t i = 0; i < d->n_refusing; i++) {
		json(o, i ? "; binary '" : "binary '");
		binary(o, r);
		json(o, "' not allowed in policy '");
		text_cut(o, span_of(d->refusing[i]), BINARY_SHOWN);
		json(o, "' (ancestors: [");
		list(o, r->ancestors, r->n_ancestors, " -> ");
		json(o, "], cmdline: []). "); /* a process's own word, which nobody reads here */
		json(o, symlink_hint);
	}
}

/* As OpenShell says it of the program itself, and of an ancestor. */
static void write_changed(struct out *o, const struct policy_request *r)
{
	struct span path = span_of(r->changed);
	if (r->changed == r->binary) {
		json(o, "binary integrity check failed: ");
	} else {
		json(o, "ancestor integrity check failed for ");
		text_cut(o, path, BINARY_SHOWN);
		json(o, ": ");
	}
	json(o, "Binary integrity violation: ");
	text_cut(o, path, BINARY_SHOWN);
	json(o, " executable changed");
}

static void write_connect(struct out *o, const struct policy_request *r,
			  const struct policy_decision *d)
{
	json(o, "{\"detail\":\"CONNECT ");
	host_port(o, r);
	json(o, " not permitted by policy\",\"error\":\"policy_denied\",\"reason\":\"");
	if (d->verdict == POLICY_DENIED_BINARY) {
		write_binary_reason(o, r, d);
	} else if (d->verdict == POLICY_DENIED_CHANGED) {
		write_changed(o, r);
	} else if (d->verdict == POLICY_DENIED_NO_NETWORK) {
		json(o, "network connections not allowed by policy");
	} else {
		json(o, "endpoint ");
		host_port(o, r);
		json(o, " is not allowed by any policy");
	}
	json(o, "\"}");
}

static void write_detail(struct out *o, const struct policy_request *r,
			 const struct policy_decision *d)
{
	if (d->verdict == POLICY_DENIED_PATH)
		json(o, "no L7 endpoint path matched request");
	else if (d->verdict == POLICY_DENIED_SLASH)
		json(o, "request-target contains an encoded '/' (%2F) which is not allowed on this "
			"endpoint");
	else
		reason(o, r, d);
}

static void write_inside(struct out *o, const struct policy_request *r,
			 const struct policy_decision *d)
{
	json(o, "{\"binary\":\"");
	binary(o, r);
	json(o, "\",\"detail\":\"");
	write_detail(o, r, d);
	json(o, "\",\"error\":\"policy_denied\",\"host\":\"");
	host(o, r);
	json(o, "\",\"layer\":\"l7\",\"method\":\"");
	method(o, r);
	json(o, "\",\"next_steps\":[],\"path\":\"");
	text_span(o, r->path);
	json(o, "\",\"policy\":\"");
	text_cut(o, span_of(d->policy ? d->policy : ""), BINARY_SHOWN);
	json(o, "\",\"port\":");
	number(o, r->port);
	json(o, ",\"protocol\":\"rest\",\"rule\":\"");
	method(o, r);
	json(o, " ");
	text_span(o, r->path);
	json(o, "\",\"rule_missing\":{\"binary\":\"");
	binary(o, r);
	json(o, "\",\"host\":\"");
	host(o, r);
	json(o, "\",\"layer\":\"l7\",\"method\":\"");
	method(o, r);
	json(o, "\",\"path\":\"");
	text_span(o, r->path);
	json(o, "\",\"port\":");
	number(o, r->port);
	json(o, ",\"type\":\"rest_allow\"}}");
}

static int finish(struct out *o, size_t *ret_len)
{
	if (o->full || !o->size)
		return -ENOBUFS;
	o->at[o->len] = '\0';
	*ret_len = o->len;
	return 0;
}

bool denial_names_policy(const struct policy_request *r, const struct policy_decision *d)
{
	if (r->via != POLICY_VIA_INSIDE || !d->policy)
		return false;
	return d->verdict == POLICY_DENIED_PATH || d->verdict == POLICY_DENIED_SLASH || by_rules(d);
}

int denial_write(const struct policy_request *r, const struct policy_decision *d, char *out,
		 size_t size, size_t *ret_len)
{
	struct out o = { .at = out, .size = size };
	assert(d->verdict != POLICY_ALLOWED);
	if (denial_status(d) == 400)
		json(&o, denial_bad_target);
	else if (denial_names_policy(r, d))
		write_inside(&o, r, d);
	else if (r->via == POLICY_VIA_FORWARD)
		write_forward(&o, r, d);
	else
		write_connect(&o, r, d);
	if (o.full) {
		o = (struct out){ .at = out, .size = size };
		json(&o, "{\"detail\":\"denied by policy\",\"error\":\"policy_denied\"}");
	}
	return finish(&o, ret_len);
}

unsigned denial_status(const struct policy_decision *d)
{
	return d->verdict == POLICY_BAD_SLASH || d->verdict == POLICY_BAD_QUERY ? 400 : 403;
}

int denial_write_error(const char *error, char *out, size_t size, size_t *ret_len,
		       const char *detail_format, ...)
{
	char detail[4096];
	va_list args;
	va_start(args, detail_format);
	vsnprintf(detail, sizeof(detail), detail_format, args);
	va_end(args);
	struct out o = { .at = out, .size = size };
	json(&o, "{\"detail\":\"");
	text(&o, detail);
	json(&o, "\",\"error\":\"");
	text(&o, error);
	json(&o, "\"}");
	return finish(&o, ret_len);
}
