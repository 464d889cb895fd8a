/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of a jail's root: what of the host's gets in, how, and that it cannot be undone from inside. */
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/limit.h"
#include "jail/jail.h"
#include "jail/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#define SYSTEM_MOUNTS                                                                              \
	{ .kind = JAIL_BIND, .target = "/usr", .source = "/usr", .flags = JAIL_RO },               \
		{ .kind = JAIL_SYMLINK, .target = "/bin", .source = "usr/bin" },                   \
		{ .kind = JAIL_SYMLINK, .target = "/lib", .source = "usr/lib" },                   \
		{ .kind = JAIL_SYMLINK, .target = "/lib64", .source = "usr/lib64" },               \
		{ .kind = JAIL_PROC, .target = "/proc" },                                          \
	{                                                                                          \
		.kind = JAIL_DEV, .target = "/dev"                                                 \
	}

static char folder[] = "/tmp/postern-jail-test-XXXXXX"; /* the host's, one for all tests */
static int folder_fd;

struct script {
	const char *text;
	uint64_t capabilities;
	const struct jail_landlock *landlock;
};

static int run_script(void *arg)
{
	const struct script *s = arg;
	const char *const argv[] = { "sh", "-c", s->text, NULL };
	const char *const envp[] = { "PATH=/usr/sbin:/usr/bin:/bin", NULL };
	struct jail_command c = {
		.argv = argv, .envp = envp, .capabilities = s->capabilities, .landlock = s->landlock
	};
	return jail_command(&c);
}

static void run(enum jail_ids_kind kind, const struct jail_mount *mounts, unsigned n,
		struct script s)
{
	struct jail_spec spec = { .ids = { .kind = kind, .uid = 1000, .gid = 1000 },
				  .mounts = mounts,
				  .n_mounts = n };
	_cleanup_jail_ struct jail j = JAIL_INIT;
	struct error e = { 0 };
	if (jail_start(&spec, run_script, &s, &j, &e) < 0)
		fail_msg("jail_start: %s", e.message);
	struct jail_end end = { 0 };
	assert_int_equal(jail_wait(&j, &end), 0);
	if (end.status)
		fail_msg("'%s': status %#x %s", s.text, end.status, end.message);
}

/* The start itself must fail, with this code. */
static void refuse(const struct jail_mount *mounts, unsigned n, int code)
{
	struct jail_spec spec = { .ids = { .kind = JAIL_IDS_ONE, .uid = 1000, .gid = 1000 },
				  .mounts = mounts,
				  .n_mounts = n };
	struct script s = { .text = "exit 0" };
	_cleanup_jail_ struct jail j = JAIL_INIT;
	struct error e = { 0 };
	int r = jail_start(&spec, run_script, &s, &j, &e);
	if (r != -code)
		fail_msg("jail_start: %d %s, not %d", r, e.message, -code);
	assert_true(e.message[0]);
	assert_int_equal(j.pid, 0);
}

static void mounts_are_locked(void **state)
{
	const struct jail_mount m[] = { SYSTEM_MOUNTS,
					{ .kind = JAIL_TMPFS, .target = "/tmp", .mode = 01777 } };
	struct script s = { .capabilities = JAIL_CAPS_BUILD };
	s.text = "mount -t tmpfs x /tmp && umount /tmp"; /* the right to mount is there */
	run(JAIL_IDS_RANGE, m, ELEMENTS(m), s);
	s.text = "! umount /usr 2>/dev/null && ! umount -l /usr 2>/dev/null && ! umount /tmp "
		 "2>/dev/null";
	run(JAIL_IDS_RANGE, m, ELEMENTS(m), s);
	s.text = "! mount -o remount,bind,rw /usr 2>/dev/null && ! mount -o remount,bind,ro,suid "
		 "/usr 2>/dev/null";
	run(JAIL_IDS_RANGE, m, ELEMENTS(m), s);
	s.text = "mkdir /tmp/u && mount --rbind /usr /tmp/u && ! mount -o remount,bind,rw /tmp/u "
		 "2>/dev/null";
	run(JAIL_IDS_RANGE, m, ELEMENTS(m), s);
	s.text = "! mount -o remount,bind,dev /tmp 2>/dev/null && ! mknod /tmp/d b 1 1 2>/dev/null";
	run(JAIL_IDS_RANGE, m, ELEMENTS(m), s);
}

static void proc_is_locked_and_tells_no_keys(void **state)
{
	const struct jail_mount m[] = { SYSTEM_MOUNTS,
					{ .kind = JAIL_TMPFS, .target = "/tmp", .mode = 01777 } };
	struct script s = { .capabilities = JAIL_CAPS_BUILD };
	s.text = "[ -e /proc/keys ] && ! cat /proc/keys 2>/dev/null && ! cat /proc/key-users "
		 "2>/dev/null";
	run(JAIL_IDS_RANGE, m, ELEMENTS(m), s);
	run(JAIL_IDS_ONE, m, ELEMENTS(m), s);
	s.text = "! umount -l /proc/keys 2>/dev/null && ! umount -l /proc 2>/dev/null";
	run(JAIL_IDS_RANGE, m, ELEMENTS(m), s);
	s.text = "! mount -t proc proc /tmp 2>/dev/null && "
		 "! unshare --pid --mount --fork mount -t proc proc /tmp 2>/dev/null";
	run(JAIL_IDS_RANGE, m, ELEMENTS(m), s);
}

/* The machine has so many terminals and so much memory for all jails together. */
static void what_a_jail_gets_of_the_machine_is_limited(void **state)
{
	const struct jail_mount m[] = { SYSTEM_MOUNTS,
					{ .kind = JAIL_TMPFS, .target = "/tmp", .mode = 01777 } };
	char script[256];
	const struct script s = { .text = script };
	snprintf(script, sizeof(script),
		 "exec python3 -c 'import os, sys\nn = 0\ntry:\n while n < 4096: "
		 "os.open(\"/dev/ptmx\", 2); n += 1\nexcept OSError: pass\nsys.exit(n != %d)'",
		 LIMIT_JAIL_TERMINALS);
	run(JAIL_IDS_ONE, m, ELEMENTS(m), s);
	run(JAIL_IDS_RANGE, m, ELEMENTS(m), s);
	snprintf(script, sizeof(script),
		 "! head -c 1G /dev/zero 2>/dev/null >/dev/shm/x && "
		 "! head -c 1G /dev/zero 2>/dev/null >/tmp/x && "
		 "[ $(stat -c %%s /dev/shm/x) = %d ] && [ $(stat -c %%s /tmp/x) = %llu ]",
		 LIMIT_JAIL_SHM_BYTES, LIMIT_JAIL_TMPFS_BYTES);
	run(JAIL_IDS_RANGE, m, ELEMENTS(m), s);
}

/* Names are memory, too. */
static void what_is_in_memory_has_so_many_names(void **state)
{
	const struct jail_mount m[] = {
		SYSTEM_MOUNTS,
		{ .kind = JAIL_TMPFS, .target = "/tmp", .mode = 01777, .size = 4 << 20 },
		{ .kind = JAIL_TMPFS, .target = "/srv", .mode = 01777, .size = 4096 },
	};
	char script[256];
	const struct script s = { .text = script };
	snprintf(script, sizeof(script),
		 "[ $(stat -f -c %%c /tmp) = %d ] && [ $(stat -f -c %%c /srv) = %d ] && "
		 "! touch $(seq -f /srv/%%g %d) 2>/dev/null",
		 (4 << 20) / LIMIT_TMPFS_INODE_BYTES, LIMIT_TMPFS_INODES_LEAST,
		 LIMIT_TMPFS_INODES_LEAST);
	run(JAIL_IDS_RANGE, m, ELEMENTS(m), s);
}

static void the_root_is_read_only(void **state)
{
	const struct jail_mount m[] = {
		SYSTEM_MOUNTS, { .kind = JAIL_DIRECTORY, .target = "/run", .mode = 0755 }
	};
	struct script s = { .capabilities = JAIL_CAPS_BUILD };
	s.text = "! touch /x /run/x /usr/x /etc/x 2>/dev/null && [ -z \"$(ls -A /run)\" ]";
	run(JAIL_IDS_RANGE, m, ELEMENTS(m), s);
	s.text = "[ \"$(ls -A / | tr '\\n' ' ')\" = 'bin dev lib lib64 proc run usr ' ]";
	run(JAIL_IDS_ONE, m, ELEMENTS(m), s);
	/* Nothing of the host's tree stays behind the new root. */
	s.text = "[ $(cut -d' ' -f5 /proc/self/mountinfo | grep -c '^/$') = 1 ]";
	run(JAIL_IDS_ONE, m, ELEMENTS(m), s);
}

static void small_things_are_made(void **state)
{
	const struct jail_mount m[] = {
		SYSTEM_MOUNTS,
		{ .kind = JAIL_FILE,
		  .target = "/etc/passwd",
		  .source = "sandbox:x:1000:1000::/:\n" },
		{ .kind = JAIL_FILE, .target = "/etc/secret", .source = "x", .mode = 0600 },
		{ .kind = JAIL_SYMLINK, .target = "/etc/mtab", .source = "/proc/mounts" },
		{ .kind = JAIL_TMPFS, .target = "/a/b", .size = 1 << 20 },
		{ .kind = JAIL_DIRECTORY, .target = "/a/b/c/d", .mode = 01777 },
	};
	struct script s = {
		.text = "[ $(id -un) = sandbox ] && [ $(readlink /etc/mtab) = /proc/mounts ]"
	};
	run(JAIL_IDS_ONE, m, ELEMENTS(m), s);
	s.text = "touch /a/b/mine && touch /a/b/c/d/x && [ $(stat -c %a /a/b/c/d) = 1777 ]";
	run(JAIL_IDS_ONE, m, ELEMENTS(m), s);
	s.text = "! head -c 2m /dev/zero 2>/dev/null >/a/b/big && [ $(stat -c %s /a/b/big) -le "
		 "1048576 ]";
	run(JAIL_IDS_ONE, m, ELEMENTS(m), s);
	s.text = "[ $(stat -c %a /etc/secret) = 600 ]";
	run(JAIL_IDS_ONE, m, ELEMENTS(m), s);
}

static void devices_work(void **state)
{
	const struct jail_mount m[] = { SYSTEM_MOUNTS };
	static const char *const scripts[] = {
		"echo x >/dev/null && head -c 9 /dev/zero /dev/urandom >/dev/null",
		"! echo x 2>/dev/null >/dev/full",
		"[ -c /dev/ptmx ] && [ -d /dev/pts ] && touch /dev/shm/x",
		"script -qec 'tty; test -t 0' /dev/shm/log | grep -q /dev/pts/0",
		"[ $(ls /dev | wc -l) = 13 ]", /* 6 devices, 5 links, pts, shm: nothing else */
	};
	for (size_t i = 0; i < ELEMENTS(scripts); i++) {
		run(JAIL_IDS_ONE, m, ELEMENTS(m), (struct script){ .text = scripts[i] });
		run(JAIL_IDS_RANGE, m, ELEMENTS(m), (struct script){ .text = scripts[i] });
	}
}

/* What the jail makes in a folder given to it belongs to the folder's owner on the host. */
static void a_folder_can_be_given(void **state)
{
	const struct jail_mount m[] = { SYSTEM_MOUNTS,
					{ .kind = JAIL_BIND,
					  .target = "/work/here",
					  .flags = JAIL_FD | JAIL_IDMAP,
					  .fd = folder_fd } };
	struct stat st;
	run(JAIL_IDS_ONE, m, ELEMENTS(m),
	    (struct script){ .text = "cd /work/here && echo 1 >one && [ -O . ] && [ -O one ]" });
	assert_int_equal(fstatat(folder_fd, "one", &st, 0), 0);
	assert_int_equal(st.st_uid, getuid());
	run(JAIL_IDS_RANGE, m, ELEMENTS(m),
	    (struct script){ .text = "cd /work/here && rm one && mkdir two && [ -O two ]" });
	assert_int_equal(fstatat(folder_fd, "two", &st, 0), 0);
	assert_int_equal(st.st_uid, getuid());
	assert_int_equal(fstatat(folder_fd, "one", &st, 0), -1);
	assert_int_equal(unlinkat(folder_fd, "two", AT_REMOVEDIR), 0);
}

static void a_folder_can_be_shown(void **state)
{
	const struct jail_mount m[] = {
		SYSTEM_MOUNTS,
		{ .kind = JAIL_BIND, .target = "/in", .source = folder, .flags = JAIL_RO },
		{ .kind = JAIL_BIND,
		  .target = "/no",
		  .source = "/nowhere",
		  .flags = JAIL_OPTIONAL },
	};
	run(JAIL_IDS_ONE, m, ELEMENTS(m),
	    (struct script){ .text = "[ -d /in ] && ! touch /in/x 2>/dev/null && [ ! -e /no ]" });
}

static void more_mounts_than_there_may_be(void **state)
{
	static struct jail_mount many[LIMIT_JAIL_MOUNTS + 1];
	for (size_t i = 0; i < ELEMENTS(many); i++)
		many[i] = (struct jail_mount){ .kind = JAIL_DIRECTORY, .target = "/in" };
	refuse(many, ELEMENTS(many), E2BIG);
}

static void planted_symlinks_are_not_followed(void **state)
{
	char link[PATH_MAX], below[PATH_MAX];
	snprintf(link, sizeof(link), "%s/link", folder);
	snprintf(below, sizeof(below), "%s/link/usr", folder);
	assert_int_equal(symlink("/", link), 0);
	struct jail_mount source = { .kind = JAIL_BIND, .target = "/in", .source = link };
	refuse(&source, 1, ELOOP);
	source.source = below;
	source.flags = JAIL_NO_SYMLINKS;
	refuse(&source, 1, ELOOP);
	source.flags = 0; /* only the last part was asked about */
	const struct jail_mount fine[] = { SYSTEM_MOUNTS, source };
	run(JAIL_IDS_ONE, fine, ELEMENTS(fine), (struct script){ .text = "[ -d /in/bin ]" });
	/* As a target: the mount must not land elsewhere, and nothing is made on the host. */
	const struct jail_mount target[] = {
		{ .kind = JAIL_BIND, .target = "/in", .source = folder },
		{ .kind = JAIL_TMPFS, .target = "/in/link/tmp" },
	};
	refuse(target, ELEMENTS(target), ENOTDIR);
	const struct jail_mount made[] = {
		{ .kind = JAIL_BIND, .target = "/in", .source = folder },
		{ .kind = JAIL_DIRECTORY, .target = "/in/new" },
	};
	refuse(made, ELEMENTS(made), ENOENT);
	struct stat st;
	assert_int_equal(fstatat(folder_fd, "new", &st, 0), -1);
	assert_int_equal(unlinkat(folder_fd, "link", 0), 0);
}

static void targets_stay_inside(void **state)
{
	static const char *const targets[] = { "relative", "/..", "/a/../../b", "/a/.", "/", "" };
	for (size_t i = 0; i < ELEMENTS(targets); i++) {
		struct jail_mount m = { .kind = JAIL_DIRECTORY, .target = targets[i] };
		refuse(&m, 1, EINVAL);
	}
}

static void landlock_holds_on_top(void **state)
{
	const struct jail_mount m[] = { SYSTEM_MOUNTS,
					{ .kind = JAIL_TMPFS, .target = "/tmp", .mode = 01777 },
					{ .kind = JAIL_TMPFS, .target = "/other", .mode = 01777 } };
	const struct jail_landlock_rule rules[] = {
		{ .path = "/usr" },
		{ .path = "/proc" },
		{ .path = "/dev", .write = true },
		{ .path = "/tmp", .write = true },
		{ .path = "/not-there", .optional = true },
	};
	const struct jail_landlock l = { .rules = rules, .n_rules = ELEMENTS(rules) };
	assert_true(jail_landlock_version() >= 1);
	run(JAIL_IDS_ONE, m, ELEMENTS(m),
	    (struct script){ .text = "touch /tmp/x && ! touch /other/x 2>/dev/null && ! ls /other "
				     "2>/dev/null",
			     .landlock = &l });
	run(JAIL_IDS_ONE, m, ELEMENTS(m),
	    (struct script){ .text = "touch /other/x && ls /other >/dev/null" });
}

static int make_folder(void **state)
{
	if (!mkdtemp(folder) || chmod(folder, 0755) < 0)
		return -1;
	folder_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return folder_fd < 0;
}

static int remove_folder(void **state)
{
	close(folder_fd);
	return remove_tree_at(AT_FDCWD, folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mounts_are_locked),
		cmocka_unit_test(proc_is_locked_and_tells_no_keys),
		cmocka_unit_test(the_root_is_read_only),
		cmocka_unit_test(what_a_jail_gets_of_the_machine_is_limited),
		cmocka_unit_test(what_is_in_memory_has_so_many_names),
		cmocka_unit_test(small_things_are_made),
		cmocka_unit_test(devices_work),
		cmocka_unit_test(a_folder_can_be_given),
		cmocka_unit_test(a_folder_can_be_shown),
		cmocka_unit_test(more_mounts_than_there_may_be),
		cmocka_unit_test(planted_symlinks_are_not_followed),
		cmocka_unit_test(targets_stay_inside),
		cmocka_unit_test(landlock_holds_on_top),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
