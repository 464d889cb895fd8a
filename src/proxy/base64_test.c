/* SPDX-License-Identifier: Apache-2.0 */
/* Unit test: the vectors of RFC 4648 10, every length there and back, and what is refused. */
#include "base/cleanup.h"
#include "proxy/base64.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static void test_vectors(void **state)
{
	static const char *const rows[][2] = { { "", "" },
					       { "f", "Zg==" },
					       { "fo", "Zm8=" },
					       { "foo", "Zm9v" },
					       { "foob", "Zm9vYg==" },
					       { "fooba", "Zm9vYmE=" },
					       { "foobar", "Zm9vYmFy" } };
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		char out[16];
		size_t n;
		assert_int_equal(
			base64_encode(rows[i][0], strlen(rows[i][0]), out, sizeof(out), &n), 0);
		assert_int_equal(n, strlen(rows[i][1]));
		assert_memory_equal(out, rows[i][1], n);
		assert_int_equal(
			base64_decode(rows[i][1], strlen(rows[i][1]), out, sizeof(out), &n), 0);
		assert_int_equal(n, strlen(rows[i][0]));
		assert_memory_equal(out, rows[i][0], n);
	}
}

static void test_every_byte_and_length(void **state)
{
	char bytes[256], text[400], back[256];
	size_t n, m;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i * 7);
	for (size_t len = 0; len <= sizeof(bytes); len++) {
		assert_int_equal(base64_encode(bytes, len, text, sizeof(text), &n), 0);
		assert_int_equal(base64_decode(text, n, back, sizeof(back), &m), 0);
		assert_int_equal(m, len);
		assert_memory_equal(back, bytes, len);
		/* One byte too little is said, and nothing is written behind the end. */
		if (len) {
			assert_int_equal(base64_encode(bytes, len, text, n - 1, &m), -ENOBUFS);
			assert_int_equal(base64_decode(text, n, back, len - 1, &m), -ENOBUFS);
		}
	}
}

static void test_refused(void **state)
{
	static const char *const texts[] = { "Z",    "Zg",   "Zg=",  "Zg===",	 "Z===",
					     "====", "Zh==", "Zm9=", "Zg==Zg==", "Zm9v\n",
					     "Zm 9", "Zm-_", "=m9v", "Zm=v" };
	char out[16];
	size_t n = 99;
	for (size_t i = 0; i < ELEMENTS(texts); i++)
		assert_int_equal(base64_decode(texts[i], strlen(texts[i]), out, sizeof(out), &n),
				 -EILSEQ);
	assert_int_equal(base64_decode("Zm\0v", 4, out, sizeof(out), &n), -EILSEQ);
	assert_int_equal(n, 99);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_every_byte_and_length),
		cmocka_unit_test(test_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
