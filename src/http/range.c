/* SPDX-License-Identifier: Apache-2.0 */
/* One byte range. */
#include "http/range.h"
#include "http/byte.h"
#include <errno.h>

/* Digits off the front of *s; how many. What does not fit in 64 bits is as good as the largest. */
static size_t number_take(struct span *s, uint64_t *ret)
{
	uint64_t value = 0;
	size_t n = 0;

	for (; n < s->len && byte_is_digit(s->data[n]); n++) {
		uint64_t digit = (uint64_t)(s->data[n] - '0');
		if (value > (UINT64_MAX - digit) / 10)
			value = UINT64_MAX;
		else
			value = value * 10 + digit;
	}
	s->data += n;
	s->len -= n;
	*ret = value;
	return n;
}

int http_range_parse(struct span value, uint64_t total, struct http_range *ret)
{
	struct span s = value;
	uint64_t first, last;

	if (s.len < 6 || !span_equal_nocase((struct span){ s.data, 6 }, SPAN("bytes=")))
		return -ENOENT;
	s.data += 6;
	s.len -= 6;
	size_t first_digits = number_take(&s, &first);
	if (s.len == 0 || s.data[0] != '-')
		return -ENOENT;
	s.data++;
	s.len--;
	size_t last_digits = number_take(&s, &last);
	if (s.len > 0 || first_digits + last_digits == 0)
		return -ENOENT;

	if (first_digits == 0) { /* the last `last` bytes */
		if (last == 0 || total == 0)
			return -ERANGE;
		first = last < total ? total - last : 0;
		last = total - 1;
	} else {
		if (last_digits > 0 && last < first)
			return -ENOENT;
		if (first >= total)
			return -ERANGE;
		if (last_digits == 0 || last >= total)
			last = total - 1;
	}
	*ret = (struct http_range){ first, last };
	return 0;
}
