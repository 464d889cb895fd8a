/* SPDX-License-Identifier: Apache-2.0 */
/* Unit test: what is remembered of a program's file, and when it is looked into again. */
#include "base/limit.h"
#include "proxy/pins.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static int folder;

static void put(const char *name, const char *text)
{
	int fd = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC, 0700);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static int look(const char *name, const char *path, enum pin *ret, int *ret_hash)
{
	struct stat st;
	assert_int_equal(fstatat(folder, name, &st, 0), 0);
	return pins_look(folder, name, path, &st, ret, ret_hash);
}

static void run_hashes(void)
{
	for (int ms; (ms = pins_wait_ms()) >= 0;) {
		poll(NULL, 0, ms);
		(void)pins_step();
	}
}

/* What it is, hashed as often as it takes; *ret_hashed: how often. */
static enum pin settled(const char *name, const char *path, unsigned *ret_hashed)
{
	enum pin pin = PIN_COUNT;
	int hash, r;
	*ret_hashed = 0;
	while ((r = look(name, path, &pin, &hash)) == -EINPROGRESS) {
		assert_true(++*ret_hashed < 5);
		run_hashes();
	}
	assert_int_equal(r, 0);
	return pin;
}

static void is(const char *name, const char *path, enum pin want, unsigned hashes)
{
	unsigned hashed;
	assert_int_equal(settled(name, path, &hashed), want);
	assert_int_equal(hashed, hashes);
}

static void test_first_use(void **state)
{
	put("a", "one");
	is("a", "/a", PIN_SAME, 1);
	is("a", "/a", PIN_SAME, 0);
	is("a", "/other/name", PIN_SAME, 1); /* each path has its own */
	put("a", "one");
	is("a", "/a", PIN_SAME, 1);
	assert_int_equal(linkat(folder, "a", folder, "link", 0), 0);
	is("a", "/a", PIN_SAME, 1);
	put("link", "two"); /* under its other name */
	is("a", "/a", PIN_CHANGED, 1);
	is("a", "/a", PIN_CHANGED, 0);
	put("new", "one");
	assert_int_equal(renameat(folder, "new", folder, "a"), 0);
	is("a", "/a", PIN_SAME, 1); /* what it was */
	put("new", "two");
	assert_int_equal(renameat(folder, "new", folder, "a"), 0);
	is("a", "/a", PIN_CHANGED, 1);
}

/* Written again within one tick of the kernel's clock, with as many bytes. */
static void test_within_a_tick(void **state)
{
	bool waited = false;
	for (int i = 0; i < 20; i++) {
		char path[32];
		unsigned hashed;
		enum pin pin;
		int hash;
		snprintf(path, sizeof(path), "/tick/%d", i);
		put("t", "one");
		assert_int_equal(look("t", path, &pin, &hash), -EINPROGRESS);
		waited = waited || pins_wait_ms() > 0; /* a busy machine may have let it go by */
		assert_int_equal(settled("t", path, &hashed), PIN_SAME);
		put("t", "two");
		assert_int_equal(settled("t", path, &hashed), PIN_CHANGED);
	}
	assert_true(waited);
}

static void test_while_it_is_hashed(void **state)
{
	enum pin pin = PIN_COUNT;
	int hash;
	put("w", "one");
	assert_int_equal(look("w", "/w", &pin, &hash), -EINPROGRESS);
	poll(NULL, 0, pins_wait_ms());
	assert_int_equal(pins_step(), PINS_LATER); /* what is in it was read */
	put("w", "two");
	assert_int_equal(pins_step(), hash);
	assert_int_equal(look("w", "/w", &pin, &hash), -EINPROGRESS); /* nothing was remembered */
	run_hashes();
	is("w", "/w", PIN_SAME, 0);
	/* One that grows as fast as it is read. */
	put("g", "one");
	assert_int_equal(look("g", "/g", &pin, &hash), -EINPROGRESS);
	put("g", "one and more");
	poll(NULL, 0, pins_wait_ms());
	assert_int_equal(pins_step(), hash);
}

static void test_another_file_meanwhile(void **state)
{
	enum pin pin;
	struct stat st;
	int hash;
	put("x", "one");
	assert_int_equal(fstatat(folder, "x", &st, 0), 0);
	assert_int_equal(unlinkat(folder, "x", 0), 0);
	assert_int_equal(pins_look(folder, "x", "/x", &st, &pin, &hash), -EAGAIN);
	put("y", "two");
	assert_int_equal(renameat(folder, "y", folder, "x"), 0);
	assert_int_equal(pins_look(folder, "x", "/x", &st, &pin, &hash), -EAGAIN);
}

static void test_what_cannot_be_hashed(void **state)
{
	enum pin pin;
	int hash;
	put("large", "");
	assert_int_equal(truncate("large", LIMIT_PROGRAM_BYTES + 1L), 0);
	is("large", "/large", PIN_TOO_LARGE, 0);
	assert_int_equal(mkfifoat(folder, "fifo", 0600), 0);
	is("fifo", "/fifo", PIN_UNREADABLE, 0);
	assert_int_equal(truncate("large", LIMIT_PROGRAM_BYTES), 0);
	assert_int_equal(look("large", "/large", &pin, &hash), -EINPROGRESS);
	assert_int_equal(truncate("large", 0), 0);
	run_hashes();
}

/* In turns: a small one is done long before a large one; past LIMIT_PROGRAM_HASHES others wait. */
static void test_several(void **state)
{
	enum pin pin;
	int big, small, again, later;
	char path[32];
	put("big", "");
	assert_int_equal(truncate("big", 64L * 1024 * 1024), 0);
	put("small", "s");
	assert_int_equal(look("big", "/several/big", &pin, &big), -EINPROGRESS);
	for (int i = 1; i < LIMIT_PROGRAM_HASHES; i++) {
		snprintf(path, sizeof(path), "/several/%d", i);
		assert_int_equal(look("small", path, &pin, &small), -EINPROGRESS);
		assert_int_not_equal(small, big);
	}
	assert_int_equal(look("big", "/several/big", &pin, &again), -EINPROGRESS);
	assert_int_equal(again, big);
	assert_int_equal(look("small", "/several/none", &pin, &later), -EINPROGRESS);
	assert_int_equal(later, PINS_LATER);
	poll(NULL, 0, 50);
	int ended = 0;
	for (int i = 0; i < 2 * LIMIT_PROGRAM_HASHES; i++) {
		int hash = pins_step();
		assert_int_not_equal(hash, big);
		ended += hash != PINS_LATER;
	}
	assert_int_equal(ended, LIMIT_PROGRAM_HASHES - 1);
	run_hashes();
}

/* The last of all: nothing is ever forgotten. */
static void test_no_room(void **state)
{
	char path[32];
	enum pin pin;
	int hash, r = 0;
	unsigned n = 0;
	put("n", "n");
	is("n", "/n", PIN_SAME, 1);
	for (; n <= LIMIT_PROGRAMS; n++) {
		snprintf(path, sizeof(path), "/n/%u", n);
		r = look("n", path, &pin, &hash);
		if (r == 0)
			break;
		run_hashes();
	}
	assert_int_equal(r, 0);
	assert_int_equal(pin, PIN_NO_ROOM);
	assert_true(n > LIMIT_PROGRAMS - 200 && n < LIMIT_PROGRAMS);
	is("n", "/n", PIN_SAME, 0);
	is("n", "/n/0", PIN_SAME, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_use),
		cmocka_unit_test(test_within_a_tick),
		cmocka_unit_test(test_while_it_is_hashed),
		cmocka_unit_test(test_another_file_meanwhile),
		cmocka_unit_test(test_what_cannot_be_hashed),
		cmocka_unit_test(test_several),
		cmocka_unit_test(test_no_room),
	};
	char name[] = "/tmp/pins-test-XXXXXX";
	if (!mkdtemp(name) || chdir(name) < 0)
		return 1;
	folder = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	const char *const left[] = { "a",     "link", "t",   "w",     "g", "x",
				     "large", "fifo", "big", "small", "n" };
	for (size_t i = 0; i < sizeof(left) / sizeof(left[0]); i++)
		unlinkat(folder, left[i], 0);
	return rmdir(name) < 0 ? 1 : failed;
}
