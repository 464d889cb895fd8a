/* SPDX-License-Identifier: Apache-2.0 */
/* Preferences, in the forms that RFC 7240 gives them. */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/cleanup.h"
#include "http/prefer.h"

#include <stdio.h>

static void preferences_are_found(void **state)
{
	(void)state;
	static const struct {
		const char *fields, *value; /* of wait; NULL: there is none */
	} rows[] = {
		{ "", NULL },
		{ "Prefer: \r\n", NULL },
		{ "Prefer: respond-async\r\n", NULL },
		{ "Prefer: waiting=1\r\nX: wait=2\r\n", NULL },
		{ "Prefer: x=\"wait=1\"\r\n", NULL },
		{ "Prefer: wait=1\r\n", "1" },
		{ "Prefer: wait=1, wait=3\r\n", "1" },
		{ "Prefer: respond-async\r\nPrefer: wait=1\r\n", "1" },
		{ "Prefer: wait=1\r\nPrefer: wait=3\r\n", "1" },
		{ "prefer: Wait=1\r\n", "1" },
		{ "Prefer: wait=\"1\"\r\n", "1" },
		{ "Prefer: wait = 1\r\n", "1" },
		{ "Prefer: wait=1;foo=bar\r\n", "1" },
		{ "Prefer: wait=\"1\" ; foo; bar=\"a,b\", wait=2\r\n", "1" },
		{ "Prefer: handling=lenient;x=\"a, wait=5\", wait=1\r\n", "1" },
		{ "Prefer: wait=+1\r\n", "+1" },
		{ "Prefer: wait\r\n", "" },
		{ "Prefer: wait=\r\n", "" },
		{ "Prefer: wait=\"\"\r\n", "" },
		{ "Prefer: wait=;a\r\n", "" },
		{ "Prefer: wait=1 2, wait=3\r\n", "" },
		{ "Prefer: wait=\"1\r\n", "" },
		{ "Prefer: wait 1\r\n", "" },
		{ "Prefer: wait=\"\\1\"\r\n", "\\1" },
	};
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		static struct http_head head;
		struct http_scan scan = { 0 };
		struct span value = { 0 };
		char text[256];
		int n = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: x\r\n%s\r\n",
				 rows[i].fields);
		assert_int_equal(http_request_parse(&scan, text, (size_t)n, NULL, &head), 0);
		bool found = http_prefer_find(&head, "wait", &value);
		assert_int_equal(found, rows[i].value != NULL);
		assert_true(span_is(value, rows[i].value ? rows[i].value : ""));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(preferences_are_found) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
