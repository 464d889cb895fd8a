/* SPDX-License-Identifier: Apache-2.0 */
/* The parameters of a query, one by one. */
#include "http/query.h"
#include "http/byte.h"
#include <errno.h>

/* Decode into out, NUL-terminated. */
static int decode(struct span s, char *out, size_t size, struct span *ret)
{
	size_t len = 0;

	for (size_t i = 0; i < s.len; i++) {
		int c = (unsigned char)s.data[i];
		if (c <= 0x20 || c >= 0x7f)
			return -EILSEQ;
		if (c == '+') {
			c = ' ';
		} else if (c == '%') {
			c = byte_percent(s, i);
			i += 2;
			if (c <= 0)
				return -EILSEQ;
		}
		if (len + 1 >= size)
			return -ENOBUFS;
		out[len++] = (char)c;
	}
	if (len >= size)
		return -ENOBUFS;
	out[len] = '\0';
	*ret = (struct span){ out, len };
	return 0;
}

/* Take the piece before the next '&' off the front of *left. */
static struct span piece_take(struct span *left)
{
	const char *amp = memchr(left->data, '&', left->len);
	struct span piece = { left->data, amp ? (size_t)(amp - left->data) : left->len };
	size_t n = piece.len + (amp != NULL);

	left->data += n;
	left->len -= n;
	return piece;
}

int http_query_next(struct http_query *q, char *out, size_t size, struct http_parameter *ret)
{
	struct span piece = { 0 };
	struct http_parameter p = { 0 };

	while (q->left.len > 0 && piece.len == 0)
		piece = piece_take(&q->left);
	if (piece.len == 0)
		return 0;
	const char *equals = memchr(piece.data, '=', piece.len);
	struct span name = { piece.data, equals ? (size_t)(equals - piece.data) : piece.len };
	struct span value = { 0 };
	if (equals)
		value = (struct span){ equals + 1, piece.len - name.len - 1 };
	p.has_value = equals != NULL;
	int r = decode(name, out, size, &p.name);
	if (r < 0)
		return r;
	r = decode(value, out + p.name.len + 1, size - p.name.len - 1, &p.value);
	if (r < 0)
		return r;
	*ret = p;
	return 1;
}
