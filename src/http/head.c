/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heads in two passes: one looks for the end, line by line, and remembers how far it came (so the
 * buffer may grow and move); the other, once the end is there, takes the lines apart. The second
 * pass needs no bounds: it stops at a CR at the latest, and the first has seen CR LF CR LF.
 */
#include "http/head.h"
#include "base/utf8.h"
#include "http/byte.h"
#include "http/frame.h"
#include <errno.h>

static int refuse(struct http_head *h, enum http_refusal why)
{
	h->refusal = why;
	return -EBADMSG;
}

static bool version_parse(const char *p, unsigned *ret_minor, enum http_refusal *ret_why)
{
	if (memcmp(p, "HTTP/", 5) != 0 || !byte_is_digit(p[5]) || p[6] != '.' ||
	    !byte_is_digit(p[7])) {
		*ret_why = HTTP_REFUSED_VERSION;
		return false;
	}
	if (p[5] != '1' || p[7] > '1') {
		*ret_why = HTTP_REFUSED_VERSION_OTHER;
		return false;
	}
	*ret_minor = (unsigned)(p[7] - '0');
	return true;
}

/* line is the request line without its CR LF. */
static int request_line_parse(struct http_head *h, struct span line)
{
	const char *p = line.data, *end = p + line.len;

	while (p < end && byte_is(*p, BYTE_TOKEN))
		p++;
	if (p == line.data)
		return refuse(h, HTTP_REFUSED_METHOD);
	if (p == end || *p != ' ')
		return refuse(h, p == end ? HTTP_REFUSED_REQUEST_LINE : HTTP_REFUSED_METHOD);
	h->method = (struct span){ line.data, (size_t)(p - line.data) };

	const char *target = ++p;
	while (p < end && byte_is(*p, BYTE_TARGET))
		p++;
	if (p == end || p == target)
		return refuse(h, HTTP_REFUSED_REQUEST_LINE);
	if (*p != ' ')
		return refuse(h, HTTP_REFUSED_TARGET_BYTE);
	h->target = (struct span){ target, (size_t)(p - target) };
	if (h->target.len > LIMIT_HTTP_TARGET_BYTES)
		return refuse(h, HTTP_REFUSED_TARGET_LONG);

	enum http_refusal why;
	if (end - ++p != 8)
		return refuse(h, memchr(p, ' ', (size_t)(end - p)) ? HTTP_REFUSED_REQUEST_LINE
								   : HTTP_REFUSED_VERSION);
	if (!version_parse(p, &h->minor, &why))
		return refuse(h, why);
	h->method_id = http_method_id(h->method);
	return 0;
}

static int status_line_parse(struct http_head *h, struct span line)
{
	const char *p = line.data, *end = p + line.len;
	enum http_refusal why;

	if (line.len < 8)
		return refuse(h, HTTP_REFUSED_STATUS_LINE);
	if (!version_parse(p, &h->minor, &why))
		return refuse(h, why);
	p += 8;
	if (end - p < 4 || p[0] != ' ' || p[1] < '1' || p[1] > '9' || !byte_is_digit(p[2]) ||
	    !byte_is_digit(p[3]))
		return refuse(h, HTTP_REFUSED_STATUS_LINE);
	h->status = (unsigned)((p[1] - '0') * 100 + (p[2] - '0') * 10 + (p[3] - '0'));
	p += 4;
	/* The space before an absent reason is often left out; nothing depends on it. */
	if (p < end && *p++ != ' ')
		return refuse(h, HTTP_REFUSED_STATUS_LINE);
	h->reason = (struct span){ p, (size_t)(end - p) };
	for (; p < end; p++)
		if (!byte_is(*p, BYTE_VALUE))
			return refuse(h, HTTP_REFUSED_STATUS_LINE);
	return 0;
}

/* The start line is judged as soon as it is there, whether or not the rest is: who speaks something
 * else than HTTP is told at once. */
static int start_line_parse(struct http_head *h, const char *data, size_t len, bool request)
{
	struct span line = { data, len };
	return request ? request_line_parse(h, line) : status_line_parse(h, line);
}

/* Look for the empty line. 0 when it was found: s->seen is then the head's length. */
static int scan_lines(struct http_scan *s, const char *data, size_t n, size_t limit, bool request,
		      struct http_head *h)
{
	size_t end = n < limit ? n : limit;

	if (n > 0 && s->seen == 0 && (request ? !byte_is(data[0], BYTE_TOKEN) : data[0] != 'H'))
		return refuse(h, request ? HTTP_REFUSED_METHOD : HTTP_REFUSED_STATUS_LINE);
	while (s->seen < end) {
		const char *lf = memchr(data + s->seen, '\n', end - s->seen);
		if (!lf) {
			s->seen = (uint32_t)end;
			break;
		}
		size_t at = (size_t)(lf - data);
		s->seen = (uint32_t)at + 1;
		if (at == s->line || data[at - 1] != '\r')
			return refuse(h, HTTP_REFUSED_LINE_END);
		if (s->lines++ == 0) {
			int r = start_line_parse(h, data, at - 1, request);
			if (r < 0)
				return r;
			s->start = s->seen;
		} else if (at - 1 == s->line) {
			return 0;
		}
		s->line = s->seen;
	}
	if (end < limit)
		return -EAGAIN;
	return refuse(h, s->lines || !request ? HTTP_REFUSED_HEAD_LONG : HTTP_REFUSED_TARGET_LONG);
}

/* True when one of the 8 bytes at p may not stand in a field value, or is above 0x7f. */
static bool word_is_odd(const char *p)
{
	const uint64_t ones = 0x0101010101010101u, highs = ones << 7;
	uint64_t w;
	memcpy(&w, p, sizeof(w));
	uint64_t del = w ^ (ones * 0x7f);
	return ((w | (w - ones * 0x20) | (del - ones)) & highs) != 0;
}

/* One field line at p; returns where the next begins, or NULL with *ret_why. `end` is where the
 * head ends, CR LF CR LF before it. */
static const char *field_parse(const char *p, const char *end, bool utf8, struct http_field *f,
			       enum http_refusal *ret_why)
{
	const char *name = p;

	while (byte_is(*p, BYTE_TOKEN))
		p++;
	if (*p != ':' || p == name) {
		*ret_why =
			byte_is_space(*name) ? HTTP_REFUSED_FIELD_FOLDED : HTTP_REFUSED_FIELD_NAME;
		return NULL;
	}
	f->name = (struct span){ name, (size_t)(p - name) };
	p++;
	while (byte_is_space(*p))
		p++;

	const char *value = p;
	bool high = false;
	for (;;) {
		while (end - p >= 8 && !word_is_odd(p))
			p += 8;
		/* A word with a byte to look at; most often the CR that ends the value. */
		unsigned i = 0;
		while (i < 8 && byte_is(*p, BYTE_VALUE)) {
			high |= (*p & 0x80) != 0;
			p++;
			i++;
		}
		if (i < 8)
			break;
	}
	if (*p != '\r' || p[1] != '\n') {
		*ret_why = *p == '\r' ? HTTP_REFUSED_LINE_END : HTTP_REFUSED_FIELD_VALUE;
		return NULL;
	}
	const char *last = p;
	while (last > value && byte_is_space(last[-1]))
		last--;
	f->value = (struct span){ value, (size_t)(last - value) };
	if (high && utf8 && !utf8_is_valid(f->value.data, f->value.len)) {
		*ret_why = HTTP_REFUSED_FIELD_VALUE;
		return NULL;
	}
	f->id = http_field_id(f->name);
	return p + 2;
}

static int fields_parse(struct http_head *h, const char *p, const char *end, bool utf8)
{
	const char *last = end - 2;

	memset(h->first, 0, sizeof(h->first));
	h->repeated = 0;
	h->n_fields = 0;
	while (p < last) {
		enum http_refusal why;
		if (h->n_fields == LIMIT_HTTP_HEADERS)
			return refuse(h, HTTP_REFUSED_FIELDS_MANY);
		struct http_field *f = &h->fields[h->n_fields];
		p = field_parse(p, end, utf8, f, &why);
		if (!p)
			return refuse(h, why);
		h->n_fields++;
		if (f->id == HTTP_FIELD_OTHER)
			continue;
		if (h->first[f->id])
			h->repeated |= UINT64_C(1) << f->id;
		else
			h->first[f->id] = (uint16_t)h->n_fields;
	}
	return 0;
}

static int head_parse(struct http_scan *s, const char *data, size_t n,
		      const struct http_rules *rules, bool request, struct http_head *h)
{
	size_t limit = LIMIT_HTTP_HEAD_BYTES;

	if (rules && rules->head_bytes && rules->head_bytes < limit)
		limit = rules->head_bytes;
	bool fresh = s->lines == 0;
	int r = scan_lines(s, data, n, limit, request, h);
	if (r < 0)
		return r;
	/* Spans of a start line that an earlier call judged may point to where the buffer was. */
	if (!fresh) {
		r = start_line_parse(h, data, s->start - 2, request);
		if (r < 0)
			return r;
	}
	h->refusal = HTTP_REFUSED_NOTHING;
	h->length = s->seen;
	h->lenient = rules ? rules->lenient : 0;
	return fields_parse(h, data + s->start, data + s->seen, request);
}

int http_request_parse(struct http_scan *scan, const char *data, size_t n,
		       const struct http_rules *rules, struct http_head *ret_head)
{
	struct http_head *h = ret_head;
	int r = head_parse(scan, data, n, rules, true, h);
	if (r < 0)
		return r;
	h->status = 0;
	h->reason = (struct span){ 0 };
	h->interim = false;
	enum http_refusal why = http_frame_request(h);
	return why ? refuse(h, why) : 0;
}

int http_response_parse(struct http_scan *scan, const char *data, size_t n, enum http_method to,
			const struct http_rules *rules, struct http_head *ret_head)
{
	struct http_head *h = ret_head;
	int r = head_parse(scan, data, n, rules, false, h);
	if (r < 0)
		return r;
	h->method = h->target = h->host = (struct span){ 0 };
	h->method_id = HTTP_METHOD_OTHER;
	h->expect_100 = false;
	enum http_refusal why = http_frame_response(h, to);
	return why ? refuse(h, why) : 0;
}
