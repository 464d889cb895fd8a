/* SPDX-License-Identifier: Apache-2.0 */
/* The one folder that attempts write into: made when there is a place for it, and removed with all that is in it. */
#include "probe/probe.h"

#include <dirent.h>
#include <sys/stat.h>

static char folder[200];

const char *scratch_folder(void)
{
	return *folder ? folder : NULL;
}

bool scratch_is_below(const char *path)
{
	size_t n = strlen(path);
	return !strncmp(folder, path, n) && folder[n] == '/';
}

void scratch_make(void)
{
	const char *const places[] = { getenv("TMPDIR"), "/tmp", "/var/tmp", "." };
	for (size_t i = 0; i < ELEMENTS(places) && !*folder; i++) {
		if (!places[i] || !*places[i])
			continue;
		_cleanup_free_ char *place = realpath(places[i], NULL);
		if (!place || strlen(place) > sizeof(folder) - 32)
			continue;
		snprintf(folder, sizeof(folder), "%s/postern-probe-XXXXXX", place);
		if (!mkdtemp(folder))
			*folder = '\0';
	}
}

/* An engine leaves folders that not even their owner may look into. */
static void empty(int at, const char *name)
{
	(void)fchmodat(at, name, 0700, 0);
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	for (struct dirent *entry; (entry = readdir(dir));) {
		struct stat st;
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") ||
		    fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (S_ISDIR(st.st_mode))
			empty(fd, entry->d_name);
		(void)unlinkat(fd, entry->d_name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0);
	}
	closedir(dir);
}

void scratch_empty(void)
{
	if (*folder)
		empty(AT_FDCWD, folder);
}

void scratch_remove(void)
{
	scratch_empty();
	if (*folder)
		(void)rmdir(folder);
	*folder = '\0';
}
