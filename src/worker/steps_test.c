/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of finding steps and errors in what engines print. */
#include "worker/steps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static char seen[1024]; /* the steps' texts, one per line */

static void on_step(void *arg, const char *text)
{
	size_t n = strlen(seen);
	snprintf(seen + n, sizeof(seen) - n, "%s\n", text);
}

static struct steps feed(const char *text)
{
	struct steps s;
	seen[0] = '\0';
	steps_init(&s, on_step, NULL);
	for (const char *p = text; *p; p++) /* in the smallest pieces there are */
		steps_feed(&s, p, 1);
	steps_end(&s);
	return s;
}

static void finds_buildahs_steps(void **state)
{
	struct steps s =
		feed("[1/2] STEP 1/2: FROM a\n[2/2] STEP 1/3: FROM b\n[2/2] STEP 2/3: RUN c\n"
		     "one\ntwo\nsubprocess exited with status 3\n"
		     "Error: building at STEP \"RUN c\": exit status 3\n");
	assert_string_equal(seen, "1/2 1/2 FROM a\n2/2 1/3 FROM b\n2/2 2/3 RUN c\n");
	assert_string_equal(s.step, "RUN c");
	assert_int_equal(s.stage, 2);
	assert_int_equal(s.number, 2);
	assert_int_equal(s.exit_code, 3);
	assert_string_equal(s.error, "building at STEP \"RUN c\": exit status 3");
	assert_string_equal(steps_last_line(&s, 0), "one");
	assert_string_equal(steps_last_line(&s, 1), "two");
	assert_null(steps_last_line(&s, 2));
}

static void a_steps_own_errors_are_among_its_last_lines(void **state)
{
	struct steps s = feed("STEP 1/2: RUN a\nerror: of the first\nSTEP 2/2: RUN b\none\n"
			      "Error: Cannot find module 'x'\nerror: exit status 7\ntwo\n"
			      "error: could not compile\nsubprocess exited with status 3\n"
			      "Error: building at STEP \"RUN b\": exit status 3\n");
	static const char *const lines[] = { "one", "Error: Cannot find module 'x'",
					     "error: exit status 7", "two",
					     "error: could not compile" };
	for (unsigned i = 0; i < 5; i++)
		assert_string_equal(steps_last_line(&s, i), lines[i]);
	assert_null(steps_last_line(&s, 5));
	assert_string_equal(s.error, "building at STEP \"RUN b\": exit status 3");
	assert_int_equal(s.exit_code, 3);
	s = feed("STEP 1/2: RUN a\nerror: exit status 7\nSTEP 2/2: COPY b\n"
		 "Error: no such file\n");
	assert_int_equal(s.exit_code, -1);
	assert_null(steps_last_line(&s, 0));
}

static void where_engines_write_no_errors_every_line_is_the_steps(void **state)
{
	static const char text[] = "Step 1/1 : RUN a\nError: x\nError: y\n";
	struct steps s;
	steps_init(&s, NULL, NULL);
	s.errors_elsewhere = true;
	steps_feed(&s, text, strlen(text));
	steps_end(&s);
	assert_string_equal(steps_last_line(&s, 0), "Error: x");
	assert_string_equal(steps_last_line(&s, 1), "Error: y");
	assert_string_equal(s.error, "");
}

static void keep_id(void *arg, const char *id)
{
	char *ids = arg;
	memcpy(ids + strlen(ids), id, 13);
}

static void finds_dockers_images(void **state)
{
	static const char output[] = "Step 1/2 : FROM a\n ---> 0123456789ab\nStep 2/2 : RUN x\n "
				     "---> Running in 1123456789ab\n"
				     " ---> 2123456789abc\n ---> 31234\n ---> 4123456789aX\n ---> "
				     "Using cache\n ---> 5123456789ab\n";
	char ids[200] = "";
	struct steps s;
	steps_init(&s, NULL, ids);
	s.on_image = keep_id;
	steps_feed(&s, output, strlen(output));
	assert_string_equal(ids, "0123456789ab5123456789ab");
}

static void finds_dockers_steps(void **state)
{
	struct steps s = feed("Step 1/2 : FROM a\n ---> 0123456789ab\nStep 2/2 : RUN b\n"
			      " ---> Running in 0123456789ab\nout\n"
			      "Removing intermediate container 0123456789ab\n");
	assert_string_equal(seen, "1/2 FROM a\n2/2 RUN b\n");
	assert_int_equal(s.stage, 0);
	assert_int_equal(s.number, 2);
	assert_string_equal(steps_last_line(&s, 0), "out");
	assert_null(steps_last_line(&s, 1));
}

static void what_looks_like_a_step_is_none(void **state)
{
	feed("STEP 1: FROM a\nSTEP x/2: FROM a\nSTEP 1/2 FROM a\n STEP 1/2: a\n[1/2]STEP 1/2: a\n"
	     "[1] STEP 1/2: a\nStep 1/2: FROM a\nSTEP \n[");
	assert_string_equal(seen, "");
}

static void keeps_the_last_lines_of_the_step(void **state)
{
	char text[4096] = "STEP 1/1: RUN x\n", line[32];
	for (int i = 0; i < 50; i++) {
		snprintf(line, sizeof(line), "line %d\n", i);
		memcpy(text + strlen(text), line, strlen(line) + 1);
	}
	memcpy(text + strlen(text), "no end", 7);
	struct steps s = feed(text);
	assert_string_equal(steps_last_line(&s, 0), "line 31");
	assert_string_equal(steps_last_line(&s, LIMIT_FAILURE_LINES - 1), "no end");
	assert_null(steps_last_line(&s, LIMIT_FAILURE_LINES));
}

static void long_and_hostile_lines_are_cut_and_plain(void **state)
{
	static char text[10000];
	memset(text, 'x', sizeof(text) - 1);
	struct steps s = feed(text);
	assert_int_equal(strlen(steps_last_line(&s, 0)), STEPS_LINE_MAX - 1);
	s = feed("\033[31mred\n");
	assert_string_equal(steps_last_line(&s, 0), "\xef\xbf\xbd[31mred");
	assert_int_equal(s.exit_code, -1);
}

static void reads_exit_codes(void **state)
{
	assert_int_equal(steps_exit_code("x: exit status 42"), 42);
	assert_int_equal(steps_exit_code("The command 'a' returned a non-zero code: 7"), 7);
	assert_int_equal(steps_exit_code("exit status 256"), -1);
	assert_int_equal(steps_exit_code("exit status -1"), -1);
	assert_int_equal(steps_exit_code("exit status "), -1);
	assert_int_equal(steps_exit_code(""), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_buildahs_steps),
		cmocka_unit_test(a_steps_own_errors_are_among_its_last_lines),
		cmocka_unit_test(where_engines_write_no_errors_every_line_is_the_steps),
		cmocka_unit_test(finds_dockers_steps),
		cmocka_unit_test(finds_dockers_images),
		cmocka_unit_test(what_looks_like_a_step_is_none),
		cmocka_unit_test(keeps_the_last_lines_of_the_step),
		cmocka_unit_test(long_and_hostile_lines_are_cut_and_plain),
		cmocka_unit_test(reads_exit_codes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
