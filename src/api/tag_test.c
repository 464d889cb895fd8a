/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of names of images: nothing but a name below the run's own prefix comes out. */
#include "api/tag.h"
#include "base/cleanup.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define PREFIX "localhost/r1/"

static void composes(void **state)
{
	static const char *const cases[][2] = {
		{ "app", PREFIX "app:latest" },
		{ "app:1.0", PREFIX "app:1.0" },
		{ "a/b_c/d--e:V-1", PREFIX "a/b_c/d--e:V-1" },
		{ PREFIX "app:1", PREFIX "app:1" },
		{ "localhost/r2/app", PREFIX "localhost/r2/app:latest" },
		{ NULL, PREFIX "j0:latest" },
	};
	char out[TAG_MAX];
	struct error e = { 0 };
	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		assert_int_equal(tag_compose(PREFIX, cases[i][0], "j0", out, &e), 0);
		assert_string_equal(out, cases[i][1]);
	}
}

static void refuses(void **state)
{
	static const char *const bad[] = { "",
					   "A",
					   "a b",
					   "/a",
					   "a/",
					   "a//b",
					   "../a",
					   "a..b",
					   "a:",
					   "a:b:c",
					   "a:b/c",
					   "host:5000/a",
					   "a@sha256:00",
					   "-a",
					   "a-",
					   "_a",
					   "a___b",
					   "a\n",
					   "a:\n",

					   "oci-archive:/x",
					   "caf\xc3\xa9",
					   PREFIX };
	char out[TAG_MAX] = "kept", name[300];
	for (size_t i = 0; i < ELEMENTS(bad); i++) {
		struct error e = { 0 };
		assert_int_equal(tag_compose(PREFIX, bad[i], "j0", out, &e), -EINVAL);
		assert_string_equal(out, "kept");
	}
	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	struct error e = { 0 };
	assert_int_equal(tag_compose(PREFIX, name, "j0", out, &e), -EINVAL);
	assert_non_null(strstr(e.message, "longer than"));
}

static void knows_names_of_bases(void **state)
{
	assert_true(tag_is_base_name("debian-tcc"));
	assert_true(tag_is_base_name("a.b_c"));
	assert_false(tag_is_base_name(""));
	assert_false(tag_is_base_name("a/b"));
	assert_false(tag_is_base_name("a:b"));
	assert_false(tag_is_base_name(".new"));
	assert_false(tag_is_base_name("A"));
	assert_false(tag_is_base_name("a\""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(composes),
		cmocka_unit_test(refuses),
		cmocka_unit_test(knows_names_of_bases),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
