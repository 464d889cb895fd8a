/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of loading harness files. */
#include "base/cleanup.h"
#include "base/fd.h"
#include "runner/expand.h"
#include "runner/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/stat.h>

#include <cmocka.h>

static const char *const environment[] = { "HOME=/home/someone", "EMPTY=", "TOKEN=t0k", NULL };
static char folder[] = "/tmp/harness_test_XXXXXX";

static const char *write_harness(const char *text)
{
	static char path[64];
	snprintf(path, sizeof(path), "%s/h.yaml", folder);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(fd_write_full(fd, text, strlen(text)), 0);
	close(fd);
	return path;
}

/* text must be refused at line:column with a message that holds part. */
static void refused(const char *text, unsigned line, unsigned column, const char *part)
{
	struct harness *h = NULL;
	struct error e = { 0 };
	char said[600];
	assert_true(harness_load(write_harness(text), environment, &h, &e) < 0);
	error_format(&e, said, sizeof(said));
	if (e.line != line || e.column != column || !strstr(e.message, part))
		fail_msg("for %s\nexpected %u:%u with '%s', got %s", text, line, column, part,
			 said);
	assert_null(h);
}

static void loads_everything(void **state)
{
	struct harness *h = NULL;
	struct error e = { 0 };
	const char *text = "agent: agents/x.md\n"
			   "model: sonnet\n"
			   "policy: policies/p.yaml\n"
			   "api_servers:\n"
			   "  - name: api\n"
			   "    script: postern serve --config postern.yaml\n"
			   "    port: 9090\n"
			   "  - {name: other-one, script: servers/o.py, args: [--x, \"${TOKEN}\"], "
			   "env: {A: \"${HOME}/a\"}}\n"
			   "host_files:\n"
			   "  - {src: \"${HOME}/key\", dest: /tmp/key}\n"
			   "  - {src: \"${NOWHERE}\", dest: x, optional: true, expand: true}\n"
			   "runner_env: {A: old, B: b}\n"
			   "env: {runner: {A: new}, sandbox: {C: \"\"}}\n"
			   "timeout_minutes: 5\n"
			   "pre_script: pre.sh\n"
			   "post_script: /abs/post.sh\n"
			   "command: echo hello\n";
	if (harness_load(write_harness(text), environment, &h, &e) < 0)
		fail_msg("%u:%u %s", e.line, e.column, e.message);
	char expected[128];
	snprintf(expected, sizeof(expected), "%s/policies/p.yaml", folder);
	assert_string_equal(h->policy, expected);
	assert_int_equal(h->n_servers, 2);
	assert_null(h->servers[0].program);
	assert_int_equal(h->servers[0].n_args, 3);
	assert_string_equal(h->servers[0].args[2], "postern.yaml");
	assert_int_equal(h->servers[0].port, 9090);
	snprintf(expected, sizeof(expected), "%s/servers/o.py", folder);
	assert_string_equal(h->servers[1].program, expected);
	assert_int_equal(h->servers[1].port, 0);
	assert_string_equal(h->servers[1].args[1], "t0k");
	assert_string_equal(h->servers[1].env.list[0].value, "/home/someone/a");
	assert_string_equal(h->files[0].src, "/home/someone/key");
	assert_null(h->files[1].src);
	assert_true(h->files[1].optional && h->files[1].expand);
	assert_int_equal(h->runner_env.count, 2);
	assert_string_equal(h->runner_env.list[0].value, "new");
	assert_string_equal(h->sandbox_env.list[0].value, "");
	assert_int_equal(h->timeout_minutes, 5);
	assert_string_equal(h->post_script, "/abs/post.sh");
	assert_int_equal(h->n_command, 3);
	assert_string_equal(h->command[2], "echo hello");
	assert_null(h->command[3]);
	assert_string_equal(h->ignored, "agent, model");
	harness_free(h);
}

static void refuses_with_the_place(void **state)
{
	refused("policy: p\nmodell: sonnet\n", 2, 1, "model");
	refused("policy: https://example.org/p.yaml\n", 1, 9, "URL");
	refused("[a]\n", 1, 1, "mapping");
	refused("", 1, 1, "mapping");
	refused("timeout_minutes: 0\n", 1, 18, "1");
	refused("timeout_minutes: soon\n", 1, 18, "integer");
	refused("policy: \"${NOPE}/p\"\n", 1, 9, "NOPE");
	refused("policy: \"${NO PE}/p\"\n", 1, 9, "'${'");
	refused("command: []\n", 1, 10, "empty");
	refused("command: \"  \"\n", 1, 10, "empty");
	refused("env: {runer: {}}\n", 1, 7, "runner");
	refused("env: {runner: {A-B: x}}\n", 1, 16, "A-B");
	refused("env: {runner: [x]}\n", 1, 15, "mapping");
}

static void refuses_bad_servers(void **state)
{
	refused("api_servers: x\n", 1, 14, "list");
	refused("api_servers:\n  - {name: a, script: postern, prot: 1}\n", 2, 32, "port");
	refused("api_servers:\n  - {script: postern}\n", 2, 5, "name");
	refused("api_servers:\n  - {name: a}\n", 2, 5, "script");
	refused("api_servers:\n  - {name: A b, script: postern}\n", 2, 12, "lower-case");
	refused("api_servers:\n  - {name: a, script: postern, port: 65536}\n", 2, 38, "65535");
	refused("api_servers:\n  - {name: a, script: postern build}\n", 2, 23, "serve");
	refused("api_servers:\n  - {name: a, script: postern}\n  - {name: a, script: x}\n", 3, 12,
		"'a'");
	refused("api_servers:\n  - {name: a, script: postern, port: 7}\n  - {name: b, script: x, "
		"port: 7}\n",
		3, 32, "port 7");
	refused("api_servers:\n  - {name: a, script: ''}\n", 2, 23, "empty");
}

static void refuses_bad_files(void **state)
{
	refused("host_files: {a: b}\n", 1, 13, "list");
	refused("host_files:\n  - {src: a}\n", 2, 5, "dest");
	refused("host_files:\n  - {dest: a}\n", 2, 5, "src");
	refused("host_files:\n  - {src: a, dest: ../b}\n", 2, 20, "..");
	refused("host_files:\n  - {src: a, dest: b, optoinal: true}\n", 2, 23, "optional");
	refused("host_files:\n  - {src: a, dest: b, optional: maybe}\n", 2, 33, "true");
}

static void missing_file_is_said(void **state)
{
	struct harness *h = NULL;
	struct error e = { 0 };
	assert_int_equal(harness_load("/proc/none/h.yaml", environment, &h, &e), -ENOENT);
	assert_non_null(strstr(e.file, "h.yaml"));
}

static void expands_only_braces(void **state)
{
	char *out = NULL, missing[16];
	assert_int_equal(expand("a$HOME $(x) $$ ${HOME}${EMPTY}!", environment, 100, &out, missing,
				sizeof(missing)),
			 0);
	assert_string_equal(out, "a$HOME $(x) $$ /home/someone!");
	free(out);
	assert_int_equal(expand("${HOM}", environment, 100, &out, missing, sizeof(missing)),
			 -ENOENT);
	assert_string_equal(missing, "HOM");
	assert_int_equal(expand("${}", environment, 100, &out, missing, sizeof(missing)), -EINVAL);
	assert_int_equal(expand("${HOME", environment, 100, &out, missing, sizeof(missing)),
			 -EINVAL);
	assert_int_equal(expand("${HOME}", environment, 5, &out, missing, sizeof(missing)),
			 -ENOBUFS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(loads_everything),	cmocka_unit_test(refuses_with_the_place),
		cmocka_unit_test(refuses_bad_servers),	cmocka_unit_test(refuses_bad_files),
		cmocka_unit_test(missing_file_is_said), cmocka_unit_test(expands_only_braces),
	};
	if (!mkdtemp(folder))
		return 1;
	int r = cmocka_run_group_tests(tests, NULL, NULL);
	return remove_tree_at(AT_FDCWD, folder) < 0 ? 1 : r;
}
