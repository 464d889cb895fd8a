/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a message ends and what the connection does next (RFC 9112 6 and 9, RFC 9110 7.2): the field combinations that
 * request smuggling lives on, in every form that other parsers are known to have fallen for.
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

static int read_all_ways(struct span text, bool request, enum http_method to, unsigned lenient)
{
	static char *base;
	struct http_rules rules = { .lenient = lenient };
	struct head_input in = { .text = text, .request = request, .to = to, .rules = &rules };

	free(base);
	int r = head_parse_growing(&in, text.len, 1, &head, &base);
	assert_true(head_grows_alike(&in, 0, 1, r, &head, base));
	assert_true(head_grows_alike(&in, text.len / 2, text.len, r, &head, base));
	return r;
}

#define POST "POST / HTTP/1.1\r\nHost: a\r\n"
#define CL   "Content-Length"
#define TE   "Transfer-Encoding"

struct body_row {
	struct span text;
	enum http_refusal why;
	enum http_body_kind kind;
	uint64_t length;
};

static void check_bodies(const struct body_row *rows, size_t n, bool request, unsigned lenient)
{
	for (size_t i = 0; i < n; i++) {
		int r = read_all_ways(rows[i].text, request, HTTP_METHOD_GET, lenient);
		if (r != (rows[i].why ? -EBADMSG : 0) || (r < 0 && head.refusal != rows[i].why))
			fail_msg("row %zu gave %d: %s: %.*s", i, r,
				 http_refusal_message(head.refusal), SPAN_FORMAT(rows[i].text));
		if (r == 0 && (head.body != rows[i].kind || head.body_length != rows[i].length))
			fail_msg("row %zu: kind %d, length %llu", i, (int)head.body,
				 (unsigned long long)head.body_length);
	}
}

static void bodies_of_requests(void **state)
{
	(void)state;
	static const struct body_row rows[] = {
		/* RFC 9112 6.3, rules 7, 6 and 4 */
		{ SPAN(POST "\r\n"), 0, HTTP_BODY_NONE, 0 },
		{ SPAN(POST CL ": 0\r\n\r\n"), 0, HTTP_BODY_LENGTH, 0 },
		{ SPAN(POST CL ":5\t\r\n\r\n"), 0, HTTP_BODY_LENGTH, 5 },
		{ SPAN(POST CL ": 9223372036854775807\r\n\r\n"), 0, HTTP_BODY_LENGTH, INT64_MAX },
		{ SPAN("GET / HTTP/1.1\r\nHost: a\r\n" CL ": 3\r\n\r\n"), 0, HTTP_BODY_LENGTH, 3 },
		{ SPAN(POST TE ": chunked\r\n\r\n"), 0, HTTP_BODY_CHUNKED, 0 },
		{ SPAN(POST "transfer-encoding: Chunked\r\n\r\n"), 0, HTTP_BODY_CHUNKED, 0 },

		/* RFC 9110 8.6: 1*DIGIT. Leading zeroes are read as octal by some. */
		{ SPAN(POST CL ":\r\n\r\n"), HTTP_REFUSED_LENGTH },
		{ SPAN(POST CL ": 05\r\n\r\n"), HTTP_REFUSED_LENGTH },
		{ SPAN(POST CL ": 00\r\n\r\n"), HTTP_REFUSED_LENGTH },
		{ SPAN(POST CL ": +5\r\n\r\n"), HTTP_REFUSED_LENGTH },
		{ SPAN(POST CL ": -5\r\n\r\n"), HTTP_REFUSED_LENGTH },
		{ SPAN(POST CL ": 0x5\r\n\r\n"), HTTP_REFUSED_LENGTH },
		{ SPAN(POST CL ": 5.0\r\n\r\n"), HTTP_REFUSED_LENGTH },
		{ SPAN(POST CL ": 5e1\r\n\r\n"), HTTP_REFUSED_LENGTH },
		{ SPAN(POST CL ": 1 2\r\n\r\n"), HTTP_REFUSED_LENGTH },
		{ SPAN(POST CL ": 1_2\r\n\r\n"), HTTP_REFUSED_LENGTH },
		{ SPAN(POST CL ": 5;\r\n\r\n"), HTTP_REFUSED_LENGTH },
		{ SPAN(POST CL ": 5a\r\n\r\n"), HTTP_REFUSED_LENGTH },
		{ SPAN(POST CL ": \"5\"\r\n\r\n"), HTTP_REFUSED_LENGTH },
		{ SPAN(POST CL ": \xd9\xa5\r\n\r\n"),
		  HTTP_REFUSED_LENGTH }, /* a digit to Unicode */
		{ SPAN(POST CL ": 9223372036854775808\r\n\r\n"), HTTP_REFUSED_LENGTH },
		{ SPAN(POST CL ": 18446744073709551616\r\n\r\n"), HTTP_REFUSED_LENGTH },
		{ SPAN(POST CL ": 18446744073709551621\r\n\r\n"), HTTP_REFUSED_LENGTH },
		{ SPAN(POST CL ": 99999999999999999999999999\r\n\r\n"), HTTP_REFUSED_LENGTH },
		/* 6.3 rule 5: a list, or several fields; equal ones may be taken, and are not */
		{ SPAN(POST CL ": 5, 5\r\n\r\n"), HTTP_REFUSED_LENGTH },
		{ SPAN(POST CL ": 5,\r\n\r\n"), HTTP_REFUSED_LENGTH },
		{ SPAN(POST CL ": ,5\r\n\r\n"), HTTP_REFUSED_LENGTH },
		{ SPAN(POST CL ": 5\r\n" CL ": 5\r\n\r\n"), HTTP_REFUSED_LENGTH_TWICE },
		{ SPAN(POST CL ": 5\r\ncontent-length: 6\r\n\r\n"), HTTP_REFUSED_LENGTH_TWICE },
		{ SPAN(POST CL ": 5\r\n" CL ":\r\n\r\n"), HTTP_REFUSED_LENGTH_TWICE },
		/* 6.3 rule 3: both may be an attack, and are refused */
		{ SPAN(POST CL ": 5\r\n" TE ": chunked\r\n\r\n"),
		  HTTP_REFUSED_LENGTH_AND_ENCODING },
		{ SPAN(POST TE ": chunked\r\n" CL ": 5\r\n\r\n"),
		  HTTP_REFUSED_LENGTH_AND_ENCODING },
		{ SPAN(POST TE ":\r\n" CL ": 5\r\n\r\n"), HTTP_REFUSED_LENGTH_AND_ENCODING },
		{ SPAN(POST TE ": identity\r\n" CL ": 5\r\n\r\n"),
		  HTTP_REFUSED_LENGTH_AND_ENCODING },
		/* 6.3 rule 4: 400 when chunked is not the last coding */
		{ SPAN(POST TE ":\r\n\r\n"), HTTP_REFUSED_ENCODING },
		{ SPAN(POST TE ": identity\r\n\r\n"), HTTP_REFUSED_ENCODING },
		{ SPAN(POST TE ": gzip\r\n\r\n"), HTTP_REFUSED_ENCODING },
		{ SPAN(POST TE ": chunked, gzip\r\n\r\n"), HTTP_REFUSED_ENCODING },
		{ SPAN(POST TE ": chunked, identity\r\n\r\n"), HTTP_REFUSED_ENCODING },
		/* 7.1: chunked at most once */
		{ SPAN(POST TE ": chunked, chunked\r\n\r\n"), HTTP_REFUSED_ENCODING },
		{ SPAN(POST TE ": chunked\r\n" TE ": chunked\r\n\r\n"), HTTP_REFUSED_ENCODING },
		{ SPAN(POST TE ": gzip\r\n" TE ": chunked\r\n\r\n"), HTTP_REFUSED_ENCODING },
		/* one way of writing it only: others read each of these differently */
		{ SPAN(POST TE ": chunkedchunked\r\n\r\n"), HTTP_REFUSED_ENCODING },
		{ SPAN(POST TE ": xchunked\r\n\r\n"), HTTP_REFUSED_ENCODING },
		{ SPAN(POST TE ": chunke\r\n\r\n"), HTTP_REFUSED_ENCODING },
		{ SPAN(POST TE ": \"chunked\"\r\n\r\n"), HTTP_REFUSED_ENCODING },
		{ SPAN(POST TE ": 'chunked'\r\n\r\n"), HTTP_REFUSED_ENCODING },
		{ SPAN(POST TE ": chunked;q=1\r\n\r\n"), HTTP_REFUSED_ENCODING },
		{ SPAN(POST TE ": chunked x\r\n\r\n"), HTTP_REFUSED_ENCODING },
		{ SPAN(POST TE ": chun\xc5\xbfked\r\n\r\n"), HTTP_REFUSED_ENCODING },
		/* 6.1: 501 for a coding that is merely unknown */
		{ SPAN(POST TE ": gzip, chunked\r\n\r\n"), HTTP_REFUSED_ENCODING_OTHER },
		{ SPAN(POST TE ": cow, , chunked\r\n\r\n"), HTTP_REFUSED_ENCODING_OTHER },
		/* 6.1: not in HTTP/1.0 */
		{ SPAN("POST / HTTP/1.0\r\n" TE ": chunked\r\n\r\n"), HTTP_REFUSED_ENCODING_OLD },
		{ SPAN("POST / HTTP/1.0\r\n" TE ": chunked\r\n" CL ": 5\r\n\r\n"),
		  HTTP_REFUSED_ENCODING_OLD },
	};
	check_bodies(rows, ELEMENTS(rows), true, 0);
}

static void lenient_lengths(void **state)
{
	(void)state;
	static const struct body_row rows[] = {
		{ SPAN(POST CL ": +5\r\n\r\n"), 0, HTTP_BODY_LENGTH, 5 },
		{ SPAN(POST CL ": 005\r\n\r\n"), 0, HTTP_BODY_LENGTH, 5 },
		{ SPAN(POST CL ": 00\r\n\r\n"), 0, HTTP_BODY_LENGTH, 0 },
		{ SPAN(POST CL ": +0009223372036854775807\r\n\r\n"), 0, HTTP_BODY_LENGTH,
		  INT64_MAX },
		{ SPAN(POST CL ": 5\r\n" CL ": 5\r\n\r\n"), 0, HTTP_BODY_LENGTH, 5 },
		{ SPAN(POST CL ": 5\r\n" CL ": 05\r\n\r\n"), HTTP_REFUSED_LENGTH_TWICE },
		{ SPAN(POST CL ": 5\r\n" CL ": 6\r\n\r\n"), HTTP_REFUSED_LENGTH_TWICE },
		{ SPAN(POST CL ": +\r\n\r\n"), HTTP_REFUSED_LENGTH },
		{ SPAN(POST CL ": ++5\r\n\r\n"), HTTP_REFUSED_LENGTH },
		{ SPAN(POST CL ": -5\r\n\r\n"), HTTP_REFUSED_LENGTH },
		{ SPAN(POST CL ": 5, 5\r\n\r\n"), HTTP_REFUSED_LENGTH },
		{ SPAN(POST CL ": 5\r\n" TE ": chunked\r\n\r\n"),
		  HTTP_REFUSED_LENGTH_AND_ENCODING },
	};
	check_bodies(rows, ELEMENTS(rows), true, HTTP_LENIENT_LENGTH);
}

#define OK "HTTP/1.1 200 OK\r\n"

static void bodies_of_responses(void **state)
{
	(void)state;
	static const struct body_row rows[] = {
		{ SPAN(OK "\r\n"), 0, HTTP_BODY_CLOSE, 0 },
		{ SPAN(OK CL ": 5\r\n\r\n"), 0, HTTP_BODY_LENGTH, 5 },
		{ SPAN(OK TE ": chunked\r\n\r\n"), 0, HTTP_BODY_CHUNKED, 0 },
		/* RFC 9112 6.3 rule 1: none whatever the fields say */
		{ SPAN("HTTP/1.1 204 x\r\n" CL ": 5\r\n\r\n"), 0, HTTP_BODY_NONE, 0 },
		{ SPAN("HTTP/1.1 304 x\r\n" CL ": 5\r\n\r\n"), 0, HTTP_BODY_NONE, 0 },
		{ SPAN("HTTP/1.1 304 x\r\n" TE ": chunked\r\n\r\n"), 0, HTTP_BODY_NONE, 0 },
		{ SPAN("HTTP/1.1 100 x\r\n\r\n"), 0, HTTP_BODY_NONE, 0 },
		{ SPAN("HTTP/1.1 101 x\r\n" CL ": 5\r\n\r\n"), 0, HTTP_BODY_NONE, 0 },
		{ SPAN("HTTP/1.1 205 x\r\n" CL ": 0\r\n\r\n"), 0, HTTP_BODY_LENGTH, 0 },

		{ SPAN(OK CL ": 5\r\n" TE ": chunked\r\n\r\n"), HTTP_REFUSED_LENGTH_AND_ENCODING },
		{ SPAN(OK CL ": 5\r\n" CL ": 5\r\n\r\n"), HTTP_REFUSED_LENGTH_TWICE },
		{ SPAN(OK CL ": x\r\n\r\n"), HTTP_REFUSED_LENGTH },
		{ SPAN(OK TE ": gzip\r\n\r\n"), HTTP_REFUSED_ENCODING },
		{ SPAN(OK TE ": gzip, chunked\r\n\r\n"), HTTP_REFUSED_ENCODING_OTHER },
		{ SPAN("HTTP/1.0 200 OK\r\n" TE ": chunked\r\n\r\n"), HTTP_REFUSED_ENCODING_OLD },
	};
	check_bodies(rows, ELEMENTS(rows), false, 0);

	struct span sized = SPAN(OK CL ": 5\r\n\r\n");
	assert_int_equal(read_all_ways(sized, false, HTTP_METHOD_HEAD, 0), 0);
	assert_true(head.body == HTTP_BODY_NONE && head.keep_alive);
	assert_int_equal(read_all_ways(sized, false, HTTP_METHOD_CONNECT, 0), 0);
	assert_int_equal(head.body, HTTP_BODY_NONE); /* rule 2: it is a tunnel */
	assert_int_equal(read_all_ways(SPAN("HTTP/1.1 403 x\r\n" CL ": 5\r\n\r\n"), false,
				       HTTP_METHOD_CONNECT, 0),
			 0);
	assert_int_equal(head.body_length, 5);
}

static void interim_and_upgrade(void **state)
{
	(void)state;
	assert_int_equal(read_all_ways(SPAN("HTTP/1.1 100 x\r\n\r\n"), false, HTTP_METHOD_POST, 0),
			 0);
	assert_true(head.interim && !head.upgrade);
	assert_int_equal(read_all_ways(SPAN("HTTP/1.1 103 x\r\n\r\n"), false, HTTP_METHOD_GET, 0),
			 0);
	assert_true(head.interim);
	assert_int_equal(
		read_all_ways(SPAN("HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"),
			      false, HTTP_METHOD_GET, 0),
		0);
	assert_true(!head.interim && head.upgrade && !head.keep_alive);
	assert_int_equal(read_all_ways(SPAN(OK "\r\n"), false, HTTP_METHOD_GET, 0), 0);
	assert_true(!head.interim && !head.upgrade);
}

struct connection_row {
	struct span text;
	enum http_refusal why;
	bool keep_alive, upgrade, expect;
};

static void connections_of_requests(void **state)
{
	(void)state;
	static const struct connection_row rows[] = {
		/* RFC 9112 9.3 */
		{ SPAN(POST "\r\n"), 0, true },
		{ SPAN(POST "Connection: close\r\n\r\n"), 0, false },
		{ SPAN(POST "Connection: CLOSE\r\n\r\n"), 0, false },
		{ SPAN(POST "Connection: keep-alive, close\r\n\r\n"), 0, false },
		{ SPAN(POST "Connection: x\r\nConnection: close\r\n\r\n"), 0, false },
		{ SPAN(POST "Connection: closed\r\n\r\n"), 0, true },
		{ SPAN(POST "Connection: x\r\nX: close\r\nY: a b\r\n\r\n"), 0, true },
		{ SPAN("GET / HTTP/1.0\r\n\r\n"), 0, false },
		{ SPAN("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"), 0, true },
		{ SPAN("GET / HTTP/1.0\r\nConnection: Keep-Alive, close\r\n\r\n"), 0, false },
		/* RFC 9110 7.8 */
		{ SPAN(POST "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"), 0, true, true },
		{ SPAN(POST "Connection: Upgrade, x\r\nUpgrade: x\r\n\r\n"), 0, true, true },
		{ SPAN(POST "Connection: Upgrade\r\n\r\n"), 0, true, false },
		{ SPAN(POST "Upgrade: websocket\r\n\r\n"), 0, true, false },
		{ SPAN("GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"), 0 },
		/* RFC 9110 10.1.1 */
		{ SPAN(POST "Expect: 100-Continue\r\n\r\n"), 0, true, false, true },
		{ SPAN(POST "Expect: 200-maybe\r\n\r\n"), 0, true },
		{ SPAN("POST / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n"), 0 },
		/* RFC 9110 7.6.1: a list of tokens; what frames or routes is no option */
		{ SPAN(POST "Connection: content-length\r\n\r\n"), HTTP_REFUSED_CONNECTION },
		{ SPAN(POST "Connection: close, Transfer-Encoding\r\n\r\n"),
		  HTTP_REFUSED_CONNECTION },
		{ SPAN(POST "Connection: host\r\n\r\n"), HTTP_REFUSED_CONNECTION },
		{ SPAN(POST "Connection: x\r\nConnection: host\r\n\r\n"), HTTP_REFUSED_CONNECTION },
		{ SPAN(POST "Connection: a b\r\n\r\n"), HTTP_REFUSED_CONNECTION },
		{ SPAN(POST "Connection: \"close\"\r\n\r\n"), HTTP_REFUSED_CONNECTION },
		{ SPAN(POST "Connection: close;x\r\n\r\n"), HTTP_REFUSED_CONNECTION },
		{ SPAN(POST "Connection: a,,b\r\n\r\n"), HTTP_REFUSED_CONNECTION },
		{ SPAN(POST "Connection:\r\n\r\n"), HTTP_REFUSED_CONNECTION },
	};
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		int r = read_all_ways(rows[i].text, true, HTTP_METHOD_OTHER, 0);
		if (r != (rows[i].why ? -EBADMSG : 0) || (r < 0 && head.refusal != rows[i].why) ||
		    (r == 0 &&
		     (head.keep_alive != rows[i].keep_alive || head.upgrade != rows[i].upgrade ||
		      head.expect_100 != rows[i].expect)))
			fail_msg("row %zu gave %d: %.*s", i, r, SPAN_FORMAT(rows[i].text));
	}
}

static void connections_of_responses(void **state)
{
	(void)state;
	static const struct {
		struct span text;
		bool keep_alive;
	} rows[] = {
		{ SPAN(OK CL ": 0\r\n\r\n"), true },
		{ SPAN(OK CL ": 0\r\nConnection: close\r\n\r\n"), false },
		{ SPAN(OK CL ": 0\r\nConnection: , keep-alive,\r\n\r\n"), true },
		{ SPAN(OK "\r\n"), false }, /* only its end ends the body */
		{ SPAN("HTTP/1.0 200 OK\r\n" CL ": 0\r\n\r\n"), false },
		{ SPAN("HTTP/1.0 200 OK\r\n" CL ": 0\r\nConnection: keep-alive\r\n\r\n"), true },
	};
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		assert_int_equal(read_all_ways(rows[i].text, false, HTTP_METHOD_GET, 0), 0);
		assert_int_equal(head.keep_alive, rows[i].keep_alive);
	}
}

#define GET "GET / HTTP/1.1\r\n"

/* RFC 9112 3.2: 400 for none, more than one, or one that is malformed. */
static void hosts(void **state)
{
	(void)state;
	static const struct {
		struct span text;
		enum http_refusal why;
	} rows[] = {
		{ SPAN(GET "Host: a\r\n\r\n"), 0 },
		{ SPAN(GET "Host: a.example:8080\r\n\r\n"), 0 },
		{ SPAN(GET "Host: [::1]:80\r\n\r\n"), 0 },
		{ SPAN(GET "hOST: 127.0.0.1\r\n\r\n"), 0 },
		{ SPAN("GET / HTTP/1.0\r\n\r\n"), 0 },
		{ SPAN(GET "\r\n"), HTTP_REFUSED_HOST_MISSING },
		{ SPAN(GET "X-Host: a\r\n\r\n"), HTTP_REFUSED_HOST_MISSING },
		{ SPAN(GET "Host: a\r\nHost: a\r\n\r\n"), HTTP_REFUSED_HOST_TWICE },
		{ SPAN(GET "Host: a\r\nX: y\r\nhost: b\r\n\r\n"), HTTP_REFUSED_HOST_TWICE },
		{ SPAN("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"), HTTP_REFUSED_HOST_TWICE },
		{ SPAN(GET "Host:\r\n\r\n"), HTTP_REFUSED_HOST },
		{ SPAN(GET "Host: a b\r\n\r\n"), HTTP_REFUSED_HOST },
		{ SPAN(GET "Host: a, b\r\n\r\n"), HTTP_REFUSED_HOST },
		{ SPAN(GET "Host: http://a\r\n\r\n"), HTTP_REFUSED_HOST },
		{ SPAN(GET "Host: a/b\r\n\r\n"), HTTP_REFUSED_HOST },
		{ SPAN(GET "Host: u@a\r\n\r\n"), HTTP_REFUSED_HOST },
		{ SPAN(GET "Host: a?\r\n\r\n"), HTTP_REFUSED_HOST },
		{ SPAN(GET "Host: a#\r\n\r\n"), HTTP_REFUSED_HOST },
		{ SPAN(GET "Host: a:\r\n\r\n"), HTTP_REFUSED_HOST },
		{ SPAN(GET "Host: a:x\r\n\r\n"), HTTP_REFUSED_HOST },
		{ SPAN(GET "Host: ::1\r\n\r\n"), HTTP_REFUSED_HOST },
		{ SPAN(GET "Host: \xc3\xa9\r\n\r\n"), HTTP_REFUSED_HOST },
		{ SPAN("GET / HTTP/1.0\r\nHost: a b\r\n\r\n"), HTTP_REFUSED_HOST },
	};
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		int r = read_all_ways(rows[i].text, true, HTTP_METHOD_OTHER, 0);
		if (r != (rows[i].why ? -EBADMSG : 0) || (r < 0 && head.refusal != rows[i].why))
			fail_msg("row %zu gave %d: %.*s", i, r, SPAN_FORMAT(rows[i].text));
		/* A proxy that ignores Host in favour of the target forgives all of these. */
		assert_int_equal(
			read_all_ways(rows[i].text, true, HTTP_METHOD_OTHER, HTTP_LENIENT_HOST), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bodies_of_requests),
		cmocka_unit_test(lenient_lengths),
		cmocka_unit_test(bodies_of_responses),
		cmocka_unit_test(interim_and_upgrade),
		cmocka_unit_test(connections_of_requests),
		cmocka_unit_test(connections_of_responses),
		cmocka_unit_test(hosts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
