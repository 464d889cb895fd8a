/* SPDX-License-Identifier: Apache-2.0 */
/* Placeholders in text. */
#include "proxy/placeholder.h"
#include "http/byte.h"

/* ---- characters ---- */

static bool begins_escape(enum placeholder_text how, char b)
{
	return (how == PLACEHOLDER_PERCENT && b == '%') || (how == PLACEHOLDER_JSON && b == '\\');
}

/* The next byte of a character. 1: it is whole; 0: more spell it; -1: what came is no escape, and this byte begins another one. */
static int decode(struct placeholder_escape *e, enum placeholder_text how, char b, char *ret)
{
	bool json = how == PLACEHOLDER_JSON;
	int digit = byte_hex(b);
	if (!e->n) {
		*e = (struct placeholder_escape){ .n = begins_escape(how, b) };
		*ret = b;
		return !e->n;
	}
	if (json && e->n == 1) {
		e->n = b == 'u' ? 2 : 0;
		*ret = b == '/' ? '/' : '\0'; /* the other ones spell what no marker has */
		return !e->n;
	}
	if (digit < 0) {
		e->n = 0;
		return -1;
	}
	e->code = e->code << 4 | (unsigned)digit;
	if (++e->n < (json ? 6 : 3))
		return 0;
	e->n = 0;
	*ret = e->code > 0x7f ? '\0' : (char)e->code;
	return 1;
}

char placeholder_read(struct span text, enum placeholder_text how, size_t *ret_len)
{
	struct placeholder_escape e = { 0 };
	char c;
	for (size_t i = 0; i < text.len; i++) {
		int r = decode(&e, how, text.data[i], &c);
		if (r < 0)
			break;
		*ret_len = i + 1;
		if (r > 0)
			return c;
	}
	*ret_len = 1;
	return text.data[0];
}

/* ---- the marker, by a machine that reads each byte once ---- */

static const char marker[] = PLACEHOLDER_MARKER;

/* How many characters at the end of the first n of the marker are again its beginning. */
static unsigned border(unsigned n)
{
	for (unsigned k = n - 1; k; k--)
		if (!memcmp(marker, marker + n - k, k))
			return k;
	return 0;
}

static void take_character(struct placeholder_watch *w, char c)
{
	while (w->matched && c != marker[w->matched]) {
		unsigned n = border(w->matched);
		memmove(w->start, w->start + w->matched - n, n * sizeof(*w->start));
		w->matched = n;
	}
	if (c == marker[w->matched])
		w->start[w->matched++] = w->began;
}

static void take_byte(struct placeholder_watch *w, char b)
{
	char c;
	if (!w->escape.n)
		w->began = w->read;
	int r = decode(&w->escape, w->how, b, &c);
	if (r < 0) {
		w->matched = 0;
		w->began = w->read;
		r = decode(&w->escape, w->how, b, &c);
	}
	if (r > 0)
		take_character(w, c);
}

bool placeholder_seen(struct placeholder_watch *w, struct span piece)
{
	for (size_t i = 0; i < piece.len; i++, w->read++) {
		char b = piece.data[i];
		if (w->escape.n || w->matched || b == *marker || begins_escape(w->how, b))
			take_byte(w, b);
		if (w->matched < PLACEHOLDER_MARKER_LEN)
			continue;
		w->read++;
		return true;
	}
	return false;
}

bool placeholder_find(struct span text, enum placeholder_text how, size_t *ret_at, size_t *ret_len)
{
	struct placeholder_watch w = { .how = how };
	if (!placeholder_seen(&w, text))
		return false;
	*ret_at = *w.start;
	*ret_len = w.read - *w.start;
	return true;
}

/* ---- bodies ---- */

static bool is_encoded(const struct http_head *h)
{
	for (unsigned i = 0; i < h->n_fields; i++)
		if (h->fields[i].id == HTTP_FIELD_CONTENT_ENCODING && h->fields[i].value.len &&
		    !span_is_nocase(h->fields[i].value, "identity") && !http_field_is_hop(h, i))
			return true;
	return false;
}

bool placeholder_body(const struct http_head *h, enum placeholder_text *ret)
{
	struct span type = http_head_value(h, HTTP_FIELD_CONTENT_TYPE);
	if (!type.len || http_head_repeats(h, HTTP_FIELD_CONTENT_TYPE) || is_encoded(h))
		return false;
	const char *end = memchr(type.data, ';', type.len);
	type = span_trim((struct span){ type.data, end ? (size_t)(end - type.data) : type.len });
	if (span_is_nocase(type, "application/json"))
		*ret = PLACEHOLDER_JSON;
	else if (span_is_nocase(type, "application/x-www-form-urlencoded"))
		*ret = PLACEHOLDER_PERCENT;
	else if (type.len > 5 && span_is_nocase((struct span){ type.data, 5 }, "text/"))
		*ret = PLACEHOLDER_PLAIN;
	else
		return false;
	return true;
}
