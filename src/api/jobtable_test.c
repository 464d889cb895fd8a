/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of the shared job table: what a reader sees, what it cannot do, and no torn reads. */
#include "api/jobtable.h"
#include "base/cleanup.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <cmocka.h>

static struct job_table *table;
static int table_fd;

static int set_up(void **state)
{
	return jobtable_create(&table, &table_fd);
}

static int tear_down(void **state)
{
	munmap(table, sizeof(*table));
	close(table_fd);
	return 0;
}

static struct job_view view_of(const char *id, enum job_state state)
{
	struct job_view v = { .state = state };
	snprintf(v.id, sizeof(v.id), "%s", id);
	return v;
}

static void test_ids(void **state)
{
	assert_true(job_id_valid("j0123456789abcdefghjk"));
	assert_false(job_id_valid(""));
	assert_false(job_id_valid("j"));
	assert_false(job_id_valid("j0123456789abcdefghj"));
	assert_false(job_id_valid("j0123456789abcdefghjkm"));
	assert_false(job_id_valid("j0123456789abcdefghji")); /* no i in Crockford's alphabet */
	assert_false(job_id_valid("j0123456789abcdefghj/"));
	assert_false(job_id_valid("x0123456789abcdefghjk"));
}

static void test_names(void **state)
{
	assert_string_equal(job_state_name(JOB_TIMED_OUT), "timed_out");
	assert_string_equal(job_state_name(JOB_UPLOADING), "uploading");
	assert_string_equal(job_state_name((enum job_state)99), "unknown");
	assert_false(job_state_ended(JOB_RUNNING));
	assert_true(job_state_ended(JOB_LOST));
	assert_true(job_state_ended(JOB_SUCCEEDED));
}

static void test_reader_sees_what_was_written(void **state)
{
	const struct job_table *t;
	assert_int_equal(jobtable_map(table_fd, &t), 0);
	struct job_view v = view_of("j0123456789abcdefghjk", JOB_SUCCEEDED), seen;
	snprintf(v.result, sizeof(v.result), "{\"a\":1}");
	v.result_len = 7;
	v.n_artifacts = 1;
	snprintf(v.artifact[0].name, sizeof(v.artifact[0].name), "image.tar");
	v.artifact[0].size = 1ull << 40;
	jobtable_write(table, 3, &v);
	assert_int_equal(jobtable_find(t, "j0123456789abcdefghjk"), 3);
	/* The same middle, which is the key, but another id. */
	assert_int_equal(jobtable_find(t, "j0123456789abcdefghjm"), -1);
	assert_int_equal(jobtable_find(t, "j"), -1);
	assert_true(jobtable_read(t, 3, &seen));
	assert_string_equal(seen.result, "{\"a\":1}");
	assert_string_equal(seen.artifact[0].name, "image.tar");
	assert_true(seen.artifact[0].size == 1ull << 40);
	assert_false(jobtable_read(t, 2, &seen));
	assert_false(jobtable_read(t, LIMIT_JOBS_PER_RUN, &seen));
	v = (struct job_view){ 0 };
	jobtable_write(table, 3, &v);
	assert_int_equal(jobtable_find(t, "j0123456789abcdefghjk"), -1);
	assert_false(jobtable_read(t, 3, &seen));
	munmap((void *)(uintptr_t)t, sizeof(*t));
}

static void test_full_result(void **state)
{
	static struct job_view v, seen;
	v = view_of("j0123456789abcdefghjk", JOB_FAILED);
	v.result_len = LIMIT_RESULT_BYTES;
	memset(v.result, 'x', sizeof(v.result));
	jobtable_write(table, LIMIT_JOBS_PER_RUN - 1, &v);
	assert_true(jobtable_read(table, LIMIT_JOBS_PER_RUN - 1, &seen));
	assert_memory_equal(&v, &seen, sizeof(v));
}

static void test_a_front_cannot_write(void **state)
{
	const struct job_table *t;
	assert_int_equal(jobtable_map(table_fd, &t), 0);
	assert_int_equal(mprotect((void *)(uintptr_t)t, sizeof(*t), PROT_READ | PROT_WRITE), -1);
	assert_ptr_equal(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, table_fd, 0),
			 MAP_FAILED);
	assert_int_equal(pwrite(table_fd, "x", 1, 0), -1);
	assert_int_equal(ftruncate(table_fd, 0), -1);
	munmap((void *)(uintptr_t)t, sizeof(*t));
}

static void test_unsealed_file_is_refused(void **state)
{
	const struct job_table *t;
	_cleanup_close_ int fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(fd, sizeof(struct job_table)), 0);
	assert_int_equal(jobtable_map(fd, &t), -EPERM);
}

/* A child rewrites a slot as fast as it can; every view read must be of one piece. */
static void test_no_torn_reads(void **state)
{
	pid_t child = fork();
	if (child == 0) {
		static struct job_view v;
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* or a failing test would leave it behind */
		v = view_of("j0123456789abcdefghjk", JOB_RUNNING);
		for (uint32_t i = 0;; i++) {
			v.changes = i;
			v.position = i;
			v.result_len = i % LIMIT_RESULT_BYTES;
			memset(v.result, (int)(i & 0xff), v.result_len);
			jobtable_write(table, 0, &v);
		}
	}
	static struct job_view seen;
	/* A free slot is seen until the child has started; meson's time limit ends a hang. */
	for (unsigned views = 0; views < 3000;) {
		if (!jobtable_read(table, 0, &seen))
			continue;
		views++;
		assert_true(seen.position == seen.changes);
		assert_int_equal(seen.result_len, seen.changes % LIMIT_RESULT_BYTES);
		for (uint32_t k = 0; k < seen.result_len; k++)
			assert_int_equal((unsigned char)seen.result[k], seen.changes & 0xff);
	}
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

/* A keeper killed in the middle of a write must not hang its front. */
static void test_dead_writer(void **state)
{
	struct job_view v = view_of("j0123456789abcdefghjk", JOB_RUNNING), seen;
	jobtable_write(table, 0, &v);
	table->slot[0].sequence |= 1;
	assert_false(jobtable_read(table, 0, &seen));
	assert_int_equal(jobtable_find(table, "j0123456789abcdefghjk"), -1);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_ids),
		TEST(test_names),
		TEST(test_reader_sees_what_was_written),
		TEST(test_full_result),
		TEST(test_a_front_cannot_write),
		TEST(test_unsealed_file_is_refused),
		TEST(test_no_torn_reads),
		TEST(test_dead_writer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
