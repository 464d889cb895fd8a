/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes heads. Input: a digit of flags (1 a response, 2 and 4 the leniencies, 8 a small limit), a letter for the method that
 * is answered, two bytes that say how to divide the text, the text. In pieces it must be read as at once; nothing behind the
 * head may matter; what was understood, written again, must be understood again.
 */
#include "base/limit.h"
#include "http/head_compare.h"
#include "http/target.h"
#include "http/write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static bool inside(struct span s, const char *base, size_t len)
{
	return s.len == 0 || (s.data >= base && s.data + s.len <= base + len);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static void check_fields(const struct http_head *h, const char *base)
{
	assert(h->n_fields <= LIMIT_HTTP_HEADERS);
	for (unsigned i = 0; i < h->n_fields; i++) {
		struct span name = h->fields[i].name, v = h->fields[i].value, list = v, element;
		assert(inside(name, base, h->length) && inside(v, base, h->length));
		assert(http_is_token(name) && http_field_id(name) == h->fields[i].id);
		assert(!v.len || (!is_blank(v.data[0]) && !is_blank(v.data[v.len - 1])));
		assert(!v.len || (!memchr(v.data, '\r', v.len) && !memchr(v.data, '\n', v.len) &&
				  !memchr(v.data, '\0', v.len)));
		(void)http_field_is_hop(h, i);
		while (http_list_next(&list, &element))
			assert(element.len > 0 && inside(element, v.data, v.len));
	}
	for (unsigned id = 1; id < HTTP_FIELD_COUNT; id++)
		if (h->first[id])
			assert(h->fields[h->first[id] - 1].id == (enum http_field_id)id);
}

/* What a strict head never is. */
static void check_framing(const struct http_head *h, bool request)
{
	bool sized = http_head_has(h, HTTP_FIELD_CONTENT_LENGTH);
	bool encoded = http_head_has(h, HTTP_FIELD_TRANSFER_ENCODING);

	assert(!(sized && encoded) && !(encoded && h->minor == 0));
	assert(h->body_length <= INT64_MAX);
	assert(h->body == HTTP_BODY_LENGTH || h->body_length == 0);
	if (request) {
		assert(h->body != HTTP_BODY_CLOSE);
		assert((h->body == HTTP_BODY_CHUNKED) == encoded);
		assert((h->body == HTTP_BODY_LENGTH) == sized);
		assert(h->minor == 0 || (h->lenient & HTTP_LENIENT_HOST) || h->host.len > 0);
	}
	if (!(h->lenient & HTTP_LENIENT_LENGTH))
		assert(!http_head_repeats(h, HTTP_FIELD_CONTENT_LENGTH));
}

static void check_written_again(const struct head_input *in, const struct http_head *h)
{
	static char out[LIMIT_HTTP_HEAD_BYTES * 2], reason[LIMIT_HTTP_HEAD_BYTES];
	static struct http_head again;
	struct http_writer w = HTTP_WRITER(out, sizeof(out));
	struct http_scan scan = { 0 };
	size_t len;

	if (in->request) {
		http_write_request(&w, h->method, h->target);
	} else {
		snprintf(reason, sizeof(reason), "%.*s", SPAN_FORMAT(h->reason));
		http_write_status(&w, h->status, reason);
	}
	for (unsigned i = 0; i < h->n_fields; i++)
		http_write_field(&w, h->fields[i].name, h->fields[i].value);
	int r = http_write_end(&w, &len);
	assert(r == 0);
	if (h->minor == 0 || len > LIMIT_HTTP_HEAD_BYTES)
		return; /* it is HTTP/1.1 now, or has grown by the blanks behind the colons */
	struct http_rules rules = { .lenient = h->lenient };
	r = in->request ? http_request_parse(&scan, out, len, &rules, &again)
			: http_response_parse(&scan, out, len, in->to, &rules, &again);
	assert(r == 0 && again.length == len && again.n_fields == h->n_fields);
	assert(span_equal(again.method, h->method) && span_equal(again.target, h->target));
	assert(again.status == h->status && span_equal(again.reason, h->reason));
	assert(again.body == h->body && again.body_length == h->body_length);
	assert(again.keep_alive == h->keep_alive && again.upgrade == h->upgrade);
	for (unsigned i = 0; i < h->n_fields; i++)
		assert(span_equal(again.fields[i].name, h->fields[i].name) &&
		       span_equal(again.fields[i].value, h->fields[i].value));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct http_head head;
	char *base;

	if (n < 4)
		return 0;
	struct http_rules rules = { .lenient = data[0] >> 1 & 3,
				    .head_bytes = data[0] & 8 ? 64 : 0 };
	struct head_input in = { .text = { (const char *)data + 4, n - 4 },
				 .request = !(data[0] & 1),
				 .to = (enum http_method)(data[1] % HTTP_METHOD_COUNT),
				 .rules = &rules };
	int r = head_parse_growing(&in, in.text.len, 1, &head, &base);
	assert(r == 0 || r == -EAGAIN || r == -EBADMSG);
	assert(head_grows_alike(&in, data[2], (size_t)data[3] + 1, r, &head, base));
	if (r == -EAGAIN)
		assert(n - 4 < (rules.head_bytes ? rules.head_bytes : LIMIT_HTTP_HEAD_BYTES));
	if (r == 0) {
		assert(head.length <= in.text.len && head.length <= LIMIT_HTTP_HEAD_BYTES);
		in.text.len = head.length;
		assert(head_grows_alike(&in, in.text.len, 1, 0, &head, base));
		in.text.len--;
		assert(head_grows_alike(&in, in.text.len, 1, -EAGAIN, &head, base));
		check_fields(&head, base);
		check_framing(&head, in.request);
		check_written_again(&in, &head);
	}
	free(base);
	return 0;
}
