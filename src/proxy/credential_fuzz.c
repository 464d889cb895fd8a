/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the way of credentials into requests. Input: a digit for the host, the head, the body. What has no placeholder stays as it
 * is; no value reaches a host or path that it is not bound to; what comes out is the same message but for its values.
 */
#include "http/head.h"
#include "http/target.h"
#include "proxy/credential.h"
#include "proxy/placeholder.h"

#include <assert.h>
#include <errno.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* With what stays as it is wherever it is put in front. */
static const char bound_value[] = "S3CRET-of-one/+= ~", path_value[] = "S3CRET-of-two";
static const char bound_part[] = "S3CRET-of-one", path_part[] = "S3CRET-of-two";
static const char *const hosts[] = { "one.example", "two.example", "other.example" };

static struct credentials *make(void)
{
	struct credentials *c = NULL;
	int r = credentials_new(&c);
	assert(r == 0);
	r = credentials_add(c, "ONE", span_of(bound_value), "one.example", 443, "/", 0);
	assert(r == 0);
	r = credentials_add(c, "v1_TWO", span_of(path_value), "two.example", 443, "/in/**",
			    CREDENTIAL_AUTHORIZATION_ONLY);
	assert(r == 0);
	return c;
}

static bool holds(struct span s, const char *text)
{
	return memmem(s.data, s.len, text, strlen(text)) != NULL;
}

static bool parse(struct span text, struct http_head *h)
{
	static const struct http_rules rules = { HTTP_LENIENT_LENGTH | HTTP_LENIENT_HOST, 0 };
	struct http_scan scan = { 0 };
	return http_request_parse(&scan, text.data, text.len, &rules, h) == 0;
}

static size_t count(struct span s, char c)
{
	size_t n = 0;
	for (size_t i = 0; i < s.len; i++)
		n += s.data[i] == c;
	return n;
}

static void check_same_message(const struct http_head *a, const struct http_head *b)
{
	assert(span_equal(a->method, b->method) && a->n_fields == b->n_fields);
	assert(a->body == b->body);
	for (unsigned i = 0; i < a->n_fields; i++)
		assert(span_equal(a->fields[i].name, b->fields[i].name));
	struct http_target t, u;
	enum http_refusal why;
	int r = http_target_parse(a->target, a->method_id, &t, &why);
	assert(r == 0);
	r = http_target_parse(b->target, b->method_id, &u, &why);
	assert(r == 0 && t.form == u.form && t.has_query == u.has_query);
	assert(count(t.path, '/') == count(u.path, '/'));
	assert(count(t.query, '&') == count(u.query, '&') &&
	       count(t.query, '=') == count(u.query, '='));
}

static void check_bindings(const struct http_head *h, const char *host, bool tls, struct span in,
			   struct span out)
{
	struct http_target t;
	enum http_refusal why;
	int r = http_target_parse(h->target, h->method_id, &t, &why);

	assert(r == 0);
	if ((strcmp(host, "one.example") != 0 || !tls) && !holds(in, bound_part))
		assert(!holds(out, bound_part));
	bool within = t.path.len >= 3 && !memcmp(t.path.data, "/in", 3) &&
		      (t.path.len == 3 || t.path.data[3] == '/');
	if ((strcmp(host, "two.example") != 0 || !within || !tls) && !holds(in, path_part))
		assert(!holds(out, path_part));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct http_head before, after;
	static struct credentials *c;

	if (n < 1)
		return 0;
	if (!c)
		c = make();
	const char *host = hosts[data[0] % 3];
	const struct credential_way way = { host, 443, data[0] / 3 % 8 != 0 };
	struct span in = { (const char *)data + 1, n - 1 }, out = { 0 };
	const char *end = memmem(in.data, in.len, "\r\n\r\n", 4);
	size_t length = end ? (size_t)(end + 4 - in.data) : in.len;
	struct span head = { in.data, length }, body = { in.data + length, in.len - length };
	int r = credentials_fill(c, &way, head, body, &out);
	assert(r == 0 || r == -EACCES || r == -ENOKEY || r == -ENOTSUP || r == -EBADMSG ||
	       r == -ENOBUFS);
	if (r < 0)
		return 0;
	bool good = parse(head, &before);
	assert(good && before.length == head.len);
	check_bindings(&before, host, way.tls, in, out);
	size_t at, len;
	bool any = placeholder_find(in, PLACEHOLDER_PERCENT, &at, &len) ||
		   placeholder_find(in, PLACEHOLDER_JSON, &at, &len);
	/* The length may have been another one than the body's. */
	if (!any && !http_head_has(&before, HTTP_FIELD_AUTHORIZATION) && !body.len)
		assert(span_equal(in, out));
	/* Values may have made it longer than any head that the parser takes. */
	if (parse(out, &after)) {
		check_same_message(&before, &after);
		assert(!body.len || after.length + after.body_length == out.len);
	} else {
		assert(after.refusal == HTTP_REFUSED_HEAD_LONG ||
		       after.refusal == HTTP_REFUSED_TARGET_LONG);
	}
	credentials_wipe(c);
	return 0;
}
