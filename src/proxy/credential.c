/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials in locked memory, and their way into a request.
 *
 * The value goes from here into the caller's buffer and from there onto the socket. Should the
 * server echo it in its answer, that answer reaches the sandbox: what a server does with the
 * credentials of its own clients is its affair, and searching every body for every encoding of a
 * secret would promise what it cannot keep.
 */
#include "proxy/credential.h"
#include "base/limit.h"
#include "http/head.h"
#include "http/target.h"
#include "proxy/base64.h"
#include "proxy/placeholder.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/mman.h>

#define NAME_MAX_BYTES LIMIT_CREDENTIAL_NAME_BYTES
#define HOST_MAX_BYTES LIMIT_CREDENTIAL_HOST_BYTES
#define PATH_MAX_BYTES LIMIT_CREDENTIAL_PATH_BYTES

struct credential {
	char name[NAME_MAX_BYTES + 1];
	struct span value; /* in the arena */
};

struct binding {
	unsigned credential; /* index */
	uint16_t port;
	char host[HOST_MAX_BYTES + 1];
	char path[PATH_MAX_BYTES + 1];
	size_t path_len;
	unsigned how;
};

/* One locked mapping holds all of it, the scratch for decoded Basic credentials included. */
struct credentials {
	unsigned n_credentials, n_bindings;
	size_t arena_used;
	struct credential credential[LIMIT_CREDENTIALS];
	struct binding binding[LIMIT_BINDINGS];
	char arena[LIMIT_CREDENTIAL_ARENA_BYTES];
	size_t out_len;
	char out[LIMIT_PROXY_HEAD_BYTES + LIMIT_FILLED_BODY_BYTES]; /* the last one filled */
	char plain[LIMIT_PROXY_HEAD_BYTES];			    /* a decoded value */
	char filled[LIMIT_PROXY_HEAD_BYTES]; /* the same with its placeholders replaced */
};

/* The supervisor looks whether so much can be locked before it starts dialer. */
_Static_assert(sizeof(struct credentials) <= LIMIT_LOCKED_BYTES, "more than is said to be locked");

/* Where a value is put: how text is spelt there. */
enum place { IN_FIELD, IN_PATH, IN_QUERY, IN_FORM, IN_JSON, IN_TEXT };

/* What is being written, and for which request. */
struct filling {
	struct credentials *store;
	const struct credential_way *way;
	struct span path;
	enum place place;
	bool in_authorization; /* what is being written is that field's value */
	char *out;
	size_t size, len;
};

int credentials_new(struct credentials **ret)
{
	size_t size = sizeof(struct credentials);
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return -ENOMEM;
	/* On fault: most sandboxes use few of these pages, and all would wait for all of them. */
	if (mlock2(p, size, MLOCK_ONFAULT) < 0 || madvise(p, size, MADV_DONTDUMP) < 0 ||
	    madvise(p, size, MADV_WIPEONFORK) < 0) {
		munmap(p, size);
		return -ENOMEM;
	}
	*ret = p;
	return 0;
}

void credentials_free(struct credentials *c)
{
	if (!c)
		return;
	credentials_wipe(c);
	explicit_bzero(c->arena, c->arena_used);
	explicit_bzero(c->plain, sizeof(c->plain));
	explicit_bzero(c->filled, sizeof(c->filled));
	munmap(c, sizeof(*c));
}

static bool is_name_byte(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '_';
}

static bool is_name(const char *name)
{
	size_t n = 0;
	while (is_name_byte(name[n]))
		n++;
	return n > 0 && n <= NAME_MAX_BYTES && name[n] == '\0';
}

/* No control character but HTAB, so that a value can never end its field. */
static bool is_field_value(struct span v)
{
	for (size_t i = 0; i < v.len; i++) {
		unsigned char b = (unsigned char)v.data[i];
		if ((b < 0x20 && b != '\t') || b == 0x7f)
			return false;
	}
	return v.len > 0 && v.len <= LIMIT_CREDENTIAL_BYTES;
}

static int find(const struct credentials *c, struct span name)
{
	for (unsigned i = 0; i < c->n_credentials; i++)
		if (span_is(name, c->credential[i].name))
			return (int)i;
	return -1;
}

static int add_value(struct credentials *c, const char *name, struct span value)
{
	if (c->n_credentials == LIMIT_CREDENTIALS || sizeof(c->arena) - c->arena_used < value.len)
		return -ENOSPC;
	struct credential *new = &c->credential[c->n_credentials];
	memcpy(new->name, name, strlen(name) + 1);
	memcpy(c->arena + c->arena_used, value.data, value.len);
	new->value = (struct span){ c->arena + c->arena_used, value.len };
	c->arena_used += value.len;
	return (int)c->n_credentials++;
}

int credentials_add(struct credentials *c, const char *name, struct span value, const char *host,
		    uint16_t port, const char *path, unsigned how)
{
	size_t host_len = strlen(host), path_len = strlen(path);
	while (path_len && (path[path_len - 1] == '*' || path[path_len - 1] == '/'))
		path_len--;
	if (!is_name(name) || !is_field_value(value) || host_len == 0 ||
	    host_len > HOST_MAX_BYTES || path_len > PATH_MAX_BYTES || port == 0)
		return -EINVAL;
	if (c->n_bindings == LIMIT_BINDINGS)
		return -ENOSPC;
	int i = find(c, span_of(name));
	if (i >= 0 && !span_equal(c->credential[i].value, value))
		return -EEXIST;
	if (i < 0)
		i = add_value(c, name, value);
	if (i < 0)
		return i;
	struct binding *b = &c->binding[c->n_bindings++];
	b->credential = (unsigned)i;
	b->port = port;
	b->how = port == HTTPS_PORT ? how | CREDENTIAL_TLS_ONLY : how;
	for (size_t k = 0; k <= host_len; k++)
		b->host[k] = host[k] >= 'A' && host[k] <= 'Z' ? (char)(host[k] + 32) : host[k];
	memcpy(b->path, path, path_len);
	b->path[path_len] = '\0';
	b->path_len = path_len;
	return 0;
}

/* 0 when it may go there; -EACCES, or -ENOTSUP when only the field is the wrong one. */
static int check_bound(const struct filling *f, unsigned credential)
{
	const struct credentials *c = f->store;
	int r = -EACCES;
	for (unsigned i = 0; i < c->n_bindings; i++) {
		const struct binding *b = &c->binding[i];
		if (b->credential != credential || b->port != f->way->port ||
		    strcmp(b->host, f->way->host) != 0 || f->path.len < b->path_len ||
		    memcmp(f->path.data, b->path, b->path_len) != 0)
			continue;
		if (b->path_len != f->path.len && b->path_len != 0 &&
		    f->path.data[b->path_len] != '/')
			continue;
		/* A client decides whether it speaks TLS. */
		if (b->how & CREDENTIAL_TLS_ONLY && !f->way->tls)
			continue;
		if (!(b->how & CREDENTIAL_AUTHORIZATION_ONLY) || f->in_authorization)
			return 0;
		r = -ENOTSUP;
	}
	return r;
}

static int put(struct filling *f, const char *bytes, size_t n)
{
	if (f->size - f->len < n)
		return -ENOBUFS;
	if (n)
		memcpy(f->out + f->len, bytes, n);
	f->len += n;
	return 0;
}

/* ---- values ---- */

static bool is_in(char c, const char *others)
{
	return (is_name_byte(c) && c != '_') || (c && strchr(others, c));
}

/* Each character that is neither a letter, a digit nor one of those percent-encoded. */
static int put_percent(struct filling *f, struct span value, const char *others)
{
	static const char digits[] = "0123456789ABCDEF";
	int r = 0;
	for (size_t i = 0; i < value.len && r == 0; i++) {
		unsigned char b = (unsigned char)value.data[i];
		const char encoded[] = { '%', digits[b >> 4], digits[b & 15] };
		r = is_in((char)b, others) ? put(f, &value.data[i], 1) : put(f, encoded, 3);
	}
	return r;
}

/* A value must not lead to another path than the one that was decided on. */
static int put_in_path(struct filling *f, struct span value)
{
	size_t dots = 0;
	for (size_t i = 0; i < value.len; i++) {
		if (strchr("/\\?#", value.data[i]))
			return -ENOTSUP;
		dots += value.data[i] == '.';
	}
	return dots == value.len ? -ENOTSUP : put_percent(f, value, "-._~!$&'()*+,=:@");
}

static int put_in_json(struct filling *f, struct span value)
{
	int r = 0;
	for (size_t i = 0; i < value.len && r == 0; i++) {
		char b = value.data[i]; /* HTAB is the only control character of a value */
		const char escaped[] = { '\\', b == '\t' ? 't' : b };
		r = strchr("\"\\\t", b) ? put(f, escaped, 2) : put(f, &b, 1);
	}
	return r;
}

static int put_value(struct filling *f, struct span value)
{
	switch (f->place) {
	case IN_PATH:
		return put_in_path(f, value);
	case IN_QUERY:
	case IN_FORM:
		return put_percent(f, value, "-._~");
	case IN_JSON:
		return put_in_json(f, value);
	default:
		return put(f, value.data, value.len);
	}
}

/* ---- placeholders ---- */

/* What follows "v<digits>_", or the name itself. */
static struct span without_version(struct span name)
{
	size_t i = 1;
	if (name.len < 3 || name.data[0] != 'v')
		return name;
	while (i < name.len && name.data[i] >= '0' && name.data[i] <= '9')
		i++;
	if (i == 1 || i + 1 >= name.len || name.data[i] != '_')
		return name;
	return (struct span){ name.data + i + 1, name.len - i - 1 };
}

/* The value of the credential whose name text begins with, and how many bytes spell the name. */
static int resolve(const struct filling *f, struct span text, enum placeholder_text how,
		   struct span *ret_value, size_t *ret_used)
{
	char name[2 * NAME_MAX_BYTES];
	size_t used = 0, len = 0;
	while (used < text.len && len < sizeof(name)) {
		size_t n;
		char c = placeholder_read((struct span){ text.data + used, text.len - used }, how,
					  &n);
		if (!is_name_byte(c))
			break;
		name[len++] = c;
		used += n;
	}
	struct span whole = { name, len };
	int i = find(f->store, whole);
	if (i < 0)
		i = find(f->store, without_version(whole));
	if (i < 0)
		return -ENOKEY;
	int r = check_bound(f, (unsigned)i);
	if (r < 0)
		return r;
	*ret_value = f->store->credential[i].value;
	*ret_used = used;
	return 0;
}

static enum placeholder_text spelling(enum place place)
{
	return place == IN_JSON			       ? PLACEHOLDER_JSON
	       : place == IN_FIELD || place == IN_TEXT ? PLACEHOLDER_PLAIN
						       : PLACEHOLDER_PERCENT;
}

static bool has_placeholder(struct span text, enum placeholder_text how)
{
	size_t at, n;
	return placeholder_find(text, how, &at, &n);
}

/* Write text with its placeholders replaced. */
static int put_filled(struct filling *f, struct span text)
{
	enum placeholder_text how = spelling(f->place);
	size_t at, n, used;
	struct span value;
	int r = 0;
	/* Spelt otherwise in a field, it would be nobody's; but it is not for a server to see. */
	enum placeholder_text seen = f->place == IN_FIELD ? PLACEHOLDER_PERCENT : how;
	while (r == 0 && text.len && placeholder_find(text, seen, &at, &n)) {
		if (seen != how && n != strlen(PLACEHOLDER_MARKER))
			return -ENOTSUP;
		r = put(f, text.data, at);
		text = (struct span){ text.data + at + n, text.len - at - n };
		if (r == 0)
			r = resolve(f, text, how, &value, &used);
		if (r == 0)
			r = put_value(f, value);
		if (r == 0)
			text = (struct span){ text.data + used, text.len - used };
	}
	return r < 0 ? r : put(f, text.data, text.len);
}

/* `Basic` and its base64, in which user and password may be placeholders. What is not Basic, not
 * base64, or holds none is written as it is. */
static int put_authorization(struct filling *f, struct span value)
{
	struct credentials *c = f->store;
	size_t at = 5, plain, encoded;
	if (has_placeholder(value, PLACEHOLDER_PERCENT) || value.len < 7 ||
	    !span_is_nocase((struct span){ value.data, 6 }, "basic "))
		return put_filled(f, value);
	while (at < value.len && value.data[at] == ' ')
		at++;
	if (base64_decode(value.data + at, value.len - at, c->plain, sizeof(c->plain), &plain) <
		    0 ||
	    !has_placeholder((struct span){ c->plain, plain }, PLACEHOLDER_PERCENT))
		return put(f, value.data, value.len);
	struct filling inner = *f;
	inner.out = c->filled;
	inner.size = sizeof(c->filled);
	inner.len = 0;
	int r = put_filled(&inner, (struct span){ c->plain, plain });
	if (r == 0)
		r = put(f, value.data, at);
	if (r == 0)
		r = base64_encode(c->filled, inner.len, f->out + f->len, f->size - f->len,
				  &encoded);
	if (r == 0)
		f->len += encoded;
	explicit_bzero(c->filled, inner.len);
	return r;
}

/* NAME=VALUE&…: only values are replaced. */
static int put_pairs(struct filling *f, struct span text)
{
	int r = 0;
	while (r == 0 && text.len) {
		const char *and = memchr(text.data, '&', text.len);
		size_t len = and? (size_t)(and-text.data) + 1 : text.len;
		const char *is = memchr(text.data, '=', len);
		size_t name = is ? (size_t)(is - text.data) + 1 : len;
		if (has_placeholder((struct span){ text.data, name }, PLACEHOLDER_PERCENT))
			return -ENOTSUP;
		r = put(f, text.data, name);
		if (r == 0)
			r = put_filled(f, (struct span){ text.data + name, len - name });
		text = (struct span){ text.data + len, text.len - len };
	}
	return r;
}

static int put_body(struct filling *f, const struct http_head *h, struct span body)
{
	enum placeholder_text how;
	if (!placeholder_body(h, &how))
		return has_placeholder(body, PLACEHOLDER_PERCENT) ||
				       has_placeholder(body, PLACEHOLDER_JSON)
			       ? -ENOTSUP
			       : put(f, body.data, body.len);
	f->place = how == PLACEHOLDER_JSON	? IN_JSON
		   : how == PLACEHOLDER_PERCENT ? IN_FORM
						: IN_TEXT;
	return f->place == IN_FORM ? put_pairs(f, body) : put_filled(f, body);
}

static int put_target(struct filling *f, const struct http_target *t)
{
	f->place = IN_PATH;
	int r = put_filled(f, t->path);
	f->place = IN_QUERY;
	if (r == 0 && t->has_query) {
		r = put(f, "?", 1);
		if (r == 0)
			r = put_pairs(f, t->query);
	}
	return r;
}

static int put_field(struct filling *f, const struct http_field *field, bool has_body,
		     size_t body_len)
{
	char number[24];
	if (field->id == HTTP_FIELD_CONTENT_LENGTH && has_body)
		return put(f, number, (size_t)snprintf(number, sizeof(number), "%zu", body_len));
	f->place = IN_FIELD;
	f->in_authorization = field->id == HTTP_FIELD_AUTHORIZATION;
	if (f->in_authorization)
		return put_authorization(f, field->value);
	return put_filled(f, field->value);
}
/* Copied as it stands; only values that hold placeholders differ. */
static int put_head(struct filling *f, struct span head, const struct http_head *h,
		    const struct http_target *t, bool has_body, size_t body_len)
{
	const char *done = h->target.data + h->target.len;
	int r = put(f, head.data, (size_t)(h->target.data - head.data));
	if (r == 0)
		r = put_target(f, t);
	for (unsigned i = 0; i < h->n_fields && r == 0; i++) {
		struct span v = h->fields[i].value;
		if (v.len == 0)
			continue;
		r = put(f, done, (size_t)(v.data - done));
		if (r == 0)
			r = put_field(f, &h->fields[i], has_body, body_len);
		done = v.data + v.len;
	}
	return r < 0 ? r : put(f, done, (size_t)(head.data + head.len - done));
}

/* The body first, since the head says how long it is. */
static int fill(struct filling *f, struct span head, struct span body)
{
	static struct http_head h; /* large, and our processes have one thread */
	static const struct http_rules rules = { HTTP_LENIENT_LENGTH | HTTP_LENIENT_HOST, 0 };
	struct credentials *c = f->store;
	struct http_scan scan = { 0 };
	struct http_target target;
	enum http_refusal why;
	int r = http_request_parse(&scan, head.data, head.len, &rules, &h);
	if (r < 0 || h.length != head.len ||
	    http_target_parse(h.target, h.method_id, &target, &why) < 0 ||
	    target.form == HTTP_TARGET_ABSOLUTE ||
	    (target.path.len &&
	     !http_path_is_canonical(target.path, HTTP_PATH_ALLOW_ENCODED_SLASH)) ||
	    (body.len && h.body != HTTP_BODY_LENGTH))
		return -EBADMSG;
	f->path = target.path.len ? target.path : SPAN("/");
	struct filling filled = *f;
	filled.out = c->out + LIMIT_PROXY_HEAD_BYTES;
	filled.size = LIMIT_FILLED_BODY_BYTES;
	r = body.len ? put_body(&filled, &h, body) : 0;
	c->out_len += filled.len; /* which is behind the head's room */
	if (r == 0)
		r = put_head(f, head, &h, &target, body.len > 0, filled.len);
	if (r == 0) {
		memmove(c->out + f->len, filled.out, filled.len);
		f->len += filled.len;
	}
	return r;
}

bool credentials_any(const struct credentials *c)
{
	return c->n_credentials > 0;
}

void credentials_wipe(struct credentials *c)
{
	explicit_bzero(c->out, c->out_len);
	c->out_len = 0;
}

int credentials_fill(struct credentials *c, const struct credential_way *way, struct span head,
		     struct span body, struct span *ret)
{
	struct filling f = { .store = c, .way = way, .out = c->out };
	f.size = LIMIT_PROXY_HEAD_BYTES;
	credentials_wipe(c);
	c->out_len = LIMIT_PROXY_HEAD_BYTES; /* until it is known how much of it was written */
	int r = fill(&f, head, body);
	if (r < 0) {
		credentials_wipe(c);
		return r;
	}
	*ret = (struct span){ c->out, f.len };
	if (!body.len)
		c->out_len = f.len;
	return 0;
}
