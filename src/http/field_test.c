/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of fields, methods and refusals: complete, found in any case, and nothing else is. */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "http/field.h"
#include "http/refusal.h"
#include <ctype.h>

static void every_field_is_found_in_any_case(void **state)
{
	(void)state;
	for (int id = HTTP_FIELD_OTHER + 1; id < HTTP_FIELD_COUNT; id++) {
		const char *name = http_field_name((enum http_field_id)id);
		char other[64] = "";
		size_t n = strlen(name);
		assert_true(n > 0 && n < sizeof(other));
		assert_int_equal(http_field_id(span_of(name)), id);
		for (size_t i = 0; i < n; i++)
			other[i] = (char)toupper(name[i]);
		assert_int_equal(http_field_id((struct span){ other, n }), id);
		for (size_t i = 0; i < n; i++)
			other[i] = (char)tolower(name[i]);
		assert_int_equal(http_field_id((struct span){ other, n }), id);
		/* One byte less, more or other is another field, or none. */
		assert_int_not_equal(http_field_id((struct span){ other, n - 1 }), id);
		assert_int_not_equal(http_field_id((struct span){ other, n + 1 }), id);
		other[n - 1] = '_';
		assert_int_equal(http_field_id((struct span){ other, n }), HTTP_FIELD_OTHER);
	}
}

static void other_names_are_other(void **state)
{
	(void)state;
	assert_int_equal(http_field_id(SPAN("")), HTTP_FIELD_OTHER);
	assert_int_equal(http_field_id(SPAN("X")), HTTP_FIELD_OTHER);
	assert_int_equal(http_field_id(SPAN("Content_Length")), HTTP_FIELD_OTHER);
	assert_int_equal(http_field_id(SPAN("Content-Lengthy")), HTTP_FIELD_OTHER);
	/* '-' and CR differ in the bit that makes letters lower-case. */
	assert_int_equal(http_field_id(SPAN("Content\rLength")), HTTP_FIELD_OTHER);
	assert_int_equal(http_field_id(SPAN("A-Name-That-Is-Longer-Than-Any-Known")),
			 HTTP_FIELD_OTHER);
}

static void methods(void **state)
{
	(void)state;
	for (int id = HTTP_METHOD_OTHER + 1; id < HTTP_METHOD_COUNT; id++) {
		const char *name = http_method_name((enum http_method)id);
		assert_true(name[0] != '\0');
		assert_int_equal(http_method_id(span_of(name)), id);
	}
	assert_int_equal(http_method_id(SPAN("get")), HTTP_METHOD_OTHER);
	assert_int_equal(http_method_id(SPAN("GETS")), HTTP_METHOD_OTHER);
	assert_int_equal(http_method_id(SPAN("")), HTTP_METHOD_OTHER);
}

static void refusals_have_a_status_and_a_sentence(void **state)
{
	(void)state;
	for (int why = 0; why < HTTP_REFUSED_COUNT; why++) {
		unsigned status = http_refusal_status((enum http_refusal)why);
		const char *message = http_refusal_message((enum http_refusal)why);
		assert_true(status == 400 || status == 414 || status == 431 || status == 501 ||
			    status == 505);
		assert_true(strlen(message) > 10);
		assert_int_equal(message[strlen(message) - 1], '.');
		assert_null(strchr(message, '\n'));
	}
}

static void tokens(void **state)
{
	(void)state;
	assert_true(http_is_token(SPAN("x")));
	assert_true(http_is_token(SPAN("!#$%&'*+-.^_`|~09azAZ")));
	assert_false(http_is_token(SPAN("")));
	assert_false(http_is_token(SPAN("a b")));
	assert_false(http_is_token(SPAN("a\0")));
	assert_false(http_is_token(SPAN("\xc3\xa9")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_field_is_found_in_any_case),
		cmocka_unit_test(other_names_are_other),
		cmocka_unit_test(methods),
		cmocka_unit_test(refusals_have_a_status_and_a_sentence),
		cmocka_unit_test(tokens),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
