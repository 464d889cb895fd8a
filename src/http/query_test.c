/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters of queries (application/x-www-form-urlencoded). */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/cleanup.h"
#include "http/query.h"
#include <errno.h>

/* All parameters as "[name=value]", "[name]" where there is no '='; the fault at the end. */
static void walk(struct span text, char *to, size_t size)
{
	struct http_query q = { .left = text };
	struct http_parameter p;
	size_t room = text.len + 2, n = 0;
	_cleanup_free_ char *out = malloc(room);
	int r;

	assert_non_null(out);
	*to = '\0';
	while ((r = http_query_next(&q, out, room, &p)) == 1) {
		assert_true(p.name.data[p.name.len] == '\0');
		if (p.has_value)
			assert_true(p.value.data[p.value.len] == '\0');
		else
			assert_int_equal(p.value.len, 0);
		n += (size_t)snprintf(to + n, size - n, "[%.*s%s%.*s]", SPAN_FORMAT(p.name),
				      p.has_value ? "=" : "", SPAN_FORMAT(p.value));
	}
	if (r < 0)
		snprintf(to + n, size - n, "!");
	assert_true(r == 0 || r == -EILSEQ);
}

static void parameters(void **state)
{
	(void)state;
	static const struct {
		struct span text;
		const char *wanted;
	} rows[] = {
		{ SPAN(""), "" },
		{ SPAN("&"), "" },
		{ SPAN("&&&"), "" },
		{ SPAN("a"), "[a]" },
		{ SPAN("a="), "[a=]" },
		{ SPAN("=a"), "[=a]" },
		{ SPAN("="), "[=]" },
		{ SPAN("a=b"), "[a=b]" },
		{ SPAN("a=b=c"), "[a=b=c]" },
		{ SPAN("a=1&b&a=2&"), "[a=1][b][a=2]" },
		{ SPAN("&&a&&b"), "[a][b]" },
		{ SPAN("a=x;b=y"), "[a=x;b=y]" }, /* no separator */
		{ SPAN("a+b=c+d"), "[a b=c d]" },
		{ SPAN("a%2Bb=c%26d%3D"), "[a+b=c&d=]" },
		{ SPAN("%c3%A9=%e2%82%ac"), "[\xc3\xa9=\xe2\x82\xac]" },
		{ SPAN("a=%0A%09"), "[a=\n\t]" }, /* the caller judges values */
		{ SPAN("a=?/:@\"'<>[]{}|\\^`"), "[a=?/:@\"'<>[]{}|\\^`]" },
		{ SPAN("a=%"), "!" },
		{ SPAN("a=%4"), "!" },
		{ SPAN("a=%4&1=b"), "!" },
		{ SPAN("%zz"), "!" },
		{ SPAN("a=%u0041"), "!" },
		{ SPAN("a=%00"), "!" },
		{ SPAN("a\0b"), "!" },
		{ SPAN("a b"), "!" },
		{ SPAN("a=\t"), "!" },
		{ SPAN("a=\x7f"), "!" },
		{ SPAN("a=\xc3\xa9"), "!" },
		{ SPAN("x=1&a=%"), "[x=1]!" },
	};
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		char got[128];
		walk(rows[i].text, got, sizeof(got));
		assert_string_equal(got, rows[i].wanted);
	}
}

static void room(void **state)
{
	(void)state;
	char out[8];
	struct http_parameter p;
	for (size_t size = 0; size <= 5; size++) {
		struct http_query q = { .left = SPAN("ab=c") };
		int wanted = size < 5 ? -ENOBUFS : 1;
		assert_int_equal(http_query_next(&q, out, size, &p), wanted);
	}
	for (size_t size = 0; size <= 3; size++) {
		struct http_query q = { .left = SPAN("a") };
		assert_int_equal(http_query_next(&q, out, size, &p), size < 3 ? -ENOBUFS : 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parameters),
		cmocka_unit_test(room),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
