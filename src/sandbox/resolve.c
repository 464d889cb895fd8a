/* SPDX-License-Identifier: Apache-2.0 */
/* Walks a path one part at a time. */
#include "sandbox/resolve.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINKS_MAX 40 /* as the kernel's own */

int writable_add(struct writable *w, const char *path)
{
	char *real = realpath(path, NULL);
	if (!real)
		return errno == ENOMEM ? -ENOMEM : 0;
	if (w->n == ELEMENTS(w->folder)) {
		free(real);
		return -ENOMEM;
	}
	w->folder[w->n++] = real;
	return 0;
}

void writable_done(struct writable *w)
{
	while (w->n)
		free(w->folder[--w->n]);
}

static bool is_writable(const struct writable *w, const char *folder)
{
	for (unsigned i = 0; i < w->n; i++) {
		size_t n = strlen(w->folder[i]);
		if (!strncmp(folder, w->folder[i], n) && (folder[n] == '/' || !folder[n]))
			return true;
	}
	return false;
}

/* What is still to be walked: where the symlink at `link` says, and then what was left. */
static int follow(const char *link, char rest[PATH_MAX])
{
	char target[PATH_MAX], joined[PATH_MAX];
	ssize_t n = readlink(link, target, sizeof(target) - 1);
	if (n < 0)
		return -errno;
	target[n] = '\0';
	int size = snprintf(joined, sizeof(joined), "%s/%s", target, rest);
	if (size < 0 || size >= (int)sizeof(joined))
		return -ENAMETOOLONG;
	memcpy(rest, joined, (size_t)size + 1);
	return 0;
}

/* Take the next part off rest; its length, 0 at the end. */
static size_t take(char rest[PATH_MAX], char part[NAME_MAX + 1])
{
	size_t skip = strspn(rest, "/"), n = strcspn(rest + skip, "/");
	if (n <= NAME_MAX) {
		memcpy(part, rest + skip, n);
		part[n] = '\0';
	}
	memmove(rest, rest + skip + n, strlen(rest + skip + n) + 1);
	return n;
}

int resolve_path(const struct writable *w, const char *path, char ret[PATH_MAX])
{
	char rest[PATH_MAX], part[NAME_MAX + 1], next[PATH_MAX];
	unsigned links = 0;
	size_t at = 0, n; /* of ret, which has no slash at its end: "" is the root */
	if (strlen(path) >= sizeof(rest))
		return -ENAMETOOLONG;
	snprintf(rest, sizeof(rest), "%s", path);
	ret[0] = '\0';
	while ((n = take(rest, part))) {
		struct stat st;
		if (n > NAME_MAX || at + n + 2 > PATH_MAX)
			return -ENAMETOOLONG;
		if (!strcmp(part, ".."))
			at = at ? (size_t)(strrchr(ret, '/') - ret) : 0;
		ret[at] = '\0';
		if (!strcmp(part, ".") || !strcmp(part, ".."))
			continue;
		snprintf(next, sizeof(next), "%.*s/%s", (int)at, ret, part);
		if (lstat(next, &st) < 0)
			return -errno;
		bool barred = S_ISLNK(st.st_mode) && is_writable(w, ret);
		if (!S_ISLNK(st.st_mode) || barred) {
			at += n + 1;
			memcpy(ret, next, at + 1);
			if (barred)
				return -EPERM;
			continue;
		}
		int r = ++links > LINKS_MAX ? -ELOOP : follow(next, rest);
		if (r < 0)
			return r;
		at = *rest == '/' ? 0 : at;
		ret[at] = '\0';
	}
	if (!at)
		memcpy(ret, "/", 2);
	return 0;
}

int absolute_path(const char *path, char ret[PATH_MAX])
{
	char here[PATH_MAX] = "";
	if (*path != '/' && !getcwd(here, sizeof(here)))
		return -errno;
	int n = snprintf(ret, PATH_MAX, "%s%s%s", here, *here ? "/" : "", path);
	return n < 0 || n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

int writable_excludes(const struct writable *w, const char *path)
{
	char real[PATH_MAX];
	int r = resolve_path(w, path, real);
	return r == 0 && is_writable(w, real) ? -EPERM : r;
}
