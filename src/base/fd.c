/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptor helpers. */
#include "base/fd.h"
#include "base/cleanup.h"
#include "base/limit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

int fd_open(int dirfd, const char *name, int flags, mode_t mode, uint64_t resolve)
{
	struct open_how how = { .flags = (unsigned)flags | O_CLOEXEC,
				.mode = flags & O_CREAT ? mode : 0,
				.resolve = resolve };
	for (unsigned tries = 0;;) {
		long fd = syscall(SYS_openat2, dirfd, name, &how, sizeof(how));
		if (fd >= 0)
			return (int)fd;
		if (errno != EAGAIN || ++tries == LIMIT_OPEN_TRIES)
			return -errno;
	}
}

ssize_t fd_read_full(int fd, void *to, size_t n)
{
	size_t done = 0;
	while (done < n) {
		ssize_t r = read(fd, (char *)to + done, n - done);
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			break;
		done += (size_t)r;
	}
	return (ssize_t)done;
}

int fd_write_full(int fd, const void *from, size_t n)
{
	const char *p = from;
	while (n) {
		ssize_t r = write(fd, p, n);
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		p += r;
		n -= (size_t)r;
	}
	return 0;
}

int fd_copy(int from, int to)
{
	char bytes[65536];
	for (;;) {
		ssize_t n = fd_read_full(from, bytes, sizeof(bytes));
		if (n <= 0)
			return (int)n;
		int r = fd_write_full(to, bytes, (size_t)n);
		if (r < 0)
			return r;
	}
}

int fd_copy_symlink(int from_dir, const char *from, int to_dir, const char *name)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(from_dir, from, target, sizeof(target) - 1);
	if (n < 0)
		return -errno;
	target[n] = '\0';
	return symlinkat(target, to_dir, name) < 0 ? -errno : 0;
}

int fd_read_file(int fd, size_t max, char **ret_data, size_t *ret_len)
{
	size_t cap = 4096, len = 0;
	_cleanup_free_ char *data = malloc(cap + 1);
	if (!data)
		return -ENOMEM;
	for (;;) {
		ssize_t r = fd_read_full(fd, data + len, cap - len);
		if (r < 0)
			return (int)r;
		len += (size_t)r;
		if (len > max)
			return -EFBIG;
		if (len < cap)
			break;
		cap *= 2;
		char *p = realloc(data, cap + 1);
		if (!p)
			return -ENOMEM;
		data = p;
	}
	data[len] = '\0';
	*ret_data = TAKE_PTR(data);
	*ret_len = len;
	return 0;
}

int file_read(const char *path, size_t max, char **ret_data, size_t *ret_len)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return fd_read_file(fd, max, ret_data, ret_len);
}

int fd_sealed(const char *name, const void *bytes, size_t n)
{
	_cleanup_close_ int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	int r = fd_write_full(fd, bytes, n);
	if (r < 0)
		return r;
	if (lseek(fd, 0, SEEK_SET) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
		return -errno;
	return TAKE_FD(fd);
}

int fd_set_nonblock(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);
	flags = flags < 0 ? flags : on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
	return flags < 0 || fcntl(fd, F_SETFL, flags) < 0 ? -errno : 0;
}

uint64_t fd_raise_limit(void)
{
	struct rlimit limit = { .rlim_cur = 1024, .rlim_max = 1024 };
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	return limit.rlim_cur;
}

DIR *fd_list(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir && fd >= 0) {
		int kept = errno;
		close(fd);
		errno = kept;
	}
	return dir;
}

int fd_seqpacket_pair(int ret_pair[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret_pair) < 0 ? -errno : 0;
}

/* Depth is bounded by the path length the kernel allows when the tree was made through paths; 4096
 * stops the rest. */
static int remove_below(int dirfd, const char *name, dev_t device, unsigned depth)
{
	if (depth > 4096)
		return -ELOOP;
	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	_cleanup_close_ int fd =
		openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == EACCES && fchmodat(dirfd, name, 0700, 0) == 0)
		fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (device && st.st_dev != device)
		return -EXDEV;
	if ((st.st_mode & 0700) != 0700)
		(void)fchmod(fd, 0700);
	DIR *dir = fd_list(fd, ".");
	if (!dir)
		return -errno;
	int first = 0;
	struct dirent *entry;
	while ((entry = readdir(dir))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		int r = remove_below(fd, entry->d_name, st.st_dev, depth + 1);
		if (r < 0 && !first)
			first = r;
	}
	closedir(dir);
	if (first)
		return first;
	return unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

int remove_tree_at(int dirfd, const char *name)
{
	return remove_below(dirfd, name, 0, 0);
}
