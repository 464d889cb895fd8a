/* SPDX-License-Identifier: Apache-2.0 */
/* Replaces ${NAME}. */
#include "runner/expand.h"
#include "base/buf.h"
#include "runner/environment.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>

/* Length of the name that starts here ([A-Za-z_][A-Za-z0-9_]*), 0 when none does. */
static size_t name_length(const char *p)
{
	size_t n = 0;
	while (isalpha((unsigned char)p[n]) || p[n] == '_' || (n && isdigit((unsigned char)p[n])))
		n++;
	return n;
}

int expand(const char *text, const char *const *environment, size_t max, char **ret,
	   char *ret_missing, size_t size)
{
	_cleanup_buf_ struct buf out = BUF_INIT(max);
	for (const char *p = text;;) {
		const char *dollar = strstr(p, "${");
		size_t plain = dollar ? (size_t)(dollar - p) : strlen(p);
		int r = buf_append(&out, p, plain);
		if (r < 0)
			return r;
		if (!dollar)
			break;
		size_t n = name_length(dollar + 2);
		if (!n || dollar[2 + n] != '}')
			return -EINVAL;
		char name[256];
		snprintf(name, sizeof(name), "%.*s", (int)(n < sizeof(name) ? n : sizeof(name) - 1),
			 dollar + 2);
		const char *value = environment_get(environment, name);
		if (!value) {
			snprintf(ret_missing, size, "%s", name);
			return -ENOENT;
		}
		r = buf_append_str(&out, value);
		if (r < 0)
			return r;
		p = dollar + 2 + n + 1;
	}
	char *taken = buf_take(&out);
	if (!taken)
		return -ENOMEM;
	*ret = taken;
	return 0;
}
