/* SPDX-License-Identifier: Apache-2.0 */
/* Makes hostile output plain text. */
#include "worker/text.h"

#include <stdbool.h>
#include <string.h>

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */

/* Characters beyond ASCII that move the cursor, reorder text or end lines. */
static bool is_steering(uint32_t c)
{
	return (c >= 0x80 && c < 0xa0) || c == 0x2028 || c == 0x2029 ||
	       (c >= 0x200b && c <= 0x200f) || (c >= 0x202a && c <= 0x202e) ||
	       (c >= 0x2066 && c <= 0x2069) || c == 0x061c || c == 0xfeff ||
	       (c >= 0xfff9 && c <= 0xfffb) || (c >= 0xe0000 && c < 0xe0080);
}

/* Bytes in a sequence that begins with b; 0 when none does. */
static unsigned sequence_length(unsigned char b)
{
	if (b >= 0xc2 && b < 0xe0)
		return 2;
	if (b >= 0xe0 && b < 0xf0)
		return 3;
	if (b >= 0xf0 && b < 0xf5)
		return 4;
	return 0;
}

static uint32_t decode(const unsigned char *s, unsigned n)
{
	uint32_t c = s[0] & (0x7fu >> n);
	for (unsigned i = 1; i < n; i++)
		c = c << 6 | (s[i] & 0x3fu);
	return c;
}

static bool is_scalar(uint32_t c, unsigned n)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	return c >= least[n] && c <= 0x10ffff && !(c >= 0xd800 && c < 0xe000);
}

static size_t put(struct text_filter *f, char *out, const void *bytes, size_t n)
{
	memcpy(out, bytes, n);
	f->last = ((const unsigned char *)bytes)[n - 1];
	return n;
}

static size_t put_bad(struct text_filter *f, char *out)
{
	return put(f, out, replacement, 3);
}

/* A byte where no sequence is open. */
static size_t first(struct text_filter *f, unsigned char b, char *out)
{
	bool after_return = f->last == '\r';
	if (b == '\n' && after_return) { /* "\r\n" is one end of a line, already written */
		f->last = '\n';
		return 0;
	}
	if (b == '\n' || b == '\t' || (b >= 0x20 && b < 0x7f))
		return put(f, out, &b, 1);
	if (b == '\r') {
		if (!f->last || f->last == '\n' || after_return)
			return 0;
		put(f, out, "\n", 1);
		f->last = '\r';
		return 1;
	}
	f->want = sequence_length(b);
	if (!f->want)
		return put_bad(f, out);
	f->part[0] = b;
	f->have = 1;
	return 0;
}

size_t text_filter_feed(struct text_filter *f, const void *bytes, size_t n, char *out)
{
	size_t o = 0;
	for (size_t i = 0; i < n; i++) {
		unsigned char b = ((const unsigned char *)bytes)[i];
		if (!f->have) {
			o += first(f, b, out + o);
			continue;
		}
		if ((b & 0xc0) != 0x80) {
			f->have = 0;
			o += put_bad(f, out + o);
			o += first(f, b, out + o);
			continue;
		}
		f->part[f->have++] = b;
		if (f->have < f->want)
			continue;
		uint32_t c = decode(f->part, f->want);
		if (is_scalar(c, f->want) && !is_steering(c))
			o += put(f, out + o, f->part, f->want);
		else
			o += put_bad(f, out + o);
		f->have = 0;
	}
	return o;
}

size_t text_filter_end(struct text_filter *f, char out[8])
{
	size_t o = f->have ? put_bad(f, out) : 0;
	f->have = 0;
	if (f->last && f->last != '\n' && f->last != '\r')
		o += put(f, out + o, "\n", 1);
	return o;
}

char *text_line(const char *in, size_t n, char *out, size_t size)
{
	struct text_filter f = { 0 };
	size_t o = 0;
	char piece[16];
	for (size_t i = 0; i < n; i++) {
		size_t p = text_filter_feed(&f, in + i, 1, piece);
		for (size_t k = 0; k < p; k++)
			if (piece[k] == '\n' || piece[k] == '\t')
				piece[k] = ' ';
		if (o + p + 1 > size)
			break;
		memcpy(out + o, piece, p);
		o += p;
	}
	if (f.have && o + 4 <= size) {
		memcpy(out + o, replacement, 3);
		o += 3;
	}
	out[o] = '\0';
	return out;
}
