/* SPDX-License-Identifier: Apache-2.0 */
/* Single byte ranges (RFC 9110 14.1.2 and 14.2). */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/cleanup.h"
#include "http/range.h"
#include <errno.h>

static void ranges(void **state)
{
	(void)state;
	static const struct {
		struct span value;
		uint64_t total;
		int result;
		uint64_t first, last;
	} rows[] = {
		{ SPAN("bytes=0-0"), 10, 0, 0, 0 },
		{ SPAN("bytes=0-9"), 10, 0, 0, 9 },
		{ SPAN("bytes=9-9"), 10, 0, 9, 9 },
		{ SPAN("bytes=0-"), 10, 0, 0, 9 },
		{ SPAN("bytes=3-"), 10, 0, 3, 9 },
		{ SPAN("bytes=-3"), 10, 0, 7, 9 },
		{ SPAN("bytes=-10"), 10, 0, 0, 9 },
		{ SPAN("BYTES=1-2"), 10, 0, 1, 2 }, /* units are case-insensitive, 14.1 */
		{ SPAN("bytes=007-08"), 10, 0, 7, 8 },
		/* past the end is cut to it */
		{ SPAN("bytes=5-99"), 10, 0, 5, 9 },
		{ SPAN("bytes=-99"), 10, 0, 0, 9 },
		{ SPAN("bytes=0-18446744073709551615"), 10, 0, 0, 9 },
		{ SPAN("bytes=0-99999999999999999999999999"), 10, 0, 0, 9 },
		{ SPAN("bytes=-99999999999999999999999999"), 10, 0, 0, 9 },
		{ SPAN("bytes=1-2"), UINT64_MAX, 0, 1, 2 },
		{ SPAN("bytes=-1"), UINT64_MAX, 0, UINT64_MAX - 1, UINT64_MAX - 1 },
		/* cannot be satisfied */
		{ SPAN("bytes=10-"), 10, -ERANGE, 0, 0 },
		{ SPAN("bytes=10-10"), 10, -ERANGE, 0, 0 },
		{ SPAN("bytes=99999999999999999999999999-"), 10, -ERANGE, 0, 0 },
		{ SPAN("bytes=18446744073709551615-"), UINT64_MAX, -ERANGE, 0, 0 },
		{ SPAN("bytes=-0"), 10, -ERANGE, 0, 0 },
		{ SPAN("bytes=0-0"), 0, -ERANGE, 0, 0 },
		{ SPAN("bytes=0-"), 0, -ERANGE, 0, 0 },
		{ SPAN("bytes=-1"), 0, -ERANGE, 0, 0 },
		/* as if there were none */
		{ SPAN(""), 10, -ENOENT, 0, 0 },
		{ SPAN("bytes"), 10, -ENOENT, 0, 0 },
		{ SPAN("bytes="), 10, -ENOENT, 0, 0 },
		{ SPAN("bytes=-"), 10, -ENOENT, 0, 0 },
		{ SPAN("bytes=5"), 10, -ENOENT, 0, 0 },
		{ SPAN("bytes=5-4"), 10, -ENOENT, 0, 0 },
		{ SPAN("bytes=15-4"), 10, -ENOENT, 0, 0 },
		{ SPAN("bytes=0-1,3-4"), 10, -ENOENT, 0, 0 },
		{ SPAN("bytes=0-1,"), 10, -ENOENT, 0, 0 },
		{ SPAN("bytes= 0-1"), 10, -ENOENT, 0, 0 },
		{ SPAN("bytes =0-1"), 10, -ENOENT, 0, 0 },
		{ SPAN("bytes=0 -1"), 10, -ENOENT, 0, 0 },
		{ SPAN("bytes=0-1x"), 10, -ENOENT, 0, 0 },
		{ SPAN("bytes=+0-1"), 10, -ENOENT, 0, 0 },
		{ SPAN("bytes=--1"), 10, -ENOENT, 0, 0 },
		{ SPAN("bytes=0x1-2"), 10, -ENOENT, 0, 0 },
		{ SPAN("lines=0-1"), 10, -ENOENT, 0, 0 },
	};
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		struct http_range got = { 77, 78 };
		int r = http_range_parse(rows[i].value, rows[i].total, &got);
		if (r != rows[i].result)
			fail_msg("row %zu gave %d: %s", i, r, rows[i].value.data);
		assert_int_equal(got.first, r ? 77 : rows[i].first);
		assert_int_equal(got.last, r ? 78 : rows[i].last);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(ranges) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
