/* SPDX-License-Identifier: Apache-2.0 */
/* Unit test: a job's text is made once, and again after each change. */
#include "front/job_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define ID    "j0123456789abcdefghjk"
#define OTHER "j9876543210abcdefghjk"

static struct job_table *table;
static int table_fd;

static void write_job(const char *id, enum job_state state, uint32_t changes)
{
	struct job_view v = { .state = state, .changes = changes, .position = 7 };
	snprintf(v.id, sizeof(v.id), "%s", id);
	v.result_len = (uint32_t)snprintf(v.result, sizeof(v.result), "{\"seconds\":0.054}");
	jobtable_write(table, 5, &v);
}

static void test_what_it_says(void **state)
{
	write_job(ID, JOB_RUNNING, 2);
	const struct job_text *job = job_text(table, ID);
	assert_non_null(job);
	assert_string_equal(job->id, ID);
	assert_int_equal(job->state, JOB_RUNNING);
	assert_int_equal(job->changes, 2);
	assert_int_equal(job->position, 7);
	assert_int_equal(job->len, strlen(job->data));
	assert_int_equal(job->data[job->len - 1], '\n');
	assert_non_null(strstr(job->data, "\"state\":\"running\""));
	assert_non_null(strstr(job->data, "\"result\":{\"seconds\":0.054}"));
	assert_null(job_text(table, OTHER));
	assert_null(job_text_at(table, 6));
}

static void test_made_once_per_change(void **state)
{
	write_job(ID, JOB_RUNNING, 2);
	const struct job_text *job = job_text(table, ID);
	const char *data = job->data;
	assert_ptr_equal(job_text(table, ID)->data, data);
	assert_ptr_equal(job_text_at(table, 5)->data, data);
	write_job(ID, JOB_SUCCEEDED, 3);
	job = job_text(table, ID);
	assert_int_equal(job->state, JOB_SUCCEEDED);
	assert_non_null(strstr(job->data, "\"state\":\"succeeded\""));
}

static void test_a_slot_that_is_used_again(void **state)
{
	write_job(ID, JOB_SUCCEEDED, 3);
	assert_non_null(job_text(table, ID));
	write_job(ID, JOB_FREE, 0);
	assert_null(job_text(table, ID));
	assert_null(job_text_at(table, 5));
	write_job(OTHER, JOB_QUEUED, 1);
	assert_null(job_text(table, ID));
	assert_string_equal(job_text_at(table, 5)->id, OTHER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_it_says),
		cmocka_unit_test(test_made_once_per_change),
		cmocka_unit_test(test_a_slot_that_is_used_again),
	};
	if (jobtable_create(&table, &table_fd) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
