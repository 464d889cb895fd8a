/* SPDX-License-Identifier: Apache-2.0 */
/* Unit test: denials told apart and counted, and the text of what would have allowed each. */
#include "base/fd.h"
#include "base/limit.h"
#include "proxy/explain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static struct policy *policy;

static struct policy_request request(const char *path, const char *binary)
{
	return (struct policy_request){ .via = POLICY_VIA_FORWARD,
					.host = SPAN("Host.test"),
					.port = 80,
					.method = SPAN("GET"),
					.raw_path = span_of(path),
					.path = span_of(path),
					.query = SPAN("secret"),
					.binary = binary };
}

static char *explained(void)
{
	char *text;
	size_t n;
	int fd = memfd_create("explanation", MFD_CLOEXEC);
	assert_int_equal(explain_write(fd), 0);
	assert_true(lseek(fd, 0, SEEK_SET) == 0);
	assert_int_equal(fd_read_file(fd, 1 << 20, &text, &n), 0);
	close(fd);
	return text;
}

static void denied(const char *path, const char *binary, enum policy_verdict verdict)
{
	struct policy_request r = request(path, binary);
	explain_decision(&r, &(struct policy_decision){ .verdict = verdict }, "why");
}

static void test_nothing(void **state)
{
	denied("/x", "/b", POLICY_DENIED_RULE); /* nobody asked for it */
	char *text = explained();
	assert_string_equal(text, "# 0 denied, in 0 ways\n");
	free(text);
	explain_init(policy);
}

static void test_one(void **state)
{
	denied("/a*b", "/b\"\n", POLICY_DENIED_RULE);
	denied("/a*b", "/b\"\n", POLICY_DENIED_RULE);
	denied("/a*b", "/other", POLICY_DENIED_CHANGED);
	denied("/a*b", NULL, POLICY_DENIED_BINARY);
	denied("/a*b", "(deleted)", POLICY_DENIED_ENDPOINT);
	denied("/a*b", "/b\xc3\xa9", POLICY_DENIED_ENDPOINT);
	char *text = explained();
	const char *wanted =
		"# 6 denied, in 5 ways; the least that would allow each:\n"
		"---\n# 2 x GET http://host.test:80/a*b by /b\"\\x0a: why\n"
		"network_policies:\n  explained-1:\n    endpoints:\n"
		"      - host: \"host.test\"\n        port: 80\n"
		"        protocol: rest\n        enforcement: enforce\n"
		"        rules:\n          - allow: { method: \"GET\", path: \"/a\\\\*b\" }\n"
		"    binaries:\n      - path: \"/b\\\"\\x0A\"\n"
		"---\n# 1 x GET http://host.test:80/a*b by /other: why\n"
		"# no rule can allow that: the program has to be what it was, or the sandbox a new "
		"one\n"
		"---\n# 1 x GET http://host.test:80/a*b by nobody knows whom: why\n"
		"# no rule can allow that: it cannot be told who asked";
	text[strlen(wanted)] = '\0';
	assert_string_equal(text, wanted);
	free(text);
}

static void test_limit(void **state)
{
	char path[32];
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < LIMIT_EXPLAINED_DENIALS; i++) {
			snprintf(path, sizeof(path), "/%d", i);
			denied(path, "/b", POLICY_DENIED_RULE);
		}
	}
	char *text = explained();
	/* Five of the ways are the test's before. */
	assert_non_null(strstr(text, "# 134 denied, in 64 and more ways; "));
	assert_non_null(strstr(text, "# 10 others are not told apart: past 64 ways\n"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_one),
		cmocka_unit_test(test_limit),
	};
	static const char empty[] = "version: 1\n";
	struct error e = { 0 };
	if (policy_load(empty, sizeof(empty) - 1, "policy", &policy, &e) < 0)
		return 1;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	policy_free(policy);
	return failed;
}
