/* SPDX-License-Identifier: Apache-2.0 */
/* The byte classes against the grammar's own words. */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/cleanup.h"
#include "http/byte.h"

#define ALNUM "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

static bool among(int c, const char *set)
{
	return c != 0 && strchr(set, c) != NULL;
}

static void classes_follow_the_grammar(void **state)
{
	(void)state;
	for (int i = 0; i < 256; i++) {
		char c = (char)i;
		bool visible = i > 0x20 && i != 0x7f;
		assert_int_equal(byte_is(c, BYTE_TOKEN), among(i, ALNUM "!#$%&'*+-.^_`|~"));
		assert_int_equal(byte_is(c, BYTE_VALUE), visible || i == ' ' || i == '\t');
		assert_int_equal(byte_is(c, BYTE_TARGET), visible);
		assert_int_equal(byte_is(c, BYTE_PCHAR), among(i, ALNUM "-._~!$&'()*+,;=:@"));
		assert_int_equal(byte_is(c, BYTE_HOST), among(i, ALNUM "-._"));
	}
}

static void hexadecimal_and_percent(void **state)
{
	(void)state;
	assert_int_equal(byte_hex('0'), 0);
	assert_int_equal(byte_hex('a'), 10);
	assert_int_equal(byte_hex('F'), 15);
	assert_int_equal(byte_hex('g'), -1);
	assert_int_equal(byte_hex('/'), -1);
	assert_int_equal(byte_percent(SPAN("x%4a"), 1), 'J');
	assert_int_equal(byte_percent(SPAN("%4"), 0), -1);
	assert_int_equal(byte_percent(SPAN("%"), 0), -1);
	assert_int_equal(byte_percent(SPAN("%g1"), 0), -1);
	assert_int_equal(byte_percent(SPAN("%1g"), 0), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(classes_follow_the_grammar),
		cmocka_unit_test(hexadecimal_and_percent),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
