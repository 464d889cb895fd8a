/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of denials. What is the same is told by its first line, which has everything that tells two apart: method,
 * host, port, path, program, reason.
 *
 * The smallest addition is an entry of its own for this program, host, port, method and path: rules of all entries that
 * a program may use are united, while a program that is added to another entry would get all that this allows. Only of
 * a tunnel nothing else is known than its end.
 */
#include "proxy/explain.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/limit.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define TEXT_MAX    (32 * 1024) /* bytes of one explanation */
#define CALLS_SHOWN 4

struct denial {
	char *title; /* without its end of line */
	char *text;  /* what to add, or why nothing helps: whole lines */
	unsigned long n;
};

static struct {
	const struct policy *policy; /* NULL: nobody wants to know */
	struct denial denials[LIMIT_EXPLAINED_DENIALS];
	size_t n;
	unsigned long others; /* denials of kinds that there was no room for */
	unsigned entries;     /* names given out */
} all;

void explain_init(const struct policy *policy)
{
	all.policy = policy;
}

/* ---- text ---- */

/* A double-quoted YAML scalar; a pattern that matches nothing else with glob. ASCII only: see is_nobodys(). */
static void put_quoted(struct buf *b, struct span s, bool glob)
{
	buf_append_str(b, "\"");
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.data[i];
		if (glob && strchr("*?[]{}\\", c))
			buf_append_str(b, "\\\\"); /* a backslash, as YAML writes it */
		if (c == '"' || c == '\\')
			buf_printf(b, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			buf_printf(b, "\\x%02X", c);
		else if (c < 0x80)
			buf_append(b, &c, 1);
	}
	buf_append_str(b, "\"");
}

/* For a comment: one line, whatever it is. */
static void put_shown(struct buf *b, struct span s)
{
	buf_append_visible(b, s.data, s.len, SIZE_MAX, "");
}

static void put_title(struct buf *b, const struct policy_request *r, const char *reason)
{
	bool connect = r->via == POLICY_VIA_CONNECT;
	put_shown(b, connect ? SPAN("CONNECT") : r->method);
	buf_append_str(b, connect ? " " : " http://");
	_cleanup_buf_ struct buf host = BUF_INIT(512);
	buf_append_lower(&host, r->host.data, r->host.len);
	put_shown(b, (struct span){ host.data, host.len });
	buf_printf(b, ":%u", r->port);
	if (!connect)
		put_shown(b, r->path.len ? r->path : r->raw_path);
	buf_append_str(b, " by ");
	put_shown(b, r->binary ? span_of(r->binary) : SPAN("nobody knows whom"));
	buf_append_str(b, ": ");
	put_shown(b, span_of(reason));
}

/* ---- the table ---- */

/* The denial with this title, counted; or where it is to be put; NULL when there is no room. */
static struct denial *find(const struct policy_request *r, const char *reason)
{
	_cleanup_buf_ struct buf title = BUF_INIT(TEXT_MAX);
	put_title(&title, r, reason);
	if (!title.data)
		return NULL;
	for (size_t i = 0; i < all.n; i++) {
		if (strcmp(all.denials[i].title, title.data) != 0)
			continue;
		all.denials[i].n++;
		return &all.denials[i];
	}
	if (all.n == LIMIT_EXPLAINED_DENIALS) {
		all.others++;
		return NULL;
	}
	struct denial *d = &all.denials[all.n];
	*d = (struct denial){ .title = buf_take(&title), .n = 1 };
	if (!d->title)
		return NULL;
	all.n++;
	return d;
}

static void nothing_helps(struct buf *b, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static void nothing_helps(struct buf *b, const char *format, ...)
{
	char text[512];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	buf_append_str(b, "# no rule can allow that: ");
	put_shown(b, span_of(text));
	buf_append_str(b, "\n");
}

/* ---- additions ---- */

static void put_host_port(struct buf *b, const struct policy_request *r)
{
	_cleanup_buf_ struct buf host = BUF_INIT(512);
	buf_append_lower(&host, r->host.data, r->host.len);
	buf_append_str(b, "      - host: ");
	put_quoted(b, (struct span){ host.data, host.len }, false);
	buf_printf(b, "\n        port: %u\n", r->port);
}

/* An executable whose path has a star is listed as a pattern. */
static void put_binaries(struct buf *b, const struct policy_request *r)
{
	buf_append_str(b, "    binaries:\n      - path: ");
	put_quoted(b, span_of(r->binary), strchr(r->binary, '*') != NULL);
	buf_append_str(b, "\n");
}

static void put_rule(struct buf *b, const struct policy_request *r, bool slash)
{
	buf_append_str(b, "        protocol: rest\n        enforcement: enforce\n");
	if (slash) { /* for this path alone */
		buf_append_str(b, "        path: ");
		put_quoted(b, r->path, true);
		buf_append_str(b, "\n        allow_encoded_slash: true\n");
	}
	buf_append_str(b, "        rules:\n          - allow: { method: ");
	put_quoted(b, r->method, false);
	buf_append_str(b, ", path: ");
	put_quoted(b, r->path, true);
	buf_append_str(b, " }\n");
}

static void put_entry(struct buf *b, const struct policy_request *r, bool slash)
{
	buf_printf(b, "network_policies:\n  explained-%u:\n    endpoints:\n", ++all.entries);
	put_host_port(b, r);
	if (r->via != POLICY_VIA_CONNECT)
		put_rule(b, r, slash);
	put_binaries(b, r);
}

/* Somebody else's entry has the tunnel's end. */
static void put_program(struct buf *b, const struct policy_request *r, const char *key)
{
	buf_append_str(b,
		       "# all that this entry allows, since what would be asked for is not known\n"
		       "network_policies:\n  ");
	put_quoted(b, span_of(key), false);
	buf_append_str(b, ":\n");
	put_binaries(b, r);
}

/* Nobody's programs: no rule can name them. True when it has been said. */
static bool is_nobodys(struct buf *b, const struct policy_request *r)
{
	const char *why = NULL;
	if (!r->binary)
		why = "it cannot be told who asked: the program had ended, or too many shared its "
		      "connection";
	else if (*r->binary != '/')
		why = "the program's file is gone, or nobody can tell what it is";
	else
		for (const char *c = r->binary; *c && !why; c++)
			if ((unsigned char)*c >= 0x80)
				why = "a program is listed by a path in ASCII; rename it";
	if (span_is(r->method, "*") && r->via != POLICY_VIA_CONNECT)
		why = "a rule with the method * is about all methods";
	if (why)
		nothing_helps(b, "%s", why);
	return why != NULL;
}

/* A rule by path for a body of calls would allow them all. */
static void put_calls(struct buf *b, const struct policy_request *r,
		      const struct policy_decision *d)
{
	const struct policy_message *m = r->message;
	buf_append_str(b, "# it takes a rule of `");
	put_shown(b, span_of(d->policy ? d->policy : ""));
	buf_printf(b, "` at line %u for each call in its body:", d->line);
	for (size_t i = 0; m && i < m->n_calls && i < CALLS_SHOWN; i++) {
		buf_append_str(b, i ? ", " : " ");
		put_shown(b, m->calls[i].method);
		buf_append_str(b, m->calls[i].has_tool ? " of tool " : "");
		put_shown(b, m->calls[i].tool);
	}
	buf_append_str(b, "\n");
}

/* Whether calls decide on what goes to this host and port. */
static bool takes_calls(const struct policy_request *r)
{
	for (size_t i = 0; i < policy_endpoint_count(all.policy); i++) {
		struct policy_endpoint ep;
		policy_endpoint(all.policy, i, &ep);
		for (size_t k = 0; ep.calls && k < ep.n_ports; k++)
			if (ep.ports[k] == r->port &&
			    (ep.host_wildcard || span_is_nocase(r->host, ep.host)))
				return true;
	}
	return false;
}

static void explain_verdict(struct buf *b, const struct policy_request *r,
			    const struct policy_decision *d)
{
	if (d->verdict == POLICY_DENIED_RULE && d->inspection.protocol != POLICY_PROTOCOL_REST) {
		put_calls(b, r, d);
		return;
	}
	switch (d->verdict) {
	case POLICY_DENIED_NO_NETWORK:
	case POLICY_DENIED_ENDPOINT:
	case POLICY_DENIED_PATH:
	case POLICY_DENIED_RULE:
		if (!is_nobodys(b, r))
			put_entry(b, r, false);
		break;
	case POLICY_DENIED_BINARY:
		if (is_nobodys(b, r))
			break;
		if (r->via == POLICY_VIA_CONNECT || takes_calls(r))
			put_program(b, r, d->refusing[0]);
		else
			put_entry(b, r, false);
		break;
	case POLICY_DENIED_SLASH:
	case POLICY_BAD_SLASH:
		if (is_nobodys(b, r))
			break;
		if (d->inspected)
			put_entry(b, r, true);
		else
			nothing_helps(b,
				      "an endpoint without `protocol` passes no encoded slash; "
				      "with protocol: rest, allow_encoded_slash and rules it can");
		break;
	case POLICY_DENIED_BY_RULE:
		nothing_helps(b,
			      "a deny rule wins over all others; narrow or take away the one of "
			      "`%.100s` at line %u",
			      d->policy ? d->policy : "", d->line);
		break;
	case POLICY_DENIED_CHANGED:
		nothing_helps(b, "the program has to be what it was, or the sandbox a new one");
		break;
	default:
		nothing_helps(b, "the request itself has to be another");
	}
}

void explain_decision(const struct policy_request *r, const struct policy_decision *d,
		      const char *reason)
{
	struct denial *denial = all.policy ? find(r, reason) : NULL;
	if (!denial || denial->text)
		return;
	_cleanup_buf_ struct buf b = BUF_INIT(TEXT_MAX);
	explain_verdict(&b, r, d);
	denial->text = buf_take(&b);
}

void explain_other(const struct policy_request *r, const char *reason)
{
	struct denial *denial = all.policy ? find(r, reason) : NULL;
	if (!denial || denial->text)
		return;
	_cleanup_buf_ struct buf b = BUF_INIT(TEXT_MAX);
	nothing_helps(&b, "the request itself has to be another");
	denial->text = buf_take(&b);
}

/* ---- what dialer refused ---- */

static void put_address(struct buf *b, const struct policy_request *r, bool by_wildcards,
			const char *address)
{
	struct policy_listing entry;
	if (!policy_listing(all.policy, r->host, r->port, by_wildcards, &entry))
		return;
	buf_printf(b, "# to the endpoint at line %u\nnetwork_policies:\n  ", entry.line);
	put_quoted(b, span_of(entry.policy), false);
	buf_append_str(b, ":\n    endpoints:\n");
	if (*entry.host) {
		buf_append_str(b, "      - host: ");
		put_quoted(b, span_of(entry.host), false);
		buf_append_str(b, "\n        ");
	} else {
		buf_append_str(b, "      - ");
	}
	buf_printf(b, "port: %u\n        allowed_ips: [\"%s\"]\n", r->port, address);
}

static void explain_problem(struct buf *b, const struct policy_request *r,
			    enum dial_problem problem, bool by_wildcards, const char *address)
{
	if (problem == DIAL_BLOCKED_INTERNAL && *address) {
		if (is_nobodys(b, r))
			return;
		buf_append_str(b,
			       "# an entry that names the host lets it have private addresses\n");
		put_entry(b, r, false);
	} else if (problem == DIAL_BLOCKED_LISTED && *address) {
		put_address(b, r, by_wildcards, address);
	} else if (problem == DIAL_CREDENTIAL_MISMATCH) {
		nothing_helps(b, "a credential goes where --credential says; leave it out of this "
				 "request, or bind it to this endpoint, too");
	} else if (problem <= DIAL_BLOCKED_LISTED) {
		nothing_helps(b,
			      "addresses of the host itself and of its link, and the ports of "
			      "control planes, are never reached, nor is a name without an "
			      "address; a server of the host's own is declared with --server, as "
			      "host.openshell.internal:PORT");
	} else {
		nothing_helps(b, "the request itself has to be another");
	}
}

void explain_dial(const struct policy_request *r, enum dial_problem problem, bool by_wildcards,
		  const char *address)
{
	static const char *const reasons[DIAL_PROBLEM_COUNT] = {
		[DIAL_UNRESOLVED] = "its name has no address",
		[DIAL_BLOCKED_INTERNAL] =
			"only wildcards name the host, and its address is private",
		[DIAL_BLOCKED_DECLARED] = "its address is never allowed",
		[DIAL_BLOCKED_LISTED] = "allowed_ips do not hold its address",
		[DIAL_CREDENTIAL_MISMATCH] = "the credential is bound to other endpoints",
	};
	const char *reason = reasons[problem] ? reasons[problem] : "it could not be sent";
	struct denial *denial = all.policy ? find(r, reason) : NULL;
	if (!denial || denial->text)
		return;
	_cleanup_buf_ struct buf b = BUF_INIT(TEXT_MAX);
	explain_problem(&b, r, problem, by_wildcards, address);
	denial->text = buf_take(&b);
}

/* ---- the end ---- */

int explain_write(int fd)
{
	char line[160];
	unsigned long n = all.others;
	for (size_t i = 0; i < all.n; i++)
		n += all.denials[i].n;
	snprintf(line, sizeof(line), "# %lu denied, in %zu%s ways%s\n", n, all.n,
		 all.others ? " and more" : "", n ? "; the least that would allow each:" : "");
	int r = fd_write_full(fd, line, strlen(line));
	for (size_t i = 0; r == 0 && i < all.n; i++) {
		const struct denial *d = &all.denials[i];
		_cleanup_buf_ struct buf b = BUF_INIT(2 * TEXT_MAX);
		buf_printf(&b, "---\n# %lu x ", d->n);
		buf_append_str(&b, d->title);
		buf_append_str(&b, "\n");
		buf_append_str(&b, d->text ? d->text : "# out of memory\n");
		r = b.data ? fd_write_full(fd, b.data, b.len) : -ENOMEM;
	}
	if (r == 0 && all.others) {
		snprintf(line, sizeof(line), "---\n# %lu others are not told apart: past %d ways\n",
			 all.others, LIMIT_EXPLAINED_DENIALS);
		r = fd_write_full(fd, line, strlen(line));
	}
	return r;
}
