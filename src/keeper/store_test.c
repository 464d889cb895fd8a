/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of the job store: what is saved is what is read after opening again. */
#include "keeper/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/postern-store-XXXXXX";
static struct store_job job, seen;
static unsigned count;

static int remember(void *arg, const struct store_job *j)
{
	count++;
	seen = *j;
	return 0;
}

static void jobs_survive_reopening(void **state)
{
	struct store *s;
	struct error e;
	char run[RUN_ID_SIZE], again[RUN_ID_SIZE];
	assert_int_equal(store_open(&s, &e), 0);
	assert_int_equal(store_run_id(s, "", "r1", run, &e), 0);
	job.view = (struct job_view){ .id = "j0123456789abcdefghjk",
				      .operation = "build",
				      .state = JOB_FAILED,
				      .changes = 3,
				      .created_ms = 1,
				      .position = 9,
				      .n_artifacts = 1,
				      .result = "{\"a\":1}",
				      .result_len = 7,
				      .artifact = { { .name = "image.tar",
						      .media_type = "application/x-tar",
						      .size = 77 } } };
	snprintf(job.arguments, sizeof(job.arguments), "{}");
	snprintf(job.idempotency_key, sizeof(job.idempotency_key), "key");
	assert_int_equal(store_save(s, &job), 0);
	job.view.state = JOB_SUCCEEDED;
	assert_int_equal(store_save(s, &job), 0);
	store_close(s);

	assert_int_equal(store_open(&s, &e), 0);
	assert_int_equal(store_run_id(s, "", "r2", again, &e), 0);
	assert_string_equal(run, again);
	count = 0;
	assert_int_equal(store_each(s, &seen, remember, NULL), 0);
	assert_int_equal(count, 1);
	assert_memory_equal(&seen.view, &job.view, sizeof(job.view));
	assert_string_equal(seen.idempotency_key, "key");
	assert_int_equal(store_delete(s, job.view.id), 0);
	count = 0;
	assert_int_equal(store_each(s, &seen, remember, NULL), 0);
	assert_int_equal(count, 0);
	store_close(s);
}

static void a_damaged_store_is_refused_with_a_reason(void **state)
{
	struct store *s;
	struct error e = { 0 };
	FILE *f = fopen("postern.db", "w");
	assert_non_null(f);
	for (int i = 0; i < 5000; i++)
		fputs("not a database ", f);
	fclose(f);
	unlink("postern.db-wal");
	assert_true(store_open(&s, &e) < 0);
	assert_non_null(strstr(e.message, "postern.db"));
}

int main(void)
{
	if (!mkdtemp(folder) || chdir(folder) < 0)
		return 1;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(jobs_survive_reopening),
		cmocka_unit_test(a_damaged_store_is_refused_with_a_reason),
	};
	int r = cmocka_run_group_tests(tests, NULL, NULL);
	unlink("postern.db");
	unlink("postern.db-wal");
	unlink("postern.db-shm");
	if (chdir("/") == 0)
		rmdir(folder);
	return r;
}
