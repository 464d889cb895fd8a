/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of reading a Dockerfile's lines. */
#include "base/cleanup.h"
#include "base/limit.h"
#include "worker/dockerfile.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void taken(const char *text)
{
	struct error e = { 0 };
	if (dockerfile_check(text, strlen(text), &e) < 0)
		fail_msg("line %u: %s\n%s", e.line, e.message, text);
}

static void refused(const char *text, unsigned line, const char *says)
{
	struct error e = { 0 };
	assert_int_equal(dockerfile_check(text, strlen(text), &e), -EINVAL);
	assert_string_equal(e.message, says);
	assert_int_equal(e.line, line);
}

/* Looking for the end of the first takes all lines; then there is one line's look left for the second, or two, which it wants. */
static void ends_of_heredocs_are_looked_for_in_so_many_lines(void **state)
{
	static const char head[] = "FROM a\nRUN <<NEVER\n", second[] = "RUN <<E\nnonsense\nE\n";
	static char text[sizeof(head) + sizeof(second) + LIMIT_HEREDOC_LINES];
	for (size_t spare = 1; spare <= 2; spare++) {
		size_t n = (size_t)snprintf(text, sizeof(text), "%s%s", head, second);
		size_t more = LIMIT_HEREDOC_LINES - spare - 3;
		memset(text + n, '\n', more);
		text[n + more] = '\0';
		if (spare == 2)
			taken(text);
		else
			refused(text, 4, "unknown instruction 'NONSENSE'");
	}
}

static void takes_what_engines_take(void **state)
{
	taken("FROM scratch");
	taken("# syntax=docker/dockerfile:1\n\nARG V=1\nfrom base:$V as b\nrun true\n");
	taken("FROM --platform=linux/amd64 a AS b\r\nCMD\r\nENTRYPOINT\r\nENV a b\r\nLABEL "
	      "a=b\r\n");
	taken("\xef\xbb\xbf"
	      "FROM a\nONBUILD RUN x\nHEALTHCHECK NONE\nMAINTAINER me\n");
	taken("FROM a\nRUN echo \\\n# comment\n\n  b \\\n  && c\nRUN d\n");
	taken("FROM a\nRUN <<EOF\nnonsense\nEOF\nCOPY <<-\"X\" <<Y /f\nnonsense\n\tX\nmore\nY\nRUN "
	      "x\n");
	taken("# escape=`\nFROM a\nRUN x `\n  y\nRUN c:\\\nRUN d\n");
	taken("FROM a\nWORKDIR\\\n /x\n");
}

static void refuses_by_line(void **state)
{
	refused("", 0, "there is no FROM in it");
	refused("# nothing\n\n", 0, "there is no FROM in it");
	refused("ARG a\n", 0, "there is no FROM in it");
	refused("FROM a\nRUN b \\\n c\n\nRUNN x\n", 5,
		"unknown instruction 'RUNN'; did you mean RUN");
	refused("FROM a\n#\n{\n", 3, "unknown instruction '{'");
	refused("RUN x\n", 1, "RUN before the first FROM; a Dockerfile begins with FROM");
	refused("FROM\n", 1, "FROM has no arguments");
	refused("FROM a b\n", 1, "expected FROM IMAGE or FROM IMAGE AS NAME");
	refused("FROM a\nFROM --platform=x\n", 2, "FROM has no arguments");
	refused("FROM a\nENV X\n", 2, "expected ENV NAME=VALUE");
	refused("FROM a\nUSER\n", 2, "USER has no arguments");
	refused("FROM a\nRUN <<EOF\nnobody ends this\n", 3, "unknown instruction 'NOBODY'");
}

static const char two_stages[] = "ARG V=1\n"
				 "FROM a AS b\n"
				 "RUN one \\\n"
				 "  two\n"
				 "# comment\n"
				 "COPY <<EOF /x\n"
				 "FROM inside\n"
				 "EOF\n"
				 "FROM c\n"
				 "RUN three\n";

static void finds_the_line_of_a_step(void **state)
{
	static const struct {
		unsigned stage, step, line;
		const char *what;
	} cases[] = {
		{ 1, 1, 2, "FROM a AS b" },   { 1, 2, 3, "RUN one   two" },
		{ 1, 3, 6, "COPY <<EOF /x" }, { 2, 1, 9, "FROM c" },
		{ 2, 2, 10, "RUN three" },    { 2, 2, 0, "COPY something else" },
		{ 2, 2, 0, "RUNNER" },	      { 2, 3, 0, "RUN" },
		{ 3, 1, 0, "FROM" },	      { 0, 1, 1, "ARG V=1" },
		{ 0, 6, 10, "run three" },
	};
	for (size_t i = 0; i < ELEMENTS(cases); i++)
		assert_int_equal(dockerfile_line(two_stages, strlen(two_stages), cases[i].stage,
						 cases[i].step, cases[i].what),
				 cases[i].line);
}

static void lists_all_lines(void **state)
{
	char lines[64], few[20];
	dockerfile_lines(two_stages, strlen(two_stages), lines, sizeof(lines));
	assert_string_equal(lines, "1 2 3 6 9 10");
	dockerfile_lines(two_stages, strlen(two_stages), few, sizeof(few));
	assert_string_equal(few, "1 2 3");
}

/* Each of many here-documents without an end would be looked for to the end of the file. */
static void many_unended_documents_take_no_time(void **state)
{
	static char text[1024 * 1024 + 1] = "FROM a\n";
	for (size_t i = 7; i + 12 < sizeof(text); i += 11)
		memcpy(text + i, "RUN x <<EO\n", 11);
	taken(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_what_engines_take),
		cmocka_unit_test(ends_of_heredocs_are_looked_for_in_so_many_lines),
		cmocka_unit_test(refuses_by_line),
		cmocka_unit_test(finds_the_line_of_a_step),
		cmocka_unit_test(lists_all_lines),
		cmocka_unit_test(many_unended_documents_take_no_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
