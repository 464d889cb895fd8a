/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a jail's processes use, added up from its /proc: the limit for machines on which no cgroup
 * is delegated to us. Memory is first estimated from each process's anonymous, shared and swapped
 * pages and page tables, which counts twice what processes share; only above the limit are the
 * exact shares read, and memory that is one for several (vfork) told, which costs more. What takes
 * too much of our own time to read so is estimated all the same: it must not grow meanwhile. Then come the files in
 * memory (memfiles.c). What is mapped of those is in both sums: the greater one counts, so that
 * nothing honest is ever counted twice.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "jail/internal.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <search.h>
#include <sys/syscall.h>

#define PROC_FILE_MAX 16384 /* a status with LIMIT_JAIL_GROUPS groups has less */
#define FILES_MS      100   /* that a look at the files in memory may take */
#define EXACT_MS      400   /* of processor time, that a look at the exact shares may take */
#define BLIND_MAX     5	    /* looks in a row that fail: whoever hides is taken for the worst */

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
	bool hidden; /* there is a process whose figures were too long to be read … */
	bool blind;  /* … or could not be read, though it is there */
	/* exact: */
	void *seen; /* the processes whose memory is counted */
	uint64_t until_ms;
};

static bool has_memory(const char *status)
{
	return strstr(status, "\nVmPTE:");
}

/* A process's status. Its first thread may have ended while others go on: then it is another's, and ret_id is that one. */
static int read_status(int proc_fd, const char *pid, char ret_id[static 16], char **ret)
{
	_cleanup_free_ char *status = NULL;
	int r = read_at(proc_fd, pid, "status", &status);
	snprintf(ret_id, 16, "%.15s", pid);
	if (r == 0 && !has_memory(status) && value_of(status, "\nThreads:") > 1) {
		char path[32];
		snprintf(path, sizeof(path), "%.16s/task", pid);
		DIR *dir = fd_list(proc_fd, path);
		for (struct dirent *t; dir && !has_memory(status) && (t = readdir(dir));) {
			char *other = NULL;
			if (!isdigit((unsigned char)t->d_name[0]) ||
			    read_at(proc_fd, t->d_name, "status", &other) < 0)
				continue;
			free(status);
			status = other;
			snprintf(ret_id, 16, "%.15s", t->d_name);
		}
		if (dir)
			closedir(dir);
	}
	if (r == 0)
		*ret = TAKE_PTR(status);
	return r;
}

/* The kernel's order of the memories of two threads; each is its own where it does not tell. */
static int compare_memory(const void *a, const void *b)
{
	pid_t x = (pid_t)(intptr_t)a, y = (pid_t)(intptr_t)b;
	long r = syscall(SYS_kcmp, x, y, KCMP_VM, 0UL, 0UL);
	return r == 0 ? 0 : r > 0 ? (r == 1 ? -1 : 1) : (x > y) - (x < y);
}

/* Whether the memory of thread `id` is not counted yet. */
static bool is_first(void **seen, const char *id)
{
	const void *key = (const void *)(intptr_t)strtol(id, NULL, 10);
	return !tfind(key, seen, compare_memory) &&
	       (tsearch(key, seen, compare_memory) || true); /* without memory, it counts twice */
}

static void add_process(int proc_fd, const char *pid, bool exact, struct usage *u)
{
	char id[16];
	_cleanup_free_ char *text = NULL;
	int r = read_status(proc_fd, pid, id, &text);
	if (r < 0) {
		u->hidden |= r == -EFBIG;
		u->blind |= r != -ENOENT && r != -ESRCH; /* it ended meanwhile */
		return;
	}
	u->tasks += value_of(text, "\nThreads:");
	if (!has_memory(text))
		return;
	uint64_t tables = value_of(text, "\nVmPTE:"), shared = value_of(text, "\nRssShmem:");
	uint64_t own = value_of(text, "\nRssAnon:") + value_of(text, "\nVmSwap:");
	if (exact && !is_first(&u->seen, id))
		return;
	if (exact && clock_own_ms() < u->until_ms) {
		_cleanup_free_ char *shares = NULL;
		if (read_at(proc_fd, id, "smaps_rollup", &shares) == 0) {
			shared = value_of(shares, "\nPss_Shmem:");
			own = value_of(shares, "\nPss_Anon:") + value_of(shares, "\nSwapPss:");
		}
	}
	u->own += (own + tables) * 1024;
	u->shared += shared * 1024;
}

static int add_up(int proc_fd, bool exact, struct usage *ret)
{
	struct usage u = { .until_ms = clock_own_ms() + EXACT_MS };
	DIR *dir = fd_list(proc_fd, ".");
	if (!dir)
		return -errno;
	struct dirent *entry;
	while ((entry = readdir(dir)))
		if (isdigit((unsigned char)entry->d_name[0]))
			add_process(proc_fd, entry->d_name, exact, &u);
	closedir(dir);
	tdestroy(u.seen, memfiles_nothing);
	*ret = u;
	return 0;
}

/* Whether it is more than allowed. */
static bool is_more(const struct usage *u, uint64_t files, uint64_t limit)
{
	uint64_t shared = u->shared > files ? u->shared : files;
	return u->hidden || shared > limit || u->own > limit - shared;
}

static struct memfiles files;

void watchdog_begin(int proc_fd)
{
	memfiles_begin(&files, proc_fd);
}

enum jail_reason watchdog_check(int proc_fd, const struct jail_watchdog *limits)
{
	static unsigned blind;
	struct usage u = { 0 };
	bool failed = add_up(proc_fd, false, &u) < 0;
	blind = failed || u.blind ? blind + 1 : 0;
	if (blind == BLIND_MAX)
		return limits->memory ? JAIL_MEMORY : JAIL_PROCESSES;
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
