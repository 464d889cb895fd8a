/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines and fields of heads: what RFC 9112 2 to 5 and RFC 9110 5 allow, and where we are stricter than they demand. Every
 * case is read at once, byte by byte, and divided in two at every place, and must come out the same. What the fields mean
 * together is in frame_test.c.
 */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/cleanup.h"
#include "http/head_compare.h"

static struct http_head head;

/* Read in every way; the head is in `head`, its spans in a buffer that lives until the next call. */
static int read_all_ways(const struct head_input *in)
{
	static char *base;
	free(base);
	int r = head_parse_growing(in, in->text.len, 1, &head, &base);

	assert_true(head_grows_alike(in, 0, 1, r, &head, base));
	for (size_t i = 0; i < in->text.len; i++)
		if (!head_grows_alike(in, i, in->text.len, r, &head, base))
			fail_msg("divided at %zu it is read otherwise: %.*s", i,
				 SPAN_FORMAT(in->text));
	return r;
}

struct row {
	struct span text;
	enum http_refusal why; /* HTTP_REFUSED_NOTHING: it is good */
};

static void check_rows(const struct row *rows, size_t n, bool request)
{
	for (size_t i = 0; i < n; i++) {
		struct head_input in = { .text = rows[i].text,
					 .request = request,
					 .to = HTTP_METHOD_GET };
		int r = read_all_ways(&in);
		if (r != (rows[i].why ? -EBADMSG : 0) || (r < 0 && head.refusal != rows[i].why))
			fail_msg("row %zu gave %d: %s: %.*s", i, r,
				 http_refusal_message(head.refusal), SPAN_FORMAT(rows[i].text));
		if (r == 0)
			assert_int_equal(head.length, rows[i].text.len);
	}
}

#define H "Host: a\r\n\r\n"

static void request_lines(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{ SPAN("GET / HTTP/1.1\r\n" H), 0 },
		{ SPAN("GET / HTTP/1.0\r\n\r\n"), 0 },
		{ SPAN("OPTIONS * HTTP/1.1\r\n" H), 0 },
		{ SPAN("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"), 0 },
		{ SPAN("GET http://a/ HTTP/1.1\r\n" H), 0 },
		/* any token is a method, RFC 9110 9.1 */
		{ SPAN("M-SEARCH * HTTP/1.1\r\n" H), 0 },
		{ SPAN("!#$%&'*+-.^_`|~09azAZ / HTTP/1.1\r\n" H), 0 },
		{ SPAN("get / HTTP/1.1\r\n" H), 0 },
		/* the target is judged by http_target_parse() */
		{ SPAN("GET /\"'`<>{}|\\^#?\xc3\xa9 HTTP/1.1\r\n" H), 0 },

		/* RFC 9112 2.2: an empty line before may be ignored; we do not */
		{ SPAN("\r\nGET / HTTP/1.1\r\n" H), HTTP_REFUSED_METHOD },
		{ SPAN("\nGET / HTTP/1.1\r\n" H), HTTP_REFUSED_METHOD },
		{ SPAN("\0GET / HTTP/1.1\r\n" H), HTTP_REFUSED_METHOD },
		{ SPAN("\xef\xbb\xbfGET / HTTP/1.1\r\n" H), HTTP_REFUSED_METHOD },
		{ SPAN("\x16\x03\x01\x02"), HTTP_REFUSED_METHOD }, /* TLS, before any line ends */
		/* RFC 9112 2.2: a bare LF may end a line; for us it does not */
		{ SPAN("GET / HTTP/1.1\nHost: a\n\n"), HTTP_REFUSED_LINE_END },
		{ SPAN("GET / HTTP/1.1\r\r\n" H), HTTP_REFUSED_VERSION },
		{ SPAN("GET / HTTP/1.1\r \r\n" H), HTTP_REFUSED_REQUEST_LINE },
		/* RFC 9112 3: words with one space between them */
		{ SPAN(" GET / HTTP/1.1\r\n" H), HTTP_REFUSED_METHOD },
		{ SPAN("GET  / HTTP/1.1\r\n" H), HTTP_REFUSED_REQUEST_LINE },
		{ SPAN("GET /  HTTP/1.1\r\n" H), HTTP_REFUSED_REQUEST_LINE },
		{ SPAN("GET / HTTP/1.1 \r\n" H), HTTP_REFUSED_REQUEST_LINE },
		{ SPAN("GET /a b HTTP/1.1\r\n" H), HTTP_REFUSED_REQUEST_LINE },
		{ SPAN("GET\t/ HTTP/1.1\r\n" H), HTTP_REFUSED_METHOD },
		{ SPAN("GET /\tHTTP/1.1\r\n" H), HTTP_REFUSED_TARGET_BYTE },
		{ SPAN("GET /\x0bHTTP/1.1\r\n" H), HTTP_REFUSED_TARGET_BYTE },
		{ SPAN("GET\r\n" H), HTTP_REFUSED_REQUEST_LINE },
		{ SPAN("GET \r\n" H), HTTP_REFUSED_REQUEST_LINE },
		{ SPAN("GET /\r\n" H), HTTP_REFUSED_REQUEST_LINE }, /* HTTP/0.9 */
		{ SPAN("GET / \r\n" H), HTTP_REFUSED_VERSION },
		{ SPAN("GET HTTP/1.1\r\n" H), HTTP_REFUSED_REQUEST_LINE },
		{ SPAN("GET  HTTP/1.1\r\n" H), HTTP_REFUSED_REQUEST_LINE },
		/* RFC 9112 3.1: a method is a token */
		{ SPAN("G\0T / HTTP/1.1\r\n" H), HTTP_REFUSED_METHOD },
		{ SPAN("G\xc3\xa9T / HTTP/1.1\r\n" H), HTTP_REFUSED_METHOD },
		{ SPAN("GET: / HTTP/1.1\r\n" H), HTTP_REFUSED_METHOD },
		{ SPAN("GET/ / HTTP/1.1\r\n" H), HTTP_REFUSED_METHOD },
		/* RFC 9112 3.2: no white space or control in a target */
		{ SPAN("GET /a\0b HTTP/1.1\r\n" H), HTTP_REFUSED_TARGET_BYTE },
		{ SPAN("GET /a\x7f HTTP/1.1\r\n" H), HTTP_REFUSED_TARGET_BYTE },
		{ SPAN("GET /a\x1b[0m HTTP/1.1\r\n" H), HTTP_REFUSED_TARGET_BYTE },
		/* RFC 9112 2.3: case-sensitive, a digit on each side of the dot */
		{ SPAN("GET / http/1.1\r\n" H), HTTP_REFUSED_VERSION },
		{ SPAN("GET / HTTP/1.10\r\n" H), HTTP_REFUSED_VERSION },
		{ SPAN("GET / HTTP/01.1\r\n" H), HTTP_REFUSED_VERSION },
		{ SPAN("GET / HTTP/1\r\n" H), HTTP_REFUSED_VERSION },
		{ SPAN("GET / HTTP/1.\r\n" H), HTTP_REFUSED_VERSION },
		{ SPAN("GET / HTTP/.11\r\n" H), HTTP_REFUSED_VERSION },
		{ SPAN("GET / HTTP/1,1\r\n" H), HTTP_REFUSED_VERSION },
		{ SPAN("GET / HTTP 1.1\r\n" H), HTTP_REFUSED_VERSION },
		{ SPAN("GET / ICE/1.0\r\n" H), HTTP_REFUSED_VERSION },
		{ SPAN("GET / RTSP/1.0\r\n" H), HTTP_REFUSED_VERSION },
		{ SPAN("GET / HTTPS/1.1\r\n" H), HTTP_REFUSED_VERSION },
		{ SPAN("GET / HTTP/0.9\r\n" H), HTTP_REFUSED_VERSION_OTHER },
		{ SPAN("GET / HTTP/1.2\r\n" H), HTTP_REFUSED_VERSION_OTHER },
		{ SPAN("GET / HTTP/9.1\r\n" H), HTTP_REFUSED_VERSION_OTHER },
		{ SPAN("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), HTTP_REFUSED_VERSION_OTHER },
	};
	check_rows(rows, ELEMENTS(rows), true);
}

#define GET "GET / HTTP/1.1\r\nHost: a\r\n"

static void field_lines(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{ SPAN(GET "X:\r\n\r\n"), 0 },
		{ SPAN(GET "X: \t \r\n\r\n"), 0 },
		{ SPAN(GET "X:a\r\nX: b\r\nX:\tc\t\r\n\r\n"), 0 },
		{ SPAN(GET "!#$%&'*+-.^_`|~09azAZ: all of tchar\r\n\r\n"), 0 },
		{ SPAN(GET "X: !\"#$%&'()*+,-./09:;<=>?@AZ[\\]^_`az{|}~\r\n\r\n"), 0 },
		{ SPAN(GET "X: a\tb\r\n\r\n"), 0 },
		{ SPAN(GET "X: caf\xc3\xa9 \xf0\x9f\x98\x80\r\n\r\n"), 0 },
		{ SPAN(GET "Content_Length: no framing\r\n\r\n"), 0 },

		/* RFC 9112 5.1: no white space before the colon */
		{ SPAN(GET "X : b\r\n\r\n"), HTTP_REFUSED_FIELD_NAME },
		{ SPAN(GET "X\t: b\r\n\r\n"), HTTP_REFUSED_FIELD_NAME },
		{ SPAN(GET "Content-Length : 5\r\n\r\n"), HTTP_REFUSED_FIELD_NAME },
		{ SPAN(GET "Transfer-Encoding\x0b: chunked\r\n\r\n"), HTTP_REFUSED_FIELD_NAME },
		/* RFC 9112 2.2: no white space between the start line and the first field */
		{ SPAN("GET / HTTP/1.1\r\n Host: a\r\n\r\n"), HTTP_REFUSED_FIELD_FOLDED },
		{ SPAN("GET / HTTP/1.1\r\n\tHost: a\r\n\r\n"), HTTP_REFUSED_FIELD_FOLDED },
		/* RFC 9112 5.2: a server must refuse folding, or unfold it */
		{ SPAN(GET "X: a\r\n b\r\n\r\n"), HTTP_REFUSED_FIELD_FOLDED },
		{ SPAN(GET "X: a\r\n\tb: c\r\n\r\n"), HTTP_REFUSED_FIELD_FOLDED },
		{ SPAN(GET "X: a\r\n \r\n\r\n"), HTTP_REFUSED_FIELD_FOLDED },
		{ SPAN(GET "Transfer-Encoding:\r\n chunked\r\n\r\n"), HTTP_REFUSED_FIELD_FOLDED },
		/* RFC 9110 5.1: a name is a token */
		{ SPAN(GET ":b\r\n\r\n"), HTTP_REFUSED_FIELD_NAME },
		{ SPAN(GET "X\r\n\r\n"), HTTP_REFUSED_FIELD_NAME },
		{ SPAN(GET "X Y: b\r\n\r\n"), HTTP_REFUSED_FIELD_NAME },
		{ SPAN(GET "X\0Y: b\r\n\r\n"), HTTP_REFUSED_FIELD_NAME },
		{ SPAN(GET "X\x1b: b\r\n\r\n"), HTTP_REFUSED_FIELD_NAME },
		{ SPAN(GET "X\x7f: b\r\n\r\n"), HTTP_REFUSED_FIELD_NAME },
		{ SPAN(GET "X\xc3\xa9: b\r\n\r\n"), HTTP_REFUSED_FIELD_NAME },
		{ SPAN(GET "/: b\r\n\r\n"), HTTP_REFUSED_FIELD_NAME },
		{ SPAN(GET "{: b\r\n\r\n"), HTTP_REFUSED_FIELD_NAME },
		{ SPAN(GET "X(c): b\r\n\r\n"), HTTP_REFUSED_FIELD_NAME },
		{ SPAN(GET "X=b\r\n\r\n"), HTTP_REFUSED_FIELD_NAME },
		{ SPAN(GET "Content\rLength: 3\r\n\r\n"), HTTP_REFUSED_FIELD_NAME },
		{ SPAN(GET "\r\r\n\r\n"), HTTP_REFUSED_FIELD_NAME },
		/* RFC 9110 5.5: no CR, LF or NUL in a value; the other controls are as odd */
		{ SPAN(GET "X: a\0b\r\n\r\n"), HTTP_REFUSED_FIELD_VALUE },
		{ SPAN(GET "X: \0\r\n\r\n"), HTTP_REFUSED_FIELD_VALUE },
		{ SPAN(GET "X: a\x1b[31m\r\n\r\n"), HTTP_REFUSED_FIELD_VALUE },
		{ SPAN(GET "X: a\x7f\r\n\r\n"), HTTP_REFUSED_FIELD_VALUE },
		{ SPAN(GET "X: a\x0b\r\n\r\n"), HTTP_REFUSED_FIELD_VALUE },
		/* RFC 9112 2.2: a bare CR is invalid wherever it stands */
		{ SPAN(GET "X: a\rb\r\n\r\n"), HTTP_REFUSED_LINE_END },
		{ SPAN(GET "X: a\r\r\n\r\n"), HTTP_REFUSED_LINE_END },
		{ SPAN(GET "X: a\rY: b\r\n\r\n"), HTTP_REFUSED_LINE_END },
		{ SPAN(GET "X:\r\r\n\r\n"), HTTP_REFUSED_LINE_END },
		{ SPAN(GET "X: a\nY: b\r\n\r\n"), HTTP_REFUSED_LINE_END },
		{ SPAN(GET "X: a\n\n"), HTTP_REFUSED_LINE_END },
		{ SPAN(GET "X: a\r\n\n"), HTTP_REFUSED_LINE_END },
		{ SPAN(GET "\n"), HTTP_REFUSED_LINE_END },
		/* ours: what is not UTF-8 means something else to everyone */
		{ SPAN(GET "X: caf\xe9\r\n\r\n"), HTTP_REFUSED_FIELD_VALUE },
		{ SPAN(GET "X: \xc0\xaf\r\n\r\n"), HTTP_REFUSED_FIELD_VALUE },
		{ SPAN(GET "X: 12345678\xff\r\n\r\n"), HTTP_REFUSED_FIELD_VALUE },
	};
	check_rows(rows, ELEMENTS(rows), true);
}

static void status_lines(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{ SPAN("HTTP/1.1 200 OK\r\n\r\n"), 0 },
		{ SPAN("HTTP/1.0 200 OK\r\n\r\n"), 0 },
		{ SPAN("HTTP/1.1 999 \r\n\r\n"), 0 },
		{ SPAN("HTTP/1.1 200\r\n\r\n"), 0 }, /* without the space: RFC 9112 4 wants it */
		{ SPAN("HTTP/1.1 200 All\tis w\xe9ll: \"so\"\r\n\r\n"), 0 },
		{ SPAN("HTTP/1.1 200 OK\r\nX: caf\xe9\r\n\r\n"), 0 }, /* UTF-8 for requests only */

		{ SPAN("\r\nHTTP/1.1 200 OK\r\n\r\n"), HTTP_REFUSED_STATUS_LINE },
		{ SPAN("SSH-2.0-x\r\n"), HTTP_REFUSED_STATUS_LINE },
		{ SPAN("HTTP/1.1\r\n\r\n"), HTTP_REFUSED_STATUS_LINE },
		{ SPAN("HTTP/1.1 \r\n\r\n"), HTTP_REFUSED_STATUS_LINE },
		{ SPAN("HTTP/1.1 20\r\n\r\n"), HTTP_REFUSED_STATUS_LINE },
		{ SPAN("HTTP/1.1 2000 OK\r\n\r\n"), HTTP_REFUSED_STATUS_LINE },
		{ SPAN("HTTP/1.1 099 OK\r\n\r\n"), HTTP_REFUSED_STATUS_LINE },
		{ SPAN("HTTP/1.1 2x0 OK\r\n\r\n"), HTTP_REFUSED_STATUS_LINE },
		{ SPAN("HTTP/1.1 200X\r\n\r\n"), HTTP_REFUSED_STATUS_LINE },
		{ SPAN("HTTP/1.1 -20 OK\r\n\r\n"), HTTP_REFUSED_STATUS_LINE },
		{ SPAN("HTTP/1.1  200 OK\r\n\r\n"), HTTP_REFUSED_STATUS_LINE },
		{ SPAN("HTTP/1.1\t200 OK\r\n\r\n"), HTTP_REFUSED_STATUS_LINE },
		{ SPAN("HTTP/1.1 200\tOK\r\n\r\n"), HTTP_REFUSED_STATUS_LINE },
		{ SPAN("HTTP/1.1 200 O\0K\r\n\r\n"), HTTP_REFUSED_STATUS_LINE },
		{ SPAN("HTTP/1.1 200 O\x1bK\r\n\r\n"), HTTP_REFUSED_STATUS_LINE },
		{ SPAN("HTTP/1.1 200 O\rK\r\n\r\n"), HTTP_REFUSED_STATUS_LINE },
		{ SPAN("HTTP/1.1 200 OK\n\n"), HTTP_REFUSED_LINE_END },
		{ SPAN("HTTP/1. 200 OK\r\n\r\n"), HTTP_REFUSED_VERSION },
		{ SPAN("HTTP/1.12 200 OK\r\n\r\n"), HTTP_REFUSED_STATUS_LINE },
		{ SPAN("HTTPS/1.1 200 OK\r\n\r\n"), HTTP_REFUSED_VERSION },
		{ SPAN("HTTP/2.0 200 OK\r\n\r\n"), HTTP_REFUSED_VERSION_OTHER },
		{ SPAN("HTTP/1.1 200 OK\r\nX : a\r\n\r\n"), HTTP_REFUSED_FIELD_NAME },
		{ SPAN("HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n"), HTTP_REFUSED_FIELD_FOLDED },
	};
	check_rows(rows, ELEMENTS(rows), false);
}

static void what_is_found(void **state)
{
	(void)state;
	struct head_input in = {
		.text = SPAN("POST /a?b HTTP/1.1\r\nHost: h:1\r\nX-One:  1 \r\nx-one: 2\r\n"
			     "ACCEPT: */*\r\naccept:\r\nVary: a\r\nVary: b\r\nContent-Length: "
			     "7\r\n\r\nbody"),
		.request = true
	};
	assert_int_equal(read_all_ways(&in), 0);
	assert_int_equal(head.length, in.text.len - 4);
	assert_int_equal(head.refusal, HTTP_REFUSED_NOTHING);
	assert_int_equal(head.minor, 1);
	assert_int_equal(head.method_id, HTTP_METHOD_POST);
	assert_true(span_is(head.method, "POST") && span_is(head.target, "/a?b"));
	assert_true(span_is(head.host, "h:1"));
	assert_int_equal(head.n_fields, 8);
	assert_true(span_is(head.fields[1].name, "X-One") && span_is(head.fields[1].value, "1"));
	assert_int_equal(head.fields[1].id, HTTP_FIELD_OTHER);
	assert_true(span_is(http_head_value(&head, HTTP_FIELD_ACCEPT), "*/*"));
	assert_true(http_head_repeats(&head, HTTP_FIELD_ACCEPT));
	assert_true(http_head_repeats(&head, HTTP_FIELD_VARY));
	assert_false(http_head_repeats(&head, HTTP_FIELD_HOST));
	assert_false(http_head_has(&head, HTTP_FIELD_RANGE));
	assert_null(http_head_value(&head, HTTP_FIELD_RANGE).data);
	assert_int_equal(head.body_length, 7);

	in = (struct head_input){ .text = SPAN("HTTP/1.0 404 Not\tFound\r\n\r\n") };
	assert_int_equal(read_all_ways(&in), 0);
	assert_int_equal(head.status, 404);
	assert_int_equal(head.minor, 0);
	assert_true(span_is(head.reason, "Not\tFound") && head.n_fields == 0);
}

static void more_is_awaited_until_the_end(void **state)
{
	(void)state;
	static const struct span text = SPAN("GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\r\n");
	for (size_t n = 0; n < text.len; n++) {
		struct head_input in = { .text = { text.data, n }, .request = true };
		assert_int_equal(read_all_ways(&in), -EAGAIN);
	}
	static const struct span answer = SPAN("HTTP/1.1 200 OK\r\nX: b\r\n\r\n");
	for (size_t n = 0; n < answer.len; n++) {
		struct head_input in = { .text = { answer.data, n } };
		assert_int_equal(read_all_ways(&in), -EAGAIN);
	}
}

/* Each byte at each place of a value: the parser looks at eight at a time. */
static void every_byte_at_every_place(void **state)
{
	(void)state;
	for (int c = 0; c < 256; c++)
		for (size_t at = 0; at < 24; at++) {
			char text[] = GET "X: -abcdefghijklmnopqrstuvwx-\r\n\r\n";
			char *place = text + sizeof(GET "X: -") - 1 + at;
			bool good = c == '\t' || (c >= 0x20 && c < 0x7f);
			*place = (char)c;
			struct http_scan scan = { 0 };
			int r = http_request_parse(&scan, text, sizeof(text) - 1, NULL, &head);
			assert_int_equal(r, good ? 0 : -EBADMSG);
			if (good)
				assert_int_equal(head.fields[1].value.len, 26);
		}
}

/* `prefix`, then the filling, then `suffix`. */
static char *padded(const char *prefix, size_t filling, const char *suffix, size_t *ret_len)
{
	size_t before = strlen(prefix), after = strlen(suffix);
	char *text = malloc(before + filling + after + 1);

	assert_non_null(text);
	memcpy(text, prefix, before);
	memset(text + before, 'x', filling);
	memcpy(text + before + filling, suffix, after + 1);
	*ret_len = before + filling + after;
	return text;
}

static void check_padded(const char *prefix, size_t filling, const char *suffix, int result,
			 enum http_refusal why)
{
	size_t n;
	_cleanup_free_ char *text = padded(prefix, filling, suffix, &n), *base = NULL;
	struct head_input in = { .text = { text, n }, .request = true };
	int r = head_parse_growing(&in, n, 1, &head, &base);

	assert_int_equal(r, result);
	if (r == -EBADMSG)
		assert_int_equal(head.refusal, why);
	assert_true(head_grows_alike(&in, 0, 1000, r, &head, base));
	assert_true(head_grows_alike(&in, n - 1, 1, r, &head, base));
}

static void limits(void **state)
{
	(void)state;
	size_t rest = strlen(GET "X: "
				 "\r\n\r\n");
	size_t most = LIMIT_HTTP_HEAD_BYTES - rest;

	check_padded(GET "X: ", most, "\r\n\r\n", 0, 0);
	check_padded(GET "X: ", most, "\r\n\r\nbody", 0, 0);
	check_padded(GET "X: ", most + 1, "\r\n\r\n", -EBADMSG, HTTP_REFUSED_HEAD_LONG);
	check_padded(GET, most + rest, "", -EBADMSG, HTTP_REFUSED_HEAD_LONG);
	/* an unfinished head that has reached the limit waits for nothing */
	check_padded(GET "X: ", LIMIT_HTTP_HEAD_BYTES - strlen(GET "X: ") - 1, "", -EAGAIN, 0);
	check_padded(GET "X: ", LIMIT_HTTP_HEAD_BYTES - strlen(GET "X: "), "", -EBADMSG,
		     HTTP_REFUSED_HEAD_LONG);

	check_padded("GET /", LIMIT_HTTP_TARGET_BYTES - 1, " HTTP/1.1\r\n" H, 0, 0);
	check_padded("GET /", LIMIT_HTTP_TARGET_BYTES, " HTTP/1.1\r\n" H, -EBADMSG,
		     HTTP_REFUSED_TARGET_LONG);
	check_padded("GET /", LIMIT_HTTP_HEAD_BYTES, " HTTP/1.1\r\n" H, -EBADMSG,
		     HTTP_REFUSED_TARGET_LONG);
	check_padded("", LIMIT_HTTP_HEAD_BYTES, "", -EBADMSG, HTTP_REFUSED_TARGET_LONG);
}

static void a_limit_may_be_lower_but_not_higher(void **state)
{
	(void)state;
	struct http_rules lower = { .head_bytes = 40 }, higher = { .head_bytes = 1 << 20 };
	struct head_input in = { .text = SPAN(GET "X: 12345678\r\n\r\n"),
				 .request = true,
				 .rules = &lower };
	assert_int_equal(in.text.len, 40);
	assert_int_equal(read_all_ways(&in), 0);
	in.text = SPAN(GET "X: 123456789\r\n\r\n");
	assert_int_equal(read_all_ways(&in), -EBADMSG);
	assert_int_equal(head.refusal, HTTP_REFUSED_HEAD_LONG);

	size_t n;
	_cleanup_free_ char *text = padded(GET "X: ", LIMIT_HTTP_HEAD_BYTES, "\r\n\r\n", &n);
	struct http_scan scan = { 0 };
	assert_int_equal(http_request_parse(&scan, text, n, &higher, &head), -EBADMSG);
}

static void number_of_fields(void **state)
{
	(void)state;
	static char text[LIMIT_HTTP_HEAD_BYTES];
	for (unsigned n = LIMIT_HTTP_HEADERS; n <= LIMIT_HTTP_HEADERS + 1; n++) {
		size_t len = (size_t)snprintf(text, sizeof(text), GET);
		for (unsigned i = 1; i < n; i++)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "X:\r\n");
		len += (size_t)snprintf(text + len, sizeof(text) - len, "\r\n");
		struct http_scan scan = { 0 };
		int r = http_request_parse(&scan, text, len, NULL, &head);
		assert_int_equal(r, n > LIMIT_HTTP_HEADERS ? -EBADMSG : 0);
		if (r < 0)
			assert_int_equal(head.refusal, HTTP_REFUSED_FIELDS_MANY);
		else
			assert_int_equal(head.n_fields, n);
	}
}

/* RFC 9110 7.6.1 */
static void hop_by_hop(void **state)
{
	(void)state;
	struct head_input in = {
		.text = SPAN("GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Own, close\r\n"
			     "Connection: x-other\r\nKeep-Alive: 1\r\nProxy-Connection: x\r\n"
			     "Proxy-Authorization: x\r\nProxy-Authenticate: x\r\nUpgrade: x\r\n"
			     "x-own: x\r\nX-Other: x\r\nX-Own-Not: x\r\nTE: trailers\r\n"
			     "Trailer: x\r\nAuthorization: x\r\n\r\n"),
		.request = true
	};
	static const bool hop[] = { false, true, true, true,  true,  true,  true,
				    true,  true, true, false, false, false, false };
	assert_int_equal(read_all_ways(&in), 0);
	assert_int_equal(head.n_fields, ELEMENTS(hop));
	for (unsigned i = 0; i < ELEMENTS(hop); i++)
		if (http_field_is_hop(&head, i) != hop[i])
			fail_msg("field %u", i);
}

/* RFC 9110 5.6.1: empty elements are skipped */
static void lists(void **state)
{
	(void)state;
	static const struct {
		const char *list, *elements; /* each of them in brackets */
	} rows[] = {
		{ "", "" },
		{ " \t", "" },
		{ ",", "" },
		{ " , ,,", "" },
		{ "a", "[a]" },
		{ "a,b", "[a][b]" },
		{ " a ,\t, b c\t,", "[a][b c]" },
		{ "a=\"x, y\", b", "[a=\"x, y\"][b]" },
		{ "\"a\\\",b\",c", "[\"a\\\",b\"][c]" },
		{ "\"a,b", "[\"a,b]" },
		{ "\"a\\", "[\"a\\]" },
	};
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		struct span list = span_of(rows[i].list), e;
		char got[64] = "";
		size_t n = 0;
		while (http_list_next(&list, &e)) {
			assert_true(e.len > 0);
			n += (size_t)snprintf(got + n, sizeof(got) - n, "[%.*s]", SPAN_FORMAT(e));
		}
		assert_string_equal(got, rows[i].elements);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(request_lines),
		cmocka_unit_test(field_lines),
		cmocka_unit_test(status_lines),
		cmocka_unit_test(what_is_found),
		cmocka_unit_test(more_is_awaited_until_the_end),
		cmocka_unit_test(every_byte_at_every_place),
		cmocka_unit_test(limits),
		cmocka_unit_test(a_limit_may_be_lower_but_not_higher),
		cmocka_unit_test(number_of_fields),
		cmocka_unit_test(hop_by_hop),
		cmocka_unit_test(lists),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
