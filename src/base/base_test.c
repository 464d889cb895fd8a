/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of buffers, errors, text, descriptors, tree removal and starting programs. */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/spawn.h"
#include "base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

static void buffer_keeps_its_limit(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT(10);
	assert_int_equal(buf_append(&b, "12345678", 8), 0);
	assert_int_equal(buf_append(&b, "abc", 3), -ENOBUFS);
	assert_int_equal(b.len, 8);
	assert_int_equal(buf_printf(&b, "%d", 90), 0);
	assert_string_equal(b.data, "1234567890");
	assert_int_equal(buf_append(&b, "x", 1), -ENOBUFS);
	assert_int_equal(buf_append(&b, "x", SIZE_MAX), -ENOBUFS);
}

static void errors_carry_no_control_characters(void **state)
{
	struct error e = { 0 };
	char out[600];
	assert_int_equal(error_at(&e, EINVAL, 3, 7, "bad \033[31m%s", "x\ny"), -EINVAL);
	error_in_file(&e, "a.yaml");
	error_in_file(&e, "other.yaml");
	assert_string_equal(error_format(&e, out, sizeof(out)), "a.yaml:3:7: bad ?[31mx?y");
}

static void times_are_rfc3339(void **state)
{
	char out[CLOCK_TEXT_SIZE];
	assert_string_equal(clock_text(1000000000123, out), "2001-09-09T01:46:40.123Z");
}

/* What a line of the log says of these bytes. */
static const char *logged(const char *bytes, char text[200])
{
	int fd = memfd_create("log", MFD_CLOEXEC), kept = dup(STDERR_FILENO);
	dup2(fd, STDERR_FILENO);
	log_error("\"%s", bytes);
	dup2(kept, STDERR_FILENO);
	close(kept);
	ssize_t n = pread(fd, text, 199, 0);
	close(fd);
	assert_true(n > 0);
	text[n] = '\0';
	char *message = strstr(text, "\"message\"");
	return message ? message : strstr(text, "error: ");
}

static void log_lines_are_text_whatever_they_name(void **state)
{
	char text[200];
	log_init("test", true);
	assert_string_equal(logged("/x\xff\n\xe2\x9c\x93", text),
			    "\"message\":\"\\\"/x\xef\xbf\xbd\\u000a\xe2\x9c\x93\"}\n");
	log_init("test", false);
	assert_string_equal(logged("/x\xff\n\xe2\x9c\x93", text),
			    "error: \"/x\xef\xbf\xbd?\xe2\x9c\x93\n");
}

static void files_over_the_limit_are_refused(void **state)
{
	int fd = fd_sealed("t", "0123456789", 10);
	assert_true(fd >= 0);
	char *data = NULL;
	size_t len = 0;
	assert_int_equal(fd_read_file(fd, 9, &data, &len), -EFBIG);
	assert_null(data);
	lseek(fd, 0, SEEK_SET);
	assert_int_equal(fd_read_file(fd, 10, &data, &len), 0);
	assert_string_equal(data, "0123456789");
	assert_int_equal(write(fd, "x", 1), -1);
	free(data);
	close(fd);
}

static void trees_go_and_what_links_point_to_stays(void **state)
{
	char dir[] = "/tmp/postern-test-XXXXXX";
	assert_non_null(mkdtemp(dir));
	int fd = open(dir, O_RDONLY | O_DIRECTORY);
	mkdirat(fd, "keep", 0700);
	mkdirat(fd, "gone", 0700);
	mkdirat(fd, "gone/locked", 0700);
	close(openat(fd, "gone/locked/file", O_CREAT | O_WRONLY, 0600));
	close(openat(fd, "keep/file", O_CREAT | O_WRONLY, 0600));
	assert_int_equal(symlinkat("../keep", fd, "gone/link"), 0);
	fchmodat(fd, "gone/locked", 0, 0);
	assert_int_equal(remove_tree_at(fd, "gone"), 0);
	assert_int_equal(faccessat(fd, "gone", F_OK, 0), -1);
	assert_int_equal(faccessat(fd, "keep/file", F_OK, 0), 0);
	assert_int_equal(remove_tree_at(fd, "absent"), 0);
	assert_int_equal(remove_tree_at(fd, "keep"), 0);
	close(fd);
	rmdir(dir);
}

/* The kernel cannot be sure of a ".." while anything on the machine is renamed; it says so until nobody renames. */
static void opening_goes_on_while_others_rename(void **state)
{
	char dir[] = "/tmp/postern-base-XXXXXX", name[5 * 3 + 1];
	int fd = open(mkdtemp(dir), O_DIRECTORY | O_CLOEXEC);
	mkdirat(fd, "a", 0700);
	for (size_t at = 0; at < sizeof(name) - 1; at += 5)
		snprintf(name + at, 6, "a/../");
	pid_t renames = fork();
	if (renames == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		alarm(30);
		for (const char *from = "a/x", *to = "a/y", *other;;
		     other = from, from = to, to = other)
			if (renameat(fd, from, fd, to) < 0)
				close(openat(fd, to, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	}
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_BENEATH };
	uint64_t until = clock_monotonic_ms() + 20000;
	unsigned disturbed = 0;
	while (disturbed < 20 && clock_monotonic_ms() < until) {
		int bare = (int)syscall(SYS_openat2, fd, name, &how, sizeof(how));
		disturbed += bare < 0 && errno == EAGAIN;
		int opened = fd_open(fd, name, O_PATH, 0, RESOLVE_BENEATH);
		assert_true(opened >= 0);
		close(opened);
		if (bare >= 0)
			close(bare);
	}
	kill(renames, SIGKILL);
	waitpid(renames, NULL, 0);
	assert_int_equal(disturbed, 20);
	assert_int_equal(fd_open(fd, "../x", O_PATH, 0, RESOLVE_BENEATH), -EXDEV);
	assert_int_equal(remove_tree_at(AT_FDCWD, dir), 0);
	close(fd);
}

static int run_sh(const char *script, struct spawn s)
{
	const char *const argv[] = { "sh", "-c", script, NULL };
	s.program = "/bin/sh";
	s.argv = argv;
	pid_t pid;
	int pidfd, status;
	assert_int_equal(spawn_start(&s, &pid, &pidfd), 0);
	close(pidfd);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WEXITSTATUS(status);
}

/* The child has exactly the descriptors it was given, at their numbers, whatever order they had
 * here. */
static void children_get_exactly_their_descriptors(void **state)
{
	int a = fd_sealed("a", "A", 1), b = fd_sealed("b", "B", 1);
	int high_a = fcntl(a, F_DUPFD, 20), high_b = fcntl(b, F_DUPFD, 20);
	int swapped_low = dup2(high_b, 3), swapped_high = dup2(high_a, 4);
	int leak = fcntl(a, F_DUPFD, 50);
	int r = run_sh("read x <&3; read y <&4; [ \"$x$y\" = AB ] && [ \"$(ls /proc/self/fd | wc "
		       "-l)\" = 6 ] && [ -z \"$HOME\" ]",
		       (struct spawn){ .in = -1,
				       .out = -1,
				       .err = -1,
				       .fds = { swapped_high, swapped_low },
				       .n_fds = 2 });
	assert_int_equal(r, 0);
	close(leak);
	close(high_a);
	close(high_b);
	close(3);
	close(4);
}

static void a_program_that_is_missing_is_reported(void **state)
{
	pid_t pid;
	int pidfd;
	const char *const argv[] = { "x", NULL };
	struct spawn s = {
		.program = "/proc/none/x", .argv = argv, .in = -1, .out = -1, .err = -1
	};
	assert_int_equal(spawn_start(&s, &pid, &pidfd), -ENOENT);
	s.program = "postern-nonexistent";
	assert_int_equal(spawn_start(&s, &pid, &pidfd), -ENOENT);
}

static void utf8_edges(void **state)
{
	static const struct {
		const char *text;
		bool good;
	} rows[] = {
		{ "", true },
		{ "plain", true },
		{ "\xc2\x80", true },
		{ "\xdf\xbf", true },
		{ "\xe0\xa0\x80", true },
		{ "\xed\x9f\xbf", true },
		{ "\xef\xbf\xbf", true },
		{ "\xf0\x90\x80\x80", true },
		{ "\xf4\x8f\xbf\xbf", true },
		{ "a\xc3\xa9z", true },
		{ "\x80", false },
		{ "\xe9", false },
		{ "\xc0\xaf", false },
		{ "\xc1\xbf", false },
		{ "\xc3", false },
		{ "\xc3(", false },
		{ "\xe0\x9f\xbf", false },
		{ "\xed\xa0\x80", false },
		{ "\xe2\x82", false },
		{ "\xe2\x82(", false },
		{ "\xf0\x8f\xbf\xbf", false },
		{ "\xf4\x90\x80\x80", false },
		{ "\xf5\x80\x80\x80", false },
		{ "\xff", false },
	};
	for (size_t i = 0; i < ELEMENTS(rows); i++)
		assert_int_equal(utf8_is_valid(rows[i].text, strlen(rows[i].text)), rows[i].good);
}

static void utf8_is_cut_between_characters(void **state)
{
	static const char text[] = "a\xc3\xa9\xe2\x9c\x93\xf0\x9f\x98\x80";
	static const size_t whole[] = { 0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10 };
	for (size_t n = 0; n < ELEMENTS(whole); n++)
		assert_int_equal(utf8_whole(text, n), whole[n]);
	/* What will never be a character is not waited for. */
	assert_int_equal(utf8_whole("\x80\x80\x80\x80", 4), 4);
	assert_int_equal(utf8_whole("\xe0\x80", 2), 2);
	assert_int_equal(utf8_whole("\xff", 1), 1);
}

static void bytes_that_are_no_utf8_are_replaced_and_no_others(void **state)
{
	static const char *const rows[][2] = {
		{ "", "" },
		{ "a\xc3\xa9z", "a\xc3\xa9z" },
		{ "\xff", "\xef\xbf\xbd" },
		{ "\xe2\x9c\x93\xff\xe2\x9c\x93", "\xe2\x9c\x93\xef\xbf\xbd\xe2\x9c\x93" },
		{ "a\xe2\x9c", "a\xef\xbf\xbd\xef\xbf\xbd" },
		{ "\x80"
		  "b",
		  "\xef\xbf\xbd"
		  "b" },
	};
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		_cleanup_buf_ struct buf b = BUF_INIT(100);
		assert_int_equal(utf8_append(&b, rows[i][0], strlen(rows[i][0])), 0);
		assert_string_equal(b.data ? b.data : "", rows[i][1]);
	}
	_cleanup_buf_ struct buf b = BUF_INIT(5);
	assert_int_equal(utf8_append(&b, "a\0\xff", 3), 0);
	assert_memory_equal(b.data, "a\0\xef\xbf\xbd", 6);
	assert_int_equal(utf8_append(&b, "\xff", 1), -ENOBUFS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buffer_keeps_its_limit),
		cmocka_unit_test(errors_carry_no_control_characters),
		cmocka_unit_test(times_are_rfc3339),
		cmocka_unit_test(utf8_edges),
		cmocka_unit_test(utf8_is_cut_between_characters),
		cmocka_unit_test(bytes_that_are_no_utf8_are_replaced_and_no_others),
		cmocka_unit_test(log_lines_are_text_whatever_they_name),
		cmocka_unit_test(files_over_the_limit_are_refused),
		cmocka_unit_test(trees_go_and_what_links_point_to_stays),
		cmocka_unit_test(opening_goes_on_while_others_rename),
		cmocka_unit_test(children_get_exactly_their_descriptors),
		cmocka_unit_test(a_program_that_is_missing_is_reported),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
