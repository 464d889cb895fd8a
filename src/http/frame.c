/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that request smuggling lives on is decided, or refused, in this file. */
#include "http/frame.h"
#include "http/byte.h"
#include "http/target.h"

/* Value of one Content-Length; at most 2^63 - 1, so that sums and signed offsets hold it. */
static bool length_parse(struct span s, bool lenient, uint64_t *ret)
{
	const char *p = s.data, *end = p + s.len;

	if (lenient) {
		if (p < end && *p == '+')
			p++;
		while (end - p > 1 && *p == '0')
			p++;
	}
	if (p == end || end - p > 19 || (*p == '0' && end - p > 1))
		return false;
	uint64_t value = 0;
	for (; p < end; p++) {
		if (!byte_is_digit(*p))
			return false;
		value = value * 10 + (uint64_t)(*p - '0'); /* 19 digits fit in 64 bits */
	}
	if (value > INT64_MAX)
		return false;
	*ret = value;
	return true;
}

static enum http_refusal content_length(const struct http_head *h, uint64_t *ret)
{
	const struct http_field *first = http_head_get(h, HTTP_FIELD_CONTENT_LENGTH);
	bool lenient = (h->lenient & HTTP_LENIENT_LENGTH) != 0;

	if (http_head_repeats(h, HTTP_FIELD_CONTENT_LENGTH)) {
		if (!lenient)
			return HTTP_REFUSED_LENGTH_TWICE;
		for (const struct http_field *f = first; f < h->fields + h->n_fields; f++)
			if (f->id == HTTP_FIELD_CONTENT_LENGTH &&
			    !span_equal(f->value, first->value))
				return HTTP_REFUSED_LENGTH_TWICE;
	}
	return length_parse(first->value, lenient, ret) ? HTTP_REFUSED_NOTHING
							: HTTP_REFUSED_LENGTH;
}

/* Why a Transfer-Encoding other than "chunked" is refused: 501 where a coding is merely unknown to
 * us, 400 where nobody could tell the message's end. */
static enum http_refusal encoding_refusal(struct span list)
{
	struct span coding, last = { 0 };
	bool chunked_before = false;

	while (http_list_next(&list, &coding)) {
		chunked_before |= last.len > 0 && span_is_nocase(last, "chunked");
		if (!http_is_token(coding))
			return HTTP_REFUSED_ENCODING;
		last = coding;
	}
	return chunked_before || !span_is_nocase(last, "chunked") ? HTTP_REFUSED_ENCODING
								  : HTTP_REFUSED_ENCODING_OTHER;
}

static enum http_refusal body_kind(struct http_head *h, enum http_body_kind otherwise)
{
	bool encoded = http_head_has(h, HTTP_FIELD_TRANSFER_ENCODING);
	bool sized = http_head_has(h, HTTP_FIELD_CONTENT_LENGTH);

	h->body_length = 0;
	h->body = otherwise;
	if (encoded && h->minor == 0)
		return HTTP_REFUSED_ENCODING_OLD;
	if (encoded && sized)
		return HTTP_REFUSED_LENGTH_AND_ENCODING;
	if (encoded) {
		struct span value = http_head_value(h, HTTP_FIELD_TRANSFER_ENCODING);
		if (http_head_repeats(h, HTTP_FIELD_TRANSFER_ENCODING))
			return HTTP_REFUSED_ENCODING;
		if (!span_is_nocase(value, "chunked"))
			return encoding_refusal(value);
		h->body = HTTP_BODY_CHUNKED;
		return HTTP_REFUSED_NOTHING;
	}
	if (!sized)
		return HTTP_REFUSED_NOTHING;
	h->body = HTTP_BODY_LENGTH;
	return content_length(h, &h->body_length);
}

struct connection {
	bool close, keep_alive, upgrade;
};

/* One Connection field. Strict where a request's sender could make us drop what the message's meaning
 * hangs on, or where it is not the list that it should be. */
static enum http_refusal connection_parse(struct span value, bool strict, struct connection *c)
{
	struct span list = value, option;
	size_t n = 0, commas = 0;

	while (http_list_next(&list, &option)) {
		n++;
		if (!http_is_token(option))
			return HTTP_REFUSED_CONNECTION;
		c->close |= span_is_nocase(option, "close");
		c->keep_alive |= span_is_nocase(option, "keep-alive");
		c->upgrade |= span_is_nocase(option, "upgrade");
		if (span_is_nocase(option, "content-length") ||
		    span_is_nocase(option, "transfer-encoding") || span_is_nocase(option, "host"))
			return HTTP_REFUSED_CONNECTION;
	}
	for (size_t i = 0; i < value.len; i++)
		commas += value.data[i] == ',';
	return strict && n != commas + 1 ? HTTP_REFUSED_CONNECTION : HTTP_REFUSED_NOTHING;
}

static enum http_refusal connection_options(const struct http_head *h, bool strict,
					    struct connection *c)
{
	const struct http_field *f = http_head_get(h, HTTP_FIELD_CONNECTION);

	for (; f && f < h->fields + h->n_fields; f++) {
		if (f->id != HTTP_FIELD_CONNECTION)
			continue;
		enum http_refusal why = connection_parse(f->value, strict, c);
		if (why)
			return why;
	}
	return HTTP_REFUSED_NOTHING;
}

static enum http_refusal host_check(struct http_head *h)
{
	struct http_authority authority;

	h->host = http_head_value(h, HTTP_FIELD_HOST);
	if (h->lenient & HTTP_LENIENT_HOST)
		return HTTP_REFUSED_NOTHING;
	if (!http_head_has(h, HTTP_FIELD_HOST))
		return h->minor > 0 ? HTTP_REFUSED_HOST_MISSING : HTTP_REFUSED_NOTHING;
	if (http_head_repeats(h, HTTP_FIELD_HOST))
		return HTTP_REFUSED_HOST_TWICE;
	return http_authority_parse(h->host, &authority) < 0 ? HTTP_REFUSED_HOST
							     : HTTP_REFUSED_NOTHING;
}

enum http_refusal http_frame_request(struct http_head *h)
{
	struct connection c = { 0 };
	enum http_refusal why = body_kind(h, HTTP_BODY_NONE);

	if (!why)
		why = host_check(h);
	if (!why)
		why = connection_options(h, true, &c);
	if (why)
		return why;
	h->keep_alive = !c.close && (h->minor > 0 || c.keep_alive);
	h->upgrade = c.upgrade && h->minor > 0 && http_head_has(h, HTTP_FIELD_UPGRADE);
	h->expect_100 = h->minor > 0 &&
			span_is_nocase(http_head_value(h, HTTP_FIELD_EXPECT), "100-continue");
	return HTTP_REFUSED_NOTHING;
}

enum http_refusal http_frame_response(struct http_head *h, enum http_method to)
{
	struct connection c = { 0 };
	enum http_refusal why = body_kind(h, HTTP_BODY_CLOSE);

	if (!why)
		why = connection_options(h, false, &c);
	if (why)
		return why;
	h->interim = h->status < 200 && h->status != 101;
	h->upgrade = h->status == 101;
	/* RFC 9112 6.3, first two rules: these have no body whatever their fields say. */
	if (h->status < 200 || h->status == 204 || h->status == 304 || to == HTTP_METHOD_HEAD ||
	    (to == HTTP_METHOD_CONNECT && h->status < 300)) {
		h->body = HTTP_BODY_NONE;
		h->body_length = 0;
	}
	h->keep_alive = !c.close && (h->minor > 0 || c.keep_alive) && !h->upgrade &&
			h->body != HTTP_BODY_CLOSE;
	return HTTP_REFUSED_NOTHING;
}
