/* SPDX-License-Identifier: Apache-2.0 */
/* Compares two states of /proc/self/mountinfo. */
#include "runner/mounts.h"
#include "base/cleanup.h"
#include "base/fd.h"

#include <stdlib.h>

#define MOUNTINFO_MAX (16 * 1024 * 1024)

char *mounts_now(void)
{
	char *text;
	size_t n;
	return file_read("/proc/self/mountinfo", MOUNTINFO_MAX, &text, &n) < 0 ? NULL : text;
}

/* Undo the kernel's \040 for a space and the like, in place. */
static void unescape(char *s)
{
	char *to = s;
	for (; *s; s++, to++) {
		char octal[4] = "";
		if (*s == '\\' && strspn(s + 1, "01234567") >= 3) {
			memcpy(octal, s + 1, 3);
			*to = (char)strtoul(octal, NULL, 8);
			s += 3;
		} else {
			*to = *s;
		}
	}
	*to = '\0';
}

static bool is_at_or_below(const char *path, const char *folder)
{
	size_t n = strlen(folder);
	return n && !strncmp(path, folder, n) && (path[n] == '/' || path[n] == '\0');
}

/* A line's first five fields say which mount it is and where: its number, its parent's, the device, what of
 * it, and the mount point. Their length, or 0. */
static size_t identity(const char *line, const char **ret_where)
{
	const char *at = line;
	for (unsigned field = 0; field < 5; field++) {
		*ret_where = at;
		at += strcspn(at, " \n");
		if (*at != ' ')
			return 0;
		at++;
	}
	return (size_t)(at - line);
}

static bool was_there(const char *before, const char *line, size_t n)
{
	for (const char *at = before; at && *at; at = strchr(at, '\n'), at += at != NULL)
		if (!strncmp(at, line, n))
			return true;
	return false;
}

void mounts_left(const char *before, const char *folder, struct buf *names)
{
	_cleanup_free_ char *now = mounts_now();
	const char *where;
	for (const char *at = now; at && *at; at = strchr(at, '\n'), at += at != NULL) {
		size_t n = identity(at, &where);
		if (!n || was_there(before, at, n))
			continue;
		_cleanup_free_ char *path = strndup(where, n - 1 - (size_t)(where - at));
		if (!path)
			return;
		unescape(path);
		if (is_at_or_below(path, folder))
			(void)buf_printf(names, "%smount %s", names->len ? ", " : "", path);
	}
}
