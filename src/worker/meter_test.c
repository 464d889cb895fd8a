/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of measuring what a build stores: files with several names, and what lies too deep. */
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/limit.h"
#include "worker/linked.h"
#include "worker/meter.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>

#include <cmocka.h>

#define FILE_BYTES (256 * 1024)
#define SLACK	   (64 * 1024) /* that folders may take themselves */

static char top[] = "/tmp/postern-meter-XXXXXX";
static int measured = -1, beside = -1; /* folders; only one is measured */

static int open_new(const char *name)
{
	char path[sizeof(top) + 16];
	snprintf(path, sizeof(path), "%s/%s", top, name);
	assert_int_equal(mkdir(path, 0755), 0);
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int set_up(void **state)
{
	umask(022);
	if (!mkdtemp(top))
		return -1;
	measured = open_new("measured");
	beside = open_new("beside");
	return measured < 0 || beside < 0;
}

static int tear_down(void **state)
{
	close(measured);
	close(beside);
	return remove_tree_at(AT_FDCWD, top);
}

static uint64_t measure(void)
{
	struct error e = { 0 };
	uint64_t bytes = 0;
	assert_int_equal(meter_once(measured, &bytes, &e), 0);
	return bytes;
}

static void a_file_of_many_names_counts_once_and_in_full(void **state)
{
	char name[16];
	_cleanup_close_ int fd = openat(measured, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_int_equal(posix_fallocate(fd, 0, FILE_BYTES), 0);
	for (int i = 0; i < 2000; i++) {
		snprintf(name, sizeof(name), "%d", i);
		assert_int_equal(linkat(measured, "file", i < 10 ? measured : beside, name, 0), 0);
	}
	assert_in_range(measure(), FILE_BYTES, FILE_BYTES + SLACK);
}

static void many_files_of_many_names_are_told_apart(void **state)
{
	char name[32];
	uint64_t before = measure();
	for (int i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "small%d", i);
		_cleanup_close_ int fd =
			openat(measured, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
		assert_int_equal(posix_fallocate(fd, 0, 1), 0);
		assert_int_equal(linkat(measured, name, beside, name, 0), 0);
	}
	uint64_t once = measure() - before;
	assert_true(once >= 3000 * 512);
	for (int i = 0; i < 3000; i++) {
		char other[40];
		snprintf(name, sizeof(name), "small%d", i);
		snprintf(other, sizeof(other), "again-%d", i);
		assert_int_equal(linkat(measured, name, measured, other, 0), 0);
	}
	assert_in_range(measure() - before, once, once + 1024 * 1024); /* the folder has grown */
}

/* So many files with several names are too many to be made here. */
static void beyond_the_limit_every_name_counts(void **state)
{
	struct linked_files f = { 0 };
	for (ino_t i = 1; i <= LIMIT_BUILD_LINKED_FILES; i++)
		assert_true(linked_files_is_first(&f, 1, i));
	for (ino_t i = 1; i <= LIMIT_BUILD_LINKED_FILES; i++)
		assert_false(linked_files_is_first(&f, 1, i));
	for (int name = 0; name < 3; name++)
		assert_true(linked_files_is_first(&f, 1, LIMIT_BUILD_LINKED_FILES + 1));
	linked_files_done(&f);
}

static void what_is_too_deep_is_told(void **state)
{
	struct error e = { 0 };
	uint64_t bytes;
	assert_int_equal(fchdir(measured), 0);
	for (int i = 0; i < LIMIT_BUILD_DEPTH; i++)
		assert_int_equal(mkdir("d", 0755) || chdir("d"), 0);
	assert_true(measure() > 0);
	assert_int_equal(mkdir("d", 0755), 0);
	assert_int_equal(meter_once(measured, &bytes, &e), -E2BIG);
	assert_string_equal(e.message, "the build made folders more than 4096 deep");
	for (int i = 0; i <= LIMIT_BUILD_DEPTH; i++)
		assert_int_equal(rmdir("d") || chdir(i < LIMIT_BUILD_DEPTH ? ".." : "/"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_of_many_names_counts_once_and_in_full),
		cmocka_unit_test(many_files_of_many_names_are_told_apart),
		cmocka_unit_test(beyond_the_limit_every_name_counts),
		cmocka_unit_test(what_is_too_deep_is_told),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
