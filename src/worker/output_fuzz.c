/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes what becomes of an engine's output. Input: two bytes that say how to divide it, the output. Filtered, it is UTF-8
 * without anything that steers a terminal; read in pieces, it gives the same text, the same failed step and last lines.
 */
#include "base/cleanup.h"
#include "worker/steps.h"
#include "worker/text.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* The character at text[0], which must be well-formed; its length. */
static size_t character(const unsigned char *text, size_t n, unsigned *ret)
{
	static const unsigned least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t len = text[0] < 0x80 ? 1 : text[0] < 0xe0 ? 2 : text[0] < 0xf0 ? 3 : 4;
	unsigned c = len == 1 ? text[0] : text[0] & (0x7f >> len);

	assert(len <= n && (len == 1 || text[0] >= 0xc2) && text[0] <= 0xf4);
	for (size_t i = 1; i < len; i++) {
		assert((text[i] & 0xc0) == 0x80);
		c = c << 6 | (text[i] & 0x3f);
	}
	assert(c >= least[len] && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff));
	*ret = c;
	return len;
}

static void check_plain(const char *text, size_t n)
{
	for (size_t i = 0; i < n;) {
		unsigned c;
		i += character((const unsigned char *)text + i, n - i, &c);
		assert(c == '\n' || c == '\t' || c >= 0x20);
		assert(c < 0x7f || c > 0x9f);
		assert(!(c >= 0x202a && c <= 0x202e) && !(c >= 0x2066 && c <= 0x2069));
		assert(c != 0x2028 && c != 0x2029 && c != 0x200e && c != 0x200f && c != 0x61c);
	}
}

static size_t filter(const uint8_t *data, size_t n, size_t first, size_t step, char *out)
{
	struct text_filter f = { 0 };
	size_t len = 0, at = 0;

	for (size_t next = first < n ? first : n;; next = n - at > step ? at + step : n) {
		size_t wrote = text_filter_feed(&f, data + at, next - at, out + len);
		assert(wrote <= 3 * (next - at) + 12);
		len += wrote;
		at = next;
		if (at == n)
			break;
	}
	char end[8];
	size_t wrote = text_filter_end(&f, end);
	assert(wrote <= sizeof(end));
	memcpy(out + len, end, wrote);
	return len + wrote;
}

static void check_filter(const uint8_t *data, size_t n, size_t first, size_t step)
{
	/* The room that a caller must give for each piece, for as many pieces as there are. */
	size_t room = 3 * n + 12 * (n / step + 3) + 8;
	_cleanup_free_ char *whole = malloc(room), *pieces = malloc(room), *line = malloc(64);
	assert(whole && pieces && line);
	size_t a = filter(data, n, n, 1, whole), b = filter(data, n, first, step, pieces);
	assert(a == b && memcmp(whole, pieces, a) == 0);
	check_plain(whole, a);
	assert(a == 0 || whole[a - 1] == '\n');
	text_line((const char *)data, n, line, 64);
	check_plain(line, strlen(line));
	assert(strlen(line) < 64 && !strpbrk(line, "\n\t"));
}

static void check_steps(const char *text, size_t n, size_t first, size_t step)
{
	static struct steps whole, pieces;

	steps_init(&whole, NULL, NULL);
	steps_feed(&whole, text, n);
	steps_end(&whole);
	steps_init(&pieces, NULL, NULL);
	for (size_t at = 0, next = first < n ? first : n;
	     at<n; at = next, next = n - at> step ? at + step : n)
		steps_feed(&pieces, text + at, next - at);
	steps_end(&pieces);
	assert(!strcmp(whole.step, pieces.step) && !strcmp(whole.error, pieces.error));
	assert(whole.exit_code == pieces.exit_code && whole.lines == pieces.lines);
	for (unsigned i = 0; i <= LIMIT_FAILURE_LINES; i++) {
		const char *a = steps_last_line(&whole, i), *b = steps_last_line(&pieces, i);
		assert(!a == !b && (!a || (!strcmp(a, b) && strlen(a) < STEPS_LINE_MAX)));
		assert(i < LIMIT_FAILURE_LINES || !a);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n < 2)
		return 0;
	check_filter(data + 2, n - 2, data[0], (size_t)data[1] + 1);
	check_steps((const char *)data + 2, n - 2, data[0], (size_t)data[1] + 1);
	return 0;
}
