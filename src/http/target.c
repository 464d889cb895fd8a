/* SPDX-License-Identifier: Apache-2.0 */
/* Request targets and authorities taken apart; see path.c for the canonical form of paths. */
#include "http/target.h"
#include "http/byte.h"
#include <arpa/inet.h>
#include <errno.h>

#define NAME_MAX_BYTES 253 /* RFC 1035 2.3.4, as text, a final dot not counted */

static bool port_parse(struct span s, uint16_t *ret)
{
	unsigned value = 0;

	if (s.len == 0 || s.len > 5 || s.data[0] == '0')
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (!byte_is_digit(s.data[i]))
			return false;
		value = value * 10 + (unsigned)(s.data[i] - '0');
	}
	if (value > UINT16_MAX)
		return false;
	*ret = (uint16_t)value;
	return true;
}

static bool is_address(int family, struct span s)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr address;

	if (s.len == 0 || s.len >= sizeof(text) || memchr(s.data, '\0', s.len))
		return false;
	memcpy(text, s.data, s.len);
	text[s.len] = '\0';
	return inet_pton(family, text, &address) == 1;
}

/* The last label is decimal or 0x…: what inet_aton() and some resolvers take for an address. */
static bool ends_in_number(struct span s)
{
	if (s.len > 0 && s.data[s.len - 1] == '.')
		s.len--;
	size_t from = s.len;
	while (from > 0 && s.data[from - 1] != '.')
		from--;
	const char *label = s.data + from;
	size_t n = s.len - from;
	bool hex = n >= 2 && label[0] == '0' && byte_lower(label[1]) == 'x';

	for (size_t i = hex ? 2 : 0; i < n; i++)
		if (hex ? byte_hex(label[i]) < 0 : !byte_is_digit(label[i]))
			return false;
	return n > 0;
}

/* A name: labels of 1 to 63 bytes between dots, one dot at the end allowed. */
static bool is_name(struct span s)
{
	size_t label = 0;

	if (s.len > 0 && s.data[s.len - 1] == '.')
		s.len--;
	if (s.len == 0 || s.len > NAME_MAX_BYTES || s.data[s.len - 1] == '.')
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (!byte_is(s.data[i], BYTE_HOST))
			return false;
		label = s.data[i] == '.' ? 0 : label + 1;
		if (label > 63 || (s.data[i] == '.' && (i == 0 || s.data[i - 1] == '.')))
			return false;
	}
	return true;
}

int http_authority_parse(struct span text, struct http_authority *ret)
{
	struct http_authority a = { .kind = HTTP_HOST_IPV6 };
	struct span rest = text;

	if (text.len > 0 && text.data[0] == '[') {
		const char *close = memchr(text.data, ']', text.len);
		if (!close)
			return -EINVAL;
		a.host = (struct span){ text.data + 1, (size_t)(close - text.data) - 1 };
		if (!is_address(AF_INET6, a.host))
			return -EINVAL;
		rest.data = close + 1;
		rest.len = text.len - a.host.len - 2;
	} else {
		const char *colon = text.len ? memchr(text.data, ':', text.len) : NULL;
		a.host = (struct span){ text.data, colon ? (size_t)(colon - text.data) : text.len };
		if (!is_name(a.host))
			return -EINVAL;
		a.kind = HTTP_HOST_NAME;
		if (ends_in_number(a.host))
			a.kind = is_address(AF_INET, a.host) ? HTTP_HOST_IPV4 : HTTP_HOST_NUMBER;
		rest.data += a.host.len;
		rest.len -= a.host.len;
	}
	if (rest.len > 0) {
		struct span port = { rest.data + 1, rest.len - 1 };
		if (rest.data[0] != ':' || !port_parse(port, &a.port))
			return -EINVAL;
		a.has_port = true;
	}
	*ret = a;
	return 0;
}

/* Whatever stands where it stands, these may not be in a target (RFC 3986 2). */
static enum http_refusal bytes_check(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.data[i];
		if (c == '#')
			return HTTP_REFUSED_TARGET_FRAGMENT;
		if (c >= 0x80)
			return HTTP_REFUSED_TARGET_RAW;
		if (c <= 0x20 || c == 0x7f)
			return HTTP_REFUSED_TARGET_BYTE;
	}
	return HTTP_REFUSED_NOTHING;
}

static void path_and_query(struct span s, struct http_target *t)
{
	const char *mark = s.len ? memchr(s.data, '?', s.len) : NULL;

	t->path = (struct span){ s.data, mark ? (size_t)(mark - s.data) : s.len };
	t->has_query = mark != NULL;
	if (mark)
		t->query = (struct span){ mark + 1, s.len - t->path.len - 1 };
}

/* Length of "scheme" before "://", or 0. */
static size_t scheme_length(struct span s)
{
	size_t n = 0;

	while (n < s.len && (byte_is_alnum(s.data[n]) ||
			     (n > 0 && (s.data[n] == '+' || s.data[n] == '-' || s.data[n] == '.'))))
		n++;
	if (n == 0 || byte_is_digit(s.data[0]) || s.len - n < 3 ||
	    memcmp(s.data + n, "://", 3) != 0)
		return 0;
	return n;
}

static enum http_refusal absolute_parse(struct span s, size_t scheme, struct http_target *t)
{
	t->form = HTTP_TARGET_ABSOLUTE;
	t->scheme = (struct span){ s.data, scheme };
	s.data += scheme + 3;
	s.len -= scheme + 3;
	size_t n = 0;
	while (n < s.len && s.data[n] != '/' && s.data[n] != '?')
		n++;
	if (http_authority_parse((struct span){ s.data, n }, &t->authority) < 0)
		return HTTP_REFUSED_TARGET_AUTHORITY;
	path_and_query((struct span){ s.data + n, s.len - n }, t);
	return HTTP_REFUSED_NOTHING;
}

static enum http_refusal target_parse(struct span s, enum http_method method, struct http_target *t)
{
	enum http_refusal why = bytes_check(s);

	if (why)
		return why;
	if (method == HTTP_METHOD_CONNECT) {
		t->form = HTTP_TARGET_AUTHORITY;
		if (http_authority_parse(s, &t->authority) < 0 || !t->authority.has_port)
			return HTTP_REFUSED_TARGET_AUTHORITY;
		return HTTP_REFUSED_NOTHING;
	}
	if (s.len > 0 && s.data[0] == '/') {
		t->form = HTTP_TARGET_ORIGIN;
		path_and_query(s, t);
		return HTTP_REFUSED_NOTHING;
	}
	if (method == HTTP_METHOD_OPTIONS && span_is(s, "*")) {
		t->form = HTTP_TARGET_ASTERISK;
		return HTTP_REFUSED_NOTHING;
	}
	size_t scheme = scheme_length(s);
	return scheme ? absolute_parse(s, scheme, t) : HTTP_REFUSED_TARGET_FORM;
}

int http_target_parse(struct span target, enum http_method method, struct http_target *ret,
		      enum http_refusal *ret_why)
{
	struct http_target t = { 0 };
	enum http_refusal why = target_parse(target, method, &t);

	if (why) {
		*ret_why = why;
		return -EBADMSG;
	}
	*ret = t;
	return 0;
}
