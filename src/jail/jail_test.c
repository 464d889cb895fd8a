/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of the jail: what its root holds, what its command may do, and that it ends whole. Needs namespaces; run as root
 * and as an ordinary user. */
#include "base/cleanup.h"
#include "jail/jail.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>

#include <cmocka.h>

static const struct jail_mount mounts[] = {
	{ .kind = JAIL_BIND, .target = "/usr", .source = "/usr", .flags = JAIL_RO },
	{ .kind = JAIL_SYMLINK, .target = "/bin", .source = "usr/bin" },
	{ .kind = JAIL_SYMLINK, .target = "/lib", .source = "usr/lib" },
	{ .kind = JAIL_SYMLINK, .target = "/lib64", .source = "usr/lib64" },
	{ .kind = JAIL_PROC, .target = "/proc" },
	{ .kind = JAIL_DEV, .target = "/dev" },
	{ .kind = JAIL_TMPFS, .target = "/tmp", .size = 1 << 20, .mode = 01777 },
};

struct script {
	const char *text;
	enum jail_seccomp seccomp;
	struct jail_watchdog watchdog;
};

static int run_script(void *arg)
{
	const struct script *s = arg;
	const char *const argv[] = { "/bin/sh", "-c", s->text, NULL };
	const char *const envp[] = { "PATH=/usr/bin:/bin", NULL };
	struct jail_command c = {
		.argv = argv, .envp = envp, .seccomp = s->seccomp, .watchdog = s->watchdog
	};
	return jail_command(&c);
}

static struct jail_end run(enum jail_ids_kind kind, struct script s)
{
	struct jail_spec spec = { .ids = { .kind = kind, .uid = 1000, .gid = 1000 },
				  .mounts = mounts,
				  .n_mounts = ELEMENTS(mounts),
				  .processes = 400 };
	_cleanup_jail_ struct jail j = JAIL_INIT;
	struct error e = { 0 };
	int r = jail_start(&spec, run_script, &s, &j, &e);
	if (r < 0)
		fail_msg("jail_start: %s", e.message);
	struct jail_end end = { 0 };
	assert_int_equal(jail_wait(&j, &end), 0);
	return end;
}

static void expect_exit(enum jail_ids_kind kind, const char *script, int code)
{
	struct jail_end end =
		run(kind, (struct script){ .text = script, .seccomp = JAIL_SECCOMP_AGENT });
	if (!WIFEXITED(end.status) || WEXITSTATUS(end.status) != code || end.reason != JAIL_ENDED)
		fail_msg("'%s': status %#x, reason %d, %s", script, end.status, end.reason,
			 end.message);
}

static void exit_codes_pass(void **state)
{
	expect_exit(JAIL_IDS_ONE, "exit 7", 7);
	expect_exit(JAIL_IDS_RANGE, "exit 0", 0);
}

static void ids_are_those_asked_for(void **state)
{
	expect_exit(JAIL_IDS_ONE, "[ $(id -u):$(id -g) = 1000:1000 ]", 0);
	expect_exit(JAIL_IDS_RANGE, "[ $(id -u) = 0 ] && [ $(wc -l </proc/self/uid_map) -ge 1 ]",
		    0);
}

static void the_hosts_files_are_not_there(void **state)
{
	expect_exit(JAIL_IDS_ONE,
		    "[ ! -e /root ] && [ ! -e /home ] && [ ! -e /run ] && [ ! -e /etc/shadow ]", 0);
	expect_exit(JAIL_IDS_RANGE,
		    "! touch /usr/x 2>/dev/null && ! touch /x 2>/dev/null && touch /tmp/x", 0);
	expect_exit(JAIL_IDS_ONE, "[ $(ls /proc | grep -c '^[0-9]') -le 5 ]", 0);
}

static void nothing_can_be_gained(void **state)
{
	expect_exit(JAIL_IDS_ONE, "grep -q 'NoNewPrivs:.1' /proc/self/status", 0);
	expect_exit(JAIL_IDS_ONE, "grep -q 'CapEff:.0000000000000000' /proc/self/status", 0);
	expect_exit(JAIL_IDS_ONE, "grep -q 'CapBnd:.0000000000000000' /proc/self/status", 0);
	expect_exit(JAIL_IDS_ONE, "grep -q 'Seccomp:.2' /proc/self/status", 0);
	expect_exit(JAIL_IDS_ONE, "! unshare -U true 2>/dev/null && ! unshare -m true 2>/dev/null",
		    0);
	expect_exit(JAIL_IDS_RANGE,
		    "! mount -t tmpfs x /tmp 2>/dev/null && ! umount /tmp 2>/dev/null", 0);
}

static void there_is_no_network(void **state)
{
	expect_exit(JAIL_IDS_ONE, "[ $(grep -c : /proc/net/dev) = 1 ]", 0);
}

static void memory_over_the_limit_is_noticed(void **state)
{
	struct jail_end end = run(
		JAIL_IDS_ONE,
		(struct script){ .text = "head -c 300m /dev/zero | tail -c 300m | wc -c; sleep 20",
				 .watchdog = { .memory = 64ull << 20 } });
	assert_int_equal(end.reason, JAIL_MEMORY);
}

static void killing_it_ends_everything_inside(void **state)
{
	struct script s = { .text = "sleep 1000 & sleep 1000" };
	struct jail_spec spec = { .ids = { .kind = JAIL_IDS_ONE, .uid = 1000, .gid = 1000 },
				  .mounts = mounts,
				  .n_mounts = ELEMENTS(mounts) };
	_cleanup_jail_ struct jail j = JAIL_INIT;
	struct error e = { 0 };
	assert_int_equal(jail_start(&spec, run_script, &s, &j, &e), 0);
	jail_kill(&j);
	struct jail_end end = { 0 };
	assert_int_equal(jail_wait(&j, &end), 0);
	assert_true(WIFSIGNALED(end.status) && WTERMSIG(end.status) == SIGKILL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exit_codes_pass),
		cmocka_unit_test(ids_are_those_asked_for),
		cmocka_unit_test(the_hosts_files_are_not_there),
		cmocka_unit_test(nothing_can_be_gained),
		cmocka_unit_test(there_is_no_network),
		cmocka_unit_test(memory_over_the_limit_is_noticed),
		cmocka_unit_test(killing_it_ends_everything_inside),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
