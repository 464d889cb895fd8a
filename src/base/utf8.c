/* SPDX-License-Identifier: Apache-2.0 */
/* Well-formed UTF-8. */
#include "base/utf8.h"

/* Bytes that a character beginning with c has; 0 when none begins so. *ret_least and *ret_most: bounds of the second. */
static size_t wanted(unsigned char c, unsigned char *ret_least, unsigned char *ret_most)
{
	*ret_least = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
	*ret_most = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
	if (c < 0x80)
		return 1;
	if (c < 0xc2 || c > 0xf4)
		return 0;
	return c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

/* How many of the bytes a character that begins here has, at most n; 0 when one of them is wrong. */
static size_t begun(const unsigned char *c, size_t n, size_t *ret_wanted)
{
	unsigned char least, most;
	*ret_wanted = wanted(c[0], &least, &most);
	size_t have = *ret_wanted < n ? *ret_wanted : n;
	if (have > 1 && (c[1] < least || c[1] > most))
		return 0;
	for (size_t i = 2; i < have; i++)
		if ((c[i] & 0xc0) != 0x80)
			return 0;
	return have;
}

size_t utf8_length(const char *s, size_t n)
{
	size_t want;
	return n && begun((const unsigned char *)s, n, &want) == want ? want : 0;
}

bool utf8_is_valid(const char *s, size_t n)
{
	for (size_t i = 0, len; i < n; i += len)
		if (!(len = utf8_length(s + i, n - i)))
			return false;
	return true;
}

size_t utf8_whole(const char *s, size_t n)
{
	size_t want;
	for (size_t back = 1; back <= 3 && back <= n; back++) {
		size_t have = begun((const unsigned char *)s + n - back, back, &want);
		if (have && have < want)
			return n - back;
	}
	return n;
}

int utf8_append(struct buf *b, const char *s, size_t n)
{
	int r = 0;
	for (size_t i = 0, good; r == 0 && i < n; i += good) {
		size_t len;
		for (good = 0; (len = utf8_length(s + i + good, n - i - good)); good += len)
			;
		r = buf_append(b, s + i, good);
		if (r == 0 && i + good < n) {
			r = buf_append_str(b, "\xef\xbf\xbd");
			good++;
		}
	}
	return r;
}
