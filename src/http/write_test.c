/* SPDX-License-Identifier: Apache-2.0 */
/* The head writer: what it writes the parser reads back, and what would break the framing is not written. */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/cleanup.h"
#include "http/head.h"
#include "http/write.h"
#include <errno.h>

static struct http_head head;
static char out[1024];

static void a_response_is_read_back(void **state)
{
	(void)state;
	struct http_writer w = HTTP_WRITER(out, sizeof(out));
	struct http_scan scan = { 0 };
	size_t n;

	http_write_status(&w, 206, NULL);
	http_write_text(&w, HTTP_FIELD_CONTENT_TYPE, "text/plain; charset=utf-8");
	http_write_number(&w, HTTP_FIELD_CONTENT_LENGTH, INT64_MAX);
	http_write_field(&w, SPAN("X-Own"), SPAN("a\tb \xc3\xa9"));
	http_write_span(&w, HTTP_FIELD_ETAG, SPAN(""));
	http_write_constant(&w, "Server: x\r\nVary: y\r\n");
	http_write_date(&w, 784111777000);
	assert_int_equal(http_write_end(&w, &n), 0);
	assert_true(span_is((struct span){ out, n },
			    "HTTP/1.1 206 Partial Content\r\n"
			    "Content-Type: text/plain; charset=utf-8\r\n"
			    "Content-Length: 9223372036854775807\r\n"
			    "X-Own: a\tb \xc3\xa9\r\nETag: \r\nServer: x\r\nVary: y\r\n"
			    "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n"));
	assert_int_equal(http_response_parse(&scan, out, n, HTTP_METHOD_GET, NULL, &head), 0);
	assert_true(head.length == n && head.status == 206 && head.body_length == INT64_MAX);
	assert_true(span_is(head.fields[2].value, "a\tb \xc3\xa9"));
}

static void a_request_is_read_back(void **state)
{
	(void)state;
	struct http_writer w = HTTP_WRITER(out, sizeof(out));
	struct http_scan scan = { 0 };
	size_t n;

	http_write_request(&w, SPAN("POST"), SPAN("/a?b=%20"));
	http_write_text(&w, HTTP_FIELD_HOST, "a:1");
	http_write_text(&w, HTTP_FIELD_TRANSFER_ENCODING, "chunked");
	assert_int_equal(http_write_end(&w, &n), 0);
	assert_int_equal(http_request_parse(&scan, out, n, NULL, &head), 0);
	assert_true(head.length == n && head.method_id == HTTP_METHOD_POST);
	assert_true(span_is(head.target, "/a?b=%20") && span_is(head.host, "a:1"));
	assert_int_equal(head.body, HTTP_BODY_CHUNKED);
}

/* RFC 9110 5.5: no response splitting */
static void what_would_break_the_framing(void **state)
{
	(void)state;
	static const struct span values[] = {
		SPAN("a\r\nSet-Cookie: b"),
		SPAN("a\r"),
		SPAN("\n"),
		SPAN("a\0b"),
		SPAN("\x7f"),
		SPAN("\x1b[0m"),
	};
	static const struct span names[] = {
		SPAN(""), SPAN("a b"), SPAN("a:"), SPAN("a\r\nb"), SPAN("a\0"), SPAN("\xc3\xa9"),
	};
	size_t n = 12345;

	for (size_t i = 0; i < ELEMENTS(values); i++) {
		struct http_writer w = HTTP_WRITER(out, sizeof(out));
		http_write_status(&w, 200, NULL);
		http_write_span(&w, HTTP_FIELD_LOCATION, values[i]);
		http_write_field(&w, SPAN("X"), SPAN("good")); /* the first fault stays */
		assert_int_equal(http_write_end(&w, &n), -EINVAL);
		w = HTTP_WRITER(out, sizeof(out));
		http_write_field(&w, SPAN("X"), values[i]);
		assert_int_equal(http_write_end(&w, &n), -EINVAL);
		w = HTTP_WRITER(out, sizeof(out));
		http_write_request(&w, SPAN("GET"), values[i]);
		assert_int_equal(http_write_end(&w, &n), -EINVAL);
		w = HTTP_WRITER(out, sizeof(out));
		http_write_request(&w, values[i], SPAN("/"));
		assert_int_equal(http_write_end(&w, &n), -EINVAL);
	}
	for (size_t i = 0; i < ELEMENTS(names); i++) {
		struct http_writer w = HTTP_WRITER(out, sizeof(out));
		http_write_field(&w, names[i], SPAN("x"));
		assert_int_equal(http_write_end(&w, &n), -EINVAL);
	}
	struct http_writer w = HTTP_WRITER(out, sizeof(out));
	http_write_status(&w, 200, "O\r\nK");
	assert_int_equal(http_write_end(&w, &n), -EINVAL);
	w = HTTP_WRITER(out, sizeof(out));
	http_write_request(&w, SPAN("GET"), SPAN("/a b"));
	assert_int_equal(http_write_end(&w, &n), -EINVAL);
	w = HTTP_WRITER(out, sizeof(out));
	http_write_request(&w, SPAN("GET"), SPAN(""));
	assert_int_equal(http_write_end(&w, &n), -EINVAL);
	assert_int_equal(n, 12345);
}

/* Each size that is too small, with what lies behind it untouched. */
static void room(void **state)
{
	(void)state;
	static const char whole[] = "HTTP/1.1 200 OK\r\nAge: 10\r\nX: y\r\n\r\n";
	size_t n, wanted = sizeof(whole) - 1;
	for (size_t size = 0; size <= wanted; size++) {
		struct http_writer w = HTTP_WRITER(out, size);
		memset(out, '~', sizeof(out));
		http_write_status(&w, 200, NULL);
		http_write_number(&w, HTTP_FIELD_AGE, 10);
		http_write_field(&w, SPAN("X"), SPAN("y"));
		assert_int_equal(http_write_end(&w, &n), size < wanted ? -ENOBUFS : 0);
		assert_int_equal(out[size], '~');
	}
	assert_memory_equal(out, whole, wanted);
}

/* RFC 9110 5.6.7 */
static void dates(void **state)
{
	(void)state;
	static const struct {
		uint64_t ms;
		const char *text;
	} rows[] = {
		{ 0, "Thu, 01 Jan 1970 00:00:00 GMT" },
		{ 999, "Thu, 01 Jan 1970 00:00:00 GMT" },
		{ 784111777000, "Sun, 06 Nov 1994 08:49:37 GMT" },
		{ 951782400000, "Tue, 29 Feb 2000 00:00:00 GMT" },
		{ 4102444799999, "Thu, 31 Dec 2099 23:59:59 GMT" },
	};
	char text[HTTP_DATE_SIZE];
	for (size_t i = 0; i < ELEMENTS(rows); i++)
		assert_string_equal(http_date(rows[i].ms, text), rows[i].text);
	/* the formatted one is not kept past its second */
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		struct http_writer w = HTTP_WRITER(out, sizeof(out) - 1);
		http_write_date(&w, rows[i].ms);
		out[w.len] = '\0';
		assert_non_null(strstr(out, rows[i].text));
	}
}

static void reasons(void **state)
{
	(void)state;
	assert_string_equal(http_reason(404), "Not Found");
	assert_string_equal(http_reason(299), "");
	for (int why = 0; why < HTTP_REFUSED_COUNT; why++)
		assert_true(*http_reason(http_refusal_status((enum http_refusal)why)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_response_is_read_back),
		cmocka_unit_test(a_request_is_read_back),
		cmocka_unit_test(what_would_break_the_framing),
		cmocka_unit_test(room),
		cmocka_unit_test(dates),
		cmocka_unit_test(reasons),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
