/* SPDX-License-Identifier: Apache-2.0 */
/* Makes and removes a run's folders. */
#include "runner/folders.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "keeper/state_dir.h"
#include "runner/environment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/file.h>
#include <sys/stat.h>

#define TEMP_BASE_MAX                                                                              \
	50 /* bytes of the folder that the temporary one is in: sockets' paths end at 107 */
#define TEMP_PREFIX "postern-run-"
#define KEPT_PREFIX "postern-kept-"

/* mkdir -p; the last part may exist. */
static int make_folders(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		int r = mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
		*slash = '/';
		if (r < 0)
			return r;
	}
	return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

int output_make(const char *output, const char *run_id, char ret[FOLDER_PATH_SIZE], struct error *e)
{
	char wanted[FOLDER_PATH_SIZE], workspace[FOLDER_PATH_SIZE];
	if (output)
		snprintf(wanted, sizeof(wanted), "%s", output);
	else
		snprintf(wanted, sizeof(wanted), ".postern/runs/%s", run_id);
	int r = make_folders(wanted);
	if (r < 0)
		return error_set(e, -r, "cannot make the output folder %s: %s", wanted,
				 strerror(-r));
	_cleanup_free_ char *absolute = realpath(wanted, NULL);
	if (!absolute)
		return error_set(e, errno, "cannot use the output folder %s: %s", wanted,
				 strerror(errno));
	int n = snprintf(workspace, sizeof(workspace), "%s/workspace", absolute);
	if (n < 0 || (size_t)n >= sizeof(workspace))
		return error_set(e, ENAMETOOLONG, "the output folder's path is too long");
	if (mkdir(workspace, 0700) < 0)
		return error_set(e, errno, "cannot make %s: %s%s", workspace, strerror(errno),
				 errno == EEXIST ? "; each run needs an output folder of its own"
						 : "");
	snprintf(ret, FOLDER_PATH_SIZE, "%s", absolute);
	return 0;
}

int temp_remove(const char *temp)
{
	char path[FOLDER_PATH_SIZE + NAME_MAX + 2];
	DIR *dir = opendir(temp);
	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	struct dirent *entry;
	while ((entry = readdir(dir))) {
		size_t n = strlen(entry->d_name);
		if (n <= 6 || strcmp(entry->d_name + n - 6, ".state") != 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", temp, entry->d_name);
		(void)state_dir_remove(path); /* what stays is said by remove_tree_at() */
	}
	closedir(dir);
	return remove_tree_at(AT_FDCWD, temp);
}

int temp_keep(const char *temp, const char *output, char ret[FOLDER_PATH_SIZE])
{
	char to[FOLDER_PATH_SIZE];
	const char *name = strrchr(temp, '/') + 1;
	int n = snprintf(to, sizeof(to), "%s/state", output);
	int r = n < 0 || (size_t)n >= sizeof(to) ? -ENAMETOOLONG : 0;
	if (r == 0 && rename(temp, to) < 0)
		r = -errno;
	if (r == -EXDEV) {
		snprintf(to, sizeof(to), "%.*s" KEPT_PREFIX "%s", (int)(name - temp), temp,
			 name + strlen(TEMP_PREFIX));
		r = rename(temp, to) < 0 ? -errno : 0;
	}
	snprintf(ret, FOLDER_PATH_SIZE, "%s", r < 0 ? temp : to);
	return r;
}

/* What runs left that were killed with nobody to clean up after them: nobody holds its lock. */
static void remove_stale(const char *place)
{
	DIR *dir = opendir(place);
	struct dirent *entry;
	while (dir && (entry = readdir(dir))) {
		char path[FOLDER_PATH_SIZE];
		struct stat st;
		if (strncmp(entry->d_name, TEMP_PREFIX, strlen(TEMP_PREFIX)) != 0)
			continue;
		_cleanup_close_ int fd = openat(dirfd(dir), entry->d_name,
						O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0 || fstat(fd, &st) < 0 || st.st_uid != geteuid() ||
		    flock(fd, LOCK_EX | LOCK_NB) < 0)
			continue;
		int n = snprintf(path, sizeof(path), "%s/%s", place, entry->d_name);
		if (n > 0 && (size_t)n < sizeof(path))
			(void)temp_remove(path);
	}
	if (dir)
		closedir(dir);
}

/* Make one below place and lock it; the descriptor, or -errno. -EAGAIN: another run that looked for
 * stale ones came between the two. */
static int make_locked(const char *place, char ret[FOLDER_PATH_SIZE])
{
	struct stat by_fd, by_path;
	snprintf(ret, FOLDER_PATH_SIZE, "%s/" TEMP_PREFIX "XXXXXX", place);
	if (!mkdtemp(ret))
		return -errno;
	_cleanup_close_ int fd = open(ret, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &by_fd) < 0 ||
	    lstat(ret, &by_path) < 0 || by_fd.st_ino != by_path.st_ino)
		return -EAGAIN;
	return TAKE_FD(fd);
}

int temp_make(const char *const *environment, char ret[FOLDER_PATH_SIZE], struct error *e)
{
	const char *const places[] = { environment_get(environment, "XDG_RUNTIME_DIR"),
				       environment_get(environment, "TMPDIR"), "/tmp" };
	int fd = -ENOENT;
	for (size_t i = 0; i < ELEMENTS(places); i++) {
		if (!places[i] || *places[i] != '/' || strlen(places[i]) > TEMP_BASE_MAX)
			continue;
		remove_stale(places[i]);
		for (unsigned tries = 0; tries < 10; tries++) {
			fd = make_locked(places[i], ret);
			if (fd >= 0)
				return fd;
			if (fd != -EAGAIN)
				break;
		}
	}
	return error_set(e, -fd, "cannot make a temporary folder in /tmp: %s", strerror(-fd));
}
