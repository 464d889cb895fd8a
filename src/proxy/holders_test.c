/* SPDX-License-Identifier: Apache-2.0 */
/* Unit test: who holds a socket, out of a folder that looks like /proc and changes under the look, as it does when a process ends and
 * another one gets its number. */
#include "base/cleanup.h"
#include "proxy/holders.h"
#include "proxy/messages.h"
#include "proxy/pins.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

#define INODE	77
#define READS	1023 /* bytes that each look at a stat takes: one line of ours */
#define PROGRAM "/bin/true"

static char folder[] = "holders-XXXXXX";
static int proc = -1, lines = -1;

static void link_to(const char *to, const char *name)
{
	assert_int_equal(symlinkat(to, proc, name), 0);
}

/* Process 2, whose stat is a pipe: what it says next is what was put into that next. */
static int set_up(void **state)
{
	static const char *const folders[] = { "1", "2", "2/task", "2/task/2", "2/task/2/fd" };
	if (!mkdtemp(folder) || (proc = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		return -1;
	for (size_t i = 0; i < ELEMENTS(folders); i++)
		assert_int_equal(mkdirat(proc, folders[i], 0700), 0);
	link_to("socket:[77]", "2/task/2/fd/3");
	link_to(PROGRAM, "2/exe");
	assert_int_equal(mkfifoat(proc, "2/stat", 0600), 0);
	lines = openat(proc, "2/stat", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	return lines < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	static const char *const names[] = { "2/task/2/fd/3", "2/exe", "2/stat" };
	static const char *const folders[] = { "2/task/2/fd", "2/task/2", "2/task", "2", "1" };
	for (size_t i = 0; i < ELEMENTS(names); i++)
		unlinkat(proc, names[i], 0);
	for (size_t i = 0; i < ELEMENTS(folders); i++)
		unlinkat(proc, folders[i], AT_REMOVEDIR);
	close(lines);
	close(proc);
	return rmdir(folder);
}

/* What its stat says next: when it was started, and by whom. */
static void say(unsigned start, int parent)
{
	char line[READS + 1];
	int n = snprintf(line, sizeof(line), "2 (a ) b) S %d", parent);
	for (int i = 0; i < 17; i++)
		n += snprintf(line + n, sizeof(line) - (size_t)n, " 0");
	n += snprintf(line + n, sizeof(line) - (size_t)n, " %u", start);
	memset(line + n, ' ', sizeof(line) - (size_t)n);
	assert_int_equal(write(lines, line, READS), READS);
}

static int find(struct buf *paths)
{
	pid_t hidden;
	int hash;
	return holders_find(proc, INODE, paths, &hidden, &hash);
}

/* The lines that nobody has read. */
static unsigned left(void)
{
	char line[READS];
	unsigned n = 0;
	while (read(lines, line, READS) == READS)
		n++;
	return n;
}

/* Its program is hashed once; after that it is known. */
static void hash_it(void)
{
	_cleanup_buf_ struct buf paths = BUF_INIT(SANDBOX_HOLDERS_MAX);
	say(1, 1);
	assert_int_equal(find(&paths), -EINPROGRESS);
	while (pins_step() == PINS_LATER)
		;
	assert_int_equal(left(), 0);
}

static void it_is_known_by_its_number_and_its_start(void **state)
{
	_cleanup_buf_ struct buf paths = BUF_INIT(SANDBOX_HOLDERS_MAX);
	static const char expected[] = "2\0" PROGRAM "\0";
	hash_it();
	say(1, 1);
	say(1, 1);
	assert_int_equal(find(&paths), 0);
	assert_int_equal(left(), 0);
	assert_int_equal(paths.len, sizeof(expected));
	assert_memory_equal(paths.data, expected, sizeof(expected));
}

static void a_number_that_was_given_away_is_looked_at_again(void **state)
{
	static const struct {
		unsigned start;
		int parent;
	} after[] = { { 2, 1 }, { 1, 2 } };
	for (size_t i = 0; i < ELEMENTS(after); i++) {
		_cleanup_buf_ struct buf paths = BUF_INIT(SANDBOX_HOLDERS_MAX);
		say(1, 1);
		say(after[i].start, after[i].parent);
		say(3, 1);
		say(3, 1);
		assert_int_equal(find(&paths), 0);
		assert_int_equal(left(), 0);
	}
}

static void who_changes_all_the_time_is_nobody(void **state)
{
	_cleanup_buf_ struct buf paths = BUF_INIT(SANDBOX_HOLDERS_MAX);
	for (unsigned i = 0; i < 20; i++)
		say(i, 1);
	assert_int_equal(find(&paths), -EAGAIN);
	assert_int_equal(left(), 10); /* five looks, of two each */
	assert_int_equal(paths.len, 0);
}

static void nobody_holds_what_nobody_has(void **state)
{
	_cleanup_buf_ struct buf paths = BUF_INIT(SANDBOX_HOLDERS_MAX);
	pid_t hidden;
	int hash;
	assert_int_equal(holders_find(proc, INODE + 1, &paths, &hidden, &hash), -ENOENT);
	assert_int_equal(paths.len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_known_by_its_number_and_its_start),
		cmocka_unit_test(a_number_that_was_given_away_is_looked_at_again),
		cmocka_unit_test(who_changes_all_the_time_is_nobody),
		cmocka_unit_test(nobody_holds_what_nobody_has),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
