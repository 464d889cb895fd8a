/* SPDX-License-Identifier: Apache-2.0 */
/* The bounded byte buffer. */
#include "base/buf.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

static int grow(struct buf *b, size_t n)
{
	if (n > b->max || b->len > b->max - n)
		return -ENOBUFS;
	size_t want = b->len + n + 1;
	if (want <= b->cap)
		return 0;
	size_t cap = b->cap ? b->cap : 64;
	while (cap < want)
		cap *= 2;
	if (cap > b->max + 1)
		cap = b->max + 1;
	char *p = realloc(b->data, cap);
	if (!p)
		return -ENOMEM;
	b->data = p;
	b->cap = cap;
	return 0;
}

char *buf_reserve(struct buf *b, size_t n)
{
	if (grow(b, n) < 0)
		return NULL;
	return b->data + b->len;
}

void buf_wrote(struct buf *b, size_t n)
{
	assert(b->len + n < b->cap);
	b->len += n;
	b->data[b->len] = '\0';
}

int buf_append(struct buf *b, const void *bytes, size_t n)
{
	int r = grow(b, n);
	if (r < 0)
		return r;
	if (n)
		memcpy(b->data + b->len, bytes, n);
	b->len += n;
	b->data[b->len] = '\0';
	return 0;
}

int buf_append_str(struct buf *b, const char *s)
{
	return buf_append(b, s, strlen(s));
}

int buf_printf(struct buf *b, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	va_list again;
	va_copy(again, args);
	int n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	int r = n < 0 ? -EINVAL : grow(b, (size_t)n);
	if (r == 0) {
		vsnprintf(b->data + b->len, (size_t)n + 1, format, again);
		b->len += (size_t)n;
	}
	va_end(again);
	return r;
}

void buf_clear(struct buf *b)
{
	b->len = 0;
	if (b->data)
		b->data[0] = '\0';
}

void buf_done(struct buf *b)
{
	free(b->data);
	*b = BUF_INIT(b->max);
}

char *buf_take(struct buf *b)
{
	if (!b->data)
		return strdup("");
	char *p = b->data;
	*b = BUF_INIT(b->max);
	return p;
}

void buf_append_lower(struct buf *b, const char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char c = bytes[i];
		c = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
		buf_append(b, &c, 1);
	}
}

void buf_append_visible(struct buf *b, const char *bytes, size_t n, size_t most, const char *marks)
{
	size_t begin = b->len;
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)bytes[i];
		bool plain = c >= 0x20 && c < 0x7f && !strchr(marks, c);
		if (b->len - begin + (plain ? 1 : 4) > most) {
			buf_append_str(b, "...");
			return;
		}
		if (plain)
			buf_append(b, &c, 1);
		else
			buf_printf(b, "\\x%02x", c);
	}
}
