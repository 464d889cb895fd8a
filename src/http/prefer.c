/* SPDX-License-Identifier: Apache-2.0 */
/* Preferences: token [ "=" ( token / quoted-string ) ] *( ";" parameter ). */
#include "http/prefer.h"
#include "http/byte.h"

static void space_skip(struct span *s)
{
	while (s->len && byte_is_space(s->data[0])) {
		s->data++;
		s->len--;
	}
}

static struct span take(struct span *s, size_t n)
{
	struct span taken = { s->data, n };
	s->data += n;
	s->len -= n;
	return taken;
}

static struct span token_take(struct span *s)
{
	size_t n = 0;
	while (n < s->len && byte_is(s->data[n], BYTE_TOKEN))
		n++;
	return take(s, n);
}

/* What stands between quotes, as it is: a value with a backslash in it means nothing to anybody. */
static struct span quoted_take(struct span *s)
{
	const char *end = memchr(s->data + 1, '"', s->len - 1);
	size_t n = end ? (size_t)(end - s->data) : 0;
	struct span value = { s->data + 1, n ? n - 1 : 0 };
	take(s, n ? n + 1 : s->len);
	return value;
}

/* What follows the name. */
static struct span value_of(struct span s)
{
	struct span value = { 0 };
	space_skip(&s);
	if (s.len && s.data[0] == '=') {
		take(&s, 1);
		space_skip(&s);
		if (s.len && s.data[0] == '"')
			value = quoted_take(&s);
		else
			value = token_take(&s);
		space_skip(&s);
	}
	bool wrong = s.len && s.data[0] != ';';
	return wrong ? SPAN("") : value;
}

bool http_prefer_find(const struct http_head *h, const char *name, struct span *ret_value)
{
	struct span list, item;
	for (unsigned i = 0; i < h->n_fields; i++) {
		if (h->fields[i].id != HTTP_FIELD_PREFER)
			continue;
		list = h->fields[i].value;
		while (http_list_next(&list, &item)) {
			if (!span_is_nocase(token_take(&item), name))
				continue;
			*ret_value = value_of(item);
			return true;
		}
	}
	return false;
}
