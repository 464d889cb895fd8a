/* SPDX-License-Identifier: Apache-2.0 */
/* Unit test: placeholders are seen however they are spelt and cut into pieces, and nothing else is taken for one. */
#include "base/cleanup.h"
#include "proxy/placeholder.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MARKER PLACEHOLDER_MARKER

static void found(const char *text, enum placeholder_text how, size_t at, size_t len)
{
	size_t got_at, got_len;
	assert_true(placeholder_find(span_of(text), how, &got_at, &got_len));
	assert_int_equal(got_at, at);
	assert_int_equal(got_len, len);
}

static void test_found(void **state)
{
	found(MARKER "A", PLACEHOLDER_PLAIN, 0, strlen(MARKER));
	found("oo" MARKER, PLACEHOLDER_PLAIN, 2, strlen(MARKER));
	found("openshell:resopenshell:reso" MARKER, PLACEHOLDER_PLAIN, 27, strlen(MARKER));
	found("openshell:res%6F%70enshell:resolve:env:", PLACEHOLDER_PERCENT, 13, 26);
	found("\\\\" MARKER "\\n", PLACEHOLDER_JSON, 2, strlen(MARKER));
	found("openshell:resolv" MARKER, PLACEHOLDER_PLAIN, 16, strlen(MARKER));
	found("%6fpenshell%3Aresolve:env%3a", PLACEHOLDER_PERCENT, 0, 28);
	found("%%6" MARKER, PLACEHOLDER_PERCENT, 3, strlen(MARKER));
	found("\"\\u006Fpenshell\\u003aresolve:env:X", PLACEHOLDER_JSON, 1, strlen(MARKER) + 10);
}

static void test_not_found(void **state)
{
	static const char *const others[] = {
		"",
		"openshell:resolve:env",
		"OPENSHELL:RESOLVE:ENV:",
		"openshell%3gresolve:env:",
		"openshell:resolve:en\\u0176:",
		"openshell\\u003",
		"openshell:resolve:env%3",
		"\\\\u006fpenshell:resolve:env:", /* a backslash, and what follows it */
	};
	size_t at, n;
	for (size_t i = 0; i < ELEMENTS(others); i++)
		for (int how = PLACEHOLDER_PLAIN; how <= PLACEHOLDER_JSON; how++)
			assert_false(placeholder_find(span_of(others[i]),
						      (enum placeholder_text)how, &at, &n));
	/* Each is text elsewhere. */
	assert_false(placeholder_find(SPAN("openshell%3Aresolve:env:"), PLACEHOLDER_JSON, &at, &n));
	assert_false(placeholder_find(SPAN("openshell\\u003aresolve:env:"), PLACEHOLDER_PERCENT,
				      &at, &n));
}

/* Cut at every two places. */
static void test_pieces(void **state)
{
	static const char *const texts[] = {
		"x" MARKER "A",
		"%6F%70%65%6E%73%68%65%6C%6C%3A%72%65%73%6F%6C%76%65%3A%65%6E%76%3A",
		"\"\\u006f\\u0070\\u0065\\u006e\\u0073\\u0068\\u0065\\u006c\\u006c\\u003a\\u0072\\u"
		"0065\\u0073\\u006f\\u006c\\u0076"
		"\\u0065\\u003a\\u0065\\u006e\\u0076\\u003a\"",
	};
	for (int how = PLACEHOLDER_PLAIN; how <= PLACEHOLDER_JSON; how++) {
		struct span all = span_of(texts[how]);
		for (size_t i = 0; i <= all.len; i++) {
			for (size_t k = i; k <= all.len; k++) {
				struct placeholder_watch w = { .how = (enum placeholder_text)how };
				bool seen = placeholder_seen(&w, (struct span){ all.data, i });
				seen = seen ||
				       placeholder_seen(&w, (struct span){ all.data + i, k - i });
				seen = seen || placeholder_seen(&w, (struct span){ all.data + k,
										   all.len - k });
				assert_true(seen);
			}
		}
		/* One character at a time, and without its last one. */
		struct placeholder_watch w = { .how = (enum placeholder_text)how };
		size_t last = how == PLACEHOLDER_PLAIN ? 2 : how == PLACEHOLDER_JSON ? 2 : 1;
		for (size_t i = 0; i < all.len - last; i++)
			assert_false(placeholder_seen(&w, (struct span){ all.data + i, 1 }));
	}
}

static void is_body(const char *fields, int expected)
{
	static struct http_head h;
	static const struct http_rules rules = { 0 };
	struct http_scan scan = { 0 };
	char head[300];
	enum placeholder_text how;
	int n = snprintf(head, sizeof(head), "POST / HTTP/1.1\r\nHost: x\r\n%s\r\n", fields);
	assert_int_equal(http_request_parse(&scan, head, (size_t)n, &rules, &h), 0);
	assert_int_equal(placeholder_body(&h, &how) ? (int)how : -1, expected);
}

static void test_bodies(void **state)
{
	is_body("", -1);
	is_body("Content-Type: application/json\r\n", PLACEHOLDER_JSON);
	is_body("Content-Type: APPLICATION/json ; charset=utf-8\r\n", PLACEHOLDER_JSON);
	is_body("Content-Type: application/jsonl\r\n", -1);
	is_body("Content-Type: application/x-www-form-urlencoded\r\n", PLACEHOLDER_PERCENT);
	is_body("Content-Type: text/plain\r\n", PLACEHOLDER_PLAIN);
	is_body("Content-Type: text/\r\n", -1);
	is_body("Content-Type: application/octet-stream\r\n", -1);
	is_body("Content-Type: text/plain\r\nContent-Encoding: gzip\r\n", -1);
	is_body("Content-Type: text/plain\r\nContent-Type: application/json\r\n", -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_found),
		cmocka_unit_test(test_not_found),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_bodies),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
