/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of which stores are dropped when a run's storage is short. */
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/limit.h"
#include "jail/jail.h"
#include "worker/scratch.h"
#include "worker/stores.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cmocka.h>

#define MARK STORES_FOLDER "mark"

static char top[] = "/tmp/postern-stores-XXXXXX";
static int storage = -1, stores = -1;

static int set_up(void **state)
{
	struct error e = { 0 };
	snprintf(top, sizeof(top), "/tmp/postern-stores-XXXXXX");
	if (!mkdtemp(top))
		return -1;
	storage = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return storage < 0 ? -1 : scratch_keep(storage, MARK, &stores, &e);
}

static int tear_down(void **state)
{
	struct error e = { 0 };
	close(stores);
	int r = scratch_remove(storage, MARK, &e);
	close(storage);
	return r < 0 ? r : remove_tree_at(AT_FDCWD, top);
}

static int owned_folder(int dirfd, const char *name)
{
	struct error e = { 0 };
	int fd = -1;
	assert_int_equal(scratch_keep(dirfd, name, &fd, &e), 0);
	return fd;
}

static void write_json(int store, const char *folder, const char *name, const char *text)
{
	_cleanup_close_ int dir = owned_folder(store, folder);
	_cleanup_close_ int fd = openat(dir, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_int_equal(fd_write_full(fd, text, strlen(text)), 0);
}

/* A store with one layer, upon `parent` ("" for none), and one image of it. */
static void add(unsigned number, unsigned bytes, const char *layer, const char *parent,
		const char *image)
{
	char name[64], text[256];
	snprintf(name, sizeof(name), "%u-job-%u", number, bytes);
	_cleanup_close_ int store = owned_folder(stores, name);
	snprintf(text, sizeof(text), "[{\"id\":\"%s\",\"parent\":\"%s\"}]", layer, parent);
	write_json(store, "overlay-layers", "layers.json", text);
	snprintf(text, sizeof(text), "[{\"id\":\"i\",\"layer\":\"%s\",\"names\":[\"%s\"]}]", layer,
		 image);
	write_json(store, "overlay-images", "images.json", text);
}

static void make_room(uint64_t bytes, unsigned count, bool keep_newest)
{
	struct error e = { 0 };
	int r = stores_make_room(storage, stores, MARK, bytes, count, keep_newest, &e);
	assert_string_equal(e.message, "");
	assert_int_equal(r, 0);
}

static void left_are(const char *expected)
{
	_cleanup_buf_ struct buf b = BUF_INIT(64 * 1024);
	assert_int_equal(stores_list(stores, "", &b), 0);
	assert_string_equal(b.data ? b.data : "", expected);
}

static void what_was_built_again_goes_before_what_is_older(void **state)
{
	uint64_t total;
	add(1, 10, "a", "", "lib:1");
	add(2, 10, "b", "", "app:1");
	add(3, 10, "c", "", "app:1");
	add(4, 10, "d", "", "other:1");
	make_room(40, 4, true);
	left_are(", \"/4-job-10\", \"/3-job-10\", \"/2-job-10\", \"/1-job-10\"");
	make_room(39, 4, true);
	left_are(", \"/4-job-10\", \"/3-job-10\", \"/1-job-10\"");
	make_room(40, 2, true);
	left_are(", \"/4-job-10\", \"/3-job-10\"");
	make_room(0, 0, true);
	left_are(", \"/4-job-10\"");
	make_room(0, 0, false);
	left_are("");
	assert_int_equal(stores_total(storage, &total), 0);
	assert_int_equal(total, 0);
}

static void what_others_build_upon_stays(void **state)
{
	add(1, 10, "a", "", "app:1");
	add(2, 10, "b", "a", "app:1");
	add(3, 10, "c", "base", "app:1");
	add(4, 10, "d", "a", "app:1");
	make_room(30, 9, true);
	left_are(", \"/4-job-10\", \"/3-job-10\", \"/1-job-10\"");
	make_room(0, 0, true);
	left_are(", \"/4-job-10\", \"/1-job-10\"");
	make_room(15, 9, false);
	left_are(", \"/1-job-10\"");
	make_room(0, 0, false);
	left_are("");
}

static void a_store_that_says_nonsense_is_one_that_nobody_needs(void **state)
{
	add(1, 10, "a", "", "x");
	_cleanup_close_ int store = owned_folder(stores, "2-job-10");
	write_json(store, "overlay-layers", "layers.json", "[[[{\"id\":");
	write_json(store, "overlay-images", "images.json", "{\"names\":3,\"layer\":[]}");
	_cleanup_close_ int empty = owned_folder(stores, "3-job-10");
	add(4, 10, "b", "", "y");
	make_room(20, 9, true);
	left_are(", \"/4-job-10\", \"/1-job-10\"");
}

static void what_a_store_says_has_a_length(void **state)
{
	static const char needs[] = "[{\"id\":\"b\",\"parent\":\"a\"}]";
	static char text[LIMIT_STORE_JSON_BYTES + 2];
	for (int over = 0; over <= 1; over++) {
		memset(text, ' ', LIMIT_STORE_JSON_BYTES + over);
		memcpy(text, needs, sizeof(needs) - 1);
		add(1, 10, "a", "", "app:1");
		add(2, 10, "c", "", "app:1");
		_cleanup_close_ int store = owned_folder(stores, "3-job-10");
		write_json(store, "overlay-layers", "layers.json", text);
		make_room(20, 9, true);
		left_are(over ? ", \"/3-job-10\", \"/2-job-10\""
			      : ", \"/3-job-10\", \"/1-job-10\"");
		make_room(0, 0, false);
	}
}

static void those_of_other_bases_go_first(void **state)
{
	add(1, 10, "a", "", "x");
	_cleanup_close_ int old = owned_folder(storage, STORES_FOLDER "old");
	_cleanup_close_ int store = owned_folder(old, "1-job-50");
	make_room(20, 9, true);
	left_are(", \"/1-job-10\"");
	assert_int_equal(faccessat(storage, STORES_FOLDER "old", F_OK, 0), -1);
}

static void nothing_goes_that_another_build_draws_upon(void **state)
{
	char path[sizeof(top) + 32];
	add(1, 10, "a", "", "x");
	snprintf(path, sizeof(path), "%s/%s", top, MARK);
	int other = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(flock(other, LOCK_SH), 0);
	make_room(0, 0, false);
	left_are(", \"/1-job-10\"");
	close(other);
	/* Nor does this one's own lock keep others from dropping for longer than it is held. */
	make_room(0, 0, false);
	left_are("");
}

static void no_more_are_kept_than_there_may_be(void **state)
{
	for (unsigned i = 1; i <= LIMIT_BUILD_STORES + 1; i++)
		add(i, 1, "a", "", "x");
	make_room(1000, LIMIT_BUILD_STORES - 1, true);
	uint64_t total;
	assert_int_equal(stores_total(storage, &total), 0);
	assert_int_equal(total, LIMIT_BUILD_STORES - 1);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(what_was_built_again_goes_before_what_is_older),
		CASE(what_others_build_upon_stays),
		CASE(a_store_that_says_nonsense_is_one_that_nobody_needs),
		CASE(what_a_store_says_has_a_length),
		CASE(those_of_other_bases_go_first),
		CASE(nothing_goes_that_another_build_draws_upon),
		CASE(no_more_are_kept_than_there_may_be),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
