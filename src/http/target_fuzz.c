/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes targets, paths and queries. Input: a letter for the method, a digit of enum http_path_flags, the target. A canonical
 * path is its own canonical form and has nothing left to resolve; a target put together from its parts is the same target; a
 * query's parameters, encoded again, are the same parameters.
 */
#include "http/query.h"
#include "http/target.h"
#include <assert.h>
#include <errno.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_canonical(struct span path, unsigned flags)
{
	static char out[HTTP_PATH_CANONICAL_SIZE], again[HTTP_PATH_CANONICAL_SIZE];
	enum http_refusal why = HTTP_REFUSED_NOTHING;
	size_t len, len_again;
	int r = http_path_canonical(path, flags, out, sizeof(out), &len, &why);

	if (r < 0) {
		assert(r == -EBADMSG && why);
		return;
	}
	assert(out[0] == '/' && len == strlen(out) && path.len <= HTTP_PATH_RAW_MAX);
	for (size_t i = 0; i < len; i++)
		assert(out[i] > 0x20 && out[i] < 0x7f && !strchr("?#;<>\"\\^`{|}[]", out[i]));
	assert(!strstr(out, "//") && !strstr(out, "/./") && !strstr(out, "/../"));
	assert(flags & HTTP_PATH_ALLOW_ENCODED_SLASH || !strstr(out, "%2F"));
	assert(!strstr(out, "%2f") && !strstr(out, "%2E") && !strstr(out, "%00"));
	if (len <= HTTP_PATH_RAW_MAX) {
		r = http_path_canonical((struct span){ out, len }, flags, again, sizeof(again),
					&len_again, &why);
		assert(r == 0 && len_again == len && memcmp(out, again, len) == 0);
	}
	r = http_path_canonical(path, flags, again, len, &len_again, &why);
	assert(r == -ENOBUFS);
	/* It can be decoded whole, and in place. */
	r = http_percent_decode((struct span){ out, len }, out, sizeof(out), &len);
	assert(r == 0 && len == strlen(out));
}

static size_t encode(struct span s, char *out)
{
	static const char hex[] = "0123456789abcdef";
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.data[i];
		out[3 * i] = '%';
		out[3 * i + 1] = hex[c >> 4];
		out[3 * i + 2] = hex[c & 15];
	}
	return 3 * s.len;
}

static void check_parameter(const struct http_parameter *p)
{
	size_t n = 3 * (p->name.len + p->value.len) + 2, len;
	char *text = malloc(n), *out = malloc(n);
	struct http_parameter again;

	assert(text && out);
	len = encode(p->name, text);
	if (p->has_value) {
		text[len++] = '=';
		len += encode(p->value, text + len);
	}
	struct http_query q = { .left = { text, len } };
	if (len > 0) {
		int r = http_query_next(&q, out, n, &again);
		assert(r == 1 && again.has_value == p->has_value);
		assert(span_equal(again.name, p->name) && span_equal(again.value, p->value));
		assert(http_query_next(&q, out, n, &again) == 0);
	}
	free(text);
	free(out);
}

static void check_query(struct span query)
{
	struct http_query q = { .left = query };
	struct http_parameter p;
	char *out = malloc(query.len + 2);
	size_t pieces = 0;
	int r;

	assert(out);
	while ((r = http_query_next(&q, out, query.len + 2, &p)) == 1) {
		assert(p.name.data == out && !memchr(p.name.data, 0, p.name.len));
		assert(p.value.len == 0 || !memchr(p.value.data, 0, p.value.len));
		assert(p.name.data[p.name.len] == '\0' && ++pieces <= query.len);
		check_parameter(&p);
	}
	assert(r == 0 || r == -EILSEQ);
	free(out);
}

static void check_authority(const struct http_authority *a)
{
	char text[320];
	struct http_authority again;

	assert(a->host.len > 0 && a->host.len <= 254 && a->has_port == (a->port != 0));
	snprintf(text, sizeof(text), a->kind == HTTP_HOST_IPV6 ? "[%.*s]" : "%.*s",
		 SPAN_FORMAT(a->host));
	if (a->has_port)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), ":%u", a->port);
	int r = http_authority_parse(span_of(text), &again);
	assert(r == 0 && again.kind == a->kind && again.port == a->port);
	assert(span_equal(again.host, a->host));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n < 2)
		return 0;
	struct span text = { (const char *)data + 2, n - 2 };
	enum http_method method = (enum http_method)(data[0] % HTTP_METHOD_COUNT);
	enum http_refusal why = HTTP_REFUSED_NOTHING;
	struct http_authority a;
	struct http_target t;

	if (http_authority_parse(text, &a) == 0)
		check_authority(&a);
	check_query(text);
	check_canonical(text, data[1] & 3);
	if (http_target_parse(text, method, &t, &why) < 0) {
		assert(why);
		return 0;
	}
	size_t around = t.scheme.len ? t.scheme.len + 3 : 0;
	assert(around + t.path.len + t.query.len + t.has_query <= text.len);
	if (t.form == HTTP_TARGET_ABSOLUTE || t.form == HTTP_TARGET_AUTHORITY)
		check_authority(&t.authority);
	if (t.form == HTTP_TARGET_ORIGIN || t.form == HTTP_TARGET_ABSOLUTE) {
		assert(!t.path.len || t.path.data[0] == '/');
		assert(!t.has_query || t.query.data + t.query.len == text.data + text.len);
		check_canonical(t.path, data[1] & 3);
		check_query(t.query);
	}
	return 0;
}
