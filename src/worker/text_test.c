/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of making hostile output plain. */
#include "base/cleanup.h"
#include "worker/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define BAD "\xef\xbf\xbd"

static const struct {
	const char *in, *out;
} cases[] = {
	{ "plain\ttext\n", "plain\ttext\n" },
	{ "no end", "no end\n" },
	{ "", "" },
	{ "\033[31mred\033[0m\n", BAD "[31mred" BAD "[0m\n" },
	{ "bell\a back\b nul-free\x7f\n", "bell" BAD " back" BAD " nul-free" BAD "\n" },
	{ "dos\r\nend\r\n", "dos\nend\n" },
	{ "10%\r20%\r100%\n", "10%\n20%\n100%\n" },
	{ "\r\r\na\n", "\na\n" },
	{ "caf\xc3\xa9 \xe6\x97\xa5 \xf0\x9f\x98\x80\n",
	  "caf\xc3\xa9 \xe6\x97\xa5 \xf0\x9f\x98\x80\n" },
	{ "c1 \xc2\x9b"
	  "31m\n",
	  "c1 " BAD "31m\n" },
	{ "bidi \xe2\x80\xae x \xe2\x81\xa6\n", "bidi " BAD " x " BAD "\n" },
	{ "line \xe2\x80\xa8 sep\n", "line " BAD " sep\n" },
	{ "latin \xe9t\xe9\n", "latin " BAD "t" BAD "\n" },
	{ "overlong \xc0\xaf \xe0\x80\xaf\n", "overlong " BAD BAD " " BAD "\n" },
	{ "surrogate \xed\xa0\x80\n", "surrogate " BAD "\n" },
	{ "cut \xe6\x97", "cut " BAD "\n" },
	{ "tag \xf3\xa0\x81\x81\n", "tag " BAD "\n" },
};

static void check(const char *in, const char *out, size_t piece)
{
	char got[256];
	size_t n = strlen(in), o = 0;
	struct text_filter f = { 0 };
	for (size_t at = 0; at < n; at += piece)
		o += text_filter_feed(&f, in + at, n - at < piece ? n - at : piece, got + o);
	o += text_filter_end(&f, got + o);
	got[o] = '\0';
	assert_string_equal(got, out);
}

/* However the stream is cut. */
static void streams_become_plain(void **state)
{
	for (size_t i = 0; i < ELEMENTS(cases); i++)
		for (size_t piece = 1; piece < 8; piece++)
			check(cases[i].in, cases[i].out, piece);
}

/* No byte can be anything but itself or a replacement, and none is made from nothing. */
static void every_pair_of_bytes_is_bounded(void **state)
{
	for (unsigned a = 0; a < 256; a++)
		for (unsigned b = 0; b < 256; b++) {
			const unsigned char in[2] = { (unsigned char)a, (unsigned char)b };
			char out[3 * 2 + 12 + 8];
			struct text_filter f = { 0 };
			size_t n = text_filter_feed(&f, in, 2, out);
			n += text_filter_end(&f, out + n);
			assert_true(n <= 3 * 2 + 1);
			for (size_t i = 0; i < n; i++)
				assert_true((unsigned char)out[i] >= 0x20 || out[i] == '\n' ||
					    out[i] == '\t');
		}
}

static void lines_fit(void **state)
{
	char out[8];
	assert_string_equal(text_line("a\tb\nc", 5, out, sizeof(out)), "a b c");
	assert_string_equal(text_line("1234567890", 10, out, sizeof(out)), "1234567");
	/* Cut between characters, never within one. */
	assert_string_equal(text_line("12345\xe6\x97\xa5", 8, out, sizeof(out)), "12345");
	assert_string_equal(text_line("\033", 1, out, sizeof(out)), BAD);
	assert_string_equal(text_line("", 0, out, sizeof(out)), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(streams_become_plain),
		cmocka_unit_test(every_pair_of_bytes_is_bounded),
		cmocka_unit_test(lines_fit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
