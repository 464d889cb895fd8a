/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of groups of cgroup v2. They need a group of their own in which memory and pids are delegated, which few machines give
 * a test: tests/test_vm.py runs this in one that does, as root and as an ordinary user.
 */
#include "base/cleanup.h"
#include "base/fd.h"
#include "jail/cgroup.h"
#include "jail/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#define MEMORY	  (64ull * 1024 * 1024)
#define PROCESSES 20

static const struct jail_mount mounts[] = {
	{ .kind = JAIL_BIND, .target = "/usr", .source = "/usr", .flags = JAIL_RO },
	{ .kind = JAIL_SYMLINK, .target = "/bin", .source = "usr/bin" },
	{ .kind = JAIL_SYMLINK, .target = "/lib", .source = "usr/lib" },
	{ .kind = JAIL_SYMLINK, .target = "/lib64", .source = "usr/lib64" },
	{ .kind = JAIL_PROC, .target = "/proc" },
	{ .kind = JAIL_DEV, .target = "/dev" },
	{ .kind = JAIL_TMPFS, .target = "/tmp", .size = 4 * MEMORY, .mode = 01777 },
};

static const char *script;

static int run_script(void *arg)
{
	const char *const argv[] = { "bash", "-c", script, NULL };
	const char *const envp[] = { "PATH=/usr/bin:/bin", NULL };
	const struct jail_command c = { .argv = argv, .envp = envp };
	return jail_command(&c);
}

static void start(const char *text, struct jail *j)
{
	const struct jail_spec spec = { .ids = { .kind = JAIL_IDS_ONE, .uid = 1000, .gid = 1000 },
					.mounts = mounts,
					.n_mounts = ELEMENTS(mounts),
					.memory = MEMORY,
					.processes = PROCESSES };
	struct error e = { 0 };
	script = text;
	if (jail_start(&spec, run_script, NULL, j, &e) < 0)
		fail_msg("jail_start: %s", e.message);
}

static struct jail_end run(const char *text)
{
	_cleanup_jail_ struct jail j = JAIL_INIT;
	struct jail_end end = { 0 };
	start(text, &j);
	assert_true(j.group_fd >= 0);
	assert_int_equal(jail_wait(&j, &end), 0);
	return end;
}

static bool in_place(const char *name)
{
	_cleanup_close_ int place = cgroup_place();
	assert_true(place >= 0);
	return faccessat(place, name, F_OK, 0) == 0;
}

/* First: whoever shares our group is not moved, and nothing is changed. */
static void a_group_with_others_in_it_is_left_alone(void **state)
{
	char why[400] = "";
	pid_t other = fork();
	if (other == 0) {
		pause();
		_exit(0);
	}
	assert_int_equal(cgroup_settle(why, sizeof(why)), -EBUSY);
	assert_non_null(strstr(why, "Delegate=yes"));
	assert_int_equal(cgroup_place(), -ENOENT);
	kill(other, SIGKILL);
	assert_int_equal(waitpid(other, NULL, 0), other);
	assert_int_equal(cgroup_settle(why, sizeof(why)), 0);
	assert_int_equal(cgroup_settle(why, sizeof(why)), 0); /* is there already */
	cgroup_leave();
	assert_int_equal(cgroup_place(), -ENOENT);
	assert_int_equal(cgroup_settle(why, sizeof(why)), 0);
}

static void a_jail_is_in_its_group_and_sees_no_other(void **state)
{
	_cleanup_jail_ struct jail j = JAIL_INIT;
	struct jail_end end = { 0 };
	start("[ \"$(cat /proc/self/cgroup)\" = 0::/ ] && sleep 0.3", &j);
	assert_true(in_place(j.group));
	_cleanup_free_ char *text = NULL;
	size_t n;
	_cleanup_close_ int fd = openat(j.group_fd, "memory.max", O_RDONLY | O_CLOEXEC);
	assert_int_equal(fd_read_file(fd, 100, &text, &n), 0);
	assert_int_equal(strtoull(text, NULL, 10), MEMORY);
	assert_int_equal(jail_wait(&j, &end), 0);
	assert_int_equal(end.status, 0);
	char name[32];
	snprintf(name, sizeof(name), "%s", j.group);
	jail_done(&j);
	assert_false(in_place(name));
}

static void memory_is_limited_by_the_kernel(void **state)
{
	struct jail_end end = run("head -c 40M /dev/zero | tail -c 40M >/dev/null");
	assert_int_equal(end.status, 0);
	assert_int_equal(end.reason, JAIL_ENDED);
	end = run("head -c 200M /dev/zero | tail -c 200M >/dev/null; exit 0");
	assert_int_equal(end.reason, JAIL_MEMORY);
	/* What no watchdog can put down to anybody: files in memory. */
	end = run("head -c 200M /dev/zero >/tmp/large; exit 0");
	assert_int_equal(end.reason, JAIL_MEMORY);
	/* All of it ends, not one process. */
	end = run("trap '' TERM; sleep 100 & head -c 200M /dev/zero | tail -c 200M >/dev/null; "
		  "sleep 100");
	assert_int_equal(end.reason, JAIL_MEMORY);
}

static void processes_are_limited_by_the_kernel(void **state)
{
	struct jail_end end =
		run("for i in $(seq 100); do sleep 5 & done 2>/dev/null; "
		    "n=$(ls -d /proc/[0-9]* | wc -l); kill $(jobs -p); [ $n -le 21 ]");
	assert_true(WIFEXITED(end.status));
}

/* A worker that is killed leaves a group; the server's end removes it. */
static void what_a_killed_caller_left_is_removed(void **state)
{
	char name[32] = "";
	int pair[2];
	assert_int_equal(pipe(pair), 0);
	pid_t caller = fork();
	if (caller == 0) {
		struct jail j = JAIL_INIT;
		start("sleep 1000", &j);
		(void)!write(pair[1], j.group, sizeof(j.group));
		pause();
	}
	assert_int_equal(fd_read_full(pair[0], name, sizeof(name)), sizeof(name));
	assert_true(in_place(name));
	kill(caller, SIGKILL);
	assert_int_equal(waitpid(caller, NULL, 0), caller);
	close(pair[0]);
	close(pair[1]);
	_cleanup_close_ int place = cgroup_place();
	assert_int_equal(faccessat(place, name, F_OK, 0), 0);
	cgroup_leave();
	assert_int_equal(cgroup_place(), -ENOENT);
	assert_int_equal(faccessat(place, name, F_OK, 0), -1);
	assert_int_equal(faccessat(place, CGROUP_LEAF, F_OK, 0), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_group_with_others_in_it_is_left_alone),
		cmocka_unit_test(a_jail_is_in_its_group_and_sees_no_other),
		cmocka_unit_test(memory_is_limited_by_the_kernel),
		cmocka_unit_test(processes_are_limited_by_the_kernel),
		cmocka_unit_test(what_a_killed_caller_left_is_removed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
