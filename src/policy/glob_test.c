/* SPDX-License-Identifier: Apache-2.0 */
/* Tests globs: what OpenShell was recorded to match, what is refused, and that nothing is slow. */
#include "policy/glob.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/limit.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct row {
	const char *pattern, *text;
	bool matches;
};

static void check_rows(const struct row *rows, size_t n, char delimiter)
{
	struct arena arena = { 0 };
	for (size_t i = 0; i < n; i++) {
		const struct glob *g = NULL;
		struct error e = { 0 };
		if (glob_compile(rows[i].pattern, delimiter, &arena, &g, &e) < 0)
			fail_msg("%s: %s", rows[i].pattern, e.message);
		if (glob_match(g, span_of(rows[i].text)) != rows[i].matches)
			fail_msg("%s %s %s", rows[i].pattern,
				 rows[i].matches ? "must match" : "must not match", rows[i].text);
	}
	arena_done(&arena);
}

static void test_paths(void **state)
{
	static const struct row rows[] = {
		{ "/a", "/a", true },
		{ "/a", "/a/", false },
		{ "/a", "/A", false },
		{ "/a", "/", false },
		{ "/jobs/*", "/jobs/", true },
		{ "/jobs/*", "/jobs/abc", true },
		{ "/jobs/*", "/jobs", false },
		{ "/jobs/*", "/jobs/a/b", false },
		{ "/s2/**", "/s2/", true },
		{ "/s2/**", "/s2/a/b/c", true },
		{ "/s2/**", "/s2", false },
		{ "/s3/*/x", "/s3/a/x", true },
		{ "/s3/*/x", "/s3//x", true },
		{ "/s3/*/x", "/s3/a/b/x", false },
		{ "/s4/**/x", "/s4/x", true },
		{ "/s4/**/x", "/s4/a/b/x", true },
		{ "/s4/**/x", "/s4/ax", false },
		{ "/s4/**/x", "/s4x", false },
		{ "/s5/a*b", "/s5/ab", true },
		{ "/s5/a*b", "/s5/axxb", true },
		{ "/s5/a*b", "/s5/a/b", false },
		{ "/s6/?", "/s6/a", true },
		{ "/s6/?", "/s6/", false },
		{ "/s6/?", "/s6/ab", false },
		{ "/s40/?/x", "/s40///x", false },
		{ "/s7/[a-z]", "/s7/m", true },
		{ "/s7/[a-z]", "/s7/M", false },
		{ "/s8/[!a]", "/s8/b", true },
		{ "/s8/[!a]", "/s8/a", false },
		{ "/s8/[!a]x", "/s8//x", false },
		{ "/s22/[^a]", "/s22/b", true },
		{ "/s22/[^a]", "/s22/a", false },
		{ "/s13/{a,b}/c", "/s13/a/c", true },
		{ "/s13/{a,b}/c", "/s13/b/c", true },
		{ "/s13/{a,b}/c", "/s13/c/c", false },
		{ "/s13/{a,b}/c", "/s13/{a,b}/c", false },
		{ "/{a,b{c,d}}e", "/bde", true },
		{ "/{a,b{c,d}}e", "/be", false },
		{ "/{a*,**/z}", "/aaa", true },
		{ "/{x,a/**}", "/a/b/c", true },
		{ "/s15/**/*.json", "/s15/a.json", true },
		{ "/s15/**/*.json", "/s15/b/c/a.json", true },
		{ "/s15/**/*.json", "/s15/b/c/a.jso", false },
		{ "/s18/**x", "/s18/ax", true },
		{ "/s18/**x", "/s18/a/x", false },
		{ "/s19/x**", "/s19/xa", true },
		{ "/s19/x**", "/s19/xa/b", false },
		{ "/s20*", "/s20", true },
		{ "/s20*", "/s20x", true },
		{ "/s20*", "/s20/", false },
		{ "/s21**", "/s21/a", false },
		{ "/s34/*/", "/s34/a/", true },
		{ "/s34/*/", "/s34/a", false },
		{ "/s35/**/", "/s35/", true },
		{ "/s35/**/", "/s35/a/b/", true },
		{ "/s35/**/", "/s35/a/b", false },
		{ "/s36/***", "/s36/a", true },
		{ "/s36/***", "/s36/a/b", false },
		{ "/s37/a/**/b/**/c", "/s37/a/b/c", true },
		{ "/s37/a/**/b/**/c", "/s37/a/x/b/y/z/c", true },
		{ "/s37/a/**/b/**/c", "/s37/a/x/y/z/c", false },
		{ "/s43/**/**", "/s43/", true },
		{ "/s43/**/**", "/s43/a/b", true },
		{ "/s45/(a)", "/s45/(a)", true },
		{ "/s46/$a", "/s46/$a", true },
		{ "/s32/a.b", "/s32/axb", false },
		{ "/b/a\\*b", "/b/a*b", true },
		{ "/b/a\\*b", "/b/axb", false },
		{ "/b/[]a]", "/b/]", true },
		{ "/b/[]a]", "/b/a", true },
		{ "/b/]", "/b/]", true },
		{ "/b/[a-]", "/b/-", true },
		{ "/b/[a-]", "/b/b", false },
		{ "/b/[--0]", "/b/.", true },
		{ "**", "/", true },
		{ "**", "/a/b", true },
		{ "*", "/", false },
		{ "*", "/a", false },
		{ "/*", "/", true },
		{ "/*", "/a", true },
		{ "/*", "/a/b", false },
		{ "/**", "/", true },
		{ "/**", "/a/b", true },
		{ "**/x", "/x", true },
		{ "**/x", "x", true },
		{ "**/x", "/a/b/x", true },
		{ "**/x", "/ax", false },
		{ "/a,b", "/a,b", true },
		{ "", "", true },
		{ "", "/", false },
		/* binaries */
		{ "**/curl", "/usr/bin/curl", true },
		{ "/usr/bin/*", "/usr/bin/curl", true },
		{ "/usr/*", "/usr/bin/curl", false },
		{ "/usr/bin/python3*", "/usr/bin/python3.11", true },
	};
	check_rows(rows, ELEMENTS(rows), '/');
}

static void test_values(void **state)
{
	static const struct row rows[] = {
		{ "foo-*", "foo-", true },
		{ "foo-*", "foo-a/b", true },
		{ "v1.*", "v1.0.3", true },
		{ "v1.*", "v1x0", false },
		{ "x?z", "x/z", true },
		{ "x?z", "xz", false },
		{ "x?z", "x\xc3\xa9z", true },
		{ "x?z", "x\xc3z", true },
		{ "[\xc3\xa0-\xc3\xbf]", "\xc3\xa9", true },
		{ "[!a]", "\xe2\x82\xac", true },
		{ "*", "", true },
		{ "**", "", true },
		{ "**", "a/b", true },
		{ "**/x", "a/x", true },
		{ "**/x", "x", false },
		{ "a/*", "a/b/c", true },
		{ "{a,b}", "b", true },
		{ "{a,b}", "{a,b}", false },
		{ "+", "+", true },
		{ "\xc3\xa9", "\xc3\xa9", true },
		{ "\xc3\xa9", "e", false },
	};
	check_rows(rows, ELEMENTS(rows), 0);
}

static void test_refused(void **state)
{
	static const struct {
		const char *pattern, *why;
	} rows[] = {
		{ "/b/[a", "[ has no ]" },   { "/b/[", "[ has no ]" },
		{ "/b/[]", "[ has no ]" },   { "/b/{a", "{ has no }" },
		{ "/b/{a,b", "{ has no }" }, { "/b/[z-a]", "runs backwards" },
		{ "/b/}", "} has no {" },    { "/b/a\\", "nothing to escape" },
		{ "/b/{}", "empty" },	     { "/b/{a,}", "empty" },
		{ "/b/{,a}", "empty" },	     { "{{{{{{{{{a}}}}}}}}}", "too deeply" },
	};
	struct arena arena = { 0 };
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		const struct glob *g = NULL;
		struct error e = { 0 };
		assert_int_equal(glob_compile(rows[i].pattern, '/', &arena, &g, &e), -EINVAL);
		assert_null(g);
		if (!strstr(e.message, rows[i].why))
			fail_msg("%s: %s", rows[i].pattern, e.message);
	}
	/* One brace fewer. */
	const struct glob *deepest;
	char nested[2 * LIMIT_GLOB_BRACES + 2];
	snprintf(nested, sizeof(nested), "{{{{{{{{a}}}}}}}}");
	assert_int_equal(strlen(nested), 2 * LIMIT_GLOB_BRACES + 1);
	assert_int_equal(glob_compile(nested, '/', &arena, &deepest, NULL), 0);
	char lengthy[GLOB_PATTERN_MAX + 2];
	const struct glob *g = NULL;
	memset(lengthy, 'a', sizeof(lengthy));
	lengthy[GLOB_PATTERN_MAX + 1] = '\0';
	assert_int_equal(glob_compile(lengthy, '/', &arena, &g, NULL), -EINVAL);
	lengthy[GLOB_PATTERN_MAX] = '\0';
	assert_int_equal(glob_compile(lengthy, '/', &arena, &g, NULL), 0);
	assert_true(glob_match(g, span_of(lengthy)));
	arena_done(&arena);
}

static void test_prefix(void **state)
{
	static const struct {
		const char *pattern, *prefix;
		bool whole;
	} rows[] = {
		{ "/a/b", "/a/b", true },     { "/a/*/b", "/a/", false },
		{ "/a/{b,c}", "/a/", false }, { "/a/\\*", "/a/*", true },
		{ "**", "", false },	      { "/caf\xc3\xa9?", "/caf\xc3\xa9", false },
	};
	struct arena arena = { 0 };
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		const struct glob *g = NULL;
		bool whole = !rows[i].whole;
		assert_int_equal(glob_compile(rows[i].pattern, '/', &arena, &g, NULL), 0);
		assert_true(span_is(glob_prefix(g, &whole), rows[i].prefix));
		assert_int_equal(whole, rows[i].whole);
	}
	arena_done(&arena);
}

/* Patterns that make a backtracking matcher take years. */
static void test_hostile_patterns(void **state)
{
	char stars[GLOB_PATTERN_MAX + 1] = "", braces[GLOB_PATTERN_MAX + 1] = "", text[8192];
	for (size_t i = 0; i + 4 < sizeof(stars); i += 3)
		memcpy(stars + i, "*a?", 4);
	for (size_t i = 0; i + 9 < sizeof(braces); i += 8)
		memcpy(braces + i, "{a*,aa*}", 9);
	memset(text, 'a', sizeof(text));
	struct arena arena = { 0 };
	const struct glob *g = NULL;
	uint64_t began = clock_monotonic_ms();
	assert_int_equal(glob_compile(stars, '/', &arena, &g, NULL), 0);
	assert_true(glob_match(g, (struct span){ text, sizeof(text) }));
	text[sizeof(text) - 1] = '/';
	assert_false(glob_match(g, (struct span){ text, sizeof(text) }));
	assert_int_equal(glob_compile(braces, '/', &arena, &g, NULL), 0);
	assert_false(glob_match(g, (struct span){ text, sizeof(text) }));
	assert_true(clock_monotonic_ms() - began < 10000);
	arena_done(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_prefix),
		cmocka_unit_test(test_hostile_patterns),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
