/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The canonical form of paths: what OpenShell's proxy was recorded to make of them (path_test tests/data/canonical-paths.tsv),
 * and rules of our own on top (RFC 3986 2, 3.3 and 5.2.4).
 */
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

static const char *recorded;

/* 0 and the canonical form in out, or -EBADMSG; a canonical form must be its own. */
static int canonical(struct span path, unsigned flags, char out[HTTP_PATH_CANONICAL_SIZE],
		     enum http_refusal *ret_why)
{
	static char again[HTTP_PATH_CANONICAL_SIZE];
	size_t n, m;
	int r = http_path_canonical(path, flags, out, HTTP_PATH_CANONICAL_SIZE, &n, ret_why);

	if (r < 0)
		return r;
	assert_int_equal(strlen(out), n);
	assert_true(n <= HTTP_PATH_RAW_MAX);
	r = http_path_canonical((struct span){ out, n }, flags, again, sizeof(again), &m, ret_why);
	assert_int_equal(r, 0);
	assert_string_equal(again, out);
	return 0;
}

static void as_openshell_does(void **state)
{
	(void)state;
	static char line[16384], out[HTTP_PATH_CANONICAL_SIZE];
	FILE *f = fopen(recorded, "re");
	unsigned rows = 0, refused = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		char *name, *form, *slash, *target, *wanted, *rest = line;
		if (line[0] == '#')
			continue;
		name = strsep(&rest, "\t");
		form = strsep(&rest, "\t");
		slash = strsep(&rest, "\t");
		target = strsep(&rest, "\t");
		wanted = strsep(&rest, "\t\n");
		assert_non_null(wanted);
		unsigned flags = strcmp(slash, "slash") ? 0 : HTTP_PATH_ALLOW_ENCODED_SLASH;
		if (!strcmp(form, "connect"))
			flags |= HTTP_PATH_REFUSE_RAW_QUOTES;
		struct http_target t;
		enum http_refusal why = HTTP_REFUSED_NOTHING;
		int r = http_target_parse(span_of(target), HTTP_METHOD_GET, &t, &why);
		if (r == 0)
			r = canonical(t.path, flags, out, &why);
		bool as_wanted = *wanted == '!'	  ? r == -EBADMSG
				 : *wanted == '?' ? r == 0
						  : r == 0 && !strcmp(out, wanted);
		if (!as_wanted)
			fail_msg("%s: %s became %s, not %s", name, target,
				 r ? http_refusal_message(why) : out, wanted);
		rows++;
		refused += *wanted == '!';
	}
	fclose(f);
	assert_true(rows > 300 && refused > 60); /* the whole of what was recorded */
}

struct row {
	struct span path;
	unsigned flags;
	const char *wanted; /* or NULL: */
	enum http_refusal why;
};

static void rules_of_our_own(void **state)
{
	(void)state;
	static char out[HTTP_PATH_CANONICAL_SIZE];
	const unsigned slash = HTTP_PATH_ALLOW_ENCODED_SLASH, quotes = HTTP_PATH_REFUSE_RAW_QUOTES;
	const struct row rows[] = {
		{ SPAN(""), 0, "/" },
		{ SPAN("/"), 0, "/" },
		{ SPAN("//"), 0, "/" },
		{ SPAN("/a//b///c/"), 0, "/a/b/c/" },
		{ SPAN("/a/./b/../c"), 0, "/a/c" },
		{ SPAN("/a/.."), 0, "/" },
		{ SPAN("/a/b/.."), 0, "/a/" },
		{ SPAN("/a/."), 0, "/a/" },
		{ SPAN("/..."), 0, "/..." },
		{ SPAN("/%2e/%2E%2e/.a"), 0, NULL, HTTP_REFUSED_TARGET_ABOVE_ROOT },
		{ SPAN("/a/%2E%2e/b"), 0, "/b" },
		{ SPAN("/a/.;x/b"), 0, "/a/b" },
		{ SPAN("/a/..;x=y/b"), 0, "/b" },
		{ SPAN("/a/..%3bx/b"), 0, "/b" },
		{ SPAN("/;/;a/b;"), 0, "/b" },
		{ SPAN("/a//../b"), 0, "/b" },
		{ SPAN("/%41%7a%30%2D%2e%5F%7e"), 0, "/Az0-._~" },
		{ SPAN("/%21%24%26%27%28%29%2a%2b%2c%3d%3a%40"), 0, "/!$&'()*+,=:@" },
		{ SPAN("/%25%23%3f%5b%5d%20%22%3C"), 0, "/%25%23%3F%5B%5D%20%22%3C" },
		{ SPAN("/%252e%252e/x"), 0, "/%252e%252e/x" },
		{ SPAN("/%c3%a9%ff"), 0, "/%C3%A9%FF" },
		{ SPAN("/\"<>[\\]^`{|}"), 0, "/%22%3C%3E%5B%5C%5D%5E%60%7B%7C%7D" },
		{ SPAN("/`"), quotes, NULL, HTTP_REFUSED_TARGET_RAW },
		{ SPAN("/<"), quotes, NULL, HTTP_REFUSED_TARGET_RAW },
		{ SPAN("/>"), quotes, NULL, HTTP_REFUSED_TARGET_RAW },
		{ SPAN("/%60%3c%3e\"{}"), quotes, "/%60%3C%3E%22%7B%7D" },
		/* a backslash is no separator, and stays no separator */
		{ SPAN("/a\\..\\b"), 0, "/a%5C..%5Cb" },
		/* encoded slashes */
		{ SPAN("/a%2fb"), 0, NULL, HTTP_REFUSED_TARGET_SLASH },
		{ SPAN("/a%2fb"), slash, "/a%2Fb" },
		{ SPAN("/%2f"), slash, "/%2F" },
		{ SPAN("/a%252fb"), 0, "/a%252fb" },
		{ SPAN("/a%2f..%2fb"), slash, NULL, HTTP_REFUSED_TARGET_SLASH },
		{ SPAN("/..%2fb"), slash, NULL, HTTP_REFUSED_TARGET_SLASH },
		{ SPAN("/a%2f."), slash, NULL, HTTP_REFUSED_TARGET_SLASH },
		{ SPAN("/a%2f%2e%2e"), slash, NULL, HTTP_REFUSED_TARGET_SLASH },
		{ SPAN("/a%2f...%2fb"), slash, "/a%2F...%2Fb" },
		{ SPAN("/a;x%2fb"), 0, NULL, HTTP_REFUSED_TARGET_SLASH },
		/* refused */
		{ SPAN("a"), 0, NULL, HTTP_REFUSED_TARGET_FORM },
		{ SPAN("*"), 0, NULL, HTTP_REFUSED_TARGET_FORM },
		{ SPAN("/a?b"), 0, NULL, HTTP_REFUSED_TARGET_FORM },
		{ SPAN("/a#b"), 0, NULL, HTTP_REFUSED_TARGET_FRAGMENT },
		{ SPAN("/.."), 0, NULL, HTTP_REFUSED_TARGET_ABOVE_ROOT },
		{ SPAN("/a/../.."), 0, NULL, HTTP_REFUSED_TARGET_ABOVE_ROOT },
		{ SPAN("/%"), 0, NULL, HTTP_REFUSED_TARGET_PERCENT },
		{ SPAN("/%4"), 0, NULL, HTTP_REFUSED_TARGET_PERCENT },
		{ SPAN("/%4/1"), 0, NULL, HTTP_REFUSED_TARGET_PERCENT },
		{ SPAN("/%g0"), 0, NULL, HTTP_REFUSED_TARGET_PERCENT },
		{ SPAN("/%u0041"), 0, NULL, HTTP_REFUSED_TARGET_PERCENT },
		{ SPAN("/%00"), 0, NULL, HTTP_REFUSED_TARGET_CONTROL },
		{ SPAN("/%0d%0a"), 0, NULL, HTTP_REFUSED_TARGET_CONTROL },
		{ SPAN("/%7F"), 0, NULL, HTTP_REFUSED_TARGET_CONTROL },
		{ SPAN("/a;%00"), 0, NULL, HTTP_REFUSED_TARGET_CONTROL },
		{ SPAN("/a b"), 0, NULL, HTTP_REFUSED_TARGET_BYTE },
		{ SPAN("/a\tb"), 0, NULL, HTTP_REFUSED_TARGET_BYTE },
		{ SPAN("/a\0"), 0, NULL, HTTP_REFUSED_TARGET_BYTE },
		{ SPAN("/\x7f"), 0, NULL, HTTP_REFUSED_TARGET_BYTE },
		{ SPAN("/\xc3\xa9"), 0, NULL, HTTP_REFUSED_TARGET_RAW },
		{ SPAN("/\x80"), 0, NULL, HTTP_REFUSED_TARGET_RAW },
	};
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		enum http_refusal why = HTTP_REFUSED_NOTHING;
		int r = canonical(rows[i].path, rows[i].flags, out, &why);
		if (r != (rows[i].wanted ? 0 : -EBADMSG) || (r < 0 && why != rows[i].why) ||
		    (r == 0 && strcmp(out, rows[i].wanted) != 0))
			fail_msg("row %zu: %.*s became %s", i, SPAN_FORMAT(rows[i].path),
				 r < 0 ? http_refusal_message(why) : out);
	}
}

static void limits(void **state)
{
	(void)state;
	static char path[HTTP_PATH_RAW_MAX + 1], out[HTTP_PATH_CANONICAL_SIZE];
	enum http_refusal why;
	size_t n;

	/* The longest path, and the one that grows most. */
	memset(path, '"', sizeof(path));
	path[0] = '/';
	struct span most = { path, HTTP_PATH_RAW_MAX };
	assert_int_equal(http_path_canonical(most, 0, out, sizeof(out), &n, &why), 0);
	assert_int_equal(n, 1 + 3 * (HTTP_PATH_RAW_MAX - 1));
	assert_int_equal(http_path_canonical(most, 0, out, n + 1, &n, &why), 0);
	assert_int_equal(http_path_canonical(most, 0, out, n, &n, &why), -ENOBUFS);
	most.len++;
	assert_int_equal(http_path_canonical(most, 0, out, sizeof(out), &n, &why), -EBADMSG);
	assert_int_equal(why, HTTP_REFUSED_TARGET_PATH_LONG);

	assert_int_equal(http_path_canonical(SPAN("/ab/c"), 0, out, 6, &n, &why), 0);
	for (size_t size = 0; size < 6; size++)
		assert_int_equal(http_path_canonical(SPAN("/ab/c"), 0, out, size, &n, &why),
				 -ENOBUFS);
}

static void percent_decoding(void **state)
{
	(void)state;
	char out[16];
	size_t n;

	assert_int_equal(http_percent_decode(SPAN("a%2fb+%C3%a9"), out, sizeof(out), &n), 0);
	assert_string_equal(out, "a/b+\xc3\xa9");
	assert_int_equal(n, strlen(out));
	assert_int_equal(http_percent_decode(SPAN(""), out, 1, &n), 0);
	assert_int_equal(n, 0);
	char in_place[] = "%41%42";
	assert_int_equal(http_percent_decode(span_of(in_place), in_place, sizeof(in_place), &n), 0);
	assert_string_equal(in_place, "AB");
	assert_int_equal(http_percent_decode(SPAN("%00"), out, sizeof(out), &n), -EILSEQ);
	assert_int_equal(http_percent_decode(SPAN("a\0"), out, sizeof(out), &n), -EILSEQ);
	assert_int_equal(http_percent_decode(SPAN("%4"), out, sizeof(out), &n), -EILSEQ);
	assert_int_equal(http_percent_decode(SPAN("abc"), out, 4, &n), 0);
	assert_int_equal(http_percent_decode(SPAN("abc"), out, 3, &n), -ENOBUFS);
	assert_int_equal(http_percent_decode(SPAN(""), out, 0, &n), -ENOBUFS);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_openshell_does),
		cmocka_unit_test(rules_of_our_own),
		cmocka_unit_test(limits),
		cmocka_unit_test(percent_decoding),
	};
	if (argc != 2)
		return 2;
	recorded = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
