/* SPDX-License-Identifier: Apache-2.0 */
/* Host names with wildcards: `*` within one label, `**` first for one label or more. */
#include "policy/model.h"

#include <arpa/inet.h>
#include <errno.h>

/* Text without dots against a pattern in which `*` is any number of characters. */
static bool label_match(struct span pattern, struct span text)
{
	size_t p = 0, t = 0, star = SIZE_MAX, mark = 0;
	while (t < text.len) {
		if (p < pattern.len && pattern.data[p] == '*') {
			star = p++;
			mark = t;
		} else if (p < pattern.len && pattern.data[p] == text.data[t]) {
			p++;
			t++;
		} else if (star != SIZE_MAX) {
			p = star + 1;
			t = ++mark;
		} else {
			return false;
		}
	}
	while (p < pattern.len && pattern.data[p] == '*')
		p++;
	return p == pattern.len;
}

/* Take the first label off. */
static struct span next_label(struct span *rest)
{
	const char *dot = rest->len ? memchr(rest->data, '.', rest->len) : NULL;
	size_t n = dot ? (size_t)(dot - rest->data) : rest->len;
	struct span label = { rest->data, n };
	rest->data += n;
	rest->len -= n;
	return label;
}

static bool labels_match(struct span pattern, struct span host)
{
	for (;;) {
		struct span p = next_label(&pattern), h = next_label(&host);
		if (!h.len || !label_match(p, h))
			return false;
		if (!pattern.len || !host.len)
			return !pattern.len && !host.len;
		pattern.data++; /* the dots */
		pattern.len--;
		host.data++;
		host.len--;
	}
}

bool host_match(const char *pattern, struct span host)
{
	struct span p = span_of(pattern);
	if (strncmp(pattern, "**.", 3) != 0)
		return labels_match(p, host);
	/* Two stars stand for one label or more: try each tail of the host. */
	p.data += 3;
	p.len -= 3;
	if (!host.len || host.data[0] == '.')
		return false;
	for (size_t i = 1; i < host.len; i++)
		if (host.data[i] == '.' &&
		    labels_match(p, (struct span){ host.data + i + 1, host.len - i - 1 }))
			return true;
	return false;
}

static int check_wildcards(const char *host, struct error *e)
{
	if (!strcmp(host, "*") || !strcmp(host, "**"))
		return error_set(e, EINVAL,
				 "host \"%s\" is every host; write for example "
				 "\"*.example.com\"",
				 host);
	struct span rest = span_of(host);
	unsigned labels = 0;
	struct span first = { 0 };
	for (;; labels++) {
		struct span label = next_label(&rest);
		bool last = !rest.len;
		bool star = label.len && memchr(label.data, '*', label.len);
		bool two = label.len > 1 && memmem(label.data, label.len, "**", 2);
		if (!labels)
			first = label;
		if (two && (labels || label.len != 2))
			return error_set(e, EINVAL,
					 "\"**\" must be the whole first label of the host, "
					 "as in \"**.example.com\"");
		if (star && labels && !last && label.len != 1)
			return error_set(e, EINVAL,
					 "a wildcard after the first label must be the "
					 "whole label \"*\"");
		if (last)
			break;
		rest.data++;
		rest.len--;
	}
	if (labels == 1 && (span_is(first, "*") || span_is(first, "**")))
		return error_set(e, EINVAL,
				 "host \"%s\" is a whole top-level domain; write for example "
				 "\"*.example%s\"",
				 host, host + first.len);
	if (strpbrk(host, "?[]{}"))
		return error_set(e, EINVAL,
				 "in a host with \"*\" the characters ? [ ] { } are not "
				 "supported; write one endpoint for each host");
	return 0;
}

int host_check(const char *host, struct error *e)
{
	struct in6_addr v6;
	if (!*host)
		return error_set(e, EINVAL, "the host is empty; write a name or an address");
	if (strlen(host) > 253)
		return error_set(e, EINVAL, "the host is longer than 253 bytes");
	if (strstr(host, "://"))
		return error_set(e, EINVAL,
				 "the host is a URL; write the name alone, and the port as "
				 "\"port\"");
	if (host[0] == '[' && strchr(host, ':'))
		return error_set(e, EINVAL, "write an IPv6 address without [ ]");
	if (strchr(host, ':') && inet_pton(AF_INET6, host, &v6) != 1)
		return error_set(e, EINVAL, "the host holds a \":\"; write the port as \"port\"");
	for (const unsigned char *c = (const unsigned char *)host; *c; c++)
		if (*c <= ' ' || *c >= 0x7f || strchr("/\\@#%\"", *c))
			return error_set(e, EINVAL, "the host holds a character that no host has");
	return strchr(host, '*') ? check_wildcards(host, e) : 0;
}
