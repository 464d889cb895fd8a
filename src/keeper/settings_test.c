/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of the server's configuration: what becomes of it, and where each fault is said to be. */
#include "base/cleanup.h"
#include "base/limit.h"
#include "keeper/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

static struct serve_limits limits;

static int load(const char *yaml, struct buf *out, struct error *e)
{
	char path[] = "/tmp/postern-settings-XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, yaml, strlen(yaml)), strlen(yaml));
	close(fd);
	int r = serve_settings_load(path, out, &limits, e);
	unlink(path);
	return r;
}

static void settings_become_json(void **state)
{
	struct error e = { 0 };
	_cleanup_buf_ struct buf b = BUF_INIT(4096), none = BUF_INIT(4096);
	assert_int_equal(load("engine: podman\nbases: [a, b-1]\nlimits: { seconds: 60 }\n", &b, &e),
			 0);
	assert_string_equal(b.data, "{\"trust_dockerfiles\":false,\"engine\":\"podman\",\"bases\":["
				    "\"a\",\"b-1\"],\"seconds\":60}");
	assert_int_equal(serve_settings_load(NULL, &none, &limits, &e), 0);
	assert_string_equal(none.data, "{}");
	buf_done(&none);
}

static void keeper_has_limits_of_its_own(void **state)
{
	struct error e = { 0 };
	_cleanup_buf_ struct buf b = BUF_INIT(4096);
	assert_int_equal(serve_settings_load(NULL, &b, &limits, &e), 0);
	assert_int_equal(limits.jobs_running, DEFAULT_JOBS_RUNNING);
	assert_int_equal(limits.jobs_queued, DEFAULT_JOBS_QUEUED);
	assert_int_equal(limits.seconds, LIMIT_JOB_SECONDS);
	buf_done(&b);
	assert_int_equal(
		load("limits: { jobs_running: 3, jobs_queued: 4, seconds: 5, storage_bytes: 6 }",
		     &b, &e),
		0);
	assert_int_equal(limits.jobs_running, 3);
	assert_int_equal(limits.jobs_queued, 4);
	assert_int_equal(limits.seconds, 5);
	assert_int_equal(limits.storage_bytes, 6);
	assert_string_equal(b.data,
			    "{\"trust_dockerfiles\":false,\"seconds\":5,\"storage_bytes\":6}");
}

static void faults_have_a_place(void **state)
{
	static const struct {
		const char *yaml, *message;
		unsigned line, column;
	} rows[] = {
		{ "engin: auto\n", "engine", 1, 1 },
		{ "engine: docker\n", "trust_dockerfiles", 1, 9 },
		{ "engine: crio\n", "buildah", 1, 9 },
		{ "bases:\n  - ok\n  - \"a/b\"\n", "base image", 3, 5 },
		{ "bases: [-x]\n", "base image", 1, 9 },
		{ "bases: [..]\n", "base image", 1, 9 },
		{ "bases: [\"\"]\n", "base image", 1, 9 },
		{ "bases: [a...b]\n", "base image", 1, 9 },
		{ "bases: [a2345678901234567890123456789012345678901234567890123456789012345]\n",
		  "base image", 1, 9 },
		{ "bases: [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q]\n", "at most 16", 1, 41 },
		{ "limits: { seconds: 0 }\n", "integer", 1, 20 },
		{ "limits: { seconds: 3601 }\n", "from 1 to 3600", 1, 20 },
		{ "limits: { jobs_running: 17 }\n", "from 1 to 16", 1, 25 },
		{ "limits:\n  memory_byte: 1\n", "memory_bytes", 2, 3 },
		{ "limits: { memory_bytes: 1GiB }\n", "integer", 1, 25 },
		{ "- a\n", "settings", 1, 1 },
	};
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		struct error e = { 0 };
		_cleanup_buf_ struct buf b = BUF_INIT(4096);
		assert_true(load(rows[i].yaml, &b, &e) < 0);
		assert_non_null(strstr(e.message, rows[i].message));
		assert_int_equal(e.line, rows[i].line);
		assert_int_equal(e.column, rows[i].column);
	}
}

/* The figures are the most there can be, and 1 the least. */
static void limits_have_bounds(void **state)
{
	static const struct {
		const char *name;
		unsigned long long most;
	} rows[] = {
		{ "context_bytes", LIMIT_CONTEXT_BYTES },
		{ "context_entries", LIMIT_CONTEXT_ENTRIES },
		{ "memory_bytes", LIMIT_BUILD_MEMORY_BYTES },
		{ "processes", LIMIT_BUILD_PROCESSES },
		{ "file_bytes", LIMIT_BUILD_FILE_BYTES },
		{ "storage_bytes", LIMIT_BUILD_STORAGE_BYTES },
		{ "log_bytes", LIMIT_JOB_LOG_BYTES },
		{ "seconds", LIMIT_JOB_SECONDS },
		{ "jobs_running", LIMIT_JOBS_RUNNING },
		{ "jobs_queued", LIMIT_JOBS_QUEUED },
	};
	char yaml[128];
	for (size_t i = 0; i < ELEMENTS(rows); i++)
		for (unsigned over = 0; over <= 1; over++) {
			struct error e = { 0 };
			_cleanup_buf_ struct buf b = BUF_INIT(4096);
			snprintf(yaml, sizeof(yaml), "limits: { %s: %llu }\n", rows[i].name,
				 rows[i].most + over);
			if ((load(yaml, &b, &e) < 0) != over)
				fail_msg("%s%s", yaml, e.message);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(settings_become_json),
		cmocka_unit_test(keeper_has_limits_of_its_own),
		cmocka_unit_test(faults_have_a_place),
		cmocka_unit_test(limits_have_bounds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
