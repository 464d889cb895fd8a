/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a jail's processes use, added up from its /proc: the limit for machines on which no cgroup
 * is delegated to us. Memory is first estimated from each process's anonymous, shared and swapped
 * pages and page tables, which counts pages twice that a fork shares; only above the limit are the
 * exact shares read, which costs more. Then come the files in memory (memfiles.c). What is mapped of
 * those is in both sums: the greater one counts, so that nothing honest is ever counted twice.
 */
#include "base/cleanup.h"
#include "base/fd.h"
#include "jail/internal.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>

#define PROC_FILE_MAX 16384
#define FILES_MS      100 /* that a look at the files in memory may take */

static int read_at(int dir, const char *pid, const char *name, char **ret)
{
	char path[64];
	size_t n;
	snprintf(path, sizeof(path), "%.16s/%s", pid, name);
	_cleanup_close_ int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd_read_file(fd, PROC_FILE_MAX, ret, &n);
}

/* The number after a line's name; 0 when there is no such line. */
static uint64_t value_of(const char *text, const char *name)
{
	const char *p = strstr(text, name);
	return p ? strtoull(p + strlen(name), NULL, 10) : 0;
}

struct usage {
	uint64_t own;	 /* bytes of memory that is no file's, page tables too */
	uint64_t shared; /* bytes of files in memory, and of anonymous memory that is shared */
	uint64_t tasks;
};

static void add_process(int proc_fd, const char *pid, bool exact, struct usage *u)
{
	_cleanup_free_ char *text = NULL;
	if (read_at(proc_fd, pid, "status", &text) < 0)
		return; /* it ended meanwhile */
	u->tasks += value_of(text, "\nThreads:");
	uint64_t tables = value_of(text, "\nVmPTE:"), shared = value_of(text, "\nRssShmem:");
	uint64_t own = value_of(text, "\nRssAnon:") + value_of(text, "\nVmSwap:");
	_cleanup_free_ char *shares = NULL;
	if (exact && read_at(proc_fd, pid, "smaps_rollup", &shares) == 0) {
		shared = value_of(shares, "\nPss_Shmem:");
		own = value_of(shares, "\nPss_Anon:") + value_of(shares, "\nSwapPss:");
	}
	u->own += (own + tables) * 1024;
	u->shared += shared * 1024;
}

static int add_up(int proc_fd, bool exact, struct usage *ret)
{
	struct usage u = { 0 };
	DIR *dir = fd_list(proc_fd, ".");
	if (!dir)
		return -errno;
	struct dirent *entry;
	while ((entry = readdir(dir)))
		if (isdigit((unsigned char)entry->d_name[0]))
			add_process(proc_fd, entry->d_name, exact, &u);
	closedir(dir);
	*ret = u;
	return 0;
}

/* Whether it is more than allowed. */
static bool is_more(const struct usage *u, uint64_t files, uint64_t limit)
{
	uint64_t shared = u->shared > files ? u->shared : files;
	return shared > limit || u->own > limit - shared;
}

enum jail_reason watchdog_check(int proc_fd, const struct jail_watchdog *limits)
{
	static struct memfiles files;
	struct usage u;
	if (add_up(proc_fd, false, &u) < 0)
		return JAIL_ENDED;
	if (limits->processes && u.tasks > limits->processes)
		return JAIL_PROCESSES;
	if (!limits->memory && !limits->unnamed)
		return JAIL_ENDED;
	uint64_t in_files = memfiles_look(&files, proc_fd, FILES_MS);
	if (limits->unnamed && memfiles_unnamed(&files) > limits->unnamed)
		return JAIL_UNNAMED;
	if (!limits->memory)
		return JAIL_ENDED;
	uint64_t kernel = memfiles_system_v(proc_fd);
	u.own += kernel;
	if (!is_more(&u, in_files, limits->memory) || add_up(proc_fd, true, &u) < 0)
		return JAIL_ENDED;
	u.own += kernel;
	return is_more(&u, in_files, limits->memory) ? JAIL_MEMORY : JAIL_ENDED;
}
