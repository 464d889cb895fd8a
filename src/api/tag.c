/* SPDX-License-Identifier: Apache-2.0 */
/* Checks and composes names of images. */
#include "api/tag.h"

#include <errno.h>
#include <string.h>

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* Length of one path component of the reference grammar (distribution/reference): words joined by
 * '.', one or two '_', or any number of '-'; 0 when there is none. */
static size_t component(const char *s)
{
	size_t n = 0;
	for (;;) {
		size_t word = n;
		while (is_word(s[n]))
			n++;
		if (n == word)
			return 0;
		size_t mark = n;
		if (s[n] == '.')
			n++;
		else if (s[n] == '_')
			n += s[n + 1] == '_' ? 2 : 1;
		else
			while (s[n] == '-')
				n++;
		if (n == mark)
			return n;
	}
}

static size_t path(const char *s)
{
	size_t n = 0;
	for (;;) {
		size_t c = component(s + n);
		if (!c)
			return 0;
		n += c;
		if (s[n] != '/')
			return n;
		n++;
	}
}

static bool is_version(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");
	return n > 0 && n <= 128 && !s[n] && *s != '.' && *s != '-';
}

int tag_compose(const char *prefix, const char *given, const char *fallback, char ret[TAG_MAX],
		struct error *e)
{
	const char *name = given ? given : fallback;
	size_t skip = strlen(prefix);
	if (!strncmp(name, prefix, skip))
		name += skip;
	size_t n = path(name);
	if (!n || (name[n] && name[n] != ':') || (name[n] == ':' && !is_version(name + n + 1)))
		return error_set(e, EINVAL,
				 "tag '%.100s' is not NAME or NAME:VERSION in lower case "
				 "(for example app:1.0)",
				 given ? given : fallback);
	char whole[TAG_MAX];
	int len = snprintf(whole, sizeof(whole), "%s%s%s", prefix, name, name[n] ? "" : ":latest");
	if (len < 0 || (size_t)len >= sizeof(whole))
		return error_set(e, EINVAL, "tag is longer than %d bytes", TAG_MAX - 1 - (int)skip);
	memcpy(ret, whole, (size_t)len + 1);
	return 0;
}

bool tag_is_base_name(const char *name)
{
	size_t n = component(name);
	return n > 0 && n <= 64 && !name[n];
}
