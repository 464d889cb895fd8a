/* SPDX-License-Identifier: Apache-2.0 */
/* Copies the links of additional stores' layers into the engine's own storage. */
#include "worker/layers.h"
#include "base/cleanup.h"
#include "worker/engine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>

#define OWN_LINKS INSIDE_STORAGE "/overlay/l"
/* From there to the jail's root. Engines join a link's text with another folder of that depth, so
 * it has to be relative; by the second ".." ours are told from "../ID/diff", which a store has. */
#define TO_ROOT "../../../.."

static void close_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}
#define _cleanup_dir_ _cleanup_(close_dir)

static bool is_dot(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

static int link_store(const char *store, int to)
{
	char path[PATH_MAX + 16], target[PATH_MAX], name[PATH_MAX * 2 + 32];
	snprintf(path, sizeof(path), "%s/overlay/l", store);
	_cleanup_dir_ DIR *dir = opendir(path);
	struct dirent *entry;
	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while ((entry = readdir(dir))) {
		ssize_t n = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);
		if (n < 0)
			continue;
		target[n] = '\0';
		if (strncmp(target, "../", 3) != 0 || !strncmp(target, TO_ROOT, strlen(TO_ROOT)))
			continue;
		snprintf(name, sizeof(name), TO_ROOT "%s/overlay/%s", store, target + 3);
		if (symlinkat(name, to, entry->d_name) < 0 && errno != EEXIST)
			return -errno;
	}
	return 0;
}

static int link_stores(const char *folder, int to)
{
	char path[PATH_MAX];
	_cleanup_dir_ DIR *dir = opendir(folder);
	struct dirent *entry;
	int r = 0;
	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while (r == 0 && (entry = readdir(dir))) {
		if (is_dot(entry->d_name))
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		r = link_store(path, to);
	}
	return r;
}

int layers_link(void)
{
	if ((mkdir(INSIDE_STORAGE "/overlay", 0700) < 0 && errno != EEXIST) ||
	    (mkdir(OWN_LINKS, 0700) < 0 && errno != EEXIST))
		return -errno;
	_cleanup_close_ int to = open(OWN_LINKS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (to < 0)
		return -errno;
	int r = link_stores(INSIDE_STORES,
			    to); /* the bases; the folder of earlier builds has none */
	return r < 0 ? r : link_stores(INSIDE_STORES "/run", to);
}

void layers_unlink(void)
{
	char target[PATH_MAX];
	_cleanup_dir_ DIR *dir = opendir(OWN_LINKS);
	struct dirent *entry;
	while (dir && (entry = readdir(dir)))
		if (readlinkat(dirfd(dir), entry->d_name, target, sizeof(target)) >
			    (ssize_t)strlen(TO_ROOT) &&
		    !strncmp(target, TO_ROOT, strlen(TO_ROOT)))
			unlinkat(dirfd(dir), entry->d_name, 0);
}
