/* SPDX-License-Identifier: Apache-2.0 */
/* Tests the YAML tree: places, what is refused and where, typed reads, suggestions. */
#include "base/yaml.h"

#include "base/buf.h"
#include "base/cleanup.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct yaml_document *must_parse(const char *text)
{
	struct yaml_document *d = NULL;
	struct error e = { 0 };
	char line[600];
	if (yaml_parse(text, strlen(text), "t.yaml", &d, &e) < 0)
		fail_msg("%s", error_format(&e, line, sizeof(line)));
	return d;
}

static void refused(const char *text, unsigned line, unsigned column, const char *part)
{
	struct yaml_document *d = NULL;
	struct error e = { 0 };
	assert_int_equal(yaml_parse(text, strlen(text), "t.yaml", &d, &e), -EINVAL);
	assert_null(d);
	assert_string_equal(e.file, "t.yaml");
	if (!strstr(e.message, part) || e.line != line || e.column != column)
		fail_msg("%u:%u: %s", e.line, e.column, e.message);
}

static void test_places(void **state)
{
	struct yaml_document *d = must_parse("a: 1\nb:\n  - x\n  - \"2\"\n  - {c: ~}\nz:\n");
	const struct yaml_node *root = yaml_root(d);
	assert_int_equal(root->kind, YAML_KIND_MAPPING);
	assert_int_equal(root->count, 3);
	assert_string_equal(yaml_file(d), "t.yaml");
	const struct yaml_node *a = yaml_get(root, "a"), *b = yaml_get(root, "b");
	assert_string_equal(a->text, "1");
	assert_false(a->quoted);
	assert_int_equal(a->line, 1);
	assert_int_equal(a->column, 4);
	assert_int_equal(a->key_column, 1);
	assert_int_equal(b->kind, YAML_KIND_SEQUENCE);
	assert_int_equal(b->count, 3);
	assert_int_equal(b->child->line, 3);
	assert_int_equal(b->child->column, 5);
	assert_true(b->child->next->quoted);
	const struct yaml_node *c = yaml_get(b->child->next->next, "c");
	assert_int_equal(c->kind, YAML_KIND_NULL);
	assert_int_equal(c->key_column, 6);
	assert_int_equal(yaml_get(root, "z")->kind, YAML_KIND_NULL);
	assert_null(yaml_get(root, "e"));
	assert_null(yaml_get(a, "a"));
	yaml_document_free(d);
}

static void test_empty_is_null(void **state)
{
	static const char *const empty[] = { "", "# only a comment\n", "---\n", "~" };
	for (size_t i = 0; i < ELEMENTS(empty); i++) {
		struct yaml_document *d = must_parse(empty[i]);
		assert_int_equal(yaml_root(d)->kind, YAML_KIND_NULL);
		yaml_document_free(d);
	}
}

static void test_core_tags(void **state)
{
	struct yaml_document *d = must_parse("a: !!str 1\nb: !!map {x: !!seq []}\n");
	assert_true(yaml_get(yaml_root(d), "a")->quoted);
	assert_int_equal(yaml_get(yaml_root(d), "b")->count, 1);
	yaml_document_free(d);
}

static void test_refused(void **state)
{
	refused("a: &x 1\nb: *x\n", 1, 4, "anchors");
	refused("a: 1\nb: *x\n", 2, 4, "aliases");
	refused("a: &x [1]\n", 1, 4, "anchors");
	refused("a: !foo 1\n", 1, 4, "tag");
	refused("a: !!str [1]\n", 1, 4, "tag");
	refused("a: !!binary aGk=\n", 1, 4, "tag");
	refused("a: 1\n---\nb: 2\n", 2, 1, "second document");
	refused("a: 1\nb: 2\na: 3\n", 3, 1, "twice (first on line 1)");
	refused("x: {a: 1, 'a': 2}\n", 1, 11, "twice");
	refused("? [a]\n: b\n", 1, 3, "key must be");
	refused("~: b\n", 1, 1, "key is missing");
	refused("a: \"x\\0y\"\n", 1, 4, "NUL");
	refused("a: b: c\n", 1, 5, "not YAML");
	refused("a:\n\t- b\n", 2, 1, "not YAML");
	refused("a: [1\n", 2, 1, "not YAML");
	refused("ok: 1\nb: \x9f\n", 2, 4, "not UTF-8");
	refused("%\x9f", 1, 2, "not UTF-8");
	refused("a: \x01\n", 1, 4, "not UTF-8");
}

static void test_limits(void **state)
{
	struct yaml_document *d = NULL;
	struct error e = { 0 };
	_cleanup_buf_ struct buf b = BUF_INIT(4u << 20);

	for (int i = 0; i < YAML_DEPTH_MAX; i++)
		buf_append_str(&b, "[");
	for (int i = 0; i < YAML_DEPTH_MAX; i++)
		buf_append_str(&b, "]");
	assert_int_equal(yaml_parse(b.data, b.len, "t", &d, &e), 0);
	yaml_document_free(d);
	buf_clear(&b);
	for (int i = 0; i <= YAML_DEPTH_MAX; i++)
		buf_append_str(&b, "- ");
	assert_int_equal(yaml_parse(b.data, b.len, "t", &d, &e), -EINVAL);
	assert_non_null(strstr(e.message, "deeply"));

	buf_clear(&b);
	for (unsigned i = 0; i < YAML_NODES_MAX - 1; i++)
		buf_append_str(&b, "- 1\n");
	assert_int_equal(yaml_parse(b.data, b.len, "t", &d, &e), 0);
	assert_int_equal(yaml_root(d)->count, YAML_NODES_MAX - 1);
	yaml_document_free(d);
	buf_append_str(&b, "- 1\n");
	assert_int_equal(yaml_parse(b.data, b.len, "t", &d, &e), -EINVAL);
	assert_int_equal(e.line, YAML_NODES_MAX);

	buf_clear(&b);
	buf_append_str(&b, "#");
	while (b.len < YAML_FILE_MAX)
		buf_append_str(&b, "x");
	assert_int_equal(yaml_parse(b.data, b.len, "t", &d, &e), 0);
	yaml_document_free(d);
	buf_append_str(&b, "x");
	assert_int_equal(yaml_parse(b.data, b.len, "t", &d, &e), -EFBIG);
	assert_string_equal(e.file, "t");
}

static void integer_refused(const char *text)
{
	struct yaml_document *d = must_parse(text);
	struct error e = { 0 };
	int64_t v = 77;
	assert_int_equal(yaml_read_integer(yaml_root(d), 1, 65535, &v, &e), -EINVAL);
	assert_int_equal(v, 77);
	assert_non_null(strstr(e.message, "expected an integer from 1 to 65535"));
	assert_int_equal(e.line, 1);
	yaml_document_free(d);
}

static void test_integers(void **state)
{
	static const char *const bad[] = { "0",
					   "65536",
					   "-1",
					   "\"80\"",
					   "0x50",
					   "080",
					   "1_000",
					   "",
					   "[1]",
					   "1.0",
					   "9223372036854775808",
					   "-",
					   "{}",
					   "80 81" };
	for (size_t i = 0; i < ELEMENTS(bad); i++)
		integer_refused(bad[i]);
	struct yaml_document *d = must_parse("[0, 65535, -9223372036854775808]");
	const struct yaml_node *n = yaml_root(d)->child;
	int64_t v = 1;
	assert_int_equal(yaml_read_integer(n, 0, 1, &v, NULL), 0);
	assert_int_equal(v, 0);
	assert_int_equal(yaml_read_integer(n->next, 1, 65535, &v, NULL), 0);
	assert_int_equal(v, 65535);
	assert_int_equal(yaml_read_integer(n->next->next, INT64_MIN, 0, &v, NULL), 0);
	assert_true(v == INT64_MIN);
	yaml_document_free(d);
}

static void test_strings_and_bools(void **state)
{
	struct yaml_document *d = must_parse("[true, FALSE, yes, \"true\", ~, 8080]");
	const struct yaml_node *n = yaml_root(d)->child;
	struct error e = { 0 };
	bool on = false;
	const char *text = NULL;
	assert_int_equal(yaml_read_bool(n, &on, &e), 0);
	assert_true(on);
	n = n->next;
	assert_int_equal(yaml_read_bool(n, &on, &e), 0);
	assert_false(on);
	n = n->next;
	assert_int_equal(yaml_read_bool(n, &on, &e), -EINVAL);
	assert_non_null(strstr(e.message, "found yes"));
	n = n->next;
	assert_int_equal(yaml_read_bool(n, &on, &e), -EINVAL);
	assert_int_equal(yaml_read_string(n, &text, &e), 0);
	assert_string_equal(text, "true");
	n = n->next;
	assert_int_equal(yaml_read_string(n, &text, &e), -EINVAL);
	assert_int_equal(yaml_read_bool(n, &on, &e), -EINVAL);
	n = n->next;
	assert_int_equal(yaml_read_string(n, &text, &e), 0);
	assert_string_equal(text, "8080");
	yaml_document_free(d);
}

static void test_keys(void **state)
{
	static const char *const known[] = { "read_only", "read_write", "include_workdir", NULL };
	struct yaml_document *d = must_parse("{read_only: 1, read_writ: 2}");
	struct error e = { 0 };
	assert_int_equal(yaml_check_keys(yaml_root(d), known, &e), -EINVAL);
	assert_non_null(strstr(e.message, "did you mean \"read_write\"?"));
	assert_int_equal(e.column, 16);
	yaml_document_free(d);
	d = must_parse("colour: red");
	assert_int_equal(yaml_check_keys(yaml_root(d), known, &e), -EINVAL);
	assert_non_null(strstr(e.message, "known here: read_only, read_write, include_workdir"));
	yaml_document_free(d);
	d = must_parse("[x]");
	assert_int_equal(yaml_check_keys(yaml_root(d), known, &e), -EINVAL);
	assert_non_null(strstr(e.message, "expected a mapping, found a list"));
	yaml_document_free(d);
}

static void test_nearest(void **state)
{
	static const char *const known[] = { "get", "path", "protocol", "port", "ports", NULL };
	assert_string_equal(nearest_word("prot", known), "port");
	assert_string_equal(nearest_word("portz", known), "port");
	assert_string_equal(nearest_word("protocolx", known), "protocol");
	assert_null(nearest_word("x", known));
	assert_null(nearest_word("enforcement", known));
	assert_string_equal(nearest_word("prot", (const char *const[]){ "protocol", NULL }),
			    "protocol");
	assert_string_equal(nearest_word("protocol_name", known), "protocol");
	assert_null(nearest_word("", known));
	char lengthy[200];
	memset(lengthy, 'p', sizeof(lengthy) - 1);
	lengthy[sizeof(lengthy) - 1] = '\0';
	assert_null(nearest_word(lengthy, known));
}

static void test_file(void **state)
{
	struct yaml_document *d = NULL;
	struct error e = { 0 };
	assert_int_equal(yaml_parse_file("/nonexistent/p.yaml", &d, &e), -ENOENT);
	assert_string_equal(e.file, "/nonexistent/p.yaml");
	assert_non_null(strstr(e.message, "No such file"));
	assert_null(d);
	yaml_document_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_empty_is_null),
		cmocka_unit_test(test_core_tags),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_integers),
		cmocka_unit_test(test_strings_and_bools),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_nearest),
		cmocka_unit_test(test_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
