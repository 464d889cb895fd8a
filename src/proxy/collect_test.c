/* SPDX-License-Identifier: Apache-2.0 */
/* Tests that a body is collected whole, within its limits, and that head and next request stay what they were. */
#include "proxy/collect.h"

#include "base/cleanup.h"
#include "base/limit.h"

#include <event2/buffer.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define LENGTH	"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n"
#define CHUNKED "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"

static struct evbuffer *in;

/* With the head and nothing else in front. */
static struct collected *begin(const char *head, uint32_t most)
{
	static struct http_head h;
	struct http_scan scan = { 0 };
	in = evbuffer_new();
	evbuffer_add(in, head, strlen(head));
	assert_int_equal(http_request_parse(&scan, head, strlen(head), NULL, &h), 0);
	struct collected *c = collect_begin(in, h.length, &h, most);
	assert_non_null(c);
	assert_int_equal(evbuffer_get_length(in), 0);
	return c;
}

static enum collect_state add(struct collected *c, const char *bytes)
{
	evbuffer_add(in, bytes, strlen(bytes));
	return collect_more(c, in);
}

static void end(struct collected *c)
{
	collect_free(c);
	evbuffer_free(in);
}

static void is_whole(struct collected *c, const char *body, const char *front)
{
	struct evbuffer *out = evbuffer_new();
	assert_true(span_is(collect_body(c), body));
	assert_int_equal(evbuffer_get_length(in), strlen(front));
	assert_memory_equal(evbuffer_pullup(in, -1), front, strlen(front));
	collect_send(c, out, SIZE_MAX);
	assert_int_equal(evbuffer_get_length(out), strlen(body));
	assert_true(strlen(body) == 0 || !memcmp(evbuffer_pullup(out, -1), body, strlen(body)));
	evbuffer_free(out);
	end(c);
}

static void test_length(void **state)
{
	struct collected *c = begin(LENGTH, 5);
	assert_int_equal(collect_more(c, in), COLLECT_MORE);
	assert_int_equal(add(c, "ab"), COLLECT_MORE);
	assert_int_equal(add(c, "cdeGET /"), COLLECT_WHOLE);
	is_whole(c, "abcde", LENGTH "GET /");
	c = begin("POST / HTTP/1.1\r\nHost: h\r\n\r\n", 5);
	assert_int_equal(collect_more(c, in), COLLECT_WHOLE);
	is_whole(c, "", "POST / HTTP/1.1\r\nHost: h\r\n\r\n");
}

static void test_chunked(void **state)
{
	struct collected *c = begin(CHUNKED, 5);
	assert_int_equal(add(c, "2\r\nab\r\n3;x=y\r\ncd"), COLLECT_MORE);
	assert_int_equal(add(c, "e\r\n0\r\nA: b\r\n"), COLLECT_MORE);
	assert_int_equal(add(c, "\r\nGET /"), COLLECT_WHOLE);
	is_whole(c, "abcde", CHUNKED "GET /");
	c = begin(CHUNKED, 5);
	assert_int_equal(add(c, "2\r\nabc"), COLLECT_MALFORMED);
	assert_int_not_equal(collect_refusal(c), HTTP_REFUSED_NOTHING);
	end(c);
}

static void test_too_long(void **state)
{
	struct collected *c = begin(LENGTH, 4);
	assert_int_equal(add(c, "abcde"), COLLECT_LONG);
	assert_int_equal(collect_most(c), 4);
	end(c);
	c = begin(CHUNKED, 4);
	assert_int_equal(add(c, "4\r\nabcd\r\n"), COLLECT_MORE);
	assert_int_equal(add(c, "1\r\ne"), COLLECT_LONG);
	end(c);
}

/* All together; what one gives up another may have. */
static void test_too_much(void **state)
{
	enum { N = LIMIT_RPC_BODIES_BYTES / LIMIT_RPC_BODY_BYTES };
	static char bytes[LIMIT_RPC_BODY_BYTES];
	static char head[] = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4194304\r\n\r\n";
	struct collected *all[N];
	struct evbuffer *ins[N], *out = evbuffer_new();
	for (int i = 0; i < N; i++) {
		all[i] = begin(head, LIMIT_RPC_BODY_BYTES);
		ins[i] = in;
		evbuffer_add(in, bytes, sizeof(bytes));
		assert_int_equal(collect_more(all[i], in), COLLECT_WHOLE);
	}
	collect_send(all[0], out, 4); /* in part: the rest is still held */
	for (int freed = 0; freed < 3; freed++) {
		struct collected *c = begin(LENGTH, 5);
		assert_int_equal(add(c, "abcde"), freed ? COLLECT_WHOLE : COLLECT_FULL);
		end(c);
		if (freed == 0) {
			collect_send(all[0], out, SIZE_MAX);
		} else if (freed == 1) {
			collect_free(all[0]);
			collect_free(all[1]);
		}
	}
	for (int i = 0; i < N; i++) {
		if (i > 1)
			collect_free(all[i]);
		evbuffer_free(ins[i]);
	}
	evbuffer_free(out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_length),
		cmocka_unit_test(test_chunked),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_too_much),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
