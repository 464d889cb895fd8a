/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The canonical form of a path, exactly as OpenShell's proxy makes it (recorded in the conformance
 * cases that path_test.c replays): a policy written for one means the same to the other.
 */
#include "base/limit.h"
#include "http/byte.h"
#include "http/target.h"
#include <errno.h>

/* The path so far; out always begins with '/'. */
struct builder {
	char *out;
	size_t size; /* a NUL's room already taken off */
	size_t len;
	bool full;
};

static void put(struct builder *b, char c)
{
	if (b->len < b->size)
		b->out[b->len++] = c;
	else
		b->full = true;
}

static void put_percent(struct builder *b, unsigned char c)
{
	static const char hex[] = "0123456789ABCDEF";

	put(b, '%');
	put(b, hex[c >> 4]);
	put(b, hex[c & 0xf]);
}

/* Drop the last segment of what was built, leaving its '/'; false when there is none. */
static bool pop(struct builder *b)
{
	if (b->len == 1)
		return false;
	b->len--; /* the '/' behind the last segment */
	while (b->out[b->len - 1] != '/')
		b->len--;
	return true;
}

/* The next byte of the segment, decoded, and how many received bytes it took; -1 at a fault. */
static int segment_byte(struct span s, size_t at, unsigned flags, size_t *ret_n,
			enum http_refusal *ret_why)
{
	unsigned char c = (unsigned char)s.data[at];
	int value = c;

	*ret_n = 1;
	if (c == '%') {
		value = byte_percent(s, at);
		*ret_n = 3;
		if (value < 0)
			*ret_why = HTTP_REFUSED_TARGET_PERCENT;
		else if (value < 0x20 || value == 0x7f)
			*ret_why = HTTP_REFUSED_TARGET_CONTROL;
		else if (value == '/' && !(flags & HTTP_PATH_ALLOW_ENCODED_SLASH))
			*ret_why = HTTP_REFUSED_TARGET_SLASH;
		else
			return value;
		return -1;
	}
	if (c <= 0x20 || c == 0x7f)
		*ret_why = HTTP_REFUSED_TARGET_BYTE;
	else if (c >= 0x80)
		*ret_why = HTTP_REFUSED_TARGET_RAW;
	else if (c == '#')
		*ret_why = HTTP_REFUSED_TARGET_FRAGMENT;
	else if (c == '?')
		*ret_why = HTTP_REFUSED_TARGET_FORM;
	else if ((flags & HTTP_PATH_REFUSE_RAW_QUOTES) && (c == '`' || c == '<' || c == '>'))
		*ret_why = HTTP_REFUSED_TARGET_RAW;
	else
		return value;
	return -1;
}

static bool is_dots(const char *text, size_t n)
{
	return (n == 1 && text[0] == '.') || (n == 2 && text[0] == '.' && text[1] == '.');
}

/* Whoever decodes %2F later would walk: `a%2F..` and the like. */
static bool hides_dots(const char *text, size_t n)
{
	for (size_t from = 0, i = 0; i <= n; i++) {
		bool slash = i < n && n - i >= 3 && memcmp(text + i, "%2F", 3) == 0;
		if (i < n && !slash)
			continue;
		if (is_dots(text + from, i - from))
			return true;
		if (slash)
			i += 2;
		from = i + 1;
	}
	return false;
}

/* Append one received segment (no raw '/' in it) and, unless it is the last, a '/'. */
static enum http_refusal put_segment(struct builder *b, struct span s, unsigned flags, bool last)
{
	size_t from = b->len;
	bool parameters = false, encoded_slash = false;
	enum http_refusal why = HTTP_REFUSED_NOTHING;

	for (size_t i = 0, n; i < s.len; i += n) {
		int c = segment_byte(s, i, flags, &n, &why);
		if (c < 0)
			return why;
		parameters |= c == ';';
		if (parameters)
			continue;
		encoded_slash |= c == '/';
		if (byte_is((char)c, BYTE_PCHAR))
			put(b, (char)c);
		else
			put_percent(b, (unsigned char)c);
	}
	if (b->full)
		return HTTP_REFUSED_NOTHING;
	const char *text = b->out + from;
	size_t n = b->len - from;
	if (is_dots(text, n)) {
		b->len = from;
		return n == 2 && !pop(b) ? HTTP_REFUSED_TARGET_ABOVE_ROOT : HTTP_REFUSED_NOTHING;
	}
	if (encoded_slash && hides_dots(text, n))
		return HTTP_REFUSED_TARGET_SLASH;
	if (n > 0 && !last)
		put(b, '/');
	return HTTP_REFUSED_NOTHING;
}

static int refused(enum http_refusal why, enum http_refusal *ret_why)
{
	*ret_why = why;
	return -EBADMSG;
}

static int build(struct span path, unsigned flags, char *out, size_t size, size_t *ret_len,
		 enum http_refusal *ret_why)
{
	struct builder b = { .out = out, .size = size ? size - 1 : 0 };

	if (path.len > 0 && path.data[0] != '/')
		return refused(HTTP_REFUSED_TARGET_FORM, ret_why);
	put(&b, '/');
	for (size_t i = 1; i <= path.len && !b.full;) {
		const char *slash = memchr(path.data + i, '/', path.len - i);
		size_t end = slash ? (size_t)(slash - path.data) : path.len;
		struct span segment = { path.data + i, end - i };
		enum http_refusal why = put_segment(&b, segment, flags, !slash);
		if (why)
			return refused(why, ret_why);
		i = end + 1;
	}
	if (b.full)
		return -ENOBUFS;
	out[b.len] = '\0';
	*ret_len = b.len;
	return 0;
}

int http_path_canonical(struct span path, unsigned flags, char *out, size_t size, size_t *ret_len,
			enum http_refusal *ret_why)
{
	if (path.len > HTTP_PATH_RAW_MAX)
		return refused(HTTP_REFUSED_TARGET_PATH_LONG, ret_why);
	return build(path, flags, out, size, ret_len, ret_why);
}

bool http_path_is_canonical(struct span path, unsigned flags)
{
	char out[LIMIT_HTTP_TARGET_BYTES + 1];
	enum http_refusal why;
	size_t n;
	return build(path, flags, out, sizeof(out), &n, &why) == 0 &&
	       span_equal((struct span){ out, n }, path);
}

int http_percent_decode(struct span s, char *out, size_t size, size_t *ret_len)
{
	size_t len = 0;

	for (size_t i = 0; i < s.len; i++) {
		int c = (unsigned char)s.data[i];
		if (c == '%') {
			c = byte_percent(s, i);
			i += 2;
		}
		if (c <= 0)
			return -EILSEQ;
		if (len + 1 >= size)
			return -ENOBUFS;
		out[len++] = (char)c;
	}
	if (len >= size)
		return -ENOBUFS;
	out[len] = '\0';
	*ret_len = len;
	return 0;
}
