/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a jail keeps in memory although it may be mapped by no process: files in file systems of
 * memory, memfds, System V's shared memory, semaphores and messages. All of it is asked for by the
 * jail's own namespaces and processes, never by a figure of the whole machine, which others change.
 *
 * Files that are open in no process (a descriptor on its way through a socket), parts of shared
 * mappings that nobody maps any more, and file systems that lie under other mounts, or are mounted
 * nowhere that can be seen any more, are seen by nobody but a cgroup.
 *
 * On the way, what is on a disk but open only, without a name, where no meter of folders finds it.
 * Such a file that is mapped, and not open any more, is not seen.
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
#include <linux/openat2.h>
#include <search.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#define MOUNTINFO_MAX	(1024 * 1024)
#define SYSVIPC_MAX	(8 * 1024 * 1024)
#define PROCESS_MS	1000 /* of processor time, that the descriptors of one process may take */
#define SEMAPHORE_BYTES 64   /* of the kernel's, each: a line of the cache */
#define MESSAGE_BYTES	48   /* of the kernel's, beside a message's text */

/* ---- sets of numbers ---- */

static int compare(const void *a, const void *b)
{
	return a < b ? -1 : a > b;
}

/* Whether it was not in there yet. */
static bool add_to(void **set, uint64_t number)
{
	const void *key = (const void *)(uintptr_t)number;
	return !tfind(key, set, compare) && tsearch(key, set, compare);
}

void memfiles_nothing(void *key)
{
	(void)key;
}

static bool is_in(void *const *set, uint64_t number)
{
	return tfind((const void *)(uintptr_t)number, set, compare);
}

/* ---- file systems ---- */

static void count(struct memfiles *m, uint64_t bytes)
{
	m->now = bytes > UINT64_MAX - m->now ? UINT64_MAX : m->now + bytes;
}

/* In mountinfo a space, a tab, a newline and a backslash are three octal digits. */
static void unescape(char *path)
{
	char *to = path;
	for (const char *p = path; *p; to++) {
		if (*p == '\\' && p[1] && p[2] && p[3]) {
			*to = (char)((p[1] - '0') * 64 + (p[2] - '0') * 8 + (p[3] - '0'));
			p += 4;
		} else {
			*to = *p++;
		}
	}
	*to = '\0';
}

/* A line of mountinfo about a file system in memory. path points into the line. */
struct memory_mount {
	dev_t device;
	char *path;
	bool ro, unlimited; /* unlimited: it does not say what is in it */
};

static bool parse_mount(char *line, struct memory_mount *ret)
{
	unsigned major, minor;
	int path_at = 0, options_at = 0;
	if (sscanf(line, "%*u %*u %u:%u %*s %n%*s %n", &major, &minor, &path_at, &options_at) !=
		    2 ||
	    !options_at)
		return false;
	bool ramfs = strstr(line, " - ramfs ");
	if (!ramfs && !strstr(line, " - tmpfs "))
		return false;
	*ret = (struct memory_mount){ .device = makedev(major, minor),
				      .path = line + path_at,
				      .ro = !strncmp(line + options_at, "ro", 2),
				      .unlimited = ramfs };
	line[options_at - 1] = '\0';
	unescape(ret->path);
	return true;
}

/* One line of mountinfo, seen from this root. */
static void add_mount(struct memfiles *m, int root, char *line)
{
	struct memory_mount mount;
	/* Of those that are there from the start, the read-only ones are others' files. */
	if (!parse_mount(line, &mount) || (mount.ro && is_in(&m->known, mount.device)))
		return;
	_cleanup_close_ int fd =
		fd_open(root, mount.path, O_PATH, 0, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS);
	struct stat st;
	struct statvfs v;
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_dev != mount.device || fstatvfs(fd, &v) < 0 ||
	    !add_to(&m->devices, st.st_dev))
		return; /* another mount lies over it; or it is counted */
	/* One without a size, or a number of files, does not say what is in it, and needs no limit to be beyond it. */
	if (mount.unlimited || !v.f_blocks || !v.f_files)
		count(m, UINT64_MAX);
	count(m, (uint64_t)(v.f_blocks - v.f_bfree) * v.f_frsize);
	count(m, (uint64_t)(v.f_files - v.f_ffree) * LIMIT_TMPFS_INODE_BYTES);
}

static bool is_new_view(struct memfiles *m, int root, const char *ns)
{
	struct stat st;
	if (fstat(root, &st) < 0)
		return false;
	struct memfiles_view v = { .dev = st.st_dev, .ino = st.st_ino };
	snprintf(v.ns, sizeof(v.ns), "%s", ns);
	/* The first one is PID 1's, which sees all of its namespace. */
	for (unsigned i = 0; i < m->n_views; i++)
		if (!strcmp(m->views[i].ns, v.ns) &&
		    (i == 0 || (m->views[i].dev == v.dev && m->views[i].ino == v.ino)))
			return false;
	if (m->n_views < MEMFILES_VIEWS)
		m->views[m->n_views++] = v;
	return true;
}

static void add_mounts(struct memfiles *m, int process)
{
	char ns[32];
	ssize_t n = readlinkat(process, "ns/mnt", ns, sizeof(ns) - 1);
	_cleanup_close_ int root = openat(process, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (n < 0 || root < 0)
		return; /* it has ended */
	ns[n] = '\0';
	if (!is_new_view(m, root, ns))
		return;
	_cleanup_free_ char *text = NULL;
	size_t len;
	_cleanup_close_ int fd = openat(process, "mountinfo", O_RDONLY | O_CLOEXEC);
	int r = fd < 0 ? fd : fd_read_file(fd, MOUNTINFO_MAX, &text, &len);
	if (r == -EFBIG) /* nobody mounts so much who has nothing to hide */
		count(m, UINT64_MAX);
	for (char *save = NULL, *line = r < 0 ? NULL : strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save))
		add_mount(m, root, line);
}

void memfiles_begin(struct memfiles *m, int proc_fd)
{
	_cleanup_free_ char *text = NULL;
	struct memory_mount mount;
	size_t len;
	_cleanup_close_ int fd = openat(proc_fd, "1/mountinfo", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fd_read_file(fd, MOUNTINFO_MAX, &text, &len) < 0)
		return;
	for (char *save = NULL, *line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save))
		if (parse_mount(line, &mount))
			add_to(&m->known, mount.device);
}

/* ---- memfds, and files without a name ---- */

/* The file system that the kernel keeps them in; 0 when there is none. */
static dev_t device_of_memfds(void)
{
	struct stat st;
	_cleanup_close_ int fd = memfd_create("postern", MFD_CLOEXEC);
	return fd >= 0 && fstat(fd, &st) == 0 ? st.st_dev : 0;
}

static void add_open_file(struct memfiles *m, const struct stat *st)
{
	bool memfd = st->st_dev == m->memfds;
	uint64_t bytes = (uint64_t)st->st_blocks * 512;
	if (!bytes ||
	    (!memfd && (st->st_nlink || !S_ISREG(st->st_mode) || is_in(&m->devices, st->st_dev))))
		return; /* a file system in memory is counted as a whole */
	if (!add_to(&m->inodes, st->st_ino ^ (uint64_t)st->st_dev << 40))
		return;
	if (memfd)
		count(m, bytes);
	else
		m->unnamed += bytes;
}

/* Whether one process has kept us too long: whoever has so many descriptors, or tables of them, has them for that. */
static bool takes_too_long(struct memfiles *m, uint64_t until_ms)
{
	if (clock_own_ms() < until_ms)
		return false;
	count(m, UINT64_MAX);
	return true;
}

/* Of a process or of a thread. */
static void add_open_files(struct memfiles *m, int process, uint64_t until_ms)
{
	unsigned n = 0;
	DIR *dir = fd_list(process, "fd");
	if (!dir)
		return;
	struct dirent *entry;
	struct stat st;
	while ((entry = readdir(dir)) && (++n % 1024 || !takes_too_long(m, until_ms)))
		if (isdigit((unsigned char)entry->d_name[0]) &&
		    fstatat(dirfd(dir), entry->d_name, &st, 0) == 0)
			add_open_file(m, &st);
	closedir(dir);
}

/* ---- System V's ---- */

/* Add up, over the lines of one of /proc/sysvipc, column a (from 0) times x and column b times y. */
static uint64_t add_columns(int proc_fd, const char *name, unsigned a, uint64_t x, unsigned b,
			    uint64_t y)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	uint64_t sum = 0;
	_cleanup_close_ int fd = openat(proc_fd, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fd_read_file(fd, SYSVIPC_MAX, &text, &len) < 0)
		return 0;
	for (char *line = strchr(text, '\n'); line; line = strchr(line, '\n')) {
		char *p = ++line;
		for (unsigned column = 0; *p && *p != '\n'; column++) {
			uint64_t value = strtoull(p, &p, 10);
			sum += column == a ? value * x : column == b ? value * y : 0;
			p += strcspn(p, " \n");
			p += strspn(p, " ");
		}
	}
	return sum;
}

uint64_t memfiles_system_v(int proc_fd)
{
	return add_columns(proc_fd, "sysvipc/sem", 3, SEMAPHORE_BYTES, 0, 0) +
	       add_columns(proc_fd, "sysvipc/msg", 3, 1, 4, MESSAGE_BYTES);
}

/* ---- a look ---- */

static bool is_shared(pid_t a, pid_t b, int what)
{
	return syscall(SYS_kcmp, a, b, what, 0UL, 0UL) == 0;
}

/* A process's first thread, and those that have descriptors or a root of their own. */
static void look_at(struct memfiles *m, int process, pid_t pid)
{
	struct stat st;
	uint64_t until_ms = clock_own_ms() + PROCESS_MS;
	add_mounts(m, process);
	add_open_files(m, process, until_ms);
	/* Linked by "..", by each of its entries (one for each thread), and by itself. */
	if (fstatat(process, "task", &st, 0) < 0 || st.st_nlink <= 3)
		return;
	DIR *dir = fd_list(process, "task");
	if (!dir)
		return;
	struct dirent *entry;
	pid_t last = pid;
	while ((entry = readdir(dir)) && !takes_too_long(m, until_ms)) {
		pid_t id = (pid_t)strtol(entry->d_name, NULL, 10);
		if (id < 1 || id == pid ||
		    (is_shared(last, id, KCMP_FILES) && is_shared(last, id, KCMP_FS)))
			continue;
		last = id;
		_cleanup_close_ int thread =
			openat(dirfd(dir), entry->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (thread < 0)
			continue;
		add_mounts(m, thread);
		add_open_files(m, thread, until_ms);
	}
	closedir(dir);
}

/* The numbers of /proc come in order, so that a look can go on where the last one ended. */
static bool look_at_processes(struct memfiles *m, int proc_fd, uint64_t until_ms)
{
	DIR *dir = fd_list(proc_fd, ".");
	if (!dir)
		return false;
	struct dirent *entry;
	bool whole = true;
	while ((entry = readdir(dir))) {
		long pid = strtol(entry->d_name, NULL, 10);
		if (pid < 1 || pid < m->next)
			continue;
		if (m->next && clock_monotonic_ms() > until_ms) {
			whole = false;
			break;
		}
		m->next = pid + 1;
		_cleanup_close_ int process =
			openat(proc_fd, entry->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (process < 0)
			continue;
		look_at(m, process, (pid_t)pid);
	}
	closedir(dir);
	return whole;
}

uint64_t memfiles_look(struct memfiles *m, int proc_fd, unsigned ms)
{
	if (!m->memfds)
		m->memfds = device_of_memfds();
	if (look_at_processes(m, proc_fd, clock_monotonic_ms() + ms)) {
		tdestroy(m->inodes, memfiles_nothing);
		tdestroy(m->devices, memfiles_nothing);
		*m = (struct memfiles){ .memfds = m->memfds,
					.known = m->known,
					.last = m->now,
					.last_unnamed = m->unnamed };
	}
	uint64_t most = m->now > m->last ? m->now : m->last;
	uint64_t shared = add_columns(proc_fd, "sysvipc/shm", 14, 1, 15, 1);
	return shared > UINT64_MAX - most ? UINT64_MAX : most + shared;
}

uint64_t memfiles_unnamed(const struct memfiles *m)
{
	return m->unnamed > m->last_unnamed ? m->unnamed : m->last_unnamed;
}
