/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of a jail's life: limits, network, signals, how its end is told, and that nothing outlives it. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "jail/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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

struct setting {
	struct jail_spec spec;
	struct jail_command command;
	const char *const *argv;
	int keep; /* a descriptor that becomes 1 of the command; 0: none */
};

static const char *const envp[] = { "PATH=/usr/sbin:/usr/bin:/bin", NULL };

static int run_command(void *arg)
{
	struct setting *s = arg;
	s->command.argv = s->argv;
	s->command.envp = envp;
	if (s->keep && dup2(s->keep, 1) < 0)
		return 99;
	return jail_command(&s->command);
}

static struct setting setting(enum jail_ids_kind kind)
{
	return (struct setting){ .spec = { .ids = { .kind = kind, .uid = 1000, .gid = 1000 },
					   .mounts = mounts,
					   .n_mounts = ELEMENTS(mounts) } };
}

static void start(struct setting *s, struct jail *j)
{
	struct error e = { 0 };
	if (jail_start(&s->spec, run_command, s, j, &e) < 0)
		fail_msg("jail_start: %s", e.message);
}

static struct jail_end run(struct setting *s)
{
	_cleanup_jail_ struct jail j = JAIL_INIT;
	struct jail_end end = { 0 };
	start(s, &j);
	assert_int_equal(jail_wait(&j, &end), 0);
	return end;
}

static struct jail_end run_script(struct setting *s, const char *script)
{
	const char *const argv[] = { "bash", "-c", script, NULL };
	s->argv = argv;
	return run(s);
}

static void expect_exit(struct setting *s, const char *script, int code)
{
	struct jail_end end = run_script(s, script);
	if (!WIFEXITED(end.status) || WEXITSTATUS(end.status) != code || end.reason != JAIL_ENDED)
		fail_msg("'%s': status %#x, reason %d, %s", script, end.status, end.reason,
			 end.message);
}

/* ---- the end ---- */

static void the_end_is_told_exactly(void **state)
{
	struct setting s = setting(JAIL_IDS_ONE);
	struct jail_end end = run_script(&s, "kill -9 $$");
	assert_true(WIFSIGNALED(end.status) && WTERMSIG(end.status) == SIGKILL);
	assert_int_equal(end.reason, JAIL_ENDED);
	end = run_script(&s, "exit 200");
	assert_true(WIFEXITED(end.status) && WEXITSTATUS(end.status) == 200);

	const char *const missing[] = { "no-such-program", NULL };
	s.argv = missing;
	end = run(&s);
	assert_int_equal(end.reason, JAIL_CANNOT_EXECUTE);
	assert_int_equal(WEXITSTATUS(end.status), 127);
	assert_non_null(strstr(end.message, "no-such-program"));
	const char *const folder[] = { "/usr", NULL };
	s.argv = folder;
	end = run(&s);
	assert_int_equal(end.reason, JAIL_CANNOT_EXECUTE);
	assert_int_equal(WEXITSTATUS(end.status), 126);
	s.command.directory = "/nowhere";
	end = run(&s);
	assert_int_equal(end.reason, JAIL_FAILED);
	assert_non_null(strstr(end.message, "/nowhere"));
}

/* Read a line that the command writes. */
static void read_line(int fd, char *line, size_t size)
{
	size_t n = 0;
	while (n + 1 < size && read(fd, line + n, 1) == 1 && line[n] != '\n')
		n++;
	line[n] = '\0';
}

static void signals_reach_the_command(void **state)
{
	struct setting s = setting(JAIL_IDS_ONE);
	int pair[2];
	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	const char *const argv[] = {
		"bash", "-c", "trap 'exit 42' TERM; echo ready; while :; do sleep 0.05; done", NULL
	};
	s.argv = argv;
	s.keep = pair[1];
	s.spec.keep_fds = &pair[1];
	s.spec.n_keep_fds = 1;
	_cleanup_jail_ struct jail j = JAIL_INIT;
	start(&s, &j);
	close(pair[1]);
	char line[16];
	read_line(pair[0], line, sizeof(line));
	assert_string_equal(line, "ready");
	assert_int_equal(jail_signal(&j, SIGTERM), 0);
	struct jail_end end = { 0 };
	assert_int_equal(jail_wait(&j, &end), 0);
	assert_int_equal(WEXITSTATUS(end.status), 42);
	assert_int_equal(read(pair[0], line, 1), 0); /* nobody inside holds the pipe any more */
	close(pair[0]);
	assert_int_equal(jail_signal(&j, SIGTERM), -ESRCH);
}

static bool gone(int pidfd, int ms)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	return poll(&p, 1, ms) == 1;
}

/* A jail whose caller is killed without any chance to clean up: PID 1 and all inside end. */
static void nothing_outlives_the_caller(void **state)
{
	int pair[2];
	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	pid_t caller = fork();
	if (caller == 0) {
		struct setting s = setting(JAIL_IDS_RANGE);
		const char *const argv[] = { "sh", "-c", "sleep 1000 & setsid sleep 1000", NULL };
		s.argv = argv;
		struct jail j = JAIL_INIT;
		start(&s, &j);
		pid_t pid = j.pid;
		(void)!write(pair[1], &pid, sizeof(pid));
		pause();
	}
	pid_t pid1 = 0;
	assert_int_equal(fd_read_full(pair[0], &pid1, sizeof(pid1)), sizeof(pid1));
	int pidfd = (int)syscall(SYS_pidfd_open, pid1, 0);
	assert_true(pidfd >= 0);
	assert_false(gone(pidfd, 50));
	kill(caller, SIGKILL);
	assert_int_equal(waitpid(caller, NULL, 0), caller);
	assert_true(gone(pidfd, 5000));
	close(pidfd);
	close(pair[0]);
	close(pair[1]);
}

static void a_background_process_ends_with_the_command(void **state)
{
	struct setting s = setting(JAIL_IDS_ONE);
	uint64_t began = clock_monotonic_ms();
	expect_exit(&s, "trap '' TERM; (trap '' TERM HUP; sleep 1000) & setsid sleep 1000 & exit 3",
		    3);
	assert_true(clock_monotonic_ms() - began < 5000);
}

/* ---- what is inherited ---- */

static void nothing_is_inherited_unasked(void **state)
{
	struct setting s = setting(JAIL_IDS_ONE);
	int stray = open("/", O_RDONLY); /* not even close-on-exec */
	assert_true(stray >= 0 && setenv("STRAY_VARIABLE", "1", 1) == 0);
	/* bash, ls and the folder that ls reads: 0, 1, 2 and 3 */
	expect_exit(&s, "[ \"$(ls /proc/self/fd | tr '\\n' ' ')\" = '0 1 2 3 ' ]", 0);
	expect_exit(&s, "[ -z \"$STRAY_VARIABLE\" ]", 0);
	expect_exit(&s, "[ \"$(tr -d '\\0' </proc/1/cmdline)\" = jail-init ]", 0);
	expect_exit(&s, "! cat /proc/1/environ 2>/dev/null && ! ls /proc/1/fd/ 2>/dev/null", 0);
	expect_exit(&s, "[ $(hostname) = jail ]", 0);
	expect_exit(&s, "[ $(umask) = 0022 ]", 0);
	close(stray);
}

static void supplementary_groups_are_gone(void **state)
{
	struct setting s = setting(JAIL_IDS_ONE);
	gid_t groups[] = { 4, 27 };
	if (geteuid() == 0)
		assert_int_equal(setgroups(ELEMENTS(groups), groups), 0);
	expect_exit(&s, "[ \"$(id -G)\" = 1000 ]", 0);
	s = setting(JAIL_IDS_RANGE);
	expect_exit(&s, "[ \"$(id -G)\" = 0 ]", 0);
}

/* ---- limits ---- */

/* As PID 1: how many processes can there be, when each takes an id of its own? */
static int fork_all(void *arg)
{
	int n = 1;
	for (; n < 100; n++) {
		pid_t pid = fork();
		if (pid < 0)
			break;
		if (pid == 0) {
			if (setresuid((uid_t)n, (uid_t)n, (uid_t)n) < 0)
				_exit(1);
			for (;;)
				pause();
		}
		usleep(1000); /* it has another id before the next one is counted */
	}
	return n;
}

static void processes_are_limited_whatever_their_ids(void **state)
{
	struct jail_spec spec = { .ids.kind = JAIL_IDS_RANGE, .processes = 20 };
	_cleanup_jail_ struct jail j = JAIL_INIT;
	struct jail_end end = { 0 };
	struct error e = { 0 };
	if (jail_start(&spec, fork_all, NULL, &j, &e) < 0)
		fail_msg("jail_start: %s", e.message);
	assert_int_equal(jail_wait(&j, &end), 0);
	assert_true(WIFEXITED(end.status));
	assert_in_range(WEXITSTATUS(end.status), 19, 21);
}

static void limits_are_set(void **state)
{
	struct setting s = setting(JAIL_IDS_ONE);
	const struct jail_rlimit limits[] = { { RLIMIT_FSIZE, 4096 }, { RLIMIT_NOFILE, 64 } };
	s.spec.limits = limits;
	s.spec.n_limits = ELEMENTS(limits);
	expect_exit(&s, "[ $(ulimit -n) = 64 ] && [ $(ulimit -Hf) = 4 ]", 0);
	struct jail_end end = run_script(&s, "exec head -c 8192 /dev/zero >/tmp/x");
	assert_true(WIFSIGNALED(end.status) && WTERMSIG(end.status) == SIGXFSZ);
}

/* Nor is one piped to the host's core_pattern, as it would be with 0. */
static void nothing_in_a_jail_leaves_a_core(void **state)
{
	struct setting s = setting(JAIL_IDS_ONE);
	expect_exit(&s, "grep -qE '^Max core file size +1 +1 ' /proc/self/limits", 0);
}

static void the_watchdog_counts_processes(void **state)
{
	struct setting s = setting(JAIL_IDS_ONE);
	s.command.watchdog.processes = 10;
	struct jail_end end = run_script(&s, "for i in {1..12}; do sleep 60 & done; wait");
	assert_int_equal(end.reason, JAIL_PROCESSES);
	s.command.watchdog.processes = 20;
	expect_exit(&s, "for i in {1..12}; do sleep 0.5 & done; wait", 0);
}

static void the_watchdog_cannot_be_blinded(void **state)
{
	struct setting s = setting(JAIL_IDS_RANGE);
	s.command.capabilities = JAIL_CAPS_BUILD;
	s.command.watchdog.processes = 20;
	struct jail_end end = run_script(&s, "for i in {1..30}; do sleep 60 & mount --bind "
					     "/dev/null /proc/$!/status || exit 1; done; wait");
	assert_int_equal(end.reason, JAIL_PROCESSES);
}

/* Memory that no process has mapped, or that is in no process's own figure. */
static void the_watchdog_sees_memory_wherever_it_is(void **state)
{
	static const char *const takers[] = {
		"head -c 200M /dev/zero >/tmp/x; sleep 60",
		"exec 9>/tmp/x; rm /tmp/x; head -c 200M /dev/zero >&9; sleep 60",
		"unshare -m sh -c 'mount -t tmpfs -o size=1g x /mnt && head -c 200M /dev/zero "
		">/mnt/x; sleep 60'",
		"unshare -m sh -c 'mount -t tmpfs -o size=0 x /mnt; sleep 60'",
		"python3 -c 'import os, time; f = os.memfd_create(\"x\"); os.posix_fallocate(f, 0, "
		"200 << 20); time.sleep(60)'",
		/* sets of semaphores, of 2 MiB each */
		"python3 -c 'import ctypes, time; c = ctypes.CDLL(None); "
		"[c.semget(0, 32000, 0o600) for i in range(100)]; time.sleep(60)'",
		"python3 -c 'import ctypes, time; c = ctypes.CDLL(None); "
		"c.shmat.restype = ctypes.c_void_p; s = c.shmget(0, 200 << 20, 0o600); "
		"p = c.shmat(s, None, 0); ctypes.memset(p, 1, 200 << 20); "
		"c.shmdt(ctypes.c_void_p(p)); time.sleep(60)'",
		/* page tables, of a page for each 2 MiB that is looked at */
		"python3 -c 'import mmap, time; m = mmap.mmap(-1, 100 << 30, mmap.MAP_PRIVATE | "
		"mmap.MAP_ANONYMOUS | 0x4000, mmap.PROT_READ); m.madvise(mmap.MADV_NOHUGEPAGE); "
		"[m[i] for i in range(0, 100 << 30, 2 << 20)]; time.sleep(60)'",
		/* of a process whose first thread has ended */
		"python3 -c 'import ctypes, threading, time\n"
		"def take(): x = b\"1\" * (200 << 20); time.sleep(60)\n"
		"threading.Thread(target=take).start()\n"
		"ctypes.CDLL(None).syscall(60, 0)'",
		/* of a process whose status is longer than anybody reads */
		"python3 -c 'import os, time; os.setgroups(range(4000, 8000)); time.sleep(60)'",
		/* that only one thread has open */
		"python3 -c 'import ctypes, os, threading, time\n"
		"def take():\n"
		" ctypes.CDLL(None).unshare(0x400)\n"
		" f = os.memfd_create(\"x\"); os.posix_fallocate(f, 0, 200 << 20); time.sleep(60)\n"
		"threading.Thread(target=take).start()'",
		/* names */
		"python3 -c 'import os, time\n"
		"for i in range(200000): os.mknod(f\"/tmp/{i}\")\n"
		"time.sleep(60)'",
		"unshare -m sh -c 'mount -t tmpfs -o size=1m,nr_inodes=0 x /mnt; sleep 60'",
		"unshare -m sh -c 'mount -t ramfs x /mnt; sleep 60'",
		"unshare -m sh -c 'mount -t tmpfs -o size=1g x /mnt && head -c 200M /dev/zero "
		">/mnt/x && mount -o remount,bind,ro /mnt; sleep 60'",
		/* more descriptors than anybody can look at */
		"python3 -c 'import ctypes, os, resource, threading, time\n"
		"resource.setrlimit(resource.RLIMIT_NOFILE, (8000, 8000))\n"
		"for i in range(7000): os.dup(0)\n"
		"def own(): ctypes.CDLL(None).unshare(0x400); time.sleep(60)\n"
		"for i in range(400): threading.Thread(target=own).start()'",
	};
	struct jail_mount more[ELEMENTS(mounts) + 1];
	memcpy(more, mounts, sizeof(mounts));
	more[ELEMENTS(mounts) - 1].size = 1 << 30;
	more[ELEMENTS(mounts)] = (struct jail_mount){ JAIL_DIRECTORY, "/mnt" };
	struct setting s = setting(JAIL_IDS_RANGE);
	s.spec.mounts = more;
	s.spec.n_mounts = ELEMENTS(more);
	s.command.capabilities = JAIL_CAPS_BUILD;
	s.command.watchdog.memory = 160 << 20;
	for (size_t i = 0; i < ELEMENTS(takers); i++) {
		struct jail_end end = run_script(&s, takers[i]);
		if (end.reason != JAIL_MEMORY)
			fail_msg("'%s': status %#x, reason %d", takers[i], end.status, end.reason);
	}
}

static void the_watchdog_sees_files_without_a_name(void **state)
{
	char folder[] = "unnamed-XXXXXX";
	assert_non_null(mkdtemp(folder));
	assert_int_equal(chmod(folder, 0777), 0);
	_cleanup_close_ int fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct jail_mount more[ELEMENTS(mounts) + 1];
	memcpy(more, mounts, sizeof(mounts));
	more[ELEMENTS(mounts) - 1].size = 1 << 30;
	more[ELEMENTS(mounts)] =
		(struct jail_mount){ JAIL_BIND, "/mnt", .flags = JAIL_FD, .fd = fd };
	struct setting s = setting(JAIL_IDS_RANGE);
	s.spec.mounts = more;
	s.spec.n_mounts = ELEMENTS(more);
	s.command.watchdog.unnamed = 50 << 20;
	expect_exit(&s,
		    "for i in 6 7 8 9; do eval \"exec $i>/mnt/x\"; rm /mnt/x; head -c 10M "
		    "/dev/zero >&$i; done; sleep 1",
		    0);
	struct jail_end end = run_script(&s, "for i in 4 5 6 7 8 9; do eval \"exec $i>/mnt/x\"; rm "
					     "/mnt/x; head -c 10M /dev/zero >&$i; done; sleep 60");
	assert_int_equal(end.reason, JAIL_UNNAMED);
	/* Nor does a name, or what is in memory, count. */
	expect_exit(&s,
		    "exec 9>/tmp/x; rm /tmp/x; head -c 60M /dev/zero >&9; head -c 60M /dev/zero "
		    ">/mnt/y; sleep 1; rm /mnt/y",
		    0);
	assert_int_equal(rmdir(folder), 0);
}

static void the_watchdog_counts_nothing_twice(void **state)
{
	struct setting s = setting(JAIL_IDS_RANGE);
	s.command.watchdog.memory = 160 << 20;
	/* A file in memory that four processes have open, and have mapped twice. */
	expect_exit(&s,
		    "exec python3 -c 'import mmap, os, time\n"
		    "f = os.memfd_create(\"x\")\n"
		    "os.ftruncate(f, 70 << 20)\n"
		    "[os.fork() for i in range(2)]\n"
		    "maps = [mmap.mmap(f, 70 << 20) for i in range(2)]\n"
		    "[m.write(bytes(1 << 20)) for m in maps for i in range(70)]\n"
		    "time.sleep(1)'",
		    0);
	/* Memory that is one for a parent and its child until the child executes. */
	expect_exit(&s,
		    "exec python3 -c 'import mmap, os, time\n"
		    "os.mkfifo(\"/tmp/fifo\")\n"
		    "if os.fork() == 0:\n"
		    " time.sleep(1)\n"
		    " os._exit(os.open(\"/tmp/fifo\", os.O_WRONLY) < 0)\n"
		    "m = mmap.mmap(-1, 100 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)\n"
		    "[m.write(bytes(1 << 20)) for i in range(100)]\n"
		    "opens = (os.POSIX_SPAWN_OPEN, 5, \"/tmp/fifo\", os.O_RDONLY, 0)\n"
		    "os.waitpid(os.posix_spawn(\"/bin/true\", [\"true\"], {}, "
		    "file_actions=[opens]), 0)'",
		    0);
	/* What another program of this machine keeps in memory. */
	_cleanup_close_ int others = (int)syscall(SYS_memfd_create, "others", 0);
	assert_int_equal(posix_fallocate(others, 0, 200 << 20), 0);
	expect_exit(&s, "sleep 1", 0);
}

/* ---- network ---- */

/* A listening socket made inside and handed out. */
static int make_listener(void *arg, int fds[JAIL_FDS_MAX], unsigned *n)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons(3128),
				 .sin_addr.s_addr = htonl(0x0ac80001) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 8) < 0)
		return -errno;
	fds[0] = fd;
	*n = 1;
	return 0;
}

static void the_only_way_out_is_what_was_handed_out(void **state)
{
	struct setting s = setting(JAIL_IDS_ONE);
	const struct jail_address addresses[] = { { "10.200.0.1", 32 }, { "10.200.0.2", 24 } };
	s.spec.lo = true;
	s.spec.addresses = addresses;
	s.spec.n_addresses = ELEMENTS(addresses);
	s.spec.local_default = true;
	s.spec.make_fds = make_listener;
	const char *const argv[] = {
		"bash", "-c",
		"exec 3<>/dev/tcp/10.200.0.1/3128 && echo hello >&3 && read -r answer <&3 "
		"&& [ \"$answer\" = welcome ]",
		NULL
	};
	s.argv = argv;
	_cleanup_jail_ struct jail j = JAIL_INIT;
	start(&s, &j);
	assert_int_equal(j.n_fds, 1);
	int c = accept4(j.fds[0], NULL, NULL, SOCK_CLOEXEC);
	assert_true(c >= 0);
	char line[16];
	read_line(c, line, sizeof(line));
	assert_string_equal(line, "hello");
	assert_int_equal(write(c, "welcome\n", 8), 8);
	struct jail_end end = { 0 };
	assert_int_equal(jail_wait(&j, &end), 0);
	close(c);
	assert_int_equal(end.status, 0);
}

static void everything_else_is_refused_at_once(void **state)
{
	struct setting s = setting(JAIL_IDS_ONE);
	const struct jail_address addresses[] = { { "10.200.0.1", 32 }, { "10.200.0.2", 24 } };
	s.spec.lo = true;
	s.spec.addresses = addresses;
	s.spec.n_addresses = ELEMENTS(addresses);
	s.spec.local_default = true;
	uint64_t began = clock_monotonic_ms();
	static const char *const refused[] = { "127.0.0.1/80",	     "10.200.0.1/3128",
					       "10.200.0.7/22",	     "192.0.2.1/80",
					       "169.254.169.254/80", "1.1.1.1/53" };
	char script[256];
	for (size_t i = 0; i < ELEMENTS(refused); i++) {
		snprintf(script, sizeof(script),
			 "(: >/dev/tcp/%s) 2>&1 | grep -q 'Connection refused'", refused[i]);
		expect_exit(&s, script, 0);
	}
	expect_exit(&s, "(: >/dev/tcp/2001:db8::1/80) 2>&1 | grep -q 'Network is unreachable'", 0);
	assert_true(clock_monotonic_ms() - began < 5000);
	s = setting(JAIL_IDS_ONE);
	expect_exit(&s, "(: >/dev/tcp/127.0.0.1/80) 2>&1 | grep -q 'Network is unreachable'", 0);
}

static bool be_slow;

static void on_fork(void)
{
	if (be_slow)
		poll(NULL, 0, 500);
}

/* Nothing tells a process of its parent's end that came before it asked to be told. */
static void nothing_is_left_of_a_jail_whose_caller_dies_while_it_is_begun(void **state)
{
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	assert_int_equal(pthread_atfork(NULL, NULL, on_fork), 0);
	pid_t caller = fork();
	if (caller == 0) {
		struct setting s = setting(JAIL_IDS_ONE);
		struct jail j = JAIL_INIT;
		struct error e = { 0 };
		be_slow = true; /* so that the caller is dead before its child has done anything */
		_exit(jail_start(&s.spec, run_command, &s, &j, &e) < 0);
	}
	poll(NULL, 0, 100);
	kill(caller, SIGKILL);
	uint64_t end = clock_monotonic_ms() + 5000;
	while (waitpid(-1, NULL, WNOHANG) >= 0 && clock_monotonic_ms() < end)
		poll(NULL, 0, 10);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	prctl(PR_SET_CHILD_SUBREAPER, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_end_is_told_exactly),
		cmocka_unit_test(signals_reach_the_command),
		cmocka_unit_test(nothing_outlives_the_caller),
		cmocka_unit_test(nothing_is_left_of_a_jail_whose_caller_dies_while_it_is_begun),
		cmocka_unit_test(a_background_process_ends_with_the_command),
		cmocka_unit_test(nothing_is_inherited_unasked),
		cmocka_unit_test(supplementary_groups_are_gone),
		cmocka_unit_test(processes_are_limited_whatever_their_ids),
		cmocka_unit_test(limits_are_set),
		cmocka_unit_test(nothing_in_a_jail_leaves_a_core),
		cmocka_unit_test(the_watchdog_counts_processes),
		cmocka_unit_test(the_watchdog_cannot_be_blinded),
		cmocka_unit_test(the_watchdog_sees_memory_wherever_it_is),
		cmocka_unit_test(the_watchdog_sees_files_without_a_name),
		cmocka_unit_test(the_watchdog_counts_nothing_twice),
		cmocka_unit_test(the_only_way_out_is_what_was_handed_out),
		cmocka_unit_test(everything_else_is_refused_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
