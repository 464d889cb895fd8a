/* SPDX-License-Identifier: Apache-2.0 */
/* Unit test: the decision log's lines, what cannot break them, and what is said when some are missing. */
#include "base/fd.h"
#include "base/limit.h"
#include "proxy/decisions.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

static const struct policy_request get = {
	.via = POLICY_VIA_FORWARD,
	.host = { "Host.test", 9 },
	.port = 9090,
	.method = { "GET", 3 },
	.raw_path = { "/a/../x", 7 },
	.path = { "/x", 2 },
	.query = { "secret=1", 8 },
	.binary = "/usr/bin/curl",
	.pid = 47,
};

static int file(void)
{
	int fd = memfd_create("log", MFD_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

/* All that is in it; to be freed. */
static char *text_of(int fd)
{
	char *text;
	size_t n;
	assert_true(lseek(fd, 0, SEEK_SET) == 0);
	assert_int_equal(fd_read_file(fd, 2 * (size_t)LIMIT_DECISION_LOG_BYTES, &text, &n), 0);
	return text;
}

/* One line, after its time. */
static void is(const struct decision_line *line, const char *wanted)
{
	int fd = file();
	decisions_init(fd, -1);
	decisions_write(line);
	char *text = text_of(fd);
	assert_true(strlen(text) > 25 && text[10] == 'T' && text[23] == 'Z');
	char *end = strchr(text, '\n');
	assert_non_null(end);
	assert_string_equal(end, "\n"); /* and no other */
	*end = '\0';
	assert_string_equal(text + 25, wanted);
	free(text);
	close(fd);
}

static void test_forms(void **state)
{
	struct policy_request r = get;
	struct decision_line l = { .r = &r, .allowed = true, .policy = "api", .engine = ENGINE_L7 };
	is(&l, "OCSF HTTP:GET [INFO] ALLOWED /usr/bin/curl(47) -> GET http://host.test:9090/x "
	       "[policy:api engine:l7]");
	r.port = 80;
	l.audited = true;
	l.reason = "no rule allows it";
	is(&l, "OCSF HTTP:GET [INFO] ALLOWED /usr/bin/curl(47) -> GET http://host.test/x "
	       "[policy:api engine:l7] [audit:no rule allows it]");
	r.binary = NULL;
	l = (struct decision_line){ .r = &r, .engine = ENGINE_SSRF, .reason = "internal address" };
	is(&l, "OCSF HTTP:GET [MED] DENIED GET http://host.test/x [policy:- engine:ssrf] "
	       "[reason:internal address]");
	r = get;
	r.via = POLICY_VIA_CONNECT;
	l = (struct decision_line){ .r = &r, .reason = "no endpoint has this host and port" };
	is(&l,
	   "OCSF NET:OPEN [MED] DENIED /usr/bin/curl(47) -> host.test:9090 [policy:- engine:opa] "
	   "[reason:no endpoint has this host and port]");
	r.host = span_of("2001:db8::1");
	l = (struct decision_line){ .r = &r, .allowed = true, .policy = "p" };
	is(&l, "OCSF NET:OPEN [INFO] ALLOWED /usr/bin/curl(47) -> [2001:db8::1]:9090 [policy:p "
	       "engine:opa]");
}

/* Whatever a sandbox may choose: lines, fields and the ends of both stay ours. */
static void test_injection(void **state)
{
	struct policy_request r = get;
	struct decision_line l = { .r = &r, .reason = "a\nb] [c" };
	r.binary = "/sandbox/x(1) -> GET http://good/ [policy:p engine:l7]\n2026 OCSF "
		   "\x1b[2J\xe2\x80\xae\\";
	is(&l,
	   "OCSF HTTP:GET [MED] DENIED /sandbox/x\\x281\\x29\\x20->\\x20GET\\x20http://good/"
	   "\\x20\\x5bpolicy:p\\x20engine:l7\\x5d\\x0a2026\\x20OCSF\\x20\\x1b\\x5b2J\\xe2\\x80\\xae"
	   "\\x5c(47) -> GET http://host.test:9090/x [policy:- engine:opa] "
	   "[reason:a\\x0ab\\x5d \\x5bc]");
}

static void test_lengths(void **state)
{
	static char lengthy[8192];
	memset(lengthy, '\x01', sizeof(lengthy) - 1);
	struct policy_request r = { .via = POLICY_VIA_INSIDE,
				    .host = span_of(lengthy),
				    .port = 65535,
				    .method = span_of(lengthy),
				    .raw_path = span_of(lengthy),
				    .binary = lengthy,
				    .pid = INT_MAX };
	const struct decision_line l = { .r = &r, .policy = lengthy, .reason = lengthy };
	int fds[2] = { file(), file() };
	decisions_init(fds[0], fds[1]);
	decisions_write(&l);
	for (int i = 0; i < 2; i++) {
		char *text = text_of(fds[i]), *end = strchr(text, '\n');
		assert_true(end && end[1] == '\0' && strlen(text) <= PIPE_BUF);
		assert_non_null(strstr(text, "x01..."));
		free(text);
		close(fds[i]);
	}
}

static void test_json(void **state)
{
	struct policy_request r = get;
	struct decision_line l = {
		.r = &r, .policy = "api", .engine = ENGINE_L7, .reason = "why\xff"
	};
	int fd = file();
	r.binary = "/x\n\"\xff";
	decisions_init(-1, fd);
	decisions_write(&l);
	l.allowed = l.audited = true;
	decisions_write(&l);
	r.via = POLICY_VIA_CONNECT;
	decisions_write(&l);
	char *text = text_of(fd), *rest = text, *line = strsep(&rest, "\n");
	json_t *events[3];
	for (int i = 0; i < 3; i++, line = strsep(&rest, "\n"))
		assert_non_null(events[i] = json_loads(line, JSON_REJECT_DUPLICATES, NULL));
	const char *host, *path, *method, *program, *detail, *action, *name;
	int class, pid, port, audited;
	assert_int_equal(
		json_unpack(
			events[0],
			"{s:i, s:s, s:s, s:{s:s, s:{s:s, s:s, s:i}}, s:{s:{s:s, s:i}}, s:{s:s}}",
			"class_uid", &class, "action", &action, "status_detail", &detail,
			"http_request", "http_method", &method, "url", "hostname", &host, "path",
			&path, "port", &port, "actor", "process", "name", &program, "pid", &pid,
			"firewall_rule", "name", &name),
		0);
	assert_int_equal(class, 4002);
	assert_string_equal(action, "Denied");
	assert_string_equal(detail, "why\\xff");
	assert_string_equal(method, "GET");
	assert_string_equal(host, "host.test");
	assert_string_equal(path, "/x");
	assert_string_equal(program, "/x\\x0a\"\\xff");
	assert_string_equal(name, "api");
	assert_int_equal(pid, 47);
	assert_int_equal(port, 9090);
	assert_int_equal(json_unpack(events[1], "{s:s, s:{s:b}}", "action", &action, "unmapped",
				     "audited", &audited),
			 0);
	assert_string_equal(action, "Allowed");
	assert_int_equal(json_unpack(events[2], "{s:i, s:{s:s}}", "class_uid", &class,
				     "dst_endpoint", "domain", &host),
			 0);
	assert_int_equal(class, 4001);
	assert_null(json_object_get(events[2], "http_request"));
	for (int i = 0; i < 3; i++)
		json_decref(events[i]);
	free(text);
	close(fd);
}

/* A reader that reads nothing for a while: nobody waits for it, and it is told. */
static void test_slow_reader(void **state)
{
	const struct decision_line l = { .r = &get, .allowed = true, .policy = "api" };
	static char bytes[1 << 20];
	int fds[2];
	assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
	decisions_init(fds[1], -1);
	for (int i = 0; i < 2000; i++)
		decisions_write(&l);
	size_t n = 0;
	for (ssize_t got; (got = read(fds[0], bytes + n, sizeof(bytes) - 1 - n)) > 0;)
		n += (size_t)got;
	unsigned lines = 0;
	for (size_t i = 0; i < n; i++)
		lines += bytes[i] == '\n';
	assert_true(lines > 100 && lines < 2000 && bytes[n - 1] == '\n');
	decisions_end();
	n = (size_t)read(fds[0], bytes, sizeof(bytes) - 1);
	bytes[n] = '\0';
	unsigned missing = 0;
	const char *at = strstr(bytes, "OCSF EVENT [MED] ");
	assert_non_null(at);
	assert_int_equal(sscanf(at, "OCSF EVENT [MED] %u decisions are missing here", &missing), 1);
	assert_int_equal(missing + lines, 2000);
	close(fds[0]);
	close(fds[1]);
}

/* A file that takes no more, in the middle of a line, and then does again. */
static void test_torn(void **state)
{
	const struct decision_line l = { .r = &get, .allowed = true, .policy = "api" };
	const struct rlimit small = { 250, RLIM_INFINITY }, any = { RLIM_INFINITY, RLIM_INFINITY };
	int fd = file();
	signal(SIGXFSZ, SIG_IGN);
	decisions_init(fd, -1);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	for (int i = 0; i < 4; i++)
		decisions_write(&l);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &any), 0);
	decisions_write(&l);
	char *text = text_of(fd), *rest = text, *line = strsep(&rest, "\n");
	assert_non_null(strstr(line, "HTTP:GET [INFO] ALLOWED"));
	line = strsep(&rest, "\n"); /* what was torn */
	line = strsep(&rest, "\n");
	assert_non_null(strstr(line, "OCSF EVENT [MED] 3 decisions are missing here"));
	line = strsep(&rest, "\n");
	assert_non_null(strstr(line, "engine:opa]"));
	assert_string_equal(rest, "");
	free(text);
	close(fd);
}

static void test_full(void **state)
{
	const struct decision_line l = { .r = &get, .allowed = true, .policy = "api" };
	int fds[2] = { file(), file() };
	decisions_init(fds[0], fds[1]);
	off_t before = -1;
	for (off_t size = 0; size != before; size = lseek(fds[0], 0, SEEK_CUR)) {
		before = size;
		for (int i = 0; i < 10000; i++)
			decisions_write(&l);
	}
	decisions_end();
	for (int i = 0; i < 2; i++) {
		char *text = text_of(fds[i]);
		size_t n = strlen(text);
		assert_true(n <= LIMIT_DECISION_LOG_BYTES && n > LIMIT_DECISION_LOG_BYTES - 2048);
		assert_non_null(strstr(text + n - 600, "all later decisions are missing"));
		assert_int_equal(text[n - 1], '\n');
		free(text);
		close(fds[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),	    cmocka_unit_test(test_injection),
		cmocka_unit_test(test_lengths),	    cmocka_unit_test(test_json),
		cmocka_unit_test(test_slow_reader), cmocka_unit_test(test_torn),
		cmocka_unit_test(test_full),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
