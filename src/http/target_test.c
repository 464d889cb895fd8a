/* SPDX-License-Identifier: Apache-2.0 */
/* Request targets in their four forms (RFC 9112 3.2), and authorities (RFC 3986 3.2, RFC 9110 4.2). */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/cleanup.h"
#include "http/target.h"
#include <errno.h>

static void forms(void **state)
{
	(void)state;
	static const struct {
		struct span text;
		enum http_method method;
		enum http_target_form form;
		const char *scheme, *host, *path, *query; /* query NULL: there is none */
		unsigned port;
	} rows[] = {
		{ SPAN("/"), HTTP_METHOD_GET, HTTP_TARGET_ORIGIN, "", "", "/", NULL, 0 },
		{ SPAN("/a/b?c=d?e"), HTTP_METHOD_POST, HTTP_TARGET_ORIGIN, "", "", "/a/b", "c=d?e",
		  0 },
		{ SPAN("/?"), HTTP_METHOD_GET, HTTP_TARGET_ORIGIN, "", "", "/", "", 0 },
		{ SPAN("//h/p"), HTTP_METHOD_GET, HTTP_TARGET_ORIGIN, "", "", "//h/p", NULL, 0 },
		{ SPAN("/http://h/"), HTTP_METHOD_GET, HTTP_TARGET_ORIGIN, "", "", "/http://h/",
		  NULL, 0 },
		{ SPAN("/@:[]!$'\"<>{}|\\^`"), HTTP_METHOD_GET, HTTP_TARGET_ORIGIN, "", "",
		  "/@:[]!$'\"<>{}|\\^`", NULL, 0 },
		{ SPAN("http://h/p?q"), HTTP_METHOD_GET, HTTP_TARGET_ABSOLUTE, "http", "h", "/p",
		  "q", 0 },
		{ SPAN("HTTPS://H.x:8080"), HTTP_METHOD_GET, HTTP_TARGET_ABSOLUTE, "HTTPS", "H.x",
		  "", NULL, 8080 },
		{ SPAN("http://h?q=/"), HTTP_METHOD_GET, HTTP_TARGET_ABSOLUTE, "http", "h", "",
		  "q=/", 0 },
		{ SPAN("a+b-c.d://h/"), HTTP_METHOD_GET, HTTP_TARGET_ABSOLUTE, "a+b-c.d", "h", "/",
		  NULL, 0 },
		{ SPAN("http://[::1]:1/"), HTTP_METHOD_OPTIONS, HTTP_TARGET_ABSOLUTE, "http", "::1",
		  "/", NULL, 1 },
		{ SPAN("h:443"), HTTP_METHOD_CONNECT, HTTP_TARGET_AUTHORITY, "", "h", "", NULL,
		  443 },
		{ SPAN("[fe80::1]:65535"), HTTP_METHOD_CONNECT, HTTP_TARGET_AUTHORITY, "",
		  "fe80::1", "", NULL, 65535 },
		{ SPAN("*"), HTTP_METHOD_OPTIONS, HTTP_TARGET_ASTERISK, "", "", "", NULL, 0 },
	};
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		struct http_target t;
		enum http_refusal why = HTTP_REFUSED_NOTHING;
		if (http_target_parse(rows[i].text, rows[i].method, &t, &why) < 0)
			fail_msg("row %zu: %s", i, http_refusal_message(why));
		assert_int_equal(t.form, rows[i].form);
		assert_true(span_is(t.scheme, rows[i].scheme));
		assert_true(span_is(t.authority.host, rows[i].host));
		assert_int_equal(t.authority.port, rows[i].port);
		assert_int_equal(t.authority.has_port, rows[i].port != 0);
		assert_true(span_is(t.path, rows[i].path));
		assert_int_equal(t.has_query, rows[i].query != NULL);
		assert_true(span_is(t.query, rows[i].query ? rows[i].query : ""));
	}
}

static void what_is_no_target(void **state)
{
	(void)state;
	static const struct {
		struct span text;
		enum http_method method;
		enum http_refusal why;
	} rows[] = {
		{ SPAN(""), HTTP_METHOD_GET, HTTP_REFUSED_TARGET_FORM },
		{ SPAN("a"), HTTP_METHOD_GET, HTTP_REFUSED_TARGET_FORM },
		{ SPAN("*"), HTTP_METHOD_GET, HTTP_REFUSED_TARGET_FORM },
		{ SPAN("**"), HTTP_METHOD_OPTIONS, HTTP_REFUSED_TARGET_FORM },
		{ SPAN("?a"), HTTP_METHOD_GET, HTTP_REFUSED_TARGET_FORM },
		{ SPAN("h:443"), HTTP_METHOD_GET, HTTP_REFUSED_TARGET_FORM },
		{ SPAN("http:/h/"), HTTP_METHOD_GET, HTTP_REFUSED_TARGET_FORM },
		{ SPAN("http:h"), HTTP_METHOD_GET, HTTP_REFUSED_TARGET_FORM },
		{ SPAN("://h/"), HTTP_METHOD_GET, HTTP_REFUSED_TARGET_FORM },
		{ SPAN("1http://h/"), HTTP_METHOD_GET, HTTP_REFUSED_TARGET_FORM },
		{ SPAN("+a://h/"), HTTP_METHOD_GET, HTTP_REFUSED_TARGET_FORM },
		{ SPAN("\\a"), HTTP_METHOD_GET, HTTP_REFUSED_TARGET_FORM },
		{ SPAN("http:///p"), HTTP_METHOD_GET, HTTP_REFUSED_TARGET_AUTHORITY },
		{ SPAN("http://:80/p"), HTTP_METHOD_GET, HTTP_REFUSED_TARGET_AUTHORITY },
		{ SPAN("http://u@h/p"), HTTP_METHOD_GET, HTTP_REFUSED_TARGET_AUTHORITY },
		{ SPAN("http://u:p@h/p"), HTTP_METHOD_GET, HTTP_REFUSED_TARGET_AUTHORITY },
		{ SPAN("http://h\\@e/p"), HTTP_METHOD_GET, HTTP_REFUSED_TARGET_AUTHORITY },
		{ SPAN("http://h%2fe/p"), HTTP_METHOD_GET, HTTP_REFUSED_TARGET_AUTHORITY },
		{ SPAN("http://h:80:80/p"), HTTP_METHOD_GET, HTTP_REFUSED_TARGET_AUTHORITY },
		{ SPAN("http://h:/p"), HTTP_METHOD_GET, HTTP_REFUSED_TARGET_AUTHORITY },
		{ SPAN("http://h#f"), HTTP_METHOD_GET, HTTP_REFUSED_TARGET_FRAGMENT },
		{ SPAN("/a#b"), HTTP_METHOD_GET, HTTP_REFUSED_TARGET_FRAGMENT },
		{ SPAN("/a?b#c"), HTTP_METHOD_GET, HTTP_REFUSED_TARGET_FRAGMENT },
		{ SPAN("/\xc3\xa9"), HTTP_METHOD_GET, HTTP_REFUSED_TARGET_RAW },
		{ SPAN("/?\xc3\xa9"), HTTP_METHOD_GET, HTTP_REFUSED_TARGET_RAW },
		{ SPAN("http://\xc3\xa9/"), HTTP_METHOD_GET, HTTP_REFUSED_TARGET_RAW },
		{ SPAN("/a b"), HTTP_METHOD_GET, HTTP_REFUSED_TARGET_BYTE },
		{ SPAN("/a\0"), HTTP_METHOD_GET, HTTP_REFUSED_TARGET_BYTE },
		{ SPAN("/?\x7f"), HTTP_METHOD_GET, HTTP_REFUSED_TARGET_BYTE },
		/* CONNECT names host and port, and nothing else */
		{ SPAN("h"), HTTP_METHOD_CONNECT, HTTP_REFUSED_TARGET_AUTHORITY },
		{ SPAN("/"), HTTP_METHOD_CONNECT, HTTP_REFUSED_TARGET_AUTHORITY },
		{ SPAN("*"), HTTP_METHOD_CONNECT, HTTP_REFUSED_TARGET_AUTHORITY },
		{ SPAN("h:443/"), HTTP_METHOD_CONNECT, HTTP_REFUSED_TARGET_AUTHORITY },
		{ SPAN("h:443?a"), HTTP_METHOD_CONNECT, HTTP_REFUSED_TARGET_AUTHORITY },
		{ SPAN("http://h:443"), HTTP_METHOD_CONNECT, HTTP_REFUSED_TARGET_AUTHORITY },
		{ SPAN("u@h:443"), HTTP_METHOD_CONNECT, HTTP_REFUSED_TARGET_AUTHORITY },
	};
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		struct http_target t = { .form = HTTP_TARGET_ASTERISK }, before = t;
		enum http_refusal why = HTTP_REFUSED_NOTHING;
		int r = http_target_parse(rows[i].text, rows[i].method, &t, &why);
		if (r != -EBADMSG || why != rows[i].why)
			fail_msg("row %zu gave %d: %s", i, r, http_refusal_message(why));
		assert_memory_equal(&t, &before, sizeof(t));
	}
}

#define L63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void authorities(void **state)
{
	(void)state;
	static const struct {
		struct span text;
		int kind; /* -1: refused */
		const char *host;
		unsigned port;
	} rows[] = {
		{ SPAN("a"), HTTP_HOST_NAME, "a", 0 },
		{ SPAN("A-b_c.example."), HTTP_HOST_NAME, "A-b_c.example.", 0 },
		{ SPAN("a:1"), HTTP_HOST_NAME, "a", 1 },
		{ SPAN("xn--caf-dma.x:65535"), HTTP_HOST_NAME, "xn--caf-dma.x", 65535 },
		{ SPAN(L63 "." L63 "." L63
			   ".aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
		  HTTP_HOST_NAME, NULL, 0 },
		{ SPAN("1.2.3.4"), HTTP_HOST_IPV4, "1.2.3.4", 0 },
		{ SPAN("255.255.255.255:80"), HTTP_HOST_IPV4, "255.255.255.255", 80 },
		{ SPAN("[::]"), HTTP_HOST_IPV6, "::", 0 },
		{ SPAN("[2001:db8::1]:443"), HTTP_HOST_IPV6, "2001:db8::1", 443 },
		{ SPAN("[::ffff:1.2.3.4]"), HTTP_HOST_IPV6, "::ffff:1.2.3.4", 0 },
		/* what some resolvers read as an address */
		{ SPAN("127.1"), HTTP_HOST_NUMBER, "127.1", 0 },
		{ SPAN("2130706433"), HTTP_HOST_NUMBER, "2130706433", 0 },
		{ SPAN("0x7f000001"), HTTP_HOST_NUMBER, "0x7f000001", 0 },
		{ SPAN("0x7f.1"), HTTP_HOST_NUMBER, "0x7f.1", 0 },
		{ SPAN("0177.0.0.1"), HTTP_HOST_NUMBER, "0177.0.0.1", 0 },
		{ SPAN("127.0.0.01"), HTTP_HOST_NUMBER, "127.0.0.01", 0 },
		{ SPAN("1.2.3.4."), HTTP_HOST_NUMBER, "1.2.3.4.", 0 },
		{ SPAN("1.2.3.256"), HTTP_HOST_NUMBER, "1.2.3.256", 0 },
		{ SPAN("a.0x"), HTTP_HOST_NUMBER, "a.0x", 0 },
		{ SPAN("1.2.3.4.example"), HTTP_HOST_NAME, "1.2.3.4.example", 0 },
		{ SPAN("0xg"), HTTP_HOST_NAME, "0xg", 0 },

		{ SPAN(""), -1 },
		{ SPAN(":80"), -1 },
		{ SPAN("."), -1 },
		{ SPAN(".a"), -1 },
		{ SPAN("a..b"), -1 },
		{ SPAN("a.."), -1 },
		{ SPAN("a:"), -1 },
		{ SPAN("a:0"), -1 },
		{ SPAN("a:080"), -1 },
		{ SPAN("a:65536"), -1 },
		{ SPAN("a:123456"), -1 },
		{ SPAN("a:-1"), -1 },
		{ SPAN("a:+1"), -1 },
		{ SPAN("a: 1"), -1 },
		{ SPAN("a:1x"), -1 },
		{ SPAN("a:1:2"), -1 },
		{ SPAN("u@a"), -1 },
		{ SPAN("u:p@a"), -1 },
		{ SPAN("a b"), -1 },
		{ SPAN("a/b"), -1 },
		{ SPAN("a%62"), -1 },
		{ SPAN("a,b"), -1 },
		{ SPAN("a\0b"), -1 },
		{ SPAN("\xc3\xa9"), -1 },
		{ SPAN("::1"), -1 },
		{ SPAN("[::1"), -1 },
		{ SPAN("::1]"), -1 },
		{ SPAN("[]"), -1 },
		{ SPAN("[::1]x"), -1 },
		{ SPAN("[::1]80"), -1 },
		{ SPAN("[::1]:"), -1 },
		{ SPAN("[fe80::1%eth0]"), -1 },
		{ SPAN("[fe80::1%25eth0]"), -1 },
		{ SPAN("[v1.x]"), -1 },
		{ SPAN("[1.2.3.4]"), -1 },
		{ SPAN("[::1]]"), -1 },
		{ SPAN("[[::1]]"), -1 },
		{ SPAN("[::12345]"), -1 },
		{ SPAN("[::1\0]"), -1 },
		{ SPAN("[1111:2222:3333:4444:5555:6666:111.111.111.1111]"), -1 },
		{ SPAN("[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb]"), -1 },
		{ SPAN(L63 "a"), -1 },
		{ SPAN(L63 "." L63 "." L63
			   ".aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
		  -1 },
	};
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		struct http_authority a = { 0 };
		int r = http_authority_parse(rows[i].text, &a);
		if (r != (rows[i].kind < 0 ? -EINVAL : 0))
			fail_msg("row %zu gave %d: %.*s", i, r, SPAN_FORMAT(rows[i].text));
		if (r < 0)
			continue;
		assert_int_equal(a.kind, rows[i].kind);
		if (rows[i].host)
			assert_true(span_is(a.host, rows[i].host));
		assert_int_equal(a.port, rows[i].port);
		assert_int_equal(a.has_port, rows[i].port != 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forms),
		cmocka_unit_test(what_is_no_target),
		cmocka_unit_test(authorities),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
