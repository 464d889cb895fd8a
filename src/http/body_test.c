/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bodies: fixed, chunked with trailers (RFC 9112 6 and 7), and ended by the connection. Every case is decoded at once, byte
 * by byte, and divided in two at every place, and must come out the same, with no byte taken behind the message's end.
 */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/cleanup.h"
#include "base/limit.h"
#include "http/body.h"
#include <errno.h>

/* What came out of one message. */
struct outcome {
	int result; /* -EAGAIN when more is wanted */
	enum http_refusal why;
	size_t used;
	char payload[64], trailer[64];
	size_t payload_len, trailer_len;
};

static void gather(char *to, size_t *len, struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (*len < 64)
			to[(*len)++] = s.data[i];
}

/* Feed text[0, n) and then the rest, both in steps. */
static struct outcome decode(struct span text, size_t first, size_t step, bool lenient)
{
	struct http_body b;
	struct outcome o = { .result = -EAGAIN };
	size_t there = first;

	http_body_start(&b, HTTP_BODY_CHUNKED, 0);
	b.lenient = lenient;
	while (!b.done) {
		size_t used = 0, n = there - o.used;
		struct http_piece piece = { 0 };
		/* A buffer of its own, so that reading on would be seen. */
		_cleanup_free_ char *copy = malloc(n ? n : 1);
		assert_non_null(copy);
		memcpy(copy, text.data + o.used, n);
		if (http_body_decode(&b, copy, n, &used, &piece) < 0) {
			o.result = -EBADMSG;
			o.why = b.refusal;
			assert_int_equal(http_body_end(&b), -EBADMSG);
			assert_int_equal(http_body_decode(&b, "x", 1, &used, &piece), -EBADMSG);
			return o;
		}
		assert_true(used <= n);
		assert_true(piece.payload.len == 0 || piece.trailer.len == 0);
		gather(o.payload, &o.payload_len, piece.payload);
		gather(o.trailer, &o.trailer_len, piece.trailer);
		o.used += used;
		if (used < n)
			continue;
		if (there == text.len)
			break;
		there += step;
		if (there > text.len)
			there = text.len;
	}
	if (b.done) {
		o.result = 0;
		assert_int_equal(b.payload, o.payload_len);
		assert_int_equal(http_body_end(&b), 0);
	} else {
		assert_int_equal(http_body_end(&b), -EBADMSG);
		assert_int_equal(b.refusal, HTTP_REFUSED_TRUNCATED);
	}
	return o;
}

static struct outcome decode_all_ways(struct span text, bool lenient)
{
	struct outcome whole = decode(text, text.len, 1, lenient);
	for (size_t first = 0; first <= text.len; first++) {
		struct outcome o = decode(text, first, first ? text.len : 1, lenient);
		/* Of a message that is refused, more may have been handed out in pieces. */
		if (o.result != whole.result || o.why != whole.why ||
		    (o.result == 0 && memcmp(&o, &whole, sizeof(o)) != 0))
			fail_msg("divided at %zu it is read otherwise: %.*s", first,
				 SPAN_FORMAT(text));
	}
	return whole;
}

struct row {
	struct span text;
	enum http_refusal why;
	const char *payload, *trailer;
	size_t left; /* bytes behind the message's end */
};

static void check_rows(const struct row *rows, size_t n, bool lenient)
{
	for (size_t i = 0; i < n; i++) {
		const struct row *row = &rows[i];
		struct outcome o = decode_all_ways(row->text, lenient);
		if (o.result != (row->why ? -EBADMSG : 0) || o.why != row->why)
			fail_msg("row %zu gave %d: %s: %.*s", i, o.result,
				 http_refusal_message(o.why), SPAN_FORMAT(row->text));
		if (row->why)
			continue;
		assert_int_equal(o.used, row->text.len - row->left);
		assert_true(span_is((struct span){ o.payload, o.payload_len }, row->payload));
		assert_true(span_is((struct span){ o.trailer, o.trailer_len },
				    row->trailer ? row->trailer : ""));
	}
}

#define LAST "0\r\n\r\n"

static void chunks(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{ SPAN(LAST), 0, "" },
		{ SPAN("5\r\nhello\r\n" LAST), 0, "hello" },
		{ SPAN("5\r\nhello\r\n6\r\n world\r\n000\r\n\r\n"), 0, "hello world" },
		{ SPAN("a\r\n0123456789\r\nA\r\n0123456789\r\n" LAST), 0, "01234567890123456789" },
		{ SPAN("05\r\nhello\r\n" LAST), 0, "hello" },
		{ SPAN("0000000000000005\r\nhello\r\n" LAST), 0, "hello" },
		{ SPAN("4\r\n\r\n\r\n\r\n" LAST), 0, "\r\n\r\n" },
		{ SPAN("5\r\n0\r\n\r\n\r\n" LAST), 0, "0\r\n\r\n" },
		/* what follows is the next message's */
		{ SPAN(LAST "GET / HTTP/1.1\r\n"), 0, "", "", 16 },
		{ SPAN("1\r\nx\r\n" LAST "\r\n"), 0, "x", "", 2 },
		{ SPAN(LAST LAST), 0, "", "", 5 },
		/* RFC 9112 7.1.1: extensions that are not understood are ignored */
		{ SPAN("5;a;b=c;d=\"e f\"\r\nhello\r\n0;z\r\n\r\n"), 0, "hello" },
		{ SPAN("5;\r\nhello\r\n" LAST), 0, "hello" },
		{ SPAN("5; \t=\xe9\"\r\nhello\r\n" LAST), 0, "hello" },
	};
	check_rows(rows, ELEMENTS(rows), false);
}

static void chunks_that_are_refused(void **state)
{
	(void)state;
	static const struct row rows[] = {
		/* RFC 9112 7.1: 1*HEXDIG, which must not overflow */
		{ SPAN("\r\n"), HTTP_REFUSED_CHUNK_SIZE },
		{ SPAN("g\r\n"), HTTP_REFUSED_CHUNK_SIZE },
		{ SPAN(" 5\r\nhello\r\n"), HTTP_REFUSED_CHUNK_SIZE },
		{ SPAN("+5\r\nhello\r\n"), HTTP_REFUSED_CHUNK_SIZE },
		{ SPAN("-5\r\nhello\r\n"), HTTP_REFUSED_CHUNK_SIZE },
		{ SPAN("0x5\r\nhello\r\n"), HTTP_REFUSED_CHUNK_SIZE },
		{ SPAN("5x\r\nhello\r\n"), HTTP_REFUSED_CHUNK_SIZE },
		{ SPAN("5 \r\nhello\r\n"), HTTP_REFUSED_CHUNK_SIZE },
		{ SPAN("5\t;a\r\nhello\r\n"), HTTP_REFUSED_CHUNK_SIZE },
		{ SPAN("5 5\r\nhello\r\n"), HTTP_REFUSED_CHUNK_SIZE },
		{ SPAN("5,5\r\nhello\r\n"), HTTP_REFUSED_CHUNK_SIZE },
		{ SPAN("1_0\r\n"), HTTP_REFUSED_CHUNK_SIZE },
		{ SPAN("5.0\r\n"), HTTP_REFUSED_CHUNK_SIZE },
		{ SPAN("\xd9\xa5\r\n"), HTTP_REFUSED_CHUNK_SIZE },
		{ SPAN("\0"), HTTP_REFUSED_CHUNK_SIZE },
		{ SPAN(";a\r\n"), HTTP_REFUSED_CHUNK_SIZE },
		{ SPAN("1000000000000000\r\n"), HTTP_REFUSED_CHUNK_SIZE },
		{ SPAN("fffffffffffffffff\r\n"), HTTP_REFUSED_CHUNK_SIZE },
		{ SPAN("10000000000000005\r\nhello\r\n"), HTTP_REFUSED_CHUNK_SIZE },
		{ SPAN("00000000000000005\r\nhello\r\n"), HTTP_REFUSED_CHUNK_SIZE },
		/* 2.2: a bare LF or CR ends no line */
		{ SPAN("5\nhello\r\n"), HTTP_REFUSED_LINE_END },
		{ SPAN("5\rhello\r\n"), HTTP_REFUSED_LINE_END },
		{ SPAN("5\r\rhello\r\n"), HTTP_REFUSED_LINE_END },
		{ SPAN("5;\nhello\r\n"), HTTP_REFUSED_LINE_END },
		{ SPAN("5;a\rb\r\nhello\r\n"), HTTP_REFUSED_LINE_END },
		{ SPAN("5;a\0\r\nhello\r\n"), HTTP_REFUSED_LINE_END },
		{ SPAN("5;a\x7f\r\nhello\r\n"), HTTP_REFUSED_LINE_END },
		{ SPAN("0\n\n"), HTTP_REFUSED_LINE_END },
		{ SPAN("0\r\n\n"), HTTP_REFUSED_TRAILER },
		{ SPAN("0\r\n\r\r\n"), HTTP_REFUSED_LINE_END },
		{ SPAN("0\r\n\rX"), HTTP_REFUSED_LINE_END },
		/* 7.1: CRLF ends the data, no more and no less of it */
		{ SPAN("5\r\nhello" LAST), HTTP_REFUSED_CHUNK_END },
		{ SPAN("5\r\nhello\n"), HTTP_REFUSED_CHUNK_END },
		{ SPAN("5\r\nhello\r5\r\n"), HTTP_REFUSED_CHUNK_END },
		{ SPAN("5\r\nhello\r\r\n"), HTTP_REFUSED_CHUNK_END },
		{ SPAN("4\r\nhello\r\n"), HTTP_REFUSED_CHUNK_END },
		{ SPAN("6\r\nhello\r\n" LAST), HTTP_REFUSED_CHUNK_END },
		{ SPAN("5\r\nhello!!" LAST), HTTP_REFUSED_CHUNK_END },
		{ SPAN("5\r\nhello\r\n\r\n" LAST), HTTP_REFUSED_CHUNK_SIZE },
	};
	check_rows(rows, ELEMENTS(rows), false);
}

static void lenient_chunks(void **state)
{
	(void)state;
	static const struct row good[] = {
		{ SPAN("+5\r\nhello\r\n" LAST), 0, "hello" },
		{ SPAN("5 \t \r\nhello\r\n0 \r\n\r\n"), 0, "hello" },
		{ SPAN("5 ;a\r\nhello\r\n" LAST), 0, "hello" },
	};
	static const struct row bad[] = {
		{ SPAN("+\r\n"), HTTP_REFUSED_CHUNK_SIZE },
		{ SPAN("++5\r\n"), HTTP_REFUSED_CHUNK_SIZE },
		{ SPAN("5+5\r\n"), HTTP_REFUSED_CHUNK_SIZE },
		{ SPAN(" 5\r\n"), HTTP_REFUSED_CHUNK_SIZE },
		{ SPAN("5 5\r\n"), HTTP_REFUSED_CHUNK_SIZE },
		{ SPAN("5 \n"), HTTP_REFUSED_CHUNK_SIZE },
		{ SPAN("-5\r\n"), HTTP_REFUSED_CHUNK_SIZE },
	};
	check_rows(good, ELEMENTS(good), true);
	check_rows(bad, ELEMENTS(bad), true);
}

static void trailers(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{ SPAN("0\r\nX: y\r\n\r\n"), 0, "", "X: y\r\n" },
		{ SPAN("1\r\nx\r\n0\r\nA:\r\nb: \xe9\t\r\n\r\nGET"), 0, "x", "A:\r\nb: \xe9\t\r\n",
		  3 },
		{ SPAN("0\r\nContent-Length-Not: 5\r\n\r\n"), 0, "", "Content-Length-Not: 5\r\n" },
		{ SPAN("0\r\nETag: \"a\"\r\n\r\n"), 0, "", "ETag: \"a\"\r\n" },
		{ SPAN("0\r\nA-Name-That-Is-Longer-Than-Any-That-Is-Known: x\r\n\r\n"), 0, "",
		  "A-Name-That-Is-Longer-Than-Any-That-Is-Known: x\r\n" },

		{ SPAN("0\r\n: y\r\n\r\n"), HTTP_REFUSED_TRAILER },
		{ SPAN("0\r\nX\r\n\r\n"), HTTP_REFUSED_TRAILER },
		{ SPAN("0\r\nX : y\r\n\r\n"), HTTP_REFUSED_TRAILER },
		{ SPAN("0\r\n X: y\r\n\r\n"), HTTP_REFUSED_TRAILER },
		{ SPAN("0\r\nX: y\r\n z\r\n\r\n"), HTTP_REFUSED_TRAILER },
		{ SPAN("0\r\nX: \0\r\n\r\n"), HTTP_REFUSED_TRAILER },
		{ SPAN("0\r\nX: y\n\r\n"), HTTP_REFUSED_TRAILER },
		{ SPAN("0\r\nX: y\rz\r\n\r\n"), HTTP_REFUSED_LINE_END },
		{ SPAN("0\r\nGET / HTTP/1.1\r\n"), HTTP_REFUSED_TRAILER },
		/* RFC 9110 6.5.1: what frames, routes, authenticates or describes must come before */
		{ SPAN("0\r\nContent-Length: 5\r\n\r\n"), HTTP_REFUSED_TRAILER },
		{ SPAN("0\r\ntransfer-encoding: chunked\r\n\r\n"), HTTP_REFUSED_TRAILER },
		{ SPAN("0\r\nX: y\r\nHOST: a\r\n\r\n"), HTTP_REFUSED_TRAILER },
		{ SPAN("0\r\nAuthorization: x\r\n\r\n"), HTTP_REFUSED_TRAILER },
		{ SPAN("0\r\nSet-Cookie: x\r\n\r\n"), HTTP_REFUSED_TRAILER },
		{ SPAN("0\r\nConnection: x\r\n\r\n"), HTTP_REFUSED_TRAILER },
		{ SPAN("0\r\nTrailer: x\r\n\r\n"), HTTP_REFUSED_TRAILER },
		{ SPAN("0\r\nContent-Encoding: gzip\r\n\r\n"), HTTP_REFUSED_TRAILER },
	};
	check_rows(rows, ELEMENTS(rows), false);
}

static void an_unfinished_message_waits(void **state)
{
	(void)state;
	static const struct span text = SPAN("5;a\r\nhello\r\n0\r\nX: y\r\n\r\n");
	for (size_t n = 0; n < text.len; n++)
		assert_int_equal(decode_all_ways((struct span){ text.data, n }, false).result,
				 -EAGAIN);
}

/* The message as a whole, in steps of a prime, so that all divisions are met. */
static int decode_large(const char *text, size_t n, enum http_refusal *ret_why)
{
	struct http_body b;
	http_body_start(&b, HTTP_BODY_CHUNKED, 0);
	for (size_t at = 0; at < n && !b.done;) {
		size_t used, step = n - at < 97 ? n - at : 97;
		struct http_piece piece;
		if (http_body_decode(&b, text + at, step, &used, &piece) < 0) {
			*ret_why = b.refusal;
			return -EBADMSG;
		}
		at += used;
	}
	*ret_why = HTTP_REFUSED_NOTHING;
	return b.done ? 0 : -EAGAIN;
}

static void check_limit(const char *before, size_t filling, const char *behind, int result,
			enum http_refusal why)
{
	static char text[LIMIT_HTTP_TRAILER_BYTES + 1024];
	enum http_refusal got;
	size_t n = (size_t)snprintf(text, sizeof(text), "%s", before);
	assert_true(n + filling + strlen(behind) < sizeof(text));
	memset(text + n, 'x', filling);
	n += filling;
	n += (size_t)snprintf(text + n, sizeof(text) - n, "%s", behind);
	assert_int_equal(decode_large(text, n, &got), result);
	assert_int_equal(got, why);
}

static void limits(void **state)
{
	(void)state;
	size_t line = LIMIT_HTTP_CHUNK_LINE_BYTES - strlen("0;"
							   "\r\n");
	check_limit("0;", line, "\r\n\r\n", 0, 0);
	check_limit("0;", line + 1, "\r\n\r\n", -EBADMSG, HTTP_REFUSED_CHUNK_LINE_LONG);
	check_limit("0;", line + 3, "", -EBADMSG, HTTP_REFUSED_CHUNK_LINE_LONG);
	/* the limit is each line's own */
	check_limit("1;a\r\nx\r\n0;", line, "\r\n\r\n", 0, 0);

	size_t trailer = LIMIT_HTTP_TRAILER_BYTES - strlen("X:"
							   "\r\n\r\n");
	check_limit("0\r\nX:", trailer, "\r\n\r\n", 0, 0);
	check_limit("0\r\nX:", trailer + 1, "\r\n\r\n", -EBADMSG, HTTP_REFUSED_TRAILER_LONG);
	check_limit("0\r\nY:\r\nX:", trailer, "\r\n\r\n", -EBADMSG, HTTP_REFUSED_TRAILER_LONG);
	check_limit("0\r\n", LIMIT_HTTP_TRAILER_BYTES + 1, "", -EBADMSG, HTTP_REFUSED_TRAILER_LONG);
}

static void fixed_length(void **state)
{
	(void)state;
	struct http_body b;
	struct http_piece piece;
	size_t used;

	http_body_start(&b, HTTP_BODY_LENGTH, 5);
	assert_int_equal(http_body_decode(&b, "hell", 4, &used, &piece), 0);
	assert_true(used == 4 && !b.done && b.left == 1 && span_is(piece.payload, "hell"));
	assert_int_equal(http_body_decode(&b, "", 0, &used, &piece), 0);
	assert_true(used == 0 && piece.payload.len == 0 && !b.done);
	assert_int_equal(http_body_decode(&b, "oGET", 4, &used, &piece), 0);
	assert_true(used == 1 && b.done && b.payload == 5 && span_is(piece.payload, "o"));
	assert_int_equal(http_body_decode(&b, "GET", 3, &used, &piece), 0);
	assert_true(used == 0 && piece.payload.len == 0);
	assert_int_equal(http_body_end(&b), 0);

	http_body_start(&b, HTTP_BODY_LENGTH, 5);
	assert_int_equal(http_body_decode(&b, "hell", 4, &used, &piece), 0);
	assert_int_equal(http_body_end(&b), -EBADMSG);
	assert_int_equal(b.refusal, HTTP_REFUSED_TRUNCATED);

	http_body_start(&b, HTTP_BODY_LENGTH, UINT64_MAX);
	assert_int_equal(http_body_decode(&b, "x", 1, &used, &piece), 0);
	assert_true(b.left == UINT64_MAX - 1 && !b.done);
}

static void no_body_and_one_that_the_end_ends(void **state)
{
	(void)state;
	struct http_body b;
	struct http_piece piece;
	size_t used;

	http_body_start(&b, HTTP_BODY_NONE, 0);
	assert_true(b.done);
	http_body_start(&b, HTTP_BODY_LENGTH, 0);
	assert_true(b.done);
	assert_int_equal(http_body_decode(&b, "GET", 3, &used, &piece), 0);
	assert_int_equal(used, 0);

	http_body_start(&b, HTTP_BODY_CLOSE, 0);
	assert_int_equal(http_body_decode(&b, "abc", 3, &used, &piece), 0);
	assert_true(used == 3 && !b.done && b.payload == 3 && span_is(piece.payload, "abc"));
	assert_int_equal(http_body_end(&b), 0);
	assert_true(b.done);
}

static void the_head_says_how(void **state)
{
	(void)state;
	static struct http_head h;
	struct http_rules rules = { .lenient = HTTP_LENIENT_LENGTH };
	struct http_scan scan = { 0 };
	struct http_body b;
	struct http_piece piece;
	size_t used;
	struct span text = SPAN("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");

	assert_int_equal(http_request_parse(&scan, text.data, text.len, &rules, &h), 0);
	http_body_init(&b, &h);
	assert_int_equal(http_body_decode(&b, "+1\r\nx", 5, &used, &piece), 0);
	assert_true(span_is(piece.payload, "x"));
	scan = (struct http_scan){ 0 };
	assert_int_equal(http_request_parse(&scan, text.data, text.len, NULL, &h), 0);
	http_body_init(&b, &h);
	assert_int_equal(http_body_decode(&b, "+1\r\nx", 5, &used, &piece), -EBADMSG);
}

/* What we write, we read. */
static void written_chunks(void **state)
{
	(void)state;
	static const uint64_t sizes[] = {
		1, 9, 10, 15, 16, 255, 256, 65535, 1u << 20, 1ull << 32, 1ull << 59, UINT64_MAX
	};
	static const char *const texts[] = { "1",
					     "9",
					     "a",
					     "f",
					     "10",
					     "ff",
					     "100",
					     "ffff",
					     "100000",
					     "100000000",
					     "800000000000000",
					     "ffffffffffffffff" };
	for (size_t i = 0; i < ELEMENTS(sizes); i++) {
		char line[HTTP_CHUNK_BEGIN_MAX], wanted[HTTP_CHUNK_BEGIN_MAX + 1];
		size_t n = http_chunk_begin(line, sizes[i]), used;
		struct http_body b;
		struct http_piece piece;
		snprintf(wanted, sizeof(wanted), "%s\r\n", texts[i]);
		assert_true(span_is((struct span){ line, n }, wanted));
		http_body_start(&b, HTTP_BODY_CHUNKED, 0);
		int r = http_body_decode(&b, line, n, &used, &piece);
		assert_int_equal(r, sizes[i] < 1ull << 60 ? 0 : -EBADMSG);
		if (r == 0)
			assert_int_equal(b.left, sizes[i]);
	}
	struct outcome o = decode_all_ways(
		SPAN("3\r\nabc" HTTP_CHUNK_END HTTP_CHUNK_ZERO "X: y\r\n\r\n"), false);
	assert_int_equal(o.result, 0);
	o = decode_all_ways(SPAN("3\r\nabc" HTTP_CHUNK_END HTTP_CHUNK_LAST), false);
	assert_int_equal(o.result, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chunks),
		cmocka_unit_test(chunks_that_are_refused),
		cmocka_unit_test(lenient_chunks),
		cmocka_unit_test(trailers),
		cmocka_unit_test(an_unfinished_message_waits),
		cmocka_unit_test(limits),
		cmocka_unit_test(fixed_length),
		cmocka_unit_test(no_body_and_one_that_the_end_ends),
		cmocka_unit_test(the_head_says_how),
		cmocka_unit_test(written_chunks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
