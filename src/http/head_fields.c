/* SPDX-License-Identifier: Apache-2.0 */
/* What users ask of a parsed head's fields: hop-by-hop or not, lists. */
#include "http/byte.h"
#include "http/head.h"

static bool is_nominated(const struct http_head *h, struct span name)
{
	const struct http_field *f = http_head_get(h, HTTP_FIELD_CONNECTION);

	for (; f && f < h->fields + h->n_fields; f++) {
		if (f->id != HTTP_FIELD_CONNECTION)
			continue;
		struct span list = f->value, option;
		while (http_list_next(&list, &option))
			if (span_equal_nocase(option, name))
				return true;
	}
	return false;
}

bool http_field_is_hop(const struct http_head *h, unsigned index)
{
	const struct http_field *f = &h->fields[index];

	switch (f->id) {
	case HTTP_FIELD_CONNECTION:
	case HTTP_FIELD_KEEP_ALIVE:
	case HTTP_FIELD_PROXY_CONNECTION:
	case HTTP_FIELD_PROXY_AUTHORIZATION:
	case HTTP_FIELD_PROXY_AUTHENTICATE:
	case HTTP_FIELD_TRANSFER_ENCODING:
	case HTTP_FIELD_UPGRADE:
		return true;
	default:
		return is_nominated(h, f->name);
	}
}

/* Bytes of the first element of s, with the white space around it; stops at a comma outside quotes. */
static size_t element_length(struct span s)
{
	bool quoted = false;
	size_t i = 0;

	for (; i < s.len && (quoted || s.data[i] != ','); i++) {
		if (s.data[i] == '"')
			quoted = !quoted;
		else if (quoted && s.data[i] == '\\' && i + 1 < s.len)
			i++;
	}
	return i;
}

bool http_list_next(struct span *list, struct span *ret_element)
{
	while (list->len > 0) {
		size_t n = element_length(*list);
		struct span e = { list->data, n };
		n += n < list->len; /* its comma */
		list->data += n;
		list->len -= n;
		e = span_trim(e);
		if (e.len > 0) {
			*ret_element = e;
			return true;
		}
	}
	return false;
}
