/* SPDX-License-Identifier: Apache-2.0 */
/* Unpacks a hostile tar archive with libarchive, one entry at a time, by our own rules. */
#include "worker/context.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/limit.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/stat.h>

struct unpack {
	struct archive *archive;
	int dirfd;
	const struct context_limits *limits;
	uint64_t bytes, entries;
	struct error *e;
};

static int open_beneath(int dirfd, const char *name, int flags, mode_t mode)
{
	return fd_open(dirfd, name, flags, mode,
		       RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
}

/* The name without leading "./", doubled and trailing slashes into out; "" for the folder itself.
 * Refuses what leaves the folder or goes too deep. */
static int clean_name(struct unpack *u, const char *name, char out[PATH_MAX])
{
	if (*name == '/')
		return error_set(u->e, EINVAL, "the archive's entry '%.200s' is absolute", name);
	size_t o = 0;
	unsigned parts = 0;
	for (const char *p = name; *p;) {
		size_t n = strcspn(p, "/");
		if (n == 2 && !strncmp(p, "..", 2))
			return error_set(u->e, EINVAL,
					 "the archive's entry '%.200s' leaves the context by '..'",
					 name);
		if (n > 0 && !(n == 1 && *p == '.')) {
			if (n > NAME_MAX || o + n + 2 > PATH_MAX)
				return error_set(
					u->e, ENAMETOOLONG,
					"the archive's entry '%.100s…' has too long a name", name);
			if (++parts > u->limits->depth)
				return error_set(u->e, EFBIG,
						 "the archive's entry '%.200s' is deeper than %u "
						 "folders",
						 name, u->limits->depth);
			if (o)
				out[o++] = '/';
			memcpy(out + o, p, n);
			o += n;
		}
		p += n;
		while (*p == '/')
			p++;
	}
	out[o] = '\0';
	return 0;
}

/* What openat2 and its kin say about an entry, as a sentence. */
static int entry_failed(struct unpack *u, int r, const char *name)
{
	switch (-r) {
	case EFBIG: /* count_entry() has said it */
		return r;
	case ELOOP:
		return error_set(u->e, EINVAL,
				 "the archive's entry '%.200s' goes through a symbolic link", name);
	case ENOTDIR:
		return error_set(u->e, EINVAL,
				 "the archive's entry '%.200s' lies below something that is not a "
				 "folder",
				 name);
	case EISDIR:
	case ENOTEMPTY:
		return error_set(u->e, EINVAL,
				 "the archive's entry '%.200s' would replace a folder", name);
	case ENOSPC:
	case EDQUOT:
		return error_set(u->e, ENOSPC, "no space is left for the context");
	default:
		return error_set(u->e, -r, "the archive's entry '%.200s': %s", name, strerror(-r));
	}
}

/* One more file or folder; 0 or -EFBIG. */
static int count_entry(struct unpack *u)
{
	return ++u->entries <= u->limits->entries
		       ? 0
		       : error_set(u->e, EFBIG,
				   "the context has more than %llu entries, folders that "
				   "lead to them included",
				   (unsigned long long)u->limits->entries);
}

/* A folder that no entry of the archive is, but that one lies in. */
static int make_on_the_way(struct unpack *u, int above, const char *name)
{
	if (mkdirat(above, name, 0755) < 0)
		return errno == EEXIST ? 0 : -errno;
	return count_entry(u);
}

/* Open the folder that `name` lies in, making what is missing on the way; *ret_last is name's last
 * part. Descriptor or -errno. */
static int open_parent(struct unpack *u, char *name, const char **ret_last)
{
	char *slash = strrchr(name, '/');
	*ret_last = slash ? slash + 1 : name;
	if (!slash)
		return open_beneath(u->dirfd, ".", O_RDONLY | O_DIRECTORY, 0);
	*slash = '\0';
	int fd = open_beneath(u->dirfd, name, O_RDONLY | O_DIRECTORY, 0);
	for (char *p = name; fd == -ENOENT && *p;) {
		char *end = strchrnul(p, '/');
		char kept = *end;
		*end = '\0';
		const char *last = p;
		_cleanup_close_ int above = -1;
		if (p == name) {
			above = open_beneath(u->dirfd, ".", O_RDONLY | O_DIRECTORY, 0);
		} else {
			p[-1] = '\0';
			above = open_beneath(u->dirfd, name, O_RDONLY | O_DIRECTORY, 0);
			p[-1] = '/';
		}
		int r = above < 0 ? above : make_on_the_way(u, above, last);
		*end = kept;
		if (r < 0) {
			fd = r;
			break;
		}
		if (!kept) {
			fd = open_beneath(u->dirfd, name, O_RDONLY | O_DIRECTORY, 0);
			break;
		}
		p = end + 1;
	}
	*slash = '/';
	return fd;
}

/* A later entry replaces an earlier one of the same name, but never a folder. */
static int make_room(int parent, const char *last)
{
	if (unlinkat(parent, last, 0) == 0 || errno == ENOENT)
		return 0;
	return -errno;
}

static int make_folder(int parent, const char *last, mode_t mode)
{
	struct stat st;
	if (mkdirat(parent, last, 0755) < 0) {
		if (errno != EEXIST)
			return -errno;
		if (fstatat(parent, last, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return -errno;
		if (!S_ISDIR(st.st_mode))
			return -ENOTDIR;
	}
	/* Its owner must be able to fill it, whatever the archive says. */
	return fchmodat(parent, last, mode | 0700, 0) < 0 ? -errno : 0;
}

/* Count what a file has grown to, before it does. */
static int count_bytes(struct unpack *u, uint64_t before, uint64_t now, const char *name)
{
	if (now > u->limits->file)
		return error_set(u->e, EFBIG,
				 "the archive's entry '%.200s' is larger than %llu bytes", name,
				 (unsigned long long)u->limits->file);
	if (now > before)
		u->bytes += now - before;
	if (u->bytes > u->limits->bytes)
		return error_set(u->e, EFBIG, "the context is larger than %llu bytes unpacked",
				 (unsigned long long)u->limits->bytes);
	return 0;
}

static int write_block(int fd, const char *block, size_t n, off_t offset)
{
	while (n) {
		ssize_t w = pwrite(fd, block, n, offset);
		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return -errno;
		block += w;
		n -= (size_t)w;
		offset += w;
	}
	return 0;
}

/* Holes count as bytes: what they become in the image may not be holes. */
static int copy_data(struct unpack *u, struct archive_entry *entry, int fd, const char *name)
{
	uint64_t end = 0, size = 0;
	if (archive_entry_size_is_set(entry) && archive_entry_size(entry) > 0)
		size = (uint64_t)archive_entry_size(entry);
	int r = count_bytes(u, 0, size, name); /* an announcement alone, but it is refused early */
	if (r < 0)
		return r;
	for (;;) {
		const void *block;
		size_t n;
		la_int64_t offset;
		r = archive_read_data_block(u->archive, &block, &n, &offset);
		if (r == ARCHIVE_EOF)
			break;
		if (r != ARCHIVE_OK)
			return error_set(u->e, EINVAL,
					 "the archive is damaged or ends early in '%.200s'", name);
		if (offset < 0 || (uint64_t)offset < end)
			return error_set(u->e, EINVAL, "the archive's entry '%.200s' is damaged",
					 name);
		end = (uint64_t)offset + n;
		r = count_bytes(u, size, end, name);
		if (r < 0)
			return r;
		size = end > size ? end : size;
		r = write_block(fd, block, n, offset);
		if (r < 0)
			return entry_failed(u, r, name);
	}
	return ftruncate(fd, (off_t)size) < 0 ? entry_failed(u, -errno, name) : 0;
}

static int make_file(struct unpack *u, struct archive_entry *entry, int parent, const char *last,
		     const char *name)
{
	if (archive_entry_perm(entry) & (S_ISUID | S_ISGID))
		return error_set(u->e, EINVAL,
				 "the archive's entry '%.200s' is a set-id program; let a RUN step "
				 "set the bit",
				 name);
	int r = make_room(parent, last);
	if (r < 0)
		return entry_failed(u, r, name);
	_cleanup_close_ int fd = open_beneath(parent, last, O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (fd < 0)
		return entry_failed(u, fd, name);
	r = copy_data(u, entry, fd, name);
	if (r < 0)
		return r;
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT },
				     { .tv_sec = archive_entry_mtime(entry) } };
	if (fchmod(fd, archive_entry_perm(entry) & 0777) < 0 || futimens(fd, times) < 0)
		return entry_failed(u, -errno, name);
	return 0;
}

static int make_hardlink(struct unpack *u, const char *target, int parent, const char *last,
			 const char *name)
{
	char clean[PATH_MAX];
	int r = clean_name(u, target, clean);
	if (r < 0)
		return r;
	_cleanup_close_ int fd = open_beneath(u->dirfd, *clean ? clean : ".", O_PATH, 0);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return error_set(
			u->e, EINVAL,
			"the archive's entry '%.150s' is a hard link to '%.150s', which is "
			"not a file of the archive",
			name, target);
	const char *target_last;
	_cleanup_close_ int target_parent = open_parent(u, clean, &target_last);
	if (target_parent < 0)
		return entry_failed(u, target_parent, target);
	struct stat there;
	if (fstatat(parent, last, &there, AT_SYMLINK_NOFOLLOW) == 0 && there.st_ino == st.st_ino)
		return 0; /* a link to itself */
	r = make_room(parent, last);
	if (r == 0 && linkat(target_parent, target_last, parent, last, 0) < 0)
		r = -errno;
	return r < 0 ? entry_failed(u, r, name) : 0;
}

static const char *kind_name(mode_t type)
{
	switch (type) {
	case AE_IFCHR:
	case AE_IFBLK:
		return "a device";
	case AE_IFIFO:
		return "a named pipe";
	case AE_IFSOCK:
		return "a socket";
	default:
		return "of an unknown kind";
	}
}

static int take_entry(struct unpack *u, struct archive_entry *entry)
{
	char name[PATH_MAX];
	const char *raw = archive_entry_pathname(entry);
	/* libarchive stops reading headers at some number of them, and goes on all the same. */
	int r = raw ? clean_name(u, raw, name)
		    : error_set(u->e, EINVAL,
				"the archive has an entry without a name, or too many headers "
				"before one");
	if (r < 0)
		return r;
	r = count_entry(u);
	if (r < 0)
		return r;
	mode_t type = archive_entry_filetype(entry);
	const char *hardlink = archive_entry_hardlink(entry);
	if (!*name)
		return type == AE_IFDIR
			       ? 0
			       : error_set(u->e, EINVAL, "the archive has an entry without a name");
	const char *last;
	_cleanup_close_ int parent = open_parent(u, name, &last);
	if (parent < 0)
		return entry_failed(u, parent, name);
	if (hardlink)
		return make_hardlink(u, hardlink, parent, last, name);
	switch (type) {
	case AE_IFREG:
		return make_file(u, entry, parent, last, name);
	case AE_IFDIR:
		r = make_folder(parent, last, archive_entry_perm(entry) & 0777);
		return r < 0 ? entry_failed(u, r, name) : 0;
	case AE_IFLNK: {
		const char *target = archive_entry_symlink(entry);
		if (!target || !*target)
			return error_set(u->e, EINVAL, "the archive's link '%.200s' is empty",
					 name);
		r = make_room(parent, last);
		if (r == 0 && symlinkat(target, parent, last) < 0)
			r = -errno;
		return r < 0 ? entry_failed(u, r, name) : 0;
	}
	default:
		return error_set(u->e, EINVAL,
				 "the archive's entry '%.200s' is %s; a context holds files, "
				 "folders and links",
				 name, kind_name(type));
	}
}

/* By its first bytes, whatever anyone called it. */
int context_check_kind(int fd, struct error *e)
{
	unsigned char head[512] = { 0 };
	ssize_t n = pread(fd, head, sizeof(head), 0);
	if (n < 0)
		return error_set(e, errno, "the context cannot be read: %s", strerror(errno));
	if (n == 0)
		return error_set(e, EINVAL, "the body is empty; send the context as a tar archive");
	if (n >= 2 && head[0] == 0x1f && head[1] == 0x8b)
		return 0;
	if (n >= 4 && !memcmp(head, "\x28\xb5\x2f\xfd", 4))
		return 0;
	if (n == 512) {
		/* A header's checksum counts its own eight bytes as spaces. */
		unsigned sum = 0, zeros = 0;
		for (unsigned i = 0; i < 512; i++) {
			sum += i >= 148 && i < 156 ? ' ' : head[i];
			zeros += head[i] == 0;
		}
		char digits[9] = { 0 };
		memcpy(digits, head + 148, 8);
		if (zeros == 512 || strtoul(digits, NULL, 8) == sum)
			return 0;
	}
	return error_set(e, EINVAL,
			 "the body is not a tar archive, plain or compressed by gzip or zstd "
			 "(it begins with %02x %02x %02x %02x); make one by: tar -czf - .",
			 head[0], head[1], head[2], head[3]);
}

static void free_archive(struct archive **a)
{
	if (*a)
		archive_read_free(*a);
}

static int damaged(struct archive *a, struct error *e)
{
	const char *why = archive_error_string(a);
	return error_set(e, EINVAL, "the archive is damaged or ends early: %s",
			 why ? why : "unknown");
}

int context_unpack(int fd, int dirfd, const struct context_limits *limits, struct error *e)
{
	int r = context_check_kind(fd, e);
	if (r < 0)
		return r;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return error_set(e, errno, "the context cannot be read: %s", strerror(errno));
	_cleanup_(free_archive) struct archive *archive = archive_read_new();
	if (!archive || archive_read_support_filter_gzip(archive) != ARCHIVE_OK ||
	    archive_read_support_filter_zstd(archive) != ARCHIVE_OK ||
	    archive_read_support_format_tar(archive) != ARCHIVE_OK)
		return error_set(e, ENOMEM, "libarchive lacks tar, gzip or zstd");
	/* An archive of zeros only is an empty tar; libarchive needs to be told. */
	if (archive_read_support_format_empty(archive) != ARCHIVE_OK ||
	    archive_read_open_fd(archive, fd, 64 * 1024) != ARCHIVE_OK)
		return damaged(archive, e);
	struct unpack u = { .archive = archive, .dirfd = dirfd, .limits = limits, .e = e };
	for (;;) {
		struct archive_entry *entry;
		r = archive_read_next_header(archive, &entry);
		if (r == ARCHIVE_EOF)
			break;
		if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
			return damaged(archive, e);
		r = take_entry(&u, entry);
		if (r < 0)
			return r;
	}
	if (!u.entries)
		return error_set(e, EINVAL, "the archive is empty");
	return 0;
}

/* Inside the context symlinks may lead to the Dockerfile, but only as if the context were "/". */
static int check_dockerfile(int dirfd, const char *name, struct error *e)
{
	_cleanup_close_ int fd = fd_open(dirfd, name, O_RDONLY | O_NONBLOCK, 0,
					 RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
	if (fd < 0)
		return fd;
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return error_set(e, EINVAL, "'%.200s' in the context is not a file", name);
	if (st.st_size > LIMIT_DOCKERFILE_BYTES)
		return error_set(e, EFBIG, "'%.200s' is larger than %d bytes", name,
				 LIMIT_DOCKERFILE_BYTES);
	return 0;
}

int context_find_dockerfile(int dirfd, const char *given, const char **ret_name, struct error *e)
{
	static const char *const standard[] = { "Dockerfile", "Containerfile" };
	for (size_t i = 0; i < (given ? 1 : ELEMENTS(standard)); i++) {
		const char *name = given ? given : standard[i];
		int r = check_dockerfile(dirfd, name, e);
		if (r == 0) {
			*ret_name = name;
			return 0;
		}
		if (r != -ENOENT && r != -ENOTDIR)
			return e && e->code ? r
					    : error_set(e, -r, "'%.200s': %s", name, strerror(-r));
	}
	if (given)
		return error_set(e, ENOENT,
				 "the context has no '%.200s'; `dockerfile` is relative to the "
				 "context's root",
				 given);
	return error_set(e, ENOENT,
			 "the context has neither Dockerfile nor Containerfile at its root; name "
			 "it by `dockerfile`");
}
