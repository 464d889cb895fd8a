/* SPDX-License-Identifier: Apache-2.0 */
/* Unit test: what is taken as a credential, where each may go, and what becomes of a head; and that nothing is left of one that failed. */
#include "base/cleanup.h"
#include "base/limit.h"
#include "proxy/credential.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define HOST "api.example.test"
#define HERE "openshell:resolve:env:"

static struct credentials *store;
static const struct span none; /* no body */
static const struct credential_way way = { HOST, 80, false };

static int set_up(void **state)
{
	assert_int_equal(credentials_new(&store), 0);
	assert_int_equal(
		credentials_add(store, "A", SPAN("sEcret/a"), "API.example.test", 80, "/", 0), 0);
	assert_int_equal(credentials_add(store, "B", SPAN("sEcret b"), HOST, 80, "/v1/**", 0), 0);
	assert_int_equal(credentials_add(store, "B", SPAN("sEcret b"), HOST, 81, "", 0), 0);
	assert_int_equal(credentials_add(store, "v1_C", SPAN("odd"), HOST, 80, "/", 0), 0);
	return 0;
}

static int tear_down(void **state)
{
	credentials_free(store);
	return 0;
}

static int fill(const char *target, const char *fields, struct span *ret)
{
	static char head[4096];
	snprintf(head, sizeof(head), "GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n", target, fields);
	return credentials_fill(store, &way, span_of(head), none, ret);
}

static void becomes(const char *target, const char *fields, const char *new_target,
		    const char *new_fields)
{
	char want[4096];
	struct span got;
	snprintf(want, sizeof(want), "GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n", new_target,
		 new_fields);
	assert_int_equal(fill(target, fields, &got), 0);
	assert_int_equal(got.len, strlen(want));
	assert_memory_equal(got.data, want, got.len);
	credentials_wipe(store);
	for (size_t i = 0; i < strlen(want); i++)
		assert_int_equal(got.data[i], 0);
}

static void test_fields(void **state)
{
	becomes("/", "X: 1\r\n", "/", "X: 1\r\n");
	becomes("/", "X: " HERE "A\r\n", "/", "X: sEcret/a\r\n");
	becomes("/", "X: <" HERE "A><" HERE "v77_A>\r\n", "/", "X: <sEcret/a><sEcret/a>\r\n");
	becomes("/", "X: " HERE "v1_C\r\n", "/", "X: odd\r\n"); /* its whole name comes first */
	becomes("/", "X: openshell:resolve:en\r\n", "/", "X: openshell:resolve:en\r\n");
	becomes("/v1/x", "X: " HERE "B\r\n", "/v1/x", "X: sEcret b\r\n");
	becomes("/v1", "X: " HERE "B\r\n", "/v1", "X: sEcret b\r\n");
}

static void test_basic(void **state)
{
	/* user:openshell:resolve:env:A and user:sEcret/a */
	becomes("/", "Authorization: Basic dXNlcjpvcGVuc2hlbGw6cmVzb2x2ZTplbnY6QQ==\r\n", "/",
		"Authorization: Basic dXNlcjpzRWNyZXQvYQ==\r\n");
	becomes("/", "Authorization: bAsic   dXNlcjpw\r\n", "/",
		"Authorization: bAsic   dXNlcjpw\r\n");
	becomes("/", "Authorization: Basic %%%\r\n", "/", "Authorization: Basic %%%\r\n");
	/* Elsewhere base64 is but text. */
	becomes("/", "X: Basic dXNlcjpvcGVuc2hlbGw6cmVzb2x2ZTplbnY6QQ==\r\n", "/",
		"X: Basic dXNlcjpvcGVuc2hlbGw6cmVzb2x2ZTplbnY6QQ==\r\n");
}

static void test_target(void **state)
{
	struct span got = { 0 };
	becomes("/?a=%41&b=%zz", "X: " HERE "A\r\n", "/?a=%41&b=%zz", "X: sEcret/a\r\n");
	becomes("/?a=1&k=" HERE "A&b", "", "/?a=1&k=sEcret%2Fa&b", "");
	becomes("/?k=openshell%3Aresolve:env%3a%41+" HERE "A", "", "/?k=sEcret%2Fa+sEcret%2Fa", "");
	becomes("/v1/bot" HERE "B/x?", "", "/v1/botsEcret%20b/x?", "");
	/* Names are for the policy to read. */
	assert_int_equal(fill("/?" HERE "A=1", "", &got), -ENOTSUP);
	assert_int_equal(fill("/?" HERE "A", "", &got), -ENOTSUP);
	assert_int_equal(fill("/?a=" HERE "B", "", &got), -EACCES);
	assert_int_equal(fill("/?a=" HERE "NONE", "", &got), -ENOKEY);
	/* The path stays the one that was decided on. */
	assert_int_equal(fill("/" HERE "A", "", &got), -ENOTSUP);
	assert_int_equal(credentials_add(store, "UP", SPAN(".."), HOST, 80, "/", 0), 0);
	assert_int_equal(fill("/v1/" HERE "UP", "", &got), -ENOTSUP);
	assert_int_equal(fill("/", "X: openshell%3Aresolve:env:A\r\n", &got), -ENOTSUP);
	assert_int_equal(fill("/", "X: " HERE "A openshell%3Aresolve:env:A\r\n", &got), -ENOTSUP);
	assert_null(got.data);
}

/* The body as it becomes, or why it does not. */
static void body_becomes(const char *type, const char *body, int expected, const char *becomes)
{
	char head[300], want[400];
	struct span got = { 0 };
	snprintf(head, sizeof(head), "POST / HTTP/1.1\r\n%sContent-Length: %zu\r\nX: 1\r\n\r\n",
		 type, strlen(body));
	assert_int_equal(credentials_fill(store, &way, span_of(head), span_of(body), &got),
			 expected);
	if (expected < 0)
		return;
	snprintf(want, sizeof(want), "POST / HTTP/1.1\r\n%sContent-Length: %zu\r\nX: 1\r\n\r\n%s",
		 type, strlen(becomes), becomes);
	assert_memory_equal(got.data, want, got.len);
	assert_int_equal(got.len, strlen(want));
}

#define TYPE(type) "Content-Type: " type "\r\n"
#define JSON	   TYPE("application/json; charset=utf-8")
#define FORM	   TYPE("Application/X-WWW-Form-Urlencoded")

static void test_body(void **state)
{
	assert_int_equal(credentials_add(store, "Q", SPAN("a\"\\\tb&c=d"), HOST, 80, "/", 0), 0);
	body_becomes(JSON, "{\"k\":\"" HERE "A\"}", 0, "{\"k\":\"sEcret/a\"}");
	body_becomes(JSON, "\"openshell\\u003Aresolve:env:\\u0041!" HERE "Q\"", 0,
		     "\"sEcret/a!a\\\"\\\\\\tb&c=d\"");
	body_becomes(FORM, "a=openshell%3Aresolve%3Aenv%3AQ&b=" HERE "A", 0,
		     "a=a%22%5C%09b%26c%3Dd&b=sEcret%2Fa");
	body_becomes(FORM, HERE "A=1", -ENOTSUP, NULL);
	body_becomes(TYPE("text/plain"), HERE "Q, %41" HERE "A%", 0, "a\"\\\tb&c=d, %41sEcret/a%");
	body_becomes(JSON, "{}", 0, "{}");
	body_becomes(JSON, "{\"k\":\"" HERE "B\"}", -EACCES, NULL);
	body_becomes(JSON, "{\"k\":\"" HERE "NONE\"}", -ENOKEY, NULL);
	body_becomes(TYPE("application/octet-stream"), "x" HERE "A", -ENOTSUP, NULL);
	body_becomes(JSON "Content-Encoding: gzip\r\n", "openshell\\u003aresolve:env:A", -ENOTSUP,
		     NULL);
	body_becomes("", "openshell%3aresolve:env:A", -ENOTSUP, NULL);
	body_becomes("", "openshell:resolve", 0, "openshell:resolve");
	assert_int_equal(credentials_add(store, "T", SPAN("token"), HOST, 80, "/",
					 CREDENTIAL_AUTHORIZATION_ONLY),
			 0);
	body_becomes(JSON, "{\"k\":\"" HERE "T\"}", -ENOTSUP, NULL);
}

static void test_body_limits(void **state)
{
	static char body[LIMIT_CREDENTIAL_BODY_BYTES], value[LIMIT_CREDENTIAL_BYTES];
	char head[200];
	struct span got = { 0 };
	memset(value, 'v', sizeof(value));
	assert_int_equal(credentials_add(store, "BIG", (struct span){ value, sizeof(value) }, HOST,
					 80, "/", 0),
			 0);
	memset(body, ' ', sizeof(body));
	size_t most = LIMIT_FILLED_BODY_BYTES / sizeof(value), one = strlen(HERE "BIG");
	for (size_t i = 0; i <= most; i++)
		memcpy(body + i * (one + 1), HERE "BIG", one);
	snprintf(head, sizeof(head), "POST / HTTP/1.1\r\n" JSON "Content-Length: %zu\r\n\r\n",
		 sizeof(body));
	struct span all = { body, sizeof(body) }, few = { body, most * (one + 1) - 1 };
	assert_int_equal(credentials_fill(store, &way, span_of(head), all, &got), -ENOBUFS);
	/* One less, and the blanks between them, are too many by those. */
	assert_int_equal(credentials_fill(store, &way, span_of(head), few, &got), -ENOBUFS);
	few.len -= one + 1;
	assert_int_equal(credentials_fill(store, &way, span_of(head), few, &got), 0);
	assert_true(got.len > (most - 1) * sizeof(value));
}

static void test_authorization_only(void **state)
{
	struct span got = { 0 };
	assert_int_equal(credentials_add(store, "T", SPAN("token"), HOST, 80, "/",
					 CREDENTIAL_AUTHORIZATION_ONLY),
			 0);
	becomes("/", "authorization: Bearer " HERE "T\r\n", "/", "authorization: Bearer token\r\n");
	/* openshell:resolve:env:T:x and token:x */
	becomes("/", "Authorization: Basic b3BlbnNoZWxsOnJlc29sdmU6ZW52OlQ6eA==\r\n", "/",
		"Authorization: Basic dG9rZW46eA==\r\n");
	assert_int_equal(fill("/", "Idempotency-Key: " HERE "T\r\n", &got), -ENOTSUP);
	assert_int_equal(fill("/", "Authorization: " HERE "T\r\nX: " HERE "T\r\n", &got), -ENOTSUP);
	assert_null(got.data);
	/* Elsewhere it may be bound to more. */
	assert_int_equal(credentials_add(store, "T", SPAN("token"), HOST, 80, "/any", 0), 0);
	becomes("/any", "X: " HERE "T\r\n", "/any", "X: token\r\n");
	assert_int_equal(fill("/", "X: " HERE "T\r\n", &got), -ENOTSUP);
}

/* A client decides whether it speaks TLS; what is bound to TLS does not go without, nor to port 443. */
static void test_in_the_clear(void **state)
{
	static const struct credential_way ways[] = {
		{ HOST, 8443, false }, { HOST, 443, false }, { HOST, 80, true },
		{ HOST, 8443, true },  { HOST, 443, true },
	};
	const struct span one = SPAN("GET / HTTP/1.1\r\nX: " HERE "S\r\n\r\n");
	struct span got = { 0 };
	assert_int_equal(
		credentials_add(store, "S", SPAN("s"), HOST, 8443, "/", CREDENTIAL_TLS_ONLY), 0);
	assert_int_equal(credentials_add(store, "S", SPAN("s"), HOST, 443, "/", 0), 0);
	for (size_t i = 0; i < ELEMENTS(ways); i++)
		assert_int_equal(credentials_fill(store, &ways[i], one, none, &got),
				 i < 3 ? -EACCES : 0);
	assert_int_equal(credentials_add(store, "S", SPAN("s"), HOST, 8443, "/", 0), 0);
	assert_int_equal(credentials_fill(store, &ways[0], one, none, &got), 0);
}

static void test_refused(void **state)
{
	struct span got = { 0 };
	assert_int_equal(fill("/", "X: " HERE "B\r\n", &got), -EACCES);
	assert_int_equal(fill("/v1x", "X: " HERE "B\r\n", &got), -EACCES);
	assert_int_equal(fill("/", "X: " HERE "A" HERE "B\r\n", &got),
			 -ENOKEY); /* a name "Aopenshell" */
	assert_int_equal(fill("/", "X: " HERE "NONE\r\n", &got), -ENOKEY);
	assert_int_equal(fill("/", "X: " HERE "\r\n", &got), -ENOKEY);
	assert_int_equal(fill("/", "X : 1\r\n", &got), -EBADMSG);
	assert_int_equal(credentials_fill(store, &way, SPAN("GET / HTTP/1.1\r\n"), none, &got),
			 -EBADMSG);
	assert_int_equal(
		credentials_fill(store, &way, SPAN("GET / HTTP/1.1\r\n\r\nmore"), none, &got),
		-EBADMSG);
	const struct span one = SPAN("GET / HTTP/1.1\r\nX: " HERE "A\r\n\r\n");
	assert_int_equal(credentials_fill(store, &(struct credential_way){ HOST, 81, false }, one,
					  none, &got),
			 -EACCES);
	assert_int_equal(credentials_fill(store,
					  &(struct credential_way){ "other.test", 80, false }, one,
					  none, &got),
			 -EACCES);
	assert_null(got.data);
}

static void test_what_is_none(void **state)
{
	static char long_value[LIMIT_CREDENTIAL_BYTES + 1];
	memset(long_value, 'x', sizeof(long_value));
	const struct span too_long = { long_value, sizeof(long_value) };
	assert_int_equal(credentials_add(store, "", SPAN("x"), HOST, 80, "/", 0), -EINVAL);
	assert_int_equal(credentials_add(store, "A-B", SPAN("x"), HOST, 80, "/", 0), -EINVAL);
	assert_int_equal(credentials_add(store, "D", SPAN(""), HOST, 80, "/", 0), -EINVAL);
	assert_int_equal(credentials_add(store, "D", SPAN("a\nb"), HOST, 80, "/", 0), -EINVAL);
	assert_int_equal(credentials_add(store, "D", SPAN("a\x7f"), HOST, 80, "/", 0), -EINVAL);
	assert_int_equal(credentials_add(store, "D", too_long, HOST, 80, "/", 0), -EINVAL);
	assert_int_equal(credentials_add(store, "D", SPAN("x"), "", 80, "/", 0), -EINVAL);
	assert_int_equal(credentials_add(store, "D", SPAN("x"), HOST, 0, "/", 0), -EINVAL);
	assert_int_equal(credentials_add(store, "A", SPAN("another"), HOST, 80, "/", 0), -EEXIST);
}

static void test_limits(void **state)
{
	char name[16];
	int r = 0;
	unsigned n = 0;
	for (; r == 0; n += r == 0) {
		snprintf(name, sizeof(name), "N%u", n);
		r = credentials_add(store, name, SPAN("x"), HOST, 80, "/", 0);
	}
	assert_int_equal(r, -ENOSPC);
	assert_int_equal(n, LIMIT_CREDENTIALS - 3);
	/* What fits before does not after. */
	static char head[LIMIT_PROXY_HEAD_BYTES];
	static char value[LIMIT_CREDENTIAL_BYTES];
	struct credentials *other;
	struct span got;
	memset(value, 'v', sizeof(value));
	assert_int_equal(credentials_new(&other), 0);
	assert_int_equal(credentials_add(other, "L", (struct span){ value, sizeof(value) }, HOST,
					 80, "/", 0),
			 0);
	snprintf(head, sizeof(head), "GET / HTTP/1.1\r\nX: %s%s%s%s\r\n\r\n", HERE "L ", HERE "L ",
		 HERE "L ", HERE "L");
	assert_int_equal(credentials_fill(other, &way, span_of(head), none, &got), -ENOBUFS);
	/* All values together. */
	for (n = 1; n < LIMIT_CREDENTIAL_ARENA_BYTES / LIMIT_CREDENTIAL_BYTES; n++) {
		snprintf(name, sizeof(name), "L%u", n);
		assert_int_equal(credentials_add(other, name, (struct span){ value, sizeof(value) },
						 HOST, 80, "/", 0),
				 0);
	}
	assert_int_equal(credentials_add(other, "M", SPAN("x"), HOST, 80, "/", 0), -ENOSPC);
	credentials_free(other);
}

static int add_long(struct credentials *c, size_t name, size_t host, size_t path)
{
	char text[3][2048];
	const size_t lengths[] = { name, host, path };
	for (int i = 0; i < 3; i++) {
		memset(text[i], 'a', lengths[i]);
		text[i][lengths[i]] = '\0';
	}
	*text[2] = '/';
	return credentials_add(c, text[0], SPAN("x"), text[1], 80, text[2], 0);
}

static void test_limits_of_bindings(void **state)
{
	struct credentials *c;
	const size_t name = LIMIT_CREDENTIAL_NAME_BYTES, host = LIMIT_CREDENTIAL_HOST_BYTES,
		     path = LIMIT_CREDENTIAL_PATH_BYTES;
	assert_int_equal(credentials_new(&c), 0);
	assert_int_equal(add_long(c, name + 1, host, path), -EINVAL);
	assert_int_equal(add_long(c, name, host + 1, path), -EINVAL);
	assert_int_equal(add_long(c, name, host, path + 1), -EINVAL);
	for (unsigned n = 0; n < LIMIT_BINDINGS; n++)
		assert_int_equal(add_long(c, name, host, path), 0);
	assert_int_equal(add_long(c, name, host, path), -ENOSPC);
	credentials_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_fields, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_basic, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_target, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_body, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_body_limits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_authorization_only, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_in_the_clear, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_is_none, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_limits, set_up, tear_down),
		cmocka_unit_test(test_limits_of_bindings),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
